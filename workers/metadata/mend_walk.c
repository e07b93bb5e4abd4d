/* The journal, read for what can be made again from it. */
#include "workers/metadata/mend_walk.h"

#include "workers/metadata/journal.h"
#include "workers/metadata/mend_containers.h"
#include "workers/metadata/mend_runs.h"

#include <string.h>

struct mend_walk {
    zhashx_t *runs, *containers;
    uint64_t next;  /* sequence number */
    int64_t oldest; /* when the first event was written; 0 without any */
};

/* Nothing to look for is no walk. */
static mend_walk_t *walk_new(zhashx_t *runs, zhashx_t *containers)
{
    mend_walk_t *self = zmalloc(sizeof *self);
    *self = (mend_walk_t){.runs = runs, .containers = containers};
    if (!zhashx_size(runs) && !(containers && zhashx_size(containers)))
        mend_walk_destroy(&self);
    return self;
}

mend_walk_t *mend_walk_new(txn_t *txn, const store_lost_t *lost, size_t count, bool has_containers)
{
    return walk_new(mend_runs_find(txn, lost, count),
                    has_containers ? mend_containers_find(txn) : NULL);
}

mend_walk_t *mend_walk_of_run(txn_t *txn, const store_key_t *key)
{
    return walk_new(mend_runs_find_one(txn, key), NULL);
}

void mend_walk_destroy(mend_walk_t **self_p)
{
    mend_walk_t *self = *self_p;
    if (!self)
        return;
    zhashx_destroy(&self->runs);
    zhashx_destroy(&self->containers);
    free(self);
    *self_p = NULL;
}

static void take_event(mend_walk_t *self, const msgpack_object *event)
{
    const msgpack_object *time = journal_field(event, "time");
    if (!self->oldest && time && time->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
        self->oldest = time->via.i64;
    mend_runs_read(self->runs, event);
    if (self->containers)
        mend_containers_read(self->containers, event);
}

bool mend_walk_read(mend_walk_t *self, txn_t *txn, size_t count)
{
    scan_t scan;
    bool any = scan_seek(&scan, txn, TABLE_JOURNAL, &self->next, sizeof self->next);
    for (; any && count > 0; any = scan_next(&scan), count--) {
        msgpack_unpacked unpacked;
        msgpack_unpacked_init(&unpacked);
        memcpy(&self->next, scan.key.data, sizeof self->next);
        self->next++;
        if (msgpack_unpack_next(&unpacked, (const char *)scan.value.data, scan.value.size, NULL) >
            0)
            take_event(self, &unpacked.data);
        msgpack_unpacked_destroy(&unpacked);
    }
    scan_close(&scan);
    return any;
}

void mend_walk_finish(mend_walk_t **self_p, txn_t *txn)
{
    mend_walk_t *self = *self_p;
    if (!self)
        return;
    mend_walk_read(self, txn, SIZE_MAX);
    mend_runs_put(self->runs, txn, self->oldest);
    if (self->containers)
        mend_containers_put(self->containers, txn);
    mend_walk_destroy(self_p);
}
