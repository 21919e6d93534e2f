/* The one touch of CPython's private memory: the head of its list of
 * interpreters. */
#ifndef ATOLL_EXT_RUNTIME_H
#define ATOLL_EXT_RUNTIME_H

#include "compat.h"

#include <stdbool.h>

/* Cuts the list down to the main interpreter: the others are never looked at
 * again, their memory is not returned.  False: the place was not found (then
 * nothing was changed), or there is nothing to cut (*out_needed is false).
 * Only where no other thread creates or ends interpreters: in the child after
 * fork, and at the end of the main interpreter's atexit. */
bool
ext_runtime_forget_others(bool *out_needed);

/* A thread of an interpreter. */
typedef struct ext_runtime_thread {
    PyThreadState *tstate; /* to be compared only: it may be gone already */
    unsigned long ident;
    unsigned long native_id;
    PyObject *value; /* what `get` said of it, or NULL; owned */
} ext_runtime_thread;

typedef struct ext_runtime_threads {
    ext_runtime_thread *list;
    size_t count;
    size_t cap;
} ext_runtime_threads;

/* The threads of the interpreter that the caller is attached to, newest first.
 * get runs under the lock of CPython's lists: it may make objects, and runs no
 * Python; a new reference, or NULL without an exception.
 * Fails: -1 with MemoryError. */
int
ext_runtime_list_threads(ext_runtime_threads *all,
                         PyObject *(*get)(PyThreadState *tstate));
void
ext_runtime_drop_threads(ext_runtime_threads *all);

/* Can the place be found, as far as one can tell now? */
bool
ext_runtime_works(void);

#endif
