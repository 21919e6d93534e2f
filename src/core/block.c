/* See block.h.  Small blocks are one allocation, header and memory; large ones
 * have their memory mapped, zero and untouched. */
#include "block.h"

#include <string.h>
#include <sys/mman.h>

#define MAP_FROM ((size_t)1 << 18)

static _Atomic uint64_t last_id;
static _Atomic uint64_t live;

static atoll_block *
new_small(size_t size)
{
    /* calloc gives 16-byte alignment at least. */
    size_t room = sizeof(atoll_block) + ATOLL_BLOCK_ALIGNMENT + size;
    atoll_block *block = atoll_calloc(1, room);
    if (block == NULL) {
        return NULL;
    }
    uintptr_t start = (uintptr_t)(block + 1);
    start = (start + ATOLL_BLOCK_ALIGNMENT - 1)
            & ~(uintptr_t)(ATOLL_BLOCK_ALIGNMENT - 1);
    block->data = (uint8_t *)start;
    return block;
}

static atoll_block *
new_large(size_t size)
{
    if (size > PTRDIFF_MAX) {
        return NULL;
    }
    atoll_block *block = atoll_calloc(1, sizeof(*block));
    if (block == NULL) {
        return NULL;
    }
    void *data = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) {
        atoll_free(block);
        return NULL;
    }
    block->data = data;
    block->mapped = size;
    return block;
}

atoll_status
atoll_block_new(size_t size, atoll_block **out_block)
{
    atoll_block *block = size < MAP_FROM ? new_small(size) : new_large(size);
    if (block == NULL) {
        return ATOLL_E_NOMEM;
    }
    block->size = size;
    block->id = atomic_fetch_add(&last_id, 1) + 1;
    atoll_ref_init(&block->count);
    (void)atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    *out_block = block;
    return ATOLL_OK;
}

void
atoll_block_acquire(atoll_block *block)
{
    atoll_ref_acquire(&block->count);
}

void
atoll_block_release(atoll_block *block)
{
    if (!atoll_ref_release(&block->count)) {
        return;
    }
    if (block->mapped != 0) {
        (void)munmap(block->data, block->mapped);
    }
    atoll_free(block);
    (void)atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
}

uint64_t
atoll_block_live(void)
{
    return atomic_load_explicit(&live, memory_order_relaxed);
}

static void
acquire_any(void *ptr)
{
    atoll_block_acquire(ptr);
}

static void
release_any(void *ptr)
{
    atoll_block_release(ptr);
}

const atoll_ref_ops atoll_block_ops = {
    .name = "shared buffer",
    .acquire = acquire_any,
    .release = release_any,
};
