/* The mounts of a task's root filesystem, as its shim gets them in Create. */
#ifndef SHIMD_SHIM_ROOTFS_H
#define SHIMD_SHIM_ROOTFS_H

#include "common/message.h"

#include "common/proto/task.pb-c.h"

/* Stands in sources and options for the work directory of the run. */
#define ROOTFS_WORK "${work}"

typedef struct rootfs {
    Containerd__Task__V2__Mount **mounts;
    size_t count;
} rootfs_t;

/* The request's mounts, or the container's where it has none, with ROOTFS_WORK replaced by the path
 * `work`; makes the directories that options name as upperdir or workdir in it, which go with the
 * work directory. `ret` lives in `zone` and points into the messages. INVALID_ARGUMENT for a
 * container whose spec has another root than "rootfs", where the shim mounts them, and for an
 * upperdir or workdir deeper in `work`; what mkdir(2) says. */
status_code_t rootfs_prepare(const msg_container_t *container, const msg_task_create_t *ask,
                             const char *work, msgpack_zone *zone, rootfs_t *ret, status_t *st);

/* A shim says "no such device" of a filesystem that the kernel has not; adds which one that is. To
 * be called after a failed Create: until then the kernel may not have loaded it. */
void rootfs_explain(const rootfs_t *self, status_t *st);

#endif
