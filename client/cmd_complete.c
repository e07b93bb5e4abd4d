/* shimctl __complete: for the shell, not for people. */
#include "client/commands.h"
#include "client/complete.h"
#include "common/util.h"

/* The words being completed may say which cluster and namespace is meant. `words` begins with a
 * word that is passed by. */
static session_t *session_of_words(session_t *session, options_t *options, char **words,
                                   size_t count)
{
    status_t st;
    options_add(options, command_global_options);
    /* Half-typed words and other commands' options may be wrong; what was read until there counts.
     */
    (void)options_parse(options, (int)count, words, OPTIONS_NEVER_STOP, &st);
    return session_new(session_command(session), options, &st);
}

int cmd_complete(session_t *session)
{
    size_t count;
    char **words = session_operands(session, &count);
    AUTO(options)
    options = options_new();
    AUTO(session)
    named = session_of_words(session, options, words, count ? count - 1 : 0);
    if (named && count)
        complete_print(named, words + 1, count - 1);
    return 0;
}
