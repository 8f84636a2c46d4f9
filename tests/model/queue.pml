/* queue.pml: the queue of completions (futures/queue.c): pushes without a lock, who owes an answer for one, those who sleep
 * and the descriptor that is watched, and the end.
 *
 * The word `head` is a pair here, as an entry and bits never stand in it together. Each settler adds an entry under the
 * lock, the lowest that is free, so that entries are used again; later it settles: takes the entry off its future, if
 * nobody has done that, and pushes. Consumers poll, sleep with a limit, or sleep without one; a poller reads whenever the
 * descriptor is readable. One who sleeps for ever while there is something to be had, or a descriptor that is not
 * readable then, is an invalid end state. With DESTROY the only reader is the owner, who ends the queue after some reads
 * while settlers are still at it: what they touch must be there. */

#ifndef SETTLERS
#define SETTLERS 2
#endif
#ifndef CONSUMERS
#define CONSUMERS 2
#endif
#ifndef PATIENT
#define PATIENT 1 /* of them, without a time limit */
#endif
#ifndef EVENT
#define EVENT 0
#endif

#define ASLEEP 1
#define WATCHED 2
#define CLOSED 4

byte head_entry, head_bits;
bit locked, freed, event_closed;

/* Of entries 1 to SETTLERS; 0 is none. */
byte next[SETTLERS + 1];
bit future[SETTLERS + 1];   /* outstanding; under the lock */
bit attached[SETTLERS + 1]; /* on its future's list */
bit taken[SETTLERS + 1];    /* in use, from add until it is delivered */

byte ready, outstanding, coming, cleared, answered;
bit asked, raised, readable;
short late;

/* Those who sleep, oldest first; under the lock. */
byte sleeper[2];
byte sleepers;
bit told[CONSUMERS + 1];

byte added, delivered, through;

inline touch() { assert(!freed) }
inline take() { atomic { !locked -> touch(); locked = 1 } }
inline give() { atomic { touch(); locked = 0 } }

/* Under the lock; e: an entry that was found in the word. */
inline note_cleared(e) {
    if
    :: e != 0 && asked ->
#ifdef MUT_ONE_ANSWER
        cleared = 1;
#else
        cleared++;
#endif
        asked = 0
    :: else
    fi
}

/* rests: nothing is ready, and the next push will find the bits. */
inline seek_rest() {
    wanted = (sleepers > 0 -> ASLEEP : 0) + (EVENT -> WATCHED : 0);
#ifdef MUT_REST_STORES
    atomic { found = head_entry };
    if
    :: found -> note_cleared(found); rests = 0
    :: else -> atomic { head_entry = 0; head_bits = wanted; asked = wanted > 0; rests = 1 }
    fi
#else
    atomic {
        found = head_entry;
        if
        :: found -> note_cleared(found); rests = 0
        :: else ->
            if
            :: head_bits != wanted -> head_bits = wanted; asked = wanted > 0
            :: else
            fi;
            rests = 1
        fi;
        found = 0
    }
#endif
}

inline tell_first() {
    d_step {
        told[sleeper[0]] = 1;
        sleeper[0] = sleeper[1];
        sleepers--;
        coming++
    }
}

inline set_event(value) {
    atomic { assert(!event_closed); raised = value; readable = value }
}

inline leave() {
    some = 1;
    if
    :: ready
    :: else -> seek_rest(); some = !rests
    fi;
#ifdef MUT_LOWERED_UNLOCKED
    lowers = EVENT && raised && !some;
    if
    :: EVENT && some && !raised -> set_event(1)
    :: else
    fi;
#else
    if
    :: EVENT && some != raised -> set_event(some)
    :: else
    fi;
#endif
    do
#ifdef MUT_END_TELLS_NOBODY
    :: sleepers > 0 && some && coming == 0 -> tell_first()
    :: !(sleepers > 0 && some && coming == 0) -> break
#else
    :: sleepers > 0 && (outstanding == 0 || (some && coming == 0)) -> tell_first()
    :: !(sleepers > 0 && (outstanding == 0 || (some && coming == 0))) -> break
#endif
    od;
    rests = 0;
#ifdef MUT_LOWERED_UNLOCKED
    if
    :: lowers -> raised = 0; some = 0; give(); set_event(0)
    :: else -> some = 0; give()
    fi;
    lowers = 0
#else
    some = 0;
    give()
#endif
}

/* Under the lock: the stack, turned round, becomes the list. */
inline take_stack() {
    if
    :: ready == 0 && head_entry != 0 ->
#ifdef MUT_TAKE_STORES
        found = head_entry;
        head_entry = 0;
#else
        atomic { found = head_entry; head_entry = 0 };
#endif
        d_step {
            note_cleared(found);
            do
            :: found -> above = next[found]; next[found] = ready; ready = found; found = above
            :: else -> break
            od;
            above = 0
        }
    :: else
    fi
}

/* got: something was delivered. */
inline deliver() {
    take_stack();
    d_step {
        got = ready;
        if
        :: got ->
            assert(future[got] && taken[got]);
            ready = next[got];
            next[got] = 0;
            future[got] = 0;
            taken[got] = 0;
            outstanding--;
            delivered++;
            got = 1
        :: else
        fi
    }
}

inline answer() {
    take();
    answered++;
    if
    :: head_bits == CLOSED -> give()
    :: else -> leave()
    fi
}

inline come_late() {
    atomic {
        touch();
        late--;
        if
        :: late == 0 -> freed = 1
        :: else
        fi
    }
}

inline push() {
    atomic { touch(); seen = head_entry; bits = head_bits };
    do
    :: bits == CLOSED -> come_late(); break
    :: else ->
        next[me] = seen;
#ifdef MUT_PUSH_STORES
        atomic { touch(); head_entry = me; head_bits = 0 };
#else
        atomic {
            touch();
            if
            :: head_entry == seen && head_bits == bits -> head_entry = me; head_bits = 0; pushed = 1
            :: else -> seen = head_entry; bits = head_bits
            fi
        };
        if
        :: !pushed -> goto again
        :: else
        fi;
#endif
#ifdef MUT_PUSH_LOOKS_BACK
        atomic { touch(); bits = bits | (head_bits & ASLEEP) };
#endif
#ifdef MUT_WATCHED_FORGOTTEN
        bits = bits & ASLEEP;
#endif
        if
        :: bits -> answer()
        :: else
        fi;
        break;
again:  skip
    od
}

/* Adds, and settles. */
proctype settler()
{
    byte me, seen, bits, found, wanted;
    bit some, rests, lowers, pushed, mine;
    take();
    d_step {
        me = 1;
        do
        :: taken[me] -> me++
        :: else -> break
        od;
        taken[me] = 1;
        future[me] = 1;
        outstanding++
    };
    give();
    atomic { attached[me] = 1; added++ };
    atomic { mine = attached[me]; attached[me] = 0 };
    if
    :: mine -> push()
    :: else
    fi;
    through++
}

/* weft_queue_next, once; `limited` may give up. */
proctype consumer(byte self; bit limited)
{
    byte found, above, got, wanted;
    bit some, rests, lowers, gave_up;
    take();
    do
    ::
#ifdef MUT_GIVES_UP_QUIETLY
        if
        :: gave_up -> break
        :: else
        fi;
#endif
        deliver();
        if
        :: got || outstanding == 0 || gave_up -> break
        :: else
        fi;
        d_step { told[self] = 0; sleeper[sleepers] = self; sleepers++ };
        leave();
        if
        :: told[self]
        :: limited -> gave_up = 1
        fi;
        take();
        d_step {
            if
            :: told[self] ->
#ifndef MUT_COMING_STAYS
                coming--
#else
                skip
#endif
            :: else -> /* not told: still in the list */
                if
                :: sleeper[0] == self -> sleeper[0] = sleeper[1]
                :: else
                fi;
                sleepers--
            fi
        }
    od;
#ifdef MUT_GIVES_UP_QUIETLY
    if
    :: got || !gave_up -> leave()
    :: else -> give()
    fi;
#else
    leave();
#endif
    through++
}

/* Sleeps on the descriptor and reads until there is nothing more. It ends when all has been read. */
proctype poller()
{
    byte found, above, got, wanted;
    bit some, rests, lowers;
    do
    :: readable ->
        do
        :: take(); deliver();
            if
            :: got -> leave()
            :: else -> leave(); break
            fi
        od
    :: delivered == SETTLERS -> break
    od
}

/* Reads now and then, with and without sleeping, and ends the queue when all has been added. */
proctype owner()
{
    byte found, above, got, wanted, i, gone, newest;
    bit some, rests, lowers;
    take();
    leave(); /* as weft_queue_fd */
    do
    :: take(); deliver(); leave()
    :: added > 0 && delivered < added -> /* sleeps: it is told by an answer */
        take();
        deliver();
        if
        :: !got && outstanding > 0 ->
            d_step { told[0] = 0; sleeper[0] = 0; sleepers = 1 };
            leave();
            told[0];
            take();
            coming--;
            deliver();
            leave()
        :: else -> leave()
        fi
    :: added == SETTLERS -> break
    od;
    i = 1;
    do
    :: i <= SETTLERS ->
        atomic {
            if
            :: future[i] && attached[i] -> attached[i] = 0; gone++
            :: else
            fi;
            i++
        }
    :: else -> break
    od;
    take();
    atomic { newest = head_entry; head_entry = 0; head_bits = CLOSED; note_cleared(newest) };
#ifndef MUT_ANSWERS_NOT_AWAITED
    do
    :: answered != cleared -> got = answered; give(); answered != got; take()
    :: else -> break
    od;
#endif
    event_closed = 1;
    give();
    d_step {
        do
        :: newest -> gone++; newest = next[newest]
        :: else -> break
        od;
        do
        :: ready -> gone++; ready = next[ready]
        :: else -> break
        od
    };
#ifdef MUT_LATE_STORED
    late = outstanding - gone;
    atomic {
#else
    atomic {
        late = late + outstanding - gone;
#endif
        if
        :: late == 0 -> assert(!freed); freed = 1
        :: else
        fi
    }
}

init
{
    byte i;
    atomic {
        i = 0;
        do
        :: i < SETTLERS -> run settler(); i++
        :: else -> break
        od;
#ifdef DESTROY
        run owner();
#else
#if EVENT
        head_bits = WATCHED;
        asked = 1;
        run poller();
#endif
        i = 0;
        do
        :: i < CONSUMERS -> run consumer(i, i >= PATIENT); i++
        :: else -> break
        od;
#endif
        i = 0
    };
    _nr_pr == 1;
#ifdef DESTROY
    assert(freed);
#else
    assert(sleepers == 0 && coming == 0 && answered <= cleared + 1 && !freed);
    assert(delivered + outstanding == SETTLERS)
#endif
}
