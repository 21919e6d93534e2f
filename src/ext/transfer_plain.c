/* Which types have plain instances: an ordinary class statement's, without
 * slots, without a say in pickling.
 *
 * What object.__reduce_ex__ answers for such an instance is known before it
 * is asked: the class, called through __new__ with no arguments, and the
 * __dict__.  Most objects that programs send are of this kind (dataclasses),
 * and to ask costs more than all the rest.
 *
 * The verdict is kept under the number that CPython gives to each state of a
 * type for its own caches, so a change of the class makes it void.
 */
#include "transfer_impl.h"

/* Looks without running a metaclass's or a descriptor's code: in the dicts.
 * object itself has the first three, and they are what is known. */
static bool
has_a_say(PyTypeObject *type)
{
    static const char *const names[] = {
        "__reduce_ex__",     "__reduce__",     "__getstate__",
        "__getnewargs_ex__", "__getnewargs__", "__setstate__",
    };
    for (size_t n = 0; n < Py_ARRAY_LENGTH(names); n++) {
        PyObject *name = PyUnicode_FromString(names[n]);
        if (name == NULL) {
            return true;
        }
        int found = 0;
        PyObject *mro = type->tp_mro;
        for (Py_ssize_t i = 0; found == 0 && i < PyTuple_GET_SIZE(mro); i++) {
            PyTypeObject *base = (PyTypeObject *)PyTuple_GET_ITEM(mro, i);
            PyObject *dict
                = base == &PyBaseObject_Type ? NULL : PyType_GetDict(base);
            if (dict != NULL) {
                found = PyDict_Contains(dict, name);
                Py_DECREF(dict);
            }
        }
        Py_DECREF(name);
        if (found != 0) {
            return true;
        }
    }
    return false;
}

static bool
look(PyTypeObject *type)
{
    bool plain = (type->tp_flags & Py_TPFLAGS_HEAPTYPE)
                 && (type->tp_flags & Py_TPFLAGS_MANAGED_DICT)
                 && type->tp_basicsize == PyBaseObject_Type.tp_basicsize
                 && type->tp_itemsize == 0
                 && type->tp_getattro == PyObject_GenericGetAttr
                 /* copyreg's table is asked by the type's hash */
                 && Py_TYPE(type)->tp_hash == PyType_Type.tp_hash
                 && type->tp_mro != NULL && !has_a_say(type);
    PyErr_Clear(); /* out of memory: the long way will meet it again */
    return plain;
}

bool
ext_is_plain(transfer_part *part, PyTypeObject *type)
{
    ext_known_type *known
        = &part->types[((uintptr_t)type >> 5) & (EXT_KNOWN_TYPES - 1)];
    if (known->type == type && known->version == type->tp_version_tag
        && known->version != 0) {
        return known->plain;
    }
    if (!PyUnstable_Type_AssignVersionTag(type)) {
        return look(type);
    }
    known->type = type;
    known->version = type->tp_version_tag;
    known->plain = look(type);
    return known->plain;
}
