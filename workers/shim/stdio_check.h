/* Looks at the standard streams of a task or exec before a shim is asked to open them: a fifo that
 * nobody reads blocks the shim for 30 s with its lock held, and a path that does not exist leaves a
 * half-made container behind. */
#ifndef SHIMD_SHIM_STDIO_CHECK_H
#define SHIMD_SHIM_STDIO_CHECK_H

#include "workers/shim/look.h"

#include <stdbool.h>

/* Write ends of the output fifos. A reader sees end of file when a writer has come and gone, so the
 * one that was opened to look must stay open until the shim has its own. */
typedef struct stdio_hold {
    int out, err; /* -1 when there is none */
} stdio_hold_t;

#define STDIO_HOLD_NONE ((stdio_hold_t){-1, -1})

/* Any of the three may be NULL or empty. What can only be told by looking is added to `looks`.
 * INVALID_ARGUMENT names the stream. */
status_code_t stdio_check(const char *in, const char *out, const char *err, bool terminal,
                          looks_t *looks, status_t *st);

/* When all of `looks` are as they should be: the caller's to release once the shim has opened the
 * streams. */
stdio_hold_t stdio_hold(looks_t *looks);
void stdio_release(stdio_hold_t *hold);

#endif
