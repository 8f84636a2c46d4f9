/* token.pml: a token, what hangs on it, and when its memory goes (futures/token.c, hook.c, own_token.c).
 *
 * One flag, SET, is set without the lock, also in a signal handler; what hangs on the token is in lists under the lock; the
 * coordinator, told by a message, carries the flag to what it finds. The model asks whether a job or a token below can
 * join and not be told, whether a hook is called once or removed and never called, and whether the memory is touched after
 * it went. References (of those who may speak to the token) and holds (of its memory) are counted apart.
 *
 * Players: one sets the flag; one submits a job with the token, which ends by itself or when asked; one registers a hook
 * and takes it back; the coordinator; and the coordinator of the token above, which carries its own flag down while the
 * last reference may be going. With OWN another scene: a job asks for its own token while somebody cancels the job. SET is
 * written and read by seq_cst operations or under the lock, so the model's sequential consistency is the code's. */

#ifndef REFS
#define REFS 3 /* canceller, submitter, registrar */
#endif

bit set_flag;
bit locked;
byte refs = REFS;
byte holds = 1;
bit freed;
bit todo;       /* the set of things to do is not empty: a message is on its way or being posted */
bit message;    /* it is in the mailbox */

/* What hangs on it; under the lock. */
bit job_listed;
bit hook_listed;

/* The job. */
bit job_asked, job_left, job_done, job_born_cancelled;
byte job_refs = 1;

/* The hook's state, and what happened to it. */
mtype = { REGISTERED, DUE, RUNS, RAN, REMOVED };
mtype hook = REGISTERED;
bit hook_exists, hook_deferred;
byte hook_calls;
bit hook_taken_back; /* remove answered 0 */
byte hook_refs;

/* The token above: its lock, its list. */
bit above_locked, child_listed;

byte through; /* players that are through */

inline touch() { assert(!freed) }
inline take() { atomic { !locked -> touch(); locked = 1 } }
inline give() { atomic { touch(); locked = 0 } }
inline hold() { atomic { touch(); holds++ } }
inline let_go() {
    atomic {
        touch();
        assert(holds > 0);
        holds--;
        if
        :: holds == 0 -> freed = 1
        :: else
        fi
    }
}

/* Adds to the set; who found it empty posts. */
inline poke() {
    atomic { touch(); was = todo; todo = 1 };
    if
    :: was
    :: else ->
#ifndef MUT_MESSAGE_HOLDS_NOTHING
        hold();
#endif
        message = 1
    fi
}

/* Whether this made the difference. */
inline set_word() {
    atomic { touch(); made = !set_flag; set_flag = 1 }
}

inline leave_above() {
    atomic { !above_locked -> above_locked = 1 };
    child_listed = 0;
    above_locked = 0
}

inline drop_hook_reference() {
    atomic {
        assert(hook_refs > 0);
        hook_refs--;
        last = (hook_refs == 0)
    };
    if
    :: last -> let_go()
    :: else
    fi
}

/* The last reference: hooks are dropped, the token leaves the one above, its memory loses the references' hold. */
inline reap() {
    take();
    dropped = hook_listed;
    if
    :: hook_listed -> hook_listed = 0; hook = REMOVED
    :: else
    fi;
    give();
    if
    :: dropped -> drop_hook_reference()
    :: else
    fi;
#ifdef MUT_FREED_BEFORE_LEAVING
    let_go();
    leave_above()
#else
    leave_above();
    let_go()
#endif
}

inline unref() {
    atomic {
        touch();
        assert(refs > 0);
        refs--;
        last = (refs == 0)
    };
    if
    :: last -> reap()
    :: else
    fi
}

proctype canceller()
{
    bit made, was, last, dropped;
    set_word();
    if
    :: made -> poke()
    :: else
    fi;
    unref();
    through++
}

/* weft_submit_with, the job's end, and the program's release. */
proctype submitter()
{
    bit last, dropped;
#ifdef MUT_LOOKS_BEFORE_LOCK
    bit seen;
    atomic { touch(); seen = set_flag };
    take();
    if
    :: seen -> job_born_cancelled = 1
    :: else -> job_listed = 1; refs++
    fi;
    give();
#else
    take();
    if
    :: set_flag -> job_born_cancelled = 1
    :: else -> job_listed = 1; refs++
    fi;
    give();
#endif
    unref(); /* the program needs it no more */
    if
    :: job_born_cancelled
    :: else ->
        /* The function returns, by itself or because it was asked: out of the list, and only then done. */
        if
        :: true
        :: true -> (job_asked)
        fi;
#ifdef MUT_DONE_BEFORE_LEAVING
        atomic { job_done = 1; job_refs-- };
#endif
        take();
        job_listed = 0;
        job_left = 1;
        give();
#ifndef MUT_DONE_BEFORE_LEAVING
        atomic { job_done = 1; job_refs-- };
#endif
        unref()
    fi;
    through++
}

/* weft_token_on_cancel and weft_callback_remove. The handle is a reference, the registration another; together they hold
 * the token's memory. */
proctype registrar()
{
    bit last, dropped, attached, late;
#ifndef MUT_HOOK_HOLDS_NOTHING
    hold();
#endif
    hook_refs = 2;
    take();
    late = set_flag;
    if
    :: late -> hook = DUE
    :: else -> hook_listed = 1
    fi;
    hook_exists = 1;
    give();
    if
    :: late -> hook_deferred = 1 /* through the mailbox */
    :: else
    fi;
    unref();
    /* remove */
    take();
    attached = hook_listed;
    hook_listed = 0;
    give();
    if
    :: attached ->
        hook = REMOVED;
        hook_taken_back = 1;
        drop_hook_reference();
        drop_hook_reference()
    :: else ->
#ifdef MUT_REMOVE_LEAVES_DUE
        if
        :: hook == DUE -> hook_taken_back = 1; drop_hook_reference()
#else
        if
        :: atomic { hook == DUE -> hook = REMOVED }; hook_taken_back = 1; drop_hook_reference()
#endif
        :: atomic { hook == REMOVED && !hook_taken_back -> hook_taken_back = 1 }; drop_hook_reference()
        :: hook == RAN -> drop_hook_reference()
        fi
    fi;
    through++
}

/* The token's own coordinator: one message at a time. */
proctype coordinator()
{
    bit last, dropped, found;
    do
    :: atomic { message -> message = 0 };
#ifdef MUT_MESSAGE_HOLDS_NOTHING
        atomic { touch(); todo = 0 };
#else
        todo = 0;
#endif
        if
        :: set_flag ->
            take();
            if
            :: hook_listed -> hook_listed = 0; hook = DUE; hook_deferred = 1
            :: else
            fi;
            give();
            do
            :: take();
                found = job_listed;
                if
                :: found ->
                    job_listed = 0;
                    assert(job_refs > 0); /* it shares one that is there */
                    job_refs++
                :: else
                fi;
                give();
                if
                :: found -> job_asked = 1; job_refs--
                :: else -> break
                fi
            od
        :: else
        fi;
#ifndef MUT_MESSAGE_HOLDS_NOTHING
        let_go()
#endif
    :: atomic { hook_deferred -> hook_deferred = 0 };
        if
        :: atomic { hook == DUE -> hook = RUNS }; hook_calls++; hook = RAN
        :: hook != DUE
        fi;
        drop_hook_reference()
    :: through == 4 && !message && !hook_deferred -> break
    od
}

/* The coordinator of the token above carries its flag down, under the lock of that one. */
proctype above()
{
    bit made, was;
    atomic { !above_locked -> above_locked = 1 };
#ifdef MUT_CHILD_WITHOUT_LOCK
    above_locked = 0;
#endif
    if
    :: child_listed ->
        set_word();
        if
        :: made -> poke()
        :: else
        fi
    :: else
    fi;
#ifndef MUT_CHILD_WITHOUT_LOCK
    above_locked = 0;
#endif
    through++
}

#ifdef OWN
/* A running job asks for its own token while another thread asks the job to stop: each writes and then looks. */
bit word_cancel, token_there, own_set;
byte own_through;

proctype asker()
{
#ifdef MUT_OWN_LOOKS_FIRST
    bit seen = word_cancel;
    token_there = 1;
    if
    :: seen -> own_set = 1
    :: else
    fi;
#else
    token_there = 1;
    if
    :: word_cancel -> own_set = 1
    :: else
    fi;
#endif
    own_through++
}

proctype requester()
{
    word_cancel = 1;
    if
    :: token_there -> own_set = 1
    :: else
    fi;
    own_through++
}

init
{
    atomic { run asker(); run requester() };
    own_through == 2;
    assert(own_set)
}
#else
init
{
    child_listed = 1;
    atomic { run canceller(); run submitter(); run registrar(); run coordinator(); run above() };
    _nr_pr == 1;
    assert(set_flag);
    assert(!job_listed && !hook_listed);
    /* Who joined was asked, or had left before; who came late knows it. */
    assert(job_born_cancelled || job_asked || job_left);
    assert(hook_calls <= 1);
    assert(!(hook_taken_back && hook_calls));
    assert(hook_taken_back || hook_calls == 1);
    assert(refs == 0 && holds == 0 && freed);
    assert(job_born_cancelled || job_refs == 0)
}
#endif
