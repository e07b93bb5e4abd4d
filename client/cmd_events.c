/* shimctl events. */
#include "client/commands.h"
#include "client/event_line.h"
#include "client/event_stream.h"
#include "client/event_where.h"
#include "client/message_json.h"
#include "client/output.h"
#include "client/subscription.h"
#include "common/util.h"

#include <stdio.h>

/* What was handed over is out of this process, or this process ends. */
static void flush(void)
{
    fflush(stdout);
    if (ferror(stdout)) /* whoever read them is gone, and nobody else is there to print for */
        exit(0);
}

static void print_event(void *arg, const msgpack_object *event)
{
    session_t *session = arg;
    event_line_t line;
    if (session_json(session)) {
        output_json(message_json_object(event));
    } else {
        event_line_read(event, &line);
        AUTO_FREE char *text = event_line_text(&line);
        puts(text);
    }
    flush();
}

static void print_gap(void *arg, uint64_t first, uint64_t last)
{
    session_t *session = arg;
    json_t *gap = json_pack("{s:I}", "last", (json_int_t)last);
    if (first) {
        fprintf(stderr, "shimctl: events %" PRIu64 " to %" PRIu64 " are no longer in the journal\n",
                first, last);
        json_object_set_new(gap, "first", json_integer((json_int_t)first));
    } else {
        fprintf(stderr, "shimctl: some events up to %" PRIu64 " are no longer in the journal\n",
                last);
    }
    if (session_json(session))
        output_json(json_pack("{s:O}", "gap", gap));
    json_decref(gap);
    flush();
}

/* Both ends of what is wanted. */
typedef struct range {
    event_where_t since, until;
} range_t;

static int read_range(session_t *session, range_t *ret)
{
    status_t st;
    const options_t *options = session_options(session);
    if (event_where_option(options, "since", &ret->since, &st) ||
        event_where_option(options, "until", &ret->until, &st))
        return session_fail(&st);
    if (options_flag(options, "follow") && ret->until.kind == EVENT_WHERE_NOW)
        return session_usage(session, "--follow goes on where --until now ends");
    if (options_flag(options, "raw") &&
        (options_flag(options, "follow") || options_given(options, "subscriber")))
        return session_usage(session, "--raw goes with neither --follow nor --subscriber");
    return 0;
}

static int follow(session_t *session, const range_t *range)
{
    status_t st = {.code = STATUS_OK};
    bool raw = options_flag(session_options(session), "raw");
    event_stream_options_t wanted = {.ns = event_where_is_all(session) ? NULL : session_ns(session),
                                     .filters = session_filters(session),
                                     .raw = raw,
                                     .since = range->since,
                                     .until = range->until};
    if (raw && wanted.until.kind == EVENT_WHERE_NONE)
        wanted.until.kind = EVENT_WHERE_NOW;
    /* To see up to a point what there is begins with the oldest of it. */
    if (wanted.since.kind == EVENT_WHERE_NONE && wanted.until.kind != EVENT_WHERE_NONE)
        wanted.since = (event_where_t){.kind = EVENT_WHERE_SEQ};
    AUTO(event_stream)
    stream = event_stream_new(session, &wanted, &st);
    if (!stream)
        return session_fail(&st);
    event_stream_run(stream, print_event, print_gap, session, &st);
    return st.code ? session_fail(&st) : 0;
}

static int read_as(session_t *session, const char *name, const range_t *range)
{
    status_t st = {.code = STATUS_OK};
    subscription_options_t wanted = {.begin = {.name = name,
                                               .all = event_where_is_all(session),
                                               .filters = session_filters(session)},
                                     .until_now = range->until.kind == EVENT_WHERE_NOW,
                                     .no_ack = options_flag(session_options(session), "no-ack")};
    if (range->until.kind == EVENT_WHERE_SEQ || range->until.kind == EVENT_WHERE_TIME)
        return session_usage(session, "with --subscriber only --until now is an end");
    event_where_begin(&range->since, &wanted.begin);
    if (subscription_run(session, &wanted, print_event, print_gap, session, &st)) {
        session_explain(&st, "subscriber", name);
        return session_fail(&st);
    }
    return 0;
}

int cmd_events(session_t *session)
{
    range_t range = {.since.kind = EVENT_WHERE_NONE};
    const char *subscriber = options_text(session_options(session), "subscriber");
    int failed = read_range(session, &range);
    if (failed)
        return failed;
    if (!subscriber && options_flag(session_options(session), "no-ack"))
        return session_usage(session, "--no-ack goes with --subscriber");
    return subscriber ? read_as(session, subscriber, &range) : follow(session, &range);
}
