/* Where a shim listens, as its `start` says it. */
#ifndef SHIMD_TTRPC_ADDRESS_H
#define SHIMD_TTRPC_ADDRESS_H

#include "common/status.h"

#include <sys/socket.h>
#include <sys/un.h>

#define TTRPC_ADDRESS_MAX 106 /* bytes of a socket's path or abstract name, as containerd's */

/* "unix://PATH" is a path; without that prefix the text is the name of an abstract socket.
 * INVALID_ARGUMENT when path or name is empty or longer than TTRPC_ADDRESS_MAX. */
status_code_t ttrpc_address_parse(const char *text, struct sockaddr_un *ret, socklen_t *ret_size,
                                  status_t *st);

#endif
