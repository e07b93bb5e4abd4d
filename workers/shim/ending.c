/* The wanted end of a shim. */
#include "common/io_timer.h"
#include "common/log.h"
#include "workers/shim/manager.h"

#include "common/proto/task.pb-c.h"

typedef struct ending {
    manager_t *manager;
    shim_t *shim;
    io_timer_t overdue;
    void (*done)(void *arg);
    void *arg;
} ending_t;

static void on_gone(void *arg, shim_t *shim)
{
    ending_t *ending = arg;
    io_timer_stop(ending->manager->io, &ending->overdue);
    bury_shim(ending->manager, shim);
    ending->done(ending->arg);
    free(ending);
}

/* One that never told its pid is looked for. When there is no process to be found behind a
 * connection that is open, nothing more can be done to it. */
static void kill_shim(ending_t *ending)
{
    status_t st = {.code = STATUS_OK};
    if (!shim_seek(ending->shim, &st) && (shim_kill(ending->shim) || shim_is_gone(ending->shim)))
        return;
    log_error("shim at %s cannot be killed: %s", shim_endpoint(ending->shim)->address,
              st.code ? st.text : "its process is not known");
    on_gone(ending, ending->shim);
}

/* A shim of a group may have got another task meanwhile, or have one that is not looked at yet: it
 * has ignored the Shutdown then, and stays. */
static bool is_needed(const ending_t *ending)
{
    return *shim_users(ending->shim) > 0;
}

static void stop_ending(ending_t *ending)
{
    shim_expect_end(ending->shim, bury_all, ending->manager);
    ending->done(ending->arg);
    free(ending);
}

static void on_overdue(void *arg)
{
    ending_t *ending = arg;
    if (ending->manager->is_loading) {
        io_timer_in(ending->manager->io, &ending->overdue, ending->manager->timeouts.shutdown);
        return;
    }
    if (is_needed(ending)) {
        stop_ending(ending);
        return;
    }
    log_warn("shim %u: did not shut down in %d ms, killing it",
             shim_endpoint(ending->shim)->shim_pid, ending->manager->timeouts.shutdown);
    kill_shim(ending);
}

/* The answer is lost when the shim is faster than its connection; its process tells the truth. */
static void on_shutdown(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    (void)arg;
    (void)payload;
    (void)size;
    log_debug("Shutdown: %s", st->code ? st->text : "OK");
}

void ending_begin(manager_t *self, shim_t *shim, const char *ns, const char *id, bool now,
                  void (*done)(void *arg), void *arg)
{
    ending_t *ending = zmalloc(sizeof *ending);
    *ending = (ending_t){.manager = self, .shim = shim, .done = done, .arg = arg};
    io_timer_init(&ending->overdue, on_overdue, ending);
    shim_expect_end(shim, on_gone, ending);
    if (shim_is_gone(shim)) {
        on_gone(ending, shim);
        return;
    }
    if (now) {
        kill_shim(ending);
        return;
    }
    int timeout = self->timeouts.shutdown;
    io_timer_in(self->io, &ending->overdue, timeout);
    Containerd__Task__V2__ShutdownRequest request = CONTAINERD__TASK__V2__SHUTDOWN_REQUEST__INIT;
    request.id = (char *)id;
    shim_call(shim, "Shutdown", &request.base, timeout, ns, on_shutdown, NULL);
}
