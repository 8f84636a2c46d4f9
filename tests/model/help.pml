/* help.pml: who waits for a stolen task takes what was forked in it, and nothing else (weft__forks_steal_part in
 * executor/forks.c).
 *
 * The thief runs the task, forks parts of it into its deque and takes some back; when all of them are joined the task
 * is done. Then it goes on to something else and forks there, into the same deque. The waiter looks at the oldest
 * entry, looks whether the task is done, and takes the entry if the deque's old end has not moved meanwhile. Is
 * everything that it takes part of the task?
 *
 * Each access of the waiter is a step, and so are the thief's; but to push and to pop are one step each, as in
 * forks.pml. The last entry that the owner of a deque takes back moves `top` (deque.c). */

#ifndef PUSHES
#define PUSHES 3 /* of each kind */
#endif

#define PART  1
#define OTHER 2

byte top, split;
byte slot[8]; /* as many as are ever pushed: the ring that comes round is test_explore_deque's */
bit done;     /* weft_task.state */

/* Ghosts. */
byte taken, finished; /* parts, by the waiter */

inline push(kind)
{
    atomic { slot[split] = kind; split++ }
}

/* Its own newest one, if there is any. */
inline pop()
{
    atomic {
        if
        :: split - top > 1 -> split--
        :: split - top == 1 ->
#ifdef MUT_LAST_KEEPS_TOP
            split--
#else
            top++
#endif
        :: else
        fi
    }
}

active proctype thief()
{
    byte pushes = PUSHES;
    do
    :: pushes > 0 -> push(PART); pushes--
    :: pop()
    :: atomic { top == split && taken == finished -> break } /* all parts are joined */
    od;
    done = 1;
    pushes = PUSHES - 1;
    do
    :: pushes > 0 -> push(OTHER); pushes--
    :: top < split -> pop()
    :: break
    od
}

active proctype waiter()
{
    byte seen, entry;
    bit over;
    do
    :: /* weft__forks_steal_part */
#ifdef MUT_LOOKS_TOO_EARLY
        over = done;
#endif
        seen = top;
        if
        :: seen < split
        :: else -> goto nothing
        fi;
        entry = slot[seen];
#if !defined(MUT_LOOKS_TOO_EARLY) && !defined(MUT_NEVER_LOOKS)
        over = done;
#endif
        if
        :: over -> goto nothing
        :: else
        fi;
        atomic {
            if
            :: top == seen ->
                assert(entry == PART && slot[seen] == PART && seen < split);
                top++;
                taken++
            :: else -> goto nothing
            fi
        };
        finished++;
    nothing:
        if
        :: done -> break
        :: else
        fi
    od
}
