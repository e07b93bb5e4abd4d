/* Hands events to the manager. One thread, one connection, one event at a time: what fails is tried
 * again after 1, 2, 3, 4 and 5 seconds, while later ones go ahead, and then dropped
 * (containerd pkg/shim/publisher.go). */
#include "tests/fake-shim/events.h"

#include "common/proto/events_service.pb-c.h"
#include "common/ttrpc_frame.h"
#include "common/util.h"

#include <czmq.h>
#include <errno.h>
#include <google/protobuf/any.pb-c.h>
#include <google/protobuf/timestamp.pb-c.h>
#include <pthread.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>

#define SERVICE       "containerd.services.events.ttrpc.v1.Events"
#define ATTEMPTS_MAX  6
#define CALL_SECONDS  5
#define DIAL_US       (5 * 1000 * 1000) /* how long a socket that is not there is waited for */
#define DIAL_RETRY_US (20 * 1000)
#define REORDER_US    (300 * 1000)   /* a last event without a partner goes alone after that */
#define ZERO_TIME     (-62135596800) /* seconds of the year 1 */
#define NS_PER_SECOND 1000000000
#define ANSWER_MAX    4096
#define US_PER_MS     1000
#define US_PER_SECOND 1000000

typedef struct item {
    char *topic;
    Containerd__Services__Events__Ttrpc__V1__ForwardRequest *request;
    int64_t due_us;
    int attempts;
    bool is_passed; /* reorder: its successor went first */
    TAILQ_ENTRY(item) link;
} item_t;

typedef enum events_mode {
    MODE_PLAIN,
    MODE_NONE,
    MODE_REORDER,
    MODE_DUPLICATE,
    MODE_DROP,
    MODE_DROP_TOPIC,
    MODE_DELAY
} events_mode_t;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    TAILQ_HEAD(, item) queue;
    size_t count; /* the one being sent included */
    uint64_t published;
    events_mode_t mode;
    char argument[128];
    char *ns;
    struct sockaddr_un address;
    int fd;
    uint32_t stream;
} events = {.lock = PTHREAD_MUTEX_INITIALIZER,
            .changed = PTHREAD_COND_INITIALIZER,
            .queue = TAILQ_HEAD_INITIALIZER(events.queue),
            .fd = -1};

void events_time(int64_t ns, int64_t *seconds, int32_t *nanos)
{
    *seconds = ns ? ns / NS_PER_SECOND : ZERO_TIME;
    *nanos = (int32_t)(ns % NS_PER_SECOND);
}

/* One call ---------------------------------------------------------------------------------------
 */

static bool dial(void)
{
    int64_t until = util_monotonic_us() + DIAL_US;
    struct timeval limit = {.tv_sec = CALL_SECONDS};
    while (events.fd < 0) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        if (connect(fd, (const struct sockaddr *)&events.address, sizeof events.address) == 0) {
            events.fd = fd;
            events.stream = 1;
            return true;
        }
        bool is_absent = errno == ENOENT;
        close(fd);
        if (!is_absent || util_monotonic_us() >= until)
            return false;
        usleep(DIAL_RETRY_US);
    }
    return true;
}

typedef enum outcome {
    TAKEN,
    REFUSED, /* by an answer, or by nobody being there, or by no answer in time */
    BROKEN   /* the connection went while we asked */
} outcome_t;

static outcome_t receive(void *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t count = recv(events.fd, (uint8_t *)data + at, size - at, 0);
        if (count < 0 && errno == EAGAIN)
            return REFUSED;
        if (count <= 0)
            return BROKEN;
        at += (size_t)count;
    }
    return TAKEN;
}

/* A success is an answer without a body, or without a status: that is field 1 and would be first.
 */
static outcome_t receive_answer(uint32_t stream)
{
    uint8_t head[TTRPC_HEADER_SIZE], body[ANSWER_MAX];
    outcome_t outcome = receive(head, sizeof head);
    if (outcome != TAKEN)
        return outcome;
    ttrpc_header_t header = ttrpc_header_decode(head);
    if (header.stream != stream || header.type != TTRPC_TYPE_RESPONSE || header.size > sizeof body)
        return BROKEN;
    outcome = receive(body, header.size);
    return outcome == TAKEN && header.size > 0 && body[0] == 0x0a ? REFUSED : outcome;
}

static outcome_t forward_once(const item_t *item)
{
    status_t st;
    if (!dial())
        return REFUSED;
    uint32_t stream = events.stream;
    AUTO(ttrpc_frame)
    frame = ttrpc_frame_request(stream, SERVICE, "Forward", &item->request->base,
                                CALL_SECONDS * US_PER_MS, events.ns, &st);
    events.stream += 2;
    int64_t start = util_monotonic_us();
    bool is_sent = send(events.fd, frame->bytes, frame->size, MSG_NOSIGNAL) == (ssize_t)frame->size;
    outcome_t outcome = is_sent ? receive_answer(stream) : BROKEN;
    /* An answer that may still come would be taken for the next one's. */
    bool is_late = util_monotonic_us() - start >= (int64_t)CALL_SECONDS * US_PER_SECOND;
    if (outcome == BROKEN || is_late)
        util_close(&events.fd);
    return outcome;
}

/* A connection that went is made anew, and the event sent a second time, at once. */
static bool forward(const item_t *item)
{
    outcome_t outcome = forward_once(item);
    if (outcome == BROKEN)
        outcome = forward_once(item);
    return outcome == TAKEN;
}

/* The queue --------------------------------------------------------------------------------------
 */

static void item_destroy(item_t *item)
{
    free(item->topic);
    containerd__services__events__ttrpc__v1__forward_request__free_unpacked(item->request, NULL);
    free(item);
}

/* The next one to send, or NULL and when to look again. */
static item_t *pick(int64_t now, int64_t *next)
{
    item_t *item;
    *next = INT64_MAX;
    TAILQ_FOREACH(item, &events.queue, link)
    {
        item_t *successor = TAILQ_NEXT(item, link);
        bool is_first_try = item->attempts == 0;
        if (events.mode == MODE_REORDER && is_first_try && !item->is_passed && successor) {
            item->is_passed = successor->is_passed = true;
            return successor;
        }
        if (item->due_us <= now || item->is_passed)
            return item;
        if (item->due_us < *next)
            *next = item->due_us;
    }
    return NULL;
}

static void wait_until(int64_t when)
{
    if (when == INT64_MAX) {
        pthread_cond_wait(&events.changed, &events.lock);
        return;
    }
    int64_t left = when - util_monotonic_us();
    int64_t at = util_now_ns() + (left > 0 ? left : 0) * 1000;
    struct timespec deadline = {.tv_sec = at / NS_PER_SECOND, .tv_nsec = at % NS_PER_SECOND};
    pthread_cond_timedwait(&events.changed, &events.lock, &deadline);
}

static void settle(item_t *item, bool is_taken)
{
    if (is_taken || ++item->attempts >= ATTEMPTS_MAX) {
        if (!is_taken)
            fprintf(stderr, "evicting %s from queue because of retry count\n", item->topic);
        events.count--;
        item_destroy(item);
        pthread_cond_broadcast(&events.changed);
        return;
    }
    item->due_us = util_monotonic_us() + (int64_t)item->attempts * US_PER_SECOND;
    item->is_passed = false;
    TAILQ_INSERT_TAIL(&events.queue, item, link);
}

static void *send_all(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&events.lock);
    for (;;) {
        int64_t next;
        item_t *item = pick(util_monotonic_us(), &next);
        if (!item) {
            wait_until(next);
            continue;
        }
        TAILQ_REMOVE(&events.queue, item, link);
        pthread_mutex_unlock(&events.lock);
        bool is_taken = forward(item);
        if (is_taken && events.mode == MODE_DUPLICATE)
            forward(item);
        pthread_mutex_lock(&events.lock);
        settle(item, is_taken);
    }
    return NULL;
}

static bool is_dropped(const char *topic)
{
    events.published++;
    return events.mode == MODE_NONE || (events.mode == MODE_DROP && events.published % 2 == 0) ||
           (events.mode == MODE_DROP_TOPIC && strcmp(events.argument, topic) == 0);
}

/* A copy that owns itself, by way of the wire format. */
static Containerd__Services__Events__Ttrpc__V1__ForwardRequest *request_new(
    const char *topic, const ProtobufCMessage *event)
{
    size_t size = protobuf_c_message_get_packed_size(event);
    AUTO_FREE uint8_t *payload = zmalloc(size + 1);
    protobuf_c_message_pack(event, payload);
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    any.type_url = (char *)event->descriptor->name;
    any.value = (ProtobufCBinaryData){.data = payload, .len = size};
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    events_time(util_now_ns(), &time.seconds, &time.nanos);
    Containerd__Services__Events__Ttrpc__V1__Envelope envelope =
        CONTAINERD__SERVICES__EVENTS__TTRPC__V1__ENVELOPE__INIT;
    envelope.timestamp = &time;
    envelope.namespace_ = events.ns;
    envelope.topic = (char *)topic;
    envelope.event = &any;
    Containerd__Services__Events__Ttrpc__V1__ForwardRequest request =
        CONTAINERD__SERVICES__EVENTS__TTRPC__V1__FORWARD_REQUEST__INIT;
    request.envelope = &envelope;
    size = protobuf_c_message_get_packed_size(&request.base);
    AUTO_FREE uint8_t *packed = zmalloc(size + 1);
    protobuf_c_message_pack(&request.base, packed);
    return containerd__services__events__ttrpc__v1__forward_request__unpack(NULL, size, packed);
}

void events_publish(const char *topic, const ProtobufCMessage *event)
{
    pthread_mutex_lock(&events.lock);
    if (!is_dropped(topic) && events.address.sun_family) {
        if (events.count >= EVENTS_QUEUE_MAX) {
            fprintf(stderr, "event queue is full: dropped %s\n", topic);
        } else {
            item_t *item = zmalloc(sizeof *item);
            item->topic = util_strdup(topic);
            item->request = request_new(topic, event);
            item->due_us = util_monotonic_us();
            if (events.mode == MODE_REORDER)
                item->due_us += REORDER_US;
            if (events.mode == MODE_DELAY)
                item->due_us += strtoll(events.argument, NULL, 10) * US_PER_MS;
            TAILQ_INSERT_TAIL(&events.queue, item, link);
            events.count++;
            pthread_cond_broadcast(&events.changed);
        }
    }
    pthread_mutex_unlock(&events.lock);
}

void events_drain(int64_t ms)
{
    int64_t until = util_monotonic_us() + ms * US_PER_MS;
    pthread_mutex_lock(&events.lock);
    while (events.count > 0 && util_monotonic_us() < until)
        wait_until(until);
    pthread_mutex_unlock(&events.lock);
}

/* Starting ---------------------------------------------------------------------------------------
 */

static void set_mode(const char *text)
{
    static const struct {
        const char *name;
        events_mode_t mode;
    } modes[] = {{"none", MODE_NONE}, {"reorder", MODE_REORDER},  {"duplicate", MODE_DUPLICATE},
                 {"drop", MODE_DROP}, {"drop(", MODE_DROP_TOPIC}, {"delay(", MODE_DELAY}};
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
        if (strncmp(text, modes[i].name, strlen(modes[i].name)) == 0)
            events.mode = modes[i].mode;
    const char *open = strchr(text, '(');
    if (open)
        snprintf(events.argument, sizeof events.argument, "%.*s", (int)strcspn(open + 1, ")"),
                 open + 1);
}

void events_start(const char *ns, const spec_t *spec)
{
    const char *mode = spec_setting(spec, "events");
    const char *address = getenv("TTRPC_ADDRESS");
    events.ns = util_strdup(ns);
    if (mode)
        set_mode(mode);
    if (!address || !*address)
        return;
    if (strncmp(address, "unix://", 7) == 0)
        address += 7;
    events.address.sun_family = AF_UNIX;
    snprintf(events.address.sun_path, sizeof events.address.sun_path, "%s", address);
    pthread_t thread;
    pthread_create(&thread, NULL, send_all, NULL);
    pthread_detach(thread);
}
