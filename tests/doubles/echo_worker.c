/* A worker of service shim that has no containers: for tests of the worker skeleton and for timing.
 *
 *   task.get     answers at once
 *   task.create  writes its id into RUN/ran, answers at once
 *   task.start   as task.create, but answered when task.resume names the same id
 *   task.checkpoint  likewise
 *   task.wait    answered when task.kill names the same id
 *   task.delete  NOT_FOUND
 */
#include "common/util.h"
#include "common/worker.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define WINDOW   1024
#define PID      4711 /* what every task has */
#define HELD_MAX 64

typedef struct held {
    request_t *request;
    const char *id; /* of the request */
} held_t;

typedef struct echo {
    worker_t *worker;
    held_t held[HELD_MAX];
} echo_t;

static void note_run(echo_t *self, request_t *request, const char *id)
{
    AUTO_FREE char *path = util_format("%s/ran", worker_cluster(self->worker)->run_dir);
    FILE *file = fopen(path, "ae");
    if (!file)
        abort();
    fprintf(file, "%s %s %d\n", msg_type(request_method(request))->name, id,
            request_is_redelivered(request));
    fclose(file);
}

static void hold(echo_t *self, request_t *request, const char *id)
{
    for (size_t i = 0; i < HELD_MAX; i++)
        if (!self->held[i].request) {
            self->held[i] = (held_t){.request = request, .id = id};
            return;
        }
    status_t st;
    status_set(&st, STATUS_RESOURCE_EXHAUSTED, "%d requests are held already", HELD_MAX);
    request_fail(request, &st);
}

/* Answers what is held of that method and id. */
static void let_go(echo_t *self, msg_id_t method, const char *id, const void *answer)
{
    for (size_t i = 0; i < HELD_MAX; i++) {
        held_t held = self->held[i];
        if (!held.request || request_method(held.request) != method || strcmp(held.id, id))
            continue;
        self->held[i].request = NULL;
        request_answer(held.request, answer);
    }
}

static void on_get(void *arg, request_t *request, const void *ask)
{
    (void)arg;
    const msg_task_get_t *get = ask;
    const char *ns = request_require_ns(request);
    if (ns)
        request_answer(request,
                       &(msg_process_t){.ns = ns, .id = get->id, .status = "RUNNING", .pid = PID});
}

static void on_create(void *arg, request_t *request, const void *ask)
{
    note_run(arg, request, ((const msg_task_create_t *)ask)->id);
    request_answer(request, &(msg_started_t){.pid = PID});
}

static void on_start(void *arg, request_t *request, const void *ask)
{
    const msg_task_start_t *start = ask;
    note_run(arg, request, start->id);
    hold(arg, request, start->id);
}

static void on_checkpoint(void *arg, request_t *request, const void *ask)
{
    const msg_task_checkpoint_t *checkpoint = ask;
    note_run(arg, request, checkpoint->id);
    hold(arg, request, checkpoint->id);
}

static void on_resume(void *arg, request_t *request, const void *ask)
{
    const char *id = ((const msg_task_resume_t *)ask)->id;
    let_go(arg, MSG_task_start, id, &(msg_started_t){.pid = PID});
    let_go(arg, MSG_task_checkpoint, id, NULL);
    request_answer(request, NULL);
}

static void on_wait(void *arg, request_t *request, const void *ask)
{
    hold(arg, request, ((const msg_task_wait_t *)ask)->id);
}

static void on_kill(void *arg, request_t *request, const void *ask)
{
    const msg_task_kill_t *kill_ask = ask;
    let_go(arg, MSG_task_wait, kill_ask->id,
           &(msg_exited_t){.pid = PID, .exit_status = 128 + kill_ask->signal, .exited_at = 1});
    request_answer(request, NULL);
}

static void on_delete(void *arg, request_t *request, const void *ask)
{
    (void)arg;
    const msg_task_delete_t *delete_ask = ask;
    status_t st;
    status_set(&st, STATUS_NOT_FOUND, "task %s: not found", delete_ask->id);
    request_fail(request, &st);
}

static const worker_method_t methods[] = {
    {MSG_task_get, on_get},       {MSG_task_create, on_create},
    {MSG_task_start, on_start},   {MSG_task_resume, on_resume},
    {MSG_task_wait, on_wait},     {MSG_task_kill, on_kill},
    {MSG_task_delete, on_delete}, {MSG_task_checkpoint, on_checkpoint},
};

int main(int argc, char **argv)
{
    echo_t echo = {.worker = worker_new(SERVICE_SHIM, argc, argv)};
    worker_serve(echo.worker, methods, ARRAY_SIZE(methods), &echo, WINDOW);
    worker_ready(echo.worker);
    int code = worker_run(echo.worker);
    worker_destroy(&echo.worker);
    return code;
}
