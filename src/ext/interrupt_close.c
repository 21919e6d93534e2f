/* What close(interrupt=True) interrupts before it closes: the call that runs,
 * calls elsewhere that threads of the interpreter have made, and the threads
 * themselves.  And what becomes of code that does not stop when the process
 * ends.
 *
 * Locks: as interrupt.c; parking.lock alone.
 */
#include "interrupt_impl.h"

#include "module.h"
#include "run.h"
#include "../core/async.h"

#include <time.h>
#include <unistd.h>

/* Threads of the interpreter at hand that end without (list of int), or NULL.
 * No exception is left. */
static PyObject *
list_spared(void)
{
    PyObject *cancel = ext_state_python("atoll._make", "cancel_tasks");
    PyObject *got = cancel == NULL ? NULL : PyObject_CallNoArgs(cancel);
    Py_XDECREF(cancel);
    if (got == NULL) {
        PyErr_Clear();
    }
    return got;
}

/* How far out the frame of Thread._bootstrap is at most, before start() goes
 * on: it calls _bootstrap_inner, that Event.set, that Condition.notify_all. */
#define FRAMES_OF_A_START 12

/* Is it among those that threading knows to run? */
static bool
is_active(unsigned long ident)
{
    PyObject *modules = PyImport_GetModuleDict(); /* borrowed */
    PyObject *threading = PyDict_GetItemString(modules, "threading");
    PyObject *active = threading == NULL
                           ? NULL
                           : PyObject_GetAttrString(threading, "_active");
    PyObject *key = PyLong_FromUnsignedLong(ident);
    bool found = active == NULL || key == NULL || !PyDict_Check(active)
                 || PyDict_Contains(active, key) != 0;
    Py_XDECREF(active);
    Py_XDECREF(key);
    PyErr_Clear();
    return found;
}

/* Do the frames of a thread, `codes` from the innermost on, belong to
 * threading's own beginning or end of a thread? */
static bool
is_threadings(PyCodeObject *const *codes, int count, unsigned long ident)
{
    const PyCodeObject *outermost = codes[count - 1];
    if (PyUnicode_CompareWithASCIIString(outermost->co_name, "_bootstrap")
        != 0) {
        return false;
    }
    if (count <= 2 || !is_active(ident)) {
        return true; /* _bootstrap_inner; or what a subclass does there */
    }
    const PyCodeObject *called = codes[count - 3];
    return PyUnicode_CompareWithASCIIString(called->co_name, "run") != 0
           && PyUnicode_Compare(called->co_filename, outermost->co_filename)
                  == 0;
}

ext_begun
ext_interrupt_begun(PyThreadState *t)
{
    PyCodeObject *codes[FRAMES_OF_A_START];
    int count = 0;
    PyFrameObject *frame = PyThreadState_GetFrame(t);
    if (frame == NULL) {
        return EXT_BEGUN_UNKNOWN;
    }
    while (frame != NULL && count < FRAMES_OF_A_START) {
        codes[count++] = PyFrame_GetCode(frame);
        Py_SETREF(frame, PyFrame_GetBack(frame));
    }
    bool starts = frame == NULL && is_threadings(codes, count, t->thread_id);
    Py_XDECREF(frame);
    while (count > 0) {
        Py_DECREF(codes[--count]);
    }
    return starts ? EXT_BEGUN_NOT : EXT_BEGUN;
}

/* Lets threads that are just starting begin.  At most for some seconds; for
 * what may be in C, a tenth.  Attached: to interp. */
static void
await_starts(atoll_interp *interp)
{
    PyThreadState *own = PyThreadState_Get();
    for (int ms = 0; ms < 5000; ms++) {
        ext_begun least = EXT_BEGUN;
        for (PyThreadState *t = PyInterpreterState_ThreadHead(interp->handle);
             t != NULL; t = PyThreadState_Next(t)) {
            if (t != own && !ext_attach_is_kept(interp, t)) {
                ext_begun begun = ext_interrupt_begun(t);
                least = begun > least ? begun : least;
            }
        }
        if (least == EXT_BEGUN || (least == EXT_BEGUN_UNKNOWN && ms >= 100)) {
            return;
        }
        Py_BEGIN_ALLOW_THREADS
        struct timespec pause = {0, EXT_MS};
        (void)nanosleep(&pause, NULL);
        Py_END_ALLOW_THREADS
    }
}

/* See interrupt.h. */
void
ext_interrupt_threads(atoll_interp *interp)
{
    await_starts(interp);
    /* SystemExit ends a thread without a word; the call that runs, on a kept
     * state, has been interrupted already. */
    PyThreadState *own = PyThreadState_Get();
    PyObject *type = PyExc_SystemExit;
    PyObject *idents = PyList_New(0);
    PyObject *spared = list_spared();
    for (PyThreadState *t = PyInterpreterState_ThreadHead(interp->handle);
         t != NULL && idents != NULL; t = PyThreadState_Next(t)) {
        bool skip = t == own || ext_attach_is_kept(interp, t);
        PyObject *ident = skip ? NULL : PyLong_FromUnsignedLong(t->thread_id);
        if (ident != NULL && spared != NULL
            && PySequence_Contains(spared, ident) > 0) {
            Py_CLEAR(ident);
        }
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
    atoll_loop_wake_all(interp->id);
    Py_XDECREF(spared);
    Py_XDECREF(idents);
    PyErr_Clear();
}

/* The same from outside.  Fails: -1 with an exception. */
static int
interrupt_threads(ext_state *st, atoll_interp *interp)
{
    ext_visit visit;
    if (ext_attach_enter(st, interp, 0, &visit) < 0) {
        return -1;
    }
    ext_interrupt_threads(interp);
    ext_attach_leave(&visit);
    return 0;
}

/* Interrupts calls elsewhere that threads of interp have made. */
static void
interrupt_calls_from(atoll_interp *interp)
{
    static const ext_request plain = {NULL, false};
    atoll_interp **list = NULL;
    size_t count = 0;
    if (atoll_registry_list(&list, &count) != ATOLL_OK) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t generation = 0;
        ext_helper_lock();
        atoll_mutex_lock(&list[i]->lock);
        ext_visit *visit = list[i]->run;
        if (visit != NULL && visit->outer_state->self == interp) {
            generation = visit->generation;
        }
        atoll_mutex_unlock(&list[i]->lock);
        if (generation != 0) {
            (void)ext_interrupt_locked(list[i], generation, &plain);
        }
        ext_helper_unlock();
        atoll_interp_release(list[i]);
    }
    atoll_free(list);
}

/* Interrupts what runs now and waits for its end, in short sleeps so that
 * Ctrl-C gets through.  Fails: -1 with an exception. */
static int
interrupt_and_wait(ext_state *st, atoll_interp *interp, int64_t deadline)
{
    static const ext_request plain = {NULL, false};
    ext_helper_lock();
    atoll_mutex_lock(&interp->lock);
    uint64_t generation = interp->generation;
    bool running = interp->running;
    atoll_mutex_unlock(&interp->lock);
    if (running) {
        (void)ext_interrupt_locked(interp, generation, &plain);
    }
    ext_helper_unlock();
    atoll_status status = running ? ATOLL_E_TIMEOUT : ATOLL_OK;
    while (status == ATOLL_E_TIMEOUT) {
        int64_t soon = atoll_now() + 50 * EXT_MS;
        soon = soon < deadline ? soon : deadline;
        Py_BEGIN_ALLOW_THREADS
        status = atoll_interp_wait_idle(interp, generation, soon);
        Py_END_ALLOW_THREADS
        if (status == ATOLL_E_TIMEOUT && ext_run_check(st) < 0) {
            return -1;
        }
        if (atoll_now() >= deadline) {
            break;
        }
    }
    return 0;
}

int
ext_interrupt_for_close(ext_state *st, atoll_interp *interp, int64_t deadline)
{
    if (ext_helper_need() < 0) {
        return -1;
    }
    bool running;
    do {
        if (interrupt_and_wait(st, interp, deadline) < 0) {
            return -1;
        }
        atoll_mutex_lock(&interp->lock);
        running = interp->running;
        atoll_mutex_unlock(&interp->lock);
    } while (running && atoll_now() < deadline);
    if (running) {
        return 0; /* it may be stuck in C and keep the GIL: no visit */
    }
    interrupt_calls_from(interp);
    if (interrupt_threads(st, interp) < 0) {
        PyErr_Clear(); /* close() says what is wrong */
    }
    return 0;
}

/* --- the end of the process --------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t parked; /* interpreters whose code has stopped [lock] */
} parking
    = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* The pending call: keeps the interpreter's GIL, so no code runs there. */
static int
park(void *arg)
{
    (void)pthread_mutex_lock(&parking.lock);
    parking.parked++;
    (void)pthread_cond_signal(&parking.changed);
    (void)pthread_mutex_unlock(&parking.lock);
    while (arg == NULL) {
        (void)pause();
    }
    return 0;
}

void
ext_interrupt_park(atoll_interp **list, size_t count, int64_t grace)
{
    size_t asked = 0;
    struct timespec until;
    for (size_t i = 0; i < count; i++) {
        if (atoll_interp_get_life(list[i]) != ATOLL_LIFE_DEFERRED
            && atoll_interp_glance(list[i])) {
            asked += ext_helper_add_pending(list[i]->handle, park, NULL) == 0;
            atoll_interp_leave(list[i], false);
        }
    }
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)grace;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    int err = 0;
    (void)pthread_mutex_lock(&parking.lock);
    while (parking.parked < asked && err == 0) {
        err = pthread_cond_timedwait(&parking.changed, &parking.lock, &until);
    }
    (void)pthread_mutex_unlock(&parking.lock);
}
