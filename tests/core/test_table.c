/* The table from 64-bit keys to pointers, against a model. */
#include "test.h"

#include "../../src/core/table.h"

#define KEYS 512

static void
test_empty(void)
{
    atoll_table table;
    atoll_table_init(&table);
    size_t pos = 0;
    void *value;
    CHECK(atoll_table_find(&table, 0) == NULL);
    CHECK(atoll_table_find(&table, 7) == NULL);
    CHECK(atoll_table_remove(&table, 7) == NULL);
    CHECK(!atoll_table_next(&table, &pos, &value));
    atoll_table_fini(&table);
}

static void
test_replace(void)
{
    atoll_table table;
    atoll_table_init(&table);
    int one, two;
    CHECK(atoll_table_set(&table, 0, &one) == ATOLL_OK);
    CHECK(atoll_table_set(&table, 0, &two) == ATOLL_OK);
    CHECK(table.count == 1);
    CHECK(atoll_table_find(&table, 0) == &two);
    CHECK(atoll_table_remove(&table, 0) == &two);
    CHECK(atoll_table_remove(&table, 0) == NULL);
    CHECK(table.count == 0);
    atoll_table_fini(&table);
}

/* Compares the table with the model: what is there, and nothing else. */
static void
check_all(const atoll_table *table, const uint64_t *keys, char **model)
{
    size_t count = 0, pos = 0;
    void *value;
    for (size_t i = 0; i < KEYS; i++) {
        count += model[i] != NULL;
        CHECK(atoll_table_find(table, keys[i]) == model[i]);
    }
    CHECK(table->count == count);
    while (atoll_table_next(table, &pos, &value)) {
        count--;
    }
    CHECK(count == 0);
}

static void
test_random_steps(void)
{
    uint64_t state = test_seed("table");
    static uint64_t keys[KEYS];
    static char cells[KEYS], *model[KEYS];
    atoll_table table;
    atoll_table_init(&table);
    for (size_t i = 0; i < KEYS; i++) {
        /* Like addresses, like ids, and like nothing at all. */
        keys[i] = i % 3 == 0   ? 0x7f0000000000u + i * 64
                  : i % 3 == 1 ? i
                               : test_random(&state);
    }
    for (int step = 0; step < 200000; step++) {
        size_t i = (size_t)(test_random(&state) % KEYS);
        /* Phases of growing and of shrinking. */
        bool add = (test_random(&state) & 7) < ((step >> 13) & 1 ? 2u : 6u);
        if (add) {
            CHECK(atoll_table_set(&table, keys[i], &cells[i]) == ATOLL_OK);
            model[i] = &cells[i];
        }
        else {
            CHECK(atoll_table_remove(&table, keys[i]) == model[i]);
            model[i] = NULL;
        }
        if (step % 1000 == 0) {
            check_all(&table, keys, model);
        }
    }
    check_all(&table, keys, model);
    atoll_table_fini(&table);
}

/* What comes and goes for ever takes no more room. */
static void
test_no_growth(void)
{
    atoll_table table;
    atoll_table_init(&table);
    int value;
    for (uint64_t i = 0; i < 100000; i++) {
        CHECK(atoll_table_set(&table, i, &value) == ATOLL_OK);
        if (i >= 10) {
            CHECK(atoll_table_remove(&table, i - 10) == &value);
        }
    }
    CHECK(table.count == 10);
    CHECK(table.mask < 64);
    atoll_table_fini(&table);
}

static void
test_out_of_memory(void)
{
    atoll_table table;
    int value;
    for (uint64_t fail = 1; fail < 8; fail++) {
        atoll_table_init(&table);
        (void)atoll_fail_allocation(fail, true);
        uint64_t i = 0;
        while (atoll_table_set(&table, i, &value) == ATOLL_OK) {
            i++;
        }
        (void)atoll_fail_allocation(0, false);
        CHECK(table.count == i);
        CHECK(atoll_table_find(&table, i) == NULL);
        for (uint64_t j = 0; j < i; j++) {
            CHECK(atoll_table_find(&table, j) == &value);
        }
        CHECK(atoll_table_set(&table, i, &value) == ATOLL_OK);
        atoll_table_fini(&table);
    }
}

int
main(int argc, char **argv)
{
    RUN(test_empty);
    RUN(test_replace);
    RUN(test_random_steps);
    RUN(test_no_growth);
    RUN(test_out_of_memory);
    return test_end();
}
