/* The transfer's part of the module: its state, the registered types,
 * is_shareable, and the private functions by which tests reach the encoder
 * and the decoder without a second interpreter.
 */
#include "transfer_impl.h"

#include <pthread.h>

#include "module.h"

/* Each crossing's number in frames is the same in all interpreters, whatever
 * the order in which their parts were made: it is the place in this table,
 * which only grows. */
static pthread_mutex_t numbers_lock = PTHREAD_MUTEX_INITIALIZER;
static const ext_crossing *numbers[EXT_MAX_CROSSINGS];

/* -1: the table is full. */
static int
number_of(const ext_crossing *crossing)
{
    int number = 0;
    (void)pthread_mutex_lock(&numbers_lock);
    while (number < EXT_MAX_CROSSINGS && numbers[number] != NULL
           && numbers[number] != crossing) {
        number++;
    }
    if (number < EXT_MAX_CROSSINGS) {
        numbers[number] = crossing;
    }
    (void)pthread_mutex_unlock(&numbers_lock);
    return number < EXT_MAX_CROSSINGS ? number : -1;
}

void
ext_transfer_after_fork(void)
{
    /* An entry is written at once: the table is whole. */
    (void)pthread_mutex_init(&numbers_lock, NULL);
}

int
ext_transfer_register(ext_state *st, PyTypeObject *type,
                      const ext_crossing *crossing)
{
    transfer_part *part = ext_transfer_part_of(st);
    int number = number_of(crossing);
    if (number < 0) {
        PyErr_SetString(PyExc_SystemError, "too many crossing types");
        return -1;
    }
    ext_registered *entry = &part->crossings[number];
    Py_XSETREF(entry->type, (PyTypeObject *)Py_NewRef(type));
    entry->crossing = crossing;
    if (number >= part->n_crossings) {
        part->n_crossings = number + 1;
    }
    return 0;
}

void
ext_transfer_unregister(ext_state *st, const ext_crossing *crossing)
{
    transfer_part *part = ext_transfer_part_of(st);
    for (int i = 0; part != NULL && i < part->n_crossings; i++) {
        if (part->crossings[i].crossing == crossing) {
            Py_CLEAR(part->crossings[i].type);
        }
    }
}

int
ext_is_shareable(ext_state *st, PyObject *obj)
{
    PyTypeObject *type = Py_TYPE(obj);
    if (obj == Py_None || type == &PyBool_Type || type == &PyLong_Type
        || type == &PyFloat_Type || type == &PyUnicode_Type
        || type == &PyBytes_Type || type == &PyTuple_Type
        || type == &PyMemoryView_Type) {
        /* As CPython says it: of a tuple's items it knows nothing. */
        return 1;
    }
    transfer_part *part = ext_transfer_part_of(st);
    for (int i = 0; i < part->n_crossings; i++) {
        if (part->crossings[i].type == type) {
            return 1;
        }
    }
    return 0;
}

/* ---- for tests ---- */

static PyObject *
core_roundtrip(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    Py_ssize_t nkw = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    if (nargs < 1 || nargs + nkw > 2) {
        PyErr_SetString(PyExc_TypeError, "_roundtrip(obj, definition=False)");
        return NULL;
    }
    int definition = nargs + nkw == 2 ? PyObject_IsTrue(args[1]) : 0;
    if (definition < 0) {
        return NULL;
    }
    ext_state *st = ext_state_of_module(module);
    atoll_frame frame;
    atoll_frame_init(&frame);
    PyObject *result = NULL;
    if (ext_encode(st, args[0], "obj", definition ? EXT_ENCODE_DEFINITION : 0,
                   NULL, &frame)
        == 0) {
        result = ext_decode(st, &frame);
    }
    atoll_frame_fini(&frame);
    return result;
}

static PyObject *
core_roundtrip_args(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                    PyObject *kwnames)
{
    ext_state *st = ext_state_of_module(module);
    atoll_frame frame;
    atoll_frame_init(&frame);
    ext_pins pins;
    ext_pins_init(&pins);
    PyObject *result = NULL;
    ext_args got;
    if (ext_encode_args(st, args, nargs, kwnames, 0, &pins, &frame) == 0
        && ext_decode_args(st, &frame, &got) == 0) {
        PyObject *positional = PyTuple_New(got.nargs);
        PyObject *named = PyDict_New();
        for (Py_ssize_t i = 0; positional != NULL && i < got.nargs; i++) {
            PyTuple_SET_ITEM(positional, i, Py_NewRef(got.values[i]));
        }
        for (Py_ssize_t i = got.nargs; named != NULL && i < got.total; i++) {
            if (PyDict_SetItem(named,
                               PyTuple_GET_ITEM(got.kwnames, i - got.nargs),
                               got.values[i])
                < 0) {
                Py_CLEAR(named);
            }
        }
        if (positional != NULL && named != NULL) {
            result = PyTuple_Pack(2, positional, named);
        }
        Py_XDECREF(positional);
        Py_XDECREF(named);
        ext_args_fini(&got);
    }
    atoll_frame_fini(&frame);
    ext_pins_fini(&pins);
    return result;
}

static PyObject *
core_encode(PyObject *module, PyObject *obj)
{
    ext_state *st = ext_state_of_module(module);
    atoll_frame frame;
    atoll_frame_init(&frame);
    PyObject *result = NULL;
    if (ext_encode(st, obj, "obj", 0, NULL, &frame) == 0) {
        if (frame.nrefs > 0) {
            PyErr_SetString(PyExc_TypeError,
                            "_encode: the value needs attachments");
        }
        else {
            result = PyBytes_FromStringAndSize((const char *)frame.data,
                                               (Py_ssize_t)frame.len);
        }
    }
    atoll_frame_fini(&frame);
    return result;
}

static PyObject *
core_decode(PyObject *module, PyObject *data)
{
    if (!PyBytes_CheckExact(data)) {
        PyErr_SetString(PyExc_TypeError, "_decode takes bytes");
        return NULL;
    }
    /* A copy of exactly this size on the heap, so that sanitizers see a read
     * beyond it. */
    size_t size = (size_t)PyBytes_GET_SIZE(data);
    uint8_t *copy = atoll_malloc(size);
    if (copy == NULL) {
        return PyErr_NoMemory();
    }
    memcpy(copy, PyBytes_AS_STRING(data), size);
    atoll_frame frame;
    atoll_frame_init(&frame);
    frame.data = copy;
    frame.len = frame.cap = size;
    PyObject *result
        = dec_frame_value(ext_state_of_module(module), &frame, true);
    atoll_frame_fini(&frame);
    return result;
}

static PyMethodDef functions[] = {
    {"_roundtrip", (PyCFunction)(void (*)(void))core_roundtrip,
     METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("_roundtrip(obj, definition=False): encodes and decodes.")},
    {"_roundtrip_args", (PyCFunction)(void (*)(void))core_roundtrip_args,
     METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("The same for a call's arguments: (args, kwargs).")},
    {"_encode", core_encode, METH_O,
     PyDoc_STR("The bytes of a value that needs no attachment.")},
    {"_decode", core_decode, METH_O, PyDoc_STR("The value of such bytes.")},
    {NULL, NULL, 0, NULL},
};

/* ---- the part ---- */

static int
make_names(ext_names *names)
{
    const struct {
        PyObject **name;
        const char *text;
    } all[] = {
        {&names->module, "__module__"},
        {&names->qualname, "__qualname__"},
        {&names->reduce_ex, "__reduce_ex__"},
        {&names->setstate, "__setstate__"},
        {&names->new, "__new__"},
        {&names->dict, "__dict__"},
        {&names->extend, "extend"},
        {&names->append, "append"},
        {&names->notes, "__notes__"},
    };
    for (size_t i = 0; i < Py_ARRAY_LENGTH(all); i++) {
        *all[i].name = PyUnicode_InternFromString(all[i].text);
        if (*all[i].name == NULL) {
            return -1;
        }
    }
    names->protocol = PyLong_FromLong(5);
    return names->protocol == NULL ? -1 : 0;
}

static void
drop_names(ext_names *names)
{
    Py_CLEAR(names->module);
    Py_CLEAR(names->qualname);
    Py_CLEAR(names->reduce_ex);
    Py_CLEAR(names->protocol);
    Py_CLEAR(names->setstate);
    Py_CLEAR(names->new);
    Py_CLEAR(names->dict);
    Py_CLEAR(names->extend);
    Py_CLEAR(names->append);
    Py_CLEAR(names->notes);
}

static int
transfer_exec(PyObject *module, ext_state *st)
{
    transfer_part *part = PyMem_Calloc(1, sizeof(*part));
    if (part == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    st->parts[EXT_PART_TRANSFER] = part;
    atoll_memo_init(&part->memo);
    if (make_names(&part->names) < 0) {
        return -1;
    }
    for (int i = 0; i < ATOLL_INT_COUNT; i++) {
        part->small_ints[i] = PyLong_FromLong(i + ATOLL_INT_LEAST);
        if (part->small_ints[i] == NULL) {
            return -1;
        }
    }
    return PyModule_AddFunctions(module, functions);
}

static int
transfer_traverse(ext_state *st, visitproc visit, void *arg)
{
    transfer_part *part = ext_transfer_part_of(st);
    for (int i = 0; part != NULL && i < part->n_crossings; i++) {
        Py_VISIT(part->crossings[i].type);
    }
    if (part != NULL) {
        Py_VISIT(part->dispatch_table);
        Py_VISIT(part->newobj);
        Py_VISIT(part->newobj_ex);
        Py_VISIT(part->slotnames);
        Py_VISIT(part->byvalue_reduce);
    }
    return 0;
}

static void
transfer_clear(ext_state *st)
{
    transfer_part *part = ext_transfer_part_of(st);
    if (part == NULL) {
        return;
    }
    while (part->n_crossings > 0) {
        part->n_crossings--;
        Py_CLEAR(part->crossings[part->n_crossings].type);
    }
    Py_CLEAR(part->dispatch_table);
    Py_CLEAR(part->newobj);
    Py_CLEAR(part->newobj_ex);
    Py_CLEAR(part->slotnames);
    Py_CLEAR(part->byvalue_reduce);
    for (size_t i = 0; i < part->key_rows; i++) {
        Py_CLEAR(part->keys[i][0]);
        Py_CLEAR(part->keys[i][1]);
    }
}

static void
transfer_free(ext_state *st)
{
    transfer_part *part = ext_transfer_part_of(st);
    if (part == NULL) {
        return;
    }
    for (int i = 0; i < ATOLL_INT_COUNT; i++) {
        Py_XDECREF(part->small_ints[i]);
    }
    drop_names(&part->names);
    PyMem_Free(part->keys);
    atoll_memo_fini(&part->memo);
    PyMem_Free(part);
    st->parts[EXT_PART_TRANSFER] = NULL;
}

const ext_part ext_transfer_part = {
    .id = EXT_PART_TRANSFER,
    .exec = transfer_exec,
    .traverse = transfer_traverse,
    .clear = transfer_clear,
    .free = transfer_free,
};
