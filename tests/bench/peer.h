/* A container manager as the benchmark sees it: the same requests, on one connection that is kept,
 * for shimd over its wire and for containerd over gRPC. Whatever fails ends the program with a
 * sentence. */
#ifndef SHIMD_BENCH_PEER_H
#define SHIMD_BENCH_PEER_H

#include <stddef.h>
#include <stdint.h>

#define PEER_NAMESPACE "bench"
#define PEER_RUNTIME   "io.containerd.runc.v2"

typedef struct peer {
    const char *name;
    void *client;
    void (*create_container)(void *client, const char *id, const char *spec);
    void (*create_task)(void *client, const char *id);
    void (*begin_wait)(void *client, const char *id); /* one at a time */
    void (*start)(void *client, const char *id);
    uint32_t (*end_wait)(void *client); /* the exit status */
    void (*kill)(void *client, const char *id, uint32_t signal);
    void (*delete_task)(void *client, const char *id);
    void (*delete_container)(void *client, const char *id);
    size_t (*list)(void *client); /* how many tasks there are */
    void (*close)(void *client);
} peer_t;

/* `endpoint` is the ZeroMQ endpoint of clients. */
peer_t peer_shimd(const char *endpoint);

/* `socket` is the path of containerd's; `runc_root` is where runc is to keep its state. */
peer_t peer_containerd(const char *socket, const char *runc_root);

#endif
