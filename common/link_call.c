/* Asking and waiting for the answer. */
#include "common/io_timer.h"
#include "common/link.h"

#define LOOK_MS 200 /* how often zsys_interrupted is looked at while nothing happens */

typedef struct call {
    bool done;
    status_t *st;
    msg_id_t answer_id;
    msgpack_zone *zone;
    void *answer;
} call_t;

/* The answer dies with its callback, so it goes through the encoding once more into the caller's
 * zone. */
static void keep_answer(void *arg, const status_t *st, const void *answer)
{
    call_t *call = arg;
    call->done = true;
    *call->st = *st;
    if (st->code || !call->answer)
        return;
    msgpack_sbuffer buffer;
    msgpack_sbuffer_init(&buffer);
    msg_encode(call->answer_id, answer, &buffer);
    msg_decode(call->answer_id, buffer.data, buffer.size, call->zone, call->answer, call->st);
    msgpack_sbuffer_destroy(&buffer);
}

/* A signal that comes just before the loop sleeps does not wake it. */
static void look_again(void *arg)
{
    (void)arg;
}

bool link_serve_until(link_t *self, const bool *done)
{
    io_timer_t look;
    io_timer_init(&look, look_again, NULL);
    while (!*done && !zsys_interrupted) {
        io_timer_in(link_io(self), &look, LOOK_MS);
        io_set_turn(link_io(self));
    }
    io_timer_stop(link_io(self), &look);
    return *done;
}

status_code_t link_call(link_t *self, msg_id_t method, const void *ask, const char *ns,
                        int64_t timeout_ms, msgpack_zone *zone, void *answer, status_t *st)
{
    call_t call = {.st = st, .answer_id = msg_type(method)->answer, .zone = zone, .answer = answer};
    msg_uuid_t id = link_ask(self, method, ask, ns, timeout_ms, NULL, keep_answer, &call);
    if (!link_serve_until(self, &call.done)) {
        link_forget(self, &id);
        return status_set(st, STATUS_CANCELLED, "%s: interrupted", msg_type(method)->name);
    }
    return st->code;
}
