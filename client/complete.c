/* Candidates for the shell's completion. */
#include "client/complete.h"

#include "client/arguments.h"
#include "client/event_where.h"
#include "client/help_topics.h"
#include "common/util.h"

#include <signal.h>
#include <stdio.h>

#define ASK_MS 500 /* nobody waits longer for a key press */

typedef struct place {
    const command_t *command;  /* NULL before the first word of one */
    options_t *options;        /* what may stand here */
    const option_row_t *value; /* the option whose value is wanted, or NULL */
    size_t operands;           /* that stand before the last word */
    bool ended;                /* by "--" */
} place_t;

static void print_if(const char *prefix, const char *candidate)
{
    if (!strncmp(candidate, prefix, strlen(prefix)))
        puts(candidate);
}

/* Where the last word stands ----------------------------------------------------------------------
 */

static void enter(place_t *self, const command_t *command)
{
    self->command = command;
    for (size_t i = 0; i < OPTIONS_SETS; i++)
        options_add(self->options, command->options[i]);
}

/* A word that is no option: part of the command's name, or an operand. */
static void take_word(place_t *self, char *word)
{
    size_t used;
    char *names[2] = {self->command ? (char *)self->command->path : word, word};
    if (self->command && self->command->run) {
        self->operands++;
        return;
    }
    const command_t *found = command_find(names, self->command ? 2 : 1, &used);
    if (found && found != self->command)
        enter(self, found);
}

/* An option whose value is the next word, which may be the one to complete. */
static void take_valued(place_t *self, const option_row_t *row, bool is_last)
{
    if (is_last)
        self->value = row;
}

static void find_place(place_t *self, char *const *words, size_t count)
{
    options_add(self->options, command_global_options);
    for (size_t i = 0; i + 1 < count; i++) {
        bool inner = self->command && self->command->stop_after &&
                     self->operands >= self->command->stop_after;
        const option_row_t *row =
            self->ended || inner ? NULL : options_find(self->options, words[i]);
        if (!strcmp(words[i], "--") && !inner)
            self->ended = true;
        else if (row && row->kind != OPTION_FLAG && !strchr(words[i], '='))
            take_valued(self, row, ++i + 1 == count);
        else if (!row && (words[i][0] != '-' || self->ended || inner))
            take_word(self, words[i]);
    }
}

/* Candidates --------------------------------------------------------------------------------------
 */

static void print_commands(const command_t *group, const char *prefix)
{
    const command_t *row;
    for (size_t i = 0; (row = command_row(i)); i++) {
        bool here = group ? command_is_member(row, group) : !command_group_size(row);
        if (here && !row->hidden)
            print_if(prefix, command_own_name(row));
    }
}

static void print_options(const options_t *options, const char *prefix)
{
    const option_row_t *row;
    for (size_t i = 0; (row = options_row(options, i)); i++) {
        AUTO_FREE char *word = util_format("--%s", row->name);
        print_if(prefix, word);
    }
}

static link_t *connect_quietly(session_t *session)
{
    status_t st;
    return session_link(session, &st);
}

static void print_containers(session_t *session, const char *prefix)
{
    status_t st;
    msg_containers_t answer;
    link_t *link = connect_quietly(session);
    if (!link || link_call(link, MSG_container_list, &(msg_container_list_t){0},
                           session_ns(session), ASK_MS, session_zone(session), &answer, &st))
        return;
    for (size_t i = 0; i < answer.containers.count; i++)
        print_if(prefix, answer.containers.items[i].id);
}

static void print_tasks(session_t *session, const char *prefix)
{
    status_t st;
    msg_processes_t answer;
    link_t *link = connect_quietly(session);
    if (!link || link_call(link, MSG_task_list, &(msg_task_list_t){0}, session_ns(session), ASK_MS,
                           session_zone(session), &answer, &st))
        return;
    for (size_t i = 0; i < answer.tasks.count; i++)
        print_if(prefix, answer.tasks.items[i].id);
}

static void print_namespaces(session_t *session, const char *prefix)
{
    status_t st;
    msg_namespaces_t answer;
    link_t *link = connect_quietly(session);
    if (!link || link_call(link, MSG_namespace_list, &(msg_namespace_list_t){0}, NULL, ASK_MS,
                           session_zone(session), &answer, &st))
        return;
    for (size_t i = 0; i < answer.namespaces.count; i++)
        print_if(prefix, answer.namespaces.items[i].name);
}

static void print_subscribers(session_t *session, const char *prefix)
{
    status_t st;
    msg_subscribers_t answer;
    link_t *link = connect_quietly(session);
    const msg_event_subscribers_t ask = {.all = event_where_is_all(session)};
    if (!link || link_call(link, MSG_event_subscribers, &ask, session_ns(session), ASK_MS,
                           session_zone(session), &answer, &st))
        return;
    for (size_t i = 0; i < answer.subscribers.count; i++)
        if (!ask.all || !answer.subscribers.items[i].ns) /* what the name means here */
            print_if(prefix, answer.subscribers.items[i].name);
}

static void print_signals(const char *prefix)
{
    for (uint32_t number = 1; number < NSIG; number++)
        if (arguments_signal_name(number))
            print_if(prefix, arguments_signal_name(number));
}

static void print_processes(const char *prefix)
{
    static const char *const names[] = {"all",  "broker",   "bundle",
                                        "shim", "metadata", "supervisor"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        print_if(prefix, names[i]);
}

static void print_methods(const char *prefix)
{
    for (int id = 0; id < MSG_COUNT; id++) {
        const msg_type_t *type = msg_type((msg_id_t)id);
        print_if(prefix, type->name ? type->name : type->c_name);
    }
}

static void print_helps(const char *prefix)
{
    print_commands(NULL, prefix);
    for (const help_topic_t *topic = help_topics; topic->name; topic++)
        print_if(prefix, topic->name);
}

static void print_words(session_t *session, word_kind_t kind, const char *prefix)
{
    switch (kind) {
    case WORD_FILE:
        puts(":file");
        break;
    case WORD_DIRECTORY:
        puts(":directory");
        break;
    case WORD_CONTAINER:
        print_containers(session, prefix);
        break;
    case WORD_TASK:
        print_tasks(session, prefix);
        break;
    case WORD_NAMESPACE:
        print_namespaces(session, prefix);
        break;
    case WORD_SUBSCRIBER:
        print_subscribers(session, prefix);
        break;
    case WORD_SIGNAL:
        print_signals(prefix);
        break;
    case WORD_PROCESS:
        print_processes(prefix);
        break;
    case WORD_METHOD:
        print_methods(prefix);
        break;
    case WORD_HELP:
        print_helps(prefix);
        break;
    case WORD_ANY:
        break;
    }
}

void complete_print(session_t *session, char *const *words, size_t count)
{
    place_t place = {.options = options_new()};
    const char *prefix = count ? words[count - 1] : "";
    find_place(&place, words, count);
    const command_t *command = place.command;
    /* ROOTFS ID: only the first operand is a directory. */
    bool named = command && command->operand == WORD_DIRECTORY && place.operands > 0;
    if (place.value)
        print_words(session, place.value->word, prefix);
    else if (prefix[0] == '-' && !place.ended)
        print_options(place.options, prefix);
    else if (!command || !command->run)
        print_commands(command, prefix);
    else if (!named && (!command->stop_after || place.operands < command->stop_after))
        print_words(session, command->operand, prefix);
    options_destroy(&place.options);
}
