/* A request the broker is responsible for, from its arrival to its answer. */
#ifndef SHIMD_BROKER_JOB_H
#define SHIMD_BROKER_JOB_H

#include "broker/unread.h"
#include "common/io_zmq.h"
#include "common/message.h"

#include <sys/queue.h>
#include <zmq.h>

typedef struct service service_t;

/* Where an answer goes: the ROUTER socket it came from, the identity there, whether the asker is a
 * REQ socket, whose empty first frame is echoed, and until when it waits (ms since the epoch, 0 for
 * ever). */
typedef struct route {
    io_zmq_t *socket;
    zmq_msg_t identity;
    bool delimited;
    int64_t deadline;
} route_t;

/* The same id asked again (by a client that lost a broker) waits for the same answer. */
#define JOB_ROUTES_MAX 8

/* What a job waits among, first those that go first. A worker's questions are work: it may rely on
 * their being answered after what it has sent before. */
typedef enum job_lane { LANE_URGENT, LANE_READ, LANE_WORK, LANE_COUNT } job_lane_t;

typedef enum job_state { JOB_QUEUED, JOB_SENT } job_state_t;

typedef struct job {
    msg_uuid_t id; /* key of the broker's table */
    service_t *service;
    const char *method; /* owned by the method table */
    msg_redelivery_t redelivery;
    msg_class_t class;
    job_lane_t lane;
    bool takes_slot; /* counts against the worker's window */
    job_state_t state;
    uint64_t serial;  /* in order of arrival */
    int64_t arrived;  /* ns since the epoch */
    int64_t deadline; /* the earliest of its routes; ms since the epoch, 0 for none */
    char ns[80];
    msg_peer_t peer;
    bool is_first;    /* no worker has been given this id */
    bool redelivered; /* a worker that died may have begun it */
    bool is_own;      /* the broker's: it goes on although nobody waits for its answer */
    bool is_alone;    /* the only one that its worker has, waits apart */
    unsigned deaths;  /* workers that died with it, unless it is a wait */
    unsigned doubts;  /* further ones that others may have killed as well; see service.h */
    zmq_msg_t body;
    size_t body_size;
    route_t *routes; /* `only_route`, or JOB_ROUTES_MAX of them */
    route_t only_route;
    size_t route_count;
    TAILQ_ENTRY(job) place; /* in its service's queue while JOB_QUEUED */
} job_t;

job_t *job_new(const msg_uuid_t *id);
void job_destroy(job_t **self);

/* Adds a copy of `identity` as a place to answer to, or gives a known one its new deadline; the
 * oldest route goes when there are too many. */
void job_add_route(job_t *self, io_zmq_t *socket, zmq_msg_t *identity, bool delimited,
                   int64_t deadline);

/* When the last of those who ask gives up; 0 when one of them never does. */
int64_t job_last_deadline(const job_t *self);

/* Sends `header` and `body` to every route, in which the asker is told once. A client that does not
 * take its answers (see unread.h) is told so instead, unless the request has changed something. */
void job_answer(job_t *self, zmq_msg_t *header, zmq_msg_t *body, unread_t *unread);
void job_fail(job_t *self, const status_t *st);

/* Fails it for those whose deadline is before `now`; the others wait on. */
void job_fail_late(job_t *self, const status_t *st, int64_t now);

/* One message to one route. `body` NULL is an empty map. What is sent is moved away; the caller
 * closes both in any case. */
void route_send(io_zmq_t *socket, zmq_msg_t *identity, bool delimited, zmq_msg_t *header,
                zmq_msg_t *body);

#endif
