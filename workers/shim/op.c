/* Runs plans forwards, and backwards after a failure. */
#include "workers/shim/op.h"

#include "common/failpoint.h"
#include "common/log.h"

static void undo_from(op_t *op, size_t count)
{
    /* `count` steps are to be undone; those without an undo are passed by. */
    while (count > 0 && !op->plan[count - 1].undo)
        count--;
    if (count == 0) {
        op->finished(op, &op->failure);
        return;
    }
    op->step = count - 1;
    log_debug("%s: undo %s", op->label, op->plan[op->step].name);
    op->plan[op->step].undo(op);
}

static void ask(op_t *op)
{
    if (!op->plan[op->step].name) {
        op->finished(op, &(status_t){.code = STATUS_OK});
        return;
    }
    const char *step = op->plan[op->step].name;
    status_t st;
    log_debug("%s: %s", op->label, step);
    if (FAILPOINT(&st, "%s %s before", op->name, step))
        op_done(op, &st);
    else
        op->plan[op->step].ask(op);
}

void op_start(op_t *op)
{
    op->step = 0;
    op->undoing = false;
    ask(op);
}

void op_done(op_t *op, const status_t *outcome)
{
    const status_t *st = outcome;
    status_t injected;
    const char *step = op->plan[op->step].name;
    if (!st->code &&
        FAILPOINT(&injected, "%s %s %s", op->name, step, op->undoing ? "undone" : "after"))
        st = &injected;
    if (op->undoing) {
        if (st->code && st->code != STATUS_NOT_FOUND)
            log_warn("%s: undo %s: %s", op->label, op->plan[op->step].name, st->text);
        undo_from(op, op->step);
        return;
    }
    if (st->code) {
        op->failure = *st;
        op->undoing = true;
        log_debug("%s: %s failed: %s", op->label, op->plan[op->step].name, st->text);
        undo_from(op, status_is_uncertain(st->code) ? op->step + 1 : op->step);
        return;
    }
    op->step++;
    ask(op);
}

void op_ok(op_t *op)
{
    op_done(op, &(status_t){.code = STATUS_OK});
}
