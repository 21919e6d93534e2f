/* Not written yet. */
#include "transfer.h"

#include "module.h"

void
ext_pins_fini(ext_pins *Py_UNUSED(pins))
{
}

static int
not_yet(void)
{
    PyErr_SetString(PyExc_NotImplementedError, "encode.c");
    return -1;
}

int
ext_encode(ext_state *Py_UNUSED(st), PyObject *Py_UNUSED(obj),
           const char *Py_UNUSED(root), unsigned Py_UNUSED(flags),
           ext_pins *Py_UNUSED(pins), atoll_frame *Py_UNUSED(frame))
{
    return not_yet();
}

int
ext_encode_args(ext_state *Py_UNUSED(st), PyObject *const *Py_UNUSED(args),
                Py_ssize_t Py_UNUSED(nargs), PyObject *Py_UNUSED(kwnames),
                unsigned Py_UNUSED(flags), ext_pins *Py_UNUSED(pins),
                atoll_frame *Py_UNUSED(frame))
{
    return not_yet();
}

int
ext_transfer_register(ext_state *Py_UNUSED(st), PyTypeObject *Py_UNUSED(type),
                      const ext_crossing *Py_UNUSED(crossing))
{
    return 0;
}

int
ext_is_shareable(ext_state *Py_UNUSED(st), PyObject *Py_UNUSED(obj))
{
    return not_yet();
}

static int
transfer_exec(PyObject *Py_UNUSED(module), ext_state *Py_UNUSED(st))
{
    return 0;
}

const ext_part ext_transfer_part = {.id = EXT_PART_TRANSFER,
                                    .exec = transfer_exec};
