/* The module's functions about interpreters: create, list_all, get_current ...
 */
#include "interpreter_impl.h"

#include "create.h"
#include "errors.h"
#include "interrupt.h"
#include "lifecycle.h"
#include "setup.h"
#include "transfer.h"

#include "interpreter_doc.h"

/* There is no handle to it: it is closed as if the last one had gone. */
static void
discard(atoll_interp *interp)
{
    atoll_interp_acquire(interp);
    atoll_mutex_lock(&interp->lock);
    interp->handles++;
    atoll_mutex_unlock(&interp->lock);
    (void)ext_lifecycle_drop_handle(interp);
}

static PyObject *
core_create(PyObject *module, PyObject *args)
{
    PyObject *config;
    PyObject *setup;
    int spare;
    if (!PyArg_ParseTuple(args, "OOp:_create", &config, &setup, &spare)) {
        return NULL;
    }
    ext_state *st = ext_state_of_module(module);
    if (ext_lifecycle_must_reap() && ext_lifecycle_reap(st) < 0) {
        return NULL;
    }
    atoll_interp *interp = NULL;
    if (ext_create_new(st, config, setup, spare != 0, &interp) < 0) {
        return NULL;
    }
    PyObject *self = ext_interpreter_handle(st, interp);
    if (self == NULL) {
        discard(interp);
    }
    atoll_interp_release(interp);
    return self;
}

/* Enters once, so that the first real visit finds all loaded. */
static PyObject *
core_warm(PyObject *module, PyObject *op)
{
    ext_state *st = ext_state_of_module(module);
    ext_visit visit;
    if (Py_TYPE(op) != ext_interpreter_type(st)) {
        PyErr_SetString(PyExc_TypeError, "not an Interpreter");
        return NULL;
    }
    if (ext_attach_enter(st, ext_interpreter_record(op), 0, &visit) < 0) {
        return NULL;
    }
    ext_attach_leave(&visit);
    Py_RETURN_NONE;
}

/* A spare becomes an interpreter like others, with a new setup; None: with
 * the one that it had. */
static PyObject *
core_give_out(PyObject *module, PyObject *args)
{
    ext_state *st = ext_state_of_module(module);
    PyObject *op;
    PyObject *setup;
    if (!PyArg_ParseTuple(args, "O!O:_give_out", ext_interpreter_type(st), &op,
                          &setup)) {
        return NULL;
    }
    atoll_interp *interp = ext_interpreter_record(op);
    if (setup != Py_None && ext_setup_leave(st, interp, setup) < 0) {
        return NULL;
    }
    atoll_mutex_lock(&interp->lock);
    interp->spare = false;
    interp->creator = st->self->id;
    atoll_mutex_unlock(&interp->lock);
    Py_RETURN_NONE;
}

static PyObject *
get_by_id(ext_state *st, int64_t id)
{
    atoll_interp *interp = NULL;
    if (ext_create_find(st, id, &interp) < 0) {
        return NULL;
    }
    PyObject *self = ext_interpreter_handle(st, interp);
    atoll_interp_release(interp);
    return self;
}

static PyObject *
core_get_current(PyObject *module, PyObject *Py_UNUSED(args))
{
    ext_state *st = ext_state_of_module(module);
    return ext_interpreter_handle(st, st->self);
}

static PyObject *
core_get_main(PyObject *module, PyObject *Py_UNUSED(args))
{
    return get_by_id(ext_state_of_module(module),
                     PyInterpreterState_GetID(PyInterpreterState_Main()));
}

static PyObject *
core_list_all(PyObject *module, PyObject *Py_UNUSED(args))
{
    ext_state *st = ext_state_of_module(module);
    if (ext_lifecycle_must_reap() && ext_lifecycle_reap(st) < 0) {
        return NULL;
    }
    atoll_interp **list = NULL;
    size_t count = 0;
    if (ext_create_list(st, &list, &count) < 0) {
        return NULL;
    }
    PyObject *result = PyList_New(0);
    for (size_t i = 0; i < count; i++) {
        PyObject *item = NULL;
        if (result != NULL) {
            item = ext_interpreter_handle(st, list[i]);
            if (item == NULL
                && PyErr_ExceptionMatches(
                    ext_error_type(st, EXT_ERR_NOT_FOUND))) {
                PyErr_Clear(); /* it ended after it was listed */
            }
            else if (item == NULL || PyList_Append(result, item) < 0) {
                Py_CLEAR(result);
            }
        }
        Py_XDECREF(item);
        atoll_interp_release(list[i]);
    }
    atoll_free(list);
    return result;
}

static PyObject *
core_is_shareable(PyObject *module, PyObject *obj)
{
    int result = ext_is_shareable(ext_state_of_module(module), obj);
    return result < 0 ? NULL : PyBool_FromLong(result);
}

/* _stack_of(ident): for atoll/_watch.py. */
PyObject *
Interpreter_stack_of(PyObject *op, PyTypeObject *Py_UNUSED(cls),
                     PyObject *const *args, Py_ssize_t nargs,
                     PyObject *Py_UNUSED(kwnames))
{
    unsigned long ident = nargs == 1 ? PyLong_AsUnsignedLong(args[0]) : 0;
    if (PyErr_Occurred()) {
        return NULL;
    }
    return ext_interrupt_stack(ext_interpreter_record(op), ident);
}

PyMethodDef ext_interpreter_functions[] = {
    {"_create", core_create, METH_VARARGS,
     PyDoc_STR("_create(config, setup, spare)\n--\n\nSee atoll.create.")},
    {"_warm", core_warm, METH_O,
     PyDoc_STR("_warm(interp, /)\n--\n\nLoad atoll in it.")},
    {"_give_out", core_give_out, METH_VARARGS,
     PyDoc_STR("_give_out(interp, setup)\n--\n\nUse a spare.")},
    {"get_current", core_get_current, METH_NOARGS, get_current_doc},
    {"get_main", core_get_main, METH_NOARGS, get_main_doc},
    {"list_all", core_list_all, METH_NOARGS, list_all_doc},
    {"is_shareable", core_is_shareable, METH_O, is_shareable_doc},
    {NULL, NULL, 0, NULL},
};
