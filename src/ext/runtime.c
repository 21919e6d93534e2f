/* The one touch of CPython's private memory.
 *
 * Fork with another interpreter alive kills the child on 3.12 to 3.15
 * (gh-139759), and leaving the process with one that cannot be ended aborts
 * on 3.12 and 3.13: in both cases CPython walks its list of interpreters and
 * ends each.  There is no API to take one off that list.
 *
 * The list's head lies in the exported _PyRuntime, right before the pointer to
 * the main interpreter (for its source see compat.h).  It is found by
 * value: the one adjacent pair {PyInterpreterState_Head(),
 * PyInterpreterState_Main()}, looked for when the two differ, within the
 * symbol's size as the dynamic linker knows it.  No hit or several: nothing is
 * touched, and fork and exit behave as CPython alone would.
 *
 * The lock of that list and of all lists of thread states lies right before the
 * head (checked by what it looks like): it is taken to list the threads of an
 * interpreter, see ext_compat_lock_head.
 *
 * The main interpreter is always the list's last entry (it is the first made,
 * and new ones go to the front), so writing the head is enough.  This can go
 * when gh-139759 is fixed in the oldest supported version.
 */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* dladdr1 */
#endif
#include "runtime.h"

#include "../core/base.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#if defined(__linux__)
#include <elf.h>
#include <link.h>
#endif

static size_t
runtime_size(void)
{
#if defined(__linux__) && defined(__GLIBC__)
    Dl_info info;
    const ElfW(Sym) *symbol = NULL;
    if (dladdr1(_PyRuntime, &info, (void **)&symbol, RTLD_DL_SYMENT) != 0
        && symbol != NULL && info.dli_saddr == (void *)_PyRuntime) {
        return symbol->st_size;
    }
#endif
    return 0;
}

static PyInterpreterState **
find_head(void)
{
    PyInterpreterState *head = PyInterpreterState_Head();
    PyInterpreterState *main = PyInterpreterState_Main();
    PyInterpreterState **found = NULL;
    size_t size = runtime_size() / sizeof(void *);
    PyInterpreterState **words = (PyInterpreterState **)(void *)_PyRuntime;
    for (size_t i = 0; i + 1 < size; i++) {
        if (words[i] == head && words[i + 1] == main) {
            if (found != NULL) {
                return NULL;
            }
            found = &words[i];
        }
    }
    return found;
}

bool
ext_runtime_forget_others(bool *out_needed)
{
    *out_needed = PyInterpreterState_Head() != PyInterpreterState_Main();
    if (!*out_needed || _PyRuntime == NULL) {
        return false;
    }
    PyInterpreterState **head = find_head();
    if (head == NULL) {
        return false;
    }
    *head = PyInterpreterState_Main();
    return PyInterpreterState_Head() == PyInterpreterState_Main();
}

bool
ext_runtime_works(void)
{
    if (_PyRuntime == NULL || runtime_size() == 0) {
        return false;
    }
    return PyInterpreterState_Head() == PyInterpreterState_Main()
           || find_head() != NULL;
}

/* Where the list's head lies, once it was found. */
static _Atomic(PyInterpreterState **) known_head;

/* Fails: false: there is nothing to lock, or it is not to be found. */
static bool
lock_threads(PyMutex **out_lock)
{
    PyInterpreterState **head = atomic_load(&known_head);
    if (head == NULL && _PyRuntime != NULL
        && PyInterpreterState_Head() != PyInterpreterState_Main()) {
        head = find_head();
        atomic_store(&known_head, head);
    }
    *out_lock = head == NULL ? NULL : (PyMutex *)(void *)(head - 1);
    return head != NULL && ext_compat_lock_head(*out_lock);
}

static bool
add_thread(ext_runtime_threads *all, PyThreadState *tstate,
           PyObject *(*get)(PyThreadState *tstate))
{
    if (all->count == all->cap) {
        size_t cap = all->cap * 2 + 16;
        ext_runtime_thread *grown
            = atoll_realloc(all->list, cap * sizeof(*grown));
        if (grown == NULL) {
            return false;
        }
        all->list = grown;
        all->cap = cap;
    }
    all->list[all->count++] = (ext_runtime_thread){
        .tstate = tstate,
        .ident = tstate->thread_id,
        .native_id = tstate->native_thread_id,
        .value = get(tstate),
    };
    return true;
}

int
ext_runtime_list_threads(ext_runtime_threads *all,
                         PyObject *(*get)(PyThreadState *tstate))
{
    PyMutex *lock;
    bool fits = true;
    *all = (ext_runtime_threads){NULL, 0, 0};
    bool locked = lock_threads(&lock);
    PyThreadState *tstate
        = PyInterpreterState_ThreadHead(PyInterpreterState_Get());
    for (; fits && tstate != NULL; tstate = PyThreadState_Next(tstate)) {
        fits = add_thread(all, tstate, get);
    }
    if (locked) {
        ext_compat_unlock_head(lock);
    }
    if (!fits) {
        ext_runtime_drop_threads(all);
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

void
ext_runtime_drop_threads(ext_runtime_threads *all)
{
    for (size_t i = 0; i < all->count; i++) {
        Py_XDECREF(all->list[i].value);
    }
    atoll_free(all->list);
    *all = (ext_runtime_threads){NULL, 0, 0};
}
