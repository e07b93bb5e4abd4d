/* task.exec: written down in the bundle first, so that a successor knows of it, then added in the
 * shim. */
#include "common/log.h"
#include "workers/shim/call.h"
#include "workers/shim/exec_record.h"
#include "workers/shim/foreign.h"
#include "workers/shim/op.h"
#include "workers/shim/text.h"

#include "common/proto/task.pb-c.h"

#include <jansson.h>

#define PROCESS_TYPE "types.containerd.io/opencontainers/runtime-spec/1/Process"

typedef struct adding {
    op_t op;
    process_ref_t init;
    request_t *request;
    const msg_task_exec_t *ask; /* lives as long as the request */
    stdio_hold_t hold;
    bool is_again;
} adding_t;

static adding_t *adding_of(op_t *op)
{
    return (adding_t *)op;
}

/* NULL when the task has gone meanwhile. */
static task_t *task_of(const adding_t *adding)
{
    const process_t *init = process_ref_find(&adding->init);
    return init ? init->task : NULL;
}

static void done_unless_gone(op_t *op)
{
    status_t st;
    status_set(&st, STATUS_NOT_FOUND, "task %s: not found", adding_of(op)->ask->id);
    op_done(op, &st);
}

/* write down --------------------------------------------------------------------------------------
 */

static void ask_record(op_t *op)
{
    adding_t *adding = adding_of(op);
    task_t *task = task_of(adding);
    status_t st = {.code = STATUS_OK};
    if (!task) {
        done_unless_gone(op);
        return;
    }
    process_t *process = task_add_exec(task, adding->ask->exec_id);
    process->request = *request_id(adding->request);
    process->deadline.allowed_ms = (int64_t)adding->ask->deadline_ms;
    adding->is_again = manager_is_again(task, adding->request);
    begun_add(&task->begun, task->bundle, request_id(adding->request), BEGUN_DONE);
    process_set_stdio(process, adding->ask->stdin, adding->ask->stdout, adding->ask->stderr,
                      adding->ask->terminal);
    if (exec_record_write(task->bundle, process, &st)) {
        task_remove_exec(task, process);
        st.code = status_is_uncertain(st.code) ? STATUS_FAILED_PRECONDITION : st.code;
    }
    op_done(op, &st);
}

static void undo_record(op_t *op)
{
    adding_t *adding = adding_of(op);
    task_t *task = task_of(adding);
    process_t *process = task ? task_process(task, adding->ask->exec_id) : NULL;
    if (process) {
        exec_record_remove(task->bundle, process->exec_id);
        exits_hand_over(adding->init.manager, process);
        task_remove_exec(task, process);
    }
    op_ok(op);
}

/* add to the shim ---------------------------------------------------------------------------------
 */

/* A predecessor's Exec may have been on its way to the shim when it died. */
static void on_added(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    const adding_t *adding = arg;
    (void)payload;
    (void)size;
    if (st->code == STATUS_ALREADY_EXISTS && adding->is_again)
        op_ok(arg);
    else
        op_done(arg, st);
}

static void on_removed(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    (void)payload;
    (void)size;
    op_done(arg, st);
}

static void ask_add(op_t *op)
{
    adding_t *adding = adding_of(op);
    const msg_task_exec_t *exec = adding->ask;
    task_t *task = task_of(adding);
    if (!task || !task->shim) {
        done_unless_gone(op);
        return;
    }
    Google__Protobuf__Any spec = GOOGLE__PROTOBUF__ANY__INIT;
    spec.type_url = (char *)PROCESS_TYPE;
    spec.value = (ProtobufCBinaryData){.len = exec->spec.size, .data = (uint8_t *)exec->spec.data};
    Containerd__Task__V2__ExecProcessRequest message =
        CONTAINERD__TASK__V2__EXEC_PROCESS_REQUEST__INIT;
    message.id = task->id;
    message.exec_id = (char *)exec->exec_id;
    message.terminal = exec->terminal;
    message.stdin = text_or_empty(exec->stdin);
    message.stdout = text_or_empty(exec->stdout);
    message.stderr = text_or_empty(exec->stderr);
    message.spec = &spec;
    shim_call(task->shim, "Exec", &message.base, adding->init.manager->timeouts.call,
              adding->init.ns, on_added, op);
}

/* An Exec whose answer was lost may have been done. */
static void undo_add(op_t *op)
{
    adding_t *adding = adding_of(op);
    task_t *task = task_of(adding);
    if (!task || !task->shim) {
        op_ok(op);
        return;
    }
    Containerd__Task__V2__DeleteRequest message = CONTAINERD__TASK__V2__DELETE_REQUEST__INIT;
    message.id = task->id;
    message.exec_id = (char *)adding->ask->exec_id;
    shim_call(task->shim, "Delete", &message.base, adding->init.manager->timeouts.call,
              adding->init.ns, on_removed, op);
}

static const op_step_t plan[] = {
    {"write down", ask_record, undo_record},
    {"add to the shim", ask_add, undo_add},
    {NULL, NULL, NULL},
};

static void on_finished(op_t *op, const status_t *st)
{
    adding_t *adding = adding_of(op);
    task_t *task = task_of(adding);
    process_t *process = task ? task_process(task, adding->ask->exec_id) : NULL;
    if (st->code) {
        foreign_fail(adding->request, st);
    } else {
        if (process) {
            process->state = PROCESS_CREATED;
            process->hold = adding->hold; /* the shim opens them when the exec is started */
            adding->hold = STDIO_HOLD_NONE;
            task_heard(task);
        }
        request_answer(adding->request, NULL);
    }
    stdio_release(&adding->hold);
    free(adding);
}

/* -------------------------------------------------------------------------------------------------
 */

/* What real shims crash on is refused here. */
static bool is_sound(request_t *request, const msg_task_exec_t *exec, looks_t *looks)
{
    status_t st;
    json_t *spec = text_json_object(request, &exec->spec, "task.exec: spec");
    if (!spec)
        return false;
    bool terminal = json_is_true(json_object_get(spec, "terminal"));
    size_t words = json_array_size(json_object_get(spec, "args"));
    json_decref(spec);
    if (words == 0)
        manager_fail(request, STATUS_INVALID_ARGUMENT, "task.exec: spec has no args");
    else if (terminal != exec->terminal)
        manager_fail(request, STATUS_INVALID_ARGUMENT,
                     "task.exec: terminal is not the same in the spec and here");
    else if (stdio_check(exec->stdin, exec->stdout, exec->stderr, exec->terminal, looks, &st))
        request_fail(request, &st);
    else
        return true;
    return false;
}

/* True after having answered: the exec is there already, made by this very request or by another.
 */
static bool is_there(request_t *request, const process_t *process)
{
    if (!process)
        return false;
    if (!memcmp(&process->request, request_id(request), MSG_UUID_SIZE))
        request_answer(request, NULL);
    else
        manager_fail(request, STATUS_ALREADY_EXISTS, "exec %s: already exists", process->exec_id);
    return true;
}

/* The init process that it is to be added to; NULL after the request was answered or parked. */
static process_t *find_init(manager_t *manager, request_t *request)
{
    const msg_task_exec_t *exec = request_ask(request);
    process_t *init = manager_find(manager, request, exec->id, NULL);
    if (!init || is_there(request, task_process(init->task, exec->exec_id)) ||
        !call_check_state(request, init, PROCESS_RUNNING, "exec in"))
        return NULL;
    return init;
}

static void add(manager_t *manager, request_t *request, looks_t *looks)
{
    const msg_task_exec_t *exec = request_ask(request);
    const process_t *init = find_init(manager, request);
    if (!init)
        return;
    adding_t *adding = zmalloc(sizeof *adding);
    adding->init = process_ref(init);
    adding->request = request;
    adding->ask = exec;
    adding->hold = stdio_hold(looks);
    adding->op.name = "exec";
    adding->op.plan = plan;
    adding->op.finished = on_finished;
    snprintf(adding->op.label, sizeof adding->op.label, "exec %s in %s", exec->exec_id,
             init->task->key);
    op_start(&adding->op);
}

/* A request while its paths are looked at. Meanwhile the task may go, or get that exec. */
typedef struct looking {
    manager_t *manager;
    request_t *request;
} looking_t;

static void on_looked(void *arg, looks_t *looks, const status_t *st)
{
    AUTO_FREE looking_t *looking = arg;
    if (st->code)
        request_fail(looking->request, st);
    else
        add(looking->manager, looking->request, looks);
}

HANDLER(task_exec)
{
    manager_t *manager = self;
    if (!find_init(manager, request))
        return;
    looks_t *looks = looks_new();
    if (!is_sound(request, ask, looks)) {
        looks_free(looks);
        return;
    }
    looking_t *looking = zmalloc(sizeof *looking);
    *looking = (looking_t){.manager = manager, .request = request};
    looks_begin(looks, manager->io, manager->timeouts.path, on_looked, looking);
}
