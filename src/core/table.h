/* A hash table from 64-bit keys (ids, addresses) to pointers.
 *
 * Open addressing with linear probing; removal shifts what follows back, so
 * there are no tombstones and a table in which things come and go for ever
 * stays as it was.
 *
 * Owns: its slots; neither keys nor values are followed.
 * Locks: none; its user's lock, or the GIL, guards it.
 */
#ifndef ATOLL_CORE_TABLE_H
#define ATOLL_CORE_TABLE_H

#include "base.h"

typedef struct atoll_table_slot {
    uint64_t key;
    void *value; /* NULL: free */
} atoll_table_slot;

typedef struct atoll_table {
    atoll_table_slot *slots; /* NULL: nothing allocated yet */
    size_t mask;
    size_t count;
    uint32_t shift;
} atoll_table;

/* Allocates nothing; never fails. */
void
atoll_table_init(atoll_table *table);
void
atoll_table_fini(atoll_table *table);

static inline size_t
atoll_table_home(const atoll_table *table, uint64_t key)
{
    /* Fibonacci hashing: addresses differ in their middle bits. */
    return (size_t)((key * UINT64_C(0x9E3779B97F4A7C15)) >> table->shift);
}

/* NULL: not there. */
static inline void *
atoll_table_find(const atoll_table *table, uint64_t key)
{
    if (table->count == 0) {
        return NULL;
    }
    for (size_t i = atoll_table_home(table, key);; i = (i + 1) & table->mask) {
        const atoll_table_slot *slot = &table->slots[i];
        if (slot->value == NULL || slot->key == key) {
            return slot->value;
        }
    }
}

/* Adds or replaces; value is not NULL.  Fails: ATOLL_E_NOMEM, unchanged. */
atoll_status
atoll_table_set(atoll_table *table, uint64_t key,
                void *value) ATOLL_MUST_CHECK;
/* Returns what was there, or NULL. */
void *
atoll_table_remove(atoll_table *table, uint64_t key);

/* Iteration: start with *pos = 0; false at the end.  Nothing may be added or
 * removed meanwhile. */
bool
atoll_table_next(const atoll_table *table, size_t *pos, void **out_value);

#endif
