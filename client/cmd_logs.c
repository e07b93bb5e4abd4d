/* shimctl logs. */
#include "client/arguments.h"
#include "client/commands.h"
#include "client/log_follow.h"
#include "client/log_reader.h"
#include "client/log_uri.h"
#include "client/message_json.h"
#include "client/output.h"
#include "common/utf8.h"
#include "common/util.h"

#include <errno.h>
#include <inttypes.h>

typedef struct logs {
    session_t *session;
    log_reader_t *reader;
    int64_t since, until; /* nanoseconds since the epoch, both included */
    bool timestamps;
    bool is_inside[LOG_SHIMD + 1]; /* the stream's last record was a part: its line goes on */
    status_t st;
} logs_t;

/* Printing --------------------------------------------------------------------------------------
 */

/* Output that is no UTF-8 cannot be text in JSON. */
static void print_json(const log_line_t *line)
{
    char time[LOG_LINE_TIME_SIZE];
    log_line_time(line->time, time);
    bool is_text = utf8_is_valid(line->text, line->size);
    json_t *log = is_text ? json_stringn(line->text, line->size)
                          : message_json_base64(line->text, line->size);
    output_json(json_pack("{s:s, s:s, s:b, s:o}", "time", time, "stream", log_tag_name(line->tag),
                          "partial", (int)line->partial, is_text ? "log" : "log_base64", log));
}

/* Each stream where it came from, the writer's own words with the errors. */
static void print_text(logs_t *self, const log_line_t *line)
{
    char time[LOG_LINE_TIME_SIZE];
    FILE *to = line->tag == LOG_STDOUT ? stdout : stderr;
    if (to == stderr)
        fflush(stdout); /* on a terminal they stand in the order in which they were written */
    if (self->timestamps && !self->is_inside[line->tag]) {
        log_line_time(line->time, time);
        fprintf(to, "%s ", time);
    }
    if (line->tag == LOG_SHIMD)
        fputs("shimctl: logs: ", to);
    fwrite(line->text, 1, line->size, to);
    if (!line->partial)
        fputc('\n', to);
    self->is_inside[line->tag] = line->partial;
}

static void print(logs_t *self, const log_line_t *line)
{
    if (session_json(self->session))
        print_json(line);
    else
        print_text(self, line);
    if (ferror(stdout) || ferror(stderr)) /* nobody is there to print for */
        exit(0);
}

static void say_missed(logs_t *self)
{
    uint64_t missed = log_reader_take_missed(self->reader);
    if (missed)
        fprintf(stderr,
                "shimctl: logs: %" PRIu64 " files were rotated away before they were read\n",
                missed);
}

/* As log_follow_read_t. */
static bool print_all(void *arg)
{
    logs_t *self = arg;
    log_line_t line;
    bool wants_more = true;
    while (wants_more && log_reader_next(self->reader, &line, &self->st)) {
        say_missed(self);
        wants_more = line.time <= self->until;
        if (wants_more && line.time >= self->since)
            print(self, &line);
    }
    fflush(stdout);
    if (ferror(stdout))
        exit(0);
    return wants_more && !self->st.code;
}

/* Which log -------------------------------------------------------------------------------------
 */

static status_code_t find_dir(session_t *session, const char *id, const char *exec_id, char **ret,
                              status_t *st)
{
    msg_container_t container;
    msg_cluster_t cluster;
    const msg_container_get_t ask = {.id = id};
    if (session_call(session, MSG_container_get, &ask, &container, st))
        return session_explain(st, "logs of", id);
    if (session_call(session, MSG_cluster_status, &(msg_cluster_status_t){0}, &cluster, st))
        return status_wrap(st, "find the log of %s", id);
    const log_uri_subject_t subject = {.cluster = &cluster,
                                       .ns = session_ns(session),
                                       .id = id,
                                       .exec_id = exec_id,
                                       .created_at = container.created_at};
    *ret = log_uri_dir(&subject, st);
    return *ret ? STATUS_OK : st->code;
}

/* A log that is not there may be about to be made; or this process never had one. */
static status_code_t check_expected(session_t *session, const char *id, const char *exec_id,
                                    status_t *st)
{
    msg_process_t process;
    const msg_task_get_t ask = {.id = id, .exec_id = exec_id};
    if (!session_call(session, MSG_task_get, &ask, &process, st) && log_uri_is_ours(process.stdout))
        return STATUS_OK;
    if (st->code && st->code != STATUS_NOT_FOUND)
        return session_explain(st, "logs of", id);
    return status_set(
        st, STATUS_NOT_FOUND,
        "%s has no log: only what run, tasks start or tasks exec start with --detach, "
        "and without words about their output, do",
        exec_id ? exec_id : id);
}

static status_code_t open_log(logs_t *self, const char *id, const char *exec_id, status_t *st)
{
    char *dir = NULL;
    if (find_dir(self->session, id, exec_id, &dir, st))
        return st->code;
    self->reader = log_reader_new(dir, st);
    free(dir);
    if (!self->reader)
        return st->code;
    if (log_reader_dir(self->reader) < 0)
        return check_expected(self->session, id, exec_id, st);
    return STATUS_OK;
}

/* A process that has just ended may have written what is not in the log yet, and less than that is
 * not its output. */
static bool may_have_just_ended(const logs_t *self, const msg_task_wait_t *ask)
{
    status_t st;
    msg_process_t process;
    const msg_task_get_t get = {.id = ask->id, .exec_id = ask->exec_id};
    return log_reader_is_written(self->reader) &&
           !session_call(self->session, MSG_task_get, &get, &process, &st) &&
           !strcmp(process.status, "STOPPED");
}

/* Options ---------------------------------------------------------------------------------------
 */

static status_code_t read_moment(const options_t *options, const char *name, const char *what,
                                 int64_t *ret, status_t *st)
{
    const char *text = options_text(options, name);
    return text ? arguments_moment(what, text, util_now_ns(), ret, st) : STATUS_OK;
}

static status_code_t read_options(logs_t *self, uint64_t *tail, status_t *st)
{
    const options_t *options = session_options(self->session);
    const char *text = options_text(options, "tail");
    self->timestamps = options_flag(options, "timestamps");
    self->since = INT64_MIN;
    self->until = INT64_MAX;
    *tail = UINT64_MAX;
    if (read_moment(options, "since", "--since", &self->since, st) ||
        read_moment(options, "until", "--until", &self->until, st))
        return st->code;
    /* docker takes any negative number for "all" */
    if (!text || !strcmp(text, "all") || *text == '-')
        return STATUS_OK;
    return options_u64(options, "tail", UINT64_MAX - 1, tail, st);
}

int cmd_logs(session_t *session)
{
    status_t st = {.code = STATUS_OK};
    uint64_t tail;
    const options_t *options = session_options(session);
    logs_t self = {.session = session};
    const msg_task_wait_t ask = {.id = session_operand(session, 0),
                                 .exec_id = options_text(options, "exec-id")};
    if (read_options(&self, &tail, &st))
        return session_fail(&st);
    open_log(&self, ask.id, ask.exec_id, &st);
    if (!st.code && tail != UINT64_MAX)
        log_reader_tail(self.reader, tail, &st);
    if (!st.code && (options_flag(options, "follow") || may_have_just_ended(&self, &ask)))
        log_follow(session, self.reader, &ask, print_all, &self, &st);
    else if (!st.code)
        print_all(&self);
    log_reader_destroy(&self.reader);
    if (!st.code)
        st = self.st;
    return st.code ? session_fail(&st) : 0;
}
