/* What --help prints, made from the table of commands. */
#include "client/help.h"

#include "client/exit_status.h"

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

static void print_options(const char *title, const option_row_t *rows)
{
    if (!rows)
        return;
    printf("\n%s:\n", title);
    for (; rows->name; rows++)
        print_option(rows);
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
    printf("\ncommands:\n");
    for (const command_t *row = command_table; row->path; row++) {
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
    print_options("options of every command, before it or after it", command_global_options);
    printf("\nexit status:\n%s", exit_status_text());
    printf("\nshimctl COMMAND --help tells more about a command.\n");
}

void help_print_command(const command_t *command)
{
    if (!command->run) {
        printf("usage: shimctl %s COMMAND [OPTIONS] [ARGUMENTS]\n\n%s\n", command->path,
               command->brief);
        print_commands(command);
        return;
    }
    printf("usage: shimctl %s [OPTIONS]%s%s\n\n%s\n", command->path, *command->synopsis ? " " : "",
           command->synopsis, command->brief);
    if (command->help)
        printf("\n%s", command->help);
    for (size_t i = 0; i < OPTIONS_SETS; i++)
        print_options(i ? "more options" : "options", command->options[i]);
    print_options("options of every command", command_global_options);
}
