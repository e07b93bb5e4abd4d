/* What a failpoint's file says, and doing it: with libc alone, so that the log writer has
 * failpoints too. Everybody else hits them by common/failpoint.h. */
#ifndef SHIMD_FAILPOINT_TERM_H
#define SHIMD_FAILPOINT_TERM_H

#include <stdarg.h>
#include <stdbool.h>

#define FAILPOINT_TERMS_MAX 1024 /* bytes of a file of terms */
#define FAILPOINT_NAME_MAX  128  /* bytes; longer names are cut */

typedef struct failpoint_term {
    char name[FAILPOINT_NAME_MAX];
    long count; /* -1: for ever */
    char kind[16];
    char argument[256];
} failpoint_term_t;

/* From now on there are failpoints, whose files are in `directory`; `process` begins their names
 * and is borrowed. None with NULL. */
void failpoint_enable(const char *directory, const char *process);

/* The directory, for a process that this one starts; NULL while there are none. */
const char *failpoint_directory(void);

/* Counts a hit of "PROCESS.NAME", in which spaces become '-'. True when a term is met, which
 * failpoint_act() then does. */
bool failpoint_choose(failpoint_term_t *ret, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

/* Does not return from a panic, which is SIGKILL, nor before a delay is over. The text of an error,
 * or NULL. */
const char *failpoint_act(const failpoint_term_t *term);

#endif
