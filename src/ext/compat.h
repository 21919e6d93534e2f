/* Differences between CPython versions, and the private symbols we touch.
 *
 * The only file that looks at PY_VERSION_HEX, and the only one that declares
 * a symbol that CPython exports without documenting.  Each such symbol is
 * weak: where it is missing its address is NULL and the caller takes the way
 * described beside it.
 */
#ifndef ATOLL_EXT_COMPAT_H
#define ATOLL_EXT_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <sched.h>
#include <stdbool.h>

#include <string.h>

#if PY_VERSION_HEX < 0x030C0000
#error "atoll needs CPython 3.12 or later"
#endif
#if defined(_WIN32) || defined(__wasi__) || defined(__EMSCRIPTEN__)
#error \
    "atoll does not support this platform: it needs POSIX threads and signals"
#endif

#define EXT_WEAK __attribute__((weak))

#define EXT_PY_313 (PY_VERSION_HEX >= 0x030D0000)
#define EXT_PY_314 (PY_VERSION_HEX >= 0x030E0000)
#define EXT_PY_315 (PY_VERSION_HEX >= 0x030F0000)

/* The mark by which an interpreter is seen to run its __main__, shared with
 * the standard module: is_running() there, and its refusal to run two things
 * at once.  Source: Include/internal/pycore_interp.h / pycore_pystate.h,
 * exported "for _interpreters".  Without: atoll's own slot still excludes
 * atoll's runs, the standard module's are not seen.  Can go when PEP 734's C
 * API is public. */
EXT_WEAK extern int
_PyInterpreterState_SetRunningMain(PyInterpreterState *);
EXT_WEAK extern void
_PyInterpreterState_SetNotRunningMain(PyInterpreterState *);
EXT_WEAK extern int
_PyInterpreterState_IsRunningMain(PyInterpreterState *);

/* A pending call for a given interpreter; the public Py_AddPendingCall goes to
 * the main one only.  Source: Include/internal/pycore_ceval.h.  Without:
 * interrupt() is not available and says so.  Can go when gh-113130 has an
 * API. */
EXT_WEAK extern int
_PyEval_AddPendingCall(PyInterpreterState *, int (*func)(void *), void *arg,
                       int flags);

/* A table of pymalloc's size classes in the interpreter at hand, as text:
 * sys.getallocatedblocks() counts all interpreters together.  Source:
 * Objects/obmalloc.c, exported for sys._debugmallocstats().  Without: the
 * blocks of an interpreter are unknown.  Can go when they can be asked for. */
EXT_WEAK extern int
_PyObject_DebugMallocStats(FILE *out);

/* The id's interpreter, looked up under the runtime's lock.  Source:
 * Include/internal/pycore_interp.h.  Without: the list is walked. */
EXT_WEAK extern PyInterpreterState *
_PyInterpreterState_LookUpID(int64_t id);

/* Fails: NULL with an exception. */
static inline PyInterpreterState *
ext_compat_lookup(int64_t id)
{
    if (_PyInterpreterState_LookUpID != NULL) {
        return _PyInterpreterState_LookUpID(id);
    }
    for (PyInterpreterState *i = PyInterpreterState_Head(); i != NULL;
         i = PyInterpreterState_Next(i)) {
        if (PyInterpreterState_GetID(i) == id) {
            return i;
        }
    }
    PyErr_SetString(PyExc_LookupError, "no such interpreter");
    return NULL;
}

/* Has its creator finished with it?  Source: pycore_interp.h (3.13+).
 * Without: one that is being created is listed a moment too early. */
EXT_WEAK extern int
_PyInterpreterState_IsReady(PyInterpreterState *);

/* 3.13 has a creation function in the built-in module that the standard
 * library's concurrent.interpreters uses: an interpreter made by it is usable
 * from both.  3.12 has none that would help. */
#define EXT_COMPAT_CREATE_BY_STDLIB EXT_PY_313
/* Creating two at once is reported unsafe on 3.12 (jep, pybind11#5779). */
#define EXT_COMPAT_CREATE_SERIALLY (!EXT_PY_313)

/* Extension modules with types in static memory: any (2), some of the standard
 * library's (1), none that do harm (0). */
#define EXT_COMPAT_STATIC_TYPES (EXT_PY_314 ? 0 : EXT_PY_313 ? 1 : 2)

/* 3.12 keeps the names of a C function's keyword parameters for all
 * interpreters in a tuple that the first one to call it allocates, and frees
 * it in the main one at exit: not its memory, so the process aborts.  3.13
 * lets main allocate it. */
#define EXT_COMPAT_EXIT_FREES_FOREIGN (!EXT_PY_313)

/* The runtime's own memory, in which runtime.c looks for the head of the list
 * of interpreters.  Source: Include/internal/pycore_runtime.h, PyAPI_DATA.
 * Without: nothing is looked for, and fork and exit behave as CPython alone
 * would.  Can go when gh-139759 is fixed in the oldest supported version. */
EXT_WEAK extern char _PyRuntime[];

/* Who made an interpreter that atoll did not.  Source: pycore_interp.h
 * (3.13+).  Without: unknown. */
EXT_WEAK extern long
_PyInterpreterState_GetWhence(PyInterpreterState *);

static inline const char *
ext_compat_whence(PyInterpreterState *interp)
{
    static const char *const names[] = {"unknown",
                                        "runtime init",
                                        "legacy C-API",
                                        "C-API",
                                        "cross-interpreter C-API",
                                        "_interpreters module"};
    long whence = _PyInterpreterState_GetWhence == NULL
                      ? 0
                      : _PyInterpreterState_GetWhence(interp);
    return whence < 0 || whence > 5 ? names[0] : names[whence];
}

/* Was this interpreter made by neither module, nor with the process?  Not to
 * be told on 3.12. */
static inline int
ext_compat_is_foreign(PyInterpreterState *interp)
{
    if (_PyInterpreterState_GetWhence == NULL) {
        return 0;
    }
    long whence = _PyInterpreterState_GetWhence(interp);
    return whence != 1 && whence != 5;
}

/* Does the standard module count references to this interpreter, which atoll
 * did not make? */
static inline int
ext_compat_stdlib_counts(PyInterpreterState *interp, int owned)
{
    return EXT_PY_313 && !owned && _PyInterpreterState_GetWhence != NULL
           && _PyInterpreterState_GetWhence(interp) == 5;
}

/* The thread state that this thread is attached by, or NULL. */
static inline PyThreadState *
ext_compat_attached(void)
{
#if EXT_PY_313
    return PyThreadState_GetUnchecked();
#else
    return _PyThreadState_UncheckedGet();
#endif
}

/* True while the interpreter whose state this is, or the runtime, is being
 * finalized. */
#if EXT_PY_313
#define ext_compat_is_finalizing() Py_IsFinalizing()
#else
EXT_WEAK extern int
_Py_IsFinalizing(void);
#define ext_compat_is_finalizing() _Py_IsFinalizing()
#endif

/* Called where no Python code runs, the built-in functions that use the
 * caller's namespace (eval, exec, globals, locals, vars, dir) take that of
 * the running __main__ on 3.14 and later; before, they have none and fail. */
static inline int
ext_compat_lacks_namespace(PyObject *callable)
{
    static const char *const names[]
        = {"dir", "eval", "exec", "globals", "locals", "vars"};
    if (EXT_PY_314 || !PyCFunction_CheckExact(callable)) {
        return 0;
    }
    const PyMethodDef *def = ((PyCFunctionObject *)callable)->m_ml;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(def->ml_name, names[i]) == 0) {
            PyObject *self = PyCFunction_GET_SELF(callable);
            return self != NULL && PyModule_Check(self);
        }
    }
    return 0;
}

/* What a kept thread state must not carry from one call into the next: the
 * fields are in the public header cpython/pystate.h.  Attached: to state,
 * which is current.  May run Python (finalizers). */
static inline void
ext_compat_reset_state(PyThreadState *state)
{
    if (state->c_tracefunc != NULL) {
        PyEval_SetTrace(NULL, NULL);
    }
    if (state->c_profilefunc != NULL) {
        PyEval_SetProfile(NULL, NULL);
    }
    state->coroutine_origin_tracking_depth = 0;
    Py_CLEAR(state->async_exc);
    Py_CLEAR(state->async_gen_firstiter);
    Py_CLEAR(state->async_gen_finalizer);
    if (state->context != NULL) {
        Py_CLEAR(state->context);
        state->context_ver++;
    }
}

/* The lock of CPython's lists of interpreters and of thread states, which lies
 * right before the first list's head (runtime.c).  From 3.13 on an import in
 * another interpreter deletes a thread state of the main one without its GIL
 * (import.c, switch_to_main_interpreter): who walks that list needs the lock.
 * Source: Include/internal/pycore_runtime.h, struct pyinterpreters.  Can go
 * when a thread state is deleted only under its interpreter's GIL.
 * Whoever has the lock waits for nothing, so it is soon to be had.
 * False: it does not look like that lock, or there is no need of it. */
#if EXT_PY_313
static inline bool
ext_compat_lock_head(PyMutex *lock)
{
    for (;;) {
        uint64_t word
            = __atomic_load_n((uint64_t *)(void *)lock, __ATOMIC_RELAXED);
        if (word > 3) {
            return false;
        }
        uint8_t seen = __atomic_load_n(&lock->_bits, __ATOMIC_RELAXED);
        if (!(seen & 1)
            && __atomic_compare_exchange_n(
                &lock->_bits, &seen, (uint8_t)(seen | 1), false,
                __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
            return true;
        }
        (void)sched_yield();
    }
}
#define ext_compat_unlock_head(lock) PyMutex_Unlock(lock)
#else
#define PyMutex void
#define ext_compat_lock_head(lock) ((void)(lock), false)
#define ext_compat_unlock_head(lock) ((void)(lock))
#endif

/* The exception that a thread handles, or None; new reference.
 * Attached: to state's interpreter. */
static inline PyObject *
ext_compat_handled_exception(PyThreadState *state)
{
    const _PyErr_StackItem *item = state->exc_info;
    while ((item->exc_value == NULL || item->exc_value == Py_None)
           && item->previous_item != NULL) {
        item = item->previous_item;
    }
    return Py_NewRef(item->exc_value == NULL ? Py_None : item->exc_value);
}

/* Does an asynchronous exception wait for this thread? */
static inline int
ext_compat_has_async_exc(const PyThreadState *state)
{
    return state->async_exc != NULL;
}

/* Takes an asynchronous exception (a class) that waits for this thread, which
 * is about to look at it in C; new reference or NULL. */
static inline PyObject *
ext_compat_take_async_exc(PyThreadState *state)
{
    PyObject *exc = state->async_exc;
    state->async_exc = NULL;
    return exc;
}

/* 3.12 and 3.13 count C recursion per thread state, from a limit meant for an
 * empty stack of 8 MiB; a nested visit starts on a stack already used.  Gives
 * the state its share of what is left.  3.14 measures the stack itself. */
#if EXT_PY_314
#define EXT_COMPAT_BUDGETS_STACK 0
static inline void
ext_compat_budget_stack(PyThreadState *Py_UNUSED(state),
                        size_t Py_UNUSED(left))
{
}
#else
#define EXT_COMPAT_BUDGETS_STACK 1
#if EXT_PY_313
#define EXT_C_RECURSION_LIMIT Py_C_RECURSION_LIMIT
#else
#define EXT_C_RECURSION_LIMIT C_RECURSION_LIMIT
#endif
static inline void
ext_compat_budget_stack(PyThreadState *state, size_t left)
{
    const size_t full = 8u << 20;
    size_t share = left >= full ? EXT_C_RECURSION_LIMIT
                                : EXT_C_RECURSION_LIMIT * left / full;
    state->c_recursion_remaining = (int)share;
}
#endif

/* Strong reference variants that 3.12 lacks. */
#if !EXT_PY_313
static inline int
ext_compat_dict_get(PyObject *dict, PyObject *key, PyObject **out)
{
    PyObject *found = PyDict_GetItemWithError(dict, key);
    *out = Py_XNewRef(found);
    return found != NULL ? 1 : (PyErr_Occurred() ? -1 : 0);
}
static inline int
ext_compat_weakref_get(PyObject *ref, PyObject **out)
{
    PyObject *found = PyWeakref_GetObject(ref);
    if (found == NULL) {
        *out = NULL;
        return -1;
    }
    *out = found == Py_None ? NULL : Py_NewRef(found);
    return *out != NULL;
}
static inline int
ext_compat_getattr_optional(PyObject *obj, PyObject *name, PyObject **out)
{
    return _PyObject_LookupAttr(obj, name, out);
}
#else
#define ext_compat_dict_get PyDict_GetItemRef
#define ext_compat_weakref_get PyWeakref_GetRef
#define ext_compat_getattr_optional PyObject_GetOptionalAttr
#endif

/* A dict with room for so many items: a large one is then built without
 * being copied at each doubling.  Source: Objects/dictobject.c, exported for
 * code generators.  Without: an ordinary new dict.  Can go when the public
 * API can presize. */
EXT_WEAK extern PyObject *_PyDict_NewPresized(Py_ssize_t);

static inline PyObject *
ext_compat_dict_new(Py_ssize_t size)
{
    /* A small dict has room for five anyway. */
    return size > 5 && _PyDict_NewPresized != NULL ? _PyDict_NewPresized(size)
                                                   : PyDict_New();
}

/* Ints beyond 64 bits: two's complement in the machine's byte order. */
#if EXT_PY_313
/* Bytes needed, or -1 with an exception. */
static inline Py_ssize_t
ext_compat_long_size(PyObject *value)
{
    return PyLong_AsNativeBytes(value, NULL, 0, -1);
}
static inline int
ext_compat_long_write(PyObject *value, void *dest, Py_ssize_t size)
{
    return PyLong_AsNativeBytes(value, dest, size, -1) < 0 ? -1 : 0;
}
static inline PyObject *
ext_compat_long_read(const void *data, size_t size)
{
    return PyLong_FromNativeBytes(data, size, -1);
}
#else
/* Declared by 3.12's own headers; 3.12's signature will not change. */
static inline Py_ssize_t
ext_compat_long_size(PyObject *value)
{
    size_t bits = _PyLong_NumBits(value);
    return bits == (size_t)-1 ? -1 : (Py_ssize_t)(bits / 8 + 1);
}
static inline int
ext_compat_long_write(PyObject *value, void *dest, Py_ssize_t size)
{
    return _PyLong_AsByteArray((PyLongObject *)value, dest, (size_t)size,
                               PY_LITTLE_ENDIAN, 1);
}
static inline PyObject *
ext_compat_long_read(const void *data, size_t size)
{
    return _PyLong_FromByteArray(data, size, PY_LITTLE_ENDIAN, 1);
}
#endif

#endif
