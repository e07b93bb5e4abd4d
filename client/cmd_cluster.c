/* shimctl cluster and shimctl version. */
#include "client/commands.h"
#include "client/message_json.h"
#include "client/output.h"
#include "common/util.h"

#define PADDING         4
#define DEBT_TIMEOUT_MS 2000 /* the rest is told even when the bundle worker is not well */

static void print_processes(const msg_cluster_t *cluster)
{
    AUTO(table)
    table = table_new(PADDING);
    table_add(table, "PROCESS\tSTATE\tPID\tUPTIME\tRESTARTS\tQUEUED\tIN FLIGHT\tLAST END");
    for (size_t i = 0; i < cluster->processes.count; i++) {
        const msg_cluster_process_t *process = &cluster->processes.items[i];
        char uptime[OUTPUT_TIME_SIZE];
        output_duration(process->uptime_ms, uptime);
        table_add(table, "%s\t%s\t%u\t%s\t%u\t%u\t%u\t%s", process->name, process->state,
                  process->pid, uptime, process->restarts, process->queued, process->in_flight,
                  process->obituary ? process->obituary : "-");
    }
    table_print(table, stdout);
}

/* Deleted bundles that could not be removed yet; false when nobody can tell now. */
static bool ask_debts(session_t *session, msg_bundles_t *ret)
{
    status_t st;
    link_t *link = session_link(session, &st);
    msg_bundle_list_t ask = {.debts_only = true};
    return link && link_call(link, MSG_bundle_list, &ask, NULL, DEBT_TIMEOUT_MS,
                             session_zone(session), ret, &st) == STATUS_OK;
}

static void print_debts(const msg_bundles_t *bundles)
{
    for (size_t i = 0; i < bundles->debts.count; i++) {
        const msg_bundle_t *bundle = &bundles->debts.items[i];
        AUTO_FREE char *line = util_format("not removed yet: bundle %s/%s: %s", bundle->ns,
                                           bundle->id, bundle->debt ? bundle->debt : "-");
        output_tame(line);
        puts(line);
    }
}

static void print_json(const msg_cluster_t *cluster, const msg_bundles_t *bundles)
{
    json_t *all = message_json(MSG_cluster, cluster);
    json_t *debts = bundles ? json_array() : NULL;
    for (size_t i = 0; bundles && i < bundles->debts.count; i++)
        json_array_append_new(debts, message_json(MSG_bundle, &bundles->debts.items[i]));
    if (debts)
        json_object_set_new(all, "debts", debts);
    output_json(all);
}

int cmd_cluster_status(session_t *session)
{
    status_t st;
    msg_cluster_t answer;
    msg_bundles_t bundles;
    if (session_call(session, MSG_cluster_status, &(msg_cluster_status_t){0}, &answer, &st))
        return session_fail(&st);
    bool knows_debts = ask_debts(session, &bundles);
    if (session_json(session)) {
        print_json(&answer, knows_debts ? &bundles : NULL);
        return 0;
    }
    print_processes(&answer);
    if (knows_debts)
        print_debts(&bundles);
    return 0;
}

int cmd_cluster_restart(session_t *session)
{
    status_t st;
    msg_cluster_restart_t ask = {.process = session_operand(session, 0)};
    if (session_call(session, MSG_cluster_restart, &ask, NULL, &st)) {
        session_explain(&st, "restart", ask.process);
        return session_fail(&st);
    }
    if (session_json(session))
        output_json(json_pack("{s:s}", "process", ask.process));
    return 0;
}

int cmd_version(session_t *session)
{
    status_t st;
    msg_cluster_t answer;
    bool json = session_json(session);
    if (!json) {
        printf("Client:\n  Version:  %s\n\n", SHIMD_VERSION);
        fflush(stdout);
    }
    if (session_call(session, MSG_cluster_status, &(msg_cluster_status_t){0}, &answer, &st))
        return session_fail(&st);
    if (json)
        output_json(json_pack("{s:s, s:s*}", "client", SHIMD_VERSION, "server", answer.version));
    else
        printf("Server:\n  Version:  %s\n", answer.version ? answer.version : "-");
    return 0;
}
