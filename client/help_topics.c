/* Topics of help: what concerns several commands. */
#include "client/help_topics.h"

#include "client/suggest.h"

#include <string.h>

#define FILTERS                                                                                    \
    "Lists of containers, tasks, exits and namespaces, events and their subscribers take\n"        \
    "filters; what one of them matches is printed. A filter is one or more of these, joined\n"     \
    "with \",\", which must all match:\n\n"                                                        \
    "  FIELD              the field is there\n"                                                    \
    "  FIELD==VALUE       it has this value\n"                                                     \
    "  FIELD!=VALUE       it has another one, or is not there\n"                                   \
    "  FIELD~=EXPRESSION  a regular expression (Perl's) matches somewhere in it\n"                 \
    "  FIELD>VALUE        it is a greater number or a later time; also >=, < and <=\n\n"           \
    "Fields are those that --json prints, inner ones behind a point: labels.tier,\n"               \
    "event.exit_status. Values with other characters than letters, digits and _ may stand in\n"    \
    "double quotes; they have to where they have blanks or commas or begin with a slash. A time\n" \
    "is 2026-01-31T12:00:00Z, 2026-01-31, seconds since the epoch, or -1h30m from now.\n\n"        \
    "  shimctl containers list labels.tier==web 'created_at>-1h'\n"                                \
    "  shimctl tasks list status==STOPPED,exit_status!=0\n"                                        \
    "  shimctl events 'topic==\"/tasks/exit\"' 'topic~=oom'\n"

#define EXIT_STATUS                                                                                \
    "run, and tasks start, attach and exec unless detached, end with the exit code of the\n"       \
    "process, which is 128 and the signal's number when a signal ended it. tasks delete\n"         \
    "--exec-id ends with that of the exec it deleted. All else ends with one of the numbers "      \
    "that\n"                                                                                       \
    "`shimctl --help` lists, after one sentence on standard error. Where a command goes on "       \
    "after\n"                                                                                      \
    "a failure, the first failure counts.\n\n"                                                     \
    "When standard output or standard error can no longer be written, as on a full disk, the\n"    \
    "process goes on, its output is thrown away, and the exit status is that of the failure\n"     \
    "(8 for a full disk) unless the process has one other than 0. When its reader is gone, as "    \
    "in\n"                                                                                         \
    "`shimctl run ... yes | head -1`, the process gets SIGTERM, and SIGKILL after 3 seconds; "     \
    "one\n"                                                                                        \
    "that is only attached to goes on, and the exit status is 141.\n"

#define NAMESPACES                                                                                 \
    "Every container is in a namespace; ids are unique in each. A command is about the one that\n" \
    "-n NAME or $SHIMD_NAMESPACE names, or about \"default\". Namespaces are made with the "       \
    "first\n"                                                                                      \
    "container in them, or with `namespaces create`, carry labels, and can be removed while "      \
    "they\n"                                                                                       \
    "are empty. events prints those of all namespaces unless -n is given.\n\n"                     \
    "  shimctl -n web containers list\n"                                                           \
    "  shimctl namespaces create web owner=me\n"                                                   \
    "  shimctl namespaces remove web\n"

#define EVENTS                                                                                     \
    "What happens to containers, tasks and namespaces is numbered and kept in a journal, so "      \
    "that\n"                                                                                       \
    "nothing is missed while one of the cluster's processes, or a reader, was away. events\n"      \
    "prints them as they happen; --since N begins with number N (0 for the oldest that is "        \
    "kept),\n"                                                                                     \
    "--until now ends with what there is. Each event comes once and in order. With --json, seq\n"  \
    "is its number: going on with --since SEQ+1 neither leaves one out nor repeats one. --since\n" \
    "and --until take times too, and 10m for ten minutes ago.\n\n"                                 \
    "With --subscriber NAME the cluster keeps the place of a reader: it may be killed at any\n"    \
    "moment, and the next run with that name goes on behind what was printed. `subscribers\n"      \
    "list` shows how far each is behind. The journal does not wait for them: one that comes too\n" \
    "late is told which numbers are gone.\n\n"                                                     \
    "  /containers/create, update, delete      records\n"                                          \
    "  /tasks/create, start, exit, delete      life of a task; exit has exit_status\n"             \
    "  /tasks/exec-added, exec-started         execs; their end is a /tasks/exit too\n"            \
    "  /tasks/paused, resumed, checkpointed    what was done to a task\n"                          \
    "  /tasks/oom                              the kernel killed a process for want of memory\n"   \
    "  /namespaces/create, update, delete      namespaces\n"                                       \
    "  /shimd/event-lost, record-lost          what was lost with damage to the store\n"           \
    "  /shimd/store-salvaged                   a damaged store was made anew\n\n"                  \
    "`explain ID` tells what events and requests there were about one container, and tasks\n"      \
    "exits how processes ended; both know of what was deleted.\n\n"                                \
    "  shimctl events --since 0 --until now\n"                                                     \
    "  shimctl explain a\n"                                                                        \
    "  shimctl events --json 'topic==\"/tasks/exit\",event.exit_status!=0'\n"                      \
    "  shimctl events --json --subscriber billing\n"

#define LOGS                                                                                       \
    "run, tasks start and exec pass output on while they follow the process. With --detach a "     \
    "log\n"                                                                                        \
    "writer keeps it, which goes on when shimctl and the cluster are gone; `shimctl logs ID` "     \
    "prints\n"                                                                                     \
    "it. --log-uri file:///PATH lets the shim append it to a file instead, binary:///PATH starts " \
    "a\n"                                                                                          \
    "program that takes it, --fifo-dir DIR makes fifos for `tasks attach`, and --null-io throws "  \
    "it\n"                                                                                         \
    "away.\n\n"                                                                                    \
    "  shimctl run -d --rootfs /srv/alpine a /bin/server\n"                                        \
    "  shimctl logs -f --tail 10 a\n"                                                              \
    "  shimctl run -d --log-uri file:///var/log/b.log --rootfs /srv/alpine b /bin/server\n"

const help_topic_t help_topics[] = {
    {"filters", "choosing what lists and events print", FILTERS},
    {"exit-status", "what numbers commands end with", EXIT_STATUS},
    {"namespaces", "keeping containers apart", NAMESPACES},
    {"events", "what happened, without a gap", EVENTS},
    {"logs", "where output goes", LOGS},
    {NULL, NULL, NULL},
};

const help_topic_t *help_topic_find(const char *name)
{
    for (const help_topic_t *topic = help_topics; topic->name; topic++)
        if (!strcmp(topic->name, name))
            return topic;
    return NULL;
}

const help_topic_t *help_topic_near(const char *name)
{
    for (const help_topic_t *topic = help_topics; topic->name; topic++)
        if (suggest_distance(name, topic->name) <= SUGGEST_DISTANCE_MAX)
            return topic;
    return NULL;
}
