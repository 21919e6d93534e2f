/* What an interpreter has used: calls, time, messages.
 *
 * Always on, so it must cost next to nothing: a call reads the monotonic clock
 * twice.  The CPU clock of a thread is a system call, more than a whole call
 * into an interpreter; so it is read only when the last reading is older than
 * ATOLL_USAGE_STALE, and in between the thread is taken to have run all the
 * time.  That is wrong only for sleeps shorter than this, which the kernel's
 * own timer slack makes rare: some 50 us at most for each call.
 *
 * Locks: none.  Of the counters, `calls` to `cpu` are written by whoever has
 * the slot of the running call, the messages by whoever is attached to the
 * interpreter: one writer at a time, handed on under a lock or a GIL.  Anybody
 * may read them at any time.
 */
#ifndef ATOLL_CORE_USAGE_H
#define ATOLL_CORE_USAGE_H

#include "atomic.h"
#include "platform.h"

#define ATOLL_USAGE_STALE 50000 /* ns */

typedef struct atoll_usage {
    _Atomic uint64_t calls;
    _Atomic uint64_t failed; /* of them, those that ended by an exception */
    _Atomic int64_t busy;    /* ns in which a call ran, those now over */
    _Atomic int64_t cpu;     /* ns of CPU time of these calls */
    _Atomic int64_t since;   /* when the running call began; 0: none runs */
    _Atomic uint64_t messages_in;
    _Atomic uint64_t messages_out;
    _Atomic uint64_t bytes_in;
    _Atomic uint64_t bytes_out;
} atoll_usage;

/* A thread's CPU clock, as far as it is known.  Written by its own thread. */
typedef struct atoll_cpu_clock {
    int64_t at;                 /* when it was read */
    int64_t cpu;                /* what it said */
    _Atomic int64_t away;       /* CPU time of its calls into interpreters */
    _Atomic int64_t away_since; /* its clock when it went; -1: it is back */
} atoll_cpu_clock;

/* One call.  Written by its own thread; `cpu` before anybody can see it. */
typedef struct atoll_span {
    int64_t began;         /* 0: it is over */
    int64_t cpu;           /* of the thread, when it began */
    _Atomic int64_t inner; /* CPU time of the calls made from inside it */
} atoll_span;

void
atoll_cpu_clock_init(atoll_cpu_clock *clock);
/* CPU time that a thread has spent in interpreters that it called, up to its
 * own CPU time `now`.  Any thread. */
int64_t
atoll_cpu_clock_away(atoll_cpu_clock *clock, int64_t now);

/* outer: the call from which this one is made, or NULL. */
void
atoll_usage_begin(atoll_usage *usage, atoll_cpu_clock *clock, atoll_span *span,
                  const atoll_span *outer);
/* It is over: counted, with its time.  Nothing if it is over already. */
void
atoll_usage_end(atoll_usage *usage, atoll_cpu_clock *clock, atoll_span *span,
                atoll_span *outer, bool failed);
/* It was none: not counted. */
void
atoll_usage_cancel(atoll_usage *usage, atoll_cpu_clock *clock,
                   atoll_span *span);

/* One writer at a time: no read-modify-write is needed. */
static inline void
atoll_usage_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(
        counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
        memory_order_relaxed);
}

static inline uint64_t
atoll_usage_get(_Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static inline void
atoll_usage_received(atoll_usage *usage, size_t bytes)
{
    atoll_usage_add(&usage->messages_in, 1);
    atoll_usage_add(&usage->bytes_in, bytes);
}

static inline void
atoll_usage_sent(atoll_usage *usage, size_t bytes)
{
    atoll_usage_add(&usage->messages_out, 1);
    atoll_usage_add(&usage->bytes_out, bytes);
}

#endif
