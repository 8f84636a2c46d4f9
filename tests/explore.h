/* explore.h: every interleaving of a few threads that run the real source of a lock-free file.
 *
 * Include this header, then the .c file under test. It replaces C11's atomic operations by its own: each becomes one
 * step of a fiber, and before each step a scheduler chooses who goes on. A depth-first search over these choices runs
 * the scenario again and again from its start until no choice is left.
 *
 * The memory is that of x86 (total store order), of which sequential consistency is a part: a store that is not seq_cst
 * goes into the buffer of its fiber, and when it leaves for memory is one more choice; loads look into their own buffer
 * first; read-modify-writes and seq_cst stores empty it. Weaker memories are not covered, nor are spurious failures of
 * a weak CAS.
 *
 * Two runs that have come to the same memory, the same buffers and the same history of values read by each fiber will
 * go on alike, because a fiber computes from what it read. Such states are expanded once. Plain memory that several
 * fibers read under a lock is made part of the history by explore_plain.
 *
 * A wrong build (explore_fault) makes one of the primitives weaker than the source asks for; the search must then find
 * a violation, or the scenario proves nothing. */
#ifndef WEFT_TESTS_EXPLORE_H
#define WEFT_TESTS_EXPLORE_H

#include "atomics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

enum explore_fault {
    EXPLORE_SOUND,
    EXPLORE_WEAK_STORES, /* a seq_cst store is buffered like any other */
    EXPLORE_WEAK_RMW,    /* a read-modify-write leaves the buffer as it is */
    EXPLORE_BLIND_CAS,   /* fiber 0's strong CAS always succeeds */
    EXPLORE_SPLIT_RMW,   /* a read-modify-write is a load and, one step later, a store */
};

enum {
    EXPLORE_FIBERS = 4,
    EXPLORE_BUFFER = 8,
    EXPLORE_DEPTH = 1024,
    EXPLORE_STACK = 32 * 1024,
    EXPLORE_REGIONS = 6,
    EXPLORE_STATES = 1 << 21 /* places in the table of states; a power of two */
};

typedef struct explore_scenario {
    unsigned fibers;
    void (*setup)(void);          /* builds the memory, calls explore_memory and explore_plain */
    void (*body)(unsigned fiber); /* runs on a fiber */
    const char *(*verdict)(void); /* after all fibers have ended or wait for ever: NULL or what is wrong */
    enum explore_fault fault;
} explore_scenario;

typedef struct explore_result {
    const char *wrong;          /* NULL: every interleaving was right */
    unsigned long runs, states; /* how much was looked at */
} explore_result;

typedef struct explore_fiber {
    void *origin[5], *resume[5]; /* __builtin_setjmp: where its body begins, where it goes on */
    uint64_t history;            /* hash of everything that it has read since its last checkpoint */
    const uint32_t *waits_for;   /* not enabled while this is 0 */
    unsigned buffered;
    bool ended;
    struct {
        void *place;
        size_t size;
        uint64_t value;
    } buffer[EXPLORE_BUFFER];
} explore_fiber;

static struct {
    const explore_scenario *scenario;
    void *scheduler[5]; /* __builtin_setjmp: where a fiber's step returns to */
    unsigned made;      /* fibers that have a stack; they serve all scenarios */
    explore_fiber fibers[EXPLORE_FIBERS];
    char stacks[EXPLORE_FIBERS][EXPLORE_STACK];
    int running; /* -1: not on a fiber, operations act at once */
    const char *wrong;
    struct {
        const void *start;
        size_t size;
        bool plain, passed;
    } regions[EXPLORE_REGIONS];
    unsigned regions_used;
    struct {
        unsigned choice, of;
    } path[EXPLORE_DEPTH];
    uint64_t *seen;       /* hashes of the states of this search and of earlier ones, 0 for a free place */
    unsigned long filled; /* places that are not free */
    uint64_t search;      /* part of every hash, so that searches share the table */
} explore_world = {.running = -1};

static uint64_t explore_mix(uint64_t hash, uint64_t x)
{
    hash = (hash ^ x) * UINT64_C(0x9fb21c651e98df25);
    return hash ^ (hash >> 29);
}

static uint64_t explore_mix_memory(uint64_t hash, const void *start, size_t size)
{
    const unsigned char *bytes = start;

    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = 0;
        memcpy(&word, bytes + i, size - i < 8 ? size - i : 8);
        hash = explore_mix(hash, word);
    }
    return hash;
}

/* Setup: this memory distinguishes states. */
static void explore_memory(const void *start, size_t size)
{
    explore_world.regions[explore_world.regions_used].start = start;
    explore_world.regions[explore_world.regions_used].plain = false;
    explore_world.regions[explore_world.regions_used].passed = false;
    explore_world.regions[explore_world.regions_used++].size = size;
}

/* Setup: the same, and fibers read it without an atomic operation, but only after a read-modify-write of theirs. */
static inline void explore_plain(const void *start, size_t size)
{
    explore_memory(start, size);
    explore_world.regions[explore_world.regions_used - 1].plain = true;
}

/* Setup: the same, and it is passed from one fiber to the next as a whole, so that no two use it at once: loads and
 * stores there are not steps. */
static inline void explore_passed(const void *start, size_t size)
{
    explore_memory(start, size);
    explore_world.regions[explore_world.regions_used - 1].passed = true;
}

static bool explore_is_passed(const volatile void *place)
{
    for (unsigned i = 0; i < explore_world.regions_used; i++) {
        uintptr_t offset = (uintptr_t)place - (uintptr_t)explore_world.regions[i].start;
        if (explore_world.regions[i].passed && offset < explore_world.regions[i].size) {
            return true;
        }
    }
    return false;
}

/* A fiber: something is wrong. */
static inline void explore_fail(const char *what)
{
    explore_world.wrong = what;
}

static inline explore_fiber *explore_self(void)
{
    return explore_world.running < 0 ? NULL : &explore_world.fibers[explore_world.running];
}

/* Fibers are switched by __builtin_setjmp, which makes no system call. It and the jump must be in different functions,
 * whose frames are their own and into which a compiler does not look: it would conclude which registers they leave as
 * they are, which is not true of the fibers in between. */
#if defined(__clang__)
#define EXPLORE_OPAQUE __attribute__((noinline))
#else
#define EXPLORE_OPAQUE __attribute__((noinline, noipa))
#endif

static EXPLORE_OPAQUE void explore_jump(void **to)
{
    __builtin_longjmp(to, 1);
}

static EXPLORE_OPAQUE void explore_switch(void **from, void **to)
{
    if (__builtin_setjmp(from) == 0) {
        explore_jump(to);
    }
}

/* Ends a step: the scheduler chooses what is next. */
static inline void explore_step(void)
{
    explore_fiber *self = explore_self();

    if (self != NULL) {
        explore_switch(self->resume, explore_world.scheduler);
    }
}

/* A fiber: all that it still remembers is x and what is in memory. Merges states that differ in forgotten values. */
static inline void explore_checkpoint(uint64_t x)
{
    explore_self()->history = x * 2 + 1;
}

/* A fiber: sleeps until *flag is not 0, beginning in the present step. */
static inline void explore_wait(const uint32_t *flag)
{
    explore_self()->waits_for = flag;
    explore_step();
    explore_self()->waits_for = NULL;
}

static void explore_flush_one(explore_fiber *fiber)
{
    memcpy(fiber->buffer[0].place, &fiber->buffer[0].value, fiber->buffer[0].size);
    fiber->buffered--;
    memmove(&fiber->buffer[0], &fiber->buffer[1], fiber->buffered * sizeof fiber->buffer[0]);
}

static void explore_flush(explore_fiber *fiber)
{
    while (fiber->buffered > 0) {
        explore_flush_one(fiber);
    }
}

/* What the fiber sees at `place`. */
static uint64_t explore_read(const explore_fiber *fiber, const void *place, size_t size)
{
    uint64_t value = 0;

    for (unsigned i = fiber == NULL ? 0 : fiber->buffered; i > 0; i--) {
        if (fiber->buffer[i - 1].place == place) {
            return fiber->buffer[i - 1].value;
        }
    }
    memcpy(&value, place, size);
    return value;
}

static void explore_remember(explore_fiber *fiber, uint64_t value, bool plain_too)
{
    if (fiber == NULL) {
        return;
    }
    fiber->history = explore_mix(fiber->history, value);
    for (unsigned i = 0; i < explore_world.regions_used && plain_too; i++) {
        if (explore_world.regions[i].plain) {
            fiber->history =
                explore_mix_memory(fiber->history, explore_world.regions[i].start, explore_world.regions[i].size);
        }
    }
}

static inline uint64_t explore_load(const volatile void *place, size_t size, memory_order order)
{
    (void)order; /* this memory never moves a load */
    if (!explore_is_passed(place)) {
        explore_step();
    }
    uint64_t value = explore_read(explore_self(), (const void *)place, size);
    explore_remember(explore_self(), value, false);
    return value;
}

static void explore_write(void *place, size_t size, uint64_t value, bool at_once)
{
    explore_fiber *self = explore_self();

    if (self != NULL && !at_once) {
        if (self->buffered == EXPLORE_BUFFER) {
            explore_flush_one(self);
        }
        self->buffer[self->buffered].place = place;
        self->buffer[self->buffered].size = size;
        self->buffer[self->buffered++].value = value;
        return;
    }
    if (self != NULL && explore_world.scenario->fault != EXPLORE_WEAK_RMW) {
        explore_flush(self);
    }
    memcpy(place, &value, size);
}

static inline void explore_store(volatile void *place, size_t size, uint64_t value, memory_order order)
{
    bool strong = order == memory_order_seq_cst && explore_world.scenario->fault != EXPLORE_WEAK_STORES;

    if (explore_is_passed(place)) {
        memcpy((void *)place, &value, size);
        return;
    }
    if (strong) {
        explore_step(); /* a store into the own buffer commutes with everything that others do */
    }
    explore_remember(explore_self(), 0, false);
    explore_write((void *)place, size, value, strong);
}

enum explore_operation { EXPLORE_EXCHANGE, EXPLORE_OR, EXPLORE_AND };

static uint64_t explore_begin_rmw(void *place, size_t size)
{
    explore_fiber *self = explore_self();

    explore_step();
    if (self != NULL && explore_world.scenario->fault != EXPLORE_WEAK_RMW) {
        explore_flush(self);
    }
    uint64_t value = explore_read(self, place, size);
    explore_remember(self, value, true);
    if (self != NULL && explore_world.scenario->fault == EXPLORE_SPLIT_RMW) {
        explore_step();
    }
    return value;
}

static inline uint64_t explore_rmw(volatile void *place, size_t size, enum explore_operation operation, uint64_t x,
                                   memory_order order)
{
    (void)order; /* nor a read-modify-write */
    uint64_t old = explore_begin_rmw((void *)place, size);

    explore_write((void *)place, size,
                  operation == EXPLORE_OR    ? old | x
                  : operation == EXPLORE_AND ? old & x
                                             : x,
                  true);
    return old;
}

static inline bool explore_cas(volatile void *place, size_t size, void *expected, uint64_t x, memory_order order,
                               memory_order other, bool strong)
{
    (void)order;
    (void)other;
    bool blind = strong && explore_world.running == 0 && explore_world.scenario->fault == EXPLORE_BLIND_CAS;
    uint64_t wanted = 0, old = explore_begin_rmw((void *)place, size);

    memcpy(&wanted, expected, size);
    if (old == wanted || blind) {
        explore_write((void *)place, size, x, true);
        return true;
    }
    memcpy(expected, &old, size);
    return false;
}

/* Notes where a body begins and goes back; every run of the fiber then enters here by a jump. */
static EXPLORE_OPAQUE void explore_fiber_main(void)
{
    if (__builtin_setjmp(explore_world.fibers[explore_world.running].origin) == 0) {
        explore_jump(explore_world.scheduler);
    }
    explore_remember(explore_self(), 0, false); /* to have started makes a difference */
    explore_world.scenario->body((unsigned)explore_world.running);
    explore_self()->ended = true;
    explore_self()->history = 0;
    explore_step();
}

/* Gives fiber i a stack, for good. */
static EXPLORE_OPAQUE void explore_make_fiber(unsigned i)
{
    static ucontext_t fresh;

    getcontext(&fresh);
    fresh.uc_stack.ss_sp = explore_world.stacks[i];
    fresh.uc_stack.ss_size = EXPLORE_STACK;
    fresh.uc_link = NULL;
    makecontext(&fresh, explore_fiber_main, 0);
    explore_world.running = (int)i;
    if (__builtin_setjmp(explore_world.scheduler) == 0) {
        setcontext(&fresh);
    }
    explore_world.running = -1;
}

static void explore_start(void)
{
    while (explore_world.made < explore_world.scenario->fibers) {
        explore_make_fiber(explore_world.made++);
    }
    explore_world.regions_used = 0;
    explore_world.wrong = NULL;
    explore_world.scenario->setup();
    for (unsigned i = 0; i < explore_world.scenario->fibers; i++) {
        explore_fiber *fiber = &explore_world.fibers[i];
        fiber->history = 2; /* no checkpoint is even */
        fiber->waits_for = NULL;
        fiber->buffered = 0;
        fiber->ended = false;
        memcpy(fiber->resume, fiber->origin, sizeof fiber->resume);
    }
}

static uint64_t explore_hash(void)
{
    uint64_t hash = explore_mix(7, explore_world.search);

    for (unsigned i = 0; i < explore_world.regions_used; i++) {
        hash = explore_mix_memory(hash, explore_world.regions[i].start, explore_world.regions[i].size);
    }
    for (unsigned i = 0; i < explore_world.scenario->fibers; i++) {
        const explore_fiber *fiber = &explore_world.fibers[i];
        hash = explore_mix(hash, fiber->history);
        hash = explore_mix(hash, fiber->buffered * 4u + (fiber->waits_for != NULL ? 2u : 0u) + fiber->ended);
        for (unsigned k = 0; k < fiber->buffered; k++) {
            hash = explore_mix(hash, (uint64_t)(uintptr_t)fiber->buffer[k].place);
            hash = explore_mix(hash, fiber->buffer[k].value);
        }
    }
    return hash | 1;
}

/* Notes the present state; false if it was there before. */
static bool explore_is_new(explore_result *result)
{
    uint64_t hash = explore_hash();
    size_t i = (size_t)(hash >> 8) % EXPLORE_STATES;

    while (explore_world.seen[i] != 0 && explore_world.seen[i] != hash) {
        i = (i + 1) % EXPLORE_STATES;
    }
    if (explore_world.seen[i] == hash) {
        return false;
    }
    explore_world.seen[i] = hash;
    result->states++;
    if (++explore_world.filled > EXPLORE_STATES / 4 * 3) {
        explore_fail("too many states");
    }
    return true;
}

static bool explore_enabled(const explore_fiber *fiber)
{
    return !fiber->ended && (fiber->waits_for == NULL || *fiber->waits_for != 0);
}

/* How many things can happen next: a step of an enabled fiber, or a store leaving a buffer. */
static unsigned explore_choices(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < explore_world.scenario->fibers; i++) {
        n += explore_enabled(&explore_world.fibers[i]);
        n += explore_world.fibers[i].buffered > 0;
    }
    return n;
}

static void explore_perform(unsigned choice)
{
    for (unsigned i = 0; i < explore_world.scenario->fibers; i++) {
        explore_fiber *fiber = &explore_world.fibers[i];
        if (explore_enabled(fiber) && choice-- == 0) {
            explore_world.running = (int)i;
            explore_switch(explore_world.scheduler, fiber->resume);
            explore_world.running = -1;
            return;
        }
        if (fiber->buffered > 0 && choice-- == 0) {
            explore_flush_one(fiber);
            return;
        }
    }
}

/* One run along the path as far as it goes, then always the first choice, until the end, a fault or a known state.
 * Returns the length of the path. */
static unsigned explore_run(unsigned known, explore_result *result)
{
    unsigned depth = 0;

    explore_start();
    for (unsigned of; (of = explore_choices()) > 0 && explore_world.wrong == NULL; depth++) {
        if (depth == EXPLORE_DEPTH) {
            explore_fail("too deep");
            return depth;
        }
        if (depth >= known) {
            if (!explore_is_new(result)) {
                return depth;
            }
            explore_world.path[depth].choice = 0;
            explore_world.path[depth].of = of;
        }
        explore_perform(explore_world.path[depth].choice);
    }
    if (explore_world.wrong == NULL) {
        explore_world.wrong = explore_world.scenario->verdict();
    }
    return depth;
}

/* Goes through all interleavings, or up to the first one that is wrong. The table of states stays for the next
 * search. */
static explore_result explore(const explore_scenario *scenario)
{
    explore_result result = {0};
    unsigned known = 0;

    explore_world.scenario = scenario;
    explore_world.search++;
    if (explore_world.filled > EXPLORE_STATES / 4 || explore_world.seen == NULL) {
        free(explore_world.seen);
        explore_world.seen = calloc(EXPLORE_STATES, sizeof *explore_world.seen);
        explore_world.filled = 0;
    }
    if (explore_world.seen == NULL) {
        result.wrong = "no memory";
    }
    for (bool more = true; more && result.wrong == NULL; result.runs++) {
        known = explore_run(known, &result);
        result.wrong = explore_world.wrong;
        while (known > 0 && explore_world.path[known - 1].choice + 1 == explore_world.path[known - 1].of) {
            known--;
        }
        more = known > 0;
        if (more) {
            explore_world.path[known - 1].choice++;
        }
    }
    return result;
}

/* From here on the atomic operations of the source under test are steps. The value of an atomic has the type of its
 * object without the qualifier, which is the type of a comma expression that ends in it. */
#define EXPLORE_VALUE(place) __typeof__(((void)0, *(place)))
#define EXPLORE_WORD(value)  ((uint64_t)(uintptr_t)(value))

#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_exchange_explicit
#undef atomic_fetch_or_explicit
#undef atomic_fetch_and_explicit
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak_explicit
#define atomic_load_explicit(place, order)         ((EXPLORE_VALUE(place))explore_load((place), sizeof *(place), (order)))
#define atomic_store_explicit(place, value, order) explore_store((place), sizeof *(place), EXPLORE_WORD(value), (order))
#define atomic_exchange_explicit(place, value, order)                                                                  \
    explore_rmw((place), sizeof *(place), EXPLORE_EXCHANGE, EXPLORE_WORD(value), (order))
#define atomic_fetch_or_explicit(place, value, order)                                                                  \
    explore_rmw((place), sizeof *(place), EXPLORE_OR, EXPLORE_WORD(value), (order))
#define atomic_fetch_and_explicit(place, value, order)                                                                 \
    explore_rmw((place), sizeof *(place), EXPLORE_AND, EXPLORE_WORD(value), (order))
#define atomic_compare_exchange_strong_explicit(place, expected, value, order, other)                                  \
    explore_cas((place), sizeof *(place), (expected), EXPLORE_WORD(value), (order), (other), true)
#define atomic_compare_exchange_weak_explicit(place, expected, value, order, other)                                    \
    explore_cas((place), sizeof *(place), (expected), EXPLORE_WORD(value), (order), (other), false)

#endif
