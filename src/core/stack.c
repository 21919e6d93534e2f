/* See stack.h. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* pthread_getattr_np */
#endif
#include "stack.h"

#include <pthread.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if defined(__linux__)

uintptr_t
atoll_stack_low(void)
{
    pthread_attr_t attr;
    void *low = NULL;
    size_t size = 0;
    size_t guard = 0;
    if (pthread_getattr_np(pthread_self(), &attr) != 0) {
        return 0;
    }
    if (pthread_attr_getstack(&attr, &low, &size) != 0) {
        low = NULL;
    }
    (void)pthread_attr_getguardsize(&attr, &guard);
    (void)pthread_attr_destroy(&attr);
    return low == NULL ? 0 : (uintptr_t)low + guard;
}

bool
atoll_thread_is_main(void)
{
    return syscall(SYS_gettid) == getpid();
}

#elif defined(__APPLE__)

bool
atoll_thread_is_main(void)
{
    return pthread_main_np() != 0;
}

uintptr_t
atoll_stack_low(void)
{
    pthread_t self = pthread_self();
    return (uintptr_t)pthread_get_stackaddr_np(self)
           - pthread_get_stacksize_np(self);
}

#else

bool
atoll_thread_is_main(void)
{
    return false;
}

uintptr_t
atoll_stack_low(void)
{
    return 0;
}

#endif
