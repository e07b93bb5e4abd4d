/* The supervisor's part of the configuration file (ZPL, czmq's zconfig); shimd.conf(5). */
#ifndef SHIMD_SETTINGS_H
#define SHIMD_SETTINGS_H

#include "broker/supervisor/child.h"
#include "common/cluster.h"

#include <stddef.h>

#define SETTINGS_GROUP_MAX   64 /* bytes, NUL included */
#define SETTINGS_READERS_MAX 2

typedef struct settings {
    log_level_t log_level;
    char socket_group[SETTINGS_GROUP_MAX]; /* name or number; empty for none */
    child_policy_t policy;
    const char *readers[SETTINGS_READERS_MAX]; /* executables that read what else is in the file */
    size_t reader_count;
} settings_t;

void settings_init(settings_t *self);

/* Takes the settings over that stand in `path`. A file that is not there is no failure, unless
 * `must_exist`. INVALID_ARGUMENT names an unknown key, or the key whose value is out of range, with
 * the range. The sections of the workers are theirs to check: settings_check_others. */
status_code_t settings_read(settings_t *self, const char *path, bool must_exist, status_t *st);

#endif
