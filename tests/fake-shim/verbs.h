/* What a manager runs the shim's executable for. */
#ifndef SHIMD_FAKE_VERBS_H
#define SHIMD_FAKE_VERBS_H

#include "tests/fake-shim/options.h"

/* All return the exit status of the process and are called in the bundle. */
int verb_start(const options_t *options);
int verb_delete(const options_t *options);

/* Prints an encoded RuntimeInfo. Not of generation 1. */
int verb_info(const options_t *options);

#endif
