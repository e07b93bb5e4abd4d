/* shimctl stats: what containers use, live. */
#include "client/commands.h"
#include "client/output.h"
#include "client/stats.h"
#include "common/util.h"

#include <unistd.h>

#define PADDING   3
#define PERIOD_MS 1000 /* between two looks */
#define CPU_TEXT  16

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
    if (stats_cpu_percent(row) >= 0)
        snprintf(cpu, sizeof cpu, "%.2f%%", stats_cpu_percent(row));
    table_add(table, "%s\t%s\t%s / %s\t%.2f%%\t%" PRIu64 "\t", row->id, cpu, used, limit,
              memory_percent(row), row->usage.pids);
}

static void print_json(const stats_row_t *row)
{
    if (!row->known) {
        output_json(json_pack("{s:s, s:s}", "id", row->id, "error", row->why.text));
        return;
    }
    json_t *object = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I}", "id", row->id, "time", (json_int_t)row->time, "cpu_ns",
        (json_int_t)row->usage.cpu_ns, "memory", (json_int_t)row->usage.memory, "memory_limit",
        (json_int_t)row->usage.memory_limit, "pids", (json_int_t)row->usage.pids);
    if (stats_cpu_percent(row) >= 0)
        json_object_set_new(object, "cpu_percent", json_real(stats_cpu_percent(row)));
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

/* Why one that runs has no numbers; more than one such reason is printed. */
static status_code_t complain(const stats_view_t *self, status_t *st)
{
    for (size_t i = 0; i < self->count; i++) {
        const status_t *why = &self->rows[i].why;
        if (!why->code || why->code == STATUS_FAILED_PRECONDITION)
            continue;
        if (st->code)
            session_fail(why);
        else
            *st = *why;
    }
    return st->code;
}

/* A share of processor time needs two looks. */
static status_code_t run_once(stats_view_t *self, status_t *st)
{
    if (stats_look(self, st))
        return st->code;
    zclock_sleep(PERIOD_MS);
    if (stats_look(self, st))
        return st->code;
    print_view(self, false);
    return complain(self, st);
}

static status_code_t run_live(stats_view_t *self, status_t *st)
{
    while (!stats_look(self, st)) {
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
        stats_add_row(&view, id);
    if (options_flag(session_options(session), "no-stream"))
        run_once(&view, &st);
    else
        run_live(&view, &st);
    stats_clear(&view);
    return st.code ? session_fail(&st) : 0;
}
