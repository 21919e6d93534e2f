/* See wire.h: the halves that are not worth inlining. */
#include "wire.h"

atoll_status
atoll_writer_grow(atoll_writer *writer, size_t more)
{
    atoll_writer_close(writer);
    /* Some slack, so that the few bytes that follow a large payload do not
     * make it move again. */
    size_t slack = more > 4096 ? 256 : 0;
    if (more > SIZE_MAX - slack) {
        return ATOLL_E_NOMEM;
    }
    atoll_status status = atoll_frame_grow(writer->frame, more + slack);
    if (status == ATOLL_OK) {
        atoll_writer_open(writer, writer->frame);
    }
    return status;
}

bool
atoll_get_long_varint(atoll_reader *reader, uint64_t *out_value)
{
    uint64_t value = 0;
    const uint8_t *at = reader->at;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (at == reader->end) {
            return false;
        }
        uint8_t byte = *at++;
        if (shift == 63 && byte > 1) {
            return false;
        }
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            reader->at = at;
            *out_value = value;
            return true;
        }
    }
    return false;
}

/* The loops have no early exit, so that compilers make vectors of them: they
 * run at the speed of memory. */

static uint8_t
all_bits_of_bytes(const uint8_t *data, size_t size)
{
    uint8_t bits = 0;
    for (size_t i = 0; i < size; i++) {
        bits |= data[i];
    }
    return bits;
}

/* Characters stand unaligned in a frame: memcpy, which is a plain load. */

static uint16_t
all_bits_of_ucs2(const uint8_t *data, size_t size)
{
    uint16_t bits = 0;
    for (size_t i = 0; i < size; i++) {
        uint16_t c;
        memcpy(&c, data + 2 * i, sizeof(c));
        bits |= c;
    }
    return bits;
}

static uint32_t
largest_of_ucs4(const uint8_t *data, size_t size)
{
    uint32_t largest = 0;
    for (size_t i = 0; i < size; i++) {
        uint32_t c;
        memcpy(&c, data + 4 * i, sizeof(c));
        largest = c > largest ? c : largest;
    }
    return largest;
}

bool
atoll_str_is_exact(atoll_str_kind kind, const void *data, size_t size)
{
    switch (kind) {
    case ATOLL_STR_ASCII:
        return all_bits_of_bytes(data, size) < 0x80;
    case ATOLL_STR_UCS1:
        return all_bits_of_bytes(data, size) >= 0x80;
    case ATOLL_STR_UCS2:
        return all_bits_of_ucs2(data, size) > 0xFF;
    case ATOLL_STR_UCS4: {
        uint32_t largest = largest_of_ucs4(data, size);
        return largest > 0xFFFF && largest <= 0x10FFFF;
    }
    default:
        return false;
    }
}

static void
count_nothing(void *ptr)
{
    (void)ptr;
}

const atoll_ref_ops atoll_pin_ops = {
    .name = "pinned memory",
    .acquire = count_nothing,
    .release = count_nothing,
};
