/* The process's interpreters, told to `atoll top`. */
#ifndef ATOLL_EXT_EXPOSE_H
#define ATOLL_EXT_EXPOSE_H

#include "state.h"

/* Part of inspect.c's module part. */
extern PyMethodDef ext_expose_functions[];

#endif
