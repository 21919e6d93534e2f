/* Messages of the encoder: where in the value the culprit was found.
 *
 * The place is read off the stack: each frame knows which of its items is
 * being written.  Nothing here trusts an object: keys are shown by repr only
 * if they are of simple exact types.
 */
#include "transfer_impl.h"

/* Of a deep path the ends are shown. */
#define PATH_ENDS 24

/* Appends and releases piece; 0, or -1 with an exception. */
static int
append(PyObject **path, PyObject *piece)
{
    if (piece == NULL) {
        return -1;
    }
    PyUnicode_Append(path, piece);
    Py_DECREF(piece);
    return *path == NULL ? -1 : 0;
}

/* "[key]" */
static PyObject *
subscript(PyObject *key)
{
    if (key == NULL) {
        return PyUnicode_FromString("[...]");
    }
    if (!PyUnicode_CheckExact(key) && !PyLong_CheckExact(key)
        && !PyBytes_CheckExact(key) && !PyFloat_CheckExact(key)
        && !PyBool_Check(key) && key != Py_None) {
        return PyUnicode_FromFormat("[<%s>]", Py_TYPE(key)->tp_name);
    }
    PyObject *shown = PyObject_Repr(key);
    if (shown == NULL) {
        PyErr_Clear(); /* an int of too many digits */
        return PyUnicode_FromString("[...]");
    }
    bool is_long = PyUnicode_GET_LENGTH(shown) > 80;
    PyObject *piece = PyUnicode_FromFormat(is_long ? "[%.77U...]" : "[%U]",
                                           shown);
    Py_DECREF(shown);
    return piece;
}

static PyObject *
piece_of(const enc_frame *f)
{
    static const char *const slice_names[] = {".start", ".stop", ".step"};
    switch ((enc_kind)f->kind) {
    case ENC_LIST:
    case ENC_TUPLE:
        return PyUnicode_FromFormat("[%zd]", f->index - 1);
    case ENC_SLICE:
        return PyUnicode_FromString(slice_names[f->index - 1]);
    case ENC_DICT:
        return f->phase == ENC_DICT_KEY
                   ? PyUnicode_FromFormat("[key %zd]", f->index)
                   : subscript(f->phase == ENC_DICT_VALUE ? f->other : NULL);
    case ENC_SET:
    case ENC_FROZENSET:
        return PyUnicode_FromFormat("[element %zd]", f->index - 1);
    default:
        return PyUnicode_FromString("[...]");
    }
}

static PyObject *
root_of(const encoder *e)
{
    if (e->arg < 0) {
        return PyUnicode_FromString(e->root == NULL ? "obj" : e->root);
    }
    if (e->arg < e->nargs) {
        return PyUnicode_FromFormat("args[%zd]", e->arg);
    }
    return PyUnicode_FromFormat(
        "kwargs[%R]", PyTuple_GET_ITEM(e->kwnames, e->arg - e->nargs));
}

static PyObject *
path_of(const encoder *e)
{
    PyObject *path = root_of(e);
    for (size_t i = 0; path != NULL && i < e->depth; i++) {
        if (i == PATH_ENDS && e->depth > 2 * PATH_ENDS) {
            i = e->depth - PATH_ENDS;
            if (append(&path, PyUnicode_FromString("...")) < 0) {
                break;
            }
        }
        if (append(&path, piece_of(&e->stack[i])) < 0) {
            break;
        }
    }
    return path;
}

/* Errors that say nothing about the value. */
static bool
passes_through(void)
{
    return !PyErr_ExceptionMatches(PyExc_Exception)
           || PyErr_ExceptionMatches(PyExc_MemoryError)
           || PyErr_ExceptionMatches(PyExc_RecursionError);
}

int
enc_fail(encoder *e, PyObject *obj)
{
    if (PyErr_Occurred() && passes_through()) {
        return ENC_FAILED;
    }
    PyObject *cause = PyErr_GetRaisedException();
    PyObject *path = path_of(e);
    /* type's own repr: a metaclass's might be anything */
    PyObject *type = path == NULL
                         ? NULL
                         : PyType_Type.tp_repr((PyObject *)Py_TYPE(obj));
    if (type != NULL) {
        PyErr_SetRaisedException(cause);
        cause = NULL;
        ext_error_chain(e->st, EXT_ERR_NOT_SHAREABLE, "%U: %U", path, type);
    }
    Py_XDECREF(cause);
    Py_XDECREF(path);
    Py_XDECREF(type);
    return ENC_FAILED;
}
