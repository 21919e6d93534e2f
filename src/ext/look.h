/* What an interpreter is doing and holds, seen from outside. */
#ifndef ATOLL_EXT_LOOK_H
#define ATOLL_EXT_LOOK_H

#include "state.h"

/* Frames of one thread that are told, the innermost ones. */
#define EXT_LOOK_FRAMES 128

/* What is found, as plain bytes: this, then the threads, each followed by its
 * frames.  Read by ext_look_thread_next and ext_look_frame_next. */
typedef struct ext_look {
    int64_t blocks;   /* pymalloc's, in use; -1: unknown */
    int64_t cpu;      /* ns of CPU time of the threads that live there */
    uint32_t threads; /* that live there or run a call there */
    size_t size;      /* of all this */
} ext_look;

typedef struct ext_look_thread {
    unsigned long ident;
    unsigned long native_id;
    bool in_call; /* runs the interpreter's call, from outside */
    bool daemon;  /* of threading's */
    bool cut;     /* there are more frames */
    uint32_t frames;
    const char *name; /* threading's; "": it knows none */
} ext_look_thread;

typedef struct ext_look_frame {
    int line;
    const char *name;
    const char *file;
} ext_look_frame;

typedef struct ext_look_reader {
    const char *at;
    const char *end;
    uint32_t skip; /* frames of the present thread that were not read */
} ext_look_reader;

/* Looks at the interpreter that the caller is attached to, which is interp.
 * Owns: the caller frees it with atoll_free.  Runs no Python.
 * Fails: NULL, no exception set (out of memory). */
ext_look *
ext_look_here(atoll_interp *interp);

/* Looks at several others, at most until deadline, by a probe each.
 * out_looks[i] is NULL where C code keeps the GIL, or the interpreter is
 * closed, or being made, or was made by others and has not loaded atoll.  Any thread; attached to nothing (the caller releases its GIL). */
void
ext_look_at(atoll_interp *const *interps, size_t count, int64_t deadline,
            ext_look **out_looks);

void
ext_look_open(const ext_look *look, ext_look_reader *out);
/* False: there are no more.  Skips frames that were not read. */
bool
ext_look_thread_next(ext_look_reader *reader, ext_look_thread *out);
/* Exactly thread.frames times after each thread; innermost first. */
void
ext_look_frame_next(ext_look_reader *reader, ext_look_frame *out);

#endif
