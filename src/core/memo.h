/* The identity memo: which address was written under which number.
 *
 * An open-addressing table that is kept between uses: emptying it is one
 * increment, since an entry counts only if it bears the present generation.
 * So the encoder of many small values pays neither for clearing nor for
 * allocating.  A table that one large value has made big is given back.
 *
 * Numbers count from 0; the addresses stand in their order in `keys`, too.
 *
 * Owns: its table; the addresses are not followed.
 * Locks: none; one thread at a time.
 */
#ifndef ATOLL_CORE_MEMO_H
#define ATOLL_CORE_MEMO_H

#include "base.h"

typedef struct atoll_memo_entry {
    const void *key;
    uint32_t generation;
    uint32_t value;
} atoll_memo_entry;

typedef struct atoll_memo {
    atoll_memo_entry *entries; /* NULL: nothing allocated yet */
    const void **keys;         /* `used` of them, by number */
    size_t mask;
    size_t used;
    uint32_t generation;
    uint32_t shift;
} atoll_memo;

/* Allocates nothing; never fails. */
void
atoll_memo_init(atoll_memo *memo);
void
atoll_memo_fini(atoll_memo *memo);
/* Back to empty. */
void
atoll_memo_reset(atoll_memo *memo);

static inline size_t
atoll_memo_slot(const atoll_memo *memo, const void *key)
{
    uint64_t word = (uint64_t)(uintptr_t)key >> 4;
    return (size_t)((word * UINT64_C(0x9E3779B97F4A7C15)) >> memo->shift);
}

static inline bool
atoll_memo_find(const atoll_memo *memo, const void *key, uint32_t *out_value)
{
    if (memo->used == 0) {
        return false;
    }
    for (size_t i = atoll_memo_slot(memo, key);; i = (i + 1) & memo->mask) {
        const atoll_memo_entry *entry = &memo->entries[i];
        if (entry->generation != memo->generation) {
            return false;
        }
        if (entry->key == key) {
            *out_value = entry->value;
            return true;
        }
    }
}

/* Makes room for one more.  Fails: ATOLL_E_NOMEM. */
atoll_status
atoll_memo_grow(atoll_memo *memo);

/* The number of key if it has one (*out_found); else it gets the next one.
 * Fails: ATOLL_E_NOMEM. */
static inline atoll_status
atoll_memo_add(atoll_memo *memo, const void *key, bool *out_found,
               uint32_t *out_value)
{
    if (ATOLL_UNLIKELY(memo->entries == NULL || memo->used * 2 > memo->mask)) {
        atoll_status status = atoll_memo_grow(memo);
        if (status != ATOLL_OK) {
            return status;
        }
    }
    for (size_t i = atoll_memo_slot(memo, key);; i = (i + 1) & memo->mask) {
        atoll_memo_entry *entry = &memo->entries[i];
        if (entry->generation != memo->generation) {
            entry->key = key;
            entry->generation = memo->generation;
            entry->value = (uint32_t)memo->used;
            memo->keys[memo->used++] = key;
            *out_found = false;
            return ATOLL_OK;
        }
        if (entry->key == key) {
            *out_found = true;
            *out_value = entry->value;
            return ATOLL_OK;
        }
    }
}

#endif
