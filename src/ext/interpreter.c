/* Not written yet. */
#include "module.h"

static int
interpreter_exec(PyObject *Py_UNUSED(module), ext_state *Py_UNUSED(st))
{
    return 0;
}

const ext_part ext_interpreter_part = {.id = EXT_PART_INTERPRETER, .exec = interpreter_exec};
