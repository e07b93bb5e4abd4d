/* The tasks as they were at a moment of the past. */
#include "client/tasks_at.h"

#include "client/event_map.h"
#include "client/event_where.h"
#include "common/util.h"

#define PAGE_LIMIT 1000 /* events: some milliseconds of the metadata worker's time */

/* What is known of a task that has had an event since: how it was is in the first one, and whether
 * it was frozen in the last one before. */
typedef struct known {
    task_at_t row;
    bool is_there;
    uint64_t prev; /* event before the first one since; 0 for none */
} known_t;

struct tasks_at {
    session_t *session;
    uint64_t seq;   /* the moment, */
    int64_t time;   /* or 0 */
    zhashx_t *runs; /* known_t by incarnation; owned */
    known_t **rows; /* those that were there; borrowed */
    size_t count;
};

static void known_destroy(void **item)
{
    known_t *known = *item;
    free(known->row.ns);
    free(known->row.id);
    free(known->row.incarnation);
    free(known);
    *item = NULL;
}

static known_t *add(tasks_at_t *self, const char *ns, const char *id, const char *incarnation)
{
    known_t *known = zmalloc(sizeof *known);
    known->row = (task_at_t){
        .ns = util_strdup(ns), .id = util_strdup(id), .incarnation = util_strdup(incarnation)};
    zhashx_insert(self->runs, incarnation, known);
    return known;
}

/* The moment ------------------------------------------------------------------------------------
 */

static status_code_t read_when(tasks_at_t *self, const char *when, status_t *st)
{
    event_where_t where;
    if (event_where_read("--at", when, &where, st))
        return st->code;
    if (where.kind == EVENT_WHERE_SEQ && !where.seq)
        return status_set(st, STATUS_INVALID_ARGUMENT, "--at %s: no sequence number", when);
    self->seq = where.seq;
    self->time = where.kind == EVENT_WHERE_NOW ? util_now_ns() : where.time;
    return STATUS_OK;
}

static status_code_t list(tasks_at_t *self, const msg_event_list_t *ask, msgpack_zone *zone,
                          msg_event_page_t *ret, status_t *st)
{
    link_t *link = session_link(self->session, st);
    if (!link)
        return st->code;
    return link_call(link, MSG_event_list, ask, session_ns(self->session),
                     session_timeout_ms(self->session), zone, ret, st);
}

/* All events since; the first page of them. */
static msg_event_list_t ask_since(const tasks_at_t *self, uint32_t limit)
{
    return (msg_event_list_t){
        .since = self->seq ? self->seq + 1 : 0, .since_time = self->time, .limit = limit};
}

static status_code_t check_reach(tasks_at_t *self, const char *when, status_t *st)
{
    msg_event_page_t page;
    const msg_event_list_t ask = ask_since(self, 1);
    if (list(self, &ask, session_zone(self->session), &page, st))
        return st->code;
    if (self->seq > page.last)
        return status_set(st, STATUS_OUT_OF_RANGE, "--at %s: the journal's newest event is %llu",
                          when, (unsigned long long)page.last);
    if (self->time > util_now_ns())
        return status_set(st, STATUS_OUT_OF_RANGE, "--at %s: that is yet to come", when);
    if (page.gap)
        return status_set(st, STATUS_OUT_OF_RANGE,
                          "--at %s: the journal no longer reaches back so far", when);
    return STATUS_OK;
}

/* The present -----------------------------------------------------------------------------------
 */

/* Static, for one of the wire's. */
static const char *status_named(const char *name)
{
    static const char *const names[] = {"CREATED", "RUNNING", "STOPPED", "PAUSED", "PAUSING"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!strcmp(name, names[i]))
            return names[i];
    return "UNKNOWN";
}

/* A task that has ended since the moment, of which the journal may not tell yet. */
static bool has_ended_since(const tasks_at_t *self, const msg_process_t *task)
{
    return self->time && task->exited_at > self->time;
}

static status_code_t read_present(tasks_at_t *self, status_t *st)
{
    msg_processes_t answer;
    if (session_call(self->session, MSG_task_list, &(msg_task_list_t){0}, &answer, st))
        return st->code;
    for (size_t i = 0; i < answer.tasks.count; i++) {
        const msg_process_t *task = &answer.tasks.items[i];
        if (!task->incarnation)
            continue;
        known_t *known = add(self, task->ns, task->id, task->incarnation);
        known->is_there = true;
        known->row.pid = task->pid;
        known->row.status = has_ended_since(self, task) ? "RUNNING" : status_named(task->status);
    }
    return STATUS_OK;
}

/* Events ----------------------------------------------------------------------------------------
 */

/* How a task was before an event of init; NULL when it was not there. */
static const struct {
    const char *topic, *before, *after;
} topics[] = {
    {"/tasks/create", NULL, "CREATED"},     {"/tasks/start", "CREATED", "RUNNING"},
    {"/tasks/exit", "RUNNING", "STOPPED"},  {"/tasks/delete", "STOPPED", NULL},
    {"/tasks/paused", "RUNNING", "PAUSED"}, {"/tasks/resumed", "PAUSED", "RUNNING"},
    {"/tasks/exec-added", "RUNNING", NULL}, {"/tasks/exec-started", "RUNNING", NULL},
    {"/tasks/oom", "RUNNING", NULL},
};

static size_t topic_of(const msgpack_object *event)
{
    size_t i = 0;
    while (i < ARRAY_SIZE(topics) && !event_map_is(event, "topic", topics[i].topic))
        i++;
    return i;
}

static bool is_of_exec(const msgpack_object *event, const char *id)
{
    const msgpack_object *fields = event_map_value(event, "event");
    AUTO_FREE char *exec_id = fields ? event_map_text(fields, "exec_id") : NULL;
    AUTO_FREE char *process = fields ? event_map_text(fields, "id") : NULL;
    return (exec_id && exec_id[0]) || (process && process[0] && strcmp(process, id));
}

static bool is_since(const tasks_at_t *self, const msgpack_object *event)
{
    if (self->time)
        return (int64_t)event_map_number(event, "time") > self->time;
    return event_map_number(event, "seq") > self->seq;
}

/* The first event since, of one run. */
static void learn(known_t *known, const msgpack_object *event, size_t topic, bool of_exec)
{
    const msgpack_object *fields = event_map_value(event, "event");
    uint32_t pid = of_exec ? 0 : (uint32_t)event_map_number(fields, "pid");
    known->prev = event_map_number(event, "prev");
    known->row.status = of_exec ? "RUNNING" : topics[topic].before;
    known->is_there = known->row.status != NULL;
    known->row.pid = pid ? pid : known->row.pid;
}

static void take(tasks_at_t *self, zhashx_t *seen, const msgpack_object *event)
{
    size_t topic = topic_of(event);
    const msgpack_object *fields = event_map_value(event, "event");
    if (topic == ARRAY_SIZE(topics) || !fields || !is_since(self, event))
        return;
    AUTO_FREE char *incarnation = event_map_text(event, "incarnation");
    AUTO_FREE char *id = event_map_text(fields, "container_id");
    AUTO_FREE char *ns = event_map_text(event, "ns");
    if (!incarnation || !incarnation[0] || !id || !ns)
        return;
    known_t *known = zhashx_lookup(self->runs, incarnation);
    known = known ? known : add(self, ns, id, incarnation);
    bool of_exec = is_of_exec(event, id);
    if (zhashx_insert(seen, incarnation, known) == 0)
        learn(known, event, topic, of_exec);
    else if (!known->row.pid && known->is_there && !of_exec)
        known->row.pid = (uint32_t)event_map_number(fields, "pid");
}

static void take_page(tasks_at_t *self, zhashx_t *seen, const msg_bytes_t *events)
{
    msgpack_unpacked page;
    msgpack_unpacked_init(&page);
    if (msgpack_unpack_next(&page, (const char *)events->data, events->size, NULL) > 0 &&
        page.data.type == MSGPACK_OBJECT_ARRAY)
        for (uint32_t i = 0; i < page.data.via.array.size; i++)
            take(self, seen, &page.data.via.array.ptr[i]);
    msgpack_unpacked_destroy(&page);
}

static status_code_t read_since(tasks_at_t *self, zhashx_t *seen, status_t *st)
{
    msg_event_list_t ask = ask_since(self, PAGE_LIMIT);
    msg_event_page_t page;
    status_code_t code;
    do {
        msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
        code = list(self, &ask, zone, &page, st);
        if (!code)
            take_page(self, seen, &page.events);
        msgpack_zone_free(zone);
        if (!code && page.gap)
            code = status_set(st, STATUS_OUT_OF_RANGE,
                              "the journal has given up events while they were read");
        ask.since = page.next;
    } while (!code && page.next <= page.last);
    return code;
}

/* Only the event before tells whether a task that ended, or had an exec, was frozen. One that the
 * journal no longer has leaves it as it is most likely. */
static status_code_t look_before(tasks_at_t *self, known_t *known, status_t *st)
{
    uint64_t at = known->prev;
    while (at && known->is_there && !strcmp(known->row.status, "RUNNING")) {
        msgpack_unpacked found;
        msg_event_page_t page;
        const msg_event_list_t ask = {.since = at, .until = at, .limit = 1};
        if (list(self, &ask, session_zone(self->session), &page, st))
            return st->code;
        msgpack_unpacked_init(&found);
        bool is_found = event_map_first(&page.events, &found);
        size_t topic = is_found ? topic_of(&found.data) : ARRAY_SIZE(topics);
        bool tells = topic < ARRAY_SIZE(topics) && topics[topic].after &&
                     !is_of_exec(&found.data, known->row.id);
        if (tells)
            known->row.status = topics[topic].after;
        at = is_found && !tells ? event_map_number(&found.data, "prev") : 0;
        msgpack_unpacked_destroy(&found);
    }
    return STATUS_OK;
}

static status_code_t read_events(tasks_at_t *self, status_t *st)
{
    zhashx_t *seen = zhashx_new();
    status_code_t code = read_since(self, seen, st);
    for (known_t *known = zhashx_first(seen); known && !code; known = zhashx_next(seen))
        code = look_before(self, known, st);
    zhashx_destroy(&seen);
    return code;
}

/* ------------------------------------------------------------------------------------------------
 */

static int by_id(const void *a, const void *b)
{
    const known_t *left = *(known_t *const *)a, *right = *(known_t *const *)b;
    return strcmp(left->row.id, right->row.id);
}

static void sort(tasks_at_t *self)
{
    self->rows = zmalloc((zhashx_size(self->runs) + 1) * sizeof *self->rows);
    for (known_t *known = zhashx_first(self->runs); known; known = zhashx_next(self->runs))
        if (known->is_there)
            self->rows[self->count++] = known;
    qsort(self->rows, self->count, sizeof *self->rows, by_id);
}

tasks_at_t *tasks_at_new(session_t *session, const char *when, status_t *st)
{
    tasks_at_t *self = zmalloc(sizeof *self);
    self->session = session;
    self->runs = zhashx_new();
    zhashx_set_destructor(self->runs, known_destroy);
    /* The present first: what happens meanwhile is told by the events. */
    if (read_when(self, when, st) || check_reach(self, when, st) || read_present(self, st) ||
        read_events(self, st))
        tasks_at_destroy(&self);
    else
        sort(self);
    return self;
}

void tasks_at_destroy(tasks_at_t **self_p)
{
    tasks_at_t *self = *self_p;
    if (!self)
        return;
    zhashx_destroy(&self->runs);
    free(self->rows);
    free(self);
    *self_p = NULL;
}

const task_at_t *tasks_at_row(const tasks_at_t *self, size_t index)
{
    return index < self->count ? &self->rows[index]->row : NULL;
}
