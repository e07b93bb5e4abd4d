/* The table of a supervised process: states downwards, events across. Readiness, not spawning, is
 * what counts as a success, as in s6: the delay before the next attempt grows only when death came
 * before it. Unlike OTP's supervisor this one never gives up: FAILED only tells those who wait, and
 * goes on trying slowly. */
#include "broker/supervisor/child.h"

#include <assert.h>
#include <signal.h>
#include <string.h>

const child_policy_t child_policy_default = {
    .intensity = 10,
    .period = 5000,
    .thrash_delay = 500,
    .first_delay = 50,
    .last_delay = 5000,
    .attempts = 10,
    .failed_delay = 30000,
    .settled_after = 5000,
    .start_timeout = 30000,
    .stop_timeout = 10000,
};

typedef child_state_t cell_t(child_t *self);

static void arm(child_t *self, int ms)
{
    self->host->arm(self->arg, ms);
}

static child_state_t stay(child_t *self)
{
    return self->state;
}

/* 50, 100, 200, ... ms for the first, second, third early death. */
static int early_delay(const child_t *self)
{
    int delay = self->policy->first_delay;
    for (unsigned i = 1; i < self->early && delay < self->policy->last_delay; i++)
        delay *= 2;
    return delay < self->policy->last_delay ? delay : self->policy->last_delay;
}

static child_state_t died_early(child_t *self)
{
    if (self->early < self->policy->attempts)
        self->early++;
    bool failed = self->early >= self->policy->attempts;
    arm(self, failed ? self->policy->failed_delay : early_delay(self));
    return failed ? CHILD_FAILED : CHILD_BACKOFF;
}

static child_state_t launch(child_t *self)
{
    self->again = false;
    if (!self->host->spawn(self->arg))
        return died_early(self);
    arm(self, self->policy->start_timeout);
    return CHILD_STARTING;
}

static child_state_t become_ready(child_t *self)
{
    arm(self, self->policy->settled_after);
    return CHILD_READY;
}

static child_state_t settle(child_t *self)
{
    self->early = 0;
    return CHILD_READY;
}

/* A worker that is killed now and then is followed at once, for requests wait for it. One that dies
 * of what it is given again and again must not keep the machine busy with starting it. */
static child_state_t died_late(child_t *self)
{
    int64_t now = self->host->now(self->arg);
    if (self->late == 0 || now - self->period_began > self->policy->period) {
        self->period_began = now;
        self->late = 0;
    }
    if (++self->late <= self->policy->intensity)
        return launch(self);
    arm(self, self->policy->thrash_delay);
    return CHILD_BACKOFF;
}

/* It has had its time. EXITED follows, now or when the kernel lets go of it. */
static child_state_t kill_it(child_t *self)
{
    self->host->signal(self->arg, SIGKILL);
    return self->state;
}

static child_state_t end_it(child_t *self, bool again)
{
    self->again = again;
    self->host->signal(self->arg, again ? SIGTERM : SIGINT);
    arm(self, self->policy->stop_timeout);
    return CHILD_STOPPING;
}

static child_state_t stop(child_t *self)
{
    return end_it(self, false);
}

static child_state_t restart(child_t *self)
{
    return end_it(self, true);
}

/* One that hangs says nothing, and has no more than its time. */
static child_state_t wait_on(child_t *self)
{
    if (self->again)
        arm(self, self->policy->stop_timeout);
    return self->state;
}

static child_state_t want_successor(child_t *self)
{
    self->again = true;
    return self->state;
}

static child_state_t want_none(child_t *self)
{
    if (self->again)
        self->host->signal(self->arg, SIGINT);
    self->again = false;
    return self->state;
}

static child_state_t give_up(child_t *self)
{
    arm(self, 0);
    return CHILD_DOWN;
}

/* Its death was asked for, so it counts against nobody. */
static child_state_t stopped(child_t *self)
{
    return self->again ? launch(self) : give_up(self);
}

/* clang-format off */
static cell_t *const table[CHILD_STATES][CHILD_EVENTS] = {
    /*                   START           IS_UP         IS_BUSY  EXITED      TIMER    STOP       RESTART */
    [CHILD_DOWN]     = { launch,         stay,         stay,    stay,       stay,    stay,      launch         },
    [CHILD_STARTING] = { stay,           become_ready, stay,    died_early, kill_it, stop,      restart        },
    [CHILD_READY]    = { stay,           stay,         stay,    died_late,  settle,  stop,      restart        },
    [CHILD_STOPPING] = { want_successor, stay,         wait_on, stopped,    kill_it, want_none, want_successor },
    [CHILD_BACKOFF]  = { launch,         stay,         stay,    stay,       launch,  give_up,   launch         },
    [CHILD_FAILED]   = { launch,         stay,         stay,    stay,       launch,  give_up,   launch         },
};
/* clang-format on */

void child_init(child_t *self, const child_host_t *host, void *arg, const child_policy_t *policy)
{
    *self = (child_t){.host = host, .arg = arg, .policy = policy, .state = CHILD_DOWN};
}

void child_handle(child_t *self, child_event_t event)
{
    assert(event < CHILD_EVENTS);
    child_state_t before = self->state;
    self->state = table[before][event](self);
    if (self->state != before)
        self->host->changed(self->arg, before);
}

const char *child_state_name(child_state_t state)
{
    static const char *const names[CHILD_STATES] = {
        [CHILD_DOWN] = "DOWN",         [CHILD_STARTING] = "STARTING", [CHILD_READY] = "READY",
        [CHILD_STOPPING] = "STOPPING", [CHILD_BACKOFF] = "BACKOFF",   [CHILD_FAILED] = "FAILED",
    };
    return names[state];
}

child_state_t child_state_find(const char *name)
{
    child_state_t state = 0;
    while (state < CHILD_STATES && strcmp(child_state_name(state), name))
        state++;
    return state;
}
