/* The helper thread: the one thread that atoll starts by itself, at the first
 * deadline, interruption, or visit of the main thread.  It is never attached
 * to an interpreter and runs no Python: it keeps the timers of calls, and
 * carries signals on (interrupt_signals.c).
 *
 * A timer belongs to a visit, in the frame of the call that it guards; that
 * call takes it off the list before it ends, so the list holds live visits
 * only.  Setting a timer that is not the next one is two pointers; the helper
 * is rung only for one that is due before it would wake anyway, and finds the
 * others when it does.
 *
 * It also adds the pending calls that tell other interpreters something, for
 * whoever asks (ext_helper_post): adding one may wait for a GIL, so it is done
 * attached to nothing and under no lock.
 *
 * It is ended before fork() and started again at need: CPython warns of
 * threads that it finds then.
 *
 * Locks: fork_lock, helper.lock, then a record's, then posts.lock; gate.lock
 * alone.
 */
#include "interrupt_impl.h"

#include "module.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <time.h>

static struct {
    pthread_mutex_t lock;
    ext_visit *head; /* visits with a timer, in no order [lock] */
    int64_t planned; /* when the helper wakes by itself [lock] */
    bool quit;       /* it shall end [lock] */
    pthread_t thread;
    atomic_bool running; /* it exists */
    atomic_bool have_bell;
    atoll_bell bell;
} helper = {.lock = PTHREAD_MUTEX_INITIALIZER, .planned = ATOLL_FOREVER};

ext_rider ext_helper_riders[EXT_RIDER_COUNT];
atomic_int ext_helper_listener = -1;

/* One fork at a time: each of them joins the helper. */
static pthread_mutex_t fork_lock = PTHREAD_MUTEX_INITIALIZER;

/* Either forks or pending calls that are being added. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t forks;  /* os.fork() calls on their way [lock] */
    uint32_t adding; /* threads in _PyEval_AddPendingCall [lock] */
} gate
    = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* Where something is to be sent; each is visited and referred to. */
static struct {
    pthread_mutex_t lock;
    atoll_interp *head; /* [lock] */
} posts = {.lock = PTHREAD_MUTEX_INITIALIZER};

void
ext_helper_lock(void)
{
    (void)pthread_mutex_lock(&helper.lock);
}

void
ext_helper_unlock(void)
{
    (void)pthread_mutex_unlock(&helper.lock);
}

/* See interrupt_impl.h.  Where a fork is on its way nothing is added: CPython
 * 3.13 and later take the lock of their list of thread states for it, which
 * fork() holds while it waits for atoll's locks and for the helper's end. */
int
ext_helper_add_pending(PyInterpreterState *interp, int (*func)(void *),
                       void *arg)
{
    if (_PyEval_AddPendingCall == NULL) {
        return -1;
    }
    (void)pthread_mutex_lock(&gate.lock);
    bool open = gate.forks == 0;
    gate.adding += open;
    (void)pthread_mutex_unlock(&gate.lock);
    if (!open) {
        return -1;
    }
    int result = _PyEval_AddPendingCall(interp, func, arg, 0);
    (void)pthread_mutex_lock(&gate.lock);
    gate.adding--;
    (void)pthread_cond_broadcast(&gate.changed);
    (void)pthread_mutex_unlock(&gate.lock);
    return result == 0 ? 0 : -1;
}

void
ext_interrupt_fork_begins(void)
{
    Py_BEGIN_ALLOW_THREADS(void)
    pthread_mutex_lock(&gate.lock);
    gate.forks++;
    while (gate.adding > 0) {
        (void)pthread_cond_wait(&gate.changed, &gate.lock);
    }
    (void)pthread_mutex_unlock(&gate.lock);
    Py_END_ALLOW_THREADS
}

void
ext_interrupt_fork_ends(void)
{
    (void)pthread_mutex_lock(&gate.lock);
    gate.forks -= gate.forks > 0;
    (void)pthread_mutex_unlock(&gate.lock);
}

void
ext_helper_ring(void)
{
    if (atomic_load(&helper.have_bell)) {
        atoll_bell_ring(&helper.bell);
    }
}

void
ext_helper_post(atoll_interp *interp, ext_post what)
{
    bool waits = interp->posts != 0;
    interp->posts |= what;
    if (!waits) {
        interp->visits++;
        atoll_interp_acquire(interp);
        (void)pthread_mutex_lock(&posts.lock);
        interp->to_post = posts.head;
        posts.head = interp;
        (void)pthread_mutex_unlock(&posts.lock);
    }
    ext_helper_ring();
}

/* Sends what is to be sent, or only takes it off the list. */
static void
empty_posts(bool send)
{
    (void)pthread_mutex_lock(&posts.lock);
    atoll_interp *interp = posts.head;
    posts.head = NULL;
    (void)pthread_mutex_unlock(&posts.lock);
    while (interp != NULL) {
        atoll_interp *next = interp->to_post;
        atoll_mutex_lock(&interp->lock);
        uint32_t what = send ? interp->posts : 0;
        interp->posts = 0; /* from here on it may be on the list again */
        atoll_mutex_unlock(&interp->lock);
        if (what & EXT_POST_TELL) {
            ext_interrupt_post(interp);
        }
        if (what & EXT_POST_MEASURE) {
            ext_limits_post(interp);
        }
        atoll_interp_leave(interp, false);
        atoll_interp_release(interp);
        interp = next;
    }
}

void
ext_helper_set_timer(ext_visit *visit, int64_t at)
{
    visit->timer_at = at;
    if (!visit->armed) {
        visit->armed = true;
        visit->timer_prev = NULL;
        visit->timer_next = helper.head;
        if (helper.head != NULL) {
            helper.head->timer_prev = visit;
        }
        helper.head = visit;
    }
    if (at < helper.planned) {
        helper.planned = at;
        ext_helper_ring();
    }
}

void
ext_helper_clear_timer(ext_visit *visit)
{
    ext_helper_lock();
    if (visit->armed) {
        if (visit->timer_prev != NULL) {
            visit->timer_prev->timer_next = visit->timer_next;
        }
        else {
            helper.head = visit->timer_next;
        }
        if (visit->timer_next != NULL) {
            visit->timer_next->timer_prev = visit->timer_prev;
        }
        visit->armed = false;
    }
    ext_helper_unlock();
}

/* Locks: the helper's.  Fires what is due, which may set timers of other
 * visits; plans when to wake next. */
static void
look_at_timers(void)
{
    int64_t now = atoll_now();
    if (now >= helper.planned) {
        /* What is fired sets a new timer: nothing is due twice. */
        for (ext_visit *v = helper.head; v != NULL; v = v->timer_next) {
            if (v->timer_at <= now) {
                ext_interrupt_fire(v, now);
            }
        }
        helper.planned = ATOLL_FOREVER;
        for (ext_visit *v = helper.head; v != NULL; v = v->timer_next) {
            if (v->timer_at < helper.planned) {
                helper.planned = v->timer_at;
            }
        }
    }
}

/* Sleeps until `when` or the bell. */
static void
doze(int64_t when)
{
    struct pollfd fds[2] = {
        {.fd = helper.bell.read_fd, .events = POLLIN},
        {.fd = atomic_load(&ext_helper_listener), .events = POLLIN},
    };
    int wait = -1;
    if (when != ATOLL_FOREVER) {
        int64_t left = (when - atoll_now() + EXT_MS - 1) / EXT_MS;
        wait = left < 0 ? 0 : left > 3600000 ? 3600000 : (int)left;
    }
    if (poll(fds, 2, wait) > 0 && fds[0].revents != 0) {
        atoll_bell_silence(&helper.bell);
    }
}

/* Serves the others.  When to wake next for them. */
static int64_t
look_at_riders(void)
{
    int64_t next = ATOLL_FOREVER;
    for (size_t i = 0; i < EXT_RIDER_COUNT; i++) {
        int64_t (*look)(int64_t) = atomic_load(&ext_helper_riders[i].look);
        if (look != NULL) {
            int64_t at = look(atoll_now());
            next = at < next ? at : next;
        }
    }
    return next;
}

static void *
help(void *Py_UNUSED(arg))
{
    for (;;) {
        ext_helper_lock();
        look_at_timers();
        int64_t next = helper.planned;
        bool quit = helper.quit;
        ext_helper_unlock();
        if (quit) {
            return NULL;
        }
        empty_posts(true);
        int64_t look = ext_signals_look();
        next = look < next ? look : next;
        look = look_at_riders(); /* what they post rings */
        doze(look < next ? look : next);
    }
}

int
ext_helper_start(void)
{
    int err = 0;
    if (ATOLL_LIKELY(atomic_load(&helper.running))) {
        return 0;
    }
    ext_helper_lock();
    if (!atomic_load(&helper.running)) {
        if (!atomic_load(&helper.have_bell)
            && atoll_bell_init(&helper.bell) != ATOLL_OK) {
            err = errno;
        }
        else {
            atomic_store(&helper.have_bell, true);
            sigset_t all;
            sigset_t before;
            (void)sigfillset(&all);
            (void)pthread_sigmask(SIG_SETMASK, &all, &before);
            helper.quit = false;
            err = pthread_create(&helper.thread, NULL, help, NULL);
            (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
            atomic_store(&helper.running, err == 0);
        }
    }
    ext_helper_unlock();
    errno = err;
    return err == 0 ? 0 : -1;
}

int
ext_helper_need(void)
{
    if (ext_helper_start() < 0) {
        (void)PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return 0;
}

/* --- fork --------------------------------------------------------------------- */

void
ext_interrupt_before_fork(void)
{
    (void)pthread_mutex_lock(&fork_lock);
    ext_helper_lock();
    bool running = atomic_load(&helper.running);
    helper.quit = true;
    ext_helper_unlock();
    if (running) {
        ext_helper_ring();
        (void)pthread_join(helper.thread, NULL);
    }
    ext_helper_lock();
    atomic_store(&helper.running, false);
}

void
ext_interrupt_parent_after_fork(void)
{
    bool needed = helper.head != NULL || posts.head != NULL
                  || atomic_load(&ext_attach_main_inside) >= 0;
    for (size_t i = 0; i < EXT_RIDER_COUNT; i++) {
        needed |= atomic_load(&ext_helper_riders[i].wanted);
    }
    ext_helper_unlock();
    (void)pthread_mutex_unlock(&fork_lock);
    if (needed && ext_helper_start() < 0) {
        empty_posts(false); /* their timers send them again */
    }
}

void
ext_interrupt_after_fork(void)
{
    (void)pthread_mutex_init(&helper.lock, NULL);
    (void)pthread_mutex_init(&fork_lock, NULL);
    (void)pthread_mutex_init(&gate.lock, NULL);
    (void)pthread_cond_init(&gate.changed, NULL);
    gate.forks = gate.adding = 0;
    (void)pthread_mutex_init(&posts.lock, NULL);
    posts.head = NULL;
    helper.head = NULL;
    helper.planned = ATOLL_FOREVER;
    if (atomic_exchange(&helper.have_bell, false)) {
        atoll_bell_fini(&helper.bell);
    }
    atomic_store(&helper.running, false);
    ext_signals_after_fork();
    for (size_t i = 0; i < EXT_RIDER_COUNT; i++) {
        if (atomic_load(&ext_helper_riders[i].look) != NULL) {
            ext_helper_riders[i].after_fork();
        }
    }
}
