/* Commands about tasks and what belongs to one: its log, its shim. */
#include "client/command_sets.h"
#include "client/commands.h"

static const option_row_t at_options[] = {
    {"at", 0, OPTION_TEXT, "SEQ|TIME", "as they were then", WORD_ANY},
    {0},
};

static const option_row_t exits_options[] = {
    {"limit", 0, OPTION_TEXT, "NUMBER", "print at most so many", WORD_ANY},
    {0},
};

static const option_row_t exec_id_options[] = {
    {"exec-id", 0, OPTION_TEXT, "EXEC", "this exec instead of the container's own process",
     WORD_ANY},
    {0},
};

static const option_row_t exec_options[] = {
    {"exec-id", 0, OPTION_TEXT, "EXEC", "name of the new process; a random one otherwise",
     WORD_ANY},
    {"tty", 't', OPTION_FLAG, NULL, "give it a terminal", WORD_ANY},
    {"cwd", 0, OPTION_TEXT, "DIR", "working directory in the container", WORD_ANY},
    {"env", 0, OPTION_LIST, "NAME=VALUE", "change the container's environment", WORD_ANY},
    {"user", 'u', OPTION_TEXT, "USER[:GROUP]", "name or number in the container", WORD_ANY},
    {"deadline", 0, OPTION_TEXT, "TIME", "kill and delete it when it has run so long", WORD_ANY},
    {0},
};

static const option_row_t kill_options[] = {
    {"signal", 's', OPTION_TEXT, "SIGNAL", "SIGTERM otherwise; name or number", WORD_SIGNAL},
    {"all", 'a', OPTION_FLAG, NULL, "to all processes of the container", WORD_ANY},
    {0},
};

static const option_row_t delete_options[] = {
    {"force", 'f', OPTION_FLAG, NULL, "kill it first if it runs", WORD_ANY},
    {0},
};

static const option_row_t logs_options[] = {
    {"follow", 'f', OPTION_FLAG, NULL, "print what comes, until the process has ended", WORD_ANY},
    {"tail", 0, OPTION_TEXT, "COUNT|all", "begin with so many lines from the end", WORD_ANY},
    {"since", 0, OPTION_TEXT, "TIME", "nothing older: 2026-01-31T12:00:00Z, or 10m ago", WORD_ANY},
    {"until", 0, OPTION_TEXT, "TIME", "nothing newer", WORD_ANY},
    {"timestamps", 't', OPTION_FLAG, NULL, "begin lines with their time", WORD_ANY},
    {0},
};

static const option_row_t metrics_options[] = {
    {"format", 0, OPTION_TEXT, "table|json", "table otherwise", WORD_ANY},
    {0},
};

static const option_row_t checkpoint_options[] = {
    {"exit", 0, OPTION_FLAG, NULL, "end the container afterwards", WORD_ANY},
    {"image-path", 0, OPTION_TEXT, "DIR", "where the images are written", WORD_DIRECTORY},
    {"work-path", 0, OPTION_TEXT, "DIR", "where CRIU works and writes its log", WORD_DIRECTORY},
    {0},
};

static const option_row_t restore_options[] = {
    {"checkpoint", 0, OPTION_TEXT, "DIR", "restore it from these images", WORD_DIRECTORY},
    {0},
};

static const option_row_t shim_options[] = {
    {"id", 0, OPTION_TEXT, "ID", "container whose shim is meant", WORD_CONTAINER},
    {0},
};

const command_t commands_tasks[] = {
    {.path = "tasks", .aliases = {"t", "task"}, .brief = "running containers"},
    {.path = "tasks start",
     .synopsis = "ID",
     .brief = "run a container that is recorded",
     .help = "As run does it: follows the process and ends with its exit status. With\n"
             "--checkpoint it goes on where `tasks checkpoint` left it; that needs a working "
             "CRIU.\n\n"
             "  shimctl tasks start --checkpoint /srv/images a\n",
     .options = {restore_options, io_options, pid_file_options},
     .operands_min = 1,
     .operands_max = 1,
     .operand = WORD_CONTAINER,
     .run = cmd_tasks_start},
    {.path = "tasks attach",
     .synopsis = "ID",
     .brief = "follow a container that runs",
     .help = "Takes up the fifos of a task that was started detached, ends with the exit status\n"
             "of its process and deletes the task then.\n"
             "\n"
             "  shimctl tasks attach a\n",
     .operands_min = 1,
     .operands_max = 1,
     .operand = WORD_TASK,
     .run = cmd_tasks_attach},
    {.path = "tasks exec",
     .synopsis = "ID COMMAND [ARGUMENT...]",
     .brief = "run another process in a container",
     .help = "Everything behind ID is the command. The cluster sees to --deadline, whether or not\n"
             "shimctl is still there: the exit status is 137 then. --timeout is how long shimctl\n"
             "waits for one answer, and ends no process.\n\n"
             "  shimctl tasks exec -t a /bin/sh\n"
             "  shimctl tasks exec -d --exec-id logger a /bin/sleep 100\n"
             "  shimctl tasks exec --deadline 30s a /bin/check\n",
     .options = {exec_options, io_options},
     .operands_min = 2,
     .operands_max = COMMAND_OPERANDS_ANY,
     .stop_after = 1,
     .operand = WORD_TASK,
     .run = cmd_tasks_exec},
    {.path = "tasks list",
     .aliases = {"ls"},
     .synopsis = "[FILTER...]",
     .brief = "list tasks",
     .help =
         "Prints those that a FILTER matches, or all. With --at: all as they were just after an\n"
         "event of the journal, or at a time or that long ago, as long as the journal reaches\n"
         "back so far.\n" FILTER_HELP "  shimctl tasks list status==STOPPED,exit_status!=0\n"
         "  shimctl tasks list --at 10m\n"
         "  shimctl tasks list --at 4711\n",
     .options = {quiet_options, at_options},
     .operands_max = COMMAND_OPERANDS_ANY,
     .run = cmd_tasks_list},
    {.path = "tasks exits",
     .synopsis = "[FILTER...]",
     .brief = "list how processes ended, newest first",
     .help =
         "Also those of tasks that were deleted: for 7 days; execs of a task that goes on for\n"
         "24 hours. KNOWN FROM is wait or state (of the shim), waitpid (of the supervisor, or the\n"
         "kernel, where the shim was killed), task.delete, event or a later event (of the shim),\n"
         "or none.\n" FILTER_HELP "  shimctl tasks exits 'exit_status!=0' --limit 10\n"
         "  shimctl tasks exits id==a,unknown==true\n",
     .options = {exits_options},
     .operands_max = COMMAND_OPERANDS_ANY,
     .run = cmd_tasks_exits},
    {.path = "tasks ps",
     .synopsis = "ID",
     .brief = "list the processes of a container",
     .help = "  shimctl tasks ps a\n",
     .operands_min = 1,
     .operands_max = 1,
     .operand = WORD_TASK,
     .run = cmd_tasks_ps},
    {.path = "tasks kill",
     .synopsis = "ID",
     .brief = "send a signal",
     .help = "  shimctl tasks kill a\n"
             "  shimctl tasks kill -s KILL --all a\n",
     .options = {kill_options, exec_id_options},
     .operands_min = 1,
     .operands_max = 1,
     .operand = WORD_TASK,
     .run = cmd_tasks_kill},
    {.path = "tasks pause",
     .synopsis = "ID",
     .brief = "freeze a container",
     .help = "  shimctl tasks pause a\n",
     .operands_min = 1,
     .operands_max = 1,
     .operand = WORD_TASK,
     .run = cmd_tasks_pause},
    {.path = "tasks resume",
     .synopsis = "ID",
     .brief = "thaw a container",
     .help = "  shimctl tasks resume a\n",
     .operands_min = 1,
     .operands_max = 1,
     .operand = WORD_TASK,
     .run = cmd_tasks_resume},
    {.path = "tasks wait",
     .synopsis = "ID [ID...]",
     .brief = "wait for the end and print exit codes",
     .help = "Prints a line for each, in the order of the words, also when it has ended already.\n"
             "\n"
             "  shimctl tasks wait a b\n"
             "  shimctl tasks wait --exec-id e a\n",
     .options = {exec_id_options},
     .operands_min = 1,
     .operands_max = COMMAND_OPERANDS_ANY,
     .operand = WORD_TASK,
     .run = cmd_tasks_wait},
    {.path = "tasks delete",
     .aliases = {"del", "remove", "rm"},
     .synopsis = "ID [ID...]",
     .brief = "delete tasks that have ended",
     .help = "Goes on after a failure and ends with the exit status of the first. With --exec-id\n"
             "it ends with the exit status of the exec that was deleted.\n"
             "\n"
             "  shimctl tasks delete a b\n"
             "  shimctl tasks delete -f a\n"
             "  shimctl tasks delete --exec-id e a\n",
     .options = {delete_options, exec_id_options},
     .operands_min = 1,
     .operands_max = COMMAND_OPERANDS_ANY,
     .operand = WORD_TASK,
     .run = cmd_tasks_delete},
    {.path = "tasks metrics",
     .aliases = {"metric"},
     .synopsis = "ID",
     .brief = "print what a container uses",
     .help = "  shimctl tasks metrics --format json a\n",
     .options = {metrics_options},
     .operands_min = 1,
     .operands_max = 1,
     .operand = WORD_TASK,
     .run = cmd_tasks_metrics},
    {.path = "tasks update",
     .synopsis = "ID",
     .brief = "change the limits of a container that runs",
     .help = "Until the task ends; the container's record stays as it is.\n\n"
             "  shimctl tasks update --memory 128m --cpus 1.5 a\n"
             "  shimctl tasks update --resources limits.json a\n",
     .options = {update_options},
     .operands_min = 1,
     .operands_max = 1,
     .operand = WORD_TASK,
     .run = cmd_tasks_update},
    {.path = "tasks checkpoint",
     .synopsis = "--image-path DIR ID",
     .brief = "write the state of a container to files",
     .help = "Needs a working CRIU (`criu check`). `shimctl tasks start --checkpoint DIR` goes on\n"
             "from there. Directories are made where they are not there yet.\n\n"
             "  shimctl tasks checkpoint --exit --image-path /srv/images a\n",
     .options = {checkpoint_options},
     .operands_min = 1,
     .operands_max = 1,
     .operand = WORD_TASK,
     .run = cmd_tasks_checkpoint},

    {.path = "logs",
     .aliases = {"log"},
     .synopsis = "ID",
     .brief = "print the output of a detached process",
     .help =
         "Of what run, tasks start and tasks exec start with --detach, as long as the container "
         "is\n"
         "recorded; its standard output to standard output, errors to errors. With --json a line\n"
         "is an object; output that is no UTF-8 is then log_base64 instead of log.\n\n"
         "  shimctl logs -f --tail 10 a\n"
         "  shimctl logs -t --since 1h30m a\n"
         "  shimctl logs --exec-id e a\n",
     .options = {logs_options, exec_id_options},
     .operands_min = 1,
     .operands_max = 1,
     .operand = WORD_CONTAINER,
     .run = cmd_logs},

    {.path = "shim", .brief = "one shim, asked directly; for operators", .options = {shim_options}},
    {.path = "shim state",
     .synopsis = "--id ID",
     .brief = "print what the shim says of its container",
     .help = "Speaks to the shim over the socket that is recorded in the container's bundle, also\n"
             "when the cluster is down. Needs the right to read the bundle.\n\n"
             "  shimctl shim state --id a\n",
     .options = {shim_options},
     .run = cmd_shim_state},
    {.path = "shim delete",
     .synopsis = "--id ID",
     .brief = "let the shim delete a container that has ended",
     .help = "Goes past the cluster, which has `tasks delete` for this: for repairs while it is\n"
             "down. The shim stays until it is shut down.\n"
             "\n"
             "  shimctl shim delete --id a\n",
     .options = {shim_options},
     .run = cmd_shim_delete},
    {.path = "shim shutdown",
     .synopsis = "--id ID",
     .brief = "end the shim",
     .help = "A shim that still has containers stays: it is asked, not forced.\n"
             "\n"
             "  shimctl shim shutdown --id a\n",
     .options = {shim_options},
     .run = cmd_shim_shutdown},
    {0},
};
