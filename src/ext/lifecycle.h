/* How interpreters end. */
#ifndef ATOLL_EXT_LIFECYCLE_H
#define ATOLL_EXT_LIFECYCLE_H

#include "attach.h"

/* Ends the interpreter: joins its threads, runs its atexit functions, clears
 * the kept states, ends it.
 * Attached: to another interpreter than it.  Runs Python in it.
 * Fails: -1 with InterpreterError (running, current, main, threads that will
 * not end), InterpreterNotFoundError, or what a signal handler raised. */
int
ext_lifecycle_close(ext_state *st, atoll_interp *interp);

/* The same, but its threads are waited for no longer than until deadline;
 * an interpreter that is closing already is taken on where it stands. */
int
ext_lifecycle_close_by(ext_state *st, atoll_interp *interp, int64_t deadline);

/* Interrupts what runs in it, lets no other call begin, and closes it, until
 * deadline at the latest: close(interrupt=True). */
int
ext_lifecycle_stop_and_close(ext_state *st, atoll_interp *interp,
                             int64_t deadline);

/* The main interpreter and the caller's own are never closed: asked before
 * anything in them is interrupted, too.  Fails: -1 with InterpreterError. */
int
ext_lifecycle_check_closable(ext_state *st, const atoll_interp *interp);

/* Set by close_callback.c, which stands above: called when an interpreter is
 * closed, once or twice.  Attached: anywhere, without any lock.
 * Fails: -1 with what is no Exception (Ctrl-C). */
extern int (*ext_lifecycle_on_closed)(ext_state *st, atoll_interp *interp);

/* In the child after fork: nothing waits to be ended. */
void
ext_lifecycle_after_fork(void);

/* A handle went away: the last one of an interpreter of atoll's closes it, at
 * the next safe moment.  True if it was the last one.  Any thread with a
 * thread state, under the core's locks too. */
bool
ext_lifecycle_drop_handle(atoll_interp *interp);

/* Ends what waits to be ended.  An exception that is set stays.  Attached:
 * anywhere but in one of them.  Fails: -1 with what is no Exception (Ctrl-C
 * while it waited). */
int
ext_lifecycle_reap(ext_state *st);

/* Is there anything to reap?  Cheap. */
bool
ext_lifecycle_must_reap(void);

#endif
