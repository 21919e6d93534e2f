/* Objects to frames: the native values, and the stack on which they wait.
 *
 * The encoder walks the graph with a stack of its own.  A frame of that stack
 * is a container of which some items are written; the step functions write
 * item after item until one needs a frame itself.
 *
 * Shared references: only what may be met twice gets a number in the memo.
 * An object with one reference is met once, since we are reading that one;
 * several roots are the exception (a caller may lend us the same object
 * twice without counting).  Strings of the kind that dicts have for keys get none:
 * the receiver finds them in a cache.
 *
 * Frozensets are numbered when they are complete, everything else that can
 * hold itself when it starts: the receiver can fill a tuple, but cannot add
 * to a frozenset that others have seen.  So one that is met again inside
 * itself is written again in full, and the outer one gives way to the inner
 * (as pickle does it).
 *
 * Nothing here runs Python code, so a graph of native values is read in one
 * piece under the GIL.  Everything else is in encode_reduce.c, which sets
 * `impure` first; the counts are checked at each item, for the case that
 * Python code did run in between.
 */
#include "transfer_impl.h"

int
enc_no_memory(void)
{
    PyErr_NoMemory();
    return ENC_FAILED;
}

int
enc_room(encoder *e, size_t more)
{
    return ATOLL_LIKELY(atoll_writer_room(&e->w, more) == ATOLL_OK)
               ? 0
               : enc_no_memory();
}

/* ---- the stack ---- */

static bool
grow_stack(encoder *e)
{
    size_t cap = e->cap * 2;
    bool is_inline = e->stack == e->inline_stack;
    enc_frame *stack = atoll_realloc(is_inline ? NULL : e->stack,
                                     cap * sizeof(*stack));
    if (stack == NULL) {
        return false;
    }
    if (is_inline) {
        memcpy(stack, e->inline_stack, sizeof(e->inline_stack));
    }
    e->stack = stack;
    e->cap = cap;
    return true;
}

enc_frame *
enc_push(encoder *e, enc_kind kind, PyObject *obj)
{
    if (ATOLL_UNLIKELY(e->depth == e->cap) && !grow_stack(e)) {
        PyErr_NoMemory();
        return NULL;
    }
    enc_frame *f = &e->stack[e->depth++];
    f->obj = Py_NewRef(obj);
    f->other = NULL;
    f->index = 0;
    f->size = 0;
    f->pos = 0;
    f->kind = (uint8_t)kind;
    f->phase = 0;
    f->memo = false;
    return f;
}

static void
pop(encoder *e)
{
    enc_frame *f = &e->stack[--e->depth];
    PyObject *obj = f->obj, *other = f->other;
    /* Before the references go: that may run anything. */
    if (f->kind == ENC_FROZENSET) {
        e->frozen--;
    }
    Py_DECREF(obj);
    Py_XDECREF(other);
}

/* ---- the memo ---- */

static void
take_memo(encoder *e)
{
    if (!e->part->memo_taken) {
        e->part->memo_taken = true;
        e->memo = &e->part->memo;
    }
    else {
        atoll_memo_init(&e->own_memo);
        e->memo = &e->own_memo;
    }
}

static void
leave_memo(encoder *e)
{
    if (e->memo == NULL) {
        return;
    }
    if (e->impure && e->memo->used > 0) {
        for (size_t i = 0; i <= e->memo->mask; i++) {
            atoll_memo_entry *entry = &e->memo->entries[i];
            if (entry->generation == e->memo->generation) {
                Py_DECREF((PyObject *)entry->key);
            }
        }
    }
    if (e->memo == &e->own_memo) {
        atoll_memo_fini(&e->own_memo);
    }
    else {
        atoll_memo_reset(e->memo);
        e->part->memo_taken = false;
    }
}

int
enc_become_impure(encoder *e)
{
    if (e->impure) {
        return 0;
    }
    if (e->memo != NULL && e->memo->used > 0) {
        for (size_t i = 0; i <= e->memo->mask; i++) {
            atoll_memo_entry *entry = &e->memo->entries[i];
            if (entry->generation == e->memo->generation) {
                Py_INCREF((PyObject *)entry->key);
            }
        }
    }
    e->impure = true;
    return 0;
}

static int
put_ref(encoder *e, uint32_t number)
{
    if (enc_room(e, ATOLL_WRITE_ROOM) < 0) {
        return -1;
    }
    atoll_put_u8(&e->w, ATOLL_TAG_REF);
    atoll_put_varint(&e->w, number);
    return 1;
}

int
enc_memo_or_ref(encoder *e, PyObject *obj)
{
    if (e->memo == NULL) {
        take_memo(e);
    }
    bool found;
    uint32_t number;
    if (e->next_memo == UINT32_MAX
        || atoll_memo_add(e->memo, obj, e->next_memo, &found, &number)
               != ATOLL_OK) {
        PyErr_NoMemory();
        return -1;
    }
    if (found) {
        return put_ref(e, number);
    }
    if (e->impure) {
        Py_INCREF(obj);
    }
    e->next_memo++;
    return 0;
}

/* May obj be met again?  See the file head. */
static inline bool
may_be_shared(encoder *e, PyObject *obj)
{
    return Py_REFCNT(obj) > 1 || (e->depth == 0 && e->arg >= 0);
}

/* ---- leaves ---- */

/* A leaf that may be shared: 0 with the memo bit in *tag, 1 if a reference
 * was written instead, -1. */
static inline int
memo_leaf(encoder *e, PyObject *obj, unsigned *tag)
{
    if (!may_be_shared(e, obj)) {
        return 0;
    }
    *tag |= ATOLL_TAG_MEMO;
    return enc_memo_or_ref(e, obj);
}

static int
pin(encoder *e, PyObject *obj, const void *data)
{
    ext_pins *pins = e->pins;
    if (pins->count == pins->cap) {
        uint32_t cap = pins->cap * 2;
        bool is_inline = pins->items == pins->small;
        PyObject **items = cap < pins->cap
                               ? NULL
                               : atoll_realloc(is_inline ? NULL : pins->items,
                                               cap * sizeof(*items));
        if (items == NULL) {
            return enc_no_memory();
        }
        if (is_inline) {
            memcpy(items, pins->small, sizeof(pins->small));
        }
        pins->items = items;
        pins->cap = cap;
    }
    uint32_t index;
    if (atoll_frame_attach(e->w.frame, &atoll_pin_ops, (void *)data, &index)
        != ATOLL_OK) {
        return enc_no_memory();
    }
    pins->items[pins->count++] = Py_NewRef(obj);
    atoll_put_varint(&e->w, index);
    return 0;
}

void
ext_pins_fini(ext_pins *pins)
{
    PyObject **items = pins->items;
    uint32_t count = pins->count;
    PyObject *small[EXT_PINS_INLINE];
    if (items == pins->small) {
        memcpy(small, pins->small, sizeof(small));
        items = small;
    }
    ext_pins_init(pins);
    for (uint32_t i = 0; i < count; i++) {
        Py_DECREF(items[i]);
    }
    if (items != small) {
        atoll_free(items);
    }
}

static int
put_wide_int(encoder *e, PyObject *obj, bool may_memo)
{
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(obj, &overflow);
    if (overflow == 0) {
        if (value == -1 && PyErr_Occurred()) {
            return ENC_FAILED;
        }
        atoll_put_int(&e->w, value);
        return ENC_DONE;
    }
    unsigned tag = ATOLL_TAG_BIGINT;
    int met = may_memo ? memo_leaf(e, obj, &tag) : 0;
    if (met != 0) {
        return met < 0 ? ENC_FAILED : ENC_DONE;
    }
    Py_ssize_t size = ext_compat_long_size(obj);
    if (size < 0
        || enc_room(e, (size_t)size + 1 + ATOLL_VARINT_MAX) < 0) {
        return ENC_FAILED;
    }
    atoll_put_u8(&e->w, tag);
    atoll_put_varint(&e->w, (uint64_t)size);
    if (ext_compat_long_write(obj, e->w.at, size) < 0) {
        return ENC_FAILED;
    }
    e->w.at += size;
    return ENC_DONE;
}

static int
put_long_str(encoder *e, PyObject *obj, unsigned tag)
{
    Py_ssize_t length = PyUnicode_GET_LENGTH(obj);
    unsigned kind = PyUnicode_IS_ASCII(obj) ? ATOLL_STR_ASCII
                                            : (unsigned)PyUnicode_KIND(obj);
    size_t size = (size_t)length * (kind & 7);
    const void *data = PyUnicode_DATA(obj);
    bool pinned = e->pins != NULL && size >= EXT_PIN_LEAST;
    if (enc_room(e, (pinned ? ATOLL_VARINT_MAX : size) + ATOLL_WRITE_ROOM)
        < 0) {
        return ENC_FAILED;
    }
    tag += pinned ? ATOLL_TAG_PIN_STR - ATOLL_TAG_STR : 0;
    atoll_put_u8(&e->w, tag);
    atoll_put_u8(&e->w, kind);
    atoll_put_varint(&e->w, (uint64_t)length);
    if (pinned) {
        return pin(e, obj, data);
    }
    atoll_put_raw(&e->w, data, size);
    return ENC_DONE;
}

static inline void
put_key(encoder *e, PyObject *obj, size_t length)
{
    unsigned interned = PyUnicode_CHECK_INTERNED(obj) ? 0x80 : 0;
    atoll_put_u8(&e->w, ATOLL_TAG_KEY);
    atoll_put_u8(&e->w, (unsigned)length | interned);
    atoll_put_raw(&e->w, PyUnicode_DATA(obj), length);
}

static int
put_str(encoder *e, PyObject *obj)
{
    size_t length = (size_t)PyUnicode_GET_LENGTH(obj);
    if (enc_room(e, ATOLL_WRITE_ROOM + 255) < 0) {
        return ENC_FAILED;
    }
    bool ascii = PyUnicode_IS_ASCII(obj);
    unsigned tag = ATOLL_TAG_ASCII;
    if (length > 1 && may_be_shared(e, obj)) {
        if (ascii && length <= ATOLL_KEY_MAX && PyUnicode_CHECK_INTERNED(obj)) {
            put_key(e, obj, length);
            return ENC_DONE;
        }
        tag |= ATOLL_TAG_MEMO;
        int met = enc_memo_or_ref(e, obj);
        if (met != 0) {
            return met < 0 ? ENC_FAILED : ENC_DONE;
        }
    }
    if (!ascii || length > 255) {
        return put_long_str(e, obj, tag + ATOLL_TAG_STR - ATOLL_TAG_ASCII);
    }
    atoll_put_u8(&e->w, tag);
    atoll_put_u8(&e->w, (unsigned)length);
    atoll_put_raw(&e->w, PyUnicode_DATA(obj), length);
    return ENC_DONE;
}

static inline int
put_dict_key(encoder *e, PyObject *obj)
{
    size_t length = (size_t)PyUnicode_GET_LENGTH(obj);
    if (length > ATOLL_KEY_MAX || !PyUnicode_IS_ASCII(obj)) {
        return put_str(e, obj);
    }
    if (enc_room(e, ATOLL_WRITE_ROOM + ATOLL_KEY_MAX) < 0) {
        return ENC_FAILED;
    }
    put_key(e, obj, length);
    return ENC_DONE;
}

static int
put_payload(encoder *e, PyObject *obj, unsigned tag, const void *data,
            size_t size)
{
    int met = size == 0 && tag == ATOLL_TAG_BYTES ? 0
                                                  : memo_leaf(e, obj, &tag);
    if (met != 0) {
        return met < 0 ? ENC_FAILED : ENC_DONE;
    }
    bool pinned = e->pins != NULL && size >= EXT_PIN_LEAST
                  && PyBytes_CheckExact(obj);
    if (enc_room(e, (pinned ? ATOLL_VARINT_MAX : size) + ATOLL_WRITE_ROOM)
        < 0) {
        return ENC_FAILED;
    }
    tag += pinned ? ATOLL_TAG_PIN_BYTES - ATOLL_TAG_BYTES : 0;
    atoll_put_u8(&e->w, tag);
    atoll_put_varint(&e->w, size);
    if (pinned) {
        return pin(e, obj, data);
    }
    atoll_put_raw(&e->w, data, size);
    return ENC_DONE;
}

static int
put_complex(encoder *e, PyObject *obj)
{
    unsigned tag = ATOLL_TAG_COMPLEX;
    int met = memo_leaf(e, obj, &tag);
    if (met != 0) {
        return met < 0 ? ENC_FAILED : ENC_DONE;
    }
    if (enc_room(e, ATOLL_WRITE_ROOM) < 0) {
        return ENC_FAILED;
    }
    Py_complex value = PyComplex_AsCComplex(obj);
    atoll_put_u8(&e->w, tag);
    atoll_put_raw(&e->w, &value, sizeof(value));
    return ENC_DONE;
}

static int
put_range(encoder *e, PyObject *obj)
{
    static const char *const names[] = {"start", "stop", "step"};
    unsigned tag = ATOLL_TAG_RANGE;
    int met = memo_leaf(e, obj, &tag);
    if (met != 0) {
        return met < 0 ? ENC_FAILED : ENC_DONE;
    }
    if (enc_room(e, ATOLL_WRITE_ROOM) < 0) {
        return ENC_FAILED;
    }
    atoll_put_u8(&e->w, tag);
    for (int i = 0; i < 3; i++) {
        PyObject *value = PyObject_GetAttrString(obj, names[i]);
        if (value == NULL || enc_room(e, ATOLL_WRITE_ROOM) < 0) {
            Py_XDECREF(value);
            return ENC_FAILED;
        }
        int result = put_wide_int(e, value, false);
        Py_DECREF(value);
        if (result != ENC_DONE) {
            return result;
        }
    }
    return ENC_DONE;
}

/* ---- containers ---- */

/* Starts a container of `size` items: its header now, its items by its
 * frame. */
static int
open_container(encoder *e, PyObject *obj, enc_kind kind, unsigned tag,
               Py_ssize_t size)
{
    if (enc_room(e, ATOLL_WRITE_ROOM) < 0) {
        return ENC_FAILED;
    }
    enc_frame *f = enc_push(e, kind, obj);
    if (f == NULL) {
        return ENC_FAILED;
    }
    f->size = size;
    f->memo = (tag & ATOLL_TAG_MEMO) != 0;
    atoll_put_u8(&e->w, tag);
    if (kind != ENC_SLICE) {
        atoll_put_varint(&e->w, (uint64_t)size);
    }
    return ENC_PUSHED;
}

static int
open_mutable(encoder *e, PyObject *obj, enc_kind kind, unsigned tag,
             Py_ssize_t size)
{
    int met = memo_leaf(e, obj, &tag);
    if (met != 0) {
        return met < 0 ? ENC_FAILED : ENC_DONE;
    }
    return open_container(e, obj, kind, tag, size);
}

/* How often obj is being written just now. */
static size_t
times_open(encoder *e, PyObject *obj)
{
    size_t times = 0;
    for (size_t i = e->depth; i-- > 0;) {
        times += e->stack[i].obj == obj;
    }
    return times;
}

/* A way around through itself this often is no accident. */
#define MOST_TURNS 100

static int
too_many_turns(encoder *e, PyObject *obj)
{
    PyErr_SetString(PyExc_ValueError,
                    "it contains itself in a way that cannot be rebuilt");
    return enc_fail(e, obj);
}

/* A tuple or slice: the receiver makes it empty and fills it. */
static int
open_fixed(encoder *e, PyObject *obj, enc_kind kind, unsigned tag,
           Py_ssize_t size)
{
    uint32_t number;
    if (ATOLL_UNLIKELY(e->frozen > 0) && e->memo != NULL
        && atoll_memo_find(e->memo, obj, &number)) {
        size_t times = times_open(e, obj);
        if (times > MOST_TURNS) {
            return too_many_turns(e, obj);
        }
        if (times > 0) {
            /* Perhaps inside a frozenset that is inside this tuple: the
             * receiver must hash it before it can be full, so it gets a
             * copy. */
            return open_container(e, obj, kind, tag, size);
        }
    }
    return open_mutable(e, obj, kind, tag, size);
}

static int
open_set(encoder *e, PyObject *obj, enc_kind kind)
{
    Py_ssize_t size = PySet_GET_SIZE(obj);
    unsigned tag = ATOLL_TAG_SET;
    if (kind == ENC_SET) {
        int met = memo_leaf(e, obj, &tag);
        if (met != 0) {
            return met < 0 ? ENC_FAILED : ENC_DONE;
        }
    }
    else {
        tag = ATOLL_TAG_FROZENSET;
        if (may_be_shared(e, obj)) {
            if (e->frozen > 0 && times_open(e, obj) > MOST_TURNS) {
                return too_many_turns(e, obj);
            }
            uint32_t number;
            if (e->memo != NULL && atoll_memo_find(e->memo, obj, &number)) {
                return put_ref(e, number) < 0 ? ENC_FAILED : ENC_DONE;
            }
            tag |= ATOLL_TAG_MEMO;
        }
    }
    PyObject *iterator = PyObject_GetIter(obj);
    if (iterator == NULL
        || open_container(e, obj, kind, tag, size) == ENC_FAILED) {
        Py_XDECREF(iterator);
        return ENC_FAILED;
    }
    e->stack[e->depth - 1].other = iterator;
    e->frozen += kind == ENC_FROZENSET;
    return ENC_PUSHED;
}

/* ---- one value ---- */

static inline bool
is_compact_int(PyObject *obj)
{
    return PyLong_CheckExact(obj)
           && PyUnstable_Long_IsCompact((const PyLongObject *)obj);
}

static inline int64_t
compact_int(PyObject *obj)
{
    return PyUnstable_Long_CompactValue((const PyLongObject *)obj);
}

/* Of a type that cannot fail for its own sake, so that no message will ever
 * name its place. */
static inline bool
is_plain(PyObject *obj)
{
    PyTypeObject *type = Py_TYPE(obj);
    return type == &PyUnicode_Type || type == &PyLong_Type
           || type == &PyFloat_Type || obj == Py_None || type == &PyBool_Type;
}

static int
rare_value(encoder *e, PyObject *obj)
{
    PyTypeObject *type = Py_TYPE(obj);
    if (type == &PySet_Type) {
        return open_set(e, obj, ENC_SET);
    }
    if (type == &PyFrozenSet_Type) {
        return open_set(e, obj, ENC_FROZENSET);
    }
    if (type == &PyByteArray_Type) {
        return put_payload(e, obj, ATOLL_TAG_BYTEARRAY,
                           PyByteArray_AS_STRING(obj),
                           (size_t)PyByteArray_GET_SIZE(obj));
    }
    if (type == &PyComplex_Type) {
        return put_complex(e, obj);
    }
    if (type == &PySlice_Type) {
        return open_fixed(e, obj, ENC_SLICE, ATOLL_TAG_SLICE, 3);
    }
    if (type == &PyRange_Type) {
        return put_range(e, obj);
    }
    if (obj == Py_Ellipsis) {
        atoll_put_u8(&e->w, ATOLL_TAG_ELLIPSIS);
        return ENC_DONE;
    }
    if (obj == Py_NotImplemented) {
        atoll_put_u8(&e->w, ATOLL_TAG_NOTIMPLEMENTED);
        return ENC_DONE;
    }
    return enc_other(e, obj);
}

int
enc_value(encoder *e, PyObject *obj)
{
    if (enc_room(e, ATOLL_WRITE_ROOM) < 0) {
        return ENC_FAILED;
    }
    PyTypeObject *type = Py_TYPE(obj);
    if (type == &PyUnicode_Type) {
        return put_str(e, obj);
    }
    if (type == &PyLong_Type) {
        if (!is_compact_int(obj)) {
            return put_wide_int(e, obj, true);
        }
        atoll_put_int(&e->w, compact_int(obj));
        return ENC_DONE;
    }
    if (type == &PyFloat_Type) {
        double value = PyFloat_AS_DOUBLE(obj);
        atoll_put_u8(&e->w, ATOLL_TAG_FLOAT);
        atoll_put_raw(&e->w, &value, sizeof(value));
        return ENC_DONE;
    }
    if (obj == Py_None) {
        atoll_put_u8(&e->w, ATOLL_TAG_NONE);
        return ENC_DONE;
    }
    if (type == &PyBool_Type) {
        atoll_put_u8(&e->w,
                     obj == Py_True ? ATOLL_TAG_TRUE : ATOLL_TAG_FALSE);
        return ENC_DONE;
    }
    if (type == &PyDict_Type) {
        return open_mutable(e, obj, ENC_DICT, ATOLL_TAG_DICT,
                            PyDict_GET_SIZE(obj));
    }
    if (type == &PyList_Type) {
        return open_mutable(e, obj, ENC_LIST, ATOLL_TAG_LIST,
                            PyList_GET_SIZE(obj));
    }
    if (type == &PyTuple_Type) {
        if (PyTuple_GET_SIZE(obj) == 0) {
            atoll_put_u8(&e->w, ATOLL_TAG_EMPTY_TUPLE);
            return ENC_DONE;
        }
        return open_fixed(e, obj, ENC_TUPLE, ATOLL_TAG_TUPLE,
                          PyTuple_GET_SIZE(obj));
    }
    if (type == &PyBytes_Type) {
        return put_payload(e, obj, ATOLL_TAG_BYTES, PyBytes_AS_STRING(obj),
                           (size_t)PyBytes_GET_SIZE(obj));
    }
    return rare_value(e, obj);
}

/* ---- the steps ---- */

/* Each writes items of the top frame until it is done (ENC_DONE) or one has
 * pushed a frame of its own (ENC_PUSHED). */

static int
changed(const char *what)
{
    PyErr_Format(PyExc_RuntimeError,
                 "%s changed size while it was being sent", what);
    return ENC_FAILED;
}

/* Writes ints from items as long as they are ints, and tells how many. */
static inline Py_ssize_t
put_ints(encoder *e, PyObject *const *items, Py_ssize_t count)
{
    atoll_writer w = e->w; /* in registers: a byte store may alias *e */
    Py_ssize_t i = 0;
    for (; i < count; i++) {
        if (!is_compact_int(items[i]) || w.end - w.at < ATOLL_WRITE_ROOM) {
            break;
        }
        atoll_put_int(&w, compact_int(items[i]));
    }
    e->w.at = w.at;
    return i;
}

static int
step_list(encoder *e, enc_frame *f)
{
    PyObject *list = f->obj;
    Py_ssize_t size = f->size;
    for (Py_ssize_t i = f->index; i < size;) {
        if (ATOLL_UNLIKELY(PyList_GET_SIZE(list) != size)) {
            return changed("list");
        }
        PyObject **items = ((PyListObject *)list)->ob_item;
        if (is_compact_int(items[i])) {
            Py_ssize_t run = put_ints(e, items + i, size - i);
            if (run > 0) {
                i += run;
                continue;
            }
        }
        e->stack[e->depth - 1].index = ++i;
        int result = enc_value(e, items[i - 1]);
        if (result != ENC_DONE) {
            return result;
        }
    }
    return ENC_DONE;
}

static int
step_tuple(encoder *e, enc_frame *f)
{
    PyObject **items = ((PyTupleObject *)f->obj)->ob_item;
    Py_ssize_t size = f->size;
    for (Py_ssize_t i = f->index; i < size;) {
        if (is_compact_int(items[i])) {
            Py_ssize_t run = put_ints(e, items + i, size - i);
            if (run > 0) {
                i += run;
                continue;
            }
        }
        e->stack[e->depth - 1].index = ++i;
        int result = enc_value(e, items[i - 1]);
        if (result != ENC_DONE) {
            return result;
        }
    }
    return ENC_DONE;
}

static int
step_slice(encoder *e, enc_frame *f)
{
    PySliceObject *slice = (PySliceObject *)f->obj;
    PyObject *parts[] = {slice->start, slice->stop, slice->step};
    for (Py_ssize_t i = f->index; i < 3;) {
        e->stack[e->depth - 1].index = ++i;
        int result = enc_value(e, parts[i - 1]);
        if (result != ENC_DONE) {
            return result;
        }
    }
    return ENC_DONE;
}

/* Phase 1: a key has been written, its value is in `other`. */
static int
step_dict(encoder *e, enc_frame *f)
{
    PyObject *dict = f->obj, *key, *value;
    Py_ssize_t size = f->size;
    for (;;) {
        if (ATOLL_UNLIKELY(f->phase == 1)) {
            /* The key stays unknown to messages: it has just been written
             * by a frame of its own, so it is no simple one. */
            value = f->other;
            f->other = NULL;
            f->phase = 0;
            f->index++;
            int result = enc_value(e, value);
            Py_DECREF(value);
            if (result != ENC_DONE) {
                return result;
            }
            f = &e->stack[e->depth - 1];
        }
        if (ATOLL_UNLIKELY(PyDict_GET_SIZE(dict) != size)) {
            return changed("dict");
        }
        if (!PyDict_Next(dict, &f->pos, &key, &value)) {
            return f->index == size ? ENC_DONE : changed("dict");
        }
        if (ATOLL_UNLIKELY(f->index == size)) {
            return changed("dict");
        }
        if (ATOLL_LIKELY(is_plain(key))) {
            int result = PyUnicode_CheckExact(key) ? put_dict_key(e, key)
                                                   : enc_value(e, key);
            if (result < 0) {
                return ENC_FAILED;
            }
        }
        else {
            f->phase = 1;
            f->other = Py_NewRef(value);
            int result = enc_value(e, key);
            if (result != ENC_DONE) {
                return result;
            }
            f = &e->stack[e->depth - 1];
            continue;
        }
        f->index++;
        if (!is_plain(value)) {
            Py_XSETREF(f->other, Py_NewRef(key));
        }
        int result = enc_value(e, value);
        if (result != ENC_DONE) {
            return result;
        }
        f = &e->stack[e->depth - 1];
    }
}

static int
step_set(encoder *e, enc_frame *f)
{
    for (;;) {
        PyObject *item = PyIter_Next(f->other);
        if (item == NULL) {
            if (PyErr_Occurred() && !PyErr_ExceptionMatches(
                    PyExc_RuntimeError)) {
                return ENC_FAILED;
            }
            PyErr_Clear();
            return f->index == f->size ? ENC_DONE : changed("set");
        }
        /* The set has it; our reference would make it look shared. */
        Py_DECREF(item);
        if (f->index == f->size) {
            return changed("set");
        }
        f->index++;
        int result = enc_value(e, item);
        if (result != ENC_DONE) {
            return result;
        }
        f = &e->stack[e->depth - 1];
    }
}

/* A frozenset's number comes when it is complete, unless it was met and
 * completed inside itself. */
static int
end_frozenset(encoder *e, enc_frame *f)
{
    if (!f->memo) {
        return ENC_DONE;
    }
    if (e->memo == NULL) {
        take_memo(e);
    }
    if (enc_room(e, ATOLL_WRITE_ROOM) < 0) {
        return ENC_FAILED;
    }
    bool found;
    uint32_t number;
    if (e->next_memo == UINT32_MAX
        || atoll_memo_add(e->memo, f->obj, e->next_memo, &found, &number)
               != ATOLL_OK) {
        return enc_no_memory();
    }
    if (found) {
        atoll_put_u8(&e->w, ATOLL_TAG_REPLACED);
        atoll_put_varint(&e->w, number);
        return ENC_DONE;
    }
    atoll_put_u8(&e->w, ATOLL_TAG_END);
    e->next_memo++;
    if (e->impure) {
        Py_INCREF(f->obj);
    }
    return ENC_DONE;
}

static int
step(encoder *e)
{
    enc_frame *f = &e->stack[e->depth - 1];
    int result;
    switch ((enc_kind)f->kind) {
    case ENC_LIST:
        return step_list(e, f);
    case ENC_TUPLE:
        return step_tuple(e, f);
    case ENC_SLICE:
        return step_slice(e, f);
    case ENC_DICT:
        return step_dict(e, f);
    case ENC_SET:
        return step_set(e, f);
    case ENC_FROZENSET:
        result = step_set(e, f);
        return result == ENC_DONE
                   ? end_frozenset(e, &e->stack[e->depth - 1])
                   : result;
    default:
        Py_UNREACHABLE();
    }
}

/* One root with everything below it. */
static int
write_root(encoder *e, PyObject *obj)
{
    int result = enc_value(e, obj);
    while (result != ENC_FAILED && e->depth > 0) {
        result = step(e);
        if (result == ENC_DONE) {
            pop(e);
        }
    }
    return result;
}

/* ---- the entries ---- */

static void
start(encoder *e, ext_state *st, unsigned flags, ext_pins *pins,
      const char *root, atoll_frame *frame)
{
    atoll_writer_open(&e->w, frame);
    e->st = st;
    e->part = ext_transfer_part_of(st);
    e->memo = NULL;
    e->next_memo = 0;
    e->impure = false;
    e->flags = flags;
    e->pins = pins;
    e->stack = e->inline_stack;
    e->depth = 0;
    e->cap = ENC_INLINE;
    e->frozen = 0;
    e->root = root;
    e->arg = -1;
    e->nargs = 0;
    e->kwnames = NULL;
    frame->sender = st->self->id;
}

/* Gives everything back.  After a failure the frame is empty. */
static int
finish(encoder *e, int result)
{
    atoll_frame *frame = e->w.frame;
    atoll_writer_close(&e->w);
    PyObject *error = result == ENC_FAILED ? PyErr_GetRaisedException() : NULL;
    while (e->depth > 0) {
        pop(e);
    }
    if (e->stack != e->inline_stack) {
        atoll_free(e->stack);
    }
    leave_memo(e);
    if (result == ENC_FAILED) {
        atoll_frame_reset(frame);
        PyErr_SetRaisedException(error);
        return -1;
    }
    return 0;
}

int
ext_encode(ext_state *st, PyObject *obj, const char *root, unsigned flags,
           ext_pins *pins, atoll_frame *frame)
{
    encoder e;
    start(&e, st, flags, pins, root, frame);
    return finish(&e, write_root(&e, obj));
}

static int
write_args(encoder *e, PyObject *const *args, Py_ssize_t nargs,
           PyObject *kwnames)
{
    Py_ssize_t nkw = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    if (enc_room(e, ATOLL_WRITE_ROOM) < 0) {
        return ENC_FAILED;
    }
    atoll_put_u8(&e->w, ATOLL_TAG_ARGS);
    atoll_put_varint(&e->w, (uint64_t)nargs);
    atoll_put_varint(&e->w, (uint64_t)nkw);
    for (Py_ssize_t i = 0; i < nkw; i++) {
        if (put_dict_key(e, PyTuple_GET_ITEM(kwnames, i)) < 0) {
            return ENC_FAILED;
        }
    }
    e->nargs = nargs;
    e->kwnames = kwnames;
    for (Py_ssize_t i = 0; i < nargs + nkw; i++) {
        e->arg = i;
        if (write_root(e, args[i]) == ENC_FAILED) {
            return ENC_FAILED;
        }
    }
    return ENC_DONE;
}

int
ext_encode_args(ext_state *st, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames, unsigned flags, ext_pins *pins,
                atoll_frame *frame)
{
    if (nargs == 0 && (kwnames == NULL || PyTuple_GET_SIZE(kwnames) == 0)) {
        frame->data[0] = ATOLL_TAG_NO_ARGS; /* every frame has room for it */
        frame->len = 1;
        frame->sender = st->self->id;
        return 0;
    }
    encoder e;
    start(&e, st, flags, pins, NULL, frame);
    return finish(&e, write_args(&e, args, nargs, kwnames));
}
