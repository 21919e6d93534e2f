/* Limits: interp.limits(cpu_seconds=, wall_seconds=, memory_bytes=).
 *
 * Going over one is an interruption like others (interrupt.c) that raises
 * LimitExceeded.  The exceptions are made beforehand, as frames, by whoever
 * sets the limits: the helper thread, which finds out, knows no Python.
 *
 * CPU time.  The helper reads the CPU clock of the thread that runs the call;
 * since it cannot use the rest of its budget faster than time passes, it is
 * looked at again after as long as the rest, and never before LEAST: so a
 * patient program is looked at once a budget, and a greedy one is found within
 * LEAST of its limit.  Threads that live in the interpreter count as well: a
 * pending call, which has the GIL that keeps their list still, adds their
 * clocks up.  It also raises LimitExceeded in the threads that a call has
 * started when it goes over: else one that waits for them would go on.
 *
 * Memory.  memory.c counts, and rings when a limit is passed.  A request that
 * would go beyond the reserve fails at once: MemoryError, which the end of the
 * call turns into LimitExceeded.
 *
 * Locks: limits.lock guards the list of guards; then the helper's, then a
 * record's.
 */
#include "interrupt_limits.h"

#include "errors.h"
#include "interrupt_impl.h"
#include "memory.h"
#include "module.h"
#include "transfer.h"

#include <string.h>

/* CPU time is looked at no more often than this. */
#define LEAST 10000000LL

static struct {
    pthread_mutex_t lock;
    ext_guard *head;
    _Atomic int64_t planned; /* when the helper will look, at the latest */
    atomic_bool over;        /* some memory limit was passed */
} limits = {.lock = PTHREAD_MUTEX_INITIALIZER, .planned = ATOLL_FOREVER};

/* --- CPU time ------------------------------------------------------------------- */

/* Of the threads that live in interp.  Attached: to interp. */
static int64_t
sum_threads(atoll_interp *interp)
{
    int64_t sum = 0;
    for (PyThreadState *t = PyInterpreterState_ThreadHead(interp->handle);
         t != NULL; t = PyThreadState_Next(t)) {
        if (ext_attach_is_kept(interp, t)) {
            continue;
        }
        int64_t cpu = atoll_thread_cpu((long)t->native_thread_id);
        cpu -= ext_attach_cpu_away(t->thread_id, cpu);
        sum += cpu > 0 ? cpu : 0;
    }
    return sum;
}

/* Threads that a call has started would keep it if it waits for them in C.
 * Attached: to interp. */
static void
stop_threads(atoll_interp *interp, uint64_t first)
{
    unsigned long idents[64];
    size_t count = 0;
    for (PyThreadState *t = PyInterpreterState_ThreadHead(interp->handle);
         t != NULL && count < 64; t = PyThreadState_Next(t)) {
        if (PyThreadState_GetID(t) >= first
            && !ext_attach_is_kept(interp, t)) {
            idents[count++] = t->thread_id;
        }
    }
    PyObject *type = ext_error_type(interp->ext, EXT_ERR_LIMIT_EXCEEDED);
    for (size_t i = 0; i < count; i++) {
        (void)PyThreadState_SetAsyncExc(idents[i], type);
        ext_attach_interrupt_thread(idents[i]);
    }
}

/* The pending call.  Attached: to interp, on any of its threads. */
static int
measure(void *arg)
{
    atoll_interp *interp = arg;
    uint64_t first = atomic_exchange(&interp->stop_from, 0);
    if (first != 0 && interp->ext != NULL) {
        stop_threads(interp, first);
    }
    atomic_store(&interp->threads_cpu, sum_threads(interp));
    atomic_store(&interp->measuring, false);
    atoll_interp_release(interp);
    return 0;
}

/* Has interp's threads measured, some time soon. */
static void
ask_to_measure(atoll_interp *interp)
{
    if (_PyEval_AddPendingCall == NULL
        || atomic_exchange(&interp->measuring, true)) {
        return;
    }
    bool sent = false;
    if (atoll_interp_glance(interp)) {
        atoll_interp_acquire(interp);
        sent = _PyEval_AddPendingCall(interp->handle, measure, interp, 0) == 0;
        atoll_interp_leave(interp, false);
        if (!sent) {
            atoll_interp_release(interp);
        }
    }
    if (!sent) {
        atomic_store(&interp->measuring, false);
    }
}

/* CPU time that the guard's call has used.  -1: it does not run. */
static int64_t
read_cpu(const ext_guard *guard)
{
    atoll_interp *interp = guard->call->interp;
    int64_t cpu = -1;
    atoll_mutex_lock(&interp->lock);
    ext_visit *visit = guard->call->visit;
    if (visit != NULL) {
        cpu = atoll_thread_cpu((long)visit->inner->native_thread_id)
              - visit->span.cpu;
        cpu = cpu > 0 ? cpu : 0;
    }
    atoll_mutex_unlock(&interp->lock);
    if (cpu < 0) {
        return -1;
    }
    int64_t threads = atomic_load(&interp->threads_cpu) - guard->threads;
    return cpu + (threads > 0 ? threads : 0)
           + (atomic_load(&guard->limits->shared)
                  ? atomic_load(&guard->limits->spent)
                  : 0);
}

/* --- looking ---------------------------------------------------------------------- */

/* Locks: limits.lock; takes the helper's. */
static void
fire(ext_guard *guard, ext_limit_id which)
{
    const ext_request what = {guard->limits->errors[which], false};
    guard->fired[which] = true;
    ext_helper_lock();
    (void)ext_interrupt_locked(guard->call->interp, guard->generation, &what);
    ext_helper_unlock();
    atomic_store(&guard->call->interp->stop_from, guard->first_thread);
    ask_to_measure(guard->call->interp);
}

/* Locks: limits.lock. */
static void
look_at(ext_guard *guard, int64_t now)
{
    const int64_t *most = guard->limits->most;
    guard->due = ATOLL_FOREVER;
    if (most[EXT_LIMIT_CPU] >= 0 && !guard->fired[EXT_LIMIT_CPU]) {
        int64_t cpu = read_cpu(guard);
        int64_t rest = most[EXT_LIMIT_CPU] - cpu;
        if (cpu >= 0 && rest <= 0) {
            fire(guard, EXT_LIMIT_CPU);
        }
        else if (cpu >= 0) {
            rest = rest < LEAST ? LEAST : rest;
            guard->due
                = rest < ATOLL_FOREVER - now ? now + rest : ATOLL_FOREVER;
            ask_to_measure(guard->call->interp);
        }
    }
    if (most[EXT_LIMIT_WALL] >= 0 && !guard->fired[EXT_LIMIT_WALL]) {
        if (guard->wall_end <= now) {
            fire(guard, EXT_LIMIT_WALL);
        }
        else if (guard->wall_end < guard->due) {
            guard->due = guard->wall_end;
        }
    }
}

/* Locks: limits.lock; the guard's call has not ended. */
static void
look_at_memory(ext_guard *guard)
{
    if (guard->limits->most[EXT_LIMIT_MEMORY] >= 0
        && !guard->fired[EXT_LIMIT_MEMORY]
        && ext_memory_is_over(guard->call->interp->handle)) {
        fire(guard, EXT_LIMIT_MEMORY);
    }
}

/* On the helper thread. */
static int64_t
look(int64_t now)
{
    int64_t next = ATOLL_FOREVER;
    bool over = atomic_exchange(&limits.over, false);
    if (!over && now < atomic_load(&limits.planned)) {
        return atomic_load(&limits.planned);
    }
    (void)pthread_mutex_lock(&limits.lock);
    for (ext_guard *g = limits.head; g != NULL; g = g->next) {
        if (over) {
            look_at_memory(g);
        }
        if (g->due <= now) {
            look_at(g, now);
        }
        next = g->due < next ? g->due : next;
    }
    atomic_store(&limits.planned, next);
    (void)pthread_mutex_unlock(&limits.lock);
    return next;
}

/* memory.c's: on the thread that allocates, in the midst of it. */
static void
on_over(void)
{
    atomic_store(&limits.over, true);
    ext_helper_ring();
}

static void
after_fork(void)
{
    (void)pthread_mutex_init(&limits.lock, NULL);
    limits.head = NULL;
    atomic_store(&limits.planned, ATOLL_FOREVER);
    atomic_store(&limits.over, false);
    atomic_store(&ext_helper_riders[EXT_RIDER_LIMITS].wanted, false);
}

/* --- a call under limits --------------------------------------------------------- */

void
ext_guard_init(ext_guard *guard, ext_limits *what, ext_call *call)
{
    memset(guard, 0, sizeof(*guard));
    guard->limits = what;
    guard->call = call;
    call->guard = what == NULL ? NULL : guard;
}

static void
enlist(ext_guard *guard, int64_t due)
{
    guard->due = due;
    (void)pthread_mutex_lock(&limits.lock);
    guard->listed = true;
    guard->next = limits.head;
    if (limits.head != NULL) {
        limits.head->prev = guard;
    }
    limits.head = guard;
    bool sooner = due < atomic_load(&limits.planned);
    if (sooner) {
        atomic_store(&limits.planned, due);
    }
    atomic_store(&ext_helper_riders[EXT_RIDER_LIMITS].wanted, true);
    (void)pthread_mutex_unlock(&limits.lock);
    if (sooner) {
        ext_helper_ring();
    }
}

/* Which limit is passed before anything has run?  EXT_LIMIT_COUNT: none. */
static ext_limit_id
find_passed(const ext_guard *guard, int64_t now, void *handle)
{
    const ext_limits *what = guard->limits;
    const int64_t *most = what->most;
    if (most[EXT_LIMIT_CPU] >= 0
        && (atomic_load(&what->shared) ? atomic_load(&what->spent) : 0)
               >= most[EXT_LIMIT_CPU]) {
        return EXT_LIMIT_CPU;
    }
    if (most[EXT_LIMIT_WALL] >= 0 && guard->wall_end <= now) {
        return EXT_LIMIT_WALL;
    }
    if (most[EXT_LIMIT_MEMORY] >= 0
        && ext_memory_used(handle) > most[EXT_LIMIT_MEMORY]) {
        return EXT_LIMIT_MEMORY;
    }
    return EXT_LIMIT_COUNT;
}

/* Attached: to visit->interp.  Sets the exception. */
static int
raise_now(ext_guard *guard, ext_visit *visit, ext_limit_id which)
{
    const ext_request what = {guard->limits->errors[which], false};
    guard->fired[which] = true;
    ext_helper_lock();
    (void)ext_interrupt_locked(visit->interp, visit->generation, &what);
    ext_helper_unlock();
    return ext_interrupt_take_mark(visit);
}

/* Threads that are started from now on have this number or a higher one.
 * Attached: to interp. */
static uint64_t
find_next_number(atoll_interp *interp)
{
    uint64_t last = 0;
    for (PyThreadState *t = PyInterpreterState_ThreadHead(interp->handle);
         t != NULL; t = PyThreadState_Next(t)) {
        uint64_t number = PyThreadState_GetID(t);
        last = number > last ? number : last;
    }
    return last + 1;
}

int
ext_guard_begin(ext_guard *guard, ext_visit *visit)
{
    const int64_t *most = guard->limits->most;
    atoll_interp *interp = visit->interp;
    if (ext_helper_need() < 0) {
        return -1;
    }
    /* So that it is there when it is needed, in the midst of an import, say. */
    (void)ext_error_type(visit->state, EXT_ERR_LIMIT_EXCEEDED);
    int64_t now = atoll_now();
    int64_t due = ATOLL_FOREVER;
    guard->generation = visit->generation;
    if (most[EXT_LIMIT_WALL] >= 0) {
        guard->wall_end = atomic_load(&guard->limits->shared)
                              ? atomic_load(&guard->limits->wall_end)
                          : most[EXT_LIMIT_WALL] < ATOLL_FOREVER - now
                              ? now + most[EXT_LIMIT_WALL]
                              : ATOLL_FOREVER;
        due = guard->wall_end;
    }
    ext_limit_id passed = find_passed(guard, now, interp->handle);
    if (passed != EXT_LIMIT_COUNT) {
        return raise_now(guard, visit, passed);
    }
    if (most[EXT_LIMIT_CPU] >= 0) {
        guard->threads = sum_threads(interp);
        atomic_store(&interp->threads_cpu, guard->threads);
        int64_t rest = most[EXT_LIMIT_CPU];
        if (atomic_load(&guard->limits->shared)) {
            rest -= atomic_load(&guard->limits->spent);
        }
        rest = rest < LEAST ? LEAST : rest;
        if (rest < due - now) {
            due = now + rest;
        }
    }
    guard->first_thread = find_next_number(interp);
    visit->guard = guard;
    enlist(guard, due);
    if (most[EXT_LIMIT_MEMORY] >= 0) {
        ext_memory_set_limit(interp->handle, most[EXT_LIMIT_MEMORY]);
    }
    return 0;
}

void
ext_guard_failed(ext_guard *guard, ext_visit *visit)
{
    if (guard->limits->most[EXT_LIMIT_MEMORY] < 0
        || !PyErr_ExceptionMatches(PyExc_MemoryError)
        || !ext_memory_is_over(visit->interp->handle)) {
        return;
    }
    PyObject *error = PyErr_GetRaisedException();
    ext_memory_set_limit(visit->interp->handle, INT64_MAX); /* room for it */
    if (raise_now(guard, visit, EXT_LIMIT_MEMORY) < 0) {
        PyObject *better = PyErr_GetRaisedException();
        if (better != error && PyExceptionInstance_Check(better)) {
            PyException_SetContext(better, error);
            error = NULL;
        }
        PyErr_SetRaisedException(better);
        Py_XDECREF(error);
    }
    else {
        PyErr_SetRaisedException(error);
    }
}

void
ext_guard_end(ext_guard *guard, ext_visit *visit)
{
    if (!guard->listed) {
        return;
    }
    if (guard->limits->most[EXT_LIMIT_MEMORY] >= 0) {
        ext_memory_set_limit(visit->interp->handle, INT64_MAX);
    }
    (void)pthread_mutex_lock(&limits.lock);
    guard->listed = false;
    if (guard->prev != NULL) {
        guard->prev->next = guard->next;
    }
    else {
        limits.head = guard->next;
    }
    if (guard->next != NULL) {
        guard->next->prev = guard->prev;
    }
    if (limits.head == NULL) {
        atomic_store(&ext_helper_riders[EXT_RIDER_LIMITS].wanted, false);
    }
    (void)pthread_mutex_unlock(&limits.lock);
    if (atomic_load(&guard->limits->shared)
        && guard->limits->most[EXT_LIMIT_CPU] >= 0) {
        int64_t cpu = atoll_thread_cpu(0) - visit->span.cpu;
        int64_t threads = sum_threads(visit->interp) - guard->threads;
        cpu += threads > 0 ? threads : 0;
        atomic_fetch_add(&guard->limits->spent, cpu > 0 ? cpu : 0);
    }
}

/* --- the type --------------------------------------------------------------------- */

typedef struct LimitsObject {
    PyObject_HEAD
    ext_limits limits;
} LimitsObject;

typedef struct limits_part {
    PyTypeObject *type;
} limits_part;

ext_limits *
ext_limits_of(ext_state *st, PyObject *op)
{
    limits_part *part = st->parts[EXT_PART_LIMITS];
    return part != NULL && Py_TYPE(op) == part->type
               ? &((LimitsObject *)op)->limits
               : NULL;
}

/* _Limits(cpu, wall, memory, errors): ns, ns, bytes, or -1; a LimitExceeded
 * for each. */
static PyObject *
Limits_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    long long most[EXT_LIMIT_COUNT];
    PyObject *errors[EXT_LIMIT_COUNT];
    ext_state *st = ext_state_of_class(type);
    if (kwargs != NULL
        || !PyArg_ParseTuple(args, "LLL(OOO):_Limits", &most[0], &most[1],
                             &most[2], &errors[0], &errors[1], &errors[2])) {
        return NULL;
    }
    if (most[EXT_LIMIT_MEMORY] >= 0 && !ext_memory_is_tracked()) {
        return ext_error_format(
            st, EXT_ERR_INTERPRETER,
            "memory is not counted: call atoll.track_memory() before the "
            "first interpreter is made");
    }
    LimitsObject *self = (LimitsObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    for (int i = 0; i < EXT_LIMIT_COUNT; i++) {
        self->limits.most[i] = most[i];
        atoll_frame *frame = atoll_frame_new();
        if (frame == NULL) {
            Py_DECREF(self);
            return PyErr_NoMemory();
        }
        self->limits.errors[i] = frame;
        frame->sender = st->self->id;
        if (ext_encode(st, errors[i], "limit", 0, NULL, frame) < 0) {
            Py_DECREF(self);
            return NULL;
        }
    }
    return (PyObject *)self;
}

static void
Limits_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    for (int i = 0; i < EXT_LIMIT_COUNT; i++) {
        atoll_frame *frame = ((LimitsObject *)op)->limits.errors[i];
        if (frame != NULL) {
            atoll_frame_release(frame);
        }
    }
    type->tp_free(op);
    Py_DECREF(type);
}

/* One budget for all calls from now on; or for each one, again. */
static PyObject *
Limits_share(PyObject *op, PyTypeObject *Py_UNUSED(cls), PyObject *const *args,
             Py_ssize_t nargs, PyObject *Py_UNUSED(kwnames))
{
    ext_limits *what = &((LimitsObject *)op)->limits;
    int on = nargs == 1 ? PyObject_IsTrue(args[0]) : 0;
    if (on < 0) {
        return NULL;
    }
    int64_t now = atoll_now();
    int64_t wall = what->most[EXT_LIMIT_WALL];
    atomic_store(&what->spent, 0);
    atomic_store(&what->wall_end, wall >= 0 && wall < ATOLL_FOREVER - now
                                      ? now + wall
                                      : ATOLL_FOREVER);
    atomic_store(&what->shared, on != 0);
    Py_RETURN_NONE;
}

static PyMethodDef Limits_methods[] = {
    {"share", (PyCFunction)(void (*)(void))Limits_share,
     METH_METHOD | METH_FASTCALL | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot Limits_slots[] = {
    {Py_tp_doc, "What calls may use: see Interpreter.limits."},
    {Py_tp_new, Limits_new},
    {Py_tp_dealloc, Limits_dealloc},
    {Py_tp_methods, Limits_methods},
    {0, NULL},
};

static PyType_Spec Limits_spec = {
    .name = "atoll._core._Limits",
    .basicsize = sizeof(LimitsObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Limits_slots,
};

static PyObject *
core_track_memory(PyObject *module, PyObject *Py_UNUSED(args))
{
    if (ext_memory_track(ext_state_of_module(module)) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef limits_functions[] = {
    {"_track_memory", core_track_memory, METH_NOARGS,
     PyDoc_STR("_track_memory()\n--\n\nSee atoll.track_memory.")},
    {NULL, NULL, 0, NULL},
};

static int
limits_exec(PyObject *module, ext_state *st)
{
    limits_part *part = PyMem_Calloc(1, sizeof(*part));
    if (part == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    st->parts[EXT_PART_LIMITS] = part;
    part->type
        = (PyTypeObject *)PyType_FromModuleAndSpec(module, &Limits_spec, NULL);
    if (part->type == NULL || PyModule_AddType(module, part->type) < 0) {
        return -1;
    }
    ext_rider *rider = &ext_helper_riders[EXT_RIDER_LIMITS];
    rider->after_fork = after_fork;
    atomic_store(&rider->look, look);
    ext_memory_on_over = on_over;
    return PyModule_AddFunctions(module, limits_functions);
}

static int
limits_traverse(ext_state *st, visitproc visit, void *arg)
{
    limits_part *part = st->parts[EXT_PART_LIMITS];
    if (part != NULL) {
        Py_VISIT(part->type);
    }
    return 0;
}

static void
limits_clear(ext_state *st)
{
    limits_part *part = st->parts[EXT_PART_LIMITS];
    if (part != NULL) {
        Py_CLEAR(part->type);
    }
}

static void
limits_free(ext_state *st)
{
    PyMem_Free(st->parts[EXT_PART_LIMITS]);
    st->parts[EXT_PART_LIMITS] = NULL;
}

const ext_part ext_limits_part = {
    .id = EXT_PART_LIMITS,
    .exec = limits_exec,
    .traverse = limits_traverse,
    .clear = limits_clear,
    .free = limits_free,
};
