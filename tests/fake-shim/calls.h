/* What the manager asked of this shim, written down for the test. */
#ifndef SHIMD_FAKE_CALLS_H
#define SHIMD_FAKE_CALLS_H

#include "tests/fake-shim/spec.h"

/* From here on lines are appended to the file of the setting "record"; without it to none. `spec`
 * may be NULL. */
void calls_open(const spec_t *spec);

/* Appends a line in one write, so that lines of several processes never mix. Thread-safe. */
void calls_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
