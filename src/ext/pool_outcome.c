/* Outcomes of tasks become values and exceptions, at home. */
#include "pool_impl.h"

/* After a failure: true if this thread was told to stop (Ctrl-C, say), which
 * is set then; false if it is something else, which is cleared. */
static bool
is_stopped(void)
{
    if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception)) {
        return true;
    }
    PyErr_Clear();
    return false;
}

/* Calls atoll._pool.failure(kind, parts, error, broken).  Owns: takes over
 * parts and error (NULL: did not cross).  New reference: an exception; NULL:
 * is_stopped. */
static PyObject *
make_failure(ext_state *st, PoolObject *pool, const char *kind,
             PyObject *parts, PyObject *error)
{
    pool_part *part = ext_pool_part_of(st);
    PyObject *made = NULL;
    if (part->failure == NULL) {
        part->failure = ext_state_python("atoll._pool", "failure");
    }
    if (part->failure != NULL) {
        made = PyObject_CallFunction(
            part->failure, "sOOO", kind, parts != NULL ? parts : Py_None,
            error != NULL ? error : Py_None,
            pool->broken != NULL ? pool->broken : Py_None);
    }
    Py_XDECREF(parts);
    Py_XDECREF(error);
    if (made == NULL && PyErr_ExceptionMatches(PyExc_Exception)) {
        made = PyErr_GetRaisedException(); /* out of memory, say */
    }
    return made;
}

/* New reference; NULL without an exception: it is not there, or cannot be
 * rebuilt; NULL with one: is_stopped. */
static PyObject *
decode_extra(ext_state *st, const atoll_task *task, size_t i)
{
    if (task->extra[i] == NULL) {
        return NULL;
    }
    PyObject *value = ext_decode(st, task->extra[i]);
    if (value == NULL) {
        (void)is_stopped();
    }
    return value;
}

static PyObject *
decode_failure(ext_state *st, PoolObject *pool, const atoll_task *task)
{
    static const char *const kinds[] = {
        [POOL_FAILED] = "failed",
        [POOL_UNSHARED] = "unshared",
        [POOL_INTERRUPTED] = "interrupted",
        [POOL_TIMED_OUT] = "timed out",
    };
    if (task->verdict == ATOLL_VERDICT_BROKEN) {
        return make_failure(st, pool, "broken", NULL, NULL);
    }
    if (task->verdict == ATOLL_VERDICT_CANCELLED) {
        return make_failure(st, pool, "cancelled", NULL, NULL);
    }
    if (task->verdict == ATOLL_VERDICT_GIVEN_UP) {
        return make_failure(st, pool, task->late ? "late" : "stuck", NULL,
                            NULL);
    }
    PyObject *parts = decode_extra(st, task, 0);
    PyObject *error = PyErr_Occurred() ? NULL : decode_extra(st, task, 1);
    if (PyErr_Occurred()) {
        Py_XDECREF(parts);
        return NULL;
    }
    if (error != NULL && !PyExceptionInstance_Check(error)) {
        Py_CLEAR(error);
    }
    return make_failure(st, pool, kinds[task->outcome], parts, error);
}

static PyObject *
decode_value(ext_state *st, const atoll_task *task)
{
    return task->outcome == POOL_NONE ? Py_NewRef(Py_None)
                                      : ext_decode(st, &task->frame);
}

PyObject *
ext_pool_outcome(ext_state *st, PoolObject *pool, atoll_task *task,
                 bool *out_ok)
{
    bool ran = task->verdict == ATOLL_VERDICT_RAN;
    bool chunk = task->kind == POOL_CHUNK || task->kind == POOL_STAR;
    PyObject *value = NULL;
    *out_ok = ran && task->outcome <= POOL_VALUE;
    if (*out_ok) {
        value = decode_value(st, task);
        if (value != NULL || !PyErr_ExceptionMatches(PyExc_Exception)) {
            return value;
        }
        /* It cannot be rebuilt here: an exception like any other. */
        *out_ok = false;
        value = PyErr_GetRaisedException();
    }
    else {
        value = decode_failure(st, pool, task);
    }
    if (value == NULL || !chunk) {
        return value;
    }
    PyObject *before = NULL;
    if (ran && task->frame.len > 0 && task->outcome > POOL_VALUE) {
        before = ext_decode(st, &task->frame);
        if (before == NULL && is_stopped()) {
            Py_DECREF(value);
            return NULL;
        }
    }
    if (before == NULL) {
        before = PyList_New(0);
    }
    PyObject *pair = before == NULL ? NULL : PyTuple_Pack(2, before, value);
    Py_XDECREF(before);
    Py_DECREF(value);
    return pair;
}
