/* The floor for a queue between two threads: a ball thrown to and fro with one
 * mutex and one condition variable for each side, and nothing else.
 *
 *     cc -O2 -pthread pingpong.c -o pingpong && ./pingpong 100000
 *
 * Prints nanoseconds per round trip (there and back).
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned[2]
    = {PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER};
static int side; /* who has the ball */
static long rounds;

static void
play(int me)
{
    for (long i = 0; i < rounds; i++) {
        pthread_mutex_lock(&mutex);
        while (side != me) {
            pthread_cond_wait(&turned[me], &mutex);
        }
        side = !me;
        pthread_cond_signal(&turned[!me]);
        pthread_mutex_unlock(&mutex);
    }
}

static void *
partner(void *arg)
{
    (void)arg;
    play(1);
    return NULL;
}

static double
now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

int
main(int argc, char **argv)
{
    rounds = argc > 1 ? atol(argv[1]) : 100000;
    if (rounds < 1) {
        fprintf(stderr, "usage: pingpong [ROUNDS]\n");
        return 2;
    }
    pthread_t thread;
    double begin = now();
    if (pthread_create(&thread, NULL, partner, NULL) != 0) {
        return 1;
    }
    play(0);
    pthread_join(thread, NULL);
    printf("%.1f\n", (now() - begin) / (double)rounds);
    return 0;
}
