/* The object by which Python holds an ext_call. */
#ifndef ATOLL_EXT_CALL_TYPE_H
#define ATOLL_EXT_CALL_TYPE_H

#include "interrupt.h"

/* A new name for one call in interp.  New reference, NULL with MemoryError. */
PyObject *
ext_call_new(ext_state *st, atoll_interp *interp);

/* The call of such an object, not used before.  Fails: NULL with TypeError
 * or RuntimeError. */
ext_call *
ext_call_of(ext_state *st, PyObject *op, atoll_interp *interp);

#endif
