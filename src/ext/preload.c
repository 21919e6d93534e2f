/* Extension modules that the main interpreter must load first.
 *
 * Up to 3.13 some modules have types in static memory.  The interpreter that
 * readies such a type gives it parts from its own heap; when another one has
 * that part in the end, it frees what is not its own, and the process aborts
 * (gh-136421 and its kin).  A module that refuses isolated interpreters is no
 * better on 3.12: its init function runs before the refusal.  The parts that
 * the main interpreter gives live as long as the process; so main goes first.
 *
 * atoll/_setup.py knows when, atoll/_imports.py does it in main; here is the
 * way there.  Two that ask at once take turns in main, at the lock that import
 * has for each module.  A shared library that the process has loaded while
 * nobody is on the way to main has been through this: nobody is visited then.
 */
#include "attach.h"
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

/* _load_in_main(name, path or None): True if main was visited. */
static PyObject *
load_in_main(PyObject *module, PyObject *args)
{
    const char *name;
    const char *path;
    if (!PyArg_ParseTuple(args, "sz:_load_in_main", &name, &path)) {
        return NULL;
    }
    ext_state *st = ext_state_of_module(module);
    int64_t id = PyInterpreterState_GetID(PyInterpreterState_Main());
    atoll_interp *main = NULL;
    ext_visit visit;
    if ((path != NULL && is_done(path)) || st->self->id == id
        || ext_compat_is_finalizing()
        || atoll_registry_find(id, &main) != ATOLL_OK) {
        Py_RETURN_FALSE;
    }
    atomic_fetch_add(&under_way, 1);
    if (ext_attach_enter(st, main, 0, &visit) < 0) {
        atomic_fetch_sub(&under_way, 1);
        atoll_interp_release(main);
        if (PyErr_ExceptionMatches(PyExc_Exception)) {
            PyErr_Clear(); /* main is ending */
            Py_RETURN_FALSE;
        }
        return NULL;
    }
    bool signalled = load_here(name, path);
    ext_attach_leave(&visit);
    atomic_fetch_sub(&under_way, 1);
    atoll_interp_release(main);
    if (signalled) {
        PyErr_SetInterrupt(); /* Ctrl-C meanwhile: it comes again */
    }
    Py_RETURN_TRUE;
}

static PyMethodDef preload_methods[] = {
    {"_load_in_main", load_in_main, METH_VARARGS,
     PyDoc_STR("_load_in_main(name, path, /)\n--\n\n"
               "Let the main interpreter load an extension module first.")},
    {NULL, NULL, 0, NULL},
};

static int
preload_exec(PyObject *module, ext_state *Py_UNUSED(st))
{
    return PyModule_AddFunctions(module, preload_methods);
}

const ext_part ext_preload_part = {
    .id = EXT_PART_PRELOAD,
    .exec = preload_exec,
};
