/* Which request caused what was found. */
#include "client/doctor/causes.h"

#define PAGES_MAX 20 /* of the requests about one name */

/* From the machine -------------------------------------------------------------------------------
 */

static const seen_t *find_cause(const machine_t *machine, const finding_t *finding)
{
    static const seen_kind_t kinds[] = {SEEN_BUNDLE, SEEN_SHIM, SEEN_HIDDEN, SEEN_QUARANTINED};
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        zlistx_t *rows = machine->rows[kinds[i]];
        for (const seen_t *row = zlistx_first(rows); row; row = zlistx_next(rows))
            if (row->has_request && !strcmp(row->ns, finding->ns) && !strcmp(row->id, finding->id))
                return row;
    }
    return NULL;
}

static void set_cause(finding_t *finding, const msg_uuid_t *request)
{
    finding->has_request = true;
    finding->request = *request;
}

static bool is_wanted(const finding_t *finding)
{
    return !finding->has_request && finding->id[0];
}

void causes_find(findings_t *findings, const machine_t *machine)
{
    for (finding_t *f = findings_first(findings); f; f = findings_next(findings)) {
        const seen_t *cause = is_wanted(f) ? find_cause(machine, f) : NULL;
        if (cause)
            set_cause(f, &cause->request);
    }
}

/* From the journal -------------------------------------------------------------------------------
 */

/* Such an answer says that nothing was begun. */
static bool is_refused(const msg_outcome_t *request)
{
    return request->status == STATUS_NOT_FOUND || request->status == STATUS_ALREADY_EXISTS ||
           request->status == STATUS_INVALID_ARGUMENT;
}

static bool makes_or_removes(const msg_outcome_t *request)
{
    static const char *const methods[] = {"task.create", "task.delete", "container.create",
                                          "container.delete"};
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
        if (!request->exec_id && !strcmp(request->method, methods[i]))
            return true;
    return false;
}

typedef struct last {
    bool has_any, has_maker;
    msg_uuid_t any, maker;
} last_t;

static void take_page(last_t *self, const msg_outcomes_t *page)
{
    for (size_t i = 0; i < page->requests.count; i++) {
        const msg_outcome_t *request = &page->requests.items[i];
        if (is_refused(request))
            continue;
        self->has_any = true;
        self->any = request->id;
        if (!makes_or_removes(request))
            continue;
        self->has_maker = true;
        self->maker = request->id;
    }
}

/* What is on the machine may be called anything. */
static bool is_container(const finding_t *finding)
{
    return msg_is_identifier(finding->ns, strlen(finding->ns)) &&
           msg_is_identifier(finding->id, strlen(finding->id));
}

/* False when the journal cannot be asked. */
static bool ask_last(asker_t *asker, const finding_t *finding, last_t *ret)
{
    msg_request_list_t ask = {.id = finding->id};
    msg_outcomes_t page;
    status_t ignored;
    for (int i = 0; i < PAGES_MAX; i++) {
        if (asker_call(asker, MSG_request_list, &ask, finding->ns, asker->zone, &page, &ignored))
            return false;
        take_page(ret, &page);
        ask.after = page.next;
        if (!page.next.size)
            break;
    }
    return true;
}

void causes_ask(findings_t *findings, asker_t *asker)
{
    bool can_ask = !asker->is_down && !asker->has_failed[SAID_RUNS];
    for (finding_t *f = findings_first(findings); f && can_ask; f = findings_next(findings)) {
        last_t last = {.has_any = false};
        if (!is_wanted(f) || !is_container(f))
            continue;
        can_ask = ask_last(asker, f, &last);
        if (last.has_any)
            set_cause(f, last.has_maker ? &last.maker : &last.any);
    }
}
