/* race.h: two threads meet at one object after the other; the part that all stress programs share.
 *
 * In the style of OpenJDK's jcstress: a pair is two actions on one object, and beside it stands the set of its legal
 * outcomes. A program describes its pairs as a race_program; here is how they are run.
 *
 * Discipline. The main thread sets up a batch of objects, walks through it in lockstep with the rival thread, each
 * doing its own action, and then ends and checks every object alone. After each batch nothing of it may be alive: the
 * counters of weft/testing.h must be back where they were, and the program's own counts must be exact (quiet). A turn
 * of a pair is some batches on one executor; memory and threads are compared when that is gone. Each pair gets a turn;
 * from then on whichever has had the fewest meetings gets the next one, so the time goes where pairs are slow.
 *
 * Usage of each program: seconds [workers [seed [text]]]; with a text, only pairs whose name contains it. A hang ends
 * the program with the name of the pair and the seed. The seed replays the mixture of delays, not the run. */
#ifndef WEFT_TESTS_RACE_H
#define WEFT_TESTS_RACE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <weft/testing.h>
#include <weft/weft.h>

#define RACE_STEP ((int64_t)1000000)           /* ns between the deadlines of a batch */
#define RACE_HOUR ((int64_t)3600 * 1000000000) /* ns; never, in a batch */

enum { RACE_ROOM = 64, RACE_HANG_SECONDS = 120, RACE_PATIENCE_SECONDS = 30 };

/* Constant. Called by the main thread while the rival stands still, but for act. */
typedef struct race_program {
    const char *name;
    unsigned pairs;
    unsigned batch;                  /* objects in a batch; at most RACE_ROOM */
    unsigned workers;                /* if no argument says so */
    void (*choose)(unsigned number); /* makes that pair the current one and writes its name with race_name */
    void (*open)(unsigned workers);  /* a turn begins */
    void (*close)(void);             /* it ends: nothing that open made is left */
    void (*set_up)(void);            /* a batch */
    void (*prepare)(unsigned i);     /* just before object i is met; NULL: nothing */
    bool (*meets)(unsigned i);       /* is object i met in lockstep? Else each racer goes on alone. NULL: all are */
    void (*act)(unsigned i, unsigned who);
    unsigned (*check)(void);    /* ends and judges the batch and drops it all; how many of its meetings count */
    const char *(*quiet)(void); /* what of the batch is not over yet; NULL: all is. Polled */
} race_program;

static struct {
    const race_program *program; /* by the main thread, before anything else */
    char name[96];               /* of the pair; by the main thread while the rival is idle */
    uint32_t seed;               /* by the main thread, as the text */
    char seed_text[16];
    uint32_t random[2]; /* each racer's own */
    weft_counters base; /* by the main thread, when a turn begins */
    char detail[96];    /* by the main thread: what failure may point to */

    _Atomic(const char *) failure;   /* the first one of the turn; by any thread, NULL: none */
    _Atomic(unsigned) position[2];   /* by each racer: how far it has come; read by the other */
    _Atomic(unsigned) batches_begun; /* by the main thread; of this turn */
    _Atomic(unsigned) batches_ended; /* by the rival */
    _Atomic(bool) over;              /* by the main thread */
} race;

/* Notes the first thing that went wrong. Any thread. The text is constant, so no order is needed. */
static inline bool race_check(bool holds, const char *what)
{
    const char *none = NULL;
    if (!holds) {
        atomic_compare_exchange_strong_explicit(&race.failure, &none, what, memory_order_relaxed, memory_order_relaxed);
    }
    return holds;
}

static inline bool race_failed(void)
{
    return atomic_load_explicit(&race.failure, memory_order_relaxed) != NULL;
}

/* The same for an outcome that is not in its table, which is told. The main thread alone. */
static inline void race_check_outcome(bool holds, const char *answer, const char *end)
{
    if (!holds && !race_failed()) {
        snprintf(race.detail, sizeof race.detail, "not in the table: %s, %s", answer, end);
        race_check(false, race.detail);
    }
}

static inline void race_require(bool made)
{
    if (!made) {
        fprintf(stderr, "%s: setting up %s: %s\n", race.program->name, race.name, strerror(errno));
        exit(1);
    }
}

/* How often something happened. Release and acquire: who counts sees what was done before. */
static inline void count(_Atomic(unsigned) *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_release);
}

static inline unsigned counted(const _Atomic(unsigned) *counter)
{
    return atomic_load_explicit(counter, memory_order_acquire);
}

static inline weft_executor *race_executor(unsigned workers, weft_clock *clock)
{
    const weft_executor_options options = {.workers = workers, .clock = clock};
    weft_executor *executor = weft_executor_create(&options);
    race_require(executor != NULL);
    return executor;
}

static inline void race_name(const char *object, const char *left, const char *right)
{
    snprintf(race.name, sizeof race.name, "%s: %s, %s", object, left, right);
}

/* A racer's next random number below n. */
static inline unsigned race_random(unsigned who, unsigned n)
{
    uint32_t x = race.random[who];
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    race.random[who] = x;
    return (x >> 4) % n;
}

/* Polls until it holds; a program that waits in vain is ended by the watchdog. */
#define RACE_UNTIL(condition)                                                                                          \
    while (!(condition)) {                                                                                             \
        sched_yield();                                                                                                 \
    }

static inline void race_dawdle(unsigned who, unsigned loads)
{
    for (unsigned i = 0; i < loads; i++) {
        atomic_load_explicit(&race.position[who], memory_order_relaxed);
    }
}

/* Both racers come to each object together; then one of them dawdles a little, at random. The position is stored with
 * release and read with acquire, so what the main thread set up is there. */
static inline void race_meet(unsigned i, unsigned who)
{
    atomic_store_explicit(&race.position[who], i + 1, memory_order_release);
    for (unsigned spins = 1; atomic_load_explicit(&race.position[1 - who], memory_order_acquire) < i + 1; spins++) {
        if (spins % 512 == 0) {
            sched_yield();
        }
    }
    unsigned dawdle = race_random(who, 256);
    race_dawdle(who, dawdle > 128 ? dawdle : 0);
}

static inline void race_walk(unsigned who)
{
    for (unsigned i = 0; i < race.program->batch; i++) {
        if (who == 0 && race.program->prepare != NULL) {
            race.program->prepare(i);
        }
        if (race.program->meets == NULL || race.program->meets(i)) {
            race_meet(i, who);
        }
        race.program->act(i, who);
    }
}

/* Lives as long as a turn, so that what it keeps of the executor goes with it. */
static inline void *race_rival(void *unused)
{
    (void)unused;
    for (unsigned batch = 1;; batch++) {
        while (atomic_load_explicit(&race.batches_begun, memory_order_acquire) < batch) {
            if (atomic_load_explicit(&race.over, memory_order_acquire)) {
                return NULL;
            }
            sched_yield();
        }
        race_walk(1);
        atomic_store_explicit(&race.batches_ended, batch, memory_order_release);
    }
}

/* What is alive beyond what was when the turn began; NULL: nothing. */
static inline const char *race_residue(bool gone)
{
    weft_counters now;
    weft_counters_read(&now);
    return now.futures != race.base.futures           ? "no future is left"
           : now.timers != race.base.timers           ? "no timer is left"
           : now.callbacks != race.base.callbacks     ? "no callback is left"
           : now.tokens != race.base.tokens           ? "no token is left"
           : gone && now.threads != race.base.threads ? "no thread is left"
           : gone && now.bytes != race.base.bytes     ? "no memory is left"
                                                      : NULL;
}

/* The counters first: to read them has the coordinator drop what it may otherwise keep for a while. */
static inline void race_settle(void)
{
    int64_t end = weft_now() + RACE_PATIENCE_SECONDS * INT64_C(1000000000);
    const char *left;
    while ((left = race_residue(false)) != NULL || (left = race.program->quiet()) != NULL) {
        if (race_failed() || !race_check(weft_now() < end, left)) {
            return;
        }
        sched_yield();
    }
}

static inline unsigned race_batch(void)
{
    race.program->set_up();
    atomic_store_explicit(&race.position[0], 0, memory_order_relaxed);
    atomic_store_explicit(&race.position[1], 0, memory_order_relaxed);
    unsigned batch = atomic_load_explicit(&race.batches_begun, memory_order_relaxed) + 1;
    /* Release: the rival sees what was set up. */
    atomic_store_explicit(&race.batches_begun, batch, memory_order_release);
    race_walk(0);
    RACE_UNTIL(atomic_load_explicit(&race.batches_ended, memory_order_acquire) == batch);
    unsigned meetings = race.program->check();
    race_settle();
    return meetings;
}

/* Batches of the current pair for as long as the budget lasts, at least one; returns the meetings. */
static inline uint64_t race_batches(int64_t budget)
{
    uint64_t meetings = 0;
    pthread_t thread;
    int64_t end = weft_now() + budget;
    atomic_store_explicit(&race.batches_begun, 0, memory_order_relaxed);
    atomic_store_explicit(&race.batches_ended, 0, memory_order_relaxed);
    atomic_store_explicit(&race.over, false, memory_order_relaxed);
    race_require(pthread_create(&thread, NULL, race_rival, NULL) == 0);
    do {
        meetings += race_batch();
    } while (weft_now() < end && !race_failed());
    atomic_store_explicit(&race.over, true, memory_order_release);
    pthread_join(thread, NULL);
    return meetings;
}

static inline uint64_t race_turn(int64_t budget, unsigned workers, uint32_t mixture)
{
    race.random[0] = (race.seed ^ mixture * 2654435761U) | 1;
    race.random[1] = (race.seed * 2246822519U + mixture) | 1;
    atomic_store_explicit(&race.failure, NULL, memory_order_relaxed);
    alarm(RACE_HANG_SECONDS + (unsigned)(budget / 1000000000));
    weft_counters_read(&race.base);
    race.program->open(workers);
    uint64_t meetings = race_batches(budget);
    race.program->close();
    const char *left = race_residue(true);
    race_check(left == NULL, left);
    alarm(0);
    return meetings;
}

static inline void race_write(const char *text)
{
    if (write(STDOUT_FILENO, text, strlen(text)) < 0) {
        _exit(2);
    }
}

static inline void race_hang(int number)
{
    (void)number;
    race_write("HANG: ");
    race_write(race.name);
    race_write(", seed ");
    race_write(race.seed_text);
    race_write("\n");
    _exit(1);
}

/* What each pair has come to. */
typedef struct race_score {
    uint64_t meetings;
    uint32_t turns;
    char failure[96]; /* empty: none */
} race_score;

static inline void race_play(race_score *score, unsigned number, int64_t budget, unsigned workers)
{
    race.program->choose(number);
    score->meetings += race_turn(budget, workers, number * 4096 + score->turns++);
    if (race_failed()) {
        snprintf(score->failure, sizeof score->failure, "%s",
                 atomic_load_explicit(&race.failure, memory_order_relaxed));
        printf("%-52s FAILED: %s (seed %u, turn %u)\n", race.name, score->failure, race.seed, score->turns);
        fflush(stdout);
    }
}

/* The pair with the fewest meetings; a turn that failed is not repeated. */
static inline unsigned race_least(const race_score *scores, unsigned n)
{
    unsigned least = n;
    for (unsigned i = 0; i < n; i++) {
        if (scores[i].turns > 0 && scores[i].failure[0] == '\0' &&
            (least == n || scores[i].meetings < scores[least].meetings)) {
            least = i;
        }
    }
    return least;
}

static inline int race_report(const race_score *scores, unsigned n)
{
    unsigned passed = 0, failed = 0, least = n;
    uint64_t sum = 0;
    for (unsigned i = 0; i < n; i++) {
        if (scores[i].turns == 0) {
            continue;
        }
        race.program->choose(i);
        bool ok = scores[i].failure[0] == '\0';
        printf("%-52s %9llu meetings  %s%s\n", race.name, (unsigned long long)scores[i].meetings,
               ok ? "ok" : "FAILED: ", scores[i].failure);
        sum += scores[i].meetings;
        passed += ok;
        failed += !ok;
        least = least == n || scores[i].meetings < scores[least].meetings ? i : least;
    }
    if (least < n) {
        race.program->choose(least);
        printf("%llu meetings; the fewest, %llu, of %s\n", (unsigned long long)sum,
               (unsigned long long)scores[least].meetings, race.name);
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed == 0 && passed > 0 ? 0 : 1;
}

static inline int race_main(const race_program *program, int count, char **arguments)
{
    double seconds = count > 1 ? strtod(arguments[1], NULL) : 10;
    unsigned workers = count > 2 ? (unsigned)strtoul(arguments[2], NULL, 10) : program->workers;
    const char *text = count > 4 ? arguments[4] : "";
    unsigned n = program->pairs, chosen = 0;
    bool *wanted = calloc(n, sizeof *wanted);
    race_score *scores = calloc(n, sizeof *scores);
    race.program = program;
    race.seed = count > 3 ? (uint32_t)strtoul(arguments[3], NULL, 10) : (uint32_t)weft_now() ^ (uint32_t)getpid();
    race_require(wanted != NULL && scores != NULL);
    snprintf(race.seed_text, sizeof race.seed_text, "%u", race.seed);
    setenv("WEFT_SEED", race.seed_text, 0); /* for points.c, in a test build */
    printf("%s: seed %u, %u workers\n", program->name, race.seed, workers);
    fflush(stdout);
    signal(SIGALRM, race_hang);
    for (unsigned i = 0; i < n; i++) {
        program->choose(i);
        wanted[i] = strstr(race.name, text) != NULL;
        chosen += wanted[i];
    }
    int64_t begun = weft_now(), all = (int64_t)(seconds * 1e9), slice = all / (2 * (int64_t)chosen + 1);
    for (unsigned i = 0; i < n; i++) {
        if (wanted[i]) {
            race_play(&scores[i], i, slice, workers);
        }
    }
    for (unsigned least; weft_now() - begun < all && (least = race_least(scores, n)) < n;) {
        race_play(&scores[least], least, slice, workers);
    }
    int status = race_report(scores, n);
    free(wanted);
    free(scores);
    return status;
}

#endif
