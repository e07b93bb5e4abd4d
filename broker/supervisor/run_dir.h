/* The cluster's directories, and the lock that makes it the only one in them. */
#ifndef SHIMD_RUN_DIR_H
#define SHIMD_RUN_DIR_H

#include "common/cluster.h"

/* Makes RUN, RUN/task, ROOT, ROOT/task (0711) and ROOT/metadata (0700), and RUN's and ROOT's
 * missing parents (0755). What is there already must be a directory that belongs to us and that
 * nobody else may write to: PERMISSION_DENIED otherwise. Modes of what is there are left alone. */
status_code_t run_dir_make(const cluster_t *cluster, status_t *st);

/* How long the last processes of a killed predecessor may take to end. */
#define RUN_DIR_LOCK_WAIT_MS 5000

/* Takes RUN/shimd.lock, with two kinds of lock. A record lock (fcntl) is the supervisor's alone:
 * the kernel drops it with the process, and names the holder to whoever comes second. A whole-file
 * lock (flock) belongs to the open file, which the supervisor's children inherit: it says that some
 * process of a cluster still lives. A second supervisor is refused at once, FAILED_PRECONDITION
 * naming the first one's pid; a successor waits for the remains up to RUN_DIR_LOCK_WAIT_MS
 * (blocks). Returns in `ret_fd` a close-on-exec descriptor to keep open. The file then holds our
 * pid. */
status_code_t run_dir_lock(const cluster_t *cluster, int *ret_fd, status_t *st);

/* Empties the lock file and closes it. The file stays: to unlink a lock is a race. */
void run_dir_unlock(int *fd);

#endif
