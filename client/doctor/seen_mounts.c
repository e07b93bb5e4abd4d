/* Mounts in the directories that hold tasks; others in RUN and ROOT are the operator's. */
#include "client/doctor/seen.h"

#include <mntent.h>

/* RUN/task/NS/NAME/...: whose it is. */
static void tell_owner(const char *rest, char ns[77], char id[SEEN_NAME_SIZE])
{
    const char *slash = strchr(rest, '/');
    ns[0] = id[0] = '\0';
    if (!slash)
        return;
    snprintf(ns, 77, "%.*s", (int)(slash - rest), rest);
    snprintf(id, SEEN_NAME_SIZE, "%.*s", (int)strcspn(slash + 1, "/"), slash + 1);
}

static void add_below(machine_t *self, const char *base, const char *part, const char *point)
{
    char ns[77], id[SEEN_NAME_SIZE];
    AUTO_FREE char *top = util_format("%s/%s/", base, part);
    if (strncmp(point, top, strlen(top)))
        return;
    tell_owner(point + strlen(top), ns, id);
    machine_add(self, SEEN_MOUNT, ns, id, util_strdup(point));
}

void seen_mounts(machine_t *self)
{
    FILE *file = setmntent("/proc/self/mounts", "re");
    for (struct mntent *mount; file && (mount = getmntent(file));) {
        static const char *const run_parts[] = {"task", "quarantine", "runc", "fifo"};
        for (size_t i = 0; i < ARRAY_SIZE(run_parts); i++)
            add_below(self, self->cluster->run_dir, run_parts[i], mount->mnt_dir);
        for (size_t i = 0; i < 2; i++)
            add_below(self, self->cluster->root_dir, run_parts[i], mount->mnt_dir);
    }
    if (file)
        endmntent(file);
}
