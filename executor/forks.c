/* forks.c: fork-join without a locked instruction while nobody asks.
 *
 * A thread's forks are in three places, oldest first:
 *
 *     taken by thieves | visible: a deque, open at its old end | private: a list, which nobody else touches
 *
 * To fork is to append to the list and to join is to remove from it; both are a few plain loads and stores (weft_fork
 * and weft_join in futures/, and fork_inline.h). Tasks become visible on request only: `wanted` is set by whoever looks
 * for work and finds none here, and at its next fork or join the owner sees it, moves the whole list into the deque as
 * far as there is room, and wakes a sleeper. Since forks are nested strictly and the oldest is made visible first,
 * what is taken is older than what is visible, and that older than what is private; so a join finds its task at the end
 * of the list, or at the young end of the deque, or with a thief. The list has no limit; the deque needs none that
 * counts, because thieves make room in it.
 *
 * No request is lost. A thread that goes to sleep
 *   (S1) sets its bit in the idle word (seq_cst), and then
 *   (S2) sets `wanted` of every other thread (seq_cst; if it is set already, the seq_cst load that found it so), and
 *   (S3) looks at every queue and every deque of tasks again, as always (idle.c, rule 2).
 * The owner, when it sees the request by whatever relaxed load,
 *   (O1) clears `wanted` (seq_cst), then
 *   (O2) makes its tasks visible (seq_cst store of the deque's split), then
 *   (O3) calls weft__notify, which loads the idle word (seq_cst).
 * If O1 comes after S2 in the single order, O3 comes after S1 and finds the sleeper: it, or one that sleeps with it, is
 * woken. If O1 comes before, `wanted` stays set, and the next fork or join sees it. One publication wakes one thread;
 * that looks for more visible work before it stops searching (rule 3). So that those who sleep on are not forgotten
 * once what is visible has gone, whoever takes the last of it asks again: a thief always, since somebody who was
 * hungry once is likely to be again and then need not wait for the owner; the owner itself only if somebody sleeps or
 * searches, or else each of its forks would become visible.
 * A thread that searches need not ask in any order: it comes to S1 before it sleeps.
 *
 * What the request cannot do is interrupt: a thread that neither forks nor joins keeps what is private. It is made
 * visible all at once, so that the next thief need not wait, and before the thread blocks.
 *
 * A task that a thief has taken ends by one exchange of its state, after which the thief touches only the owner's
 * weft__thread: the owner may have returned from the join, and the task be gone.
 *
 * Where it comes from: private and visible part as in the split deques of Acar, Chargueraud and Rainey, "Scheduling
 * parallel programs by work stealing with private deques" (PPoPP 2013), and of Lace (van Dijk and van de Pol, 2014); the
 * list through the tasks themselves, without a limit and without a ring to keep, is weft's. Model:
 * tests/model/forks.pml. */
#include "executor.h"

const weft_fork_list weft__forks_nowhere = {.wanted = 1};

__thread weft_fork_list *weft_fork_here WEFT__FORK_TLS = (weft_fork_list *)&weft__forks_nowhere;

static _Atomic(uint32_t) *wanted(weft__forks *f)
{
    return (_Atomic(uint32_t) *)(void *)&f->list.wanted;
}

void weft__forks_init(weft__forks *f, _Atomic(void *) *slots)
{
    f->list.newest = &f->list.oldest;
    weft__deque_init(&f->visible, slots, WEFT__FORKS_CAPACITY, 0);
}

/* ---- the owner ---- */

static weft_task *list_take_oldest(weft_fork_list *list)
{
    weft_task *task = list->oldest.next;
    if (task == list->newest) {
        list->newest = &list->oldest;
    } else {
        list->oldest.next = task->next;
        task->next->previous = &list->oldest;
    }
    return task;
}

static bool make_visible(weft__thread *t, weft_task *task)
{
    weft__forks *f = &t->forks;
    task->previous = NULL; /* no longer in the list: see weft_join in a forked child */
    task->owner = t;
    task->job = weft__self.job;
    task->below = f->published;
    atomic_store_explicit(weft__fork_state(task), WEFT__FORK_RUNNING, memory_order_relaxed);
    atomic_store_explicit(weft__fork_thief(task), NULL, memory_order_relaxed);
    f->published = task;
    /* The store of split is the release for all of it. */
    return weft__deque_push(&f->visible, task) != WEFT__PUSH_FULL;
}

static bool has_room(weft__forks *f)
{
    /* Thieves can only make room. Relaxed, within: nothing is read on the strength of it. */
    return weft__deque_size(&f->visible) < WEFT__FORKS_CAPACITY;
}

void weft__forks_publish(weft__thread *t)
{
    weft__forks *f = &t->forks;
    weft_fork_list *list = &f->list;
    /* Hooks fork outside a job: there is no context that a thief could run it in. */
    if (list->newest == &list->oldest || !weft__self.job)
        return;
    atomic_store_explicit(wanted(f), 0, memory_order_seq_cst); /* O1 */
    WEFT_POINT();
    bool any = false;
    while (list->newest != &list->oldest && has_room(f))
        any |= make_visible(t, list_take_oldest(list)); /* O2 */
    WEFT_POINT();
    if (any)
        weft__notify(t->executor); /* O3 */
}

bool weft__forks_take_back(weft__thread *t, weft_task *task)
{
    weft__forks *f = &t->forks;
    bool raised = false;
    f->published = task->below;
    if (!weft__deque_pop(&f->visible, &raised))
        return false;
    WEFT_POINT();
    /* Who comes to sleep after this look asks by itself. */
    if (!weft__deque_size(&f->visible) && weft__idle_any(t->executor))
        atomic_store_explicit(wanted(f), 1, memory_order_seq_cst);
    return true;
}

weft__forks_apart weft__forks_set_apart(weft__thread *t)
{
    weft_fork_list *list = &t->forks.list;
    weft__forks_apart apart = {NULL, NULL};
    if (WEFT__LIKELY(list->newest == &list->oldest))
        return apart;
    weft__forks_publish(t);
    if (list->newest != &list->oldest) {
        apart = (weft__forks_apart){list->oldest.next, list->newest};
        list->newest = &list->oldest;
    }
    return apart;
}

void weft__forks_put_back(weft__thread *t, weft__forks_apart apart)
{
    if (!apart.newest)
        return;
    t->forks.list.oldest.next = apart.oldest; /* whose previous is &list.oldest still */
    t->forks.list.newest = apart.newest;
}

/* ---- the thieves ---- */

static void ask(weft__forks *f)
{
    /* seq_cst, both: S2. Read before it is written, so that those who look in vain again and again leave the line to
     * the owner, who reads it at every fork. */
    if (atomic_load_explicit(wanted(f), memory_order_seq_cst) == 0)
        atomic_store_explicit(wanted(f), 1, memory_order_seq_cst);
}

weft_task *weft__forks_steal(weft__thread *thief, weft__thread *owner)
{
    weft__forks *f = &owner->forks;
    void *x;
    do
        x = weft__deque_steal(&f->visible);
    while (x == WEFT__STEAL_RETRY);
    WEFT_POINT();
    if (!x || !weft__deque_visible(&f->visible))
        ask(f);
    weft_task *task = x;
    if (task) {
        /* Release, partner of the joining owner's acquire load: it finds the thread, which has been there all along. */
        atomic_store_explicit(weft__fork_thief(task), thief, memory_order_release);
        weft__count(&thief->port.counts.stolen, 1);
    }
    return task;
}

void weft__forks_ask_all(weft__thread *t)
{
    weft_executor *e = t->executor;
    unsigned n = atomic_load_explicit(&e->thread_count, memory_order_seq_cst);
    for (unsigned i = 0; n > 1 && i < n; i++)
        if (e->threads[i] != t)
            ask(&e->threads[i]->forks);
}

void weft__fork_done(weft_task *task, void *value, int failure)
{
    weft__thread *owner = task->owner;
    task->arg = value;
    task->failure = failure;
    WEFT_POINT();
    /* Release: the owner sees value and failure, and what the function wrote. Acquire: nothing more is needed than the
     * order with the owner's compare-and-swap on this word, by which one of the two learns of the other. */
    if (atomic_exchange_explicit(weft__fork_state(task), WEFT__FORK_DONE, memory_order_acq_rel) == WEFT__FORK_AWAITED)
        weft__bell_ring(owner);
}

/* ---- the end of a thread ---- */

void weft__forks_leave(void)
{
    weft_fork_here = (weft_fork_list *)&weft__forks_nowhere;
}

/* It stands on the owner's stack, which is there until the thread has ended; see weft__worker_main. */
static void wait_for_thief(weft__thread *t, weft_task *task)
{
    uint32_t running = WEFT__FORK_RUNNING;
    atomic_compare_exchange_strong_explicit(weft__fork_state(task), &running, WEFT__FORK_AWAITED, memory_order_acq_rel,
                                            memory_order_acquire);
    for (;;) {
        uint32_t bell = weft__bell_read(t);
        if (atomic_load_explicit(weft__fork_state(task), memory_order_acquire) == WEFT__FORK_DONE)
            return;
        weft__bell_wait(t, bell, INT64_MAX);
    }
}

void weft__forks_abandon(weft__thread *t)
{
    weft__forks *f = &t->forks;
    bool raised = false;
    f->list.newest = &f->list.oldest;
    for (weft_task *task; (task = f->published);) {
        f->published = task->below;
        if (!weft__deque_pop(&f->visible, &raised))
            wait_for_thief(t, task);
    }
}
