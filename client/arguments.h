/* Words of the command line that several commands understand: labels, signals, sequence numbers. */
#ifndef SHIMD_ARGUMENTS_H
#define SHIMD_ARGUMENTS_H

#include "common/message.h"

/* KEY=VALUE words as labels; a word without "=" is KEY=`missing`, "true" as in ctr. The texts live
 * in `zone`. INVALID_ARGUMENT for an empty key. */
status_code_t arguments_labels(char *const *words, size_t count, const char *missing,
                               msgpack_zone *zone, msg_labels_t *ret, status_t *st);

/* SIGTERM, TERM, sigterm, 15, RTMIN+3. INVALID_ARGUMENT: "--signal FOO: no such signal". */
status_code_t arguments_signal(const char *text, uint32_t *ret, status_t *st);

/* The name of a signal without SIG, or NULL; for completion. */
const char *arguments_signal_name(uint32_t number);

/* A number of bytes with b, k, m or g (powers of 1024) behind it or not. INVALID_ARGUMENT,
 * beginning with `what`, names the bounds. */
status_code_t arguments_bytes(const char *what, const char *text, uint64_t min, uint64_t max,
                              uint64_t *ret, status_t *st);

/* A moment as docker's --since takes it, in nanoseconds since the epoch: a time as scalar_read_time
 * takes it, or how long before `now` ("10m", "1h30m"). INVALID_ARGUMENT, beginning with `what`. */
status_code_t arguments_moment(const char *what, const char *text, int64_t now, int64_t *ret,
                               status_t *st);

/* A path made absolute by this process's working directory. The caller frees. */
char *arguments_absolute(const char *path);

#endif
