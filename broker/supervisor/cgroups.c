/* Removing the cgroup directories above containers that are gone. */
#include "broker/supervisor/cgroups.h"

#include "common/util.h"

#include <dirent.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* rmdir refuses what has processes or further cgroups, which is all the check there needs to be. */
static void prune_tree(const char *path)
{
    DIR *stream = opendir(path);
    if (!stream)
        return;
    for (struct dirent *entry; (entry = readdir(stream));)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            (void)unlinkat(dirfd(stream), entry->d_name, AT_REMOVEDIR);
    closedir(stream);
    (void)rmdir(path);
}

void cgroups_prune(const cluster_t *cluster)
{
    AUTO_FREE char *name = cluster_cgroup(cluster);
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    for (struct mntent *mount; mounts && (mount = getmntent(mounts));) {
        if (strcmp(mount->mnt_type, "cgroup") && strcmp(mount->mnt_type, "cgroup2"))
            continue;
        AUTO_FREE char *path = util_format("%s%s", mount->mnt_dir, name);
        prune_tree(path);
    }
    if (mounts)
        endmntent(mounts);
}
