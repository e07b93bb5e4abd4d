/* The functions behind the rows of the command table; each as command_run_t says. */
#ifndef SHIMD_COMMANDS_H
#define SHIMD_COMMANDS_H

#include "client/session.h"

int cmd_run(session_t *session);
int cmd_stop(session_t *session);
int cmd_restart(session_t *session);
int cmd_stats(session_t *session);
int cmd_inspect(session_t *session);
int cmd_explain(session_t *session);

int cmd_containers_create(session_t *session);
int cmd_containers_delete(session_t *session);
int cmd_containers_info(session_t *session);
int cmd_containers_label(session_t *session);
int cmd_containers_list(session_t *session);

int cmd_update(session_t *session);

int cmd_tasks_attach(session_t *session);
int cmd_tasks_delete(session_t *session);
int cmd_tasks_exec(session_t *session);
int cmd_tasks_exits(session_t *session);
int cmd_tasks_kill(session_t *session);
int cmd_tasks_list(session_t *session);
int cmd_tasks_pause(session_t *session);
int cmd_tasks_ps(session_t *session);
int cmd_tasks_resume(session_t *session);
int cmd_tasks_start(session_t *session);
int cmd_tasks_wait(session_t *session);
int cmd_tasks_checkpoint(session_t *session);
int cmd_tasks_metrics(session_t *session);
int cmd_tasks_update(session_t *session);

int cmd_shim_delete(session_t *session);
int cmd_shim_shutdown(session_t *session);
int cmd_shim_state(session_t *session);

int cmd_namespaces_create(session_t *session);
int cmd_namespaces_label(session_t *session);
int cmd_namespaces_list(session_t *session);
int cmd_namespaces_remove(session_t *session);

int cmd_logs(session_t *session);
int cmd_doctor(session_t *session);
int cmd_events(session_t *session);

int cmd_subscribers_ack(session_t *session);
int cmd_subscribers_create(session_t *session);
int cmd_subscribers_delete(session_t *session);
int cmd_subscribers_list(session_t *session);

int cmd_cluster_restart(session_t *session);
int cmd_cluster_status(session_t *session);
int cmd_metadata_backup(session_t *session);
int cmd_metadata_check(session_t *session);
int cmd_metadata_restore(session_t *session);
int cmd_metadata_status(session_t *session);
int cmd_messages(session_t *session);
int cmd_version(session_t *session);
int cmd_help(session_t *session);
int cmd_complete(session_t *session);

#endif
