/* Interruption: deadlines, interrupt(), Ctrl-C. */
#ifndef ATOLL_EXT_INTERRUPT_H
#define ATOLL_EXT_INTERRUPT_H

#include "attach.h"

/* A call that can be named: interrupted before it has begun, too, and never
 * confused with another one in the same interpreter. */
typedef struct ext_call {
    atoll_interp *interp;    /* owns a reference */
    ext_visit *visit;        /* while it runs [interp's lock] */
    bool asked;              /* interrupted before it began [lock] */
    bool over;               /* it has ended, or will not begin [lock] */
    atoll_frame *error;      /* of an early interruption, or NULL [lock] */
    struct ext_guard *guard; /* its limits, or NULL; its caller's */
} ext_call;

void
ext_call_init(ext_call *call, atoll_interp *interp);
void
ext_call_fini(ext_call *call);

/* The visit of this call has begun.  Attached: to visit->interp.
 * Fails: -1: it was interrupted before; the exception is set. */
int
ext_call_begin(ext_call *call, ext_visit *visit);
/* It will not begin (any more).  Not needed after ext_interrupt_seal. */
void
ext_call_end(ext_call *call);

/* Interrupts this very call, or has it fail when it begins.  False: it is
 * over.  exc: NULL for Interrupted.  Attached: to st's interpreter.
 * Fails: -1 with TypeError, NotShareableError, MemoryError, OSError. */
int
ext_call_interrupt(ext_state *st, ext_call *call, PyObject *exc);

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

/* close(interrupt=True): interrupts what runs in interp and waits for it until
 * deadline.  Fails: -1, by a signal handler or bad luck; that something still
 * runs is not its failure. */
int
ext_interrupt_for_close(ext_state *st, atoll_interp *interp, int64_t deadline);

/* The process ends: stops all Python code in these interpreters for good,
 * wherever it is, and waits up to `grace` ns (less than a second) for that.
 * Attached: to none of them. */
void
ext_interrupt_park(atoll_interp **list, size_t count, int64_t grace);

/* Raises SystemExit in the threads that live in interp, but not in the one at
 * hand: they end without a word.  Attached: to interp. */
void
ext_interrupt_threads(atoll_interp *interp);

/* Starts the deadline of the running call of visit; `timeout` in seconds.
 * Attached: to visit->interp.  Fails: -1 with an exception; visit->timed_out
 * tells whether it was that the deadline has passed. */
int
ext_interrupt_arm(ext_visit *visit, double timeout);

/* Before what was called begins, and when it has ended by returning: in
 * between an interruption is the business of its code, which may catch it.
 * Before and after, arguments are built and a result is taken apart, by code
 * that may drop an exception: what is raised then is not forgotten.
 * Fails: begin: -1: it was told meanwhile; raised again.
 * Attached: to visit->interp. */
int
ext_interrupt_begin_code(ext_visit *visit);
void
ext_interrupt_end_code(ext_visit *visit);

/* The call has a result, and that has been encoded.  What is raised in this
 * visit's interpreter from now on is not for its call: the call is over, only
 * its outcome is left to be told.  Once interrupt() has said True the call
 * fails, unless its code caught the exception.
 * Fails: -1: throw the result away; the exception is set.
 * Attached: to visit->interp.  May run Python. */
int
ext_interrupt_conclude(ext_visit *visit);

/* How the call of a visit ended. */
typedef struct ext_verdict {
    bool interrupted; /* somebody interrupted it */
    bool timed_out;   /* it was its deadline */
} ext_verdict;

/* The same for a call that ends by raising `error`: `interrupted` only if that
 * is what an interruption led to, and nothing that the code, having caught it,
 * did of its own.  May run Python. */
ext_verdict
ext_interrupt_judge(ext_visit *visit, PyObject *error);

/* The stack of a thread in interp, as text: str, empty if it has none there;
 * None if it cannot be read, since C code keeps the GIL.  Attached: anywhere.
 * Fails: NULL with MemoryError. */
PyObject *
ext_interrupt_stack(atoll_interp *interp, unsigned long thread);

/* Others whom the helper thread serves: dump.c, expose.c, limits.c.  Set once,
 * by each part's exec. */
typedef enum ext_rider_id {
    EXT_RIDER_DUMP,
    EXT_RIDER_EXPOSE,
    EXT_RIDER_LIMITS,
    EXT_RIDER_COUNT,
} ext_rider_id;

typedef struct ext_rider {
    /* Whenever the helper is awake.  Returns when to call it again at the
     * latest.  On the helper thread; Locks: none. */
    _Atomic(int64_t (*)(int64_t now)) look;
    /* In the child after fork. */
    void (*after_fork)(void);
    atomic_bool wanted; /* the helper must run */
} ext_rider;

extern ext_rider ext_helper_riders[EXT_RIDER_COUNT];
/* A descriptor that wakes the helper when it can be read, or -1. */
extern atomic_int ext_helper_listener;

/* Starts the helper thread if it does not run.  Any thread that is attached
 * somewhere.  Fails: -1 with OSError. */
int
ext_helper_need(void);
/* Wakes the helper.  Async-signal-safe. */
void
ext_helper_ring(void);

/* Ctrl-C while the main thread was back in the outermost interpreter by
 * `visit`, for a write or a callback: what its handler raised is for there, and
 * the calls in between end.  False: the exception is not that.
 * Attached: by visit, with an exception set, which stays. */
bool
ext_interrupt_keep_signal(ext_visit *visit);

/* The process is ending: threads that are stopped for that leave silently. */
extern atomic_bool ext_interrupt_exiting;

/* An os.fork() is on its way, before it takes any lock of CPython's; it is
 * over, in the parent.  Attached: to the main interpreter. */
void
ext_interrupt_fork_begins(void);
void
ext_interrupt_fork_ends(void);

/* Around fork.  Before it the helper thread is ended, so that CPython does
 * not warn of a thread that the program does not know; it is started again
 * when it is needed. */
void
ext_interrupt_before_fork(void);
void
ext_interrupt_parent_after_fork(void);
void
ext_interrupt_after_fork(void);

#endif
