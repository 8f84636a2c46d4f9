/* timer_wheel.c: how timers get from where they are put to where they fire; timer_wheel.h says what the pages are.
 *
 * Firing. Take the first slot in time. A small one is sorted into the ready list, timer by timer, from whatever
 * level. A crowded one is spread over the page below, which was done ahead of time unless nobody called. At level 0
 * all timers of a slot have the same deadline and leave from the head. So a lone timer never moves before its time
 * and causes one wake-up; a crowd causes one more a level at most.
 *
 * Order. Slots cover disjoint spans, and `bound` keeps the ready list from being served while a slot might hold
 * something earlier. Timers of equal deadline are at any moment in at most two lists, the older ones all in the
 * first: the ready list before a slot (a slot goes there as a whole), or an ahead page that is being filled before
 * its parent (what is inserted meanwhile goes to the parent's tail). A move takes from the head and appends at the
 * tail, and when a page is folded back its lists go before the rest of the parent's.
 *
 * How far ahead. A slot is spread from `lead` before its start, 67 ms and 64 ns a timer: time enough to move them
 * all, and so late that a timeout cancelled earlier was never moved. A nearer crowd takes the ahead page from a
 * farther one, which is folded back, one splice a slot. A crowd that comes later than that to one slot is spread
 * when it is due.
 *
 * Why digits of 8 bits: what is spread from a slot of 4.2 ms, at a timer a microsecond, is still in the second-level
 * cache when it fires, so each timer costs one miss and not one a level. */
#include "timer_wheel.h"

#define SIGN   ((uint64_t)1 << 63)
#define NEVER  UINT64_MAX
#define NONE   WEFT__WHEEL_NONE
#define DIGITS WEFT__WHEEL_SLOTS
#define READY  (WEFT__WHEEL_PAGES * DIGITS)
#define TOP    (WEFT__WHEEL_LEVELS - 1)

/* How many moves ahead of time a timer pays for when it comes and when it leaves. It makes two itself, as a rule. */
#define INSERT_CREDIT 1
#define FIRE_CREDIT   8

/* The lowest level whose ahead page is opened before anybody needs it: its slots last 16 us. */
#define NEXT_LEVEL    2
#define CROWD         (WEFT__WHEEL_SMALL + 1)
#define LEAD_NS       ((uint64_t)1 << 26)
#define LEAD_TIMER_NS 64

static uint64_t key_of(int64_t deadline)
{
    return (uint64_t)deadline ^ SIGN;
}

static uint64_t link_key(const weft__wheel_link *link)
{
    return key_of(((const weft__timer *)link)->deadline);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Where a level's digit begins in a key. */
static unsigned shift_of(unsigned level)
{
    return level ? 8 * level - 2 : 0;
}

static unsigned digit_of(uint64_t key, unsigned level)
{
    return (unsigned)(key >> shift_of(level)) & (level ? 255U : 63U);
}

/* The level of the highest digit in which two keys differ. */
static unsigned level_between(uint64_t a, uint64_t b)
{
    return (65U - (unsigned)__builtin_clzll((a ^ b) | 1)) >> 3;
}

static uint32_t front_page(const weft__wheel *w, unsigned level)
{
    return 2 * level + ((w->flip >> level) & 1U);
}

/* Not for the top level, which has one page. */
static uint32_t ahead_page(const weft__wheel *w, unsigned level)
{
    return front_page(w, level) ^ 1U;
}

static unsigned level_of(uint32_t slot)
{
    return slot / (2 * DIGITS);
}

/* Which word of its page's map has the slot's bit. */
static unsigned word_of(uint32_t slot)
{
    return slot % DIGITS / 64;
}

static uint64_t bit_of(uint32_t slot)
{
    return (uint64_t)1 << (slot % 64);
}

/* The first moment that the slot covers. */
static uint64_t slot_start(const weft__wheel *w, uint32_t slot)
{
    unsigned level = level_of(slot);
    unsigned shift = shift_of(level);
    uint64_t digit = slot % DIGITS;
    if (slot / DIGITS != front_page(w, level))
        return w->begin[level] | digit << shift;
    return ((w->base >> shift) - digit_of(w->base, level) + digit) << shift;
}

/* Whether an ahead page stands for the slot, open or being filled. */
static bool is_parent(const weft__wheel *w, uint32_t slot)
{
    unsigned level = level_of(slot);
    return level > 0 && w->parent[level - 1] == slot;
}

static bool has_bit(const uint64_t *words, uint32_t slot)
{
    return (words[word_of(slot)] & bit_of(slot)) != 0;
}

/* The first slot of a page with a digit in [from, to) whose bit is set, or NONE. */
static uint32_t next_slot(const uint64_t *words, uint32_t page, unsigned from, unsigned to)
{
    for (unsigned digit = from; digit < to; digit = (digit | 63) + 1) {
        uint64_t bits = words[digit / 64] >> digit % 64;
        if (bits) {
            digit += (unsigned)__builtin_ctzll(bits);
            return digit < to ? page * DIGITS + digit : NONE;
        }
    }
    return NONE;
}

static void list_clear(weft__wheel_link *head)
{
    head->next = head;
    head->prev = head;
}

static bool list_empty(const weft__wheel_link *head)
{
    return head->next == head;
}

static void link_before(weft__wheel_link *link, weft__wheel_link *at)
{
    weft__wheel_link *prev = at->prev;
    link->next = at;
    link->prev = prev;
    prev->next = link;
    at->prev = link;
}

/* Puts the list of `from` before that of `to`, and empties `from`. */
static void list_splice(weft__wheel_link *from, weft__wheel_link *to)
{
    if (list_empty(from))
        return;
    from->prev->next = to->next;
    to->next->prev = from->prev;
    from->next->prev = to;
    to->next = from->next;
    list_clear(from);
}

static weft__wheel_link *ready_first(weft__wheel *w)
{
    weft__wheel_link *first = w->slot[READY].next;
    return first == &w->slot[READY] ? NULL : first;
}

/* Appends to a slot's list. */
static inline void slot_append(weft__wheel *w, uint32_t slot, weft__wheel_link *link)
{
    weft__wheel_map *map = &w->map[slot / DIGITS];
    map->occupied[word_of(slot)] |= bit_of(slot);
    link_before(link, &w->slot[slot]);
    if (w->came[slot] < WEFT__WHEEL_SMALL)
        w->came[slot]++;
    else
        map->crowded[word_of(slot)] |= bit_of(slot);
}

/* The slot, though its list may be empty, is to be found by all searches. */
static void slot_mark(weft__wheel *w, uint32_t slot)
{
    weft__wheel_map *map = &w->map[slot / DIGITS];
    map->occupied[word_of(slot)] |= bit_of(slot);
    map->crowded[word_of(slot)] |= bit_of(slot);
    w->came[slot] = WEFT__WHEEL_SMALL;
}

/* The slot's list has become empty. It stays occupied if an ahead page stands for it. */
static void slot_emptied(weft__wheel *w, uint32_t slot)
{
    weft__wheel_map *map = &w->map[slot / DIGITS];
    if (is_parent(w, slot))
        return;
    map->occupied[word_of(slot)] &= ~bit_of(slot);
    map->crowded[word_of(slot)] &= ~bit_of(slot);
    w->came[slot] = 0;
}

void weft__wheel_init(weft__wheel *w, int64_t now)
{
    *w = (weft__wheel){.base = key_of(now), .now = key_of(now), .bound = NEVER, .work_at = NEVER};
    for (unsigned level = 0; level < WEFT__WHEEL_LEVELS; level++) {
        w->open[level] = NEVER;
        w->parent[level] = NONE;
    }
    for (uint32_t slot = 0; slot <= READY; slot++)
        list_clear(&w->slot[slot]);
    weft__wheel_work(w, 1); /* opens ahead pages */
}

/* Where a timer with this key is to be appended: the lowest level of which a page that covers it takes timers. */
static inline uint32_t place(const weft__wheel *w, uint64_t key)
{
    unsigned level = level_between(key, w->base);
    uint32_t page = front_page(w, level);
    while (level > 0 && w->open[level - 1] == key >> shift_of(level)) {
        level--;
        page = ahead_page(w, level);
    }
    return page * DIGITS + digit_of(key, level);
}

void weft__wheel_insert(weft__wheel *w, weft__timer *timer)
{
    uint64_t key = key_of(timer->deadline);
    uint32_t slot = place(w, key);
    unsigned shift = shift_of(level_of(slot));
    uint64_t start = key >> shift << shift;
    w->bound = earlier(w->bound, start);
    slot_append(w, slot, &timer->link);
    w->credit += INSERT_CREDIT;
    w->count++;
}

void weft__wheel_remove(weft__wheel *w, weft__timer *timer)
{
    weft__wheel_link *next = timer->link.next;
    weft__wheel_link *prev = timer->link.prev;
    next->prev = prev;
    prev->next = next;
    timer->link.next = NULL;
    w->count--;
    if (next == prev && next != &w->slot[READY]) /* the head, left alone */
        slot_emptied(w, (uint32_t)(next - w->slot));
}

/* Whether the slot can be emptied at once. If it may be crowded, some of what came may have left: then looks at
 * WEFT__WHEEL_SMALL + 1 timers at most, takes them from *budget, and notes the answer until the list is empty. */
static bool slot_small(weft__wheel *w, uint32_t slot, size_t *budget)
{
    weft__wheel_map *map = &w->map[slot / DIGITS];
    const weft__wheel_link *head = &w->slot[slot];
    if (!has_bit(map->crowded, slot) || w->came[slot] == CROWD || is_parent(w, slot))
        return !has_bit(map->crowded, slot);
    uint8_t seen = 0;
    for (const weft__wheel_link *link = head->next; link != head && seen <= WEFT__WHEEL_SMALL; link = link->next)
        seen++;
    *budget -= seen < *budget ? seen : *budget;
    w->came[slot] = seen; /* CROWD, if there are as many */
    map->crowded[word_of(slot)] &= seen < CROWD ? ~bit_of(slot) : UINT64_MAX;
    return seen < CROWD;
}

/* How many timers the ahead page holds at most; many, if more than make a crowd or if it is not open yet. */
static unsigned ahead_most(const weft__wheel *w, unsigned level)
{
    uint32_t page = ahead_page(w, level);
    const uint64_t *words = w->map[page].occupied;
    unsigned most = w->open[level] == NEVER ? CROWD : 0, from = 0;
    for (uint32_t slot; most < CROWD && (slot = next_slot(words, page, from, DIGITS)) != NONE; from = slot % DIGITS + 1)
        most += is_parent(w, slot) ? ahead_most(w, level - 1) : w->came[slot];
    return most;
}

/* Moves up to `budget` timers from the parent to the ahead page; opens the page when none is left. Returns the
 * moves. */
static size_t ahead_fill(weft__wheel *w, unsigned level, size_t budget)
{
    weft__wheel_link *head = &w->slot[w->parent[level]];
    weft__wheel_link *link = head->next;
    uint32_t first = ahead_page(w, level) * DIGITS;
    size_t moves = 0;
    for (weft__wheel_link *next; link != head && moves < budget; link = next, moves++) {
        next = link->next;
        uint32_t slot = first + digit_of(link_key(link), level);
        slot_append(w, slot, link);
    }
    head->next = link;
    link->prev = head;
    if (link == head)
        w->open[level] = w->begin[level] >> shift_of(level + 1);
    w->moved += moves;
    return moves;
}

/* Gives all timers of a page back to the slot it stands for, before what the slot has. */
static void page_fold(weft__wheel *w, uint32_t page, uint32_t parent)
{
    const uint64_t *words = w->map[page].occupied;
    slot_mark(w, parent);
    for (uint32_t slot; (slot = next_slot(words, page, 0, DIGITS)) != NONE; slot_emptied(w, slot))
        list_splice(&w->slot[slot], &w->slot[parent]);
    if (list_empty(&w->slot[parent]))
        slot_emptied(w, parent);
}

/* Frees the ahead page of `level`, if it is in use, and before it that of the level below, if its parent is in it. */
static void ahead_fold(weft__wheel *w, unsigned level)
{
    uint32_t parent = w->parent[level];
    if (parent == NONE)
        return;
    if (level > 0 && w->parent[level - 1] / DIGITS == ahead_page(w, level))
        ahead_fold(w, level - 1);
    w->parent[level] = NONE;
    w->open[level] = NEVER;
    page_fold(w, ahead_page(w, level), parent);
}

/* The first occupied slot of a page in [from, to); if deep, the first with a list, be it in an ahead page. */
static uint32_t find_slot(const weft__wheel *w, uint32_t page, unsigned from, unsigned to, bool deep)
{
    const uint64_t *words = w->map[page].occupied;
    for (uint32_t slot; (slot = next_slot(words, page, from, to)) != NONE; from = slot % DIGITS + 1) {
        if (!deep || !list_empty(&w->slot[slot]))
            return slot;
        uint32_t found = find_slot(w, ahead_page(w, level_of(slot) - 1), 0, DIGITS, true);
        if (found != NONE)
            return found;
    }
    return NONE;
}

/* The first slot of all, or NONE. Left of base the higher level comes first, right of it the lower. */
static uint32_t find_first(const weft__wheel *w, bool deep)
{
    uint32_t slot = NONE;
    for (unsigned level = WEFT__WHEEL_LEVELS; slot == NONE && w->bound < w->base && level-- > 0;)
        slot = find_slot(w, front_page(w, level), 0, digit_of(w->base, level), deep);
    for (unsigned level = 0; slot == NONE && level < WEFT__WHEEL_LEVELS; level++)
        slot = find_slot(w, front_page(w, level), digit_of(w->base, level), DIGITS, deep);
    return slot;
}

/* Spreads a slot of the level above over the ahead page of `level`; an empty one thereby just opens the page. */
static void spread(weft__wheel *w, unsigned level, uint32_t slot, size_t *budget)
{
    if (w->parent[level] != slot) {
        ahead_fold(w, level);
        w->begin[level] = slot_start(w, slot);
        w->parent[level] = slot;
        slot_mark(w, slot);
    }
    *budget -= ahead_fill(w, level, *budget);
}

/* Spreads the first crowded slot of a page, from digit `from` on, if it is time; when it will be goes to work_at. A
 * light ahead page does not stand in the way. false: nothing to spread yet, or the budget is used up. */
static bool spread_crowd(weft__wheel *w, uint32_t page, unsigned from, size_t *budget)
{
    uint64_t lead = LEAD_NS + LEAD_TIMER_NS * (uint64_t)w->count;
    unsigned below = page / 2 - 1;
    uint32_t slot = NONE;
    const uint64_t *words = w->map[page].crowded;
    for (; *budget > 0 && (slot = next_slot(words, page, from, DIGITS)) != NONE; from = slot % DIGITS + 1) {
        bool spreading = is_parent(w, slot);
        if (spreading ? ahead_most(w, below) < CROWD : slot_small(w, slot, budget))
            continue;
        uint64_t start = slot_start(w, slot);
        bool soon = spreading || start <= w->now || start - w->now <= lead;
        if (soon)
            spread(w, below, slot, budget);
        else
            w->work_at = earlier(w->work_at, start - lead);
        return soon;
    }
    return false;
}

/* Opens the ahead page of `level`, if it is free, for what comes after base's own slot of the level above, if that is a
 * slot, and an empty one. */
static void open_next(weft__wheel *w, unsigned level, size_t *budget)
{
    unsigned shift = shift_of(level + 1);
    uint64_t start = ((w->base >> shift) + 1) << shift;
    if (w->parent[level] != NONE || start < w->base)
        return;
    uint32_t slot = place(w, start);
    if (level_of(slot) != level + 1 || has_bit(w->map[slot / DIGITS].occupied, slot))
        return;
    spread(w, level, slot, budget);
    w->bound = earlier(w->bound, start);
}

/* First what follows in the front pages, the nearest level first; then, for levels where nothing follows there, what
 * comes once the front page has run out: the slots of the open ahead page above. */
bool weft__wheel_work(weft__wheel *w, size_t budget)
{
    bool taken[WEFT__WHEEL_LEVELS] = {false};
    w->work_at = NEVER;
    for (unsigned level = 0; level < TOP && budget > 0; level++)
        taken[level] = spread_crowd(w, front_page(w, level + 1), digit_of(w->base, level + 1) + 1, &budget);
    for (unsigned level = TOP; level-- > 0 && budget > 0;) {
        if (!taken[level] && w->open[level + 1] != NEVER)
            taken[level] = spread_crowd(w, ahead_page(w, level + 1), 0, &budget);
        if (!taken[level] && level >= NEXT_LEVEL)
            open_next(w, level, &budget);
    }
    w->work_at = budget > 0 ? w->work_at : w->now;
    return budget == 0;
}

/* Sorts the timers of a small slot into the ready list, behind those of equal deadline. */
static void slot_drain(weft__wheel *w, uint32_t slot)
{
    weft__wheel_link *head = &w->slot[slot];
    weft__wheel_link *ready = &w->slot[READY];
    for (weft__wheel_link *next, *link = head->next; link != head; link = next) {
        weft__wheel_link *at = ready;
        while (at->prev != ready && link_key(at->prev) > link_key(link))
            at = at->prev;
        next = link->next;
        link_before(link, at);
        w->moved++;
        w->credit += FIRE_CREDIT;
    }
    list_clear(head);
    slot_emptied(w, slot);
}

/* The time of a crowded slot has come: spreads what is left of it and makes the page below a front page. If the slot is
 * left of base, what lies below base's slot of the same level goes back to that first. */
static void slot_enter(weft__wheel *w, uint32_t slot, uint64_t start)
{
    unsigned level = level_of(slot) - 1;
    size_t budget = SIZE_MAX;
    for (unsigned below = 0; start < w->base && below <= level; below++)
        ahead_fold(w, below);
    for (unsigned below = 0; start < w->base && below <= level; below++)
        page_fold(w, front_page(w, below), front_page(w, below + 1) * DIGITS + digit_of(w->base, below + 1));
    spread(w, level, slot, &budget);
    w->parent[level] = NONE;
    w->open[level] = NEVER;
    slot_emptied(w, slot);
    w->flip ^= 1U << level;
    w->base = start;
}

/* Passes, empties or enters the first slot. Returns a link if its timer is due and comes before the ready list;
 * otherwise bound and the ready list are nearer to the truth than before. */
static weft__wheel_link *step(weft__wheel *w)
{
    uint32_t slot = find_first(w, false);
    uint64_t start = slot == NONE ? NEVER : slot_start(w, slot);
    const weft__wheel_link *ready = ready_first(w);
    size_t budget = SIZE_MAX;
    w->bound = start;
    if (start > w->now || (ready && link_key(ready) <= start))
        return NULL;
    if (level_of(slot) > 0 && !slot_small(w, slot, &budget)) {
        slot_enter(w, slot, start);
        return NULL;
    }
    w->base = start > w->base ? start : w->base; /* nothing is below the slot's level, on either side */
    if (level_of(slot) > 0) {
        slot_drain(w, slot);
        return NULL;
    }
    w->credit += FIRE_CREDIT;
    return w->slot[slot].next;
}

/* Makes the moves ahead that inserting and firing have paid for, at most `most`. */
static void work_credit(weft__wheel *w, size_t most)
{
    size_t budget = w->credit < most ? w->credit : most;
    w->credit -= budget;
    if (budget > 0 && !weft__wheel_work(w, budget))
        w->credit = 0;
}

weft__timer *weft__wheel_expire(weft__wheel *w, int64_t now)
{
    uint64_t key = key_of(now < INT64_MAX ? now : INT64_MAX - 1);
    w->now = key > w->now ? key : w->now;
    if (w->bound <= w->now && w->credit >= WEFT__WHEEL_STEP)
        work_credit(w, WEFT__WHEEL_STEP);
    weft__wheel_link *due = NULL;
    while (!due) {
        weft__wheel_link *ready = ready_first(w);
        if (ready && link_key(ready) <= w->bound && link_key(ready) <= w->now) {
            due = ready;
        } else if (w->bound <= w->now) {
            due = step(w);
        } else {
            w->base = w->now; /* every occupied slot begins later */
            work_credit(w, WEFT__WHEEL_REST);
            return NULL;
        }
    }
    weft__wheel_remove(w, (weft__timer *)due);
    return (weft__timer *)due;
}

/* The earliest key in a slot, if the slot is small or of level 0; otherwise where it starts. */
static uint64_t slot_earliest(weft__wheel *w, uint32_t slot)
{
    size_t budget = SIZE_MAX;
    uint64_t earliest = NEVER;
    const weft__wheel_link *head = &w->slot[slot];
    if (level_of(slot) == 0 || !slot_small(w, slot, &budget))
        return slot_start(w, slot);
    for (const weft__wheel_link *link = head->next; link != head; link = link->next)
        earliest = earlier(earliest, link_key(link));
    return earliest;
}

int64_t weft__wheel_next(weft__wheel *w)
{
    weft__wheel_work(w, WEFT__WHEEL_STEP);
    const weft__wheel_link *ready = ready_first(w);
    uint64_t next = ready ? earlier(w->work_at, link_key(ready)) : w->work_at;
    uint32_t slot = w->bound < next ? find_first(w, true) : NONE;
    next = slot == NONE ? next : earlier(next, slot_earliest(w, slot));
    return (int64_t)(next ^ SIGN);
}

weft__timer *weft__wheel_any(weft__wheel *w)
{
    weft__wheel_link *link = ready_first(w);
    uint32_t slot = link ? NONE : find_first(w, true);
    return (weft__timer *)(slot == NONE ? link : w->slot[slot].next);
}

/* Counts the timers of a list into *count; false if a link is wrong, or a timer where it may not be. It may be where it
 * would be placed now, or in the page that is being filled from there. */
static bool check_list(const weft__wheel *w, uint32_t slot, size_t *count)
{
    const weft__wheel_link *head = &w->slot[slot];
    unsigned level = slot == READY ? 0 : level_of(slot);
    for (const weft__wheel_link *link = head->next; link != head; link = link->next, (*count)++) {
        if (!link || link->next->prev != link)
            return false;
        uint64_t key = link_key(link);
        bool sorted = link->prev == head || link_key(link->prev) <= key;
        bool inside = slot != READY && key >> shift_of(level) << shift_of(level) == slot_start(w, slot);
        bool placed = place(w, key) == slot || place(w, key) == w->parent[level];
        if (slot == READY ? !sorted : !inside || !placed)
            return false;
    }
    return head->next->prev == head;
}

static bool check_slot(const weft__wheel *w, uint32_t slot, size_t *total)
{
    const weft__wheel_map *map = &w->map[slot / DIGITS];
    bool occupied = has_bit(map->occupied, slot);
    bool crowded = has_bit(map->crowded, slot);
    size_t length = 0;
    if (!check_list(w, slot, &length))
        return false;
    *total += length;
    return occupied == (length > 0 || is_parent(w, slot)) && (!occupied || slot_start(w, slot) >= w->bound) &&
           (crowded ? occupied : length <= w->came[slot] && !is_parent(w, slot));
}

/* A free ahead page is empty. One in use stands for a slot right of base or for one of the open ahead page above. */
static bool check_ahead(const weft__wheel *w, unsigned level)
{
    uint32_t parent = w->parent[level];
    uint64_t open = w->open[level];
    if (parent == NONE)
        return open == NEVER && next_slot(w->map[ahead_page(w, level)].occupied, 0, 0, DIGITS) == NONE;
    bool above = parent / DIGITS == front_page(w, level + 1) ? parent % DIGITS > digit_of(w->base, level + 1)
                                                             : w->open[level + 1] != NEVER;
    bool opened = open == w->begin[level] >> shift_of(level + 1) && list_empty(&w->slot[parent]);
    return level_of(parent) == level + 1 && above && w->begin[level] == slot_start(w, parent) &&
           (open == NEVER || opened);
}

bool weft__wheel_check(const weft__wheel *w)
{
    size_t total = 0;
    bool sound = w->base <= w->now && (w->flip >> TOP) == 0 && check_list(w, READY, &total);
    for (unsigned level = 0; sound && level < TOP; level++)
        sound = check_ahead(w, level);
    for (uint32_t slot = 0; sound && slot < READY; slot++)
        sound = check_slot(w, slot, &total);
    return sound && total == w->count;
}
