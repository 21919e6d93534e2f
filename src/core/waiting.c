/* See waiting.h. */
#include "waiting.h"

void
atoll_waiter_init(atoll_waiter *waiter, const atoll_wait *wait)
{
    waiter->next = NULL;
    waiter->prev = NULL;
    waiter->parker = wait->parker;
    waiter->ticket = 0;
    waiter->queued = false;
    atomic_init(&waiter->granted, 0);
    waiter->status = ATOLL_OK;
    atoll_parker_forget(wait->parker);
}

/* Behind `before`, or in front of all (NULL). */
static void
insert_after(atoll_line *line, atoll_waiter *before, atoll_waiter *waiter)
{
    atoll_waiter *after = before == NULL ? line->first : before->next;
    waiter->prev = before;
    waiter->next = after;
    if (before == NULL) {
        line->first = waiter;
    }
    else {
        before->next = waiter;
    }
    if (after == NULL) {
        line->last = waiter;
    }
    else {
        after->prev = waiter;
    }
    waiter->queued = true;
}

void
atoll_line_add(atoll_line *line, atoll_waiter *waiter)
{
    waiter->ticket = ++line->tickets;
    insert_after(line, line->last, waiter);
}

void
atoll_line_add_front(atoll_line *line, atoll_waiter *waiter)
{
    insert_after(line, NULL, waiter);
}

void
atoll_line_join(atoll_line *line, atoll_waiter *waiter, atoll_wait *wait)
{
    if (ATOLL_LIKELY(wait->ticket == 0)) {
        atoll_line_add(line, waiter);
        wait->ticket = waiter->ticket;
        return;
    }
    waiter->ticket = wait->ticket;
    atoll_waiter *after = line->first;
    while (after != NULL && after->ticket < waiter->ticket) {
        after = after->next;
    }
    insert_after(line, after == NULL ? line->last : after->prev, waiter);
}

void
atoll_line_remove(atoll_line *line, atoll_waiter *waiter)
{
    if (waiter->prev == NULL) {
        line->first = waiter->next;
    }
    else {
        waiter->prev->next = waiter->next;
    }
    if (waiter->next == NULL) {
        line->last = waiter->prev;
    }
    else {
        waiter->next->prev = waiter->prev;
    }
    waiter->next = NULL;
    waiter->prev = NULL;
    waiter->queued = false;
}

atoll_waiter *
atoll_line_pop(atoll_line *line)
{
    atoll_waiter *waiter = line->first;
    if (waiter != NULL) {
        atoll_line_remove(line, waiter);
    }
    return waiter;
}

void
atoll_waiter_grant(atoll_waiter *waiter, atoll_status status,
                   atoll_wakes *wakes)
{
    atoll_parker *parker = waiter->parker;
    waiter->status = status;
    atomic_store_explicit(&waiter->granted, 1, memory_order_release);
    /* From the token on, neither the node nor the parker may be there. */
    if (!atoll_parker_notify(parker)) {
        return;
    }
    if (ATOLL_LIKELY(wakes->count < ATOLL_WAKES)) {
        wakes->parkers[wakes->count++] = parker;
    }
    else {
        atoll_parker_wake(parker);
    }
}

void
atoll_line_grant_all(atoll_line *line, atoll_status status, atoll_wakes *wakes)
{
    atoll_waiter *waiter;
    while ((waiter = atoll_line_pop(line)) != NULL) {
        atoll_waiter_grant(waiter, status, wakes);
    }
}

void
atoll_wakes_send(atoll_wakes *wakes)
{
    for (uint32_t i = 0; i < wakes->count; i++) {
        atoll_parker_wake(wakes->parkers[i]);
    }
    wakes->count = 0;
}

/* As atoll_waiter_sleep, without the ticket. */
static atoll_status
sleep_until_granted(atoll_waiter *waiter, atoll_line *line, atoll_mutex *mutex,
                    int64_t deadline)
{
    atoll_status status;
    do {
        status = atoll_parker_park(waiter->parker, deadline);
        if (status == ATOLL_OK
            && atomic_load_explicit(&waiter->granted, memory_order_acquire)) {
            return waiter->status;
        }
    } while (status == ATOLL_OK);
    atoll_mutex_lock(mutex);
    if (waiter->queued) {
        atoll_line_remove(line, waiter);
    }
    else {
        /* The grant came at the same moment, and wins.  Its token is there:
         * it was left under this lock. */
        status = waiter->status;
        atoll_parker_forget(waiter->parker);
    }
    atoll_mutex_unlock(mutex);
    return status;
}

atoll_status
atoll_waiter_sleep(atoll_waiter *waiter, atoll_line *line, atoll_mutex *mutex,
                   atoll_wait *wait)
{
    atoll_status status
        = sleep_until_granted(waiter, line, mutex, wait->deadline);
    if (status != ATOLL_E_INTERRUPTED) {
        wait->ticket = 0;
    }
    return status;
}
