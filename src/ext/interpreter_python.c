/* Methods of Interpreter that are written in Python: each calls a function of
 * the same kind with the handle as its first argument.  The module is imported
 * at the first use, so most interpreters never load it. */
#include "interpreter_impl.h"

#include <string.h>

/* Calls module.name(op, *args, **kwargs). */
static PyObject *
call_python(const char *module, const char *name, PyObject *op,
            PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *func = ext_state_python(module, name);
    if (func == NULL) {
        return NULL;
    }
    Py_ssize_t nkw = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    PyObject **all = PyMem_Malloc(sizeof(*all) * (size_t)(nargs + nkw + 1));
    PyObject *result = NULL;
    if (all == NULL) {
        PyErr_NoMemory();
    }
    else {
        all[0] = op;
        memcpy(all + 1, args, sizeof(*all) * (size_t)(nargs + nkw));
        result = PyObject_Vectorcall(func, all, (size_t)nargs + 1, kwnames);
    }
    PyMem_Free(all);
    Py_DECREF(func);
    return result;
}

#define IN_PYTHON(method, module, name)                             \
    PyObject *method(PyObject *op, PyTypeObject *Py_UNUSED(cls),    \
                     PyObject *const *args, Py_ssize_t nargs,       \
                     PyObject *kwnames)                             \
    {                                                               \
        return call_python(module, name, op, args, nargs, kwnames); \
    }

IN_PYTHON(Interpreter_call_in_thread, "atoll._threads", "call_in_thread")
IN_PYTHON(Interpreter_options, "atoll._threads", "Options")
IN_PYTHON(Interpreter_exit, "atoll._threads", "leave_block")
IN_PYTHON(Interpreter_limits, "atoll._limits", "limits")
IN_PYTHON(Interpreter_stats, "atoll._inspect", "stats")
IN_PYTHON(Interpreter_stacks, "atoll._inspect", "stacks")
IN_PYTHON(Interpreter_add_close_callback, "atoll._closing",
          "add_close_callback")
