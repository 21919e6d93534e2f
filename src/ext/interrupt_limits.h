/* What a call may use: CPU time, time, memory. */
#ifndef ATOLL_EXT_INTERRUPT_LIMITS_H
#define ATOLL_EXT_INTERRUPT_LIMITS_H

#include "interrupt.h"

typedef enum ext_limit_id {
    EXT_LIMIT_CPU,
    EXT_LIMIT_WALL,
    EXT_LIMIT_MEMORY,
    EXT_LIMIT_COUNT,
} ext_limit_id;

/* The limits themselves: counted by the Python object, the record on which
 * they are set, and the calls that began under them. */
typedef struct ext_limits {
    atoll_refcount count;
    int64_t most[EXT_LIMIT_COUNT];        /* ns, ns, bytes; -1: none */
    atoll_frame *errors[EXT_LIMIT_COUNT]; /* LimitExceeded, one for each */
    /* In a with block: one budget for all calls. */
    atomic_bool shared;
    _Atomic int64_t spent;    /* CPU time of calls that are over */
    _Atomic int64_t wall_end; /* when the time is up */
} ext_limits;

void
ext_limits_release(ext_limits *what);
/* One budget, from now on, for all calls; or one for each again. */
void
ext_limits_share(ext_limits *what, bool on);

/* Sets the limits of calls that begin in interp from now on (NULL: none); if
 * instead_of is not NULL, only if it has *instead_of.  Any thread.
 * Owns: the record takes a reference; the caller gets the one to what was
 * there before (NULL: nothing, or not changed). */
ext_limits *
ext_limits_swap(atoll_interp *interp, ext_limits *what,
                const ext_limits *const *instead_of);

/* A thread that a call has seen. */
typedef struct ext_guard_thread {
    uint64_t number; /* CPython's, never used again */
    int64_t cpu;
} ext_guard_thread;

/* One call under limits, in the caller's C frame. */
typedef struct ext_guard {
    ext_limits *limits; /* owns a reference; NULL: it is not limited, and
                         * nothing below is of any meaning */
    ext_call *call;
    ext_call own;           /* the call's name, if it had none */
    struct ext_guard *next; /* [limits lock], down to `over` */
    struct ext_guard *prev;
    bool listed;
    int64_t due;      /* when it is looked at next */
    int64_t wall_end; /* when its time is up */
    uint64_t generation;
    bool fired[EXT_LIMIT_COUNT];
    bool over;              /* the call was told */
    uint64_t first_thread;  /* the first number of threads that it starts */
    ext_guard_thread *seen; /* by falling numbers [its interpreter's GIL] */
    size_t seen_count;
    _Atomic int64_t threads_cpu; /* what threads have used during the call */
    atomic_bool has_threads;
    atomic_bool stop; /* its threads are to be told */
} ext_guard;

ext_call *
ext_guard_open_slowly(ext_guard *guard, atoll_interp *interp,
                      ext_limits *given, ext_call *call);
void
ext_guard_close_slowly(ext_guard *guard);

/* Before a call into interp and after it: it is made under the given limits,
 * else under those of interp.  call: its name, or NULL.  Returns the name to
 * make it by, or NULL.  Attached: anywhere. */
static inline ext_call *
ext_guard_open(ext_guard *guard, atoll_interp *interp, ext_limits *given,
               ext_call *call)
{
    guard->limits = NULL;
    if (ATOLL_LIKELY(
            given == NULL
            && atomic_load_explicit(&interp->limits, memory_order_relaxed)
                   == NULL)) {
        return call;
    }
    return ext_guard_open_slowly(guard, interp, given, call);
}

static inline void
ext_guard_close(ext_guard *guard)
{
    if (ATOLL_UNLIKELY(guard->limits != NULL)) {
        ext_guard_close_slowly(guard);
    }
}

/* For interrupt.c: the call of a guard begins.  Attached: to its interpreter.
 * Fails: -1 with LimitExceeded (it may not run at all), or another. */
int
ext_guard_begin(ext_guard *guard, ext_visit *visit);
/* And it is over.  Attached: the same.  Nothing if it had not begun. */
void
ext_guard_end(ext_guard *guard, ext_visit *visit);
/* For run.c: it has failed, by the exception that is set; a MemoryError for
 * its limit's sake becomes LimitExceeded.  Attached: to its interpreter. */
void
ext_guard_failed(ext_guard *guard, ext_visit *visit);

/* For limits_type.c: at its beginning in each interpreter. */
void
ext_limits_open(void);

/* The limits of a _Limits object; NULL: it is none, no exception set. */
ext_limits *
ext_limits_of(ext_state *st, PyObject *op);

#endif
