/* _Task: the handle of one task of a pool, for atoll/futures.py alone.
 *
 * A quiet one (a chunk of a map) keeps its outcome for who asks; that of
 * others belongs to whoever comes first, the collector or wait().
 *
 * Attached: home, whose GIL is released in every wait.
 */
#include "pool_impl.h"

#include "interrupt.h"
#include "run.h"

/* None or seconds, as a wait.  Fails: -1 with an exception. */
int
ext_pool_make_wait(PyObject *timeout, atoll_wait *out)
{
    double seconds;
    out->parker = ext_attach_parker();
    out->deadline = ATOLL_FOREVER;
    out->ticket = 0;
    if (out->parker == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (ext_interrupt_parse_timeout(timeout, "timeout", &seconds) < 0) {
        return -1;
    }
    if (seconds >= 0) {
        out->deadline = atoll_deadline_after(seconds);
    }
    return 0;
}

/* --- _Task -------------------------------------------------------------------- */

/* New reference.  Owns: takes over the task's reference. */
PyObject *
ext_pool_wrap_task(ext_state *st, PoolObject *pool, atoll_task *task)
{
    PyTypeObject *type = ext_pool_part_of(st)->task_type;
    TaskObject *self = (TaskObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        atoll_task_release(task);
        return NULL;
    }
    self->pool = (PoolObject *)Py_NewRef(pool);
    self->task = task;
    return (PyObject *)self;
}

static int
Task_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((TaskObject *)op)->pool);
    return 0;
}

static void
Task_dealloc(PyObject *op)
{
    TaskObject *self = (TaskObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    if (self->task != NULL) {
        if (self->task->quiet) {
            atoll_scheduler_forget(self->pool->sched, self->task);
        }
        atoll_task_release(self->task);
    }
    Py_XDECREF(self->pool);
    type->tp_free(op);
    Py_DECREF(type);
}

/* Fails: -1. */
int
ext_pool_keep_future(PoolObject *pool, const atoll_task *task,
                     PyObject *future)
{
    PyObject *key = PyLong_FromUnsignedLongLong(task->id);
    int result = key == NULL ? -1 : PyDict_SetItem(pool->futures, key, future);
    Py_XDECREF(key);
    return result;
}

/* Fails: -1. */
int
ext_pool_drop_future(PoolObject *pool, const atoll_task *task)
{
    PyObject *key = PyLong_FromUnsignedLongLong(task->id);
    if (key == NULL) {
        return -1;
    }
    if (PyDict_DelItem(pool->futures, key) < 0) {
        PyErr_Clear();
    }
    Py_DECREF(key);
    return 0;
}

/* Waits for the outcome.  1: it is the caller's; 0: somebody else's; -1 with
 * an exception (TimeoutError included). */
static int
await_task(ext_state *st, TaskObject *self, PyObject *timeout)
{
    atoll_scheduler *sched = self->pool->sched;
    atoll_wait wait;
    atoll_status status = atoll_scheduler_await(sched, self->task, NULL);
    if (status == ATOLL_E_EMPTY) {
        if (ext_pool_make_wait(timeout, &wait) < 0) {
            return -1;
        }
        do {
            Py_BEGIN_ALLOW_THREADS
            status = atoll_scheduler_await(sched, self->task, &wait);
            Py_END_ALLOW_THREADS
        } while (status == ATOLL_E_INTERRUPTED && ext_run_check(st) == 0);
    }
    switch (status) {
    case ATOLL_OK:
        return 1;
    case ATOLL_E_BUSY:
        return 0;
    case ATOLL_E_TIMEOUT:
        PyErr_SetNone(PyExc_TimeoutError);
        return -1;
    default:
        return -1;
    }
}

/* wait(timeout) -> (ok, value), or None if it is somebody else's. */
static PyObject *
Task_wait(PyObject *op, PyTypeObject *cls, PyObject *const *args,
          Py_ssize_t nargs, PyObject *Py_UNUSED(kwnames))
{
    TaskObject *self = (TaskObject *)op;
    ext_state *st = ext_state_of_class(cls);
    bool ok;
    int mine = await_task(st, self, nargs > 0 ? args[0] : Py_None);
    if (mine < 0) {
        return NULL;
    }
    if (mine == 0) {
        Py_RETURN_NONE;
    }
    PyObject *value = ext_pool_outcome(st, self->pool, self->task, &ok);
    PyObject *pair = value == NULL
                         ? NULL
                         : Py_BuildValue("(NN)", PyBool_FromLong(ok), value);
    if (pair == NULL || ext_pool_drop_future(self->pool, self->task) < 0) {
        PyObject *error = PyErr_GetRaisedException();
        Py_XDECREF(pair);
        atoll_scheduler_give_back(self->pool->sched, self->task);
        PyErr_SetRaisedException(error);
        return NULL;
    }
    self->claimant = PyThread_get_thread_ident();
    return pair;
}

/* give_back(future): what wait() gave this thread did not reach the future,
 * for an exception that came in between.  Nothing, if it gave nothing. */
static PyObject *
Task_give_back(PyObject *op, PyObject *future)
{
    TaskObject *self = (TaskObject *)op;
    if (self->claimant != PyThread_get_thread_ident()) {
        Py_RETURN_NONE;
    }
    self->claimant = 0;
    int kept = ext_pool_keep_future(self->pool, self->task, future);
    atoll_scheduler_give_back(self->pool->sched, self->task);
    if (kept < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ready(timeout): whether a chunk is done; its outcome stays. */
static PyObject *
Task_ready(PyObject *op, PyTypeObject *cls, PyObject *const *args,
           Py_ssize_t nargs, PyObject *Py_UNUSED(kwnames))
{
    TaskObject *self = (TaskObject *)op;
    int mine = await_task(ext_state_of_class(cls), self,
                          nargs > 0 ? args[0] : Py_None);
    if (mine > 0) {
        atoll_scheduler_give_back(self->pool->sched, self->task);
        Py_RETURN_TRUE;
    }
    if (mine < 0 && !PyErr_ExceptionMatches(PyExc_TimeoutError)) {
        return NULL;
    }
    PyErr_Clear();
    Py_RETURN_FALSE;
}

/* What a chunk left over, as a list of tasks.  New reference. */
static PyObject *
take_rest(ext_state *st, TaskObject *self)
{
    PyObject *list = PyList_New(0);
    atoll_task *rest = self->task->rest;
    self->task->rest = NULL;
    while (rest != NULL) {
        atoll_task *next = rest->rest;
        rest->rest = NULL;
        PyObject *handle = ext_pool_wrap_task(st, self->pool, rest);
        if (list != NULL
            && (handle == NULL || PyList_Append(list, handle) < 0)) {
            Py_CLEAR(list);
        }
        Py_XDECREF(handle);
        rest = next;
    }
    return list;
}

/* wait_chunk(timeout) -> (results, exception or None, rest, units, spent). */
static PyObject *
Task_wait_chunk(PyObject *op, PyTypeObject *cls, PyObject *const *args,
                Py_ssize_t nargs, PyObject *Py_UNUSED(kwnames))
{
    TaskObject *self = (TaskObject *)op;
    ext_state *st = ext_state_of_class(cls);
    bool ok;
    int mine = await_task(st, self, nargs > 0 ? args[0] : Py_None);
    if (mine < 0) {
        return NULL;
    }
    if (mine == 0) {
        PyErr_SetString(PyExc_RuntimeError, "this chunk was taken before");
        return NULL;
    }
    PyObject *value = ext_pool_outcome(st, self->pool, self->task, &ok);
    if (value == NULL) {
        PyObject *stop = PyErr_GetRaisedException();
        atoll_scheduler_give_back(self->pool->sched, self->task);
        PyErr_SetRaisedException(stop);
        return NULL;
    }
    PyObject *rest = take_rest(st, self);
    PyObject *error = Py_None;
    if (rest == NULL) {
        Py_XDECREF(value);
        return NULL;
    }
    if (!ok) {
        PyObject *before = Py_NewRef(PyTuple_GET_ITEM(value, 0));
        error = Py_NewRef(PyTuple_GET_ITEM(value, 1));
        Py_SETREF(value, before);
        return Py_BuildValue("(NNNId)", value, error, rest, self->task->units,
                             (double)self->task->spent / 1e9);
    }
    return Py_BuildValue("(NONId)", value, error, rest, self->task->units,
                         (double)self->task->spent / 1e9);
}

static PyObject *
Task_cancel(PyObject *op, PyObject *Py_UNUSED(args))
{
    TaskObject *self = (TaskObject *)op;
    if (self->task->quiet) {
        atoll_scheduler_drop(self->pool->sched, self->task);
        Py_RETURN_TRUE;
    }
    if (!atoll_scheduler_cancel(self->pool->sched, self->task)) {
        Py_RETURN_FALSE;
    }
    if (ext_pool_drop_future(self->pool, self->task) < 0) {
        return NULL;
    }
    Py_RETURN_TRUE;
}

static PyObject *
Task_cancelled(PyObject *op, PyObject *Py_UNUSED(args))
{
    TaskObject *self = (TaskObject *)op;
    return PyBool_FromLong(
        atoll_scheduler_is_cancelled(self->pool->sched, self->task));
}

static PyObject *
Task_running(PyObject *op, PyObject *Py_UNUSED(args))
{
    TaskObject *self = (TaskObject *)op;
    return PyBool_FromLong(
        atoll_scheduler_is_running(self->pool->sched, self->task));
}

/* pace() -> seconds a call took, or -1 if it is not known yet. */
static PyObject *
Task_pace(PyObject *op, PyObject *Py_UNUSED(args))
{
    TaskObject *self = (TaskObject *)op;
    double pace = -1;
    if (atoll_scheduler_is_done(self->pool->sched, self->task)
        && self->task->verdict == ATOLL_VERDICT_RAN && self->task->units > 0) {
        pace = (double)self->task->spent / 1e9 / self->task->units;
    }
    return PyFloat_FromDouble(pace);
}

/* Fails: -1 with an exception; else whether it runs. */
int
ext_pool_interrupt_task(atoll_scheduler *sched, atoll_task *task)
{
    atoll_interp *interp = NULL;
    uint64_t generation = 0;
    if (!atoll_scheduler_interrupt(sched, task, &interp, &generation)) {
        return 0;
    }
    int result = 1;
    if (generation != 0) {
        result = ext_interrupt_one(interp, generation) < 0 ? -1 : 1;
    }
    if (interp != NULL) {
        atoll_interp_release(interp);
    }
    return result;
}

static PyObject *
Task_interrupt(PyObject *op, PyObject *Py_UNUSED(args))
{
    TaskObject *self = (TaskObject *)op;
    int found = ext_pool_interrupt_task(self->pool->sched, self->task);
    return found < 0 ? NULL : PyBool_FromLong(found);
}

static PyObject *
Task_get_bytes(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromSize_t(((TaskObject *)op)->bytes);
}

static PyMethodDef Task_methods[] = {
    {"wait", (PyCFunction)(void (*)(void))Task_wait, POOL_FAST,
     PyDoc_STR("wait($self, timeout=None, /)\n--\n\n"
               "(ok, value or exception); None if somebody else has it.")},
    {"wait_chunk", (PyCFunction)(void (*)(void))Task_wait_chunk, POOL_FAST,
     PyDoc_STR("wait_chunk($self, timeout=None, /)\n--\n\n"
               "(results, exception or None, rest, calls, seconds).")},
    {"ready", (PyCFunction)(void (*)(void))Task_ready, POOL_FAST,
     PyDoc_STR("ready($self, timeout=None, /)\n--\n\n"
               "Whether a chunk is done, in time.")},
    {"cancel", Task_cancel, METH_NOARGS,
     PyDoc_STR("cancel($self, /)\n--\n\nDrop it if it waits.")},
    {"give_back", Task_give_back, METH_O,
     PyDoc_STR("give_back($self, future, /)\n--\n\nWhat wait() gave this "
               "thread is the collector's again.")},
    {"cancelled", Task_cancelled, METH_NOARGS,
     PyDoc_STR("cancelled($self, /)\n--\n\nWas it dropped?")},
    {"running", Task_running, METH_NOARGS,
     PyDoc_STR("running($self, /)\n--\n\nDoes it run just now?")},
    {"pace", Task_pace, METH_NOARGS,
     PyDoc_STR("pace($self, /)\n--\n\nSeconds a call took, or -1.")},
    {"interrupt", Task_interrupt, METH_NOARGS,
     PyDoc_STR("interrupt($self, /)\n--\n\nStop it; False: it does not "
               "run.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef Task_getset[] = {
    {"bytes", Task_get_bytes, NULL, PyDoc_STR("size of its arguments"), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot Task_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("A task of a pool.")},
    {Py_tp_traverse, Task_traverse},
    {Py_tp_dealloc, Task_dealloc},
    {Py_tp_methods, Task_methods},
    {Py_tp_getset, Task_getset},
    {0, NULL},
};

PyType_Spec ext_pool_task_spec = {
    .name = "atoll._core._Task",
    .basicsize = sizeof(TaskObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = Task_slots,
};
