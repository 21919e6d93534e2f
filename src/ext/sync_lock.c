/* Lock and RLock.
 *
 * The owner is the pair (interpreter, OS thread).  Without contention neither
 * acquire nor release lets the GIL go: each is one atomic operation.
 */
#include "sync_impl.h"

static atoll_lock *
lock_of(PyObject *op)
{
    return ext_sync_of(op)->core;
}

atoll_lock *
ext_sync_lock_of(ext_state *st, PyObject *obj)
{
    if (Py_IS_TYPE(obj, ext_sync_type(st, EXT_SYNC_LOCK))
        || Py_IS_TYPE(obj, ext_sync_type(st, EXT_SYNC_RLOCK))) {
        return lock_of(obj);
    }
    return NULL;
}

/* --- acquire, release ------------------------------------------------------ */

static atoll_status
try_lock(void *core, atoll_owner owner, atoll_wait *wait)
{
    return atoll_lock_lock(core, owner, wait);
}

PyObject *
ext_sync_lock_acquire(PyObject *op, atoll_lock *lock, int64_t deadline)
{
    atoll_status status = atoll_lock_lock(lock, ext_sync_owner(op), NULL);
    if (status == ATOLL_E_BUSY && deadline > 0) {
        status = ext_sync_wait(op, try_lock, lock, deadline);
    }
    return ext_sync_acquired(op, status);
}

PyObject *
ext_sync_lock_release(PyObject *op, atoll_lock *lock)
{
    atoll_status status = atoll_lock_unlock(lock, ext_sync_owner(op));
    if (ATOLL_LIKELY(status == ATOLL_OK)) {
        Py_RETURN_NONE;
    }
    if (status != ATOLL_E_NOT_OWNER) {
        return ext_sync_failed(op, status, "release");
    }
    PyErr_SetString(PyExc_RuntimeError, atoll_lock_is_recursive(lock)
                                            ? "cannot release un-acquired lock"
                                            : "release unlocked lock");
    return NULL;
}

static PyObject *
Lock_acquire(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    int64_t deadline;
    if (ext_sync_parse_acquire(args, nargs, kwnames, true, &deadline) < 0) {
        return NULL;
    }
    return ext_sync_lock_acquire(op, lock_of(op), deadline);
}

static PyObject *
Lock_release(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return ext_sync_lock_release(op, lock_of(op));
}

static PyObject *
Lock_enter(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return ext_sync_lock_acquire(op, lock_of(op), ATOLL_FOREVER);
}

static PyObject *
Lock_exit(PyObject *op, PyObject *const *Py_UNUSED(args),
          Py_ssize_t Py_UNUSED(nargs))
{
    return ext_sync_lock_release(op, lock_of(op));
}

/* --- for threading.Condition ----------------------------------------------- */

PyObject *
ext_sync_lock_is_owned(PyObject *op, atoll_lock *lock)
{
    return PyBool_FromLong(atoll_lock_is_owned(lock, ext_sync_owner(op)));
}

PyObject *
ext_sync_lock_count(PyObject *op, atoll_lock *lock)
{
    bool owned = atoll_lock_is_owned(lock, ext_sync_owner(op));
    return PyLong_FromUnsignedLongLong(owned ? atoll_lock_depth(lock) : 0);
}

/* Releases it wholly; how deep it was. */
PyObject *
ext_sync_lock_save(PyObject *op, atoll_lock *lock)
{
    atoll_owner owner = ext_sync_owner(op);
    if (!atoll_lock_is_owned(lock, owner)) {
        PyErr_SetString(PyExc_RuntimeError, "cannot release un-acquired lock");
        return NULL;
    }
    uint64_t depth = atoll_lock_depth(lock);
    PyObject *result = PyLong_FromUnsignedLongLong(depth);
    for (uint64_t i = 0; result != NULL && i < depth; i++) {
        (void)atoll_lock_unlock(lock, owner);
    }
    return result;
}

PyObject *
ext_sync_lock_restore(PyObject *op, atoll_lock *lock, PyObject *arg)
{
    unsigned long long depth = PyLong_AsUnsignedLongLong(arg);
    if (depth == (unsigned long long)-1 && PyErr_Occurred()) {
        return NULL;
    }
    PyObject *got = ext_sync_lock_acquire(op, lock, ATOLL_FOREVER);
    if (got == NULL) {
        return NULL;
    }
    Py_DECREF(got);
    for (unsigned long long i = 1; i < depth; i++) {
        (void)atoll_lock_lock(lock, ext_sync_owner(op), NULL);
    }
    Py_RETURN_NONE;
}

static PyObject *
RLock_is_owned(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return ext_sync_lock_is_owned(op, lock_of(op));
}

static PyObject *
RLock_count(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return ext_sync_lock_count(op, lock_of(op));
}

static PyObject *
RLock_save(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return ext_sync_lock_save(op, lock_of(op));
}

static PyObject *
RLock_restore(PyObject *op, PyObject *depth)
{
    return ext_sync_lock_restore(op, lock_of(op), depth);
}

/* --- the rest -------------------------------------------------------------- */

static PyObject *
Lock_locked(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(atoll_lock_is_locked(lock_of(op)));
}

static PyObject *
Lock_reset(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    atoll_lock_reset(lock_of(op));
    Py_RETURN_NONE;
}

PyObject *
ext_sync_lock_repr(atoll_lock *lock)
{
    const char *state = atoll_lock_owner_died(lock)  ? "owner-died"
                        : atoll_lock_is_locked(lock) ? "locked"
                                                     : "unlocked";
    if (!atoll_lock_is_recursive(lock)) {
        return PyUnicode_FromFormat("<%s atoll.sync.Lock object at %p>", state,
                                    lock);
    }
    return PyUnicode_FromFormat(
        "<%s atoll.sync.RLock object count=%llu at %p>", state,
        (unsigned long long)atoll_lock_depth(lock), lock);
}

static PyObject *
Lock_repr(PyObject *op)
{
    return ext_sync_lock_repr(lock_of(op));
}

static PyObject *
make_lock(PyTypeObject *type, bool recursive, const atoll_ref_ops *ops)
{
    atoll_lock *lock = NULL;
    atoll_status status = atoll_lock_new(recursive, &lock);
    return ext_sync_made(type, status, ops, lock);
}

/* --- crossing -------------------------------------------------------------- */

static void
count_lock(void *ptr)
{
    atoll_lock_acquire(ptr);
}

static void
drop_lock(void *ptr)
{
    atoll_lock_release(ptr);
}

/* One for each type: they tell the receiver which it is. */
static const atoll_ref_ops lock_ops = {"Lock", count_lock, drop_lock};
static const atoll_ref_ops rlock_ops = {"RLock", count_lock, drop_lock};

static PyObject *
unpack_lock(ext_state *st, void *ptr)
{
    return ext_sync_unpack(st, EXT_SYNC_LOCK, &lock_ops, ptr);
}

static PyObject *
unpack_rlock(ext_state *st, void *ptr)
{
    return ext_sync_unpack(st, EXT_SYNC_RLOCK, &rlock_ops, ptr);
}

static PyObject *
Lock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return ext_sync_no_args("Lock", args, kwargs) < 0
               ? NULL
               : make_lock(type, false, &lock_ops);
}

static PyObject *
RLock_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    return ext_sync_no_args("RLock", args, kwargs) < 0
               ? NULL
               : make_lock(type, true, &rlock_ops);
}

/* --- the types ------------------------------------------------------------- */

PyDoc_STRVAR(
    lock_doc,
    "Lock()\n"
    "--\n"
    "\n"
    "A lock as threading.Lock, between the threads of all interpreters.\n"
    "\n"
    "Sent to an interpreter it is the same lock there.  Any thread may "
    "release\n"
    "it.  When the interpreter of the thread that holds it is closed, every\n"
    "acquire raises OwnerDiedError, without acquiring, until reset().");

PyDoc_STRVAR(
    rlock_doc,
    "RLock()\n"
    "--\n"
    "\n"
    "A reentrant lock as threading.RLock, between the threads of all\n"
    "interpreters.\n"
    "\n"
    "Its owner is a thread in an interpreter: the same OS thread inside "
    "another\n"
    "interpreter is somebody else.  When the owner's interpreter is closed, "
    "every\n"
    "acquire raises OwnerDiedError, without acquiring, until reset().");

PyDoc_STRVAR(
    acquire_doc,
    "acquire($self, /, blocking=True, timeout=-1)\n"
    "--\n"
    "\n"
    "Take the lock; True if it was taken.\n"
    "\n"
    "timeout is in seconds; -1 waits for ever, and it must not be given with\n"
    "blocking=False.  Raises OwnerDiedError without taking it.");

PyDoc_STRVAR(release_doc,
             "release($self, /)\n"
             "--\n"
             "\n"
             "Release the lock.  Raises RuntimeError if it is not held.");

PyDoc_STRVAR(locked_doc, "locked($self, /)\n"
                         "--\n"
                         "\n"
                         "True if somebody holds it.");

PyDoc_STRVAR(reset_doc, "reset($self, /)\n"
                        "--\n"
                        "\n"
                        "Unlock a lock whose holder's interpreter was closed; "
                        "leave any other alone.");

static PyMethodDef lock_methods[] = {
    {"acquire", EXT_SYNC_METHOD(Lock_acquire), METH_FASTCALL | METH_KEYWORDS,
     acquire_doc},
    {"release", Lock_release, METH_NOARGS, release_doc},
    {"locked", Lock_locked, METH_NOARGS, locked_doc},
    {"reset", Lock_reset, METH_NOARGS, reset_doc},
    {"__enter__", Lock_enter, METH_NOARGS, NULL},
    {"__exit__", EXT_SYNC_METHOD(Lock_exit), METH_FASTCALL, NULL},
    EXT_SYNC_REDUCE,
    {NULL, NULL, 0, NULL},
};

static PyMethodDef rlock_methods[] = {
    {"acquire", EXT_SYNC_METHOD(Lock_acquire), METH_FASTCALL | METH_KEYWORDS,
     acquire_doc},
    {"release", Lock_release, METH_NOARGS, release_doc},
    {"locked", Lock_locked, METH_NOARGS, locked_doc},
    {"reset", Lock_reset, METH_NOARGS, reset_doc},
    {"__enter__", Lock_enter, METH_NOARGS, NULL},
    {"__exit__", EXT_SYNC_METHOD(Lock_exit), METH_FASTCALL, NULL},
    {"_is_owned", RLock_is_owned, METH_NOARGS, NULL},
    {"_recursion_count", RLock_count, METH_NOARGS, NULL},
    {"_release_save", RLock_save, METH_NOARGS, NULL},
    {"_acquire_restore", RLock_restore, METH_O, NULL},
    EXT_SYNC_REDUCE,
    {NULL, NULL, 0, NULL},
};

static PyType_Slot lock_slots[] = {
    {Py_tp_doc, (void *)lock_doc},     {Py_tp_new, Lock_new},
    {Py_tp_dealloc, ext_sync_dealloc}, {Py_tp_traverse, ext_sync_traverse},
    {Py_tp_repr, Lock_repr},           {Py_tp_methods, lock_methods},
    {Py_tp_members, ext_sync_members}, {0, NULL},
};

static PyType_Slot rlock_slots[] = {
    {Py_tp_doc, (void *)rlock_doc},    {Py_tp_new, RLock_new},
    {Py_tp_dealloc, ext_sync_dealloc}, {Py_tp_traverse, ext_sync_traverse},
    {Py_tp_repr, Lock_repr},           {Py_tp_methods, rlock_methods},
    {Py_tp_members, ext_sync_members}, {0, NULL},
};

static PyType_Spec lock_spec = {
    .name = "atoll.sync.Lock",
    .basicsize = sizeof(SyncObject),
    .flags = EXT_SYNC_FLAGS,
    .slots = lock_slots,
};

static PyType_Spec rlock_spec = {
    .name = "atoll.sync.RLock",
    .basicsize = sizeof(SyncObject),
    .flags = EXT_SYNC_FLAGS,
    .slots = rlock_slots,
};

static const ext_crossing lock_crossing
    = {&lock_ops, ext_sync_pack, unpack_lock};
static const ext_crossing rlock_crossing
    = {&rlock_ops, ext_sync_pack, unpack_rlock};

const ext_sync_kind ext_sync_lock_kind
    = {EXT_SYNC_LOCK, &lock_spec, &lock_crossing};
const ext_sync_kind ext_sync_rlock_kind
    = {EXT_SYNC_RLOCK, &rlock_spec, &rlock_crossing};
