/* The section `journal` of the configuration file. */
#include "workers/metadata/retention.h"

#include "common/config.h"
#include "common/util.h"

#define DAY 86400

#define NAMESPACES "namespaces"

/* clang-format off */
static const config_item_t whole[] = {
    {"max-age",      offsetof(retention_t, rest.max_age),    1, 3650L * DAY, CONFIG_DURATION, NULL},
    {"max-events",   offsetof(retention_t, rest.max_events), 1, 1000000000L,               1, NULL},
    {"max-size",     offsetof(retention_t, max_size),        1, (long)(STORE_MAP_MAX >> 20), 1, NULL},
    {"max-requests", offsetof(retention_t, max_requests),    1000, 1000000000L,            1, NULL},
    {"max-exits",    offsetof(retention_t, max_exits),       1000, 1000000000L,            1, NULL},
};
static const config_item_t rows[] = {
    {"max-age",    offsetof(retention_limits_t, max_age),    1, 3650L * DAY, CONFIG_DURATION, NULL},
    {"max-events", offsetof(retention_limits_t, max_events), 1, 1000000000L,               1, NULL},
};
/* clang-format on */

static status_code_t take_rule(retention_t *self, zconfig_t *section, status_t *st)
{
    const char *ns = zconfig_name(section);
    if (!msg_is_identifier(ns, strlen(ns)))
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "journal/" NAMESPACES
                          "/%s: not an identifier: 1-76 letters and digits with single . _ - "
                          "between them",
                          ns);
    if (self->count == RETENTION_NAMESPACES_MAX)
        return status_set(st, STATUS_INVALID_ARGUMENT, "journal/" NAMESPACES ": more than %d",
                          RETENTION_NAMESPACES_MAX);
    retention_rule_t *rule = &self->rules[self->count++];
    *rule = (retention_rule_t){.limits = self->rest};
    snprintf(rule->ns, sizeof rule->ns, "%s", ns);
    if (config_take_items(section, rows, ARRAY_SIZE(rows), &rule->limits, st))
        return status_wrap(st, "journal/" NAMESPACES);
    return STATUS_OK;
}

/* What holds for all comes first: a namespace has it unless it says otherwise. */
static status_code_t take_section(retention_t *self, zconfig_t *section, status_t *st)
{
    zconfig_t *item;
    for (item = zconfig_child(section); item; item = zconfig_next(item))
        if (!streq(zconfig_name(item), NAMESPACES) &&
            config_take_item(section, item, whole, ARRAY_SIZE(whole), self, st))
            return st->code;
    for (item = zconfig_child(section); item; item = zconfig_next(item)) {
        zconfig_t *rule = streq(zconfig_name(item), NAMESPACES) ? zconfig_child(item) : NULL;
        for (; rule; rule = zconfig_next(rule))
            if (take_rule(self, rule, st))
                return st->code;
    }
    return STATUS_OK;
}

status_code_t retention_read(retention_t *self, const char *config, status_t *st)
{
    zconfig_t *root;
    *self = (retention_t){.rest = {.max_age = 30 * DAY, .max_events = 1000000},
                          .max_size = 4096,
                          .max_requests = 1000000,
                          .max_exits = 1000000};
    if (config_load(config, false, &root, st))
        return st->code;
    status_clear(st);
    zconfig_t *item = root ? zconfig_child(root) : NULL;
    for (; item && !st->code; item = zconfig_next(item))
        if (streq(zconfig_name(item), "journal") && take_section(self, item, st))
            status_wrap(st, "%s", config);
    zconfig_destroy(&root);
    return st->code;
}
