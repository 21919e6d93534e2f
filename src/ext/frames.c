/* sys._current_frames() and sys._current_exceptions() of this interpreter alone.
 *
 * CPython's own look at the threads of all interpreters (3.12 to 3.15): they
 * make frame objects for code that runs under another GIL at that moment, from
 * this interpreter's memory, which the other one then frees.  A sampling
 * profiler (Dask has one in every worker) ends the process within a second of
 * work in an interpreter.  So wherever atoll is imported, sys has these
 * instead; they give what CPython's give where there is one interpreter.  Can
 * go when CPython's keep to their interpreter.
 *
 * The GIL of this interpreter is held: its threads' frames stand still.
 */
#include "module.h"
#include "runtime.h"

typedef PyObject *(*get_fn)(PyThreadState *tstate);

static PyObject *
get_frame(PyThreadState *tstate)
{
    return (PyObject *)PyThreadState_GetFrame(tstate);
}

/* {thread id: get(its state)} for the threads of this interpreter. */
static PyObject *
look_at_threads(const char *event, get_fn get)
{
    if (PySys_Audit(event, NULL) < 0) {
        return NULL;
    }
    ext_runtime_threads all;
    if (ext_runtime_list_threads(&all, get) < 0) {
        return NULL;
    }
    PyObject *result = PyDict_New();
    for (size_t i = 0; result != NULL && i < all.count; i++) {
        if (all.list[i].value == NULL) {
            continue;
        }
        PyObject *key = PyLong_FromUnsignedLong(all.list[i].ident);
        if (key == NULL
            || PyDict_SetItem(result, key, all.list[i].value) < 0) {
            Py_CLEAR(result);
        }
        Py_XDECREF(key);
    }
    ext_runtime_drop_threads(&all);
    return result;
}

static PyObject *
current_frames(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(args))
{
    return look_at_threads("sys._current_frames", get_frame);
}

static PyObject *
current_exceptions(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(args))
{
    return look_at_threads("sys._current_exceptions",
                           ext_compat_handled_exception);
}

static PyMethodDef functions[] = {
    {"_current_frames", current_frames, METH_NOARGS,
     PyDoc_STR("_current_frames()\n--\n\n"
               "A dict of each thread of this interpreter that runs Python: "
               "its identifier, and the frame it is in.")},
    {"_current_exceptions", current_exceptions, METH_NOARGS,
     PyDoc_STR(
         "_current_exceptions()\n--\n\n"
         "A dict of each thread of this interpreter: its identifier, and "
         "the exception that it handles, or None.")},
    {NULL, NULL, 0, NULL},
};

static int
frames_exec(PyObject *Py_UNUSED(module), ext_state *Py_UNUSED(st))
{
    for (PyMethodDef *def = functions; def->ml_name != NULL; def++) {
        /* Without a module: it outlives atoll's in sys. */
        PyObject *name = PyUnicode_FromString("sys");
        PyObject *func
            = name == NULL ? NULL : PyCFunction_NewEx(def, NULL, name);
        Py_XDECREF(name);
        if (func == NULL || PySys_SetObject(def->ml_name, func) < 0) {
            Py_XDECREF(func);
            return -1;
        }
        Py_DECREF(func);
    }
    return 0;
}

const ext_part ext_frames_part = {
    .id = EXT_PART_FRAMES,
    .exec = frames_exec,
};
