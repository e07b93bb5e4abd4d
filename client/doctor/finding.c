/* Findings. */
#include "client/doctor/finding.h"

#include <stdarg.h>

#define SOON  400  /* ms: seen twice, half a second apart */
#define LATER 2900 /* where the cluster's own work takes longer and is not announced */

static const finding_type_t types[FINDING_KINDS] = {
    [FINDING_DAMAGED_STORE] = {"damaged-store",
                               "let a new metadata worker look at all of it and mend it", true,
                               LATER, false},
    [FINDING_RECORD_MISMATCH] = {"record-mismatch",
                                 "write the bundle's files anew from what the "
                                 "shim worker knows",
                                 true, SOON, true},
    [FINDING_TASK_WITHOUT_BUNDLE] = {"task-without-bundle",
                                     "make the bundle anew from the container's record", true, SOON,
                                     true},
    [FINDING_MISSING_WORK] = {"missing-work-directory", "make it", true, SOON, false},
    [FINDING_TASK_WITHOUT_RECORD] = {"task-without-record",
                                     "record the container from the bundle's config.json", true,
                                     SOON, false},
    [FINDING_TASK_WITHOUT_RUN] = {"task-without-run", "delete the task when it can be spared",
                                  false, SOON, false},
    [FINDING_STOPPED_SHIM] = {"stopped-shim", "send SIGCONT to it", true, SOON, false},
    [FINDING_MUTE_SHIM] = {"mute-shim", "wait, or delete the task by force", false, SOON, false},
    [FINDING_TASK_WITHOUT_PROCESS] = {"task-without-process", "ask the shim for its state", true,
                                      SOON, false},
    [FINDING_MISSING_RUNC] = {"missing-runc-state", "delete the task by force", false, SOON, false},
    [FINDING_MISSING_SOCKET] = {"missing-socket",
                                "delete the task when it can be spared; until then the shim worker "
                                "must not be restarted",
                                false, SOON, true},
    [FINDING_LOST_LOCK] = {"lost-lock", "restart shimd, and nothing else there meanwhile", false,
                           SOON, false},
    [FINDING_PROCESS_DOWN] = {"process-down", "start it again", true, LATER, false},
    [FINDING_FULL_DISK] = {"full-disk", "make room there", false, SOON, false},
    [FINDING_FULL_STORE] = {"full-store", "remove what is not needed, or keep less of the journal",
                            false, SOON, false},
    [FINDING_STUCK_TASK] = {"stuck-task", "see to what it waits for; it goes on by itself then",
                            false, LATER, false},
    [FINDING_LEAKED_SHIM] = {"leaked-shim", "remove its container and kill it", true, SOON, false},
    [FINDING_STRAY_RUNC] = {"stray-runc-state", "runc delete --force", true, SOON, false},
    [FINDING_STRAY_PROCESS] = {"stray-process", "kill what is in the cgroup", true, LATER, false},
    [FINDING_STRAY_MOUNT] = {"stray-mount", "unmount it", true, SOON, false},
    [FINDING_STRAY_CGROUP] = {"stray-cgroup", "remove it", true, LATER, false},
    [FINDING_STRAY_FIFO] = {"stray-fifo", "remove it", true, LATER, false},
    [FINDING_DEAD_SOCKET] = {"dead-socket", "remove it", true, SOON, false},
    [FINDING_DEBT] = {"debt", "try again to remove it", true, SOON, false},
    [FINDING_HALF_REMOVED] = {"half-removed", "unmount and remove it", true, LATER, false},
    [FINDING_STRAY_WORK] = {"stray-work-directory", "unmount and remove it", true, LATER, false},
    [FINDING_STRAY_FILE] = {"stray-file", "unmount and remove it", true, LATER, false},
    [FINDING_QUARANTINED] = {"quarantined", "unmount and remove it", true, SOON, false},
    [FINDING_SALVAGED_STORE] = {"salvaged-store", "remove it", true, SOON, false},
    [FINDING_STALE_BUNDLE] = {"stale-bundle",
                              "let a new shim worker adopt it, end it or set it aside", true, SOON,
                              false},
    [FINDING_RUN_WITHOUT_TASK] = {"run-without-task", "let a new shim worker end it", true, SOON,
                                  false},
};

const finding_type_t *finding_type(finding_kind_t kind)
{
    return &types[kind];
}

struct findings {
    zlistx_t *rows;
    zhashx_t *by_name; /* not owned */
};

static void finding_free(void **item)
{
    finding_t *finding = *item;
    free(finding->object);
    free(finding->text);
    free(finding->result);
    free(finding);
    *item = NULL;
}

static int compare(const void *a, const void *b)
{
    const finding_t *left = a, *right = b;
    return (int)left->kind - (int)right->kind;
}

findings_t *findings_new(void)
{
    findings_t *self = zmalloc(sizeof *self);
    self->rows = zlistx_new();
    self->by_name = zhashx_new();
    zlistx_set_destructor(self->rows, finding_free);
    zlistx_set_comparator(self->rows, compare);
    return self;
}

void findings_destroy(findings_t **self_p)
{
    findings_t *self = *self_p;
    if (!self)
        return;
    zhashx_destroy(&self->by_name);
    zlistx_destroy(&self->rows);
    free(self);
    *self_p = NULL;
}

static char *name_of(finding_kind_t kind, const char *object, uint64_t mark)
{
    return util_format("%d %s %llu", (int)kind, object, (unsigned long long)mark);
}

finding_t *findings_add(findings_t *self, finding_kind_t kind, const char *ns, const char *id,
                        const char *object, uint64_t mark, const char *format, ...)
{
    AUTO_FREE char *name = name_of(kind, object, mark);
    finding_t *finding = zhashx_lookup(self->by_name, name);
    if (finding)
        return finding;
    finding = zmalloc(sizeof *finding);
    *finding = (finding_t){
        .kind = kind, .object = util_strdup(object), .mark = mark, .since_us = util_monotonic_us()};
    snprintf(finding->ns, sizeof finding->ns, "%s", ns);
    snprintf(finding->id, sizeof finding->id, "%s", id);
    va_list args;
    va_start(args, format);
    if (vasprintf(&finding->text, format, args) < 0)
        abort();
    va_end(args);
    zhashx_insert(self->by_name, name, finding);
    zlistx_insert(self->rows, finding, false);
    return finding;
}

finding_t *findings_first(findings_t *self)
{
    return zlistx_first(self->rows);
}

finding_t *findings_next(findings_t *self)
{
    return zlistx_next(self->rows);
}

bool findings_have(const findings_t *self, const finding_t *finding)
{
    AUTO_FREE char *name = name_of(finding->kind, finding->object, finding->mark);
    return zhashx_lookup(self->by_name, name) != NULL;
}

size_t findings_count(const findings_t *self)
{
    return zlistx_size(self->rows);
}

void findings_follow(findings_t *self, findings_t *earlier)
{
    for (finding_t *row = findings_first(self); row; row = findings_next(self)) {
        AUTO_FREE char *name = name_of(row->kind, row->object, row->mark);
        const finding_t *known = zhashx_lookup(earlier->by_name, name);
        if (known)
            row->since_us = known->since_us;
    }
}

static bool is_young(const finding_t *finding, int64_t now_us)
{
    return now_us - finding->since_us < (int64_t)types[finding->kind].patience_ms * 1000;
}

size_t findings_young(findings_t *self, int64_t now_us)
{
    size_t count = 0;
    for (finding_t *row = findings_first(self); row; row = findings_next(self))
        count += is_young(row, now_us);
    return count;
}

void findings_drop_young(findings_t *self, int64_t now_us)
{
    zlistx_t *young = zlistx_new();
    for (finding_t *row = findings_first(self); row; row = findings_next(self))
        if (is_young(row, now_us))
            zlistx_add_end(young, zlistx_cursor(self->rows));
    for (void *position = zlistx_first(young); position; position = zlistx_next(young)) {
        finding_t *row = zlistx_handle_item(position);
        AUTO_FREE char *name = name_of(row->kind, row->object, row->mark);
        zhashx_delete(self->by_name, name);
        zlistx_delete(self->rows, position);
    }
    zlistx_destroy(&young);
}

void finding_set(finding_t *self, finding_state_t state, const char *format, ...)
{
    va_list args;
    free(self->result);
    va_start(args, format);
    if (vasprintf(&self->result, format, args) < 0)
        abort();
    va_end(args);
    self->state = state;
}
