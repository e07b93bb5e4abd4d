/* A loop, and a peer that speaks ttrpc byte by byte over a plain socket. */
#ifndef SHIMD_TEST_TTRPC_FIXTURE_H
#define SHIMD_TEST_TTRPC_FIXTURE_H

#include "common/io_set.h"
#include "common/proto/ttrpc.pb-c.h"
#include "common/ttrpc_frame.h"

#include <stdbool.h>

#define PATIENCE_MS 10000

typedef struct fixture {
    zloop_t *loop;
    io_set_t *io;
    char directory[64], path[96]; /* for a listening socket */
} fixture_t;

int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Runs the loop until the condition holds; fails the test after PATIENCE_MS. */
typedef bool condition_t(void *arg);
void fixture_until(fixture_t *self, condition_t *condition, void *arg);

/* Runs the loop until *count is at least `want`. */
void fixture_until_count(fixture_t *self, const size_t *count, size_t want);

/* Runs the loop for that long. */
void fixture_run_ms(fixture_t *self, int64_t ms);

/* A listening socket at fixture.path, and a blocking connection to it. */
int fixture_listen(fixture_t *self, int backlog);
int fixture_connect(const fixture_t *self);

/* All of it, running the loop while the socket is full. */
void peer_send(fixture_t *self, int fd, const void *data, size_t size);
void peer_send_frame(fixture_t *self, int fd, ttrpc_frame_t *frame);
void peer_send_raw(fixture_t *self, int fd, uint32_t stream, uint8_t type, const void *body,
                   size_t size);

/* The next frame, running the loop until it is there. The caller frees the body. */
ttrpc_header_t peer_receive(fixture_t *self, int fd, uint8_t **body);

/* The next request or response; the caller frees it as protobuf-c says. */
Ttrpc__Request *peer_receive_request(fixture_t *self, int fd, uint32_t *stream);
Ttrpc__Response *peer_receive_response(fixture_t *self, int fd, uint32_t *stream);

/* Runs the loop until the peer's end of the connection says that we closed it. */
void peer_expect_close(fixture_t *self, int fd);

#endif
