/* What the files of the scheduler share: scheduler.c (tasks, submitting,
 * asking, fork) and scheduler_work.c (workers, the collector, the end).
 * Nobody else includes it.
 *
 * Lists.  `queue` holds what is WAITING, `completions` what is DONE and not
 * quiet; a task is in one of them at most, through next and prev.  What must
 * be released once the lock is off goes through `next` into an aftermath.
 *
 * Counting workers.  `counted` are those against max_workers: promised to a
 * caller who starts them (`starting` of these have not asked for a task yet)
 * or at work.  `present` are those that have joined and not left, whom join
 * waits for.  A worker that idled too long is counted out under the very
 * lock under which it found nothing to do: a submit that comes later starts
 * another.
 */
#ifndef ATOLL_CORE_SCHEDULER_PRIVATE_H
#define ATOLL_CORE_SCHEDULER_PRIVATE_H

#include "scheduler.h"

typedef struct sched_list {
    atoll_task *first;
    atoll_task *last;
    size_t count;
} sched_list;

struct atoll_scheduler {
    atoll_mutex lock;
    atoll_refcount count;
    atoll_scheduler *next; /* in the table [table lock] */
    atoll_scheduler *prev;
    size_t max_workers;
    size_t queue_size;
    int64_t grace;
    _Atomic uint64_t ids; /* given so far */
    /* [lock], all of these */
    sched_list queue;
    sched_list completions;
    atoll_worker *workers;
    size_t counted;
    size_t starting;
    size_t present;
    size_t running;
    size_t busy; /* of these, not initializers */
    atoll_line idle;
    size_t idlers;
    atoll_line room; /* submitters */
    atoll_line collector;
    int64_t planned; /* when the collector looks by itself */
    atoll_line joiners;
    bool look; /* the collector is to return: see collect */
    bool shutdown;
    bool broken;
    bool dead; /* its threads are in another process */
    uint64_t done;
    uint64_t failed;
    uint64_t restarts;
};

/* A submitter in line. */
typedef struct sched_submitter {
    atoll_waiter waiter; /* first */
    atoll_task *task;
} sched_submitter;

/* A worker in line. */
typedef struct sched_idler {
    atoll_waiter waiter; /* first */
    atoll_worker *worker;
} sched_idler;

/* What is to be done after unlocking. */
typedef struct sched_aftermath {
    atoll_wakes wakes;
    atoll_task *trash; /* linked by next */
} sched_aftermath;

void
sched_list_remove(sched_list *list, atoll_task *task);
void
sched_list_prepend(sched_list *list, atoll_task *task);
void
sched_discard(sched_aftermath *after, atoll_task *task);
/* Locks: off. */
void
sched_unlock(atoll_scheduler *sched, sched_aftermath *after);
/* Wakes those who join, if no work and no worker is left.  Whatever takes the
 * last of either away calls it.  Locks: sched. */
void
sched_check_idle(atoll_scheduler *sched, sched_aftermath *after);
/* The same condition.  Locks: sched. */
bool
sched_is_idle(const atoll_scheduler *sched);
/* Locks: sched. */
void
sched_poke_collector(atoll_scheduler *sched, sched_aftermath *after);
/* Gives the outcome to whom it belongs, and with it (or not at all) the
 * scheduler's reference.  Locks: sched; the task is in no list. */
void
sched_settle(atoll_scheduler *sched, atoll_task *task, atoll_verdict verdict,
             sched_aftermath *after);
/* Locks: sched. */
void
sched_take_from_worker(atoll_scheduler *sched, atoll_worker *worker);
/* The worker hands in its task.  Locks: sched. */
void
sched_finish(atoll_scheduler *sched, atoll_worker *worker, atoll_task *task,
             atoll_verdict verdict, sched_aftermath *after);
/* Lets submitters that wait for room in.  Locks: sched. */
void
sched_admit(atoll_scheduler *sched, sched_aftermath *after);
/* Locks: sched; the task is in no list, its reference the scheduler's. */
void
sched_assign(atoll_scheduler *sched, atoll_worker *worker, atoll_task *task,
             sched_aftermath *after);
/* Locks: sched. */
bool
sched_promise_worker(atoll_scheduler *sched);

#endif
