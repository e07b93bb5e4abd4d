/* task.create: bundle, shim, container; each step with its undo, whoever dies meanwhile. */
#include "workers/shim/create.h"

#include "common/log.h"
#include "common/proto_value.h"
#include "workers/shim/debt.h"
#include "workers/shim/outcome.h"
#include "workers/shim/restart.h"
#include "workers/shim/runtime.h"

#include "common/proto/task.pb-c.h"

#include <sys/stat.h>

static create_t *create_of(op_t *op)
{
    return (create_t *)op;
}

static void on_asked(void *arg, const status_t *st, const void *answer)
{
    (void)answer;
    op_done(arg, st);
}

/* begin incarnation -------------------------------------------------------------------------------
 */

/* The answer dies with the callback; the container record is needed until the end. */
static void on_begun(void *arg, const status_t *st, const void *answer)
{
    create_t *create = arg;
    if (!st->code) {
        status_t ignored;
        msgpack_sbuffer buffer;
        msgpack_sbuffer_init(&buffer);
        msg_encode(MSG_container, answer, &buffer);
        msg_decode(MSG_container, buffer.data, buffer.size, request_zone(create->request),
                   &create->container, &ignored);
        msgpack_sbuffer_destroy(&buffer);
    }
    op_done(&create->op, st);
}

static void ask_begin(op_t *op)
{
    create_t *create = create_of(op);
    msg_incarnation_begin_t ask = {.id = create->task->id,
                                   .incarnation = create->task->incarnation,
                                   .request = *request_id(create->request),
                                   .restart_of = create->ask->restart_of,
                                   .terminal = create->ask->terminal,
                                   .stdout = create->ask->stdout,
                                   .stderr = create->ask->stderr};
    link_ask(create->manager->link, MSG_incarnation_begin, &ask, create->task->ns, 0, NULL,
             on_begun, create);
}

static void undo_begin(op_t *op)
{
    create_t *create = create_of(op);
    msg_incarnation_end_t ask = {
        .id = create->task->id, .incarnation = create->task->incarnation, .undone = true};
    link_ask(create->manager->link, MSG_incarnation_end, &ask, create->task->ns, 0, NULL, on_asked,
             op);
}

/* check -------------------------------------------------------------------------------------------
 */

/* A shim would make the path, and fail at the start. */
static status_code_t check_checkpoint(const char *path, status_t *st)
{
    struct stat info;
    if (!path || !*path)
        return STATUS_OK;
    if (path[0] != '/')
        return status_set(st, STATUS_INVALID_ARGUMENT, "checkpoint: %s is not an absolute path",
                          path);
    if (stat(path, &info) || !S_ISDIR(info.st_mode))
        return status_set(st, STATUS_FAILED_PRECONDITION, "checkpoint: %s is not a directory",
                          path);
    return STATUS_OK;
}

/* A real shim crashes on options of a type that it knows and did not expect. */
static status_code_t check_options(const msg_container_t *container, status_t *st)
{
    const char *type = container->options_type;
    bool is_wrong = type && proto_value_is_known(type) && strcmp(type, CREATE_RUNC_OPTIONS) &&
                    strcmp(type, CREATE_GENERIC_OPTIONS);
    if (is_wrong)
        return status_set(st, STATUS_INVALID_ARGUMENT, "container %s: %s is no type of options",
                          container->id, type);
    return STATUS_OK;
}

static void ask_check(op_t *op)
{
    create_t *create = create_of(op);
    const msg_task_create_t *ask = create->ask;
    task_t *task = create->task;
    status_t st = {.code = STATUS_OK};
    task->runtime = util_strdup(ask->runtime ? ask->runtime : create->container.runtime);
    task->intent = zmalloc(sizeof *task->intent);
    if (!check_checkpoint(ask->checkpoint, &st) && !check_options(&create->container, &st) &&
        !create_read_spec(&create->container, ask->terminal, create->group, sizeof create->group,
                          &st) &&
        !stdio_check(ask->stdin, ask->stdout, ask->stderr, ask->terminal, &task->init.hold, &st))
        runtime_find(task->runtime, task->intent->path, &st);
    op_done(op, &st);
}

/* make bundle -------------------------------------------------------------------------------------
 */

static void on_bundle(void *arg, const status_t *st, const void *answer);

static void send_bundle(create_t *create)
{
    msg_bundle_create_t ask = {.id = create->task->id,
                               .incarnation = create->task->incarnation,
                               .spec = create->container.spec};
    link_ask(create->manager->link, MSG_bundle_create, &ask, create->task->ns, 0, NULL, on_bundle,
             create);
}

static void on_stale_removed(void *arg, const status_t *st, const void *answer)
{
    create_t *create = arg;
    (void)answer;
    if (st->code && st->code != STATUS_NOT_FOUND)
        op_done(&create->op, st);
    else
        send_bundle(create);
}

/* The journal has let this run begin, so no other lives: a bundle that is there is a left-over
 * whose removal failed. */
static void remove_stale(create_t *create)
{
    create->has_removed_stale = true;
    log_warn("create %s: replacing the bundle of an earlier run", create->task->key);
    msg_bundle_delete_t ask = {.id = create->task->id};
    link_ask(create->manager->link, MSG_bundle_delete, &ask, create->task->ns, 0, NULL,
             on_stale_removed, create);
}

static void on_bundle(void *arg, const status_t *st, const void *answer)
{
    create_t *create = arg;
    const msg_bundle_t *bundle = answer;
    if (st->code == STATUS_ALREADY_EXISTS && !create->has_removed_stale) {
        remove_stale(create);
        return;
    }
    if (!st->code) {
        create->task->bundle = util_strdup(bundle->path);
        free(create->work);
        create->work = bundle->work ? util_strdup(bundle->work) : NULL;
    }
    op_done(&create->op, st);
}

static void ask_bundle(op_t *op)
{
    send_bundle(create_of(op));
}

static void on_bundle_undone(void *arg, const status_t *st, const void *answer)
{
    const create_t *create = arg;
    const task_t *task = create->task;
    (void)answer;
    if (st->code && st->code != STATUS_NOT_FOUND)
        debt_add(create->manager, task->ns, task->id, task->incarnation, st);
    op_ok(arg);
}

static void undo_bundle(op_t *op)
{
    create_t *create = create_of(op);
    msg_bundle_delete_t ask = {.id = create->task->id, .incarnation = create->task->incarnation};
    link_ask(create->manager->link, MSG_bundle_delete, &ask, create->task->ns, 0, NULL,
             on_bundle_undone, op);
}

static void ask_rootfs(op_t *op)
{
    create_t *create = create_of(op);
    status_t st;
    rootfs_prepare(&create->container, create->ask, create->work, request_zone(create->request),
                   &create->rootfs, &st);
    op_done(op, &st);
}

/* record intent -----------------------------------------------------------------------------------
 */

static shim_loss_t loss_of(const create_t *create)
{
    const char *word = create->container.on_shim_loss;
    if (!word)
        return create->manager->on_shim_loss;
    return strcmp(word, "kill") ? SHIM_LOSS_KEEP : SHIM_LOSS_KILL;
}

/* Before the shim exists, so that one nobody has an address for cannot. The log fifo has its reader
 * from here on: without one the shim would hang in its first call. */
static void ask_intent(op_t *op)
{
    create_t *create = create_of(op);
    task_t *task = create->task;
    intent_t *intent = task->intent;
    status_t st = {.code = STATUS_OK};
    intent->request = *request_id(create->request);
    snprintf(intent->runtime, sizeof intent->runtime, "%s", task->runtime);
    snprintf(intent->group, sizeof intent->group, "%s", create->group);
    intent->on_shim_loss = loss_of(create);
    record_socket_address(create->manager->grpc_address, task->ns, create->group, intent->address,
                          sizeof intent->address);
    if (!record_write_intent(task->bundle, intent, &st))
        task->log = log_pipe_open(create->manager->io, task->bundle, task->key, &st);
    op_done(op, &st);
}

/* start shim --------------------------------------------------------------------------------------
 */

static void on_started(void *arg, const status_t *st, const endpoint_t *endpoint)
{
    create_t *create = arg;
    if (!st->code)
        create->endpoint = *endpoint;
    op_done(&create->op, st);
}

static void ask_start(op_t *op)
{
    create_t *create = create_of(op);
    create_pack_options(create);
    verb_start(create->manager, create->task, create->options_type, create->options,
               create->options_size, on_started, create);
}

static void on_shim_ended(void *arg)
{
    op_ok(arg);
}

/* A failed start may have left a shim at the address it would have taken. */
static void undo_start(op_t *op)
{
    create_t *create = create_of(op);
    task_t *task = create->task;
    status_t st = {.code = STATUS_OK};
    if (!task->shim) {
        endpoint_t endpoint = create->endpoint;
        endpoint.version = 2;
        if (!endpoint.address[0])
            snprintf(endpoint.address, sizeof endpoint.address, "%s", task->intent->address);
        task->shim = manager_shim(create->manager, &endpoint, &st);
        if (!task->shim) { /* nobody listens: there is none */
            if (st.code == STATUS_UNAVAILABLE)
                shim_remove_socket(endpoint.address);
            op_ok(op);
            return;
        }
        ++*shim_users(task->shim);
    }
    shim_t *shim = task->shim;
    task->shim = NULL;
    if (--*shim_users(shim) == 0)
        ending_begin(create->manager, shim, task->ns, task->id, false, on_shim_ended, op);
    else
        op_ok(op);
}

/* connect -----------------------------------------------------------------------------------------
 */

static void send_connect(create_t *create);

static void on_connected(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    create_t *create = arg;
    task_t *task = create->task;
    status_t outcome = *st;
    if (outcome.code == STATUS_UNIMPLEMENTED && !create->downgraded &&
        shim_endpoint(task->shim)->version == 3) {
        create->downgraded = true;
        shim_downgrade(task->shim);
        send_connect(create);
        return;
    }
    if (!outcome.code) {
        Containerd__Task__V2__ConnectResponse *answer =
            containerd__task__v2__connect_response__unpack(NULL, size, payload);
        if (!answer)
            status_set(&outcome, STATUS_INTERNAL, "Connect: undecodable answer");
        else if (!shim_watch(task->shim, answer->shim_pid, 0, &outcome))
            record_write_endpoint(task->bundle, task->intent, shim_endpoint(task->shim), &outcome);
        containerd__task__v2__connect_response__free_unpacked(answer, NULL);
    }
    if (outcome.code)
        status_wrap(&outcome, "connect to the shim");
    op_done(&create->op, &outcome);
}

static void send_connect(create_t *create)
{
    Containerd__Task__V2__ConnectRequest request = CONTAINERD__TASK__V2__CONNECT_REQUEST__INIT;
    request.id = create->task->id;
    shim_call(create->task->shim, "Connect", &request.base, create->manager->timeouts.connect,
              create->task->ns, on_connected, create);
}

static void ask_connect(op_t *op)
{
    create_t *create = create_of(op);
    status_t st;
    create->task->shim = manager_shim(create->manager, &create->endpoint, &st);
    if (!create->task->shim) {
        status_wrap(&st, "connect to the shim");
        op_done(op, &st);
        return;
    }
    ++*shim_users(create->task->shim);
    send_connect(create);
}

/* create task -------------------------------------------------------------------------------------
 */

static void on_created(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    create_t *create = arg;
    status_t outcome = *st;
    stdio_release(&create->task->init.hold);
    if (!outcome.code) {
        Containerd__Task__V2__CreateTaskResponse *answer =
            containerd__task__v2__create_task_response__unpack(NULL, size, payload);
        if (answer)
            create->pid = answer->pid;
        else
            status_set(&outcome, STATUS_INTERNAL, "Create: undecodable answer");
        containerd__task__v2__create_task_response__free_unpacked(answer, NULL);
    } else {
        /* Whatever the shim's word for it, something of the container may be there. */
        outcome.code = status_is_uncertain(outcome.code) ? outcome.code : STATUS_UNKNOWN;
        rootfs_explain(&create->rootfs, &outcome);
    }
    op_done(&create->op, &outcome);
}

static void ask_create(op_t *op)
{
    create_call(create_of(op), on_created);
}

static void on_verb_deleted(void *arg, const status_t *st, const msg_exited_t *exited)
{
    create_t *create = arg;
    (void)exited;
    /* Shims up to 1.7 exit with 1 when there never was a container. */
    if (st->code)
        log_debug("%s: %s", create->task->key, st->text);
    op_ok(&create->op);
}

/* A Create that fails late leaves a container that only the `delete` verb removes. */
static void undo_create(op_t *op)
{
    create_t *create = create_of(op);
    verb_delete(create->manager, create->task, on_verb_deleted, create);
}

/* -------------------------------------------------------------------------------------------------
 */

static const op_step_t create_plan[] = {
    {"begin incarnation", ask_begin, undo_begin},
    {"check", ask_check, NULL},
    {"make bundle", ask_bundle, undo_bundle},
    {"prepare rootfs", ask_rootfs, NULL},
    {"record intent", ask_intent, NULL},
    {"start shim", ask_start, undo_start},
    {"connect", ask_connect, NULL},
    {"create task", ask_create, undo_create},
    {NULL, NULL, NULL},
};

static void on_finished(op_t *op, const status_t *st)
{
    create_t *create = create_of(op);
    manager_t *self = create->manager;
    task_t *task = create->task;
    const msg_task_create_t *ask = create->ask;
    if (st->code) {
        status_t failure = *st;
        status_wrap(&failure, "create task %s", task->id);
        manager_remove_task(self, task);
        if (st->code == STATUS_ABORTED || st->code == STATUS_ALREADY_EXISTS)
            outcome_or_fail(self, create->request, &failure);
        else
            request_fail(create->request, &failure);
    } else {
        task->phase = TASK_LIVE;
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
    free(create);
    self->creates--;
    create_next(self);
}

static void begin(manager_t *self, request_t *request, const msg_task_create_t *ask)
{
    char incarnation[UTIL_UUID_SIZE];
    util_uuid(incarnation);
    task_t *task = task_table_add(self->tasks, request_ns(request), ask->id, incarnation);
    if (!task) {
        manager_fail(request, STATUS_ALREADY_EXISTS, "task %s: already exists", ask->id);
        return;
    }
    task->phase = TASK_CREATING;
    create_t *create = zmalloc(sizeof *create);
    create->manager = self;
    create->request = request;
    create->ask = ask;
    create->task = task;
    create->op.name = "create";
    create->op.plan = create_plan;
    create->op.finished = on_finished;
    snprintf(create->op.label, sizeof create->op.label, "create %s", task->key);
    self->creates++;
    op_start(&create->op);
}

typedef struct turn {
    request_t *request;
    const msg_task_create_t *ask;
} turn_t;

void create_next(manager_t *self)
{
    while (self->creates < CREATES_AT_ONCE && zlistx_size(self->create_queue)) {
        turn_t *turn = zlistx_detach(self->create_queue, NULL);
        begin(self, turn->request, turn->ask);
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
        manager_park(task, request, ask);
        return;
    }
    /* The same request again, whose first run made this task. */
    if (task && task->phase == TASK_LIVE &&
        !memcmp(&task->init.request, request_id(request), MSG_UUID_SIZE)) {
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
