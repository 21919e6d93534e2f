/* Queues of frames between interpreters: blocking, bounded, first come first
 * served.
 *
 * A frame that is put while somebody waits goes straight to the longest
 * waiting getter; a frame that is taken makes room for the longest waiting
 * putter's, which the taker itself moves in.  So nobody who is awake overtakes
 * somebody who waits, a wake-up always brings its result along, and items
 * and waiting getters (room and waiting putters) never exist together.
 *
 * References.  Two kinds are counted: handles (atoll_queue_acquire: Queue
 * objects, running operations, event loops' waiters) and mentions by frames
 * (atoll_queue_ops).  A queue lives while it can be reached: through a handle,
 * through a frame on its way (a call's arguments, a pool's task), or through
 * an item of a queue that lives.  It goes, its items included, as soon as the
 * last of these goes.  Queues that hold each other or themselves as items are
 * found and freed at that moment, too; in a web of hundreds of items that
 * nobody has a handle to, perhaps a few releases later.  Not found are cycles
 * that pass through something other than a queue: a function sent by value
 * which closes over the queue that it lies in, for example.
 *
 * Unbound items.  The low byte of frame->tag is the item's policy (enum
 * atoll_unbound), set by the caller before it puts; the rest is the queue's.
 *
 * Waiting.  `wait` NULL: do not wait (ATOLL_E_EMPTY, ATOLL_E_FULL).  Else see
 * waiting.h: ATOLL_E_TIMEOUT, ATOLL_E_INTERRUPTED.  A deadline of 0 tries
 * first, then is late.
 *
 * Locks: table -> one queue -> one loop (async.h).  Several queues at once
 * are locked only by fork and by the search for cycles, under the table's
 * lock, by ascending id.  Frames are never released under any of them: that
 * may come back here.
 */
#ifndef ATOLL_CORE_QUEUE_H
#define ATOLL_CORE_QUEUE_H

#include "frame.h"
#include "waiting.h"

/* What happens to an item when the interpreter that put it ends.  The numbers
 * are the standard module's; 0 is ours: it stays. */
typedef enum atoll_unbound {
    ATOLL_UNBOUND_KEEP = 0,
    ATOLL_UNBOUND_REMOVE = 1,
    ATOLL_UNBOUND_ERROR = 2,
    ATOLL_UNBOUND_REPLACE = 3,
} atoll_unbound;

typedef struct atoll_queue atoll_queue;

/* maxsize <= 0: unbounded.  `policy` is kept for whoever asks (a default for
 * puts); KEEP: none was named.  Owns: the caller gets a handle.
 * Fails: ATOLL_E_NOMEM, ATOLL_E_SYSTEM. */
atoll_status
atoll_queue_new(int64_t maxsize, atoll_unbound policy,
                atoll_queue **out_queue) ATOLL_MUST_CHECK;
/* A handle to the queue of this id.  Fails: ATOLL_E_NOTFOUND. */
atoll_status
atoll_queue_find(uint64_t id, atoll_queue **out_queue) ATOLL_MUST_CHECK;
/* Handles.  acquire may be called by whoever owns a reference of either
 * kind. */
void
atoll_queue_acquire(atoll_queue *queue);
void
atoll_queue_release(atoll_queue *queue);
/* Mentions, for frames. */
extern const atoll_ref_ops atoll_queue_ops;

uint64_t
atoll_queue_id(const atoll_queue *queue); /* from 1, never reused */
int64_t
atoll_queue_maxsize(const atoll_queue *queue); /* as given to new */
atoll_unbound
atoll_queue_policy(const atoll_queue *queue);
/* How many items now.  full: bounded, and that many. */
size_t
atoll_queue_size(atoll_queue *queue);
bool
atoll_queue_full(atoll_queue *queue);
/* Queues alive in the process, for leak tests. */
uint64_t
atoll_queue_live(void);

/* Owns: takes over the caller's reference to the heap frame, on success only.
 * Fails: ATOLL_E_SHUTDOWN. */
atoll_status
atoll_queue_put(atoll_queue *queue, atoll_frame *frame, atoll_wait *wait);
/* Puts a list (linked by next) in order, waiting for room as needed.
 * *frames becomes what was not put (NULL with ATOLL_OK) and *out_put, on
 * failure too, is how many were put by this call; call again with the rest
 * to go on after an interruption.  Items of others may come in between.
 * Fails: ATOLL_E_SHUTDOWN. */
atoll_status
atoll_queue_put_many(atoll_queue *queue, atoll_frame **frames,
                     atoll_wait *wait, size_t *out_put);

/* Owns: the caller gets the frame's reference.
 * Fails: ATOLL_E_SHUTDOWN (shut down, and empty). */
atoll_status
atoll_queue_get(atoll_queue *queue, atoll_wait *wait, atoll_frame **out_frame);
/* At least one, at most max (1 or more), as a list; waits for the first
 * only. */
atoll_status
atoll_queue_get_many(atoll_queue *queue, size_t max, atoll_wait *wait,
                     atoll_frame **out_frames, size_t *out_count);
/* Gives back what get returned, as if it had not been taken: to the longest
 * waiting getter, else to the front.  A list is given back in its order.  Never
 * fails; room is not asked for.  After shutdown(immediate) the frames are
 * dropped.  Owns: takes over the frames. */
void
atoll_queue_unget(atoll_queue *queue, atoll_frame *frames);

/* KEEP: an item as it was put.  Else its sender ended: the frame's content is
 * gone, and the policy says what get is to do (ERROR: raise; REPLACE: return
 * UNBOUND). */
atoll_unbound
atoll_queue_item_lost(const atoll_frame *frame);

/* No further put; what is in can still be got, unless `immediate`, which
 * drops it.  Everybody who waits in vain is woken with ATOLL_E_SHUTDOWN.
 * Again: only turns it immediate. */
void
atoll_queue_shutdown(atoll_queue *queue, bool immediate);
bool
atoll_queue_is_shutdown(atoll_queue *queue);

/* One item that was got is done.  Fails: ATOLL_E_VALUE (more than were
 * put). */
atoll_status
atoll_queue_task_done(atoll_queue *queue);
/* Waits until every item that was put is done.  NULL wait: ATOLL_E_BUSY if
 * not. */
atoll_status
atoll_queue_join(atoll_queue *queue, atoll_wait *wait);
uint64_t
atoll_queue_unfinished(atoll_queue *queue);

/* How many stand in each line just now, for tests that must know that
 * somebody waits. */
typedef struct atoll_queue_waiting {
    size_t getters;
    size_t putters;
    size_t watchers;
    size_t joiners;
} atoll_queue_waiting;
atoll_queue_waiting
atoll_queue_count_waiting(atoll_queue *queue);

/* Waits until at least one queue is ready: get would not wait (an item, or
 * shut down).  ready[i] tells which, *out_ready how many; count 0 returns at
 * once.  It reserves nothing: somebody else may take the item first.
 * One item wakes one such waiter; it wakes the next one as it leaves if the
 * item is still there, so an item that it does not take is seen by the
 * others.  An item that goes straight to a waiting getter wakes none.
 * Fails: ATOLL_E_TIMEOUT (none is ready), ATOLL_E_NOMEM. */
atoll_status
atoll_queue_select(atoll_queue *const *queues, size_t count, atoll_wait *wait,
                   bool *ready, size_t *out_ready);
/* The same in two steps: watch leaves it to the caller to wake the next one,
 * by pass_on, which it must call after ATOLL_OK, and soon.  Meanwhile it may
 * take what it came for: the next one then sleeps on. */
atoll_status
atoll_queue_watch(atoll_queue *const *queues, size_t count, atoll_wait *wait,
                  bool *ready, size_t *out_ready) ATOLL_MUST_CHECK;
void
atoll_queue_pass_on(atoll_queue *const *queues, size_t count,
                    const bool *ready);

/* An interpreter has ended (nothing of it runs or waits any more): the
 * policies of the items that it put are carried out, in all queues. */
void
atoll_queue_sender_died(int64_t sender);

/* Around fork: before (all locks are taken, so that the child sees whole
 * objects), then in the parent, or in the child: its single thread keeps the
 * queues and their items; the waiters of other threads and all event loops'
 * waiters are gone. */
void
atoll_queue_before_fork(void);
void
atoll_queue_parent_after_fork(void);
void
atoll_queue_after_fork(void);

#endif
