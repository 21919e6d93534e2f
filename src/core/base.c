/* The core's allocator: libc's, with a counter that tests can arm.
 *
 * Not armed, it costs one relaxed load an allocation.  Once armed, it counts
 * what is in use, too: what was in use before is not known.
 */
#include "base.h"

#include <stdlib.h>
#include <string.h>

#include "atomic.h"

static atomic_bool armed;
static atomic_bool sticky_failure;
static _Atomic uint64_t made;
static _Atomic uint64_t fail_at;
static _Atomic int64_t in_use;

void
atoll_count_use(int pieces)
{
    if (ATOLL_UNLIKELY(atomic_load_explicit(&armed, memory_order_relaxed))) {
        (void)atomic_fetch_add(&in_use, pieces);
    }
}

/* Counts what was allocated; NULL was not. */
static void *
counted(void *ptr)
{
    if (ptr != NULL) {
        atoll_count_use(1);
    }
    return ptr;
}

static bool
must_fail(void)
{
    if (ATOLL_LIKELY(!atomic_load_explicit(&armed, memory_order_relaxed))) {
        return false;
    }
    uint64_t number = atomic_fetch_add(&made, 1) + 1;
    uint64_t at = atomic_load(&fail_at);
    if (at == 0) {
        return false;
    }
    return atomic_load(&sticky_failure) ? number >= at : number == at;
}

void *
atoll_malloc(size_t size)
{
    return must_fail() ? NULL : counted(malloc(size ? size : 1));
}

void *
atoll_calloc(size_t count, size_t size)
{
    return must_fail() ? NULL
                       : counted(calloc(count ? count : 1, size ? size : 1));
}

char *
atoll_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = atoll_malloc(size);
    return copy == NULL ? NULL : memcpy(copy, text, size);
}

void *
atoll_realloc(void *ptr, size_t size)
{
    if (ptr == NULL) {
        return atoll_malloc(size);
    }
    return must_fail() ? NULL : realloc(ptr, size ? size : 1);
}

void
atoll_free(void *ptr)
{
    if (ptr != NULL) {
        atoll_count_use(-1);
    }
    free(ptr);
}

bool
atoll_allocation_fails(void)
{
    return must_fail();
}

uint64_t
atoll_fail_allocation(uint64_t n, bool sticky)
{
    uint64_t before = atomic_exchange(&made, 0);
    atomic_store(&sticky_failure, sticky);
    atomic_store(&fail_at, n);
    atomic_store(&armed, true);
    return before;
}

int64_t
atoll_allocations_in_use(void)
{
    return atomic_load(&in_use);
}
