/* The tables of function.c: what was sent from here (entries) and what
 * definitions are here (slots).  See function_impl.h.
 *
 * Whatever is released here may run Python code, which may come back: so the
 * tables are changed first.
 */
#include "function_impl.h"

/* What refers to containers may keep its own object alive; so many such
 * entries at most (function_impl.h, fn_entry.holds). */
#define MOST_HOLDERS 256

/* Before a sweep of what is retired. */
#define SWEEP_COUNT 32
#define SWEEP_BYTES (256 * 1024)

/* ---- slots: what a definition is here ---- */

void
ext_function_free_slot(fn_slot *slot)
{
    atoll_def_release(slot->def);
    if (slot->keeper != FN_OWN) {
        if (slot->entry != NULL) {
            ext_function_entry_release(slot->entry);
        }
        Py_XDECREF(slot->obj);
    }
    PyMem_Free(slot);
}

static void
drop_slots(function_part *part, fn_slot *list)
{
    for (fn_slot *slot = list; slot != NULL; slot = slot->next) {
        (void)atoll_table_remove(&part->by_id, slot->def->id);
    }
    while (list != NULL) {
        fn_slot *slot = list;
        list = slot->next;
        ext_function_free_slot(slot); /* may run Python code */
    }
}

/* Drops the slots of retired definitions, if enough may have gathered. */
void
ext_function_sweep(function_part *part, bool now)
{
    if (!now && part->new_bytes < SWEEP_BYTES
        && (part->new_count < SWEEP_COUNT
            || part->new_count < part->by_id.count / 2)) {
        return;
    }
    part->new_bytes = part->new_count = 0;
    fn_slot *dead = NULL;
    size_t pos = 0;
    void *value;
    while (atoll_table_next(&part->by_id, &pos, &value)) {
        fn_slot *slot = value;
        if (slot->keeper != FN_OWN && fn_is_retired(slot->def)) {
            slot->next = dead;
            dead = slot;
        }
    }
    drop_slots(part, dead);
}

/* Puts a slot into the table.  Owns: obj and entry go over to it, on failure
 * too.  NULL with MemoryError. */
fn_slot *
ext_function_add_slot(function_part *part, atoll_def *def, fn_keeper keeper,
                      PyObject *obj, fn_entry *entry)
{
    fn_slot *slot = PyMem_Calloc(1, sizeof(*slot));
    if (slot == NULL) {
        PyErr_NoMemory();
        if (keeper != FN_OWN) {
            Py_DECREF(obj);
            if (entry != NULL) {
                ext_function_entry_release(entry);
            }
        }
        return NULL;
    }
    atoll_def_acquire(def);
    slot->def = def;
    slot->obj = obj;
    slot->entry = entry;
    slot->keeper = (uint8_t)keeper;
    if (atoll_table_set(&part->by_id, def->id, slot) != ATOLL_OK) {
        ext_function_free_slot(slot);
        PyErr_NoMemory();
        return NULL;
    }
    return slot;
}

/* ---- entries: what was sent from here ---- */

static void
unlink_holder(function_part *part, fn_entry *entry)
{
    if (entry->older == NULL && part->oldest != entry) {
        return;
    }
    *(entry->older ? &entry->older->newer : &part->oldest) = entry->newer;
    *(entry->newer ? &entry->newer->older : &part->newest) = entry->older;
    entry->older = entry->newer = NULL;
    part->holders--;
}

/* Takes the entry out of all tables and gives up their use of it; its
 * definition is no longer true unless it is somebody else's. */
void
ext_function_remove_entry(function_part *part, fn_entry *entry)
{
    if (atoll_table_find(&part->by_key, fn_address(entry->key)) == entry) {
        (void)atoll_table_remove(&part->by_key, fn_address(entry->key));
    }
    (void)atoll_table_remove(&part->by_ref, fn_address(entry->ref));
    unlink_holder(part, entry);
    fn_slot *slot = atoll_table_find(&part->by_id, entry->def->id);
    if (slot != NULL && slot->keeper == FN_OWN && slot->entry == entry) {
        (void)atoll_table_remove(&part->by_id, entry->def->id);
        ext_function_free_slot(slot);
    }
    if (entry->kind != FN_FOREIGN) {
        fn_retire(entry->def);
    }
    ext_function_entry_release(entry);
}

static void
link_holder(function_part *part, fn_entry *entry)
{
    entry->older = part->newest;
    *(part->newest ? &part->newest->newer : &part->oldest) = entry;
    part->newest = entry;
    if (++part->holders > MOST_HOLDERS) {
        ext_function_remove_entry(part, part->oldest);
    }
}

/* Puts a complete entry into the tables, instead of any other for its key.
 * Owns: takes over the caller's use of it, on failure too. */
int
ext_function_add_entry(function_part *part, fn_entry *entry)
{
    fn_entry *old = atoll_table_find(&part->by_key, fn_address(entry->key));
    if (old != NULL) {
        ext_function_remove_entry(part, old);
    }
    /* One with a callback is never shared: its address is the entry's. */
    entry->ref = PyWeakref_NewRef(entry->key, part->forget);
    if (entry->ref == NULL) {
        goto error;
    }
    if (atoll_table_set(&part->by_ref, fn_address(entry->ref), entry)
            != ATOLL_OK
        || atoll_table_set(&part->by_key, fn_address(entry->key), entry)
               != ATOLL_OK) {
        PyErr_NoMemory();
        goto error;
    }
    if (entry->kind != FN_FOREIGN
        && ext_function_add_slot(part, entry->def, FN_OWN, entry->key, entry)
               == NULL) {
        goto error;
    }
    if (entry->holds) {
        link_holder(part, entry);
    }
    return 0;
error:;
    PyObject *error = PyErr_GetRaisedException();
    ext_function_remove_entry(part, entry);
    PyErr_SetRaisedException(error);
    return -1;
}

/* ---- what atoll._rebuild knows of objects ---- */

/* Takes the identity out of `objects`, under each of its numbers. */
static int
forget_numbers(PyObject *objects, PyObject *identity, PyObject *numbers)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(numbers); i++) {
        PyObject *number = PyList_GET_ITEM(numbers, i);
        if (PyDict_GetItemWithError(objects, number) == identity
            && PyDict_DelItem(objects, number) < 0) {
            return -1;
        }
    }
    return PyErr_Occurred() ? -1 : 0;
}

/* The callback of a weak reference: `tables` is (identities by key, identities
 * by number, the names "key", "ref" and "numbers").  The reference is the one
 * of its identity, unless another object has the key now. */
static PyObject *
forget_object(PyObject *tables, PyObject *dead)
{
    PyObject *identities = PyTuple_GET_ITEM(tables, 0);
    int result = -1;
    PyObject *own = NULL;
    PyObject *numbers = NULL;
    PyObject *key = PyObject_GetAttr(dead, PyTuple_GET_ITEM(tables, 2));
    PyObject *identity
        = key == NULL ? NULL
                      : Py_XNewRef(PyDict_GetItemWithError(identities, key));
    if (identity == NULL) {
        result = PyErr_Occurred() ? -1 : 0;
        goto done;
    }
    own = PyObject_GetAttr(identity, PyTuple_GET_ITEM(tables, 3));
    if (own == dead) {
        numbers = PyObject_GetAttr(identity, PyTuple_GET_ITEM(tables, 4));
        if (numbers != NULL && PyList_Check(numbers)
            && PyDict_DelItem(identities, key) == 0) {
            result = forget_numbers(PyTuple_GET_ITEM(tables, 1), identity,
                                    numbers);
        }
    }
    else if (own != NULL) {
        result = 0;
    }
done:
    Py_XDECREF(key);
    Py_XDECREF(own);
    Py_XDECREF(numbers);
    Py_XDECREF(identity); /* may run Python code */
    return result < 0 ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef forget_object_def
    = {"_forget_object", forget_object, METH_O,
       PyDoc_STR("The callback of the weak references of atoll._rebuild.")};

PyObject *
ext_function_forgetter(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *identities;
    PyObject *objects;
    if (!PyArg_ParseTuple(args, "O!O!:_forgetter", &PyDict_Type, &identities,
                          &PyDict_Type, &objects)) {
        return NULL;
    }
    PyObject *tables = Py_BuildValue("(OONNN)", identities, objects,
                                     PyUnicode_InternFromString("key"),
                                     PyUnicode_InternFromString("ref"),
                                     PyUnicode_InternFromString("numbers"));
    if (tables == NULL) {
        return NULL;
    }
    PyObject *func = PyCFunction_New(&forget_object_def, tables);
    Py_DECREF(tables);
    return func;
}
