/* mailbox.h: how messages reach the coordinator: one word, and a second one that tells what may wait.
 *
 * What it is. A stack of links in one word, into which any thread posts and which the coordinator empties with one
 * exchange and turns round, so that it handles messages in the order of their posts. Whether the coordinator sleeps is
 * a bit in the same word, so a post learns it from the CAS that it makes anyway. The time at which a sleeping
 * coordinator wakes by itself is in another word: a message that need not be handled earlier (the arming of a distant
 * timer) leaves it asleep, and of many urgent posters exactly one pays for the system call.
 *
 * Discipline. Any thread posts. take, sleep and close are the coordinator's. A link is the mailbox's from the post that
 * was not answered WEFT__POST_CLOSED until take returns it. No system call is made here; the caller of post and of
 * sleep waits and wakes on the low half of `head` (weft__futex_half). A poster keeps the mailbox's memory alive until
 * its call, and the wake that it may have to make, have returned; the wake itself uses the address alone.
 *
 * The head word:
 *
 *     0                   empty, the coordinator is awake
 *     ASLEEP              empty, the coordinator sleeps or is about to
 *     link                newest message; awake
 *     link | ASLEEP       messages that can wait, the coordinator sleeps
 *     CLOSED              for ever
 *
 *     post    0 -> link, link -> link, keeping ASLEEP            wake   takes ASLEEP off; who takes it off must wake
 *     take    anything but CLOSED -> 0                           sleep  0 -> ASLEEP
 *     close   0 or ASLEEP -> CLOSED
 *
 * No wake-up is lost: the coordinator stores next_wake, then sets ASLEEP only into an empty word. A post that comes
 * before makes that fail. A post that comes after has ASLEEP in the value that its CAS replaced, so it sees the
 * next_wake of that sleep, or a later one, and then its link has been taken already. That is why urgency is judged
 * after the CAS and never before. A poster that is slow may take ASLEEP off a later sleep than the one that it saw; the
 * coordinator then wakes once for nothing.
 *
 * Where it comes from. Treiber's stack emptied whole, which knows no reuse problem; the bit in the word as in the event
 * counts of Vyukov and in libdispatch's queues. */
#ifndef WEFT__MAILBOX_H
#define WEFT__MAILBOX_H

#include "atomics.h"
#include "link.h"

enum weft__post {
    WEFT__POSTED,      /* the link is the mailbox's; nothing to do */
    WEFT__POST_WAKE,   /* the link is the mailbox's; the caller wakes one sleeper on the low half of head */
    WEFT__POST_CLOSED, /* the mailbox is closed; the link is still the caller's */
};

/* Deadlines for what is not a matter of time. */
#define WEFT__POST_URGENT INT64_MIN
#define WEFT__POST_LAZY   INT64_MAX

typedef struct weft__mailbox {
    alignas(WEFT__PAIR) _Atomic(uint64_t) head;     /* see the table; posters and coordinator, by CAS or exchange */
    alignas(WEFT__PAIR) _Atomic(int64_t) next_wake; /* coordinator writes, before it sleeps; posters that met it
                                                       asleep read: absolute ns at which it wakes by itself */
} weft__mailbox;

/* Makes an open, empty mailbox whose coordinator is awake. Before it is shared. */
void weft__mailbox_init(weft__mailbox *mb);

/* Any thread: posts a message that should be handled by `deadline` (absolute ns; WEFT__POST_URGENT, WEFT__POST_LAZY).
 * A lazy one is handled whenever the coordinator is awake next, which may be never: see to it that one comes. */
enum weft__post weft__mailbox_post(weft__mailbox *mb, weft__link *link, int64_t deadline);

/* Any thread: the same for the chain first..last, oldest first, linked by `next`, at the cost of one post. If it is
 * refused, the chain is as it was. */
enum weft__post weft__mailbox_chain_post(weft__mailbox *mb, weft__link *first, weft__link *last, int64_t deadline);

/* Coordinator: takes all messages, oldest first, linked by `next` and ended by NULL; NULL: there was none. It is awake
 * afterwards. */
weft__link *weft__mailbox_take(weft__mailbox *mb);

/* Coordinator: announces that it is going to sleep until next_wake (absolute ns; INT64_MAX: until it is woken). False:
 * messages are there, it takes them first. True: it sleeps while the low half of head equals
 * weft__mailbox_sleep_value(), and calls take when it comes back, whatever the reason. */
bool weft__mailbox_sleep(weft__mailbox *mb, int64_t next_wake);

/* What the low half of head holds while the coordinator may sleep. A lazy message changes it too, which costs at most
 * another look; one at an address whose low half is 0 does not, and can wait. */
static inline uint32_t weft__mailbox_sleep_value(void)
{
    return 1;
}

/* Coordinator: closes the mailbox if it is empty. True: it is closed, every later post is refused. False: messages are
 * there. */
bool weft__mailbox_close(weft__mailbox *mb);

/* Any thread: no message at this moment. */
bool weft__mailbox_empty(const weft__mailbox *mb);

#endif
