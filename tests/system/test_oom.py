"""A container whose memory is used up: the oom is in the journal before the exit, once, whatever the shim does."""

import os
import pathlib
import shutil
import socket

import pytest
from cluster import detached, until
from raw_ttrpc import RESPONSE, Events, frame, receive_frame

REAL_SHIM = shutil.which("containerd-shim-runc-v2")
MEMORY = pathlib.Path("/sys/fs/cgroup/memory")
GREEDY = "x=0123456789abcdef; while true; do x=$x$x; done"
LIMIT = 8 << 20


def counts_kills():
    old, new = MEMORY / "memory.oom_control", pathlib.Path("/sys/fs/cgroup/cgroup.controllers")
    return (old.exists() and "oom_kill " in old.read_text()) or (new.exists() and "memory" in new.read_text())


pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not REAL_SHIM or not counts_kills(), reason="no runc shim, or no memory cgroup that counts kills")


class Proxy(Events):
    """Between a shim and the cluster: `fate` of a Forward call with an oom is drop, behind (the exit) or pass."""

    def __init__(self, path, target, fate):
        self.target, self.fate, self.kept, self.exited = target, fate, [], False
        super().__init__(path)

    def pass_kept(self):
        """Over a connection of its own: a stream's number cannot be used again."""
        while self.exited and self.fate == "behind" and self.kept:
            with socket.socket(socket.AF_UNIX) as target:
                target.connect(self.target)
                target.sendall(frame(*self.kept.pop()))
                assert receive_frame(target)[2] == b"", "it is taken"

    def serve(self, sock):
        with sock, socket.socket(socket.AF_UNIX) as target:
            try:
                target.connect(self.target)
                while True:
                    stream, kind, body = call = receive_frame(sock)
                    if b"/tasks/oom" in body and (self.fate == "drop" or self.fate == "behind" and not self.exited):
                        self.kept.append(call)
                        sock.sendall(frame(stream, RESPONSE, b""))
                        continue
                    target.sendall(frame(*call))
                    sock.sendall(frame(*receive_frame(target)))
                    self.exited = self.exited or b"/tasks/exit" in body
                    self.pass_kept()
            except (EOFError, OSError):
                pass


def topics(client, name):
    trail = client.call("event.about", {"id": name}, "default")["events"]
    return [(e["topic"].removeprefix("/tasks/"), e["origin"], e.get("evidence")) for e in reversed(trail)
            if e["topic"].startswith("/tasks/")]


def run_greedy(cluster, *options):
    detached(cluster, "greedy", GREEDY, "--memory-limit", LIMIT, *options)
    assert cluster.client().call("task.wait", {"id": "greedy"}, "default", timeout=30)["exit_status"] == 137


@pytest.mark.parametrize("fate", ["pass", "drop", "behind"])
def test_oom_is_told_before_the_exit(cluster, fate):
    client = cluster.client()
    with Proxy(str(cluster.dir / "proxy.sock"), str(cluster.run / "shim-events.sock"), fate) as proxy:
        runtime = cluster.dir / "containerd-shim-proxied-v2"
        runtime.write_text(f'#!/bin/sh\nTTRPC_ADDRESS={proxy.path} exec {REAL_SHIM} "$@"\n')
        runtime.chmod(0o755)
        run_greedy(cluster, "--runtime", runtime)
        told = until(lambda: (t := topics(client, "greedy"))[-1][0] == "exit" and t, "the exit")
    assert [topic for topic, _, _ in told] == ["create", "start", "oom", "exit"]
    # Where the shim tells it too, who is first depends on when the shim answers that the process has ended.
    ours = ("shimd", "cgroup")
    assert told[2][1:] in ([ours] if fate == "drop" else [ours, ("shim", None)])
    [row] = client.call("exit.list", {"id": "greedy"}, "default")["exits"]
    assert row["exit_status"] == 137 and row["oom_kills"] >= 1
    text = cluster.shimctl("explain", "greedy").stdout
    assert "oom-killed: the kernel killed it because its memory was used up" in text
    assert "oom-killed" in cluster.shimctl("tasks", "exits").stdout


def test_counted_while_no_worker_was_there(cluster):
    """What the cgroup had counted before is in the bundle: a successor tells the kill, and only that."""
    client = cluster.client()
    script = f"trap '' TERM; while [ ! -e /go ]; do sleep 0.02; done; {GREEDY}"
    detached(cluster, "greedy", script, "--memory-limit", LIMIT)
    pid = client.call("task.get", {"id": "greedy"}, "default")["pid"]
    worker = cluster.pid("shim")
    os.kill(worker, 19)
    (cluster.rootfs("greedy") / "go").touch()
    until(lambda: not os.path.exists(f"/proc/{pid}"), "its end")
    os.kill(worker, 9)
    cluster.await_successor("shim", worker)
    assert client.call("task.wait", {"id": "greedy"}, "default", timeout=30)["exit_status"] == 137
    [row] = client.call("exit.list", {"id": "greedy"}, "default")["exits"]
    assert row["oom_kills"] >= 1


def test_a_kill_is_no_oom(cluster):
    client = cluster.client()
    detached(cluster, "calm", "exec sleep 1000", "--memory-limit", LIMIT)
    client.call("task.kill", {"id": "calm", "signal": 9}, "default")
    client.call("task.wait", {"id": "calm"}, "default", timeout=30)
    told = until(lambda: (t := topics(client, "calm"))[-1][0] == "exit" and t, "the exit")
    assert [topic for topic, _, _ in told] == ["create", "start", "exit"]
    [row] = client.call("exit.list", {"id": "calm"}, "default")["exits"]
    assert not row.get("oom_kills")
