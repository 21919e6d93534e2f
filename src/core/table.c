/* See table.h. */
#include "table.h"

#include <string.h>

#define LEAST_BITS 4

void
atoll_table_init(atoll_table *table)
{
    memset(table, 0, sizeof(*table));
}

void
atoll_table_fini(atoll_table *table)
{
    atoll_free(table->slots);
    atoll_table_init(table);
}

/* Where the key is, or the free slot where it would be. */
static atoll_table_slot *
locate(const atoll_table *table, uint64_t key)
{
    size_t i = atoll_table_home(table, key);
    while (table->slots[i].value != NULL && table->slots[i].key != key) {
        i = (i + 1) & table->mask;
    }
    return &table->slots[i];
}

static atoll_status
resize(atoll_table *table, uint32_t bits)
{
    atoll_table bigger = {
        .slots = atoll_calloc((size_t)1 << bits, sizeof(*bigger.slots)),
        .mask = ((size_t)1 << bits) - 1,
        .count = table->count,
        .shift = 64 - bits,
    };
    if (bigger.slots == NULL) {
        return ATOLL_E_NOMEM;
    }
    for (size_t i = 0; table->slots != NULL && i <= table->mask; i++) {
        if (table->slots[i].value != NULL) {
            *locate(&bigger, table->slots[i].key) = table->slots[i];
        }
    }
    atoll_free(table->slots);
    *table = bigger;
    return ATOLL_OK;
}

atoll_status
atoll_table_set(atoll_table *table, uint64_t key, void *value)
{
    if (table->slots == NULL || table->count + 1 > table->mask / 2) {
        uint32_t bits
            = table->slots == NULL ? LEAST_BITS : 64 - table->shift + 1;
        atoll_status status = resize(table, bits);
        if (status != ATOLL_OK) {
            return status;
        }
    }
    atoll_table_slot *slot = locate(table, key);
    table->count += slot->value == NULL;
    slot->key = key;
    slot->value = value;
    return ATOLL_OK;
}

void *
atoll_table_remove(atoll_table *table, uint64_t key)
{
    if (table->count == 0) {
        return NULL;
    }
    atoll_table_slot *slot = locate(table, key);
    void *value = slot->value;
    if (value == NULL) {
        return NULL;
    }
    table->count--;
    size_t hole = (size_t)(slot - table->slots);
    for (size_t i = (hole + 1) & table->mask; table->slots[i].value != NULL;
         i = (i + 1) & table->mask) {
        /* It may move into the hole unless its home lies between. */
        size_t home = atoll_table_home(table, table->slots[i].key);
        if (((i - home) & table->mask) >= ((i - hole) & table->mask)) {
            table->slots[hole] = table->slots[i];
            hole = i;
        }
    }
    table->slots[hole].value = NULL;
    return value;
}

bool
atoll_table_next(const atoll_table *table, size_t *pos, void **out_value)
{
    while (table->slots != NULL && *pos <= table->mask) {
        void *value = table->slots[(*pos)++].value;
        if (value != NULL) {
            *out_value = value;
            return true;
        }
    }
    return false;
}
