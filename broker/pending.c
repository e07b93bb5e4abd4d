/* What has not been answered yet, wherever it is: broker.requests, and request.get of one such. */
#include "broker/router_internal.h"

#include "common/util.h"

#define PENDING_MAX 1000

static int by_serial(const void *a, const void *b)
{
    const job_t *left = *(job_t *const *)a, *right = *(job_t *const *)b;
    return left->serial < right->serial ? -1 : left->serial > right->serial;
}

/* What changes something; the cluster's own internal requests are no client's business. */
static bool is_listed(const job_t *job, const char *ns)
{
    return (job->class == CLASS_WRITE || job->class == CLASS_URGENT) && !strcmp(job->ns, ns);
}

/* The jobs of the namespace in order; the caller frees. */
static job_t **find(router_t *self, const char *ns, size_t *ret_count)
{
    job_t **found = zmalloc((zhashx_size(self->jobs) + 1) * sizeof *found);
    *ret_count = 0;
    for (job_t *job = zhashx_first(self->jobs); job; job = zhashx_next(self->jobs))
        if (is_listed(job, ns))
            found[(*ret_count)++] = job;
    qsort(found, *ret_count, sizeof *found, by_serial);
    return found;
}

static const char *state_of(const job_t *job)
{
    return job->state == JOB_SENT ? "running" : "waiting";
}

/* The broker does not read bodies otherwise: this is no request's way. */
static msg_target_t target_of(job_t *job, msgpack_zone *zone)
{
    msg_target_t target;
    status_t st;
    return msg_decode(MSG_target, zmq_msg_data(&job->body), zmq_msg_size(&job->body), zone, &target,
                      &st)
               ? (msg_target_t){.id = NULL}
               : target;
}

static bool describe(job_t *job, const char *id, msgpack_zone *zone, msg_pending_request_t *ret)
{
    msg_target_t target = target_of(job, zone);
    if (id && (!target.id || strcmp(id, target.id)))
        return false;
    *ret = (msg_pending_request_t){.id = job->id,
                                   .method = job->method,
                                   .ns = job->ns[0] ? job->ns : NULL,
                                   .state = state_of(job),
                                   .peer = &job->peer,
                                   .target = target.id,
                                   .exec_id = target.exec_id,
                                   .asked_at = job->arrived,
                                   .deaths = job->deaths};
    return true;
}

void router_answer_pending(router_t *self, arrival_t *arrival, const msg_broker_requests_t *ask)
{
    size_t count;
    msgpack_zone zone;
    const char *ns = arrival->header.ns ? arrival->header.ns : "";
    msg_pending_request_t *rows = zmalloc(PENDING_MAX * sizeof *rows);
    job_t **jobs = find(self, ns, &count);
    msg_pending_requests_t answer = {.requests = {.items = rows}};
    msgpack_zone_init(&zone, MSGPACK_ZONE_CHUNK_SIZE);
    for (size_t i = 0; i < count && answer.requests.count < PENDING_MAX; i++)
        if (describe(jobs[i], ask->id, &zone, &rows[answer.requests.count]))
            answer.requests.count++;
    router_reply(self, arrival, MSG_pending_requests, &answer);
    msgpack_zone_destroy(&zone);
    free(jobs);
    free(rows);
}

bool router_answer_unfinished(router_t *self, arrival_t *arrival)
{
    msg_request_get_t ask;
    status_t st;
    if (msg_decode(MSG_request_get, zmq_msg_data(arrival->body), zmq_msg_size(arrival->body),
                   &self->zone, &ask, &st))
        return false;
    job_t *job = zhashx_lookup(self->jobs, &ask.id);
    if (!job)
        return false;
    msg_target_t target = target_of(job, &self->zone);
    router_reply(self, arrival, MSG_outcome,
                 &(msg_outcome_t){.id = job->id,
                                  .method = job->method,
                                  .ns = job->ns[0] ? job->ns : NULL,
                                  .state = state_of(job),
                                  .peer = &job->peer,
                                  .target = target.id,
                                  .exec_id = target.exec_id,
                                  .asked_at = job->arrived});
    return true;
}
