/* Objects to frames and back: what crosses between interpreters.
 *
 * encode.c writes an object graph into a frame while attached to the sender;
 * decode.c builds a new graph from it while attached to the receiver.  The
 * two never share a Python object.  The tags and their layout are in wire.h.
 */
#ifndef ATOLL_EXT_TRANSFER_H
#define ATOLL_EXT_TRANSFER_H

#include "state.h"

/* encode flags */
/* Inside a definition: functions and classes by value are written inline, so
 * that one definition is one graph (function.c). */
#define EXT_ENCODE_DEFINITION 1u

/* The sender's large bytes and str that a frame mentions by address instead
 * of holding their content: one strong reference each, taken while attached
 * to the sender.  Reachability from the caller's arguments would not do:
 * another thread of the sender may drop them while the receiver copies.
 *
 * For a call: init; encode with it; decode attached to the receiver; fini
 * attached to the sender again.  Never for a frame that outlives the call (a
 * queue's): then pass NULL and the content goes into the frame. */
#define EXT_PINS_INLINE 4
typedef struct ext_pins {
    PyObject **items;
    uint32_t count;
    uint32_t cap;
    PyObject *small[EXT_PINS_INLINE];
} ext_pins;

static inline void
ext_pins_init(ext_pins *pins)
{
    pins->items = pins->small;
    pins->count = 0;
    pins->cap = EXT_PINS_INLINE;
}
/* Attached: sender.  May run Python code (an object's end), so after the
 * frame was read.  Leaves pins as init does. */
void
ext_pins_fini(ext_pins *pins);

/* How objects of one exact type cross by reference. */
typedef struct ext_crossing {
    const atoll_ref_ops *ops;
    /* Attached: sender.  Owns: *out_ptr is a new reference, counted by ops.
     * Fails: -1 with an exception. */
    int (*pack)(ext_state *st, PyObject *obj, void **out_ptr);
    /* Attached: receiver.  ptr is borrowed: acquire what is kept. */
    PyObject *(*unpack)(ext_state *st, void *ptr);
} ext_crossing;

/* Called by each type's part at exec.  `crossing` is static; its ops belong to this type alone. */
int
ext_transfer_register(ext_state *st, PyTypeObject *type,
                      const ext_crossing *crossing);

/* Called by the same part when it is cleared, also because it could not be
 * made: what it registered must not be met without its state. */
void
ext_transfer_unregister(ext_state *st, const ext_crossing *crossing);

/* Writes obj into the frame, which is empty.  `root` names the value in
 * messages ("obj", "result").  With pins, payloads from about 1 KiB up are
 * pinned there; NULL: everything is copied.
 * Attached: sender.  Runs Python only for values that are not native.
 * Fails: -1 with NotShareableError (which says where, and chains the cause),
 * RecursionError, MemoryError, RuntimeError (a container changed meanwhile),
 * or what the value's own code raised if that is no Exception; the frame is
 * then reset. */
int
ext_encode(ext_state *st, PyObject *obj, const char *root, unsigned flags,
           ext_pins *pins, atoll_frame *frame);

/* The same for a call, in the vectorcall layout: args[0] is the callable, and
 * messages count the arguments from the one behind it. */
int
ext_encode_args(ext_state *st, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames, unsigned flags, ext_pins *pins,
                atoll_frame *frame);

/* Attached: receiver.  New reference, or NULL with an exception: what the
 * rebuilding raised (an ImportError, say, with a note that says which value),
 * InterpreterError (the bytes are corrupt), MemoryError. */
PyObject *
ext_decode(ext_state *st, const atoll_frame *frame);

/* The arguments of a call; small ones land in `small` without allocation. */
typedef struct ext_args {
    PyObject **values; /* nargs positional, then the keyword values */
    Py_ssize_t nargs;
    PyObject *kwnames; /* tuple or NULL */
    Py_ssize_t total;
    PyObject *small[9]; /* small[0] is vectorcall's scratch slot */
    PyObject **heap;
} ext_args;

/* Attached: receiver.  Owns: out_args, until ext_args_fini (on success
 * only). */
int
ext_decode_args(ext_state *st, const atoll_frame *frame, ext_args *out_args);
void
ext_args_fini(ext_args *args);

/* In the child after fork: whoever held a lock does not exist. */
void
ext_transfer_after_fork(void);

/* is_shareable(): 1, 0, or -1 with an exception. */
int
ext_is_shareable(ext_state *st, PyObject *obj);

#endif
