/* What the files of the pool share: pool_type.c and pool_task.c (the
 * types), pool_work.c
 * (what workers do, in their interpreters), pool_outcome.c (what the pool's
 * own interpreter makes of it).  Nobody else includes it.
 *
 * A pool lives in one interpreter (home); its workers' threads belong to home
 * too, but stay inside interpreters of their own, where they see nothing of
 * the pool but C: the scheduler and the worker_plan.
 */
#ifndef ATOLL_EXT_POOL_IMPL_H
#define ATOLL_EXT_POOL_IMPL_H

#include "attach.h"
#include "errors.h"
#include "transfer.h"

#include "../core/scheduler.h"

/* task->kind */
enum {
    POOL_CALL,  /* frame: function and arguments */
    POOL_CHUNK, /* items: function and list; start, stop */
    POOL_STAR,  /* the same; each item is a tuple of arguments */
    POOL_INIT,  /* items: the initializer and its arguments */
};

/* task->outcome */
enum {
    POOL_NONE,        /* None, or a chunk of nothing but None */
    POOL_VALUE,       /* frame: the result, or a chunk's results */
    POOL_FAILED,      /* frame: a chunk's results until then; extra[0]: what
                       * atoll._errors.snapshot says; extra[1]: the exception,
                       * or NULL */
    POOL_UNSHARED,    /* the same: what could not cross is the result */
    POOL_INTERRUPTED, /* the same: it was interrupted */
    POOL_TIMED_OUT,   /* the same: at its deadline */
};

/* Why a worker leaves its interpreter; known to atoll/futures.py. */
enum {
    POOL_LEFT_IDLE,
    POOL_LEFT_SHUTDOWN,
    POOL_LEFT_FULL, /* max_tasks_per_child */
    POOL_LEFT_GIVEN_UP,
    POOL_LEFT_BROKEN, /* the initializer failed */
};

/* What a worker is to do beyond tasks; immutable. */
typedef struct worker_plan {
    atoll_frame *init;  /* owned, or NULL: a call's arguments */
    uint64_t max_tasks; /* 0: any number */
    int64_t idle;       /* nanoseconds; ATOLL_FOREVER */
} worker_plan;

typedef struct pool_part {
    PyTypeObject *pool_type;
    PyTypeObject *task_type;
    PyObject *snapshot; /* atoll._errors.snapshot, once used */
    PyObject *failure;  /* atoll._pool.failure, once used */
} pool_part;

typedef struct PoolObject {
    PyObject_HEAD
    atoll_scheduler *sched; /* owned; NULL before it is made */
    PyObject *futures;      /* dict: id -> future */
    PyObject *start;        /* called when a worker must be started, or NULL */
    PyObject *broken;       /* text: why, or NULL */
    atoll_task *taken;      /* from the completions, linked by next: what take
                             * has still to hand out; owned */
    worker_plan plan;
} PoolObject;

typedef struct TaskObject {
    PyObject_HEAD
    PoolObject *pool; /* owned */
    atoll_task *task; /* owned */
    size_t bytes;     /* of its arguments */
    /* The thread whose wait() got the outcome; 0: nobody's did. */
    unsigned long claimant;
} TaskObject;

static inline pool_part *
ext_pool_part_of(ext_state *st)
{
    return st->parts[EXT_PART_POOL];
}

/* pool_work.c */
/* Runs what comes, in interp, until there is reason to leave: one of
 * POOL_LEFT_*.  Attached: home.  Fails: -1 with an exception. */
int
ext_pool_work(ext_state *st, PoolObject *pool, atoll_interp *interp);

/* pool_type.c */
/* The initializer failed: logs it unless `quiet`, and breaks the pool.
 * failure: a snapshot of what it raised; NULL: unknown.  Attached: home. */
void
ext_pool_break(ext_state *st, PoolObject *pool, const atoll_frame *failure,
               bool quiet);

/* pool_task.c */
#define POOL_FAST METH_METHOD | METH_FASTCALL | METH_KEYWORDS
extern PyType_Spec ext_pool_task_spec;

/* None or seconds, as a wait of this thread.  Fails: -1 with an exception. */
int
ext_pool_make_wait(PyObject *timeout, atoll_wait *out);
/* A new handle.  Owns: takes over the task's reference.  NULL with an
 * exception. */
PyObject *
ext_pool_wrap_task(ext_state *st, PoolObject *pool, atoll_task *task);
/* Into the table of futures, and out: somebody settles it.  Fails: -1. */
int
ext_pool_keep_future(PoolObject *pool, const atoll_task *task,
                     PyObject *future);
int
ext_pool_drop_future(PoolObject *pool, const atoll_task *task);
/* Fails: -1 with an exception; else whether it runs. */
int
ext_pool_interrupt_task(atoll_scheduler *sched, atoll_task *task);

/* pool_outcome.c */
/* New reference: the value, or with *out_ok false the exception.  A chunk's
 * value is a list; if it failed, a pair: the results before it, the
 * exception.  NULL with an exception: out of memory, or this thread was told
 * to stop (Ctrl-C) while the value was rebuilt; the outcome is still there.
 * Attached: home.  The outcome is the caller's. */
PyObject *
ext_pool_outcome(ext_state *st, PoolObject *pool, atoll_task *task,
                 bool *out_ok);

#endif
