/* What --help prints, made from the table of commands. */
#include "client/help.h"

#include "client/exit_status.h"
#include "client/help_topics.h"

#include <stdio.h>
#include <string.h>

#define COLUMN 32 /* where explanations begin */

static void print_pair(const char *left, const char *right)
{
    if (strlen(left) + 2 > COLUMN)
        printf("%s\n%*s%s\n", left, COLUMN, "", right);
    else
        printf("%-*s%s\n", COLUMN, left, right);
}

static void print_option(const option_row_t *row)
{
    char left[128];
    char letter[8] = "    ";
    if (row->letter)
        snprintf(letter, sizeof letter, "-%c, ", row->letter);
    snprintf(left, sizeof left, "  %s--%s%s%s", letter, row->name, row->value ? " " : "",
             row->value ? row->value : "");
    print_pair(left, row->help);
}

/* All sets as one list. */
static void print_options(const char *title, const option_row_t *const *sets, size_t count)
{
    bool is_titled = false;
    for (size_t i = 0; i < count; i++)
        for (const option_row_t *row = sets[i]; row && row->name; row++) {
            if (!is_titled)
                printf("\n%s:\n", title);
            is_titled = true;
            print_option(row);
        }
}

static void print_global_options(const char *title)
{
    const option_row_t *rows = command_global_options;
    print_options(title, &rows, 1);
}

static void print_names(const command_t *command)
{
    char left[128];
    size_t used = (size_t)snprintf(left, sizeof left, "  %s", command_own_name(command));
    for (size_t i = 0; command->aliases[i] && used < sizeof left; i++)
        used += (size_t)snprintf(left + used, sizeof left - used, ", %s", command->aliases[i]);
    print_pair(left, command_meant(command)->brief);
}

static void print_commands(const command_t *group)
{
    const command_t *row;
    printf("\ncommands:\n");
    for (size_t i = 0; (row = command_row(i)); i++) {
        bool here = group ? command_is_member(row, group) : !command_group_size(row);
        if (here && !row->hidden)
            print_names(row);
    }
}

void help_print_all(void)
{
    printf("usage: shimctl [OPTIONS] COMMAND [OPTIONS] [ARGUMENTS]\n\n"
           "Talks to a shimd cluster, which runs containers.\n");
    print_commands(NULL);
    print_global_options("options of every command, before it or after it");
    printf("\ntopics:\n");
    for (const help_topic_t *topic = help_topics; topic->name; topic++) {
        char left[64];
        snprintf(left, sizeof left, "  %s", topic->name);
        print_pair(left, topic->brief);
    }
    printf("\nexit status:\n%s", exit_status_text());
    printf("\nshimctl COMMAND --help tells more about a command, shimctl help TOPIC about a topic."
           "\n");
}

void help_print_command(const command_t *command)
{
    if (!command->run) {
        printf("usage: shimctl %s COMMAND [OPTIONS] [ARGUMENTS]\n\n%s\n", command->path,
               command->brief);
        print_commands(command);
        print_options("options", command->options, OPTIONS_SETS);
        return;
    }
    printf("usage: shimctl %s [OPTIONS]%s%s\n\n%s\n", command->path, *command->synopsis ? " " : "",
           command->synopsis, command->brief);
    if (command->help)
        printf("\n%s", command->help);
    print_options("options", command->options, OPTIONS_SETS);
    print_global_options("options of every command");
}

/* JSON ------------------------------------------------------------------------------------------
 */

static json_t *options_json(const option_row_t *rows)
{
    json_t *list = json_array();
    for (; rows && rows->name; rows++) {
        char letter[2] = {rows->letter, '\0'};
        json_array_append_new(list, json_pack("{s:s, s:s*, s:s*, s:s}", "name", rows->name,
                                              "letter", rows->letter ? letter : NULL, "value",
                                              rows->value, "help", rows->help));
    }
    return list;
}

json_t *help_command_json(const command_t *command)
{
    const command_t *row, *meant = command_meant(command);
    json_t *aliases = json_array(), *options = json_array(), *members = json_array();
    for (size_t i = 0; command->aliases[i]; i++)
        json_array_append_new(aliases, json_string(command->aliases[i]));
    for (size_t i = 0; i < OPTIONS_SETS; i++) {
        json_t *set = options_json(meant->options[i]);
        json_array_extend(options, set);
        json_decref(set);
    }
    for (size_t i = 0; (row = command_row(i)); i++)
        if (command_is_member(row, command))
            json_array_append_new(members, json_string(command_own_name(row)));
    return json_pack("{s:s, s:o, s:s*, s:s, s:s*, s:s*, s:o, s:o}", "command", command->path,
                     "aliases", aliases, "synopsis", meant->synopsis, "brief", meant->brief, "help",
                     meant->help, "same_as", command->same_as, "options", options, "commands",
                     members);
}

json_t *help_all_json(void)
{
    const command_t *row;
    json_t *commands = json_array(), *topics = json_array();
    for (size_t i = 0; (row = command_row(i)); i++)
        if (!row->hidden)
            json_array_append_new(commands, help_command_json(row));
    for (const help_topic_t *topic = help_topics; topic->name; topic++)
        json_array_append_new(topics, json_string(topic->name));
    return json_pack("{s:o, s:o, s:o}", "commands", commands, "topics", topics, "options",
                     options_json(command_global_options));
}
