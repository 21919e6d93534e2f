/* _core._Call: a call by name, for who starts it in one thread and may stop it
 * from another (call_in_thread, asyncio).
 *
 *     call = interp._name_call()
 *     interp._call_as(call, timeout, func, *args)      # in one thread, once
 *     call.interrupt([exc])                            # in any other
 *
 * interrupt() hits this call or none: not the one before it in the same
 * interpreter, nor the one after it.  If the call has not begun, it fails when
 * it begins.
 */
#include "call_type.h"

#include "module.h"

typedef struct CallObject {
    PyObject_HEAD
    bool used;
    ext_call call;
} CallObject;

typedef struct call_part {
    PyTypeObject *type;
} call_part;

static call_part *
get_part(ext_state *st)
{
    return st->parts[EXT_PART_CALL];
}

PyObject *
ext_call_new(ext_state *st, atoll_interp *interp)
{
    PyTypeObject *type = get_part(st)->type;
    CallObject *self = (CallObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        ext_call_init(&self->call, interp);
    }
    return (PyObject *)self;
}

ext_call *
ext_call_of(ext_state *st, PyObject *op, atoll_interp *interp)
{
    if (Py_TYPE(op) != get_part(st)->type) {
        PyErr_Format(PyExc_TypeError, "expected a _Call, not %.200s",
                     Py_TYPE(op)->tp_name);
        return NULL;
    }
    CallObject *self = (CallObject *)op;
    if (self->used || self->call.interp != interp) {
        PyErr_SetString(PyExc_RuntimeError,
                        "a _Call is for one call in its interpreter");
        return NULL;
    }
    self->used = true;
    return &self->call;
}

static void
Call_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    ext_call_fini(&((CallObject *)op)->call);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyObject *
Call_interrupt(PyObject *op, PyTypeObject *cls, PyObject *const *args,
               Py_ssize_t nargs, PyObject *kwnames)
{
    if (nargs > 1 || (kwnames != NULL && PyTuple_GET_SIZE(kwnames) > 0)) {
        PyErr_SetString(PyExc_TypeError,
                        "interrupt() takes one argument, exc");
        return NULL;
    }
    int found = ext_call_interrupt(
        ext_state_of_class(cls), &((CallObject *)op)->call,
        nargs == 1 && args[0] != Py_None ? args[0] : NULL);
    return found < 0 ? NULL : PyBool_FromLong(found);
}

static PyMethodDef Call_methods[] = {
    {"interrupt", (PyCFunction)(void (*)(void))Call_interrupt,
     METH_METHOD | METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("interrupt($self, exc=None, /)\n--\n\n"
               "Interrupt this call, or have it fail when it begins; False "
               "if it is over.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot Call_slots[] = {
    {Py_tp_doc, "The name of one call: see Interpreter.call_in_thread."},
    {Py_tp_dealloc, Call_dealloc},
    {Py_tp_methods, Call_methods},
    {0, NULL},
};

static PyType_Spec Call_spec = {
    .name = "atoll._core._Call",
    .basicsize = sizeof(CallObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = Call_slots,
};

static int
call_exec(PyObject *module, ext_state *st)
{
    call_part *part = PyMem_Calloc(1, sizeof(*part));
    if (part == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    st->parts[EXT_PART_CALL] = part;
    part->type
        = (PyTypeObject *)PyType_FromModuleAndSpec(module, &Call_spec, NULL);
    return part->type == NULL ? -1 : 0;
}

static int
call_traverse(ext_state *st, visitproc visit, void *arg)
{
    if (get_part(st) != NULL) {
        Py_VISIT(get_part(st)->type);
    }
    return 0;
}

static void
call_clear(ext_state *st)
{
    if (get_part(st) != NULL) {
        Py_CLEAR(get_part(st)->type);
    }
}

static void
call_free(ext_state *st)
{
    PyMem_Free(get_part(st));
    st->parts[EXT_PART_CALL] = NULL;
}

const ext_part ext_call_part = {
    .id = EXT_PART_CALL,
    .exec = call_exec,
    .traverse = call_traverse,
    .clear = call_clear,
    .free = call_free,
};
