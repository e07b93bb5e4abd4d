/* The store as it is at one moment. */
#include "workers/metadata/snapshot.h"

#include "common/util.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

bool snapshot_is_in_use(const char *directory)
{
    /* LMDB holds a lock on this file for as long as the environment is open. */
    AUTO_FREE char *path = util_format("%s/lock.mdb", directory);
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    return fd >= 0 && !fcntl(fd, F_GETLK, &lock) && lock.l_type != F_UNLCK;
}

/* The page that the transaction read from, which its writer leaves alone until the next but one. */
static bool find_root(snapshot_t *self)
{
    mdb_file_read_metas(&self->file);
    for (size_t i = 0; i < MDB_FILE_METAS; i++)
        if (self->file.metas[i].is_good && self->file.metas[i].txn == mdb_txn_id(self->txn)) {
            self->root = survey_root_of(&self->file.metas[i]);
            return true;
        }
    return false;
}

static void unpin(snapshot_t *self)
{
    if (self->txn)
        mdb_txn_abort(self->txn);
    if (self->env)
        mdb_env_close(self->env);
    self->txn = NULL;
    self->env = NULL;
}

/* 0, or LMDB's code. */
static int pin(snapshot_t *self, const char *directory)
{
    int error = mdb_env_create(&self->env);
    if (error)
        self->env = NULL;
    else
        error = mdb_env_open(self->env, directory, MDB_RDONLY | MDB_NOTLS, 0600);
    for (int i = 0; !error && i < 100; i++) {
        error = mdb_txn_begin(self->env, NULL, MDB_RDONLY, &self->txn);
        if (!error && find_root(self))
            return 0;
        if (!error)
            mdb_txn_abort(self->txn);
        self->txn = NULL;
    }
    return error ? error : MDB_INVALID;
}

/* What LMDB says when the meta pages are not right. */
static bool is_damage(int error)
{
    return error == MDB_INVALID || error == MDB_CORRUPTED || error == MDB_VERSION_MISMATCH;
}

status_code_t snapshot_open(snapshot_t *self, const char *directory, status_t *st)
{
    AUTO_FREE char *path = util_format("%s/%s", directory, SALVAGE_DATA);
    *self = (snapshot_t){.file = mdb_file_open(path)};
    if (self->file.fd < 0)
        return status_errno(st, errno, "open %s", path);
    if (snapshot_is_in_use(directory)) {
        int error = pin(self, directory);
        if (!error)
            return STATUS_OK;
        unpin(self);
        /* What is written to meanwhile would be no state of one moment. */
        if (!is_damage(error))
            return status_set(st, STATUS_UNAVAILABLE, "%s is in use, and cannot be read beside: %s",
                              path, mdb_strerror(error));
    }
    if (!salvage_root(&self->file, &self->root, self->why))
        return status_set(st, STATUS_DATA_LOSS, "%s: nothing of it can be read", path);
    return STATUS_OK;
}

void snapshot_close(snapshot_t *self)
{
    unpin(self);
    mdb_file_close(&self->file);
}
