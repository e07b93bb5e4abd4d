/* What the main function of broker and workers has in common. */
#include "common/process.h"

#include "common/failpoint.h"
#include "common/util.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#define EXIT_BAD_USAGE 2

static void print_help(const char *name)
{
    printf("Usage: %s [OPTION]...\n"
           "Part of a shimd cluster; started by shimd(8), not by hand.\n\n"
           "  --run-dir DIR     sockets and bundles (default %s, or SHIMD_RUN_DIR)\n"
           "  --root-dir DIR    state that outlives a reboot (default %s, or SHIMD_ROOT_DIR)\n"
           "  --config FILE     configuration (default %s)\n"
           "  --log-level LEVEL error, warn, info or debug (default info)\n"
           "  --check           say whether its part of the configuration is in order\n"
           "  --help, --version\n",
           name, CLUSTER_RUN_DIR, CLUSTER_ROOT_DIR, CLUSTER_CONFIG);
}

static bool is_check;

static void parse_option(cluster_t *cluster, const char *name, int option)
{
    status_t st = {.code = STATUS_OK};
    switch (option) {
    case 'r':
        cluster_set_run_dir(cluster, optarg, &st);
        break;
    case 'o':
        cluster_set_root_dir(cluster, optarg, &st);
        break;
    case 'c':
        snprintf(cluster->config, sizeof cluster->config, "%s", optarg);
        break;
    case 'l':
        if (!log_level_parse(optarg, &cluster->log_level))
            status_set(&st, STATUS_INVALID_ARGUMENT,
                       "--log-level %s: not error, warn, info or debug", optarg);
        break;
    case 'k':
        is_check = true;
        break;
    case 'h':
        print_help(name);
        exit(EXIT_SUCCESS);
    case 'v':
        printf("%s %s\n", name, SHIMD_VERSION);
        exit(EXIT_SUCCESS);
    default:
        exit(EXIT_BAD_USAGE);
    }
    if (st.code) {
        fprintf(stderr, "%s: %s\n", name, st.text);
        exit(EXIT_BAD_USAGE);
    }
}

static void parse_options(cluster_t *cluster, const char *name, int argc, char **argv)
{
    static const struct option options[] = {
        {"run-dir", required_argument, NULL, 'r'}, {"root-dir", required_argument, NULL, 'o'},
        {"config", required_argument, NULL, 'c'},  {"log-level", required_argument, NULL, 'l'},
        {"check", no_argument, NULL, 'k'},         {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},       {NULL, 0, NULL, 0}};
    status_t st;
    if (cluster_init(cluster, &st)) {
        fprintf(stderr, "%s: %s\n", name, st.text);
        exit(EXIT_BAD_USAGE);
    }
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        parse_option(cluster, name, option);
    if (optind < argc) {
        fprintf(stderr, "%s: unexpected argument %s\n", name, argv[optind]);
        exit(EXIT_BAD_USAGE);
    }
}

static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static struct rlimit file_limit; /* as it was given to us */

/* Every client, shim and log fifo is a descriptor. */
void process_raise_limits(void)
{
    if (getrlimit(RLIMIT_NOFILE, &file_limit))
        return;
    struct rlimit limit = file_limit;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

void process_restore_limits(void)
{
    if (file_limit.rlim_max)
        setrlimit(RLIMIT_NOFILE, &file_limit);
}

void process_reset_signals(void)
{
    struct sigaction plain = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++)
        sigaction(number, &plain, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void process_check(const char *name, int argc, char **argv, process_read_t *read, void *settings)
{
    cluster_t cluster;
    status_t st;
    parse_options(&cluster, name, argc, argv);
    optind = 0; /* process_init parses them again */
    if (!is_check)
        return;
    if (!read(settings, cluster.config, &st))
        exit(EXIT_SUCCESS);
    fprintf(stderr, "%s: %s\n", name, st.text);
    exit(EXIT_BAD_USAGE);
}

int process_init(const char *name, int argc, char **argv, cluster_t *cluster)
{
    cluster_inherit();
    parse_options(cluster, name, argc, argv);
    if (is_check)
        exit(EXIT_SUCCESS);
    log_open(name, cluster->log_level);
    status_t st;
    if (failpoint_init(cluster, name + strlen("shimd-"), &st)) {
        log_error("start: %s", st.text);
        exit(EXIT_FAILURE);
    }
    process_raise_limits();
    int signals = open_signals();
    if (signals < 0) {
        log_error("start: signalfd: %s", strerror(errno));
        exit(EXIT_FAILURE);
    }
    return signals;
}
