/* shimd-metadata: keeps namespaces, containers, exit records, outcomes of requests and the journal
 * of events in LMDB, and receives the shims' events. Commits block its loop: waiting for the disk
 * is what it is for. */
#include "common/io_timer.h"
#include "common/log.h"
#include "common/process.h"
#include "common/util.h"
#include "common/worker.h"
#include "workers/metadata/intake.h"
#include "workers/metadata/mender.h"
#include "workers/metadata/publisher.h"
#include "workers/metadata/releaser.h"
#include "workers/metadata/service.h"
#include "workers/metadata/shim_events.h"
#include "workers/metadata/trimmer.h"

#include <malloc.h>
#include <signal.h>

#define TRIM_MS 5000 /* how often what others or a burst of requests have left is given back */

typedef struct metadata {
    io_set_t *io;
    store_t *store;
    publisher_t *publisher;
    batch_t *batch;
    mender_t *mender;
    service_t *service;
    intake_t *intake;
    releaser_t *releaser;
    shim_events_t *shim_events;
    retention_t retention;
    usage_t usage;
    settings_t settings;
    trimmer_t *trimmer;
    io_timer_t trim;
    uint64_t trimmed; /* batch_count at the last time memory was given back */
} metadata_t;

static void on_told(void *arg, const char *ns, const char *id)
{
    metadata_t *self = arg;
    service_on_task_event(self->service, ns, id);
}

static void on_released(void *arg)
{
    metadata_t *self = arg;
    service_on_task_event(self->service, NULL, NULL);
}

static void on_trim(void *arg)
{
    metadata_t *self = arg;
    if (batch_count(self->batch) != self->trimmed)
        malloc_trim(0);
    store_drop_readers(self->store);
    self->trimmed = batch_count(self->batch);
    io_timer_in(self->io, &self->trim, TRIM_MS);
}

/* LMDB trusts its file: what it does with a damaged one, or one that was cut off, ends here. */
static struct sigaction actions[NSIG];

static void on_crash(int number)
{
    store_suspect();
    sigaction(number, &actions[number], NULL); /* happens again, to whoever had it before us */
}

static void watch_crashes(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGABRT};
    struct sigaction action = {.sa_handler = on_crash};
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        sigaction(numbers[i], &action, &actions[numbers[i]]);
}

/* What is in the journal goes out to those who listen, and to those who wait for it. */
static void on_events(void *arg, news_t *news)
{
    metadata_t *self = arg;
    publisher_send(self->publisher, news);
    if (self->service)
        service_on_events(self->service);
}

static status_code_t read_settings(void *arg, const char *config, status_t *st)
{
    metadata_t *self = arg;
    return settings_read(&self->settings, config, st)
               ? st->code
               : retention_read(&self->retention, config, st);
}

static status_code_t start(metadata_t *self, worker_t *worker, status_t *st)
{
    const cluster_t *cluster = worker_cluster(worker);
    AUTO_FREE char *path = util_format("%s/metadata", cluster->root_dir);
    AUTO_FREE char *endpoint = cluster_endpoint(cluster, CLUSTER_PUBLISH);
    if (read_settings(self, cluster->config, st))
        return st->code;
    self->store = store_open(path, STORE_MAP_INITIAL, STORE_MAP_MAX, st);
    if (!self->store)
        return st->code;
    self->publisher =
        publisher_new(worker_io(worker), endpoint, store_journal_last(self->store), st);
    if (!self->publisher)
        return st->code;
    self->batch = batch_new(self->store, worker_io(worker), on_events, self);
    self->mender = mender_new(worker_io(worker), self->store, self->batch);
    self->usage =
        (usage_t){.store = self->store, .mender = self->mender, .retention = &self->retention};
    self->service =
        service_new(worker, self->store, self->batch, &self->settings, &self->usage, st);
    if (!self->service)
        return st->code;
    self->intake = intake_new(worker_io(worker), self->batch, on_told, self);
    self->releaser = releaser_new(worker_io(worker), self->store, self->batch, on_released, self);
    self->trimmer = trimmer_new(worker_io(worker), self->store, self->batch, &self->retention);
    self->shim_events = shim_events_new(worker_io(worker), cluster, self->intake, st);
    return self->shim_events ? STATUS_OK : st->code;
}

/* In the opposite order; what was not started is NULL. */
static void stop(metadata_t *self)
{
    if (self->batch)
        batch_commit(self->batch); /* what came after the last answer */
    shim_events_destroy(&self->shim_events);
    trimmer_destroy(&self->trimmer);
    releaser_destroy(&self->releaser);
    intake_destroy(&self->intake);
    service_destroy(&self->service);
    mender_destroy(&self->mender);
    batch_destroy(&self->batch);
    publisher_destroy(&self->publisher);
    store_destroy(&self->store);
}

int main(int argc, char **argv)
{
    metadata_t self = {0};
    status_t st;
    process_check("shimd-metadata", argc, argv, read_settings, &self);
    worker_t *worker = worker_new(SERVICE_METADATA, argc, argv);
    self.io = worker_io(worker);
    watch_crashes();
    if (start(&self, worker, &st)) {
        log_error("start: %s", st.text);
        stop(&self);
        worker_destroy(&worker);
        return EXIT_FAILURE;
    }
    io_timer_init(&self.trim, on_trim, &self);
    io_timer_in(self.io, &self.trim, TRIM_MS);
    worker_ready(worker);
    service_begin(self.service);
    int exit_code = worker_run(worker);
    io_timer_stop(self.io, &self.trim);
    stop(&self);
    worker_destroy(&worker);
    return exit_code;
}
