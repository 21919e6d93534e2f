/* All queues of the process: by id, by reference, by reachability.
 *
 * Handles and mentions.  A queue with handles is used by somebody.  One
 * without handles can only be mentioned by frames; nobody can look into it
 * before somebody has a handle, and the step from 0 handles to 1 is made
 * under the table's lock.  So under that lock the items of a queue without
 * handles do not change: the search for cycles needs no other lock.
 *
 * The search starts where a reference went (release) but others remain.  It
 * walks from that queue, through mentions in items, over the queues without
 * handles (the members), and counts for each how many of its references come
 * from members' items.  A member that has more than these is held from
 * outside, and keeps what it reaches.  The rest is garbage: its items are
 * taken away and released, which brings every count to 0.  A frame on its way
 * is an outside reference, whoever holds it.  Whichever release comes last
 * sees the whole, so nothing is missed and nothing need be repeated.
 *
 * So that a release costs little however large the web is, a search gives up
 * after BUDGET items; when those that gave up have cost as much as a look at
 * all queues without handles (estimated from the last one, for those that
 * lived, and their number then and now), all are looked at.
 *
 * Frames are released outside all locks, and one queue at a time per thread
 * (the trash list), so that a long chain of queues in queues does not
 * recurse.
 *
 * Locks: table, then one queue.
 */
#include "queue.h"

#include "queue_private.h"

static atoll_mutex table_lock = ATOLL_MUTEX_STATIC;
/* [table_lock] */
static struct {
    atoll_queue *first;
    atoll_queue *last;
    atoll_queue **buckets; /* NULL: everything is in `few` */
    size_t nbuckets;       /* a power of 2 */
    atoll_queue *few[1];
    size_t count;
    uint64_t last_id;
} table;

/* Queues without handles; for a moment it may be off by those that are just
 * changing. */
static _Atomic int64_t idle;

static _Thread_local struct {
    bool busy;
    atoll_queue *first;
} trash;

/* --- The table.  Locks: table_lock, held. --- */

static atoll_queue **
bucket_of(uint64_t id)
{
    if (table.buckets == NULL) {
        return &table.few[0];
    }
    return &table.buckets[id & (table.nbuckets - 1)];
}

/* Keeps chains short; without memory they just grow longer. */
static void
grow_table(void)
{
    size_t wanted = table.nbuckets == 0 ? 64 : table.nbuckets * 2;
    if (table.count < table.nbuckets) {
        return;
    }
    atoll_queue **buckets = atoll_calloc(wanted, sizeof(*buckets));
    if (buckets == NULL) {
        return;
    }
    atoll_free(table.buckets);
    table.buckets = buckets;
    table.nbuckets = wanted;
    for (atoll_queue *queue = table.first; queue; queue = queue->next) {
        atoll_queue **bucket = bucket_of(queue->id);
        queue->chain = *bucket;
        *bucket = queue;
    }
}

static atoll_queue *
look_up(uint64_t id)
{
    atoll_queue *queue = *bucket_of(id);
    while (queue != NULL && queue->id != id) {
        queue = queue->chain;
    }
    return queue;
}

static void
add_to_table(atoll_queue *queue)
{
    grow_table();
    queue->id = ++table.last_id;
    queue->prev = table.last;
    queue->next = NULL;
    if (table.last == NULL) {
        table.first = queue;
    }
    else {
        table.last->next = queue;
    }
    table.last = queue;
    atoll_queue **bucket = bucket_of(queue->id);
    queue->chain = *bucket;
    *bucket = queue;
    table.count++;
}

static void
remove_from_table(atoll_queue *queue)
{
    if (queue->prev == NULL) {
        table.first = queue->next;
    }
    else {
        queue->prev->next = queue->next;
    }
    if (queue->next == NULL) {
        table.last = queue->prev;
    }
    else {
        queue->next->prev = queue->prev;
    }
    atoll_queue **at = bucket_of(queue->id);
    while (*at != queue) {
        at = &(*at)->chain;
    }
    *at = queue->chain;
    table.count--;
}

/* --- Making and freeing --- */

atoll_status
atoll_queue_new(int64_t maxsize, atoll_unbound policy, atoll_queue **out_queue)
{
    atoll_queue *queue = atoll_calloc(1, sizeof(*queue));
    if (queue == NULL) {
        return ATOLL_E_NOMEM;
    }
    atoll_status status = atoll_mutex_init(&queue->lock);
    if (status != ATOLL_OK) {
        atoll_free(queue);
        return status;
    }
    queue->maxsize = maxsize;
    queue->policy = policy;
    atoll_ref_init(&queue->count);
    atomic_init(&queue->handles, 1);
    atoll_mutex_lock(&table_lock);
    add_to_table(queue);
    atoll_mutex_unlock(&table_lock);
    *out_queue = queue;
    return ATOLL_OK;
}

static void
free_queue(atoll_queue *queue)
{
    atoll_mutex_lock(&table_lock);
    remove_from_table(queue);
    atoll_mutex_unlock(&table_lock);
    (void)atomic_fetch_sub(&idle, 1);
    queue_release_frames(queue->items.first);
    atoll_mutex_fini(&queue->lock);
    atoll_free(queue);
}

/* The last reference is gone.  Frees it, or leaves that to the call further
 * up in this thread that is freeing a queue already. */
static void
discard(atoll_queue *queue)
{
    queue->trash = trash.first;
    trash.first = queue;
    if (trash.busy) {
        return;
    }
    trash.busy = true;
    while ((queue = trash.first) != NULL) {
        trash.first = queue->trash;
        free_queue(queue);
    }
    trash.busy = false;
}

/* --- The search for cycles.  Locks: table_lock, held. --- */

#define BUDGET 256

typedef struct search {
    atoll_queue *first; /* the members, in the order in which they came */
    atoll_queue *last;
    atoll_queue *todo; /* live members still to be visited */
    size_t steps;
    size_t budget;
} search;

/* [table_lock] */
static size_t given_up; /* cost of the searches that gave up */
static double each;     /* an idle queue that lives, in the last look at all */

typedef void (*visit_mention)(atoll_queue *mentioned, search *at);

/* Stops when the budget is spent. */
static void
visit_mentions(const atoll_queue *queue, visit_mention visit, search *at)
{
    at->steps++;
    for (const atoll_frame *frame = queue->items.first;
         frame != NULL && at->steps <= at->budget; frame = frame->next) {
        at->steps++;
        for (uint32_t i = 0; i < frame->nrefs; i++) {
            if (frame->refs[i].ops == &atoll_queue_ops) {
                visit(frame->refs[i].ptr, at);
            }
        }
    }
}

static void
add_member(search *at, atoll_queue *queue)
{
    queue->is_member = true;
    queue->is_live = false;
    queue->inner = 0;
    queue->member = NULL;
    if (at->last == NULL) {
        at->first = queue;
    }
    else {
        at->last->member = queue;
    }
    at->last = queue;
}

static void
count_mention(atoll_queue *mentioned, search *at)
{
    if (!mentioned->is_member) {
        if (atomic_load(&mentioned->handles) > 0) {
            return;
        }
        add_member(at, mentioned);
    }
    mentioned->inner++;
}

static void
keep_mention(atoll_queue *mentioned, search *at)
{
    if (mentioned->is_member && !mentioned->is_live) {
        mentioned->is_live = true;
        mentioned->todo = at->todo;
        at->todo = mentioned;
    }
}

/* Adds what the members reach, and counts.  False: the budget is spent. */
static bool
find_members(search *at)
{
    for (atoll_queue *queue = at->first; queue != NULL;
         queue = queue->member) {
        visit_mentions(queue, count_mention, at);
    }
    return at->steps <= at->budget;
}

static void
keep_reachable(search *at)
{
    at->budget = SIZE_MAX;
    at->steps = 0;
    for (atoll_queue *queue = at->first; queue != NULL;
         queue = queue->member) {
        if (atoll_ref_count(&queue->count) > queue->inner) {
            keep_mention(queue, at);
        }
    }
    while (at->todo != NULL) {
        atoll_queue *queue = at->todo;
        at->todo = queue->todo;
        visit_mentions(queue, keep_mention, at);
    }
}

/* Ends a search; takes the items of the members that are not live. */
static void
dissolve(search *at, frame_list *garbage)
{
    for (atoll_queue *queue = at->first; queue != NULL;
         queue = queue->member) {
        queue->is_member = false;
        if (garbage == NULL || queue->is_live || queue->items.first == NULL) {
            continue;
        }
        if (garbage->first == NULL) {
            garbage->first = queue->items.first;
        }
        else {
            garbage->last->next = queue->items.first;
        }
        garbage->last = queue->items.last;
        queue->items = (frame_list){0};
    }
}

static void
search_from(atoll_queue *start, frame_list *garbage)
{
    search at = {.budget = BUDGET};
    add_member(&at, start);
    if (find_members(&at)) {
        keep_reachable(&at);
        dissolve(&at, garbage);
        return;
    }
    dissolve(&at, NULL);
    given_up += at.steps;
    if ((double)given_up < each * (double)atomic_load(&idle)) {
        return;
    }
    at = (search){.budget = SIZE_MAX};
    for (atoll_queue *queue = table.first; queue; queue = queue->next) {
        if (atomic_load(&queue->handles) == 0
            && atoll_ref_count(&queue->count) > 0) {
            add_member(&at, queue);
        }
    }
    (void)find_members(&at);
    keep_reachable(&at);
    dissolve(&at, garbage);
    given_up = 0;
    each = (double)at.steps / (double)(atomic_load(&idle) + 1);
}

/* A reference to the queue of this id is gone: is what remains garbage?
 * Locks: none held. */
static void
collect(uint64_t id)
{
    frame_list garbage = {0};
    atoll_mutex_lock(&table_lock);
    atoll_queue *queue = look_up(id);
    if (queue != NULL && atomic_load(&queue->handles) == 0
        && atoll_ref_count(&queue->count) > 0 && queue->items.first != NULL) {
        search_from(queue, &garbage);
    }
    atoll_mutex_unlock(&table_lock);
    queue_release_frames(garbage.first);
}

/* --- References --- */

static void
acquire_mention(void *ptr)
{
    atoll_queue *queue = ptr;
    atoll_ref_acquire(&queue->count);
}

static void
release_mention(void *ptr)
{
    atoll_queue *queue = ptr;
    uint64_t id = queue->id;
    if (atoll_ref_release(&queue->count)) {
        discard(queue);
    }
    else {
        collect(id);
    }
}

const atoll_ref_ops atoll_queue_ops = {
    .name = "queue",
    .acquire = acquire_mention,
    .release = release_mention,
};

/* Locks: table_lock, held.  The caller has a reference for it already. */
static void
add_handle(atoll_queue *queue)
{
    if (atomic_fetch_add(&queue->handles, 1) == 0) {
        (void)atomic_fetch_sub(&idle, 1);
    }
}

void
atoll_queue_acquire(atoll_queue *queue)
{
    atoll_ref_acquire(&queue->count);
    uint64_t seen = atomic_load(&queue->handles);
    while (seen != 0) {
        if (atomic_compare_exchange_weak(&queue->handles, &seen, seen + 1)) {
            return;
        }
    }
    atoll_mutex_lock(&table_lock);
    add_handle(queue);
    atoll_mutex_unlock(&table_lock);
}

void
atoll_queue_release(atoll_queue *queue)
{
    uint64_t id = queue->id;
    bool last_handle = atomic_fetch_sub(&queue->handles, 1) == 1;
    if (last_handle) {
        (void)atomic_fetch_add(&idle, 1);
    }
    if (atoll_ref_release(&queue->count)) {
        discard(queue);
    }
    else if (last_handle) {
        collect(id);
    }
}

atoll_status
atoll_queue_find(uint64_t id, atoll_queue **out_queue)
{
    atoll_status status = ATOLL_E_NOTFOUND;
    atoll_mutex_lock(&table_lock);
    atoll_queue *queue = look_up(id);
    if (queue != NULL && atoll_ref_acquire_if_alive(&queue->count)) {
        add_handle(queue);
        *out_queue = queue;
        status = ATOLL_OK;
    }
    atoll_mutex_unlock(&table_lock);
    return status;
}

uint64_t
atoll_queue_live(void)
{
    atoll_mutex_lock(&table_lock);
    uint64_t count = table.count;
    atoll_mutex_unlock(&table_lock);
    return count;
}

/* The next living queue after `queue` (NULL: the first), with a handle. */
static atoll_queue *
next_queue(const atoll_queue *queue)
{
    atoll_mutex_lock(&table_lock);
    atoll_queue *at = queue == NULL ? table.first : queue->next;
    while (at != NULL && !atoll_ref_acquire_if_alive(&at->count)) {
        at = at->next;
    }
    if (at != NULL) {
        add_handle(at);
    }
    atoll_mutex_unlock(&table_lock);
    return at;
}

/* --- The end of a sender --- */

/* Locks: the queue's, held.  Carries out the policies of `sender`'s items up
 * to the one of number `last`.  Items that are to become empty ones take a frame of `blanks` each; if there
 * are not enough, returns how many are missing, and with `force` marks these
 * as lost with their content. */
static size_t
purge(atoll_queue *queue, int64_t sender, uint64_t last, bool force,
      frame_list *blanks, frame_list *gone)
{
    size_t missing = 0;
    frame_list kept = {0};
    atoll_frame *next;
    for (atoll_frame *item = queue->items.first; item != NULL; item = next) {
        next = item->next;
        unsigned policy = (unsigned)(item->tag & 0xff);
        if (item->sender != sender || policy == ATOLL_UNBOUND_KEEP
            || (item->tag & QUEUE_TAG_LOST)
            || item->tag >> QUEUE_TAG_SHIFT > last) {
            frame_list_push(&kept, item);
        }
        else if (policy == ATOLL_UNBOUND_REMOVE) {
            frame_list_push(gone, item);
            queue->unfinished -= queue->unfinished > 0;
        }
        else if (blanks->first != NULL) {
            atoll_frame *blank = frame_list_pop(blanks);
            blank->sender = sender;
            blank->tag = item->tag | QUEUE_TAG_LOST;
            frame_list_push(&kept, blank);
            frame_list_push(gone, item);
        }
        else {
            item->tag |= force ? QUEUE_TAG_LOST : 0;
            missing++;
            frame_list_push(&kept, item);
        }
    }
    queue->items = kept;
    return missing;
}

static void
purge_queue(atoll_queue *queue, int64_t sender)
{
    frame_list blanks = {0};
    frame_list gone = {0};
    queue_wakes wakes;
    queue_wakes_init(&wakes);
    uint64_t last = 0;
    for (bool force = false;; force = true) {
        atoll_mutex_lock(&queue->lock);
        last = force ? last : queue->sequence;
        size_t missing = purge(queue, sender, last, force, &blanks, &gone);
        queue_settle(queue, &wakes);
        atoll_mutex_unlock(&queue->lock);
        if (missing == 0 || force) {
            break;
        }
        while (blanks.count < missing) {
            atoll_frame *blank = atoll_frame_new();
            if (blank == NULL) {
                break;
            }
            frame_list_push(&blanks, blank);
        }
    }
    queue_wakes_send(&wakes);
    queue_release_frames(gone.first);
    queue_release_frames(blanks.first);
}

void
atoll_queue_sender_died(int64_t sender)
{
    async_owner_died(sender);
    atoll_queue *queue = next_queue(NULL);
    while (queue != NULL) {
        purge_queue(queue, sender);
        atoll_queue *next = next_queue(queue);
        atoll_queue_release(queue);
        queue = next;
    }
}

/* --- Fork --- */

void
atoll_queue_before_fork(void)
{
    atoll_mutex_lock(&table_lock);
    for (atoll_queue *at = table.first; at != NULL; at = at->next) {
        atoll_mutex_lock(&at->lock);
    }
    async_before_fork();
}

void
atoll_queue_parent_after_fork(void)
{
    async_parent_after_fork();
    for (atoll_queue *at = table.first; at != NULL; at = at->next) {
        atoll_mutex_unlock(&at->lock);
    }
    atoll_mutex_unlock(&table_lock);
}

/* Nodes of event loops stay their owner's to free; nodes of threads were on
 * stacks that are gone. */
static void
abandon_line(atoll_line *line)
{
    atoll_waiter *next;
    for (atoll_waiter *at = line->first; at != NULL; at = next) {
        next = at->next;
        if (at->parker == NULL) {
            async_abandon(at);
        }
    }
    line->first = NULL;
    line->last = NULL;
}

void
atoll_queue_after_fork(void)
{
    for (atoll_queue *at = table.first; at != NULL; at = at->next) {
        abandon_line(&at->getters);
        abandon_line(&at->putters);
        abandon_line(&at->watchers);
        abandon_line(&at->joiners);
        atoll_mutex_unlock(&at->lock);
    }
    async_after_fork();
    atoll_mutex_unlock(&table_lock);
}
