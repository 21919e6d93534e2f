/* Exceptions: the types, status to exception, and snapshots that travel.
 *
 * A snapshot is a frame that holds what a caller elsewhere needs to know of
 * an exception: its type's names, message, formatted text, and, where it can
 * cross, the exception itself with causes, contexts, notes and members.
 */
#ifndef ATOLL_EXT_ERRORS_H
#define ATOLL_EXT_ERRORS_H

#include "state.h"

typedef enum ext_error_id {
    EXT_ERR_INTERPRETER,           /* InterpreterError */
    EXT_ERR_NOT_FOUND,             /* InterpreterNotFoundError */
    EXT_ERR_NOT_SHAREABLE,         /* NotShareableError */
    EXT_ERR_EXECUTION_FAILED,      /* ExecutionFailed */
    EXT_ERR_EXECUTION_TIMEOUT,     /* ExecutionTimeout */
    EXT_ERR_EXECUTION_INTERRUPTED, /* ExecutionInterrupted */
    EXT_ERR_INTERRUPTED,           /* Interrupted */
    EXT_ERR_QUEUE,                 /* QueueError */
    EXT_ERR_QUEUE_EMPTY,           /* QueueEmpty */
    EXT_ERR_QUEUE_FULL,            /* QueueFull */
    EXT_ERR_QUEUE_NOT_FOUND,       /* QueueNotFoundError */
    EXT_ERR_QUEUE_SHUT_DOWN,       /* QueueShutDown */
    EXT_ERR_ITEM_DESTROYED,        /* ItemInterpreterDestroyed */
    EXT_ERR_OWNER_DIED,            /* OwnerDiedError */
    EXT_ERR_LIMIT_EXCEEDED,        /* LimitExceeded */
    EXT_ERR_COUNT,
} ext_error_id;

/* Borrowed. */
PyObject *
ext_error_type(ext_state *st, ext_error_id id);

/* Sets the exception for a core status that has one meaning everywhere:
 * NOMEM MemoryError, CLOSED/BUSY InterpreterError, NOTFOUND
 * InterpreterNotFoundError, VALUE ValueError, SYSTEM OSError, CORRUPT
 * InterpreterError.  Returns NULL. */
PyObject *
ext_error_from_status(ext_state *st, atoll_status status, const char *what);

/* Takes the current exception as text ("ValueError: what it says"), which the
 * caller gives to atoll_free.  NULL: it is a MemoryError, or there is none for
 * the text.  No exception is left. */
char *
ext_error_take_text(void);

/* Sets an exception of one of atoll's types; PyErr_Format's formats. */
PyObject *
ext_error_format(ext_state *st, ext_error_id id, const char *format, ...);

/* Like it, with the current exception as its __cause__. */
PyObject *
ext_error_chain(ext_state *st, ext_error_id id, const char *format, ...);

#endif
