/* expose(): answers `atoll top` on a Unix socket.
 *
 * The helper thread waits for connections beside its other work; each is
 * served by a short-lived C thread, so no thread of Python's is started, and
 * a program whose GILs are all kept is told of all the same.  A client sends
 * one line, "stats" or "stacks", and gets one answer: a JSON object, or the
 * text of dump_stacks().
 *
 * Who may connect: the folder and the socket are the owner's alone
 * (atoll/_expose.py), and the kernel's word on who is at the other end is
 * asked for as well, where it gives it.
 *
 * Locks: exposed.lock guards the listening descriptor, alone.
 */
#include "expose.h"

#include "dump.h"
#include "interrupt.h"
#include "probe.h"
#include "stats.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* Clients served at the same time; more wait in line. */
#define MAX_CLIENTS 8
/* How long a client may take to ask, and to read. */
#define CLIENT_SECONDS 5

static struct {
    pthread_mutex_t lock;
    int fd;       /* listening, ours; -1: none [lock] */
    bool claimed; /* by one interpreter [lock] */
    atomic_int clients;
} exposed = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

/* --- answers ---------------------------------------------------------------------- */

static size_t
list_open(atoll_interp ***out_list)
{
    atoll_interp **list = NULL;
    size_t count = 0;
    size_t kept = 0;
    if (atoll_registry_list(&list, &count) != ATOLL_OK) {
        *out_list = NULL;
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (list[i]->spare
            || atoll_interp_get_life(list[i]) >= ATOLL_LIFE_ENDING) {
            atoll_interp_release(list[i]);
        }
        else {
            list[kept++] = list[i];
        }
    }
    *out_list = list;
    return kept;
}

static void
write_stats(FILE *out)
{
    atoll_interp **list;
    size_t count = list_open(&list);
    ext_look **looks = atoll_calloc(count + 1, sizeof(*looks));
    if (looks != NULL) {
        ext_look_at(list, count, ext_probe_deadline(), looks);
    }
    long long now = (long long)atoll_now();
    (void)fprintf(out,
                  "{\"pid\": %ld, \"atoll\": \"%s\", \"python\": \"%s\", "
                  "\"monotonic_seconds\": %lld.%09lld, \"interpreters\": [",
                  (long)getpid(), ATOLL_VERSION, PY_VERSION, now / 1000000000,
                  now % 1000000000);
    for (size_t i = 0; i < count; i++) {
        ext_stats stats;
        ext_stats_read(list[i], looks == NULL ? NULL : looks[i], &stats);
        (void)fputs(i == 0 ? "" : ", ", out);
        ext_stats_json(&stats, out);
        ext_stats_fini(&stats);
        if (looks != NULL) {
            atoll_free(looks[i]);
        }
        atoll_interp_release(list[i]);
    }
    (void)fputs("]}\n", out);
    atoll_free(looks);
    atoll_free(list);
}

/* --- a client --------------------------------------------------------------------- */

/* The same user, or root.  Where the kernel does not tell, the folder's
 * permissions have decided. */
static bool
may_ask(int fd)
{
#if defined(SO_PEERCRED)
    struct ucred who;
    socklen_t size = sizeof(who);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) {
        return false;
    }
    return who.uid == geteuid() || who.uid == 0;
#else
    uid_t user;
    gid_t group;
    return getpeereid(fd, &user, &group) == 0
           && (user == geteuid() || user == 0);
#endif
}

/* One line, without its newline.  False: none came. */
static bool
read_line(int fd, char *out, size_t room)
{
    size_t len = 0;
    while (len + 1 < room) {
        ssize_t got = recv(fd, out + len, 1, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        if (out[len] == '\n') {
            out[len] = '\0';
            return true;
        }
        len++;
    }
    return false;
}

static void
send_all(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t done = send(fd, text, size, MSG_NOSIGNAL);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return;
        }
        text += done;
        size -= (size_t)done;
    }
}

static void
answer(int fd)
{
    char line[32];
    char *text = NULL;
    size_t size = 0;
    const struct timeval patience = {.tv_sec = CLIENT_SECONDS};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (!may_ask(fd) || !read_line(fd, line, sizeof(line))) {
        return;
    }
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        return;
    }
    if (strcmp(line, "stats") == 0) {
        write_stats(out);
    }
    else if (strcmp(line, "stacks") == 0) {
        ext_dump_write(out, NULL, NULL);
    }
    else {
        (void)fputs("{\"error\": \"ask for stats or stacks\"}\n", out);
    }
    if (fclose(out) == 0) {
        send_all(fd, text, size);
    }
    free(text);
}

static void *
serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    answer(fd);
    (void)close(fd);
    atomic_fetch_sub(&exposed.clients, 1);
    /* One who waited in line may be let in. */
    (void)pthread_mutex_lock(&exposed.lock);
    atomic_store(&ext_helper_listener, exposed.fd);
    (void)pthread_mutex_unlock(&exposed.lock);
    ext_helper_ring();
    return NULL;
}

static int
accept_one(int listener)
{
#if defined(__linux__)
    return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
#else
    int fd = accept(listener, NULL, NULL);
    if (fd >= 0) {
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    return fd;
#endif
}

/* On the helper thread; the listener does not block. */
static int64_t
look(int64_t now)
{
    int64_t next = ATOLL_FOREVER;
    (void)pthread_mutex_lock(&exposed.lock);
    while (exposed.fd >= 0) {
        if (atomic_load(&exposed.clients) >= MAX_CLIENTS) {
            /* Not looked at until one has gone. */
            atomic_store(&ext_helper_listener, -1);
            break;
        }
        int fd = accept_one(exposed.fd);
        if (fd < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR
                && errno != ECONNABORTED) {
                /* Out of descriptors, say: not in a busy loop. */
                atomic_store(&ext_helper_listener, -1);
                next = now + 1000000000LL;
            }
            else {
                atomic_store(&ext_helper_listener, exposed.fd);
            }
            break;
        }
        atomic_fetch_add(&exposed.clients, 1);
        if (!ext_probe_thread(serve, (void *)(intptr_t)fd)) {
            atomic_fetch_sub(&exposed.clients, 1);
            (void)close(fd);
        }
    }
    (void)pthread_mutex_unlock(&exposed.lock);
    return next;
}

/* The child does not answer in its parent's name. */
static void
after_fork(void)
{
    (void)pthread_mutex_init(&exposed.lock, NULL);
    if (exposed.fd >= 0) {
        (void)close(exposed.fd);
    }
    exposed.fd = -1;
    exposed.claimed = false;
    atomic_store(&exposed.clients, 0);
    atomic_store(&ext_helper_listener, -1);
    atomic_store(&ext_helper_riders[EXT_RIDER_EXPOSE].wanted, false);
}

/* --- for Python --------------------------------------------------------------------- */

/* True: the caller may call _expose, and must call _unexpose. */
static PyObject *
core_expose_begin(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    (void)pthread_mutex_lock(&exposed.lock);
    bool first = !exposed.claimed;
    exposed.claimed = true;
    (void)pthread_mutex_unlock(&exposed.lock);
    return PyBool_FromLong(first);
}

/* _expose(socket): it listens already, and is duplicated. */
static PyObject *
core_expose(PyObject *Py_UNUSED(module), PyObject *arg)
{
    int fd = PyObject_AsFileDescriptor(arg);
    if (fd < 0) {
        return NULL;
    }
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0 || fcntl(copy, F_SETFL, O_NONBLOCK) < 0) {
        (void)PyErr_SetFromErrno(PyExc_OSError);
        if (copy >= 0) {
            (void)close(copy);
        }
        return NULL;
    }
    ext_rider *rider = &ext_helper_riders[EXT_RIDER_EXPOSE];
    rider->after_fork = after_fork;
    atomic_store(&rider->look, look);
    if (ext_helper_need() < 0) {
        (void)close(copy);
        return NULL;
    }
    (void)pthread_mutex_lock(&exposed.lock);
    exposed.fd = copy;
    atomic_store(&ext_helper_listener, copy);
    atomic_store(&rider->wanted, true);
    (void)pthread_mutex_unlock(&exposed.lock);
    ext_helper_ring();
    Py_RETURN_NONE;
}

static PyObject *
core_unexpose(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    (void)pthread_mutex_lock(&exposed.lock);
    int fd = exposed.fd;
    exposed.fd = -1;
    exposed.claimed = false;
    atomic_store(&ext_helper_listener, -1);
    atomic_store(&ext_helper_riders[EXT_RIDER_EXPOSE].wanted, false);
    (void)pthread_mutex_unlock(&exposed.lock);
    ext_helper_ring(); /* it polls without it from here on */
    if (fd >= 0) {
        (void)close(fd);
    }
    return PyBool_FromLong(fd >= 0);
}

PyMethodDef ext_expose_functions[] = {
    {"_expose_begin", core_expose_begin, METH_NOARGS,
     PyDoc_STR("_expose_begin()\n--\n\nBe the one who does it.")},
    {"_expose", core_expose, METH_O,
     PyDoc_STR("_expose(socket, /)\n--\n\nSee atoll.expose.")},
    {"_unexpose", core_unexpose, METH_NOARGS,
     PyDoc_STR("_unexpose()\n--\n\nStop it.")},
    {NULL, NULL, 0, NULL},
};
