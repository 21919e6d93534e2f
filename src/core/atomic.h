/* C11 atomics, and the reference count that every shared thing uses.
 *
 * A count starts at 1.  acquire may be called by whoever already owns a
 * reference; release returns true exactly once, to the caller that must
 * free.  acquire_if_alive is for tables that hold a pointer without owning a
 * reference: it must be called under the lock under which the entry is
 * removed.
 */
#ifndef ATOLL_CORE_ATOMIC_H
#define ATOLL_CORE_ATOMIC_H

#include <stdatomic.h>

#include "base.h"

typedef struct atoll_refcount {
    _Atomic uint64_t value;
} atoll_refcount;

static inline void
atoll_ref_init(atoll_refcount *count)
{
    atomic_init(&count->value, 1);
}

static inline void
atoll_ref_acquire(atoll_refcount *count)
{
    atomic_fetch_add_explicit(&count->value, 1, memory_order_relaxed);
}

static inline bool
atoll_ref_release(atoll_refcount *count)
{
    return atomic_fetch_sub_explicit(&count->value, 1, memory_order_acq_rel)
           == 1;
}

static inline bool
atoll_ref_acquire_if_alive(atoll_refcount *count)
{
    uint64_t seen = atomic_load_explicit(&count->value, memory_order_relaxed);
    while (seen != 0) {
        if (atomic_compare_exchange_weak(&count->value, &seen, seen + 1)) {
            return true;
        }
    }
    return false;
}

static inline uint64_t
atoll_ref_count(const atoll_refcount *count)
{
    return atomic_load_explicit(&((atoll_refcount *)count)->value,
                                memory_order_relaxed);
}

#endif
