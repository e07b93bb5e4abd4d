/* Requests that wait for their task. */
#include "workers/shim/park.h"

#include "common/io_timer.h"
#include "common/util.h"

#include <czmq.h>

/* Before its deadline a request is answered, or a quarter of what is left. */
#define ANSWER_MS 500

typedef struct parked {
    park_t *park;
    void *place; /* in it */
    request_t *request;
    status_t late;
    io_timer_t due;
} parked_t;

struct park {
    io_set_t *io;
    zlistx_t *waiting; /* parked_t; owns them */
    status_t late;     /* of all of them; OK as long as each has its own */
};

park_t *park_new(io_set_t *io)
{
    park_t *self = zmalloc(sizeof *self);
    *self = (park_t){.io = io, .waiting = zlistx_new()};
    return self;
}

/* Out of the park, which frees it. */
static request_t *leave(parked_t *parked)
{
    request_t *request = parked->request;
    io_timer_stop(parked->park->io, &parked->due);
    zlistx_detach(parked->park->waiting, parked->place);
    free(parked);
    return request;
}

static void on_due(void *arg)
{
    parked_t *parked = arg;
    const status_t late = parked->park->late.code ? parked->park->late : parked->late;
    request_fail(leave(parked), &late);
}

void park_add(park_t *self, request_t *request, const status_t *late)
{
    parked_t *parked = zmalloc(sizeof *parked);
    *parked = (parked_t){.park = self, .request = request, .late = *late};
    parked->place = zlistx_add_end(self->waiting, parked);
    io_timer_init(&parked->due, on_due, parked);
    if (!msg_type(request_method(request))->seconds || !request_deadline(request))
        return;
    int64_t left = request_deadline(request) - util_now_ms();
    int64_t margin = left / 4 < ANSWER_MS ? left / 4 : ANSWER_MS;
    io_timer_in(self->io, &parked->due, left > 0 ? left - margin : 0);
}

void park_explain(park_t *self, const status_t *late)
{
    self->late = *late;
}

request_t *park_take(park_t *self)
{
    parked_t *parked = zlistx_first(self->waiting);
    return parked ? leave(parked) : NULL;
}

request_t *park_take_if(park_t *self, bool (*wanted)(const request_t *request))
{
    parked_t *parked = zlistx_first(self->waiting);
    while (parked && !wanted(parked->request))
        parked = zlistx_next(self->waiting);
    return parked ? leave(parked) : NULL;
}

void park_destroy(park_t **self)
{
    if (!*self)
        return;
    while (park_take(*self))
        ;
    zlistx_destroy(&(*self)->waiting);
    free(*self);
    *self = NULL;
}
