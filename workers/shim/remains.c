/* What is left of a container whose shim did not live to delete it. */
#include "workers/shim/remains.h"

#include "common/cgroup_tree.h"
#include "common/proc.h"
#include "common/util.h"

#include <ctype.h>
#include <dirent.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#define COMMAND_MAX 8192 /* bytes of a command line; a runtime's is shorter */

static bool creates(const char *words, const char *end, const char *bundle)
{
    bool is_create = false, is_of_bundle = false;
    for (const char *word = words, *next; word; word = next) {
        next = proc_next_word(word, end);
        is_create = is_create || !strcmp(word, "create");
        is_of_bundle = is_of_bundle || (next && !strcmp(word, "--bundle") && !strcmp(next, bundle));
    }
    return is_create && is_of_bundle;
}

static bool is_runtime_of(pid_t pid, const char *bundle)
{
    char words[COMMAND_MAX];
    size_t size = proc_read(pid, "cmdline", words, sizeof words);
    return size && creates(words, words + size, bundle);
}

size_t remains_kill_runtime(const char *bundle)
{
    size_t count = 0;
    DIR *stream = opendir("/proc");
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        pid_t pid = isdigit((unsigned char)entry->d_name[0]) ? atoi(entry->d_name) : 0;
        AUTO_CLOSE int fd = pid && is_runtime_of(pid, bundle) ? proc_open(pid, 0) : -1;
        /* Looked at again: the descriptor may be of another process by now. */
        if (fd < 0 || !is_runtime_of(pid, bundle))
            continue;
        pidfd_send_signal(fd, SIGKILL, NULL, 0);
        count++;
    }
    if (stream)
        closedir(stream);
    return count;
}

bool remains_remove_cgroup(const char *bundle)
{
    AUTO_FREE char *path = util_format("%s/config.json", bundle);
    json_t *spec = json_load_file(path, 0, NULL);
    const char *cgroup =
        json_string_value(json_object_get(json_object_get(spec, "linux"), "cgroupsPath"));
    bool is_gone = !cgroup || cgroup[0] != '/' || strstr(cgroup, "..") || cgroup_remove(cgroup);
    json_decref(spec);
    return is_gone;
}

bool remains_are_in_runc(const char *runc_root, const char *ns, const char *id)
{
    AUTO_FREE char *path = util_format("%s/%s/%s", runc_root, ns, id);
    return !access(path, F_OK);
}
