/* Reading what a task uses. */
#include "client/metrics.h"

#include "client/message_json.h"

#include <string.h>
#include <unistd.h>

#define KEY_MAX 64 /* bytes of one name in a path, with its NUL */

static metrics_kind_t kind_of(const char *type)
{
    const char *slash = strrchr(type, '/');
    const char *name = slash ? slash + 1 : type;
    if (!strcmp(name, "io.containerd.cgroups.v1.Metrics"))
        return METRICS_V1;
    return strcmp(name, "io.containerd.cgroups.v2.Metrics") ? METRICS_OTHER : METRICS_V2;
}

void metrics_read(const msg_task_metrics_t *answer, metrics_t *ret)
{
    *ret = (metrics_t){.kind = kind_of(answer->type), .time = answer->time};
    if (answer->stats.size)
        ret->stats = message_json_value(answer->stats.data, answer->stats.size);
}

status_code_t metrics_ask(session_t *session, const char *id, metrics_t *ret, status_t *st)
{
    msg_task_metrics_t answer;
    const msg_task_stats_t ask = {.id = id};
    *ret = (metrics_t){.kind = METRICS_OTHER};
    if (!session_call(session, MSG_task_stats, &ask, &answer, st))
        metrics_read(&answer, ret);
    return st->code;
}

void metrics_clear(metrics_t *self)
{
    json_decref(self->stats);
    self->stats = NULL;
}

uint64_t metrics_number(const metrics_t *self, const char *path)
{
    const json_t *at = self->stats;
    while (at && path) {
        char key[KEY_MAX];
        const char *dot = strchr(path, '.');
        size_t size = dot ? (size_t)(dot - path) : strlen(path);
        snprintf(key, sizeof key, "%.*s", (int)size, path);
        at = json_object_get(at, key);
        path = dot ? dot + 1 : NULL;
    }
    /* Numbers that JSON's own cannot hold, such as a limit that is none, are text. */
    if (json_is_string(at))
        return strtoull(json_string_value(at), NULL, 10);
    return json_is_integer(at) && json_integer_value(at) > 0 ? (uint64_t)json_integer_value(at) : 0;
}

static uint64_t machine_memory(void)
{
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t less(uint64_t all, uint64_t part)
{
    return all > part ? all - part : 0;
}

metrics_usage_t metrics_usage(const metrics_t *self)
{
    metrics_usage_t usage = {.pids = metrics_number(self, "pids.current")};
    if (self->kind == METRICS_V1) {
        usage.cpu_ns = metrics_number(self, "cpu.usage.total");
        usage.memory = less(metrics_number(self, "memory.usage.usage"),
                            metrics_number(self, "memory.total_inactive_file"));
        usage.memory_limit = metrics_number(self, "memory.usage.limit");
    } else if (self->kind == METRICS_V2) {
        usage.cpu_ns = 1000 * metrics_number(self, "cpu.usage_usec");
        usage.memory = less(metrics_number(self, "memory.usage"),
                            metrics_number(self, "memory.inactive_file"));
        usage.memory_limit = metrics_number(self, "memory.usage_limit");
    }
    uint64_t most = machine_memory();
    if (usage.memory_limit == 0 || usage.memory_limit > most)
        usage.memory_limit = most;
    return usage;
}
