/* The wire format: tagged values in a frame, and the only code that reads and
 * writes raw bytes of it.
 *
 * A value is one tag byte and what the tag says.  Bit 7: the byte is a small
 * int by itself.  Bit 6 (ATOLL_TAG_MEMO): the value gets the next memo
 * number, by which a later ATOLL_TAG_REF names it; that is how shared and
 * cyclic references keep their shape.  Lists, dicts, sets and tuples get it
 * before their items, everything else after its content.
 *
 * Numbers of fixed size are in the machine's own order, since a frame never
 * leaves the process; counts are varints (7 bits a byte, low ones first).
 * Large strings may be attachments (pinned), so no address is ever read from
 * the bytes.
 *
 * The reader never reads beyond its end, whatever the bytes say, and every
 * count is checked against what is left before anything is allocated by it:
 * each item of a container takes a byte at least.
 *
 * Writers keep `at` and `end` in registers and give the length back to the
 * frame in close; between open and close nobody else touches the frame.
 */
#ifndef ATOLL_CORE_WIRE_H
#define ATOLL_CORE_WIRE_H

#include <string.h>

#include "frame.h"

#define ATOLL_TAG_INT 0x80u  /* bit: the other 7 are the int minus the least */
#define ATOLL_TAG_MEMO 0x40u /* bit */
#define ATOLL_INT_LEAST (-5)
#define ATOLL_INT_COUNT 128
#define ATOLL_INTS_MOST 255 /* in one run */

/* Layouts after the tag, n a varint unless said otherwise, V a value. */
typedef enum atoll_tag {
    ATOLL_TAG_END = 0, /* closes what has no count */
    ATOLL_TAG_NONE,
    ATOLL_TAG_FALSE,
    ATOLL_TAG_TRUE,
    ATOLL_TAG_ELLIPSIS,
    ATOLL_TAG_NOTIMPLEMENTED,
    ATOLL_TAG_INT16,   /* 2 bytes */
    ATOLL_TAG_INT32,   /* 4 */
    ATOLL_TAG_INT64,   /* 8 */
    ATOLL_TAG_BIGINT,  /* n, n bytes, two's complement */
    ATOLL_TAG_FLOAT,   /* 8 */
    ATOLL_TAG_COMPLEX, /* 16 */
    ATOLL_TAG_ASCII,   /* length in 1 byte, so many bytes */
    ATOLL_TAG_STR,   /* kind in 1 byte (atoll_str_kind), n, n * width bytes */
    ATOLL_TAG_KEY,   /* 1 byte: length | 0x80 if interned; so many bytes of
                      ASCII: a short str that is likely to come again */
    ATOLL_TAG_BYTES, /* n, n bytes */
    ATOLL_TAG_BYTEARRAY, /* n, n bytes */
    ATOLL_TAG_PIN_STR,   /* kind, n, attachment number */
    ATOLL_TAG_PIN_BYTES, /* n, attachment number */
    ATOLL_TAG_EMPTY_TUPLE,
    ATOLL_TAG_RANGE,     /* 3 ints, with their tags */
    ATOLL_TAG_REF,       /* memo number */
    ATOLL_TAG_INTS,      /* count in 1 byte, so many times 4 bytes: as many
                            values of the list or tuple that it stands in */
    ATOLL_TAG_TUPLE,     /* n, n V; the first that holds values */
    ATOLL_TAG_LIST,      /* n, n V */
    ATOLL_TAG_DICT,      /* n, n pairs of V */
    ATOLL_TAG_SET,       /* n, n V */
    ATOLL_TAG_FROZENSET, /* n, n V; with MEMO then END, or REPLACED */
    ATOLL_TAG_SLICE,     /* 3 V; the last native one that holds values */
    ATOLL_TAG_CROSSING,  /* number of the registered type, attachment number */
    ATOLL_TAG_DEF,       /* attachment number of a definition */
    ATOLL_TAG_GLOBAL,    /* V module, V qualified name */
    ATOLL_TAG_REDUCE,    /* V callable, V args; then parts (atoll_part) */
    ATOLL_TAG_NEWOBJ,    /* V class, V args for __new__; then parts */
    ATOLL_TAG_NEWOBJ_EX, /* V class, V args, V kwargs; then parts */
    ATOLL_TAG_INSTANCE,  /* V class; n, n pairs of V: its attributes */
    ATOLL_TAG_EXCEPTION, /* group size + 1 or 0, V class, [V message]; then
                            REPLACED or 0 as a part; then [V members of the
                            group] and the V of transfer_impl.h */
    ATOLL_TAG_REPLACED,  /* memo number: the value just built was built inside
                           itself already; that one is meant */
    ATOLL_TAG_NO_ARGS,   /* a call's arguments, none */
    ATOLL_TAG_ARGS,      /* nargs, nkw, nkw V names, all V */
    ATOLL_TAG_COUNT,
} atoll_tag;

/* What follows the making of an object: a byte of these bits, and what they
 * announce in this order.  REPLACED stands alone. */
typedef enum atoll_part {
    ATOLL_PART_REPLACED = 1, /* memo number: as ATOLL_TAG_REPLACED */
    ATOLL_PART_ITEMS = 2,    /* V... END: to extend it with */
    ATOLL_PART_PAIRS = 4,    /* (V V)... END: to set in it */
    ATOLL_PART_SETTER = 8,   /* V: setter(obj, state) */
    ATOLL_PART_STATE = 16,   /* V */
    ATOLL_PART_CHAIN = 32,   /* V cause, V context, V suppress, V notes */
    ATOLL_PART_ALL = 63,
} atoll_part;

/* The low 3 bits are the width. */
typedef enum atoll_str_kind {
    ATOLL_STR_UCS1 = 1,
    ATOLL_STR_UCS2 = 2,
    ATOLL_STR_UCS4 = 4,
    ATOLL_STR_ASCII = 9,
} atoll_str_kind;

#define ATOLL_KEY_MAX 32 /* longest str written as a key */

/* ---- writing ---- */

typedef struct atoll_writer {
    uint8_t *at;
    uint8_t *end;
    atoll_frame *frame;
} atoll_writer;

static inline void
atoll_writer_open(atoll_writer *writer, atoll_frame *frame)
{
    writer->frame = frame;
    writer->at = frame->data + frame->len;
    writer->end = frame->data + frame->cap;
}

static inline void
atoll_writer_close(atoll_writer *writer)
{
    writer->frame->len = (size_t)(writer->at - writer->frame->data);
}

/* Out of line half of room.  Fails: ATOLL_E_NOMEM. */
atoll_status
atoll_writer_grow(atoll_writer *writer, size_t more);

/* Makes sure that `more` bytes can be put without a further check. */
static inline atoll_status
atoll_writer_room(atoll_writer *writer, size_t more)
{
    if (ATOLL_LIKELY((size_t)(writer->end - writer->at) >= more)) {
        return ATOLL_OK;
    }
    return atoll_writer_grow(writer, more);
}

/* Room for a tag and the longest thing of fixed size behind it. */
#define ATOLL_WRITE_ROOM 24
#define ATOLL_VARINT_MAX 10

/* The put functions need room, made before. */
static inline void
atoll_put_u8(atoll_writer *writer, unsigned value)
{
    *writer->at++ = (uint8_t)value;
}

static inline void
atoll_put_raw(atoll_writer *writer, const void *data, size_t size)
{
    memcpy(writer->at, data, size);
    writer->at += size;
}

static inline void
atoll_put_varint(atoll_writer *writer, uint64_t value)
{
    while (value >= 0x80) {
        *writer->at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *writer->at++ = (uint8_t)value;
}

/* Whether an int is a byte by itself. */
static inline bool
atoll_int_is_small(int32_t value)
{
    return (uint32_t)value - (uint32_t)ATOLL_INT_LEAST < ATOLL_INT_COUNT;
}

/* An int of 32 bits, tag included: the shortest form.  Needs 5 bytes; returns
 * what is behind it. */
static inline uint8_t *
atoll_write_int32(uint8_t *at, int32_t value)
{
    if (atoll_int_is_small(value)) {
        *at = (uint8_t)(ATOLL_TAG_INT | (unsigned)(value - ATOLL_INT_LEAST));
        return at + 1;
    }
    if (value == (int16_t)value) {
        int16_t narrow = (int16_t)value;
        *at = ATOLL_TAG_INT16;
        memcpy(at + 1, &narrow, sizeof(narrow));
        return at + 1 + sizeof(narrow);
    }
    *at = ATOLL_TAG_INT32;
    memcpy(at + 1, &value, sizeof(value));
    return at + 1 + sizeof(value);
}

/* Any int of 64 bits, likewise.  Needs 9 bytes. */
static inline void
atoll_put_int(atoll_writer *writer, int64_t value)
{
    if (value == (int32_t)value) {
        writer->at = atoll_write_int32(writer->at, (int32_t)value);
    }
    else {
        *writer->at++ = ATOLL_TAG_INT64;
        atoll_put_raw(writer, &value, sizeof(value));
    }
}

/* ---- reading ---- */

typedef struct atoll_reader {
    const uint8_t *at;
    const uint8_t *end;
} atoll_reader;

static inline size_t
atoll_reader_left(const atoll_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

static inline bool
atoll_get_u8(atoll_reader *reader, unsigned *out_value)
{
    if (ATOLL_UNLIKELY(reader->at == reader->end)) {
        return false;
    }
    *out_value = *reader->at++;
    return true;
}

/* Points into the frame. */
static inline bool
atoll_get_raw(atoll_reader *reader, size_t size, const uint8_t **out_data)
{
    if (ATOLL_UNLIKELY(atoll_reader_left(reader) < size)) {
        return false;
    }
    *out_data = reader->at;
    reader->at += size;
    return true;
}

static inline bool
atoll_get_copy(atoll_reader *reader, void *dest, size_t size)
{
    const uint8_t *data;
    if (!atoll_get_raw(reader, size, &data)) {
        return false;
    }
    memcpy(dest, data, size);
    return true;
}

/* Out of line half of get_varint. */
bool
atoll_get_long_varint(atoll_reader *reader, uint64_t *out_value);

static inline bool
atoll_get_varint(atoll_reader *reader, uint64_t *out_value)
{
    if (ATOLL_LIKELY(reader->at != reader->end && *reader->at < 0x80)) {
        *out_value = *reader->at++;
        return true;
    }
    return atoll_get_long_varint(reader, out_value);
}

/* A count of things that take `least` bytes each (1 at least): false if there
 * cannot be so many. */
static inline bool
atoll_get_count(atoll_reader *reader, size_t least, size_t *out_count)
{
    uint64_t count;
    if (!atoll_get_varint(reader, &count)
        || count > atoll_reader_left(reader) / least) {
        return false;
    }
    *out_count = (size_t)count;
    return true;
}

/* What stands behind ATOLL_TAG_INTS, of `most` ints at most: points into the
 * frame, at ints that are not aligned.  False if it is empty, too many, or not
 * all there. */
static inline bool
atoll_get_ints(atoll_reader *reader, size_t most, size_t *out_count,
               const uint8_t **out_data)
{
    unsigned count;
    if (!atoll_get_u8(reader, &count) || count == 0 || count > most) {
        return false;
    }
    *out_count = count;
    return atoll_get_raw(reader, count * sizeof(int32_t), out_data);
}

/* Whether `size` characters of the kind are exactly of that kind: all of an
 * ASCII str below 0x80; one at least of the others beyond what the next
 * smaller kind holds, none beyond Unicode.  A str object of the wrong kind
 * would not equal its twin. */
bool
atoll_str_is_exact(atoll_str_kind kind, const void *data, size_t size);

/* An attachment of the given ops, or NULL. */
static inline void *
atoll_get_attachment(atoll_reader *reader, const atoll_frame *frame,
                     const atoll_ref_ops *ops)
{
    uint64_t index;
    if (!atoll_get_varint(reader, &index) || index >= frame->nrefs
        || frame->refs[index].ops != ops) {
        return NULL;
    }
    return frame->refs[index].ptr;
}

/* Attachments that are memory pinned by the sender for the time of a call:
 * not counted here. */
extern const atoll_ref_ops atoll_pin_ops;

#endif
