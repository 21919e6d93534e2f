/* What the files of the Queue type share: queue_part.c (the part and the
 * functions of the module), queue_type.c (the type and its operations),
 * queue_args.c, queue_item.c (what was got and cannot be rebuilt),
 * queue_async.c (event loops).  Nobody else includes it.
 *
 * Identity.  There is one Queue object per queue and interpreter: part->known
 * finds it by id, without owning it; an object leaves the table first thing
 * in its dealloc, so what is found there is alive.
 *
 * Objects keep `st` by itself: the type owns the module, and the module the
 * state, so it outlives them.  All of them are known to the garbage collector
 * for the same reason: the state may reach them (by __main__'s namespace, for
 * one), which makes a cycle through their type.
 */
#ifndef ATOLL_EXT_QUEUE_IMPL_H
#define ATOLL_EXT_QUEUE_IMPL_H

#include "attach.h"
#include "errors.h"
#include "run.h"
#include "transfer.h"
#include "../core/async.h"

typedef struct queue_object {
    PyObject_HEAD
    atoll_queue *queue; /* owns a handle */
    ext_state *st;
    /* Owned: at the interpreter's end the type may lose its module before the
     * last object goes, and st is the module's. */
    PyObject *module;
    PyObject *weakrefs;
    struct queue_object *chain; /* same bucket of part->known */
} queue_object;

/* Loaded from the Python beside at first use. */
typedef enum queue_python {
    QUEUE_PY_UNBOUND,        /* _queues.UNBOUND */
    QUEUE_PY_UNBOUND_ERROR,  /* _queues.UNBOUND_ERROR */
    QUEUE_PY_UNBOUND_REMOVE, /* _queues.UNBOUND_REMOVE */
    QUEUE_PY_ITEM_ERROR,     /* _queues.QueueItemError */
    QUEUE_PY_AGET,           /* _queues_aio.aget */
    QUEUE_PY_APUT,           /* _queues_aio.aput */
    QUEUE_PY_AITER,          /* _queues_aio.AsyncIterator */
    QUEUE_PY_COUNT,
} queue_python;

typedef struct queue_part {
    PyTypeObject *queue_type;
    PyTypeObject *iterator_type;
    PyTypeObject *item_type;
    PyTypeObject *loop_type;
    PyTypeObject *pending_type;
    PyObject *python[QUEUE_PY_COUNT];
    queue_object **known; /* buckets, by id; NULL: none yet */
    size_t nbuckets;      /* a power of two */
    size_t nknown;
} queue_part;

static inline queue_part *
queue_part_of(ext_state *st)
{
    return st->parts[EXT_PART_QUEUE];
}

/* Borrowed.  NULL with an exception. */
PyObject *
queue_load(ext_state *st, queue_python which);

/* tp_traverse of a type whose objects hold nothing that is not a leaf. */
int
queue_traverse_type(PyObject *op, visitproc visit, void *arg);

/* A new object, or NULL with an exception (out of memory; NULL type: the
 * module was cleared). */
PyObject *
queue_alloc(PyTypeObject *type);

/* The one object of that queue.  New reference; *queue is borrowed, and
 * acquired if an object is made. */
PyObject *
queue_object_of(ext_state *st, atoll_queue *queue);

/* First thing in its dealloc. */
void
queue_object_forget(queue_object *self);

/* `obj` as a Queue, or NULL with TypeError; `what` begins the message. */
queue_object *
queue_check(ext_state *st, PyObject *obj, const char *what);

/* --- Arguments --- */

#define QUEUE_MAX_ARGS 4
typedef struct queue_signature {
    const char *function; /* for messages */
    int required;         /* so many must be given */
    int positional;       /* so many may be given by position */
    const char *names[QUEUE_MAX_ARGS + 1]; /* ends with NULL */
} queue_signature;

/* Fills values (borrowed; NULL: not given).  Fails: -1 with TypeError. */
int
queue_parse(const queue_signature *signature, PyObject *const *args,
            Py_ssize_t nargs, PyObject *kwnames, PyObject **values);

/* When a wait ends: 0: do not wait at all.  block and timeout may be NULL.
 * Fails: -1 with TypeError or ValueError. */
int
queue_deadline(PyObject *block, PyObject *timeout, int64_t *out_deadline);

/* The policy that `value` names; NULL or None: `other`.
 * Fails: -1 with NotImplementedError, as the standard module. */
int
queue_policy(ext_state *st, PyObject *value, atoll_unbound other,
             atoll_unbound *out_policy);

/* --- Items --- */

/* A frame with obj in it.  NULL with an exception. */
atoll_frame *
queue_frame_of(ext_state *st, PyObject *obj, const char *root,
               atoll_unbound policy);

/* What was got, as an object.  Owns: takes over the frame.  NULL with an
 * exception: ItemInterpreterDestroyed; QueueItemError, which keeps the frame;
 * or what is no Exception (Ctrl-C): the frame is in the queue again. */
PyObject *
queue_item_open(queue_object *self, atoll_frame *frame);

/* A list of so many.  The first ones that can be opened; if it is the very
 * first that cannot, as queue_item_open.  All others are in the queue
 * again.  Owns: takes over the frames. */
PyObject *
queue_items_open(queue_object *self, atoll_frame *frames, size_t count);

/* Sets the exception for what a core function of queues returned.
 * ATOLL_E_INTERRUPTED: one is set already.  Returns NULL. */
PyObject *
queue_fail(ext_state *st, atoll_queue *queue, atoll_status status);

/* Puts, waiting as needed.  Owns: takes over the frame, on success only.
 * Attached: to st's interpreter; detached while it waits. */
atoll_status
queue_put_frame(ext_state *st, atoll_queue *queue, atoll_frame *frame,
                int64_t deadline);

/* The types of the other files. */
int
queue_type_exec(PyObject *module, queue_part *part);
int
queue_item_exec(PyObject *module, queue_part *part);
int
queue_async_exec(PyObject *module, queue_part *part);

#endif
