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
/* Large bytes and str may be written as a pointer to the sender's own memory:
 * the sender keeps the object alive and unread frames do not outlive the
 * call.  For calls, not for queues. */
#define EXT_ENCODE_PIN 1u
/* Inside a definition: functions and classes by value are written inline, so
 * that one definition is one graph (function.c). */
#define EXT_ENCODE_DEFINITION 2u

/* How objects of one exact type cross by reference. */
typedef struct ext_crossing {
    const atoll_ref_ops *ops;
    /* Attached: sender.  Owns: *out_ptr is a new reference, counted by ops.
     * Fails: -1 with an exception. */
    int (*pack)(ext_state *st, PyObject *obj, void **out_ptr);
    /* Attached: receiver.  ptr is borrowed: acquire what is kept. */
    PyObject *(*unpack)(ext_state *st, void *ptr);
} ext_crossing;

/* Called by each type's part at exec.  `crossing` is static. */
int
ext_transfer_register(ext_state *st, PyTypeObject *type,
                      const ext_crossing *crossing);

/* Writes obj at the frame's end.  `root` names the value in messages ("obj",
 * "result").
 * Attached: sender.  Runs Python only for values that are not native.
 * Fails: -1 with NotShareableError (which says where, and chains the cause),
 * RecursionError, MemoryError, RuntimeError (a container changed meanwhile),
 * or what the value's own code raised if that is no Exception; the frame is
 * then reset. */
int
ext_encode(ext_state *st, PyObject *obj, const char *root, unsigned flags,
           atoll_frame *frame);

/* The same for the arguments of a call, in the vectorcall layout. */
int
ext_encode_args(ext_state *st, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames, unsigned flags, atoll_frame *frame);

/* Attached: receiver.  New reference, or NULL with an exception: what the
 * rebuilding raised (an ImportError, say), or NotShareableError. */
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

int
ext_decode_args(ext_state *st, const atoll_frame *frame, ext_args *out_args);
void
ext_args_fini(ext_args *args);

/* is_shareable(): 1, 0, or -1 with an exception. */
int
ext_is_shareable(ext_state *st, PyObject *obj);

#endif
