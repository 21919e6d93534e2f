/* What atoll knows in one interpreter: the module's state.
 *
 * One ext_state per interpreter, allocated with the module object.  Every
 * part of the binding (a .c file with types or functions) keeps its own
 * struct behind parts[]; nobody includes another part's struct.
 *
 * Attached: all of it is read and written by threads attached to its own
 * interpreter only; the GIL guards it.  `self` may be read by anybody.
 */
#ifndef ATOLL_EXT_STATE_H
#define ATOLL_EXT_STATE_H

#include "compat.h"

#include "../core/registry.h"

typedef enum ext_part_id {
    EXT_PART_ERRORS,
    EXT_PART_ATTACH,
    EXT_PART_TRANSFER,
    EXT_PART_FUNCTION,
    EXT_PART_RUN,
    EXT_PART_INTERRUPT,
    EXT_PART_CALL,
    EXT_PART_OUTPUT,
    EXT_PART_INTERPRETER,
    EXT_PART_QUEUE,
    EXT_PART_BUFFER,
    EXT_PART_SYNC,
    EXT_PART_LIFECYCLE,
    EXT_PART_POOL,
    EXT_PART_INSPECT,
    EXT_PART_TESTING,
    EXT_PART_FRAMES,
    EXT_PART_CLOSING,
    EXT_PART_LIMITS,
    EXT_PART_COUNT,
} ext_part_id;

typedef struct ext_state {
    atoll_interp *self;   /* this interpreter's record; owns a reference */
    PyObject *module;     /* borrowed: the module object that owns the state */
    bool watches_loaders; /* preload.c */
    void *parts[EXT_PART_COUNT]; /* each made and freed by its own part */
} ext_state;

/* A part of the module.  exec makes parts[id] and adds to the module; the
 * others may be NULL.  traverse and clear may see parts[id] == NULL; free
 * releases parts[id] itself. */
typedef struct ext_part {
    ext_part_id id;
    int (*exec)(PyObject *module, ext_state *st);
    int (*traverse)(ext_state *st, visitproc visit, void *arg);
    void (*clear)(ext_state *st);
    void (*free)(ext_state *st);
} ext_part;

extern struct PyModuleDef ext_module_def;

/* The state of the interpreter that the caller is attached to.
 * NULL with an exception: atoll._core is not (or no longer) loaded here. */
ext_state *
ext_state_current(void);

/* From a module, from a type's defining class, from an instance whose type
 * (or a base) was made by this module. */
static inline ext_state *
ext_state_of_module(PyObject *module)
{
    return (ext_state *)PyModule_GetState(module);
}

static inline ext_state *
ext_state_of_class(PyTypeObject *cls)
{
    return (ext_state *)PyType_GetModuleState(cls);
}

/* Works for subclasses too.  NULL with TypeError. */
static inline ext_state *
ext_state_of_type(PyTypeObject *type)
{
    PyObject *module = PyType_GetModuleByDef(type, &ext_module_def);
    return module == NULL ? NULL : (ext_state *)PyModule_GetState(module);
}

/* Makes the parts that are not made before they are needed (module.c): all,
 * or one, for those who come to use it from another interpreter.
 * Attached: to st's interpreter.  Fails: -1 with an exception. */
int
ext_module_load_all(ext_state *st);
int
ext_module_load(ext_state *st, ext_part_id id);

/* Imports the module and returns its attribute `name` (new reference; NULL
 * with an exception); one of atoll's comes from beside atoll._core.  For the
 * thin Python beside the C; cached by the caller. */
PyObject *
ext_state_python(const char *module, const char *name);

/* Calls function, with up to two arguments (NULL: no more), for its effect.
 * Owns: takes over function; NULL is passed on.
 * Fails: -1 with an exception. */
int
ext_state_call(PyObject *function, PyObject *arg, PyObject *more);

/* The same for what ext_state_python finds. */
int
ext_state_call_python(const char *module, const char *name, PyObject *arg,
                      PyObject *more);

#endif
