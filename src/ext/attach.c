/* Not written yet. */
#include "module.h"

static int
attach_exec(PyObject *Py_UNUSED(module), ext_state *Py_UNUSED(st))
{
    return 0;
}

const ext_part ext_attach_part = {.id = EXT_PART_ATTACH, .exec = attach_exec};
