/* See registry.h.
 *
 * Around fork all locks are taken, in the order of the table, so that the
 * child finds every record whole; there they are made anew, since the
 * threads that might have waited for them do not exist.
 */
#include "registry.h"

#include <stdlib.h>
#include <string.h>

static struct {
    pthread_once_t once;
    atoll_status status;
    atoll_mutex lock;
    atoll_interp *head; /* ascending id; owns a reference to each */
} registry = {.once = PTHREAD_ONCE_INIT};

void (*atoll_registry_on_last_hold)(atoll_interp *interp);

static void
open_once(void)
{
    registry.status = atoll_mutex_init(&registry.lock);
}

atoll_status
atoll_registry_open(void)
{
    (void)pthread_once(&registry.once, open_once);
    return registry.status;
}

static atoll_interp *
new_record(void)
{
    atoll_interp *interp = atoll_calloc(1, sizeof(*interp));
    if (interp == NULL) {
        return NULL;
    }
    if (atoll_mutex_init(&interp->lock) != ATOLL_OK) {
        atoll_free(interp);
        return NULL;
    }
    if (atoll_cond_init(&interp->changed) != ATOLL_OK) {
        atoll_mutex_fini(&interp->lock);
        atoll_free(interp);
        return NULL;
    }
    interp->id = -1;
    interp->creator = -1;
    interp->born = atoll_now();
    atoll_ref_init(&interp->count);
    atomic_init(&interp->has_chores, 0);
    return interp;
}

/* Locks: registry.  Where the record of id is, or belongs. */
static atoll_interp **
find_place(int64_t id)
{
    atoll_interp **place = &registry.head;
    while (*place != NULL && (*place)->id < id) {
        place = &(*place)->next;
    }
    return place;
}

atoll_interp *
atoll_registry_prepare(void)
{
    return new_record();
}

atoll_interp *
atoll_registry_enter(atoll_interp *prepared, int64_t id, void *handle)
{
    prepared->id = id;
    prepared->handle = handle;
    atoll_mutex_lock(&registry.lock);
    atoll_interp **place = find_place(id);
    atoll_interp *found = *place;
    if (found == NULL || found->id != id) {
        prepared->next = found;
        *place = found = prepared;
        prepared = NULL; /* its reference is the table's */
    }
    atoll_interp_acquire(found);
    atoll_mutex_unlock(&registry.lock);
    if (prepared != NULL) {
        atoll_interp_release(prepared);
    }
    return found;
}

atoll_status
atoll_registry_adopt(int64_t id, void *handle, atoll_interp **out_interp)
{
    if (atoll_registry_find(id, out_interp) == ATOLL_OK) {
        return ATOLL_OK;
    }
    atoll_interp *interp = new_record();
    if (interp == NULL) {
        return ATOLL_E_NOMEM;
    }
    *out_interp = atoll_registry_enter(interp, id, handle);
    return ATOLL_OK;
}

atoll_status
atoll_registry_find(int64_t id, atoll_interp **out_interp)
{
    atoll_status status = ATOLL_E_NOTFOUND;
    atoll_mutex_lock(&registry.lock);
    atoll_interp *found = *find_place(id);
    if (found != NULL && found->id == id) {
        atoll_interp_acquire(found);
        *out_interp = found;
        status = ATOLL_OK;
    }
    atoll_mutex_unlock(&registry.lock);
    return status;
}

atoll_status
atoll_registry_list(atoll_interp ***out_interps, size_t *out_count)
{
    atoll_mutex_lock(&registry.lock);
    size_t count = 0;
    for (atoll_interp *i = registry.head; i != NULL; i = i->next) {
        count++;
    }
    atoll_interp **list = atoll_malloc((count + 1) * sizeof(*list));
    if (list == NULL) {
        atoll_mutex_unlock(&registry.lock);
        return ATOLL_E_NOMEM;
    }
    count = 0;
    for (atoll_interp *i = registry.head; i != NULL; i = i->next) {
        atoll_interp_acquire(i);
        list[count++] = i;
    }
    atoll_mutex_unlock(&registry.lock);
    *out_interps = list;
    *out_count = count;
    return ATOLL_OK;
}

/* Takes a record that is GONE out of the table. */
static void
forget(atoll_interp *interp)
{
    atoll_mutex_lock(&registry.lock);
    atoll_interp **place = find_place(interp->id);
    bool found = *place == interp;
    if (found) {
        *place = interp->next;
        interp->next = NULL;
    }
    atoll_mutex_unlock(&registry.lock);
    if (found) {
        atoll_interp_release(interp);
    }
}

void
atoll_registry_before_fork(void)
{
    atoll_mutex_lock(&registry.lock);
    for (atoll_interp *i = registry.head; i != NULL; i = i->next) {
        atoll_mutex_lock(&i->lock);
    }
}

void
atoll_registry_parent_after_fork(void)
{
    for (atoll_interp *i = registry.head; i != NULL; i = i->next) {
        atoll_mutex_unlock(&i->lock);
    }
    atoll_mutex_unlock(&registry.lock);
}

/* In the child: whoever held it does not exist. */
static void
renew_lock(atoll_mutex *mutex)
{
    if (atoll_mutex_init(mutex) != ATOLL_OK) {
        abort(); /* a plain mutex needs nothing that could be refused */
    }
}

void
atoll_registry_after_fork(int64_t keep)
{
    atoll_interp **place = &registry.head;
    while (*place != NULL) {
        atoll_interp *interp = *place;
        renew_lock(&interp->lock);
        if (atoll_cond_init(&interp->changed) != ATOLL_OK) {
            abort();
        }
        if (interp->id == keep) {
            /* Only the thread that forked is left; its visits are what
             * the binding says they are. */
            interp->visits = 0;
            interp->posts = 0;
            atomic_store(&interp->measuring, false);
            place = &interp->next;
            continue;
        }
        interp->life = ATOLL_LIFE_GONE;
        interp->running = false;
        interp->visits = 0;
        interp->ext = NULL;
        *place = interp->next;
        interp->next = NULL;
        /* Its reference is not given back: a thread that is gone may have
         * been about to use it. */
    }
    renew_lock(&registry.lock);
}

void
atoll_interp_acquire(atoll_interp *interp)
{
    atoll_ref_acquire(&interp->count);
}

void
atoll_interp_release(atoll_interp *interp)
{
    if (!atoll_ref_release(&interp->count)) {
        return;
    }
    for (atoll_chore *chore = interp->chores; chore != NULL;) {
        atoll_chore *next = chore->next;
        chore->run(chore, false);
        chore = next;
    }
    while (interp->watches != NULL) {
        atoll_watch *watch = interp->watches;
        interp->watches = watch->next;
        atoll_watch_free(watch);
    }
    atoll_cond_fini(&interp->changed);
    atoll_mutex_fini(&interp->lock);
    atoll_free(interp->name);
    if (interp->free_setup != NULL) {
        interp->free_setup(interp->setup);
    }
    if (interp->free_limits != NULL) {
        interp->free_limits(atomic_load(&interp->limits));
    }
    atoll_free(interp);
}

atoll_status
atoll_interp_visit(atoll_interp *interp, void *run, uint64_t *out_generation)
{
    atoll_status status = ATOLL_OK;
    atoll_mutex_lock(&interp->lock);
    if (interp->life != ATOLL_LIFE_OPEN) {
        status = ATOLL_E_CLOSED;
    }
    else if (run != NULL && (interp->running || interp->bars > 0)) {
        status = ATOLL_E_BUSY;
    }
    else {
        interp->visits++;
        if (run != NULL) {
            interp->running = true;
            interp->runner = atoll_thread_ident();
            *out_generation = ++interp->generation;
            interp->run = run;
        }
    }
    atoll_mutex_unlock(&interp->lock);
    return status;
}

void
atoll_interp_leave(atoll_interp *interp, bool run)
{
    atoll_mutex_lock(&interp->lock);
    if (run) {
        interp->running = false;
        interp->run = NULL;
    }
    interp->visits--;
    if (ATOLL_UNLIKELY(interp->life != ATOLL_LIFE_OPEN
                       || interp->watchers > 0)) {
        atoll_cond_signal_all(&interp->changed);
    }
    atoll_mutex_unlock(&interp->lock);
}

void
atoll_interp_next_call(atoll_interp *interp, void *run,
                       uint64_t *out_generation)
{
    atoll_mutex_lock(&interp->lock);
    *out_generation = ++interp->generation;
    interp->run = run;
    if (ATOLL_UNLIKELY(interp->watchers > 0)) {
        atoll_cond_signal_all(&interp->changed);
    }
    atoll_mutex_unlock(&interp->lock);
}

bool
atoll_interp_glance(atoll_interp *interp)
{
    atoll_mutex_lock(&interp->lock);
    bool alive = interp->life < ATOLL_LIFE_ENDING;
    interp->visits += alive;
    atoll_mutex_unlock(&interp->lock);
    return alive;
}

atoll_status
atoll_interp_wait_idle(atoll_interp *interp, uint64_t generation,
                       int64_t deadline)
{
    atoll_status status = ATOLL_OK;
    atoll_mutex_lock(&interp->lock);
    interp->watchers++;
    while (interp->running && interp->generation == generation
           && status == ATOLL_OK) {
        status = atoll_cond_wait(&interp->changed, &interp->lock, deadline);
    }
    if (!interp->running || interp->generation != generation) {
        status = ATOLL_OK;
    }
    interp->watchers--;
    atoll_mutex_unlock(&interp->lock);
    return status;
}

void
atoll_interp_bar_calls(atoll_interp *interp, bool bar)
{
    atoll_mutex_lock(&interp->lock);
    interp->bars = bar ? interp->bars + 1 : interp->bars - 1;
    atoll_mutex_unlock(&interp->lock);
}

atoll_status
atoll_interp_begin_close(atoll_interp *interp, bool force)
{
    atoll_status status = ATOLL_OK;
    atoll_mutex_lock(&interp->lock);
    bool again = (interp->life == ATOLL_LIFE_CLOSING && interp->half_ended)
                 || (interp->life == ATOLL_LIFE_DEFERRED && force);
    if (interp->life != ATOLL_LIFE_OPEN && !again) {
        status = ATOLL_E_CLOSED;
    }
    else if (interp->running && !force) {
        status = ATOLL_E_BUSY;
    }
    else {
        interp->life = ATOLL_LIFE_CLOSING;
        interp->half_ended = false;
    }
    atoll_mutex_unlock(&interp->lock);
    return status;
}

void
atoll_interp_cancel_close(atoll_interp *interp)
{
    atoll_mutex_lock(&interp->lock);
    interp->half_ended = interp->wound_down;
    interp->life = interp->wound_down ? ATOLL_LIFE_CLOSING : ATOLL_LIFE_OPEN;
    atoll_cond_signal_all(&interp->changed);
    atoll_mutex_unlock(&interp->lock);
}

atoll_status
atoll_interp_wait_visits(atoll_interp *interp, uint32_t rest, int64_t deadline)
{
    atoll_status status = ATOLL_OK;
    atoll_mutex_lock(&interp->lock);
    while (interp->visits > rest && status == ATOLL_OK) {
        status = atoll_cond_wait(&interp->changed, &interp->lock, deadline);
    }
    if (interp->visits <= rest) {
        status = ATOLL_OK;
    }
    atoll_mutex_unlock(&interp->lock);
    return status;
}

atoll_status
atoll_interp_wait_closer(atoll_interp *interp, int64_t deadline)
{
    atoll_status status = ATOLL_OK;
    atoll_mutex_lock(&interp->lock);
    while (
        status == ATOLL_OK
        && (interp->life == ATOLL_LIFE_ENDING
            || (interp->life == ATOLL_LIFE_CLOSING && !interp->half_ended))) {
        status = atoll_cond_wait(&interp->changed, &interp->lock, deadline);
    }
    atoll_mutex_unlock(&interp->lock);
    return status;
}

void
atoll_interp_set_life(atoll_interp *interp, atoll_life life)
{
    atoll_mutex_lock(&interp->lock);
    interp->life = life;
    if (life == ATOLL_LIFE_GONE) {
        interp->ext = NULL;
        interp->died = atoll_now();
    }
    atoll_cond_signal_all(&interp->changed);
    atoll_mutex_unlock(&interp->lock);
    if (life == ATOLL_LIFE_GONE) {
        atoll_chore *chores = atoll_interp_take_chores(interp);
        while (chores != NULL) {
            atoll_chore *next = chores->next;
            chores->run(chores, false);
            chores = next;
        }
        forget(interp);
    }
}

atoll_life
atoll_interp_get_life(atoll_interp *interp)
{
    atoll_mutex_lock(&interp->lock);
    atoll_life life = interp->life;
    atoll_mutex_unlock(&interp->lock);
    return life;
}

atoll_status
atoll_interp_hold(atoll_interp *interp)
{
    atoll_status status = ATOLL_E_CLOSED;
    atoll_mutex_lock(&interp->lock);
    if (interp->life < ATOLL_LIFE_ENDING) {
        interp->holds++;
        status = ATOLL_OK;
    }
    atoll_mutex_unlock(&interp->lock);
    return status;
}

void
atoll_interp_unhold(atoll_interp *interp)
{
    atoll_mutex_lock(&interp->lock);
    interp->holds--;
    bool last = interp->holds == 0 && interp->life == ATOLL_LIFE_DEFERRED;
    atoll_mutex_unlock(&interp->lock);
    if (last && atoll_registry_on_last_hold != NULL) {
        atoll_registry_on_last_hold(interp);
    }
}

bool
atoll_interp_begin_end(atoll_interp *interp)
{
    atoll_mutex_lock(&interp->lock);
    bool free = interp->holds == 0;
    interp->life = free ? ATOLL_LIFE_ENDING : ATOLL_LIFE_DEFERRED;
    atoll_cond_signal_all(&interp->changed);
    atoll_mutex_unlock(&interp->lock);
    return free;
}

bool
atoll_interp_add_chore(atoll_interp *interp, atoll_chore *chore)
{
    bool taken = false;
    atoll_mutex_lock(&interp->lock);
    if (interp->life != ATOLL_LIFE_GONE) {
        chore->next = interp->chores;
        interp->chores = chore;
        atomic_fetch_or(&interp->has_chores, 1);
        taken = true;
    }
    atoll_mutex_unlock(&interp->lock);
    return taken;
}

atoll_chore *
atoll_interp_take_chores(atoll_interp *interp)
{
    atoll_mutex_lock(&interp->lock);
    atoll_chore *chores = interp->chores;
    interp->chores = NULL;
    atomic_store(&interp->has_chores, interp->orphans > 0);
    atoll_mutex_unlock(&interp->lock);
    return chores;
}

bool
atoll_interp_add_watch(atoll_interp *interp, atoll_watch *watch)
{
    atoll_mutex_lock(&interp->lock);
    bool closed = interp->life == ATOLL_LIFE_DEFERRED
                  || interp->life == ATOLL_LIFE_GONE;
    if (!closed) {
        watch->next = interp->watches;
        interp->watches = watch;
    }
    atoll_mutex_unlock(&interp->lock);
    return !closed;
}

atoll_watch *
atoll_interp_take_watches(atoll_interp *interp)
{
    atoll_watch *list = NULL;
    atoll_mutex_lock(&interp->lock);
    atoll_watch *watch = interp->watches;
    interp->watches = NULL;
    atoll_mutex_unlock(&interp->lock);
    while (watch != NULL) {
        atoll_watch *next = watch->next;
        watch->next = list;
        list = watch;
        watch = next;
    }
    return list;
}

atoll_watch *
atoll_watch_new(atoll_interp *home, uint64_t token)
{
    atoll_watch *watch = atoll_calloc(1, sizeof(*watch));
    if (watch != NULL) {
        atoll_interp_acquire(home);
        watch->home = home;
        watch->token = token;
    }
    return watch;
}

void
atoll_watch_free(atoll_watch *watch)
{
    atoll_interp_release(watch->home);
    if (watch->closed != NULL) {
        atoll_interp_release(watch->closed);
    }
    atoll_free(watch);
}

static void
acquire_any(void *ptr)
{
    atoll_interp_acquire(ptr);
}

static void
release_any(void *ptr)
{
    atoll_interp_release(ptr);
}

const atoll_ref_ops atoll_interp_ops = {
    .name = "interpreter",
    .acquire = acquire_any,
    .release = release_any,
};
