/* The barrier: rounds of `parties` threads that let each other go.
 *
 * All who wait stand in one line.  While an action runs, the first `held` of
 * them belong to the round whose action it is; those behind them wait for the
 * next.  A round ends by granting: nobody has to wait for the others to leave.
 * `round` counts rounds and resets, so that an action that ends late, after a
 * reset, cannot let the wrong ones go.
 *
 * Invariant, whenever the mutex is free: without an action under way, fewer
 * than `parties` wait.
 * Locks: the object's mutex.
 */
#include "sync.h"

#include "sync_private.h"

struct atoll_barrier {
    sync_base base;
    uint64_t parties;
    uint64_t waiting; /* in line, the held ones included [mutex] */
    uint64_t held;    /* [mutex] */
    uint64_t round;   /* [mutex] */
    bool acting;      /* [mutex] */
    bool broken;      /* [mutex] */
};

enum { STAGE_NEW = 0, STAGE_ASLEEP, STAGE_ACTING, STAGE_OVER };

atoll_status
atoll_barrier_new(uint64_t parties, atoll_barrier **out_barrier)
{
    if (parties == 0) {
        return ATOLL_E_VALUE;
    }
    void *object;
    atoll_status status
        = sync_new(SYNC_BARRIER, sizeof(atoll_barrier), &object);
    if (status == ATOLL_OK) {
        atoll_barrier *barrier = object;
        barrier->parties = parties;
        *out_barrier = barrier;
    }
    return status;
}

void
atoll_barrier_acquire(atoll_barrier *barrier)
{
    sync_acquire(barrier);
}

void
atoll_barrier_release(atoll_barrier *barrier)
{
    sync_release(barrier);
}

uint64_t
atoll_barrier_id(const atoll_barrier *barrier)
{
    return barrier->base.id;
}

uint64_t
atoll_barrier_parties(const atoll_barrier *barrier)
{
    return barrier->parties;
}

uint64_t
atoll_barrier_waiting(atoll_barrier *barrier)
{
    atoll_mutex_lock(&barrier->base.mutex);
    uint64_t waiting = barrier->waiting - barrier->held;
    atoll_mutex_unlock(&barrier->base.mutex);
    return waiting;
}

bool
atoll_barrier_broken(atoll_barrier *barrier)
{
    atoll_mutex_lock(&barrier->base.mutex);
    bool broken = barrier->broken;
    atoll_mutex_unlock(&barrier->base.mutex);
    return broken;
}

/* --- Locks: the mutex, held --- */

/* Lets the first n in line go; they are 0, 1, 2, ... of their round. */
static void
let_go(atoll_barrier *barrier, uint64_t n, atoll_wakes *wakes)
{
    for (uint64_t i = 0; i < n; i++) {
        atoll_waiter *waiter = atoll_line_pop(&barrier->base.line);
        atoll_barrier_wait *state = (atoll_barrier_wait *)waiter;
        state->index = i;
        barrier->waiting--;
        atoll_waiter_grant(waiter, ATOLL_OK, wakes);
    }
}

static void
fail_all(atoll_barrier *barrier, bool broken, atoll_wakes *wakes)
{
    barrier->broken = broken;
    barrier->acting = false;
    barrier->waiting = 0;
    barrier->held = 0;
    barrier->round++;
    atoll_line_grant_all(&barrier->base.line, ATOLL_E_BROKEN, wakes);
}

/* The first n in line make up a round with the one who acts. */
static void
begin_action(atoll_barrier *barrier, uint64_t n, atoll_barrier_wait *actor)
{
    atoll_waiter *waiter = barrier->base.line.first;
    for (uint64_t i = 0; i < n; i++, waiter = waiter->next) {
        ((atoll_barrier_wait *)waiter)->held = true;
    }
    barrier->held = n;
    barrier->acting = true;
    actor->act = true;
    actor->index = n;
    actor->round = barrier->round;
}

/* After an action: those who came meanwhile may be a round already.  The last
 * of it is woken to act, if it has an action. */
static void
start_rounds(atoll_barrier *barrier, atoll_wakes *wakes)
{
    while (!barrier->acting && barrier->waiting >= barrier->parties) {
        atoll_waiter *last = barrier->base.line.first;
        for (uint64_t i = 1; i < barrier->parties; i++) {
            last = last->next;
        }
        atoll_barrier_wait *actor = (atoll_barrier_wait *)last;
        if (!actor->has_action) {
            barrier->round++;
            let_go(barrier, barrier->parties, wakes);
            continue;
        }
        atoll_line_remove(&barrier->base.line, last);
        barrier->waiting--;
        begin_action(barrier, barrier->parties - 1, actor);
        atoll_waiter_grant(last, ATOLL_OK, wakes);
    }
}

/* The waiter leaves before its time. */
static void
leave(atoll_barrier *barrier, atoll_barrier_wait *state)
{
    atoll_line_remove(&barrier->base.line, &state->waiter);
    barrier->waiting--;
    if (state->held) {
        barrier->held--;
    }
}

/* --- Operations --- */

/* Locks: the mutex, held.  True: *out_status is the result already. */
static bool
arrive(atoll_barrier *barrier, atoll_wait *wait, atoll_barrier_wait *state,
       atoll_wakes *wakes, atoll_status *out_status)
{
    *out_status = ATOLL_OK;
    if (barrier->broken) {
        *out_status = ATOLL_E_BROKEN;
        return true;
    }
    if (!barrier->acting && barrier->waiting + 1 == barrier->parties) {
        if (state->has_action) {
            begin_action(barrier, barrier->waiting, state);
        }
        else {
            state->index = barrier->waiting;
            barrier->round++;
            let_go(barrier, barrier->waiting, wakes);
        }
        return true;
    }
    if (wait == NULL || wait->deadline <= 0) {
        fail_all(barrier, true, wakes);
        *out_status = ATOLL_E_BROKEN;
        return true;
    }
    atoll_waiter_init(&state->waiter, wait);
    atoll_line_add(&barrier->base.line, &state->waiter);
    barrier->waiting++;
    return false;
}

/* Sleeps once.  The node stays in line after an interruption. */
static atoll_status
sleep_in_line(atoll_barrier *barrier, atoll_wait *wait,
              atoll_barrier_wait *state)
{
    atoll_wakes wakes = {.count = 0};
    atoll_waiter *waiter = &state->waiter;
    atoll_status status;
    for (;;) {
        atoll_mutex_lock(&barrier->base.mutex);
        if (!waiter->queued) {
            break;
        }
        atoll_mutex_unlock(&barrier->base.mutex);
        status = atoll_parker_park(waiter->parker, wait->deadline);
        if (status == ATOLL_OK) {
            continue;
        }
        atoll_mutex_lock(&barrier->base.mutex);
        if (!waiter->queued) {
            break;
        }
        if (status == ATOLL_E_TIMEOUT) {
            leave(barrier, state);
            fail_all(barrier, true, &wakes);
            status = ATOLL_E_BROKEN;
        }
        atoll_mutex_unlock(&barrier->base.mutex);
        atoll_wakes_send(&wakes);
        return status;
    }
    status = waiter->status;
    atoll_mutex_unlock(&barrier->base.mutex);
    atoll_parker_forget(waiter->parker);
    return status;
}

atoll_status
atoll_barrier_arrive(atoll_barrier *barrier, bool has_action, atoll_wait *wait,
                     atoll_barrier_wait *state)
{
    atoll_status status = ATOLL_OK;
    bool over = false;
    if (state->stage == STAGE_NEW) {
        atoll_wakes wakes = {.count = 0};
        state->has_action = has_action;
        atoll_mutex_lock(&barrier->base.mutex);
        over = arrive(barrier, wait, state, &wakes, &status);
        atoll_mutex_unlock(&barrier->base.mutex);
        atoll_wakes_send(&wakes);
        state->stage = STAGE_ASLEEP;
    }
    if (!over) {
        status = sleep_in_line(barrier, wait, state);
    }
    if (status != ATOLL_E_INTERRUPTED) {
        bool acts = status == ATOLL_OK && state->act;
        state->stage = acts ? STAGE_ACTING : STAGE_OVER;
    }
    return status;
}

atoll_status
atoll_barrier_finish(atoll_barrier *barrier, atoll_barrier_wait *state,
                     bool ok)
{
    atoll_wakes wakes = {.count = 0};
    atoll_status status = ATOLL_OK;
    atoll_mutex_lock(&barrier->base.mutex);
    if (state->stage != STAGE_ACTING || !barrier->acting
        || barrier->round != state->round) {
        status = ATOLL_E_BROKEN;
    }
    else if (!ok) {
        fail_all(barrier, true, &wakes);
    }
    else {
        barrier->acting = false;
        barrier->round++;
        uint64_t held = barrier->held;
        barrier->held = 0;
        let_go(barrier, held, &wakes);
        start_rounds(barrier, &wakes);
    }
    atoll_mutex_unlock(&barrier->base.mutex);
    atoll_wakes_send(&wakes);
    state->stage = STAGE_OVER;
    return status;
}

void
atoll_barrier_give_up(atoll_barrier *barrier, atoll_barrier_wait *state)
{
    if (state->stage == STAGE_ASLEEP) {
        atoll_mutex_lock(&barrier->base.mutex);
        if (state->waiter.queued) {
            leave(barrier, state);
        }
        else if (state->waiter.status == ATOLL_OK && state->act) {
            state->stage = STAGE_ACTING;
        }
        atoll_mutex_unlock(&barrier->base.mutex);
        atoll_parker_forget(state->waiter.parker);
    }
    if (state->stage == STAGE_ACTING) {
        (void)atoll_barrier_finish(barrier, state, false);
    }
    state->stage = STAGE_OVER;
}

void
atoll_barrier_reset(atoll_barrier *barrier)
{
    atoll_wakes wakes = {.count = 0};
    atoll_mutex_lock(&barrier->base.mutex);
    fail_all(barrier, false, &wakes);
    atoll_mutex_unlock(&barrier->base.mutex);
    atoll_wakes_send(&wakes);
}

void
atoll_barrier_abort(atoll_barrier *barrier)
{
    atoll_wakes wakes = {.count = 0};
    atoll_mutex_lock(&barrier->base.mutex);
    fail_all(barrier, true, &wakes);
    atoll_mutex_unlock(&barrier->base.mutex);
    atoll_wakes_send(&wakes);
}

void
sync_barrier_forget_line(atoll_barrier *barrier)
{
    barrier->waiting = 0;
    barrier->held = 0;
    barrier->acting = false;
    barrier->round++;
}
