/* loops.h: what the tests of parallel loops share: a range whose elements count how often each was handed out, with
 * pieces that stop at a gate, fail, or look about; and a call made from outside or in a job.
 *
 * Discipline. A cover is set up and read by the test's thread; its pieces run on any thread and only count. */
#ifndef WEFT_TESTS_LOOPS_H
#define WEFT_TESTS_LOOPS_H

#include "fixtures.h"

enum { MOST_ELEMENTS = 20000 };

typedef struct cover {
    size_t begin, end, grain;       /* of the loop; by the test before it */
    size_t fail_from, fail_step;    /* fail_step not 0: elements from fail_from on fail, every fail_step-th */
    test_gate *gate;                /* NULL: none. Pieces pass it */
    weft_executor *executor;        /* pieces expect to run in its jobs; NULL: they do not look */
    _Atomic(weft_future *) cancels; /* not NULL: each piece asks this to stop, before its elements */
    _Atomic(size_t) calls;          /* any thread, as the rest */
    _Atomic(size_t) odd;            /* calls whose range was not as it should be */
    _Atomic(uint64_t) workers;      /* a bit for the index of each that ran a piece */
    _Atomic(unsigned char) hits[MOST_ELEMENTS];
} cover;

static inline int cover_code(const cover *c, size_t i)
{
    bool fails = c->fail_step && i >= c->fail_from && (i - c->fail_from) % c->fail_step == 0;
    return fails ? (int)(i - c->fail_from) + 1 : 0;
}

static inline void cover_look(cover *c, size_t begin, size_t end)
{
    bool cut = c->grain == 0 || ((begin - c->begin) % c->grain == 0 && (end - begin == c->grain || end == c->end));
    if (begin >= end || begin < c->begin || end > c->end || !cut) {
        atomic_fetch_add_explicit(&c->odd, 1, memory_order_relaxed);
    }
    atomic_fetch_or_explicit(&c->workers, UINT64_C(1) << (weft_worker_index() & 63), memory_order_relaxed);
    TEST_EXPECT(c->executor == NULL || weft_executor_current() == c->executor);
}

static inline void cover_range(size_t begin, size_t end, void *data)
{
    cover *c = data;
    atomic_fetch_add_explicit(&c->calls, 1, memory_order_relaxed);
    cover_look(c, begin, end);
    if (c->gate) {
        test_gate_pass(c->gate);
    }
    if (test_get(c->cancels)) {
        weft_cancel(test_get(c->cancels));
        TEST_EXPECT(weft_cancelled());
    }
    for (size_t i = begin; i < end; i++) {
        atomic_fetch_add_explicit(&c->hits[i - c->begin], 1, memory_order_relaxed);
        int code = cover_code(c, i);
        if (code) {
            weft_fail(code);
            return;
        }
    }
}

static inline cover *cover_make(size_t begin, size_t end, size_t grain)
{
    cover *c = calloc(1, sizeof *c);
    assert_non_null(c);
    assert_true(end - begin <= MOST_ELEMENTS);
    c->begin = begin;
    c->end = end;
    c->grain = grain;
    return c;
}

/* Elements that were handed out; none twice, and none of those below `whole` left out. */
static inline size_t cover_hits(cover *c, size_t whole)
{
    size_t sum = 0;
    for (size_t i = 0; i < c->end - c->begin; i++) {
        unsigned hits = test_get(c->hits[i]);
        assert_true(hits == 1 || (hits == 0 && i + c->begin >= whole));
        sum += hits;
    }
    assert_int_equal(test_get(c->odd), 0);
    return sum;
}

#define assert_covered(c) assert_int_equal(cover_hits((c), (c)->end), (c)->end - (c)->begin)

static inline int cover_run(weft_executor *executor, cover *c)
{
    return weft_parallel_for(executor, c->begin, c->end, c->grain, cover_range, c);
}

/* The same in a job. */
typedef struct cover_call {
    weft_executor *executor; /* of the loop; by the test, as the next */
    cover *c;
    int code; /* by the job */
} cover_call;

static inline void *cover_job(void *argument)
{
    cover_call *call = argument;
    call->code = cover_run(call->executor, call->c);
    return call;
}

static inline int cover_run_in_job(weft_executor *executor, cover *c)
{
    cover_call call = {executor, c, -1};
    assert_int_equal(weft_await(weft_submit(executor, cover_job, &call), NULL), 0);
    return call.code;
}

#endif
