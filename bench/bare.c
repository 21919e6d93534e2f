/* What CPython itself takes, with nothing of atoll's: interpreters by
 * Py_NewInterpreterFromConfig and Py_EndInterpreter, and a call by a swap to a
 * kept thread state.  The floor that the benchmarks stand on. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <time.h>

#define MAX_KEPT 4096
static PyThreadState *kept[MAX_KEPT];
static int n_kept;

static double
now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* create() -> seconds; the interpreter is kept. */
static PyObject *
bare_create(PyObject *self, PyObject *unused)
{
    PyInterpreterConfig config = {
        .use_main_obmalloc = 0,
        .allow_fork = 0,
        .allow_exec = 0,
        .allow_threads = 1,
        .allow_daemon_threads = 0,
        .check_multi_interp_extensions = 1,
        .gil = PyInterpreterConfig_OWN_GIL,
    };
    if (n_kept == MAX_KEPT) {
        PyErr_SetString(PyExc_RuntimeError, "too many");
        return NULL;
    }
    PyThreadState *outer = PyThreadState_Get();
    PyThreadState *inner = NULL;
    double start = now();
    PyStatus status = Py_NewInterpreterFromConfig(&inner, &config);
    if (PyStatus_Exception(status)) {
        PyThreadState_Swap(outer);
        PyErr_SetString(PyExc_RuntimeError, "cannot create");
        return NULL;
    }
    PyThreadState_Swap(outer);
    double spent = now() - start;
    kept[n_kept++] = inner;
    return PyFloat_FromDouble(spent);
}

/* end() -> seconds; ends the newest. */
static PyObject *
bare_end(PyObject *self, PyObject *unused)
{
    if (n_kept == 0) {
        PyErr_SetString(PyExc_RuntimeError, "none left");
        return NULL;
    }
    double start = now();
    PyThreadState *outer = PyThreadState_Swap(kept[--n_kept]);
    Py_EndInterpreter(kept[n_kept]);
    PyThreadState_Swap(outer);
    return PyFloat_FromDouble(now() - start);
}

/* run(text): in the newest. */
static PyObject *
bare_run(PyObject *self, PyObject *text)
{
    const char *code = PyUnicode_AsUTF8(text);
    if (code == NULL || n_kept == 0) {
        return NULL;
    }
    PyThreadState *outer = PyThreadState_Swap(kept[n_kept - 1]);
    int status = PyRun_SimpleString(code);
    PyThreadState_Swap(outer);
    return PyLong_FromLong(status);
}

/* call(): nothing at all, in the newest: there and back. */
static PyObject *
bare_call(PyObject *self, PyObject *unused)
{
    PyThreadState *outer = PyThreadState_Swap(kept[n_kept - 1]);
    PyThreadState_Swap(outer);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"create", bare_create, METH_NOARGS, NULL},
    {"end", bare_end, METH_NOARGS, NULL},
    {"run", bare_run, METH_O, NULL},
    {"call", bare_call, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "bare",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC
PyInit_bare(void)
{
    return PyModule_Create(&module);
}
