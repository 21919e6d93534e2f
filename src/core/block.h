/* A block: counted memory that belongs to the process, not to an interpreter.
 *
 * The memory is zeroed, 64-byte aligned, never moves, and goes when the last
 * reference in any interpreter or message goes.  Large blocks are mapped, so
 * that creation costs the same for every size and untouched pages cost
 * nothing.
 *
 * Locks: none; what is written into the memory is the users' business.
 */
#ifndef ATOLL_CORE_BLOCK_H
#define ATOLL_CORE_BLOCK_H

#include "frame.h"

#define ATOLL_BLOCK_ALIGNMENT 64

typedef struct atoll_block {
    uint8_t *data; /* never NULL, size 0 included */
    size_t size;   /* as asked for */
    uint64_t id;   /* from 1, never reused in the process */
    size_t mapped; /* bytes mapped for data; 0: data is in this allocation */
    atoll_refcount count;
} atoll_block;

/* Fails: ATOLL_E_NOMEM (too large, too). */
atoll_status
atoll_block_new(size_t size, atoll_block **out_block) ATOLL_MUST_CHECK;
void
atoll_block_acquire(atoll_block *block);
void
atoll_block_release(atoll_block *block);
/* How many live now, for leak tests. */
uint64_t
atoll_block_live(void);

extern const atoll_ref_ops atoll_block_ops;

#endif
