/* Runs that came to nothing and of which the journal could not take that. */
#include "workers/shim/unended.h"

#include "common/log.h"

struct unended {
    task_t *task;
    io_timer_t again;
    int64_t delay; /* ms */
    complaint_t complaint;
};

void unended_ask(task_t *task, link_reply_t *reply, void *arg)
{
    const msg_incarnation_end_t ask = {
        .id = task->id, .incarnation = task->incarnation, .undone = true};
    link_ask(task->manager->link, MSG_incarnation_end, &ask, task->ns, 0, NULL, reply, arg);
}

static void ask_later(unended_t *self, const status_t *why)
{
    log_line(complaint_level(&self->complaint, why->code, LOG_LEVEL_WARN),
             "%s: that it was not created cannot be recorded: %s; trying again", self->task->key,
             why->text);
    manager_hold(self->task, "that an earlier create of it failed cannot be recorded yet: %s",
                 why->text);
    io_timer_in(self->task->manager->io, &self->again, self->delay);
    self->delay = self->delay * 2 < UNENDED_LAST_MS ? self->delay * 2 : UNENDED_LAST_MS;
}

static void on_ended(void *arg, const status_t *st, const void *answer)
{
    unended_t *self = arg;
    (void)answer;
    if (st->code && st->code != STATUS_NOT_FOUND) {
        ask_later(self, st);
        return;
    }
    log_info("%s: that it was not created is recorded now", self->task->key);
    manager_remove_task(self->task->manager, self->task);
}

static void on_again(void *arg)
{
    unended_t *self = arg;
    unended_ask(self->task, on_ended, self);
}

void unended_add(task_t *task, const status_t *why)
{
    unended_t *unended = zmalloc(sizeof *unended);
    *unended = (unended_t){.task = task, .delay = UNENDED_FIRST_MS};
    io_timer_init(&unended->again, on_again, unended);
    task->unended = unended;
    task_enter(task, TASK_CLEANING);
    ask_later(unended, why);
}

void unended_free(unended_t **self)
{
    if (!*self)
        return;
    io_timer_stop((*self)->task->manager->io, &(*self)->again);
    free(*self);
    *self = NULL;
}
