/* See async.h.
 *
 * A node's `stage` and result are guarded by its queue's lock, its places in
 * the loop's two lists by the loop's.  `rung` is true exactly while the
 * descriptor is readable; both change under the loop's lock.  Whoever grants
 * rings after it has unlocked the queue; it holds a reference to the loop for
 * that.
 *
 * Locks: queue -> loop; all_loops -> loop (fork only: table -> queues ->
 * all_loops -> loops); nothing else is taken under either.
 */
#include "async.h"

#include "queue_private.h"

typedef enum async_kind { ASYNC_GET, ASYNC_PUT, ASYNC_JOIN } async_kind;

typedef enum async_stage {
    STAGE_WAITING,
    STAGE_DONE,      /* granted */
    STAGE_CANCELLED, /* by the loop's end, or a fork */
    STAGE_FINISHED,  /* the result has been handed out */
} async_stage;

struct atoll_async {
    union {
        atoll_waiter waiter;
        queue_getter getter;
        queue_putter putter;
    } in; /* first; [queue lock] */
    async_kind kind;
    async_stage stage;  /* [queue lock] */
    atoll_queue *queue; /* owns a handle */
    atoll_loop *loop;   /* owns a reference */
    void *user;
    /* Of a put, until it is dropped or finished [queue lock]: in the queue,
     * or, once got, somebody else's and only an address. */
    atoll_frame *frame;
    bool happened;     /* cancelled too late: the put stands [queue lock] */
    atoll_async *done; /* next that is done [loop lock] */
    bool is_done;      /* in the list [loop lock] */
    atoll_async *next; /* of the loop's nodes [loop lock] */
    atoll_async *prev;
};

struct atoll_loop {
    atoll_refcount count;
    atoll_mutex lock;
    atoll_bell bell;         /* [lock]; the loop's thread may read fd */
    bool rung;               /* [lock] */
    bool closed;             /* [lock] */
    int64_t owner;           /* [all_loops] */
    atoll_async *first_done; /* [lock] */
    atoll_async *last_done;  /* [lock] */
    atoll_async *nodes;      /* [lock] */
    atoll_loop *next;        /* [all_loops] */
    atoll_loop *prev;        /* [all_loops] */
};

static atoll_mutex all_loops = ATOLL_MUTEX_STATIC;
static atoll_loop *first_loop; /* [all_loops] */

/* --- Loops --- */

atoll_status
atoll_loop_new(atoll_loop **out_loop)
{
    atoll_loop *loop = atoll_calloc(1, sizeof(*loop));
    if (loop == NULL) {
        return ATOLL_E_NOMEM;
    }
    atoll_status status = atoll_mutex_init(&loop->lock);
    if (status != ATOLL_OK) {
        atoll_free(loop);
        return status;
    }
    status = atoll_bell_init(&loop->bell);
    if (status != ATOLL_OK) {
        atoll_mutex_fini(&loop->lock);
        atoll_free(loop);
        return status;
    }
    atoll_ref_init(&loop->count);
    loop->owner = -1;
    atoll_mutex_lock(&all_loops);
    loop->next = first_loop;
    if (first_loop != NULL) {
        first_loop->prev = loop;
    }
    first_loop = loop;
    atoll_mutex_unlock(&all_loops);
    *out_loop = loop;
    return ATOLL_OK;
}

void
atoll_loop_set_owner(atoll_loop *loop, int64_t interp)
{
    atoll_mutex_lock(&all_loops);
    loop->owner = interp;
    atoll_mutex_unlock(&all_loops);
}

void
atoll_loop_acquire(atoll_loop *loop)
{
    atoll_ref_acquire(&loop->count);
}

void
atoll_loop_release(atoll_loop *loop)
{
    if (!atoll_ref_release(&loop->count)) {
        return;
    }
    atoll_mutex_lock(&all_loops);
    if (loop->prev == NULL) {
        first_loop = loop->next;
    }
    else {
        loop->prev->next = loop->next;
    }
    if (loop->next != NULL) {
        loop->next->prev = loop->prev;
    }
    atoll_mutex_unlock(&all_loops);
    if (!loop->closed) {
        atoll_bell_fini(&loop->bell);
    }
    atoll_mutex_fini(&loop->lock);
    atoll_free(loop);
}

int
atoll_loop_fd(const atoll_loop *loop)
{
    return loop->bell.read_fd;
}

void
async_ring(atoll_loop *loop)
{
    atoll_mutex_lock(&loop->lock);
    if (loop->first_done != NULL && !loop->rung && !loop->closed) {
        loop->rung = true;
        atoll_bell_ring(&loop->bell);
    }
    atoll_mutex_unlock(&loop->lock);
    atoll_loop_release(loop);
}

void
atoll_loop_wake_all(int64_t interp)
{
    atoll_mutex_lock(&all_loops);
    for (atoll_loop *at = first_loop; at != NULL; at = at->next) {
        if (at->owner != interp) {
            continue;
        }
        atoll_mutex_lock(&at->lock);
        if (!at->rung && !at->closed) {
            at->rung = true;
            atoll_bell_ring(&at->bell);
        }
        atoll_mutex_unlock(&at->lock);
    }
    atoll_mutex_unlock(&all_loops);
}

/* Locks: the loop's, held. */
static void
silence(atoll_loop *loop)
{
    if (loop->rung) {
        loop->rung = false;
        atoll_bell_silence(&loop->bell);
    }
}

atoll_async *
atoll_loop_take(atoll_loop *loop)
{
    atoll_mutex_lock(&loop->lock);
    silence(loop);
    atoll_async *node = loop->first_done;
    if (node != NULL) {
        loop->first_done = node->done;
        node->done = NULL;
        node->is_done = false;
    }
    atoll_mutex_unlock(&loop->lock);
    return node;
}

/* --- Nodes --- */

static atoll_async *
new_node(async_kind kind, atoll_queue *queue, atoll_loop *loop, void *user)
{
    atoll_async *node = atoll_calloc(1, sizeof(*node));
    if (node == NULL) {
        return NULL;
    }
    node->kind = kind;
    node->user = user;
    node->queue = queue;
    node->loop = loop;
    atoll_queue_acquire(queue);
    atoll_loop_acquire(loop);
    atoll_mutex_lock(&loop->lock);
    node->next = loop->nodes;
    if (loop->nodes != NULL) {
        loop->nodes->prev = node;
    }
    loop->nodes = node;
    atoll_mutex_unlock(&loop->lock);
    return node;
}

/* The node is in no line, and nobody else knows it any more. */
static void
free_node(atoll_async *node)
{
    atoll_loop *loop = node->loop;
    atoll_mutex_lock(&loop->lock);
    if (node->prev == NULL) {
        loop->nodes = node->next;
    }
    else {
        node->prev->next = node->next;
    }
    if (node->next != NULL) {
        node->next->prev = node->prev;
    }
    atoll_mutex_unlock(&loop->lock);
    atoll_queue *queue = node->queue;
    atoll_free(node);
    atoll_loop_release(loop);
    atoll_queue_release(queue);
}

static atoll_line *
line_of(const atoll_async *node)
{
    switch (node->kind) {
    case ASYNC_GET:
        return &node->queue->getters;
    case ASYNC_PUT:
        return &node->queue->putters;
    default:
        return &node->queue->joiners;
    }
}

void
async_complete(atoll_waiter *waiter, queue_wakes *wakes)
{
    atoll_async *node = (atoll_async *)waiter;
    atoll_loop *loop = node->loop;
    node->stage = STAGE_DONE;
    atoll_mutex_lock(&loop->lock);
    node->is_done = true;
    node->done = NULL;
    if (loop->first_done == NULL) {
        loop->first_done = node;
    }
    else {
        loop->last_done->done = node;
    }
    loop->last_done = node;
    atoll_mutex_unlock(&loop->lock);
    for (uint32_t i = 0; i < wakes->nloops; i++) {
        if (wakes->loops[i] == loop) {
            return;
        }
    }
    atoll_loop_acquire(loop);
    if (wakes->nloops < QUEUE_BELLS) {
        wakes->loops[wakes->nloops++] = loop;
    }
    else {
        /* Under the queue's lock, for once; the reference that it drops is
         * not the last: the node has one. */
        async_ring(loop);
    }
}

static bool
is_closed(atoll_loop *loop)
{
    atoll_mutex_lock(&loop->lock);
    bool closed = loop->closed;
    atoll_mutex_unlock(&loop->lock);
    return closed;
}

atoll_status
atoll_async_get(atoll_queue *queue, atoll_loop *loop, void *user,
                atoll_frame **out_frame, atoll_async **out_node)
{
    atoll_status status = atoll_queue_get(queue, NULL, out_frame);
    if (status != ATOLL_E_EMPTY) {
        return status;
    }
    if (is_closed(loop)) {
        return ATOLL_E_CLOSED;
    }
    atoll_async *node = new_node(ASYNC_GET, queue, loop, user);
    if (node == NULL) {
        return ATOLL_E_NOMEM;
    }
    node->in.getter.want = 1;
    queue_wakes wakes;
    queue_wakes_init(&wakes);
    atoll_mutex_lock(&queue->lock);
    atoll_frame *frame = queue_take(queue, &wakes);
    if (frame == NULL && !queue->shut) {
        atoll_line_add(&queue->getters, &node->in.waiter);
        atoll_mutex_unlock(&queue->lock);
        *out_node = node;
        return ATOLL_E_EMPTY;
    }
    atoll_mutex_unlock(&queue->lock);
    queue_wakes_send(&wakes);
    free_node(node);
    if (frame == NULL) {
        return ATOLL_E_SHUTDOWN;
    }
    *out_frame = frame;
    return ATOLL_OK;
}

atoll_status
atoll_async_put(atoll_queue *queue, atoll_frame *frame, atoll_loop *loop,
                void *user, atoll_async **out_node)
{
    atoll_status status = atoll_queue_put(queue, frame, NULL);
    if (status != ATOLL_E_FULL) {
        return status;
    }
    if (is_closed(loop)) {
        return ATOLL_E_CLOSED;
    }
    atoll_async *node = new_node(ASYNC_PUT, queue, loop, user);
    if (node == NULL) {
        return ATOLL_E_NOMEM;
    }
    queue_wakes wakes;
    queue_wakes_init(&wakes);
    atoll_mutex_lock(&queue->lock);
    status = queue_offer(queue, frame, &wakes);
    if (status == ATOLL_E_FULL) {
        frame->next = NULL;
        node->frame = frame;
        node->in.putter.frames = frame;
        atoll_line_add(&queue->putters, &node->in.waiter);
        atoll_mutex_unlock(&queue->lock);
        *out_node = node;
        return ATOLL_E_FULL;
    }
    atoll_mutex_unlock(&queue->lock);
    queue_wakes_send(&wakes);
    free_node(node);
    return status;
}

atoll_status
atoll_async_join(atoll_queue *queue, atoll_loop *loop, void *user,
                 atoll_async **out_node)
{
    if (is_closed(loop)) {
        return ATOLL_E_CLOSED;
    }
    atoll_async *node = new_node(ASYNC_JOIN, queue, loop, user);
    if (node == NULL) {
        return ATOLL_E_NOMEM;
    }
    atoll_mutex_lock(&queue->lock);
    bool waits = queue->unfinished > 0;
    if (waits) {
        atoll_line_add(&queue->joiners, &node->in.waiter);
    }
    atoll_mutex_unlock(&queue->lock);
    if (!waits) {
        free_node(node);
        return ATOLL_OK;
    }
    *out_node = node;
    return ATOLL_E_BUSY;
}

void *
atoll_async_user(const atoll_async *node)
{
    return node->user;
}

atoll_status
atoll_async_finish(atoll_async *node, atoll_frame **out_frame)
{
    atoll_frame *refused = NULL;
    *out_frame = NULL;
    atoll_mutex_lock(&node->queue->lock);
    atoll_status status = ATOLL_E_CLOSED;
    if (node->stage == STAGE_WAITING) {
        status = ATOLL_E_BUSY;
    }
    else if (node->stage == STAGE_DONE) {
        status = node->in.waiter.status;
        node->stage = STAGE_FINISHED;
        if (node->kind == ASYNC_GET && status == ATOLL_OK) {
            *out_frame = node->in.getter.got.first;
        }
        else if (node->kind == ASYNC_PUT && status != ATOLL_OK) {
            refused = node->frame;
        }
        node->frame = NULL;
    }
    atoll_mutex_unlock(&node->queue->lock);
    queue_release_frames(refused);
    return status;
}

/* Locks: the queue's, held.  Undoes what can be undone.  Returns frames to be
 * released, outside all locks. */
static atoll_frame *
undo(atoll_async *node, queue_wakes *wakes)
{
    atoll_queue *queue = node->queue;
    if (node->stage == STAGE_WAITING) {
        atoll_line_remove(line_of(node), &node->in.waiter);
        return node->frame;
    }
    if (node->stage == STAGE_CANCELLED || node->kind == ASYNC_JOIN) {
        return node->frame;
    }
    if (node->kind == ASYNC_GET) {
        frame_list got = node->in.getter.got;
        bool kept = got.first == NULL || queue_restore(queue, &got, wakes);
        return kept ? NULL : got.first;
    }
    node->happened = node->in.waiter.status == ATOLL_OK
                     && !queue_withdraw(queue, node->frame,
                                        node->in.putter.sequence, wakes);
    return node->happened ? NULL : node->frame;
}

/* Leaves the node in STAGE_CANCELLED, unless it was finished, and in no line.
 * Returns true if nothing has happened. */
static bool
cancel(atoll_async *node)
{
    atoll_frame *drop = NULL;
    queue_wakes wakes;
    queue_wakes_init(&wakes);
    atoll_mutex_lock(&node->queue->lock);
    bool undone = node->stage != STAGE_FINISHED;
    if (undone) {
        drop = undo(node, &wakes);
        undone = !node->happened;
        node->stage = STAGE_CANCELLED;
        node->frame = NULL;
    }
    atoll_mutex_unlock(&node->queue->lock);
    queue_wakes_send(&wakes);
    queue_release_frames(drop);
    return undone;
}

/* Takes it out of the list of those that are done. */
static void
forget_done(atoll_async *node)
{
    atoll_loop *loop = node->loop;
    atoll_mutex_lock(&loop->lock);
    if (node->is_done) {
        atoll_async *before = NULL;
        atoll_async *at = loop->first_done;
        while (at != node) {
            before = at;
            at = at->done;
        }
        if (before == NULL) {
            loop->first_done = node->done;
        }
        else {
            before->done = node->done;
        }
        if (loop->last_done == node) {
            loop->last_done = before;
        }
        node->is_done = false;
        if (loop->first_done == NULL) {
            silence(loop);
        }
    }
    atoll_mutex_unlock(&loop->lock);
}

bool
atoll_async_free(atoll_async *node)
{
    bool undone = cancel(node);
    forget_done(node);
    free_node(node);
    return undone;
}

void
atoll_loop_close(atoll_loop *loop)
{
    atoll_mutex_lock(&loop->lock);
    bool closed = loop->closed;
    loop->closed = true;
    atoll_async *node = loop->nodes;
    atoll_mutex_unlock(&loop->lock);
    if (closed) {
        return;
    }
    /* Only the caller adds nodes or frees them. */
    for (; node != NULL; node = node->next) {
        (void)cancel(node);
        forget_done(node);
    }
    atoll_mutex_lock(&loop->lock);
    atoll_bell_fini(&loop->bell);
    loop->rung = false;
    atoll_mutex_unlock(&loop->lock);
}

void
async_owner_died(int64_t interp)
{
    atoll_loop *loop;
    do {
        atoll_mutex_lock(&all_loops);
        loop = first_loop;
        while (loop != NULL
               && (loop->owner != interp
                   || !atoll_ref_acquire_if_alive(&loop->count))) {
            loop = loop->next;
        }
        if (loop != NULL) {
            loop->owner = -1;
        }
        atoll_mutex_unlock(&all_loops);
        if (loop != NULL) {
            atoll_loop_close(loop);
            atoll_loop_release(loop);
        }
    } while (loop != NULL);
}

/* --- Fork --- */

void
async_before_fork(void)
{
    atoll_mutex_lock(&all_loops);
    for (atoll_loop *at = first_loop; at != NULL; at = at->next) {
        atoll_mutex_lock(&at->lock);
    }
}

void
async_parent_after_fork(void)
{
    for (atoll_loop *at = first_loop; at != NULL; at = at->next) {
        atoll_mutex_unlock(&at->lock);
    }
    atoll_mutex_unlock(&all_loops);
}

void
async_abandon(atoll_waiter *waiter)
{
    atoll_async *node = (atoll_async *)waiter;
    waiter->queued = false;
    node->stage = STAGE_CANCELLED;
}

void
async_after_fork(void)
{
    for (atoll_loop *at = first_loop; at != NULL; at = at->next) {
        if (!at->closed) {
            /* The child's copies only: ringing would wake the parent. */
            atoll_bell_fini(&at->bell);
            at->closed = true;
            at->rung = false;
        }
        atoll_mutex_unlock(&at->lock);
    }
    atoll_mutex_unlock(&all_loops);
}
