/* How a process ended whose task is deleted: the journal knows. */
#include "workers/shim/manager.h"

#define READ_AGAIN_MS    500
#define READ_PATIENCE_MS 10000 /* from the first question to the last */

/* A task that was deleted since: its exit record outlives it. Whoever waits for that is not told of
 * a moment in which it cannot be read. */
typedef struct reading {
    manager_t *manager;
    request_t *request;
    char id[77], exec_id[77];
    io_timer_t again;
    int64_t give_up; /* monotonic us */
} reading_t;

static void read_exit_record(void *arg);

static void on_exit_record(void *arg, const status_t *st, const void *answer)
{
    reading_t *self = arg;
    request_t *request = self->request;
    bool is_known = !st->code || st->code == STATUS_NOT_FOUND;
    if (!is_known && util_monotonic_us() < self->give_up) {
        io_timer_in(self->manager->io, &self->again, READ_AGAIN_MS);
        return;
    }
    /* One that never ran is deleted as well as any other. */
    if (st->code == STATUS_NOT_FOUND && request_method(request) == MSG_task_delete)
        request_answer(request, &(msg_exited_t){0});
    else if (st->code)
        request_fail(request, st);
    else
        request_answer(request, answer);
    free(self);
}

static void read_exit_record(void *arg)
{
    reading_t *self = arg;
    msg_exit_get_t ask = {.id = self->id, .exec_id = self->exec_id[0] ? self->exec_id : NULL};
    link_ask(self->manager->link, MSG_exit_get, &ask, request_ns(self->request), 0, NULL,
             on_exit_record, self);
}

void exits_answer_deleted(manager_t *self, request_t *request, const char *id, const char *exec_id)
{
    reading_t *reading = zmalloc(sizeof *reading);
    *reading = (reading_t){.manager = self,
                           .request = request,
                           .give_up = util_monotonic_us() + READ_PATIENCE_MS * 1000};
    snprintf(reading->id, sizeof reading->id, "%s", id);
    snprintf(reading->exec_id, sizeof reading->exec_id, "%s", exec_id ? exec_id : "");
    io_timer_init(&reading->again, read_exit_record, reading);
    read_exit_record(reading);
}
