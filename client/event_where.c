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

status_code_t event_where_read(const char *what, const char *text, event_where_t *ret, status_t *st)
{
    bool is_digits = *text && strspn(text, "0123456789") == strlen(text);
    *ret = (event_where_t){.kind = EVENT_WHERE_TIME};
    status_clear(st);
    if (!strcmp(text, "now"))
        ret->kind = EVENT_WHERE_NOW;
    else if (event_where_number(text, &ret->seq))
        ret->kind = EVENT_WHERE_SEQ;
    else if (is_digits)
        status_set(st, STATUS_INVALID_ARGUMENT, "%s %s: not the number of an event, up to %" PRId64,
                   what, text, INT64_MAX);
    else
        arguments_moment(what, text + (*text == '@'), util_now_ns(), &ret->time, st);
    return st->code;
}

status_code_t event_where_option(const options_t *options, const char *name, event_where_t *ret,
                                 status_t *st)
{
    const char *text = options_text(options, name);
    AUTO_FREE char *what = util_format("--%s", name);
    status_clear(st);
    return text ? event_where_read(what, text, ret, st) : STATUS_OK;
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
