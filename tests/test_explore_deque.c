/* test_explore_deque.c: the source of the deque in every interleaving of one owner and one or two thieves.
 *
 * Each pushed entry is taken exactly once or still there, and no thief sleeps next to a visible entry. The same search
 * on a machine with weaker primitives must fail. The functions get other names here, so that this program can be
 * linked with the library. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "explore.h"
#include "points.h"

#define weft__deque_init         explored_init
#define weft__deque_steal        explored_steal
#define weft__deque_look         explored_look
#define weft__deque_take_seen    explored_take_seen
#define weft__deque_visible      explored_visible
#define weft__deque_size         explored_size
#define weft__deque_length       explored_length
#define weft__deque_publish      explored_publish
#define weft__deque_check        explored_check
#define weft__deque_raise        explored_raise
#define weft__deque_push_visible explored_push_visible
#define weft__deque_pop_public   explored_pop_public
#include "../executor/deque.c"

enum { MOST_ENTRIES = 16, MOST_SLOTS = 8 };

/* The scenario: the owner's program (u push, p pop, b publish; of a closed deque k keep, t take, or else pop) and what the
 * thieves do. */
static const char *program;
static size_t capacity;
static uint64_t window;
static unsigned attempts;
static bool sleeping; /* thieves that find nothing fall asleep, and the owner notifies them */
static uint64_t first_index;

static struct {
    weft__deque deque;
    _Atomic(void *) slots[MOST_SLOTS];
    _Atomic(uint32_t) idle;          /* a bit for each sleeping thief */
    uint8_t taken[MOST_ENTRIES + 1]; /* how often each entry was taken; all fibers, each within a step */
    bool asleep[EXPLORE_FIBERS];     /* thieves that went to sleep */
    unsigned accepted;               /* entries 1..accepted were pushed; owner */
} memory;

static void setup(void)
{
    memset((void *)&memory, 0, sizeof memory);
    weft__deque_init(&memory.deque, memory.slots, capacity, window);
    atomic_init(&memory.deque.bottom, first_index);
    memory.deque.limit = first_index;
    atomic_store_explicit(&memory.deque.top, first_index, memory_order_relaxed);
    atomic_store_explicit(&memory.deque.split, first_index, memory_order_release);
    explore_passed(&memory.deque.bottom, sizeof memory.deque.bottom); /* the owner's; length is not explored */
    explore_memory(&memory, sizeof memory);
}

static void notify(void)
{
    uint32_t idle = atomic_load_explicit(&memory.idle, memory_order_seq_cst);

    while (idle != 0 && !atomic_compare_exchange_weak_explicit(&memory.idle, &idle, idle & (idle - 1),
                                                               memory_order_seq_cst, memory_order_seq_cst)) {
    }
}

static void note(const void *x)
{
    uintptr_t entry = (uintptr_t)x / 16;

    if (entry == 0 || entry > MOST_ENTRIES) {
        explore_fail("not an entry");
    } else {
        memory.taken[entry]++;
    }
}

static void owner(void)
{
    for (const char *step = program; *step != '\0'; step++) {
        bool raised = false;
        explore_checkpoint((uint64_t)(step - program));
        if (*step == 'u') {
            enum weft__push pushed = weft__deque_push(&memory.deque, (void *)(uintptr_t)((memory.accepted + 1) * 16));
            memory.accepted += pushed != WEFT__PUSH_FULL;
            raised = pushed == WEFT__PUSH_VISIBLE;
        } else if (*step == 'k') {
            memory.accepted += weft__deque_keep(&memory.deque, (void *)(uintptr_t)((memory.accepted + 1) * 16));
        } else if (*step == 'b') {
            raised = weft__deque_publish(&memory.deque);
        } else {
            void *x = *step == 't' ? weft__deque_take(&memory.deque) : NULL;
            x = x != NULL ? x : weft__deque_pop(&memory.deque, &raised);
            if (x != NULL) {
                note(x);
            }
        }
        if (raised && sleeping) {
            notify();
        }
    }
}

static void thief(unsigned fiber)
{
    uint32_t bit = 1u << fiber;

    for (unsigned i = 0; i < attempts; i++) {
        explore_checkpoint(i);
        void *x = weft__deque_steal(&memory.deque);
        if (x != NULL && x != WEFT__STEAL_RETRY) {
            note(x);
        } else if (x == NULL && sleeping) {
            atomic_fetch_or_explicit(&memory.idle, bit, memory_order_seq_cst);
            if (!weft__deque_visible(&memory.deque)) {
                memory.asleep[fiber] = true;
                return;
            }
            atomic_fetch_and_explicit(&memory.idle, ~bit, memory_order_seq_cst);
        }
    }
    /* Never comes back; if it was woken for more than it took, it passes that on. */
    if (sleeping && weft__deque_visible(&memory.deque)) {
        notify();
    }
}

static void body(unsigned fiber)
{
    if (fiber == 0) {
        owner();
    } else {
        thief(fiber);
    }
}

/* A thief sleeps next to a visible entry, and none was woken that has yet to look. */
static bool is_stuck(void)
{
    uint32_t idle = atomic_load_explicit(&memory.idle, memory_order_relaxed);

    for (unsigned i = 0; i < EXPLORE_FIBERS; i++) {
        if (memory.asleep[i] && (idle >> i & 1) == 0) {
            return false;
        }
    }
    return idle != 0 && weft__deque_visible(&memory.deque);
}

static const char *verdict(void)
{
    uint8_t times[MOST_ENTRIES + 1];

    memcpy(times, memory.taken, sizeof times);
    uint64_t top = atomic_load_explicit(&memory.deque.top, memory_order_relaxed);
    for (uint64_t i = top; weft__deque_below(i, weft__deque_bottom(&memory.deque)); i++) {
        times[(uintptr_t)atomic_load_explicit(&memory.slots[i & (capacity - 1)], memory_order_relaxed) / 16]++;
    }
    for (unsigned e = 1; e <= MOST_ENTRIES; e++) {
        if (times[e] != (e <= memory.accepted ? 1 : 0)) {
            return times[e] > 1 ? "taken twice" : "lost";
        }
    }
    if (!weft__deque_check(&memory.deque)) {
        return "the indices are out of order";
    }
    if (is_stuck()) {
        return "a thief sleeps next to a visible entry";
    }
    return NULL;
}

static unsigned long states; /* of all searches of a test */

static const char *search(const char *steps, unsigned thieves, unsigned tries, enum explore_fault fault)
{
    explore_scenario scenario = {1 + thieves, setup, body, verdict, fault};

    program = steps;
    attempts = tries;
    explore_result result = explore(&scenario);
    states += result.states;
    if (fault == EXPLORE_SOUND && result.wrong != NULL) {
        print_message("%s, capacity %zu, window %u, %u thieves: %s\n", steps, capacity, (unsigned)window, thieves,
                      result.wrong);
    }
    return result.wrong;
}

/* Every program of `length` pushes and pops that begins with a push. */
static void search_all_programs(unsigned length, unsigned thieves, unsigned tries)
{
    char steps[16] = {0};

    for (unsigned bits = 0; bits < 1u << length; bits++) {
        for (unsigned i = 0; i < length; i++) {
            steps[i] = bits >> i & 1 ? 'p' : 'u';
        }
        if (steps[0] == 'u') {
            assert_null(search(steps, thieves, tries, EXPLORE_SOUND));
        }
    }
}

static void search_all_sizes(unsigned length, unsigned thieves, unsigned tries)
{
    static const uint64_t windows[] = {0, 1, 2, 32};

    states = 0;
    for (capacity = 2; capacity <= 4; capacity *= 2) {
        for (size_t w = 0; w < sizeof windows / sizeof windows[0]; w++) {
            window = windows[w];
            search_all_programs(length, thieves, tries);
        }
    }
    print_message("%lu states\n", states);
}

static void test_explore_one_thief(void **state)
{
    (void)state;
    sleeping = false;
    first_index = 0;
    search_all_sizes(6, 1, 3);
}

static void test_explore_two_thieves(void **state)
{
    (void)state;
    sleeping = false;
    first_index = UINT64_MAX;
    search_all_sizes(4, 2, 1);
}

static void test_explore_sleeping_thief(void **state)
{
    (void)state;
    sleeping = true;
    first_index = 0;
    search_all_sizes(5, 1, 2);
}

typedef struct longer {
    const char *steps;
    unsigned thieves, tries;
} longer;

static void search_longer(const longer *cases, size_t n)
{
    states = 0;
    first_index = UINT64_MAX - 2;
    capacity = 4;
    for (window = 0; window < 4; window++) {
        for (size_t i = 0; i < n; i++) {
            assert_null(search(cases[i].steps, cases[i].thieves, cases[i].tries, EXPLORE_SOUND));
        }
    }
    print_message("%lu states\n", states);
}

static void test_explore_longer_programs(void **state)
{
    static const longer cases[] = {
        {"uuuuupppuuppp", 1, 5}, {"uuuupppp", 1, 6}, {"uupuubppup", 1, 5}, {"uuuppp", 2, 2}, {"upupu", 2, 2},
    };

    (void)state;
    sleeping = false;
    search_longer(cases, sizeof cases / sizeof cases[0]);
}

/* Thieves that come past the split which the owner has just lowered, and look for work before it is raised again. */
static void test_explore_sleeping_thieves_and_retractions(void **state)
{
    static const longer cases[] = {{"uuubp", 1, 3}, {"uuuubpp", 1, 4}, {"uubp", 2, 2}};

    (void)state;
    sleeping = true;
    search_longer(cases, sizeof cases / sizeof cases[0]);
}

/* A closed deque whose owner publishes all that it has, and goes on while thieves take it. */
static void test_explore_closed_deque(void **state)
{
    static const char *const programs[] = {"kkkbtttt", "kkbtkktt", "kktbkbtt", "kbktbttk", "kkkkbttkkt"};

    (void)state;
    states = 0;
    capacity = window = 4;
    first_index = UINT64_MAX - 2;
    for (int asleep = 0; asleep < 2; asleep++) {
        sleeping = asleep != 0;
        for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
            assert_null(search(programs[i], 1, 4, EXPLORE_SOUND));
        }
        assert_null(search("kkbt", 2, 2, EXPLORE_SOUND));
    }
    print_message("%lu states\n", states);
}

/* An open deque to which several entries are added in one step. */
static void test_explore_batches(void **state)
{
    static const char *const programs[] = {"kkkbppp", "kkbpkkbpp", "ukkbppp"};

    (void)state;
    states = 0;
    capacity = 4;
    window = 0;
    first_index = UINT64_MAX - 2;
    for (int asleep = 0; asleep < 2; asleep++) {
        sleeping = asleep != 0;
        for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
            assert_null(search(programs[i], 1, 4, EXPLORE_SOUND));
        }
        assert_null(search("kkbp", 2, 2, EXPLORE_SOUND));
    }
    print_message("%lu states\n", states);
}

static void expect_caught(enum explore_fault fault, const char *steps, uint64_t w, const char *wrong)
{
    capacity = 4;
    window = w;
    first_index = 0;
    const char *found = search(steps, 1, 3, fault);
    assert_non_null(found);
    assert_string_equal(found, wrong);
}

static void test_explore_catches_weak_stores(void **state)
{
    (void)state;
    sleeping = false;
    expect_caught(EXPLORE_WEAK_STORES, "uup", 0, "taken twice");
    expect_caught(EXPLORE_WEAK_STORES, "uuuppp", 32, "taken twice");
    sleeping = true;
    expect_caught(EXPLORE_WEAK_STORES, "u", 0, "a thief sleeps next to a visible entry");
    expect_caught(EXPLORE_WEAK_STORES, "u", 4, "a thief sleeps next to a visible entry");
}

static void test_explore_catches_a_last_entry_that_is_not_fought_for(void **state)
{
    (void)state;
    sleeping = false;
    expect_caught(EXPLORE_BLIND_CAS, "up", 0, "taken twice");
    expect_caught(EXPLORE_BLIND_CAS, "uuppu", 2, "taken twice");
}

static void test_explore_catches_steals_that_are_not_atomic(void **state)
{
    (void)state;
    sleeping = false;
    expect_caught(EXPLORE_SPLIT_RMW, "up", 0, "taken twice");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_explore_one_thief),
        cmocka_unit_test(test_explore_two_thieves),
        cmocka_unit_test(test_explore_sleeping_thief),
        cmocka_unit_test(test_explore_longer_programs),
        cmocka_unit_test(test_explore_sleeping_thieves_and_retractions),
        cmocka_unit_test(test_explore_closed_deque),
        cmocka_unit_test(test_explore_batches),
        cmocka_unit_test(test_explore_catches_weak_stores),
        cmocka_unit_test(test_explore_catches_a_last_entry_that_is_not_fought_for),
        cmocka_unit_test(test_explore_catches_steals_that_are_not_atomic),
    };

    if (POINTS_TSAN || POINTS_ASAN) {
        print_message("sanitizers do not follow the switching of contexts: nothing explored\n");
        return 0;
    }
    return cmocka_run_group_tests_name("explore deque", tests, NULL, NULL);
}
