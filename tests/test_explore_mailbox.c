/* test_explore_mailbox.c: the source of the mailbox in every interleaving of posters, the coordinator and its timer.
 *
 * The coordinator sleeps as on a futex: it goes to sleep in the step in which it sees the expected value, and only a
 * wake that comes after that ends it. Each accepted message is handled exactly once and in the order of its poster;
 * none lies in the box of a coordinator that sleeps beyond the message's deadline; none is accepted after the close.
 * The same search on a machine with weaker primitives must fail. The functions get other names here, so that this
 * program can be linked with the library. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "explore.h"
#include "points.h"

#define weft__mailbox_init       explored_init
#define weft__mailbox_post       explored_post
#define weft__mailbox_chain_post explored_chain_post
#define weft__mailbox_take       explored_take
#define weft__mailbox_sleep      explored_sleep
#define weft__mailbox_close      explored_close
#define weft__mailbox_empty      explored_empty
#include "../executor/mailbox.c"

enum { LINKS = 2, ROUNDS = 2 };

/* A poster posts its messages one by one, or both as a chain. */
typedef struct poster {
    unsigned messages;
    int64_t deadlines[LINKS];
    bool chain;
} poster;

/* The scenario. Fiber 0 is the coordinator, 1 its timer, the others post. */
static const poster *posters;
static const int64_t *wakes; /* next_wake of each sleep */
static bool closing;         /* the coordinator closes when it finds the box empty after its first sleep */
static bool timed;           /* a sleep may end by itself */

static weft__mailbox box;

static weft__link messages[EXPLORE_FIBERS][LINKS];

static struct {
    uint32_t woken;                         /* set by a wake, reset when the coordinator goes to sleep */
    uint8_t handled[EXPLORE_FIBERS][LINKS]; /* how often; coordinator */
    bool accepted[EXPLORE_FIBERS][LINKS];   /* posters */
    unsigned round;                         /* how often the coordinator has slept */
    bool asleep, closed;                    /* coordinator */
} memory;

static void setup(void)
{
    memset((void *)messages, 0, sizeof messages);
    memset((void *)&memory, 0, sizeof memory);
    weft__mailbox_init(&box);
    explore_passed(messages, sizeof messages);
    explore_memory(&memory, sizeof memory);
    explore_memory(&box.head, sizeof box.head);
    explore_memory(&box.next_wake, sizeof box.next_wake);
}

static void wake(void)
{
    explore_step();
    memory.woken = 1;
}

static void note_post(unsigned fiber, unsigned from, unsigned n, enum weft__post answer)
{
    for (unsigned i = from; i < from + n; i++) {
        memory.accepted[fiber][i] = answer != WEFT__POST_CLOSED;
    }
    if (answer == WEFT__POST_WAKE) {
        wake();
    }
}

static void post(unsigned fiber)
{
    const poster *p = &posters[fiber - 2];
    weft__link *links = messages[fiber];

    if (p->chain) {
        atomic_store_explicit(&links[0].next, &links[1], memory_order_relaxed);
        note_post(fiber, 0, 2, weft__mailbox_chain_post(&box, &links[0], &links[1], p->deadlines[0]));
        return;
    }
    for (unsigned i = 0; i < p->messages; i++) {
        explore_checkpoint(i);
        note_post(fiber, i, 1, weft__mailbox_post(&box, &links[i], p->deadlines[i]));
    }
}

static void handle(weft__link *link)
{
    while (link != NULL) {
        size_t place = (size_t)(link - &messages[0][0]);
        if (place / LINKS >= EXPLORE_FIBERS) {
            explore_fail("not a message");
            return;
        }
        if (place % LINKS == 0 && memory.handled[place / LINKS][1] != 0) {
            explore_fail("out of order");
        }
        memory.handled[place / LINKS][place % LINKS]++;
        weft__link *next = atomic_load_explicit(&link->next, memory_order_relaxed);
        atomic_store_explicit(&link->next, NULL, memory_order_relaxed); /* what it was makes no difference any more */
        link = next;
    }
}

/* As a futex would: compares and sleeps in one step. */
static void sleep_on_head(void)
{
    if ((uint32_t)atomic_load_explicit(&box.head, memory_order_seq_cst) == weft__mailbox_sleep_value()) {
        memory.woken = 0;
        memory.asleep = true;
        explore_wait(&memory.woken);
        memory.asleep = false;
    }
}

static void coordinate(void)
{
    while (memory.round < ROUNDS) {
        explore_checkpoint(0);
        handle(weft__mailbox_take(&box));
        if (closing && memory.round > 0 && weft__mailbox_close(&box)) {
            memory.closed = true;
            return;
        }
        if (weft__mailbox_sleep(&box, wakes[memory.round])) {
            sleep_on_head();
            memory.round++;
        }
    }
}

static void body(unsigned fiber)
{
    if (fiber == 0) {
        coordinate();
    } else if (fiber > 1) {
        post(fiber);
    } else if (timed) {
        wake();
    }
}

/* The deadline of a message, by its place. */
static int64_t deadline(unsigned fiber, unsigned i)
{
    const poster *p = &posters[fiber - 2];

    return p->chain ? p->deadlines[0] : p->deadlines[i];
}

static const char *verdict(void)
{
    bool asleep = memory.asleep;
    int64_t until = asleep ? wakes[memory.round] : 0;

    if (memory.closed && !weft__mailbox_empty(&box)) {
        return "accepted after the close";
    }
    for (unsigned f = 2; f < explore_world.scenario->fibers && asleep; f++) {
        for (unsigned i = 0; i < LINKS; i++) {
            if (memory.accepted[f][i] && memory.handled[f][i] == 0 && deadline(f, i) < until) {
                return "the coordinator sleeps beyond a deadline";
            }
        }
    }
    handle(weft__mailbox_take(&box));
    for (unsigned f = 0; f < EXPLORE_FIBERS; f++) {
        for (unsigned i = 0; i < LINKS; i++) {
            if (memory.handled[f][i] != (memory.accepted[f][i] ? 1 : 0)) {
                return memory.handled[f][i] > 1 ? "handled twice" : "lost, or handled without leave";
            }
        }
    }
    return explore_world.wrong;
}

static unsigned long states; /* of all searches of a test */

static const char *search(const poster *who, unsigned n, const int64_t *next_wakes, bool close,
                          enum explore_fault fault)
{
    explore_scenario scenario = {2 + n, setup, body, verdict, fault};

    posters = who;
    wakes = next_wakes;
    closing = close;
    timed = n == 1 || who[0].messages + who[1].messages == 2;
    explore_result result = explore(&scenario);
    states += result.states;
    if (fault == EXPLORE_SOUND && result.wrong != NULL) {
        print_message("%s\n", result.wrong);
    }
    return result.wrong;
}

static const poster cases[][2] = {
    {{1, {10}, false}, {1, {30}, false}},
    {{2, {10, 3}, false}, {1, {7}, false}},
    {{2, {10}, true}, {1, {3}, false}},
    {{2, {WEFT__POST_LAZY}, true}, {2, {WEFT__POST_LAZY, WEFT__POST_URGENT}, false}},
};
static const int64_t sequences[][ROUNDS] = {{20, 20}, {5, 20}, {INT64_MAX, 5}};

static void search_all(bool close)
{
    states = 0;
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        for (size_t s = 0; s < sizeof sequences / sizeof sequences[0]; s++) {
            assert_null(search(cases[c], 1, sequences[s], close, EXPLORE_SOUND));
            assert_null(search(cases[c], 2, sequences[s], close, EXPLORE_SOUND));
        }
    }
    print_message("%lu states\n", states);
}

static void test_explore_no_deadline_is_slept_through(void **state)
{
    (void)state;
    search_all(false);
}

static void test_explore_close(void **state)
{
    (void)state;
    search_all(true);
}

static void test_explore_catches_weaker_primitives(void **state)
{
    (void)state;
    assert_non_null(search(cases[0], 1, sequences[1], false, EXPLORE_WEAK_RMW));
    assert_non_null(search(cases[1], 2, sequences[0], false, EXPLORE_SPLIT_RMW));
    assert_non_null(search(cases[1], 1, sequences[0], true, EXPLORE_SPLIT_RMW));
    assert_non_null(search(cases[1], 1, sequences[0], true, EXPLORE_BLIND_CAS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_explore_no_deadline_is_slept_through),
        cmocka_unit_test(test_explore_close),
        cmocka_unit_test(test_explore_catches_weaker_primitives),
    };

    if (POINTS_TSAN || POINTS_ASAN) {
        print_message("sanitizers do not follow the switching of contexts: nothing explored\n");
        return 0;
    }
    return cmocka_run_group_tests_name("explore mailbox", tests, NULL, NULL);
}
