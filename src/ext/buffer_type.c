/* SharedBuffer: a handle to a block of memory that belongs to the process.
 *
 * Each handle owns a reference to the block, and so does each message and
 * each view that was sent: the memory goes with the last of them, whichever
 * interpreter they are in.  Handles are not unique: two that came by two
 * messages are two objects over the same memory (they compare equal), so that
 * one's release() does not pull the memory from under the other.
 *
 * The GIL of the handle's interpreter guards the handle; nothing guards the
 * memory but what its users agree on.
 */
#include "buffer.h"

#include "errors.h"
#include "module.h"
#include "transfer.h"

#include <stddef.h>
#include <string.h>

/* Copies of this size and more are made without the GIL. */
#define COPY_FREELY ((Py_ssize_t)1 << 20)

typedef struct BufferObject {
    PyObject_HEAD
    atoll_block *block; /* owned; NULL: released */
    uint64_t id;        /* of the block, for repr, == and hash */
    Py_ssize_t exports;
    PyObject *weakrefs;
} BufferObject;

typedef struct buffer_part {
    PyTypeObject *type;
    PyTypeObject *view_type; /* see view.c */
} buffer_part;

static buffer_part *
get_part(ext_state *st)
{
    return st->parts[EXT_PART_BUFFER];
}

PyTypeObject *
ext_view_type(ext_state *st)
{
    return get_part(st)->view_type;
}

atoll_block *
ext_buffer_block(ext_state *st, PyObject *obj)
{
    return Py_IS_TYPE(obj, get_part(st)->type) ? ((BufferObject *)obj)->block
                                               : NULL;
}

/* --- making ---------------------------------------------------------------- */

/* Owns: takes over the reference to the block, on failure too. */
static PyObject *
wrap_block(PyTypeObject *type, atoll_block *block)
{
    BufferObject *self = (BufferObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        atoll_block_release(block);
        return NULL;
    }
    self->block = block;
    self->id = block->id;
    return (PyObject *)self;
}

static PyObject *
make_of_size(PyTypeObject *type, Py_ssize_t size)
{
    if (size < 0) {
        PyErr_SetString(PyExc_ValueError, "size must not be negative");
        return NULL;
    }
    atoll_block *block = NULL;
    if (atoll_block_new((size_t)size, &block) != ATOLL_OK) {
        return PyErr_NoMemory();
    }
    return wrap_block(type, block);
}

static PyObject *
make_copy(PyTypeObject *type, PyObject *source)
{
    Py_buffer view;
    if (PyObject_GetBuffer(source, &view, PyBUF_FULL_RO) < 0) {
        return NULL;
    }
    PyObject *self = make_of_size(type, view.len);
    if (self == NULL) {
        PyBuffer_Release(&view);
        return NULL;
    }
    uint8_t *data = ((BufferObject *)self)->block->data;
    int result = 0;
    if (!PyBuffer_IsContiguous(&view, 'C')) {
        result = PyBuffer_ToContiguous(data, &view, view.len, 'C');
    }
    else if (view.len < COPY_FREELY) {
        memcpy(data, view.buf, (size_t)view.len);
    }
    else {
        /* The export keeps the source where it is. */
        Py_BEGIN_ALLOW_THREADS
        memcpy(data, view.buf, (size_t)view.len);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&view);
    if (result < 0) {
        Py_CLEAR(self);
    }
    return self;
}

/* As bytes() does it: what has an index is a size, unless it says no. */
static PyObject *
Buffer_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *source;
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0) {
        PyErr_SetString(PyExc_TypeError,
                        "SharedBuffer() takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O:SharedBuffer", &source)) {
        return NULL;
    }
    if (PyIndex_Check(source)) {
        /* Clipped, so that a size beyond all bounds is out of memory. */
        Py_ssize_t size = PyNumber_AsSsize_t(source, NULL);
        if (size != -1 || !PyErr_Occurred()) {
            return make_of_size(type, size);
        }
        if (!PyErr_ExceptionMatches(PyExc_TypeError)
            || !PyObject_CheckBuffer(source)) {
            return NULL;
        }
        PyErr_Clear();
    }
    if (!PyObject_CheckBuffer(source)) {
        PyErr_Format(PyExc_TypeError,
                     "SharedBuffer() takes a size or a bytes-like object, "
                     "not %.200s",
                     Py_TYPE(source)->tp_name);
        return NULL;
    }
    return make_copy(type, source);
}

/* The type refers to the module, whose caches may refer to where we are. */
static int
Buffer_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    return 0;
}

static void
Buffer_dealloc(PyObject *op)
{
    BufferObject *self = (BufferObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    if (self->block != NULL) {
        atoll_block_release(self->block);
    }
    type->tp_free(op);
    Py_DECREF(type);
}

/* --- using ----------------------------------------------------------------- */

/* Borrowed.  NULL with ValueError: released. */
static atoll_block *
get_block(PyObject *op)
{
    atoll_block *block = ((BufferObject *)op)->block;
    if (block == NULL) {
        PyErr_SetString(PyExc_ValueError,
                        "operation forbidden on released SharedBuffer");
    }
    return block;
}

static int
Buffer_getbuffer(PyObject *op, Py_buffer *view, int flags)
{
    atoll_block *block = get_block(op);
    if (block == NULL) {
        view->obj = NULL;
        return -1;
    }
    if (PyBuffer_FillInfo(view, op, block->data, (Py_ssize_t)block->size, 0,
                          flags)
        < 0) {
        return -1;
    }
    ((BufferObject *)op)->exports++;
    return 0;
}

static void
Buffer_releasebuffer(PyObject *op, Py_buffer *Py_UNUSED(view))
{
    ((BufferObject *)op)->exports--;
}

static Py_ssize_t
Buffer_length(PyObject *op)
{
    atoll_block *block = get_block(op);
    return block == NULL ? -1 : (Py_ssize_t)block->size;
}

static PyObject *
Buffer_nbytes(PyObject *op, void *Py_UNUSED(closure))
{
    atoll_block *block = get_block(op);
    return block == NULL ? NULL : PyLong_FromSize_t(block->size);
}

static PyObject *
Buffer_release(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    BufferObject *self = (BufferObject *)op;
    if (self->exports > 0) {
        PyErr_Format(PyExc_BufferError, "SharedBuffer has %zd exported %s",
                     self->exports, self->exports == 1 ? "buffer" : "buffers");
        return NULL;
    }
    if (self->block != NULL) {
        atoll_block_release(self->block);
        self->block = NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
Buffer_enter(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return get_block(op) == NULL ? NULL : Py_NewRef(op);
}

static PyObject *
Buffer_exit(PyObject *op, PyObject *const *Py_UNUSED(args),
            Py_ssize_t Py_UNUSED(nargs))
{
    return Buffer_release(op, NULL);
}

static PyObject *
Buffer_reduce(PyObject *Py_UNUSED(op), PyObject *Py_UNUSED(ignored))
{
    PyErr_SetString(
        PyExc_TypeError,
        "cannot pickle 'SharedBuffer' object: it is memory of this process; "
        "send it to an interpreter as it is, in a call or through a queue, "
        "or pickle bytes(buffer)");
    return NULL;
}

static PyObject *
Buffer_repr(PyObject *op)
{
    BufferObject *self = (BufferObject *)op;
    if (self->block == NULL) {
        return PyUnicode_FromFormat("<released atoll.SharedBuffer, id %llu>",
                                    (unsigned long long)self->id);
    }
    return PyUnicode_FromFormat("<atoll.SharedBuffer of %zu bytes, id %llu>",
                                self->block->size,
                                (unsigned long long)self->id);
}

static PyObject *
Buffer_richcompare(PyObject *op, PyObject *other, int how)
{
    if ((how != Py_EQ && how != Py_NE) || !Py_IS_TYPE(other, Py_TYPE(op))) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    bool equal = ((BufferObject *)op)->id == ((BufferObject *)other)->id;
    return PyBool_FromLong(equal == (how == Py_EQ));
}

static Py_hash_t
Buffer_hash(PyObject *op)
{
    return (Py_hash_t)(((BufferObject *)op)->id & PY_SSIZE_T_MAX);
}

/* --- crossing -------------------------------------------------------------- */

static int
pack_buffer(ext_state *Py_UNUSED(st), PyObject *op, void **out_ptr)
{
    atoll_block *block = get_block(op);
    if (block == NULL) {
        return -1;
    }
    atoll_block_acquire(block);
    *out_ptr = block;
    return 0;
}

static PyObject *
unpack_buffer(ext_state *st, void *ptr)
{
    atoll_block *block = ptr;
    atoll_block_acquire(block);
    return wrap_block(get_part(st)->type, block);
}

static const ext_crossing buffer_crossing = {
    .ops = &atoll_block_ops,
    .pack = pack_buffer,
    .unpack = unpack_buffer,
};

/* --- the type -------------------------------------------------------------- */

PyDoc_STRVAR(
    buffer_doc,
    "SharedBuffer(size_or_data, /)\n"
    "--\n"
    "\n"
    "Memory that belongs to the process: the same bytes in all interpreters.\n"
    "\n"
    "size_or_data: how many bytes, all zero at first; or an object with a\n"
    "buffer (bytes, an array), whose bytes are copied.\n\n"
    "The memory is writable and aligned to 64 bytes; memoryview(buffer) and\n"
    "everything else that takes a buffer works on it.  Sent to an interpreter "
    "it\n"
    "is not copied, whatever its size, and it lives until the last "
    "SharedBuffer\n"
    "or view over it is gone, in whichever interpreter that is.  Reads and "
    "writes\n"
    "are not synchronised: see atoll.sync.\n"
    "\n"
    "Two of them are equal if they are the same memory.  Raises ValueError "
    "for a\n"
    "negative size, MemoryError for more than there is, TypeError for what "
    "is\n"
    "neither a size nor bytes-like.");

static PyMethodDef buffer_methods[] = {
    {"release", Buffer_release, METH_NOARGS,
     PyDoc_STR("release($self, /)\n--\n\n"
               "Let go of the memory here; other references keep it.\n\n"
               "Raises BufferError while a memoryview or another buffer of "
               "this object is in use.")},
    {"__enter__", Buffer_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))Buffer_exit, METH_FASTCALL,
     NULL},
    {"__reduce__", Buffer_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef buffer_getset[] = {
    {"nbytes", Buffer_nbytes, NULL, PyDoc_STR("The size in bytes."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef buffer_members[] = {
    {"__weaklistoffset__", Py_T_PYSSIZET, offsetof(BufferObject, weakrefs),
     Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot buffer_slots[] = {
    {Py_tp_doc, (void *)buffer_doc},
    {Py_tp_new, Buffer_new},
    {Py_tp_dealloc, Buffer_dealloc},
    {Py_tp_traverse, Buffer_traverse},
    {Py_tp_repr, Buffer_repr},
    {Py_tp_hash, Buffer_hash},
    {Py_tp_richcompare, Buffer_richcompare},
    {Py_tp_methods, buffer_methods},
    {Py_tp_getset, buffer_getset},
    {Py_tp_members, buffer_members},
    {Py_sq_length, Buffer_length},
    {Py_bf_getbuffer, Buffer_getbuffer},
    {Py_bf_releasebuffer, Buffer_releasebuffer},
    {0, NULL},
};

static PyType_Spec buffer_spec = {
    .name = "atoll.SharedBuffer",
    .basicsize = sizeof(BufferObject),
    .flags
    = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = buffer_slots,
};

/* --- the part -------------------------------------------------------------- */

static PyObject *
core_blocks_alive(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromUnsignedLongLong(atoll_block_live());
}

static PyMethodDef functions[] = {
    {"_blocks_alive", core_blocks_alive, METH_NOARGS,
     PyDoc_STR("How many blocks of shared memory the process has, for "
               "tests.")},
    {NULL, NULL, 0, NULL},
};

static int
buffer_exec(PyObject *module, ext_state *st)
{
    buffer_part *part = PyMem_Calloc(1, sizeof(*part));
    if (part == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    st->parts[EXT_PART_BUFFER] = part;
    part->type
        = (PyTypeObject *)PyType_FromModuleAndSpec(module, &buffer_spec, NULL);
    if (part->type == NULL || PyModule_AddType(module, part->type) < 0
        || ext_transfer_register(st, part->type, &buffer_crossing) < 0
        || ext_view_exec(module, st, &part->view_type) < 0) {
        return -1;
    }
    return PyModule_AddFunctions(module, functions);
}

static int
buffer_traverse(ext_state *st, visitproc visit, void *arg)
{
    buffer_part *part = get_part(st);
    if (part != NULL) {
        Py_VISIT(part->type);
        Py_VISIT(part->view_type);
    }
    return 0;
}

static void
buffer_clear(ext_state *st)
{
    buffer_part *part = get_part(st);
    if (part != NULL) {
        ext_transfer_unregister(st, &buffer_crossing);
        ext_view_clear(st);
        Py_CLEAR(part->type);
        Py_CLEAR(part->view_type);
    }
}

static void
buffer_free(ext_state *st)
{
    PyMem_Free(get_part(st));
    st->parts[EXT_PART_BUFFER] = NULL;
}

const ext_part ext_buffer_part = {
    .id = EXT_PART_BUFFER,
    .exec = buffer_exec,
    .traverse = buffer_traverse,
    .clear = buffer_clear,
    .free = buffer_free,
};
