/* A directory for the log of a test. */
#include "log_fixture.h"

#include "common/util.h"
#include "logger/log_dir.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

int log_fixture_setup(void **state)
{
    log_fixture_t *self = calloc(1, sizeof *self);
    assert_non_null(self);
    snprintf(self->root, sizeof self->root, "/tmp/shimd-log-XXXXXX");
    assert_non_null(mkdtemp(self->root));
    snprintf(self->dir, sizeof self->dir, "%s/a/b", self->root);
    *state = self;
    return 0;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

int log_fixture_teardown(void **state)
{
    log_fixture_t *self = *state;
    nftw(self->root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(self);
    return 0;
}

void log_fixture_add(log_store_t *store, const char *text)
{
    log_store_add(store, &(log_line_t){.time = util_now_ns(), .text = text, .size = strlen(text)});
}

static bool range(const log_fixture_t *self, uint64_t *lowest, uint64_t *highest)
{
    AUTO_CLOSE int fd = open(self->dir, O_RDONLY | O_DIRECTORY);
    return fd >= 0 && log_dir_range(fd, 1, lowest, highest) && *lowest;
}

char *log_fixture_path(const log_fixture_t *self, uint64_t number)
{
    char name[LOG_DIR_NAME_SIZE];
    log_dir_name(number, name);
    return util_format("%s/%s", self->dir, name);
}

int log_fixture_files(const log_fixture_t *self)
{
    uint64_t lowest, highest;
    return range(self, &lowest, &highest) ? (int)(highest - lowest + 1) : 0;
}

char *log_fixture_text(const log_fixture_t *self)
{
    uint64_t lowest = 0, highest = 0;
    char *text = NULL, *line = NULL;
    size_t size, room = 0;
    FILE *to = open_memstream(&text, &size);
    for (uint64_t at = range(self, &lowest, &highest) ? lowest : 1; at <= highest; at++) {
        AUTO_FREE char *path = log_fixture_path(self, at);
        FILE *from = fopen(path, "r");
        assert_non_null(from);
        for (ssize_t got; (got = getline(&line, &room, from)) > 0;) {
            log_line_t read;
            assert_int_equal(line[got - 1], '\n');
            assert_true(log_line_read(line, (size_t)got - 1, &read));
            fprintf(to, "%s%.*s\n", read.tag == LOG_SHIMD ? "! " : "", (int)read.size, read.text);
        }
        fclose(from);
    }
    free(line);
    fclose(to);
    return text;
}
