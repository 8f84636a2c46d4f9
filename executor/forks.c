/* forks.c: fork-join without a locked instruction while nobody asks.
 *
 * A thread's forks are in three places, oldest first:
 *
 *     taken by thieves | visible: a deque, open at its old end | private: a list, which nobody else touches
 *
 * To fork is to append to the list and to join is to remove from it; both are a few plain loads and stores (weft_fork
 * and weft_join in futures/, and fork_inline.h). Tasks become visible only when `wanted` is set, which the owner looks
 * at in each fork and join; it then moves the whole list into the deque, as far as there is room. Since forks are
 * nested strictly and the oldest is made visible first, what is taken is older than what is visible, and that older
 * than what is private; so a join finds its task at the end of the list, or at the young end of the deque, or with a
 * thief. The list has no limit; the deque needs none that counts, because thieves make room in it.
 *
 * `wanted` stands for "fewer than `enough` are visible", where enough is the number of workers, at most 4, and none with
 * one worker. In a recursion that leaves everything but the outermost levels private. The rules:
 *   (O1) the owner clears `wanted` (seq_cst), then
 *   (O2) makes tasks visible (seq_cst stores of the deque's split), then
 *   (O3) counts those that are visible (seq_cst load of the deque's top), and sets `wanted` again if they are too few;
 *        it does so, too, when it has taken a visible one back. Last, as after every publication,
 *   (O4) it calls weft__notify.
 *   (T1) A thief takes a task (seq_cst compare-and-swap of top), and then
 *   (T2) sets `wanted` (seq_cst).
 * If T2 comes before O1 in the single order, so does T1, and O3 counts without the task that was taken. If it comes
 * later, `wanted` stays set. So whenever there are too few, `wanted` is set or about to be, and the owner's next fork
 * or join acts on it. Thieves have nothing to ask for and never look at the list: where nothing is visible, the owner
 * knows that already. Between publication and sleepers stands the same pair as for every queue (idle.c), and one
 * publication wakes one thread, which looks for more before it stops searching.
 *
 * What is private of a job while another one runs inline in one of its waits is kept apart and stays so until that has
 * ended: the other job's forks are put in an empty list, and become visible before it though they are newer.
 *
 * What a flag cannot do is interrupt: a thread that neither forks nor joins keeps what is private. So it makes visible
 * all that it has whenever it is asked, and before it blocks.
 *
 * A task that a thief has taken ends by one exchange of its state, after which the thief touches only the owner's
 * weft__thread: the owner may have returned from the join, and the task be gone.
 *
 * Where it comes from: private and visible part as in the split deques of Acar, Chargueraud and Rainey, "Scheduling
 * parallel programs by work stealing with private deques" (PPoPP 2013), and of Lace (van Dijk and van de Pol, 2014);
 * the list through the tasks themselves, without a limit and without a ring to keep, is weft's. Model:
 * tests/model/forks.pml. */
#include "executor.h"

const weft_fork_list weft__forks_nowhere = {.wanted = 1};

__thread weft_fork_list *weft_fork_here WEFT__FORK_TLS = (weft_fork_list *)&weft__forks_nowhere;

static _Atomic(uint32_t) *wanted(weft__forks *f)
{
    return (_Atomic(uint32_t) *)(void *)&f->list.wanted;
}

void weft__forks_init(weft__forks *f, unsigned workers, _Atomic(void *) *slots)
{
    f->list.newest = &f->list.oldest;
    f->enough = workers == 1 ? 0 : workers < WEFT__FORKS_ENOUGH ? workers : WEFT__FORKS_ENOUGH;
    f->list.wanted = f->enough > 0;
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

/* Relaxed, within: nothing is read on the strength of it. Thieves can only make it less. */
static bool has_room(const weft__forks *f)
{
    return weft__deque_size(&f->visible) < WEFT__FORKS_CAPACITY;
}

/* O3. */
static void count_visible(weft__forks *f)
{
    uint64_t top = atomic_load_explicit(&f->visible.top, memory_order_seq_cst);
    if (weft__deque_below(f->visible.bottom, top + f->enough))
        atomic_store_explicit(wanted(f), 1, memory_order_seq_cst);
}

void weft__forks_publish(weft__thread *t)
{
    weft__forks *f = &t->forks;
    weft_fork_list *list = &f->list;
    /* Hooks fork outside a job: there is no context that a thief could run it in. */
    if (list->newest == &list->oldest || !weft__self.job)
        return;
    bool any = false;
    atomic_store_explicit(wanted(f), 0, memory_order_seq_cst); /* O1 */
    WEFT_POINT();
    while (list->newest != &list->oldest && has_room(f))
        any |= make_visible(t, list_take_oldest(list)); /* O2 */
    WEFT_POINT();
    count_visible(f);
    if (any)
        weft__notify(t->executor); /* O4 */
}

bool weft__forks_take_back(weft__thread *t, weft_task *task)
{
    weft__forks *f = &t->forks;
    bool raised = false;
    bool taken = !weft__deque_pop(&f->visible, &raised);
    if (!taken)
        f->published = task->below;
    WEFT_POINT();
    count_visible(f);
    return !taken;
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

/* T2, and what a thief writes into a task that it has taken. */
static weft_task *note_theft(weft__thread *thief, weft__thread *owner, weft_task *task)
{
    WEFT_POINT();
    atomic_store_explicit(wanted(&owner->forks), 1, memory_order_seq_cst); /* T2 */
    /* Release, partner of the joining owner's acquire load: it finds the thread, which has been there all along. */
    atomic_store_explicit(weft__fork_thief(task), thief, memory_order_release);
    weft__count(&thief->port.counts.stolen, 1);
    WEFT__PROBE2(steal, thief->index, owner->index);
    if (weft__tracing(thief->executor))
        weft__trace_moment(thief->executor, WEFT__NOTE_STEAL, (int)owner->index, NULL, (weft__mark){0, 0});
    return task;
}

weft_task *weft__forks_steal(weft__thread *thief, weft__thread *owner)
{
    weft__forks *f = &owner->forks;
    void *x;
    do
        x = weft__deque_steal(&f->visible); /* T1 */
    while (x == WEFT__STEAL_RETRY);
    return x ? note_theft(thief, owner, x) : NULL;
}

/* Between look and taking the task is found not to be done. So what is taken was in the deque while the owner was at
 * the task, before which that deque was empty. What the owner pushes when it has gone on to other things is not
 * mistaken for a part of it: to see that in the deque is to have acquired a store of split that comes after the end of
 * the task, and then the look at its state sees the end. */
weft_task *weft__forks_steal_part(weft__thread *thief, weft__thread *owner, weft_task *task)
{
    weft__forks *f = &owner->forks;
    weft__deque_seen seen;
    while (weft__deque_look(&f->visible, &seen) && !weft__fork_is_done(task))
        if (weft__deque_take_seen(&f->visible, seen)) /* T1 */
            return note_theft(thief, owner, seen.entry);
    return NULL;
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

/* It stands on the owner's stack, which is there until the thread has ended; see weft__worker_main. What the thief runs
 * may need a thread that runs jobs, so this one gives its place away. */
static void wait_for_thief(weft__thread *t, weft_task *task)
{
    uint32_t running = WEFT__FORK_RUNNING;
    if (!atomic_compare_exchange_strong_explicit(weft__fork_state(task), &running, WEFT__FORK_AWAITED,
                                                 memory_order_acq_rel, memory_order_acquire))
        return;
    int refused = weft__block_begin(t);
    for (uint32_t bell = weft__bell_read(t); !weft__fork_is_done(task); bell = weft__bell_read(t))
        weft__bell_wait(t, bell, INT64_MAX);
    if (!refused)
        weft__block_end(t);
}

void weft__forks_abandon(weft__thread *t, const weft_future *job, const weft_task *stolen)
{
    weft__forks *f = &t->forks;
    const weft_task *until = stolen ? stolen->next : NULL;
    bool raised = false;
    f->list.newest = &f->list.oldest;
    for (weft_task *task; (task = f->published) != until && task->job == job;) {
        f->published = task->below;
        if (!weft__deque_pop(&f->visible, &raised))
            wait_for_thief(t, task);
    }
    count_visible(f); /* or what is forked here next would stay private for ever */
}
