/* Entering another interpreter from the thread at hand, and coming back.
 *
 * A visit swaps the OS thread from its present thread state (the outer one)
 * to one that is kept for this thread in the target, and back.  Visits nest:
 * main into A into B is a stack, whose top `ext_attach_top` gives.  Only
 * threads that have a thread state may visit.
 */
#ifndef ATOLL_EXT_ATTACH_H
#define ATOLL_EXT_ATTACH_H

#include "state.h"

typedef struct ext_visit {
    struct ext_visit *below; /* the visit that was entered before, or NULL */
    atoll_interp *interp;    /* where it is; owned by whoever entered */
    atoll_kept *kept;        /* the state in use, NULL: one already in use
                               * by an outer visit, or by the thread itself */
    PyThreadState *inner;    /* the state in the target */
    PyThreadState *outer;    /* the state to go back to */
    ext_state *outer_state;  /* atoll's state there */
    ext_state *state;        /* atoll's state in the target */
    bool run;                /* has the slot of the running call */
    bool marked;             /* has CPython's mark that __main__ runs */
    bool suspended;          /* the thread is back in the outer state */
    uint64_t generation;     /* of that call */
    bool settled; /* the interpreter is set up: what is told to the call
                   * reaches its code [interp's lock] */
    /* Interruption (interrupt.c): guarded by interp->lock unless said
     * otherwise. */
    atoll_parker *parker;    /* where the thread would sleep */
    struct ext_visit *above; /* a call made from inside this one, or NULL */
    struct ext_call *call;   /* its name, or NULL */
    struct ext_guard *guard; /* its limits, or NULL; its own thread's */
    bool interrupted;        /* somebody interrupted this very call */
    bool timed_out;          /* it was its deadline */
    atomic_bool deliver;     /* it has not been told yet */
    atoll_frame *error;      /* what to raise; NULL: Interrupted; owned */
    /* Its timer (interrupt_helper.c) [the helper's lock]. */
    bool armed;
    struct ext_visit *timer_prev;
    struct ext_visit *timer_next;
    int64_t timer_at;
    int64_t pause;    /* until it is looked after again; 0: the deadline */
    int64_t patience; /* how long it has had to clean up */
    bool patient;     /* it is cleaning up */
    /* Only the thread itself. */
    atoll_cpu_clock *clock; /* of the thread */
    atoll_span span;        /* the call's time */
    bool failed;            /* the call ended by an exception */
    /* Only the thread itself, attached to interp. */
    PyObject *told; /* the exception by which it was told; owned */
    bool running;   /* what was called runs, not atoll around it */
    int64_t waits; /* since when what it is to be told cannot be built, or 0 */
    bool owed;     /* it was told while it did not: whatever became of that
                     * exception, the call is interrupted */
    /* Only the thread itself, attached to the outer interpreter. */
    PyObject *outer_error; /* raised there by a signal handler: overrides
                               * the outcome */
    bool signalled;        /* a handler further out raised: this call was
                               * ended by KeyboardInterrupt for that */
} ext_visit;

/* How to enter. */
#define EXT_VISIT_RUN 1u    /* take the slot of the running call */
#define EXT_VISIT_CLOSER 2u /* the caller has marked it closing */

/* Is it there still?  Somebody else (the standard module) may have ended an
 * interpreter in which atoll was never loaded, and which therefore could not
 * tell: its record is GONE from here on.  Attached: to any interpreter. */
bool
ext_attach_is_there(atoll_interp *interp);

/* Enters interp.  RUN: take the slot of the running call, and mark the
 * interpreter as running its __main__, as the standard module does.
 * Attached: to st's interpreter; to interp's on success.
 * Owns: visit, in the caller's frame, until leave.
 * Fails: -1 with an exception in the outer interpreter (InterpreterError,
 * MemoryError, RecursionError); nothing changed. */
int
ext_attach_enter(ext_state *st, atoll_interp *interp, unsigned flags,
                 ext_visit *visit);

/* Goes back.  An exception set in the target is dropped: take it first.
 * Attached: to visit->interp; to the outer one afterwards. */
void
ext_attach_leave(ext_visit *visit);

/* For a thread that stays inside (a pool's worker): the call that ran is over,
 * and leaves nothing behind; then another one begins, with a generation of its
 * own.  What is meant for one never hits the other; in between there is
 * nothing to interrupt.  An exception that is set is dropped.
 * Attached: to visit->interp. */
void
ext_attach_end_call(ext_visit *visit);
void
ext_attach_begin_call(ext_visit *visit);

/* Goes back after the target was ended (its state is no more).
 * Attached: to nothing; to the outer interpreter afterwards. */
void
ext_attach_leave_ended(ext_visit *visit);

/* Back to the outer interpreter for a moment, the call's slot kept, and in
 * again.  Only for the innermost visit.
 * Attached: to visit->interp before suspend and after resume. */
void
ext_attach_suspend(ext_visit *visit);
void
ext_attach_resume(ext_visit *visit);


/* The visit by which this OS thread is attached where it is attached just
 * now; NULL if it is in no visit, or back in an outer interpreter for a
 * moment. */
ext_visit *
ext_attach_top(void);

/* The innermost visit of this OS thread, attached or not. */
ext_visit *
ext_attach_innermost(void);

/* Is this the process's main OS thread? */
bool
ext_attach_is_main(void);

/* Wakes the wait of atoll's in which the thread is, if it is in one. */
void
ext_attach_interrupt_thread(unsigned long ident);

/* CPU time (ns) that this thread has spent in interpreters that it called,
 * when its own CPU time is `now`.  Any thread. */
int64_t
ext_attach_cpu_away(unsigned long ident, int64_t now);

/* Set by interrupt_signals.c, which stands above: called before the process's main OS
 * thread goes into a visit from outside all (attached to the outer
 * interpreter; -1 with an exception: do not go), and when it comes back into
 * one further in. */
extern int (*ext_attach_on_main_visit)(void);
extern void (*ext_attach_on_main_resume)(void);
/* The main thread, in no visit, is about to wait at its parker. */
extern void (*ext_attach_on_main_wait)(atoll_parker *parker);
/* Set by interrupt.c: called when a call has been made from inside one that
 * does not know of its interruption yet, when the thread comes back to such a
 * one, and when a call ends (attached to visit->interp). */
extern void (*ext_attach_on_call)(ext_visit *visit);
extern void (*ext_attach_on_return)(ext_visit *visit);
extern void (*ext_attach_on_end)(ext_visit *visit);
/* The id of the interpreter in which the main OS thread is visiting, or -1;
 * any thread may read it. */
extern _Atomic int64_t ext_attach_main_inside;
/* The main OS thread's parker, once it has one. */
extern _Atomic(atoll_parker *) ext_attach_main_parker;

/* Clears and deletes what atoll keeps in the interpreter that the caller is
 * attached to, but not the state that the caller uses.  With all, also the
 * state that came with the interpreter.
 * Attached: to interp.  No visit may be under way.  Runs Python. */
void
ext_attach_drop_kept(atoll_interp *interp, bool all);

/* Is tstate one that atoll keeps in interp? */
bool
ext_attach_is_kept(atoll_interp *interp, PyThreadState *tstate);

/* The interpreter is gone, its states with it: drops the record's list. */
void
ext_attach_forget_kept(atoll_interp *interp);

/* The place where this OS thread sleeps; made at its first use, freed when
 * the thread ends.  NULL: out of memory (no exception is set). */
atoll_parker *
ext_attach_parker(void);

/* Registers the thread state that came with a new interpreter as the kept
 * state of this OS thread.  Fails: -1, no exception set (out of memory). */
int
ext_attach_keep_initial(atoll_interp *interp, PyThreadState *tstate);

/* After fork, in the child: this thread keeps nothing in any interpreter that
 * is gone. */
void
ext_attach_after_fork(void);

/* Prepares an interpreter at its first visit: what its creator left to do,
 * and the import of atoll._core (interpreter.c gives it).
 * Attached: to interp.  Fails: -1 with an exception set there. */
typedef int (*ext_attach_setup_fn)(atoll_interp *interp);
extern ext_attach_setup_fn ext_attach_setup;

#endif
