/* A definition: the encoded form of one function, class or other named thing,
 * made once by its home interpreter and shared by every frame that needs it.
 *
 * A frame that mentions a function carries a reference to the definition, not
 * its bytes.  The receiver looks the id up in a cache of its own; only a miss
 * decodes the blob.  So the second call of a function costs a table look-up,
 * a queue needs no idea of who will receive, and what comes home finds the
 * original object.
 *
 * `retired` is set by the home when the object it describes has gone or has
 * changed; receivers then drop what they cached, so that a loop that sends
 * ever new lambdas grows nothing.
 *
 * Owns: one reference to the blob, immutable after new.
 * Locks: none; all fields but the flag and the count are immutable.
 */
#ifndef ATOLL_CORE_DEF_H
#define ATOLL_CORE_DEF_H

#include "frame.h"

typedef struct atoll_def {
    atoll_refcount count;
    uint64_t id;  /* never reused in the process */
    int64_t home; /* id of the interpreter whose object it describes */
    atomic_bool retired;
    atoll_frame *blob;
} atoll_def;

/* A number never given before in this process (for definitions and for the
 * identities of classes, functions and namespaces). */
uint64_t
atoll_unique_id(void);

/* Takes over the caller's reference to blob, on success only.
 * NULL: out of memory. */
atoll_def *
atoll_def_new(uint64_t id, int64_t home, atoll_frame *blob);
void
atoll_def_acquire(atoll_def *def);
void
atoll_def_release(atoll_def *def);

extern const atoll_ref_ops atoll_def_ops;

#endif
