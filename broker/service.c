/* A service: its worker, its queues, its window. */
#include "broker/service.h"

#include "common/util.h"

service_t *service_new(const char *name)
{
    service_t *self = zmalloc(sizeof *self);
    snprintf(self->name, sizeof self->name, "%s", name);
    zmq_msg_init(&self->worker);
    TAILQ_INIT(&self->urgent.jobs);
    TAILQ_INIT(&self->normal.jobs);
    return self;
}

void service_destroy(service_t **self_p)
{
    service_t *self = *self_p;
    if (!self)
        return;
    zmq_msg_close(&self->worker);
    free(self);
    *self_p = NULL;
}

static job_queue_t *queue_of(service_t *self, const job_t *job)
{
    return job->class == CLASS_URGENT ? &self->urgent : &self->normal;
}

uint32_t service_queued(const service_t *self)
{
    return self->urgent.size + self->normal.size;
}

status_code_t service_enqueue(service_t *self, job_t *job, bool again, status_t *st)
{
    job_queue_t *queue = queue_of(self, job);
    if (!again && queue->size >= SERVICE_QUEUE_MAX)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "%s: %d requests wait already", self->name,
                          SERVICE_QUEUE_MAX);
    if (!again && self->bytes + job->body_size > SERVICE_BYTES_MAX)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "%s: %u bytes of requests wait already",
                          self->name, SERVICE_BYTES_MAX);
    job->state = JOB_QUEUED;
    job->is_alone = false;
    if (again)
        TAILQ_INSERT_HEAD(&queue->jobs, job, place);
    else
        TAILQ_INSERT_TAIL(&queue->jobs, job, place);
    queue->size++;
    self->bytes += job->body_size;
    return STATUS_OK;
}

void service_unqueue(service_t *self, job_t *job)
{
    job_queue_t *queue = queue_of(self, job);
    TAILQ_REMOVE(&queue->jobs, job, place);
    queue->size--;
    self->bytes -= job->body_size;
}

/* Whoever was with a worker that died may have killed it. One more death would set the request
 * aside, so that it must be its own. */
static bool is_suspect(const job_t *job)
{
    return job->takes_slot && job->deaths + 1 >= SERVICE_DEATHS_MAX;
}

static bool may_go(const service_t *self, const job_t *job)
{
    return !job->takes_slot || (!self->alone && (!is_suspect(job) || !self->slots));
}

job_t *service_next(service_t *self)
{
    if (!self->has_worker)
        return NULL;
    job_t *job = TAILQ_FIRST(&self->urgent.jobs);
    if (!job || self->slots >= self->window + SERVICE_URGENT_OVER)
        job = self->slots < self->window ? TAILQ_FIRST(&self->normal.jobs) : NULL;
    if (!job || !may_go(self, job))
        return NULL;
    job->is_alone = is_suspect(job);
    service_unqueue(self, job);
    return job;
}

void service_count(service_t *self, const job_t *job, bool given)
{
    uint32_t step = given ? 1 : UINT32_MAX; /* plus or minus one */
    self->in_flight += step;
    if (job->is_alone)
        self->alone += step;
    if (job->takes_slot)
        self->slots += step;
    else
        self->waits += step;
}
