/* Sockets in the shims' directory that nobody listens on. Whose they are cannot be read from them:
 * their names are hashes, which the comparison computes for the tasks it knows. */
#include "client/doctor/seen.h"

#include <dirent.h>

#define LISTENING   0x10000 /* __SO_ACCEPTCON, as /proc/net/unix shows it */
#define NAME_DIGITS 64      /* of a SHA-256 */

/* The descriptors' name of each listening socket, "socket:[123]", by its path. */
static zhashx_t *listeners_new(void)
{
    zhashx_t *paths = zhashx_new();
    char line[512];
    FILE *table = fopen("/proc/net/unix", "re");
    zhashx_set_destructor(paths, (zhashx_destructor_fn *)zstr_free);
    while (table && fgets(line, sizeof line, table)) {
        unsigned flags;
        unsigned long inode;
        int name = 0;
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%*s %*s %*s %x %*s %*s %lu %n", &flags, &inode, &name) == 2 && name &&
            (flags & LISTENING) && line[name] == '/')
            zhashx_update(paths, line + name, util_format("socket:[%lu]", inode));
    }
    if (table)
        fclose(table);
    return paths;
}

static char *path_of(zhashx_t *listeners, const char *link)
{
    for (const char *name = zhashx_first(listeners); name; name = zhashx_next(listeners)) {
        const char *path = zhashx_cursor(listeners);
        if (!strcmp(name, link) && !strncmp(path, SEEN_SOCKET_DIR "/", strlen(SEEN_SOCKET_DIR) + 1))
            return util_strdup(path);
    }
    return NULL;
}

char *seen_socket_of(pid_t pid)
{
    char link[64];
    char *found = NULL;
    AUTO_FREE char *dir = util_format("/proc/%d/fd", (int)pid);
    zhashx_t *listeners = listeners_new();
    DIR *stream = opendir(dir);
    for (struct dirent *entry; stream && !found && (entry = readdir(stream));) {
        ssize_t size = readlinkat(dirfd(stream), entry->d_name, link, sizeof link - 1);
        link[size > 0 ? size : 0] = '\0';
        found = path_of(listeners, link);
    }
    if (stream)
        closedir(stream);
    zhashx_destroy(&listeners);
    return found;
}

void seen_sockets(machine_t *self)
{
    DIR *stream = opendir(SEEN_SOCKET_DIR);
    zhashx_t *listeners = listeners_new();
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        bool is_shims = entry->d_type == DT_SOCK && strlen(entry->d_name) == NAME_DIGITS;
        AUTO_FREE char *path = util_format(SEEN_SOCKET_DIR "/%s", entry->d_name);
        if (!is_shims || zhashx_lookup(listeners, path))
            continue;
        seen_t *row = machine_add(self, SEEN_SOCKET, "", "", util_strdup(path));
        row->mark = seen_mark(path);
    }
    if (stream)
        closedir(stream);
    zhashx_destroy(&listeners);
}
