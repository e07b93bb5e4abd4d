/* The commands of shimctl: one table, from which dispatch, help and completion follow. */
#ifndef SHIMD_COMMAND_H
#define SHIMD_COMMAND_H

#include "client/options.h"

#define COMMAND_ALIASES 4

struct session;

/* Does the work. Returns the exit status of the program; errors were printed. */
typedef int command_run_t(struct session *session);

typedef struct command {
    const char *path;                          /* "tasks kill", or "tasks" for a group */
    const char *aliases[COMMAND_ALIASES + 1];  /* of its last word, as ctr has them */
    const char *synopsis;                      /* operands: "ID [ID...]" */
    const char *brief;                         /* one line */
    const char *help;                          /* paragraphs with examples, or NULL */
    const option_row_t *options[OPTIONS_SETS]; /* without the global ones; a group's are of all its
                                                * members, and may stand before their names */
    unsigned operands_min, operands_max;       /* how many words it takes */
    unsigned stop_after;                       /* operands behind which all belongs to the
                                                * container's command; 0: options go anywhere */
    word_kind_t operand;                       /* what operands are, for completion */
    command_run_t *run;                        /* NULL for a group */
    bool hidden;
    const char *same_as; /* path of the row this one is another name of; all else is that one's */
} command_t;

#define COMMAND_OPERANDS_ANY UINT32_MAX

/* The rows; groups stand before their members. NULL behind the last. */
const command_t *command_row(size_t index);

/* Options of every command: they are taken before it and after it. */
extern const option_row_t command_global_options[];

/* The row named by these words, a command's own name or an alias at each place; for another name of
 * a command, that command's own row. `used` is how many words it took. NULL when the first word is
 * none; a group when the second is none. */
const command_t *command_find(char *const *words, size_t count, size_t *used);

/* "tasks" of "tasks kill"; and the word that is the command's own. */
size_t command_group_size(const command_t *self); /* 0 when it is in no group */
const char *command_own_name(const command_t *self);
bool command_is_member(const command_t *self, const command_t *group);

/* The row that `self` is another name of, or itself. */
const command_t *command_meant(const command_t *self);

/* How many operands come before the container's own command, for options_parse. */
size_t command_stop_after(const command_t *self);

#endif
