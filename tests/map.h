/* map.h: what the tests of weft_map share beyond fixtures.h: items that are cells, and items of mixed kinds.
 *
 * Discipline. As in fixtures.h. */
#ifndef WEFT_TESTS_MAP_H
#define WEFT_TESTS_MAP_H

#include "fixtures.h"

static const weft_submit_options freeing = {.free_arg = test_cell_free_arg, .free_value = test_cell_free_value};

static inline weft_future *map_with(weft_executor *executor, weft_fn *fn, void *const items[], size_t n, size_t chunk,
                                    weft_gather_mode mode, const weft_submit_options *each)
{
    weft_future *future = weft_map_with(executor, fn, items, n, chunk, mode, each);
    assert_non_null(future);
    return future;
}

/* Cells as items: arguments and values are counted. */
static inline weft_future *map_cells(weft_executor *executor, test_cell *const cells[], size_t n, size_t chunk,
                                     weft_gather_mode mode)
{
    return map_with(executor, test_cell_run, (void *const *)cells, n, chunk, mode, &freeing);
}

static inline void cells_make(test_cell *cells[], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        cells[i] = cell_make(NULL, 0);
    }
}

/* Each argument was released once, and each value `values` times, if there was one. */
static inline void assert_freed(test_cell *const cells[], size_t n, unsigned values)
{
    for (size_t i = 0; i < n; i++) {
        bool valued = test_get(cells[i]->ran) != 0 && cells[i]->code == 0;
        assert_int_equal(test_get(cells[i]->arg_freed), 1);
        assert_true(test_get(cells[i]->freed_after_return));
        assert_int_equal(test_get(cells[i]->value_freed), valued ? values : 0);
    }
}

#define assert_skipped(slot, why) assert_skipped_((slot), (why), __FILE__, __LINE__)
static inline void assert_skipped_(const weft_outcome *slot, weft_cancel_reason why, const char *file, int line)
{
    assert_slot_at(slot, WEFT_CANCELLED, -ECANCELED, NULL, file, line);
    _assert_int_equal(slot->reason, why, file, line);
}

/* An item that is a call of its own. */
typedef struct item {
    weft_fn *fn;
    void *arg;
} item;

static inline void *item_call(void *argument)
{
    const item *it = argument;
    return it->fn(it->arg);
}

static inline void assert_untouched(test_cell *const cells[], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(test_get(cells[i]->ran) + test_get(cells[i]->arg_freed) + test_get(cells[i]->value_freed), 0);
    }
}

static inline void assert_map_refused(weft_executor *executor, test_cell *const cells[], size_t n, size_t chunk,
                                      int code)
{
    errno = 0;
    assert_null(weft_map_with(executor, test_cell_run, (void *const *)cells, n, chunk, WEFT_SETTLED, &freeing));
    assert_int_equal(errno, code);
    assert_untouched(cells, n);
}

#endif
