/* How long a client waits that asks at the moment at which a process is killed.
 *
 *   recovery_bench ENDPOINT
 *
 * reads lines "PID METHOD NS ID" (PID 0: nobody is killed), kills the process, asks METHOD about ID
 * at once, and prints the microseconds until the answer. ID "-" is none. ENDPOINT is the clients'.
 */
#include "common/link.h"
#include "common/util.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define ANSWER_MS 60000

typedef union ask {
    msg_broker_ping_t ping;
    msg_bundle_get_t bundle;
    msg_container_get_t container;
    msg_task_get_t task;
} ask_t;

static bool fill(ask_t *ask, const char *method, const char *id, msg_id_t *ret)
{
    *ask = (ask_t){0};
    *ret = msg_find(method);
    if (*ret == MSG_bundle_get)
        ask->bundle.id = id;
    else if (*ret == MSG_container_get)
        ask->container.id = id;
    else if (*ret == MSG_task_get)
        ask->task.id = id;
    else
        return *ret == MSG_broker_ping;
    return true;
}

int main(int argc, char **argv)
{
    char line[256], method[65], ns[80], id[80];
    int pid;
    status_t st;
    io_set_t *io = io_set_new(NULL);
    link_t *link = argc == 2 ? link_new(io, argv[1], &st) : NULL;
    if (!link) {
        fputs("usage: recovery_bench ENDPOINT\n", stderr);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof line, stdin)) {
        ask_t ask;
        msg_id_t what;
        if (sscanf(line, "%d %64s %79s %79s", &pid, method, ns, id) != 4 ||
            !fill(&ask, method, id, &what)) {
            fprintf(stderr, "recovery_bench: not understood: %s", line);
            return 2;
        }
        int64_t begun = util_monotonic_us();
        if (pid)
            kill(pid, SIGKILL);
        msgpack_zone zone;
        msgpack_zone_init(&zone, MSGPACK_ZONE_CHUNK_SIZE);
        void *answer = msgpack_zone_malloc(&zone, msg_type(msg_type(what)->answer)->size);
        if (link_call(link, what, &ask, ns, ANSWER_MS, &zone, answer, &st)) {
            fprintf(stderr, "recovery_bench: %s\n", st.text);
            return EXIT_FAILURE;
        }
        printf("%lld\n", (long long)(util_monotonic_us() - begun));
        msgpack_zone_destroy(&zone);
    }
    link_destroy(&link);
    io_set_destroy(&io);
    return EXIT_SUCCESS;
}
