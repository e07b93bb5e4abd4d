/* The configuration file (ZPL, czmq's zconfig): every process reads the sections that are its own.
 */
#ifndef SHIMD_CONFIG_H
#define SHIMD_CONFIG_H

#include "common/status.h"

#include <czmq.h>

#define CONFIG_FILE_MAX (1 << 20) /* bytes */

/* A unit: the file has "45s", "30m", "12h" or "7d", and the field gets seconds. */
#define CONFIG_DURATION 0

/* Reads `path` into a tree, which the caller destroys; `ret` is NULL for a file that is empty, or
 * that is not there unless it `must_exist`. INVALID_ARGUMENT when it is no file of at most
 * CONFIG_FILE_MAX bytes, or not readable as ZPL. Blocks. */
status_code_t config_load(const char *path, bool must_exist, zconfig_t **ret, status_t *st);

/* An item of a section: a whole number in a range, or one of a few words. */
typedef struct config_item {
    const char *key;
    size_t offset; /* of an int or unsigned in the struct */
    long least, most;
    int unit;                 /* milliseconds per unit of the file, or 1, or CONFIG_DURATION */
    const char *const *words; /* NULL-terminated: the field gets the index; NULL for a number */
} config_item_t;

/* Takes one item of `section`, or all of them, each of which must be one of `rows`.
 * INVALID_ARGUMENT names the key that is unknown or whose value is out of range, with the range. */
status_code_t config_take_item(zconfig_t *section, zconfig_t *item, const config_item_t *rows,
                               size_t count, void *target, status_t *st);
status_code_t config_take_items(zconfig_t *section, const config_item_t *rows, size_t count,
                                void *target, status_t *st);

/* The same for the section called `name` of a file that need not exist, which need not have it. */
status_code_t config_read_section(const char *path, const char *name, const config_item_t *rows,
                                  size_t count, void *target, status_t *st);

#endif
