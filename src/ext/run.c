/* exec and call: encode here, enter, decode, run, encode, leave, decode.
 *
 * No Python object of one interpreter is touched while attached to the other:
 * arguments and results travel as frames on this thread's C stack.  Large
 * payloads are pinned (transfer.h): the frame points into the sender's
 * immutable object, and the sender's reference is dropped when the thread is
 * back in the sender.
 *
 * What is raised inside travels as a snapshot (a tuple of text) and, where it
 * can cross, as the exception itself, which becomes the __cause__.
 *
 * exec compiles a text once per interpreter: source_cache maps text to code,
 * bounded by count.
 */
#include "run.h"

#include "chores.h"
#include "errors.h"
#include "interrupt.h"
#include "interrupt_limits.h"
#include "module.h"
#include "output.h"
#include "transfer.h"

#include <marshal.h>
#include <string.h>

/* Texts kept compiled per interpreter, and how long one may be. */
#define SOURCE_CACHE_SIZE 128
#define SOURCE_CACHE_LENGTH 16384

typedef struct run_part {
    PyObject *source_cache; /* dict: text (or (text, False)) -> code */
    PyObject *main_dict;    /* __main__'s namespace, once looked up */
    PyObject *snapshot;     /* atoll._errors.snapshot, once used */
    PyObject *rebuild;      /* atoll._errors.rebuild, once used */
} run_part;

static run_part *
get_part(ext_state *st)
{
    return st->parts[EXT_PART_RUN];
}

/* Borrowed. */
static PyObject *
load(PyObject **slot, const char *module, const char *name)
{
    if (*slot == NULL) {
        *slot = ext_state_python(module, name);
    }
    return *slot;
}

/* --- what happened inside ---------------------------------------------- */

typedef enum outcome_kind {
    OUTCOME_VALUE,
    OUTCOME_NONE,     /* a value that needs no frame */
    OUTCOME_FAILED,   /* raised by the code that ran */
    OUTCOME_UNSHARED, /* the result cannot cross: raised to the caller */
} outcome_kind;

typedef struct outcome {
    outcome_kind kind;
    bool timed_out;
    bool interrupted;
    PyObject *outer_error; /* belongs to the outer interpreter */
    atoll_frame value;     /* the result, or the snapshot */
    atoll_frame error;     /* the exception itself, empty if it cannot cross */
    ext_pins pins;         /* of the inner interpreter */
    char name[80];         /* of the exception's type, should memory be missing
                            * for more */
} outcome;

static void
init_outcome(outcome *out)
{
    out->kind = OUTCOME_NONE;
    out->timed_out = false;
    out->interrupted = false;
    out->outer_error = NULL;
    out->name[0] = '\0';
    atoll_frame_init(&out->value);
    atoll_frame_init(&out->error);
    ext_pins_init(&out->pins);
}

/* Attached: to the outer interpreter. */
static void
fini_outcome(outcome *out)
{
    atoll_frame_fini(&out->value);
    atoll_frame_fini(&out->error);
    Py_CLEAR(out->outer_error);
}

/* Attached: to the inner interpreter, with the exception set; cleared. */
static void
take_failure(ext_visit *visit, outcome *out, outcome_kind kind)
{
    ext_state *st = visit->state;
    if (ATOLL_UNLIKELY(visit->guard != NULL)) {
        ext_guard_failed(visit->guard, visit);
    }
    PyObject *error = PyErr_GetRaisedException();
    visit->failed = true;
    out->kind = kind;
    atoll_frame_reset(&out->value);
    ext_verdict verdict = ext_interrupt_judge(visit, error);
    if (verdict.interrupted) {
        out->kind = OUTCOME_FAILED;
        out->interrupted = true;
        out->timed_out = verdict.timed_out;
    }
    if (st == NULL || error == NULL) {
        Py_XDECREF(error);
        return;
    }
    (void)PyOS_snprintf(out->name, sizeof(out->name), "%.70s",
                        Py_TYPE(error)->tp_name);
    PyObject *snapshot
        = load(&get_part(st)->snapshot, "atoll._errors", "snapshot");
    PyObject *parts
        = snapshot == NULL ? NULL : PyObject_CallOneArg(snapshot, error);
    if (parts == NULL
        || ext_encode(st, parts, "excinfo", 0, NULL, &out->value) < 0) {
        PyErr_Clear();
    }
    Py_XDECREF(parts);
    if (ext_encode(st, error, "exception", 0, NULL, &out->error) < 0) {
        PyErr_Clear();
    }
    Py_DECREF(error);
}

/* Attached: to the inner interpreter. */
static void
take_result(ext_visit *visit, PyObject *result, outcome *out)
{
    if (result == NULL) {
        take_failure(visit, out, OUTCOME_FAILED);
        return;
    }
    out->kind = OUTCOME_NONE;
    ext_interrupt_end_code(visit);
    if (result != Py_None) {
        out->kind = OUTCOME_VALUE;
        out->value.sender = visit->interp->id;
        if (ext_encode(visit->state, result, "result", 0, &out->pins,
                       &out->value)
            < 0) {
            ext_pins_fini(&out->pins);
            take_failure(visit, out, OUTCOME_UNSHARED);
            Py_DECREF(result);
            return;
        }
    }
    if (ATOLL_UNLIKELY(ext_interrupt_conclude(visit) < 0)) {
        ext_pins_fini(&out->pins);
        take_failure(visit, out, OUTCOME_FAILED);
    }
    Py_DECREF(result);
}

/* --- what the caller sees ------------------------------------------------ */

/* An exception on the way to a better one is dropped; but not Ctrl-C, nor an
 * interruption of the caller. */
static void
drop_ordinary(void)
{
    if (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_Exception)) {
        PyErr_Clear();
    }
}

/* The exception itself, if it crossed.  Attached: outer.  NULL: it did not;
 * an exception is set only if that is to be raised instead. */
static PyObject *
decode_error(ext_state *st, const outcome *out)
{
    if (out->error.len == 0) {
        return NULL;
    }
    PyObject *error = ext_decode(st, &out->error);
    if (error == NULL) {
        drop_ordinary();
    }
    else if (!PyExceptionInstance_Check(error)) {
        Py_CLEAR(error);
    }
    return error;
}

static PyObject *
raise_failure(ext_state *st, outcome *out)
{
    PyObject *cause = decode_error(st, out);
    if (cause == NULL && PyErr_Occurred()) {
        return NULL;
    }
    if (out->kind == OUTCOME_UNSHARED && cause != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(cause), cause);
        Py_DECREF(cause);
        return NULL;
    }
    if (out->interrupted && atomic_load(&ext_interrupt_exiting)) {
        /* A daemon thread, at the end of the process: as Python does. */
        Py_XDECREF(cause);
        PyErr_SetNone(PyExc_SystemExit);
        return NULL;
    }
    ext_error_id id = out->timed_out     ? EXT_ERR_EXECUTION_TIMEOUT
                      : out->interrupted ? EXT_ERR_EXECUTION_INTERRUPTED
                                         : EXT_ERR_EXECUTION_FAILED;
    PyObject *parts = NULL;
    if (out->value.len > 0) {
        parts = ext_decode(st, &out->value);
    }
    if (parts == NULL) {
        drop_ordinary();
        if (PyErr_Occurred()) {
            Py_XDECREF(cause);
            return NULL;
        }
        parts = PyUnicode_DecodeUTF8(out->name, (Py_ssize_t)strlen(out->name),
                                     "replace");
        if (parts == NULL) {
            Py_XDECREF(cause);
            return NULL;
        }
    }
    PyObject *rebuild
        = load(&get_part(st)->rebuild, "atoll._errors", "rebuild");
    PyObject *error = NULL;
    if (rebuild != NULL) {
        error = PyObject_CallFunctionObjArgs(
            rebuild, ext_error_type(st, id), parts,
            cause != NULL ? cause : Py_None, NULL);
    }
    Py_DECREF(parts);
    Py_XDECREF(cause);
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return NULL;
}

/* What the caller gets.  Attached: outer. */
static PyObject *
conclude(ext_state *st, outcome *out)
{
    switch (out->kind) {
    case OUTCOME_VALUE:
        return ext_decode(st, &out->value);
    case OUTCOME_NONE:
        return Py_NewRef(Py_None);
    default:
        return out->outer_error == NULL ? raise_failure(st, out) : NULL;
    }
}

/* The caller's own call, and what it had been told before the outcome of the
 * one that it made was built: Python code runs then, in which an interruption
 * of the caller, or Ctrl-C, could be lost. */
typedef struct caller {
    ext_visit *visit; /* NULL: it is not in a call */
    PyObject *told;   /* borrowed; compared only */
    bool signalled;
} caller;

static caller
look_at_caller(const ext_visit *visit)
{
    ext_visit *below = visit->below;
    if (below == NULL || !below->run || below->inner != visit->outer) {
        return (caller){NULL, NULL, false};
    }
    return (caller){below, below->told, below->signalled};
}

/* Owns: takes over result.  Attached: outer. */
static PyObject *
raise_instead(const ext_visit *visit, const caller *before, outcome *out,
              PyObject *result)
{
    const ext_visit *here = before->visit;
    PyObject *error = NULL;
    if (out->outer_error != NULL) {
        error = out->outer_error;
        out->outer_error = NULL;
    }
    else if (visit->signalled
             || (here != NULL && here->signalled && !before->signalled)) {
        /* A handler further out raised: this call is only on the way. */
        error = PyObject_CallNoArgs(PyExc_KeyboardInterrupt);
    }
    else if (here != NULL && here->told != before->told) {
        error = Py_NewRef(here->told);
    }
    if (error != NULL) {
        Py_CLEAR(result);
        PyErr_SetRaisedException(error);
    }
    return result;
}

/* Leaves the visit and gives its outcome to the caller.
 * Attached: inner; outer afterwards. */
static PyObject *
finish(ext_state *st, ext_visit *visit, outcome *out)
{
    PyObject *result = NULL;
    const caller before = look_at_caller(visit);
    ext_output_flush(visit);
    if (ATOLL_UNLIKELY(out->pins.count > 0)) {
        /* Read what is pinned while it is held, then let it go. */
        ext_attach_suspend(visit);
        result = ext_decode(st, &out->value);
        PyObject *error = PyErr_GetRaisedException();
        ext_attach_resume(visit);
        ext_pins_fini(&out->pins);
        out->outer_error = visit->outer_error;
        ext_attach_leave(visit);
        PyErr_SetRaisedException(error);
    }
    else {
        out->outer_error = visit->outer_error;
        ext_attach_leave(visit);
        result = conclude(st, out);
    }
    result = raise_instead(visit, &before, out, result);
    fini_outcome(out);
    return result;
}

/* --- call ------------------------------------------------------------------ */

/* Calls what was sent.  A built-in function that wants a caller's namespace,
 * where the version gives it none, is called by Python code that does. */
static PyObject *
call_it(const ext_args *args)
{
    if (ATOLL_LIKELY(!ext_compat_lacks_namespace(args->values[0]))) {
        return PyObject_Vectorcall(args->values[0], args->values + 1,
                                   (size_t)(args->nargs - 1)
                                       | PY_VECTORCALL_ARGUMENTS_OFFSET,
                                   args->kwnames);
    }
    PyObject *func = ext_state_python("atoll._in_main", "call_in_main");
    if (func == NULL) {
        return NULL;
    }
    PyObject *result = PyObject_Vectorcall(func, args->values,
                                           (size_t)args->nargs, args->kwnames);
    Py_DECREF(func);
    return result;
}

static void
call_inside(ext_visit *visit, const atoll_frame *frame, outcome *out)
{
    ext_args args;
    if (ext_decode_args(visit->state, frame, &args) < 0) {
        take_failure(visit, out, OUTCOME_FAILED);
        return;
    }
    PyObject *result = NULL;
    if (ext_interrupt_begin_code(visit) == 0) {
        result = call_it(&args);
    }
    take_result(visit, result, out);
    ext_args_fini(&args);
}

PyObject *
ext_run_call(ext_state *st, atoll_interp *interp, PyObject *const *args,
             Py_ssize_t nargs, PyObject *kwnames, double timeout,
             ext_call *call)
{
    atoll_frame frame;
    ext_pins pins;
    ext_visit visit;
    outcome out;
    PyObject *result = NULL;
    atoll_frame_init(&frame);
    ext_pins_init(&pins);
    frame.sender = st->self->id;
    if (ext_encode_args(st, args, nargs, kwnames, 0, &pins, &frame) < 0) {
        goto done;
    }
    if (ext_attach_enter(st, interp, EXT_VISIT_RUN, &visit) < 0) {
        goto done;
    }
    init_outcome(&out);
    if ((call != NULL && ext_call_begin(call, &visit) < 0)
        || (timeout >= 0 && ext_interrupt_arm(&visit, timeout) < 0)) {
        take_failure(&visit, &out, OUTCOME_UNSHARED);
    }
    else {
        call_inside(&visit, &frame, &out);
    }
    result = finish(st, &visit, &out);
done:
    if (call != NULL) {
        ext_call_end(call);
    }
    ext_pins_fini(&pins);
    atoll_frame_fini(&frame);
    ext_chores_check(st); /* what the call lent is back */
    return result;
}

/* --- exec ------------------------------------------------------------------ */

/* Borrowed: the namespace of __main__ here. */
static PyObject *
get_main_dict(ext_state *st)
{
    run_part *part = get_part(st);
    PyObject *main = PyImport_AddModule("__main__"); /* borrowed */
    if (main == NULL) {
        return NULL;
    }
    PyObject *dict = PyModule_GetDict(main);
    if (dict != part->main_dict) {
        Py_XSETREF(part->main_dict, Py_NewRef(dict));
    }
    return dict;
}

void
ext_run_let_main_go(ext_state *st)
{
    Py_CLEAR(get_part(st)->main_dict);
}

/* Removes the first non-blank line's margin from each line that has it.
 * New reference. */
static PyObject *
dedent_text(PyObject *text)
{
    PyObject *dedent = ext_state_python("atoll._make", "dedent");
    if (dedent == NULL) {
        return NULL;
    }
    PyObject *result = PyObject_CallOneArg(dedent, text);
    Py_DECREF(dedent);
    return result;
}

/* Does the first non-blank line begin with white space? */
static bool
is_indented(PyObject *text)
{
    Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    int kind = PyUnicode_KIND(text);
    const void *data = PyUnicode_DATA(text);
    bool margin = false;
    for (Py_ssize_t i = 0; i < length; i++) {
        Py_UCS4 ch = PyUnicode_READ(kind, data, i);
        if (ch == '\n' || ch == '\r' || ch == '\f') {
            margin = false;
        }
        else if (ch == ' ' || ch == '\t') {
            margin = true;
        }
        else {
            return margin;
        }
    }
    return false;
}

static PyObject *
compile_text(PyObject *text)
{
    Py_ssize_t size;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &size);
    if (utf8 == NULL) {
        return NULL;
    }
    if (strlen(utf8) != (size_t)size) {
        PyErr_SetString(PyExc_SyntaxError,
                        "source code string cannot contain null bytes");
        return NULL;
    }
    PyCompilerFlags flags = _PyCompilerFlags_INIT;
    flags.cf_flags = PyCF_SOURCE_IS_UTF8 | PyCF_IGNORE_COOKIE;
    return Py_CompileStringExFlags(utf8, "<script>", Py_file_input, &flags,
                                   -1);
}

/* New reference to the code object of text, here. */
static PyObject *
get_code(ext_state *st, PyObject *text, bool dedent)
{
    run_part *part = get_part(st);
    PyObject *code = NULL;
    bool plain = !dedent || !is_indented(text);
    PyObject *cache = plain ? part->source_cache : NULL;
    if (cache != NULL) {
        int found = ext_compat_dict_get(cache, text, &code);
        if (found != 0) {
            return code;
        }
    }
    PyObject *source = plain ? Py_NewRef(text) : dedent_text(text);
    if (source == NULL) {
        return NULL;
    }
    code = compile_text(source);
    Py_DECREF(source);
    if (code != NULL && cache != NULL
        && PyUnicode_GET_LENGTH(text) <= SOURCE_CACHE_LENGTH) {
        if (PyDict_GET_SIZE(cache) >= SOURCE_CACHE_SIZE) {
            PyDict_Clear(cache);
        }
        if (PyDict_SetItem(cache, text, code) < 0) {
            Py_CLEAR(code);
        }
    }
    return code;
}

static void
exec_inside(ext_visit *visit, const atoll_frame *frame, bool dedent,
            outcome *out)
{
    ext_state *st = visit->state;
    PyObject *result = NULL;
    PyObject *code = NULL;
    PyObject *main_dict = get_main_dict(st);
    PyObject *what = main_dict == NULL ? NULL : ext_decode(st, frame);
    if (what != NULL && PyUnicode_CheckExact(what)) {
        code = get_code(st, what, dedent);
    }
    else if (what != NULL) {
        code = PyMarshal_ReadObjectFromString(PyBytes_AS_STRING(what),
                                              PyBytes_GET_SIZE(what));
    }
    if (code != NULL && ext_interrupt_begin_code(visit) == 0) {
        result = PyEval_EvalCode(code, main_dict, main_dict);
    }
    Py_XDECREF(code);
    Py_XDECREF(what);
    if (result != NULL) {
        Py_SETREF(result, Py_NewRef(Py_None));
    }
    take_result(visit, result, out);
}

/* Text as it is; a code object or a script-like function as marshalled bytes.
 * New reference; NULL with TypeError or ValueError. */
static PyObject *
prepare_code(PyObject *code)
{
    if (PyUnicode_Check(code)) {
        return PyUnicode_CheckExact(code) ? Py_NewRef(code)
                                          : PyUnicode_FromObject(code);
    }
    if (PyFunction_Check(code)) {
        PyObject *check = ext_state_python("atoll._make", "script_code");
        PyObject *inner
            = check == NULL ? NULL : PyObject_CallOneArg(check, code);
        Py_XDECREF(check);
        if (inner == NULL) {
            return NULL;
        }
        PyObject *bytes
            = PyMarshal_WriteObjectToString(inner, Py_MARSHAL_VERSION);
        Py_DECREF(inner);
        return bytes;
    }
    if (PyCode_Check(code)) {
        PyObject *check = ext_state_python("atoll._make", "script_code");
        PyObject *inner
            = check == NULL ? NULL : PyObject_CallOneArg(check, code);
        Py_XDECREF(check);
        if (inner == NULL) {
            return NULL;
        }
        Py_DECREF(inner);
        return PyMarshal_WriteObjectToString(code, Py_MARSHAL_VERSION);
    }
    PyErr_Format(PyExc_TypeError,
                 "exec() takes text, a code object or a function, not %.200s",
                 Py_TYPE(code)->tp_name);
    return NULL;
}

PyObject *
ext_run_exec(ext_state *st, atoll_interp *interp, PyObject *code, bool dedent,
             double timeout, ext_call *call)
{
    PyObject *what = prepare_code(code);
    if (what == NULL) {
        return NULL;
    }
    atoll_frame frame;
    ext_pins pins;
    ext_visit visit;
    outcome out;
    PyObject *result = NULL;
    atoll_frame_init(&frame);
    ext_pins_init(&pins);
    frame.sender = st->self->id;
    if (ext_encode(st, what, "code", 0, &pins, &frame) < 0
        || ext_attach_enter(st, interp, EXT_VISIT_RUN, &visit) < 0) {
        goto done;
    }
    init_outcome(&out);
    if ((call != NULL && ext_call_begin(call, &visit) < 0)
        || (timeout >= 0 && ext_interrupt_arm(&visit, timeout) < 0)) {
        take_failure(&visit, &out, OUTCOME_UNSHARED);
    }
    else {
        exec_inside(&visit, &frame, dedent, &out);
    }
    result = finish(st, &visit, &out);
done:
    if (call != NULL) {
        ext_call_end(call);
    }
    ext_pins_fini(&pins);
    atoll_frame_fini(&frame);
    ext_chores_check(st);
    Py_DECREF(what);
    return result;
}

PyObject *
ext_run_prepare(ext_state *st, atoll_interp *interp, PyObject *ns)
{
    atoll_frame frame;
    ext_visit visit;
    outcome out;
    PyObject *result = NULL;
    atoll_frame_init(&frame);
    frame.sender = st->self->id;
    if (ext_encode(st, ns, "ns", 0, NULL, &frame) < 0
        || ext_attach_enter(st, interp, EXT_VISIT_RUN, &visit) < 0) {
        goto done;
    }
    init_outcome(&out);
    PyObject *main_dict = get_main_dict(visit.state);
    PyObject *values
        = main_dict == NULL ? NULL : ext_decode(visit.state, &frame);
    PyObject *inner = NULL;
    if (values != NULL && PyDict_Update(main_dict, values) == 0) {
        inner = Py_NewRef(Py_None);
    }
    Py_XDECREF(values);
    if (inner == NULL) {
        take_failure(&visit, &out, OUTCOME_FAILED);
    }
    else {
        take_result(&visit, inner, &out);
    }
    result = finish(st, &visit, &out);
done:
    atoll_frame_fini(&frame);
    ext_chores_check(st);
    return result;
}

/* --- the part -------------------------------------------------------------- */

static int
run_exec(PyObject *Py_UNUSED(module), ext_state *st)
{
    run_part *part = PyMem_Calloc(1, sizeof(*part));
    if (part == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    st->parts[EXT_PART_RUN] = part;
    part->source_cache = PyDict_New();
    return part->source_cache == NULL ? -1 : 0;
}

static int
run_traverse(ext_state *st, visitproc visit, void *arg)
{
    run_part *part = get_part(st);
    if (part != NULL) {
        Py_VISIT(part->source_cache);
        Py_VISIT(part->main_dict);
        Py_VISIT(part->snapshot);
        Py_VISIT(part->rebuild);
    }
    return 0;
}

static void
run_clear(ext_state *st)
{
    run_part *part = get_part(st);
    if (part != NULL) {
        Py_CLEAR(part->source_cache);
        Py_CLEAR(part->main_dict);
        Py_CLEAR(part->snapshot);
        Py_CLEAR(part->rebuild);
    }
}

static void
run_free(ext_state *st)
{
    PyMem_Free(get_part(st));
    st->parts[EXT_PART_RUN] = NULL;
}

const ext_part ext_run_part = {
    .id = EXT_PART_RUN,
    .exec = run_exec,
    .traverse = run_traverse,
    .clear = run_clear,
    .free = run_free,
};
