/* See chores.h.
 *
 * The main interpreter may never be visited, so its main thread is asked by a
 * pending call, one at a time however many chores come.  The others are not
 * asked: their next visitor or their own next call into atoll finds
 * has_chores.  (A pending call for another interpreter takes the runtime's
 * list lock, which fork() holds while it waits for the core's locks, and a
 * chore may be posted under one of those.)
 */
#include "chores.h"

/* A pending call for the main thread is on its way. */
static atomic_bool asked;

void
ext_chores_run(atoll_interp *interp)
{
    PyObject *error = PyErr_GetRaisedException();
    atoll_chore *chores = atoll_interp_take_chores(interp);
    while (chores != NULL) {
        atoll_chore *next = chores->next;
        chores->run(chores, true);
        chores = next;
    }
    if (PyErr_Occurred()) {
        PyErr_WriteUnraisable(NULL);
    }
    PyErr_SetRaisedException(error);
}

static int
run_pending(void *Py_UNUSED(arg))
{
    atomic_store(&asked, false);
    ext_state *st = ext_state_current();
    if (st == NULL) {
        PyErr_Clear(); /* too late: the interpreter is being taken down */
        return 0;
    }
    ext_chores_run(st->self);
    return 0;
}

bool
ext_chores_post(atoll_interp *interp, atoll_chore *chore)
{
    bool is_main = interp->id == 0;
    if (!atoll_interp_add_chore(interp, chore)) {
        return false;
    }
    if (is_main && !ext_compat_is_finalizing()
        && !atomic_exchange(&asked, true)
        && Py_AddPendingCall(run_pending, NULL) < 0) {
        atomic_store(&asked, false); /* full: the next call into atoll */
    }
    return true;
}
