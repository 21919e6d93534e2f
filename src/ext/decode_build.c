/* Frames to objects: what is not native.
 *
 * By reference: a registered type's unpack, a definition, a name to import.
 * Else an object is made by a call, gets its memo number, and is given its
 * items, its pairs and its state, in this order, as pickle does it.
 *
 * All of this runs Python code.  An error there is raised as it is, with a
 * note that says what was being rebuilt.
 *
 * A state that refers to a tuple which is not full yet waits until it is
 * (see decode.c) if Python code is to receive it.
 */
#include "transfer_impl.h"

#include "function.h"

static void
add_note(PyObject *note)
{
    PyObject *error = PyErr_GetRaisedException();
    if (note != NULL) {
        PyObject *done = PyObject_CallMethod(error, "add_note", "O", note);
        Py_XDECREF(done);
    }
    PyErr_Clear(); /* the error itself matters more */
    PyErr_SetRaisedException(error);
}

/* Says in a note of the exception that is set what could not be rebuilt, by
 * the callable that would have made it.  Returns DEC_FAILED. */
static int
fail_rebuilding(decoder *d, PyObject *callable)
{
    PyObject *error = PyErr_GetRaisedException();
    PyObject *module = NULL, *name = NULL, *note = NULL;
    ext_names *names = &d->part->names;
    if (ext_compat_getattr_optional(callable, names->module, &module) >= 0
        && ext_compat_getattr_optional(callable, names->qualname, &name) >= 0
        && module != NULL && PyUnicode_CheckExact(module) && name != NULL
        && PyUnicode_CheckExact(name)) {
        note = PyUnicode_FromFormat(
            "(atoll: while rebuilding a value that was sent, by %U.%U)",
            module, name);
    }
    PyErr_Clear();
    PyErr_SetRaisedException(error);
    add_note(note);
    Py_XDECREF(module);
    Py_XDECREF(name);
    Py_XDECREF(note);
    return DEC_FAILED;
}

/* Python code has run, and its result is *out or an exception. */
static int
finish_value(decoder *d, PyObject **out)
{
    dec_forget_ints(d);
    if (*out == NULL) {
        return DEC_FAILED;
    }
    if (dec_memo(d, *out) < 0) {
        Py_CLEAR(*out);
        return DEC_FAILED;
    }
    return DEC_DONE;
}

/* ---- by reference ---- */

static int
open_crossing(decoder *d, PyObject **out)
{
    uint64_t type;
    if (!atoll_get_varint(&d->r, &type) || type >= EXT_MAX_CROSSINGS) {
        return dec_corrupt(d);
    }
    if (d->part->crossings[type].type == NULL
        && ext_module_load_all(d->st) < 0) {
        return DEC_FAILED;
    }
    if (d->part->crossings[type].type == NULL) {
        return dec_corrupt(d);
    }
    const ext_crossing *crossing = d->part->crossings[type].crossing;
    void *ptr = atoll_get_attachment(&d->r, d->frame, crossing->ops);
    if (ptr == NULL) {
        return dec_corrupt(d);
    }
    *out = crossing->unpack(d->st, ptr);
    return finish_value(d, out);
}

static int
open_definition(decoder *d, PyObject **out)
{
    atoll_def *def = atoll_get_attachment(&d->r, d->frame, &atoll_def_ops);
    if (def == NULL) {
        return dec_corrupt(d);
    }
    *out = ext_function_resolve(d->st, def);
    return finish_value(d, out);
}

PyObject *
ext_follow_name(PyObject *from, PyObject *name)
{
    PyObject *dot = PyUnicode_FromString(".");
    PyObject *parts = dot == NULL ? NULL : PyUnicode_Split(name, dot, -1);
    Py_XDECREF(dot);
    PyObject *found = parts == NULL ? NULL : Py_NewRef(from);
    for (Py_ssize_t i = 0; found != NULL && i < PyList_GET_SIZE(parts); i++) {
        Py_SETREF(found, PyObject_GetAttr(found, PyList_GET_ITEM(parts, i)));
    }
    Py_XDECREF(parts);
    return found;
}

static int
get_name(decoder *d, PyObject **out)
{
    int result = dec_leaf(d, out);
    if (result == DEC_OPEN) {
        return dec_corrupt(d);
    }
    if (result == DEC_DONE && !PyUnicode_CheckExact(*out)) {
        Py_CLEAR(*out);
        return dec_corrupt(d);
    }
    return result;
}

static int
open_global(decoder *d, PyObject **out)
{
    PyObject *module = NULL, *name = NULL;
    if (get_name(d, &module) != DEC_DONE || get_name(d, &name) != DEC_DONE) {
        Py_XDECREF(module);
        return DEC_FAILED;
    }
    PyObject *loaded = PyImport_Import(module);
    *out = loaded == NULL ? NULL : ext_follow_name(loaded, name);
    if (*out == NULL) {
        PyObject *error = PyErr_GetRaisedException();
        PyObject *note = PyUnicode_FromFormat(
            "(atoll: while looking for %U.%U, which was sent by reference)",
            module, name);
        PyErr_Clear();
        PyErr_SetRaisedException(error);
        add_note(note);
        Py_XDECREF(note);
    }
    Py_XDECREF(loaded);
    Py_DECREF(module);
    Py_DECREF(name);
    return finish_value(d, out);
}

/* ---- an object that a call makes ---- */

/* What is read next, and what key is meanwhile. */
enum {
    READ_CALLABLE,
    READ_ARGS,
    READ_KWARGS, /* the args */
    READ_ITEMS,  /* a list of those read so far, or NULL */
    READ_PAIRS,  /* a key whose value comes next, or NULL */
    READ_SETTER,
    READ_STATE, /* the setter, or NULL */
    READ_CAUSE,
    READ_CONTEXT,
    READ_SUPPRESS,
    READ_NOTES,
    READ_NOTHING,
};

/* Moves f from its phase to the next that its parts ask for. */
static void
go_on(dec_frame *f)
{
    static const uint8_t needs[READ_NOTHING] = {
        [READ_ITEMS] = ATOLL_PART_ITEMS,    [READ_PAIRS] = ATOLL_PART_PAIRS,
        [READ_SETTER] = ATOLL_PART_SETTER,  [READ_STATE] = ATOLL_PART_STATE,
        [READ_CAUSE] = ATOLL_PART_CHAIN,    [READ_CONTEXT] = ATOLL_PART_CHAIN,
        [READ_SUPPRESS] = ATOLL_PART_CHAIN, [READ_NOTES] = ATOLL_PART_CHAIN,
    };
    do {
        f->phase++;
    } while (f->phase < READ_NOTHING && !(f->parts & needs[f->phase]));
}

static PyObject *
call(decoder *d, dec_frame *f, PyObject *kwargs)
{
    PyObject *callable = f->obj, *made;
    if (f->size == ATOLL_TAG_REDUCE) {
        made = PyObject_Call(callable, f->key, NULL);
    }
    else if (!PyType_Check(callable)
             || ((PyTypeObject *)callable)->tp_new == NULL) {
        PyErr_Format(PyExc_TypeError, "cannot make instances of %R", callable);
        made = NULL;
    }
    else {
        PyTypeObject *type = (PyTypeObject *)callable;
        made = type->tp_new(type, f->key, kwargs);
    }
    dec_forget_ints(d);
    if (made == NULL) {
        fail_rebuilding(d, callable);
    }
    return made;
}

int
dec_get_replaced(decoder *d, PyObject **out)
{
    uint64_t number;
    if (!atoll_get_varint(&d->r, &number) || number >= d->n_memo
        || dec_is_filling(d->memo[number])) {
        return dec_corrupt(d);
    }
    *out = Py_NewRef(d->memo[number]);
    return DEC_DONE;
}

/* Makes the object of f, whose args are in key. */
static int
make(decoder *d, dec_frame *f, PyObject *kwargs)
{
    unsigned parts;
    PyObject *made;
    if (!atoll_get_u8(&d->r, &parts) || (parts & ~ATOLL_PART_ALL) != 0
        || ((parts & ATOLL_PART_REPLACED) && parts != ATOLL_PART_REPLACED)) {
        return dec_corrupt(d);
    }
    if (parts == ATOLL_PART_REPLACED) {
        if (dec_get_replaced(d, &made) != DEC_DONE) {
            return DEC_FAILED;
        }
        parts = 0;
    }
    else {
        made = call(d, f, kwargs);
        if (made == NULL) {
            return DEC_FAILED;
        }
        if (dec_memo(d, made) < 0) {
            Py_DECREF(made);
            return DEC_FAILED;
        }
    }
    Py_SETREF(f->obj, made);
    Py_CLEAR(f->key);
    f->parts = (uint8_t)parts;
    f->phase = READ_KWARGS;
    go_on(f);
    return DEC_DONE;
}

/* ---- its contents ---- */

/* Extends obj with the items of list, as pickle does it. */
static int
extend(decoder *d, PyObject *obj, PyObject *list)
{
    ext_names *names = &d->part->names;
    PyObject *method = NULL, *done;
    if (PyList_CheckExact(obj)) {
        Py_ssize_t size = PyList_GET_SIZE(obj);
        return PyList_SetSlice(obj, size, size, list);
    }
    int found = ext_compat_getattr_optional(obj, names->extend, &method);
    if (found > 0) {
        done = PyObject_CallOneArg(method, list);
        Py_DECREF(method);
        Py_XDECREF(done);
        return done == NULL ? -1 : 0;
    }
    for (Py_ssize_t i = 0; found == 0 && i < PyList_GET_SIZE(list); i++) {
        done = PyObject_CallMethodOneArg(obj, names->append,
                                         PyList_GET_ITEM(list, i));
        found = done == NULL ? -1 : 0;
        Py_XDECREF(done);
    }
    return found;
}

static int
set_attributes(PyObject *obj, PyObject *attributes)
{
    PyObject *name, *value;
    Py_ssize_t pos = 0;
    int result = 0;
    while (result == 0 && PyDict_Next(attributes, &pos, &name, &value)) {
        result = PyObject_SetAttr(obj, name, value);
    }
    return result;
}

static int
set_dict(decoder *d, PyObject *obj, PyObject *state)
{
    PyObject *dict = PyObject_GetAttr(obj, d->part->names.dict);
    PyObject *name, *value;
    Py_ssize_t pos = 0;
    int result = dict == NULL ? -1 : 0;
    while (result == 0 && PyDict_Next(state, &pos, &name, &value)) {
        Py_INCREF(name);
        if (PyUnicode_CheckExact(name)) {
            PyUnicode_InternInPlace(&name); /* as attributes' names are */
        }
        result = PyDict_CheckExact(dict) ? PyDict_SetItem(dict, name, value)
                                         : PyObject_SetItem(dict, name, value);
        Py_DECREF(name);
    }
    Py_XDECREF(dict);
    return result;
}

/* A state without a setter and without __setstate__. */
static int
set_plain_state(decoder *d, PyObject *obj, PyObject *state)
{
    PyObject *slots = Py_None;
    if (PyTuple_CheckExact(state) && PyTuple_GET_SIZE(state) == 2) {
        slots = PyTuple_GET_ITEM(state, 1);
        state = PyTuple_GET_ITEM(state, 0);
    }
    if ((state != Py_None && !PyDict_CheckExact(state))
        || (slots != Py_None && !PyDict_CheckExact(slots))) {
        PyErr_SetString(PyExc_TypeError,
                        "the state of an object without __setstate__ must be "
                        "a dict");
        return -1;
    }
    if (state != Py_None && PyDict_GET_SIZE(state) > 0
        && set_dict(d, obj, state) < 0) {
        return -1;
    }
    return slots == Py_None ? 0 : set_attributes(obj, slots);
}

int
dec_set_state(decoder *d, PyObject *obj, PyObject *setter, PyObject *state)
{
    PyObject *method = NULL, *done = NULL;
    int result = 0;
    if (setter != NULL) {
        done = PyObject_CallFunctionObjArgs(setter, obj, state, NULL);
        result = done == NULL ? -1 : 0;
    }
    else {
        result = ext_compat_getattr_optional(obj, d->part->names.setstate,
                                             &method);
        if (result > 0) {
            done = PyObject_CallOneArg(method, state);
            result = done == NULL ? -1 : 0;
        }
        else if (result == 0) {
            result = set_plain_state(d, obj, state);
        }
    }
    Py_XDECREF(method);
    Py_XDECREF(done);
    dec_forget_ints(d);
    if (result < 0) {
        fail_rebuilding(d, (PyObject *)Py_TYPE(obj));
    }
    return result;
}

/* The same, or later. */
static int
take_state(decoder *d, dec_frame *f, PyObject *state)
{
    if (d->exposed > 0) {
        int code = f->key != NULL
                       ? 1
                       : PyObject_HasAttr(f->obj, d->part->names.setstate);
        if (code > 0) {
            return dec_defer_state(d, f->obj, f->key, state);
        }
    }
    return dec_set_state(d, f->obj, f->key, state);
}

static int
take_pair(decoder *d, dec_frame *f, PyObject *value)
{
    if (f->key == NULL) {
        f->key = Py_NewRef(value);
        return 0;
    }
    PyObject *key = f->key;
    f->key = NULL;
    int result = dec_put(d, f, key, value);
    Py_DECREF(key);
    dec_forget_ints(d);
    return result;
}

static int
take_notes(decoder *d, PyObject *exc, PyObject *notes)
{
    if (notes == Py_None || !PyExceptionInstance_Check(exc)) {
        return 0;
    }
    PyBaseExceptionObject *self = (PyBaseExceptionObject *)exc;
    if (self->dict == NULL) {
        self->dict = PyDict_New();
    }
    return self->dict == NULL
                   || PyDict_SetDefault(self->dict, d->part->names.notes,
                                        notes)
                          == NULL
               ? -1
               : 0;
}

/* Uses a value in f's phase; 0, or -1 with an exception. */
static int
take(decoder *d, dec_frame *f, PyObject *value)
{
    switch (f->phase) {
    case READ_CALLABLE:
        Py_XSETREF(f->obj, Py_NewRef(value));
        f->phase = READ_ARGS;
        return 0;
    case READ_ARGS:
        if (!PyTuple_CheckExact(value)) {
            return dec_corrupt(d);
        }
        f->key = Py_NewRef(value);
        if (f->size == ATOLL_TAG_NEWOBJ_EX) {
            f->phase = READ_KWARGS;
            return 0;
        }
        return make(d, f, NULL);
    case READ_KWARGS:
        return PyDict_CheckExact(value) ? make(d, f, value) : dec_corrupt(d);
    case READ_ITEMS:
        if (f->key == NULL) {
            f->key = PyList_New(0);
        }
        return f->key == NULL ? -1 : PyList_Append(f->key, value);
    case READ_PAIRS:
        return take_pair(d, f, value);
    case READ_SETTER:
        f->key = Py_NewRef(value);
        break;
    case READ_STATE:
        if (take_state(d, f, value) < 0) {
            return -1;
        }
        Py_CLEAR(f->key);
        break;
    case READ_NOTES:
        if (take_notes(d, f->obj, value) < 0) {
            return -1;
        }
        break;
    default:
        if (dec_set_link(d, f->obj, f->phase - READ_CAUSE, value) < 0) {
            return -1;
        }
    }
    go_on(f);
    return 0;
}

/* The end of the items or pairs. */
static int
end_many(decoder *d, dec_frame *f)
{
    if (f->phase == READ_ITEMS && f->key != NULL) {
        PyObject *list = f->key;
        f->key = NULL;
        int result = extend(d, f->obj, list);
        Py_DECREF(list);
        dec_forget_ints(d);
        if (result < 0) {
            return fail_rebuilding(d, (PyObject *)Py_TYPE(f->obj));
        }
    }
    go_on(f);
    return DEC_DONE;
}

int
dec_fill_object(decoder *d, dec_frame *f, PyObject *value)
{
    for (;;) {
        if (value != NULL) {
            int status = take(d, f, value);
            Py_DECREF(value);
            if (status < 0) {
                return DEC_FAILED;
            }
        }
        if (f->phase == READ_NOTHING) {
            return DEC_DONE;
        }
        value = NULL;
        bool may_end = f->phase == READ_ITEMS
                       || (f->phase == READ_PAIRS && f->key == NULL);
        if (may_end && d->r.at != d->r.end && *d->r.at == ATOLL_TAG_END) {
            d->r.at++;
            if (end_many(d, f) != DEC_DONE) {
                return DEC_FAILED;
            }
            continue;
        }
        int result = dec_leaf(d, &value);
        if (result != DEC_DONE) {
            return result;
        }
    }
}

/* ---- nothing but a class and attributes ---- */

static int
end_instance(decoder *d, dec_frame *f)
{
    PyObject *made = Py_NewRef(d->memo[f->memo]);
    PyObject *state = f->obj;
    f->obj = made;
    int result = 0;
    if (f->phase == 0 && f->size > 0) {
        /* It is plain where it came from only. */
        result = d->exposed > 0 ? dec_defer_state(d, made, NULL, state)
                                : dec_set_state(d, made, NULL, state);
    }
    Py_DECREF(state);
    return result < 0 ? DEC_FAILED : DEC_DONE;
}

int
dec_fill_instance(decoder *d, dec_frame *f, PyObject *value)
{
    for (;;) {
        if (value == NULL) {
            if (f->key == NULL && f->index == f->size) {
                return end_instance(d, f);
            }
            int result = dec_leaf(d, &value);
            if (result != DEC_DONE) {
                return result;
            }
        }
        if (f->key == NULL) {
            f->key = value;
            value = NULL;
            if (PyUnicode_CheckExact(f->key)
                && !PyUnicode_CHECK_INTERNED(f->key)) {
                PyUnicode_InternInPlace(&f->key);
            }
            continue;
        }
        PyObject *key = f->key;
        f->key = NULL;
        f->index++;
        int status = PyDict_SetItem(f->obj, key, value);
        Py_DECREF(key);
        Py_DECREF(value);
        value = NULL;
        if (status < 0) {
            return DEC_FAILED;
        }
        if (PyDict_GET_SIZE(f->obj) != f->index) {
            dec_forget_ints(d);
        }
    }
}

/* The class of an instance, which is no value that would need a frame. */
static int
get_class(decoder *d, PyObject **out)
{
    int result = dec_leaf(d, out);
    unsigned tag;
    if (result == DEC_OPEN) {
        if (!atoll_get_u8(&d->r, &tag)) {
            return dec_corrupt(d);
        }
        result = tag == ATOLL_TAG_DEF      ? open_definition(d, out)
                 : tag == ATOLL_TAG_GLOBAL ? open_global(d, out)
                                           : dec_corrupt(d);
    }
    return result;
}

static int
open_instance(decoder *d, PyObject **out)
{
    size_t size;
    dec_frame f = {.kind = DEC_OBJECT, .size = ATOLL_TAG_NEWOBJ};
    if (get_class(d, &f.obj) != DEC_DONE) {
        return DEC_FAILED;
    }
    PyTypeObject *type = (PyTypeObject *)f.obj;
    bool plain = PyType_Check(f.obj) && ext_is_plain(d->part, type);
    f.key = PyTuple_New(0);
    PyObject *made = f.key == NULL ? NULL : call(d, &f, NULL);
    Py_DECREF(f.obj);
    Py_CLEAR(f.key);
    if (made == NULL) {
        return DEC_FAILED;
    }
    plain = plain && Py_TYPE(made) == type;
    f.kind = DEC_INSTANCE;
    f.memo = d->n_memo;
    f.phase = plain;
    int result = dec_memo(d, made);
    f.obj = result < 0 ? NULL
            : plain    ? PyObject_GenericGetDict(made, NULL)
                       : PyDict_New();
    Py_DECREF(made); /* the memo has it */
    if (f.obj == NULL) {
        return DEC_FAILED;
    }
    if (!atoll_get_count(&d->r, 2, &size)) {
        Py_DECREF(f.obj);
        return dec_corrupt(d);
    }
    f.size = (Py_ssize_t)size;
    return dec_run(d, &f, out);
}

int
dec_open_other(decoder *d, unsigned tag, PyObject **out)
{
    if (d->native) {
        return dec_corrupt(d);
    }
    d->impure = true;
    dec_frame f = {.kind = DEC_OBJECT, .size = (Py_ssize_t)tag};
    switch (tag) {
    case ATOLL_TAG_CROSSING:
        return open_crossing(d, out);
    case ATOLL_TAG_DEF:
        return open_definition(d, out);
    case ATOLL_TAG_GLOBAL:
        return open_global(d, out);
    case ATOLL_TAG_REDUCE:
    case ATOLL_TAG_NEWOBJ:
    case ATOLL_TAG_NEWOBJ_EX:
        return dec_run(d, &f, out);
    case ATOLL_TAG_INSTANCE:
        return open_instance(d, out);
    case ATOLL_TAG_EXCEPTION:
        return dec_open_exception(d, out);
    default:
        return dec_corrupt(d);
    }
}
