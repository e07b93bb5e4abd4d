/* The parts of task.create that its plan is made of. */
#ifndef SHIMD_SHIM_CREATE_H
#define SHIMD_SHIM_CREATE_H

#include "workers/shim/manager.h"
#include "workers/shim/op.h"
#include "workers/shim/rootfs.h"

#define CREATE_RUNC_OPTIONS    "containerd.runc.v1.Options"
#define CREATE_GENERIC_OPTIONS "runtimeoptions.v1.Options"

typedef struct create {
    op_t op;
    manager_t *manager;
    request_t *request;
    const msg_task_create_t *ask; /* lives as long as the request */
    task_t *task;
    msg_container_t container; /* in the request's zone */
    char *options_type;        /* owned; NULL without options */
    uint8_t *options;          /* owned */
    size_t options_size;
    rootfs_t rootfs;     /* in the request's zone */
    char *work;          /* the bundle's work directory; owned */
    endpoint_t endpoint; /* what `start` printed */
    char group[80];
    uint32_t pid;
    status_t untold; /* why the journal did not take that it was undone; OK when it did */
    bool downgraded, has_removed_stale;
    bool is_retry; /* of one whose group's shim went away under it */
    io_timer_t slow;
    bool is_slow; /* it counts no more against those that run at once */
} create_t;

/* The operation is its first member. */
static inline create_t *create_of(op_t *op)
{
    return (create_t *)op;
}

/* The steps of the plan in their order, with their undos: create_prepare.c up to the intent,
 * create_shim.c from there on. */
op_action_t create_ask_begin, create_undo_begin;
op_action_t create_ask_check;
op_action_t create_ask_bundle, create_undo_bundle;
op_action_t create_ask_rootfs;
op_action_t create_ask_intent;
op_action_t create_ask_start, create_undo_start;
op_action_t create_ask_connect;
op_action_t create_ask_create, create_undo_create;

/* Reads what the shim worker must know of a spec: whether it has a terminal, and the group its
 * annotations name (the container's own id without). INVALID_ARGUMENT when it is no spec. */
status_code_t create_read_spec(const msg_container_t *container, bool terminal, char *group,
                               size_t size, status_t *st);

/* The group that a spec's annotations name; `id` when they name none, or it is no spec. */
void create_read_group(const msg_bytes_t *spec, const char *id, char *group, size_t size);

/* What becomes of the container when its shim is lost. */
shim_loss_t create_loss_of(const manager_t *self, const msg_container_t *container);

/* The runtime's options as an encoded message. */
void create_pack_options(create_t *create);

/* Task.Create's request is packed and sent; `reply` as for shim_call. */
void create_call(create_t *create, ttrpc_reply_t *reply);

#endif
