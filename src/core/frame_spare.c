/* See frame_spare.h.
 *
 * A thread's own spares are a list linked by frame->next; a batch that lies
 * in a slot is such a list, too.  A thread that ends gives its spares back to
 * malloc (a pthread key's destructor); frames that are freed even later by
 * other destructors make the key call again.
 *
 * A buffer in a slot holds its own size in its first bytes.
 *
 * With AddressSanitizer nothing is kept: it would not see a use after free.
 */
#include "frame_spare.h"

#include <pthread.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define KEEPS 0
#else
#define KEEPS 1
#endif

typedef struct thread_spares {
    atoll_frame *first;
    uint32_t count;
    bool registered; /* the key will call */
} thread_spares;

static _Thread_local thread_spares mine;

static _Atomic(atoll_frame *) batches[ATOLL_SPARE_BATCHES];
static _Atomic uint32_t nbatches; /* about; tells whether to look */
static _Atomic(uint8_t *) buffers[ATOLL_SPARE_BUFFERS];

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool have_key;

/* Back to malloc: what was kept is not counted as used. */
static void
free_spare(void *ptr)
{
    if (ptr != NULL) {
        atoll_count_use(1);
        atoll_free(ptr);
    }
}

static void
free_list(atoll_frame *frame)
{
    while (frame != NULL) {
        atoll_frame *next = frame->next;
        free_spare(frame);
        frame = next;
    }
}

static void
end_thread(void *arg)
{
    thread_spares *spares = arg;
    free_list(spares->first);
    *spares = (thread_spares){0};
}

static void
make_key(void)
{
    have_key = pthread_key_create(&key, end_thread) == 0;
}

/* False: this thread's end would not be noticed, so it keeps nothing. */
static bool
register_thread(thread_spares *spares)
{
    (void)pthread_once(&once, make_key);
    spares->registered = have_key && pthread_setspecific(key, spares) == 0;
    return spares->registered;
}

/* --- Frames --- */

static atoll_frame *
take_batch(void)
{
    if (atomic_load_explicit(&nbatches, memory_order_relaxed) == 0) {
        return NULL;
    }
    for (size_t i = 0; i < ATOLL_SPARE_BATCHES; i++) {
        if (atomic_load_explicit(&batches[i], memory_order_relaxed) == NULL) {
            continue;
        }
        atoll_frame *first = atomic_exchange_explicit(&batches[i], NULL,
                                                      memory_order_acquire);
        if (first != NULL) {
            (void)atomic_fetch_sub(&nbatches, 1);
            return first;
        }
    }
    return NULL;
}

static void
give_batch(atoll_frame *first)
{
    for (size_t i = 0; i < ATOLL_SPARE_BATCHES; i++) {
        atoll_frame *empty = NULL;
        if (atomic_load_explicit(&batches[i], memory_order_relaxed) == NULL
            && atomic_compare_exchange_strong_explicit(
                &batches[i], &empty, first, memory_order_release,
                memory_order_relaxed)) {
            (void)atomic_fetch_add(&nbatches, 1);
            return;
        }
    }
    free_list(first);
}

static atoll_frame *
take_more(thread_spares *spares)
{
    atoll_frame *first = take_batch();
    if (first == NULL) {
        return atoll_malloc(sizeof(*first));
    }
    atoll_count_use(1);
    if (!spares->registered && !register_thread(spares)) {
        free_list(first->next);
        return first;
    }
    spares->first = first->next;
    spares->count = ATOLL_SPARE_BATCH - 1;
    return first;
}

atoll_frame *
atoll_spare_take_frame(void)
{
    thread_spares *spares = &mine;
    atoll_frame *frame = spares->first;
    if (ATOLL_UNLIKELY(frame == NULL)) {
        return take_more(spares);
    }
    if (ATOLL_UNLIKELY(atoll_allocation_fails())) {
        return NULL;
    }
    spares->first = frame->next;
    spares->count--;
    atoll_count_use(1);
    return frame;
}

/* Gives the newer half of the two batches that a thread may have away. */
static void
pass_batch_on(thread_spares *spares)
{
    atoll_frame *first = spares->first;
    atoll_frame *last = first;
    for (int i = 1; i < ATOLL_SPARE_BATCH; i++) {
        last = last->next;
    }
    spares->first = last->next;
    spares->count -= ATOLL_SPARE_BATCH;
    last->next = NULL;
    give_batch(first);
}

void
atoll_spare_give_frame(atoll_frame *frame)
{
    thread_spares *spares = &mine;
    if (!KEEPS
        || (ATOLL_UNLIKELY(!spares->registered) && !register_thread(spares))) {
        atoll_free(frame);
        return;
    }
    atoll_count_use(-1);
    frame->next = spares->first;
    spares->first = frame;
    if (ATOLL_UNLIKELY(++spares->count == 2 * ATOLL_SPARE_BATCH)) {
        pass_batch_on(spares);
    }
}

/* --- Buffers --- */

static size_t
size_of(const uint8_t *data)
{
    size_t cap;
    memcpy(&cap, data, sizeof(cap));
    return cap;
}

/* Puts it into an empty slot; false: there is none. */
static bool
store_buffer(uint8_t *data)
{
    for (size_t i = 0; i < ATOLL_SPARE_BUFFERS; i++) {
        uint8_t *empty = NULL;
        if (atomic_compare_exchange_strong(&buffers[i], &empty, data)) {
            return true;
        }
    }
    return false;
}

uint8_t *
atoll_spare_take_buffer(size_t want, size_t *out_cap)
{
    *out_cap = want;
    if (want < ATOLL_SPARE_SMALLEST || want > ATOLL_SPARE_LARGEST) {
        return atoll_malloc(want);
    }
    for (size_t i = 0; i < ATOLL_SPARE_BUFFERS; i++) {
        uint8_t *data = atomic_exchange(&buffers[i], NULL);
        if (data == NULL) {
            continue;
        }
        size_t cap = size_of(data);
        if (cap >= want && cap / 4 <= want && !atoll_allocation_fails()) {
            *out_cap = cap;
            atoll_count_use(1);
            return data;
        }
        /* Of another size: back, or, when others were quicker, away. */
        if (!store_buffer(data)) {
            free_spare(data);
        }
    }
    return atoll_malloc(want);
}

void
atoll_spare_give_buffer(uint8_t *data, size_t cap)
{
    if (!KEEPS || cap < ATOLL_SPARE_SMALLEST || cap > ATOLL_SPARE_LARGEST) {
        atoll_free(data);
        return;
    }
    memcpy(data, &cap, sizeof(cap));
    atoll_count_use(-1);
    if (store_buffer(data)) {
        return;
    }
    /* All slots are taken, perhaps by sizes that nobody wants any more: the
     * newest one stays. */
    static _Atomic uint32_t turn;
    uint32_t i = atomic_fetch_add(&turn, 1) % ATOLL_SPARE_BUFFERS;
    data = atomic_exchange(&buffers[i], data);
    free_spare(data);
}
