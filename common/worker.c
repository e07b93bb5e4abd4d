/* The skeleton of every worker: options, signals, loop, link, readiness and the way out. */
#include "common/worker_internal.h"

#include "common/io_timer.h"
#include "common/process.h"
#include "common/util.h"

#include <sys/epoll.h>
#include <sys/signalfd.h>

#define HEARTBEAT_MS 2500 /* the broker looks for ten seconds of silence */

static void on_signal(void *arg, int fd, uint32_t events)
{
    worker_t *self = arg;
    struct signalfd_siginfo info;
    (void)events;
    if (read(fd, &info, sizeof info) == sizeof info)
        worker_stop(self, info.ssi_signo == SIGINT);
}

static void say_ready(worker_t *self)
{
    msg_method_entry_t *entries = zmalloc((self->method_count + 1) * sizeof *entries);
    for (size_t i = 0; i < self->method_count; i++) {
        const msg_type_t *type = msg_type(self->methods[i].id);
        entries[i] = (msg_method_entry_t){.name = type->name,
                                          .redelivery = msg_redelivery_name(type->redelivery),
                                          .class = msg_class_name(type->class),
                                          .seconds = type->seconds};
    }
    msg_worker_ready_t ready = {.service = msg_service_name(self->service),
                                .pid = (uint32_t)getpid(),
                                .window = self->window,
                                .methods = {.items = entries, .count = self->method_count}};
    link_notify(self->link, MSG_worker_ready, &ready);
    free(entries);
}

static void on_connect(void *arg)
{
    worker_t *self = arg;
    worker_forget_kept_back(self);
    if (self->stopping)
        worker_say_goodbye(self); /* a broker that comes now knows nothing of us */
    else if (self->is_ready)
        say_ready(self);
}

static void on_forget(worker_t *self, zmq_msg_t *body)
{
    msg_worker_forget_t notice;
    status_t st;
    msgpack_zone zone;
    msgpack_zone_init(&zone, MSGPACK_ZONE_CHUNK_SIZE);
    if (msg_decode(MSG_worker_forget, zmq_msg_data(body), zmq_msg_size(body), &zone, &notice, &st))
        log_warn("notice dropped: %s", st.text);
    else
        request_forget(self, &notice.id);
    msgpack_zone_destroy(&zone);
}

static void on_request(void *arg, const msg_header_t *header, zmq_msg_t *body)
{
    worker_t *self = arg;
    if (!strcmp(header->method, msg_type(MSG_worker_who)->name))
        on_connect(self);
    else if (!strcmp(header->method, msg_type(MSG_worker_released)->name))
        self->released = self->stopping;
    else if (!strcmp(header->method, msg_type(MSG_worker_forget)->name))
        on_forget(self, body);
    else {
        request_begin(self, header, body);
        return;
    }
    zmq_msg_close(body);
}

static void on_heartbeat(void *arg)
{
    worker_t *self = arg;
    msg_worker_heartbeat_t beat = {.service = msg_service_name(self->service),
                                   .pid = (uint32_t)getpid()};
    if (self->is_ready && !self->stopping)
        link_notify(self->link, MSG_worker_heartbeat, &beat);
    io_timer_in(self->io, &self->heartbeat, HEARTBEAT_MS);
}

static void *copy_uuid(const void *id)
{
    msg_uuid_t *copy = zmalloc(sizeof *copy);
    *copy = *(const msg_uuid_t *)id;
    return copy;
}

static void free_uuid(void **id)
{
    free(*id);
    *id = NULL;
}

static zlistx_t *kept_back_new(void)
{
    zlistx_t *list = zlistx_new();
    zlistx_set_duplicator(list, copy_uuid);
    zlistx_set_destructor(list, free_uuid);
    return list;
}

worker_t *worker_attach(msg_service_t service, io_set_t *io, const cluster_t *cluster, status_t *st)
{
    AUTO_FREE char *endpoint = cluster_endpoint(cluster, CLUSTER_WORKER);
    link_t *link = link_new(io, endpoint, st);
    if (!link)
        return NULL;
    worker_t *self = zmalloc(sizeof *self);
    *self = (worker_t){.service = service,
                       .io = io,
                       .cluster = *cluster,
                       .link = link,
                       .journal = request_journal_remote,
                       .requests = request_table_new(),
                       .kept_back = kept_back_new(),
                       .signals = -1};
    self->journal.arg = self;
    link_serve(link, on_request, on_connect, self);
    io_timer_init(&self->heartbeat, on_heartbeat, self);
    io_timer_init(&self->ending, worker_stop_look, self);
    io_timer_in(io, &self->heartbeat, HEARTBEAT_MS);
    return self;
}

worker_t *worker_new(msg_service_t service, int argc, char **argv)
{
    static char name[32];
    snprintf(name, sizeof name, "shimd-%s", msg_service_name(service));
    cluster_t cluster;
    int signals = process_init(name, argc, argv, &cluster);
    zsys_handler_set(NULL);
    io_set_t *io = io_set_new(NULL);
    status_t st;
    worker_t *self = worker_attach(service, io, &cluster, &st);
    if (!self) {
        log_error("start: %s", st.text);
        exit(EXIT_FAILURE);
    }
    self->owns_io = true;
    self->signals = signals;
    io_set_add(io, signals, EPOLLIN, on_signal, self);
    return self;
}

void worker_destroy(worker_t **self_p)
{
    worker_t *self = *self_p;
    if (!self)
        return;
    io_timer_stop(self->io, &self->heartbeat);
    io_timer_stop(self->io, &self->ending);
    zhashx_destroy(&self->requests);
    zlistx_destroy(&self->kept_back);
    link_destroy(&self->link);
    if (self->owns_io) {
        io_set_remove(self->io, self->signals);
        util_close(&self->signals);
        io_set_destroy(&self->io);
    }
    free(self);
    *self_p = NULL;
}

io_set_t *worker_io(worker_t *self)
{
    return self->io;
}

link_t *worker_link(worker_t *self)
{
    return self->link;
}

const cluster_t *worker_cluster(worker_t *self)
{
    return &self->cluster;
}

void worker_serve(worker_t *self, const worker_method_t *methods, size_t count, void *handler_self,
                  uint32_t window)
{
    self->methods = methods;
    self->method_count = count;
    self->handler_self = handler_self;
    self->window = window;
}

void worker_set_journal(worker_t *self, const worker_journal_t *journal)
{
    self->journal = *journal;
}

void worker_set_forget(worker_t *self, worker_forget_t *forget)
{
    self->forget = forget;
}

void worker_ready(worker_t *self)
{
    self->is_ready = true;
    say_ready(self);
    cluster_notify_ready();
    log_debug("ready");
}

int worker_run(worker_t *self)
{
    io_set_run(self->io);
    log_debug("stopped");
    return EXIT_SUCCESS;
}
