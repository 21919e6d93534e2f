/* _core._Limits: the limits of interrupt_limits.c as an object, and what sets
 * them on an interpreter.  atoll/_limits.py has what users see.
 *
 *     limits = _Limits(cpu, wall, memory, errors)   # ns, ns, bytes; -1: none
 *     before = _set_limits(interp, limits)          # or None, as before may be
 *     _end_limits(interp, limits, before)           # if it still has these
 */
#include "errors.h"
#include "interpreter.h"
#include "interrupt_limits.h"
#include "memory.h"
#include "module.h"
#include "transfer.h"

typedef struct LimitsObject {
    PyObject_HEAD
    ext_limits *limits; /* owns a reference */
} LimitsObject;

typedef struct limits_part {
    PyTypeObject *type;
} limits_part;

ext_limits *
ext_limits_of(ext_state *st, PyObject *op)
{
    limits_part *part = st->parts[EXT_PART_LIMITS];
    return part != NULL && Py_TYPE(op) == part->type
               ? ((LimitsObject *)op)->limits
               : NULL;
}

/* Owns: takes over the reference to what. */
static PyObject *
make_object(PyTypeObject *type, ext_limits *what)
{
    LimitsObject *self = (LimitsObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        ext_limits_release(what);
        return NULL;
    }
    self->limits = what;
    return (PyObject *)self;
}

/* An exception that any interpreter can raise.  Fails: NULL. */
static atoll_frame *
pack(ext_state *st, PyObject *error)
{
    atoll_frame *frame = atoll_frame_new();
    if (frame == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    frame->sender = st->self->id;
    if (ext_encode(st, error, "limit", 0, NULL, frame) < 0) {
        atoll_frame_release(frame);
        return NULL;
    }
    return frame;
}

static PyObject *
Limits_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    long long most[EXT_LIMIT_COUNT];
    PyObject *errors[EXT_LIMIT_COUNT];
    ext_state *st = ext_state_of_class(type);
    if (kwargs != NULL
        || !PyArg_ParseTuple(args, "LLL(OOO):_Limits", &most[0], &most[1],
                             &most[2], &errors[0], &errors[1], &errors[2])) {
        return NULL;
    }
    if (_PyEval_AddPendingCall == NULL) {
        PyErr_SetString(PyExc_NotImplementedError,
                        "this CPython does not let atoll interrupt");
        return NULL;
    }
    if (most[EXT_LIMIT_CPU] >= 0
        && atoll_thread_cpu((long)PyThreadState_Get()->native_thread_id) < 0) {
        PyErr_SetString(PyExc_NotImplementedError,
                        "this system does not tell the CPU time of threads");
        return NULL;
    }
    if (most[EXT_LIMIT_MEMORY] >= 0 && ext_memory_track(st) < 0) {
        return NULL;
    }
    ext_limits *what = atoll_calloc(1, sizeof(*what));
    if (what == NULL) {
        return PyErr_NoMemory();
    }
    atoll_ref_init(&what->count);
    for (int i = 0; i < EXT_LIMIT_COUNT; i++) {
        what->most[i] = most[i];
        what->errors[i] = pack(st, errors[i]);
        if (what->errors[i] == NULL) {
            ext_limits_release(what);
            return NULL;
        }
    }
    return make_object(type, what);
}

static void
Limits_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    ext_limits_release(((LimitsObject *)op)->limits);
    type->tp_free(op);
    Py_DECREF(type);
}

/* One budget for all calls from now on; or for each one, again. */
static PyObject *
Limits_share(PyObject *op, PyTypeObject *Py_UNUSED(cls), PyObject *const *args,
             Py_ssize_t nargs, PyObject *Py_UNUSED(kwnames))
{
    int on = nargs == 1 ? PyObject_IsTrue(args[0]) : 0;
    if (on < 0) {
        return NULL;
    }
    ext_limits_share(((LimitsObject *)op)->limits, on != 0);
    Py_RETURN_NONE;
}

static PyMethodDef Limits_methods[] = {
    {"share", (PyCFunction)(void (*)(void))Limits_share,
     METH_METHOD | METH_FASTCALL | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot Limits_slots[] = {
    {Py_tp_doc, "What calls may use: see Interpreter.limits."},
    {Py_tp_new, Limits_new},
    {Py_tp_dealloc, Limits_dealloc},
    {Py_tp_methods, Limits_methods},
    {0, NULL},
};

static PyType_Spec Limits_spec = {
    .name = "atoll._core._Limits",
    .basicsize = sizeof(LimitsObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Limits_slots,
};

/* Whose limits are to be set.  Borrowed; NULL with an exception. */
static atoll_interp *
get_record(ext_state *st, PyObject *op)
{
    if (Py_TYPE(op) != ext_interpreter_type(st)) {
        PyErr_Format(PyExc_TypeError, "expected an Interpreter, not %.200s",
                     Py_TYPE(op)->tp_name);
        return NULL;
    }
    atoll_interp *interp = ext_interpreter_record(op);
    if (interp->id == PyInterpreterState_GetID(PyInterpreterState_Main())) {
        ext_error_format(
            st, EXT_ERR_INTERPRETER,
            "the main interpreter cannot be limited: its code is not called "
            "through atoll");
        return NULL;
    }
    if (interp == st->self) {
        ext_error_format(st, EXT_ERR_INTERPRETER,
                         "an interpreter cannot change its own limits");
        return NULL;
    }
    if (!ext_attach_is_there(interp)
        || atoll_interp_get_life(interp) != ATOLL_LIFE_OPEN) {
        ext_error_format(st, EXT_ERR_NOT_FOUND, "interpreter %lld is closed",
                         (long long)interp->id);
        return NULL;
    }
    return interp;
}

/* A _Limits or None; one that limits nothing is NULL, too, so that calls cost
 * nothing.  Fails: -1 with TypeError. */
static int
parse_limits(ext_state *st, PyObject *op, ext_limits **out)
{
    ext_limits *what = ext_limits_of(st, op);
    if (what == NULL && op != Py_None) {
        PyErr_Format(PyExc_TypeError, "expected _Limits or None, not %.200s",
                     Py_TYPE(op)->tp_name);
        return -1;
    }
    *out = NULL;
    for (int i = 0; what != NULL && i < EXT_LIMIT_COUNT; i++) {
        *out = what->most[i] >= 0 ? what : *out;
    }
    return 0;
}

static PyObject *
core_set_limits(PyObject *module, PyObject *args)
{
    ext_state *st = ext_state_of_module(module);
    limits_part *part = st->parts[EXT_PART_LIMITS];
    PyObject *handle;
    PyObject *op;
    ext_limits *what;
    if (!PyArg_ParseTuple(args, "OO:_set_limits", &handle, &op)) {
        return NULL;
    }
    atoll_interp *interp = get_record(st, handle);
    if (interp == NULL || parse_limits(st, op, &what) < 0) {
        return NULL;
    }
    ext_limits *before = ext_limits_swap(interp, what, NULL);
    if (before == NULL) {
        Py_RETURN_NONE;
    }
    return make_object(part->type, before);
}

static PyObject *
core_end_limits(PyObject *module, PyObject *args)
{
    ext_state *st = ext_state_of_module(module);
    PyObject *handle;
    PyObject *op[2];
    ext_limits *what[2];
    if (!PyArg_ParseTuple(args, "OOO:_end_limits", &handle, &op[0], &op[1])) {
        return NULL;
    }
    if (Py_TYPE(handle) != ext_interpreter_type(st)) {
        PyErr_SetString(PyExc_TypeError, "expected an Interpreter");
        return NULL;
    }
    if (parse_limits(st, op[0], &what[0]) < 0
        || parse_limits(st, op[1], &what[1]) < 0) {
        return NULL;
    }
    const ext_limits *has = what[0];
    ext_limits_release(
        ext_limits_swap(ext_interpreter_record(handle), what[1], &has));
    Py_RETURN_NONE;
}

static PyObject *
core_track_memory(PyObject *module, PyObject *Py_UNUSED(args))
{
    if (ext_memory_track(ext_state_of_module(module)) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef limits_functions[] = {
    {"_track_memory", core_track_memory, METH_NOARGS,
     PyDoc_STR("_track_memory()\n--\n\nSee atoll.track_memory.")},
    {"_set_limits", core_set_limits, METH_VARARGS,
     PyDoc_STR("_set_limits(interp, limits, /)\n--\n\n"
               "Limit the calls into interp; returns what it had before.")},
    {"_end_limits", core_end_limits, METH_VARARGS,
     PyDoc_STR("_end_limits(interp, limits, before, /)\n--\n\n"
               "Give interp back what it had before, if it has limits.")},
    {NULL, NULL, 0, NULL},
};

static int
limits_exec(PyObject *module, ext_state *st)
{
    limits_part *part = PyMem_Calloc(1, sizeof(*part));
    if (part == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    st->parts[EXT_PART_LIMITS] = part;
    part->type
        = (PyTypeObject *)PyType_FromModuleAndSpec(module, &Limits_spec, NULL);
    if (part->type == NULL || PyModule_AddType(module, part->type) < 0) {
        return -1;
    }
    ext_limits_open();
    return PyModule_AddFunctions(module, limits_functions);
}

static int
limits_traverse(ext_state *st, visitproc visit, void *arg)
{
    limits_part *part = st->parts[EXT_PART_LIMITS];
    if (part != NULL) {
        Py_VISIT(part->type);
    }
    return 0;
}

static void
limits_clear(ext_state *st)
{
    limits_part *part = st->parts[EXT_PART_LIMITS];
    if (part != NULL) {
        Py_CLEAR(part->type);
    }
}

static void
limits_free(ext_state *st)
{
    PyMem_Free(st->parts[EXT_PART_LIMITS]);
    st->parts[EXT_PART_LIMITS] = NULL;
}

const ext_part ext_limits_part = {
    .id = EXT_PART_LIMITS,
    .exec = limits_exec,
    .traverse = limits_traverse,
    .clear = limits_clear,
    .free = limits_free,
};
