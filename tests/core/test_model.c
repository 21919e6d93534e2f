/* Locks, their kin and blocks against a simple model: random operations, by
 * one thread that plays all owners, with owners that die and waits that are
 * late.  (Queues have theirs in test_stress.c, and so have many threads.)
 *
 * ATOLL_SEED replays; ATOLL_STRESS multiplies the number of steps.
 */
#include "test.h"

#include "../../src/core/block.h"
#include "../../src/core/sync.h"

#define INTERPS 3
#define THREADS 2

static int
steps(int normal)
{
    const char *more = getenv("ATOLL_STRESS");
    int factor = more ? atoi(more) : 1;
    return normal * (factor < 1 ? 1 : factor);
}

static int64_t
dice(uint64_t *random, int64_t sides)
{
    return (int64_t)(test_random(random) % (uint64_t)sides);
}

static atoll_owner
some_owner(uint64_t *random)
{
    return (atoll_owner){dice(random, INTERPS),
                         1000 + (unsigned long)dice(random, THREADS)};
}

/* NULL, or late: at once or after a moment's sleep. */
static atoll_wait *
some_wait(uint64_t *random, atoll_wait *memory)
{
    int64_t how = dice(random, 8);
    *memory = (atoll_wait){test_parker(), 0, 0};
    if (how == 0) {
        memory->deadline = atoll_now() + dice(random, 2000);
    }
    return how < 4 ? memory : NULL;
}

/* --- Locks and conditions --- */

typedef struct model_lock {
    atoll_lock *lock;
    atoll_condition *condition; /* of that lock */
    bool recursive;
    bool died;
    atoll_owner owner;
    uint64_t depth; /* 0: nobody has it */
} model_lock;

static bool
same(atoll_owner a, atoll_owner b)
{
    return a.interp == b.interp && a.thread == b.thread;
}

/* As atoll_lock_is_owned: of a plain lock nobody knows who has it. */
static bool
owns(const model_lock *m, atoll_owner who)
{
    return m->depth > 0 && (!m->recursive || same(m->owner, who));
}

static void
step_take(model_lock *m, atoll_owner who, atoll_wait *wait)
{
    atoll_status wanted = wait == NULL ? ATOLL_E_BUSY : ATOLL_E_TIMEOUT;
    if (m->died) {
        wanted = ATOLL_E_OWNER_DIED;
    }
    else if (m->depth == 0 || (m->recursive && same(m->owner, who))) {
        wanted = ATOLL_OK;
        m->owner = who;
        m->depth++;
    }
    CHECK(atoll_lock_lock(m->lock, who, wait) == wanted);
}

static void
step_leave(model_lock *m, atoll_owner who)
{
    atoll_status wanted = ATOLL_OK;
    if (!owns(m, who)) {
        wanted = m->died ? ATOLL_E_OWNER_DIED : ATOLL_E_NOT_OWNER;
    }
    else {
        m->depth--;
    }
    CHECK(atoll_lock_unlock(m->lock, who) == wanted);
}

/* Nobody notifies: the wait is late, and the lock is taken again, by who
 * waited and as deep as it was. */
static void
step_wait(model_lock *m, atoll_owner who, atoll_wait *wait)
{
    atoll_condition_wait state = {0};
    atoll_status wanted = ATOLL_E_TIMEOUT;
    if (!owns(m, who)) {
        wanted = m->died ? ATOLL_E_OWNER_DIED : ATOLL_E_NOT_OWNER;
    }
    else {
        m->owner = who;
    }
    CHECK(atoll_condition_sleep(m->condition, who, wait, &state) == wanted);
}

static void
step_notify(model_lock *m, atoll_owner who, uint64_t n)
{
    atoll_status wanted = owns(m, who) ? ATOLL_OK
                          : m->died    ? ATOLL_E_OWNER_DIED
                                       : ATOLL_E_NOT_OWNER;
    CHECK(atoll_condition_notify(m->condition, who, n) == wanted);
}

static void
check_lock(const model_lock *m, atoll_owner who)
{
    CHECK(atoll_lock_is_locked(m->lock) == (m->died || m->depth > 0));
    CHECK(atoll_lock_owner_died(m->lock) == m->died);
    CHECK(atoll_lock_is_owned(m->lock, who) == owns(m, who));
    CHECK(atoll_lock_depth(m->lock) == m->depth);
}

static void
test_locks_model(void)
{
    uint64_t random = test_seed("locks model");
    model_lock all[4] = {0};
    for (int i = 0; i < 4; i++) {
        all[i].recursive = i % 2 == 1;
        NEED(atoll_lock_new(all[i].recursive, &all[i].lock) == ATOLL_OK);
        NEED(atoll_condition_new(all[i].lock, &all[i].condition) == ATOLL_OK);
    }
    for (int step = 0; step < steps(20000); step++) {
        model_lock *m = &all[dice(&random, 4)];
        atoll_owner who = some_owner(&random);
        atoll_wait memory;
        atoll_wait *wait = some_wait(&random, &memory);
        switch (dice(&random, 16)) {
        case 0:
            atoll_sync_owner_died(who.interp);
            for (int i = 0; i < 4; i++) {
                if (all[i].depth > 0 && all[i].owner.interp == who.interp) {
                    all[i].died = true;
                    all[i].depth = 0;
                }
            }
            break;
        case 1:
            atoll_lock_reset(m->lock);
            m->died = false;
            break;
        case 2:
            memory.deadline = dice(&random, 2) ? 0 : atoll_now() + 1000;
            step_wait(m, who, &memory);
            break;
        case 3:
            step_notify(m, who, (uint64_t)dice(&random, 3));
            break;
        case 4:
        case 5:
        case 6:
        case 7:
        case 8:
            step_leave(m, dice(&random, 2) ? m->owner : who);
            break;
        default:
            step_take(m, who, wait);
        }
        for (int i = 0; i < 4; i++) {
            check_lock(&all[i], who);
        }
    }
    for (int i = 0; i < 4; i++) {
        atoll_condition_release(all[i].condition);
        atoll_lock_release(all[i].lock);
    }
    CHECK(atoll_sync_live() == 0);
}

/* --- Semaphores, events, barriers, atomic integers --- */

typedef struct model_signals {
    atoll_semaphore *semaphores[2]; /* the second is bounded */
    uint64_t values[2];
    atoll_event *event;
    bool set;
    atoll_barrier *barriers[2]; /* of 1 and of 2 parties */
    bool broken[2];
    atoll_atomic *atomic;
    int64_t value;
} model_signals;

#define BOUND 3

static void
step_semaphore(model_signals *m, uint64_t *random, atoll_wait *wait)
{
    int which = (int)dice(random, 2);
    atoll_semaphore *semaphore = m->semaphores[which];
    uint64_t *value = &m->values[which];
    if (dice(random, 2)) {
        uint64_t n = (uint64_t)dice(random, 4);
        bool fits = which == 0 || *value + n <= BOUND;
        *value += fits ? n : 0;
        CHECK(atoll_semaphore_up(semaphore, n)
              == (fits ? ATOLL_OK : ATOLL_E_VALUE));
    }
    else if (*value > 0) {
        --*value;
        CHECK(atoll_semaphore_down(semaphore, wait) == ATOLL_OK);
    }
    else {
        CHECK(atoll_semaphore_down(semaphore, wait)
              == (wait == NULL ? ATOLL_E_BUSY : ATOLL_E_TIMEOUT));
    }
    CHECK(atoll_semaphore_value(semaphore) == *value);
}

static void
step_event(model_signals *m, uint64_t *random, atoll_wait *wait)
{
    switch (dice(random, 3)) {
    case 0:
        atoll_event_set(m->event);
        m->set = true;
        break;
    case 1:
        atoll_event_clear(m->event);
        m->set = false;
        break;
    default:
        CHECK(atoll_event_wait(m->event, wait)
              == (m->set         ? ATOLL_OK
                  : wait == NULL ? ATOLL_E_BUSY
                                 : ATOLL_E_TIMEOUT));
    }
    CHECK(atoll_event_is_set(m->event) == m->set);
}

/* Who comes alone and does not wait for the other breaks the barrier. */
static void
step_barrier(model_signals *m, uint64_t *random, atoll_wait *wait)
{
    int which = (int)dice(random, 2);
    atoll_barrier *barrier = m->barriers[which];
    atoll_barrier_wait state = {0};
    switch (dice(random, 5)) {
    case 0:
        atoll_barrier_reset(barrier);
        m->broken[which] = false;
        break;
    case 1:
        atoll_barrier_abort(barrier);
        m->broken[which] = true;
        break;
    default: {
        bool acts = dice(random, 2);
        m->broken[which] |= which == 1;
        atoll_status wanted = m->broken[which] ? ATOLL_E_BROKEN : ATOLL_OK;
        CHECK(atoll_barrier_arrive(barrier, acts, wait, &state) == wanted);
        if (wanted == ATOLL_OK) {
            CHECK(state.index == 0 && state.act == acts);
        }
        if (wanted == ATOLL_OK && acts) {
            m->broken[which] = dice(random, 2);
            CHECK(atoll_barrier_finish(barrier, &state, !m->broken[which])
                  == ATOLL_OK);
        }
    }
    }
    CHECK(atoll_barrier_broken(barrier) == m->broken[which]);
    CHECK(atoll_barrier_waiting(barrier) == 0);
}

static void
step_atomic(model_signals *m, uint64_t *random)
{
    int64_t value = (int64_t)test_random(random);
    int64_t before = m->value;
    switch (dice(random, 4)) {
    case 0:
        CHECK(atoll_atomic_add(m->atomic, value) == before);
        m->value = (int64_t)((uint64_t)before + (uint64_t)value);
        break;
    case 1:
        CHECK(atoll_atomic_exchange(m->atomic, value) == before);
        m->value = value;
        break;
    case 2:
        CHECK(atoll_atomic_compare_exchange(m->atomic, &before, value));
        m->value = value;
        break;
    default:
        before = (int64_t)((uint64_t)m->value + 1);
        CHECK(!atoll_atomic_compare_exchange(m->atomic, &before, value));
        CHECK(before == m->value);
    }
    CHECK(atoll_atomic_load(m->atomic) == m->value);
}

static void
test_signals_model(void)
{
    uint64_t random = test_seed("signals model");
    model_signals m = {.values = {2, BOUND}};
    NEED(atoll_semaphore_new(2, false, &m.semaphores[0]) == ATOLL_OK);
    NEED(atoll_semaphore_new(BOUND, true, &m.semaphores[1]) == ATOLL_OK);
    NEED(atoll_event_new(&m.event) == ATOLL_OK);
    NEED(atoll_barrier_new(1, &m.barriers[0]) == ATOLL_OK);
    NEED(atoll_barrier_new(2, &m.barriers[1]) == ATOLL_OK);
    NEED(atoll_atomic_new(0, &m.atomic) == ATOLL_OK);
    for (int step = 0; step < steps(20000); step++) {
        atoll_wait memory;
        atoll_wait *wait = some_wait(&random, &memory);
        switch (dice(&random, 4)) {
        case 0:
            step_semaphore(&m, &random, wait);
            break;
        case 1:
            step_event(&m, &random, wait);
            break;
        case 2:
            step_barrier(&m, &random, wait);
            break;
        default:
            step_atomic(&m, &random);
        }
    }
    for (int i = 0; i < 2; i++) {
        atoll_semaphore_release(m.semaphores[i]);
        atoll_barrier_release(m.barriers[i]);
    }
    atoll_event_release(m.event);
    atoll_atomic_release(m.atomic);
    CHECK(atoll_sync_live() == 0);
}

/* --- Blocks --- */

#define BLOCKS 16

typedef struct model_block {
    atoll_block *block;
    size_t size;
    int references;
    uint8_t mark; /* what its first and last byte should be */
} model_block;

static void
make_block(model_block *m, uint64_t *random)
{
    static const size_t sizes[] = {0, 1, 63, 64, 65, 4096, 300000};
    m->size = sizes[dice(random, 7)];
    m->references = 1;
    m->mark = 0;
    NEED(atoll_block_new(m->size, &m->block) == ATOLL_OK);
    CHECK((uintptr_t)m->block->data % ATOLL_BLOCK_ALIGNMENT == 0);
    for (size_t i = 0; i < m->size; i += 61) {
        CHECK(m->block->data[i] == 0);
    }
}

static void
test_blocks_model(void)
{
    uint64_t random = test_seed("blocks model");
    uint64_t before = atoll_block_live();
    uint64_t live = 0;
    model_block all[BLOCKS] = {0};
    for (int step = 0; step < steps(20000); step++) {
        model_block *m = &all[dice(&random, BLOCKS)];
        if (m->references == 0) {
            make_block(m, &random);
            live++;
        }
        else if (dice(&random, 3) == 0) {
            atoll_block_acquire(m->block);
            m->references++;
        }
        else if (m->size > 0) {
            CHECK(m->block->size == m->size);
            CHECK(m->block->data[0] == m->mark);
            CHECK(m->block->data[m->size - 1] == m->mark);
            m->mark = (uint8_t)dice(&random, 256);
            m->block->data[0] = m->block->data[m->size - 1] = m->mark;
        }
        if (m->references > 0 && dice(&random, 2)) {
            m->references--;
            live -= m->references == 0;
            atoll_block_release(m->block);
        }
        CHECK(atoll_block_live() == before + live);
    }
    for (int i = 0; i < BLOCKS; i++) {
        while (all[i].references-- > 0) {
            atoll_block_release(all[i].block);
        }
    }
    CHECK(atoll_block_live() == before);
}

int
main(int argc, char **argv)
{
    RUN(test_locks_model);
    RUN(test_signals_model);
    RUN(test_blocks_model);
    return test_end();
}
