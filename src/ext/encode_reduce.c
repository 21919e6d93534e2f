/* Objects to frames: what is not native. */
#include "transfer_impl.h"

int
enc_other(encoder *e, PyObject *obj)
{
    PyErr_Format(PyExc_TypeError, "cannot send '%s' yet",
                 Py_TYPE(obj)->tp_name);
    return enc_fail(e, obj);
}
