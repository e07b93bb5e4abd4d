/* Where the log of a container is, and how its files are named.
 *
 *   ROOT/log/NS/ID/CREATED/0000000001            the container's own process
 *   ROOT/log/NS/ID/CREATED/exec/EXEC/0000000001  an exec
 *
 * CREATED is when the container record was made (nanoseconds since the epoch), so that a container
 * never shows the log of an earlier one of the same name. Files are numbered upwards and are never
 * renamed: a reader that is at the end of one knows which comes next, and sees when some are
 * missing. Only the newest is written to; once the next one is there, a file does not change. */
#ifndef SHIMD_LOG_DIR_H
#define SHIMD_LOG_DIR_H

#include <stdbool.h>
#include <stdint.h>

#define LOG_DIR_ROOT "log"
#define LOG_DIR_EXEC "exec"

/* ROOT/log/NS/ID/CREATED, or the directory of an exec below it. `exec_id` may be NULL. The caller
 * frees; NULL when memory is short. */
char *log_dir_path(const char *root_dir, const char *ns, const char *id, int64_t created_at,
                   const char *exec_id);

/* "0000000001" of 1. */
#define LOG_DIR_NAME_SIZE 11
#define LOG_DIR_LAST      9999999999 /* the highest number a name can hold */
void log_dir_name(uint64_t number, char name[LOG_DIR_NAME_SIZE]);

/* The number of a log file; 0 when the name is that of something else. */
uint64_t log_dir_number(const char *name);

/* The lowest number of a log file in `fd` that is at least `from`, and the highest of all; both 0
 * when there is none. False with errno when the directory cannot be read. */
bool log_dir_range(int fd, uint64_t from, uint64_t *lowest, uint64_t *highest);

#endif
