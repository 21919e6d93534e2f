/* What the function*.c share; nobody else includes it. */
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
    Py_ssize_t n_attributes;
    Py_ssize_t n_cells;
    Py_ssize_t n_globals;
    PyObject **names; /* owned: of the keywords, attributes, globals */
    fn_proof *proofs; /* of defaults, keywords, attributes, cells, globals */
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
    /* Where an import finds it, or would: the module (weak reference; NULL:
     * nothing to check), the first part of the name in it, and what was
     * there. */
    PyObject *module;
    PyObject *name;
    fn_proof found;
    /* BY_VALUE, FOREIGN */
    size_t n_records;
    fn_record *records;
    /* Those that hold something, oldest first; guarded by the GIL as all. */
    struct fn_entry *older, *newer;
} fn_entry;

/* Who keeps the object of a slot alive. */
typedef enum fn_keeper {
    FN_KEPT, /* the slot */
    FN_OWN,  /* nobody: it is what `entry` is for */
    FN_WEAK, /* nobody: an original that came home in another's definition;
                 obj is a weak reference to it */
} fn_keeper;

typedef struct fn_slot {
    atoll_def *def;
    PyObject *obj;   /* owned unless FN_OWN */
    fn_entry *entry; /* FN_OWN: borrowed.  FN_KEPT by reference: owned, the
                        evidence that an import still gives obj */
    struct fn_slot *next; /* in the list of those about to go */
    uint8_t keeper;
} fn_slot;

typedef struct function_part {
    atoll_table by_key;
    atoll_table by_ref;
    atoll_table by_id;
    fn_entry *oldest, *newest; /* those that hold something */
    size_t holders;
    size_t new_count; /* slots since the last sweep */
    size_t new_bytes;
    PyObject *forget; /* the callback of all weak references */
    /* Modules of atoll, once used. */
    PyObject *reference;
    PyObject *byvalue;
    PyObject *rebuild;
    PyObject *missing; /* atoll._byvalue's sign for an empty cell */
} function_part;

static inline uint64_t
fn_address(const void *ptr)
{
    return (uint64_t)(uintptr_t)ptr;
}

static inline void
fn_retire(atoll_def *def)
{
    atomic_store_explicit(&def->retired, true, memory_order_relaxed);
}

static inline bool
fn_is_retired(atoll_def *def)
{
    return atomic_load_explicit(&def->retired, memory_order_relaxed);
}

/* function_cache.c */

/* Puts a complete entry into the tables, instead of any other for its key.
 * Owns: takes over the caller's use of it, on failure too.
 * Returns -1 with an exception. */
int
ext_function_add_entry(function_part *part, fn_entry *entry);
/* Takes the entry out of all tables and gives up their use of it; its
 * definition is retired unless it is somebody else's.  May run Python
 * code. */
void
ext_function_remove_entry(function_part *part, fn_entry *entry);
/* Puts a slot into the table.  Owns: obj and entry go over to it, on failure
 * too.  NULL with MemoryError. */
fn_slot *
ext_function_add_slot(function_part *part, atoll_def *def, fn_keeper keeper,
                      PyObject *obj, fn_entry *entry);
/* One that is in no table any more.  May run Python code. */
void
ext_function_free_slot(fn_slot *slot);
/* Drops the slots of retired definitions, if enough may have gathered.  May
 * run Python code. */
void
ext_function_sweep(function_part *part, bool now);

/* _forgetter(identities, objects): the callback of the weak references to what
 * atoll._rebuild knows.  C code: CPython drops what is raised in a callback,
 * and an interruption, or Ctrl-C, comes between two steps of Python code. */
PyObject *
ext_function_forgetter(PyObject *module, PyObject *args);

/* function_proof.c */

/* Attached.  Owns: the caller has the one use.  NULL with MemoryError. */
fn_entry *
ext_function_entry_new(PyObject *key, fn_kind kind);
/* May run Python code (the end of what was held). */
void
ext_function_entry_release(fn_entry *entry);
int
ext_function_entry_traverse(fn_entry *entry, visitproc visit, void *arg);

/* Adds the evidence of what an import finds as text ("module:name").
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
