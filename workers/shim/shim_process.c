/* Shims as the processes they are. */
#include "workers/shim/shim_process.h"

#include "common/proc.h"
#include "common/proc_socket.h"
#include "common/util.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

#define ARGUMENTS_MAX 8192

bool shim_process_is(const cluster_t *cluster, pid_t pid, shim_words_t *ret)
{
    char text[ARGUMENTS_MAX];
    size_t size = proc_read(pid, "cmdline", text, sizeof text);
    AUTO_FREE char *address = cluster_socket_path(cluster, CLUSTER_CLIENT);
    bool is_ours = false;
    const char *last = NULL, *end = text + size;
    *ret = (shim_words_t){.ns = ""};
    for (const char *word = text; size && word; word = proc_next_word(word, end)) {
        const char *value = proc_next_word(word, end);
        last = word;
        if (!value)
            break;
        if (!strcmp(word, "-address"))
            is_ours = !strcmp(value, address);
        else if (!strcmp(word, "-namespace"))
            snprintf(ret->ns, sizeof ret->ns, "%s", value);
        else if (!strcmp(word, "-id"))
            snprintf(ret->id, sizeof ret->id, "%s", value);
    }
    ret->is_verb = last && (!strcmp(last, "start") || !strcmp(last, "delete"));
    return is_ours && proc_user(pid) == getuid(); /* arguments are anybody's to choose */
}

static bool is_of(const cluster_t *cluster, pid_t pid, const char *ns, const char *id)
{
    shim_words_t words;
    return pid > 0 && shim_process_is(cluster, pid, &words) && !words.is_verb &&
           !strcmp(words.ns, ns) && !strcmp(words.id, id);
}

/* Takes the process if it is that shim, and a later one than `ret`. */
static void consider(const cluster_t *cluster, pid_t pid, const char *ns, const char *id,
                     endpoint_t *ret)
{
    uint64_t start = is_of(cluster, pid, ns, id) ? proc_start_time(pid) : 0;
    AUTO_FREE char *path = start > ret->shim_start ? proc_listens_at(pid) : NULL;
    /* Looked at again: the number may be of another process by now. */
    if (!path || !is_of(cluster, pid, ns, id))
        return;
    *ret = (endpoint_t){.version = 3, .shim_pid = (uint32_t)pid, .shim_start = start};
    snprintf(ret->address, sizeof ret->address, "unix://%s", path);
}

bool shim_process_find(const cluster_t *cluster, const char *ns, const char *id, endpoint_t *ret)
{
    DIR *processes = opendir("/proc");
    endpoint_t found = {.shim_pid = 0};
    for (struct dirent *entry; processes && (entry = readdir(processes));)
        consider(cluster, (pid_t)strtol(entry->d_name, NULL, 10), ns, id, &found);
    if (processes)
        closedir(processes);
    if (found.shim_pid)
        *ret = found;
    return found.shim_pid != 0;
}
