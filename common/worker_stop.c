/* The way out of a worker. What no successor could carry on is finished first, while everything
 * else is served as ever. Then it says goodbye, upon which the broker gives it nothing more, and
 * has a short time for the rest, most of which a successor would take over as well. */
#include "common/worker_internal.h"

#include "common/util.h"

#define SERVE_ON_MS 600000 /* for what is bound to this process, altogether */
#define GRACE_MS    5000   /* after the goodbye, for other answers that are owed */
#define RELEASE_MS  1000   /* for the broker's word that nothing more is on its way to us */
#define TICK_MS     20
#define BUSY_MS     250 /* between words to the supervisor; the least stop-timeout is a second */

static int64_t now_ms(void)
{
    return util_monotonic_us() / 1000;
}

/* Goodbye -----------------------------------------------------------------------------------------
 */

static void give_back(worker_t *self, const msg_uuid_t *id)
{
    const msg_worker_returned_t notice = {.id = *id};
    link_notify(self->link, MSG_worker_returned, &notice);
}

void worker_say_goodbye(worker_t *self)
{
    msg_worker_goodbye_t goodbye = {.service = msg_service_name(self->service),
                                    .pid = (uint32_t)getpid()};
    self->released = self->is_unheard = false;
    self->release_deadline = now_ms() + RELEASE_MS;
    if (self->is_ready)
        link_notify(self->link, MSG_worker_goodbye, &goodbye);
}

static void leave(worker_t *self)
{
    log_debug("stopping");
    self->stopping = true;
    self->stop_deadline = now_ms() + GRACE_MS;
    worker_say_goodbye(self);
    /* Behind the goodbye, or the broker would give them to us again; the newest first, for each is
     * put to the front of its queue. */
    for (msg_uuid_t *id = zlistx_last(self->kept_back); id; id = zlistx_prev(self->kept_back))
        give_back(self, id);
    zlistx_purge(self->kept_back);
}

bool worker_keeps_back(worker_t *self, const msg_uuid_t *id)
{
    if (self->stopping)
        give_back(self, id);
    else if (self->keeps_back)
        zlistx_add_end(self->kept_back, (void *)id);
    return self->stopping || self->keeps_back;
}

void worker_forget_kept_back(worker_t *self)
{
    zlistx_purge(self->kept_back);
}

/* When to go --------------------------------------------------------------------------------------
 */

static bool is_in_no_hurry(const worker_t *self)
{
    return now_ms() < self->serve_until;
}

/* Those that were there when the signal came are waited for, and then those that had come
 * meanwhile. From then on no other is begun that is bound from its beginning, so that this ends. */
static bool is_time_to_leave(worker_t *self)
{
    if (!is_in_no_hurry(self))
        return true;
    if (request_count_bound(self, self->bound_until))
        return false;
    if (self->keeps_back || !request_count_bound(self, INT64_MAX))
        return true;
    log_debug("keeps back what a successor can begin");
    self->keeps_back = true;
    self->bound_until = util_monotonic_us();
    return false;
}

static bool owes_answers(worker_t *self)
{
    if (now_ms() <= self->stop_deadline && request_count_mutating(self))
        return true;
    return is_in_no_hurry(self) && request_count_bound(self, INT64_MAX);
}

/* A request that is still in the socket would be lost with us, and then taken for one that we died
 * of. */
static bool is_on_its_way(const worker_t *self)
{
    return self->is_ready && !self->released && now_ms() <= self->release_deadline;
}

/* The supervisor kills whoever is silent for too long. One that does not listen does so whatever is
 * said. */
static void say_busy(worker_t *self)
{
    if (!is_in_no_hurry(self) || now_ms() < self->busy_due)
        return;
    self->busy_due = now_ms() + BUSY_MS;
    if (!cluster_notify_busy())
        self->serve_until = 0;
}

void worker_stop_look(void *arg)
{
    worker_t *self = arg;
    if (!self->stopping && is_time_to_leave(self))
        leave(self);
    bool is_over = self->stopping && !owes_answers(self) && !is_on_its_way(self);
    if (is_over && self->is_unheard)
        worker_say_goodbye(self); /* once the broker has read that, it has read the answers too */
    else if (is_over) {
        io_set_stop(self->io);
        return;
    }
    if (request_count_bound(self, INT64_MAX))
        say_busy(self);
    io_timer_in(self->io, &self->ending, TICK_MS);
}

void worker_stop(worker_t *self, bool in_a_hurry)
{
    if (!self->is_told_to_end) {
        self->is_told_to_end = true;
        self->bound_until = util_monotonic_us();
        self->serve_until = now_ms() + SERVE_ON_MS;
        log_debug("told to end");
    }
    size_t bound = request_count_bound(self, INT64_MAX);
    if (in_a_hurry)
        self->serve_until = 0;
    else if (bound)
        log_info("told to end: goes on until %zu requests are finished that no successor could "
                 "carry on",
                 bound);
    worker_stop_look(self);
}
