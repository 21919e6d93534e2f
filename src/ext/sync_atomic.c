/* AtomicInt: 64 bits, sequentially consistent. */
#include "sync_impl.h"

static atoll_atomic *
atomic_of(PyObject *op)
{
    return ext_sync_of(op)->core;
}

/* Fails: -1 with TypeError, or OverflowError beyond 64 bits. */
static int
get_value(PyObject *obj, int64_t *out_value)
{
    long long value = PyLong_AsLongLong(obj);
    if (value == -1 && PyErr_Occurred()) {
        return -1;
    }
    *out_value = value;
    return 0;
}

static PyObject *
Atomic_load(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLongLong(atoll_atomic_load(atomic_of(op)));
}

static PyObject *
Atomic_store(PyObject *op, PyObject *arg)
{
    int64_t value;
    if (get_value(arg, &value) < 0) {
        return NULL;
    }
    atoll_atomic_store(atomic_of(op), value);
    Py_RETURN_NONE;
}

static PyObject *
Atomic_add(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    int64_t value = 1;
    if (nargs > 1) {
        PyErr_Format(PyExc_TypeError,
                     "add() takes at most 1 argument (%zd given)", nargs);
        return NULL;
    }
    if (nargs == 1 && get_value(args[0], &value) < 0) {
        return NULL;
    }
    return PyLong_FromLongLong(atoll_atomic_add(atomic_of(op), value));
}

static PyObject *
Atomic_exchange(PyObject *op, PyObject *arg)
{
    int64_t value;
    if (get_value(arg, &value) < 0) {
        return NULL;
    }
    return PyLong_FromLongLong(atoll_atomic_exchange(atomic_of(op), value));
}

static PyObject *
Atomic_compare_exchange(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    int64_t expected;
    int64_t value;
    if (nargs != 2) {
        PyErr_Format(PyExc_TypeError,
                     "compare_exchange() takes 2 arguments (%zd given)",
                     nargs);
        return NULL;
    }
    if (get_value(args[0], &expected) < 0 || get_value(args[1], &value) < 0) {
        return NULL;
    }
    return PyBool_FromLong(
        atoll_atomic_compare_exchange(atomic_of(op), &expected, value));
}

static PyObject *
Atomic_int(PyObject *op)
{
    return Atomic_load(op, NULL);
}

static int
Atomic_bool(PyObject *op)
{
    return atoll_atomic_load(atomic_of(op)) != 0;
}

static PyObject *
Atomic_repr(PyObject *op)
{
    return PyUnicode_FromFormat("<atoll.sync.AtomicInt at %p: %lld>",
                                atomic_of(op),
                                (long long)atoll_atomic_load(atomic_of(op)));
}

static void
count_atomic(void *ptr)
{
    atoll_atomic_acquire(ptr);
}

static void
drop_atomic(void *ptr)
{
    atoll_atomic_release(ptr);
}

static const atoll_ref_ops atomic_ops
    = {"AtomicInt", count_atomic, drop_atomic};

static PyObject *
unpack_atomic(ext_state *st, void *ptr)
{
    return ext_sync_unpack(st, EXT_SYNC_ATOMIC, &atomic_ops, ptr);
}

static PyObject *
Atomic_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"value", NULL};
    PyObject *given = NULL;
    int64_t value = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:AtomicInt", names,
                                     &given)
        || (given != NULL && get_value(given, &value) < 0)) {
        return NULL;
    }
    atoll_atomic *atomic = NULL;
    atoll_status status = atoll_atomic_new(value, &atomic);
    return ext_sync_made(type, status, &atomic_ops, atomic);
}

PyDoc_STRVAR(
    atomic_doc,
    "AtomicInt(value=0)\n"
    "--\n"
    "\n"
    "A 64-bit signed int that the threads of all interpreters share.\n"
    "\n"
    "Each operation is atomic and sequentially consistent.  add() wraps round "
    "as\n"
    "two's complement; an argument beyond 64 bits raises OverflowError.  "
    "int(),\n"
    "bool() and use as an index load the value; == compares identity.");

static PyMethodDef atomic_methods[] = {
    {"load", Atomic_load, METH_NOARGS,
     PyDoc_STR("load($self, /)\n--\n\nThe value.")},
    {"store", Atomic_store, METH_O,
     PyDoc_STR("store($self, value, /)\n--\n\nSet the value.")},
    {"add", EXT_SYNC_METHOD(Atomic_add), METH_FASTCALL,
     PyDoc_STR("add($self, value=1, /)\n--\n\n"
               "Add to it; the value that it had before.")},
    {"exchange", Atomic_exchange, METH_O,
     PyDoc_STR("exchange($self, value, /)\n--\n\n"
               "Set it; the value that it had before.")},
    {"compare_exchange", EXT_SYNC_METHOD(Atomic_compare_exchange),
     METH_FASTCALL,
     PyDoc_STR("compare_exchange($self, expected, value, /)\n--\n\n"
               "Set it to value if it is expected; True if it was.")},
    EXT_SYNC_REDUCE,
    {NULL, NULL, 0, NULL},
};

static PyType_Slot atomic_slots[] = {
    {Py_tp_doc, (void *)atomic_doc},
    {Py_tp_new, Atomic_new},
    {Py_tp_dealloc, ext_sync_dealloc},
    {Py_tp_traverse, ext_sync_traverse},
    {Py_tp_repr, Atomic_repr},
    {Py_tp_methods, atomic_methods},
    {Py_tp_members, ext_sync_members},
    {Py_nb_int, Atomic_int},
    {Py_nb_index, Atomic_int},
    {Py_nb_bool, Atomic_bool},
    {0, NULL},
};

static PyType_Spec atomic_spec = {
    .name = "atoll.sync.AtomicInt",
    .basicsize = sizeof(SyncObject),
    .flags = EXT_SYNC_FLAGS,
    .slots = atomic_slots,
};

static const ext_crossing atomic_crossing
    = {&atomic_ops, ext_sync_pack, unpack_atomic};

const ext_sync_kind ext_sync_atomic_kind
    = {EXT_SYNC_ATOMIC, &atomic_spec, &atomic_crossing};
