/* Trimming the journal. */
#include "workers/metadata/retention.h"

#include "common/util.h"
#include "workers/metadata/journal.h"

#include <string.h>

#define VERSION    1
#define MARKS      ".trim" /* in TABLE_NS_SEQ; no namespace begins with a dot */
#define NS_PER_S   ((int64_t)1000000000)
#define FUTURE_MAX 16 /* events in a row whose time is not to be believed */

/* How far the events of a namespace, or of the rest (""), were looked at. */
typedef struct mark {
    uint32_t version;
    uint32_t rules; /* of those that were in force: tells that they have changed */
    uint8_t is_ruled;
    uint8_t has_count; /* `ns_gone` is known */
    uint8_t unused[6];
    uint64_t at;      /* all up to this one were looked at */
    uint64_t ns_gone; /* within the namespace: all up to this one are gone */
    retention_gone_t gone;
} mark_t;

/* What a look at the events of one namespace, or of the rest, found. */
typedef struct plan {
    mark_t mark;
    bool is_moved; /* the mark is another one now */
    bool has_more; /* the budget was used up */
    size_t count;  /* to be removed */
    uint64_t seqs[RETENTION_PIECE_MAX];
} plan_t;

/* Of an event, what is asked here. */
typedef struct entry {
    uint64_t seq, ns_seq;
    int64_t time;
    const char *ns;
    size_t ns_size;
} entry_t;

typedef struct look {
    const retention_t *retention;
    const retention_rule_t *rule; /* NULL for the rest */
    const retention_limits_t *limits;
    uint64_t last;    /* of the namespace's numbers */
    uint64_t excess;  /* the rest: how many there are too many */
    size_t undecided; /* the newest ones of the plan: their time is not to be believed */
    int64_t now;
} look_t;

/* Marks ------------------------------------------------------------------------------------------
 */

static bool mark_of(const msg_bytes_t *stored, mark_t *ret)
{
    if (stored->size != sizeof *ret)
        return false;
    memcpy(ret, stored->data, sizeof *ret);
    return ret->version == VERSION;
}

static bool get_mark(txn_t *txn, const char *ns, mark_t *ret)
{
    store_key_t key = STORE_KEY(MARKS, ns);
    msg_bytes_t stored;
    if (txn_get(txn, TABLE_NS_SEQ, key.bytes, key.size, &stored) && mark_of(&stored, ret))
        return true;
    *ret = (mark_t){.version = VERSION};
    return false;
}

static void put_mark(txn_t *txn, const char *ns, const mark_t *mark)
{
    store_key_t key = STORE_KEY(MARKS, ns);
    txn_put(txn, TABLE_NS_SEQ, key.bytes, key.size, mark, sizeof *mark);
}

static void widen(retention_gone_t *self, const retention_gone_t *other)
{
    self->seq = other->seq > self->seq ? other->seq : self->seq;
    self->time = other->time > self->time ? other->time : self->time;
}

retention_gone_t retention_gone(txn_t *txn, const char *ns)
{
    mark_t rest, own;
    scan_t scan;
    get_mark(txn, "", &rest);
    retention_gone_t gone = rest.gone;
    if (ns) {
        /* One that has no rule any more may have lost some while it had one. */
        if (get_mark(txn, ns, &own) && own.is_ruled)
            gone = own.gone;
        else
            widen(&gone, &own.gone);
        return gone;
    }
    store_key_t prefix = STORE_KEY(MARKS, "");
    bool any = scan_seek(&scan, txn, TABLE_NS_SEQ, prefix.bytes, prefix.size);
    for (; any && scan_has_prefix(&scan, &prefix); any = scan_next(&scan))
        if (mark_of(&scan.value, &own))
            widen(&gone, &own.gone);
    scan_close(&scan);
    return gone;
}

/* Other rules: everything is looked at anew. */

static uint32_t fingerprint(const retention_t *self)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < self->count; i++)
        sum =
            store_sum(TABLE_NS_SEQ, &sum, sizeof sum, self->rules[i].ns, strlen(self->rules[i].ns));
    return sum;
}

static bool are_rules_new(txn_t *txn, const retention_t *self)
{
    mark_t rest;
    return !get_mark(txn, "", &rest) || rest.rules != fingerprint(self);
}

/* Marks of namespaces that had a rule and have none now tell what is gone, and no more. */
static void retire_marks(txn_t *txn)
{
    store_key_t prefix = STORE_KEY(MARKS, ""), key = prefix;
    for (;;) {
        scan_t scan;
        mark_t mark = {.version = 0};
        key.bytes[key.size++] = '\0'; /* the least key behind it */
        bool found = scan_seek(&scan, txn, TABLE_NS_SEQ, key.bytes, key.size) &&
                     scan_has_prefix(&scan, &prefix) && scan.key.size < sizeof key.bytes;
        if (found) {
            key.size = scan.key.size;
            memcpy(key.bytes, scan.key.data, key.size);
            found = mark_of(&scan.value, &mark);
        }
        scan_close(&scan);
        if (!found)
            break;
        mark.is_ruled = false;
        txn_put(txn, TABLE_NS_SEQ, key.bytes, key.size, &mark, sizeof mark);
    }
}

static void begin_rules(txn_t *txn, const retention_t *self)
{
    mark_t rest, own;
    get_mark(txn, "", &rest);
    rest.rules = fingerprint(self);
    rest.at = 0;
    put_mark(txn, "", &rest);
    retire_marks(txn);
    for (size_t i = 0; i < self->count; i++) {
        get_mark(txn, self->rules[i].ns, &own);
        widen(&own.gone, &rest.gone);
        own.is_ruled = true;
        own.has_count = false;
        own.at = 0;
        put_mark(txn, self->rules[i].ns, &own);
    }
}

/* Looking ----------------------------------------------------------------------------------------
 */

static uint64_t number_in(const msgpack_object *event, const char *name)
{
    const msgpack_object *found = journal_field(event, name);
    return found && found->type == MSGPACK_OBJECT_POSITIVE_INTEGER ? found->via.u64 : 0;
}

/* An event that cannot be read is nobody's, and as old as can be. */
static void read_entry(const scan_t *scan, msgpack_unpacked *unpacked, entry_t *ret)
{
    *ret = (entry_t){.ns = ""};
    memcpy(&ret->seq, scan->key.data, sizeof ret->seq);
    if (msgpack_unpack_next(unpacked, (const char *)scan->value.data, scan->value.size, NULL) <= 0)
        return;
    const msgpack_object *ns = journal_field(&unpacked->data, "ns");
    ret->ns_seq = number_in(&unpacked->data, "ns_seq");
    ret->time = (int64_t)number_in(&unpacked->data, "time");
    if (ns && ns->type == MSGPACK_OBJECT_STR) {
        ret->ns = ns->via.str.ptr;
        ret->ns_size = ns->via.str.size;
    }
}

static bool is_of(const entry_t *entry, const char *ns)
{
    return strlen(ns) == entry->ns_size && !memcmp(ns, entry->ns, entry->ns_size);
}

static bool is_in(const look_t *look, const entry_t *entry)
{
    if (look->rule)
        return is_of(entry, look->rule->ns);
    for (size_t i = 0; i < look->retention->count; i++)
        if (is_of(entry, look->retention->rules[i].ns))
            return false;
    return true;
}

static bool is_too_many(const look_t *look, const plan_t *plan, const entry_t *entry)
{
    if (!look->rule)
        return plan->count < look->excess;
    uint64_t left = look->last >= entry->ns_seq ? look->last - entry->ns_seq + 1 : 1;
    return left > (uint64_t)look->limits->max_events;
}

static void decide(look_t *look, plan_t *plan, uint64_t seq)
{
    look->undecided = 0;
    plan->mark.at = seq;
    plan->is_moved = true;
}

/* Plans to remove the event, or to pass by it. False for one that stays: those behind it do, too.
 */
static bool take(look_t *look, plan_t *plan, const entry_t *entry)
{
    if (!is_in(look, entry)) {
        if (!look->undecided)
            decide(look, plan, entry->seq);
        return true;
    }
    bool is_past = is_too_many(look, plan, entry) ||
                   entry->time < look->now - look->limits->max_age * NS_PER_S;
    bool is_future = entry->time > look->now && look->undecided < FUTURE_MAX;
    if (look->rule && !look->undecided && !is_past) {
        plan->is_moved = plan->is_moved || !plan->mark.has_count;
        plan->mark.has_count = true;
        plan->mark.ns_gone = entry->ns_seq ? entry->ns_seq - 1 : 0;
    }
    if (!is_past && !is_future)
        return false;
    plan->seqs[plan->count++] = entry->seq;
    if (!is_past) {
        look->undecided++;
        return true;
    }
    decide(look, plan, entry->seq);
    plan->mark.gone.seq = entry->seq;
    if (entry->time <= look->now && entry->time > plan->mark.gone.time)
        plan->mark.gone.time = entry->time;
    if (look->rule) {
        plan->mark.ns_gone = entry->ns_seq;
        plan->mark.has_count = true;
    }
    return true;
}

/* How many have to go so that the others' pages fit, if all are of the same size. */
static uint64_t excess_by_size(txn_t *txn, const retention_t *self, uint64_t total)
{
    uint64_t bytes = txn_bytes(txn, TABLE_JOURNAL), most = (uint64_t)self->max_size << 20;
    return total && bytes > most ? (bytes - most) / (bytes / total + 1) + 1 : 0;
}

/* How many events of the rest there are too many; not by their number while some namespace is not
 * counted yet. */
static uint64_t excess_of(txn_t *txn, const retention_t *self)
{
    uint64_t others = 0, total = txn_count(txn, TABLE_JOURNAL);
    uint64_t large = excess_by_size(txn, self, total);
    for (size_t i = 0; i < self->count; i++) {
        mark_t mark;
        if (!get_mark(txn, self->rules[i].ns, &mark) || !mark.has_count)
            return large;
        others += journal_last_in(txn, self->rules[i].ns) - mark.ns_gone;
    }
    uint64_t most = others + (uint64_t)self->rest.max_events;
    uint64_t many = total > most ? total - most : 0;
    return many > large ? many : large;
}

/* `rule` NULL for the rest. */
static void make_plan(txn_t *txn, const retention_t *self, const retention_rule_t *rule,
                      int64_t now, size_t budget, plan_t *ret)
{
    look_t look = {.retention = self,
                   .rule = rule,
                   .limits = rule ? &rule->limits : &self->rest,
                   .last = rule ? journal_last_in(txn, rule->ns) : 0,
                   .excess = rule ? 0 : excess_of(txn, self),
                   .now = now};
    uint64_t newest = journal_last(txn, TABLE_JOURNAL);
    msgpack_unpacked unpacked;
    scan_t scan;
    ret->is_moved = ret->has_more = false;
    ret->count = 0;
    get_mark(txn, rule ? rule->ns : "", &ret->mark);
    uint64_t from = ret->mark.at + 1;
    msgpack_unpacked_init(&unpacked);
    bool goes_on = scan_seek(&scan, txn, TABLE_JOURNAL, &from, sizeof from);
    for (size_t i = 0; goes_on; i++) {
        entry_t entry;
        ret->has_more = i == budget;
        if (ret->has_more)
            break;
        read_entry(&scan, &unpacked, &entry);
        goes_on = entry.seq < newest && take(&look, ret, &entry) && scan_next(&scan);
        if (entry.seq == newest && rule && !ret->mark.has_count && !is_in(&look, &entry)) {
            ret->is_moved = true;
            ret->mark.has_count = true; /* it has none */
            ret->mark.ns_gone = look.last;
        }
    }
    scan_close(&scan);
    msgpack_unpacked_destroy(&unpacked);
    ret->count -= look.undecided;
}

/* The rules first: what they count is not the rest's. */
bool retention_is_due(txn_t *txn, const retention_t *self, int64_t now)
{
    static plan_t plan; /* large; one thread */
    if (!journal_last(txn, TABLE_JOURNAL))
        return false;
    bool is_due = are_rules_new(txn, self);
    for (size_t i = 0; i <= self->count && !is_due; i++) {
        make_plan(txn, self, i < self->count ? &self->rules[i] : NULL, now, 1 + FUTURE_MAX, &plan);
        is_due = plan.is_moved;
    }
    return is_due;
}

bool retention_trim(txn_t *txn, const retention_t *self, int64_t now, size_t budget)
{
    static plan_t plan; /* likewise */
    bool has_more = false;
    budget = budget < RETENTION_PIECE_MAX ? budget : RETENTION_PIECE_MAX;
    if (are_rules_new(txn, self))
        begin_rules(txn, self);
    for (size_t i = 0; i <= self->count; i++) {
        const retention_rule_t *rule = i < self->count ? &self->rules[i] : NULL;
        make_plan(txn, self, rule, now, budget, &plan);
        for (size_t k = 0; k < plan.count; k++)
            txn_delete(txn, TABLE_JOURNAL, &plan.seqs[k], sizeof plan.seqs[k]);
        if (plan.is_moved)
            put_mark(txn, rule ? rule->ns : "", &plan.mark);
        has_more = has_more || (plan.has_more && plan.is_moved);
    }
    return has_more;
}
