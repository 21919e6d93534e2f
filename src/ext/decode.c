/* Frames to objects: the native values, and the stack on which they wait.
 *
 * The bytes are not trusted: the reader (core/wire.h) checks every read, and
 * whatever it finds, the objects made are ones that CPython could have made.
 * No count leads to an allocation of more than some bytes for each byte that
 * is left.
 *
 * Objects under construction can be seen, by the garbage collector and by
 * the code that rebuilds other objects.  So a list has at every moment the
 * length that is filled; a tuple or slice that has a memo number, and hence
 * may be referred to, is first filled with None.
 *
 * A tuple that is referred to before it is full ("exposed") must not be
 * hashed: its hash would change.  While there is one, dict and set insertions
 * of what might contain it wait until it is full.  (For frozensets, which
 * cannot wait, the encoder makes sure that this does not happen.)
 */
#include "transfer_impl.h"

int
dec_corrupt(decoder *d)
{
    ext_error_format(d->st, EXT_ERR_INTERPRETER,
                     "a message between interpreters is corrupt");
    return DEC_FAILED;
}

/* ---- the stack and the memo ---- */

static bool
grow_stack(decoder *d)
{
    size_t cap = d->cap * 2;
    bool is_inline = d->stack == d->inline_stack;
    dec_frame *stack = atoll_realloc(is_inline ? NULL : d->stack,
                                     cap * sizeof(*stack));
    if (stack == NULL) {
        return false;
    }
    if (is_inline) {
        memcpy(stack, d->inline_stack, sizeof(d->inline_stack));
    }
    d->stack = stack;
    d->cap = cap;
    return true;
}

dec_frame *
dec_push(decoder *d, dec_kind kind, PyObject *obj)
{
    if (ATOLL_UNLIKELY(d->depth == d->cap) && !grow_stack(d)) {
        Py_XDECREF(obj);
        PyErr_NoMemory();
        return NULL;
    }
    dec_frame *f = &d->stack[d->depth++];
    f->obj = obj;
    f->key = NULL;
    f->index = 0;
    f->size = 0;
    f->memo = 0;
    f->kind = (uint8_t)kind;
    f->phase = 0;
    f->has_memo = false;
    f->exposed = false;
    f->deferred = false;
    return f;
}

int
dec_memo(decoder *d, PyObject *obj)
{
    if (ATOLL_UNLIKELY(d->n_memo == d->memo_cap)) {
        uint32_t cap = d->memo_cap * 2;
        bool is_inline = d->memo == d->inline_memo;
        PyObject **memo = cap < d->memo_cap
                              ? NULL
                              : atoll_realloc(is_inline ? NULL : d->memo,
                                              cap * sizeof(*memo));
        if (memo == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        if (is_inline) {
            memcpy(memo, d->inline_memo, sizeof(d->inline_memo));
        }
        d->memo = memo;
        d->memo_cap = cap;
    }
    d->memo[d->n_memo++] = Py_NewRef(obj);
    return 0;
}

/* A tuple or slice that is not full yet stands in the memo as the number of
 * its frame with bit 0 set, which no address has. */
static inline PyObject *
filling_entry(size_t frame)
{
    return (PyObject *)((uintptr_t)frame << 1 | 1);
}

static inline bool
is_filling(PyObject *entry)
{
    return ((uintptr_t)entry & 1) != 0;
}

static int
get_ref(decoder *d, PyObject **out)
{
    uint64_t number;
    if (!atoll_get_varint(&d->r, &number) || number >= d->n_memo) {
        return dec_corrupt(d);
    }
    PyObject *entry = d->memo[number];
    if (ATOLL_UNLIKELY(is_filling(entry))) {
        dec_frame *f = &d->stack[(uintptr_t)entry >> 1];
        d->exposed += !f->exposed;
        f->exposed = true;
        entry = f->obj;
    }
    *out = Py_NewRef(entry);
    return DEC_DONE;
}

/* ---- insertions that wait ---- */

static int
defer(decoder *d, PyObject *container, PyObject *key, PyObject *value)
{
    if (d->deferred == NULL) {
        d->deferred = PyList_New(0);
        if (d->deferred == NULL) {
            return -1;
        }
    }
    PyObject *item = value == NULL ? PyTuple_Pack(2, container, key)
                                   : PyTuple_Pack(3, container, key, value);
    if (item == NULL) {
        return -1;
    }
    int result = PyList_Append(d->deferred, item);
    Py_DECREF(item);
    return result;
}

static int
run_deferred(decoder *d)
{
    PyObject *list = d->deferred;
    d->deferred = NULL;
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyList_GET_SIZE(list); i++) {
        PyObject *item = PyList_GET_ITEM(list, i);
        PyObject *container = PyTuple_GET_ITEM(item, 0);
        PyObject *key = PyTuple_GET_ITEM(item, 1);
        result = PyTuple_GET_SIZE(item) == 2
                     ? PySet_Add(container, key)
                     : PyDict_SetItem(container, key,
                                      PyTuple_GET_ITEM(item, 2));
    }
    Py_DECREF(list);
    return result;
}

/* Its hash depends on nothing that is still being built. */
static inline bool
is_plain(PyObject *key)
{
    PyTypeObject *type = Py_TYPE(key);
    return type == &PyUnicode_Type || type == &PyLong_Type
           || type == &PyFloat_Type || type == &PyBytes_Type
           || key == Py_None || type == &PyBool_Type;
}

static inline bool
must_wait(decoder *d, dec_frame *f, PyObject *key)
{
    if (ATOLL_LIKELY(d->exposed == 0) || (!f->deferred && is_plain(key))) {
        return false;
    }
    f->deferred = true; /* what follows waits, too: it keeps its order */
    return true;
}

/* ---- leaves ---- */

static inline size_t
key_slot(const uint8_t *data, size_t size)
{
    const uint64_t mix = UINT64_C(0x9E3779B97F4A7C15);
    uint64_t a = 0, hash = size * mix;
    if (size >= 8) {
        for (size_t i = 0; i + 8 < size; i += 8) {
            memcpy(&a, data + i, 8);
            hash = (hash ^ a) * mix;
            hash ^= hash >> 29;
        }
        memcpy(&a, data + size - 8, 8);
    }
    else if (size >= 4) {
        uint32_t first, last;
        memcpy(&first, data, 4);
        memcpy(&last, data + size - 4, 4);
        a = (uint64_t)first << 32 | last;
    }
    else if (size > 0) {
        a = (uint64_t)data[0] << 16 | (uint64_t)data[size / 2] << 8
            | data[size - 1];
    }
    hash = (hash ^ a) * mix;
    return (size_t)(hash >> 40) & (EXT_KEY_CACHE - 1);
}

static PyObject *
new_ascii(decoder *d, const uint8_t *data, size_t size)
{
    if (!atoll_str_is_exact(ATOLL_STR_ASCII, data, size)) {
        dec_corrupt(d);
        return NULL;
    }
    if (size == 1) {
        return PyUnicode_FromOrdinal(data[0]); /* there is one of each */
    }
    PyObject *str = PyUnicode_New((Py_ssize_t)size, 0x7F);
    if (str != NULL) {
        memcpy(PyUnicode_1BYTE_DATA(str), data, size);
    }
    return str;
}

static PyObject *
new_key(decoder *d, PyObject **entry, const uint8_t *data, size_t size,
        bool interned)
{
    PyObject *str = new_ascii(d, data, size);
    if (str == NULL) {
        return NULL;
    }
    if (interned) {
        PyUnicode_InternInPlace(&str);
    }
    Py_XSETREF(*entry, Py_NewRef(str));
    return str;
}

static int
get_key(decoder *d, PyObject **out)
{
    unsigned head;
    const uint8_t *data;
    if (!atoll_get_u8(&d->r, &head) || (head & 0x7F) > ATOLL_KEY_MAX
        || !atoll_get_raw(&d->r, head & 0x7F, &data)) {
        return dec_corrupt(d);
    }
    size_t size = head & 0x7F;
    PyObject **entry = &d->part->keys[key_slot(data, size)];
    PyObject *known = *entry;
    if (ATOLL_LIKELY(known != NULL)
        && (size_t)PyUnicode_GET_LENGTH(known) == size
        && memcmp(PyUnicode_1BYTE_DATA(known), data, size) == 0
        && (PyUnicode_CHECK_INTERNED(known) || !(head & 0x80))) {
        *out = Py_NewRef(known);
        return DEC_DONE;
    }
    *out = new_key(d, entry, data, size, (head & 0x80) != 0);
    return *out == NULL ? DEC_FAILED : DEC_DONE;
}

static int
get_ascii(decoder *d, PyObject **out)
{
    unsigned size;
    const uint8_t *data;
    if (!atoll_get_u8(&d->r, &size) || !atoll_get_raw(&d->r, size, &data)) {
        return dec_corrupt(d);
    }
    *out = new_ascii(d, data, size);
    return *out == NULL ? DEC_FAILED : DEC_DONE;
}

static int
get_str(decoder *d, bool pinned, PyObject **out)
{
    unsigned kind;
    uint64_t length;
    if (!atoll_get_u8(&d->r, &kind) || !atoll_get_varint(&d->r, &length)
        || length > (size_t)PY_SSIZE_T_MAX / 4) {
        return dec_corrupt(d);
    }
    Py_UCS4 largest;
    switch (kind) {
    case ATOLL_STR_ASCII:
        largest = 0x7F;
        break;
    case ATOLL_STR_UCS1:
        largest = 0xFF;
        break;
    case ATOLL_STR_UCS2:
        largest = 0xFFFF;
        break;
    case ATOLL_STR_UCS4:
        largest = 0x10FFFF;
        break;
    default:
        return dec_corrupt(d);
    }
    size_t size = (size_t)length * (kind & 7);
    const void *data;
    if (pinned) {
        data = atoll_get_attachment(&d->r, d->frame, &atoll_pin_ops);
        if (data == NULL) {
            return dec_corrupt(d);
        }
    }
    else {
        const uint8_t *raw;
        if (!atoll_get_raw(&d->r, size, &raw)
            || !atoll_str_is_exact((atoll_str_kind)kind, raw,
                                   (size_t)length)) {
            return dec_corrupt(d);
        }
        data = raw;
    }
    *out = PyUnicode_New((Py_ssize_t)length, largest);
    if (*out == NULL) {
        return DEC_FAILED;
    }
    memcpy(PyUnicode_DATA(*out), data, size);
    return DEC_DONE;
}

static int
get_bytes(decoder *d, unsigned tag, PyObject **out)
{
    uint64_t size;
    const void *data = NULL;
    if (!atoll_get_varint(&d->r, &size) || size > PY_SSIZE_T_MAX) {
        return dec_corrupt(d);
    }
    if (tag == ATOLL_TAG_PIN_BYTES) {
        data = atoll_get_attachment(&d->r, d->frame, &atoll_pin_ops);
    }
    else {
        const uint8_t *raw;
        data = atoll_get_raw(&d->r, (size_t)size, &raw) ? raw : NULL;
    }
    if (data == NULL) {
        return dec_corrupt(d);
    }
    *out = tag == ATOLL_TAG_BYTEARRAY
               ? PyByteArray_FromStringAndSize(data, (Py_ssize_t)size)
               : PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
    return *out == NULL ? DEC_FAILED : DEC_DONE;
}

static int
get_big_int(decoder *d, PyObject **out)
{
    size_t size;
    const uint8_t *data;
    if (!atoll_get_count(&d->r, 1, &size)
        || !atoll_get_raw(&d->r, size, &data)) {
        return dec_corrupt(d);
    }
    *out = ext_compat_long_read(data, size);
    return *out == NULL ? DEC_FAILED : DEC_DONE;
}

/* The ints behind their tags. */
static int
get_int(decoder *d, unsigned tag, PyObject **out)
{
    int16_t i16;
    int32_t i32;
    int64_t i64;
    switch (tag) {
    case ATOLL_TAG_INT16:
        if (!atoll_get_copy(&d->r, &i16, sizeof(i16))) {
            return dec_corrupt(d);
        }
        *out = PyLong_FromLong(i16);
        break;
    case ATOLL_TAG_INT32:
        if (!atoll_get_copy(&d->r, &i32, sizeof(i32))) {
            return dec_corrupt(d);
        }
        *out = PyLong_FromLong(i32);
        break;
    case ATOLL_TAG_INT64:
        if (!atoll_get_copy(&d->r, &i64, sizeof(i64))) {
            return dec_corrupt(d);
        }
        *out = PyLong_FromLongLong(i64);
        break;
    case ATOLL_TAG_BIGINT:
        return get_big_int(d, out);
    default:
        if (!(tag & ATOLL_TAG_INT)) {
            return dec_corrupt(d);
        }
        *out = Py_NewRef(d->part->small_ints[tag & ~ATOLL_TAG_INT]);
    }
    return *out == NULL ? DEC_FAILED : DEC_DONE;
}

static int
get_range(decoder *d, PyObject **out)
{
    PyObject *parts[3] = {NULL, NULL, NULL};
    int result = DEC_DONE;
    for (int i = 0; i < 3 && result == DEC_DONE; i++) {
        unsigned tag;
        result = atoll_get_u8(&d->r, &tag) ? get_int(d, tag, &parts[i])
                                           : dec_corrupt(d);
    }
    if (result == DEC_DONE) {
        *out = PyObject_CallFunctionObjArgs((PyObject *)&PyRange_Type,
                                            parts[0], parts[1], parts[2],
                                            NULL);
        if (*out == NULL) {
            result = DEC_FAILED;
            if (PyErr_ExceptionMatches(PyExc_ValueError)) {
                dec_corrupt(d); /* a step of 0 */
            }
        }
    }
    for (int i = 0; i < 3; i++) {
        Py_XDECREF(parts[i]);
    }
    return result;
}

static int
get_double(decoder *d, unsigned tag, PyObject **out)
{
    double real;
    Py_complex both;
    if (tag == ATOLL_TAG_FLOAT) {
        if (!atoll_get_copy(&d->r, &real, sizeof(real))) {
            return dec_corrupt(d);
        }
        *out = PyFloat_FromDouble(real);
    }
    else {
        if (!atoll_get_copy(&d->r, &both, sizeof(both))) {
            return dec_corrupt(d);
        }
        *out = PyComplex_FromCComplex(both);
    }
    return *out == NULL ? DEC_FAILED : DEC_DONE;
}

/* ---- containers ---- */

static int
open_container(decoder *d, unsigned tag, bool memo)
{
    size_t size = 3;
    PyObject *obj;
    dec_kind kind;
    size_t least = tag == ATOLL_TAG_DICT ? 2 : 1;
    if (tag != ATOLL_TAG_SLICE && !atoll_get_count(&d->r, least, &size)) {
        return dec_corrupt(d);
    }
    switch (tag) {
    case ATOLL_TAG_LIST:
        kind = DEC_LIST;
        obj = PyList_New((Py_ssize_t)size);
        if (obj != NULL) {
            Py_SET_SIZE(obj, 0); /* grows into what it has */
        }
        break;
    case ATOLL_TAG_TUPLE:
        kind = DEC_TUPLE;
        if (size == 0) {
            return dec_corrupt(d); /* that one is everybody's */
        }
        obj = PyTuple_New((Py_ssize_t)size);
        for (size_t i = 0; memo && obj != NULL && i < size; i++) {
            PyTuple_SET_ITEM(obj, (Py_ssize_t)i, Py_NewRef(Py_None));
        }
        break;
    case ATOLL_TAG_DICT:
        kind = DEC_DICT;
        obj = ext_compat_dict_new((Py_ssize_t)size);
        break;
    case ATOLL_TAG_SET:
        kind = DEC_SET;
        obj = PySet_New(NULL);
        break;
    case ATOLL_TAG_FROZENSET:
        kind = DEC_FROZENSET;
        obj = PyFrozenSet_New(NULL);
        break;
    default:
        kind = DEC_SLICE;
        obj = PySlice_New(NULL, NULL, NULL);
    }
    dec_frame *f = obj == NULL ? NULL : dec_push(d, kind, obj);
    if (f == NULL) {
        return DEC_FAILED;
    }
    f->size = (Py_ssize_t)size;
    f->has_memo = memo;
    if (memo && kind != DEC_FROZENSET) {
        f->memo = d->n_memo;
        if (dec_memo(d, obj) < 0) {
            return DEC_FAILED;
        }
        if (kind == DEC_TUPLE || kind == DEC_SLICE) {
            d->memo[f->memo] = filling_entry(d->depth - 1);
            Py_DECREF(obj);
        }
    }
    return DEC_PUSHED;
}

static int
get_leaf(decoder *d, unsigned tag, PyObject **out)
{
    switch (tag) {
    case ATOLL_TAG_KEY:
        return get_key(d, out);
    case ATOLL_TAG_ASCII:
        return get_ascii(d, out);
    case ATOLL_TAG_STR:
    case ATOLL_TAG_PIN_STR:
        return get_str(d, tag == ATOLL_TAG_PIN_STR, out);
    case ATOLL_TAG_INT16:
    case ATOLL_TAG_INT32:
    case ATOLL_TAG_INT64:
    case ATOLL_TAG_BIGINT:
        return get_int(d, tag, out);
    case ATOLL_TAG_FLOAT:
    case ATOLL_TAG_COMPLEX:
        return get_double(d, tag, out);
    case ATOLL_TAG_NONE:
        *out = Py_NewRef(Py_None);
        return DEC_DONE;
    case ATOLL_TAG_TRUE:
        *out = Py_NewRef(Py_True);
        return DEC_DONE;
    case ATOLL_TAG_FALSE:
        *out = Py_NewRef(Py_False);
        return DEC_DONE;
    case ATOLL_TAG_BYTES:
    case ATOLL_TAG_PIN_BYTES:
    case ATOLL_TAG_BYTEARRAY:
        return get_bytes(d, tag, out);
    case ATOLL_TAG_EMPTY_TUPLE:
        *out = PyTuple_New(0);
        return *out == NULL ? DEC_FAILED : DEC_DONE;
    case ATOLL_TAG_RANGE:
        return get_range(d, out);
    case ATOLL_TAG_ELLIPSIS:
        *out = Py_NewRef(Py_Ellipsis);
        return DEC_DONE;
    case ATOLL_TAG_NOTIMPLEMENTED:
        *out = Py_NewRef(Py_NotImplemented);
        return DEC_DONE;
    default:
        return dec_corrupt(d);
    }
}

int
dec_value(decoder *d, PyObject **out)
{
    unsigned tag;
    if (!atoll_get_u8(&d->r, &tag)) {
        return dec_corrupt(d);
    }
    if (tag & ATOLL_TAG_INT) {
        *out = Py_NewRef(d->part->small_ints[tag & ~ATOLL_TAG_INT]);
        return DEC_DONE;
    }
    if (tag == ATOLL_TAG_REF) {
        return get_ref(d, out);
    }
    unsigned base = tag & ~ATOLL_TAG_MEMO;
    if (base >= ATOLL_TAG_TUPLE && base <= ATOLL_TAG_SLICE) {
        return open_container(d, base, base != tag);
    }
    int result = get_leaf(d, base, out);
    if (base != tag && result == DEC_DONE && dec_memo(d, *out) < 0) {
        Py_CLEAR(*out);
        return DEC_FAILED;
    }
    return result;
}

/* ---- filling ---- */

/* Each takes over `value`, the item that has just been completed (NULL: none
 * yet), and goes on reading until the object of the top frame is complete
 * (DEC_DONE) or an item has pushed a frame of its own (DEC_PUSHED). */

/* Appends one, taking it over.  The list may have been handed to Python code
 * and changed since, so its own state decides. */
static inline int
append(PyObject *obj, PyObject *value)
{
    PyListObject *list = (PyListObject *)obj;
    Py_ssize_t size = PyList_GET_SIZE(obj);
    if (ATOLL_LIKELY(size < list->allocated)) {
        list->ob_item[size] = value;
        Py_SET_SIZE(list, size + 1);
        return 0;
    }
    int result = PyList_Append(obj, value);
    Py_DECREF(value);
    return result;
}

/* Appends small ints as long as they come; tells how many. */
static inline Py_ssize_t
append_small_ints(decoder *d, PyObject *obj, Py_ssize_t most)
{
    PyListObject *list = (PyListObject *)obj;
    Py_ssize_t size = PyList_GET_SIZE(obj);
    if (most > list->allocated - size) {
        most = list->allocated - size;
    }
    if (most > d->r.end - d->r.at) {
        most = d->r.end - d->r.at;
    }
    const uint8_t *at = d->r.at;
    PyObject **items = list->ob_item + size;
    PyObject *const *ints = d->part->small_ints;
    Py_ssize_t i = 0;
    for (; i < most && (at[i] & ATOLL_TAG_INT); i++) {
        items[i] = Py_NewRef(ints[at[i] & ~ATOLL_TAG_INT]);
    }
    Py_SET_SIZE(list, size + i);
    d->r.at += i;
    return i;
}

static int
fill_list(decoder *d, dec_frame *f, PyObject *value)
{
    if (value != NULL) {
        f->index++;
        if (append(f->obj, value) < 0) {
            return DEC_FAILED;
        }
    }
    while (f->index < f->size) {
        Py_ssize_t run = append_small_ints(d, f->obj, f->size - f->index);
        f->index += run;
        if (f->index == f->size) {
            break;
        }
        int result = dec_value(d, &value);
        if (result != DEC_DONE) {
            return result;
        }
        f->index++;
        if (append(f->obj, value) < 0) {
            return DEC_FAILED;
        }
    }
    return DEC_DONE;
}

/* A tuple or slice is full: it is exposed no more. */
static int
end_filling(decoder *d, dec_frame *f)
{
    if (!f->has_memo) {
        return DEC_DONE;
    }
    d->memo[f->memo] = Py_NewRef(f->obj);
    if (f->kind == DEC_TUPLE && !PyObject_GC_IsTracked(f->obj)) {
        /* A collection saw it when it held nothing but None. */
        PyObject_GC_Track(f->obj);
    }
    if (f->exposed) {
        f->exposed = false;
        if (--d->exposed == 0 && d->deferred != NULL) {
            return run_deferred(d) < 0 ? DEC_FAILED : DEC_DONE;
        }
    }
    return DEC_DONE;
}

static int
fill_tuple(decoder *d, dec_frame *f, PyObject *value)
{
    PyObject **items = ((PyTupleObject *)f->obj)->ob_item;
    for (;;) {
        if (value != NULL) {
            Py_XSETREF(items[f->index], value);
            f->index++;
        }
        if (f->index == f->size) {
            return end_filling(d, f);
        }
        int result = dec_value(d, &value);
        if (result != DEC_DONE) {
            return result;
        }
    }
}

static int
fill_slice(decoder *d, dec_frame *f, PyObject *value)
{
    PySliceObject *slice = (PySliceObject *)f->obj;
    PyObject **parts[] = {&slice->start, &slice->stop, &slice->step};
    for (;;) {
        if (value != NULL) {
            Py_SETREF(*parts[f->index], value);
            f->index++;
        }
        if (f->index == 3) {
            return end_filling(d, f);
        }
        int result = dec_value(d, &value);
        if (result != DEC_DONE) {
            return result;
        }
    }
}

static int
fill_dict(decoder *d, dec_frame *f, PyObject *value)
{
    for (;;) {
        if (f->key == NULL) {
            if (value == NULL) {
                if (f->index == f->size) {
                    return DEC_DONE;
                }
                int result = dec_value(d, &value);
                if (result != DEC_DONE) {
                    return result;
                }
            }
            f->key = value;
            value = NULL;
        }
        if (value == NULL) {
            int result = dec_value(d, &value);
            if (result != DEC_DONE) {
                return result;
            }
        }
        PyObject *key = f->key;
        f->key = NULL;
        f->index++;
        int status = must_wait(d, f, key)
                         ? defer(d, f->obj, key, value)
                         : PyDict_SetItem(f->obj, key, value);
        Py_DECREF(key);
        Py_DECREF(value);
        if (status < 0) {
            return DEC_FAILED;
        }
        value = NULL;
    }
}

/* What stands behind a frozenset that has a number. */
static int
end_frozenset(decoder *d, dec_frame *f)
{
    unsigned tag;
    uint64_t number;
    if (!f->has_memo) {
        return DEC_DONE;
    }
    if (!atoll_get_u8(&d->r, &tag)) {
        return dec_corrupt(d);
    }
    if (tag == ATOLL_TAG_END) {
        return dec_memo(d, f->obj) < 0 ? DEC_FAILED : DEC_DONE;
    }
    if (tag != ATOLL_TAG_REPLACED || !atoll_get_varint(&d->r, &number)
        || number >= d->n_memo || is_filling(d->memo[number])) {
        return dec_corrupt(d);
    }
    Py_SETREF(f->obj, Py_NewRef(d->memo[number]));
    return DEC_DONE;
}

static int
fill_set(decoder *d, dec_frame *f, PyObject *value)
{
    for (;;) {
        if (value != NULL) {
            f->index++;
            bool wait = f->kind == DEC_SET && must_wait(d, f, value);
            int status = wait ? defer(d, f->obj, value, NULL)
                              : PySet_Add(f->obj, value);
            Py_DECREF(value);
            if (status < 0) {
                return DEC_FAILED;
            }
        }
        if (f->index == f->size) {
            return f->kind == DEC_SET ? DEC_DONE : end_frozenset(d, f);
        }
        int result = dec_value(d, &value);
        if (result != DEC_DONE) {
            return result;
        }
    }
}

static int
fill(decoder *d, dec_frame *f, PyObject *value)
{
    switch ((dec_kind)f->kind) {
    case DEC_LIST:
        return fill_list(d, f, value);
    case DEC_TUPLE:
        return fill_tuple(d, f, value);
    case DEC_SLICE:
        return fill_slice(d, f, value);
    case DEC_DICT:
        return fill_dict(d, f, value);
    case DEC_SET:
    case DEC_FROZENSET:
        return fill_set(d, f, value);
    default:
        Py_UNREACHABLE();
    }
}

/* One root with everything below it.  NULL with an exception. */
static PyObject *
read_root(decoder *d)
{
    PyObject *value = NULL;
    int result = dec_value(d, &value);
    while (result != DEC_FAILED && d->depth > 0) {
        dec_frame *f = &d->stack[d->depth - 1];
        PyObject *done = value;
        value = NULL;
        result = fill(d, f, done);
        if (result == DEC_DONE) {
            f = &d->stack[--d->depth];
            value = f->obj;
        }
    }
    return result == DEC_FAILED ? NULL : value;
}

/* ---- the entries ---- */

static void
start(decoder *d, ext_state *st, const atoll_frame *frame)
{
    d->r.at = frame->data;
    d->r.end = frame->data + frame->len;
    d->st = st;
    d->part = ext_transfer_part_of(st);
    d->frame = frame;
    d->stack = d->inline_stack;
    d->depth = 0;
    d->cap = DEC_INLINE;
    d->memo = d->inline_memo;
    d->n_memo = 0;
    d->memo_cap = DEC_INLINE_MEMO;
    d->exposed = 0;
    d->deferred = NULL;
}

/* Drops what a failure has left. */
static void
drop(decoder *d)
{
    while (d->depth > 0) {
        dec_frame *f = &d->stack[--d->depth];
        PyObject *obj = f->obj, *key = f->key;
        Py_XDECREF(obj);
        Py_XDECREF(key);
    }
    Py_CLEAR(d->deferred);
}

static void
finish(decoder *d, bool failed)
{
    PyObject *error = failed ? PyErr_GetRaisedException() : NULL;
    if (failed) {
        drop(d);
    }
    if (d->stack != d->inline_stack) {
        atoll_free(d->stack);
    }
    for (uint32_t i = 0; i < d->n_memo; i++) {
        if (!is_filling(d->memo[i])) {
            Py_DECREF(d->memo[i]);
        }
    }
    if (d->memo != d->inline_memo) {
        atoll_free(d->memo);
    }
    if (failed) {
        PyErr_SetRaisedException(error);
    }
}

PyObject *
ext_decode(ext_state *st, const atoll_frame *frame)
{
    decoder d;
    start(&d, st, frame);
    PyObject *value = read_root(&d);
    if (value != NULL && d.r.at != d.r.end) {
        Py_CLEAR(value);
        dec_corrupt(&d);
    }
    finish(&d, value == NULL);
    return value;
}

/* Makes room for the arguments. */
static int
init_args(ext_args *args, size_t nargs, size_t nkw)
{
    args->nargs = (Py_ssize_t)nargs;
    args->total = 0; /* so many are there */
    args->kwnames = NULL;
    args->heap = NULL;
    args->values = args->small + 1;
    if (nargs + nkw + 1 > sizeof(args->small) / sizeof(args->small[0])) {
        args->heap = atoll_malloc((nargs + nkw + 1) * sizeof(PyObject *));
        if (args->heap == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        args->values = args->heap + 1;
    }
    if (nkw > 0) {
        args->kwnames = PyTuple_New((Py_ssize_t)nkw);
        return args->kwnames == NULL ? -1 : 0;
    }
    return 0;
}

void
ext_args_fini(ext_args *args)
{
    for (Py_ssize_t i = 0; i < args->total; i++) {
        Py_DECREF(args->values[i]);
    }
    args->total = 0;
    Py_CLEAR(args->kwnames);
    atoll_free(args->heap);
    args->heap = NULL;
}

static int
read_args(decoder *d, ext_args *args)
{
    unsigned tag;
    size_t nargs, nkw;
    if (!atoll_get_u8(&d->r, &tag) || tag != ATOLL_TAG_ARGS
        || !atoll_get_count(&d->r, 1, &nargs)
        || !atoll_get_count(&d->r, 2, &nkw)) {
        return dec_corrupt(d);
    }
    if (init_args(args, nargs, nkw) < 0) {
        return DEC_FAILED;
    }
    for (size_t i = 0; i < nkw; i++) {
        PyObject *name;
        int result = dec_value(d, &name);
        if (result != DEC_DONE) {
            return result == DEC_PUSHED ? dec_corrupt(d) : DEC_FAILED;
        }
        PyTuple_SET_ITEM(args->kwnames, (Py_ssize_t)i, name);
        if (!PyUnicode_CheckExact(name)) {
            return dec_corrupt(d);
        }
    }
    for (size_t i = 0; i < nargs + nkw; i++) {
        args->values[i] = read_root(d);
        if (args->values[i] == NULL) {
            return DEC_FAILED;
        }
        args->total++;
    }
    return d->r.at == d->r.end ? DEC_DONE : dec_corrupt(d);
}

int
ext_decode_args(ext_state *st, const atoll_frame *frame, ext_args *out_args)
{
    if (frame->len == 1 && frame->data[0] == ATOLL_TAG_NO_ARGS) {
        return init_args(out_args, 0, 0);
    }
    decoder d;
    start(&d, st, frame);
    out_args->total = 0;
    out_args->kwnames = NULL;
    out_args->heap = NULL;
    int result = read_args(&d, out_args);
    finish(&d, result != DEC_DONE);
    if (result != DEC_DONE) {
        PyObject *error = PyErr_GetRaisedException();
        ext_args_fini(out_args);
        PyErr_SetRaisedException(error);
        return -1;
    }
    return 0;
}
