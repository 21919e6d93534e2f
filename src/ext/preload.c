/* Extension modules that the main interpreter must load first.
 *
 * Up to 3.13 some modules have types in static memory.  The interpreter that
 * readies such a type gives it parts from its own heap; when another one has
 * that part in the end, it frees what is not its own, and the process aborts
 * (gh-136421 and its kin).  A module that refuses isolated interpreters is no
 * better on 3.12: its init function runs before the refusal.  The parts that
 * the main interpreter gives live as long as the process; so main goes first.
 *
 * The loaders' create_module here knows when, atoll/_imports.py does it in
 * main.  Two that ask at once take turns in main, at the lock that import
 * has for each module.  A shared library that the process has loaded while
 * nobody is on the way to main has been through this: nobody is visited then.
 */
#include "preload.h"

#include "module.h"

#include <dlfcn.h>
#include <stdlib.h>

/* Threads that visit main for this. */
static atomic_int under_way;

/* Has main loaded it?  The library first: it is loaded while the thread that
 * saw to it counts as under way. */
static bool
is_done(const char *path)
{
    void *handle = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
    if (handle == NULL) {
        return false;
    }
    (void)dlclose(handle);
    return atomic_load(&under_way) == 0;
}

/* True: Ctrl-C came.  What fails in main fails in the one that asked, too, and
 * is reported by that.
 * Attached: to main, by a visit. */
static bool
load_here(const char *name, const char *path)
{
    PyObject *function = ext_state_python("atoll._imports", "load_first");
    PyObject *got = function == NULL
                        ? NULL
                        : PyObject_CallFunction(function, "sz", name, path);
    Py_XDECREF(function);
    Py_XDECREF(got);
    bool signalled
        = got == NULL && PyErr_ExceptionMatches(PyExc_KeyboardInterrupt);
    PyErr_Clear();
    return signalled;
}

/* Has main load it first; path may be NULL.
 * Attached: to st's interpreter, and left meanwhile.
 * Fails: -1 with an exception. */
static int
load_in_main(ext_state *st, const char *name, const char *path)
{
    int64_t id = PyInterpreterState_GetID(PyInterpreterState_Main());
    atoll_interp *main = NULL;
    ext_visit visit;
    if ((path != NULL && is_done(path)) || st->self->id == id
        || ext_compat_is_finalizing()
        || atoll_registry_find(id, &main) != ATOLL_OK) {
        return 0;
    }
    atomic_fetch_add(&under_way, 1);
    if (ext_attach_enter(st, main, 0, &visit) < 0) {
        atomic_fetch_sub(&under_way, 1);
        atoll_interp_release(main);
        if (PyErr_ExceptionMatches(PyExc_Exception)) {
            PyErr_Clear(); /* main is ending */
            return 0;
        }
        return -1;
    }
    bool signalled = load_here(name, path);
    ext_attach_leave(&visit);
    atomic_fetch_sub(&under_way, 1);
    atoll_interp_release(main);
    if (signalled) {
        PyErr_SetInterrupt(); /* Ctrl-C meanwhile: it comes again */
    }
    return 0;
}

/* Which modules main must load first.  `without_path`: by their name, from
 * wherever main finds them. */
static bool
is_for_main(PyObject *name, bool built_in, bool *out_without_path)
{
    static const char *const by_name[] = {"_asyncio", "_datetime"};
    static const char *const built_ins[]
        = {"_asyncio",     "_datetime", "_decimal",
           "_elementtree", "_zoneinfo", "pyexpat"};
    *out_without_path = built_in;
    if (built_in) {
        for (size_t i = 0; i < sizeof(built_ins) / sizeof(*built_ins); i++) {
            if (PyUnicode_CompareWithASCIIString(name, built_ins[i]) == 0) {
                return EXT_COMPAT_STATIC_TYPES > 0;
            }
        }
        return false;
    }
    for (size_t i = 0; i < sizeof(by_name) / sizeof(*by_name); i++) {
        if (PyUnicode_CompareWithASCIIString(name, by_name[i]) == 0) {
            *out_without_path = true;
        }
    }
    if (EXT_COMPAT_STATIC_TYPES < 2) {
        return EXT_COMPAT_STATIC_TYPES == 1
               && PyUnicode_CompareWithASCIIString(name, "_datetime") == 0;
    }
    return true;
}

/* Fails: -1 with an exception. */
static int
let_main_go_first(ext_state *st, PyObject *spec, PyObject *name, bool built_in)
{
    bool without_path;
    if (!is_for_main(name, built_in, &without_path)) {
        return 0;
    }
    PyObject *origin
        = without_path ? NULL : PyObject_GetAttrString(spec, "origin");
    const char *text = PyUnicode_AsUTF8(name);
    const char *path = NULL;
    int result = -1;
    if (text != NULL && origin != NULL && PyUnicode_Check(origin)) {
        path = PyUnicode_AsUTF8(origin);
    }
    if (!PyErr_Occurred()) {
        result = load_in_main(st, text, path);
    }
    Py_XDECREF(origin);
    return result;
}

/* A loader's create_module(self, spec) or create_module(spec), around the
 * original, which is the first item of `watched`; the second tells which. */
static PyObject *
create_module(PyObject *watched, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *original = PyTuple_GET_ITEM(watched, 0);
    bool built_in = PyTuple_GET_ITEM(watched, 1) == Py_True;
    ext_state *st = ext_state_current();
    if (st == NULL || nargs == 0) { /* the interpreter ends, or misuse */
        PyErr_Clear();
        return PyObject_Vectorcall(original, args, (size_t)nargs, NULL);
    }
    PyObject *spec = args[nargs - 1];
    PyObject *name = PyObject_GetAttrString(spec, "name");
    if (name == NULL || !PyUnicode_Check(name)
        || let_main_go_first(st, spec, name, built_in) < 0) {
        Py_XDECREF(name);
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError, "a spec's name must be str");
        }
        return NULL;
    }
    PyObject *module
        = PyObject_Vectorcall(original, args, (size_t)nargs, NULL);
    if (module == NULL && PyErr_ExceptionMatches(PyExc_ImportError)) {
        PyObject *error = PyErr_GetRaisedException();
        if (ext_state_call_python("atoll._imports", "add_note", error, name)
                == 0
            || PyErr_ExceptionMatches(PyExc_Exception)) {
            PyErr_SetRaisedException(error); /* what matters more */
        }
        else {
            Py_DECREF(error); /* Ctrl-C, or an interruption */
        }
    }
    if (module != NULL
        && PyUnicode_CompareWithASCIIString(name, "_asyncio") == 0
        && ext_state_call_python("atoll._setup", "watch_event_loops", module,
                                 NULL)
               < 0) {
        Py_CLEAR(module);
    }
    Py_DECREF(name);
    return module;
}

static PyMethodDef create_module_def
    = {"create_module", _PyCFunction_CAST(create_module), METH_FASTCALL,
       PyDoc_STR("Create a module; atoll sees to what it needs.")};

/* Puts create_module around that of a loader in the module `where`. */
static int
watch_loader(const char *where, const char *type, bool built_in)
{
    PyObject *module = PyImport_ImportModule(where);
    PyObject *loader
        = module == NULL ? NULL : PyObject_GetAttrString(module, type);
    PyObject *original = loader == NULL
                             ? NULL
                             : PyObject_GetAttrString(loader, "create_module");
    PyObject *watched
        = original == NULL
              ? NULL
              : PyTuple_Pack(2, original, built_in ? Py_True : Py_False);
    PyObject *function = watched == NULL
                             ? NULL
                             : PyCFunction_New(&create_module_def, watched);
    if (function != NULL && !built_in) {
        /* A method: what is built in binds to no instance by itself. */
        Py_SETREF(function, PyInstanceMethod_New(function));
    }
    int result
        = function == NULL
              ? -1
              : PyObject_SetAttrString(loader, "create_module", function);
    Py_XDECREF(module);
    Py_XDECREF(loader);
    Py_XDECREF(original);
    Py_XDECREF(watched);
    Py_XDECREF(function);
    return result;
}

int
ext_preload_watch(ext_state *st)
{
    if (st->watches_loaders) {
        return 0;
    }
    if (watch_loader("_frozen_importlib_external", "ExtensionFileLoader",
                     false)
            < 0
        || watch_loader("_frozen_importlib", "BuiltinImporter", true) < 0) {
        return -1;
    }
    st->watches_loaders = true;
    return 0;
}
