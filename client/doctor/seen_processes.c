/* Processes: the cluster's shims, and who holds a file open. */
#include "client/doctor/seen.h"

#include "common/proc.h"

#include <dirent.h>
#include <fcntl.h>

#define ARGUMENTS_MAX   8192
#define ENVIRONMENT_MAX (256u << 10)

/* What /proc/PID/NAME has, NUL-terminated; its size, 0 when there is nothing to read. */
static size_t read_proc(pid_t pid, const char *name, char *text, size_t size)
{
    AUTO_FREE char *path = util_format("/proc/%d/%s", (int)pid, name);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    for (ssize_t got = 1; fd >= 0 && got > 0 && used<size - 1; used += got> 0 ? (size_t)got : 0)
        got = read(fd, text + used, size - 1 - used);
    text[used] = '\0';
    return used;
}

char seen_process_state(pid_t pid)
{
    char text[1024];
    if (!read_proc(pid, "stat", text, sizeof text))
        return 0;
    const char *end = strrchr(text, ')');
    return end && end[1] == ' ' ? end[2] : 0;
}

static const char *next_word(const char *word, const char *end)
{
    const char *next = word + strlen(word) + 1;
    return next < end ? next : NULL;
}

bool seen_is_shim(const cluster_t *cluster, pid_t pid, seen_arguments_t *ret)
{
    char text[ARGUMENTS_MAX];
    size_t size = read_proc(pid, "cmdline", text, sizeof text);
    AUTO_FREE char *address = cluster_socket_path(cluster, CLUSTER_CLIENT);
    bool is_ours = false;
    seen_arguments_t found = {.ns = ""};
    const char *last = NULL, *end = text + size;
    for (const char *word = text; size && word; word = next_word(word, end)) {
        const char *value = next_word(word, end);
        last = word;
        if (!value)
            break;
        if (!strcmp(word, "-address"))
            is_ours = !strcmp(value, address);
        else if (!strcmp(word, "-namespace"))
            snprintf(found.ns, sizeof found.ns, "%s", value);
        else if (!strcmp(word, "-id"))
            snprintf(found.id, sizeof found.id, "%s", value);
    }
    found.is_verb = last && (!strcmp(last, "start") || !strcmp(last, "delete"));
    if (ret)
        *ret = found;
    return is_ours;
}

/* The request that started it, which the worker puts into a shim's environment. */
static bool request_of(pid_t pid, msg_uuid_t *ret)
{
    AUTO_FREE char *text = zmalloc(ENVIRONMENT_MAX);
    size_t size = read_proc(pid, "environ", text, ENVIRONMENT_MAX);
    const char *name = RECORD_REQUEST_VARIABLE "=";
    for (const char *word = text; size && word; word = next_word(word, text + size)) {
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
    seen_arguments_t arguments;
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        uint64_t start = pid > 0 ? proc_start_time(pid) : 0;
        if (!start || !seen_is_shim(self->cluster, pid, &arguments))
            continue;
        seen_kind_t kind = arguments.is_verb ? SEEN_VERB : SEEN_SHIM;
        seen_t *row =
            machine_add(self, kind, arguments.ns, arguments.id, util_format("pid %d", (int)pid));
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
