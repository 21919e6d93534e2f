/* Waiting on queues without a thread: for event loops.
 *
 * One atoll_loop per event loop: a descriptor and a list of completions.  An
 * atoll_async is one pending get or put; it stands in the queue's line like a
 * sleeping thread.  When it is granted, it goes to its loop's list and the
 * descriptor is rung once, however many complete before the loop looks.
 *
 * Life of a pending operation, all but the grant in the loop's own thread (or
 * otherwise one caller at a time):
 *     atoll_async_get  -> ATOLL_E_EMPTY and a node, if it must wait
 *     atoll_loop_take  -> nodes that are done (descriptor readable)
 *     atoll_async_finish -> status and item
 *     atoll_async_free
 * A node may be freed at any time.  Unless finish has handed the result out,
 * that cancels it and loses nothing: an item that was granted goes back to the
 * next in line or to the front of its queue; a frame whose put was granted
 * comes out of the queue again if nobody has got it yet.
 *
 * Owns: a node owns a reference to its loop and a handle to its queue.
 * Locks: queue -> loop.
 */
#ifndef ATOLL_CORE_ASYNC_H
#define ATOLL_CORE_ASYNC_H

#include "queue.h"

typedef struct atoll_loop atoll_loop;
typedef struct atoll_async atoll_async;

/* Owns: the caller gets a reference.  Fails: ATOLL_E_NOMEM, ATOLL_E_SYSTEM
 * (errno). */
atoll_status
atoll_loop_new(atoll_loop **out_loop) ATOLL_MUST_CHECK;
/* Whose it is: when that interpreter dies (atoll_queue_sender_died), the loop
 * is closed, should nobody else have done it. */
void
atoll_loop_set_owner(atoll_loop *loop, int64_t interp);
/* Rings all loops of that interpreter, though nothing may be done: their
 * threads come back from their polls, and see what else they were told.
 * Locks: may be called under a registry record's. */
void
atoll_loop_wake_all(int64_t interp);
void
atoll_loop_acquire(atoll_loop *loop);
void
atoll_loop_release(atoll_loop *loop);
/* The descriptor to poll for reading; -1 once it is closed. */
int
atoll_loop_fd(const atoll_loop *loop);
/* Cancels all of its nodes (they stay their owner's to free; their status is
 * ATOLL_E_CLOSED) and closes the descriptor.  Later calls of get and put with
 * it fail. */
void
atoll_loop_close(atoll_loop *loop);
/* Silences the descriptor and takes the nodes that are done, one after the
 * other: NULL when there is none (left). */
atoll_async *
atoll_loop_take(atoll_loop *loop);

/* ATOLL_OK: *out_frame is an item, there was no need to wait.
 * ATOLL_E_EMPTY: *out_node waits.  Owns: the caller frees it.
 * Fails: ATOLL_E_SHUTDOWN, ATOLL_E_CLOSED (the loop), ATOLL_E_NOMEM. */
atoll_status
atoll_async_get(atoll_queue *queue, atoll_loop *loop, void *user,
                atoll_frame **out_frame, atoll_async **out_node);
/* ATOLL_OK: it was put.  ATOLL_E_FULL: *out_node waits.  Owns: takes over the
 * frame in both cases.  Fails: as get; the frame stays the caller's. */
atoll_status
atoll_async_put(atoll_queue *queue, atoll_frame *frame, atoll_loop *loop,
                void *user, atoll_async **out_node);
/* Waits for atoll_queue_join's condition.  ATOLL_E_BUSY: *out_node waits. */
atoll_status
atoll_async_join(atoll_queue *queue, atoll_loop *loop, void *user,
                 atoll_async **out_node);

/* What was given to get or put as `user`; the core never touches it. */
void *
atoll_async_user(const atoll_async *node);
/* Hands the result out, once: ATOLL_OK (for a get: *out_frame is the item, now
 * the caller's; else NULL), ATOLL_E_SHUTDOWN (a put's frame is dropped),
 * ATOLL_E_CLOSED (the loop was closed); ATOLL_E_BUSY: not done yet. */
atoll_status
atoll_async_finish(atoll_async *node, atoll_frame **out_frame);
/* Cancels what is not finished.  Returns true if nothing has happened (a get
 * that took nothing, a put that put nothing: as if never called); false: it
 * was finished, or the put's item has been got by somebody already. */
bool
atoll_async_free(atoll_async *node);

#endif
