/* What --help prints, made from the table of commands. */
#ifndef SHIMD_HELP_H
#define SHIMD_HELP_H

#include "client/command.h"

#include <jansson.h>

/* The program with all its commands; one group or one command. To standard output. */
void help_print_all(void);
void help_print_command(const command_t *command);

/* The same for programs. The caller owns them. */
json_t *help_all_json(void);
json_t *help_command_json(const command_t *command);

#endif
