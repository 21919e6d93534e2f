/* What queue.c, queue_table.c, queue_select.c and async.c share, and nobody
 * else includes.
 *
 * [lock] is the queue's own lock, [table] the table's (queue_table.c).
 * Invariants, whenever the lock is free:
 *   getters wait      => no items, not shut down
 *   putters wait      => bounded, no room, not shut down
 *   watchers wait     => not shut down; and if there are items, one watcher
 *                        has been taken out of line and woken, and will look
 *                        at the queue again (the pass-on rule, queue_select.c)
 *   joiners wait      => unfinished > 0
 * A queue without handles is touched by nobody: see queue_table.c.
 */
#ifndef ATOLL_CORE_QUEUE_PRIVATE_H
#define ATOLL_CORE_QUEUE_PRIVATE_H

#include "async.h"

typedef struct frame_list {
    atoll_frame *first;
    atoll_frame *last;
    size_t count;
} frame_list;

struct atoll_queue {
    atoll_mutex lock;
    frame_list items;    /* [lock] */
    uint64_t sequence;   /* given to the last item [lock] */
    uint64_t unfinished; /* put, and not yet done [lock] */
    bool shut;           /* [lock] */
    bool drained;        /* shut down, and what was in was dropped [lock] */
    atoll_line getters;  /* of queue_getter [lock] */
    atoll_line putters;  /* of queue_putter [lock] */
    atoll_line watchers; /* [lock] */
    atoll_line joiners;  /* [lock] */

    uint64_t id;
    int64_t maxsize;
    atoll_unbound policy;
    atoll_refcount count;      /* handles and mentions */
    _Atomic uint64_t handles;  /* 0 -> 1 only under [table] */
    struct atoll_queue *next;  /* all queues, by ascending id [table] */
    struct atoll_queue *prev;  /* [table] */
    struct atoll_queue *chain; /* same bucket [table] */
    /* Search for cycles [table]. */
    struct atoll_queue *member;
    uint64_t inner; /* mentions by items of members */
    bool is_member;
    bool is_live;
    struct atoll_queue *todo;
    struct atoll_queue *trash; /* to be freed by this thread */
};

typedef struct queue_getter {
    atoll_waiter waiter; /* first */
    size_t want;
    frame_list got;
} queue_getter;

typedef struct queue_putter {
    atoll_waiter waiter; /* first */
    atoll_frame *frames; /* still to be put */
    size_t put;
    uint64_t sequence; /* of the last one put */
} queue_putter;

/* frame->tag of an item: the policy in the low byte, then this flag, then the
 * sequence number. */
#define QUEUE_TAG_LOST 0x100u
#define QUEUE_TAG_MASK 0xffffu
#define QUEUE_TAG_SHIFT 16

/* Wake-ups that are due after unlocking, event loops' included. */
#define QUEUE_BELLS 4
typedef struct queue_wakes {
    atoll_wakes threads;
    uint32_t nloops;
    atoll_loop *loops[QUEUE_BELLS]; /* each owns a reference */
} queue_wakes;

static inline void
frame_list_push(frame_list *list, atoll_frame *frame)
{
    frame->next = NULL;
    if (list->first == NULL) {
        list->first = frame;
    }
    else {
        list->last->next = frame;
    }
    list->last = frame;
    list->count++;
}

static inline atoll_frame *
frame_list_pop(frame_list *list)
{
    atoll_frame *frame = list->first;
    list->first = frame->next;
    if (list->first == NULL) {
        list->last = NULL;
    }
    list->count--;
    frame->next = NULL;
    return frame;
}

/* Locks: none held. */
void
queue_release_frames(atoll_frame *frames);

static inline void
queue_wakes_init(queue_wakes *wakes)
{
    wakes->threads.count = 0;
    wakes->nloops = 0;
}

/* Locks: none held. */
static inline void
queue_wakes_send(queue_wakes *wakes);

static inline bool
queue_is_ready(const atoll_queue *queue)
{
    return queue->items.count > 0 || queue->shut;
}

/* All of these: Locks: the queue's, held. */

/* Grants to a thread or an event loop's node, which is out of line. */
void
queue_grant(atoll_waiter *waiter, atoll_status status, queue_wakes *wakes);
/* Takes one item if there is any, and lets the next putter in. */
atoll_frame *
queue_take(atoll_queue *queue, queue_wakes *wakes);
/* ATOLL_OK: the frame is in.  ATOLL_E_FULL, ATOLL_E_SHUTDOWN. */
atoll_status
queue_offer(atoll_queue *queue, atoll_frame *frame, queue_wakes *wakes);
/* Puts back in front; false: the frames must be dropped (after unlocking). */
bool
queue_restore(atoll_queue *queue, frame_list *frames, queue_wakes *wakes);
/* Removes an item that is still in; false: it is not. */
bool
queue_withdraw(atoll_queue *queue, atoll_frame *frame, uint64_t sequence,
               queue_wakes *wakes);
/* After items were removed: putters may come in, joiners may go. */
void
queue_settle(atoll_queue *queue, queue_wakes *wakes);
/* After an item came in: wakes one watcher. */
void
queue_announce(atoll_queue *queue, queue_wakes *wakes);

/* async.c */
/* Locks: the queue's, held.  Hands a granted node to its loop. */
void
async_complete(atoll_waiter *waiter, queue_wakes *wakes);
/* Locks: none held.  Rings if there is something to take, and drops the
 * reference. */
void
async_ring(atoll_loop *loop);
/* Locks: none held.  Nobody else uses the owner's loops any more. */
void
async_owner_died(int64_t interp);
/* Fork: all loops. */
void
async_before_fork(void);
void
async_parent_after_fork(void);
void
async_after_fork(void);
/* In the child, for each node of a loop in a line. */
void
async_abandon(atoll_waiter *waiter);

static inline void
queue_wakes_send(queue_wakes *wakes)
{
    atoll_wakes_send(&wakes->threads);
    for (uint32_t i = 0; i < wakes->nloops; i++) {
        async_ring(wakes->loops[i]);
    }
    wakes->nloops = 0;
}

#endif
