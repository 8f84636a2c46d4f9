/* test_reentrancy.c: section 19, what a callback may do (RNT-01), and I9 as seen from inside one.
 *
 * Discipline. A callback of a promise's future does the thing and notes what the calls answered; the test's thread then
 * looks at the effects, which must be those that the same call has from any thread. */
#include "fixtures.h"

typedef struct scene {
    weft_executor *executor;
    inputs in;           /* the callbacks hang on in.future[0] */
    weft_future *all;    /* a gather, if the scene has one */
    weft_future *made;   /* by the callback before it hits the latch */
    weft_callback *own;  /* the callback's own handle */
    weft_callback *next; /* the handle of one registered after it */
    test_log *log;
    test_latch *latch;
} scene;

static scene now_playing; /* outlives a failed test */

static scene *scene_make(size_t promises)
{
    weft_executor *executor = test_executor(2);
    now_playing = (scene){.executor = executor,
                          .in = inputs_make(executor, promises),
                          .log = test_log_make(),
                          .latch = test_latch_make()};
    return &now_playing;
}

static void scene_play(scene *here, weft_done_fn *callback)
{
    assert_int_equal(weft_on_done(here->in.future[0], callback, here, NULL), 0);
    assert_int_equal(weft_promise_resolve(here->in.promise[0], here, NULL), 0);
    assert_true(test_latch_wait(here->latch, 1));
}

static void scene_end(scene *here)
{
    inputs_free(&here->in);
    assert_true(test_until_counters(0, 0, 0));
    test_destroy(here->executor);
}

static int submits(weft_future *future, void *data)
{
    scene *here = data;
    (void)future;
    here->made = weft_submit(here->executor, test_job_return_arg, here);
    TEST_EXPECT(here->made != NULL);
    TEST_EXPECT(weft_execute(here->executor, test_job_return_arg, here) == 0);
    test_latch_hit(here->latch);
    return 0;
}

static void test_rnt_01_submit(void **state)
{
    (void)state;
    scene *here = scene_make(1);
    scene_play(here, submits);
    assert_done_soon(here->made);
    assert_ok(here->made, here);
    weft_future_release(here->made);
    scene_end(here);
}

static int cancels_sibling(weft_future *future, void *data)
{
    scene *here = data;
    (void)future;
    TEST_EXPECT(weft_cancel(here->in.future[1]) == WEFT_CANCEL_DONE);
    TEST_EXPECT(weft_future_state(here->in.future[1]) == WEFT_CANCELLED);
    TEST_EXPECT(weft_cancel(future) == WEFT_CANCEL_TOO_LATE);
    test_latch_hit(here->latch);
    return 0;
}

static void test_rnt_01_cancel_a_sibling(void **state)
{
    (void)state;
    scene *here = scene_make(2);
    weft_future *all = gather(here->executor, here->in.future, 2, WEFT_SETTLED);
    scene_play(here, cancels_sibling);
    assert_done_soon(all);
    assert_ok(all, NULL);
    assert_slot(&slots(all, 2)[0], WEFT_SUCCEEDED, 0, here);
    assert_slot(&slots(all, 2)[1], WEFT_CANCELLED, -ECANCELED, NULL);
    weft_future_release(all);
    scene_end(here);
}

static int cancels_gather(weft_future *future, void *data)
{
    scene *here = data;
    (void)future;
    TEST_EXPECT(weft_cancel(here->all) == WEFT_CANCEL_REQUESTED);
    TEST_EXPECT(weft_cancel(here->all) == WEFT_CANCEL_ALREADY);
    test_latch_hit(here->latch);
    return 0;
}

static void test_rnt_01_cancel_the_gather_it_belongs_to(void **state)
{
    (void)state;
    for (int mode = WEFT_FIRST_ERROR; mode <= WEFT_STRICT; mode++) {
        scene *here = scene_make(3);
        here->all = gather(here->executor, here->in.future, 3, (weft_gather_mode)mode);
        scene_play(here, cancels_gather);
        assert_done_soon(here->all);
        assert_cancelled(here->all, WEFT_REASON_USER);
        assert_slot(&slots(here->all, 3)[0], WEFT_SUCCEEDED, 0, here);
        assert_cancelled(here->in.future[1], WEFT_REASON_PARENT);
        assert_cancelled(here->in.future[2], WEFT_REASON_PARENT);
        weft_future_release(here->all);
        scene_end(here);
    }
}

static int makes_gather(weft_future *future, void *data)
{
    scene *here = data;
    weft_future *both[] = {future, here->in.future[1]};
    here->made = weft_gather(here->executor, both, 2, WEFT_STRICT);
    TEST_EXPECT(here->made != NULL);
    TEST_EXPECT(!weft_future_done(here->made));
    test_latch_hit(here->latch);
    return 0;
}

static void test_rnt_01_make_a_gather(void **state)
{
    (void)state;
    scene *here = scene_make(2);
    scene_play(here, makes_gather);
    assert_pending(here->executor, here->made);
    weft_promise_resolve(here->in.promise[1], &here->in, NULL);
    assert_done_soon(here->made);
    assert_slot(&slots(here->made, 2)[0], WEFT_SUCCEEDED, 0, here);
    assert_slot(&slots(here->made, 2)[1], WEFT_SUCCEEDED, 0, &here->in);
    weft_future_release(here->made);
    scene_end(here);
}

static int makes_mirrors(weft_future *future, void *data)
{
    scene *here = data;
    weft_future *shield = weft_shield(future), *timed = weft_wait_for(shield, 3600 * 1000 * MS, 0);
    weft_future *due = weft_wait_for(here->in.future[1], 0, WEFT_NO_CANCEL);
    weft_future *futures[] = {timed, due};
    here->made = weft_gather(here->executor, futures, 2, WEFT_SETTLED);
    weft_future_release(shield);
    weft_future_release(timed);
    weft_future_release(due);
    test_latch_hit(here->latch);
    return 0;
}

static void test_rnt_01_make_wait_for_and_shield(void **state)
{
    (void)state;
    scene *here = scene_make(2);
    scene_play(here, makes_mirrors);
    assert_done_soon(here->made);
    assert_slot(&slots(here->made, 2)[0], WEFT_SUCCEEDED, 0, here);
    assert_slot(&slots(here->made, 2)[1], WEFT_TIMED_OUT, -ETIMEDOUT, NULL);
    weft_future_release(here->made);
    scene_end(here);
}

static int notes_2(weft_future *future, void *data)
{
    scene *here = data;
    TEST_EXPECT(weft_future_done(future));
    test_note(here->log, 2);
    test_latch_hit(here->latch);
    return 0;
}

static int resolves_promise(weft_future *future, void *data)
{
    scene *here = data;
    (void)future;
    test_note(here->log, 1);
    TEST_EXPECT(weft_promise_resolve(here->in.promise[1], here, NULL) == 0);
    TEST_EXPECT(weft_promise_resolve(here->in.promise[1], here, NULL) == -EALREADY);
    TEST_EXPECT(weft_future_state(here->in.future[1]) == WEFT_SUCCEEDED);
    test_note(here->log, 1);
    return 0;
}

/* The callbacks of what it resolves run after it, not inside. */
static void test_rnt_01_resolve_a_promise(void **state)
{
    (void)state;
    scene *here = scene_make(2);
    assert_int_equal(weft_on_done(here->in.future[1], notes_2, here, NULL), 0);
    scene_play(here, resolves_promise);
    assert_log(here->log, 1, 1, 2);
    scene_end(here);
}

static int notes_9_and_hits(weft_future *future, void *data)
{
    scene *here = data;
    (void)future;
    test_note(here->log, 9);
    test_latch_hit(here->latch);
    return 0;
}

static int adds_callbacks(weft_future *future, void *data)
{
    scene *here = data;
    test_note(here->log, 1);
    TEST_EXPECT(weft_on_done(future, notes_9_and_hits, here, NULL) == 0);
    TEST_EXPECT(weft_on_done(future, notes_9_and_hits, here, NULL) == 0);
    test_note(here->log, 1);
    return 0;
}

static int notes_3(weft_future *future, void *data)
{
    (void)future;
    test_note(((scene *)data)->log, 3);
    return 0;
}

static void test_rnt_01_added_callbacks_run_after_those_before(void **state)
{
    (void)state;
    scene *here = scene_make(1);
    assert_int_equal(weft_on_done(here->in.future[0], adds_callbacks, here, NULL), 0);
    assert_int_equal(weft_on_done(here->in.future[0], notes_3, here, NULL), 0);
    assert_int_equal(weft_on_done(here->in.future[0], notes_3, here, NULL), 0);
    weft_promise_resolve(here->in.promise[0], NULL, NULL);
    assert_true(test_latch_wait(here->latch, 2));
    assert_log(here->log, 1, 1, 3, 3, 9, 9);
    scene_end(here);
}

/* Without recursion: each callback adds the next, ten thousand times, and all run at one depth of the stack. */
enum { LONG = 10000 };
typedef struct endless {
    unsigned left;   /* on the coordinator */
    uintptr_t first; /* the frame of the first call; on the coordinator */
    test_latch *latch;
} endless;

static int adds_the_next(weft_future *future, void *data)
{
    endless *self = data;
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    self->first = self->first != 0 ? self->first : frame;
    TEST_EXPECT(frame - self->first < 4096 || self->first - frame < 4096);
    if (--self->left == 0) {
        test_latch_hit(self->latch);
    } else {
        TEST_EXPECT(weft_on_done(future, adds_the_next, self, NULL) == 0);
    }
    return 0;
}

static void test_rnt_01_no_recursion(void **state)
{
    (void)state;
    static endless run;
    scene *here = scene_make(1);
    run = (endless){.left = LONG, .latch = here->latch};
    weft_promise_resolve(here->in.promise[0], NULL, NULL);
    assert_int_equal(weft_on_done(here->in.future[0], adds_the_next, &run, NULL), 0);
    assert_true(test_latch_wait(here->latch, 1));
    scene_end(here);
}

static int removes_others_and_itself(weft_future *future, void *data)
{
    scene *here = data;
    (void)future;
    test_note(here->log, 1);
    TEST_EXPECT(weft_callback_remove(here->next) == 0);
    TEST_EXPECT(weft_callback_remove(here->own) == -EALREADY);
    return 0;
}

static void test_rnt_01_remove_itself_and_a_later_one(void **state)
{
    (void)state;
    scene *here = scene_make(1);
    assert_int_equal(weft_on_done(here->in.future[0], removes_others_and_itself, here, &here->own), 0);
    assert_int_equal(weft_on_done(here->in.future[0], notes_9_and_hits, here, &here->next), 0);
    assert_int_equal(weft_on_done(here->in.future[0], notes_2, here, NULL), 0);
    assert_non_null(here->own);
    assert_non_null(here->next);
    weft_promise_resolve(here->in.promise[0], NULL, NULL);
    assert_true(test_latch_wait(here->latch, 1));
    flush(here->executor);
    assert_log(here->log, 1, 2);
    scene_end(here);
}

static int removes_an_earlier_one(weft_future *future, void *data)
{
    scene *here = data;
    (void)future;
    TEST_EXPECT(weft_callback_remove(here->own) == -EALREADY);
    test_latch_hit(here->latch);
    return 0;
}

static void test_rnt_01_remove_one_that_ran(void **state)
{
    (void)state;
    scene *here = scene_make(1);
    assert_int_equal(weft_on_done(here->in.future[0], notes_3, here, &here->own), 0);
    scene_play(here, removes_an_earlier_one);
    assert_log(here->log, 3);
    scene_end(here);
}

/* A handle is written before its callback can run, also when the future is DONE already and the adder is slow. */
static int removes_own_handle(weft_future *future, void *data)
{
    scene *here = data;
    (void)future;
    TEST_EXPECT(here->own != NULL && weft_callback_remove(here->own) == -EALREADY);
    test_latch_hit(here->latch);
    return 0;
}

static void test_i9_handle_is_there_before_the_callback(void **state)
{
    (void)state;
    scene *here = scene_make(1);
    weft_promise_resolve(here->in.promise[0], NULL, NULL);
    for (unsigned i = 1; i <= test_rounds(2000); i++) {
        here->own = NULL;
        assert_int_equal(weft_on_done(here->in.future[0], removes_own_handle, here, &here->own), 0);
        assert_true(test_latch_wait(here->latch, i));
    }
    scene_end(here);
}

/* The last reference goes inside the callback. */
static int releases_the_future(weft_future *future, void *data)
{
    scene *here = data;
    weft_future_release(here->made);
    TEST_EXPECT(weft_future_done(future));
    test_latch_hit(here->latch);
    return 0;
}

static void test_rnt_01_release_the_last_reference(void **state)
{
    (void)state;
    scene *here = scene_make(1);
    test_gate *gate = test_gate_make();
    test_cell *cell = cell_make(gate, 0);
    here->made = submit(here->executor, cell);
    assert_int_equal(weft_on_done(here->made, releases_the_future, here, NULL), 0);
    test_gate_open(gate);
    assert_true(test_latch_wait(here->latch, 1));
    scene_end(here);
    assert_int_equal(test_get(cell->value_freed), 1);
}

/* Sleeps, waits of no length and queries. */
static int sleeps_and_looks(weft_future *future, void *data)
{
    scene *here = data;
    void *value = NULL;
    here->made = weft_sleep(here->executor, MS, here);
    TEST_EXPECT(weft_future_get(future, &value) == 0 && value == here);
    TEST_EXPECT(weft_future_wait(here->made, 0) == -ETIMEDOUT);
    TEST_EXPECT(weft_executor_shutdown(here->executor, WEFT_CANCEL_ALL, 0) == -EDEADLK);
    TEST_EXPECT(weft_executor_destroy(here->executor) == -EDEADLK);
    TEST_EXPECT(weft_worker_index() == -1);
    TEST_EXPECT(weft_executor_current() == NULL);
    test_latch_hit(here->latch);
    return 0;
}

static void test_rnt_01_sleep_and_what_is_refused(void **state)
{
    (void)state;
    scene *here = scene_make(1);
    scene_play(here, sleeps_and_looks);
    assert_done_soon(here->made);
    assert_ok(here->made, here);
    weft_future_release(here->made);
    scene_end(here);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rnt_01_submit),
        TEST(test_rnt_01_cancel_a_sibling),
        TEST(test_rnt_01_cancel_the_gather_it_belongs_to),
        TEST(test_rnt_01_make_a_gather),
        TEST(test_rnt_01_make_wait_for_and_shield),
        TEST(test_rnt_01_resolve_a_promise),
        TEST(test_rnt_01_added_callbacks_run_after_those_before),
        TEST(test_rnt_01_no_recursion),
        TEST(test_rnt_01_remove_itself_and_a_later_one),
        TEST(test_rnt_01_remove_one_that_ran),
        TEST(test_i9_handle_is_there_before_the_callback),
        TEST(test_rnt_01_release_the_last_reference),
        TEST(test_rnt_01_sleep_and_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
