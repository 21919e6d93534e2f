/* Functions, classes and other named things, by reference or by value.
 *
 * The sender turns such an object into a definition (core/def.h) once, checks
 * cheaply at each later use that it still holds (code, defaults, closure
 * cells and the globals that it uses are the same objects), and the receiver
 * turns a definition into an object once.  How a function or class is taken
 * apart and put together again is in atoll/_byvalue.py.
 */
#ifndef ATOLL_EXT_FUNCTION_H
#define ATOLL_EXT_FUNCTION_H

#include "state.h"
#include "../core/def.h"

/* The definition of obj.
 * Attached: sender.  Owns: *out_def is a new reference.
 * Returns 1; 0 if obj is no named thing (then it crosses some other way); -1
 * with an exception (NotShareableError chains the cause). */
int
ext_function_define(ext_state *st, PyObject *obj, atoll_def **out_def);

/* The same if obj has a definition and it still holds: the common case, in
 * which nothing is built and no Python code runs.  NULL: it is not known; no
 * exception is set. */
atoll_def *
ext_function_known(ext_state *st, PyObject *obj);

/* The object that def describes, here.  New reference, or NULL with an
 * exception.
 * Attached: receiver. */
PyObject *
ext_function_resolve(ext_state *st, atoll_def *def);

#endif
