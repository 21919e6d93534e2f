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

/* Can the place be found, as far as one can tell now? */
bool
ext_runtime_works(void);

#endif
