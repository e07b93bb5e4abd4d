/* What the parts of the router share: intake (requests that come in), delivery (to workers and
 * back), registry (services, methods, workers' lives). */
#ifndef SHIMD_BROKER_ROUTER_INTERNAL_H
#define SHIMD_BROKER_ROUTER_INTERNAL_H

#include "broker/resent.h"
#include "broker/router.h"
#include "broker/service.h"
#include "common/frame.h"
#include "common/io_timer.h"
#include "common/io_zmq.h"

typedef struct method {
    char name[65];
    service_t *service;
    msg_redelivery_t redelivery;
    msg_class_t class;
    unsigned seconds;
} method_t;

struct router {
    io_set_t *io;
    io_zmq_t clients, workers;
    msgpack_zone zone;  /* of the message that is handled */
    zhashx_t *jobs;     /* job_t by id; owns them */
    zhashx_t *services; /* service_t by name; owns them */
    zhashx_t *methods;  /* method_t by wire name; owns them */
    resent_t *resent;
    unread_t *unread; /* by clients */
    const uint64_t *events;
    uint64_t malformed;
    uint64_t serial;        /* of the newest job */
    io_timer_t expiry;      /* set, perhaps too early, while there are jobs with a deadline */
    int64_t first_deadline; /* ms since the epoch: what it is set for */
    io_timer_t calm;        /* set while a service has a job that waits for its time alone */
    io_timer_t hangs;
    int64_t hangs_due; /* monotonic, us: when hangs are looked at next */
};

/* A message as it came from a ROUTER socket, taken apart. */
typedef struct arrival {
    io_zmq_t *socket;
    zmq_msg_t *identity, *header_frame, *body;
    bool delimited;
    msg_header_t header;
} arrival_t;

/* intake: a request from a client or worker. */
void router_take_request(router_t *self, arrival_t *arrival);
void router_refuse(router_t *self, arrival_t *arrival, const status_t *st);

/* delivery */
void router_dispatch(router_t *self, service_t *service);

void router_calm(void *self); /* the calm timer's handler */

/* A request of the broker's own, whose answer nobody waits for. RESOURCE_EXHAUSTED when there is no
 * room for it. */
status_code_t router_ask(router_t *self, msg_id_t method, const void *ask);
void router_take_answer(router_t *self, arrival_t *arrival);

/* What the service's worker was given goes back into the queue, to be given to its successor when
 * it died, once more to itself when only its connection was lost. */
void router_requeue_all(router_t *self, service_t *service, bool died);

/* The worker did not begin it: it waits for the successor, unless nobody waits for it. */
void router_give_back(router_t *self, job_t *job);
void router_fail_queued(router_t *self, service_t *service, const status_t *st);
void router_expire(void *self);                               /* the expiry timer's handler */
void router_watch_deadline(router_t *self, const job_t *job); /* after every change of it */
void router_finish(router_t *self, job_t *job);               /* out of the tables; frees it */

/* registry */
void router_know_methods(router_t *self);
service_t *router_service(router_t *self, const char *name); /* made when it is not there */
void router_take_notice(router_t *self, arrival_t *arrival, msg_id_t notice);
/* A message to a worker that it does not answer; `value` is the notice's struct. */
void router_notify(router_t *self, zmq_msg_t *worker, msg_id_t notice, const void *value);
void router_check_hangs(void *self); /* the hangs timer's handler; sets it again */

/* the broker's own methods */
bool router_answer_itself(router_t *self, arrival_t *arrival, const method_t *method);

void router_reply(router_t *self, arrival_t *arrival, msg_id_t id, const void *value);
/* request.get of a client: true when it was answered, because the request is with the broker or a
 * worker. Of what is not the metadata worker knows. */
bool router_answer_unfinished(router_t *self, arrival_t *arrival);
void router_answer_pending(router_t *self, arrival_t *arrival, const msg_broker_requests_t *ask);

/* The peer of a frame that came over a unix socket; zeros and -1 where it cannot be known. */
msg_peer_t peer_of_frame(zmq_msg_t *frame);

#endif
