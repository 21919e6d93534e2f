/* What the rest of the binding may ask of queues. */
#ifndef ATOLL_EXT_QUEUE_TYPE_H
#define ATOLL_EXT_QUEUE_TYPE_H

#include "state.h"

/* An interpreter has ended: the policies of the items that it put are carried
 * out in all queues, and what its event loops were waiting for goes to
 * others.  Attached: to any other interpreter, or to none.  Returns 0. */
int
ext_queue_interpreter_ended(int64_t id);

#endif
