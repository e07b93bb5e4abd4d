/* A service: its worker, its queues, its window. */
#include "broker/service.h"

#include "common/util.h"

service_t *service_new(const char *name)
{
    service_t *self = zmalloc(sizeof *self);
    snprintf(self->name, sizeof self->name, "%s", name);
    zmq_msg_init(&self->worker);
    for (size_t i = 0; i < LANE_COUNT; i++)
        TAILQ_INIT(&self->lanes[i].jobs);
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

uint32_t service_queued(const service_t *self)
{
    uint32_t queued = 0;
    for (size_t i = 0; i < LANE_COUNT; i++)
        queued += self->lanes[i].size;
    return queued;
}

status_code_t service_enqueue(service_t *self, job_t *job, bool again, status_t *st)
{
    job_queue_t *queue = &self->lanes[job->lane];
    if (!again && queue->size >= SERVICE_QUEUE_MAX)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "%s: %d requests wait already", self->name,
                          SERVICE_QUEUE_MAX);
    if (!again && queue->bytes + job->body_size > SERVICE_BYTES_MAX)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED,
                          "%s: %u bytes of requests are not answered yet", self->name,
                          SERVICE_BYTES_MAX);
    job->state = JOB_QUEUED;
    job->is_alone = false;
    if (again)
        TAILQ_INSERT_HEAD(&queue->jobs, job, place);
    else
        TAILQ_INSERT_TAIL(&queue->jobs, job, place);
    queue->size++;
    queue->bytes += again ? 0 : job->body_size;
    return STATUS_OK;
}

void service_unqueue(service_t *self, job_t *job)
{
    job_queue_t *queue = &self->lanes[job->lane];
    TAILQ_REMOVE(&queue->jobs, job, place);
    queue->size--;
}

void service_release(service_t *self, const job_t *job)
{
    self->lanes[job->lane].bytes -= job->body_size;
}

/* Whoever was with a worker that died may have killed it. One more death would set the request
 * aside, so that it must be its own. */
static bool is_suspect(const job_t *job)
{
    return job->takes_slot && job->deaths + 1 >= SERVICE_DEATHS_MAX;
}

/* From when on the job may be given. */
static int64_t calm_from(const service_t *self, const job_t *job)
{
    int64_t from = self->suspect ? self->calm_until : 0;
    int64_t calm = self->given + SERVICE_CALM_US;
    return is_suspect(job) && self->slots && calm > from ? calm : from;
}

/* Each time that it was in doubt it gets twice as long. */
static void note_given(service_t *self, job_t *job, int64_t now)
{
    if (self->suspect)
        self->suspect->is_alone = false;
    self->suspect = is_suspect(job) ? job : NULL;
    self->calm_until = now + (SERVICE_CALM_US << job->doubts);
    self->given = now;
    job->is_alone = self->suspect && !self->slots;
}

bool service_job_survives(const service_t *self, job_t *job)
{
    /* A wait may outlive many workers, and a worker that was told to end did not die of this. */
    if (!job->takes_slot || self->leaves)
        return true;
    if (is_suspect(job) && !job->is_alone && job->doubts < SERVICE_DOUBTS_MAX)
        job->doubts++;
    else
        job->deaths++;
    return job->deaths < SERVICE_DEATHS_MAX;
}

static bool has_room(const service_t *self, job_lane_t lane)
{
    uint32_t others = self->slots - self->reads;
    if (lane == LANE_READ)
        return self->reads < self->window;
    return others < self->window + (lane == LANE_URGENT ? SERVICE_URGENT_OVER : 0);
}

/* The oldest of the first lane that has one and room for it. Work that must be alone goes before
 * reads, which would otherwise never all be answered at once. */
static job_t *first_of_lanes(const service_t *self)
{
    const job_t *work = TAILQ_FIRST(&self->lanes[LANE_WORK].jobs);
    bool work_first = work && is_suspect(work);
    const job_lane_t order[LANE_COUNT] = {LANE_URGENT, work_first ? LANE_WORK : LANE_READ,
                                          work_first ? LANE_READ : LANE_WORK};
    for (size_t i = 0; i < LANE_COUNT; i++) {
        job_t *job = TAILQ_FIRST(&self->lanes[order[i]].jobs);
        if (job && has_room(self, order[i]))
            return job;
    }
    return NULL;
}

job_t *service_next(service_t *self, int64_t now)
{
    job_t *job = self->has_worker ? first_of_lanes(self) : NULL;
    self->due = 0;
    if (!job)
        return NULL;
    if (job->takes_slot) {
        int64_t from = calm_from(self, job);
        if (from > now) {
            self->due = from;
            return NULL;
        }
        note_given(self, job, now);
    }
    service_unqueue(self, job);
    return job;
}

void service_count(service_t *self, const job_t *job, bool given)
{
    uint32_t step = given ? 1 : UINT32_MAX; /* plus or minus one */
    self->in_flight += step;
    if (!given && job == self->suspect)
        self->suspect = NULL;
    if (!job->takes_slot)
        self->waits += step;
    else
        self->slots += step;
    if (job->takes_slot && job->lane == LANE_READ)
        self->reads += step;
}
