/* Locks and their kin, between interpreters: what the binding needs of them.
 */
#ifndef ATOLL_EXT_SYNC_TYPE_H
#define ATOLL_EXT_SYNC_TYPE_H

#include <stdint.h>

/* The interpreter `id` has ended, or no thread will run in it any more: locks
 * that it holds raise OwnerDiedError from now on, to those who wait as well.
 * Any thread, attached or not; takes the locks of sync objects only. */
void
ext_sync_interpreter_ended(int64_t id);

#endif
