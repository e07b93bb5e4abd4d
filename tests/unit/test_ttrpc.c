/* The ttrpc client against a peer that answers as it should not. */
#include "common/proto/task.pb-c.h"
#include "common/ttrpc_address.h"
#include "common/ttrpc_client.h"
#include "common/ttrpc_wire.h"
#include "common/util.h"
#include "tests/unit/ttrpc_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sys/socket.h>

#define MANY_CALLS     500
#define CLOSED_BY_SHIM "shim closed the connection"

/* What a callback was told. */
typedef struct reply {
    size_t count;
    status_t st;
    char payload[32];
    size_t size;
    size_t *total; /* counted too, when there is one */
} reply_t;

static void keep_reply(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    reply_t *self = arg;
    self->count++;
    self->st = *st;
    self->size = size;
    assert_true((payload == NULL) == (size == 0));
    if (size)
        memcpy(self->payload, payload, size < sizeof self->payload ? size : sizeof self->payload);
    if (self->total)
        ++*self->total;
}

static void keep_close(void *arg, const status_t *st)
{
    reply_t *self = arg;
    self->count++;
    self->st = *st;
}

typedef struct pair {
    ttrpc_client_t *client;
    int peer;
    reply_t close;
} pair_t;

static void pair_open(fixture_t *fixture, pair_t *self)
{
    int fds[2];
    status_t st;
    *self = (pair_t){0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    self->peer = fds[1];
    self->client = ttrpc_client_adopt(fixture->io, fds[0], keep_close, &self->close, &st);
    assert_non_null(self->client);
}

static void pair_close(pair_t *self)
{
    ttrpc_client_destroy(&self->client);
    close(self->peer);
}

static void ask(ttrpc_client_t *client, const char *id, int64_t timeout_ms, reply_t *reply)
{
    Containerd__Task__V2__StateRequest request = CONTAINERD__TASK__V2__STATE_REQUEST__INIT;
    request.id = (char *)id;
    ttrpc_client_call(client, "containerd.task.v2.Task", "State", &request.base, timeout_ms, "ns-1",
                      keep_reply, reply);
}

static ttrpc_frame_t *success(uint32_t stream, const char *payload)
{
    status_t ok = {0}, st;
    return ttrpc_frame_response(stream, &ok, (const uint8_t *)payload, strlen(payload), &st);
}

static ttrpc_frame_t *failure(uint32_t stream, int code, const char *text)
{
    status_t outcome = {.code = (status_code_t)code}, st;
    snprintf(outcome.text, sizeof outcome.text, "%s", text);
    return ttrpc_frame_response(stream, &outcome, NULL, 0, &st);
}

static void take_request(fixture_t *fixture, int peer, uint32_t expected)
{
    uint32_t stream;
    Ttrpc__Request *request = peer_receive_request(fixture, peer, &stream);
    assert_int_equal(stream, expected);
    ttrpc__request__free_unpacked(request, NULL);
}

static void test_header(void **state)
{
    (void)state;
    ttrpc_header_t header = {.size = 0x01020304, .stream = 0xa0b0c0d1, .type = 2, .flags = 4};
    const uint8_t expected[TTRPC_HEADER_SIZE] = {1, 2, 3, 4, 0xa0, 0xb0, 0xc0, 0xd1, 2, 4};
    uint8_t bytes[TTRPC_HEADER_SIZE];
    ttrpc_header_encode(&header, bytes);
    assert_memory_equal(bytes, expected, sizeof bytes);
    ttrpc_header_t again = ttrpc_header_decode(bytes);
    assert_int_equal(again.size, header.size);
    assert_int_equal(again.stream, header.stream);
    assert_int_equal(again.type, header.type);
    assert_int_equal(again.flags, header.flags);
}

static void test_request_on_the_wire(void **state)
{
    fixture_t *fixture = *state;
    pair_t pair;
    pair_open(fixture, &pair);
    reply_t first = {0}, second = {0};
    ask(pair.client, "c-1", 1500, &first);
    Containerd__Task__V2__ConnectRequest plain = CONTAINERD__TASK__V2__CONNECT_REQUEST__INIT;
    ttrpc_client_call(pair.client, "s", "Connect", &plain.base, 0, NULL, keep_reply, &second);
    assert_int_equal(ttrpc_client_pending(pair.client), 2);

    uint32_t stream;
    Ttrpc__Request *request = peer_receive_request(fixture, pair.peer, &stream);
    assert_int_equal(stream, 1);
    assert_string_equal(request->service, "containerd.task.v2.Task");
    assert_string_equal(request->method, "State");
    assert_int_equal(request->timeout_nano, 1500000000);
    assert_int_equal(request->n_metadata, 1);
    assert_string_equal(request->metadata[0]->key, "containerd-namespace-ttrpc");
    assert_string_equal(request->metadata[0]->value, "ns-1");
    assert_int_equal(request->payload.len, 5);
    assert_memory_equal(request->payload.data,
                        "\x0a\x03"
                        "c-1",
                        5);
    ttrpc__request__free_unpacked(request, NULL);

    request = peer_receive_request(fixture, pair.peer, &stream);
    assert_int_equal(stream, 3);
    assert_int_equal(request->timeout_nano, 0);
    assert_int_equal(request->n_metadata, 0);
    assert_int_equal(request->payload.len, 0);
    ttrpc__request__free_unpacked(request, NULL);

    peer_send_raw(fixture, pair.peer, 3, TTRPC_TYPE_RESPONSE, NULL, 0);
    fixture_until_count(fixture, &second.count, 1);
    assert_int_equal(second.st.code, STATUS_OK);
    assert_int_equal(second.size, 0);
    assert_int_equal(first.count, 0);
    assert_int_equal(ttrpc_client_peer_pid(pair.client), getpid());
    pair_close(&pair);
    assert_int_equal(first.count, 0);
}

static void test_reply_split_at_every_byte(void **state)
{
    fixture_t *fixture = *state;
    pair_t pair;
    pair_open(fixture, &pair);
    uint32_t stream = 1;
    size_t size = 0;
    for (size_t at = 1; stream == 1 || at < size; at++, stream += 2) {
        reply_t reply = {0};
        ask(pair.client, "c", 0, &reply);
        ttrpc_frame_t *frame = success(stream, "payload");
        size = frame->size;
        peer_send(fixture, pair.peer, frame->bytes, at);
        fixture_run_ms(fixture, 2);
        assert_int_equal(reply.count, 0);
        peer_send(fixture, pair.peer, frame->bytes + at, size - at);
        ttrpc_frame_destroy(&frame);
        fixture_until_count(fixture, &reply.count, 1);
        assert_int_equal(reply.st.code, STATUS_OK);
        assert_int_equal(reply.size, 7);
        assert_memory_equal(reply.payload, "payload", 7);
    }
    assert_true(stream > 2 * TTRPC_HEADER_SIZE);
    pair_close(&pair);
}

static void test_replies_out_of_order(void **state)
{
    fixture_t *fixture = *state;
    pair_t pair;
    pair_open(fixture, &pair);
    size_t total = 0;
    reply_t *replies = zmalloc(MANY_CALLS * sizeof *replies);
    for (size_t i = 0; i < MANY_CALLS; i++) {
        replies[i].total = &total;
        ask(pair.client, "c", 60000, &replies[i]);
    }
    for (uint32_t i = 0; i < MANY_CALLS; i++)
        take_request(fixture, pair.peer, 2 * i + 1);
    for (size_t i = 0; i < MANY_CALLS; i++) {
        size_t which = (i * 7 + 3) % MANY_CALLS;
        char text[16];
        snprintf(text, sizeof text, "%zu", which);
        peer_send_frame(fixture, pair.peer, success((uint32_t)(2 * which + 1), text));
    }
    fixture_until_count(fixture, &total, MANY_CALLS);
    for (size_t i = 0; i < MANY_CALLS; i++) {
        assert_int_equal(replies[i].count, 1);
        replies[i].payload[replies[i].size] = '\0';
        assert_int_equal(atoi(replies[i].payload), (int)i);
    }
    assert_int_equal(ttrpc_client_pending(pair.client), 0);
    free(replies);
    pair_close(&pair);
}

static void test_status_of_the_shim(void **state)
{
    static const struct {
        int sent;
        status_code_t code;
        const char *sent_text, *text;
    } cases[] = {
        {5, STATUS_NOT_FOUND, "container not created: not found",
         "container not created: not found"},
        {2, STATUS_UNKNOWN, "cannot delete a running process", "cannot delete a running process"},
        {16, STATUS_UNAUTHENTICATED, "", ""},
        {17, STATUS_UNKNOWN, "x", "x"},
        {-1, STATUS_UNKNOWN, "x", "x"},
        {13, STATUS_INTERNAL, "caf\xe9 \xc3\xa9", "caf? \xc3\xa9"},
    };
    fixture_t *fixture = *state;
    pair_t pair;
    pair_open(fixture, &pair);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        reply_t reply = {0};
        ask(pair.client, "c", 0, &reply);
        peer_send_frame(fixture, pair.peer,
                        failure((uint32_t)(2 * i + 1), cases[i].sent, cases[i].sent_text));
        fixture_until_count(fixture, &reply.count, 1);
        assert_int_equal(reply.st.code, cases[i].code);
        assert_string_equal(reply.st.text, cases[i].text);
        assert_int_equal(reply.size, 0);
    }
    pair_close(&pair);
}

static void test_time_out_and_late_reply(void **state)
{
    fixture_t *fixture = *state;
    pair_t pair;
    pair_open(fixture, &pair);
    reply_t slow = {0}, slower = {0}, never = {0}, next = {0};
    ask(pair.client, "c", 60, &slower);
    ask(pair.client, "c", 20, &slow);
    ask(pair.client, "c", 0, &never);
    fixture_until_count(fixture, &slow.count, 1);
    assert_int_equal(slow.st.code, STATUS_DEADLINE_EXCEEDED);
    assert_string_equal(slow.st.text, "no answer to State within 20 ms");
    assert_int_equal(slower.count, 0);
    fixture_until_count(fixture, &slower.count, 1);
    assert_int_equal(slower.st.code, STATUS_DEADLINE_EXCEEDED);

    peer_send_frame(fixture, pair.peer, success(3, "too late"));
    ask(pair.client, "c", 5000, &next);
    peer_send_frame(fixture, pair.peer, success(7, "in time"));
    fixture_until_count(fixture, &next.count, 1);
    assert_int_equal(next.st.code, STATUS_OK);
    assert_int_equal(slow.count, 1);
    assert_int_equal(never.count, 0);
    assert_int_equal(ttrpc_client_late_replies(pair.client), 1);
    assert_int_equal(pair.close.count, 0);
    pair_close(&pair);
}

static void test_close_in_the_middle_of_a_reply(void **state)
{
    fixture_t *fixture = *state;
    pair_t pair;
    pair_open(fixture, &pair);
    reply_t first = {0}, second = {0}, third = {0}, late = {0};
    ask(pair.client, "c", 0, &first);
    ask(pair.client, "c", 60000, &second);
    ask(pair.client, "c", 0, &third);
    peer_send_frame(fixture, pair.peer, success(1, "whole"));
    ttrpc_frame_t *frame = success(3, "cut off");
    peer_send(fixture, pair.peer, frame->bytes, frame->size - 1);
    ttrpc_frame_destroy(&frame);
    close(pair.peer);
    pair.peer = -1;
    fixture_until_count(fixture, &pair.close.count, 1);
    assert_int_equal(first.st.code, STATUS_OK);
    assert_int_equal(second.count, 1);
    assert_int_equal(second.st.code, STATUS_UNAVAILABLE);
    assert_string_equal(second.st.text, CLOSED_BY_SHIM);
    assert_int_equal(third.st.code, STATUS_UNAVAILABLE);
    assert_int_equal(pair.close.st.code, STATUS_UNAVAILABLE);
    assert_int_equal(ttrpc_client_peer_pid(pair.client), 0);

    ask(pair.client, "c", 0, &late);
    assert_int_equal(late.count, 0);
    fixture_until_count(fixture, &late.count, 1);
    assert_int_equal(late.st.code, STATUS_UNAVAILABLE);
    fixture_run_ms(fixture, 5);
    assert_int_equal(late.count + second.count + pair.close.count, 3);
    pair_close(&pair);
}

/* A shim answers Shutdown and is gone: what it had said counts, although writing fails by then. */
static void test_last_words_before_the_close(void **state)
{
    fixture_t *fixture = *state;
    pair_t pair;
    pair_open(fixture, &pair);
    reply_t first = {0}, second = {0};
    ask(pair.client, "c", 0, &first);
    peer_send_frame(fixture, pair.peer, success(1, "bye"));
    close(pair.peer);
    pair.peer = -1;
    ask(pair.client, "c", 0, &second);
    assert_int_equal(second.count, 0);
    fixture_until_count(fixture, &pair.close.count, 1);
    assert_int_equal(first.st.code, STATUS_OK);
    assert_int_equal(second.st.code, STATUS_UNAVAILABLE);
    pair_close(&pair);
}

static void expect_broken(fixture_t *fixture, pair_t *pair, reply_t *reply, const char *text)
{
    fixture_until_count(fixture, &pair->close.count, 1);
    assert_int_equal(reply->count, 1);
    assert_int_equal(reply->st.code, STATUS_INTERNAL);
    assert_string_equal(reply->st.text, text);
    assert_int_equal(pair->close.st.code, STATUS_INTERNAL);
    peer_expect_close(fixture, pair->peer);
    pair_close(pair);
}

static void test_garbage(void **state)
{
    static const struct {
        uint32_t stream;
        uint8_t type;
        const char *body, *text;
    } cases[] = {
        {1, TTRPC_TYPE_REQUEST, "", "shim sent a frame that is no response"},
        {1, 77, "abc", "shim sent a frame that is no response"},
        {3, TTRPC_TYPE_RESPONSE, "", "shim sent a response to no request"},
        {0, TTRPC_TYPE_RESPONSE, "", "shim sent a response to no request"},
        {1, TTRPC_TYPE_RESPONSE, "\x0a\xff garbage", "shim sent a response that cannot be decoded"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        pair_t pair;
        reply_t reply = {0};
        pair_open(*state, &pair);
        ask(pair.client, "c", 60000, &reply);
        peer_send_raw(*state, pair.peer, cases[i].stream, cases[i].type, cases[i].body,
                      strlen(cases[i].body));
        peer_send_frame(*state, pair.peer, success(1, "not believed any more"));
        expect_broken(*state, &pair, &reply, cases[i].text);
    }
}

static void test_oversize_reply(void **state)
{
    pair_t pair;
    reply_t reply = {0};
    pair_open(*state, &pair);
    ask(pair.client, "c", 0, &reply);
    peer_send_raw(*state, pair.peer, 1, TTRPC_TYPE_RESPONSE, NULL, TTRPC_BODY_MAX + 1);
    expect_broken(*state, &pair, &reply,
                  "shim announced a message of 4194305 bytes, limit 4194304");
}

static void test_largest_reply(void **state)
{
    fixture_t *fixture = *state;
    pair_t pair;
    reply_t reply = {0};
    pair_open(fixture, &pair);
    ask(pair.client, "c", 0, &reply);
    status_t ok = {0}, st;
    size_t size = TTRPC_BODY_MAX - 5; /* tag and length take five bytes */
    uint8_t *payload = zmalloc(size);
    ttrpc_frame_t *frame = ttrpc_frame_response(1, &ok, payload, size, &st);
    assert_int_equal(frame->size, TTRPC_HEADER_SIZE + TTRPC_BODY_MAX);
    peer_send_frame(fixture, pair.peer, frame);
    fixture_until_count(fixture, &reply.count, 1);
    assert_int_equal(reply.size, size);
    assert_null(ttrpc_frame_response(1, &ok, payload, size + 1, &st));
    assert_int_equal(st.code, STATUS_RESOURCE_EXHAUSTED);
    free(payload);
    pair_close(&pair);
}

static char *long_text(size_t size)
{
    char *text = zmalloc(size + 1);
    memset(text, 'x', size);
    return text;
}

static void test_too_large_request(void **state)
{
    fixture_t *fixture = *state;
    pair_t pair;
    reply_t large = {0}, next = {0};
    pair_open(fixture, &pair);
    AUTO_FREE char *id = long_text(TTRPC_BODY_MAX);
    ask(pair.client, id, 0, &large);
    ask(pair.client, "c", 0, &next);
    assert_int_equal(large.count, 0);
    fixture_until_count(fixture, &large.count, 1);
    assert_int_equal(large.st.code, STATUS_RESOURCE_EXHAUSTED);
    take_request(fixture, pair.peer, 1);
    peer_send_frame(fixture, pair.peer, success(1, "ok"));
    fixture_until_count(fixture, &next.count, 1);
    assert_int_equal(next.st.code, STATUS_OK);
    pair_close(&pair);
}

static void test_peer_that_does_not_read(void **state)
{
    fixture_t *fixture = *state;
    pair_t pair;
    pair_open(fixture, &pair);
    AUTO_FREE char *id = long_text(1024 * 1024);
    reply_t replies[20] = {0};
    for (size_t i = 0; i < ARRAY_SIZE(replies); i++)
        ask(pair.client, id, 0, &replies[i]);
    fixture_run_ms(fixture, 20);
    size_t sent = 0;
    while (sent < ARRAY_SIZE(replies) && replies[sent].count == 0)
        sent++;
    assert_in_range(sent, TTRPC_QUEUE_MAX / (1024 * 1024) - 1, ARRAY_SIZE(replies) - 1);
    for (size_t i = sent; i < ARRAY_SIZE(replies); i++) {
        assert_int_equal(replies[i].count, 1);
        assert_int_equal(replies[i].st.code, STATUS_RESOURCE_EXHAUSTED);
    }
    for (uint32_t i = 0; i < sent; i++)
        take_request(fixture, pair.peer, 2 * i + 1);
    for (uint32_t i = 0; i < sent; i++)
        peer_send_frame(fixture, pair.peer, success(2 * i + 1, "read at last"));
    fixture_until_count(fixture, &replies[sent - 1].count, 1);
    for (size_t i = 0; i < sent; i++)
        assert_int_equal(replies[i].st.code, STATUS_OK);
    pair_close(&pair);
}

/* Writing fails, reading does not: the connection must end all the same, without a time-out. */
static void test_peer_that_reads_no_more(void **state)
{
    fixture_t *fixture = *state;
    pair_t pair;
    reply_t reply = {0};
    pair_open(fixture, &pair);
    shutdown(pair.peer, SHUT_RD);
    ask(pair.client, "c", 0, &reply);
    assert_int_equal(reply.count, 0);
    fixture_until_count(fixture, &reply.count, 1);
    assert_int_equal(reply.st.code, STATUS_UNAVAILABLE);
    assert_int_equal(pair.close.count, 1);
    pair_close(&pair);
}

static void test_too_many_calls(void **state)
{
    fixture_t *fixture = *state;
    pair_t pair;
    reply_t reply = {0}, refused = {0};
    pair_open(fixture, &pair);
    for (size_t i = 0; i < TTRPC_CALLS_MAX; i++)
        ask(pair.client, "c", 0, &reply);
    ask(pair.client, "c", 0, &refused);
    fixture_until_count(fixture, &refused.count, 1);
    assert_int_equal(refused.st.code, STATUS_RESOURCE_EXHAUSTED);
    assert_int_equal(reply.count, 0);
    pair_close(&pair);
}

static void test_cancel(void **state)
{
    fixture_t *fixture = *state;
    pair_t pair;
    reply_t forgotten = {0}, next = {0};
    pair_open(fixture, &pair);
    ask(pair.client, "c", 10, &forgotten);
    ask(pair.client, "c", 0, &forgotten);
    ttrpc_client_cancel_all(pair.client);
    assert_int_equal(ttrpc_client_pending(pair.client), 0);
    ask(pair.client, "c", 0, &next);
    peer_send_frame(fixture, pair.peer, success(3, "for nobody"));
    peer_send_frame(fixture, pair.peer, success(5, "ok"));
    fixture_until_count(fixture, &next.count, 1);
    fixture_run_ms(fixture, 20);
    assert_int_equal(forgotten.count, 0);
    assert_int_equal(ttrpc_client_late_replies(pair.client), 1);
    pair_close(&pair);
}

static size_t destroyed;

static void destroy_client(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    (void)st, (void)payload, (void)size;
    ttrpc_client_destroy(arg);
    destroyed++;
}

static void destroy_on_close(void *arg, const status_t *st)
{
    destroy_client(arg, st, NULL, 0);
}

/* Inside a reply, a time-out, the end of the connection, on_close. */
static void test_destroy_in_a_callback(void **state)
{
    fixture_t *fixture = *state;
    for (int way = 0; way < 4; way++) {
        int fds[2];
        status_t st;
        reply_t other = {0};
        ttrpc_client_t *client;
        destroyed = 0;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        client = ttrpc_client_adopt(fixture->io, fds[0], way == 3 ? destroy_on_close : keep_close,
                                    way == 3 ? (void *)&client : (void *)&other, &st);
        Containerd__Task__V2__StateRequest request = CONTAINERD__TASK__V2__STATE_REQUEST__INIT;
        if (way < 3)
            ttrpc_client_call(client, "s", "State", &request.base, way == 1 ? 5 : 0, NULL,
                              destroy_client, &client);
        if (way < 3)
            ask(client, "c", way == 1 ? 5 : 0, &other);
        if (way == 0) {
            peer_send_frame(fixture, fds[1], success(1, "x"));
            peer_send_frame(fixture, fds[1], success(3, "x"));
        }
        if (way >= 2)
            shutdown(fds[1], SHUT_RDWR);
        fixture_until_count(fixture, &destroyed, 1);
        fixture_run_ms(fixture, 10);
        assert_null(client);
        assert_int_equal(other.count, 0);
        close(fds[1]);
    }
}

static void ask_again(void *arg, const status_t *st, const uint8_t *payload, size_t size)
{
    (void)st, (void)payload, (void)size;
    Containerd__Task__V2__StateRequest request = CONTAINERD__TASK__V2__STATE_REQUEST__INIT;
    destroyed++;
    ttrpc_client_call(*(ttrpc_client_t **)arg, "s", "State", &request.base, 0, NULL, ask_again,
                      arg);
}

/* A caller that tries again at once, for ever, must not keep the loop to itself. */
static void test_asking_again_after_each_failure(void **state)
{
    fixture_t *fixture = *state;
    pair_t pair;
    pair_open(fixture, &pair);
    destroyed = 0;
    ask_again(&pair.client, NULL, NULL, 0);
    close(pair.peer);
    pair.peer = -1;
    fixture_until_count(fixture, &destroyed, 10);
    pair_close(&pair);
}

/* Connecting -------------------------------------------------------------------------------------
 */

static ttrpc_client_t *connect_to(fixture_t *fixture, const char *address, int64_t ms,
                                  reply_t *close, status_t *st)
{
    return ttrpc_client_new(fixture->io, address, ms, keep_close, close, st);
}

static void test_nobody_listens(void **state)
{
    fixture_t *fixture = *state;
    status_t st;
    AUTO_FREE char *address = util_format("unix://%s", fixture->path);
    assert_null(connect_to(fixture, address, 1000, NULL, &st));
    assert_int_equal(st.code, STATUS_UNAVAILABLE);
    assert_non_null(strstr(st.text, address));
    close(fixture_listen(fixture, 1));
    assert_null(connect_to(fixture, address, 1000, NULL, &st));
    assert_int_equal(st.code, STATUS_UNAVAILABLE);
    assert_null(connect_to(fixture, "no-such-abstract-name", 1000, NULL, &st));
    assert_int_equal(st.code, STATUS_UNAVAILABLE);
}

static void test_addresses(void **state)
{
    fixture_t *fixture = *state;
    status_t st;
    char address[128] = "unix://";
    memset(address + 7, 'p', TTRPC_ADDRESS_MAX);
    assert_null(connect_to(fixture, address, 0, NULL, &st));
    assert_int_equal(st.code, STATUS_UNAVAILABLE);
    address[7 + TTRPC_ADDRESS_MAX] = 'p';
    assert_null(connect_to(fixture, address, 0, NULL, &st));
    assert_int_equal(st.code, STATUS_INVALID_ARGUMENT);
    assert_null(connect_to(fixture, "unix://", 0, NULL, &st));
    assert_int_equal(st.code, STATUS_INVALID_ARGUMENT);
    assert_null(connect_to(fixture, "", 0, NULL, &st));
    assert_int_equal(st.code, STATUS_INVALID_ARGUMENT);
}

static void test_abstract_socket(void **state)
{
    fixture_t *fixture = *state;
    status_t st;
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int length = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "%s", fixture->path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    assert_int_equal(bind(listener, (const struct sockaddr *)&name, size), 0);
    assert_int_equal(listen(listener, 1), 0);
    reply_t reply = {0};
    ttrpc_client_t *client = connect_to(fixture, fixture->path, 0, NULL, &st);
    assert_non_null(client);
    ask(client, "c", 0, &reply);
    int peer = accept(listener, NULL, NULL);
    take_request(fixture, peer, 1);
    ttrpc_client_destroy(&client);
    close(peer);
    close(listener);
}

static void test_full_backlog(void **state)
{
    fixture_t *fixture = *state;
    status_t st;
    AUTO_FREE char *address = util_format("unix://%s", fixture->path);
    int listener = fixture_listen(fixture, 0);
    int first = fixture_connect(fixture);
    reply_t reply = {0}, close_patient = {0}, hasty = {0}, close_hasty = {0};
    ttrpc_client_t *patient = connect_to(fixture, address, PATIENCE_MS, &close_patient, &st);
    assert_non_null(patient);
    assert_int_equal(ttrpc_client_peer_pid(patient), 0);
    ask(patient, "c", 0, &reply);

    ttrpc_client_t *impatient = connect_to(fixture, address, 30, &close_hasty, &st);
    assert_non_null(impatient);
    ask(impatient, "c", 0, &hasty);
    fixture_until_count(fixture, &close_hasty.count, 1);
    assert_int_equal(hasty.st.code, STATUS_UNAVAILABLE);
    assert_non_null(strstr(hasty.st.text, "backlog is full"));
    ttrpc_client_destroy(&impatient);

    assert_int_equal(reply.count, 0);
    close(accept(listener, NULL, NULL));
    fixture_run_ms(fixture, 50);
    int peer = accept(listener, NULL, NULL);
    take_request(fixture, peer, 1);
    peer_send_frame(fixture, peer, success(1, "ok"));
    fixture_until_count(fixture, &reply.count, 1);
    assert_int_equal(reply.st.code, STATUS_OK);
    assert_int_equal(ttrpc_client_peer_pid(patient), getpid());
    ttrpc_client_destroy(&patient);
    close(peer);
    close(first);
    close(listener);
}

static void test_peer_of_another_user(void **state)
{
    fixture_t *fixture = *state;
    if (geteuid() != 0)
        skip();
    int fds[2];
    status_t st;
    assert_int_equal(seteuid(65534), 0);
    int rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(rc, 0);
    assert_null(ttrpc_client_adopt(fixture->io, fds[0], NULL, NULL, &st));
    assert_int_equal(st.code, STATUS_PERMISSION_DENIED);
    peer_expect_close(fixture, fds[1]);
    close(fds[1]);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header),
        CASE(test_request_on_the_wire),
        CASE(test_reply_split_at_every_byte),
        CASE(test_replies_out_of_order),
        CASE(test_status_of_the_shim),
        CASE(test_time_out_and_late_reply),
        CASE(test_close_in_the_middle_of_a_reply),
        CASE(test_last_words_before_the_close),
        CASE(test_garbage),
        CASE(test_oversize_reply),
        CASE(test_largest_reply),
        CASE(test_too_large_request),
        CASE(test_peer_that_does_not_read),
        CASE(test_peer_that_reads_no_more),
        CASE(test_too_many_calls),
        CASE(test_cancel),
        CASE(test_destroy_in_a_callback),
        CASE(test_asking_again_after_each_failure),
        CASE(test_nobody_listens),
        CASE(test_addresses),
        CASE(test_abstract_socket),
        CASE(test_full_backlog),
        CASE(test_peer_of_another_user),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
