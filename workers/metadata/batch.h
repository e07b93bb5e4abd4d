/* Group commit: all operations that arrive while the loop takes what is there are run in one write
 * transaction and committed together, because a commit costs a disk flush and little else. */
#ifndef SHIMD_METADATA_BATCH_H
#define SHIMD_METADATA_BATCH_H

#include "common/io_set.h"
#include "workers/metadata/store.h"

typedef struct batch batch_t;

/* Runs the operation in `txn`. It may be run several times, each time in a fresh transaction: after
 * the map has grown, or by itself after another operation of its batch has failed. So it must leave
 * no trace outside of `txn` but in what it overwrites each time. An operation that refuses (nothing
 * of that name, ...) does so before its first write: the others are committed with whatever it has
 * written. */
typedef void batch_run_t(void *arg, txn_t *txn);

/* The operation is durable (OK), or nothing of it was done. Called once, in the order of batch_add,
 * after the news of the batch were published. May add to the next batch. */
typedef void batch_done_t(void *arg, const status_t *st);

/* Takes the events of a committed batch, which are its to free. */
typedef void batch_publish_t(void *arg, news_t *news);

/* Memory of a batch that the process keeps for the next one: without, what a commit frees goes back
 * to the kernel page by page, and comes from there again. */
#define BATCH_KEEP_BYTES (16 << 20)

/* Served by `io` (NULL: batch_commit is called by hand). All must outlive it. */
batch_t *batch_new(store_t *store, io_set_t *io, batch_publish_t *publish, void *arg);

/* Operations that wait are not run, and not told. */
void batch_destroy(batch_t **self);

/* Puts an operation into the batch that is committed as soon as the loop has taken what is there.
 */
void batch_add(batch_t *self, batch_run_t *run, batch_done_t *done, void *arg);

/* Commits what waits. Blocks for the disk. */
void batch_commit(batch_t *self);

size_t batch_waiting(const batch_t *self);

/* Operations since the start, failed ones too. */
uint64_t batch_count(const batch_t *self);

#endif
