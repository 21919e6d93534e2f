/* What function.c and function_proof.c share; nobody else includes it. */
#ifndef ATOLL_EXT_FUNCTION_IMPL_H
#define ATOLL_EXT_FUNCTION_IMPL_H

#include "function.h"

#include "../core/table.h"

/* Evidence that a place still holds the value that it held.
 *
 * A pointer by itself proves nothing: the old value may be gone and a new one
 * have its address.  So the value is kept, by a weak reference where it
 * allows one, for a strong one from here would keep alive whatever refers to
 * the very function that the evidence is for (itself, in a recursion). */
typedef struct fn_proof {
    PyObject *held; /* owned: the value or a weak reference to it; NULL: the
                       place was empty */
    bool weak;
} fn_proof;

/* What one function of a definition was. */
typedef struct fn_record {
    PyObject *function; /* weak reference; NULL: the entry's own object */
    PyObject *code;
    Py_ssize_t n_defaults; /* -1: none at all */
    Py_ssize_t n_keywords; /* -1: none at all */
    Py_ssize_t n_cells;
    Py_ssize_t n_globals;
    PyObject **names;  /* owned: of the keywords, then of the globals */
    fn_proof *proofs;  /* of the defaults, keywords, cells, globals */
} fn_record;

typedef enum fn_kind {
    FN_BY_REFERENCE,
    FN_BY_VALUE,
    FN_FOREIGN, /* built here from another interpreter's definition */
} fn_kind;

/* What is known of one function, class or other named thing. */
typedef struct fn_entry {
    PyObject *key; /* borrowed: `ref` tells when it dies */
    PyObject *ref; /* owned: weak reference to key, with a callback */
    atoll_def *def;
    uint32_t users; /* the table, and whoever looks at it just now */
    uint8_t kind;
    bool holds; /* a strong reference to something that may refer to key */
    /* BY_REFERENCE: the module (weak reference; NULL: nothing to check), the
     * first part of the name in it, and what was there. */
    PyObject *module;
    PyObject *name;
    fn_proof found;
    /* BY_VALUE, FOREIGN */
    size_t n_records;
    fn_record *records;
    /* Those that hold something, oldest first; guarded by the GIL as all. */
    struct fn_entry *older, *newer;
} fn_entry;

/* function_proof.c */

/* Attached.  Owns: the caller has the one use.  NULL with MemoryError. */
fn_entry *
ext_function_entry_new(PyObject *key, fn_kind kind);
/* May run Python code (the end of what was held). */
void
ext_function_entry_release(fn_entry *entry);
int
ext_function_entry_traverse(fn_entry *entry, visitproc visit, void *arg);

/* Adds the evidence for key being found as text ("module:name").
 * Returns -1 with an exception. */
int
ext_function_prove_reference(fn_entry *entry, PyObject *text);
/* Adds what atoll._byvalue noted (Build.records); `missing` is its sign for
 * an empty cell.  Returns -1 with an exception. */
int
ext_function_prove_value(fn_entry *entry, PyObject *records,
                         PyObject *missing);
/* Adds what key is just now, if it is a function. */
int
ext_function_prove_self(fn_entry *entry);

/* Whether all of it still holds.  The caller has a use of the entry.
 * Returns -1 with an exception. */
int
ext_function_holds(fn_entry *entry);

#endif
