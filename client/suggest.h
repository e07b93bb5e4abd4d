/* What is said about a word that is no command. */
#ifndef SHIMD_SUGGEST_H
#define SHIMD_SUGGEST_H

#include "client/command.h"

/* "unknown command tasks lst: did you mean tasks list?", or why a command of ctr is not here and
 * what to use instead. `group` is NULL for the first word. The caller frees. */
char *suggest_command(const command_t *group, const char *word);

/* Edits (a character more, less, another one, two swapped) that make `right` of `left`; what is
 * beyond SUGGEST_WORD_MAX characters counts as far apart. */
#define SUGGEST_WORD_MAX     32
#define SUGGEST_DISTANCE_MAX 2 /* of a word that may have been meant */
size_t suggest_distance(const char *left, const char *right);

#endif
