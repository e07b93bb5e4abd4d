/* Standard input, output and errors of a process in a container. */
#include "client/task_io.h"

#include "client/pump.h"
#include "common/fifos.h"
#include "common/util.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define STREAMS FIFOS_STREAMS
#define URI_MAX 4095

struct task_io {
    zloop_t *loop;
    char *dir;            /* made here; NULL when none was */
    char *paths[STREAMS]; /* NULL for none */
    int fds[STREAMS];     /* our ends, -1 for none */
    int input;            /* our standard input under another number, -1 before the start */
    pump_t *pumps[STREAMS];
    bool keep;
    task_io_event_t *on_stdin, *on_drained;
    void *arg;
};

/* Making ----------------------------------------------------------------------------------------
 */

static task_io_t *make(zloop_t *loop)
{
    task_io_t *self = zmalloc(sizeof *self);
    self->loop = loop;
    self->input = -1;
    for (int i = 0; i < STREAMS; i++)
        self->fds[i] = -1;
    return self;
}

/* Input is opened for reading too: a fifo without a reader cannot be opened for writing only, and
 * the shim comes later. */
static status_code_t open_fifo(task_io_t *self, int stream, status_t *st)
{
    int flags = (stream == 0 ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_CLOEXEC;
    self->fds[stream] = open(self->paths[stream], flags);
    if (self->fds[stream] < 0)
        return status_errno(st, errno, "open %s", self->paths[stream]);
    return STATUS_OK;
}

static status_code_t make_fifos(task_io_t *self, const task_io_options_t *options, status_t *st)
{
    if (fifos_make_dir(options->dir, options->owner, st))
        return st->code;
    self->dir = util_strdup(options->dir);
    for (int i = 0; i < (options->terminal ? 2 : STREAMS); i++) {
        self->paths[i] = util_format("%s/%s-%s", self->dir, options->name, fifos_suffix(i));
        if (mkfifo(self->paths[i], 0600))
            return status_errno(st, errno, "make fifo %s", self->paths[i]);
        if (open_fifo(self, i, st))
            return st->code;
    }
    return STATUS_OK;
}

static status_code_t check_options(const task_io_options_t *options, status_t *st)
{
    if (options->null_io && options->terminal)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "--tty and --null-io cannot be used together");
    if (options->log_uri && options->terminal)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "--tty and --log-uri cannot be used together");
    if (options->log_uri && options->null_io)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "--null-io and --log-uri cannot be used together");
    return STATUS_OK;
}

/* A path alone is a file, as in ctr. */
static char *log_uri(const char *text, status_t *st)
{
    bool known = !strncmp(text, "file:///", 8) || !strncmp(text, "binary:///", 10);
    if ((!known && *text != '/') || strlen(text) > URI_MAX - 7) {
        status_set(st, STATUS_INVALID_ARGUMENT,
                   "--log-uri %s: not a file:///PATH or binary:///PATH", text);
        return NULL;
    }
    return known ? util_strdup(text) : util_format("file://%s", text);
}

task_io_t *task_io_new(zloop_t *loop, const task_io_options_t *options, status_t *st)
{
    if (check_options(options, st))
        return NULL;
    task_io_t *self = make(loop);
    if (options->log_writer) {
        self->paths[1] = util_strdup(options->log_writer);
        self->paths[2] = util_strdup(options->terminal ? NULL : options->log_writer);
        return self;
    }
    if (options->log_uri) {
        self->paths[1] = log_uri(options->log_uri, st);
        self->paths[2] = util_strdup(self->paths[1]);
        if (!self->paths[1])
            task_io_destroy(&self);
        return self;
    }
    if (!options->null_io && make_fifos(self, options, st))
        task_io_destroy(&self);
    return self;
}

task_io_t *task_io_open(zloop_t *loop, const char *stdin_path, const char *stdout_path,
                        const char *stderr_path, status_t *st)
{
    task_io_t *self = make(loop);
    const char *paths[STREAMS] = {stdin_path, stdout_path, stderr_path};
    self->keep = true;
    for (int i = 0; i < STREAMS; i++) {
        if (!fifos_is_fifo(paths[i]))
            continue;
        self->paths[i] = util_strdup(paths[i]);
        if (open_fifo(self, i, st)) {
            task_io_destroy(&self);
            return NULL;
        }
    }
    return self;
}

void task_io_destroy(task_io_t **self_p)
{
    task_io_t *self = *self_p;
    if (!self)
        return;
    for (int i = 0; i < STREAMS; i++) {
        pump_destroy(&self->pumps[i]);
        util_close(&self->fds[i]);
        if (self->dir && self->paths[i] && !self->keep)
            (void)unlink(self->paths[i]); /* a leftover is a fifo nobody reads: no harm */
        free(self->paths[i]);
    }
    if (self->dir && !self->keep)
        fifos_remove_dir(self->dir);
    util_close(&self->input);
    free(self->dir);
    free(self);
    *self_p = NULL;
}

const char *task_io_stdin(const task_io_t *self)
{
    return self->paths[0];
}

const char *task_io_stdout(const task_io_t *self)
{
    return self->paths[1];
}

const char *task_io_stderr(const task_io_t *self)
{
    return self->paths[2];
}

void task_io_keep(task_io_t *self)
{
    self->keep = true;
}

/* Copying ---------------------------------------------------------------------------------------
 */

static void on_stdin_end(void *arg)
{
    task_io_t *self = arg;
    if (!pump_has_ended(self->pumps[0])) /* the process has closed its input: read on to the end */
        return;
    pump_destroy(&self->pumps[0]);
    util_close(&self->fds[0]);
    util_close(&self->input);
    self->on_stdin(self->arg);
}

static void on_output_end(void *arg)
{
    task_io_t *self = arg;
    if (task_io_is_drained(self) || task_io_error(self))
        self->on_drained(self->arg);
}

void task_io_start(task_io_t *self, task_io_event_t *on_stdin, task_io_event_t *on_drained,
                   void *arg)
{
    self->on_stdin = on_stdin;
    self->on_drained = on_drained;
    self->arg = arg;
    for (int i = 1; i < STREAMS; i++)
        if (self->fds[i] >= 0)
            self->pumps[i] = pump_new(self->loop, self->fds[i], i, on_output_end, self);
}

void task_io_take_input(task_io_t *self)
{
    if (self->fds[0] < 0 || self->input >= 0)
        return;
    /* A zloop that forgets descriptor 0 forgets every ZeroMQ socket with it (czmq 4.2.1): their
     * pollers have that number in the field it compares. */
    self->input = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (self->input >= 0)
        self->pumps[0] = pump_new(self->loop, self->input, self->fds[0], on_stdin_end, self);
}

bool task_io_is_drained(const task_io_t *self)
{
    for (int i = 1; i < STREAMS; i++)
        if (self->pumps[i] && !pump_has_ended(self->pumps[i]))
            return false;
    return true;
}

int task_io_error(const task_io_t *self)
{
    int error = 0;
    for (int i = 1; i < STREAMS && !error; i++)
        error = self->pumps[i] ? pump_error(self->pumps[i]) : 0;
    return error;
}

int64_t task_io_idle_ms(const task_io_t *self)
{
    int64_t last = 0;
    for (int i = 1; i < STREAMS; i++) {
        if (!self->pumps[i])
            continue;
        if (pump_is_holding(self->pumps[i]))
            return 0;
        int64_t moved = pump_moved_at(self->pumps[i]);
        last = moved > last ? moved : last;
    }
    return (util_monotonic_us() - last) / 1000;
}
