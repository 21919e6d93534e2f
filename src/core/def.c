/* See def.h. */
#include "def.h"

static _Atomic uint64_t last_id;

uint64_t
atoll_unique_id(void)
{
    return atomic_fetch_add(&last_id, 1) + 1;
}

atoll_def *
atoll_def_new(uint64_t id, int64_t home, atoll_frame *blob)
{
    atoll_def *def = atoll_malloc(sizeof(*def));
    if (def == NULL) {
        return NULL;
    }
    atoll_ref_init(&def->count);
    def->id = id;
    def->home = home;
    atomic_init(&def->retired, false);
    def->blob = blob;
    return def;
}

void
atoll_def_acquire(atoll_def *def)
{
    atoll_ref_acquire(&def->count);
}

void
atoll_def_release(atoll_def *def)
{
    if (atoll_ref_release(&def->count)) {
        atoll_frame_release(def->blob);
        atoll_free(def);
    }
}

static void
acquire_any(void *ptr)
{
    atoll_def_acquire(ptr);
}

static void
release_any(void *ptr)
{
    atoll_def_release(ptr);
}

const atoll_ref_ops atoll_def_ops = {
    .name = "definition",
    .acquire = acquire_any,
    .release = release_any,
};
