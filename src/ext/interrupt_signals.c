/* Signals that come while the main thread is inside another interpreter.
 *
 * CPython's own handler makes the main interpreter's eval loop look, which
 * does nothing while the main thread is elsewhere.  Our handler runs CPython's
 * and rings the bell; the helper then adds a pending call to the interpreter
 * in which the main thread is; that goes back to the outermost state for a
 * moment, runs PyErr_CheckSignals (the user's handler), and raises inside only
 * if the handler raised.  Python's own table of handlers and the wake-up
 * descriptor are not touched.
 *
 * Whoever sets a handler (signal.signal, asyncio) displaces ours.  To look at
 * each visit would cost a system call, more than the whole visit: the helper
 * looks instead, once, at a visit that has lasted for a TICK, and sends a
 * signal that may have come before on its way.  Only the main thread outside
 * of all visits can set a handler, so once a visit is enough.  While short
 * visits follow each other the helper ticks; else it sleeps.
 *
 * A signal may be lost on none of these ways: `unseen` is set by the handler
 * and cleared by the main thread just before it looks.  Whenever the main
 * thread comes back to an interpreter that is not the outermost, it has the
 * signal sent again if it is still unseen.
 */
#include "interrupt_impl.h"

#include "module.h"
#include "run.h"
#include "../core/async.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

/* How old a visit of the main thread is when its signals are looked after. */
#define TICK (20 * EXT_MS)
/* A signal is sent again when another thread took it, after a pause. */
#define FIRST_RETRY (1 * EXT_MS)
#define LAST_RETRY (16 * EXT_MS)
/* And when nobody took it: after a pause that doubles, so many times. */
#define FIRST_NUDGE (20 * EXT_MS)
#define NUDGES 7

/* Handlers that were there before ours, one on top of the other. */
#define MAX_SIGNAL 65
#define MAX_CHAIN 4

static struct {
    atomic_bool unseen; /* a signal came; the main thread has not looked */
    atomic_bool ring;   /* and the helper has not sent it */
    atomic_bool again;  /* it was sent, to no avail */
    atomic_uint_fast64_t visits; /* of the main thread, from outside */
    atomic_bool dozing;          /* the helper does not tick */
} signals;

typedef struct chain {
    struct sigaction before[MAX_CHAIN]; /* written before `count` */
    atomic_int count;
    atomic_ulong inside; /* the thread in our handler */
    atomic_int depth;    /* how deep it is */
} chain;

static chain chains[MAX_SIGNAL];

/* --- the handler -------------------------------------------------------------- */

static void
call_before(const struct sigaction *before, int number, siginfo_t *info,
            void *context)
{
    if (before->sa_flags & SA_SIGINFO) {
        before->sa_sigaction(number, info, context);
    }
    else if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN) {
        before->sa_handler(number);
    }
}

/* A handler that was put on top of ours and is chained now may itself call
 * what it found below it: us.  Then the one below that is called. */
static void
on_signal(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    chain *all = &chains[number];
    unsigned long self = (unsigned long)pthread_self();
    bool first = atomic_load(&all->inside) != self;
    int depth = first ? 0 : atomic_load(&all->depth);
    int which = atomic_load(&all->count) - 1 - depth;
    if (first) {
        atomic_store(&all->inside, self);
    }
    atomic_store(&all->depth, depth + 1);
    if (which >= 0) {
        call_before(&all->before[which], number, info, context);
    }
    atomic_store(&all->depth, depth);
    if (first) {
        atomic_store(&all->inside, 0);
        atomic_store(&signals.unseen, true);
        atomic_store(&signals.ring, true);
        ext_helper_ring();
    }
    errno = saved;
}

static bool
same_handler(const struct sigaction *a, const struct sigaction *b)
{
    return (a->sa_flags & SA_SIGINFO) == (b->sa_flags & SA_SIGINFO)
           && (a->sa_flags & SA_SIGINFO ? a->sa_sigaction == b->sa_sigaction
                                        : a->sa_handler == b->sa_handler);
}

/* Puts `now` on top.  One that was there before stays the only one. */
static void
remember(chain *all, const struct sigaction *now)
{
    int count = atomic_load(&all->count);
    int place = 0;
    while (place < count && !same_handler(&all->before[place], now)) {
        place++;
    }
    place = place < MAX_CHAIN ? place : MAX_CHAIN - 1;
    all->before[place] = *now;
    atomic_store(&all->count, place + 1);
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
    if (now.sa_flags & SA_SIGINFO
            ? now.sa_sigaction == on_signal
            : now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN) {
        return false;
    }
    remember(&chains[number], &now);
    now.sa_sigaction = on_signal;
    now.sa_flags |= SA_SIGINFO;
    return sigaction(number, &now, NULL) == 0;
}

/* Not those that tell of a fault in the code at hand. */
static bool
is_watched(int number)
{
    switch (number) {
    case SIGKILL:
    case SIGSTOP:
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGABRT:
    case SIGTRAP:
    case SIGSYS:
        return false;
    default:
        return true;
    }
}

static pthread_mutex_t watch_lock = PTHREAD_MUTEX_INITIALIZER;

/* Two threads may come here at once: the main one and the helper. */
static bool
watch_all(void)
{
    bool displaced = false;
    if (pthread_mutex_trylock(&watch_lock) != 0) {
        return true; /* the other one does it */
    }
    for (int number = 1; number < NSIG && number < MAX_SIGNAL; number++) {
        displaced |= is_watched(number) && watch(number);
    }
    (void)pthread_mutex_unlock(&watch_lock);
    return displaced;
}

/* --- on the main thread --------------------------------------------------------- */

int
ext_signals_run(void)
{
    ext_visit *bottom = ext_attach_innermost();
    atomic_store(&signals.unseen, false);
    if (bottom == NULL) {
        return PyErr_CheckSignals();
    }
    while (bottom->below != NULL) {
        bottom = bottom->below;
    }
    int64_t inside = atomic_exchange(&ext_attach_main_inside, -1);
    PyThreadState *here = PyThreadState_Swap(bottom->outer);
    int result = PyErr_CheckSignals();
    (void)watch_all(); /* the handler may have set another */
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

bool
ext_interrupt_keep_signal(ext_visit *visit)
{
    ext_visit *bottom = visit;
    while (bottom->below != NULL) {
        bottom = bottom->below;
    }
    if (bottom == visit || !ext_attach_is_main()
        || bottom->outer != visit->inner || bottom->outer_error != NULL
        || !PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
        return false;
    }
    bottom->outer_error = PyErr_GetRaisedException();
    PyErr_SetRaisedException(Py_NewRef(bottom->outer_error));
    for (ext_visit *v = visit->below; v != NULL; v = v->below) {
        v->signalled = true;
    }
    return true;
}

/* The pending call.  Attached: to any interpreter in which the main thread is
 * or was. */
static int
deliver_signal(void *Py_UNUSED(arg))
{
    if (!atomic_load(&signals.unseen)) {
        return 0;
    }
    if (!ext_attach_is_main() || ext_interrupt_imports(PyThreadState_Get())) {
        /* Another thread of that interpreter: try again shortly. */
        atomic_store(&signals.again, true);
        ext_helper_ring();
        return 0;
    }
    return ext_signals_run();
}

/* The hook of attach.c: the main thread goes into a visit from outside. */
static int
on_main_visit(void)
{
    if (ext_helper_start() < 0) {
        return 0; /* Ctrl-C waits for the call's end, as without atoll */
    }
    /* The main thread's alone: no read-modify-write is needed. */
    uint64_t visits
        = atomic_load_explicit(&signals.visits, memory_order_relaxed);
    atomic_store(&signals.visits, visits + 1);
    if (atomic_load(&signals.dozing)) {
        atomic_store(&signals.dozing, false);
        ext_helper_ring();
    }
    if (ATOLL_UNLIKELY(atomic_load(&signals.unseen))) {
        atomic_store(&signals.unseen, false);
    }
    return PyErr_CheckSignals();
}

/* The hook of attach.c: the main thread is back inside some interpreter. */
static void
on_main_resume(void)
{
    if (ATOLL_UNLIKELY(atomic_load(&signals.unseen))) {
        atomic_store(&signals.ring, true);
        ext_helper_ring();
    }
}

/* The hook of attach.c: the main thread, in no visit, is about to wait.  A
 * signal that came between its last look and its sleep would wake nobody: so
 * our handler must be there, which leaves an interruption in the parker, and
 * if it was not, one is left for what may have come before.  One system call,
 * for those who must sleep anyway. */
static void
on_main_wait(atoll_parker *parker)
{
    static atomic_bool watching;
    if (ext_helper_start() < 0) {
        return;
    }
    if (!atomic_exchange(&watching, true) || watch(SIGINT)) {
        (void)watch_all();
        atoll_parker_interrupt(parker);
    }
}

/* --- on the helper thread ------------------------------------------------------- */

/* Sends a signal after the main thread, into the interpreter it is in.
 * Returns whether it must be tried again. */
static bool
send_signal(void)
{
    atoll_parker *parker = atomic_load(&ext_attach_main_parker);
    if (parker != NULL) {
        atoll_parker_interrupt(parker);
    }
    int64_t id = atomic_load(&ext_attach_main_inside);
    atoll_interp *interp = NULL;
    if (id < 0) {
        atoll_loop_wake_all(0); /* of the main interpreter */
    }
    if (id < 0 || _PyEval_AddPendingCall == NULL
        || atoll_registry_find(id, &interp) != ATOLL_OK) {
        return false;
    }
    bool full = false;
    if (atoll_interp_glance(interp)) {
        full = ext_helper_add_pending(interp->handle, deliver_signal, NULL)
               != 0;
        atoll_interp_leave(interp, false);
    }
    atoll_loop_wake_all(id);
    atoll_interp_release(interp);
    return full;
}

typedef struct ticker {
    bool ticking;
    uint64_t seen;    /* signals.visits at the last tick */
    uint64_t checked; /* the visit that was looked after */
    int64_t at;
} ticker;

/* Looks after the signals of a visit that has lasted for a tick.  When to
 * wake next for that. */
static int64_t
tick(ticker *state)
{
    uint64_t visits = atomic_load(&signals.visits);
    int64_t now = atoll_now();
    if (!state->ticking) {
        if (atomic_load(&signals.dozing)) {
            return ATOLL_FOREVER;
        }
        state->ticking = true;
    }
    else if (now < state->at) {
        return state->at;
    }
    else if (visits == state->seen) {
        if (atomic_load(&ext_attach_main_inside) >= 0
            && visits != state->checked) {
            state->checked = visits;
            if (watch_all()) {
                atomic_store(&signals.unseen, true);
                atomic_store(&signals.ring, true);
            }
        }
        state->ticking = false;
        atomic_store(&signals.dozing, true);
        if (atomic_load(&signals.visits) == visits) {
            return ATOLL_FOREVER;
        }
        atomic_store(&signals.dozing, false);
        state->ticking = true;
    }
    state->seen = visits;
    state->at = now + TICK;
    return state->at;
}

int64_t
ext_signals_look(void)
{
    /* The helper thread's alone, and that of the next one after a fork. */
    static ticker state;
    static int64_t retry_at = ATOLL_FOREVER;
    static int64_t pause = FIRST_RETRY;
    static int nudges;
    int64_t next = tick(&state);
    bool send = atomic_exchange(&signals.ring, false);
    if (send) {
        nudges = 0;
        pause = FIRST_RETRY;
        retry_at = ATOLL_FOREVER;
    }
    if (atomic_exchange(&signals.again, false)) {
        retry_at = atoll_now() + pause;
        pause = pause * 2 < LAST_RETRY ? pause * 2 : LAST_RETRY;
    }
    if (retry_at != ATOLL_FOREVER && atoll_now() >= retry_at) {
        retry_at = ATOLL_FOREVER;
        send = true;
    }
    if (send && atomic_load(&signals.unseen)) {
        if (send_signal()) {
            atomic_store(&signals.again, true);
            return atoll_now();
        }
        if (nudges < NUDGES) {
            /* 3.12 may lose that a pending call was added. */
            retry_at = atoll_now() + (FIRST_NUDGE << nudges++);
        }
    }
    return next < retry_at ? next : retry_at;
}

void
ext_signals_open(void)
{
    ext_attach_on_main_visit = on_main_visit;
    ext_attach_on_main_resume = on_main_resume;
    ext_attach_on_main_wait = on_main_wait;
}

void
ext_signals_after_fork(void)
{
    atomic_store(&signals.unseen, false);
    atomic_store(&signals.ring, false);
    atomic_store(&signals.again, false);
    atomic_store(&signals.dozing, false);
    (void)pthread_mutex_init(&watch_lock, NULL);
    for (int number = 0; number < MAX_SIGNAL; number++) {
        atomic_store(&chains[number].inside, 0);
    }
    atomic_store(&ext_attach_main_inside, -1);
}
