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
    dec_frame *stack
        = atoll_realloc(is_inline ? NULL : d->stack, cap * sizeof(*stack));
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
dec_push(decoder *d, const dec_frame *frame)
{
    if (ATOLL_UNLIKELY(d->depth == d->cap) && !grow_stack(d)) {
        PyErr_NoMemory();
        return NULL;
    }
    dec_frame *f = &d->stack[d->depth++];
    *f = *frame;
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

/* ---- insertions that wait ---- */

/* An entry is a tuple: (container, key, value) to set, (container, key) to
 * add, (object, setter or None, state, None) for a state. */
static int
defer(decoder *d, PyObject *entry)
{
    if (entry == NULL) {
        return -1;
    }
    if (d->deferred == NULL) {
        d->deferred = PyList_New(0);
    }
    int result = d->deferred == NULL ? -1 : PyList_Append(d->deferred, entry);
    Py_DECREF(entry);
    return result;
}

static int
insert(PyObject *container, PyObject *key, PyObject *value)
{
    if (value == NULL) {
        return PySet_Add(container, key);
    }
    return PyDict_CheckExact(container)
               ? PyDict_SetItem(container, key, value)
               : PyObject_SetItem(container, key, value);
}

static int
run_entry(decoder *d, PyObject *entry)
{
    PyObject **part = ((PyTupleObject *)entry)->ob_item;
    switch (PyTuple_GET_SIZE(entry)) {
    case 2:
        return insert(part[0], part[1], NULL);
    case 3:
        return insert(part[0], part[1], part[2]);
    default:
        return dec_set_state(d, part[0], part[1] == Py_None ? NULL : part[1],
                             part[2]);
    }
}

static int
run_deferred(decoder *d)
{
    PyObject *list = d->deferred;
    d->deferred = NULL;
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < PyList_GET_SIZE(list); i++) {
        result = run_entry(d, PyList_GET_ITEM(list, i));
    }
    Py_DECREF(list);
    dec_forget_ints(d);
    return result;
}

/* Its hash depends on nothing that is still being built. */
static inline bool
is_plain(PyObject *key)
{
    PyTypeObject *type = Py_TYPE(key);
    return type == &PyUnicode_Type || type == &PyLong_Type
           || type == &PyFloat_Type || type == &PyBytes_Type || key == Py_None
           || type == &PyBool_Type;
}

int
dec_put(decoder *d, dec_frame *f, PyObject *key, PyObject *value)
{
    bool plain = is_plain(key);
    if (ATOLL_UNLIKELY(d->exposed > 0) && f->kind != DEC_FROZENSET
        && (f->deferred || !plain)) {
        f->deferred = true; /* what follows waits, too: it keeps its order */
        return defer(d, value == NULL ? PyTuple_Pack(2, f->obj, key)
                                      : PyTuple_Pack(3, f->obj, key, value));
    }
    int result = insert(f->obj, key, value);
    if (d->impure && (!plain || f->careful)) {
        f->careful = true;
        dec_forget_ints(d);
    }
    return result;
}

int
dec_defer_state(decoder *d, PyObject *obj, PyObject *setter, PyObject *state)
{
    if (d->exposed == 0) {
        return 0;
    }
    PyObject *entry = PyTuple_Pack(4, obj, setter == NULL ? Py_None : setter,
                                   state, Py_None);
    return defer(d, entry) < 0 ? -1 : 1;
}

/* ---- leaves ---- */

/* The next value if it holds no others: DEC_DONE; DEC_OPEN, nothing read, if
 * it does. */
static inline int
get_leaf(decoder *d, PyObject **out)
{
    const uint8_t *at = d->r.at;
    if (ATOLL_UNLIKELY(at == d->r.end)) {
        return dec_corrupt(d);
    }
    unsigned tag = *at;
    if (tag & ATOLL_TAG_INT) {
        d->r.at = at + 1;
        *out = Py_NewRef(d->part->small_ints[tag & ~ATOLL_TAG_INT]);
        return DEC_DONE;
    }
    if (tag == ATOLL_TAG_KEY) {
        d->r.at = at + 1;
        return dec_key(d, out);
    }
    int32_t narrow;
    int16_t narrower;
    if (tag == ATOLL_TAG_INT16 && d->r.end - at > 2) {
        memcpy(&narrower, at + 1, sizeof(narrower));
        d->r.at = at + 3;
        *out = dec_int(d, narrower);
        return *out == NULL ? DEC_FAILED : DEC_DONE;
    }
    if (tag == ATOLL_TAG_INT32 && d->r.end - at > 4) {
        memcpy(&narrow, at + 1, sizeof(narrow));
        d->r.at = at + 5;
        *out = dec_int(d, narrow);
        return *out == NULL ? DEC_FAILED : DEC_DONE;
    }
    return dec_rare_leaf(d, out);
}

int
dec_leaf(decoder *d, PyObject **out)
{
    return get_leaf(d, out);
}

/* ---- filling ---- */

/* Each takes over `value`, the item that has just been completed (NULL: none
 * yet), and goes on reading until the object of the frame is complete
 * (DEC_DONE) or the next value is no leaf (DEC_OPEN). */

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

/* The run of wider ints that comes next, if one does: false with an error if
 * it is not a right one.  *out_count is 0 if none comes. */
static inline bool
get_ints(decoder *d, Py_ssize_t most, size_t *out_count,
         const uint8_t **out_data)
{
    *out_count = 0;
    *out_data = NULL;
    if (d->r.at == d->r.end || *d->r.at != ATOLL_TAG_INTS) {
        return true;
    }
    d->r.at++;
    if (!atoll_get_ints(&d->r, (size_t)most, out_count, out_data)) {
        dec_corrupt(d);
        return false;
    }
    return true;
}

/* New reference to the int of a run at index; `last` is the one before it,
 * which neighbours of one value share.  To look ints up as dec_int does takes
 * longer than to make them: a tenth of the time of a list of distinct ones. */
static inline PyObject *
int_of_run(const uint8_t *data, size_t index, PyObject *last)
{
    int32_t value, before;
    memcpy(&value, data + index * sizeof(value), sizeof(value));
    if (index > 0) {
        memcpy(&before, data + (index - 1) * sizeof(value), sizeof(value));
        if (before == value) {
            return Py_NewRef(last);
        }
    }
    return PyLong_FromLong(value);
}

/* Appends such a run.  How many there were; -1 with an error. */
static Py_ssize_t
append_wide_ints(decoder *d, PyObject *obj, Py_ssize_t most)
{
    size_t count;
    const uint8_t *data;
    if (!get_ints(d, most, &count, &data)) {
        return -1;
    }
    PyListObject *list = (PyListObject *)obj;
    Py_ssize_t size = PyList_GET_SIZE(obj);
    bool fits = (Py_ssize_t)count <= list->allocated - size;
    PyObject *item = NULL;
    for (size_t i = 0; i < count; i++) {
        item = int_of_run(data, i, item);
        if (item == NULL) {
            return -1;
        }
        if (ATOLL_LIKELY(fits)) {
            list->ob_item[size + (Py_ssize_t)i] = item;
            Py_SET_SIZE(list, size + (Py_ssize_t)i + 1);
        }
        else if (append(obj, item) < 0) {
            return -1;
        }
    }
    return (Py_ssize_t)count;
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
        f->index += append_small_ints(d, f->obj, f->size - f->index);
        Py_ssize_t run = append_wide_ints(d, f->obj, f->size - f->index);
        if (run < 0) {
            return DEC_FAILED;
        }
        f->index += run;
        if (run > 0 || f->index == f->size) {
            continue;
        }
        int result = get_leaf(d, &value);
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
        size_t count;
        const uint8_t *data;
        if (!get_ints(d, f->size - f->index, &count, &data)) {
            return DEC_FAILED;
        }
        for (size_t i = 0; i < count; i++) {
            value = int_of_run(data, i, value);
            if (value == NULL) {
                return DEC_FAILED;
            }
            Py_XSETREF(items[f->index], value);
            f->index++;
        }
        if (f->index == f->size) {
            return end_filling(d, f);
        }
        if (count > 0) {
            value = NULL; /* another run may follow */
            continue;
        }
        int result = get_leaf(d, &value);
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
        int result = get_leaf(d, &value);
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
                int result = get_leaf(d, &value);
                if (result != DEC_DONE) {
                    return result;
                }
            }
            f->key = value;
            value = NULL;
        }
        if (value == NULL) {
            int result = get_leaf(d, &value);
            if (result != DEC_DONE) {
                return result;
            }
        }
        PyObject *key = f->key;
        f->key = NULL;
        f->index++;
        int status = ATOLL_LIKELY(PyUnicode_CheckExact(key) && !f->deferred
                                  && !f->careful)
                         ? PyDict_SetItem(f->obj, key, value)
                         : dec_put(d, f, key, value);
        Py_DECREF(key);
        Py_DECREF(value);
        if (status < 0) {
            return DEC_FAILED;
        }
        if (ATOLL_UNLIKELY(PyDict_GET_SIZE(f->obj) != f->index)) {
            dec_forget_ints(d); /* something was replaced */
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
        || number >= d->n_memo || dec_is_filling(d->memo[number])) {
        return dec_corrupt(d);
    }
    Py_SETREF(f->obj, Py_NewRef(d->memo[number]));
    dec_forget_ints(d);
    return DEC_DONE;
}

static int
fill_set(decoder *d, dec_frame *f, PyObject *value)
{
    for (;;) {
        if (value != NULL) {
            f->index++;
            int status = dec_put(d, f, value, NULL);
            Py_DECREF(value);
            if (status < 0) {
                return DEC_FAILED;
            }
            if (ATOLL_UNLIKELY(PySet_GET_SIZE(f->obj) != f->index)) {
                dec_forget_ints(d); /* it was there already */
            }
        }
        if (f->index == f->size) {
            return f->kind == DEC_SET ? DEC_DONE : end_frozenset(d, f);
        }
        int result = get_leaf(d, &value);
        if (result != DEC_DONE) {
            return result;
        }
    }
}

static inline int
fill(decoder *d, dec_frame *f, PyObject *value)
{
    switch ((dec_kind)f->kind) {
    case DEC_LIST:
        return fill_list(d, f, value);
    case DEC_TUPLE:
        return fill_tuple(d, f, value);
    case DEC_DICT:
        return fill_dict(d, f, value);
    case DEC_SLICE:
        return fill_slice(d, f, value);
    case DEC_SET:
    case DEC_FROZENSET:
        return fill_set(d, f, value);
    case DEC_INSTANCE:
        return dec_fill_instance(d, f, value);
    case DEC_OBJECT:
        return dec_fill_object(d, f, value);
    case DEC_EXCEPTION:
        return dec_fill_exception(d, f, value);
    default:
        Py_UNREACHABLE();
    }
}

/* ---- opening ---- */

int
dec_run(decoder *d, dec_frame *f, PyObject **out)
{
    int result = fill(d, f, NULL);
    if (result == DEC_DONE) {
        *out = f->obj;
        return DEC_DONE;
    }
    if (result == DEC_OPEN && dec_push(d, f) != NULL) {
        return DEC_OPEN;
    }
    PyObject *error = PyErr_GetRaisedException();
    Py_XDECREF(f->obj);
    Py_XDECREF(f->key);
    PyErr_SetRaisedException(error);
    return DEC_FAILED;
}

/* A new container, empty. */
static PyObject *
new_container(unsigned tag, bool memo, Py_ssize_t size)
{
    PyObject *obj;
    switch (tag) {
    case ATOLL_TAG_LIST:
        obj = PyList_New(size);
        if (obj != NULL) {
            Py_SET_SIZE(obj, 0); /* grows into what it has */
        }
        return obj;
    case ATOLL_TAG_TUPLE:
        obj = PyTuple_New(size);
        for (Py_ssize_t i = 0; memo && obj != NULL && i < size; i++) {
            PyTuple_SET_ITEM(obj, i, Py_NewRef(Py_None));
        }
        return obj;
    case ATOLL_TAG_DICT:
        return ext_compat_dict_new(size);
    case ATOLL_TAG_SET:
        return PySet_New(NULL);
    case ATOLL_TAG_FROZENSET:
        return PyFrozenSet_New(NULL);
    default:
        return PySlice_New(NULL, NULL, NULL);
    }
}

static int
open_container(decoder *d, unsigned tag, bool memo, PyObject **out)
{
    static const uint8_t kinds[] = {
        [ATOLL_TAG_TUPLE - ATOLL_TAG_TUPLE] = DEC_TUPLE,
        [ATOLL_TAG_LIST - ATOLL_TAG_TUPLE] = DEC_LIST,
        [ATOLL_TAG_DICT - ATOLL_TAG_TUPLE] = DEC_DICT,
        [ATOLL_TAG_SET - ATOLL_TAG_TUPLE] = DEC_SET,
        [ATOLL_TAG_FROZENSET - ATOLL_TAG_TUPLE] = DEC_FROZENSET,
        [ATOLL_TAG_SLICE - ATOLL_TAG_TUPLE] = DEC_SLICE,
    };
    size_t size = 3;
    if (tag != ATOLL_TAG_SLICE
        && !atoll_get_count(&d->r, tag == ATOLL_TAG_DICT ? 2 : 1, &size)) {
        return dec_corrupt(d);
    }
    if (tag == ATOLL_TAG_TUPLE && size == 0) {
        return dec_corrupt(d); /* that one is everybody's */
    }
    dec_frame f = {.obj = new_container(tag, memo, (Py_ssize_t)size),
                   .size = (Py_ssize_t)size,
                   .kind = kinds[tag - ATOLL_TAG_TUPLE],
                   .memo = d->n_memo,
                   .has_memo = memo};
    if (f.obj == NULL) {
        return DEC_FAILED;
    }
    if (memo && f.kind != DEC_FROZENSET) {
        if (dec_memo(d, f.obj) < 0) {
            Py_DECREF(f.obj);
            return DEC_FAILED;
        }
        if (f.kind == DEC_TUPLE || f.kind == DEC_SLICE) {
            d->memo[f.memo] = dec_filling_entry(d->depth);
            Py_DECREF(f.obj);
        }
    }
    return dec_run(d, &f, out);
}

/* A value that is no leaf: DEC_DONE; DEC_OPEN, with its frame pushed and the
 * first of its values that is no leaf coming next. */
static int
open_value(decoder *d, PyObject **out)
{
    unsigned tag;
    if (!atoll_get_u8(&d->r, &tag)) {
        return dec_corrupt(d);
    }
    unsigned base = tag & ~ATOLL_TAG_MEMO;
    if (base >= ATOLL_TAG_TUPLE && base <= ATOLL_TAG_SLICE) {
        return open_container(d, base, base != tag, out);
    }
    if (tag == ATOLL_TAG_REF) {
        /* A tuple that holds itself: it is on the stack now. */
        d->r.at--;
        int result = dec_rare_leaf(d, out);
        return result == DEC_OPEN ? dec_corrupt(d) : result;
    }
    return dec_open_other(d, tag, out);
}

/* One root with everything below it.  NULL with an exception. */
static PyObject *
read_root(decoder *d)
{
    PyObject *value = NULL;
    int result = get_leaf(d, &value);
    for (;;) {
        if (result == DEC_OPEN) {
            result = open_value(d, &value);
            continue;
        }
        if (result == DEC_FAILED || d->depth == 0) {
            return result == DEC_FAILED ? NULL : value;
        }
        dec_frame *f = &d->stack[d->depth - 1];
        PyObject *done = value;
        value = NULL;
        result = fill(d, f, done);
        if (result == DEC_DONE) {
            value = d->stack[--d->depth].obj;
        }
    }
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
    d->native = false;
    d->impure = false;
    d->new_keys = 0;
    dec_forget_ints(d);
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
        if (!dec_is_filling(d->memo[i])) {
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
dec_frame_value(ext_state *st, const atoll_frame *frame, bool native)
{
    decoder d;
    start(&d, st, frame);
    d.native = native;
    PyObject *value = read_root(&d);
    if (value != NULL && d.r.at != d.r.end) {
        Py_CLEAR(value);
        dec_corrupt(&d);
    }
    finish(&d, value == NULL);
    return value;
}

PyObject *
ext_decode(ext_state *st, const atoll_frame *frame)
{
    atoll_usage_received(&st->self->usage, frame->len);
    return dec_frame_value(st, frame, false);
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
        int result = get_leaf(d, &name);
        if (result != DEC_DONE) {
            return result == DEC_OPEN ? dec_corrupt(d) : DEC_FAILED;
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
    atoll_usage_received(&st->self->usage, frame->len);
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
