/* A harness as small as it can be: one function per test, one line of output
 * each, exit status 1 if any failed.
 *
 *     static void test_x(void) { CHECK(1 + 1 == 2); }
 *     int main(int argc, char **argv) {
 *         RUN(test_x);
 *         return test_end();
 *     }
 *
 * `program WORD` runs only tests whose names contain WORD.  A test that hangs
 * is ended by the runner's time limit; no test sleeps to let something happen.
 */
#ifndef ATOLL_TESTS_CORE_TEST_H
#define ATOLL_TESTS_CORE_TEST_H

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/core/frame.h"
#include "../../src/core/platform.h"
#include "../../src/core/waiting.h"

#define SECOND 1000000000LL

/* What it runs under. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TEST_TSAN 1
#endif
#if __has_feature(address_sanitizer)
#define TEST_SLOW 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define TEST_TSAN 1
#endif
#if defined(__SANITIZE_ADDRESS__)
#define TEST_SLOW 1
#endif
#if !defined(TEST_TSAN)
#define TEST_TSAN 0
#endif
#if !defined(TEST_SLOW)
#define TEST_SLOW TEST_TSAN
#endif

static _Atomic int test_failures; /* checks, of the running test */
static int test_failed;
static int test_count;
static const char *test_only;

#define CHECK(condition)                                                    \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            test_failures++;                                                \
        }                                                                   \
    } while (0)

/* For what later checks rest on. */
#define NEED(condition)                                                     \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                        \
        }                                                                   \
    } while (0)

#define RUN(function) test_run(#function, function, argc, argv)

static inline void
test_run(const char *name, void (*function)(void), int argc, char **argv)
{
    test_only = argc > 1 ? argv[1] : NULL;
    if (test_only != NULL && strstr(name, test_only) == NULL) {
        return;
    }
    test_failures = 0;
    test_count++;
    function();
    printf("%s %s\n", test_failures ? "FAILED" : "ok    ", name);
    fflush(stdout);
    test_failed += test_failures != 0;
}

static inline int
test_end(void)
{
    if (test_count == 0) {
        fprintf(stderr, "no such test\n");
        return 2;
    }
    printf("%d tests, %d failed\n", test_count, test_failed);
    return test_failed != 0;
}

/* The seed of a random test: ATOLL_SEED, or the clock; printed. */
static inline uint64_t
test_seed(const char *what)
{
    const char *given = getenv("ATOLL_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)atoll_now();
    printf("%s: ATOLL_SEED=%llu\n", what, (unsigned long long)seed);
    fflush(stdout);
    return seed;
}

static inline uint64_t
test_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* --- Threads --- */

/* A thread with a parker; `body` gets the actor. */
typedef struct actor {
    pthread_t thread;
    atoll_parker parker;
    void (*body)(struct actor *self);
    void *arg;
    int index;
    atoll_status status; /* for the body's result */
    _Atomic int step;    /* for the body to tell how far it is */
} actor;

static inline void *
actor_main(void *arg)
{
    actor *self = arg;
    self->body(self);
    return NULL;
}

static inline void
actor_start(actor *self, void (*body)(actor *), void *arg)
{
    self->body = body;
    self->arg = arg;
    self->status = ATOLL_OK;
    atomic_store(&self->step, 0);
    NEED(atoll_parker_init(&self->parker) == ATOLL_OK);
    NEED(pthread_create(&self->thread, NULL, actor_main, self) == 0);
}

static inline void
actor_join(actor *self)
{
    NEED(pthread_join(self->thread, NULL) == 0);
    atoll_parker_fini(&self->parker);
}

/* Until somebody has done something; the runner's time limit is the limit. */
#define UNTIL(condition)       \
    do {                       \
        while (!(condition)) { \
            sched_yield();     \
        }                      \
    } while (0)

/* The calling thread's own parker, for tests in main. */
static inline atoll_parker *
test_parker(void)
{
    static _Thread_local atoll_parker parker;
    static _Thread_local bool ready;
    if (!ready) {
        NEED(atoll_parker_init(&parker) == ATOLL_OK);
        ready = true;
    }
    return &parker;
}

/* --- Frames that hold a number --- */

static inline atoll_frame *
frame_of(uint64_t value)
{
    atoll_frame *frame = atoll_frame_new();
    NEED(frame != NULL);
    NEED(atoll_frame_reserve(frame, sizeof(value)) == ATOLL_OK);
    memcpy(frame->data, &value, sizeof(value));
    frame->len = sizeof(value);
    return frame;
}

static inline uint64_t
value_of(const atoll_frame *frame)
{
    uint64_t value = UINT64_MAX;
    if (frame != NULL && frame->len == sizeof(value)) {
        memcpy(&value, frame->data, sizeof(value));
    }
    return value;
}

/* Its value; releases it. */
static inline uint64_t
take_value(atoll_frame *frame)
{
    uint64_t value = value_of(frame);
    atoll_frame_release(frame);
    return value;
}

#endif
