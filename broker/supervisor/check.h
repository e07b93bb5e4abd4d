/* Executables that are run with --check: they say on standard error what is wrong, and end. */
#ifndef SHIMD_CHECK_H
#define SHIMD_CHECK_H

#include "broker/supervisor/settings.h"

#include <sys/types.h>

#define CHECK_WORDS_SIZE 512
#define CHECK_MS         10000 /* until one that does not end is killed */

/* Starts `path` with `argv`, with no signal blocked. On OK `*pid` is to be reaped by the caller,
 * and `*words` is the reading end of its standard error, non-blocking and the caller's to close. */
status_code_t check_spawn(pid_t *pid, int *words, const char *path, char *const argv[],
                          status_t *st);

/* The first line of what it has said. */
void check_words(int words, char ret[CHECK_WORDS_SIZE]);

/* Whether the workers in `libexec` can take their sections of the configuration. Those whose
 * sections the file does not have are not asked. INVALID_ARGUMENT with a worker's sentence. Blocks,
 * for CHECK_MS each at most. */
status_code_t check_sections(const settings_t *settings, const char *libexec,
                             const cluster_t *cluster, status_t *st);

#endif
