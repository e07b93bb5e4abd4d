/* Finds the last lines of a log from its end. */
#include "client/log_tail.h"

#include "common/util.h"
#include "logger/log_dir.h"
#include "logger/log_line.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define BLOCK_SIZE 65536 /* holds any line */

typedef struct tail {
    uint64_t wanted, found; /* lines */
    bool any;               /* the log's last record was seen */
    char block[BLOCK_SIZE];
} tail_t;

/* Whether a line of output ends with this record: parts belong to what follows them, and the last
 * record of all ends one whatever it is. */
static bool ends_line(tail_t *self, const char *record, size_t size)
{
    log_line_t line;
    bool is_last = !self->any;
    self->any = true;
    return is_last || !log_line_read(record, size, &line) || !line.partial;
}

/* Looks at the records in the first `size` bytes of the block, from the last backwards. `*rest` is
 * how many bytes are left in front, of a record whose beginning may be in the block before. True
 * when the place is found: behind the first `*rest` bytes. */
static bool search_block(tail_t *self, size_t size, bool is_first, size_t *rest)
{
    const char *newline = memrchr(self->block, '\n', size);
    size_t end = newline ? (size_t)(newline - self->block) + 1 : 0;
    while (end > 0) {
        newline = memrchr(self->block, '\n', end - 1);
        size_t begin = newline ? (size_t)(newline - self->block) + 1 : 0;
        if (!newline && !is_first)
            break;
        if (ends_line(self, self->block + begin, end - 1 - begin) &&
            self->found++ == self->wanted) {
            *rest = end;
            return true;
        }
        end = begin;
    }
    *rest = end;
    return false;
}

static bool search_file(tail_t *self, int file, off_t *offset, bool *found)
{
    off_t end = lseek(file, 0, SEEK_END);
    *found = false;
    *offset = 0;
    while (end > 0 && !*found) {
        off_t begin = end > BLOCK_SIZE ? end - BLOCK_SIZE : 0;
        size_t size = (size_t)(end - begin), rest;
        ssize_t got = pread(file, self->block, size, begin);
        if (got < 0)
            return false;
        if ((size_t)got < size)
            size = (size_t)got; /* a torn line was taken back just now */
        *found = search_block(self, size, begin == 0, &rest);
        *offset = begin + (off_t)rest;
        end = rest < size ? *offset : begin; /* else the block is no line of ours */
    }
    return end >= 0;
}

bool log_tail_find(int dir, uint64_t lines, uint64_t *number, off_t *offset)
{
    uint64_t lowest, highest;
    bool found = false;
    if (!log_dir_range(dir, 1, &lowest, &highest))
        return false;
    *number = lowest ? lowest : 1;
    *offset = 0;
    AUTO_FREE tail_t *tail = calloc(1, sizeof *tail);
    if (!tail)
        abort();
    tail->wanted = lines;
    for (uint64_t at = highest; at >= lowest && at > 0 && !found; at--) {
        char name[LOG_DIR_NAME_SIZE];
        log_dir_name(at, name);
        AUTO_CLOSE int file = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (file < 0 && errno == ENOENT)
            return true; /* rotated away, with all before it: the next one is the first */
        if (file < 0 || !search_file(tail, file, offset, &found))
            return false;
        *number = at;
    }
    return true;
}
