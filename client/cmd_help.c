/* shimctl help. */
#include "client/commands.h"
#include "client/help.h"
#include "client/help_topics.h"
#include "client/output.h"
#include "client/suggest.h"
#include "common/util.h"

/* `command` may be NULL. What is a command and a topic too, such as events, is told as both. */
static int print_topic(session_t *session, const command_t *command, const help_topic_t *topic)
{
    if (session_json(session)) {
        json_t *object = command ? help_command_json(command) : json_object();
        json_object_set_new(object, "topic", json_string(topic->name));
        json_object_set_new(object, "text", json_string(topic->text));
        output_json(object);
        return 0;
    }
    if (command) {
        help_print_command(command);
        printf("\nmore about %s:\n\n", topic->name);
    }
    fputs(topic->text, stdout);
    return 0;
}

static int refuse(session_t *session, const command_t *command, const char *word)
{
    const help_topic_t *near = command ? NULL : help_topic_near(word);
    AUTO_FREE char *text = suggest_command(command, word);
    if (near)
        return session_usage(session, "unknown topic %s: did you mean %s?", word, near->name);
    return session_usage(session, "%s", text);
}

int cmd_help(session_t *session)
{
    size_t count, used;
    char **words = session_operands(session, &count);
    const command_t *command = command_find(words, count, &used);
    const help_topic_t *topic = count == 1 ? help_topic_find(words[0]) : NULL;
    if (topic)
        return print_topic(session, command, topic);
    if (used < count)
        return refuse(session, command, words[used]);
    if (session_json(session))
        output_json(command ? help_command_json(command) : help_all_json());
    else if (command)
        help_print_command(command);
    else
        help_print_all();
    return 0;
}
