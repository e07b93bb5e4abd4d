/* runc's containers and the cgroups they leave. */
#include "client/doctor/repair.h"

#include "common/cgroup_tree.h"
#include "workers/bundle/bundle_dir.h"
#include "workers/bundle/bundle_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#define RUNC    "runc"
#define RUNC_MS 30000

/* Runs `runc --root RUN/runc/NS delete --force ID`; false when it could not be run or failed. */
static bool run_delete(const char *root, const char *id)
{
    const char *words[] = {RUNC, "--root", root, "delete", "--force", id, NULL};
    posix_spawn_file_actions_t files;
    pid_t pid;
    int status = -1;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int failed = posix_spawnp(&pid, RUNC, &files, NULL, (char *const *)words, environ);
    posix_spawn_file_actions_destroy(&files);
    if (failed)
        return false;
    struct pollfd ended = {.fd = pidfd_open(pid, 0), .events = POLLIN};
    if (ended.fd < 0 || poll(&ended, 1, RUNC_MS) != 1)
        kill(pid, SIGKILL); /* our own child, and not waited for: the pid is its own */
    util_close(&ended.fd);
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* A state that runc cannot read is no container for it. */
static bool remove_rest(const char *root, const char *id, status_t *st)
{
    AUTO_CLOSE int fd = open(root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 || !bundle_dir_has(fd, id) || !bundle_tree_remove(fd, id, st);
}

static bool has_readable_state(const machine_t *machine, const finding_t *finding)
{
    zlistx_t *rows = machine->rows[SEEN_RUNC];
    for (const seen_t *row = zlistx_first(rows); row; row = zlistx_next(rows))
        if (!strcmp(row->ns, finding->ns) && !strcmp(row->id, finding->id))
            return row->note != NULL;
    return false;
}

bool repair_delete_container(repair_t *self, finding_t *finding)
{
    status_t st = {.code = STATUS_OK};
    AUTO_FREE char *root = util_format("%s/runc/%s", self->cluster->run_dir, finding->ns);
    bool is_whole = has_readable_state(self->machine, finding);
    if (!run_delete(root, finding->id) && is_whole)
        status_set(&st, STATUS_UNKNOWN, RUNC " --root %s delete --force %s failed", root,
                   finding->id);
    else if (!remove_rest(root, finding->id, &st))
        status_wrap(&st, "remove the state of %s", finding->id);
    if (st.code)
        finding_set(finding, FINDING_LEFT, "%s", st.text);
    return !st.code;
}

/* The state that was seen keeps runc from making a container of that name, so that what is deleted
 * is that one: while it is there no create of that id can succeed. */
void repair_runc(repair_t *self, finding_t *finding)
{
    uint64_t mark = seen_mark(finding->object);
    if (mark && mark != finding->mark)
        finding_set(finding, FINDING_LEFT, "it is another one now");
    else if (repair_is_unowned(self, finding) && (!mark || repair_delete_container(self, finding)))
        finding_set(finding, FINDING_MENDED, "deleted");
}

/* cgroups ----------------------------------------------------------------------------------------
 */

void repair_cgroup(repair_t *self, finding_t *finding)
{
    if (!repair_is_unowned(self, finding))
        return;
    if (cgroup_remove(finding->object))
        finding_set(finding, FINDING_MENDED, "removed");
    else
        finding_set(finding, FINDING_LEFT, "there are processes in it now");
}
