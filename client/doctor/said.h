/* What the cluster says of itself, asked over the protocol. Parts of it may be down: what is said
 * then is less, and it is noted what could not be asked. */
#ifndef SHIMD_DOCTOR_SAID_H
#define SHIMD_DOCTOR_SAID_H

#include "client/doctor/seen.h"
#include "client/session.h"

typedef enum said_part {
    SAID_CLUSTER, /* its processes */
    SAID_TASKS,
    SAID_RUNS,    /* that the journal takes for alive */
    SAID_RECORDS, /* of containers */
    SAID_BUNDLES, /* set aside, or not removed yet */
    SAID_PARTS
} said_part_t;

#define SAID_ASK_MS 5000 /* one answer; --timeout says otherwise */

/* Outlives what is said: a part that did not answer is not asked again. */
typedef struct asker {
    session_t *session;
    bool is_down; /* nobody listens: only the machine can be looked at */
    bool has_failed[SAID_PARTS];
    char *failures[SAID_PARTS]; /* sentences, owned; NULL where it answered */
    zhashx_t *outcomes;         /* msg_outcome_t by request in hexadecimal; NULL items */
    zhashx_t *past;             /* "NS/ID" of the journal's containers; NULL before */
    msgpack_zone *zone;
} asker_t;

void asker_init(asker_t *self, session_t *session);
void asker_clear(asker_t *self);

/* All parts are asked again: one that was down may have been started. */
void asker_retry(asker_t *self);

/* Asks; OK fills `answer`, whose texts live in `zone`. */
status_code_t asker_call(asker_t *self, msg_id_t method, const void *ask, const char *ns,
                         msgpack_zone *zone, void *answer, status_t *st);

/* What became of a request; NULL when that is not known. */
const msg_outcome_t *asker_outcome(asker_t *self, const msg_uuid_t *request);

/* Names of containers that are only in the journal's events any more, as the keys of a table. */
zhashx_t *asker_past(asker_t *self);

typedef struct said {
    bool has[SAID_PARTS];
    msg_cluster_t cluster;
    msg_processes_t tasks;
    msg_incarnations_t runs;
    msg_bundles_t bundles;
    zhashx_t *task_by_key;   /* msg_process_t */
    zhashx_t *run_by_key;    /* msg_incarnation_t */
    zhashx_t *record_by_key; /* msg_container_t */
    msgpack_zone *zone;
} said_t;

said_t *said_ask(asker_t *asker);
void said_destroy(said_t **self);

const msg_process_t *said_task(const said_t *self, const char *ns, const char *id);
const msg_incarnation_t *said_run(const said_t *self, const char *ns, const char *id);
const msg_container_t *said_record(const said_t *self, const char *ns, const char *id);

#endif
