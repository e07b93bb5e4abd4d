/* When a process of the cluster is started, waited for, stopped and started again: a table of
 * states and events that knows no process, clock or descriptor, only its host's five functions.
 *
 * A process that is to have a successor is told to end with SIGTERM, and may take its time as long
 * as it says that it needs it; one that is to have none with SIGINT, and is given stop_timeout. */
#ifndef SHIMD_CHILD_H
#define SHIMD_CHILD_H

#include <stdbool.h>
#include <stdint.h>

typedef enum child_state {
    CHILD_DOWN,     /* no process, none wanted */
    CHILD_STARTING, /* a process, not ready yet */
    CHILD_READY,    /* a process that takes requests */
    CHILD_STOPPING, /* a process that was told to end */
    CHILD_BACKOFF,  /* no process; the next one comes when the timer says so */
    CHILD_FAILED,   /* likewise after too many early deaths: whoever waits for it is told */
    CHILD_STATES
} child_state_t;

typedef enum child_event {
    CHILD_START,   /* it shall run */
    CHILD_IS_UP,   /* the process has said ready */
    CHILD_IS_BUSY, /* the process has said that it was told to end, and is at it */
    CHILD_EXITED,  /* the process has ended */
    CHILD_TIMER,   /* the time set by `arm` is over */
    CHILD_STOP,    /* it shall not run any more */
    CHILD_RESTART, /* another process shall take its place */
    CHILD_EVENTS
} child_event_t;

/* How patient the table is. All times in milliseconds. */
typedef struct child_policy {
    unsigned intensity; /* so many deaths after ready within `period` */
    int period;         /* are each followed by a start at once */
    int thrash_delay;   /* wait after a death beyond `intensity` */
    int first_delay;    /* wait after the first death before ready; doubles with each further one */
    int last_delay;     /* up to this */
    unsigned attempts;  /* deaths before ready after which it counts as failed */
    int failed_delay;   /* wait between attempts from then on */
    int settled_after;  /* being ready that long makes earlier deaths forgotten */
    int start_timeout;  /* a process that is not ready by then is killed */
    int stop_timeout;   /* from the signal to end, or the last CHILD_IS_BUSY, to SIGKILL */
} child_policy_t;

/* What the table does to the world. None of these may call child_handle for the same child,
 * `changed` for any other may. */
typedef struct child_host {
    bool (*spawn)(void *arg); /* true when there is a process; false counts as an early death */
    void (*signal)(void *arg, int number); /* to the process */
    void (*arm)(void *arg,
                int ms);       /* CHILD_TIMER once, that late and not as set before; 0: never */
    int64_t (*now)(void *arg); /* monotonic milliseconds */
    void (*changed)(void *arg, child_state_t before); /* the state is another one; called last */
} child_host_t;

typedef struct child {
    const child_host_t *host;
    void *arg; /* for the host's functions */
    const child_policy_t *policy;
    child_state_t state;
    bool again;           /* while STOPPING: a successor is wanted */
    unsigned early;       /* deaths before ready since it last was settled */
    unsigned late;        /* deaths after ready in this period */
    int64_t period_began; /* when `late` began to count */
} child_t;

/* The defaults that shimd.conf(5) documents. */
extern const child_policy_t child_policy_default;

/* A child that is DOWN. What it points to must outlive it. */
void child_init(child_t *self, const child_host_t *host, void *arg, const child_policy_t *policy);

/* One cell of the table. Every event is allowed in every state. */
void child_handle(child_t *self, child_event_t event);

/* "READY" and so on, static; and back, CHILD_STATES for what is none. */
const char *child_state_name(child_state_t state);
child_state_t child_state_find(const char *name);

#endif
