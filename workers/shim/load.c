/* What the worker finds when it starts: bundles of its predecessor, and runs of containers in the
 * journal; a run without a bundle is ended. Bundles are looked at side by side, and one that is
 * damaged or mute keeps nobody else waiting. Requests come from the beginning on: what one is about
 * is looked at first, however many others there are, and only what needs the whole table waits for
 * it. Who asks for all tasks waits for the bundles alone: a run without one has ended, and the
 * journal, which knows of it, may be slow. */
#include "common/log.h"
#include "workers/shim/keeping.h"
#include "workers/shim/load_internal.h"

#define LOADS_AT_ONCE 8  /* more would only compete for the processor with what is asked for */
#define PAGE_BUNDLES  64 /* so that one that is asked for by name waits for no more than these */
#define LIST_AGAIN_MS 500

typedef struct early {
    request_t *request;
    load_go_t *go;
} early_t;

void load_count_inspected(loader_t *loader)
{
    loader->manager->is_loading = --loader->uninspected > 0;
}

static void loader_destroy(loader_t *loader)
{
    loader->manager->loader = NULL;
    zlistx_destroy(&loader->waiting);
    zlistx_destroy(&loader->early);
    zhashx_destroy(&loader->sought);
    free(loader->page);
    free(loader);
}

void load_next(loader_t *loader)
{
    loader->left++; /* a load may end while it is begun */
    while (loader->running < LOADS_AT_ONCE && zlistx_size(loader->waiting))
        load_task(loader, zlistx_detach(loader->waiting, NULL));
    if (--loader->left == 0) {
        log_debug("load: done");
        loader_destroy(loader);
    }
}

static void add_task(loader_t *loader, const char *ns, const char *id, const char *incarnation,
                     const char *bundle)
{
    task_t *task = task_table_add(loader->manager->tasks, ns, id, incarnation ? incarnation : "");
    if (!task)
        return;
    task_enter(task, TASK_LOADING);
    task->heard_ms = util_now_ms();
    task->bundle = util_strdup(bundle);
    task->load_place = zlistx_add_end(loader->waiting, task);
    loader->uninspected++;
    loader->left++;
}

static void add_bundle(loader_t *loader, const msg_bundle_t *bundle)
{
    if (!bundle->quarantined && msg_is_identifier(bundle->id, strlen(bundle->id)))
        add_task(loader, bundle->ns, bundle->id, bundle->empty ? NULL : bundle->incarnation,
                 bundle->empty ? NULL : bundle->path);
}

void load_hurry(manager_t *self, task_t *task)
{
    loader_t *loader = self->loader;
    if (loader && task->load_place) {
        zlistx_detach(loader->waiting, task->load_place);
        load_task(loader, task);
    }
}

/* Requests before the list is complete -------------------------------------------------------
 */

static bool is_about(const request_t *request, const char *ns, const char *id)
{
    const char *target = manager_target(request);
    return target && !strcmp(target, id) && request_ns(request) && !strcmp(request_ns(request), ns);
}

/* Lets those go that are about that one; without, those about none, and all once all is listed. */
static void release(loader_t *loader, const char *ns, const char *id)
{
    manager_t *self = loader->manager;
    zlistx_t *early = loader->early;
    loader->early = zlistx_new();
    early_t *item;
    while ((item = zlistx_detach(early, NULL))) {
        bool is_meant = id ? is_about(item->request, ns, id)
                           : loader->is_listed || !manager_target(item->request);
        if (is_meant)
            item->go(self, item->request);
        else
            zlistx_add_end(loader->early, item);
        if (is_meant)
            free(item);
    }
    zlistx_destroy(&early);
}

static void on_sought(void *arg, const status_t *st, const void *answer)
{
    loader_t *loader = arg;
    const msg_bundle_t *bundle = answer;
    if (!st->code) {
        add_bundle(loader, bundle);
        release(loader, bundle->ns, bundle->id);
    } /* whether it is there at all tells the list */
    loader->left--;
    load_next(loader);
}

static void seek(loader_t *loader, const char *ns, const char *id)
{
    AUTO_FREE char *key = util_format("%s/%s", ns, id);
    const msg_bundle_get_t ask = {.id = id};
    if (zhashx_insert(loader->sought, key, loader))
        return;
    loader->left++;
    link_ask(loader->manager->link, MSG_bundle_get, &ask, ns, 0, NULL, on_sought, loader);
}

static bool is_known(const loader_t *loader, const char *ns, const char *id)
{
    return id ? ns && task_table_find(loader->manager->tasks, ns, id) : loader->has_bundles;
}

bool load_defer(manager_t *self, request_t *request, load_go_t *go)
{
    loader_t *loader = self->loader;
    const char *ns = request_ns(request);
    const char *id = manager_target(request);
    if (!loader || loader->is_listed || is_known(loader, ns, id))
        return false;
    early_t *early = zmalloc(sizeof *early);
    *early = (early_t){.request = request, .go = go};
    zlistx_add_end(loader->early, early);
    if (ns && id)
        seek(loader, ns, id);
    return true;
}

/* The list -----------------------------------------------------------------------------------
 */

static void ask_page(void *arg);
static void ask_incarnations(void *arg);

static void ask_later(loader_t *loader, io_timer_handler_t *ask, const char *what,
                      const status_t *st)
{
    log_line(complaint_level(&loader->listless, st->code, LOG_LEVEL_ERROR),
             "load: list the %s: %s; trying again", what, st->text);
    io_timer_init(&loader->again, ask, loader);
    io_timer_in(loader->manager->io, &loader->again, LIST_AGAIN_MS);
}

static void complete(loader_t *loader)
{
    loader->is_listed = true;
    loader->done(loader->manager);
    release(loader, NULL, NULL);
    loader->left--;
    load_next(loader);
}

/* A machine that was restarted has lost its bundles; a worker that died early had made none. */
static void on_incarnations(void *arg, const status_t *st, const void *answer)
{
    loader_t *loader = arg;
    const msg_incarnations_t *list = answer;
    if (st->code) {
        ask_later(loader, ask_incarnations, "runs", st);
        return;
    }
    for (size_t i = 0; i < list->incarnations.count; i++) {
        const msg_incarnation_t *run = &list->incarnations.items[i];
        add_task(loader, run->ns, run->id, run->incarnation, NULL);
    }
    complete(loader);
}

static void ask_incarnations(void *arg)
{
    loader_t *loader = arg;
    link_ask(loader->manager->link, MSG_incarnation_list, &(msg_incarnation_list_t){0}, NULL, 0,
             NULL, on_incarnations, loader);
}

static void complete_bundles(loader_t *loader)
{
    loader->has_bundles = true;
    release(loader, NULL, NULL);
    load_count_inspected(loader);
    ask_incarnations(loader);
}

static void on_page(void *arg, const status_t *st, const void *answer)
{
    loader_t *loader = arg;
    const msg_bundles_t *list = answer;
    if (st->code) {
        ask_later(loader, ask_page, "bundles", st);
        return;
    }
    for (size_t i = 0; i < list->bundles.count; i++)
        add_bundle(loader, &list->bundles.items[i]);
    free(loader->page);
    loader->page = util_strdup(list->next);
    if (loader->page)
        ask_page(loader);
    else
        complete_bundles(loader);
    load_next(loader);
}

static void ask_page(void *arg)
{
    loader_t *loader = arg;
    const msg_bundle_list_t ask = {.after = loader->page, .limit = PAGE_BUNDLES};
    link_ask(loader->manager->link, MSG_bundle_list, &ask, NULL, 0, NULL, on_page, loader);
}

void load_begin(manager_t *self, void (*done)(manager_t *self))
{
    loader_t *loader = zmalloc(sizeof *loader);
    *loader = (loader_t){.manager = self,
                         .done = done,
                         .early = zlistx_new(),
                         .sought = zhashx_new(),
                         .waiting = zlistx_new(),
                         .uninspected = 1,
                         .left = 1};
    self->loader = loader;
    self->is_loading = true;
    ask_page(loader);
}

/* Waits died with the connection. */
void load_back(void *arg, shim_t *shim)
{
    manager_t *self = arg;
    keeping_new(self, shim);
    for (task_t *task = task_table_first(self->tasks); task; task = task_table_next(self->tasks))
        if (task->shim == shim && task->phase != TASK_LOADING)
            exits_wait_again(task);
}
