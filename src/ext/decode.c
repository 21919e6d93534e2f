/* Not written yet. */
#include "transfer.h"

PyObject *
ext_decode(ext_state *Py_UNUSED(st), const atoll_frame *Py_UNUSED(frame))
{
    PyErr_SetString(PyExc_NotImplementedError, "decode.c");
    return NULL;
}

int
ext_decode_args(ext_state *Py_UNUSED(st), const atoll_frame *Py_UNUSED(frame),
                ext_args *Py_UNUSED(out_args))
{
    PyErr_SetString(PyExc_NotImplementedError, "decode.c");
    return -1;
}

void
ext_args_fini(ext_args *Py_UNUSED(args))
{
}
