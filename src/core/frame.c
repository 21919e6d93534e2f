/* See frame.h. */
#include "frame.h"

#include <string.h>

#include "frame_spare.h"

void
atoll_frame_init(atoll_frame *frame)
{
    frame->data = frame->inline_data;
    frame->len = 0;
    frame->cap = ATOLL_FRAME_INLINE;
    frame->refs = frame->inline_refs;
    frame->nrefs = 0;
    frame->refs_cap = ATOLL_FRAME_INLINE_REFS;
    frame->sender = -1;
    frame->next = NULL;
    frame->tag = 0;
    atoll_ref_init(&frame->count);
}

void
atoll_frame_reset(atoll_frame *frame)
{
    for (uint32_t i = 0; i < frame->nrefs; i++) {
        frame->refs[i].ops->release(frame->refs[i].ptr);
    }
    frame->nrefs = 0;
    frame->len = 0;
}

void
atoll_frame_fini(atoll_frame *frame)
{
    atoll_frame_reset(frame);
    if (frame->data != frame->inline_data) {
        atoll_spare_give_buffer(frame->data, frame->cap);
    }
    if (frame->refs != frame->inline_refs) {
        atoll_free(frame->refs);
    }
    frame->data = frame->inline_data;
    frame->cap = ATOLL_FRAME_INLINE;
    frame->refs = frame->inline_refs;
    frame->refs_cap = ATOLL_FRAME_INLINE_REFS;
}

atoll_frame *
atoll_frame_new(void)
{
    atoll_frame *frame = atoll_spare_take_frame();
    if (frame != NULL) {
        atoll_frame_init(frame);
    }
    return frame;
}

void
atoll_frame_acquire(atoll_frame *frame)
{
    atoll_ref_acquire(&frame->count);
}

void
atoll_frame_release(atoll_frame *frame)
{
    if (atoll_ref_release(&frame->count)) {
        atoll_frame_fini(frame);
        atoll_spare_give_frame(frame);
    }
}

atoll_frame *
atoll_frame_move(atoll_frame *frame)
{
    atoll_frame *moved = atoll_frame_new();
    if (moved == NULL) {
        return NULL;
    }
    moved->sender = frame->sender;
    moved->tag = frame->tag;
    if (frame->data == frame->inline_data) {
        memcpy(moved->inline_data, frame->inline_data, frame->len);
    }
    else {
        moved->data = frame->data;
        moved->cap = frame->cap;
    }
    moved->len = frame->len;
    if (frame->refs == frame->inline_refs) {
        memcpy(moved->inline_refs, frame->inline_refs,
               frame->nrefs * sizeof(*frame->refs));
    }
    else {
        moved->refs = frame->refs;
        moved->refs_cap = frame->refs_cap;
    }
    moved->nrefs = frame->nrefs;
    atoll_frame_init(frame);
    return moved;
}

atoll_status
atoll_frame_grow(atoll_frame *frame, size_t more)
{
    if (more > SIZE_MAX / 2 - frame->len) {
        return ATOLL_E_NOMEM;
    }
    size_t want = frame->len + more;
    /* Doubling up to 1 MiB, then by half: a large payload is reserved by its
     * exact size, so this is only about many small values. */
    size_t cap = frame->cap < (1u << 20) ? frame->cap * 2
                                         : frame->cap + frame->cap / 2;
    if (cap < want) {
        cap = want;
    }
    bool is_inline = frame->data == frame->inline_data;
    uint8_t *data = is_inline ? atoll_spare_take_buffer(cap, &cap)
                              : atoll_realloc(frame->data, cap);
    if (data == NULL) {
        return ATOLL_E_NOMEM;
    }
    if (is_inline) {
        memcpy(data, frame->inline_data, frame->len);
    }
    frame->data = data;
    frame->cap = cap;
    return ATOLL_OK;
}

atoll_status
atoll_frame_attach(atoll_frame *frame, const atoll_ref_ops *ops, void *ptr,
                   uint32_t *out_index)
{
    if (frame->nrefs == frame->refs_cap) {
        if (frame->refs_cap > UINT32_MAX / 4) {
            return ATOLL_E_NOMEM;
        }
        uint32_t cap = frame->refs_cap * 2;
        bool is_inline = frame->refs == frame->inline_refs;
        atoll_attachment *refs = atoll_realloc(is_inline ? NULL : frame->refs,
                                               (size_t)cap * sizeof(*refs));
        if (refs == NULL) {
            return ATOLL_E_NOMEM;
        }
        if (is_inline) {
            memcpy(refs, frame->inline_refs, frame->nrefs * sizeof(*refs));
        }
        frame->refs = refs;
        frame->refs_cap = cap;
    }
    frame->refs[frame->nrefs].ops = ops;
    frame->refs[frame->nrefs].ptr = ptr;
    *out_index = frame->nrefs++;
    return ATOLL_OK;
}

size_t
atoll_frame_size(const atoll_frame *frame)
{
    return sizeof(*frame)
           + (frame->data == frame->inline_data ? 0 : frame->cap)
           + (frame->refs == frame->inline_refs
                  ? 0
                  : frame->refs_cap * sizeof(*frame->refs));
}
