/* What a shim passes on to its logger: the words of `binary:///PATH?KEY=VALUE&...`, key and value
 * by turns, in any order. */
#ifndef SHIMD_LOG_SETTINGS_H
#define SHIMD_LOG_SETTINGS_H

#include "logger/log_store.h"

#define LOG_SETTING_DIR       "dir"      /* the log's directory; absolute */
#define LOG_SETTING_MAX_SIZE  "max-size" /* bytes of one file */
#define LOG_SETTING_MAX_FILES "max-file" /* how many files */
#define LOG_SETTING_TERMINAL  "terminal" /* 1: errors come with the output */
/* Directory of failpoints, which are off without it: a shim starts its logger without an
 * environment, and a logger reads no configuration. */
#define LOG_SETTING_FAILPOINTS "failpoints"

typedef struct log_settings {
    const char *dir; /* NULL when none was given */
    log_store_limits_t limits;
    bool terminal;
    const char *failpoints; /* NULL when they are off */
} log_settings_t;

/* Reads argv. Whoever made the URI checked it; here a number that is none or out of bounds is the
 * nearest that makes sense, and unknown keys are passed by: output that is in the pipe has nobody
 * else to read it. */
void log_settings_read(int argc, char **argv, log_settings_t *ret);

#endif
