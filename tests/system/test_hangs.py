"""Processes of the cluster that hang, which a stopped one does: they are replaced, their requests are answered by
their successors, and what happens to containers meanwhile is not missed."""

import concurrent.futures
import fcntl
import os
import re
import shutil
import signal
import subprocess
import time
import uuid

import pytest
from cluster import PROCESSES, Refused, until
from fake_containers import CONFIG, Containers

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="containers need root"),
    pytest.mark.skipif(not shutil.which("containerd-shim-runc-v2"), reason="no containerd-shim-runc-v2"),
    pytest.mark.skipif(not shutil.which("runc"), reason="no runc"),
]

WORKERS = ["bundle", "shim", "metadata"]
HANG_SECONDS = 10  # ROUTER_HANG_MS
PATIENCE = 45  # for a request that meets a process that hangs
ALREADY_EXISTS = 6


@pytest.fixture(name="ask")
def fixture_ask(cluster):
    """Asks in a thread, each with a connection of its own: a future."""
    with concurrent.futures.ThreadPoolExecutor(16) as pool:

        def ask(method, body=None, ns="default", **more):
            return pool.submit(cluster.client().call, method, body or {}, ns, timeout=PATIENCE, **more)

        yield ask


def gated(cluster, name):
    """A container that ends, with exit code 5, when it is let go."""
    script = f"while [ ! -e /go-{name} ]; do sleep 0.05; done; exit 5"
    done = cluster.shimctl("run", "-d", "--rootfs", cluster.rootfs(), name, "/bin/sh", "-c", script)
    assert done.returncode == 0, done.stderr


def let_go(cluster, name):
    (cluster.rootfs() / f"go-{name}").touch()
    until(lambda: not [c for c in cluster.processes().values() if any(f"/go-{name} " in a for a in c)], f"{name} has ended")


def exits(cluster, name):
    page = cluster.client().call("event.list", {"all": True})
    return [e["event"]["exit_status"] for e in page["events"]
            if e["topic"] == "/tasks/exit" and e["event"]["container_id"] == name]


def record(name):
    return {"id": name, "runtime": "io.containerd.runc.v2", "spec": b"{}"}


def test_hung_workers_are_replaced(cluster, ask):
    """All of them at once, with requests in their hands, and a container that ends meanwhile."""
    gated(cluster, "c")
    gated(cluster, "d")
    before = {name: cluster.pid(name) for name in WORKERS}
    waiter = ask("task.wait", {"id": "c"})
    until(lambda: cluster.status()["shim"].get("in_flight"), "the wait is with the worker")
    for pid in before.values():
        os.kill(pid, signal.SIGSTOP)
    begun = time.monotonic()
    once = uuid.uuid4().bytes
    asked = [ask("bundle.list"), ask("task.list"), ask("container.create", record("new"), id=once),
             ask("task.kill", {"id": "d", "signal": signal.SIGKILL, "all": True})]
    let_go(cluster, "c")
    assert cluster.client().call("broker.ping") is not None, "the rest goes on"
    answers = [future.result() for future in asked]
    assert time.monotonic() - begun > HANG_SECONDS / 2, "nothing hung"
    assert {b["id"] for b in answers[0]["bundles"]} == {"c", "d"}
    assert waiter.result()["exit_status"] == 5
    assert until(lambda: exits(cluster, "c"), "the exit") == [5]
    until(lambda: exits(cluster, "d") == [137], "the kill has had its effect")
    # The same request again has the same answer; another one of that name has not.
    assert cluster.client().call("container.create", record("new"), "default", id=once) == answers[2]
    with pytest.raises(Refused) as refused:
        cluster.client().call("container.create", record("new"), "default")
    assert refused.value.status == ALREADY_EXISTS
    rows = cluster.status()
    for name, pid in before.items():
        assert rows[name]["state"] == "READY" and rows[name]["pid"] != pid and rows[name]["restarts"] == 1
    done = cluster.shimctl("run", "--rm", "--rootfs", cluster.rootfs(), "e", "/bin/sh", "-c", "echo well")
    assert (done.returncode, done.stdout) == (0, "well\n"), done.stderr


def test_an_exit_while_metadata_is_stopped(cluster):
    """For a moment only, so that it is not replaced: the exit waits for it."""
    gated(cluster, "c")
    waiter = subprocess.Popen(cluster.command("tasks", "wait", "c"), stdout=subprocess.PIPE, text=True)
    pid = cluster.kill("metadata", signal.SIGSTOP)
    let_go(cluster, "c")
    time.sleep(1)  # long enough for the shim to have published it
    os.kill(pid, signal.SIGCONT)
    assert waiter.communicate(timeout=20)[0] == "5\n"
    assert until(lambda: exits(cluster, "c"), "the exit") == [5]
    assert cluster.pid("metadata") == pid


@pytest.mark.parametrize("end", [signal.SIGCONT, signal.SIGKILL])
def test_a_stopped_broker(cluster, ask, end):
    """Containers do not need it; what was asked meanwhile is answered once, by it or by its successor."""
    gated(cluster, "c")
    waiter = ask("task.wait", {"id": "c"})
    until(lambda: cluster.status()["shim"].get("in_flight"), "the wait is with the worker")
    before = {name: cluster.pid(name) for name in WORKERS}
    broker = cluster.kill("broker", signal.SIGSTOP)
    asked = {f"new{i}": ask("container.create", record(f"new{i}")) for i in range(8)}
    let_go(cluster, "c")
    time.sleep(2)  # each is sent again once at least
    assert not waiter.done() and not any(future.done() for future in asked.values())
    os.kill(broker, end)
    assert waiter.result()["exit_status"] == 5
    for future in asked.values():
        future.result()
    listed = cluster.client().call("container.list", {}, "default")["containers"]
    assert {c["id"] for c in listed} == {"c", *asked}
    assert until(lambda: exits(cluster, "c"), "the exit") == [5]
    assert {name: cluster.pid(name) for name in WORKERS} == before, "nobody else is taken for hanging"
    assert (cluster.pid("broker") == broker) == (end == signal.SIGCONT)


def test_a_log_that_nobody_reads(fresh_cluster):
    """It is a pipe, and full: the cluster goes on. When somebody reads again, everyone says how much is lost."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writer, b"x" * 4095 + b"\n")
    containers = Containers(fresh_cluster.start("--log-level", "debug", config=CONFIG, log=writer))
    os.close(writer)
    containers.run("c")
    for name in PROCESSES:
        fresh_cluster.await_successor(name, fresh_cluster.kill(name))
    containers.finish("c")

    def tellers():
        loss = r"^\S+Z (\S+)\[\d+\] warn: \d+ lines? (?:is|are) lost: nobody read them$"
        return set(re.findall(loss, fresh_cluster.log(), re.M))

    def all_have_something_to_say():
        fresh_cluster.status()
        containers.run("d")
        containers.remove("d")
        return tellers() >= {"shimd", "shimd-bundle", "shimd-shim", "shimd-metadata"}

    with open(fresh_cluster.log_path, "wb") as log, subprocess.Popen(["cat"], stdin=reader, stdout=log):
        os.close(reader)
        try:
            until(all_have_something_to_say, "each process tells what it could not")
            fresh_cluster.kill("shim")  # which the broker tells
            until(lambda: "shimd-broker" in tellers(), "the broker tells what it could not")
        finally:
            fresh_cluster.stop()
