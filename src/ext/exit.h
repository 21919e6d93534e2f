/* The end of the process, and fork. */
#ifndef ATOLL_EXT_EXIT_H
#define ATOLL_EXT_EXIT_H

#include "state.h"

/* The main interpreter's atexit callback: ends every interpreter that atoll
 * made, and takes those that will not end off CPython's list.
 * Attached: to the main interpreter. */
void
ext_exit_main(ext_state *st);

/* Another interpreter has been made in this process.  Any thread. */
extern atomic_bool ext_exit_had_others;

/* Registers the fork handlers, once.  Attached: anywhere.
 * Fails: -1 with an exception. */
int
ext_exit_watch_forks(PyObject *module);

#endif
