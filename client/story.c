/* All that the cluster knows of one container. */
#include "client/story.h"

#include "client/event_map.h"

#include <string.h>

#define TASK_MS 5000 /* that a shim's answer is waited for */

static void *take(session_t *session, size_t size)
{
    void *made = msgpack_zone_malloc(session_zone(session), size + 1);
    if (!made)
        abort();
    return memset(made, 0, size + 1);
}

/* Arrays that grow by pages: `items` and behind them room for `more`, which begins with those that
 * are given. The old ones stay in the zone, which ends with the command. */
static void *grow(session_t *session, const void *items, size_t count, const void *given,
                  size_t more, size_t size)
{
    char *made = take(session, (count + more) * size);
    if (count)
        memcpy(made, items, count * size);
    if (given && more)
        memcpy(made + count * size, given, more * size);
    return made;
}

/* Events ----------------------------------------------------------------------------------------
 */

static const char *text_of(session_t *session, const msgpack_object *map, const char *key)
{
    const msgpack_object *value = event_map_value(map, key);
    if (!value || value->type != MSGPACK_OBJECT_STR)
        return NULL;
    return memcpy(take(session, value->via.str.size), value->via.str.ptr, value->via.str.size);
}

uint64_t story_number(const story_event_t *event, const char *key)
{
    return event_map_number(event->fields, key);
}

bool story_is_set(const story_event_t *event, const char *key)
{
    const msgpack_object *value = event->fields ? event_map_value(event->fields, key) : NULL;
    return value && value->type == MSGPACK_OBJECT_BOOLEAN && value->via.boolean;
}

/* The id in an exit or delete of init is the container's, or empty. */
static const char *exec_of(session_t *session, const msgpack_object *fields, const char *id)
{
    const char *exec_id = text_of(session, fields, "exec_id");
    if (!exec_id && event_map_value(fields, "container_id"))
        exec_id = text_of(session, fields, "id");
    return exec_id && exec_id[0] && strcmp(exec_id, id) ? exec_id : NULL;
}

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static void read_event(session_t *session, const msgpack_object *object, const char *id,
                       story_event_t *ret)
{
    const msgpack_object *fields = event_map_value(object, "event");
    *ret = (story_event_t){.seq = event_map_number(object, "seq"),
                           .time = (int64_t)event_map_number(object, "time"),
                           .topic = or_empty(text_of(session, object, "topic")),
                           .origin = or_empty(text_of(session, object, "origin")),
                           .evidence = text_of(session, object, "evidence"),
                           .incarnation = or_empty(text_of(session, object, "incarnation")),
                           .exec_id = fields ? exec_of(session, fields, id) : NULL,
                           .fields = fields,
                           .object = object};
}

static void add_events(session_t *session, story_t *story, const msg_bytes_t *events)
{
    size_t at = 0;
    msgpack_object *page = take(session, sizeof *page);
    if (msgpack_unpack((const char *)events->data, events->size, &at, session_zone(session),
                       page) != MSGPACK_UNPACK_SUCCESS ||
        page->type != MSGPACK_OBJECT_ARRAY)
        return;
    size_t count = page->via.array.size;
    story->events =
        grow(session, story->events, story->event_count, NULL, count, sizeof *story->events);
    for (size_t i = 0; i < count; i++)
        read_event(session, &page->via.array.ptr[i], story->id,
                   &story->events[story->event_count++]);
}

static void turn_round(story_t *story)
{
    for (size_t i = 0, j = story->event_count; i + 1 < j; i++) {
        story_event_t event = story->events[i];
        story->events[i] = story->events[--j];
        story->events[j] = event;
    }
}

static status_code_t collect_events(session_t *session, story_t *story, status_t *st)
{
    msg_event_about_t ask = {.id = story->id};
    msg_event_trail_t page;
    do {
        if (session_call(session, MSG_event_about, &ask, &page, st))
            return st->code;
        add_events(session, story, &page.events);
        ask.from = page.next;
        story->is_cut = page.gap || page.next;
    } while (page.next && story->event_count < STORY_MAX);
    turn_round(story);
    return STATUS_OK;
}

/* Requests and exits ----------------------------------------------------------------------------
 */

static int by_asking(const void *a, const void *b)
{
    const msg_outcome_t *left = a, *right = b;
    return left->asked_at < right->asked_at ? -1 : left->asked_at > right->asked_at;
}

static status_code_t collect_requests(session_t *session, story_t *story, status_t *st)
{
    msg_request_list_t ask = {.id = story->id};
    msg_outcomes_t page;
    do {
        if (session_call(session, MSG_request_list, &ask, &page, st))
            return st->code;
        story->requests = grow(session, story->requests, story->request_count, page.requests.items,
                               page.requests.count, sizeof *story->requests);
        story->request_count += page.requests.count;
        ask.after = page.next;
    } while (page.next.size && story->request_count < STORY_MAX);
    /* One that took long was answered after others that came later. */
    if (story->request_count)
        qsort(story->requests, story->request_count, sizeof *story->requests, by_asking);
    return STATUS_OK;
}

static status_code_t collect_exits(session_t *session, story_t *story, status_t *st)
{
    msg_exit_list_t ask = {.id = story->id};
    msg_exit_records_t page;
    do {
        if (session_call(session, MSG_exit_list, &ask, &page, st))
            return st->code;
        story->exits = grow(session, story->exits, story->exit_count, page.exits.items,
                            page.exits.count, sizeof *story->exits);
        story->exit_count += page.exits.count;
        ask.after = page.next;
    } while (page.next.size && story->exit_count < STORY_MAX);
    return STATUS_OK;
}

/* The present -----------------------------------------------------------------------------------
 */

static status_code_t collect_pending(session_t *session, story_t *story, status_t *st)
{
    const msg_broker_requests_t ask = {.id = story->id};
    msg_pending_requests_t *answer = take(session, sizeof *answer);
    if (session_call(session, MSG_broker_requests, &ask, answer, st))
        return st->code;
    story->pending = answer->requests.items;
    story->pending_count = answer->requests.count;
    return STATUS_OK;
}

static status_code_t collect_record(session_t *session, story_t *story, status_t *st)
{
    const msg_container_get_t ask = {.id = story->id};
    msg_container_t *container = take(session, sizeof *container);
    if (!session_call(session, MSG_container_get, &ask, container, st))
        story->container = container;
    if (st->code == STATUS_NOT_FOUND)
        status_clear(st);
    return st->code;
}

/* The past can be told without the worker that knows the present. */
static status_code_t collect_task(session_t *session, story_t *story, status_t *st)
{
    const msg_task_get_t ask = {.id = story->id};
    msg_process_t *task = take(session, sizeof *task);
    link_t *link = session_link(session, st);
    if (!link)
        return st->code;
    link_call(link, MSG_task_get, &ask, story->ns, TASK_MS, session_zone(session), task, st);
    if (!st->code)
        story->task = task;
    else if (st->code != STATUS_NOT_FOUND)
        story->task_unknown = memcpy(take(session, strlen(st->text)), st->text, strlen(st->text));
    status_clear(st);
    return STATUS_OK;
}

status_code_t story_collect(session_t *session, const char *id, story_t *ret, status_t *st)
{
    *ret = (story_t){.ns = session_ns(session), .id = id};
    /* The present first: what happens meanwhile is in the journal then. */
    if (collect_record(session, ret, st) || collect_task(session, ret, st) ||
        collect_pending(session, ret, st) || collect_exits(session, ret, st) ||
        collect_requests(session, ret, st) || collect_events(session, ret, st))
        return st->code;
    bool is_known = ret->container || ret->task || ret->pending_count || ret->exit_count ||
                    ret->request_count || ret->event_count || ret->is_cut;
    if (is_known)
        return STATUS_OK;
    return status_set(st, STATUS_NOT_FOUND,
                      "container %s: not found, and the journal has nothing about it", id);
}

/* Reading it ------------------------------------------------------------------------------------
 */

const char *story_run(const story_t *self)
{
    if (self->task && self->task->incarnation)
        return self->task->incarnation;
    for (size_t i = self->event_count; i-- > 0;)
        if (self->events[i].incarnation[0])
            return self->events[i].incarnation;
    return self->exit_count ? self->exits[0].incarnation : "";
}

const msg_exit_record_t *story_exit(const story_t *self, const char *incarnation,
                                    const char *exec_id)
{
    for (size_t i = 0; i < self->exit_count; i++) {
        const msg_exit_record_t *row = &self->exits[i];
        bool is_mine = exec_id ? row->exec_id && !strcmp(row->exec_id, exec_id) : !row->exec_id;
        if (is_mine && !strcmp(row->incarnation, incarnation))
            return row;
    }
    return NULL;
}

const char *story_asked(const msg_outcome_t *request, const char *name)
{
    for (size_t i = 0; i < request->asked.count; i++)
        if (!strcmp(request->asked.items[i].key, name))
            return request->asked.items[i].value;
    return NULL;
}
