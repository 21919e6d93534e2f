/* The wire format's readers on any bytes: they never read beyond the end
 * (ASan watches an exact copy), never go back, never promise more than there
 * is, and what they read is what the writers write.
 *
 * The first byte is how many attachments the frame has; the rest is walked
 * value by value, as the decoder does, without making objects.
 *
 * tests/fuzz/run SECONDS builds and runs it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../../src/core/wire.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                     \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                        \
        }                                                                   \
    } while (0)

#define MOST_ATTACHMENTS 8
#define MOST_VALUES 100000

/* A value's number, written and read again. */
static void
check_varint(uint64_t value)
{
    uint8_t bytes[ATOLL_VARINT_MAX];
    atoll_writer writer = {.at = bytes, .end = bytes + sizeof(bytes)};
    atoll_put_varint(&writer, value);
    MUST(writer.at <= writer.end);
    atoll_reader reader = {bytes, writer.at};
    uint64_t again = ~value;
    MUST(atoll_get_varint(&reader, &again));
    MUST(again == value && reader.at == reader.end);
    /* One byte less is not enough. */
    reader = (atoll_reader){bytes, writer.at - 1};
    MUST(!atoll_get_varint(&reader, &again));
}

static void
check_int(int64_t value)
{
    uint8_t bytes[ATOLL_WRITE_ROOM];
    atoll_writer writer = {.at = bytes, .end = bytes + sizeof(bytes)};
    atoll_put_int(&writer, value);
    size_t size = (size_t)(writer.at - bytes);
    MUST(size == 1 || size == 3 || size == 5 || size == 9);
    if (size == 1) {
        MUST((bytes[0] & ATOLL_TAG_INT)
             && (bytes[0] & 0x7f) + ATOLL_INT_LEAST == value);
    }
}

/* A str of the given kind: exactness is decided without reading too far. */
static bool
walk_str(atoll_reader *reader, unsigned kind)
{
    size_t width = kind & 7;
    size_t count;
    const uint8_t *data;
    if ((width != 1 && width != 2 && width != 4)
        || !atoll_get_count(reader, width, &count)) {
        return false;
    }
    MUST(count <= atoll_reader_left(reader) / width);
    MUST(atoll_get_raw(reader, count * width, &data));
    (void)atoll_str_is_exact((atoll_str_kind)kind, data, count);
    return true;
}

static bool
skip(atoll_reader *reader, size_t size)
{
    uint8_t copy[16];
    MUST(size <= sizeof(copy));
    return atoll_get_copy(reader, copy, size);
}

/* Leaves: true if one was there; *out_inner counts the values that follow. */
static bool
walk_one(atoll_reader *reader, const atoll_frame *frame, size_t *out_inner)
{
    unsigned tag;
    unsigned kind;
    size_t count;
    uint64_t number;
    const uint8_t *data;
    *out_inner = 0;
    if (!atoll_get_u8(reader, &tag)) {
        return false;
    }
    if (tag & ATOLL_TAG_INT) {
        return true;
    }
    switch (tag & ~ATOLL_TAG_MEMO) {
    case ATOLL_TAG_INT16:
        return skip(reader, 2);
    case ATOLL_TAG_INT32:
        return skip(reader, 4);
    case ATOLL_TAG_INTS:
        if (!atoll_get_ints(reader, 100, &count, &data)) {
            return false;
        }
        MUST(count > 0 && count <= 100);
        MUST(data + count * sizeof(int32_t) == reader->at);
        return true;
    case ATOLL_TAG_INT64: {
        int64_t value;
        if (!atoll_get_copy(reader, &value, sizeof(value))) {
            return false;
        }
        check_int(value);
        check_varint((uint64_t)value);
        return true;
    }
    case ATOLL_TAG_FLOAT:
        return skip(reader, 8);
    case ATOLL_TAG_COMPLEX:
        return skip(reader, 16);
    case ATOLL_TAG_ASCII:
    case ATOLL_TAG_KEY:
        return atoll_get_u8(reader, &kind)
               && atoll_get_raw(reader, kind & 0x7f, &data);
    case ATOLL_TAG_STR:
        return atoll_get_u8(reader, &kind) && walk_str(reader, kind);
    case ATOLL_TAG_BIGINT:
    case ATOLL_TAG_BYTES:
    case ATOLL_TAG_BYTEARRAY:
        return atoll_get_count(reader, 1, &count)
               && atoll_get_raw(reader, count, &data);
    case ATOLL_TAG_PIN_STR:
    case ATOLL_TAG_PIN_BYTES:
        return atoll_get_varint(reader, &number)
               && atoll_get_attachment(reader, frame, &atoll_pin_ops) != NULL;
    case ATOLL_TAG_REF:
    case ATOLL_TAG_REPLACED:
    case ATOLL_TAG_DEF:
        if (!atoll_get_varint(reader, &number)) {
            return false;
        }
        check_varint(number);
        return true;
    case ATOLL_TAG_DICT:
        if (!atoll_get_count(reader, 2, &count)) {
            return false;
        }
        MUST(count <= atoll_reader_left(reader) / 2);
        *out_inner = 2 * count;
        return true;
    case ATOLL_TAG_TUPLE:
    case ATOLL_TAG_LIST:
    case ATOLL_TAG_SET:
    case ATOLL_TAG_FROZENSET:
        if (!atoll_get_count(reader, 1, &count)) {
            return false;
        }
        MUST(count <= atoll_reader_left(reader));
        *out_inner = count;
        return true;
    default:
        return true;
    }
}

static void
walk(atoll_reader *reader, const atoll_frame *frame)
{
    const uint8_t *end = reader->end;
    size_t pending = SIZE_MAX; /* until the end, or until one is refused */
    for (size_t i = 0; i < MOST_VALUES && pending > 0; i++) {
        const uint8_t *before = reader->at;
        size_t inner;
        bool ok = walk_one(reader, frame, &inner);
        MUST(reader->at >= before && reader->at <= end);
        MUST(reader->end == end);
        if (!ok) {
            return;
        }
        MUST(reader->at > before);
        MUST(inner <= (size_t)(end - before));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    atoll_frame frame;
    atoll_frame_init(&frame);
    uint32_t index;
    for (unsigned i = 0; i < data[0] % MOST_ATTACHMENTS; i++) {
        MUST(atoll_frame_attach(&frame, &atoll_pin_ops, &frame, &index)
             == ATOLL_OK);
    }
    /* An exact copy, so that one byte too far is found. */
    uint8_t *copy = malloc(size - 1 ? size - 1 : 1);
    MUST(copy != NULL);
    memcpy(copy, data + 1, size - 1);
    atoll_reader reader = {copy, copy + size - 1};
    walk(&reader, &frame);
    /* And every reader at every place. */
    for (size_t i = 0; i < size - 1 && i < 64; i++) {
        uint64_t number;
        size_t count;
        reader.at = copy + i;
        if (atoll_get_varint(&reader, &number)) {
            check_varint(number);
        }
        MUST(reader.at <= reader.end);
        reader.at = copy + i;
        if (atoll_get_count(&reader, 1 + data[0] % 9, &count)) {
            MUST(count <= atoll_reader_left(&reader));
        }
        MUST(reader.at <= reader.end);
    }
    free(copy);
    atoll_frame_fini(&frame);
    return 0;
}
