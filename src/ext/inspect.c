/* stats(), stacks(): what the interpreters are doing, as Python sees it.
 * atoll/_inspect.py has the names that users see. */
#include "dump.h"
#include "errors.h"
#include "expose.h"
#include "interpreter.h"
#include "module.h"
#include "probe.h"
#include "stats.h"

/* The look at one interpreter, from anywhere.  NULL: nothing to be seen. */
static ext_look *
look_at(ext_state *st, atoll_interp *interp)
{
    ext_look *look = NULL;
    if (interp == st->self) {
        return ext_look_here(interp);
    }
    Py_BEGIN_ALLOW_THREADS
    ext_look_at(&interp, 1, ext_probe_deadline(), &look);
    Py_END_ALLOW_THREADS
    return look;
}

static atoll_interp *
get_record(ext_state *st, PyObject *op)
{
    if (Py_TYPE(op) != ext_interpreter_type(st)) {
        PyErr_Format(PyExc_TypeError, "expected an Interpreter, not %.200s",
                     Py_TYPE(op)->tp_name);
        return NULL;
    }
    return ext_interpreter_record(op);
}

static PyObject *
core_stats(PyObject *module, PyObject *op)
{
    ext_state *st = ext_state_of_module(module);
    atoll_interp *interp = get_record(st, op);
    if (interp == NULL) {
        return NULL;
    }
    ext_stats stats;
    ext_look *look = look_at(st, interp);
    ext_stats_read(interp, look, &stats);
    atoll_free(look);
    PyObject *dict = ext_stats_dict(&stats);
    ext_stats_fini(&stats);
    return dict;
}

/* [(file, line, name), ...], the innermost last; "replace" undoes what was
 * escaped where it can. */
static PyObject *
make_frames(ext_look_reader *reader, uint32_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (uint32_t i = 0; i < count; i++) {
        ext_look_frame frame;
        ext_look_frame_next(reader, &frame);
        PyObject *item = list == NULL ? NULL
                                      : Py_BuildValue("(sis)", frame.file,
                                                      frame.line, frame.name);
        if (item == NULL) {
            Py_CLEAR(list);
        }
        else {
            PyList_SET_ITEM(list, (Py_ssize_t)(count - 1 - i), item);
        }
    }
    return list;
}

/* [(ident, native_id, name, daemon, in_call, cut, frames), ...] */
static PyObject *
make_threads(const ext_look *look)
{
    PyObject *list = PyList_New(0);
    ext_look_reader reader;
    ext_look_thread thread;
    ext_look_open(look, &reader);
    while (list != NULL && ext_look_thread_next(&reader, &thread)) {
        PyObject *frames = make_frames(&reader, thread.frames);
        PyObject *item = frames == NULL
                             ? NULL
                             : Py_BuildValue(
                                 "(kksiiiO)", thread.ident, thread.native_id,
                                 thread.name, (int)thread.daemon,
                                 (int)thread.in_call, (int)thread.cut, frames);
        Py_XDECREF(frames);
        if (item == NULL || PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
    }
    return list;
}

static PyObject *
core_stacks(PyObject *module, PyObject *op)
{
    ext_state *st = ext_state_of_module(module);
    atoll_interp *interp = get_record(st, op);
    if (interp == NULL) {
        return NULL;
    }
    ext_look *look = look_at(st, interp);
    if (look == NULL) {
        if (atoll_interp_get_life(interp) >= ATOLL_LIFE_ENDING) {
            return ext_error_format(st, EXT_ERR_NOT_FOUND,
                                    "interpreter %lld is closed",
                                    (long long)interp->id);
        }
        return ext_error_format(
            st, EXT_ERR_INTERPRETER,
            "the stacks of interpreter %lld cannot be read: C code keeps its "
            "GIL",
            (long long)interp->id);
    }
    PyObject *list = make_threads(look);
    atoll_free(look);
    return list;
}

static PyMethodDef inspect_functions[] = {
    {"_stats", core_stats, METH_O,
     PyDoc_STR("_stats(interp, /)\n--\n\nSee Interpreter.stats.")},
    {"_stacks", core_stacks, METH_O,
     PyDoc_STR("_stacks(interp, /)\n--\n\nSee Interpreter.stacks.")},
    {NULL, NULL, 0, NULL},
};

/* What the part keeps in one interpreter: nothing but that it is there. */
static int
inspect_exec(PyObject *module, ext_state *st)
{
    st->parts[EXT_PART_INSPECT] = &inspect_functions;
    if (PyModule_AddFunctions(module, inspect_functions) < 0
        || PyModule_AddFunctions(module, ext_dump_functions) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, ext_expose_functions);
}

static int
inspect_traverse(ext_state *Py_UNUSED(st), visitproc Py_UNUSED(visit),
                 void *Py_UNUSED(arg))
{
    return 0;
}

static void
inspect_clear(ext_state *Py_UNUSED(st))
{
}

static void
inspect_free(ext_state *st)
{
    st->parts[EXT_PART_INSPECT] = NULL;
}

const ext_part ext_inspect_part = {
    .id = EXT_PART_INSPECT,
    .exec = inspect_exec,
    .traverse = inspect_traverse,
    .clear = inspect_clear,
    .free = inspect_free,
};
