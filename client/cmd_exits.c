/* shimctl tasks exits. */
#include "client/commands.h"
#include "client/message_json.h"
#include "client/output.h"
#include "common/util.h"

#define PADDING    4
#define PAGE_LIMIT 1000

static char *status_text(const msg_exit_record_t *row)
{
    return row->unknown ? util_strdup("unknown") : util_format("%u", row->exit_status);
}

static const char *note_of(const msg_exit_record_t *row)
{
    if (row->unknown)
        return row->why ? row->why : "";
    return row->oom_kills ? "oom-killed" : row->unstarted ? "never started" : "";
}

static void show(session_t *session, table_t *table, const msg_exit_record_t *row)
{
    char time[OUTPUT_TIME_SIZE];
    if (session_json(session)) {
        output_json(message_json(MSG_exit_record, row));
        return;
    }
    AUTO_FREE char *status = status_text(row);
    output_rfc3339(row->exited_at, time);
    table_add(table, "%s\t%s\t%s\t%s\t%s\t%s", row->id, row->exec_id ? row->exec_id : "-", status,
              time, row->source ? row->source : "-", note_of(row));
}

int cmd_tasks_exits(session_t *session)
{
    status_t st = {.code = STATUS_OK};
    uint64_t left = UINT64_MAX;
    msg_exit_list_t ask = {.filters = session_filters(session)};
    msg_exit_records_t page;
    if (options_u64(session_options(session), "limit", INT64_MAX, &left, &st))
        return session_fail(&st);
    AUTO(table)
    table = table_new(PADDING);
    table_add(table, "TASK\tEXEC\tSTATUS\tEXITED\tKNOWN FROM\tNOTE");
    do {
        ask.limit = left < PAGE_LIMIT ? (uint32_t)left : PAGE_LIMIT;
        if (!left || session_call(session, MSG_exit_list, &ask, &page, &st))
            break;
        for (size_t i = 0; i < page.exits.count; i++, left--)
            show(session, table, &page.exits.items[i]);
        ask.after = page.next;
    } while (page.next.size);
    if (st.code)
        return session_fail(&st);
    if (!session_json(session))
        table_print(table, stdout);
    return 0;
}
