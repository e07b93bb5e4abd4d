"""Whether a task's history is linearizable: whether its requests can be put into one order, each somewhere between
its being asked and being answered, in which a task of the model gives just these answers."""

from history import NOT_FOUND, OK, UNCERTAIN

ALREADY_EXISTS, FAILED_PRECONDITION = 6, 9
NONE, CREATED, RUNNING, PAUSED, STOPPED = "none", "created", "running", "paused", "stopped"

# What each request does to the state, and what it answers where it does nothing.
SUCCESS = {
    ("create", NONE): CREATED,
    ("start", CREATED): RUNNING,
    ("pause", RUNNING): PAUSED,
    ("resume", PAUSED): RUNNING,
    ("kill", CREATED): CREATED,
    ("kill", RUNNING): RUNNING,
    ("kill", PAUSED): PAUSED,
    ("delete", STOPPED): NONE,
    ("delete-force", CREATED): NONE,
    ("delete-force", RUNNING): NONE,
    ("delete-force", PAUSED): NONE,
    ("delete-force", STOPPED): NONE,
    ("wait", STOPPED): STOPPED,
    ("wait", NONE): NONE,  # the exit record outlives the task, if it ever was
}
REFUSAL = {
    ("create", CREATED): ALREADY_EXISTS,
    ("create", RUNNING): ALREADY_EXISTS,
    ("create", PAUSED): ALREADY_EXISTS,
    ("create", STOPPED): ALREADY_EXISTS,
    ("kill", STOPPED): NOT_FOUND,
}


def refusals(what, state):
    if state == NONE and what != "create":
        return {NOT_FOUND}
    return {REFUSAL.get((what, state), FAILED_PRECONDITION)}


def outcomes(step, state, lost_shim):
    """The states after the request, as far as its answer allows them."""
    what, status = step.what, step.status
    after = SUCCESS.get((what, state))
    result = set()
    # Another request is in the middle of changing it.
    if any(f"being {word}" in step.text for word in ("created", "removed", "started")):
        result.add(state)
    if status == OK and after is not None:
        result.add(after)
        if what == "kill" and state == CREATED:
            result.add(STOPPED)  # what waits to be started dies of it, or not
    if status == OK and what == "delete" and state == CREATED and lost_shim:
        result.add(NONE)  # it waited for what its shim's death does to it
    if status in UNCERTAIN:
        result.add(state)
        if after is not None:
            result.add(after)
        if what == "kill" and state == CREATED:
            result.add(STOPPED)
    elif status != OK and (after is None or what == "wait") and status in refusals(what, state):
        result.add(state)
    # Without its shim a task cannot be paused or made, and one under removal says so.
    elif status in (FAILED_PRECONDITION, NOT_FOUND) and (lost_shim or what == "kill"):
        result.add(state)
    return result


def by_itself(state, lost_shim):
    """What may happen at any time without anybody's asking."""
    moves = set()
    if state in (RUNNING, PAUSED):
        moves.add(STOPPED)
    if lost_shim and state == CREATED:
        moves.add(NONE)
    return moves


def is_linearizable(steps, lost_shim):
    """Depth-first over the sets of steps that have taken effect; a history has a few dozen steps at most."""
    steps = sorted(steps, key=lambda s: s.began)
    seen = set()
    stack = [(0, NONE)]
    while stack:
        done, state = stack.pop()
        if (done, state) in seen:
            continue
        seen.add((done, state))
        open_steps = [i for i in range(len(steps)) if not done >> i & 1]
        if all(steps[i].status in UNCERTAIN for i in open_steps):
            return True
        stack += [(done, moved) for moved in by_itself(state, lost_shim)]
        soonest_end = min(steps[i].ended for i in open_steps)
        for i in open_steps:
            if steps[i].began <= soonest_end:
                for after in outcomes(steps[i], state, lost_shim):
                    stack.append((done | 1 << i, after))
    return False


def shortest(steps, lost_shim):
    """A history that is as wrong and has no refusal and no wait too many: what changed the task stays."""
    steps = list(steps)
    changed = True
    while changed:
        changed = False
        for i in range(len(steps)):
            fewer = steps[:i] + steps[i + 1 :]
            if steps[i].status == OK and steps[i].what != "wait":
                continue
            if not is_linearizable(fewer, lost_shim):
                steps, changed = fewer, True
                break
    return steps
