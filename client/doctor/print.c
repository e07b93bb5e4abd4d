/* Findings as a table and as JSON. */
#include "client/doctor/print.h"

#include "client/output.h"

#include <uuid/uuid.h>

#define PADDING 4

static const char *state_of(const finding_t *finding)
{
    static const char *const names[] = {"open", "mended", "left"};
    return names[finding->state];
}

static json_t *json_of(const finding_t *finding, asker_t *asker)
{
    const finding_type_t *type = finding_type(finding->kind);
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:s}", "kind", type->name, "object", finding->object, "finding",
                  finding->text, "state", state_of(finding));
    json_object_set_new(object, type->can_mend ? "repair" : "advice", json_string(type->mend));
    if (finding->id[0])
        json_object_update_new(object,
                               json_pack("{s:s, s:s}", "ns", finding->ns, "id", finding->id));
    if (finding->result)
        json_object_set_new(object, "result", json_string(finding->result));
    if (!finding->has_request)
        return object;
    char text[UUID_STR_LEN];
    uuid_unparse_lower(finding->request.bytes, text);
    json_object_set_new(object, "request", json_string(text));
    const msg_outcome_t *outcome = asker_outcome(asker, &finding->request);
    if (!outcome)
        return object;
    json_object_update_new(object, json_pack("{s:s, s:i, s:s*, s:I}", "method", outcome->method,
                                             "status", (int)outcome->status, "message",
                                             outcome->message, "time", (json_int_t)outcome->time));
    if (outcome->peer)
        json_object_set_new(object, "peer",
                            json_pack("{s:I, s:I, s:I}", "pid", (json_int_t)outcome->peer->pid,
                                      "uid", (json_int_t)outcome->peer->uid, "gid",
                                      (json_int_t)outcome->peer->gid));
    return object;
}

/* "task.create by uid 0, pid 12" */
static char *cause_of(const finding_t *finding, asker_t *asker)
{
    char text[UUID_STR_LEN];
    if (!finding->has_request)
        return util_strdup("-");
    uuid_unparse_lower(finding->request.bytes, text);
    const msg_outcome_t *outcome = asker_outcome(asker, &finding->request);
    if (!outcome)
        return util_strdup(text);
    if (!outcome->peer)
        return util_format("%s %s", text, outcome->method);
    return util_format("%s %s by uid %lld, pid %lld", text, outcome->method,
                       (long long)outcome->peer->uid, (long long)outcome->peer->pid);
}

static void add_row(table_t *table, const finding_t *finding, asker_t *asker)
{
    const finding_type_t *type = finding_type(finding->kind);
    AUTO_FREE char *cause = cause_of(finding, asker);
    AUTO_FREE char *what = util_strdup(finding->text);
    AUTO_FREE char *object = util_strdup(finding->object);
    AUTO_FREE char *result =
        finding->result
            ? util_format("%s: %s", state_of(finding), finding->result)
            : util_format("%s%s", type->can_mend ? "--repair: " : "by hand: ", type->mend);
    output_tame(what);
    output_tame(object);
    output_tame(result);
    table_add(table, "%s\t%s\t%s\t%s\t%s", type->name, object, cause, what, result);
}

void print_findings(findings_t *findings, asker_t *asker, bool json)
{
    AUTO(table)
    table = table_new(PADDING);
    table_add(table, "KIND\tOBJECT\tREQUEST\tFINDING\tREPAIR");
    for (finding_t *f = findings_first(findings); f; f = findings_next(findings)) {
        if (json)
            output_json(json_of(f, asker));
        else
            add_row(table, f, asker);
    }
    if (!json && findings_count(findings))
        table_print(table, stdout);
}

size_t print_failures(const asker_t *asker)
{
    size_t count = 0;
    fflush(stdout);
    if (asker->is_down) {
        fprintf(stderr, "shimctl: the cluster does not run: only the machine was looked at\n");
        return 1;
    }
    for (int i = 0; i < SAID_PARTS; i++) {
        if (!asker->failures[i])
            continue;
        output_tame(asker->failures[i]);
        fprintf(stderr, "shimctl: not compared: %s\n", asker->failures[i]);
        count++;
    }
    return count;
}
