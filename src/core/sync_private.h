/* What the sync_*.c files share, and nobody else includes.
 *
 * Every object but the atomic integer starts with a sync_base: its place in
 * the table (for owner_died and fork), its count, and the mutex that guards
 * its line.  Locks: table -> one object's.
 */
#ifndef ATOLL_CORE_SYNC_PRIVATE_H
#define ATOLL_CORE_SYNC_PRIVATE_H

#include "sync.h"

typedef enum sync_kind {
    SYNC_LOCK,
    SYNC_SEMAPHORE,
    SYNC_EVENT,
    SYNC_CONDITION,
    SYNC_BARRIER,
} sync_kind;

typedef struct sync_base {
    atoll_refcount count;
    uint64_t id;
    sync_kind kind;
    atoll_mutex mutex;
    atoll_line line;        /* who waits [mutex] */
    struct sync_base *next; /* all objects [table] */
    struct sync_base *prev;
} sync_base;

/* A zeroed object of `size` bytes with its base, in the table. */
atoll_status
sync_new(sync_kind kind, size_t size, void **out_object);
uint64_t
sync_next_id(void);
void
sync_acquire(void *object);
void
sync_release(void *object);

/* sync_lock.c.  Locks: the table's, held. */
void
sync_lock_owner_died(atoll_lock *lock, int64_t interp, bool others);
/* Frees what the object owns beside itself. */
void
sync_condition_fini(atoll_condition *condition);
/* If the lock's owner died: wakes all. */
void
sync_condition_check(atoll_condition *condition);
/* Fork, in the child: the line's waiters are gone. */
void
sync_lock_forget_line(atoll_lock *lock);
void
sync_barrier_forget_line(atoll_barrier *barrier);

#endif
