/* Which request deletes a task. */
#include "workers/shim/deleter.h"

#include "common/log.h"
#include "common/util.h"
#include "workers/shim/record.h"

#define NAME "deleter.json"

void deleter_set(deleter_t *self, const char *bundle, const msg_uuid_t *request,
                 const msg_peer_t *peer)
{
    static const msg_peer_t unknown = {.uid = -1, .gid = -1};
    char hex[2 * MSG_UUID_SIZE + 1];
    status_t st;
    *self = (deleter_t){.request = *request, .peer = peer ? *peer : unknown};
    util_hex(request->bytes, MSG_UUID_SIZE, hex);
    json_t *object =
        json_pack("{s:s, s:I, s:I, s:I}", "request", hex, "pid", (json_int_t)self->peer.pid, "uid",
                  (json_int_t)self->peer.uid, "gid", (json_int_t)self->peer.gid);
    if (record_write_json(bundle, NAME, object, &st))
        log_warn("%s: %s", bundle, st.text);
}

void deleter_clear(deleter_t *self, const char *bundle)
{
    *self = (deleter_t){.peer = {0}};
    record_remove(bundle, NAME);
}

void deleter_load(deleter_t *self, const char *bundle)
{
    json_t *object = NULL;
    status_t st;
    msg_uuid_t request;
    if (record_read_json(bundle, NAME, &object, &st))
        return;
    if (record_parse_request(object, &request))
        *self = (deleter_t){.request = request,
                            .peer = {.pid = json_integer_value(json_object_get(object, "pid")),
                                     .uid = json_integer_value(json_object_get(object, "uid")),
                                     .gid = json_integer_value(json_object_get(object, "gid"))}};
    json_decref(object);
}

void deleter_sign(const deleter_t *self, msg_incarnation_end_t *ask)
{
    if (!msg_uuid_is_set(&self->request))
        return;
    ask->request = self->request;
    ask->peer = &self->peer;
}
