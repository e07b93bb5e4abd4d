/* Mending what was found. The cluster's own workers are asked where they can do it; the rest is
 * done here, each time after another look at the very thing. */
#ifndef SHIMD_DOCTOR_REPAIR_H
#define SHIMD_DOCTOR_REPAIR_H

#include "client/doctor/finding.h"
#include "client/doctor/said.h"

typedef struct repair {
    asker_t *asker;
    const machine_t *machine; /* of the look that found it */
    const cluster_t *cluster;
    findings_t *findings;
    int64_t begun_ms; /* since the epoch: when the whole of the repair began */
} repair_t;

/* Does what can be done about each finding, in their order, and sets its result. Whether it helped
 * tells the next look. While the cluster is down its lock is held, so that none is started
 * meanwhile. Returns how many were tried. */
size_t repair_all(repair_t *self);

/* For the files that repair; each sets the finding's result. */
typedef void repair_action_t(repair_t *self, finding_t *finding);

repair_action_t repair_kill_shim, repair_continue_shim, repair_stray_processes; /* _processes.c */
repair_action_t repair_runc, repair_cgroup;                                     /* _runc.c */
repair_action_t repair_tree, repair_mount, repair_fifo, repair_socket, repair_quarantined,
    repair_work;                                     /* _files.c */
repair_action_t repair_bundle, repair_record;        /* _records.c */
repair_action_t repair_store, repair_salvaged_store; /* _store.c */

/* Has a process of the cluster started again. */
status_code_t repair_restart(repair_t *self, const char *process, status_t *st);

/* Whether the finding's object is still the thing that was found; it is left otherwise. */
bool repair_is_same(finding_t *finding);

/* Whether no task has this name now, nor is one being made; the finding is left otherwise. */
bool repair_is_unowned(repair_t *self, finding_t *finding);

/* The task of that name as the shim worker has it now, with texts in `zone`. */
bool repair_find_task(repair_t *self, const finding_t *finding, msgpack_zone *zone,
                      msg_process_t *ret);

/* Unmounts what is mounted on the very directory of the finding; false when that stays. */
bool repair_uncover(repair_t *self, finding_t *finding);

/* Removes a container with `runc delete --force`, and what it leaves of its directory. False with a
 * result set when it is still there. */
bool repair_delete_container(repair_t *self, finding_t *finding);

/* Kills the process behind a descriptor and waits for its end. */
#define REPAIR_END_MS 5000
bool repair_kill(int pidfd);

/* Waits until nothing has that name; false when that takes longer than REPAIR_GONE_MS. */
#define REPAIR_GONE_MS 3000
bool repair_await_gone(const char *path);

#endif
