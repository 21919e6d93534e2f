/* The type Queue: objects go in at one interpreter and come out at another.
 *
 * put encodes the object into a frame, the core's queue keeps and hands out
 * frames, get decodes.  The first try is made with the GIL held, for it takes
 * less than giving it up would; only who has to wait detaches.
 *
 * Waits follow the house's convention: a wait that was interrupted lets
 * signals and interrupt() act, and goes on in its old place in line.
 *
 * Attached: everything, to the module's interpreter.
 */
#include "queue_doc.h"
#include "queue_impl.h"

#include <stddef.h>
#include <string.h>

typedef struct queue_iterator {
    PyObject_HEAD
    queue_object *queue; /* owned */
} queue_iterator;

static int
Queue_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((queue_object *)op)->module);
    return 0;
}

static void
Queue_dealloc(PyObject *op)
{
    queue_object *self = (queue_object *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    queue_object_forget(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    atoll_queue_release(self->queue);
    Py_DECREF(self->module);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyObject *
Queue_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *number;
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0) {
        PyErr_SetString(PyExc_TypeError, "Queue() takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O:Queue", &number)) {
        return NULL;
    }
    if (!PyLong_Check(number)) {
        PyErr_Format(PyExc_TypeError, "id must be an int, got %R", number);
        return NULL;
    }
    ext_state *st = ext_state_of_class(type);
    long long id = PyLong_AsLongLong(number);
    if (id == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (id < 0) {
        PyErr_Format(PyExc_ValueError, "id must not be negative, got %R",
                     number);
        return NULL;
    }
    atoll_queue *queue;
    if (id == 0 || atoll_queue_find((uint64_t)id, &queue) != ATOLL_OK) {
        PyErr_Format(ext_error_type(st, EXT_ERR_QUEUE_NOT_FOUND),
                     "queue %S not found", number);
        return NULL;
    }
    PyObject *self = queue_object_of(st, queue);
    atoll_queue_release(queue);
    return self;
}

/* --- Waiting --- */

atoll_status
queue_put_frame(ext_state *st, atoll_queue *queue, atoll_frame *frame,
                int64_t deadline)
{
    atoll_status status = atoll_queue_put(queue, frame, NULL);
    if (ATOLL_LIKELY(status != ATOLL_E_FULL) || deadline == 0) {
        return status;
    }
    atoll_wait wait = {ext_attach_parker(), deadline, 0};
    if (wait.parker == NULL) {
        return ATOLL_E_NOMEM;
    }
    do {
        Py_BEGIN_ALLOW_THREADS
        status = atoll_queue_put(queue, frame, &wait);
        Py_END_ALLOW_THREADS
    } while (status == ATOLL_E_INTERRUPTED && ext_run_check(st) == 0);
    return status == ATOLL_E_TIMEOUT ? ATOLL_E_FULL : status;
}

static atoll_status
get_frame(queue_object *self, int64_t deadline, atoll_frame **out_frame)
{
    atoll_status status = atoll_queue_get(self->queue, NULL, out_frame);
    if (ATOLL_LIKELY(status != ATOLL_E_EMPTY) || deadline == 0) {
        return status;
    }
    atoll_wait wait = {ext_attach_parker(), deadline, 0};
    if (wait.parker == NULL) {
        return ATOLL_E_NOMEM;
    }
    do {
        Py_BEGIN_ALLOW_THREADS
        status = atoll_queue_get(self->queue, &wait, out_frame);
        Py_END_ALLOW_THREADS
    } while (status == ATOLL_E_INTERRUPTED && ext_run_check(self->st) == 0);
    return status == ATOLL_E_TIMEOUT ? ATOLL_E_EMPTY : status;
}

/* *frames becomes what was not put. */
static atoll_status
put_frames(queue_object *self, atoll_frame **frames, int64_t deadline,
           size_t *out_put)
{
    atoll_wait wait = {NULL, deadline, 0};
    *out_put = 0;
    if (deadline != 0) {
        wait.parker = ext_attach_parker();
        if (wait.parker == NULL) {
            return ATOLL_E_NOMEM;
        }
    }
    atoll_status status;
    do {
        size_t put = 0;
        /* A long list takes its time, even where there is room. */
        Py_BEGIN_ALLOW_THREADS
        status = atoll_queue_put_many(self->queue, frames,
                                      deadline == 0 ? NULL : &wait, &put);
        Py_END_ALLOW_THREADS
        *out_put += put;
    } while (status == ATOLL_E_INTERRUPTED && ext_run_check(self->st) == 0);
    return status == ATOLL_E_TIMEOUT ? ATOLL_E_FULL : status;
}

static atoll_status
get_frames(queue_object *self, size_t max, int64_t deadline,
           atoll_frame **out_frames, size_t *out_count)
{
    atoll_status status
        = atoll_queue_get_many(self->queue, max, NULL, out_frames, out_count);
    if (status != ATOLL_E_EMPTY || deadline == 0) {
        return status;
    }
    atoll_wait wait = {ext_attach_parker(), deadline, 0};
    if (wait.parker == NULL) {
        return ATOLL_E_NOMEM;
    }
    do {
        Py_BEGIN_ALLOW_THREADS
        status = atoll_queue_get_many(self->queue, max, &wait, out_frames,
                                      out_count);
        Py_END_ALLOW_THREADS
    } while (status == ATOLL_E_INTERRUPTED && ext_run_check(self->st) == 0);
    return status == ATOLL_E_TIMEOUT ? ATOLL_E_EMPTY : status;
}

/* --- put --- */

atoll_frame *
queue_frame_of(ext_state *st, PyObject *obj, const char *root,
               atoll_unbound policy)
{
    atoll_frame *frame = atoll_frame_new();
    if (frame == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    if (ext_encode(st, obj, root, 0, NULL, frame) < 0) {
        atoll_frame_release(frame);
        return NULL;
    }
    frame->sender = st->self->id;
    frame->tag = policy;
    return frame;
}

static PyObject *
put_object(queue_object *self, PyObject *obj, atoll_unbound policy,
           int64_t deadline)
{
    atoll_frame *frame = queue_frame_of(self->st, obj, "obj", policy);
    if (frame == NULL) {
        return NULL;
    }
    atoll_status status
        = queue_put_frame(self->st, self->queue, frame, deadline);
    if (ATOLL_UNLIKELY(status != ATOLL_OK)) {
        atoll_frame_release(frame);
        return queue_fail(self->st, self->queue, status);
    }
    Py_RETURN_NONE;
}

static PyObject *
Queue_put(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
          PyObject *kwnames)
{
    static const queue_signature signature
        = {"put", 1, 3, {"obj", "block", "timeout", "unbounditems", NULL}};
    queue_object *self = (queue_object *)op;
    atoll_unbound policy = atoll_queue_policy(self->queue);
    if (nargs == 1 && kwnames == NULL) {
        return put_object(self, args[0], policy, ATOLL_FOREVER);
    }
    PyObject *values[QUEUE_MAX_ARGS];
    int64_t deadline;
    if (queue_parse(&signature, args, nargs, kwnames, values) < 0
        || queue_policy(self->st, values[3], policy, &policy) < 0
        || queue_deadline(values[1], values[2], &deadline) < 0) {
        return NULL;
    }
    return put_object(self, values[0], policy, deadline);
}

static PyObject *
Queue_put_nowait(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    static const queue_signature signature
        = {"put_nowait", 1, 1, {"obj", "unbounditems", NULL}};
    queue_object *self = (queue_object *)op;
    atoll_unbound policy = atoll_queue_policy(self->queue);
    if (nargs == 1 && kwnames == NULL) {
        return put_object(self, args[0], policy, 0);
    }
    PyObject *values[QUEUE_MAX_ARGS];
    if (queue_parse(&signature, args, nargs, kwnames, values) < 0
        || queue_policy(self->st, values[1], policy, &policy) < 0) {
        return NULL;
    }
    return put_object(self, values[0], policy, 0);
}

/* "items[0]", "items[1]", ...: counts in place, for a message that is hardly
 * ever needed. */
typedef struct item_name {
    char text[sizeof("items[18446744073709551615]")];
    size_t last; /* index of the last digit */
} item_name;

static void
next_name(item_name *name)
{
    const size_t first = strlen("items[");
    size_t at = name->last;
    while (name->text[at] == '9') {
        name->text[at] = '0';
        if (at == first) {
            memmove(name->text + first + 1, name->text + first,
                    strlen(name->text + first) + 1);
            name->text[first] = '1';
            name->last++;
            return;
        }
        at--;
    }
    name->text[at]++;
}

static void
release_list(atoll_frame *frames)
{
    while (frames != NULL) {
        atoll_frame *next = frames->next;
        frames->next = NULL;
        atoll_frame_release(frames);
        frames = next;
    }
}

/* All of an iterable as a list of frames.  -1 with an exception. */
static int
encode_all(queue_object *self, PyObject *iterable, atoll_frame **out_frames)
{
    atoll_unbound policy = atoll_queue_policy(self->queue);
    item_name name = {"items[0]", strlen("items[")};
    atoll_frame *first = NULL;
    atoll_frame **tail = &first;
    PyObject *obj;
    PyObject *iterator = PyObject_GetIter(iterable);
    if (iterator == NULL) {
        return -1;
    }
    while ((obj = PyIter_Next(iterator)) != NULL) {
        atoll_frame *frame = queue_frame_of(self->st, obj, name.text, policy);
        Py_DECREF(obj);
        if (frame == NULL) {
            break;
        }
        *tail = frame;
        tail = &frame->next;
        next_name(&name);
    }
    Py_DECREF(iterator);
    if (PyErr_Occurred()) {
        release_list(first);
        return -1;
    }
    *out_frames = first;
    return 0;
}

/* Leaves the count with the exception that is set. */
static void
tell_items_put(size_t count)
{
    PyObject *error = PyErr_GetRaisedException();
    PyObject *number = PyLong_FromSize_t(count);
    if (number == NULL
        || PyObject_SetAttrString(error, "items_put", number) < 0) {
        PyErr_Clear();
    }
    Py_XDECREF(number);
    PyErr_SetRaisedException(error);
}

static PyObject *
Queue_put_many(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    static const queue_signature signature
        = {"put_many", 1, 2, {"iterable", "timeout", NULL}};
    queue_object *self = (queue_object *)op;
    PyObject *values[QUEUE_MAX_ARGS];
    int64_t deadline;
    atoll_frame *frames;
    if (queue_parse(&signature, args, nargs, kwnames, values) < 0
        || queue_deadline(NULL, values[1], &deadline) < 0
        || encode_all(self, values[0], &frames) < 0) {
        return NULL;
    }
    size_t put = 0;
    atoll_status status = ATOLL_OK;
    if (frames != NULL) {
        status = put_frames(self, &frames, deadline, &put);
    }
    if (status != ATOLL_OK) {
        release_list(frames);
        (void)queue_fail(self->st, self->queue, status);
        tell_items_put(put);
        return NULL;
    }
    return PyLong_FromSize_t(put);
}

/* --- get --- */

static PyObject *
get_object(queue_object *self, int64_t deadline)
{
    atoll_frame *frame;
    atoll_status status = get_frame(self, deadline, &frame);
    if (ATOLL_UNLIKELY(status != ATOLL_OK)) {
        return queue_fail(self->st, self->queue, status);
    }
    return queue_item_open(self, frame);
}

static PyObject *
Queue_get(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
          PyObject *kwnames)
{
    static const queue_signature signature
        = {"get", 0, 2, {"block", "timeout", NULL}};
    queue_object *self = (queue_object *)op;
    if (nargs == 0 && kwnames == NULL) {
        return get_object(self, ATOLL_FOREVER);
    }
    PyObject *values[QUEUE_MAX_ARGS];
    int64_t deadline;
    if (queue_parse(&signature, args, nargs, kwnames, values) < 0
        || queue_deadline(values[0], values[1], &deadline) < 0) {
        return NULL;
    }
    return get_object(self, deadline);
}

static PyObject *
Queue_get_nowait(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return get_object((queue_object *)op, 0);
}

static PyObject *
Queue_get_many(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    static const queue_signature signature
        = {"get_many", 1, 2, {"n", "timeout", NULL}};
    queue_object *self = (queue_object *)op;
    PyObject *values[QUEUE_MAX_ARGS];
    int64_t deadline;
    if (queue_parse(&signature, args, nargs, kwnames, values) < 0
        || queue_deadline(NULL, values[1], &deadline) < 0) {
        return NULL;
    }
    /* More than there can be is as many as there are. */
    Py_ssize_t n = PyNumber_AsSsize_t(values[0], NULL);
    if (n == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (n < 1) {
        PyErr_SetString(PyExc_ValueError, "n must be at least 1");
        return NULL;
    }
    atoll_frame *frames;
    size_t count;
    atoll_status status
        = get_frames(self, (size_t)n, deadline, &frames, &count);
    if (status != ATOLL_OK) {
        return queue_fail(self->st, self->queue, status);
    }
    return queue_items_open(self, frames, count);
}

/* --- What else a queue can do --- */

static PyObject *
Queue_qsize(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromSize_t(atoll_queue_size(((queue_object *)op)->queue));
}

static PyObject *
Queue_empty(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(atoll_queue_size(((queue_object *)op)->queue) == 0);
}

static PyObject *
Queue_full(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(atoll_queue_full(((queue_object *)op)->queue));
}

static PyObject *
Queue_shutdown(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    static const queue_signature signature
        = {"shutdown", 0, 1, {"immediate", NULL}};
    queue_object *self = (queue_object *)op;
    PyObject *values[QUEUE_MAX_ARGS];
    if (queue_parse(&signature, args, nargs, kwnames, values) < 0) {
        return NULL;
    }
    int immediate = values[0] == NULL ? 0 : PyObject_IsTrue(values[0]);
    if (immediate < 0) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS /* it may drop very many items */
    atoll_queue_shutdown(self->queue, immediate != 0);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *
Queue_task_done(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    if (atoll_queue_task_done(((queue_object *)op)->queue) != ATOLL_OK) {
        PyErr_SetString(PyExc_ValueError, "task_done() called too many times");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
Queue_join(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    queue_object *self = (queue_object *)op;
    atoll_status status = atoll_queue_join(self->queue, NULL);
    if (status == ATOLL_E_BUSY) {
        atoll_wait wait = {ext_attach_parker(), ATOLL_FOREVER, 0};
        if (wait.parker == NULL) {
            return PyErr_NoMemory();
        }
        do {
            Py_BEGIN_ALLOW_THREADS
            status = atoll_queue_join(self->queue, &wait);
            Py_END_ALLOW_THREADS
        } while (status == ATOLL_E_INTERRUPTED
                 && ext_run_check(self->st) == 0);
    }
    if (status != ATOLL_OK) {
        return queue_fail(self->st, self->queue, status);
    }
    Py_RETURN_NONE;
}

static PyObject *
Queue_aget(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    PyObject *aget = queue_load(((queue_object *)op)->st, QUEUE_PY_AGET);
    return aget == NULL ? NULL : PyObject_CallOneArg(aget, op);
}

static PyObject *
Queue_aput(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
           PyObject *kwnames)
{
    static const queue_signature signature = {"aput", 1, 1, {"obj", NULL}};
    PyObject *values[QUEUE_MAX_ARGS];
    if (queue_parse(&signature, args, nargs, kwnames, values) < 0) {
        return NULL;
    }
    PyObject *aput = queue_load(((queue_object *)op)->st, QUEUE_PY_APUT);
    return aput == NULL
               ? NULL
               : PyObject_CallFunctionObjArgs(aput, op, values[0], NULL);
}

static PyObject *
Queue_aiter(PyObject *op)
{
    PyObject *type = queue_load(((queue_object *)op)->st, QUEUE_PY_AITER);
    return type == NULL ? NULL : PyObject_CallOneArg(type, op);
}

static PyObject *
Queue_reduce(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return Py_BuildValue(
        "O(K)", Py_TYPE(op),
        (unsigned long long)atoll_queue_id(((queue_object *)op)->queue));
}

static PyObject *
Queue_repr(PyObject *op)
{
    atoll_queue *queue = ((queue_object *)op)->queue;
    unsigned long long id = atoll_queue_id(queue);
    long long maxsize = atoll_queue_maxsize(queue);
    const char *shut = atoll_queue_is_shutdown(queue) ? ", shut down" : "";
    if (maxsize <= 0) {
        return PyUnicode_FromFormat("Queue(%llu%s)", id, shut);
    }
    return PyUnicode_FromFormat("Queue(%llu, maxsize=%lld%s)", id, maxsize,
                                shut);
}

static Py_hash_t
Queue_hash(PyObject *op)
{
    /* hash(id), as the standard module's. */
    uint64_t modulus = ((uint64_t)1 << 61) - 1;
    return (Py_hash_t)(atoll_queue_id(((queue_object *)op)->queue) % modulus);
}

static PyObject *
Queue_get_id(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(
        atoll_queue_id(((queue_object *)op)->queue));
}

static PyObject *
Queue_get_maxsize(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromLongLong(
        atoll_queue_maxsize(((queue_object *)op)->queue));
}

static PyObject *
Queue_get_is_shutdown(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(
        atoll_queue_is_shutdown(((queue_object *)op)->queue));
}

static PyObject *
Queue_get_unfinished(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(
        atoll_queue_unfinished(((queue_object *)op)->queue));
}

static PyObject *
Queue_get_unbounditems(PyObject *op, void *Py_UNUSED(closure))
{
    queue_object *self = (queue_object *)op;
    switch (atoll_queue_policy(self->queue)) {
    case ATOLL_UNBOUND_REMOVE:
        return Py_XNewRef(queue_load(self->st, QUEUE_PY_UNBOUND_REMOVE));
    case ATOLL_UNBOUND_ERROR:
        return Py_XNewRef(queue_load(self->st, QUEUE_PY_UNBOUND_ERROR));
    case ATOLL_UNBOUND_REPLACE:
        return Py_XNewRef(queue_load(self->st, QUEUE_PY_UNBOUND));
    default:
        Py_RETURN_NONE;
    }
}

/* --- Iteration --- */

static PyObject *
Queue_iter(PyObject *op)
{
    PyTypeObject *type
        = queue_part_of(((queue_object *)op)->st)->iterator_type;
    queue_iterator *self = (queue_iterator *)queue_alloc(type);
    if (self != NULL) {
        self->queue = (queue_object *)Py_NewRef(op);
    }
    return (PyObject *)self;
}

static PyObject *
iterator_next(PyObject *op)
{
    queue_object *queue = ((queue_iterator *)op)->queue;
    atoll_frame *frame;
    atoll_status status = get_frame(queue, ATOLL_FOREVER, &frame);
    if (status == ATOLL_E_SHUTDOWN) {
        return NULL;
    }
    if (status != ATOLL_OK) {
        return queue_fail(queue->st, queue->queue, status);
    }
    return queue_item_open(queue, frame);
}

static int
iterator_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((queue_iterator *)op)->queue);
    return 0;
}

static void
iterator_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    Py_XDECREF(((queue_iterator *)op)->queue);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyType_Slot iterator_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("Items until the queue is shut down.")},
    {Py_tp_dealloc, iterator_dealloc},
    {Py_tp_traverse, iterator_traverse},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, iterator_next},
    {0, NULL},
};

static PyType_Spec iterator_spec = {
    .name = "atoll._core.QueueIterator",
    .basicsize = sizeof(queue_iterator),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = iterator_slots,
};

/* --- The type --- */

static PyMethodDef Queue_methods[] = {
    {"put", (PyCFunction)(void (*)(void))Queue_put,
     METH_FASTCALL | METH_KEYWORDS, put_doc},
    {"get", (PyCFunction)(void (*)(void))Queue_get,
     METH_FASTCALL | METH_KEYWORDS, get_doc},
    {"put_nowait", (PyCFunction)(void (*)(void))Queue_put_nowait,
     METH_FASTCALL | METH_KEYWORDS, put_nowait_doc},
    {"get_nowait", Queue_get_nowait, METH_NOARGS, get_nowait_doc},
    {"put_many", (PyCFunction)(void (*)(void))Queue_put_many,
     METH_FASTCALL | METH_KEYWORDS, put_many_doc},
    {"get_many", (PyCFunction)(void (*)(void))Queue_get_many,
     METH_FASTCALL | METH_KEYWORDS, get_many_doc},
    {"qsize", Queue_qsize, METH_NOARGS, qsize_doc},
    {"empty", Queue_empty, METH_NOARGS, empty_doc},
    {"full", Queue_full, METH_NOARGS, full_doc},
    {"shutdown", (PyCFunction)(void (*)(void))Queue_shutdown,
     METH_FASTCALL | METH_KEYWORDS, shutdown_doc},
    {"task_done", Queue_task_done, METH_NOARGS, task_done_doc},
    {"join", Queue_join, METH_NOARGS, join_doc},
    {"aget", Queue_aget, METH_NOARGS, aget_doc},
    {"aput", (PyCFunction)(void (*)(void))Queue_aput,
     METH_FASTCALL | METH_KEYWORDS, aput_doc},
    {"__reduce__", Queue_reduce, METH_NOARGS, NULL},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS,
     class_getitem_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef Queue_getset[] = {
    {"id", Queue_get_id, NULL,
     PyDoc_STR("An int, never used again in the process."), NULL},
    {"maxsize", Queue_get_maxsize, NULL,
     PyDoc_STR("How many items fit in; 0 and below: any number."), NULL},
    {"unbounditems", Queue_get_unbounditems, NULL,
     PyDoc_STR("The policy that create_queue() was given, or None."), NULL},
    {"is_shutdown", Queue_get_is_shutdown, NULL,
     PyDoc_STR("Whether shutdown() was called."), NULL},
    {"unfinished_tasks", Queue_get_unfinished, NULL,
     PyDoc_STR("How many items were put and are not done: see join()."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef Queue_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(queue_object, weakrefs),
     Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot Queue_slots[] = {
    {Py_tp_doc, (void *)Queue_doc}, {Py_tp_new, Queue_new},
    {Py_tp_dealloc, Queue_dealloc}, {Py_tp_traverse, Queue_traverse},
    {Py_tp_repr, Queue_repr},       {Py_tp_hash, Queue_hash},
    {Py_tp_iter, Queue_iter},       {Py_am_aiter, Queue_aiter},
    {Py_tp_methods, Queue_methods}, {Py_tp_getset, Queue_getset},
    {Py_tp_members, Queue_members}, {0, NULL},
};

static PyType_Spec Queue_spec = {
    .name = "atoll.Queue",
    .basicsize = sizeof(queue_object),
    .flags
    = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = Queue_slots,
};

int
queue_type_exec(PyObject *module, queue_part *part)
{
    part->queue_type
        = (PyTypeObject *)PyType_FromModuleAndSpec(module, &Queue_spec, NULL);
    part->iterator_type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &iterator_spec, NULL);
    return part->queue_type == NULL || part->iterator_type == NULL ? -1 : 0;
}
