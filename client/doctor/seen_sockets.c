/* Sockets in the shims' directory that nobody listens on. Whose they are cannot be read from them:
 * their names are hashes, which the comparison computes for the tasks it knows. */
#include "client/doctor/seen.h"

#include <dirent.h>

#define LISTENING   0x10000 /* __SO_ACCEPTCON, as /proc/net/unix shows it */
#define NAME_DIGITS 64      /* of a SHA-256 */

static zhashx_t *listeners_new(void)
{
    zhashx_t *paths = zhashx_new();
    char line[512];
    FILE *table = fopen("/proc/net/unix", "re");
    while (table && fgets(line, sizeof line, table)) {
        unsigned flags;
        int name = 0;
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%*s %*s %*s %x %*s %*s %*s %n", &flags, &name) == 1 && name &&
            (flags & LISTENING) && line[name] == '/')
            zhashx_insert(paths, line + name, paths);
    }
    if (table)
        fclose(table);
    return paths;
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
