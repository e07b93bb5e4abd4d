/* task.create: bundle, shim, container; each step with its undo, whoever dies meanwhile. */
#include "workers/shim/create.h"

#include "common/log.h"
#include "workers/shim/foreign.h"
#include "workers/shim/outcome.h"
#include "workers/shim/restart.h"
#include "workers/shim/unended.h"

static const op_step_t create_plan[] = {
    {"begin incarnation", create_ask_begin, create_undo_begin},
    {"check", create_ask_check, NULL},
    {"make bundle", create_ask_bundle, create_undo_bundle},
    {"prepare rootfs", create_ask_rootfs, NULL},
    {"record intent", create_ask_intent, NULL},
    {"start shim", create_ask_start, create_undo_start},
    {"connect", create_ask_connect, NULL},
    {"create task", create_ask_create, create_undo_create},
    {NULL, NULL, NULL},
};

static void begin(manager_t *self, request_t *request, const msg_task_create_t *ask, bool is_retry);

/* A group's shim that has lost its last container ends, and `start` may still have found it. All of
 * this run is undone by now, and another one gets a shim that lives. One only: a shim that dies of
 * this very container would die again. */
static bool is_worth_another(const create_t *create, const status_t *st)
{
    bool had_shim = create->endpoint.address[0] && strcmp(create->group, create->task->id);
    return had_shim && st->code == STATUS_UNAVAILABLE && !create->is_retry && !create->untold.code;
}

static void fail(create_t *create, const status_t *st)
{
    manager_t *self = create->manager;
    bool again = is_worth_another(create, st);
    status_t failure = *st;
    status_wrap(&failure, "create task %s", create->task->id);
    if (create->untold.code)
        unended_add(create->task, &create->untold);
    else
        manager_remove_task(self, create->task);
    if (again) {
        log_warn("%s: %s; once more", create->op.label, st->text);
        begin(self, create->request, create->ask, true);
    } else if (st->code == STATUS_ABORTED || st->code == STATUS_ALREADY_EXISTS) {
        outcome_or_fail(self, create->request, &failure);
    } else {
        foreign_fail(create->request, &failure);
    }
}

static void on_finished(op_t *op, const status_t *st)
{
    create_t *create = create_of(op);
    manager_t *self = create->manager;
    task_t *task = create->task;
    const msg_task_create_t *ask = create->ask;
    if (st->code) {
        fail(create, st);
    } else {
        task_enter(task, TASK_LIVE);
        if (!ask->restart_of)
            restart_superseded(self, task);
        task->init.request = *request_id(create->request);
        task->init.state = PROCESS_CREATED;
        process_started(&task->init, create->pid);
        task_heard(task);
        process_set_stdio(&task->init, ask->stdin, ask->stdout, ask->stderr, ask->terminal);
        exits_wait(&task->init);
        request_answer(create->request, &(msg_started_t){.pid = create->pid});
        if (!task->shim) /* it has died since */
            bury_task(self, task);
    }
    free(create->options_type);
    free(create->options);
    free(create->work);
    io_timer_stop(self->io, &create->slow);
    if (create->is_slow)
        self->slow_creates--;
    free(create);
    self->creates--;
    create_next(self);
}

static void on_slow(void *arg)
{
    create_t *create = arg;
    create->is_slow = true;
    create->manager->slow_creates++;
    create_next(create->manager);
}

static void begin(manager_t *self, request_t *request, const msg_task_create_t *ask, bool is_retry)
{
    char incarnation[UTIL_UUID_SIZE];
    util_uuid(incarnation);
    task_t *task = task_table_add(self->tasks, request_ns(request), ask->id, incarnation);
    if (!task) {
        manager_fail(request, STATUS_ALREADY_EXISTS, "task %s: already exists", ask->id);
        return;
    }
    task_enter(task, TASK_CREATING);
    create_t *create = zmalloc(sizeof *create);
    create->manager = self;
    create->request = request;
    create->ask = ask;
    create->is_retry = is_retry;
    create->task = task;
    create->op.name = "create";
    create->op.plan = create_plan;
    create->op.finished = on_finished;
    snprintf(create->op.label, sizeof create->op.label, "create %s", task->key);
    self->creates++;
    io_timer_init(&create->slow, on_slow, create);
    io_timer_in(self->io, &create->slow, CREATE_SLOW_MS);
    op_start(&create->op);
}

typedef struct turn {
    request_t *request;
    const msg_task_create_t *ask;
} turn_t;

static bool has_room(const manager_t *self)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned most = processors > 0 ? (unsigned)processors * CREATES_PER_PROCESSOR : 0;
    if (most < CREATES_LEAST)
        most = CREATES_LEAST;
    return self->creates - self->slow_creates < most && self->creates < CREATES_MOST;
}

void create_next(manager_t *self)
{
    while (has_room(self) && zlistx_size(self->create_queue)) {
        turn_t *turn = zlistx_detach(self->create_queue, NULL);
        begin(self, turn->request, turn->ask, false);
        free(turn);
    }
}

HANDLER(task_create)
{
    manager_t *manager = self;
    const msg_task_create_t *create = ask;
    const char *ns = request_require_ns(request);
    if (!ns)
        return;
    task_t *task = task_table_find(manager->tasks, ns, create->id);
    if (task && (task->phase == TASK_LOADING || task->phase == TASK_CLEANING)) {
        manager_park(task, request, task->phase == TASK_CLEANING ? PARK_CLEANING : PARK_MUTE);
        return;
    }
    /* The same request again, whose first run made this task, whatever became of its shim. */
    bool is_made = task && (task->phase == TASK_LIVE || task->phase == TASK_ORPHANED ||
                            (task->phase == TASK_BURYING && task->init.pid));
    if (is_made && !memcmp(&task->init.request, request_id(request), MSG_UUID_SIZE)) {
        request_answer(request, &(msg_started_t){.pid = task->init.pid});
        return;
    }
    if (task) {
        status_t st;
        status_set(&st, STATUS_ALREADY_EXISTS, "task %s: already exists%s", create->id,
                   task->phase == TASK_CREATING ? ", it is being created" : "");
        outcome_or_fail(manager, request, &st);
        return;
    }
    turn_t *turn = zmalloc(sizeof *turn);
    *turn = (turn_t){.request = request, .ask = create};
    zlistx_add_end(manager->create_queue, turn);
    create_next(manager);
}
