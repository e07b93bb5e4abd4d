/* shimctl tasks metrics: one look at what a task uses. */
#include "client/commands.h"
#include "client/metrics.h"
#include "client/output.h"
#include "common/util.h"

#define PADDING 4

typedef struct metric_row {
    const char *name; /* as ctr prints it */
    const char *path; /* of the field */
} metric_row_t;

static const metric_row_t rows_v1[] = {
    {"memory.usage_in_bytes", "memory.usage.usage"},
    {"memory.limit_in_bytes", "memory.usage.limit"},
    {"memory.stat.cache", "memory.total_cache"},
    {"cpuacct.usage", "cpu.usage.total"},
    {"cpuacct.usage_percpu", "cpu.usage.per_cpu"},
    {"pids.current", "pids.current"},
    {"pids.limit", "pids.limit"},
    {NULL, NULL},
};

static const metric_row_t rows_v2[] = {
    {"pids.current", "pids.current"},
    {"pids.limit", "pids.limit"},
    {"cpu.usage_usec", "cpu.usage_usec"},
    {"cpu.user_usec", "cpu.user_usec"},
    {"cpu.system_usec", "cpu.system_usec"},
    {"cpu.nr_periods", "cpu.nr_periods"},
    {"cpu.nr_throttled", "cpu.nr_throttled"},
    {"cpu.throttled_usec", "cpu.throttled_usec"},
    {"memory.usage", "memory.usage"},
    {"memory.usage_limit", "memory.usage_limit"},
    {"memory.swap_usage", "memory.swap_usage"},
    {"memory.swap_limit", "memory.swap_limit"},
    {NULL, NULL},
};

static void add_number(table_t *table, const metrics_t *metrics, const metric_row_t *row)
{
    /* The part of the machine that is not there has no row, as in ctr. */
    AUTO_FREE char *part = strndup(row->path, strcspn(row->path, "."));
    if (part && json_object_get(metrics->stats, part))
        table_add(table, "%s\t%" PRIu64 "\t", row->name, metrics_number(metrics, row->path));
}

/* Go's way to print a list: [1 2 3]. */
static void add_per_cpu(table_t *table, const metrics_t *metrics, const metric_row_t *row)
{
    const json_t *cpu = json_object_get(metrics->stats, "cpu");
    const json_t *list = json_object_get(json_object_get(cpu, "usage"), "per_cpu");
    AUTO_FREE char *text = util_strdup("[");
    for (size_t i = 0; i < json_array_size(list); i++) {
        char *longer = util_format("%s%s%" JSON_INTEGER_FORMAT, text, i ? " " : "",
                                   json_integer_value(json_array_get(list, i)));
        free(text);
        text = longer;
    }
    if (cpu)
        table_add(table, "%s\t%s]\t", row->name, text);
}

static void print_table(const char *id, const metrics_t *metrics)
{
    char time[OUTPUT_TIME_SIZE];
    AUTO(table)
    table = table_new(PADDING);
    output_go_time(metrics->time, time);
    table_add(table, "ID\tTIMESTAMP\t");
    table_add(table, "%s\t%s\t", id, time);
    table_add(table, "%s", "");
    table_add(table, "METRIC\tVALUE\t");
    const metric_row_t *rows = metrics->kind == METRICS_V1 ? rows_v1 : rows_v2;
    for (; rows->name; rows++) {
        if (!strcmp(rows->path, "cpu.usage.per_cpu"))
            add_per_cpu(table, metrics, rows);
        else
            add_number(table, metrics, rows);
    }
    table_print(table, stdout);
}

/* Those of a shim that measures something else have no table. */
static bool wants_json(session_t *session, const metrics_t *metrics)
{
    const char *format = options_text(session_options(session), "format");
    return session_json(session) || metrics->kind == METRICS_OTHER ||
           (format && !strcmp(format, "json"));
}

int cmd_tasks_metrics(session_t *session)
{
    status_t st = {.code = STATUS_OK};
    metrics_t metrics;
    const char *id = session_operand(session, 0);
    const char *format = options_text(session_options(session), "format");
    if (format && strcmp(format, "table") && strcmp(format, "json"))
        return session_usage(session, "--format %s: not table or json", format);
    if (metrics_ask(session, id, &metrics, &st)) {
        session_explain(&st, "metrics of", id);
        return session_fail(&st);
    }
    if (!wants_json(session, &metrics))
        print_table(id, &metrics);
    else
        output_json(json_pack("{s:s, s:I, s:O?}", "id", id, "time", (json_int_t)metrics.time,
                              "stats", metrics.stats));
    metrics_clear(&metrics);
    return 0;
}
