/* Commands about the cluster itself, its store, and shimctl. */
#include "client/command_sets.h"
#include "client/commands.h"

static const option_row_t root_options[] = {
    {"root-dir", 0, OPTION_TEXT, "DIR",
     "the cluster's, or $SHIMD_ROOT_DIR, when it does not run to tell", WORD_DIRECTORY},
    {0},
};

static const option_row_t doctor_options[] = {
    {"repair", 0, OPTION_FLAG, NULL, "mend what is found", WORD_ANY},
    {0},
};

const command_t commands_cluster[] = {
    {.path = "cluster", .brief = "the cluster's own processes"},
    {.path = "cluster status",
     .synopsis = "",
     .brief = "list the processes and how each of them is",
     .help =
         "Bundles of deleted tasks that could not be removed yet follow (\"not removed yet\").\n\n"
         "  shimctl cluster status\n"
         "  shimctl cluster status --json\n",
     .run = cmd_cluster_status},
    {.path = "cluster restart",
     .synopsis = "PROCESS",
     .brief = "stop a process and start its successor",
     .help =
         "PROCESS is broker, bundle, shim, metadata, supervisor or all. Containers are not\n"
         "touched, no request fails: a worker serves on until what only it can finish is done,\n"
         "such as a checkpoint, and its successor takes the rest. After an upgrade of the\n"
         "executables \"all\" puts them to use, the supervisor's own in the same process, but for\n"
         "shimd-keeper and each shimd-log, which keep theirs until they end; nothing is restarted\n"
         "when what was installed cannot start.\n"
         "\n"
         "  shimctl cluster restart shim\n"
         "  shimctl cluster restart all\n",
     .operands_min = 1,
     .operands_max = 1,
     .operand = WORD_PROCESS,
     .run = cmd_cluster_restart},

    {.path = "metadata", .brief = "the file of records and events"},
    {.path = "metadata status",
     .synopsis = "",
     .brief = "print how large the file is, and what it keeps",
     .help =
         "The file's size, how much of it is in use and where it ends, the events it has and how\n"
         "long they are kept, when it was copied last, what was found damaged, who else reads\n"
         "it, and how much each table takes.\n"
         "\n"
         "  shimctl metadata status\n",
     .run = cmd_metadata_status},
    {.path = "metadata check",
     .synopsis = "",
     .brief = "look at every record",
     .help = "Reads the whole file beside the cluster, which goes on, and also when none runs.\n"
             "Ends with 1 when anything is damaged.\n"
             "\n"
             "  shimctl metadata check\n",
     .options = {root_options},
     .run = cmd_metadata_check},
    {.path = "metadata backup",
     .synopsis = "FILE",
     .brief = "write a copy of the file",
     .help = "The state of one moment, complete, compact and looked over, while the cluster works\n"
             "on. FILE is replaced only when the copy is good. It cannot be in the store's\n"
             "directory. Records that are damaged are left out and counted; it ends with 1 then.\n"
             "\n"
             "  shimctl metadata backup /var/backups/shimd.mdb\n",
     .options = {root_options},
     .operands_min = 1,
     .operands_max = 1,
     .operand = WORD_FILE,
     .run = cmd_metadata_backup},
    {.path = "metadata restore",
     .synopsis = "FILE",
     .brief = "put a copy in the place of the file",
     .help = "Refused while a cluster works on it. The file that was there is kept beside the new\n"
             "one, under a name that begins with damaged-replaced-.\n"
             "\n"
             "  shimctl metadata restore /var/backups/shimd.mdb\n",
     .options = {root_options},
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
     .options = {doctor_options, root_options},
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
     .help = "  shimctl version --json\n",
     .run = cmd_version},
    {.path = "help",
     .aliases = {"h"},
     .synopsis = "[COMMAND | TOPIC]",
     .brief = "print help",
     .help = "  shimctl help tasks kill\n"
             "  shimctl help filters\n",
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
