/* Failpoints. */
#include "common/failpoint.h"

#include "common/config.h"
#include "common/util.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

bool failpoint_is_on;

static char directory[PATH_MAX];
static const char *process_name;

typedef struct term {
    long count; /* -1: for ever */
    char kind[16];
    char argument[256];
} term_t;

status_code_t failpoint_init(const cluster_t *cluster, const char *process, status_t *st)
{
    zconfig_t *root;
    if (config_load(cluster->config, false, &root, st))
        return st->code;
    failpoint_is_on = root && streq(zconfig_get(root, "failpoints", "off"), "on");
    zconfig_destroy(&root);
    process_name = process;
    snprintf(directory, sizeof directory, "%s/" FAILPOINT_DIR, cluster->run_dir);
    if (failpoint_is_on && mkdir(directory, 0700) && errno != EEXIST)
        return status_errno(st, errno, "make %s", directory);
    return STATUS_OK;
}

/* Reads one term and moves behind it. */
static bool parse_term(const char **at, term_t *ret)
{
    char *end;
    int used = 0;
    *ret = (term_t){.count = -1};
    long count = strtol(*at, &end, 10);
    if (end > *at && *end == '*') {
        ret->count = count;
        *at = end + 1;
    }
    if (sscanf(*at, "%15[a-z]%n", ret->kind, &used) != 1)
        return false;
    *at += used;
    if (**at == '(') {
        size_t size = strcspn(++*at, ")");
        snprintf(ret->argument, sizeof ret->argument, "%.*s", (int)size, *at);
        *at += size;
        if (*(*at)++ != ')')
            return false;
    }
    if (!strncmp(*at, "->", 2))
        *at += 2;
    return true;
}

/* The term that the hit of that number (from 0) meets; false for none. */
static bool choose(const char *terms, long hit, term_t *ret)
{
    while (*terms && *terms != '\n' && parse_term(&terms, ret)) {
        if (ret->count < 0 || hit < ret->count)
            return true;
        hit -= ret->count;
    }
    return false;
}

/* Appends a byte to the file of hits; how many there were before. */
static long count_hit(int dir, const char *name)
{
    char file[FAILPOINT_NAME_MAX + 8];
    struct stat info;
    snprintf(file, sizeof file, "%s.hits", name);
    AUTO_CLOSE int fd = openat(dir, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || fstat(fd, &info) || write(fd, ".", 1) != 1)
        return 0;
    return (long)info.st_size;
}

static bool read_terms(int dir, const char *name, char terms[FAILPOINT_TERMS_MAX])
{
    AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, terms, FAILPOINT_TERMS_MAX - 1);
    terms[size > 0 ? size : 0] = '\0';
    return size > 0;
}

static void sleep_ms(long ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&left, &left) && errno == EINTR) {
    }
}

static status_code_t meet(const term_t *term, const char *name, status_t *st)
{
    if (!strcmp(term->kind, "panic")) {
        log_warn("failpoint %s: panic", name);
        kill(getpid(), SIGKILL);
    } else if (!strcmp(term->kind, "delay")) {
        log_warn("failpoint %s: %s ms", name, term->argument);
        sleep_ms(strtol(term->argument, NULL, 10));
    } else if (!strcmp(term->kind, "error")) {
        return status_set(st, STATUS_UNKNOWN, "failpoint %s: %s", name, term->argument);
    }
    return STATUS_OK;
}

status_code_t failpoint_hit(status_t *st, const char *format, ...)
{
    char name[FAILPOINT_NAME_MAX], terms[FAILPOINT_TERMS_MAX];
    term_t term;
    int used = snprintf(name, sizeof name, "%s.", process_name);
    va_list args;
    va_start(args, format);
    vsnprintf(name + used, sizeof name - (size_t)used, format, args);
    va_end(args);
    for (char *c = name; *c; c++)
        if (*c == ' ' || *c == '/')
            *c = '-';
    AUTO_CLOSE int dir = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return STATUS_OK;
    long hit = count_hit(dir, name);
    if (!read_terms(dir, name, terms) || !choose(terms, hit, &term))
        return STATUS_OK;
    return meet(&term, name, st);
}
