/* Not written yet. */
#include "transfer.h"

#include "module.h"

static int
transfer_exec(PyObject *Py_UNUSED(module), ext_state *Py_UNUSED(st))
{
    return 0;
}

const ext_part ext_transfer_part = {.id = EXT_PART_TRANSFER,
                                    .exec = transfer_exec};
