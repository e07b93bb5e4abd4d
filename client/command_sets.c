/* Options that commands of several files take. */
#include "client/command_sets.h"

const option_row_t quiet_options[] = {
    {"quiet", 'q', OPTION_FLAG, NULL, "print only the names", WORD_ANY},
    {0},
};

/* How a process is followed: run, tasks start, tasks exec. */
const option_row_t io_options[] = {
    {"detach", 'd', OPTION_FLAG, NULL, "leave once it is started; output goes to a log", WORD_ANY},
    {"null-io", 0, OPTION_FLAG, NULL, "no input, output thrown away", WORD_ANY},
    {"log-uri", 0, OPTION_TEXT, "URI", "output to file:///PATH, or /PATH alone, or binary:///PATH",
     WORD_ANY},
    {"log-opt", 0, OPTION_LIST, "KEY=VALUE",
     "of the log: max-size=BYTES of a file (10m), max-file=COUNT (2)", WORD_ANY},
    {"fifo-dir", 0, OPTION_TEXT, "DIR",
     "where the fifos are made, RUN/fifo otherwise; with -d: fifos, not a log", WORD_DIRECTORY},
    {0},
};

const option_row_t pid_file_options[] = {
    {"pid-file", 0, OPTION_TEXT, "FILE", "write the process id there before the start", WORD_FILE},
    {0},
};

const option_row_t update_options[] = {
    {"memory", 'm', OPTION_TEXT, "BYTES", "memory it may use; 64m, 1g", WORD_ANY},
    {"cpus", 0, OPTION_TEXT, "NUMBER", "processors it may use, 1.5 or so", WORD_ANY},
    {"cpu-shares", 0, OPTION_TEXT, "NUMBER", "weight, 2 to 262144", WORD_ANY},
    {"pids-limit", 0, OPTION_TEXT, "NUMBER", "processes it may have; -1 for no limit", WORD_ANY},
    {"resources", 'r', OPTION_TEXT, "FILE", "OCI linux resources, JSON; - for standard input",
     WORD_FILE},
    {0},
};
