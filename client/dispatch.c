/* From the words of the command line to the command they name. */
#include "client/dispatch.h"

#include "client/exit_status.h"
#include "client/help.h"
#include "client/output.h"
#include "client/session.h"
#include "client/suggest.h"
#include "common/util.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

typedef struct words {
    int argc;
    char **argv;
    options_t *options;
    const command_t *command; /* NULL when none was named */
} words_t;

static int refuse(const command_t *command, const char *text)
{
    fprintf(stderr, "shimctl: %s (see shimctl %s%s--help)\n", text, command ? command->path : "",
            command ? " " : "");
    return EXIT_STATUS_USAGE;
}

/* Makes `word`, one of argv's, argv[0]. What stands behind it stays as it was typed. */
static void shift_to(words_t *self, const char *word)
{
    while (self->argv[0] != word) {
        self->argc--;
        self->argv++;
    }
}

/* Global options stand before the command and, in a group, before its member too. argv[0] is the
 * last word taken afterwards. */
static status_code_t find_command(words_t *self, status_t *st)
{
    for (int level = 0; level < 2; level++) {
        if (options_parse(self->options, self->argc, self->argv, 1, st))
            return st->code;
        size_t left, used;
        char **rest = options_operands(self->options, &left);
        if (left == 0)
            return STATUS_OK;
        char *names[2] = {self->command ? (char *)self->command->path : rest[0], rest[0]};
        const command_t *found = command_find(names, (size_t)level + 1, &used);
        if (used <= (size_t)level) {
            AUTO_FREE char *text = suggest_command(self->command, rest[0]);
            return status_set(st, STATUS_INVALID_ARGUMENT, "%s", text);
        }
        self->command = found;
        for (size_t i = 0; i < OPTIONS_SETS; i++)
            options_add(self->options, found->options[i]);
        shift_to(self, rest[0]);
        if (found->run)
            return STATUS_OK;
    }
    return STATUS_OK;
}

static int print_help(const words_t *self)
{
    if (options_flag(self->options, "json"))
        output_json(self->command ? help_command_json(self->command) : help_all_json());
    else if (self->command)
        help_print_command(self->command);
    else
        help_print_all();
    return 0;
}

static int check_count(const command_t *command, const options_t *options)
{
    size_t count;
    char **words = options_operands(options, &count);
    if (count < command->operands_min) {
        AUTO_FREE char *text = util_format("%s needs %s", command->path, command->synopsis);
        return refuse(command, text);
    }
    if (count > command->operands_max) {
        AUTO_FREE char *text =
            util_format("%s: %s is one word too many", command->path, words[command->operands_max]);
        return refuse(command, text);
    }
    return 0;
}

static int run_command(const words_t *self)
{
    status_t st;
    int failed = check_count(self->command, self->options);
    if (failed)
        return failed;
    session_t *session = session_new(self->command, self->options, &st);
    if (!session)
        return session_fail(&st);
    int result = self->command->run(session);
    session_destroy(&session);
    if (fflush(stdout) && !result) {
        status_errno(&st, errno, "write to standard output");
        result = session_fail(&st);
    }
    return result;
}

static int run_words(words_t *self)
{
    status_t st;
    options_add(self->options, command_global_options);
    if (find_command(self, &st))
        return refuse(self->command, st.text);
    if (self->command && options_parse(self->options, self->argc, self->argv,
                                       command_stop_after(self->command), &st))
        return refuse(self->command, st.text);
    if (options_flag(self->options, "version")) {
        if (options_flag(self->options, "json"))
            output_json(json_pack("{s:s}", "client", SHIMD_VERSION));
        else
            printf("shimctl %s\n", SHIMD_VERSION);
        return 0;
    }
    if (options_flag(self->options, "help"))
        return print_help(self);
    if (!self->command)
        return print_help(self);
    if (!self->command->run) /* as ctr */
        return print_help(self);
    return run_command(self);
}

int dispatch(int argc, char **argv)
{
    words_t self = {.argc = argc, .argv = argv, .options = options_new()};
    int result = run_words(&self);
    options_destroy(&self.options);
    return result;
}
