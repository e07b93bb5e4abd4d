/* Directories of fifos, which a client makes for the input and output of a process:
 * DIR/HEX/NAME-stdin and so on, below a directory that others may use too. Who ends a process or
 * removes a container removes them; each of these functions blocks for as long as reading a
 * directory takes. */
#ifndef SHIMD_FIFOS_H
#define SHIMD_FIFOS_H

#include "common/status.h"

#include <stdbool.h>

#define FIFOS_STREAMS 3 /* 0 input, 1 output, 2 errors */

/* How a stream's fifo is called behind its process: "stdin". */
const char *fifos_suffix(int stream);

/* A new name below `parent`; nothing is made. The caller frees it. */
char *fifos_dir_name(const char *parent);

/* Whether an absolute path ends as those names do. */
bool fifos_is_dir_name(const char *path);

/* Makes the directory, mode 0700, and what it is in. `owner` is a path with which it loses its use,
 * noted for fifos_sweep; NULL for none. On failure nothing new is left but `parent`. */
status_code_t fifos_make_dir(const char *dir, const char *owner, status_t *st);

/* Whether there is a fifo at that path; NULL is none. */
bool fifos_is_fifo(const char *path);

/* Removes the directory unless it has more in it than the note of its owner. */
void fifos_remove_dir(const char *dir);

/* Removes the fifos in it too. */
void fifos_clear_dir(const char *dir);

/* Removes a process's fifos, and their directory: only paths that are fifos, whose names fit
 * `name`, in a directory of such a name. Other paths, NULL too, are ignored. */
void fifos_remove(const char *name, const char *const paths[FIFOS_STREAMS]);

/* Clears the directories below `parent` whose owner is `gone`, or is not there any more: those of
 * execs whose task was deleted. */
void fifos_sweep(const char *parent, const char *gone);

#endif
