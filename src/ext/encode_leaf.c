/* Objects to frames: the values that hold no others.
 *
 * Nothing here runs Python code or needs a frame of the stack.  Strings of
 * the kind that dicts have for keys get no memo number: the receiver finds
 * them in a cache, and makes an interned one interned, so that it is the same
 * object again.
 */
#include "transfer_impl.h"

/* A leaf that may be shared: 0 with the memo bit in *tag, 1 if a reference
 * was written instead, -1. */
static inline int
memo_leaf(encoder *e, PyObject *obj, unsigned *tag)
{
    if (!enc_may_be_shared(e, obj)) {
        return 0;
    }
    *tag |= ATOLL_TAG_MEMO;
    return enc_memo_or_ref(e, obj);
}

static int
pin(encoder *e, PyObject *obj, const void *data, size_t size)
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
    atoll_usage_add(&e->st->self->usage.bytes_out, size);
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

int
enc_put_wide_int(encoder *e, PyObject *obj, bool may_memo)
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
    if (size < 0 || enc_room(e, (size_t)size + 1 + ATOLL_VARINT_MAX) < 0) {
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
        return pin(e, obj, data, size);
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

int
enc_put_str(encoder *e, PyObject *obj)
{
    size_t length = (size_t)PyUnicode_GET_LENGTH(obj);
    if (enc_room(e, ATOLL_WRITE_ROOM + 255) < 0) {
        return ENC_FAILED;
    }
    bool ascii = PyUnicode_IS_ASCII(obj);
    unsigned tag = ATOLL_TAG_ASCII;
    if (length > 1 && enc_may_be_shared(e, obj)) {
        if (ascii && length <= ATOLL_KEY_MAX
            && PyUnicode_CHECK_INTERNED(obj)) {
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

int
enc_put_key(encoder *e, PyObject *obj)
{
    size_t length = (size_t)PyUnicode_GET_LENGTH(obj);
    if (length > ATOLL_KEY_MAX || !PyUnicode_IS_ASCII(obj)) {
        return enc_put_str(e, obj);
    }
    if (enc_room(e, ATOLL_WRITE_ROOM + ATOLL_KEY_MAX) < 0) {
        return ENC_FAILED;
    }
    put_key(e, obj, length);
    return ENC_DONE;
}

int
enc_put_payload(encoder *e, PyObject *obj, unsigned tag, const void *data,
                size_t size)
{
    int met
        = size == 0 && tag == ATOLL_TAG_BYTES ? 0 : memo_leaf(e, obj, &tag);
    if (met != 0) {
        return met < 0 ? ENC_FAILED : ENC_DONE;
    }
    bool pinned
        = e->pins != NULL && size >= EXT_PIN_LEAST && PyBytes_CheckExact(obj);
    if (enc_room(e, (pinned ? ATOLL_VARINT_MAX : size) + ATOLL_WRITE_ROOM)
        < 0) {
        return ENC_FAILED;
    }
    tag += pinned ? ATOLL_TAG_PIN_BYTES - ATOLL_TAG_BYTES : 0;
    atoll_put_u8(&e->w, tag);
    atoll_put_varint(&e->w, size);
    if (pinned) {
        return pin(e, obj, data, size);
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
        int result = enc_put_wide_int(e, value, false);
        Py_DECREF(value);
        if (result != ENC_DONE) {
            return result;
        }
    }
    return ENC_DONE;
}

int
enc_rare_leaf(encoder *e, PyObject *obj)
{
    PyTypeObject *type = Py_TYPE(obj);
    if (type == &PyByteArray_Type) {
        return enc_put_payload(e, obj, ATOLL_TAG_BYTEARRAY,
                               PyByteArray_AS_STRING(obj),
                               (size_t)PyByteArray_GET_SIZE(obj));
    }
    if (type == &PyBytes_Type) {
        return enc_put_payload(e, obj, ATOLL_TAG_BYTES, PyBytes_AS_STRING(obj),
                               (size_t)PyBytes_GET_SIZE(obj));
    }
    if (type == &PyComplex_Type) {
        return put_complex(e, obj);
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
    return ENC_OPEN;
}
