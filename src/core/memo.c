/* See memo.h. */
#include "memo.h"

#include <string.h>

#define FIRST_SIZE 64u
#define KEPT_SIZE 4096u /* entries; 80 KiB with the keys */

/* One block holds the entries and, behind them, the keys: of a table that is
 * at most half full. */
static size_t
block_size(size_t size)
{
    return size * sizeof(atoll_memo_entry)
           + (size / 2 + 1) * sizeof(const void *);
}

static void
set_table(atoll_memo *memo, atoll_memo_entry *entries, size_t size)
{
    memo->entries = entries;
    memo->keys = entries == NULL ? NULL : (const void **)(entries + size);
    memo->mask = size == 0 ? 0 : size - 1;
    memo->used = 0;
    memo->generation = 1; /* of calloc's zeroes none counts */
    memo->shift = 64;
    for (size_t rest = size; rest > 1; rest >>= 1) {
        memo->shift--;
    }
}

void
atoll_memo_init(atoll_memo *memo)
{
    set_table(memo, NULL, 0);
}

void
atoll_memo_fini(atoll_memo *memo)
{
    atoll_free(memo->entries);
    set_table(memo, NULL, 0);
}

void
atoll_memo_reset(atoll_memo *memo)
{
    if (memo->used == 0) {
        return;
    }
    if (memo->mask >= KEPT_SIZE) {
        atoll_memo_fini(memo);
        return;
    }
    memo->used = 0;
    if (++memo->generation == 0) {
        memset(memo->entries, 0, (memo->mask + 1) * sizeof(*memo->entries));
        memo->generation = 1;
    }
}

atoll_status
atoll_memo_grow(atoll_memo *memo)
{
    size_t size = memo->entries == NULL ? FIRST_SIZE : (memo->mask + 1) * 4;
    atoll_memo_entry *entries = atoll_calloc(1, block_size(size));
    if (entries == NULL) {
        return ATOLL_E_NOMEM;
    }
    atoll_memo old = *memo;
    set_table(memo, entries, size);
    for (size_t value = 0; value < old.used; value++) {
        const void *key = old.keys[value];
        size_t to = atoll_memo_slot(memo, key);
        while (entries[to].generation == memo->generation) {
            to = (to + 1) & memo->mask;
        }
        entries[to].key = key;
        entries[to].generation = memo->generation;
        entries[to].value = (uint32_t)value;
        memo->keys[memo->used++] = key;
    }
    atoll_free(old.entries);
    return ATOLL_OK;
}
