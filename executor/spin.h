/* spin.h: how long it has paid lately to look again and again before falling asleep.
 *
 * A thread that sleeps costs who wakes it a system call, and starts late; one that spins takes a CPU that somebody may
 * need. Which is worse is learnt from how it went: the rounds of spinning double when what was awaited came while it
 * spun, halve when it did not, and become four times as many after a sleep that was short: it would have paid to go on.
 * But if all rounds there are were spent in vain, nothing is learnt from the next REST short sleeps: then the thread
 * that is to bring what is awaited may be unable to run, because this one has its CPU, and comes as soon as it sleeps.
 *
 * A weft__spin belongs to one thread; zeros are its beginning. After the spinning of glibc's adaptive mutexes and of Go's
 * scheduler. */
#ifndef WEFT__SPIN_H
#define WEFT__SPIN_H

#include "atomics.h"

#ifdef WEFT_TINY
enum { WEFT__SPIN_TOP = 3 };
#else
enum { WEFT__SPIN_TOP = 6 };
#endif

typedef struct weft__spin {
    unsigned level; /* its rounds are 1 << level */
    unsigned rest;  /* short sleeps that are not looked at */
} weft__spin;

static inline unsigned weft__spin_rounds(const weft__spin *s)
{
    return 1u << s->level;
}

/* It came while the thread spun. */
static inline void weft__spin_paid(weft__spin *s)
{
    s->level += s->level < WEFT__SPIN_TOP;
}

/* It did not. */
static inline void weft__spin_failed(weft__spin *s)
{
    enum { REST = 64 };
    if (s->level == WEFT__SPIN_TOP)
        s->rest = REST;
    s->level -= s->level > 0;
}

/* The thread slept for so many ns, the time included that it takes to wake up, which is most of a short sleep. */
static inline void weft__spin_slept(weft__spin *s, int64_t ns)
{
    enum { SHORT_NS = 60000 };
    if (ns >= SHORT_NS)
        return;
    if (s->rest > 0)
        s->rest--;
    else
        s->level = s->level + 2 < WEFT__SPIN_TOP ? s->level + 2 : WEFT__SPIN_TOP;
}

#endif
