/* platform.h on POSIX, with futexes where Linux has them.
 *
 * A parker is one 32-bit word.  EMPTY -> PARKED by its thread, which sleeps;
 * unpark and interrupt set NOTIFIED or INTERRUPTED and wake it.  The word
 * decides, the kernel only sleeps: a wake-up that comes between the check and
 * the sleep is seen by FUTEX_WAIT's own comparison.
 */
#include "platform.h"

#include <errno.h>
#include <time.h>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#define NS 1000000000LL

atoll_status
atoll_mutex_init(atoll_mutex *mutex)
{
    return pthread_mutex_init(&mutex->raw, NULL) == 0 ? ATOLL_OK
                                                      : ATOLL_E_SYSTEM;
}

void
atoll_mutex_fini(atoll_mutex *mutex)
{
    (void)pthread_mutex_destroy(&mutex->raw);
}

void
atoll_mutex_lock(atoll_mutex *mutex)
{
    (void)pthread_mutex_lock(&mutex->raw);
}

void
atoll_mutex_unlock(atoll_mutex *mutex)
{
    (void)pthread_mutex_unlock(&mutex->raw);
}

static int
init_cond(pthread_cond_t *cond)
{
#if defined(__APPLE__)
    return pthread_cond_init(cond, NULL);
#else
    pthread_condattr_t attr;
    if (pthread_condattr_init(&attr) != 0) {
        return -1;
    }
    int err = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (err == 0) {
        err = pthread_cond_init(cond, &attr);
    }
    (void)pthread_condattr_destroy(&attr);
    return err;
#endif
}

/* Locks: mutex held.  False: the deadline has passed. */
static bool
wait_cond(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline)
{
    if (deadline == ATOLL_FOREVER) {
        (void)pthread_cond_wait(cond, mutex);
        return true;
    }
#if defined(__APPLE__)
    int64_t left = deadline - atoll_now();
    if (left <= 0) {
        return false;
    }
    struct timespec span = {left / NS, (long)(left % NS)};
    return pthread_cond_timedwait_relative_np(cond, mutex, &span)
           != ETIMEDOUT;
#else
    struct timespec when = {deadline / NS, (long)(deadline % NS)};
    return pthread_cond_timedwait(cond, mutex, &when) != ETIMEDOUT;
#endif
}

atoll_status
atoll_cond_init(atoll_cond *cond)
{
    return init_cond(&cond->raw) == 0 ? ATOLL_OK : ATOLL_E_SYSTEM;
}

void
atoll_cond_fini(atoll_cond *cond)
{
    (void)pthread_cond_destroy(&cond->raw);
}

void
atoll_cond_signal_all(atoll_cond *cond)
{
    (void)pthread_cond_broadcast(&cond->raw);
}

atoll_status
atoll_cond_wait(atoll_cond *cond, atoll_mutex *mutex, int64_t deadline)
{
    return wait_cond(&cond->raw, &mutex->raw, deadline) ? ATOLL_OK
                                                        : ATOLL_E_TIMEOUT;
}

int64_t
atoll_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS + now.tv_nsec;
}

int64_t
atoll_deadline_after(double seconds)
{
    if (!(seconds > 0)) {
        return 0;
    }
    int64_t now = atoll_now();
    /* Two thirds of the range: some 190 years from now is for ever. */
    if (seconds * (double)NS >= (double)(INT64_MAX / 3) * 2 - (double)now) {
        return ATOLL_FOREVER;
    }
    return now + (int64_t)(seconds * (double)NS);
}

enum { EMPTY = 0, PARKED = 1, NOTIFIED = 2, INTERRUPTED = 3 };

static atoll_status
take_token(uint32_t token)
{
    return token == INTERRUPTED ? ATOLL_E_INTERRUPTED : ATOLL_OK;
}

#if defined(__linux__)

atoll_status
atoll_parker_init(atoll_parker *parker)
{
    atomic_init(&parker->state, EMPTY);
    return ATOLL_OK;
}

void
atoll_parker_fini(atoll_parker *parker)
{
    (void)parker;
}

atoll_status
atoll_parker_park(atoll_parker *parker, int64_t deadline)
{
    uint32_t seen = EMPTY;
    if (!atomic_compare_exchange_strong(&parker->state, &seen, PARKED)) {
        atomic_store(&parker->state, EMPTY);
        return take_token(seen);
    }
    struct timespec when = {deadline / NS, (long)(deadline % NS)};
    for (;;) {
        long got = syscall(SYS_futex, &parker->state,
                           FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, PARKED,
                           deadline == ATOLL_FOREVER ? NULL : &when, NULL,
                           FUTEX_BITSET_MATCH_ANY);
        bool late = got < 0 && errno == ETIMEDOUT;
        seen = atomic_load(&parker->state);
        if (seen == PARKED && !late) {
            continue; /* a signal or a stray wake-up */
        }
        seen = atomic_exchange(&parker->state, EMPTY);
        return seen == PARKED ? ATOLL_E_TIMEOUT : take_token(seen);
    }
}

static void
wake(atoll_parker *parker, uint32_t token)
{
    if (atomic_exchange(&parker->state, token) == PARKED) {
        (void)syscall(SYS_futex, &parker->state,
                      FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
    }
}

#else

atoll_status
atoll_parker_init(atoll_parker *parker)
{
    atomic_init(&parker->state, EMPTY);
    if (pthread_mutex_init(&parker->mutex, NULL) != 0) {
        return ATOLL_E_SYSTEM;
    }
    if (init_cond(&parker->cond) != 0) {
        (void)pthread_mutex_destroy(&parker->mutex);
        return ATOLL_E_SYSTEM;
    }
    return ATOLL_OK;
}

void
atoll_parker_fini(atoll_parker *parker)
{
    (void)pthread_cond_destroy(&parker->cond);
    (void)pthread_mutex_destroy(&parker->mutex);
}

atoll_status
atoll_parker_park(atoll_parker *parker, int64_t deadline)
{
    (void)pthread_mutex_lock(&parker->mutex);
    bool in_time = true;
    while (atomic_load(&parker->state) == EMPTY && in_time) {
        in_time = wait_cond(&parker->cond, &parker->mutex, deadline);
    }
    uint32_t seen = atomic_exchange(&parker->state, EMPTY);
    (void)pthread_mutex_unlock(&parker->mutex);
    return seen == EMPTY ? ATOLL_E_TIMEOUT : take_token(seen);
}

static void
wake(atoll_parker *parker, uint32_t token)
{
    (void)pthread_mutex_lock(&parker->mutex);
    atomic_store(&parker->state, token);
    (void)pthread_cond_signal(&parker->cond);
    (void)pthread_mutex_unlock(&parker->mutex);
}

#endif

void
atoll_parker_unpark(atoll_parker *parker)
{
    wake(parker, NOTIFIED);
}

void
atoll_parker_interrupt(atoll_parker *parker)
{
    wake(parker, INTERRUPTED);
}

void
atoll_parker_reset(atoll_parker *parker)
{
    atomic_store(&parker->state, EMPTY);
}

unsigned long
atoll_thread_ident(void)
{
    return (unsigned long)pthread_self();
}
