/* Where bundles are and what is there. */
#include "workers/bundle/bundle_store.h"

#include "common/log.h"
#include "workers/bundle/bundle_dir.h"

#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct bundle_store {
    char *run_dir, *root_dir;
    int run, root; /* their descriptors */
};

static int open_base(const char *path, status_t *st)
{
    if (mkdir(path, BUNDLE_STORE_DIR_MODE) && errno != EEXIST) {
        status_errno(st, errno, "make %s", path);
        return -1;
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        status_errno(st, errno, "open %s", path);
    return fd;
}

bundle_store_t *bundle_store_new(const char *run_dir, const char *root_dir, status_t *st)
{
    bundle_store_t *self = zmalloc(sizeof *self);
    self->run_dir = util_strdup(run_dir);
    self->root_dir = util_strdup(root_dir);
    self->root = -1;
    self->run = open_base(run_dir, st);
    if (self->run >= 0)
        self->root = open_base(root_dir, st);
    if (self->root < 0)
        bundle_store_destroy(&self);
    return self;
}

void bundle_store_destroy(bundle_store_t **self_p)
{
    bundle_store_t *self = *self_p;
    if (!self)
        return;
    util_close(&self->run);
    util_close(&self->root);
    free(self->run_dir);
    free(self->root_dir);
    free(self);
    *self_p = NULL;
}

int bundle_store_run_fd(const bundle_store_t *self)
{
    return self->run;
}

int bundle_store_root_fd(const bundle_store_t *self)
{
    return self->root;
}

static int open_part(int base, const char *part, const char *ns)
{
    AUTO_CLOSE int fd = bundle_dir_open(base, part);
    return fd < 0 ? -1 : bundle_dir_open(fd, ns);
}

int bundle_store_open_run(const bundle_store_t *self, const char *ns)
{
    return open_part(self->run, BUNDLE_STORE_TASK, ns);
}

int bundle_store_open_root(const bundle_store_t *self, const char *ns)
{
    return open_part(self->root, BUNDLE_STORE_TASK, ns);
}

char *bundle_store_path(const bundle_store_t *self, const char *ns, const char *id)
{
    return util_format("%s/" BUNDLE_STORE_TASK "/%s/%s", self->run_dir, ns, id);
}

char *bundle_store_work_path(const bundle_store_t *self, const char *ns, const char *id)
{
    return util_format("%s/" BUNDLE_STORE_TASK "/%s/%s", self->root_dir, ns, id);
}

status_code_t bundle_store_check(const char *ns, const char *id, status_t *st)
{
    if (!msg_is_identifier(ns, strlen(ns)))
        return status_set(st, STATUS_INVALID_ARGUMENT, "namespace %s: not an identifier", ns);
    if (!msg_is_identifier(id, strlen(id)))
        return status_set(st, STATUS_INVALID_ARGUMENT, "bundle %s: not an identifier", id);
    return STATUS_OK;
}

/* One bundle -------------------------------------------------------------------------------------
 */

/* Reads the incarnation into `text`, or "" when it is not whole. */
static void read_incarnation(int bundle, char text[UTIL_UUID_SIZE])
{
    char line[UTIL_UUID_SIZE + 1]; /* with its newline */
    ssize_t size = bundle_dir_read(bundle, BUNDLE_STORE_INCARNATION, line, sizeof line);
    text[0] = '\0';
    if (size != UTIL_UUID_SIZE || line[size - 1] != '\n')
        return;
    line[size - 1] = '\0';
    if (bundle_dir_is_uuid(line))
        memcpy(text, line, UTIL_UUID_SIZE);
}

status_code_t bundle_store_look(int run, const char *name, bundle_state_t *ret, status_t *st)
{
    *ret = (bundle_state_t){0};
    AUTO_CLOSE int bundle = bundle_dir_open_inside(run, name, O_RDONLY | O_DIRECTORY);
    if (bundle < 0 && errno == ENOENT)
        return status_set(st, STATUS_NOT_FOUND, "bundle %s: not found", name);
    if (bundle < 0 && (errno == ENOTDIR || errno == ELOOP))
        return status_set(st, STATUS_FAILED_PRECONDITION, "bundle %s: not a directory", name);
    if (bundle < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
        return status_errno(st, errno, "bundle %s: open", name);
    if (bundle < 0 && (errno == ENOSYS || errno == EPERM))
        return status_errno(st, errno, "bundle %s: openat2", name);
    status_clear(st);
    ret->damaged = true;
    if (bundle < 0)
        return STATUS_OK;
    read_incarnation(bundle, ret->incarnation);
    ret->damaged = !ret->incarnation[0] || bundle_dir_file_size(bundle, BUNDLE_STORE_CONFIG) <= 0;
    ret->empty = ret->damaged && bundle_dir_is_empty(bundle);
    return STATUS_OK;
}

const char *bundle_store_keep(msgpack_zone *zone, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = msgpack_zone_malloc(zone, size);
    if (!copy)
        abort();
    return memcpy(copy, text, size);
}

static void describe(const bundle_store_t *self, const char *ns, const char *id,
                     const bundle_state_t *state, msgpack_zone *zone, msg_bundle_t *ret)
{
    AUTO_FREE char *path = bundle_store_path(self, ns, id);
    AUTO_FREE char *work = bundle_store_work_path(self, ns, id);
    *ret = (msg_bundle_t){.ns = bundle_store_keep(zone, ns),
                          .id = bundle_store_keep(zone, id),
                          .path = bundle_store_keep(zone, path),
                          .work = bundle_store_keep(zone, work),
                          .empty = state->empty};
    if (!state->damaged)
        ret->incarnation = bundle_store_keep(zone, state->incarnation);
}

status_code_t bundle_store_find(const bundle_store_t *self, const char *ns, const char *id,
                                msgpack_zone *zone, msg_bundle_t *ret, status_t *st)
{
    if (bundle_store_check(ns, id, st))
        return st->code;
    AUTO_CLOSE int run = bundle_store_open_run(self, ns);
    if (run < 0 && errno == ENOENT)
        return status_set(st, STATUS_NOT_FOUND, "bundle %s: not found", id);
    if (run < 0)
        return status_errno(st, errno, "open the bundles of namespace %s", ns);
    bundle_state_t state;
    if (bundle_store_look(run, id, &state, st))
        return st->code;
    describe(self, ns, id, &state, zone, ret);
    return STATUS_OK;
}

/* All bundles ------------------------------------------------------------------------------------
 */

status_code_t bundle_store_each_ns(int base, const char *part, bundle_store_visit_t *visit,
                                   void *arg, status_t *st)
{
    status_clear(st);
    AUTO_CLOSE int fd = bundle_dir_open(base, part);
    if (fd < 0)
        return errno == ENOENT ? STATUS_OK : status_errno(st, errno, "open %s", part);
    DIR *stream = bundle_dir_list(fd);
    if (!stream)
        return status_errno(st, errno, "list %s", part);
    for (struct dirent *entry; !st->code && (entry = bundle_dir_next(stream));) {
        const char *ns = entry->d_name;
        if (!msg_is_identifier(ns, strlen(ns)))
            continue;
        AUTO_CLOSE int dir = bundle_dir_open(fd, ns);
        if (dir >= 0)
            visit(arg, dir, ns, st);
        else if (errno != ENOTDIR && errno != ENOENT)
            log_warn("open %s/%s: %s", part, ns, strerror(errno));
    }
    closedir(stream);
    return st->code;
}

typedef struct listing {
    const bundle_store_t *store;
    msgpack_zone *zone;
    msg_bundle_t *items;
    size_t count, room;
    size_t bytes; /* of text so far; the answer must fit into one message */
} listing_t;

#define BYTES_PER_BUNDLE 128 /* keys and lengths, more than the encoding takes */
#define ROOM_FIRST       64

static size_t text_bytes(const char *text)
{
    return text ? strlen(text) : 0;
}

size_t bundle_store_bytes(const msg_bundle_t *bundle)
{
    return BYTES_PER_BUNDLE + text_bytes(bundle->ns) + text_bytes(bundle->id) +
           text_bytes(bundle->path) + text_bytes(bundle->work) + text_bytes(bundle->incarnation) +
           text_bytes(bundle->quarantined) + text_bytes(bundle->debt);
}

static status_code_t add(listing_t *list, const msg_bundle_t *bundle, status_t *st)
{
    list->bytes += bundle_store_bytes(bundle);
    if (list->bytes > BUNDLE_STORE_LIST_BYTES)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED,
                          "list bundles: more than %zu do not fit into one answer", list->count);
    if (list->count == list->room) {
        list->room = list->room ? 2 * list->room : ROOM_FIRST;
        list->items = realloc(list->items, list->room * sizeof *list->items);
        if (!list->items)
            abort();
    }
    list->items[list->count++] = *bundle;
    return STATUS_OK;
}

/* Whether a name can be told as text, and is not hidden. */
static bool is_listed(const char *name)
{
    if (name[0] == '.')
        return false;
    for (const char *c = name; *c; c++)
        if (*c <= ' ' || *c > '~')
            return false;
    return true;
}

static status_code_t list_tasks(void *arg, int fd, const char *ns, status_t *st)
{
    listing_t *list = arg;
    DIR *stream = bundle_dir_list(fd);
    if (!stream)
        return status_errno(st, errno, "list the bundles of namespace %s", ns);
    for (struct dirent *entry; !st->code && (entry = bundle_dir_next(stream));) {
        bundle_state_t state;
        if (!is_listed(entry->d_name) || bundle_store_look(fd, entry->d_name, &state, st)) {
            /* It went away meanwhile, or is no directory. */
            if (st->code == STATUS_NOT_FOUND || st->code == STATUS_FAILED_PRECONDITION)
                status_clear(st);
            continue;
        }
        msg_bundle_t bundle;
        describe(list->store, ns, entry->d_name, &state, list->zone, &bundle);
        if (!msg_is_identifier(bundle.id, strlen(bundle.id)))
            bundle.incarnation = NULL;
        add(list, &bundle, st);
    }
    closedir(stream);
    return st->code;
}

static status_code_t add_quarantined(listing_t *list, int fd, const char *ns, const char *name,
                                     status_t *st)
{
    const bundle_store_t *store = list->store;
    AUTO_FREE char *path =
        util_format("%s/" BUNDLE_STORE_QUARANTINE "/%s/%s", store->run_dir, ns, name);
    AUTO_FREE char *file = util_format("%s" BUNDLE_STORE_WHY, name);
    char why[LIMIT_TEXT + 1];
    if (bundle_dir_read(fd, file, why, sizeof why) < 0)
        snprintf(why, sizeof why, "reason not readable: %s", strerror(errno));
    msg_bundle_t bundle = {.ns = bundle_store_keep(list->zone, ns),
                           .id = bundle_store_keep(list->zone, name),
                           .path = bundle_store_keep(list->zone, path),
                           .quarantined = bundle_store_keep(list->zone, why)};
    return add(list, &bundle, st);
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && !strcmp(text + length - tail, end);
}

static status_code_t list_quarantined(void *arg, int fd, const char *ns, status_t *st)
{
    DIR *stream = bundle_dir_list(fd);
    if (!stream)
        return status_errno(st, errno, "list what namespace %s has set aside", ns);
    for (struct dirent *entry; !st->code && (entry = bundle_dir_next(stream));)
        if (is_listed(entry->d_name) && !ends_with(entry->d_name, BUNDLE_STORE_WHY))
            add_quarantined(arg, fd, ns, entry->d_name, st);
    closedir(stream);
    return st->code;
}

int bundle_store_compare(const void *a, const void *b)
{
    const msg_bundle_t *x = a, *y = b;
    int order = strcmp(x->ns, y->ns);
    if (order == 0)
        order = strcmp(x->id, y->id);
    return order ? order : strcmp(x->path, y->path);
}

status_code_t bundle_store_list(const bundle_store_t *self, msgpack_zone *zone, msg_bundles_t *ret,
                                status_t *st)
{
    listing_t list = {.store = self, .zone = zone};
    *ret = (msg_bundles_t){0};
    if (!bundle_store_each_ns(self->run, BUNDLE_STORE_TASK, list_tasks, &list, st))
        bundle_store_each_ns(self->run, BUNDLE_STORE_QUARANTINE, list_quarantined, &list, st);
    if (!st->code && list.count > 0) {
        qsort(list.items, list.count, sizeof *list.items, bundle_store_compare);
        size_t size = list.count * sizeof *list.items;
        ret->bundles.items = msgpack_zone_malloc(zone, size);
        if (!ret->bundles.items)
            abort();
        memcpy(ret->bundles.items, list.items, size);
        ret->bundles.count = list.count;
    }
    free(list.items);
    return st->code;
}
