/* Semaphore, BoundedSemaphore and Event. */
#include "sync_impl.h"

/* --- semaphores ------------------------------------------------------------ */

static atoll_semaphore *
semaphore_of(PyObject *op)
{
    return ext_sync_of(op)->core;
}

static atoll_status
try_down(void *core, atoll_owner Py_UNUSED(owner), atoll_wait *wait)
{
    return atoll_semaphore_down(core, wait);
}

static PyObject *
acquire(PyObject *op, int64_t deadline)
{
    atoll_status status = atoll_semaphore_down(semaphore_of(op), NULL);
    if (status == ATOLL_E_BUSY && deadline > 0) {
        status = ext_sync_wait(op, try_down, semaphore_of(op), deadline);
    }
    return ext_sync_acquired(op, status);
}

static PyObject *
Semaphore_acquire(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    int64_t deadline;
    if (ext_sync_parse_acquire(args, nargs, kwnames, false, &deadline) < 0) {
        return NULL;
    }
    return acquire(op, deadline);
}

static PyObject *
release(PyObject *op, uint64_t n)
{
    if (atoll_semaphore_up(semaphore_of(op), n) != ATOLL_OK) {
        PyErr_SetString(PyExc_ValueError, "Semaphore released too many times");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
Semaphore_release(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    PyObject *value;
    if (ext_sync_parse_one("release", "n", args, nargs, kwnames, &value) < 0) {
        return NULL;
    }
    Py_ssize_t n = 1;
    if (value != NULL) {
        n = PyNumber_AsSsize_t(value, PyExc_OverflowError);
        if (n == -1 && PyErr_Occurred()) {
            return NULL;
        }
    }
    if (n < 1) {
        PyErr_SetString(PyExc_ValueError, "n must be one or more");
        return NULL;
    }
    return release(op, (uint64_t)n);
}

static PyObject *
Semaphore_enter(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return acquire(op, ATOLL_FOREVER);
}

static PyObject *
Semaphore_exit(PyObject *op, PyObject *const *Py_UNUSED(args),
               Py_ssize_t Py_UNUSED(nargs))
{
    return release(op, 1);
}

static PyObject *
Semaphore_repr(PyObject *op)
{
    atoll_semaphore *semaphore = semaphore_of(op);
    unsigned long long value = atoll_semaphore_value(semaphore);
    if (!atoll_semaphore_is_bounded(semaphore)) {
        return PyUnicode_FromFormat("<atoll.sync.Semaphore at %p: value=%llu>",
                                    semaphore, value);
    }
    return PyUnicode_FromFormat(
        "<atoll.sync.BoundedSemaphore at %p: value=%llu/%llu>", semaphore,
        value, (unsigned long long)atoll_semaphore_initial(semaphore));
}

static void
count_semaphore(void *ptr)
{
    atoll_semaphore_acquire(ptr);
}

static void
drop_semaphore(void *ptr)
{
    atoll_semaphore_release(ptr);
}

static const atoll_ref_ops semaphore_ops
    = {"Semaphore", count_semaphore, drop_semaphore};
static const atoll_ref_ops bounded_ops
    = {"BoundedSemaphore", count_semaphore, drop_semaphore};

static PyObject *
unpack_semaphore(ext_state *st, void *ptr)
{
    return ext_sync_unpack(st, EXT_SYNC_SEMAPHORE, &semaphore_ops, ptr);
}

static PyObject *
unpack_bounded(ext_state *st, void *ptr)
{
    return ext_sync_unpack(st, EXT_SYNC_BOUNDED_SEMAPHORE, &bounded_ops, ptr);
}

static PyObject *
make_semaphore(PyTypeObject *type, PyObject *args, PyObject *kwargs,
               bool bounded)
{
    static char *names[] = {"value", NULL};
    PyObject *given = NULL;
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, bounded ? "|O:BoundedSemaphore" : "|O:Semaphore",
            names, &given)) {
        return NULL;
    }
    Py_ssize_t value = 1;
    if (given != NULL) {
        value = PyNumber_AsSsize_t(given, PyExc_OverflowError);
        if (value == -1 && PyErr_Occurred()) {
            return NULL;
        }
    }
    if (value < 0) {
        PyErr_SetString(PyExc_ValueError,
                        "semaphore initial value must be >= 0");
        return NULL;
    }
    atoll_semaphore *semaphore = NULL;
    atoll_status status
        = atoll_semaphore_new((uint64_t)value, bounded, &semaphore);
    return ext_sync_made(type, status, bounded ? &bounded_ops : &semaphore_ops,
                         semaphore);
}

static PyObject *
Semaphore_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return make_semaphore(type, args, kwargs, false);
}

static PyObject *
Bounded_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return make_semaphore(type, args, kwargs, true);
}

PyDoc_STRVAR(semaphore_doc,
             "Semaphore(value=1)\n"
             "--\n"
             "\n"
             "A semaphore as threading.Semaphore, between the threads of all\n"
             "interpreters.\n"
             "\n"
             "Raises ValueError for a negative value.");

PyDoc_STRVAR(
    bounded_doc,
    "BoundedSemaphore(value=1)\n"
    "--\n"
    "\n"
    "A semaphore whose value never rises above its first, as\n"
    "threading.BoundedSemaphore, between the threads of all interpreters.");

static PyMethodDef semaphore_methods[] = {
    {"acquire", EXT_SYNC_METHOD(Semaphore_acquire),
     METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("acquire($self, /, blocking=True, timeout=None)\n--\n\n"
               "Take one; True if it was taken.\n\n"
               "timeout is in seconds; None waits for ever, and it must not "
               "be given with\nblocking=False.")},
    {"release", EXT_SYNC_METHOD(Semaphore_release),
     METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("release($self, /, n=1)\n--\n\n"
               "Give n back.  Raises ValueError if n is less than 1, or if a "
               "bounded one would\nget more than it began with.")},
    {"__enter__", Semaphore_enter, METH_NOARGS, NULL},
    {"__exit__", EXT_SYNC_METHOD(Semaphore_exit), METH_FASTCALL, NULL},
    EXT_SYNC_REDUCE,
    {NULL, NULL, 0, NULL},
};

static PyType_Slot semaphore_slots[] = {
    {Py_tp_doc, (void *)semaphore_doc}, {Py_tp_new, Semaphore_new},
    {Py_tp_dealloc, ext_sync_dealloc},  {Py_tp_traverse, ext_sync_traverse},
    {Py_tp_repr, Semaphore_repr},       {Py_tp_methods, semaphore_methods},
    {Py_tp_members, ext_sync_members},  {0, NULL},
};

static PyType_Slot bounded_slots[] = {
    {Py_tp_doc, (void *)bounded_doc},  {Py_tp_new, Bounded_new},
    {Py_tp_dealloc, ext_sync_dealloc}, {Py_tp_traverse, ext_sync_traverse},
    {Py_tp_repr, Semaphore_repr},      {Py_tp_methods, semaphore_methods},
    {Py_tp_members, ext_sync_members}, {0, NULL},
};

static PyType_Spec semaphore_spec = {
    .name = "atoll.sync.Semaphore",
    .basicsize = sizeof(SyncObject),
    .flags = EXT_SYNC_FLAGS,
    .slots = semaphore_slots,
};

static PyType_Spec bounded_spec = {
    .name = "atoll.sync.BoundedSemaphore",
    .basicsize = sizeof(SyncObject),
    .flags = EXT_SYNC_FLAGS,
    .slots = bounded_slots,
};

static const ext_crossing semaphore_crossing
    = {&semaphore_ops, ext_sync_pack, unpack_semaphore};
static const ext_crossing bounded_crossing
    = {&bounded_ops, ext_sync_pack, unpack_bounded};

const ext_sync_kind ext_sync_semaphore_kind
    = {EXT_SYNC_SEMAPHORE, &semaphore_spec, &semaphore_crossing};
const ext_sync_kind ext_sync_bounded_kind
    = {EXT_SYNC_BOUNDED_SEMAPHORE, &bounded_spec, &bounded_crossing};

/* --- Event ----------------------------------------------------------------- */

static atoll_event *
event_of(PyObject *op)
{
    return ext_sync_of(op)->core;
}

static atoll_status
try_event(void *core, atoll_owner Py_UNUSED(owner), atoll_wait *wait)
{
    return atoll_event_wait(core, wait);
}

static PyObject *
Event_wait(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
           PyObject *kwnames)
{
    PyObject *timeout;
    int64_t deadline = ATOLL_FOREVER;
    if (ext_sync_parse_one("wait", "timeout", args, nargs, kwnames, &timeout)
            < 0
        || (timeout != NULL
            && ext_sync_parse_timeout(timeout, &deadline) < 0)) {
        return NULL;
    }
    if (atoll_event_is_set(event_of(op))) {
        Py_RETURN_TRUE;
    }
    atoll_status status = ATOLL_E_TIMEOUT;
    if (deadline > 0) {
        status = ext_sync_wait(op, try_event, event_of(op), deadline);
    }
    return ext_sync_acquired(op, status);
}

static PyObject *
Event_is_set(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(atoll_event_is_set(event_of(op)));
}

static PyObject *
Event_set(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    atoll_event_set(event_of(op));
    Py_RETURN_NONE;
}

static PyObject *
Event_clear(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    atoll_event_clear(event_of(op));
    Py_RETURN_NONE;
}

static PyObject *
Event_repr(PyObject *op)
{
    return PyUnicode_FromFormat("<atoll.sync.Event at %p: %s>", event_of(op),
                                atoll_event_is_set(event_of(op)) ? "set"
                                                                 : "unset");
}

static void
count_event(void *ptr)
{
    atoll_event_acquire(ptr);
}

static void
drop_event(void *ptr)
{
    atoll_event_release(ptr);
}

static const atoll_ref_ops event_ops = {"Event", count_event, drop_event};

static PyObject *
unpack_event(ext_state *st, void *ptr)
{
    return ext_sync_unpack(st, EXT_SYNC_EVENT, &event_ops, ptr);
}

static PyObject *
Event_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (ext_sync_no_args("Event", args, kwargs) < 0) {
        return NULL;
    }
    atoll_event *event = NULL;
    atoll_status status = atoll_event_new(&event);
    return ext_sync_made(type, status, &event_ops, event);
}

PyDoc_STRVAR(
    event_doc,
    "Event()\n"
    "--\n"
    "\n"
    "An event as threading.Event, between the threads of all interpreters.");

static PyMethodDef event_methods[] = {
    {"is_set", Event_is_set, METH_NOARGS,
     PyDoc_STR("is_set($self, /)\n--\n\nTrue if it is set.")},
    {"set", Event_set, METH_NOARGS,
     PyDoc_STR("set($self, /)\n--\n\nSet it and wake all who wait.")},
    {"clear", Event_clear, METH_NOARGS,
     PyDoc_STR("clear($self, /)\n--\n\nUnset it.")},
    {"wait", EXT_SYNC_METHOD(Event_wait), METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("wait($self, /, timeout=None)\n--\n\n"
               "Wait until it is set; False if timeout, in seconds, passed "
               "first.")},
    EXT_SYNC_REDUCE,
    {NULL, NULL, 0, NULL},
};

static PyType_Slot event_slots[] = {
    {Py_tp_doc, (void *)event_doc},    {Py_tp_new, Event_new},
    {Py_tp_dealloc, ext_sync_dealloc}, {Py_tp_traverse, ext_sync_traverse},
    {Py_tp_repr, Event_repr},          {Py_tp_methods, event_methods},
    {Py_tp_members, ext_sync_members}, {0, NULL},
};

static PyType_Spec event_spec = {
    .name = "atoll.sync.Event",
    .basicsize = sizeof(SyncObject),
    .flags = EXT_SYNC_FLAGS,
    .slots = event_slots,
};

static const ext_crossing event_crossing
    = {&event_ops, ext_sync_pack, unpack_event};

const ext_sync_kind ext_sync_event_kind
    = {EXT_SYNC_EVENT, &event_spec, &event_crossing};
