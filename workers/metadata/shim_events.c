/* Where shims hand over their events. */
#include "workers/metadata/shim_events.h"

#include "common/log.h"
#include "common/proto/events_service.pb-c.h"
#include "common/proto_value.h"
#include "common/ttrpc_server.h"
#include "common/utf8.h"
#include "common/util.h"

#include <czmq.h>
#include <errno.h>
#include <google/protobuf/any.pb-c.h>
#include <google/protobuf/timestamp.pb-c.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define SERVICE       "containerd.services.events.ttrpc.v1.Events"
#define BACKLOG       1024 /* shims that all reconnect at once */
#define NS_PER_SECOND 1000000000

typedef Containerd__Services__Events__Ttrpc__V1__ForwardRequest forward_t;
typedef Containerd__Services__Events__Ttrpc__V1__Envelope envelope_t;

struct shim_events {
    intake_t *intake;
    int listener;
    ttrpc_server_t *server;
};

/* Events ----------------------------------------------------------------------------------------
 */

static void acknowledge(ttrpc_request_t *request)
{
    static const status_t ok;
    ttrpc_request_answer(&request, &ok, NULL, 0);
}

static void on_journalled(void *arg, bool is_stored)
{
    ttrpc_request_t *request = arg;
    if (is_stored) {
        acknowledge(request);
        return;
    }
    /* Acknowledging would promise what is not so; the shim will try again a few times. */
    status_t st;
    status_set(&st, STATUS_UNAVAILABLE, "event cannot be stored");
    ttrpc_request_answer(&request, &st, NULL, 0);
}

static int64_t time_of(const envelope_t *envelope)
{
    const Google__Protobuf__Timestamp *time = envelope->timestamp;
    if (!time || time->seconds <= 0 || time->seconds >= INT64_MAX / NS_PER_SECOND)
        return util_now_ns();
    return time->seconds * NS_PER_SECOND + time->nanos;
}

/* Type URLs of shims are bare message names; others put a host before it. */
static const char *type_name(const char *url)
{
    const char *slash = strrchr(url, '/');
    return slash ? slash + 1 : url;
}

static status_code_t add_event(shim_events_t *self, const envelope_t *envelope,
                               ttrpc_request_t *request, status_t *st)
{
    const Google__Protobuf__Any *any = envelope->event;
    const char *type = type_name(any->type_url);
    if (!utf8_is_valid(type, strlen(type)))
        return status_set(st, STATUS_INVALID_ARGUMENT, "its type is not text");
    intake_event_t event = {.ns = envelope->namespace_,
                            .topic = envelope->topic,
                            .type = type,
                            .time = time_of(envelope),
                            .raw = {.data = any->value.data, .size = any->value.len}};
    msgpack_sbuffer fields;
    msgpack_packer packer;
    status_t unknown;
    msgpack_sbuffer_init(&fields);
    msgpack_packer_init(&packer, &fields, msgpack_sbuffer_write);
    if (!proto_value_pack(&packer, type, any->value.data, any->value.len, &unknown)) {
        event.fields = (msg_bytes_t){.data = (uint8_t *)fields.data, .size = fields.size};
        if (!journal_takes_fields(&event.fields))
            event.fields = (msg_bytes_t){.data = NULL};
    }
    if (event.fields.data)
        event.raw = (msg_bytes_t){.data = NULL};
    intake_add(self->intake, &event, on_journalled, request, st);
    msgpack_sbuffer_destroy(&fields);
    return st->code;
}

static void on_forward(shim_events_t *self, ttrpc_request_t *request, const uint8_t *payload,
                       size_t size)
{
    status_t st = {.code = STATUS_OK};
    forward_t *forward =
        containerd__services__events__ttrpc__v1__forward_request__unpack(NULL, size, payload);
    if (!forward || !forward->envelope || !forward->envelope->event)
        status_set(&st, STATUS_INVALID_ARGUMENT, "it is no event");
    else
        add_event(self, forward->envelope, request, &st);
    if (st.code) {
        log_warn("event %s of shim %d dropped: %s",
                 forward && forward->envelope ? forward->envelope->topic : "-",
                 ttrpc_request_peer_pid(request), st.text);
        acknowledge(request);
    }
    containerd__services__events__ttrpc__v1__forward_request__free_unpacked(forward, NULL);
}

static void on_request(void *arg, ttrpc_request_t *request, const char *service, const char *method,
                       const uint8_t *payload, size_t size, const char *ns)
{
    status_t st;
    (void)ns; /* the envelope has its own */
    if (!strcmp(service, SERVICE) && !strcmp(method, "Forward")) {
        on_forward(arg, request, payload, size);
        return;
    }
    if (strcmp(service, SERVICE))
        status_set(&st, STATUS_UNIMPLEMENTED, "service %s", service);
    else
        status_set(&st, STATUS_UNIMPLEMENTED, "method %s", method);
    ttrpc_request_answer(&request, &st, NULL, 0);
}

/* Socket ----------------------------------------------------------------------------------------
 */

static int make_listener(const cluster_t *cluster, status_t *st)
{
    AUTO_FREE char *path = cluster_socket_path(cluster, CLUSTER_SHIM_EVENTS);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path); /* CLUSTER_RUN_DIR_MAX: fits */
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        status_errno(st, errno, "make a socket");
        return -1;
    }
    if (unlink(path) && errno != ENOENT) {
        status_errno(st, errno, "remove %s", path);
        return -1;
    }
    mode_t mask = umask(0177);
    int failed = bind(fd, (const struct sockaddr *)&address, sizeof address);
    umask(mask);
    if (failed || listen(fd, BACKLOG)) {
        status_errno(st, errno, "listen on %s", path);
        return -1;
    }
    int ret = fd;
    fd = -1;
    return ret;
}

shim_events_t *shim_events_new(io_set_t *io, const cluster_t *cluster, intake_t *intake,
                               status_t *st)
{
    shim_events_t *self = zmalloc(sizeof *self);
    *self = (shim_events_t){.intake = intake,
                            .listener = cluster_inherited_socket(CLUSTER_SHIM_EVENTS)};
    if (self->listener < 0)
        self->listener = make_listener(cluster, st);
    if (self->listener >= 0)
        self->server = ttrpc_server_new(io, self->listener, on_request, self, st);
    if (!self->server)
        shim_events_destroy(&self);
    return self;
}

void shim_events_destroy(shim_events_t **self_p)
{
    shim_events_t *self = *self_p;
    if (!self)
        return;
    if (self->server)
        ttrpc_server_destroy(&self->server);
    util_close(&self->listener);
    free(self);
    *self_p = NULL;
}
