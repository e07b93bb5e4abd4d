/* shimctl metadata status: how large the store is, and what it keeps. */
#include "client/commands.h"
#include "client/message_json.h"
#include "client/output.h"
#include "common/util.h"

#define PADDING 3

static void add_time(table_t *table, const char *name, int64_t time, const char *file)
{
    char text[OUTPUT_TIME_SIZE];
    output_rfc3339(time, text);
    table_add(table, "%s\t%s%s%s", name, text, file ? " " : "", file ? file : "");
}

static void add_sizes(table_t *table, const msg_metadata_t *store)
{
    char file[OUTPUT_SIZE_SIZE], used[OUTPUT_SIZE_SIZE], most[OUTPUT_SIZE_SIZE];
    output_size(store->file_bytes, file);
    output_size(store->used_bytes, used);
    output_size(store->max_bytes, most);
    table_add(table, "directory\t%s", store->path);
    table_add(table, "file\t%s, %s of it in use, %s at most", file, used, most);
}

static void add_events(table_t *table, const msg_metadata_t *store)
{
    if (store->first_seq)
        table_add(table, "events\t%" PRIu64 " to %" PRIu64, store->first_seq, store->last_seq);
    else
        table_add(table, "events\tnone, the next one is %" PRIu64, store->last_seq + 1);
    if (store->oldest_at)
        add_time(table, "oldest event", store->oldest_at, NULL);
    for (size_t i = 0; i < store->limits.count; i++) {
        const msg_metadata_limits_t *row = &store->limits.items[i];
        char age[OUTPUT_TIME_SIZE];
        output_duration(row->max_age * 1000, age);
        table_add(table, "events kept\t%s%sfor %s, %" PRId64 " at most", row->ns ? row->ns : "",
                  row->ns ? ": " : "", age, row->max_events);
    }
    char size[OUTPUT_SIZE_SIZE];
    output_size(store->max_journal_bytes, size);
    table_add(table, "journal\t%s at most", size);
    table_add(table, "outcomes of requests\t%" PRIu64 " at most", store->max_requests);
    table_add(table, "exit records\t%" PRIu64 " at most", store->max_exits);
}

static void add_damage(table_t *table, const msg_metadata_damage_t *damage)
{
    if (damage->why)
        table_add(table,
                  "damaged store\t%s: made anew, %" PRIu64 " records or more are lost; it is kept "
                  "as %s",
                  damage->why, damage->lost, damage->file);
    table_add(table, "damaged records\t%" PRIu64 " mended, %" PRIu64 " waiting", damage->mended,
              damage->waiting);
}

static void print_store(const msg_metadata_t *store)
{
    AUTO(table)
    table = table_new(PADDING);
    add_sizes(table, store);
    add_events(table, store);
    if (store->backup_at)
        add_time(table, "last backup", store->backup_at, store->backup_file);
    else
        table_add(table, "last backup\tnever");
    add_damage(table, store->damage);
    for (size_t i = 0; i < store->readers.count; i++)
        table_add(table, "reader\tpid %" PRId64 ", %" PRIu64 " transactions behind",
                  store->readers.items[i].pid, store->readers.items[i].behind);
    table_print(table, stdout);
    putchar('\n');
}

static void print_tables(const msg_metadata_t *store)
{
    AUTO(table)
    table = table_new(PADDING);
    table_add(table, "TABLE\tRECORDS\tSIZE");
    for (size_t i = 0; i < store->tables.count; i++) {
        const msg_metadata_table_t *row = &store->tables.items[i];
        char size[OUTPUT_SIZE_SIZE];
        output_size(row->bytes, size);
        table_add(table, "%s\t%" PRIu64 "\t%s", row->name, row->records, size);
    }
    table_print(table, stdout);
}

int cmd_metadata_status(session_t *session)
{
    status_t st;
    msg_metadata_t answer;
    if (session_call(session, MSG_metadata_status, &(msg_metadata_status_t){0}, &answer, &st))
        return session_fail(&st);
    if (session_json(session)) {
        output_json(message_json(MSG_metadata, &answer));
        return 0;
    }
    print_store(&answer);
    print_tables(&answer);
    return 0;
}
