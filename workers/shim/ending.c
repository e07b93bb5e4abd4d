/* The wanted end of a shim. */
#include "common/log.h"
#include "workers/shim/manager.h"

#include "common/proto/task.pb-c.h"

typedef struct ending {
    manager_t *manager;
    shim_t *shim;
    int timer; /* -1 when it has fired */
    void (*done)(void *arg);
    void *arg;
} ending_t;

static void on_gone(void *arg, shim_t *shim)
{
    ending_t *ending = arg;
    if (ending->timer >= 0)
        zloop_timer_end(ending->manager->loop, ending->timer);
    shim_remove_socket(shim);
    zhashx_delete(ending->manager->shims, shim_endpoint(shim)->address);
    shim_destroy(&ending->shim);
    ending->done(ending->arg);
    free(ending);
}

static int on_overdue(zloop_t *loop, int timer, void *arg)
{
    ending_t *ending = arg;
    (void)loop;
    (void)timer;
    ending->timer = -1;
    log_warn("shim %u: did not shut down in %d ms, killing it",
             shim_endpoint(ending->shim)->shim_pid, SHIM_SHUTDOWN_MS);
    shim_kill(ending->shim);
    return 0;
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
    *ending = (ending_t){.manager = self, .shim = shim, .timer = -1, .done = done, .arg = arg};
    shim_expect_end(shim, on_gone, ending);
    if (shim_is_gone(shim)) {
        on_gone(ending, shim);
        return;
    }
    if (now) {
        shim_kill(shim);
        return;
    }
    ending->timer = zloop_timer(self->loop, SHIM_SHUTDOWN_MS, 1, on_overdue, ending);
    Containerd__Task__V2__ShutdownRequest request = CONTAINERD__TASK__V2__SHUTDOWN_REQUEST__INIT;
    request.id = (char *)id;
    shim_call(shim, "Shutdown", &request.base, SHIM_SHUTDOWN_MS, ns, on_shutdown, NULL);
}
