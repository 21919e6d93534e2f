/* Random operations against a simple model, and many threads at once.
 *
 * ATOLL_SEED replays (the operations; not the scheduling of threads);
 * ATOLL_STRESS multiplies the number of rounds.
 */
#include "test.h"

#include <poll.h>

#include "../../src/core/queue_private.h"
#include "../../src/core/sync.h"

static int
rounds(int normal)
{
    const char *more = getenv("ATOLL_STRESS");
    int factor = more ? atoi(more) : 1;
    return (TEST_SLOW ? normal / 2 + 1 : normal) * (factor < 1 ? 1 : factor);
}

/* --- One thread against the model --- */

#define MODEL_MAX 4096

/* What a queue should be: arrays, and no cleverness.  Who waits is an event
 * loop's node, so that one thread can play all parts. */
typedef struct model_item {
    uint64_t value;
    int64_t sender;
    atoll_unbound policy;
    bool lost;
} model_item;

typedef struct model_waiter {
    atoll_async *node;
    model_item item; /* of a putter; for a getter once it is granted */
    bool puts;
    atoll_status status;
} model_waiter;

typedef struct model {
    atoll_queue *queue;
    atoll_loop *loop;
    int64_t maxsize;
    model_item items[MODEL_MAX];
    int nitems;
    model_waiter getters[MODEL_MAX]; /* in line, then done ones */
    int ngetters;
    model_waiter putters[MODEL_MAX];
    int nputters;
    model_waiter done[MODEL_MAX]; /* in order of completion */
    int ndone;
    bool shut;
    bool drained;
    uint64_t unfinished;
    uint64_t next_value;
    uint64_t random;
} model;

static void
take_first(void *array, int *count, size_t size)
{
    (*count)--;
    memmove(array, (char *)array + size, (size_t)*count * size);
}

static bool
model_room(const model *m)
{
    return m->maxsize <= 0 || m->nitems < m->maxsize;
}

static void
model_complete(model *m, model_waiter waiter, atoll_status status)
{
    waiter.status = status;
    m->done[m->ndone++] = waiter;
}

/* An item comes in, to the first getter or to the end (or the front). */
static void
model_deliver(model *m, model_item item, bool front)
{
    if (m->ngetters > 0) {
        model_waiter getter = m->getters[0];
        take_first(m->getters, &m->ngetters, sizeof(*m->getters));
        getter.item = item;
        model_complete(m, getter, ATOLL_OK);
    }
    else if (front) {
        memmove(m->items + 1, m->items, (size_t)m->nitems * sizeof(*m->items));
        m->items[0] = item;
        m->nitems++;
    }
    else {
        m->items[m->nitems++] = item;
    }
}

static void
model_admit(model *m)
{
    while (m->nputters > 0 && model_room(m)) {
        model_waiter putter = m->putters[0];
        take_first(m->putters, &m->nputters, sizeof(*m->putters));
        m->unfinished++;
        model_deliver(m, putter.item, false);
        model_complete(m, putter, ATOLL_OK);
    }
}

static atoll_frame *
frame_from(model_item item)
{
    atoll_frame *frame = frame_of(item.value);
    frame->sender = item.sender;
    frame->tag = item.policy;
    return frame;
}

static model_item
random_item(model *m)
{
    uint64_t dice = test_random(&m->random);
    return (model_item){
        .value = m->next_value++,
        .sender = (int64_t)(dice % 3),
        .policy = (atoll_unbound)(dice / 8 % 4),
    };
}

/* The frame is what the model says; releases it. */
static void
expect_frame(atoll_frame *frame, model_item item)
{
    atoll_unbound lost = item.lost ? item.policy : ATOLL_UNBOUND_KEEP;
    CHECK(atoll_queue_item_lost(frame) == lost);
    CHECK(frame->sender == item.sender);
    CHECK(item.lost || value_of(frame) == item.value);
    atoll_frame_release(frame);
}

static void
step_put(model *m)
{
    model_item item = random_item(m);
    atoll_frame *frame = frame_from(item);
    atoll_async *node = NULL;
    bool waits = test_random(&m->random) % 2;
    atoll_status status
        = waits ? atoll_async_put(m->queue, frame, m->loop, NULL, &node)
                : atoll_queue_put(m->queue, frame, NULL);
    if (m->shut) {
        CHECK(status == ATOLL_E_SHUTDOWN);
        atoll_frame_release(frame);
    }
    else if (m->ngetters > 0 || model_room(m)) {
        CHECK(status == ATOLL_OK);
        m->unfinished++;
        model_deliver(m, item, false);
    }
    else if (waits) {
        CHECK(status == ATOLL_E_FULL && node != NULL);
        m->putters[m->nputters++]
            = (model_waiter){.node = node, .item = item, .puts = true};
    }
    else {
        CHECK(status == ATOLL_E_FULL);
        atoll_frame_release(frame);
    }
}

static void
step_get(model *m)
{
    atoll_frame *frame = NULL;
    atoll_async *node = NULL;
    bool waits = test_random(&m->random) % 2;
    atoll_status status
        = waits ? atoll_async_get(m->queue, m->loop, NULL, &frame, &node)
                : atoll_queue_get(m->queue, NULL, &frame);
    if (m->nitems > 0) {
        NEED(status == ATOLL_OK);
        model_item item = m->items[0];
        take_first(m->items, &m->nitems, sizeof(*m->items));
        model_admit(m);
        if (test_random(&m->random) % 4 == 0) {
            atoll_queue_unget(m->queue, frame);
            model_deliver(m, item, true);
        }
        else {
            expect_frame(frame, item);
        }
    }
    else if (m->shut) {
        CHECK(status == ATOLL_E_SHUTDOWN);
    }
    else if (waits) {
        CHECK(status == ATOLL_E_EMPTY && node != NULL);
        m->getters[m->ngetters++] = (model_waiter){.node = node};
    }
    else {
        CHECK(status == ATOLL_E_EMPTY);
    }
}

static void
step_put_many(model *m)
{
    frame_list list = {0};
    model_item items[20];
    size_t count = test_random(&m->random) % 20;
    for (size_t i = 0; i < count; i++) {
        items[i] = random_item(m);
        frame_list_push(&list, frame_from(items[i]));
    }
    atoll_frame *rest = list.first;
    size_t done = 0;
    atoll_status status = atoll_queue_put_many(m->queue, &rest, NULL, &done);
    size_t expected = 0;
    while (!m->shut && expected < count
           && (m->ngetters > 0 || model_room(m))) {
        m->unfinished++;
        model_deliver(m, items[expected++], false);
    }
    CHECK(done == expected);
    CHECK(status
          == (m->shut             ? ATOLL_E_SHUTDOWN
              : expected == count ? ATOLL_OK
                                  : ATOLL_E_FULL));
    CHECK((rest == NULL) == (expected == count));
    queue_release_frames(rest);
}

static void
step_get_many(model *m)
{
    atoll_frame *frames = NULL;
    size_t max = 1 + test_random(&m->random) % 10;
    size_t count = 0;
    atoll_status status
        = atoll_queue_get_many(m->queue, max, NULL, &frames, &count);
    if (m->nitems == 0) {
        CHECK(status == (m->shut ? ATOLL_E_SHUTDOWN : ATOLL_E_EMPTY));
        return;
    }
    CHECK(status == ATOLL_OK);
    size_t expected = 0;
    while (expected < max && m->nitems > 0) {
        model_item item = m->items[0];
        take_first(m->items, &m->nitems, sizeof(*m->items));
        if (m->nitems == 0) {
            model_admit(m);
        }
        NEED(frames != NULL);
        atoll_frame *next = frames->next;
        expect_frame(frames, item);
        frames = next;
        expected++;
    }
    model_admit(m);
    CHECK(frames == NULL && count == expected);
}

/* Looks at what is done, and sometimes cancels it then. */
static void
step_complete(model *m)
{
    struct pollfd fd = {.fd = atoll_loop_fd(m->loop), .events = POLLIN};
    CHECK((poll(&fd, 1, 0) == 1) == (m->ndone > 0));
    while (m->ndone > 0) {
        model_waiter waiter = m->done[0];
        take_first(m->done, &m->ndone, sizeof(*m->done));
        CHECK(atoll_loop_take(m->loop) == waiter.node);
        atoll_frame *frame = NULL;
        CHECK(atoll_async_finish(waiter.node, &frame) == waiter.status);
        if (frame != NULL) {
            expect_frame(frame, waiter.item);
        }
        CHECK(!atoll_async_free(waiter.node));
    }
    CHECK(atoll_loop_take(m->loop) == NULL);
}

static void
remove_at(model_waiter *array, int *count, int at)
{
    (*count)--;
    memmove(array + at, array + at + 1,
            (size_t)(*count - at) * sizeof(*array));
}

static void
model_drop(model *m)
{
    m->unfinished -= m->unfinished > 0;
}

/* A node that was granted is cancelled before anybody looked: a get gives its
 * item back, a put takes its item out again if it is still there. */
static void
cancel_done(model *m, int at)
{
    model_waiter waiter = m->done[at];
    remove_at(m->done, &m->ndone, at);
    bool undone = atoll_async_free(waiter.node);
    if (waiter.status != ATOLL_OK) {
        CHECK(undone);
        return;
    }
    if (!waiter.puts) {
        CHECK(undone);
        if (m->drained) {
            model_drop(m);
        }
        else {
            model_deliver(m, waiter.item, true);
        }
        return;
    }
    int place = 0;
    while (place < m->nitems && m->items[place].value != waiter.item.value) {
        place++;
    }
    /* A lost item is another frame: it is no longer this put's. */
    bool is_in = place < m->nitems && !m->items[place].lost;
    CHECK(undone == is_in);
    if (is_in) {
        m->nitems--;
        memmove(m->items + place, m->items + place + 1,
                (size_t)(m->nitems - place) * sizeof(*m->items));
        model_drop(m);
        model_admit(m);
    }
}

static void
step_cancel(model *m)
{
    uint64_t dice = test_random(&m->random);
    if (m->ndone > 0 && dice % 3 == 2) {
        cancel_done(m, (int)(dice / 3 % (unsigned)m->ndone));
    }
    else if (m->ngetters > 0 && dice % 3 == 0) {
        int at = (int)(dice / 3 % (unsigned)m->ngetters);
        CHECK(atoll_async_free(m->getters[at].node));
        remove_at(m->getters, &m->ngetters, at);
    }
    else if (m->nputters > 0 && dice % 3 == 1) {
        int at = (int)(dice / 3 % (unsigned)m->nputters);
        CHECK(atoll_async_free(m->putters[at].node));
        remove_at(m->putters, &m->nputters, at);
    }
}

static void
step_shutdown(model *m)
{
    bool immediate = test_random(&m->random) % 2;
    atoll_queue_shutdown(m->queue, immediate);
    m->shut = true;
    if (immediate) {
        m->drained = true;
        while (m->nitems > 0) {
            m->nitems--;
            model_drop(m);
        }
    }
    for (int i = 0; i < m->nputters; i++) {
        model_complete(m, m->putters[i], ATOLL_E_SHUTDOWN);
    }
    for (int i = 0; i < m->ngetters; i++) {
        model_complete(m, m->getters[i], ATOLL_E_SHUTDOWN);
    }
    m->nputters = m->ngetters = 0;
}

static void
step_sender_died(model *m)
{
    int64_t sender = (int64_t)(test_random(&m->random) % 3);
    atoll_queue_sender_died(sender);
    int kept = 0;
    for (int i = 0; i < m->nitems; i++) {
        model_item item = m->items[i];
        if (item.sender == sender && !item.lost) {
            if (item.policy == ATOLL_UNBOUND_REMOVE) {
                model_drop(m);
                continue;
            }
            item.lost = item.policy != ATOLL_UNBOUND_KEEP;
        }
        m->items[kept++] = item;
    }
    m->nitems = kept;
    model_admit(m);
}

static void
check_model(model *m)
{
    CHECK(atoll_queue_size(m->queue) == (size_t)m->nitems);
    CHECK(atoll_queue_unfinished(m->queue) == m->unfinished);
    CHECK(atoll_queue_full(m->queue) == !model_room(m));
    CHECK(atoll_queue_is_shutdown(m->queue) == m->shut);
    bool ready;
    size_t count;
    atoll_status status
        = atoll_queue_select(&m->queue, 1, NULL, &ready, &count);
    CHECK(ready == (m->nitems > 0 || m->shut));
    CHECK(status == (ready ? ATOLL_OK : ATOLL_E_EMPTY));
}

static void
step(model *m)
{
    switch (test_random(&m->random) % 16) {
    case 0:
    case 1:
    case 2:
    case 3:
        step_put(m);
        break;
    case 4:
    case 5:
    case 6:
    case 7:
        step_get(m);
        break;
    case 8:
        step_put_many(m);
        break;
    case 9:
        step_get_many(m);
        break;
    case 10:
    case 11:
        step_complete(m);
        break;
    case 12:
        step_cancel(m);
        break;
    case 13:
        if (m->unfinished > 0) {
            CHECK(atoll_queue_task_done(m->queue) == ATOLL_OK);
            m->unfinished--;
        }
        else {
            CHECK(atoll_queue_task_done(m->queue) == ATOLL_E_VALUE);
        }
        break;
    case 14:
        if (test_random(&m->random) % 20 == 0) {
            step_shutdown(m);
        }
        break;
    default:
        step_sender_died(m);
    }
}

static void
test_model(void)
{
    static model m; /* large */
    uint64_t seed = test_seed("model");
    for (int round = 0; round < rounds(300) && !test_failures; round++) {
        memset(&m, 0, sizeof(m));
        m.random = seed + (uint64_t)round;
        m.maxsize = (int64_t)(test_random(&m.random) % 6) - 1;
        NEED(atoll_queue_new(m.maxsize, ATOLL_UNBOUND_KEEP, &m.queue)
             == ATOLL_OK);
        NEED(atoll_loop_new(&m.loop) == ATOLL_OK);
        for (int i = 0; i < 300 && !test_failures; i++) {
            step(&m);
            check_model(&m);
        }
        step_complete(&m);
        atoll_loop_close(m.loop);
        for (int i = 0; i < m.ngetters; i++) {
            CHECK(atoll_async_free(m.getters[i].node));
        }
        for (int i = 0; i < m.nputters; i++) {
            CHECK(atoll_async_free(m.putters[i].node));
        }
        atoll_loop_release(m.loop);
        atoll_queue_release(m.queue);
        CHECK(atoll_queue_live() == 0);
        if (test_failures) {
            printf("       in round %d: ATOLL_SEED=%llu\n", round,
                   (unsigned long long)(seed + (uint64_t)round));
        }
    }
}

/* --- Many threads --- */

#define MOST_THREADS 8

typedef struct crowd {
    atoll_queue *queues[2];
    int nqueues;
    int nproducers;
    int nconsumers;
    uint64_t items; /* of each producer */
    bool ordered;   /* nothing is given back */
    bool shuts;     /* somebody shuts the queues down in the middle */
    uint64_t seed;
    _Atomic uint8_t *seen[MOST_THREADS];
    _Atomic uint64_t put[MOST_THREADS]; /* how many went in */
    _Atomic uint64_t got;
    _Atomic bool done;
} crowd;

static uint64_t
make_value(int producer, uint64_t number)
{
    return ((uint64_t)producer << 40) | number;
}

static atoll_wait
random_wait(actor *self, uint64_t *random)
{
    uint64_t dice = test_random(random) % 8;
    int64_t deadline = ATOLL_FOREVER;
    if (dice == 0) {
        deadline = 0;
    }
    else if (dice < 3) {
        deadline = atoll_now() + (int64_t)(test_random(random) % 100000);
    }
    return (atoll_wait){&self->parker, deadline, 0};
}

static bool
goes_on(atoll_status status)
{
    return status == ATOLL_E_TIMEOUT || status == ATOLL_E_INTERRUPTED
           || status == ATOLL_E_FULL || status == ATOLL_E_EMPTY;
}

/* Puts the list, however often it must try; false: shut down. */
static bool
put_stubbornly(actor *self, atoll_queue *queue, atoll_frame *frames,
               uint64_t *random)
{
    crowd *c = self->arg;
    while (frames != NULL) {
        atoll_wait wait = random_wait(self, random);
        atoll_status status;
        size_t done = 0;
        if (frames->next == NULL && test_random(random) % 2) {
            bool waits = test_random(random) % 4 != 0;
            status = atoll_queue_put(queue, frames, waits ? &wait : NULL);
            done = status == ATOLL_OK;
            frames = status == ATOLL_OK ? NULL : frames;
        }
        else {
            do {
                size_t more = 0;
                status = atoll_queue_put_many(queue, &frames, &wait, &more);
                done += more;
            } while (status == ATOLL_E_INTERRUPTED);
        }
        c->put[self->index] += done;
        if (status != ATOLL_OK && !goes_on(status)) {
            CHECK(status == ATOLL_E_SHUTDOWN);
            queue_release_frames(frames);
            return false;
        }
    }
    return true;
}

static void
crowd_produce(actor *self)
{
    crowd *c = self->arg;
    uint64_t random = c->seed + (uint64_t)self->index;
    atoll_queue *queue = c->queues[self->index % c->nqueues];
    uint64_t number = 0;
    while (number < c->items) {
        frame_list list = {0};
        uint64_t count = 1;
        if (test_random(&random) % 4 == 0) {
            count += test_random(&random) % 20;
        }
        for (; count > 0 && number < c->items; count--) {
            frame_list_push(&list,
                            frame_of(make_value(self->index, number++)));
        }
        if (!put_stubbornly(self, queue, list.first, &random)) {
            break;
        }
    }
    self->step = 1;
}

/* Takes note of what was got, and releases it. */
static void
note(crowd *c, atoll_frame *frames, int64_t *last)
{
    while (frames != NULL) {
        atoll_frame *next = frames->next;
        uint64_t value = take_value(frames);
        int producer = (int)(value >> 40);
        uint64_t number = value & 0xffffffffffu;
        NEED(producer < c->nproducers && number < c->items);
        CHECK(c->seen[producer][number]++ == 0);
        if (c->ordered) {
            CHECK((int64_t)number > last[producer]);
            last[producer] = (int64_t)number;
        }
        c->got++;
        frames = next;
    }
}

/* One attempt on one queue, by a way chosen at random.  *out_frames is a list,
 * or NULL. */
static atoll_status
get_somehow(actor *self, atoll_queue *queue, atoll_loop *loop,
            uint64_t *random, atoll_frame **out_frames)
{
    const crowd *c = self->arg;
    atoll_wait wait = random_wait(self, random);
    atoll_frame *frame = NULL;
    atoll_async *node = NULL;
    size_t count = 1;
    atoll_status status;
    *out_frames = NULL;
    /* A cancelled get gives its item back, when others have gone on. */
    switch (test_random(random) % (c->ordered ? 3 : 4)) {
    case 0:
        status = atoll_queue_get(queue, NULL, &frame);
        break;
    case 1:
        status = atoll_queue_get(queue, &wait, &frame);
        break;
    case 2:
        status = atoll_queue_get_many(queue, 1 + test_random(random) % 8,
                                      &wait, &frame, &count);
        CHECK(status != ATOLL_OK || count > 0);
        break;
    default:
        status = atoll_async_get(queue, loop, NULL, &frame, &node);
        if (status == ATOLL_E_EMPTY && test_random(random) % 2) {
            struct pollfd fd = {.fd = atoll_loop_fd(loop), .events = POLLIN};
            (void)poll(&fd, 1, (int)(test_random(random) % 2));
            if (atoll_loop_take(loop) == node && test_random(random) % 2) {
                status = atoll_async_finish(node, &frame);
            }
        }
        if (node != NULL) {
            (void)atoll_async_free(node);
        }
    }
    *out_frames = frame;
    return status;
}

static void
crowd_consume(actor *self)
{
    crowd *c = self->arg;
    uint64_t random = c->seed + 1000 + (uint64_t)self->index;
    atoll_loop *loop;
    NEED(atoll_loop_new(&loop) == ATOLL_OK);
    int64_t last[MOST_THREADS];
    memset(last, -1, sizeof(last));
    bool over[2] = {false, c->nqueues < 2};
    int at = self->index % c->nqueues;
    while (!over[0] || !over[1]) {
        if (c->nqueues > 1 && test_random(&random) % 2) {
            bool ready[2];
            size_t count;
            atoll_wait wait = random_wait(self, &random);
            (void)atoll_queue_select(c->queues, 2, &wait, ready, &count);
            at = count > 0 && !ready[at] ? !at : at;
        }
        atoll_frame *frames;
        atoll_status status
            = get_somehow(self, c->queues[at], loop, &random, &frames);
        over[at] = status == ATOLL_E_SHUTDOWN;
        if (over[at]) {
            at = (at + 1) % c->nqueues;
        }
        else if (status == ATOLL_OK && !c->ordered
                 && test_random(&random) % 8 == 0) {
            atoll_queue_unget(c->queues[at], frames);
        }
        else if (status == ATOLL_OK) {
            note(c, frames, last);
        }
        else {
            CHECK(goes_on(status));
        }
    }
    atoll_loop_close(loop);
    atoll_loop_release(loop);
}

static void
run_crowd(crowd *c)
{
    actor producers[MOST_THREADS];
    actor consumers[MOST_THREADS];
    uint64_t random = c->seed;
    for (int i = 0; i < c->nqueues; i++) {
        int64_t maxsize = (int64_t)(test_random(&random) % 5);
        NEED(atoll_queue_new(maxsize, ATOLL_UNBOUND_KEEP, &c->queues[i])
             == ATOLL_OK);
    }
    for (int i = 0; i < c->nproducers; i++) {
        c->seen[i] = calloc(c->items, 1);
        NEED(c->seen[i] != NULL);
        producers[i].index = i;
        actor_start(&producers[i], crowd_produce, c);
    }
    for (int i = 0; i < c->nconsumers; i++) {
        consumers[i].index = i;
        actor_start(&consumers[i], crowd_consume, c);
    }
    /* Interrupts at random, until the producers are through. */
    uint64_t enough = (uint64_t)c->nproducers * c->items / 2;
    bool immediate = test_random(&random) % 2;
    bool through = false;
    while (!through) {
        uint64_t dice = test_random(&random);
        atoll_parker_interrupt(
            dice % 2 ? &producers[dice / 2 % (unsigned)c->nproducers].parker
                     : &consumers[dice / 2 % (unsigned)c->nconsumers].parker);
        sched_yield();
        if (c->shuts && c->got > enough) {
            break;
        }
        through = true;
        for (int i = 0; i < c->nproducers; i++) {
            through = through && producers[i].step == 1;
        }
    }
    for (int i = 0; i < c->nqueues; i++) {
        atoll_queue_shutdown(c->queues[i], c->shuts && immediate);
    }
    uint64_t put = 0;
    for (int i = 0; i < c->nproducers; i++) {
        actor_join(&producers[i]);
        put += c->put[i];
        CHECK(c->shuts || c->put[i] == c->items);
    }
    for (int i = 0; i < c->nconsumers; i++) {
        actor_join(&consumers[i]);
    }
    if (c->shuts && immediate) {
        CHECK(c->got <= put);
    }
    else {
        CHECK(c->got == put);
    }
    for (int i = 0; i < c->nqueues; i++) {
        CHECK(atoll_queue_size(c->queues[i]) == 0);
        atoll_queue_release(c->queues[i]);
    }
    for (int i = 0; i < c->nproducers; i++) {
        free(c->seen[i]);
    }
    CHECK(atoll_queue_live() == 0);
}

static void
test_crowds(void)
{
    uint64_t seed = test_seed("crowds");
    for (int round = 0; round < rounds(24) && !test_failures; round++) {
        uint64_t random = seed + (uint64_t)round;
        crowd c = {
            .nqueues = 1 + round % 2,
            .nproducers = 1 + (int)(test_random(&random) % MOST_THREADS),
            .nconsumers = 1 + (int)(test_random(&random) % MOST_THREADS),
            .items = 500,
            .ordered = round / 2 % 2,
            .shuts = round / 4 % 2,
            .seed = random,
        };
        run_crowd(&c);
        if (test_failures) {
            printf("       in round %d\n", round);
        }
    }
}

/* Many sleep in select on the same queues; items are few.  None is left
 * behind: every item is taken, and all go at the shutdown. */
static void
select_and_take(actor *self)
{
    crowd *c = self->arg;
    int64_t last[MOST_THREADS];
    uint64_t random = c->seed + (uint64_t)self->index;
    for (;;) {
        bool ready[2];
        size_t count;
        atoll_wait wait = {&self->parker, ATOLL_FOREVER, 0};
        atoll_status status
            = atoll_queue_select(c->queues, 2, &wait, ready, &count);
        if (status == ATOLL_E_INTERRUPTED) {
            continue;
        }
        CHECK(status == ATOLL_OK && count > 0);
        if (test_random(&random) % 4 == 0) {
            sched_yield(); /* looks away for a while */
            continue;
        }
        int shut = 0;
        for (int i = 0; i < 2; i++) {
            atoll_frame *frame = NULL;
            status = atoll_queue_get(c->queues[i], NULL, &frame);
            shut += status == ATOLL_E_SHUTDOWN;
            if (status == ATOLL_OK) {
                note(c, frame, last);
            }
        }
        if (shut == 2) {
            break;
        }
    }
}

static void
test_select_crowd(void)
{
    uint64_t seed = test_seed("select");
    crowd c = {.nqueues = 2, .nproducers = 1, .seed = seed};
    c.items = (uint64_t)rounds(20000);
    c.seen[0] = calloc(c.items, 1);
    NEED(c.seen[0] != NULL);
    for (int i = 0; i < 2; i++) {
        NEED(atoll_queue_new(0, ATOLL_UNBOUND_KEEP, &c.queues[i]) == ATOLL_OK);
    }
    actor actors[6];
    for (int i = 0; i < 6; i++) {
        actors[i].index = i;
        actor_start(&actors[i], select_and_take, &c);
    }
    for (uint64_t i = 0; i < c.items; i++) {
        uint64_t dice = test_random(&seed);
        NEED(atoll_queue_put(c.queues[dice % 2], frame_of(i), NULL)
             == ATOLL_OK);
        if (dice / 2 % 2) {
            UNTIL(c.got == i + 1); /* so that they sleep again */
        }
        if (dice / 4 % 4 == 0) {
            atoll_parker_interrupt(&actors[dice / 16 % 6].parker);
        }
    }
    UNTIL(c.got == c.items);
    atoll_queue_shutdown(c.queues[0], false);
    atoll_queue_shutdown(c.queues[1], false);
    for (int i = 0; i < 6; i++) {
        actor_join(&actors[i]);
    }
    for (int i = 0; i < 2; i++) {
        atoll_queue_release(c.queues[i]);
    }
    free(c.seen[0]);
}

/* --- Queues in queues, from many threads --- */

typedef struct web {
    _Atomic uint64_t id[8]; /* of the queue in each place */
    uint64_t seed;
} web;

static void
put_mention(atoll_queue *queue, atoll_queue *mentioned)
{
    atoll_frame *frame = frame_of(1);
    uint32_t index;
    atoll_queue_ops.acquire(mentioned);
    NEED(atoll_frame_attach(frame, &atoll_queue_ops, mentioned, &index)
         == ATOLL_OK);
    NEED(atoll_queue_put(queue, frame, NULL) == ATOLL_OK);
}

static void
weave(actor *self)
{
    web *w = self->arg;
    uint64_t random = w->seed + (uint64_t)self->index;
    for (int i = 0; i < rounds(2000); i++) {
        int place = (int)(test_random(&random) % 8);
        atoll_queue *queue = NULL;
        if (atoll_queue_find(w->id[place], &queue) != ATOLL_OK) {
            NEED(atoll_queue_new(0, ATOLL_UNBOUND_KEEP, &queue) == ATOLL_OK);
            w->id[place] = atoll_queue_id(queue);
        }
        atoll_queue *other = NULL;
        if (atoll_queue_find(w->id[test_random(&random) % 8], &other)
            == ATOLL_OK) {
            put_mention(queue, other);
            atoll_queue_release(other);
        }
        atoll_frame *frame = NULL;
        if (test_random(&random) % 3 == 0
            && atoll_queue_get(queue, NULL, &frame) == ATOLL_OK) {
            /* Received: a handle for the mention, then the frame goes. */
            atoll_queue *inner = frame->refs[0].ptr;
            atoll_queue_acquire(inner);
            atoll_frame_release(frame);
            (void)atoll_queue_size(inner);
            atoll_queue_release(inner);
        }
        atoll_queue_release(queue);
    }
}

/* Searches that give up, until all queues are looked at: that takes the queue
 * that they begin from, and whatever else earlier ones gave up on. */
static void
look_at_all(void)
{
    atoll_queue *queue = NULL;
    NEED(atoll_queue_new(0, ATOLL_UNBOUND_KEEP, &queue) == ATOLL_OK);
    uint64_t id = atoll_queue_id(queue);
    for (int i = 0; i < 300; i++) {
        put_mention(queue, queue);
    }
    do {
        atoll_queue_release(queue);
    } while (atoll_queue_find(id, &queue) == ATOLL_OK);
}

/* Nothing leaks and nothing is freed too early, whatever holds what: at the
 * end nobody has a handle, and all must be gone. */
static void
test_webs(void)
{
    uint64_t before = atoll_queue_live();
    web w = {.seed = test_seed("webs")};
    actor actors[4];
    for (int i = 0; i < 4; i++) {
        actors[i].index = i;
        actor_start(&actors[i], weave, &w);
    }
    for (int i = 0; i < 4; i++) {
        actor_join(&actors[i]);
    }
    look_at_all();
    CHECK(atoll_queue_live() == before);
}

/* --- Locks --- */

typedef struct lock_crowd {
    atoll_lock *lock;
    atoll_semaphore *semaphore;
    atoll_event *event;
    uint64_t seed;
    _Atomic int inside;
    _Atomic int slots;
    _Atomic int deaths;
    long counter; /* guarded by the lock */
    _Atomic long counted;
} lock_crowd;

/* Plays an interpreter that sometimes ends while it holds the lock. */
static void
use_locks(actor *self)
{
    lock_crowd *c = self->arg;
    uint64_t random = c->seed + (uint64_t)self->index;
    atoll_owner me = {self->index, atoll_thread_ident()};
    for (int i = 0; i < rounds(5000); i++) {
        atoll_wait wait = random_wait(self, &random);
        if (atoll_semaphore_down(c->semaphore, &wait) == ATOLL_OK) {
            CHECK(++c->slots <= 2);
            c->slots--;
            CHECK(atoll_semaphore_up(c->semaphore, 1) == ATOLL_OK);
        }
        wait = random_wait(self, &random);
        atoll_status status = atoll_lock_lock(c->lock, me, &wait);
        if (status == ATOLL_E_OWNER_DIED) {
            atoll_lock_reset(c->lock);
            continue;
        }
        if (status != ATOLL_OK) {
            CHECK(goes_on(status));
            continue;
        }
        CHECK(++c->inside == 1);
        c->counter++;
        c->counted++;
        if (test_random(&random) % 16 == 0) {
            sched_yield();
        }
        c->inside--;
        if (test_random(&random) % 64 == 0) {
            c->deaths++;
            atoll_sync_owner_died(self->index);
        }
        else {
            CHECK(atoll_lock_unlock(c->lock, me) == ATOLL_OK);
        }
        if (test_random(&random) % 8 == 0) {
            atoll_event_set(c->event);
        }
        else if (test_random(&random) % 8 == 0) {
            atoll_event_clear(c->event);
        }
        else if (test_random(&random) % 8 == 0) {
            wait.deadline = atoll_now() + 10000;
            (void)atoll_event_wait(c->event, &wait);
        }
    }
    self->step = 1;
}

static void
test_locks(void)
{
    for (int recursive = 0; recursive < 2; recursive++) {
        lock_crowd c = {.seed = test_seed("locks")};
        NEED(atoll_lock_new(recursive, &c.lock) == ATOLL_OK);
        NEED(atoll_semaphore_new(2, true, &c.semaphore) == ATOLL_OK);
        NEED(atoll_event_new(&c.event) == ATOLL_OK);
        actor actors[6];
        for (int i = 0; i < 6; i++) {
            actors[i].index = i;
            actor_start(&actors[i], use_locks, &c);
        }
        uint64_t random = c.seed;
        for (int i = 0; i < 6; i++) {
            while (actors[i].step == 0) {
                atoll_parker_interrupt(
                    &actors[test_random(&random) % 6].parker);
                sched_yield();
            }
        }
        for (int i = 0; i < 6; i++) {
            actor_join(&actors[i]);
        }
        CHECK(c.counter == c.counted && c.counter > 0);
        CHECK(c.deaths > 0);
        CHECK(atoll_semaphore_value(c.semaphore) == 2);
        atoll_lock_release(c.lock);
        atoll_semaphore_release(c.semaphore);
        atoll_event_release(c.event);
    }
}

int
main(int argc, char **argv)
{
    RUN(test_model);
    RUN(test_crowds);
    RUN(test_select_crowd);
    RUN(test_webs);
    RUN(test_locks);
    return test_end();
}
