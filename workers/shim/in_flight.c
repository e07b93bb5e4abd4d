/* Whether a shim is in the middle of a start. */
#include "workers/shim/in_flight.h"

#include "common/proc.h"

#include <ctype.h>
#include <dirent.h>

#define ARGUMENTS_MAX 8192

/* A word of a command line, each ended by a NUL byte, that ends in `tail`. */
static bool has_word(const char *words, size_t size, const char *tail)
{
    size_t wanted = strlen(tail);
    for (const char *word = words; word < words + size; word += strlen(word) + 1) {
        size_t length = strlen(word);
        if (length >= wanted && !strcmp(word + length - wanted, tail))
            return true;
    }
    return false;
}

static bool starts(const process_t *process, int pid)
{
    char words[ARGUMENTS_MAX], pid_file[96];
    size_t size = proc_read(pid, "cmdline", words, sizeof words);
    snprintf(pid_file, sizeof pid_file, "/%s.pid", process->exec_id);
    if (process->exec_id[0])
        return has_word(words, size, pid_file);
    return has_word(words, size, "start") && has_word(words, size, process->task->id);
}

/* A thread lists the children that it has forked itself. */
static bool any_child_starts(const process_t *process, uint32_t shim, const char *thread)
{
    char path[320];
    int pid;
    bool found = false;
    snprintf(path, sizeof path, "/proc/%u/task/%s/children", shim, thread);
    FILE *file = fopen(path, "re");
    while (file && !found && fscanf(file, "%d", &pid) == 1)
        found = starts(process, pid);
    if (file)
        fclose(file);
    return found;
}

bool in_flight_start(const process_t *process)
{
    char path[64];
    uint32_t shim = shim_endpoint(process->task->shim)->shim_pid;
    snprintf(path, sizeof path, "/proc/%u/task", shim);
    DIR *threads = opendir(path);
    bool found = false;
    for (struct dirent *entry; threads && !found && (entry = readdir(threads));)
        if (isdigit((unsigned char)entry->d_name[0]))
            found = any_child_starts(process, shim, entry->d_name);
    if (threads)
        closedir(threads);
    return found;
}
