/* `start`: makes the socket, leaves a daemon behind, and prints where it listens in the manner of
 * its generation. */
#include "tests/fake-shim/calls.h"
#include "tests/fake-shim/daemon.h"
#include "tests/fake-shim/faults.h"
#include "tests/fake-shim/verbs.h"

#include "common/proto/bootstrap.pb-c.h"
#include "common/proto_value.h"
#include "common/util.h"

#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <google/protobuf/any.pb-c.h>
#include <sha2.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define STDIN_MAX  (10 * 1024 * 1024)
#define SOCKET_DIR "/run/containerd/s"
#define BACKLOG    128
#define PATH_SIZE  107 /* containerd's 106 bytes and NUL */
/* What containerd's shims from 2.3 on say, and managers look for. */
#define DEPRECATED                                                                                 \
    "shim was started through the deprecated API but was built against the new API; if you "       \
    "upgraded containerd, you may need to restart the daemon"

typedef struct input {
    uint8_t *data;
    size_t size;
    char socket_dir[PATH_SIZE]; /* of BootstrapParams, "" for none */
} input_t;

/* Standard input ---------------------------------------------------------------------------------
 */

static void read_input(input_t *self)
{
    ssize_t count;
    self->data = zmalloc(STDIN_MAX);
    while (self->size < STDIN_MAX &&
           (count = read(STDIN_FILENO, self->data + self->size, STDIN_MAX - self->size)) > 0)
        self->size += (size_t)count;
}

/* Generation 1 takes an Any of options that it knows; anything else would have been ignored by 2.
 */
static status_code_t check_any(const input_t *self, status_t *st)
{
    if (self->size == 0)
        return STATUS_OK;
    Google__Protobuf__Any *any = google__protobuf__any__unpack(NULL, self->size, self->data);
    if (!any)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "proto: cannot parse invalid wire-format data");
    bool is_known = proto_value_is_known(any->type_url);
    if (!is_known)
        status_set(st, STATUS_NOT_FOUND, "type with url %s: not found", any->type_url);
    google__protobuf__any__free_unpacked(any, NULL);
    return is_known ? STATUS_OK : st->code;
}

static status_code_t take_params(input_t *self, const options_t *options, status_t *st)
{
    Containerd__Runtime__Bootstrap__V1__BootstrapParams *params =
        containerd__runtime__bootstrap__v1__bootstrap_params__unpack(NULL, self->size, self->data);
    if (!params || self->size == 0)
        return status_set(st, STATUS_INVALID_ARGUMENT, DEPRECATED);
    bool is_ours = strcmp(params->instance_id, options->id) == 0 &&
                   strcmp(params->namespace_, options->ns) == 0;
    snprintf(self->socket_dir, sizeof self->socket_dir, "%s", params->socket_dir);
    containerd__runtime__bootstrap__v1__bootstrap_params__free_unpacked(params, NULL);
    if (!is_ours)
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "bootstrap parameters do not match command-line arguments: " DEPRECATED);
    return STATUS_OK;
}

static status_code_t check_input(input_t *self, const options_t *options, int generation,
                                 status_t *st)
{
    if (generation == 3)
        return take_params(self, options, st);
    return generation == 1 ? check_any(self, st) : STATUS_OK;
}

/* The socket -------------------------------------------------------------------------------------
 */

/* DIRECTORY/SHA-256 of "ADDRESS/NAMESPACE/GROUP", as containerd's shims name it. */
static status_code_t socket_path(const options_t *options, const spec_t *spec, const input_t *input,
                                 char path[PATH_SIZE], status_t *st)
{
    const char *directory = spec_setting(spec, "socket-dir");
    if (*input->socket_dir)
        directory = input->socket_dir;
    if (!directory)
        directory = SOCKET_DIR;
    const char *group = spec_group(spec);
    AUTO_FREE char *joined =
        util_format("%s/%s/%s", options->address, options->ns, group ? group : options->id);
    char hash[SHA256_DIGEST_STRING_LENGTH];
    SHA256Data((const uint8_t *)joined, strlen(joined), hash);
    AUTO_FREE char *text = util_format("%s/%s", directory, hash);
    if (strlen(text) >= PATH_SIZE)
        return status_set(st, STATUS_INVALID_ARGUMENT, "%s: unix socket path too long (> 106)",
                          text);
    for (char *slash = text + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(text, 0711);
        *slash = '/';
    }
    snprintf(path, PATH_SIZE, "%s", text);
    return STATUS_OK;
}

static bool is_served(const struct sockaddr_un *address)
{
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(fd, (const struct sockaddr *)address, sizeof *address) == 0;
}

/* The listening socket, or -1 when a daemon serves the address already, or with a status. */
static int listen_at(const char *path, status_t *st)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    status_clear(st);
    if (is_served(&address))
        return -1;
    unlink(path);
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) ||
        chmod(path, 0600) || listen(fd, BACKLOG)) {
        status_errno(st, errno, "listen at %s", path);
        return -1;
    }
    int listener = fd;
    fd = -1;
    return listener;
}

/* The daemon -------------------------------------------------------------------------------------
 */

static void raise_oom_score(void)
{
    int score = 0;
    FILE *file = fopen("/proc/self/oom_score_adj", "r+e");
    if (!file)
        return;
    if (fscanf(file, "%d", &score) == 1) {
        rewind(file);
        fprintf(file, "%d", score < 1000 ? score + 1 : score);
    }
    fclose(file);
}

/* As containerd's: the same executable without a verb, in a process group of its own, with the
 * socket as descriptor 3; what Go starts has become its program when that returns. */
static void start_daemon(const options_t *options, int listener)
{
    const char *argv[] = {options->program, "-namespace", options->ns,      "-id",
                          options->id,      "-address",   options->address, NULL};
    int begun[2];
    char none;
    if (pipe2(begun, O_CLOEXEC))
        return;
    if (fork() != 0) {
        close(begun[1]);
        while (read(begun[0], &none, 1) < 0 && errno == EINTR) {
        }
        close(begun[0]);
        return;
    }
    setpgid(0, 0);
    raise_oom_score();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    if (listener == DAEMON_LISTENER)
        fcntl(listener, F_SETFD, 0);
    else
        dup2(listener, DAEMON_LISTENER);
    execv("/proc/self/exe", (char **)argv);
    _exit(1);
}

/* Printing ---------------------------------------------------------------------------------------
 */

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "we");
    if (!file)
        return;
    fputs(text, file);
    fclose(file);
}

static void print_result(int generation, int version, const char *path)
{
    AUTO_FREE char *address = util_format("unix://%s", path);
    if (generation == 1) {
        write_file("address", address);
        fputs(address, stdout);
    } else if (generation == 2) {
        printf("{\"version\":%d,\"address\":\"%s\",\"protocol\":\"ttrpc\"}\n", version, address);
    } else {
        Containerd__Runtime__Bootstrap__V1__BootstrapResult result =
            CONTAINERD__RUNTIME__BOOTSTRAP__V1__BOOTSTRAP_RESULT__INIT;
        uint8_t bytes[256];
        result.version = version;
        result.address = address;
        result.protocol = (char *)"ttrpc";
        size_t size = protobuf_c_message_pack(&result.base, bytes);
        fwrite(bytes, 1, size, stdout);
    }
    fflush(stdout);
}

/* Misbehaviour -----------------------------------------------------------------------------------
 */

static bool is_wish(const char *wish, const char *name)
{
    return strncmp(wish, name, strlen(name)) == 0;
}

/* Plays the wish. True when `start` goes on as if nothing were. */
static bool play(const char *wish, int *exit_status)
{
    *exit_status = 0;
    if (is_wish(wish, "delay(")) {
        usleep((useconds_t)atoi(wish + strlen("delay(")) * 1000);
        return true;
    }
    if (is_wish(wish, "stderr-noise")) {
        fputs("level=warning msg=\"unix:///not/the/address\"\n{\"version\":3}\n", stderr);
        return true;
    }
    if (is_wish(wish, "garbage"))
        fputs("\xff\xfe{ this is no address\n", stdout);
    if (is_wish(wish, "exit1")) {
        fputs("fake shim: told to fail\n", stderr);
        *exit_status = 1;
    }
    while (is_wish(wish, "hang"))
        pause();
    return is_wish(wish, "die-after");
}

static int start(const options_t *options, const spec_t *spec, input_t *input, status_t *st)
{
    char path[PATH_SIZE];
    const char *wish = spec_setting(spec, "start");
    int generation = options_generation(options, spec), exit_status;
    if (check_input(input, options, generation, st) || socket_path(options, spec, input, path, st))
        return 1;
    bool keeps_daemon =
        !wish || strstr(wish, "-alive") || is_wish(wish, "stderr-noise") || is_wish(wish, "delay(");
    if (wish && !keeps_daemon && !is_wish(wish, "die-after"))
        return play(wish, &exit_status) ? 0 : exit_status;
    AUTO_CLOSE int listener = listen_at(path, st);
    if (listener < 0 && st->code)
        return 1;
    if (listener >= 0 && keeps_daemon)
        start_daemon(options, listener);
    if (wish && !play(wish, &exit_status))
        return exit_status;
    if (*input->socket_dir && symlink(input->socket_dir, "s") && errno != EEXIST)
        return 1;
    print_result(generation, options_task_version(options, spec), path);
    return 0;
}

/* Whether the daemon will find its log: without a reader it would hang, without a FIFO it dies. */
static const char *log_state(void)
{
    AUTO_CLOSE int fd = open("log", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0)
        return "read";
    return errno == ENXIO ? "unread" : "missing";
}

int verb_start(const options_t *options)
{
    status_t st;
    input_t input = {0};
    read_input(&input);
    AUTO(spec)
    spec = spec_load(".", &st);
    calls_open(spec);
    calls_note("start %s stdin=%zu log=%s", options->id, input.size, log_state());
    int exit_status = spec ? start(options, spec, &input, &st) : 1;
    if (exit_status && st.code)
        fprintf(stderr, "%s: %s\n", options->program, st.text);
    free(input.data);
    return exit_status;
}
