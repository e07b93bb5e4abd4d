/* Looking at what containers use. */
#include "client/stats.h"

#include "common/util.h"

#define ROWS_MAX 10000

/* Rows ------------------------------------------------------------------------------------------
 */

void stats_add_row(stats_view_t *self, const char *id)
{
    self->rows = realloc(self->rows, (self->count + 1) * sizeof *self->rows);
    if (!self->rows)
        abort();
    self->rows[self->count++] = (stats_row_t){.view = self, .id = util_strdup(id)};
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
                stats_add_row(self, answer.tasks.items[i].id);
    msgpack_zone_free(zone);
    return st->code;
}

void stats_clear(stats_view_t *self)
{
    while (self->count)
        drop_row(self, self->count - 1);
    free(self->rows);
    self->rows = NULL;
}

/* Looking ---------------------------------------------------------------------------------------
 */

static void on_metrics(void *arg, const status_t *st, const void *answer)
{
    stats_row_t *row = arg;
    stats_view_t *self = row->view;
    row->why = *st;
    row->known = !st->code;
    if (row->known) {
        metrics_t metrics;
        metrics_read(answer, &metrics);
        row->time = metrics.time;
        row->usage = metrics_usage(&metrics);
        metrics_clear(&metrics);
    }
    self->is_asked = --self->asked == 0;
}

static void ask(stats_view_t *self, link_t *link, stats_row_t *row)
{
    int64_t timeout = session_timeout_ms(self->session);
    const msg_task_stats_t ask = {.id = row->id};
    row->had = row->known;
    row->before_time = row->time;
    row->before_cpu_ns = row->usage.cpu_ns;
    link_ask(link, MSG_task_stats, &ask, session_ns(self->session),
             timeout > 0 && timeout < STATS_LOOK_MS ? timeout : STATS_LOOK_MS, NULL, on_metrics,
             row);
}

static status_code_t ask_all(stats_view_t *self, status_t *st)
{
    link_t *link = session_link(self->session, st);
    if (!link)
        return st->code;
    self->asked = self->count;
    self->is_asked = self->count == 0;
    for (size_t i = 0; i < self->count; i++)
        ask(self, link, &self->rows[i]);
    if (!link_serve_until(link, &self->is_asked))
        return status_set(st, STATUS_CANCELLED, "stats: interrupted");
    return STATUS_OK;
}

static bool has_ended(const stats_row_t *row)
{
    return row->why.code == STATUS_NOT_FOUND || row->why.code == STATUS_FAILED_PRECONDITION;
}

status_code_t stats_look(stats_view_t *self, status_t *st)
{
    if ((self->all && find_running(self, st)) || ask_all(self, st))
        return st->code;
    for (size_t i = 0; i < self->count;) {
        stats_row_t *row = &self->rows[i];
        if (has_ended(row) && self->all) {
            drop_row(self, i);
            continue;
        }
        if (row->why.code)
            session_explain(&row->why, "stats of", row->id);
        if (row->why.code == STATUS_NOT_FOUND) {
            *st = row->why;
            return st->code;
        }
        i++;
    }
    return STATUS_OK;
}

double stats_cpu_percent(const stats_row_t *row)
{
    if (!row->known || !row->had || row->time <= row->before_time)
        return -1;
    uint64_t used =
        row->usage.cpu_ns > row->before_cpu_ns ? row->usage.cpu_ns - row->before_cpu_ns : 0;
    return 100.0 * (double)used / (double)(row->time - row->before_time);
}
