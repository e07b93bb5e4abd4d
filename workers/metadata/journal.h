/* The journal: every event once, under contiguous sequence numbers, as the very msgpack map that is
 * published. */
#ifndef SHIMD_METADATA_JOURNAL_H
#define SHIMD_METADATA_JOURNAL_H

#include "workers/metadata/call.h"

#define JOURNAL_ORIGIN_SHIM   "shim"   /* a shim said so */
#define JOURNAL_ORIGIN_SHIMD  "shimd"  /* written here, from what is known here */
#define JOURNAL_ORIGIN_CLIENT "client" /* event.publish */

#define JOURNAL_EVENT_MAX  (1u << 20) /* bytes of an event's fields; more cannot be listed */
#define JOURNAL_DEPTH_MAX  16 /* msgpack containers in them: inside a page they are deeper */
#define JOURNAL_PAGE_BYTES (2u << 20) /* a page of event.list ends here */
#define JOURNAL_SCAN_MAX   10000      /* records one event.list looks at */

/* Shims deliver an event up to this long after it happened: they retry for 50 seconds. */
#define JOURNAL_LATE_NS ((int64_t)600 * 1000000000)

typedef struct journal_event {
    const char *ns, *topic, *type, *origin;
    const char *incarnation; /* "" when it belongs to none */
    const char *subject;     /* id of the container it is about; NULL for none */
    uint64_t prev;           /* its event before; journal_append looks for it, */
    uint64_t *newest;        /* here if not NULL, and leaves its own number there: process_record_t
                              */
    int64_t time;            /* ns since the epoch: when the event was first put into words, by the
                                shim's envelope or by us; what it tells of may carry its own time */
    msg_bytes_t event;       /* encoded map of its fields, or NULL data: */
    msg_bytes_t raw;         /* encoded protobuf message of a type that is not known here */
    const char *evidence;    /* of shimd's: where it is known from; NULL for none */
    const char *reason;      /* why it is not in the journal; NULL where it is */
} journal_event_t;

/* Writes the event and announces it with the transaction's news. Returns its sequence number. */
uint64_t journal_append(txn_t *txn, const journal_event_t *event);

/* Appends the event's map, as it is published, to `out`; without a zero `ns_seq`. */
void journal_pack(msgpack_sbuffer *out, const journal_event_t *event, uint64_t seq,
                  uint64_t ns_seq);

/* The oldest and the newest sequence number of TABLE_JOURNAL, or of TABLE_ASIDE; 0 when it is
 * empty. */
uint64_t journal_first(txn_t *txn, table_t table);
uint64_t journal_last(txn_t *txn, table_t table);

/* Of the event of that number, as it says; 0 when there is none. */
int64_t journal_time(txn_t *txn, uint64_t seq);

/* Whether some of the events from number `since`, 1 or more, on are gone: of a namespace, or of all
 * when `ns` is NULL. */
bool journal_has_gap(txn_t *txn, const char *ns, uint64_t since);

/* The number of the newest event within a namespace; 0 when it never had one. */
uint64_t journal_last_in(txn_t *txn, const char *ns);

/* The value under that key; NULL when the object is no map or has none. */
const msgpack_object *journal_field(const msgpack_object *map, const char *name);

/* `count` encoded maps, one behind the other, as one msgpack array in the zone. */
msg_bytes_t journal_array(const msgpack_sbuffer *maps, size_t count, msgpack_zone *zone);

/* True for containerd's topic grammar: /a/b, each component an identifier. */
bool journal_is_topic(const char *topic);

/* True for an encoded map that is at most JOURNAL_DEPTH_MAX containers deep. */
bool journal_takes_fields(const msg_bytes_t *fields);

/* event.publish, event.list */
call_check_t journal_check_publish;
call_run_t journal_publish;
call_run_t journal_list;

#endif
