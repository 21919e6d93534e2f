/* The Interpreter type: a handle to a record of the registry.
 *
 * In each interpreter there is one handle per id (part->known maps id to a
 * weak reference).  Every handle, and every frame that carries one, counts in
 * record->handles; the last one of an interpreter that atoll made closes it
 * (lifecycle.c).  An interpreter that the standard module made is kept by its
 * own count instead (_interpreters.incref/decref).
 */
#include "interpreter.h"

#include "call_type.h"
#include "create.h"
#include "errors.h"
#include "interrupt.h"
#include "interrupt_limits.h"
#include "lifecycle.h"
#include "module.h"
#include "run.h"
#include "transfer.h"
#include "../core/queue.h"

#include <stddef.h>
#include <string.h>

typedef struct InterpreterObject {
    PyObject_HEAD
    atoll_interp *interp; /* owns a reference and a handle count */
    PyObject *weakrefs;
    bool stdlib_ref; /* holds one of _interpreters' references */
    bool inside;     /* a handle to the interpreter that it lives in: it is
                      * no reason to keep it open, so it is not counted */
} InterpreterObject;

typedef struct interpreter_part {
    PyTypeObject *type;
    PyObject *known; /* dict: id -> weak reference to the handle */
} interpreter_part;

static interpreter_part *
get_part(ext_state *st)
{
    return st->parts[EXT_PART_INTERPRETER];
}

PyTypeObject *
ext_interpreter_type(ext_state *st)
{
    return get_part(st)->type;
}

atoll_interp *
ext_interpreter_record(PyObject *op)
{
    return ((InterpreterObject *)op)->interp;
}

static void
count_handle(void *ptr)
{
    atoll_interp *interp = ptr;
    atoll_interp_acquire(interp);
    atoll_mutex_lock(&interp->lock);
    interp->handles++;
    atoll_mutex_unlock(&interp->lock);
}

static void
drop_handle(void *ptr)
{
    (void)ext_lifecycle_drop_handle(ptr);
}

/* A frame that carries a handle keeps the interpreter open, as a handle. */
static const atoll_ref_ops handle_ops = {
    .name = "interpreter",
    .acquire = count_handle,
    .release = drop_handle,
};

/* Takes or gives back a reference of the standard module's, where it made
 * the interpreter.  Fails: -1 with an exception. */
static int
count_stdlib(int64_t id, const char *function)
{
    PyObject *func = ext_state_python("_interpreters", function);
    if (func == NULL) {
        return -1;
    }
    PyObject *got = PyObject_CallFunction(func, "L", (long long)id);
    Py_DECREF(func);
    if (got == NULL) {
        return -1;
    }
    Py_DECREF(got);
    return 0;
}

PyObject *
ext_interpreter_handle(ext_state *st, atoll_interp *interp)
{
    interpreter_part *part = get_part(st);
    PyObject *key = PyLong_FromLongLong(interp->id);
    PyObject *ref = NULL;
    PyObject *self = NULL;
    if (key == NULL || ext_compat_dict_get(part->known, key, &ref) < 0) {
        goto done;
    }
    if (ref != NULL) {
        int alive = ext_compat_weakref_get(ref, &self);
        Py_CLEAR(ref);
        if (alive != 0) {
            goto done;
        }
    }
    InterpreterObject *made
        = (InterpreterObject *)part->type->tp_alloc(part->type, 0);
    if (made == NULL) {
        goto done;
    }
    made->inside = interp == st->self;
    if (made->inside) {
        atoll_interp_acquire(interp);
    }
    else {
        count_handle(interp);
    }
    made->interp = interp;
    self = (PyObject *)made;
    if (atoll_interp_get_life(interp) < ATOLL_LIFE_ENDING
        && ext_compat_stdlib_counts(interp->handle, interp->owned)) {
        if (count_stdlib(interp->id, "incref") < 0) {
            Py_CLEAR(self);
            goto done;
        }
        made->stdlib_ref = true;
    }
    ref = PyWeakref_NewRef(self, NULL);
    if (ref == NULL || PyDict_SetItem(part->known, key, ref) < 0) {
        Py_CLEAR(self);
    }
done:
    Py_XDECREF(key);
    Py_XDECREF(ref);
    return self;
}

static PyObject *
Interpreter_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *id;
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0) {
        PyErr_SetString(PyExc_TypeError,
                        "Interpreter() takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O:Interpreter", &id)) {
        return NULL;
    }
    ext_state *st = ext_state_of_class(type);
    if (!PyLong_Check(id)) {
        PyErr_Format(PyExc_TypeError, "id must be an int, got %R", id);
        return NULL;
    }
    long long number = PyLong_AsLongLong(id);
    if (number == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (number < 0) {
        PyErr_Format(PyExc_ValueError, "id must not be negative, got %R", id);
        return NULL;
    }
    atoll_interp *interp = NULL;
    if (ext_create_find(st, number, &interp) < 0) {
        return NULL;
    }
    PyObject *self = ext_interpreter_handle(st, interp);
    atoll_interp_release(interp);
    return self;
}

/* The type refers to the module, whose caches may refer to where this is
 * kept. */
static int
Interpreter_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    return 0;
}

/* The dead weak reference to a handle that went goes, too, but not the one to
 * a new handle for the same id. */
static void
forget_handle(ext_state *st, int64_t id)
{
    interpreter_part *part = st == NULL ? NULL : get_part(st);
    PyObject *ref = NULL;
    PyObject *other = NULL;
    if (part == NULL || part->known == NULL) {
        return; /* the module is being cleared */
    }
    PyObject *key = PyLong_FromLongLong(id);
    if (key != NULL && ext_compat_dict_get(part->known, key, &ref) > 0
        && ext_compat_weakref_get(ref, &other) == 0) {
        (void)PyDict_DelItem(part->known, key);
    }
    Py_XDECREF(other);
    Py_XDECREF(ref);
    Py_XDECREF(key);
}

static void
Interpreter_dealloc(PyObject *op)
{
    InterpreterObject *self = (InterpreterObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    atoll_interp *interp = self->interp;
    PyObject *error = PyErr_GetRaisedException();
    if (interp != NULL) {
        forget_handle(ext_state_of_class(type), interp->id);
    }
    if (self->stdlib_ref && !ext_compat_is_finalizing()) {
        if (count_stdlib(interp->id, "decref") < 0) {
            PyErr_Clear(); /* it was ended meanwhile */
        }
    }
    PyErr_SetRaisedException(error);
    if (interp != NULL && self->inside) {
        atoll_interp_release(interp);
    }
    else if (interp != NULL) {
        int64_t id = interp->id;
        if (ext_lifecycle_drop_handle(interp)) {
            /* For whoever looks, it is gone from here on: so are the items
             * of queues that were to go with it. */
            atoll_queue_sender_died(id);
        }
    }
    type->tp_free(op);
    Py_DECREF(type);
}

/* The handle's record, if it may still be used. */
static atoll_interp *
get_open(ext_state *st, PyObject *op)
{
    atoll_interp *interp = ((InterpreterObject *)op)->interp;
    if (!ext_attach_is_there(interp)
        || atoll_interp_get_life(interp) != ATOLL_LIFE_OPEN) {
        ext_error_format(st, EXT_ERR_NOT_FOUND,
                         "unrecognized interpreter ID %lld: it is closed",
                         (long long)interp->id);
        return NULL;
    }
    return interp;
}

/* Like it, for what would change the interpreter: one that other code made
 * is that code's own, as for the standard module. */
static atoll_interp *
get_usable(ext_state *st, PyObject *op)
{
    atoll_interp *interp = get_open(st, op);
    if (interp == NULL || interp->owned
        || atoll_interp_visit(interp, NULL, NULL) != ATOLL_OK) {
        return interp;
    }
    bool foreign = ext_compat_is_foreign(interp->handle);
    atoll_interp_leave(interp, false);
    if (foreign) {
        ext_error_format(st, EXT_ERR_INTERPRETER,
                         "unrecognized interpreter: %lld was made by other "
                         "code, for which alone it is",
                         (long long)interp->id);
        return NULL;
    }
    return interp;
}

static PyObject *
copy_name(atoll_interp *interp)
{
    PyObject *name = NULL;
    atoll_mutex_lock(&interp->lock);
    char *copy = interp->name == NULL ? NULL : strdup(interp->name);
    bool named = interp->name != NULL;
    atoll_mutex_unlock(&interp->lock);
    if (copy != NULL) {
        name = PyUnicode_DecodeUTF8(copy, (Py_ssize_t)strlen(copy),
                                    "surrogatepass");
        free(copy);
    }
    else if (named) {
        PyErr_NoMemory();
    }
    else {
        name = Py_NewRef(Py_None);
    }
    return name;
}

static PyObject *
Interpreter_repr(PyObject *op)
{
    atoll_interp *interp = ((InterpreterObject *)op)->interp;
    PyObject *name = copy_name(interp);
    if (name == NULL) {
        return NULL;
    }
    PyObject *text = name == Py_None
                         ? PyUnicode_FromFormat("Interpreter(%lld)",
                                                (long long)interp->id)
                         : PyUnicode_FromFormat("Interpreter(%lld, name=%R)",
                                                (long long)interp->id, name);
    Py_DECREF(name);
    return text;
}

static Py_hash_t
Interpreter_hash(PyObject *op)
{
    return (Py_hash_t)((InterpreterObject *)op)->interp->id;
}

static PyObject *
Interpreter_richcompare(PyObject *a, PyObject *b, int op)
{
    if (Py_TYPE(a) != Py_TYPE(b) || (op != Py_EQ && op != Py_NE)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    bool same = ((InterpreterObject *)a)->interp->id
                == ((InterpreterObject *)b)->interp->id;
    return PyBool_FromLong(same == (op == Py_EQ));
}

static PyObject *
Interpreter_get_id(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromLongLong(((InterpreterObject *)op)->interp->id);
}

static PyObject *
Interpreter_get_whence(PyObject *op, void *Py_UNUSED(closure))
{
    atoll_interp *interp = ((InterpreterObject *)op)->interp;
    const char *text = "unknown";
    if (interp->id == PyInterpreterState_GetID(PyInterpreterState_Main())) {
        text = "runtime init";
    }
    else if (interp->owned) {
        text = "_interpreters module";
    }
    else if (ext_attach_is_there(interp)
             && atoll_interp_visit(interp, NULL, NULL) == ATOLL_OK) {
        text = ext_compat_whence(interp->handle);
        atoll_interp_leave(interp, false);
    }
    return PyUnicode_FromString(text);
}

static PyObject *
Interpreter_get_name(PyObject *op, void *Py_UNUSED(closure))
{
    return copy_name(((InterpreterObject *)op)->interp);
}

static int
Interpreter_set_name(PyObject *op, PyObject *value, void *Py_UNUSED(closure))
{
    atoll_interp *interp = ((InterpreterObject *)op)->interp;
    char *copy = NULL;
    if (value != NULL && value != Py_None) {
        if (!PyUnicode_Check(value)) {
            PyErr_Format(PyExc_TypeError,
                         "name must be a str or None, not %.200s",
                         Py_TYPE(value)->tp_name);
            return -1;
        }
        PyObject *bytes
            = PyUnicode_AsEncodedString(value, "utf-8", "surrogatepass");
        if (bytes == NULL) {
            return -1;
        }
        size_t size = (size_t)PyBytes_GET_SIZE(bytes) + 1;
        if (strlen(PyBytes_AS_STRING(bytes)) + 1 != size) {
            Py_DECREF(bytes);
            PyErr_SetString(PyExc_ValueError,
                            "name must not contain null characters");
            return -1;
        }
        copy = atoll_malloc(size);
        if (copy != NULL) {
            memcpy(copy, PyBytes_AS_STRING(bytes), size);
        }
        Py_DECREF(bytes);
        if (copy == NULL) {
            PyErr_NoMemory();
            return -1;
        }
    }
    atoll_mutex_lock(&interp->lock);
    char *old = interp->name;
    interp->name = copy;
    atoll_mutex_unlock(&interp->lock);
    atoll_free(old);
    return 0;
}

static PyObject *
Interpreter_is_running(PyObject *op, PyTypeObject *cls,
                       PyObject *const *Py_UNUSED(args), Py_ssize_t nargs,
                       PyObject *kwnames)
{
    ext_state *st = ext_state_of_class(cls);
    if (nargs > 0 || (kwnames != NULL && PyTuple_GET_SIZE(kwnames) > 0)) {
        PyErr_SetString(PyExc_TypeError, "is_running() takes no arguments");
        return NULL;
    }
    atoll_interp *interp = get_open(st, op);
    if (interp == NULL) {
        return NULL;
    }
    if (atoll_interp_visit(interp, NULL, NULL) != ATOLL_OK) {
        return ext_error_format(st, EXT_ERR_NOT_FOUND,
                                "unrecognized interpreter ID %lld",
                                (long long)interp->id);
    }
    bool running = interp->running
                   || (_PyInterpreterState_IsRunningMain != NULL
                       && _PyInterpreterState_IsRunningMain(interp->handle));
    atoll_interp_leave(interp, false);
    return PyBool_FromLong(running);
}

static PyObject *
Interpreter_close(PyObject *op, PyTypeObject *cls, PyObject *const *args,
                  Py_ssize_t nargs, PyObject *kwnames)
{
    ext_state *st = ext_state_of_class(cls);
    PyObject *interrupt = Py_False;
    PyObject *timeout = NULL;
    if (nargs > 0) {
        PyErr_SetString(PyExc_TypeError,
                        "close() takes keyword arguments only");
        return NULL;
    }
    for (Py_ssize_t i = 0; kwnames && i < PyTuple_GET_SIZE(kwnames); i++) {
        PyObject *key = PyTuple_GET_ITEM(kwnames, i);
        if (PyUnicode_CompareWithASCIIString(key, "interrupt") == 0) {
            interrupt = args[i];
        }
        else if (PyUnicode_CompareWithASCIIString(key, "timeout") == 0) {
            timeout = args[i];
        }
        else {
            PyErr_Format(PyExc_TypeError,
                         "close() got an unexpected keyword argument %R", key);
            return NULL;
        }
    }
    int must_interrupt = PyObject_IsTrue(interrupt);
    double seconds = 0.0;
    if (must_interrupt < 0
        || (timeout != NULL
            && ext_interrupt_parse_timeout(timeout, "timeout", &seconds)
                   < 0)) {
        return NULL;
    }
    atoll_interp *interp = ((InterpreterObject *)op)->interp;
    if ((!interp->owned && get_usable(st, op) == NULL)
        || ext_lifecycle_check_closable(st, interp) < 0) {
        return NULL;
    }
    if (ext_lifecycle_must_reap() && ext_lifecycle_reap(st) < 0) {
        return NULL;
    }
    int64_t deadline
        = seconds < 0 ? ATOLL_FOREVER : atoll_deadline_after(seconds);
    if ((must_interrupt ? ext_lifecycle_stop_and_close(st, interp, deadline)
                        : ext_lifecycle_close(st, interp))
        < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
Interpreter_prepare_main(PyObject *op, PyTypeObject *cls,
                         PyObject *const *args, Py_ssize_t nargs,
                         PyObject *kwnames)
{
    ext_state *st = ext_state_of_class(cls);
    if (nargs > 1) {
        PyErr_Format(PyExc_TypeError,
                     "prepare_main() takes at most 1 positional argument "
                     "(%zd given)",
                     nargs);
        return NULL;
    }
    PyObject *ns = PyDict_New();
    if (ns == NULL) {
        return NULL;
    }
    PyObject *result = NULL;
    if (nargs == 1 && args[0] != Py_None) {
        PyObject *given
            = PyObject_CallOneArg((PyObject *)&PyDict_Type, args[0]);
        if (given == NULL || PyDict_Update(ns, given) < 0) {
            Py_XDECREF(given);
            goto done;
        }
        Py_DECREF(given);
    }
    for (Py_ssize_t i = 0; kwnames && i < PyTuple_GET_SIZE(kwnames); i++) {
        if (PyDict_SetItem(ns, PyTuple_GET_ITEM(kwnames, i), args[nargs + i])
            < 0) {
            goto done;
        }
    }
    if (PyDict_GET_SIZE(ns) == 0) {
        PyErr_SetString(PyExc_ValueError,
                        "prepare_main() needs at least one name to bind");
        goto done;
    }
    Py_ssize_t pos = 0;
    PyObject *key;
    while (PyDict_Next(ns, &pos, &key, NULL)) {
        if (!PyUnicode_Check(key)) {
            PyErr_Format(PyExc_TypeError, "names must be str, not %.200s",
                         Py_TYPE(key)->tp_name);
            goto done;
        }
    }
    atoll_interp *interp = get_usable(st, op);
    if (interp != NULL) {
        result = ext_run_prepare(st, interp, ns);
    }
done:
    Py_DECREF(ns);
    return result;
}

/* Under what a call is made. */
typedef struct bounds {
    double timeout;     /* seconds, or negative */
    ext_limits *limits; /* NULL: those of the interpreter */
} bounds;

static const bounds no_bounds = {-1, NULL};

static PyObject *
exec_with(ext_state *st, PyObject *op, PyObject *const *args, Py_ssize_t nargs,
          PyObject *kwnames, const bounds *within)
{
    int dedent = 1;
    if (nargs != 1) {
        PyErr_Format(PyExc_TypeError,
                     "exec() takes exactly 1 positional argument (%zd given)",
                     nargs);
        return NULL;
    }
    for (Py_ssize_t i = 0; kwnames && i < PyTuple_GET_SIZE(kwnames); i++) {
        PyObject *key = PyTuple_GET_ITEM(kwnames, i);
        if (PyUnicode_CompareWithASCIIString(key, "dedent") != 0) {
            PyErr_Format(PyExc_TypeError,
                         "exec() got an unexpected keyword argument %R", key);
            return NULL;
        }
        dedent = PyObject_IsTrue(args[nargs + i]);
        if (dedent < 0) {
            return NULL;
        }
    }
    atoll_interp *interp = get_usable(st, op);
    if (interp == NULL) {
        return NULL;
    }
    ext_guard guard;
    ext_call *call = ext_guard_open(&guard, interp, within->limits, NULL);
    PyObject *result = ext_run_exec(st, interp, args[0], dedent != 0,
                                    within->timeout, call);
    ext_guard_close(&guard);
    return result;
}

static PyObject *
Interpreter_exec(PyObject *op, PyTypeObject *cls, PyObject *const *args,
                 Py_ssize_t nargs, PyObject *kwnames)
{
    return exec_with(ext_state_of_class(cls), op, args, nargs, kwnames,
                     &no_bounds);
}

static PyObject *
call_with(ext_state *st, PyObject *op, PyObject *const *args, Py_ssize_t nargs,
          PyObject *kwnames, const bounds *within, ext_call *call)
{
    if (nargs < 1) {
        PyErr_SetString(PyExc_TypeError,
                        "call() missing 1 required positional argument: "
                        "'callable'");
        return NULL;
    }
    if (!PyCallable_Check(args[0])) {
        PyErr_Format(PyExc_TypeError, "expected a callable, got %R", args[0]);
        return NULL;
    }
    atoll_interp *interp = ((InterpreterObject *)op)->interp;
    /* What atoll made needs no look: ext_run_call finds out if it is closed. */
    if (!interp->owned && get_usable(st, op) == NULL) {
        return NULL;
    }
    ext_guard guard;
    call = ext_guard_open(&guard, interp, within->limits, call);
    PyObject *result = ext_run_call(st, interp, args, nargs, kwnames,
                                    within->timeout, call);
    ext_guard_close(&guard);
    return result;
}

static PyObject *
Interpreter_call(PyObject *op, PyTypeObject *cls, PyObject *const *args,
                 Py_ssize_t nargs, PyObject *kwnames)
{
    return call_with(ext_state_of_class(cls), op, args, nargs, kwnames,
                     &no_bounds, NULL);
}

/* _exec_with(within, code, ...), _call_with(within, callable, ...): what
 * options() and limits() use.  within: seconds, None, or a _Limits. */
static int
split_bounds(ext_state *st, PyObject *const **args, Py_ssize_t *nargs,
             bounds *out)
{
    if (*nargs < 1) {
        PyErr_SetString(PyExc_TypeError, "missing timeout");
        return -1;
    }
    *out = (bounds){-1, ext_limits_of(st, (*args)[0])};
    if (out->limits == NULL
        && ext_interrupt_parse_timeout((*args)[0], "timeout", &out->timeout)
               < 0) {
        return -1;
    }
    (*args)++;
    (*nargs)--;
    return 0;
}

static PyObject *
Interpreter_exec_with(PyObject *op, PyTypeObject *cls, PyObject *const *args,
                      Py_ssize_t nargs, PyObject *kwnames)
{
    ext_state *st = ext_state_of_class(cls);
    bounds within;
    if (split_bounds(st, &args, &nargs, &within) < 0) {
        return NULL;
    }
    return exec_with(st, op, args, nargs, kwnames, &within);
}

static PyObject *
Interpreter_call_with(PyObject *op, PyTypeObject *cls, PyObject *const *args,
                      Py_ssize_t nargs, PyObject *kwnames)
{
    ext_state *st = ext_state_of_class(cls);
    bounds within;
    if (split_bounds(st, &args, &nargs, &within) < 0) {
        return NULL;
    }
    return call_with(st, op, args, nargs, kwnames, &within, NULL);
}

/* _call_as(call, within, callable, ...): what call_in_thread() uses. */
static PyObject *
Interpreter_call_as(PyObject *op, PyTypeObject *cls, PyObject *const *args,
                    Py_ssize_t nargs, PyObject *kwnames)
{
    ext_state *st = ext_state_of_class(cls);
    bounds within;
    if (nargs < 1) {
        PyErr_SetString(PyExc_TypeError, "missing call");
        return NULL;
    }
    ext_call *call
        = ext_call_of(st, args[0], ((InterpreterObject *)op)->interp);
    args++;
    nargs--;
    if (call == NULL || split_bounds(st, &args, &nargs, &within) < 0) {
        return NULL;
    }
    return call_with(st, op, args, nargs, kwnames, &within, call);
}

static PyObject *
Interpreter_name_call(PyObject *op, PyTypeObject *cls,
                      PyObject *const *Py_UNUSED(args),
                      Py_ssize_t Py_UNUSED(nargs),
                      PyObject *Py_UNUSED(kwnames))
{
    return ext_call_new(ext_state_of_class(cls),
                        ((InterpreterObject *)op)->interp);
}

static PyObject *
Interpreter_interrupt(PyObject *op, PyTypeObject *cls, PyObject *const *args,
                      Py_ssize_t nargs, PyObject *kwnames)
{
    ext_state *st = ext_state_of_class(cls);
    PyObject *exc = NULL;
    Py_ssize_t nkw = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    if (nargs + nkw > 1
        || (nkw == 1
            && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, 0),
                                                "exc")
                   != 0)) {
        PyErr_SetString(PyExc_TypeError,
                        "interrupt() takes one argument, exc");
        return NULL;
    }
    if (nargs + nkw == 1 && args[0] != Py_None) {
        exc = args[0];
    }
    atoll_interp *interp = get_usable(st, op);
    return interp == NULL ? NULL : ext_interrupt_call(st, interp, exc);
}

static PyObject *
Interpreter_enter(PyObject *op, PyObject *Py_UNUSED(args))
{
    return Py_NewRef(op);
}

static PyObject *
Interpreter_reduce(PyObject *op, PyObject *Py_UNUSED(args))
{
    return Py_BuildValue("O(L)", Py_TYPE(op),
                         (long long)((InterpreterObject *)op)->interp->id);
}

#include "interpreter_doc.h"
#include "interpreter_impl.h"

#define METHOD(name, func, doc)                              \
    {                                                        \
        name, (PyCFunction)(void (*)(void))func,             \
            METH_METHOD | METH_FASTCALL | METH_KEYWORDS, doc \
    }

static PyMethodDef Interpreter_methods[] = {
    METHOD("is_running", Interpreter_is_running, is_running_doc),
    METHOD("close", Interpreter_close, close_doc),
    METHOD("prepare_main", Interpreter_prepare_main, prepare_main_doc),
    METHOD("exec", Interpreter_exec, exec_doc),
    METHOD("call", Interpreter_call, call_doc),
    METHOD("call_in_thread", Interpreter_call_in_thread, call_in_thread_doc),
    METHOD("options", Interpreter_options, options_doc),
    METHOD("limits", Interpreter_limits, limits_doc),
    METHOD("interrupt", Interpreter_interrupt, interrupt_doc),
    METHOD("stats", Interpreter_stats, stats_doc),
    METHOD("stacks", Interpreter_stacks, stacks_doc),
    METHOD("add_close_callback", Interpreter_add_close_callback,
           add_close_callback_doc),
    METHOD("_exec_with", Interpreter_exec_with, NULL),
    METHOD("_call_with", Interpreter_call_with, NULL),
    METHOD("_call_as", Interpreter_call_as, NULL),
    METHOD("_name_call", Interpreter_name_call, NULL),
    METHOD("_stack_of", Interpreter_stack_of, NULL),
    {"__enter__", Interpreter_enter, METH_NOARGS, NULL},
    METHOD("__exit__", Interpreter_exit, NULL),
    {"__reduce__", Interpreter_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef Interpreter_getset[] = {
    {"id", Interpreter_get_id, NULL,
     PyDoc_STR("int: the process-wide number, never reused."), NULL},
    {"whence", Interpreter_get_whence, NULL,
     PyDoc_STR("str: who made the interpreter."), NULL},
    {"name", Interpreter_get_name, Interpreter_set_name,
     PyDoc_STR("str | None: shown in the repr, in thread names and in "
               "tracebacks; may be set."),
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef Interpreter_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET,
     offsetof(InterpreterObject, weakrefs), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot Interpreter_slots[] = {
    {Py_tp_doc, (void *)Interpreter_doc},
    {Py_tp_new, Interpreter_new},
    {Py_tp_dealloc, Interpreter_dealloc},
    {Py_tp_traverse, Interpreter_traverse},
    {Py_tp_repr, Interpreter_repr},
    {Py_tp_hash, Interpreter_hash},
    {Py_tp_richcompare, Interpreter_richcompare},
    {Py_tp_methods, Interpreter_methods},
    {Py_tp_getset, Interpreter_getset},
    {Py_tp_members, Interpreter_members},
    {0, NULL},
};

static PyType_Spec Interpreter_spec = {
    .name = "atoll.Interpreter",
    .basicsize = sizeof(InterpreterObject),
    .flags
    = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Interpreter_slots,
};

/* --- crossing --------------------------------------------------------------- */

static int
pack_handle(ext_state *Py_UNUSED(st), PyObject *obj, void **out_ptr)
{
    atoll_interp *interp = ((InterpreterObject *)obj)->interp;
    count_handle(interp);
    *out_ptr = interp;
    return 0;
}

static PyObject *
unpack_handle(ext_state *st, void *ptr)
{
    return ext_interpreter_handle(st, ptr);
}

static const ext_crossing handle_crossing = {
    .ops = &handle_ops,
    .pack = pack_handle,
    .unpack = unpack_handle,
};

static int
interpreter_exec(PyObject *module, ext_state *st)
{
    interpreter_part *part = PyMem_Calloc(1, sizeof(*part));
    if (part == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    st->parts[EXT_PART_INTERPRETER] = part;
    part->known = PyDict_New();
    part->type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &Interpreter_spec, NULL);
    if (part->known == NULL || part->type == NULL
        || PyModule_AddType(module, part->type) < 0
        || ext_transfer_register(st, part->type, &handle_crossing) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, ext_interpreter_functions);
}

static int
interpreter_traverse(ext_state *st, visitproc visit, void *arg)
{
    interpreter_part *part = get_part(st);
    if (part != NULL) {
        Py_VISIT(part->type);
        Py_VISIT(part->known);
    }
    return 0;
}

static void
interpreter_clear(ext_state *st)
{
    interpreter_part *part = get_part(st);
    if (part != NULL) {
        Py_CLEAR(part->type);
        Py_CLEAR(part->known);
    }
}

static void
interpreter_free(ext_state *st)
{
    PyMem_Free(get_part(st));
    st->parts[EXT_PART_INTERPRETER] = NULL;
}

const ext_part ext_interpreter_part = {
    .id = EXT_PART_INTERPRETER,
    .exec = interpreter_exec,
    .traverse = interpreter_traverse,
    .clear = interpreter_clear,
    .free = interpreter_free,
};
