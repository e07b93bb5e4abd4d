/* Room: in the cluster's directories, and in the store. */
#include "client/doctor/compare.h"

#include <sys/statvfs.h>

static void compare_directory(findings_t *findings, const char *path)
{
    struct statvfs room;
    if (statvfs(path, &room))
        return;
    uint64_t bytes = (uint64_t)room.f_bfree * room.f_frsize;
    if (room.f_blocks && bytes < COMPARE_ROOM_BYTES) /* 0: without a limit, or not told */
        findings_add(findings, FINDING_FULL_DISK, "", "", path, 0,
                     "%llu KiB are free in its file system", (unsigned long long)bytes / 1024);
    else if (room.f_files && room.f_ffree < COMPARE_ROOM_FILES) /* 0: they are not counted */
        findings_add(findings, FINDING_FULL_DISK, "", "", path, 0,
                     "%llu more files can be made in its file system",
                     (unsigned long long)room.f_ffree);
}

static void compare_limit(findings_t *findings, asker_t *asker)
{
    msg_metadata_t store;
    status_t ignored; /* whoever does not answer is told of already */
    if (asker->is_down || asker->has_failed[SAID_RUNS] ||
        asker_call(asker, MSG_metadata_status, &(msg_metadata_status_t){0}, NULL, asker->zone,
                   &store, &ignored) ||
        store.used_bytes + COMPARE_ROOM_BYTES <= store.max_bytes)
        return;
    findings_add(findings, FINDING_FULL_STORE, "", "", store.path, 0, "%llu of %llu MiB are in use",
                 (unsigned long long)store.used_bytes >> 20,
                 (unsigned long long)store.max_bytes >> 20);
}

void compare_room(findings_t *findings, asker_t *asker, const cluster_t *cluster)
{
    compare_directory(findings, cluster->run_dir);
    compare_directory(findings, cluster->root_dir);
    compare_limit(findings, asker);
}
