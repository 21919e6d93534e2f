/* The core's queues and locks, without Python: what there is to gain or lose
 * by the way in which they wait.
 *
 *     cc -O2 -pthread -I../../src queue.c ../../src/core/?*.c -o queue
 *     ./queue [busy threads]
 *
 * With busy threads, as many others compute all the while, and the last column
 * tells how many processors' worth of work they got done together.  CPU is
 * user and system time of the whole process, the busy threads' not counted.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "core/queue.h"
#include "core/sync.h"

static _Thread_local atoll_parker parker;
static atomic_bool stop;
static _Atomic long burnt; /* ns of work done by the busy threads */
static double
busy_cpu(void);

static double
clock_ns(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void
begin_thread(void)
{
    if (atoll_parker_init(&parker) != ATOLL_OK) {
        abort();
    }
}

static atoll_wait
for_ever(void)
{
    return (atoll_wait){&parker, ATOLL_FOREVER, 0};
}

static void
send(atoll_queue *queue, atoll_frame *frame)
{
    atoll_wait wait = for_ever();
    if (atoll_queue_put(queue, frame, &wait) != ATOLL_OK) {
        abort();
    }
}

static atoll_frame *
receive(atoll_queue *queue)
{
    atoll_wait wait = for_ever();
    atoll_frame *frame = NULL;
    if (atoll_queue_get(queue, &wait, &frame) != ATOLL_OK) {
        return NULL;
    }
    return frame;
}

static atoll_queue *
new_queue(int64_t maxsize)
{
    atoll_queue *queue;
    if (atoll_queue_new(maxsize, ATOLL_UNBOUND_KEEP, &queue) != ATOLL_OK) {
        abort();
    }
    return queue;
}

typedef struct job {
    atoll_queue *in;
    atoll_queue *out;
    long n;
    long work; /* what each side computes between, in ns */
    atoll_lock *lock;
    _Atomic long done;
} job;

static double rounds_per_ns;

static void
turn(long rounds)
{
    for (volatile long i = 0; i < rounds; i++) {
    }
}

/* `work` is in nanoseconds. */
static void
compute(long work)
{
    turn((long)((double)work * rounds_per_ns));
}

static void
calibrate(void)
{
    double best = 1e18;
    for (int i = 0; i < 20; i++) {
        double begin = clock_ns(CLOCK_MONOTONIC);
        turn(10000);
        double spent = clock_ns(CLOCK_MONOTONIC) - begin;
        best = spent < best ? spent : best;
    }
    rounds_per_ns = 10000 / best;
}

static void
run(const char *name, long n, void *(*body)(void *), void *arg, int threads,
    void *(*other)(void *), int others)
{
    pthread_t all[64];
    long others_before = burnt;
    double begin = clock_ns(CLOCK_MONOTONIC);
    double cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - busy_cpu();
    for (int i = 0; i < threads; i++) {
        pthread_create(&all[i], NULL, body, arg);
    }
    for (int i = 0; i < others; i++) {
        pthread_create(&all[threads + i], NULL, other, arg);
    }
    for (int i = 0; i < threads + others; i++) {
        pthread_join(all[i], NULL);
    }
    double spent = clock_ns(CLOCK_MONOTONIC) - begin;
    cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - busy_cpu() - cpu;
    printf("%-34s %9.1f ns each, CPU %9.1f, others %4.2f\n", name,
           spent / (double)n, cpu / (double)n,
           (double)(burnt - others_before) / spent);
    fflush(stdout);
}

static void *
ping(void *arg)
{
    job *j = arg;
    begin_thread();
    atoll_frame *frame = atoll_frame_new();
    for (long i = 0; i < j->n; i++) {
        send(j->in, frame);
        frame = receive(j->out);
        compute(j->work);
    }
    atoll_frame_release(frame);
    return NULL;
}

static void *
pong(void *arg)
{
    job *j = arg;
    begin_thread();
    for (long i = 0; i < j->n; i++) {
        atoll_frame *frame = receive(j->in);
        compute(j->work);
        send(j->out, frame);
    }
    return NULL;
}

static void *
put_get(void *arg)
{
    job *j = arg;
    atoll_frame *frame = atoll_frame_new();
    for (long i = 0; i < j->n; i++) {
        send(j->in, frame);
        frame = receive(j->in);
    }
    atoll_frame_release(frame);
    return NULL;
}

static void *
produce(void *arg)
{
    job *j = arg;
    begin_thread();
    for (long i = 0; i < j->n; i++) {
        compute(j->work);
        send(j->in, atoll_frame_new());
    }
    return NULL;
}

static void *
consume(void *arg)
{
    job *j = arg;
    begin_thread();
    while (atomic_fetch_sub(&j->done, 1) > 0) {
        compute(j->work);
        atoll_frame_release(receive(j->in));
    }
    return NULL;
}

static void *
contend(void *arg)
{
    job *j = arg;
    begin_thread();
    atoll_owner me = {0, atoll_thread_ident()};
    for (long i = 0; i < j->n; i++) {
        atoll_wait wait = for_ever();
        (void)atoll_lock_lock(j->lock, me, &wait);
        compute(j->work);
        (void)atoll_lock_unlock(j->lock, me);
    }
    return NULL;
}

static pthread_t busy_threads[16];
static int busy_count;

static void *
burn(void *arg)
{
    while (!atomic_load(&stop)) {
        compute(1000);
        burnt += 1000;
    }
    return arg;
}

static double
busy_cpu(void)
{
    double sum = 0;
    for (int i = 0; i < busy_count; i++) {
        clockid_t clock;
        pthread_getcpuclockid(busy_threads[i], &clock);
        sum += clock_ns(clock);
    }
    return sum;
}

int
main(int argc, char **argv)
{
    busy_count = argc > 1 ? atoi(argv[1]) : 0;
    calibrate();
    const char *only = argc > 2 ? argv[2] : "";
    for (int i = 0; i < busy_count; i++) {
        pthread_create(&busy_threads[i], NULL, burn, NULL);
    }
    job j = {.in = new_queue(0), .out = new_queue(0)};
    begin_thread();
    struct {
        const char *name;
        long n;
        long work;
    } balls[] = {
        {"ping-pong", 100000, 0},
        {"ping-pong, 1 us of work a side", 50000, 1000},
        {"ping-pong, 4 us of work a side", 30000, 4000},
        {"ping-pong, 8 us of work a side", 20000, 8000},
        {"ping-pong, 20 us of work a side", 5000, 20000},
        {"ping-pong, 200 us of work a side", 1000, 200000},
    };
    for (size_t i = 0;
         i < sizeof(balls) / sizeof(*balls) && strstr("ping-pong", only);
         i++) {
        j.n = balls[i].n;
        j.work = balls[i].work;
        run(balls[i].name, j.n, ping, &j, 1, pong, 1);
    }
    j.work = 0;
    if (strstr("put+get", only)) {
        j.n = 5000000;
        run("put+get, one thread", j.n, put_get, &j, 1, NULL, 0);
    }
    if (strstr("stream", only)) {
        for (long work = 0; work < 2000; work += 500) {
            j.n = j.done = 500000;
            j.work = work;
            char name[100];
            snprintf(name, sizeof(name), "stream, unbounded, %ld ns of work",
                     work);
            run(name, j.n, produce, &j, 1, consume, 1);
            job bounded = {.in = new_queue(64), .n = j.n, .work = work};
            bounded.done = j.n;
            snprintf(name, sizeof(name), "stream, maxsize 64, %ld ns of work",
                     work);
            run(name, j.n, produce, &bounded, 1, consume, 1);
        }
    }
    if (strstr("8x8", only)) {
        j.n = 100000;
        j.done = 800000;
        j.work = 500;
        run("8 producers, 8 consumers", 800000, produce, &j, 8, consume, 8);
        job bounded = {.in = new_queue(64), .n = 100000, .work = 500};
        bounded.done = 800000;
        run("8 and 8, maxsize 64", 800000, produce, &bounded, 8, consume, 8);
    }
    if (strstr("lock", only)) {
        if (atoll_lock_new(false, &j.lock) != ATOLL_OK) {
            abort();
        }
        j.n = 5000000;
        j.work = 0;
        run("lock+unlock, one thread", j.n, contend, &j, 1, NULL, 0);
        j.n = 500000;
        run("lock+unlock, 4 threads", j.n * 4, contend, &j, 4, NULL, 0);
        j.work = 500;
        run("lock+work+unlock, 4 threads", j.n * 4, contend, &j, 4, NULL, 0);
    }
    atomic_store(&stop, true);
    return 0;
}
