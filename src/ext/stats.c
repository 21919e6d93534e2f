/* See stats.h.  The fields stand in one table, which serves the dict of
 * stats() and the JSON of `atoll top`, where no interpreter is at hand. */
#include "stats.h"

#include "memory.h"

#include <stdlib.h>
#include <string.h>

typedef enum field_kind {
    FIELD_INT,
    FIELD_COUNT, /* negative: unknown, None */
    FIELD_TEXT,
    FIELD_SECONDS,
} field_kind;

static const struct field {
    const char *name;
    field_kind kind;
    size_t offset;
} fields[] = {
    {"id", FIELD_INT, offsetof(ext_stats, id)},
    {"name", FIELD_TEXT, offsetof(ext_stats, name)},
    {"state", FIELD_TEXT, offsetof(ext_stats, state)},
    {"uptime_seconds", FIELD_SECONDS, offsetof(ext_stats, uptime)},
    {"cpu_seconds", FIELD_SECONDS, offsetof(ext_stats, cpu)},
    {"busy_share", FIELD_SECONDS, offsetof(ext_stats, busy)},
    {"calls", FIELD_INT, offsetof(ext_stats, calls)},
    {"exceptions", FIELD_INT, offsetof(ext_stats, exceptions)},
    {"messages_in", FIELD_INT, offsetof(ext_stats, messages_in)},
    {"messages_out", FIELD_INT, offsetof(ext_stats, messages_out)},
    {"bytes_in", FIELD_INT, offsetof(ext_stats, bytes_in)},
    {"bytes_out", FIELD_INT, offsetof(ext_stats, bytes_out)},
    {"allocated_blocks", FIELD_COUNT, offsetof(ext_stats, blocks)},
    {"threads", FIELD_COUNT, offsetof(ext_stats, threads)},
    {"views_held", FIELD_INT, offsetof(ext_stats, views)},
    {"memory_bytes", FIELD_COUNT, offsetof(ext_stats, memory)},
};
#define N_FIELDS (sizeof(fields) / sizeof(fields[0]))

/* --- reading ------------------------------------------------------------------- */

int64_t
ext_stats_call_cpu(ext_visit *visit)
{
    int64_t now = atoll_thread_cpu((long)visit->inner->native_thread_id);
    if (now < 0) {
        return 0;
    }
    int64_t cpu
        = now - visit->span.cpu
          - atomic_load_explicit(&visit->span.inner, memory_order_relaxed);
    if (visit->above != NULL) {
        /* The call that it is in just now, which is not over. */
        int64_t above = now - visit->above->span.cpu;
        cpu -= above > 0 ? above : 0;
    }
    return cpu > 0 ? cpu : 0;
}

/* Does code run in its __main__ that is not atoll's call? */
static bool
runs_main(atoll_interp *interp)
{
    bool running = false;
    if (_PyInterpreterState_IsRunningMain != NULL
        && atoll_interp_glance(interp)) {
        running = _PyInterpreterState_IsRunningMain(interp->handle) != 0;
        atoll_interp_leave(interp, false);
    }
    return running;
}

static const char *
name_state(atoll_life life, bool running)
{
    switch (life) {
    case ATOLL_LIFE_OPEN:
        return running ? "running" : "idle";
    case ATOLL_LIFE_GONE:
        return "closed";
    default:
        return "closing";
    }
}

static int64_t
get(_Atomic uint64_t *counter)
{
    return (int64_t)atoll_usage_get(counter);
}

void
ext_stats_read(atoll_interp *interp, const ext_look *look, ext_stats *out)
{
    atoll_usage *usage = &interp->usage;
    bool running = runs_main(interp);
    int64_t now = atoll_now();
    int64_t cpu = atomic_load_explicit(&usage->cpu, memory_order_relaxed);
    int64_t busy = atomic_load_explicit(&usage->busy, memory_order_relaxed);
    int64_t since = atomic_load_explicit(&usage->since, memory_order_relaxed);
    memset(out, 0, sizeof(*out));
    atoll_mutex_lock(&interp->lock);
    out->name = interp->name == NULL ? NULL : strdup(interp->name);
    out->state = name_state(interp->life, running || interp->running);
    out->views = interp->holds;
    ext_visit *run = interp->run;
    if (run != NULL && run->settled) {
        cpu += ext_stats_call_cpu(run);
    }
    now = interp->died != 0 ? interp->died : now;
    atoll_mutex_unlock(&interp->lock);
    if (since != 0 && now > since) {
        busy += now - since;
    }
    int64_t uptime = now > interp->born ? now - interp->born : 1;
    out->id = interp->id;
    out->uptime = (double)uptime / 1e9;
    out->busy = busy < uptime ? (double)busy / (double)uptime : 1.0;
    out->cpu = (double)(cpu + (look == NULL ? 0 : look->cpu)) / 1e9;
    out->calls = get(&usage->calls);
    out->exceptions = get(&usage->failed);
    out->messages_in = get(&usage->messages_in);
    out->messages_out = get(&usage->messages_out);
    out->bytes_in = get(&usage->bytes_in);
    out->bytes_out = get(&usage->bytes_out);
    out->blocks = look == NULL ? -1 : look->blocks;
    out->threads = look == NULL ? -1 : (int64_t)look->threads;
    out->memory = -1;
    if (atoll_interp_glance(interp)) {
        out->memory = ext_memory_used(interp->handle);
        atoll_interp_leave(interp, false);
    }
}

void
ext_stats_fini(ext_stats *stats)
{
    free(stats->name);
    stats->name = NULL;
}

/* --- telling ------------------------------------------------------------------- */

static const void *
get_field(const ext_stats *stats, const struct field *field)
{
    return (const char *)stats + field->offset;
}

static PyObject *
make_value(const ext_stats *stats, const struct field *field)
{
    const void *at = get_field(stats, field);
    if (field->kind == FIELD_TEXT) {
        const char *text = *(const char *const *)at;
        if (text == NULL) {
            return Py_NewRef(Py_None);
        }
        return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text),
                                    "surrogatepass");
    }
    if (field->kind == FIELD_SECONDS) {
        return PyFloat_FromDouble(*(const double *)at);
    }
    int64_t number = *(const int64_t *)at;
    if (field->kind == FIELD_COUNT && number < 0) {
        return Py_NewRef(Py_None);
    }
    return PyLong_FromLongLong(number);
}

PyObject *
ext_stats_dict(const ext_stats *stats)
{
    PyObject *dict = PyDict_New();
    for (size_t i = 0; dict != NULL && i < N_FIELDS; i++) {
        PyObject *value = make_value(stats, &fields[i]);
        if (value == NULL
            || PyDict_SetItemString(dict, fields[i].name, value) < 0) {
            Py_CLEAR(dict);
        }
        Py_XDECREF(value);
    }
    return dict;
}

void
ext_stats_json_text(const char *text, FILE *out)
{
    if (text == NULL) {
        (void)fputs("null", out);
        return;
    }
    (void)fputc('"', out);
    for (const char *at = text; *at != '\0'; at++) {
        unsigned char ch = (unsigned char)*at;
        if (ch == '"' || ch == '\\') {
            (void)fprintf(out, "\\%c", ch);
        }
        else if (ch < 0x20) {
            (void)fprintf(out, "\\u%04x", ch);
        }
        else {
            (void)fputc(ch, out);
        }
    }
    (void)fputc('"', out);
}

void
ext_stats_json(const ext_stats *stats, FILE *out)
{
    for (size_t i = 0; i < N_FIELDS; i++) {
        const void *at = get_field(stats, &fields[i]);
        (void)fprintf(out, "%s\"%s\": ", i == 0 ? "{" : ", ", fields[i].name);
        if (fields[i].kind == FIELD_TEXT) {
            ext_stats_json_text(*(const char *const *)at, out);
        }
        else if (fields[i].kind == FIELD_SECONDS) {
            /* Not by %f, whose point depends on the program's locale. */
            long long micro = (long long)(*(const double *)at * 1e6);
            (void)fprintf(out, "%lld.%06lld", micro / 1000000,
                          micro % 1000000);
        }
        else {
            int64_t number = *(const int64_t *)at;
            if (fields[i].kind == FIELD_COUNT && number < 0) {
                (void)fputs("null", out);
            }
            else {
                (void)fprintf(out, "%lld", (long long)number);
            }
        }
    }
    (void)fputc('}', out);
}
