/* Methods of Interpreter whose work is Python's: interpreter_python.c. */
#ifndef ATOLL_EXT_INTERPRETER_IMPL_H
#define ATOLL_EXT_INTERPRETER_IMPL_H

#include "interpreter.h"

#define INTERPRETER_METHOD(name)                                           \
    PyObject *name(PyObject *op, PyTypeObject *cls, PyObject *const *args, \
                   Py_ssize_t nargs, PyObject *kwnames)

INTERPRETER_METHOD(Interpreter_call_in_thread);
INTERPRETER_METHOD(Interpreter_options);
INTERPRETER_METHOD(Interpreter_exit);
INTERPRETER_METHOD(Interpreter_limits);
INTERPRETER_METHOD(Interpreter_stats);
INTERPRETER_METHOD(Interpreter_stacks);
INTERPRETER_METHOD(Interpreter_add_close_callback);
INTERPRETER_METHOD(Interpreter_stack_of);

#endif
