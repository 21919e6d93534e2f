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

/* The limits themselves; owned by the Python object _Limits, which whoever
 * makes a call with them keeps alive. */
typedef struct ext_limits {
    int64_t most[EXT_LIMIT_COUNT];        /* ns, ns, bytes; -1: none */
    atoll_frame *errors[EXT_LIMIT_COUNT]; /* LimitExceeded, one for each */
    /* In a with block: one budget for all calls. */
    atomic_bool shared;
    _Atomic int64_t spent;    /* CPU time of calls that are over */
    _Atomic int64_t wall_end; /* when the time is up */
} ext_limits;

/* One call under limits, in the caller's C frame. */
typedef struct ext_guard {
    ext_limits *limits;
    ext_call *call;
    struct ext_guard *next; /* [limits lock], as all below */
    struct ext_guard *prev;
    bool listed;
    int64_t due;      /* when it is looked at next */
    int64_t wall_end; /* when its time is up */
    int64_t threads;  /* CPU time of the interpreter's threads at the start */
    uint64_t generation;
    uint64_t first_thread; /* the first number of threads that it starts */
    bool fired[EXT_LIMIT_COUNT];
} ext_guard;

/* Before a call: it is made under limits (NULL: none).  call is a name of its
 * own, by which it is interrupted. */
void
ext_guard_init(ext_guard *guard, ext_limits *limits, ext_call *call);

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

/* The limits of a _Limits object; NULL: it is none, no exception set. */
ext_limits *
ext_limits_of(ext_state *st, PyObject *op);

#endif
