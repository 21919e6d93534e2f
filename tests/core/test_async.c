/* Event loops' waiters: completion, the descriptor, cancelling without loss,
 * the loop's end. */
#include "test.h"

#include <poll.h>
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

static atoll_loop *
new_loop(void)
{
    atoll_loop *loop = NULL;
    NEED(atoll_loop_new(&loop) == ATOLL_OK);
    return loop;
}

/* The last use of both. */
static void
end(atoll_loop *loop, atoll_queue *queue)
{
    atoll_loop_close(loop);
    CHECK(atoll_loop_fd(loop) == -1);
    atoll_loop_release(loop);
    atoll_queue_release(queue);
    CHECK(atoll_queue_live() == 0);
}

static bool
rings(atoll_loop *loop, int timeout)
{
    struct pollfd fd = {.fd = atoll_loop_fd(loop), .events = POLLIN};
    return poll(&fd, 1, timeout) == 1;
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

static atoll_async *
begin_get(atoll_queue *queue, atoll_loop *loop)
{
    atoll_frame *frame = NULL;
    atoll_async *node = NULL;
    NEED(atoll_async_get(queue, loop, &frame, &frame, &node) == ATOLL_E_EMPTY);
    CHECK(frame == NULL && node != NULL);
    CHECK(atoll_async_user(node) == &frame);
    return node;
}

static atoll_async *
begin_put(atoll_queue *queue, atoll_loop *loop, uint64_t value)
{
    atoll_async *node = NULL;
    NEED(atoll_async_put(queue, frame_of(value), loop, NULL, &node)
         == ATOLL_E_FULL);
    return node;
}

static void
test_at_once(void)
{
    atoll_queue *queue = new_queue(1);
    atoll_loop *loop = new_loop();
    atoll_async *node = NULL;
    atoll_frame *frame = NULL;
    CHECK(atoll_async_put(queue, frame_of(1), loop, NULL, &node) == ATOLL_OK);
    CHECK(atoll_async_get(queue, loop, NULL, &frame, &node) == ATOLL_OK);
    CHECK(take_value(frame) == 1);
    CHECK(node == NULL && !rings(loop, 0));
    atoll_queue_shutdown(queue, false);
    CHECK(atoll_async_get(queue, loop, NULL, &frame, &node)
          == ATOLL_E_SHUTDOWN);
    frame = frame_of(2);
    CHECK(atoll_async_put(queue, frame, loop, NULL, &node)
          == ATOLL_E_SHUTDOWN);
    CHECK(take_value(frame) == 2);
    end(loop, queue);
}

static void
test_completion(void)
{
    atoll_queue *queue = new_queue(0);
    atoll_loop *loop = new_loop();
    atoll_async *nodes[3];
    for (int i = 0; i < 3; i++) {
        nodes[i] = begin_get(queue, loop);
    }
    atoll_frame *frame;
    CHECK(!rings(loop, 0));
    CHECK(atoll_loop_take(loop) == NULL);
    CHECK(atoll_async_finish(nodes[0], &frame) == ATOLL_E_BUSY);
    put(queue, 10);
    put(queue, 11);
    CHECK(rings(loop, 0));
    CHECK(atoll_queue_size(queue) == 0);
    CHECK(atoll_loop_take(loop) == nodes[0]);
    CHECK(!rings(loop, 0));
    CHECK(atoll_loop_take(loop) == nodes[1]);
    CHECK(atoll_loop_take(loop) == NULL);
    for (uint64_t i = 0; i < 2; i++) {
        CHECK(atoll_async_finish(nodes[i], &frame) == ATOLL_OK);
        CHECK(take_value(frame) == 10 + i);
        CHECK(!atoll_async_free(nodes[i]));
    }
    put(queue, 12);
    CHECK(rings(loop, 0));
    CHECK(atoll_loop_take(loop) == nodes[2]);
    CHECK(atoll_async_finish(nodes[2], &frame) == ATOLL_OK);
    CHECK(take_value(frame) == 12);
    (void)atoll_async_free(nodes[2]);
    end(loop, queue);
}

static void
test_put_completion(void)
{
    atoll_queue *queue = new_queue(1);
    atoll_loop *loop = new_loop();
    put(queue, 0);
    atoll_async *one = begin_put(queue, loop, 1);
    atoll_async *two = begin_put(queue, loop, 2);
    CHECK(get(queue) == 0);
    CHECK(rings(loop, 0));
    CHECK(atoll_loop_take(loop) == one);
    CHECK(atoll_loop_take(loop) == NULL);
    atoll_frame *frame;
    CHECK(atoll_async_finish(one, &frame) == ATOLL_OK);
    CHECK(frame == NULL);
    CHECK(get(queue) == 1);
    CHECK(atoll_loop_take(loop) == two);
    CHECK(atoll_async_finish(two, &frame) == ATOLL_OK);
    (void)atoll_async_free(one);
    (void)atoll_async_free(two);
    CHECK(get(queue) == 2);
    CHECK(atoll_queue_unfinished(queue) == 3);
    end(loop, queue);
}

static void
test_shutdown_completes(void)
{
    atoll_queue *queue = new_queue(1);
    atoll_loop *loop = new_loop();
    put(queue, 0);
    atoll_async *putter = begin_put(queue, loop, 1);
    atoll_async *joiner;
    CHECK(atoll_async_join(queue, loop, NULL, &joiner) == ATOLL_E_BUSY);
    atoll_queue_shutdown(queue, true);
    atoll_frame *frame;
    CHECK(atoll_loop_take(loop) == putter);
    CHECK(atoll_async_finish(putter, &frame) == ATOLL_E_SHUTDOWN);
    CHECK(frame == NULL);
    (void)atoll_async_free(putter);
    CHECK(atoll_loop_take(loop) == joiner);
    CHECK(atoll_async_finish(joiner, &frame) == ATOLL_OK);
    (void)atoll_async_free(joiner);
    CHECK(atoll_async_join(queue, loop, NULL, &joiner) == ATOLL_OK);
    end(loop, queue);

    queue = new_queue(0);
    loop = new_loop();
    atoll_async *getter = begin_get(queue, loop);
    atoll_queue_shutdown(queue, false);
    CHECK(atoll_loop_take(loop) == getter);
    CHECK(atoll_async_finish(getter, &frame) == ATOLL_E_SHUTDOWN);
    (void)atoll_async_free(getter);
    end(loop, queue);
}

/* --- Cancelling --- */

static void
test_cancel_waiting(void)
{
    atoll_queue *queue = new_queue(1);
    atoll_loop *loop = new_loop();
    atoll_async *node = begin_get(queue, loop);
    CHECK(atoll_async_free(node));
    put(queue, 1);
    CHECK(atoll_queue_size(queue) == 1);
    node = begin_put(queue, loop, 2);
    CHECK(atoll_async_free(node));
    CHECK(get(queue) == 1);
    CHECK(atoll_queue_size(queue) == 0);
    CHECK(atoll_queue_unfinished(queue) == 1);
    end(loop, queue);
}

/* A get that was granted, and then cancelled, gives its item back: to the
 * front, before others that came later. */
static void
test_cancel_granted_get(void)
{
    for (int taken = 0; taken < 2; taken++) {
        atoll_queue *queue = new_queue(0);
        atoll_loop *loop = new_loop();
        atoll_async *node = begin_get(queue, loop);
        put(queue, 1);
        put(queue, 2);
        CHECK(atoll_queue_size(queue) == 1);
        if (taken) {
            CHECK(atoll_loop_take(loop) == node);
        }
        CHECK(atoll_async_free(node));
        CHECK(atoll_loop_take(loop) == NULL);
        CHECK(atoll_queue_size(queue) == 2);
        CHECK(get(queue) == 1);
        CHECK(get(queue) == 2);
        CHECK(atoll_queue_unfinished(queue) == 2);
        end(loop, queue);
    }
}

/* ... or to whoever waits. */
static void
test_cancel_granted_get_hands_on(void)
{
    atoll_queue *queue = new_queue(0);
    atoll_loop *loop = new_loop();
    atoll_async *one = begin_get(queue, loop);
    atoll_async *two = begin_get(queue, loop);
    put(queue, 1);
    CHECK(atoll_async_free(one));
    CHECK(atoll_queue_size(queue) == 0);
    atoll_frame *frame;
    CHECK(atoll_loop_take(loop) == two);
    CHECK(atoll_async_finish(two, &frame) == ATOLL_OK);
    CHECK(take_value(frame) == 1);
    (void)atoll_async_free(two);
    /* After an immediate shutdown it is dropped with the rest. */
    one = begin_get(queue, loop);
    put(queue, 2);
    atoll_queue_shutdown(queue, true);
    CHECK(atoll_queue_unfinished(queue) == 2);
    CHECK(atoll_async_free(one));
    CHECK(atoll_queue_unfinished(queue) == 1);
    end(loop, queue);
}

/* A put that was granted, and then cancelled, comes out again, unless somebody
 * has got the item. */
static void
test_cancel_granted_put(void)
{
    atoll_queue *queue = new_queue(2);
    atoll_loop *loop = new_loop();
    put(queue, 0);
    put(queue, 1);
    atoll_async *two = begin_put(queue, loop, 2);
    atoll_async *three = begin_put(queue, loop, 3);
    atoll_async *four = begin_put(queue, loop, 4);
    CHECK(get(queue) == 0);       /* 2 comes in */
    CHECK(get(queue) == 1);       /* 3 comes in */
    CHECK(atoll_async_free(two)); /* 2 goes, 4 comes in */
    CHECK(atoll_queue_size(queue) == 2);
    CHECK(get(queue) == 3);
    CHECK(!atoll_async_free(three)); /* too late */
    CHECK(atoll_async_free(four));
    CHECK(atoll_queue_size(queue) == 0);
    CHECK(atoll_queue_unfinished(queue) == 3);
    end(loop, queue);
}

/* --- The loop's end --- */

static void
test_close(void)
{
    atoll_queue *queue = new_queue(0);
    atoll_queue *full = new_queue(1);
    atoll_loop *loop = new_loop();
    put(full, 0);
    atoll_async *granted = begin_get(queue, loop);
    atoll_async *waiting = begin_get(queue, loop);
    atoll_async *putter = begin_put(full, loop, 1);
    put(queue, 5);
    atoll_loop_close(loop);
    atoll_loop_close(loop);
    CHECK(atoll_loop_fd(loop) == -1);
    CHECK(atoll_loop_take(loop) == NULL);
    CHECK(get(queue) == 5);
    CHECK(get(full) == 0);
    CHECK(atoll_queue_size(full) == 0);
    atoll_frame *frame;
    CHECK(atoll_async_finish(granted, &frame) == ATOLL_E_CLOSED);
    CHECK(atoll_async_finish(waiting, &frame) == ATOLL_E_CLOSED);
    CHECK(atoll_async_finish(putter, &frame) == ATOLL_E_CLOSED);
    (void)atoll_async_free(granted);
    (void)atoll_async_free(waiting);
    (void)atoll_async_free(putter);
    atoll_async *node;
    CHECK(atoll_async_get(queue, loop, NULL, &frame, &node) == ATOLL_E_CLOSED);
    put(full, 0);
    frame = frame_of(1);
    CHECK(atoll_async_put(full, frame, loop, NULL, &node) == ATOLL_E_CLOSED);
    CHECK(take_value(frame) == 1);
    CHECK(atoll_async_join(full, loop, NULL, &node) == ATOLL_E_CLOSED);
    atoll_queue_release(full);
    end(loop, queue);
}

/* A node keeps its queue and its loop alive. */
/* Woken without a result: it rings once, and goes on as before. */
static void
test_wake_all(void)
{
    atoll_queue *queue = new_queue(0);
    atoll_loop *loop = new_loop();
    atoll_loop *other = new_loop();
    atoll_loop_set_owner(loop, 5);
    atoll_loop_set_owner(other, 6);
    atoll_async *node = begin_get(queue, loop);
    atoll_loop_wake_all(5);
    atoll_loop_wake_all(5);
    CHECK(rings(loop, 0) && !rings(other, 0));
    CHECK(atoll_loop_take(loop) == NULL);
    CHECK(!rings(loop, 0));
    atoll_loop_wake_all(5);
    put(queue, 1);
    CHECK(rings(loop, 0));
    CHECK(atoll_loop_take(loop) == node);
    CHECK(atoll_loop_take(loop) == NULL && !rings(loop, 0));
    atoll_frame *frame = NULL;
    CHECK(atoll_async_finish(node, &frame) == ATOLL_OK);
    CHECK(frame != NULL && take_value(frame) == 1);
    (void)atoll_async_free(node);
    atoll_loop_close(other);
    atoll_loop_wake_all(6);
    atoll_loop_release(other);
    end(loop, queue);
}

static void
test_references(void)
{
    atoll_queue *queue = new_queue(0);
    atoll_loop *loop = new_loop();
    atoll_async *node = begin_get(queue, loop);
    uint64_t id = atoll_queue_id(queue);
    atoll_queue_release(queue);
    atoll_loop_release(loop);
    CHECK(atoll_queue_live() == 1);
    NEED(atoll_queue_find(id, &queue) == ATOLL_OK);
    put(queue, 1);
    atoll_queue_release(queue);
    CHECK(atoll_async_free(node));
    CHECK(atoll_queue_live() == 0);
}

static void
test_allocation_failures(void)
{
    atoll_queue *queue = new_queue(1);
    atoll_loop *loop = NULL;
    (void)atoll_fail_allocation(1, true);
    CHECK(atoll_loop_new(&loop) == ATOLL_E_NOMEM);
    (void)atoll_fail_allocation(0, false);
    CHECK(loop == NULL);
    loop = new_loop();
    atoll_frame *frame;
    atoll_async *node;
    (void)atoll_fail_allocation(1, true);
    CHECK(atoll_async_get(queue, loop, NULL, &frame, &node) == ATOLL_E_NOMEM);
    (void)atoll_fail_allocation(0, false);
    put(queue, 1);
    frame = frame_of(2);
    (void)atoll_fail_allocation(1, true);
    CHECK(atoll_async_put(queue, frame, loop, NULL, &node) == ATOLL_E_NOMEM);
    CHECK(atoll_async_join(queue, loop, NULL, &node) == ATOLL_E_NOMEM);
    (void)atoll_fail_allocation(0, false);
    CHECK(take_value(frame) == 2);
    end(loop, queue);
}

/* --- With threads --- */

#define ITEMS 20000

static void
produce(actor *self)
{
    for (uint64_t i = 0; i < ITEMS; i++) {
        atoll_wait wait = {&self->parker, ATOLL_FOREVER, 0};
        CHECK(atoll_queue_put(self->arg, frame_of(i), &wait) == ATOLL_OK);
    }
}

/* A loop with one pending get, cancelled and begun again now and then, beside
 * a producer: every item once, in order. */
static void
test_cancel_race(void)
{
    atoll_queue *queue = new_queue(3);
    atoll_loop *loop = new_loop();
    uint64_t seed = test_seed("async");
    actor producer;
    actor_start(&producer, produce, queue);
    uint64_t next = 0;
    while (next < ITEMS) {
        atoll_frame *frame = NULL;
        atoll_async *node = NULL;
        atoll_status status
            = atoll_async_get(queue, loop, NULL, &frame, &node);
        if (status == ATOLL_E_EMPTY) {
            uint64_t dice = test_random(&seed) % 4;
            if (dice == 0) {
                (void)atoll_async_free(node);
                continue;
            }
            NEED(rings(loop, -1));
            CHECK(atoll_loop_take(loop) == node);
            if (dice == 1) {
                (void)atoll_async_free(node);
                continue;
            }
            CHECK(atoll_async_finish(node, &frame) == ATOLL_OK);
            (void)atoll_async_free(node);
        }
        CHECK(take_value(frame) == next++);
    }
    actor_join(&producer);
    CHECK(atoll_queue_size(queue) == 0);
    end(loop, queue);
}

static void
consume(actor *self)
{
    uint64_t last = 0;
    atoll_status status;
    do {
        atoll_wait wait = {&self->parker, ATOLL_FOREVER, 0};
        atoll_frame *frame;
        status = atoll_queue_get(self->arg, &wait, &frame);
        if (status == ATOLL_OK) {
            uint64_t value = take_value(frame);
            CHECK(value > last);
            last = value;
            self->step++;
        }
    } while (status == ATOLL_OK);
    CHECK(status == ATOLL_E_SHUTDOWN);
}

/* Puts that are cancelled beside a consumer: free tells the truth. */
static void
test_cancel_put_race(void)
{
    atoll_queue *queue = new_queue(2);
    atoll_loop *loop = new_loop();
    uint64_t seed = test_seed("async put");
    actor consumer;
    actor_start(&consumer, consume, queue);
    int put_in = 0;
    for (uint64_t i = 1; i <= ITEMS; i++) {
        atoll_async *node = NULL;
        atoll_status status
            = atoll_async_put(queue, frame_of(i), loop, NULL, &node);
        if (status == ATOLL_OK) {
            put_in++;
            continue;
        }
        NEED(status == ATOLL_E_FULL);
        uint64_t dice = test_random(&seed) % 3;
        if (dice > 0) {
            NEED(rings(loop, -1));
            CHECK(atoll_loop_take(loop) == node);
        }
        if (dice == 2) {
            atoll_frame *frame;
            CHECK(atoll_async_finish(node, &frame) == ATOLL_OK);
        }
        put_in += !atoll_async_free(node);
    }
    atoll_queue_shutdown(queue, false);
    actor_join(&consumer);
    CHECK(consumer.step == put_in);
    CHECK(atoll_queue_unfinished(queue) == (uint64_t)put_in);
    end(loop, queue);
}

#if !TEST_TSAN /* which does not support a child of a process with threads */
static void
test_fork(void)
{
    atoll_queue *queue = new_queue(0);
    atoll_loop *loop = new_loop();
    atoll_async *one = begin_get(queue, loop);
    atoll_async *two = begin_get(queue, loop);
    put(queue, 1);
    atoll_queue_before_fork();
    pid_t child = fork();
    if (child == 0) {
        atoll_queue_after_fork();
        bool ok = atoll_loop_fd(loop) == -1;
        atoll_frame *frame;
        put(queue, 2);
        ok = ok && atoll_async_finish(two, &frame) == ATOLL_E_CLOSED;
        ok = ok && atoll_async_free(two);
        /* What was granted to the parent's loop is in the child's queue. */
        ok = ok && atoll_async_free(one);
        ok = ok && get(queue) == 1 && get(queue) == 2;
        atoll_loop_close(loop);
        atoll_loop_release(loop);
        _exit(ok ? 0 : 1);
    }
    atoll_queue_parent_after_fork();
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(rings(loop, 0));
    CHECK(atoll_loop_take(loop) == one);
    CHECK(atoll_loop_take(loop) == NULL);
    CHECK(!rings(loop, 0));
    (void)atoll_async_free(two);
    (void)atoll_async_free(one);
    CHECK(get(queue) == 1);
    end(loop, queue);
}

#endif

int
main(int argc, char **argv)
{
    RUN(test_at_once);
    RUN(test_completion);
    RUN(test_put_completion);
    RUN(test_shutdown_completes);
    RUN(test_cancel_waiting);
    RUN(test_cancel_granted_get);
    RUN(test_cancel_granted_get_hands_on);
    RUN(test_cancel_granted_put);
    RUN(test_close);
    RUN(test_wake_all);
    RUN(test_references);
    RUN(test_allocation_failures);
    RUN(test_cancel_race);
    RUN(test_cancel_put_race);
#if !TEST_TSAN
    RUN(test_fork);
#endif
    return test_end();
}
