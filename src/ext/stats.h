/* An interpreter's numbers, as stats() tells them. */
#ifndef ATOLL_EXT_STATS_H
#define ATOLL_EXT_STATS_H

#include "attach.h"
#include "look.h"

#include <stdio.h>

typedef struct ext_stats {
    int64_t id;
    char *name; /* UTF-8, or NULL; owned */
    const char *state;
    double uptime;
    double cpu;
    double busy;
    int64_t calls;
    int64_t exceptions;
    int64_t messages_in;
    int64_t messages_out;
    int64_t bytes_in;
    int64_t bytes_out;
    int64_t blocks; /* -1: unknown, as below */
    int64_t threads;
    int64_t views;
    int64_t memory;
} ext_stats;

/* look: what was found there just now, or NULL.  Any thread, no GIL needed.
 * Owns: *out until fini. */
void
ext_stats_read(atoll_interp *interp, const ext_look *look, ext_stats *out);
void
ext_stats_fini(ext_stats *stats);

/* A new dict.  NULL with an exception. */
PyObject *
ext_stats_dict(const ext_stats *stats);

/* CPU time (ns) of the running call of visit, without the calls that it has
 * made elsewhere.  Locks: visit->interp's, whose running call it is. */
int64_t
ext_stats_call_cpu(ext_visit *visit);

/* One JSON object.  Any thread. */
void
ext_stats_json(const ext_stats *stats, FILE *out);
/* A JSON string of UTF-8 text, or null. */
void
ext_stats_json_text(const char *text, FILE *out);

#endif
