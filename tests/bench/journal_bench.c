/* Events of shims into the journal, group-committed, and the same number of bare LMDB records.
 *
 *   journal_bench journal|requests|lmdb DIR BATCH RUNS
 *
 * Makes a store in DIR, which must not have one. RUNS tasks tell their create, start, exit and
 * delete, BATCH of them at a time; `requests` has the outcomes of task.create and task.start, and
 * the exit, recorded before the events come. `lmdb` appends records of an event's size, BATCH a
 * commit. Prints events a second.
 */
#include "common/log.h"
#include "common/util.h"
#include "workers/metadata/containers.h"
#include "workers/metadata/incarnations.h"
#include "workers/metadata/intake.h"
#include "workers/metadata/requests.h"

#include <stdio.h>
#include <string.h>

#define NS         "default"
#define PID        100
#define EVENT_SIZE 300 /* bytes in the journal, about */
#define FIELDS_MAX 256

static const char *const topics[] = {"/tasks/create", "/tasks/start", "/tasks/exit",
                                     "/tasks/delete"};

typedef struct bench {
    store_t *store;
    batch_t *batch;
    intake_t *intake;
    size_t first, count; /* the runs of this batch */
    size_t stored;
    bool has_requests;
} bench_t;

static void id_of(size_t run, char ret[32])
{
    snprintf(ret, 32, "c%zu", run);
}

static void incarnation_of(size_t run, char ret[UTIL_UUID_SIZE])
{
    snprintf(ret, UTIL_UUID_SIZE, "%08x-2222-4333-8444-555555555555", (unsigned)run);
}

static void check(void *arg, const status_t *st)
{
    (void)arg;
    if (st->code) {
        fprintf(stderr, "journal_bench: %s\n", st->text);
        exit(EXIT_FAILURE);
    }
}

static void begin_runs(void *arg, txn_t *txn)
{
    bench_t *self = arg;
    status_t st;
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    for (size_t run = self->first; run < self->first + self->count; run++) {
        char id[32], incarnation[UTIL_UUID_SIZE];
        msg_container_t made = {.id = NULL};
        id_of(run, id);
        incarnation_of(run, incarnation);
        msg_container_create_t create = {
            .id = id, .runtime = "io.containerd.runc.v2", .spec = {(const uint8_t *)"{}", 2}};
        msg_incarnation_begin_t begin = {.id = id, .incarnation = incarnation};
        call_t call = {
            .ns = NS, .ask = &create, .answer = &made, .zone = zone, .now = util_now_ns()};
        containers_create(txn, &call, &st);
        call.ask = &begin;
        incarnations_begin(txn, &call, &st);
    }
    msgpack_zone_free(zone);
}

static void record_requests(void *arg, txn_t *txn)
{
    bench_t *self = arg;
    status_t st;
    msgpack_zone *zone = msgpack_zone_new(MSGPACK_ZONE_CHUNK_SIZE);
    msgpack_sbuffer answer;
    msgpack_sbuffer_init(&answer);
    msg_encode(MSG_started, &(msg_started_t){.pid = PID}, &answer);
    for (size_t run = self->first; run < self->first + self->count; run++) {
        char id[32], incarnation[UTIL_UUID_SIZE];
        id_of(run, id);
        incarnation_of(run, incarnation);
        msg_request_record_t record = {
            .method = "task.create",
            .ns = NS,
            .target = id,
            .answer = {.data = (uint8_t *)answer.data, .size = answer.size}};
        call_t call = {.ns = NS, .ask = &record, .zone = zone, .now = util_now_ns()};
        msg_uuid_new(&record.id);
        requests_record(txn, &call, &st);
        record.method = "task.start";
        msg_uuid_new(&record.id);
        requests_record(txn, &call, &st);
        msg_incarnation_exit_t exit = {.id = id,
                                       .incarnation = incarnation,
                                       .pid = PID,
                                       .exit_status = 7,
                                       .exited_at = call.now,
                                       .source = "wait"};
        call.ask = &exit;
        incarnations_exit(txn, &call, &st);
    }
    msgpack_sbuffer_destroy(&answer);
    msgpack_zone_free(zone);
}

static void on_stored(void *arg, bool is_stored)
{
    ((bench_t *)arg)->stored += is_stored;
}

static void on_told(void *arg, const char *ns, const char *id)
{
    (void)arg;
    (void)ns;
    (void)id;
}

static void tell(bench_t *self, size_t run, const char *topic)
{
    char id[32];
    status_t st;
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    id_of(run, id);
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, 2);
    msgpack_pack_str_with_body(&packer, "container_id", 12);
    msgpack_pack_str_with_body(&packer, id, strlen(id));
    msgpack_pack_str_with_body(&packer, "pid", 3);
    msgpack_pack_uint32(&packer, PID);
    intake_event_t event = {.ns = NS,
                            .topic = topic,
                            .type = "containerd.events.TaskEvent",
                            .time = util_now_ns(),
                            .fields = {.data = (uint8_t *)buffer.data, .size = buffer.size}};
    check(NULL, &(status_t){.code = intake_add(self->intake, &event, on_stored, self, &st)});
    msgpack_sbuffer_destroy(&buffer);
}

static size_t run_journal(bench_t *self, size_t batch, size_t runs)
{
    int64_t spent = 0;
    for (self->first = 0; self->first < runs; self->first += batch) {
        self->count = batch;
        batch_add(self->batch, begin_runs, check, self);
        batch_commit(self->batch);
        int64_t begun = util_monotonic_us();
        if (self->has_requests) {
            batch_add(self->batch, record_requests, check, self);
            batch_commit(self->batch);
        }
        for (size_t i = 0; i < ARRAY_SIZE(topics); i++) {
            for (size_t run = self->first; run < self->first + batch; run++)
                tell(self, run, topics[i]);
            batch_commit(self->batch);
        }
        spent += util_monotonic_us() - begun;
    }
    return self->stored * 1000000 / (size_t)spent;
}

static void append_records(void *arg, txn_t *txn)
{
    static const uint8_t record[EVENT_SIZE];
    bench_t *self = arg;
    for (size_t i = 0; i < self->count; i++) {
        uint64_t seq = ++self->stored;
        txn_append(txn, TABLE_JOURNAL, &seq, sizeof seq, record, sizeof record);
    }
}

static size_t run_lmdb(bench_t *self, size_t batch, size_t runs)
{
    int64_t begun = util_monotonic_us();
    self->count = batch;
    while (self->stored < runs * ARRAY_SIZE(topics)) {
        batch_add(self->batch, append_records, check, self);
        batch_commit(self->batch);
    }
    return self->stored * 1000000 / (size_t)(util_monotonic_us() - begun);
}

int main(int argc, char **argv)
{
    status_t st;
    if (argc != 5) {
        fprintf(stderr, "usage: journal_bench journal|requests|lmdb DIR BATCH RUNS\n");
        return EXIT_FAILURE;
    }
    log_open("bench", LOG_LEVEL_WARN);
    zsys_handler_set(NULL);
    zloop_t *loop = zloop_new();
    bench_t self = {.store = store_open(argv[2], STORE_MAP_INITIAL, STORE_MAP_MAX, &st),
                    .has_requests = !strcmp(argv[1], "requests")};
    if (!self.store)
        check(NULL, &st);
    self.batch = batch_new(self.store, NULL, NULL, NULL);
    self.intake = intake_new(loop, self.batch, on_told, NULL);
    size_t batch = strtoul(argv[3], NULL, 10), runs = strtoul(argv[4], NULL, 10);
    bool is_bare = !strcmp(argv[1], "lmdb");
    printf("%zu\n", is_bare ? run_lmdb(&self, batch, runs) : run_journal(&self, batch, runs));
    intake_destroy(&self.intake);
    batch_destroy(&self.batch);
    store_destroy(&self.store);
    zloop_destroy(&loop);
    return EXIT_SUCCESS;
}
