/* What the files of interruption share: interrupt.c marks and raises,
 * interrupt_helper.c keeps the time, interrupt_signals.c carries signals to
 * the main thread. */
#ifndef ATOLL_EXT_INTERRUPT_IMPL_H
#define ATOLL_EXT_INTERRUPT_IMPL_H

#include "interrupt.h"

#define EXT_MS 1000000LL

/* --- interrupt_helper.c ----------------------------------------------------- */

/* Starts the helper thread if it does not run.  Any thread.
 * Fails: -1, errno set. */
int
ext_helper_start(void);

/* _PyEval_AddPendingCall, but not while a fork is on its way.  interp stays:
 * the caller visits it.  It may wait until a thread of interp gets its GIL:
 * CPython 3.13 and later hand the lock of the pending calls on to a thread
 * that waits for its GIL then.
 * Attached: to none, for else that GIL would be given back and taken again in
 * here, however short this looks.  Locks: none that any attached thread takes.
 * Fails: -1 (the queue is full, a fork): to be tried again shortly. */
int
ext_helper_add_pending(PyInterpreterState *interp, int (*func)(void *),
                       void *arg);

/* The pending calls that the helper adds for others. */
typedef enum ext_post {
    EXT_POST_TELL = 1,    /* ext_interrupt_post */
    EXT_POST_MEASURE = 2, /* ext_limits_post */
} ext_post;

/* Has the helper thread add it soon; asked for twice meanwhile, once.
 * Locks: interp's, whose end has not begun: it stays for the helper; rings it.
 * Any thread. */
void
ext_helper_post(atoll_interp *interp, ext_post what);
/* On the helper thread, which visits interp. */
void
ext_interrupt_post(atoll_interp *interp);
void
ext_limits_post(atoll_interp *interp);

/* Guards every visit's timer.  Taken before a record's lock. */
void
ext_helper_lock(void);
void
ext_helper_unlock(void);

/* Calls ext_interrupt_fire for the visit at the time `at`; a visit has one
 * timer, the last that was set.  Locks: the helper's. */
void
ext_helper_set_timer(ext_visit *visit, int64_t at);
/* Takes the visit's timer back.  Locks: takes the helper's. */
void
ext_helper_clear_timer(ext_visit *visit);

/* --- interrupt.c ------------------------------------------------------------ */

typedef struct ext_request {
    atoll_frame *error; /* borrowed; NULL: Interrupted */
    bool timed_out;
} ext_request;

/* Marks the running call of interp, if it is `generation` (0: any), and the
 * calls that were made from inside it.  Returns whether there was one.
 * Locks: the helper's. */
bool
ext_interrupt_locked(atoll_interp *interp, uint64_t generation,
                     const ext_request *what);

/* Is the thread of `tstate` just now in a function of importlib's own?  It takes
 * and gives back the locks of imports there, and an exception between taking
 * one and the `try` after it leaves the lock taken for ever: every later import
 * of that interpreter, its end included, would hang.  Those functions are short;
 * the modules that they run are other code.
 * Attached: to tstate's interpreter. */
bool
ext_interrupt_imports(PyThreadState *tstate);

/* Has the thread of `t` come to its own code?  Before, an exception that ends it
 * would leave threading.Thread.start(), elsewhere, waiting in C for ever, or a
 * lock of threading's taken. */
typedef enum ext_begun {
    EXT_BEGUN,
    EXT_BEGUN_UNKNOWN, /* it runs no Python: not yet, or it is in C */
    EXT_BEGUN_NOT,
} ext_begun;

/* Attached: to t's interpreter. */
ext_begun
ext_interrupt_begun(PyThreadState *t);

/* The timer of a visit is due: its deadline, or it is looked after once more.
 * Locks: the helper's. */
void
ext_interrupt_fire(ext_visit *visit, int64_t now);

/* Raises what the call of visit was told by a mark, if there is one.
 * Attached: to visit->interp.  -1: raised. */
int
ext_interrupt_take_mark(ext_visit *visit);

/* --- interrupt_signals.c ---------------------------------------------------- */

/* The helper's share of the work: called whenever it is awake.  Returns when
 * it is to be called again at the latest. */
int64_t
ext_signals_look(void);

/* Runs the handlers of signals that came, on the main thread, wherever it is.
 * Fails: -1 with an exception set in the interpreter at hand. */
int
ext_signals_run(void);

/* The hooks in attach.h, and what is left of a parent after fork. */
void
ext_signals_open(void);
void
ext_signals_after_fork(void);

#endif
