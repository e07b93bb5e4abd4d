/* The mounts of a container. */
#ifndef SHIMD_OCI_MOUNT_H
#define SHIMD_OCI_MOUNT_H

#include <jansson.h>
#include <stdbool.h>

#include "common/status.h"

/* Bytes of one --mount value, and mount options in it. */
#define OCI_MOUNT_SIZE_MAX    (16 * 1024)
#define OCI_MOUNT_OPTIONS_MAX 64

/* containerd's default mounts (/proc, /dev, /dev/pts, /dev/shm, /dev/mqueue, /sys, /run). /sys is
 * writable when `privileged`. The caller owns the array. */
json_t *oci_mount_defaults(bool privileged);

/* A read-only bind mount of the host's `path` to the same path. The caller owns it. */
json_t *oci_mount_host_file(const char *path);

/* A mount from the text of a --mount flag, "type=T,src=S,dst=D,options=A:B" with ctr's names
 * (source and destination are spelt out or not) and quoting: a field that contains a comma is put
 * in double quotes, a quote is doubled in there. Beyond ctr, everything that the runtime would
 * stumble over is refused: no destination or a relative one, a field given twice or empty, a bind
 * mount from a relative source (the runtime would look for it in the bundle), a mount without a
 * type that is no bind mount, and type=bind without the option bind or rbind.
 * The caller owns the mount; NULL with INVALID_ARGUMENT. */
json_t *oci_mount_parse(const char *text, status_t *st);

#endif
