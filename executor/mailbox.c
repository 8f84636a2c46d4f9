/* mailbox.c: the transitions of the mailbox's one word. mailbox.h has the table of them and the argument. */
#include "mailbox.h"

#define ASLEEP    ((uint64_t)1)
#define CLOSED    ((uint64_t)2)
#define LINK_MASK (~(ASLEEP | CLOSED))

static weft__link *link_of(uint64_t head)
{
    return (weft__link *)(uintptr_t)(head & LINK_MASK);
}

void weft__mailbox_init(weft__mailbox *mb)
{
    atomic_init(&mb->head, 0);
    atomic_init(&mb->next_wake, INT64_MAX);
}

/* Turns a chain round, up to but without `end`, and returns what was its last link. The first then points to `end`. */
static weft__link *reverse(weft__link *link, weft__link *end)
{
    weft__link *done = end;

    while (link != end) {
        /* relaxed, both: whoever calls this holds the links; the acquire by which it got them is behind it, the release
         * by which it passes them on is to come. */
        weft__link *next = atomic_load_explicit(&link->next, memory_order_relaxed);
        atomic_store_explicit(&link->next, done, memory_order_relaxed);
        done = link;
        link = next;
    }
    return done;
}

/* After a push that replaced `seen`: must the caller wake the coordinator? */
static bool must_wake(weft__mailbox *mb, uint64_t seen, int64_t deadline)
{
    if ((seen & ASLEEP) == 0) {
        return false;
    }
    WEFT_POINT();
    /* relaxed: the CAS that read ASLEEP acquired it from the one that set it, before which this was stored; a later
     * value belongs to a later sleep, before which the link was taken. */
    if (deadline >= atomic_load_explicit(&mb->next_wake, memory_order_relaxed)) {
        return false;
    }
    WEFT_POINT();
    /* relaxed: a read-modify-write, so of several posters one gets the bit, and the messages' release sequences go on
     * through it; nothing else is passed on by it. */
    return (atomic_fetch_and_explicit(&mb->head, ~ASLEEP, memory_order_relaxed) & ASLEEP) != 0;
}

/* Pushes a chain that runs from its newest link to its oldest. */
static enum weft__post push(weft__mailbox *mb, weft__link *newest, weft__link *oldest, int64_t deadline)
{
    WEFT_POINT();
    /* acquire, here and when the CAS fails: only for a refused caller, who sees what came before the close. */
    uint64_t seen = atomic_load_explicit(&mb->head, memory_order_acquire);
    do {
        if (seen & CLOSED) {
            return WEFT__POST_CLOSED;
        }
        /* relaxed: published by the CAS. */
        atomic_store_explicit(&oldest->next, link_of(seen), memory_order_relaxed);
        WEFT_POINT();
        /* seq_cst: release for the messages, with the exchange in take; acquire of ASLEEP, for next_wake. And all of it
         * in the single order, so that who posts and then loads the state of the executor is ordered with who writes
         * that state and then looks into the mailbox. */
    } while (!atomic_compare_exchange_weak_explicit(&mb->head, &seen, (uint64_t)(uintptr_t)newest | (seen & ASLEEP),
                                                    memory_order_seq_cst, memory_order_acquire));
    return must_wake(mb, seen, deadline) ? WEFT__POST_WAKE : WEFT__POSTED;
}

enum weft__post weft__mailbox_post(weft__mailbox *mb, weft__link *link, int64_t deadline)
{
    return push(mb, link, link, deadline);
}

enum weft__post weft__mailbox_chain_post(weft__mailbox *mb, weft__link *first, weft__link *last, int64_t deadline)
{
    /* relaxed: the caller still holds the chain. */
    atomic_store_explicit(&last->next, NULL, memory_order_relaxed);
    (void)reverse(first, NULL);
    enum weft__post answer = push(mb, last, first, deadline);
    if (answer == WEFT__POST_CLOSED) {
        atomic_store_explicit(&first->next, NULL, memory_order_relaxed);
        (void)reverse(last, NULL);
    }
    return answer;
}

weft__link *weft__mailbox_take(weft__mailbox *mb)
{
    WEFT_POINT();
    /* relaxed: of the states that matter here, only the coordinator itself makes and ends CLOSED, and an old 0 is as
     * good as having looked earlier. */
    uint64_t head = atomic_load_explicit(&mb->head, memory_order_relaxed);
    if (head == 0 || head == CLOSED) {
        return NULL;
    }
    WEFT_POINT();
    /* acquire, with the CAS of each post in the list: later posts continue the release sequences of earlier ones. */
    head = atomic_exchange_explicit(&mb->head, 0, memory_order_acquire);
    return reverse(link_of(head), NULL);
}

bool weft__mailbox_sleep(weft__mailbox *mb, int64_t next_wake)
{
    uint64_t empty = 0;

    /* relaxed: released by the CAS below. */
    atomic_store_explicit(&mb->next_wake, next_wake, memory_order_relaxed);
    WEFT_POINT();
    /* seq_cst: release of next_wake, with the CAS of a post that finds ASLEEP; and the announcement takes its place in
     * the single order, before whatever the coordinator looks at between this and its wait. relaxed: on failure it
     * calls take. */
    return atomic_compare_exchange_strong_explicit(&mb->head, &empty, ASLEEP, memory_order_seq_cst,
                                                   memory_order_relaxed);
}

bool weft__mailbox_close(weft__mailbox *mb)
{
    WEFT_POINT();
    /* relaxed: a guess for the CAS. */
    uint64_t seen = atomic_load_explicit(&mb->head, memory_order_relaxed);
    while (link_of(seen) == NULL) {
        WEFT_POINT();
        /* seq_cst: on the word that posts change, so each is before it, and then this fails, or refused; release, with
         * the acquire load of a refused post; and in the single order for those who look at other words next. */
        if ((seen & CLOSED) != 0 || atomic_compare_exchange_weak_explicit(&mb->head, &seen, CLOSED,
                                                                          memory_order_seq_cst, memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

bool weft__mailbox_empty(const weft__mailbox *mb)
{
    /* seq_cst: in one order with posts, for those who decide that the executor has come to rest. */
    return link_of(atomic_load_explicit(&mb->head, memory_order_seq_cst)) == NULL;
}
