"""Clients that wait (run, wait, events, logs -f) see nothing of the death of any of our processes."""

import json
import os
import shutil
import subprocess

import pytest
from cluster import PROCESSES, Refused, detached, until
from fake_containers import LIFE

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="containers need root"),
    pytest.mark.skipif(not shutil.which("runc"), reason="no runc"),
]

SCRIPT = "i=0; while [ ! -e /go ]; do echo $i; i=$((i+1)); sleep 0.05; done; echo end $i; exit 5"


def kill(cluster, victim):
    if victim != "supervisor":
        cluster.await_successor(victim, cluster.kill(victim))
        return
    cluster.supervisor.kill()
    cluster.supervisor.wait()
    cluster.start()


@pytest.mark.parametrize("victim", [*PROCESSES, "supervisor"])
def test_nobody_notices_the_death_of(cluster, victim):
    def output(name):
        return (cluster.dir / f"{name}.out").read_text()

    def client(name, *words):
        with open(cluster.dir / f"{name}.out", "wb") as both:
            return subprocess.Popen(cluster.command(*words), stdout=both, stderr=both, stdin=subprocess.DEVNULL)

    events = client("events", "events", "--since", "0", "--json")
    run = client("run", "run", "--rootfs", cluster.rootfs("front"), "front", "/bin/sh", "-c", SCRIPT)
    detached(cluster, "back", SCRIPT)
    wait, logs = client("wait", "tasks", "wait", "back"), client("logs", "logs", "-f", "back")
    until(lambda: output("run") and output("logs") and output("events"), "they have begun")
    until(lambda: cluster.status()["shim"].get("in_flight", 0) >= 2, "both wait")
    for _ in range(2):
        kill(cluster, victim)
    for name in ("front", "back"):
        (cluster.rootfs(name) / "go").touch()
    assert (run.wait(30), wait.wait(30), logs.wait(30)) == (5, 0, 0), output("run") + output("wait") + output("logs")
    for name in ("run", "logs"):
        *numbers, end = output(name).splitlines()
        assert numbers == [str(n) for n in range(len(numbers))] and end == f"end {len(numbers)}"
    assert output("wait") == "5\n"
    assert cluster.shimctl("tasks", "delete", "back").returncode == 0
    until(lambda: ended(output("events")), "the follower has all events")
    events.terminate()
    events.wait(30)
    seen = [json.loads(line) for line in output("events").splitlines()]
    assert [e["seq"] for e in seen] == list(range(1, len(seen) + 1))
    for name in ("front", "back"):
        life = [e for e in seen if e["event"].get("container_id") == name and e["topic"] in LIFE]
        assert [e["topic"] for e in life] == LIFE and life[2]["event"]["exit_status"] == 5


def ended(text):
    return text.endswith("\n") and text.count('"/tasks/delete"') == 2


def test_who_gave_up_waiting_is_forgotten(cluster):
    """Also by the worker: a container may run for years, and somebody ask every second whether it has ended."""
    detached(cluster, "c", "exec sleep 1000")

    def in_flight():
        return cluster.status()["shim"].get("in_flight", 0)

    with subprocess.Popen(cluster.command("tasks", "wait", "c"), stdout=subprocess.PIPE, text=True) as patient:
        until(lambda: in_flight() == 1, "it waits")
        client = cluster.client()
        for _ in range(10):
            with pytest.raises(Refused, match="deadline"):
                client.call("task.wait", {"id": "c"}, "default", timeout=0.05)
        until(lambda: in_flight() == 1, "the others do not any more")
        assert cluster.shimctl("tasks", "kill", "-s", "KILL", "c").returncode == 0
        assert patient.communicate(timeout=30)[0] == "137\n"
    assert cluster.shimctl("tasks", "delete", "c").returncode == 0
    cluster.shimctl("containers", "delete", "c")
