/* Options about input and output that run, tasks start and tasks exec share. */
#include "client/launch_words.h"

#include "client/arguments.h"

int launch_words_read(session_t *session, launch_options_t *ret)
{
    const options_t *options = session_options(session);
    const char *fifo_dir = options_text(options, "fifo-dir");
    ret->detach = options_flag(options, "detach");
    ret->null_io = options_flag(options, "null-io");
    ret->log_uri = options_text(options, "log-uri");
    if (ret->null_io && ret->log_uri)
        return session_usage(session, "--null-io and --log-uri cannot be used together");
    if (fifo_dir && (ret->null_io || ret->log_uri))
        return session_usage(session, "--fifo-dir has no use with --null-io or --log-uri");
    if (fifo_dir) {
        char *absolute = arguments_absolute(fifo_dir);
        ret->fifo_dir = absolute;
        if (!msgpack_zone_push_finalizer(session_zone(session), free, absolute))
            abort();
    }
    return 0;
}
