/* The section `metadata` of the configuration file. */
#ifndef SHIMD_METADATA_SETTINGS_H
#define SHIMD_METADATA_SETTINGS_H

#include "workers/metadata/restarts.h"

typedef struct settings {
    int subscriber_idle; /* days after which an unused subscriber is forgotten; 0 for never */
    restart_delays_t restarts;
} settings_t;

/* Defaults, and what `config` (a file that need not exist) says otherwise. INVALID_ARGUMENT names
 * the key. Blocks. */
status_code_t settings_read(settings_t *self, const char *config, status_t *st);

#endif
