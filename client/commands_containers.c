/* Commands about containers and namespaces, and those that join several steps. */
#include "client/command_sets.h"
#include "client/commands.h"

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
    {"with-ns", 0, OPTION_LIST, "TYPE:PATH",
     "namespace to join: pid, network, mount, ipc, uts, user, cgroup", WORD_ANY},
    {"rootfs-propagation", 0, OPTION_TEXT, "MODE", "private, shared, slave, rprivate, ...",
     WORD_ANY},
    {0},
};

static const option_row_t resource_options[] = {
    {"memory-limit", 0, OPTION_TEXT, "BYTES", "memory it may use; 64m, 1g", WORD_ANY},
    {"cpus", 0, OPTION_TEXT, "NUMBER", "processors it may use, 1.5 or so", WORD_ANY},
    {"cpu-shares", 0, OPTION_TEXT, "NUMBER", "weight; run sets 1024", WORD_ANY},
    {"cpu-quota", 0, OPTION_TEXT, "US", "microseconds in each period; -1 for no limit", WORD_ANY},
    {"cpu-period", 0, OPTION_TEXT, "US", "length of a period in microseconds", WORD_ANY},
    {"cpuset-cpus", 0, OPTION_TEXT, "LIST", "processors, 0-2,5", WORD_ANY},
    {"cpuset-mems", 0, OPTION_TEXT, "LIST", "memory nodes, 0-1", WORD_ANY},
    {"rlimit-nofile", 0, OPTION_TEXT, "SOFT[:HARD]", "open files; 1024 otherwise", WORD_ANY},
    {"cgroup", 0, OPTION_TEXT, "PATH",
     "/shimd/NS/ID otherwise, or /shimd-HASH/NS/ID for another RUN; \"\" for the runtime's choice",
     WORD_ANY},
    {0},
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
    {0},
};

static const option_row_t run_options[] = {
    {"rm", 0, OPTION_FLAG, NULL,
     "delete the container at the end; the cluster does it with --detach; not with --restart",
     WORD_ANY},
    {0},
};

static const option_row_t policy_options[] = {
    {"restart", 0, OPTION_TEXT, "POLICY", "no, always, on-failure[:N] or unless-stopped", WORD_ANY},
    {0},
};

static const option_row_t info_options[] = {
    {"spec", 0, OPTION_FLAG, NULL, "print the OCI spec alone", WORD_ANY},
    {0},
};

static const option_row_t stats_options[] = {
    {"no-stream", 0, OPTION_FLAG, NULL, "print once, after looking for a second", WORD_ANY},
    {0},
};

static const option_row_t stop_options[] = {
    {"time", 't', OPTION_TEXT, "TIME", "patience before KILL, 30 or 1m30s; 10s otherwise",
     WORD_ANY},
    {"signal", 's', OPTION_TEXT, "SIGNAL", "SIGTERM otherwise; name or number", WORD_SIGNAL},
    {0},
};

#define RUN_SYNOPSIS "--rootfs DIR ID COMMAND [ARGUMENT...] | --config FILE ID"

const command_t commands_containers[] = {
    {.path = "run",
     .synopsis = RUN_SYNOPSIS,
     .brief = "make a container and run it",
     .help =
         "Makes a container record and its task, starts it, passes input, output and signals\n"
         "on, and ends with the process's exit status. The task is deleted at the end; the\n"
         "container only with --rm. With --detach it leaves once the process is started.\n"
         "The cluster does what --rm asks for when shimctl cannot, with --detach or because it\n"
         "was killed: not before the process has ended. Such a container cannot be restarted.\n"
         "--restart needs --detach.\n"
         "Everything behind ID is the container's command. When something fails before the\n"
         "process is started, all that was made is undone.\n\n"
         "  shimctl run --rm --rootfs /srv/alpine a /bin/sh -c 'echo hello; exit 7'\n"
         "  shimctl run --rm -t --rootfs /srv/alpine a /bin/sh\n"
         "  shimctl run -d --memory-limit 64m --rootfs /srv/alpine b /bin/sleep 100\n",
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
     .help =
         "Output that went to a log, or another URI, goes there again; fifos are made anew, in\n"
         "RUN/fifo. A limit that was changed with `tasks update` is again what the container's\n"
         "record says. What was made with run --rm cannot be restarted.\n\n"
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
             "percent of one processor. One whose shim does not answer within 5 seconds is shown\n"
             "without numbers, and keeps no other waiting.\n\n"
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
             "Goes on after a failure and ends with the exit status of the first.\n"
             "\n"
             "  shimctl containers delete a b\n",
     .operands_min = 1,
     .operands_max = COMMAND_OPERANDS_ANY,
     .operand = WORD_CONTAINER,
     .run = cmd_containers_delete},
    {.path = "containers info",
     .synopsis = "ID",
     .brief = "print a record with its spec",
     .help = "Prints ctr's fields, or with --json those of the wire.\n"
             "\n"
             "  shimctl containers info a\n",
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
         "100ms, 200ms and so on up to a minute, until it has run for 10 seconds. A stop (stop,\n"
         "kill with TERM or KILL, tasks delete) ends that until it is started again; with\n"
         "always, until the cluster is. What was made with run --rm takes none but no.\n\n"
         "  shimctl update --restart on-failure:5 a\n"
         "  shimctl update --memory 128m a                # as `tasks update`\n",
     .options = {policy_options, update_options},
     .operands_min = 1,
     .operands_max = COMMAND_OPERANDS_ANY,
     .operand = WORD_CONTAINER,
     .run = cmd_update},

    {.path = "namespaces", .aliases = {"ns", "namespace"}, .brief = "namespaces"},
    {.path = "namespaces create",
     .aliases = {"c"},
     .synopsis = "NAME [KEY=VALUE...]",
     .brief = "make a namespace",
     .help = "  shimctl namespaces create build team=core\n",
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
     .help = "An empty value removes the label; KEY alone sets it to \"true\".\n"
             "\n"
             "  shimctl namespaces label build team=core stage=\n",
     .operands_min = 1,
     .operands_max = COMMAND_OPERANDS_ANY,
     .operand = WORD_NAMESPACE,
     .run = cmd_namespaces_label},
    {.path = "namespaces remove",
     .aliases = {"rm"},
     .synopsis = "NAME [NAME...]",
     .brief = "delete empty namespaces",
     .help = "Prints the names of those that are gone, and goes on after a failure.\n"
             "\n"
             "  shimctl namespaces remove build\n",
     .operands_min = 1,
     .operands_max = COMMAND_OPERANDS_ANY,
     .operand = WORD_NAMESPACE,
     .run = cmd_namespaces_remove},
    {0},
};
