/* What the cluster says of itself. */
#include "client/doctor/said.h"

#include "client/message_json.h"

#define EVENTS_A_PAGE 10000
#define EVENT_PAGES   200

static const char *const part_names[SAID_PARTS] = {
    [SAID_CLUSTER] = "the cluster's processes",
    [SAID_TASKS] = "tasks, and all that belongs to them",
    [SAID_RUNS] = "the journal's runs",
    [SAID_RECORDS] = "container records",
    [SAID_BUNDLES] = "what the bundle worker still has to remove",
};

void asker_init(asker_t *self, session_t *session)
{
    *self = (asker_t){.session = session, .outcomes = zhashx_new()};
    self->zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    if (!self->zone)
        abort();
}

void asker_retry(asker_t *self)
{
    for (int i = 0; i < SAID_PARTS; i++) {
        free(TAKE(self->failures[i]));
        self->has_failed[i] = false;
    }
}

void asker_clear(asker_t *self)
{
    asker_retry(self);
    zhashx_destroy(&self->outcomes);
    zhashx_destroy(&self->past);
    msgpack_zone_free(self->zone);
}

status_code_t asker_call(asker_t *self, msg_id_t method, const void *ask, const char *ns,
                         msgpack_zone *zone, void *answer, status_t *st)
{
    int64_t timeout = session_timeout_ms(self->session);
    link_t *link = session_link(self->session, st);
    if (!link)
        return st->code;
    return link_call(link, method, ask, ns, timeout ? timeout : SAID_ASK_MS, zone, answer, st);
}

const msg_outcome_t *asker_outcome(asker_t *self, const msg_uuid_t *request)
{
    char hex[2 * MSG_UUID_SIZE + 1];
    status_t ignored;
    util_hex(request->bytes, MSG_UUID_SIZE, hex);
    msg_outcome_t *outcome = zhashx_lookup(self->outcomes, hex);
    if (outcome || self->is_down || self->has_failed[SAID_RUNS])
        return outcome;
    outcome = msgpack_zone_malloc(self->zone, sizeof *outcome);
    if (!outcome)
        abort();
    const msg_request_get_t ask = {.id = *request};
    if (asker_call(self, MSG_request_get, &ask, NULL, self->zone, outcome, &ignored))
        return NULL;
    zhashx_insert(self->outcomes, hex, outcome);
    return outcome;
}

/* Names in one event map: its `ns`, and what its fields call `container_id` or `id`. */
static void take_event(zhashx_t *past, const msgpack_object *event)
{
    json_t *map = message_json_object(event);
    const char *ns = json_string_value(json_object_get(map, "ns"));
    const json_t *fields = json_object_get(map, "event");
    const char *id = json_string_value(json_object_get(fields, "container_id"));
    char key[SEEN_KEY_SIZE];
    if (!id)
        id = json_string_value(json_object_get(fields, "id"));
    if (ns && id && !zhashx_lookup(past, seen_key(ns, id, key)))
        zhashx_insert(past, key, past);
    json_decref(map);
}

static bool take_page(zhashx_t *past, const msg_event_page_t *page, msgpack_zone *zone)
{
    msgpack_object events;
    size_t offset = 0;
    if (msgpack_unpack((const char *)page->events.data, page->events.size, &offset, zone, &events) <
            0 ||
        events.type != MSGPACK_OBJECT_ARRAY)
        return false;
    for (uint32_t i = 0; i < events.via.array.size; i++)
        take_event(past, &events.via.array.ptr[i]);
    return page->next <= page->last;
}

zhashx_t *asker_past(asker_t *self)
{
    if (self->past)
        return self->past;
    self->past = zhashx_new();
    msg_event_list_t ask = {.limit = EVENTS_A_PAGE, .all = true};
    bool more = !self->is_down && !self->has_failed[SAID_RUNS];
    for (int i = 0; more && i < EVENT_PAGES; i++) {
        msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
        msg_event_page_t page;
        status_t ignored;
        more = zone && !asker_call(self, MSG_event_list, &ask, NULL, zone, &page, &ignored) &&
               take_page(self->past, &page, zone) && page.next > ask.since;
        if (more)
            ask.since = page.next;
        msgpack_zone_free(zone);
    }
    return self->past;
}

/* Asking -----------------------------------------------------------------------------------------
 */

/* True when it answered. */
static bool ask_part(asker_t *asker, said_t *said, said_part_t part, msg_id_t method,
                     const void *ask, void *answer)
{
    status_t st;
    if (asker->has_failed[part] || asker->is_down)
        return false;
    if (asker_call(asker, method, ask, NULL, said->zone, answer, &st)) {
        asker->has_failed[part] = true;
        free(asker->failures[part]);
        asker->failures[part] = util_format("%s: %s", part_names[part], st.text);
        return false;
    }
    return said->has[part] = true;
}

static void ask_records(asker_t *asker, said_t *said)
{
    msg_container_list_t ask = {.all = true};
    msg_containers_t page;
    char key[SEEN_KEY_SIZE];
    do {
        said->has[SAID_RECORDS] = false;
        if (!ask_part(asker, said, SAID_RECORDS, MSG_container_list, &ask, &page))
            return;
        for (size_t i = 0; i < page.containers.count; i++) {
            msg_container_t *record = &page.containers.items[i];
            zhashx_insert(said->record_by_key, seen_key(record->ns, record->id, key), record);
        }
        ask.after = page.next;
    } while (page.next);
}

static void index_all(said_t *self)
{
    char key[SEEN_KEY_SIZE];
    for (size_t i = 0; self->has[SAID_TASKS] && i < self->tasks.tasks.count; i++) {
        msg_process_t *task = &self->tasks.tasks.items[i];
        zhashx_insert(self->task_by_key, seen_key(task->ns, task->id, key), task);
    }
    for (size_t i = 0; self->has[SAID_RUNS] && i < self->runs.incarnations.count; i++) {
        msg_incarnation_t *run = &self->runs.incarnations.items[i];
        zhashx_insert(self->run_by_key, seen_key(run->ns, run->id, key), run);
    }
}

said_t *said_ask(asker_t *asker)
{
    said_t *self = zmalloc(sizeof *self);
    self->zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    if (!self->zone)
        abort();
    self->task_by_key = zhashx_new();
    self->run_by_key = zhashx_new();
    self->record_by_key = zhashx_new();
    const msg_task_list_t all = {.all = true, .under_way = true};
    ask_part(asker, self, SAID_CLUSTER, MSG_cluster_status, &(msg_cluster_status_t){0},
             &self->cluster);
    ask_part(asker, self, SAID_TASKS, MSG_task_list, &all, &self->tasks);
    ask_part(asker, self, SAID_RUNS, MSG_incarnation_list, &(msg_incarnation_list_t){0},
             &self->runs);
    ask_records(asker, self);
    ask_part(asker, self, SAID_BUNDLES, MSG_bundle_list, &(msg_bundle_list_t){.debts_only = true},
             &self->bundles);
    index_all(self);
    return self;
}

void said_destroy(said_t **self_p)
{
    said_t *self = *self_p;
    if (!self)
        return;
    zhashx_destroy(&self->task_by_key);
    zhashx_destroy(&self->run_by_key);
    zhashx_destroy(&self->record_by_key);
    msgpack_zone_free(self->zone);
    free(self);
    *self_p = NULL;
}

const msg_process_t *said_task(const said_t *self, const char *ns, const char *id)
{
    char key[SEEN_KEY_SIZE];
    return zhashx_lookup(self->task_by_key, seen_key(ns, id, key));
}

const msg_incarnation_t *said_run(const said_t *self, const char *ns, const char *id)
{
    char key[SEEN_KEY_SIZE];
    return zhashx_lookup(self->run_by_key, seen_key(ns, id, key));
}

const msg_container_t *said_record(const said_t *self, const char *ns, const char *id)
{
    char key[SEEN_KEY_SIZE];
    return zhashx_lookup(self->record_by_key, seen_key(ns, id, key));
}
