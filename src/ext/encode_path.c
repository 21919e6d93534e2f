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
    PyObject *piece
        = PyUnicode_FromFormat(is_long ? "[%.77U...]" : "[%U]", shown);
    Py_DECREF(shown);
    return piece;
}

/* What the frame of an object made by __reduce__ is writing. */
static PyObject *
reduce_piece(const enc_frame *f)
{
    switch (f->phase) {
    case ENC_ARGS:
        return PyUnicode_FromString(".__reduce__()[0]");
    case ENC_KWARGS:
    case ENC_MADE:
        return PyUnicode_FromString(".__reduce__()[1]");
    case ENC_ITEMS:
        return PyUnicode_FromFormat("[%zd]", f->index - 1);
    case ENC_PAIR_VALUE:
        return PyUnicode_FromFormat("[key %zd]", f->index - 1);
    case ENC_PAIRS:
        return f->item != NULL && PyTuple_CheckExact(f->item)
                       && PyTuple_GET_SIZE(f->item) == 2
                   ? subscript(PyTuple_GET_ITEM(f->item, 0))
                   : subscript(NULL);
    case ENC_STATE:
        return PyUnicode_FromString(".__reduce__()[5]");
    case ENC_CONTEXT:
        return PyUnicode_FromString(".__cause__");
    case ENC_SUPPRESS:
        return PyUnicode_FromString(".__context__");
    default:
        return PyUnicode_FromString("");
    }
}

static PyObject *
exception_piece(const enc_frame *f)
{
    static const char *const names[EXT_EXC_COUNT] = {
        ".args", "", "", "", ".__cause__", ".__context__", "",
    };
    Py_ssize_t at = f->index - 1 - (f->size - EXT_EXC_COUNT);
    if (at >= 0) {
        return PyUnicode_FromString(names[at]);
    }
    if (f->index - 1 >= 2) {
        return PyUnicode_FromFormat(".exceptions[%zd]", f->index - 3);
    }
    return PyUnicode_FromString(f->index == 1 ? ".__class__" : ".message");
}

/* Whether what the frame is writing are attributes, in a dict or in the pair
 * of dicts that objects with slots have. */
static bool
writes_attributes(const enc_frame *f)
{
    if (f->kind == ENC_EXCEPTION) {
        Py_ssize_t at = f->index - 1 - (f->size - EXT_EXC_COUNT);
        return at == EXT_EXC_MEMBERS || at == EXT_EXC_DICT
               || at == EXT_EXC_SLOTS;
    }
    return f->kind == ENC_REDUCE && f->phase == ENC_CAUSE;
}

/* `attributes`: the frame below says that this one holds attributes. */
static PyObject *
piece_of(const enc_frame *f, bool attributes)
{
    static const char *const slice_names[] = {".start", ".stop", ".step"};
    switch ((enc_kind)f->kind) {
    case ENC_LIST:
    case ENC_TUPLE:
        return PyUnicode_FromFormat("[%zd]", f->index - 1);
    case ENC_SLICE:
        return PyUnicode_FromString(slice_names[f->index - 1]);
    case ENC_DICT:
    case ENC_ATTRIBUTES:
        if (f->phase == ENC_DICT_KEY) {
            return PyUnicode_FromFormat("[key %zd]", f->index);
        }
        if ((attributes || f->kind == ENC_ATTRIBUTES)
            && f->phase == ENC_DICT_VALUE && f->other != NULL
            && PyUnicode_CheckExact(f->other)
            && PyUnicode_IsIdentifier(f->other)) {
            return PyUnicode_FromFormat(".%U", f->other);
        }
        return subscript(f->phase == ENC_DICT_VALUE ? f->other : NULL);
    case ENC_SET:
    case ENC_FROZENSET:
        return PyUnicode_FromFormat("[element %zd]", f->index - 1);
    case ENC_REDUCE:
        return reduce_piece(f);
    case ENC_EXCEPTION:
        return exception_piece(f);
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
    if (e->arg == 0) {
        return PyUnicode_FromString("callable");
    }
    if (e->arg < e->nargs) {
        /* The caller's numbering: the callable is not one of its args. */
        return PyUnicode_FromFormat("args[%zd]", e->arg - 1);
    }
    return PyUnicode_FromFormat(
        "kwargs[%R]", PyTuple_GET_ITEM(e->kwnames, e->arg - e->nargs));
}

static PyObject *
path_of(const encoder *e)
{
    PyObject *path = root_of(e);
    bool attributes = false;
    for (size_t i = 0; path != NULL && i < e->depth; i++) {
        if (i == PATH_ENDS && e->depth > 2 * PATH_ENDS) {
            i = e->depth - PATH_ENDS;
            if (append(&path, PyUnicode_FromString("...")) < 0) {
                break;
            }
        }
        const enc_frame *f = &e->stack[i];
        bool pair = attributes && f->kind == ENC_TUPLE && f->size == 2;
        PyObject *piece
            = pair ? PyUnicode_FromString("") : piece_of(f, attributes);
        if (append(&path, piece) < 0) {
            break;
        }
        attributes = pair || writes_attributes(f);
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
    PyObject *type
        = path == NULL ? NULL : PyType_Type.tp_repr((PyObject *)Py_TYPE(obj));
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

/* The rest of the message of a NotShareableError behind name, which it then
 * begins with; NULL without an exception if it does not. */
static PyObject *
rest_of(encoder *e, PyObject *error, PyObject *name)
{
    if ((PyObject *)Py_TYPE(error)
        != ext_error_type(e->st, EXT_ERR_NOT_SHAREABLE)) {
        return NULL;
    }
    PyObject *text = PyObject_Str(error);
    PyObject *rest = NULL;
    if (text != NULL) {
        Py_ssize_t length = PyUnicode_GET_LENGTH(text);
        if (PyUnicode_Tailmatch(text, name, 0, length, -1) == 1) {
            rest = PyUnicode_Substring(text, PyUnicode_GET_LENGTH(name),
                                       length);
        }
    }
    Py_XDECREF(text);
    PyErr_Clear();
    return rest;
}

int
enc_fail_inside(encoder *e, PyObject *obj, PyObject *name)
{
    PyObject *error = PyErr_GetRaisedException();
    PyObject *rest = rest_of(e, error, name);
    PyObject *path = rest == NULL ? NULL : path_of(e);
    if (path == NULL) {
        Py_XDECREF(rest);
        PyErr_SetRaisedException(error);
        return enc_fail(e, obj);
    }
    PyErr_SetRaisedException(PyException_GetCause(error));
    Py_DECREF(error);
    ext_error_chain(e->st, EXT_ERR_NOT_SHAREABLE, "%U%U", path, rest);
    Py_DECREF(path);
    Py_DECREF(rest);
    return ENC_FAILED;
}
