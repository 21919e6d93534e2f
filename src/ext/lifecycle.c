/* Ending interpreters, in this order, each step while there is a way back:
 *   1. mark the record closing: no new visit starts; wait for the visits;
 *   2. refuse if a thread lives there that would not be joined (a daemon, a
 *      raw thread): from here the interpreter stays usable;
 *   3. join its threads as threading._shutdown() would (Ctrl-C gives it up);
 *   4. its atexit functions run; its module state becomes unusable for others;
 *   5. if a foreign thread state is left all the same, stop here: inside
 *      Py_EndInterpreter 3.13 and older would abort the process.  The record
 *      stays closing; close() may be tried again;
 *   6. if others still see its memory (holds), stop here: it is closed for
 *      everybody, and the last view's end puts it on the reaper's list;
 *   7. clear and delete every kept thread state;
 *   8. Py_EndInterpreter; the record is gone.
 * Somebody else may end it instead (the standard module, exit): the atexit
 * callback that every atoll._core registers then does steps 1, 4 and 7 from
 * within.
 *
 * The last handle's end must not block nor run Python in a deallocator: it
 * puts the record on the reaper's list; the main thread's next pending call,
 * or the next call into atoll, ends it.  What fails for lack of memory is tried
 * again at the next such call.
 *
 * Locks: `reaper.lock` guards the list; taken alone.
 */
#include "lifecycle.h"

#include "chores.h"
#include "create.h"
#include "errors.h"
#include "exit.h"
#include "interrupt.h"
#include "memory.h"
#include "module.h"
#include "run.h"
#include "setup.h"
#include "transfer.h"

#include "../core/queue.h"
#include "../core/sync.h"

#include <string.h>
#include <time.h>

/* How long a thread that has left Python may take to delete its state. */
#define GRACE_NS 2000000000LL
/* The same, where to give up means no more than that close() is refused. */
#define SHORT_GRACE_NS 100000000LL
/* How long daemon threads may take to end when others end their interpreter. */
#define DAEMON_NS 1000000000LL
/* How long the threads of one that nobody refers to any more are joined. */
#define REAP_NS 100000000LL

static struct {
    pthread_mutex_t lock;
    atoll_interp *head; /* linked by to_end; owns a reference to each */
    atomic_bool any;
    atomic_bool asked; /* a pending call is on its way */
} reaper = {.lock = PTHREAD_MUTEX_INITIALIZER};

int (*ext_lifecycle_on_closed)(ext_state *st, atoll_interp *interp);

/* --- ending ------------------------------------------------------------- */

/* Calls module.name([arg]).  Fails: -1, exception set. */
static int
call_function(const char *module, const char *name, PyObject *arg)
{
    PyObject *func = ext_state_python(module, name);
    PyObject *got = NULL;
    if (func != NULL) {
        got = arg == NULL ? PyObject_CallNoArgs(func)
                          : PyObject_CallOneArg(func, arg);
    }
    Py_XDECREF(func);
    Py_XDECREF(got);
    return got == NULL ? -1 : 0;
}

/* The idents of threads with states in interp that are not atoll's, as a list
 * of int.  Attached: to interp, whose GIL keeps the list from changing under
 * us but for threads that are just ending or starting. */
static PyObject *
list_foreign(atoll_interp *interp)
{
    PyObject *list = PyList_New(0);
    if (list == NULL) {
        return NULL;
    }
    PyThreadState *own = PyThreadState_Get();
    for (PyThreadState *t = PyInterpreterState_ThreadHead(interp->handle);
         t != NULL; t = PyThreadState_Next(t)) {
        if (t == own || ext_attach_is_kept(interp, t)) {
            continue;
        }
        PyObject *ident = PyLong_FromUnsignedLong(t->thread_id);
        if (ident == NULL || PyList_Append(list, ident) < 0) {
            Py_XDECREF(ident);
            Py_DECREF(list);
            return NULL;
        }
        Py_DECREF(ident);
    }
    return list;
}

/* Which of the foreign threads would threading._shutdown not join?  Returns
 * their description (str, empty: none).  Attached: to interp. */
static PyObject *
describe_unjoinable(atoll_interp *interp, bool joined)
{
    PyObject *foreign = list_foreign(interp);
    if (foreign == NULL) {
        return NULL;
    }
    PyObject *text = NULL;
    if (PyList_GET_SIZE(foreign) == 0) {
        text = PyUnicode_FromString("");
    }
    else {
        PyObject *describe
            = ext_state_python("atoll._make", "describe_threads");
        if (describe != NULL) {
            text = PyObject_CallFunction(describe, "Oi", foreign, (int)joined);
            Py_DECREF(describe);
        }
    }
    Py_DECREF(foreign);
    return text;
}

/* How long threads that threading has forgotten may take to delete their
 * states: where the deadline has passed, they have had their time. */
static int64_t
grace_before(int64_t deadline)
{
    if (deadline == ATOLL_FOREVER || atoll_now() < deadline) {
        return GRACE_NS;
    }
    return atomic_load(&ext_interrupt_exiting) ? 0 : SHORT_GRACE_NS;
}

/* describe_unjoinable, with a grace for threads that have left Python, which
 * threading has forgotten, to delete their states. */
static PyObject *
settle_threads(atoll_interp *interp, bool joined, int64_t grace)
{
    int64_t deadline = atoll_now() + grace;
    for (;;) {
        PyObject *text = describe_unjoinable(interp, joined);
        if (text == NULL || PyUnicode_GET_LENGTH(text) == 0
            || atoll_now() > deadline) {
            return text;
        }
        Py_DECREF(text);
        Py_BEGIN_ALLOW_THREADS
        struct timespec pause = {0, 500000};
        (void)nanosleep(&pause, NULL);
        Py_END_ALLOW_THREADS
    }
}

/* What failed inside, for the caller outside. */
typedef struct failure {
    char *text; /* why it cannot be ended; NULL: out of memory */
    bool half;  /* threads were joined and atexit ran already */
} failure;

/* NULL: out of memory.  No exception is left. */
static char *
copy_text(PyObject *text)
{
    const char *utf8 = text == NULL ? NULL : PyUnicode_AsUTF8(text);
    if (utf8 == NULL) {
        bool memory = PyErr_ExceptionMatches(PyExc_MemoryError);
        PyErr_Clear();
        if (memory) {
            return NULL;
        }
        utf8 = "its threads cannot be told";
    }
    return atoll_strdup(utf8);
}

/* Step 3.  Fails: -1 with an exception. */
static int
join_threads(int64_t deadline)
{
    PyObject *modules = PyImport_GetModuleDict(); /* borrowed */
    if (PyMapping_HasKeyString(modules, "threading") == 0) {
        return 0; /* nobody has started one */
    }
    double seconds = deadline == ATOLL_FOREVER
                         ? Py_HUGE_VAL
                         : (double)(deadline - atoll_now()) / 1e9;
    PyObject *arg = PyFloat_FromDouble(seconds);
    if (arg == NULL) {
        return -1;
    }
    int result = call_function("atoll._make", "join_threads", arg);
    Py_DECREF(arg);
    return result;
}

/* Steps 2 to 6.  Attached: to interp.  False: *out says why. */
static bool
wind_down(ext_visit *visit, int64_t deadline, failure *out)
{
    atoll_interp *interp = visit->interp;
    PyObject *text = settle_threads(interp, false, SHORT_GRACE_NS);
    if (text == NULL || PyUnicode_GET_LENGTH(text) > 0) {
        out->text = copy_text(text);
        Py_XDECREF(text);
        return false;
    }
    Py_DECREF(text);
    if (join_threads(deadline) < 0) {
        if (visit->signalled) {
            PyErr_Clear(); /* raise_signal tells it where it belongs */
            return false;
        }
        PyErr_WriteUnraisable(NULL);
    }
    text = describe_unjoinable(interp, true);
    if (text == NULL || PyUnicode_GET_LENGTH(text) > 0) {
        Py_XDECREF(text);
        text = settle_threads(interp, true, grace_before(deadline));
    }
    if (text == NULL || PyUnicode_GET_LENGTH(text) > 0) {
        out->text = copy_text(text);
        Py_XDECREF(text);
        return false;
    }
    Py_DECREF(text);
    out->half = true;
    if (call_function("atexit", "_run_exitfuncs", NULL) < 0) {
        PyErr_WriteUnraisable(NULL);
    }
    text = settle_threads(interp, true, grace_before(deadline));
    if (text == NULL || PyUnicode_GET_LENGTH(text) > 0) {
        out->text = copy_text(text);
        Py_XDECREF(text);
        return false;
    }
    Py_DECREF(text);
    return true;
}

/* Nothing will run in the interpreter any more: its locks and its items are
 * told.  Who asked to hear of it is told later, by call_watchers. */
static void
tell_ended(atoll_interp *interp)
{
    atoll_sync_owner_died(interp->id);
    atoll_queue_sender_died(interp->id);
}

/* Attached: to interp by visit; to the outer one afterwards. */
static void
end_interpreter(ext_visit *visit)
{
    atoll_interp *interp = visit->interp;
    if (visit->marked && _PyInterpreterState_SetNotRunningMain != NULL) {
        _PyInterpreterState_SetNotRunningMain(interp->handle);
    }
    PyErr_Clear();
    if (interp->ext != NULL) {
        ext_run_let_main_go(interp->ext);
    }
    /* From here nobody may touch the handle: not the helper thread, which
     * visits for a moment to deliver a signal. */
    Py_BEGIN_ALLOW_THREADS(void)
    atoll_interp_wait_visits(interp, 1, ATOLL_FOREVER);
    Py_END_ALLOW_THREADS
    Py_EndInterpreter(PyThreadState_Get());
    ext_memory_forget(interp->handle);
    ext_attach_leave_ended(visit);
    ext_attach_forget_kept(interp);
    atoll_interp_set_life(interp, ATOLL_LIFE_GONE);
    tell_ended(interp);
}

/* It refuses work; half_ended: close() may be tried again, by anybody. */
static void
set_closing(atoll_interp *interp, bool half_ended)
{
    atoll_mutex_lock(&interp->lock);
    interp->life = ATOLL_LIFE_CLOSING;
    interp->half_ended = half_ended;
    atoll_cond_signal_all(&interp->changed);
    atoll_mutex_unlock(&interp->lock);
}

/* Waits for the visits of other threads, which are short.  Fails: -1 with an
 * exception (Ctrl-C, or it took too long). */
static int
wait_for_visits(ext_state *st, atoll_interp *interp, int64_t deadline)
{
    int64_t soon = atoll_now() + grace_before(deadline);
    int64_t late = atoll_now() + 5 * GRACE_NS;
    deadline = deadline < soon ? soon : deadline < late ? deadline : late;
    for (;;) {
        atoll_status status;
        Py_BEGIN_ALLOW_THREADS
        status = atoll_interp_wait_visits(interp, 0, atoll_now() + 50000000);
        Py_END_ALLOW_THREADS
        if (status == ATOLL_OK) {
            return 0;
        }
        if (ext_run_check(st) < 0) {
            return -1;
        }
        if (atoll_now() > deadline) {
            ext_error_format(st, EXT_ERR_INTERPRETER,
                             "interpreter %lld is in use by another thread",
                             (long long)interp->id);
            return -1;
        }
    }
}

static int
register_on_exit(PyObject *module);

/* Closed, but for its memory, which others see.  Attached: to interp by
 * visit; to the outer one afterwards. */
static void
put_off_end(ext_visit *visit)
{
    /* Its atexit functions are over: should somebody else end it now, we must
     * hear of that. */
    if (register_on_exit(visit->state->module) < 0) {
        PyErr_Clear();
    }
    ext_attach_leave(visit);
    tell_ended(visit->interp);
}

/* It is closed: calls who asked to hear of that.  Runs Python.  Fails: -1 with
 * what is no Exception (Ctrl-C). */
static int
call_watchers(ext_state *st, atoll_interp *interp)
{
    return ext_lifecycle_on_closed == NULL
               ? 0
               : ext_lifecycle_on_closed(st, interp);
}

/* Ctrl-C came during the steps.  Its exception is that of the handler where
 * this was the outermost visit; else it is on the way there.
 * Owns: takes over outer_error.  Attached: outer.  Returns -1. */
static int
raise_signal(PyObject *outer_error)
{
    if (outer_error != NULL) {
        PyErr_SetRaisedException(outer_error);
    }
    else {
        PyErr_SetNone(PyExc_KeyboardInterrupt);
    }
    return -1;
}

/* Life is CLOSING, by the caller.  An exception does not mean that it is not
 * closed. */
static int
close_marked(ext_state *st, atoll_interp *interp, int64_t deadline)
{
    ext_visit visit;
    failure why = {0};
    if (ext_attach_enter(st, interp, EXT_VISIT_CLOSER, &visit) < 0) {
        atoll_interp_cancel_close(interp);
        return -1;
    }
    if (wind_down(&visit, deadline, &why)) {
        if (atoll_interp_begin_end(interp)) {
            ext_attach_drop_kept(interp, true);
            end_interpreter(&visit);
        }
        else {
            put_off_end(&visit);
        }
        int result = call_watchers(st, interp);
        /* While its atexit functions ran: it is closed all the same. */
        return visit.signalled ? raise_signal(visit.outer_error) : result;
    }
    PyObject *outer_error = visit.outer_error;
    visit.outer_error = NULL;
    ext_attach_leave(&visit);
    if (why.half) {
        atoll_mutex_lock(&interp->lock);
        interp->wound_down = true;
        atoll_mutex_unlock(&interp->lock);
    }
    atoll_interp_cancel_close(interp);
    if (visit.signalled) { /* not what it led to there */
        atoll_free(why.text);
        return raise_signal(outer_error);
    }
    if (why.text == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    ext_error_format(st, EXT_ERR_INTERPRETER,
                     "cannot close interpreter %lld: %s%s",
                     (long long)interp->id, why.text,
                     why.half ? " (it is half ended and refuses work)" : "");
    atoll_free(why.text);
    return -1;
}

int
ext_lifecycle_check_closable(ext_state *st, const atoll_interp *interp)
{
    if (interp->id == 0
        || interp->handle == (void *)PyInterpreterState_Main()) {
        ext_error_format(st, EXT_ERR_INTERPRETER,
                         "the main interpreter cannot be closed");
        return -1;
    }
    if (interp == st->self) {
        ext_error_format(st, EXT_ERR_INTERPRETER,
                         "an interpreter cannot close itself: close() was "
                         "called in interpreter %lld",
                         (long long)interp->id);
        return -1;
    }
    return 0;
}

/* Does the standard module, or other code, run its __main__?  A visit keeps
 * the handle: another thread may be closing it, too. */
static bool
runs_for_others(atoll_interp *interp)
{
    if (_PyInterpreterState_IsRunningMain == NULL
        || atoll_interp_visit(interp, NULL, NULL) != ATOLL_OK) {
        return false;
    }
    bool running = _PyInterpreterState_IsRunningMain(interp->handle);
    atoll_interp_leave(interp, false);
    return running;
}

/* Marks it closing, if nothing runs in it. */
static atoll_status
begin_close(atoll_interp *interp)
{
    return ext_attach_is_there(interp) && runs_for_others(interp)
               ? ATOLL_E_BUSY
               : atoll_interp_begin_close(interp, false);
}

/* The rest, with what begin_close returned. */
static int
close_begun(ext_state *st, atoll_interp *interp, atoll_status begun,
            int64_t deadline)
{
    if (begun == ATOLL_E_BUSY) {
        ext_error_format(st, EXT_ERR_INTERPRETER,
                         "interpreter %lld is running", (long long)interp->id);
        return -1;
    }
    if (begun != ATOLL_OK) {
        ext_error_format(st, EXT_ERR_NOT_FOUND, "interpreter %lld is closed",
                         (long long)interp->id);
        return -1;
    }
    if (wait_for_visits(st, interp, deadline) < 0) {
        atoll_interp_cancel_close(interp);
        return -1;
    }
    return close_marked(st, interp, deadline);
}

int
ext_lifecycle_close(ext_state *st, atoll_interp *interp)
{
    return ext_lifecycle_close_by(st, interp, ATOLL_FOREVER);
}

int
ext_lifecycle_close_by(ext_state *st, atoll_interp *interp, int64_t deadline)
{
    if (ext_lifecycle_check_closable(st, interp) < 0) {
        return -1;
    }
    return close_begun(st, interp, begin_close(interp), deadline);
}

int
ext_lifecycle_stop_and_close(ext_state *st, atoll_interp *interp,
                             int64_t deadline)
{
    if (ext_lifecycle_check_closable(st, interp) < 0) {
        return -1;
    }
    atoll_status begun = ATOLL_E_BUSY;
    atoll_interp_bar_calls(interp, true);
    int result = ext_interrupt_for_close(st, interp, deadline);
    if (result == 0) {
        begun = begin_close(interp);
    }
    atoll_interp_bar_calls(interp, false);
    return result < 0 ? -1 : close_begun(st, interp, begun, deadline);
}

/* --- the reaper --------------------------------------------------------- */

bool
ext_lifecycle_must_reap(void)
{
    return atomic_load_explicit(&reaper.any, memory_order_relaxed);
}

static int
reap_pending(void *Py_UNUSED(arg))
{
    atomic_store(&reaper.asked, false);
    ext_state *st = ext_state_current();
    if (st == NULL) {
        PyErr_Clear();
        return 0;
    }
    return ext_lifecycle_reap(st);
}

static void
list_for_reaper(atoll_interp *interp)
{
    (void)pthread_mutex_lock(&reaper.lock);
    interp->to_end = reaper.head;
    reaper.head = interp;
    atomic_store(&reaper.any, true);
    (void)pthread_mutex_unlock(&reaper.lock);
}

/* Owns: takes over a reference.  Any thread, no interpreter needed. */
static void
add_to_reaper(atoll_interp *interp)
{
    list_for_reaper(interp);
    if (!atomic_exchange(&reaper.asked, true)
        && Py_AddPendingCall(reap_pending, NULL) < 0) {
        atomic_store(&reaper.asked, false);
    }
}

static void
on_last_hold(atoll_interp *interp)
{
    atoll_interp_acquire(interp);
    add_to_reaper(interp);
}

bool
ext_lifecycle_drop_handle(atoll_interp *interp)
{
    atoll_mutex_lock(&interp->lock);
    bool last = --interp->handles == 0 && interp->owned
                && interp->life == ATOLL_LIFE_OPEN && !interp->running;
    if (last) {
        /* Off every list at once; the end comes at the next safe moment. */
        interp->life = ATOLL_LIFE_CLOSING;
    }
    atoll_mutex_unlock(&interp->lock);
    if (last) {
        add_to_reaper(interp);
    }
    else {
        atoll_interp_release(interp);
    }
    return last;
}

void
ext_lifecycle_after_fork(void)
{
    (void)pthread_mutex_init(&reaper.lock, NULL);
    ext_create_after_fork();
    reaper.head = NULL; /* they do not exist here */
    atomic_store(&reaper.any, false);
    atomic_store(&reaper.asked, false);
}

static atoll_interp *
take_from_reaper(ext_state *st)
{
    (void)pthread_mutex_lock(&reaper.lock);
    atoll_interp **place = &reaper.head;
    while (*place != NULL && *place == st->self) {
        place = &(*place)->to_end; /* not from inside itself */
    }
    atoll_interp *found = *place;
    if (found != NULL) {
        *place = found->to_end;
    }
    atomic_store(&reaper.any, reaper.head != NULL);
    (void)pthread_mutex_unlock(&reaper.lock);
    return found;
}

int
ext_lifecycle_reap(ext_state *st)
{
    PyObject *pending = PyErr_GetRaisedException();
    PyObject *stop = NULL; /* Ctrl-C while it was waited for */
    atoll_interp *later = NULL;
    for (;;) {
        atoll_interp *interp = take_from_reaper(st);
        if (interp == NULL) {
            break;
        }
        /* Nobody waits for this end: what cannot be ended soon (a thread
         * runs in it) stays as it is, unlisted, until the process ends. */
        int64_t deadline = atoll_now() + REAP_NS;
        set_closing(interp, false);
        bool failed = wait_for_visits(st, interp, deadline) < 0
                      || close_marked(st, interp, deadline) < 0;
        PyObject *error = failed ? PyErr_GetRaisedException() : NULL;
        bool again = error != NULL
                     && PyErr_GivenExceptionMatches(error, PyExc_MemoryError);
        if (error != NULL && stop == NULL
            && !PyErr_GivenExceptionMatches(error, PyExc_Exception)) {
            stop = Py_NewRef(error);
        }
        Py_XDECREF(error);
        if (failed && atoll_interp_get_life(interp) < ATOLL_LIFE_DEFERRED) {
            set_closing(interp, !again);
            if (again) {
                interp->to_end = later;
                later = interp;
                continue;
            }
        }
        atoll_interp_release(interp);
    }
    while (later != NULL) {
        atoll_interp *next = later->to_end;
        list_for_reaper(later);
        later = next;
    }
    if (pending != NULL && stop != NULL) {
        PyErr_SetRaisedException(stop);
        PyErr_WriteUnraisable(NULL);
        stop = NULL;
    }
    PyErr_SetRaisedException(pending != NULL ? pending : stop);
    return stop == NULL ? 0 : -1;
}

/* --- ended by others ------------------------------------------------------ */

/* Threads that are left now are daemon threads: with one of them alive 3.12
 * and 3.13 abort the process at the end of an interpreter. */
static void
end_daemon_threads(atoll_interp *interp)
{
    PyObject *text = describe_unjoinable(interp, true);
    if (text != NULL && PyUnicode_GET_LENGTH(text) > 0) {
        ext_interrupt_threads(interp);
        Py_SETREF(text, settle_threads(interp, true, DAEMON_NS));
    }
    Py_XDECREF(text);
    PyErr_Clear();
}

/* 3.12's private module ends an interpreter on whichever state heads its list.
 * When that is one of ours, the state that came with the interpreter is left
 * beside it, idle, and the process would abort. */
static void
drop_first_state(atoll_interp *interp)
{
    PyThreadState *own = PyThreadState_Get();
    if (!ext_attach_is_kept(interp, own)) {
        return;
    }
    PyThreadState *t = PyInterpreterState_ThreadHead(interp->handle);
    while (t != NULL
           && (PyThreadState_GetID(t) != 1 || t == own
               || ext_attach_is_kept(interp, t))) {
        t = PyThreadState_Next(t);
    }
    if (t != NULL) {
        PyThreadState_Clear(t);
        PyThreadState_Delete(t);
    }
}

/* The atexit callback in each interpreter: see the head of this file. */
static PyObject *
on_exit_here(PyObject *module, PyObject *Py_UNUSED(args))
{
    ext_state *st = ext_state_of_module(module);
    atoll_interp *interp = st->self;
    if (PyInterpreterState_Get() == PyInterpreterState_Main()) {
        ext_exit_main(st);
        Py_RETURN_NONE;
    }
    for (ext_visit *v = ext_attach_innermost(); v != NULL; v = v->below) {
        if (v->interp == interp && v->run) {
            /* Code that runs here called atexit._run_exitfuncs(): this is not
             * the end.  Waiting for its own call would be for ever. */
            if (register_on_exit(module) < 0) {
                return NULL;
            }
            Py_RETURN_NONE;
        }
    }
    if (atoll_interp_begin_close(interp, true) != ATOLL_OK) {
        Py_RETURN_NONE; /* atoll closes it: close_marked does the rest */
    }
    Py_BEGIN_ALLOW_THREADS(void)
    atoll_interp_wait_visits(interp, 0, ATOLL_FOREVER);
    Py_END_ALLOW_THREADS
    drop_first_state(interp);
    end_daemon_threads(interp);
    ext_run_let_main_go(st);
    ext_attach_drop_kept(interp, true);
    ext_attach_forget_kept(interp); /* the ender's own goes with the rest */
    ext_chores_check(st);
    atoll_interp_set_life(interp, ATOLL_LIFE_GONE);
    tell_ended(interp);
    if (call_watchers(st, interp) < 0) {
        PyErr_WriteUnraisable(NULL);
    }
    Py_RETURN_NONE;
}

static PyMethodDef on_exit_def
    = {"_on_exit", on_exit_here, METH_NOARGS,
       PyDoc_STR("Registered with atexit: makes ready for the interpreter's "
                 "end.")};

static int
register_on_exit(PyObject *module)
{
    PyObject *callback = PyCFunction_New(&on_exit_def, module);
    if (callback == NULL) {
        return -1;
    }
    PyObject *atexit = PyImport_ImportModule("atexit");
    PyObject *got = atexit == NULL ? NULL
                                   : PyObject_CallMethod(atexit, "register",
                                                         "O", callback);
    Py_XDECREF(atexit);
    Py_DECREF(callback);
    Py_XDECREF(got);
    return got == NULL ? -1 : 0;
}

static int
lifecycle_exec(PyObject *module, ext_state *st)
{
    if (ext_exit_watch_forks(module) < 0) {
        return -1;
    }
    ext_attach_setup = ext_setup_apply;
    atoll_registry_on_last_hold = on_last_hold;
    if (register_on_exit(module) < 0) {
        return -1;
    }
    st->self->ext = st;
    return 0;
}

static void
lifecycle_free(ext_state *st)
{
    if (st->self != NULL && st->self->ext == st) {
        st->self->ext = NULL;
    }
}

const ext_part ext_lifecycle_part = {
    .id = EXT_PART_LIFECYCLE,
    .exec = lifecycle_exec,
    .free = lifecycle_free,
};
