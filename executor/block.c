/* block.c: a worker that must wait hands its place to another thread.
 *
 * A pool whose workers may wait for each other's jobs needs a thread for each place at any time, or an acyclic set of
 * jobs can stand still. So before a worker sleeps in a wait it makes sure that somebody stands in: a thread that is
 * surplus stays on duty, or one from the reserve is admitted, or a new one (a spare) is started; if none of these can
 * be had, the wait is refused with -EAGAIN while it is still harmless. When the worker resumes it goes on at once, and
 * one thread too many is on duty until a sleeper is put back in reserve or a thread retires at its next look at
 * `surplus`.
 *
 * A thread in reserve is parked like a sleeper but its bit is not in the idle word, so nobody wakes it for work.
 * Admitting it is setting that bit: no system call is made unless there is work for it. This is what makes a short wait
 * cheap.
 *
 * Invariant, under the roster lock: threads that are neither blocked nor in reserve = workers + surplus. Each change of
 * who may run is followed by a look at the queues and a notify, for the same reason as in idle.c (rule 2), because the
 * thread that was admitted or withdrawn may have been the one that a notifier counted on.
 *
 * With one worker nobody steals as long as it works, so its ready deque is closed (deque.h): submitting to it and
 * taking from it need no agreement. That holds for each thread of such an executor, worker or spare: whichever is on
 * duty publishes all that it has before it goes off duty, and notifies. While one that has resumed and its stand-in
 * are both on duty, each has to itself what it submits, until one of them retires.
 *
 * The idea of compensation is that of Java's ForkJoinPool; admitting without waking is weft's. */
#include "executor.h"

#include <errno.h>
#include <string.h>

/* Under roster: t goes off duty, blocked or in reserve; what is in its deques is for the others (worker.c). A closed
 * ready deque has been published by its owner; that of a sleeper is empty. */
static void go_off_duty(weft_executor *e, weft__thread *t)
{
    if (weft__deque_size(&t->inbox) + weft__deque_size(&t->ready) == 0)
        return;
    atomic_store_explicit(&t->left, true, memory_order_relaxed);
    atomic_fetch_add_explicit(&e->left_behind, 1, memory_order_relaxed);
}

static void go_on_duty(weft_executor *e, weft__thread *t)
{
    if (!atomic_load_explicit(&t->left, memory_order_relaxed))
        return;
    atomic_store_explicit(&t->left, false, memory_order_relaxed);
    atomic_fetch_sub_explicit(&e->left_behind, 1, memory_order_relaxed);
}

static void put_in_reserve(weft_executor *e, weft__thread *t)
{
    t->in_reserve = true;
    go_off_duty(e, t);
    t->next_reserve = e->reserve;
    e->reserve = t;
}

static weft__thread *take_from_reserve(weft_executor *e)
{
    weft__thread *t = e->reserve;
    if (t) {
        e->reserve = t->next_reserve;
        t->in_reserve = false;
        go_on_duty(e, t);
    }
    return t;
}

static void notify_if_visible(weft_executor *e)
{
    if (weft__work_visible(e))
        weft__notify(e);
}

static size_t thread_size(void)
{
    return sizeof(weft__thread) +
           sizeof(_Atomic(void *)) * (WEFT__READY_CAPACITY + WEFT__INBOX_CAPACITY + WEFT__FORKS_CAPACITY);
}

static weft__thread *thread_create(weft_executor *e, unsigned index)
{
    weft__thread *t = weft__zeroed_alloc(thread_size());
    if (!t)
        return NULL;
    _Atomic(void *) *slots = (_Atomic(void *) *)(void *)(t + 1);
    t->alone = e->workers == 1;
    weft__deque_init(&t->ready, slots, WEFT__READY_CAPACITY, t->alone ? WEFT__READY_CAPACITY : 0);
    weft__deque_init(&t->inbox, slots + WEFT__READY_CAPACITY, WEFT__INBOX_CAPACITY, 0);
    weft__forks_init(&t->forks, e->workers, slots + WEFT__READY_CAPACITY + WEFT__INBOX_CAPACITY);
    t->executor = e;
    t->index = index;
    t->random = index * 2654435761u + 1;
    weft__port_embed(&t->port, e);
    return t;
}

void weft__thread_free(weft__thread *t)
{
    weft__zeroed_free(t, thread_size());
}

int weft__thread_launch(weft__thread *t)
{
    char name[32];
    size_t length = strlen(t->executor->name);
    memcpy(name, t->executor->name, length);
    name[length] = '-';
    unsigned index = t->index;
    char digits[12];
    size_t n = 0;
    do
        digits[n++] = (char)('0' + index % 10);
    while (index /= 10);
    for (size_t i = 0; i < n; i++)
        name[length + 1 + i] = digits[n - 1 - i];
    name[length + 1 + n] = '\0';
    return weft__thread_start(&t->id, t->executor->stack_size, name, weft__worker_main, t);
}

int weft__thread_spawn(weft_executor *e)
{
    unsigned index = atomic_load_explicit(&e->thread_count, memory_order_relaxed);
    if (index >= e->workers + e->max_spares)
        return -EAGAIN;
    weft__thread *t = thread_create(e, index);
    if (!t)
        return -ENOMEM;
    e->threads[index] = t;
    weft__trace_thread(e, index);
    if (weft__thread_launch(t)) {
        e->threads[index] = NULL;
        weft__thread_free(t);
        return -EAGAIN;
    }
    atomic_fetch_add_explicit(&weft__threads_live, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&e->staying, 1, memory_order_relaxed);
    /* The thread's first act is to pass the roster lock, which the caller holds: it pushes nothing before it can be
     * found. seq_cst: partner of the loads in notify and work_visible. */
    if (index / WEFT__GROUP + 1 > atomic_load_explicit(&e->idle.used, memory_order_relaxed))
        atomic_store_explicit(&e->idle.used, index / WEFT__GROUP + 1, memory_order_seq_cst);
    atomic_store_explicit(&e->thread_count, index + 1, memory_order_seq_cst);
    return 0;
}

int weft__block_begin(weft__thread *t)
{
    weft_executor *e = t->executor;
    int result = 0;
    bool admitted = false, published = weft__deque_publish(&t->ready);
    pthread_mutex_lock(&e->roster);
    uint32_t surplus = atomic_load_explicit(&e->surplus, memory_order_relaxed);
    weft__thread *spare = NULL;
    bool stopping = atomic_load_explicit(&e->stopping, memory_order_relaxed); /* written under roster */
    if (stopping) {
        /* A hook waits for another executor; there is nothing left to stand in for. */
    } else if (surplus > 0) {
        atomic_store_explicit(&e->surplus, surplus - 1, memory_order_seq_cst);
    } else if ((spare = take_from_reserve(e))) {
        weft__idle_admit(spare);
        admitted = true;
    } else {
        result = weft__thread_spawn(e) ? -EAGAIN : 0;
    }
    if (!result) {
        t->next_blocked = e->blocked;
        t->link_blocked = &e->blocked;
        if (e->blocked)
            e->blocked->link_blocked = &t->next_blocked;
        e->blocked = t;
        go_off_duty(e, t);
        /* seq_cst: partner of the load in weft__blocked_wake_all's callers; see futures/cancel.c. */
        atomic_fetch_add_explicit(&e->blocked_count, 1, memory_order_seq_cst);
    }
    pthread_mutex_unlock(&e->roster);
    if (!result)
        weft__forks_publish(t); /* while it sleeps it forks and joins nothing */
    if (admitted || published)
        notify_if_visible(e);
    t->blocked_note = 0;
    if (!result && weft__tracing(e))
        t->blocked_note = weft__trace_begin(e, WEFT__NOTE_BLOCKED, NULL, (weft__mark){0, 0}, false);
    return result;
}

/* Code of the program's has run on t, which is blocked: what it submitted or forked is for the others. */
void weft__block_continued(weft__thread *t)
{
    weft__forks_publish(t);
    if (weft__deque_publish(&t->ready))
        weft__notify(t->executor);
}

void weft__block_end(weft__thread *t)
{
    weft_executor *e = t->executor;
    weft__trace_end(e, t->blocked_note, 0);
    pthread_mutex_lock(&e->roster);
    go_on_duty(e, t);
    *t->link_blocked = t->next_blocked;
    if (t->next_blocked)
        t->next_blocked->link_blocked = t->link_blocked;
    atomic_fetch_sub_explicit(&e->blocked_count, 1, memory_order_relaxed);
    weft__thread *sleeper = NULL;
    if (atomic_load_explicit(&e->stopping, memory_order_relaxed)) {
        /* Written under roster: sleepers are being woken to end and must be found. */
    } else if ((sleeper = weft__idle_withdraw(e)))
        put_in_reserve(e, sleeper);
    else
        atomic_fetch_add_explicit(&e->surplus, 1, memory_order_seq_cst);
    pthread_mutex_unlock(&e->roster);
    if (sleeper)
        notify_if_visible(e);
}

bool weft__retire(weft__thread *t)
{
    weft_executor *e = t->executor;
    bool retires = false;
    weft__deque_publish(&t->ready); /* notified below; if it stays, it takes back what it finds */
    pthread_mutex_lock(&e->roster);
    uint32_t surplus = atomic_load_explicit(&e->surplus, memory_order_relaxed);
    if (surplus > 0 && !atomic_load_explicit(&e->stopping, memory_order_relaxed)) {
        atomic_store_explicit(&e->surplus, surplus - 1, memory_order_seq_cst);
        put_in_reserve(e, t);
        retires = true;
    }
    pthread_mutex_unlock(&e->roster);
    if (!retires)
        return false;
    if (t->searching)
        weft__search_end(t);
    notify_if_visible(e);
    /* As in weft__sleep_idle; here the roster lock orders it (jobs_quiet in shutdown.c takes it too). */
    if (weft__phase(e) == WEFT__CLOSING)
        weft__coordinator_news(&e->coordinator);
    weft__park(t);
    t->searching = true;
    return true;
}

void weft__blocked_wake_all(weft_executor *e)
{
    if (atomic_load_explicit(&e->blocked_count, memory_order_seq_cst) == 0)
        return;
    pthread_mutex_lock(&e->roster);
    for (weft__thread *t = e->blocked; t; t = t->next_blocked)
        weft__bell_ring(t);
    pthread_mutex_unlock(&e->roster);
}

void weft__bell_ring(weft__thread *t)
{
    /* Release: what made the ringer ring is seen by who wakes. The thread's memory stays while the executor's does. */
    atomic_fetch_add_explicit(&t->bell, 1, memory_order_release);
    weft__futex_wake(&t->bell, 1);
}

uint32_t weft__bell_read(weft__thread *t)
{
    return atomic_load_explicit(&t->bell, memory_order_acquire);
}

void weft__bell_wait(weft__thread *t, uint32_t seen, int64_t deadline)
{
    weft__futex_wait(&t->bell, seen, deadline);
}
