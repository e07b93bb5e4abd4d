/* Options about input and output that run, tasks start and tasks exec share. */
#include "client/launch_words.h"

#include "client/arguments.h"

static bool has_log(const launch_options_t *options, const char *fifo_dir)
{
    return options->detach && !options->null_io && !options->log_uri && !fifo_dir;
}

status_code_t launch_words_find_logs(session_t *session, launch_options_t *ret, status_t *st)
{
    msg_cluster_t cluster;
    if (!has_log(ret, ret->fifo_dir))
        return STATUS_OK;
    if (session_call(session, MSG_cluster_status, &(msg_cluster_status_t){0}, &cluster, st))
        return status_wrap(st, "find the place for logs");
    msg_cluster_t *kept = msgpack_zone_malloc(session_zone(session), sizeof *kept);
    if (!kept)
        abort();
    *kept = cluster;
    ret->logs = kept;
    return STATUS_OK;
}

int launch_words_read(session_t *session, launch_options_t *ret)
{
    status_t st;
    const options_t *options = session_options(session);
    const char *fifo_dir = options_text(options, "fifo-dir");
    ret->detach = options_flag(options, "detach");
    ret->null_io = options_flag(options, "null-io");
    ret->log_uri = options_text(options, "log-uri");
    if (ret->null_io && ret->log_uri)
        return session_usage(session, "--null-io and --log-uri cannot be used together");
    if (fifo_dir && (ret->null_io || ret->log_uri))
        return session_usage(session, "--fifo-dir has no use with --null-io or --log-uri");
    if (options_list(options, "log-opt") && !has_log(ret, fifo_dir))
        return session_usage(session, "--log-opt is about the log of a detached process");
    if (log_uri_limits(options_list(options, "log-opt"), &ret->log_limits, &st))
        return session_fail(&st);
    if (fifo_dir) {
        char *absolute = arguments_absolute(fifo_dir);
        ret->fifo_dir = absolute;
        if (!msgpack_zone_push_finalizer(session_zone(session), free, absolute))
            abort();
    }
    return 0;
}
