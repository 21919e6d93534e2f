/* What an interpreter prints appears where its creator's prints appear. */
#ifndef ATOLL_EXT_OUTPUT_H
#define ATOLL_EXT_OUTPUT_H

#include "attach.h"

/* Passes on what this thread printed without a newline, at the end of a call.
 * Attached: to visit->interp, before and after.  Never fails. */
void
ext_output_flush(ext_visit *visit);

/* Lets sys.stdout and sys.stderr write to those of the interpreter with the id
 * `creator`, an int.
 * Attached: to st's interpreter.  Fails: -1 with an exception. */
int
ext_output_redirect(ext_state *st, PyObject *creator);

#endif
