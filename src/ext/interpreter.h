/* The Interpreter type, for those who make handles. */
#ifndef ATOLL_EXT_INTERPRETER_H
#define ATOLL_EXT_INTERPRETER_H

#include "attach.h"

/* The handle to interp in this interpreter: one per id.  New reference, or
 * NULL with an exception. */
PyObject *
ext_interpreter_handle(ext_state *st, atoll_interp *interp);

/* Borrowed. */
PyTypeObject *
ext_interpreter_type(ext_state *st);

/* The record of a handle (op is one); borrowed from it. */
atoll_interp *
ext_interpreter_record(PyObject *op);

/* interpreter_functions.c */
extern PyMethodDef ext_interpreter_functions[];

#endif
