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
 *
 * Most interpreters never print.  Their sys.stdout and sys.stderr are
 * UnopenedStreams; at the first touch _stdio is loaded (25 KB), and the same
 * object becomes its CreatorStream, by its __class__.
 */
#include "output.h"

#include "errors.h"
#include "interrupt.h"
#include "load.h"
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

/* Calls a method of the creator's stream, with the text unless that is None.
 * NotImplemented if the creator cannot be reached (it is gone, or Python is
 * ending). */
static PyObject *
use_creators(ext_state *st, int64_t id, int which, const char *method,
             PyObject *text)
{
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

/* _stream(creator_id, which, method, text or None), as use_creators. */
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
    return use_creators(ext_state_of_module(module), id, which, method, text);
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

/* ------------------------------------------------------- unopened streams */

/* Makes self, an UnopenedStream, a CreatorStream; two threads may.
 * Fails: -1 with an exception. */
static int
open_stream(PyObject *self)
{
    ext_state *st = ext_state_of_type(Py_TYPE(self));
    PyObject *module
        = st == NULL ? NULL : ext_load_near(st, "atoll._stdio", "_stdio.py");
    PyObject *got = module == NULL ? NULL
                                   : PyObject_CallMethod(module, "open_stream",
                                                         "O", self);
    Py_XDECREF(module);
    Py_XDECREF(got);
    return got == NULL ? -1 : 0;
}

/* What is asked of a stream that nobody uses: by CPython at the end of an
 * interpreter, and by open_stream. */
static bool
is_asked_unopened(PyObject *name)
{
    static const char *const names[]
        = {"_creator", "_which", "flush", "close", "closed"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (PyUnicode_CompareWithASCIIString(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static PyObject *
unopened_getattro(PyObject *self, PyObject *name)
{
    if (!is_asked_unopened(name) && open_stream(self) < 0) {
        return NULL;
    }
    return PyObject_GenericGetAttr(self, name);
}

static PyObject *
unopened_repr(PyObject *self)
{
    return open_stream(self) < 0 ? NULL : PyObject_Repr(self);
}

static PyObject *
unopened_flush(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    ext_state *st = ext_state_of_type(Py_TYPE(self));
    PyObject *creator
        = st == NULL ? NULL : PyObject_GetAttrString(self, "_creator");
    PyObject *which
        = creator == NULL ? NULL : PyObject_GetAttrString(self, "_which");
    PyObject *got = NULL;
    if (which != NULL) {
        int64_t id = PyLong_AsLongLong(creator);
        int number = (int)PyLong_AsLong(which);
        if (!PyErr_Occurred()) {
            got = use_creators(st, id, number, "flush", Py_None);
        }
    }
    Py_XDECREF(creator);
    Py_XDECREF(which);
    Py_XDECREF(got);
    if (got == NULL) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
unopened_close(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    Py_RETURN_NONE;
}

static PyMethodDef unopened_methods[] = {
    {"flush", unopened_flush, METH_NOARGS,
     PyDoc_STR("flush($self, /)\n--\n\nFlush the creator's stream.")},
    {"close", unopened_close, METH_NOARGS,
     PyDoc_STR("close($self, /)\n--\n\nAs CreatorStream.close().")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot unopened_slots[] = {
    {Py_tp_doc,
     "A stream that writes to the creator's, before its first use."},
    {Py_tp_getattro, unopened_getattro},
    {Py_tp_repr, unopened_repr},
    {Py_tp_methods, unopened_methods},
    {0, NULL},
};

/* Size, memory and garbage collection are the base's. */
static PyType_Spec unopened_spec = {
    .name = "atoll._core.UnopenedStream",
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = unopened_slots,
};

/* New reference; NULL with an exception. */
static PyObject *
make_unopened(PyObject *type, PyObject *creator, int which)
{
    PyObject *stream = PyObject_CallNoArgs(type);
    PyObject *number = stream == NULL ? NULL : PyLong_FromLong(which);
    if (number == NULL
        || PyObject_SetAttrString(stream, "_creator", creator) < 0
        || PyObject_SetAttrString(stream, "_which", number) < 0) {
        Py_CLEAR(stream);
    }
    Py_XDECREF(number);
    return stream;
}

int
ext_output_redirect(ext_state *st, PyObject *creator)
{
    PyObject *io = PyImport_ImportModule("_io");
    PyObject *base
        = io == NULL ? NULL : PyObject_GetAttrString(io, "_TextIOBase");
    PyObject *type
        = base == NULL
              ? NULL
              : PyType_FromModuleAndSpec(st->module, &unopened_spec, base);
    int failed = type == NULL;
    for (int which = 1; which <= 2 && !failed; which++) {
        PyObject *stream = make_unopened(type, creator, which);
        failed
            = stream == NULL
              || PySys_SetObject(which == 1 ? "stdout" : "stderr", stream) < 0;
        Py_XDECREF(stream);
    }
    Py_XDECREF(io);
    Py_XDECREF(base);
    Py_XDECREF(type);
    return failed ? -1 : 0;
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
