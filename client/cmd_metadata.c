/* shimctl metadata: the store's file, looked at beside the worker that has it open. */
#include "client/commands.h"
#include "client/output.h"
#include "common/util.h"
#include "workers/metadata/upkeep.h"

#define PADDING 3

/* Where the cluster says it is, --root-dir, or the default. The caller frees. */
static char *find_directory(session_t *session, status_t *st)
{
    cluster_t cluster = *session_cluster(session);
    const char *root = options_text(session_options(session), "root-dir");
    msg_cluster_t answer = {.root_dir = NULL};
    status_t ignored;
    if (!root && session_link(session, &ignored) &&
        !session_call(session, MSG_cluster_status, &(msg_cluster_status_t){0}, &answer, &ignored))
        root = answer.root_dir;
    if (root && cluster_set_root_dir(&cluster, root, st))
        return NULL;
    return util_format("%s/metadata", cluster.root_dir);
}

static void print_report(session_t *session, const upkeep_report_t *report)
{
    if (session_json(session)) {
        json_t *tables = json_object();
        for (size_t i = 0; i < report->count; i++)
            json_object_set_new(tables, report->tables[i].name,
                                json_pack("{s:I, s:I}", "records",
                                          (json_int_t)report->tables[i].records, "damaged",
                                          (json_int_t)report->tables[i].damaged));
        output_json(json_pack("{s:o, s:I, s:s}", "tables", tables, "flaws",
                              (json_int_t)report->flaws, "flaw", report->flaw));
        return;
    }
    AUTO(table)
    table = table_new(PADDING);
    table_add(table, "TABLE\tRECORDS\tDAMAGED");
    for (size_t i = 0; i < report->count; i++)
        table_add(table, "%s\t%llu\t%llu", report->tables[i].name,
                  (unsigned long long)report->tables[i].records,
                  (unsigned long long)report->tables[i].damaged);
    table_print(table, stdout);
}

int cmd_metadata_check(session_t *session)
{
    status_t st = {.code = STATUS_OK};
    upkeep_report_t report;
    AUTO_FREE char *directory = find_directory(session, &st);
    if (!directory)
        return session_fail(&st);
    upkeep_check(directory, &report, &st);
    if (report.count)
        print_report(session, &report);
    return st.code ? session_fail(&st) : 0;
}

int cmd_metadata_backup(session_t *session)
{
    status_t st = {.code = STATUS_OK};
    upkeep_report_t report;
    const char *path = session_operand(session, 0);
    AUTO_FREE char *directory = find_directory(session, &st);
    if (!directory || upkeep_backup(directory, path, &report, &st))
        return session_fail(&st);
    if (session_json(session))
        output_json(json_pack("{s:s, s:I, s:I}", "file", path, "records",
                              (json_int_t)report.records, "damaged", (json_int_t)report.damaged));
    else
        printf("%llu records\n", (unsigned long long)report.records);
    if (!report.damaged && !report.flaws)
        return 0;
    if (report.flaws)
        status_set(&st, STATUS_DATA_LOSS, "%s: what of the store could not be read is not in it",
                   report.flaw);
    else
        status_set(&st, STATUS_DATA_LOSS, "%llu records are damaged and not in it",
                   (unsigned long long)report.damaged);
    return session_fail(&st);
}

int cmd_metadata_restore(session_t *session)
{
    status_t st = {.code = STATUS_OK};
    AUTO_FREE char *directory = find_directory(session, &st);
    if (!directory || upkeep_restore(directory, session_operand(session, 0), &st))
        return session_fail(&st);
    return 0;
}
