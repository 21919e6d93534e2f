/* Definitions: made once by the sender, turned into objects once by each
 * receiver.  See function.h, and function_impl.h for the evidence.
 *
 * Three tables, each guarded by the GIL:
 *  - by_key: what this interpreter has sent, by the object's address; an entry
 *    goes when its object dies (by_ref finds it for the weak reference's
 *    callback), or when it no longer holds and is replaced;
 *  - by_id: what a definition is here, by its id: the object that was built
 *    from it, kept alive by the table, or this interpreter's own object, kept
 *    alive by nobody.
 *
 * A definition whose object died or changed is retired: receivers drop what
 * they built from it, not at once but before what they keep of the kind
 * becomes much, by number or by size.  So neither a loop of ever new lambdas
 * nor one of ever new classes grows anything on either side.
 *
 * Some definitions are retired from the beginning: those of closures whose
 * content may change.  They are made at each send and built at each receipt,
 * as any value is, and no table has them.
 *
 * Python code may run, and change these tables, wherever a definition is made
 * or decoded, or anything is released.  So the tables are looked at anew
 * after that, and changed before something is released.
 */
#include "function_impl.h"

#include "errors.h"
#include "module.h"
#include "transfer.h"

#include "../core/wire.h"

static function_part *
get_part(ext_state *st)
{
    return st->parts[EXT_PART_FUNCTION];
}

/* The callback of the weak references. */
static PyObject *
core_forget(PyObject *module, PyObject *ref)
{
    function_part *part = get_part(ext_state_of_module(module));
    if (part != NULL) {
        fn_entry *entry = atoll_table_find(&part->by_ref, fn_address(ref));
        if (entry != NULL) {
            ext_function_remove_entry(part, entry);
        }
    }
    Py_RETURN_NONE;
}

/* ---- making definitions ---- */

/* One of atoll's Python modules, loaded at the first use.  Borrowed. */
static PyObject *
get_module(PyObject **place, const char *name)
{
    if (*place == NULL) {
        PyObject *module = PyImport_ImportModule(name);
        if (*place == NULL) {
            *place = module;
        }
        else {
            Py_XDECREF(module); /* another thread was first */
        }
    }
    return *place;
}

/* Owns: a heap frame with what `frame` holds goes into the definition. */
static atoll_def *
make_def(ext_state *st, atoll_frame *frame)
{
    atoll_frame *blob = atoll_frame_move(frame);
    if (blob != NULL) {
        atoll_def *def = atoll_def_new(atoll_unique_id(), st->self->id, blob);
        if (def != NULL) {
            return def;
        }
        atoll_frame_release(blob);
    }
    PyErr_NoMemory();
    return NULL;
}

static int
put_str(atoll_writer *writer, PyObject *text)
{
    size_t size = (size_t)PyUnicode_GET_LENGTH(text);
    unsigned kind = (unsigned)PyUnicode_KIND(text);
    if (atoll_writer_room(writer, ATOLL_WRITE_ROOM + size * kind)
        != ATOLL_OK) {
        PyErr_NoMemory();
        return -1;
    }
    atoll_put_u8(writer, ATOLL_TAG_STR);
    atoll_put_u8(writer, PyUnicode_IS_ASCII(text) ? ATOLL_STR_ASCII : kind);
    atoll_put_varint(writer, size);
    atoll_put_raw(writer, PyUnicode_DATA(text), size * kind);
    return 0;
}

/* text: "module:name" */
static int
write_reference(PyObject *text, atoll_frame *frame)
{
    int result = -1;
    PyObject *parts = PyObject_CallMethod(text, "split", "s", ":");
    if (parts == NULL) {
        return -1;
    }
    atoll_writer writer;
    atoll_writer_open(&writer, frame);
    if (atoll_writer_room(&writer, ATOLL_WRITE_ROOM) == ATOLL_OK) {
        atoll_put_u8(&writer, ATOLL_TAG_GLOBAL);
        if (put_str(&writer, PyList_GET_ITEM(parts, 0)) == 0
            && put_str(&writer, PyList_GET_ITEM(parts, 1)) == 0) {
            result = 0;
        }
    }
    else {
        PyErr_NoMemory();
    }
    atoll_writer_close(&writer);
    Py_DECREF(parts);
    return result;
}

static atoll_def *
define_by_reference(ext_state *st, fn_entry *entry, PyObject *text)
{
    atoll_frame frame;
    atoll_frame_init(&frame);
    if (write_reference(text, &frame) == 0
        && ext_function_prove_reference(entry, text) == 0) {
        entry->def = make_def(st, &frame);
    }
    atoll_frame_fini(&frame);
    return entry->def;
}


/* What atoll._byvalue takes apart.  Whether it holds for one use only goes to
 * *out_passing. */
static atoll_def *
define_by_value(ext_state *st, fn_entry *entry, bool *out_passing)
{
    function_part *part = get_part(st);
    PyObject *byvalue = get_module(&part->byvalue, "atoll._byvalue");
    if (byvalue == NULL) {
        return NULL;
    }
    if (part->missing == NULL) {
        part->missing = PyObject_GetAttrString(byvalue, "_MISSING");
        if (part->missing == NULL) {
            return NULL;
        }
    }
    PyObject *noted = NULL;
    PyObject *name = PyObject_CallMethod(byvalue, "name_of", "O", entry->key);
    PyObject *build = name == NULL ? NULL
                                   : PyObject_CallMethod(byvalue, "begin", "O",
                                                         entry->key);
    if (build == NULL) {
        Py_XDECREF(name);
        return NULL;
    }
    atoll_frame frame;
    atoll_frame_init(&frame);
    const char *root = PyUnicode_AsUTF8(name);
    bool written = root != NULL
                   && ext_encode(st, entry->key, root, EXT_ENCODE_DEFINITION,
                                 NULL, &frame)
                          == 0;
    PyObject *error = PyErr_GetRaisedException();
    noted = PyObject_CallMethod(byvalue, "end", "O", build);
    if (error != NULL) {
        PyErr_SetRaisedException(error); /* rather than one of end's */
    }
    PyObject *passing, *place, *records;
    if (written && noted != NULL
        && PyArg_ParseTuple(noted, "OOO!", &passing, &place, &PyList_Type,
                            &records)
        && (place == Py_None
            || ext_function_prove_reference(entry, place) == 0)
        && ext_function_prove_value(entry, records, part->missing) == 0) {
        entry->def = make_def(st, &frame);
        *out_passing = passing == Py_True;
    }
    Py_XDECREF(noted);
    Py_DECREF(build);
    Py_DECREF(name);
    atoll_frame_fini(&frame);
    return entry->def;
}

/* Types beside functions and classes whose objects have a name that an import
 * may find, or else cross by value: by name, so that their modules need not
 * be loaded. */
static bool
has_name(PyObject *obj)
{
    static const char *const types[] = {
        "functools._lru_cache_wrapper",
        "typing.TypeVar",
        "typing.ParamSpec",
        "typing.TypeVarTuple",
        "typing.TypeAliasType",
        "NewType",
        "sentinel",
    };
    if (PyFunction_Check(obj) || PyType_Check(obj)) {
        return true;
    }
    if (PyCFunction_Check(obj)) {
        /* Methods of objects know how to be pickled. */
        PyObject *self = PyCFunction_GET_SELF(obj);
        return self == NULL || PyModule_Check(self);
    }
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(Py_TYPE(obj)->tp_name, types[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int
define_anew(ext_state *st, PyObject *obj, atoll_def **out_def)
{
    function_part *part = get_part(st);
    PyObject *reference = get_module(&part->reference, "atoll._reference");
    PyObject *text = reference == NULL
                         ? NULL
                         : PyObject_CallMethod(reference, "find", "O", obj);
    if (text == NULL) {
        return -1;
    }
    bool by_value = text == Py_None, passing = false;
    fn_entry *entry = ext_function_entry_new(obj, by_value ? FN_BY_VALUE
                                                           : FN_BY_REFERENCE);
    atoll_def *def = NULL;
    if (entry != NULL) {
        def = by_value ? define_by_value(st, entry, &passing)
                       : define_by_reference(st, entry, text);
    }
    Py_DECREF(text);
    if (def == NULL) {
        if (entry != NULL) {
            ext_function_entry_release(entry);
        }
        return -1;
    }
    atoll_def_acquire(def);
    *out_def = def;
    if (!passing && PyType_SUPPORTS_WEAKREFS(Py_TYPE(obj))) {
        if (ext_function_add_entry(part, entry) < 0) {
            atoll_def_release(def);
            return -1;
        }
        return 1;
    }
    /* For this one use: whoever has it cached has it no longer. */
    fn_entry *old = atoll_table_find(&part->by_key, fn_address(obj));
    fn_retire(def);
    ext_function_entry_release(entry);
    if (old != NULL) {
        ext_function_remove_entry(part, old);
    }
    return 1;
}

/* 1: it is what it was.  0: no more.  -1 with an exception. */
static int
entry_holds(fn_entry *entry)
{
    return entry->kind == FN_FOREIGN && fn_is_retired(entry->def)
               ? 0
               : ext_function_holds(entry);
}

atoll_def *
ext_function_known(ext_state *st, PyObject *obj)
{
    function_part *part = get_part(st);
    fn_entry *entry = atoll_table_find(&part->by_key, fn_address(obj));
    if (entry == NULL) {
        return NULL;
    }
    int holds = entry_holds(entry);
    if (ATOLL_UNLIKELY(holds < 0)) {
        PyErr_Clear(); /* ext_function_define looks again, and says it */
    }
    return holds > 0 ? entry->def : NULL;
}

int
ext_function_define(ext_state *st, PyObject *obj, atoll_def **out_def)
{
    function_part *part = get_part(st);
    fn_entry *entry = atoll_table_find(&part->by_key, fn_address(obj));
    if (ATOLL_LIKELY(entry != NULL)) {
        entry->users++; /* comparing may run Python code */
        int holds = entry_holds(entry);
        if (ATOLL_LIKELY(holds > 0)) {
            atoll_def_acquire(entry->def);
            *out_def = entry->def;
        }
        ext_function_entry_release(entry);
        if (ATOLL_LIKELY(holds != 0)) {
            return holds;
        }
    }
    else if (!has_name(obj)) {
        return 0;
    }
    return define_anew(st, obj, out_def);
}

/* ---- turning them into objects ---- */

static bool
is_by_reference(const atoll_def *def)
{
    return def->blob->len > 0 && def->blob->data[0] == ATOLL_TAG_GLOBAL;
}

/* Decodes a definition by value, once.  *out_own is what atoll._rebuild.end
 * returned: a new reference. */
static PyObject *
rebuild_once(ext_state *st, PyObject *module, atoll_def *def,
             PyObject **out_own)
{
    PyObject *decoding = PyObject_CallMethod(module, "begin", NULL);
    if (decoding == NULL) {
        return NULL;
    }
    PyObject *obj = ext_decode(st, def->blob);
    PyObject *error = PyErr_GetRaisedException();
    *out_own = PyObject_CallMethod(module, "end", "OOO", decoding,
                                   obj == NULL ? Py_False : Py_True,
                                   obj == NULL ? Py_None : obj);
    if (error != NULL) {
        PyErr_SetRaisedException(error); /* rather than one of end's */
        Py_CLEAR(*out_own);
    }
    if (*out_own == NULL) {
        Py_CLEAR(obj);
    }
    Py_DECREF(decoding);
    return obj;
}

/* How often two threads may get into each other's way. */
#define MOST_TRIES 100

/* Decodes a definition by value.  *out_own: what came out is this
 * interpreter's own object. */
static PyObject *
rebuild(ext_state *st, atoll_def *def, bool *out_own)
{
    function_part *part = get_part(st);
    PyObject *module = get_module(&part->rebuild, "atoll._rebuild");
    for (int i = 0; module != NULL && i < MOST_TRIES; i++) {
        PyObject *own = NULL;
        PyObject *obj = rebuild_once(st, module, def, &own);
        bool again = own == Py_None;
        *out_own = own == Py_True;
        Py_XDECREF(own);
        if (obj == NULL || !again) {
            return obj;
        }
        Py_DECREF(obj);
    }
    if (module != NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "other threads keep building the same thing");
    }
    return NULL;
}

/* Is the exception that is set one that looking for a name may give?  Others
 * come from outside: an interruption, Ctrl-C. */
static bool
is_about_names(void)
{
    return PyErr_ExceptionMatches(PyExc_AttributeError)
           || PyErr_ExceptionMatches(PyExc_ImportError)
           || PyErr_ExceptionMatches(PyExc_LookupError)
           || PyErr_ExceptionMatches(PyExc_TypeError)
           || PyErr_ExceptionMatches(PyExc_ValueError);
}

/* Evidence that an import still gives obj; *out is NULL if there is none to
 * be had.  Fails: -1 with an exception. */
static int
watch_reference(ext_state *st, PyObject *obj, fn_entry **out)
{
    function_part *part = get_part(st);
    PyObject *reference = get_module(&part->reference, "atoll._reference");
    fn_entry *entry = NULL;
    *out = NULL;
    PyObject *text = reference == NULL
                         ? NULL
                         : PyObject_CallMethod(reference, "find", "O", obj);
    if (text != NULL && text != Py_None) {
        entry = ext_function_entry_new(obj, FN_BY_REFERENCE);
        if (entry != NULL && ext_function_prove_reference(entry, text) < 0) {
            ext_function_entry_release(entry);
            entry = NULL;
        }
    }
    Py_XDECREF(text);
    if (PyErr_Occurred()) {
        if (!is_about_names()) {
            if (entry != NULL) {
                ext_function_entry_release(entry);
            }
            return -1;
        }
        PyErr_Clear();
    }
    *out = entry;
    return 0;
}

/* So that what was built here is sent on with the definition it came in. */
static int
add_foreign(function_part *part, PyObject *obj, atoll_def *def)
{
    if (!PyType_SUPPORTS_WEAKREFS(Py_TYPE(obj))) {
        return 0;
    }
    fn_entry *entry = ext_function_entry_new(obj, FN_FOREIGN);
    if (entry == NULL) {
        return -1;
    }
    atoll_def_acquire(def);
    entry->def = def;
    if (ext_function_prove_self(entry) < 0) {
        ext_function_entry_release(entry);
        return -1;
    }
    return ext_function_add_entry(part, entry);
}

/* Enters what def was turned into.  Returns -1 with an exception. */
static int
enter_built(ext_state *st, atoll_def *def, PyObject *obj, bool own)
{
    function_part *part = get_part(st);
    fn_keeper keeper = FN_KEPT;
    fn_entry *entry = NULL;
    PyObject *held = Py_NewRef(obj);
    if (own && PyType_SUPPORTS_WEAKREFS(Py_TYPE(obj))) {
        /* To keep it would be to keep what keeps its copies elsewhere. */
        keeper = FN_WEAK;
        Py_SETREF(held, PyWeakref_NewRef(obj, NULL));
    }
    else if (is_by_reference(def) && watch_reference(st, obj, &entry) < 0) {
        Py_DECREF(held);
        return -1;
    }
    fn_slot *old = atoll_table_remove(&part->by_id, def->id);
    fn_slot *slot = NULL;
    if (held != NULL) {
        slot = ext_function_add_slot(part, def, keeper, held, entry);
    }
    if (old != NULL) {
        ext_function_free_slot(old); /* built meanwhile by another thread */
    }
    if (slot == NULL) {
        return -1;
    }
    part->new_count++;
    part->new_bytes += atoll_frame_size(def->blob);
    return 0;
}

static PyObject *
resolve_anew(ext_state *st, atoll_def *def)
{
    function_part *part = get_part(st);
    ext_function_sweep(part, false);
    bool own = false;
    PyObject *obj = is_by_reference(def) ? ext_decode(st, def->blob)
                                         : rebuild(st, def, &own);
    if (obj == NULL || fn_is_retired(def)) {
        return obj;
    }
    if ((!own && !is_by_reference(def) && add_foreign(part, obj, def) < 0)
        || enter_built(st, def, obj, own) < 0) {
        Py_CLEAR(obj);
    }
    return obj;
}

/* What the slot has: 1, 0 if that is no longer true, -1 with an exception. */
static int
look_up(fn_slot *slot, PyObject **out_obj)
{
    if (slot->keeper == FN_WEAK) {
        return ext_compat_weakref_get(slot->obj, out_obj);
    }
    PyObject *obj = Py_NewRef(slot->obj);
    int holds = 1;
    if (slot->keeper == FN_KEPT && slot->entry != NULL) {
        fn_entry *entry = slot->entry;
        entry->users++;
        holds = entry_holds(entry);
        ext_function_entry_release(entry);
    }
    if (holds <= 0) {
        Py_CLEAR(obj);
    }
    *out_obj = obj;
    return holds;
}

PyObject *
ext_function_resolve(ext_state *st, atoll_def *def)
{
    fn_slot *slot = atoll_table_find(&get_part(st)->by_id, def->id);
    if (ATOLL_LIKELY(slot != NULL)) {
        PyObject *obj;
        int found = look_up(slot, &obj);
        if (ATOLL_LIKELY(found != 0)) {
            return obj;
        }
    }
    return resolve_anew(st, def);
}

/* ---- for atoll/_byvalue.py and atoll/_rebuild.py ---- */

static PyObject *
core_unique_id(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused))
{
    return PyLong_FromUnsignedLongLong(atoll_unique_id());
}

static PyObject *
core_home(PyObject *module, PyObject *Py_UNUSED(unused))
{
    return PyLong_FromLongLong(ext_state_of_module(module)->self->id);
}

/* Whether the interpreter with this id is there still. */
static PyObject *
core_is_alive(PyObject *Py_UNUSED(module), PyObject *arg)
{
    int64_t id = PyLong_AsLongLong(arg);
    if (id == -1 && PyErr_Occurred()) {
        return NULL;
    }
    atoll_interp *interp;
    if (atoll_registry_find(id, &interp) != ATOLL_OK) {
        Py_RETURN_FALSE;
    }
    bool alive = atoll_interp_get_life(interp) != ATOLL_LIFE_GONE;
    atoll_interp_release(interp);
    return PyBool_FromLong(alive);
}

/* For the tests: (sent from here, built or known here, new since the last
 * sweep). */
static PyObject *
core_definitions(PyObject *module, PyObject *Py_UNUSED(unused))
{
    function_part *part = get_part(ext_state_of_module(module));
    return Py_BuildValue("nnn", (Py_ssize_t)part->by_key.count,
                         (Py_ssize_t)part->by_id.count,
                         (Py_ssize_t)part->new_count);
}

/* For the tests: drops what is retired, however little it is. */
static PyObject *
core_sweep(PyObject *module, PyObject *Py_UNUSED(unused))
{
    ext_function_sweep(get_part(ext_state_of_module(module)), true);
    Py_RETURN_NONE;
}

static PyMethodDef forget_method = {"_forget", core_forget, METH_O, NULL};

static PyMethodDef function_methods[] = {
    {"_unique_id", core_unique_id, METH_NOARGS, NULL},
    {"_home", core_home, METH_NOARGS, NULL},
    {"_is_alive", core_is_alive, METH_O, NULL},
    {"_definitions", core_definitions, METH_NOARGS, NULL},
    {"_sweep", core_sweep, METH_NOARGS, NULL},
    {"_forgetter", ext_function_forgetter, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

/* ---- the part ---- */

static int
function_exec(PyObject *module, ext_state *st)
{
    function_part *part = PyMem_Calloc(1, sizeof(*part));
    if (part == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    st->parts[EXT_PART_FUNCTION] = part;
    part->forget = PyCFunction_New(&forget_method, module);
    if (part->forget == NULL) {
        return -1;
    }
    return PyModule_AddFunctions(module, function_methods);
}

static int
function_traverse(ext_state *st, visitproc visit, void *arg)
{
    function_part *part = get_part(st);
    if (part == NULL) {
        return 0;
    }
    Py_VISIT(part->forget);
    Py_VISIT(part->reference);
    Py_VISIT(part->byvalue);
    Py_VISIT(part->rebuild);
    Py_VISIT(part->missing);
    size_t pos = 0;
    void *value;
    while (atoll_table_next(&part->by_key, &pos, &value)) {
        int err = ext_function_entry_traverse(value, visit, arg);
        if (err != 0) {
            return err;
        }
    }
    pos = 0;
    while (atoll_table_next(&part->by_id, &pos, &value)) {
        fn_slot *slot = value;
        if (slot->keeper != FN_OWN) {
            Py_VISIT(slot->obj);
        }
        if (slot->keeper == FN_KEPT && slot->entry != NULL) {
            int err = ext_function_entry_traverse(slot->entry, visit, arg);
            if (err != 0) {
                return err;
            }
        }
    }
    return 0;
}

static void
function_clear(ext_state *st)
{
    function_part *part = get_part(st);
    if (part == NULL) {
        return;
    }
    size_t pos = 0;
    void *value;
    while (pos = 0, atoll_table_next(&part->by_key, &pos, &value)) {
        ext_function_remove_entry(part, value);
    }
    while (pos = 0, atoll_table_next(&part->by_id, &pos, &value)) {
        fn_slot *slot = value;
        (void)atoll_table_remove(&part->by_id, slot->def->id);
        ext_function_free_slot(slot);
    }
    Py_CLEAR(part->forget);
    Py_CLEAR(part->reference);
    Py_CLEAR(part->byvalue);
    Py_CLEAR(part->rebuild);
    Py_CLEAR(part->missing);
}

static void
function_free(ext_state *st)
{
    function_part *part = get_part(st);
    if (part != NULL) {
        atoll_table_fini(&part->by_key);
        atoll_table_fini(&part->by_ref);
        atoll_table_fini(&part->by_id);
        PyMem_Free(part);
        st->parts[EXT_PART_FUNCTION] = NULL;
    }
}

const ext_part ext_function_part = {
    .id = EXT_PART_FUNCTION,
    .exec = function_exec,
    .traverse = function_traverse,
    .clear = function_clear,
    .free = function_free,
};
