/* idle.pml: who sleeps and who is woken (executor/idle.c).
 *
 * One word a group of threads: the number of its searching workers and a bitmap of its sleeping ones. A push looks
 * at the words once and wakes at most one sleeper, and only where nobody searches; everything else rests on the
 * rule that each step out of "searching" or into "asleep" looks at all queues after its own read-modify-write. The
 * model asks whether an item can stay visible for ever beside a thread that sleeps without a token.
 *
 * A compare-and-swap loop that computes its new value from nothing but the old one is a single atomic step here:
 * the turn that succeeds read the very value it replaced, and a turn that fails changes nothing. What the code does
 * in two accesses is two steps here too: a scan looks at one queue a step, a wake is an exchange and then a futex
 * call.
 *
 * Names of functions are those of executor/idle.c, worker.c and block.c; the roster lock is one here as well,
 * because what is done under it is seen by threads that do not take it.
 *
 * Sizes: THREADS in all, of which the first WORKERS start awake and the rest in reserve; thread t is in group t %
 * GROUPS; at most MAXS of a group begin to search; the submitter pushes ITEMS into the outside queue, queue[0];
 * running jobs push at most CHILDREN further ones and block at most BLOCKS times. Whether a job runs for ever,
 * blocks or ends is open. With two queues a thread may take two items from outside at once and push the second into
 * queue[1], an inbox. */

#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef RESERVES
#define RESERVES 0
#endif
#ifndef GROUPS
#define GROUPS 1
#endif
#ifndef QUEUES
#define QUEUES 1
#endif
#ifndef ITEMS
#define ITEMS 2
#endif
#ifndef CHILDREN
#define CHILDREN 0
#endif
#ifndef BLOCKS
#define BLOCKS 0
#endif
#ifndef MAXS
#define MAXS 1
#endif

#define THREADS (WORKERS + RESERVES)
#define NONE    255
#define BIT(t)  (1 << (t))

byte queue[QUEUES];     /* visible items: the outside queue and the public part of a deque look alike from here */
byte searching[GROUPS]; /* bits 0-15 of a group's word */
byte sleeping[GROUPS];  /* bits 16-63, by thread number; both halves change in one step where the code has one RMW */
byte park[THREADS];     /* 0 nothing, 1 a token, 2 its thread is about to sleep or sleeps in the futex */
bit in_futex[THREADS];  /* the kernel's side of the futex */
bit roster;             /* the lock */
byte surplus;           /* threads to retire; written under roster, read by every loop */
byte reserve;           /* the list of reserve threads, as a set; under roster */

/* Ghosts: the protocol does not read these. */
bit parked[THREADS];    /* inside park() */
bit gone[THREADS];      /* runs a job for ever, or is blocked for ever */
bit blocked[THREADS];
byte serving = WORKERS; /* neither in reserve nor blocked */
byte children = CHILDREN;
byte blocks = BLOCKS;

#define GROUP(t) ((t) % GROUPS)

/* The two ways down for `serving`; it is `workers` that the executor promised to keep. */
inline serve_less()
{
    serving--;
    assert(serving >= WORKERS)
}

/* weft__unpark: the token, then the futex, and that only for a thread that said it would sleep. */
inline unpark(t)
{
    d_step {
        old = park[t];
        assert(old != 1); /* two tokens for one sleep */
        park[t] = 1
    }
    if
    :: old == 2 -> in_futex[t] = 0
    :: else
    fi;
    old = 0
}

#ifdef MUT_WAKE_NO_CAS
#define CAS_IN_NOTIFY skip;
#else
#define CAS_IN_NOTIFY atomic
#endif

#ifdef MUT_NOTIFY_FIRST_GROUP
#define NOTIFIED_GROUPS 1
#else
#define NOTIFIED_GROUPS GROUPS
#endif

/* Any sleeper of group g: whatever the code picks is among these. */
inline select_sleeper()
{
    if
    :: sleeping[g] & BIT(0) -> target = 0
    :: sleeping[g] & BIT(1) -> target = 1
#if THREADS > 2
    :: sleeping[g] & BIT(2) -> target = 2
#endif
#if THREADS > 3
    :: sleeping[g] & BIT(3) -> target = 3
#endif
    :: else
    fi
}

/* weft__notify. One step a group: the seq_cst load if it decides to go away, else the CAS that succeeds. */
inline notify()
{
    g = 0;
    do
    :: g < NOTIFIED_GROUPS ->
        CAS_IN_NOTIFY {
            if
            :: searching[g] > 0 -> break /* it looks at all queues before it goes */
            :: searching[g] == 0 && sleeping[g] == 0 -> g++
            :: searching[g] == 0 && sleeping[g] != 0 ->
                select_sleeper();
                sleeping[g] = sleeping[g] & ~BIT(target);
                searching[g]++;
                break
            fi
        }
    :: else -> break
    od;
    g = 0;
    if
    :: target != NONE -> unpark(target); target = NONE
    :: else
    fi
}

/* weft__work_visible: one queue a step, so that the answer can be out of date when it is given. */
inline scan()
{
    seen = 0;
    i = 0;
    do
    :: i < QUEUES && !seen -> d_step { seen = queue[i] > 0; i++ }
    :: else -> break
    od;
    i = 0
}

/* notify_if_visible */
inline scan_and_notify()
{
    scan();
    if
    :: seen -> notify()
    :: else
    fi;
    seen = 0
}

inline push(where)
{
    queue[where]++;
    notify()
}

inline lock()
{
    atomic { !roster -> roster = 1 }
}

inline unlock()
{
    roster = 0
}

/* Outside threads: weft_submit into the outside queue. */
proctype submitter()
{
    byte g, target = NONE, old, n;
    do
    :: n < ITEMS -> n++; push(0)
    :: else -> break
    od
}

/* A thread of the executor: the loop of executor/worker.c as far as it touches the idle word. */
proctype thread(byte me; bit starts_in_reserve)
{
    byte g, target = NONE, old, i;
    bit seen, searcher, admitted;

    if
    :: starts_in_reserve -> goto parking
    :: else
    fi;

loop_top:
    if
    :: surplus > 0 -> goto retire
    :: surplus == 0
    fi;

look:
    /* look_once, by a thread that is counted or not, and then weft__search_begin. */
    atomic {
        if
        :: queue[0] > 0 -> queue[0]--; goto taken
        :: queue[0] == 0
        fi
    };
    atomic {
        if
        :: searcher
        :: !searcher && searching[GROUP(me)] < MAXS -> searching[GROUP(me)]++; searcher = 1
        :: !searcher && searching[GROUP(me)] >= MAXS -> goto sleep
        fi
    };

    /* search */
    i = 0;
    do
    :: i < QUEUES ->
        atomic {
            if
            :: queue[i] > 0 -> queue[i]--; i = 0; goto taken
            :: else -> i++
            fi
        }
    :: else -> break
    od;
    goto sleep;

taken:
#if QUEUES > 1
    if
    :: d_step { queue[0] > 0 -> queue[0]-- }; push(1) /* take_outside: a batch of two */
    :: true
    fi;
#endif
    if
    :: !searcher -> goto running
    :: else
    fi;

    /* weft__search_end. Out of searching: the last one of a group looks again, since a push may have relied on it. */
#ifdef MUT_SCAN_BEFORE_LEAVING
    if
    :: searching[GROUP(me)] == 1 -> scan_and_notify()
    :: else
    fi;
#endif
    atomic {
        assert(searching[GROUP(me)] > 0);
        old = searching[GROUP(me)];
#ifdef MUT_LAST_SCAN_FOR_OWN_GROUP
        if
        :: sleeping[GROUP(me)] == 0 -> old = 0
        :: else
        fi;
#endif
        searching[GROUP(me)]--;
        searcher = 0
    };
#if !defined(MUT_NO_LAST_SCAN) && !defined(MUT_SCAN_BEFORE_LEAVING)
    if
    :: old == 1 -> old = 0; scan_and_notify()
    :: else
    fi;
#endif
    old = 0;

running:
    if
    :: gone[me] = 1; goto finish /* a job that never ends */
    :: goto loop_top             /* one that ends */
#if CHILDREN > 0
    :: atomic { children > 0 -> children-- }; push(QUEUES - 1); goto running
#endif
#if BLOCKS > 0
    :: atomic { blocks > 0 -> blocks-- }; goto block
#endif
    fi;

sleep:
    i = 0;
    /* weft__sleep_idle. Into asleep: one RMW sets the bit and takes back the searcher's count; then look again. */
#ifdef MUT_RESCAN_BEFORE_BIT
    scan();
#endif
    d_step {
        sleeping[GROUP(me)] = sleeping[GROUP(me)] | BIT(me);
        searching[GROUP(me)] = searching[GROUP(me)] - searcher;
        searcher = 0
    };
#ifndef MUT_RESCAN_BEFORE_BIT
    scan();
#endif
#ifdef MUT_NO_RESCAN
    seen = 0;
#endif
    if
    :: !seen && surplus == 0 -> goto parking
    :: else -> seen = 0
    fi;
    atomic {
        if
        :: sleeping[GROUP(me)] & BIT(me) ->
            sleeping[GROUP(me)] = sleeping[GROUP(me)] & ~BIT(me);
            searching[GROUP(me)]++;
            searcher = 1;
            goto loop_top
        :: else
        fi
    };
    /* Somebody else took the bit. A waker: its token is coming, and this thread is counted already. Or weft__block_end,
     * which put this thread in reserve: then none is coming, and what was just seen is left to the look that follows
     * there, since the push may have relied on this thread while it was searching. */

parking:
    /* weft__park */
    atomic {
        parked[me] = 1;
        if
#ifdef MUT_PARK_STORES
        :: true -> park[me] = 2
#else
        :: park[me] == 0 -> park[me] = 2
        :: else /* the token is here */
#endif
        fi
    };
    do
    :: d_step { park[me] == 2 -> in_futex[me] = 1 }; /* the kernel compares before it sleeps */
end_in_futex:
        !in_futex[me];
#ifdef MUT_PARK_WAITS_ONCE
        break
#endif
        /* the wake may be a late one that belongs to the sleep before: look again */
    :: park[me] != 2 -> break
    od;
    atomic { assert(park[me] == 1); park[me] = 0; parked[me] = 0; searcher = 1 }; /* its waker counted it */
    goto loop_top;

retire:
    /* weft__retire: back to the reserve. It may have been woken for an item that it will not take now: hand that on. */
#ifndef MUT_RETIRE_UNLOCKED
    lock();
#endif
    if
    :: surplus == 0 -> unlock(); goto look
    :: surplus > 0
    fi;
    atomic { surplus--; serve_less() };
    atomic { reserve = reserve | BIT(me); unlock() };
#ifdef MUT_RETIRE_KEEPS_COUNT
    searcher = 0;
#else
    d_step { searching[GROUP(me)] = searching[GROUP(me)] - searcher; searcher = 0 };
#endif
#ifndef MUT_NO_RETIRE_SCAN
    scan_and_notify();
#endif
    goto parking;

#if BLOCKS > 0
block:
    /* weft__block_begin: somebody stands in for this thread before it waits. */
#ifdef MUT_BLOCK_FIRST
    atomic { blocked[me] = 1; serve_less() };
#endif
    lock();
    if
    :: surplus > 0 -> surplus-- /* one that is too many stays on duty */
    :: surplus == 0 && reserve == 0 -> unlock(); goto running /* refused; the code would start another thread */
    :: atomic { surplus == 0 && reserve != 0 ->
            g = 0;
            do
            :: !(reserve & BIT(g)) -> g++
            :: else -> break
            od;
            reserve = reserve & ~BIT(g);
            /* weft__idle_admit */
            assert(!(sleeping[GROUP(g)] & BIT(g)));
            sleeping[GROUP(g)] = sleeping[GROUP(g)] | BIT(g);
            serving++;
            g = 0
        };
        admitted = 1
    fi;
    unlock();
#ifndef MUT_NO_ADMIT_SCAN
    if
    :: admitted -> scan_and_notify()
    :: else
    fi;
#endif
    admitted = 0;
#ifndef MUT_BLOCK_FIRST
    atomic { blocked[me] = 1; serve_less() };
#endif
    if
    :: gone[me] = 1; goto finish /* what it waits for never comes */
    :: d_step { blocked[me] = 0; serving++ }
    fi;
    /* weft__block_end: this thread goes on, so a sleeper is taken out (weft__idle_withdraw), or one is too many. */
    lock();
    g = GROUPS;
    do
    :: g > 0 && target == NONE ->
        g--;
        atomic {
            if
            :: sleeping[g] == 0
            :: sleeping[g] != 0 -> select_sleeper(); sleeping[g] = sleeping[g] & ~BIT(target); serve_less()
            fi
        }
    :: else -> break
    od;
    g = 0;
    if
    :: target == NONE -> surplus++; unlock()
    :: target != NONE ->
        atomic { reserve = reserve | BIT(target); target = NONE; unlock() };
#ifndef MUT_NO_WITHDRAW_SCAN
        scan_and_notify()
#endif
    fi;
    goto running;
#endif

finish:
    skip
}

/* Nothing can move any more: is that state a good one? */
active proctype quiescence()
{
    byte t, visible, count;
end_wait:
    timeout ->
    d_step {
        t = 0;
        do
        :: t < QUEUES -> visible = visible + queue[t]; t++
        :: else -> break
        od;
        t = 0;
        do
        :: t < GROUPS -> assert(searching[t] == 0); t++ /* a leaked count would silence every later push */
        :: else -> break
        od;
        t = 0;
        do
        :: t < THREADS ->
            assert(gone[t] != parked[t]);
            assert(!(parked[t] && park[t] == 1));
            if
            :: parked[t] && (sleeping[GROUP(t)] & BIT(t)) ->
                assert(!visible); /* the lost wake-up */
                assert(!(reserve & BIT(t)));
                count++
            :: parked[t] && !(sleeping[GROUP(t)] & BIT(t)) -> assert(reserve & BIT(t)) /* else lost for ever */
            :: gone[t] && !blocked[t] -> count++
            :: else
            fi;
            t++
        :: else -> break
        od;
        assert(count == serving);
        assert(serving == WORKERS + surplus)
    }
}

init
{
    byte t;
    atomic {
        do
        :: t < THREADS ->
            if
            :: t >= WORKERS -> reserve = reserve | BIT(t); run thread(t, 1)
            :: else -> run thread(t, 0)
            fi;
            t++
        :: else -> break
        od;
        run submitter()
    }
}
