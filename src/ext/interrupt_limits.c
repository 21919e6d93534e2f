/* Limits: interp.limits(cpu_seconds=, wall_seconds=, memory_bytes=).
 *
 * Limits are set on an interpreter's record; each call that begins there takes
 * them along, in a guard in its caller's C frame.  Going over one is an
 * interruption like others (interrupt.c) that raises LimitExceeded.  The
 * exceptions are made beforehand, as frames, by whoever sets the limits: the
 * helper thread, which finds out, knows no Python.
 *
 * CPU time.  The helper reads the CPU clock of the thread that runs the call;
 * since it cannot use the rest of its budget faster than time passes, it is
 * looked at again after as long as the rest, but not before LEAST nor after
 * MOST.  Threads that live in the interpreter count as well: a pending call,
 * which has the GIL that keeps their list still, reads their clocks.  What one
 * has used stays on the call's account when it ends, up to when it was last
 * looked at; so it is looked at often while there are any.  The pending call
 * also raises LimitExceeded in the threads that a call has started when it
 * goes over: else one that waits for them would go on.
 *
 * Memory.  memory.c counts, and rings when a limit is passed.  A request that
 * would go beyond the reserve fails at once: MemoryError, which the end of the
 * call turns into LimitExceeded.
 *
 * The main interpreter has no limits (its threads may come and go without its
 * GIL), so where this file walks through threads their list stands still.
 *
 * Locks: limits.lock guards the list of guards; then the helper's, then a
 * record's.  The GIL of a record's interpreter guards record.guard.
 */
#include "interrupt_limits.h"

#include "errors.h"
#include "interrupt_impl.h"
#include "memory.h"
#include "module.h"

#include <string.h>

/* CPU time is looked at no more often than this, */
#define LEAST (10 * EXT_MS)
/* and at least so often if there are no threads in sight. */
#define MOST (100 * EXT_MS)
/* Until threads of a call that goes on all the same are told again. */
#define AGAIN (1000 * EXT_MS)
/* For a thread that is about to be stopped to begin. */
#define PATIENCE (5000 * EXT_MS)

static struct {
    pthread_mutex_t lock;
    ext_guard *head;
    _Atomic int64_t planned; /* when the helper will look, at the latest */
    atomic_bool over;        /* some memory limit was passed */
} limits = {.lock = PTHREAD_MUTEX_INITIALIZER, .planned = ATOLL_FOREVER};

/* --- whose limits ---------------------------------------------------------------- */

void
ext_limits_release(ext_limits *what)
{
    if (what == NULL || !atoll_ref_release(&what->count)) {
        return;
    }
    for (int i = 0; i < EXT_LIMIT_COUNT; i++) {
        if (what->errors[i] != NULL) {
            atoll_frame_release(what->errors[i]);
        }
    }
    atoll_free(what);
}

static void
release_any(void *what)
{
    ext_limits_release(what);
}

ext_limits *
ext_limits_swap(atoll_interp *interp, ext_limits *what,
                const ext_limits *const *instead_of)
{
    if (what != NULL) {
        atoll_ref_acquire(&what->count);
    }
    atoll_mutex_lock(&interp->lock);
    ext_limits *before = atomic_load(&interp->limits);
    if (instead_of == NULL || *instead_of == before) {
        interp->free_limits = release_any;
        atomic_store(&interp->limits, what);
        what = NULL;
    }
    else {
        before = NULL;
    }
    atoll_mutex_unlock(&interp->lock);
    ext_limits_release(what);
    return before;
}

void
ext_limits_share(ext_limits *what, bool on)
{
    int64_t now = atoll_now();
    int64_t wall = what->most[EXT_LIMIT_WALL];
    atomic_store(&what->spent, 0);
    atomic_store(&what->wall_end, wall >= 0 && wall < ATOLL_FOREVER - now
                                      ? now + wall
                                      : ATOLL_FOREVER);
    atomic_store(&what->shared, on);
}

/* What a call into interp is limited by; NULL: nothing.  New reference. */
static ext_limits *
find_limits(atoll_interp *interp, ext_limits *given)
{
    if (given != NULL) {
        atoll_ref_acquire(&given->count);
        return given;
    }
    atoll_mutex_lock(&interp->lock);
    ext_limits *what = atomic_load(&interp->limits);
    if (what != NULL) {
        atoll_ref_acquire(&what->count);
    }
    atoll_mutex_unlock(&interp->lock);
    return what;
}

ext_call *
ext_guard_open_slowly(ext_guard *guard, atoll_interp *interp,
                      ext_limits *given, ext_call *call)
{
    memset(guard, 0, sizeof(*guard));
    guard->limits = find_limits(interp, given);
    if (guard->limits == NULL) {
        return call;
    }
    if (call == NULL) {
        call = &guard->own;
        ext_call_init(call, interp);
    }
    guard->call = call;
    call->guard = guard;
    return call;
}

void
ext_guard_close_slowly(ext_guard *guard)
{
    guard->call->guard = NULL;
    if (guard->call == &guard->own) {
        ext_call_fini(&guard->own);
    }
    ext_limits_release(guard->limits);
    atoll_free(guard->seen);
}

/* What calls that are over have used of a budget that is shared. */
static int64_t
get_spent(const ext_limits *what)
{
    return atomic_load(&what->shared) ? atomic_load(&what->spent) : 0;
}

/* --- CPU time ------------------------------------------------------------------- */

/* Those that are the interpreter's own.  Attached: to interp. */
static bool
lives_here(atoll_interp *interp, PyThreadState *t)
{
    return !ext_attach_is_kept(interp, t);
}

static int64_t
read_thread(PyThreadState *t)
{
    if (t->native_thread_id == 0) {
        return 0; /* it has not begun */
    }
    int64_t cpu = atoll_thread_cpu((long)t->native_thread_id);
    cpu -= ext_attach_cpu_away(t->thread_id, cpu);
    return cpu > 0 ? cpu : 0;
}

/* Puts what the interpreter's threads have used since the last time on the
 * call's account; the first time, notes what they had used before.  They are
 * listed newest first, so the new list and the old one have one order.
 * Attached: to interp. */
static void
measure_threads(ext_guard *guard, atoll_interp *interp)
{
    size_t count = 0;
    for (PyThreadState *t = PyInterpreterState_ThreadHead(interp->handle);
         t != NULL; t = PyThreadState_Next(t)) {
        count += lives_here(interp, t);
    }
    ext_guard_thread *now = NULL;
    if (count > 0) {
        now = atoll_malloc(count * sizeof(*now));
        if (now == NULL) {
            return; /* it is tried again */
        }
    }
    int64_t used = atomic_load(&guard->threads_cpu);
    size_t old = 0;
    size_t n = 0;
    for (PyThreadState *t = PyInterpreterState_ThreadHead(interp->handle);
         t != NULL && n < count; t = PyThreadState_Next(t)) {
        if (!lives_here(interp, t)) {
            continue;
        }
        ext_guard_thread here = {PyThreadState_GetID(t), read_thread(t)};
        while (old < guard->seen_count
               && guard->seen[old].number > here.number) {
            old++; /* it has ended */
        }
        int64_t before = 0;
        if (old < guard->seen_count
            && guard->seen[old].number == here.number) {
            before = guard->seen[old].cpu;
        }
        else if (here.number < guard->first_thread) {
            before = here.cpu;
        }
        used += here.cpu > before ? here.cpu - before : 0;
        now[n++] = here;
    }
    atoll_free(guard->seen);
    guard->seen = now;
    guard->seen_count = n;
    atomic_store(&guard->threads_cpu, used);
    atomic_store(&guard->has_threads, n > 0);
}

/* Has interp's threads measured, or stopped, some time soon. */
static void
ask_to_measure(atoll_interp *interp)
{
    if (atomic_exchange(&interp->measuring, true)) {
        return;
    }
    atoll_mutex_lock(&interp->lock);
    bool alive = interp->life < ATOLL_LIFE_ENDING;
    if (alive) {
        ext_helper_post(interp, EXT_POST_MEASURE);
    }
    atoll_mutex_unlock(&interp->lock);
    if (!alive) {
        atomic_store(&interp->measuring, false);
    }
}

/* Not one that imports or that has not begun.  Attached: to interp. */
static ext_begun
stop_thread(atoll_interp *interp, PyThreadState *t)
{
    if (t != PyThreadState_Get() && ext_interrupt_imports(t)) {
        return EXT_BEGUN_NOT;
    }
    ext_begun begun = ext_interrupt_begun(t);
    if (begun == EXT_BEGUN) {
        (void)PyThreadState_SetAsyncExc(
            t->thread_id, ext_error_type(interp->ext, EXT_ERR_LIMIT_EXCEEDED));
        ext_attach_interrupt_thread(t->thread_id);
    }
    return begun;
}

/* Threads that a call has started would keep it if it waits for them in C.
 * Attached: to interp. */
static void
stop_threads(atoll_interp *interp, uint64_t first)
{
    interp->to_stop_count = 0;
    interp->to_stop_since = atoll_now();
    for (PyThreadState *t = PyInterpreterState_ThreadHead(interp->handle);
         t != NULL; t = PyThreadState_Next(t)) {
        uint64_t number = PyThreadState_GetID(t);
        if (number >= first && lives_here(interp, t)
            && stop_thread(interp, t) != EXT_BEGUN
            && interp->to_stop_count < ATOLL_TO_STOP) {
            interp->to_stop[interp->to_stop_count++] = number;
        }
    }
}

/* The same for those that it had to leave, even if the call has ended.
 * Attached: to interp. */
static void
stop_rest(atoll_interp *interp)
{
    int64_t waited = atoll_now() - interp->to_stop_since;
    size_t count = interp->to_stop_count;
    size_t left = 0;
    uint64_t numbers[ATOLL_TO_STOP];
    memcpy(numbers, interp->to_stop, sizeof(numbers));
    for (PyThreadState *t = PyInterpreterState_ThreadHead(interp->handle);
         t != NULL; t = PyThreadState_Next(t)) {
        uint64_t number = PyThreadState_GetID(t);
        for (size_t i = 0; i < count; i++) {
            if (numbers[i] == number && lives_here(interp, t)) {
                ext_begun begun = stop_thread(interp, t);
                if (begun != EXT_BEGUN
                    && waited < (begun == EXT_BEGUN_NOT ? PATIENCE : MOST)) {
                    interp->to_stop[left++] = number;
                }
            }
        }
    }
    interp->to_stop_count = left;
}

/* The pending call.  Attached: to interp, on any of its threads. */
static int
measure(void *arg)
{
    atoll_interp *interp = arg;
    ext_guard *guard = interp->guard;
    atomic_store(&interp->measuring, false);
    if (guard != NULL && atomic_exchange(&guard->stop, false)) {
        stop_threads(interp, guard->first_thread);
    }
    else if (interp->to_stop_count > 0) {
        stop_rest(interp);
    }
    if (guard != NULL && guard->limits->most[EXT_LIMIT_CPU] >= 0) {
        measure_threads(guard, interp);
    }
    if (interp->to_stop_count > 0) {
        ask_to_measure(interp); /* by the helper: code goes on meanwhile */
    }
    atoll_interp_release(interp);
    return 0;
}

/* See interrupt_impl.h. */
void
ext_limits_post(atoll_interp *interp)
{
    atoll_interp_acquire(interp);
    if (ext_helper_add_pending(interp->handle, measure, interp) != 0) {
        atomic_store(&interp->measuring, false);
        atoll_interp_release(interp);
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
    return cpu < 0 ? -1
                   : cpu + atomic_load(&guard->threads_cpu)
                         + get_spent(guard->limits);
}

/* --- looking ---------------------------------------------------------------------- */

/* Locks: limits.lock; takes the helper's. */
static void
fire(ext_guard *guard, ext_limit_id which)
{
    const ext_request what = {guard->limits->errors[which], false};
    guard->fired[which] = true;
    ext_helper_lock();
    guard->over
        |= ext_interrupt_locked(guard->call->interp, guard->generation, &what);
    ext_helper_unlock();
}

static void
be_due(ext_guard *guard, int64_t now, int64_t pause)
{
    int64_t at = pause < ATOLL_FOREVER - now ? now + pause : ATOLL_FOREVER;
    guard->due = at < guard->due ? at : guard->due;
}

/* Locks: limits.lock. */
static void
look_at_cpu(ext_guard *guard, int64_t now)
{
    int64_t most = guard->limits->most[EXT_LIMIT_CPU];
    int64_t cpu = read_cpu(guard);
    if (cpu < 0) {
        return; /* it is over */
    }
    int64_t rest = most - cpu;
    if (rest <= 0) {
        fire(guard, EXT_LIMIT_CPU);
        return;
    }
    int64_t at_most = atomic_load(&guard->has_threads) ? LEAST : MOST;
    rest = rest > at_most ? at_most : rest;
    be_due(guard, now, rest < LEAST ? LEAST : rest);
    ask_to_measure(guard->call->interp);
}

/* Locks: limits.lock; the guard's call has not ended. */
static void
look_at(ext_guard *guard, int64_t now, bool memory)
{
    const int64_t *most = guard->limits->most;
    guard->due = ATOLL_FOREVER;
    if (most[EXT_LIMIT_CPU] >= 0 && !guard->fired[EXT_LIMIT_CPU]) {
        look_at_cpu(guard, now);
    }
    if (most[EXT_LIMIT_WALL] >= 0 && !guard->fired[EXT_LIMIT_WALL]) {
        if (guard->wall_end <= now) {
            fire(guard, EXT_LIMIT_WALL);
        }
        else {
            be_due(guard, now, guard->wall_end - now);
        }
    }
    if (memory && most[EXT_LIMIT_MEMORY] >= 0
        && !guard->fired[EXT_LIMIT_MEMORY]
        && ext_memory_is_over(guard->call->interp->handle)) {
        fire(guard, EXT_LIMIT_MEMORY);
    }
    if (guard->over) {
        atomic_store(&guard->stop, true);
        ask_to_measure(guard->call->interp);
        be_due(guard, now, AGAIN);
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
        if (over || g->due <= now) {
            look_at(g, now, over);
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
    /* All but those of the thread that forked are gone; none is linked. */
    while (limits.head != NULL) {
        ext_guard *guard = limits.head;
        limits.head = guard->next;
        guard->listed = false;
        guard->next = guard->prev = NULL;
    }
    atomic_store(&limits.planned, ATOLL_FOREVER);
    atomic_store(&limits.over, false);
    atomic_store(&ext_helper_riders[EXT_RIDER_LIMITS].wanted, false);
}

/* --- a call under limits --------------------------------------------------------- */

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
    if (most[EXT_LIMIT_CPU] >= 0 && get_spent(what) >= most[EXT_LIMIT_CPU]) {
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
    guard->first_thread = find_next_number(interp);
    if (most[EXT_LIMIT_CPU] >= 0) {
        measure_threads(guard, interp);
        int64_t rest = most[EXT_LIMIT_CPU] - get_spent(guard->limits);
        rest = rest > MOST ? MOST : rest < LEAST ? LEAST : rest;
        due = rest < due - now ? now + rest : due;
    }
    visit->guard = guard;
    interp->guard = guard;
    enlist(guard, due);
    if (most[EXT_LIMIT_MEMORY] >= 0) {
        ext_memory_set_limit(interp->handle, most[EXT_LIMIT_MEMORY]);
    }
    return 0;
}

void
ext_guard_failed(ext_guard *guard, ext_visit *visit)
{
    if (guard->limits->most[EXT_LIMIT_MEMORY] < 0) {
        return;
    }
    /* It is over; there must be room to tell of it. */
    bool over = ext_memory_is_over(visit->interp->handle);
    (void)ext_memory_lift_limit(visit->interp->handle);
    if (!over || !PyErr_ExceptionMatches(PyExc_MemoryError)) {
        return;
    }
    PyObject *error = PyErr_GetRaisedException();
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
        ext_memory_set_limit(visit->interp->handle, EXT_MEMORY_UNLIMITED);
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
    visit->interp->guard = NULL;
    if (atomic_load(&guard->stop)) {
        stop_threads(visit->interp, guard->first_thread);
    }
    if (atomic_load(&guard->limits->shared)
        && guard->limits->most[EXT_LIMIT_CPU] >= 0) {
        measure_threads(guard, visit->interp);
        int64_t cpu = atoll_thread_cpu(0) - visit->span.cpu;
        cpu += atomic_load(&guard->threads_cpu);
        atomic_fetch_add(&guard->limits->spent, cpu > 0 ? cpu : 0);
    }
}

void
ext_limits_open(void)
{
    ext_rider *rider = &ext_helper_riders[EXT_RIDER_LIMITS];
    rider->after_fork = after_fork;
    atomic_store(&rider->look, look);
    ext_memory_on_over = on_over;
}
