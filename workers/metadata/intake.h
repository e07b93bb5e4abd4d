/* Events of shims on their way into the journal: which task and incarnation they belong to, whether
 * they are repeats, and what becomes of them while the disk is full. */
#ifndef SHIMD_METADATA_INTAKE_H
#define SHIMD_METADATA_INTAKE_H

#include "workers/metadata/batch.h"
#include "workers/metadata/incarnations.h"
#include "workers/metadata/journal.h"

/* Events that could not be stored are tried again until they can, in order; beyond this many the
 * newest is given up, unanswered. A shim has one on the way at a time, and sends it again every
 * five seconds or so, 6 times at most. */
#define INTAKE_RETRY_MAX   1024
#define INTAKE_RETRY_MS    1000
#define INTAKE_RETRY_BYTES (8u << 20)

typedef struct intake intake_t;

/* An event as a shim put it. `fields` is the decoded event as an encoded msgpack map, or its data
 * is NULL and `raw` is the encoded message of a type that is not known here. */
typedef struct intake_event {
    const char *ns, *topic, *type;
    int64_t time; /* ns since the epoch, of the envelope */
    msg_bytes_t fields, raw;
} intake_event_t;

/* Called once for each event: it is stored, durably (true; in the journal, or held, or aside), or
 * it was given up and must not be acknowledged. */
typedef void intake_done_t(void *arg, bool is_stored);

/* Init's exit or delete event of that container came into the journal. */
typedef void intake_told_t(void *arg, const char *ns, const char *id);

intake_t *intake_new(io_set_t *io, batch_t *batch, intake_told_t *told, void *arg);

/* `done` of events that wait is not called. */
void intake_destroy(intake_t **self);

/* Takes an event; what it points to is copied. INVALID_ARGUMENT when it can never be journalled
 * (bad namespace or topic, too large); `done` is then not called. */
status_code_t intake_add(intake_t *self, const intake_event_t *event, intake_done_t *done,
                         void *arg, status_t *st);

size_t intake_waiting(const intake_t *self); /* events that are to be tried again */

#endif
