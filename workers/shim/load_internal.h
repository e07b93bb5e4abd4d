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

typedef struct load load_t;

/* Goes on with what the journal said of the run; `container` is NULL when it did not tell. */
typedef void load_told_t(load_t *load, const status_t *st, const msg_container_t *container);

struct load {
    loader_t *loader;
    task_t *task;
    endpoint_t endpoint;
    io_timer_t again, slow;
    unsigned execs;      /* whose state was asked and is not known yet */
    load_told_t *told;   /* while the journal is asked */
    complaint_t mending; /* that it could not be, for an intent that is lost */
    bool is_inspected, has_place, is_downgraded;
};

/* load_task.c: looks at the task, which leaves those that wait. */
void load_task(loader_t *loader, task_t *task);

/* load_shim.c: connects to its shim and asks it, until one of the three below is called. */
void load_connect(load_t *load);
void load_again(void *load); /* the handler of `again` */

/* load_task.c: what becomes of it. Each frees the load, now or later. */
void load_adopt(load_t *load);     /* the shim lives, and has the container */
void load_undo(load_t *load);      /* the shim lives, and has it not */
void load_shim_dead(load_t *load); /* nobody answers there, and the process is gone */

/* Its shim is known, whatever it says. */
void load_set_inspected(load_t *load);

/* Nobody else waits for it any more. */
void load_give_place(load_t *load);

/* The shim of one more is known. */
void load_count_inspected(loader_t *loader);

/* Begins what there is room for; when nothing is left to do, frees the loader. */
void load_next(loader_t *loader);

#endif
