/* Sockets in the shims' directory that nobody listens on. Whose they are cannot be read from them:
 * their names are hashes, which the comparison computes for the tasks it knows. */
#include "client/doctor/seen.h"

#include "common/proc_socket.h"

#include <dirent.h>

#define NAME_DIGITS 64 /* of a SHA-256 */

static bool take_path(void *arg, const char *name, const char *link)
{
    (void)link;
    zhashx_insert(arg, name, arg);
    return false;
}

void seen_sockets(machine_t *self)
{
    DIR *stream = opendir(SEEN_SOCKET_DIR);
    zhashx_t *listeners = zhashx_new();
    proc_each_listener(take_path, listeners);
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
