/* Every command of shimctl with its options and its help. Names and aliases are ctr's wherever ctr
 * has the command. */
#include "client/commands.h"

#define END                                                                                        \
    {                                                                                              \
        0                                                                                          \
    }

const option_row_t command_global_options[] = {
    {"namespace", 'n', OPTION_TEXT, "NAME", "namespace, or $SHIMD_NAMESPACE; \"default\" otherwise",
     WORD_NAMESPACE},
    {"json", 0, OPTION_FLAG, NULL, "print one JSON object, or one a line", WORD_ANY},
    {"run-dir", 0, OPTION_TEXT, "DIR", "the cluster's, or $SHIMD_RUN_DIR; /run/shimd otherwise",
     WORD_DIRECTORY},
    {"timeout", 0, OPTION_TEXT, "TIME", "how long one request may take, 30s or 1m", WORD_ANY},
    {"help", 'h', OPTION_FLAG, NULL, "print help", WORD_ANY},
    {"version", 0, OPTION_FLAG, NULL, "print the version", WORD_ANY},
    END,
};

/* Behind the sentence about what a command lists. */
#define FILTER_HELP                                                                                \
    "\nA FILTER is containerd's: FIELD, FIELD==VALUE, FIELD!=VALUE or FIELD~=EXPRESSION, and >,\n" \
    ">=, < or <= with a number or a time; several joined with \",\" must all match. Of several\n"  \
    "FILTERs one must. See FILTERS in shimctl(1).\n\n"

static const option_row_t quiet_options[] = {
    {"quiet", 'q', OPTION_FLAG, NULL, "print only the names", WORD_ANY},
    END,
};

static const option_row_t at_options[] = {
    {"at", 0, OPTION_TEXT, "SEQ|TIME", "as they were then", WORD_ANY},
    END,
};

static const option_row_t exits_options[] = {
    {"limit", 0, OPTION_TEXT, "NUMBER", "print at most so many", WORD_ANY},
    END,
};

static const option_row_t exec_id_options[] = {
    {"exec-id", 0, OPTION_TEXT, "EXEC", "this exec instead of the container's own process",
     WORD_ANY},
    END,
};

/* What a container is: run and containers create. */
static const option_row_t container_options[] = {
    {"rootfs", 0, OPTION_FLAG, NULL, "the first operand is a directory, not an image", WORD_ANY},
    {"overlay", 0, OPTION_FLAG, NULL,
     "leave DIR as it is: what a task writes goes when it is deleted", WORD_ANY},
    {"config", 'c', OPTION_TEXT, "FILE", "OCI spec to take as it is, instead of --rootfs",
     WORD_FILE},
    {"env", 0, OPTION_LIST, "NAME=VALUE", "set an environment variable; NAME alone removes it",
     WORD_ANY},
    {"env-file", 0, OPTION_TEXT, "FILE", "the same for each line of a file", WORD_FILE},
    {"cwd", 0, OPTION_TEXT, "DIR", "working directory in the container", WORD_ANY},
    {"user", 'u', OPTION_TEXT, "USER[:GROUP]", "name or number in the container", WORD_ANY},
    {"hostname", 0, OPTION_TEXT, "NAME", "host name in the container", WORD_ANY},
    {"mount", 0, OPTION_LIST, "SPEC", "type=bind,src=S,dst=D,options=rbind:ro", WORD_ANY},
    {"label", 0, OPTION_LIST, "KEY=VALUE", "label of the container", WORD_ANY},
    {"annotation", 0, OPTION_LIST, "KEY=VALUE", "annotation of the OCI spec", WORD_ANY},
    {"image", 0, OPTION_TEXT, "NAME", "image name to note in the record", WORD_ANY},
    {"tty", 't', OPTION_FLAG, NULL, "give it a terminal", WORD_ANY},
    {"read-only", 0, OPTION_FLAG, NULL, "root filesystem read-only", WORD_ANY},
    {"net-host", 0, OPTION_FLAG, NULL, "use the host's network", WORD_ANY},
    {"privileged", 0, OPTION_FLAG, NULL, "all capabilities and devices", WORD_ANY},
    {"allow-new-privs", 0, OPTION_FLAG, NULL, "do not set no_new_privs", WORD_ANY},
    {"cap-add", 0, OPTION_LIST, "CAP_NAME", "add a capability", WORD_ANY},
    {"cap-drop", 0, OPTION_LIST, "CAP_NAME", "drop a capability", WORD_ANY},
    {"device", 0, OPTION_LIST, "PATH", "device, or directory of devices, to give it", WORD_FILE},
    {"with-ns", 0, OPTION_LIST, "TYPE:PATH", "namespace to join: pid, network, mount, ipc, uts",
     WORD_ANY},
    {"rootfs-propagation", 0, OPTION_TEXT, "MODE", "private, shared, slave, rprivate, ...",
     WORD_ANY},
    END,
};

static const option_row_t resource_options[] = {
    {"memory-limit", 0, OPTION_TEXT, "BYTES", "memory it may use", WORD_ANY},
    {"cpus", 0, OPTION_TEXT, "NUMBER", "processors it may use, 1.5 or so", WORD_ANY},
    {"cpu-shares", 0, OPTION_TEXT, "NUMBER", "weight; run sets 1024", WORD_ANY},
    {"cpu-quota", 0, OPTION_TEXT, "US", "microseconds in each period; -1 for no limit", WORD_ANY},
    {"cpu-period", 0, OPTION_TEXT, "US", "length of a period in microseconds", WORD_ANY},
    {"cpuset-cpus", 0, OPTION_TEXT, "LIST", "processors, 0-2,5", WORD_ANY},
    {"cpuset-mems", 0, OPTION_TEXT, "LIST", "memory nodes, 0-1", WORD_ANY},
    {"rlimit-nofile", 0, OPTION_TEXT, "SOFT[:HARD]", "open files; 1024 otherwise", WORD_ANY},
    {"cgroup", 0, OPTION_TEXT, "PATH", "/shimd/NS/ID otherwise; \"\" for the runtime's choice",
     WORD_ANY},
    END,
};

static const option_row_t runtime_options[] = {
    {"runtime", 0, OPTION_TEXT, "NAME", "io.containerd.runc.v2, or a shim's absolute path",
     WORD_FILE},
    {"runc-binary", 0, OPTION_TEXT, "PATH", "OCI runtime for the runc shim", WORD_FILE},
    {"runc-root", 0, OPTION_TEXT, "DIR", "directory of its state", WORD_DIRECTORY},
    {"runc-systemd-cgroup", 0, OPTION_FLAG, NULL, "let systemd make the cgroup", WORD_ANY},
    {"no-pivot", 0, OPTION_FLAG, NULL, "do not use pivot_root", WORD_ANY},
    {"restart", 0, OPTION_TEXT, "POLICY", "no, always, on-failure[:N] or unless-stopped", WORD_ANY},
    {"on-shim-loss", 0, OPTION_TEXT, "keep|kill", "what becomes of it when its shim dies",
     WORD_ANY},
    END,
};

/* How a process is followed: run, tasks start, tasks exec. */
static const option_row_t io_options[] = {
    {"detach", 'd', OPTION_FLAG, NULL, "leave once it is started; output goes to a log", WORD_ANY},
    {"null-io", 0, OPTION_FLAG, NULL, "no input, output thrown away", WORD_ANY},
    {"log-uri", 0, OPTION_TEXT, "URI", "output to file:///PATH or binary:///PATH", WORD_ANY},
    {"log-opt", 0, OPTION_LIST, "KEY=VALUE",
     "of the log: max-size=BYTES of a file (10m), max-file=COUNT (2)", WORD_ANY},
    {"fifo-dir", 0, OPTION_TEXT, "DIR",
     "where the fifos are made, RUN/fifo otherwise; with -d: fifos, not a log", WORD_DIRECTORY},
    END,
};

static const option_row_t pid_file_options[] = {
    {"pid-file", 0, OPTION_TEXT, "FILE", "write the process id there before the start", WORD_FILE},
    END,
};

static const option_row_t run_options[] = {
    {"rm", 0, OPTION_FLAG, NULL, "delete the container at the end; not with --detach", WORD_ANY},
    END,
};

static const option_row_t exec_options[] = {
    {"exec-id", 0, OPTION_TEXT, "EXEC", "name of the new process; a random one otherwise",
     WORD_ANY},
    {"tty", 't', OPTION_FLAG, NULL, "give it a terminal", WORD_ANY},
    {"cwd", 0, OPTION_TEXT, "DIR", "working directory in the container", WORD_ANY},
    {"env", 0, OPTION_LIST, "NAME=VALUE", "change the container's environment", WORD_ANY},
    {"user", 'u', OPTION_TEXT, "USER[:GROUP]", "name or number in the container", WORD_ANY},
    END,
};

static const option_row_t kill_options[] = {
    {"signal", 's', OPTION_TEXT, "SIGNAL", "SIGTERM otherwise; name or number", WORD_SIGNAL},
    {"all", 'a', OPTION_FLAG, NULL, "to all processes of the container", WORD_ANY},
    END,
};

static const option_row_t policy_options[] = {
    {"restart", 0, OPTION_TEXT, "POLICY", "no, always, on-failure[:N] or unless-stopped", WORD_ANY},
    END,
};

static const option_row_t delete_options[] = {
    {"force", 'f', OPTION_FLAG, NULL, "kill it first if it runs", WORD_ANY},
    END,
};

static const option_row_t info_options[] = {
    {"spec", 0, OPTION_FLAG, NULL, "print the OCI spec alone", WORD_ANY},
    END,
};

static const option_row_t logs_options[] = {
    {"follow", 'f', OPTION_FLAG, NULL, "print what comes, until the process has ended", WORD_ANY},
    {"tail", 0, OPTION_TEXT, "COUNT|all", "begin with so many lines from the end", WORD_ANY},
    {"since", 0, OPTION_TEXT, "TIME", "nothing older: 2026-01-31T12:00:00Z, or 10m ago", WORD_ANY},
    {"until", 0, OPTION_TEXT, "TIME", "nothing newer", WORD_ANY},
    {"timestamps", 't', OPTION_FLAG, NULL, "begin lines with their time", WORD_ANY},
    END,
};

static const option_row_t metrics_options[] = {
    {"format", 0, OPTION_TEXT, "table|json", "table otherwise", WORD_ANY},
    END,
};

static const option_row_t stats_options[] = {
    {"no-stream", 0, OPTION_FLAG, NULL, "print once, after looking for a second", WORD_ANY},
    END,
};

static const option_row_t update_options[] = {
    {"memory", 'm', OPTION_TEXT, "BYTES", "memory it may use; 64m, 1g", WORD_ANY},
    {"cpus", 0, OPTION_TEXT, "NUMBER", "processors it may use, 1.5 or so", WORD_ANY},
    {"cpu-shares", 0, OPTION_TEXT, "NUMBER", "weight, 2 to 262144", WORD_ANY},
    {"pids-limit", 0, OPTION_TEXT, "NUMBER", "processes it may have; -1 for no limit", WORD_ANY},
    {"resources", 'r', OPTION_TEXT, "FILE", "OCI linux resources, JSON; - for standard input",
     WORD_FILE},
    END,
};

static const option_row_t checkpoint_options[] = {
    {"exit", 0, OPTION_FLAG, NULL, "end the container afterwards", WORD_ANY},
    {"image-path", 0, OPTION_TEXT, "DIR", "where the images are written", WORD_DIRECTORY},
    {"work-path", 0, OPTION_TEXT, "DIR", "where CRIU works and writes its log", WORD_DIRECTORY},
    END,
};

static const option_row_t restore_options[] = {
    {"checkpoint", 0, OPTION_TEXT, "DIR", "restore it from these images", WORD_DIRECTORY},
    END,
};

static const option_row_t stop_options[] = {
    {"time", 't', OPTION_TEXT, "SECONDS", "patience before KILL; 10 otherwise", WORD_ANY},
    {"signal", 's', OPTION_TEXT, "SIGNAL", "SIGTERM otherwise; name or number", WORD_SIGNAL},
    END,
};

static const option_row_t shim_options[] = {
    {"id", 0, OPTION_TEXT, "ID", "container whose shim is meant", WORD_CONTAINER},
    END,
};

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
    END,
};

static const option_row_t subscriber_options[] = {
    {SINCE},
    END,
};

static const option_row_t metadata_options[] = {
    {"root-dir", 0, OPTION_TEXT, "DIR",
     "the cluster's, or $SHIMD_ROOT_DIR, when it does not run to tell", WORD_DIRECTORY},
    END,
};

static const option_row_t doctor_options[] = {
    {"repair", 0, OPTION_FLAG, NULL, "mend what is found", WORD_ANY},
    {"root-dir", 0, OPTION_TEXT, "DIR",
     "the cluster's, or $SHIMD_ROOT_DIR, when it does not run to tell", WORD_DIRECTORY},
    END,
};

/* The words that more than one row uses. */
#define RUN_SYNOPSIS "--rootfs DIR ID COMMAND [ARGUMENT...] | --config FILE ID"

const command_t command_table[] = {
    {.path = "run",
     .synopsis = RUN_SYNOPSIS,
     .brief = "make a container and run it",
     .help = "Makes a container record and its task, starts it, passes input, output and signals\n"
             "on, and ends with the process's exit status. The task is deleted at the end; the\n"
             "container only with --rm. With --detach it leaves once the process is started.\n"
             "Everything behind ID is the container's command. When something fails before the\n"
             "process is started, all that was made is undone.\n\n"
             "  shimctl run --rm --rootfs /srv/alpine a /bin/sh -c 'echo hello; exit 7'\n"
             "  shimctl run --rm -t --rootfs /srv/alpine a /bin/sh\n"
             "  shimctl run -d --memory-limit 67108864 --rootfs /srv/alpine b /bin/sleep 100\n",
     .options = {run_options, io_options, pid_file_options, container_options, resource_options,
                 runtime_options},
     .operands_max = COMMAND_OPERANDS_ANY,
     .stop_after = 2,
     .operand = WORD_DIRECTORY,
     .run = cmd_run},

    {.path = "stop",
     .synopsis = "ID [ID...]",
     .brief = "end containers, by force if they do not",
     .help = "Sends TERM, or the signal given, waits, and sends KILL to all processes of those\n"
             "that have not ended then. A task that has ended stays until it is deleted.\n\n"
             "  shimctl stop a b\n"
             "  shimctl stop -t 30 -s INT a\n",
     .options = {stop_options},
     .operands_min = 1,
     .operands_max = COMMAND_OPERANDS_ANY,
     .operand = WORD_TASK,
     .run = cmd_stop},
    {.path = "restart",
     .synopsis = "ID [ID...]",
     .brief = "stop containers and start them again, detached",
     .help = "Output goes where it went before. A limit that was changed with `tasks update` is\n"
             "again what the container's record says.\n\n"
             "  shimctl restart -t 2 a\n",
     .options = {stop_options},
     .operands_min = 1,
     .operands_max = COMMAND_OPERANDS_ANY,
     .operand = WORD_TASK,
     .run = cmd_restart},
    {.path = "stats",
     .synopsis = "[ID...]",
     .brief = "print what containers use, live",
     .help = "Without an ID, all that run. Every second; on a terminal in place. Memory is what\n"
             "the container needs, without page cache that the kernel takes back first; CPU is in\n"
             "percent of one processor.\n\n"
             "  shimctl stats\n"
             "  shimctl stats --no-stream --json a b\n",
     .options = {stats_options},
     .operands_max = COMMAND_OPERANDS_ANY,
     .operand = WORD_TASK,
     .run = cmd_stats},
    {.path = "inspect",
     .synopsis = "ID [ID...]",
     .brief = "print record, task and spec as JSON",
     .help = "One object for each, with \"container\", \"task\" (null when it has none) and\n"
             "\"spec\".\n\n"
             "  shimctl inspect a\n",
     .operands_min = 1,
     .operands_max = COMMAND_OPERANDS_ANY,
     .operand = WORD_CONTAINER,
     .run = cmd_inspect},
    {.path = "explain",
     .synopsis = "ID [ID...]",
     .brief = "tell a container's story, and why it is as it is",
     .help =
         "First how it is and why; then, in order of time, what was asked about it, by whom and\n"
         "with which result, and which events that made, its execs' too, also when the\n"
         "container was deleted since. Requests are known for 24 hours, exits for 7 days, and\n"
         "events as long as the journal keeps them.\n\n"
         "  shimctl explain a\n"
         "  shimctl --json explain a\n",
     .operands_min = 1,
     .operands_max = COMMAND_OPERANDS_ANY,
     .operand = WORD_CONTAINER,
     .run = cmd_explain},
    {.path = "exec", .same_as = "tasks exec"},
    {.path = "kill", .same_as = "tasks kill"},
    {.path = "ps", .same_as = "tasks ps"},
    {.path = "wait", .same_as = "tasks wait"},

    {.path = "containers", .aliases = {"c", "container"}, .brief = "container records"},
    {.path = "containers create",
     .synopsis = RUN_SYNOPSIS,
     .brief = "record a container",
     .help = "Records a container; `shimctl tasks start ID` runs it, as often as wanted.\n\n"
             "  shimctl containers create --rootfs /srv/alpine a /bin/sleep 100\n",
     .options = {container_options, resource_options, runtime_options},
     .operands_max = COMMAND_OPERANDS_ANY,
     .stop_after = 2,
     .operand = WORD_DIRECTORY,
     .run = cmd_containers_create},
    {.path = "containers delete",
     .aliases = {"del", "remove", "rm"},
     .synopsis = "ID [ID...]",
     .brief = "delete records",
     .help = "Deletes containers, and their tasks when those have ended or were never started.\n"
             "Goes on after a failure and ends with the exit status of the first.\n",
     .operands_min = 1,
     .operands_max = COMMAND_OPERANDS_ANY,
     .operand = WORD_CONTAINER,
     .run = cmd_containers_delete},
    {.path = "containers info",
     .synopsis = "ID",
     .brief = "print a record with its spec",
     .help = "Prints ctr's fields, or with --json those of the wire.\n",
     .options = {info_options},
     .operands_min = 1,
     .operands_max = 1,
     .operand = WORD_CONTAINER,
     .run = cmd_containers_info},
    {.path = "containers label",
     .synopsis = "ID [KEY=VALUE...]",
     .brief = "set labels and print all of them",
     .help = "An empty value removes the label; KEY alone sets it to \"true\".\n\n"
             "  shimctl containers label a tier=web old=\n",
     .operands_min = 1,
     .operands_max = COMMAND_OPERANDS_ANY,
     .operand = WORD_CONTAINER,
     .run = cmd_containers_label},
    {.path = "containers list",
     .aliases = {"ls"},
     .synopsis = "[FILTER...]",
     .brief = "list records",
     .help = "Prints those that a FILTER matches, or all.\n" FILTER_HELP
             "  shimctl containers list labels.tier==web 'created_at>-1h'\n",
     .options = {quiet_options},
     .operands_max = COMMAND_OPERANDS_ANY,
     .run = cmd_containers_list},

    {.path = "update",
     .synopsis = "--restart POLICY ID [ID...] | LIMITS ID",
     .brief = "change the restart policy, or the limits of a container that runs",
     .help =
         "With always and unless-stopped a container is run again whenever it has ended, with\n"
         "on-failure when it failed, at most N times with on-failure:N: at once, then after\n"
         "100ms, 200ms and so on up to a minute, until it has run for 10 seconds. A stop (tasks\n"
         "kill with TERM or KILL, tasks delete) ends that until it is started again; with\n"
         "always, until the cluster is.\n\n"
         "  shimctl update --restart on-failure:5 a\n"
         "  shimctl update --memory 128m a                # as `tasks update`\n",
     .options = {policy_options, update_options},
     .operands_min = 1,
     .operands_max = COMMAND_OPERANDS_ANY,
     .operand = WORD_CONTAINER,
     .run = cmd_update},

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
             "of its process and deletes the task then.\n",
     .operands_min = 1,
     .operands_max = 1,
     .operand = WORD_TASK,
     .run = cmd_tasks_attach},
    {.path = "tasks exec",
     .synopsis = "ID COMMAND [ARGUMENT...]",
     .brief = "run another process in a container",
     .help = "Everything behind ID is the command.\n\n"
             "  shimctl tasks exec -t a /bin/sh\n"
             "  shimctl tasks exec -d --exec-id logger a /bin/sleep 100\n",
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
         "24 hours. KNOWN FROM is wait or state (of the shim), waitpid (of the supervisor, where\n"
         "the shim was killed), task.delete, or none.\n" FILTER_HELP
         "  shimctl tasks exits 'exit_status!=0' --limit 10\n"
         "  shimctl tasks exits id==a,unknown==true\n",
     .options = {exits_options},
     .operands_max = COMMAND_OPERANDS_ANY,
     .run = cmd_tasks_exits},
    {.path = "tasks ps",
     .synopsis = "ID",
     .brief = "list the processes of a container",
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
     .operands_min = 1,
     .operands_max = 1,
     .operand = WORD_TASK,
     .run = cmd_tasks_pause},
    {.path = "tasks resume",
     .synopsis = "ID",
     .brief = "thaw it",
     .operands_min = 1,
     .operands_max = 1,
     .operand = WORD_TASK,
     .run = cmd_tasks_resume},
    {.path = "tasks wait",
     .synopsis = "ID [ID...]",
     .brief = "wait for the end and print exit codes",
     .help = "Prints a line for each, in the order of the words, also when it has ended already.\n",
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
             "it ends with the exit status of the exec that was deleted.\n",
     .options = {delete_options, exec_id_options},
     .operands_min = 1,
     .operands_max = COMMAND_OPERANDS_ANY,
     .operand = WORD_TASK,
     .run = cmd_tasks_delete},

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

    {.path = "shim", .brief = "one shim, asked directly; for operators"},
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
             "down. The shim stays until it is shut down.\n",
     .options = {shim_options},
     .run = cmd_shim_delete},
    {.path = "shim shutdown",
     .synopsis = "--id ID",
     .brief = "end the shim",
     .help = "A shim that still has containers stays: it is asked, not forced.\n",
     .options = {shim_options},
     .run = cmd_shim_shutdown},

    {.path = "namespaces", .aliases = {"ns", "namespace"}, .brief = "namespaces"},
    {.path = "namespaces create",
     .aliases = {"c"},
     .synopsis = "NAME [KEY=VALUE...]",
     .brief = "make a namespace",
     .operands_min = 1,
     .operands_max = COMMAND_OPERANDS_ANY,
     .run = cmd_namespaces_create},
    {.path = "namespaces list",
     .aliases = {"ls"},
     .synopsis = "[FILTER...]",
     .brief = "list namespaces",
     .help = "Prints those that a FILTER matches, or all.\n" FILTER_HELP
             "  shimctl namespaces list 'name~=^test'\n",
     .options = {quiet_options},
     .operands_max = COMMAND_OPERANDS_ANY,
     .run = cmd_namespaces_list},
    {.path = "namespaces label",
     .synopsis = "NAME [KEY=VALUE...]",
     .brief = "set labels",
     .help = "An empty value removes the label; KEY alone sets it to \"true\".\n",
     .operands_min = 1,
     .operands_max = COMMAND_OPERANDS_ANY,
     .operand = WORD_NAMESPACE,
     .run = cmd_namespaces_label},
    {.path = "namespaces remove",
     .aliases = {"rm"},
     .synopsis = "NAME [NAME...]",
     .brief = "delete empty namespaces",
     .help = "Prints the names of those that are gone, and goes on after a failure.\n",
     .operands_min = 1,
     .operands_max = COMMAND_OPERANDS_ANY,
     .operand = WORD_NAMESPACE,
     .run = cmd_namespaces_remove},

    {.path = "events",
     .aliases = {"event"},
     .synopsis = "[FILTER...]",
     .brief = "print events as they happen",
     .help =
         "Lines are TIMESTAMP NAMESPACE TOPIC JSON, of all namespaces unless -n is given. Each\n"
         "event comes once and in the journal's order, also after an outage of the cluster's\n"
         "processes.\n\n"
         "--since and --until take a number of the journal, a time (2026-01-31T12:00:00Z, or\n"
         "@1769860800, seconds since the epoch) or how long ago (10m). With --subscriber the\n"
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
     .brief = "list them, and how far behind they are",
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
     .brief = "forget them",
     .help = "Goes on after a failure and ends with the exit status of the first.\n",
     .operands_min = 1,
     .operands_max = COMMAND_OPERANDS_ANY,
     .operand = WORD_SUBSCRIBER,
     .run = cmd_subscribers_delete},

    {.path = "cluster", .brief = "the cluster's own processes"},
    {.path = "cluster status", .synopsis = "", .brief = "how they are", .run = cmd_cluster_status},
    {.path = "cluster restart",
     .synopsis = "PROCESS",
     .brief = "stop one and start its successor",
     .help = "PROCESS is broker, bundle, shim, metadata, supervisor or all. Containers are not "
             "touched,\n"
             "no request fails: a process finishes what it has, its successor takes what comes\n"
             "meanwhile. After an upgrade of the executables \"all\" puts them to use, the "
             "supervisor's\n"
             "own in the same process; nothing is restarted when what was installed cannot start.\n"
             "  shimctl cluster restart shim\n"
             "  shimctl cluster restart all\n",
     .operands_min = 1,
     .operands_max = 1,
     .operand = WORD_PROCESS,
     .run = cmd_cluster_restart},

    {.path = "metadata", .brief = "the file of records and events"},
    {.path = "metadata check",
     .synopsis = "",
     .brief = "look at every record",
     .help = "Reads the whole file beside the cluster, which goes on, and also when none runs.\n"
             "Ends with the status of DATA_LOSS when anything is damaged.\n",
     .options = {metadata_options},
     .run = cmd_metadata_check},
    {.path = "metadata backup",
     .synopsis = "FILE",
     .brief = "write a copy of it",
     .help = "The state of one moment, complete, compact and looked over, while the cluster works\n"
             "on. FILE is replaced only when the copy is good. It cannot be in the store's "
             "directory.\n",
     .options = {metadata_options},
     .operands_min = 1,
     .operands_max = 1,
     .operand = WORD_FILE,
     .run = cmd_metadata_backup},
    {.path = "metadata restore",
     .synopsis = "FILE",
     .brief = "put a copy in its place",
     .help = "Refused while a cluster works on it. The file that was there is kept beside the new\n"
             "one, under a name that begins with damaged-replaced-.\n",
     .options = {metadata_options},
     .operands_min = 1,
     .operands_max = 1,
     .operand = WORD_FILE,
     .run = cmd_metadata_restore},

    {.path = "doctor",
     .synopsis = "",
     .brief = "find what is wrong, and mend it",
     .help =
         "Compares the cluster's tasks, records and journal with the machine: shims, sockets,\n"
         "bundles, work directories, mounts, fifos, cgroups, runc's state. Prints each\n"
         "difference with the request that caused it, once it has lasted: what is under way\n"
         "is none. --repair asks the cluster's workers to mend it, and does itself what they\n"
         "cannot. Ends with 14 while anything is wrong, and with 10 when nothing was found but\n"
         "part of the cluster did not answer. A cluster that does not run is no fault; then\n"
         "only the machine is looked at. Only what is provably this cluster's is touched.\n\n"
         "  shimctl doctor\n"
         "  shimctl --json doctor --repair\n",
     .options = {doctor_options},
     .run = cmd_doctor},

    {.path = "messages",
     .synopsis = "[NAME]",
     .brief = "print the wire's methods and records",
     .help = "  shimctl messages task.create\n",
     .operands_max = 1,
     .operand = WORD_METHOD,
     .run = cmd_messages},
    {.path = "version",
     .synopsis = "",
     .brief = "print the versions of client and cluster",
     .run = cmd_version},
    {.path = "help",
     .aliases = {"h"},
     .synopsis = "[COMMAND | TOPIC]",
     .brief = "print help",
     .operands_max = 2,
     .operand = WORD_HELP,
     .run = cmd_help},
    {.path = "__complete",
     .synopsis = "-- WORD...",
     .brief = "candidates for the last word",
     .operands_max = COMMAND_OPERANDS_ANY,
     .run = cmd_complete,
     .hidden = true},
    {0},
};
