/* The steps of task.create with its shim: started, connected to, and given the container. */
#include "workers/shim/create.h"

#include "common/log.h"
#include "workers/shim/shim_process.h"

#include "common/proto/task.pb-c.h"

/* start shim --------------------------------------------------------------------------------------
 */

static void on_started(void *arg, const status_t *st, const endpoint_t *endpoint)
{
    create_t *create = arg;
    if (!st->code)
        create->endpoint = *endpoint;
    op_done(&create->op, st);
}

void create_ask_start(op_t *op)
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
void create_undo_start(op_t *op)
{
    create_t *create = create_of(op);
    task_t *task = create->task;
    status_t st = {.code = STATUS_OK};
    if (!task->shim) {
        endpoint_t endpoint = create->endpoint;
        if (!endpoint.address[0] && !shim_process_find(worker_cluster(create->manager->worker),
                                                       task->ns, task->id, &endpoint))
            snprintf(endpoint.address, sizeof endpoint.address, "%s", task->intent->address);
        endpoint.version = 2;
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

void create_ask_connect(op_t *op)
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

void create_ask_create(op_t *op)
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
void create_undo_create(op_t *op)
{
    create_t *create = create_of(op);
    verb_delete(create->manager, create->task, on_verb_deleted, create);
}
