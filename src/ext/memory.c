/* See memory.h.
 *
 * Two of CPython's allocators are wrapped: RAW, from which pymalloc takes
 * whatever is larger than 512 bytes, and the one for arenas, from which it
 * takes 1 MiB at a time for the rest.  So an interpreter's memory is known to
 * about an arena; with PYTHONMALLOC=malloc, where all three domains are wrapped,
 * to the byte.  Not seen is what does not go that way: C libraries' own
 * malloc (numpy's arrays, zlib's windows), mmap, atoll's messages on their way.
 *
 * A request is charged to the interpreter to which the thread is attached, a
 * block of the RAW domain that is freed is taken off the account of the one
 * that frees it, as large as malloc says it is; no header is added.  An arena
 * is taken off the account that it was put on.  What a thread does that is
 * attached to none is nobody's.  So the account of the main interpreter, which
 * is older than all counting, may be less than nothing.
 *
 * Installing.  CPython reads its tables of allocators without a lock, while
 * others may allocate.  So the context stays what it was, and any mix of old
 * and new functions works, since the new ones only count: a thread that still
 * uses an old one is not counted, no more.  What is held before is counted for
 * nobody, so an interpreter that is older than that is known by what it took
 * since.
 *
 * Accounts are found by the interpreter's address: a cache of one per thread,
 * valid while `epoch` stands still, else a table.  Accounts are never freed,
 * only given to another address.  An interpreter that is made at the address
 * of one that just ends, in the instant before ext_memory_forget, may lose
 * what it had then.
 *
 * Locks: memory.installing, for the installing alone, then memory.lock, which
 * guards the tables; nothing is allocated by CPython under that.
 */
#include "memory.h"

#include "errors.h"

#include "../core/table.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#if defined(__APPLE__)
#include <malloc/malloc.h>
#define usable_size malloc_size
#else
#include <malloc.h>
#define usable_size malloc_usable_size
#endif

struct ext_memory_account {
    _Atomic int64_t used;
    _Atomic int64_t limit;
    atomic_bool over;
    uint64_t life;            /* of how many interpreters it was [lock] */
    ext_memory_account *next; /* spare [lock] */
};

/* An arena that is in use. */
typedef struct arena {
    ext_memory_account *account;
    uint64_t life;
} arena;

static struct {
    pthread_mutex_t installing; /* one at a time; before any other lock */
    pthread_mutex_t lock;
    atomic_bool tracked;
    atomic_uint_fast64_t epoch;
    PyMemAllocatorEx raw; /* as it was; written before tracked */
    PyObjectArenaAllocator arenas;
    atoll_table accounts;      /* handle -> account [lock] */
    atoll_table owners;        /* arena's address -> arena [lock] */
    ext_memory_account *spare; /* [lock] */
    ext_memory_account nobody;
} memory = {.installing = PTHREAD_MUTEX_INITIALIZER,
            .lock = PTHREAD_MUTEX_INITIALIZER,
            .nobody = {.limit = EXT_MEMORY_UNLIMITED}};

void (*ext_memory_on_over)(void);

/* This thread's last account. */
static _Thread_local struct {
    void *handle;
    ext_memory_account *account;
    uint64_t epoch;
} last
#if defined(__linux__)
    __attribute__((tls_model("initial-exec")))
#endif
    ;

/* --- accounts ----------------------------------------------------------------- */

/* Locks: memory.lock.  NULL: out of memory. */
static ext_memory_account *
new_account(void)
{
    ext_memory_account *account = memory.spare;
    if (account != NULL) {
        memory.spare = account->next;
    }
    else {
        account = atoll_calloc(1, sizeof(*account));
    }
    if (account != NULL) {
        atomic_store(&account->used, 0);
        atomic_store(&account->limit, EXT_MEMORY_UNLIMITED);
        atomic_store(&account->over, false);
    }
    return account;
}

static ext_memory_account *
look_up(void *handle)
{
    (void)pthread_mutex_lock(&memory.lock);
    ext_memory_account *account
        = atoll_table_find(&memory.accounts, (uintptr_t)handle);
    if (account == NULL) {
        account = new_account();
        if (account == NULL
            || atoll_table_set(&memory.accounts, (uintptr_t)handle, account)
                   != ATOLL_OK) {
            account = &memory.nobody;
        }
    }
    (void)pthread_mutex_unlock(&memory.lock);
    return account;
}

/* What is rare is kept out of the functions below: so they save no registers
 * for it, which is half of what counting costs. */
#define RARE __attribute__((noinline, cold))

RARE static ext_memory_account *
find_account(PyThreadState *state, uint64_t epoch)
{
    last.account = look_up(state->interp);
    last.handle = state->interp;
    last.epoch = epoch;
    return last.account;
}

/* Of the interpreter that the caller is attached to. */
static inline ext_memory_account *
get_account(void)
{
    PyThreadState *state = ext_compat_attached();
    if (ATOLL_UNLIKELY(state == NULL)) {
        return &memory.nobody;
    }
    uint64_t epoch = atomic_load_explicit(&memory.epoch, memory_order_relaxed);
    if (ATOLL_UNLIKELY(last.handle != state->interp || last.epoch != epoch)) {
        return find_account(state, epoch);
    }
    return last.account;
}

RARE static void
report_over(ext_memory_account *account)
{
    if (!atomic_exchange(&account->over, true) && ext_memory_on_over != NULL) {
        ext_memory_on_over();
    }
}

/* Its writers hold one GIL, all but nobody's, whose number is of no use.
 * True: it is over its limit. */
static inline bool
add(ext_memory_account *account, int64_t size)
{
    int64_t used
        = atomic_load_explicit(&account->used, memory_order_relaxed) + size;
    atomic_store_explicit(&account->used, used, memory_order_relaxed);
    return used > atomic_load_explicit(&account->limit, memory_order_relaxed);
}

static inline void
charge(ext_memory_account *account, int64_t size)
{
    if (ATOLL_UNLIKELY(add(account, size))) {
        report_over(account);
    }
}

/* Is it more than may be had, the reserve included? */
static inline bool
is_refused(ext_memory_account *account, size_t size)
{
    int64_t left
        = atomic_load_explicit(&account->limit, memory_order_relaxed)
          - atomic_load_explicit(&account->used, memory_order_relaxed);
    if (ATOLL_LIKELY(size < INT64_MAX / 4
                     && left >= (int64_t)size - EXT_MEMORY_RESERVE)) {
        return false;
    }
    if (atomic_load(&account->limit) == EXT_MEMORY_UNLIMITED) {
        return false; /* more than anybody has: CPython's to refuse */
    }
    report_over(account);
    return true;
}

/* Less than this is asked for before it is looked whether it may be had: looking
 * once, afterwards, is what a loop of small blocks would notice. */
#define SMALL (EXT_MEMORY_RESERVE / 8)

/* --- the RAW domain ------------------------------------------------------------ */

/* The account is over its limit by a new block, which is NULL then if it is
 * more than may be had. */
RARE static void *
look_over(void *context, ext_memory_account *account, void *block)
{
    report_over(account);
    if (is_refused(account, 0)) {
        (void)add(account, -(int64_t)usable_size(block));
        memory.raw.free(context, block);
        return NULL;
    }
    return block;
}

static inline void *
charge_block(void *context, ext_memory_account *account, void *block)
{
    if (ATOLL_UNLIKELY(block == NULL)) {
        return NULL;
    }
    return ATOLL_UNLIKELY(add(account, (int64_t)usable_size(block)))
               ? look_over(context, account, block)
               : block;
}

static void *
raw_malloc(void *context, size_t size)
{
    ext_memory_account *account = get_account();
    if (ATOLL_UNLIKELY(size > SMALL) && is_refused(account, size)) {
        return NULL;
    }
    return charge_block(context, account, memory.raw.malloc(context, size));
}

static void *
raw_calloc(void *context, size_t count, size_t size)
{
    ext_memory_account *account = get_account();
    size_t sum;
    if (__builtin_mul_overflow(count, size, &sum)) {
        sum = SIZE_MAX; /* for CPython's function to refuse */
    }
    if (ATOLL_UNLIKELY(sum > SMALL) && is_refused(account, sum)) {
        return NULL;
    }
    return charge_block(context, account,
                        memory.raw.calloc(context, count, size));
}

static void *
raw_realloc(void *context, void *block, size_t size)
{
    ext_memory_account *account = get_account();
    int64_t before = block == NULL ? 0 : (int64_t)usable_size(block);
    if (size > (size_t)before && is_refused(account, size - (size_t)before)) {
        return NULL;
    }
    block = memory.raw.realloc(context, block, size);
    if (block != NULL) {
        charge(account, (int64_t)usable_size(block) - before);
    }
    return block;
}

static void
raw_free(void *context, void *block)
{
    if (block != NULL) {
        charge(get_account(), -(int64_t)usable_size(block));
    }
    memory.raw.free(context, block);
}

/* --- arenas --------------------------------------------------------------------- */

static void
note_owner(void *block, ext_memory_account *account)
{
    arena *owner = atoll_malloc(sizeof(*owner));
    if (owner == NULL) {
        return; /* it stays on the account */
    }
    (void)pthread_mutex_lock(&memory.lock);
    owner->account = account;
    owner->life = account->life;
    arena *old = atoll_table_remove(&memory.owners, (uintptr_t)block);
    if (atoll_table_set(&memory.owners, (uintptr_t)block, owner) != ATOLL_OK) {
        atoll_free(owner);
    }
    (void)pthread_mutex_unlock(&memory.lock);
    atoll_free(old);
}

static void *
arena_alloc(void *context, size_t size)
{
    ext_memory_account *account = get_account();
    if (is_refused(account, size)) {
        return NULL;
    }
    void *block = memory.arenas.alloc(context, size);
    if (block != NULL) {
        note_owner(block, account);
        charge(account, (int64_t)size);
    }
    return block;
}

static void
arena_free(void *context, void *block, size_t size)
{
    (void)pthread_mutex_lock(&memory.lock);
    arena *owner = atoll_table_remove(&memory.owners, (uintptr_t)block);
    if (owner != NULL && owner->life == owner->account->life) {
        /* Its interpreter's GIL is held, or it is being ended. */
        charge(owner->account, -(int64_t)size);
    }
    (void)pthread_mutex_unlock(&memory.lock);
    atoll_free(owner);
    memory.arenas.free(context, block, size);
}

/* --- for others ------------------------------------------------------------------ */

bool
ext_memory_is_tracked(void)
{
    return atomic_load(&memory.tracked);
}

/* PYTHONMALLOC=mimalloc: neither RAW nor arenas tell what it takes. */
static bool
uses_mimalloc(void)
{
    const char *chosen = getenv("PYTHONMALLOC");
    return chosen != NULL && strncmp(chosen, "mimalloc", 8) == 0;
}

/* PYTHONMALLOC=malloc: do all domains use the functions of RAW? */
static bool
uses_malloc(const PyMemAllocatorEx *raw)
{
    PyMemAllocatorEx mem;
    PyMemAllocatorEx obj;
    PyMem_GetAllocator(PYMEM_DOMAIN_MEM, &mem);
    PyMem_GetAllocator(PYMEM_DOMAIN_OBJ, &obj);
    return mem.malloc == raw->malloc && obj.malloc == raw->malloc;
}

/* Locks: memory.installing.  False: somebody else has wrapped them, with
 * headers of his own (debug hooks) or books that must agree (tracemalloc):
 * then there is a context. */
static bool
install(void)
{
    PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &memory.raw);
    PyObject_GetArenaAllocator(&memory.arenas);
    if (memory.raw.ctx != NULL || uses_mimalloc()) {
        return false;
    }
    PyMemAllocatorEx raw
        = {memory.raw.ctx, raw_malloc, raw_calloc, raw_realloc, raw_free};
    PyObjectArenaAllocator arenas
        = {memory.arenas.ctx, arena_alloc, arena_free};
    bool all = uses_malloc(&memory.raw);
    /* Whoever sees the new functions sees what they call. */
    atomic_thread_fence(memory_order_seq_cst);
    PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &raw);
    if (all) {
        PyMem_SetAllocator(PYMEM_DOMAIN_MEM, &raw);
        PyMem_SetAllocator(PYMEM_DOMAIN_OBJ, &raw);
    }
    else {
        PyObject_SetArenaAllocator(&arenas);
    }
    atomic_store(&memory.tracked, true);
    return true;
}

int
ext_memory_track(ext_state *st)
{
    if (ext_memory_is_tracked()) {
        return 0;
    }
    PyThreadState *saved = PyEval_SaveThread();
    (void)pthread_mutex_lock(&memory.installing);
    PyEval_RestoreThread(saved);
    bool done = ext_memory_is_tracked() || install();
    (void)pthread_mutex_unlock(&memory.installing);
    if (!done) {
        ext_error_format(st, EXT_ERR_INTERPRETER,
                         "memory cannot be tracked: CPython's allocators are "
                         "not its usual ones (-X dev, PYTHONMALLOC, "
                         "tracemalloc)");
        return -1;
    }
    return 0;
}

int64_t
ext_memory_used(void *handle)
{
    return ext_memory_is_tracked() ? atomic_load(&look_up(handle)->used) : -1;
}

void
ext_memory_set_limit(void *handle, int64_t limit)
{
    ext_memory_account *account = look_up(handle);
    atomic_store(&account->over, false);
    atomic_store(&account->limit, limit);
}

int64_t
ext_memory_lift_limit(void *handle)
{
    return ext_memory_is_tracked()
               ? atomic_exchange(&look_up(handle)->limit, EXT_MEMORY_UNLIMITED)
               : EXT_MEMORY_UNLIMITED;
}

void
ext_memory_restore_limit(void *handle, int64_t limit)
{
    if (limit != EXT_MEMORY_UNLIMITED) {
        atomic_store(&look_up(handle)->limit, limit);
    }
}

bool
ext_memory_is_over(void *handle)
{
    return atomic_load(&look_up(handle)->over);
}

void
ext_memory_forget(void *handle)
{
    if (!ext_memory_is_tracked()) {
        return;
    }
    (void)pthread_mutex_lock(&memory.lock);
    ext_memory_account *account
        = atoll_table_remove(&memory.accounts, (uintptr_t)handle);
    if (account != NULL) {
        account->life++;
        account->next = memory.spare;
        memory.spare = account;
        atomic_fetch_add(&memory.epoch, 1);
    }
    (void)pthread_mutex_unlock(&memory.lock);
}

void
ext_memory_before_fork(void)
{
    (void)pthread_mutex_lock(&memory.lock);
}

void
ext_memory_parent_after_fork(void)
{
    (void)pthread_mutex_unlock(&memory.lock);
}

void
ext_memory_after_fork(void)
{
    (void)pthread_mutex_init(&memory.lock, NULL);
    (void)pthread_mutex_init(&memory.installing, NULL);
}
