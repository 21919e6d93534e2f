/* From frames to objects, and what happens to a frame that cannot become one.
 *
 * An item can fail to be rebuilt: its module is missing here, its class's
 * __setstate__ raises.  It is then neither lost nor put back: back in front
 * it would make every further get fail, for ever.  It stays, still encoded,
 * with the exception (QueueItemError), whose put_back() and forward() say
 * where it goes; an exception that nobody keeps takes its item along.
 *
 * What comes from outside (Ctrl-C, interrupt()) says nothing about the item:
 * then it goes back to the front, as if it had never been taken.
 */
#include "queue_impl.h"

#include "../core/frame.h"

typedef struct item_object {
    PyObject_HEAD
    atoll_frame *frame;  /* owned; NULL: it was given away */
    queue_object *queue; /* owned: where it came from */
} item_object;

/* The frame, which is now the caller's.  NULL with QueueError. */
static atoll_frame *
take_frame(item_object *self)
{
    atoll_frame *frame = self->frame;
    self->frame = NULL;
    if (frame == NULL) {
        ext_error_format(self->queue->st, EXT_ERR_QUEUE,
                         "the item was given away already");
    }
    return frame;
}

PyDoc_STRVAR(item_put_back_doc,
             "put_back($self, /)\n--\n\n"
             "Return the item to the front of its queue, as if it had not\n"
             "been taken.");

static PyObject *
item_put_back(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    item_object *self = (item_object *)op;
    atoll_frame *frame = take_frame(self);
    if (frame == NULL) {
        return NULL;
    }
    atoll_queue_unget(self->queue->queue, frame);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(item_forward_doc,
             "forward($self, /, queue, timeout=None)\n--\n\n"
             "Put the item, as its sender sent it, into another queue.");

static PyObject *
item_forward(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    static const queue_signature signature
        = {"forward", 1, 2, {"queue", "timeout", NULL}};
    item_object *self = (item_object *)op;
    ext_state *st = self->queue->st;
    PyObject *values[QUEUE_MAX_ARGS];
    int64_t deadline;
    if (queue_parse(&signature, args, nargs, kwnames, values) < 0
        || queue_deadline(NULL, values[1], &deadline) < 0) {
        return NULL;
    }
    queue_object *to = queue_check(st, values[0], "forward()");
    atoll_frame *frame = to == NULL ? NULL : take_frame(self);
    if (frame == NULL) {
        return NULL;
    }
    atoll_status status = queue_put_frame(st, to->queue, frame, deadline);
    if (status != ATOLL_OK) {
        self->frame = frame;
        return queue_fail(st, to->queue, status);
    }
    Py_RETURN_NONE;
}

static int
item_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((item_object *)op)->queue);
    return 0;
}

static void
item_dealloc(PyObject *op)
{
    item_object *self = (item_object *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    if (self->frame != NULL) {
        atoll_frame_release(self->frame);
    }
    Py_XDECREF(self->queue);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMethodDef item_methods[] = {
    {"put_back", item_put_back, METH_NOARGS, item_put_back_doc},
    {"forward", (PyCFunction)(void (*)(void))item_forward,
     METH_FASTCALL | METH_KEYWORDS, item_forward_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot item_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("An item that is still encoded.")},
    {Py_tp_dealloc, item_dealloc},
    {Py_tp_traverse, item_traverse},
    {Py_tp_methods, item_methods},
    {0, NULL},
};

static PyType_Spec item_spec = {
    .name = "atoll._core.QueueItem",
    .basicsize = sizeof(item_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = item_slots,
};

int
queue_item_exec(PyObject *module, queue_part *part)
{
    part->item_type
        = (PyTypeObject *)PyType_FromModuleAndSpec(module, &item_spec, NULL);
    return part->item_type == NULL ? -1 : 0;
}

/* --- Opening --- */

static PyObject *
describe(queue_object *self, const atoll_frame *frame, PyObject *cause)
{
    PyObject *why = PyObject_Str(cause);
    if (why == NULL) {
        PyErr_Clear();
        why = PyUnicode_FromString("(no message)");
    }
    if (why == NULL) {
        return NULL;
    }
    PyObject *message = PyUnicode_FromFormat(
        "queue %llu: an item of interpreter %lld cannot be rebuilt here: "
        "%s: %U",
        (unsigned long long)atoll_queue_id(self->queue),
        (long long)frame->sender, Py_TYPE(cause)->tp_name, why);
    Py_DECREF(why);
    return message;
}

/* QueueItemError for the frame, from the exception `cause`, both of which it
 * takes over on success only.  NULL with another exception. */
static PyObject *
make_error(queue_object *self, atoll_frame *frame, PyObject *cause)
{
    queue_part *part = queue_part_of(self->st);
    PyObject *type = queue_load(self->st, QUEUE_PY_ITEM_ERROR);
    item_object *item = NULL;
    PyObject *error = NULL;
    if (type == NULL) {
        return NULL;
    }
    item = (item_object *)queue_alloc(part->item_type);
    if (item == NULL) {
        return NULL;
    }
    item->queue = (queue_object *)Py_NewRef((PyObject *)self);
    PyObject *message = describe(self, frame, cause);
    if (message != NULL) {
        error = PyObject_CallFunctionObjArgs(type, message, self, item, NULL);
        Py_DECREF(message);
    }
    if (error != NULL && !PyExceptionInstance_Check(error)) {
        Py_CLEAR(error);
        PyErr_BadInternalCall();
    }
    if (error != NULL) {
        item->frame = frame;
        PyException_SetContext(error, Py_NewRef(cause));
        PyException_SetCause(error, cause);
    }
    Py_DECREF(item);
    return error;
}

/* The exception that is set is why the frame cannot be rebuilt; sets the one
 * that the caller sees.  Owns: takes over the frame. */
static void
fail_to_open(queue_object *self, atoll_frame *frame)
{
    PyObject *cause = PyErr_GetRaisedException();
    PyObject *error = NULL;
    if (PyErr_GivenExceptionMatches(cause, PyExc_Exception)) {
        error = make_error(self, frame, cause);
        PyErr_Clear(); /* why it could not be made: out of memory */
    }
    if (error != NULL) {
        PyErr_SetRaisedException(error);
        return;
    }
    atoll_queue_unget(self->queue, frame);
    PyErr_SetRaisedException(cause);
}

/* What get returns for an item whose sender has ended.  Owns: takes over the
 * frame. */
static PyObject *
open_lost(queue_object *self, atoll_frame *frame, atoll_unbound policy)
{
    atoll_frame_release(frame);
    if (policy == ATOLL_UNBOUND_REPLACE) {
        return Py_XNewRef(queue_load(self->st, QUEUE_PY_UNBOUND));
    }
    return ext_error_format(self->st, EXT_ERR_ITEM_DESTROYED,
                            "item's original interpreter destroyed");
}

PyObject *
queue_item_open(queue_object *self, atoll_frame *frame)
{
    atoll_unbound lost = atoll_queue_item_lost(frame);
    if (ATOLL_UNLIKELY(lost != ATOLL_UNBOUND_KEEP)) {
        return open_lost(self, frame, lost);
    }
    PyObject *value = ext_decode(self->st, frame);
    if (ATOLL_UNLIKELY(value == NULL)) {
        fail_to_open(self, frame);
        return NULL;
    }
    atoll_frame_release(frame);
    return value;
}

/* An item of several, whose frame stays the caller's. */
static PyObject *
peek(queue_object *self, const atoll_frame *frame)
{
    atoll_unbound lost = atoll_queue_item_lost(frame);
    if (lost == ATOLL_UNBOUND_KEEP) {
        return ext_decode(self->st, frame);
    }
    if (lost == ATOLL_UNBOUND_REPLACE) {
        return Py_XNewRef(queue_load(self->st, QUEUE_PY_UNBOUND));
    }
    return ext_error_format(self->st, EXT_ERR_ITEM_DESTROYED,
                            "item's original interpreter destroyed");
}

static void
release_until(atoll_frame *frame, const atoll_frame *end)
{
    while (frame != end) {
        atoll_frame *next = frame->next;
        frame->next = NULL;
        atoll_frame_release(frame);
        frame = next;
    }
}

PyObject *
queue_items_open(queue_object *self, atoll_frame *frames, size_t count)
{
    atoll_frame *bad = frames;
    PyObject *list = PyList_New((Py_ssize_t)count);
    Py_ssize_t done = 0;
    if (list != NULL) {
        while (bad != NULL) {
            PyObject *value = peek(self, bad);
            if (value == NULL) {
                break;
            }
            PyList_SET_ITEM(list, done++, value);
            bad = bad->next;
        }
    }
    if (bad == NULL) {
        release_until(frames, NULL);
        return list;
    }
    bool passing = list == NULL || !PyErr_ExceptionMatches(PyExc_Exception);
    if (!passing && done > 0) {
        /* These are fine; the next get comes upon the bad one first. */
        PyErr_Clear();
        if (PyList_SetSlice(list, done, PyList_GET_SIZE(list), NULL) == 0) {
            release_until(frames, bad);
            atoll_queue_unget(self->queue, bad);
            return list;
        }
        passing = true;
    }
    PyObject *error = PyErr_GetRaisedException();
    Py_XDECREF(list);
    if (passing) {
        /* Nothing is handed out: as if nothing had been taken. */
        atoll_queue_unget(self->queue, frames);
        PyErr_SetRaisedException(error);
        return NULL;
    }
    atoll_frame *rest = bad->next;
    bad->next = NULL;
    if (rest != NULL) {
        atoll_queue_unget(self->queue, rest);
    }
    PyErr_SetRaisedException(error);
    if (atoll_queue_item_lost(bad) != ATOLL_UNBOUND_KEEP) {
        atoll_frame_release(bad);
    }
    else {
        fail_to_open(self, bad);
    }
    return NULL;
}
