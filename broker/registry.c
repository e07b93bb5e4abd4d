/* Which services and methods there are, and the lives of the workers that serve them. */
#include "broker/router_internal.h"

#include "common/log.h"
#include "common/util.h"

#define REDELIVERY_NAMES (REDELIVERY_NEVER + 1)
#define CLASS_NAMES      (CLASS_INTERNAL + 1)
#define HANGS_LOOK_MS    (ROUTER_HANG_MS / 4)

service_t *router_service(router_t *self, const char *name)
{
    service_t *service = zhashx_lookup(self->services, name);
    if (!service) {
        service = service_new(name);
        zhashx_insert(self->services, service->name, service);
    }
    return service;
}

static void know_method(router_t *self, const char *name, service_t *service,
                        msg_redelivery_t redelivery, msg_class_t class, unsigned seconds)
{
    method_t *method = zhashx_lookup(self->methods, name);
    if (!method) {
        method = zmalloc(sizeof *method);
        snprintf(method->name, sizeof method->name, "%s", name);
        zhashx_insert(self->methods, method->name, method);
    }
    method->service = service;
    method->redelivery = redelivery;
    method->class = class;
    method->seconds = seconds;
}

/* Workers say what they answer. Until they have, a request for one of the methods of messages.def
 * waits for its worker rather than being called unknown. */
void router_know_methods(router_t *self)
{
    for (msg_id_t id = 0; id < MSG_COUNT; id++) {
        const msg_type_t *type = msg_type(id);
        if (type->name && type->service != SERVICE_LINK)
            know_method(self, type->name, router_service(self, msg_service_name(type->service)),
                        type->redelivery, type->class, type->seconds);
    }
}

/* Which of the names it is; `count` for none of them. */
static unsigned name_index(const char *name, const char *(*name_of)(unsigned), unsigned count)
{
    unsigned i = 0;
    while (i < count && strcmp(name, name_of(i)))
        i++;
    return i;
}

static const char *redelivery_name(unsigned i)
{
    return msg_redelivery_name((msg_redelivery_t)i);
}

static const char *class_name(unsigned i)
{
    return msg_class_name((msg_class_t)i);
}

static void learn_method(router_t *self, service_t *service, const msg_method_entry_t *entry)
{
    const method_t *known = zhashx_lookup(self->methods, entry->name);
    unsigned redelivery = name_index(entry->redelivery, redelivery_name, REDELIVERY_NAMES);
    unsigned class = name_index(entry->class, class_name, CLASS_NAMES);
    if (known && known->service != service)
        log_warn("%s: claims %s, which is of %s", service->name, entry->name, known->service->name);
    else if (redelivery == REDELIVERY_NAMES || class == CLASS_NAMES)
        log_warn("%s: %s: redelivery %s or class %s is unknown", service->name, entry->name,
                 entry->redelivery, entry->class);
    else
        know_method(self, entry->name, service, (msg_redelivery_t)redelivery, (msg_class_t) class,
                    entry->seconds);
}

static void lose_worker(router_t *self, service_t *service)
{
    service->has_worker = false;
    service->pid = 0;
    router_requeue_all(self, service, true);
    service->leaves = false;
}

static bool is_same_connection(service_t *service, arrival_t *arrival)
{
    size_t size = zmq_msg_size(&service->worker);
    return size == zmq_msg_size(arrival->identity) &&
           !memcmp(zmq_msg_data(&service->worker), zmq_msg_data(arrival->identity), size);
}

static void on_ready(router_t *self, arrival_t *arrival, const msg_worker_ready_t *ready)
{
    if (!strcmp(ready->service, msg_service_name(SERVICE_BROKER))) {
        log_warn("worker %u claims to be the broker", ready->pid);
        return;
    }
    service_t *service = router_service(self, ready->service);
    /* A successor that is faster than the news of its predecessor's death, which may have said
     * goodbye and still owe answers. */
    if (service->pid && service->pid != ready->pid)
        lose_worker(self, service);
    else if (service->pid && !is_same_connection(service, arrival))
        router_requeue_all(self, service, false); /* what was on its way to it or back is lost */
    zmq_msg_copy(&service->worker, arrival->identity);
    service->has_worker = true;
    service->failed = service->leaves = false;
    service->stillborn = 0;
    service->restart_asked = 0;
    service->pid = ready->pid;
    service->window = ready->window;
    service->heard = util_monotonic_us();
    for (size_t i = 0; i < ready->methods.count; i++)
        learn_method(self, service, &ready->methods.items[i]);
    log_debug("%s: worker %u is ready", service->name, ready->pid);
    router_dispatch(self, service);
}

void router_notify(router_t *self, zmq_msg_t *worker, msg_id_t notice, const void *value)
{
    msg_header_t header = {.v = 1, .method = msg_type(notice)->name};
    zmq_msg_t frame, body;
    msg_uuid_new(&header.id);
    frame_encode(&frame, MSG_header, &header);
    frame_encode(&body, notice, value);
    route_send(&self->workers, worker, false, &frame, &body);
    zmq_msg_close(&frame);
    zmq_msg_close(&body);
}

static void on_heartbeat(router_t *self, arrival_t *arrival, const msg_worker_heartbeat_t *beat)
{
    service_t *service = zhashx_lookup(self->services, beat->service);
    if (!service || !service->has_worker || service->pid != beat->pid)
        router_notify(self, arrival->identity, MSG_worker_who, &(msg_worker_who_t){0});
    else
        service->heard = util_monotonic_us();
}

static void on_goodbye(router_t *self, arrival_t *arrival, const msg_worker_goodbye_t *goodbye)
{
    service_t *service = zhashx_lookup(self->services, goodbye->service);
    if (service && service->pid == goodbye->pid) {
        service->has_worker = false; /* what it was given it still answers */
        service->leaves = true;
    }
    /* Behind everything that it was given, and also to one that is not known (any more). */
    router_notify(self, arrival->identity, MSG_worker_released, &(msg_worker_released_t){0});
}

static void on_returned(router_t *self, arrival_t *arrival, const msg_worker_returned_t *returned)
{
    job_t *job = zhashx_lookup(self->jobs, &returned->id);
    if (job && job->state == JOB_SENT && is_same_connection(job->service, arrival))
        router_give_back(self, job);
}

static void on_exited(router_t *self, const msg_worker_exited_t *exited)
{
    service_t *service = zhashx_lookup(self->services, exited->service);
    if (!service)
        return;
    snprintf(service->obituary, sizeof service->obituary, "%s",
             exited->obituary ? exited->obituary : "");
    if (service->pid == exited->pid)
        lose_worker(self, service);
    else if (!service->has_worker)
        service->stillborn++;
    if (exited->failed && !service->has_worker) {
        status_t st;
        service->failed = true;
        status_set(&st, STATUS_UNAVAILABLE, "%s: the worker cannot be started: %s", service->name,
                   exited->obituary ? exited->obituary : "unknown reason");
        router_fail_queued(self, service, &st);
    }
}

void router_take_notice(router_t *self, arrival_t *arrival, msg_id_t notice)
{
    AUTO_FREE void *value = zmalloc(msg_type(notice)->size);
    msgpack_zone zone;
    status_t st;
    msgpack_zone_init(&zone, MSGPACK_ZONE_CHUNK_SIZE);
    if (msg_decode(notice, zmq_msg_data(arrival->body), zmq_msg_size(arrival->body), &zone, value,
                   &st)) {
        self->malformed++;
        log_warn("notice dropped: %s", st.text);
    } else if (notice == MSG_worker_ready) {
        on_ready(self, arrival, value);
    } else if (notice == MSG_worker_heartbeat) {
        on_heartbeat(self, arrival, value);
    } else if (notice == MSG_worker_goodbye) {
        on_goodbye(self, arrival, value);
    } else if (notice == MSG_worker_returned) {
        on_returned(self, arrival, value);
    } else if (notice == MSG_worker_exited) {
        on_exited(self, value);
    }
    msgpack_zone_destroy(&zone);
}

/* The supervisor sees a death at once, but not a loop that has stopped turning. */
static void ask_restart(router_t *self, service_t *service)
{
    msg_cluster_restart_t ask = {.process = service->name, .hung = true};
    service->restart_asked = util_monotonic_us(); /* not again before the limit, whatever happens */
    if (router_ask(self, MSG_cluster_restart, &ask))
        return;
    log_warn("%s: worker %u has been silent for %d ms, asking for a restart", service->name,
             service->pid, ROUTER_HANG_MS);
}

/* A broker that did not run itself has heard nobody: the workers get their time again. */
static void forgive(router_t *self, int64_t now)
{
    if (now - self->hangs_due > (int64_t)ROUTER_LATE_MS * 1000)
        for (service_t *s = zhashx_first(self->services); s; s = zhashx_next(self->services))
            s->heard = now;
}

/* Who is silent but in time, and when the first of them will be so for too long. False when the
 * table may have changed under the walk. */
static bool check_silence(router_t *self, int64_t now, int64_t *due)
{
    int64_t limit = (int64_t)ROUTER_HANG_MS * 1000;
    for (service_t *s = zhashx_first(self->services); s; s = zhashx_next(self->services)) {
        int64_t since = s->restart_asked > s->heard ? s->restart_asked : s->heard;
        if (!s->has_worker || !strcmp(s->name, msg_service_name(SERVICE_CLUSTER)))
            continue;
        if (now - since > limit) {
            ask_restart(self, s);
            return false;
        }
        if (since + limit + 1 < *due)
            *due = since + limit + 1;
    }
    return true;
}

/* Looking a few times within the limit tells of a broker that was held up before it wrongs a
 * worker. */
void router_check_hangs(void *arg)
{
    router_t *self = arg;
    int64_t now = util_monotonic_us(), due;
    forgive(self, now);
    do
        due = now + HANGS_LOOK_MS * 1000;
    while (!check_silence(self, now, &due));
    self->hangs_due = due;
    io_timer_at(self->io, &self->hangs, due);
}
