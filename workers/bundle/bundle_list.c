/* All bundles, a page at a time. */
#include "workers/bundle/bundle_list.h"

#include "workers/bundle/bundle_dir.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BYTES_PER_BUNDLE 128 /* keys and lengths, more than the encoding takes */
#define ROOM_FIRST       64

typedef struct name {
    const char *ns, *id;
} name_t;

typedef struct listing {
    const bundle_store_t *store;
    msgpack_zone *zone;
    name_t after; /* the last of the page before; NULL for the first page */
    name_t *names;
    size_t name_count, name_room;
    msg_bundle_t *items;
    size_t count, room;
    size_t bytes; /* of text so far; the answer must fit into one message */
} listing_t;

static size_t text_bytes(const char *text)
{
    return text ? strlen(text) : 0;
}

size_t bundle_list_bytes(const msg_bundle_t *bundle)
{
    return BYTES_PER_BUNDLE + text_bytes(bundle->ns) + text_bytes(bundle->id) +
           text_bytes(bundle->path) + text_bytes(bundle->work) + text_bytes(bundle->incarnation) +
           text_bytes(bundle->quarantined) + text_bytes(bundle->debt);
}

/* Makes room for one more. */
static void *grow(void *items, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return items;
    *room = *room ? 2 * *room : ROOM_FIRST;
    items = realloc(items, *room * size);
    if (!items)
        abort();
    return items;
}

static status_code_t add(listing_t *list, const msg_bundle_t *bundle, status_t *st)
{
    list->bytes += bundle_list_bytes(bundle);
    if (list->bytes > BUNDLE_LIST_BYTES)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED,
                          "list bundles: more than %zu do not fit into one answer", list->count);
    list->items = grow(list->items, list->count, &list->room, sizeof *list->items);
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

/* Names --------------------------------------------------------------------------------------
 */

static int compare_names(const void *a, const void *b)
{
    const name_t *x = a, *y = b;
    int order = strcmp(x->ns, y->ns);
    return order ? order : strcmp(x->id, y->id);
}

static status_code_t add_names(void *arg, int fd, const char *ns, status_t *st)
{
    listing_t *list = arg;
    const char *kept_ns = bundle_store_keep(list->zone, ns);
    DIR *stream = bundle_dir_list(fd);
    if (!stream)
        return status_errno(st, errno, "list the bundles of namespace %s", ns);
    for (struct dirent *entry; (entry = bundle_dir_next(stream));) {
        name_t name = {.ns = kept_ns, .id = entry->d_name};
        if (!is_listed(name.id) || (list->after.ns && compare_names(&name, &list->after) <= 0))
            continue;
        name.id = bundle_store_keep(list->zone, name.id);
        list->names = grow(list->names, list->name_count, &list->name_room, sizeof name);
        list->names[list->name_count++] = name;
    }
    closedir(stream);
    return STATUS_OK;
}

/* Bundles ------------------------------------------------------------------------------------
 */

static status_code_t add_bundle(listing_t *list, const name_t *name, status_t *st)
{
    AUTO_CLOSE int run = bundle_store_open_run(list->store, name->ns);
    bundle_state_t state;
    if (run < 0 && errno == ENOENT)
        return STATUS_OK;
    if (run < 0)
        return status_errno(st, errno, "open the bundles of namespace %s", name->ns);
    if (bundle_store_look(run, name->id, &state, st)) {
        /* It went away meanwhile, or is no directory. */
        if (st->code == STATUS_NOT_FOUND || st->code == STATUS_FAILED_PRECONDITION)
            status_clear(st);
        return st->code;
    }
    msg_bundle_t bundle;
    bundle_store_describe(list->store, name->ns, name->id, &state, list->zone, &bundle);
    if (!msg_is_identifier(bundle.id, strlen(bundle.id)))
        bundle.incarnation = NULL;
    return add(list, &bundle, st);
}

static const char *place_of(const listing_t *list, const name_t *name)
{
    AUTO_FREE char *text = util_format("%s/%s", name->ns, name->id);
    return bundle_store_keep(list->zone, text);
}

/* `ret_next`: where the next page begins; NULL when there is none. */
static status_code_t list_tasks(listing_t *list, uint32_t limit, const char **ret_next,
                                status_t *st)
{
    int run = bundle_store_run_fd(list->store);
    *ret_next = NULL;
    if (bundle_store_each_ns(run, BUNDLE_STORE_TASK, add_names, list, st))
        return st->code;
    if (list->name_count)
        qsort(list->names, list->name_count, sizeof *list->names, compare_names);
    size_t count = limit && limit < list->name_count ? limit : list->name_count;
    for (size_t i = 0; i < count && !st->code; i++)
        add_bundle(list, &list->names[i], st);
    if (count < list->name_count)
        *ret_next = place_of(list, &list->names[count - 1]);
    return st->code;
}

/* Those set aside ----------------------------------------------------------------------------
 */

static status_code_t add_quarantined(listing_t *list, int fd, const char *ns, const char *name,
                                     status_t *st)
{
    AUTO_FREE char *path = bundle_store_aside_path(list->store, ns, name);
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

/* The page -----------------------------------------------------------------------------------
 */

int bundle_list_compare(const void *a, const void *b)
{
    const msg_bundle_t *x = a, *y = b;
    int order = strcmp(x->ns, y->ns);
    if (order == 0)
        order = strcmp(x->id, y->id);
    return order ? order : strcmp(x->path, y->path);
}

/* "NS/ID"; an id has no slash, nor has any name of a directory's entry. */
static status_code_t read_place(listing_t *list, const char *place, status_t *st)
{
    const char *slash = place ? strchr(place, '/') : NULL;
    if (!place)
        return STATUS_OK;
    if (!slash)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "bundle.list: after is not what an earlier page gave");
    char *ns = msgpack_zone_malloc(list->zone, (size_t)(slash - place) + 1);
    if (!ns)
        abort();
    memcpy(ns, place, (size_t)(slash - place));
    ns[slash - place] = '\0';
    list->after = (name_t){.ns = ns, .id = slash + 1};
    return STATUS_OK;
}

static void take(listing_t *list, msg_bundles_t *ret)
{
    size_t size = list->count * sizeof *list->items;
    if (list->count == 0)
        return;
    qsort(list->items, list->count, sizeof *list->items, bundle_list_compare);
    ret->bundles.items = msgpack_zone_malloc(list->zone, size);
    if (!ret->bundles.items)
        abort();
    memcpy(ret->bundles.items, list->items, size);
    ret->bundles.count = list->count;
}

status_code_t bundle_list(const bundle_store_t *store, const msg_bundle_list_t *ask,
                          msgpack_zone *zone, msg_bundles_t *ret, status_t *st)
{
    listing_t list = {.store = store, .zone = zone};
    int run = bundle_store_run_fd(store);
    *ret = (msg_bundles_t){0};
    status_clear(st);
    if (!read_place(&list, ask->after, st) && !list_tasks(&list, ask->limit, &ret->next, st) &&
        !ask->after)
        bundle_store_each_ns(run, BUNDLE_STORE_QUARANTINE, list_quarantined, &list, st);
    if (!st->code)
        take(&list, ret);
    free(list.names);
    free(list.items);
    return st->code;
}
