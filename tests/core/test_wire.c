/* The wire format's readers and writers, and the identity memo. */
#include "test.h"

#include "../../src/core/memo.h"
#include "../../src/core/wire.h"

#define OBJECTS 5000

/* ---- the memo ---- */

static void
test_memo_numbers(void)
{
    static char objects[OBJECTS][16];
    atoll_memo memo;
    atoll_memo_init(&memo);
    for (int round = 0; round < 3; round++) {
        uint32_t value = 0;
        bool found = false;
        CHECK(!atoll_memo_find(&memo, objects[0], &value));
        for (uint32_t i = 0; i < OBJECTS; i++) {
            CHECK(atoll_memo_add(&memo, objects[i], &found, &value)
                  == ATOLL_OK);
            CHECK(!found);
        }
        CHECK(memo.used == OBJECTS);
        for (uint32_t i = 0; i < OBJECTS; i++) {
            CHECK(atoll_memo_find(&memo, objects[i], &value) && value == i);
            CHECK(memo.keys[i] == objects[i]);
            CHECK(atoll_memo_add(&memo, objects[i], &found, &value)
                  == ATOLL_OK);
            CHECK(found && value == i);
        }
        CHECK(!atoll_memo_find(&memo, &memo, &value));
        atoll_memo_reset(&memo);
    }
    atoll_memo_fini(&memo);
}

/* Emptied often enough for the generation to come round. */
static void
test_memo_generations(void)
{
    char objects[8][16];
    atoll_memo memo;
    atoll_memo_init(&memo);
    uint32_t value;
    bool found = false;
    CHECK(atoll_memo_add(&memo, objects[0], &found, &value) == ATOLL_OK);
    atoll_memo_reset(&memo);
    memo.generation = UINT32_MAX - 3;
    for (int i = 0; i < 8; i++) {
        CHECK(!atoll_memo_find(&memo, objects[i], &value));
        for (int j = 0; j < 8; j++) {
            CHECK(atoll_memo_add(&memo, objects[j], &found, &value)
                  == ATOLL_OK);
            CHECK(!found);
        }
        atoll_memo_reset(&memo);
    }
    atoll_memo_fini(&memo);
}

static void
test_memo_out_of_memory(void)
{
    char objects[100][16];
    atoll_memo memo;
    atoll_memo_init(&memo);
    uint32_t value;
    bool found;
    atoll_fail_allocation(1, true);
    CHECK(atoll_memo_add(&memo, objects[0], &found, &value) == ATOLL_E_NOMEM);
    atoll_fail_allocation(0, false);
    int refused = 0;
    for (int i = 0; i < 100; i++) {
        atoll_fail_allocation(i % 2 == 0 ? 1 : 0, false);
        if (atoll_memo_add(&memo, objects[i], &found, &value) != ATOLL_OK) {
            refused++;
            atoll_fail_allocation(0, false);
            CHECK(atoll_memo_add(&memo, objects[i], &found, &value)
                  == ATOLL_OK);
        }
    }
    atoll_fail_allocation(0, false);
    CHECK(refused > 0);
    for (uint32_t i = 0; i < 100; i++) {
        CHECK(atoll_memo_find(&memo, objects[i], &value) && value == i);
    }
    atoll_memo_fini(&memo);
}

/* ---- numbers ---- */

static void
test_varints(void)
{
    atoll_frame frame;
    atoll_frame_init(&frame);
    for (unsigned bits = 0; bits <= 64; bits++) {
        for (int64_t off = -1; off <= 1; off++) {
            uint64_t value
                = (bits == 64 ? 0 : UINT64_C(1) << bits) + (uint64_t)off;
            uint64_t got = 0;
            atoll_frame_reset(&frame);
            atoll_writer writer;
            atoll_writer_open(&writer, &frame);
            CHECK(atoll_writer_room(&writer, ATOLL_VARINT_MAX) == ATOLL_OK);
            atoll_put_varint(&writer, value);
            atoll_writer_close(&writer);
            CHECK(frame.len <= ATOLL_VARINT_MAX);
            atoll_reader reader = {frame.data, frame.data + frame.len};
            CHECK(atoll_get_varint(&reader, &got) && got == value);
            CHECK(atoll_reader_left(&reader) == 0);
            for (size_t cut = 0; cut < frame.len; cut++) {
                reader.at = frame.data;
                reader.end = frame.data + cut;
                CHECK(!atoll_get_varint(&reader, &got));
            }
        }
    }
    atoll_frame_fini(&frame);
}

static void
test_bad_varints(void)
{
    static const uint8_t longer[]
        = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02};
    static const uint8_t endless[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
                                      0x80, 0x80, 0x80, 0x80, 0x80, 0x01};
    uint64_t got;
    size_t count;
    atoll_reader reader = {longer, longer + sizeof(longer)};
    CHECK(!atoll_get_varint(&reader, &got));
    reader = (atoll_reader){endless, endless + sizeof(endless)};
    CHECK(!atoll_get_varint(&reader, &got));
    /* Five things of two bytes each cannot be in nine. */
    static const uint8_t five[] = {5, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    reader = (atoll_reader){five, five + sizeof(five)};
    CHECK(!atoll_get_count(&reader, 2, &count));
    reader.at = five;
    CHECK(atoll_get_count(&reader, 1, &count) && count == 5);
}

static void
test_raw_reads_stay_inside(void)
{
    static const uint8_t data[4] = {1, 2, 3, 4};
    atoll_reader reader = {data, data + 4};
    const uint8_t *raw;
    uint8_t copy[8];
    unsigned byte;
    CHECK(!atoll_get_raw(&reader, 5, &raw));
    CHECK(!atoll_get_raw(&reader, SIZE_MAX, &raw));
    CHECK(!atoll_get_copy(&reader, copy, 5));
    CHECK(atoll_get_copy(&reader, copy, 3) && copy[2] == 3);
    CHECK(atoll_get_u8(&reader, &byte) && byte == 4);
    CHECK(!atoll_get_u8(&reader, &byte));
    CHECK(atoll_get_raw(&reader, 0, &raw));
    CHECK(!atoll_get_raw(&reader, 1, &raw));
}

/* The shortest form, and never more than promised. */
static void
test_ints(void)
{
    atoll_frame frame;
    atoll_frame_init(&frame);
    static const struct {
        int64_t value;
        size_t size;
    } cases[] = {
        {-5, 1},
        {122, 1},
        {-6, 3},
        {123, 3},
        {INT16_MIN, 3},
        {INT16_MAX, 3},
        {INT16_MAX + 1, 5},
        {INT32_MIN, 5},
        {INT32_MAX, 5},
        {(int64_t)INT32_MAX + 1, 9},
        {INT64_MIN, 9},
        {INT64_MAX, 9},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        atoll_frame_reset(&frame);
        atoll_writer writer;
        atoll_writer_open(&writer, &frame);
        CHECK(atoll_writer_room(&writer, ATOLL_WRITE_ROOM) == ATOLL_OK);
        atoll_put_int(&writer, cases[i].value);
        atoll_writer_close(&writer);
        CHECK(frame.len == cases[i].size);
    }
    atoll_frame_fini(&frame);
}

/* A run of ints: some, no more than wanted, all there. */
static void
test_runs_of_ints(void)
{
    static const uint8_t data[] = {2, 1, 2, 3, 4, 5, 6, 7, 8};
    static const uint8_t none[] = {0, 1, 2, 3, 4};
    size_t count = 0;
    const uint8_t *ints = NULL;
    atoll_reader reader = {data, data + sizeof(data)};
    CHECK(atoll_get_ints(&reader, 2, &count, &ints));
    CHECK(count == 2 && ints == data + 1 && reader.at == reader.end);
    reader.at = data;
    CHECK(!atoll_get_ints(&reader, 1, &count, &ints));
    reader = (atoll_reader){data, data + sizeof(data) - 1};
    CHECK(!atoll_get_ints(&reader, 2, &count, &ints));
    reader = (atoll_reader){data, data};
    CHECK(!atoll_get_ints(&reader, 2, &count, &ints));
    reader = (atoll_reader){none, none + sizeof(none)};
    CHECK(!atoll_get_ints(&reader, 2, &count, &ints));
}

/* ---- strings and attachments ---- */

static void
test_exact_kinds(void)
{
    static const uint8_t ascii[] = "plain";
    static const uint8_t latin[] = {'a', 0xE9};
    static const uint16_t two[] = {'a', 0x416};
    static const uint16_t narrow[] = {'a', 0xE9};
    static const uint32_t four[] = {'a', 0x1F600};
    static const uint32_t beyond[] = {'a', 0x110000};
    CHECK(atoll_str_is_exact(ATOLL_STR_ASCII, ascii, 5));
    CHECK(!atoll_str_is_exact(ATOLL_STR_UCS1, ascii, 5));
    CHECK(atoll_str_is_exact(ATOLL_STR_UCS1, latin, 2));
    CHECK(!atoll_str_is_exact(ATOLL_STR_ASCII, latin, 2));
    CHECK(atoll_str_is_exact(ATOLL_STR_UCS2, two, 2));
    CHECK(!atoll_str_is_exact(ATOLL_STR_UCS2, narrow, 2));
    CHECK(atoll_str_is_exact(ATOLL_STR_UCS4, four, 2));
    CHECK(!atoll_str_is_exact(ATOLL_STR_UCS4, beyond, 2));
    CHECK(!atoll_str_is_exact((atoll_str_kind)3, ascii, 1));
}

static void
test_attachments(void)
{
    atoll_frame frame;
    atoll_frame_init(&frame);
    int memory;
    uint32_t index;
    CHECK(atoll_frame_attach(&frame, &atoll_pin_ops, &memory, &index)
          == ATOLL_OK);
    static const uint8_t numbers[] = {0, 1, 0x80};
    static const atoll_ref_ops other = {.name = "other"};
    atoll_reader reader = {numbers, numbers + sizeof(numbers)};
    CHECK(atoll_get_attachment(&reader, &frame, &other) == NULL);
    reader.at = numbers;
    CHECK(atoll_get_attachment(&reader, &frame, &atoll_pin_ops) == &memory);
    CHECK(atoll_get_attachment(&reader, &frame, &atoll_pin_ops) == NULL);
    CHECK(atoll_get_attachment(&reader, &frame, &atoll_pin_ops) == NULL);
    atoll_frame_fini(&frame);
}

static void
test_growth(void)
{
    atoll_frame frame;
    atoll_frame_init(&frame);
    atoll_writer writer;
    atoll_writer_open(&writer, &frame);
    for (unsigned i = 0; i < 100000; i++) {
        CHECK(atoll_writer_room(&writer, 1) == ATOLL_OK);
        atoll_put_u8(&writer, i & 0xFF);
    }
    CHECK(atoll_writer_room(&writer, SIZE_MAX - 10) == ATOLL_E_NOMEM);
    atoll_fail_allocation(1, true);
    CHECK(atoll_writer_room(&writer, 1 << 24) == ATOLL_E_NOMEM);
    atoll_fail_allocation(0, false);
    atoll_writer_close(&writer);
    CHECK(frame.len == 100000);
    for (unsigned i = 0; i < 100000; i++) {
        CHECK(frame.data[i] == (i & 0xFF));
    }
    atoll_frame_fini(&frame);
}

int
main(int argc, char **argv)
{
    RUN(test_memo_numbers);
    RUN(test_memo_generations);
    RUN(test_memo_out_of_memory);
    RUN(test_varints);
    RUN(test_bad_varints);
    RUN(test_raw_reads_stay_inside);
    RUN(test_ints);
    RUN(test_runs_of_ints);
    RUN(test_exact_kinds);
    RUN(test_attachments);
    RUN(test_growth);
    return test_end();
}
