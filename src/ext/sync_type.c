/* atoll.sync: what its types have in common.
 *
 * A handle that has crossed stands in a table of its interpreter, by the
 * address of its core object, so that what comes back is the same Python
 * object.  The table owns nothing: a handle takes itself out at its end.  An
 * address cannot be reused while it stands there, for the handle owns a
 * reference to it.
 *
 * The GIL of their interpreter guards handles and table.  An operation tries
 * without waiting first, GIL and all; only who must wait lets it go.
 */
#include "sync_type.h"

#include "module.h"
#include "run.h"
#include "sync_impl.h"

#include <math.h>
#include <stddef.h>

#define FIRST_BUCKETS 64u
/* threading.TIMEOUT_MAX, in seconds: what fits into 64 bits of nanoseconds. */
#define TIMEOUT_MAX 9223372036.0

typedef struct sync_part {
    PyTypeObject *types[EXT_SYNC_COUNT];
    SyncObject **buckets;
    size_t n_buckets; /* a power of two, or 0 */
    size_t n_listed;
} sync_part;

static const ext_sync_kind *const kinds[EXT_SYNC_COUNT] = {
    [EXT_SYNC_LOCK] = &ext_sync_lock_kind,
    [EXT_SYNC_RLOCK] = &ext_sync_rlock_kind,
    [EXT_SYNC_CONDITION] = &ext_sync_condition_kind,
    [EXT_SYNC_SEMAPHORE] = &ext_sync_semaphore_kind,
    [EXT_SYNC_BOUNDED_SEMAPHORE] = &ext_sync_bounded_kind,
    [EXT_SYNC_EVENT] = &ext_sync_event_kind,
    [EXT_SYNC_BARRIER] = &ext_sync_barrier_kind,
    [EXT_SYNC_ATOMIC] = &ext_sync_atomic_kind,
};

static sync_part *
get_part(ext_state *st)
{
    return st->parts[EXT_PART_SYNC];
}

PyTypeObject *
ext_sync_type(ext_state *st, ext_sync_id id)
{
    return get_part(st)->types[id];
}

void
ext_sync_interpreter_ended(int64_t id)
{
    atoll_sync_owner_died(id);
}

/* --- the table of those that have crossed ---------------------------------- */

static SyncObject **
find_bucket(sync_part *part, const void *core)
{
    size_t hash = ((size_t)(uintptr_t)core >> 4) * 0x9E3779B97F4A7C15u;
    return &part->buckets[(hash >> 20) & (part->n_buckets - 1)];
}

static int
grow_table(sync_part *part)
{
    size_t n_old = part->n_buckets;
    SyncObject **old = part->buckets;
    size_t n_buckets = n_old ? 2 * n_old : FIRST_BUCKETS;
    SyncObject **buckets = PyMem_Calloc(n_buckets, sizeof(*buckets));
    if (buckets == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    part->buckets = buckets;
    part->n_buckets = n_buckets;
    for (size_t i = 0; i < n_old; i++) {
        for (SyncObject *at = old[i]; at != NULL;) {
            SyncObject *next = at->next;
            SyncObject **bucket = find_bucket(part, at->core);
            at->next = *bucket;
            *bucket = at;
            at = next;
        }
    }
    PyMem_Free(old);
    return 0;
}

/* Fails: -1 with MemoryError. */
static int
list_handle(ext_state *st, SyncObject *self)
{
    sync_part *part = get_part(st);
    if (self->listed) {
        return 0;
    }
    if (part->n_listed >= part->n_buckets && grow_table(part) < 0) {
        return -1;
    }
    SyncObject **bucket = find_bucket(part, self->core);
    self->next = *bucket;
    *bucket = self;
    self->listed = true;
    part->n_listed++;
    return 0;
}

static void
unlist_handle(sync_part *part, SyncObject *self)
{
    SyncObject **place = find_bucket(part, self->core);
    while (*place != self) {
        place = &(*place)->next;
    }
    *place = self->next;
    self->listed = false;
    part->n_listed--;
}

/* --- life ------------------------------------------------------------------ */

PyObject *
ext_sync_wrap(ext_state *st, PyTypeObject *type, const atoll_ref_ops *ops,
              void *core)
{
    SyncObject *self = (SyncObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        ops->release(core);
        return NULL;
    }
    self->core = core;
    self->ops = ops;
    self->interp = st->self->id;
    return (PyObject *)self;
}

PyObject *
ext_sync_made(PyTypeObject *type, atoll_status status,
              const atoll_ref_ops *ops, void *core)
{
    ext_state *st = ext_state_of_class(type);
    if (status != ATOLL_OK) {
        return ext_error_from_status(st, status, type->tp_name);
    }
    return ext_sync_wrap(st, type, ops, core);
}

void
ext_sync_fini(PyObject *op)
{
    SyncObject *self = (SyncObject *)op;
    if (self->listed) {
        /* First of all: from here on nobody finds it. */
        PyObject *error = PyErr_GetRaisedException();
        ext_state *st = ext_sync_state(op);
        if (st != NULL) {
            unlist_handle(get_part(st), self);
        }
        PyErr_SetRaisedException(error);
    }
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    if (self->core != NULL) {
        self->ops->release(self->core);
    }
}

int
ext_sync_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    return 0;
}

void
ext_sync_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    ext_sync_fini(op);
    type->tp_free(op);
    Py_DECREF(type);
}

/* --- crossing -------------------------------------------------------------- */

int
ext_sync_pack(ext_state *st, PyObject *op, void **out_ptr)
{
    SyncObject *self = (SyncObject *)op;
    if (list_handle(st, self) < 0) {
        return -1;
    }
    self->ops->acquire(self->core);
    *out_ptr = self->core;
    return 0;
}

PyObject *
ext_sync_unpack(ext_state *st, ext_sync_id id, const atoll_ref_ops *ops,
                void *core)
{
    sync_part *part = get_part(st);
    if (part->n_buckets > 0) {
        SyncObject *at = *find_bucket(part, core);
        while (at != NULL && at->core != core) {
            at = at->next;
        }
        if (at != NULL) {
            return Py_NewRef(at);
        }
    }
    ops->acquire(core);
    PyObject *op = ext_sync_wrap(st, part->types[id], ops, core);
    if (op != NULL && list_handle(st, (SyncObject *)op) < 0) {
        Py_CLEAR(op);
    }
    return op;
}

PyObject *
ext_sync_reduce(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    PyErr_Format(PyExc_TypeError,
                 "cannot pickle '%s' object: it lives in this process only; "
                 "send it to an interpreter as it is, in a call or through a "
                 "queue",
                 Py_TYPE(op)->tp_name);
    return NULL;
}

/* --- arguments ------------------------------------------------------------- */

int
ext_sync_no_args(const char *name, PyObject *args, PyObject *kwargs)
{
    if (PyTuple_GET_SIZE(args) > 0
        || (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0)) {
        PyErr_Format(PyExc_TypeError, "%s() takes no arguments", name);
        return -1;
    }
    return 0;
}

/* Fails: -1.0 with an exception; so ask PyErr_Occurred. */
static double
get_seconds(PyObject *value)
{
    double seconds = PyFloat_AsDouble(value);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return -1.0;
    }
    if (isnan(seconds)) {
        PyErr_SetString(PyExc_ValueError, "timeout must not be NaN");
        return -1.0;
    }
    if (seconds > TIMEOUT_MAX) {
        PyErr_SetString(PyExc_OverflowError, "timeout value is too large");
        return -1.0;
    }
    return seconds;
}

int
ext_sync_parse_timeout(PyObject *value, int64_t *out_deadline)
{
    if (value == Py_None) {
        *out_deadline = ATOLL_FOREVER;
        return 0;
    }
    double seconds = get_seconds(value);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    *out_deadline = seconds > 0 ? atoll_deadline_after(seconds) : 0;
    return 0;
}

/* A lock's: negative only as -1, and only when it may wait. */
static int
parse_lock_timeout(PyObject *value, bool blocking, int64_t *out_deadline)
{
    double seconds = get_seconds(value);
    if (seconds == -1.0) {
        *out_deadline = blocking ? ATOLL_FOREVER : 0;
        return PyErr_Occurred() ? -1 : 0;
    }
    if (!blocking) {
        PyErr_SetString(PyExc_ValueError,
                        "can't specify a timeout for a non-blocking call");
        return -1;
    }
    if (seconds < 0) {
        PyErr_SetString(PyExc_ValueError,
                        "timeout value must be a non-negative number");
        return -1;
    }
    *out_deadline = seconds > 0 ? atoll_deadline_after(seconds) : 0;
    return 0;
}

/* Sorts args into slots by name.  Fails: -1 with TypeError. */
static int
sort_args(const char *function, const char *const *names, Py_ssize_t count,
          PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
          PyObject **out_values)
{
    if (nargs > count) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %zd %s (%zd given)",
                     function, count, count == 1 ? "argument" : "arguments",
                     nargs);
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        out_values[i] = i < nargs ? args[i] : NULL;
    }
    Py_ssize_t nkw = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t k = 0; k < nkw; k++) {
        PyObject *key = PyTuple_GET_ITEM(kwnames, k);
        Py_ssize_t i = 0;
        while (i < count
               && PyUnicode_CompareWithASCIIString(key, names[i]) != 0) {
            i++;
        }
        if (i == count) {
            PyErr_Format(PyExc_TypeError,
                         "%s() got an unexpected keyword argument '%U'",
                         function, key);
            return -1;
        }
        if (out_values[i] != NULL) {
            PyErr_Format(PyExc_TypeError,
                         "%s() got multiple values for argument '%s'",
                         function, names[i]);
            return -1;
        }
        out_values[i] = args[nargs + k];
    }
    return 0;
}

int
ext_sync_parse_one(const char *function, const char *name,
                   PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                   PyObject **out_value)
{
    const char *const names[] = {name};
    return sort_args(function, names, 1, args, nargs, kwnames, out_value);
}

int
ext_sync_parse_acquire(PyObject *const *args, Py_ssize_t nargs,
                       PyObject *kwnames, bool lock_like,
                       int64_t *out_deadline)
{
    static const char *const names[] = {"blocking", "timeout"};
    PyObject *values[2];
    *out_deadline = ATOLL_FOREVER;
    if (nargs == 0 && kwnames == NULL) {
        return 0;
    }
    if (sort_args("acquire", names, 2, args, nargs, kwnames, values) < 0) {
        return -1;
    }
    int blocking = values[0] == NULL ? 1 : PyObject_IsTrue(values[0]);
    if (blocking < 0) {
        return -1;
    }
    if (!blocking) {
        *out_deadline = 0;
    }
    if (values[1] == NULL) {
        return 0;
    }
    if (lock_like) {
        return parse_lock_timeout(values[1], blocking, out_deadline);
    }
    if (values[1] == Py_None) {
        return 0;
    }
    if (!blocking) {
        PyErr_SetString(PyExc_ValueError,
                        "can't specify timeout for non-blocking acquire");
        return -1;
    }
    return ext_sync_parse_timeout(values[1], out_deadline);
}

/* --- waiting --------------------------------------------------------------- */

atoll_status
ext_sync_wait(PyObject *op, ext_sync_try try_once, void *core,
              int64_t deadline)
{
    ext_state *st = ext_sync_state(op);
    if (st == NULL) {
        return ATOLL_E_INTERRUPTED;
    }
    atoll_wait wait = {ext_attach_parker(), deadline, 0};
    atoll_owner owner = ext_sync_owner(op);
    if (wait.parker == NULL) {
        return ATOLL_E_NOMEM;
    }
    ext_chores_check(st);
    for (;;) {
        atoll_status status;
        Py_BEGIN_ALLOW_THREADS
        status = try_once(core, owner, &wait);
        Py_END_ALLOW_THREADS
        if (status != ATOLL_E_INTERRUPTED) {
            ext_chores_check(st);
            return status;
        }
        if (ext_run_check(st) < 0) {
            return ATOLL_E_INTERRUPTED;
        }
    }
}

static PyObject *
raise_owner_died(PyObject *op)
{
    ext_state *st = ext_sync_state(op);
    return st == NULL
               ? NULL
               : ext_error_format(st, EXT_ERR_OWNER_DIED,
                                  "the interpreter that held this lock was "
                                  "closed; call reset() when what it guards "
                                  "is in order");
}

PyObject *
ext_sync_failed(PyObject *op, atoll_status status, const char *what)
{
    if (status == ATOLL_E_INTERRUPTED) {
        return NULL;
    }
    if (status == ATOLL_E_OWNER_DIED) {
        return raise_owner_died(op);
    }
    ext_state *st = ext_sync_state(op);
    return st == NULL ? NULL : ext_error_from_status(st, status, what);
}

PyObject *
ext_sync_acquired(PyObject *op, atoll_status status)
{
    switch (status) {
    case ATOLL_OK:
        Py_RETURN_TRUE;
    case ATOLL_E_BUSY:
    case ATOLL_E_TIMEOUT:
        Py_RETURN_FALSE;
    default:
        return ext_sync_failed(op, status, "acquire");
    }
}

/* --- the part -------------------------------------------------------------- */

PyMemberDef ext_sync_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(SyncObject, weakrefs),
     Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyObject *
core_sync_alive(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromUnsignedLongLong(atoll_sync_live());
}

static PyMethodDef functions[] = {
    {"_sync_alive", core_sync_alive, METH_NOARGS,
     PyDoc_STR("How many objects of atoll.sync the process has, for tests.")},
    {NULL, NULL, 0, NULL},
};

static int
sync_exec(PyObject *module, ext_state *st)
{
    sync_part *part = PyMem_Calloc(1, sizeof(*part));
    if (part == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    st->parts[EXT_PART_SYNC] = part;
    for (int i = 0; i < EXT_SYNC_COUNT; i++) {
        PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(
            module, kinds[i]->spec, NULL);
        part->types[i] = type;
        if (type == NULL || PyModule_AddType(module, type) < 0
            || ext_transfer_register(st, type, kinds[i]->crossing) < 0) {
            return -1;
        }
    }
    return PyModule_AddFunctions(module, functions);
}

static int
sync_traverse(ext_state *st, visitproc visit, void *arg)
{
    sync_part *part = get_part(st);
    for (int i = 0; part != NULL && i < EXT_SYNC_COUNT; i++) {
        Py_VISIT(part->types[i]);
    }
    return 0;
}

static void
sync_clear(ext_state *st)
{
    sync_part *part = get_part(st);
    for (int i = 0; part != NULL && i < EXT_SYNC_COUNT; i++) {
        ext_transfer_unregister(st, kinds[i]->crossing);
        Py_CLEAR(part->types[i]);
    }
}

static void
sync_free(ext_state *st)
{
    sync_part *part = get_part(st);
    if (part != NULL) {
        PyMem_Free(part->buckets);
        PyMem_Free(part);
        st->parts[EXT_PART_SYNC] = NULL;
    }
}

const ext_part ext_sync_part = {
    .id = EXT_PART_SYNC,
    .exec = sync_exec,
    .traverse = sync_traverse,
    .clear = sync_clear,
    .free = sync_free,
};
