/* The queue itself: items, and the four lines of those who wait.
 *
 * Every change is made under the queue's lock by small functions that move
 * frames and grant waiters; the system calls that wake come after unlocking.
 * A hand-off costs a waking getter no lock at all (waiting.h).
 *
 * Locks: see queue.h.
 */
#include "queue.h"

#include "queue_private.h"

void
queue_release_frames(atoll_frame *frames)
{
    while (frames != NULL) {
        atoll_frame *next = frames->next;
        frames->next = NULL;
        atoll_frame_release(frames);
        frames = next;
    }
}

void
queue_grant(atoll_waiter *waiter, atoll_status status, queue_wakes *wakes)
{
    if (ATOLL_LIKELY(waiter->parker != NULL)) {
        atoll_waiter_grant(waiter, status, &wakes->threads);
    }
    else {
        waiter->status = status;
        async_complete(waiter, wakes);
    }
}

static void
grant_all(atoll_line *line, atoll_status status, queue_wakes *wakes)
{
    atoll_waiter *waiter;
    while ((waiter = atoll_line_pop(line)) != NULL) {
        queue_grant(waiter, status, wakes);
    }
}

static bool
has_room(const atoll_queue *queue)
{
    return queue->maxsize <= 0
           || queue->items.count < (uint64_t)queue->maxsize;
}

void
queue_announce(atoll_queue *queue, queue_wakes *wakes)
{
    if (ATOLL_UNLIKELY(queue->watchers.first != NULL)) {
        queue_grant(atoll_line_pop(&queue->watchers), ATOLL_OK, wakes);
    }
}

/* Gives frames to waiting getters, the longest waiting first, each as many as
 * it wants. */
static void
feed_getters(atoll_queue *queue, frame_list *frames, queue_wakes *wakes)
{
    while (queue->getters.first != NULL && frames->first != NULL) {
        queue_getter *getter = (queue_getter *)queue->getters.first;
        frame_list_push(&getter->got, frame_list_pop(frames));
        if (getter->got.count == getter->want || frames->first == NULL) {
            (void)atoll_line_pop(&queue->getters);
            queue_grant(&getter->waiter, ATOLL_OK, wakes);
        }
    }
}

/* A frame becomes an item: it is counted, and numbered. */
static void
adopt(atoll_queue *queue, atoll_frame *frame)
{
    queue->unfinished++;
    queue->sequence++;
    frame->tag = (queue->sequence << QUEUE_TAG_SHIFT) | (frame->tag & 0xff);
}

/* The putter's next frame, as an item. */
static atoll_frame *
next_of(atoll_queue *queue, queue_putter *putter)
{
    atoll_frame *frame = putter->frames;
    putter->frames = frame->next;
    putter->put++;
    adopt(queue, frame);
    putter->sequence = queue->sequence;
    return frame;
}

/* Lets waiting putters' frames in while there is room. */
static void
admit_putters(atoll_queue *queue, queue_wakes *wakes)
{
    while (queue->putters.first != NULL && has_room(queue)) {
        queue_putter *putter = (queue_putter *)queue->putters.first;
        frame_list_push(&queue->items, next_of(queue, putter));
        if (putter->frames == NULL) {
            (void)atoll_line_pop(&queue->putters);
            queue_grant(&putter->waiter, ATOLL_OK, wakes);
        }
    }
}

static void
release_joiners(atoll_queue *queue, queue_wakes *wakes)
{
    if (queue->unfinished == 0) {
        grant_all(&queue->joiners, ATOLL_OK, wakes);
    }
}

void
queue_settle(atoll_queue *queue, queue_wakes *wakes)
{
    admit_putters(queue, wakes);
    release_joiners(queue, wakes);
}

atoll_frame *
queue_take(atoll_queue *queue, queue_wakes *wakes)
{
    if (queue->items.first == NULL) {
        return NULL;
    }
    atoll_frame *frame = frame_list_pop(&queue->items);
    if (ATOLL_UNLIKELY(queue->putters.first != NULL)) {
        admit_putters(queue, wakes);
    }
    return frame;
}

atoll_status
queue_offer(atoll_queue *queue, atoll_frame *frame, queue_wakes *wakes)
{
    if (ATOLL_UNLIKELY(queue->shut)) {
        return ATOLL_E_SHUTDOWN;
    }
    if (queue->getters.first != NULL) {
        adopt(queue, frame);
        frame_list one = {0};
        frame_list_push(&one, frame);
        feed_getters(queue, &one, wakes);
        return ATOLL_OK;
    }
    if (!has_room(queue)) {
        return ATOLL_E_FULL;
    }
    adopt(queue, frame);
    frame_list_push(&queue->items, frame);
    queue_announce(queue, wakes);
    return ATOLL_OK;
}

bool
queue_restore(atoll_queue *queue, frame_list *frames, queue_wakes *wakes)
{
    if (queue->drained) {
        queue->unfinished -= frames->count < queue->unfinished
                                 ? frames->count
                                 : queue->unfinished;
        release_joiners(queue, wakes);
        return false;
    }
    feed_getters(queue, frames, wakes);
    if (frames->first != NULL) {
        frames->last->next = queue->items.first;
        if (queue->items.first == NULL) {
            queue->items.last = frames->last;
        }
        queue->items.first = frames->first;
        queue->items.count += frames->count;
        queue_announce(queue, wakes);
    }
    return true;
}

bool
queue_withdraw(atoll_queue *queue, atoll_frame *frame, uint64_t sequence,
               queue_wakes *wakes)
{
    atoll_frame *before = NULL;
    atoll_frame *at = queue->items.first;
    while (at != NULL
           && (at != frame || at->tag >> QUEUE_TAG_SHIFT != sequence)) {
        before = at;
        at = at->next;
    }
    if (at == NULL) {
        return false;
    }
    if (before == NULL) {
        queue->items.first = at->next;
    }
    else {
        before->next = at->next;
    }
    if (at->next == NULL) {
        queue->items.last = before;
    }
    at->next = NULL;
    queue->items.count--;
    queue->unfinished -= queue->unfinished > 0;
    queue_settle(queue, wakes);
    return true;
}

/* --- Properties --- */

uint64_t
atoll_queue_id(const atoll_queue *queue)
{
    return queue->id;
}

int64_t
atoll_queue_maxsize(const atoll_queue *queue)
{
    return queue->maxsize;
}

atoll_unbound
atoll_queue_policy(const atoll_queue *queue)
{
    return queue->policy;
}

size_t
atoll_queue_size(atoll_queue *queue)
{
    atoll_mutex_lock(&queue->lock);
    size_t size = queue->items.count;
    atoll_mutex_unlock(&queue->lock);
    return size;
}

bool
atoll_queue_full(atoll_queue *queue)
{
    atoll_mutex_lock(&queue->lock);
    bool full = !has_room(queue);
    atoll_mutex_unlock(&queue->lock);
    return full;
}

uint64_t
atoll_queue_unfinished(atoll_queue *queue)
{
    atoll_mutex_lock(&queue->lock);
    uint64_t unfinished = queue->unfinished;
    atoll_mutex_unlock(&queue->lock);
    return unfinished;
}

static size_t
length_of(const atoll_line *line)
{
    size_t length = 0;
    for (const atoll_waiter *at = line->first; at != NULL; at = at->next) {
        length++;
    }
    return length;
}

atoll_queue_waiting
atoll_queue_count_waiting(atoll_queue *queue)
{
    atoll_mutex_lock(&queue->lock);
    atoll_queue_waiting waiting = {
        .getters = length_of(&queue->getters),
        .putters = length_of(&queue->putters),
        .watchers = length_of(&queue->watchers),
        .joiners = length_of(&queue->joiners),
    };
    atoll_mutex_unlock(&queue->lock);
    return waiting;
}

bool
atoll_queue_is_shutdown(atoll_queue *queue)
{
    atoll_mutex_lock(&queue->lock);
    bool shut = queue->shut;
    atoll_mutex_unlock(&queue->lock);
    return shut;
}

atoll_unbound
atoll_queue_item_lost(const atoll_frame *frame)
{
    return (frame->tag & QUEUE_TAG_LOST) ? (atoll_unbound)(frame->tag & 0xff)
                                         : ATOLL_UNBOUND_KEEP;
}

/* --- Operations --- */

atoll_status
atoll_queue_put(atoll_queue *queue, atoll_frame *frame, atoll_wait *wait)
{
    queue_wakes wakes;
    queue_wakes_init(&wakes);
    atoll_mutex_lock(&queue->lock);
    atoll_status status = queue_offer(queue, frame, &wakes);
    if (status != ATOLL_E_FULL || wait == NULL) {
        atoll_mutex_unlock(&queue->lock);
        queue_wakes_send(&wakes);
        return status;
    }
    if (wait->deadline <= 0) {
        atoll_mutex_unlock(&queue->lock);
        return ATOLL_E_TIMEOUT;
    }
    queue_putter putter = {.frames = frame, .put = 0};
    frame->next = NULL;
    atoll_waiter_init(&putter.waiter, wait);
    atoll_line_join(&queue->putters, &putter.waiter, wait);
    atoll_mutex_unlock(&queue->lock);
    return atoll_waiter_sleep(&putter.waiter, &queue->putters, &queue->lock,
                              wait);
}

/* Locks: the queue's, held.  How many items the waiting getters would take. */
static size_t
wanted(const atoll_queue *queue)
{
    size_t want = 0;
    for (atoll_waiter *at = queue->getters.first; at != NULL; at = at->next) {
        size_t more = ((queue_getter *)at)->want;
        want = more > SIZE_MAX - want ? SIZE_MAX : want + more;
    }
    return want;
}

/* Locks: the queue's, held.  Puts what can be put without waiting. */
static atoll_status
offer_many(atoll_queue *queue, queue_putter *putter, queue_wakes *wakes)
{
    if (queue->shut) {
        return ATOLL_E_SHUTDOWN;
    }
    size_t want = wanted(queue);
    if (want > 0) {
        frame_list given = {0};
        while (putter->frames != NULL && given.count < want) {
            frame_list_push(&given, next_of(queue, putter));
        }
        feed_getters(queue, &given, wakes);
    }
    bool stored = false;
    while (putter->frames != NULL && has_room(queue)) {
        frame_list_push(&queue->items, next_of(queue, putter));
        stored = true;
    }
    if (stored) {
        queue_announce(queue, wakes);
    }
    return putter->frames == NULL ? ATOLL_OK : ATOLL_E_FULL;
}

atoll_status
atoll_queue_put_many(atoll_queue *queue, atoll_frame **frames,
                     atoll_wait *wait, size_t *out_put)
{
    queue_wakes wakes;
    queue_wakes_init(&wakes);
    queue_putter putter = {.frames = *frames, .put = 0};
    atoll_mutex_lock(&queue->lock);
    atoll_status status = offer_many(queue, &putter, &wakes);
    bool sleeps = false;
    if (status == ATOLL_E_FULL && wait != NULL) {
        sleeps = wait->deadline > 0;
        status = ATOLL_E_TIMEOUT;
    }
    if (sleeps) {
        atoll_waiter_init(&putter.waiter, wait);
        atoll_line_join(&queue->putters, &putter.waiter, wait);
    }
    atoll_mutex_unlock(&queue->lock);
    queue_wakes_send(&wakes);
    if (sleeps) {
        status = atoll_waiter_sleep(&putter.waiter, &queue->putters,
                                    &queue->lock, wait);
    }
    *frames = putter.frames;
    *out_put = putter.put;
    return status;
}

/* Locks: the queue's, held. */
static atoll_status
why_empty(const atoll_queue *queue, const atoll_wait *wait)
{
    if (queue->shut) {
        return ATOLL_E_SHUTDOWN;
    }
    return wait == NULL ? ATOLL_E_EMPTY : ATOLL_E_TIMEOUT;
}

atoll_status
atoll_queue_get(atoll_queue *queue, atoll_wait *wait, atoll_frame **out_frame)
{
    queue_wakes wakes;
    queue_wakes_init(&wakes);
    atoll_mutex_lock(&queue->lock);
    atoll_frame *frame = queue_take(queue, &wakes);
    if (frame != NULL) {
        atoll_mutex_unlock(&queue->lock);
        queue_wakes_send(&wakes);
        *out_frame = frame;
        return ATOLL_OK;
    }
    if (queue->shut || wait == NULL || wait->deadline <= 0) {
        atoll_status why = why_empty(queue, wait);
        atoll_mutex_unlock(&queue->lock);
        return why;
    }
    queue_getter getter = {.want = 1};
    atoll_waiter_init(&getter.waiter, wait);
    atoll_line_join(&queue->getters, &getter.waiter, wait);
    atoll_mutex_unlock(&queue->lock);
    atoll_status status = atoll_waiter_sleep(&getter.waiter, &queue->getters,
                                             &queue->lock, wait);
    if (status == ATOLL_OK) {
        *out_frame = getter.got.first;
    }
    return status;
}

/* Locks: the queue's, held. */
static void
take_many(atoll_queue *queue, size_t max, frame_list *into, queue_wakes *wakes)
{
    while (into->count < max && queue->items.first != NULL) {
        frame_list_push(into, frame_list_pop(&queue->items));
        if (queue->items.first == NULL) {
            admit_putters(queue, wakes);
        }
    }
    admit_putters(queue, wakes);
}

atoll_status
atoll_queue_get_many(atoll_queue *queue, size_t max, atoll_wait *wait,
                     atoll_frame **out_frames, size_t *out_count)
{
    atoll_status status = ATOLL_OK;
    queue_wakes wakes;
    queue_wakes_init(&wakes);
    queue_getter getter = {.want = max};
    atoll_mutex_lock(&queue->lock);
    take_many(queue, max, &getter.got, &wakes);
    if (getter.got.count > 0) {
        atoll_mutex_unlock(&queue->lock);
    }
    else if (queue->shut || wait == NULL || wait->deadline <= 0) {
        status = why_empty(queue, wait);
        atoll_mutex_unlock(&queue->lock);
    }
    else {
        atoll_waiter_init(&getter.waiter, wait);
        atoll_line_join(&queue->getters, &getter.waiter, wait);
        atoll_mutex_unlock(&queue->lock);
        status = atoll_waiter_sleep(&getter.waiter, &queue->getters,
                                    &queue->lock, wait);
        if (status == ATOLL_OK && getter.got.count < max) {
            /* More may have come while this thread was waking up. */
            atoll_mutex_lock(&queue->lock);
            take_many(queue, max, &getter.got, &wakes);
            atoll_mutex_unlock(&queue->lock);
        }
    }
    queue_wakes_send(&wakes);
    if (status == ATOLL_OK) {
        *out_frames = getter.got.first;
        *out_count = getter.got.count;
    }
    return status;
}

void
atoll_queue_unget(atoll_queue *queue, atoll_frame *frames)
{
    frame_list list = {0};
    while (frames != NULL) {
        atoll_frame *next = frames->next;
        frame_list_push(&list, frames);
        frames = next;
    }
    if (list.first == NULL) {
        return;
    }
    queue_wakes wakes;
    queue_wakes_init(&wakes);
    atoll_mutex_lock(&queue->lock);
    bool kept = queue_restore(queue, &list, &wakes);
    atoll_mutex_unlock(&queue->lock);
    queue_wakes_send(&wakes);
    if (!kept) {
        queue_release_frames(list.first);
    }
}

void
atoll_queue_shutdown(atoll_queue *queue, bool immediate)
{
    atoll_frame *dropped = NULL;
    queue_wakes wakes;
    queue_wakes_init(&wakes);
    atoll_mutex_lock(&queue->lock);
    queue->shut = true;
    if (immediate) {
        queue->drained = true;
        dropped = queue->items.first;
        queue->unfinished -= queue->items.count < queue->unfinished
                                 ? queue->items.count
                                 : queue->unfinished;
        queue->items = (frame_list){0};
    }
    grant_all(&queue->putters, ATOLL_E_SHUTDOWN, &wakes);
    grant_all(&queue->getters, ATOLL_E_SHUTDOWN, &wakes);
    grant_all(&queue->watchers, ATOLL_OK, &wakes);
    release_joiners(queue, &wakes);
    atoll_mutex_unlock(&queue->lock);
    queue_wakes_send(&wakes);
    queue_release_frames(dropped);
}

atoll_status
atoll_queue_task_done(atoll_queue *queue)
{
    queue_wakes wakes;
    queue_wakes_init(&wakes);
    atoll_status status = ATOLL_E_VALUE;
    atoll_mutex_lock(&queue->lock);
    if (queue->unfinished > 0) {
        queue->unfinished--;
        release_joiners(queue, &wakes);
        status = ATOLL_OK;
    }
    atoll_mutex_unlock(&queue->lock);
    queue_wakes_send(&wakes);
    return status;
}

atoll_status
atoll_queue_join(atoll_queue *queue, atoll_wait *wait)
{
    atoll_mutex_lock(&queue->lock);
    if (queue->unfinished == 0 || wait == NULL || wait->deadline <= 0) {
        bool done = queue->unfinished == 0;
        atoll_mutex_unlock(&queue->lock);
        return done ? ATOLL_OK : wait == NULL ? ATOLL_E_BUSY : ATOLL_E_TIMEOUT;
    }
    atoll_waiter joiner;
    atoll_waiter_init(&joiner, wait);
    atoll_line_join(&queue->joiners, &joiner, wait);
    atoll_mutex_unlock(&queue->lock);
    return atoll_waiter_sleep(&joiner, &queue->joiners, &queue->lock, wait);
}
