/* shimd: the supervisor of a cluster. Options, directories, lock and sockets are had, or not,
 * before anything depends on the process; then it runs until it is told to stop. */
#include "broker/supervisor/cgroups.h"
#include "broker/supervisor/check.h"
#include "broker/supervisor/handover.h"
#include "broker/supervisor/keeper_process.h"
#include "broker/supervisor/run_dir.h"
#include "broker/supervisor/supervisor.h"
#include "common/failpoint.h"
#include "common/process.h"
#include "common/util.h"

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>

#include <czmq.h>

#define EXIT_BAD_USAGE 2

typedef struct options {
    cluster_t cluster;
    settings_t settings;
    const char *config;    /* NULL when not given */
    const char *log_level; /* likewise */
    const char *socket_group;
    const char *libexec;
    bool check;          /* only say whether it could start */
    char path[PATH_MAX]; /* of this executable, whatever becomes of its file */
    char **argv;
} options_t;

static _Noreturn void refuse(int code, const char *text)
{
    fprintf(stderr, "shimd: %s\n", text);
    exit(code);
}

static void print_help(void)
{
    printf(
        "Usage: shimd [OPTION]...\n"
        "Supervises a cluster of processes that run containers through containerd's shims.\n"
        "Stays in the foreground; SIGTERM stops the cluster and leaves containers running.\n\n"
        "  --run-dir DIR         sockets and bundles (default %s, or SHIMD_RUN_DIR)\n"
        "  --root-dir DIR        state that outlives a reboot (default %s, or SHIMD_ROOT_DIR)\n"
        "  --config FILE         configuration (default %s, which need not exist)\n"
        "  --log-level LEVEL     error, warn, info or debug (default info)\n"
        "  --socket-group GROUP  who may be client and subscriber besides root\n"
        "  --libexec-dir DIR     where the other executables are (default: beside this one,\n"
        "                        or ../libexec/shimd from there, or %s)\n"
        "  --check               say whether options, configuration and executables are in order\n"
        "  --help, --version\n",
        CLUSTER_RUN_DIR, CLUSTER_ROOT_DIR, CLUSTER_CONFIG, SHIMD_LIBEXEC_DIR);
}

static void parse_option(options_t *self, int option)
{
    status_t st = {.code = STATUS_OK};
    switch (option) {
    case 'r':
        cluster_set_run_dir(&self->cluster, optarg, &st);
        break;
    case 'o':
        cluster_set_root_dir(&self->cluster, optarg, &st);
        break;
    case 'c':
        self->config = optarg;
        break;
    case 'l':
        self->log_level = optarg;
        break;
    case 'g':
        self->socket_group = optarg;
        break;
    case 'x':
        self->libexec = optarg;
        break;
    case 'k':
        self->check = true;
        break;
    case 'h':
        print_help();
        exit(EXIT_SUCCESS);
    case 'v':
        printf("shimd %s\n", SHIMD_VERSION);
        exit(EXIT_SUCCESS);
    default:
        exit(EXIT_BAD_USAGE);
    }
    if (st.code)
        refuse(EXIT_BAD_USAGE, st.text);
}

static void parse_options(options_t *self, int argc, char **argv)
{
    static const struct option known[] = {{"run-dir", required_argument, NULL, 'r'},
                                          {"root-dir", required_argument, NULL, 'o'},
                                          {"config", required_argument, NULL, 'c'},
                                          {"log-level", required_argument, NULL, 'l'},
                                          {"socket-group", required_argument, NULL, 'g'},
                                          {"libexec-dir", required_argument, NULL, 'x'},
                                          {"check", no_argument, NULL, 'k'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'v'},
                                          {NULL, 0, NULL, 0}};
    status_t st;
    if (cluster_init(&self->cluster, &st))
        refuse(EXIT_BAD_USAGE, st.text);
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1)
        parse_option(self, option);
    if (optind < argc) {
        AUTO_FREE char *text = util_format("unexpected argument %s", argv[optind]);
        refuse(EXIT_BAD_USAGE, text);
    }
}

/* The file, then what the command line says instead. */
static status_code_t read_settings(options_t *self, status_t *st)
{
    cluster_t *cluster = &self->cluster;
    settings_init(&self->settings);
    if (self->config) {
        /* The workers get it as an option, and their working directory is theirs. */
        AUTO_FREE char *whole = realpath(self->config, NULL);
        if (!whole)
            return status_errno(st, errno, "--config %s", self->config);
        snprintf(cluster->config, sizeof cluster->config, "%s", whole);
    }
    if (settings_read(&self->settings, cluster->config, self->config != NULL, st))
        return st->code;
    if (self->log_level && !log_level_parse(self->log_level, &self->settings.log_level))
        return status_set(st, STATUS_INVALID_ARGUMENT,
                          "--log-level %s: not error, warn, info or debug", self->log_level);
    cluster->log_level = self->settings.log_level;
    return STATUS_OK;
}

static status_code_t find_group(const options_t *self, gid_t *ret, status_t *st)
{
    const char *name = self->socket_group ? self->socket_group : self->settings.socket_group;
    *ret = LISTENER_NO_GROUP;
    if (!*name)
        return STATUS_OK;
    struct group *group = getgrnam(name);
    char *end;
    errno = 0;
    unsigned long number = strtoul(name, &end, 10);
    if (group)
        *ret = group->gr_gid;
    else if (*name >= '0' && *name <= '9' && !*end && !errno && number < LISTENER_NO_GROUP)
        *ret = (gid_t)number;
    else
        return status_set(st, STATUS_INVALID_ARGUMENT, "socket group %.64s: no such group", name);
    return STATUS_OK;
}

/* The first directory that has all four executables: one of a build tree, of an installation that
 * was moved as a whole, or as configured. The caller frees. */
static char *find_libexec(const options_t *self, status_t *st)
{
    if (self->libexec) {
        char *given = realpath(self->libexec, NULL);
        if (given && !supervisor_check_libexec(given, st))
            return given;
        if (!given)
            status_errno(st, errno, "%s", self->libexec);
        free(given);
        return NULL;
    }
    AUTO_FREE char *own = util_strdup(self->path);
    if (strrchr(own, '/'))
        *strrchr(own, '/') = '\0';
    char *candidates[] = {util_strdup(own), util_format("%s/../libexec/shimd", own),
                          util_strdup(SHIMD_LIBEXEC_DIR)};
    char *found = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(candidates); i++) {
        if (!found && !supervisor_check_libexec(candidates[i], st))
            found = TAKE(candidates[i]);
        free(candidates[i]);
    }
    return found;
}

/* Directories, lock and sockets: from a predecessor in this process, or our own. From then on the
 * directory is ours, and what else lies in it is a dead cluster's. */
static status_code_t take_place(const options_t *self, gid_t group, const json_t *inherited,
                                int *lock, listeners_t *listeners, status_t *st)
{
    *lock = handover_take_fd(inherited, "lock");
    if (*lock < 0 && (run_dir_make(&self->cluster, st) || run_dir_lock(&self->cluster, lock, st)))
        return st->code;
    if (failpoint_init(&self->cluster, "supervisor", st))
        return st->code;
    status_t ignored;
    FAILPOINT(&ignored, "listen before");
    status_code_t code = listeners_open(listeners, &self->cluster, group,
                                        json_object_get(inherited, "listeners"), st);
    FAILPOINT(&ignored, "listen after");
    return code;
}

/* Until it is told to stop. When its own executable shall be executed again and cannot be, it goes
 * on as it was. */
static status_code_t serve(const supervisor_plan_t *plan, listeners_t *listeners, json_t *inherited,
                           status_t *st)
{
    supervisor_t *supervisor;
    status_t ignored;
    while ((supervisor = supervisor_new(plan, inherited, st)) && supervisor_run(supervisor)) {
        json_decref(inherited);
        inherited = supervisor_hand_over(&supervisor);
        json_object_set_new(inherited, "lock", handover_put_fd(plan->lock_fd));
        json_object_set_new(inherited, "listeners", listeners_save(listeners));
        FAILPOINT(&ignored, "replace before");
        handover_execute(plan->path, plan->argv, inherited, st);
        log_error("%s", st->text);
        json_object_set_new(json_object_get(inherited, "round"), "error", json_string(st->text));
        /* They are not to be inherited by what is executed from now on. */
        handover_take_fd(inherited, "lock");
        listeners_restore(listeners, json_object_get(inherited, "listeners"));
    }
    if (supervisor) {
        status_clear(st);
        cgroups_prune(plan->cluster);
    }
    supervisor_destroy(&supervisor);
    json_decref(inherited);
    return st->code;
}

static status_code_t run(options_t *self, status_t *st)
{
    gid_t group;
    listeners_t listeners;
    AUTO_CLOSE int signals = -1;
    AUTO_FREE char *libexec = NULL;
    int lock = -1;
    json_t *inherited = handover_receive(st);
    if (st->code || read_settings(self, st) || find_group(self, &group, st))
        return st->code;
    log_open("shimd", self->cluster.log_level);
    if (!(libexec = find_libexec(self, st)))
        return status_wrap(st, "find the cluster's executables");
    /* A successor in this process was asked before it was executed. */
    if (!inherited && check_sections(&self->settings, libexec, &self->cluster, st))
        return st->code;
    if (self->check)
        return STATUS_OK;
    if ((signals = supervisor_take_signals(st)) < 0)
        return st->code;
    if (!take_place(self, group, inherited, &lock, &listeners, st)) {
        supervisor_plan_t plan = {.cluster = &self->cluster,
                                  .settings = &self->settings,
                                  .listeners = &listeners,
                                  .lock_fd = lock,
                                  .signals = signals,
                                  .libexec = libexec,
                                  .path = self->path,
                                  .argv = self->argv};
        serve(&plan, &listeners, inherited, st);
        listeners_close(&listeners, &self->cluster);
    }
    run_dir_unlock(&lock);
    return st->code;
}

int main(int argc, char **argv)
{
    options_t options = {.argv = argv};
    status_t st = {.code = STATUS_OK};
    if (!strcmp(program_invocation_name, KEEPER_NAME))
        keeper_process_run(argv[1]);
    if (readlink("/proc/self/exe", options.path, sizeof options.path - 1) <= 0)
        refuse(EXIT_FAILURE, "find the own executable");
    parse_options(&options, argc, argv);
    process_raise_limits();
    zsys_handler_set(NULL); /* signals are read from a descriptor */
    if (run(&options, &st))
        refuse(st.code == STATUS_INVALID_ARGUMENT ? EXIT_BAD_USAGE : EXIT_FAILURE, st.text);
    if (!options.check)
        log_info("stopped");
    return EXIT_SUCCESS;
}
