/* Every command of shimctl with its options and its help. Names and aliases are ctr's wherever ctr
 * has the command. */
#include "client/command_sets.h"
#include "common/util.h"

const option_row_t command_global_options[] = {
    {"namespace", 'n', OPTION_TEXT, "NAME", "namespace, or $SHIMD_NAMESPACE; \"default\" otherwise",
     WORD_NAMESPACE},
    {"json", 0, OPTION_FLAG, NULL, "print one JSON object, or one a line", WORD_ANY},
    {"run-dir", 0, OPTION_TEXT, "DIR", "the cluster's, or $SHIMD_RUN_DIR; /run/shimd otherwise",
     WORD_DIRECTORY},
    {"timeout", 0, OPTION_TEXT, "TIME", "how long one request may take, 30s or 1m", WORD_ANY},
    {"help", 'h', OPTION_FLAG, NULL, "print help", WORD_ANY},
    {"version", 0, OPTION_FLAG, NULL, "print the version", WORD_ANY},
    {0},
};

/* In the order in which help lists them. */
static const command_t *const sets[] = {commands_containers, commands_tasks, commands_events,
                                        commands_cluster};

const command_t *command_row(size_t index)
{
    for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
        for (const command_t *row = sets[i]; row->path; row++)
            if (index-- == 0)
                return row;
    return NULL;
}
