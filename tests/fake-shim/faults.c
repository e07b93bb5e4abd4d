/* What goes wrong in which call: COUNT*KIND(ARGUMENT) joined by "->". */
#include "tests/fake-shim/faults.h"

#include "common/util.h"

#include <czmq.h>
#include <pthread.h>
#include <sys/queue.h>

#define TERMS_MAX            16
#define FAILPOINT_ANNOTATION "io.containerd.runtime.v2.shim.failpoint."

const char *const fault_methods[] = {
    "State", "Create",    "Start",   "Delete", "Pids", "Pause", "Resume",  "Checkpoint", "Kill",
    "Exec",  "ResizePty", "CloseIO", "Update", "Wait", "Stats", "Connect", "Shutdown",   NULL};

typedef struct term {
    int64_t left; /* calls; -1 for ever */
    fault_t fault;
} term_t;

typedef struct plan {
    char *id;
    const char *method; /* one of fault_methods */
    term_t terms[TERMS_MAX];
    size_t count;
    STAILQ_ENTRY(plan) link;
} plan_t;

static STAILQ_HEAD(, plan) plans = STAILQ_HEAD_INITIALIZER(plans);
static char *first_id;
static zlist_t *known_ids;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Parsing ----------------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    fault_kind_t kind;
} kinds[] = {
    {"off", FAULT_OFF},   {"error", FAULT_ERROR},     {"delay", FAULT_DELAY},
    {"late", FAULT_LATE}, {"panic", FAULT_PANIC},     {"died", FAULT_DIED},
    {"hang", FAULT_HANG}, {"mute", FAULT_MUTE},       {"close", FAULT_CLOSE},
    {"lost", FAULT_LOST}, {"garbage", FAULT_GARBAGE}, {"oversize", FAULT_OVERSIZE},
};

static status_code_t take_argument(fault_t *fault, const char *argument, size_t size)
{
    char text[sizeof fault->text];
    snprintf(text, sizeof text, "%.*s", (int)size, argument);
    char *end;
    long number = strtol(text, &end, 10);
    bool has_code = fault->kind == FAULT_ERROR && end > text && *end == ':';
    fault->ms = number;
    fault->code = has_code ? (status_code_t)number : STATUS_UNKNOWN;
    snprintf(fault->text, sizeof fault->text, "%s", has_code ? end + 1 : text);
    return STATUS_OK;
}

/* Reads one term at *at and moves behind it. A term without a count is for ever. */
static bool parse_term(const char **at, term_t *ret)
{
    *ret = (term_t){.left = -1, .fault.code = STATUS_UNKNOWN};
    char *end;
    long count = strtol(*at, &end, 10);
    if (end > *at && *end == '*') {
        ret->left = count;
        *at = end + 1;
    }
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        size_t length = strlen(kinds[i].name);
        if (strncmp(*at, kinds[i].name, length) != 0)
            continue;
        *at += length;
        ret->fault.kind = kinds[i].kind;
        if (**at != '(')
            return true;
        const char *close = strchr(*at, ')');
        if (!close)
            return false;
        take_argument(&ret->fault, *at + 1, (size_t)(close - *at - 1));
        *at = close + 1;
        return true;
    }
    return false;
}

static status_code_t parse(const char *text, plan_t *plan, status_t *st)
{
    const char *at = text;
    while (plan->count < TERMS_MAX && parse_term(&at, &plan->terms[plan->count])) {
        plan->count++;
        if (*at == '\0')
            return STATUS_OK;
        if (strncmp(at, "->", 2) != 0)
            break;
        at += 2;
    }
    return status_set(st, STATUS_INVALID_ARGUMENT, "cannot understand the fault %s", text);
}

/* Keeping and asking -----------------------------------------------------------------------------
 */

static status_code_t load_method(const char *id, const spec_t *spec, const char *method,
                                 status_t *st)
{
    AUTO_FREE char *what = util_format("fail.%s", method);
    AUTO_FREE char *key = util_format("%s%s", FAILPOINT_ANNOTATION, method);
    const char *text = spec_setting(spec, what);
    if (!text)
        text = spec_annotation(spec, key);
    if (!text)
        return STATUS_OK;
    plan_t *plan = zmalloc(sizeof *plan);
    if (parse(text, plan, st)) {
        free(plan);
        return st->code;
    }
    plan->id = util_strdup(id);
    plan->method = method;
    STAILQ_INSERT_TAIL(&plans, plan, link);
    return STATUS_OK;
}

static bool is_known(const char *id)
{
    for (const char *known = zlist_first(known_ids); known; known = zlist_next(known_ids))
        if (strcmp(known, id) == 0)
            return true;
    return false;
}

status_code_t faults_load(const char *id, const spec_t *spec, status_t *st)
{
    status_code_t code = STATUS_OK;
    pthread_mutex_lock(&lock);
    if (!known_ids)
        known_ids = zlist_new();
    if (!first_id)
        first_id = util_strdup(id);
    if (!is_known(id)) {
        zlist_append(known_ids, util_strdup(id));
        for (size_t i = 0; fault_methods[i] && !code; i++)
            code = load_method(id, spec, fault_methods[i], st);
    }
    pthread_mutex_unlock(&lock);
    return code;
}

static plan_t *find_plan(const char *id, const char *method)
{
    plan_t *plan;
    STAILQ_FOREACH(plan, &plans, link)
    if (strcmp(plan->id, id) == 0 && strcmp(plan->method, method) == 0)
        return plan;
    return NULL;
}

static fault_t evaluate(plan_t *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        term_t *term = &plan->terms[i];
        if (term->left == 0)
            continue;
        if (term->left > 0)
            term->left--;
        return term->fault;
    }
    return (fault_t){.kind = FAULT_OFF};
}

fault_t faults_next(const char *id, const char *method)
{
    fault_t fault = {.kind = FAULT_OFF};
    pthread_mutex_lock(&lock);
    plan_t *plan = find_plan(id, method);
    if (!plan && known_ids && !is_known(id))
        plan = find_plan(first_id, method);
    if (plan)
        fault = evaluate(plan);
    pthread_mutex_unlock(&lock);
    return fault;
}

status_code_t faults_parse_one(const char *terms, fault_t *ret, status_t *st)
{
    plan_t plan = {0};
    if (parse(terms, &plan, st))
        return st->code;
    *ret = evaluate(&plan);
    return STATUS_OK;
}
