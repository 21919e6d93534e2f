/* Condition.
 *
 * It has a lock of the core's, not a Python lock object: sent to another
 * interpreter the condition brings its lock along.
 *
 * An interrupted wait takes the lock again before it raises, as threading's
 * does, for the caller's `with` will release it.  If the lock cannot be had,
 * a second interruption ends the wait all the same, without the lock: nobody
 * must be stuck beyond the reach of Ctrl-C.
 */
#include "run.h"
#include "sync_impl.h"

static atoll_condition *
condition_of(PyObject *op)
{
    return ext_sync_of(op)->core;
}

static atoll_lock *
lock_of(PyObject *op)
{
    return atoll_condition_lock(condition_of(op));
}

/* --- the lock's methods ---------------------------------------------------- */

static PyObject *
Condition_acquire(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    int64_t deadline;
    if (ext_sync_parse_acquire(args, nargs, kwnames, true, &deadline) < 0) {
        return NULL;
    }
    return ext_sync_lock_acquire(op, lock_of(op), deadline);
}

static PyObject *
Condition_release(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return ext_sync_lock_release(op, lock_of(op));
}

static PyObject *
Condition_locked(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(atoll_lock_is_locked(lock_of(op)));
}

static PyObject *
Condition_reset(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    atoll_lock_reset(lock_of(op));
    Py_RETURN_NONE;
}

static PyObject *
Condition_is_owned(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return ext_sync_lock_is_owned(op, lock_of(op));
}

static PyObject *
Condition_count(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return ext_sync_lock_count(op, lock_of(op));
}

static PyObject *
Condition_save(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return ext_sync_lock_save(op, lock_of(op));
}

static PyObject *
Condition_restore(PyObject *op, PyObject *depth)
{
    return ext_sync_lock_restore(op, lock_of(op), depth);
}

static PyObject *
Condition_enter(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return ext_sync_lock_acquire(op, lock_of(op), ATOLL_FOREVER);
}

static PyObject *
Condition_exit(PyObject *op, PyObject *const *Py_UNUSED(args),
               Py_ssize_t Py_UNUSED(nargs))
{
    return ext_sync_lock_release(op, lock_of(op));
}

/* --- wait ------------------------------------------------------------------ */

/* ext_run_check, but an exception that is set already stays, and counts as
 * one that cannot be raised twice.  Returns true if the wait must end now. */
static bool
check_interruption(ext_state *st, atoll_condition *condition,
                   atoll_condition_wait *state, PyObject **error)
{
    if (ext_run_check(st) == 0) {
        return false;
    }
    if (*error != NULL) {
        /* The second one: it goes on top of the first. */
        Py_CLEAR(*error);
        *error = PyErr_GetRaisedException();
        return true;
    }
    *error = PyErr_GetRaisedException();
    atoll_condition_give_up(condition, state);
    return false;
}

/* ATOLL_OK (notified), ATOLL_E_TIMEOUT; else an exception is set and the
 * status is another one. */
static atoll_status
sleep_until(PyObject *op, int64_t deadline)
{
    atoll_condition *condition = condition_of(op);
    ext_state *st = ext_sync_state(op);
    if (st == NULL) {
        return ATOLL_E_INTERRUPTED;
    }
    atoll_owner owner = ext_sync_owner(op);
    atoll_wait wait = {ext_attach_parker(), deadline, 0};
    if (wait.parker == NULL) {
        PyErr_NoMemory();
        return ATOLL_E_NOMEM;
    }
    ext_chores_check(st);
    atoll_condition_wait state = {0};
    PyObject *error = NULL;
    atoll_status status;
    do {
        Py_BEGIN_ALLOW_THREADS
        status = atoll_condition_sleep(condition, owner, &wait, &state);
        Py_END_ALLOW_THREADS
    } while (status == ATOLL_E_INTERRUPTED
             && !check_interruption(st, condition, &state, &error));
    if (error != NULL) {
        PyErr_SetRaisedException(error);
        return ATOLL_E_INTERRUPTED;
    }
    ext_chores_check(st);
    if (status == ATOLL_E_NOT_OWNER) {
        PyErr_SetString(PyExc_RuntimeError, "cannot wait on un-acquired lock");
    }
    else if (status != ATOLL_OK && status != ATOLL_E_TIMEOUT) {
        (void)ext_sync_failed(op, status, "wait");
    }
    return status;
}

static PyObject *
Condition_wait(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
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
    switch (sleep_until(op, deadline)) {
    case ATOLL_OK:
        Py_RETURN_TRUE;
    case ATOLL_E_TIMEOUT:
        Py_RETURN_FALSE;
    default:
        return NULL;
    }
}

static PyObject *
Condition_wait_for(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"predicate", "timeout", NULL};
    PyObject *predicate;
    PyObject *timeout = Py_None;
    int64_t deadline;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:wait_for", names,
                                     &predicate, &timeout)
        || ext_sync_parse_timeout(timeout, &deadline) < 0) {
        return NULL;
    }
    atoll_status status = ATOLL_OK;
    for (;;) {
        PyObject *result = PyObject_CallNoArgs(predicate);
        int truth = result == NULL ? -1 : PyObject_IsTrue(result);
        if (truth != 0 || status == ATOLL_E_TIMEOUT) {
            if (truth < 0) {
                Py_CLEAR(result);
            }
            return result;
        }
        Py_DECREF(result);
        status = sleep_until(op, deadline);
        if (status != ATOLL_OK && status != ATOLL_E_TIMEOUT) {
            return NULL;
        }
    }
}

/* --- notify ---------------------------------------------------------------- */

static PyObject *
notify(PyObject *op, uint64_t n)
{
    atoll_status status
        = atoll_condition_notify(condition_of(op), ext_sync_owner(op), n);
    if (status == ATOLL_OK) {
        Py_RETURN_NONE;
    }
    if (status == ATOLL_E_NOT_OWNER) {
        PyErr_SetString(PyExc_RuntimeError,
                        "cannot notify on un-acquired lock");
        return NULL;
    }
    return ext_sync_failed(op, status, "notify");
}

static PyObject *
Condition_notify(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    PyObject *value;
    if (ext_sync_parse_one("notify", "n", args, nargs, kwnames, &value) < 0) {
        return NULL;
    }
    Py_ssize_t n = 1;
    if (value != NULL) {
        n = PyNumber_AsSsize_t(value, NULL);
        if (n == -1 && PyErr_Occurred()) {
            return NULL;
        }
    }
    return notify(op, n > 0 ? (uint64_t)n : 0);
}

static PyObject *
Condition_notify_all(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return notify(op, UINT64_MAX);
}

/* --- life and crossing ----------------------------------------------------- */

static void
count_condition(void *ptr)
{
    atoll_condition_acquire(ptr);
}

static void
drop_condition(void *ptr)
{
    atoll_condition_release(ptr);
}

static const atoll_ref_ops condition_ops
    = {"Condition", count_condition, drop_condition};

static PyObject *
unpack_condition(ext_state *st, void *ptr)
{
    return ext_sync_unpack(st, EXT_SYNC_CONDITION, &condition_ops, ptr);
}

static PyObject *
Condition_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"lock", NULL};
    PyObject *given = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:Condition", names,
                                     &given)) {
        return NULL;
    }
    atoll_lock *lock = NULL;
    atoll_status status = ATOLL_OK;
    if (given == Py_None) {
        status = atoll_lock_new(true, &lock);
    }
    else {
        lock = ext_sync_lock_of(ext_state_of_class(type), given);
        if (lock == NULL) {
            PyErr_Format(PyExc_TypeError,
                         "lock must be an atoll.sync.Lock or RLock, not "
                         "%.200s",
                         Py_TYPE(given)->tp_name);
            return NULL;
        }
        atoll_lock_acquire(lock);
    }
    atoll_condition *condition = NULL;
    if (status == ATOLL_OK) {
        status = atoll_condition_new(lock, &condition);
        atoll_lock_release(lock);
    }
    return ext_sync_made(type, status, &condition_ops, condition);
}

static PyObject *
Condition_repr(PyObject *op)
{
    PyObject *lock = ext_sync_lock_repr(lock_of(op));
    if (lock == NULL) {
        return NULL;
    }
    PyObject *text = PyUnicode_FromFormat("<atoll.sync.Condition(%U) at %p>",
                                          lock, condition_of(op));
    Py_DECREF(lock);
    return text;
}

PyDoc_STRVAR(
    condition_doc,
    "Condition(lock=None)\n"
    "--\n"
    "\n"
    "A condition as threading.Condition, between the threads of all "
    "interpreters.\n"
    "\n"
    "lock: an atoll.sync.Lock or RLock; None makes a new RLock.  Sent to an\n"
    "interpreter, it is the same condition with the same lock there.");

static PyMethodDef condition_methods[] = {
    {"acquire", EXT_SYNC_METHOD(Condition_acquire),
     METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("acquire($self, /, blocking=True, timeout=-1)\n--\n\n"
               "Take the lock, as Lock.acquire does.")},
    {"release", Condition_release, METH_NOARGS,
     PyDoc_STR("release($self, /)\n--\n\nRelease the lock.")},
    {"locked", Condition_locked, METH_NOARGS,
     PyDoc_STR("locked($self, /)\n--\n\nTrue if somebody holds the lock.")},
    {"reset", Condition_reset, METH_NOARGS,
     PyDoc_STR("reset($self, /)\n--\n\n"
               "Unlock the lock if its holder's interpreter was closed.")},
    {"wait", EXT_SYNC_METHOD(Condition_wait), METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("wait($self, /, timeout=None)\n--\n\n"
               "Release the lock, wait for a notification, take the lock "
               "again.\n\n"
               "timeout is in seconds; None waits for ever.  False: it "
               "passed.  Raises RuntimeError\nif the lock is not held, "
               "OwnerDiedError (then it is not held afterwards).")},
    {"wait_for", EXT_SYNC_METHOD(Condition_wait_for),
     METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR("wait_for($self, /, predicate, timeout=None)\n--\n\n"
               "Wait until predicate() is true, or timeout seconds have "
               "passed; its last result.")},
    {"notify", EXT_SYNC_METHOD(Condition_notify),
     METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("notify($self, /, n=1)\n--\n\n"
               "Wake up to n waiters, longest first; the lock must be "
               "held.")},
    {"notify_all", Condition_notify_all, METH_NOARGS,
     PyDoc_STR("notify_all($self, /)\n--\n\n"
               "Wake all waiters; the lock must be held.")},
    {"__enter__", Condition_enter, METH_NOARGS, NULL},
    {"__exit__", EXT_SYNC_METHOD(Condition_exit), METH_FASTCALL, NULL},
    {"_is_owned", Condition_is_owned, METH_NOARGS, NULL},
    {"_recursion_count", Condition_count, METH_NOARGS, NULL},
    {"_release_save", Condition_save, METH_NOARGS, NULL},
    {"_acquire_restore", Condition_restore, METH_O, NULL},
    EXT_SYNC_REDUCE,
    {NULL, NULL, 0, NULL},
};

static PyType_Slot condition_slots[] = {
    {Py_tp_doc, (void *)condition_doc}, {Py_tp_new, Condition_new},
    {Py_tp_dealloc, ext_sync_dealloc},  {Py_tp_traverse, ext_sync_traverse},
    {Py_tp_repr, Condition_repr},       {Py_tp_methods, condition_methods},
    {Py_tp_members, ext_sync_members},  {0, NULL},
};

static PyType_Spec condition_spec = {
    .name = "atoll.sync.Condition",
    .basicsize = sizeof(SyncObject),
    .flags = EXT_SYNC_FLAGS,
    .slots = condition_slots,
};

static const ext_crossing condition_crossing
    = {&condition_ops, ext_sync_pack, unpack_condition};

const ext_sync_kind ext_sync_condition_kind
    = {EXT_SYNC_CONDITION, &condition_spec, &condition_crossing};
