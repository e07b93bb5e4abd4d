/* Jobs to their workers, answers to their askers, and what happens when either is late or dead. */
#include "broker/router_internal.h"

#include "common/failpoint.h"
#include "common/log.h"
#include "common/util.h"

#include <inttypes.h>

/* All jobs are looked at when the first deadline has come: not sooner than this after the last
 * time, so that many short deadlines do not cost more than a few looks, and not later than that,
 * because deadlines are on a clock that may be set. */
#define EXPIRY_MIN_MS 20
#define EXPIRY_MAX_MS 1000

/* Who waits for a worker that does not come up is told so while it still listens: so much before
 * its deadline, or a tenth of its time if that is less. */
#define AHEAD_MAX_MS 200
#define AHEAD_PART   10

void router_finish(router_t *self, job_t *job)
{
    service_t *service = job->service;
    if (job->state == JOB_QUEUED)
        service_unqueue(service, job);
    else
        service_count(service, job, false);
    service_release(service, job);
    zhashx_delete(self->jobs, &job->id);
}

static void send_job(router_t *self, service_t *service, job_t *job)
{
    msg_header_t header = {.v = 1,
                           .id = job->id,
                           .method = job->method,
                           .ns = job->ns[0] ? job->ns : NULL,
                           .deadline = job_last_deadline(job),
                           .first = job->is_first,
                           .redelivered = job->redelivered,
                           .peer = &job->peer};
    zmq_msg_t frame, body;
    frame_encode(&frame, MSG_header, &header);
    zmq_msg_init(&body);
    zmq_msg_copy(&body, &job->body);
    route_send(&self->workers, &service->worker, false, &frame, &body);
    zmq_msg_close(&frame);
    zmq_msg_close(&body);
    job->state = JOB_SENT;
    job->is_first = false;
    service_count(service, job, true);
    if (job->redelivered)
        service->redelivered++;
}

void router_dispatch(router_t *self, service_t *service)
{
    job_t *job;
    while ((job = service_next(service, util_monotonic_us())))
        send_job(self, service, job);
    if (service->due)
        io_timer_advance(self->io, &self->calm, service->due);
}

void router_calm(void *arg)
{
    router_t *self = arg;
    for (service_t *s = zhashx_first(self->services); s; s = zhashx_next(self->services))
        if (s->due)
            router_dispatch(self, s);
}

status_code_t router_ask(router_t *self, msg_id_t id, const void *ask)
{
    const method_t *method = zhashx_lookup(self->methods, msg_type(id)->name);
    msg_uuid_t uuid;
    status_t st;
    msg_uuid_new(&uuid);
    job_t *job = job_new(&uuid);
    job->service = method->service;
    job->method = method->name;
    job->redelivery = method->redelivery;
    job->class = CLASS_READ;
    job->lane = LANE_WORK;
    job->takes_slot = job->is_own = true;
    job->serial = ++self->serial;
    job->deadline = util_now_ms() + (int64_t)method->seconds * 1000;
    job->peer = (msg_peer_t){.pid = getpid(), .uid = getuid(), .gid = getgid()};
    frame_encode(&job->body, id, ask);
    job->body_size = zmq_msg_size(&job->body);
    if (service_enqueue(job->service, job, false, &st)) {
        job_destroy(&job);
        return st.code;
    }
    zhashx_insert(self->jobs, &job->id, job);
    router_watch_deadline(self, job);
    router_dispatch(self, job->service);
    return STATUS_OK;
}

void router_take_answer(router_t *self, arrival_t *arrival)
{
    job_t *job = zhashx_lookup(self->jobs, &arrival->header.id);
    /* Answered already, or asked of an earlier broker: the asker asks again. One that waits for a
     * successor is answered all the same, when its worker's last words come after the news of its
     * death. */
    if (!job)
        return;
    service_t *service = job->service;
    status_t ignored;
    FAILPOINT(&ignored, "answer %s", job->method);
    service->answered++;
    job_answer(job, arrival->header_frame, arrival->body, self->unread);
    router_finish(self, job);
    router_dispatch(self, service);
}

/* What becomes of a job whose worker died: true when it goes to the successor. */
static bool goes_on(job_t *job, status_t *st)
{
    if (job->route_count == 0 && !job->is_own)
        return false; /* it expired; recovery sees to what it left */
    if (job->redelivery == REDELIVERY_NEVER) {
        status_set(st, STATUS_UNAVAILABLE, "%s: the worker died, outcome unknown", job->method);
        return false;
    }
    job->redelivered = true;
    if (!service_job_survives(job->service, job)) {
        const char *obituary = job->service->obituary;
        status_set(st, STATUS_INTERNAL, "%s: set aside, %u workers died with it%s%s", job->method,
                   job->deaths, *obituary ? ", the last one: " : "", obituary);
        return false;
    }
    return true;
}

/* Nobody else can say what became of a request whose workers all died: the same id again is to have
 * the same answer, and not three more of them. */
static void set_aside(router_t *self, const job_t *job, const status_t *st)
{
    msg_request_record_t record = {.id = job->id,
                                   .method = job->method,
                                   .ns = job->ns[0] ? job->ns : NULL,
                                   .status = (uint32_t)st->code,
                                   .message = st->text,
                                   .peer = (msg_peer_t *)&job->peer};
    log_error("%s, namespace %s, asked by process %lld of user %lld", st->text,
              job->ns[0] ? job->ns : "-", (long long)job->peer.pid, (long long)job->peer.uid);
    bool is_recorded = job->class == CLASS_WRITE || job->class == CLASS_URGENT;
    if (is_recorded && router_ask(self, MSG_request_record, &record))
        log_warn("%s: set aside, and not recorded", job->method);
}

static int compare_newest_first(const void *a, const void *b)
{
    const job_t *job_a = *(job_t *const *)a, *job_b = *(job_t *const *)b;
    return (job_a->serial < job_b->serial) - (job_a->serial > job_b->serial);
}

/* What the worker has been given, newest first: putting each to the front of its queue restores the
 * order of arrival. The caller frees. (zlistx_sort of czmq 4.2.1 leaves some lists unsorted.) */
static job_t **given_to(router_t *self, const service_t *service, size_t *count)
{
    job_t **given = zmalloc((service->in_flight + 1) * sizeof *given);
    *count = 0;
    for (job_t *job = zhashx_first(self->jobs); job; job = zhashx_next(self->jobs))
        if (job->service == service && job->state == JOB_SENT)
            given[(*count)++] = job;
    assert(*count == service->in_flight);
    qsort(given, *count, sizeof(job_t *), compare_newest_first);
    return given;
}

void router_requeue_all(router_t *self, service_t *service, bool died)
{
    size_t count;
    AUTO_FREE job_t **orphans = given_to(self, service, &count);
    for (size_t i = 0; i < count; i++) {
        job_t *job = orphans[i];
        status_t st = {.code = STATUS_OK};
        if (!died || goes_on(job, &st)) {
            service_count(service, job, false);
            service_enqueue(service, job, true, &st);
            continue;
        }
        if (st.code == STATUS_INTERNAL)
            set_aside(self, job, &st);
        job_fail(job, &st);
        router_finish(self, job);
    }
}

void router_give_back(router_t *self, job_t *job)
{
    status_t ignored;
    if (job->route_count == 0 && !job->is_own) {
        router_finish(self, job);
        return;
    }
    service_count(job->service, job, false);
    service_enqueue(job->service, job, true, &ignored);
}

/* No worker will be there for it; an earlier one may have carried it out. */
static void explain_vain(const job_t *job, const char *why, status_t *st)
{
    status_set(st, STATUS_UNAVAILABLE, "%s: %s%s", job->method,
               job->redelivered ? "the worker died, outcome unknown; " : "", why);
}

void router_fail_queued(router_t *self, service_t *service, const status_t *st)
{
    for (size_t i = 0; i < LANE_COUNT; i++) {
        job_t *job;
        while ((job = TAILQ_FIRST(&service->lanes[i].jobs))) {
            status_t own;
            explain_vain(job, st->text, &own);
            job_fail(job, &own);
            router_finish(self, job);
        }
    }
}

/* A wait may last for years, and its client be gone for as long. */
static void forget(router_t *self, const job_t *job)
{
    const msg_worker_forget_t notice = {.id = job->id};
    router_notify(self, &job->service->worker, MSG_worker_forget, &notice);
}

static int64_t ahead_of(const job_t *job)
{
    int64_t ahead = (job->deadline - job->arrived / 1000000) / AHEAD_PART;
    if (ahead < 0)
        return 0;
    return ahead < AHEAD_MAX_MS ? ahead : AHEAD_MAX_MS;
}

static bool waits_in_vain(const job_t *job)
{
    return job->state == JOB_QUEUED && !job->service->has_worker && job->service->stillborn;
}

/* When it is to be failed. */
static int64_t due_of(const job_t *job)
{
    return job->deadline - (waits_in_vain(job) ? ahead_of(job) : 0);
}

static void expire(router_t *self, job_t *job, int64_t now)
{
    status_t st, why;
    if (waits_in_vain(job)) {
        status_set(&why, STATUS_UNAVAILABLE, "%s does not come up: %s", job->service->name,
                   job->service->obituary);
        explain_vain(job, why.text, &st);
        now += ahead_of(job);
    } else if (job->state == JOB_QUEUED && !job->redelivered)
        status_set(&st, STATUS_DEADLINE_EXCEEDED, "%s: %s did not take it before the deadline",
                   job->method, job->service->name);
    else
        status_set(&st, STATUS_DEADLINE_EXCEEDED,
                   "%s: still running at the deadline, request.get tells what becomes of it",
                   job->method);
    job_fail_late(job, &st, now);
    /* Where a worker has it, it may yet finish: the slot stays taken until it says so or dies. */
    if (job->route_count > 0)
        return;
    if (job->state == JOB_QUEUED)
        router_finish(self, job);
    else if (!job->takes_slot)
        forget(self, job);
}

void router_watch_deadline(router_t *self, const job_t *job)
{
    int64_t now = util_now_ms(), due = job->deadline - ahead_of(job);
    if (due < now)
        due = job->deadline;
    if (!job->deadline || (self->expiry.is_set && due >= self->first_deadline))
        return;
    self->first_deadline = due;
    int64_t left = due + 1 - now;
    if (left < EXPIRY_MIN_MS)
        left = EXPIRY_MIN_MS;
    else if (left > EXPIRY_MAX_MS)
        left = EXPIRY_MAX_MS;
    io_timer_advance(self->io, &self->expiry, util_monotonic_us() + left * 1000);
}

void router_expire(void *arg)
{
    router_t *self = arg;
    int64_t now = util_now_ms();
    zlistx_t *late = zlistx_new();
    for (job_t *job = zhashx_first(self->jobs); job; job = zhashx_next(self->jobs))
        if (job->deadline && due_of(job) < now)
            zlistx_add_end(late, job);
    for (job_t *job = zlistx_first(late); job; job = zlistx_next(late))
        expire(self, job, now);
    zlistx_destroy(&late);
    for (job_t *job = zhashx_first(self->jobs); job; job = zhashx_next(self->jobs))
        router_watch_deadline(self, job);
}
