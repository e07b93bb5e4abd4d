/* The files of a log, written: whole lines only, at most so many files of at most so many bytes.
 *
 * A disk that is full, read-only or broken is lived through: lines that cannot be written are
 * dropped and counted, what a failed write left of a line is taken back, writing is tried again,
 * and when it works a line tagged `shimd` says how much is missing. */
#ifndef SHIMD_LOG_STORE_H
#define SHIMD_LOG_STORE_H

#include "logger/log_line.h"

typedef struct log_store log_store_t;

#define LOG_STORE_BUFFER   65536 /* bytes collected for one write */
#define LOG_STORE_RETRY_MS 100   /* after a failure lines are dropped unseen for so long */

typedef struct log_store_limits {
    uint64_t max_size;  /* bytes of one file, at least LOG_STORE_SIZE_MIN */
    uint64_t max_files; /* at least 1; the oldest goes when another one is begun */
} log_store_limits_t;

#define LOG_STORE_SIZE_MIN      65536
#define LOG_STORE_SIZE_DEFAULT  (10 << 20)
#define LOG_STORE_FILES_DEFAULT 2
#define LOG_STORE_FILES_MAX     1000

/* For the log in `dir`, which must outlive the store. NULL when memory is short. */
log_store_t *log_store_new(const char *dir, const log_store_limits_t *limits);
void log_store_destroy(log_store_t **self);

/* Makes the directory with what is missing above it, takes a shared flock(2) on it by which readers
 * see that there may be more to come, and opens the newest file there. Not calling it, or its
 * failing, only means that the first flush does it. */
void log_store_open(log_store_t *self);

/* Lets go of lock and files, after a flush; what comes next opens them again. */
void log_store_close(log_store_t *self);

/* Adds a line of at most LOG_LINE_TEXT_MAX bytes; written out with the next flush, or before. */
void log_store_add(log_store_t *self, const log_line_t *line);

/* Writes what was added. `now` is the wall clock, nanoseconds since the epoch. */
void log_store_flush(log_store_t *self, int64_t now);

/* Writes what was added, and what is owed, without waiting for the time of the next try: there will
 * be none. */
void log_store_flush_last(log_store_t *self, int64_t now);

/* The writer before this one was killed: a line will say that some output may be missing. Losses
 * that are counted here are forgotten: it knew more. */
void log_store_note_death(log_store_t *self);

/* Whether something is lost or to be noted that the log does not say yet. log_store_flush tries. */
bool log_store_owes(const log_store_t *self);

#endif
