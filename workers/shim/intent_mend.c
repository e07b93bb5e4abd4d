/* An intent that was lost or damaged, made again. */
#include "workers/shim/intent_mend.h"

#include "common/log.h"
#include "workers/shim/create.h"
#include "workers/shim/init_record.h"
#include "workers/shim/runtime.h"

/* The intent is the first that is written, and goes with the bundle: these do not come without. */
bool intent_mend_is_due(const char *bundle)
{
    endpoint_t endpoint;
    init_record_t init;
    status_t st;
    return record_read_endpoint(bundle, &endpoint, &st) == STATUS_OK ||
           init_record_read(bundle, &init);
}

static status_code_t find_path(const task_t *task, const msg_container_t *container,
                               char path[PATH_MAX], status_t *st)
{
    if (record_read_path(task->bundle, path, st) == STATUS_OK)
        return STATUS_OK;
    if (container && runtime_resolve(container->runtime, path, st) == STATUS_OK)
        return STATUS_OK;
    return status_set(st, STATUS_FAILED_PRECONDITION,
                      "its intent is lost, and nothing tells its shim's executable");
}

status_code_t intent_mend(const manager_t *self, const task_t *task,
                          const msg_container_t *container, intent_t *ret, status_t *st)
{
    endpoint_t endpoint;
    status_t ignored;
    *ret = (intent_t){.on_shim_loss = self->on_shim_loss};
    if (find_path(task, container, ret->path, st))
        return st->code;
    snprintf(ret->runtime, sizeof ret->runtime, "%s", container ? container->runtime : ret->path);
    snprintf(ret->group, sizeof ret->group, "%s", task->id);
    if (container) {
        ret->on_shim_loss = create_loss_of(self, container);
        create_read_group(&container->spec, task->id, ret->group, sizeof ret->group);
    }
    if (record_read_endpoint(task->bundle, &endpoint, &ignored) == STATUS_OK)
        memcpy(ret->address, endpoint.address, sizeof ret->address);
    else
        record_socket_address(self->grpc_address, task->ns, ret->group, ret->address,
                              sizeof ret->address);
    log_warn("load %s: its intent was lost, and is made again", task->key);
    return record_write_intent(task->bundle, ret, st);
}
