/* See errors.h.  The types are defined in atoll/_errors.py, loaded at the
 * first use in each interpreter and kept in a table. */
#include "errors.h"

#include "module.h"

static const char *const type_names[EXT_ERR_COUNT] = {
    [EXT_ERR_INTERPRETER] = "InterpreterError",
    [EXT_ERR_NOT_FOUND] = "InterpreterNotFoundError",
    [EXT_ERR_NOT_SHAREABLE] = "NotShareableError",
    [EXT_ERR_EXECUTION_FAILED] = "ExecutionFailed",
    [EXT_ERR_EXECUTION_TIMEOUT] = "ExecutionTimeout",
    [EXT_ERR_EXECUTION_INTERRUPTED] = "ExecutionInterrupted",
    [EXT_ERR_INTERRUPTED] = "Interrupted",
    [EXT_ERR_QUEUE] = "QueueError",
    [EXT_ERR_QUEUE_EMPTY] = "QueueEmpty",
    [EXT_ERR_QUEUE_FULL] = "QueueFull",
    [EXT_ERR_QUEUE_NOT_FOUND] = "QueueNotFoundError",
    [EXT_ERR_QUEUE_SHUT_DOWN] = "QueueShutDown",
    [EXT_ERR_ITEM_DESTROYED] = "ItemInterpreterDestroyed",
    [EXT_ERR_OWNER_DIED] = "OwnerDiedError",
    [EXT_ERR_LIMIT_EXCEEDED] = "LimitExceeded",
};

#define MAX_TRIES 16

typedef struct errors_part {
    PyObject *types[EXT_ERR_COUNT]; /* NULL until first used */
} errors_part;

static errors_part *
get_part(ext_state *st)
{
    return st->parts[EXT_PART_ERRORS];
}

/* Interrupted is raised at any point of the code that runs, in the midst of an
 * import, too, where another import might fail: it is made here.  New
 * reference. */
static PyObject *
make_type(ext_error_id id)
{
    if (id != EXT_ERR_INTERRUPTED) {
        return ext_state_python("atoll._errors", type_names[id]);
    }
    return PyErr_NewExceptionWithDoc(
        "atoll.Interrupted",
        "Raised in code that interrupt() or a deadline stops.\n\n"
        "No Exception, so that ``except Exception`` does not swallow it.",
        PyExc_BaseException, NULL);
}

PyObject *
ext_error_type(ext_state *st, ext_error_id id)
{
    errors_part *part = get_part(st);
    if (part->types[id] == NULL) {
        /* An exception may be set; the import must not see it. */
        PyObject *pending = PyErr_GetRaisedException();
        /* A first import runs Python: interruptions may end it, several in a
         * row when a call is interrupted again and again. */
        for (int tries = 0; part->types[id] == NULL && tries < MAX_TRIES;
             tries++) {
            PyErr_Clear();
            PyObject *made = make_type(id);
            if (part->types[id] == NULL) {
                part->types[id] = made;
            }
            else {
                Py_XDECREF(made); /* another thread was as quick */
            }
        }
        if (part->types[id] == NULL) {
            /* Out of memory, or the interpreter is ending: say something. */
            PyErr_Clear();
            PyErr_SetRaisedException(pending);
            return PyExc_RuntimeError;
        }
        PyErr_SetRaisedException(pending);
    }
    return part->types[id];
}

PyObject *
ext_error_from_status(ext_state *st, atoll_status status, const char *what)
{
    switch (status) {
    case ATOLL_E_NOMEM:
        return PyErr_NoMemory();
    case ATOLL_E_NOTFOUND:
        return ext_error_format(st, EXT_ERR_NOT_FOUND, "%s", what);
    case ATOLL_E_CLOSED:
        return ext_error_format(st, EXT_ERR_INTERPRETER, "%s is closed", what);
    case ATOLL_E_BUSY:
        return ext_error_format(st, EXT_ERR_INTERPRETER,
                                "interpreter already running");
    case ATOLL_E_VALUE:
        PyErr_SetString(PyExc_ValueError, what);
        return NULL;
    case ATOLL_E_SYSTEM:
        return PyErr_SetFromErrno(PyExc_OSError);
    default:
        return ext_error_format(st, EXT_ERR_INTERPRETER, "%s (status %d)",
                                what, (int)status);
    }
}

static PyObject *
set_error(ext_state *st, ext_error_id id, const char *format, va_list args)
{
    PyObject *type = ext_error_type(st, id);
    PyErr_FormatV(type, format, args);
    return NULL;
}

char *
ext_error_take_text(void)
{
    bool memory = PyErr_ExceptionMatches(PyExc_MemoryError);
    PyObject *error = PyErr_GetRaisedException();
    PyObject *text
        = memory || error == NULL
              ? NULL
              : PyUnicode_FromFormat("%s: %S", Py_TYPE(error)->tp_name, error);
    const char *utf8 = text == NULL ? NULL : PyUnicode_AsUTF8(text);
    char *copy = utf8 == NULL ? NULL : atoll_strdup(utf8);
    PyErr_Clear();
    Py_XDECREF(text);
    Py_XDECREF(error);
    return copy;
}

PyObject *
ext_error_format(ext_state *st, ext_error_id id, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)set_error(st, id, format, args);
    va_end(args);
    return NULL;
}

PyObject *
ext_error_chain(ext_state *st, ext_error_id id, const char *format, ...)
{
    PyObject *cause = PyErr_GetRaisedException();
    va_list args;
    va_start(args, format);
    (void)set_error(st, id, format, args);
    va_end(args);
    if (cause != NULL) {
        PyObject *error = PyErr_GetRaisedException();
        PyException_SetContext(error, Py_NewRef(cause));
        PyException_SetCause(error, cause);
        PyErr_SetRaisedException(error);
    }
    return NULL;
}

static int
errors_exec(PyObject *Py_UNUSED(module), ext_state *st)
{
    errors_part *part = PyMem_Calloc(1, sizeof(*part));
    if (part == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    st->parts[EXT_PART_ERRORS] = part;
    return 0;
}

static int
errors_traverse(ext_state *st, visitproc visit, void *arg)
{
    errors_part *part = get_part(st);
    for (int i = 0; part != NULL && i < EXT_ERR_COUNT; i++) {
        Py_VISIT(part->types[i]);
    }
    return 0;
}

static void
errors_clear(ext_state *st)
{
    errors_part *part = get_part(st);
    for (int i = 0; part != NULL && i < EXT_ERR_COUNT; i++) {
        Py_CLEAR(part->types[i]);
    }
}

static void
errors_free(ext_state *st)
{
    PyMem_Free(st->parts[EXT_PART_ERRORS]);
    st->parts[EXT_PART_ERRORS] = NULL;
}

const ext_part ext_errors_part = {
    .id = EXT_PART_ERRORS,
    .exec = errors_exec,
    .traverse = errors_traverse,
    .clear = errors_clear,
    .free = errors_free,
};
