/* Waiting for any of several queues to be ready.
 *
 * One sleeper, one parker, one node in the watchers' line of each queue.  An
 * item that comes in takes the first watcher out of line and wakes it.  What
 * it does then is not known: it may take the item, find it gone, or leave for
 * another queue.  The pass-on rule keeps the others safe: a watcher that was
 * taken out of line looks at the queue again, and either stands in line again
 * (no item) or, as it leaves, takes the next watcher out of line if the item
 * is still there.  So watchers in line beside an item always have a woken one
 * before them that has not looked yet; an item wakes one of them, and a second
 * only when the first one leaves it there; none is left asleep beside an item.
 *
 * When it is passed on matters.  At once, before the caller could take the
 * item, would wake them all, one after the other; so it is a step of its own
 * (pass_on), as late as the caller can make it.
 *
 * The sleeper holds handles to all the queues (its caller's).
 * Locks: one queue at a time.
 */
#include "queue_private.h"

#define NODES_ON_STACK 16

typedef struct selection {
    atoll_queue *const *queues;
    size_t count;
    atoll_waiter *nodes;
    size_t joined; /* the first so many nodes are in line or were woken */
    bool *ready;
    size_t nready;
} selection;

static void
note_ready(selection *sel, size_t i)
{
    if (!sel->ready[i]) {
        sel->ready[i] = true;
        sel->nready++;
    }
}

/* Looks at every queue; stands in line at those that are not ready. */
static void
join_lines(selection *sel, const atoll_wait *wait)
{
    for (size_t i = 0; i < sel->count; i++) {
        atoll_queue *queue = sel->queues[i];
        atoll_waiter *node = &sel->nodes[i];
        bool is_new = i >= sel->joined;
        if (is_new) {
            atoll_waiter_init(node, wait);
        }
        atoll_mutex_lock(&queue->lock);
        if (queue_is_ready(queue)) {
            note_ready(sel, i);
        }
        else if (is_new) {
            atoll_line_add(&queue->watchers, node);
        }
        else if (!node->queued) {
            atomic_store(&node->granted, 0);
            atoll_line_add_front(&queue->watchers, node);
        }
        atoll_mutex_unlock(&queue->lock);
        if (is_new) {
            sel->joined = i + 1;
        }
    }
}

/* Leaves all lines. */
static void
leave_lines(selection *sel)
{
    for (size_t i = 0; i < sel->joined; i++) {
        atoll_queue *queue = sel->queues[i];
        atoll_mutex_lock(&queue->lock);
        if (queue_is_ready(queue)) {
            note_ready(sel, i);
        }
        if (sel->nodes[i].queued) {
            atoll_line_remove(&queue->watchers, &sel->nodes[i]);
        }
        atoll_mutex_unlock(&queue->lock);
    }
    sel->joined = 0;
}

void
atoll_queue_pass_on(atoll_queue *const *queues, size_t count,
                    const bool *ready)
{
    for (size_t i = 0; i < count; i++) {
        if (!ready[i]) {
            continue;
        }
        queue_wakes wakes;
        queue_wakes_init(&wakes);
        atoll_mutex_lock(&queues[i]->lock);
        if (queues[i]->items.count > 0) {
            queue_announce(queues[i], &wakes);
        }
        atoll_mutex_unlock(&queues[i]->lock);
        queue_wakes_send(&wakes);
    }
}

static atoll_status
sleep_on(selection *sel, atoll_wait *wait)
{
    atoll_status status = ATOLL_OK;
    do {
        join_lines(sel, wait);
        if (sel->nready == 0) {
            status = atoll_parker_park(wait->parker, wait->deadline);
        }
    } while (sel->nready == 0 && status == ATOLL_OK);
    leave_lines(sel);
    /* Nobody knows the nodes any more, so no token is on its way. */
    atoll_parker_forget(wait->parker);
    return sel->nready > 0 ? ATOLL_OK : status;
}

atoll_status
atoll_queue_select(atoll_queue *const *queues, size_t count, atoll_wait *wait,
                   bool *ready, size_t *out_ready)
{
    atoll_status status
        = atoll_queue_watch(queues, count, wait, ready, out_ready);
    if (status == ATOLL_OK) {
        atoll_queue_pass_on(queues, count, ready);
    }
    return status;
}

atoll_status
atoll_queue_watch(atoll_queue *const *queues, size_t count, atoll_wait *wait,
                  bool *ready, size_t *out_ready)
{
    selection sel = {.queues = queues, .count = count, .ready = ready};
    for (size_t i = 0; i < count; i++) {
        atoll_mutex_lock(&queues[i]->lock);
        ready[i] = queue_is_ready(queues[i]);
        atoll_mutex_unlock(&queues[i]->lock);
        sel.nready += ready[i];
    }
    *out_ready = sel.nready;
    if (sel.nready > 0 || count == 0) {
        return ATOLL_OK;
    }
    if (wait == NULL || wait->deadline <= 0) {
        return wait == NULL ? ATOLL_E_EMPTY : ATOLL_E_TIMEOUT;
    }
    atoll_waiter some[NODES_ON_STACK];
    sel.nodes = some;
    if (count > NODES_ON_STACK) {
        if (count > SIZE_MAX / sizeof(*sel.nodes)) {
            return ATOLL_E_NOMEM;
        }
        sel.nodes = atoll_malloc(count * sizeof(*sel.nodes));
        if (sel.nodes == NULL) {
            return ATOLL_E_NOMEM;
        }
    }
    atoll_status status = sleep_on(&sel, wait);
    if (sel.nodes != some) {
        atoll_free(sel.nodes);
    }
    *out_ready = sel.nready;
    return status;
}
