/* shimctl subscribers. */
#include "client/commands.h"
#include "client/event_where.h"
#include "client/message_json.h"
#include "client/output.h"
#include "common/util.h"

#define PADDING 3

int cmd_subscribers_create(session_t *session)
{
    status_t st;
    msg_subscriber_t answer;
    size_t count;
    char **words = session_operands(session, &count);
    event_where_t since = {.kind = EVENT_WHERE_NONE};
    if (event_where_option(session_options(session), "since", &since, &st))
        return session_fail(&st);
    msg_event_subscribe_t ask = {.name = words[0], .all = event_where_is_all(session)};
    ask.filters = (msg_texts_t){.items = (const char **)words + 1, .count = count - 1};
    event_where_begin(&since, &ask);
    if (session_call(session, MSG_event_subscribe, &ask, &answer, &st)) {
        session_explain(&st, "subscriber", ask.name);
        return session_fail(&st);
    }
    if (session_json(session))
        output_json(message_json(MSG_subscriber, &answer));
    return 0;
}

static char *filters_text(const msg_texts_t *filters)
{
    char *text = util_strdup("");
    for (size_t i = 0; i < filters->count; i++) {
        AUTO_FREE char *before = text;
        text = util_format("%s%s%s", before, i ? " " : "", filters->items[i]);
    }
    output_tame(text);
    return text;
}

static void add_row(table_t *table, const msg_subscriber_t *item)
{
    char used[OUTPUT_TIME_SIZE];
    AUTO_FREE char *filters = filters_text(&item->filters);
    output_rfc3339(item->used_at, used);
    table_add(table, "%s\t%s\t%" PRIu64 "\t%" PRIu64 "%s\t%s\t%s\t", item->ns ? item->ns : "-",
              item->name, item->acked, item->last - item->acked, item->gap ? " (gap)" : "", used,
              filters);
}

int cmd_subscribers_list(session_t *session)
{
    status_t st;
    msg_subscribers_t answer;
    bool quiet = options_flag(session_options(session), "quiet");
    const msg_event_subscribers_t ask = {.all = event_where_is_all(session)};
    if (session_call(session, MSG_event_subscribers, &ask, &answer, &st))
        return session_fail(&st);
    AUTO(table)
    table = table_new(PADDING);
    table_add(table, "NAMESPACE\tNAME\tACKED\tBEHIND\tUSED\tFILTERS\t");
    for (size_t i = 0; i < answer.subscribers.count; i++) {
        const msg_subscriber_t *item = &answer.subscribers.items[i];
        if (quiet)
            session_print_name(session, item->name);
        else if (session_json(session))
            output_json(message_json(MSG_subscriber, item));
        else
            add_row(table, item);
    }
    if (!quiet && !session_json(session))
        table_print(table, stdout);
    return 0;
}

static status_code_t delete_one(session_t *session, const char *name, status_t *st)
{
    const msg_event_unsubscribe_t ask = {.name = name, .all = event_where_is_all(session)};
    if (session_call(session, MSG_event_unsubscribe, &ask, NULL, st))
        return session_explain(st, "delete subscriber", name);
    session_print_name(session, name);
    return STATUS_OK;
}

int cmd_subscribers_delete(session_t *session)
{
    return session_each(session, 0, delete_one);
}

int cmd_subscribers_ack(session_t *session)
{
    status_t st;
    msg_event_seq_t answer;
    msg_event_ack_t ask = {.name = session_operand(session, 0), .all = event_where_is_all(session)};
    if (!event_where_number(session_operand(session, 1), &ask.seq))
        return session_usage(session, "%s is no number of an event", session_operand(session, 1));
    if (session_call(session, MSG_event_ack, &ask, &answer, &st)) {
        session_explain(&st, "subscriber", ask.name);
        return session_fail(&st);
    }
    if (session_json(session))
        output_json(message_json(MSG_event_seq, &answer));
    return 0;
}
