/* Processes: the cluster's shims, and who holds a file open. */
#include "client/doctor/seen.h"

#include "common/proc.h"
#include "workers/shim/shim_process.h"

#include <dirent.h>
#include <fcntl.h>

#define ENVIRONMENT_MAX (256u << 10)

char seen_process_state(pid_t pid)
{
    char text[1024];
    if (!proc_read(pid, "stat", text, sizeof text))
        return 0;
    const char *end = strrchr(text, ')');
    return end && end[1] == ' ' ? end[2] : 0;
}

/* The request that started it, which the worker puts into a shim's environment. */
static bool request_of(pid_t pid, msg_uuid_t *ret)
{
    AUTO_FREE char *text = zmalloc(ENVIRONMENT_MAX);
    size_t size = proc_read(pid, "environ", text, ENVIRONMENT_MAX);
    const char *name = RECORD_REQUEST_VARIABLE "=";
    for (const char *word = text; size && word; word = proc_next_word(word, text + size)) {
        if (strncmp(word, name, strlen(name)))
            continue;
        json_t *object = json_pack("{s:s}", "request", word + strlen(name));
        bool found = object && record_parse_request(object, ret);
        json_decref(object);
        return found && msg_uuid_is_set(ret);
    }
    return false;
}

void seen_processes(machine_t *self)
{
    DIR *stream = opendir("/proc");
    shim_words_t words;
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        uint64_t start = pid > 0 ? proc_start_time(pid) : 0;
        if (!start || !shim_process_is(self->cluster, pid, &words))
            continue;
        seen_kind_t kind = words.is_verb ? SEEN_VERB : SEEN_SHIM;
        seen_t *row = machine_add(self, kind, words.ns, words.id, util_format("pid %d", (int)pid));
        row->pid = pid;
        row->start = row->mark = start;
        row->has_request = request_of(pid, &row->request);
    }
    if (stream)
        closedir(stream);
}

static bool holds(const char *pid, const char *dir)
{
    char target[PATH_MAX];
    size_t size = strlen(dir);
    AUTO_FREE char *path = util_format("/proc/%s/fd", pid);
    DIR *stream = opendir(path);
    bool found = false;
    for (struct dirent *entry; stream && !found && (entry = readdir(stream));) {
        ssize_t length = readlinkat(dirfd(stream), entry->d_name, target, sizeof target - 1);
        target[length > 0 ? length : 0] = '\0';
        found = !strncmp(target, dir, size) && target[size] == '/';
    }
    if (stream)
        closedir(stream);
    return found;
}

bool seen_is_held(const char *dir)
{
    DIR *processes = opendir("/proc");
    bool found = !processes;
    for (struct dirent *entry; processes && !found && (entry = readdir(processes));)
        found = isdigit((unsigned char)entry->d_name[0]) && holds(entry->d_name, dir);
    if (processes)
        closedir(processes);
    return found;
}
