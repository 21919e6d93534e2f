/* add_close_callback(): hearing of an interpreter's end.
 *
 * A watch in the record of the interpreter that is watched names the one that
 * wants to hear, its home, and a token; what is to be called is an object of
 * the home's and stays there (atoll._closing).  The watch holds no handle: it
 * keeps nothing open.
 *
 * The thread that has closed the interpreter visits each home and calls.  No
 * lock is held, and the closed interpreter is gone from every list.  Where the
 * home cannot be visited (it is being closed itself, or there is no memory),
 * the watch becomes a chore: done by the next visitor, dropped if there is
 * none.  At the end of the process only the main interpreter is called:
 * another one may be stuck with its GIL.
 */
#include "chores.h"
#include "errors.h"
#include "interpreter.h"
#include "interrupt.h"
#include "lifecycle.h"
#include "module.h"
#include "output.h"

static void
run_late(atoll_chore *chore, bool attached);

/* Owns: takes over the watch. */
static void
leave_to_home(atoll_watch *watch)
{
    watch->chore.run = run_late;
    if (!ext_chores_post(watch->home, &watch->chore)) {
        atoll_watch_free(watch);
    }
}

/* Calls the callback; an Exception is reported.  Without the memory to call
 * it, it waits for a better time.  Attached: to the home, with no exception
 * set.  Owns: takes over the watch.  Fails: -1 with what is no Exception. */
static int
call_back(ext_state *st, atoll_watch *watch)
{
    PyObject *func = NULL;
    PyObject *handle = ext_interpreter_handle(st, watch->closed);
    PyObject *take
        = handle == NULL ? NULL : ext_state_python("atoll._closing", "take");
    if (take != NULL) {
        func = PyObject_CallFunction(take, "K",
                                     (unsigned long long)watch->token);
        Py_DECREF(take);
    }
    if (func == NULL) {
        leave_to_home(watch);
    }
    else {
        PyObject *got = PyObject_CallOneArg(func, handle);
        if (got == NULL && PyErr_ExceptionMatches(PyExc_Exception)) {
            PyErr_WriteUnraisable(func);
        }
        Py_XDECREF(got);
        atoll_watch_free(watch);
    }
    PyObject *error = PyErr_GetRaisedException();
    Py_XDECREF(func);
    Py_XDECREF(handle);
    if (error != NULL && PyErr_GivenExceptionMatches(error, PyExc_Exception)) {
        Py_CLEAR(error);
    }
    PyErr_SetRaisedException(error);
    return error == NULL ? 0 : -1;
}

/* The chore.  Attached: to the home, if at all. */
static void
run_late(atoll_chore *chore, bool attached)
{
    atoll_watch *watch = (atoll_watch *)(void *)chore;
    ext_state *st = attached ? watch->home->ext : NULL;
    if (st == NULL) {
        atoll_watch_free(watch);
    }
    else if (call_back(st, watch) < 0) {
        PyErr_WriteUnraisable(NULL);
    }
}

/* Owns: takes over the watch.  Fails: -1 with what is no Exception. */
static int
call_there(ext_state *st, atoll_watch *watch)
{
    ext_visit visit;
    if (ext_attach_enter(st, watch->home, 0, &visit) < 0) {
        leave_to_home(watch);
        if (!PyErr_ExceptionMatches(PyExc_Exception)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    bool stop = false;
    if (call_back(visit.state, watch) < 0) {
        stop = ext_interrupt_keep_signal(&visit);
        if (!stop && !visit.signalled && visit.outer_error == NULL) {
            PyErr_WriteUnraisable(NULL); /* raised there, for nobody else */
        }
        PyErr_Clear();
    }
    ext_output_flush(&visit);
    stop = stop || visit.signalled;
    PyObject *error = visit.outer_error;
    visit.outer_error = NULL;
    ext_attach_leave(&visit);
    if (error != NULL) {
        PyErr_SetRaisedException(error);
    }
    else if (stop) {
        PyErr_SetNone(PyExc_KeyboardInterrupt);
    }
    return error != NULL || stop ? -1 : 0;
}

/* Owns: takes over the watch.  Fails: -1 with what is no Exception. */
static int
call_one(ext_state *st, atoll_interp *interp, atoll_watch *watch)
{
    atoll_interp_acquire(interp);
    watch->closed = interp;
    if (watch->home == st->self) {
        return call_back(st, watch);
    }
    if (!atomic_load(&ext_interrupt_exiting)
        || watch->home->handle == (void *)PyInterpreterState_Main()) {
        return call_there(st, watch);
    }
    atoll_watch_free(watch);
    return 0;
}

/* The hook of lifecycle.c.  All are called, whatever one of them raises. */
static int
on_closed(ext_state *st, atoll_interp *interp)
{
    PyObject *first = NULL;
    atoll_watch *watch = atoll_interp_take_watches(interp);
    while (watch != NULL) {
        atoll_watch *next = watch->next;
        if (call_one(st, interp, watch) < 0) {
            if (first == NULL) {
                first = PyErr_GetRaisedException();
            }
            else {
                PyErr_WriteUnraisable(NULL);
            }
        }
        watch = next;
    }
    PyErr_SetRaisedException(first);
    return first == NULL ? 0 : -1;
}

/* atoll must be there when somebody else ends the interpreter, else nobody
 * hears.  One that is closed, or cannot be set up, is no error: atoll's own
 * close() is heard of in any case.  Fails: -1 with an exception. */
static int
load_there(ext_state *st, atoll_interp *interp)
{
    ext_visit visit;
    if (interp->ext != NULL || !ext_attach_is_there(interp)
        || atoll_interp_visit(interp, NULL, NULL) != ATOLL_OK) {
        return 0;
    }
    bool foreign = !interp->owned && ext_compat_is_foreign(interp->handle);
    atoll_interp_leave(interp, false);
    if (foreign) {
        ext_error_format(st, EXT_ERR_INTERPRETER,
                         "unrecognized interpreter: %lld was made by other "
                         "code, for which alone it is",
                         (long long)interp->id);
        return -1;
    }
    if (ext_attach_enter(st, interp, 0, &visit) == 0) {
        PyObject *error = visit.outer_error;
        visit.outer_error = NULL;
        ext_attach_leave(&visit);
        PyErr_SetRaisedException(error);
        return error == NULL ? 0 : -1;
    }
    if (PyErr_ExceptionMatches(PyExc_MemoryError)
        || !PyErr_ExceptionMatches(PyExc_Exception)) {
        return -1;
    }
    PyErr_Clear();
    return 0;
}

/* _watch_close(interp, token): from then on take(token) is called once. */
static PyObject *
core_watch_close(PyObject *module, PyObject *args)
{
    ext_state *st = ext_state_of_module(module);
    PyObject *op;
    unsigned long long token;
    if (!PyArg_ParseTuple(args, "O!K:_watch_close", ext_interpreter_type(st),
                          &op, &token)) {
        return NULL;
    }
    atoll_interp *interp = ext_interpreter_record(op);
    if (interp == st->self
        || interp->handle == (void *)PyInterpreterState_Main()) {
        return ext_error_format(
            st, EXT_ERR_INTERPRETER, "%s: use the atexit module there",
            interp == st->self ? "the end of the interpreter that runs this "
                                 "is not told to itself"
                               : "the main interpreter is never closed");
    }
    if (load_there(st, interp) < 0) {
        return NULL;
    }
    atoll_watch *watch = atoll_watch_new(st->self, token);
    if (watch == NULL) {
        return PyErr_NoMemory();
    }
    if (!atoll_interp_add_watch(interp, watch)
        && call_one(st, interp, watch) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef closing_functions[] = {
    {"_watch_close", core_watch_close, METH_VARARGS,
     PyDoc_STR("_watch_close(interp, token, /)\n--\n\n"
               "See Interpreter.add_close_callback.")},
    {NULL, NULL, 0, NULL},
};

/* What the part keeps in one interpreter: nothing but that it is there. */
static int
closing_exec(PyObject *module, ext_state *st)
{
    st->parts[EXT_PART_CLOSING] = &closing_functions;
    ext_lifecycle_on_closed = on_closed;
    return PyModule_AddFunctions(module, closing_functions);
}

static int
closing_traverse(ext_state *Py_UNUSED(st), visitproc Py_UNUSED(visit),
                 void *Py_UNUSED(arg))
{
    return 0;
}

static void
closing_clear(ext_state *Py_UNUSED(st))
{
}

static void
closing_free(ext_state *st)
{
    st->parts[EXT_PART_CLOSING] = NULL;
}

const ext_part ext_closing_part = {
    .id = EXT_PART_CLOSING,
    .exec = closing_exec,
    .traverse = closing_traverse,
    .clear = closing_clear,
    .free = closing_free,
};
