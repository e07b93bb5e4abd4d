/* What the parts of loading share. */
#ifndef SHIMD_SHIM_LOAD_INTERNAL_H
#define SHIMD_SHIM_LOAD_INTERNAL_H

#include "workers/shim/manager.h"

typedef struct loader {
    manager_t *manager;
    void (*done)(manager_t *self); /* the table is complete */
    bool has_bundles;              /* it has all of those */
    bool is_listed;                /* it is complete */
    char *page;                    /* where the next page of bundles begins; owned */
    io_timer_t again;              /* asks again for a list that could not be had */
    complaint_t listless;          /* that it could not */
    zlistx_t *early;               /* early_t: wait for what is not listed yet; owns them */
    zhashx_t *sought;              /* NS/ID that were asked for by name */
    zlistx_t *waiting;             /* task_t, whose load_place is the handle; not owned */
    unsigned running;              /* loads that hold a place */
    unsigned uninspected;          /* tasks whose shim is not known yet, and the list of bundles */
    unsigned left; /* what there is still to do: tasks that are neither adopted nor gone, the
                      list, bundles that were asked for by name */
} loader_t;

/* load_task.c: looks at the task, which leaves those that wait. */
void load_task(loader_t *loader, task_t *task);

/* The shim of one more is known. */
void load_count_inspected(loader_t *loader);

/* Begins what there is room for; when nothing is left to do, frees the loader. */
void load_next(loader_t *loader);

#endif
