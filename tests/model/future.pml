/* future.pml: the word of a future (futures/future.h, settle.c, cancel.c).
 *
 * The word holds the state, CANCEL (somebody asked it to stop), LOCK over the list of waiters, LISTED (the list is
 * not empty), SLEEPER (a thread sleeps on the word), the verdict (the state it is about to get) and the references.
 * The model asks: is a job run once, and not at all only if it was cancelled before it began; is there one outcome,
 * complete before it can be seen; does the answer of a cancel agree with what happens; is each attached node
 * notified once or detached, and each attached callback posted before the future can be seen done; is nothing touched
 * after the memory went, and does it go; is everybody woken.
 *
 * A compare-and-swap loop that computes its new value from nothing but the old one is a single atomic step here
 * (its last turn read what it replaced). What is read or written under LOCK is a step of its own. A futex wait that
 * would return at once because some other bit changed goes to sleep here all the same as long as what it waits for
 * has not come: the model sleeps more than the code, so it misses no lost wake.
 *
 * Scenarios. A job, the queue that holds it and its worker (`popper`), and CONSUMERS consumers with one reference
 * each. What they do is open, and so is whether the job has an argument to be freed; -DFIRST=... settles it for the
 * first of them. With -DPROMISE a promise instead: two owners that resolve it at the same time, and the same
 * consumers. */

#define GET      0 /* an outside thread waits for the outcome */
#define RELEASE  1 /* drops its reference at once */
#define CANCEL   2 /* cancels, then waits or not */
#define INLINE   3 /* a worker that waits: runs the job itself if it has not begun */
#define ATTACH   4 /* attaches a node, then waits to be notified or detaches it */
#define CALLBACK 5 /* the coordinator: its node is posted before DONE, and it may get there before the settler */

#ifndef CONSUMERS
#define CONSUMERS 2
#endif

#ifdef MUT_HOLDER_DRAINS
#define MUT_SETTLE_IGNORES_LOCK
#endif

#ifdef PROMISE
#define HOLDERS 2
#else
#define HOLDERS 1
#endif
#define NONE    255
#define BIT(p)  (1 << (p))

#define PENDING   0
#define RUNNING   1
#define CLAIMED   2 /* somebody is about to settle it without running it */
#define SUCCEEDED 3
#define CANCELLED 4
#define DONE      (state >= SUCCEEDED)

/* The word. Steps that touch several of these are one step, as they are one word. */
byte state;
byte references;
bit lock;
bit listed;
bit sleeper;
bit cancel_bit;
byte verdict;

/* What lies beside it in the same memory. */
byte list;             /* attached nodes; under LOCK. A node is its consumer's, by party number */
byte callbacks;        /* those whose notify posts a callback */
byte outcome = NONE;   /* who wrote it; before DONE */

/* The kernel's side of the futex: who sleeps. */
byte asleep;

/* Ghosts. */
byte owner = NONE;     /* of LOCK */
bit freed;
bit has_argument;
byte argument_freed;
byte runs;
byte requested;        /* cancels answered REQUESTED */
byte discards;         /* cancels that threw the job away before it began */
byte told;             /* nodes that were notified or posted, or detached; each once */
byte winner = NONE;    /* who settled with an outcome */

#define TOUCH assert(!freed)

/* So that callbacks run in the order in which their futures resolved, and none comes after the mailbox closed. */
#define CALLBACKS_POSTED assert((callbacks & ~told) == 0)

/* The last reference went: the memory goes. Atomic with the RMW, so that every touch after it is caught. */
inline free_if_last()
{
    if
    :: references == 0 ->
        assert(!freed && DONE && !lock && !listed && list == 0 && asleep == 0);
        freed = 1
    :: else
    fi
}

inline release()
{
    atomic { TOUCH; references--; free_if_last() }
}

/* By address alone: no TOUCH. The futex wakes all, since one bit stands for any number of sleepers. */
inline wake_if(flag)
{
    if
    :: flag -> asleep = 0; flag = 0
    :: else
    fi
}

/* weft__lock */
inline acquire()
{
    do
    :: atomic {
        TOUCH;
        if
        :: !lock -> assert(owner == NONE); lock = 1; owner = me; break
        :: lock -> sleeper = 1
        fi
    };
    atomic {
        TOUCH;
        if
        :: sleeper && lock -> asleep = asleep | BIT(me)
        :: else
        fi
    };
    !(asleep & BIT(me))
    od
}

/* Inside an atomic. */
inline tell(which)
{
    assert((told & (which)) == 0);
    told = told | (which)
}

/* take_list: all nodes, under LOCK; nobody else sees the list. The callbacks are posted at once, as one chain. */
inline take_list()
{
    atomic {
        TOUCH;
        assert(owner == me);
        mine = list;
        list = 0;
#ifndef MUT_POST_AFTER_DONE
        tell(mine & callbacks);
        mine = mine & ~callbacks
#endif
    }
}

/* notify_taken, node by node. They are not in the future's memory: no TOUCH. */
inline tell_mine()
{
#ifdef MUT_TAKEN_FORGOTTEN
    mine = 0;
#endif
    do
    :: atomic { mine != 0 -> tell(mine & -mine); mine = mine & (mine - 1) }
    :: atomic { mine == 0 -> break }
    od
}

/* weft__unlock. LISTED becomes what the list is. Who waits for LOCK is woken, and whoever else sleeps on the word. */
inline unlock()
{
    atomic {
        TOUCH;
        assert(owner == me);
#ifdef MUT_HOLDER_DRAINS
        if
        :: DONE -> take_list()
        :: else
        fi;
#endif
        owner = NONE;
        lock = 0;
        listed = (list != 0);
        waking = sleeper;
#ifdef MUT_UNLOCK_WAKES_NOBODY
        waking = 0;
#endif
        sleeper = 0
    };
    wake_if(waking);
#ifdef MUT_HOLDER_DRAINS
    tell_mine()
#endif
}

/* The step to DONE. Inside an atomic; `drop`: how many of the caller's references go with it. */
inline settle_step(final, drop)
{
    CALLBACKS_POSTED;
    state = final;
    references = references - drop;
    waking = sleeper;
    sleeper = 0;
#ifdef MUT_SETTLE_WAKES_NOBODY
    waking = 0;
#endif
    free_if_last();
    last = freed
}

/* weft__settle, by who made the claim. Without a list, and with nobody at it, one step. */
inline settle(final, drop)
{
    atomic {
        TOUCH;
        assert(!DONE);
        if
#ifdef MUT_SETTLE_IGNORES_LOCK
        :: listed && !lock -> listing = 1
#else
        :: listed || lock -> listing = 1
#endif
        :: else -> settle_step(final, drop)
        fi
    };
    if
    :: listing ->
        /* settle_listed: whoever holds LOCK is waited for */
        listing = 0;
        acquire();
#ifndef MUT_NO_VERDICT
        atomic {
            TOUCH;
            if
            :: list & callbacks -> verdict = final
            :: else
            fi
        };
#endif
        take_list();
        atomic {
            TOUCH;
            assert(owner == me);
            assert(!DONE || (state == final && verdict == final)); /* the coordinator may have been here */
            verdict = 0;
            owner = NONE;
            lock = 0;
            listed = 0;
            settle_step(final, drop)
        }
    :: else
    fi;
#ifdef MUT_SETTLE_LOOKS_BACK
    assert(last || !freed);
#endif
    wake_if(waking);
    tell_mine()
}

/* weft__settle_verdict: the coordinator has a callback in hand whose future the settler has not made DONE yet. */
inline settle_verdict()
{
    atomic {
        TOUCH;
        if
        :: !DONE -> assert(verdict); CALLBACKS_POSTED; state = verdict; waking = sleeper; sleeper = 0
        :: else
        fi
    };
    wake_if(waking)
}

/* weft__word_sleep until DONE. */
inline wait_done()
{
    do
    :: atomic {
        TOUCH;
        if
        :: DONE -> break
        :: !DONE -> sleeper = 1
        fi
    };
    atomic {
        TOUCH;
        if
#ifdef MUT_WAIT_UNCOMPARED
        :: true -> asleep = asleep | BIT(me)
#else
        :: !DONE && sleeper -> asleep = asleep | BIT(me) /* the kernel compares before it sleeps */
#endif
        :: else
        fi
    };
    !(asleep & BIT(me))
    od
}

/* What whoever sees DONE reads. */
inline read_outcome()
{
    atomic {
        TOUCH;
        assert(DONE);
        assert(state != SUCCEEDED || (outcome != NONE && outcome == winner));
        assert(argument_freed == has_argument);
        CALLBACKS_POSTED
    }
}

/* job_execute: the job's function, its argument, its outcome, and DONE. */
inline run_and_settle(drop)
{
    atomic { runs++; assert(runs == 1) };
    atomic { TOUCH; stop = cancel_bit };
#ifndef MUT_DONE_BEFORE_ARGUMENT
    argument_freed = argument_freed + has_argument;
#endif
    atomic { TOUCH; outcome = me };
    /* A job that was asked to stop may agree, or finish. */
    if
    :: stop -> ending = CANCELLED
    :: winner = me; ending = SUCCEEDED
    fi;
    stop = 0;
    settle(ending, drop);
#ifdef MUT_DONE_BEFORE_ARGUMENT
    argument_freed = argument_freed + has_argument;
#endif
    ending = 0
}

/* job_run: a worker takes the entry out of the queue, and with it the queue's reference. */
proctype popper(byte me)
{
    bit listing, waking, last, claimed, stop;
    byte mine, ending;
#ifdef MUT_CLAIM_STORES
    atomic { TOUCH; claimed = (state == PENDING) };
    if
    :: claimed -> atomic { TOUCH; state = RUNNING }
    :: else -> release()
    fi;
#else
    atomic {
        TOUCH;
        if
        :: state == PENDING -> state = RUNNING; claimed = 1
        :: else /* a tombstone: run by a waiter, or cancelled */
#ifndef MUT_QUEUE_HOLDS_NOTHING
            -> references--; free_if_last()
#endif
        fi
    };
#endif
    if
    :: claimed ->
#ifdef MUT_QUEUE_HOLDS_NOTHING
        atomic { TOUCH; references++ };
#endif
        run_and_settle(1)
    :: else
    fi
}

/* weft_promise_resolve, then _destroy: who claims it writes the outcome. */
proctype resolver(byte me)
{
    bit listing, waking, last, claimed;
    byte mine;
#ifdef MUT_RESOLVE_WRITES_FIRST
    atomic { TOUCH; outcome = me };
#endif
    atomic {
        TOUCH;
        if
        :: state == PENDING -> state = CLAIMED; claimed = 1
        :: else /* too late: the value stays the caller's */
        fi
    };
    if
    :: claimed ->
        winner = me;
#ifndef MUT_RESOLVE_WRITES_FIRST
        atomic { TOUCH; outcome = me };
#endif
        settle(SUCCEEDED, 0)
    :: else
    fi;
    release()
}

#define EFFECT_NONE      0
#define EFFECT_DONE      1
#define EFFECT_REQUESTED 2
#define EFFECT_ALREADY   3
#define EFFECT_TOO_LATE  4

/* weft_cancel: job_cancel, promise_cancel */
inline cancel()
{
#ifdef MUT_CANCEL_STORES
    atomic { TOUCH; late = (state != PENDING) };
#else
    late = 1;
#endif
    do
    :: atomic {
        TOUCH;
        if
        :: !late -> late = 1; discards++; state = CLAIMED; cancel_bit = 1; effect = EFFECT_DONE; break
        :: late && DONE -> effect = EFFECT_TOO_LATE; seen = state; break
#ifndef MUT_CANCEL_STORES
        :: late && state == PENDING -> discards++; state = CLAIMED; cancel_bit = 1; effect = EFFECT_DONE; break
#endif
        :: late && state == RUNNING && !cancel_bit -> cancel_bit = 1; requested++; effect = EFFECT_REQUESTED; break
#ifdef PROMISE
        :: late && state == CLAIMED /* weft__wait_settled: whoever claimed it will soon have settled it */
#else
        :: late && (state == CLAIMED || (state == RUNNING && cancel_bit)) -> effect = EFFECT_ALREADY; break
#endif
        fi
    };
    wait_done()
    od;
    late = 0;
    if
    :: effect == EFFECT_DONE ->
        argument_freed = argument_freed + has_argument;
        settle(CANCELLED, 0)
    :: else
    fi;
    /* The answer is true when it is given. */
    atomic {
        TOUCH;
        assert(effect != EFFECT_DONE || (state == CANCELLED && runs == 0));
        assert(effect != EFFECT_ALREADY || requested || discards);
        assert(effect != EFFECT_REQUESTED || requested == 1)
    }
}

proctype consumer(byte me; byte script)
{
    bit listing, waking, last, claimed, stop, late;
    byte mine, ending, effect, seen;

    if
    :: script == GET -> wait_done(); read_outcome()
    :: script == RELEASE
    :: script == CANCEL ->
        cancel();
        if
        :: wait_done(); read_outcome()
        :: true
        fi
#ifndef PROMISE
    :: script == INLINE ->
        /* The entry in the queue stays, as a tombstone with its reference; the run lives on the consumer's own. */
        atomic {
            TOUCH;
            if
            :: state == PENDING -> state = RUNNING; claimed = 1
            :: else
            fi
        };
        if
#ifdef MUT_INLINE_DROPS_TWICE
        :: claimed -> run_and_settle(1)
#else
        :: claimed -> run_and_settle(0)
#endif
        :: else -> wait_done()
        fi;
        read_outcome()
#endif
    :: script == ATTACH || script == CALLBACK ->
        atomic { TOUCH; late = DONE };
        if
        :: !late ->
            acquire();
            atomic {
                TOUCH;
                late = DONE;
                if
                :: !late ->
                    list = list | BIT(me);
                    if
                    :: script == CALLBACK -> callbacks = callbacks | BIT(me)
                    :: else
                    fi
                :: else
                fi
            };
            unlock()
        :: else
        fi;
        if
        :: late -> late = 0; read_outcome() /* DONE already: nothing was attached */
        :: else ->
            if
            :: true -> /* stays until it is told */
                told & BIT(me);
                if
                :: script == CALLBACK -> settle_verdict()
                :: else
                fi;
                read_outcome()
            :: script == ATTACH ->
                /* weft__detach: only what is still linked can be taken out. */
                acquire();
                atomic {
                    TOUCH;
                    assert(owner == me);
#ifdef MUT_DETACH_BLIND
                    late = 0;
#else
                    late = !(list & BIT(me));
#endif
                    list = list & ~BIT(me)
                };
                unlock();
                if
                :: late -> late = 0; told & BIT(me); read_outcome()
                :: else -> atomic { tell(BIT(me)) } /* nobody else may, from here on */
                fi
            fi
        fi
    fi;
    release();
    /* What a cancel said stays true. */
    if
    :: script == CANCEL ->
        atomic {
            assert(effect != EFFECT_DONE || (state == CANCELLED && runs == 0));
            assert(effect != EFFECT_TOO_LATE || state == seen);
            assert(effect != EFFECT_REQUESTED || discards == 0)
        }
    :: else
    fi
}

/* Everybody is through. */
active proctype quiescence()
{
    (_nr_pr == 1) ->
    d_step {
        assert(freed && references == 0);
        assert(asleep == 0 && list == 0 && owner == NONE && verdict == 0);
        assert(requested + discards <= 1);
#ifndef PROMISE
        assert(runs + discards == 1);
        assert(argument_freed == has_argument)
#endif
    }
}

/* Consumers are alike, so that each pair need come in one order only. */
inline choose_script()
{
    if
    :: script <= GET -> script = GET
    :: script <= RELEASE -> script = RELEASE
    :: script <= CANCEL -> script = CANCEL
#ifndef PROMISE
    :: script <= INLINE -> script = INLINE
#endif
    :: script <= ATTACH -> script = ATTACH
    :: script <= CALLBACK -> script = CALLBACK
    fi
}

init
{
    byte c, script;
    atomic {
        references = HOLDERS + CONSUMERS;
#ifdef MUT_QUEUE_HOLDS_NOTHING
        references--;
#endif
#ifdef PROMISE
        run resolver(CONSUMERS);
        run resolver(CONSUMERS + 1);
#else
        if
        :: has_argument = 0
        :: has_argument = 1
        fi;
        run popper(CONSUMERS);
#endif
#ifdef FIRST
        run consumer(0, FIRST);
        c = 1;
#endif
        do
        :: c < CONSUMERS -> choose_script(); run consumer(c, script); c++
        :: else -> break
        od;
        c = 0;
        script = 0
    }
}
