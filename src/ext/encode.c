/* Objects to frames: the containers, and the stack on which they wait.
 *
 * The encoder walks the graph with a stack of its own.  A frame is a
 * container of which some items are written; its step writes item after item
 * until one holds values itself.  Only then is the frame put on the stack: a
 * container of leaves never is.
 *
 * Shared references: only what may be met twice gets a number in the memo.
 * An object with one reference is met once, since we are reading that one;
 * several roots are the exception (a caller may lend us the same object
 * twice without counting).
 *
 * Frozensets are numbered when they are complete, everything else that can
 * hold itself when it starts: the receiver can fill a tuple, but cannot add
 * to a frozenset that others have seen.  So one that is met again inside
 * itself is written again in full, and the outer one gives way to the inner
 * (as pickle does it).
 *
 * Nothing native runs Python code, so a graph of native values is read in one
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

/* ---- the stack ---- */

static bool
grow_stack(encoder *e)
{
    size_t cap = e->cap * 2;
    bool is_inline = e->stack == e->inline_stack;
    enc_frame *stack
        = atoll_realloc(is_inline ? NULL : e->stack, cap * sizeof(*stack));
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
enc_push(encoder *e, const enc_frame *frame)
{
    if (ATOLL_UNLIKELY(e->depth == e->cap) && !grow_stack(e)) {
        PyErr_NoMemory();
        return NULL;
    }
    enc_frame *f = &e->stack[e->depth++];
    *f = *frame;
    Py_INCREF(f->obj);
    e->frozen += f->kind == ENC_FROZENSET;
    e->reduces += f->kind >= ENC_REDUCE;
    return f;
}

static void
pop(encoder *e)
{
    enc_frame f = e->stack[--e->depth];
    e->frozen -= f.kind == ENC_FROZENSET;
    e->reduces -= f.kind >= ENC_REDUCE;
    /* Last: it may run anything. */
    Py_DECREF(f.obj);
    Py_XDECREF(f.other);
    if (f.kind == ENC_REDUCE) {
        Py_XDECREF(f.item);
    }
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
    for (size_t i = 0; e->impure && i < e->memo->used; i++) {
        Py_DECREF((PyObject *)e->memo->keys[i]);
    }
    if (e->memo == &e->own_memo) {
        atoll_memo_fini(&e->own_memo);
    }
    else {
        atoll_memo_reset(e->memo);
        e->part->memo_taken = false;
    }
}

void
enc_become_impure(encoder *e)
{
    if (e->impure) {
        return;
    }
    for (size_t i = 0; e->memo != NULL && i < e->memo->used; i++) {
        Py_INCREF((PyObject *)e->memo->keys[i]);
    }
    e->impure = true;
}

int
enc_put_ref(encoder *e, uint32_t number)
{
    if (enc_room(e, ATOLL_WRITE_ROOM) < 0) {
        return ENC_FAILED;
    }
    atoll_put_u8(&e->w, ATOLL_TAG_REF);
    atoll_put_varint(&e->w, number);
    return ENC_DONE;
}

int
enc_find(encoder *e, PyObject *obj)
{
    uint32_t value;
    if (e->memo == NULL || !atoll_memo_find(e->memo, obj, &value)) {
        return 0;
    }
    return enc_put_ref(e, e->memo_base + value) < 0 ? -1 : 1;
}

int
enc_memo_late(encoder *e, PyObject *obj, uint32_t *out_number)
{
    if (e->memo == NULL) {
        take_memo(e);
    }
    bool found;
    uint32_t value;
    if (e->memo->used >= UINT32_MAX / 2
        || atoll_memo_add(e->memo, obj, &found, &value) != ATOLL_OK) {
        PyErr_NoMemory();
        return -1;
    }
    if (found) {
        *out_number = e->memo_base + value;
        return 1;
    }
    if (e->impure) {
        Py_INCREF(obj);
    }
    return 0;
}

int
enc_memo_or_ref(encoder *e, PyObject *obj)
{
    uint32_t number;
    int met = enc_memo_late(e, obj, &number);
    return met > 0 && enc_put_ref(e, number) == ENC_FAILED ? -1 : met;
}

/* ---- leaves ---- */

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

/* Writes obj if it holds no other values: ENC_DONE; ENC_OPEN, nothing
 * written, if it does. */
static inline int
put_leaf(encoder *e, PyObject *obj)
{
    if (enc_room(e, ATOLL_WRITE_ROOM) < 0) {
        return ENC_FAILED;
    }
    PyTypeObject *type = Py_TYPE(obj);
    if (type == &PyUnicode_Type) {
        return enc_put_str(e, obj);
    }
    if (type == &PyLong_Type) {
        if (ATOLL_UNLIKELY(!is_compact_int(obj))) {
            return enc_put_wide_int(e, obj, true);
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
        atoll_put_u8(&e->w, obj == Py_True ? ATOLL_TAG_TRUE : ATOLL_TAG_FALSE);
        return ENC_DONE;
    }
    if (type == &PyDict_Type || type == &PyList_Type) {
        return ENC_OPEN;
    }
    if (type == &PyTuple_Type) {
        if (PyTuple_GET_SIZE(obj) > 0) {
            return ENC_OPEN;
        }
        atoll_put_u8(&e->w, ATOLL_TAG_EMPTY_TUPLE);
        return ENC_DONE;
    }
    return enc_rare_leaf(e, obj);
}

int
enc_leaf(encoder *e, PyObject *obj)
{
    e->child = obj;
    return put_leaf(e, obj);
}

/* The same where a str is likely to come again. */
static inline int
put_key_leaf(encoder *e, PyObject *obj)
{
    return PyUnicode_CheckExact(obj) ? enc_put_key(e, obj) : put_leaf(e, obj);
}

/* ---- the steps ---- */

/* Each writes items of the frame until it is done (ENC_DONE) or an item is
 * met that holds others: ENC_OPEN, with it in e->child. */

static int
changed(const char *what)
{
    PyErr_Format(PyExc_RuntimeError, "%s changed size while it was being sent",
                 what);
    return ENC_FAILED;
}

/* Writes small ints from items as long as they are that; tells how many. */
static inline Py_ssize_t
put_small_ints(encoder *e, PyObject *const *items, Py_ssize_t count)
{
    uint8_t *at = e->w.at; /* in a register: a byte store may alias *e */
    if (count > e->w.end - at) {
        count = e->w.end - at;
    }
    Py_ssize_t i = 0;
    for (; i < count && is_compact_int(items[i]); i++) {
        /* A compact int has one digit, of 30 bits at most. */
        int32_t value = (int32_t)compact_int(items[i]);
        if (!atoll_int_is_small(value)) {
            break;
        }
        at = atoll_write_int32(at, value);
    }
    e->w.at = at;
    return i;
}

/* The same for a run of wider ones, which is worth its head from two on. */
static inline Py_ssize_t
put_wide_ints(encoder *e, PyObject *const *items, Py_ssize_t count)
{
    uint8_t *head = e->w.at;
    Py_ssize_t room = (e->w.end - head - 2) / (Py_ssize_t)sizeof(int32_t);
    if (count > room) {
        count = room;
    }
    if (count > ATOLL_INTS_MOST) {
        count = ATOLL_INTS_MOST;
    }
    uint8_t *at = head + 2;
    Py_ssize_t i = 0;
    for (; i < count && is_compact_int(items[i]); i++) {
        int32_t value = (int32_t)compact_int(items[i]);
        if (atoll_int_is_small(value)) {
            break;
        }
        memcpy(at, &value, sizeof(value));
        at += sizeof(value);
    }
    if (i < 2) {
        return 0;
    }
    head[0] = ATOLL_TAG_INTS;
    head[1] = (uint8_t)i;
    e->w.at = at;
    return i;
}

/* The items of a list or tuple from f->index on. */
static inline int
step_items(encoder *e, enc_frame *f, PyObject *const *items)
{
    for (Py_ssize_t i = f->index, size = f->size; i < size;) {
        PyObject *item = items[i];
        if (is_compact_int(item)) {
            Py_ssize_t run = put_small_ints(e, items + i, size - i);
            run += put_wide_ints(e, items + i + run, size - i - run);
            if (run > 0) {
                i += run;
                continue;
            }
        }
        int result = put_leaf(e, item);
        i++;
        if (result != ENC_DONE) {
            f->index = i;
            e->child = item;
            return result;
        }
    }
    return ENC_DONE;
}

static int
step_list(encoder *e, enc_frame *f)
{
    /* Leaves run no Python code, so to look once a step is enough. */
    if (ATOLL_UNLIKELY(PyList_GET_SIZE(f->obj) != f->size)) {
        return changed("list");
    }
    return step_items(e, f, ((PyListObject *)f->obj)->ob_item);
}

static int
step_slice(encoder *e, enc_frame *f)
{
    PySliceObject *slice = (PySliceObject *)f->obj;
    PyObject *parts[] = {slice->start, slice->stop, slice->step};
    while (f->index < f->size) {
        PyObject *part = parts[f->index++];
        int result = put_leaf(e, part);
        if (result != ENC_DONE) {
            e->child = part;
            return result;
        }
    }
    return ENC_DONE;
}

/* Whether all was written, or something that has changed meanwhile. */
static int
end_counted(const enc_frame *f, const char *what)
{
    return f->index == f->size ? ENC_DONE : changed(what);
}

static int
step_dict(encoder *e, enc_frame *f)
{
    PyObject *key, *value;
    if (f->phase == ENC_DICT_KEY) {
        value = f->other;
        f->phase = ENC_DICT_HIDDEN;
        f->index++;
        int result = put_leaf(e, value);
        if (result != ENC_DONE) {
            e->child = value;
            return result;
        }
    }
    f->phase = ENC_DICT_VALUE;
    Py_CLEAR(f->other);
    if (ATOLL_UNLIKELY(PyDict_GET_SIZE(f->obj) != f->size)) {
        return changed("dict");
    }
    while (PyDict_Next(f->obj, &f->pos, &key, &value)) {
        if (ATOLL_UNLIKELY(f->index == f->size)) {
            return changed("dict");
        }
        int result = put_key_leaf(e, key);
        if (ATOLL_UNLIKELY(result != ENC_DONE)) {
            f->phase = ENC_DICT_KEY;
            f->other = Py_NewRef(value);
            e->child = key;
            return result;
        }
        f->index++;
        result = put_leaf(e, value);
        if (result != ENC_DONE) {
            f->other = Py_NewRef(key);
            e->child = value;
            return result;
        }
    }
    return end_counted(f, "dict");
}

static int
step_set(encoder *e, enc_frame *f)
{
    PyObject *item;
    while ((item = PyIter_Next(f->other)) != NULL) {
        /* The set has it; our reference would make it look shared. */
        Py_DECREF(item);
        if (f->index == f->size) {
            return changed("set");
        }
        f->index++;
        int result = put_key_leaf(e, item);
        if (result != ENC_DONE) {
            e->child = item;
            return result;
        }
    }
    if (PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_RuntimeError)) {
            return ENC_FAILED;
        }
        PyErr_Clear();
        return changed("set");
    }
    return end_counted(f, "set");
}

/* A frozenset's number comes when it is complete, unless it was met and
 * completed inside itself. */
static int
end_frozenset(encoder *e, enc_frame *f)
{
    if (!f->memo) {
        return ENC_DONE;
    }
    uint32_t number = 0;
    int met = enc_memo_late(e, f->obj, &number);
    if (met < 0 || enc_room(e, ATOLL_WRITE_ROOM) < 0) {
        return ENC_FAILED;
    }
    if (met == 0) {
        atoll_put_u8(&e->w, ATOLL_TAG_END);
    }
    else {
        atoll_put_u8(&e->w, ATOLL_TAG_REPLACED);
        atoll_put_varint(&e->w, number);
    }
    return ENC_DONE;
}

static inline int
step(encoder *e, enc_frame *f)
{
    int result;
    switch ((enc_kind)f->kind) {
    case ENC_LIST:
        return step_list(e, f);
    case ENC_TUPLE:
        return step_items(e, f, ((PyTupleObject *)f->obj)->ob_item);
    case ENC_DICT:
    case ENC_ATTRIBUTES:
        return step_dict(e, f);
    case ENC_SLICE:
        return step_slice(e, f);
    case ENC_SET:
        return step_set(e, f);
    case ENC_FROZENSET:
        result = step_set(e, f);
        return result == ENC_DONE ? end_frozenset(e, f) : result;
    case ENC_REDUCE:
        return enc_step_reduce(e, f);
    case ENC_EXCEPTION:
        return enc_step_exception(e, f);
    default:
        Py_UNREACHABLE();
    }
}

/* ---- opening ---- */

int
enc_run(encoder *e, enc_frame *f)
{
    int result = step(e, f);
    if (result == ENC_OPEN) {
        if (enc_push(e, f) != NULL) {
            return ENC_OPEN;
        }
        result = ENC_FAILED;
    }
    Py_XDECREF(f->other);
    return result;
}

/* Starts a container of `size` items: writes its header and its first items,
 * perhaps all.  Owns: other, taken over. */
static int
open_container(encoder *e, PyObject *obj, enc_kind kind, unsigned tag,
               Py_ssize_t size, PyObject *other)
{
    enc_frame f = {.obj = obj,
                   .other = other,
                   .size = size,
                   .kind = (uint8_t)kind,
                   .memo = (tag & ATOLL_TAG_MEMO) != 0};
    e->at_root = false;
    if (enc_room(e, ATOLL_WRITE_ROOM) < 0) {
        Py_XDECREF(other);
        return ENC_FAILED;
    }
    atoll_put_u8(&e->w, tag);
    if (kind != ENC_SLICE) {
        atoll_put_varint(&e->w, (uint64_t)size);
    }
    return enc_run(e, &f);
}

static int
open_mutable(encoder *e, PyObject *obj, enc_kind kind, unsigned tag,
             Py_ssize_t size)
{
    if (enc_may_be_shared(e, obj)) {
        tag |= ATOLL_TAG_MEMO;
        int met = enc_memo_or_ref(e, obj);
        if (met != 0) {
            return met < 0 ? ENC_FAILED : ENC_DONE;
        }
    }
    return open_container(e, obj, kind, tag, size, NULL);
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
    uint32_t value;
    if (ATOLL_UNLIKELY(e->frozen > 0) && e->memo != NULL
        && atoll_memo_find(e->memo, obj, &value)) {
        size_t times = times_open(e, obj);
        if (times > MOST_TURNS) {
            return too_many_turns(e, obj);
        }
        if (times > 0) {
            /* Perhaps inside a frozenset that is inside this tuple: the
             * receiver must hash it before it can be full, so it gets a
             * copy. */
            return open_container(e, obj, kind, tag, size, NULL);
        }
    }
    return open_mutable(e, obj, kind, tag, size);
}

static int
open_set(encoder *e, PyObject *obj, enc_kind kind)
{
    unsigned tag = kind == ENC_SET ? ATOLL_TAG_SET : ATOLL_TAG_FROZENSET;
    if (enc_may_be_shared(e, obj)) {
        tag |= ATOLL_TAG_MEMO;
        int met = kind == ENC_SET ? enc_memo_or_ref(e, obj) : enc_find(e, obj);
        if (met != 0) {
            return met < 0 ? ENC_FAILED : ENC_DONE;
        }
        if (kind == ENC_FROZENSET && e->frozen > 0
            && times_open(e, obj) > MOST_TURNS) {
            return too_many_turns(e, obj);
        }
    }
    PyObject *iterator = PyObject_GetIter(obj);
    return iterator == NULL ? ENC_FAILED
                            : open_container(e, obj, kind, tag,
                                             PySet_GET_SIZE(obj), iterator);
}

/* Something that is no leaf: ENC_DONE; ENC_OPEN, with its frame pushed and
 * the first of its values that is no leaf in e->child. */
static int
open_value(encoder *e, PyObject *obj)
{
    PyTypeObject *type = Py_TYPE(obj);
    if (type == &PyDict_Type) {
        return open_mutable(e, obj, ENC_DICT, ATOLL_TAG_DICT,
                            PyDict_GET_SIZE(obj));
    }
    if (type == &PyList_Type) {
        return open_mutable(e, obj, ENC_LIST, ATOLL_TAG_LIST,
                            PyList_GET_SIZE(obj));
    }
    if (type == &PyTuple_Type) {
        return open_fixed(e, obj, ENC_TUPLE, ATOLL_TAG_TUPLE,
                          PyTuple_GET_SIZE(obj));
    }
    if (type == &PySet_Type) {
        return open_set(e, obj, ENC_SET);
    }
    if (type == &PyFrozenSet_Type) {
        return open_set(e, obj, ENC_FROZENSET);
    }
    if (type == &PySlice_Type) {
        return open_fixed(e, obj, ENC_SLICE, ATOLL_TAG_SLICE, 3);
    }
    return enc_other(e, obj);
}

/* One root with everything below it. */
static int
write_root(encoder *e, PyObject *obj)
{
    e->at_root = e->arg >= 0;
    int result = put_leaf(e, obj);
    e->child = obj;
    for (;;) {
        if (result == ENC_OPEN) {
            result = open_value(e, e->child);
        }
        else if (result == ENC_FAILED || e->depth == 0) {
            return result;
        }
        else {
            result = step(e, &e->stack[e->depth - 1]);
            if (result == ENC_DONE) {
                pop(e);
            }
        }
    }
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
    e->memo_base = 0;
    e->impure = false;
    e->at_root = false;
    e->flags = flags;
    e->pins = pins;
    e->stack = e->inline_stack;
    e->depth = 0;
    e->cap = ENC_INLINE;
    e->frozen = 0;
    e->reduces = 0;
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

/* A definition is a part of the message that needs it. */
static int
count(encoder *e, int result)
{
    if (result == 0 && !(e->flags & EXT_ENCODE_DEFINITION)) {
        atoll_usage_sent(&e->st->self->usage, e->w.frame->len);
    }
    return result;
}

int
ext_encode(ext_state *st, PyObject *obj, const char *root, unsigned flags,
           ext_pins *pins, atoll_frame *frame)
{
    encoder e;
    start(&e, st, flags, pins, root, frame);
    return count(&e, finish(&e, write_root(&e, obj)));
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
        if (enc_put_key(e, PyTuple_GET_ITEM(kwnames, i)) < 0) {
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
        atoll_usage_sent(&st->self->usage, 1);
        return 0;
    }
    encoder e;
    start(&e, st, flags, pins, NULL, frame);
    return count(&e, finish(&e, write_args(&e, args, nargs, kwnames)));
}
