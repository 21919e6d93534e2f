/* Visits, and the thread states that are kept between them.
 *
 * Making a PyThreadState costs up to 200 us (CPython 3.14 on the main thread
 * measures the stack), swapping to one that exists costs 0.1 us: so each OS
 * thread keeps the states it has made, one per interpreter that it visited,
 * until the thread or the interpreter ends.
 *
 * A kept state is listed twice: in its interpreter's record, so that whoever
 * ends the interpreter can clear it, and in the table of its OS thread, where
 * a visit finds it without any lock.  Two references count it.
 * - The interpreter ends first: drop_kept clears and deletes the state and
 *   sets tstate to NULL; the thread's table drops the dead entry later.
 * - The OS thread ends first: its states become orphans (clearing needs the
 *   interpreter's GIL, for which a dying thread must not wait); the next
 *   visitor clears them.
 * The state that came with an interpreter is never cleared before its end:
 * 3.12.1 aborts when the only state is deleted and another one made
 * ("thread state already initialized").  Python never runs on a state that
 * another OS thread made: 3.14 keeps the stack's bounds in it.
 *
 * Locks: the record's, for its list; the thread's table needs none.
 */
#include "attach.h"

#include "../core/stack.h"
#include "chores.h"
#include "errors.h"
#include "module.h"

#include <pthread.h>
#include <string.h>

/* More visits than this inside each other is a recursion without end. */
#define MAX_DEPTH 100
/* A visit is refused with less stack than this left. */
#define MIN_STACK (192u << 10)

typedef struct thread_table {
    ext_visit *top;
    atoll_kept **kept;
    uint32_t used;
    uint32_t cap;
    uint32_t depth;
    uintptr_t stack_low;
    bool is_main; /* the process's main OS thread */
    unsigned long ident;
    struct thread_table *next; /* all tables [tables_lock] */
    atoll_cpu_clock clock;
    atoll_parker parker;
} thread_table;

/* One pointer: small enough for the room that the loader keeps for objects
 * loaded late, so a read is one instruction and no call. */
static _Thread_local thread_table *this_thread
#if defined(__linux__)
    __attribute__((tls_model("initial-exec")))
#endif
    ;
static pthread_mutex_t tables_lock = PTHREAD_MUTEX_INITIALIZER;
static thread_table *tables;
static pthread_key_t thread_key;
static pthread_once_t thread_key_once = PTHREAD_ONCE_INIT;
static int thread_key_error;

ext_attach_setup_fn ext_attach_setup;
int (*ext_attach_on_main_visit)(void);
void (*ext_attach_on_main_resume)(void);
void (*ext_attach_on_main_wait)(atoll_parker *parker);
void (*ext_attach_on_call)(ext_visit *visit);
void (*ext_attach_on_return)(ext_visit *visit);
void (*ext_attach_on_end)(ext_visit *visit);
_Atomic int64_t ext_attach_main_inside = -1;
_Atomic(atoll_parker *) ext_attach_main_parker;

static void
release_kept(atoll_kept *kept)
{
    if (atoll_ref_release(&kept->count)) {
        atoll_interp_release(kept->interp);
        atoll_free(kept);
    }
}

/* At the end of an OS thread.  Attached: to nothing. */
static void
end_thread(void *arg)
{
    thread_table *table = arg;
    for (uint32_t i = 0; i < table->used; i++) {
        atoll_kept *kept = table->kept[i];
        atoll_interp *interp = kept->interp;
        atoll_mutex_lock(&interp->lock);
        if (kept->tstate != NULL) {
            kept->orphan = true;
            if (!kept->initial) {
                interp->orphans++;
                atomic_store(&interp->has_chores, 1);
            }
        }
        atoll_mutex_unlock(&interp->lock);
        release_kept(kept);
    }
    if (table->is_main) {
        atomic_store(&ext_attach_main_parker, NULL);
    }
    (void)pthread_mutex_lock(&tables_lock);
    thread_table **place = &tables;
    while (*place != NULL && *place != table) {
        place = &(*place)->next;
    }
    if (*place != NULL) {
        *place = table->next;
    }
    (void)pthread_mutex_unlock(&tables_lock);
    atoll_parker_fini(&table->parker);
    atoll_free(table->kept);
    atoll_free(table);
    this_thread = NULL;
}

static void
make_thread_key(void)
{
    thread_key_error = pthread_key_create(&thread_key, end_thread);
}

/* NULL: out of memory, no exception set. */
static thread_table *
get_table(void)
{
    thread_table *table = this_thread;
    if (ATOLL_LIKELY(table != NULL)) {
        return table;
    }
    (void)pthread_once(&thread_key_once, make_thread_key);
    if (thread_key_error != 0) {
        return NULL;
    }
    table = atoll_calloc(1, sizeof(*table));
    if (table == NULL) {
        return NULL;
    }
    if (atoll_parker_init(&table->parker) != ATOLL_OK
        || pthread_setspecific(thread_key, table) != 0) {
        atoll_free(table);
        return NULL;
    }
    atoll_cpu_clock_init(&table->clock);
    table->stack_low = atoll_stack_low();
    table->is_main = atoll_thread_is_main();
    if (table->is_main) {
        atomic_store(&ext_attach_main_parker, &table->parker);
    }
    table->ident = atoll_thread_ident();
    (void)pthread_mutex_lock(&tables_lock);
    table->next = tables;
    tables = table;
    (void)pthread_mutex_unlock(&tables_lock);
    this_thread = table;
    return table;
}

bool
ext_attach_is_main(void)
{
    return this_thread != NULL ? this_thread->is_main : atoll_thread_is_main();
}

void
ext_attach_interrupt_thread(unsigned long ident)
{
    (void)pthread_mutex_lock(&tables_lock);
    for (thread_table *t = tables; t != NULL; t = t->next) {
        if (t->ident == ident) {
            atoll_parker_interrupt(&t->parker);
        }
    }
    (void)pthread_mutex_unlock(&tables_lock);
}

int64_t
ext_attach_cpu_away(unsigned long ident, int64_t now)
{
    int64_t away = 0;
    (void)pthread_mutex_lock(&tables_lock);
    for (thread_table *t = tables; t != NULL; t = t->next) {
        if (t->ident == ident) {
            away = atoll_cpu_clock_away(&t->clock, now);
        }
    }
    (void)pthread_mutex_unlock(&tables_lock);
    return away;
}

atoll_parker *
ext_attach_parker(void)
{
    thread_table *table = get_table();
    if (table == NULL) {
        return NULL;
    }
    if (table->is_main && table->top == NULL
        && ext_attach_on_main_wait != NULL) {
        ext_attach_on_main_wait(&table->parker);
    }
    return &table->parker;
}

ext_visit *
ext_attach_innermost(void)
{
    return this_thread == NULL ? NULL : this_thread->top;
}

ext_visit *
ext_attach_top(void)
{
    ext_visit *visit = ext_attach_innermost();
    return visit != NULL && visit->inner == PyThreadState_Get() ? visit : NULL;
}

void
ext_attach_after_fork(void)
{
    thread_table *table = this_thread;
    (void)pthread_mutex_init(&tables_lock, NULL);
    tables = table;
    if (table == NULL) {
        return;
    }
    table->next = NULL;
    table->is_main = true;
    atomic_store(&ext_attach_main_parker, &table->parker);
    /* The interpreters are gone without a trace; so are the entries, whose
     * counts other threads might have been about to change. */
    table->used = 0;
    atoll_cpu_clock_init(&table->clock);
    table->top = NULL;
    table->depth = 0;
}

/* Drops dead entries, then makes room for one more. */
static bool
reserve_entry(thread_table *table)
{
    uint32_t live = 0;
    for (uint32_t i = 0; i < table->used; i++) {
        atoll_kept *kept = table->kept[i];
        atoll_mutex_lock(&kept->interp->lock);
        bool dead = kept->tstate == NULL;
        atoll_mutex_unlock(&kept->interp->lock);
        if (dead) {
            release_kept(kept);
        }
        else {
            table->kept[live++] = kept;
        }
    }
    table->used = live;
    if (live == table->cap) {
        uint32_t cap = table->cap ? table->cap * 2 : 8;
        atoll_kept **grown = atoll_realloc(table->kept, cap * sizeof(*grown));
        if (grown == NULL) {
            return false;
        }
        table->kept = grown;
        table->cap = cap;
    }
    return true;
}

/* The entry is dead: its interpreter was ended on this thread. */
static void
drop_entry(thread_table *table, atoll_kept *kept)
{
    for (uint32_t i = 0; i < table->used; i++) {
        if (table->kept[i] == kept) {
            table->kept[i] = table->kept[--table->used];
            release_kept(kept);
            return;
        }
    }
}

/* Lists tstate as this thread's state in interp.  NULL: out of memory. */
static atoll_kept *
add_kept(thread_table *table, atoll_interp *interp, PyThreadState *tstate,
         bool initial)
{
    if (!reserve_entry(table)) {
        return NULL;
    }
    atoll_kept *kept = atoll_calloc(1, sizeof(*kept));
    if (kept == NULL) {
        return NULL;
    }
    atoll_ref_init(&kept->count);
    atoll_ref_acquire(&kept->count);
    atoll_interp_acquire(interp);
    kept->interp = interp;
    kept->tstate = tstate;
    kept->thread = atoll_thread_ident();
    kept->initial = initial;
    atoll_mutex_lock(&interp->lock);
    kept->next = interp->kept;
    interp->kept = kept;
    atoll_mutex_unlock(&interp->lock);
    table->kept[table->used++] = kept;
    return kept;
}

int
ext_attach_keep_initial(atoll_interp *interp, PyThreadState *tstate)
{
    thread_table *table = get_table();
    return table != NULL && add_kept(table, interp, tstate, true) ? 0 : -1;
}

/* Takes the dead out of the record's list, into *out_dead, marking them.
 * Locks: interp's. */
static void
unlink_kept(atoll_interp *interp, bool orphans_only, bool initial_too,
            PyThreadState *but, atoll_kept **out_dead)
{
    atoll_kept **place = &interp->kept;
    while (*place != NULL) {
        atoll_kept *kept = *place;
        bool take = orphans_only ? kept->orphan && !kept->initial
                                 : initial_too || !kept->initial;
        if (!take || kept->tstate == but) {
            place = &kept->next;
            continue;
        }
        *place = kept->next;
        kept->next = *out_dead;
        *out_dead = kept;
    }
    interp->orphans = 0;
}

/* Attached: to their interpreter, on another state. */
static void
delete_kept(atoll_kept *dead)
{
    while (dead != NULL) {
        atoll_kept *next = dead->next;
        PyThreadState *tstate = dead->tstate;
        PyThreadState_Clear(tstate);
        PyThreadState_Delete(tstate);
        atoll_mutex_lock(&dead->interp->lock);
        dead->tstate = NULL;
        atoll_mutex_unlock(&dead->interp->lock);
        release_kept(dead);
        dead = next;
    }
}

void
ext_attach_drop_kept(atoll_interp *interp, bool all)
{
    PyThreadState *own = PyThreadState_Get();
    atoll_kept *dead = NULL;
    atoll_mutex_lock(&interp->lock);
    unlink_kept(interp, false, all, own, &dead);
    atoll_mutex_unlock(&interp->lock);
    delete_kept(dead);
}

bool
ext_attach_is_kept(atoll_interp *interp, PyThreadState *tstate)
{
    bool found = false;
    atoll_mutex_lock(&interp->lock);
    for (atoll_kept *k = interp->kept; k != NULL && !found; k = k->next) {
        found = k->tstate == tstate;
    }
    atoll_mutex_unlock(&interp->lock);
    return found;
}

void
ext_attach_forget_kept(atoll_interp *interp)
{
    atoll_mutex_lock(&interp->lock);
    atoll_kept *list = interp->kept;
    interp->kept = NULL;
    interp->orphans = 0;
    for (atoll_kept *kept = list; kept != NULL; kept = kept->next) {
        kept->tstate = NULL;
    }
    atoll_mutex_unlock(&interp->lock);
    while (list != NULL) {
        atoll_kept *next = list->next;
        release_kept(list);
        list = next;
    }
}

/* Attached: to interp.  Orphans first, then the chores; both may run Python
 * code, whose errors nobody can receive. */
static void
do_chores(atoll_interp *interp)
{
    atoll_kept *dead = NULL;
    if (ATOLL_LIKELY(!atomic_load_explicit(&interp->has_chores,
                                           memory_order_relaxed))) {
        return;
    }
    atoll_mutex_lock(&interp->lock);
    unlink_kept(interp, true, false, NULL, &dead);
    atoll_mutex_unlock(&interp->lock);
    delete_kept(dead);
    ext_chores_run(interp);
}

/* The state by which this thread is in interp already, further out.  It may
 * be entered again: its thread is not using it just now. */
static PyThreadState *
find_outer(thread_table *table, PyThreadState *current, atoll_interp *interp)
{
    if (PyThreadState_GetInterpreter(current) == interp->handle) {
        return current;
    }
    for (ext_visit *v = table->top; v != NULL; v = v->below) {
        if (v->interp == interp) {
            return v->inner;
        }
        if (PyThreadState_GetInterpreter(v->outer) == interp->handle) {
            return v->outer;
        }
    }
    return NULL;
}

static atoll_kept *
find_kept(thread_table *table, atoll_interp *interp)
{
    for (uint32_t i = 0; i < table->used; i++) {
        atoll_kept *kept = table->kept[i];
        if (kept->interp == interp) {
            if (i > 0) {
                /* Most recently used first. */
                table->kept[i] = table->kept[i - 1];
                table->kept[i - 1] = kept;
            }
            return kept;
        }
    }
    return NULL;
}

/* Attached: to another interpreter than its own, which a visit keeps. */
static void
discard_state(PyThreadState *tstate)
{
    PyThreadState *back = PyThreadState_Swap(tstate);
    PyThreadState_Clear(tstate);
    (void)PyThreadState_Swap(back);
    PyThreadState_Delete(tstate);
}

/* Attached: to the outer interpreter.  The visit has begun: interp cannot
 * end.  Fails: -1 with an exception. */
static int
find_state(thread_table *table, ext_visit *visit)
{
    atoll_interp *interp = visit->interp;
    visit->kept = NULL;
    visit->inner = find_outer(table, visit->outer, interp);
    if (visit->inner != NULL) {
        return 0;
    }
    visit->kept = find_kept(table, interp);
    if (visit->kept == NULL) {
        PyThreadState *tstate = PyThreadState_New(interp->handle);
        if (tstate == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        visit->kept = add_kept(table, interp, tstate, false);
        if (visit->kept == NULL) {
            discard_state(tstate);
            PyErr_NoMemory();
            return -1;
        }
    }
    visit->inner = visit->kept->tstate;
    return 0;
}

static size_t
stack_left(const thread_table *table)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    if (table->stack_low == 0 || here <= table->stack_low) {
        return 8u << 20;
    }
    return here - table->stack_low;
}

/* Closing and printing go one deeper than calls may: what is at the limit can
 * still be cleaned up. */
static int
check_depth(thread_table *table, unsigned flags)
{
    if (table->depth >= MAX_DEPTH && (flags & EXT_VISIT_RUN)) {
        PyErr_Format(PyExc_RecursionError,
                     "more than %d interpreters called inside each other",
                     MAX_DEPTH);
        return -1;
    }
    if (stack_left(table)
        < (flags & EXT_VISIT_RUN ? MIN_STACK : MIN_STACK / 2)) {
        PyErr_SetString(PyExc_RecursionError,
                        "not enough stack left to enter an interpreter");
        return -1;
    }
    return 0;
}

/* Swaps in.  Attached: to the outer interpreter; to the inner afterwards. */
static void
push_visit(thread_table *table, ext_visit *visit)
{
    if (table->is_main) {
        atomic_store(&ext_attach_main_inside, visit->interp->id);
    }
    if (visit->inner != visit->outer) {
        (void)PyThreadState_Swap(visit->inner);
    }
    visit->below = table->top;
    table->top = visit;
    table->depth++;
}

static void
unlist_visit(thread_table *table, ext_visit *visit)
{
    table->top = visit->below;
    table->depth--;
    if (table->is_main) {
        atomic_store(&ext_attach_main_inside,
                     table->top == NULL ? -1 : table->top->interp->id);
    }
}

static void
pop_visit(thread_table *table, ext_visit *visit)
{
    unlist_visit(table, visit);
    if (visit->inner != visit->outer) {
        (void)PyThreadState_Swap(visit->outer);
    }
}

/* Attached: to the target.  Fails: -1, no exception left. */
static int
mark_running(ext_visit *visit)
{
    if (_PyInterpreterState_SetRunningMain == NULL) {
        return 0;
    }
    if (_PyInterpreterState_SetRunningMain(visit->interp->handle) < 0) {
        PyErr_Clear();
        return -1;
    }
    return 0;
}

/* An interpreter in which atoll could not be loaded does not tell of its end,
 * and 3.13 aborts where a state is left then: none is kept there.
 * Attached: to the outer interpreter; the visit is not over yet. */
static void
drop_untold(thread_table *table, ext_visit *visit)
{
    atoll_kept *kept = visit->kept;
    atoll_interp *interp = visit->interp;
    if (kept == NULL || kept->initial || interp->ext != NULL) {
        return;
    }
    atoll_mutex_lock(&interp->lock);
    atoll_kept **place = &interp->kept;
    while (*place != kept) {
        place = &(*place)->next;
    }
    *place = kept->next;
    atoll_mutex_unlock(&interp->lock);
    discard_state(kept->tstate);
    kept->tstate = NULL;
    drop_entry(table, kept);
    release_kept(kept); /* the record's */
}

static void
prepare_state(thread_table *table, ext_visit *visit)
{
    if (visit->kept != NULL
        && ATOLL_UNLIKELY(ext_compat_has_async_exc(visit->inner))) {
        /* Sent to this thread while it was elsewhere: nothing of ours. */
        Py_XDECREF(ext_compat_take_async_exc(visit->inner));
    }
    if (EXT_COMPAT_BUDGETS_STACK && visit->kept != NULL) {
        ext_compat_budget_stack(visit->inner, stack_left(table));
    }
}

bool
ext_attach_is_there(atoll_interp *interp)
{
    bool gone = atoll_interp_get_life(interp) == ATOLL_LIFE_GONE;
    if (gone || interp->ext != NULL || ext_compat_lookup(interp->id) != NULL) {
        return !gone;
    }
    PyErr_Clear();
    atoll_interp_set_life(interp, ATOLL_LIFE_GONE);
    return false;
}

/* Begins the visit in the record.  Fails: -1 with an exception. */
static int
begin_visit(ext_state *st, ext_visit *visit, unsigned flags)
{
    atoll_interp *interp = visit->interp;
    if (ATOLL_UNLIKELY(interp->ext == NULL) && !ext_attach_is_there(interp)) {
        ext_error_format(st, EXT_ERR_NOT_FOUND, "interpreter %lld is closed",
                         (long long)interp->id);
        return -1;
    }
    if (flags & EXT_VISIT_CLOSER) {
        atoll_mutex_lock(&interp->lock);
        interp->visits++;
        atoll_mutex_unlock(&interp->lock);
        return 0;
    }
    switch (atoll_interp_visit(interp, visit->run ? visit : NULL,
                               &visit->generation)) {
    case ATOLL_OK:
        return 0;
    case ATOLL_E_CLOSED:
        ext_error_format(st, EXT_ERR_NOT_FOUND, "interpreter %lld is closed",
                         (long long)interp->id);
        return -1;
    default:
        (void)ext_error_from_status(st, ATOLL_E_BUSY, "");
        return -1;
    }
}

/* Attached: to the target, freshly.  Fails: -1; *out_message, which the
 * caller frees, says why (NULL: it runs already, or memory is missing). */
static int
settle_in(ext_visit *visit, unsigned flags, char **out_message, bool *out_busy)
{
    atoll_interp *interp = visit->interp;
    if (visit->run) {
        if (mark_running(visit) < 0) {
            *out_busy = true;
            return -1;
        }
        visit->marked = true;
    }
    if (ATOLL_UNLIKELY(interp->ext == NULL || interp->setup != NULL)
        && ext_attach_setup(interp) < 0) {
        /* The exception cannot cross yet: its text does. */
        *out_message = ext_error_take_text();
        if (!(flags & EXT_VISIT_CLOSER)) {
            return -1; /* what cannot be set up can be closed, all the same */
        }
    }
    visit->state = interp->ext;
    do_chores(interp);
    return 0;
}

/* A signal that came before main_inside was set is seen to now, one that
 * comes later is sent after the thread.  Fails: -1 with an exception. */
static int
watch_signals(thread_table *table, ext_visit *visit)
{
    if (!table->is_main || table->top != NULL
        || ext_attach_on_main_visit == NULL) {
        return 0;
    }
    atomic_store(&ext_attach_main_inside, visit->interp->id);
    return ext_attach_on_main_visit();
}

/* Lets an interruption of the call from which this one is made find it; one
 * that came before is passed on. */
static void
link_below(ext_visit *visit, ext_visit *above)
{
    ext_visit *below = visit->below;
    if (below != NULL && below->run) {
        atoll_mutex_lock(&below->interp->lock);
        below->above = above;
        bool late = above != NULL && below->deliver;
        atoll_mutex_unlock(&below->interp->lock);
        if (late) {
            ext_attach_on_call(above);
        }
    }
}

/* The thread is back where `visit` was entered from: what came for it in the
 * meantime is looked at. */
static void
come_back(const thread_table *table, const ext_visit *visit)
{
    ext_visit *below = visit->below;
    if (below != NULL) {
        if (below->run && ATOLL_UNLIKELY(below->deliver)) {
            ext_attach_on_return(below);
        }
        if (table->is_main) {
            ext_attach_on_main_resume();
        }
    }
}

static void
begin_span(ext_visit *visit)
{
    const ext_visit *below = visit->below;
    atoll_usage_begin(&visit->interp->usage, visit->clock, &visit->span,
                      below == NULL ? NULL : &below->span);
}

int
ext_attach_enter(ext_state *st, atoll_interp *interp, unsigned flags,
                 ext_visit *visit)
{
    thread_table *table = get_table();
    if (table == NULL) {
        PyErr_NoMemory();
    }
    if (table == NULL || check_depth(table, flags) < 0) {
        return -1;
    }
    memset(visit, 0, sizeof(*visit));
    visit->interp = interp;
    visit->run = flags & EXT_VISIT_RUN;
    visit->parker = &table->parker;
    visit->clock = &table->clock;
    visit->outer = PyThreadState_Get();
    visit->outer_state = st;
    if (begin_visit(st, visit, flags) < 0) {
        return -1;
    }
    if (watch_signals(table, visit) < 0 || find_state(table, visit) < 0) {
        if (table->is_main && table->top == NULL) {
            atomic_store(&ext_attach_main_inside, -1);
        }
        if (visit->run) {
            ext_attach_on_end(visit); /* it may have been interrupted */
        }
        atoll_interp_leave(interp, visit->run);
        return -1;
    }
    push_visit(table, visit);
    prepare_state(table, visit);
    char *message = NULL;
    bool busy = false;
    if (settle_in(visit, flags, &message, &busy) < 0) {
        ext_attach_leave(visit);
        if (busy) {
            (void)ext_error_from_status(st, ATOLL_E_BUSY, "");
        }
        else if (message == NULL) {
            PyErr_NoMemory();
        }
        else {
            ext_error_format(st, EXT_ERR_INTERPRETER,
                             "interpreter %lld could not be set up: %s",
                             (long long)interp->id, message);
        }
        atoll_free(message);
        return -1;
    }
    atoll_free(message);
    if (visit->run) {
        begin_span(visit);
        atoll_mutex_lock(&interp->lock);
        visit->settled = true;
        bool early = visit->deliver;
        atoll_mutex_unlock(&interp->lock);
        link_below(visit, visit);
        if (ATOLL_UNLIKELY(early)) {
            ext_attach_on_return(visit);
        }
    }
    return 0;
}

/* Attached: to the target.  Leaves nothing of this call in the state. */
static void
clean_call(ext_visit *visit)
{
    if (visit->run) {
        ext_visit *below = visit->below;
        atoll_usage_end(&visit->interp->usage, visit->clock, &visit->span,
                        below == NULL ? NULL : &below->span, visit->failed);
        ext_attach_on_end(visit);
    }
    if (visit->kept != NULL) {
        ext_compat_reset_state(visit->inner);
    }
}

static void
clean_state(ext_visit *visit)
{
    if (visit->run) {
        link_below(visit, NULL);
    }
    clean_call(visit);
    if (visit->marked && _PyInterpreterState_SetNotRunningMain != NULL) {
        _PyInterpreterState_SetNotRunningMain(visit->interp->handle);
    }
}

void
ext_attach_end_call(ext_visit *visit)
{
    PyErr_Clear();
    clean_call(visit);
    do_chores(visit->interp);
}

void
ext_attach_begin_call(ext_visit *visit)
{
    /* No mark can be set: the visit is not the record's running call. */
    visit->interrupted = visit->deliver = visit->timed_out = false;
    visit->running = visit->owed = false;
    visit->waits = 0;
    visit->pause = visit->patience = 0;
    visit->patient = visit->failed = false;
    begin_span(visit);
    atoll_interp_next_call(visit->interp, visit, &visit->generation);
}

void
ext_attach_leave(ext_visit *visit)
{
    thread_table *table = this_thread;
    PyErr_Clear();
    clean_state(visit);
    do_chores(visit->interp);
    pop_visit(table, visit);
    if (ATOLL_UNLIKELY(visit->state == NULL)) {
        drop_untold(table, visit);
    }
    atoll_interp_leave(visit->interp, visit->run);
    come_back(table, visit);
}

void
ext_attach_leave_ended(ext_visit *visit)
{
    thread_table *table = this_thread;
    if (visit->kept != NULL) {
        atoll_mutex_lock(&visit->interp->lock);
        visit->kept->tstate = NULL;
        atoll_mutex_unlock(&visit->interp->lock);
        drop_entry(table, visit->kept);
    }
    unlist_visit(table, visit);
    (void)PyThreadState_Swap(visit->outer);
    atoll_interp_leave(visit->interp, visit->run);
    come_back(table, visit);
}

void
ext_attach_suspend(ext_visit *visit)
{
    pop_visit(this_thread, visit);
    visit->suspended = true;
}

void
ext_attach_resume(ext_visit *visit)
{
    visit->suspended = false;
    push_visit(this_thread, visit);
    if (this_thread->is_main && ext_attach_on_main_resume != NULL) {
        ext_attach_on_main_resume();
    }
}

static int
attach_exec(PyObject *Py_UNUSED(module), ext_state *Py_UNUSED(st))
{
    return 0;
}

const ext_part ext_attach_part = {
    .id = EXT_PART_ATTACH,
    .exec = attach_exec,
};
