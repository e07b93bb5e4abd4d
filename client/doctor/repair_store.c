/* A damaged store, and what is kept of one. */
#include "client/doctor/repair.h"

#include "workers/metadata/salvage.h"

#include <errno.h>
#include <fcntl.h>

/* Whoever opens the store next looks at all of it. */
static status_code_t suspect(const cluster_t *cluster, status_t *st)
{
    AUTO_FREE char *path = util_format("%s/metadata/" SALVAGE_SUSPECT, cluster->root_dir);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 ? status_errno(st, errno, "make %s", path) : STATUS_OK;
}

void repair_store(repair_t *self, finding_t *finding)
{
    status_t st = {.code = STATUS_OK};
    if (suspect(self->cluster, &st))
        finding_set(finding, FINDING_LEFT, "%s", st.text);
    else if (self->asker->is_down)
        finding_set(finding, FINDING_LEFT, "the next shimd does that");
    else if (repair_restart(self, "metadata", &st))
        finding_set(finding, FINDING_LEFT, "%s", st.text);
    else
        finding_set(finding, FINDING_MENDED, "a new metadata worker has looked at it");
}

/* When it was set aside, which ends its name: ms since the epoch. */
static int64_t aside_ms(const char *path)
{
    return strtoll(strrchr(path, '/') + 1 + strlen(SALVAGE_ASIDE), NULL, 10);
}

void repair_salvaged_store(repair_t *self, finding_t *finding)
{
    if (!repair_is_same(finding))
        return;
    if (aside_ms(finding->object) >= self->begun_ms) {
        finding_set(finding, FINDING_LEFT, "it was set aside just now: look at it before");
        return;
    }
    if (unlink(finding->object) && errno != ENOENT)
        finding_set(finding, FINDING_LEFT, "remove it: %s", strerror(errno));
    else
        finding_set(finding, FINDING_MENDED, "removed");
}
