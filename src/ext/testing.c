/* What tests reach and users do not: failing allocations, how much of each
 * kind is alive in the process, and how long probes are waited for.
 *
 * To make allocations fail, or to change that patience, is refused unless the
 * environment has ATOLL_TESTING: both are process-wide, and whoever calls
 * them by mistake would find errors in code that has none.
 */
#include "module.h"
#include "probe.h"

#include "../core/block.h"
#include "../core/queue.h"
#include "../core/scheduler.h"
#include "../core/sync.h"

#include <stdlib.h>

/* Fails: -1, an exception. */
static int
check_testing(const char *name)
{
    if (getenv("ATOLL_TESTING") == NULL) {
        PyErr_Format(PyExc_RuntimeError,
                     "%s() is for tests: it needs ATOLL_TESTING in the "
                     "environment",
                     name);
        return -1;
    }
    return 0;
}

static PyObject *
core_fail_allocation(PyObject *Py_UNUSED(module), PyObject *args)
{
    unsigned long long number;
    int sticky = 0;
    if (!PyArg_ParseTuple(args, "K|p", &number, &sticky)
        || check_testing("_fail_allocation") < 0) {
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(
        atoll_fail_allocation(number, sticky != 0));
}

static PyObject *
core_probe_patience(PyObject *Py_UNUSED(module), PyObject *arg)
{
    double seconds = PyFloat_AsDouble(arg);
    if ((seconds == -1.0 && PyErr_Occurred())
        || check_testing("_probe_patience") < 0) {
        return NULL;
    }
    return PyFloat_FromDouble(
        (double)ext_probe_set_patience((int64_t)(seconds * 1e9)) / 1e9);
}

static PyObject *
core_alive(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return Py_BuildValue("{sLsKsKsKsK}", "allocations",
                         (long long)atoll_allocations_in_use(), "queues",
                         (unsigned long long)atoll_queue_live(), "blocks",
                         (unsigned long long)atoll_block_live(), "primitives",
                         (unsigned long long)atoll_sync_live(), "tasks",
                         (unsigned long long)atoll_task_live());
}

static PyMethodDef functions[] = {
    {"_fail_allocation", core_fail_allocation, METH_VARARGS,
     PyDoc_STR("_fail_allocation(n, sticky=False): the n-th allocation of "
               "the core from now fails; returns the number made since the "
               "last call.")},
    {"_probe_patience", core_probe_patience, METH_O,
     PyDoc_STR("_probe_patience(seconds, /): how long an interpreter whose "
               "GIL is kept is waited for; returns how long it was.")},
    {"_alive", core_alive, METH_NOARGS,
     PyDoc_STR("What there is in the process: queues, blocks, primitives of "
               "atoll.sync, tasks of pools; allocations in use since the "
               "first _fail_allocation().")},
    {NULL, NULL, 0, NULL},
};

static int
testing_exec(PyObject *module, ext_state *st)
{
    st->parts[EXT_PART_TESTING] = st; /* it has nothing of its own */
    return PyModule_AddFunctions(module, functions);
}

static int
testing_traverse(ext_state *Py_UNUSED(st), visitproc Py_UNUSED(visit),
                 void *Py_UNUSED(arg))
{
    return 0;
}

static void
testing_clear(ext_state *Py_UNUSED(st))
{
}

static void
testing_free(ext_state *st)
{
    st->parts[EXT_PART_TESTING] = NULL;
}

const ext_part ext_testing_part = {
    .id = EXT_PART_TESTING,
    .exec = testing_exec,
    .traverse = testing_traverse,
    .clear = testing_clear,
    .free = testing_free,
};
