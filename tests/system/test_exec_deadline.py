"""Execs with a deadline are killed and deleted at it, whoever dies before: real shims and runc."""

import json
import os
import shutil
import signal
import time

import pytest
from cluster import Refused, detached, until

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="containers need root"),
    pytest.mark.skipif(not shutil.which("containerd-shim-runc-v2"), reason="no containerd-shim-runc-v2"),
    pytest.mark.skipif(not shutil.which("runc"), reason="no runc"),
]

YEAR_MS = 365 * 24 * 3600 * 1000
SOON = 300
LATER = 4000  # long enough for what the test does before it


@pytest.fixture
def container(cluster):
    yield detached(cluster, "c", "sleep 1000")
    cluster.shimctl("tasks", "delete", "-f", "c")
    cluster.shimctl("containers", "delete", "c")


def add(cluster, deadline_ms, script="sleep 1000"):
    spec = json.dumps({"args": ["/bin/sh", "-c", script], "cwd": "/", "env": ["PATH=/bin"]}).encode()
    ask = {"id": "c", "exec_id": "e", "spec": spec, "deadline_ms": deadline_ms}
    cluster.client().call("task.exec", ask, "default", timeout=20)


def start(cluster, deadline_ms, script="sleep 1000"):
    add(cluster, deadline_ms, script)
    return cluster.client().call("task.start", {"id": "c", "exec_id": "e"}, "default", timeout=20)["pid"]


def record(cluster):
    return cluster.run / "task/default/c/exec-e.json"


def code(cluster):
    """Once it has ended."""
    return cluster.client().call("task.wait", {"id": "c", "exec_id": "e"}, "default", timeout=60)["exit_status"]


def exits(cluster):
    """Exit events of processes of the container, one for each."""
    page = cluster.client().call("event.list", {"all": True})
    return [e["event"]["pid"] for e in page["events"] if e["topic"] == "/tasks/exit" and e["event"]["container_id"] == "c"]


def check_killed_and_deleted(cluster, pid):
    assert code(cluster) == 128 + signal.SIGKILL
    until(lambda: not record(cluster).exists(), "it is deleted")
    for method in ("task.get", "task.delete"):
        with pytest.raises(Refused, match="not found"):
            cluster.client().call(method, {"id": "c", "exec_id": "e"}, "default", timeout=20)
    assert code(cluster) == 128 + signal.SIGKILL, "the exit record outlives it"
    until(lambda: exits(cluster).count(pid) == 1, "its exit is an event, once")


def test_it_is_killed_and_deleted(cluster, container):
    check_killed_and_deleted(cluster, start(cluster, SOON))
    start(cluster, 0, "exit 5")  # the id is free again, in the shim too
    assert code(cluster) == 5


def test_it_is_though_the_worker_dies(cluster, container):
    pid = start(cluster, LATER)
    cluster.await_successor("shim", cluster.kill("shim"))
    check_killed_and_deleted(cluster, pid)


def test_it_is_at_once_when_the_time_is_over_before_a_worker_comes(cluster, container):
    pid = start(cluster, LATER)
    with cluster.worker_away():
        at = json.loads(record(cluster).read_text())["deadline_at"]
        until(lambda: time.monotonic_ns() // 1000 > at, "its deadline is past", 30)
    check_killed_and_deleted(cluster, pid)


def test_one_that_ends_before_is_left_alone(cluster, container):
    start(cluster, LATER, "exit 3")
    assert code(cluster) == 3
    until(lambda: not json.loads(record(cluster).read_text())["deadline_at"], "the deadline is off")
    cluster.await_successor("shim", cluster.kill("shim"))
    assert cluster.client().call("task.get", {"id": "c", "exec_id": "e"}, "default", timeout=20)["status"] == "STOPPED"
    answer = cluster.client().call("task.delete", {"id": "c", "exec_id": "e"}, "default", timeout=20)
    assert answer["exit_status"] == 3


def test_the_time_runs_from_the_start_on(cluster, container):
    add(cluster, SOON)
    assert json.loads(record(cluster).read_text())["deadline_at"] == 0


def test_it_is_though_its_shim_is_lost(cluster, container):
    pid = start(cluster, LATER)
    rows = map(json.loads, cluster.shimctl("--json", "tasks", "list").stdout.splitlines())
    os.kill({row["id"]: row for row in rows}["c"]["shim_pid"], signal.SIGKILL)
    check_killed_and_deleted(cluster, pid)


def test_it_is_once_a_mute_shim_speaks_again(cluster, container):
    pid = start(cluster, LATER)
    rows = map(json.loads, cluster.shimctl("--json", "tasks", "list").stdout.splitlines())
    shim = {row["id"]: row for row in rows}["c"]["shim_pid"]
    os.kill(shim, signal.SIGSTOP)
    try:
        until(lambda: json.loads(record(cluster).read_text())["expired"], "the kill is under way", 30)
    finally:
        os.kill(shim, signal.SIGCONT)
    check_killed_and_deleted(cluster, pid)


def test_the_limit_is_a_year(cluster, container):
    for wrong in (YEAR_MS + 1, 2**63):
        with pytest.raises(Refused, match=rf"deadline_ms is {wrong}, limit {YEAR_MS}"):
            add(cluster, wrong)
    for wrong in (-1, "1s"):
        with pytest.raises(Refused, match="deadline_ms"):
            add(cluster, wrong)
    add(cluster, YEAR_MS)
    assert json.loads(record(cluster).read_text())["deadline_ms"] == YEAR_MS


def test_the_command(cluster, container):
    for words in (("exec",), ("tasks", "exec")):
        done = cluster.shimctl(*words, "--deadline", "300ms", "c", "/bin/sh", "-c", "echo up; exec sleep 1000")
        assert (done.returncode, done.stdout, done.stderr) == (137, "up\n", "")
    for wrong in ("soon", "-1s", "8761h"):
        done = cluster.shimctl("exec", f"--deadline={wrong}", "c", "/bin/true")
        assert done.returncode == 6 and f"--deadline {wrong}: not a time" in done.stderr and "at most a year" in done.stderr


def test_the_command_of_one_that_has_left(cluster, container):
    assert cluster.shimctl("exec", "-d", "--exec-id", "e", "--deadline", "300ms", "c", "/bin/sleep", "1000").returncode == 0
    assert cluster.shimctl("tasks", "wait", "--exec-id", "e", "c").stdout == "137\n"
    until(lambda: not record(cluster).exists(), "it is deleted")
