/* See scheduler.h, and scheduler_private.h for the lists and counts. */
#include "scheduler_private.h"

#include <stdlib.h>
#include <string.h>

static atoll_mutex table_lock = ATOLL_MUTEX_STATIC;
static atoll_scheduler *table;
static _Atomic uint64_t live;

/* --- tasks ------------------------------------------------------------------ */

atoll_task *
atoll_task_new(void)
{
    atoll_task *task = atoll_malloc(sizeof(*task));
    if (task == NULL) {
        return NULL;
    }
    memset(task, 0, offsetof(atoll_task, frame));
    atoll_frame_init(&task->frame);
    memset((char *)task + offsetof(atoll_task, extra), 0,
           sizeof(*task) - offsetof(atoll_task, extra));
    atoll_ref_init(&task->count);
    task->timeout = -1;
    task->units = 1;
    task->give_up_at = ATOLL_FOREVER;
    atomic_fetch_add(&live, 1);
    return task;
}

void
atoll_task_acquire(atoll_task *task)
{
    atoll_ref_acquire(&task->count);
}

void
atoll_task_release(atoll_task *task)
{
    while (task != NULL && atoll_ref_release(&task->count)) {
        atoll_task *rest = task->rest;
        atoll_frame_fini(&task->frame);
        for (size_t i = 0; i < 2; i++) {
            if (task->extra[i] != NULL) {
                atoll_frame_release(task->extra[i]);
            }
        }
        if (task->items != NULL) {
            atoll_frame_release(task->items);
        }
        atoll_free(task);
        atomic_fetch_sub(&live, 1);
        task = rest; /* each owns the next one */
    }
}

uint64_t
atoll_task_live(void)
{
    return atomic_load(&live);
}

static void
list_append(sched_list *list, atoll_task *task)
{
    task->next = NULL;
    task->prev = list->last;
    if (list->last != NULL) {
        list->last->next = task;
    }
    else {
        list->first = task;
    }
    list->last = task;
    list->count++;
}

void
sched_list_prepend(sched_list *list, atoll_task *task)
{
    task->prev = NULL;
    task->next = list->first;
    if (list->first != NULL) {
        list->first->prev = task;
    }
    else {
        list->last = task;
    }
    list->first = task;
    list->count++;
}

void
sched_list_remove(sched_list *list, atoll_task *task)
{
    if (task->prev != NULL) {
        task->prev->next = task->next;
    }
    else {
        list->first = task->next;
    }
    if (task->next != NULL) {
        task->next->prev = task->prev;
    }
    else {
        list->last = task->prev;
    }
    task->next = task->prev = NULL;
    list->count--;
}

void
sched_discard(sched_aftermath *after, atoll_task *task)
{
    task->next = after->trash;
    after->trash = task;
}

void
sched_unlock(atoll_scheduler *sched, sched_aftermath *after)
{
    atoll_mutex_unlock(&sched->lock);
    atoll_wakes_send(&after->wakes);
    while (after->trash != NULL) {
        atoll_task *task = after->trash;
        after->trash = task->next;
        task->next = NULL;
        atoll_task_release(task);
    }
}

/* --- life ------------------------------------------------------------------- */

atoll_status
atoll_scheduler_new(size_t max_workers, size_t queue_size, int64_t grace,
                    atoll_scheduler **out_sched)
{
    atoll_scheduler *sched = atoll_calloc(1, sizeof(*sched));
    if (sched == NULL) {
        return ATOLL_E_NOMEM;
    }
    atoll_status status = atoll_mutex_init(&sched->lock);
    if (status != ATOLL_OK) {
        atoll_free(sched);
        return status;
    }
    atoll_ref_init(&sched->count);
    sched->max_workers = max_workers;
    sched->queue_size = queue_size;
    sched->grace = grace;
    sched->planned = ATOLL_FOREVER;
    atoll_mutex_lock(&table_lock);
    sched->next = table;
    if (table != NULL) {
        table->prev = sched;
    }
    table = sched;
    atoll_mutex_unlock(&table_lock);
    *out_sched = sched;
    return ATOLL_OK;
}

void
atoll_scheduler_acquire(atoll_scheduler *sched)
{
    atoll_ref_acquire(&sched->count);
}

void
atoll_scheduler_release(atoll_scheduler *sched)
{
    if (!atoll_ref_release(&sched->count)) {
        return;
    }
    atoll_mutex_lock(&table_lock);
    if (sched->prev != NULL) {
        sched->prev->next = sched->next;
    }
    else {
        table = sched->next;
    }
    if (sched->next != NULL) {
        sched->next->prev = sched->prev;
    }
    atoll_mutex_unlock(&table_lock);
    sched_list *lists[] = {&sched->queue, &sched->completions};
    for (size_t i = 0; i < 2; i++) {
        atoll_task *task = lists[i]->first;
        while (task != NULL) {
            atoll_task *next = task->next;
            atoll_task_release(task);
            task = next;
        }
    }
    atoll_mutex_fini(&sched->lock);
    atoll_free(sched);
}

/* --- outcomes --------------------------------------------------------------- */

void
sched_poke_collector(atoll_scheduler *sched, sched_aftermath *after)
{
    atoll_waiter *waiter = atoll_line_pop(&sched->collector);
    if (waiter != NULL) {
        atoll_waiter_grant(waiter, ATOLL_OK, &after->wakes);
    }
}

bool
sched_is_idle(const atoll_scheduler *sched)
{
    return sched->dead
           || (sched->present == 0 && sched->counted == 0
               && sched->queue.count == 0);
}

void
sched_check_idle(atoll_scheduler *sched, sched_aftermath *after)
{
    if (sched_is_idle(sched)) {
        atoll_line_grant_all(&sched->joiners, ATOLL_OK, &after->wakes);
    }
}

void
sched_settle(atoll_scheduler *sched, atoll_task *task, atoll_verdict verdict,
             sched_aftermath *after)
{
    task->verdict = verdict;
    task->state = ATOLL_TASK_DONE;
    if (verdict != ATOLL_VERDICT_CANCELLED) {
        bool ran = verdict == ATOLL_VERDICT_RAN;
        sched->done += ran ? task->units : task->units > 0;
        sched->failed += task->units > 0 && (task->failed || !ran);
    }
    atoll_waiter *waiter = atoll_line_pop(&task->line);
    if (waiter != NULL) {
        task->state = ATOLL_TASK_TAKEN;
        atoll_waiter_grant(waiter, ATOLL_OK, &after->wakes);
        atoll_line_grant_all(&task->line, ATOLL_E_BUSY, &after->wakes);
        sched_discard(after, task);
    }
    else if (task->quiet) {
        sched_discard(after, task); /* its handle still has it */
    }
    else {
        list_append(&sched->completions, task);
        sched_poke_collector(sched, after);
    }
}

void
sched_take_from_worker(atoll_scheduler *sched, atoll_worker *worker)
{
    worker->task->worker = NULL;
    worker->task = NULL;
    sched->running--;
    sched->busy -= !worker->fresh;
}

void
sched_finish(atoll_scheduler *sched, atoll_worker *worker, atoll_task *task,
             atoll_verdict verdict, sched_aftermath *after)
{
    if (task->worker == worker) {
        sched_take_from_worker(sched, worker);
        sched_settle(sched, task, verdict, after);
    }
    else {
        sched_discard(after, task); /* it was given up: the worker's own */
    }
}

/* --- the queue -------------------------------------------------------------- */

/* Locks: sched. */
static bool
has_room(const atoll_scheduler *sched)
{
    /* A task for a worker that is still to come does not count. */
    size_t coming = sched->starting
                    + (sched->max_workers > sched->counted
                           ? sched->max_workers - sched->counted
                           : 0);
    return sched->queue_size == 0
           || sched->queue.count < sched->queue_size + coming;
}

/* Locks: sched. */
static void
enqueue(atoll_scheduler *sched, atoll_task *task)
{
    atoll_task_acquire(task);
    task->state = ATOLL_TASK_WAITING;
    list_append(&sched->queue, task);
}

void
sched_admit(atoll_scheduler *sched, sched_aftermath *after)
{
    while (sched->room.first != NULL && has_room(sched)) {
        sched_submitter *node
            = (sched_submitter *)atoll_line_pop(&sched->room);
        enqueue(sched, node->task);
        atoll_waiter_grant(&node->waiter, ATOLL_OK, &after->wakes);
    }
}

void
sched_assign(atoll_scheduler *sched, atoll_worker *worker, atoll_task *task,
             sched_aftermath *after)
{
    task->state = ATOLL_TASK_RUNNING;
    task->worker = worker;
    worker->task = task;
    sched->running++;
    sched->busy += !worker->fresh;
    if (ATOLL_UNLIKELY(task->timeout >= 0)) {
        int64_t now = atoll_now();
        int64_t most = ATOLL_FOREVER - sched->grace - now;
        task->give_up_at = task->timeout >= most
                               ? ATOLL_FOREVER
                               : now + task->timeout + sched->grace;
        if (task->give_up_at < sched->planned) {
            sched_poke_collector(sched, after);
        }
    }
}

bool
sched_promise_worker(atoll_scheduler *sched)
{
    /* Those that run nothing and are not in line are about to ask. */
    size_t coming = sched->counted - sched->idlers;
    coming = coming > sched->busy ? coming - sched->busy : 0;
    if (sched->broken || sched->dead || sched->counted >= sched->max_workers
        || sched->queue.count <= coming) {
        return false;
    }
    sched->counted++;
    sched->starting++;
    return true;
}

/* Gives a new task to a worker that idles, or queues it.  Locks: sched. */
static bool
place(atoll_scheduler *sched, atoll_task *task, sched_aftermath *after)
{
    sched_idler *node = (sched_idler *)atoll_line_pop(&sched->idle);
    if (node != NULL) {
        sched->idlers--;
        atoll_task_acquire(task);
        sched_assign(sched, node->worker, task, after);
        node->worker->given = task;
        atoll_waiter_grant(&node->waiter, ATOLL_OK, &after->wakes);
        return true;
    }
    if (has_room(sched)) {
        enqueue(sched, task);
        return true;
    }
    return false;
}

static atoll_status
may_submit(const atoll_scheduler *sched)
{
    return sched->dead       ? ATOLL_E_CLOSED
           : sched->broken   ? ATOLL_E_BROKEN
           : sched->shutdown ? ATOLL_E_SHUTDOWN
                             : ATOLL_OK;
}

void
atoll_scheduler_name_task(atoll_scheduler *sched, atoll_task *task)
{
    task->id = atomic_fetch_add(&sched->ids, 1) + 1;
}

atoll_status
atoll_scheduler_submit(atoll_scheduler *sched, atoll_task *task,
                       atoll_wait *wait, bool *out_start)
{
    sched_aftermath after = {0};
    atoll_mutex_lock(&sched->lock);
    atoll_status status = may_submit(sched);
    if (status == ATOLL_OK) {
        if (task->id == 0) {
            atoll_scheduler_name_task(sched, task);
        }
        if (place(sched, task, &after)) {
            *out_start = sched_promise_worker(sched);
        }
        else if (wait == NULL) {
            status = ATOLL_E_FULL;
        }
        else {
            sched_submitter node = {.task = task};
            task->state = ATOLL_TASK_BLOCKED;
            atoll_waiter_init(&node.waiter, wait);
            atoll_line_join(&sched->room, &node.waiter, wait);
            sched_unlock(sched, &after);
            status = atoll_waiter_sleep(&node.waiter, &sched->room,
                                        &sched->lock, wait);
            atoll_mutex_lock(&sched->lock);
            *out_start = status == ATOLL_OK && sched_promise_worker(sched);
        }
    }
    sched_unlock(sched, &after);
    return status;
}

void
atoll_scheduler_start_failed(atoll_scheduler *sched)
{
    sched_aftermath after = {0};
    atoll_mutex_lock(&sched->lock);
    sched->counted--;
    sched->starting--;
    sched_poke_collector(sched, &after);
    sched_check_idle(sched, &after);
    sched_unlock(sched, &after);
}

bool
atoll_scheduler_is_stranded(atoll_scheduler *sched)
{
    atoll_mutex_lock(&sched->lock);
    bool stranded = sched->queue.count > 0 && sched->counted == 0;
    atoll_mutex_unlock(&sched->lock);
    return stranded;
}

bool
atoll_scheduler_wants_worker(atoll_scheduler *sched)
{
    atoll_mutex_lock(&sched->lock);
    bool wanted = sched_promise_worker(sched);
    atoll_mutex_unlock(&sched->lock);
    return wanted;
}

/* --- what handles ask --------------------------------------------------------- */

/* Locks: sched. */
static bool
drop_waiting(atoll_scheduler *sched, atoll_task *task, sched_aftermath *after)
{
    if (task->state != ATOLL_TASK_WAITING) {
        return false;
    }
    sched_list_remove(&sched->queue, task);
    task->state = ATOLL_TASK_TAKEN;
    task->verdict = ATOLL_VERDICT_CANCELLED;
    atoll_line_grant_all(&task->line, ATOLL_E_BUSY, &after->wakes);
    sched_discard(after, task);
    sched_admit(sched, after);
    sched_check_idle(sched, after);
    return true;
}

bool
atoll_scheduler_cancel(atoll_scheduler *sched, atoll_task *task)
{
    sched_aftermath after = {0};
    atoll_mutex_lock(&sched->lock);
    bool dropped = !sched->dead && drop_waiting(sched, task, &after);
    sched_unlock(sched, &after);
    return dropped;
}

void
atoll_scheduler_forget(atoll_scheduler *sched, atoll_task *task)
{
    atoll_mutex_lock(&sched->lock);
    for (atoll_task *t = task; t != NULL; t = t->rest) {
        t->unwanted = true;
    }
    atoll_mutex_unlock(&sched->lock);
}

void
atoll_scheduler_drop(atoll_scheduler *sched, atoll_task *task)
{
    sched_aftermath after = {0};
    atoll_mutex_lock(&sched->lock);
    for (atoll_task *t = task; t != NULL && !sched->dead; t = t->rest) {
        t->unwanted = true;
        atomic_store(&t->dropped, 1);
        (void)drop_waiting(sched, t, &after);
    }
    sched_unlock(sched, &after);
}

bool
atoll_scheduler_is_running(atoll_scheduler *sched, atoll_task *task)
{
    atoll_mutex_lock(&sched->lock);
    bool running = task->state == ATOLL_TASK_RUNNING;
    atoll_mutex_unlock(&sched->lock);
    return running;
}

bool
atoll_scheduler_is_done(atoll_scheduler *sched, atoll_task *task)
{
    atoll_mutex_lock(&sched->lock);
    bool done = task->state >= ATOLL_TASK_DONE;
    atoll_mutex_unlock(&sched->lock);
    return done;
}

atoll_status
atoll_scheduler_await(atoll_scheduler *sched, atoll_task *task,
                      atoll_wait *wait)
{
    sched_aftermath after = {0};
    atoll_waiter node;
    atoll_mutex_lock(&sched->lock);
    if (task->state == ATOLL_TASK_TAKEN || sched->dead) {
        atoll_mutex_unlock(&sched->lock);
        return ATOLL_E_BUSY;
    }
    if (task->state == ATOLL_TASK_DONE) {
        task->state = ATOLL_TASK_TAKEN;
        if (!task->quiet) {
            sched_list_remove(&sched->completions, task);
            sched_discard(&after, task);
        }
        sched_unlock(sched, &after);
        return ATOLL_OK;
    }
    if (wait == NULL) {
        atoll_mutex_unlock(&sched->lock);
        return ATOLL_E_EMPTY;
    }
    atoll_waiter_init(&node, wait);
    atoll_line_join(&task->line, &node, wait);
    atoll_mutex_unlock(&sched->lock);
    return atoll_waiter_sleep(&node, &task->line, &sched->lock, wait);
}

bool
atoll_scheduler_is_cancelled(atoll_scheduler *sched, atoll_task *task)
{
    atoll_mutex_lock(&sched->lock);
    bool cancelled = task->verdict == ATOLL_VERDICT_CANCELLED;
    atoll_mutex_unlock(&sched->lock);
    return cancelled;
}

void
atoll_scheduler_give_back(atoll_scheduler *sched, atoll_task *task)
{
    sched_aftermath after = {0};
    atoll_mutex_lock(&sched->lock);
    task->state = ATOLL_TASK_DONE;
    if (!task->quiet) {
        atoll_task_acquire(task);
        list_append(&sched->completions, task);
        sched_poke_collector(sched, &after);
    }
    sched_unlock(sched, &after);
}

bool
atoll_scheduler_interrupt(atoll_scheduler *sched, atoll_task *task,
                          atoll_interp **out_interp, uint64_t *out_generation)
{
    sched_aftermath after = {0};
    atoll_mutex_lock(&sched->lock);
    bool running = task->state == ATOLL_TASK_RUNNING && !sched->dead;
    if (running) {
        int64_t soon = atoll_now() + sched->grace;
        atomic_store(&task->interrupted, 1);
        if (soon < task->give_up_at) {
            task->give_up_at = soon;
        }
        if (task->give_up_at < sched->planned) {
            sched_poke_collector(sched, &after);
        }
        *out_generation = atomic_load(&task->generation);
        *out_interp = task->worker->interp;
        if (*out_interp != NULL) {
            atoll_interp_acquire(*out_interp);
        }
        else {
            *out_generation = 0;
        }
    }
    sched_unlock(sched, &after);
    return running;
}

atoll_task *
atoll_scheduler_running(atoll_scheduler *sched, size_t i)
{
    atoll_task *task = NULL;
    atoll_mutex_lock(&sched->lock);
    for (atoll_worker *w = sched->workers; w != NULL; w = w->next) {
        if (w->task != NULL && i-- == 0) {
            task = w->task;
            atoll_task_acquire(task);
            break;
        }
    }
    atoll_mutex_unlock(&sched->lock);
    return task;
}

/* --- fork ------------------------------------------------------------------------- */

void
atoll_scheduler_before_fork(void)
{
    atoll_mutex_lock(&table_lock);
    for (atoll_scheduler *s = table; s != NULL; s = s->next) {
        atoll_mutex_lock(&s->lock);
    }
}

void
atoll_scheduler_parent_after_fork(void)
{
    for (atoll_scheduler *s = table; s != NULL; s = s->next) {
        atoll_mutex_unlock(&s->lock);
    }
    atoll_mutex_unlock(&table_lock);
}

/* In the child: whoever held it does not exist. */
static void
renew_lock(atoll_mutex *mutex)
{
    if (atoll_mutex_init(mutex) != ATOLL_OK) {
        abort(); /* a plain mutex needs nothing that could be refused */
    }
}

void
atoll_scheduler_after_fork(void)
{
    for (atoll_scheduler *s = table; s != NULL; s = s->next) {
        renew_lock(&s->lock);
        s->dead = true;
        s->shutdown = true;
        s->workers = NULL;
        s->counted = s->starting = s->present = s->idlers = 0;
        s->running = s->busy = 0;
        memset(&s->idle, 0, sizeof(s->idle));
        memset(&s->room, 0, sizeof(s->room));
        memset(&s->collector, 0, sizeof(s->collector));
        memset(&s->joiners, 0, sizeof(s->joiners));
    }
    renew_lock(&table_lock);
}
