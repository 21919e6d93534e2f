/* Not written yet. */
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

static int
function_exec(PyObject *Py_UNUSED(module), ext_state *Py_UNUSED(st))
{
    return 0;
}

const ext_part ext_function_part = {.id = EXT_PART_FUNCTION,
                                    .exec = function_exec};
