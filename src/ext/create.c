/* Creating interpreters, finding and listing them.
 *
 * Made through the standard module's own creation function where there is one
 * (3.13+), so that both modules can use and end every interpreter; by
 * Py_NewInterpreterFromConfig on 3.12.
 *
 * Locks: create_lock, alone, around a creation on 3.12; makers.lock, alone.
 */
#include "create.h"

#include "errors.h"
#include "exit.h"
#include "lifecycle.h"
#include "setup.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

/* 3.12 is said to be unsafe when two threads create at once. */
static pthread_mutex_t create_lock = PTHREAD_MUTEX_INITIALIZER;

#if EXT_COMPAT_CREATE_BY_STDLIB

/* Fails: NULL with an exception. */
static PyInterpreterState *
create_raw(PyObject *config, PyThreadState **out_initial)
{
    *out_initial = NULL;
    PyObject *create = ext_state_python("_interpreters", "create");
    if (create == NULL) {
        return NULL;
    }
    PyObject *id = PyObject_CallOneArg(create, config);
    Py_DECREF(create);
    if (id == NULL) {
        return NULL;
    }
    int64_t number = PyLong_AsLongLong(id);
    Py_DECREF(id);
    if (number == -1 && PyErr_Occurred()) {
        return NULL;
    }
    return ext_compat_lookup(number);
}

#else

static int
read_flag(PyObject *config, const char *name, int *out)
{
    PyObject *value = PyObject_GetAttrString(config, name);
    if (value == NULL) {
        return -1;
    }
    *out = PyObject_IsTrue(value);
    Py_DECREF(value);
    return *out < 0 ? -1 : 0;
}

static int
read_config(PyObject *config, PyInterpreterConfig *out)
{
    PyObject *gil = PyObject_GetAttrString(config, "gil");
    if (gil == NULL) {
        return -1;
    }
    int own = PyUnicode_Check(gil)
              && PyUnicode_CompareWithASCIIString(gil, "own") == 0;
    Py_DECREF(gil);
    out->gil
        = own ? PyInterpreterConfig_OWN_GIL : PyInterpreterConfig_SHARED_GIL;
    return read_flag(config, "use_main_obmalloc", &out->use_main_obmalloc)
                   || read_flag(config, "allow_fork", &out->allow_fork)
                   || read_flag(config, "allow_exec", &out->allow_exec)
                   || read_flag(config, "allow_threads", &out->allow_threads)
                   || read_flag(config, "allow_daemon_threads",
                                &out->allow_daemon_threads)
                   || read_flag(config, "check_multi_interp_extensions",
                                &out->check_multi_interp_extensions)
               ? -1
               : 0;
}

static PyInterpreterState *
create_raw(PyObject *config, PyThreadState **out_initial)
{
    PyInterpreterConfig raw = {0};
    if (read_config(config, &raw) < 0) {
        return NULL;
    }
    PyThreadState *outer = PyThreadState_Get();
    PyThreadState *initial = NULL;
    PyStatus status = Py_NewInterpreterFromConfig(&initial, &raw);
    if (PyStatus_Exception(status)) {
        /* The caller's state is current again or was never left. */
        (void)PyThreadState_Swap(outer);
        PyErr_Format(PyExc_RuntimeError, "%s",
                     status.err_msg ? status.err_msg : "unknown failure");
        return NULL;
    }
    PyInterpreterState *interp = PyThreadState_GetInterpreter(initial);
    (void)PyThreadState_Swap(outer);
    *out_initial = initial;
    return interp;
}

#endif

static void
lock_creation(void)
{
    if (pthread_mutex_trylock(&create_lock) != 0) {
        Py_BEGIN_ALLOW_THREADS(void)
        pthread_mutex_lock(&create_lock);
        Py_END_ALLOW_THREADS
    }
}

/* Main's atexit callback must be there when the process ends.  Attached:
 * anywhere.  Fails: -1 with an exception. */
static int
load_in_main(ext_state *st)
{
    PyInterpreterState *handle = PyInterpreterState_Main();
    int64_t id = PyInterpreterState_GetID(handle);
    atoll_interp *interp = NULL;
    ext_visit visit;
    if (st->self->id == id) {
        return 0;
    }
    if (atoll_registry_adopt(id, handle, &interp) != ATOLL_OK) {
        PyErr_NoMemory();
        return -1;
    }
    int result = 0;
    if (interp->ext == NULL) {
        result = ext_attach_enter(st, interp, 0, &visit);
        if (result == 0) {
            ext_attach_leave(&visit);
        }
    }
    atoll_interp_release(interp);
    return result;
}

static PyInterpreterState *
create_one(PyObject *config, PyThreadState **out_initial)
{
    if (EXT_COMPAT_CREATE_SERIALLY) {
        lock_creation();
    }
    PyInterpreterState *handle = create_raw(config, out_initial);
    if (EXT_COMPAT_CREATE_SERIALLY) {
        (void)pthread_mutex_unlock(&create_lock);
    }
    return handle;
}

/* Owns: takes over `prepared`.  Another thread may have found the interpreter
 * already (list_all) and made a record for it: that one is it, then. */
static atoll_interp *
enter_record(atoll_interp *prepared, PyInterpreterState *handle)
{
    atoll_interp_acquire(prepared);
    atoll_interp *interp = atoll_registry_enter(
        prepared, PyInterpreterState_GetID(handle), handle);
    if (interp != prepared) {
        atoll_mutex_lock(&interp->lock);
        interp->owned = true;
        interp->spare = prepared->spare;
        interp->creator = prepared->creator;
        interp->setup = prepared->setup;
        interp->free_setup = prepared->free_setup;
        prepared->setup = NULL;
        atoll_mutex_unlock(&interp->lock);
    }
    atoll_interp_release(prepared);
    return interp;
}

/* Nothing of atoll's has run in it.  Owns: takes over interp. */
static void
end_unused(atoll_interp *interp, PyThreadState *initial)
{
    PyThreadState *outer = PyThreadState_Swap(initial);
    Py_EndInterpreter(initial);
    (void)PyThreadState_Swap(outer);
    atoll_interp_set_life(interp, ATOLL_LIFE_GONE);
    atoll_interp_release(interp);
}

/* Creations that are under way, and whether there may be more. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t count; /* [lock] */
    int64_t before; /* the last id before the first of them [lock] */
    bool over;      /* the process is ending [lock] */
} makers
    = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* Of all interpreters in CPython's list. */
static int64_t
last_id(void)
{
    PyInterpreterState *head = PyInterpreterState_Head();
    return head == NULL ? 0 : PyInterpreterState_GetID(head);
}

/* Fails: -1 with an exception. */
static int
begin_creation(ext_state *st)
{
    (void)pthread_mutex_lock(&makers.lock);
    bool over = makers.over;
    if (makers.count == 0) {
        makers.before = last_id();
    }
    makers.count += !over;
    (void)pthread_mutex_unlock(&makers.lock);
    if (!over) {
        return 0;
    }
    if (ext_attach_is_main()) {
        ext_error_format(st, EXT_ERR_INTERPRETER,
                         "no interpreter can be made any more: the process "
                         "is ending");
    }
    else {
        PyErr_SetNone(PyExc_SystemExit); /* a daemon thread's end */
    }
    return -1;
}

static void
end_creation(void)
{
    (void)pthread_mutex_lock(&makers.lock);
    makers.count--;
    (void)pthread_cond_broadcast(&makers.changed);
    (void)pthread_mutex_unlock(&makers.lock);
}

bool
ext_create_stop(int64_t grace)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)(grace / 1000000000LL);
    int err = 0;
    (void)pthread_mutex_lock(&makers.lock);
    makers.over = true;
    while (makers.count > 0 && err == 0) {
        err = pthread_cond_timedwait(&makers.changed, &makers.lock, &until);
    }
    bool none = makers.count == 0;
    (void)pthread_mutex_unlock(&makers.lock);
    return none;
}

/* All that may fail for lack of memory comes first: there is no good way back
 * once there is an interpreter. */
static int
create_new(ext_state *st, PyObject *config, PyObject *snapshot, bool spare,
           atoll_interp **out_interp)
{
    atoll_interp *interp = atoll_registry_prepare();
    if (interp == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (snapshot != Py_None && ext_setup_leave(st, interp, snapshot) < 0) {
        atoll_interp_release(interp);
        return -1;
    }
    PyThreadState *initial = NULL;
    PyInterpreterState *handle = create_one(config, &initial);
    if (handle == NULL) {
        atoll_interp_release(interp);
        return -1;
    }
    interp->owned = true;
    interp->spare = spare;
    interp->creator = st->self->id;
    atomic_store(&ext_exit_had_others, true);
    interp = enter_record(interp, handle);
    if (initial != NULL && ext_attach_keep_initial(interp, initial) < 0) {
        end_unused(interp, initial);
        PyErr_NoMemory();
        return -1;
    }
    *out_interp = interp;
    return 0;
}

int
ext_create_new(ext_state *st, PyObject *config, PyObject *snapshot, bool spare,
               atoll_interp **out_interp)
{
    if (load_in_main(st) < 0 || begin_creation(st) < 0) {
        return -1;
    }
    int result = create_new(st, config, snapshot, spare, out_interp);
    end_creation();
    return result;
}

int
ext_create_find(ext_state *st, int64_t id, atoll_interp **out_interp)
{
    atoll_interp *interp = NULL;
    if (atoll_registry_find(id, &interp) == ATOLL_OK) {
        if (ext_attach_is_there(interp)
            && atoll_interp_get_life(interp) == ATOLL_LIFE_OPEN
            && !interp->spare) {
            *out_interp = interp;
            return 0;
        }
        atoll_interp_release(interp);
    }
    else {
        PyInterpreterState *handle = ext_compat_lookup(id);
        if (handle != NULL) {
            if (atoll_registry_adopt(id, handle, out_interp) == ATOLL_OK) {
                return 0;
            }
            PyErr_NoMemory();
            return -1;
        }
        PyErr_Clear();
    }
    ext_error_format(st, EXT_ERR_NOT_FOUND, "unrecognized interpreter ID %lld",
                     (long long)id);
    return -1;
}

/* The last id, up to `last`, that is none of an interpreter which atoll is just
 * making: CPython lists those, and it cannot be seen yet whose they are.
 * `last` was read before: what is made by now has its record. */
static int64_t
last_settled(int64_t last)
{
    (void)pthread_mutex_lock(&makers.lock);
    if (makers.count > 0 && last > makers.before) {
        last = makers.before;
    }
    (void)pthread_mutex_unlock(&makers.lock);
    return last;
}

/* Adopts interpreters made by others since the last time.  Their ids are
 * consecutive, so it is enough to look up each new id once: no walk of a list
 * that other threads change. */
static int
adopt_new(void)
{
    static _Atomic int64_t scanned; /* ids up to it were looked up */
    const int64_t sane = 1000000;
    int64_t last = last_id();
    int64_t first = atomic_load(&scanned);
    if (last - first > sane) {
        last = first; /* the head was just being freed */
    }
    last = last_settled(last); /* the rest is found next time */
    for (int64_t id = first; id <= last; id++) {
        atoll_interp *interp = NULL;
        if (atoll_registry_find(id, &interp) == ATOLL_OK) {
            atoll_interp_release(interp);
            continue;
        }
        PyInterpreterState *handle = ext_compat_lookup(id);
        if (handle == NULL) {
            PyErr_Clear();
            continue;
        }
        if (_PyInterpreterState_IsReady != NULL
            && !_PyInterpreterState_IsReady(handle)) {
            last = id - 1; /* being made: look again next time */
            break;
        }
        if (atoll_registry_adopt(id, handle, &interp) != ATOLL_OK) {
            PyErr_NoMemory();
            return -1;
        }
        atoll_interp_release(interp);
    }
    int64_t seen = first;
    while (last > seen
           && !atomic_compare_exchange_weak(&scanned, &seen, last)) {
    }
    return 0;
}

int
ext_create_list(ext_state *Py_UNUSED(st), atoll_interp ***out_list,
                size_t *out_count)
{
    if (adopt_new() < 0) {
        return -1;
    }
    if (atoll_registry_list(out_list, out_count) != ATOLL_OK) {
        PyErr_NoMemory();
        return -1;
    }
    size_t kept = 0;
    atoll_interp **list = *out_list;
    for (size_t i = 0; i < *out_count; i++) {
        atoll_interp *interp = list[i];
        if (ext_attach_is_there(interp)
            && atoll_interp_get_life(interp) == ATOLL_LIFE_OPEN
            && !interp->spare) {
            list[kept++] = interp;
        }
        else {
            atoll_interp_release(interp);
        }
    }
    *out_count = kept;
    return 0;
}

void
ext_create_after_fork(void)
{
    (void)pthread_mutex_init(&create_lock, NULL);
    (void)pthread_mutex_init(&makers.lock, NULL);
    (void)pthread_cond_init(&makers.changed, NULL);
    makers.count = 0;
    makers.over = false;
}
