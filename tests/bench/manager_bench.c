/* The same work asked of shimd and of containerd, in turns, by one process that keeps a connection
 * to each. Prints a line for each measurement: the manager's name, then microseconds.
 *
 *   manager_bench ENDPOINT SOCKET RUNC_ROOT SPEC cycle N   a container made, started, waited for
 * and deleted: one number for each step manager_bench ENDPOINT SOCKET RUNC_ROOT SPEC fill N    N
 * tasks started with each; no measurement manager_bench ENDPOINT SOCKET RUNC_ROOT SPEC list N all
 * tasks listed manager_bench ENDPOINT SOCKET RUNC_ROOT SPEC empty N   what `fill N` made is removed
 *
 * ENDPOINT is shimd's for clients, SOCKET containerd's, RUNC_ROOT where containerd's runc keeps its
 * state, SPEC a file with an OCI configuration. At the end comes a line for each manager with what
 * this process used of the processor on its behalf: "client", the name, microseconds.
 */
#include "common/util.h"
#include "tests/bench/peer.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define PEERS     2
#define STEPS     6
#define ID_SIZE   77
#define SIGKILL_N 9
#define PAUSE_US  20000 /* so that nobody pays for what the other still does after its answer */

static int64_t processor_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 + usage.ru_utime.tv_usec +
           usage.ru_stime.tv_usec;
}

/* Unlike for both managers: runc names the cgroup after the container. */
static const char *id_of(const peer_t *peer, size_t number)
{
    static char id[ID_SIZE];
    snprintf(id, sizeof id, "%s-bench-%d-%zu", peer->name, (int)getpgrp(), number);
    return id;
}

static void lap(int64_t *step, int64_t *since)
{
    int64_t now = util_monotonic_us();
    *step = now - *since;
    *since = now;
}

static void cycle(const peer_t *peer, const char *spec, size_t number)
{
    const char *id = id_of(peer, number);
    int64_t steps[STEPS], since = util_monotonic_us();
    peer->create_container(peer->client, id, spec);
    lap(&steps[0], &since);
    peer->create_task(peer->client, id);
    lap(&steps[1], &since);
    peer->begin_wait(peer->client, id);
    peer->start(peer->client, id);
    lap(&steps[2], &since);
    uint32_t status = peer->end_wait(peer->client);
    lap(&steps[3], &since);
    peer->delete_task(peer->client, id);
    lap(&steps[4], &since);
    peer->delete_container(peer->client, id);
    lap(&steps[5], &since);
    if (status) {
        fprintf(stderr, "manager_bench: %s: %s: exit status %u\n", peer->name, id, status);
        exit(EXIT_FAILURE);
    }
    printf("%s", peer->name);
    for (size_t i = 0; i < STEPS; i++)
        printf(" %lld", (long long)steps[i]);
    putchar('\n');
}

static void fill(const peer_t *peer, const char *spec, size_t number)
{
    const char *id = id_of(peer, number);
    peer->create_container(peer->client, id, spec);
    peer->create_task(peer->client, id);
    peer->start(peer->client, id);
}

static void list(const peer_t *peer, const char *spec, size_t number)
{
    int64_t step, since = util_monotonic_us();
    size_t count = peer->list(peer->client);
    lap(&step, &since);
    (void)spec;
    (void)number;
    if (count == 0) {
        fprintf(stderr, "manager_bench: %s lists no task\n", peer->name);
        exit(EXIT_FAILURE);
    }
    printf("%s %lld\n", peer->name, (long long)step);
}

static void empty(const peer_t *peer, const char *spec, size_t number)
{
    const char *id = id_of(peer, number);
    (void)spec;
    peer->begin_wait(peer->client, id);
    peer->kill(peer->client, id, SIGKILL_N);
    peer->end_wait(peer->client);
    peer->delete_task(peer->client, id);
    peer->delete_container(peer->client, id);
}

static char *read_text(const char *path)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat stat;
    if (fd < 0 || fstat(fd, &stat))
        return NULL;
    char *text = calloc(1, (size_t)stat.st_size + 1);
    if (text && read(fd, text, (size_t)stat.st_size) != stat.st_size) {
        free(text);
        return NULL;
    }
    return text;
}

static const struct {
    const char *name;
    void (*run)(const peer_t *peer, const char *spec, size_t number);
    bool has_pause;
} commands[] = {
    {"cycle", cycle, true}, {"fill", fill, false}, {"list", list, false}, {"empty", empty, false}};

/* Who goes first changes from one to the next. */
static void run(size_t command, const peer_t *peers, const char *spec, size_t count)
{
    int64_t used[PEERS] = {0};
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < PEERS; j++) {
            size_t at = (i + j) % PEERS;
            if (commands[command].has_pause)
                usleep(PAUSE_US);
            int64_t before = processor_us();
            commands[command].run(&peers[at], spec, i);
            used[at] += processor_us() - before;
        }
    for (size_t j = 0; j < PEERS; j++)
        printf("client %s %lld\n", peers[j].name, (long long)(used[j] / (int64_t)count));
}

int main(int argc, char **argv)
{
    size_t command = 0, count = argc == 7 ? strtoul(argv[6], NULL, 10) : 0;
    while (argc == 7 && command < ARRAY_SIZE(commands) && strcmp(commands[command].name, argv[5]))
        command++;
    if (count == 0 || command == ARRAY_SIZE(commands)) {
        fputs("usage: manager_bench ENDPOINT SOCKET RUNC_ROOT SPEC cycle|fill|list|empty N\n",
              stderr);
        return 2;
    }
    AUTO_FREE char *spec = read_text(argv[4]);
    if (!spec) {
        perror(argv[4]);
        return EXIT_FAILURE;
    }
    const peer_t peers[PEERS] = {peer_shimd(argv[1]), peer_containerd(argv[2], argv[3])};
    run(command, peers, spec, count);
    for (size_t i = 0; i < PEERS; i++)
        peers[i].close(peers[i].client);
    return EXIT_SUCCESS;
}
