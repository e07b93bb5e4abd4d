/* shimctl tasks checkpoint. */
#include "client/arguments.h"
#include "client/commands.h"
#include "client/criu.h"
#include "client/output.h"
#include "common/util.h"

#include <sys/stat.h>

#define DIR_MODE 0700 /* images hold the container's memory */

/* Absolute, because the shim has another working directory; made where it is not there yet. The
 * caller frees. NULL on failure, and when `path` is NULL. */
static char *make_dir(const char *path, bool *ret_made, status_t *st)
{
    if (!path)
        return NULL;
    char *absolute = arguments_absolute(path);
    *ret_made = !mkdir(absolute, DIR_MODE);
    if (*ret_made || errno == EEXIST)
        return absolute;
    status_errno(st, errno, "mkdir %s", absolute);
    free(absolute);
    return NULL;
}

/* What is told of a task that cannot be checkpointed comes before what is told of CRIU. */
static status_code_t check(session_t *session, const char *id, status_t *st)
{
    msg_process_t task;
    const msg_task_get_t ask = {.id = id};
    if (session_call(session, MSG_task_get, &ask, &task, st))
        return st->code;
    if (strcmp(task.status, "RUNNING"))
        return status_set(st, STATUS_FAILED_PRECONDITION, "it is %s, not RUNNING", task.status);
    return criu_check(task.runtime, st);
}

static status_code_t run_checkpoint(session_t *session, const char *id, status_t *st)
{
    const options_t *options = session_options(session);
    bool made_image = false, made_work = false;
    if (check(session, id, st))
        return st->code;
    AUTO_FREE char *image = make_dir(options_text(options, "image-path"), &made_image, st);
    AUTO_FREE char *work =
        st->code ? NULL : make_dir(options_text(options, "work-path"), &made_work, st);
    const msg_task_checkpoint_t ask = {
        .id = id, .path = image, .work_path = work, .exit = options_flag(options, "exit")};
    if (!st->code && !session_call(session, MSG_task_checkpoint, &ask, NULL, st)) {
        if (session_json(session))
            output_json(json_pack("{s:s, s:s}", "id", id, "image_path", image));
        return STATUS_OK;
    }
    /* Empty ones only: what CRIU has written is for whoever asks why. */
    if (made_work)
        (void)rmdir(work);
    if (made_image)
        (void)rmdir(image);
    return st->code;
}

int cmd_tasks_checkpoint(session_t *session)
{
    status_t st = {.code = STATUS_OK};
    const char *id = session_operand(session, 0);
    if (!options_text(session_options(session), "image-path"))
        return session_usage(session, "--image-path must be given: where the images are written");
    if (!run_checkpoint(session, id, &st))
        return 0;
    session_explain(&st, "checkpoint", id);
    return session_fail(&st);
}
