/* The C half of atoll/_stdio.py: one function that does something with the
 * creator's sys.stdout or sys.stderr, in the creator's interpreter.
 *
 * The thread visits the creator: usually by the very state from which it came
 * (main prints what B printed while main waits in B.call), else by a state
 * kept there for it.  So prints keep their order around exec and call, and
 * redirect_stdout, capsys and notebooks see them.
 *
 * Text written without a newline waits in a dict of _stdio's, by thread; its
 * size is looked at when a call ends, so that a call that prints nothing pays
 * one load.
 */
#include "output.h"

#include "errors.h"
#include "interrupt.h"
#include "module.h"
#include "transfer.h"

typedef struct output_part {
    PyObject *pending; /* dict: (thread, which) -> text, or NULL */
    PyObject *flush;   /* called when it is not empty */
} output_part;

static output_part *
get_part(ext_state *st)
{
    return st->parts[EXT_PART_OUTPUT];
}

void
ext_output_flush(ext_visit *visit)
{
    output_part *part = visit->state == NULL ? NULL : get_part(visit->state);
    if (part == NULL || part->pending == NULL
        || PyDict_GET_SIZE(part->pending) == 0) {
        return;
    }
    PyObject *error = PyErr_GetRaisedException();
    PyObject *got = PyObject_CallNoArgs(part->flush);
    if (got == NULL) {
        PyErr_WriteUnraisable(part->flush);
    }
    Py_XDECREF(got);
    PyErr_SetRaisedException(error);
}

/* Attached: to the creator.  New reference: what the stream's method gave, if
 * it is None, an int or a bool. */
static PyObject *
use_stream(int which, const char *method, PyObject *text)
{
    PyObject *stream = PySys_GetObject(which == 2 ? "stderr" : "stdout");
    if (stream == NULL || stream == Py_None) {
        return Py_NewRef(Py_None); /* as print() does without a stream */
    }
    Py_INCREF(stream);
    PyObject *got = text == NULL
                        ? PyObject_CallMethod(stream, method, NULL)
                        : PyObject_CallMethod(stream, method, "O", text);
    Py_DECREF(stream);
    return got;
}

/* Attached: to the creator, by visit.  The text belongs to the other side,
 * which keeps it alive; str is immutable. */
static void
use_there(ext_visit *visit, int which, const char *method, PyObject *foreign,
          atoll_frame *answer, bool *out_failed)
{
    PyObject *text = NULL;
    PyObject *got = NULL;
    if (foreign != NULL) {
        text = PyUnicode_FromKindAndData(PyUnicode_KIND(foreign),
                                         PyUnicode_DATA(foreign),
                                         PyUnicode_GET_LENGTH(foreign));
    }
    if (foreign == NULL || text != NULL) {
        got = use_stream(which, method, text);
    }
    Py_XDECREF(text);
    *out_failed = got == NULL;
    if (got == NULL) {
        (void)ext_interrupt_keep_signal(visit);
    }
    PyObject *crossing = got != NULL ? got : PyErr_GetRaisedException();
    if (crossing == NULL
        || ext_encode(visit->state, crossing, "answer", 0, NULL, answer) < 0) {
        PyErr_Clear();
    }
    Py_XDECREF(crossing);
}

/* _stream(creator_id, which, method, text or None): NotImplemented if the
 * creator cannot be reached (it is gone, or Python is ending). */
static PyObject *
stream(PyObject *module, PyObject *args)
{
    long long id;
    int which;
    const char *method;
    PyObject *text;
    if (!PyArg_ParseTuple(args, "LisO:_stream", &id, &which, &method, &text)) {
        return NULL;
    }
    if (text != Py_None && !PyUnicode_Check(text)) {
        PyErr_SetString(PyExc_TypeError, "text must be str or None");
        return NULL;
    }
    ext_state *st = ext_state_of_module(module);
    atoll_interp *creator = NULL;
    ext_visit visit;
    if (ext_compat_is_finalizing()
        || atoll_registry_find(id, &creator) != ATOLL_OK) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    if (ext_attach_enter(st, creator, 0, &visit) < 0) {
        PyErr_Clear();
        atoll_interp_release(creator);
        Py_RETURN_NOTIMPLEMENTED;
    }
    atoll_frame answer;
    bool failed = false;
    atoll_frame_init(&answer);
    use_there(&visit, which, method, text == Py_None ? NULL : text, &answer,
              &failed);
    ext_attach_leave(&visit);
    atoll_interp_release(creator);
    PyObject *result
        = answer.len > 0 ? ext_decode(st, &answer) : Py_NewRef(Py_None);
    atoll_frame_fini(&answer);
    if (failed && result != NULL) {
        if (PyExceptionInstance_Check(result)) {
            PyErr_SetObject((PyObject *)Py_TYPE(result), result);
        }
        else {
            PyErr_SetString(PyExc_OSError, "the creator's stream failed");
        }
        Py_CLEAR(result);
    }
    return result;
}

static PyObject *
set_pending(PyObject *module, PyObject *args)
{
    PyObject *pending;
    PyObject *flush;
    if (!PyArg_ParseTuple(args, "O!O:_set_pending", &PyDict_Type, &pending,
                          &flush)) {
        return NULL;
    }
    output_part *part = get_part(ext_state_of_module(module));
    Py_XSETREF(part->pending, Py_NewRef(pending));
    Py_XSETREF(part->flush, Py_NewRef(flush));
    Py_RETURN_NONE;
}

static PyMethodDef output_methods[] = {
    {"_stream", stream, METH_VARARGS,
     PyDoc_STR("_stream(creator, which, method, text)\n--\n\n"
               "Call a method of the creator's stdout (1) or stderr (2).")},
    {"_set_pending", set_pending, METH_VARARGS,
     PyDoc_STR("_set_pending(pending, flush)\n--\n\n"
               "Give the dict of unfinished lines and what passes them on.")},
    {NULL, NULL, 0, NULL},
};

static int
output_exec(PyObject *module, ext_state *st)
{
    st->parts[EXT_PART_OUTPUT] = PyMem_Calloc(1, sizeof(output_part));
    if (st->parts[EXT_PART_OUTPUT] == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return PyModule_AddFunctions(module, output_methods);
}

static int
output_traverse(ext_state *st, visitproc visit, void *arg)
{
    output_part *part = get_part(st);
    if (part != NULL) {
        Py_VISIT(part->pending);
        Py_VISIT(part->flush);
    }
    return 0;
}

static void
output_clear(ext_state *st)
{
    output_part *part = get_part(st);
    if (part != NULL) {
        Py_CLEAR(part->pending);
        Py_CLEAR(part->flush);
    }
}

static void
output_free(ext_state *st)
{
    PyMem_Free(get_part(st));
    st->parts[EXT_PART_OUTPUT] = NULL;
}

const ext_part ext_output_part = {
    .id = EXT_PART_OUTPUT,
    .exec = output_exec,
    .traverse = output_traverse,
    .clear = output_clear,
    .free = output_free,
};
