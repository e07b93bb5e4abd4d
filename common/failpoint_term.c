/* Terms of failpoints. */
#include "common/failpoint_term.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char directory[PATH_MAX];
static const char *process_name;

void failpoint_enable(const char *new_directory, const char *process)
{
    snprintf(directory, sizeof directory, "%s", new_directory ? new_directory : "");
    process_name = process;
}

const char *failpoint_directory(void)
{
    return directory[0] ? directory : NULL;
}

/* Reads one term and moves behind it. */
static bool parse_term(const char **at, failpoint_term_t *ret)
{
    char *end;
    int used = 0;
    ret->count = -1;
    ret->kind[0] = ret->argument[0] = '\0';
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
static bool choose(const char *terms, long hit, failpoint_term_t *ret)
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
    int fd = openat(dir, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    bool is_counted = fd >= 0 && !fstat(fd, &info) && write(fd, ".", 1) == 1;
    if (fd >= 0)
        close(fd);
    return is_counted ? (long)info.st_size : 0;
}

static bool read_terms(int dir, const char *name, char terms[FAILPOINT_TERMS_MAX])
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, terms, FAILPOINT_TERMS_MAX - 1);
    terms[size > 0 ? size : 0] = '\0';
    if (fd >= 0)
        close(fd);
    return size > 0;
}

static void sleep_ms(long ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&left, &left) && errno == EINTR) {
    }
}

/* "PROCESS.NAME" as that of a file. */
__attribute__((format(printf, 2, 0))) static void write_name(char name[FAILPOINT_NAME_MAX],
                                                             const char *format, va_list args)
{
    int used = snprintf(name, FAILPOINT_NAME_MAX, "%s.", process_name);
    vsnprintf(name + used, FAILPOINT_NAME_MAX - (size_t)used, format, args);
    for (char *c = name; *c; c++)
        if (*c == ' ' || *c == '/')
            *c = '-';
}

bool failpoint_choose(failpoint_term_t *ret, const char *format, va_list args)
{
    char terms[FAILPOINT_TERMS_MAX];
    int dir = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return false;
    write_name(ret->name, format, args);
    long hit = count_hit(dir, ret->name);
    bool is_met = read_terms(dir, ret->name, terms) && choose(terms, hit, ret);
    close(dir);
    return is_met;
}

const char *failpoint_act(const failpoint_term_t *term)
{
    if (!strcmp(term->kind, "panic"))
        kill(getpid(), SIGKILL);
    else if (!strcmp(term->kind, "delay"))
        sleep_ms(strtol(term->argument, NULL, 10));
    return strcmp(term->kind, "error") ? NULL : term->argument;
}
