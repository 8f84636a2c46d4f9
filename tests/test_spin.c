/* test_spin.c: how long it has paid to spin (executor/spin.h), rule by rule. */
#include "support.h"

#include "spin.h"

enum { SHORT = 1000, LONG = 1000000 };

static unsigned most_rounds(void)
{
    return 1u << WEFT__SPIN_TOP;
}

static void test_more_while_it_pays_and_less_when_not(void **state)
{
    weft__spin spin = {0};
    (void)state;
    assert_int_equal(weft__spin_rounds(&spin), 1);
    for (unsigned expected = 2; expected <= most_rounds(); expected *= 2) {
        weft__spin_paid(&spin);
        assert_int_equal(weft__spin_rounds(&spin), expected);
    }
    weft__spin_paid(&spin);
    assert_int_equal(weft__spin_rounds(&spin), most_rounds());
    for (unsigned expected = most_rounds() / 2; expected >= 1; expected /= 2) {
        weft__spin_failed(&spin);
        assert_int_equal(weft__spin_rounds(&spin), expected);
    }
    weft__spin_failed(&spin);
    assert_int_equal(weft__spin_rounds(&spin), 1);
}

/* From one round, which never comes to anything, a thread gets away by short sleeps alone, though it halves each time. */
static void test_short_sleeps_bring_it_back_and_long_ones_do_not(void **state)
{
    weft__spin spin = {0};
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        weft__spin_failed(&spin);
        weft__spin_slept(&spin, LONG);
    }
    assert_int_equal(weft__spin_rounds(&spin), 1);
    unsigned sleeps = 0;
    for (; weft__spin_rounds(&spin) < most_rounds() && sleeps < 100; sleeps++) {
        weft__spin_failed(&spin);
        weft__spin_slept(&spin, SHORT);
    }
    assert_in_range(sleeps, 1, WEFT__SPIN_TOP);
}

/* All rounds in vain and short sleeps all the same: not one more round for many of these. */
static void test_all_rounds_in_vain_are_remembered(void **state)
{
    weft__spin spin = {.level = WEFT__SPIN_TOP};
    (void)state;
    while (weft__spin_rounds(&spin) > 1) {
        weft__spin_failed(&spin);
    }
    unsigned sleeps = 0;
    for (; weft__spin_rounds(&spin) == 1 && sleeps < 1000; sleeps++) {
        weft__spin_slept(&spin, SHORT);
    }
    assert_in_range(sleeps, 32, 128);
    weft__spin_slept(&spin, LONG);
    assert_in_range(weft__spin_rounds(&spin), 2, most_rounds());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_more_while_it_pays_and_less_when_not),
        TEST(test_short_sleeps_bring_it_back_and_long_ones_do_not),
        TEST(test_all_rounds_in_vain_are_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
