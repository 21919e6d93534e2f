/* Lock, RLock and Condition.
 *
 * A lock is one word: the owner's interpreter (plus 1) from bit 3 up, and three
 * flags.  Taking and releasing an uncontended lock is one compare-and-swap
 * each; that the word names the interpreter is what makes owner_died exact,
 * without a record of who holds what.
 *
 * Who finds it taken stands in line, under the mutex, with WAITERS set.  A
 * release with WAITERS takes the longest waiter out of line and wakes it to
 * try again, while whoever runs may overtake it: handing the lock over at
 * every release costs two context switches a time (see bench/c/queue.c).
 * WAKING says that a woken one has not tried yet; until then nobody else is
 * woken, and releases are cheap again.  Not for ever: a waiter that has waited
 * FAIR_NS is handed the lock.
 *
 * Invariants, whenever the mutex is free: somebody stands in line => the word
 * has WAITERS, and an owner or WAKING.  DIED => nobody stands in line.
 *
 * Locks: a lock's mutex and a condition's are never held together.
 */
#include "sync.h"

#include "sync_private.h"

#define WAITERS ((uint64_t)1)
#define DIED ((uint64_t)2) /* the owner's interpreter ended */
#define WAKING ((uint64_t)4)
#define FLAGS (WAITERS | DIED | WAKING)
#define OWNER_SHIFT 3
#define FAIR_NS 1000000

struct atoll_lock {
    sync_base base;
    bool recursive;
    _Atomic uint64_t word;
    /* Of a recursive lock that is taken; written by its owner, or for it by
     * who hands over. */
    _Atomic unsigned long thread;
    _Atomic uint64_t depth;
};

typedef struct lock_waiter {
    atoll_waiter waiter; /* first */
    atoll_owner owner;
    int64_t since;
} lock_waiter;

/* A waiter's status: woken to try again. */
#define TRY_AGAIN ATOLL_E_BUSY

static uint64_t
owner_bits(int64_t interp)
{
    return ((uint64_t)interp + 1) << OWNER_SHIFT;
}

static bool
is_taken(uint64_t word)
{
    return word >> OWNER_SHIFT != 0;
}

/* --- Lock: life --- */

atoll_status
atoll_lock_new(bool recursive, atoll_lock **out_lock)
{
    void *object;
    atoll_status status = sync_new(SYNC_LOCK, sizeof(atoll_lock), &object);
    if (status == ATOLL_OK) {
        atoll_lock *lock = object;
        lock->recursive = recursive;
        *out_lock = lock;
    }
    return status;
}

void
atoll_lock_acquire(atoll_lock *lock)
{
    sync_acquire(lock);
}

void
atoll_lock_release(atoll_lock *lock)
{
    sync_release(lock);
}

uint64_t
atoll_lock_id(const atoll_lock *lock)
{
    return lock->base.id;
}

bool
atoll_lock_is_recursive(const atoll_lock *lock)
{
    return lock->recursive;
}

/* --- Lock: state --- */

static uint64_t
word_of(const atoll_lock *lock)
{
    return atomic_load(&((atoll_lock *)lock)->word);
}

bool
atoll_lock_is_locked(const atoll_lock *lock)
{
    uint64_t word = word_of(lock);
    return is_taken(word) || (word & DIED);
}

bool
atoll_lock_owner_died(const atoll_lock *lock)
{
    return (word_of(lock) & DIED) != 0;
}

/* True only if the caller is `owner` and holds it: nobody else writes that
 * pair. */
static bool
holds(atoll_lock *lock, uint64_t word, atoll_owner owner)
{
    return (word & ~FLAGS) == owner_bits(owner.interp)
           && atomic_load_explicit(&lock->thread, memory_order_relaxed)
                  == owner.thread;
}

bool
atoll_lock_is_owned(const atoll_lock *lock, atoll_owner owner)
{
    uint64_t word = word_of(lock);
    return lock->recursive ? holds((atoll_lock *)lock, word, owner)
                           : is_taken(word);
}

uint64_t
atoll_lock_depth(const atoll_lock *lock)
{
    if (!is_taken(word_of(lock))) {
        return 0;
    }
    return lock->recursive ? atomic_load(&((atoll_lock *)lock)->depth) : 1;
}

static void
set_owner(atoll_lock *lock, unsigned long thread, uint64_t depth)
{
    if (lock->recursive) {
        atomic_store_explicit(&lock->thread, thread, memory_order_relaxed);
        atomic_store_explicit(&lock->depth, depth, memory_order_relaxed);
    }
}

/* --- Lock: taking --- */

/* Takes it if nobody has it, whatever its flags. */
static bool
try_take(atoll_lock *lock, atoll_owner owner)
{
    uint64_t word = word_of(lock);
    while (!is_taken(word) && !(word & DIED)) {
        uint64_t taken = word | owner_bits(owner.interp);
        if (atomic_compare_exchange_weak(&lock->word, &word, taken)) {
            set_owner(lock, owner.thread, 1);
            return true;
        }
    }
    return false;
}

/* Locks: the mutex, held.  ATOLL_OK: taken; ATOLL_E_BUSY: it was taken and has
 * WAITERS now; ATOLL_E_OWNER_DIED. */
static atoll_status
take_or_flag(atoll_lock *lock, atoll_owner owner)
{
    for (;;) {
        if (try_take(lock, owner)) {
            return ATOLL_OK;
        }
        uint64_t word = word_of(lock);
        if (word & DIED) {
            return ATOLL_E_OWNER_DIED;
        }
        if (is_taken(word)
            && atomic_compare_exchange_strong(&lock->word, &word,
                                              word | WAITERS)) {
            return ATOLL_E_BUSY;
        }
    }
}

/* Locks: the mutex, held; who is out of line may have left the last. */
static void
drop_flag_if_alone(atoll_lock *lock)
{
    if (lock->base.line.first == NULL) {
        (void)atomic_fetch_and(&lock->word, ~WAITERS);
    }
}

static atoll_status
lock_slowly(atoll_lock *lock, atoll_owner owner, atoll_wait *wait)
{
    sync_base *base = &lock->base;
    lock_waiter self = {.owner = owner, .since = atoll_now()};
    uint64_t ticket = wait->ticket;
    bool woken = false;
    for (;;) {
        atoll_mutex_lock(&base->mutex);
        if (woken) {
            (void)atomic_fetch_and(&lock->word, ~WAKING);
        }
        atoll_status status = take_or_flag(lock, owner);
        bool late = status == ATOLL_E_BUSY && wait->deadline <= 0;
        if (status != ATOLL_E_BUSY || late) {
            drop_flag_if_alone(lock);
            atoll_mutex_unlock(&base->mutex);
            wait->ticket = 0;
            return late ? ATOLL_E_TIMEOUT : status;
        }
        atoll_waiter_init(&self.waiter, wait);
        wait->ticket = ticket;
        atoll_line_join(&base->line, &self.waiter, wait);
        ticket = wait->ticket;
        atoll_mutex_unlock(&base->mutex);
        status = atoll_waiter_sleep(&self.waiter, &base->line, &base->mutex,
                                    wait);
        if (status != TRY_AGAIN) {
            return status;
        }
        woken = true;
    }
}

atoll_status
atoll_lock_lock(atoll_lock *lock, atoll_owner owner, atoll_wait *wait)
{
    uint64_t word = 0;
    if (ATOLL_LIKELY(atomic_compare_exchange_strong(
            &lock->word, &word, owner_bits(owner.interp)))) {
        set_owner(lock, owner.thread, 1);
        return ATOLL_OK;
    }
    if (lock->recursive && holds(lock, word, owner)) {
        atomic_store_explicit(
            &lock->depth,
            atomic_load_explicit(&lock->depth, memory_order_relaxed) + 1,
            memory_order_relaxed);
        return ATOLL_OK;
    }
    if (try_take(lock, owner)) {
        return ATOLL_OK;
    }
    if (wait != NULL) {
        return lock_slowly(lock, owner, wait);
    }
    return (word_of(lock) & DIED) ? ATOLL_E_OWNER_DIED : ATOLL_E_BUSY;
}

/* --- Lock: releasing --- */

/* Locks: the mutex, held; the word is taken and must_wake.  Gives it to the
 * first in line, or frees it and wakes that one to try. */
static void
pass_on(atoll_lock *lock, atoll_wakes *wakes)
{
    atoll_waiter *first = atoll_line_pop(&lock->base.line);
    uint64_t flags = lock->base.line.first != NULL ? WAITERS : 0;
    lock_waiter *next = (lock_waiter *)first;
    if (first != NULL && atoll_now() - next->since >= FAIR_NS) {
        set_owner(lock, next->owner.thread, 1);
        atomic_store(&lock->word, owner_bits(next->owner.interp) | flags);
        atoll_waiter_grant(first, ATOLL_OK, wakes);
        return;
    }
    set_owner(lock, 0, 0);
    atomic_store(&lock->word, flags | (first != NULL ? WAKING : 0));
    if (first != NULL) {
        atoll_waiter_grant(first, TRY_AGAIN, wakes);
    }
}

static bool
must_wake(uint64_t word)
{
    return (word & (WAITERS | WAKING)) == WAITERS;
}

/* Releases it wholly, by its owner; `word` is what was seen in it. */
static atoll_status
unlock_word(atoll_lock *lock, uint64_t word)
{
    if (is_taken(word) && !must_wake(word)) {
        set_owner(lock, 0, 0);
        if (ATOLL_LIKELY(atomic_compare_exchange_strong(&lock->word, &word,
                                                        word & FLAGS))) {
            return ATOLL_OK;
        }
    }
    atoll_wakes wakes = {.count = 0};
    atoll_status status = ATOLL_OK;
    atoll_mutex_lock(&lock->base.mutex);
    for (;;) {
        word = word_of(lock);
        if (!is_taken(word)) {
            status = (word & DIED) ? ATOLL_E_OWNER_DIED : ATOLL_E_NOT_OWNER;
            break;
        }
        if (must_wake(word)) {
            pass_on(lock, &wakes);
            break;
        }
        set_owner(lock, 0, 0);
        if (atomic_compare_exchange_strong(&lock->word, &word, word & FLAGS)) {
            break;
        }
    }
    atoll_mutex_unlock(&lock->base.mutex);
    atoll_wakes_send(&wakes);
    return status;
}

atoll_status
atoll_lock_unlock(atoll_lock *lock, atoll_owner owner)
{
    uint64_t word = word_of(lock);
    if (!is_taken(word)) {
        return (word & DIED) ? ATOLL_E_OWNER_DIED : ATOLL_E_NOT_OWNER;
    }
    if (lock->recursive) {
        if (!holds(lock, word, owner)) {
            return ATOLL_E_NOT_OWNER;
        }
        uint64_t depth
            = atomic_load_explicit(&lock->depth, memory_order_relaxed);
        if (depth > 1) {
            atomic_store_explicit(&lock->depth, depth - 1,
                                  memory_order_relaxed);
            return ATOLL_OK;
        }
    }
    return unlock_word(lock, word);
}

void
atoll_lock_reset(atoll_lock *lock)
{
    atoll_mutex_lock(&lock->base.mutex);
    if (word_of(lock) & DIED) {
        atomic_store(&lock->word, 0);
    }
    atoll_mutex_unlock(&lock->base.mutex);
}

/* --- Lock: the end of an owner; fork --- */

/* `others`: every interpreter but this one has ended. */
void
sync_lock_owner_died(atoll_lock *lock, int64_t interp, bool others)
{
    atoll_wakes wakes = {.count = 0};
    atoll_mutex_lock(&lock->base.mutex);
    uint64_t word = word_of(lock);
    while (is_taken(word)
           && ((word >> OWNER_SHIFT) == (uint64_t)interp + 1) != others) {
        if (atomic_compare_exchange_weak(&lock->word, &word, DIED)) {
            set_owner(lock, 0, 0);
            atoll_line_grant_all(&lock->base.line, ATOLL_E_OWNER_DIED, &wakes);
            break;
        }
    }
    atoll_mutex_unlock(&lock->base.mutex);
    atoll_wakes_send(&wakes);
}

void
sync_lock_forget_line(atoll_lock *lock)
{
    (void)atomic_fetch_and(&lock->word, ~(WAITERS | WAKING));
}

/* --- Condition --- */

struct atoll_condition {
    sync_base base;
    atoll_lock *lock; /* owns a reference */
};

enum { STAGE_NEW = 0, STAGE_ASLEEP, STAGE_RELOCK, STAGE_OVER };

atoll_status
atoll_condition_new(atoll_lock *lock, atoll_condition **out_condition)
{
    void *object;
    atoll_status status
        = sync_new(SYNC_CONDITION, sizeof(atoll_condition), &object);
    if (status == ATOLL_OK) {
        atoll_condition *condition = object;
        atoll_lock_acquire(lock);
        condition->lock = lock;
        *out_condition = condition;
    }
    return status;
}

void
sync_condition_fini(atoll_condition *condition)
{
    atoll_lock_release(condition->lock);
}

void
atoll_condition_acquire(atoll_condition *condition)
{
    sync_acquire(condition);
}

void
atoll_condition_release(atoll_condition *condition)
{
    sync_release(condition);
}

uint64_t
atoll_condition_id(const atoll_condition *condition)
{
    return condition->base.id;
}

atoll_lock *
atoll_condition_lock(const atoll_condition *condition)
{
    return condition->lock;
}

static atoll_status
check_owned(atoll_lock *lock, atoll_owner owner)
{
    if (atoll_lock_is_owned(lock, owner)) {
        return ATOLL_OK;
    }
    return atoll_lock_owner_died(lock) ? ATOLL_E_OWNER_DIED
                                       : ATOLL_E_NOT_OWNER;
}

/* Stands in line, then lets go of the lock: a notification that comes between
 * is not missed. */
static atoll_status
begin_sleep(atoll_condition *condition, atoll_owner owner, atoll_wait *wait,
            atoll_condition_wait *state)
{
    sync_base *base = &condition->base;
    atoll_lock *lock = condition->lock;
    atoll_status status = check_owned(lock, owner);
    if (status != ATOLL_OK) {
        return status;
    }
    state->depth = atoll_lock_depth(lock);
    atoll_waiter_init(&state->waiter, wait);
    atoll_mutex_lock(&base->mutex);
    atoll_line_add(&base->line, &state->waiter);
    atoll_mutex_unlock(&base->mutex);
    status = unlock_word(lock, word_of(lock));
    if (status == ATOLL_OK) {
        state->stage = STAGE_ASLEEP;
        return ATOLL_OK;
    }
    /* A plain lock that somebody else released meanwhile. */
    atoll_mutex_lock(&base->mutex);
    if (state->waiter.queued) {
        atoll_line_remove(&base->line, &state->waiter);
    }
    atoll_mutex_unlock(&base->mutex);
    atoll_parker_forget(wait->parker);
    return status;
}

/* Sleeps once; after an interruption the node still stands in line.  Returns
 * ATOLL_E_INTERRUPTED, or ATOLL_OK with the result in the state. */
static atoll_status
sleep_in_line(atoll_condition *condition, atoll_wait *wait,
              atoll_condition_wait *state)
{
    sync_base *base = &condition->base;
    atoll_waiter *waiter = &state->waiter;
    atoll_status status = ATOLL_OK;
    for (;;) {
        atoll_mutex_lock(&base->mutex);
        if (!waiter->queued) {
            state->result = waiter->status;
            status = ATOLL_OK;
            break;
        }
        if (status == ATOLL_E_TIMEOUT || wait->deadline <= 0) {
            atoll_line_remove(&base->line, waiter);
            state->result = ATOLL_E_TIMEOUT;
            status = ATOLL_OK;
            break;
        }
        if (status == ATOLL_E_INTERRUPTED) {
            break;
        }
        atoll_mutex_unlock(&base->mutex);
        status = atoll_parker_park(waiter->parker, wait->deadline);
    }
    atoll_mutex_unlock(&base->mutex);
    if (status == ATOLL_OK) {
        atoll_parker_forget(waiter->parker);
        state->stage = STAGE_RELOCK;
    }
    return status;
}

atoll_status
atoll_condition_sleep(atoll_condition *condition, atoll_owner owner,
                      atoll_wait *wait, atoll_condition_wait *state)
{
    atoll_status status = ATOLL_OK;
    if (state->stage == STAGE_NEW) {
        status = begin_sleep(condition, owner, wait, state);
        state->relock = (atoll_wait){wait->parker, ATOLL_FOREVER, 0};
    }
    if (status == ATOLL_OK && state->stage == STAGE_ASLEEP) {
        status = sleep_in_line(condition, wait, state);
    }
    if (status == ATOLL_OK && state->stage == STAGE_RELOCK) {
        status = atoll_lock_lock(condition->lock, owner, &state->relock);
    }
    if (status != ATOLL_OK) {
        return status;
    }
    set_owner(condition->lock, owner.thread, state->depth);
    state->stage = STAGE_OVER;
    return state->result;
}

/* Locks: the condition's mutex, held. */
static void
notify(atoll_condition *condition, uint64_t n, atoll_wakes *wakes)
{
    atoll_waiter *waiter;
    while (n-- > 0 && (waiter = atoll_line_pop(&condition->base.line))) {
        atoll_waiter_grant(waiter, ATOLL_OK, wakes);
    }
}

void
atoll_condition_give_up(atoll_condition *condition,
                        atoll_condition_wait *state)
{
    atoll_wakes wakes = {.count = 0};
    atoll_mutex_lock(&condition->base.mutex);
    bool notified = false;
    if (state->stage == STAGE_ASLEEP) {
        if (state->waiter.queued) {
            atoll_line_remove(&condition->base.line, &state->waiter);
        }
        else {
            notified = state->waiter.status == ATOLL_OK;
        }
        state->stage = STAGE_RELOCK;
    }
    else if (state->stage == STAGE_RELOCK) {
        notified = state->result == ATOLL_OK;
    }
    if (notified) {
        notify(condition, 1, &wakes);
    }
    if (state->stage == STAGE_RELOCK) {
        state->result = ATOLL_E_TIMEOUT;
    }
    atoll_mutex_unlock(&condition->base.mutex);
    atoll_wakes_send(&wakes);
}

atoll_status
atoll_condition_notify(atoll_condition *condition, atoll_owner owner,
                       uint64_t n)
{
    atoll_status status = check_owned(condition->lock, owner);
    if (status != ATOLL_OK) {
        return status;
    }
    atoll_wakes wakes = {.count = 0};
    atoll_mutex_lock(&condition->base.mutex);
    notify(condition, n, &wakes);
    atoll_mutex_unlock(&condition->base.mutex);
    atoll_wakes_send(&wakes);
    return ATOLL_OK;
}

void
sync_condition_check(atoll_condition *condition)
{
    if (!atoll_lock_owner_died(condition->lock)) {
        return;
    }
    atoll_wakes wakes = {.count = 0};
    atoll_mutex_lock(&condition->base.mutex);
    atoll_line_grant_all(&condition->base.line, ATOLL_E_OWNER_DIED, &wakes);
    atoll_mutex_unlock(&condition->base.mutex);
    atoll_wakes_send(&wakes);
}
