/* The user and groups of a container's process, by the accounts in the container's own root. */
#ifndef SHIMD_OCI_USER_H
#define SHIMD_OCI_USER_H

#include <jansson.h>

#include "common/status.h"

/* Largest user or group number: containerd's limit since CVE-2024-40635. */
#define OCI_USER_ID_MAX 2147483647
/* Supplementary groups that one process may have (the kernel's NGROUPS_MAX). */
#define OCI_USER_GROUPS_MAX 65536

/* The `user` object (uid, gid, additionalGids) for `user`, in the forms of an OCI image's USER:
 * NAME, UID, NAME:GROUP, UID:GID, UID:GROUP, NAME:GID. As in containerd:
 * - names are looked up in etc/passwd and etc/group under the absolute path `root`, where symbolic
 *   links cannot lead out of it; what is all digits is a number, never a name;
 * - a lone UID has the group and the memberships of its passwd entry, or group 0 without one;
 * - memberships are taken when no group is given; additionalGids has the primary group in it.
 * A name that is not there, and an entry whose numbers are none or too large (containerd reads
 * them as 0, which is root), are refused. `root` may be NULL or relative when nothing is looked up.
 * The caller owns the object; NULL with INVALID_ARGUMENT. */
json_t *oci_user_new(const char *root, const char *user, status_t *st);

#endif
