/* The journal: appending events. */
#include "workers/metadata/journal.h"

#include "common/util.h"
#include "workers/metadata/trail.h"

#include <assert.h>
#include <string.h>

#define BUFFER_MAX (64u << 10) /* bytes; what a larger event needs is given back */
#define KEY_MAX    (76 + 256)  /* namespace and topic */

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

static void pack_text(msgpack_packer *packer, const char *text)
{
    msgpack_pack_str_with_body(packer, text, strlen(text));
}

/* A key as msgpack has it, head and text in one: an event has a dozen, and a batch many events. */
#define KEY(head, text) head text, sizeof(head text) - 1

static void pack_pair(msgpack_packer *packer, const char *key, size_t size, const char *value)
{
    if (!value)
        return;
    msgpack_sbuffer_write(packer->data, key, size);
    pack_text(packer, value);
}

static void pack_number(msgpack_packer *packer, const char *key, size_t size, uint64_t value)
{
    if (!value)
        return;
    msgpack_sbuffer_write(packer->data, key, size);
    msgpack_pack_uint64(packer, value);
}

/* The map of the wire: the protocol manual, "Events". */
void journal_pack(msgpack_sbuffer *out, const journal_event_t *event, uint64_t seq, uint64_t ns_seq)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, (size_t)8 + (ns_seq != 0) + (event->prev != 0) +
                                  (event->evidence != NULL) + (event->reason != NULL));
    msgpack_sbuffer_write(out, KEY("\xa3", "seq"));
    msgpack_pack_uint64(&packer, seq);
    pack_number(&packer, KEY("\xa6", "ns_seq"), ns_seq);
    pack_number(&packer, KEY("\xa4", "prev"), event->prev);
    msgpack_sbuffer_write(out, KEY("\xa4", "time"));
    msgpack_pack_int64(&packer, event->time);
    pack_pair(&packer, KEY("\xa2", "ns"), event->ns);
    pack_pair(&packer, KEY("\xa5", "topic"), event->topic);
    pack_pair(&packer, KEY("\xa4", "type"), event->type);
    pack_pair(&packer, KEY("\xa6", "origin"), event->origin);
    pack_pair(&packer, KEY("\xab", "incarnation"), event->incarnation);
    pack_pair(&packer, KEY("\xa8", "evidence"), event->evidence);
    pack_pair(&packer, KEY("\xa6", "reason"), event->reason);
    if (event->event.data) {
        msgpack_sbuffer_write(out, KEY("\xa5", "event"));
        msgpack_sbuffer_write(out, (const char *)event->event.data, event->event.size);
    } else {
        msgpack_sbuffer_write(out, KEY("\xa3", "raw"));
        msgpack_pack_bin_with_body(&packer, event->raw.data, event->raw.size);
    }
}

/* The event goes to the publisher in memory of its own size: it may wait there. */
static void tell(txn_t *txn, const journal_event_t *event, const msgpack_sbuffer *packed)
{
    char key[KEY_MAX + 1];
    void *data = malloc(packed->size);
    if (!data)
        abort();
    memcpy(data, packed->data, packed->size);
    assert(strlen(event->ns) + strlen(event->topic) <= KEY_MAX);
    stpcpy(stpcpy(key, event->ns), event->topic);
    txn_tell(txn, key, data, packed->size);
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
    tell(txn, event, &buffer);
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
