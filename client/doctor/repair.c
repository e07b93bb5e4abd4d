/* Which finding is mended how. */
#include "client/doctor/repair.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define RESTART_MS 60000
#define PAUSE_MS   20

bool repair_find_task(repair_t *self, const finding_t *finding, msgpack_zone *zone,
                      msg_process_t *ret)
{
    const msg_task_list_t ask = {.all = true, .under_way = true};
    msg_processes_t answer;
    status_t ignored;
    if (asker_call(self->asker, MSG_task_list, &ask, NULL, zone, &answer, &ignored))
        return false;
    for (size_t i = 0; i < answer.tasks.count; i++) {
        *ret = answer.tasks.items[i];
        if (!strcmp(ret->ns, finding->ns) && !strcmp(ret->id, finding->id))
            return true;
    }
    return false;
}

bool repair_is_unowned(repair_t *self, finding_t *finding)
{
    if (self->asker->is_down || !finding->id[0])
        return true;
    const msg_task_list_t ask = {.all = true, .under_way = true};
    msg_processes_t answer;
    status_t st;
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    bool is_known = zone && !asker_call(self->asker, MSG_task_list, &ask, NULL, zone, &answer, &st);
    bool has_task = false;
    for (size_t i = 0; is_known && i < answer.tasks.count; i++) {
        const msg_process_t *task = &answer.tasks.items[i];
        has_task = has_task || (finding->pid && task->shim_pid == (uint32_t)finding->pid) ||
                   (!strcmp(task->ns, finding->ns) && !strcmp(task->id, finding->id));
    }
    msgpack_zone_free(zone);
    if (!is_known)
        finding_set(finding, FINDING_LEFT, "whether it is a task's cannot be known now");
    else if (has_task)
        finding_set(finding, FINDING_LEFT, "a task has it now");
    return is_known && !has_task;
}

static void pause_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)ms * 1000000}, NULL);
}

bool repair_await_gone(const char *path)
{
    struct stat info;
    int64_t end = util_monotonic_us() + REPAIR_GONE_MS * 1000;
    while (!lstat(path, &info)) {
        if (util_monotonic_us() > end)
            return false;
        pause_ms(PAUSE_MS);
    }
    return true;
}

/* What the workers do ----------------------------------------------------------------------------
 */

status_code_t repair_restart(repair_t *self, const char *process, status_t *st)
{
    const msg_cluster_restart_t ask = {.process = process};
    link_t *link = session_link(self->asker->session, st);
    if (!link)
        return st->code;
    return link_call(link, MSG_cluster_restart, &ask, NULL, RESTART_MS, NULL, NULL, st);
}

static void restart_process(repair_t *self, finding_t *finding)
{
    status_t st;
    if (repair_restart(self, finding->object, &st))
        finding_set(finding, FINDING_LEFT, "%s", st.text);
    else
        finding_set(finding, FINDING_MENDED, "started again");
}

static void sweep(repair_t *self, finding_t *finding)
{
    status_t st;
    if (!repair_uncover(self, finding))
        return;
    if (self->asker->is_down) {
        repair_tree(self, finding);
        return;
    }
    if (asker_call(self->asker, MSG_bundle_sweep, &(msg_bundle_sweep_t){0}, NULL, NULL, NULL, &st))
        finding_set(finding, FINDING_LEFT, "%s", st.text);
    else if (repair_await_gone(finding->object))
        finding_set(finding, FINDING_MENDED, "the bundle worker has removed it");
    else
        finding_set(finding, FINDING_LEFT, "the bundle worker cannot remove it yet");
}

static void uncover(repair_t *self, finding_t *finding)
{
    (void)repair_uncover(self, finding); /* load_again tells the result */
}

/* A shim worker that starts looks at every bundle and every run, as after its death. */
static const finding_t *find_keeper(findings_t *findings)
{
    for (const finding_t *f = findings_first(findings); f; f = findings_next(findings))
        if (finding_type(f->kind)->keeps_workers && f->state != FINDING_MENDED)
            return f;
    return NULL;
}

/* Done once for all of them, and last. */
static void load_again(repair_t *self)
{
    status_t st = {.code = STATUS_OK};
    bool is_wanted = false;
    for (finding_t *f = findings_first(self->findings); f; f = findings_next(self->findings))
        is_wanted =
            is_wanted || f->kind == FINDING_STALE_BUNDLE || f->kind == FINDING_RUN_WITHOUT_TASK;
    if (!is_wanted)
        return;
    const finding_t *keeper = find_keeper(self->findings);
    if (self->asker->is_down)
        status_set(&st, STATUS_UNAVAILABLE, "the next shimd does that");
    else if (keeper)
        status_set(&st, STATUS_FAILED_PRECONDITION, "a new shim worker would lose task %s/%s: %s",
                   keeper->ns, keeper->id, keeper->text);
    else
        repair_restart(self, "shim", &st);
    for (finding_t *f = findings_first(self->findings); f; f = findings_next(self->findings)) {
        if (f->kind != FINDING_STALE_BUNDLE && f->kind != FINDING_RUN_WITHOUT_TASK)
            continue;
        if (st.code)
            finding_set(f, FINDING_LEFT, "%s", st.text);
        else
            finding_set(f, FINDING_MENDED, "a new shim worker has looked at it");
    }
}

static void ask_state(repair_t *self, finding_t *finding)
{
    msg_process_t answer;
    status_t st;
    const msg_task_get_t ask = {.id = finding->id};
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    if (!zone || asker_call(self->asker, MSG_task_get, &ask, finding->ns, zone, &answer, &st))
        finding_set(finding, FINDING_LEFT, "its shim tells nothing");
    else if (strcmp(answer.status, "STOPPED"))
        finding_set(finding, FINDING_LEFT, "its shim takes it for %s", answer.status);
    else
        finding_set(finding, FINDING_MENDED, "it is STOPPED, with exit status %u",
                    answer.exit_status);
    msgpack_zone_free(zone);
}

/* ------------------------------------------------------------------------------------------------
 */

static repair_action_t *const actions[FINDING_KINDS] = {
    [FINDING_DAMAGED_STORE] = repair_store,
    [FINDING_RECORD_MISMATCH] = repair_bundle,
    [FINDING_TASK_WITHOUT_BUNDLE] = repair_bundle,
    [FINDING_MISSING_WORK] = repair_work,
    [FINDING_TASK_WITHOUT_RECORD] = repair_record,
    [FINDING_STOPPED_SHIM] = repair_continue_shim,
    [FINDING_TASK_WITHOUT_PROCESS] = ask_state,
    [FINDING_PROCESS_DOWN] = restart_process,
    [FINDING_LEAKED_SHIM] = repair_kill_shim,
    [FINDING_STRAY_RUNC] = repair_runc,
    [FINDING_STRAY_PROCESS] = repair_stray_processes,
    [FINDING_STRAY_MOUNT] = repair_mount,
    [FINDING_STRAY_CGROUP] = repair_cgroup,
    [FINDING_STRAY_FIFO] = repair_fifo,
    [FINDING_DEAD_SOCKET] = repair_socket,
    [FINDING_DEBT] = sweep,
    [FINDING_HALF_REMOVED] = sweep,
    [FINDING_STRAY_WORK] = sweep,
    [FINDING_STRAY_FILE] = repair_tree,
    [FINDING_QUARANTINED] = repair_quarantined,
    [FINDING_SALVAGED_STORE] = repair_salvaged_store,
    [FINDING_STALE_BUNDLE] = uncover,
};

/* A supervisor that starts meanwhile waits for it or refuses. -1 with a sentence when one runs. */
static int lock_out_supervisors(const cluster_t *cluster, status_t *st)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    AUTO_FREE char *path = util_format("%s/shimd.lock", cluster->run_dir);
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    /* The second is held by every process of a cluster, so that its remains count too. */
    if (fd >= 0 && fcntl(fd, F_SETLK, &lock) == 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    status_set(st, STATUS_FAILED_PRECONDITION, "%s: %s: a shimd, or what one left, runs there",
               path, strerror(errno));
    util_close(&fd);
    return -1;
}

static void leave_all(repair_t *self, const status_t *why)
{
    for (finding_t *f = findings_first(self->findings); f; f = findings_next(self->findings))
        finding_set(f, FINDING_LEFT, "%s", why->text);
}

size_t repair_all(repair_t *self)
{
    status_t st;
    size_t tried = 0;
    AUTO_CLOSE int lock = -1;
    if (self->asker->is_down) {
        lock = lock_out_supervisors(self->cluster, &st);
        if (lock < 0) {
            leave_all(self, &st);
            return 0;
        }
    }
    /* The actions walk through other lists only, so that the cursor stays. */
    for (finding_t *f = findings_first(self->findings); f; f = findings_next(self->findings)) {
        tried += finding_type(f->kind)->can_mend;
        if (actions[f->kind])
            actions[f->kind](self, f);
        else if (!finding_type(f->kind)->can_mend)
            finding_set(f, FINDING_LEFT, "not mended by itself: %s", finding_type(f->kind)->mend);
    }
    load_again(self);
    return tried;
}
