/* The supervisor as a worker. */
#include "broker/supervisor/control.h"

#include "common/io_timer.h"
#include "common/util.h"
#include "common/worker.h"

#define WINDOW 32 /* requests the broker may hand over at once */
#define STATUS_WAIT_MS                                                                             \
    1000 /* for the broker's numbers; without them the rest is still worth saying */
#define BROKER_WATCH_MS 2000  /* between looks at the broker */
#define BROKER_HANG_MS  10000 /* a broker silent for this long is replaced */

struct control {
    const member_world_t *world;
    member_t *const *members;
    size_t member_count;
    member_t *broker;
    io_timer_t watch; /* the broker is asked whether it is alive */
    reaper_t *reaper;
    round_t *round;
    worker_t *worker;
    int64_t began_us; /* monotonic */
    bool is_closed;
    uint32_t replacements; /* supervisors before this one in the same process */
};

static const char *broker_name(void)
{
    return msg_service_name(SERVICE_BROKER);
}

static size_t find_member(const control_t *self, const char *name)
{
    size_t i = 0;
    while (i < self->member_count && strcmp(member_name(self->members[i]), name))
        i++;
    return i;
}

/* cluster.status ----------------------------------------------------------------------------------
 */

typedef struct status_ask {
    control_t *control;
    request_t *request;
} status_ask_t;

static void add_broker_numbers(msg_cluster_process_t *row, const char *service,
                               const msg_broker_state_t *state)
{
    for (size_t i = 0; state && i < state->services.count; i++) {
        const msg_service_status_t *known = &state->services.items[i];
        if (strcmp(known->name, service))
            continue;
        row->queued = known->queued;
        row->in_flight = known->in_flight;
    }
}

static msg_cluster_process_t own_row(const control_t *self)
{
    return (msg_cluster_process_t){.name = "supervisor",
                                   .state = child_state_name(CHILD_READY),
                                   .pid = (uint32_t)getpid(),
                                   .uptime_ms = (util_monotonic_us() - self->began_us) / 1000,
                                   .restarts = self->replacements};
}

static void answer_status(control_t *self, request_t *request, const msg_broker_state_t *state)
{
    msg_cluster_process_t rows[ROUND_MEMBERS_MAX + 1];
    rows[0] = own_row(self);
    add_broker_numbers(&rows[0], msg_service_name(SERVICE_CLUSTER), state);
    for (size_t i = 0; i < self->member_count; i++) {
        /* They stand in the order of stopping; people look for the broker first. */
        const member_t *member = self->members[self->member_count - 1 - i];
        rows[i + 1] = (msg_cluster_process_t){.name = member_name(member),
                                              .state = child_state_name(member_state(member)),
                                              .pid = (uint32_t)member_pid(member),
                                              .uptime_ms = member_uptime_ms(member),
                                              .restarts = member_restarts(member),
                                              .obituary = member_obituary(member)};
        add_broker_numbers(&rows[i + 1], member_name(member), state);
    }
    msg_cluster_t answer = {.processes = {.items = rows, .count = self->member_count + 1},
                            .version = SHIMD_VERSION,
                            .run_dir = self->world->cluster->run_dir,
                            .root_dir = self->world->cluster->root_dir,
                            .libexec_dir = self->world->libexec};
    request_answer(request, &answer);
}

static void on_broker_status(void *arg, const status_t *st, const void *answer)
{
    status_ask_t *ask = arg;
    if (st->code)
        log_debug("cluster.status without the broker's numbers: %s", st->text);
    answer_status(ask->control, ask->request, answer);
}

static void on_cluster_status(void *arg, request_t *request, const void *ask)
{
    (void)ask;
    control_t *self = arg;
    status_ask_t *pending = msgpack_zone_malloc(request_zone(request), sizeof *pending);
    if (!pending)
        abort();
    *pending = (status_ask_t){.control = self, .request = request};
    link_ask(worker_link(self->worker), MSG_broker_status, &(msg_broker_status_t){0}, NULL,
             STATUS_WAIT_MS, NULL, on_broker_status, pending);
}

/* The broker watches the workers, and nobody else the broker
 * ----------------------------------------
 */

static void on_pong(void *arg, const status_t *st, const void *answer)
{
    control_t *self = arg;
    (void)answer;
    bool is_deaf = st->code == STATUS_DEADLINE_EXCEEDED && !self->is_closed &&
                   member_state(self->broker) == CHILD_READY &&
                   member_uptime_ms(self->broker) > BROKER_HANG_MS;
    if (is_deaf) {
        log_warn("broker: process %d has been silent for %d ms and is killed",
                 (int)member_pid(self->broker), BROKER_HANG_MS);
        member_kill(self->broker);
    }
    io_timer_in(self->world->io, &self->watch, BROKER_WATCH_MS);
}

static void on_watch(void *arg)
{
    control_t *self = arg;
    link_ask(worker_link(self->worker), MSG_broker_ping, &(msg_broker_ping_t){0}, NULL,
             BROKER_HANG_MS, NULL, on_pong, self);
}

/* Life --------------------------------------------------------------------------------------------
 */

static void on_cluster_reaped(void *arg, request_t *request, const void *ask)
{
    control_t *self = arg;
    reaper_ask(self->reaper, request, ask);
}

static void on_cluster_restart(void *arg, request_t *request, const void *ask)
{
    control_t *self = arg;
    round_ask(self->round, request, ask);
}

static bool on_forget(void *arg, request_t *request)
{
    control_t *self = arg;
    return reaper_forget(self->reaper, request);
}

static const worker_method_t methods[] = {
    {MSG_cluster_status, on_cluster_status},
    {MSG_cluster_restart, on_cluster_restart},
    {MSG_cluster_reaped, on_cluster_reaped},
};

control_t *control_new(const member_world_t *world, member_t *const *members, size_t count,
                       reaper_t *reaper, round_t *round, uint32_t replacements, status_t *st)
{
    assert(count <= ROUND_MEMBERS_MAX);
    worker_t *worker = worker_attach(SERVICE_CLUSTER, world->io, world->cluster, st);
    if (!worker)
        return NULL;
    control_t *self = zmalloc(sizeof *self);
    *self = (control_t){.world = world,
                        .members = members,
                        .member_count = count,
                        .reaper = reaper,
                        .round = round,
                        .replacements = replacements,
                        .worker = worker,
                        .began_us = util_monotonic_us()};
    self->broker = members[find_member(self, broker_name())];
    io_timer_init(&self->watch, on_watch, self);
    io_timer_in(world->io, &self->watch, BROKER_WATCH_MS);
    worker_serve(worker, methods, ARRAY_SIZE(methods), self, WINDOW);
    worker_set_forget(worker, on_forget);
    worker_ready(worker);
    return self;
}

void control_destroy(control_t **self)
{
    if (!*self)
        return;
    io_timer_stop((*self)->world->io, &(*self)->watch);
    worker_destroy(&(*self)->worker);
    free(*self);
    *self = NULL;
}

void control_close(control_t *self)
{
    self->is_closed = true;
}

void control_tell_death(control_t *self, const member_t *member, pid_t pid)
{
    child_state_t state = member_state(member);
    msg_worker_exited_t death = {.service = member_name(member),
                                 .pid = (uint32_t)pid,
                                 .obituary = member_obituary(member),
                                 .failed = state == CHILD_FAILED || state == CHILD_DOWN};
    /* The broker's own death is for nobody to hear. */
    if (strcmp(member_name(member), broker_name()))
        link_notify(worker_link(self->worker), MSG_worker_exited, &death);
}
