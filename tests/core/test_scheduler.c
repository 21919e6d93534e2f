/* The pool's scheduler. */
#include "test.h"

#include "../../src/core/scheduler.h"

#define GRACE (SECOND / 50)

static atoll_scheduler *
make(size_t workers, size_t queue_size)
{
    atoll_scheduler *sched = NULL;
    NEED(atoll_scheduler_new(workers, queue_size, GRACE, &sched) == ATOLL_OK);
    return sched;
}

static atoll_task *
submit(atoll_scheduler *sched, bool quiet, bool *out_start)
{
    atoll_task *task = atoll_task_new();
    bool start = false;
    NEED(task != NULL);
    task->quiet = quiet;
    CHECK(atoll_scheduler_submit(sched, task, NULL, &start) == ATOLL_OK);
    if (out_start != NULL) {
        *out_start = start;
    }
    return task;
}

/* A worker that marks each task it runs, until it is told to leave. */
typedef struct crew {
    atoll_scheduler *sched;
    int64_t idle;
    atomic_int ran;
} crew;

static void
work(actor *self)
{
    crew *group = self->arg;
    atoll_worker worker;
    atoll_task *task = NULL;
    atoll_worker_join(group->sched, &worker);
    for (;;) {
        atoll_task *done = task;
        int64_t deadline = group->idle == ATOLL_FOREVER
                               ? ATOLL_FOREVER
                               : atoll_now() + group->idle;
        atoll_wait wait = {&self->parker, deadline, 0};
        task = NULL;
        self->status
            = atoll_worker_next(group->sched, &worker, done, &wait, &task);
        if (self->status == ATOLL_E_INTERRUPTED) {
            continue;
        }
        if (self->status != ATOLL_OK) {
            break;
        }
        task->outcome = 42;
        atomic_fetch_add(&group->ran, 1);
        atomic_fetch_add(&self->step, 1);
    }
    atoll_worker_leave(group->sched, &worker, false);
}

static void
test_starts_no_more_than_needed(void)
{
    atoll_scheduler *sched = make(2, 0);
    bool start;
    atoll_task *tasks[4];
    for (int i = 0; i < 4; i++) {
        tasks[i] = submit(sched, true, &start);
        CHECK(start == (i < 2));
    }
    atoll_scheduler_start_failed(sched);
    CHECK(atoll_scheduler_wants_worker(sched));
    CHECK(!atoll_scheduler_wants_worker(sched));
    for (int i = 0; i < 4; i++) {
        CHECK(atoll_scheduler_cancel(sched, tasks[i]));
        CHECK(!atoll_scheduler_cancel(sched, tasks[i]));
        atoll_task_release(tasks[i]);
    }
    atoll_scheduler_release(sched);
    CHECK(atoll_task_live() == 0);
}

static void
test_submit_and_await(void)
{
    atoll_scheduler *sched = make(1, 0);
    crew group = {sched, ATOLL_FOREVER, 0};
    actor one;
    bool start;
    for (int i = 0; i < 200; i++) {
        atoll_task *task = submit(sched, i % 2, &start);
        CHECK(start == (i == 0));
        if (start) {
            actor_start(&one, work, &group);
        }
        atoll_wait wait = {test_parker(), ATOLL_FOREVER, 0};
        CHECK(atoll_scheduler_await(sched, task, &wait) == ATOLL_OK);
        CHECK(task->outcome == 42 && task->verdict == ATOLL_VERDICT_RAN);
        CHECK(atoll_scheduler_await(sched, task, &wait) == ATOLL_E_BUSY);
        atoll_task_release(task);
    }
    atoll_scheduler_shutdown(sched);
    atoll_wait wait = {test_parker(), ATOLL_FOREVER, 0};
    CHECK(atoll_scheduler_join(sched, &wait) == ATOLL_OK);
    actor_join(&one);
    CHECK(one.status == ATOLL_E_SHUTDOWN);
    atoll_task *none;
    CHECK(atoll_scheduler_collect(sched, &wait, &none) == ATOLL_OK); /* look */
    CHECK(atoll_scheduler_collect(sched, &wait, &none) == ATOLL_E_SHUTDOWN);
    atoll_scheduler_release(sched);
    CHECK(atoll_task_live() == 0);
}

static void
test_collect(void)
{
    enum { COUNT = 500 };
    atoll_scheduler *sched = make(3, 0);
    crew group = {sched, ATOLL_FOREVER, 0};
    actor actors[3];
    int started = 0;
    bool start;
    uint64_t seen = 0;
    for (int i = 0; i < COUNT; i++) {
        atoll_task_release(submit(sched, false, &start));
        if (start) {
            actor_start(&actors[started++], work, &group);
        }
    }
    atoll_scheduler_shutdown(sched);
    atoll_wait wait = {test_parker(), ATOLL_FOREVER, 0};
    atoll_task *list;
    while (atoll_scheduler_collect(sched, &wait, &list) == ATOLL_OK) {
        while (list != NULL) {
            atoll_task *next = list->next;
            CHECK(list->outcome == 42);
            seen++;
            atoll_task_release(list);
            list = next;
        }
    }
    CHECK(seen == COUNT);
    while (started > 0) {
        actor_join(&actors[--started]);
    }
    atoll_scheduler_stats stats;
    atoll_scheduler_get_stats(sched, &stats);
    CHECK(stats.done == COUNT && stats.failed == 0 && stats.workers == 0);
    atoll_scheduler_release(sched);
    CHECK(atoll_task_live() == 0);
}

static void
test_refuses(void)
{
    atoll_scheduler *sched = make(1, 0);
    atoll_task *task = atoll_task_new();
    bool start = false;
    atoll_scheduler_shutdown(sched);
    CHECK(atoll_scheduler_submit(sched, task, NULL, &start)
          == ATOLL_E_SHUTDOWN);
    atoll_scheduler_break(sched);
    CHECK(atoll_scheduler_submit(sched, task, NULL, &start) == ATOLL_E_BROKEN);
    CHECK(!start);
    atoll_task_release(task);
    atoll_scheduler_release(sched);
}

static void
test_break_fails_what_waits(void)
{
    atoll_scheduler *sched = make(1, 0);
    atoll_task *quiet = submit(sched, true, NULL);
    atoll_task *loud = submit(sched, false, NULL);
    atoll_scheduler_break(sched);
    CHECK(atoll_scheduler_await(sched, quiet, NULL) == ATOLL_OK);
    CHECK(quiet->verdict == ATOLL_VERDICT_BROKEN);
    atoll_task *list;
    CHECK(atoll_scheduler_collect(sched, NULL, &list) == ATOLL_OK);
    CHECK(list == loud && list->next == NULL);
    CHECK(list->verdict == ATOLL_VERDICT_BROKEN);
    atoll_task_release(list);
    atoll_task_release(loud);
    atoll_task_release(quiet);
    atoll_scheduler_start_failed(sched);
    atoll_scheduler_release(sched);
    CHECK(atoll_task_live() == 0);
}

static void
test_cancel_all(void)
{
    atoll_scheduler *sched = make(1, 0);
    atoll_task *quiet = submit(sched, true, NULL);
    atoll_task *loud = submit(sched, false, NULL);
    atoll_task *list;
    atoll_scheduler_cancel_all(sched, &list);
    CHECK(list == loud && list->next == NULL);
    atoll_task_release(list);
    CHECK(atoll_scheduler_await(sched, loud, NULL) == ATOLL_E_BUSY);
    CHECK(atoll_scheduler_await(sched, quiet, NULL) == ATOLL_OK);
    CHECK(quiet->verdict == ATOLL_VERDICT_CANCELLED);
    atoll_task_release(loud);
    atoll_task_release(quiet);
    atoll_scheduler_release(sched);
    CHECK(atoll_task_live() == 0);
}

static void
submit_one(actor *self)
{
    atoll_scheduler *sched = self->arg;
    atoll_task *task = atoll_task_new();
    bool start;
    task->quiet = true;
    atoll_wait wait = {&self->parker, ATOLL_FOREVER, 0};
    atomic_store(&self->step, 1);
    self->status = atoll_scheduler_submit(sched, task, &wait, &start);
    atoll_scheduler_drop(sched, task);
    atoll_task_release(task);
}

static void
test_bounded(void)
{
    atoll_scheduler *sched = make(1, 2);
    atoll_worker worker;
    atoll_task *tasks[3];
    bool start;
    /* One for the worker that is to come, two that wait. */
    for (int i = 0; i < 3; i++) {
        tasks[i] = submit(sched, true, &start);
        CHECK(start == (i == 0));
    }
    atoll_task *more = atoll_task_new();
    more->quiet = true;
    CHECK(atoll_scheduler_submit(sched, more, NULL, &start) == ATOLL_E_FULL);
    atoll_wait late = {test_parker(), 1, 0};
    CHECK(atoll_scheduler_submit(sched, more, &late, &start)
          == ATOLL_E_TIMEOUT);
    actor one;
    actor_start(&one, submit_one, sched);
    UNTIL(atomic_load(&one.step) == 1);
    atoll_worker_join(sched, &worker);
    atoll_task *task;
    CHECK(atoll_worker_next(sched, &worker, NULL, NULL, &task) == ATOLL_OK);
    CHECK(task == tasks[0]);
    CHECK(atoll_worker_next(sched, &worker, task, NULL, &task) == ATOLL_OK);
    CHECK(task == tasks[1]);
    actor_join(&one);
    CHECK(one.status == ATOLL_OK);
    atoll_worker_done(sched, &worker, task);
    CHECK(atoll_scheduler_cancel(sched, tasks[2]));
    atoll_worker_leave(sched, &worker, false);
    for (int i = 0; i < 3; i++) {
        atoll_task_release(tasks[i]);
    }
    atoll_task_release(more);
    atoll_scheduler_release(sched);
    CHECK(atoll_task_live() == 0);
}

static void
test_idle_time_out(void)
{
    atoll_scheduler *sched = make(1, 0);
    crew group = {sched, SECOND / 1000, 0};
    actor one;
    bool start;
    for (int i = 0; i < 20; i++) {
        atoll_task *task = submit(sched, true, &start);
        CHECK(start);
        actor_start(&one, work, &group);
        atoll_wait wait = {test_parker(), ATOLL_FOREVER, 0};
        CHECK(atoll_scheduler_await(sched, task, &wait) == ATOLL_OK);
        atoll_task_release(task);
        actor_join(&one);
        CHECK(one.status == ATOLL_E_TIMEOUT);
    }
    atoll_scheduler_release(sched);
}

/* Submits as fast as it can while the worker leaves and comes again: no task
 * is left behind without a worker. */
static void
test_idle_race(void)
{
    atoll_scheduler *sched = make(1, 0);
    crew group = {sched, 20000, 0};
    actor one;
    bool any = false;
    for (int i = 0; i < 2000; i++) {
        bool start;
        atoll_task *task = submit(sched, true, &start);
        if (start) {
            if (any) {
                actor_join(&one);
            }
            actor_start(&one, work, &group);
            any = true;
        }
        atoll_wait wait = {test_parker(), ATOLL_FOREVER, 0};
        CHECK(atoll_scheduler_await(sched, task, &wait) == ATOLL_OK);
        atoll_task_release(task);
        for (int spin = i % 400 * 50; spin > 0; spin--) {
            atomic_signal_fence(memory_order_seq_cst);
        }
    }
    actor_join(&one);
    CHECK(atomic_load(&group.ran) == 2000);
    atoll_scheduler_release(sched);
    CHECK(atoll_task_live() == 0);
}

static void
test_gives_up(void)
{
    for (int timed = 0; timed < 2; timed++) {
        atoll_scheduler *sched = make(1, 0);
        atoll_worker worker;
        atoll_task *task = atoll_task_new();
        bool start = false;
        task->timeout = timed ? 0 : -1;
        CHECK(atoll_scheduler_submit(sched, task, NULL, &start) == ATOLL_OK);
        atoll_task *next = submit(sched, true, NULL);
        atoll_worker_join(sched, &worker);
        atoll_task *given;
        CHECK(atoll_worker_next(sched, &worker, NULL, NULL, &given)
              == ATOLL_OK);
        CHECK(atoll_scheduler_is_running(sched, task));
        if (!timed) {
            atoll_interp *interp = NULL;
            uint64_t generation = 1;
            CHECK(
                atoll_scheduler_interrupt(sched, task, &interp, &generation));
            CHECK(interp == NULL && generation == 0);
            CHECK(atomic_load(&given->interrupted));
        }
        atoll_wait wait = {test_parker(), ATOLL_FOREVER, 0};
        atoll_task *list = NULL;
        CHECK(atoll_scheduler_collect(sched, &wait, &list) == ATOLL_OK);
        NEED(list == task);
        CHECK(task->verdict == ATOLL_VERDICT_GIVEN_UP);
        CHECK(task->late == (timed == 1));
        atoll_task_release(list);
        /* Another one is wanted, the first is to leave. */
        CHECK(atoll_scheduler_wants_worker(sched));
        CHECK(atoll_worker_next(sched, &worker, given, NULL, &given)
              == ATOLL_E_CLOSED);
        atoll_worker_leave(sched, &worker, false);
        CHECK(atoll_scheduler_cancel(sched, next));
        atoll_task_release(next);
        atoll_task_release(task);
        atoll_scheduler_start_failed(sched);
        atoll_scheduler_release(sched);
        CHECK(atoll_task_live() == 0);
    }
}

static void
test_split(void)
{
    atoll_scheduler *sched = make(1, 0);
    atoll_worker worker;
    atoll_task *given;
    atoll_task *chunk = submit(sched, true, NULL);
    atoll_task *behind = submit(sched, true, NULL);
    atoll_worker_join(sched, &worker);
    CHECK(atoll_worker_next(sched, &worker, NULL, NULL, &given) == ATOLL_OK);
    atoll_task *first = atoll_task_new();
    atoll_task *second = atoll_task_new();
    first->quiet = second->quiet = true;
    first->rest = second;
    CHECK(atoll_worker_split(sched, &worker, given, first));
    CHECK(atoll_worker_next(sched, &worker, given, NULL, &given) == ATOLL_OK);
    CHECK(given == first);
    /* Nobody wants the chunk any more: what waits of it goes. */
    atoll_scheduler_drop(sched, chunk);
    CHECK(atomic_load(&given->dropped));
    CHECK(!atoll_worker_split(sched, &worker, given, NULL));
    CHECK(atoll_worker_next(sched, &worker, given, NULL, &given) == ATOLL_OK);
    CHECK(given == behind);
    CHECK(atoll_worker_next(sched, &worker, given, NULL, &given)
          == ATOLL_E_EMPTY);
    atoll_worker_leave(sched, &worker, false);
    atoll_task_release(chunk);
    atoll_task_release(behind);
    atoll_scheduler_release(sched);
    CHECK(atoll_task_live() == 0);
}

static void
test_dead_worker(void)
{
    atoll_scheduler *sched = make(1, 0);
    atoll_worker worker;
    atoll_task *given;
    atoll_task *task = submit(sched, true, NULL);
    atoll_worker_join(sched, &worker);
    CHECK(atoll_worker_next(sched, &worker, NULL, NULL, &given) == ATOLL_OK);
    atoll_worker_leave(sched, &worker, true);
    CHECK(atoll_scheduler_await(sched, task, NULL) == ATOLL_OK);
    CHECK(task->verdict == ATOLL_VERDICT_BROKEN);
    atoll_scheduler_stats stats;
    atoll_scheduler_get_stats(sched, &stats);
    CHECK(stats.restarts == 1 && stats.failed == 1 && stats.running == 0);
    atoll_task_release(task);
    atoll_scheduler_release(sched);
}

static void
join_pool(actor *self)
{
    atoll_wait wait = {&self->parker, ATOLL_FOREVER, 0};
    atomic_store(&self->step, 1);
    self->status = atoll_scheduler_join(self->arg, &wait);
}

/* Whoever takes the last task away, with no worker there, wakes who joins. */
static void
test_join_without_workers(void)
{
    for (int round = 0; round < 400; round++) {
        atoll_scheduler *sched = make(1, 0);
        atoll_task *task = submit(sched, true, NULL);
        atoll_task *list = NULL;
        CHECK(!atoll_scheduler_is_stranded(sched));
        atoll_scheduler_start_failed(sched);
        CHECK(atoll_scheduler_is_stranded(sched));
        actor joiner;
        actor_start(&joiner, join_pool, sched);
        UNTIL(atomic_load(&joiner.step) != 0);
        for (int i = 0; i < round % 20; i++) {
            sched_yield();
        }
        switch (round % 4) {
        case 0:
            atoll_scheduler_break(sched);
            break;
        case 1:
            atoll_scheduler_cancel_all(sched, &list);
            break;
        case 2:
            CHECK(atoll_scheduler_cancel(sched, task));
            break;
        default:
            atoll_scheduler_drop(sched, task);
        }
        actor_join(&joiner);
        CHECK(joiner.status == ATOLL_OK);
        CHECK(list == NULL);
        atoll_task_release(task);
        atoll_scheduler_release(sched);
    }
    CHECK(atoll_task_live() == 0);
}

/* A worker that would have to wait keeps what it has done until it does wait:
 * whoever gets the outcome finds it idle. */
static void
test_hands_in_when_idle(void)
{
    atoll_scheduler *sched = make(1, 0);
    atoll_worker worker;
    atoll_task *given, *none;
    atoll_task *task = submit(sched, true, NULL);
    atoll_worker_join(sched, &worker);
    CHECK(atoll_worker_next(sched, &worker, NULL, NULL, &given) == ATOLL_OK);
    CHECK(atoll_worker_next(sched, &worker, given, NULL, &none)
          == ATOLL_E_EMPTY);
    CHECK(atoll_scheduler_is_running(sched, task));
    atoll_wait wait = {test_parker(), 1, 0};
    CHECK(atoll_worker_next(sched, &worker, given, &wait, &none)
          == ATOLL_E_TIMEOUT);
    CHECK(atoll_scheduler_await(sched, task, NULL) == ATOLL_OK);
    CHECK(task->verdict == ATOLL_VERDICT_RAN);
    atoll_task_release(task);
    atoll_worker_leave(sched, &worker, false);
    atoll_scheduler_release(sched);
}

/* An outcome that is given back is there for the next one who asks. */
static void
test_give_back(void)
{
    atoll_scheduler *sched = make(1, 0);
    atoll_worker worker;
    atoll_task *given, *list;
    for (int quiet = 0; quiet < 2; quiet++) {
        atoll_task *task = submit(sched, quiet, NULL);
        atoll_worker_join(sched, &worker);
        CHECK(atoll_worker_next(sched, &worker, NULL, NULL, &given)
              == ATOLL_OK);
        atoll_worker_done(sched, &worker, given);
        atoll_worker_leave(sched, &worker, false);
        for (int i = 0; i < 3; i++) {
            CHECK(atoll_scheduler_await(sched, task, NULL) == ATOLL_OK);
            CHECK(atoll_scheduler_await(sched, task, NULL) == ATOLL_E_BUSY);
            atoll_scheduler_give_back(sched, task);
        }
        if (!quiet) {
            CHECK(atoll_scheduler_collect(sched, NULL, &list) == ATOLL_OK);
            CHECK(list == task && list->next == NULL);
            atoll_task_release(list);
        }
        atoll_task_release(task);
    }
    atoll_scheduler_release(sched);
    CHECK(atoll_task_live() == 0);
}

int
main(int argc, char **argv)
{
    RUN(test_starts_no_more_than_needed);
    RUN(test_submit_and_await);
    RUN(test_collect);
    RUN(test_refuses);
    RUN(test_break_fails_what_waits);
    RUN(test_cancel_all);
    RUN(test_bounded);
    RUN(test_idle_time_out);
    RUN(test_idle_race);
    RUN(test_gives_up);
    RUN(test_split);
    RUN(test_dead_worker);
    RUN(test_join_without_workers);
    RUN(test_hands_in_when_idle);
    RUN(test_give_back);
    return test_end();
}
