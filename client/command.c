/* Looking up commands in their table. */
#include "client/command.h"

#include <string.h>

size_t command_group_size(const command_t *self)
{
    const char *space = strchr(self->path, ' ');
    return space ? (size_t)(space - self->path) : 0;
}

const char *command_own_name(const command_t *self)
{
    size_t group = command_group_size(self);
    return self->path + (group ? group + 1 : 0);
}

bool command_is_member(const command_t *self, const command_t *group)
{
    size_t size = command_group_size(self);
    return size && strlen(group->path) == size && !strncmp(self->path, group->path, size);
}

static bool is_called(const command_t *self, const char *word)
{
    if (!strcmp(command_own_name(self), word))
        return true;
    for (size_t i = 0; self->aliases[i]; i++)
        if (!strcmp(self->aliases[i], word))
            return true;
    return false;
}

const command_t *command_meant(const command_t *self)
{
    const command_t *row = self;
    for (size_t i = 0; self->same_as && (row = command_row(i)); i++)
        if (!strcmp(row->path, self->same_as))
            return row;
    return self;
}

static const command_t *find_in(const command_t *group, const char *word)
{
    const command_t *row;
    for (size_t i = 0; (row = command_row(i)); i++) {
        bool here = group ? command_is_member(row, group) : !command_group_size(row);
        if (here && is_called(row, word))
            return command_meant(row);
    }
    return NULL;
}

const command_t *command_find(char *const *words, size_t count, size_t *used)
{
    const command_t *found = count ? find_in(NULL, words[0]) : NULL;
    *used = found ? 1 : 0;
    if (!found || found->run || count < 2)
        return found;
    const command_t *member = find_in(found, words[1]);
    if (!member)
        return found;
    *used = 2;
    return member;
}

size_t command_stop_after(const command_t *self)
{
    return self->stop_after ? self->stop_after : OPTIONS_NEVER_STOP;
}
