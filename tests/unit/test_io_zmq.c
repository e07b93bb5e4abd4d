/* ZeroMQ sockets in an io_set: no message is left lying while the loop sleeps. */
#include "common/io_zmq.h"

#include "common/io_timer.h"
#include "common/util.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#define PAIRS       3
#define MESSAGES    20000 /* of each peer in the hammer */
#define WINDOW      7     /* unanswered ones of a peer */
#define SLEEP_EVERY 50    /* a peer sleeps after so many messages, on the average */
#define SLEEP_MS    10    /* longer than the time for which libzmq puts off taking commands */

typedef struct fixture fixture_t;

/* One of our sockets and the thread at its other end. */
typedef struct end {
    fixture_t *fixture;
    io_zmq_t zmq;
    void *peer;
    pthread_t thread;
    unsigned seed;
    int received;
    bool stops_when_received;
} end_t;

struct fixture {
    zloop_t *loop; /* NULL in half of the tests */
    io_set_t *io;
    void *context;
    end_t ends[PAIRS];
    int pipe[2];
    io_timer_t timer;
    int turns, timer_turns;
};

static bool take(end_t *self, int *value)
{
    return zmq_recv(self->zmq.socket, value, sizeof *value, ZMQ_DONTWAIT) >= 0;
}

static void put(end_t *self, int value)
{
    assert_int_equal(zmq_send(self->zmq.socket, &value, sizeof value, ZMQ_DONTWAIT), sizeof value);
    io_zmq_used(&self->zmq);
}

static void peer_put(end_t *self, int value)
{
    assert_int_equal(zmq_send(self->peer, &value, sizeof value, 0), sizeof value);
}

static void *open_socket(fixture_t *self)
{
    void *socket = zmq_socket(self->context, ZMQ_PAIR);
    zmq_setsockopt(socket, ZMQ_SNDHWM, &(int){0}, sizeof(int));
    zmq_setsockopt(socket, ZMQ_RCVHWM, &(int){0}, sizeof(int));
    zmq_setsockopt(socket, ZMQ_LINGER, &(int){0}, sizeof(int));
    return socket;
}

static void open_ends(fixture_t *self, io_zmq_handler_t *handler)
{
    for (int i = 0; i < PAIRS; i++) {
        end_t *end = &self->ends[i];
        char endpoint[64];
        snprintf(endpoint, sizeof endpoint, "inproc://%p", (void *)end);
        void *socket = open_socket(self);
        end->fixture = self;
        end->peer = open_socket(self);
        end->seed = (unsigned)i + 1;
        assert_int_equal(zmq_bind(socket, endpoint), 0);
        assert_int_equal(zmq_connect(end->peer, endpoint), 0);
        io_zmq_start(&end->zmq, self->io, socket, handler, end);
    }
}

static int set_up_with(void **state, zloop_t *loop)
{
    fixture_t *self = zmalloc(sizeof *self);
    self->loop = loop;
    self->io = io_set_new(loop);
    self->context = zmq_ctx_new();
    assert_int_equal(pipe(self->pipe), 0);
    *state = self;
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, NULL);
}

static int set_up_nested(void **state)
{
    zsys_handler_set(NULL);
    return set_up_with(state, zloop_new());
}

static int tear_down(void **state)
{
    fixture_t *self = *state;
    for (int i = 0; i < PAIRS; i++) {
        void *socket = self->ends[i].zmq.socket;
        io_zmq_stop(&self->ends[i].zmq);
        if (socket)
            zmq_close(socket);
        if (self->ends[i].peer)
            zmq_close(self->ends[i].peer);
    }
    io_timer_stop(self->io, &self->timer);
    io_set_destroy(&self->io);
    if (self->loop)
        zloop_destroy(&self->loop);
    zmq_ctx_term(self->context);
    close(self->pipe[0]);
    close(self->pipe[1]);
    free(self);
    return 0;
}

/* The hammer ------------------------------------------------------------------------------------
 */

static void pause_now_and_then(unsigned *seed)
{
    int number = rand_r(seed);
    if (number % SLEEP_EVERY == 0)
        poll(NULL, 0, number / SLEEP_EVERY % SLEEP_MS);
}

/* Sends MESSAGES, at most WINDOW ahead of those it has got. The loop that sleeps while one of them
 * lies there stops everything. */
static void *run_peer(void *arg)
{
    end_t *self = arg;
    for (int sent = 0, got = 0, value; got < MESSAGES; got++) {
        for (; sent < MESSAGES && sent - got < WINDOW; sent++)
            peer_put(self, sent);
        pause_now_and_then(&self->seed);
        if (zmq_recv(self->peer, &value, sizeof value, 0) < 0)
            return NULL;
    }
    return NULL;
}

/* What one peer says goes to the next, so every socket is sent on in the handler of another. */
static bool pass_on(void *arg)
{
    end_t *self = arg;
    fixture_t *fixture = self->fixture;
    int value, received = 0;
    if (!take(self, &value))
        return false;
    assert_int_equal(value, self->received++);
    put(&fixture->ends[(self - fixture->ends + 1) % PAIRS], value);
    for (int i = 0; i < PAIRS; i++)
        received += fixture->ends[i].received;
    if (received == PAIRS * MESSAGES)
        io_set_stop(fixture->io);
    return true;
}

static void no_message_is_left_lying(void **state)
{
    fixture_t *self = *state;
    open_ends(self, pass_on);
    for (int i = 0; i < PAIRS; i++)
        assert_int_equal(pthread_create(&self->ends[i].thread, NULL, run_peer, &self->ends[i]), 0);
    io_set_run(self->io);
    for (int i = 0; i < PAIRS; i++)
        assert_int_equal(pthread_join(self->ends[i].thread, NULL), 0);
}

/* Lost wake-ups, one at a time -------------------------------------------------------------------
 */

static bool count_messages(void *arg)
{
    end_t *self = arg;
    int value;
    if (!take(self, &value))
        return false;
    self->received++;
    if (self->stops_when_received)
        io_set_stop(self->fixture->io);
    return true;
}

/* Takes the commands from the descriptor, as a send does now and then. */
static void take_commands(end_t *self)
{
    int events;
    zmq_getsockopt(self->zmq.socket, ZMQ_EVENTS, &events, &(size_t){sizeof events});
    assert_true(events & ZMQ_POLLIN);
    assert_int_equal(poll(&(struct pollfd){.fd = self->zmq.fd, .events = POLLIN}, 1, 0), 0);
    io_zmq_used(&self->zmq);
}

static void on_timer(void *arg)
{
    fixture_t *self = arg;
    peer_put(&self->ends[0], 1);
    take_commands(&self->ends[0]);
}

static void a_message_whose_command_was_taken_in_a_timer_is_seen(void **state)
{
    fixture_t *self = *state;
    open_ends(self, count_messages);
    self->ends[0].stops_when_received = true;
    io_timer_init(&self->timer, on_timer, self);
    io_timer_in(self->io, &self->timer, 5);
    io_set_run(self->io);
    assert_int_equal(self->ends[0].received, 1);
}

static int on_zloop_timer(zloop_t *loop, int timer, void *arg)
{
    (void)loop;
    (void)timer;
    on_timer(arg);
    return 0;
}

static void a_message_whose_command_was_taken_outside_the_set_is_seen(void **state)
{
    fixture_t *self = *state;
    open_ends(self, count_messages);
    self->ends[0].stops_when_received = true;
    zloop_timer(self->loop, 5, 1, on_zloop_timer, self);
    io_set_run(self->io);
    assert_int_equal(self->ends[0].received, 1);
}

/* Fairness --------------------------------------------------------------------------------------
 */

static void on_pipe(void *arg, int fd, uint32_t events)
{
    fixture_t *self = arg;
    (void)fd;
    (void)events;
    self->turns++;
}

static void on_turn(void *arg)
{
    fixture_t *self = arg;
    self->timer_turns++;
    io_timer_at(self->io, &self->timer, 0);
}

static void a_turn_has_a_budget_and_shares_it(void **state)
{
    fixture_t *self = *state;
    open_ends(self, count_messages);
    for (int i = 0; i < 3 * IO_ZMQ_TURN; i++)
        peer_put(&self->ends[0], i);
    for (int i = 0; i < IO_ZMQ_BURST; i++)
        peer_put(&self->ends[1], i);
    assert_int_equal(io_set_add(self->io, self->pipe[0], EPOLLIN, on_pipe, self), 0);
    assert_int_equal(write(self->pipe[1], "x", 1), 1);
    io_timer_init(&self->timer, on_turn, self);
    io_timer_at(self->io, &self->timer, 0);
    io_set_turn(self->io);
    assert_int_equal(self->turns, 1);
    assert_int_equal(self->timer_turns, 1);
    assert_int_equal(self->ends[1].received, IO_ZMQ_BURST);
    assert_true(self->ends[0].received >= IO_ZMQ_BURST);
    assert_true(self->ends[0].received <= IO_ZMQ_TURN - IO_ZMQ_BURST);
    io_set_turn(self->io);
    assert_int_equal(self->turns, 2);
    assert_int_equal(self->timer_turns, 2);
    io_set_remove(self->io, self->pipe[0]);
    io_timer_stop(self->io, &self->timer);
    while (self->ends[0].received < 3 * IO_ZMQ_TURN)
        io_set_turn(self->io); /* does not sleep */
}

/* Stopping --------------------------------------------------------------------------------------
 */

static bool stop_all(void *arg)
{
    end_t *self = arg;
    int value;
    assert_true(take(self, &value));
    self->received++;
    for (int i = 0; i < PAIRS; i++)
        io_zmq_stop(&self->fixture->ends[i].zmq);
    io_set_stop(self->fixture->io);
    return true;
}

static void no_call_comes_after_a_stop(void **state)
{
    fixture_t *self = *state;
    open_ends(self, count_messages);
    io_set_turn(self->io);
    self->ends[0].zmq.handler = stop_all;
    for (int i = 0; i < PAIRS; i++)
        for (int n = 0; n < 3; n++)
            peer_put(&self->ends[i], n);
    self->ends[1].zmq.handler = self->ends[2].zmq.handler = stop_all;
    io_set_run(self->io);
    assert_int_equal(self->ends[0].received + self->ends[1].received + self->ends[2].received, 1);
    io_zmq_stop(&self->ends[0].zmq); /* once more is nothing */
}

int main(void)
{
#define TEST(name, set_up)                                                                         \
    {                                                                                              \
#name " (" #set_up ")", name, set_up, tear_down, NULL                                      \
    }
    const struct CMUnitTest tests[] = {
        TEST(no_message_is_left_lying, set_up),
        TEST(no_message_is_left_lying, set_up_nested),
        TEST(a_message_whose_command_was_taken_in_a_timer_is_seen, set_up),
        TEST(a_message_whose_command_was_taken_in_a_timer_is_seen, set_up_nested),
        TEST(a_message_whose_command_was_taken_outside_the_set_is_seen, set_up_nested),
        TEST(a_turn_has_a_budget_and_shares_it, set_up),
        TEST(no_call_comes_after_a_stop, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
