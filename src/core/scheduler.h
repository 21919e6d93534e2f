/* The pool's scheduler: tasks wait in a queue, workers take them, and whoever
 * wants an outcome gets it.
 *
 * A worker (a thread that stays inside its interpreter) asks for the next
 * task and hands in the last one by the same call.  A task that is submitted
 * while a worker idles goes straight to the one that began to idle last, so
 * that those who are not needed come to their idle time-out.
 *
 * An outcome goes to the thread that waits for exactly this task, if there is
 * one (the shortest way: submit(...).result()); else, for a quiet task, it
 * stays with the task until somebody asks; else to the list of completions,
 * from which the pool's one collector takes all at once.
 *
 * Giving up.  A task that was interrupted, or is late, has `grace` to stop;
 * then its outcome is decided without it (ATOLL_VERDICT_GIVEN_UP), its worker
 * is counted out, and another may be started.  The worker, should it ever
 * come back, is told to leave.  From then on nobody but that worker touches
 * the task's frames.
 *
 * References.  A task is counted: one for its handle (whoever made it), one
 * for the scheduler from submit until the outcome is handed over.
 *
 * Locks: sched.lock guards everything marked [lock], in tasks and workers
 * too; under it only parkers are touched.  Frames are never released under
 * it.
 */
#ifndef ATOLL_CORE_SCHEDULER_H
#define ATOLL_CORE_SCHEDULER_H

#include "registry.h"
#include "waiting.h"

typedef enum atoll_task_state {
    ATOLL_TASK_NEW = 0,
    ATOLL_TASK_BLOCKED, /* its submitter waits for room */
    ATOLL_TASK_WAITING, /* in the queue */
    ATOLL_TASK_RUNNING, /* or about to */
    ATOLL_TASK_DONE,    /* has a verdict that nobody has taken yet */
    ATOLL_TASK_TAKEN,
} atoll_task_state;

typedef enum atoll_verdict {
    ATOLL_VERDICT_NONE = 0,
    ATOLL_VERDICT_RAN,       /* the worker wrote the outcome */
    ATOLL_VERDICT_CANCELLED, /* while it waited */
    ATOLL_VERDICT_GIVEN_UP,  /* it would not stop */
    ATOLL_VERDICT_BROKEN,    /* the pool broke, or the worker died */
} atoll_verdict;

struct atoll_worker;

typedef struct atoll_task {
    struct atoll_task *next; /* in the list that has it [lock] */
    struct atoll_task *prev;
    atoll_refcount count;
    uint64_t id;     /* from 1, in the order of submission */
    bool quiet;      /* the collector is not to have it; set before submit */
    int64_t timeout; /* nanoseconds it may run; -1: as long as it likes */
    _Atomic uint64_t generation;  /* of the call that runs it; 0: not yet */
    _Atomic uint32_t interrupted; /* somebody wants it to stop */
    _Atomic uint32_t dropped;     /* nobody wants the rest of it */
    struct atoll_worker *worker;  /* that runs it [lock] */
    atoll_line line;              /* who waits for it [lock] */
    atoll_task_state state;       /* [lock] */
    atoll_verdict verdict;        /* [lock] */
    bool failed;                  /* for statistics; the worker's word */
    uint32_t units;               /* so many calls; 0: not to be counted */
    bool unwanted;                /* its handle is gone [lock] */
    bool late;                    /* it was its deadline that passed [lock] */
    int64_t give_up_at;           /* ATOLL_FOREVER: not yet foreseen [lock] */
    /* The binding's: arguments at first; from RAN on the outcome. */
    atoll_frame frame;
    atoll_frame *extra[2]; /* owned, or NULL */
    uint8_t kind;          /* what is to be done, in its numbers */
    uint8_t outcome;
    bool timed_out;
    /* A chunk: the items of a frame that several tasks may share. */
    atoll_frame *items; /* owned, or NULL */
    size_t start;
    size_t stop;
    int64_t spent; /* nanoseconds that it ran */
    /* What a chunk left over, in order, linked by `rest`; owned. */
    struct atoll_task *rest;
} atoll_task;

typedef struct atoll_worker {
    struct atoll_worker *next; /* [lock] */
    struct atoll_worker *prev;
    atoll_task *task;     /* that it runs [lock] */
    atoll_task *given;    /* came with the grant [lock] */
    atoll_interp *interp; /* where it is; owned [lock] */
    bool joined;          /* in the list [lock] */
    bool fresh;           /* has not asked for a task yet [lock] */
    bool abandoned;       /* counted out: to leave [lock] */
} atoll_worker;

typedef struct atoll_scheduler atoll_scheduler;

typedef struct atoll_scheduler_stats {
    size_t workers; /* those that start included */
    size_t idle;
    size_t queued;
    size_t running;
    uint64_t done; /* that ran to their end, or failed */
    uint64_t failed;
    uint64_t restarts; /* workers replaced */
} atoll_scheduler_stats;

/* queue_size 0: unbounded.  grace: how long, in nanoseconds, an interrupted
 * task may take to stop.  Owns: the caller gets a reference.
 * Fails: ATOLL_E_NOMEM, ATOLL_E_SYSTEM. */
atoll_status
atoll_scheduler_new(size_t max_workers, size_t queue_size, int64_t grace,
                    atoll_scheduler **out_sched) ATOLL_MUST_CHECK;
void
atoll_scheduler_acquire(atoll_scheduler *sched);
/* The last reference: no worker, no waiter is left.  Tasks that are left are
 * released. */
void
atoll_scheduler_release(atoll_scheduler *sched);

/* NULL: out of memory. */
atoll_task *
atoll_task_new(void);
void
atoll_task_acquire(atoll_task *task);
void
atoll_task_release(atoll_task *task);

/* Gives it its id, before submit does. */
void
atoll_scheduler_name_task(atoll_scheduler *sched, atoll_task *task);

/* Puts the task into the queue; waits for room if the queue is bounded.
 * *out_start: the caller must start a worker now (or say start_failed).
 * Owns: the scheduler takes a reference of its own, on success.
 * Fails: ATOLL_E_SHUTDOWN, ATOLL_E_BROKEN, ATOLL_E_CLOSED (after fork);
 * ATOLL_E_FULL (wait NULL), ATOLL_E_TIMEOUT, ATOLL_E_INTERRUPTED. */
atoll_status
atoll_scheduler_submit(atoll_scheduler *sched, atoll_task *task,
                       atoll_wait *wait, bool *out_start);
/* A worker that was asked for could not be started. */
void
atoll_scheduler_start_failed(atoll_scheduler *sched);
/* Is something queued, and no worker there or to come? */
bool
atoll_scheduler_is_stranded(atoll_scheduler *sched);
/* Should another worker be started?  Then the caller must. */
bool
atoll_scheduler_wants_worker(atoll_scheduler *sched);

/* Drops a task that waits: true.  False: it runs, or is over. */
bool
atoll_scheduler_cancel(atoll_scheduler *sched, atoll_task *task);
/* Nobody will ask for the outcome of a quiet task: it runs, but is not
 * kept. */
void
atoll_scheduler_forget(atoll_scheduler *sched, atoll_task *task);
/* The same, and nobody wants it to run: what waits of it is dropped, a chunk
 * that runs ends with the item at hand (task->dropped). */
void
atoll_scheduler_drop(atoll_scheduler *sched, atoll_task *task);
bool
atoll_scheduler_is_running(atoll_scheduler *sched, atoll_task *task);
bool
atoll_scheduler_is_done(atoll_scheduler *sched, atoll_task *task);
/* Waits for the outcome of exactly this task.  ATOLL_OK: it is the caller's.
 * ATOLL_E_BUSY: it was or will be somebody else's.  NULL wait: ATOLL_E_EMPTY
 * if it is not there.  ATOLL_E_TIMEOUT, ATOLL_E_INTERRUPTED. */
atoll_status
atoll_scheduler_await(atoll_scheduler *sched, atoll_task *task,
                      atoll_wait *wait);

bool
atoll_scheduler_is_cancelled(atoll_scheduler *sched, atoll_task *task);

/* Gives an outcome that await gave the caller back, as if it had not been
 * taken. */
void
atoll_scheduler_give_back(atoll_scheduler *sched, atoll_task *task);

/* Marks a running task as to be stopped; it is given up when the grace is
 * over.  Returns true, the interpreter (acquired) and the call's generation
 * (0: it has not begun; it will see the mark when it does) if it runs. */
bool
atoll_scheduler_interrupt(atoll_scheduler *sched, atoll_task *task,
                          atoll_interp **out_interp, uint64_t *out_generation);
/* The i-th running task, acquired; NULL: there are not so many. */
atoll_task *
atoll_scheduler_running(atoll_scheduler *sched, size_t i);

/* --- for workers --- */
/* A worker that was asked for takes up work.  interp: acquired by this. */
void
atoll_worker_join(atoll_scheduler *sched, atoll_worker *worker);
/* Where it is from now on; NULL: nowhere.  Owns: takes over the reference. */
void
atoll_worker_enter(atoll_scheduler *sched, atoll_worker *worker,
                   atoll_interp *interp);
/* It runs this now, which does not come from the queue: the initializer. */
void
atoll_worker_begin(atoll_scheduler *sched, atoll_worker *worker,
                   atoll_task *task);
/* Hands in `done` (its task, or NULL) and takes the next one.
 * NULL wait: ATOLL_E_EMPTY instead of waiting, and `done` is still to be
 * handed in.  ATOLL_E_TIMEOUT: idle too long; ATOLL_E_SHUTDOWN:
 * there is no more work; ATOLL_E_CLOSED: it was given up: in all three it is
 * to leave.  ATOLL_E_INTERRUPTED: call again with done NULL. */
atoll_status
atoll_worker_next(atoll_scheduler *sched, atoll_worker *worker,
                  atoll_task *done, atoll_wait *wait, atoll_task **out_task);
/* Hands in `done`, and takes nothing. */
void
atoll_worker_done(atoll_scheduler *sched, atoll_worker *worker,
                  atoll_task *done);
/* Puts what is left of a chunk, a list linked by `rest`, to the front of the
 * queue, in order; it becomes task->rest.  False: nobody wants it any more;
 * the list is the caller's still. */
bool
atoll_worker_split(atoll_scheduler *sched, atoll_worker *worker,
                   atoll_task *task, atoll_task *rest);
/* It leaves; a task that it still has is BROKEN.  Also for one that never
 * joined.  restart: it goes on in a new interpreter: count that instead. */
void
atoll_worker_leave(atoll_scheduler *sched, atoll_worker *worker, bool restart);

/* --- for the collector --- */
/* Takes all completions, a list linked by next, whose references are the
 * caller's.  Gives up what is overdue.  ATOLL_E_SHUTDOWN: there will be none
 * any more.  Only one thread at a time. */
atoll_status
atoll_scheduler_collect(atoll_scheduler *sched, atoll_wait *wait,
                        atoll_task **out_tasks);

/* --- the end --- */
/* No further submit.  Workers leave when the queue is empty. */
void
atoll_scheduler_shutdown(atoll_scheduler *sched);
/* All that waits is cancelled.  *out_tasks: those that are not quiet, a list
 * linked by next whose references are the caller's. */
void
atoll_scheduler_cancel_all(atoll_scheduler *sched, atoll_task **out_tasks);
/* The pool is broken: no submit, all that waits fails. */
void
atoll_scheduler_break(atoll_scheduler *sched);
bool
atoll_scheduler_is_broken(atoll_scheduler *sched);
bool
atoll_scheduler_is_shutdown(atoll_scheduler *sched);
/* Waits until no worker is left but those that were given up. */
atoll_status
atoll_scheduler_join(atoll_scheduler *sched, atoll_wait *wait);

void
atoll_scheduler_get_stats(atoll_scheduler *sched,
                          atoll_scheduler_stats *out_stats);

/* Around fork, as atoll_queue_before_fork.  In the child every scheduler is
 * closed: its workers do not exist. */
void
atoll_scheduler_before_fork(void);
void
atoll_scheduler_parent_after_fork(void);
void
atoll_scheduler_after_fork(void);
/* Tasks alive in the process, for leak tests. */
uint64_t
atoll_task_live(void);

#endif
