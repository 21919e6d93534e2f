/* Queues for asyncio: the C half of atoll/_queues_aio.py.
 *
 * A QueueLoop is one event loop's descriptor; it is referenced by the event
 * loop's reader and by nothing else, so that it goes, and gives back what it
 * was granted, when the event loop is closed (_queues_aio.py has more).
 *
 * A QueuePending is one aget or aput.  take() tells the future that something
 * is there; the item itself stays in the core's node until the coroutine
 * that waited comes to finish().  A coroutine that is cancelled, or never
 * resumed, in between drops its QueuePending, which cancels the node: the item
 * goes to the next in line.
 */
#include "queue_impl.h"

typedef struct loop_object {
    PyObject_HEAD
    atoll_loop *loop; /* owned */
    ext_state *st;
} loop_object;

typedef struct pending_object {
    PyObject_HEAD
    ext_state *st;
    atoll_async *node;   /* owned; NULL: it did not have to wait, or is over */
    atoll_frame *frame;  /* owned: an item that was there at once */
    queue_object *queue; /* owned */
    PyObject *future;    /* owned; the node's user */
    bool ready;
} pending_object;

/* --- QueuePending --- */

static bool
cancel(pending_object *self)
{
    bool undone = true;
    if (self->node != NULL) {
        atoll_async *node = self->node;
        self->node = NULL;
        undone = atoll_async_free(node);
    }
    if (self->frame != NULL) {
        atoll_frame *frame = self->frame;
        self->frame = NULL;
        atoll_queue_unget(self->queue->queue, frame);
    }
    return undone;
}

PyDoc_STRVAR(pending_finish_doc,
             "finish($self, /)\n--\n\n"
             "The item of an aget, None of an aput; once.");

static PyObject *
pending_finish(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    pending_object *self = (pending_object *)op;
    atoll_frame *frame = self->frame;
    self->frame = NULL;
    if (self->node != NULL) {
        atoll_status status = atoll_async_finish(self->node, &frame);
        if (status == ATOLL_E_BUSY) {
            PyErr_SetString(PyExc_RuntimeError, "not done yet");
            return NULL;
        }
        (void)cancel(self);
        if (status != ATOLL_OK) {
            return queue_fail(self->st, self->queue->queue, status);
        }
    }
    if (frame == NULL) {
        Py_RETURN_NONE;
    }
    return queue_item_open(self->queue, frame);
}

PyDoc_STRVAR(pending_cancel_doc,
             "cancel($self, /)\n--\n\n"
             "Undo what finish() has not handed out.  True if nothing has\n"
             "happened then; False: the item of an aput was got by somebody.");

static PyObject *
pending_cancel(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(cancel((pending_object *)op));
}

static PyObject *
pending_get_ready(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((pending_object *)op)->ready);
}

static int
pending_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((pending_object *)op)->future);
    Py_VISIT(((pending_object *)op)->queue);
    return 0;
}

static int
pending_clear(PyObject *op)
{
    pending_object *self = (pending_object *)op;
    /* The node knows the future: it goes first. */
    (void)cancel(self);
    Py_CLEAR(self->future);
    return 0;
}

static void
pending_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)pending_clear(op);
    Py_CLEAR(((pending_object *)op)->queue);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMethodDef pending_methods[] = {
    {"finish", pending_finish, METH_NOARGS, pending_finish_doc},
    {"cancel", pending_cancel, METH_NOARGS, pending_cancel_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef pending_getset[] = {
    {"ready", pending_get_ready, NULL,
     PyDoc_STR("It is over already: there is nothing to await."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot pending_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("One aget or aput.")},
    {Py_tp_dealloc, pending_dealloc},
    {Py_tp_traverse, pending_traverse},
    {Py_tp_clear, pending_clear},
    {Py_tp_methods, pending_methods},
    {Py_tp_getset, pending_getset},
    {0, NULL},
};

static PyType_Spec pending_spec = {
    .name = "atoll._core.QueuePending",
    .basicsize = sizeof(pending_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = pending_slots,
};

/* --- QueueLoop --- */

static pending_object *
new_pending(ext_state *st, queue_object *queue, PyObject *future)
{
    pending_object *self
        = (pending_object *)queue_alloc(queue_part_of(st)->pending_type);
    if (self != NULL) {
        self->st = st;
        self->queue = (queue_object *)Py_NewRef((PyObject *)queue);
        self->future = Py_NewRef(future);
    }
    return self;
}

/* The operation waits, and its event loop is going to sleep in a poll.  On the
 * main thread the signals are looked after, as before a sleep at the parker:
 * one that comes just before the poll, or to another thread, would wake
 * nobody. */
static void
before_poll(void)
{
    (void)ext_attach_parker();
}

PyDoc_STRVAR(loop_get_doc, "get($self, queue, future, /)\n--\n\n"
                           "Begin an aget: a QueuePending.");

static PyObject *
loop_get(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    loop_object *self = (loop_object *)op;
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "get(queue, future)");
        return NULL;
    }
    queue_object *queue = queue_check(self->st, args[0], "get()");
    pending_object *pending
        = queue == NULL ? NULL : new_pending(self->st, queue, args[1]);
    if (pending == NULL) {
        return NULL;
    }
    atoll_status status
        = atoll_async_get(queue->queue, self->loop, pending->future,
                          &pending->frame, &pending->node);
    if (status != ATOLL_OK && status != ATOLL_E_EMPTY) {
        Py_DECREF(pending);
        return queue_fail(self->st, queue->queue, status);
    }
    pending->ready = status == ATOLL_OK;
    if (!pending->ready) {
        before_poll();
    }
    return (PyObject *)pending;
}

PyDoc_STRVAR(loop_put_doc, "put($self, queue, future, obj, /)\n--\n\n"
                           "Begin an aput: a QueuePending.");

static PyObject *
loop_put(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    loop_object *self = (loop_object *)op;
    if (nargs != 3) {
        PyErr_SetString(PyExc_TypeError, "put(queue, future, obj)");
        return NULL;
    }
    queue_object *queue = queue_check(self->st, args[0], "put()");
    if (queue == NULL) {
        return NULL;
    }
    atoll_frame *frame = queue_frame_of(self->st, args[2], "obj",
                                        atoll_queue_policy(queue->queue));
    if (frame == NULL) {
        return NULL;
    }
    pending_object *pending = new_pending(self->st, queue, args[1]);
    if (pending == NULL) {
        atoll_frame_release(frame);
        return NULL;
    }
    atoll_status status = atoll_async_put(queue->queue, frame, self->loop,
                                          pending->future, &pending->node);
    if (status != ATOLL_OK && status != ATOLL_E_FULL) {
        atoll_frame_release(frame);
        Py_DECREF(pending);
        return queue_fail(self->st, queue->queue, status);
    }
    pending->ready = status == ATOLL_OK;
    if (!pending->ready) {
        before_poll();
    }
    return (PyObject *)pending;
}

PyDoc_STRVAR(loop_take_doc,
             "take($self, /)\n--\n\n"
             "Silence the descriptor; the futures of what is over.");

static PyObject *
loop_take(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    loop_object *self = (loop_object *)op;
    PyObject *futures = PyList_New(0);
    atoll_async *node;
    while (futures != NULL && (node = atoll_loop_take(self->loop)) != NULL) {
        /* Its QueuePending owns the future, and frees the node first. */
        if (PyList_Append(futures, atoll_async_user(node)) < 0) {
            Py_CLEAR(futures);
        }
    }
    return futures;
}

static PyObject *
loop_fileno(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLong(atoll_loop_fd(((loop_object *)op)->loop));
}

static PyObject *
loop_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (PyTuple_GET_SIZE(args) > 0
        || (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0)) {
        PyErr_SetString(PyExc_TypeError, "QueueLoop takes no arguments");
        return NULL;
    }
    ext_state *st = ext_state_of_class(type);
    atoll_loop *loop;
    atoll_status status = atoll_loop_new(&loop);
    if (status != ATOLL_OK) {
        return queue_fail(st, NULL, status);
    }
    loop_object *self = (loop_object *)queue_alloc(type);
    if (self == NULL) {
        atoll_loop_release(loop);
        return NULL;
    }
    atoll_loop_set_owner(loop, st->self->id);
    self->loop = loop;
    self->st = st;
    return (PyObject *)self;
}

static void
loop_dealloc(PyObject *op)
{
    loop_object *self = (loop_object *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    if (self->loop != NULL) {
        atoll_loop_close(self->loop);
        atoll_loop_release(self->loop);
    }
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMethodDef loop_methods[] = {
    {"get", (PyCFunction)(void (*)(void))loop_get, METH_FASTCALL,
     loop_get_doc},
    {"put", (PyCFunction)(void (*)(void))loop_put, METH_FASTCALL,
     loop_put_doc},
    {"take", loop_take, METH_NOARGS, loop_take_doc},
    {"fileno", loop_fileno, METH_NOARGS,
     PyDoc_STR("fileno($self, /)\n--\n\nThe descriptor to poll.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot loop_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("The descriptor of one event loop.")},
    {Py_tp_new, loop_new},
    {Py_tp_dealloc, loop_dealloc},
    {Py_tp_traverse, queue_traverse_type},
    {Py_tp_methods, loop_methods},
    {0, NULL},
};

static PyType_Spec loop_spec = {
    .name = "atoll._core.QueueLoop",
    .basicsize = sizeof(loop_object),
    .flags
    = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = loop_slots,
};

int
queue_async_exec(PyObject *module, queue_part *part)
{
    part->pending_type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &pending_spec, NULL);
    part->loop_type
        = (PyTypeObject *)PyType_FromModuleAndSpec(module, &loop_spec, NULL);
    if (part->pending_type == NULL || part->loop_type == NULL) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "_QueueLoop",
                                 (PyObject *)part->loop_type);
}
