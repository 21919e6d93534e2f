/* The end of the process, and fork.
 *
 * Exit.  Python first joins its non-daemon threads, those of call_in_thread
 * included, then runs atexit functions, ours among them.  What still runs in
 * an interpreter then was started by a daemon thread: it is interrupted.  Each
 * interpreter is closed in the ordinary way, with GRACE for all of them
 * together; what cannot be ended by then (stuck in C, or it catches every
 * interruption) is taken off CPython's list (runtime.c), so that CPython does
 * not try: it would abort.  The exit status is not touched.
 *
 * Fork.  The child has the main interpreter alone.  The handlers that
 * pthread_atfork runs inside fork() itself come before CPython's own work in
 * the child, which would end the other interpreters and crash.  Handles to
 * the others say InterpreterNotFoundError there.
 */
#include "exit.h"

#include "attach.h"
#include "interrupt.h"
#include "lifecycle.h"
#include "module.h"
#include "runtime.h"

#include "../core/queue.h"
#include "../core/scheduler.h"
#include "../core/sync.h"

#include <pthread.h>

/* For all interpreters together, before what is left is abandoned. */
#define GRACE_NS 1000000000LL

static bool
is_left(atoll_interp *interp)
{
    atoll_life life = atoll_interp_get_life(interp);
    return life == ATOLL_LIFE_OPEN || life == ATOLL_LIFE_CLOSING;
}

static void
close_one(ext_state *st, atoll_interp *interp, int64_t deadline)
{
    Py_BEGIN_ALLOW_THREADS
    uint64_t generation = interp->generation;
    (void)atoll_interp_wait_idle(interp, generation, deadline);
    Py_END_ALLOW_THREADS
    if (ext_lifecycle_close_by(st, interp, deadline) < 0) {
        PyErr_Clear(); /* abandoned below, or ended by somebody else */
    }
}

atomic_bool ext_exit_had_others;

static void
keep(void *Py_UNUSED(ctx), void *Py_UNUSED(ptr))
{
}

/* From here on nothing is freed: the process gives its memory back anyway.
 * One pointer changes, so that a thread that allocates elsewhere meanwhile
 * reads the old table or the new one.  Only where the end would free what
 * another interpreter has allocated (compat.h). */
static void
stop_freeing(void)
{
    if (!EXT_COMPAT_EXIT_FREES_FOREIGN || !atomic_load(&ext_exit_had_others)) {
        return;
    }
    PyMemAllocatorEx allocator;
    PyMem_GetAllocator(PYMEM_DOMAIN_OBJ, &allocator);
    allocator.free = keep;
    PyMem_SetAllocator(PYMEM_DOMAIN_OBJ, &allocator);
}

void
ext_exit_main(ext_state *st)
{
    stop_freeing();
    atoll_interp **list = NULL;
    size_t count = 0;
    int64_t deadline = atoll_now() + GRACE_NS;
    atomic_store(&ext_interrupt_exiting, true);
    if (atoll_registry_list(&list, &count) != ATOLL_OK) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (list[i]->owned && is_left(list[i])
            && ext_interrupt_for_close(st, list[i], 0) < 0) {
            PyErr_Clear();
        }
    }
    ext_lifecycle_reap(st);
    bool left = false;
    for (size_t i = 0; i < count; i++) {
        atoll_interp *interp = list[i];
        if (interp->owned && is_left(interp)) {
            close_one(st, interp, deadline);
        }
        left |= interp->owned
                && atoll_interp_get_life(interp) != ATOLL_LIFE_GONE;
        atoll_interp_release(interp);
    }
    atoll_free(list);
    if (left) {
        bool needed = false;
        (void)ext_runtime_forget_others(&needed);
    }
}

/* --- fork ------------------------------------------------------------------- */

static void
before_fork(void)
{
    ext_interrupt_before_fork();
    atoll_scheduler_before_fork();
    atoll_queue_before_fork();
    atoll_sync_before_fork();
    atoll_registry_before_fork();
}

static void
after_fork_parent(void)
{
    atoll_registry_parent_after_fork();
    atoll_sync_parent_after_fork();
    atoll_queue_parent_after_fork();
    atoll_scheduler_parent_after_fork();
    ext_interrupt_parent_after_fork();
}

static void
after_fork_child(void)
{
    bool needed = false;
    int64_t keep = PyInterpreterState_GetID(PyInterpreterState_Main());
    atoll_registry_after_fork(keep);
    atoll_sync_after_fork(keep);
    atoll_queue_after_fork();
    atoll_scheduler_after_fork();
    ext_attach_after_fork();
    ext_interrupt_after_fork();
    ext_lifecycle_after_fork();
    (void)ext_runtime_forget_others(&needed);
}

static pthread_once_t watch_once = PTHREAD_ONCE_INIT;
static int watch_error;

static void
watch(void)
{
    watch_error
        = pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

int
ext_exit_watch_forks(void)
{
    (void)pthread_once(&watch_once, watch);
    if (watch_error != 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}
