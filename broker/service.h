/* A service: the worker that has it, what waits for it, and what it has been given. */
#ifndef SHIMD_BROKER_SERVICE_H
#define SHIMD_BROKER_SERVICE_H

#include "broker/job.h"

#include <czmq.h>

#define SERVICE_QUEUE_MAX   8192        /* requests that wait in each lane */
#define SERVICE_BYTES_MAX   (64u << 20) /* bytes of their bodies, until they are answered */
#define SERVICE_WAITS_MAX   16384       /* requests without deadline with a worker (task.wait) */
#define SERVICE_WAIT_BYTES  1024u /* of the body of one; all leave room for what is answered */
#define SERVICE_URGENT_OVER 1024  /* urgent requests a worker gets on top of its window */
#define SERVICE_DEATHS_MAX  3     /* workers a request may take with it */
#define SERVICE_DOUBTS_MAX  3     /* deaths with it that others may have caused as well */

/* What kills a worker does so at once, or nearly: what it was given longer ago is not suspected
 * first, and nobody is kept waiting longer for one who is, but twice as long with each of its
 * doubts. */
#define SERVICE_CALM_US 1000000

typedef struct job_queue {
    TAILQ_HEAD(, job) jobs;
    uint32_t size;
    size_t bytes; /* of what waits, and of what came by it and is not answered */
} job_queue_t;

struct service {
    char name[33];
    bool has_worker, failed;
    bool leaves; /* the worker has said goodbye: its end is no death of its own requests' making */
    zmq_msg_t worker; /* identity on the worker socket */
    uint32_t pid;
    uint32_t window;
    int64_t heard;                 /* monotonic, us */
    int64_t restart_asked;         /* monotonic, us; 0 when it was not */
    job_queue_t lanes[LANE_COUNT]; /* jobs that wait, oldest first; not owned */
    uint32_t in_flight;            /* given to the worker, not answered */
    uint32_t slots;                /* of those, how many count against the window */
    uint32_t reads;                /* of those again, how many came by LANE_READ */
    uint32_t waits;                /* and how many of those in flight have no deadline */
    job_t *suspect;     /* in flight, the last that was given; NULL once others were, or it ended */
    int64_t calm_until; /* monotonic, us: until when a suspect has the worker for itself */
    int64_t given;      /* monotonic, us: when a job that takes a slot was given last */
    int64_t due; /* monotonic, us: when service_next may give what it did not; 0: not by time */
    uint64_t answered, redelivered;
    unsigned stillborn; /* workers that have ended before they were ready, since one was */
    char obituary[256]; /* of the worker that died last; empty when nobody said */
};

service_t *service_new(const char *name);
void service_destroy(service_t **self);

/* Puts a job into the queue of its lane, or says RESOURCE_EXHAUSTED. A redelivered one goes to the
 * front and is never refused. */
status_code_t service_enqueue(service_t *self, job_t *job, bool again, status_t *st);

/* Takes a job out of its queue, wherever it is there. */
void service_unqueue(service_t *self, job_t *job);

/* The job is answered: its bytes make room for others. */
void service_release(service_t *self, const job_t *job);

/* The next job the worker may be given, out of its queue; NULL when none or its window is full.
 * LANE_READ has a window of its own as large as that of the others, so that neither waits for the
 * other; LANE_URGENT goes over the others' window.
 * One with which all but the last of its workers have died is a suspect: for SERVICE_CALM_US before
 * it and after it nothing else is given, so that one more death is likely to be its own doing; sets
 * `due` when something waits for that. `now` is monotonic, us. */
job_t *service_next(service_t *self, int64_t now);

/* The worker died with this job, which is to be given to the next. False when it has had its last:
 * that is when SERVICE_DEATHS_MAX died with it, the last of them while it was alone, or
 * SERVICE_DOUBTS_MAX more. Call before service_count. */
bool service_job_survives(const service_t *self, job_t *job);

/* Book-keeping for a job that has been given to, or taken from, the worker. */
void service_count(service_t *self, const job_t *job, bool given);

uint32_t service_queued(const service_t *self);

#endif
