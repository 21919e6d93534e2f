/* What the files of atoll.sync share: sync_type.c, sync_lock.c,
 * sync_condition.c, sync_signal.c, sync_barrier.c, sync_atomic.c.  Nobody
 * else includes it.
 *
 * Each Python object is a handle to an object of the core, one per core
 * object and interpreter once it has crossed: what comes back is the same
 * object.  The address that its repr shows is the core object's: the same in
 * all interpreters.
 */
#ifndef ATOLL_EXT_SYNC_IMPL_H
#define ATOLL_EXT_SYNC_IMPL_H

#include "attach.h"
#include "chores.h"
#include "errors.h"
#include "transfer.h"

#include "../core/sync.h"

typedef enum ext_sync_id {
    EXT_SYNC_LOCK,
    EXT_SYNC_RLOCK,
    EXT_SYNC_CONDITION,
    EXT_SYNC_SEMAPHORE,
    EXT_SYNC_BOUNDED_SEMAPHORE,
    EXT_SYNC_EVENT,
    EXT_SYNC_BARRIER,
    EXT_SYNC_ATOMIC,
    EXT_SYNC_COUNT,
} ext_sync_id;

/* The head of every handle. */
typedef struct SyncObject {
    PyObject_HEAD
    void *core; /* owns a reference, counted by the kind's ops */
    const atoll_ref_ops *ops;
    int64_t interp;          /* of the interpreter that it belongs to */
    struct SyncObject *next; /* in the table of those that have crossed */
    PyObject *weakrefs;
    bool listed;
} SyncObject;

/* A kind: how its type is made and how it crosses. */
typedef struct ext_sync_kind {
    ext_sync_id id;
    PyType_Spec *spec;
    const ext_crossing *crossing;
} ext_sync_kind;

extern const ext_sync_kind ext_sync_lock_kind;
extern const ext_sync_kind ext_sync_rlock_kind;
extern const ext_sync_kind ext_sync_condition_kind;
extern const ext_sync_kind ext_sync_semaphore_kind;
extern const ext_sync_kind ext_sync_bounded_kind;
extern const ext_sync_kind ext_sync_event_kind;
extern const ext_sync_kind ext_sync_barrier_kind;
extern const ext_sync_kind ext_sync_atomic_kind;

static inline SyncObject *
ext_sync_of(PyObject *op)
{
    return (SyncObject *)op;
}

static inline atoll_owner
ext_sync_owner(PyObject *op)
{
    return (atoll_owner){ext_sync_of(op)->interp, atoll_thread_ident()};
}

/* The state of op's module.  NULL with TypeError: the interpreter is being
 * taken down, and op's type with it. */
static inline ext_state *
ext_sync_state(PyObject *op)
{
    return ext_state_of_class(Py_TYPE(op));
}

/* Borrowed. */
PyTypeObject *
ext_sync_type(ext_state *st, ext_sync_id id);

/* A new handle to core.  Owns: takes over the reference to core, on failure
 * too.  NULL with an exception. */
PyObject *
ext_sync_wrap(ext_state *st, PyTypeObject *type, const atoll_ref_ops *ops,
              void *core);

/* For tp_new: the handle to what the core's `new` has made, or its failure's
 * exception. */
PyObject *
ext_sync_made(PyTypeObject *type, atoll_status status,
              const atoll_ref_ops *ops, void *core);

/* tp_dealloc and tp_traverse of those that are no more than the head.  All
 * are known to the collector: the type that they refer to refers to the
 * module, whose caches may refer to where they are kept. */
void
ext_sync_dealloc(PyObject *op);
int
ext_sync_traverse(PyObject *op, visitproc visit, void *arg);

/* For a dealloc with more to do: all but tp_free and the type. */
void
ext_sync_fini(PyObject *op);

/* The crossing's pack of all kinds, and the body of each one's unpack. */
int
ext_sync_pack(ext_state *st, PyObject *op, void **out_ptr);
PyObject *
ext_sync_unpack(ext_state *st, ext_sync_id id, const atoll_ref_ops *ops,
                void *core);

/* __reduce__ of all: TypeError. */
PyObject *
ext_sync_reduce(PyObject *op, PyObject *ignored);

/* No arguments but those of self.  Fails: -1 with TypeError. */
int
ext_sync_no_args(const char *name, PyObject *args, PyObject *kwargs);

/* A timeout in seconds, or None for ever, as a deadline; what is negative has
 * passed.  Fails: -1 with TypeError, ValueError (NaN) or OverflowError. */
int
ext_sync_parse_timeout(PyObject *value, int64_t *out_deadline);

/* The arguments of an acquire(blocking, timeout): deadline 0 does not wait.
 * lock_like: the timeout is a number and -1 waits for ever, as a lock's; else
 * None does.  Fails: -1 with an exception. */
int
ext_sync_parse_acquire(PyObject *const *args, Py_ssize_t nargs,
                       PyObject *kwnames, bool lock_like,
                       int64_t *out_deadline);

/* One or no argument `name`, by position or by name; borrowed, NULL if it is
 * not there.  Fails: -1 with TypeError. */
int
ext_sync_parse_one(const char *function, const char *name,
                   PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                   PyObject **out_value);

/* Waits without the GIL, until try_once (which gets `core` and an atoll_wait)
 * returns something else than ATOLL_E_INTERRUPTED, or an interruption raises:
 * then ATOLL_E_INTERRUPTED, with the exception. */
typedef atoll_status (*ext_sync_try)(void *core, atoll_owner owner,
                                     atoll_wait *wait);
atoll_status
ext_sync_wait(PyObject *op, ext_sync_try try_once, void *core,
              int64_t deadline);

/* What a status of acquiring means: True, False (busy, late), or NULL with
 * an exception. */
PyObject *
ext_sync_acquired(PyObject *op, atoll_status status);

/* Sets the exception of any other status (none for ATOLL_E_INTERRUPTED, which
 * has one already); NULL. */
PyObject *
ext_sync_failed(PyObject *op, atoll_status status, const char *what);

/* What acquire(), release() and the with statement of a lock do, for a handle
 * of another kind that has a lock: a condition. */
PyObject *
ext_sync_lock_acquire(PyObject *op, atoll_lock *lock, int64_t deadline);
PyObject *
ext_sync_lock_release(PyObject *op, atoll_lock *lock);
PyObject *
ext_sync_lock_repr(atoll_lock *lock);
/* What threading.Condition asks of the RLock that it is given. */
PyObject *
ext_sync_lock_is_owned(PyObject *op, atoll_lock *lock);
PyObject *
ext_sync_lock_count(PyObject *op, atoll_lock *lock);
PyObject *
ext_sync_lock_save(PyObject *op, atoll_lock *lock);
PyObject *
ext_sync_lock_restore(PyObject *op, atoll_lock *lock, PyObject *depth);
/* The handle to a Lock or an RLock as the core's; borrowed, NULL: it is
 * neither (no exception is set). */
atoll_lock *
ext_sync_lock_of(ext_state *st, PyObject *obj);

#define EXT_SYNC_METHOD(func) ((PyCFunction)(void (*)(void))(func))
extern PyMemberDef ext_sync_members[];
#define EXT_SYNC_FLAGS \
    (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE)
#define EXT_SYNC_REDUCE                                  \
    {                                                    \
        "__reduce__", ext_sync_reduce, METH_NOARGS, NULL \
    }

#endif
