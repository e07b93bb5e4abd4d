/* Options of commands: declared as rows, parsed with getopt_long, looked up by name. Help and shell
 * completion read the same rows. */
#ifndef SHIMD_OPTIONS_H
#define SHIMD_OPTIONS_H

#include "common/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum option_kind {
    OPTION_FLAG, /* given or not; how often does not matter */
    OPTION_TEXT, /* the last one counts */
    OPTION_LIST, /* may be given OPTIONS_LIST_MAX times */
} option_kind_t;

/* What an option's value or an operand is, for completion. */
typedef enum word_kind {
    WORD_ANY,
    WORD_FILE,
    WORD_DIRECTORY,
    WORD_CONTAINER,
    WORD_TASK,
    WORD_NAMESPACE,
    WORD_SIGNAL,
    WORD_PROCESS, /* of the cluster */
    WORD_METHOD,
    WORD_SUBSCRIBER,
    WORD_HELP, /* a command or a topic of help */
} word_kind_t;

typedef struct option_row {
    const char *name;   /* "pid-file"; NULL ends a list of rows */
    char letter;        /* 'd', or 0 */
    option_kind_t kind; /* a FLAG has no value */
    const char *value;  /* what help calls the value: "FILE" */
    const char *help;   /* half a sentence */
    word_kind_t word;
} option_row_t;

#define OPTIONS_LIST_MAX 1024 /* values of one option */
#define OPTIONS_ROWS_MAX 96   /* options of one command, global ones included */
#define OPTIONS_SETS     6    /* lists of rows that one command may join */

typedef struct options options_t;

options_t *options_new(void);
void options_destroy(options_t **self);

/* Makes rows known to what is parsed afterwards. A set that was added before is passed by. */
void options_add(options_t *self, const option_row_t *rows);

/* Takes options out of `argv` (argv[0] is passed by). Words that are none become operands, until
 * there are `stop_after` of them: everything behind that is an operand, whatever it looks like.
 * "--" ends options likewise; it is taken away once, and only where it ends them. Values add to
 * those of an earlier call. INVALID_ARGUMENT names the option. `argv` must outlive `self`. */
#define OPTIONS_NEVER_STOP SIZE_MAX
status_code_t options_parse(options_t *self, int argc, char **argv, size_t stop_after,
                            status_t *st);

/* The operands of the last parse, NULL-terminated. */
char **options_operands(const options_t *self, size_t *count);

/* Whether the option stood on the command line at all. */
bool options_given(const options_t *self, const char *name);

/* Values by name; asking for a name that was not added is a bug. Texts are NULL when not given,
 * lists NULL-terminated or NULL. */
bool options_flag(const options_t *self, const char *name);
const char *options_text(const options_t *self, const char *name);
char *const *options_list(const options_t *self, const char *name);

/* Whole numbers, and times as Go writes them (1m30s, 500ms) or in plain seconds. `*ret` stays as it
 * is when the option was not given. INVALID_ARGUMENT names option, value and bounds. */
status_code_t options_u64(const options_t *self, const char *name, uint64_t max, uint64_t *ret,
                          status_t *st);
status_code_t options_i64(const options_t *self, const char *name, int64_t min, int64_t max,
                          int64_t *ret, status_t *st);
status_code_t options_double(const options_t *self, const char *name, double *ret, status_t *st);
status_code_t options_milliseconds(const options_t *self, const char *name, int64_t *ret,
                                   status_t *st);

/* The row that a word like "--pid-file", "--pid-file=x" or "-d" names, or NULL. */
const option_row_t *options_find(const options_t *self, const char *word);

/* Rows in the order they were added; NULL behind the last. */
const option_row_t *options_row(const options_t *self, size_t index);

#endif
