/* A frame: one message between interpreters, bytes with attachments.
 *
 * The bytes are plain (no pointer in them but to a pinned payload, below);
 * what they refer to beyond themselves (a shared block, a queue, a lock, an
 * interpreter, a definition, a view of somebody's memory) is an attachment: a
 * counted reference with the two functions that count it.  Both functions
 * are safe on any thread, without any GIL, and under the core's locks; they
 * may free memory, never run Python.
 *
 * Life: a frame on the stack (init/fini) serves a call; one on the heap
 * (new/release) travels through queues and stays immutable once it was sent.
 * Small messages fit into the frame itself: no allocation.
 *
 * Owns: its bytes, and one reference per attachment.
 * Locks: none; one thread writes, then many may read.
 */
#ifndef ATOLL_CORE_FRAME_H
#define ATOLL_CORE_FRAME_H

#include "atomic.h"

#define ATOLL_FRAME_INLINE 192
#define ATOLL_FRAME_INLINE_REFS 4

/* What the core knows of a kind of attachment.  `name` is for messages. */
typedef struct atoll_ref_ops {
    const char *name;
    void (*acquire)(void *ptr);
    void (*release)(void *ptr);
} atoll_ref_ops;

typedef struct atoll_attachment {
    const atoll_ref_ops *ops;
    void *ptr;
} atoll_attachment;

typedef struct atoll_frame {
    uint8_t *data;
    size_t len;
    size_t cap;
    atoll_attachment *refs;
    uint32_t nrefs;
    uint32_t refs_cap;
    int64_t sender;           /* id of the interpreter that encoded it */
    struct atoll_frame *next; /* the list that owns it, else NULL */
    atoll_refcount count;     /* heap frames only */
    /* A word for whoever owns the frame just now (a queue's unbound policy,
     * a pool's task number). */
    uint64_t tag;
    atoll_attachment inline_refs[ATOLL_FRAME_INLINE_REFS];
    uint8_t inline_data[ATOLL_FRAME_INLINE];
} atoll_frame;

/* For a frame in the caller's memory; never fails, allocates nothing. */
void
atoll_frame_init(atoll_frame *frame);
/* Releases the attachments and the bytes. */
void
atoll_frame_fini(atoll_frame *frame);
/* Back to empty, keeping the memory. */
void
atoll_frame_reset(atoll_frame *frame);

/* NULL: out of memory. */
atoll_frame *
atoll_frame_new(void);
void
atoll_frame_acquire(atoll_frame *frame);
void
atoll_frame_release(atoll_frame *frame);
/* A heap frame with the content of `frame`, which becomes empty.  NULL: out
 * of memory, frame unchanged. */
atoll_frame *
atoll_frame_move(atoll_frame *frame);

/* Makes room for `more` bytes beyond len.  Fails: ATOLL_E_NOMEM. */
atoll_status
atoll_frame_grow(atoll_frame *frame, size_t more);

static inline atoll_status
atoll_frame_reserve(atoll_frame *frame, size_t more)
{
    if (ATOLL_LIKELY(frame->cap - frame->len >= more)) {
        return ATOLL_OK;
    }
    return atoll_frame_grow(frame, more);
}

/* Takes over one reference to ptr; on failure the reference is still the
 * caller's.  Fails: ATOLL_E_NOMEM. */
atoll_status
atoll_frame_attach(atoll_frame *frame, const atoll_ref_ops *ops, void *ptr,
                   uint32_t *out_index);

/* Bytes held, for statistics. */
size_t
atoll_frame_size(const atoll_frame *frame);

#endif
