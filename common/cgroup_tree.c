/* The trees of cgroups. */
#include "common/cgroup_tree.h"

#include "common/util.h"

#include <ftw.h>
#include <mntent.h>
#include <string.h>
#include <unistd.h>

#define DESCRIPTORS 16

char *cgroup_find(const char *controller, cgroup_place_t *place, void *arg)
{
    char *found = NULL;
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    for (struct mntent *mount; mounts && !found && (mount = getmntent(mounts));) {
        bool is_v1 =
            !strcmp(mount->mnt_type, "cgroup") && (!controller || hasmntopt(mount, controller));
        if (is_v1 || !strcmp(mount->mnt_type, "cgroup2"))
            found = place(arg, mount->mnt_dir, is_v1);
    }
    if (mounts)
        endmntent(mounts);
    return found;
}

typedef struct visitor {
    cgroup_hierarchy_t *visit;
    void *arg;
} visitor_t;

static char *visit_one(void *arg, const char *mount_point, bool is_v1)
{
    const visitor_t *visitor = arg;
    (void)is_v1;
    visitor->visit(visitor->arg, mount_point);
    return NULL;
}

void cgroup_each_hierarchy(cgroup_hierarchy_t *visit, void *arg)
{
    visitor_t visitor = {.visit = visit, .arg = arg};
    cgroup_find(NULL, visit_one, &visitor);
}

/* The kernel refuses what has processes or further cgroups, which is all the check there needs to
 * be. */
static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)at;
    if (kind == FTW_DP)
        (void)rmdir(path);
    return 0;
}

typedef struct removal {
    const char *path;
    bool is_left;
} removal_t;

static void remove_in_hierarchy(void *arg, const char *mount_point)
{
    removal_t *removal = arg;
    AUTO_FREE char *path = util_format("%s%s", mount_point, removal->path);
    nftw(path, remove_one, DESCRIPTORS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    if (!access(path, F_OK))
        removal->is_left = true;
}

bool cgroup_remove(const char *path)
{
    removal_t removal = {.path = path};
    if (path[0] != '/' || !path[1])
        return true; /* the root, or none */
    cgroup_each_hierarchy(remove_in_hierarchy, &removal);
    return !removal.is_left;
}
