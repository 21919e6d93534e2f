/* Running code in an interpreter: exec, call, and what stops them. */
#ifndef ATOLL_EXT_RUN_H
#define ATOLL_EXT_RUN_H

#include "attach.h"

/* Calls args[0] with the rest, in the vectorcall layout, in interp; `timeout`
 * in seconds, or a negative number for none; `call` names it, or is NULL.
 * Attached: to the caller's interpreter.  New reference, or NULL with an
 * exception: ExecutionFailed and its kinds for what was raised inside. */
PyObject *
ext_run_call(ext_state *st, atoll_interp *interp, PyObject *const *args,
             Py_ssize_t nargs, PyObject *kwnames, double timeout,
             struct ext_call *call);

/* Runs text, a code object or a function of no arguments in the __main__ of
 * interp.  None, or NULL with an exception. */
PyObject *
ext_run_exec(ext_state *st, atoll_interp *interp, PyObject *code, bool dedent,
             double timeout, struct ext_call *call);

/* Binds the items of a dict in the __main__ of interp, all or none. */
PyObject *
ext_run_prepare(ext_state *st, atoll_interp *interp, PyObject *ns);

/* The interpreter of st is about to end.  CPython lets its __main__ go first,
 * so that finalizers still find the globals that they use; unless somebody
 * keeps that namespace.  Attached: to that interpreter.  May run Python. */
void
ext_run_let_main_go(ext_state *st);

/* For waits of atoll's that were interrupted: lets Ctrl-C and interrupt()
 * act.  Returns 0: nothing, wait on; -1: an exception is set.
 * Attached: to the caller's interpreter.  Runs Python (signal handlers). */
int
ext_run_check(ext_state *st);

#endif
