/* What a new interpreter takes over from its creator: sys.path, warning
 * filters, where its prints go.
 *
 * Recorded at creation, in C memory, and applied by the first visit: creating
 * stays as cheap as CPython's own, and a spare interpreter can be given out in
 * microseconds.
 */
#include "setup.h"

#include "load.h"
#include "output.h"
#include "preload.h"
#include "transfer.h"

#include <string.h>

typedef struct ext_setup {
    size_t npath;
    char **path; /* UTF-8, surrogates passed */
    char *home;  /* the file that atoll._core is in, likewise; or NULL */
    atoll_frame frame;
} ext_setup;

static void
free_setup(void *ptr)
{
    ext_setup *setup = ptr;
    if (setup == NULL) {
        return;
    }
    for (size_t i = 0; i < setup->npath; i++) {
        atoll_free(setup->path[i]);
    }
    atoll_free(setup->path);
    atoll_free(setup->home);
    atoll_frame_fini(&setup->frame);
    atoll_free(setup);
}

/* UTF-8, surrogates passed.  Fails: NULL with an exception. */
static char *
copy_text(PyObject *text)
{
    PyObject *bytes
        = PyUnicode_AsEncodedString(text, "utf-8", "surrogatepass");
    if (bytes == NULL) {
        return NULL;
    }
    size_t size = (size_t)PyBytes_GET_SIZE(bytes) + 1;
    char *copy = atoll_malloc(size);
    if (copy == NULL) {
        PyErr_NoMemory();
    }
    else {
        memcpy(copy, PyBytes_AS_STRING(bytes), size);
    }
    Py_DECREF(bytes);
    return copy;
}

/* Copies a list of str.  Fails: -1 with an exception. */
static int
copy_path(ext_setup *setup, PyObject *path)
{
    Py_ssize_t count = PyList_GET_SIZE(path);
    setup->path = atoll_calloc((size_t)count + 1, sizeof(char *));
    if (setup->path == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < count && i < PyList_GET_SIZE(path); i++) {
        PyObject *item = PyList_GET_ITEM(path, i);
        if (!PyUnicode_Check(item)) {
            continue; /* sys.path may hold anything; import skips it too */
        }
        char *copy = copy_text(item);
        if (copy == NULL) {
            return -1;
        }
        setup->path[setup->npath++] = copy;
    }
    return 0;
}

/* From (sys.path, rest): rest crosses natively. */
static ext_setup *
make_setup(ext_state *st, PyObject *snapshot)
{
    PyObject *path = NULL;
    PyObject *rest = NULL;
    if (!PyArg_ParseTuple(snapshot, "O!O", &PyList_Type, &path, &rest)) {
        return NULL;
    }
    ext_setup *setup = atoll_calloc(1, sizeof(*setup));
    if (setup == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    atoll_frame_init(&setup->frame);
    setup->frame.sender = st->self->id;
    PyObject *file = PyModule_GetFilenameObject(st->module);
    if (file == NULL) {
        PyErr_Clear();
    }
    else {
        setup->home = copy_text(file);
        Py_DECREF(file);
    }
    if ((file != NULL && setup->home == NULL) || copy_path(setup, path) < 0
        || ext_encode(st, rest, "setup", 0, NULL, &setup->frame) < 0) {
        free_setup(setup);
        return NULL;
    }
    return setup;
}

int
ext_setup_leave(ext_state *st, atoll_interp *interp, PyObject *snapshot)
{
    ext_setup *setup = make_setup(st, snapshot);
    if (setup == NULL) {
        return -1;
    }
    atoll_mutex_lock(&interp->lock);
    void *old = interp->setup;
    interp->setup = setup;
    interp->free_setup = free_setup;
    atoll_mutex_unlock(&interp->lock);
    free_setup(old);
    return 0;
}

static int
apply_path(const ext_setup *setup)
{
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < setup->npath; i++) {
        PyObject *item = PyUnicode_DecodeUTF8(
            setup->path[i], (Py_ssize_t)strlen(setup->path[i]),
            "surrogatepass");
        if (item == NULL || PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
    }
    if (list == NULL) {
        return -1;
    }
    int result = PySys_SetObject("path", list);
    Py_DECREF(list);
    return result;
}

/* Loads atoll._core.  Fails: -1 with an exception. */
static int
load_core(const ext_setup *setup)
{
    PyObject *core = NULL;
    if (setup == NULL || setup->home == NULL) {
        core = PyImport_ImportModule("atoll._core");
    }
    else {
        PyObject *home = PyUnicode_DecodeUTF8(
            setup->home, (Py_ssize_t)strlen(setup->home), "surrogatepass");
        core = home == NULL ? NULL : ext_load_file("atoll._core", home);
        Py_XDECREF(home);
    }
    Py_XDECREF(core);
    return core == NULL ? -1 : 0;
}

/* Is it the category (module, name)?  -1 with an exception. */
static int
is_category(PyObject *category, PyObject *place)
{
    PyObject *found = PyTuple_Check(place) && PyTuple_GET_SIZE(place) == 2
                              && PyUnicode_Check(PyTuple_GET_ITEM(place, 0))
                              && PyUnicode_CompareWithASCIIString(
                                     PyTuple_GET_ITEM(place, 0), "builtins")
                                     == 0
                          ? PyDict_GetItemWithError(PyEval_GetBuiltins(),
                                                    PyTuple_GET_ITEM(place, 1))
                          : NULL;
    return found == NULL && PyErr_Occurred()
               ? -1
               : found != NULL && found == category;
}

/* Are the warning filters here, a tuple, those of the creator, and all of
 * builtin categories?  -1 with an exception. */
static int
has_filters(PyObject *filters, PyObject *wanted)
{
    if (!PyList_Check(wanted)
        || PyTuple_GET_SIZE(filters) != PyList_GET_SIZE(wanted)) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(wanted); i++) {
        PyObject *have = PyTuple_GET_ITEM(filters, i);
        PyObject *want = PyList_GET_ITEM(wanted, i);
        if (!PyTuple_Check(have) || PyTuple_GET_SIZE(have) != 5
            || !PyTuple_Check(want) || PyTuple_GET_SIZE(want) != 5) {
            return 0;
        }
        for (Py_ssize_t k = 0; k < 5; k++) {
            PyObject *a = PyTuple_GET_ITEM(have, k);
            PyObject *b = PyTuple_GET_ITEM(want, k);
            int same = k == 2 ? is_category(a, b)
                              : PyObject_RichCompareBool(a, b, Py_EQ);
            if (same <= 0) {
                return same;
            }
        }
    }
    return 1;
}

/* Calls a function of _setup.py, which does without the package.
 * Fails: -1 with an exception. */
static int
call_setup(ext_state *st, const char *name, PyObject *arg, PyObject *more)
{
    PyObject *module = ext_load_near(st, "atoll._setup", "_setup.py");
    PyObject *function
        = module == NULL ? NULL : PyObject_GetAttrString(module, name);
    Py_XDECREF(module);
    return ext_state_call(function, arg, more);
}

static int
take_filters(ext_state *st, PyObject *wanted)
{
    PyObject *warnings = PyImport_ImportModule("_warnings");
    PyObject *filters = warnings == NULL
                            ? NULL
                            : PyObject_GetAttrString(warnings, "filters");
    /* A copy: others may change the list while items are compared. */
    PyObject *copy = filters == NULL ? NULL : PySequence_Tuple(filters);
    int same = copy == NULL ? -1 : has_filters(copy, wanted);
    Py_XDECREF(warnings);
    Py_XDECREF(filters);
    Py_XDECREF(copy);
    if (same != 0) {
        return same < 0 ? -1 : 0;
    }
    return call_setup(st, "set_filters", wanted, NULL);
}

/* Takes over what _make.snapshot() recorded.  What most interpreters need is
 * done here: loading Python for it would take more memory than all of
 * atoll._core.  Fails: -1 with an exception. */
static int
take_over(ext_state *st, PyObject *rest)
{
    static const char *const names[]
        = {"filters", "creator", "argv", "environ", "install"};
    PyObject *found[5]; /* borrowed */
    for (size_t i = 0; i < 5; i++) {
        found[i] = PyDict_GetItemString(rest, names[i]);
    }
    if (found[0] != NULL && take_filters(st, found[0]) < 0) {
        return -1;
    }
    if (found[1] != NULL) {
        if (ext_output_redirect(st, found[1]) < 0) {
            return -1;
        }
    }
    else if (found[2] != NULL) { /* a spare, made for the other kind */
        if (PySys_SetObject("stdout", PySys_GetObject("__stdout__")) < 0
            || PySys_SetObject("stderr", PySys_GetObject("__stderr__")) < 0) {
            return -1;
        }
    }
    if (found[2] != NULL && found[3] != NULL
        && call_setup(st, "take_process", found[2], found[3]) < 0) {
        return -1;
    }
    if (ext_preload_watch(st) < 0) {
        return -1;
    }
    if (found[4] != NULL
        && ext_state_call_python("atoll._install", "install", NULL, NULL)
               < 0) {
        return -1;
    }
    return 0;
}

/* What could not be applied waits for the next visit. */
static void
put_back_setup(atoll_interp *interp, ext_setup *setup)
{
    atoll_mutex_lock(&interp->lock);
    if (interp->setup == NULL) {
        interp->setup = setup;
        setup = NULL;
    }
    atoll_mutex_unlock(&interp->lock);
    free_setup(setup);
}

int
ext_setup_apply(atoll_interp *interp)
{
    atoll_mutex_lock(&interp->lock);
    ext_setup *setup = interp->setup;
    interp->setup = NULL;
    atoll_mutex_unlock(&interp->lock);
    if (setup != NULL && apply_path(setup) < 0) {
        goto error;
    }
    if (interp->ext == NULL) {
        if (load_core(setup) < 0) {
            goto error;
        }
        if (interp->ext == NULL) {
            PyErr_SetString(PyExc_ImportError,
                            "another copy of atoll._core was loaded");
            goto error;
        }
    }
    if (setup != NULL && setup->frame.len > 0) {
        PyObject *rest = ext_decode(interp->ext, &setup->frame);
        if (rest == NULL) {
            goto error;
        }
        int failed = take_over(interp->ext, rest);
        Py_DECREF(rest);
        if (failed) {
            goto error;
        }
    }
    free_setup(setup);
    return 0;
error:
    put_back_setup(interp, setup);
    return -1;
}
