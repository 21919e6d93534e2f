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
#define EXT_KEY_ROWS 128 /* powers of two: at first */
#define EXT_KEY_ROWS_MOST 2048
#define EXT_INT_CACHE 256 /* a power of two */

#define EXT_KNOWN_TYPES 64 /* a power of two */

/* From this size on a payload is pinned where pinning is possible. */
#define EXT_PIN_LEAST 1024

typedef struct ext_registered {
    PyTypeObject *type; /* owned */
    const ext_crossing *crossing;
} ext_registered;

typedef struct ext_cached_int {
    PyObject *obj; /* borrowed */
    uint32_t generation;
    int32_t value;
} ext_cached_int;

/* Names that are looked up, made at exec. */
typedef struct ext_names {
    PyObject *module;    /* "__module__" */
    PyObject *qualname;  /* "__qualname__" */
    PyObject *reduce_ex; /* "__reduce_ex__" */
    PyObject *protocol;  /* 5 */
    PyObject *setstate;  /* "__setstate__" */
    PyObject *new;       /* "__new__" */
    PyObject *dict;      /* "__dict__" */
    PyObject *extend;    /* "extend" */
    PyObject *append;    /* "append" */
    PyObject *notes;     /* "__notes__" */
} ext_names;

/* What was found out about a type; `version` is CPython's own number for the
 * state that the type was in. */
typedef struct ext_known_type {
    PyTypeObject *type; /* borrowed; a version is never given twice */
    unsigned version;
    bool plain;
} ext_known_type;

/* The part's state in one interpreter. */
typedef struct transfer_part {
    atoll_memo memo; /* the encoder's, kept between uses */
    bool memo_taken; /* by an encoder that is at work; others make their own */
    int n_crossings;
    ext_registered crossings[EXT_MAX_CROSSINGS];
    ext_names names;
    ext_known_type types[EXT_KNOWN_TYPES];
    /* Looked up at the first use; NULL before. */
    PyObject *dispatch_table;
    PyObject *newobj;
    PyObject *newobj_ex;
    PyObject *slotnames;
    PyObject *byvalue_reduce;
    /* The ints that one byte stands for. */
    PyObject *small_ints[ATOLL_INT_COUNT];
    /* Short str that came lately, by content: the keys of dicts come again
     * and again, and a cached one has its hash already. */
    PyObject *(*keys)[2]; /* NULL: none so far */
    size_t key_rows;
    size_t keys_added;
    /* Ints that a decoding has met, by value: see decode_leaf.c.  An entry
     * counts only if it bears the decoding's number. */
    uint32_t int_generation;
    ext_cached_int ints[EXT_INT_CACHE];
} transfer_part;

static inline transfer_part *
ext_transfer_part_of(ext_state *st)
{
    return st->parts[EXT_PART_TRANSFER];
}

/* Whether instances of type are nothing but their class and __dict__, to the
 * protocol of pickle and hence to us.  In transfer_plain.c. */
bool
ext_is_plain(transfer_part *part, PyTypeObject *type);

/* ---- encoding ---- */

typedef enum enc_kind {
    ENC_LIST,       /* index: next item */
    ENC_TUPLE,      /* index: next item */
    ENC_SLICE,      /* index: next of three */
    ENC_DICT,       /* index: items written; pos: PyDict_Next's; phase */
    ENC_SET,        /* index: items written; other: its iterator */
    ENC_FROZENSET,  /* the same */
    ENC_ATTRIBUTES, /* DICT, of an object: another name in messages */
    ENC_REDUCE,     /* phase; other: the tuple from __reduce_ex__; item */
    ENC_EXCEPTION,  /* index: next of the values in other, a tuple */
} enc_kind;

/* What a dict's frame waits for, and what its `other` then is. */
enum {
    ENC_DICT_VALUE,  /* a value; its key, which messages need, or NULL */
    ENC_DICT_KEY,    /* a key that holds values; its value */
    ENC_DICT_HIDDEN, /* a value behind such a key; that value */
};

typedef struct enc_frame {
    PyObject *obj;   /* what is being written; owned once on the stack */
    PyObject *other; /* owned or NULL; see the kind */
    Py_ssize_t index;
    Py_ssize_t size;
    union {
        Py_ssize_t pos;
        PyObject *item; /* REDUCE: owned or NULL: what an iterator gave */
    };
    uint8_t kind;
    uint8_t phase;
    uint8_t parts; /* REDUCE: atoll_part bits */
    bool memo;     /* it gets, or has, a memo number */
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
    /* Numbers below this are of things that are not in the memo, as they
     * came before the first that is. */
    uint32_t memo_base;
    bool impure;
    bool at_root;    /* the next value is one of several roots */
    PyObject *child; /* borrowed; see ENC_OPEN */
    unsigned flags;
    ext_pins *pins;
    enc_frame *stack;
    size_t depth;
    size_t cap;
    size_t frozen;  /* frozensets on the stack */
    size_t reduces; /* objects on the stack that are no native values */
    const char *root;
    /* For the arguments of a call, whose place is in messages. */
    Py_ssize_t arg; /* -1: no arguments */
    Py_ssize_t nargs;
    PyObject *kwnames;
    atoll_memo own_memo;
    enc_frame inline_stack[ENC_INLINE];
} encoder;

/* The results of the functions that write. */
enum {
    ENC_FAILED = -1,
    ENC_DONE = 0, /* it is written */
    ENC_OPEN = 1, /* e->child, which holds other values, must be written
                     before the top frame can go on */
};

/* encode.c */
/* Copies the frame to the top of the stack, with a reference to its obj and
 * the one to its other; NULL with MemoryError: other is still the caller's. */
enc_frame *
enc_push(encoder *e, const enc_frame *frame);
/* Before the first Python code runs: takes the references that `impure`
 * promises. */
void
enc_become_impure(encoder *e);
/* Writes the reference if obj has a number: 1; else 0; -1 with MemoryError. */
int
enc_find(encoder *e, PyObject *obj);
/* Gives obj the next number and returns 0; or writes the reference to the
 * number that it has and returns 1; -1 with MemoryError. */
int
enc_memo_or_ref(encoder *e, PyObject *obj);
int
enc_put_ref(encoder *e, uint32_t number);
/* May obj be met again? */
static inline bool
enc_may_be_shared(const encoder *e, PyObject *obj)
{
    return Py_REFCNT(obj) > 1 || e->at_root;
}

/* Returns ENC_FAILED with MemoryError. */
int
enc_no_memory(void);
/* Makes room for so many bytes; 0, or ENC_FAILED. */
static inline int
enc_room(encoder *e, size_t more)
{
    return ATOLL_LIKELY(atoll_writer_room(&e->w, more) == ATOLL_OK)
               ? 0
               : enc_no_memory();
}

/* Starts a frame: goes as far as it can without the stack, and puts it there
 * if that is not to the end.  Owns: f->other, taken over. */
int
enc_run(encoder *e, enc_frame *f);
/* Writes obj if it is a leaf, else puts it into e->child. */
int
enc_leaf(encoder *e, PyObject *obj);
/* Gives obj, which may have been written inside itself meanwhile, the next
 * number: 0; or tells the number that it has: 1; -1 with MemoryError. */
int
enc_memo_late(encoder *e, PyObject *obj, uint32_t *out_number);

/* encode_leaf.c */
/* What a buffer holds, as bytes or bytearray (the tag). */
int
enc_put_payload(encoder *e, PyObject *obj, unsigned tag, const void *data,
                size_t size);
/* Room for a tag and a number is made by the caller. */
int
enc_put_str(encoder *e, PyObject *obj);
int
enc_put_key(encoder *e, PyObject *obj);
int
enc_put_wide_int(encoder *e, PyObject *obj, bool may_memo);
/* ENC_OPEN if obj is no leaf. */
int
enc_rare_leaf(encoder *e, PyObject *obj);

/* encode_path.c */
/* Sets NotShareableError for obj, which is the one being written on top of
 * the stack, from the exception that is set (if any); those that pass
 * through unchanged pass through.  Returns ENC_FAILED. */
int
enc_fail(encoder *e, PyObject *obj);

/* The same when the exception is one of ours and its message a place below
 * obj, which it calls name: then the two become one. */
int
enc_fail_inside(encoder *e, PyObject *obj, PyObject *name);

/* encode_reduce.c */
/* Anything that is not native. */
int
enc_other(encoder *e, PyObject *obj);
int
enc_step_reduce(encoder *e, enc_frame *f);
/* The phases of ENC_REDUCE. */
enum {
    ENC_CALLABLE,
    ENC_ARGS,
    ENC_KWARGS,
    ENC_MADE,
    ENC_ITEMS,
    ENC_PAIRS,
    ENC_PAIR_VALUE,
    ENC_SETTER,
    ENC_STATE,
    ENC_CAUSE,
    ENC_CONTEXT,
    ENC_SUPPRESS,
    ENC_NOTES,
    ENC_COMPLETE,
};
/* In the tuple that ENC_REDUCE works on: the first six as __reduce_ex__
 * gives them, None for what is not there. */
enum {
    ENC_AT_CALLABLE,
    ENC_AT_ARGS,
    ENC_AT_STATE,
    ENC_AT_ITEMS,
    ENC_AT_PAIRS,
    ENC_AT_SETTER,
    ENC_AT_KWARGS,
    ENC_AT_COUNT,
};

/* encode_exception.c */
/* 1: obj is an exception that is taken apart here, and was (the result is in
 * *out_result); 0: it is none, or has its own way of being pickled; -1. */
int
enc_exception(encoder *e, PyObject *obj, int *out_result);
int
enc_step_exception(encoder *e, enc_frame *f);

/* ---- exceptions, in both directions ---- */

/* What stands behind the class (and a group's message and members) of an
 * exception, in this order. */
enum {
    EXT_EXC_ARGS,
    EXT_EXC_MEMBERS, /* dict of what its built-in type keeps, or None */
    EXT_EXC_DICT,    /* __dict__, or None */
    EXT_EXC_SLOTS,   /* dict, or None */
    EXT_EXC_CAUSE,
    EXT_EXC_CONTEXT,
    EXT_EXC_SUPPRESS,
    EXT_EXC_COUNT,
};

/* The built-in type (no class statement's) that makes instances of cls. */
PyTypeObject *
ext_exception_base(PyTypeObject *cls);
/* Its member of that name which is to be sent, or NULL. */
PyMemberDef *
ext_exception_member(PyTypeObject *base, const char *name);

/* ---- decoding ---- */

typedef enum dec_kind {
    DEC_LIST,
    DEC_TUPLE,
    DEC_SLICE,
    DEC_DICT,
    DEC_SET,
    DEC_FROZENSET,
    DEC_INSTANCE,  /* obj: the dict; the object is in the memo; phase: 1 if
                      the dict is the object's own */
    DEC_OBJECT,    /* phase; obj: what to call, then the object */
    DEC_EXCEPTION, /* obj: the class, then the exception; key: a list of the
                      values behind it */
} dec_kind;

typedef struct dec_frame {
    PyObject *obj; /* owned: what is being built */
    PyObject *key; /* owned or NULL: DICT: the key whose value comes next;
                      OBJECT: see the phases in decode_build.c */
    Py_ssize_t index;
    Py_ssize_t size;
    uint32_t memo; /* its number, if has_memo */
    uint8_t kind;
    uint8_t phase;
    bool has_memo;
    bool exposed;  /* TUPLE: somebody refers to it though it is not full */
    bool deferred; /* DICT, SET: from here on insertions wait */
    bool careful;  /* DICT: a key in it may run Python code when compared */
    uint8_t parts; /* OBJECT: atoll_part bits */
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
    bool native;       /* nothing but native values is accepted */
    bool impure;       /* something not native is among what was made, so that
                    hashing and comparing may run Python code */
    uint32_t new_keys; /* not found in the cache so far */
    uint32_t int_generation;
    dec_frame inline_stack[DEC_INLINE];
    PyObject *inline_memo[DEC_INLINE_MEMO];
} decoder;

/* The results of the functions that read. */
enum {
    DEC_FAILED = -1,
    DEC_DONE = 0, /* *out is a new reference */
    DEC_OPEN = 1, /* the value that comes next holds others: open it, then
                     come back */
};

/* decode.c */
/* As ext_decode; `native`: for bytes of unknown origin, which then cannot
 * call anything. */
PyObject *
dec_frame_value(ext_state *st, const atoll_frame *frame, bool native);
/* Copies the frame, with its references, to the top of the stack; NULL with
 * MemoryError: they are still the caller's. */
dec_frame *
dec_push(decoder *d, const dec_frame *frame);
/* Fills a new frame as far as it goes without the stack, and puts it there
 * if that is not to the end: DEC_DONE, DEC_OPEN, DEC_FAILED (its references
 * are given up). */
int
dec_run(decoder *d, dec_frame *f, PyObject **out);
/* Gives obj the next memo number.  -1 with MemoryError. */
int
dec_memo(decoder *d, PyObject *obj);
/* Sets InterpreterError: no encoder wrote this.  Returns DEC_FAILED. */
int
dec_corrupt(decoder *d);

/* A tuple or slice that is not full yet stands in the memo as the number of
 * its frame with bit 0 set, which no address has.  A frame that is not on the
 * stack yet has the number that it would get. */
static inline PyObject *
dec_filling_entry(size_t frame)
{
    return (PyObject *)((uintptr_t)frame << 1 | 1);
}

static inline bool
dec_is_filling(PyObject *entry)
{
    return ((uintptr_t)entry & 1) != 0;
}

static inline size_t
dec_filling_frame(PyObject *entry)
{
    return (uintptr_t)entry >> 1;
}

/* The next value if it is a leaf, else DEC_OPEN. */
int
dec_leaf(decoder *d, PyObject **out);
/* Sets container[key] = value, or adds key to it (value is NULL), or has it
 * wait for a tuple to be full.  f is the frame of what is filled. */
int
dec_put(decoder *d, dec_frame *f, PyObject *key, PyObject *value);
/* Whether the state of an object must wait likewise; if so it does: 1, 0,
 * -1. */
int
dec_defer_state(decoder *d, PyObject *obj, PyObject *setter, PyObject *state);

/* decode_build.c */
/* What is neither a leaf nor a native container; tag is read, with no memo
 * bit. */
int
dec_open_other(decoder *d, unsigned tag, PyObject **out);
/* What a REPLACED part refers to. */
int
dec_get_replaced(decoder *d, PyObject **out);
/* Follows a qualified name; new reference, or NULL with an exception. */
PyObject *
ext_follow_name(PyObject *from, PyObject *name);
int
dec_fill_object(decoder *d, dec_frame *f, PyObject *value);
int
dec_fill_instance(decoder *d, dec_frame *f, PyObject *value);
/* setter(obj, state), or as pickle does it without one. */
int
dec_set_state(decoder *d, PyObject *obj, PyObject *setter, PyObject *state);

/* decode_exception.c */
int
dec_open_exception(decoder *d, PyObject **out);
int
dec_fill_exception(decoder *d, dec_frame *f, PyObject *value);
/* Sets __cause__ (0), __context__ (1) or __suppress_context__ (2); 0, -1. */
int
dec_set_link(decoder *d, PyObject *obj, int which, PyObject *value);

/* decode_leaf.c */
/* What stands behind ATOLL_TAG_KEY. */
int
dec_key(decoder *d, PyObject **out);
/* Any leaf; DEC_OPEN, nothing read, if the next value is none. */
int
dec_rare_leaf(decoder *d, PyObject **out);

/* Before it starts, and whenever Python code has run, or what was decoded
 * may have been dropped again. */
static inline void
dec_forget_ints(decoder *d)
{
    transfer_part *part = d->part;
    if (ATOLL_UNLIKELY(++part->int_generation == 0)) {
        memset(part->ints, 0, sizeof(part->ints));
        part->int_generation = 1;
    }
    d->int_generation = part->int_generation;
}

/* New reference. */
static inline PyObject *
dec_int(decoder *d, int32_t value)
{
    ext_cached_int *entry
        = &d->part->ints[(uint32_t)value & (EXT_INT_CACHE - 1)];
    if (entry->value == value && entry->generation == d->int_generation) {
        return Py_NewRef(entry->obj);
    }
    PyObject *obj = PyLong_FromLong(value);
    entry->obj = obj;
    entry->value = value;
    entry->generation = obj == NULL ? 0 : d->int_generation;
    return obj;
}

#endif
