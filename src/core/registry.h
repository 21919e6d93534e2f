/* The registry: the one process-wide mutable thing.  A record per
 * interpreter, by its never-reused id; most of what is hard about closing,
 * exit, fork and interruption is decided here.
 *
 * A record knows
 *  - whether its interpreter is open, closing or gone;
 *  - how many visits are under way: threads that are attached to it through
 *    atoll, or have been promised that they may attach.  Whoever ends the
 *    interpreter first marks the record closing (no new visit starts), then
 *    waits for the visits to reach 0;
 *  - whether a call runs, and its generation, so that an interruption can
 *    name exactly one call and never hits the next;
 *  - the thread states that atoll keeps in it, one per OS thread that has
 *    visited, to be cleared before the interpreter ends;
 *  - holds: references from outside to memory inside (views).  The end is
 *    put off while there are any;
 *  - chores: work that must run attached to it (dropping references that
 *    others let go), done by the next visitor;
 *  - watches: who wants to hear of its end.
 *
 * A record outlives its interpreter: handles hold references to it, so no
 * pointer to one ever dangles.  `handle` (the PyInterpreterState) is valid
 * only within a visit, or for the thread that closes.
 *
 * Locks: `registry.lock` guards the table, then `record.lock` each record's
 * fields marked [lock]; never two records at once; no callback under either.
 */
#ifndef ATOLL_CORE_REGISTRY_H
#define ATOLL_CORE_REGISTRY_H

#include "frame.h"
#include "platform.h"
#include "usage.h"

typedef enum atoll_life {
    ATOLL_LIFE_OPEN = 0,
    ATOLL_LIFE_CLOSING,  /* no new visit; the closer may go back to OPEN */
    ATOLL_LIFE_DEFERRED, /* closed for users; the end waits for the holds */
    ATOLL_LIFE_ENDING,   /* its end has begun: handle is not to be touched */
    ATOLL_LIFE_GONE,     /* the interpreter is ended, or soon will be */
} atoll_life;

/* A chore: linked through itself, run once, attached to the interpreter. */
typedef struct atoll_chore {
    struct atoll_chore *next;
    /* Attached: to the record's interpreter.  Frees the chore.  When the
     * interpreter is gone instead, it is called with attached=false and must
     * only free its own C memory. */
    void (*run)(struct atoll_chore *chore, bool attached);
} atoll_chore;

/* Somebody wants to hear of an interpreter's end (ext/close_callback.c). */
typedef struct atoll_watch {
    atoll_chore chore; /* first: it may be left to its home */
    struct atoll_watch *next;
    struct atoll_interp *home;   /* whose it is; owns a reference */
    struct atoll_interp *closed; /* NULL until it is; owns a reference */
    uint64_t token;              /* which one it is there */
} atoll_watch;

/* A thread state kept for one OS thread (ext/attach.c). */
typedef struct atoll_kept {
    struct atoll_kept *next;     /* in the record's list [lock] */
    struct atoll_interp *interp; /* owns a reference */
    void *tstate;                /* NULL: cleared, entry dead [lock] */
    unsigned long thread;
    bool initial; /* came with the interpreter; cleared only at its end */
    bool orphan;  /* its OS thread has ended [lock] */
    bool in_use;  /* its thread is inside just now [lock] */
    atoll_refcount count; /* the record's list and the thread's table */
} atoll_kept;

/* As many threads that are just starting are noted when their call goes too
 * far. */
#define ATOLL_TO_STOP 8

typedef struct atoll_interp {
    int64_t id;
    void *handle;
    struct atoll_interp *next; /* in the table, ascending id [registry] */
    atoll_refcount count;

    atoll_mutex lock;
    atoll_cond changed;   /* signalled when visits or holds or life change */
    atoll_life life;      /* [lock] */
    bool owned;           /* made by atoll: the last handle closes it */
    bool half_ended;      /* its end failed half-way: closing, but close may
                           * be tried again [lock] */
    bool wound_down;      /* its atexit functions have run: it never opens
                           * again [lock] */
    bool spare;           /* prewarmed, not yet given out [lock] */
    uint32_t visits;      /* [lock] */
    uint32_t handles;     /* Interpreter objects anywhere [lock] */
    uint32_t holds;       /* views of its memory elsewhere [lock] */
    bool running;         /* a call through atoll has the slot [lock] */
    unsigned long runner; /* the OS thread that has it [lock] */
    void *run;         /* the runner's own record of it (ext_visit) [lock] */
    uint32_t told;     /* pending calls that interrupt, on their way [lock] */
    uint32_t watchers; /* threads in wait_idle [lock] */
    uint32_t bars;     /* threads that let no call begin [lock] */
    uint64_t generation;         /* of the running or the last call [lock] */
    atoll_kept *kept;            /* [lock] */
    uint32_t orphans;            /* how many of them are orphans [lock] */
    atoll_chore *chores;         /* [lock] */
    _Atomic uint32_t has_chores; /* hint: chores or orphans wait */
    atoll_watch *watches;        /* the newest first [lock] */
    void *ext;    /* ext_state, while life < GONE; see ext/state.h */
    int64_t born; /* when the record was made: atoll_now() */
    int64_t died; /* when it was GONE, or 0 [lock] */
    atoll_usage usage;
    /* What calls may use (ext_limits), or NULL; replaced under [lock]. */
    _Atomic(void *) limits;
    void (*free_limits)(void *limits); /* [lock] */
    void *guard; /* of the running call, or NULL [the interpreter's GIL] */
    atomic_bool measuring; /* its threads are about to be measured */
    /* Threads that have not begun, by number: they are stopped when they have.
     * [the interpreter's GIL] */
    uint64_t to_stop[ATOLL_TO_STOP];
    size_t to_stop_count;
    int64_t to_stop_since;
    int64_t creator; /* id of the interpreter that made it, or -1 */
    char *name;      /* UTF-8, or NULL [lock] */
    /* What its creator left for the first visitor to apply; taken once.
     * Freed without any interpreter attached. [lock] */
    void *setup;
    void (*free_setup)(void *setup);
    struct atoll_interp *to_end; /* in the list of who ends it later [its] */
    uint32_t posts; /* what the helper thread is to send there [lock] */
    struct atoll_interp *to_post; /* in its list [its] */
} atoll_interp;

/* A word for the binding's whole-process needs, set once.  Called with the
 * record of an interpreter whose end was put off, when its last hold goes;
 * on any thread, without any lock. */
extern void (*atoll_registry_on_last_hold)(atoll_interp *interp);

/* Made once, at the first import; safe to call again from any thread. */
atoll_status
atoll_registry_open(void) ATOLL_MUST_CHECK;

/* The record of the interpreter `id`; makes one if there is none (its handle
 * is then `handle`).  Owns: the caller gets a reference.
 * Fails: ATOLL_E_NOMEM; ATOLL_E_SYSTEM. */
atoll_status
atoll_registry_adopt(int64_t id, void *handle, atoll_interp **out_interp);
/* The same in two steps, of which only the first can fail, for who is about
 * to make an interpreter: a record for whatever it will be (NULL: out of
 * memory), given back by atoll_interp_release if there is none after all. */
atoll_interp *
atoll_registry_prepare(void);
/* Owns: takes over the reference to `prepared`; the caller gets one to the
 * record that is returned (another one, if somebody was quicker). */
atoll_interp *
atoll_registry_enter(atoll_interp *prepared, int64_t id, void *handle);
/* Fails: ATOLL_E_NOTFOUND.  Owns: the caller gets a reference. */
atoll_status
atoll_registry_find(int64_t id, atoll_interp **out_interp);
/* The records that are not GONE, by ascending id, each acquired; the caller
 * frees the array with atoll_free.  Fails: ATOLL_E_NOMEM. */
atoll_status
atoll_registry_list(atoll_interp ***out_interps, size_t *out_count);
/* In the child after fork: every record but `keep` becomes GONE and unlocked;
 * locks are made anew.  Only the child's single thread calls it. */
void
atoll_registry_after_fork(int64_t keep);
/* Around fork, in the parent (atfork prepare / parent). */
void
atoll_registry_before_fork(void);
void
atoll_registry_parent_after_fork(void);

void
atoll_interp_acquire(atoll_interp *interp);
void
atoll_interp_release(atoll_interp *interp);

/* Starts a visit: from now until leave the interpreter cannot end.
 * With `run`, which is not NULL then and stands for it, also takes the slot of
 * the one running call and gives it a new generation; *out_generation, which
 * may be within *run, is set before anybody can see it.
 * Fails: ATOLL_E_CLOSED; ATOLL_E_BUSY (with run: one runs, or none may
 * begin). */
atoll_status
atoll_interp_visit(atoll_interp *interp, void *run, uint64_t *out_generation);
void
atoll_interp_leave(atoll_interp *interp, bool run);
/* For the thread that has the slot and stays inside: a new generation, which
 * `run` (see above) stands for; *out_generation, which may be within *run, is
 * set before anybody can see it. */
void
atoll_interp_next_call(atoll_interp *interp, void *run,
                       uint64_t *out_generation);

/* The same, also while it is closing: for the helper thread, which touches the
 * handle for an instant.  False: too late. */
bool
atoll_interp_glance(atoll_interp *interp);

/* From now on (or no longer) no call begins: who wants to close it interrupts
 * the one that runs, and a thread that makes one call after the other would be
 * quicker. */
void
atoll_interp_bar_calls(atoll_interp *interp, bool bar);

/* Marks it closing.  `force`: somebody else ends it: a call that runs is no
 * hindrance, nor is it that it was DEFERRED.
 * Fails: ATOLL_E_CLOSED (closing or gone already), ATOLL_E_BUSY. */
atoll_status
atoll_interp_begin_close(atoll_interp *interp, bool force);
/* Closing was given up: open again, or, wound_down, as half_ended as before. */
void
atoll_interp_cancel_close(atoll_interp *interp);
/* Waits until at most `rest` visits are left.  Fails: ATOLL_E_TIMEOUT. */
atoll_status
atoll_interp_wait_visits(atoll_interp *interp, uint32_t rest,
                         int64_t deadline);
/* Waits until no call of generation `generation` runs.
 * Fails: ATOLL_E_TIMEOUT. */
atoll_status
atoll_interp_wait_idle(atoll_interp *interp, uint64_t generation,
                       int64_t deadline);
/* Waits while somebody else is at work to end it.  Fails: ATOLL_E_TIMEOUT. */
atoll_status
atoll_interp_wait_closer(atoll_interp *interp, int64_t deadline);
void
atoll_interp_set_life(atoll_interp *interp, atoll_life life);
atoll_life
atoll_interp_get_life(atoll_interp *interp);

/* A view of memory inside was given away, or came back.  unhold calls
 * atoll_registry_on_last_hold when it was the last one and the interpreter is
 * DEFERRED.  Fails: ATOLL_E_CLOSED (its end has begun). */
atoll_status
atoll_interp_hold(atoll_interp *interp);
void
atoll_interp_unhold(atoll_interp *interp);
/* Whoever has marked it CLOSING is about to end it: true, and it is ENDING; or
 * false, it is held and DEFERRED from now on. */
bool
atoll_interp_begin_end(atoll_interp *interp);

/* Hands over a chore.  Returns false if the interpreter is gone: the chore
 * was not taken. */
bool
atoll_interp_add_chore(atoll_interp *interp, atoll_chore *chore);
/* Takes all chores (a list). */
atoll_chore *
atoll_interp_take_chores(atoll_interp *interp);

/* Owns: takes over the watch.  False: it is closed already, and the watch is
 * the caller's as before. */
bool
atoll_interp_add_watch(atoll_interp *interp, atoll_watch *watch);
/* Takes all watches (a list, the oldest first). */
atoll_watch *
atoll_interp_take_watches(atoll_interp *interp);
/* NULL: out of memory.  Both without any lock. */
atoll_watch *
atoll_watch_new(atoll_interp *home, uint64_t token);
void
atoll_watch_free(atoll_watch *watch);

extern const atoll_ref_ops atoll_interp_ops;

#endif
