/* Drives the fuzz target where there is no libFuzzer: the files of a corpus,
 * then random bytes until the time is up.
 *
 *     replay SECONDS [FILE...]      (ATOLL_SEED replays the random part)
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t state;

static uint64_t
next(void)
{
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int
replay(const char *name)
{
    static uint8_t data[1 << 20];
    FILE *file = fopen(name, "rb");
    if (file == NULL) {
        perror(name);
        return 1;
    }
    size_t size = fread(data, 1, sizeof(data), file);
    fclose(file);
    (void)LLVMFuzzerTestOneInput(data, size);
    return 0;
}

int
main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: replay SECONDS [FILE...]\n");
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        if (replay(argv[i]) != 0) {
            return 1;
        }
    }
    const char *seed = getenv("ATOLL_SEED");
    state = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL);
    printf("%d files; ATOLL_SEED=%llu\n", argc - 2, (unsigned long long)state);
    fflush(stdout);
    time_t end = time(NULL) + atoi(argv[1]);
    uint64_t runs = 0;
    while (time(NULL) < end) {
        for (int i = 0; i < 1000; i++, runs++) {
            uint8_t data[300];
            size_t size = next() % sizeof(data);
            /* Small numbers are tags and counts: they lead further in. */
            unsigned top = next() % 3 == 0 ? 256 : 48;
            for (size_t j = 0; j < size; j++) {
                data[j] = (uint8_t)(next() % top);
            }
            (void)LLVMFuzzerTestOneInput(data, size);
        }
    }
    printf("%llu inputs, nothing found\n", (unsigned long long)runs);
    return 0;
}
