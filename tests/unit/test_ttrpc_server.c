/* The ttrpc server against clients that misbehave, and against our own client. */
#include "common/proto/task.pb-c.h"
#include "common/ttrpc_client.h"
#include "common/ttrpc_server.h"
#include "common/ttrpc_wire.h"
#include "common/util.h"
#include "tests/unit/ttrpc_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define SERVICE    "containerd.services.events.ttrpc.v1.Events"
#define KEPT_MAX   1024
#define MANY_CALLS 1000

/* A server whose handler keeps requests, or answers them at once with what they brought. */
typedef struct host {
    int listener;
    ttrpc_server_t *server;
    bool is_echoing;
    size_t count;
    ttrpc_request_t *kept[KEPT_MAX];
    size_t first_kept, kept_count;
    char last_method[32], last_service[64], last_ns[32], last_payload[32];
    char methods[256]; /* first letters, in the order in which they came */
} host_t;

static void on_request(void *arg, ttrpc_request_t *request, const char *service, const char *method,
                       const uint8_t *payload, size_t size, const char *ns)
{
    host_t *self = arg;
    snprintf(self->last_service, sizeof self->last_service, "%s", service);
    snprintf(self->last_method, sizeof self->last_method, "%s", method);
    snprintf(self->last_ns, sizeof self->last_ns, "%s", ns);
    snprintf(self->last_payload, sizeof self->last_payload, "%.*s", (int)(size < 31 ? size : 31),
             payload ? (const char *)payload : "");
    if (self->count < sizeof self->methods - 1)
        self->methods[self->count] = method[0];
    self->count++;
    if (self->is_echoing) {
        status_t ok = {0};
        ttrpc_request_answer(&request, &ok, payload, size);
        assert_null(request);
    } else {
        assert_true(self->kept_count < KEPT_MAX);
        self->kept[self->kept_count++] = request;
    }
}

static void host_open(fixture_t *fixture, host_t *self, bool is_echoing)
{
    status_t st;
    *self = (host_t){.is_echoing = is_echoing};
    self->listener = fixture_listen(fixture, 128);
    self->server = ttrpc_server_new(fixture->io, self->listener, on_request, self, &st);
    assert_non_null(self->server);
}

static void host_answer(host_t *self, status_code_t code, const char *text)
{
    status_t st = {.code = code};
    if (code)
        snprintf(st.text, sizeof st.text, "%s", text);
    assert_true(self->first_kept < self->kept_count);
    ttrpc_request_answer(&self->kept[self->first_kept++], &st, (const uint8_t *)text, strlen(text));
}

static void host_close(host_t *self)
{
    ttrpc_server_destroy(&self->server);
    while (self->first_kept < self->kept_count)
        host_answer(self, STATUS_OK, "");
    close(self->listener);
}

static ttrpc_frame_t *request_frame(uint32_t stream, const char *method, const char *id)
{
    status_t st;
    Containerd__Task__V2__StateRequest request = CONTAINERD__TASK__V2__STATE_REQUEST__INIT;
    request.id = (char *)id;
    return ttrpc_frame_request(stream, SERVICE, method, &request.base, 0, "ns-1", &st);
}

static void expect_response(fixture_t *fixture, int peer, uint32_t stream, int code,
                            const char *payload)
{
    uint32_t got;
    Ttrpc__Response *response = peer_receive_response(fixture, peer, &got);
    assert_int_equal(got, stream);
    assert_int_equal(response->status ? response->status->code : 0, code);
    if (payload) {
        assert_int_equal(response->payload.len, strlen(payload));
        assert_memory_equal(response->payload.data, payload, strlen(payload));
    }
    ttrpc__response__free_unpacked(response, NULL);
}

static void test_request_and_answer(void **state)
{
    fixture_t *fixture = *state;
    host_t host;
    host_open(fixture, &host, false);
    int peer = fixture_connect(fixture);
    peer_send_frame(fixture, peer, request_frame(1, "Forward", "c-1"));
    fixture_until_count(fixture, &host.count, 1);
    assert_string_equal(host.last_service, SERVICE);
    assert_string_equal(host.last_method, "Forward");
    assert_string_equal(host.last_ns, "ns-1");
    assert_string_equal(host.last_payload, "\x0a\x03"
                                           "c-1");
    assert_int_equal(ttrpc_request_peer_pid(host.kept[0]), getpid());
    assert_int_equal(ttrpc_server_connections(host.server), 1);

    peer_send_frame(fixture, peer, request_frame(3, "Other", ""));
    fixture_until_count(fixture, &host.count, 2);
    host_answer(&host, STATUS_OK, "answer");
    host_answer(&host, STATUS_UNIMPLEMENTED, "method Other");
    expect_response(fixture, peer, 1, 0, "answer");
    expect_response(fixture, peer, 3, 12, "");

    /* An empty success is a frame of ten bytes. */
    peer_send_frame(fixture, peer, request_frame(5, "Forward", ""));
    fixture_until_count(fixture, &host.count, 3);
    host_answer(&host, STATUS_OK, "");
    uint8_t *body;
    assert_int_equal(peer_receive(fixture, peer, &body).size, 0);
    free(body);
    close(peer);
    host_close(&host);
}

static void test_request_split_at_every_byte(void **state)
{
    fixture_t *fixture = *state;
    host_t host;
    host_open(fixture, &host, true);
    int peer = fixture_connect(fixture);
    uint32_t stream = 1;
    size_t size = 0;
    for (size_t at = 1; stream == 1 || at < size; at++, stream += 2) {
        ttrpc_frame_t *frame = request_frame(stream, "Forward", "c");
        size = frame->size;
        peer_send(fixture, peer, frame->bytes, at);
        fixture_run_ms(fixture, 1);
        assert_int_equal(host.count, stream / 2);
        peer_send(fixture, peer, frame->bytes + at, size - at);
        ttrpc_frame_destroy(&frame);
        expect_response(fixture, peer, stream, 0,
                        "\x0a\x01"
                        "c");
    }
    close(peer);
    host_close(&host);
}

static void test_stream_ids(void **state)
{
    fixture_t *fixture = *state;
    host_t host;
    host_open(fixture, &host, true);
    int peer = fixture_connect(fixture);
    const struct {
        uint32_t stream;
        int code;
    } cases[] = {{0, 3}, {2, 3}, {5, 0}, {5, 3}, {3, 3}, {4, 3}, {99, 0}, {101, 0}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        peer_send_frame(fixture, peer, request_frame(cases[i].stream, "Forward", ""));
        expect_response(fixture, peer, cases[i].stream, cases[i].code, NULL);
    }
    assert_int_equal(host.count, 3);
    close(peer);
    host_close(&host);
}

static void test_garbage(void **state)
{
    fixture_t *fixture = *state;
    host_t host;
    host_open(fixture, &host, true);
    int peer = fixture_connect(fixture);
    peer_send_raw(fixture, peer, 1, 77, "unknown type", 12);
    peer_send_raw(fixture, peer, 1, TTRPC_TYPE_RESPONSE, "", 0);
    peer_send_raw(fixture, peer, 1, TTRPC_TYPE_DATA, "data", 4);
    peer_send_raw(fixture, peer, 3, TTRPC_TYPE_REQUEST, "\xff\xff no protobuf", 14);
    expect_response(fixture, peer, 3, 13, NULL);
    peer_send_frame(fixture, peer, request_frame(5, "Forward", ""));
    expect_response(fixture, peer, 5, 0, NULL);
    assert_int_equal(host.count, 1);
    close(peer);
    host_close(&host);
}

static void test_oversize(void **state)
{
    fixture_t *fixture = *state;
    host_t host;
    host_open(fixture, &host, true);
    int peer = fixture_connect(fixture);
    size_t size = TTRPC_BODY_MAX + 1;
    AUTO_FREE uint8_t *body = zmalloc(size);
    peer_send_raw(fixture, peer, 1, TTRPC_TYPE_REQUEST, body, size);
    expect_response(fixture, peer, 1, 8, NULL);
    peer_send_frame(fixture, peer, request_frame(3, "Forward", "after"));
    expect_response(fixture, peer, 3, 0, NULL);

    /* A header that promises more than comes holds up nobody else. */
    peer_send_raw(fixture, peer, 5, TTRPC_TYPE_REQUEST, NULL, TTRPC_BODY_MAX);
    int other = fixture_connect(fixture);
    peer_send_frame(fixture, other, request_frame(1, "Forward", ""));
    expect_response(fixture, other, 1, 0, NULL);
    close(other);
    close(peer);
    host_close(&host);
}

static void test_answer_without_connection(void **state)
{
    fixture_t *fixture = *state;
    host_t host;
    host_open(fixture, &host, false);
    int peer = fixture_connect(fixture);
    for (uint32_t i = 0; i < 3; i++)
        peer_send_frame(fixture, peer, request_frame(2 * i + 1, "Forward", "c"));
    fixture_until_count(fixture, &host.count, 3);
    host_answer(&host, STATUS_OK, "");
    close(peer);
    host_answer(&host, STATUS_OK, "not noticed yet that it is gone");
    while (ttrpc_server_connections(host.server) > 0)
        fixture_run_ms(fixture, 1);
    host_answer(&host, STATUS_OK, "gone");

    peer = fixture_connect(fixture);
    peer_send_frame(fixture, peer, request_frame(1, "Forward", "c"));
    fixture_until_count(fixture, &host.count, 4);
    assert_string_equal(host.last_method, "Forward");
    ttrpc_server_destroy(&host.server);
    peer_expect_close(fixture, peer);
    close(peer);
    host_close(&host);
}

static void test_requests_are_limited(void **state)
{
    fixture_t *fixture = *state;
    host_t host;
    host_open(fixture, &host, false);
    int peer = fixture_connect(fixture);
    uint32_t total = TTRPC_REQUESTS_MAX + 50;
    for (uint32_t i = 0; i < total; i++)
        peer_send_frame(fixture, peer, request_frame(2 * i + 1, "Forward", ""));
    fixture_until_count(fixture, &host.count, TTRPC_REQUESTS_MAX);
    fixture_run_ms(fixture, 20);
    assert_int_equal(host.count, TTRPC_REQUESTS_MAX);
    host_answer(&host, STATUS_OK, "");
    fixture_until_count(fixture, &host.count, TTRPC_REQUESTS_MAX + 1);
    fixture_run_ms(fixture, 5);
    assert_int_equal(host.count, TTRPC_REQUESTS_MAX + 1);
    for (uint32_t i = 1; i < total; i++) {
        fixture_until_count(fixture, &host.kept_count, host.first_kept + 1);
        host_answer(&host, STATUS_OK, "");
    }
    assert_int_equal(host.count, total);
    for (uint32_t i = 0; i < total; i++)
        expect_response(fixture, peer, 2 * i + 1, 0, NULL);
    close(peer);
    host_close(&host);
}

static bool is_without_connections(void *arg)
{
    return ttrpc_server_connections(((host_t *)arg)->server) == 0;
}

static void test_peer_goes_while_it_is_not_read(void **state)
{
    fixture_t *fixture = *state;
    host_t host;
    host_open(fixture, &host, false);
    int peer = fixture_connect(fixture);
    for (uint32_t i = 0; i < TTRPC_REQUESTS_MAX + 5; i++)
        peer_send_frame(fixture, peer, request_frame(2 * i + 1, "Forward", ""));
    fixture_until_count(fixture, &host.count, TTRPC_REQUESTS_MAX);
    close(peer);
    fixture_until(fixture, is_without_connections, &host);
    host_close(&host);
}

static void test_peer_that_does_not_read_answers(void **state)
{
    fixture_t *fixture = *state;
    host_t host;
    host_open(fixture, &host, false);
    int peer = fixture_connect(fixture);
    size_t answers = TTRPC_QUEUE_MAX / (1024 * 1024) + 2;
    AUTO_FREE char *text = zmalloc(1024 * 1024 + 1);
    memset(text, 'x', 1024 * 1024);
    for (uint32_t i = 0; i < answers; i++)
        peer_send_frame(fixture, peer, request_frame(2 * i + 1, "Forward", ""));
    fixture_until_count(fixture, &host.count, answers);
    for (size_t i = 0; i < answers; i++)
        host_answer(&host, STATUS_OK, text);
    fixture_until(fixture, is_without_connections, &host);
    close(peer);
    host_close(&host);
}

static void test_answers_that_are_not_read_stop_the_reading(void **state)
{
    fixture_t *fixture = *state;
    host_t host;
    host_open(fixture, &host, true);
    int peer = fixture_connect(fixture);
    AUTO_FREE char *text = zmalloc(16 * 1024 + 1);
    memset(text, 'x', 16 * 1024);
    uint32_t sent = 0;
    bool is_taken = true;
    while (is_taken && sent < 2 * TTRPC_REQUESTS_MAX) {
        ttrpc_frame_t *frame = request_frame(2 * sent + 1, "Forward", text);
        is_taken = send(peer, frame->bytes, frame->size, MSG_DONTWAIT) == (ssize_t)frame->size;
        sent += is_taken;
        ttrpc_frame_destroy(&frame);
        fixture_run_ms(fixture, 2);
    }
    size_t before = host.count;
    assert_true(before < sent);
    for (uint32_t i = 0; i < sent; i++)
        expect_response(fixture, peer, 2 * i + 1, 0, NULL);
    assert_int_equal(host.count, sent);
    close(peer);
    host_close(&host);
}

/* One that sends without end must leave others their turn. */
static void test_budget(void **state)
{
    fixture_t *fixture = *state;
    host_t host;
    host_open(fixture, &host, true);
    int busy = fixture_connect(fixture), modest = fixture_connect(fixture);
    int size = 4 * 1024 * 1024;
    if (setsockopt(busy, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size))
        skip();
    AUTO_FREE char *text = zmalloc(100 * 1024 + 1);
    memset(text, 'x', 100 * 1024);
    for (uint32_t i = 0; i < 20; i++) {
        ttrpc_frame_t *frame = request_frame(2 * i + 1, "Busy", text);
        assert_int_equal(send(busy, frame->bytes, frame->size, MSG_DONTWAIT), (ssize_t)frame->size);
        ttrpc_frame_destroy(&frame);
    }
    ttrpc_frame_t *frame = request_frame(1, "Modest", "");
    assert_int_equal(send(modest, frame->bytes, frame->size, MSG_DONTWAIT), (ssize_t)frame->size);
    ttrpc_frame_destroy(&frame);
    expect_response(fixture, modest, 1, 0, NULL);
    for (uint32_t i = 0; i < 20; i++)
        expect_response(fixture, busy, 2 * i + 1, 0, NULL);
    assert_int_equal(host.count, 21);
    assert_non_null(strstr(host.methods, "MB"));
    close(busy);
    close(modest);
    host_close(&host);
}

typedef struct connections {
    const ttrpc_server_t *server;
    size_t want;
} connections_t;

static bool are_connected(void *arg)
{
    const connections_t *self = arg;
    return ttrpc_server_connections(self->server) == self->want;
}

static void test_connections_are_limited(void **state)
{
    fixture_t *fixture = *state;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < 2 * TTRPC_CONNECTIONS_MAX + 100)
        skip();
    host_t host;
    host_open(fixture, &host, true);
    static int peers[TTRPC_CONNECTIONS_MAX];
    for (size_t i = 0; i < TTRPC_CONNECTIONS_MAX; i++) {
        peers[i] = fixture_connect(fixture);
        connections_t connections = {host.server, i + 1};
        if (i % 64 == 63) /* before the backlog is full, where connecting would block */
            fixture_until(fixture, are_connected, &connections);
    }
    int late = fixture_connect(fixture);
    peer_send_frame(fixture, late, request_frame(1, "Late", ""));
    fixture_run_ms(fixture, 20);
    assert_int_equal(host.count, 0);
    close(peers[0]);
    expect_response(fixture, late, 1, 0, NULL);
    close(late);
    for (size_t i = 1; i < TTRPC_CONNECTIONS_MAX; i++)
        close(peers[i]);
    fixture_until(fixture, is_without_connections, &host);
    host_close(&host);
}

/* Without a descriptor to accept with, the server waits, and goes on when there is one again. */
static void test_out_of_descriptors(void **state)
{
    fixture_t *fixture = *state;
    host_t host;
    host_open(fixture, &host, true);
    int peer = fixture_connect(fixture);
    struct rlimit limit, none;
    getrlimit(RLIMIT_NOFILE, &limit);
    none = limit;
    none.rlim_cur = (rlim_t)peer + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    peer_send_frame(fixture, peer, request_frame(1, "Forward", ""));
    fixture_run_ms(fixture, 150);
    assert_int_equal(host.count, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    expect_response(fixture, peer, 1, 0, NULL);
    close(peer);
    host_close(&host);
}

static void test_peer_of_another_user(void **state)
{
    fixture_t *fixture = *state;
    if (geteuid() != 0)
        skip();
    host_t host;
    host_open(fixture, &host, true);
    assert_int_equal(chmod(fixture->directory, 0755), 0);
    assert_int_equal(chmod(fixture->path, 0666), 0);
    assert_int_equal(seteuid(65534), 0);
    int peer = fixture_connect(fixture);
    assert_int_equal(seteuid(0), 0);
    peer_expect_close(fixture, peer);
    assert_int_equal(ttrpc_server_connections(host.server), 0);
    close(peer);
    host_close(&host);
}

/* Both our ends ---------------------------------------------------------------------------------
 */

static size_t answered;

static void on_answer(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    (void)payload;
    assert_int_equal(st->code, STATUS_OK);
    assert_int_equal(size, strlen(arg) + 2);
    answered++;
}

static void test_client_and_server(void **state)
{
    fixture_t *fixture = *state;
    host_t host;
    host_open(fixture, &host, true);
    AUTO_FREE char *address = util_format("unix://%s", fixture->path);
    status_t st;
    ttrpc_client_t *client = ttrpc_client_new(fixture->io, address, 1000, NULL, NULL, &st);
    assert_non_null(client);
    static char id[] = "container";
    Containerd__Task__V2__StateRequest request = CONTAINERD__TASK__V2__STATE_REQUEST__INIT;
    request.id = id;
    answered = 0;
    for (size_t i = 0; i < MANY_CALLS; i++)
        ttrpc_client_call(client, SERVICE, "Forward", &request.base, 5000, "default", on_answer,
                          id);
    fixture_until_count(fixture, &answered, MANY_CALLS);
    assert_int_equal(host.count, MANY_CALLS);
    assert_string_equal(host.last_ns, "default");
    ttrpc_client_destroy(&client);
    host_close(&host);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_request_and_answer),
        CASE(test_request_split_at_every_byte),
        CASE(test_stream_ids),
        CASE(test_garbage),
        CASE(test_oversize),
        CASE(test_answer_without_connection),
        CASE(test_requests_are_limited),
        CASE(test_peer_goes_while_it_is_not_read),
        CASE(test_peer_that_does_not_read_answers),
        CASE(test_answers_that_are_not_read_stop_the_reading),
        CASE(test_budget),
        CASE(test_connections_are_limited),
        CASE(test_out_of_descriptors),
        CASE(test_peer_of_another_user),
        CASE(test_client_and_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
