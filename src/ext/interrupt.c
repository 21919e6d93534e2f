/* Interruption: interrupt() and deadlines.
 *
 * PyThreadState_SetAsyncExc alone would need the target's GIL, may find the
 * wrong thread state, and may hit the call after the one that was meant.  So
 * an interruption is a mark on one visit (under its record's lock, while it is
 * the record's running call) and a pending call in that interpreter, which
 * looks at the mark: on the thread that runs the call it raises.  On another
 * thread of that interpreter it calls SetAsyncExc for the right one, with a
 * class whose constructor takes the mark there; since it holds the
 * interpreter's GIL from the look at the mark until then, the call cannot end
 * in between.
 *
 * CPython drops what is raised in a finalizer or a callback, and code that
 * looks for something drops what it finds instead.  So an exception that a
 * call was told by while atoll built its arguments or took its result apart is
 * raised again at the next step, and one that left the code of the call
 * without having met a handler (atoll._errors.was_dropped) when it returns.
 *
 * When the call ends, its visit is off the record before the thread leaves,
 * and whether it has been told is known: a pending call that comes late finds
 * nothing, the next call is never hit, and an interruption that was promised
 * (interrupt() said True) is never forgotten.
 *
 * A call begins when it has its interpreter's slot.  The first one sets the
 * interpreter up, which may take a while and must not be cut short: what it is
 * told meanwhile waits until that is done (`settled`).
 *
 * A call that is made from inside a call is interrupted with it: its visit is
 * linked as `above`.  A wait of atoll's is woken through the thread's parker
 * and looks at the mark itself (ext_run_check).
 *
 * The helper thread looks after each call that was interrupted: until it has
 * taken its mark it is told again at once (3.12 may lose a pending call's
 * signal), and when it goes on all the same it is told once more after
 * FIRST_PAUSE, then ever more rarely.
 *
 * Locks: the helper's, then a record's.  Neither while Python runs.
 */
#include "interrupt_impl.h"

#include "errors.h"
#include "interrupt_limits.h"
#include "memory.h"
#include "module.h"
#include "run.h"
#include "transfer.h"
#include "../core/async.h"

#include <string.h>

/* Until a mark is taken. */
#define FIRST_NUDGE (20 * EXT_MS)
#define LAST_NUDGE (1000 * EXT_MS)
/* Until code that goes on after an interruption is told again. */
#define FIRST_PAUSE (500 * EXT_MS)
#define LAST_PAUSE (5000 * EXT_MS)
/* Pending calls on their way at the same time, of the 32 that 3.12 has. */
#define MAX_TOLD 4
/* Until an exception that cannot be built is Interrupted instead. */
#define MAX_WAIT (1000 * EXT_MS)

typedef struct interrupt_part {
    PyTypeObject *carrier; /* what SetAsyncExc is given */
} interrupt_part;

atomic_bool ext_interrupt_exiting;

static int
deliver(void *arg);

static interrupt_part *
get_part(ext_state *st)
{
    return st->parts[EXT_PART_INTERRUPT];
}

/* --- marking ---------------------------------------------------------------- */

/* Locks: interp's.  Asks the interpreter to look at its mark. */
static void
tell(atoll_interp *interp, ext_visit *visit)
{
    visit->deliver = true;
    atoll_parker_interrupt(visit->parker);
    ext_helper_post(interp, EXT_POST_TELL);
}

/* See interrupt_impl.h. */
void
ext_interrupt_post(atoll_interp *interp)
{
    atoll_mutex_lock(&interp->lock);
    bool tells = interp->told < MAX_TOLD;
    interp->told += tells;
    atoll_mutex_unlock(&interp->lock);
    if (tells) {
        atoll_interp_acquire(interp);
    }
    if (tells
        && ext_helper_add_pending(interp->handle, deliver, interp) != 0) {
        atoll_mutex_lock(&interp->lock);
        interp->told--; /* full: told again shortly */
        atoll_mutex_unlock(&interp->lock);
        atoll_interp_release(interp);
    }
    /* Last: an event loop looks as soon as it wakes, before it runs a callback,
     * where asyncio would only log the exception. */
    atoll_loop_wake_all(interp->id);
}

/* Locks: the helper's and interp's; visit is the running call. */
static void
mark(atoll_interp *interp, ext_visit *visit, const ext_request *what)
{
    if (what->error != NULL) {
        if (visit->error != NULL) {
            atoll_frame_release(visit->error);
        }
        atoll_frame_acquire(what->error);
        visit->error = what->error;
    }
    visit->interrupted = true;
    visit->timed_out |= what->timed_out;
    tell(interp, visit);
    visit->pause = FIRST_NUDGE;
    visit->patient = false;
    ext_helper_set_timer(visit, atoll_now() + visit->pause);
}

/* See interrupt_impl.h. */
bool
ext_interrupt_locked(atoll_interp *interp, uint64_t generation,
                     const ext_request *what)
{
    static const ext_request plain = {NULL, false};
    bool found = false;
    atoll_interp_acquire(interp);
    for (;;) {
        atoll_interp *inner = NULL;
        atoll_mutex_lock(&interp->lock);
        ext_visit *visit = interp->run;
        if (visit != NULL
            && (generation == 0 || visit->generation == generation)) {
            mark(interp, visit, what);
            found = true;
            if (visit->above != NULL) {
                inner = visit->above->interp;
                generation = visit->above->generation;
                atoll_interp_acquire(inner);
            }
        }
        atoll_mutex_unlock(&interp->lock);
        atoll_interp_release(interp);
        if (inner == NULL) {
            return found;
        }
        interp = inner;
        what = &plain;
    }
}

/* The visit's call runs: it takes its timer off before it ends. */
void
ext_interrupt_fire(ext_visit *visit, int64_t now)
{
    atoll_interp *interp = visit->interp;
    if (visit->pause == 0) {
        ext_request what = {NULL, true};
        ext_helper_set_timer(visit, ATOLL_FOREVER); /* it may be sealed */
        (void)ext_interrupt_locked(interp, visit->generation, &what);
        return;
    }
    atoll_mutex_lock(&interp->lock);
    if (interp->run != visit) {
        visit->pause = ATOLL_FOREVER - now;
    }
    else if (visit->deliver) {
        tell(interp, visit);
        visit->pause
            = visit->pause * 2 < LAST_NUDGE ? visit->pause * 2 : LAST_NUDGE;
    }
    else if (!visit->patient) {
        /* It has been told.  Give it time to clean up. */
        visit->patient = true;
        visit->patience = visit->patience == 0 ? FIRST_PAUSE
                          : visit->patience * 2 < LAST_PAUSE
                              ? visit->patience * 2
                              : LAST_PAUSE;
        visit->pause = visit->patience;
    }
    else {
        visit->patient = false;
        tell(interp, visit);
        visit->pause = FIRST_NUDGE;
    }
    atoll_mutex_unlock(&interp->lock);
    ext_helper_set_timer(visit, now + visit->pause);
}

/* The hook of attach.c: `above` was called from inside `below`, which was
 * interrupted and does not know yet. */
static void
pass_on(ext_visit *above)
{
    static const ext_request plain = {NULL, false};
    ext_helper_lock();
    (void)ext_interrupt_locked(above->interp, above->generation, &plain);
    ext_helper_unlock();
}

/* --- raising -------------------------------------------------------------- */

/* The exception in the frame; NULL (no exception is set): it cannot be built
 * here.  Attached: to the marked interpreter. */
static PyObject *
build_error(ext_state *st, const atoll_frame *frame)
{
    PyObject *error = ext_decode(st, frame);
    if (error == NULL
        || (!PyExceptionInstance_Check(error)
            && !PyExceptionClass_Check(error))) {
        PyErr_Clear();
        Py_CLEAR(error);
    }
    return error;
}

/* The exception of a mark.  Attached: to the marked interpreter.
 * Owns: takes the frame's reference.  New reference; never NULL. */
static PyObject *
make_error(ext_state *st, atoll_frame *frame)
{
    PyObject *error = NULL;
    if (frame != NULL) {
        /* It may be that there is no memory left (limits). */
        int64_t limit = ext_memory_lift_limit(st->self->handle);
        error = build_error(st, frame);
        ext_memory_restore_limit(st->self->handle, limit);
        atoll_frame_release(frame);
    }
    if (error == NULL) {
        error = Py_NewRef(ext_error_type(st, EXT_ERR_INTERRUPTED));
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

/* The thread of the call has been given `error`. */
static void
remember(ext_visit *visit, PyObject *error)
{
    Py_XSETREF(visit->told, Py_NewRef(error));
    visit->owed |= !visit->running;
}

/* Raises the exception of a mark in visit, and remembers it. */
static void
raise_mark(ext_visit *visit, atoll_frame *frame)
{
    set_error(make_error(visit->state, frame));
    PyObject *error = PyErr_GetRaisedException();
    remember(visit, error);
    PyErr_SetRaisedException(error);
}

/* Takes the mark.  False: there is none. */
static bool
take_mark(ext_visit *visit, atoll_frame **out_error)
{
    atoll_mutex_lock(&visit->interp->lock);
    bool marked = visit->deliver;
    visit->deliver = false;
    *out_error = marked ? visit->error : NULL;
    if (*out_error != NULL) {
        atoll_frame_acquire(*out_error);
    }
    atoll_mutex_unlock(&visit->interp->lock);
    return marked;
}

/* Another thread may have sent it by SetAsyncExc, too. */
static void
drop_carrier(ext_state *st)
{
    PyThreadState *state = PyThreadState_Get();
    if (ATOLL_UNLIKELY(ext_compat_has_async_exc(state))) {
        PyObject *waiting = ext_compat_take_async_exc(state);
        if (waiting != NULL && waiting != (PyObject *)get_part(st)->carrier) {
            (void)PyThreadState_SetAsyncExc(atoll_thread_ident(), waiting);
        }
        Py_XDECREF(waiting);
    }
}

int
ext_interrupt_take_mark(ext_visit *visit)
{
    atoll_frame *frame;
    if (!take_mark(visit, &frame)) {
        return 0;
    }
    drop_carrier(visit->state);
    raise_mark(visit, frame);
    return -1;
}

/* While the arguments are built, the module of what is to be raised may just
 * be half imported: then it can wait.  The mark stays, and its timer tells the
 * call again. */
static bool
can_wait(ext_visit *visit)
{
    bool waits = false;
    int64_t now = atoll_now();
    if (visit->running
        || (visit->waits != 0 && now - visit->waits > MAX_WAIT)) {
        return false;
    }
    atoll_mutex_lock(&visit->interp->lock);
    atoll_frame *frame = visit->deliver ? visit->error : NULL;
    if (frame != NULL) {
        atoll_frame_acquire(frame);
    }
    atoll_mutex_unlock(&visit->interp->lock);
    if (frame != NULL) {
        PyObject *error = build_error(visit->state, frame);
        atoll_frame_release(frame);
        waits = error == NULL;
        if (waits && visit->waits == 0) {
            visit->waits = now;
        }
        Py_XDECREF(error);
    }
    return waits;
}

/* Raises what the call was interrupted with, once more. */
static void
raise_again(ext_visit *visit)
{
    atoll_mutex_lock(&visit->interp->lock);
    atoll_frame *frame = visit->error;
    if (frame != NULL) {
        atoll_frame_acquire(frame);
    }
    atoll_mutex_unlock(&visit->interp->lock);
    raise_mark(visit, frame);
}

bool
ext_interrupt_imports(PyThreadState *tstate)
{
    PyFrameObject *frame = PyThreadState_GetFrame(tstate);
    if (frame == NULL) {
        return false;
    }
    PyCodeObject *code = PyFrame_GetCode(frame);
    bool imports = PyUnicode_CompareWithASCIIString(
                       code->co_filename, "<frozen importlib._bootstrap>")
                   == 0;
    Py_DECREF(code);
    Py_DECREF(frame);
    return imports;
}

/* The pending call.  Attached: to interp, on any of its threads. */
static int
deliver(void *arg)
{
    atoll_interp *interp = arg;
    ext_visit *mine = NULL;
    ext_visit *innermost = ext_attach_innermost();
    ext_visit *other = NULL;
    atoll_mutex_lock(&interp->lock);
    interp->told--;
    ext_visit *visit = interp->run;
    unsigned long runner = interp->runner;
    ext_state *st = interp->ext;
    if (visit != NULL && visit->deliver && visit->settled && st != NULL) {
        if (runner != atoll_thread_ident()) {
            other = visit;
        }
        else if (visit == innermost) {
            mine = visit;
        }
        /* Else it is further in, and told when it is back (pop_visit). */
    }
    atoll_mutex_unlock(&interp->lock);
    atoll_interp_release(interp);
    if (mine != NULL) {
        /* A mark that is not taken is told again by the visit's timer. */
        return ext_interrupt_imports(PyThreadState_Get()) || can_wait(mine)
                   ? 0
                   : ext_interrupt_take_mark(mine);
    }
    if (other != NULL && !ext_interrupt_imports(other->inner)) {
        /* This thread has had the GIL all the time: the call still runs. */
        (void)PyThreadState_SetAsyncExc(runner,
                                        (PyObject *)get_part(st)->carrier);
    }
    return 0;
}

/* The hook of attach.c: the thread is back in visit, which has a mark. */
static void
remind(ext_visit *visit)
{
    atoll_mutex_lock(&visit->interp->lock);
    if (visit->interp->run == visit && visit->deliver) {
        tell(visit->interp, visit);
    }
    atoll_mutex_unlock(&visit->interp->lock);
}

/* The carrier's constructor: called by the eval loop on the thread that was
 * given it, and gives what is to be raised instead. */
static PyObject *
Carrier_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
            PyObject *Py_UNUSED(kwargs))
{
    ext_state *st = ext_state_of_class(type);
    ext_visit *visit = ext_attach_top();
    atoll_frame *frame = NULL;
    bool marked = visit != NULL && visit->run && visit->state == st
                  && take_mark(visit, &frame);
    PyObject *error = make_error(st, frame);
    if (PyExceptionClass_Check(error)) {
        Py_SETREF(error, PyObject_CallNoArgs(error));
    }
    if (marked && error != NULL) {
        remember(visit, error);
    }
    return error;
}

static PyType_Slot Carrier_slots[] = {
    {Py_tp_doc, "Raises what interrupt() was given."},
    {Py_tp_new, Carrier_new},
    {0, NULL},
};

static PyType_Spec Carrier_spec = {
    .name = "atoll._core._Carrier",
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Carrier_slots,
};

int
ext_run_check(ext_state *st)
{
    ext_visit *visit = ext_attach_top();
    if (visit != NULL && visit->run && visit->settled
        && ext_interrupt_take_mark(visit) < 0) {
        return -1;
    }
    PyThreadState *state = PyThreadState_Get();
    if (ext_compat_has_async_exc(state)) {
        PyObject *waiting = ext_compat_take_async_exc(state);
        if (waiting == (PyObject *)get_part(st)->carrier) {
            Py_DECREF(waiting); /* its mark was taken on another way */
        }
        else if (waiting != NULL) {
            set_error(waiting);
            return -1;
        }
    }
    return ext_attach_is_main() ? ext_signals_run() : 0;
}

/* --- the end of a call --------------------------------------------------------- */

/* Takes the call off the record: no mark can be set from now on.  Returns
 * whether there was one that nobody had taken. */
static bool
seal(ext_visit *visit)
{
    if (!visit->run) {
        return false;
    }
    atoll_interp *interp = visit->interp;
    atoll_mutex_lock(&interp->lock);
    if (interp->run == visit) {
        interp->run = NULL;
    }
    bool interrupted = visit->interrupted;
    bool untold = visit->deliver;
    visit->deliver = false;
    if (visit->call != NULL) {
        visit->call->visit = NULL;
        visit->call->over = true;
        visit->call = NULL;
    }
    atoll_mutex_unlock(&interp->lock);
    if (interrupted && visit->state != NULL) {
        drop_carrier(visit->state);
    }
    return untold;
}

int
ext_interrupt_begin_code(ext_visit *visit)
{
    if (ATOLL_UNLIKELY(visit->deliver) && ext_interrupt_take_mark(visit) < 0) {
        return -1; /* what is called may be C code, which would not look */
    }
    if (ATOLL_UNLIKELY(visit->owed)) {
        raise_again(visit);
        return -1;
    }
    visit->running = true;
    return 0;
}

void
ext_interrupt_end_code(ext_visit *visit)
{
    visit->running = false;
}

/* Asks a function of atoll._errors about exceptions.  No exception is left;
 * if it cannot be found out, the answer is yes.  two: may be NULL. */
static bool
ask(const char *name, PyObject *one, PyObject *two)
{
    PyObject *func = ext_state_python("atoll._errors", name);
    PyObject *got = func == NULL
                        ? NULL
                        : PyObject_CallFunctionObjArgs(func, one, two, NULL);
    Py_XDECREF(func);
    PyErr_Clear();
    Py_XDECREF(got);
    return got != Py_False;
}

int
ext_interrupt_conclude(ext_visit *visit)
{
    if (seal(visit) || visit->owed
        || (ATOLL_UNLIKELY(visit->told != NULL)
            && ask("was_dropped", visit->told, NULL))) {
        raise_again(visit);
        visit->owed = true;
        return -1;
    }
    return 0;
}

ext_verdict
ext_interrupt_judge(ext_visit *visit, PyObject *error)
{
    bool untold = seal(visit);
    PyObject *told = visit->told;
    ext_verdict verdict = {visit->interrupted, visit->timed_out};
    if (verdict.interrupted && !untold && !visit->owed && told != NULL
        && error != told) {
        verdict.interrupted = ask("stems_from", error, told);
    }
    return verdict;
}

/* The hook of attach.c: nothing of this call may be left. */
static void
end_visit(ext_visit *visit)
{
    (void)seal(visit);
    if (ATOLL_UNLIKELY(visit->guard != NULL)) {
        ext_guard_end(visit->guard, visit);
        visit->guard = NULL;
    }
    if (visit->armed) {
        ext_helper_clear_timer(visit);
    }
    if (visit->error != NULL) {
        atoll_frame_release(visit->error);
        visit->error = NULL;
    }
    Py_CLEAR(visit->told);
}

/* --- what the types call ------------------------------------------------------ */

int
ext_interrupt_arm(ext_visit *visit, double timeout)
{
    int64_t at = atoll_deadline_after(timeout);
    if (timeout <= 0) {
        /* The code is not run at all. */
        atoll_mutex_lock(&visit->interp->lock);
        visit->interrupted = visit->timed_out = true;
        atoll_mutex_unlock(&visit->interp->lock);
        raise_mark(visit, NULL);
        return -1;
    }
    if (at == ATOLL_FOREVER) {
        return 0;
    }
    if (ext_helper_need() < 0) {
        return -1;
    }
    ext_helper_lock();
    if (!visit->armed) {
        /* Else it has been interrupted already, and is looked after. */
        ext_helper_set_timer(visit, at);
    }
    ext_helper_unlock();
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

/* Fails: -1 with an exception. */
static int
prepare(ext_state *st, PyObject *exc, ext_request *out)
{
    *out = (ext_request){NULL, false};
    if (_PyEval_AddPendingCall == NULL) {
        PyErr_SetString(PyExc_NotImplementedError,
                        "this CPython does not let atoll interrupt");
        return -1;
    }
    if (ext_helper_need() < 0) {
        return -1;
    }
    if (exc != NULL) {
        out->error = pack_error(st, exc);
        return out->error == NULL ? -1 : 0;
    }
    return 0;
}

static void
drop_request(ext_request *what)
{
    if (what->error != NULL) {
        atoll_frame_release(what->error);
    }
}

PyObject *
ext_interrupt_call(ext_state *st, atoll_interp *interp, PyObject *exc)
{
    ext_request what;
    if (prepare(st, exc, &what) < 0) {
        return NULL;
    }
    ext_helper_lock();
    bool found = ext_interrupt_locked(interp, 0, &what);
    ext_helper_unlock();
    drop_request(&what);
    return PyBool_FromLong(found);
}

int
ext_interrupt_one(atoll_interp *interp, uint64_t generation)
{
    static const ext_request plain = {NULL, false};
    if (ext_helper_need() < 0) {
        return -1;
    }
    ext_helper_lock();
    bool found = ext_interrupt_locked(interp, generation, &plain);
    ext_helper_unlock();
    return found;
}

/* --- calls that have a name ------------------------------------------------------ */

void
ext_call_init(ext_call *call, atoll_interp *interp)
{
    memset(call, 0, sizeof(*call));
    atoll_interp_acquire(interp);
    call->interp = interp;
}

void
ext_call_fini(ext_call *call)
{
    if (call->error != NULL) {
        atoll_frame_release(call->error);
    }
    if (call->interp != NULL) {
        atoll_interp_release(call->interp);
    }
}

int
ext_call_begin(ext_call *call, ext_visit *visit)
{
    atoll_interp *interp = visit->interp;
    atoll_mutex_lock(&interp->lock);
    bool asked = call->asked;
    if (asked) {
        visit->interrupted = true;
        visit->error = call->error;
        call->error = NULL;
        call->over = true;
    }
    else {
        call->visit = visit;
        visit->call = call;
    }
    atoll_mutex_unlock(&interp->lock);
    if (asked) {
        raise_again(visit);
        return -1;
    }
    return call->guard == NULL ? 0 : ext_guard_begin(call->guard, visit);
}

void
ext_call_end(ext_call *call)
{
    atoll_mutex_lock(&call->interp->lock);
    call->over = true;
    atoll_mutex_unlock(&call->interp->lock);
}

int
ext_call_interrupt(ext_state *st, ext_call *call, PyObject *exc)
{
    ext_request what;
    atoll_interp *interp = call->interp;
    if (prepare(st, exc, &what) < 0) {
        return -1;
    }
    uint64_t generation = 0;
    ext_helper_lock();
    atoll_mutex_lock(&interp->lock);
    bool found = !call->over;
    if (call->visit != NULL) {
        generation = call->visit->generation;
    }
    else if (found) {
        call->asked = true;
        if (call->error == NULL) {
            call->error = what.error;
            what.error = NULL;
        }
    }
    atoll_mutex_unlock(&interp->lock);
    if (generation != 0) {
        found = ext_interrupt_locked(interp, generation, &what);
    }
    ext_helper_unlock();
    drop_request(&what);
    return found;
}

/* --- the part ------------------------------------------------------------------------ */

static PyObject *
core_check(PyObject *module, PyObject *Py_UNUSED(args))
{
    if (ext_run_check(ext_state_of_module(module)) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
core_interrupted(PyObject *module, PyObject *Py_UNUSED(args))
{
    return Py_NewRef(
        ext_error_type(ext_state_of_module(module), EXT_ERR_INTERRUPTED));
}

static PyMethodDef interrupt_functions[] = {
    {"_interrupted", core_interrupted, METH_NOARGS,
     PyDoc_STR("_interrupted()\n--\n\nThe class Interrupted.")},
    {"_check", core_check, METH_NOARGS,
     PyDoc_STR("_check()\n--\n\nLet signals and interruptions act.")},
    {NULL, NULL, 0, NULL},
};

static int
interrupt_exec(PyObject *module, ext_state *st)
{
    interrupt_part *part = PyMem_Calloc(1, sizeof(*part));
    if (part == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    st->parts[EXT_PART_INTERRUPT] = part;
    part->carrier = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &Carrier_spec, PyExc_BaseException);
    if (part->carrier == NULL) {
        return -1;
    }
    ext_attach_on_end = end_visit;
    ext_attach_on_return = remind;
    ext_attach_on_call = pass_on;
    ext_signals_open();
    return PyModule_AddFunctions(module, interrupt_functions);
}

static int
interrupt_traverse(ext_state *st, visitproc visit, void *arg)
{
    if (get_part(st) != NULL) {
        Py_VISIT(get_part(st)->carrier);
    }
    return 0;
}

static void
interrupt_clear(ext_state *st)
{
    if (get_part(st) != NULL) {
        Py_CLEAR(get_part(st)->carrier);
    }
}

static void
interrupt_free(ext_state *st)
{
    PyMem_Free(get_part(st));
    st->parts[EXT_PART_INTERRUPT] = NULL;
}

const ext_part ext_interrupt_part = {
    .id = EXT_PART_INTERRUPT,
    .exec = interrupt_exec,
    .traverse = interrupt_traverse,
    .clear = interrupt_clear,
    .free = interrupt_free,
};
