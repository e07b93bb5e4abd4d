/* The journal: appending events. */
#include "workers/metadata/journal.h"

#include "common/util.h"
#include "workers/metadata/trail.h"

#include <assert.h>
#include <string.h>

#define BUFFER_MAX (64u << 10) /* bytes; what a larger event needs is given back */

static uint64_t number_at(const void *data)
{
    uint64_t number;
    memcpy(&number, data, sizeof number);
    return number;
}

uint64_t journal_first(txn_t *txn, table_t table)
{
    scan_t scan;
    uint64_t seq = scan_seek(&scan, txn, table, NULL, 0) ? number_at(scan.key.data) : 0;
    scan_close(&scan);
    return seq;
}

uint64_t journal_last(txn_t *txn, table_t table)
{
    scan_t scan;
    uint64_t seq = scan_last(&scan, txn, table) ? number_at(scan.key.data) : 0;
    scan_close(&scan);
    return seq;
}

uint64_t journal_last_in(txn_t *txn, const char *ns)
{
    return txn_number(txn, ns);
}

/* msgpack's encoder, with memory that is known to suffice as its buffer: an event has two dozen
 * pieces, and a batch many events. */
typedef struct room {
    char *at;
} room_t;

static inline void room_write(room_t *self, const void *data, size_t size)
{
    memcpy(self->at, data, size);
    self->at += size;
}

#define msgpack_pack_inline_func(name)             static inline void room_pack##name
#define msgpack_pack_inline_func_cint(name)        static inline void room_pack##name
#define msgpack_pack_user                          room_t *
#define msgpack_pack_append_buffer(user, buf, len) room_write(user, buf, len)
#include <msgpack/pack_template.h>

static void pack_text(room_t *room, const char *text)
{
    size_t size = strlen(text);
    room_pack_str(room, size);
    room_write(room, text, size);
}

/* A key as msgpack has it, head and text in one. */
#define KEY(head, text) head text, sizeof(head text) - 1

static inline void pack_pair(room_t *room, const char *key, size_t size, const char *value)
{
    if (!value)
        return;
    room_write(room, key, size);
    pack_text(room, value);
}

static inline void pack_number(room_t *room, const char *key, size_t size, uint64_t value)
{
    if (!value)
        return;
    room_write(room, key, size);
    room_pack_uint64(room, value);
}

#define FRAME_MAX 160 /* bytes: of the keys, the numbers, and what is in front of each text */

/* At least as many bytes as its map has. */
static size_t bound_of(const journal_event_t *event)
{
    const char *const texts[] = {event->ns,          event->topic,    event->type,  event->origin,
                                 event->incarnation, event->evidence, event->reason};
    size_t size = FRAME_MAX + event->event.size + event->raw.size;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        size += texts[i] ? strlen(texts[i]) : 0;
    return size;
}

static room_t make_room(msgpack_sbuffer *out, size_t size)
{
    if (out->alloc - out->size < size) {
        out->alloc = out->size + size;
        out->data = realloc(out->data, out->alloc);
        if (!out->data)
            abort();
    }
    return (room_t){.at = out->data + out->size};
}

/* The map of the wire: the protocol manual, "Events". */
void journal_pack(msgpack_sbuffer *out, const journal_event_t *event, uint64_t seq, uint64_t ns_seq)
{
    size_t bound = bound_of(event);
    room_t room = make_room(out, bound);
    room_pack_map(&room, (size_t)8 + (ns_seq != 0) + (event->prev != 0) +
                             (event->evidence != NULL) + (event->reason != NULL));
    room_write(&room, KEY("\xa3", "seq"));
    room_pack_uint64(&room, seq);
    pack_number(&room, KEY("\xa6", "ns_seq"), ns_seq);
    pack_number(&room, KEY("\xa4", "prev"), event->prev);
    room_write(&room, KEY("\xa4", "time"));
    room_pack_int64(&room, event->time);
    pack_pair(&room, KEY("\xa2", "ns"), event->ns);
    pack_pair(&room, KEY("\xa5", "topic"), event->topic);
    pack_pair(&room, KEY("\xa4", "type"), event->type);
    pack_pair(&room, KEY("\xa6", "origin"), event->origin);
    pack_pair(&room, KEY("\xab", "incarnation"), event->incarnation);
    pack_pair(&room, KEY("\xa8", "evidence"), event->evidence);
    pack_pair(&room, KEY("\xa6", "reason"), event->reason);
    if (event->event.data) {
        room_write(&room, KEY("\xa5", "event"));
        room_write(&room, event->event.data, event->event.size);
    } else {
        room_write(&room, KEY("\xa3", "raw"));
        room_pack_bin(&room, event->raw.size);
        if (event->raw.size)
            room_write(&room, event->raw.data, event->raw.size);
    }
    size_t size = (size_t)(room.at - out->data) - out->size;
    assert(size <= bound);
    out->size += size;
}

uint64_t journal_append(txn_t *txn, const journal_event_t *event)
{
    static msgpack_sbuffer buffer; /* kept from event to event */
    uint64_t seq = txn_journal_last(txn) + 1;
    journal_event_t linked = *event;
    if (event->subject && event->newest)
        linked.prev = trail_add_to(txn, event->ns, event->subject, seq, event->newest);
    else if (event->subject)
        linked.prev = trail_add(txn, event->ns, event->subject, seq);
    msgpack_sbuffer_clear(&buffer);
    journal_pack(&buffer, &linked, seq, txn_next(txn, event->ns));
    txn_append(txn, TABLE_JOURNAL, &seq, sizeof seq, buffer.data, buffer.size);
    txn_tell(txn, event->ns, event->topic, buffer.data, buffer.size);
    if (buffer.alloc > BUFFER_MAX) {
        msgpack_sbuffer_destroy(&buffer);
        msgpack_sbuffer_init(&buffer);
    }
    return seq;
}

bool journal_is_topic(const char *topic)
{
    if (topic[0] != '/')
        return false;
    while (*topic == '/') {
        size_t size = strcspn(++topic, "/");
        if (!msg_is_identifier(topic, size))
            return false;
        topic += size;
    }
    return true;
}

/* event.publish ----------------------------------------------------------------------------------
 */

static unsigned depth_of(const msgpack_object *object)
{
    unsigned deepest = 0;
    if (object->type == MSGPACK_OBJECT_MAP)
        for (uint32_t i = 0; i < object->via.map.size; i++) {
            unsigned depth = depth_of(&object->via.map.ptr[i].val);
            unsigned key = depth_of(&object->via.map.ptr[i].key);
            depth = key > depth ? key : depth;
            deepest = depth > deepest ? depth : deepest;
        }
    else if (object->type == MSGPACK_OBJECT_ARRAY)
        for (uint32_t i = 0; i < object->via.array.size; i++) {
            unsigned depth = depth_of(&object->via.array.ptr[i]);
            deepest = depth > deepest ? depth : deepest;
        }
    else
        return 0;
    return deepest + 1;
}

bool journal_takes_fields(const msg_bytes_t *fields)
{
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    bool whole = msgpack_unpack_next(&unpacked, (const char *)fields->data, fields->size, NULL) > 0;
    bool taken = whole && unpacked.data.type == MSGPACK_OBJECT_MAP &&
                 depth_of(&unpacked.data) <= JOURNAL_DEPTH_MAX;
    msgpack_unpacked_destroy(&unpacked);
    return taken;
}

status_code_t journal_check_publish(const void *ask, status_t *st)
{
    const msg_event_publish_t *publish = ask;
    if (publish->topic[0] != '/')
        return status_set(st, STATUS_INVALID_ARGUMENT, "topic \"%s\" must start with '/'",
                          publish->topic);
    if (!journal_is_topic(publish->topic))
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "topic \"%s\" has a component that is not an identifier", publish->topic);
    if (!journal_takes_fields(&publish->event))
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "event.publish: event is not a map at most %d containers deep",
                          JOURNAL_DEPTH_MAX);
    return STATUS_OK;
}

status_code_t journal_publish(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_event_publish_t *ask = call->ask;
    msg_event_seq_t *answer = call->answer;
    (void)st;
    answer->seq = journal_append(txn, &(journal_event_t){.ns = call->ns,
                                                         .topic = ask->topic,
                                                         .type = ask->type,
                                                         .origin = JOURNAL_ORIGIN_CLIENT,
                                                         .incarnation = "",
                                                         .time = call->now,
                                                         .event = ask->event});
    return STATUS_OK;
}
