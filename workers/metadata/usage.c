/* What the store takes and keeps. */
#include "workers/metadata/usage.h"

#include "common/util.h"
#include "workers/metadata/journal.h"
#include "workers/metadata/salvage.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

static void *in_zone(msgpack_zone *zone, size_t size)
{
    void *made = msgpack_zone_malloc(zone, size + 1);
    if (!made)
        abort();
    return memset(made, 0, size + 1);
}

static void tell_sizes(txn_t *txn, const store_sizes_t *sizes, msgpack_zone *zone,
                       msg_metadata_t *ret)
{
    msg_metadata_table_t *tables = in_zone(zone, TABLE_COUNT * sizeof *tables);
    for (size_t i = 0; i < TABLE_COUNT; i++)
        tables[i] = (msg_metadata_table_t){.name = store_table_name((table_t)i),
                                           .records = sizes->tables[i].records,
                                           .bytes = sizes->tables[i].bytes};
    ret->tables.items = tables;
    ret->tables.count = TABLE_COUNT;
    ret->file_bytes = sizes->file_bytes;
    ret->used_bytes = sizes->used_bytes;
    ret->map_bytes = sizes->map_bytes;
    ret->max_bytes = sizes->max_bytes;
    ret->first_seq = journal_first(txn, TABLE_JOURNAL);
    ret->last_seq = txn_journal_last(txn);
    ret->oldest_at = journal_time(txn, ret->first_seq);
}

static void tell_limits(const retention_t *retention, msgpack_zone *zone, msg_metadata_t *ret)
{
    msg_metadata_limits_t *rows = in_zone(zone, (retention->count + 1) * sizeof *rows);
    rows[0] = (msg_metadata_limits_t){.max_age = retention->rest.max_age,
                                      .max_events = retention->rest.max_events};
    for (size_t i = 0; i < retention->count; i++)
        rows[i + 1] = (msg_metadata_limits_t){.ns = retention->rules[i].ns,
                                              .max_age = retention->rules[i].limits.max_age,
                                              .max_events = retention->rules[i].limits.max_events};
    ret->limits.items = rows;
    ret->limits.count = retention->count + 1;
    ret->max_journal_bytes = (uint64_t)retention->max_size << 20;
    ret->max_requests = (uint64_t)retention->max_requests;
    ret->max_exits = (uint64_t)retention->max_exits;
}

static void tell_damage(const usage_t *self, msgpack_zone *zone, msg_metadata_t *ret)
{
    const salvage_report_t *report = store_report(self->store);
    msg_metadata_damage_t *damage = in_zone(zone, sizeof *damage);
    size_t waiting;
    store_lost(self->store, &waiting);
    *damage = (msg_metadata_damage_t){.waiting = waiting, .mended = mender_count(self->mender)};
    if (report->is_rebuilt) {
        damage->why = report->why;
        damage->file = report->aside;
        damage->lost = report->damaged;
    }
    ret->damage = damage;
}

static void tell_backup(const store_t *store, msgpack_zone *zone, msg_metadata_t *ret)
{
    struct stat info;
    char *target = in_zone(zone, PATH_MAX);
    AUTO_FREE char *link = util_format("%s/" SALVAGE_BACKUP, store_path(store));
    if (lstat(link, &info) || readlink(link, target, PATH_MAX) <= 0)
        return;
    ret->backup_at = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
    ret->backup_file = target;
}

static void tell_readers(store_t *store, uint64_t txn, msgpack_zone *zone, msg_metadata_t *ret)
{
    store_reader_t *readers = in_zone(zone, STORE_READERS_MAX * sizeof *readers);
    size_t count = store_readers(store, readers);
    msg_metadata_reader_t *rows = in_zone(zone, count * sizeof *rows);
    for (size_t i = 0; i < count; i++)
        rows[i] = (msg_metadata_reader_t){
            .pid = readers[i].pid, .behind = txn > readers[i].txn ? txn - readers[i].txn : 0};
    ret->readers.items = rows;
    ret->readers.count = count;
}

status_code_t usage_tell(txn_t *txn, const call_t *call, status_t *st)
{
    msg_metadata_t *answer = call->answer;
    store_sizes_t sizes;
    (void)st;
    txn_measure(txn, &sizes);
    answer->path = store_path(call->usage->store);
    tell_sizes(txn, &sizes, call->zone, answer);
    tell_limits(call->usage->retention, call->zone, answer);
    tell_damage(call->usage, call->zone, answer);
    tell_backup(call->usage->store, call->zone, answer);
    tell_readers(call->usage->store, sizes.txn, call->zone, answer);
    return STATUS_OK;
}
