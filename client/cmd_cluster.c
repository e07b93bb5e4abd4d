/* shimctl cluster and shimctl version. */
#include "client/commands.h"
#include "client/message_json.h"
#include "client/output.h"
#include "common/util.h"

#define PADDING 4

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

int cmd_cluster_status(session_t *session)
{
    status_t st;
    msg_cluster_t answer;
    if (session_call(session, MSG_cluster_status, &(msg_cluster_status_t){0}, &answer, &st))
        return session_fail(&st);
    if (session_json(session))
        output_json(message_json(MSG_cluster, &answer));
    else
        print_processes(&answer);
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
