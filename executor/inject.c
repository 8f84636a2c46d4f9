/* inject.c: one shard's queue, and the round over the shards. inject.h tells the discipline.
 *
 * The queue in a shard runs from the stub or from `first` along `next` to the link that tail names. A link whose next
 * is NULL is the newest one, or the push behind it has not tied it yet; comparing it with tail tells which. */
#include "inject.h"

/* How often a take looks for the missing store of a half-linked push. */
#ifdef WEFT_TINY
#define HALF_LINKED_LOOKS 1
#else
#define HALF_LINKED_LOOKS 32
#endif

static uintptr_t address(const weft__link *link)
{
    return (uintptr_t)link;
}

static bool is_empty(const weft__inject_shard *shard, uintptr_t tail)
{
    return (tail & ~WEFT__INJECT_CLOSED) == address(&shard->stub);
}

void weft__inject_init(weft__inject *inj, unsigned shards)
{
    inj->mask = shards - 1;
    for (unsigned i = 0; i < WEFT__INJECT_SHARDS; i++) {
        weft__inject_shard *shard = &inj->shards[i];
        atomic_init(&shard->tail, address(&shard->stub));
        atomic_init(&shard->lock, 0);
        shard->first = NULL;
        atomic_init(&shard->stub.next, NULL);
        shard->stub.ops = NULL;
    }
}

/* Appends the chain unless one of the bits `refuse` is set in tail. */
static bool push(weft__inject_shard *shard, weft__link *first, weft__link *last, uintptr_t refuse)
{
    /* relaxed: published by the CAS. */
    atomic_store_explicit(&last->next, NULL, memory_order_relaxed);
    WEFT_POINT();
    /* relaxed: only a guess for the CAS, which fails if it is wrong. A refusal reads nothing on the strength of it. */
    uintptr_t tail = atomic_load_explicit(&shard->tail, memory_order_relaxed);
    do {
        if (tail & refuse) {
            return false;
        }
        WEFT_POINT();
        /* seq_cst: acquire, with the CAS by which the former newest link came, or with the one that moved tail back to
         * the stub, so that the store below comes after the resetting of that link's next; release, with the next push;
         * and the publishing half of the Dekker pair with weft__inject_visible. relaxed: a new guess. */
    } while (!atomic_compare_exchange_weak_explicit(&shard->tail, &tail, address(last) | (tail & WEFT__INJECT_CLOSED),
                                                    memory_order_seq_cst, memory_order_relaxed));
    WEFT_POINT();
    weft__link *before = (weft__link *)(tail & ~WEFT__INJECT_CLOSED);
    /* release, with the consumer's acquire load of next: the chain and what it carries. The link is still in the queue:
     * the consumer does not hand it out before it has read this. */
    atomic_store_explicit(&before->next, first, memory_order_release);
    WEFT_POINT();
    return true;
}

bool weft__inject_push(weft__inject *inj, unsigned hint, weft__link *first, weft__link *last)
{
    return push(&inj->shards[hint & inj->mask], first, last, WEFT__INJECT_CLOSED);
}

void weft__inject_push_own(weft__inject *inj, unsigned hint, weft__link *first, weft__link *last)
{
    (void)push(&inj->shards[hint & inj->mask], first, last, 0);
}

void weft__inject_close(weft__inject *inj)
{
    for (unsigned i = 0; i <= inj->mask; i++) {
        WEFT_POINT();
        /* seq_cst: on the word that the pushes change, so each of them is before or after it; and whoever has closed
         * and then loads the state of the executor is ordered with whoever wrote that state and then pushed. */
        atomic_fetch_or_explicit(&inj->shards[i].tail, WEFT__INJECT_CLOSED, memory_order_seq_cst);
    }
}

/* Under lock: what follows `link` in the queue; waits a little for a push that is being tied. */
static weft__link *follow(const weft__link *link)
{
    for (unsigned i = 0; i < HALF_LINKED_LOOKS; i++) {
        WEFT_POINT();
        /* acquire, with the release store in push. */
        weft__link *next = atomic_load_explicit(&link->next, memory_order_acquire);
        if (next != NULL) {
            return next;
        }
        weft__pause();
    }
    return NULL;
}

/* Under lock: if `link` is the newest one, moves tail back to the stub, so that the shard is empty and no producer is
 * going to write to the link. */
static bool detach_newest(weft__inject_shard *shard, const weft__link *link)
{
    WEFT_POINT();
    /* relaxed: a guess for the CAS. */
    uintptr_t tail = atomic_load_explicit(&shard->tail, memory_order_relaxed);
    while ((tail & ~WEFT__INJECT_CLOSED) == address(link)) {
        /* relaxed: the store of the last push behind the stub was read long ago, and the next one comes after the CAS.
         */
        atomic_store_explicit(&shard->stub.next, NULL, memory_order_relaxed);
        WEFT_POINT();
        /* release, with the acquire of the push that finds the stub: the store above. What it takes away was acquired
         * through next. */
        if (atomic_compare_exchange_weak_explicit(&shard->tail, &tail,
                                                  address(&shard->stub) | (tail & WEFT__INJECT_CLOSED),
                                                  memory_order_release, memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

/* Under lock: takes up to max links. */
static unsigned drain(weft__inject_shard *shard, weft__link *out[], unsigned max)
{
    unsigned n = 0;
    weft__link *link = shard->first;

    if (link == NULL) {
        /* relaxed: now that the lock is held, only pushes can come in between. */
        if (is_empty(shard, atomic_load_explicit(&shard->tail, memory_order_relaxed))) {
            return 0;
        }
        link = follow(&shard->stub);
    }
    while (link != NULL && n < max) {
        /* acquire, with the release store in push. */
        weft__link *next = atomic_load_explicit(&link->next, memory_order_acquire);
        if (next == NULL && !detach_newest(shard, link)) {
            next = follow(link);
            if (next == NULL) {
                break;
            }
        }
        out[n++] = link;
        link = next;
    }
    shard->first = link;
    return n;
}

static bool try_lock(weft__inject_shard *shard)
{
    WEFT_POINT();
    /* relaxed, then acquire: with the store that unlocked, for `first` and for the links behind it. */
    return atomic_load_explicit(&shard->lock, memory_order_relaxed) == 0 &&
           atomic_exchange_explicit(&shard->lock, 1, memory_order_acquire) == 0;
}

/* Unlocks and looks again. True: links are left. */
static bool unlock(weft__inject_shard *shard)
{
    WEFT_POINT();
    /* seq_cst, both: release for the next holder; and a sleeper that loaded the lock before this store and skipped the
     * shard has written the idle word before it, which the caller's notify, after this load, therefore sees. */
    atomic_store_explicit(&shard->lock, 0, memory_order_seq_cst);
    WEFT_POINT();
    return !is_empty(shard, atomic_load_explicit(&shard->tail, memory_order_seq_cst));
}

unsigned weft__inject_take(weft__inject *inj, unsigned home, weft__link *out[], unsigned max, bool *more)
{
    unsigned n = 0;

    *more = false;
    for (unsigned i = 0; i <= inj->mask && n == 0; i++) {
        weft__inject_shard *shard = &inj->shards[(home + i) & inj->mask];
        WEFT_POINT();
        /* relaxed: a hint; what a worker may rely on before it sleeps is weft__inject_visible. */
        if (is_empty(shard, atomic_load_explicit(&shard->tail, memory_order_relaxed)) || !try_lock(shard)) {
            continue;
        }
        n = drain(shard, out, max);
        *more |= unlock(shard);
    }
    return n;
}

bool weft__inject_visible(const weft__inject *inj)
{
    for (unsigned i = 0; i <= inj->mask; i++) {
        const weft__inject_shard *shard = &inj->shards[i];
        WEFT_POINT();
        /* seq_cst, both: they follow the sleeper's write of the idle word; tail with the CAS in push, lock with the
         * store in unlock. */
        if (!is_empty(shard, atomic_load_explicit(&shard->tail, memory_order_seq_cst))) {
            WEFT_POINT();
            if (atomic_load_explicit(&shard->lock, memory_order_seq_cst) == 0) {
                return true;
            }
        }
    }
    return false;
}

bool weft__inject_empty(const weft__inject *inj)
{
    for (unsigned i = 0; i <= inj->mask; i++) {
        /* seq_cst: in one order with pushes, for those who decide that the executor has come to rest. */
        if (!is_empty(&inj->shards[i], atomic_load_explicit(&inj->shards[i].tail, memory_order_seq_cst))) {
            return false;
        }
    }
    return true;
}

static bool check_shard(const weft__inject_shard *shard)
{
    /* relaxed, all: nobody else is at work. */
    uintptr_t tail = atomic_load_explicit(&shard->tail, memory_order_relaxed);
    const weft__link *link = shard->first != NULL ? shard->first : &shard->stub;

    if (atomic_load_explicit(&shard->lock, memory_order_relaxed) != 0) {
        return false;
    }
    for (weft__link *next; (next = atomic_load_explicit(&link->next, memory_order_relaxed)) != NULL; link = next) {
        if (next == &shard->stub) {
            return false;
        }
    }
    return address(link) == (tail & ~WEFT__INJECT_CLOSED);
}

bool weft__inject_check(const weft__inject *inj)
{
    for (unsigned i = 0; i <= inj->mask; i++) {
        if (!check_shard(&inj->shards[i])) {
            return false;
        }
    }
    return true;
}
