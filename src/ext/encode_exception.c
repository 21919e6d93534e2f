/* Objects to frames: exceptions.
 *
 * Pickle rebuilds an exception by calling its class with its args, which
 * fails for every class whose __init__ takes something else, and drops what
 * raising it has left in it.  Here an exception is taken apart into its
 * class, args, the members of its built-in type (OSError's errno), __dict__
 * with the notes, slots, __cause__, __context__ and a group's members; the
 * receiver fills a new instance with them and calls no __init__.  Tracebacks
 * stay at home.
 *
 * A class that says itself how its instances are pickled is believed.
 */
#include "transfer_impl.h"

PyTypeObject *
ext_exception_base(PyTypeObject *cls)
{
    PyTypeObject *base = NULL;
    PyObject *mro = cls->tp_mro;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(mro); i++) {
        PyTypeObject *type = (PyTypeObject *)PyTuple_GET_ITEM(mro, i);
        if (!(type->tp_flags & Py_TPFLAGS_HEAPTYPE)
            && PyExceptionClass_Check((PyObject *)type)
            && (base == NULL || type->tp_basicsize > base->tp_basicsize)) {
            base = type;
        }
    }
    return base;
}

static bool
is_sent(const PyMemberDef *member)
{
    /* AttributeError.obj may be anything; pickle leaves it, too. */
    return !(member->flags & Py_READONLY) && member->name[0] != '_'
           && strcmp(member->name, "obj") != 0;
}

PyMemberDef *
ext_exception_member(PyTypeObject *base, const char *name)
{
    PyTypeObject *last = (PyTypeObject *)PyExc_BaseException;
    for (; base != NULL && base != last; base = base->tp_base) {
        PyMemberDef *member = base->tp_members;
        for (; member != NULL && member->name != NULL; member++) {
            if (strcmp(member->name, name) == 0) {
                return is_sent(member) ? member : NULL;
            }
        }
    }
    return NULL;
}

/* A class statement's own say in pickling: 1, 0, -1. */
static int
has_own_way(transfer_part *part, PyTypeObject *cls)
{
    static const char *const names[]
        = {"__reduce__", "__reduce_ex__", "__setstate__", "__getstate__"};
    int found = PyDict_Contains(part->dispatch_table, (PyObject *)cls);
    PyObject *mro = cls->tp_mro;
    for (Py_ssize_t i = 0; found == 0 && i < PyTuple_GET_SIZE(mro); i++) {
        PyTypeObject *type = (PyTypeObject *)PyTuple_GET_ITEM(mro, i);
        if (!(type->tp_flags & Py_TPFLAGS_HEAPTYPE)) {
            continue;
        }
        PyObject *dict = PyType_GetDict(type);
        for (size_t n = 0; found == 0 && n < Py_ARRAY_LENGTH(names); n++) {
            PyObject *name = PyUnicode_FromString(names[n]);
            found = name == NULL ? -1 : PyDict_Contains(dict, name);
            Py_XDECREF(name);
        }
        Py_XDECREF(dict);
    }
    return found;
}

/* OSError's characters_written, which is no plain member.  Takes over and
 * returns members. */
static PyObject *
add_written(PyObject *members, PyObject *obj)
{
    if (!PyObject_TypeCheck(obj, (PyTypeObject *)PyExc_OSError)
        || ((PyOSErrorObject *)obj)->written == -1) {
        return members;
    }
    PyObject *written = PyLong_FromSsize_t(((PyOSErrorObject *)obj)->written);
    if (written == NULL
        || PyDict_SetItemString(members, "characters_written", written) < 0) {
        Py_CLEAR(members);
    }
    Py_XDECREF(written);
    return members;
}

/* The members that are set, by name; None if there are none. */
static PyObject *
members_of(PyObject *obj)
{
    PyTypeObject *last = (PyTypeObject *)PyExc_BaseException;
    PyTypeObject *base = ext_exception_base(Py_TYPE(obj));
    PyObject *members = NULL;
    for (; base != NULL && base != last; base = base->tp_base) {
        PyMemberDef *member = base->tp_members;
        for (; member != NULL && member->name != NULL; member++) {
            if (!is_sent(member)) {
                continue;
            }
            PyObject *value = PyMember_GetOne((const char *)obj, member);
            if (value == NULL) {
                PyErr_Clear(); /* not set */
                continue;
            }
            if (members == NULL) {
                members = PyDict_New();
            }
            if (members == NULL
                || (value != Py_None
                    && PyDict_SetItemString(members, member->name, value)
                           < 0)) {
                Py_XDECREF(members);
                Py_DECREF(value);
                return NULL;
            }
            Py_DECREF(value);
        }
    }
    if (members == NULL) {
        return Py_NewRef(Py_None);
    }
    return add_written(members, obj);
}

/* The values of its slots by name; None if there are none. */
static PyObject *
slots_of(transfer_part *part, PyObject *obj)
{
    PyTypeObject *base = ext_exception_base(Py_TYPE(obj));
    if (Py_TYPE(obj)->tp_basicsize == base->tp_basicsize) {
        return Py_NewRef(Py_None);
    }
    PyObject *names
        = PyObject_CallOneArg(part->slotnames, (PyObject *)Py_TYPE(obj));
    PyObject *slots = names == NULL ? NULL : PyDict_New();
    for (Py_ssize_t i = 0;
         slots != NULL && PyList_Check(names) && i < PyList_GET_SIZE(names);
         i++) {
        PyObject *name = Py_NewRef(PyList_GET_ITEM(names, i));
        PyObject *value;
        int found = ext_compat_getattr_optional(obj, name, &value);
        if (found < 0
            || (found > 0 && PyDict_SetItem(slots, name, value) < 0)) {
            Py_CLEAR(slots);
        }
        Py_DECREF(name);
        Py_XDECREF(value);
    }
    Py_XDECREF(names);
    return slots;
}

/* The tuple of the values to write: the class, a group's message and
 * members, then those that EXT_EXC_... name. */
static PyObject *
take_apart(transfer_part *part, PyObject *obj, PyObject *members_of_group)
{
    PyBaseExceptionObject *exc = (PyBaseExceptionObject *)obj;
    Py_ssize_t head = 1;
    if (members_of_group != NULL) {
        head += 1 + PyTuple_GET_SIZE(members_of_group);
    }
    PyObject *values = PyTuple_New(head + EXT_EXC_COUNT);
    PyObject *members = members_of(obj);
    PyObject *slots = slots_of(part, obj);
    if (values == NULL || members == NULL || slots == NULL) {
        Py_XDECREF(values);
        Py_XDECREF(members);
        Py_XDECREF(slots);
        return NULL;
    }
    PyObject **items = ((PyTupleObject *)values)->ob_item;
    items[0] = Py_NewRef(Py_TYPE(obj));
    if (members_of_group != NULL) {
        PyBaseExceptionGroupObject *group = (PyBaseExceptionGroupObject *)obj;
        items[1] = Py_NewRef(group->msg);
        for (Py_ssize_t i = 2; i < head; i++) {
            items[i] = Py_NewRef(PyTuple_GET_ITEM(members_of_group, i - 2));
        }
    }
    items += head;
    items[EXT_EXC_ARGS] = PyException_GetArgs(obj);
    items[EXT_EXC_MEMBERS] = members;
    items[EXT_EXC_DICT] = Py_NewRef(exc->dict == NULL ? Py_None : exc->dict);
    items[EXT_EXC_SLOTS] = slots;
    items[EXT_EXC_CAUSE]
        = Py_NewRef(exc->cause == NULL ? Py_None : exc->cause);
    items[EXT_EXC_CONTEXT]
        = Py_NewRef(exc->context == NULL ? Py_None : exc->context);
    items[EXT_EXC_SUPPRESS]
        = Py_NewRef(exc->suppress_context ? Py_True : Py_False);
    return values;
}

int
enc_exception(encoder *e, PyObject *obj, int *out_result)
{
    int own = has_own_way(e->part, Py_TYPE(obj));
    if (own != 0) {
        return own < 0 ? -1 : 0;
    }
    PyObject *group = NULL;
    if (PyObject_TypeCheck(obj, (PyTypeObject *)PyExc_BaseExceptionGroup)) {
        group = ((PyBaseExceptionGroupObject *)obj)->excs;
    }
    PyObject *values = take_apart(e->part, obj, group);
    if (values == NULL) {
        return -1;
    }
    enc_frame f = {.obj = obj,
                   .other = values,
                   .size = PyTuple_GET_SIZE(values),
                   .pos = group == NULL ? 1 : 2,
                   .kind = ENC_EXCEPTION,
                   .index = 1};
    *out_result = ENC_FAILED;
    if (enc_room(e, ATOLL_WRITE_ROOM) == 0) {
        atoll_put_u8(&e->w, ATOLL_TAG_EXCEPTION);
        atoll_put_varint(
            &e->w, group == NULL ? 0 : (uint64_t)PyTuple_GET_SIZE(group) + 1);
        e->child = PyTuple_GET_ITEM(values, 0);
        if (enc_push(e, &f) != NULL) {
            *out_result = ENC_OPEN;
            return 1;
        }
    }
    Py_DECREF(values);
    return 1;
}

/* The receiver can make it as soon as it has the class and, for a group, the
 * message; from then on it has a number. */
int
enc_step_exception(encoder *e, enc_frame *f)
{
    while (f->index < f->size) {
        if (f->index == f->pos && !f->memo) {
            f->memo = true;
            uint32_t number = 0;
            int met = enc_memo_late(e, f->obj, &number);
            if (met < 0 || enc_room(e, ATOLL_WRITE_ROOM) < 0) {
                return ENC_FAILED;
            }
            if (met > 0) { /* a class by value may hold its instance */
                atoll_put_u8(&e->w, ATOLL_PART_REPLACED);
                atoll_put_varint(&e->w, number);
                return ENC_DONE;
            }
            atoll_put_u8(&e->w, 0);
        }
        int result = enc_leaf(e, PyTuple_GET_ITEM(f->other, f->index++));
        if (result != ENC_DONE) {
            return result;
        }
    }
    return ENC_DONE;
}
