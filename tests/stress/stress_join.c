/* stress_join.c: a job forks a tree of functions while another one does, and something is done to the first.
 *
 * Before each meeting a tree is submitted. At the meeting the first racer runs a second tree from outside and the rival
 * does something to the first: nothing, a cancel, a release, an await, a shutdown of the executor in a mode drawn at
 * random. What the functions of a tree do beside forking is the other half of a pair: nothing; a wait for a job of
 * their own and for a moment; a question for their job's token, or whether they are to stop; a failure; the end of the
 * thread.
 *
 * Each function must run once if its job ran, and never if that was cancelled or refused; the value is exact; the code
 * is what the tree leads to, wherever its functions ran. While a function joins or waits nothing of another tree may
 * begin on its thread: that could need what stands behind the join. Counters and memory are race.h's.
 *
 * Usage: stress_join [seconds [workers [seed [text]]]]. */
#include "race.h"

#include <weft/fork_inline.h>

enum { BATCH = 32, NODES = 31, FAILS_AT = 25, ENDS_AT = 20, CODE = 7, TOGETHER_UP_TO = 8 };

typedef enum kind { PLAIN, INLINE, WAITS, ASKS_TOKEN, STOPS, FAILS, ENDS, KINDS } kind;
static const char *const kind_names[] = {"plain", "inline", "waits", "asks for its token", "stops", "fails", "ends"};

typedef enum action { LEAVE, CANCEL, RELEASE, AWAIT, SHUT_DOWN, ACTIONS } action;
static const char *const action_names[] = {"nothing", "cancel", "release", "await", "shutdown"};

typedef struct tree tree;

typedef struct node {
    tree *tree;            /* constant */
    _Atomic(unsigned) ran; /* by the function; how often */
    _Atomic(unsigned) own; /* by the job that it waits for, likewise */
} node;

struct tree {
    node nodes[NODES];           /* of i, 2i + 1 and 2i + 2 are the children */
    weft_future *future;         /* by the main thread before the meeting; NULL: none, or it was given up */
    _Atomic(weft_token *) token; /* of the job: by the first function that asks */
    int code;                    /* by who ran, awaited or submitted it; read when the rival is idle, as the value */
    void *value;
};

/* By the main thread while the rival is idle. */
static struct {
    kind kind;
    action action;
    unsigned workers;
    weft_executor *executor; /* of the turn; if it is shut down, of the batch */
    weft_shutdown_mode mode;
    unsigned at; /* the item at which it is shut down */
} scene;

static struct item {
    tree submitted, run;
} items[BATCH];

static _Thread_local const tree *joining; /* what this thread joins or waits for a part of */

/* ---- the functions ---- */

static void *run_own_job(void *argument)
{
    node *n = argument;
    race_check(joining == NULL || joining == n->tree, "a wait runs nothing of another job");
    count(&n->own);
    return n;
}

static void wait_in(node *n)
{
    const tree *outer = joining;
    joining = n->tree;
    int code = weft_await(weft_submit(weft_executor_current(), run_own_job, n), NULL);
    race_check(code == 0 || scene.action == CANCEL || scene.action == SHUT_DOWN, "a wait ends well");
    race_check(counted(&n->own) == (code == 0), "the job of a function ran if it succeeded");
    weft_await(weft_sleep(weft_executor_current(), 1, NULL), NULL);
    joining = outer;
}

static void ask_for_token(tree *t)
{
    weft_token *mine = weft_current_token(), *known = NULL;
    race_check(mine != NULL, "a job has a token");
    if (!atomic_compare_exchange_strong_explicit(&t->token, &known, mine, memory_order_relaxed, memory_order_relaxed))
        race_check(known == mine, "a job has one token");
}

static void visit(node *n, unsigned i)
{
    if (scene.kind == WAITS && i % 8 == 3)
        wait_in(n);
    else if (scene.kind == ASKS_TOKEN)
        ask_for_token(n->tree);
    else if (scene.kind == FAILS && i == FAILS_AT)
        weft_fail(CODE);
    else if (scene.kind == ENDS && i == ENDS_AT)
        pthread_exit(NULL);
}

static void *run_node(void *argument);

static void fork_node(weft_task *task, node *n)
{
    if (scene.kind == INLINE)
        weft_fork_inline(task, run_node, n);
    else
        weft_fork(task, run_node, n);
}

static uintptr_t join_node(weft_task *task, node *n)
{
    const tree *outer = joining;
    joining = n->tree;
    void *value = scene.kind == INLINE ? weft_join_inline(task, run_node, n) : weft_join(task);
    joining = outer;
    return (uintptr_t)value;
}

/* How many functions ran below. Some fork both children, some run one themselves. */
static uintptr_t run_children(tree *t, unsigned i)
{
    weft_task left, right;
    node *first = &t->nodes[2 * i + 1], *second = &t->nodes[2 * i + 2];
    fork_node(&left, first);
    uintptr_t sum;
    if (i % 3 == 0) {
        fork_node(&right, second);
        sum = join_node(&right, second);
    } else {
        sum = (uintptr_t)run_node(second);
    }
    return sum + join_node(&left, first);
}

static void *run_node(void *argument)
{
    node *n = argument;
    unsigned i = (unsigned)(n - n->tree->nodes);
    race_check(joining == NULL || joining == n->tree, "a join runs nothing of another job");
    race_check(atomic_fetch_add_explicit(&n->ran, 1, memory_order_relaxed) == 0, "a function runs once");
    visit(n, i);
    bool leaf = 2 * i + 1 >= NODES, stops = scene.kind == STOPS && weft_cancelled();
    return (void *)(1 + (leaf || stops ? 0 : run_children(n->tree, i)));
}

/* ---- the race ---- */

static void choose(unsigned number)
{
    scene.kind = (kind)(number / ACTIONS);
    scene.action = (action)(number % ACTIONS);
    race_name("tree", kind_names[scene.kind], action_names[scene.action]);
}

static void open_turn(unsigned workers)
{
    scene.workers = workers;
    if (scene.action != SHUT_DOWN)
        scene.executor = race_executor(workers, NULL);
}

static void close_turn(void)
{
    if (scene.action != SHUT_DOWN)
        race_check(weft_executor_destroy(scene.executor) == 0, "the executor goes");
}

/* The functions of a tree that was given up have ended, but nothing orders that with this thread: so what they read is
 * written once, and the rest is atomic. */
static void plant(tree *t)
{
    t->future = NULL;
    t->code = -EINPROGRESS;
    t->value = NULL;
    atomic_store_explicit(&t->token, NULL, memory_order_relaxed);
    for (unsigned i = 0; i < NODES; i++) {
        atomic_store_explicit(&t->nodes[i].ran, 0, memory_order_relaxed);
        atomic_store_explicit(&t->nodes[i].own, 0, memory_order_relaxed);
    }
}

static void set_up_batch(void)
{
    for (unsigned i = 0; i < BATCH; i++) {
        plant(&items[i].submitted);
        plant(&items[i].run);
    }
    scene.mode = (weft_shutdown_mode)race_random(0, 3);
    scene.at = race_random(0, TOGETHER_UP_TO);
    if (scene.action == SHUT_DOWN)
        scene.executor = race_executor(scene.workers, NULL);
}

static void submit_tree(unsigned i)
{
    tree *t = &items[i].submitted;
    t->future = weft_submit(scene.executor, run_node, &t->nodes[0]);
    if (t->future == NULL)
        t->code = -errno;
}

static void await_tree(tree *t)
{
    if (t->future != NULL) {
        t->code = weft_await(t->future, &t->value);
        t->future = NULL;
    }
}

static void act_rival(unsigned i)
{
    tree *t = &items[i].submitted;
    switch (scene.action) {
    case CANCEL:
        weft_cancel(t->future);
        break;
    case RELEASE:
        weft_future_release(t->future);
        t->future = NULL;
        break;
    case AWAIT:
        await_tree(t);
        break;
    case SHUT_DOWN:
        if (i == scene.at)
            weft_executor_shutdown(scene.executor, scene.mode, 0);
        break;
    default:
        break;
    }
}

static void act(unsigned i, unsigned who)
{
    tree *t = &items[i].run;
    if (who == 0)
        t->code = weft_run(scene.executor, run_node, &t->nodes[0], &t->value);
    else
        act_rival(i);
}

/* ---- how it ended ---- */

static unsigned functions_run(tree *t)
{
    unsigned n = 0;
    for (unsigned i = 0; i < NODES; i++)
        n += atomic_load_explicit(&t->nodes[i].ran, memory_order_relaxed);
    return n;
}

static void judge(tree *t, bool may_be_cancelled)
{
    unsigned n = functions_run(t);
    bool refused = t->code == -ESHUTDOWN && scene.action == SHUT_DOWN;
    if (refused || (t->code == -ECANCELED && may_be_cancelled)) {
        race_check(n == 0, "nothing of a job that was cancelled runs");
        return;
    }
    int expected = scene.kind == FAILS ? CODE : scene.kind == ENDS ? -EOWNERDEAD : 0;
    race_check(t->code == expected, "the code is the tree's");
    race_check(n == NODES || scene.kind == STOPS || scene.kind == ENDS, "each function ran");
    race_check(t->code != 0 || (uintptr_t)t->value == n, "the value is exact");
}

static unsigned check_batch(void)
{
    if (scene.action == SHUT_DOWN)
        race_check(weft_executor_shutdown(scene.executor, scene.mode, WEFT_FOREVER) == 0, "the executor is quiet");
    for (unsigned i = 0; i < BATCH; i++) {
        await_tree(&items[i].submitted);
        if (scene.action != RELEASE)
            judge(&items[i].submitted, scene.action == CANCEL || scene.action == SHUT_DOWN);
        judge(&items[i].run, scene.action == SHUT_DOWN);
    }
    if (scene.action == SHUT_DOWN)
        race_check(weft_executor_destroy(scene.executor) == 0, "the executor goes");
    return BATCH;
}

/* Trees that nobody holds run all the same. */
static const char *trees_left(void)
{
    for (unsigned i = 0; i < BATCH && scene.action == RELEASE; i++) {
        unsigned n = functions_run(&items[i].submitted);
        if (n != NODES && (scene.kind != ENDS || n == 0))
            return "each function of a released job ran";
    }
    return NULL;
}

static const race_program program = {.name = "stress_join",
                                     .pairs = (unsigned)KINDS * ACTIONS,
                                     .batch = BATCH,
                                     .workers = 4,
                                     .choose = choose,
                                     .open = open_turn,
                                     .close = close_turn,
                                     .set_up = set_up_batch,
                                     .prepare = submit_tree,
                                     .act = act,
                                     .check = check_batch,
                                     .quiet = trees_left};

int main(int count, char **arguments)
{
    for (unsigned i = 0; i < BATCH * NODES; i++) {
        items[i / NODES].submitted.nodes[i % NODES].tree = &items[i / NODES].submitted;
        items[i / NODES].run.nodes[i % NODES].tree = &items[i / NODES].run;
    }
    return race_main(&program, count, arguments);
}
