/* The pool's workers, its collector and its end: see scheduler.h. */
#include "scheduler_private.h"

#include <string.h>

/* --- workers ------------------------------------------------------------------ */

void
atoll_worker_join(atoll_scheduler *sched, atoll_worker *worker)
{
    memset(worker, 0, sizeof(*worker));
    atoll_mutex_lock(&sched->lock);
    worker->joined = worker->fresh = true;
    worker->next = sched->workers;
    if (sched->workers != NULL) {
        sched->workers->prev = worker;
    }
    sched->workers = worker;
    sched->present++;
    atoll_mutex_unlock(&sched->lock);
}

void
atoll_worker_enter(atoll_scheduler *sched, atoll_worker *worker,
                   atoll_interp *interp)
{
    atoll_mutex_lock(&sched->lock);
    atoll_interp *before = worker->interp;
    worker->interp = interp;
    atoll_mutex_unlock(&sched->lock);
    if (before != NULL) {
        atoll_interp_release(before);
    }
}

void
atoll_worker_begin(atoll_scheduler *sched, atoll_worker *worker,
                   atoll_task *task)
{
    sched_aftermath after = {0};
    atoll_task_acquire(task);
    atoll_mutex_lock(&sched->lock);
    sched_assign(sched, worker, task, &after);
    sched_unlock(sched, &after);
}

/* Locks: sched. */
static void
unlink_worker(atoll_scheduler *sched, atoll_worker *worker)
{
    if (worker->prev != NULL) {
        worker->prev->next = worker->next;
    }
    else {
        sched->workers = worker->next;
    }
    if (worker->next != NULL) {
        worker->next->prev = worker->prev;
    }
    worker->next = worker->prev = NULL;
}

/* It no longer counts against max_workers.  Locks: sched. */
static void
count_out(atoll_scheduler *sched, atoll_worker *worker)
{
    if (worker->joined) {
        worker->joined = false;
        sched->counted--;
        if (worker->fresh) {
            worker->fresh = false;
            sched->starting--;
        }
    }
}

/* The next task for a worker, without waiting.  Locks: sched. */
static atoll_status
try_next(atoll_scheduler *sched, atoll_worker *worker, sched_aftermath *after,
         atoll_task **out_task)
{
    if (worker->abandoned || sched->dead) {
        return ATOLL_E_CLOSED;
    }
    if (worker->fresh) {
        worker->fresh = false;
        sched->starting--;
    }
    atoll_task *task = sched->queue.first;
    if (task != NULL && !sched->broken) {
        sched_list_remove(&sched->queue, task);
        sched_assign(sched, worker, task, after);
        sched_admit(sched, after);
        *out_task = task;
        return ATOLL_OK;
    }
    return sched->shutdown || sched->broken ? ATOLL_E_SHUTDOWN : ATOLL_E_EMPTY;
}

/* Whether a worker that asks now would have to wait.  Locks: sched. */
static bool
has_nothing(const atoll_scheduler *sched, const atoll_worker *worker)
{
    return sched->queue.first == NULL && !worker->abandoned && !sched->dead
           && !sched->shutdown && !sched->broken;
}

/* An outcome is handed over in the moment in which its worker is idle again:
 * who has waited for it may send the next task before this thread is through
 * with waking it, and that task would wake another worker. */
atoll_status
atoll_worker_next(atoll_scheduler *sched, atoll_worker *worker,
                  atoll_task *done, atoll_wait *wait, atoll_task **out_task)
{
    sched_aftermath after = {0};
    sched_idler node = {.worker = worker};
    atoll_mutex_lock(&sched->lock);
    if (wait == NULL && has_nothing(sched, worker)) {
        atoll_mutex_unlock(&sched->lock);
        return ATOLL_E_EMPTY;
    }
    if (done != NULL) {
        sched_finish(sched, worker, done, ATOLL_VERDICT_RAN, &after);
    }
    atoll_status status = try_next(sched, worker, &after, out_task);
    if (status != ATOLL_E_EMPTY || wait == NULL) {
        sched_unlock(sched, &after);
        return status;
    }
    atoll_waiter_init(&node.waiter, wait);
    atoll_line_add_front(&sched->idle, &node.waiter);
    sched->idlers++;
    sched_unlock(sched, &after);
    status
        = atoll_waiter_sleep(&node.waiter, &sched->idle, &sched->lock, wait);
    if (status == ATOLL_OK) {
        *out_task = worker->given;
        worker->given = NULL;
        return ATOLL_OK;
    }
    atoll_mutex_lock(&sched->lock);
    if (status != ATOLL_E_SHUTDOWN) {
        sched->idlers--; /* it left the line by itself */
    }
    if (status == ATOLL_E_TIMEOUT) {
        status = try_next(sched, worker, &after, out_task);
        if (status == ATOLL_E_EMPTY) {
            count_out(sched, worker);
            status = ATOLL_E_TIMEOUT;
        }
    }
    sched_unlock(sched, &after);
    return status;
}

void
atoll_worker_done(atoll_scheduler *sched, atoll_worker *worker,
                  atoll_task *done)
{
    sched_aftermath after = {0};
    atoll_mutex_lock(&sched->lock);
    sched_finish(sched, worker, done, ATOLL_VERDICT_RAN, &after);
    sched_unlock(sched, &after);
}

bool
atoll_worker_split(atoll_scheduler *sched, atoll_worker *worker,
                   atoll_task *task, atoll_task *rest)
{
    sched_aftermath after = {0};
    atoll_mutex_lock(&sched->lock);
    bool wanted = task->worker == worker && !task->unwanted && !sched->broken
                  && !sched->dead;
    if (wanted) {
        /* To the front in reverse, so that the first is in front. */
        atoll_task *reversed = NULL;
        for (atoll_task *t = rest; t != NULL; t = t->rest) {
            t->id = task->id;
            t->prev = reversed;
            reversed = t;
        }
        while (reversed != NULL) {
            atoll_task *t = reversed;
            reversed = t->prev;
            atoll_task_acquire(t);
            t->state = ATOLL_TASK_WAITING;
            sched_list_prepend(&sched->queue, t);
        }
        task->rest = rest;
        while (sched->queue.first != NULL && sched->idle.first != NULL) {
            atoll_task *t = sched->queue.first;
            sched_list_remove(&sched->queue, t);
            sched_idler *node = (sched_idler *)atoll_line_pop(&sched->idle);
            sched->idlers--;
            sched_assign(sched, node->worker, t, &after);
            node->worker->given = t;
            atoll_waiter_grant(&node->waiter, ATOLL_OK, &after.wakes);
        }
        if (sched->queue.count > 0 && sched->counted < sched->max_workers) {
            sched->look = true;
            sched_poke_collector(sched, &after);
        }
    }
    sched_unlock(sched, &after);
    return wanted;
}

void
atoll_worker_leave(atoll_scheduler *sched, atoll_worker *worker, bool restart)
{
    sched_aftermath after = {0};
    atoll_mutex_lock(&sched->lock);
    if (worker->task != NULL) {
        sched_finish(sched, worker, worker->task, ATOLL_VERDICT_BROKEN,
                     &after);
    }
    count_out(sched, worker);
    if (restart) {
        sched->restarts++;
    }
    if (!worker->abandoned) {
        unlink_worker(sched, worker);
        sched->present--;
    }
    worker->abandoned = true;
    sched_check_idle(sched, &after);
    sched_poke_collector(sched, &after);
    atoll_interp *interp = worker->interp;
    worker->interp = NULL;
    sched_unlock(sched, &after);
    if (interp != NULL) {
        atoll_interp_release(interp);
    }
}

/* --- the collector -------------------------------------------------------------- */

/* Decides the outcome of the worker's task without it.  Locks: sched. */
static void
give_up(atoll_scheduler *sched, atoll_worker *worker, sched_aftermath *after)
{
    atoll_task *task = worker->task;
    task->late = !atomic_load(&task->interrupted);
    atomic_store(&task->interrupted, 1);
    count_out(sched, worker);
    worker->abandoned = true;
    unlink_worker(sched, worker);
    sched->present--;
    sched->restarts++;
    sched_check_idle(sched, after);
    atoll_task_acquire(task); /* one stays with the worker */
    sched_take_from_worker(sched, worker);
    sched_settle(sched, task, ATOLL_VERDICT_GIVEN_UP, after);
}

/* Gives up what is overdue; when to look again.  Locks: sched. */
static int64_t
look_at_clock(atoll_scheduler *sched, sched_aftermath *after)
{
    int64_t next = ATOLL_FOREVER;
    int64_t now = 0;
    atoll_worker *worker = sched->workers;
    while (worker != NULL) {
        atoll_worker *following = worker->next;
        if (worker->task != NULL && worker->task->give_up_at < next) {
            now = now != 0 ? now : atoll_now();
            if (worker->task->give_up_at <= now) {
                give_up(sched, worker, after);
                sched->look = true;
            }
            else {
                next = worker->task->give_up_at;
            }
        }
        worker = following;
    }
    return next;
}

/* Locks: sched. */
static bool
is_over(const atoll_scheduler *sched)
{
    return sched->dead || (sched->shutdown && sched_is_idle(sched));
}

atoll_status
atoll_scheduler_collect(atoll_scheduler *sched, atoll_wait *wait,
                        atoll_task **out_tasks)
{
    sched_aftermath after = {0};
    atoll_status status = ATOLL_OK;
    *out_tasks = NULL;
    atoll_mutex_lock(&sched->lock);
    for (;;) {
        int64_t clock = look_at_clock(sched, &after);
        if (sched->completions.first != NULL || sched->look) {
            break;
        }
        if (is_over(sched)) {
            status = ATOLL_E_SHUTDOWN;
            break;
        }
        if (wait == NULL || status == ATOLL_E_INTERRUPTED) {
            status = wait == NULL ? ATOLL_E_EMPTY : status;
            break;
        }
        atoll_wait nap = *wait;
        if (clock < nap.deadline) {
            nap.deadline = clock;
        }
        atoll_waiter node;
        sched->planned = nap.deadline;
        atoll_waiter_init(&node, &nap);
        atoll_line_add(&sched->collector, &node);
        sched_unlock(sched, &after);
        status
            = atoll_waiter_sleep(&node, &sched->collector, &sched->lock, &nap);
        atoll_mutex_lock(&sched->lock);
        sched->planned = 0; /* awake: nobody needs to poke it */
        if (status == ATOLL_E_TIMEOUT && atoll_now() >= wait->deadline) {
            break;
        }
    }
    if (sched->completions.first != NULL || sched->look) {
        sched->look = false;
        status = ATOLL_OK;
        *out_tasks = sched->completions.first;
        memset(&sched->completions, 0, sizeof(sched->completions));
        for (atoll_task *t = *out_tasks; t != NULL; t = t->next) {
            t->state = ATOLL_TASK_TAKEN;
        }
    }
    sched_unlock(sched, &after);
    return status;
}

/* --- the end ---------------------------------------------------------------------- */

/* Locks: sched. */
static void
send_idlers_away(atoll_scheduler *sched, atoll_status status,
                 sched_aftermath *after)
{
    atoll_waiter *waiter;
    while ((waiter = atoll_line_pop(&sched->idle)) != NULL) {
        sched->idlers--;
        atoll_waiter_grant(waiter, ATOLL_E_SHUTDOWN, &after->wakes);
    }
    atoll_line_grant_all(&sched->room, status, &after->wakes);
    sched->look = true; /* workers for what is queued, and the end */
    sched_poke_collector(sched, after);
}

void
atoll_scheduler_shutdown(atoll_scheduler *sched)
{
    sched_aftermath after = {0};
    atoll_mutex_lock(&sched->lock);
    if (!sched->shutdown) {
        sched->shutdown = true;
        send_idlers_away(sched, ATOLL_E_SHUTDOWN, &after);
    }
    sched_unlock(sched, &after);
}

void
atoll_scheduler_cancel_all(atoll_scheduler *sched, atoll_task **out_tasks)
{
    sched_aftermath after = {0};
    atoll_task **end = out_tasks;
    *out_tasks = NULL;
    atoll_mutex_lock(&sched->lock);
    while (sched->queue.first != NULL) {
        atoll_task *task = sched->queue.first;
        sched_list_remove(&sched->queue, task);
        if (task->quiet) {
            sched_settle(sched, task, ATOLL_VERDICT_CANCELLED, &after);
            continue;
        }
        task->state = ATOLL_TASK_TAKEN;
        task->verdict = ATOLL_VERDICT_CANCELLED;
        atoll_line_grant_all(&task->line, ATOLL_E_BUSY, &after.wakes);
        *end = task;
        end = &task->next;
    }
    sched_admit(sched, &after);
    sched_check_idle(sched, &after);
    sched_poke_collector(sched, &after);
    sched_unlock(sched, &after);
}

void
atoll_scheduler_break(atoll_scheduler *sched)
{
    sched_aftermath after = {0};
    atoll_mutex_lock(&sched->lock);
    sched->broken = true;
    while (sched->queue.first != NULL) {
        atoll_task *task = sched->queue.first;
        sched_list_remove(&sched->queue, task);
        sched_settle(sched, task, ATOLL_VERDICT_BROKEN, &after);
    }
    send_idlers_away(sched, ATOLL_E_BROKEN, &after);
    sched_check_idle(sched, &after);
    sched_unlock(sched, &after);
}

bool
atoll_scheduler_is_broken(atoll_scheduler *sched)
{
    atoll_mutex_lock(&sched->lock);
    bool broken = sched->broken;
    atoll_mutex_unlock(&sched->lock);
    return broken;
}

bool
atoll_scheduler_is_shutdown(atoll_scheduler *sched)
{
    atoll_mutex_lock(&sched->lock);
    bool shutdown = sched->shutdown;
    atoll_mutex_unlock(&sched->lock);
    return shutdown;
}

atoll_status
atoll_scheduler_join(atoll_scheduler *sched, atoll_wait *wait)
{
    atoll_status status = ATOLL_OK;
    atoll_mutex_lock(&sched->lock);
    while (status == ATOLL_OK && !sched_is_idle(sched)) {
        atoll_waiter node;
        atoll_waiter_init(&node, wait);
        atoll_line_join(&sched->joiners, &node, wait);
        atoll_mutex_unlock(&sched->lock);
        status
            = atoll_waiter_sleep(&node, &sched->joiners, &sched->lock, wait);
        atoll_mutex_lock(&sched->lock);
    }
    atoll_mutex_unlock(&sched->lock);
    return status;
}

void
atoll_scheduler_get_stats(atoll_scheduler *sched,
                          atoll_scheduler_stats *out_stats)
{
    atoll_mutex_lock(&sched->lock);
    out_stats->workers = sched->counted;
    out_stats->idle = sched->idlers;
    out_stats->queued = sched->queue.count;
    out_stats->running = sched->running;
    out_stats->done = sched->done;
    out_stats->failed = sched->failed;
    out_stats->restarts = sched->restarts;
    atoll_mutex_unlock(&sched->lock);
}
