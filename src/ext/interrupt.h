/* Interruption: deadlines, interrupt(), Ctrl-C. */
#ifndef ATOLL_EXT_INTERRUPT_H
#define ATOLL_EXT_INTERRUPT_H

#include "attach.h"

/* None: -1.0 (no deadline); a number of seconds, finite or inf, not NaN.
 * Fails: -1 with TypeError or ValueError. */
int
ext_interrupt_parse_timeout(PyObject *value, const char *name, double *out);

/* interp.interrupt(exc): True or False.  exc: NULL for Interrupted. */
PyObject *
ext_interrupt_call(ext_state *st, atoll_interp *interp, PyObject *exc);

/* The same for exactly the call of this generation, with Interrupted.
 * Fails: -1 with an exception; else whether it runs. */
int
ext_interrupt_one(atoll_interp *interp, uint64_t generation);

/* close(interrupt=True): interrupts what runs in interp and waits for it up
 * to `seconds` (negative: for ever).  Fails: -1, by a signal handler or bad
 * luck; that something still runs is not its failure. */
int
ext_interrupt_for_close(ext_state *st, atoll_interp *interp, double seconds);

/* Starts the deadline of the running call of visit; `timeout` in seconds.
 * Attached: to visit->interp.  Fails: -1 with an exception. */
int
ext_interrupt_arm(ext_visit *visit, double timeout);

/* What is raised in this visit's interpreter from now on is not for its call:
 * the call is over, only its outcome is left to be told.
 * Attached: to visit->interp. */
void
ext_interrupt_seal(ext_visit *visit);

/* The process is ending: threads that are stopped for that leave silently. */
extern atomic_bool ext_interrupt_exiting;

/* Around fork.  Before it the helper thread is ended, so that CPython does
 * not warn of a thread that the program does not know; it is started again
 * when it is needed. */
void
ext_interrupt_before_fork(void);
void
ext_interrupt_parent_after_fork(void);
void
ext_interrupt_after_fork(void);

/* Was `error` (or the lack of one) the doing of an interruption? */
void
ext_interrupt_outcome(ext_visit *visit, PyObject *error,
                      bool *out_interrupted, bool *out_timed_out);

#endif
