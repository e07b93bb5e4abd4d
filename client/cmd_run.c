/* shimctl run. */
#include "client/commands.h"
#include "client/container_options.h"
#include "client/launch.h"
#include "client/launch_words.h"

int cmd_run(session_t *session)
{
    status_t st;
    container_options_t made;
    const options_t *options = session_options(session);
    launch_options_t wanted = {.container = &made.ask,
                               .remove = options_flag(options, "rm"),
                               .pid_file = options_text(options, "pid-file")};
    int wrong = launch_words_read(session, &wanted);
    if (!wrong)
        wrong = container_options_usage(session);
    if (wrong)
        return wrong;
    if (wanted.null_io && options_flag(options, "tty"))
        return session_usage(session, "--tty and --null-io cannot be used together");
    const char *restart = options_text(options, "restart");
    if (restart && strcmp(restart, "no") && !wanted.detach)
        return session_usage(session, "--restart goes with --detach only");
    if (restart && strcmp(restart, "no") && wanted.remove)
        return session_usage(session, "--rm and --restart cannot be used together");
    if (container_options_read(session, CONTAINER_OPTIONS_RUN, &made, &st))
        return session_fail(&st);
    wanted.id = made.ask.id;
    wanted.terminal = made.terminal;
    if (launch_words_find_logs(session, &wanted, &st))
        return session_fail(&st);
    return launch(session, &wanted);
}
