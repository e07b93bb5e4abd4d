/* Bundles that are still to be removed. */
#include "workers/shim/debt.h"

#include "common/log.h"

typedef struct debt {
    manager_t *manager;
    char ns[77], id[77], incarnation[UTIL_UUID_SIZE];
    io_timer_t again;
    int64_t delay; /* ms */
    void *position;
} debt_t;

static void debt_free(debt_t *self)
{
    io_timer_stop(self->manager->io, &self->again);
    zlistx_detach(self->manager->debts, self->position);
    free(self);
}

static void on_deleted(void *arg, const status_t *st, const void *answer)
{
    debt_t *self = arg;
    (void)answer;
    if (!st->code || st->code == STATUS_NOT_FOUND) {
        log_info("%s/%s: its bundle is removed now", self->ns, self->id);
        debt_free(self);
        return;
    }
    log_debug("%s/%s: bundle: %s", self->ns, self->id, st->text);
    self->delay = self->delay * 2 < DEBT_LAST_MS ? self->delay * 2 : DEBT_LAST_MS;
    io_timer_in(self->manager->io, &self->again, self->delay);
}

static void on_again(void *arg)
{
    debt_t *self = arg;
    msg_bundle_delete_t ask = {.id = self->id, .incarnation = self->incarnation};
    link_ask(self->manager->link, MSG_bundle_delete, &ask, self->ns, 0, NULL, on_deleted, self);
}

void debt_add(manager_t *self, const char *ns, const char *id, const char *incarnation,
              const status_t *why)
{
    log_warn("%s/%s: its bundle is not removed yet: %s", ns, id, why->text);
    if (zlistx_size(self->debts) >= DEBTS_MAX)
        return;
    debt_t *debt = zmalloc(sizeof *debt);
    *debt = (debt_t){.manager = self, .delay = DEBT_FIRST_MS};
    snprintf(debt->ns, sizeof debt->ns, "%s", ns);
    snprintf(debt->id, sizeof debt->id, "%s", id);
    snprintf(debt->incarnation, sizeof debt->incarnation, "%s", incarnation);
    io_timer_init(&debt->again, on_again, debt);
    debt->position = zlistx_add_end(self->debts, debt);
    io_timer_in(self->io, &debt->again, debt->delay);
}

void debts_destroy(manager_t *self)
{
    debt_t *debt;
    while ((debt = zlistx_first(self->debts)))
        debt_free(debt);
    zlistx_destroy(&self->debts);
}
