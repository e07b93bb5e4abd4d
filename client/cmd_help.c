/* shimctl help. */
#include "client/commands.h"
#include "client/help.h"

int cmd_help(session_t *session)
{
    size_t count, used;
    char **words = session_operands(session, &count);
    const command_t *command = command_find(words, count, &used);
    if (used < count)
        return session_usage(session, "unknown command %s", words[used]);
    if (command)
        help_print_command(command);
    else
        help_print_all();
    return 0;
}
