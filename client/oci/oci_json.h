/* Building JSON trees where nothing can fail but memory, and weighing them. */
#ifndef SHIMD_OCI_JSON_H
#define SHIMD_OCI_JSON_H

#include <jansson.h>
#include <stddef.h>

#include "common/status.h"

/* Puts `value` under `key`, or at the array's end, and takes the reference over. Aborts when memory
 * is short, and so does a `value` that is NULL because memory was. */
void oci_json_set(json_t *object, const char *key, json_t *value);
void oci_json_push(json_t *array, json_t *value);

/* Like oci_json_set, but an empty array is dropped: Go's `omitempty`, so that specs look alike. */
void oci_json_set_filled(json_t *object, const char *key, json_t *array);

/* An array of constant texts. The caller owns it. Aborts when memory is short. */
json_t *oci_json_strings(const char *const *texts, size_t count);

/* Returns `value`, or aborts when it is NULL: for json_pack with constant formats. */
json_t *oci_json_must(json_t *value);

/* INVALID_ARGUMENT, naming `what`, when the value's compact encoding has more than `max` bytes. */
status_code_t oci_json_check_size(const char *what, const json_t *value, size_t max, status_t *st);

#endif
