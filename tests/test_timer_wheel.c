/* test_timer_wheel.c: the timer wheel against a binary heap that is too simple to be wrong.
 *
 * The wheel has no clock, so time here is a number: each test steps it, by nanoseconds or by centuries, and compares
 * every timer that comes out with the heap's first. What must be cheap is counted (moves, wake-ups), not timed. T1 to
 * T13 are faults that other wheels had. With the argument "bench" the program measures instead. */
#define _GNU_SOURCE
#include "timer_wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLOW 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SLOW 1
#endif
#endif
#ifndef SLOW
#define SLOW 0
#endif

enum {
    MILLION = 1000000,
    CALL_MOVES = WEFT__WHEEL_SMALL + WEFT__WHEEL_STEP,
    REST_MOVES = CALL_MOVES + WEFT__WHEEL_REST + WEFT__WHEEL_STEP
};

static const int64_t second = 1000000000;
static const int64_t forever = INT64_MAX;
static const int64_t tick = 1 << 16; /* borders of the usual tick are tried, too */

static uint64_t seed = 0x9e3779b97f4a7c15;

static uint64_t chance(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed * 0x2545f4914f6cdd1d >> 1;
}

static size_t below(size_t n)
{
    return (size_t)(chance() % n);
}

/* Of any magnitude up to 2^bits. */
static int64_t magnitude(unsigned bits)
{
    return (int64_t)(chance() & (((uint64_t)1 << below(bits + 1)) - 1));
}

static int64_t plus(int64_t a, int64_t b)
{
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return b > 0 ? forever - 1 : INT64_MIN;
    return sum == forever ? forever - 1 : sum;
}

struct entry {
    weft__timer timer;
    uint64_t order; /* number of its insertion */
    size_t at;      /* its place in the heap */
};

/* A wheel, and what is in it in a heap. */
struct pair {
    weft__wheel wheel;
    int64_t now;
    size_t operations, count, capacity;
    struct entry **heap;
    struct entry *entries;
};

static bool before(const struct entry *a, const struct entry *b)
{
    if (a->timer.deadline != b->timer.deadline)
        return a->timer.deadline < b->timer.deadline;
    return a->order < b->order;
}

static void heap_put(struct pair *p, size_t at, struct entry *entry)
{
    p->heap[at] = entry;
    entry->at = at;
}

/* Puts the entry where it belongs, given that the heap is one but for the hole at `at`. */
static void heap_fill(struct pair *p, size_t at, struct entry *entry)
{
    for (; at > 0 && before(entry, p->heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap_put(p, at, p->heap[(at - 1) / 2]);
    for (size_t child; (child = 2 * at + 1) < p->count; at = child) {
        child += child + 1 < p->count && before(p->heap[child + 1], p->heap[child]);
        if (!before(p->heap[child], entry))
            break;
        heap_put(p, at, p->heap[child]);
    }
    heap_put(p, at, entry);
}

static void heap_remove(struct pair *p, const struct entry *entry)
{
    struct entry *last = p->heap[--p->count];
    if (last != entry)
        heap_fill(p, entry->at, last);
}

static void *allocate(size_t size)
{
    void *memory = calloc(1, size);
    if (!memory)
        exit(1);
    return memory;
}

static struct pair *pair_make(size_t capacity, int64_t now)
{
    struct pair *p = allocate(sizeof *p);
    p->heap = allocate(capacity * sizeof(struct entry *));
    p->entries = allocate(capacity * sizeof(struct entry));
    p->capacity = capacity;
    p->now = now;
    weft__wheel_init(&p->wheel, now);
    for (size_t i = 0; i < capacity; i++)
        weft__timer_init(&p->entries[i].timer);
    return p;
}

static void pair_free(struct pair *p)
{
    free(p->heap);
    free(p->entries);
    free(p);
}

static void pair_insert(struct pair *p, struct entry *entry, int64_t deadline)
{
    entry->timer.deadline = deadline;
    entry->order = p->operations++;
    weft__wheel_insert(&p->wheel, &entry->timer);
    p->count++;
    heap_fill(p, p->count - 1, entry);
}

static void pair_remove(struct pair *p, struct entry *entry)
{
    p->operations++;
    weft__wheel_remove(&p->wheel, &entry->timer);
    heap_remove(p, entry);
}

static int64_t earliest(const struct pair *p)
{
    return p->count ? p->heap[0]->timer.deadline : forever;
}

/* One call of expire; false: nothing was due, as the heap agrees. */
static bool pair_expire(struct pair *p, int64_t now)
{
    p->now = now > p->now ? now : p->now;
    p->operations++;
    weft__timer *timer = weft__wheel_expire(&p->wheel, now);
    if (!timer) {
        assert_true(earliest(p) > p->now);
        assert_true(p->wheel.base == p->wheel.now); /* so that what comes now goes to a low level */
        return false;
    }
    assert_false(weft__timer_armed(timer));
    assert_true(timer->deadline <= p->now);
    assert_ptr_equal((struct entry *)timer, p->heap[0]);
    heap_remove(p, (struct entry *)timer);
    return true;
}

static int64_t pair_next(struct pair *p)
{
    int64_t next = weft__wheel_next(&p->wheel);
    assert_true(next <= earliest(p));
    assert_int_equal(weft__wheel_count(&p->wheel), p->count);
    if (p->count == 0)
        assert_true(next == forever);
    return next;
}

static int64_t some_deadline(struct pair *p, unsigned bits)
{
    const int64_t later = plus(p->now, magnitude(bits));
    const int64_t choices[] = {
        plus(p->now, -magnitude(bits)),                                     /* late */
        p->count ? p->heap[below(p->count)]->timer.deadline : p->now,       /* the same as another's */
        later & -tick,                                                      /* a tick's border, often the same */
        plus(later & ~(int64_t)(((uint64_t)1 << below(bits + 1)) - 1), -1), /* just before some border */
    };
    size_t choice = below(8);
    return choice < 4 ? choices[choice] : later;
}

static void insert_some(struct pair *p, unsigned bits)
{
    int64_t around = some_deadline(p, bits);
    unsigned width = (unsigned)below(bits + 1);
    size_t many = below(16) ? 1 : below(200); /* now and then a crowd */
    for (size_t i = 0; i < many && p->count < p->capacity; i++) {
        struct entry *entry = &p->entries[below(p->capacity)];
        if (!weft__timer_armed(&entry->timer))
            pair_insert(p, entry, i == 0 ? around : plus(around, magnitude(width)));
    }
}

static void remove_some(struct pair *p)
{
    size_t many = below(64) ? 1 : below(100);
    for (size_t i = 0; i < many && p->count; i++)
        pair_remove(p, p->heap[below(8) ? below(p->count) : 0]);
}

static void pass_time(struct pair *p, unsigned bits)
{
    const int64_t choices[] = {
        earliest(p) - 1,
        earliest(p),
        pair_next(p),
        plus(p->now, -magnitude(bits)), /* back: without effect */
        plus(p->now, magnitude(bits > 6 ? bits - 6 : 0)),
    };
    int64_t now = choices[below(5)];
    size_t most = below(4) ? p->capacity : below(20);
    for (size_t i = 0; now != forever && i < most && pair_expire(p, now); i++) {
        if (below(16) == 0)
            insert_some(p, bits);
    }
}

static void any_operation(struct pair *p, unsigned bits)
{
    size_t dice = below(100);
    if (dice < 45)
        insert_some(p, bits);
    else if (dice < 70)
        remove_some(p);
    else if (dice < 85)
        pass_time(p, bits);
    else if (dice < 95)
        pair_next(p);
    else
        weft__wheel_work(&p->wheel, below(100));
}

static const int64_t starts[] = {0, (int64_t)1000000 << 31, (int64_t)1000000 << 32, (int64_t)1000000 << 36,
                                 ((int64_t)1 << 36) - 5, INT64_MAX / 2,
                                 /* At the end of time: */
                                 INT64_MAX - 100000000000, INT64_MAX - 70000, INT64_MAX - 100};
enum { STARTS = sizeof starts / sizeof starts[0], ENDS = 3 };

static size_t random_round(size_t operations, size_t capacity, int64_t start, bool check)
{
    struct pair *p = pair_make(capacity, start);
    unsigned bits = (unsigned)(4 + below(59));
    while (p->operations < operations) {
        any_operation(p, bits);
        if (check)
            assert_true(weft__wheel_check(&p->wheel));
    }
    while (pair_expire(p, forever - 1))
        ;
    assert_int_equal(weft__wheel_count(&p->wheel), 0);
    assert_true(weft__wheel_check(&p->wheel));
    size_t done = p->operations;
    pair_free(p);
    return done;
}

static void test_random_operations_agree_with_a_heap(void **state)
{
    (void)state;
    for (size_t done = 0, round = 0; done < (SLOW ? 300000 : 10 * MILLION); round++)
        done += random_round(20000, 4096, starts[round % STARTS], false);
}

static void test_random_operations_keep_the_invariants(void **state)
{
    (void)state;
    for (size_t done = 0, round = 0; done < (SLOW ? 20000 : 100000); round++)
        done += random_round(500, 512, starts[round % STARTS], true);
}

/* Alone in the wheel: not a nanosecond early, and at the deadline itself; and next names it. */
static void fires_exactly(int64_t start, int64_t deadline)
{
    weft__wheel wheel;
    weft__timer timer;
    weft__wheel_init(&wheel, start);
    weft__timer_init(&timer);
    timer.deadline = deadline;
    weft__wheel_insert(&wheel, &timer);
    assert_true(weft__wheel_check(&wheel));
    assert_true(weft__wheel_next(&wheel) == deadline);
    if (deadline > start)
        assert_null(weft__wheel_expire(&wheel, deadline - 1));
    assert_true(weft__wheel_next(&wheel) == deadline);
    assert_true(weft__wheel_check(&wheel));
    assert_ptr_equal(weft__wheel_expire(&wheel, deadline), &timer);
    assert_null(weft__wheel_expire(&wheel, forever));
    assert_int_equal(weft__wheel_count(&wheel), 0);
    assert_true(weft__wheel_next(&wheel) == forever);
    assert_true(weft__wheel_check(&wheel));
}

static int64_t border(int64_t start, size_t bit, int64_t distance, bool aligned)
{
    int64_t span = (int64_t)1 << bit;
    return plus(aligned ? plus(start, span) / span * span : plus(start, span), distance);
}

/* T1, T2, T4: every level's and the usual tick's border, give or take a nanosecond and a tick. */
static void test_t1_t2_t4_borders_of_every_level(void **state)
{
    (void)state;
    const int64_t distances[] = {-tick - 1, -tick, -2, -1, 0, 1, 2, tick, tick + 1};
    for (size_t i = 0; i < STARTS * 63 * 9; i++) {
        int64_t start = starts[i % STARTS];
        fires_exactly(start, border(start, i / STARTS % 63, distances[i / STARTS / 63], false));
        fires_exactly(start, border(start, i / STARTS % 63, distances[i / STARTS / 63], true));
    }
}

/* The same borders, all in one wheel, crowded or not; time goes by in steps that fit them badly. */
static void all_borders_together(int64_t start, size_t copies, int64_t step)
{
    struct pair *p = pair_make((size_t)63 * 3 * copies, start);
    for (size_t i = 0; i < p->capacity; i++)
        pair_insert(p, &p->entries[i], border(start, i % 63, (int64_t)(i / 63 % 3) - 1, true));
    assert_true(weft__wheel_check(&p->wheel));
    for (size_t turns = 0; p->count > 0; turns++) {
        assert_true(turns < 20000); /* more would be work that leads nowhere */
        while (pair_expire(p, p->now))
            ;
        assert_true(weft__wheel_check(&p->wheel));
        int64_t next = pair_next(p);
        if (p->count > 0)
            pair_expire(p, plus(next, step) > p->now ? plus(next, step) : next);
    }
    pair_free(p);
}

static void test_borders_of_every_level_together(void **state)
{
    (void)state;
    for (size_t s = 0; s < STARTS; s++) {
        all_borders_together(starts[s], 1, 0);
        all_borders_together(starts[s], 1, -1);
        all_borders_together(starts[s], 30, 0);
        all_borders_together(starts[s], 30, 12345);
    }
}

/* Each letter is a step, with its number. i: insert with that deadline; r: remove the timer inserted as that number;
 * e: what is due then comes out, and nothing else; o: one does; n: that is when the wheel wants to be called. The heap
 * knows which timers come, and in what order. At the end the wheel is empty. */
static void play(int64_t now, const char *steps, const int64_t *numbers)
{
    struct pair *p = pair_make(strlen(steps), now);
    for (size_t i = 0, inserted = 0; steps[i]; i++) {
        if (steps[i] == 'i')
            pair_insert(p, &p->entries[inserted++], numbers[i]);
        else if (steps[i] == 'r')
            pair_remove(p, &p->entries[numbers[i]]);
        else if (steps[i] == 'n')
            assert_true(pair_next(p) == numbers[i]);
        else if (steps[i] == 'o')
            assert_true(pair_expire(p, numbers[i]));
        while (steps[i] == 'e' && pair_expire(p, numbers[i]))
            ;
        assert_true(weft__wheel_check(&p->wheel));
    }
    assert_int_equal(weft__wheel_count(&p->wheel), 0);
    pair_free(p);
}

static void test_slp_05_by_deadline_then_by_insertion(void **state)
{
    (void)state;
    play(0, "iiiiiieee", (const int64_t[]){50, 40, 50, 90, 40, 50, 39, 60, 90});
}

/* Late ones, too, have their place in the order, also before those that are due but not taken yet. */
static void test_late_timers_are_in_order(void **state)
{
    (void)state;
    play(0, "iiiiooiie", (const int64_t[]){100, 200, 300, 400, 1000, 1000, 350, -7, 1000});
}

/* T3, T13: the farthest deadlines neither wrap nor fire at once. */
static void test_t3_t13_the_end_of_time(void **state)
{
    (void)state;
    const int64_t century = second * 86400 * 36525, last = forever - 1;
    play(1, "iiieoeoo",
         (const int64_t[]){last, last - 1, 2 * century, century, 2 * century, last - 2, last - 1, forever});
}

/* T5, T10: a later timer does not hide an earlier one, whichever came first. */
static void test_t5_t10_an_earlier_timer_is_next(void **state)
{
    (void)state;
    const int64_t hour = 3600 * second, late = 12300;
    play(12345, "inininrnrnrn",
         (const int64_t[]){hour, hour, second, second, late, late, 2, second, 1, hour, 0, forever});
}

/* T7: a timer removed at the moment at which it is due, its like having fired, does not fire. */
static void test_t7_removed_when_due(void **state)
{
    (void)state;
    play(0, "iiiiorroe", (const int64_t[]){500, 500, 500, 501, 900, 1, 3, 900, 900});
}

/* T8: a delay of nothing. */
static void test_t8_due_at_once(void **state)
{
    (void)state;
    play(77, "iinono", (const int64_t[]){77, 76, 76, 77, 77, 77});
}

/* T11: time does not go back, and what was in the wheel stays where it is. */
static void test_t11_the_clock_steps_back(void **state)
{
    (void)state;
    play(0, "iiieeooeo", (const int64_t[]){50000, 70000, 200000, 40000, 1, 100000, 2, INT64_MIN, 200000});
}

/* T6, T12: after a sleep of any length all that is overdue comes, once, in order. */
static void test_t6_t12_overdue_after_a_long_sleep(void **state)
{
    (void)state;
    for (unsigned bits = 10; bits <= 62; bits += 4) {
        struct pair *p = pair_make(3000, 1000);
        for (size_t i = 0; i < 3000; i++)
            pair_insert(p, &p->entries[i], plus(1000, magnitude(bits)));
        while (pair_expire(p, plus(1000, (int64_t)1 << bits)))
            ;
        assert_int_equal(p->count, 0);
        pair_free(p);
    }
}

/* Some of a crowd are spread, the others are cancelled before they are. */
static void test_a_crowd_cancelled_while_it_is_spread(void **state)
{
    (void)state;
    for (size_t spread = 1; spread < 200; spread += 7) {
        struct pair *p = pair_make(200, 0);
        for (size_t i = 0; i < 200; i++)
            pair_insert(p, &p->entries[i], second / 20 + (int64_t)(i % 3));
        weft__wheel_work(&p->wheel, spread);
        for (size_t i = 200; i-- > spread / 2;) {
            pair_remove(p, &p->entries[i]);
            assert_true(weft__wheel_check(&p->wheel));
        }
        while (pair_expire(p, second))
            ;
        assert_int_equal(p->count, 0);
        pair_free(p);
    }
}

/* A caller too busy to ask when it is wanted spreads all the same. */
static void test_expire_alone_spreads_what_came(void **state)
{
    (void)state;
    struct pair *p = pair_make(10000, 0);
    for (size_t i = 0; i < 10000; i++) {
        pair_insert(p, &p->entries[i], second / 20);
        if (i % 100 == 0)
            pair_expire(p, 0);
    }
    assert_true(p->wheel.moved > 5000);
    pair_free(p);
}

static void test_any_visits_all(void **state)
{
    (void)state;
    struct pair *p = pair_make(5000, 0);
    for (size_t i = 0; i < 5000; i++)
        pair_insert(p, &p->entries[i], 1000 + magnitude(50));
    for (size_t i = 0; i < 100; i++) {
        weft__wheel_work(&p->wheel, 7);
        pair_expire(p, 2000);
    }
    for (weft__timer *timer; (timer = weft__wheel_any(&p->wheel));)
        pair_remove(p, (struct entry *)timer);
    assert_int_equal(p->count, 0);
    assert_true(pair_next(p) == forever);
    assert_true(weft__wheel_check(&p->wheel));
    pair_free(p);
}

static void test_a_timer_takes_24_bytes(void **state)
{
    (void)state;
    assert_int_equal(sizeof(weft__timer), 24);
    assert_true(sizeof(weft__wheel) <= 76000);
}

/* Sleeps from next to next until `count` timers have fired; returns how often it woke. */
static size_t wakeups(weft__wheel *wheel, int64_t now, size_t count)
{
    size_t woken = 0;
    while (count > 0) {
        int64_t next = weft__wheel_next(wheel);
        woken += next > now;
        now = next > now ? next : now;
        while (weft__wheel_expire(wheel, now))
            count--;
    }
    return woken;
}

static void test_a_lone_timer_wakes_once(void **state)
{
    (void)state;
    for (int i = 0; i < 20000; i++) {
        weft__wheel wheel;
        weft__timer timer;
        int64_t now = magnitude(62);
        weft__wheel_init(&wheel, now);
        timer.deadline = plus(now, i == 0 ? 3600 * second : i == 1 ? 30 * second / 1000 : 1 + magnitude(62));
        weft__wheel_insert(&wheel, &timer);
        assert_int_equal(wakeups(&wheel, now, 1), 1);
        assert_true(wheel.moved <= 1);
    }
}

/* A crowd of one deadline far away: once more for each level at which it is spread, at most. */
static void test_a_crowd_wakes_a_handful_of_times(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++) {
        struct pair *p = pair_make(1000, magnitude(60));
        int64_t deadline = plus(p->now, 3600 * second + magnitude(50));
        for (size_t n = 0; n < 1000; n++)
            pair_insert(p, &p->entries[n], deadline);
        assert_true(wakeups(&p->wheel, p->now, 1000) <= WEFT__WHEEL_LEVELS);
        pair_free(p);
    }
}

static int64_t clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return t.tv_sec * second + t.tv_nsec;
}

/* How a million timers came out: moves in one call that handed out a timer, in one that found nothing due and the call
 * of next after it, and in all; how late the first timer and the latest came, in ns; how often the caller slept. */
struct course {
    uint64_t most, most_idle, moved;
    int64_t first, late;
    size_t sleeps;
};

/* The time after a call that returned `timer`. Counted: a timer that fires takes 200 ns, a look at the wheel 1 us.
 * Real: after a look it sleeps, and at least `pause`. */
static int64_t pass(struct pair *p, const weft__timer *timer, int64_t now, int64_t pause, struct course *course)
{
    if (timer)
        return pause < 0 ? now + 200 : now;
    int64_t next = weft__wheel_next(&p->wheel);
    if (pause < 0)
        return next > now + 1000 ? next : now + 1000;
    next = next < now + pause ? now + pause : next;
    if (next > clock_ns(CLOCK_MONOTONIC) && weft__wheel_count(&p->wheel) > 0) {
        struct timespec until = {.tv_sec = next / second, .tv_nsec = next % second};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        course->sleeps++;
    }
    return clock_ns(CLOCK_MONOTONIC);
}

/* What the coordinator does, on the real clock or (pause < 0) on a counted one. */
static struct course run_course(struct pair *p, int64_t pause)
{
    struct course course = {.first = -1};
    for (int64_t now = p->now; weft__wheel_count(&p->wheel) > 0;) {
        uint64_t moved = p->wheel.moved;
        const weft__timer *timer = weft__wheel_expire(&p->wheel, now);
        int64_t late = timer ? now - timer->deadline : 0;
        assert_true(late >= 0);
        course.first = timer && course.first < 0 ? late : course.first;
        course.late = late > course.late ? late : course.late;
        now = pass(p, timer, now, pause, &course);
        uint64_t *most = timer ? &course.most : &course.most_idle;
        *most = p->wheel.moved - moved > *most ? p->wheel.moved - moved : *most;
    }
    course.moved = p->wheel.moved;
    assert_true(weft__wheel_check(&p->wheel));
    return course;
}

/* `many` timers, due within `width` from `delay` on, are inserted with a look at the wheel after each batch. */
static struct course course_of(size_t many, int64_t start, int64_t delay, int64_t width, size_t batch, int64_t pause)
{
    struct pair *p = pair_make(many, start);
    for (size_t i = 0; i < many; i++) {
        p->entries[i].timer.deadline = start + delay + (int64_t)below((size_t)width);
        weft__wheel_insert(&p->wheel, &p->entries[i].timer);
        if (i % batch == batch - 1)
            weft__wheel_next(&p->wheel);
    }
    struct course course = run_course(p, pause);
    pair_free(p);
    return course;
}

static void test_a_million_within_a_second_cost_little_a_call(void **state)
{
    (void)state;
    size_t many = SLOW ? MILLION / 10 : MILLION;
    for (size_t s = 0; s < STARTS - ENDS; s++) {
        struct course course = course_of(many, starts[s], second / 2, second, 4096, -1);
        assert_true(course.most <= CALL_MOVES);
        assert_true(course.most_idle <= REST_MOVES);
        assert_true(course.moved <= 5 * many);
        assert_true(course.late <= 300000);
    }
}

/* In one millisecond, one tick, one nanosecond: the time before it is enough to spread them. */
static void test_a_crowd_is_spread_before_its_time(void **state)
{
    (void)state;
    size_t many = SLOW ? MILLION / 10 : MILLION / 2;
    const int64_t widths[] = {second / 1000, tick, 4096, 64, 1};
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
        struct course course = course_of(many, starts[i], 5 * second, widths[i], many, -1);
        assert_true(course.most <= 2 * CALL_MOVES);
        assert_true(course.most_idle <= REST_MOVES);
        assert_true(course.moved <= 8 * many);
    }
}

/* Nanoseconds of CPU time for each of a million calls; the best of some rounds, because the machine may be shared.
 * Cancelled in the order of arming, or jumping through memory. */
static void bench_arm(size_t stride, size_t jump, int64_t horizon)
{
    unsigned char *memory = allocate(MILLION * stride);
    weft__wheel *wheel = allocate(sizeof *wheel);
    double best[2] = {1e9, 1e9};
    for (size_t round = 0; round < 7; round++) {
        int64_t now = clock_ns(CLOCK_MONOTONIC);
        weft__wheel_init(wheel, now);
        for (size_t i = 0; i < MILLION; i++)
            ((weft__timer *)(void *)(memory + i * stride))->deadline = now + (int64_t)below((size_t)horizon);
        for (size_t call = 0; call < 2; call++) {
            int64_t start = clock_ns(CLOCK_THREAD_CPUTIME_ID);
            for (size_t i = 0, at = 0; i < MILLION; i++, at = (at + (call ? jump : 1)) % MILLION)
                (call ? weft__wheel_remove : weft__wheel_insert)(wheel, (weft__timer *)(void *)(memory + at * stride));
            double ns = (double)(clock_ns(CLOCK_THREAD_CPUTIME_ID) - start) / 1e6;
            best[call] = ns < best[call] ? ns : best[call];
        }
    }
    printf("1M pending, %zu bytes apart, up to %.0f s, cancelled %s: arm %.1f ns, cancel %.1f ns\n", stride,
           (double)horizon / (double)second, jump == 1 ? "in order" : "jumping", best[0], best[1]);
    free(memory);
    free(wheel);
}

/* A million timers due within `width` from half a second on, on the real clock. */
static void bench_fire(int64_t width, int64_t pause)
{
    int64_t cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    struct course c = course_of(MILLION, clock_ns(CLOCK_MONOTONIC), second / 2, width, 4096, pause);
    cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("1M timers within %.3f ms, pause %.0f us: CPU %.0f ms, slept %zu times; first %.0f us late, latest %.0f us; "
           "%.2f moves a timer, at most %.0f before one, %.0f in a pause\n",
           (double)width / 1e6, (double)pause / 1e3, (double)cpu / 1e6, c.sleeps, (double)c.first / 1e3,
           (double)c.late / 1e3, (double)c.moved / 1e6, (double)c.most, (double)c.most_idle);
}

static int bench(void)
{
    prctl(PR_SET_TIMERSLACK, 1);
    printf("a timer %zu bytes, the wheel %zu\n", sizeof(weft__timer), sizeof(weft__wheel));
    bench_arm(24, 1, 3600 * second);
    bench_arm(24, 1, 60 * second);
    bench_arm(24, 1, second);
    bench_arm(96, 1, 3600 * second);
    bench_arm(96, 618033, 3600 * second);
    bench_fire(second, 0);
    bench_fire(second, tick);
    bench_fire(second, 2 * tick);
    bench_fire(second / 1000, 0);
    bench_fire(1, 0);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "bench") == 0)
        return bench();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_timer_takes_24_bytes),
        cmocka_unit_test(test_slp_05_by_deadline_then_by_insertion),
        cmocka_unit_test(test_late_timers_are_in_order),
        cmocka_unit_test(test_t1_t2_t4_borders_of_every_level),
        cmocka_unit_test(test_borders_of_every_level_together),
        cmocka_unit_test(test_t3_t13_the_end_of_time),
        cmocka_unit_test(test_t5_t10_an_earlier_timer_is_next),
        cmocka_unit_test(test_t6_t12_overdue_after_a_long_sleep),
        cmocka_unit_test(test_t7_removed_when_due),
        cmocka_unit_test(test_t8_due_at_once),
        cmocka_unit_test(test_t11_the_clock_steps_back),
        cmocka_unit_test(test_a_crowd_cancelled_while_it_is_spread),
        cmocka_unit_test(test_expire_alone_spreads_what_came),
        cmocka_unit_test(test_any_visits_all),
        cmocka_unit_test(test_a_lone_timer_wakes_once),
        cmocka_unit_test(test_a_crowd_wakes_a_handful_of_times),
        cmocka_unit_test(test_random_operations_keep_the_invariants),
        cmocka_unit_test(test_random_operations_agree_with_a_heap),
        cmocka_unit_test(test_a_million_within_a_second_cost_little_a_call),
        cmocka_unit_test(test_a_crowd_is_spread_before_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
