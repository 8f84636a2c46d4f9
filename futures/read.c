/* read.c: reading an outcome: get lends the value, take and await move it out.
 *
 * A value has one owner: the future that made it. Derived futures mirror it and lend it, so moving it out is refused
 * while another derived future may still show it, if it has a destructor (a plain pointer does no harm in two places).
 * Taking through a mirror goes down to the source, level by level, and counts itself at each. */
#include "future.h"

#include <errno.h>

static weft_future *input_of(weft_future *f)
{
    const weft__future_ops *ops = weft__ops_of(f);
    return ops->input ? ops->input(f) : NULL;
}

/* Does the source's value have a destructor? */
static bool has_destructor(weft_future *source)
{
    if (weft__runs_function(source))
        return weft__options_of(source) && weft__options_of(source)->free_value;
    return weft__ops_of(source)->kind == WEFT__PROMISE && source->free_value;
}

static uint64_t lent(const weft_future *f)
{
    return (weft__word(f) & WEFT__LENT_MASK) / WEFT__LENT;
}

/* Marks the value of the source as moved out. most: loans of it that do not matter. */
static int mark_source(weft_future *source, bool strict, uint64_t most)
{
    uint64_t word = weft__word(source);
    do {
        if (word & WEFT__TAKEN)
            return -ENODATA;
        /* One step with the mark: who attaches meanwhile sees it, or is seen. */
        if (strict && (word & WEFT__LENT_MASK) / WEFT__LENT != most)
            return -EBUSY;
    } while (!atomic_compare_exchange_weak_explicit(&source->word, &word, word | WEFT__TAKEN, memory_order_acq_rel,
                                                    memory_order_acquire));
    return 0;
}

/* Marks the value as moved out at every level, or at none. Each level may be lent to the mirror above it and to nobody
 * else. The mirrors are locked from the top down to the mark, and who lends one that is locked waits for that and looks
 * again (weft__lend, weft__lend_done): so who attaches to one of them meanwhile sees the mark, or is seen. */
static int mark_taken(weft_future *f)
{
    weft_future *source = f;
    bool alone = true;
    for (weft_future *input; (input = input_of(source)); source = input) {
        weft__lock(source);
        alone = alone && lent(source) == (source == f ? 0 : 1);
        WEFT_POINT();
    }
    bool strict = has_destructor(source);
    int code = strict && !alone ? -EBUSY : mark_source(source, strict, f == source ? 0 : 1);
    for (weft_future *input; f != source; f = input) {
        input = input_of(f);
        weft__unlock(f, 0, code ? 0 : WEFT__TAKEN);
    }
    return code;
}

static int move_out(weft_future *f, uint64_t word, void **value)
{
    if (word & WEFT__TAKEN)
        return -ENODATA;
    void *moved = f->value;
    int code = mark_taken(f);
    if (code)
        return code;
    if (value)
        *value = moved;
    return 0;
}

static int read_failure(weft_future *f, uint64_t word)
{
    if (weft__state(word) == WEFT_FAILED)
        weft__observe(f);
    return weft__outcome_code(f, word);
}

/* Waits until f is done; 0 and its word, or why there is nothing to read. */
static int wait_to_read(weft_future *f, bool awaits, uint64_t *word)
{
    int code = f ? weft__wait_done(f, WEFT_FOREVER, awaits) : weft__no_future();
    if (!code)
        *word = weft__word(f);
    return code;
}

int weft_future_get(weft_future *f, void **value)
{
    uint64_t word = 0;
    int code = wait_to_read(f, false, &word);
    if (code)
        return code;
    if (weft__state(word) != WEFT_SUCCEEDED)
        return read_failure(f, word);
    if (word & WEFT__TAKEN)
        return -ENODATA;
    if (value)
        *value = f->value;
    return 0;
}

int weft_future_take(weft_future *f, void **value)
{
    uint64_t word = 0;
    int code = wait_to_read(f, false, &word);
    if (code)
        return code;
    return weft__state(word) == WEFT_SUCCEEDED ? move_out(f, word, value) : read_failure(f, word);
}

/* The only holder of a value that is lent to nobody takes it without a read-modify-write: nobody can be racing. */
static bool take_as_sole_holder(weft_future *f, uint64_t word, void **value)
{
    if (weft__refs(word) != 1 || word & (WEFT__LENT_MASK | WEFT__TAKEN) ||
        !(weft__runs_function(f) || weft__ops_of(f)->kind == WEFT__PROMISE))
        return false;
    *value = f->value;
    atomic_store_explicit(&f->word, word | WEFT__TAKEN, memory_order_relaxed);
    return true;
}

int weft__await(weft_future *f, void **value)
{
    uint64_t word = 0;
    int code = wait_to_read(f, true, &word);
    if (code)
        return code;
    if (weft__state(word) != WEFT_SUCCEEDED) {
        code = read_failure(f, word);
    } else if (value && !take_as_sole_holder(f, word, value) && (code = move_out(f, word, value))) {
        return code; /* refused: the reference stays with the caller */
    }
    weft__unref(f);
    return code;
}
