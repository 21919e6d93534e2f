/* What the core needs of the operating system: mutexes, one-waiter sleeping
 * places (parkers), deadlines, descriptors to wake an event loop.
 *
 * Linux has futexes and eventfd; everything else takes the POSIX fallback in
 * the same file (condition variables and pipes), which macOS compiles.
 *
 * Time is int64 nanoseconds on the monotonic clock.  A deadline is an
 * absolute time; ATOLL_FOREVER never passes; 0 has always passed.
 */
#ifndef ATOLL_CORE_PLATFORM_H
#define ATOLL_CORE_PLATFORM_H

#include <pthread.h>

#include "atomic.h"

#define ATOLL_FOREVER INT64_MAX

/* ATOLL_FORCE_POSIX builds the fallback on Linux too, for its tests. */
#if defined(__linux__) && !defined(ATOLL_FORCE_POSIX)
#define ATOLL_HAVE_FUTEX 1
#else
#define ATOLL_HAVE_FUTEX 0
#endif

typedef struct atoll_mutex {
    pthread_mutex_t raw;
} atoll_mutex;

typedef struct atoll_cond {
    pthread_cond_t raw; /* on the monotonic clock where it can be */
} atoll_cond;

/* An object is made by init and ended by fini; ATOLL_MUTEX_STATIC is for the
 * few process-wide tables, which never end.  Fails: ATOLL_E_SYSTEM. */
#define ATOLL_MUTEX_STATIC        \
    {                             \
        PTHREAD_MUTEX_INITIALIZER \
    }
atoll_status
atoll_mutex_init(atoll_mutex *mutex) ATOLL_MUST_CHECK;
void
atoll_mutex_fini(atoll_mutex *mutex);
void
atoll_mutex_lock(atoll_mutex *mutex);
void
atoll_mutex_unlock(atoll_mutex *mutex);

atoll_status
atoll_cond_init(atoll_cond *cond) ATOLL_MUST_CHECK;
void
atoll_cond_fini(atoll_cond *cond);
void
atoll_cond_signal_all(atoll_cond *cond);
/* Locks: mutex held; released while asleep.  Returns ATOLL_OK when woken (for
 * whatever reason: check the condition) or ATOLL_E_TIMEOUT. */
atoll_status
atoll_cond_wait(atoll_cond *cond, atoll_mutex *mutex, int64_t deadline);

/* The monotonic clock, in nanoseconds. */
int64_t
atoll_now(void);
/* now + seconds, clamped: NaN is refused by the caller; negative gives 0
 * (already passed); too far gives ATOLL_FOREVER. */
int64_t
atoll_deadline_after(double seconds);

/* A parker: a place where exactly one thread sleeps until it is unparked,
 * interrupted or late.  A token of each kind is kept: an unpark or interrupt
 * that comes first makes the next park return at once.  An unpark does not
 * swallow an interrupt that came with it: the next park returns that.
 *
 * A signal that is handled by the sleeping thread counts as an interrupt on
 * Linux (whatever its SA_RESTART says); elsewhere, and in the instant before
 * the kernel sleeps, it does not: whoever must not miss a signal has
 * something call atoll_parker_interrupt as well. */
typedef struct atoll_parker {
    _Atomic uint32_t state; /* bits: parked, notified, interrupted */
    /* For waiting awake; its own thread's, see platform_posix.c. */
    uint32_t credit;
    uint32_t countdown;
    uint32_t patience;
#if !ATOLL_HAVE_FUTEX
    pthread_mutex_t mutex;
    pthread_cond_t cond;
#endif
} atoll_parker;

atoll_status
atoll_parker_init(atoll_parker *parker) ATOLL_MUST_CHECK;
void
atoll_parker_fini(atoll_parker *parker);
/* Sleeps until unpark (ATOLL_OK), interrupt (ATOLL_E_INTERRUPTED) or the
 * deadline (ATOLL_E_TIMEOUT).  Only the parker's own thread calls it, and
 * holds no lock.  May spin for some microseconds first, where that has paid
 * lately. */
atoll_status
atoll_parker_park(atoll_parker *parker, int64_t deadline);
/* Any thread, under any lock; async-signal-safe on Linux. */
void
atoll_parker_unpark(atoll_parker *parker);
void
atoll_parker_interrupt(atoll_parker *parker);
/* unpark in two steps, so that the system call comes after an unlock: notify
 * leaves the token and tells whether a thread sleeps; wake is then due.  The
 * parker may be gone by the time of wake: only its address is used. */
bool
atoll_parker_notify(atoll_parker *parker);
void
atoll_parker_wake(atoll_parker *parker);
/* Takes back what was left by an unpark or interrupt that came too late. */
void
atoll_parker_reset(atoll_parker *parker);
/* Takes back an unpark only; a kept interrupt stays. */
void
atoll_parker_forget(atoll_parker *parker);

/* A bell: a descriptor that an event loop polls for reading, rung from any
 * thread.  An eventfd on Linux, a pipe elsewhere; both ends are non-blocking
 * and close-on-exec. */
typedef struct atoll_bell {
    int read_fd;
    int write_fd; /* the same one with eventfd */
} atoll_bell;

/* Fails: ATOLL_E_SYSTEM, errno tells why. */
atoll_status
atoll_bell_init(atoll_bell *bell) ATOLL_MUST_CHECK;
void
atoll_bell_fini(atoll_bell *bell);
/* Never blocks; a bell that rings already is left as it is. */
void
atoll_bell_ring(atoll_bell *bell);
void
atoll_bell_silence(atoll_bell *bell);

/* The calling thread's id as PyThread_get_thread_ident gives it, and as the
 * kernel does (for messages). */
unsigned long
atoll_thread_ident(void);

/* CPU time in nanoseconds of a thread of this process, by its kernel id (0:
 * the calling one).  -1: there is no such thread (any more), or this system
 * does not tell. */
int64_t
atoll_thread_cpu(long native_id);

#endif
