/* Queues in one interpreter: the table of its Queue objects, how they cross,
 * and the functions of the module.
 *
 * Locks: none but the GIL.
 */
#include "module.h"
#include "queue_doc.h"
#include "queue_impl.h"

int
queue_traverse_type(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    return 0;
}

PyObject *
queue_alloc(PyTypeObject *type)
{
    if (type == NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "atoll is being unloaded in this interpreter");
        return NULL;
    }
    return type->tp_alloc(type, 0);
}

/* --- One object per queue --- */

static queue_object **
bucket_of(queue_part *part, uint64_t id)
{
    return &part->known[id & (part->nbuckets - 1)];
}

static int
grow_known(queue_part *part)
{
    if (part->nknown < part->nbuckets) {
        return 0;
    }
    size_t nbuckets = part->nbuckets == 0 ? 16 : part->nbuckets * 2;
    queue_object **known = PyMem_Calloc(nbuckets, sizeof(*known));
    if (known == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < part->nbuckets; i++) {
        queue_object *next;
        for (queue_object *at = part->known[i]; at != NULL; at = next) {
            next = at->chain;
            size_t to = atoll_queue_id(at->queue) & (nbuckets - 1);
            at->chain = known[to];
            known[to] = at;
        }
    }
    PyMem_Free(part->known);
    part->known = known;
    part->nbuckets = nbuckets;
    return 0;
}

void
queue_object_forget(queue_object *self)
{
    queue_part *part = queue_part_of(self->st);
    queue_object **at = bucket_of(part, atoll_queue_id(self->queue));
    while (*at != self) {
        at = &(*at)->chain;
    }
    *at = self->chain;
    part->nknown--;
}

PyObject *
queue_object_of(ext_state *st, atoll_queue *queue)
{
    queue_part *part = queue_part_of(st);
    uint64_t id = atoll_queue_id(queue);
    if (grow_known(part) < 0) {
        return NULL;
    }
    queue_object *at = *bucket_of(part, id);
    while (at != NULL && atoll_queue_id(at->queue) != id) {
        at = at->chain;
    }
    if (at != NULL) {
        return Py_NewRef((PyObject *)at);
    }
    /* No Python code runs in an allocation (collections wait for the eval
     * loop), so no other object of the queue comes into being meanwhile. */
    PyObject *made = queue_alloc(part->queue_type);
    if (made == NULL) {
        return NULL;
    }
    at = (queue_object *)made;
    atoll_queue_acquire(queue);
    at->queue = queue;
    at->st = st;
    at->module = Py_NewRef(st->module);
    queue_object **bucket = bucket_of(part, id);
    at->chain = *bucket;
    *bucket = at;
    part->nknown++;
    return made;
}

queue_object *
queue_check(ext_state *st, PyObject *obj, const char *what)
{
    if (!Py_IS_TYPE(obj, queue_part_of(st)->queue_type)) {
        PyErr_Format(PyExc_TypeError, "%s: expected a Queue, got %R", what,
                     obj);
        return NULL;
    }
    return (queue_object *)obj;
}

static int
pack_queue(ext_state *Py_UNUSED(st), PyObject *obj, void **out_ptr)
{
    atoll_queue *queue = ((queue_object *)obj)->queue;
    atoll_queue_ops.acquire(queue);
    *out_ptr = queue;
    return 0;
}

static PyObject *
unpack_queue(ext_state *st, void *ptr)
{
    return queue_object_of(st, ptr);
}

static const ext_crossing queue_crossing
    = {&atoll_queue_ops, pack_queue, unpack_queue};

/* --- Functions of the module --- */

static PyObject *
core_create_queue(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    static const queue_signature signature
        = {"create_queue", 0, 1, {"maxsize", "unbounditems", NULL}};
    ext_state *st = ext_state_of_module(module);
    PyObject *values[QUEUE_MAX_ARGS];
    atoll_unbound policy;
    if (queue_parse(&signature, args, nargs, kwnames, values) < 0
        || queue_policy(st, values[1], ATOLL_UNBOUND_KEEP, &policy) < 0) {
        return NULL;
    }
    long long maxsize = 0;
    if (values[0] != NULL) {
        PyObject *number = PyNumber_Index(values[0]);
        int overflow = 0;
        if (number == NULL) {
            return NULL;
        }
        maxsize = PyLong_AsLongLongAndOverflow(number, &overflow);
        Py_DECREF(number);
        if (overflow) {
            PyErr_SetString(PyExc_OverflowError,
                            "maxsize does not fit into 64 bits");
            return NULL;
        }
    }
    atoll_queue *queue;
    atoll_status status = atoll_queue_new(maxsize, policy, &queue);
    if (status != ATOLL_OK) {
        return queue_fail(st, NULL, status);
    }
    PyObject *self = queue_object_of(st, queue);
    atoll_queue_release(queue);
    return self;
}

/* Waits on the queues of a tuple; a list of those that are ready. */
static PyObject *
select_ready(ext_state *st, PyObject *tuple, int64_t deadline)
{
    size_t count = (size_t)PyTuple_GET_SIZE(tuple);
    PyObject *result = NULL;
    atoll_wait wait = {ext_attach_parker(), deadline, 0};
    atoll_queue **queues = PyMem_New(atoll_queue *, count + 1);
    bool *ready = PyMem_New(bool, count + 1);
    if (queues == NULL || ready == NULL || wait.parker == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    for (size_t i = 0; i < count; i++) {
        queue_object *queue = queue_check(
            st, PyTuple_GET_ITEM(tuple, (Py_ssize_t)i), "wait()");
        if (queue == NULL) {
            goto done;
        }
        queues[i] = queue->queue;
    }
    size_t nready = 0;
    atoll_status status
        = atoll_queue_select(queues, count, NULL, ready, &nready);
    bool slept = status == ATOLL_E_EMPTY && deadline != 0;
    if (slept) {
        do {
            Py_BEGIN_ALLOW_THREADS
            status = atoll_queue_watch(queues, count, &wait, ready, &nready);
            Py_END_ALLOW_THREADS
        } while (status == ATOLL_E_INTERRUPTED && ext_run_check(st) == 0);
    }
    if (status != ATOLL_OK && status != ATOLL_E_EMPTY
        && status != ATOLL_E_TIMEOUT) {
        queue_fail(st, NULL, status);
        goto done;
    }
    result = PyList_New(0);
    for (size_t i = 0; result != NULL && i < count; i++) {
        if (status == ATOLL_OK && ready[i]
            && PyList_Append(result, PyTuple_GET_ITEM(tuple, (Py_ssize_t)i))
                   < 0) {
            Py_CLEAR(result);
        }
    }
    if (slept && status == ATOLL_OK) {
        /* As late as can be, and with the GIL: the caller then most often
         * has taken the item when the next one looks. */
        atoll_queue_pass_on(queues, count, ready);
    }
done:
    PyMem_Free(queues);
    PyMem_Free(ready);
    return result;
}

static PyObject *
core_wait(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
          PyObject *kwnames)
{
    static const queue_signature signature
        = {"wait", 1, 2, {"queues", "timeout", NULL}};
    PyObject *values[QUEUE_MAX_ARGS];
    int64_t deadline = ATOLL_FOREVER;
    if (queue_parse(&signature, args, nargs, kwnames, values) < 0) {
        return NULL;
    }
    PyObject *timeout = values[1] == NULL ? Py_None : values[1];
    int negative = 0;
    if (PyFloat_Check(timeout) || PyLong_Check(timeout)) {
        PyObject *zero = PyLong_FromLong(0);
        negative = zero == NULL
                       ? -1
                       : PyObject_RichCompareBool(timeout, zero, Py_LT);
        Py_XDECREF(zero);
    }
    if (negative < 0
        || queue_deadline(negative ? Py_False : NULL, timeout, &deadline)
               < 0) {
        return NULL;
    }
    PyObject *tuple = PySequence_Tuple(values[0]);
    if (tuple == NULL) {
        return NULL;
    }
    PyObject *result
        = select_ready(ext_state_of_module(module), tuple, deadline);
    Py_DECREF(tuple);
    return result;
}

static PyObject *
core_live_queues(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromUnsignedLongLong(atoll_queue_live());
}

static PyObject *
core_queue_waiting(PyObject *module, PyObject *obj)
{
    queue_object *self
        = queue_check(ext_state_of_module(module), obj, "_queue_waiting()");
    if (self == NULL) {
        return NULL;
    }
    atoll_queue_waiting waiting = atoll_queue_count_waiting(self->queue);
    return Py_BuildValue(
        "(nnnn)", (Py_ssize_t)waiting.getters, (Py_ssize_t)waiting.putters,
        (Py_ssize_t)waiting.watchers, (Py_ssize_t)waiting.joiners);
}

static PyMethodDef functions[] = {
    {"create_queue", (PyCFunction)(void (*)(void))core_create_queue,
     METH_FASTCALL | METH_KEYWORDS, create_queue_doc},
    {"wait", (PyCFunction)(void (*)(void))core_wait,
     METH_FASTCALL | METH_KEYWORDS, wait_doc},
    {"_live_queues", core_live_queues, METH_NOARGS,
     PyDoc_STR("How many queues there are in the process.")},
    {"_queue_waiting", core_queue_waiting, METH_O,
     PyDoc_STR("How many wait on a queue now: to get, to put, in wait(), in "
               "join(); for tests.")},
    {NULL, NULL, 0, NULL},
};

/* --- The part --- */

static int
queue_exec(PyObject *module, ext_state *st)
{
    queue_part *part = PyMem_Calloc(1, sizeof(*part));
    if (part == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    st->parts[EXT_PART_QUEUE] = part;
    if (queue_type_exec(module, part) < 0 || queue_item_exec(module, part) < 0
        || queue_async_exec(module, part) < 0
        || PyModule_AddType(module, part->queue_type) < 0
        || ext_transfer_register(st, part->queue_type, &queue_crossing) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, functions);
}

static int
queue_traverse(ext_state *st, visitproc visit, void *arg)
{
    queue_part *part = queue_part_of(st);
    if (part == NULL) {
        return 0;
    }
    Py_VISIT(part->queue_type);
    Py_VISIT(part->iterator_type);
    Py_VISIT(part->item_type);
    Py_VISIT(part->loop_type);
    Py_VISIT(part->pending_type);
    for (int i = 0; i < QUEUE_PY_COUNT; i++) {
        Py_VISIT(part->python[i]);
    }
    return 0;
}

static void
queue_clear(ext_state *st)
{
    queue_part *part = queue_part_of(st);
    if (part == NULL) {
        return;
    }
    ext_transfer_unregister(st, &queue_crossing);
    for (int i = 0; i < QUEUE_PY_COUNT; i++) {
        Py_CLEAR(part->python[i]);
    }
    Py_CLEAR(part->queue_type);
    Py_CLEAR(part->iterator_type);
    Py_CLEAR(part->item_type);
    Py_CLEAR(part->loop_type);
    Py_CLEAR(part->pending_type);
}

static void
queue_free(ext_state *st)
{
    queue_part *part = queue_part_of(st);
    if (part != NULL) {
        PyMem_Free(part->known);
        PyMem_Free(part);
    }
    st->parts[EXT_PART_QUEUE] = NULL;
}

const ext_part ext_queue_part = {
    .id = EXT_PART_QUEUE,
    .exec = queue_exec,
    .traverse = queue_traverse,
    .clear = queue_clear,
    .free = queue_free,
};
