/* How much of its stack the calling thread has left. */
#ifndef ATOLL_CORE_STACK_H
#define ATOLL_CORE_STACK_H

#include "base.h"

/* The lowest usable address of the calling thread's stack, or 0 where it
 * cannot be told.  Slow on a main thread (it reads the process's map): ask
 * once a thread. */
uintptr_t
atoll_stack_low(void);

/* Is the caller the thread in which the process began? */
bool
atoll_thread_is_main(void);

#endif
