"""Judges what happened: from the clients' histories, the journal, and the machine."""

import os

from history import OK
from model import is_linearizable, shortest

RANK = {
    "/tasks/create": 0, "/tasks/start": 1, "/tasks/exec-added": 2, "/tasks/exec-started": 3, "/tasks/exit": 4, "/tasks/delete": 5,
}
TASK_STEPS = {"create", "start", "pause", "resume", "kill", "delete", "delete-force", "wait"}


def read_journal(client):
    since, events = 0, []
    while True:
        page = client.call("event.list", {"since": since, "all": True, "limit": 1000}, timeout=60)
        events += page["events"]
        if page["next"] > page["last"] or not page["events"]:
            return events
        since = page["next"]


def check_sequence(events):
    numbers = [e["seq"] for e in events]
    if numbers and numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        yield "the journal's numbers have gaps or repeats"


def check_run(name, events):
    """Events of one incarnation."""
    seen, rows = set(), []
    for event in events:
        topic, fields = event["topic"], event["event"]
        process = fields.get("exec_id") or (fields.get("id") if topic == "/tasks/exit" else "") or name
        if topic in RANK:
            row = (topic, process)
            if row in seen:
                yield f"{name}: {topic} of {process} twice"
            seen.add(row)
            rows.append(row)
    order = [RANK[topic] for topic, process in rows if process == name]
    if order != sorted(order):
        yield f"{name}: events out of order: {[t for t, p in rows if p == name]}"
    for exec_id in {p for t, p in rows if p != name}:
        order = [RANK[topic] for topic, process in rows if process == exec_id]
        if order != sorted(order):
            yield f"{name}: events of {exec_id} out of order: {order}"
        if ("/tasks/exec-started", exec_id) in seen and ("/tasks/exit", exec_id) not in seen:
            yield f"{name}: exec {exec_id} was started and has no exit"
    if ("/tasks/start", name) in seen and ("/tasks/exit", name) not in seen:
        yield f"{name}: it was started and has no exit"
    if ("/tasks/create", name) in seen and ("/tasks/delete", name) not in seen:
        yield f"{name}: it was made and has no delete"


def check_journal(events, names):
    yield from check_sequence(events)
    runs = {}
    for event in events:
        name = event["event"].get("container_id")
        if name in names:
            runs.setdefault((name, event.get("incarnation")), []).append(event)
    for (name, _), rows in runs.items():
        yield from check_run(name, rows)


def check_story(story, marks, events):
    for _, text in story.notes:
        if text.startswith(("violation", "client failed")):
            yield f"{story.name}: {text}"
    steps = [s for s in story.steps if s.what in TASK_STEPS]
    if not is_linearizable(steps, story.lost_shim):
        few = "\n    ".join(str(s) for s in sorted(shortest(steps, story.lost_shim), key=lambda s: s.began))
        yield f"{story.name}: these answers fit no order:\n    {few}"
    starts = sum(1 for s in steps if s.what == "start" and s.status == OK)
    ran = count_lines(marks / "init")
    if ran > max(1, sum(1 for s in steps if s.what == "create" and s.status == OK)):
        yield f"{story.name}: init ran {ran} times, {starts} starts were answered"
    for exec_id, code in story.execs.items():
        if count_lines(marks / f"exec-{exec_id}") > 1:
            yield f"{story.name}: exec {exec_id} ran {count_lines(marks / f'exec-{exec_id}')} times"
        del code
    if events is None:
        return
    codes = {e["event"]["exit_status"] for e in events
             if e["topic"] == "/tasks/exit" and e["event"].get("id") == story.name and not e["event"].get("unknown")}
    told = {s.answer["exit_status"] for s in steps if s.what == "wait" and s.status == OK and not s.answer.get("unknown")}
    if told - codes:
        yield f"{story.name}: clients were told {sorted(told)}, the journal has {sorted(codes)}"


def count_lines(path):
    try:
        return len(path.read_text().splitlines())
    except FileNotFoundError:
        return 0


def descriptors(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def check_machine(cluster, before):
    """Compared with how it was before the first container."""
    left = cluster.leftovers()
    own = {cluster.supervisor.pid, cluster.keeper(), *(row["pid"] for row in cluster.status().values())}
    processes = {p: c for p, c in left.get("processes", {}).items() if p not in own}
    for pid, command in processes.items():
        yield f"process {pid} is left: {' '.join(command)[:200]}"
    for mount in left.get("mounts", []):
        yield f"mount {mount} is left"
    for path in left.get("sockets", []):
        yield f"socket {path} is left"
    for base in (cluster.run / "task", cluster.root / "task", cluster.run / "runc"):
        for path in base.glob("*/*") if base.exists() else []:
            yield f"{path} is left"
    for cgroup in cluster.cgroups():
        for path in cgroup.glob("default/*"):
            if path.is_dir():
                yield f"cgroup {path} is left"
    count = descriptors(cluster.supervisor.pid)
    if count > before["descriptors"] + 8:
        yield f"the supervisor has {count} descriptors, {before['descriptors']} before"


def ask_doctor(cluster):
    """What the operator's own tool finds wrong when all is over."""
    done = cluster.shimctl("--json", "doctor")
    return [f"doctor: {line}" for line in done.stdout.splitlines()] or ([f"doctor: {done.stderr}"] if done.returncode else [])
