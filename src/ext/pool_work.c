/* What a pool's worker does: it enters its interpreter once and stays there.
 *
 * A task costs no swap of interpreters: the frame with the arguments is
 * decoded here, the outcome is encoded here, and the scheduler carries both.
 * The GIL of the worker's interpreter is released only while it waits, so
 * that threads which a task left behind run meanwhile.
 *
 * Chunks.  A chunk that has taken CHUNK_NS is cut off after the item at hand:
 * what is left goes back to the front of the queue in several pieces, for
 * whoever is free.  So a wrong guess about an item's cost holds nobody up.
 */
#include "pool_impl.h"

#include "interrupt.h"
#include "output.h"
#include "run.h"

#include <string.h>

#define CHUNK_NS 10000000LL
/* Between two looks at an interruption. */
#define CHECK_NS 1000000LL
/* Into so many pieces is cut what a chunk leaves over. */
#define PIECES 8

typedef struct worker_run {
    ext_visit visit;
    atoll_worker worker;
    atoll_scheduler *sched;
    const worker_plan *plan;
    uint64_t ran; /* calls, in this interpreter */
    bool stopped; /* the pool's end interrupted the initializer */
} worker_run;

/* --- outcomes ----------------------------------------------------------------- */

/* The exception that is set, into the task.  Attached: the worker's. */
static void
take_failure(ext_visit *visit, atoll_task *task, uint8_t outcome)
{
    ext_state *st = visit->state;
    pool_part *part = ext_pool_part_of(st);
    PyObject *error = PyErr_GetRaisedException();
    ext_verdict verdict = ext_interrupt_judge(visit, error);
    task->failed = visit->failed = true;
    task->outcome = !verdict.interrupted ? outcome
                    : verdict.timed_out  ? POOL_TIMED_OUT
                                         : POOL_INTERRUPTED;
    if (part->snapshot == NULL) {
        part->snapshot = ext_state_python("atoll._errors", "snapshot");
    }
    PyObject *parts = part->snapshot == NULL || error == NULL
                          ? NULL
                          : PyObject_CallOneArg(part->snapshot, error);
    PyObject *sent[2] = {parts, error};
    for (size_t i = 0; i < 2; i++) {
        atoll_frame *frame = sent[i] == NULL ? NULL : atoll_frame_new();
        if (frame != NULL) {
            frame->sender = visit->interp->id;
            if (ext_encode(st, sent[i], "exception", 0, NULL, frame) < 0) {
                atoll_frame_release(frame);
                frame = NULL;
            }
        }
        PyErr_Clear();
        task->extra[i] = frame;
    }
    PyErr_Clear();
    Py_XDECREF(parts);
    Py_XDECREF(error);
}

/* Owns: takes over result, NULL with an exception.  Attached: the worker's. */
static void
take_result(ext_visit *visit, atoll_task *task, PyObject *result)
{
    if (result == NULL) {
        take_failure(visit, task, POOL_FAILED);
        return;
    }
    ext_interrupt_end_code(visit);
    if (result == Py_None) {
        task->outcome = POOL_NONE;
    }
    else {
        task->outcome = POOL_VALUE;
        task->frame.sender = visit->interp->id;
        if (ext_encode(visit->state, result, "result", 0, NULL, &task->frame)
            < 0) {
            take_failure(visit, task, POOL_UNSHARED);
            Py_DECREF(result);
            return;
        }
    }
    if (ATOLL_UNLIKELY(ext_interrupt_conclude(visit) < 0)) {
        atoll_frame_reset(&task->frame);
        take_failure(visit, task, POOL_FAILED);
    }
    Py_DECREF(result);
}

/* --- calls -------------------------------------------------------------------- */

static PyObject *
call_decoded(ext_visit *visit, const atoll_frame *frame)
{
    ext_args args;
    if (ext_decode_args(visit->state, frame, &args) < 0) {
        return NULL;
    }
    PyObject *result = NULL;
    if (ext_interrupt_begin_code(visit) == 0) {
        result = PyObject_Vectorcall(args.values[0], args.values + 1,
                                     (size_t)(args.nargs - 1)
                                         | PY_VECTORCALL_ARGUMENTS_OFFSET,
                                     args.kwnames);
    }
    ext_args_fini(&args);
    return result;
}

static void
run_call(worker_run *run, atoll_task *task)
{
    const atoll_frame *from
        = task->kind == POOL_INIT ? task->items : &task->frame;
    PyObject *result = call_decoded(&run->visit, from);
    atoll_frame_reset(&task->frame);
    if (task->kind == POOL_INIT && result != NULL) {
        Py_SETREF(result, Py_NewRef(Py_None));
    }
    take_result(&run->visit, task, result);
}

/* --- chunks ------------------------------------------------------------------- */

/* Gives what is left of a chunk to whoever is free.  True: the task ends at
 * `from`.  False: nobody wants it, or there is no memory: go on. */
static bool
split_rest(worker_run *run, atoll_task *task, size_t from)
{
    size_t left = task->stop - from;
    size_t pieces = left < PIECES ? left : PIECES;
    atoll_task *rest = NULL;
    atoll_task **end = &rest;
    size_t start = from;
    for (size_t i = 0; i < pieces; i++) {
        atoll_task *piece = atoll_task_new();
        if (piece == NULL) {
            atoll_task_release(rest);
            return false;
        }
        atoll_frame_acquire(task->items);
        piece->items = task->items;
        piece->kind = task->kind;
        piece->quiet = true;
        piece->timeout = task->timeout;
        piece->start = start;
        start += left / pieces + (i < left % pieces);
        piece->stop = start;
        *end = piece;
        end = &piece->rest;
    }
    if (!atoll_worker_split(run->sched, &run->worker, task, rest)) {
        atoll_task_release(rest);
        return false;
    }
    task->stop = from;
    return true;
}

/* Encodes what a chunk gave.  If a result cannot cross, finds which: those
 * before it are kept.  Attached: the worker's. */
static void
take_results(worker_run *run, atoll_task *task, PyObject *results)
{
    ext_visit *visit = &run->visit;
    ext_state *st = visit->state;
    task->frame.sender = visit->interp->id;
    task->outcome = POOL_VALUE;
    if (ext_encode(st, results, "result", 0, NULL, &task->frame) == 0) {
        if (ext_interrupt_conclude(visit) < 0) {
            /* After what it gave. */
            take_failure(visit, task, POOL_FAILED);
        }
        return;
    }
    Py_ssize_t good = 0;
    PyErr_Clear();
    for (; good < PyList_GET_SIZE(results); good++) {
        atoll_frame_reset(&task->frame);
        if (ext_encode(st, PyList_GET_ITEM(results, good), "result", 0, NULL,
                       &task->frame)
            < 0) {
            break;
        }
    }
    if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_RuntimeError,
                        "a result changed while it was sent");
    }
    atoll_frame_reset(&task->frame);
    take_failure(visit, task, POOL_UNSHARED);
    if (PyList_SetSlice(results, good, PyList_GET_SIZE(results), NULL) < 0
        || ext_encode(st, results, "result", 0, NULL, &task->frame) < 0) {
        PyErr_Clear(); /* then the failure is the chunk's first outcome */
    }
}

/* One item.  New reference. */
static PyObject *
call_item(PyObject *func, PyObject *item, bool star)
{
    if (!star) {
        return PyObject_CallOneArg(func, item);
    }
    if (!PyTuple_Check(item)) {
        PyErr_SetString(PyExc_SystemError, "a chunk's item is no tuple");
        return NULL;
    }
    return PyObject_Call(func, item, NULL);
}

/* Calls func on the items from task->start; stops at the first failure.
 * Returns the results (new reference); *out_failed: an exception is set. */
static PyObject *
call_items(worker_run *run, atoll_task *task, PyObject *func, PyObject *items,
           bool *out_failed)
{
    int64_t begun = atoll_now();
    int64_t now = begun;
    int64_t checked = begun;
    PyObject *results = PyList_New(0);
    size_t i = task->start;
    *out_failed = results == NULL;
    while (!*out_failed && i < task->stop
           && !atomic_load_explicit(&task->dropped, memory_order_relaxed)) {
        PyObject *result
            = call_item(func, PyList_GET_ITEM(items, (Py_ssize_t)i),
                        task->kind == POOL_STAR);
        *out_failed = result == NULL || PyList_Append(results, result) < 0;
        Py_XDECREF(result);
        i++;
        now = atoll_now();
        if (now - checked > CHECK_NS && !*out_failed) {
            /* C functions run no bytecode that would look. */
            checked = now;
            *out_failed = ext_run_check(run->visit.state) < 0;
        }
        if (now - begun > CHUNK_NS && i < task->stop && !*out_failed
            && split_rest(run, task, i)) {
            break;
        }
    }
    task->spent = now - begun;
    task->units = (uint32_t)(i - task->start);
    return results;
}

static void
run_chunk(worker_run *run, atoll_task *task)
{
    ext_state *st = run->visit.state;
    ext_args args;
    PyObject *results = NULL;
    bool failed = true;
    task->frame.sender = run->visit.interp->id;
    if (ext_decode_args(st, task->items, &args) < 0) {
        take_failure(&run->visit, task, POOL_FAILED);
        return;
    }
    if (args.nargs != 2 || !PyList_CheckExact(args.values[1])
        || (size_t)PyList_GET_SIZE(args.values[1]) < task->stop) {
        PyErr_SetString(PyExc_SystemError, "this is no chunk");
    }
    else if (ext_interrupt_begin_code(&run->visit) == 0) {
        results
            = call_items(run, task, args.values[0], args.values[1], &failed);
        ext_interrupt_end_code(&run->visit);
    }
    if (failed) {
        take_failure(&run->visit, task, POOL_FAILED);
        if (results != NULL
            && ext_encode(st, results, "result", 0, NULL, &task->frame) < 0) {
            PyErr_Clear();
        }
    }
    else {
        take_results(run, task, results);
    }
    Py_XDECREF(results);
    ext_args_fini(&args);
}

/* --- the loop ----------------------------------------------------------------- */

/* Attached: the worker's, before and after. */
static void
run_task(worker_run *run, atoll_task *task)
{
    ext_visit *visit = &run->visit;
    ext_attach_begin_call(visit);
    atomic_store(&task->generation, visit->generation);
    int armed = 0;
    if (task->timeout >= 0) {
        armed = ext_interrupt_arm(visit, (double)task->timeout / 1e9);
    }
    if (armed == 0 && atomic_load(&task->interrupted)) {
        /* It came before there was a call to name. */
        armed = ext_interrupt_one(visit->interp, visit->generation);
    }
    if (armed < 0) {
        take_failure(visit, task, POOL_FAILED);
    }
    else if (task->kind == POOL_CALL || task->kind == POOL_INIT) {
        run_call(run, task);
    }
    else {
        run_chunk(run, task);
    }
    ext_output_flush(visit);
    ext_attach_end_call(visit);
    run->ran += task->units;
}

/* Attached: the worker's, its GIL released while it sleeps. */
static atoll_status
next_task(worker_run *run, atoll_task *done, atoll_task **out_task)
{
    if (run->plan->max_tasks != 0 && run->ran >= run->plan->max_tasks) {
        if (done != NULL) {
            atoll_worker_done(run->sched, &run->worker, done);
        }
        return ATOLL_E_FULL;
    }
    atoll_status status
        = atoll_worker_next(run->sched, &run->worker, done, NULL, out_task);
    if (status != ATOLL_E_EMPTY) {
        return status;
    }
    int64_t now = run->plan->idle == ATOLL_FOREVER ? 0 : atoll_now();
    atoll_wait wait = {run->visit.parker, ATOLL_FOREVER, 0};
    if (run->plan->idle < ATOLL_FOREVER - now) {
        wait.deadline = now + run->plan->idle;
    }
    Py_BEGIN_ALLOW_THREADS
    do {
        /* An interruption is not for a worker between two tasks. */
        status = atoll_worker_next(run->sched, &run->worker, done, &wait,
                                   out_task);
        done = NULL;
    } while (status == ATOLL_E_INTERRUPTED);
    Py_END_ALLOW_THREADS
    return status;
}

/* True: the worker may take tasks.  Attached: the worker's. */
static bool
initialize(worker_run *run, atoll_frame **out_failure)
{
    if (run->plan->init == NULL) {
        return true;
    }
    atoll_task *task = atoll_task_new();
    if (task == NULL) {
        return false;
    }
    atoll_frame_acquire(run->plan->init);
    task->items = run->plan->init;
    task->kind = POOL_INIT;
    task->quiet = true;
    task->units = 0;
    atoll_worker_begin(run->sched, &run->worker, task);
    run_task(run, task);
    bool ok = task->outcome == POOL_NONE;
    if (!ok) {
        *out_failure = task->extra[0];
        task->extra[0] = NULL;
        run->stopped = task->outcome == POOL_INTERRUPTED
                       && atoll_scheduler_is_shutdown(run->sched);
    }
    atoll_worker_done(run->sched, &run->worker, task);
    atoll_task_release(task);
    return ok;
}

static int
work_inside(worker_run *run)
{
    atoll_task *task = NULL;
    for (;;) {
        atoll_task *done = task;
        switch (next_task(run, done, &task)) {
        case ATOLL_OK:
            run_task(run, task);
            break;
        case ATOLL_E_TIMEOUT:
            return POOL_LEFT_IDLE;
        case ATOLL_E_FULL:
            return POOL_LEFT_FULL;
        case ATOLL_E_CLOSED:
            return POOL_LEFT_GIVEN_UP;
        default:
            return POOL_LEFT_SHUTDOWN;
        }
    }
}

int
ext_pool_work(ext_state *st, PoolObject *pool, atoll_interp *interp)
{
    atoll_scheduler *sched = pool->sched;
    worker_run run = {.sched = sched, .plan = &pool->plan};
    atoll_frame *failure = NULL;
    int reason = -1;
    atoll_worker_join(sched, &run.worker);
    if (ext_attach_enter(st, interp, EXT_VISIT_RUN, &run.visit) == 0) {
        atoll_usage_cancel(&interp->usage, run.visit.clock, &run.visit.span);
        ext_attach_end_call(&run.visit); /* none has begun */
        atoll_interp_acquire(interp);
        atoll_worker_enter(sched, &run.worker, interp);
        if (ext_module_load(run.visit.state, EXT_PART_POOL) < 0) {
            PyErr_Clear(); /* out of memory: no worker */
            reason = POOL_LEFT_BROKEN;
        }
        else {
            reason = initialize(&run, &failure) ? work_inside(&run)
                                                : POOL_LEFT_BROKEN;
        }
        ext_attach_leave(&run.visit);
    }
    if (reason == POOL_LEFT_BROKEN) {
        /* Before it leaves, so that nobody starts another in its place. */
        ext_pool_break(st, pool, failure, run.stopped);
    }
    if (failure != NULL) {
        atoll_frame_release(failure);
    }
    atoll_worker_leave(sched, &run.worker, reason == POOL_LEFT_FULL);
    return reason;
}
