/* containerd-shim-fake-v2: a runtime v2 shim that does what a test tells it, right or wrong. See
 * README.md. */
#include "tests/fake-shim/daemon.h"
#include "tests/fake-shim/runner.h"
#include "tests/fake-shim/verbs.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    if (runner_is_stub(argc, argv))
        runner_stub(argv);
    options_t options;
    if (!options_parse(argc, argv, &options))
        return 2;
    if (options.is_version) {
        printf("%s:\n  Version:  %s\n", options.program, SHIMD_VERSION);
        return 0;
    }
    if (options.is_info)
        return verb_info(&options);
    if (!*options.ns) {
        fprintf(stderr, "%s: shim namespace cannot be empty\n", options.program);
        return 1;
    }
    if (!*options.id) {
        fprintf(stderr, "%s: shim id cannot be empty\n", options.program);
        return 1;
    }
    if (strcmp(options.verb, "start") == 0)
        return verb_start(&options);
    if (strcmp(options.verb, "delete") == 0)
        return verb_delete(&options);
    return daemon_run(&options);
}
