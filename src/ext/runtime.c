/* The one touch of CPython's private memory.
 *
 * Fork with another interpreter alive kills the child on 3.12 to 3.15
 * (gh-139759), and leaving the process with one that cannot be ended aborts
 * on 3.12 and 3.13: in both cases CPython walks its list of interpreters and
 * ends each.  There is no API to take one off that list.
 *
 * The list's head lies in the exported _PyRuntime, right before the pointer to
 * the main interpreter (struct pyinterpreters in pycore_runtime.h).  It is
 * found by value: the one adjacent pair {PyInterpreterState_Head(),
 * PyInterpreterState_Main()}, looked for when the two differ, within the
 * symbol's size as the dynamic linker knows it.  No hit or several: nothing is
 * touched, and fork and exit behave as CPython alone would.
 *
 * The main interpreter is always the list's last entry (it is the first made,
 * and new ones go to the front), so writing the head is enough.  This can go
 * when gh-139759 is fixed in the oldest supported version.
 */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* dladdr1 */
#endif
#include "runtime.h"

#include <dlfcn.h>
#include <stdint.h>
#include <string.h>
#if defined(__linux__)
#include <elf.h>
#include <link.h>
#endif

/* Source: Include/internal/pycore_runtime.h, PyAPI_DATA.  Weak: its absence
 * switches this file off. */
EXT_WEAK extern char _PyRuntime[];

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
