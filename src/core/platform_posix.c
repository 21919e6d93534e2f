/* platform.h on POSIX, with futexes and eventfd where Linux has them.
 *
 * A parker is one 32-bit word of three bits: PARKED is set by its thread just
 * before it sleeps; NOTIFIED and INTERRUPTED are the tokens that unpark and
 * interrupt leave.  The word decides, the kernel only sleeps: a token that
 * comes between the check and the sleep is seen by FUTEX_WAIT's own
 * comparison.  Whoever leaves a token in a PARKED word owes a wake-up.
 *
 * A futex wait without a time-out is restarted by the kernel after a handler
 * installed with SA_RESTART (asyncio's are); one with a time-out returns
 * EINTR.  So even a wait for ever has a time-out, some centuries away.
 *
 * Waiting awake.  To sleep and be woken costs a side 3 us on one processor and
 * 20 to 30 us across two (measured in a virtual machine, where waking an idle
 * processor leaves the guest); two threads that answer each other within a few
 * microseconds gain a factor of five to fifty if they stay awake.  So park may
 * look at the word for SPIN_NS first (about what the sleep would cost, so a
 * vain try costs at most once more), under three conditions.  It has paid
 * lately: a try that succeeds earns one credit of up to 16, one that fails
 * costs four, and without credit only every 32nd park tries, or, after
 * failures, every 64th, 128th, up to every 4096th.  No other thread wants the
 * processor: every 2 us, and at times before a try, it yields, and when that
 * takes long, somebody else has run; then it sleeps, and has no credit.  And
 * it ends: an idle waiter is asleep in the kernel after 20 us.  bench/c/queue.c
 * shows both sides, and what busy third parties lose.
 */
#include "platform.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#if ATOLL_HAVE_FUTEX
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#endif

#define NS 1000000000LL

/* See the head. */
#if !defined(SPIN_NS)
#define SPIN_NS 20000
#endif
#define POLITE_NS 2000
#define CROWDED_NS 4000
#define MOST_CREDIT 16
#define COST 4
#define LEAST_PATIENCE 32
#define MOST_PATIENCE 4096

/* A deadline as the system takes it: before the clock's start is its start. */
static struct timespec
timespec_of(int64_t deadline)
{
    if (deadline < 0) {
        deadline = 0;
    }
    return (struct timespec){deadline / NS, (long)(deadline % NS)};
}

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
    struct timespec span = timespec_of(left);
    return pthread_cond_timedwait_relative_np(cond, mutex, &span) != ETIMEDOUT;
#else
    struct timespec when = timespec_of(deadline);
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

enum { PARKED = 1, NOTIFIED = 2, INTERRUPTED = 4 };

/* Only the parker's own thread; consumes one token if there is one. */
static bool
take_token(atoll_parker *parker, uint32_t seen, atoll_status *out_status)
{
    if (seen & NOTIFIED) {
        (void)atomic_fetch_and(&parker->state, (uint32_t)~NOTIFIED);
        *out_status = ATOLL_OK;
        return true;
    }
    if (seen & INTERRUPTED) {
        (void)atomic_fetch_and(&parker->state, (uint32_t)~INTERRUPTED);
        *out_status = ATOLL_E_INTERRUPTED;
        return true;
    }
    return false;
}

void
atoll_parker_reset(atoll_parker *parker)
{
    atomic_store(&parker->state, 0);
}

void
atoll_parker_forget(atoll_parker *parker)
{
    if (ATOLL_UNLIKELY(
            atomic_load_explicit(&parker->state, memory_order_relaxed)
            & NOTIFIED)) {
        (void)atomic_fetch_and(&parker->state, (uint32_t)~NOTIFIED);
    }
}

static inline void
relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Does another thread want this processor?  If so, it has just had it. */
static bool
is_crowded(int64_t now, int64_t *out_now)
{
    (void)sched_yield();
    *out_now = atoll_now();
    return *out_now - now > CROWDED_NS;
}

/* A try was in vain: the next one without credit comes after twice as many
 * parks. */
static void
spin_failed(atoll_parker *parker, uint32_t cost)
{
    parker->credit -= parker->credit < cost ? parker->credit : cost;
    if (parker->credit == 0) {
        parker->patience
            += parker->patience < MOST_PATIENCE ? parker->patience : 0;
        parker->countdown = parker->patience;
    }
}

static void
spin_paid(atoll_parker *parker)
{
    parker->credit += parker->credit < MOST_CREDIT;
    parker->patience = LEAST_PATIENCE;
}

static void
spin_init(atoll_parker *parker)
{
    parker->credit = COST;
    parker->patience = LEAST_PATIENCE;
    parker->countdown = LEAST_PATIENCE;
}

/* Waits awake for a token, if that is worth trying.  True: there is one. */
static bool
spin(atoll_parker *parker, int64_t deadline)
{
    bool looks = --parker->countdown == 0;
    if (looks) {
        parker->countdown = parker->patience;
    }
    if (parker->credit == 0 && !looks) {
        return false;
    }
    int64_t now = atoll_now();
    if (looks && is_crowded(now, &now)) {
        spin_failed(parker, MOST_CREDIT);
        return false;
    }
    int64_t looked = now;
    int64_t until = now + SPIN_NS < deadline ? now + SPIN_NS : deadline;
    while (now < until) {
        for (int i = 0; i < 20; i++) {
            if (atomic_load_explicit(&parker->state, memory_order_relaxed)) {
                spin_paid(parker);
                return true;
            }
            relax();
        }
        now = atoll_now();
        if (now - looked > POLITE_NS) {
            if (is_crowded(now, &looked)) {
                spin_failed(parker, MOST_CREDIT);
                return false;
            }
            now = looked;
        }
    }
    spin_failed(parker, COST);
    return false;
}

#if ATOLL_HAVE_FUTEX

atoll_status
atoll_parker_init(atoll_parker *parker)
{
    atomic_init(&parker->state, 0);
    spin_init(parker);
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
    atoll_status status = ATOLL_OK;
    uint32_t seen = atomic_load(&parker->state);
    if (seen == 0 && deadline > 0 && spin(parker, deadline)) {
        seen = atomic_load(&parker->state);
    }
    if (take_token(parker, seen, &status)) {
        return status;
    }
    struct timespec when = timespec_of(deadline);
    for (;;) {
        seen = 0;
        if (!atomic_compare_exchange_strong(&parker->state, &seen, PARKED)) {
            (void)take_token(parker, seen, &status);
            return status;
        }
        long got = syscall(SYS_futex, &parker->state,
                           FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, PARKED,
                           &when, NULL, FUTEX_BITSET_MATCH_ANY);
        int err = got < 0 ? errno : 0;
        seen = atomic_fetch_and(&parker->state, (uint32_t)~PARKED);
        if (take_token(parker, seen, &status)) {
            return status;
        }
        if (err == ETIMEDOUT) {
            return ATOLL_E_TIMEOUT;
        }
        if (err == EINTR) {
            return ATOLL_E_INTERRUPTED;
        }
        /* Somebody else's wake-up for what was at this address before. */
    }
}

static bool
leave_token(atoll_parker *parker, uint32_t token)
{
    return (atomic_fetch_or(&parker->state, token) & PARKED) != 0;
}

void
atoll_parker_wake(atoll_parker *parker)
{
    /* An address that is no longer a parker's costs its thread one look. */
    (void)syscall(SYS_futex, &parker->state, FUTEX_WAKE | FUTEX_PRIVATE_FLAG,
                  1, NULL, NULL, 0);
}

#else

atoll_status
atoll_parker_init(atoll_parker *parker)
{
    atomic_init(&parker->state, 0);
    spin_init(parker);
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
    atoll_status status = ATOLL_E_TIMEOUT;
    if (atomic_load(&parker->state) == 0 && deadline > 0) {
        (void)spin(parker, deadline);
    }
    (void)pthread_mutex_lock(&parker->mutex);
    bool in_time = true;
    while (!take_token(parker, atomic_load(&parker->state), &status)) {
        if (!in_time) {
            break;
        }
        in_time = wait_cond(&parker->cond, &parker->mutex, deadline);
    }
    (void)pthread_mutex_unlock(&parker->mutex);
    return status;
}

/* Signals at once: the mutex may be gone by the time of wake. */
static bool
leave_token(atoll_parker *parker, uint32_t token)
{
    (void)pthread_mutex_lock(&parker->mutex);
    (void)atomic_fetch_or(&parker->state, token);
    (void)pthread_cond_signal(&parker->cond);
    (void)pthread_mutex_unlock(&parker->mutex);
    return false;
}

void
atoll_parker_wake(atoll_parker *parker)
{
    (void)parker;
}

#endif

bool
atoll_parker_notify(atoll_parker *parker)
{
    return leave_token(parker, NOTIFIED);
}

void
atoll_parker_unpark(atoll_parker *parker)
{
    if (leave_token(parker, NOTIFIED)) {
        atoll_parker_wake(parker);
    }
}

void
atoll_parker_interrupt(atoll_parker *parker)
{
    if (leave_token(parker, INTERRUPTED)) {
        atoll_parker_wake(parker);
    }
}

#if ATOLL_HAVE_FUTEX

atoll_status
atoll_bell_init(atoll_bell *bell)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) {
        return ATOLL_E_SYSTEM;
    }
    bell->read_fd = bell->write_fd = fd;
    return ATOLL_OK;
}

#else

static int
make_quiet(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        return -1;
    }
    return fcntl(fd, F_SETFD, FD_CLOEXEC);
}

atoll_status
atoll_bell_init(atoll_bell *bell)
{
    int fds[2];
    if (pipe(fds) < 0) {
        return ATOLL_E_SYSTEM;
    }
    if (make_quiet(fds[0]) < 0 || make_quiet(fds[1]) < 0) {
        int err = errno;
        (void)close(fds[0]);
        (void)close(fds[1]);
        errno = err;
        return ATOLL_E_SYSTEM;
    }
    bell->read_fd = fds[0];
    bell->write_fd = fds[1];
    return ATOLL_OK;
}

#endif

void
atoll_bell_fini(atoll_bell *bell)
{
    (void)close(bell->read_fd);
    if (bell->write_fd != bell->read_fd) {
        (void)close(bell->write_fd);
    }
    bell->read_fd = bell->write_fd = -1;
}

void
atoll_bell_ring(atoll_bell *bell)
{
    uint64_t one = 1;
    ssize_t got;
    do {
        got = write(bell->write_fd, &one, sizeof(one));
    } while (got < 0 && errno == EINTR);
    /* EAGAIN: it is full, so it rings. */
}

void
atoll_bell_silence(atoll_bell *bell)
{
    uint64_t buffer[16];
    ssize_t got;
    do {
        got = read(bell->read_fd, buffer, sizeof(buffer));
    } while (got == (ssize_t)sizeof(buffer) || (got < 0 && errno == EINTR));
}

unsigned long
atoll_thread_ident(void)
{
    return (unsigned long)pthread_self();
}

int64_t
atoll_thread_cpu(long native_id)
{
    struct timespec now;
    clockid_t clock = CLOCK_THREAD_CPUTIME_ID;
    if (native_id != 0) {
#if defined(__linux__)
        /* What pthread_getcpuclockid makes of a pthread_t, which must not be
         * touched once its thread has ended; the kernel checks an id, and
         * that it is of this process.  The layout (thread clock, scheduler's
         * time) is part of Linux's binary interface. */
        clock = (clockid_t)(~(unsigned)native_id << 3 | 6u);
#else
        return -1;
#endif
    }
    if (clock_gettime(clock, &now) != 0) {
        return -1;
    }
    return (int64_t)now.tv_sec * NS + now.tv_nsec;
}
