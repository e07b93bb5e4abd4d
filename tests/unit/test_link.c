/* The connection to a broker: deadlines, limits, and a broker that is replaced. */
#include "common/link.h"

#include "common/frame.h"
#include "common/io_zmq.h"
#include "common/util.h"

#include <zmq.h>

#include <setjmp.h>

#include <cmocka.h>

#define TIMEOUT_MS 30
#define GRACE_MS   2000 /* more than the link adds for a broker that is still there */

typedef struct fixture {
    char dir[32];
    char *endpoint;
    zsock_t *broker; /* NULL while there is none */
    io_zmq_t requests;
    bool is_mute;
    int seen;              /* requests */
    int64_t deadline;      /* of the newest */
    status_code_t refusal; /* with which they are answered */
    int seen_first;        /* of those, such as say that they come for the first time */
    io_set_t *io;
    link_t *link;
    bool is_asking;
    int replies, wanted;
    status_code_t code;
} fixture_t;

/* Answers every request with the body it came with, and forgets it when it is mute. */
static bool on_request(void *arg)
{
    fixture_t *self = arg;
    frame_set_t set;
    msg_header_t header;
    status_t st;
    if (!frame_receive(self->requests.socket, &set))
        return false;
    self->seen++;
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    zmq_msg_t *frame = &set.frames[1], reply;
    assert_int_equal(
        msg_decode(MSG_header, zmq_msg_data(frame), zmq_msg_size(frame), zone, &header, &st), 0);
    self->seen_first += header.first;
    self->deadline = header.deadline;
    if (self->is_mute) {
        io_set_stop(self->io);
    } else {
        frame_encode(
            &reply, MSG_reply,
            &(msg_reply_t){.v = 1, .id = header.id, .status = self->refusal, .message = ""});
        self->refusal = STATUS_OK;
        frame_move(self->requests.socket, &set.frames[0], true);
        frame_move(self->requests.socket, &reply, true);
        frame_move(self->requests.socket, &set.frames[2], false);
        io_zmq_used(&self->requests);
    }
    msgpack_zone_free(zone);
    frame_set_close(&set);
    return true;
}

static void open_broker(fixture_t *self)
{
    self->broker = zsock_new(ZMQ_ROUTER);
    zsock_set_linger(self->broker, 0);
    zsock_set_sndhwm(self->broker, 0); /* a ROUTER drops what exceeds it */
    assert_int_equal(zsock_bind(self->broker, "%s", self->endpoint), 0);
    io_zmq_start(&self->requests, self->io, zsock_resolve(self->broker), on_request, self);
}

static void close_broker(fixture_t *self)
{
    io_zmq_stop(&self->requests);
    zsock_destroy(&self->broker);
}

/* The clock of the epoch, as one that was set forward. */
static int64_t skipped_ms;
int64_t __real_util_now_ms(void);
int64_t __wrap_util_now_ms(void);
int64_t __wrap_util_now_ms(void)
{
    return __real_util_now_ms() + skipped_ms;
}

static int set_up(void **state)
{
    skipped_ms = 0;
    fixture_t *self = zmalloc(sizeof *self);
    status_t st;
    zsys_handler_set(NULL);
    snprintf(self->dir, sizeof self->dir, "/tmp/link-XXXXXX");
    assert_non_null(mkdtemp(self->dir));
    self->endpoint = util_format("ipc://%s/broker.sock", self->dir);
    self->io = io_set_new(NULL);
    self->link = link_new(self->io, self->endpoint, &st);
    assert_non_null(self->link);
    *state = self;
    return 0;
}

static int tear_down(void **state)
{
    fixture_t *self = *state;
    link_destroy(&self->link);
    close_broker(self);
    io_set_destroy(&self->io);
    unlink(strstr(self->endpoint, "/tmp"));
    assert_int_equal(rmdir(self->dir), 0);
    free(self->endpoint);
    free(self);
    return 0;
}

static void on_reply(void *arg, const status_t *st, const void *answer)
{
    fixture_t *self = arg;
    assert_false(self->is_asking);
    assert_true(st->code ? !answer : !!answer);
    self->code = st->code;
    if (++self->replies == self->wanted)
        io_set_stop(self->io);
}

static void ask(fixture_t *self, int64_t timeout_ms)
{
    self->is_asking = true;
    link_ask(self->link, MSG_broker_ping, &(msg_broker_ping_t){0}, NULL, timeout_ms, NULL, on_reply,
             self);
    self->is_asking = false;
}

static void deadlines_pass_without_a_broker(void **state)
{
    fixture_t *self = *state;
    self->wanted = 2;
    ask(self, -1); /* waits for ever, and sets no timer for the others to depend on */
    ask(self, 20 * TIMEOUT_MS);
    ask(self, TIMEOUT_MS);
    int64_t begun = util_monotonic_us();
    io_set_run(self->io);
    assert_int_equal(self->code, STATUS_DEADLINE_EXCEEDED);
    assert_true(util_monotonic_us() - begun >= 20 * TIMEOUT_MS * 1000);
    assert_true(util_monotonic_us() - begun < (20 * TIMEOUT_MS + GRACE_MS) * 1000);
}

static void one_more_than_may_wait_is_refused(void **state)
{
    fixture_t *self = *state;
    for (int i = 0; i < LINK_PENDING_MAX; i++)
        ask(self, -1);
    self->wanted = 1;
    ask(self, -1);
    io_set_run(self->io);
    assert_int_equal(self->code, STATUS_RESOURCE_EXHAUSTED);
    open_broker(self); /* and the others are answered */
    self->wanted += LINK_PENDING_MAX;
    io_set_run(self->io);
    assert_int_equal(self->code, STATUS_OK);
    assert_int_equal(self->seen, LINK_PENDING_MAX);
}

static void a_successor_is_asked_again(void **state)
{
    fixture_t *self = *state;
    self->is_mute = true;
    self->wanted = 1;
    open_broker(self);
    ask(self, -1);
    io_set_run(self->io); /* until it was seen */
    assert_int_equal(self->replies, 0);
    assert_int_equal(self->seen_first, 1);
    close_broker(self);
    self->is_mute = false;
    open_broker(self);
    io_set_run(self->io);
    assert_int_equal(self->code, STATUS_OK);
    assert_int_equal(self->replies, 1);
    assert_int_equal(self->seen, 2);
    assert_int_equal(self->seen_first, 1);
}

static void an_id_that_is_given_may_have_been_sent_before(void **state)
{
    fixture_t *self = *state;
    msg_uuid_t id;
    msg_uuid_new(&id);
    open_broker(self);
    self->wanted = 1;
    link_ask(self->link, MSG_broker_ping, &(msg_broker_ping_t){0}, NULL, 0, &id, on_reply, self);
    io_set_run(self->io);
    assert_int_equal(self->seen, 1);
    assert_int_equal(self->seen_first, 0);
}

/* A broker forgets who waits for ever and is never heard of again. */
static void whoever_waits_for_ever_says_so_again(void **state)
{
    fixture_t *self = *state;
    const msg_task_wait_t wait = {.id = "c"};
    self->refusal = STATUS_DEADLINE_EXCEEDED; /* as after a long stop of this process */
    open_broker(self);
    self->wanted = 1;
    link_ask(self->link, MSG_task_wait, &wait, "default", -1, NULL, on_reply, self);
    io_set_run(self->io);
    assert_int_equal(self->seen, 2);
    assert_int_equal(self->seen_first, 1);
    assert_in_range(self->deadline - util_now_ms(), 60 * 1000, 3600 * 1000);
}

/* And does so in time, so that it is not forgotten. */
static void a_wait_for_ever_is_sent_again_in_time(void **state)
{
    fixture_t *self = *state;
    const msg_task_wait_t wait = {.id = "c"};
    open_broker(self);
    self->is_mute = true;
    link_ask(self->link, MSG_task_wait, &wait, "default", -1, NULL, on_reply, self);
    io_set_run(self->io); /* until it was seen */
    int64_t end = self->deadline;
    self->is_mute = false;
    self->wanted = 1;
    skipped_ms = (end - util_now_ms()) / 2 + 1000;
    io_set_run(self->io);
    assert_true(util_now_ms() < end); /* in time */
    assert_int_equal(self->seen, 2);
    assert_true(self->deadline > end);
    assert_int_equal(self->replies, 1);
}

static void a_call_waits_for_its_answer(void **state)
{
    fixture_t *self = *state;
    status_t st;
    msg_broker_pong_t pong;
    const msg_broker_ping_t ping = {.payload = {.data = (const uint8_t *)"x", .size = 1}};
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    open_broker(self);
    assert_int_equal(link_call(self->link, MSG_broker_ping, &ping, NULL, 0, zone, &pong, &st),
                     STATUS_OK);
    assert_int_equal(pong.payload.size, 1);
    close_broker(self);
    assert_int_equal(
        link_call(self->link, MSG_broker_ping, &ping, NULL, TIMEOUT_MS, zone, &pong, &st),
        STATUS_DEADLINE_EXCEEDED);
    msgpack_zone_free(zone);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(deadlines_pass_without_a_broker),
        TEST(one_more_than_may_wait_is_refused),
        TEST(a_successor_is_asked_again),
        TEST(an_id_that_is_given_may_have_been_sent_before),
        TEST(whoever_waits_for_ever_says_so_again),
        TEST(a_wait_for_ever_is_sent_again_in_time),
        TEST(a_call_waits_for_its_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
