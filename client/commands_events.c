/* Commands about events and who reads them. */
#include "client/command_sets.h"
#include "client/commands.h"

#define SINCE                                                                                      \
    "since", 0, OPTION_TEXT, "SEQ|TIME",                                                           \
        "begin with this number (0 for the oldest), or this time or so long ago", WORD_ANY

static const option_row_t event_options[] = {
    {SINCE},
    {"until", 0, OPTION_TEXT, "now|SEQ|TIME",
     "end with what there is now, this number or this time", WORD_ANY},
    {"follow", 'f', OPTION_FLAG, NULL, "go on with what comes; so it does without --until too",
     WORD_ANY},
    {"subscriber", 0, OPTION_TEXT, "NAME", "go on where this reader has stopped, and note how far",
     WORD_SUBSCRIBER},
    {"no-ack", 0, OPTION_FLAG, NULL, "leave noting to `subscribers ack`", WORD_ANY},
    {"raw", 0, OPTION_FLAG, NULL, "what shims sent that is not in the journal, and why", WORD_ANY},
    {0},
};

static const option_row_t subscriber_options[] = {
    {SINCE},
    {0},
};

const command_t commands_events[] = {
    {.path = "events",
     .aliases = {"event"},
     .synopsis = "[FILTER...]",
     .brief = "print events as they happen",
     .help =
         "Lines are TIMESTAMP NAMESPACE TOPIC JSON, of all namespaces unless -n is given. Each\n"
         "event comes once and in the journal's order, also after an outage of the cluster's\n"
         "processes.\n\n"
         "--since and --until take a number of the journal, a time (2026-01-31T12:00:00Z, or\n"
         "@1769860800, seconds since the epoch) or how long ago (10m); --until alone begins with\n"
         "the oldest event, and waits for a place that is yet to come. With --subscriber the\n"
         "cluster keeps the place of this reader under a name: what was printed is noted, and\n"
         "the next run goes on behind it, also after kill -9; only what was not yet noted comes\n"
         "again. FILTERs and --since count when the name is new. Where the journal no longer\n"
         "has what comes next, a line on standard error says so, and with --json a \"gap\".\n\n"
         "With --raw it prints instead what shims sent and the journal did not take, each with "
         "the\n"
         "reason: repeats, and what came too late or contradicts it.\n" FILTER_HELP
         "  shimctl events\n"
         "  shimctl events 'topic==\"/tasks/exit\",event.exit_status!=0' 'topic~=oom'\n"
         "  shimctl events --since 0 --until now --json\n"
         "  shimctl events --since 10m --follow\n"
         "  shimctl events --json --subscriber billing 'topic==\"/tasks/exit\"'\n"
         "  shimctl events --raw\n",
     .options = {event_options},
     .operands_max = COMMAND_OPERANDS_ANY,
     .run = cmd_events},

    {.path = "subscribers",
     .aliases = {"subscriber"},
     .brief = "named readers of events, whose place is kept"},
    {.path = "subscribers create",
     .synopsis = "NAME [FILTER...]",
     .brief = "keep a place for a reader that comes later",
     .help =
         "Does nothing when it is there. `shimctl events --subscriber NAME` makes it too. Without\n"
         "-n it is of all namespaces, and another one than of the same name in a namespace.\n\n"
         "  shimctl subscribers create --since 0 billing 'topic==\"/tasks/exit\"'\n",
     .options = {subscriber_options},
     .operands_min = 1,
     .operands_max = COMMAND_OPERANDS_ANY,
     .run = cmd_subscribers_create},
    {.path = "subscribers list",
     .aliases = {"ls"},
     .synopsis = "",
     .brief = "list subscribers, and how far behind they are",
     .help = "  shimctl subscribers list\n",
     .options = {quiet_options},
     .run = cmd_subscribers_list},
    {.path = "subscribers ack",
     .synopsis = "NAME SEQ",
     .brief = "note that events up to a number are dealt with",
     .help = "For readers with --no-ack, which deal with events after they were printed.\n\n"
             "  shimctl subscribers ack billing 1234\n",
     .operands_min = 2,
     .operands_max = 2,
     .operand = WORD_SUBSCRIBER,
     .run = cmd_subscribers_ack},
    {.path = "subscribers delete",
     .aliases = {"del", "remove", "rm"},
     .synopsis = "NAME [NAME...]",
     .brief = "forget subscribers",
     .help = "Goes on after a failure and ends with the exit status of the first.\n"
             "\n"
             "  shimctl subscribers delete billing\n",
     .operands_min = 1,
     .operands_max = COMMAND_OPERANDS_ANY,
     .operand = WORD_SUBSCRIBER,
     .run = cmd_subscribers_delete},
    {0},
};
