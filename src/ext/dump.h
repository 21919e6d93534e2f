/* The stacks of all interpreters, as text. */
#ifndef ATOLL_EXT_DUMP_H
#define ATOLL_EXT_DUMP_H

#include "look.h"

#include <stdio.h>

/* Writes what every thread of every interpreter that atoll knows is doing,
 * the most recent call first.  here: the interpreter that the caller is
 * attached to and `look` what was found in it, or NULL.  Waits some 300 ms
 * for interpreters whose GIL C code keeps, all together.
 * Any thread; attached to nothing. */
void
ext_dump_write(FILE *out, atoll_interp *here, const ext_look *look);

/* Part of inspect.c's module part. */
extern PyMethodDef ext_dump_functions[];

#endif
