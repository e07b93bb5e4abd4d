/* Where a shim listens, as its `start` says it. */
#include "common/ttrpc_address.h"

#include <stddef.h>
#include <string.h>

#define UNIX_PREFIX "unix://"

status_code_t ttrpc_address_parse(const char *text, struct sockaddr_un *ret, socklen_t *ret_size,
                                  status_t *st)
{
    bool is_path = strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0;
    const char *name = is_path ? text + strlen(UNIX_PREFIX) : text;
    size_t length = strlen(name);
    if (length == 0 || length > TTRPC_ADDRESS_MAX)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "socket address %.128s is %zu bytes long, limit %d", name, length,
                          TTRPC_ADDRESS_MAX);
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    /* A NUL stands before an abstract name, which ends with its size; and behind a path. */
    memcpy(ret->sun_path + (is_path ? 0 : 1), name, length);
    *ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    return STATUS_OK;
}
