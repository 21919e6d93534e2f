/* How interpreters begin, and how they are found. */
#ifndef ATOLL_EXT_CREATE_H
#define ATOLL_EXT_CREATE_H

#include "attach.h"

/* A new interpreter, made by `config` (what _interpreters.create takes on
 * 3.13+, an object with PyInterpreterConfig's fields on 3.12); `setup` is the
 * tuple that atoll._make.snapshot() returns, applied at the first visit.  A
 * spare is on no list of the user's.
 * Attached: to the creator.
 * Owns: the caller gets a reference to the record.
 * Fails: -1 with an exception. */
int
ext_create_new(ext_state *st, PyObject *config, PyObject *setup, bool spare,
               atoll_interp **out_interp);

/* The record of the live interpreter `id`, one made by others included.
 * Fails: -1 with InterpreterNotFoundError or MemoryError. */
int
ext_create_find(ext_state *st, int64_t id, atoll_interp **out_interp);

/* The live interpreters, ascending id, those made by others included; each
 * acquired, the array freed by the caller with atoll_free.
 * Fails: -1 with an exception. */
int
ext_create_list(ext_state *st, atoll_interp ***out_list, size_t *out_count);

/* The process ends: no interpreter is made from now on; waits up to `grace` ns
 * for those that are being made.  False: there still are some, of which nobody
 * knows yet.  Attached: to nothing. */
bool
ext_create_stop(int64_t grace);

/* In the child after fork. */
void
ext_create_after_fork(void);

#endif
