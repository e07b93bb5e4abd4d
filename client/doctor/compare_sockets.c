/* Sockets that nobody listens on, and whose they are: a shim's socket is named by a hash over the
 * cluster's address, the namespace and the group, so that it is this cluster's only when the hash
 * of a name that this cluster knows is that. */
#include "client/doctor/compare.h"

#include "common/ttrpc_address.h"

#include <errno.h>

#define UNIX_PREFIX "unix://"

typedef struct names {
    compare_t *compare;
    zhashx_t *by_path; /* "NS/ID" by socket path */
} names_t;

static void add_name(names_t *self, const char *ns, const char *group)
{
    char address[256], key[SEEN_KEY_SIZE];
    AUTO_FREE char *client = cluster_socket_path(self->compare->machine->cluster, CLUSTER_CLIENT);
    record_socket_address(client, ns, group, address, sizeof address);
    zhashx_update(self->by_path, address + strlen(UNIX_PREFIX),
                  util_strdup(seen_key(ns, group, key)));
}

static void add_seen(names_t *self)
{
    static const seen_kind_t kinds[] = {SEEN_BUNDLE, SEEN_WORK,   SEEN_HIDDEN, SEEN_QUARANTINED,
                                        SEEN_RUNC,   SEEN_CGROUP, SEEN_SHIM};
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        zlistx_t *rows = self->compare->machine->rows[kinds[i]];
        for (const seen_t *row = zlistx_first(rows); row; row = zlistx_next(rows)) {
            add_name(self, row->ns, row->id);
            if (row->bundle && row->bundle->has_intent)
                add_name(self, row->ns, row->bundle->intent.group);
        }
    }
}

static void add_keys(names_t *self, zhashx_t *keys)
{
    for (const void *item = zhashx_first(keys); item; item = zhashx_next(keys)) {
        AUTO_FREE char *ns = util_strdup(zhashx_cursor(keys));
        char *slash = strchr(ns, '/');
        if (!slash)
            continue;
        *slash = '\0';
        add_name(self, ns, slash + 1);
    }
}

static bool are_all_known(const names_t *self, zlistx_t *sockets)
{
    for (const seen_t *row = zlistx_first(sockets); row; row = zlistx_next(sockets))
        if (!zhashx_lookup(self->by_path, row->path))
            return false;
    return true;
}

bool compare_is_refused(const char *path)
{
    struct sockaddr_un address;
    socklen_t size;
    status_t ignored;
    AUTO_FREE char *text = util_format(UNIX_PREFIX "%s", path);
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd >= 0 && !ttrpc_address_parse(text, &address, &size, &ignored) &&
           connect(fd, (struct sockaddr *)&address, size) && errno == ECONNREFUSED;
}

static void compare_socket(compare_t *self, const seen_t *row, const char *name)
{
    seen_t owned = *row;
    const char *slash = strchr(name, '/');
    snprintf(owned.ns, sizeof owned.ns, "%.*s", (int)(slash - name), name);
    snprintf(owned.id, sizeof owned.id, "%s", slash + 1);
    if (!compare_is_busy(self, owned.ns, owned.id) && compare_is_refused(owned.path))
        compare_add(self, FINDING_DEAD_SOCKET, &owned,
                    "the socket of a shim of %s, and nobody listens", name);
}

/* The journal is only read for a socket that nothing else explains: it may be long, and in that
 * directory other managers' shims leave theirs too. */
void compare_sockets(compare_t *self)
{
    zlistx_t *rows = self->machine->rows[SEEN_SOCKET];
    if (!self->knows_owners || !zlistx_size(rows))
        return;
    names_t names = {.compare = self, .by_path = zhashx_new()};
    zhashx_set_destructor(names.by_path, (zhashx_destructor_fn *)zstr_free);
    add_seen(&names);
    add_keys(&names, self->said->task_by_key);
    add_keys(&names, self->said->record_by_key);
    if (!are_all_known(&names, rows))
        add_keys(&names, asker_past(self->asker));
    for (const seen_t *row = zlistx_first(rows); row; row = zlistx_next(rows)) {
        const char *name = zhashx_lookup(names.by_path, row->path);
        if (name)
            compare_socket(self, row, name);
    }
    zhashx_destroy(&names.by_path);
}
