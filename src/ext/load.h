/* How atoll gets into an interpreter. */
#ifndef ATOLL_EXT_LOAD_H
#define ATOLL_EXT_LOAD_H

#include "state.h"

/* The module `name`, loaded from `path`, as import does once it has found it,
 * unless it is there.
 * Attached: to any interpreter.  New reference; NULL with an exception. */
PyObject *
ext_load_file(const char *name, PyObject *path);

/* The module `name` of atoll's, loaded from `file` beside atoll._core unless it
 * is there, whatever sys.path says.
 * Attached: to st's interpreter.  New reference; NULL with an exception. */
PyObject *
ext_load_near(ext_state *st, const char *name, const char *file);

#endif
