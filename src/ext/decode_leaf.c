/* Frames to objects: the values that hold no others.
 *
 * Two caches make what comes again cheap.  Short str of the kind that dicts
 * have for keys are kept over all decodings of the interpreter, with their
 * hashes.  Ints of middle size are found again within one decoding: whatever
 * it made so far is still alive, as long as no Python code has run, so that
 * cache owns nothing and is emptied by a new number (see dec_forget_ints).
 */
#include "transfer_impl.h"

/* So many new keys of one decoding go into the cache. */
#define NEW_KEYS_KEPT 512

static inline size_t
key_hash(const uint8_t *data, size_t size)
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
    return (size_t)(hash >> 40);
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

/* memcmp == 0, for sizes so small that a call costs more. */
static inline bool
is_same(const uint8_t *a, const uint8_t *b, size_t size)
{
    uint64_t x, y;
    uint32_t u, v;
    if (size >= 8) {
        for (size_t i = 0; i + 8 < size; i += 8) {
            memcpy(&x, a + i, 8);
            memcpy(&y, b + i, 8);
            if (x != y) {
                return false;
            }
        }
        memcpy(&x, a + size - 8, 8);
        memcpy(&y, b + size - 8, 8);
        return x == y;
    }
    if (size >= 4) {
        memcpy(&u, a, 4);
        memcpy(&v, b, 4);
        if (u != v) {
            return false;
        }
        memcpy(&u, a + size - 4, 4);
        memcpy(&v, b + size - 4, 4);
        return u == v;
    }
    return size == 0
           || (a[0] == b[0] && a[size / 2] == b[size / 2]
               && a[size - 1] == b[size - 1]);
}

/* Whether known, which may be NULL, is the key that is read. */
static inline bool
is_key(PyObject *known, const uint8_t *data, size_t size, unsigned head)
{
    return known != NULL && (size_t)PyUnicode_GET_LENGTH(known) == size
           && is_same(PyUnicode_1BYTE_DATA(known), data, size)
           && (PyUnicode_CHECK_INTERNED(known) || !(head & 0x80));
}

/* A bigger table with the keys that the old one has; none without memory. */
static void
grow_keys(transfer_part *part)
{
    size_t rows = part->keys == NULL ? EXT_KEY_ROWS : EXT_KEY_ROWS_MOST;
    PyObject *(*keys)[2] = PyMem_Calloc(rows, sizeof(*keys));
    if (keys == NULL) {
        return;
    }
    for (size_t i = 0; i < 2 * part->key_rows; i++) {
        PyObject *str = part->keys[i / 2][i % 2];
        if (str != NULL) {
            size_t hash = key_hash(PyUnicode_1BYTE_DATA(str),
                                   (size_t)PyUnicode_GET_LENGTH(str));
            PyObject **row = keys[hash & (rows - 1)];
            Py_XSETREF(row[1], row[0]);
            row[0] = str;
        }
    }
    PyMem_Free(part->keys);
    part->keys = keys;
    part->key_rows = rows;
    part->keys_added = 0;
}

/* A row of the cache has two places, the one used last first. */
static PyObject *
new_key(decoder *d, const uint8_t *data, size_t size, unsigned head)
{
    transfer_part *part = d->part;
    PyObject *str = new_ascii(d, data, size);
    if (str == NULL) {
        return NULL;
    }
    if (head & 0x80) {
        PyUnicode_InternInPlace(&str);
    }
    else if (++d->new_keys > NEW_KEYS_KEPT) {
        return str; /* so many that few can come again */
    }
    if (part->keys_added++ >= part->key_rows
        && part->key_rows < EXT_KEY_ROWS_MOST) {
        grow_keys(part);
    }
    if (part->keys != NULL) {
        PyObject **row
            = part->keys[key_hash(data, size) & (part->key_rows - 1)];
        PyObject *oldest = row[1];
        row[1] = row[0];
        row[0] = Py_NewRef(str);
        Py_XDECREF(oldest);
    }
    return str;
}

int
dec_key(decoder *d, PyObject **out)
{
    unsigned head;
    const uint8_t *data;
    if (!atoll_get_u8(&d->r, &head) || (head & 0x7F) > ATOLL_KEY_MAX
        || !atoll_get_raw(&d->r, head & 0x7F, &data)) {
        return dec_corrupt(d);
    }
    size_t size = head & 0x7F;
    transfer_part *part = d->part;
    if (part->keys != NULL) {
        PyObject **row
            = part->keys[key_hash(data, size) & (part->key_rows - 1)];
        if (ATOLL_LIKELY(is_key(row[0], data, size, head))) {
            *out = Py_NewRef(row[0]);
            return DEC_DONE;
        }
        if (is_key(row[1], data, size, head)) {
            PyObject *str = row[1];
            row[1] = row[0];
            row[0] = str;
            *out = Py_NewRef(str);
            return DEC_DONE;
        }
    }
    *out = new_key(d, data, size, head);
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
    if (pinned) {
        atoll_usage_add(&d->st->self->usage.bytes_in, size);
    }
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
        atoll_usage_add(&d->st->self->usage.bytes_in, (size_t)size);
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
        *out = dec_int(d, i16);
        break;
    case ATOLL_TAG_INT32:
        if (!atoll_get_copy(&d->r, &i32, sizeof(i32))) {
            return dec_corrupt(d);
        }
        *out = dec_int(d, i32);
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
        *out = PyObject_CallFunctionObjArgs(
            (PyObject *)&PyRange_Type, parts[0], parts[1], parts[2], NULL);
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

static int
get_ref(decoder *d, const uint8_t *tag_at, PyObject **out)
{
    uint64_t number;
    if (!atoll_get_varint(&d->r, &number) || number >= d->n_memo) {
        return dec_corrupt(d);
    }
    PyObject *entry = d->memo[number];
    if (ATOLL_UNLIKELY(dec_is_filling(entry))) {
        size_t index = dec_filling_frame(entry);
        if (index >= d->depth) {
            /* It is the very object that is being filled off the stack. */
            d->r.at = tag_at;
            return DEC_OPEN;
        }
        dec_frame *f = &d->stack[index];
        d->exposed += !f->exposed;
        f->exposed = true;
        entry = f->obj;
    }
    *out = Py_NewRef(entry);
    return DEC_DONE;
}

static int
get_leaf(decoder *d, unsigned tag, PyObject **out)
{
    switch (tag) {
    case ATOLL_TAG_KEY:
        return dec_key(d, out);
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
dec_rare_leaf(decoder *d, PyObject **out)
{
    const uint8_t *tag_at = d->r.at;
    unsigned tag;
    if (!atoll_get_u8(&d->r, &tag)) {
        return dec_corrupt(d);
    }
    if (tag == ATOLL_TAG_REF) {
        return get_ref(d, tag_at, out);
    }
    unsigned base = tag & ~ATOLL_TAG_MEMO;
    if (base >= ATOLL_TAG_TUPLE && !(tag & ATOLL_TAG_INT)) {
        d->r.at = tag_at;
        return DEC_OPEN;
    }
    int result = get_leaf(d, base, out);
    if (base != tag && result == DEC_DONE && dec_memo(d, *out) < 0) {
        Py_CLEAR(*out);
        return DEC_FAILED;
    }
    return result;
}
