/* Events of shims into the journal, group-committed, and the same number of bare LMDB records.
 *
 *   journal_bench journal|requests|lmdb|lmdb-states DIR BATCH RUNS
 *   journal_bench trim DIR BATCH EVENTS
 *
 * Makes a store in DIR, which must not have one. RUNS tasks tell their create, start, exit and
 * delete, BATCH of them at a time; `requests` has the outcomes of task.create and task.start, and
 * the exit, recorded before the events come. `lmdb` is LMDB alone: as many bytes as such an event
 * has in the journal under the next number, MDB_APPEND, one table, BATCH a commit, synced in full.
 * The journal has more to do for each: it reads which run the event is of, and writes the state of
 * that run in another table, in no order. `lmdb-states` is LMDB that writes that record too,
 * without having read anything. Prints events a second.
 *
 * `trim` appends BATCH events a commit until EVENTS are there, then goes on while these are removed
 * again in the worker's pieces. Prints the median and the 99th percentile of a commit, in
 * microseconds, without and with a piece in it.
 */
#include "common/log.h"
#include "common/util.h"
#include "workers/metadata/containers.h"
#include "workers/metadata/incarnations.h"
#include "workers/metadata/intake.h"
#include "workers/metadata/requests.h"
#include "workers/metadata/retention.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define NS         "default"
#define PID        100
#define FIELDS_MAX 256

static const char *const topics[] = {"/tasks/create", "/tasks/start", "/tasks/exit",
                                     "/tasks/delete"};

typedef struct bench {
    store_t *store;
    batch_t *batch;
    intake_t *intake;
    size_t first, count; /* the runs of this batch */
    msg_bytes_t *fields; /* of their events */
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

static void pack_fields(msgpack_sbuffer *fields, const char *id)
{
    msgpack_packer packer;
    msgpack_sbuffer_init(fields);
    msgpack_packer_init(&packer, fields, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, 2);
    msgpack_pack_str_with_body(&packer, "container_id", 12);
    msgpack_pack_str_with_body(&packer, id, strlen(id));
    msgpack_pack_str_with_body(&packer, "pid", 3);
    msgpack_pack_uint32(&packer, PID);
}

/* What the shims say is made before the clock runs. */
static void prepare(bench_t *self)
{
    char id[32];
    batch_add(self->batch, begin_runs, check, self);
    batch_commit(self->batch);
    self->fields = zmalloc(self->count * sizeof *self->fields);
    for (size_t i = 0; i < self->count; i++) {
        msgpack_sbuffer packed;
        id_of(self->first + i, id);
        pack_fields(&packed, id);
        uint8_t *data = zmalloc(packed.size);
        memcpy(data, packed.data, packed.size);
        self->fields[i] = (msg_bytes_t){.data = data, .size = packed.size};
        msgpack_sbuffer_destroy(&packed);
    }
}

static void forget(bench_t *self)
{
    for (size_t i = 0; i < self->count; i++)
        free((void *)(uintptr_t)self->fields[i].data);
    free(self->fields);
}

static void tell(bench_t *self, size_t index, const char *topic)
{
    status_t st;
    intake_event_t event = {.ns = NS,
                            .topic = topic,
                            .type = "containerd.events.TaskEvent",
                            .time = util_now_ns(),
                            .fields = self->fields[index]};
    check(NULL, &(status_t){.code = intake_add(self->intake, &event, on_stored, self, &st)});
}

static size_t run_journal(bench_t *self, size_t batch, size_t runs)
{
    int64_t spent = 0;
    for (self->first = 0; self->first < runs; self->first += batch) {
        self->count = batch;
        prepare(self);
        int64_t begun = util_monotonic_us();
        if (self->has_requests) {
            batch_add(self->batch, record_requests, check, self);
            batch_commit(self->batch);
        }
        for (size_t i = 0; i < ARRAY_SIZE(topics); i++) {
            for (size_t run = 0; run < batch; run++)
                tell(self, run, topics[i]);
            batch_commit(self->batch);
        }
        spent += util_monotonic_us() - begun;
        forget(self);
    }
    return self->stored * 1000000 / (size_t)spent;
}

/* LMDB alone ------------------------------------------------------------------------------------
 */

static void must(int error)
{
    if (error) {
        fprintf(stderr, "journal_bench: %s\n", mdb_strerror(error));
        exit(EXIT_FAILURE);
    }
}

static journal_event_t an_event(msgpack_sbuffer *fields)
{
    pack_fields(fields, "c1000");
    return (journal_event_t){.ns = NS,
                             .topic = topics[0],
                             .type = "containerd.events.TaskEvent",
                             .origin = JOURNAL_ORIGIN_SHIM,
                             .incarnation = "00000000-2222-4333-8444-555555555555",
                             .time = util_now_ns(),
                             .prev = 1000000,
                             .event = {.data = (uint8_t *)fields->data, .size = fields->size}};
}

typedef struct bare {
    MDB_env *env;
    MDB_dbi journal, states;
    msgpack_sbuffer record; /* an event's */
    uint64_t seq;
    bool has_states;
} bare_t;

static void put_state(const bare_t *self, MDB_txn *txn, size_t run)
{
    static const uint8_t state[sizeof(process_record_t) + sizeof(uint64_t)]; /* and its checksum */
    char id[32], incarnation[UTIL_UUID_SIZE];
    id_of(run, id);
    incarnation_of(run, incarnation);
    store_key_t joined = STORE_KEY(NS, id, incarnation, "");
    MDB_val key = {.mv_data = joined.bytes, .mv_size = joined.size};
    MDB_val value = {.mv_data = (void *)(uintptr_t)state, .mv_size = sizeof state};
    must(mdb_put(txn, self->states, &key, &value, 0));
}

/* One event of each of the runs, or before them nothing but their states. */
static void commit_bare(bare_t *self, size_t first, size_t count, bool has_events)
{
    MDB_txn *txn;
    must(mdb_txn_begin(self->env, NULL, 0, &txn));
    for (size_t run = first; run < first + count; run++) {
        MDB_val key = {.mv_data = &self->seq, .mv_size = sizeof self->seq};
        MDB_val value = {.mv_data = self->record.data, .mv_size = self->record.size};
        self->seq += has_events;
        if (has_events)
            must(mdb_put(txn, self->journal, &key, &value, MDB_APPEND));
        if (self->has_states)
            put_state(self, txn, run);
    }
    must(mdb_txn_commit(txn));
}

static void open_bare(bare_t *self, const char *dir)
{
    MDB_txn *txn;
    must(mdb_env_create(&self->env));
    must(mdb_env_set_maxdbs(self->env, 2));
    must(mdb_env_set_mapsize(self->env, STORE_MAP_MAX));
    if (mkdir(dir, 0700))
        must(errno);
    must(mdb_env_open(self->env, dir, MDB_NOTLS | MDB_NORDAHEAD, 0600));
    must(mdb_txn_begin(self->env, NULL, 0, &txn));
    must(mdb_dbi_open(txn, "journal", MDB_CREATE | MDB_INTEGERKEY, &self->journal));
    must(mdb_dbi_open(txn, "states", MDB_CREATE, &self->states));
    must(mdb_txn_commit(txn));
}

static size_t run_lmdb(const char *dir, size_t batch, size_t runs, bool has_states)
{
    msgpack_sbuffer fields;
    bare_t self = {.has_states = has_states};
    journal_event_t event = an_event(&fields);
    msgpack_sbuffer_init(&self.record);
    journal_pack(&self.record, &event, 1000000, 1000000);
    open_bare(&self, dir);
    int64_t spent = 0;
    for (size_t first = 0; first < runs; first += batch) {
        if (has_states)
            commit_bare(&self, first, batch, false);
        int64_t begun = util_monotonic_us();
        for (size_t i = 0; i < ARRAY_SIZE(topics); i++)
            commit_bare(&self, first, batch, true);
        spent += util_monotonic_us() - begun;
    }
    mdb_env_close(self.env);
    msgpack_sbuffer_destroy(&self.record);
    msgpack_sbuffer_destroy(&fields);
    return self.seq * 1000000 / (size_t)spent;
}

/* Trimming --------------------------------------------------------------------------------------
 */

typedef struct trimming {
    const journal_event_t *event;
    size_t count;
    retention_t retention;
    bool has_more;
} trimming_t;

static void append_events(void *arg, txn_t *txn)
{
    const trimming_t *self = arg;
    for (size_t i = 0; i < self->count; i++)
        journal_append(txn, self->event);
}

static void trim_events(void *arg, txn_t *txn)
{
    trimming_t *self = arg;
    self->has_more =
        retention_trim(txn, &self->retention, util_now_ns(), RETENTION_PIECE_MIN + 2 * self->count);
}

static int compare(const void *a, const void *b)
{
    int64_t one = *(const int64_t *)a, other = *(const int64_t *)b;
    return (one > other) - (one < other);
}

static void print_times(int64_t *times, size_t count)
{
    qsort(times, count, sizeof *times, compare);
    printf("%" PRId64 " %" PRId64 " ", times[count / 2], times[count * 99 / 100]);
}

static int64_t timed_commit(batch_t *batch, trimming_t *self, bool trims)
{
    int64_t begun = util_monotonic_us();
    batch_add(batch, append_events, check, self);
    if (trims)
        batch_add(batch, trim_events, check, self);
    batch_commit(batch);
    return util_monotonic_us() - begun;
}

static void run_trim(batch_t *batch, size_t size, size_t events)
{
    msgpack_sbuffer fields;
    journal_event_t event = an_event(&fields);
    trimming_t self = {.event = &event, .count = size};
    size_t count = events / size, trimmed = 0;
    int64_t *times = zmalloc(count * sizeof *times);
    for (size_t i = 0; i < count; i++)
        times[i] = timed_commit(batch, &self, false);
    print_times(times, count);
    self.retention.rest = (retention_limits_t){.max_age = 1000000, .max_events = 1};
    self.retention.max_size = STORE_MAP_MAX >> 20;
    for (self.has_more = true; self.has_more && trimmed < count;)
        times[trimmed++] = timed_commit(batch, &self, true);
    print_times(times, trimmed);
    printf("%zu\n", trimmed);
    free(times);
    msgpack_sbuffer_destroy(&fields);
}

int main(int argc, char **argv)
{
    status_t st;
    if (argc != 5) {
        fprintf(stderr,
                "usage: journal_bench journal|requests|lmdb|lmdb-states|trim DIR BATCH COUNT\n");
        return EXIT_FAILURE;
    }
    log_open("bench", LOG_LEVEL_WARN);
    zsys_handler_set(NULL);
    size_t batch = strtoul(argv[3], NULL, 10), count = strtoul(argv[4], NULL, 10);
    if (!strncmp(argv[1], "lmdb", 4)) {
        printf("%zu\n", run_lmdb(argv[2], batch, count, !strcmp(argv[1], "lmdb-states")));
        return EXIT_SUCCESS;
    }
    io_set_t *io = io_set_new(NULL);
    bench_t self = {.store = store_open(argv[2], STORE_MAP_INITIAL, STORE_MAP_MAX, &st),
                    .has_requests = !strcmp(argv[1], "requests")};
    if (!self.store)
        check(NULL, &st);
    self.batch = batch_new(self.store, NULL, NULL, NULL);
    self.intake = intake_new(io, self.batch, on_told, NULL);
    if (!strcmp(argv[1], "trim"))
        run_trim(self.batch, batch, count);
    else
        printf("%zu\n", run_journal(&self, batch, count));
    intake_destroy(&self.intake);
    batch_destroy(&self.batch);
    store_destroy(&self.store);
    io_set_destroy(&io);
    return EXIT_SUCCESS;
}
