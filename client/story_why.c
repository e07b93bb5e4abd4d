/* Why a container is as it is. */
#include "client/story_why.h"

#include "client/arguments.h"
#include "client/output.h"
#include "common/util.h"

#include <signal.h>
#include <uuid/uuid.h>

#define SIGNAL_BASE   128
#define NS_PER_SECOND ((int64_t)1000000000)

/* A signal that was asked for this long after the end that it made: clocks of two processes. */
#define SLACK_NS NS_PER_SECOND

static void say(story_why_t *why, char *sentence)
{
    if (why->count < STORY_WHY_MAX)
        why->because[why->count++] = sentence;
    else
        free(sentence);
}

void story_why_free(story_why_t *self)
{
    free(self->state);
    for (size_t i = 0; i < self->count; i++)
        free(self->because[i]);
}

char *story_peer(const msg_peer_t *peer)
{
    if (!peer || peer->pid <= 0)
        return util_strdup("somebody unknown");
    AUTO_FREE char *comm = peer->comm ? util_format(" (%s)", peer->comm) : util_strdup("");
    return util_format("uid %lld gid %lld pid %lld%s", (long long)peer->uid, (long long)peer->gid,
                       (long long)peer->pid, comm);
}

/* Ends ------------------------------------------------------------------------------------------
 */

static int64_t run_began(const story_t *story, const char *run)
{
    for (size_t i = 0; i < story->event_count; i++)
        if (!strcmp(story->events[i].incarnation, run))
            return story->events[i].time;
    return 0;
}

/* Whether that request, which was done, sent the signal to init. */
static bool sends(const msg_outcome_t *request, uint32_t number)
{
    if (request->status || request->exec_id)
        return false;
    if (!strcmp(request->method, "task.delete"))
        return number == SIGKILL && story_asked(request, "force");
    const char *text = story_asked(request, "signal");
    return !strcmp(request->method, "task.kill") && text && strtoul(text, NULL, 10) == number;
}

/* The last one before the end; NULL when no request is known. A create that was asked for after the
 * run before it has ended may have begun a little before its first event. */
static const msg_outcome_t *find_signal(const story_t *story, const msg_exit_record_t *end,
                                        uint32_t number)
{
    int64_t began = run_began(story, end->incarnation);
    for (size_t i = story->request_count; i-- > 0;) {
        const msg_outcome_t *request = &story->requests[i];
        if (request->asked_at >= began && request->asked_at <= end->exited_at + SLACK_NS &&
            sends(request, number))
            return request;
    }
    return NULL;
}

static char *asked_by(const msg_outcome_t *request)
{
    char id[UUID_STR_LEN];
    uuid_unparse_lower(request->id.bytes, id);
    AUTO_FREE char *peer = story_peer(request->peer);
    return util_format("asked by %s in request %s (%s)", peer, id, request->method);
}

static const story_event_t *find_oom(const story_t *story, const char *run)
{
    for (size_t i = story->event_count; i-- > 0;)
        if (!strcmp(story->events[i].topic, "/tasks/oom") &&
            !strcmp(story->events[i].incarnation, run))
            return &story->events[i];
    return NULL;
}

static void say_signal(const story_t *story, const msg_exit_record_t *end, story_why_t *why)
{
    uint32_t number = end->exit_status - SIGNAL_BASE;
    const char *name = arguments_signal_name(number);
    const msg_outcome_t *request = find_signal(story, end, number);
    bool is_oom = number == SIGKILL && (end->oom_kills || find_oom(story, end->incarnation));
    if (is_oom)
        say(why, util_strdup("oom-killed: the kernel killed it because its memory was used up"));
    if (request) {
        AUTO_FREE char *by = asked_by(request);
        say(why, util_format("killed by SIG%s %s", name, by));
    } else if (!is_oom) {
        say(why, util_format("ended by SIG%s, or with that exit code by itself: no request asked "
                             "for the signal within 24 hours",
                             name));
    }
}

/* It ended by itself; perhaps because it was asked to. */
static void say_code(const story_t *story, const msg_exit_record_t *end, story_why_t *why)
{
    static const uint32_t polite[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP};
    for (size_t i = 0; i < sizeof polite / sizeof polite[0]; i++) {
        const msg_outcome_t *request = find_signal(story, end, polite[i]);
        if (!request)
            continue;
        AUTO_FREE char *by = asked_by(request);
        say(why, util_format("ended after SIG%s %s", arguments_signal_name(polite[i]), by));
        return;
    }
    say(why, util_format("ended by itself with exit code %u", end->exit_status));
}

static void say_end(const story_t *story, const msg_exit_record_t *end, story_why_t *why)
{
    if (end->unknown) {
        why->state = util_strdup("EXITED, exit code unknown");
        say(why, util_format("exit unknown: %s", end->why ? end->why : "nobody saw it"));
        return;
    }
    why->state = util_format("EXITED with %u", end->exit_status);
    if (end->unstarted)
        say(why, util_strdup("it was never started"));
    uint32_t number = end->exit_status - SIGNAL_BASE;
    if (end->exit_status > SIGNAL_BASE && number < NSIG && arguments_signal_name(number))
        say_signal(story, end, why);
    else
        say_code(story, end, why);
    if (end->source && !strcmp(end->source, "waitpid"))
        say(why, util_strdup("orphaned before it ended: its shim was killed; the supervisor saw "
                             "the end"));
}

/* A task that is there ---------------------------------------------------------------------------
 */

static void say_task(const story_t *story, story_why_t *why)
{
    const msg_process_t *task = story->task;
    const msg_exit_record_t *end = story_exit(story, story_run(story), NULL);
    if (!strcmp(task->status, "STOPPED") && end) {
        say_end(story, end, why);
        say(why, util_strdup("its task is there still: delete it, or look at it"));
    } else if (!strcmp(task->status, "STOPPED")) {
        why->state = util_format("STOPPED with %u", task->exit_status);
    } else {
        why->state = util_format("%s, pid %u", task->status, task->pid);
    }
    if (task->orphaned)
        say(why, util_strdup("orphaned: its shim was killed; it lives on, and can be signalled, "
                             "waited for and deleted"));
    if (task->unresponsive)
        say(why, util_format("its shim does not answer: this is how it was %lld s ago",
                             (long long)(task->stale_ms / 1000)));
    if (task->phase)
        say(why, util_format("under way: %s, for %lld s%s%s", task->phase,
                             (long long)task->phase_ms / 1000, task->held ? "; " : "",
                             task->held ? task->held : ""));
}

/* Restarts ---------------------------------------------------------------------------------------
 */

static void say_restart(const story_t *story, int64_t now, story_why_t *why)
{
    const msg_restart_t *restart = story->container ? story->container->restart : NULL;
    if (!restart || !restart->policy || !strcmp(restart->policy, "no"))
        return;
    if (restart->pending) {
        int64_t left = restart->due_at > now ? (restart->due_at - now) / NS_PER_SECOND : 0;
        say(why, util_format("restart due in %lld s by policy %s (%u so far)", (long long)left,
                             restart->policy, restart->count));
    } else if (restart->stopped && restart->stopped[0]) {
        say(why, util_format("stopped by a client: %s holds it until it is started again%s",
                             restart->policy,
                             strcmp(restart->policy, "always") ? "" : ", or the cluster is"));
    } else {
        say(why,
            util_format("restart policy %s, %u restarts so far", restart->policy, restart->count));
    }
    if (restart->why)
        say(why, util_format("its last restart failed: %s", restart->why));
}

/* ------------------------------------------------------------------------------------------------
 */

static const msg_outcome_t *last_done(const story_t *story, const char *method)
{
    for (size_t i = story->request_count; i-- > 0;)
        if (!story->requests[i].status && !story->requests[i].exec_id &&
            !strcmp(story->requests[i].method, method))
            return &story->requests[i];
    return NULL;
}

static void say_gone(const story_t *story, const char *method, const char *what, story_why_t *why)
{
    const msg_outcome_t *request = last_done(story, method);
    AUTO_FREE char *by = request ? asked_by(request) : NULL;
    if (by)
        say(why, util_format("%s was deleted, %s", what, by));
}

void story_why(const story_t *story, int64_t now, story_why_t *ret)
{
    *ret = (story_why_t){.count = 0};
    const msg_exit_record_t *end = story_exit(story, story_run(story), NULL);
    if (story->task)
        say_task(story, ret);
    else if (end)
        say_end(story, end, ret);
    else
        ret->state = util_strdup(story->container ? "has no task" : "is gone");
    if (story->task_unknown)
        say(ret, util_format("whether it has a task now is not known: %s", story->task_unknown));
    else if (!story->task)
        say_gone(story, "task.delete", "its task", ret);
    say_restart(story, now, ret);
    if (!story->container)
        say_gone(story, "container.delete", "its record", ret);
}
