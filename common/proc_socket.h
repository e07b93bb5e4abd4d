/* Who listens on which unix socket of this machine. Descriptors of others are seen by root only. */
#ifndef SHIMD_PROC_SOCKET_H
#define SHIMD_PROC_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>

/* Called for each listening socket that has a name: a path, or @ and an abstract name. `link` is
 * how descriptors of it read in /proc/PID/fd. True ends the walk. */
typedef bool proc_listener_t(void *arg, const char *name, const char *link);
void proc_each_listener(proc_listener_t *callback, void *arg);

/* The process that listens on the unix socket `address` (as ttrpc_address_parse takes it), by the
 * descriptors it holds; 0 when there is none. Walks through all processes' descriptors, tens of
 * milliseconds on a busy machine: for when there is no other way to know. */
pid_t proc_find_listener(const char *address);

/* The path of a socket on which the process listens; NULL when there is none. The caller frees. */
char *proc_listens_at(pid_t pid);

#endif
