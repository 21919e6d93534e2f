/* Status codes, visibility and small helpers for everything below Python.
 *
 * The core (src/core) is C11 without Python.h: it knows bytes, threads and
 * time, never objects.  That is what lets it be unit-tested, fuzzed and run
 * under ThreadSanitizer without an interpreter.
 *
 * Every function that can fail returns an atoll_status; out-parameters come
 * last and are untouched on failure unless the contract says otherwise.
 * The binding turns a status into an exception in one place (ext/errors.c).
 */
#ifndef ATOLL_CORE_BASE_H
#define ATOLL_CORE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum atoll_status {
    ATOLL_OK = 0,
    ATOLL_E_NOMEM,       /* an allocation failed; nothing changed */
    ATOLL_E_TIMEOUT,     /* the deadline passed first */
    ATOLL_E_INTERRUPTED, /* woken by atoll_parker_interrupt or a signal */
    ATOLL_E_EMPTY,       /* would have had to wait for an item */
    ATOLL_E_FULL,        /* would have had to wait for room */
    ATOLL_E_SHUTDOWN,    /* the queue was shut down */
    ATOLL_E_CLOSED,      /* the object was closed, or is closing */
    ATOLL_E_NOTFOUND,    /* no such id */
    ATOLL_E_BUSY,        /* in use: the interpreter is running */
    ATOLL_E_OWNER_DIED,  /* the lock's holder ended while it held it */
    ATOLL_E_NOT_OWNER,   /* released by somebody who does not hold it */
    ATOLL_E_BROKEN,      /* the barrier is broken */
    ATOLL_E_VALUE,       /* an argument out of range */
    ATOLL_E_CORRUPT,     /* bytes that no encoder wrote */
    ATOLL_E_SYSTEM,      /* the operating system refused; see errno */
} atoll_status;

#if defined(__GNUC__)
#define ATOLL_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define ATOLL_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define ATOLL_LIKELY(x) __builtin_expect(!!(x), 1)
#define ATOLL_MUST_CHECK __attribute__((warn_unused_result))
#else
#define ATOLL_PRINTF(fmt, args)
#define ATOLL_UNLIKELY(x) (x)
#define ATOLL_LIKELY(x) (x)
#define ATOLL_MUST_CHECK
#endif

/* All of the core's memory comes from here, so that tests/faults can fail
 * the n-th request (see base.c).  Safe without any GIL. */
void *
atoll_malloc(size_t size) ATOLL_MUST_CHECK;
void *
atoll_calloc(size_t count, size_t size) ATOLL_MUST_CHECK;
void *
atoll_realloc(void *ptr, size_t size) ATOLL_MUST_CHECK;
char *
atoll_strdup(const char *text) ATOLL_MUST_CHECK;
void
atoll_free(void *ptr);
/* For memory that is kept and handed out again without malloc: must this
 * request fail, too?  And how many such pieces come into use (they go out of
 * it: negative). */
bool
atoll_allocation_fails(void);
void
atoll_count_use(int pieces);

/* Fault injection, for tests only: the n-th allocation from now fails
 * (1: the next one; 0: none), once or, with sticky, from then on.  Process
 * wide; returns how many allocations were made since the last call. */
uint64_t
atoll_fail_allocation(uint64_t n, bool sticky);
/* Allocations less frees since the first call of atoll_fail_allocation: only
 * the difference between two values says something.  What is kept to be
 * handed out again is not in use. */
int64_t
atoll_allocations_in_use(void);

#endif
