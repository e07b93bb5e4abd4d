/* Which request deletes a task. */
#include "workers/shim/deleter.h"

#include "common/log.h"
#include "common/util.h"
#include "workers/shim/record.h"

#define NAME "deleter.json"

static void set_comm(deleter_t *self, const char *comm)
{
    snprintf(self->comm, sizeof self->comm, "%s", comm ? comm : "");
}

void deleter_set(deleter_t *self, const char *bundle, const request_t *request, bool force)
{
    static const msg_peer_t unknown = {.uid = -1, .gid = -1};
    const msg_peer_t *peer = request_peer(request);
    char hex[2 * MSG_UUID_SIZE + 1];
    status_t st;
    *self = (deleter_t){.request = *request_id(request),
                        .peer = peer ? *peer : unknown,
                        .asked_at = request_asked_at(request),
                        .force = force};
    set_comm(self, self->peer.comm);
    util_hex(self->request.bytes, MSG_UUID_SIZE, hex);
    json_t *object = json_pack("{s:s, s:I, s:I, s:I, s:s, s:I, s:b}", "request", hex, "pid",
                               (json_int_t)self->peer.pid, "uid", (json_int_t)self->peer.uid, "gid",
                               (json_int_t)self->peer.gid, "comm", self->comm, "asked_at",
                               (json_int_t)self->asked_at, "force", self->force);
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
    if (record_parse_request(object, &request)) {
        *self = (deleter_t){.request = request,
                            .peer = {.pid = json_integer_value(json_object_get(object, "pid")),
                                     .uid = json_integer_value(json_object_get(object, "uid")),
                                     .gid = json_integer_value(json_object_get(object, "gid"))},
                            .asked_at = json_integer_value(json_object_get(object, "asked_at")),
                            .force = json_is_true(json_object_get(object, "force"))};
        set_comm(self, json_string_value(json_object_get(object, "comm")));
    }
    json_decref(object);
}

void deleter_sign(deleter_t *self, msg_incarnation_end_t *ask)
{
    if (!msg_uuid_is_set(&self->request))
        return;
    self->peer.comm = self->comm[0] ? self->comm : NULL;
    ask->request = self->request;
    ask->asked_at = self->asked_at;
    ask->force = self->force;
    ask->peer = &self->peer;
}
