/* Events that are held. */
#include "workers/metadata/held.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#define VERSION     1
#define NUMBER_SIZE sizeof(uint64_t)

/* What a record begins with; topic and type follow with their NULs, then the event's bytes. */
typedef struct head {
    uint32_t version;
    uint32_t pid, index;
    uint32_t data_size;
    uint16_t topic_size, type_size; /* with their NULs; 0 without a payload */
    uint8_t kind, is_exec, is_ours, is_raw;
    int64_t time, deadline;
    char exec_id[ORDER_EXEC_SIZE];
    char evidence[ORDER_EVIDENCE_SIZE];
    uint8_t is_kill;
    char unused[2];
} head_t;

static store_key_t key_of(const store_key_t *run, uint64_t number)
{
    store_key_t key = *run;
    assert(key.size + 1 + NUMBER_SIZE <= sizeof key.bytes);
    number = htobe64(number);
    key.bytes[key.size++] = '\0';
    memcpy(key.bytes + key.size, &number, NUMBER_SIZE);
    key.size += NUMBER_SIZE;
    return key;
}

static uint64_t number_at(const void *data)
{
    uint64_t number;
    memcpy(&number, data, NUMBER_SIZE);
    return be64toh(number);
}

static store_key_t due_key(const store_key_t *held, int64_t deadline)
{
    store_key_t key = {.size = NUMBER_SIZE + held->size};
    uint64_t time = htobe64((uint64_t)deadline);
    assert(key.size <= sizeof key.bytes);
    memcpy(key.bytes, &time, NUMBER_SIZE);
    memcpy(key.bytes + NUMBER_SIZE, held->bytes, held->size);
    return key;
}

void held_put(txn_t *txn, const store_key_t *run, const order_item_t *item)
{
    const journal_event_t *event = item->payload;
    const msg_bytes_t *data = !event ? NULL : event->event.data ? &event->event : &event->raw;
    head_t head = {.version = VERSION,
                   .pid = item->event.pid,
                   .index = item->index,
                   .data_size = data ? (uint32_t)data->size : 0,
                   .topic_size = event ? (uint16_t)(strlen(event->topic) + 1) : 0,
                   .type_size = event ? (uint16_t)(strlen(event->type) + 1) : 0,
                   .kind = (uint8_t)item->event.kind,
                   .is_exec = item->event.is_exec,
                   .is_ours = item->event.is_ours,
                   .is_kill = item->event.is_kill,
                   .is_raw = event && !event->event.data,
                   .time = item->event.time,
                   .deadline = item->deadline};
    memcpy(head.exec_id, item->exec_id, sizeof head.exec_id);
    memcpy(head.evidence, item->evidence, sizeof head.evidence);
    msgpack_sbuffer buffer;
    msgpack_sbuffer_init(&buffer);
    msgpack_sbuffer_write(&buffer, (const char *)&head, sizeof head);
    if (event) {
        msgpack_sbuffer_write(&buffer, event->topic, head.topic_size);
        msgpack_sbuffer_write(&buffer, event->type, head.type_size);
        msgpack_sbuffer_write(&buffer, (const char *)data->data, data->size);
    }
    store_key_t key = key_of(run, item->number), due = due_key(&key, item->deadline);
    txn_put(txn, TABLE_HELD, key.bytes, key.size, buffer.data, buffer.size);
    txn_put(txn, TABLE_DUE, due.bytes, due.size, "", 0);
    msgpack_sbuffer_destroy(&buffer);
}

static void *copy(msgpack_zone *zone, const void *data, size_t size)
{
    void *made = msgpack_zone_malloc(zone, size + 1);
    if (!made)
        abort();
    return memcpy(made, data, size);
}

/* The event behind the head, or NULL when the record is damaged. */
static const journal_event_t *read_event(const head_t *head, const msg_bytes_t *record,
                                         msgpack_zone *zone)
{
    size_t size = sizeof *head + head->topic_size + head->type_size + (size_t)head->data_size;
    if (record->size != size || head->topic_size == 0 || head->type_size == 0)
        return NULL;
    const char *text = copy(zone, record->data + sizeof *head, size - sizeof *head);
    msg_bytes_t data = {.data = (const uint8_t *)text + head->topic_size + head->type_size,
                        .size = head->data_size};
    const journal_event_t event = {.topic = text,
                                   .type = text + head->topic_size,
                                   .time = head->time,
                                   .event = head->is_raw ? (msg_bytes_t){.data = NULL} : data,
                                   .raw = head->is_raw ? data : (msg_bytes_t){.data = NULL}};
    return copy(zone, &event, sizeof event);
}

static bool read_head(const msg_bytes_t *record, head_t *ret)
{
    if (record->size < sizeof *ret)
        return false;
    memcpy(ret, record->data, sizeof *ret);
    return ret->version == VERSION && ret->kind <= TASK_EVENT_OTHER;
}

static void read_item(const head_t *head, uint64_t number, order_item_t *ret)
{
    *ret = (order_item_t){.number = number,
                          .event = {.kind = (task_event_t)head->kind,
                                    .is_exec = head->is_exec,
                                    .is_ours = head->is_ours,
                                    .is_kill = head->is_kill,
                                    .pid = head->pid,
                                    .time = head->time},
                          .index = head->index,
                          .deadline = head->deadline};
    memcpy(ret->exec_id, head->exec_id, sizeof ret->exec_id);
    memcpy(ret->evidence, head->evidence, sizeof ret->evidence);
}

/* One that cannot be read is none: it must not stop those behind it. */
bool held_next(txn_t *txn, const store_key_t *run, uint64_t after, order_item_t *ret)
{
    scan_t scan;
    head_t head;
    store_key_t from = key_of(run, after + 1);
    store_key_t prefix = {.size = from.size - NUMBER_SIZE};
    memcpy(prefix.bytes, from.bytes, prefix.size);
    bool any = scan_seek(&scan, txn, TABLE_HELD, from.bytes, from.size);
    bool found = false;
    for (; any && !found && scan_has_prefix(&scan, &prefix); any = !found && scan_next(&scan)) {
        found = scan.key.size == from.size && read_head(&scan.value, &head);
        if (found)
            read_item(&head, number_at(scan.key.data + prefix.size), ret);
    }
    scan_close(&scan);
    return found;
}

void held_take(txn_t *txn, const store_key_t *run, order_item_t *item, msgpack_zone *zone)
{
    msg_bytes_t record;
    head_t head;
    store_key_t key = key_of(run, item->number), due = due_key(&key, item->deadline);
    item->payload = NULL;
    if (txn_get(txn, TABLE_HELD, key.bytes, key.size, &record) && read_head(&record, &head) &&
        head.topic_size)
        item->payload = read_event(&head, &record, zone);
    txn_delete(txn, TABLE_HELD, key.bytes, key.size);
    txn_delete(txn, TABLE_DUE, due.bytes, due.size);
}

size_t held_count(txn_t *txn)
{
    return txn_count(txn, TABLE_HELD);
}

bool held_first_due(txn_t *txn, int64_t *ret_deadline, store_key_t *ret_run, uint64_t *ret_number)
{
    scan_t scan;
    bool found = scan_seek(&scan, txn, TABLE_DUE, NULL, 0);
    size_t least = NUMBER_SIZE + 1 + NUMBER_SIZE;
    if (found && (scan.key.size <= least || scan.key.size - least > sizeof ret_run->bytes)) {
        txn_fail(txn, MDB_CORRUPTED);
        found = false;
    }
    if (found) {
        *ret_deadline = (int64_t)number_at(scan.key.data);
        ret_run->size = scan.key.size - least;
        memcpy(ret_run->bytes, scan.key.data + NUMBER_SIZE, ret_run->size);
        *ret_number = number_at(scan.key.data + scan.key.size - NUMBER_SIZE);
    }
    scan_close(&scan);
    return found;
}

void held_drop_due(txn_t *txn, int64_t deadline, const store_key_t *run, uint64_t number)
{
    store_key_t key = key_of(run, number), due = due_key(&key, deadline);
    txn_delete(txn, TABLE_DUE, due.bytes, due.size);
    txn_delete(txn, TABLE_HELD, key.bytes, key.size);
}

void held_reindex(txn_t *txn)
{
    scan_t scan;
    head_t head;
    for (bool any = scan_seek(&scan, txn, TABLE_HELD, NULL, 0); any; any = scan_next(&scan)) {
        store_key_t key = {.size = scan.key.size};
        if (!read_head(&scan.value, &head) || key.size + NUMBER_SIZE > sizeof key.bytes)
            continue;
        memcpy(key.bytes, scan.key.data, key.size);
        store_key_t due = due_key(&key, head.deadline);
        txn_put(txn, TABLE_DUE, due.bytes, due.size, "", 0); /* another table: the walk goes on */
    }
    scan_close(&scan);
}
