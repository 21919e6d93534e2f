/* Not written yet. */
#include "interrupt.h"

#include "module.h"
#include "run.h"

int
ext_interrupt_parse_timeout(PyObject *value, const char *name, double *out)
{
    if (value == Py_None) {
        *out = -1.0;
        return 0;
    }
    double seconds = PyFloat_AsDouble(value);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    if (seconds != seconds) {
        PyErr_Format(PyExc_ValueError, "%s must not be NaN", name);
        return -1;
    }
    *out = seconds < 0 ? 0.0 : seconds;
    return 0;
}

PyObject *
ext_interrupt_call(ext_state *Py_UNUSED(st), atoll_interp *Py_UNUSED(interp),
                   PyObject *Py_UNUSED(exc))
{
    Py_RETURN_FALSE;
}

int
ext_interrupt_for_close(ext_state *Py_UNUSED(st),
                        atoll_interp *Py_UNUSED(interp),
                        double Py_UNUSED(seconds))
{
    return 0;
}

int
ext_interrupt_arm(ext_visit *Py_UNUSED(visit), double Py_UNUSED(timeout))
{
    PyErr_SetString(PyExc_NotImplementedError, "interrupt.c");
    return -1;
}

void
ext_interrupt_end(ext_visit *Py_UNUSED(visit))
{
}

void
ext_interrupt_outcome(ext_visit *visit, PyObject *Py_UNUSED(error),
                      bool *out_interrupted, bool *out_timed_out)
{
    *out_interrupted = visit->interrupted;
    *out_timed_out = visit->timed_out;
}

int
ext_run_check(ext_state *Py_UNUSED(st))
{
    return PyErr_CheckSignals();
}
