/* atoll._core: the module and the table of its parts.
 *
 * Multi-phase initialisation, one ext_state per interpreter, own-GIL
 * interpreters supported.  The parts are independent of each other's structs;
 * their order here is the order in which they are made, and the reverse of
 * the one in which they are cleared and freed.
 *
 * Half of the types (queues, shared memory, locks, pools) are made only where
 * they are used: when somebody asks the module for one of their names, or
 * something arrives that is of one (transfer.c).  An interpreter that only
 * runs calls saves some 70 KB.
 */
#include "module.h"

#include "load.h"

static const ext_part *const parts[] = {
    &ext_errors_part,    &ext_attach_part,    &ext_transfer_part,
    &ext_function_part,  &ext_run_part,       &ext_output_part,
    &ext_interrupt_part, &ext_call_part,      &ext_interpreter_part,
    &ext_frames_part,    &ext_lifecycle_part, /* last: from here on the interpreter is visited */
};
#define N_PARTS (sizeof(parts) / sizeof(parts[0]))

/* The parts that are made when they are needed, and the names they add. */
static const struct late_part {
    const ext_part *part;
    const char *names[10];
} late_parts[] = {
    {&ext_queue_part,
     {"Queue", "create_queue", "wait", "_QueueLoop", "_QueueItem",
      "_live_queues", "_queue_waiting"}},
    {&ext_buffer_part, {"SharedBuffer", "_blocks_alive"}},
    {&ext_sync_part,
     {"AtomicInt", "Barrier", "BoundedSemaphore", "Condition", "Event", "Lock",
      "RLock", "Semaphore", "_sync_alive"}},
    {&ext_pool_part, {"_Pool"}},
    {&ext_inspect_part,
     {"_stats", "_stacks", "_dump_stacks", "_register_dump",
      "_unregister_dump", "_expose_begin", "_expose", "_unexpose"}},
    {&ext_closing_part, {"_watch_close"}},
    {&ext_testing_part, {"_alive", "_fail_allocation", "_probe_patience"}},
    {&ext_limits_part,
     {"_Limits", "_track_memory", "_set_limits", "_end_limits"}},
};
#define N_LATE (sizeof(late_parts) / sizeof(late_parts[0]))

/* The key of the module's dict with this text, borrowed; NULL: there is none.
 * Without memory, of which there may be none. */
static PyObject *
find_key(PyObject *dict, const char *text)
{
    PyObject *key, *value;
    Py_ssize_t pos = 0;
    while (PyDict_Next(dict, &pos, &key, &value)) {
        if (PyUnicode_Check(key)
            && PyUnicode_CompareWithASCIIString(key, text) == 0) {
            return key;
        }
    }
    return NULL;
}

/* Half made: as if never begun.  What it gave the module goes, too: its types
 * would be met without the part's state. */
static void
undo_late(ext_state *st, const struct late_part *late)
{
    PyObject *error = PyErr_GetRaisedException();
    PyObject *dict = PyModule_GetDict(st->module); /* borrowed */
    for (const char *const *n = late->names; *n != NULL; n++) {
        PyObject *key = Py_XNewRef(find_key(dict, *n));
        if (key != NULL && PyDict_DelItem(dict, key) < 0) {
            PyErr_Clear();
        }
        Py_XDECREF(key);
    }
    late->part->clear(st);
    late->part->free(st);
    if (error == NULL) {
        PyErr_NoMemory(); /* PyType_FromModuleAndSpec, of all that it lacks */
    }
    else {
        PyErr_SetRaisedException(error);
    }
}

/* Fails: -1 with an exception. */
static int
load_late(ext_state *st, const struct late_part *late)
{
    if (st->parts[late->part->id] != NULL) {
        return 0;
    }
    if (late->part->exec(st->module, st) < 0) {
        undo_late(st, late);
        return -1;
    }
    return 0;
}

int
ext_module_load_all(ext_state *st)
{
    for (size_t i = 0; i < N_LATE; i++) {
        if (load_late(st, &late_parts[i]) < 0) {
            return -1;
        }
    }
    return 0;
}

int
ext_module_load(ext_state *st, ext_part_id id)
{
    for (size_t i = 0; i < N_LATE; i++) {
        if (late_parts[i].part->id == id) {
            return load_late(st, &late_parts[i]);
        }
    }
    return 0;
}

/* The module's __getattr__ (PEP 562). */
static PyObject *
core_getattr(PyObject *module, PyObject *name)
{
    ext_state *st = ext_state_of_module(module);
    for (size_t i = 0; PyUnicode_Check(name) && i < N_LATE; i++) {
        for (const char *const *n = late_parts[i].names; *n != NULL; n++) {
            if (PyUnicode_CompareWithASCIIString(name, *n) != 0
                || st->parts[late_parts[i].part->id] != NULL) {
                continue;
            }
            if (load_late(st, &late_parts[i]) < 0) {
                return NULL;
            }
            return PyObject_GetAttr(module, name);
        }
    }
    PyErr_Format(PyExc_AttributeError,
                 "module 'atoll._core' has no attribute %R", name);
    return NULL;
}

/* _call_locked(lock, func, *args): func(*args) with a lock of threading's held.
 * Unlike `with`, whose block begins some instructions after the lock was
 * taken, it leaves the lock taken at no exception, wherever Ctrl-C comes.
 * Neither to wait for the lock nor to let it go needs memory. */
static PyObject *
core_call_locked(PyObject *Py_UNUSED(module), PyObject *const *args,
                 Py_ssize_t nargs)
{
    if (nargs < 2) {
        PyErr_SetString(PyExc_TypeError,
                        "_call_locked() takes a lock and a callable");
        return NULL;
    }
    PyObject *result = NULL;
    PyObject *release = PyObject_GetAttrString(args[0], "release");
    PyObject *acquire
        = release == NULL ? NULL : PyObject_GetAttrString(args[0], "acquire");
    PyObject *got = acquire == NULL ? NULL : PyObject_CallNoArgs(acquire);
    if (got != NULL) {
        Py_DECREF(got);
        result = PyObject_Vectorcall(args[1], args + 2, (size_t)(nargs - 2),
                                     NULL);
        PyObject *error = PyErr_GetRaisedException();
        got = PyObject_CallNoArgs(release);
        if (got == NULL && error == NULL) {
            Py_CLEAR(result); /* func has released it */
        }
        else {
            PyErr_SetRaisedException(error);
        }
        Py_XDECREF(got);
    }
    Py_XDECREF(acquire);
    Py_XDECREF(release);
    return result;
}

static PyMethodDef core_functions[] = {
    {"__getattr__", core_getattr, METH_O, NULL},
    {"_call_locked", (PyCFunction)(void (*)(void))core_call_locked,
     METH_FASTCALL,
     PyDoc_STR("_call_locked($module, lock, func, /, *args)\n--\n\n"
               "func(*args) with the lock held, wherever Ctrl-C comes.")},
    {NULL, NULL, 0, NULL},
};

ext_state *
ext_state_current(void)
{
    PyObject *name = PyUnicode_FromString("atoll._core");
    if (name == NULL) {
        return NULL;
    }
    PyObject *module = PyImport_GetModule(name);
    Py_DECREF(name);
    if (module == NULL) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_ImportError,
                            "atoll._core is not loaded in this interpreter");
        }
        return NULL;
    }
    ext_state *st
        = PyModule_Check(module) ? ext_state_of_module(module) : NULL;
    Py_DECREF(module); /* sys.modules keeps it */
    return st;
}

static PyObject *
import_attr(const char *module, const char *name)
{
    PyObject *mod = PyImport_ImportModule(module);
    if (mod == NULL) {
        return NULL;
    }
    PyObject *value = PyObject_GetAttrString(mod, name);
    Py_DECREF(mod);
    return value;
}

/* An interpreter has atoll._core before it needs the package, which then is
 * the one that this belongs to.  Fails: -1 with an exception. */
static int
load_package(void)
{
    PyObject *modules = PyImport_GetModuleDict(); /* borrowed */
    if (PyDict_GetItemString(modules, "atoll") != NULL) {
        return 0;
    }
    ext_state *st = ext_state_current();
    PyObject *package
        = st == NULL ? NULL : ext_load_near(st, "atoll", "__init__.py");
    Py_XDECREF(package);
    return package == NULL ? -1 : 0;
}

PyObject *
ext_state_python(const char *module, const char *name)
{
    if (strncmp(module, "atoll.", 6) == 0 && load_package() < 0) {
        return NULL;
    }
    return import_attr(module, name);
}

int
ext_state_call(PyObject *function, PyObject *arg, PyObject *more)
{
    PyObject *got
        = function == NULL
              ? NULL
              : PyObject_CallFunctionObjArgs(function, arg, more, NULL);
    Py_XDECREF(function);
    Py_XDECREF(got);
    return got == NULL ? -1 : 0;
}

int
ext_state_call_python(const char *module, const char *name, PyObject *arg,
                      PyObject *more)
{
    return ext_state_call(ext_state_python(module, name), arg, more);
}

static int
core_exec(PyObject *module)
{
    ext_state *st = ext_state_of_module(module);
    st->module = module;
    /* From meson.build, where alone it stands. */
    if (PyModule_AddStringConstant(module, "__version__", ATOLL_VERSION) < 0) {
        return -1;
    }
    if (atoll_registry_open() != ATOLL_OK) {
        PyErr_NoMemory();
        return -1;
    }
    PyInterpreterState *interp = PyInterpreterState_Get();
    if (atoll_registry_adopt(PyInterpreterState_GetID(interp), interp,
                             &st->self)
        != ATOLL_OK) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < N_PARTS; i++) {
        if (parts[i]->exec(module, st) < 0) {
            return -1;
        }
    }
    return PyModule_AddFunctions(module, core_functions);
}

static int
core_traverse(PyObject *module, visitproc visit, void *arg)
{
    ext_state *st = ext_state_of_module(module);
    if (st == NULL) {
        return 0;
    }
    int err = 0;
    for (size_t i = 0; err == 0 && i < N_PARTS; i++) {
        if (parts[i]->traverse != NULL) {
            err = parts[i]->traverse(st, visit, arg);
        }
    }
    for (size_t i = 0; err == 0 && i < N_LATE; i++) {
        if (st->parts[late_parts[i].part->id] != NULL) {
            err = late_parts[i].part->traverse(st, visit, arg);
        }
    }
    return err;
}

static int
core_clear(PyObject *module)
{
    ext_state *st = ext_state_of_module(module);
    if (st == NULL) {
        return 0;
    }
    for (size_t i = N_LATE; i-- > 0;) {
        if (st->parts[late_parts[i].part->id] != NULL) {
            late_parts[i].part->clear(st);
        }
    }
    for (size_t i = N_PARTS; i-- > 0;) {
        if (parts[i]->clear != NULL) {
            parts[i]->clear(st);
        }
    }
    return 0;
}

static void
core_free(void *module)
{
    ext_state *st = ext_state_of_module(module);
    if (st == NULL) {
        return;
    }
    (void)core_clear(module);
    for (size_t i = N_LATE; i-- > 0;) {
        if (st->parts[late_parts[i].part->id] != NULL) {
            late_parts[i].part->free(st);
        }
    }
    for (size_t i = N_PARTS; i-- > 0;) {
        if (parts[i]->free != NULL) {
            parts[i]->free(st);
        }
    }
    if (st->self != NULL) {
        atoll_interp_release(st->self);
        st->self = NULL;
    }
}

static PyModuleDef_Slot core_slots[] = {
    {Py_mod_exec, core_exec},
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {0, NULL},
};

struct PyModuleDef ext_module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "atoll._core",
    .m_doc = PyDoc_STR("The C part of atoll; use the atoll package."),
    .m_size = sizeof(ext_state),
    .m_slots = core_slots,
    .m_traverse = core_traverse,
    .m_clear = core_clear,
    .m_free = core_free,
};

PyMODINIT_FUNC
PyInit__core(void); /* no header declares it */

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&ext_module_def);
}
