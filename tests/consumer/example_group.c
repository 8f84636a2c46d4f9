/* The frame of the example in weft/group.h: work for several items, and then with one that fails. What the comment
 * claims is looked at when the example is over: every child was run to its end or stopped, and the first failure is the
 * answer. */
#include <weft/weft.h>

#include <stdio.h>

enum { ITEMS = 100, BROKEN = 7 };

typedef struct item {
    int code;   /* what its work fails with; 0: nothing */
    int result; /* by the child, read after the join */
} item;

static void *work(void *argument)
{
    item *it = argument;
    it->result = 1;
    return it->code ? weft_fail(it->code) : NULL;
}

static int run(item *items, size_t n)
{
#include "example.h"
    return error;
}

int main(void)
{
    item items[ITEMS] = {{0, 0}};
    int error = run(items, ITEMS);
    for (size_t i = 0; i < ITEMS; i++)
        if (error || !items[i].result) {
            printf("item %zu: %d, %s\n", i, items[i].result, weft_strerror(error));
            return 1;
        }
    items[ITEMS / 2].code = BROKEN;
    error = run(items, ITEMS);
    if (error != BROKEN)
        printf("%d instead of %d\n", error, BROKEN);
    return error != BROKEN;
}
