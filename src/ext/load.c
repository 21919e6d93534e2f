/* How atoll gets into an interpreter.
 *
 * atoll._core is loaded from the creator's file, and everything else of
 * atoll's from beside it, when it is needed.  So the two halves belong
 * together whatever sys.path says; no directory is read; and an interpreter
 * that only runs code never loads the package.
 */
#include "load.h"

/* sys.modules[name], or the module loaded from `path`.
 * Attached: to an interpreter; the import lock of `name` is held.
 * New reference; NULL with an exception. */
static PyObject *
load_locked(PyObject *bootstrap, PyObject *name, PyObject *path)
{
    PyObject *module = PyImport_GetModule(name);
    if (module != NULL || PyErr_Occurred()) {
        return module;
    }
    PyObject *external = PyImport_ImportModule("_frozen_importlib_external");
    PyObject *spec
        = external == NULL
              ? NULL
              : PyObject_CallMethod(external, "spec_from_file_location", "OO",
                                    name, path);
    if (spec != NULL) {
        module = PyObject_CallMethod(bootstrap, "_load_unlocked", "O", spec);
    }
    Py_XDECREF(external);
    Py_XDECREF(spec);
    return module;
}

PyObject *
ext_load_file(const char *name, PyObject *path)
{
    PyObject *text = PyUnicode_FromString(name);
    PyObject *bootstrap = PyImport_ImportModule("_frozen_importlib");
    PyObject *lock = NULL, *entered = NULL, *module = NULL;
    if (text != NULL && bootstrap != NULL) {
        lock = PyObject_CallMethod(bootstrap, "_ModuleLockManager", "O", text);
    }
    if (lock != NULL) {
        entered = PyObject_CallMethod(lock, "__enter__", NULL);
    }
    if (entered != NULL) {
        module = load_locked(bootstrap, text, path);
        PyObject *error = PyErr_GetRaisedException();
        PyObject *left = PyObject_CallMethod(lock, "__exit__", "OOO", Py_None,
                                             Py_None, Py_None);
        if (left == NULL) {
            Py_CLEAR(module);
        }
        if (error != NULL) {
            PyErr_SetRaisedException(error);
        }
        Py_XDECREF(left);
    }
    Py_XDECREF(text);
    Py_XDECREF(bootstrap);
    Py_XDECREF(lock);
    Py_XDECREF(entered);
    return module;
}

PyObject *
ext_load_near(ext_state *st, const char *name, const char *file)
{
    PyObject *home = PyModule_GetFilenameObject(st->module);
    PyObject *path = NULL, *module = NULL;
    if (home != NULL) {
        Py_ssize_t slash
            = PyUnicode_FindChar(home, '/', 0, PyUnicode_GET_LENGTH(home), -1);
        PyObject *dir
            = slash < -1 ? NULL : PyUnicode_Substring(home, 0, slash + 1);
        path = dir == NULL ? NULL : PyUnicode_FromFormat("%U%s", dir, file);
        Py_XDECREF(dir);
    }
    if (path != NULL) {
        module = ext_load_file(name, path);
    }
    Py_XDECREF(home);
    Py_XDECREF(path);
    if (module == NULL
        && (PyErr_ExceptionMatches(PyExc_FileNotFoundError)
            || PyErr_ExceptionMatches(PyExc_SystemError))) {
        PyErr_Clear(); /* no source there, or no file: import knows more */
        module = PyImport_ImportModule(name);
    }
    return module;
}
