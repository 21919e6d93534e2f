/* Work in an interpreter whose GIL may not be to be had. */
#ifndef ATOLL_EXT_PROBE_H
#define ATOLL_EXT_PROBE_H

#include "state.h"

typedef struct ext_probe {
    atoll_refcount count;
    atoll_interp *interp; /* owns a reference */
    /* Attached: to interp, on a thread of its own. */
    void (*work)(struct ext_probe *probe);
    unsigned long thread; /* what the work is about */
    atoll_mutex lock;
    atoll_cond changed;
    bool done;  /* [lock] */
    char *text; /* what the work found, or NULL; owned [lock until done] */
} ext_probe;

/* Starts the work.  NULL: no memory, no thread, or the interpreter is ended;
 * no exception is set.  Any thread; no interpreter is needed. */
ext_probe *
ext_probe_start(atoll_interp *interp, void (*work)(ext_probe *probe),
                unsigned long thread);

/* A detached C thread without signals.  False: there is none to be had. */
bool
ext_probe_thread(void *(*run)(void *arg), void *arg);

/* Waits for the work.  False: it is not done yet; it goes on alone.
 * Attached: to nothing (the caller releases its GIL). */
bool
ext_probe_wait(ext_probe *probe, int64_t deadline);

/* Until when an interpreter whose GIL may be kept is waited for: some 300 ms
 * from now.  Any thread. */
int64_t
ext_probe_deadline(void);

/* For tests: how long that is in the whole process, in nanoseconds; returns
 * how long it was. */
int64_t
ext_probe_set_patience(int64_t patience);

/* Gives the caller's share back, and the text with it. */
void
ext_probe_drop(ext_probe *probe);

#endif
