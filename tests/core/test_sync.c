/* Locks, semaphores, events, conditions, barriers, atomic integers. */
#include "test.h"

#include <sys/wait.h>
#include <unistd.h>

#include "../../src/core/sync_private.h"

#define THREADS 4

static atoll_wait
for_ever(atoll_parker *parker)
{
    return (atoll_wait){parker, ATOLL_FOREVER, 0};
}

/* How many stand in the line of an object (each starts with a sync_base). */
static size_t
in_line(void *object)
{
    sync_base *base = object;
    size_t count = 0;
    atoll_mutex_lock(&base->mutex);
    for (atoll_waiter *at = base->line.first; at != NULL; at = at->next) {
        count++;
    }
    atoll_mutex_unlock(&base->mutex);
    return count;
}

static atoll_owner
owner_of(int64_t interp)
{
    return (atoll_owner){interp, atoll_thread_ident()};
}

static atoll_lock *
new_lock(bool recursive)
{
    atoll_lock *lock = NULL;
    NEED(atoll_lock_new(recursive, &lock) == ATOLL_OK);
    return lock;
}

/* --- Lock --- */

static void
test_lock(void)
{
    atoll_lock *lock = new_lock(false);
    atoll_owner me = owner_of(0);
    atoll_wait wait = {test_parker(), 0, 0};
    CHECK(!atoll_lock_is_recursive(lock));
    CHECK(atoll_lock_id(lock) > 0);
    CHECK(!atoll_lock_is_locked(lock));
    CHECK(atoll_lock_depth(lock) == 0);
    CHECK(atoll_lock_unlock(lock, me) == ATOLL_E_NOT_OWNER);
    CHECK(atoll_lock_lock(lock, me, NULL) == ATOLL_OK);
    CHECK(atoll_lock_is_locked(lock));
    CHECK(atoll_lock_depth(lock) == 1);
    CHECK(atoll_lock_lock(lock, me, NULL) == ATOLL_E_BUSY);
    CHECK(atoll_lock_lock(lock, me, &wait) == ATOLL_E_TIMEOUT);
    wait.deadline = atoll_now() + 1000;
    CHECK(atoll_lock_lock(lock, me, &wait) == ATOLL_E_TIMEOUT);
    CHECK(in_line(lock) == 0);
    atoll_parker_interrupt(test_parker());
    wait.deadline = ATOLL_FOREVER;
    CHECK(atoll_lock_lock(lock, me, &wait) == ATOLL_E_INTERRUPTED);
    CHECK(in_line(lock) == 0);
    /* By another interpreter: allowed, as in threading by another thread. */
    CHECK(atoll_lock_is_owned(lock, owner_of(3)));
    CHECK(atoll_lock_unlock(lock, owner_of(3)) == ATOLL_OK);
    CHECK(atoll_lock_unlock(lock, me) == ATOLL_E_NOT_OWNER);
    wait.deadline = 0;
    CHECK(atoll_lock_lock(lock, me, &wait) == ATOLL_OK);
    CHECK(atoll_lock_unlock(lock, me) == ATOLL_OK);
    atoll_lock_reset(lock);
    CHECK(!atoll_lock_is_locked(lock));
    atoll_lock_release(lock);
}

static void
test_recursive_lock(void)
{
    atoll_lock *lock = new_lock(true);
    atoll_owner me = owner_of(5);
    CHECK(atoll_lock_is_recursive(lock));
    CHECK(!atoll_lock_is_owned(lock, me));
    for (uint64_t i = 1; i <= 10; i++) {
        CHECK(atoll_lock_lock(lock, me, NULL) == ATOLL_OK);
        CHECK(atoll_lock_depth(lock) == i);
    }
    CHECK(atoll_lock_is_owned(lock, me));
    /* The same thread inside another interpreter is somebody else, and so is
     * another thread of this interpreter. */
    atoll_owner other = owner_of(6);
    atoll_owner thread = {5, me.thread + 1};
    CHECK(!atoll_lock_is_owned(lock, other));
    CHECK(!atoll_lock_is_owned(lock, thread));
    CHECK(atoll_lock_lock(lock, other, NULL) == ATOLL_E_BUSY);
    CHECK(atoll_lock_lock(lock, thread, NULL) == ATOLL_E_BUSY);
    CHECK(atoll_lock_unlock(lock, other) == ATOLL_E_NOT_OWNER);
    CHECK(atoll_lock_unlock(lock, thread) == ATOLL_E_NOT_OWNER);
    for (int i = 0; i < 10; i++) {
        CHECK(atoll_lock_is_locked(lock));
        CHECK(atoll_lock_unlock(lock, me) == ATOLL_OK);
    }
    CHECK(!atoll_lock_is_locked(lock));
    CHECK(atoll_lock_unlock(lock, me) == ATOLL_E_NOT_OWNER);
    CHECK(atoll_lock_lock(lock, other, NULL) == ATOLL_OK);
    CHECK(atoll_lock_unlock(lock, other) == ATOLL_OK);
    atoll_lock_release(lock);
}

typedef struct lock_job {
    atoll_lock *lock;
    int rounds;
    long inside;  /* guarded by the lock */
    long counter; /* guarded by the lock */
    atoll_condition *condition;
} lock_job;

static void
count_under_lock(actor *self)
{
    lock_job *job = self->arg;
    atoll_owner me = owner_of(self->index);
    for (int i = 0; i < job->rounds; i++) {
        atoll_wait wait = for_ever(&self->parker);
        CHECK(atoll_lock_lock(job->lock, me, &wait) == ATOLL_OK);
        CHECK(++job->inside == 1);
        job->counter++;
        if (i % 64 == 0) {
            sched_yield(); /* so that others come and wait */
        }
        job->inside--;
        CHECK(atoll_lock_unlock(job->lock, me) == ATOLL_OK);
    }
}

static void
test_mutual_exclusion(void)
{
    for (int recursive = 0; recursive < 2; recursive++) {
        lock_job job = {.lock = new_lock(recursive), .rounds = 20000};
        actor actors[THREADS];
        for (int i = 0; i < THREADS; i++) {
            actors[i].index = i;
            actor_start(&actors[i], count_under_lock, &job);
        }
        for (int i = 0; i < THREADS; i++) {
            actor_join(&actors[i]);
        }
        CHECK(job.counter == THREADS * job.rounds);
        CHECK(!atoll_lock_is_locked(job.lock));
        CHECK(in_line(job.lock) == 0);
        atoll_lock_release(job.lock);
    }
}

static void
lock_once(actor *self)
{
    atoll_wait wait = for_ever(&self->parker);
    self->step = 1;
    self->status = atoll_lock_lock(self->arg, owner_of(self->index), &wait);
    self->step = 2;
}

/* Who waits longer than the limit is handed the lock, though its holder takes
 * it again and again. */
static void
test_no_starvation(void)
{
    atoll_lock *lock = new_lock(false);
    atoll_owner me = owner_of(0);
    NEED(atoll_lock_lock(lock, me, NULL) == ATOLL_OK);
    actor waiter = {.index = 1};
    actor_start(&waiter, lock_once, lock);
    UNTIL(in_line(lock) == 1);
    atoll_wait wait = for_ever(test_parker());
    while (waiter.step < 2) {
        CHECK(atoll_lock_unlock(lock, me) == ATOLL_OK);
        if (atoll_lock_lock(lock, me, NULL) != ATOLL_OK) {
            UNTIL(waiter.step == 2);
        }
    }
    CHECK(waiter.status == ATOLL_OK);
    actor_join(&waiter);
    CHECK(atoll_lock_is_locked(lock));
    CHECK(atoll_lock_unlock(lock, owner_of(1)) == ATOLL_OK);
    (void)wait;
    atoll_lock_release(lock);
}

static void
lock_and_die(actor *self)
{
    atoll_wait wait = for_ever(&self->parker);
    self->status = atoll_lock_lock(self->arg, owner_of(7), &wait);
}

static void
test_owner_died(void)
{
    for (int recursive = 0; recursive < 2; recursive++) {
        atoll_lock *lock = new_lock(recursive);
        atoll_lock *other = new_lock(recursive);
        atoll_owner me = owner_of(0);
        actor owner;
        actor_start(&owner, lock_and_die, lock);
        actor_join(&owner);
        CHECK(atoll_lock_lock(other, me, NULL) == ATOLL_OK);
        actor waiters[3];
        for (int i = 0; i < 3; i++) {
            waiters[i].index = i + 1;
            actor_start(&waiters[i], lock_once, lock);
        }
        UNTIL(in_line(lock) == 3);
        atoll_sync_owner_died(8);
        CHECK(!atoll_lock_owner_died(lock));
        atoll_sync_owner_died(7);
        CHECK(atoll_lock_owner_died(lock));
        CHECK(atoll_lock_is_locked(lock));
        CHECK(!atoll_lock_is_owned(lock, me));
        CHECK(atoll_lock_depth(lock) == 0);
        for (int i = 0; i < 3; i++) {
            actor_join(&waiters[i]);
            CHECK(waiters[i].status == ATOLL_E_OWNER_DIED);
        }
        atoll_wait wait = for_ever(test_parker());
        CHECK(atoll_lock_lock(lock, me, &wait) == ATOLL_E_OWNER_DIED);
        CHECK(atoll_lock_lock(lock, me, NULL) == ATOLL_E_OWNER_DIED);
        wait.deadline = 0;
        CHECK(atoll_lock_lock(lock, me, &wait) == ATOLL_E_OWNER_DIED);
        CHECK(atoll_lock_unlock(lock, me) == ATOLL_E_OWNER_DIED);
        CHECK(!atoll_lock_owner_died(other));
        CHECK(atoll_lock_unlock(other, me) == ATOLL_OK);
        atoll_lock_reset(lock);
        CHECK(!atoll_lock_owner_died(lock));
        CHECK(!atoll_lock_is_locked(lock));
        CHECK(atoll_lock_lock(lock, me, NULL) == ATOLL_OK);
        CHECK(atoll_lock_unlock(lock, me) == ATOLL_OK);
        atoll_lock_release(lock);
        atoll_lock_release(other);
    }
}

/* --- Semaphore --- */

static void
down_once(actor *self)
{
    atoll_wait wait = for_ever(&self->parker);
    self->status = atoll_semaphore_down(self->arg, &wait);
    self->step = 1;
}

static void
test_semaphore(void)
{
    atoll_semaphore *semaphore;
    NEED(atoll_semaphore_new(2, true, &semaphore) == ATOLL_OK);
    atoll_wait wait = {test_parker(), 0, 0};
    CHECK(atoll_semaphore_id(semaphore) > 0);
    CHECK(atoll_semaphore_is_bounded(semaphore));
    CHECK(atoll_semaphore_up(semaphore, 1) == ATOLL_E_VALUE);
    CHECK(atoll_semaphore_down(semaphore, NULL) == ATOLL_OK);
    CHECK(atoll_semaphore_down(semaphore, &wait) == ATOLL_OK);
    CHECK(atoll_semaphore_down(semaphore, NULL) == ATOLL_E_BUSY);
    CHECK(atoll_semaphore_down(semaphore, &wait) == ATOLL_E_TIMEOUT);
    wait.deadline = atoll_now() + 1000;
    CHECK(atoll_semaphore_down(semaphore, &wait) == ATOLL_E_TIMEOUT);
    CHECK(atoll_semaphore_up(semaphore, 3) == ATOLL_E_VALUE);
    CHECK(atoll_semaphore_value(semaphore) == 0);
    CHECK(atoll_semaphore_up(semaphore, 0) == ATOLL_OK);
    CHECK(atoll_semaphore_up(semaphore, 2) == ATOLL_OK);
    CHECK(atoll_semaphore_value(semaphore) == 2);
    atoll_semaphore_release(semaphore);

    NEED(atoll_semaphore_new(UINT64_MAX, false, &semaphore) == ATOLL_OK);
    CHECK(atoll_semaphore_up(semaphore, 1) == ATOLL_E_VALUE);
    CHECK(atoll_semaphore_value(semaphore) == UINT64_MAX);
    atoll_semaphore_release(semaphore);

    NEED(atoll_semaphore_new(0, false, &semaphore) == ATOLL_OK);
    actor actors[4];
    for (size_t i = 0; i < 4; i++) {
        actor_start(&actors[i], down_once, semaphore);
        UNTIL(in_line(semaphore) == i + 1);
    }
    CHECK(atoll_semaphore_up(semaphore, 1) == ATOLL_OK);
    actor_join(&actors[0]);
    CHECK(in_line(semaphore) == 3);
    atoll_parker_interrupt(&actors[1].parker);
    actor_join(&actors[1]);
    CHECK(actors[1].status == ATOLL_E_INTERRUPTED);
    CHECK(atoll_semaphore_up(semaphore, 5) == ATOLL_OK);
    actor_join(&actors[2]);
    actor_join(&actors[3]);
    CHECK(actors[3].status == ATOLL_OK);
    CHECK(atoll_semaphore_value(semaphore) == 3);
    atoll_semaphore_release(semaphore);
}

/* --- Event --- */

static void
wait_once(actor *self)
{
    atoll_wait wait = for_ever(&self->parker);
    self->status = atoll_event_wait(self->arg, &wait);
}

static void
test_event(void)
{
    atoll_event *event;
    NEED(atoll_event_new(&event) == ATOLL_OK);
    atoll_wait wait = {test_parker(), 0, 0};
    CHECK(atoll_event_id(event) > 0);
    CHECK(!atoll_event_is_set(event));
    CHECK(atoll_event_wait(event, NULL) == ATOLL_E_BUSY);
    CHECK(atoll_event_wait(event, &wait) == ATOLL_E_TIMEOUT);
    wait.deadline = atoll_now() + 1000;
    CHECK(atoll_event_wait(event, &wait) == ATOLL_E_TIMEOUT);
    actor actors[20];
    for (int i = 0; i < 20; i++) {
        actor_start(&actors[i], wait_once, event);
    }
    UNTIL(in_line(event) == 20);
    atoll_event_set(event);
    atoll_event_clear(event); /* who waited was let go all the same */
    for (int i = 0; i < 20; i++) {
        actor_join(&actors[i]);
        CHECK(actors[i].status == ATOLL_OK);
    }
    CHECK(!atoll_event_is_set(event));
    atoll_event_set(event);
    atoll_event_set(event);
    CHECK(atoll_event_is_set(event));
    CHECK(atoll_event_wait(event, NULL) == ATOLL_OK);
    atoll_event_release(event);
}

/* --- Condition --- */

/* Actors of this interpreter give up at an interruption. */
#define GIVES_UP 1000

/* Like the binding. */
static atoll_status
wait_on(atoll_condition *condition, actor *self, int64_t deadline)
{
    atoll_wait wait = {&self->parker, deadline, 0};
    atoll_condition_wait state = {.stage = 0};
    atoll_status status;
    do {
        status = atoll_condition_sleep(condition, owner_of(self->index), &wait,
                                       &state);
        if (status == ATOLL_E_INTERRUPTED && self->index == GIVES_UP) {
            atoll_condition_give_up(condition, &state);
        }
        self->step += status == ATOLL_E_INTERRUPTED;
    } while (status == ATOLL_E_INTERRUPTED);
    return status;
}

static void
wait_for_notification(actor *self)
{
    lock_job *job = self->arg;
    atoll_owner me = owner_of(self->index);
    atoll_wait wait = for_ever(&self->parker);
    /* Twice: a recursive lock is released wholly and comes back as deep. */
    bool twice = atoll_lock_is_recursive(job->lock);
    CHECK(atoll_lock_lock(job->lock, me, &wait) == ATOLL_OK);
    CHECK(!twice || atoll_lock_lock(job->lock, me, NULL) == ATOLL_OK);
    self->status = wait_on(job->condition, self, ATOLL_FOREVER);
    if (self->status == ATOLL_E_OWNER_DIED) {
        return;
    }
    CHECK(atoll_lock_is_owned(job->lock, me));
    CHECK(atoll_lock_depth(job->lock) == (twice ? 2 : 1));
    job->counter++;
    CHECK(!twice || atoll_lock_unlock(job->lock, me) == ATOLL_OK);
    CHECK(atoll_lock_unlock(job->lock, me) == ATOLL_OK);
}

static lock_job
new_condition(bool recursive)
{
    lock_job job = {.lock = new_lock(recursive)};
    NEED(atoll_condition_new(job.lock, &job.condition) == ATOLL_OK);
    CHECK(atoll_condition_lock(job.condition) == job.lock);
    CHECK(atoll_condition_id(job.condition) > atoll_lock_id(job.lock));
    return job;
}

static void
end_condition(lock_job *job)
{
    atoll_lock_release(job->lock);
    atoll_condition_release(job->condition);
    CHECK(atoll_sync_live() == 0);
}

/* Locks as main, notifies n, unlocks. */
static void
notify(lock_job *job, uint64_t n)
{
    atoll_wait wait = for_ever(test_parker());
    atoll_owner me = owner_of(99);
    CHECK(atoll_lock_lock(job->lock, me, &wait) == ATOLL_OK);
    CHECK(atoll_condition_notify(job->condition, me, n) == ATOLL_OK);
    CHECK(atoll_lock_unlock(job->lock, me) == ATOLL_OK);
}

static void
test_condition(void)
{
    for (int recursive = 0; recursive < 2; recursive++) {
        lock_job job = new_condition(recursive);
        atoll_owner me = owner_of(99);
        CHECK(atoll_condition_notify(job.condition, me, 1)
              == ATOLL_E_NOT_OWNER);
        atoll_wait wait = {test_parker(), 0, 0};
        atoll_condition_wait state = {.stage = 0};
        CHECK(atoll_condition_sleep(job.condition, me, &wait, &state)
              == ATOLL_E_NOT_OWNER);
        notify(&job, 5); /* nobody waits: nothing is kept */
        actor actors[5];
        for (size_t i = 0; i < 5; i++) {
            actors[i].index = (int)i;
            actor_start(&actors[i], wait_for_notification, &job);
            UNTIL(in_line(job.condition) == i + 1);
        }
        notify(&job, 1);
        actor_join(&actors[0]);
        CHECK(in_line(job.condition) == 4);
        /* An interruption does not lose the place. */
        atoll_parker_interrupt(&actors[1].parker);
        UNTIL(actors[1].step == 1);
        notify(&job, 2);
        actor_join(&actors[1]);
        actor_join(&actors[2]);
        CHECK(in_line(job.condition) == 2);
        notify(&job, UINT64_MAX);
        actor_join(&actors[3]);
        actor_join(&actors[4]);
        for (int i = 0; i < 5; i++) {
            CHECK(actors[i].status == ATOLL_OK);
        }
        CHECK(job.counter == 5);
        end_condition(&job);
    }
}

static void
test_condition_timeout(void)
{
    lock_job job = new_condition(true);
    atoll_owner me = owner_of(1);
    CHECK(atoll_lock_lock(job.lock, me, NULL) == ATOLL_OK);
    static const int64_t spans[] = {0, -SECOND, 1000, SECOND / 100};
    for (size_t i = 0; i < 4; i++) {
        actor self = {.index = 1};
        NEED(atoll_parker_init(&self.parker) == ATOLL_OK);
        int64_t deadline = i == 0 ? 0 : atoll_now() + spans[i];
        CHECK(wait_on(job.condition, &self, deadline) == ATOLL_E_TIMEOUT);
        CHECK(atoll_lock_is_owned(job.lock, me));
        CHECK(in_line(job.condition) == 0);
        atoll_parker_fini(&self.parker);
    }
    CHECK(atoll_lock_unlock(job.lock, me) == ATOLL_OK);
    end_condition(&job);
}

/* Given up while asleep; and after a notification, which goes to the next. */
static void
test_condition_give_up(void)
{
    lock_job job = new_condition(false);
    actor actors[2];
    for (int i = 0; i < 2; i++) {
        actors[i].index = i == 0 ? GIVES_UP : 1;
        actor_start(&actors[i], wait_for_notification, &job);
        UNTIL(in_line(job.condition) == (size_t)i + 1);
    }
    atoll_parker_interrupt(&actors[0].parker);
    actor_join(&actors[0]);
    CHECK(actors[0].status == ATOLL_E_TIMEOUT);
    CHECK(in_line(job.condition) == 1);

    /* Notified and interrupted while the lock is still taken. */
    atoll_wait wait = for_ever(test_parker());
    atoll_owner me = owner_of(99);
    actors[0].index = GIVES_UP;
    notify(&job, 1);
    actor_join(&actors[1]);
    actor_start(&actors[0], wait_for_notification, &job);
    UNTIL(in_line(job.condition) == 1);
    actors[1].index = 1;
    actor_start(&actors[1], wait_for_notification, &job);
    UNTIL(in_line(job.condition) == 2);
    CHECK(atoll_lock_lock(job.lock, me, &wait) == ATOLL_OK);
    CHECK(atoll_condition_notify(job.condition, me, 1) == ATOLL_OK);
    UNTIL(in_line(job.lock) == 1);
    atoll_parker_interrupt(&actors[0].parker);
    UNTIL(in_line(job.condition) == 0); /* passed on */
    CHECK(atoll_lock_unlock(job.lock, me) == ATOLL_OK);
    actor_join(&actors[0]);
    actor_join(&actors[1]);
    CHECK(actors[0].status == ATOLL_E_TIMEOUT);
    CHECK(actors[1].status == ATOLL_OK);
    end_condition(&job);
}

static void
test_condition_owner_died(void)
{
    lock_job job = new_condition(true);
    actor actors[3];
    for (size_t i = 0; i < 3; i++) {
        actors[i].index = (int)i + 1;
        actor_start(&actors[i], wait_for_notification, &job);
    }
    UNTIL(in_line(job.condition) == 3);
    actor owner;
    actor_start(&owner, lock_and_die, job.lock);
    actor_join(&owner);
    CHECK(owner.status == ATOLL_OK);
    atoll_sync_owner_died(7);
    for (size_t i = 0; i < 3; i++) {
        actor_join(&actors[i]);
        CHECK(actors[i].status == ATOLL_E_OWNER_DIED);
    }
    CHECK(atoll_condition_notify(job.condition, owner_of(1), 1)
          == ATOLL_E_OWNER_DIED);
    atoll_wait wait = for_ever(test_parker());
    atoll_condition_wait state = {.stage = 0};
    CHECK(atoll_condition_sleep(job.condition, owner_of(1), &wait, &state)
          == ATOLL_E_OWNER_DIED);
    atoll_lock_reset(job.lock);
    notify(&job, 1);
    end_condition(&job);
}

typedef struct bounded_buffer {
    lock_job job;
    int items; /* guarded by the lock */
    _Atomic int consumed;
    int total;
} bounded_buffer;

static void
buffer_worker(actor *self)
{
    bounded_buffer *buffer = self->arg;
    atoll_lock *lock = buffer->job.lock;
    atoll_owner me = owner_of(self->index);
    bool produces = self->index % 2 == 0;
    for (int i = 0; i < buffer->total; i++) {
        atoll_wait wait = for_ever(&self->parker);
        atoll_status status;
        do {
            status = atoll_lock_lock(lock, me, &wait);
        } while (status == ATOLL_E_INTERRUPTED);
        CHECK(status == ATOLL_OK);
        while (produces ? buffer->items == 2 : buffer->items == 0) {
            CHECK(wait_on(buffer->job.condition, self, ATOLL_FOREVER)
                  == ATOLL_OK);
        }
        buffer->items += produces ? 1 : -1;
        buffer->consumed += !produces;
        CHECK(atoll_condition_notify(buffer->job.condition, me, UINT64_MAX)
              == ATOLL_OK);
        CHECK(atoll_lock_unlock(lock, me) == ATOLL_OK);
    }
}

static void
test_condition_stress(void)
{
    bounded_buffer buffer = {.job = new_condition(true), .total = 3000};
    actor actors[4];
    for (int i = 0; i < 4; i++) {
        actors[i].index = i;
        actor_start(&actors[i], buffer_worker, &buffer);
    }
    uint64_t seed = test_seed("condition");
    while (buffer.consumed < 2 * buffer.total) {
        /* Interruptions change nothing. */
        atoll_parker_interrupt(&actors[test_random(&seed) % 4].parker);
        sched_yield();
    }
    for (int i = 0; i < 4; i++) {
        actor_join(&actors[i]);
    }
    CHECK(buffer.items == 0);
    end_condition(&buffer.job);
}

/* --- Barrier --- */

typedef struct barrier_job {
    atoll_barrier *barrier;
    bool has_action;
    bool action_fails;
    bool gives_up;
    int64_t deadline;
    _Atomic int actions;
    _Atomic int indexes; /* bit set */
} barrier_job;

static atoll_status
arrive(barrier_job *job, actor *self)
{
    atoll_wait wait = {&self->parker, job->deadline, 0};
    atoll_barrier_wait state = {.stage = 0};
    atoll_status status;
    do {
        status = atoll_barrier_arrive(job->barrier, job->has_action, &wait,
                                      &state);
        if (status == ATOLL_E_INTERRUPTED && job->gives_up) {
            atoll_barrier_give_up(job->barrier, &state);
            return status;
        }
        self->step += status == ATOLL_E_INTERRUPTED;
    } while (status == ATOLL_E_INTERRUPTED);
    if (status == ATOLL_OK) {
        job->indexes |= 1 << state.index;
        if (state.act) {
            job->actions++;
            status = atoll_barrier_finish(job->barrier, &state,
                                          !job->action_fails);
        }
    }
    return status;
}

static void
arrive_once(actor *self)
{
    self->status = arrive(self->arg, self);
}

static barrier_job
new_barrier(uint64_t parties)
{
    barrier_job job = {.deadline = ATOLL_FOREVER};
    NEED(atoll_barrier_new(parties, &job.barrier) == ATOLL_OK);
    CHECK(atoll_barrier_parties(job.barrier) == parties);
    CHECK(atoll_barrier_id(job.barrier) > 0);
    return job;
}

static void
test_barrier(void)
{
    atoll_barrier *none = NULL;
    CHECK(atoll_barrier_new(0, &none) == ATOLL_E_VALUE);
    for (int has_action = 0; has_action < 2; has_action++) {
        barrier_job job = new_barrier(4);
        job.has_action = has_action;
        for (int round = 0; round < 20; round++) {
            actor actors[4];
            job.indexes = 0;
            for (size_t i = 0; i < 4; i++) {
                actor_start(&actors[i], arrive_once, &job);
                if (i < 3) {
                    UNTIL(atoll_barrier_waiting(job.barrier) == i + 1);
                    atoll_parker_interrupt(&actors[i].parker);
                    UNTIL(actors[i].step == 1);
                }
            }
            for (size_t i = 0; i < 4; i++) {
                actor_join(&actors[i]);
                CHECK(actors[i].status == ATOLL_OK);
            }
            CHECK(job.indexes == 15);
            CHECK(job.actions == (has_action ? round + 1 : 0));
            CHECK(atoll_barrier_waiting(job.barrier) == 0);
        }
        atoll_barrier_release(job.barrier);
    }
    /* One party never waits. */
    barrier_job job = new_barrier(1);
    actor self = {.index = 0};
    NEED(atoll_parker_init(&self.parker) == ATOLL_OK);
    CHECK(arrive(&job, &self) == ATOLL_OK);
    job.has_action = true;
    CHECK(arrive(&job, &self) == ATOLL_OK);
    atoll_parker_fini(&self.parker);
    CHECK(job.actions == 1);
    atoll_barrier_release(job.barrier);
}

static void
test_barrier_breaks(void)
{
    for (int how = 0; how < 4; how++) {
        barrier_job job = new_barrier(3);
        actor actors[2];
        for (size_t i = 0; i < 2; i++) {
            actor_start(&actors[i], arrive_once, &job);
        }
        UNTIL(atoll_barrier_waiting(job.barrier) == 2);
        bool broken = true;
        barrier_job late = job;
        actor self = {.index = 0};
        NEED(atoll_parker_init(&self.parker) == ATOLL_OK);
        atoll_barrier_wait state = {.stage = 0};
        switch (how) {
        case 0:
            atoll_barrier_abort(job.barrier);
            break;
        case 1:
            atoll_barrier_reset(job.barrier);
            broken = false;
            break;
        case 2: /* the action fails */
            late.has_action = true;
            late.action_fails = true;
            CHECK(arrive(&late, &self) == ATOLL_OK);
            break;
        default:
            /* It would have to wait, and may not. */
            atoll_barrier_abort(job.barrier);
            CHECK(atoll_barrier_arrive(job.barrier, false, NULL, &state)
                  == ATOLL_E_BROKEN);
        }
        for (size_t i = 0; i < 2; i++) {
            actor_join(&actors[i]);
            CHECK(actors[i].status == ATOLL_E_BROKEN);
        }
        CHECK(atoll_barrier_broken(job.barrier) == broken);
        CHECK(atoll_barrier_waiting(job.barrier) == 0);
        if (broken) {
            CHECK(arrive(&job, &self) == ATOLL_E_BROKEN);
        }
        atoll_barrier_reset(job.barrier);
        CHECK(!atoll_barrier_broken(job.barrier));
        /* A late one breaks it. */
        late.deadline = atoll_now() + 1000;
        CHECK(arrive(&late, &self) == ATOLL_E_BROKEN);
        CHECK(atoll_barrier_broken(job.barrier));
        atoll_parker_fini(&self.parker);
        atoll_barrier_release(job.barrier);
    }
}

/* Who gives up leaves; the others go on waiting for another. */
static void
test_barrier_give_up(void)
{
    barrier_job job = new_barrier(2);
    barrier_job leaving = job;
    leaving.gives_up = true;
    actor one, two, three;
    actor_start(&one, arrive_once, &leaving);
    UNTIL(atoll_barrier_waiting(job.barrier) == 1);
    atoll_parker_interrupt(&one.parker);
    actor_join(&one);
    CHECK(one.status == ATOLL_E_INTERRUPTED);
    CHECK(atoll_barrier_waiting(job.barrier) == 0);
    CHECK(!atoll_barrier_broken(job.barrier));
    actor_start(&two, arrive_once, &job);
    actor_start(&three, arrive_once, &job);
    actor_join(&two);
    actor_join(&three);
    CHECK(two.status == ATOLL_OK && three.status == ATOLL_OK);
    CHECK(job.indexes == 3);
    atoll_barrier_release(job.barrier);
}

/* While an action runs: newcomers wait for the next round, even a whole round
 * of them; a reset makes the action end in vain. */
static void
test_barrier_during_action(void)
{
    barrier_job job = new_barrier(2);
    job.has_action = true;
    for (int reset = 0; reset < 2; reset++) {
        actor one, two, three;
        atoll_wait wait = for_ever(test_parker());
        atoll_barrier_wait state = {.stage = 0};
        job.actions = 0;
        actor_start(&one, arrive_once, &job);
        UNTIL(atoll_barrier_waiting(job.barrier) == 1);
        CHECK(atoll_barrier_arrive(job.barrier, true, &wait, &state)
              == ATOLL_OK);
        CHECK(state.act && state.index == 1);
        CHECK(atoll_barrier_waiting(job.barrier) == 0);
        actor_start(&two, arrive_once, &job);
        actor_start(&three, arrive_once, &job);
        UNTIL(atoll_barrier_waiting(job.barrier) == 2);
        /* Interrupted while it is held: it still belongs to its round. */
        atoll_parker_interrupt(&one.parker);
        UNTIL(one.step == 1);
        if (reset) {
            atoll_barrier_reset(job.barrier);
            CHECK(atoll_barrier_finish(job.barrier, &state, true)
                  == ATOLL_E_BROKEN);
            CHECK(!atoll_barrier_broken(job.barrier));
        }
        else {
            CHECK(atoll_barrier_finish(job.barrier, &state, true) == ATOLL_OK);
        }
        actor_join(&one);
        actor_join(&two);
        actor_join(&three);
        atoll_status expected = reset ? ATOLL_E_BROKEN : ATOLL_OK;
        CHECK(one.status == expected);
        CHECK(two.status == expected);
        CHECK(three.status == expected);
        CHECK(job.actions == !reset); /* one of the two newcomers */
    }
    atoll_barrier_release(job.barrier);
}

/* --- AtomicInt --- */

static void
add_many(actor *self)
{
    for (int i = 0; i < 100000; i++) {
        (void)atoll_atomic_add(self->arg, 3);
    }
}

static void
test_atomic(void)
{
    atoll_atomic *atomic;
    NEED(atoll_atomic_new(-5, &atomic) == ATOLL_OK);
    CHECK(atoll_atomic_load(atomic) == -5);
    CHECK(atoll_atomic_add(atomic, 7) == -5);
    CHECK(atoll_atomic_exchange(atomic, 100) == 2);
    int64_t expected = 99;
    CHECK(!atoll_atomic_compare_exchange(atomic, &expected, 1));
    CHECK(expected == 100);
    CHECK(atoll_atomic_compare_exchange(atomic, &expected, INT64_MAX));
    CHECK(atoll_atomic_add(atomic, 1) == INT64_MAX);
    CHECK(atoll_atomic_load(atomic) == INT64_MIN);
    atoll_atomic_store(atomic, 0);
    actor actors[3];
    for (int i = 0; i < 3; i++) {
        actor_start(&actors[i], add_many, atomic);
    }
    for (int i = 0; i < 3; i++) {
        actor_join(&actors[i]);
    }
    CHECK(atoll_atomic_load(atomic) == 900000);
    atoll_atomic_acquire(atomic);
    atoll_atomic_release(atomic);
    atoll_atomic_release(atomic);
    CHECK(atoll_sync_live() == 0);
}

/* --- All --- */

static void
test_allocation_failures(void)
{
    atoll_lock *lock;
    atoll_semaphore *semaphore;
    atoll_event *event;
    atoll_condition *condition;
    atoll_barrier *barrier;
    atoll_atomic *atomic;
    atoll_lock *good = new_lock(false);
    (void)atoll_fail_allocation(1, true);
    CHECK(atoll_lock_new(true, &lock) == ATOLL_E_NOMEM);
    CHECK(atoll_semaphore_new(1, true, &semaphore) == ATOLL_E_NOMEM);
    CHECK(atoll_event_new(&event) == ATOLL_E_NOMEM);
    CHECK(atoll_condition_new(good, &condition) == ATOLL_E_NOMEM);
    CHECK(atoll_barrier_new(1, &barrier) == ATOLL_E_NOMEM);
    CHECK(atoll_atomic_new(1, &atomic) == ATOLL_E_NOMEM);
    (void)atoll_fail_allocation(0, false);
    atoll_lock_release(good);
    CHECK(atoll_sync_live() == 0);
}

static void
test_in_frames(void)
{
    atoll_lock *lock = new_lock(true);
    atoll_semaphore *semaphore;
    atoll_event *event;
    atoll_condition *condition;
    atoll_barrier *barrier;
    atoll_atomic *atomic;
    NEED(atoll_semaphore_new(1, true, &semaphore) == ATOLL_OK);
    NEED(atoll_event_new(&event) == ATOLL_OK);
    NEED(atoll_condition_new(lock, &condition) == ATOLL_OK);
    NEED(atoll_barrier_new(2, &barrier) == ATOLL_OK);
    NEED(atoll_atomic_new(2, &atomic) == ATOLL_OK);
    atoll_frame *frame = frame_of(0);
    const atoll_attachment all[] = {
        {&atoll_lock_ops, lock},       {&atoll_semaphore_ops, semaphore},
        {&atoll_event_ops, event},     {&atoll_condition_ops, condition},
        {&atoll_barrier_ops, barrier}, {&atoll_atomic_ops, atomic},
    };
    for (int i = 0; i < 6; i++) {
        uint32_t index;
        CHECK(all[i].ops->name != NULL);
        all[i].ops->acquire(all[i].ptr);
        NEED(atoll_frame_attach(frame, all[i].ops, all[i].ptr, &index)
             == ATOLL_OK);
    }
    atoll_lock_acquire(lock);
    atoll_lock_release(lock);
    atoll_lock_release(lock);
    atoll_semaphore_acquire(semaphore);
    atoll_semaphore_release(semaphore);
    atoll_semaphore_release(semaphore);
    atoll_event_acquire(event);
    atoll_event_release(event);
    atoll_event_release(event);
    atoll_condition_acquire(condition);
    atoll_condition_release(condition);
    atoll_condition_release(condition);
    atoll_barrier_acquire(barrier);
    atoll_barrier_release(barrier);
    atoll_barrier_release(barrier);
    atoll_atomic_release(atomic);
    CHECK(atoll_sync_live() == 6);
    atoll_frame_release(frame);
    CHECK(atoll_sync_live() == 0);
}

#if !TEST_TSAN /* which does not support a child of a process with threads */
static void
test_fork(void)
{
    atoll_lock *mine = new_lock(true);
    atoll_lock *theirs = new_lock(false);
    atoll_owner me = owner_of(0);
    CHECK(atoll_lock_lock(mine, me, NULL) == ATOLL_OK);
    CHECK(atoll_lock_lock(theirs, owner_of(4), NULL) == ATOLL_OK);
    actor waiter = {.index = 4};
    actor_start(&waiter, lock_once, mine);
    UNTIL(in_line(mine) == 1);
    barrier_job job = new_barrier(2);
    actor party;
    actor_start(&party, arrive_once, &job);
    UNTIL(atoll_barrier_waiting(job.barrier) == 1);
    atoll_sync_before_fork();
    pid_t child = fork();
    if (child == 0) {
        atoll_sync_after_fork(0);
        bool ok = atoll_lock_is_owned(mine, me);
        ok = ok && atoll_lock_unlock(mine, me) == ATOLL_OK;
        ok = ok && !atoll_lock_is_locked(mine);
        ok = ok && atoll_lock_lock(mine, me, NULL) == ATOLL_OK;
        ok = ok && atoll_lock_owner_died(theirs);
        atoll_lock_reset(theirs);
        ok = ok && atoll_lock_lock(theirs, me, NULL) == ATOLL_OK;
        ok = ok && atoll_barrier_waiting(job.barrier) == 0;
        _exit(ok ? 0 : 1);
    }
    atoll_sync_parent_after_fork();
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(!atoll_lock_owner_died(theirs));
    CHECK(atoll_lock_unlock(theirs, me) == ATOLL_OK);
    CHECK(atoll_lock_unlock(mine, me) == ATOLL_OK);
    actor_join(&waiter);
    CHECK(waiter.status == ATOLL_OK);
    atoll_barrier_abort(job.barrier);
    actor_join(&party);
    atoll_barrier_release(job.barrier);
    atoll_lock_release(mine);
    atoll_lock_release(theirs);
}

#endif

int
main(int argc, char **argv)
{
    RUN(test_lock);
    RUN(test_recursive_lock);
    RUN(test_mutual_exclusion);
    RUN(test_no_starvation);
    RUN(test_owner_died);
    RUN(test_semaphore);
    RUN(test_event);
    RUN(test_condition);
    RUN(test_condition_timeout);
    RUN(test_condition_give_up);
    RUN(test_condition_owner_died);
    RUN(test_condition_stress);
    RUN(test_barrier);
    RUN(test_barrier_breaks);
    RUN(test_barrier_give_up);
    RUN(test_barrier_during_action);
    RUN(test_atomic);
    RUN(test_allocation_failures);
    RUN(test_in_frames);
#if !TEST_TSAN
    RUN(test_fork);
#endif
    return test_end();
}
