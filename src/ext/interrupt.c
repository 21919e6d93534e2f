/* Interruption: interrupt(), deadlines, Ctrl-C.
 *
 * PyThreadState_SetAsyncExc alone would need the target's GIL, may find the
 * wrong thread state, and may hit the call after the one that was meant.  So
 * an interruption is a mark on one visit (under its record's lock, while it is
 * the record's running call) and a pending call in that interpreter, which
 * looks at the mark: on the thread that runs the call it raises, on another
 * one it calls SetAsyncExc for it.  When the call ends, its visit is off the
 * record before the thread leaves: a pending call that comes late finds
 * nothing.  A wait of atoll's is woken through the thread's parker and looks
 * at the mark itself (ext_run_check).
 *
 * One helper thread, started at the first need, never attached to Python,
 * keeps the deadlines and tells again those who caught the exception and went
 * on.  A signal wakes it, too: CPython's own handler makes the main
 * interpreter's eval loop look, which does nothing while the main thread is
 * inside another interpreter.  Our handler runs CPython's and rings the bell;
 * the helper then adds a pending call to the interpreter in which the main
 * thread is; that goes back to the outermost state for a moment, runs
 * PyErr_CheckSignals (the user's handler), and raises inside only if the
 * handler raised.  Python's own table of handlers and the wake-up descriptor
 * are not touched.
 *
 * Whoever sets a handler (signal.signal, asyncio) displaces ours.  To look at
 * each visit would cost a system call, more than the whole visit: the helper
 * looks instead, once, at a visit that has lasted for a TICK, and sends a
 * signal that may have come before on its way.  Only the main thread outside
 * of all visits can set a handler, so once a visit is enough.  While short
 * visits follow each other the helper ticks; else it sleeps.
 *
 * Locks: timers.lock, then a record's.  Neither while Python runs.
 */
#include "interrupt.h"

#include "errors.h"
#include "module.h"
#include "run.h"
#include "transfer.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#define MS 1000000LL
/* Code that goes on after an interruption is told again after this long, and
 * then after twice as long each time, up to the last. */
#define FIRST_PAUSE (500 * MS)
#define LAST_PAUSE (5000 * MS)

/* How old a visit of the main thread is when its signals are looked after. */
#define TICK (20 * MS)

static struct {
    pthread_mutex_t lock;
    ext_visit *head;   /* armed visits, in no order */
    int64_t planned;   /* when the helper wakes by itself */
    bool running;      /* the helper thread exists */
    bool quit;         /* and shall end */
    pthread_t thread;
    atoll_bell bell;
    bool have_bell;
    _Atomic uint64_t visits; /* of the main thread, from outside */
    atomic_bool dozing;      /* the helper does not tick */
    atomic_bool signal_came;  /* and nobody has looked yet */
    atomic_bool signal_retry; /* another thread took the pending call */
} timers = {.lock = PTHREAD_MUTEX_INITIALIZER, .planned = ATOLL_FOREVER};

static int
deliver(void *arg);
static int
deliver_signal(void *arg);

atomic_bool ext_interrupt_exiting;

/* --- marking ---------------------------------------------------------------- */

typedef struct request {
    atoll_frame *error; /* borrowed; acquired for the visit */
    bool timed_out;
} request;

/* Locks: interp's.  Asks the interpreter to look at its mark. */
static void
tell(atoll_interp *interp, ext_visit *visit)
{
    visit->deliver = true;
    atoll_parker_interrupt(visit->parker);
    if (!interp->told && _PyEval_AddPendingCall != NULL) {
        atoll_interp_acquire(interp);
        interp->told = true;
        if (_PyEval_AddPendingCall(interp->handle, deliver, interp, 0) != 0) {
            interp->told = false; /* full: told again later */
            atoll_interp_release(interp);
        }
    }
}

/* Locks: timers. */
static void
link_timer(ext_visit *visit, int64_t at, int64_t pause)
{
    visit->timer_at = at;
    visit->timer_pause = pause;
    if (!visit->armed) {
        visit->armed = true;
        visit->timer_prev = NULL;
        visit->timer_next = timers.head;
        if (timers.head != NULL) {
            timers.head->timer_prev = visit;
        }
        timers.head = visit;
    }
    if (at < timers.planned) {
        timers.planned = at;
        atoll_bell_ring(&timers.bell);
    }
}

/* Marks the running call of interp, if it is `generation` (0: any), and the
 * calls that were made from inside it.  Returns whether there was one.
 * Locks: timers held. */
static bool
interrupt_locked(atoll_interp *interp, uint64_t generation,
                 const request *what)
{
    atoll_interp *inner = NULL;
    uint64_t inner_generation = 0;
    atoll_mutex_lock(&interp->lock);
    ext_visit *visit = interp->run;
    bool found = visit != NULL && visit->run
                 && (generation == 0 || visit->generation == generation);
    if (found) {
        if (what->error != NULL && visit->error == NULL) {
            atoll_frame_acquire(what->error);
            visit->error = what->error;
        }
        visit->interrupted = true;
        visit->timed_out |= what->timed_out;
        tell(interp, visit);
        link_timer(visit, atoll_now() + FIRST_PAUSE, FIRST_PAUSE);
        if (visit->above != NULL && visit->above->run) {
            inner = visit->above->interp;
            inner_generation = visit->above->generation;
            atoll_interp_acquire(inner);
        }
    }
    atoll_mutex_unlock(&interp->lock);
    if (inner != NULL) {
        request plain = {NULL, false};
        (void)interrupt_locked(inner, inner_generation, &plain);
        atoll_interp_release(inner);
    }
    return found;
}

/* --- signals ---------------------------------------------------------------- */

static const int watched[]
    = {SIGINT, SIGTERM, SIGHUP, SIGALRM, SIGUSR1, SIGUSR2, SIGCHLD};
#define N_WATCHED (sizeof(watched) / sizeof(watched[0]))

/* The handler that was there before ours; written before ours is installed. */
static struct sigaction chained[65];

static void
on_signal(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    const struct sigaction *before = &chained[number];
    if (before->sa_flags & SA_SIGINFO) {
        before->sa_sigaction(number, info, context);
    }
    else if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN) {
        before->sa_handler(number);
    }
    atomic_store(&timers.signal_came, true);
    if (timers.have_bell) {
        atoll_bell_ring(&timers.bell);
    }
    errno = saved;
}

/* Puts our handler before the one that is there.  Returns whether ours was
 * not. */
static bool
watch(int number)
{
    struct sigaction now;
    if (sigaction(number, NULL, &now) != 0) {
        return false;
    }
    if (now.sa_flags & SA_SIGINFO ? now.sa_sigaction == on_signal
                                  : now.sa_handler == SIG_DFL
                                        || now.sa_handler == SIG_IGN)
    {
        return false;
    }
    chained[number] = now;
    now.sa_sigaction = on_signal;
    now.sa_flags |= SA_SIGINFO;
    return sigaction(number, &now, NULL) == 0;
}

static bool
watch_signals(void)
{
    bool displaced = false;
    for (size_t i = 0; i < N_WATCHED; i++) {
        displaced |= watch(watched[i]);
    }
    return displaced;
}

/* --- the helper thread -------------------------------------------------------- */

/* Locks: timers.  The visit's call runs: it is unlinked before it ends. */
static void
fire(ext_visit *visit, int64_t now)
{
    if (visit->timer_pause == 0) {
        request what = {NULL, true};
        (void)interrupt_locked(visit->interp, visit->generation, &what);
        return;
    }
    int64_t pause = visit->timer_pause * 2;
    pause = pause > LAST_PAUSE ? LAST_PAUSE : pause;
    atoll_mutex_lock(&visit->interp->lock);
    if (visit->interp->run == visit) {
        tell(visit->interp, visit);
    }
    atoll_mutex_unlock(&visit->interp->lock);
    visit->timer_at = now + pause;
    visit->timer_pause = pause;
}

/* Sends a signal after the main thread, into the interpreter it is in. */
static void
send_signal(void)
{
    atoll_parker *parker = atomic_load(&ext_attach_main_parker);
    if (parker != NULL) {
        atoll_parker_interrupt(parker);
    }
    int64_t id = atomic_load(&ext_attach_main_inside);
    atoll_interp *interp = NULL;
    if (id < 0 || _PyEval_AddPendingCall == NULL
        || atoll_registry_find(id, &interp) != ATOLL_OK)
    {
        return;
    }
    if (atoll_interp_glance(interp)) {
        if (_PyEval_AddPendingCall(interp->handle, deliver_signal, NULL, 0)
            != 0)
        {
            atomic_store(&timers.signal_retry, true);
        }
        atoll_interp_leave(interp, false);
    }
    atoll_interp_release(interp);
}

/* Locks: timers.  Fires what is due; when to wake next. */
static int64_t
look_at_timers(void)
{
    int64_t now = atoll_now();
    int64_t next = ATOLL_FOREVER;
    for (ext_visit *v = timers.head; v != NULL; v = v->timer_next) {
        if (v->timer_at <= now) {
            fire(v, now);
        }
        if (v->timer_at < next) {
            next = v->timer_at;
        }
    }
    return next;
}

typedef struct ticker {
    bool ticking;
    uint64_t seen;    /* timers.visits at the last tick */
    uint64_t checked; /* the visit that was looked after */
    int64_t at;
} ticker;

/* Looks after the signals of a visit that has lasted for a tick.  When to
 * wake next for that. */
static int64_t
tick(ticker *state)
{
    uint64_t visits = atomic_load(&timers.visits);
    int64_t now = atoll_now();
    if (!state->ticking) {
        if (atomic_load(&timers.dozing)) {
            return ATOLL_FOREVER;
        }
        state->ticking = true;
    }
    else if (now < state->at) {
        return state->at;
    }
    else if (visits == state->seen) {
        if (atomic_load(&ext_attach_main_inside) >= 0
            && visits != state->checked)
        {
            state->checked = visits;
            if (watch_signals()) {
                atomic_store(&timers.signal_retry, true);
            }
        }
        state->ticking = false;
        atomic_store(&timers.dozing, true);
        if (atomic_load(&timers.visits) == visits) {
            return ATOLL_FOREVER;
        }
        atomic_store(&timers.dozing, false);
        state->ticking = true;
    }
    state->seen = visits;
    state->at = now + TICK;
    return state->at;
}

/* Sends a signal on if there is one.  When to try again. */
static int64_t
look_at_signals(bool *sent)
{
    bool again = atomic_exchange(&timers.signal_retry, false);
    bool came = atomic_load(&timers.signal_came);
    if (again || (came && !*sent)) {
        send_signal();
    }
    *sent = came;
    return atomic_load(&timers.signal_retry) ? atoll_now() + MS
                                             : ATOLL_FOREVER;
}

static int64_t
earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void *
helper(void *Py_UNUSED(arg))
{
    bool sent = false;
    ticker state = {0};
    for (;;) {
        (void)pthread_mutex_lock(&timers.lock);
        int64_t next = look_at_timers();
        timers.planned = next;
        bool quit = timers.quit;
        (void)pthread_mutex_unlock(&timers.lock);
        if (quit) {
            return NULL;
        }
        next = earlier(next, tick(&state));
        next = earlier(next, look_at_signals(&sent));
        int wait = -1;
        if (next != ATOLL_FOREVER) {
            int64_t left = (next - atoll_now() + MS - 1) / MS;
            wait = left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
        }
        struct pollfd fd = {.fd = timers.bell.read_fd, .events = POLLIN};
        if (poll(&fd, 1, wait) > 0) {
            atoll_bell_silence(&timers.bell);
            sent = false;
        }
    }
    return NULL;
}

/* Fails: -1, errno set.  Any thread. */
static int
start_helper(void)
{
    int err = 0;
    (void)pthread_mutex_lock(&timers.lock);
    if (!timers.running) {
        if (!timers.have_bell && atoll_bell_init(&timers.bell) != ATOLL_OK) {
            err = errno;
        }
        else {
            timers.have_bell = true;
            sigset_t all;
            sigset_t before;
            (void)sigfillset(&all);
            (void)pthread_sigmask(SIG_SETMASK, &all, &before);
            timers.quit = false;
            err = pthread_create(&timers.thread, NULL, helper, NULL);
            (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
            timers.running = err == 0;
        }
    }
    (void)pthread_mutex_unlock(&timers.lock);
    errno = err;
    return err == 0 ? 0 : -1;
}

static int
need_helper(void)
{
    if (timers.running) {
        return 0;
    }
    if (start_helper() < 0) {
        (void)PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return 0;
}

void
ext_interrupt_before_fork(void)
{
    (void)pthread_mutex_lock(&timers.lock);
    bool running = timers.running;
    timers.quit = true;
    (void)pthread_mutex_unlock(&timers.lock);
    if (running) {
        atoll_bell_ring(&timers.bell);
        (void)pthread_join(timers.thread, NULL);
    }
    (void)pthread_mutex_lock(&timers.lock);
    timers.running = false;
}

void
ext_interrupt_parent_after_fork(void)
{
    bool needed = timers.head != NULL
                  || atomic_load(&ext_attach_main_inside) >= 0;
    (void)pthread_mutex_unlock(&timers.lock);
    if (needed) {
        (void)start_helper();
    }
}

void
ext_interrupt_after_fork(void)
{
    (void)pthread_mutex_init(&timers.lock, NULL);
    timers.head = NULL;
    timers.planned = ATOLL_FOREVER;
    if (timers.have_bell) {
        atoll_bell_fini(&timers.bell);
        timers.have_bell = false;
    }
    timers.running = false;
    atomic_store(&timers.dozing, false);
    atomic_store(&timers.signal_came, false);
    atomic_store(&timers.signal_retry, false);
    atomic_store(&ext_attach_main_inside, -1);
}

/* --- raising -------------------------------------------------------------- */

/* The exception of a mark.  Attached: to the marked interpreter.
 * Owns: takes the frame's reference.  New reference; never NULL. */
static PyObject *
make_error(ext_state *st, atoll_frame *frame)
{
    PyObject *error = NULL;
    if (frame != NULL) {
        error = st == NULL ? NULL : ext_decode(st, frame);
        atoll_frame_release(frame);
        if (error == NULL) {
            PyErr_Clear();
        }
    }
    if (error == NULL) {
        error = Py_NewRef(st == NULL ? PyExc_KeyboardInterrupt
                                     : ext_error_type(st,
                                                      EXT_ERR_INTERRUPTED));
    }
    return error;
}

static void
set_error(PyObject *error)
{
    if (PyExceptionInstance_Check(error)) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    }
    else {
        PyErr_SetNone(error);
    }
    Py_DECREF(error);
}

/* The pending call.  Attached: to interp, on any of its threads. */
static int
deliver(void *arg)
{
    atoll_interp *interp = arg;
    atoll_mutex_lock(&interp->lock);
    interp->told = false;
    ext_visit *visit = interp->run;
    bool mine = false;
    unsigned long runner = interp->runner;
    atoll_frame *frame = NULL;
    ext_state *st = interp->ext;
    if (visit != NULL && visit->deliver) {
        mine = runner == atoll_thread_ident();
        if (mine && ext_attach_innermost() != visit) {
            visit = NULL; /* further in: told when it is back, or later */
        }
        else {
            visit->deliver = false;
            frame = visit->error;
            if (frame != NULL) {
                atoll_frame_acquire(frame);
            }
        }
    }
    else {
        visit = NULL;
    }
    atoll_mutex_unlock(&interp->lock);
    atoll_interp_release(interp);
    if (visit == NULL) {
        return 0;
    }
    PyObject *error = make_error(st, frame);
    if (mine) {
        set_error(error);
        return -1;
    }
    PyObject *type = PyExceptionInstance_Check(error)
                         ? (PyObject *)Py_TYPE(error)
                         : error;
    (void)PyThreadState_SetAsyncExc(runner, type);
    Py_DECREF(error);
    return 0;
}

/* Runs the signal handlers of the outermost interpreter on the main thread,
 * wherever it is.  Fails: -1 with KeyboardInterrupt set here; the handler's
 * own exception waits in the outermost visit. */
static int
run_signals(void)
{
    ext_visit *bottom = ext_attach_innermost();
    atomic_store(&timers.signal_came, false);
    if (bottom == NULL) {
        return PyErr_CheckSignals();
    }
    while (bottom->below != NULL) {
        bottom = bottom->below;
    }
    int64_t inside = atomic_exchange(&ext_attach_main_inside, -1);
    PyThreadState *here = PyThreadState_Swap(bottom->outer);
    int result = PyErr_CheckSignals();
    (void)watch_signals(); /* the handler may have set another */
    if (result < 0) {
        Py_XSETREF(bottom->outer_error, PyErr_GetRaisedException());
    }
    atomic_store(&ext_attach_main_inside, inside);
    (void)PyThreadState_Swap(here);
    if (result < 0) {
        for (ext_visit *v = ext_attach_innermost(); v != NULL; v = v->below) {
            v->signalled = true;
        }
        PyErr_SetNone(PyExc_KeyboardInterrupt);
    }
    return result;
}

/* The pending call for signals. */
static int
deliver_signal(void *Py_UNUSED(arg))
{
    if (!ext_attach_is_main()) {
        /* Another thread of that interpreter: try again shortly. */
        atomic_store(&timers.signal_retry, true);
        atoll_bell_ring(&timers.bell);
        return 0;
    }
    return run_signals();
}

int
ext_run_check(ext_state *st)
{
    ext_visit *visit = ext_attach_top();
    if (visit != NULL && visit->run) {
        atoll_interp *interp = visit->interp;
        atoll_frame *frame = NULL;
        atoll_mutex_lock(&interp->lock);
        bool marked = visit->deliver;
        if (marked) {
            visit->deliver = false;
            frame = visit->error;
            if (frame != NULL) {
                atoll_frame_acquire(frame);
            }
        }
        atoll_mutex_unlock(&interp->lock);
        if (marked) {
            set_error(make_error(st, frame));
            return -1;
        }
    }
    PyObject *waiting = ext_compat_take_async_exc(PyThreadState_Get());
    if (waiting != NULL) {
        set_error(waiting);
        return -1;
    }
    return ext_attach_is_main() ? run_signals() : 0;
}

static int
on_main_visit(void)
{
    if (!timers.running && start_helper() < 0) {
        return 0; /* Ctrl-C waits for the call's end, as without atoll */
    }
    /* The main thread's alone: no read-modify-write is needed. */
    atomic_store(&timers.visits, atomic_load_explicit(&timers.visits,
                                                      memory_order_relaxed)
                                     + 1);
    if (atomic_load(&timers.dozing)) {
        atomic_store(&timers.dozing, false);
        atoll_bell_ring(&timers.bell);
    }
    return PyErr_CheckSignals();
}

static void
on_main_resume(void)
{
    if (atomic_load(&timers.signal_came)) {
        atoll_bell_ring(&timers.bell);
    }
}

/* --- what the types call ------------------------------------------------------ */

static void
disarm(ext_visit *visit)
{
    (void)pthread_mutex_lock(&timers.lock);
    if (visit->armed) {
        if (visit->timer_prev != NULL) {
            visit->timer_prev->timer_next = visit->timer_next;
        }
        else {
            timers.head = visit->timer_next;
        }
        if (visit->timer_next != NULL) {
            visit->timer_next->timer_prev = visit->timer_prev;
        }
        visit->armed = false;
    }
    (void)pthread_mutex_unlock(&timers.lock);
}

int
ext_interrupt_arm(ext_visit *visit, double timeout)
{
    if (need_helper() < 0) {
        return -1;
    }
    (void)pthread_mutex_lock(&timers.lock);
    link_timer(visit, atoll_deadline_after(timeout), 0);
    (void)pthread_mutex_unlock(&timers.lock);
    return 0;
}

int
ext_interrupt_parse_timeout(PyObject *value, const char *name, double *out)
{
    if (value == Py_None) {
        *out = -1.0;
        return 0;
    }
    double seconds = PyFloat_AsDouble(value);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    if (seconds != seconds) {
        PyErr_Format(PyExc_ValueError, "%s must not be NaN", name);
        return -1;
    }
    *out = seconds < 0 ? 0.0 : seconds;
    return 0;
}

/* exc as a heap frame.  Fails: NULL with TypeError, NotShareableError. */
static atoll_frame *
pack_error(ext_state *st, PyObject *exc)
{
    if (!PyExceptionInstance_Check(exc) && !PyExceptionClass_Check(exc)) {
        PyErr_Format(PyExc_TypeError,
                     "exc must be an exception class or instance, not %.200s",
                     Py_TYPE(exc)->tp_name);
        return NULL;
    }
    atoll_frame *frame = atoll_frame_new();
    if (frame == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    frame->sender = st->self->id;
    if (ext_encode(st, exc, "exc", 0, NULL, frame) < 0) {
        atoll_frame_release(frame);
        return NULL;
    }
    return frame;
}

PyObject *
ext_interrupt_call(ext_state *st, atoll_interp *interp, PyObject *exc)
{
    if (_PyEval_AddPendingCall == NULL) {
        PyErr_SetString(PyExc_NotImplementedError,
                        "this CPython does not let atoll interrupt");
        return NULL;
    }
    if (need_helper() < 0) {
        return NULL;
    }
    request what = {NULL, false};
    if (exc != NULL) {
        what.error = pack_error(st, exc);
        if (what.error == NULL) {
            return NULL;
        }
    }
    (void)pthread_mutex_lock(&timers.lock);
    bool found = interrupt_locked(interp, 0, &what);
    (void)pthread_mutex_unlock(&timers.lock);
    if (what.error != NULL) {
        atoll_frame_release(what.error);
    }
    return PyBool_FromLong(found);
}

int
ext_interrupt_one(atoll_interp *interp, uint64_t generation)
{
    if (need_helper() < 0) {
        return -1;
    }
    request what = {NULL, false};
    (void)pthread_mutex_lock(&timers.lock);
    bool found = interrupt_locked(interp, generation, &what);
    (void)pthread_mutex_unlock(&timers.lock);
    return found;
}

void
ext_interrupt_seal(ext_visit *visit)
{
    if (!visit->run) {
        return;
    }
    atoll_mutex_lock(&visit->interp->lock);
    visit->interp->run = NULL;
    visit->deliver = false;
    bool interrupted = visit->interrupted;
    atoll_mutex_unlock(&visit->interp->lock);
    if (interrupted) {
        (void)PyThreadState_SetAsyncExc(atoll_thread_ident(), NULL);
    }
}

void
ext_interrupt_outcome(ext_visit *visit, PyObject *Py_UNUSED(error),
                      bool *out_interrupted, bool *out_timed_out)
{
    atoll_mutex_lock(&visit->interp->lock);
    *out_interrupted = visit->interrupted;
    *out_timed_out = visit->timed_out;
    atoll_mutex_unlock(&visit->interp->lock);
}

/* Interrupts the threads that live in interp.  Attached: outside.
 * Fails: -1 with an exception. */
static int
interrupt_threads(ext_state *st, atoll_interp *interp)
{
    ext_visit visit;
    if (ext_attach_enter(st, interp, 0, &visit) < 0) {
        return -1;
    }
    /* SystemExit ends a thread without a word; the call that runs, on a kept
     * state, has been interrupted already. */
    PyThreadState *own = PyThreadState_Get();
    PyObject *type = PyExc_SystemExit;
    PyObject *idents = PyList_New(0);
    for (PyThreadState *t = PyInterpreterState_ThreadHead(interp->handle);
         t != NULL && idents != NULL; t = PyThreadState_Next(t))
    {
        bool skip = t == own || ext_attach_is_kept(interp, t);
        PyObject *ident = skip ? NULL : PyLong_FromUnsignedLong(t->thread_id);
        if (ident != NULL && PyList_Append(idents, ident) < 0) {
            Py_CLEAR(idents);
        }
        Py_XDECREF(ident);
    }
    for (Py_ssize_t i = 0; idents && i < PyList_GET_SIZE(idents); i++) {
        unsigned long ident
            = PyLong_AsUnsignedLong(PyList_GET_ITEM(idents, i));
        (void)PyThreadState_SetAsyncExc(ident, type);
        ext_attach_interrupt_thread(ident);
    }
    Py_XDECREF(idents);
    ext_attach_leave(&visit);
    return 0;
}

int
ext_interrupt_for_close(ext_state *st, atoll_interp *interp, double seconds)
{
    if (need_helper() < 0) {
        return -1;
    }
    int64_t deadline = seconds < 0 ? ATOLL_FOREVER
                                   : atoll_deadline_after(seconds);
    request what = {NULL, false};
    (void)pthread_mutex_lock(&timers.lock);
    atoll_mutex_lock(&interp->lock);
    uint64_t generation = interp->generation;
    atoll_mutex_unlock(&interp->lock);
    bool found = interrupt_locked(interp, generation, &what);
    (void)pthread_mutex_unlock(&timers.lock);
    atoll_status status = ATOLL_E_TIMEOUT;
    while (found && status == ATOLL_E_TIMEOUT) {
        /* In short sleeps, so that Ctrl-C gets through. */
        int64_t soon = atoll_now() + 50 * MS;
        soon = soon < deadline ? soon : deadline;
        Py_BEGIN_ALLOW_THREADS
        status = atoll_interp_wait_idle(interp, generation, soon);
        Py_END_ALLOW_THREADS
        if (status == ATOLL_E_TIMEOUT
            && (ext_run_check(st) < 0 || atoll_now() >= deadline))
        {
            break;
        }
    }
    if (PyErr_Occurred()) {
        return -1;
    }
    if (interrupt_threads(st, interp) < 0) {
        PyErr_Clear(); /* close() says what is wrong */
    }
    return 0;
}

static PyObject *
core_check(PyObject *module, PyObject *Py_UNUSED(args))
{
    if (ext_run_check(ext_state_of_module(module)) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef interrupt_functions[] = {
    {"_check", core_check, METH_NOARGS,
     PyDoc_STR("_check()\n--\n\nLet signals and interruptions act.")},
    {NULL, NULL, 0, NULL},
};

static int
interrupt_exec(PyObject *module, ext_state *Py_UNUSED(st))
{
    ext_attach_on_main_visit = on_main_visit;
    ext_attach_on_main_resume = on_main_resume;
    ext_attach_disarm = disarm;
    return PyModule_AddFunctions(module, interrupt_functions);
}

const ext_part ext_interrupt_part = {
    .id = EXT_PART_RUN,
    .exec = interrupt_exec,
};
