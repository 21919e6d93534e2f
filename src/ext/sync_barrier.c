/* Barrier.
 *
 * Beside the core's barrier travels what threading's has: the default timeout
 * and the action.  The action is an object of the interpreter that made the
 * barrier, and is run by whichever party comes last, wherever that is: it is
 * encoded when the barrier is sent for the first time, and decoded in another
 * interpreter when that has to run it for the first time.  (An action that
 * refers to its own barrier keeps it from being freed once it was sent.)
 */
#include "run.h"
#include "sync_impl.h"

/* What a Barrier's handles share; never changes but for `action`. */
typedef struct shared_barrier {
    atoll_refcount count;
    atoll_barrier *core; /* owned */
    bool has_timeout;
    bool has_action;
    double timeout;                /* in seconds */
    _Atomic(atoll_frame *) action; /* owned; NULL until it was sent */
} shared_barrier;

typedef struct BarrierObject {
    SyncObject head;
    PyObject *action; /* here; NULL: none, or not decoded yet */
    bool sending;     /* its action is being encoded */
} BarrierObject;

static shared_barrier *
shared_of(PyObject *op)
{
    return ext_sync_of(op)->core;
}

static atoll_barrier *
barrier_of(PyObject *op)
{
    return shared_of(op)->core;
}

static void
count_barrier(void *ptr)
{
    atoll_ref_acquire(&((shared_barrier *)ptr)->count);
}

static void
drop_barrier(void *ptr)
{
    shared_barrier *shared = ptr;
    if (!atoll_ref_release(&shared->count)) {
        return;
    }
    atoll_frame *action = atomic_load(&shared->action);
    if (action != NULL) {
        atoll_frame_release(action);
    }
    atoll_barrier_release(shared->core);
    atoll_free(shared);
}

static const atoll_ref_ops barrier_ops
    = {"Barrier", count_barrier, drop_barrier};

/* --- crossing -------------------------------------------------------------- */

/* Fails: -1 with an exception. */
static int
encode_action(ext_state *st, BarrierObject *self)
{
    shared_barrier *shared = shared_of((PyObject *)self);
    atoll_frame *frame = atoll_frame_new();
    if (frame == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    frame->sender = st->self->id;
    self->sending = true;
    int result = ext_encode(st, self->action, "action", 0, NULL, frame);
    self->sending = false;
    atoll_frame *none = NULL;
    if (result < 0
        || !atomic_compare_exchange_strong(&shared->action, &none, frame)) {
        atoll_frame_release(frame);
    }
    return result;
}

static int
pack_barrier(ext_state *st, PyObject *op, void **out_ptr)
{
    BarrierObject *self = (BarrierObject *)op;
    if (self->action != NULL && !self->sending
        && atomic_load(&shared_of(op)->action) == NULL
        && encode_action(st, self) < 0) {
        return -1;
    }
    return ext_sync_pack(st, op, out_ptr);
}

static PyObject *
unpack_barrier(ext_state *st, void *ptr)
{
    return ext_sync_unpack(st, EXT_SYNC_BARRIER, &barrier_ops, ptr);
}

/* The action, here; borrowed.  NULL with an exception. */
static PyObject *
get_action(ext_state *st, BarrierObject *self)
{
    if (self->action == NULL) {
        atoll_frame *frame = atomic_load(&shared_of((PyObject *)self)->action);
        if (frame == NULL) { /* sent by its own action: see encode_action */
            PyErr_SetString(PyExc_RuntimeError,
                            "the barrier's action has not arrived");
            return NULL;
        }
        PyObject *action = ext_decode(st, frame);
        if (action == NULL) {
            return NULL;
        }
        Py_XSETREF(self->action, action);
    }
    return self->action;
}

/* --- wait ------------------------------------------------------------------ */

/* NULL. */
static PyObject *
raise_broken(void)
{
    PyObject *type = ext_state_python("threading", "BrokenBarrierError");
    if (type != NULL) {
        PyErr_SetNone(type);
        Py_DECREF(type);
    }
    return NULL;
}

/* This party is to run the action while the others wait. */
static PyObject *
act(ext_state *st, PyObject *op, atoll_barrier_wait *state)
{
    PyObject *action = get_action(st, (BarrierObject *)op);
    PyObject *result = NULL;
    if (action != NULL) {
        Py_INCREF(action);
        result = PyObject_CallNoArgs(action);
        Py_DECREF(action);
    }
    PyObject *error = PyErr_GetRaisedException();
    atoll_status status
        = atoll_barrier_finish(barrier_of(op), state, result != NULL);
    PyErr_SetRaisedException(error);
    if (result == NULL) {
        return NULL;
    }
    Py_DECREF(result);
    return status == ATOLL_OK ? PyLong_FromUnsignedLongLong(state->index)
                              : raise_broken();
}

static PyObject *
wait_until(PyObject *op, int64_t deadline)
{
    ext_state *st = ext_sync_state(op);
    if (st == NULL) {
        return NULL;
    }
    atoll_barrier *barrier = barrier_of(op);
    bool has_action = shared_of(op)->has_action;
    atoll_wait wait = {ext_attach_parker(), deadline, 0};
    if (wait.parker == NULL) {
        return PyErr_NoMemory();
    }
    ext_chores_check(st);
    atoll_barrier_wait state = {0};
    atoll_status status;
    for (;;) {
        Py_BEGIN_ALLOW_THREADS
        status = atoll_barrier_arrive(barrier, has_action, &wait, &state);
        Py_END_ALLOW_THREADS
        if (status != ATOLL_E_INTERRUPTED) {
            break;
        }
        if (ext_run_check(st) < 0) {
            atoll_barrier_give_up(barrier, &state);
            return NULL;
        }
    }
    ext_chores_check(st);
    if (status == ATOLL_OK) {
        return state.act ? act(st, op, &state)
                         : PyLong_FromUnsignedLongLong(state.index);
    }
    return status == ATOLL_E_BROKEN ? raise_broken()
                                    : ext_sync_failed(op, status, "wait");
}

static PyObject *
Barrier_wait(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    const shared_barrier *shared = shared_of(op);
    PyObject *timeout;
    if (ext_sync_parse_one("wait", "timeout", args, nargs, kwnames, &timeout)
        < 0) {
        return NULL;
    }
    int64_t deadline = ATOLL_FOREVER;
    if (timeout != NULL && timeout != Py_None) {
        if (ext_sync_parse_timeout(timeout, &deadline) < 0) {
            return NULL;
        }
    }
    else if (shared->has_timeout) {
        deadline
            = shared->timeout > 0 ? atoll_deadline_after(shared->timeout) : 0;
    }
    return wait_until(op, deadline);
}

/* --- the rest -------------------------------------------------------------- */

static PyObject *
Barrier_reset(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    atoll_barrier_reset(barrier_of(op));
    Py_RETURN_NONE;
}

static PyObject *
Barrier_abort(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    atoll_barrier_abort(barrier_of(op));
    Py_RETURN_NONE;
}

static PyObject *
Barrier_parties(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(atoll_barrier_parties(barrier_of(op)));
}

static PyObject *
Barrier_n_waiting(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(atoll_barrier_waiting(barrier_of(op)));
}

static PyObject *
Barrier_broken(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(atoll_barrier_broken(barrier_of(op)));
}

static PyObject *
Barrier_repr(PyObject *op)
{
    atoll_barrier *barrier = barrier_of(op);
    if (atoll_barrier_broken(barrier)) {
        return PyUnicode_FromFormat("<atoll.sync.Barrier at %p: broken>",
                                    barrier);
    }
    return PyUnicode_FromFormat(
        "<atoll.sync.Barrier at %p: waiters=%llu/%llu>", barrier,
        (unsigned long long)atoll_barrier_waiting(barrier),
        (unsigned long long)atoll_barrier_parties(barrier));
}

/* --- life ------------------------------------------------------------------ */

/* NULL: out of memory. */
static shared_barrier *
make_shared(uint64_t parties, PyObject *action, PyObject *timeout,
            double seconds)
{
    shared_barrier *shared = atoll_calloc(1, sizeof(*shared));
    if (shared == NULL) {
        return NULL;
    }
    if (atoll_barrier_new(parties, &shared->core) != ATOLL_OK) {
        atoll_free(shared);
        return NULL;
    }
    atoll_ref_init(&shared->count);
    shared->has_timeout = timeout != Py_None;
    shared->has_action = action != Py_None;
    shared->timeout = seconds;
    atomic_init(&shared->action, NULL);
    return shared;
}

static PyObject *
Barrier_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"parties", "action", "timeout", NULL};
    PyObject *parties;
    PyObject *action = Py_None;
    PyObject *timeout = Py_None;
    int64_t ignored;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OO:Barrier", names,
                                     &parties, &action, &timeout)
        || ext_sync_parse_timeout(timeout, &ignored) < 0) {
        return NULL;
    }
    Py_ssize_t n = PyNumber_AsSsize_t(parties, PyExc_OverflowError);
    if (n == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (n < 1) {
        PyErr_SetString(PyExc_ValueError, "parties must be >= 1");
        return NULL;
    }
    if (action != Py_None && !PyCallable_Check(action)) {
        PyErr_Format(PyExc_TypeError, "action must be callable, not %.200s",
                     Py_TYPE(action)->tp_name);
        return NULL;
    }
    double seconds = timeout == Py_None ? 0.0 : PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return NULL;
    }
    shared_barrier *shared
        = make_shared((uint64_t)n, action, timeout, seconds);
    PyObject *op = ext_sync_made(
        type, shared == NULL ? ATOLL_E_NOMEM : ATOLL_OK, &barrier_ops, shared);
    if (op != NULL && action != Py_None) {
        ((BarrierObject *)op)->action = Py_NewRef(action);
    }
    return op;
}

static int
Barrier_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((BarrierObject *)op)->action);
    return 0;
}

static int
Barrier_clear(PyObject *op)
{
    Py_CLEAR(((BarrierObject *)op)->action);
    return 0;
}

static void
Barrier_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)Barrier_clear(op);
    ext_sync_fini(op);
    type->tp_free(op);
    Py_DECREF(type);
}

/* --- the type -------------------------------------------------------------- */

PyDoc_STRVAR(barrier_doc, "Barrier(parties, action=None, timeout=None)\n"
                          "--\n"
                          "\n"
                          "A barrier as threading.Barrier, between the "
                          "threads of all interpreters.\n"
                          "\n"
                          "parties: how many threads wait for each other.  "
                          "action: a callable that one\n"
                          "of them runs, in its own interpreter, before they "
                          "go on; it must be able to\n"
                          "cross if the barrier is sent.  timeout: the "
                          "default of wait(), in seconds.\n"
                          "Raises ValueError for less than one party.");

static PyMethodDef barrier_methods[] = {
    {"wait", EXT_SYNC_METHOD(Barrier_wait), METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("wait($self, /, timeout=None)\n--\n\n"
               "Wait for the others; an int from 0 to parties - 1, another "
               "for each.\n\n"
               "timeout is in seconds; when it passes the barrier breaks.  "
               "Raises\nthreading.BrokenBarrierError.")},
    {"reset", Barrier_reset, METH_NOARGS,
     PyDoc_STR("reset($self, /)\n--\n\n"
               "Back to empty; those who wait get BrokenBarrierError.")},
    {"abort", Barrier_abort, METH_NOARGS,
     PyDoc_STR("abort($self, /)\n--\n\n"
               "Break the barrier: those who wait, or will, get "
               "BrokenBarrierError.")},
    EXT_SYNC_REDUCE,
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef barrier_getset[] = {
    {"parties", Barrier_parties, NULL,
     PyDoc_STR("How many threads pass together."), NULL},
    {"n_waiting", Barrier_n_waiting, NULL,
     PyDoc_STR("How many threads wait now."), NULL},
    {"broken", Barrier_broken, NULL, PyDoc_STR("True if it is broken."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot barrier_slots[] = {
    {Py_tp_doc, (void *)barrier_doc},  {Py_tp_new, Barrier_new},
    {Py_tp_dealloc, Barrier_dealloc},  {Py_tp_traverse, Barrier_traverse},
    {Py_tp_clear, Barrier_clear},      {Py_tp_repr, Barrier_repr},
    {Py_tp_methods, barrier_methods},  {Py_tp_getset, barrier_getset},
    {Py_tp_members, ext_sync_members}, {0, NULL},
};

static PyType_Spec barrier_spec = {
    .name = "atoll.sync.Barrier",
    .basicsize = sizeof(BarrierObject),
    .flags = EXT_SYNC_FLAGS,
    .slots = barrier_slots,
};

static const ext_crossing barrier_crossing
    = {&barrier_ops, pack_barrier, unpack_barrier};

const ext_sync_kind ext_sync_barrier_kind
    = {EXT_SYNC_BARRIER, &barrier_spec, &barrier_crossing};
