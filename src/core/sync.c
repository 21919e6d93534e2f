/* What all sync objects share, and the simple ones: semaphore, event, atomic
 * integer.  sync_lock.c has locks and conditions, sync_barrier.c barriers.
 *
 * Semaphores hand a unit straight to the longest waiter: a value above 0 and
 * waiters never exist together.
 *
 * Locks: table_lock -> one object's mutex.
 */
#include "sync.h"

#include "sync_private.h"

static atoll_mutex table_lock = ATOLL_MUTEX_STATIC;
static sync_base *first_object; /* [table_lock] */
static _Atomic uint64_t last_id;
static _Atomic uint64_t live;

uint64_t
sync_next_id(void)
{
    return atomic_fetch_add(&last_id, 1) + 1;
}

uint64_t
atoll_sync_live(void)
{
    return atomic_load(&live);
}

atoll_status
sync_new(sync_kind kind, size_t size, void **out_object)
{
    sync_base *base = atoll_calloc(1, size);
    if (base == NULL) {
        return ATOLL_E_NOMEM;
    }
    atoll_status status = atoll_mutex_init(&base->mutex);
    if (status != ATOLL_OK) {
        atoll_free(base);
        return status;
    }
    atoll_ref_init(&base->count);
    base->kind = kind;
    base->id = sync_next_id();
    (void)atomic_fetch_add(&live, 1);
    atoll_mutex_lock(&table_lock);
    base->next = first_object;
    if (first_object != NULL) {
        first_object->prev = base;
    }
    first_object = base;
    atoll_mutex_unlock(&table_lock);
    *out_object = base;
    return ATOLL_OK;
}

void
sync_acquire(void *object)
{
    sync_base *base = object;
    atoll_ref_acquire(&base->count);
}

void
sync_release(void *object)
{
    sync_base *base = object;
    if (!atoll_ref_release(&base->count)) {
        return;
    }
    atoll_mutex_lock(&table_lock);
    if (base->prev == NULL) {
        first_object = base->next;
    }
    else {
        base->prev->next = base->next;
    }
    if (base->next != NULL) {
        base->next->prev = base->prev;
    }
    atoll_mutex_unlock(&table_lock);
    if (base->kind == SYNC_CONDITION) {
        sync_condition_fini(object);
    }
    atoll_mutex_fini(&base->mutex);
    atoll_free(base);
    (void)atomic_fetch_sub(&live, 1);
}

/* --- The end of an interpreter; fork --- */

/* Locks: table_lock, held. */
static void
mark_dead_owners(int64_t interp, bool others)
{
    for (sync_base *at = first_object; at != NULL; at = at->next) {
        if (at->kind == SYNC_LOCK) {
            sync_lock_owner_died((atoll_lock *)at, interp, others);
        }
    }
    for (sync_base *at = first_object; at != NULL; at = at->next) {
        if (at->kind == SYNC_CONDITION) {
            sync_condition_check((atoll_condition *)at);
        }
    }
}

void
atoll_sync_owner_died(int64_t interp)
{
    atoll_mutex_lock(&table_lock);
    mark_dead_owners(interp, false);
    atoll_mutex_unlock(&table_lock);
}

void
atoll_sync_before_fork(void)
{
    atoll_mutex_lock(&table_lock);
    for (sync_base *at = first_object; at != NULL; at = at->next) {
        atoll_mutex_lock(&at->mutex);
    }
}

void
atoll_sync_parent_after_fork(void)
{
    for (sync_base *at = first_object; at != NULL; at = at->next) {
        atoll_mutex_unlock(&at->mutex);
    }
    atoll_mutex_unlock(&table_lock);
}

void
atoll_sync_after_fork(int64_t keep)
{
    for (sync_base *at = first_object; at != NULL; at = at->next) {
        if (at->kind == SYNC_LOCK) {
            sync_lock_forget_line((atoll_lock *)at);
        }
        else if (at->kind == SYNC_BARRIER) {
            sync_barrier_forget_line((atoll_barrier *)at);
        }
        at->line.first = NULL;
        at->line.last = NULL;
        atoll_mutex_unlock(&at->mutex);
    }
    mark_dead_owners(keep, true);
    atoll_mutex_unlock(&table_lock);
}

/* --- Semaphore --- */

struct atoll_semaphore {
    sync_base base;
    uint64_t value;   /* [mutex] */
    uint64_t initial; /* the bound, if bounded */
    bool bounded;
};

atoll_status
atoll_semaphore_new(uint64_t value, bool bounded,
                    atoll_semaphore **out_semaphore)
{
    void *object;
    atoll_status status
        = sync_new(SYNC_SEMAPHORE, sizeof(atoll_semaphore), &object);
    if (status == ATOLL_OK) {
        atoll_semaphore *semaphore = object;
        semaphore->value = value;
        semaphore->initial = value;
        semaphore->bounded = bounded;
        *out_semaphore = semaphore;
    }
    return status;
}

void
atoll_semaphore_acquire(atoll_semaphore *semaphore)
{
    sync_acquire(semaphore);
}

void
atoll_semaphore_release(atoll_semaphore *semaphore)
{
    sync_release(semaphore);
}

uint64_t
atoll_semaphore_id(const atoll_semaphore *semaphore)
{
    return semaphore->base.id;
}

bool
atoll_semaphore_is_bounded(const atoll_semaphore *semaphore)
{
    return semaphore->bounded;
}

uint64_t
atoll_semaphore_initial(const atoll_semaphore *semaphore)
{
    return semaphore->initial;
}

atoll_status
atoll_semaphore_down(atoll_semaphore *semaphore, atoll_wait *wait)
{
    sync_base *base = &semaphore->base;
    atoll_mutex_lock(&base->mutex);
    if (semaphore->value > 0) {
        semaphore->value--;
        atoll_mutex_unlock(&base->mutex);
        return ATOLL_OK;
    }
    if (wait == NULL || wait->deadline <= 0) {
        atoll_mutex_unlock(&base->mutex);
        return wait == NULL ? ATOLL_E_BUSY : ATOLL_E_TIMEOUT;
    }
    atoll_waiter waiter;
    atoll_waiter_init(&waiter, wait);
    atoll_line_join(&base->line, &waiter, wait);
    atoll_mutex_unlock(&base->mutex);
    return atoll_waiter_sleep(&waiter, &base->line, &base->mutex, wait);
}

atoll_status
atoll_semaphore_up(atoll_semaphore *semaphore, uint64_t n)
{
    sync_base *base = &semaphore->base;
    atoll_wakes wakes = {.count = 0};
    atoll_mutex_lock(&base->mutex);
    uint64_t most = semaphore->bounded ? semaphore->initial : UINT64_MAX;
    if (n > most || semaphore->value > most - n) {
        atoll_mutex_unlock(&base->mutex);
        return ATOLL_E_VALUE;
    }
    atoll_waiter *waiter;
    while (n > 0 && (waiter = atoll_line_pop(&base->line)) != NULL) {
        atoll_waiter_grant(waiter, ATOLL_OK, &wakes);
        n--;
    }
    semaphore->value += n;
    atoll_mutex_unlock(&base->mutex);
    atoll_wakes_send(&wakes);
    return ATOLL_OK;
}

uint64_t
atoll_semaphore_value(atoll_semaphore *semaphore)
{
    atoll_mutex_lock(&semaphore->base.mutex);
    uint64_t value = semaphore->value;
    atoll_mutex_unlock(&semaphore->base.mutex);
    return value;
}

/* --- Event --- */

struct atoll_event {
    sync_base base;
    atomic_bool flag; /* written under [mutex] */
};

atoll_status
atoll_event_new(atoll_event **out_event)
{
    void *object;
    atoll_status status = sync_new(SYNC_EVENT, sizeof(atoll_event), &object);
    if (status == ATOLL_OK) {
        *out_event = object;
    }
    return status;
}

void
atoll_event_acquire(atoll_event *event)
{
    sync_acquire(event);
}

void
atoll_event_release(atoll_event *event)
{
    sync_release(event);
}

uint64_t
atoll_event_id(const atoll_event *event)
{
    return event->base.id;
}

void
atoll_event_set(atoll_event *event)
{
    atoll_wakes wakes = {.count = 0};
    atoll_mutex_lock(&event->base.mutex);
    atomic_store(&event->flag, true);
    atoll_line_grant_all(&event->base.line, ATOLL_OK, &wakes);
    atoll_mutex_unlock(&event->base.mutex);
    atoll_wakes_send(&wakes);
}

void
atoll_event_clear(atoll_event *event)
{
    atoll_mutex_lock(&event->base.mutex);
    atomic_store(&event->flag, false);
    atoll_mutex_unlock(&event->base.mutex);
}

bool
atoll_event_is_set(const atoll_event *event)
{
    return atomic_load(&((atoll_event *)event)->flag);
}

atoll_status
atoll_event_wait(atoll_event *event, atoll_wait *wait)
{
    if (atomic_load(&event->flag)) {
        return ATOLL_OK;
    }
    if (wait == NULL || wait->deadline <= 0) {
        return wait == NULL ? ATOLL_E_BUSY : ATOLL_E_TIMEOUT;
    }
    sync_base *base = &event->base;
    atoll_mutex_lock(&base->mutex);
    if (atomic_load(&event->flag)) {
        atoll_mutex_unlock(&base->mutex);
        return ATOLL_OK;
    }
    atoll_waiter waiter;
    atoll_waiter_init(&waiter, wait);
    atoll_line_join(&base->line, &waiter, wait);
    atoll_mutex_unlock(&base->mutex);
    return atoll_waiter_sleep(&waiter, &base->line, &base->mutex, wait);
}

/* --- AtomicInt --- */

atoll_status
atoll_atomic_new(int64_t value, atoll_atomic **out_atomic)
{
    atoll_atomic *atomic = atoll_malloc(sizeof(*atomic));
    if (atomic == NULL) {
        return ATOLL_E_NOMEM;
    }
    atomic_init(&atomic->value, value);
    atoll_ref_init(&atomic->count);
    atomic->id = sync_next_id();
    (void)atomic_fetch_add(&live, 1);
    *out_atomic = atomic;
    return ATOLL_OK;
}

void
atoll_atomic_acquire(atoll_atomic *atomic)
{
    atoll_ref_acquire(&atomic->count);
}

void
atoll_atomic_release(atoll_atomic *atomic)
{
    if (atoll_ref_release(&atomic->count)) {
        atoll_free(atomic);
        (void)atomic_fetch_sub(&live, 1);
    }
}

static void
acquire_atomic(void *ptr)
{
    atoll_atomic_acquire(ptr);
}

static void
release_atomic(void *ptr)
{
    atoll_atomic_release(ptr);
}

/* --- For frames --- */

const atoll_ref_ops atoll_lock_ops = {"lock", sync_acquire, sync_release};
const atoll_ref_ops atoll_semaphore_ops
    = {"semaphore", sync_acquire, sync_release};
const atoll_ref_ops atoll_event_ops = {"event", sync_acquire, sync_release};
const atoll_ref_ops atoll_condition_ops
    = {"condition", sync_acquire, sync_release};
const atoll_ref_ops atoll_barrier_ops
    = {"barrier", sync_acquire, sync_release};
const atoll_ref_ops atoll_atomic_ops
    = {"atomic integer", acquire_atomic, release_atomic};
