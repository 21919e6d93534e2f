/* Looking at an interpreter: its threads, what each is doing, its memory.
 *
 * Stacks are read while attached to the interpreter, so its threads stand
 * still; from outside that is done by a probe, for the GIL may not be to be
 * had.  No Python code runs and nothing is imported: a look cannot hang on a
 * lock that the code in question holds, and works in an interpreter that has
 * not loaded atoll.
 *
 * What is found is copied into plain bytes, so that it can be handed to
 * another interpreter, or written by a thread that is attached to none.
 */
#include "look.h"

#include "attach.h"
#include "probe.h"
#include "runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A growing buffer; `failed` sticks. */
typedef struct bytes {
    char *data;
    size_t len;
    size_t cap;
    bool failed;
} bytes;

static void
put(bytes *out, const void *data, size_t size)
{
    if (out->cap - out->len < size && !out->failed) {
        size_t cap = out->cap * 2 + size + 256;
        char *grown = atoll_realloc(out->data, cap);
        if (grown == NULL) {
            out->failed = true;
        }
        else {
            out->data = grown;
            out->cap = cap;
        }
    }
    if (!out->failed) {
        memcpy(out->data + out->len, data, size);
        out->len += size;
    }
}

/* With its final NUL.  text: a str, or something else for "". */
static void
put_text(bytes *out, PyObject *text)
{
    const char *utf8 = "";
    PyObject *copy = NULL;
    if (text != NULL && PyUnicode_Check(text)) {
        copy = PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
        utf8 = copy == NULL ? "?" : PyBytes_AS_STRING(copy);
        PyErr_Clear();
    }
    put(out, utf8, strlen(utf8) + 1);
    Py_XDECREF(copy);
}

/* --- threads ------------------------------------------------------------------ */

/* threading._active here, if threading is loaded; borrowed by the module. */
static PyObject *
get_known_threads(void)
{
    PyObject *modules = PyImport_GetModuleDict(); /* borrowed */
    PyObject *threading = PyDict_Check(modules)
                              ? PyDict_GetItemString(modules, "threading")
                              : NULL;
    if (threading == NULL || !PyModule_Check(threading)) {
        return NULL;
    }
    PyObject *active
        = PyDict_GetItemString(PyModule_GetDict(threading), "_active");
    return active != NULL && PyDict_CheckExact(active) ? Py_NewRef(active)
                                                       : NULL;
}

/* An attribute in the thread object's own dict: no code of its runs.  New
 * reference or NULL. */
static PyObject *
get_own(PyObject *thread, const char *name)
{
    PyObject *dict = PyObject_GenericGetDict(thread, NULL);
    PyObject *value = NULL;
    if (dict != NULL && PyDict_Check(dict)) {
        value = Py_XNewRef(PyDict_GetItemString(dict, name));
    }
    Py_XDECREF(dict);
    PyErr_Clear();
    return value;
}

static void
put_thread(bytes *out, ext_runtime_thread *t, PyObject *known, bool in_call)
{
    ext_look_thread head
        = {.ident = t->ident, .native_id = t->native_id, .in_call = in_call};
    PyObject *key = PyLong_FromUnsignedLong(t->ident);
    PyObject *thread = NULL;
    if (key != NULL && known != NULL) {
        thread = Py_XNewRef(PyDict_GetItemWithError(known, key));
    }
    PyErr_Clear();
    Py_XDECREF(key);
    PyObject *name = thread == NULL ? NULL : get_own(thread, "_name");
    PyObject *daemon = thread == NULL ? NULL : get_own(thread, "_daemonic");
    head.daemon = daemon == Py_True;
    size_t place = out->len;
    put(out, &head, sizeof(head));
    put_text(out, name);
    PyFrameObject *frame = (PyFrameObject *)Py_XNewRef(t->value);
    while (frame != NULL && head.frames < EXT_LOOK_FRAMES) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        int line = PyFrame_GetLineNumber(frame);
        put(out, &line, sizeof(line));
        put_text(out, code->co_qualname);
        put_text(out, code->co_filename);
        Py_DECREF(code);
        head.frames++;
        Py_SETREF(frame, PyFrame_GetBack(frame));
    }
    head.cut = frame != NULL;
    Py_XDECREF(frame);
    if (!out->failed) {
        memcpy(out->data + place, &head, sizeof(head));
    }
    Py_XDECREF(name);
    Py_XDECREF(daemon);
    Py_XDECREF(thread);
}

static PyObject *
get_frame(PyThreadState *tstate)
{
    return (PyObject *)PyThreadState_GetFrame(tstate);
}

/* Attached: to interp.  `own` is left out if it is not NULL. */
static void
put_threads(bytes *out, ext_look *look, atoll_interp *interp,
            PyThreadState *own)
{
    PyObject *known = get_known_threads();
    atoll_mutex_lock(&interp->lock);
    unsigned long runner = interp->running ? interp->runner : 0;
    atoll_mutex_unlock(&interp->lock);
    ext_runtime_threads all;
    if (ext_runtime_list_threads(&all, get_frame) < 0) {
        PyErr_Clear();
        out->failed = true;
    }
    for (size_t i = 0; i < all.count; i++) {
        ext_runtime_thread *t = &all.list[i];
        if (t->tstate == own) {
            continue;
        }
        bool kept = ext_attach_is_kept(interp, t->tstate);
        bool in_call = kept && t->ident == runner;
        if (kept && !in_call) {
            continue; /* its thread is elsewhere */
        }
        put_thread(out, t, known, in_call);
        look->threads++;
        if (!in_call && t->native_id != 0) { /* else it has not begun */
            int64_t cpu = atoll_thread_cpu((long)t->native_id);
            cpu -= ext_attach_cpu_away(t->ident, cpu);
            look->cpu += cpu > 0 ? cpu : 0;
        }
    }
    ext_runtime_drop_threads(&all);
    Py_XDECREF(known);
}

/* --- memory ---------------------------------------------------------------------- */

/* The sum of a column, "blocks in use": lines of exactly five numbers. */
static int64_t
sum_blocks(char *text)
{
    int64_t sum = -1;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        long long number[5];
        char more;
        if (sscanf(line, "%lld %lld %lld %lld %lld %c", &number[0], &number[1],
                   &number[2], &number[3], &number[4], &more)
            == 5) {
            sum = (sum < 0 ? 0 : sum) + number[3];
        }
    }
    return sum;
}

/* Attached: to the interpreter in question. */
static int64_t
count_blocks(void)
{
    char *text = NULL;
    size_t size = 0;
    if (_PyObject_DebugMallocStats == NULL) {
        return -1;
    }
    FILE *file = open_memstream(&text, &size);
    if (file == NULL) {
        return -1;
    }
    (void)_PyObject_DebugMallocStats(file);
    int64_t sum = -1;
    if (fclose(file) == 0 && text != NULL) {
        sum = sum_blocks(text);
    }
    free(text);
    return sum;
}

/* --- all of it ------------------------------------------------------------------- */

static ext_look *
look_around(atoll_interp *interp, PyThreadState *own)
{
    PyObject *error = PyErr_GetRaisedException();
    ext_look look = {.blocks = count_blocks()};
    bytes out = {NULL, 0, 0, false};
    put(&out, &look, sizeof(look));
    put_threads(&out, &look, interp, own);
    PyErr_SetRaisedException(error);
    if (out.failed) {
        atoll_free(out.data);
        return NULL;
    }
    look.size = out.len;
    memcpy(out.data, &look, sizeof(look));
    return (ext_look *)(void *)out.data;
}

ext_look *
ext_look_here(atoll_interp *interp)
{
    return look_around(interp, NULL);
}

static void
work(ext_probe *probe)
{
    probe->text = (char *)look_around(probe->interp, PyThreadState_Get());
}

/* Is it wholly made?  CPython lists an interpreter before it has a GIL, and
 * list_all() may have adopted one that is being made just now: to attach to it
 * would crash.  One that other code made is known to be whole once it has
 * loaded atoll. */
static bool
is_made(atoll_interp *interp)
{
    atoll_mutex_lock(&interp->lock);
    bool made = interp->owned || interp->ext != NULL;
    atoll_mutex_unlock(&interp->lock);
    return made;
}

void
ext_look_at(atoll_interp *const *interps, size_t count, int64_t deadline,
            ext_look **out_looks)
{
    ext_probe **probes = atoll_calloc(count + 1, sizeof(*probes));
    for (size_t i = 0; i < count; i++) {
        out_looks[i] = NULL;
        if (probes != NULL && is_made(interps[i])) {
            probes[i] = ext_probe_start(interps[i], work, 0);
        }
    }
    for (size_t i = 0; probes != NULL && i < count; i++) {
        if (probes[i] == NULL) {
            continue;
        }
        if (ext_probe_wait(probes[i], deadline)) {
            out_looks[i] = (ext_look *)(void *)probes[i]->text;
            probes[i]->text = NULL;
        }
        ext_probe_drop(probes[i]);
    }
    atoll_free(probes);
}

/* --- reading -------------------------------------------------------------------- */

void
ext_look_open(const ext_look *look, ext_look_reader *out)
{
    const char *start = (const char *)look;
    out->at = start + sizeof(*look);
    out->end = start + look->size;
    out->skip = 0;
}

static const char *
read_text(ext_look_reader *reader)
{
    const char *text = reader->at;
    reader->at += strlen(text) + 1;
    return text;
}

void
ext_look_frame_next(ext_look_reader *reader, ext_look_frame *out)
{
    memcpy(&out->line, reader->at, sizeof(out->line));
    reader->at += sizeof(out->line);
    out->name = read_text(reader);
    out->file = read_text(reader);
    reader->skip--;
}

bool
ext_look_thread_next(ext_look_reader *reader, ext_look_thread *out)
{
    ext_look_frame frame;
    while (reader->skip > 0) {
        ext_look_frame_next(reader, &frame);
    }
    if (reader->at == reader->end) {
        return false;
    }
    memcpy(out, reader->at, sizeof(*out));
    reader->at += sizeof(*out);
    out->name = read_text(reader);
    reader->skip = out->frames;
    return true;
}
