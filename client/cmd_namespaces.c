/* shimctl namespaces. */
#include "client/arguments.h"
#include "client/commands.h"
#include "client/message_json.h"
#include "client/output.h"
#include "common/util.h"

#define PADDING 1 /* as ctr's table of namespaces */

static int finish(session_t *session, const msg_namespace_t *answer)
{
    if (session_json(session))
        output_json(message_json(MSG_namespace, answer));
    return 0;
}

static status_code_t read_labels(session_t *session, msg_labels_t *labels, status_t *st)
{
    size_t count;
    char **words = session_operands(session, &count);
    return arguments_labels(words + 1, count - 1, "true", session_zone(session), labels, st);
}

int cmd_namespaces_create(session_t *session)
{
    status_t st;
    msg_namespace_t answer;
    msg_namespace_create_t ask = {.name = session_operand(session, 0)};
    if (read_labels(session, &ask.labels, &st))
        return session_fail(&st);
    if (session_call(session, MSG_namespace_create, &ask, &answer, &st)) {
        session_explain(&st, "create namespace", ask.name);
        return session_fail(&st);
    }
    return finish(session, &answer);
}

int cmd_namespaces_label(session_t *session)
{
    status_t st;
    msg_namespace_t answer;
    msg_namespace_update_t ask = {.name = session_operand(session, 0)};
    if (read_labels(session, &ask.labels, &st))
        return session_fail(&st);
    if (session_call(session, MSG_namespace_update, &ask, &answer, &st)) {
        session_explain(&st, "label namespace", ask.name);
        return session_fail(&st);
    }
    return finish(session, &answer);
}

/* "a=b,c=d" */
static char *labels_text(const msg_labels_t *labels)
{
    char *text = util_strdup("");
    for (size_t i = 0; i < labels->count; i++) {
        AUTO_FREE char *before = text;
        text = util_format("%s%s%s=%s", before, i ? "," : "", labels->items[i].key,
                           labels->items[i].value);
    }
    return text;
}

int cmd_namespaces_list(session_t *session)
{
    status_t st;
    msg_namespaces_t answer;
    bool quiet = options_flag(session_options(session), "quiet");
    const msg_namespace_list_t ask = {.filters = session_filters(session)};
    if (session_call(session, MSG_namespace_list, &ask, &answer, &st))
        return session_fail(&st);
    AUTO(table)
    table = table_new(PADDING);
    table_add(table, "NAME\tLABELS\t");
    for (size_t i = 0; i < answer.namespaces.count; i++) {
        const msg_namespace_t *item = &answer.namespaces.items[i];
        AUTO_FREE char *labels = labels_text(&item->labels);
        if (quiet)
            session_print_name(session, item->name);
        else if (session_json(session))
            output_json(message_json(MSG_namespace, item));
        else
            table_add(table, "%s\t%s\t", item->name, labels);
    }
    if (!quiet && !session_json(session))
        table_print(table, stdout);
    return 0;
}

/* A namespace that is not there is as gone as was wanted: ctr prints its name all the same. */
static status_code_t remove_one(session_t *session, const char *name, status_t *st)
{
    msg_namespace_delete_t ask = {.name = name};
    session_call(session, MSG_namespace_delete, &ask, NULL, st);
    if (st->code && st->code != STATUS_NOT_FOUND)
        return session_explain(st, "remove namespace", name);
    session_print_name(session, name);
    return STATUS_OK;
}

int cmd_namespaces_remove(session_t *session)
{
    return session_each(session, 0, remove_one);
}
