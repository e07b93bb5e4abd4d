/* The steps of task.create before there is a shim: each leaves what a successor finds and undoes.
 */
#include "workers/shim/create.h"

#include "common/log.h"
#include "common/proto_value.h"
#include "workers/shim/debt.h"
#include "workers/shim/runtime.h"
#include "workers/shim/unended.h"

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

void create_ask_begin(op_t *op)
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

/* It is the last undo: the rest of the world need not wait for a journal that has no room. */
static void on_begin_undone(void *arg, const status_t *st, const void *answer)
{
    create_t *create = arg;
    (void)answer;
    if (st->code != STATUS_NOT_FOUND)
        create->untold = *st;
    op_ok(&create->op);
}

void create_undo_begin(op_t *op)
{
    create_t *create = create_of(op);
    unended_ask(create->task, on_begin_undone, create);
}

/* check -------------------------------------------------------------------------------------------
 */

/* A shim would make the path, and fail at the start. */
static status_code_t check_checkpoint(const char *path, looks_t *looks, status_t *st)
{
    if (!path || !*path)
        return STATUS_OK;
    if (path[0] != '/')
        return status_set(st, STATUS_INVALID_ARGUMENT, "checkpoint: %s is not an absolute path",
                          path);
    looks_add(looks, LOOK_DIRECTORY, "checkpoint", path, strlen(path));
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

static status_code_t find_runtime(const task_t *task, looks_t *looks, status_t *st)
{
    const char *name = task->runtime;
    if (!runtime_resolve(name, task->intent->path, st) && name[0] == '/')
        looks_add(looks, LOOK_RUNTIME, "runtime", name, strlen(name));
    return st->code;
}

static void on_looked(void *arg, looks_t *looks, const status_t *st)
{
    create_t *create = arg;
    if (!st->code)
        create->task->init.hold = stdio_hold(looks);
    op_done(&create->op, st);
}

void create_ask_check(op_t *op)
{
    create_t *create = create_of(op);
    const msg_task_create_t *ask = create->ask;
    task_t *task = create->task;
    status_t st = {.code = STATUS_OK};
    task->runtime = util_strdup(ask->runtime ? ask->runtime : create->container.runtime);
    task->intent = zmalloc(sizeof *task->intent);
    looks_t *looks = looks_new();
    if (!check_checkpoint(ask->checkpoint, looks, &st) && !check_options(&create->container, &st) &&
        !create_read_spec(&create->container, ask->terminal, create->group, sizeof create->group,
                          &st) &&
        !stdio_check(ask->stdin, ask->stdout, ask->stderr, ask->terminal, looks, &st) &&
        !find_runtime(task, looks, &st)) {
        looks_begin(looks, create->manager->io, create->manager->timeouts.path, on_looked, create);
        return;
    }
    looks_free(looks);
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

void create_ask_bundle(op_t *op)
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

void create_undo_bundle(op_t *op)
{
    create_t *create = create_of(op);
    msg_bundle_delete_t ask = {.id = create->task->id, .incarnation = create->task->incarnation};
    link_ask(create->manager->link, MSG_bundle_delete, &ask, create->task->ns, 0, NULL,
             on_bundle_undone, op);
}

void create_ask_rootfs(op_t *op)
{
    create_t *create = create_of(op);
    status_t st;
    rootfs_prepare(&create->container, create->ask, create->work, request_zone(create->request),
                   &create->rootfs, &st);
    op_done(op, &st);
}

/* record intent -----------------------------------------------------------------------------------
 */

shim_loss_t create_loss_of(const manager_t *self, const msg_container_t *container)
{
    const char *word = container->on_shim_loss;
    if (!word)
        return self->on_shim_loss;
    return strcmp(word, "kill") ? SHIM_LOSS_KEEP : SHIM_LOSS_KILL;
}

/* Before the shim exists, so that one nobody has an address for cannot. The log fifo has its reader
 * from here on: without one the shim would hang in its first call. */
void create_ask_intent(op_t *op)
{
    create_t *create = create_of(op);
    task_t *task = create->task;
    intent_t *intent = task->intent;
    status_t st = {.code = STATUS_OK};
    intent->request = *request_id(create->request);
    snprintf(intent->runtime, sizeof intent->runtime, "%s", task->runtime);
    snprintf(intent->group, sizeof intent->group, "%s", create->group);
    intent->on_shim_loss = create_loss_of(create->manager, &create->container);
    record_socket_address(create->manager->grpc_address, task->ns, create->group, intent->address,
                          sizeof intent->address);
    if (!record_write_intent(task->bundle, intent, &st))
        task->log = log_pipe_open(create->manager->io, task->bundle, task->key, &st);
    op_done(op, &st);
}
