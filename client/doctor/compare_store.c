/* The store's file, and damaged ones that are kept beside it. */
#include "client/doctor/compare.h"

#include "workers/metadata/salvage.h"
#include "workers/metadata/upkeep.h"

#include <ctype.h>
#include <dirent.h>

static void compare_records(findings_t *findings, const char *directory)
{
    upkeep_report_t report;
    status_t st;
    AUTO_FREE char *path = util_format("%s/" SALVAGE_DATA, directory);
    if (upkeep_check(directory, &report, &st) == STATUS_DATA_LOSS)
        findings_add(findings, FINDING_DAMAGED_STORE, "", "", path, seen_mark(path), "%s", st.text);
}

/* damaged-MS.mdb; what metadata restore has replaced was not found damaged. */
static bool is_salvaged(const char *name)
{
    size_t size = strlen(SALVAGE_ASIDE);
    return !strncmp(name, SALVAGE_ASIDE, size) && isdigit((unsigned char)name[size]);
}

static void compare_kept(findings_t *findings, const char *directory)
{
    DIR *stream = opendir(directory);
    for (struct dirent *entry = stream ? readdir(stream) : NULL; entry; entry = readdir(stream)) {
        if (!is_salvaged(entry->d_name))
            continue;
        AUTO_FREE char *path = util_format("%s/%s", directory, entry->d_name);
        findings_add(findings, FINDING_SALVAGED_STORE, "", "", path, seen_mark(path),
                     "it was damaged, and the present store was made from it");
    }
    if (stream)
        closedir(stream);
}

void compare_store(findings_t *findings, const cluster_t *cluster)
{
    AUTO_FREE char *directory = util_format("%s/metadata", cluster->root_dir);
    compare_records(findings, directory);
    compare_kept(findings, directory);
}
