/* cluster.restart: the requests that wait for one process, and the round through all of them. */
#include "broker/supervisor/round.h"

#include "broker/supervisor/handover.h"
#include "common/io_timer.h"
#include "common/util.h"

#define LAST_ANSWERS_MS 100 /* for an answer to leave before the broker is stopped */

static const char all[] = "all", supervisor[] = "supervisor";

typedef struct waiters {
    request_t *requests[ROUND_WAITERS_MAX]; /* the worker owns them */
    size_t count;
} waiters_t;

struct round {
    io_set_t *io;
    member_t *const *members;
    size_t count;
    round_replace_t *replace;
    void *arg;
    bool is_closed;
    io_timer_t last_answers; /* the broker is restarted when they have left it */
    waiters_t waiters[ROUND_MEMBERS_MAX];

    /* The round that is under way or was the last one: requests for it are known by their ids,
     * because they come again when the supervisor or the broker has been replaced meanwhile. */
    bool is_on, is_whole; /* the four members too, not only the supervisor */
    bool is_next;         /* a member of the round is being restarted: the one at `next` */
    size_t next;
    msg_uuid_t ids[ROUND_WAITERS_MAX];
    size_t id_count;
    waiters_t askers;
    status_t outcome;
};

static bool is_broker(const member_t *member)
{
    return !strcmp(member_name(member), msg_service_name(SERVICE_BROKER));
}

static void answer(request_t *request, const status_t *st)
{
    if (st->code)
        request_fail(request, st);
    else
        request_answer(request, NULL);
}

static void answer_all(waiters_t *waiters, const status_t *st)
{
    while (waiters->count)
        answer(waiters->requests[--waiters->count], st);
}

/* The round ---------------------------------------------------------------------------------------
 */

static void end_round(round_t *self)
{
    self->is_on = self->is_next = false;
    if (self->outcome.code)
        log_warn("restart of %s: %s", self->is_whole ? all : supervisor, self->outcome.text);
    answer_all(&self->askers, &self->outcome);
}

static void go_on(round_t *self)
{
    if (self->outcome.code || !self->is_whole || self->next == self->count) {
        end_round(self);
        return;
    }
    member_t *member = self->members[self->next];
    self->is_next = true;
    log_info("%s: restart asked for", member_name(member));
    member_handle(member, CHILD_RESTART);
    if (member_state(member) == CHILD_FAILED)
        round_changed(self, member); /* it was FAILED and still is: no change */
}

static bool is_known(const round_t *self, const msg_uuid_t *id)
{
    for (size_t i = 0; i < self->id_count; i++)
        if (!memcmp(&self->ids[i], id, sizeof *id))
            return true;
    return false;
}

static void ask_round(round_t *self, request_t *request, bool whole)
{
    status_t st = {.code = STATUS_OK};
    bool known = is_known(self, request_id(request));
    if (known && !self->is_on) {
        answer(request, &self->outcome);
        return;
    }
    if (self->is_on && !known && (whole || self->is_whole))
        status_set(&st, STATUS_FAILED_PRECONDITION,
                   "cluster.restart: all processes are being restarted already");
    else if (self->askers.count == ROUND_WAITERS_MAX ||
             (self->is_on && !known && self->id_count == ROUND_WAITERS_MAX))
        status_set(&st, STATUS_RESOURCE_EXHAUSTED, "cluster.restart: %d already wait for it",
                   ROUND_WAITERS_MAX);
    if (st.code) {
        request_fail(request, &st);
        return;
    }
    bool begins = !self->is_on;
    if (begins) {
        self->is_on = true;
        self->is_whole = whole;
        self->id_count = self->next = 0;
        status_clear(&self->outcome);
    }
    if (!known)
        self->ids[self->id_count++] = *request_id(request);
    self->askers.requests[self->askers.count++] = request;
    if (begins) {
        log_info("restart of %s asked for", whole ? all : supervisor);
        self->replace(self->arg);
    }
}

void round_not_replaced(round_t *self, const status_t *st)
{
    self->outcome = *st;
    status_wrap(&self->outcome, "restart supervisor");
    end_round(self);
}

/* One process -------------------------------------------------------------------------------------
 */

static size_t find_member(const round_t *self, const char *name)
{
    size_t i = 0;
    while (i < self->count && strcmp(member_name(self->members[i]), name))
        i++;
    return i;
}

static void on_last_answers(void *arg)
{
    round_t *self = arg;
    for (size_t i = 0; i < self->count && !self->is_closed; i++)
        if (is_broker(self->members[i]))
            member_handle(self->members[i], CHILD_RESTART);
}

static void ask_one(round_t *self, request_t *request, const msg_cluster_restart_t *ask)
{
    status_t st = {.code = STATUS_OK};
    size_t index = find_member(self, ask->process);
    if (index == self->count)
        status_set(&st, STATUS_INVALID_ARGUMENT,
                   "cluster.restart: process %s: not broker, bundle, shim, metadata, supervisor "
                   "or all",
                   ask->process);
    else if (self->waiters[index].count == ROUND_WAITERS_MAX)
        status_set(&st, STATUS_RESOURCE_EXHAUSTED, "cluster.restart: %d already wait for %s",
                   ROUND_WAITERS_MAX, ask->process);
    if (st.code) {
        request_fail(request, &st);
        return;
    }
    log_info("%s: restart asked for", ask->process);
    member_t *member = self->members[index];
    if (is_broker(member)) {
        /* The answer goes through the very process that is to be stopped. */
        request_answer(request, NULL);
        io_timer_in(self->io, &self->last_answers, LAST_ANSWERS_MS);
        return;
    }
    waiters_t *waiters = &self->waiters[index];
    waiters->requests[waiters->count++] = request;
    if (ask->hung && member_state(member) == CHILD_READY)
        member_kill(member);
    else
        member_handle(member, CHILD_RESTART);
    if (member_state(member) == CHILD_FAILED)
        round_changed(self, member); /* it was FAILED and still is: no change */
}

void round_changed(round_t *self, const member_t *member)
{
    size_t index = find_member(self, member_name(member));
    child_state_t state = member_state(member);
    status_t st = {.code = STATUS_OK};
    if (state != CHILD_READY && state != CHILD_FAILED && state != CHILD_DOWN)
        return;
    if (state != CHILD_READY)
        status_set(&st, STATUS_UNAVAILABLE, "restart %s: %s", member_name(member),
                   member_obituary(member) ? member_obituary(member) : "stopped");
    answer_all(&self->waiters[index], &st);
    if (self->is_next && index == self->next) {
        self->is_next = false;
        self->next++;
        self->outcome = st;
        go_on(self);
    }
}

/* Life --------------------------------------------------------------------------------------------
 */

void round_ask(round_t *self, request_t *request, const msg_cluster_restart_t *ask)
{
    if (self->is_closed) {
        status_t st;
        status_set(&st, STATUS_UNAVAILABLE, "cluster.restart: the cluster is being stopped");
        request_fail(request, &st);
    } else if (!strcmp(ask->process, all) || !strcmp(ask->process, supervisor)) {
        ask_round(self, request, !strcmp(ask->process, all));
    } else {
        ask_one(self, request, ask);
    }
}

round_t *round_new(io_set_t *io, member_t *const *members, size_t count, round_replace_t *replace,
                   void *arg)
{
    assert(count <= ROUND_MEMBERS_MAX);
    round_t *self = zmalloc(sizeof *self);
    *self = (round_t){.io = io, .members = members, .count = count, .replace = replace, .arg = arg};
    io_timer_init(&self->last_answers, on_last_answers, self);
    return self;
}

void round_destroy(round_t **self)
{
    if (!*self)
        return;
    io_timer_stop((*self)->io, &(*self)->last_answers);
    free(*self);
    *self = NULL;
}

void round_close(round_t *self)
{
    self->is_closed = true;
}

json_t *round_save(const round_t *self)
{
    json_t *ids = json_array();
    for (size_t i = 0; i < self->id_count; i++) {
        json_t *id = json_array();
        for (size_t k = 0; k < sizeof self->ids[i].bytes; k++)
            json_array_append_new(id, json_integer(self->ids[i].bytes[k]));
        json_array_append_new(ids, id);
    }
    return json_pack("{s:b, s:b, s:b, s:o}", "on", self->is_on, "whole", self->is_whole, "broker",
                     self->last_answers.is_set, "ids", ids);
}

void round_replaced(round_t *self, const json_t *state)
{
    const json_t *ids = json_object_get(state, "ids"), *id;
    size_t i;
    json_array_foreach(ids, i, id) for (size_t k = 0;
                                        i < ROUND_WAITERS_MAX && k < sizeof self->ids[i].bytes; k++)
        self->ids[i]
            .bytes[k] = (uint8_t)json_integer_value(json_array_get(id, k));
    self->id_count = i < ROUND_WAITERS_MAX ? i : ROUND_WAITERS_MAX;
    self->is_on = json_is_true(json_object_get(state, "on"));
    self->is_whole = json_is_true(json_object_get(state, "whole"));
    if (json_is_true(json_object_get(state, "broker")))
        io_timer_in(self->io, &self->last_answers, LAST_ANSWERS_MS);
    if (*handover_text(state, "error"))
        status_set(&self->outcome, STATUS_UNAVAILABLE, "%s", handover_text(state, "error"));
    if (self->is_on)
        go_on(self);
}
