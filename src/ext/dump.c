/* dump_stacks(), and the same by a signal.
 *
 * faulthandler's handler reads the stacks of one interpreter without its GIL,
 * inside the handler.  Here the handler only rings the helper thread, which
 * starts a short-lived C thread; that reads each interpreter by a probe, with
 * its GIL (look.c), and writes.  So nothing is read while it changes; where
 * C code keeps a GIL, the dump says so.  Neither the main thread nor any
 * Python code takes part: a program that hangs is told of all the same.
 *
 * A child after fork has no registrations: its handlers are what was there
 * before them.
 *
 * Locks: dumps.lock guards the slots' registration, alone.
 */
#include "dump.h"

#include "errors.h"
#include "interrupt.h"
#include "probe.h"
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_SIGNAL 65

typedef struct slot {
    atomic_bool on;
    atomic_bool rang;        /* the signal came; not dumped yet */
    atomic_int fd;           /* a duplicate, ours */
    struct sigaction before; /* written before the handler is there */
} slot;

static struct {
    pthread_mutex_t lock;
    pthread_mutex_t writing; /* one dump at a time */
    atomic_bool any;         /* some slot rang */
    slot slots[MAX_SIGNAL];
} dumps = {.lock = PTHREAD_MUTEX_INITIALIZER,
           .writing = PTHREAD_MUTEX_INITIALIZER};

/* --- text ------------------------------------------------------------------------ */

static void
write_thread(FILE *out, ext_look_reader *reader, const ext_look_thread *thread)
{
    ext_look_frame frame;
    (void)fprintf(out, "  Thread %#lx", thread->ident);
    if (thread->name[0] != '\0') {
        (void)fprintf(out, " [%s]", thread->name);
    }
    if (thread->in_call) {
        (void)fputs(" (runs a call)", out);
    }
    (void)fputs(" (most recent call first):\n", out);
    for (uint32_t i = 0; i < thread->frames; i++) {
        ext_look_frame_next(reader, &frame);
        (void)fprintf(out, "    File \"%s\", line %d in %s\n", frame.file,
                      frame.line, frame.name);
    }
    if (thread->cut) {
        (void)fputs("    ...\n", out);
    }
    if (thread->frames == 0) {
        (void)fputs("    <no Python frame>\n", out);
    }
}

static void
write_interpreter(FILE *out, atoll_interp *interp, const ext_look *look)
{
    ext_look_reader reader;
    ext_look_thread thread;
    atoll_mutex_lock(&interp->lock);
    char *name = interp->name == NULL ? NULL : strdup(interp->name);
    bool running = interp->running;
    atoll_mutex_unlock(&interp->lock);
    (void)fprintf(out, "Interpreter %lld%s%s%s", (long long)interp->id,
                  name == NULL ? "" : " [", name == NULL ? "" : name,
                  name == NULL ? "" : "]");
    free(name);
    if (interp->id == 0) {
        (void)fputs(" (main):\n", out);
    }
    else {
        (void)fprintf(out, " (%s):\n", running ? "running" : "idle");
    }
    if (look == NULL) {
        (void)fputs("  <cannot be read: C code keeps its GIL, or it is "
                    "ending>\n",
                    out);
        return;
    }
    ext_look_open(look, &reader);
    while (ext_look_thread_next(&reader, &thread)) {
        write_thread(out, &reader, &thread);
    }
    if (look->threads == 0) {
        (void)fputs("  <no thread>\n", out);
    }
}

/* Leaves out spares, what is gone, and `here`. */
static size_t
pick(atoll_interp **list, size_t count, const atoll_interp *here)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (list[i] == here || list[i]->spare
            || atoll_interp_get_life(list[i]) >= ATOLL_LIFE_ENDING) {
            atoll_interp_release(list[i]);
        }
        else {
            list[kept++] = list[i];
        }
    }
    return kept;
}

void
ext_dump_write(FILE *out, atoll_interp *here, const ext_look *look)
{
    atoll_interp **list = NULL;
    size_t count = 0;
    if (here != NULL) {
        write_interpreter(out, here, look);
    }
    if (atoll_registry_list(&list, &count) != ATOLL_OK) {
        (void)fputs("<out of memory>\n", out);
        return;
    }
    count = pick(list, count, here);
    ext_look **looks = atoll_calloc(count + 1, sizeof(*looks));
    if (looks != NULL) {
        ext_look_at(list, count, ext_probe_deadline(), looks);
    }
    for (size_t i = 0; i < count; i++) {
        write_interpreter(out, list[i], looks == NULL ? NULL : looks[i]);
        if (looks != NULL) {
            atoll_free(looks[i]);
        }
        atoll_interp_release(list[i]);
    }
    atoll_free(looks);
    atoll_free(list);
}

/* --- by a signal ------------------------------------------------------------------ */

static void
on_signal(int number, siginfo_t *info, void *context)
{
    slot *s = &dumps.slots[number];
    if (atomic_load(&s->on)) {
        int saved = errno;
        atomic_store(&s->rang, true);
        atomic_store(&dumps.any, true);
        ext_helper_ring();
        errno = saved;
        return;
    }
    /* Unregistered, but somebody had put a handler on top that calls us. */
    if (s->before.sa_flags & SA_SIGINFO) {
        s->before.sa_sigaction(number, info, context);
    }
    else if (s->before.sa_handler != SIG_DFL
             && s->before.sa_handler != SIG_IGN) {
        s->before.sa_handler(number);
    }
}

static void
write_all(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t done = write(fd, text, size);
        if (done < 0 && errno != EINTR) {
            return; /* nobody is left to be told */
        }
        if (done > 0) {
            text += done;
            size -= (size_t)done;
        }
    }
}

static void
dump_to(int fd)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        return;
    }
    ext_dump_write(out, NULL, NULL);
    if (fclose(out) == 0) {
        write_all(fd, text, size);
    }
    free(text);
}

/* The short-lived thread. */
static void *
dump_thread(void *Py_UNUSED(arg))
{
    (void)pthread_mutex_lock(&dumps.writing);
    for (int number = 1; number < MAX_SIGNAL; number++) {
        slot *s = &dumps.slots[number];
        if (atomic_exchange(&s->rang, false)) {
            (void)pthread_mutex_lock(&dumps.lock);
            int fd = atomic_load(&s->on)
                         ? fcntl(atomic_load(&s->fd), F_DUPFD_CLOEXEC, 3)
                         : -1;
            (void)pthread_mutex_unlock(&dumps.lock);
            if (fd >= 0) {
                dump_to(fd);
                (void)close(fd);
            }
        }
    }
    (void)pthread_mutex_unlock(&dumps.writing);
    return NULL;
}

/* On the helper thread. */
static int64_t
look(int64_t Py_UNUSED(now))
{
    if (atomic_exchange(&dumps.any, false)) {
        (void)ext_probe_thread(dump_thread, NULL);
    }
    return ATOLL_FOREVER;
}

static void
after_fork(void)
{
    (void)pthread_mutex_init(&dumps.lock, NULL);
    (void)pthread_mutex_init(&dumps.writing, NULL);
    atomic_store(&dumps.any, false);
    for (int number = 1; number < MAX_SIGNAL; number++) {
        slot *s = &dumps.slots[number];
        if (atomic_exchange(&s->on, false)) {
            (void)sigaction(number, &s->before, NULL);
            (void)close(atomic_load(&s->fd));
        }
        atomic_store(&s->rang, false);
    }
    atomic_store(&ext_helper_riders[EXT_RIDER_DUMP].wanted, false);
}

/* Locks: dumps.lock.  Fails: an errno. */
static int
install(int number, int fd)
{
    slot *s = &dumps.slots[number];
    struct sigaction ours = {0};
    struct sigaction now;
    if (atomic_load(&s->on)) {
        int old = atomic_exchange(&s->fd, fd);
        (void)close(old);
        return 0;
    }
    if (sigaction(number, NULL, &now) != 0) {
        return errno;
    }
    if (!(now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_signal)) {
        s->before = now;
    }
    ours.sa_sigaction = on_signal;
    ours.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
    (void)sigemptyset(&ours.sa_mask);
    atomic_store(&s->fd, fd);
    atomic_store(&s->on, true);
    if (sigaction(number, &ours, NULL) != 0) {
        atomic_store(&s->on, false);
        return errno;
    }
    return 0;
}

/* --- for Python --------------------------------------------------------------------- */

/* _register_dump(signum, fd): fd is duplicated. */
static PyObject *
core_register_dump(PyObject *Py_UNUSED(module), PyObject *args)
{
    int number;
    int fd;
    if (!PyArg_ParseTuple(args, "ii:_register_dump", &number, &fd)) {
        return NULL;
    }
    if (number < 1 || number >= NSIG || number >= MAX_SIGNAL) {
        PyErr_SetString(PyExc_ValueError, "signal number out of range");
        return NULL;
    }
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    ext_rider *rider = &ext_helper_riders[EXT_RIDER_DUMP];
    rider->after_fork = after_fork;
    atomic_store(&rider->look, look);
    atomic_store(&rider->wanted, true);
    if (ext_helper_need() < 0) {
        (void)close(copy);
        return NULL;
    }
    (void)pthread_mutex_lock(&dumps.lock);
    int err = install(number, copy);
    (void)pthread_mutex_unlock(&dumps.lock);
    if (err != 0) {
        (void)close(copy);
        errno = err;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

static PyObject *
core_unregister_dump(PyObject *Py_UNUSED(module), PyObject *arg)
{
    long number = PyLong_AsLong(arg);
    if (number == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (number < 1 || number >= MAX_SIGNAL) {
        PyErr_SetString(PyExc_ValueError, "signal number out of range");
        return NULL;
    }
    struct sigaction now;
    slot *s = &dumps.slots[number];
    (void)pthread_mutex_lock(&dumps.lock);
    bool was = atomic_exchange(&s->on, false);
    if (was) {
        if (sigaction((int)number, NULL, &now) == 0
            && now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_signal) {
            (void)sigaction((int)number, &s->before, NULL);
        }
        (void)close(atomic_load(&s->fd));
    }
    (void)pthread_mutex_unlock(&dumps.lock);
    return PyBool_FromLong(was);
}

/* The text, as bytes. */
static PyObject *
core_dump_stacks(PyObject *module, PyObject *Py_UNUSED(args))
{
    atoll_interp *self = ext_state_of_module(module)->self;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        return PyErr_NoMemory();
    }
    ext_look *here = ext_look_here(self);
    Py_BEGIN_ALLOW_THREADS
    ext_dump_write(out, self, here);
    Py_END_ALLOW_THREADS
    atoll_free(here);
    PyObject *bytes = NULL;
    if (fclose(out) == 0) {
        bytes = PyBytes_FromStringAndSize(text, (Py_ssize_t)size);
    }
    else {
        PyErr_NoMemory();
    }
    free(text);
    return bytes;
}

PyMethodDef ext_dump_functions[] = {
    {"_dump_stacks", core_dump_stacks, METH_NOARGS,
     PyDoc_STR("_dump_stacks()\n--\n\nSee atoll.dump_stacks.")},
    {"_register_dump", core_register_dump, METH_VARARGS,
     PyDoc_STR("_register_dump(signum, fd)\n--\n\nSee register_dump.")},
    {"_unregister_dump", core_unregister_dump, METH_O,
     PyDoc_STR("_unregister_dump(signum, /)\n--\n\nSee unregister_dump.")},
    {NULL, NULL, 0, NULL},
};
