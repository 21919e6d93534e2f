/* Frames to objects: exceptions.  See encode_exception.c for why.
 *
 * The instance is made by the __new__ of its built-in type, so no class
 * statement's code runs, and as soon as the class is known, so that anything
 * in it may refer to it.  A group needs its members for that: it gets a tuple
 * of placeholders, and the real ones take their places when they are there.
 */
#include "transfer_impl.h"

/* f->size: members of the group + 1, or 0.  f->phase: */
enum {
    READ_CLASS,
    READ_MESSAGE,
    READ_VALUES, /* key: a list of them; index: how many are expected */
};

static int
corrupt_unless(decoder *d, bool good)
{
    return good ? 0 : dec_corrupt(d);
}

int
dec_set_link(decoder *d, PyObject *obj, int which, PyObject *value)
{
    if (!PyExceptionInstance_Check(obj)) {
        return 0; /* its __reduce__ made something else of it */
    }
    PyBaseExceptionObject *exc = (PyBaseExceptionObject *)obj;
    if (which == 2) {
        exc->suppress_context = value == Py_True;
        return corrupt_unless(d, PyBool_Check(value));
    }
    if (value != Py_None && !PyExceptionInstance_Check(value)) {
        return dec_corrupt(d);
    }
    PyObject *link = value == Py_None ? NULL : Py_NewRef(value);
    if (which == 0) {
        PyException_SetCause(obj, link);
    }
    else {
        PyException_SetContext(obj, link);
    }
    return 0;
}

/* The arguments of a group's __new__, with placeholders. */
static PyObject *
group_args(PyTypeObject *cls, PyObject *message, Py_ssize_t size)
{
    /* A group's class depends on what is in it, and may insist. */
    bool plain = PyType_IsSubtype(cls, (PyTypeObject *)PyExc_Exception);
    PyObject *placeholder
        = PyObject_CallNoArgs(plain ? PyExc_Exception : PyExc_BaseException);
    PyObject *members = placeholder == NULL ? NULL : PyTuple_New(size);
    for (Py_ssize_t i = 0; members != NULL && i < size; i++) {
        PyTuple_SET_ITEM(members, i, Py_NewRef(placeholder));
    }
    PyObject *args
        = members == NULL ? NULL : PyTuple_Pack(2, message, members);
    Py_XDECREF(placeholder);
    Py_XDECREF(members);
    return args;
}

/* Replaces the class in f by an instance. */
static int
make(decoder *d, dec_frame *f, PyObject *message)
{
    unsigned parts;
    PyObject *made = NULL;
    if (!atoll_get_u8(&d->r, &parts)
        || (parts != 0 && parts != ATOLL_PART_REPLACED)) {
        return dec_corrupt(d);
    }
    if (parts != 0) {
        if (dec_get_replaced(d, &made) != DEC_DONE) {
            return DEC_FAILED;
        }
        Py_SETREF(f->obj, made);
        f->index = 0;
        return 0;
    }
    PyTypeObject *cls = (PyTypeObject *)f->obj;
    PyTypeObject *base = ext_exception_base(cls);
    bool group
        = PyType_IsSubtype(cls, (PyTypeObject *)PyExc_BaseExceptionGroup);
    if (base == NULL || group != (message != NULL)) {
        return dec_corrupt(d);
    }
    PyObject *args
        = group ? group_args(cls, message, f->size - 1) : PyTuple_New(0);
    if (args != NULL) {
        made = base->tp_new(cls, args, NULL);
        Py_DECREF(args);
    }
    dec_forget_ints(d);
    if (made == NULL) {
        return -1;
    }
    Py_SETREF(f->obj, made);
    if (!PyExceptionInstance_Check(made)) {
        return dec_corrupt(d);
    }
    f->index = EXT_EXC_COUNT + (f->size > 0 ? f->size - 1 : 0);
    f->key = PyList_New(0);
    return f->key == NULL ? -1 : dec_memo(d, made);
}

/* ---- its contents ---- */

static int
set_members(decoder *d, PyObject *obj, PyObject *members)
{
    PyObject *name, *value;
    Py_ssize_t pos = 0;
    PyTypeObject *base = ext_exception_base(Py_TYPE(obj));
    int result = 0;
    while (result == 0 && PyDict_Next(members, &pos, &name, &value)) {
        const char *text
            = PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : NULL;
        if (text == NULL) {
            PyErr_Clear();
            return dec_corrupt(d);
        }
        PyMemberDef *member = ext_exception_member(base, text);
        if (member != NULL) {
            result = PyMember_SetOne((char *)obj, member, value);
        }
        else if (strcmp(text, "characters_written") == 0
                 && PyObject_TypeCheck(obj, (PyTypeObject *)PyExc_OSError)
                 && PyLong_CheckExact(value)) {
            ((PyOSErrorObject *)obj)->written = PyLong_AsSsize_t(value);
            result = PyErr_Occurred() ? -1 : 0;
        }
    }
    return result;
}

/* A built-in type of somebody else's, which keeps we do not know what: its
 * own __init__ may find it in the args. */
static int
init_foreign(PyObject *obj, PyObject *args)
{
    PyTypeObject *base = ext_exception_base(Py_TYPE(obj));
    PyTypeObject *usual = (PyTypeObject *)PyExc_BaseException;
    if (base->tp_init == usual->tp_init || base->tp_members != NULL
        || PyObject_TypeCheck(obj, (PyTypeObject *)PyExc_BaseExceptionGroup)) {
        return 0;
    }
    if (base->tp_init(obj, args, NULL) < 0) {
        if (!PyErr_ExceptionMatches(PyExc_Exception)
            || PyErr_ExceptionMatches(PyExc_MemoryError)) {
            return -1;
        }
        PyErr_Clear();
    }
    return 0;
}

static int
set_slots(PyObject *obj, PyObject *slots)
{
    PyObject *name, *value;
    Py_ssize_t pos = 0;
    int result = 0;
    while (result == 0 && PyDict_Next(slots, &pos, &name, &value)) {
        result = PyObject_GenericSetAttr(obj, name, value);
    }
    return result;
}

static int
fill_group(decoder *d, PyObject *obj, PyObject *const *members,
           Py_ssize_t size)
{
    PyObject *tuple = ((PyBaseExceptionGroupObject *)obj)->excs;
    if (tuple == NULL || PyTuple_GET_SIZE(tuple) != size) {
        return dec_corrupt(d);
    }
    for (Py_ssize_t i = 0; i < size; i++) {
        if (!PyExceptionInstance_Check(members[i])) {
            return dec_corrupt(d);
        }
        Py_SETREF(((PyTupleObject *)tuple)->ob_item[i], Py_NewRef(members[i]));
    }
    return 0;
}

static bool
is_dict_or_none(PyObject *value)
{
    return value == Py_None || PyDict_CheckExact(value);
}

static int
fill_instance(decoder *d, dec_frame *f)
{
    PyObject *obj = f->obj;
    PyObject **items = ((PyListObject *)f->key)->ob_item;
    if (f->size > 1 && fill_group(d, obj, items, f->size - 1) < 0) {
        return -1;
    }
    items += f->size > 0 ? f->size - 1 : 0;
    PyObject *dict = items[EXT_EXC_DICT], *slots = items[EXT_EXC_SLOTS];
    PyObject *members = items[EXT_EXC_MEMBERS];
    if (!PyTuple_CheckExact(items[EXT_EXC_ARGS]) || !is_dict_or_none(dict)
        || !is_dict_or_none(slots) || !is_dict_or_none(members)) {
        return dec_corrupt(d);
    }
    if (init_foreign(obj, items[EXT_EXC_ARGS]) < 0
        || (members != Py_None && set_members(d, obj, members) < 0)) {
        return -1;
    }
    PyException_SetArgs(obj, items[EXT_EXC_ARGS]);
    if (dict != Py_None) {
        PyBaseExceptionObject *exc = (PyBaseExceptionObject *)obj;
        if (exc->dict == NULL) {
            exc->dict = PyDict_New();
        }
        if (exc->dict == NULL || PyDict_Update(exc->dict, dict) < 0) {
            return -1;
        }
    }
    if (slots != Py_None && set_slots(obj, slots) < 0) {
        return -1;
    }
    for (int i = 0; i < 3; i++) { /* the cause sets suppress */
        if (dec_set_link(d, obj, i, items[EXT_EXC_CAUSE + i]) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- the frame ---- */

static int
take(decoder *d, dec_frame *f, PyObject *value)
{
    switch (f->phase) {
    case READ_CLASS:
        f->obj = Py_NewRef(value);
        if (!PyExceptionClass_Check(value)) {
            return dec_corrupt(d);
        }
        f->phase = f->size > 0 ? READ_MESSAGE : READ_VALUES;
        return f->size > 0 ? 0 : make(d, f, NULL);
    case READ_MESSAGE:
        f->phase = READ_VALUES;
        return make(d, f, value);
    default:
        return PyList_Append(f->key, value);
    }
}

int
dec_fill_exception(decoder *d, dec_frame *f, PyObject *value)
{
    for (;;) {
        if (value != NULL) {
            int status = take(d, f, value);
            Py_DECREF(value);
            if (status < 0) {
                return DEC_FAILED;
            }
        }
        if (f->phase == READ_VALUES) {
            if (f->index == 0) {
                return DEC_DONE;
            }
            if (PyList_GET_SIZE(f->key) == f->index) {
                int status = fill_instance(d, f);
                Py_CLEAR(f->key);
                dec_forget_ints(d);
                return status < 0 ? DEC_FAILED : DEC_DONE;
            }
        }
        value = NULL;
        int result = dec_leaf(d, &value);
        if (result != DEC_DONE) {
            return result;
        }
    }
}

int
dec_open_exception(decoder *d, PyObject **out)
{
    size_t size;
    if (!atoll_get_count(&d->r, 1, &size) || size == 1) {
        return dec_corrupt(d);
    }
    dec_frame f = {
        .kind = DEC_EXCEPTION, .phase = READ_CLASS, .size = (Py_ssize_t)size};
    return dec_run(d, &f, out);
}
