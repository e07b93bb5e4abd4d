/* shimctl stats: what containers use, live. */
#include "client/commands.h"
#include "client/metrics.h"
#include "client/output.h"
#include "common/util.h"

#include <unistd.h>

#define PADDING   3
#define PERIOD_MS 1000 /* between two looks */
#define CPU_TEXT  16
#define ROWS_MAX  10000

/* One container in the last look, and in this one. */
typedef struct stats_row {
    char *id;
    bool known; /* `usage` is of this look */
    bool had;   /* and `before_*` of the one before it */
    int64_t time, before_time;
    metrics_usage_t usage;
    uint64_t before_cpu_ns;
} stats_row_t;

typedef struct stats_view {
    session_t *session;
    stats_row_t *rows;
    size_t count;
    bool all; /* no container was named: those that run */
} stats_view_t;

/* Rows ------------------------------------------------------------------------------------------
 */

static void add_row(stats_view_t *self, const char *id)
{
    self->rows = realloc(self->rows, (self->count + 1) * sizeof *self->rows);
    if (!self->rows)
        abort();
    self->rows[self->count++] = (stats_row_t){.id = util_strdup(id)};
}

static void drop_row(stats_view_t *self, size_t at)
{
    free(self->rows[at].id);
    self->count--;
    memmove(&self->rows[at], &self->rows[at + 1], (self->count - at) * sizeof *self->rows);
}

static bool runs(const msg_process_t *task)
{
    return !strcmp(task->status, "RUNNING") || !strcmp(task->status, "PAUSED");
}

static bool has_row(const stats_view_t *self, const char *id)
{
    for (size_t i = 0; i < self->count; i++)
        if (!strcmp(self->rows[i].id, id))
            return true;
    return false;
}

/* Rows for the containers that run now. */
static status_code_t find_running(stats_view_t *self, status_t *st)
{
    msg_processes_t answer;
    link_t *link = session_link(self->session, st);
    if (!link)
        return st->code;
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    if (!zone)
        abort();
    if (!link_call(link, MSG_task_list, &(msg_task_list_t){0}, session_ns(self->session),
                   session_timeout_ms(self->session), zone, &answer, st))
        for (size_t i = 0; i < answer.tasks.count && self->count < ROWS_MAX; i++)
            if (runs(&answer.tasks.items[i]) && !has_row(self, answer.tasks.items[i].id))
                add_row(self, answer.tasks.items[i].id);
    msgpack_zone_free(zone);
    return st->code;
}

/* Looking ---------------------------------------------------------------------------------------
 */

static status_code_t look_at(stats_view_t *self, stats_row_t *row, status_t *st)
{
    metrics_t metrics;
    row->had = row->known;
    row->before_time = row->time;
    row->before_cpu_ns = row->usage.cpu_ns;
    row->known = !metrics_ask(self->session, row->id, &metrics, st);
    if (row->known) {
        row->time = metrics.time;
        row->usage = metrics_usage(&metrics);
    }
    metrics_clear(&metrics);
    return st->code;
}

/* A container that was named and has ended stays, without numbers; one that was never there, and a
 * cluster that is not, end the command. */
static status_code_t look(stats_view_t *self, status_t *st)
{
    if (self->all && find_running(self, st))
        return st->code;
    for (size_t i = 0; i < self->count;) {
        status_t one = {.code = STATUS_OK};
        look_at(self, &self->rows[i], &one);
        bool gone = one.code == STATUS_NOT_FOUND || one.code == STATUS_FAILED_PRECONDITION;
        if (one.code && (!gone || (one.code == STATUS_NOT_FOUND && !self->all))) {
            *st = one;
            return session_explain(st, "stats of", self->rows[i].id);
        }
        if (one.code && self->all)
            drop_row(self, i);
        else
            i++;
    }
    return STATUS_OK;
}

/* Printing --------------------------------------------------------------------------------------
 */

/* Of one processor; -1 where there was no earlier look. */
static double cpu_percent(const stats_row_t *row)
{
    if (!row->known || !row->had || row->time <= row->before_time)
        return -1;
    uint64_t used =
        row->usage.cpu_ns > row->before_cpu_ns ? row->usage.cpu_ns - row->before_cpu_ns : 0;
    return 100.0 * (double)used / (double)(row->time - row->before_time);
}

static double memory_percent(const stats_row_t *row)
{
    return row->usage.memory_limit
               ? 100.0 * (double)row->usage.memory / (double)row->usage.memory_limit
               : 0;
}

static void print_row(table_t *table, const stats_row_t *row)
{
    char used[OUTPUT_SIZE_SIZE], limit[OUTPUT_SIZE_SIZE], cpu[CPU_TEXT] = "--";
    if (!row->known) {
        table_add(table, "%s\t--\t-- / --\t--\t--\t", row->id);
        return;
    }
    output_size(row->usage.memory, used);
    output_size(row->usage.memory_limit, limit);
    if (cpu_percent(row) >= 0)
        snprintf(cpu, sizeof cpu, "%.2f%%", cpu_percent(row));
    table_add(table, "%s\t%s\t%s / %s\t%.2f%%\t%" PRIu64 "\t", row->id, cpu, used, limit,
              memory_percent(row), row->usage.pids);
}

static void print_json(const stats_row_t *row)
{
    if (!row->known) {
        output_json(json_pack("{s:s}", "id", row->id));
        return;
    }
    json_t *object = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I}", "id", row->id, "time", (json_int_t)row->time, "cpu_ns",
        (json_int_t)row->usage.cpu_ns, "memory", (json_int_t)row->usage.memory, "memory_limit",
        (json_int_t)row->usage.memory_limit, "pids", (json_int_t)row->usage.pids);
    if (cpu_percent(row) >= 0)
        json_object_set_new(object, "cpu_percent", json_real(cpu_percent(row)));
    output_json(object);
}

static void print_view(const stats_view_t *self, bool is_live)
{
    AUTO(table)
    table = table_new(PADDING);
    table_add(table, "CONTAINER ID\tCPU %%\tMEM USAGE / LIMIT\tMEM %%\tPIDS\t");
    for (size_t i = 0; i < self->count; i++) {
        if (session_json(self->session))
            print_json(&self->rows[i]);
        else
            print_row(table, &self->rows[i]);
    }
    /* The old look is written over, not scrolled away. */
    if (is_live && isatty(STDOUT_FILENO) && !session_json(self->session))
        fputs("\033[H\033[J", stdout);
    if (!session_json(self->session))
        table_print(table, stdout);
    fflush(stdout);
}

/* A share of processor time needs two looks. */
static status_code_t run_once(stats_view_t *self, status_t *st)
{
    if (look(self, st))
        return st->code;
    zclock_sleep(PERIOD_MS);
    if (!look(self, st))
        print_view(self, false);
    return st->code;
}

static status_code_t run_live(stats_view_t *self, status_t *st)
{
    while (!look(self, st)) {
        print_view(self, true);
        if (ferror(stdout)) /* whoever read them is gone */
            return STATUS_OK;
        zclock_sleep(PERIOD_MS);
    }
    return st->code;
}

int cmd_stats(session_t *session)
{
    status_t st = {.code = STATUS_OK};
    const char *id;
    stats_view_t view = {.session = session, .all = !session_operand(session, 0)};
    for (size_t i = 0; (id = session_operand(session, i)); i++)
        add_row(&view, id);
    if (options_flag(session_options(session), "no-stream"))
        run_once(&view, &st);
    else
        run_live(&view, &st);
    while (view.count)
        drop_row(&view, view.count - 1);
    free(view.rows);
    return st.code ? session_fail(&st) : 0;
}
