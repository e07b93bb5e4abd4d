/* Guessing which command was meant. */
#include "client/suggest.h"

#include "common/util.h"

#include <string.h>

typedef struct absent_row {
    const char *names[6];
    const char *instead;
} absent_row_t;

static const absent_row_t absent[] = {
    {{"images", "image", "i", "pull", "push", "build"},
     "images are not managed here: unpack one into a directory and give --rootfs DIR"},
    {{"snapshots", "snapshot"},
     "snapshots are not managed here: give --rootfs DIR, or --mount, or a spec with --config"},
    {{"content"}, "content is not managed here: give --rootfs DIR"},
    {{"leases"}, "leases are not needed here: nothing is collected that somebody uses"},
    {{"plugins", "plugin"}, "there are no plugins: `shimctl cluster status` lists the processes"},
};

static const char *why_absent(const char *word)
{
    for (size_t i = 0; i < ARRAY_SIZE(absent); i++)
        for (size_t n = 0; n < ARRAY_SIZE(absent[i].names) && absent[i].names[n]; n++)
            if (!strcmp(absent[i].names[n], word))
                return absent[i].instead;
    return NULL;
}

static size_t least(size_t a, size_t b, size_t c)
{
    size_t low = a < b ? a : b;
    return low < c ? low : c;
}

/* Optimal string alignment, row by row. */
size_t suggest_distance(const char *left, const char *right)
{
    size_t rows[3][SUGGEST_WORD_MAX + 1];
    size_t lefts = strlen(left), rights = strlen(right);
    if (lefts > SUGGEST_WORD_MAX || rights > SUGGEST_WORD_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= rights; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= lefts; i++) {
        size_t *now = rows[i % 3], *before = rows[(i - 1) % 3], *earlier = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= rights; j++) {
            now[j] =
                least(before[j] + 1, now[j - 1] + 1, before[j - 1] + (left[i - 1] != right[j - 1]));
            bool swapped =
                i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1];
            if (swapped && earlier[j - 2] + 1 < now[j])
                now[j] = earlier[j - 2] + 1;
        }
    }
    return rows[lefts % 3][rights];
}

static bool is_here(const command_t *row, const command_t *group)
{
    return !row->hidden && (group ? command_is_member(row, group) : !command_group_size(row));
}

/* `tasks pause` for "pause". */
static const command_t *member_called(const char *word)
{
    const command_t *row;
    for (size_t i = 0; (row = command_row(i)); i++)
        if (command_group_size(row) && !strcmp(command_own_name(row), word))
            return row;
    return NULL;
}

static const command_t *nearest(const command_t *group, const char *word)
{
    const command_t *row, *found = NULL;
    /* In a word of three characters or less two edits are too many. */
    size_t best = strlen(word) > 3 ? SUGGEST_DISTANCE_MAX + 1 : SUGGEST_DISTANCE_MAX;
    for (size_t i = 0; (row = command_row(i)); i++) {
        size_t distance =
            is_here(row, group) ? suggest_distance(word, command_own_name(row)) : SIZE_MAX;
        if (distance < best) {
            best = distance;
            found = row;
        }
    }
    return found;
}

char *suggest_command(const command_t *group, const char *word)
{
    const char *why = group ? NULL : why_absent(word);
    if (why)
        return util_strdup(why);
    const command_t *meant = nearest(group, word);
    if (!meant && !group)
        meant = member_called(word);
    return util_format("unknown command %s%s%s%s%s%s", group ? group->path : "", group ? " " : "",
                       word, meant ? ": did you mean " : "", meant ? meant->path : "",
                       meant ? "?" : "");
}
