/* Whether a function is still what its definition says: function_impl.h.
 *
 * This is what each call of a function costs that was sent before, so it
 * compares pointers and nothing else.  A function that uses no globals and
 * has neither defaults nor a closure is one comparison.
 *
 * Records are of the functions of a definition, each reached by a weak
 * reference: what refers to it may have let it go.
 */
#include "function_impl.h"

/* ---- evidence ---- */

static void
clear_proof(fn_proof *proof)
{
    Py_CLEAR(proof->held);
}

/* Whether its like can refer to other objects, and allows no weak reference:
 * to hold one might be to hold what we are the cache of. */
static bool
may_refer(PyObject *value)
{
    return PyObject_IS_GC(value) && !PyCode_Check(value);
}

/* Returns -1 with an exception. */
static int
make_proof(fn_entry *entry, fn_proof *proof, PyObject *value)
{
    proof->weak = false;
    proof->held = NULL;
    if (value == NULL) {
        return 0;
    }
    if (may_refer(value)) {
        proof->held = PyWeakref_NewRef(value, NULL);
        if (proof->held != NULL) {
            proof->weak = true;
            return 0;
        }
        if (!PyErr_ExceptionMatches(PyExc_TypeError)) {
            return -1;
        }
        PyErr_Clear();
        entry->holds = true;
    }
    proof->held = Py_NewRef(value);
    return 0;
}

static inline bool
matches(const fn_proof *proof, PyObject *value)
{
    if (!proof->weak) {
        return proof->held == value;
    }
    PyObject *kept;
    if (ext_compat_weakref_get(proof->held, &kept) < 0) {
        PyErr_Clear();
        return false;
    }
    if (kept == NULL) {
        return false;
    }
    bool same = kept == value;
    Py_DECREF(kept); /* not the last one: value is held by its place */
    return same;
}

/* The same for a dict's item; -1 with an exception. */
static int
matches_item(const fn_proof *proof, PyObject *dict, PyObject *name)
{
    PyObject *value;
    if (ext_compat_dict_get(dict, name, &value) < 0) {
        return -1;
    }
    bool same = matches(proof, value);
    Py_XDECREF(value);
    return same;
}

/* ---- entries ---- */

fn_entry *
ext_function_entry_new(PyObject *key, fn_kind kind)
{
    fn_entry *entry = PyMem_Calloc(1, sizeof(*entry));
    if (entry == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    entry->key = key;
    entry->kind = (uint8_t)kind;
    entry->users = 1;
    return entry;
}

static Py_ssize_t
count_names(const fn_record *record)
{
    return Py_MAX(record->n_keywords, 0) + record->n_attributes
           + record->n_globals;
}

static Py_ssize_t
count_proofs(const fn_record *record)
{
    return Py_MAX(record->n_defaults, 0) + record->n_cells
           + count_names(record);
}

static void
clear_record(fn_record *record)
{
    Py_CLEAR(record->function);
    Py_CLEAR(record->code);
    for (Py_ssize_t i = 0; record->names && i < count_names(record); i++) {
        Py_CLEAR(record->names[i]);
    }
    for (Py_ssize_t i = 0; record->proofs && i < count_proofs(record); i++) {
        clear_proof(&record->proofs[i]);
    }
    PyMem_Free(record->names);
    PyMem_Free(record->proofs);
    record->names = NULL;
    record->proofs = NULL;
}

void
ext_function_entry_release(fn_entry *entry)
{
    if (--entry->users > 0) {
        return;
    }
    for (size_t i = 0; i < entry->n_records; i++) {
        clear_record(&entry->records[i]);
    }
    PyMem_Free(entry->records);
    clear_proof(&entry->found);
    Py_XDECREF(entry->module);
    Py_XDECREF(entry->name);
    Py_XDECREF(entry->ref);
    if (entry->def != NULL) {
        atoll_def_release(entry->def);
    }
    PyMem_Free(entry);
}

int
ext_function_entry_traverse(fn_entry *entry, visitproc visit, void *arg)
{
    Py_VISIT(entry->ref);
    Py_VISIT(entry->module);
    Py_VISIT(entry->found.held);
    for (size_t i = 0; i < entry->n_records; i++) {
        fn_record *record = &entry->records[i];
        Py_VISIT(record->function);
        Py_VISIT(record->code);
        for (Py_ssize_t j = 0; record->proofs && j < count_proofs(record);
             j++) {
            Py_VISIT(record->proofs[j].held);
        }
    }
    return 0;
}

/* ---- by reference ---- */

int
ext_function_prove_reference(fn_entry *entry, PyObject *text)
{
    int result = -1;
    PyObject *first = NULL;
    PyObject *parts = PyObject_CallMethod(text, "split", "s", ":");
    PyObject *module = NULL;
    if (parts == NULL
        || !(first = PyObject_CallMethod(PyList_GET_ITEM(parts, 1),
                                         "partition", "s", "."))) {
        goto done;
    }
    module = PyImport_GetModule(PyList_GET_ITEM(parts, 0));
    if (module == NULL || !PyModule_Check(module)) {
        /* Somebody's own object stands for the module: not watched. */
        result = PyErr_Occurred() ? -1 : 0;
        goto done;
    }
    PyObject *value;
    entry->name = Py_NewRef(PyTuple_GET_ITEM(first, 0));
    int found
        = ext_compat_dict_get(PyModule_GetDict(module), entry->name, &value);
    if (found < 0 || (found == 0 && entry->kind == FN_BY_REFERENCE)) {
        result = found; /* by the module's __getattr__: not watched */
        goto done;
    }
    entry->module = PyWeakref_NewRef(module, NULL);
    if (entry->module != NULL
        && make_proof(entry, &entry->found, value) == 0) {
        result = 0;
    }
    Py_XDECREF(value);
done:
    Py_XDECREF(parts);
    Py_XDECREF(first);
    Py_XDECREF(module);
    return result;
}

static int
reference_holds(fn_entry *entry)
{
    PyObject *module;
    int alive = ext_compat_weakref_get(entry->module, &module);
    if (alive <= 0) {
        return alive;
    }
    int same
        = matches_item(&entry->found, PyModule_GetDict(module), entry->name);
    Py_DECREF(module);
    return same;
}

/* ---- by value ---- */

/* Where the writing of a record has got to. */
typedef struct fn_filler {
    fn_entry *entry;
    fn_record *record;
    Py_ssize_t names;
    Py_ssize_t proofs;
} fn_filler;

static int
add_proof(fn_filler *filler, PyObject *value)
{
    return make_proof(filler->entry, &filler->record->proofs[filler->proofs++],
                      value);
}

static int
add_dict(fn_filler *filler, PyObject *dict)
{
    PyObject *name, *value;
    Py_ssize_t pos = 0;
    while (dict != Py_None && PyDict_Next(dict, &pos, &name, &value)) {
        filler->record->names[filler->names++] = Py_NewRef(name);
        if (add_proof(filler, value) < 0) {
            return -1;
        }
    }
    return 0;
}

/* The parts of one record as atoll._byvalue notes them. */
typedef struct fn_note {
    PyObject *function, *code, *defaults, *keywords, *attributes, *cells,
        *present, *absent;
} fn_note;

static int
alloc_record(fn_record *record, const fn_note *note)
{
    record->n_defaults
        = note->defaults == Py_None ? -1 : PyTuple_GET_SIZE(note->defaults);
    record->n_keywords
        = note->keywords == Py_None ? -1 : PyDict_GET_SIZE(note->keywords);
    record->n_attributes
        = note->attributes == Py_None ? 0 : PyDict_GET_SIZE(note->attributes);
    record->n_cells = PyTuple_GET_SIZE(note->cells);
    record->n_globals
        = PyDict_GET_SIZE(note->present) + PyTuple_GET_SIZE(note->absent);
    size_t names = (size_t)count_names(record);
    size_t proofs = (size_t)count_proofs(record);
    record->names = PyMem_Calloc(names + 1, sizeof(*record->names));
    record->proofs = PyMem_Calloc(proofs + 1, sizeof(*record->proofs));
    if (record->names == NULL || record->proofs == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static int
fill_record(fn_entry *entry, fn_record *record, const fn_note *note,
            PyObject *missing)
{
    if (alloc_record(record, note) < 0) {
        return -1;
    }
    record->code = Py_NewRef(note->code);
    if (note->function != entry->key) {
        record->function = PyWeakref_NewRef(note->function, NULL);
        if (record->function == NULL) {
            return -1;
        }
    }
    fn_filler filler = {.entry = entry, .record = record};
    for (Py_ssize_t i = 0; i < record->n_defaults; i++) {
        if (add_proof(&filler, PyTuple_GET_ITEM(note->defaults, i)) < 0) {
            return -1;
        }
    }
    if (add_dict(&filler, note->keywords) < 0
        || add_dict(&filler, note->attributes) < 0) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < record->n_cells; i++) {
        PyObject *content = PyTuple_GET_ITEM(note->cells, i);
        if (add_proof(&filler, content == missing ? NULL : content) < 0) {
            return -1;
        }
    }
    if (add_dict(&filler, note->present) < 0) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(note->absent); i++) {
        record->names[filler.names++]
            = Py_NewRef(PyTuple_GET_ITEM(note->absent, i));
        filler.proofs++;
    }
    return 0;
}

/* Makes room for the records; they count from the first one on, so that a
 * failure on the way leaves an entry that can be released. */
static int
alloc_records(fn_entry *entry, size_t count)
{
    entry->records = PyMem_Calloc(count + 1, sizeof(*entry->records));
    if (entry->records == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    entry->n_records = count;
    return 0;
}

int
ext_function_prove_value(fn_entry *entry, PyObject *records, PyObject *missing)
{
    Py_ssize_t count = PyList_GET_SIZE(records);
    if (alloc_records(entry, (size_t)count) < 0) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        fn_note note;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(records, i), "OOOOOO!O!O!",
                              &note.function, &note.code, &note.defaults,
                              &note.keywords, &note.attributes, &PyTuple_Type,
                              &note.cells, &PyDict_Type, &note.present,
                              &PyTuple_Type, &note.absent)
            || fill_record(entry, &entry->records[i], &note, missing) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Borrowed; NULL: none so far. */
static inline PyObject *
attributes_of(PyObject *function)
{
    return ((PyFunctionObject *)function)->func_dict;
}

static inline PyObject *
or_none(PyObject *value)
{
    return value == NULL ? Py_None : value;
}

int
ext_function_prove_self(fn_entry *entry)
{
    if (!PyFunction_Check(entry->key)) {
        return 0;
    }
    PyObject *function = entry->key;
    PyObject *closure = PyFunction_GET_CLOSURE(function);
    Py_ssize_t size = closure == NULL ? 0 : PyTuple_GET_SIZE(closure);
    fn_note note = {
        .function = function,
        .code = PyFunction_GET_CODE(function),
        .defaults = or_none(PyFunction_GET_DEFAULTS(function)),
        .keywords = or_none(PyFunction_GET_KW_DEFAULTS(function)),
        .attributes = or_none(attributes_of(function)),
        .cells = PyTuple_New(size),
        .present = PyDict_New(),
        .absent = PyTuple_New(0),
    };
    int result = -1;
    if (note.cells == NULL || note.present == NULL || note.absent == NULL) {
        goto done;
    }
    PyObject *missing = note.present; /* a sign that is nobody's content */
    for (Py_ssize_t i = 0; i < size; i++) {
        PyObject *content = PyCell_GET(PyTuple_GET_ITEM(closure, i));
        PyTuple_SET_ITEM(note.cells, i,
                         Py_NewRef(content == NULL ? missing : content));
    }
    if (alloc_records(entry, 1) == 0) {
        result = fill_record(entry, entry->records, &note, missing);
    }
done:
    Py_XDECREF(note.cells);
    Py_XDECREF(note.present);
    Py_XDECREF(note.absent);
    return result;
}

/* A dict of just these names and values. */
static int
dict_holds(const fn_proof *proofs, PyObject *const *names, Py_ssize_t count,
           PyObject *dict)
{
    if (PyDict_GET_SIZE(dict) != count) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        int same = matches_item(&proofs[i], dict, names[i]);
        if (same <= 0) {
            return same;
        }
    }
    return 1;
}

static bool
defaults_hold(const fn_record *record, PyObject *defaults)
{
    if (record->n_defaults < 0 || defaults == NULL) {
        return (record->n_defaults < 0) == (defaults == NULL);
    }
    if (PyTuple_GET_SIZE(defaults) != record->n_defaults) {
        return false;
    }
    for (Py_ssize_t i = 0; i < record->n_defaults; i++) {
        if (!matches(&record->proofs[i], PyTuple_GET_ITEM(defaults, i))) {
            return false;
        }
    }
    return true;
}

/* The keywords' defaults and the attributes. */
static int
dicts_hold(const fn_record *record, const fn_proof *proofs, PyObject *function)
{
    PyObject *keywords = PyFunction_GET_KW_DEFAULTS(function);
    PyObject *attributes = attributes_of(function);
    Py_ssize_t n_keywords = Py_MAX(record->n_keywords, 0);
    if ((record->n_keywords < 0) != (keywords == NULL)) {
        return 0;
    }
    if (keywords != NULL) {
        int same = dict_holds(proofs, record->names, n_keywords, keywords);
        if (same <= 0) {
            return same;
        }
    }
    if (attributes == NULL) {
        return record->n_attributes == 0;
    }
    return dict_holds(proofs + n_keywords, record->names + n_keywords,
                      record->n_attributes, attributes);
}

static int
record_holds(const fn_record *record, PyObject *function)
{
    if (PyFunction_GET_CODE(function) != record->code) {
        return 0;
    }
    if (!defaults_hold(record, PyFunction_GET_DEFAULTS(function))) {
        return 0;
    }
    const fn_proof *proof = record->proofs + Py_MAX(record->n_defaults, 0);
    int same = dicts_hold(record, proof, function);
    if (same <= 0) {
        return same;
    }
    Py_ssize_t named = Py_MAX(record->n_keywords, 0) + record->n_attributes;
    proof += named;
    PyObject *closure = PyFunction_GET_CLOSURE(function);
    for (Py_ssize_t i = 0; i < record->n_cells; i++) {
        if (!matches(proof++, PyCell_GET(PyTuple_GET_ITEM(closure, i)))) {
            return 0;
        }
    }
    PyObject **names = record->names + named;
    PyObject *globals = PyFunction_GET_GLOBALS(function);
    for (Py_ssize_t i = 0; i < record->n_globals; i++) {
        same = matches_item(proof++, globals, names[i]);
        if (same <= 0) {
            return same;
        }
    }
    return 1;
}

int
ext_function_holds(fn_entry *entry)
{
    if (entry->module != NULL) {
        int same = reference_holds(entry);
        if (same <= 0) {
            return same;
        }
    }
    for (size_t i = 0; i < entry->n_records; i++) {
        const fn_record *record = &entry->records[i];
        int same;
        if (record->function == NULL) {
            same = record_holds(record, entry->key);
        }
        else {
            PyObject *function;
            same = ext_compat_weakref_get(record->function, &function);
            if (same > 0) {
                same = record_holds(record, function);
                Py_DECREF(function);
            }
        }
        if (same <= 0) {
            return same;
        }
    }
    return 1;
}
