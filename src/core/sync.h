/* Locks and their kin, between interpreters: what threading has, for threads
 * that share no objects.
 *
 * An owner is a pair (interpreter, OS thread): the same thread inside another
 * interpreter is somebody else.  A lock whose holder's interpreter ends
 * becomes OWNER_DIED: every attempt to take it, waiting ones included, fails
 * with ATOLL_E_OWNER_DIED without taking it, until reset.
 *
 * Waiting: `wait` NULL does not wait: ATOLL_E_BUSY.  Else as in waiting.h.
 * Objects are counted; xxx_acquire and xxx_release count references, and
 * atoll_xxx_ops lets frames carry them.  Each has an id, from 1, never reused
 * among sync objects.
 *
 * Locks: table -> one object; condition -> its lock is never taken under the
 * condition's.
 */
#ifndef ATOLL_CORE_SYNC_H
#define ATOLL_CORE_SYNC_H

#include "frame.h"
#include "waiting.h"

typedef struct atoll_owner {
    int64_t interp; /* 0 or more */
    unsigned long thread;
} atoll_owner;

typedef struct atoll_lock atoll_lock; /* Lock and RLock */
typedef struct atoll_semaphore atoll_semaphore;
typedef struct atoll_event atoll_event;
typedef struct atoll_condition atoll_condition;
typedef struct atoll_barrier atoll_barrier;
typedef struct atoll_atomic atoll_atomic;

extern const atoll_ref_ops atoll_lock_ops;
extern const atoll_ref_ops atoll_semaphore_ops;
extern const atoll_ref_ops atoll_event_ops;
extern const atoll_ref_ops atoll_condition_ops;
extern const atoll_ref_ops atoll_barrier_ops;
extern const atoll_ref_ops atoll_atomic_ops;

/* All `new`: Fails: ATOLL_E_NOMEM, ATOLL_E_SYSTEM. */

/* --- Lock, RLock --- */
atoll_status
atoll_lock_new(bool recursive, atoll_lock **out_lock) ATOLL_MUST_CHECK;
void
atoll_lock_acquire(atoll_lock *lock);
void
atoll_lock_release(atoll_lock *lock);
uint64_t
atoll_lock_id(const atoll_lock *lock);
bool
atoll_lock_is_recursive(const atoll_lock *lock);
/* Fails: ATOLL_E_OWNER_DIED, ATOLL_E_VALUE (too deep). */
atoll_status
atoll_lock_lock(atoll_lock *lock, atoll_owner owner, atoll_wait *wait);
/* A plain lock may be released by anybody, as in threading.
 * Fails: ATOLL_E_NOT_OWNER (not locked; recursive: not by this owner),
 * ATOLL_E_OWNER_DIED. */
atoll_status
atoll_lock_unlock(atoll_lock *lock, atoll_owner owner);
/* For Condition implementations and introspection.  is_owned: recursive: by
 * this owner; plain: by anybody, as threading's.  An OWNER_DIED lock is
 * locked, and owned by nobody. */
bool
atoll_lock_is_locked(const atoll_lock *lock);
bool
atoll_lock_is_owned(const atoll_lock *lock, atoll_owner owner);
bool
atoll_lock_owner_died(const atoll_lock *lock);
/* How often its owner holds it (plain: 0 or 1). */
uint64_t
atoll_lock_depth(const atoll_lock *lock);
/* An OWNER_DIED lock becomes unlocked; others are left alone. */
void
atoll_lock_reset(atoll_lock *lock);

/* --- Semaphore, BoundedSemaphore --- */
atoll_status
atoll_semaphore_new(uint64_t value, bool bounded,
                    atoll_semaphore **out_semaphore) ATOLL_MUST_CHECK;
void
atoll_semaphore_acquire(atoll_semaphore *semaphore);
void
atoll_semaphore_release(atoll_semaphore *semaphore);
uint64_t
atoll_semaphore_id(const atoll_semaphore *semaphore);
bool
atoll_semaphore_is_bounded(const atoll_semaphore *semaphore);
/* The value that it began with. */
uint64_t
atoll_semaphore_initial(const atoll_semaphore *semaphore);
atoll_status
atoll_semaphore_down(atoll_semaphore *semaphore, atoll_wait *wait);
/* Fails: ATOLL_E_VALUE (bounded: more than the initial value; or overflow),
 * nothing changed. */
atoll_status
atoll_semaphore_up(atoll_semaphore *semaphore, uint64_t n);
uint64_t
atoll_semaphore_value(atoll_semaphore *semaphore);

/* --- Event --- */
atoll_status
atoll_event_new(atoll_event **out_event) ATOLL_MUST_CHECK;
void
atoll_event_acquire(atoll_event *event);
void
atoll_event_release(atoll_event *event);
uint64_t
atoll_event_id(const atoll_event *event);
void
atoll_event_set(atoll_event *event);
void
atoll_event_clear(atoll_event *event);
bool
atoll_event_is_set(const atoll_event *event);
atoll_status
atoll_event_wait(atoll_event *event, atoll_wait *wait);

/* --- Condition --- */
/* Owns: keeps a reference of its own to lock. */
atoll_status
atoll_condition_new(atoll_lock *lock,
                    atoll_condition **out_condition) ATOLL_MUST_CHECK;
void
atoll_condition_acquire(atoll_condition *condition);
void
atoll_condition_release(atoll_condition *condition);
uint64_t
atoll_condition_id(const atoll_condition *condition);
atoll_lock *
atoll_condition_lock(const atoll_condition *condition); /* borrowed */

/* One wait, in the caller's memory, zeroed at first. */
typedef struct atoll_condition_wait {
    atoll_waiter waiter;
    int stage; /* 0 not begun, 1 asleep, 2 taking the lock again, 3 over */
    uint64_t depth;
    atoll_status result;
    atoll_wait relock;
} atoll_condition_wait;

/* Releases the lock wholly, sleeps until notified, late or interrupted, and
 * takes the lock again, as deep as it was.
 *     atoll_condition_wait state = {0};
 *     do {
 *         status = atoll_condition_sleep(cond, owner, &wait, &state);
 *         if (status == INTERRUPTED && there is something to raise)
 *             atoll_condition_give_up(cond, &state);
 *     } while (status == ATOLL_E_INTERRUPTED);
 * After ATOLL_E_INTERRUPTED the call must be made again with the same state
 * (no notification is missed meanwhile; the deadline keeps running), until it
 * returns something else, for the lock must be taken again.  `wait` is not
 * NULL.
 * Returns ATOLL_OK (notified), ATOLL_E_TIMEOUT (late, or given up): the lock
 * is held again.  Fails: ATOLL_E_NOT_OWNER (nothing happened),
 * ATOLL_E_OWNER_DIED (the lock is not held). */
atoll_status
atoll_condition_sleep(atoll_condition *condition, atoll_owner owner,
                      atoll_wait *wait, atoll_condition_wait *state);
/* The wait is over, whatever comes: a notification that it has already got is
 * passed on to the next. */
void
atoll_condition_give_up(atoll_condition *condition,
                        atoll_condition_wait *state);
/* Wakes up to n waiters; the lock must be held.  Fails: ATOLL_E_NOT_OWNER,
 * ATOLL_E_OWNER_DIED. */
atoll_status
atoll_condition_notify(atoll_condition *condition, atoll_owner owner,
                       uint64_t n);

/* --- Barrier --- */
/* parties >= 1, else ATOLL_E_VALUE. */
atoll_status
atoll_barrier_new(uint64_t parties,
                  atoll_barrier **out_barrier) ATOLL_MUST_CHECK;
void
atoll_barrier_acquire(atoll_barrier *barrier);
void
atoll_barrier_release(atoll_barrier *barrier);
uint64_t
atoll_barrier_id(const atoll_barrier *barrier);
/* One wait, in the caller's memory, zeroed at first. */
typedef struct atoll_barrier_wait {
    atoll_waiter waiter;
    int stage; /* 0 not begun, 1 asleep, 2 acting, 3 over */
    bool has_action;
    bool act;
    bool held;      /* its round is complete, the action runs */
    uint64_t round; /* in which it acts */
    uint64_t index;
} atoll_barrier_wait;

/* Waits for the others.  state->index is 0 ... parties - 1, each once a round.
 * If has_action, one of a round (the last to arrive) gets ATOLL_OK and
 * state->act while the others still wait: it runs the action, then calls
 * atoll_barrier_finish.  Meanwhile newcomers wait for the next round.
 * After ATOLL_E_INTERRUPTED it still takes part: call again with the same
 * state, or atoll_barrier_give_up.
 * Fails: ATOLL_E_BROKEN: broken before or while it waited; a waiter that is
 * late breaks it and gets this, too (so does NULL wait, if it is not the
 * last). */
atoll_status
atoll_barrier_arrive(atoll_barrier *barrier, bool has_action, atoll_wait *wait,
                     atoll_barrier_wait *state);
/* The action is over: lets the others go, or (not ok) breaks the barrier.
 * Fails: ATOLL_E_BROKEN: it was broken or reset meanwhile. */
atoll_status
atoll_barrier_finish(atoll_barrier *barrier, atoll_barrier_wait *state,
                     bool ok);
/* Leaves after an interruption; whoever was to act breaks the barrier. */
void
atoll_barrier_give_up(atoll_barrier *barrier, atoll_barrier_wait *state);
/* Back to empty; who waits gets ATOLL_E_BROKEN. */
void
atoll_barrier_reset(atoll_barrier *barrier);
void
atoll_barrier_abort(atoll_barrier *barrier);
uint64_t
atoll_barrier_parties(const atoll_barrier *barrier);
uint64_t
atoll_barrier_waiting(atoll_barrier *barrier);
bool
atoll_barrier_broken(atoll_barrier *barrier);

/* --- AtomicInt: 64 bits, sequentially consistent, add wraps round --- */
struct atoll_atomic {
    _Atomic int64_t value;
    atoll_refcount count;
    uint64_t id;
};
atoll_status
atoll_atomic_new(int64_t value, atoll_atomic **out_atomic) ATOLL_MUST_CHECK;
void
atoll_atomic_acquire(atoll_atomic *atomic);
void
atoll_atomic_release(atoll_atomic *atomic);

static inline int64_t
atoll_atomic_load(const atoll_atomic *atomic)
{
    return atomic_load(&((atoll_atomic *)atomic)->value);
}
static inline void
atoll_atomic_store(atoll_atomic *atomic, int64_t value)
{
    atomic_store(&atomic->value, value);
}
/* All return the value before. */
static inline int64_t
atoll_atomic_add(atoll_atomic *atomic, int64_t value)
{
    return atomic_fetch_add(&atomic->value, value);
}
static inline int64_t
atoll_atomic_exchange(atoll_atomic *atomic, int64_t value)
{
    return atomic_exchange(&atomic->value, value);
}
/* True: it was *expected and is now `value`.  False: *expected is updated. */
static inline bool
atoll_atomic_compare_exchange(atoll_atomic *atomic, int64_t *expected,
                              int64_t value)
{
    return atomic_compare_exchange_strong(&atomic->value, expected, value);
}

/* --- For all --- */
/* The interpreter has ended, or cannot run any more: its locks become
 * OWNER_DIED, who waits for them is woken with it. */
void
atoll_sync_owner_died(int64_t interp);
/* Sync objects alive in the process, for leak tests. */
uint64_t
atoll_sync_live(void);
/* Around fork, as atoll_queue_before_fork.  In the child every lock whose
 * holder is an interpreter other than `keep` becomes OWNER_DIED, and who
 * waited is gone. */
void
atoll_sync_before_fork(void);
void
atoll_sync_parent_after_fork(void);
void
atoll_sync_after_fork(int64_t keep);

#endif
