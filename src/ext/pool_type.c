/* The pool's own type, for atoll/futures.py alone: _Pool.
 *
 * A _Pool wraps a scheduler, and knows which future belongs to which task: a
 * dict of its own, so that the collector of garbage sees them.
 *
 * Attached: home, whose GIL guards both.  It is released in every wait.
 */
#include "pool_impl.h"

#include "interrupt.h"
#include "module.h"
#include "run.h"

/* --- exceptions and time ------------------------------------------------------- */

static PyObject *
make_broken_error(ext_state *st, PoolObject *pool)
{
    PyObject *failure = ext_state_python("atoll._pool", "failure");
    PyObject *error = failure == NULL
                          ? NULL
                          : PyObject_CallFunction(
                              failure, "sOOO", "broken", Py_None, Py_None,
                              pool->broken ? pool->broken : Py_None);
    Py_XDECREF(failure);
    (void)st;
    return error;
}

/* Sets the exception for a submit that was refused.  Returns -1. */
static int
refuse(ext_state *st, PoolObject *pool, atoll_status status)
{
    PyObject *error;
    switch (status) {
    case ATOLL_E_SHUTDOWN:
        PyErr_SetString(PyExc_RuntimeError,
                        "cannot schedule new futures after shutdown");
        break;
    case ATOLL_E_CLOSED:
        PyErr_SetString(PyExc_RuntimeError,
                        "cannot schedule new futures: the pool's workers are "
                        "in the process that forked this one");
        break;
    case ATOLL_E_BROKEN:
        error = make_broken_error(st, pool);
        if (error != NULL) {
            PyErr_SetObject((PyObject *)Py_TYPE(error), error);
            Py_DECREF(error);
        }
        break;
    default:
        (void)ext_error_from_status(st, status, "pool");
    }
    return -1;
}

/* --- _Pool -------------------------------------------------------------------- */

/* The initializer and its arguments, sent once.  Fails: -1. */
static int
pack_initializer(ext_state *st, PoolObject *self, PyObject *initializer,
                 PyObject *initargs)
{
    if (initializer == Py_None) {
        return 0;
    }
    PyObject *all[1 + 64];
    Py_ssize_t count = PyTuple_GET_SIZE(initargs);
    if (count > 64) {
        PyErr_SetString(PyExc_ValueError, "more than 64 initargs");
        return -1;
    }
    all[0] = initializer;
    for (Py_ssize_t i = 0; i < count; i++) {
        all[i + 1] = PyTuple_GET_ITEM(initargs, i);
    }
    self->plan.init = atoll_frame_new();
    if (self->plan.init == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    self->plan.init->sender = st->self->id;
    return ext_encode_args(st, all, count + 1, NULL, 0, NULL, self->plan.init);
}

/* _Pool(max_workers, queue_size, grace, initializer, initargs, max_tasks,
 *       idle_timeout) */
static PyObject *
Pool_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    Py_ssize_t max_workers, queue_size;
    double grace;
    PyObject *initializer, *initargs, *idle;
    unsigned long long max_tasks;
    double seconds;
    if (!PyArg_ParseTuple(args, "nndOO!KO:_Pool", &max_workers, &queue_size,
                          &grace, &initializer, &PyTuple_Type, &initargs,
                          &max_tasks, &idle)
        || ext_interrupt_parse_timeout(idle, "idle_timeout", &seconds) < 0) {
        return NULL;
    }
    PoolObject *self = (PoolObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->plan.max_tasks = max_tasks;
    self->plan.idle = seconds < 0 || seconds > 1e9 ? ATOLL_FOREVER
                                                   : (int64_t)(seconds * 1e9);
    ext_state *st = ext_state_of_class(type);
    atoll_status status
        = atoll_scheduler_new((size_t)max_workers, (size_t)queue_size,
                              (int64_t)(grace * 1e9), &self->sched);
    self->futures = PyDict_New();
    if (status != ATOLL_OK) {
        (void)ext_error_from_status(st, status, "pool");
    }
    if (status != ATOLL_OK || self->futures == NULL
        || pack_initializer(st, self, initializer, initargs) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

/* Owns: takes over the list of tasks. */
static void
release_list(atoll_task *list)
{
    while (list != NULL) {
        atoll_task *next = list->next;
        list->next = NULL;
        atoll_task_release(list);
        list = next;
    }
}

static int
Pool_traverse(PyObject *op, visitproc visit, void *arg)
{
    PoolObject *self = (PoolObject *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->futures);
    Py_VISIT(self->start);
    return 0;
}

static int
Pool_clear(PyObject *op)
{
    PoolObject *self = (PoolObject *)op;
    Py_CLEAR(self->futures);
    Py_CLEAR(self->start);
    return 0;
}

static void
Pool_dealloc(PyObject *op)
{
    PoolObject *self = (PoolObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)Pool_clear(op);
    Py_CLEAR(self->broken);
    release_list(self->taken);
    if (self->sched != NULL) {
        atoll_scheduler_release(self->sched);
    }
    if (self->plan.init != NULL) {
        atoll_frame_release(self->plan.init);
    }
    type->tp_free(op);
    Py_DECREF(type);
}

/* No worker could be started: if there is none for what is queued, nothing of
 * it will ever run.  text: why, or NULL.  Keeps an exception that is set. */
static void
break_if_stranded(PoolObject *self, PyObject *text)
{
    PyObject *error = PyErr_GetRaisedException();
    if (atoll_scheduler_is_stranded(self->sched)) {
        if (self->broken == NULL) {
            self->broken = PyUnicode_FromFormat(
                "no worker could be started: %S", text != NULL    ? text
                                                  : error != NULL ? error
                                                                  : Py_None);
            PyErr_Clear();
        }
        atoll_scheduler_break(self->sched);
    }
    PyErr_SetRaisedException(error);
}

/* Has the worker started that the scheduler has just promised.  Calls
 * self->start with a list of one item: the worker's thread takes it out as it
 * begins, and the promise is its to keep.  Fails: -1 with an exception of
 * start, wherever in it Ctrl-C came; where no thread has taken the item the
 * promise is taken back.  The GIL makes either step atomic. */
static int
start_worker(PoolObject *self)
{
    PyObject *start = Py_NewRef(self->start);
    PyObject *promise = PyList_New(1);
    PyObject *got = NULL;
    if (promise != NULL) {
        PyList_SET_ITEM(promise, 0, Py_NewRef(Py_None));
        got = PyObject_CallOneArg(start, promise);
    }
    if (got == NULL && (promise == NULL || PyList_GET_SIZE(promise) > 0)) {
        PyObject *error = PyErr_GetRaisedException();
        /* Needs no memory to remove so few. */
        if (promise != NULL
            && PyList_SetSlice(promise, 0, PY_SSIZE_T_MAX, NULL) < 0) {
            PyErr_Clear();
        }
        atoll_scheduler_start_failed(self->sched);
        PyErr_SetRaisedException(error);
    }
    Py_DECREF(start);
    Py_XDECREF(promise);
    Py_XDECREF(got);
    return got == NULL ? -1 : 0;
}

/* Hands an encoded task over; starts a worker if one is wanted.  Fails: -1
 * with an exception; the task may then be queued all the same, and is
 * dropped. */
static int
hand_over(ext_state *st, PoolObject *self, atoll_task *task)
{
    bool start = false;
    atoll_status status
        = atoll_scheduler_submit(self->sched, task, NULL, &start);
    if (status == ATOLL_E_FULL) {
        atoll_wait wait;
        if (ext_pool_make_wait(Py_None, &wait) < 0) {
            return -1;
        }
        do {
            Py_BEGIN_ALLOW_THREADS
            status = atoll_scheduler_submit(self->sched, task, &wait, &start);
            Py_END_ALLOW_THREADS
        } while (status == ATOLL_E_INTERRUPTED && ext_run_check(st) == 0);
        if (status == ATOLL_E_INTERRUPTED) {
            return -1;
        }
    }
    if (status != ATOLL_OK) {
        return refuse(st, self, status);
    }
    if (ATOLL_UNLIKELY(start) && self->start != NULL) {
        if (start_worker(self) < 0) {
            atoll_scheduler_stats stats;
            atoll_scheduler_get_stats(self->sched, &stats);
            if (stats.workers == 0
                || !PyErr_ExceptionMatches(PyExc_Exception)) {
                (void)atoll_scheduler_cancel(self->sched, task);
                break_if_stranded(self, NULL);
                return -1;
            }
            PyErr_Clear(); /* those that are there do the work */
        }
    }
    return 0;
}

/* submit(future, timeout, fn, *args, **kwargs) -> _Task */
static PyObject *
Pool_submit(PyObject *op, PyTypeObject *cls, PyObject *const *args,
            Py_ssize_t nargs, PyObject *kwnames)
{
    PoolObject *self = (PoolObject *)op;
    ext_state *st = ext_state_of_class(cls);
    double seconds;
    if (nargs < 3) {
        PyErr_SetString(PyExc_TypeError, "submit() takes a future, a timeout "
                                         "and a callable");
        return NULL;
    }
    if (ext_interrupt_parse_timeout(args[1], "timeout", &seconds) < 0) {
        return NULL;
    }
    atoll_task *task = atoll_task_new();
    if (task == NULL) {
        return PyErr_NoMemory();
    }
    task->kind = POOL_CALL;
    task->frame.sender = st->self->id;
    if (seconds >= 0 && seconds < 1e9) {
        task->timeout = (int64_t)(seconds * 1e9);
    }
    if (ext_encode_args(st, args + 2, nargs - 2, kwnames, 0, NULL,
                        &task->frame)
        < 0) {
        atoll_task_release(task);
        return NULL;
    }
    /* In the table before anybody can be done with it. */
    atoll_scheduler_name_task(self->sched, task);
    if (ext_pool_keep_future(self, task, args[0]) < 0) {
        atoll_task_release(task);
        return NULL;
    }
    if (hand_over(st, self, task) < 0) {
        PyObject *error = PyErr_GetRaisedException();
        (void)ext_pool_drop_future(self, task);
        PyErr_SetRaisedException(error);
        atoll_task_release(task);
        return NULL;
    }
    return ext_pool_wrap_task(st, self, task);
}

/* submit_chunk(fn, items, star) -> _Task */
static PyObject *
Pool_submit_chunk(PyObject *op, PyTypeObject *cls, PyObject *const *args,
                  Py_ssize_t nargs, PyObject *Py_UNUSED(kwnames))
{
    PoolObject *self = (PoolObject *)op;
    ext_state *st = ext_state_of_class(cls);
    if (nargs != 3 || !PyList_CheckExact(args[1])) {
        PyErr_SetString(PyExc_TypeError,
                        "submit_chunk() takes a callable, a list and a bool");
        return NULL;
    }
    atoll_task *task = atoll_task_new();
    atoll_frame *items = task == NULL ? NULL : atoll_frame_new();
    if (items == NULL) {
        atoll_task_release(task);
        return PyErr_NoMemory();
    }
    items->sender = st->self->id;
    task->items = items;
    task->kind = args[2] == Py_True ? POOL_STAR : POOL_CHUNK;
    task->quiet = true;
    if (ext_encode_args(st, args, 2, NULL, 0, NULL, items) < 0) {
        atoll_task_release(task);
        return NULL;
    }
    task->stop = (size_t)PyList_GET_SIZE(args[1]);
    task->units = (uint32_t)task->stop;
    size_t bytes = items->len;
    if (hand_over(st, self, task) < 0) {
        atoll_task_release(task);
        return NULL;
    }
    PyObject *handle = ext_pool_wrap_task(st, self, task);
    if (handle != NULL) {
        ((TaskObject *)handle)->bytes = bytes;
    }
    return handle;
}

void
ext_pool_break(ext_state *st, PoolObject *pool, const atoll_frame *failure,
               bool quiet)
{
    PyObject *parts = failure == NULL ? NULL : ext_decode(st, failure);
    PyObject *text = NULL;
    if (parts != NULL && PyTuple_Check(parts) && PyTuple_GET_SIZE(parts) > 0) {
        /* The last one is the traceback. */
        text = PyTuple_GET_ITEM(parts, PyTuple_GET_SIZE(parts) - 1);
    }
    if (pool->broken == NULL) {
        PyErr_Clear();
        pool->broken
            = text == NULL
                  ? PyUnicode_FromString("the initializer failed")
                  : PyUnicode_FromFormat("the initializer failed: %S", text);
    }
    PyErr_Clear();
    /* First the log, then the futures, as concurrent.futures does. */
    PyObject *log
        = quiet ? NULL : ext_state_python("atoll._pool", "log_broken");
    PyObject *told = log == NULL
                         ? NULL
                         : PyObject_CallOneArg(log, parts ? parts : Py_None);
    if (told == NULL && !quiet) {
        PyErr_WriteUnraisable(NULL);
    }
    Py_XDECREF(told);
    Py_XDECREF(log);
    Py_XDECREF(parts);
    atoll_scheduler_break(pool->sched);
}

/* work(interpreter_id) -> reason */
static PyObject *
Pool_work(PyObject *op, PyTypeObject *cls, PyObject *const *args,
          Py_ssize_t nargs, PyObject *Py_UNUSED(kwnames))
{
    PoolObject *self = (PoolObject *)op;
    ext_state *st = ext_state_of_class(cls);
    long long id = nargs == 1 ? PyLong_AsLongLong(args[0]) : -1;
    if (id < 0) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError, "work() takes an id");
        }
        return NULL;
    }
    atoll_interp *interp = NULL;
    if (atoll_registry_find(id, &interp) != ATOLL_OK) {
        return ext_error_format(st, EXT_ERR_NOT_FOUND,
                                "unrecognized interpreter ID %lld", id);
    }
    int reason = ext_pool_work(st, self, interp);
    atoll_interp_release(interp);
    return reason < 0 ? NULL : PyLong_FromLong(reason);
}

/* The future of a task that is over, out of the table.  New reference, or
 * NULL, without an exception if it is not there (any more). */
static PyObject *
pop_future(PoolObject *self, const atoll_task *task)
{
    PyObject *future = NULL;
    PyObject *key = PyLong_FromUnsignedLongLong(task->id);
    if (key != NULL && ext_compat_dict_get(self->futures, key, &future) > 0
        && PyDict_DelItem(self->futures, key) < 0) {
        Py_CLEAR(future);
    }
    Py_XDECREF(key);
    return future;
}

/* Appends what the first task that was taken gave, as (future, ok, value), if
 * anybody asks for it (still).  Of what cannot be told for want of memory, the
 * exception is that.  Fails: -1; the task's future is in the table still. */
static int
add_completion(ext_state *st, PoolObject *self, PyObject *list)
{
    bool ok = false;
    PyObject *future = pop_future(self, self->taken);
    if (future == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    PyObject *value = ext_pool_outcome(st, self, self->taken, &ok);
    if (value == NULL) {
        value = PyErr_GetRaisedException();
        ok = false;
    }
    PyObject *item = PyTuple_Pack(3, future, ok ? Py_True : Py_False, value);
    int result = item == NULL ? -1 : PyList_Append(list, item);
    if (result < 0) {
        PyObject *error = PyErr_GetRaisedException();
        (void)ext_pool_keep_future(self, self->taken, future);
        PyErr_SetRaisedException(error);
    }
    Py_XDECREF(item);
    Py_DECREF(value);
    Py_DECREF(future);
    return result;
}

/* take() -> list of (future, ok, value), or None: there will be no more.
 * If it raises, nothing is lost: call it again. */
static PyObject *
Pool_take(PyObject *op, PyTypeObject *cls, PyObject *const *Py_UNUSED(args),
          Py_ssize_t Py_UNUSED(nargs), PyObject *Py_UNUSED(kwnames))
{
    PoolObject *self = (PoolObject *)op;
    ext_state *st = ext_state_of_class(cls);
    if (self->taken == NULL) {
        atoll_wait wait;
        atoll_status status;
        if (ext_pool_make_wait(Py_None, &wait) < 0) {
            return NULL;
        }
        do {
            Py_BEGIN_ALLOW_THREADS
            status = atoll_scheduler_collect(self->sched, &wait, &self->taken);
            Py_END_ALLOW_THREADS
        } while (status == ATOLL_E_INTERRUPTED && ext_run_check(st) == 0);
        if (status == ATOLL_E_SHUTDOWN) {
            Py_RETURN_NONE;
        }
        if (status != ATOLL_OK) {
            return NULL;
        }
    }
    PyObject *result = PyList_New(0);
    while (self->taken != NULL && result != NULL) {
        if (add_completion(st, self, result) < 0) {
            if (PyList_GET_SIZE(result) == 0) {
                Py_CLEAR(result);
            }
            else {
                PyErr_Clear(); /* these first */
            }
            break;
        }
        atoll_task *task = self->taken;
        self->taken = task->next;
        task->next = NULL;
        atoll_task_release(task);
    }
    return result;
}

/* cancel_all() -> the futures of what waited. */
static PyObject *
Pool_cancel_all(PyObject *op, PyObject *Py_UNUSED(args))
{
    PoolObject *self = (PoolObject *)op;
    atoll_task *list = NULL;
    PyObject *result = PyList_New(0);
    if (result == NULL) {
        return NULL;
    }
    atoll_scheduler_cancel_all(self->sched, &list);
    for (atoll_task *task = list; task != NULL && result != NULL;
         task = task->next) {
        PyObject *future = pop_future(self, task);
        if (PyErr_Occurred()
            || (future != NULL && PyList_Append(result, future) < 0)) {
            Py_CLEAR(result);
        }
        Py_XDECREF(future);
    }
    release_list(list);
    return result;
}

/* interrupt_all() -> how many. */
static PyObject *
Pool_interrupt_all(PyObject *op, PyObject *Py_UNUSED(args))
{
    PoolObject *self = (PoolObject *)op;
    long count = 0;
    atoll_task *task;
    for (size_t i = 0;
         (task = atoll_scheduler_running(self->sched, i)) != NULL; i++) {
        int found = ext_pool_interrupt_task(self->sched, task);
        atoll_task_release(task);
        if (found < 0) {
            return NULL;
        }
        count += found;
    }
    return PyLong_FromLong(count);
}

static PyObject *
Pool_shutdown(PyObject *op, PyObject *Py_UNUSED(args))
{
    atoll_scheduler_shutdown(((PoolObject *)op)->sched);
    Py_RETURN_NONE;
}

/* break_if_stranded(text) */
static PyObject *
Pool_break_if_stranded(PyObject *op, PyObject *text)
{
    break_if_stranded((PoolObject *)op, text);
    Py_RETURN_NONE;
}

/* join(timeout) -> False at the time-out. */
static PyObject *
Pool_join(PyObject *op, PyTypeObject *cls, PyObject *const *args,
          Py_ssize_t nargs, PyObject *Py_UNUSED(kwnames))
{
    PoolObject *self = (PoolObject *)op;
    ext_state *st = ext_state_of_class(cls);
    atoll_wait wait;
    atoll_status status;
    if (ext_pool_make_wait(nargs > 0 ? args[0] : Py_None, &wait) < 0) {
        return NULL;
    }
    do {
        Py_BEGIN_ALLOW_THREADS
        status = atoll_scheduler_join(self->sched, &wait);
        Py_END_ALLOW_THREADS
    } while (status == ATOLL_E_INTERRUPTED && ext_run_check(st) == 0);
    if (status == ATOLL_E_INTERRUPTED) {
        return NULL;
    }
    return PyBool_FromLong(status == ATOLL_OK);
}

static PyObject *
Pool_wants_worker(PyObject *op, PyObject *Py_UNUSED(args))
{
    return PyBool_FromLong(
        atoll_scheduler_wants_worker(((PoolObject *)op)->sched));
}

static PyObject *
Pool_start_failed(PyObject *op, PyObject *Py_UNUSED(args))
{
    atoll_scheduler_start_failed(((PoolObject *)op)->sched);
    Py_RETURN_NONE;
}

/* start_wanted(): what cannot be started is left to the workers that are
 * there; where there is none the pool is broken. */
static PyObject *
Pool_start_wanted(PyObject *op, PyObject *Py_UNUSED(args))
{
    PoolObject *self = (PoolObject *)op;
    while (self->start != NULL && atoll_scheduler_wants_worker(self->sched)) {
        if (start_worker(self) < 0) {
            break_if_stranded(self, NULL);
            PyErr_Clear();
            break;
        }
    }
    Py_RETURN_NONE;
}

static PyObject *
Pool_stats(PyObject *op, PyObject *Py_UNUSED(args))
{
    atoll_scheduler_stats s;
    atoll_scheduler_get_stats(((PoolObject *)op)->sched, &s);
    return Py_BuildValue(
        "{s:n,s:n,s:n,s:n,s:K,s:K,s:K}", "workers", (Py_ssize_t)s.workers,
        "idle", (Py_ssize_t)s.idle, "queued", (Py_ssize_t)s.queued, "running",
        (Py_ssize_t)s.running, "done", (unsigned long long)s.done, "failed",
        (unsigned long long)s.failed, "restarts",
        (unsigned long long)s.restarts);
}

static PyObject *
Pool_get_start(PyObject *op, void *Py_UNUSED(closure))
{
    PyObject *start = ((PoolObject *)op)->start;
    return Py_NewRef(start != NULL ? start : Py_None);
}

static int
Pool_set_start(PyObject *op, PyObject *value, void *Py_UNUSED(closure))
{
    Py_XSETREF(((PoolObject *)op)->start, Py_XNewRef(value));
    return 0;
}

static PyObject *
Pool_get_broken(PyObject *op, void *Py_UNUSED(closure))
{
    PyObject *broken = ((PoolObject *)op)->broken;
    return Py_NewRef(broken != NULL ? broken : Py_None);
}

static PyMethodDef Pool_methods[] = {
    {"submit", (PyCFunction)(void (*)(void))Pool_submit, POOL_FAST,
     PyDoc_STR("submit($self, future, timeout, fn, /, *args, **kwargs)\n"
               "--\n\nQueue a call; returns its _Task.")},
    {"submit_chunk", (PyCFunction)(void (*)(void))Pool_submit_chunk, POOL_FAST,
     PyDoc_STR("submit_chunk($self, fn, items, star, /)\n--\n\n"
               "Queue a call for each item; returns a _Task.")},
    {"work", (PyCFunction)(void (*)(void))Pool_work, POOL_FAST,
     PyDoc_STR("work($self, id, /)\n--\n\nBe a worker in this "
               "interpreter; returns why it ended.")},
    {"take", (PyCFunction)(void (*)(void))Pool_take, POOL_FAST,
     PyDoc_STR("take($self, /)\n--\n\nWait for completions; None: the pool "
               "is at its end.")},
    {"join", (PyCFunction)(void (*)(void))Pool_join, POOL_FAST,
     PyDoc_STR("join($self, timeout=None, /)\n--\n\nWait until no worker is "
               "left.")},
    {"cancel_all", Pool_cancel_all, METH_NOARGS,
     PyDoc_STR("cancel_all($self, /)\n--\n\nDrop what waits; returns its "
               "futures.")},
    {"interrupt_all", Pool_interrupt_all, METH_NOARGS,
     PyDoc_STR("interrupt_all($self, /)\n--\n\nInterrupt what runs.")},
    {"shutdown", Pool_shutdown, METH_NOARGS,
     PyDoc_STR("shutdown($self, /)\n--\n\nTake no more tasks.")},
    {"break_if_stranded", Pool_break_if_stranded, METH_O,
     PyDoc_STR("break_if_stranded($self, text, /)\n--\n\nFail what waits, if "
               "no worker is left.")},
    {"wants_worker", Pool_wants_worker, METH_NOARGS,
     PyDoc_STR("wants_worker($self, /)\n--\n\nTrue: start one, or say "
               "start_failed().")},
    {"start_failed", Pool_start_failed, METH_NOARGS,
     PyDoc_STR("start_failed($self, /)\n--\n\nA worker did not start.")},
    {"start_wanted", Pool_start_wanted, METH_NOARGS,
     PyDoc_STR("start_wanted($self, /)\n--\n\nStart what workers are "
               "wanted.")},
    {"stats", Pool_stats, METH_NOARGS,
     PyDoc_STR("stats($self, /)\n--\n\nNumbers, by name.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef Pool_getset[] = {
    {"start", Pool_get_start, Pool_set_start,
     PyDoc_STR("called with [None] when a worker is wanted; its thread takes "
               "the item out"),
     NULL},
    {"broken", Pool_get_broken, NULL, PyDoc_STR("why it is broken, or None"),
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot Pool_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("The C part of InterpreterPoolExecutor.")},
    {Py_tp_new, Pool_new},
    {Py_tp_traverse, Pool_traverse},
    {Py_tp_clear, Pool_clear},
    {Py_tp_dealloc, Pool_dealloc},
    {Py_tp_methods, Pool_methods},
    {Py_tp_getset, Pool_getset},
    {0, NULL},
};

static PyType_Spec Pool_spec = {
    .name = "atoll._core._Pool",
    .basicsize = sizeof(PoolObject),
    .flags
    = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Pool_slots,
};

/* --- the part ------------------------------------------------------------------- */

static int
pool_exec(PyObject *module, ext_state *st)
{
    pool_part *part = PyMem_Calloc(1, sizeof(*part));
    if (part == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    st->parts[EXT_PART_POOL] = part;
    part->pool_type
        = (PyTypeObject *)PyType_FromModuleAndSpec(module, &Pool_spec, NULL);
    part->task_type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &ext_pool_task_spec, NULL);
    if (part->pool_type == NULL || part->task_type == NULL) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "_Pool", (PyObject *)part->pool_type);
}

static int
pool_traverse(ext_state *st, visitproc visit, void *arg)
{
    pool_part *part = ext_pool_part_of(st);
    if (part != NULL) {
        Py_VISIT(part->pool_type);
        Py_VISIT(part->task_type);
        Py_VISIT(part->snapshot);
        Py_VISIT(part->failure);
    }
    return 0;
}

static void
pool_clear(ext_state *st)
{
    pool_part *part = ext_pool_part_of(st);
    if (part != NULL) {
        Py_CLEAR(part->pool_type);
        Py_CLEAR(part->task_type);
        Py_CLEAR(part->snapshot);
        Py_CLEAR(part->failure);
    }
}

static void
pool_free(ext_state *st)
{
    PyMem_Free(st->parts[EXT_PART_POOL]);
    st->parts[EXT_PART_POOL] = NULL;
}

const ext_part ext_pool_part = {
    .id = EXT_PART_POOL,
    .exec = pool_exec,
    .traverse = pool_traverse,
    .clear = pool_clear,
    .free = pool_free,
};
