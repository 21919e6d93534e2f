/* See usage.h. */
#include "usage.h"

static int64_t
get(_Atomic int64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void
set(_Atomic int64_t *value, int64_t to)
{
    atomic_store_explicit(value, to, memory_order_relaxed);
}

void
atoll_cpu_clock_init(atoll_cpu_clock *clock)
{
    clock->at = 0;
    clock->cpu = 0;
    atomic_init(&clock->away, 0);
    atomic_init(&clock->away_since, -1);
}

int64_t
atoll_cpu_clock_away(atoll_cpu_clock *clock, int64_t now)
{
    int64_t since = get(&clock->away_since);
    int64_t away = get(&clock->away);
    return since >= 0 && now > since ? away + now - since : away;
}

/* The thread's CPU time at `now`, exact if the last reading is stale. */
static int64_t
read_clock(atoll_cpu_clock *clock, int64_t now)
{
    if (now - clock->at > ATOLL_USAGE_STALE) {
        clock->cpu = atoll_thread_cpu(0);
        clock->at = now;
    }
    return clock->cpu + (now - clock->at);
}

void
atoll_usage_begin(atoll_usage *usage, atoll_cpu_clock *clock, atoll_span *span,
                  const atoll_span *outer)
{
    int64_t now = atoll_now();
    span->began = now;
    span->cpu = read_clock(clock, now);
    set(&span->inner, 0);
    set(&usage->since, now);
    if (outer == NULL) {
        set(&clock->away_since, span->cpu);
    }
}

void
atoll_usage_end(atoll_usage *usage, atoll_cpu_clock *clock, atoll_span *span,
                atoll_span *outer, bool failed)
{
    if (span->began == 0) {
        return;
    }
    int64_t now = atoll_now();
    int64_t cpu = read_clock(clock, now) - span->cpu;
    int64_t own = cpu - get(&span->inner);
    set(&usage->since, 0);
    set(&usage->busy, get(&usage->busy) + now - span->began);
    /* A clock that was guessed may have been ahead. */
    set(&usage->cpu, get(&usage->cpu) + (own > 0 ? own : 0));
    atoll_usage_add(&usage->calls, 1);
    if (failed) {
        atoll_usage_add(&usage->failed, 1);
    }
    cpu = cpu > 0 ? cpu : 0;
    if (outer == NULL) {
        set(&clock->away, get(&clock->away) + cpu);
        set(&clock->away_since, -1);
    }
    else {
        set(&outer->inner, get(&outer->inner) + cpu);
    }
    span->began = 0;
}

void
atoll_usage_cancel(atoll_usage *usage, atoll_cpu_clock *clock,
                   atoll_span *span)
{
    set(&usage->since, 0);
    set(&clock->away_since, -1);
    span->began = 0;
}
