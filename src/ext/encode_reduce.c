/* Objects to frames: what is not native.
 *
 * In this order: what crosses by reference (registered types), what has a
 * name or a definition (function.h), exceptions (encode_exception.c), and
 * everything else by the protocol that pickle and copy use: copyreg's
 * dispatch table, then __reduce_ex__(5).  The protocol is spoken natively, on
 * the encoder's own stack, so that identity holds over the whole graph and
 * no depth is too deep.  Large buffers (pickle.PickleBuffer) are copied once,
 * from the exporter into the frame.
 *
 * From here on Python code runs.  Every object is held while it does, and
 * every address in the memo belongs to a living object.
 */
#include "transfer_impl.h"

#include "function.h"

/* Objects inside objects; deeper is a recursion without end. */
#define MOST_REDUCES 1000000

/* ---- by reference ---- */

/* Attaches what ops counts and writes its number behind the tag; takes over
 * the reference to ptr in any case. */
static int
put_attachment(encoder *e, PyObject *obj, unsigned tag, int type,
               const atoll_ref_ops *ops, void *ptr)
{
    uint32_t index, number;
    if (enc_room(e, ATOLL_WRITE_ROOM) < 0
        || enc_memo_late(e, obj, &number) < 0) {
        ops->release(ptr);
        return ENC_FAILED;
    }
    if (atoll_frame_attach(e->w.frame, ops, ptr, &index) != ATOLL_OK) {
        ops->release(ptr);
        return enc_no_memory();
    }
    atoll_put_u8(&e->w, tag);
    if (type >= 0) {
        atoll_put_varint(&e->w, (uint64_t)type);
    }
    atoll_put_varint(&e->w, index);
    return ENC_DONE;
}

static int
put_crossing(encoder *e, PyObject *obj, int type)
{
    const ext_crossing *crossing = e->part->crossings[type].crossing;
    void *ptr;
    if (crossing->pack(e->st, obj, &ptr) < 0) {
        return enc_fail(e, obj);
    }
    return put_attachment(e, obj, ATOLL_TAG_CROSSING, type, crossing->ops,
                          ptr);
}

/* A str of module and qualified name. */
static int
put_global(encoder *e, PyObject *obj, PyObject *module, PyObject *name)
{
    uint32_t number;
    if (!PyUnicode_CheckExact(module) || !PyUnicode_CheckExact(name)) {
        PyErr_SetString(PyExc_TypeError,
                        "the names of module and object must be str");
        return enc_fail(e, obj);
    }
    if (enc_room(e, ATOLL_WRITE_ROOM) < 0) {
        return ENC_FAILED;
    }
    atoll_put_u8(&e->w, ATOLL_TAG_GLOBAL);
    if (enc_put_key(e, module) == ENC_FAILED
        || enc_put_key(e, name) == ENC_FAILED) {
        return ENC_FAILED;
    }
    return enc_memo_late(e, obj, &number) < 0 ? ENC_FAILED : ENC_DONE;
}

/* ---- what __reduce__ gave: a name ---- */

/* Whether the module (by its name in sys.modules) has obj under name. */
static bool
has_global(PyObject *module, PyObject *name, PyObject *obj)
{
    PyObject *found = ext_follow_name(module, name);
    if (found == NULL) {
        PyErr_Clear();
    }
    Py_XDECREF(found);
    return found == obj;
}

/* The name of the module in which obj is found under name, when obj itself
 * does not say.  NULL with an exception. */
static PyObject *
search_module(PyObject *name, PyObject *obj)
{
    PyObject *modules = PyImport_GetModuleDict();
    PyObject *copy = modules == NULL ? NULL : PyDict_Copy(modules);
    PyObject *key, *module, *result = NULL;
    Py_ssize_t pos = 0;
    while (copy != NULL && PyDict_Next(copy, &pos, &key, &module)) {
        if (PyUnicode_CheckExact(key)
            && PyUnicode_CompareWithASCIIString(key, "__main__") != 0
            && module != Py_None && has_global(module, name, obj)) {
            result = Py_NewRef(key);
            break;
        }
    }
    Py_XDECREF(copy);
    if (result == NULL && !PyErr_Occurred()) {
        PyErr_Format(PyExc_TypeError, "no module has it under the name %R",
                     name);
    }
    return result;
}

static int
put_named(encoder *e, PyObject *obj, PyObject *name)
{
    PyObject *module = NULL, *loaded = NULL;
    int result = ENC_FAILED;
    if (ext_compat_getattr_optional(obj, e->part->names.module, &module) < 0) {
        return enc_fail(e, obj);
    }
    if (module == NULL || !PyUnicode_CheckExact(module)) {
        Py_XSETREF(module, search_module(name, obj));
    }
    if (module != NULL) {
        loaded = PyImport_Import(module);
    }
    if (loaded != NULL && !has_global(loaded, name, obj)) {
        PyErr_Format(PyExc_TypeError, "it is not the same object as %U.%U",
                     module, name);
        Py_CLEAR(loaded);
    }
    if (loaded == NULL) {
        enc_fail(e, obj);
    }
    else {
        result = put_global(e, obj, module, name);
    }
    Py_XDECREF(module);
    Py_XDECREF(loaded);
    return result;
}

/* __reduce__ gave a name.  Where only this interpreter has the module (a
 * script, a notebook), no other would find the object under it. */
static int
put_global_name(encoder *e, PyObject *obj, PyObject *name)
{
    PyObject *module = NULL, *ask = NULL, *answer = NULL;
    if (ext_compat_getattr_optional(obj, e->part->names.module, &module) < 0) {
        return enc_fail(e, obj);
    }
    if (module == NULL || !PyUnicode_CheckExact(module)) {
        Py_XDECREF(module);
        return put_named(e, obj, name);
    }
    ask = ext_state_python("atoll._reference", "importable");
    answer = ask == NULL ? NULL : PyObject_CallOneArg(ask, module);
    if (answer == Py_False) {
        PyErr_Format(PyExc_TypeError,
                     "__reduce__ returned the name %R, and no other "
                     "interpreter can import the module %R",
                     name, module);
    }
    int result
        = answer == Py_True ? put_named(e, obj, name) : enc_fail(e, obj);
    Py_DECREF(module);
    Py_XDECREF(ask);
    Py_XDECREF(answer);
    return result;
}

/* ---- what __reduce__ gave: how to make it ---- */

static PyObject *
bad_reduce(const char *what)
{
    PyErr_Format(PyExc_TypeError, "__reduce__ returned %s", what);
    return NULL;
}

/* The tuple that ENC_REDUCE works on. */
static PyObject *
parts_of(PyObject *reduced)
{
    Py_ssize_t size = PyTuple_GET_SIZE(reduced);
    if (size < 2 || size > 6) {
        return bad_reduce("a tuple that has not 2 to 6 items");
    }
    if (!PyCallable_Check(PyTuple_GET_ITEM(reduced, 0))) {
        return bad_reduce("something first that cannot be called");
    }
    if (!PyTuple_CheckExact(PyTuple_GET_ITEM(reduced, 1))) {
        return bad_reduce("something second that is not a tuple");
    }
    for (Py_ssize_t i = 3; i < size && i < 5; i++) {
        PyObject *iterator = PyTuple_GET_ITEM(reduced, i);
        if (iterator != Py_None && !PyIter_Check(iterator)) {
            return bad_reduce("items that are not an iterator");
        }
    }
    if (size == 6 && PyTuple_GET_ITEM(reduced, 5) != Py_None
        && !PyCallable_Check(PyTuple_GET_ITEM(reduced, 5))) {
        return bad_reduce("something last that cannot be called");
    }
    PyObject *parts = PyTuple_New(ENC_AT_COUNT);
    for (Py_ssize_t i = 0; parts != NULL && i < ENC_AT_COUNT; i++) {
        PyObject *part = i < size ? PyTuple_GET_ITEM(reduced, i) : Py_None;
        PyTuple_SET_ITEM(parts, i, Py_NewRef(part));
    }
    return parts;
}

/* copyreg.__newobj__(cls, *args) and its sister are written as what they
 * mean.  Returns the tag, or 0 with an exception. */
static unsigned
see_through(encoder *e, PyObject *parts)
{
    PyObject *callable = PyTuple_GET_ITEM(parts, ENC_AT_CALLABLE);
    PyObject *args = PyTuple_GET_ITEM(parts, ENC_AT_ARGS);
    Py_ssize_t size = PyTuple_GET_SIZE(args);
    PyObject *rest;
    unsigned tag;
    if (callable == e->part->newobj && size >= 1) {
        tag = ATOLL_TAG_NEWOBJ;
        rest = PyTuple_GetSlice(args, 1, size);
    }
    else if (callable == e->part->newobj_ex && size == 3
             && PyTuple_CheckExact(PyTuple_GET_ITEM(args, 1))
             && PyDict_CheckExact(PyTuple_GET_ITEM(args, 2))) {
        tag = ATOLL_TAG_NEWOBJ_EX;
        rest = Py_NewRef(PyTuple_GET_ITEM(args, 1));
        Py_SETREF(((PyTupleObject *)parts)->ob_item[ENC_AT_KWARGS],
                  Py_NewRef(PyTuple_GET_ITEM(args, 2)));
    }
    else {
        return ATOLL_TAG_REDUCE;
    }
    if (rest == NULL) {
        return 0;
    }
    PyObject *cls = Py_NewRef(PyTuple_GET_ITEM(args, 0));
    Py_SETREF(((PyTupleObject *)parts)->ob_item[ENC_AT_CALLABLE], cls);
    Py_SETREF(((PyTupleObject *)parts)->ob_item[ENC_AT_ARGS], rest);
    return tag;
}

static uint8_t
part_bits(PyObject *obj, PyObject *parts)
{
    uint8_t bits = 0;
    if (PyTuple_GET_ITEM(parts, ENC_AT_ITEMS) != Py_None) {
        bits |= ATOLL_PART_ITEMS;
    }
    if (PyTuple_GET_ITEM(parts, ENC_AT_PAIRS) != Py_None) {
        bits |= ATOLL_PART_PAIRS;
    }
    if (PyTuple_GET_ITEM(parts, ENC_AT_STATE) != Py_None) {
        bits |= ATOLL_PART_STATE;
        if (PyTuple_GET_ITEM(parts, ENC_AT_SETTER) != Py_None) {
            bits |= ATOLL_PART_SETTER;
        }
    }
    if (PyExceptionInstance_Check(obj)) {
        bits |= ATOLL_PART_CHAIN;
    }
    return bits;
}

/* Opens the object that is made as `reduced` says. */
static int
open_reduced(encoder *e, PyObject *obj, PyObject *reduced)
{
    if (e->reduces >= MOST_REDUCES) {
        PyErr_SetString(PyExc_RecursionError,
                        "objects are nested too deeply to be sent");
        return ENC_FAILED;
    }
    PyObject *parts = parts_of(reduced);
    unsigned tag = parts == NULL ? 0 : see_through(e, parts);
    if (tag == 0) {
        Py_XDECREF(parts);
        return enc_fail(e, obj);
    }
    enc_frame f = {.obj = obj,
                   .other = parts,
                   .kind = ENC_REDUCE,
                   .phase = ENC_CALLABLE,
                   .parts = part_bits(obj, parts)};
    f.memo = tag == ATOLL_TAG_NEWOBJ_EX;
    if (enc_room(e, ATOLL_WRITE_ROOM) == 0) {
        atoll_put_u8(&e->w, tag);
        e->at_root = false;
        e->child = PyTuple_GET_ITEM(parts, ENC_AT_CALLABLE);
        f.phase = ENC_ARGS;
        if (enc_push(e, &f) != NULL) {
            return ENC_OPEN; /* what is called holds something, or a name */
        }
    }
    Py_DECREF(parts);
    return ENC_FAILED;
}

/* Takes over reduced, which may be NULL with an exception. */
static int
put_reduced(encoder *e, PyObject *obj, PyObject *reduced)
{
    int result;
    if (reduced != NULL && PyUnicode_CheckExact(reduced)) {
        result = put_global_name(e, obj, reduced);
    }
    else if (reduced != NULL && PyTuple_CheckExact(reduced)) {
        result = open_reduced(e, obj, reduced);
    }
    else {
        if (reduced != NULL) {
            bad_reduce("neither a str nor a tuple");
        }
        result = enc_fail(e, obj);
    }
    Py_XDECREF(reduced);
    return result;
}

/* ---- the steps of an object ---- */

/* The object is made now, but for its contents. */
static int
put_made(encoder *e, enc_frame *f)
{
    uint32_t number = 0;
    if (enc_room(e, ATOLL_WRITE_ROOM) < 0) {
        return ENC_FAILED;
    }
    int met = enc_memo_late(e, f->obj, &number);
    if (met < 0) {
        return ENC_FAILED;
    }
    if (met > 0) {
        atoll_put_u8(&e->w, ATOLL_PART_REPLACED);
        atoll_put_varint(&e->w, number);
        f->phase = ENC_COMPLETE;
        return ENC_DONE;
    }
    atoll_put_u8(&e->w, f->parts);
    f->phase = ENC_ITEMS;
    return ENC_DONE;
}

/* The next value from the iterator at `at` into f->item: 1; 0 after the last
 * one, END is written; -1. */
static int
next_item(encoder *e, enc_frame *f, int at)
{
    PyObject *iterator = PyTuple_GET_ITEM(f->other, at);
    PyObject *last = f->item;
    f->item = NULL;
    Py_XDECREF(last);
    PyObject *item = PyIter_Next(iterator);
    f = &e->stack[e->depth - 1];
    if (item != NULL) {
        f->item = item;
        f->index++;
        return 1;
    }
    if (PyErr_Occurred()) {
        enc_fail(e, f->obj);
        return -1;
    }
    if (enc_room(e, ATOLL_WRITE_ROOM) < 0) {
        return -1;
    }
    f->index = 0;
    atoll_put_u8(&e->w, ATOLL_TAG_END);
    return 0;
}

static int
step_items(encoder *e, enc_frame *f)
{
    for (;;) {
        int more = next_item(e, f, ENC_AT_ITEMS);
        if (more <= 0) {
            f->phase = ENC_PAIRS;
            return more < 0 ? ENC_FAILED : ENC_DONE;
        }
        int result = enc_leaf(e, f->item);
        if (result != ENC_DONE) {
            return result;
        }
    }
}

static int
step_pairs(encoder *e, enc_frame *f)
{
    int result;
    for (;;) {
        if (f->phase == ENC_PAIRS) {
            int more = next_item(e, f, ENC_AT_PAIRS);
            if (more <= 0) {
                f->phase = ENC_SETTER;
                return more < 0 ? ENC_FAILED : ENC_DONE;
            }
            if (!PyTuple_CheckExact(f->item)
                || PyTuple_GET_SIZE(f->item) != 2) {
                bad_reduce("dict items that are not pairs");
                return enc_fail(e, f->obj);
            }
            f->phase = ENC_PAIR_VALUE;
            result = enc_leaf(e, PyTuple_GET_ITEM(f->item, 0));
            if (result != ENC_DONE) {
                return result;
            }
        }
        f->phase = ENC_PAIRS;
        result = enc_leaf(e, PyTuple_GET_ITEM(f->item, 1));
        if (result != ENC_DONE) {
            return result;
        }
    }
}

/* Writes the part at `at` and goes on with the next phase. */
static int
step_part(encoder *e, enc_frame *f, int at, uint8_t next)
{
    f->phase = next;
    return enc_leaf(e, PyTuple_GET_ITEM(f->other, at));
}

/* What an exception has beside what its own __reduce__ gave. */
static int
step_chain(encoder *e, enc_frame *f)
{
    PyBaseExceptionObject *exc = (PyBaseExceptionObject *)f->obj;
    PyObject *value = NULL;
    switch (f->phase++) {
    case ENC_CAUSE:
        value = exc->cause;
        break;
    case ENC_CONTEXT:
        value = exc->context;
        break;
    case ENC_SUPPRESS:
        value = exc->suppress_context ? Py_True : Py_False;
        break;
    default:
        if (exc->dict != NULL) {
            value = PyDict_GetItemWithError(exc->dict, e->part->names.notes);
        }
    }
    Py_XSETREF(f->item, Py_NewRef(value == NULL ? Py_None : value));
    return enc_leaf(e, f->item);
}

int
enc_step_reduce(encoder *e, enc_frame *f)
{
    int result = ENC_DONE;
    while (result == ENC_DONE) {
        switch (f->phase) {
        case ENC_ARGS:
            result = step_part(e, f, ENC_AT_ARGS,
                               f->memo ? ENC_KWARGS : ENC_MADE);
            break;
        case ENC_KWARGS:
            result = step_part(e, f, ENC_AT_KWARGS, ENC_MADE);
            break;
        case ENC_MADE:
            result = put_made(e, f);
            break;
        case ENC_ITEMS:
            if (f->parts & ATOLL_PART_ITEMS) {
                result = step_items(e, f);
            }
            else {
                f->phase = ENC_PAIRS;
            }
            break;
        case ENC_PAIRS:
        case ENC_PAIR_VALUE:
            if (f->parts & ATOLL_PART_PAIRS) {
                result = step_pairs(e, f);
            }
            else {
                f->phase = ENC_SETTER;
            }
            break;
        case ENC_SETTER:
            f->phase = ENC_STATE;
            if (f->parts & ATOLL_PART_SETTER) {
                result = step_part(e, f, ENC_AT_SETTER, ENC_STATE);
            }
            break;
        case ENC_STATE:
            f->phase = ENC_CAUSE;
            if (f->parts & ATOLL_PART_STATE) {
                result = step_part(e, f, ENC_AT_STATE, ENC_CAUSE);
            }
            break;
        case ENC_COMPLETE:
            return ENC_DONE;
        default:
            if (!(f->parts & ATOLL_PART_CHAIN)) {
                return ENC_DONE;
            }
            result = step_chain(e, f);
        }
    }
    return result;
}

/* ---- which way ---- */

static int
load_copyreg(transfer_part *part)
{
    if (part->slotnames != NULL) {
        return 0;
    }
    PyObject *copyreg = PyImport_ImportModule("copyreg");
    if (copyreg == NULL) {
        return -1;
    }
    PyObject *table = PyObject_GetAttrString(copyreg, "dispatch_table");
    PyObject *newobj = PyObject_GetAttrString(copyreg, "__newobj__");
    PyObject *newobj_ex = PyObject_GetAttrString(copyreg, "__newobj_ex__");
    PyObject *slotnames = PyObject_GetAttrString(copyreg, "_slotnames");
    Py_DECREF(copyreg);
    if (table == NULL || newobj == NULL || newobj_ex == NULL
        || slotnames == NULL) {
        Py_XDECREF(table);
        Py_XDECREF(newobj);
        Py_XDECREF(newobj_ex);
        Py_XDECREF(slotnames);
        return -1;
    }
    Py_XSETREF(part->dispatch_table, table);
    Py_XSETREF(part->newobj, newobj);
    Py_XSETREF(part->newobj_ex, newobj_ex);
    Py_XSETREF(part->slotnames, slotnames);
    return 0;
}

static int
put_buffer(encoder *e, PyObject *obj)
{
    const Py_buffer *view = PyPickleBuffer_GetBuffer(obj);
    if (view == NULL) {
        return enc_fail(e, obj);
    }
    if (!PyBuffer_IsContiguous(view, 'A')) {
        PyErr_SetString(PyExc_ValueError, "the buffer is not contiguous");
        return enc_fail(e, obj);
    }
    return enc_put_payload(
        e, obj, view->readonly ? ATOLL_TAG_BYTES : ATOLL_TAG_BYTEARRAY,
        view->buf, (size_t)view->len);
}

/* atoll._byvalue.reduce(obj): what a definition holds.  Owns: *out_reduced.
 * 1, 0 if it leaves obj to us, -1. */
static int
reduce_by_value(encoder *e, PyObject *obj, PyObject **out_reduced)
{
    transfer_part *part = e->part;
    if (part->byvalue_reduce == NULL) {
        PyObject *function = ext_state_python("atoll._byvalue", "reduce");
        if (function == NULL) {
            return -1;
        }
        Py_XSETREF(part->byvalue_reduce, function);
    }
    PyObject *reduced = PyObject_CallOneArg(part->byvalue_reduce, obj);
    if (reduced == NULL) {
        return -1;
    }
    if (reduced == Py_NotImplemented) {
        Py_DECREF(reduced);
        return 0;
    }
    *out_reduced = reduced;
    return 1;
}

/* "module:qualified name" */
static int
put_reference(encoder *e, PyObject *obj, PyObject *text)
{
    Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    Py_ssize_t colon = PyUnicode_FindChar(text, ':', 0, length, 1);
    PyObject *module = PyUnicode_Substring(text, 0, colon < 0 ? 0 : colon);
    PyObject *name = PyUnicode_Substring(text, colon + 1, length);
    int result = module == NULL || name == NULL
                     ? ENC_FAILED
                     : put_global(e, obj, module, name);
    Py_XDECREF(module);
    Py_XDECREF(name);
    return result;
}

static int
put_in_definition(encoder *e, PyObject *obj, int *out_result)
{
    PyObject *reduced;
    int found = reduce_by_value(e, obj, &reduced);
    if (found > 0) {
        if (PyUnicode_CheckExact(reduced)) {
            *out_result = put_reference(e, obj, reduced);
            Py_DECREF(reduced);
        }
        else {
            *out_result = put_reduced(e, obj, reduced);
        }
    }
    return found;
}

static int
put_definition(encoder *e, PyObject *obj, int *out_result)
{
    atoll_def *def;
    int found = ext_function_define(e->st, obj, &def);
    if (found > 0) {
        *out_result
            = put_attachment(e, obj, ATOLL_TAG_DEF, -1, &atoll_def_ops, def);
        return 1;
    }
    if (found == 0) {
        return 0;
    }
    /* The definition names places by the object's qualified name. */
    PyObject *error = PyErr_GetRaisedException();
    PyObject *name = PyObject_GetAttr(obj, e->part->names.qualname);
    PyErr_Clear();
    PyErr_SetRaisedException(error);
    *out_result = name != NULL && PyUnicode_Check(name)
                      ? enc_fail_inside(e, obj, name)
                      : enc_fail(e, obj);
    Py_XDECREF(name);
    return 1;
}

/* A class or function that nobody has defined: by its name. */
static int
put_by_name(encoder *e, PyObject *obj)
{
    PyObject *name = PyObject_GetAttr(obj, e->part->names.qualname);
    if (name == NULL) {
        return enc_fail(e, obj);
    }
    int result = put_named(e, obj, name);
    Py_DECREF(name);
    return result;
}

/* copyreg's table, then __reduce_ex__. */
static int
put_by_protocol(encoder *e, PyObject *obj)
{
    PyObject *reducer;
    int found = ext_compat_dict_get(e->part->dispatch_table,
                                    (PyObject *)Py_TYPE(obj), &reducer);
    if (found < 0) {
        return enc_fail(e, obj);
    }
    if (found > 0) {
        PyObject *reduced = PyObject_CallOneArg(reducer, obj);
        Py_DECREF(reducer);
        return put_reduced(e, obj, reduced);
    }
    if (PyType_Check(obj) || PyFunction_Check(obj)) {
        return put_by_name(e, obj);
    }
    return put_reduced(e, obj,
                       PyObject_CallMethodOneArg(obj, e->part->names.reduce_ex,
                                                 e->part->names.protocol));
}

/* A function or class that is known: nothing runs, so nothing need be held.
 * The first ones, what a call calls above all, do without the memo; should
 * they come again, their definition serves as well. */
static int
put_known(encoder *e, PyObject *obj, atoll_def *def)
{
    uint32_t index;
    atoll_def_acquire(def);
    if (e->memo != NULL || e->memo_base >= 2) {
        return put_attachment(e, obj, ATOLL_TAG_DEF, -1, &atoll_def_ops, def);
    }
    if (enc_room(e, ATOLL_WRITE_ROOM) < 0
        || atoll_frame_attach(e->w.frame, &atoll_def_ops, def, &index)
               != ATOLL_OK) {
        atoll_def_release(def);
        return enc_no_memory();
    }
    e->memo_base++; /* the receiver numbers it */
    e->at_root = false;
    atoll_put_u8(&e->w, ATOLL_TAG_DEF);
    atoll_put_varint(&e->w, index);
    return ENC_DONE;
}

/* ---- nothing but a class and attributes ---- */

/* The class of an instance.  ENC_DONE or ENC_FAILED. */
static int
put_class(encoder *e, PyObject *cls)
{
    int result = ENC_FAILED;
    int met = enc_find(e, cls);
    if (met != 0) {
        return met < 0 ? ENC_FAILED : ENC_DONE;
    }
    atoll_def *def = ext_function_known(e->st, cls);
    if (def != NULL) {
        return put_known(e, cls, def);
    }
    enc_become_impure(e);
    return put_definition(e, cls, &result) == 0 ? put_by_name(e, cls) : result;
}

/* The common case of what follows, short: what object.__reduce_ex__ would
 * say is known, so it is not asked. */
static int
put_instance(encoder *e, PyObject *obj)
{
    uint32_t number;
    if (enc_room(e, ATOLL_WRITE_ROOM) < 0) {
        return ENC_FAILED;
    }
    atoll_put_u8(&e->w, ATOLL_TAG_INSTANCE);
    if (put_class(e, (PyObject *)Py_TYPE(obj)) == ENC_FAILED
        || enc_memo_late(e, obj, &number) < 0
        || enc_room(e, ATOLL_WRITE_ROOM) < 0) {
        return ENC_FAILED;
    }
    PyObject *dict = PyObject_GenericGetDict(obj, NULL);
    if (dict == NULL) {
        return ENC_FAILED;
    }
    enc_frame f
        = {.obj = dict, .size = PyDict_GET_SIZE(dict), .kind = ENC_ATTRIBUTES};
    atoll_put_varint(&e->w, (uint64_t)f.size);
    int result = enc_run(e, &f);
    Py_DECREF(dict);
    return result;
}

static bool
is_plain_instance(encoder *e, PyObject *obj)
{
    if ((e->flags & EXT_ENCODE_DEFINITION)
        || !ext_is_plain(e->part, Py_TYPE(obj))) {
        return false;
    }
    int found
        = PyDict_Contains(e->part->dispatch_table, (PyObject *)Py_TYPE(obj));
    if (found < 0) {
        PyErr_Clear(); /* then the long way will find out */
    }
    return found == 0;
}

/* Python code runs from here on; obj is held. */
static int
put_impure(encoder *e, PyObject *obj)
{
    if (load_copyreg(e->part) < 0) {
        return enc_fail(e, obj);
    }
    int result = ENC_FAILED;
    int found = e->flags & EXT_ENCODE_DEFINITION
                    ? put_in_definition(e, obj, &result)
                    : put_definition(e, obj, &result);
    if (found == 0) {
        if (PyPickleBuffer_Check(obj)) {
            return put_buffer(e, obj);
        }
        if (PyExceptionInstance_Check(obj)) {
            found = enc_exception(e, obj, &result);
        }
    }
    if (found != 0) {
        return found < 0 ? enc_fail(e, obj) : result;
    }
    return put_by_protocol(e, obj);
}

int
enc_other(encoder *e, PyObject *obj)
{
    int met = enc_find(e, obj);
    if (met != 0) {
        return met < 0 ? ENC_FAILED : ENC_DONE;
    }
    if (!(e->flags & EXT_ENCODE_DEFINITION)) {
        atoll_def *def = ext_function_known(e->st, obj);
        if (ATOLL_LIKELY(def != NULL)) {
            return put_known(e, obj, def);
        }
    }
    e->at_root = false;
    Py_INCREF(obj);
    if (e->part->dispatch_table != NULL && is_plain_instance(e, obj)) {
        int done = put_instance(e, obj);
        Py_DECREF(obj);
        return done;
    }
    enc_become_impure(e);
    PyTypeObject *type = Py_TYPE(obj);
    int result = ENC_OPEN;
    if (type == &PyMemoryView_Type && ext_module_load_all(e->st) < 0) {
        Py_DECREF(obj);
        return ENC_FAILED;
    }
    for (int i = 0; i < e->part->n_crossings; i++) {
        if (e->part->crossings[i].type == type) {
            result = put_crossing(e, obj, i);
            break;
        }
    }
    if (result == ENC_OPEN) {
        result = put_impure(e, obj);
    }
    Py_DECREF(obj);
    return result;
}
