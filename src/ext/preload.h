/* Extension modules that the main interpreter must load first. */
#ifndef ATOLL_EXT_PRELOAD_H
#define ATOLL_EXT_PRELOAD_H

#include "attach.h"

/* Lets the import system here see to it that main goes first; and explains why
 * an extension does not load.  Once is enough.
 * Attached: to st's interpreter.  Fails: -1 with an exception. */
int
ext_preload_watch(ext_state *st);

#endif
