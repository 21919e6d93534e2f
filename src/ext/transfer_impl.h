/* What the files of the transfer share: encode*.c, decode*.c, transfer.c.
 * Nobody else includes it; transfer.h is for the others.
 *
 * Both directions keep their own stack on the heap, never C recursion, so
 * that nesting of any depth crosses.
 */
#ifndef ATOLL_EXT_TRANSFER_IMPL_H
#define ATOLL_EXT_TRANSFER_IMPL_H

#include "transfer.h"

#include "errors.h"
#include "../core/memo.h"
#include "../core/wire.h"

#define EXT_MAX_CROSSINGS 24
#define EXT_KEY_CACHE 1024 /* entries, a power of two */

/* From this size on a payload is pinned where pinning is possible. */
#define EXT_PIN_LEAST 1024

typedef struct ext_registered {
    PyTypeObject *type; /* owned */
    const ext_crossing *crossing;
} ext_registered;

/* The part's state in one interpreter. */
typedef struct transfer_part {
    atoll_memo memo; /* the encoder's, kept between uses */
    bool memo_taken; /* by an encoder that is at work; others make their own */
    int n_crossings;
    ext_registered crossings[EXT_MAX_CROSSINGS];
    /* The ints that one byte stands for. */
    PyObject *small_ints[ATOLL_INT_COUNT];
    /* Short str that came lately, by content: the keys of dicts come again
     * and again, and a cached one has its hash already. */
    PyObject *keys[EXT_KEY_CACHE];
} transfer_part;

static inline transfer_part *
ext_transfer_part_of(ext_state *st)
{
    return st->parts[EXT_PART_TRANSFER];
}

/* ---- encoding ---- */

typedef enum enc_kind {
    ENC_LIST,      /* index: next item */
    ENC_TUPLE,     /* index: next item */
    ENC_SLICE,     /* index: next of three */
    ENC_DICT,      /* index: items written; pos: PyDict_Next's */
    ENC_SET,       /* index: items written; other: its iterator */
    ENC_FROZENSET, /* the same */
} enc_kind;

typedef struct enc_frame {
    PyObject *obj;   /* owned: what is being written */
    PyObject *other; /* owned or NULL.  DICT: while a key is written (phase
                        1) its value, while a value is written (phase 0) its
                        key, which the path in a message needs */
    Py_ssize_t index;
    Py_ssize_t size;
    Py_ssize_t pos;
    uint8_t kind;
    uint8_t phase;
    bool memo; /* it gets, or has, a memo number */
} enc_frame;

#define ENC_INLINE 12

/* One run of the encoder.
 *
 * `impure` says that Python code has run, or may have: until then nothing
 * can change under our feet and the memo's addresses stay those of living
 * objects; from then on the memo owns a reference to each. */
typedef struct encoder {
    atoll_writer w;
    ext_state *st;
    transfer_part *part;
    atoll_memo *memo; /* NULL: not needed so far */
    uint32_t next_memo;
    bool impure;
    unsigned flags;
    ext_pins *pins;
    enc_frame *stack;
    size_t depth;
    size_t cap;
    size_t frozen; /* frozensets on the stack */
    const char *root;
    /* For the arguments of a call, whose place is in messages. */
    Py_ssize_t arg; /* -1: no arguments */
    Py_ssize_t nargs;
    PyObject *kwnames;
    atoll_memo own_memo;
    enc_frame inline_stack[ENC_INLINE];
} encoder;

/* The results of enc_value and of the functions it calls. */
enum {
    ENC_FAILED = -1,
    ENC_DONE = 0,   /* the value is written */
    ENC_PUSHED = 1, /* a frame was pushed that will write it */
};

/* encode.c */
int
enc_value(encoder *e, PyObject *obj);
/* The new top frame, with a reference to obj; NULL with MemoryError. */
enc_frame *
enc_push(encoder *e, enc_kind kind, PyObject *obj);
/* Before the first Python code runs: takes the references that `impure`
 * promises. */
int
enc_become_impure(encoder *e);
/* Gives obj the next number and returns 0; or writes the reference to the
 * number that it has and returns 1; -1 with MemoryError. */
int
enc_memo_or_ref(encoder *e, PyObject *obj);
int
enc_no_memory(void);
int
enc_room(encoder *e, size_t more);

/* encode_path.c */
/* Sets NotShareableError for obj, which is the one being written on top of
 * the stack, from the exception that is set (if any); those that pass
 * through unchanged pass through.  Returns ENC_FAILED. */
int
enc_fail(encoder *e, PyObject *obj);

/* encode_reduce.c */
int
enc_other(encoder *e, PyObject *obj);

/* ---- decoding ---- */

typedef enum dec_kind {
    DEC_LIST,
    DEC_TUPLE,
    DEC_SLICE,
    DEC_DICT,
    DEC_SET,
    DEC_FROZENSET,
} dec_kind;

typedef struct dec_frame {
    PyObject *obj; /* owned: what is being built */
    PyObject *key; /* owned or NULL: DICT: the key whose value comes next */
    Py_ssize_t index;
    Py_ssize_t size;
    uint32_t memo; /* its number, if has_memo */
    uint8_t kind;
    uint8_t phase;
    bool has_memo;
    bool exposed;  /* TUPLE: somebody refers to it though it is not full */
    bool deferred; /* DICT, SET: from here on insertions wait */
} dec_frame;

#define DEC_INLINE 12
#define DEC_INLINE_MEMO 24

typedef struct decoder {
    atoll_reader r;
    ext_state *st;
    transfer_part *part;
    const atoll_frame *frame;
    dec_frame *stack;
    size_t depth;
    size_t cap;
    PyObject **memo; /* owned, but those with bit 0 set: see decode.c */
    uint32_t n_memo;
    uint32_t memo_cap;
    /* Tuples on the stack that are exposed.  While there are any, nothing
     * that might contain one may be hashed: such insertions wait in
     * `deferred`, a list of (op, container, key, value). */
    size_t exposed;
    PyObject *deferred;
    dec_frame inline_stack[DEC_INLINE];
    PyObject *inline_memo[DEC_INLINE_MEMO];
} decoder;

/* The results of dec_value and of the functions it calls. */
enum {
    DEC_FAILED = -1,
    DEC_PUSHED = 0, /* a frame was pushed that will build it */
    DEC_DONE = 1,   /* *out is a new reference */
};

/* decode.c */
int
dec_value(decoder *d, PyObject **out);
dec_frame *
dec_push(decoder *d, dec_kind kind, PyObject *obj);
/* Gives obj the next memo number.  -1 with MemoryError. */
int
dec_memo(decoder *d, PyObject *obj);
/* Sets InterpreterError: no encoder wrote this.  Returns DEC_FAILED. */
int
dec_corrupt(decoder *d);

#endif
