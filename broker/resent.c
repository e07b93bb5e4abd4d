/* Which requests were sent again lately. */
#include "broker/resent.h"

#include "common/util.h"
#include "common/uuid_table.h"

#include <sys/queue.h>

typedef struct entry {
    msg_uuid_t id;
    int64_t noted;
    TAILQ_ENTRY(entry) place;
} entry_t;

struct resent {
    zhashx_t *ids;                /* entry_t by id; owns them */
    TAILQ_HEAD(, entry) in_order; /* oldest first */
    int64_t distrust_until;       /* some were forgotten before their time */
};

static void entry_free(void **item)
{
    free(*item);
    *item = NULL;
}

resent_t *resent_new(void)
{
    resent_t *self = zmalloc(sizeof *self);
    self->ids = uuid_table_new();
    zhashx_set_destructor(self->ids, entry_free);
    TAILQ_INIT(&self->in_order);
    return self;
}

void resent_destroy(resent_t **self_p)
{
    resent_t *self = *self_p;
    if (!self)
        return;
    zhashx_destroy(&self->ids);
    free(self);
    *self_p = NULL;
}

static int64_t end_of(const entry_t *entry)
{
    return entry->noted + (int64_t)RESENT_KEEP_MS * 1000;
}

static void forget_oldest(resent_t *self)
{
    entry_t *oldest = TAILQ_FIRST(&self->in_order);
    TAILQ_REMOVE(&self->in_order, oldest, place);
    zhashx_delete(self->ids, &oldest->id);
}

static void forget_old(resent_t *self, int64_t now)
{
    entry_t *oldest;
    while ((oldest = TAILQ_FIRST(&self->in_order)) && end_of(oldest) <= now)
        forget_oldest(self);
}

void resent_note(resent_t *self, const msg_uuid_t *id, int64_t now)
{
    forget_old(self, now);
    entry_t *entry = zhashx_lookup(self->ids, id);
    if (entry) {
        TAILQ_REMOVE(&self->in_order, entry, place);
    } else {
        if (zhashx_size(self->ids) >= RESENT_MAX) {
            self->distrust_until = end_of(TAILQ_FIRST(&self->in_order));
            forget_oldest(self);
        }
        entry = zmalloc(sizeof *entry);
        entry->id = *id;
        zhashx_insert(self->ids, &entry->id, entry);
    }
    entry->noted = now;
    TAILQ_INSERT_TAIL(&self->in_order, entry, place);
}

bool resent_is_first(resent_t *self, const msg_uuid_t *id, int64_t now)
{
    forget_old(self, now);
    return now >= self->distrust_until && !zhashx_lookup(self->ids, id);
}
