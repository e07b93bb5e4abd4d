/* shimctl doctor: looks until it believes what it sees, and mends it if told to. */
#include "client/commands.h"
#include "client/doctor/causes.h"
#include "client/doctor/compare.h"
#include "client/doctor/print.h"
#include "client/doctor/repair.h"
#include "client/exit_status.h"

#include <fcntl.h>
#include <time.h>

#define PAUSE_MS   500
#define LOOKS_MAX  20
#define ROUNDS_MAX 3 /* of mending: what is set aside by the first goes in the second */

typedef struct doctor {
    asker_t asker;
    cluster_t cluster;
    machine_t *machine; /* of the last look */
} doctor_t;

/* Nobody answers: either there is no cluster, or one that has lost its sockets. */
static status_code_t check_down(doctor_t *self, status_t *st)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    AUTO_FREE char *path = util_format("%s/shimd.lock", self->cluster.run_dir);
    AUTO_CLOSE int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    self->asker.is_down = st->code == STATUS_UNAVAILABLE;
    if (!self->asker.is_down)
        return st->code;
    if (fd >= 0 && !fcntl(fd, F_GETLK, &lock) && lock.l_type != F_UNLCK)
        return status_set(st, STATUS_UNAVAILABLE,
                          "shimd (pid %d) runs in %s and cannot be reached: restart it",
                          (int)lock.l_pid, self->cluster.run_dir);
    return STATUS_OK;
}

/* Where the cluster says it is: its supervisor may have been given another root directory. */
static status_code_t find_cluster(doctor_t *self, session_t *session, status_t *st)
{
    msg_cluster_t answer;
    const char *root = options_text(session_options(session), "root-dir");
    self->cluster = *session_cluster(session);
    if (root && cluster_set_root_dir(&self->cluster, root, st))
        return status_wrap(st, "--root-dir");
    if (!session_link(session, st))
        return check_down(self, st);
    if (asker_call(&self->asker, MSG_cluster_status, &(msg_cluster_status_t){0}, NULL,
                   self->asker.zone, &answer, st) ||
        !answer.root_dir)
        return STATUS_OK;
    return cluster_set_root_dir(&self->cluster, answer.root_dir, st);
}

/* Mounts are seen as this process sees them, which must be as the cluster does. */
static status_code_t check_place(doctor_t *self, status_t *st)
{
    char ours[64] = "", theirs[64] = "";
    msg_cluster_t answer;
    status_t ignored;
    if (geteuid() != 0)
        return status_set(st, STATUS_PERMISSION_DENIED,
                          "doctor needs root: it looks at processes and directories of others");
    if (self->asker.is_down ||
        asker_call(&self->asker, MSG_cluster_status, &(msg_cluster_status_t){0}, NULL,
                   self->asker.zone, &answer, &ignored) ||
        answer.processes.count == 0)
        return STATUS_OK;
    unsigned pid = answer.processes.items[0].pid;
    AUTO_FREE char *link = util_format("/proc/%u/ns/mnt", pid);
    if (readlink("/proc/self/ns/mnt", ours, sizeof ours - 1) < 0 ||
        readlink(link, theirs, sizeof theirs - 1) < 0 || !strcmp(ours, theirs))
        return STATUS_OK;
    return status_set(
        st, STATUS_FAILED_PRECONDITION,
        "the cluster runs in another mount namespace: nsenter -t %u -m shimctl doctor", pid);
}

static findings_t *look(doctor_t *self)
{
    said_t *before = said_ask(&self->asker);
    machine_destroy(&self->machine);
    self->machine = machine_look(&self->cluster);
    said_t *after = said_ask(&self->asker);
    findings_t *found = compare_look(&self->asker, before, self->machine, after);
    said_destroy(&before);
    said_destroy(&after);
    compare_room(found, &self->asker, &self->cluster);
    compare_store(found, &self->cluster);
    return found;
}

/* What was there in every look for as long as its kind asks. */
static findings_t *observe(doctor_t *self)
{
    findings_t *found = look(self);
    for (int i = 1; i < LOOKS_MAX && findings_young(found, util_monotonic_us()); i++) {
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
        findings_t *again = look(self);
        findings_follow(again, found);
        findings_destroy(&found);
        found = again;
    }
    findings_drop_young(found, util_monotonic_us());
    causes_ask(found, &self->asker);
    return found;
}

/* Takes over into `told` what was found now, with what repairing came to. What is not found any
 * more was mended, by its own repair or by another's; what still is was not, whatever its repair
 * says.
 */
static void retell(findings_t *told, findings_t *found)
{
    for (finding_t *f = findings_first(told); f; f = findings_next(told))
        if (f->state != FINDING_MENDED && !findings_have(found, f))
            finding_set(f, FINDING_MENDED, "it is gone");
    for (finding_t *f = findings_first(found); f; f = findings_next(found)) {
        finding_t *row =
            findings_add(told, f->kind, f->ns, f->id, f->object, f->mark, "%s", f->text);
        row->has_request = f->has_request;
        row->request = f->request;
        row->state = FINDING_LEFT;
        if (f->result)
            finding_set(row, f->state, "%s", f->result);
    }
}

static findings_t *mend(doctor_t *self, findings_t **found)
{
    findings_t *told = findings_new();
    int64_t begun_ms = util_now_ms();
    size_t tried = 1;
    for (int i = 0; i < ROUNDS_MAX && tried && findings_count(*found); i++) {
        repair_t repair = {.asker = &self->asker,
                           .machine = self->machine,
                           .cluster = &self->cluster,
                           .findings = *found,
                           .begun_ms = begun_ms};
        tried = repair_all(&repair);
        retell(told, *found);
        findings_destroy(found);
        asker_retry(&self->asker);
        *found = observe(self);
    }
    retell(told, *found);
    return told;
}

int cmd_doctor(session_t *session)
{
    doctor_t self = {.machine = NULL};
    status_t st;
    asker_init(&self.asker, session);
    int result = 0;
    if (find_cluster(&self, session, &st) || check_place(&self, &st)) {
        result = session_fail(&st);
        asker_clear(&self.asker);
        return result;
    }
    findings_t *found = observe(&self);
    findings_t *told = NULL;
    if (options_flag(session_options(session), "repair"))
        told = mend(&self, &found);
    print_findings(told ? told : found, &self.asker, session_json(session));
    bool is_partial = print_failures(&self.asker) && !self.asker.is_down;
    if (findings_count(found))
        result = EXIT_STATUS_UNHEALTHY;
    else if (is_partial)
        result = exit_status_of(STATUS_UNAVAILABLE);
    findings_destroy(&told);
    findings_destroy(&found);
    machine_destroy(&self.machine);
    asker_clear(&self.asker);
    return result;
}
