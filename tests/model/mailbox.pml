/* mailbox.pml: how messages reach the coordinator (executor/mailbox.c and the rounds of coordinator.c).
 *
 * One word, `head`: the list of posted messages with an ASLEEP bit beside it, or CLOSED. A second one, `next_wake`:
 * until when the coordinator means to sleep. A post wakes only if the coordinator is asleep and would oversleep the
 * message; the posts of one sleep share one futex call. The model asks whether a message can lie there while the
 * coordinator sleeps past its deadline, whether each accepted message is handled once, and whether none is accepted
 * after the close.
 *
 * A compare-and-swap loop that computes its new value from nothing but the old one is a single atomic step here
 * (its last turn read what it replaced). The list is a set of message numbers: nothing here depends on the order in
 * it. Time is the order of deadlines: SOON < 1 < 2 < ... < INF; a sleep that is due to end at the earliest timer
 * may end there at any moment.
 *
 * Deadlines of the posts are D0, D1, D2 (POSTS of them, one poster each). SOON: to be acted on at once. INF: lazy,
 * read when the coordinator is up anyway. With STOP a last poster sends the (urgent) message upon which the
 * coordinator closes. */

#ifndef POSTS
#define POSTS 3
#endif
#ifndef D0
#define D0 5
#endif
#ifndef D1
#define D1 3
#endif
#ifndef D2
#define D2 7
#endif

#define SOON 0
#define INF  99
#ifdef STOP
#define ALL    (POSTS + 1)
#define DS     SOON
#else
#define ALL    POSTS
#endif
#define STOPPER POSTS
#define BIT(m) (1 << (m))

/* The word. ASLEEP and CLOSED are bits of it, so steps that touch several of the three are one step. */
byte list;
bit asleep;
bit closed;

byte next_wake = INF; /* written by the coordinator, read by posts that found it asleep */
bit in_futex;         /* the kernel's side of the futex on the word */

/* Ghosts. */
byte deadline[ALL];
bit accepted[ALL];
bit refused[ALL];
byte handled[ALL];
byte posted;          /* posters that are through */
byte sleep_limit;     /* the deadline of the futex call that is going on */
bit finished;

/* weft__mailbox_post, and the wake that weft__coordinator_post makes of its answer. */
proctype poster(byte m)
{
    bit was_asleep;
#ifdef MUT_URGENCY_BEFORE_PUSH
    bit urgent;
    atomic { was_asleep = asleep };
    urgent = was_asleep && deadline[m] < next_wake;
#endif
#ifdef MUT_CLOSED_LOOKED_AT_ONCE
    if
    :: closed -> refused[m] = 1; goto finish
    :: else
    fi;
#endif
    /* push: a CAS that keeps ASLEEP, and only then is next_wake read. */
    atomic {
        if
#ifndef MUT_CLOSED_LOOKED_AT_ONCE
        :: closed -> refused[m] = 1; goto finish
        :: !closed ->
#else
        :: true ->
#endif
            assert(!closed);
            list = list | BIT(m);
            accepted[m] = 1;
            was_asleep = asleep;
#ifdef MUT_PUSH_DROPS_ASLEEP
            asleep = 0
#endif
        fi
    };
#ifdef MUT_URGENCY_BEFORE_PUSH
    if
    :: !urgent -> goto finish
    :: else
    fi;
#else
    if
    :: !was_asleep || deadline[m] >= next_wake -> goto finish
    :: else
    fi;
#endif
    /* must_wake: several posts may find it asleep: the one that clears the bit makes the call. */
#ifdef MUT_CLEAR_STORES
    byte old;
    old = list;
    atomic { was_asleep = asleep; list = old; asleep = 0 };
#else
    atomic { was_asleep = asleep; asleep = 0 };
#endif
    if
    :: was_asleep -> in_futex = 0
    :: else
    fi;
finish:
    posted++
}

/* The coordinator's loop: round_once and sleep_until of executor/coordinator.c. */
proctype coordinator()
{
    byte taken, timers, m, next;
    bit stopping;

drain:
    /* weft__mailbox_take, then each message is handled */
#ifdef MUT_TAKE_STORES
    taken = list;
    atomic { list = 0; asleep = 0 };
#else
    atomic { taken = list; list = 0; asleep = 0 };
#endif
    m = 0;
    do
    :: m < ALL ->
        atomic {
            if
            :: taken & BIT(m) ->
                handled[m]++;
                assert(handled[m] == 1 && accepted[m]);
                taken = taken & ~BIT(m);
                if
                :: m == STOPPER -> stopping = 1
                :: m != STOPPER && deadline[m] != SOON && deadline[m] != INF -> timers = timers | BIT(m)
                :: else
                fi
            :: else
            fi;
            m++
        }
    :: else -> break
    od;
    m = 0;

    if
    :: stopping ->
        /* weft__mailbox_close: only an empty box closes; what came in between is handled first. */
        atomic {
            if
#ifdef MUT_CLOSE_UNCHECKED
            :: true -> closed = 1; list = 0; goto finish
#else
            :: list == 0 -> closed = 1; asleep = 0; goto finish
            :: else -> goto drain
#endif
            fi
        }
    :: else
    fi;

    atomic {
        next = INF;
        do
        :: m < ALL ->
            if
            :: (timers & BIT(m)) && deadline[m] < next -> next = deadline[m]
            :: else
            fi;
            m++
        :: else -> break
        od;
        m = 0
    };
    /* weft__mailbox_sleep: first say until when, then that. */
#ifndef MUT_NEXT_WAKE_LATE
    next_wake = next;
#endif
    atomic {
#ifdef MUT_SLEEP_STORES
        skip
    };
    atomic {
        list = 0; asleep = 1
#else
        if
        :: list == 0 -> asleep = 1
        :: else -> next = 0; goto drain
        fi
#endif
    };
#ifdef MUT_NEXT_WAKE_LATE
    next_wake = next;
#endif
    atomic {
        /* The kernel compares before it sleeps. The low half of the word also shows messages, unless their address ends
         * in 32 zeros; the protocol must not need that, so here the comparison sees ASLEEP alone. */
#ifdef MUT_WAIT_UNCOMPARED
        in_futex = 1;
        sleep_limit = next
#else
        if
        :: asleep -> in_futex = 1; sleep_limit = next
        :: else
        fi
#endif
    };
end_asleep:
    if
    :: !in_futex
    :: atomic { /* the first timer is due */
        in_futex && next != INF -> in_futex = 0;
        m = 0;
        do
        :: !(timers & BIT(m)) || deadline[m] != next -> m++
        :: else -> break
        od;
        timers = timers & ~BIT(m);
        m = 0
    }
    fi;
    next = 0;
    goto drain;

finish:
    finished = 1
}

/* Whenever all posters are through and the coordinator sleeps, what lies in the box must be able to wait. */
proctype watcher()
{
    byte m;
end_watch:
    do
    :: d_step {
        posted == ALL && in_futex && list != 0 ->
        m = 0;
        do
        :: m < ALL -> assert(!(list & BIT(m)) || deadline[m] >= sleep_limit); m++
        :: else -> break
        od;
        m = 0
    }
    od
}

/* Nothing can move any more. */
active proctype quiescence()
{
    byte m;
end_wait:
    timeout ->
    d_step {
        assert(posted == ALL);
#ifdef STOP
        assert(finished);
#endif
        do
        :: m < ALL ->
            assert(accepted[m] + refused[m] == 1);
            assert(!refused[m] || closed);
            assert(handled[m] <= accepted[m]);
            /* never lost, and late only beside a coordinator that sleeps */
            assert(handled[m] == accepted[m] || ((list & BIT(m)) && !finished));
            m++
        :: else -> break
        od
    }
}

init
{
    atomic {
        deadline[0] = D0;
#if POSTS > 1
        deadline[1] = D1;
#endif
#if POSTS > 2
        deadline[2] = D2;
#endif
#ifdef STOP
        deadline[STOPPER] = SOON;
#endif
        run poster(0);
#if POSTS > 1
        run poster(1);
#endif
#if POSTS > 2
        run poster(2);
#endif
#ifdef STOP
        run poster(STOPPER);
#endif
        run coordinator();
        run watcher()
    }
}
