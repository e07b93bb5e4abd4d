/* Finds the last lines of a log from its end. */
#ifndef SHIMD_LOG_TAIL_H
#define SHIMD_LOG_TAIL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Where the last `lines` lines of the log in directory `dir` begin: the number of the file, and the
 * offset in it. The log's first line when there are not so many. Reads no more than these lines and
 * a block before them. False with errno. */
bool log_tail_find(int dir, uint64_t lines, uint64_t *number, off_t *offset);

#endif
