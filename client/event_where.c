/* Places in the journal as people write them. */
#include "client/event_where.h"

#include "client/arguments.h"
#include "common/util.h"

#include <errno.h>
#include <inttypes.h>

bool event_where_number(const char *text, uint64_t *ret)
{
    errno = 0;
    bool is_number = *text && strspn(text, "0123456789") == strlen(text);
    *ret = is_number ? strtoull(text, NULL, 10) : 0;
    return is_number && !errno && *ret <= INT64_MAX;
}

status_code_t event_where_option(const options_t *options, const char *name, event_where_t *ret,
                                 status_t *st)
{
    const char *text = options_text(options, name);
    AUTO_FREE char *what = util_format("--%s", name);
    status_clear(st);
    if (!text)
        return STATUS_OK;
    if (!strcmp(text, "now")) {
        ret->kind = EVENT_WHERE_NOW;
        return STATUS_OK;
    }
    if (event_where_number(text, &ret->seq)) {
        ret->kind = EVENT_WHERE_SEQ;
        return STATUS_OK;
    }
    ret->kind = EVENT_WHERE_TIME;
    bool is_digits = *text && strspn(text, "0123456789") == strlen(text);
    if (is_digits)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "%s %s: not the number of an event, up to %" PRId64, what, text,
                          INT64_MAX);
    return arguments_moment(what, text + (*text == '@'), util_now_ns(), &ret->time, st);
}

void event_where_begin(const event_where_t *self, msg_event_subscribe_t *ret)
{
    ret->oldest = self->kind == EVENT_WHERE_SEQ && !self->seq;
    ret->since = self->kind == EVENT_WHERE_SEQ ? self->seq : 0;
    ret->since_time = self->kind == EVENT_WHERE_TIME ? self->time : 0;
}

bool event_where_is_all(const session_t *session)
{
    return !options_given(session_options(session), "namespace");
}
