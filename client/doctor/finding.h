/* What is wrong: findings, and which of them are believed. A cluster at work looks inconsistent for
 * moments, so a finding counts once it was there in every look for as long as its kind asks. */
#ifndef SHIMD_DOCTOR_FINDING_H
#define SHIMD_DOCTOR_FINDING_H

#include "client/doctor/seen.h"

/* In the order in which they are mended: what is known wrongly first, since a worker that is
 * started again believes it; then what lives; then what lies about. */
typedef enum finding_kind {
    FINDING_DAMAGED_STORE,
    FINDING_RECORD_MISMATCH,
    FINDING_TASK_WITHOUT_BUNDLE,
    FINDING_MISSING_WORK,
    FINDING_TASK_WITHOUT_RECORD,
    FINDING_TASK_WITHOUT_RUN,
    FINDING_STOPPED_SHIM,
    FINDING_MUTE_SHIM,
    FINDING_TASK_WITHOUT_PROCESS,
    FINDING_MISSING_RUNC,
    FINDING_MISSING_SOCKET,
    FINDING_LOST_LOCK,
    FINDING_PROCESS_DOWN,
    FINDING_FULL_DISK,
    FINDING_FULL_STORE,
    FINDING_STUCK_TASK,
    FINDING_LEAKED_SHIM,
    FINDING_STRAY_RUNC,
    FINDING_STRAY_PROCESS,
    FINDING_STRAY_MOUNT,
    FINDING_STRAY_CGROUP,
    FINDING_STRAY_FIFO,
    FINDING_DEAD_SOCKET,
    FINDING_DEBT,
    FINDING_HALF_REMOVED,
    FINDING_STRAY_WORK,
    FINDING_STRAY_FILE,
    FINDING_QUARANTINED,
    FINDING_SALVAGED_STORE,
    FINDING_STALE_BUNDLE,
    FINDING_RUN_WITHOUT_TASK,
    FINDING_KINDS
} finding_kind_t;

typedef struct finding_type {
    const char *name;   /* stable, for scripts: "leaked-shim" */
    const char *mend;   /* what --repair does */
    bool can_mend;      /* otherwise `mend` says what an operator can do */
    int patience_ms;    /* how long it must be there */
    bool keeps_workers; /* while it is there a shim worker that starts would lose the task */
} finding_type_t;
const finding_type_t *finding_type(finding_kind_t kind);

typedef enum finding_state { FINDING_OPEN, FINDING_MENDED, FINDING_LEFT } finding_state_t;

typedef struct finding {
    finding_kind_t kind;
    char ns[77], id[SEEN_NAME_SIZE]; /* "" where it is nobody's */
    char *object;                    /* a path, "pid 12", or NS/ID */
    char *text;                      /* a sentence */
    uint64_t mark;                   /* of the thing, so that its successor is another finding */
    pid_t pid;
    uint64_t start;
    bool has_request;
    msg_uuid_t request; /* that caused it */
    int64_t since_us;   /* in every look since then */
    finding_state_t state;
    char *result; /* what repairing came to; NULL before */
} finding_t;

typedef struct findings findings_t;

findings_t *findings_new(void);
void findings_destroy(findings_t **self);

/* Adds one about `object`; the same one again is the one that is there. */
finding_t *findings_add(findings_t *self, finding_kind_t kind, const char *ns, const char *id,
                        const char *object, uint64_t mark, const char *format, ...)
    __attribute__((format(printf, 7, 8)));

/* In order of kind, then as they were added. */
finding_t *findings_first(findings_t *self);
finding_t *findings_next(findings_t *self);
size_t findings_count(const findings_t *self);

/* Whether that one, maybe of another look, is there too. */
bool findings_have(const findings_t *self, const finding_t *finding);

/* Takes the time since when a finding is known from an earlier look's. */
void findings_follow(findings_t *self, findings_t *earlier);

/* How many are too young to be believed; then another look must follow. */
size_t findings_young(findings_t *self, int64_t now_us);

/* Drops the young ones. */
void findings_drop_young(findings_t *self, int64_t now_us);

/* A result in place of the one that is there, if any. */
void finding_set(finding_t *self, finding_state_t state, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
