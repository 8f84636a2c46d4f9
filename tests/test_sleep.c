/* test_sleep.c: section 13, sleep, the timer wheel and the clock (SLP).
 *
 * Discipline. Order and exactness are proven on a manual clock; the real clock serves only where it is the subject:
 * never early by a nanosecond, late by at most 250 ms, idle while nothing is due. For SLP-09 this program replaces the
 * C library's readers of the wall clock by ones that jump back and forth, so that code which asked them would miss its
 * deadlines; CLOCK_MONOTONIC is passed on to the kernel. */
#define _GNU_SOURCE
#include "fixtures.h"

#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The wall clock of this program. */
static _Atomic(bool) wall_clock_jumps;
static _Atomic(unsigned) wall_clock_reads;

static void jump(struct timespec *time)
{
    unsigned reads = atomic_fetch_add_explicit(&wall_clock_reads, 1, memory_order_relaxed);
    time->tv_sec += reads % 2 == 0 ? 86400 : -86400;
}

int clock_gettime(clockid_t id, struct timespec *time)
{
    long result = syscall(SYS_clock_gettime, id, time);
    if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) &&
        atomic_load_explicit(&wall_clock_jumps, memory_order_relaxed)) {
        jump(time);
    }
    return (int)result;
}

time_t time(time_t *seconds)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (seconds != NULL) {
        *seconds = now.tv_sec;
    }
    return now.tv_sec;
}

static weft_future *sleep_for(weft_executor *executor, int64_t delay, void *value)
{
    weft_future *future = weft_sleep(executor, delay, value);
    assert_non_null(future);
    return future;
}

/* SLP-01. One sleep of many: the callback notes when it ended. */
enum { SLEEPS = 10000 };
typedef struct nap {
    int64_t due;   /* by the test before the sleep is made: no later than its deadline */
    int64_t ended; /* by the callback before it hits the latch */
    test_latch *latch;
} nap;

static int nap_ends(weft_future *future, void *data)
{
    nap *self = data;
    self->ended = weft_now();
    TEST_EXPECT(weft_future_state(future) == WEFT_SUCCEEDED);
    test_latch_hit(self->latch);
    return 0;
}

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* Returns how many callbacks were late. None is early. */
static unsigned late_of(weft_executor *executor, unsigned sleeps, uint32_t *seed)
{
    static nap naps[SLEEPS];
    test_latch *latch = test_latch_make();
    unsigned late = 0;
    for (unsigned i = 0; i < sleeps; i++) {
        int64_t delay = 100000 + next_random(seed) % (50 * MS - 100000);
        naps[i] = (nap){.due = weft_now() + delay, .latch = latch};
        weft_future *future = sleep_for(executor, delay, NULL);
        assert_int_equal(weft_on_done(future, nap_ends, &naps[i], NULL), 0);
        weft_future_release(future);
    }
    assert_true(test_latch_wait(latch, sleeps));
    for (unsigned i = 0; i < sleeps; i++) {
        assert_true(naps[i].ended >= naps[i].due);
        late += naps[i].ended > naps[i].due + 250 * MS;
    }
    return late;
}

/* How late depends on who else wants the CPUs. So on time means: in one of several rounds all of them were. */
static void test_slp_01_never_early_and_soon_after(void **state)
{
    enum { ROUNDS = 8 };
    (void)state;
    uint32_t seed = 2463534242U;
    weft_executor *executor = test_executor(0);
    unsigned late = 1;
    for (unsigned round = 0; late > 0 && round < ROUNDS; round++)
        late = late_of(executor, TEST_TSAN || round > 0 ? SLEEPS / 10 : SLEEPS, &seed);
    assert_int_equal(late, 0);
    test_destroy(executor);
}

static void test_slp_01_below_a_tick_is_rounded_up(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    for (int64_t delay = 1; delay <= 4 * TICK; delay += 1 + delay / 3) {
        int64_t due = weft_now() + delay;
        weft_future *future = sleep_for(executor, delay, NULL);
        assert_done_soon(future);
        assert_true(weft_now() >= due);
        weft_future_release(future);
    }
    test_destroy(executor);
}

static int64_t processor_time(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void test_slp_01_no_spinning_before_the_expiry(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    weft_future *future = sleep_for(executor, 400 * MS, NULL);
    test_pause(20 * MS);
    int64_t before = processor_time();
    assert_int_equal(weft_future_wait(future, test_patience()), 0);
    assert_true(processor_time() - before < 40 * MS);
    weft_future_release(future);
    test_destroy(executor);
}

/* A later sleep must not hide an earlier one that is made after it. */
static void test_slp_01_earlier_sleep_made_later(void **state)
{
    (void)state;
    weft_executor *executor = test_executor(0);
    weft_future *far = sleep_for(executor, 3600 * 1000 * MS, NULL);
    test_pause(5 * MS);
    int64_t start = weft_now();
    weft_future *near = sleep_for(executor, 20 * MS, NULL);
    assert_done_soon(near);
    int64_t took = weft_now() - start;
    assert_true(took >= 20 * MS && took <= 270 * MS);
    assert_int_equal(weft_future_state(far), WEFT_PENDING);
    weft_future_release(near);
    weft_future_release(far);
    assert_timers_soon(0);
    test_destroy(executor);
}

static void test_slp_02_zero_and_negative_end_soon(void **state)
{
    (void)state;
    int64_t delays[] = {0, -1, -3600 * 1000 * MS, INT64_MIN};
    for (unsigned manual = 0; manual < 2; manual++) {
        weft_clock *clock = manual != 0 ? weft_manual_clock_create() : NULL;
        weft_executor *executor = test_executor_clock(0, clock);
        for (unsigned i = 0; i < 4; i++) {
            weft_future *future = sleep_for(executor, delays[i], &delays[i]);
            assert_done_soon(future);
            assert_ok(future, &delays[i]);
            weft_future_release(future);
        }
        test_destroy(executor);
        if (clock != NULL) {
            weft_clock_destroy(clock);
        }
    }
}

/* Never inside the call: made on the coordinator itself, a due sleep is not DONE before the callback has returned. */
typedef struct due_inside {
    weft_executor *executor;
    weft_future *sleep; /* by the callback before it hits the latch */
    test_latch *latch;
} due_inside;

static int makes_a_due_sleep(weft_future *future, void *data)
{
    due_inside *self = data;
    (void)future;
    self->sleep = weft_sleep(self->executor, 0, NULL);
    TEST_EXPECT(self->sleep != NULL);
    TEST_EXPECT(!weft_future_done(self->sleep));
    test_latch_hit(self->latch);
    return 0;
}

static void test_slp_02_never_inside_the_call(void **state)
{
    (void)state;
    static due_inside inside;
    weft_executor *executor = test_executor(0);
    inputs in = inputs_make(executor, 1);
    inside = (due_inside){.executor = executor, .latch = test_latch_make()};
    assert_int_equal(weft_on_done(in.future[0], makes_a_due_sleep, &inside, NULL), 0);
    weft_promise_resolve(in.promise[0], NULL, NULL);
    assert_true(test_latch_wait(inside.latch, 1));
    assert_done_soon(inside.sleep);
    weft_future_release(inside.sleep);
    inputs_free(&in);
    test_destroy(executor);
}

static void test_slp_03_cancel_and_value(void **state)
{
    (void)state;
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = test_executor_clock(0, clock);
    int value = 0;
    weft_future *kept = sleep_for(executor, 10 * MS, &value), *dropped = sleep_for(executor, 10 * MS, &value);
    assert_timers_soon(2);
    assert_int_equal(weft_cancel(dropped), WEFT_CANCEL_DONE);
    assert_cancelled(dropped, WEFT_REASON_USER);
    assert_int_equal(weft_cancel(dropped), WEFT_CANCEL_TOO_LATE);
    assert_timers_soon(1);
    weft_manual_clock_advance(clock, 10 * MS - 1);
    assert_pending(executor, kept);
    weft_manual_clock_advance(clock, 1 + TICK);
    assert_int_equal(weft_future_state(kept), WEFT_SUCCEEDED);
    assert_cancelled(dropped, WEFT_REASON_USER);
    assert_int_equal(weft_cancel(kept), WEFT_CANCEL_TOO_LATE);
    assert_timers_soon(0);
    void *found = NULL;
    assert_int_equal(weft_await(kept, &found), 0);
    assert_ptr_equal(found, &value);
    weft_future_release(dropped);
    test_destroy(executor);
    weft_clock_destroy(clock);
}

static void test_slp_03_many_cancelled_sleeps_leave_the_wheel(void **state)
{
    enum { MANY = 2000 };
    static weft_future *futures[MANY];
    (void)state;
    weft_executor *executor = test_executor(0);
    for (unsigned i = 0; i < MANY; i++) {
        futures[i] = sleep_for(executor, (int64_t)(i + 1) * 1000 * MS, NULL);
    }
    for (unsigned i = 0; i < MANY; i++) {
        unsigned j = i * 7 % MANY;
        assert_int_equal(weft_cancel(futures[j]), WEFT_CANCEL_DONE);
    }
    assert_timers_soon(0);
    for (unsigned i = 0; i < MANY; i++) {
        weft_future_release(futures[i]);
    }
    test_destroy(executor);
}

static void test_slp_04_near_the_end_of_time_is_forever(void **state)
{
    (void)state;
    for (unsigned manual = 0; manual < 2; manual++) {
        weft_clock *clock = manual != 0 ? weft_manual_clock_create() : NULL;
        weft_executor *executor = test_executor_clock(0, clock);
        const int64_t delays[] = {INT64_MAX, INT64_MAX - 1, INT64_MAX - 1000000, INT64_MAX - weft_now() / 2};
        weft_future *futures[4];
        for (unsigned i = 0; i < 4; i++) {
            if (manual != 0 && i == 1) {
                weft_manual_clock_advance(clock, 3600 * 1000 * MS);
            }
            futures[i] = sleep_for(executor, delays[i], NULL);
        }
        if (manual != 0) {
            weft_manual_clock_advance(clock, INT64_MAX / 4);
        } else {
            test_pause(20 * MS);
        }
        for (unsigned i = 0; i < 4; i++) {
            assert_pending(executor, futures[i]);
            assert_int_equal(weft_cancel(futures[i]), WEFT_CANCEL_DONE);
            weft_future_release(futures[i]);
        }
        assert_timers_soon(0);
        test_destroy(executor);
        if (clock != NULL) {
            weft_clock_destroy(clock);
        }
    }
}

/* SLP-05. Callbacks run in the order in which the futures resolved, so their log is the order of the expiries. */
typedef struct numbered {
    test_log *log;
    int number;
    int64_t delay;
} numbered;

static int note_number(weft_future *future, void *data)
{
    numbered *self = data;
    TEST_EXPECT(weft_future_state(future) == WEFT_SUCCEEDED);
    test_note(self->log, self->number);
    return 0;
}

static void sleep_and_note(weft_executor *executor, numbered *self)
{
    weft_future *future = sleep_for(executor, self->delay, NULL);
    assert_int_equal(weft_on_done(future, note_number, self, NULL), 0);
    weft_future_release(future);
}

static void test_slp_05_by_deadline_and_then_by_creation(void **state)
{
    (void)state;
    static numbered sleeps[8];
    static const int64_t delays[8] = {30, 10, 20, 10, 5000, 20, 10, 4000000};
    for (unsigned big_steps = 0; big_steps < 2; big_steps++) {
        weft_clock *clock = weft_manual_clock_create();
        weft_executor *executor = test_executor_clock(0, clock);
        test_log *log = test_log_make();
        for (int i = 0; i < 8; i++) {
            sleeps[i] = (numbered){log, i, delays[i] * MS};
            sleep_and_note(executor, &sleeps[i]);
        }
        if (big_steps != 0) {
            weft_manual_clock_advance(clock, 5000000 * MS);
        } else {
            for (unsigned i = 0; i < 100; i++) {
                weft_manual_clock_advance(clock, i < 50 ? MS : 100000 * MS);
            }
        }
        assert_true(test_log_wait(log, 8));
        assert_log(log, 1, 3, 6, 2, 5, 0, 4, 7);
        test_destroy(executor);
        weft_clock_destroy(clock);
    }
}

/* The clock moves while the coordinator is still taking in the sleeps: what it has not seen yet is due all the same. */
static void test_slp_05_order_while_sleeps_are_on_their_way(void **state)
{
    (void)state;
    enum { ON_THEIR_WAY = 6, ROUNDS = 600 };
    static numbered sleeps[ON_THEIR_WAY];
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = test_executor_clock(0, clock);
    test_log *log = test_log_make();
    for (size_t round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < ON_THEIR_WAY; i++) {
            sleeps[i] = (numbered){log, i, (ON_THEIR_WAY - i) * MS};
            sleep_and_note(executor, &sleeps[i]);
        }
        weft_manual_clock_advance(clock, ON_THEIR_WAY * MS);
        assert_true(test_log_wait(log, (round + 1) * ON_THEIR_WAY));
        for (size_t i = 0; i < ON_THEIR_WAY; i++)
            assert_int_equal(test_log_at(log, round * ON_THEIR_WAY + i), ON_THEIR_WAY - 1 - i);
    }
    test_destroy(executor);
    weft_clock_destroy(clock);
}

static int by_delay_then_number(const void *left, const void *right)
{
    const numbered *a = left, *b = right;
    if (a->delay != b->delay) {
        return a->delay < b->delay ? -1 : 1;
    }
    return a->number - b->number;
}

/* `unit` is the grain of the deadlines and `span` how many different ones there are. */
static void random_deadlines(uint32_t seed, int64_t unit, uint32_t span)
{
    enum { COUNT = 1000 };
    static numbered made[COUNT], expected[COUNT];
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = test_executor_clock(0, clock);
    test_log *log = test_log_make();
    weft_manual_clock_advance(clock, (int64_t)(seed % 1000003) * 977);
    for (int i = 0; i < COUNT; i++) {
        made[i] = (numbered){log, i, (int64_t)(1 + next_random(&seed) % span) * unit};
        sleep_and_note(executor, &made[i]);
    }
    memcpy(expected, made, sizeof expected);
    qsort(expected, COUNT, sizeof expected[0], by_delay_then_number);
    weft_manual_clock_advance(clock, (int64_t)span * unit + TICK);
    assert_true(test_log_wait(log, COUNT));
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(test_log_at(log, (size_t)i), expected[i].number);
    }
    test_destroy(executor);
    weft_clock_destroy(clock);
}

static void test_slp_05_random_deadlines_over_all_levels(void **state)
{
    (void)state;
    random_deadlines(1, MS, 50);
    random_deadlines(2, MS, 100000);
    random_deadlines(3, 1000 * MS, 1000);
    random_deadlines(4, 86400 * 1000 * MS, 1000);
}

static void test_slp_05_random_deadlines_within_a_few_ticks(void **state)
{
    (void)state;
    random_deadlines(5, 1, 50);
    random_deadlines(6, 100, 5000);
}

/* Each sleep ends in the step that reaches its deadline, neither before nor after, at each distance. */
static void test_slp_05_exact_at_each_distance(void **state)
{
    (void)state;
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = test_executor_clock(0, clock);
    for (unsigned shift = 0; shift <= 58; shift++) {
        for (int64_t around = -1; around <= 1; around++) {
            int64_t delay = ((int64_t)1 << shift) + around;
            if (delay <= 1 || weft_clock_now(clock) > INT64_MAX - 4 * ((int64_t)1 << shift)) {
                continue;
            }
            weft_future *future = sleep_for(executor, delay, NULL);
            weft_manual_clock_advance(clock, delay - 1);
            assert_false(weft_future_done(future));
            weft_manual_clock_advance(clock, 1 + TICK);
            assert_true(weft_future_done(future));
            weft_future_release(future);
        }
    }
    test_destroy(executor);
    weft_clock_destroy(clock);
}

/* Steps that follow each other closely: each is answered, and what it made due has ended. */
static void test_slp_05_many_steps_of_the_manual_clock(void **state)
{
    (void)state;
    weft_clock *clock = weft_manual_clock_create();
    weft_executor *executor = test_executor_clock(1, clock);
    for (unsigned i = 0; i < test_rounds(50000); i++) {
        weft_future *future = i % 4 == 0 ? sleep_for(executor, TICK, NULL) : NULL;
        weft_manual_clock_advance(clock, 2 * TICK);
        assert_true(future == NULL || weft_future_done(future));
        weft_future_release(future);
    }
    test_destroy(executor);
    weft_clock_destroy(clock);
}

static void test_slp_09_wall_clock_has_no_effect(void **state)
{
    (void)state;
    atomic_store_explicit(&wall_clock_jumps, true, memory_order_relaxed);
    weft_executor *executor = test_executor(1);
    inputs in = inputs_make(executor, 1);
    for (unsigned i = 0; i < 5; i++) {
        int64_t start = weft_now();
        weft_future *future = sleep_for(executor, 20 * MS, NULL);
        weft_future *timed = weft_wait_for(in.future[0], 20 * MS, WEFT_NO_CANCEL);
        bool done[1];
        assert_int_equal(weft_future_wait(in.future[0], 20 * MS), -ETIMEDOUT);
        int64_t first = weft_now() - start;
        assert_int_equal(weft_wait(in.future, 1, WEFT_ALL_COMPLETED, 20 * MS, done), -ETIMEDOUT);
        int64_t second = weft_now() - start - first;
        assert_int_equal(weft_future_wait(future, test_patience()), 0);
        assert_int_equal(weft_future_wait(timed, test_patience()), 0);
        int64_t all = weft_now() - start;
        assert_true(first >= 20 * MS && first <= 270 * MS);
        assert_true(second >= 20 * MS && second <= 270 * MS);
        assert_true(all <= 3 * 270 * MS);
        assert_timed_out(timed);
        weft_future_release(timed);
        weft_future_release(future);
    }
    inputs_free(&in);
    test_destroy(executor);
    atomic_store_explicit(&wall_clock_jumps, false, memory_order_relaxed);
}

static void test_slp_shutdown_does_not_wait_for_sleeps(void **state)
{
    (void)state;
    for (int mode = WEFT_DRAIN; mode <= WEFT_CANCEL_ALL; mode++) {
        weft_executor *executor = test_executor(0);
        weft_future *future = sleep_for(executor, 3600 * 1000 * MS, NULL);
        weft_future *forever = sleep_for(executor, WEFT_FOREVER, NULL);
        assert_int_equal(weft_executor_shutdown(executor, (weft_shutdown_mode)mode, test_patience()), 0);
        assert_cancelled(future, WEFT_REASON_SHUTDOWN);
        assert_cancelled(forever, WEFT_REASON_SHUTDOWN);
        errno = 0;
        assert_null(weft_sleep(executor, MS, NULL));
        assert_int_equal(errno, ESHUTDOWN);
        weft_future_release(future);
        weft_future_release(forever);
        test_destroy(executor);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_slp_01_never_early_and_soon_after),
        TEST(test_slp_01_below_a_tick_is_rounded_up),
        TEST(test_slp_01_no_spinning_before_the_expiry),
        TEST(test_slp_01_earlier_sleep_made_later),
        TEST(test_slp_02_zero_and_negative_end_soon),
        TEST(test_slp_02_never_inside_the_call),
        TEST(test_slp_03_cancel_and_value),
        TEST(test_slp_03_many_cancelled_sleeps_leave_the_wheel),
        TEST(test_slp_04_near_the_end_of_time_is_forever),
        TEST(test_slp_05_by_deadline_and_then_by_creation),
        TEST(test_slp_05_order_while_sleeps_are_on_their_way),
        TEST(test_slp_05_random_deadlines_over_all_levels),
        TEST(test_slp_05_random_deadlines_within_a_few_ticks),
        TEST(test_slp_05_exact_at_each_distance),
        TEST(test_slp_05_many_steps_of_the_manual_clock),
        TEST(test_slp_09_wall_clock_has_no_effect),
        TEST(test_slp_shutdown_does_not_wait_for_sleeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
