/* The OCI config.json of a bundle: what to run, and the annotations that say how to misbehave. */
#ifndef SHIMD_FAKE_SPEC_H
#define SHIMD_FAKE_SPEC_H

#include "common/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct spec spec_t;

/* Reads BUNDLE/config.json. */
spec_t *spec_load(const char *bundle, status_t *st);
void spec_destroy(spec_t **self);

/* NULL when there is none; valid as long as the spec. */
const char *spec_annotation(const spec_t *self, const char *key);

/* What the test wants of `what` ("start", "fail.Create"): the annotation io.shimd.fake.WHAT, else
 * the environment's SHIMD_FAKE_WHAT or FAKE_SHIM_WHAT (upper case, '.' and '-' as '_'), else NULL.
 * `self` may be NULL. */
const char *spec_setting(const spec_t *self, const char *what);
int64_t spec_setting_number(const spec_t *self, const char *what, int64_t otherwise);

/* The group of shims that the container belongs to: runc's annotation, else CRI's; NULL for none.
 */
const char *spec_group(const spec_t *self);

/* A program to run: an OCI process object. */
typedef struct program {
    char **argv; /* at least one; NULL-terminated, as envp */
    char **envp;
    char *cwd;
} program_t;

/* From config.json's process, or from JSON text. INVALID_ARGUMENT when it is no process object. */
status_code_t spec_program(const spec_t *self, program_t *ret, status_t *st);
status_code_t program_parse(const uint8_t *json, size_t size, program_t *ret, status_t *st);
void program_clear(program_t *self);

/* Whether the program can be found, by its own PATH, in the words of runc when it cannot. */
status_code_t program_check(const program_t *self, status_t *st);

#endif
