/* Container records. Texts of errors are containerd's (metadata/containers.go), because programs
 * match them. */
#include "workers/metadata/containers.h"

#include "common/fifos.h"
#include "common/log.h"
#include "workers/metadata/incarnations.h"
#include "workers/metadata/labels.h"
#include "workers/metadata/namespaces.h"
#include "workers/metadata/own_events.h"
#include "workers/metadata/restarts.h"

#include <jansson.h>
#include <string.h>

/* Checks ----------------------------------------------------------------------------------------
 */

static status_code_t check_spec(const char *method, const msg_bytes_t *spec, status_t *st)
{
    json_error_t error;
    json_t *json = json_loadb((const char *)spec->data, spec->size, 0, &error);
    bool is_object = json_is_object(json);
    bool is_json = json != NULL;
    json_decref(json);
    if (!is_json)
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s: spec is not JSON: line %d: %s", method,
                          error.line, error.text);
    if (!is_object)
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s: spec is not a JSON object", method);
    return STATUS_OK;
}

/* containerd's shim.BinaryName takes the last two of at least two components. */
static bool is_runtime_name(const char *name)
{
    if (name[0] == '/')
        return name[1] != '\0';
    size_t components = 0;
    for (const char *at = name;; at++) {
        size_t size = strcspn(at, "./");
        components++;
        at += size;
        if (size == 0 || *at == '/')
            return false;
        if (*at == '\0')
            return components >= 2;
    }
}

static status_code_t check_removal(const msg_container_create_t *create, status_t *st)
{
    if (!create->remove && (create->held || create->fifos))
        return status_set(st, STATUS_INVALID_ARGUMENT, "container.create: %s goes with remove only",
                          create->held ? "held" : "fifos");
    if (create->remove && !restarts_is_none(create->restart))
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "container.create: remove and restart %s cannot be used together",
                          create->restart);
    if (create->fifos && !fifos_is_dir_name(create->fifos))
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "container.create: fifos is %s, not an absolute path that ends with 16 "
                          "hexadecimal digits",
                          create->fifos);
    return STATUS_OK;
}

status_code_t containers_check_create(const void *ask, status_t *st)
{
    const msg_container_create_t *create = ask;
    if (!is_runtime_name(create->runtime))
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "invalid runtime name %s, correct runtime name should be either format "
                          "like `io.containerd.runc.v2` or a full path to the binary",
                          create->runtime);
    const char *loss = create->on_shim_loss;
    if (loss && strcmp(loss, "keep") && strcmp(loss, "kill"))
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "container.create: on_shim_loss is %s, neither keep nor kill", loss);
    if (restarts_check_policy("container.create", create->restart, st) || check_removal(create, st))
        return st->code;
    return check_spec("container.create", &create->spec, st);
}

status_code_t containers_check_update(const void *ask, status_t *st)
{
    const msg_container_update_t *update = ask;
    if (restarts_check_policy("container.update", update->restart, st))
        return st->code;
    return update->spec.data ? check_spec("container.update", &update->spec, st) : STATUS_OK;
}

/* Records ---------------------------------------------------------------------------------------
 */

static status_code_t not_found(const char *ns, const char *id, status_t *st)
{
    return status_set(st, STATUS_NOT_FOUND, "container \"%s\" in namespace \"%s\": not found", id,
                      ns);
}

static bool get_record(txn_t *txn, const store_key_t *key, msgpack_zone *zone, msg_container_t *ret)
{
    return txn_get_message(txn, TABLE_CONTAINERS, key, MSG_container, zone, ret);
}

/* Encodes the record, or refuses it while nothing is written yet. The caller destroys `ret`. */
static status_code_t encode(const msg_container_t *record, msgpack_sbuffer *ret, status_t *st)
{
    msgpack_sbuffer_init(ret);
    msg_encode(MSG_container, record, ret);
    if (ret->size <= CONTAINERS_RECORD_MAX)
        return STATUS_OK;
    status_set(st, STATUS_INVALID_ARGUMENT,
               "container \"%s\" is %zu bytes long without its spec, limit %u", record->id,
               ret->size, CONTAINERS_RECORD_MAX);
    msgpack_sbuffer_destroy(ret);
    return st->code;
}

static void put_record(txn_t *txn, const store_key_t *key, msgpack_sbuffer *encoded,
                       const msg_bytes_t *spec)
{
    txn_put(txn, TABLE_CONTAINERS, key->bytes, key->size, encoded->data, encoded->size);
    if (spec->data)
        txn_put(txn, TABLE_SPECS, key->bytes, key->size, spec->data, spec->size);
    msgpack_sbuffer_destroy(encoded);
}

status_code_t containers_find(txn_t *txn, const char *ns, const char *id, msgpack_zone *zone,
                              msg_container_t *ret, status_t *st)
{
    store_key_t key = STORE_KEY(ns, id);
    msg_bytes_t spec;
    if (!get_record(txn, &key, zone, ret))
        return not_found(ns, id, st);
    if (!txn_get(txn, TABLE_SPECS, key.bytes, key.size, &spec))
        return status_set(st, STATUS_DATA_LOSS, "container \"%s\" has lost its spec", id);
    uint8_t *copy = msgpack_zone_malloc(zone, spec.size + 1);
    if (!copy)
        abort();
    memcpy(copy, spec.data, spec.size);
    ret->spec = (msg_bytes_t){.data = copy, .size = spec.size};
    return STATUS_OK;
}

bool containers_look(txn_t *txn, const char *ns, const char *id, msgpack_zone *zone,
                     msg_container_t *ret)
{
    store_key_t key = STORE_KEY(ns, id);
    return get_record(txn, &key, zone, ret);
}

void containers_keep(txn_t *txn, const msg_container_t *record)
{
    msg_container_t bare = *record;
    store_key_t key = STORE_KEY(record->ns, record->id);
    msgpack_sbuffer encoded;
    status_t st;
    bare.spec = (msg_bytes_t){0};
    if (encode(&bare, &encoded, &st))
        log_error("%s", st.text);
    else
        put_record(txn, &key, &encoded, &bare.spec);
}

static const msg_removal_t *removal_of(const call_t *call)
{
    const msg_container_create_t *ask = call->ask;
    if (!ask->remove)
        return NULL;
    msg_removal_t *removal = msgpack_zone_malloc(call->zone, sizeof *removal);
    if (!removal)
        abort();
    *removal = (msg_removal_t){.holder = call->holder, .fifos = ask->fifos};
    return removal;
}

/* Methods ---------------------------------------------------------------------------------------
 */

status_code_t containers_create(txn_t *txn, const call_t *call, status_t *st)
{
    static const msg_labels_t none;
    const msg_container_create_t *ask = call->ask;
    msg_container_t *record = call->answer;
    store_key_t key = STORE_KEY(call->ns, ask->id);
    msg_bytes_t found;
    if (txn_get(txn, TABLE_CONTAINERS, key.bytes, key.size, &found))
        return status_set(st, STATUS_ALREADY_EXISTS, "container \"%s\": already exists", ask->id);
    *record = (msg_container_t){.ns = call->ns,
                                .id = ask->id,
                                .image = ask->image,
                                .runtime = ask->runtime,
                                .runc = ask->runc,
                                .options_type = ask->options_type,
                                .options = ask->options,
                                .on_shim_loss = ask->on_shim_loss,
                                .removal = removal_of(call),
                                .rootfs = {ask->rootfs.items, ask->rootfs.count},
                                .created_at = call->now,
                                .updated_at = call->now};
    if (labels_merge(&none, &ask->labels, call->zone, &record->labels, st))
        return st->code;
    restarts_set_policy(record, ask->restart, call->zone);
    msgpack_sbuffer encoded;
    if (encode(record, &encoded, st))
        return st->code;
    if (namespaces_ensure(txn, call->ns, call->now, st)) {
        msgpack_sbuffer_destroy(&encoded);
        return st->code;
    }
    put_record(txn, &key, &encoded, &ask->spec);
    own_events_container(txn, OWN_CONTAINER_CREATE, record, call->now);
    return STATUS_OK;
}

status_code_t containers_get(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_container_get_t *ask = call->ask;
    return containers_find(txn, call->ns, ask->id, call->zone, call->answer, st);
}

status_code_t containers_update(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_container_update_t *ask = call->ask;
    msg_container_t *record = call->answer;
    store_key_t key = STORE_KEY(call->ns, ask->id);
    if (!get_record(txn, &key, call->zone, record))
        return not_found(call->ns, ask->id, st);
    if (record->removal && !restarts_is_none(ask->restart))
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "container \"%s\" is removed when it has ended: it cannot be restarted",
                          ask->id);
    msg_labels_t before = record->labels;
    if (labels_merge(&before, &ask->labels, call->zone, &record->labels, st))
        return st->code;
    if (ask->image)
        record->image = ask->image;
    restarts_set_policy(record, ask->restart, call->zone);
    record->updated_at = call->now;
    msgpack_sbuffer encoded;
    if (encode(record, &encoded, st))
        return st->code;
    put_record(txn, &key, &encoded, &ask->spec);
    own_events_container(txn, OWN_CONTAINER_UPDATE, record, call->now);
    return STATUS_OK;
}

status_code_t containers_delete(txn_t *txn, const call_t *call, status_t *st)
{
    const msg_container_delete_t *ask = call->ask;
    store_key_t key = STORE_KEY(call->ns, ask->id);
    msg_bytes_t found;
    if (!txn_get(txn, TABLE_CONTAINERS, key.bytes, key.size, &found))
        return not_found(call->ns, ask->id, st);
    if (incarnations_is_live(txn, call->ns, ask->id))
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "cannot delete container \"%s\" with an existing task", ask->id);
    txn_delete(txn, TABLE_CONTAINERS, key.bytes, key.size);
    txn_delete(txn, TABLE_SPECS, key.bytes, key.size);
    own_events_container(txn, OWN_CONTAINER_DELETE,
                         &(msg_container_t){.ns = call->ns, .id = ask->id}, call->now);
    return STATUS_OK;
}
