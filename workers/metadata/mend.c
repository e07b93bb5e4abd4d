/* What is done about damaged records. */
#include "workers/metadata/mend.h"

#include "common/util.h"
#include "workers/metadata/event_fields.h"
#include "workers/metadata/exit_records.h"
#include "workers/metadata/held.h"
#include "workers/metadata/journal.h"
#include "workers/metadata/process_record.h"
#include "workers/metadata/retention.h"
#include "workers/metadata/trail.h"

#include <czmq.h>
#include <string.h>

/* Events of our own -----------------------------------------------------------------------------
 */

static journal_event_t event_of(const char *topic, const event_fields_t *fields)
{
    return (journal_event_t){.ns = MEND_NS,
                             .topic = topic,
                             .type = "",
                             .origin = JOURNAL_ORIGIN_SHIMD,
                             .incarnation = "",
                             .time = util_now_ns(),
                             .event = event_fields_bytes(fields)};
}

static uint64_t read_number(const msgpack_object *map, const char *name)
{
    const msgpack_object *found = journal_field(map, name);
    return found && found->type == MSGPACK_OBJECT_POSITIVE_INTEGER ? found->via.u64 : 0;
}

/* Without a namespace's number of its own: nobody knows whose it was. It is as old as its
 * neighbour: a younger one would keep those behind it from being trimmed by their age. */
static void put_mark(txn_t *txn, uint64_t seq)
{
    int64_t before = journal_time(txn, seq - 1);
    int64_t behind = before ? 0 : journal_time(txn, seq + 1);
    event_fields_t fields;
    msgpack_sbuffer packed;
    event_fields_begin(&fields, 0);
    journal_event_t event = event_of(MEND_TOPIC_EVENT, &fields);
    if (before || behind)
        event.time = before ? before : behind;
    msgpack_sbuffer_init(&packed);
    journal_pack(&packed, &event, seq, 0);
    txn_put(txn, TABLE_JOURNAL, &seq, sizeof seq, packed.data, packed.size);
    msgpack_sbuffer_destroy(&packed);
    event_fields_end(&fields);
}

void mend_tell_salvaged(txn_t *txn, const char *why, uint64_t records, uint64_t damaged,
                        const char *aside)
{
    event_fields_t fields;
    event_fields_begin(&fields, 4);
    event_fields_text(&fields, "why", why);
    event_fields_number(&fields, "records", records);
    event_fields_number(&fields, "lost", damaged);
    event_fields_text(&fields, "file", aside);
    journal_event_t event = event_of(MEND_TOPIC_SALVAGED, &fields);
    journal_append(txn, &event);
    event_fields_end(&fields);
}

/* Keys are texts joined by NUL bytes, most of them: what is none becomes a dot. */
static void tell_lost(txn_t *txn, const store_lost_t *lost)
{
    event_fields_t fields;
    char key[STORE_KEY_MAX + 1];
    for (size_t i = 0; i < lost->key.size; i++) {
        uint8_t byte = lost->key.bytes[i];
        key[i] = byte == '\0' ? '/' : byte > ' ' && byte < 0x7f ? (char)byte : '.';
    }
    key[lost->key.size] = '\0';
    event_fields_begin(&fields, 2);
    event_fields_text(&fields, "table", store_table_name(lost->table));
    event_fields_text(&fields, "key", key);
    journal_event_t event = event_of(MEND_TOPIC_RECORD, &fields);
    journal_append(txn, &event);
    event_fields_end(&fields);
}

/* What is derived -------------------------------------------------------------------------------
 */

typedef struct run_key {
    char ns[UTIL_UUID_SIZE * 3], id[UTIL_UUID_SIZE * 3], incarnation[UTIL_UUID_SIZE];
} run_key_t;

/* NS, ID, INCARNATION and the empty name of init. */
static bool read_run(const msg_bytes_t *key, run_key_t *ret)
{
    char *parts[] = {ret->ns, ret->id, ret->incarnation};
    size_t sizes[] = {sizeof ret->ns, sizeof ret->id, sizeof ret->incarnation};
    size_t at = 0;
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        const uint8_t *end = at < key->size ? memchr(key->data + at, '\0', key->size - at) : NULL;
        size_t size = end ? (size_t)(end - key->data) - at + 1 : 0;
        if (!end || size > sizes[i])
            return false;
        memcpy(parts[i], key->data + at, size);
        at += size;
    }
    return at == key->size;
}

/* A container without a newest run gets back the one that has not ended, or any. */
static void mend_heads(txn_t *txn)
{
    zhashx_t *missing = zhashx_new(); /* head_record_t by "NS/ID" */
    zhashx_set_destructor(missing, (zhashx_destructor_fn *)zstr_free);
    scan_t scan;
    run_key_t run;
    for (bool any = scan_seek(&scan, txn, TABLE_PROCESSES, NULL, 0); any; any = scan_next(&scan)) {
        process_record_t init;
        head_record_t head;
        if (!read_run(&scan.key, &run) || !process_record_of(&scan.value, &init) ||
            head_record_get(txn, run.ns, run.id, &head))
            continue;
        AUTO_FREE char *key = util_format("%s/%s", run.ns, run.id);
        head_record_t *found = zhashx_lookup(missing, key);
        if (found && init.ended)
            continue;
        head_record_t *made = zmalloc(sizeof *made);
        *made = (head_record_t){.live = !init.ended};
        memcpy(made->incarnation, run.incarnation, sizeof made->incarnation);
        zhashx_update(missing, key, made);
    }
    scan_close(&scan);
    for (head_record_t *head = zhashx_first(missing); head; head = zhashx_next(missing)) {
        AUTO_FREE char *ns = util_strdup(zhashx_cursor(missing));
        char *slash = strchr(ns, '/');
        *slash = '\0';
        head_record_put(txn, ns, slash + 1, head);
    }
    zhashx_destroy(&missing);
}

/* The namespace and its number in an event, as a text and a number. */
static bool read_numbered(const msg_bytes_t *event, char ns[UTIL_UUID_SIZE * 3], uint64_t *ret)
{
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    *ret = 0;
    ns[0] = '\0';
    if (msgpack_unpack_next(&unpacked, (const char *)event->data, event->size, NULL) > 0) {
        const msgpack_object *name = journal_field(&unpacked.data, "ns");
        if (name && name->type == MSGPACK_OBJECT_STR && name->via.str.size < UTIL_UUID_SIZE * 3)
            snprintf(ns, UTIL_UUID_SIZE * 3, "%.*s", (int)name->via.str.size, name->via.str.ptr);
        *ret = read_number(&unpacked.data, "ns_seq");
    }
    msgpack_unpacked_destroy(&unpacked);
    return ns[0] && *ret;
}

static void raise_counter(txn_t *txn, const char *name, uint64_t least)
{
    msg_bytes_t found;
    uint64_t there = 0;
    if (txn_get(txn, TABLE_NS_SEQ, name, strlen(name), &found) && found.size == sizeof there)
        memcpy(&there, found.data, sizeof there);
    if (there < least)
        txn_put(txn, TABLE_NS_SEQ, name, strlen(name), &least, sizeof least);
}

static void mend_counters(txn_t *txn)
{
    zhashx_t *highest = zhashx_new(); /* uint64_t by namespace */
    zhashx_set_destructor(highest, (zhashx_destructor_fn *)zstr_free);
    char ns[UTIL_UUID_SIZE * 3];
    uint64_t seq;
    scan_t scan;
    for (bool any = scan_seek(&scan, txn, TABLE_JOURNAL, NULL, 0); any; any = scan_next(&scan)) {
        if (!read_numbered(&scan.value, ns, &seq))
            continue;
        uint64_t *known = zhashx_lookup(highest, ns);
        if (!known) {
            known = zmalloc(sizeof *known);
            zhashx_insert(highest, ns, known);
        }
        *known = seq > *known ? seq : *known;
    }
    scan_close(&scan);
    for (uint64_t *known = zhashx_first(highest); known; known = zhashx_next(highest))
        raise_counter(txn, zhashx_cursor(highest), *known);
    zhashx_destroy(&highest);
    raise_counter(txn, ".aside", journal_last(txn, TABLE_ASIDE));
}

/* What is found without the journal. */
static void mend_indices(txn_t *txn)
{
    mend_heads(txn);
    held_reindex(txn);
    exit_records_reindex(txn);
}

void mend_derived(txn_t *txn)
{
    mend_indices(txn);
    mend_walk_t *walk = mend_walk_new(txn, NULL, 0, true);
    mend_walk_finish(&walk, txn);
    mend_counters(txn);
}

uint64_t mend_gaps(txn_t *txn, uint64_t first, uint64_t last, size_t count)
{
    uint64_t oldest = journal_first(txn, TABLE_JOURNAL), gone = retention_gone(txn, NULL).seq;
    msg_bytes_t found;
    if (!oldest) /* numbers go on behind the last one all the same */
        oldest = last;
    if (oldest <= gone)
        oldest = gone + 1;
    uint64_t seq = first < oldest ? oldest : first;
    for (; count && seq && seq <= last; seq++, count--)
        if (!txn_get(txn, TABLE_JOURNAL, &seq, sizeof seq, &found))
            put_mark(txn, seq);
    return seq ? seq : last + 1;
}

/* -----------------------------------------------------------------------------------------------
 */

void mend_event(txn_t *txn, uint64_t seq)
{
    msg_bytes_t found;
    if (seq && seq <= txn_journal_last(txn) &&
        !txn_get(txn, TABLE_JOURNAL, &seq, sizeof seq, &found))
        put_mark(txn, seq);
}

/* Marks all that is missing around where the record was: its key may be what is damaged. */
static void mend_journal(txn_t *txn, const store_key_t *key)
{
    uint64_t seq = 0, next = txn_journal_last(txn) + 1;
    msg_bytes_t found;
    scan_t scan;
    if (key->size == sizeof seq)
        memcpy(&seq, key->bytes, sizeof seq);
    mend_event(txn, seq);
    uint64_t from = seq + 1;
    if (scan_seek(&scan, txn, TABLE_JOURNAL, &from, sizeof from))
        memcpy(&next, scan.key.data, sizeof next);
    scan_close(&scan);
    uint64_t first = journal_first(txn, TABLE_JOURNAL), gone = retention_gone(txn, NULL).seq;
    first = first > gone ? first : gone + 1;
    for (seq = next - 1; seq >= first && !txn_get(txn, TABLE_JOURNAL, &seq, sizeof seq, &found);
         seq--)
        put_mark(txn, seq);
}

/* What has to be made again once all of them are away. */
typedef struct needs {
    bool runs, containers, indices, counters;
} needs_t;

/* False when it was there again, or gone: nothing is to be made in its place. */
static bool take_away(txn_t *txn, const store_lost_t *lost, bool *ret_is_back)
{
    msg_bytes_t found;
    const store_key_t *key = &lost->key;
    *ret_is_back = txn_get(txn, lost->table, key->bytes, key->size, &found);
    bool was_gone = !*ret_is_back && !txn_delete(txn, lost->table, key->bytes, key->size);
    if (was_gone && txn_has_key(txn, lost->table, key->bytes, key->size))
        txn_fail_structure(txn, MDB_CORRUPTED);
    return !was_gone;
}

static void mend_one(txn_t *txn, const store_lost_t *lost, needs_t *needs)
{
    bool is_back;
    bool was_there = take_away(txn, lost, &is_back);
    if (txn_error(txn))
        return;
    switch (lost->table) {
    case TABLE_JOURNAL:
        if (was_there)
            mend_journal(txn, &lost->key);
        break;
    case TABLE_PROCESSES:
        needs->runs = needs->runs || !is_back;
        break;
    case TABLE_CONTAINERS:
        needs->containers = true;
        break;
    case TABLE_TRAILS:
        if (!is_back)
            trail_mend(txn, &lost->key);
        break;
    case TABLE_HEADS:
        needs->indices = needs->runs = true;
        break;
    case TABLE_DUE:
    case TABLE_ENDS:
        needs->indices = true;
        break;
    case TABLE_NS_SEQ:
        needs->counters = true;
        break;
    default:
        break;
    }
}

mend_walk_t *mend_records(txn_t *txn, const store_lost_t *lost, size_t count)
{
    needs_t needs = {.runs = false};
    for (size_t i = 0; i < count && !txn_error(txn); i++)
        mend_one(txn, &lost[i], &needs);
    if (needs.indices)
        mend_indices(txn);
    if (needs.counters) /* at once: the next event has the next number */
        mend_counters(txn);
    for (size_t i = 0; i < count && !txn_error(txn); i++)
        tell_lost(txn, &lost[i]);
    if (!needs.runs && !needs.containers)
        return NULL;
    return mend_walk_new(txn, lost, count, needs.containers);
}
