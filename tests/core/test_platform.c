/* Parkers, bells, deadlines, mutexes and conditions; the allocator's
 * switch. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

static void
test_tokens(void)
{
    atoll_parker parker;
    NEED(atoll_parker_init(&parker) == ATOLL_OK);
    CHECK(atoll_parker_park(&parker, 0) == ATOLL_E_TIMEOUT);
    atoll_parker_unpark(&parker);
    atoll_parker_unpark(&parker);
    CHECK(atoll_parker_park(&parker, ATOLL_FOREVER) == ATOLL_OK);
    CHECK(atoll_parker_park(&parker, 0) == ATOLL_E_TIMEOUT);
    atoll_parker_interrupt(&parker);
    CHECK(atoll_parker_park(&parker, ATOLL_FOREVER) == ATOLL_E_INTERRUPTED);
    CHECK(atoll_parker_park(&parker, 0) == ATOLL_E_TIMEOUT);
    /* Neither swallows the other. */
    atoll_parker_interrupt(&parker);
    atoll_parker_unpark(&parker);
    CHECK(atoll_parker_park(&parker, ATOLL_FOREVER) == ATOLL_OK);
    CHECK(atoll_parker_park(&parker, ATOLL_FOREVER) == ATOLL_E_INTERRUPTED);
    CHECK(!atoll_parker_notify(&parker));
    atoll_parker_interrupt(&parker);
    atoll_parker_forget(&parker);
    CHECK(atoll_parker_park(&parker, ATOLL_FOREVER) == ATOLL_E_INTERRUPTED);
    atoll_parker_unpark(&parker);
    atoll_parker_interrupt(&parker);
    atoll_parker_reset(&parker);
    CHECK(atoll_parker_park(&parker, 0) == ATOLL_E_TIMEOUT);
    /* A stray wake-up without a token is none. */
    atoll_parker_wake(&parker);
    CHECK(atoll_parker_park(&parker, atoll_now() + 1000) == ATOLL_E_TIMEOUT);
    atoll_parker_fini(&parker);
}

static void
test_deadline(void)
{
    atoll_parker *parker = test_parker();
    CHECK(atoll_parker_park(parker, -5) == ATOLL_E_TIMEOUT);
    CHECK(atoll_parker_park(parker, atoll_now() - 1) == ATOLL_E_TIMEOUT);
    int64_t until = atoll_now() + SECOND / 50;
    CHECK(atoll_parker_park(parker, until) == ATOLL_E_TIMEOUT);
    CHECK(atoll_now() >= until);
}

static void
park_once(actor *self)
{
    self->step = 1;
    self->status = atoll_parker_park(&self->parker, ATOLL_FOREVER);
    self->step = 2;
}

static void
test_wake(void)
{
    for (int i = 0; i < 200; i++) {
        actor sleeper;
        actor_start(&sleeper, park_once, NULL);
        if (i % 2) {
            UNTIL(sleeper.step == 1);
        }
        bool interrupts = i % 4 < 2;
        if (interrupts) {
            atoll_parker_interrupt(&sleeper.parker);
        }
        else if (atoll_parker_notify(&sleeper.parker)) {
            atoll_parker_wake(&sleeper.parker);
        }
        actor_join(&sleeper);
        CHECK(sleeper.status == (interrupts ? ATOLL_E_INTERRUPTED : ATOLL_OK));
    }
}

static void
bounce(actor *self)
{
    atoll_parker *other = self->arg;
    for (int i = 0; i < self->index; i++) {
        CHECK(atoll_parker_park(&self->parker, ATOLL_FOREVER) == ATOLL_OK);
        atoll_parker_unpark(other);
    }
}

/* Many exchanges: no token is lost. */
static void
test_ping_pong(void)
{
    actor partner = {.index = 20000};
    atoll_parker *mine = test_parker();
    actor_start(&partner, bounce, mine);
    for (int i = 0; i < 20000; i++) {
        atoll_parker_unpark(&partner.parker);
        CHECK(atoll_parker_park(mine, ATOLL_FOREVER) == ATOLL_OK);
    }
    actor_join(&partner);
}

#if ATOLL_HAVE_FUTEX
static void
ignore_signal(int number)
{
    (void)number;
}

/* Whatever SA_RESTART says, a handled signal ends a wait for ever.  (Condition
 * waits, the fallback, do not end on signals.) */
static void
test_signal_interrupts(void)
{
    for (int restart = 0; restart < 2; restart++) {
        struct sigaction action = {.sa_handler = ignore_signal};
        action.sa_flags = restart ? SA_RESTART : 0;
        NEED(sigaction(SIGUSR1, &action, NULL) == 0);
        actor sleeper;
        actor_start(&sleeper, park_once, NULL);
        /* One that comes before it sleeps is not seen: send until one is. */
        while (sleeper.step < 2) {
            (void)pthread_kill(sleeper.thread, SIGUSR1);
            sched_yield();
        }
        actor_join(&sleeper);
        CHECK(sleeper.status == ATOLL_E_INTERRUPTED);
    }
}
#endif

static void
test_deadline_after(void)
{
    int64_t now = atoll_now();
    CHECK(atoll_deadline_after(-1) == 0);
    CHECK(atoll_deadline_after(0) == 0);
    CHECK(atoll_deadline_after(-INFINITY) == 0);
    CHECK(atoll_deadline_after(INFINITY) == ATOLL_FOREVER);
    CHECK(atoll_deadline_after(1e300) == ATOLL_FOREVER);
    CHECK(atoll_deadline_after(1e10) == ATOLL_FOREVER);
    int64_t soon = atoll_deadline_after(1.5);
    CHECK(soon >= now + SECOND * 3 / 2);
    CHECK(soon <= atoll_now() + SECOND * 3 / 2);
    CHECK(atoll_deadline_after(1e-9) > now);
    CHECK(atoll_deadline_after(1e8) < ATOLL_FOREVER);
}

static bool
readable(int fd)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    return poll(&poller, 1, 0) == 1;
}

static void
test_bell(void)
{
    atoll_bell bell;
    NEED(atoll_bell_init(&bell) == ATOLL_OK);
    CHECK(!readable(bell.read_fd));
    CHECK(fcntl(bell.read_fd, F_GETFD) & FD_CLOEXEC);
    CHECK(fcntl(bell.write_fd, F_GETFD) & FD_CLOEXEC);
    CHECK(fcntl(bell.read_fd, F_GETFL) & O_NONBLOCK);
    CHECK(fcntl(bell.write_fd, F_GETFL) & O_NONBLOCK);
    atoll_bell_silence(&bell);
    atoll_bell_ring(&bell);
    CHECK(readable(bell.read_fd));
    /* Far more than a pipe holds. */
    for (int i = 0; i < 20000; i++) {
        atoll_bell_ring(&bell);
    }
    CHECK(readable(bell.read_fd));
    atoll_bell_silence(&bell);
    CHECK(!readable(bell.read_fd));
    atoll_bell_ring(&bell);
    CHECK(readable(bell.read_fd));
    int fd = bell.read_fd;
    atoll_bell_fini(&bell);
    CHECK(bell.read_fd == -1 && bell.write_fd == -1);
    CHECK(fcntl(fd, F_GETFD) == -1 && errno == EBADF);
}

typedef struct meeting {
    atoll_mutex mutex;
    atoll_cond cond;
    int here;
} meeting;

static void
meet(actor *self)
{
    meeting *m = self->arg;
    atoll_mutex_lock(&m->mutex);
    m->here++;
    atoll_cond_signal_all(&m->cond);
    while (m->here < 4) {
        CHECK(atoll_cond_wait(&m->cond, &m->mutex, ATOLL_FOREVER) == ATOLL_OK);
    }
    atoll_mutex_unlock(&m->mutex);
}

static void
test_mutex_and_cond(void)
{
    meeting m = {.here = 0};
    NEED(atoll_mutex_init(&m.mutex) == ATOLL_OK);
    NEED(atoll_cond_init(&m.cond) == ATOLL_OK);
    actor actors[4];
    for (int i = 0; i < 4; i++) {
        actor_start(&actors[i], meet, &m);
    }
    for (int i = 0; i < 4; i++) {
        actor_join(&actors[i]);
    }
    CHECK(m.here == 4);
    atoll_mutex_lock(&m.mutex);
    CHECK(atoll_cond_wait(&m.cond, &m.mutex, atoll_now() + 1000)
          == ATOLL_E_TIMEOUT);
    CHECK(atoll_cond_wait(&m.cond, &m.mutex, 0) == ATOLL_E_TIMEOUT);
    atoll_mutex_unlock(&m.mutex);
    atoll_cond_fini(&m.cond);
    atoll_mutex_fini(&m.mutex);
}

static void
test_failing_allocator(void)
{
    (void)atoll_fail_allocation(2, false);
    int64_t in_use = atoll_allocations_in_use();
    void *one = atoll_malloc(10);
    void *two = atoll_calloc(10, 10);
    void *three = atoll_realloc(NULL, 10);
    CHECK(one != NULL && two == NULL && three != NULL);
    CHECK(atoll_fail_allocation(1, true) == 3);
    CHECK(atoll_malloc(1) == NULL && atoll_malloc(1) == NULL);
    CHECK(atoll_fail_allocation(0, false) == 2);
    CHECK(atoll_allocations_in_use() == in_use + 2);
    two = atoll_malloc(0);
    CHECK(two != NULL);
    atoll_free(one);
    atoll_free(two);
    atoll_free(three);
    CHECK(atoll_thread_ident() != 0);
    CHECK(atoll_allocations_in_use() == in_use);
}

int
main(int argc, char **argv)
{
    RUN(test_tokens);
    RUN(test_deadline);
    RUN(test_wake);
    RUN(test_ping_pong);
#if ATOLL_HAVE_FUTEX
    RUN(test_signal_interrupts);
#endif
    RUN(test_deadline_after);
    RUN(test_bell);
    RUN(test_mutex_and_cond);
    RUN(test_failing_allocator);
    return test_end();
}
