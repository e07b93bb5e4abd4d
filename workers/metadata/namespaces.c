/* Namespaces. Texts of errors are containerd's (metadata/namespaces.go), because programs match
 * them. */
#include "workers/metadata/namespaces.h"

#include "common/util.h"
#include "workers/metadata/filtered.h"
#include "workers/metadata/labels.h"
#include "workers/metadata/own_events.h"

#define LIST_BYTES_MAX (MSG_BODY_MAX - 4096u)

static status_code_t check_room(txn_t *txn, status_t *st)
{
    if (txn_count(txn, TABLE_NAMESPACES) < NAMESPACES_MAX)
        return STATUS_OK;
    return status_set(st, STATUS_RESOURCE_EXHAUSTED, "there are %d namespaces, limit %d",
                      NAMESPACES_MAX, NAMESPACES_MAX);
}

static status_code_t check_size(const msg_namespace_t *record, status_t *st)
{
    size_t size = 0;
    for (size_t i = 0; i < record->labels.count; i++)
        size += strlen(record->labels.items[i].key) + strlen(record->labels.items[i].value);
    if (size <= NAMESPACE_RECORD_MAX)
        return STATUS_OK;
    return status_set(st, STATUS_INVALID_ARGUMENT,
                      "labels of namespace \"%s\" are %zu bytes long, limit %u", record->name, size,
                      NAMESPACE_RECORD_MAX);
}

static bool exists(txn_t *txn, const char *name)
{
    msg_bytes_t found;
    store_key_t key = STORE_KEY(name);
    return txn_get(txn, TABLE_NAMESPACES, key.bytes, key.size, &found);
}

static status_code_t not_found(const char *name, status_t *st)
{
    return status_set(st, STATUS_NOT_FOUND, "namespace \"%s\": not found", name);
}

static void put(txn_t *txn, const msg_namespace_t *record)
{
    store_key_t key = STORE_KEY(record->name);
    txn_put_message(txn, TABLE_NAMESPACES, &key, MSG_namespace, record);
}

status_code_t namespaces_create(txn_t *txn, const call_t *call, status_t *st)
{
    static const msg_labels_t none;
    const msg_namespace_create_t *ask = call->ask;
    msg_namespace_t *record = call->answer;
    if (exists(txn, ask->name))
        return status_set(st, STATUS_ALREADY_EXISTS, "namespace \"%s\": already exists", ask->name);
    record->name = ask->name;
    if (labels_merge(&none, &ask->labels, call->zone, &record->labels, st) ||
        check_size(record, st) || check_room(txn, st))
        return st->code;
    put(txn, record);
    own_events_namespace(txn, OWN_NAMESPACE_CREATE, record, call->now);
    return STATUS_OK;
}

status_code_t namespaces_ensure(txn_t *txn, const char *name, int64_t now, status_t *st)
{
    msg_namespace_t record = {.name = name};
    if (exists(txn, name))
        return STATUS_OK;
    if (check_room(txn, st))
        return st->code;
    put(txn, &record);
    own_events_namespace(txn, OWN_NAMESPACE_CREATE, &record, now);
    return STATUS_OK;
}

status_code_t namespaces_get(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_namespace_get_t *ask = call->ask;
    store_key_t key = STORE_KEY(ask->name);
    if (!txn_get_message(txn, TABLE_NAMESPACES, &key, MSG_namespace, call->zone, call->answer))
        return not_found(ask->name, st);
    return STATUS_OK;
}

status_code_t namespaces_list(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_namespace_list_t *ask = call->ask;
    msg_namespaces_t *answer = call->answer;
    size_t count = 0, bytes = 0, room = txn_count(txn, TABLE_NAMESPACES);
    AUTO(filter)
    filter = NULL;
    if (filter_parse(&ask->filters, &filter, st))
        return st->code;
    answer->namespaces.items =
        msgpack_zone_malloc(call->zone, (room + 1) * sizeof *answer->namespaces.items);
    if (!answer->namespaces.items)
        abort();
    scan_t scan;
    bool any = scan_seek(&scan, txn, TABLE_NAMESPACES, NULL, 0);
    for (; any && bytes <= LIST_BYTES_MAX && !filter_status(filter, st); any = scan_next(&scan))
        if (filtered_record(filter, &scan, MSG_namespace, call->zone,
                            &answer->namespaces.items[count])) {
            bytes += scan.value.size;
            count++;
        }
    scan_close(&scan);
    answer->namespaces.count = count;
    if (bytes > LIST_BYTES_MAX)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED,
                          "namespaces with their labels are more than %u bytes", LIST_BYTES_MAX);
    return filter_status(filter, st);
}

status_code_t namespaces_update(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_namespace_update_t *ask = call->ask;
    msg_namespace_t *record = call->answer;
    store_key_t key = STORE_KEY(ask->name);
    if (!txn_get_message(txn, TABLE_NAMESPACES, &key, MSG_namespace, call->zone, record))
        return not_found(ask->name, st);
    msg_labels_t before = record->labels;
    if (labels_merge(&before, &ask->labels, call->zone, &record->labels, st) ||
        check_size(record, st))
        return st->code;
    put(txn, record);
    own_events_namespace(txn, OWN_NAMESPACE_UPDATE, record, call->now);
    return STATUS_OK;
}

static bool has_containers(txn_t *txn, const char *name)
{
    store_key_t prefix = STORE_KEY(name, "");
    scan_t scan;
    bool found = scan_seek(&scan, txn, TABLE_CONTAINERS, prefix.bytes, prefix.size) &&
                 scan_has_prefix(&scan, &prefix);
    scan_close(&scan);
    return found;
}

status_code_t namespaces_delete(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_namespace_delete_t *ask = call->ask;
    if (!exists(txn, ask->name))
        return not_found(ask->name, st);
    if (has_containers(txn, ask->name))
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "namespace \"%s\" must be empty, but it still has containers", ask->name);
    store_key_t key = STORE_KEY(ask->name);
    txn_delete(txn, TABLE_NAMESPACES, key.bytes, key.size);
    own_events_namespace(txn, OWN_NAMESPACE_DELETE, &(msg_namespace_t){.name = ask->name},
                         call->now);
    return STATUS_OK;
}
