/* Memory that frames left, kept for those to come.
 *
 * A message is made by one thread and freed by another.  malloc is at its
 * worst with that: the freeing thread goes to the arena of the one that made
 * it, and what is at the arena's top is given back to the kernel and faulted
 * in again, a thousand pages a second.  So frames go from the one to the
 * other in batches, and a few large buffers are kept.
 *
 * What is kept is bounded: ATOLL_SPARE_BATCHES batches of frames in the
 * process (some 1.5 MB), two batches per thread, ATOLL_SPARE_BUFFERS buffers
 * of at most ATOLL_SPARE_LARGEST bytes.
 *
 * Locks: none.  A batch or a buffer changes hands by one atomic exchange of a
 * slot, so a fork or a thread that dies in between leaves nothing half done.
 */
#ifndef ATOLL_CORE_FRAME_SPARE_H
#define ATOLL_CORE_FRAME_SPARE_H

#include "frame.h"

#define ATOLL_SPARE_BATCH 32 /* frames */
#define ATOLL_SPARE_BATCHES 128
#define ATOLL_SPARE_BUFFERS 4
#define ATOLL_SPARE_SMALLEST ((size_t)64 << 10)
#define ATOLL_SPARE_LARGEST ((size_t)4 << 20)

/* Memory for one frame, not initialised.  NULL: out of memory. */
atoll_frame *
atoll_spare_take_frame(void);
void
atoll_spare_give_frame(atoll_frame *frame);

/* At least `want` bytes; *out_cap is how many.  NULL: out of memory. */
uint8_t *
atoll_spare_take_buffer(size_t want, size_t *out_cap);
void
atoll_spare_give_buffer(uint8_t *data, size_t cap);

#endif
