"""shimctl doctor: no false alarm on a cluster at work; seeded damage of many kinds is found, named and mended."""

import ctypes
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import uuid

import pytest
from cluster import SHIM_SOCKETS, Cluster, Refused, is_alive, process_ids, command_of, until

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="containers need root"),
    pytest.mark.skipif(not shutil.which("containerd-shim-runc-v2"), reason="no containerd-shim-runc-v2"),
    pytest.mark.skipif(not shutil.which("runc"), reason="no runc"),
]

UNHEALTHY = 14
SHIM = "containerd-shim-runc-v2"
RUNC = "io.containerd.runc.v2"
LIBC = ctypes.CDLL(None, use_errno=True)


# Helpers


def doctor(cluster, *options, run_options=()):
    """Exit status and findings."""
    done = cluster.shimctl("--json", *run_options, "doctor", *options)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def healthy(cluster):
    code, found, stderr = doctor(cluster)
    assert (code, found) == (0, []), (code, found, stderr)


def run(cluster, name, *options, command=("/bin/sleep", "1000")):
    done = cluster.shimctl("run", "-d", "--null-io", *options, "--rootfs", cluster.rootfs(), name, *command)
    assert done.returncode == 0, done.stderr


def tasks(cluster):
    rows = cluster.client().call("task.list", {"all": True}, timeout=20)["tasks"]
    return {row["id"]: row for row in rows}


def bundle(cluster, name):
    return cluster.run / "task/default" / name


def work(cluster, name):
    return cluster.root / "task/default" / name


def mount(path):
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", path], check=True)


def cgroup_base(cluster):
    return "shimd-" + hashlib.sha1(str(cluster.run).encode()).hexdigest()[:12]


def hierarchies():
    with open("/proc/self/mounts", encoding="utf-8") as table:
        return [line.split()[1] for line in table if line.split()[2] in ("cgroup", "cgroup2")]


def make_cgroup(cluster, name):
    """The directory in each hierarchy."""
    made = [f"{top}/{cgroup_base(cluster)}/default/{name}" for top in hierarchies()]
    for path in made:
        os.makedirs(path)
    return made


def socket_path(cluster, name, ns="default"):
    text = f"{cluster.run}/client.sock/{ns}/{name}"
    return SHIM_SOCKETS / hashlib.sha256(text.encode()).hexdigest()


def dead_socket(path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    listener.close()


def lose_bundle(cluster, name):
    """Its task as it was, and a cluster that knows nothing of what is left of it: bundle and journal are as after
    somebody has removed the bundle while all was down."""
    row = tasks(cluster)[name]
    cluster.stop()
    shutil.rmtree(bundle(cluster, name))
    cluster.start()
    until(lambda: name not in tasks(cluster), "its run has ended")
    return row


def kinds(found):
    return sorted({row["kind"] for row in found})


def events_of(cluster, name):
    page = cluster.client().call("event.list", {"all": True, "limit": 10000})
    return [e["topic"] for e in page["events"] if name in (e["event"].get("container_id"), e["event"].get("id"))]


@pytest.fixture
def witness(cluster):
    """Tasks that no repair may touch, and a cluster beside with one more."""
    other = Cluster()
    other.start()
    for where in (cluster, other):
        run(where, "witness")
    before = (tasks(cluster)["witness"], tasks(other)["witness"])
    try:
        yield other
        after = (tasks(cluster)["witness"], tasks(other)["witness"])
        assert [(row["pid"], row["shim_pid"], row["status"]) for row in after] == [
            (row["pid"], row["shim_pid"], row["status"]) for row in before
        ]
        healthy(other)
    finally:
        other.destroy()


# No false alarms


class Clients:
    """Threads that make, run and delete containers until they are told to stop."""

    def __init__(self, cluster, count):
        self.cluster, self.failures, self.lives, self.stopping = cluster, [], 0, False
        self.threads = [threading.Thread(target=self.work, args=(i,), daemon=True) for i in range(count)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        until(lambda: self.lives >= len(self.threads), "each has made one", 60)
        return self

    def __exit__(self, *_):
        self.stopping = True
        for thread in self.threads:
            thread.join(90)
            assert not thread.is_alive()
        assert not self.failures, self.failures[:3]

    def work(self, number):
        turn = 0
        while not self.stopping:
            turn += 1
            ways = [("-d", "--null-io"), ("-d",), ("--rm",)]
            name, way = f"busy{number}-{turn % 2}", ways[turn % len(ways)]
            command = ("/bin/true",) if way == ("--rm",) else ("/bin/sleep", "1000")
            steps = [("run", *way, "--rootfs", self.cluster.rootfs(), name, *command)]
            if way != ("--rm",):
                steps += [("tasks", "delete", "-f", name), ("containers", "delete", name)]
            for words in steps:
                done = self.cluster.shimctl(*words)
                if done.returncode:
                    self.failures.append((words, done.stderr))
                    return
            self.lives += 1


def test_a_healthy_cluster_has_no_findings(cluster):
    """Detached and attached tasks, a group, orphans, execs, one that is stopped and one never started."""
    healthy(cluster)
    for name in ("a", "b"):
        run(cluster, name)
    for name in ("first", "second"):
        run(cluster, name, "--annotation", "io.containerd.runc.v2.group=pod")
    assert tasks(cluster)["first"]["shim_pid"] == tasks(cluster)["second"]["shim_pid"]
    done = cluster.shimctl("run", "-d", "--rootfs", cluster.rootfs(), "fifos", "/bin/sleep", "1000")
    assert done.returncode == 0, done.stderr
    attached = subprocess.Popen(
        cluster.command("run", "--rootfs", cluster.rootfs(), "attached", "/bin/sleep", "1000"), stdin=subprocess.PIPE
    )
    run(cluster, "orphan")
    run(cluster, "ended", command=("/bin/true",))
    run(cluster, "execs")
    assert cluster.shimctl("tasks", "exec", "-d", "--exec-id", "e1", "execs", "/bin/sleep", "1000").returncode == 0
    assert cluster.shimctl("tasks", "exec", "-d", "--exec-id", "e2", "execs", "/bin/true").returncode == 0
    spec = cluster.client().call("container.get", {"id": "a"}, "default")["spec"]
    spec = spec.replace(b"/default/a", b"/default/elsewhere-created")  # its cgroup is not called after it
    cluster.client().call("container.create", {"id": "created", "runtime": RUNC, "spec": spec}, "default")
    cluster.client().call("task.create", {"id": "created"}, "default", timeout=30)
    os.kill(tasks(cluster)["orphan"]["shim_pid"], signal.SIGKILL)
    until(lambda: tasks(cluster)["orphan"].get("orphaned"), "the orphan")
    until(lambda: tasks(cluster)["ended"]["status"] == "STOPPED", "one has ended")
    until(lambda: "attached" in tasks(cluster), "the attached one")
    assert len(tasks(cluster)) == 10
    healthy(cluster)
    with Clients(cluster, 4) as clients:
        for _ in range(4):
            healthy(cluster)
            lives = clients.lives
            until(lambda: clients.lives > lives or clients.failures, "they go on", 60)
    healthy(cluster)
    text = cluster.shimctl("doctor")
    assert (text.returncode, text.stdout, text.stderr) == (0, "", "")
    attached.terminate()
    attached.wait(20)
