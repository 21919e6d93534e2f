/* Queues: order, hand-off, bounds, waiting, select, shutdown, join, policies,
 * references and cycles, fork. */
#include "test.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../src/core/queue_private.h"

static atoll_queue *
new_queue(int64_t maxsize)
{
    atoll_queue *queue = NULL;
    NEED(atoll_queue_new(maxsize, ATOLL_UNBOUND_KEEP, &queue) == ATOLL_OK);
    return queue;
}

static size_t
in_line(atoll_queue *queue, const atoll_line *line)
{
    size_t count = 0;
    atoll_mutex_lock(&queue->lock);
    for (atoll_waiter *at = line->first; at != NULL; at = at->next) {
        count++;
    }
    atoll_mutex_unlock(&queue->lock);
    return count;
}

static atoll_wait
for_ever(atoll_parker *parker)
{
    return (atoll_wait){parker, ATOLL_FOREVER, 0};
}

static void
put(atoll_queue *queue, uint64_t value)
{
    CHECK(atoll_queue_put(queue, frame_of(value), NULL) == ATOLL_OK);
}

static uint64_t
get(atoll_queue *queue)
{
    atoll_frame *frame = NULL;
    CHECK(atoll_queue_get(queue, NULL, &frame) == ATOLL_OK);
    return frame == NULL ? UINT64_MAX : take_value(frame);
}

static atoll_frame *
list_of(uint64_t first, size_t count)
{
    frame_list list = {0};
    for (size_t i = 0; i < count; i++) {
        frame_list_push(&list, frame_of(first + i));
    }
    return list.first;
}

/* --- One thread --- */

static void
test_fifo(void)
{
    atoll_queue *queue = new_queue(0);
    for (uint64_t i = 0; i < 100; i++) {
        put(queue, i);
    }
    CHECK(atoll_queue_size(queue) == 100);
    CHECK(!atoll_queue_full(queue));
    for (uint64_t i = 0; i < 100; i++) {
        CHECK(get(queue) == i);
    }
    atoll_frame *frame = NULL;
    CHECK(atoll_queue_get(queue, NULL, &frame) == ATOLL_E_EMPTY);
    CHECK(frame == NULL);
    atoll_queue_release(queue);
}

static void
test_bounds(void)
{
    atoll_queue *queue = new_queue(2);
    put(queue, 1);
    CHECK(!atoll_queue_full(queue));
    put(queue, 2);
    CHECK(atoll_queue_full(queue));
    atoll_frame *frame = frame_of(3);
    CHECK(atoll_queue_put(queue, frame, NULL) == ATOLL_E_FULL);
    atoll_wait wait = {test_parker(), 0, 0};
    CHECK(atoll_queue_put(queue, frame, &wait) == ATOLL_E_TIMEOUT);
    wait.deadline = atoll_now() + 1000;
    CHECK(atoll_queue_put(queue, frame, &wait) == ATOLL_E_TIMEOUT);
    CHECK(in_line(queue, &queue->putters) == 0);
    CHECK(get(queue) == 1);
    CHECK(atoll_queue_put(queue, frame, NULL) == ATOLL_OK);
    CHECK(get(queue) == 2);
    CHECK(get(queue) == 3);
    CHECK(atoll_queue_maxsize(queue) == 2);
    atoll_queue_release(queue);

    queue = new_queue(-5);
    CHECK(atoll_queue_maxsize(queue) == -5);
    put(queue, 1);
    CHECK(!atoll_queue_full(queue));
    atoll_queue_release(queue);
    queue = new_queue(INT64_MAX);
    put(queue, 1);
    CHECK(!atoll_queue_full(queue));
    atoll_queue_release(queue);
}

static void
test_deadlines(void)
{
    atoll_queue *queue = new_queue(0);
    atoll_frame *frame = NULL;
    atoll_wait wait = {test_parker(), 0, 0};
    CHECK(atoll_queue_get(queue, &wait, &frame) == ATOLL_E_TIMEOUT);
    wait.deadline = atoll_now() - SECOND;
    CHECK(atoll_queue_get(queue, &wait, &frame) == ATOLL_E_TIMEOUT);
    int64_t begin = atoll_now();
    wait.deadline = begin + SECOND / 50;
    CHECK(atoll_queue_get(queue, &wait, &frame) == ATOLL_E_TIMEOUT);
    CHECK(atoll_now() >= begin + SECOND / 50);
    CHECK(in_line(queue, &queue->getters) == 0);
    /* Late or not, an item that is there is got. */
    put(queue, 7);
    wait.deadline = 0;
    CHECK(atoll_queue_get(queue, &wait, &frame) == ATOLL_OK);
    CHECK(take_value(frame) == 7);
    atoll_queue_release(queue);
}

static void
test_many(void)
{
    atoll_queue *queue = new_queue(0);
    atoll_frame *frames = list_of(0, 10);
    size_t done = 99;
    CHECK(atoll_queue_put_many(queue, &frames, NULL, &done) == ATOLL_OK);
    CHECK(done == 10 && frames == NULL);
    CHECK(atoll_queue_get_many(queue, 4, NULL, &frames, &done) == ATOLL_OK);
    CHECK(done == 4);
    for (uint64_t i = 0; i < 4; i++) {
        atoll_frame *next = frames->next;
        CHECK(take_value(frames) == i);
        frames = next;
    }
    CHECK(frames == NULL);
    CHECK(atoll_queue_get_many(queue, 100, NULL, &frames, &done) == ATOLL_OK);
    CHECK(done == 6);
    queue_release_frames(frames);
    CHECK(atoll_queue_get_many(queue, 1, NULL, &frames, &done)
          == ATOLL_E_EMPTY);
    frames = NULL;
    CHECK(atoll_queue_put_many(queue, &frames, NULL, &done) == ATOLL_OK);
    CHECK(done == 0);
    atoll_queue_release(queue);

    queue = new_queue(3);
    frames = list_of(0, 5);
    CHECK(atoll_queue_put_many(queue, &frames, NULL, &done) == ATOLL_E_FULL);
    CHECK(done == 3);
    CHECK(frames != NULL && value_of(frames) == 3);
    CHECK(get(queue) == 0);
    atoll_wait wait = {test_parker(), 0, 0};
    CHECK(atoll_queue_put_many(queue, &frames, &wait, &done)
          == ATOLL_E_TIMEOUT);
    CHECK(done == 1);
    CHECK(frames != NULL && value_of(frames) == 4 && frames->next == NULL);
    queue_release_frames(frames);
    atoll_queue_release(queue);
}

static void
test_unget(void)
{
    atoll_queue *queue = new_queue(2);
    put(queue, 1);
    put(queue, 2);
    atoll_frame *frames;
    size_t count;
    NEED(atoll_queue_get_many(queue, 2, NULL, &frames, &count) == ATOLL_OK);
    put(queue, 3);
    put(queue, 4);
    atoll_queue_unget(queue, frames);
    CHECK(atoll_queue_size(queue) == 4);
    CHECK(atoll_queue_full(queue));
    for (uint64_t i = 1; i <= 4; i++) {
        CHECK(get(queue) == i);
    }
    CHECK(atoll_queue_unfinished(queue) == 4);
    atoll_queue_unget(queue, NULL);
    /* Into an empty queue, and again out of it. */
    atoll_queue_unget(queue, list_of(5, 2));
    CHECK(get(queue) == 5);
    CHECK(get(queue) == 6);
    atoll_queue_release(queue);
}

static void
test_shutdown(void)
{
    atoll_queue *queue = new_queue(0);
    put(queue, 1);
    put(queue, 2);
    CHECK(!atoll_queue_is_shutdown(queue));
    atoll_queue_shutdown(queue, false);
    CHECK(atoll_queue_is_shutdown(queue));
    atoll_frame *frame = frame_of(3);
    atoll_wait wait = for_ever(test_parker());
    CHECK(atoll_queue_put(queue, frame, &wait) == ATOLL_E_SHUTDOWN);
    size_t count = 9;
    CHECK(atoll_queue_put_many(queue, &frame, &wait, &count)
          == ATOLL_E_SHUTDOWN);
    CHECK(count == 0 && value_of(frame) == 3);
    atoll_frame_release(frame);
    CHECK(get(queue) == 1);
    bool ready;
    CHECK(atoll_queue_select(&queue, 1, &wait, &ready, &count) == ATOLL_OK);
    CHECK(ready && count == 1);
    /* Given back after the shutdown: still there. */
    NEED(atoll_queue_get(queue, NULL, &frame) == ATOLL_OK);
    atoll_queue_unget(queue, frame);
    CHECK(get(queue) == 2);
    CHECK(atoll_queue_get(queue, &wait, &frame) == ATOLL_E_SHUTDOWN);
    CHECK(atoll_queue_get_many(queue, 3, &wait, &frame, &count)
          == ATOLL_E_SHUTDOWN);
    CHECK(atoll_queue_select(&queue, 1, &wait, &ready, &count) == ATOLL_OK);
    CHECK(ready);
    atoll_queue_release(queue);

    queue = new_queue(0);
    put(queue, 1);
    put(queue, 2);
    NEED(atoll_queue_get(queue, NULL, &frame) == ATOLL_OK);
    atoll_queue_shutdown(queue, true);
    CHECK(atoll_queue_size(queue) == 0);
    CHECK(atoll_queue_unfinished(queue) == 1);
    /* Given back after an immediate shutdown: dropped, and done. */
    atoll_queue_unget(queue, frame);
    CHECK(atoll_queue_size(queue) == 0);
    CHECK(atoll_queue_unfinished(queue) == 0);
    CHECK(atoll_queue_get(queue, NULL, &frame) == ATOLL_E_SHUTDOWN);
    atoll_queue_release(queue);
}

static void
test_task_done(void)
{
    atoll_queue *queue = new_queue(0);
    CHECK(atoll_queue_task_done(queue) == ATOLL_E_VALUE);
    CHECK(atoll_queue_join(queue, NULL) == ATOLL_OK);
    put(queue, 1);
    atoll_wait wait = {test_parker(), 0, 0};
    CHECK(atoll_queue_join(queue, NULL) == ATOLL_E_BUSY);
    CHECK(atoll_queue_join(queue, &wait) == ATOLL_E_TIMEOUT);
    wait.deadline = atoll_now() + 1000;
    CHECK(atoll_queue_join(queue, &wait) == ATOLL_E_TIMEOUT);
    CHECK(get(queue) == 1);
    CHECK(atoll_queue_join(queue, NULL) == ATOLL_E_BUSY);
    CHECK(atoll_queue_task_done(queue) == ATOLL_OK);
    CHECK(atoll_queue_join(queue, NULL) == ATOLL_OK);
    CHECK(atoll_queue_task_done(queue) == ATOLL_E_VALUE);
    atoll_queue_release(queue);
}

static void
test_allocation_failures(void)
{
    atoll_queue *queue = NULL;
    uint64_t before = atoll_queue_live();
    (void)atoll_fail_allocation(1, false);
    CHECK(atoll_queue_new(0, ATOLL_UNBOUND_KEEP, &queue) == ATOLL_E_NOMEM);
    CHECK(queue == NULL);
    CHECK(atoll_queue_live() == before);
    (void)atoll_fail_allocation(0, false);

    /* Put and get need no memory. */
    queue = new_queue(0);
    atoll_frame *frame = frame_of(5);
    (void)atoll_fail_allocation(1, true);
    CHECK(atoll_queue_put(queue, frame, NULL) == ATOLL_OK);
    CHECK(atoll_queue_get(queue, NULL, &frame) == ATOLL_OK);
    (void)atoll_fail_allocation(0, false);
    CHECK(take_value(frame) == 5);

    /* Selecting among many does. */
    atoll_queue *queues[40];
    bool ready[40];
    size_t count;
    for (int i = 0; i < 40; i++) {
        queues[i] = queue;
    }
    atoll_wait wait = {test_parker(), atoll_now() + 1000, 0};
    (void)atoll_fail_allocation(1, true);
    CHECK(atoll_queue_select(queues, 40, &wait, ready, &count)
          == ATOLL_E_NOMEM);
    (void)atoll_fail_allocation(0, false);
    CHECK(atoll_queue_select(queues, 40, &wait, ready, &count)
          == ATOLL_E_TIMEOUT);
    CHECK(in_line(queue, &queue->watchers) == 0);
    put(queue, 1);
    CHECK(atoll_queue_select(queues, 40, &wait, ready, &count) == ATOLL_OK);
    CHECK(count == 40);
    atoll_queue_release(queue);

    /* The table grows only if it can. */
    (void)atoll_fail_allocation(0, false);
    atoll_queue *some[200];
    for (int i = 0; i < 200; i++) {
        (void)atoll_fail_allocation(2, true);
        CHECK(atoll_queue_new(0, ATOLL_UNBOUND_KEEP, &some[i]) == ATOLL_OK);
    }
    (void)atoll_fail_allocation(0, false);
    for (int i = 0; i < 200; i++) {
        CHECK(atoll_queue_find(atoll_queue_id(some[i]), &queue) == ATOLL_OK);
        CHECK(queue == some[i]);
        atoll_queue_release(queue);
        atoll_queue_release(some[i]);
    }
    CHECK(atoll_queue_live() == before);
}

static void
test_find(void)
{
    atoll_queue *queues[300];
    for (int i = 0; i < 300; i++) {
        queues[i] = new_queue(i);
    }
    for (int i = 0; i < 300; i++) {
        atoll_queue *found;
        CHECK(atoll_queue_find(atoll_queue_id(queues[i]), &found) == ATOLL_OK);
        CHECK(found == queues[i]);
        atoll_queue_release(found);
    }
    for (int i = 0; i < 300; i++) {
        uint64_t id = atoll_queue_id(queues[i]);
        atoll_queue *found;
        atoll_queue_release(queues[i]);
        CHECK(atoll_queue_find(id, &found) == ATOLL_E_NOTFOUND);
    }
    atoll_queue *found;
    CHECK(atoll_queue_find(0, &found) == ATOLL_E_NOTFOUND);
    CHECK(atoll_queue_find(UINT64_MAX, &found) == ATOLL_E_NOTFOUND);
}

/* --- Several threads --- */

static void
get_one(actor *self)
{
    atoll_wait wait = for_ever(&self->parker);
    atoll_frame *frame = NULL;
    self->status = atoll_queue_get(self->arg, &wait, &frame);
    self->index = frame == NULL ? -1 : (int)take_value(frame);
    self->step = 1;
}

static void
put_one(actor *self)
{
    atoll_wait wait = for_ever(&self->parker);
    atoll_frame *frame = frame_of((uint64_t)self->index);
    self->status = atoll_queue_put(self->arg, frame, &wait);
    if (self->status != ATOLL_OK) {
        CHECK(value_of(frame) == (uint64_t)self->index);
        atoll_frame_release(frame);
    }
    self->step = 1;
}

static void
test_longest_waiting_getter_first(void)
{
    atoll_queue *queue = new_queue(0);
    actor actors[5];
    for (size_t i = 0; i < 5; i++) {
        actor_start(&actors[i], get_one, queue);
        UNTIL(in_line(queue, &queue->getters) == i + 1);
    }
    for (int i = 0; i < 5; i++) {
        put(queue, (uint64_t)i);
        CHECK(atoll_queue_size(queue) == 0);
        CHECK(in_line(queue, &queue->getters) == 4 - (size_t)i);
    }
    for (int i = 0; i < 5; i++) {
        actor_join(&actors[i]);
        CHECK(actors[i].status == ATOLL_OK);
        CHECK(actors[i].index == i);
    }
    atoll_queue_release(queue);
}

static void
test_longest_waiting_putter_first(void)
{
    atoll_queue *queue = new_queue(1);
    put(queue, 100);
    actor actors[5];
    for (int i = 0; i < 5; i++) {
        actors[i].index = i;
        actor_start(&actors[i], put_one, queue);
        UNTIL(in_line(queue, &queue->putters) == (size_t)i + 1);
    }
    CHECK(get(queue) == 100);
    for (int i = 0; i < 5; i++) {
        CHECK(atoll_queue_size(queue) == 1);
        CHECK(get(queue) == (uint64_t)i);
    }
    for (int i = 0; i < 5; i++) {
        actor_join(&actors[i]);
        CHECK(actors[i].status == ATOLL_OK);
    }
    CHECK(atoll_queue_unfinished(queue) == 6);
    atoll_queue_release(queue);
}

static void
get_some(actor *self)
{
    atoll_wait wait = for_ever(&self->parker);
    atoll_frame *frames = NULL;
    size_t count = 0;
    self->status = atoll_queue_get_many(self->arg, (size_t)self->index, &wait,
                                        &frames, &count);
    self->index = (int)count;
    queue_release_frames(frames);
    self->step = 1;
}

static void
test_many_handed_over(void)
{
    atoll_queue *queue = new_queue(2);
    actor one, two;
    one.index = 3;
    actor_start(&one, get_some, queue);
    UNTIL(in_line(queue, &queue->getters) == 1);
    two.index = 100;
    actor_start(&two, get_some, queue);
    UNTIL(in_line(queue, &queue->getters) == 2);
    atoll_frame *frames = list_of(0, 10);
    size_t done;
    CHECK(atoll_queue_put_many(queue, &frames, NULL, &done) == ATOLL_OK);
    CHECK(done == 10);
    actor_join(&one);
    actor_join(&two);
    CHECK(one.index == 3);
    CHECK(two.index == 7);
    CHECK(atoll_queue_size(queue) == 0);
    atoll_queue_release(queue);
}

static void
put_hundred(actor *self)
{
    atoll_wait wait = for_ever(&self->parker);
    atoll_frame *frames = list_of(0, 100);
    size_t done = 0;
    self->status = atoll_queue_put_many(self->arg, &frames, &wait, &done);
    self->index = (int)done;
    queue_release_frames(frames);
    self->step = 1;
}

static void
test_put_many_waits(void)
{
    atoll_queue *queue = new_queue(3);
    actor putter;
    actor_start(&putter, put_hundred, queue);
    UNTIL(in_line(queue, &queue->putters) == 1);
    CHECK(atoll_queue_size(queue) == 3);
    for (uint64_t i = 0; i < 50; i++) {
        CHECK(get(queue) == i);
        CHECK(atoll_queue_size(queue) == 3);
    }
    /* All the rest at once, beyond what fits. */
    atoll_frame *frames;
    size_t count;
    CHECK(atoll_queue_get_many(queue, 40, NULL, &frames, &count) == ATOLL_OK);
    CHECK(count >= 3);
    uint64_t next = 50;
    while (frames != NULL) {
        atoll_frame *after = frames->next;
        CHECK(take_value(frames) == next++);
        frames = after;
    }
    while (next < 100) {
        CHECK(get(queue) == next++);
    }
    actor_join(&putter);
    CHECK(putter.status == ATOLL_OK);
    CHECK(putter.index == 100);

    /* Shut down in the middle: it tells how many. */
    actor_start(&putter, put_hundred, queue);
    UNTIL(in_line(queue, &queue->putters) == 1);
    CHECK(get(queue) == 0);
    atoll_queue_shutdown(queue, false);
    actor_join(&putter);
    CHECK(putter.status == ATOLL_E_SHUTDOWN);
    CHECK(putter.index == 4);
    atoll_queue_release(queue);
}

static void
join_all(actor *self)
{
    atoll_wait wait = for_ever(&self->parker);
    self->status = atoll_queue_join(self->arg, &wait);
    self->step = 1;
}

static void
select_one(actor *self)
{
    atoll_wait wait = for_ever(&self->parker);
    atoll_queue *queue = self->arg;
    bool ready = false;
    size_t count;
    self->status = atoll_queue_select(&queue, 1, &wait, &ready, &count);
    self->index = ready;
    self->step = 1;
}

static void
test_shutdown_wakes_all(void)
{
    for (int immediate = 0; immediate < 2; immediate++) {
        atoll_queue *queue = new_queue(1);
        actor getters[3], watcher, joiner;
        for (size_t i = 0; i < 3; i++) {
            actor_start(&getters[i], get_one, queue);
        }
        actor_start(&watcher, select_one, queue);
        UNTIL(in_line(queue, &queue->getters) == 3);
        UNTIL(in_line(queue, &queue->watchers) == 1);
        atoll_queue_shutdown(queue, immediate);
        for (size_t i = 0; i < 3; i++) {
            actor_join(&getters[i]);
            CHECK(getters[i].status == ATOLL_E_SHUTDOWN);
        }
        actor_join(&watcher);
        CHECK(watcher.status == ATOLL_OK && watcher.index == 1);
        atoll_queue_release(queue);

        queue = new_queue(1);
        put(queue, 1);
        actor putters[3];
        for (int i = 0; i < 3; i++) {
            putters[i].index = i;
            actor_start(&putters[i], put_one, queue);
        }
        actor_start(&joiner, join_all, queue);
        UNTIL(in_line(queue, &queue->putters) == 3);
        UNTIL(in_line(queue, &queue->joiners) == 1);
        atoll_queue_shutdown(queue, immediate);
        for (size_t i = 0; i < 3; i++) {
            actor_join(&putters[i]);
            CHECK(putters[i].status == ATOLL_E_SHUTDOWN);
        }
        if (!immediate) {
            CHECK(get(queue) == 1);
            CHECK(in_line(queue, &queue->joiners) == 1);
            CHECK(atoll_queue_task_done(queue) == ATOLL_OK);
        }
        actor_join(&joiner);
        CHECK(joiner.status == ATOLL_OK);
        atoll_queue_release(queue);
    }
}

static void
test_join_waits(void)
{
    atoll_queue *queue = new_queue(0);
    put(queue, 1);
    put(queue, 2);
    actor joiners[3];
    for (size_t i = 0; i < 3; i++) {
        actor_start(&joiners[i], join_all, queue);
    }
    UNTIL(in_line(queue, &queue->joiners) == 3);
    CHECK(atoll_queue_task_done(queue) == ATOLL_OK);
    CHECK(in_line(queue, &queue->joiners) == 3);
    CHECK(atoll_queue_task_done(queue) == ATOLL_OK);
    for (size_t i = 0; i < 3; i++) {
        actor_join(&joiners[i]);
        CHECK(joiners[i].status == ATOLL_OK);
    }
    atoll_queue_release(queue);
}

/* Waits on over interruptions, and tells how many there were. */
static void
get_patiently(actor *self)
{
    atoll_wait wait = for_ever(&self->parker);
    atoll_frame *frame = NULL;
    do {
        self->status = atoll_queue_get(self->arg, &wait, &frame);
        if (self->status == ATOLL_E_INTERRUPTED) {
            self->step++;
        }
    } while (self->status == ATOLL_E_INTERRUPTED);
    self->index = frame == NULL ? -1 : (int)take_value(frame);
}

static void
test_interruption_keeps_the_place(void)
{
    atoll_queue *queue = new_queue(0);
    actor actors[4];
    for (size_t i = 0; i < 4; i++) {
        actor_start(&actors[i], get_patiently, queue);
        UNTIL(in_line(queue, &queue->getters) == i + 1);
    }
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < 4; i += 2) {
            atoll_parker_interrupt(&actors[i].parker);
            UNTIL(actors[i].step == round);
            UNTIL(in_line(queue, &queue->getters) == 4);
        }
    }
    for (int i = 0; i < 4; i++) {
        put(queue, (uint64_t)i);
    }
    for (int i = 0; i < 4; i++) {
        actor_join(&actors[i]);
        CHECK(actors[i].index == i);
    }
    atoll_queue_release(queue);
}

static void
test_interrupt_before_waiting(void)
{
    atoll_queue *queue = new_queue(0);
    atoll_parker *parker = test_parker();
    atoll_wait wait = for_ever(parker);
    atoll_frame *frame;
    atoll_parker_interrupt(parker);
    CHECK(atoll_queue_get(queue, &wait, &frame) == ATOLL_E_INTERRUPTED);
    CHECK(in_line(queue, &queue->getters) == 0);
    /* An item that is there wins; the interrupt is kept for the next wait. */
    atoll_parker_interrupt(parker);
    put(queue, 1);
    CHECK(atoll_queue_get(queue, &wait, &frame) == ATOLL_OK);
    CHECK(take_value(frame) == 1);
    CHECK(atoll_queue_get(queue, &wait, &frame) == ATOLL_E_INTERRUPTED);
    atoll_queue_release(queue);
}

/* The item comes after the interruption, but before the waiter has left the
 * line: the item wins, and is not lost. */
static void
test_grant_beats_interruption(void)
{
    atoll_queue *queue = new_queue(0);
    for (int i = 0; i < 20; i++) {
        actor getter;
        actor_start(&getter, get_one, queue);
        UNTIL(in_line(queue, &queue->getters) == 1);
        queue_wakes wakes;
        queue_wakes_init(&wakes);
        atoll_mutex_lock(&queue->lock);
        atoll_parker_interrupt(&getter.parker);
        /* It has seen the interruption when its word is empty again; now it
         * waits for the lock. */
        UNTIL(atomic_load(&getter.parker.state) == 0);
        CHECK(queue_offer(queue, frame_of(5), &wakes) == ATOLL_OK);
        atoll_mutex_unlock(&queue->lock);
        queue_wakes_send(&wakes);
        actor_join(&getter);
        CHECK(getter.status == ATOLL_OK && getter.index == 5);
        CHECK(atoll_queue_size(queue) == 0);
    }
    atoll_queue_release(queue);
}

/* --- select --- */

static void
test_select(void)
{
    atoll_queue *queues[3] = {new_queue(0), new_queue(0), new_queue(0)};
    bool ready[3] = {true, true, true};
    size_t count = 9;
    atoll_wait wait = {test_parker(), 0, 0};
    CHECK(atoll_queue_select(queues, 0, &wait, ready, &count) == ATOLL_OK);
    CHECK(count == 0);
    CHECK(atoll_queue_select(queues, 3, NULL, ready, &count) == ATOLL_E_EMPTY);
    CHECK(count == 0 && !ready[0] && !ready[1] && !ready[2]);
    CHECK(atoll_queue_select(queues, 3, &wait, ready, &count)
          == ATOLL_E_TIMEOUT);
    wait.deadline = atoll_now() + SECOND / 100;
    CHECK(atoll_queue_select(queues, 3, &wait, ready, &count)
          == ATOLL_E_TIMEOUT);
    put(queues[1], 1);
    CHECK(atoll_queue_select(queues, 3, &wait, ready, &count) == ATOLL_OK);
    CHECK(count == 1 && !ready[0] && ready[1] && !ready[2]);
    put(queues[2], 2);
    CHECK(atoll_queue_select(queues, 3, &wait, ready, &count) == ATOLL_OK);
    CHECK(count == 2 && ready[1] && ready[2]);
    for (int i = 0; i < 3; i++) {
        CHECK(in_line(queues[i], &queues[i]->watchers) == 0);
        atoll_queue_release(queues[i]);
    }
}

typedef struct select_job {
    atoll_queue *queues[2];
    size_t count;
    bool ready[2];
    size_t nready;
} select_job;

static void
select_job_run(actor *self)
{
    atoll_wait wait = for_ever(&self->parker);
    select_job *job = self->arg;
    self->status = atoll_queue_select(job->queues, job->count, &wait,
                                      job->ready, &job->nready);
    self->step = 1;
}

/* The pass-on rule: a waiter that leaves the item wakes the next one. */
static void
test_select_passes_on(void)
{
    atoll_queue *queue = new_queue(0);
    actor actors[4];
    select_job jobs[4];
    for (size_t i = 0; i < 4; i++) {
        jobs[i] = (select_job){.queues = {queue}, .count = 1};
        actor_start(&actors[i], select_job_run, &jobs[i]);
        UNTIL(in_line(queue, &queue->watchers) == i + 1);
    }
    put(queue, 1); /* one item, and nobody ever takes it */
    for (size_t i = 0; i < 4; i++) {
        actor_join(&actors[i]);
        CHECK(actors[i].status == ATOLL_OK && jobs[i].ready[0]);
    }
    CHECK(get(queue) == 1);
    atoll_queue_release(queue);
}

static void
test_select_two_queues(void)
{
    atoll_queue *a = new_queue(0);
    atoll_queue *b = new_queue(0);
    actor both, only_b;
    select_job job_both = {.queues = {a, b}, .count = 2};
    select_job job_b = {.queues = {b}, .count = 1};
    actor_start(&both, select_job_run, &job_both);
    UNTIL(in_line(a, &a->watchers) == 1 && in_line(b, &b->watchers) == 1);
    actor_start(&only_b, select_job_run, &job_b);
    UNTIL(in_line(b, &b->watchers) == 2);
    put(a, 1);
    actor_join(&both);
    CHECK(job_both.ready[0] && job_both.nready >= 1);
    /* It has left b's line, and the other one is still served there. */
    CHECK(in_line(b, &b->watchers) == 1);
    put(b, 2);
    actor_join(&only_b);
    CHECK(job_b.ready[0]);
    atoll_queue_release(a);
    atoll_queue_release(b);
}

/* A getter takes the item: the watcher is not disturbed, or sleeps on. */
static void
test_select_and_getter(void)
{
    atoll_queue *queue = new_queue(0);
    actor watcher, getter;
    actor_start(&watcher, select_one, queue);
    UNTIL(in_line(queue, &queue->watchers) == 1);
    actor_start(&getter, get_one, queue);
    UNTIL(in_line(queue, &queue->getters) == 1);
    put(queue, 5);
    actor_join(&getter);
    CHECK(getter.index == 5);
    CHECK(in_line(queue, &queue->watchers) == 1);
    CHECK(watcher.step == 0);
    put(queue, 6);
    actor_join(&watcher);
    CHECK(watcher.status == ATOLL_OK && watcher.index == 1);
    CHECK(get(queue) == 6);
    atoll_queue_release(queue);
}

static void
test_select_interrupted(void)
{
    atoll_queue *queue = new_queue(0);
    actor first, second;
    actor_start(&first, select_one, queue);
    UNTIL(in_line(queue, &queue->watchers) == 1);
    actor_start(&second, select_one, queue);
    UNTIL(in_line(queue, &queue->watchers) == 2);
    atoll_parker_interrupt(&first.parker);
    actor_join(&first);
    CHECK(first.status == ATOLL_E_INTERRUPTED);
    CHECK(in_line(queue, &queue->watchers) == 1);
    put(queue, 1);
    actor_join(&second);
    CHECK(second.status == ATOLL_OK);
    atoll_queue_release(queue);
}

/* --- Policies --- */

static void
put_from(atoll_queue *queue, uint64_t value, int64_t sender,
         atoll_unbound policy)
{
    atoll_frame *frame = frame_of(value);
    frame->sender = sender;
    frame->tag = policy;
    CHECK(atoll_queue_put(queue, frame, NULL) == ATOLL_OK);
}

static void
expect_item(atoll_queue *queue, uint64_t value, atoll_unbound lost)
{
    atoll_frame *frame = NULL;
    NEED(atoll_queue_get(queue, NULL, &frame) == ATOLL_OK);
    CHECK(atoll_queue_item_lost(frame) == lost);
    if (lost == ATOLL_UNBOUND_KEEP) {
        CHECK(value_of(frame) == value);
    }
    atoll_frame_release(frame);
}

static void
test_sender_died(void)
{
    for (int out_of_memory = 0; out_of_memory < 2; out_of_memory++) {
        atoll_queue *queue = new_queue(0);
        atoll_queue *other = new_queue(0);
        put_from(queue, 1, 7, ATOLL_UNBOUND_KEEP);
        put_from(queue, 2, 7, ATOLL_UNBOUND_REMOVE);
        put_from(queue, 3, 8, ATOLL_UNBOUND_REMOVE);
        put_from(queue, 4, 7, ATOLL_UNBOUND_ERROR);
        put_from(queue, 5, 7, ATOLL_UNBOUND_REPLACE);
        put_from(queue, 6, 7, ATOLL_UNBOUND_REMOVE);
        put_from(other, 7, 7, ATOLL_UNBOUND_REPLACE);
        if (out_of_memory) {
            (void)atoll_fail_allocation(1, true);
        }
        atoll_queue_sender_died(7);
        atoll_queue_sender_died(7);
        (void)atoll_fail_allocation(0, false);
        CHECK(atoll_queue_size(queue) == 4);
        CHECK(atoll_queue_unfinished(queue) == 4);
        expect_item(queue, 1, ATOLL_UNBOUND_KEEP);
        expect_item(queue, 3, ATOLL_UNBOUND_KEEP);
        expect_item(queue, 0, ATOLL_UNBOUND_ERROR);
        expect_item(queue, 0, ATOLL_UNBOUND_REPLACE);
        expect_item(other, 0, ATOLL_UNBOUND_REPLACE);
        put_from(queue, 9, 7, ATOLL_UNBOUND_ERROR);
        expect_item(queue, 9, ATOLL_UNBOUND_KEEP);
        atoll_queue_release(queue);
        atoll_queue_release(other);
    }
}

static void
test_sender_died_makes_room(void)
{
    atoll_queue *queue = new_queue(1);
    put_from(queue, 1, 7, ATOLL_UNBOUND_REMOVE);
    actor putter;
    putter.index = 2;
    actor_start(&putter, put_one, queue);
    UNTIL(in_line(queue, &queue->putters) == 1);
    atoll_queue_sender_died(7);
    actor_join(&putter);
    CHECK(putter.status == ATOLL_OK);
    CHECK(get(queue) == 2);
    CHECK(atoll_queue_policy(queue) == ATOLL_UNBOUND_KEEP);
    atoll_queue_release(queue);
    NEED(atoll_queue_new(0, ATOLL_UNBOUND_ERROR, &queue) == ATOLL_OK);
    CHECK(atoll_queue_policy(queue) == ATOLL_UNBOUND_ERROR);
    atoll_queue_release(queue);
}

/* --- References --- */

/* Puts into `queue` a frame that mentions `mentioned`. */
static void
put_mention(atoll_queue *queue, atoll_queue *mentioned)
{
    atoll_frame *frame = frame_of(0);
    uint32_t index;
    atoll_queue_ops.acquire(mentioned);
    NEED(atoll_frame_attach(frame, &atoll_queue_ops, mentioned, &index)
         == ATOLL_OK);
    CHECK(atoll_queue_put(queue, frame, NULL) == ATOLL_OK);
}

static void
test_queue_in_itself(void)
{
    uint64_t before = atoll_queue_live();
    atoll_queue *queue = new_queue(0);
    put_mention(queue, queue);
    put_mention(queue, queue);
    put(queue, 1);
    CHECK(atoll_queue_live() == before + 1);
    atoll_queue_release(queue);
    CHECK(atoll_queue_live() == before);
}

static void
test_queues_in_each_other(void)
{
    uint64_t before = atoll_queue_live();
    atoll_queue *queues[5];
    for (int i = 0; i < 5; i++) {
        queues[i] = new_queue(0);
    }
    for (int i = 0; i < 5; i++) {
        put_mention(queues[i], queues[(i + 1) % 5]);
        put_mention(queues[i], queues[(i + 3) % 5]);
    }
    for (int i = 0; i < 4; i++) {
        atoll_queue_release(queues[i]);
        CHECK(atoll_queue_live() == before + 5);
    }
    atoll_queue_release(queues[4]);
    CHECK(atoll_queue_live() == before);
}

/* Mentioned only by an item of a queue that lives: it lives, and so does its
 * own cycle; it is received, and then all goes. */
static void
test_reachable_through_a_queue(void)
{
    uint64_t before = atoll_queue_live();
    atoll_queue *outer = new_queue(0);
    atoll_queue *inner = new_queue(0);
    atoll_queue *deeper = new_queue(0);
    put_mention(inner, inner);
    put_mention(inner, deeper);
    put_mention(deeper, inner);
    put(deeper, 42);
    put_mention(outer, inner);
    uint64_t id = atoll_queue_id(inner);
    atoll_queue_release(inner);
    atoll_queue_release(deeper);
    CHECK(atoll_queue_live() == before + 3);
    /* As the binding receives it. */
    atoll_frame *frame;
    NEED(atoll_queue_get(outer, NULL, &frame) == ATOLL_OK);
    CHECK(frame->nrefs == 1);
    inner = frame->refs[0].ptr;
    atoll_queue_acquire(inner);
    atoll_frame_release(frame);
    CHECK(atoll_queue_id(inner) == id);
    CHECK(atoll_queue_size(inner) == 2);
    CHECK(atoll_queue_live() == before + 3);
    atoll_queue_release(inner);
    CHECK(atoll_queue_live() == before + 1);
    atoll_queue_release(outer);
    CHECK(atoll_queue_live() == before);
}

/* The last reference from outside is a frame that is never received. */
static void
test_frame_on_its_way(void)
{
    uint64_t before = atoll_queue_live();
    atoll_queue *outer = new_queue(0);
    atoll_queue *inner = new_queue(0);
    put_mention(inner, inner);
    put_mention(outer, inner);
    atoll_frame *frame;
    NEED(atoll_queue_get(outer, NULL, &frame) == ATOLL_OK);
    atoll_queue_release(inner);
    CHECK(atoll_queue_live() == before + 2);
    atoll_frame_release(frame);
    CHECK(atoll_queue_live() == before + 1);
    atoll_queue_release(outer);
    CHECK(atoll_queue_live() == before);

    /* Dropped with the queue that it lies in. */
    outer = new_queue(0);
    inner = new_queue(0);
    put_mention(inner, inner);
    put_mention(outer, inner);
    atoll_queue_release(inner);
    CHECK(atoll_queue_live() == before + 2);
    atoll_queue_shutdown(outer, true);
    CHECK(atoll_queue_live() == before + 1);
    atoll_queue_release(outer);
    CHECK(atoll_queue_live() == before);
}

static void
test_found_by_id_while_mentioned(void)
{
    uint64_t before = atoll_queue_live();
    atoll_queue *outer = new_queue(0);
    atoll_queue *inner = new_queue(0);
    put_mention(inner, inner);
    put_mention(outer, inner);
    uint64_t id = atoll_queue_id(inner);
    atoll_queue_release(inner);
    CHECK(atoll_queue_find(id, &inner) == ATOLL_OK);
    atoll_queue_release(outer);
    CHECK(atoll_queue_live() == before + 1);
    CHECK(atoll_queue_size(inner) == 1);
    atoll_queue_release(inner);
    CHECK(atoll_queue_live() == before);
}

/* Garbage that a search gave up on is found by later ones. */
static bool
all_goes(uint64_t before)
{
    for (int round = 0; round < 50 && atoll_queue_live() > before; round++) {
        atoll_queue *queue = new_queue(0);
        for (int i = 0; i < 300; i++) {
            put_mention(queue, queue);
        }
        atoll_queue_release(queue);
    }
    return atoll_queue_live() == before;
}

/* A long chain goes without recursion. */
static void
test_long_chain(void)
{
    uint64_t before = atoll_queue_live();
    atoll_queue *queue = new_queue(0);
    int length = TEST_SLOW ? 5000 : 30000;
    for (int i = 0; i < length; i++) {
        atoll_queue *outer = new_queue(0);
        put_mention(outer, queue);
        atoll_queue_release(queue);
        queue = outer;
    }
    CHECK(atoll_queue_live() == before + (uint64_t)length + 1);
    atoll_queue_release(queue);
    CHECK(atoll_queue_live() == before);
    /* The same, closed to a ring. */
    atoll_queue *first = new_queue(0);
    queue = first;
    for (int i = 0; i < 1000; i++) {
        atoll_queue *outer = new_queue(0);
        put_mention(outer, queue);
        if (queue != first) {
            atoll_queue_release(queue);
        }
        queue = outer;
    }
    put_mention(first, queue);
    atoll_queue_release(queue);
    CHECK(atoll_queue_live() == before + 1001);
    atoll_queue_release(first);
    CHECK(all_goes(before));
}

/* More garbage than a search looks at: found, beside much that lives, too. */
static void
test_large_cycles(void)
{
    uint64_t before = atoll_queue_live();
    atoll_queue *queue = new_queue(0);
    for (int i = 0; i < 5000; i++) {
        put_mention(queue, queue);
    }
    atoll_queue_release(queue);
    CHECK(atoll_queue_live() == before);

    atoll_queue *root = new_queue(0);
    for (int i = 0; i < 3000; i++) {
        queue = new_queue(0);
        put_mention(queue, queue);
        put_mention(root, queue);
        atoll_queue_release(queue);
    }
    CHECK(atoll_queue_live() == before + 3001);
    for (int round = 0; round < 200; round++) {
        queue = new_queue(0);
        for (int i = 0; i < 300; i++) {
            put_mention(queue, queue);
        }
        atoll_queue_release(queue);
        CHECK(atoll_queue_live() < before + 3001 + 50);
    }
    atoll_queue_release(root);
    CHECK(all_goes(before));
}

/* --- Fork --- */

#if !TEST_TSAN /* which does not support a child of a process with threads */
static void
run_in_child(atoll_queue *queue)
{
    atoll_queue_after_fork();
    atoll_frame *frame = NULL;
    bool ok = atoll_queue_get(queue, NULL, &frame) == ATOLL_OK
              && take_value(frame) == 1;
    /* The putter that waited is gone, and its frame did not come in. */
    ok = ok && atoll_queue_get(queue, NULL, &frame) == ATOLL_E_EMPTY;
    ok = ok && atoll_queue_put(queue, frame_of(3), NULL) == ATOLL_OK;
    ok = ok && atoll_queue_put(queue, frame_of(4), NULL) == ATOLL_E_FULL;
    _exit(ok ? 0 : 1);
}

static void
test_fork(void)
{
    atoll_queue *queue = new_queue(1);
    put(queue, 1);
    actor putter;
    putter.index = 2;
    actor_start(&putter, put_one, queue);
    UNTIL(in_line(queue, &queue->putters) == 1);
    atoll_queue_before_fork();
    pid_t child = fork();
    if (child == 0) {
        run_in_child(queue);
    }
    atoll_queue_parent_after_fork();
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(get(queue) == 1);
    actor_join(&putter);
    CHECK(get(queue) == 2);
    atoll_queue_release(queue);
}

#endif

int
main(int argc, char **argv)
{
    RUN(test_fifo);
    RUN(test_bounds);
    RUN(test_deadlines);
    RUN(test_many);
    RUN(test_unget);
    RUN(test_shutdown);
    RUN(test_task_done);
    RUN(test_allocation_failures);
    RUN(test_find);
    RUN(test_longest_waiting_getter_first);
    RUN(test_longest_waiting_putter_first);
    RUN(test_many_handed_over);
    RUN(test_put_many_waits);
    RUN(test_shutdown_wakes_all);
    RUN(test_join_waits);
    RUN(test_interruption_keeps_the_place);
    RUN(test_interrupt_before_waiting);
    RUN(test_grant_beats_interruption);
    RUN(test_select);
    RUN(test_select_passes_on);
    RUN(test_select_two_queues);
    RUN(test_select_and_getter);
    RUN(test_select_interrupted);
    RUN(test_sender_died);
    RUN(test_sender_died_makes_room);
    RUN(test_queue_in_itself);
    RUN(test_queues_in_each_other);
    RUN(test_reachable_through_a_queue);
    RUN(test_frame_on_its_way);
    RUN(test_found_by_id_while_mentioned);
    RUN(test_long_chain);
    RUN(test_large_cycles);
#if !TEST_TSAN
    RUN(test_fork);
#endif
    return test_end();
}
