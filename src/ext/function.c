/* See function.h. */
#include "function.h"

#include "module.h"

int
ext_function_define(ext_state *Py_UNUSED(st), PyObject *Py_UNUSED(obj),
                    atoll_def **Py_UNUSED(out_def))
{
    return 0;
}

PyObject *
ext_function_resolve(ext_state *Py_UNUSED(st), atoll_def *Py_UNUSED(def))
{
    PyErr_SetString(PyExc_NotImplementedError, "function.c");
    return NULL;
}

/* ---- for atoll/_byvalue.py and atoll/_rebuild.py ---- */

static PyObject *
core_unique_id(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    return PyLong_FromUnsignedLongLong(atoll_unique_id());
}

static PyObject *
core_home(PyObject *module, PyObject *Py_UNUSED(unused))
{
    return PyLong_FromLongLong(ext_state_of_module(module)->self->id);
}

/* Whether the interpreter with this id is there still. */
static PyObject *
core_is_alive(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(arg))
{
    Py_RETURN_TRUE;
}

static PyMethodDef function_methods[] = {
    {"_unique_id", core_unique_id, METH_NOARGS, NULL},
    {"_home", core_home, METH_NOARGS, NULL},
    {"_is_alive", core_is_alive, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static int
function_exec(PyObject *module, ext_state *Py_UNUSED(st))
{
    return PyModule_AddFunctions(module, function_methods);
}

const ext_part ext_function_part = {.id = EXT_PART_FUNCTION,
                                    .exec = function_exec};
