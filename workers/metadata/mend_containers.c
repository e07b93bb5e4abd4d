/* Container records, made again from their specs and the journal. */
#include "workers/metadata/mend_containers.h"

#include "common/util.h"
#include "workers/metadata/containers.h"
#include "workers/metadata/journal.h"
#include "workers/metadata/task_fields.h"

#include <string.h>

typedef struct lost {
    char ns[TASK_FIELDS_ID_SIZE], id[TASK_FIELDS_ID_SIZE];
    char *image, *runtime; /* NULL while not known */
    int64_t created_at;
} lost_t;

static void lost_destroy(void **item)
{
    lost_t *self = *item;
    free(self->image);
    free(self->runtime);
    free(self);
    *item = NULL;
}

/* NULL for a key that is none. */
static lost_t *lost_new(const msg_bytes_t *key)
{
    const uint8_t *end = memchr(key->data, '\0', key->size);
    size_t size = end ? (size_t)(end - key->data) + 1 : 0;
    if (!end || size > TASK_FIELDS_ID_SIZE || key->size - size >= TASK_FIELDS_ID_SIZE)
        return NULL;
    lost_t *self = zmalloc(sizeof *self);
    memcpy(self->ns, key->data, size);
    memcpy(self->id, key->data + size, key->size - size);
    return self;
}

/* Both are deleted together. */
static void find_lost(txn_t *txn, zhashx_t *ret)
{
    scan_t scan;
    msg_bytes_t found;
    for (bool any = scan_seek(&scan, txn, TABLE_SPECS, NULL, 0); any; any = scan_next(&scan)) {
        bool is_whole = txn_get(txn, TABLE_CONTAINERS, scan.key.data, scan.key.size, &found);
        lost_t *lost = is_whole ? NULL : lost_new(&scan.key);
        if (!lost)
            continue;
        AUTO_FREE char *name = util_format("%s/%s", lost->ns, lost->id);
        zhashx_update(ret, name, lost);
    }
    scan_close(&scan);
}

/* NULL when there is no such text; the caller frees. */
static char *text_in(const msgpack_object *map, const char *name)
{
    const msgpack_object *found = map ? journal_field(map, name) : NULL;
    if (!found || found->type != MSGPACK_OBJECT_STR)
        return NULL;
    return util_format("%.*s", (int)found->via.str.size, found->via.str.ptr);
}

/* The newest of that name is the one. */
void mend_containers_read(zhashx_t *self, const msgpack_object *event)
{
    const msgpack_object *fields = journal_field(event, "event");
    const msgpack_object *time = journal_field(event, "time");
    AUTO_FREE char *topic = text_in(event, "topic");
    if (!topic || strcmp(topic, "/containers/create"))
        return;
    AUTO_FREE char *ns = text_in(event, "ns");
    AUTO_FREE char *id = text_in(fields, "id");
    AUTO_FREE char *name = util_format("%s/%s", ns ? ns : "", id ? id : "");
    lost_t *lost = zhashx_lookup(self, name);
    if (!lost)
        return;
    free(lost->image);
    free(lost->runtime);
    lost->image = text_in(fields, "image");
    lost->runtime = text_in(journal_field(fields, "runtime"), "name");
    lost->created_at = time && time->type == MSGPACK_OBJECT_POSITIVE_INTEGER ? time->via.i64 : 0;
}

zhashx_t *mend_containers_find(txn_t *txn)
{
    zhashx_t *all = zhashx_new();
    zhashx_set_destructor(all, lost_destroy);
    find_lost(txn, all);
    return all;
}

/* It may have been deleted, and made anew, while the journal was read. */
static bool is_lost(txn_t *txn, const lost_t *self)
{
    store_key_t key = STORE_KEY(self->ns, self->id);
    msg_bytes_t found;
    return txn_get(txn, TABLE_SPECS, key.bytes, key.size, &found) &&
           !txn_get(txn, TABLE_CONTAINERS, key.bytes, key.size, &found);
}

void mend_containers_put(zhashx_t *self, txn_t *txn)
{
    for (lost_t *lost = zhashx_first(self); lost; lost = zhashx_next(self))
        if (lost->runtime && is_lost(txn, lost))
            containers_keep(txn, &(msg_container_t){.ns = lost->ns,
                                                    .id = lost->id,
                                                    .image = lost->image,
                                                    .runtime = lost->runtime,
                                                    .created_at = lost->created_at,
                                                    .updated_at = lost->created_at});
}
