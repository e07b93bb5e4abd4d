/* Comparing what the cluster says with what is on the machine. */
#ifndef SHIMD_DOCTOR_COMPARE_H
#define SHIMD_DOCTOR_COMPARE_H

#include "client/doctor/finding.h"
#include "client/doctor/said.h"

/* One look: the cluster is asked, the machine is looked at, the cluster is asked again. What the
 * two answers tell differently of a task, and what the shim worker says it is at work on, is under
 * way, and nothing of it is a finding. */
typedef struct compare {
    asker_t *asker;
    const machine_t *machine;
    const said_t *said; /* the second time */
    findings_t *findings;
    zhashx_t *busy;    /* NS/ID of what is under way */
    zhashx_t *shims;   /* pids that tasks and bundles know, as text */
    bool knows_owners; /* every task is known: what belongs to none is stray */
} compare_t;

/* Findings of one look; the caller destroys. */
findings_t *compare_look(asker_t *asker, const said_t *before, const machine_t *machine,
                         const said_t *after);

/* For the files that compare: */
void compare_tasks(compare_t *self);   /* compare_tasks.c */
void compare_machine(compare_t *self); /* compare_machine.c */
void compare_kernel(compare_t *self);  /* compare_kernel.c */
void compare_sockets(compare_t *self); /* compare_sockets.c */
void compare_cluster(compare_t *self); /* compare_cluster.c */

/* How long something may be under way with a task before that is a finding: longer than any create
 * or delete takes whose shim is well. */
#define COMPARE_STUCK_MS 60000

/* Adds directories of the cluster in which there is no room any more, and a store that has come to
 * its limit. */
#define COMPARE_ROOM_BYTES ((uint64_t)1 << 20)
#define COMPARE_ROOM_FILES 16
void compare_room(findings_t *findings, asker_t *asker, const cluster_t *cluster);

/* Adds what is wrong with the store's file, and what is kept of damaged ones. It is not part of a
 * look, which is to be short: all of the file is read. */
void compare_store(findings_t *findings, const cluster_t *cluster); /* compare_store.c */

bool compare_is_busy(const compare_t *self, const char *ns, const char *id);

/* Whether something of that name may be there: a task has it, or is at work; where tasks are not
 * known because all is down, whether a bundle has it. */
bool compare_is_owned(const compare_t *self, const char *ns, const char *id);

/* Whether nobody listens on the socket at that path. */
bool compare_is_refused(const char *path);

/* As findings_add, about `row`, with its request and process. */
finding_t *compare_add(compare_t *self, finding_kind_t kind, const seen_t *row, const char *format,
                       ...) __attribute__((format(printf, 4, 5)));

#endif
