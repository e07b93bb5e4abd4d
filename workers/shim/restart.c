/* Restarts: what is due, and the requests that carry it out. */
#include "workers/shim/restart_internal.h"

#include "common/log.h"
#include "common/proc.h"

#include <uuid/uuid.h>

#define AGAIN_MS    1000 /* before a request whose outcome is not known is made again */
#define LOADING_MS  100  /* between looks at a task that is not adopted yet */
#define RETRIES_MAX 3    /* then it has failed: that answer may be what is recorded of it */
#define NS_PER_MS   1000000

msg_uuid_t restart_request_id(const char *run, const char *what, uint32_t attempt)
{
    uuid_t space, made;
    msg_uuid_t id;
    AUTO_FREE char *name = util_format("%s %u", what, attempt);
    uuid_parse(run, space);
    uuid_generate_sha1(made, space, name, strlen(name));
    memcpy(&id, made, sizeof made);
    return id;
}

/* The end of the id counts; the rest tells whose it is. */
#define OWNER_SIZE (sizeof(msg_uuid_t) - sizeof(uint32_t))

msg_uuid_t restart_delete_id(const char *run, uint32_t failed)
{
    uint32_t end;
    msg_uuid_t id = restart_request_id(run, "delete", 0);
    memcpy(&end, (const char *)&id + OWNER_SIZE, sizeof end);
    end ^= failed;
    memcpy((char *)&id + OWNER_SIZE, &end, sizeof end);
    return id;
}

bool restart_is_delete_of(const char *run, const request_t *request)
{
    msg_uuid_t own = restart_delete_id(run, 0);
    return !memcmp(&own, request_id(request), OWNER_SIZE);
}

bool restart_is_own_delete(const task_t *task, const request_t *request)
{
    return restart_is_delete_of(task->incarnation, request);
}

/* The table ---------------------------------------------------------------------------------------
 */

static char *key_of(const char *ns, const char *id)
{
    return util_format("%s/%s", ns, id);
}

restart_t *restart_find(manager_t *self, const char *ns, const char *id)
{
    AUTO_FREE char *key = key_of(ns, id);
    return zhashx_lookup(self->restarts, key);
}

static void restart_free(void **self_p)
{
    restart_t *self = *self_p;
    io_timer_stop(self->manager->io, &self->timer);
    zlistx_destroy(&self->stoppers);
    free(self->out);
    free(self->err);
    free(self);
    *self_p = NULL;
}

void restart_remove(restart_t *self)
{
    zhashx_delete(self->manager->restarts, self->key);
}

/* The requests ------------------------------------------------------------------------------------
 */

static void go(void *arg);

void restart_ask(restart_t *self, msg_id_t method, const void *message, int64_t timeout_ms,
                 const msg_uuid_t *id, link_reply_t *reply)
{
    restart_asked_t *asked = zmalloc(sizeof *asked);
    *asked = (restart_asked_t){.manager = self->manager, .attempt = self->attempt};
    memcpy(asked->ns, self->ns, sizeof asked->ns);
    memcpy(asked->id, self->id, sizeof asked->id);
    memcpy(asked->run, self->run, sizeof asked->run);
    self->is_busy = true;
    link_ask(self->manager->link, method, message, self->ns, timeout_ms, id, reply, asked);
}

/* The same request may find out more, the next time. */
static bool is_passing(status_code_t code)
{
    return code == STATUS_UNAVAILABLE || code == STATUS_DEADLINE_EXCEEDED ||
           code == STATUS_RESOURCE_EXHAUSTED || code == STATUS_CANCELLED;
}

restart_t *restart_answered(void *arg, const status_t *st)
{
    AUTO_FREE restart_asked_t *asked = arg;
    restart_t *self = restart_find(asked->manager, asked->ns, asked->id);
    if (!self || strcmp(self->run, asked->run) || self->attempt != asked->attempt)
        return NULL;
    self->is_busy = false;
    if (!is_passing(st->code) || ++self->retries > RETRIES_MAX) {
        self->retries = 0;
        return self;
    }
    log_warn("restart %s: %s; asking again", self->key, st->text);
    io_timer_in(self->manager->io, &self->timer, AGAIN_MS);
    return NULL;
}

static void on_noted(void *arg, const status_t *st, const void *answer)
{
    manager_t *manager = ((restart_asked_t *)arg)->manager;
    restart_t *self = restart_answered(arg, st);
    if (!self)
        return;
    if (st->code)
        log_error("restart %s: %s", self->key, st->text);
    if (self->is_stopped) {
        restart_give_up(self);
        return;
    }
    restart_remove(self);
    if (!st->code)
        restart_due(manager, answer);
}

static void note(restart_t *self)
{
    const msg_restart_note_t message = {.id = self->id,
                                        .pending = self->run,
                                        .attempt = self->attempt,
                                        .failed = self->failure[0] ? self->failure : NULL};
    restart_ask(self, MSG_restart_note, &message, 0, NULL, on_noted);
}

static void delete_run(restart_t *self, const char *run, bool force, link_reply_t *reply)
{
    const msg_task_delete_t message = {.id = self->id, .force = force};
    msg_uuid_t id = restart_delete_id(run, self->failed);
    restart_ask(self, MSG_task_delete, &message, 0, &id, reply);
}

static void on_undone(void *arg, const status_t *st, const void *answer)
{
    restart_t *self = restart_answered(arg, st);
    (void)answer;
    if (!self)
        return;
    if (st->code && st->code != STATUS_NOT_FOUND)
        log_error("restart %s: undo: %s", self->key, st->text);
    if (self->is_stopped)
        restart_give_up(self);
    else
        note(self);
}

/* What the attempt has made goes: the next one makes it anew. */
static void undo(restart_t *self)
{
    const task_t *task = task_table_find(self->manager->tasks, self->ns, self->id);
    if (task && strcmp(task->incarnation, self->run))
        delete_run(self, task->incarnation, true, on_undone);
    else if (self->is_stopped)
        restart_give_up(self);
    else
        note(self);
}

static void on_started(void *arg, const status_t *st, const void *answer)
{
    restart_t *self = restart_answered(arg, st);
    (void)answer;
    if (!self)
        return;
    if (st->code == STATUS_NOT_FOUND && !self->is_stopped) { /* undone meanwhile */
        io_timer_in(self->manager->io, &self->timer, AGAIN_MS);
        return;
    }
    if (st->code) {
        log_warn("restart %s: %s", self->key, st->text);
        snprintf(self->failure, sizeof self->failure, "%s", st->text);
        undo(self);
        return;
    }
    log_info("restart %s: started again", self->key);
    note(self);
}

static void start(restart_t *self)
{
    const msg_task_start_t message = {.id = self->id};
    msg_uuid_t id = restart_request_id(self->run, "start", self->attempt);
    restart_ask(self, MSG_task_start, &message, 0, &id, on_started);
}

static void on_created(void *arg, const status_t *st, const void *answer)
{
    restart_t *self = restart_answered(arg, st);
    (void)answer;
    if (!self)
        return;
    if (self->is_stopped) {
        undo(self);
        return;
    }
    /* Its record is gone, or no restart is wanted any more. */
    bool is_over = st->code == STATUS_NOT_FOUND || st->code == STATUS_ABORTED;
    if (is_over) {
        log_info("restart %s: not made: %s", self->key, st->text);
        restart_remove(self);
    } else if (st->code) {
        log_warn("restart %s: %s", self->key, st->text);
        snprintf(self->failure, sizeof self->failure, "%s", st->text);
        note(self);
    } else {
        start(self);
    }
}

static void create(restart_t *self)
{
    const msg_task_create_t message = {.id = self->id,
                                       .terminal = self->terminal,
                                       .stdout = self->out,
                                       .stderr = self->err,
                                       .restart_of = self->run};
    msg_uuid_t id = restart_request_id(self->run, "create", self->attempt);
    restart_ask(self, MSG_task_create, &message, 0, &id, on_created);
}

static void on_deleted(void *arg, const status_t *st, const void *answer)
{
    restart_t *self = restart_answered(arg, st);
    (void)answer;
    if (!self)
        return;
    if (self->is_stopped) {
        restart_give_up(self);
    } else if (st->code && st->code != STATUS_NOT_FOUND) {
        log_warn("restart %s: %s", self->key, st->text);
        self->failed++;
        io_timer_in(self->manager->io, &self->timer, AGAIN_MS);
    } else {
        create(self);
    }
}

/* The run is still there. False when a client has stopped it while its exit was being recorded; a
 * stop in an earlier life of the cluster was decided on with the exit. */
static bool may_go(restart_t *self, task_t *run)
{
    if (!strcmp(run->stopped_in, self->manager->life))
        return false;
    run->stopped_in[0] = '\0';
    return true;
}

/* Where a predecessor left off shows in what is there. */
static void go(void *arg)
{
    restart_t *self = arg;
    task_t *task = task_table_find(self->manager->tasks, self->ns, self->id);
    bool is_run = task && !strcmp(task->incarnation, self->run);
    if (task && task->phase == TASK_LOADING) {
        io_timer_in(self->manager->io, &self->timer, LOADING_MS);
        return;
    }
    if (is_run && !may_go(self, task)) {
        restart_give_up(self);
        return;
    }
    if (self->is_stopped)
        undo(self);
    else if (!task || task->phase == TASK_CLEANING)
        create(self);
    else if (is_run)
        delete_run(self, self->run, false, on_deleted);
    else if (task->phase == TASK_CREATING)
        create(self); /* the same request as the one that is under way */
    else
        start(self);
}

void restart_superseded(manager_t *manager, const task_t *task)
{
    restart_t *self = restart_find(manager, task->ns, task->id);
    if (self && zlistx_size(self->stoppers) == 0)
        restart_remove(self);
}

/* What is due -------------------------------------------------------------------------------------
 */

void restart_due(manager_t *manager, const msg_restart_due_t *due)
{
    const msg_restart_t *record = due->restart;
    if (!record || !record->pending || !due->ns || !due->id)
        return;
    restart_t *self = restart_find(manager, due->ns, due->id);
    bool is_known = self && !strcmp(self->run, record->pending) && self->attempt == record->attempt;
    if (is_known)
        return;
    zlistx_t *stoppers = self ? TAKE(self->stoppers) : zlistx_new();
    if (self)
        restart_remove(self);
    self = zmalloc(sizeof *self);
    *self = (restart_t){.manager = manager,
                        .attempt = record->attempt,
                        .terminal = record->terminal,
                        .out = util_strdup(record->stdout),
                        .err = util_strdup(record->stderr),
                        .stoppers = stoppers};
    snprintf(self->ns, sizeof self->ns, "%s", due->ns);
    snprintf(self->id, sizeof self->id, "%s", due->id);
    snprintf(self->run, sizeof self->run, "%s", record->pending);
    snprintf(self->key, sizeof self->key, "%s/%s", due->ns, due->id);
    io_timer_init(&self->timer, go, self);
    zhashx_insert(manager->restarts, self->key, self);
    if (zlistx_size(stoppers)) {
        restart_give_up(self);
        return;
    }
    int64_t wait = (record->due_at - util_now_ns()) / NS_PER_MS;
    io_timer_in(manager->io, &self->timer, wait > 0 ? wait : 0);
}

static void on_list(void *arg, const status_t *st, const void *answer)
{
    manager_t *self = arg;
    const msg_restarts_t *list = answer;
    if (st->code) {
        log_error("restarts: list them: %s; trying again", st->text);
        restarts_begin(self);
        return;
    }
    for (size_t i = 0; i < list->restarts.count; i++)
        restart_due(self, &list->restarts.items[i]);
}

void restarts_begin(manager_t *self)
{
    const msg_restart_list_t message = {.life = self->life};
    link_ask(self->link, MSG_restart_list, &message, NULL, 0, NULL, on_list, self);
}

void restarts_init(manager_t *self)
{
    self->restarts = zhashx_new();
    zhashx_set_destructor(self->restarts, restart_free);
    proc_name(getppid(), self->life); /* the supervisor's */
}

void restarts_destroy(manager_t *self)
{
    zhashx_destroy(&self->restarts);
}
