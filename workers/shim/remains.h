/* What is left of a container whose shim did not live to delete it: the runtime (runc and its like)
 * that it had called, which goes on without it, the cgroup that this one had made, and what runc
 * knows of it. */
#ifndef SHIMD_SHIM_REMAINS_H
#define SHIMD_SHIM_REMAINS_H

#include <stdbool.h>
#include <stddef.h>

/* Kills every process that was called as `RUNTIME ... create ... --bundle BUNDLE ...`, as shims
 * call runc, crun and their like (go-runc). Returns how many there were. Walks through all
 * processes. */
size_t remains_kill_runtime(const char *bundle);

/* Removes the cgroup that is named in the bundle's config.json, where no process is in it. True
 * when nothing of it is left, or it cannot be known; what systemd manages is left to it. */
bool remains_remove_cgroup(const char *bundle);

/* Whether runc has something of that id: then it makes no other. */
bool remains_are_in_runc(const char *runc_root, const char *ns, const char *id);

#endif
