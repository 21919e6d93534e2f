/* What SharedBuffer and the crossing of memoryviews share. */
#ifndef ATOLL_EXT_BUFFER_H
#define ATOLL_EXT_BUFFER_H

#include "state.h"

#include "../core/block.h"

/* Is obj a SharedBuffer of this interpreter?  Its block, borrowed; NULL if it
 * is not, or was released.  Sets no exception. */
atoll_block *
ext_buffer_block(ext_state *st, PyObject *obj);

/* view.c's share of the part: its type, and the crossing of memoryview. */
int
ext_view_exec(PyObject *module, ext_state *st, PyTypeObject **out_type);

void
ext_view_clear(ext_state *st);

/* The type that ext_view_exec has made; borrowed. */
PyTypeObject *
ext_view_type(ext_state *st);

#endif
