/* What the methods of queues take, and what they raise. */
#include "queue_impl.h"

#include <math.h>

PyObject *
queue_load(ext_state *st, queue_python which)
{
    static const char *const places[QUEUE_PY_COUNT][2] = {
        [QUEUE_PY_UNBOUND] = {"atoll._queues", "UNBOUND"},
        [QUEUE_PY_UNBOUND_ERROR] = {"atoll._queues", "UNBOUND_ERROR"},
        [QUEUE_PY_UNBOUND_REMOVE] = {"atoll._queues", "UNBOUND_REMOVE"},
        [QUEUE_PY_ITEM_ERROR] = {"atoll._queues", "QueueItemError"},
        [QUEUE_PY_AGET] = {"atoll._queues_aio", "aget"},
        [QUEUE_PY_APUT] = {"atoll._queues_aio", "aput"},
        [QUEUE_PY_AITER] = {"atoll._queues_aio", "AsyncIterator"},
    };
    PyObject **slot = &queue_part_of(st)->python[which];
    if (*slot == NULL) {
        PyObject *found = ext_state_python(places[which][0], places[which][1]);
        if (*slot == NULL) {
            *slot = found;
        }
        else {
            Py_XDECREF(found); /* another thread was as quick */
        }
    }
    return *slot;
}

/* Where the keyword belongs, or -1 with TypeError. */
static int
find_name(const queue_signature *signature, PyObject *keyword)
{
    for (int i = 0; signature->names[i] != NULL; i++) {
        if (PyUnicode_CompareWithASCIIString(keyword, signature->names[i])
            == 0) {
            return i;
        }
    }
    PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument %R",
                 signature->function, keyword);
    return -1;
}

int
queue_parse(const queue_signature *signature, PyObject *const *args,
            Py_ssize_t nargs, PyObject *kwnames, PyObject **values)
{
    if (nargs > signature->positional) {
        PyErr_Format(PyExc_TypeError,
                     "%s() takes at most %d positional argument%s (%zd "
                     "given)",
                     signature->function, signature->positional,
                     signature->positional == 1 ? "" : "s", nargs);
        return -1;
    }
    for (int i = 0; i < QUEUE_MAX_ARGS; i++) {
        values[i] = i < nargs ? args[i] : NULL;
    }
    Py_ssize_t nkw = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t k = 0; k < nkw; k++) {
        int i = find_name(signature, PyTuple_GET_ITEM(kwnames, k));
        if (i < 0) {
            return -1;
        }
        if (values[i] != NULL) {
            PyErr_Format(PyExc_TypeError,
                         "%s() got multiple values for argument '%s'",
                         signature->function, signature->names[i]);
            return -1;
        }
        values[i] = args[nargs + k];
    }
    for (int i = 0; i < signature->required; i++) {
        if (values[i] == NULL) {
            PyErr_Format(PyExc_TypeError,
                         "%s() missing required argument '%s'",
                         signature->function, signature->names[i]);
            return -1;
        }
    }
    return 0;
}

/* Seconds; what no float can hold is infinite. */
static double
seconds_of(PyObject *timeout)
{
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds != -1.0 || !PyErr_Occurred()) {
        return seconds;
    }
    if (PyErr_ExceptionMatches(PyExc_OverflowError) && PyLong_Check(timeout)) {
        PyErr_Clear();
        int overflow = 0;
        (void)PyLong_AsLongAndOverflow(timeout, &overflow);
        return overflow < 0 ? -(double)INFINITY : (double)INFINITY;
    }
    return -1.0;
}

int
queue_deadline(PyObject *block, PyObject *timeout, int64_t *out_deadline)
{
    int waits = block == NULL ? 1 : PyObject_IsTrue(block);
    if (waits < 0) {
        return -1;
    }
    if (!waits) {
        *out_deadline = 0;
        return 0;
    }
    if (timeout == NULL || timeout == Py_None) {
        *out_deadline = ATOLL_FOREVER;
        return 0;
    }
    double seconds = seconds_of(timeout);
    if (PyErr_Occurred()) {
        return -1;
    }
    if (!(seconds >= 0)) {
        PyErr_SetString(PyExc_ValueError,
                        isnan(seconds)
                            ? "'timeout' must not be NaN"
                            : "'timeout' must be a non-negative number");
        return -1;
    }
    *out_deadline = atoll_deadline_after(seconds);
    return 0;
}

int
queue_policy(ext_state *st, PyObject *value, atoll_unbound other,
             atoll_unbound *out_policy)
{
    static const struct {
        queue_python object;
        atoll_unbound policy;
    } policies[] = {
        {QUEUE_PY_UNBOUND, ATOLL_UNBOUND_REPLACE},
        {QUEUE_PY_UNBOUND_ERROR, ATOLL_UNBOUND_ERROR},
        {QUEUE_PY_UNBOUND_REMOVE, ATOLL_UNBOUND_REMOVE},
    };
    if (value == NULL || value == Py_None) {
        *out_policy = other;
        return 0;
    }
    for (int i = 0; i < 3; i++) {
        PyObject *object = queue_load(st, policies[i].object);
        if (object == NULL) {
            return -1;
        }
        if (object == value) {
            *out_policy = policies[i].policy;
            return 0;
        }
    }
    PyErr_Format(PyExc_NotImplementedError,
                 "unsupported unbound replacement op %R", value);
    return -1;
}

PyObject *
queue_fail(ext_state *st, atoll_queue *queue, atoll_status status)
{
    unsigned long long id = queue == NULL ? 0 : atoll_queue_id(queue);
    switch (status) {
    case ATOLL_E_INTERRUPTED:
        return NULL;
    case ATOLL_E_EMPTY:
        return ext_error_format(st, EXT_ERR_QUEUE_EMPTY, "queue %llu is empty",
                                id);
    case ATOLL_E_FULL:
        return ext_error_format(st, EXT_ERR_QUEUE_FULL, "queue %llu is full",
                                id);
    case ATOLL_E_SHUTDOWN:
        return ext_error_format(st, EXT_ERR_QUEUE_SHUT_DOWN,
                                "queue %llu is shut down", id);
    case ATOLL_E_CLOSED:
        PyErr_SetString(PyExc_RuntimeError, "Event loop is closed");
        return NULL;
    default:
        return ext_error_from_status(st, status, "queue");
    }
}
