/* shimctl events. */
#include "client/commands.h"
#include "client/event_line.h"
#include "client/event_stream.h"
#include "client/message_json.h"
#include "client/output.h"
#include "common/util.h"

#include <stdio.h>

static void print_event(void *arg, const msgpack_object *event)
{
    session_t *session = arg;
    event_line_t line;
    if (session_json(session)) {
        output_json(message_json_object(event));
        return;
    }
    event_line_read(event, &line);
    AUTO_FREE char *text = event_line_text(&line);
    puts(text);
    fflush(stdout);
    if (ferror(stdout)) /* whoever read them is gone, and nobody else is there to print for */
        exit(0);
}

static status_code_t read_options(session_t *session, event_stream_options_t *ret, status_t *st)
{
    const options_t *options = session_options(session);
    const char *until = options_text(options, "until");
    ret->raw = options_flag(options, "raw");
    ret->from_seq = options_given(options, "since") || until || ret->raw;
    ret->ns = options_given(options, "namespace") ? session_ns(session) : NULL;
    ret->filters = session_filters(session);
    ret->until_now = until ? !strcmp(until, "now") : ret->raw;
    if (options_u64(options, "since", INT64_MAX, &ret->since, st))
        return st->code;
    if (ret->until_now)
        return STATUS_OK;
    return options_u64(options, "until", INT64_MAX, &ret->until, st);
}

int cmd_events(session_t *session)
{
    status_t st = {.code = STATUS_OK};
    event_stream_options_t wanted = {0};
    if (read_options(session, &wanted, &st))
        return session_fail(&st);
    AUTO(event_stream)
    stream = event_stream_new(session, &wanted, &st);
    if (!stream)
        return session_fail(&st);
    event_stream_run(stream, print_event, session, &st);
    if (event_stream_lost_some(stream) && wanted.since)
        fprintf(stderr,
                "shimctl: events: the journal no longer has all of them since %" PRIu64 "\n",
                wanted.since);
    return st.code ? session_fail(&st) : 0;
}
