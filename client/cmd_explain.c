/* shimctl explain: the story of a container. */
#include "client/arguments.h"
#include "client/commands.h"
#include "client/message_json.h"
#include "client/output.h"
#include "client/story_why.h"
#include "common/util.h"

#include <uuid/uuid.h>

#define PADDING   2
#define NS_PER_MS 1000000

/* Longer values, such as paths of fifos, are in the JSON. */
#define VALUE_MAX 40

/* One line of the story: exactly one of these. */
typedef struct line {
    const story_event_t *event;
    const msg_outcome_t *request;
    const msg_pending_request_t *pending;
    int64_t time;
} line_t;

/* Merges what is in order by itself: events as the journal has them, requests as they were asked.
 */
typedef struct merge {
    const story_t *story;
    size_t event, request, pending;
} merge_t;

static void offer(line_t *best, const line_t *other)
{
    bool is_empty = !best->event && !best->request && !best->pending;
    if (is_empty || other->time < best->time)
        *best = *other;
}

static bool next_line(merge_t *self, line_t *ret)
{
    const story_t *story = self->story;
    *ret = (line_t){.time = 0};
    /* Of equal times the request first, for the event follows from it. */
    if (self->request < story->request_count) {
        const msg_outcome_t *request = &story->requests[self->request];
        int64_t time = request->asked_at ? request->asked_at : request->time;
        offer(ret, &(line_t){.request = request, .time = time});
    }
    if (self->pending < story->pending_count) {
        const msg_pending_request_t *pending = &story->pending[self->pending];
        offer(ret, &(line_t){.pending = pending, .time = pending->asked_at});
    }
    if (self->event < story->event_count) {
        const story_event_t *event = &story->events[self->event];
        offer(ret, &(line_t){.event = event, .time = event->time});
    }
    self->event += ret->event != NULL;
    self->request += ret->request != NULL;
    self->pending += ret->pending != NULL;
    return ret->event || ret->request || ret->pending;
}

/* Text ------------------------------------------------------------------------------------------
 */

static char *exec_text(const char *exec_id)
{
    return exec_id ? util_format(" exec %s", exec_id) : util_strdup("");
}

static char *asked_text(const msg_outcome_t *request)
{
    char *text = util_strdup("");
    for (size_t i = 0; i < request->asked.count; i++) {
        const msg_label_t *label = &request->asked.items[i];
        bool is_flag = !strcmp(label->value, "true");
        if (strlen(label->value) > VALUE_MAX)
            continue;
        char *longer = is_flag ? util_format("%s %s", text, label->key)
                               : util_format("%s %s=%s", text, label->key, label->value);
        free(text);
        text = longer;
    }
    return text;
}

static char *result_text(const msg_outcome_t *request)
{
    long long ms = request->asked_at ? (request->time - request->asked_at) / NS_PER_MS : 0;
    if (request->status)
        return util_format("%s: %s", status_name((status_code_t)request->status),
                           request->message ? request->message : "");
    return util_format("OK after %lld ms", ms);
}

static void add_asker(table_t *table, const char *when, const char *what, const char *result,
                      const msg_peer_t *peer, const msg_uuid_t *id)
{
    char text[UUID_STR_LEN];
    uuid_unparse_lower(id->bytes, text);
    AUTO_FREE char *who = story_peer(peer);
    table_add(table, "%s\t%s\t%s\tby %s, request %s", when, what, result, who, text);
}

static void add_request(table_t *table, const char *when, const msg_outcome_t *request)
{
    AUTO_FREE char *exec = exec_text(request->exec_id);
    AUTO_FREE char *asked = asked_text(request);
    AUTO_FREE char *what = util_format("%s%s%s", request->method, exec, asked);
    AUTO_FREE char *result = result_text(request);
    add_asker(table, when, what, result, request->peer, &request->id);
}

static void add_pending(table_t *table, const char *when, const msg_pending_request_t *request)
{
    AUTO_FREE char *exec = exec_text(request->exec_id);
    AUTO_FREE char *what = util_format("%s%s", request->method, exec);
    bool has_begun = !strcmp(request->state, "running");
    add_asker(table, when, what, has_begun ? "running" : "waiting for a worker", request->peer,
              &request->id);
}

/* What of the fields tells most. */
static char *fields_text(const story_event_t *event)
{
    const msgpack_object *fields = event->fields;
    uint64_t pid = story_number(event, "pid");
    AUTO_FREE char *pid_text = pid ? util_format("pid %" PRIu64, pid) : util_strdup("");
    bool is_end = !strcmp(event->topic, "/tasks/exit") || !strcmp(event->topic, "/tasks/delete");
    if (!fields || !is_end)
        return util_strdup(pid_text);
    if (story_is_set(event, "unknown"))
        return util_format("%s exit unknown", pid_text);
    return util_format("%s exit_status %" PRIu64, pid_text, story_number(event, "exit_status"));
}

static void add_event(table_t *table, const char *when, const story_event_t *event)
{
    AUTO_FREE char *exec = exec_text(event->exec_id);
    AUTO_FREE char *fields = fields_text(event);
    table_add(table, "%s\t  %s%s\t%s\tevent %" PRIu64 " of %s%s%s", when, event->topic, exec,
              fields, event->seq, event->origin, event->evidence ? ", known from " : "",
              event->evidence ? event->evidence : "");
}

/* RFC 3339 with three digits of the second, whatever they are. */
static char *when_text(int64_t time, int64_t first)
{
    char text[OUTPUT_TIME_SIZE];
    int64_t ms = time / NS_PER_MS;
    output_rfc3339(ms / 1000 * 1000 * NS_PER_MS, text);
    text[strcspn(text, "Z")] = '\0';
    return util_format("%s.%03dZ\t%+.3f s", text, (int)(ms % 1000), (double)(time - first) / 1e9);
}

static void print_lines(const story_t *story)
{
    AUTO(table)
    table = table_new(PADDING);
    table_add(table, "TIME\tAFTER\tWHAT\tRESULT\tFROM");
    merge_t merge = {.story = story};
    line_t line;
    int64_t first = 0;
    while (next_line(&merge, &line)) {
        first = first ? first : line.time;
        AUTO_FREE char *when = when_text(line.time, first);
        if (line.event)
            add_event(table, when, line.event);
        else if (line.request)
            add_request(table, when, line.request);
        else
            add_pending(table, when, line.pending);
    }
    table_print(table, stdout);
}

static void print_text(const story_t *story, const story_why_t *why)
{
    AUTO_FREE char *head = util_format("%s in namespace %s: %s", story->id, story->ns, why->state);
    output_tame(head);
    puts(head);
    for (size_t i = 0; i < why->count; i++) {
        output_tame(why->because[i]);
        printf("  %s\n", why->because[i]);
    }
    puts("");
    print_lines(story);
    if (story->is_cut)
        puts("\nThere was more before: the journal no longer has it, or it is too much.");
}

/* JSON ------------------------------------------------------------------------------------------
 */

static json_t *line_json(const line_t *line)
{
    const char *kind = line->event ? "event" : line->request ? "request" : "pending";
    json_t *content = line->event     ? message_json_object(line->event->object)
                      : line->request ? message_json(MSG_outcome, line->request)
                                      : message_json(MSG_pending_request, line->pending);
    return json_pack("{s:I, s:s, s:o}", "time", (json_int_t)line->time, "kind", kind, kind,
                     content);
}

static json_t *exits_json(const story_t *story)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < story->exit_count; i++)
        json_array_append_new(rows, message_json(MSG_exit_record, &story->exits[i]));
    return rows;
}

static void print_json(const story_t *story, const story_why_t *why)
{
    json_t *because = json_array(), *lines = json_array();
    for (size_t i = 0; i < why->count; i++)
        json_array_append_new(because, json_string(why->because[i]));
    merge_t merge = {.story = story};
    for (line_t line; next_line(&merge, &line);)
        json_array_append_new(lines, line_json(&line));
    output_json(json_pack("{s:s, s:s, s:s, s:o, s:b, s:o, s:o}", "ns", story->ns, "id", story->id,
                          "state", why->state, "because", because, "complete", !story->is_cut,
                          "story", lines, "exits", exits_json(story)));
}

static status_code_t explain_one(session_t *session, const char *id, status_t *st)
{
    story_t story;
    story_why_t why;
    if (story_collect(session, id, &story, st))
        return session_explain(st, "explain", id);
    story_why(&story, util_now_ns(), &why);
    if (session_json(session))
        print_json(&story, &why);
    else
        print_text(&story, &why);
    story_why_free(&why);
    return STATUS_OK;
}

int cmd_explain(session_t *session)
{
    return session_each(session, 0, explain_one);
}
