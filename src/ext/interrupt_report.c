/* What is said of code that does not stop: the stack of its thread.
 *
 * It is read in the interpreter in which the thread is, by a probe: if the
 * thread is in C code that keeps the GIL, there is nothing to be read.
 */
#include "interrupt_impl.h"

#include "module.h"
#include "probe.h"
#include "runtime.h"

#include <string.h>

static PyObject *
get_frame(PyThreadState *tstate)
{
    return (PyObject *)PyThreadState_GetFrame(tstate);
}

/* New reference, or NULL: it has none here. */
static PyFrameObject *
find_frame(unsigned long thread)
{
    PyObject *found = NULL;
    ext_runtime_threads all;
    if (ext_runtime_list_threads(&all, get_frame) < 0) {
        PyErr_Clear();
        return NULL;
    }
    for (size_t i = 0; i < all.count && found == NULL; i++) {
        if (all.list[i].ident == thread) {
            found = Py_XNewRef(all.list[i].value);
        }
    }
    ext_runtime_drop_threads(&all);
    return (PyFrameObject *)found;
}

/* Attached: to the interpreter in question. */
static void
read_stack(ext_probe *probe)
{
    PyFrameObject *frame = find_frame(probe->thread);
    PyObject *text = NULL;
    if (frame != NULL) {
        PyObject *func = ext_state_python("atoll._make", "describe_stack");
        if (func != NULL) {
            text = PyObject_CallOneArg(func, (PyObject *)frame);
            Py_DECREF(func);
        }
        Py_DECREF(frame);
    }
    const char *utf8 = text == NULL ? NULL : PyUnicode_AsUTF8(text);
    probe->text = utf8 == NULL ? NULL : atoll_strdup(utf8);
    Py_XDECREF(text);
}

PyObject *
ext_interrupt_stack(atoll_interp *interp, unsigned long thread)
{
    bool done = false;
    ext_probe *probe = ext_probe_start(interp, read_stack, thread);
    if (probe == NULL) {
        Py_RETURN_NONE;
    }
    Py_BEGIN_ALLOW_THREADS
    done = ext_probe_wait(probe, ext_probe_deadline());
    Py_END_ALLOW_THREADS
    PyObject *result = NULL;
    if (done && probe->text != NULL) {
        result = PyUnicode_FromString(probe->text);
    }
    else {
        result = done ? PyUnicode_FromString("") : Py_NewRef(Py_None);
    }
    ext_probe_drop(probe);
    return result;
}
