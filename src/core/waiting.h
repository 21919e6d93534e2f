/* Waiting in line: what queues, locks and their kin have in common.
 *
 * Whoever must wait puts a node (an atoll_waiter, on its stack) into a line,
 * under the object's lock, unlocks, and sleeps at its thread's parker (which
 * nothing else may unpark meanwhile).
 * Whoever grants takes the node out of the line under the same lock, writes
 * the result and `granted` into it, leaves the parker's token, and makes the
 * system call that wakes only after unlocking.
 *
 * Why a waiter may leave without taking the lock again: it leaves so only
 * when it has consumed the token of this grant, and the token is the last
 * thing that a granter touches (the wake-up system call uses an address
 * only).  Every other way out (late, interrupted) takes the lock, and then
 * either the node is still in line, and is removed, or it was granted, and
 * the grant wins.  So a parker's token never outlives the wait it was for.
 *
 * Tickets: a waiter that is interrupted leaves the line; when its caller has
 * looked at signals and waits on with the same atoll_wait, it comes back to
 * the place it had.
 *
 * Locks: a line and its nodes are guarded by the lock of the object that
 * owns the line.
 */
#ifndef ATOLL_CORE_WAITING_H
#define ATOLL_CORE_WAITING_H

#include "platform.h"

/* How the caller is ready to wait; in its own memory, over all the calls
 * that make up one wait:
 *
 *     atoll_wait wait = {parker, deadline, 0};
 *     do {
 *         status = atoll_queue_get(queue, &wait, &frame);
 *     } while (status == ATOLL_E_INTERRUPTED && nothing_to_raise());
 *
 * Functions that take an atoll_wait accept NULL: do not wait at all. */
typedef struct atoll_wait {
    atoll_parker *parker; /* the calling thread's */
    int64_t deadline;
    uint64_t ticket; /* 0 at first; then the place in line */
} atoll_wait;

typedef struct atoll_waiter {
    struct atoll_waiter *next;
    struct atoll_waiter *prev;
    atoll_parker *parker; /* NULL: an event loop's, see async.h */
    uint64_t ticket;
    bool queued;              /* in a line */
    _Atomic uint32_t granted; /* set last, under the object's lock */
    atoll_status status;      /* of the grant */
} atoll_waiter;

typedef struct atoll_line {
    atoll_waiter *first;
    atoll_waiter *last;
    uint64_t tickets; /* the last one given */
} atoll_line;

/* Wake-ups that are due after unlocking.  More than fit are made at once. */
#define ATOLL_WAKES 8
typedef struct atoll_wakes {
    uint32_t count;
    atoll_parker *parkers[ATOLL_WAKES];
} atoll_wakes;

/* Prepares a node for wait->parker; forgets a stale token. */
void
atoll_waiter_init(atoll_waiter *waiter, const atoll_wait *wait);
/* Puts it in line, at the place of wait->ticket if it has one; else at the
 * end, and gives it a ticket. */
void
atoll_line_join(atoll_line *line, atoll_waiter *waiter, atoll_wait *wait);
void
atoll_line_add(atoll_line *line, atoll_waiter *waiter);
void
atoll_line_add_front(atoll_line *line, atoll_waiter *waiter);
void
atoll_line_remove(atoll_line *line, atoll_waiter *waiter);
/* NULL: nobody waits. */
atoll_waiter *
atoll_line_pop(atoll_line *line);

/* Locks: the object's.  The node is out of line; results other than status
 * are written already. */
void
atoll_waiter_grant(atoll_waiter *waiter, atoll_status status,
                   atoll_wakes *wakes);
/* Grants to all in line. */
void
atoll_line_grant_all(atoll_line *line, atoll_status status,
                     atoll_wakes *wakes);
/* Locks: none held. */
void
atoll_wakes_send(atoll_wakes *wakes);

/* Sleeps until the node is granted, late or interrupted.
 * Locks: none held; takes `mutex` (the object's) if the node was not granted.
 * Returns the grant's status (the node is out of line), or ATOLL_E_TIMEOUT /
 * ATOLL_E_INTERRUPTED (it is out of `line` now, and not granted). */
atoll_status
atoll_waiter_sleep(atoll_waiter *waiter, atoll_line *line, atoll_mutex *mutex,
                   atoll_wait *wait);

#endif
