/* Memoryviews cross as views of the same memory.
 *
 * What travels is a lent_view: where the memory is and how it is laid out,
 * and what keeps it there (its source):
 * - a block, if it is memory of a SharedBuffer: nobody's interpreter matters;
 * - else a lease: a memoryview of the owner's own over its exporter, dropped
 *   when the last lent_view is.  A lease holds its owner's interpreter, whose
 *   end is put off meanwhile.
 * A view of a view that came from elsewhere is a new lent_view with the same
 * source, never a chain.  Here, a lent_view is exported by an object of the
 * type View, over which memoryview() makes the memoryview that users see.
 *
 * A lent_view may end on any thread, attached to nothing, under a lock of the
 * core's.  Its lease's memoryview can be dropped only while attached to the
 * owner: that is a chore of the owner's.  The order at the end of a lease is
 * what keeps this safe: first the chore is posted (the hold still stands, so
 * the owner is there), then the hold is given back; an owner that was waiting
 * for that does its chores before it ends.
 *
 * An owner whose interpreter was ended over our heads (by the standard
 * module, or exit) is GONE while leases live: CPython leaves objects alone
 * that are still referred to, so the memory stays readable; the lease's
 * memoryview is never dropped then.
 *
 * A view that comes home must not hold its own interpreter (it would never
 * end): it refers to the lease's memoryview as any object does.
 *
 * Locks: none; see registry.h for chores and holds.
 */
#include "buffer.h"

#include "chores.h"
#include "errors.h"
#include "transfer.h"

#include <string.h>

/* The owner's memoryview, as long as others see its memory. */
typedef struct lease {
    atoll_chore chore; /* first: the chore is the lease */
    atoll_refcount count;
    atoll_interp *owner;  /* owns a reference and a hold */
    PyObject *memoryview; /* owned; touched only attached to the owner */
} lease;

typedef struct lent_view {
    atoll_refcount count;
    const atoll_ref_ops *source_ops; /* the block's, the lease's, or NULL */
    void *source;                    /* owns a reference */
    bool whole;                      /* just as the lease's memoryview is */
    bool readonly;
    int ndim;
    void *buf;
    Py_ssize_t len;
    Py_ssize_t itemsize;
    char *format;
    Py_ssize_t *shape; /* NULL without dimensions, the next two as well */
    Py_ssize_t *strides;
    Py_ssize_t *suboffsets; /* NULL: it has none */
    Py_ssize_t tail[];      /* what those point to */
} lent_view;

typedef struct ViewObject {
    PyObject_HEAD
    lent_view *view; /* owns a reference */
    PyObject *home;  /* the lease's memoryview, where it is of this very
                      * interpreter; else NULL */
} ViewObject;

/* --- leases ---------------------------------------------------------------- */

/* Attached: to the owner, or (not attached) the owner is gone. */
static void
end_lease(atoll_chore *chore, bool attached)
{
    lease *self = (lease *)chore;
    if (attached) {
        Py_DECREF(self->memoryview);
    }
    atoll_free(self);
}

static void
acquire_lease(void *ptr)
{
    atoll_ref_acquire(&((lease *)ptr)->count);
}

static void
release_lease(void *ptr)
{
    lease *self = ptr;
    if (!atoll_ref_release(&self->count)) {
        return;
    }
    atoll_interp *owner = self->owner;
    if (!ext_chores_post(owner, &self->chore)) {
        end_lease(&self->chore, false);
    }
    atoll_interp_unhold(owner);
    atoll_interp_release(owner);
}

static const atoll_ref_ops lease_ops = {
    .name = "lease",
    .acquire = acquire_lease,
    .release = release_lease,
};

/* Owns: a reference of its own to memoryview.  NULL with an exception. */
static lease *
make_lease(ext_state *st, PyObject *memoryview)
{
    lease *self = atoll_malloc(sizeof(*self));
    if (self == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    if (atoll_interp_hold(st->self) != ATOLL_OK) {
        atoll_free(self);
        ext_error_format(st, EXT_ERR_INTERPRETER,
                         "interpreter %lld is being closed and cannot lend "
                         "its memory any more",
                         (long long)st->self->id);
        return NULL;
    }
    atoll_interp_acquire(st->self);
    self->owner = st->self;
    self->chore.next = NULL;
    self->chore.run = end_lease;
    atoll_ref_init(&self->count);
    self->memoryview = Py_NewRef(memoryview);
    return self;
}

/* --- lent views ------------------------------------------------------------ */

static void
acquire_view(void *ptr)
{
    atoll_ref_acquire(&((lent_view *)ptr)->count);
}

static void
release_view(void *ptr)
{
    lent_view *view = ptr;
    if (!atoll_ref_release(&view->count)) {
        return;
    }
    if (view->source_ops != NULL) {
        view->source_ops->release(view->source);
    }
    atoll_free(view);
}

static const atoll_ref_ops view_ops = {
    .name = "memoryview",
    .acquire = acquire_view,
    .release = release_view,
};

/* `from`, or none, into the next ndim places of *tail. */
static Py_ssize_t *
copy_sizes(Py_ssize_t **tail, const Py_ssize_t *from, int ndim)
{
    if (from == NULL || ndim == 0) {
        return NULL;
    }
    Py_ssize_t *to = *tail;
    memcpy(to, from, (size_t)ndim * sizeof(*to));
    *tail += ndim;
    return to;
}

/* A view laid out as raw says, without a source.  NULL with MemoryError. */
static lent_view *
make_view(const Py_buffer *raw)
{
    const char *format = raw->format != NULL ? raw->format : "B";
    size_t letters = strlen(format) + 1;
    size_t sizes = 3 * (size_t)raw->ndim * sizeof(Py_ssize_t);
    lent_view *view = atoll_calloc(1, sizeof(*view) + sizes + letters);
    if (view == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    atoll_ref_init(&view->count);
    view->readonly = raw->readonly != 0;
    view->ndim = raw->ndim;
    view->buf = raw->buf;
    view->len = raw->len;
    view->itemsize = raw->itemsize;
    Py_ssize_t *tail = view->tail;
    view->shape = copy_sizes(&tail, raw->shape, raw->ndim);
    view->strides = copy_sizes(&tail, raw->strides, raw->ndim);
    view->suboffsets = copy_sizes(&tail, raw->suboffsets, raw->ndim);
    view->format = (char *)tail;
    memcpy(view->format, format, letters);
    return view;
}

static void
set_source(lent_view *view, const atoll_ref_ops *ops, void *source)
{
    ops->acquire(source);
    view->source_ops = ops;
    view->source = source;
}

/* Is the memoryview that raw is of just what came, no part of it? */
static bool
is_unchanged(const lent_view *view, const Py_buffer *raw)
{
    size_t sizes = (size_t)raw->ndim * sizeof(Py_ssize_t);
    return view->buf == raw->buf && view->len == raw->len
           && view->itemsize == raw->itemsize && view->ndim == raw->ndim
           && view->readonly == (raw->readonly != 0)
           && strcmp(view->format, raw->format) == 0
           && (sizes == 0
               || (memcmp(view->shape, raw->shape, sizes) == 0
                   && memcmp(view->strides, raw->strides, sizes) == 0));
}

/* The view that memoryview shows if that came from elsewhere and knows what
 * keeps its memory; borrowed, else NULL. */
static lent_view *
view_below(ext_state *st, PyObject *memoryview)
{
    PyObject *base = PyMemoryView_GET_BASE(memoryview);
    if (base == NULL || !Py_IS_TYPE(base, ext_view_type(st))) {
        return NULL;
    }
    lent_view *view = ((ViewObject *)base)->view;
    return view->source_ops != NULL ? view : NULL;
}

/* What keeps view's memory, `memoryview` being over it; below: what
 * view_below says.  Fails: -1 with an exception. */
static int
find_source(ext_state *st, lent_view *view, PyObject *memoryview,
            const lent_view *below)
{
    if (below != NULL) {
        set_source(view, below->source_ops, below->source);
        return 0;
    }
    PyObject *base = PyMemoryView_GET_BASE(memoryview);
    atoll_block *block = base == NULL ? NULL : ext_buffer_block(st, base);
    if (block != NULL) {
        set_source(view, &atoll_block_ops, block);
        return 0;
    }
    lease *made = make_lease(st, memoryview);
    if (made == NULL) {
        return -1;
    }
    view->source_ops = &lease_ops;
    view->source = made;
    view->whole = true;
    return 0;
}

/* The lease gets a memoryview of its own, so that the sender may release the
 * one that it sent. */
static int
pack_view(ext_state *st, PyObject *obj, void **out_ptr)
{
    PyObject *own = PyMemoryView_FromObject(obj); /* ValueError: released */
    if (own == NULL) {
        return -1;
    }
    const Py_buffer *raw = PyMemoryView_GET_BUFFER(own);
    lent_view *below = view_below(st, own);
    lent_view *view = NULL;
    if (below != NULL && is_unchanged(below, raw)) {
        acquire_view(below);
        view = below;
    }
    else {
        view = make_view(raw);
        if (view != NULL && find_source(st, view, own, below) < 0) {
            release_view(view);
            view = NULL;
        }
    }
    Py_DECREF(own);
    *out_ptr = view;
    return view == NULL ? -1 : 0;
}

/* --- the type View --------------------------------------------------------- */

/* The layout that the caller did not ask for is left out, and what needs it
 * is refused, as for a memoryview. */
static int
restrict_to(Py_buffer *out, int flags)
{
    const char *reason = NULL;
    if ((flags & PyBUF_WRITABLE) && out->readonly) {
        reason = "the memory is read-only";
    }
    else if ((flags & PyBUF_C_CONTIGUOUS) == PyBUF_C_CONTIGUOUS
             && !PyBuffer_IsContiguous(out, 'C')) {
        reason = "the memory is not C-contiguous";
    }
    else if ((flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS
             && !PyBuffer_IsContiguous(out, 'F')) {
        reason = "the memory is not Fortran contiguous";
    }
    else if ((flags & PyBUF_ANY_CONTIGUOUS) == PyBUF_ANY_CONTIGUOUS
             && !PyBuffer_IsContiguous(out, 'A')) {
        reason = "the memory is not contiguous";
    }
    else if ((flags & PyBUF_INDIRECT) != PyBUF_INDIRECT
             && out->suboffsets != NULL) {
        reason = "the memory has suboffsets";
    }
    else if ((flags & PyBUF_STRIDES) != PyBUF_STRIDES
             && !PyBuffer_IsContiguous(out, 'C')) {
        reason = "the memory is not C-contiguous";
    }
    else if ((flags & PyBUF_ND) != PyBUF_ND && (flags & PyBUF_FORMAT)) {
        reason = "a format without a shape";
    }
    if (reason != NULL) {
        PyErr_Format(PyExc_BufferError, "view of another interpreter: %s",
                     reason);
        return -1;
    }
    if ((flags & PyBUF_STRIDES) != PyBUF_STRIDES) {
        out->strides = NULL;
    }
    if ((flags & PyBUF_ND) != PyBUF_ND) {
        out->ndim = 1;
        out->shape = NULL;
    }
    if (!(flags & PyBUF_FORMAT)) {
        out->format = NULL;
    }
    return 0;
}

static int
View_getbuffer(PyObject *op, Py_buffer *out, int flags)
{
    lent_view *view = ((ViewObject *)op)->view;
    *out = (Py_buffer){
        .buf = view->buf,
        .len = view->len,
        .itemsize = view->itemsize,
        .readonly = view->readonly,
        .ndim = view->ndim,
        .format = view->format,
        .shape = view->shape,
        .strides = view->strides,
        .suboffsets = view->suboffsets,
    };
    if (restrict_to(out, flags) < 0) {
        return -1;
    }
    out->obj = Py_NewRef(op);
    return 0;
}

/* There is no clear: `home` keeps the memory that our buffers show.  A cycle
 * is broken at its other objects. */
static int
View_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(((ViewObject *)op)->home);
    return 0;
}

static void
View_dealloc(PyObject *op)
{
    ViewObject *self = (ViewObject *)op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    if (self->view != NULL) {
        release_view(self->view);
    }
    Py_XDECREF(self->home);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyObject *
View_repr(PyObject *op)
{
    ViewObject *self = (ViewObject *)op;
    if (self->view->source_ops == &lease_ops) {
        return PyUnicode_FromFormat(
            "<atoll view of %zd bytes of interpreter %lld>", self->view->len,
            (long long)((lease *)self->view->source)->owner->id);
    }
    return PyUnicode_FromFormat("<atoll view of %zd bytes>", self->view->len);
}

static PyType_Slot view_slots[] = {
    {Py_tp_doc, PyDoc_STR("What a memoryview that came from another "
                          "interpreter has as its obj.")},
    {Py_tp_dealloc, View_dealloc},
    {Py_tp_traverse, View_traverse},
    {Py_tp_repr, View_repr},
    {Py_bf_getbuffer, View_getbuffer},
    {0, NULL},
};

static PyType_Spec view_spec = {
    .name = "atoll._core.View",
    .basicsize = sizeof(ViewObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = view_slots,
};

/* --- arriving -------------------------------------------------------------- */

/* A copy that has no source: its memory is kept by an object of here. */
static lent_view *
copy_for_home(const lent_view *view)
{
    Py_buffer raw = {
        .buf = view->buf,
        .len = view->len,
        .itemsize = view->itemsize,
        .readonly = view->readonly,
        .ndim = view->ndim,
        .format = view->format,
        .shape = view->shape,
        .strides = view->strides,
        .suboffsets = view->suboffsets,
    };
    return make_view(&raw);
}

static PyObject *
unpack_view(ext_state *st, void *ptr)
{
    lent_view *view = ptr;
    PyObject *home = NULL;
    if (view->source_ops == &lease_ops
        && ((lease *)view->source)->owner == st->self) {
        home = ((lease *)view->source)->memoryview;
        if (view->whole) {
            return PyMemoryView_FromObject(home);
        }
    }
    PyTypeObject *type = ext_view_type(st);
    ViewObject *exporter = (ViewObject *)type->tp_alloc(type, 0);
    if (exporter == NULL) {
        return NULL;
    }
    if (home != NULL) {
        exporter->view = copy_for_home(view);
        exporter->home = Py_NewRef(home);
    }
    else {
        acquire_view(view);
        exporter->view = view;
    }
    PyObject *result = exporter->view == NULL
                           ? NULL
                           : PyMemoryView_FromObject((PyObject *)exporter);
    Py_DECREF(exporter);
    return result;
}

static const ext_crossing view_crossing = {
    .ops = &view_ops,
    .pack = pack_view,
    .unpack = unpack_view,
};

int
ext_view_exec(PyObject *module, ext_state *st, PyTypeObject **out_type)
{
    *out_type
        = (PyTypeObject *)PyType_FromModuleAndSpec(module, &view_spec, NULL);
    if (*out_type == NULL) {
        return -1;
    }
    return ext_transfer_register(st, &PyMemoryView_Type, &view_crossing);
}

void
ext_view_clear(ext_state *st)
{
    ext_transfer_unregister(st, &view_crossing);
}
