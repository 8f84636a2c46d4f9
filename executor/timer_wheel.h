/* timer_wheel.h: the deadlines of the coordinator, in exact order of nanoseconds.
 *
 * A hierarchical timing wheel (Varghese and Lauck, SOSP 1987) whose tick is one nanosecond and whose nine levels cover
 * every deadline that fits into 64 bits: nothing wraps, nothing is clamped, no timer fires at another moment than its
 * own. Timers come out by deadline and, for equal deadlines, in the order in which they went in.
 *
 * Shape. A deadline, its sign bit flipped, is a key of nine digits: level 0 has 6 bits, the top 2, all others 8, so
 * that the slots of level 3 last 4.2 ms and those of level 4 1.07 s. A page is the slots of one level whose keys have
 * all higher digits in common; it covers what one slot of the level above covers, better sorted. Each level has two
 * pages.
 *   The front page has the higher digits of `base`, a moment that follows the clock. A timer belongs to the level of
 *   the highest digit in which its key differs from base: slots right of base's digit are the future, the lower the
 *   level the nearer, and slots left of it hold timers that were late when they came. (The exclusive-or rule is
 *   Tokio's; that it holds on both sides of base makes late timers O(1) and yet ordered.)
 *   The ahead page of level L stands for one slot of level L + 1, its parent, whose turn is still to come. If the
 *   parent is crowded the page is filled from its list, a few timers a call, and opened when the list is empty: from
 *   then on what belongs to the parent goes to the page. When the parent's turn comes the pages of level L change
 *   places. An ahead page that nobody needs is opened for the slot that comes next, so a near timer goes to a low level
 *   at once, also when the border of a high level lies between.
 * The ready list is a short sorted list of timers whose slots' turn has come.
 *
 * Discipline: a pure data structure. One thread at a time, in weft the coordinator; no clock (the caller says what time
 * it is), no allocation, no atomic operation, and no failure. A timer is embedded in the object that it belongs to,
 * which must not move or go away while the timer is armed.
 *
 * Costs: insert and remove are O(1). expire moves at most WEFT__WHEEL_SMALL + WEFT__WHEEL_STEP timers before the one
 * that it hands out if a million are due within a second, at most twice that if they are due at once, provided that
 * the calls that weft__wheel_next asked for were made in time and that no nearer crowd took the page from a farther
 * one. Otherwise it is as exact, but sorts a crowded slot when its time has come, and that takes as long as the crowd
 * is large. The wheel takes 74 KiB, a timer 24 bytes. */
#ifndef WEFT__TIMER_WHEEL_H
#define WEFT__TIMER_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEFT__WHEEL_LEVELS 9          /* of 8 bits each, but for the lowest, of 6, and the highest, of 2 */
#define WEFT__WHEEL_PAGES  17         /* two a level, but for one at the top */
#define WEFT__WHEEL_SLOTS  256        /* a page */
#define WEFT__WHEEL_WORDS  4          /* of 64 bits, one bit a slot */
#define WEFT__WHEEL_NONE   UINT32_MAX /* no slot */

/* How many timers: a slot may have to be emptied at once, more are spread over finer slots first; one call spreads
 * ahead of time; an expire that finds nothing due spreads, if enough came and went to pay for it. */
#define WEFT__WHEEL_SMALL 32
#define WEFT__WHEEL_STEP  32
#define WEFT__WHEEL_REST  256

/* Links of a circular list; the head of each list is one, too. */
typedef struct weft__wheel_link {
    struct weft__wheel_link *next; /* NULL: the timer is not armed */
    struct weft__wheel_link *prev;
} weft__wheel_link;

typedef struct weft__timer {
    weft__wheel_link link; /* the wheel's */
    int64_t deadline;      /* absolute ns; written by the owner before insert, constant while armed */
} weft__timer;

/* What is known of a page's slots, a bit each, apart from the page itself, so that a search stays within a line. */
typedef struct weft__wheel_map {
    uint64_t occupied[WEFT__WHEEL_WORDS]; /* the list is not empty, or an ahead page stands for the slot */
    uint64_t crowded
        [WEFT__WHEEL_WORDS]; /* there may be more than WEFT__WHEEL_SMALL timers, or an ahead page stands for it */
} weft__wheel_map;

/* The one thread that uses the wheel writes and reads all of it. Moments are keys: unsigned order is the order of
 * time. */
typedef struct weft__wheel {
    uint64_t base;    /* the moment whose digits name the front pages; never later than now */
    uint64_t now;     /* the latest moment that the wheel was told */
    uint64_t bound;   /* no occupied slot begins earlier; less than base only if there may be slots left of base */
    uint64_t work_at; /* when spreading ahead has to go on; ~0: nothing to spread */
    size_t count;     /* timers armed */
    size_t credit;    /* moves ahead that expire may make, earned by inserting and firing */
    uint64_t moved;   /* timers moved from one list to another since init, for tests and benchmarks */
    uint32_t flip;    /* bit L: the front page of level L is the second of its two */
    /* Of the ahead page of each level: the slot that it stands for, or WEFT__WHEEL_NONE; the first moment that it
     * covers; and, if it takes timers, the digits above its level's, otherwise ~0. */
    uint32_t parent[WEFT__WHEEL_LEVELS];
    uint64_t begin[WEFT__WHEEL_LEVELS];
    uint64_t open[WEFT__WHEEL_LEVELS];
    weft__wheel_map map[WEFT__WHEEL_PAGES];
    /* Of each slot: if not crowded, how many timers it has at most; WEFT__WHEEL_SMALL + 1: counted, and too many. */
    uint8_t came[WEFT__WHEEL_PAGES * WEFT__WHEEL_SLOTS];
    /* List heads, page by page; the last is that of the ready list. */
    weft__wheel_link slot[WEFT__WHEEL_PAGES * WEFT__WHEEL_SLOTS + 1];
} weft__wheel;

/* An empty wheel at the time `now`, which is before INT64_MAX. */
void weft__wheel_init(weft__wheel *wheel, int64_t now);

/* A timer that is not armed. Needed once, before the first weft__timer_armed or insert. */
static inline void weft__timer_init(weft__timer *timer)
{
    timer->link = (weft__wheel_link){NULL, NULL};
}

static inline bool weft__timer_armed(const weft__timer *timer)
{
    return timer->link.next != NULL;
}

/* Arms the timer for timer->deadline, which may be any moment before INT64_MAX. A moment that is past is due at the
 * next expire, in its place in the order. The timer must not be armed. */
void weft__wheel_insert(weft__wheel *wheel, weft__timer *timer);

/* Disarms a timer that is armed in this wheel. */
void weft__wheel_remove(weft__wheel *wheel, weft__timer *timer);

/* Tells the time and takes out one timer with deadline <= now: of these the one with the earliest deadline, of equal
 * ones the one inserted first. NULL: none is due. A `now` earlier than one told before counts as that one. */
weft__timer *weft__wheel_expire(weft__wheel *wheel, int64_t now);

/* The moment at which the wheel wants its next call of expire (until NULL) and of next; never later than the earliest
 * deadline, and exactly that unless there are crowded slots to spread in time. Not later than the time told last: call
 * again soon, something is due, or there is more to spread. INT64_MAX: empty. Spreads up to WEFT__WHEEL_STEP timers. */
int64_t weft__wheel_next(weft__wheel *wheel);

/* Spreads ahead of time, moving or looking at up to `budget` timers. true: there is more to do now. weft__wheel_next
 * does it in small steps; this is for a caller with time to spare. */
bool weft__wheel_work(weft__wheel *wheel, size_t budget);

/* Some armed timer, or NULL if there is none. Removing it until NULL disarms all. */
weft__timer *weft__wheel_any(weft__wheel *wheel);

static inline size_t weft__wheel_count(const weft__wheel *wheel)
{
    return wheel->count;
}

/* Whether every invariant holds. Visits every timer: for tests. */
bool weft__wheel_check(const weft__wheel *wheel);

#endif
