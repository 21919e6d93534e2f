/* How much memory each interpreter holds: the RAW domain and the arenas. */
#ifndef ATOLL_EXT_MEMORY_H
#define ATOLL_EXT_MEMORY_H

#include "state.h"

/* What one may exceed its limit by before requests are refused: room to clean
 * up in. */
#define EXT_MEMORY_RESERVE (8 << 20)
/* Far from where sums overflow. */
#define EXT_MEMORY_UNLIMITED (INT64_MAX / 2)

typedef struct ext_memory_account ext_memory_account;

/* Begins to count, once for all.  Attached: to any interpreter.
 * Fails: -1 with InterpreterError. */
int
ext_memory_track(ext_state *st);
bool
ext_memory_is_tracked(void);

/* Bytes held by the interpreter with this handle; -1: nobody counts.  Only
 * while it cannot end.  Any thread. */
int64_t
ext_memory_used(void *handle);

/* Its limit from now on; EXT_MEMORY_UNLIMITED: none.  When it is passed, on_over is
 * called on the thread that allocates, and may not allocate nor lock. */
void
ext_memory_set_limit(void *handle, int64_t limit);
extern void (*ext_memory_on_over)(void);
/* For who builds what tells of it: no limit until it is given back.
 * Attached: to that interpreter. */
int64_t
ext_memory_lift_limit(void *handle);
void
ext_memory_restore_limit(void *handle, int64_t limit);
/* Was it passed since it was set? */
bool
ext_memory_is_over(void *handle);

/* The interpreter has ended: its address may be another one's. */
void
ext_memory_forget(void *handle);

/* Around fork: nobody else is in the midst of it. */
void
ext_memory_before_fork(void);
void
ext_memory_parent_after_fork(void);
void
ext_memory_after_fork(void);

#endif
