/* The end of the process, and fork.
 *
 * Exit.  Python first joins its non-daemon threads, those of call_in_thread
 * included, then runs atexit functions, ours among them.  What still runs in
 * an interpreter then was started by a daemon thread: it is interrupted.  Each
 * interpreter is closed in the ordinary way, with GRACE for all of them
 * together; what cannot be ended by then (stuck in C, or it catches every
 * interruption) is abandoned: its Python code is stopped where it is, and it
 * is taken off CPython's list (runtime.c), so that CPython does not try to end
 * it: it would abort.  The exit status is not touched.
 *
 * Fork.  The child has the main interpreter alone.  The handlers that
 * pthread_atfork runs inside fork() itself come before CPython's own work in
 * the child, which would end the other interpreters and crash.  Handles to
 * the others say InterpreterNotFoundError there.
 *
 * All of the core's locks are taken before fork(), so that the child finds
 * what they guard whole.  Then os.fork() holds CPython's lock of its lists of
 * interpreters and thread states, so nobody who holds one of ours may want
 * that: pending calls are the one thing for which atoll would, and none is
 * added from the moment that os.fork() is called (os.register_at_fork).
 */
#include "exit.h"

#include "attach.h"
#include "create.h"
#include "interrupt.h"
#include "lifecycle.h"
#include "memory.h"
#include "module.h"
#include "runtime.h"
#include "transfer.h"

#include "../core/queue.h"
#include "../core/scheduler.h"
#include "../core/sync.h"

#include <pthread.h>

/* For all interpreters together, before what is left is abandoned. */
#define GRACE_NS 1000000000LL
/* For what is being made: it comes to its end by itself, however slow the
 * machine is, unless the user's own site-packages keep it. */
#define CREATION_NS (10 * GRACE_NS)
/* For the Python code in what is abandoned to stop where it is. */
#define PARK_NS 100000000LL

static bool
is_left(atoll_interp *interp)
{
    atoll_life life = atoll_interp_get_life(interp);
    return life == ATOLL_LIFE_OPEN || life == ATOLL_LIFE_CLOSING
           || life == ATOLL_LIFE_ENDING;
}

/* Is it ended with the process?  What atoll made, and what it was loaded in:
 * CPython would end that itself, and delete a thread state that is kept. */
static bool
is_ended_here(const atoll_interp *interp)
{
    return interp->owned
           || (interp->ext != NULL
               && interp->handle != (void *)PyInterpreterState_Main());
}

static void
close_one(ext_state *st, atoll_interp *interp, int64_t deadline)
{
    atoll_status status;
    Py_BEGIN_ALLOW_THREADS
    uint64_t generation = interp->generation;
    status = atoll_interp_wait_idle(interp, generation, deadline);
    Py_END_ALLOW_THREADS
    if (status == ATOLL_OK) {
        /* Its last handle may have gone with the call. */
        if (ext_lifecycle_reap(st) < 0) {
            PyErr_Clear();
        }
    }
    Py_BEGIN_ALLOW_THREADS
    /* A daemon thread may just be closing it. */
    status = atoll_interp_wait_closer(interp, deadline);
    Py_END_ALLOW_THREADS
    if (status == ATOLL_OK && is_left(interp)
        && ext_lifecycle_close_by(st, interp, deadline) < 0) {
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

/* What runs in them would run on while CPython takes apart what all
 * interpreters share.  Nobody may end one from here on: not an atexit function
 * that still runs, not the last view of its memory. */
static void
abandon(atoll_interp **list, size_t count)
{
    bool needed = false;
    Py_BEGIN_ALLOW_THREADS(void)
    ext_interrupt_park(list, count, PARK_NS);
    Py_END_ALLOW_THREADS(void)
    ext_runtime_forget_others(&needed);
    for (size_t i = 0; i < count; i++) {
        atoll_interp_set_life(list[i], ATOLL_LIFE_GONE);
    }
}

void
ext_exit_main(ext_state *st)
{
    stop_freeing();
    atoll_interp **list = NULL;
    size_t count = 0;
    bool all_made = false;
    atomic_store(&ext_interrupt_exiting, true);
    /* From here on there are no more than those that are listed. */
    Py_BEGIN_ALLOW_THREADS
    all_made = ext_create_stop(CREATION_NS);
    Py_END_ALLOW_THREADS
    int64_t deadline = atoll_now() + GRACE_NS;
    if (atoll_registry_list(&list, &count) != ATOLL_OK) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (is_ended_here(list[i]) && is_left(list[i])
            && ext_interrupt_for_close(st, list[i], atoll_now()) < 0) {
            PyErr_Clear();
        }
    }
    if (ext_lifecycle_reap(st) < 0) {
        PyErr_Clear(); /* Ctrl-C: the end is under way */
    }
    for (size_t i = 0; i < count; i++) {
        if (is_ended_here(list[i]) && is_left(list[i])) {
            close_one(st, list[i], deadline);
        }
    }
    /* Those whose memory only those saw that have ended now. */
    if (ext_lifecycle_reap(st) < 0) {
        PyErr_Clear();
    }
    size_t left = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_ended_here(list[i])
            && atoll_interp_get_life(list[i]) != ATOLL_LIFE_GONE) {
            list[left++] = list[i];
        }
        else {
            atoll_interp_release(list[i]);
        }
    }
    if (left > 0 || !all_made) {
        abandon(list, left);
    }
    for (size_t i = 0; i < left; i++) {
        atoll_interp_release(list[i]);
    }
    atoll_free(list);
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
    ext_memory_before_fork();
}

static void
after_fork_parent(void)
{
    ext_memory_parent_after_fork();
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
    ext_memory_after_fork();
    atoll_registry_after_fork(keep);
    atoll_sync_after_fork(keep);
    atoll_queue_after_fork();
    atoll_scheduler_after_fork();
    ext_attach_after_fork();
    ext_transfer_after_fork();
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

static PyObject *
fork_begins(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    ext_interrupt_fork_begins();
    Py_RETURN_NONE;
}

static PyObject *
fork_ends(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    ext_interrupt_fork_ends();
    Py_RETURN_NONE;
}

static PyMethodDef fork_functions[] = {
    {"_fork_begins", fork_begins, METH_NOARGS,
     PyDoc_STR("Registered with os.register_at_fork().")},
    {"_fork_ends", fork_ends, METH_NOARGS,
     PyDoc_STR("Registered with os.register_at_fork().")},
};

/* Attached: to the main interpreter.  Fails: -1 with an exception. */
static int
register_at_fork(PyObject *module)
{
    PyObject *got = NULL;
    PyObject *begins = PyCFunction_New(&fork_functions[0], module);
    PyObject *ends = PyCFunction_New(&fork_functions[1], module);
    PyObject *func = ext_state_python("posix", "register_at_fork");
    PyObject *none = PyTuple_New(0);
    PyObject *kwargs = begins == NULL || ends == NULL
                           ? NULL
                           : Py_BuildValue("{sOsO}", "before", begins,
                                           "after_in_parent", ends);
    if (func != NULL && none != NULL && kwargs != NULL) {
        got = PyObject_Call(func, none, kwargs);
    }
    Py_XDECREF(begins);
    Py_XDECREF(ends);
    Py_XDECREF(func);
    Py_XDECREF(none);
    Py_XDECREF(kwargs);
    Py_XDECREF(got);
    return got == NULL ? -1 : 0;
}

int
ext_exit_watch_forks(PyObject *module)
{
    (void)pthread_once(&watch_once, watch);
    if (watch_error != 0) {
        PyErr_NoMemory();
        return -1;
    }
    return PyInterpreterState_Get() == PyInterpreterState_Main()
               ? register_at_fork(module)
               : 0;
}
