/* forks.pml: tasks that a job forks, and when others may take them (executor/forks.c, futures/fork_join.c).
 *
 * One owner forks and joins, strictly nested, as it likes, and may stop doing so for ever at any moment: then it runs a
 * function that does neither. THIEVES others take what is visible, the oldest first, and sleep when they find nothing.
 * The model asks three things. When the owner sees that nothing is wanted, are enough visible? When nothing can move
 * any more, is something visible while a thief sleeps? Does each join end, and does no thief touch a task after its
 * join?
 *
 * The deque has a test of its own that goes through every interleaving (test_explore_deque), so to push, to pop and to
 * steal are one step each here. The idle word has idle.pml; here a publication wakes one of those that sleep, unless
 * somebody searches. What a join helps with has help.pml; here it only waits.
 *
 * Tasks are numbered by their depth. Those below `top` are taken, those from `top` to `bottom` visible, those from
 * `bottom` to `depth` private. */

#ifndef THIEVES
#define THIEVES 2
#endif
#ifndef ENOUGH
#define ENOUGH 1
#endif
#ifndef FORKS
#define FORKS 4
#endif
#ifndef DEEP
#define DEEP 2
#endif
#ifndef ENDS /* how often the job ends its thread, and another one follows in its place */
#define ENDS 0
#endif

#define RUNNING 0
#define AWAITED 1
#define DONE    2

byte depth, top, bottom;
bit wanted = 1;
byte word[DEEP]; /* weft_task.state */
bit bell;        /* of the owner; rung: 1 */

byte searching;
bit asleep[THIEVES]; /* in the idle word */
bit token[THIEVES];

/* Ghosts: the protocol does not read these. */
byte taking;     /* thieves between T1 and T2 */
byte ran[DEEP];  /* how often the task of that depth was run since it was forked */
bit open[DEEP];  /* forked and not joined */
bit over;

/* weft__notify */
inline notify()
{
    atomic {
        if
        :: searching > 0
        :: searching == 0 && asleep[0] -> asleep[0] = 0; searching++; token[0] = 1
#if THIEVES > 1
        :: searching == 0 && asleep[1] -> asleep[1] = 0; searching++; token[1] = 1
#endif
        :: else
        fi
    }
}

/* O3: a load, then a store. */
inline count_visible()
{
    few = (bottom - top < ENOUGH);
    if
    :: few -> wanted = 1
    :: else
    fi;
    few = 0
}

/* weft__forks_publish */
inline publish()
{
    if
    :: bottom == depth
    :: else ->
#ifdef MUT_NOTIFY_FIRST
        notify();
#endif
#if !defined(MUT_CLEAR_LAST)
        wanted = 0; /* O1 */
#endif
        do
        :: bottom < depth -> bottom++ /* O2 */
        :: else -> break
        od;
#ifndef MUT_NO_COUNT
        count_visible(); /* O3 */
#endif
#ifdef MUT_CLEAR_LAST
        if
        :: bottom - top >= ENOUGH -> wanted = 0
        :: else
        fi;
#endif
#ifndef MUT_NOTIFY_FIRST
        notify() /* O4 */
#endif
    fi
}

/* What the fast paths rely on when they go on without a look at anything but `wanted`. */
inline nothing_wanted()
{
    assert(bottom - top >= ENOUGH || taking > 0)
}

inline run_own()
{
    ran[depth] = ran[depth] + 1;
    assert(ran[depth] == 1)
}

/* join_stolen: the compare-and-swap, and then the bell. */
inline wait_for_thief()
{
#ifdef MUT_AWAIT_STORES
    if
    :: word[depth - 1] != DONE -> word[depth - 1] = AWAITED
    :: else
    fi;
#else
    atomic {
        if
        :: word[depth - 1] == RUNNING -> word[depth - 1] = AWAITED
        :: else
        fi
    };
#endif
    do
    :: bell = 0;
       if
       :: word[depth - 1] == DONE -> break
       :: else -> bell == 1 /* the futex sleeps while the bell is as it was read */
#ifdef MUT_BELL_READ_AFTER_LOOK
           ; bell = 0; bell == 1
#endif
       fi
    od;
    assert(ran[depth - 1] == 1)
}

active proctype owner()
{
    byte forks = FORKS, ends = ENDS;
    bit few;
    do
    :: depth < DEEP && forks > 0 -> /* weft_fork */
        forks--;
        word[depth] = RUNNING;
        ran[depth] = 0;
        open[depth] = 1;
        atomic {
            if
            :: wanted == 0 -> nothing_wanted(); depth++; goto forked
            :: else -> depth++
            fi
        };
        publish();
    forked:
        skip
    :: depth > 0 -> /* weft_join */
        if
        :: bottom == depth && top < bottom -> /* weft__forks_take_back */
            atomic {
                if
                :: top < bottom -> bottom--
                :: else -> goto stolen
                fi
            };
#ifndef MUT_TAKE_BACK_QUIETLY
            count_visible();
#endif
            depth--;
            run_own()
        :: bottom == depth && top == bottom ->
        stolen:
            count_visible(); /* the pop that found nothing does so too */
            wait_for_thief();
            atomic { depth--; top = depth; bottom = depth }
        :: bottom < depth ->
            depth--;
            atomic {
                if
                :: wanted == 0 -> nothing_wanted(); goto privately
                :: else
                fi
            };
            publish();
        privately:
            run_own()
        fi;
        open[depth] = 0
    :: depth > 0 && ends > 0 -> /* weft__forks_abandon: nothing of it is run by the owner any more */
        ends--;
        atomic {
            do
            :: bottom < depth -> depth--; open[depth] = 0
            :: else -> break
            od
        };
        do
        :: depth > 0 ->
            atomic {
                if
                :: top < bottom -> bottom--; depth--; open[depth] = 0; goto dropped
                :: else
                fi
            };
#ifndef MUT_END_WAITS_FOR_NOBODY
            wait_for_thief();
#endif
            atomic { depth--; top = depth; bottom = depth; open[depth] = 0 };
        dropped:
            skip
        :: else -> break
        od;
#ifndef MUT_END_QUIETLY
        count_visible()
#endif
    :: break /* for ever in some function */
    od;
    over = 1
}

active [THIEVES] proctype thief()
{
    byte task, seen;
    byte me = _pid - 1;
end:
    do
    :: atomic { !asleep[me] && !token[me] -> searching++ };
    search:
#ifdef MUT_ASK_FIRST
        wanted = 1;
#endif
        atomic {
            if
            :: top < bottom -> task = top; top++; taking++ /* T1 */
            :: else -> goto sleep
            fi
        };
#ifdef MUT_ASK_FIRST
        taking--;
#else
        atomic { wanted = 1; taking-- }; /* T2 */
#endif
        atomic { searching-- };
        /* The last to search looks for more; here: always. */
        if
        :: top < bottom -> notify()
        :: else
        fi;
        assert(open[task]);
        ran[task] = ran[task] + 1;
        assert(ran[task] == 1);
#ifdef MUT_DONE_STORES
        seen = word[task];
        word[task] = DONE;
#else
        atomic { seen = word[task]; word[task] = DONE };
#endif
#ifdef MUT_DONE_LOOKS_BACK
        assert(open[task]);
#endif
        if
        :: seen == AWAITED -> bell = 1
        :: else
        fi;
        task = 0;
        seen = 0;
        goto again;
    sleep:
        atomic { searching--; asleep[me] = 1 };
        if
        :: top < bottom ->
            atomic {
                if
                :: asleep[me] -> asleep[me] = 0; searching++; goto search
                :: else
                fi
            }
        :: else
        fi;
    end_asleep:
        atomic { token[me] -> token[me] = 0; goto search };
    again:
        skip
    od
}

/* When nothing can move any more. */
active proctype last()
{
    timeout;
    assert(over);
    assert(top >= bottom || !(asleep[0]
#if THIEVES > 1
           || asleep[1]
#endif
           ) || searching > 0)
}
