/* One look: what is under way, and the comparisons in their order. */
#include "client/doctor/compare.h"

#include "client/doctor/causes.h"

#include <stdarg.h>

bool compare_is_busy(const compare_t *self, const char *ns, const char *id)
{
    char key[SEEN_KEY_SIZE];
    return zhashx_lookup(self->busy, seen_key(ns, id, key)) != NULL;
}

bool compare_is_owned(const compare_t *self, const char *ns, const char *id)
{
    if (compare_is_busy(self, ns, id))
        return true;
    if (self->asker->is_down)
        return machine_bundle(self->machine, ns, id) != NULL;
    return said_task(self->said, ns, id) != NULL;
}

/* A bundle knows the request of whatever has its name; others must know it themselves. */
finding_t *compare_add(compare_t *self, finding_kind_t kind, const seen_t *row, const char *format,
                       ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    finding_t *finding =
        findings_add(self->findings, kind, row->ns, row->id, row->path, row->mark, "%s", text);
    finding->pid = row->pid;
    finding->start = row->start;
    finding->has_request = row->has_request;
    finding->request = row->request;
    return finding;
}

/* What is under way ------------------------------------------------------------------------------
 */

static void set_busy(compare_t *self, const char *ns, const char *id)
{
    char key[SEEN_KEY_SIZE];
    zhashx_insert(self->busy, seen_key(ns, id, key), self);
}

static bool is_same_text(const char *a, const char *b)
{
    return !strcmp(a ? a : "", b ? b : "");
}

static bool is_same_task(const msg_process_t *a, const msg_process_t *b)
{
    return is_same_text(a->incarnation, b->incarnation) && is_same_text(a->status, b->status) &&
           a->pid == b->pid && a->shim_pid == b->shim_pid && a->orphaned == b->orphaned;
}

static void mark_tasks(compare_t *self, const said_t *said, const said_t *other)
{
    for (size_t i = 0; said->has[SAID_TASKS] && i < said->tasks.tasks.count; i++) {
        const msg_process_t *task = &said->tasks.tasks.items[i];
        const msg_process_t *again = said_task(other, task->ns, task->id);
        if (task->phase || !again || !is_same_task(task, again))
            set_busy(self, task->ns, task->id);
    }
}

static void mark_runs(compare_t *self, const said_t *said, const said_t *other)
{
    for (size_t i = 0; said->has[SAID_RUNS] && i < said->runs.incarnations.count; i++) {
        const msg_incarnation_t *run = &said->runs.incarnations.items[i];
        const msg_incarnation_t *again = said_run(other, run->ns, run->id);
        if (!again || !is_same_text(run->incarnation, again->incarnation))
            set_busy(self, run->ns, run->id);
    }
}

static void mark_busy(compare_t *self, const said_t *before)
{
    zlistx_t *verbs = self->machine->rows[SEEN_VERB];
    mark_tasks(self, before, self->said);
    mark_tasks(self, self->said, before);
    mark_runs(self, before, self->said);
    mark_runs(self, self->said, before);
    for (const seen_t *verb = zlistx_first(verbs); verb; verb = zlistx_next(verbs))
        set_busy(self, verb->ns, verb->id);
}

static void know_shim(compare_t *self, uint32_t pid)
{
    char key[16];
    snprintf(key, sizeof key, "%u", pid);
    if (pid)
        zhashx_insert(self->shims, key, self);
}

/* A bundle's shim is its owner's to judge, whatever the bundle's own state. */
static void know_shims(compare_t *self, const said_t *before)
{
    const said_t *both[] = {before, self->said};
    for (size_t k = 0; k < ARRAY_SIZE(both); k++)
        for (size_t i = 0; both[k]->has[SAID_TASKS] && i < both[k]->tasks.tasks.count; i++)
            know_shim(self, both[k]->tasks.tasks.items[i].shim_pid);
    zlistx_t *bundles = self->machine->rows[SEEN_BUNDLE];
    for (const seen_t *row = zlistx_first(bundles); row; row = zlistx_next(bundles))
        if (row->bundle->has_endpoint)
            know_shim(self, row->bundle->endpoint.shim_pid);
}

findings_t *compare_look(asker_t *asker, const said_t *before, const machine_t *machine,
                         const said_t *after)
{
    compare_t self = {.asker = asker,
                      .machine = machine,
                      .said = after,
                      .findings = findings_new(),
                      .busy = zhashx_new(),
                      .shims = zhashx_new()};
    self.knows_owners = asker->is_down || (before->has[SAID_TASKS] && after->has[SAID_TASKS]);
    mark_busy(&self, before);
    know_shims(&self, before);
    compare_cluster(&self);
    compare_tasks(&self);
    compare_machine(&self);
    compare_kernel(&self);
    compare_sockets(&self);
    causes_find(self.findings, machine);
    zhashx_destroy(&self.busy);
    zhashx_destroy(&self.shims);
    return self.findings;
}
