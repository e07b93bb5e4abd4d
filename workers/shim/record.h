/* What the shim worker writes into a bundle so that its successor can find the shim: the intent,
 * before the shim is started, and where it answers, after. The bundle is the record; there is no
 * other. */
#ifndef SHIMD_SHIM_RECORD_H
#define SHIMD_SHIM_RECORD_H

#include "common/message.h"
#include "common/status.h"
#include "workers/shim/settings.h"

#include <limits.h>

#include <jansson.h>

#define RECORD_FILE_MAX (16u << 10) /* bytes of one of these files */

/* In a shim's environment: the id of the request that started it, in hexadecimal. */
#define RECORD_REQUEST_VARIABLE "SHIMD_REQUEST"

/* intent.json: which request starts which executable, and where its shim will listen. */
typedef struct intent {
    msg_uuid_t request;
    char runtime[PATH_MAX];
    char path[PATH_MAX]; /* the executable */
    char address[256];   /* unix:// and the socket path a Go shim computes */
    shim_loss_t on_shim_loss;
    char group[80]; /* id of the group's first container, or the container's own */
} intent_t;

/* bootstrap.json and shim-binary-path, as containerd 2 writes them; the shim's process is ours. */
typedef struct endpoint {
    int version; /* of the Task service */
    char address[256];
    uint32_t shim_pid;   /* 0 when not known */
    uint64_t shim_start; /* its proc_start_time: with it the pid names one process for good */
} endpoint_t;

/* Each file is written to a hidden name and renamed, so that it is there whole or not at all.
 * Without fsync: it outlives processes, and after a reboot there is no shim left to find. */
status_code_t record_write_intent(const char *bundle, const intent_t *intent, status_t *st);
status_code_t record_write_endpoint(const char *bundle, const intent_t *intent,
                                    const endpoint_t *endpoint, status_t *st);

/* NOT_FOUND when there is no such file, DATA_LOSS when it is damaged. An `address` file, as shims
 * up to 1.7 leave it, stands in for a missing bootstrap.json. */
status_code_t record_read_intent(const char *bundle, intent_t *ret, status_t *st);
status_code_t record_read_endpoint(const char *bundle, endpoint_t *ret, status_t *st);

/* The executable that a lost intent named: record_write_endpoint writes it as well. */
status_code_t record_read_path(const char *bundle, char path[PATH_MAX], status_t *st);

/* When the intent was recorded, ns since the epoch; 0 when there is none. */
int64_t record_intent_time(const char *bundle);

/* Any such file of a bundle: `object` is released, on failure too; what was read is the caller's to
 * release. */
status_code_t record_write_json(const char *bundle, const char *name, json_t *object, status_t *st);
status_code_t record_read_json(const char *bundle, const char *name, json_t **ret, status_t *st);

/* Does nothing when there is no such file. */
void record_remove(const char *bundle, const char *name);

/* The request id under "request"; false when there is none. */
bool record_parse_request(const json_t *object, msg_uuid_t *ret);

/* That under another key. */
bool record_parse_id(const json_t *object, const char *key, msg_uuid_t *ret);

/* The socket a Go shim listens on: /run/containerd/s/ and the SHA-256 of address/namespace/group
 * (containerd pkg/shim SocketAddress). */
void record_socket_address(const char *address, const char *ns, const char *group, char *ret,
                           size_t size);

#endif
