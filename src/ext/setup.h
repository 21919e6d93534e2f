/* What a new interpreter takes over from its creator. */
#ifndef ATOLL_EXT_SETUP_H
#define ATOLL_EXT_SETUP_H

#include "attach.h"

/* Leaves what _make.snapshot() returned for the next visitor of interp, in the
 * place of what was left before.
 * Attached: to the creator.  Fails: -1 with an exception. */
int
ext_setup_leave(ext_state *st, atoll_interp *interp, PyObject *snapshot);

/* Applies what the creator left, and loads atoll (ext_attach_setup).
 * Attached: to interp, at its first visit.  Fails: -1 with an exception. */
int
ext_setup_apply(atoll_interp *interp);

#endif
