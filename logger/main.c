/* shimd-log: writes the output of a detached process into files. A shim starts it as its
 * `binary://` logger; from then on it depends on nobody. Waiting for the disk is what it is for. */
#include "common/failpoint_term.h"
#include "logger/guard.h"
#include "logger/log_failpoint.h"
#include "logger/log_writer.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Where a shim puts them. */
enum { OUTPUT_FD = 3, ERRORS_FD, READY_FD };

/* A shim sends SIGTERM when it has closed its ends, and waits for 12 s: the end of the pipes is all
 * that ends the writing. Nor does it end with whoever shares its session or process group. */
static void detach(void)
{
    static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGXFSZ};
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        signal(ignored[i], SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* if it was ignored, the guard could not wait */
    (void)setsid();           /* fails for the leader of a group, which is alone then */
    (void)!chdir("/");        /* the shim's is the bundle */
}

int main(int argc, char **argv)
{
    log_settings_t settings;
    bool has_ended = false;
    if (fcntl(OUTPUT_FD, F_GETFD) < 0 || fcntl(ERRORS_FD, F_GETFD) < 0) {
        fprintf(stderr, "shimd-log " SHIMD_VERSION ": a shim starts this as its logger, "
                        "binary:///PATH/shimd-log?dir=DIR&max-size=BYTES&max-file=COUNT, with the "
                        "output in descriptors 3 and 4\n");
        return 2;
    }
    log_settings_read(argc, argv, &settings);
    if (settings.failpoints)
        failpoint_enable(settings.failpoints, "log");
    log_writer_t *writer = log_writer_new(&settings, OUTPUT_FD, ERRORS_FD);
    if (!writer || !log_failpoint("start"))
        return EXIT_FAILURE;
    detach();
    close(READY_FD); /* the shim waits for all of its copies to be closed: before the first fork */
    while (!has_ended) {
        bool after_death;
        int guard = guard_enter(&after_death);
        log_failpoint("begin");
        if (after_death)
            log_writer_note_death(writer);
        has_ended = log_writer_run(writer, guard);
        if (guard >= 0)
            close(guard);
    }
    log_failpoint("end");
    log_writer_destroy(&writer);
    return EXIT_SUCCESS;
}
