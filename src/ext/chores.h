/* Work that must be done attached to a given interpreter, left by others:
 * dropping the references by which memory of it was lent.
 */
#ifndef ATOLL_EXT_CHORES_H
#define ATOLL_EXT_CHORES_H

#include "state.h"

/* Hands a chore to interp and sees that it is done soon: by its next visitor,
 * by the next call into atoll there, in the main interpreter at the main
 * thread's next pending calls, and at its end at the latest.
 * Any thread, attached or not, under any lock of the core's.
 * Returns false: interp is gone, the chore was not taken. */
bool
ext_chores_post(atoll_interp *interp, atoll_chore *chore);

/* Does what is left for interp, to which the caller is attached.  Runs Python;
 * an exception that is set stays. */
void
ext_chores_run(atoll_interp *interp);

static inline void
ext_chores_check(ext_state *st)
{
    if (ATOLL_UNLIKELY(
            atomic_load_explicit(&st->self->has_chores, memory_order_relaxed)
            != 0)) {
        ext_chores_run(st->self);
    }
}

#endif
