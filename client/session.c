/* One run of shimctl: what the command line said, and the connection to the cluster. */
#include "client/session.h"

#include "client/exit_status.h"
#include "client/output.h"
#include "client/progress.h"
#include "common/fifos.h"
#include "common/util.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#define NAMESPACE_DEFAULT "default"

struct session {
    const command_t *command;
    const options_t *options;
    cluster_t cluster;
    const char *ns;
    int64_t timeout_ms;
    zloop_t *loop;
    io_set_t *io; /* nested in it */
    link_t *link; /* NULL until it is wanted */
    msgpack_zone *zone;
};

static const char *namespace_of(const options_t *options)
{
    const char *ns = options_text(options, "namespace");
    if (!ns)
        ns = getenv("SHIMD_NAMESPACE");
    return ns && *ns ? ns : NAMESPACE_DEFAULT;
}

static status_code_t read_globals(session_t *self, status_t *st)
{
    const char *run_dir = options_text(self->options, "run-dir");
    if (cluster_init(&self->cluster, st) && !run_dir)
        return st->code;
    if (run_dir && cluster_set_run_dir(&self->cluster, run_dir, st))
        return status_wrap(st, "--run-dir");
    if (options_milliseconds(self->options, "timeout", &self->timeout_ms, st))
        return st->code;
    self->ns = namespace_of(self->options);
    if (!msg_is_identifier(self->ns, strlen(self->ns)))
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "namespace %s: not an identifier: 1-76 letters and digits with single "
                          ". _ - between them",
                          self->ns);
    return STATUS_OK;
}

session_t *session_new(const command_t *command, const options_t *options, status_t *st)
{
    session_t *self = zmalloc(sizeof *self);
    self->command = command;
    self->options = options;
    self->zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    self->loop = zloop_new();
    if (!self->zone || !self->loop)
        abort();
    self->io = io_set_new(self->loop);
    if (read_globals(self, st))
        session_destroy(&self);
    return self;
}

void session_destroy(session_t **self_p)
{
    session_t *self = *self_p;
    if (!self)
        return;
    link_destroy(&self->link);
    io_set_destroy(&self->io);
    zloop_destroy(&self->loop);
    msgpack_zone_free(self->zone);
    free(self);
    *self_p = NULL;
}

const command_t *session_command(const session_t *self)
{
    return self->command;
}

const options_t *session_options(const session_t *self)
{
    return self->options;
}

const cluster_t *session_cluster(const session_t *self)
{
    return &self->cluster;
}

const char *session_ns(const session_t *self)
{
    return self->ns;
}

bool session_json(const session_t *self)
{
    return options_flag(self->options, "json");
}

void session_print_name(const session_t *self, const char *name)
{
    if (session_json(self))
        output_json(json_pack("{s:s}", "name", name));
    else
        puts(name);
}

int64_t session_timeout_ms(const session_t *self)
{
    return self->timeout_ms;
}

zloop_t *session_loop(session_t *self)
{
    return self->loop;
}

char **session_operands(const session_t *self, size_t *count)
{
    return options_operands(self->options, count);
}

const char *session_operand(const session_t *self, size_t index)
{
    size_t count;
    char **operands = options_operands(self->options, &count);
    return index < count ? operands[index] : NULL;
}

msg_texts_t session_filters(const session_t *self)
{
    msg_texts_t filters;
    filters.items = (const char **)options_operands(self->options, &filters.count);
    return filters;
}

msgpack_zone *session_zone(session_t *self)
{
    return self->zone;
}

/* ZeroMQ connects in the background for ever, so whether anybody listens is asked of the kernel. */
static status_code_t probe(const session_t *self, const char *path, status_t *st)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return status_errno(st, errno, "make a socket");
    if (!connect(fd, (struct sockaddr *)&address, sizeof address) || errno == EAGAIN)
        return STATUS_OK;
    if (errno == EACCES || errno == EPERM)
        return status_set(st, STATUS_PERMISSION_DENIED, "connect to %s: %s", path, strerror(errno));
    return status_set(st, STATUS_UNAVAILABLE, "no shimd cluster at %s: start one with shimd",
                      self->cluster.run_dir);
}

link_t *session_link(session_t *self, status_t *st)
{
    if (self->link)
        return self->link;
    AUTO_FREE char *path = cluster_socket_path(&self->cluster, CLUSTER_CLIENT);
    AUTO_FREE char *endpoint = cluster_endpoint(&self->cluster, CLUSTER_CLIENT);
    if (probe(self, path, st))
        return NULL;
    self->link = link_new(self->io, endpoint, st);
    return self->link;
}

static status_code_t call(session_t *self, msg_id_t method, const void *ask, int64_t timeout_ms,
                          void *answer, status_t *st)
{
    link_t *link = session_link(self, st);
    if (!link)
        return st->code;
    return link_call(link, method, ask, self->ns, timeout_ms, self->zone, answer, st);
}

status_code_t session_call(session_t *self, msg_id_t method, const void *ask, void *answer,
                           status_t *st)
{
    progress_t *progress = progress_begin(msg_type(method)->name);
    call(self, method, ask, self->timeout_ms, answer, st);
    progress_end(&progress);
    return st->code;
}

status_code_t session_wait(session_t *self, msg_id_t method, const void *ask, void *answer,
                           status_t *st)
{
    return call(self, method, ask, self->timeout_ms ? self->timeout_ms : -1, answer, st);
}

int session_each(session_t *self, size_t first, session_work_t *work)
{
    int result = 0;
    const char *operand;
    for (size_t i = first; (operand = session_operand(self, i)); i++) {
        status_t st = {.code = STATUS_OK};
        if (!work(self, operand, &st))
            continue;
        int failed = session_fail(&st);
        result = result ? result : failed;
    }
    return result;
}

char *session_bundle(const session_t *self, const char *id)
{
    return util_format("%s/task/%s/%s", self->cluster.run_dir, self->ns, id);
}

void session_sweep_fifos(const session_t *self, const char *id)
{
    AUTO_FREE char *dir = util_format("%s/fifo", self->cluster.run_dir);
    AUTO_FREE char *bundle = session_bundle(self, id);
    fifos_sweep(dir, bundle);
}

/* Whether the id stands in the text as a word of its own. */
static bool is_named(const char *text, const char *id)
{
    size_t size = strlen(id);
    for (const char *at = text; (at = strstr(at, id)); at++) {
        bool begins = at == text || !strchr("-_.", at[-1]);
        begins = begins && (at == text || !isalnum((unsigned char)at[-1]));
        if (begins && !isalnum((unsigned char)at[size]) && !strchr("-_", at[size] ? at[size] : ' '))
            return true;
    }
    return false;
}

status_code_t session_explain(status_t *st, const char *what, const char *id)
{
    if (!*id || is_named(st->text, id))
        return st->code;
    return status_wrap(st, "%s %s", what, id);
}

int session_fail(const status_t *st)
{
    fflush(stdout);
    char text[STATUS_TEXT_SIZE];
    snprintf(text, sizeof text, "%s", st->text[0] ? st->text : status_name(st->code));
    output_tame(text);
    fprintf(stderr, "shimctl: %s\n", text);
    return exit_status_of(st->code);
}

int session_usage(const session_t *self, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "shimctl: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, " (see shimctl %s --help)\n", self->command->path);
    va_end(args);
    return EXIT_STATUS_USAGE;
}
