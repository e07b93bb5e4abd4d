/* A loop, and a peer that speaks ttrpc byte by byte over a plain socket. */
#include "tests/unit/ttrpc_fixture.h"

#include "common/util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

int fixture_setup(void **state)
{
    fixture_t *self = zmalloc(sizeof *self);
    self->loop = zloop_new();
    zloop_set_nonstop(self->loop, true);
    self->io = io_set_new(self->loop);
    snprintf(self->directory, sizeof self->directory, "/tmp/shimd-ttrpc-XXXXXX");
    assert_non_null(mkdtemp(self->directory));
    snprintf(self->path, sizeof self->path, "%s/s", self->directory);
    *state = self;
    return 0;
}

int fixture_teardown(void **state)
{
    fixture_t *self = *state;
    unlink(self->path);
    rmdir(self->directory);
    io_set_destroy(&self->io);
    zloop_destroy(&self->loop);
    free(self);
    return 0;
}

typedef struct wait {
    condition_t *condition;
    void *arg;
    int64_t until_us;
    bool is_met;
} wait_t;

static int check(zloop_t *loop, int timer, void *arg)
{
    (void)loop, (void)timer;
    wait_t *self = arg;
    self->is_met = self->condition(self->arg);
    return self->is_met || util_monotonic_us() > self->until_us ? -1 : 0;
}

static bool run(fixture_t *self, condition_t *condition, void *arg, int64_t ms)
{
    wait_t wait = {.condition = condition, .arg = arg, .until_us = util_monotonic_us() + ms * 1000};
    int timer = zloop_timer(self->loop, 1, 0, check, &wait);
    zloop_start(self->loop);
    zloop_timer_end(self->loop, timer);
    return wait.is_met;
}

void fixture_until(fixture_t *self, condition_t *condition, void *arg)
{
    assert_true(run(self, condition, arg, PATIENCE_MS));
}

typedef struct count_wait {
    const size_t *count;
    size_t want;
} count_wait_t;

static bool is_count_reached(void *arg)
{
    count_wait_t *self = arg;
    return *self->count >= self->want;
}

void fixture_until_count(fixture_t *self, const size_t *count, size_t want)
{
    count_wait_t wait = {count, want};
    fixture_until(self, is_count_reached, &wait);
}

static bool is_never(void *arg)
{
    (void)arg;
    return false;
}

void fixture_run_ms(fixture_t *self, int64_t ms)
{
    run(self, is_never, NULL, ms);
}

static struct sockaddr_un address_of(const fixture_t *self)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", self->path);
    return address;
}

int fixture_listen(fixture_t *self, int backlog)
{
    struct sockaddr_un address = address_of(self);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

int fixture_connect(const fixture_t *self)
{
    struct sockaddr_un address = address_of(self);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

void peer_send(fixture_t *self, int fd, const void *data, size_t size)
{
    size_t sent = 0;
    while (sent < size) {
        ssize_t count =
            send(fd, (const uint8_t *)data + sent, size - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count < 0) {
            assert_int_equal(errno, EAGAIN);
            fixture_run_ms(self, 1);
        } else {
            sent += (size_t)count;
        }
    }
}

void peer_send_frame(fixture_t *self, int fd, ttrpc_frame_t *frame)
{
    assert_non_null(frame);
    peer_send(self, fd, frame->bytes, frame->size);
    ttrpc_frame_destroy(&frame);
}

void peer_send_raw(fixture_t *self, int fd, uint32_t stream, uint8_t type, const void *body,
                   size_t size)
{
    ttrpc_header_t header = {.size = (uint32_t)size, .stream = stream, .type = type};
    uint8_t bytes[TTRPC_HEADER_SIZE];
    ttrpc_header_encode(&header, bytes);
    peer_send(self, fd, bytes, sizeof bytes);
    if (body)
        peer_send(self, fd, body, size);
}

static void receive_all(fixture_t *self, int fd, uint8_t *data, size_t size)
{
    size_t received = 0;
    int64_t until_us = util_monotonic_us() + PATIENCE_MS * 1000;
    while (received < size) {
        ssize_t count = recv(fd, data + received, size - received, MSG_DONTWAIT);
        assert_int_not_equal(count, 0);
        if (count > 0) {
            received += (size_t)count;
            continue;
        }
        assert_int_equal(errno, EAGAIN);
        assert_true(util_monotonic_us() < until_us);
        fixture_run_ms(self, 1);
    }
}

ttrpc_header_t peer_receive(fixture_t *self, int fd, uint8_t **body)
{
    uint8_t bytes[TTRPC_HEADER_SIZE];
    receive_all(self, fd, bytes, sizeof bytes);
    ttrpc_header_t header = ttrpc_header_decode(bytes);
    assert_true(header.size <= TTRPC_BODY_MAX);
    *body = zmalloc((size_t)header.size + 1);
    receive_all(self, fd, *body, header.size);
    return header;
}

Ttrpc__Request *peer_receive_request(fixture_t *self, int fd, uint32_t *stream)
{
    uint8_t *body;
    ttrpc_header_t header = peer_receive(self, fd, &body);
    assert_int_equal(header.type, TTRPC_TYPE_REQUEST);
    assert_int_equal(header.flags, 0);
    Ttrpc__Request *request = ttrpc__request__unpack(NULL, header.size, body);
    assert_non_null(request);
    free(body);
    *stream = header.stream;
    return request;
}

Ttrpc__Response *peer_receive_response(fixture_t *self, int fd, uint32_t *stream)
{
    uint8_t *body;
    ttrpc_header_t header = peer_receive(self, fd, &body);
    assert_int_equal(header.type, TTRPC_TYPE_RESPONSE);
    assert_int_equal(header.flags, 0);
    Ttrpc__Response *response = ttrpc__response__unpack(NULL, header.size, body);
    assert_non_null(response);
    free(body);
    *stream = header.stream;
    return response;
}

static bool is_closed_by_us(void *arg)
{
    uint8_t bytes[4096];
    ssize_t count;
    while ((count = recv(*(int *)arg, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
        continue;
    return count == 0 || errno == ECONNRESET;
}

void peer_expect_close(fixture_t *self, int fd)
{
    fixture_until(self, is_closed_by_us, &fd);
}
