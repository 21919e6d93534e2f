/* Shared blocks: size, zero, alignment, lazy creation, references. */
#include "test.h"

#include "../../src/core/block.h"

static void
check_block(size_t size)
{
    atoll_block *block = NULL;
    NEED(atoll_block_new(size, &block) == ATOLL_OK);
    CHECK(block->data != NULL);
    CHECK(block->size == size);
    CHECK((uintptr_t)block->data % ATOLL_BLOCK_ALIGNMENT == 0);
    bool zero = true;
    for (size_t i = 0; i < size; i++) {
        zero = zero && block->data[i] == 0;
        block->data[i] = 0xff;
    }
    CHECK(zero);
    atoll_block_release(block);
}

static void
test_sizes(void)
{
    static const size_t sizes[]
        = {0,      1, 63, 64, 65, 4096, (1 << 18) - 1, 1 << 18, (1 << 18) + 1,
           5000000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        check_block(sizes[i]);
        check_block(sizes[i]);
    }
    CHECK(atoll_block_live() == 0);
}

static void
test_too_large(void)
{
    atoll_block *block = NULL;
    CHECK(atoll_block_new(SIZE_MAX, &block) == ATOLL_E_NOMEM);
    CHECK(atoll_block_new(SIZE_MAX - 100, &block) == ATOLL_E_NOMEM);
    CHECK(atoll_block_new(SIZE_MAX / 2, &block) == ATOLL_E_NOMEM);
    CHECK(block == NULL);
    CHECK(atoll_block_live() == 0);
}

static void
test_allocation_failures(void)
{
    atoll_block *block = NULL;
    (void)atoll_fail_allocation(1, true);
    CHECK(atoll_block_new(10, &block) == ATOLL_E_NOMEM);
    CHECK(atoll_block_new(1 << 20, &block) == ATOLL_E_NOMEM);
    (void)atoll_fail_allocation(0, false);
    CHECK(block == NULL);
}

static void
test_references(void)
{
    atoll_block *one, *two;
    NEED(atoll_block_new(100, &one) == ATOLL_OK);
    NEED(atoll_block_new(1 << 20, &two) == ATOLL_OK);
    CHECK(two->id > one->id && one->id > 0);
    atoll_frame *frame = frame_of(1);
    uint32_t index;
    atoll_block_ops.acquire(one);
    NEED(atoll_frame_attach(frame, &atoll_block_ops, one, &index) == ATOLL_OK);
    one->data[99] = 7;
    atoll_block_release(one);
    CHECK(atoll_block_live() == 2);
    CHECK(one->data[99] == 7);
    atoll_frame_release(frame);
    CHECK(atoll_block_live() == 1);
    atoll_block_acquire(two);
    atoll_block_release(two);
    CHECK(atoll_block_live() == 1);
    atoll_block_release(two);
    CHECK(atoll_block_live() == 0);
}

int
main(int argc, char **argv)
{
    RUN(test_sizes);
    RUN(test_too_large);
    RUN(test_allocation_failures);
    RUN(test_references);
    return test_end();
}
