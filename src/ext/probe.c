/* Work in an interpreter whose GIL may not be to be had: C code that runs
 * there may keep it for ever.  So the work has a thread of its own, which
 * whoever wants the result does not wait for any longer than it likes.
 *
 * The thread is short-lived, counts as a visit (the interpreter does not end
 * under it), and runs nothing of the user's but what looking at a stack runs.
 */
#include "probe.h"

#include "module.h"

#include <signal.h>
#include <string.h>

static _Atomic int64_t patience = 300000000;

static void
release(ext_probe *probe)
{
    if (!atoll_ref_release(&probe->count)) {
        return;
    }
    atoll_interp_release(probe->interp);
    atoll_cond_fini(&probe->changed);
    atoll_mutex_fini(&probe->lock);
    atoll_free(probe->text);
    atoll_free(probe);
}

static void
attach_and_work(ext_probe *probe)
{
    PyThreadState *state = PyThreadState_New(probe->interp->handle);
    if (state != NULL) {
        PyEval_AcquireThread(state);
        probe->work(probe);
        PyErr_Clear();
        PyThreadState_Clear(state);
        PyThreadState_DeleteCurrent();
    }
}

static void *
run(void *arg)
{
    ext_probe *probe = arg;
    attach_and_work(probe);
    atoll_interp_leave(probe->interp, false);
    atoll_mutex_lock(&probe->lock);
    probe->done = true;
    atoll_cond_signal_all(&probe->changed);
    atoll_mutex_unlock(&probe->lock);
    release(probe);
    return NULL;
}

bool
ext_probe_thread(void *(*work)(void *arg), void *arg)
{
    sigset_t all;
    sigset_t before;
    pthread_t thread;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(&thread, NULL, work, arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err == 0) {
        (void)pthread_detach(thread);
    }
    return err == 0;
}

static ext_probe *
new_probe(atoll_interp *interp)
{
    ext_probe *probe = atoll_calloc(1, sizeof(*probe));
    if (probe == NULL) {
        return NULL;
    }
    if (atoll_mutex_init(&probe->lock) != ATOLL_OK) {
        atoll_free(probe);
        return NULL;
    }
    if (atoll_cond_init(&probe->changed) != ATOLL_OK) {
        atoll_mutex_fini(&probe->lock);
        atoll_free(probe);
        return NULL;
    }
    atoll_ref_init(&probe->count);
    atoll_interp_acquire(interp);
    probe->interp = interp;
    return probe;
}

ext_probe *
ext_probe_start(atoll_interp *interp, void (*work)(ext_probe *probe),
                unsigned long thread)
{
    ext_probe *probe = new_probe(interp);
    if (probe == NULL) {
        return NULL;
    }
    probe->work = work;
    probe->thread = thread;
    if (!atoll_interp_glance(interp)) {
        release(probe);
        return NULL;
    }
    atoll_ref_acquire(&probe->count);
    if (!ext_probe_thread(run, probe)) {
        atoll_interp_leave(interp, false);
        release(probe);
        release(probe);
        return NULL;
    }
    return probe;
}

bool
ext_probe_wait(ext_probe *probe, int64_t deadline)
{
    atoll_status status = ATOLL_OK;
    atoll_mutex_lock(&probe->lock);
    while (!probe->done && status == ATOLL_OK) {
        status = atoll_cond_wait(&probe->changed, &probe->lock, deadline);
    }
    bool done = probe->done;
    atoll_mutex_unlock(&probe->lock);
    return done;
}

int64_t
ext_probe_deadline(void)
{
    return atoll_now() + atomic_load(&patience);
}

int64_t
ext_probe_set_patience(int64_t wanted)
{
    return atomic_exchange(&patience, wanted);
}

void
ext_probe_drop(ext_probe *probe)
{
    release(probe);
}
