/* The parts of the command table, a file for each, and what several of them use. */
#ifndef SHIMD_COMMAND_SETS_H
#define SHIMD_COMMAND_SETS_H

#include "client/command.h"

/* Each ended by a row without a path. */
extern const command_t commands_containers[];
extern const command_t commands_tasks[];
extern const command_t commands_events[];
extern const command_t commands_cluster[];

/* Sets of options, each ended by a row without a name. */
extern const option_row_t quiet_options[];
extern const option_row_t io_options[];
extern const option_row_t pid_file_options[];
extern const option_row_t update_options[];

/* Behind the sentence about what a command lists. */
#define FILTER_HELP                                                                                \
    "\nA FILTER is containerd's: FIELD, FIELD==VALUE, FIELD!=VALUE or FIELD~=EXPRESSION, and >,\n" \
    ">=, < or <= with a number or a time; several joined with \",\" must all match. Of several\n"  \
    "FILTERs one must. See FILTERS in shimctl(1).\n\n"

#endif
