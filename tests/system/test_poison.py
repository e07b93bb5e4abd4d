"""A request that kills whoever takes it, and a worker that cannot be started: others are served, and who asked is
told within the time that he had."""

import concurrent.futures
import os
import signal
import time
import uuid

import pytest
from cluster import BIN, PROCESSES, Refused, until
from fake_containers import CONFIG, INTERNAL, OK, UNAVAILABLE, Containers

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="containers need root")

FAILPOINTS = f"failpoints = on\n{CONFIG}"


def arm(cluster, point, terms):
    (cluster.run / "failpoints").mkdir(exist_ok=True)
    (cluster.run / "failpoints" / point).write_text(terms)


def refusal(containers, method, name, ident, **fields):
    with pytest.raises(Refused) as refused:
        containers.call(method, name, id=ident, **fields)
    return refused.value.status, str(refused.value)


@pytest.mark.parametrize("point", ["shim.task.pause-begin", "shim.task.pause-before-record"])
def test_a_request_that_kills_its_worker_is_set_aside(fresh_cluster, point):
    """Before it has done anything, and after it has."""
    containers = Containers(fresh_cluster.start(config=FAILPOINTS))
    containers.run("other")
    containers.run("poison")
    arm(fresh_cluster, point, "panic")
    ident, before = uuid.uuid4().bytes, fresh_cluster.status()["shim"]
    status, sentence = refusal(containers, "task.pause", "poison", ident, first=True)
    assert status == INTERNAL and "task.pause: set aside, 3 workers died with it, the last one: process " in sentence
    assert "killed by SIGKILL" in sentence
    assert fresh_cluster.status()["shim"]["restarts"] == before["restarts"] + 3
    assert "task.pause: set aside, 3 workers died with it" in fresh_cluster.log()
    # That is its outcome: neither asked for again nor looked up does it kill anybody.
    assert refusal(containers, "task.pause", "poison", ident) == (status, sentence)
    known = until(lambda: outcome(containers, ident), "the outcome is recorded")
    assert (known["method"], known["status"]) == ("task.pause", INTERNAL) and known["message"] in sentence
    assert fresh_cluster.status()["shim"]["restarts"] == before["restarts"] + 3
    # Everybody else is served, the same container too.
    containers.finish("other")
    if containers.state("poison") == "PAUSED":
        containers.call("task.resume", "poison")
    containers.finish("poison")


def outcome(containers, ident):
    try:
        return containers.cluster.client().call("request.get", {"id": ident})
    except Refused:
        return None


def test_others_succeed_beside_poison(fresh_cluster):
    containers = Containers(fresh_cluster.start(config=FAILPOINTS))
    containers.run("poison")
    arm(fresh_cluster, "shim.task.pause-begin", "panic")
    asked = [client_ask(fresh_cluster, "task.pause", "poison") for _ in range(2)]
    for number in range(4):
        containers.run(f"c{number}")
        containers.finish(f"c{number}", number)
    assert [answer(future)[0] for future in asked] == [INTERNAL, INTERNAL]
    assert containers.state("poison") == "RUNNING"
    containers.finish("poison")


def test_nobody_waits_for_one_that_is_suspected_and_slow(fresh_cluster):
    """Two workers died with it, which only waits for its shim."""
    containers = Containers(fresh_cluster.start(config=FAILPOINTS))
    containers.run("other")
    containers.create("slow")
    shim = containers.shim_pid("slow")
    os.kill(shim, signal.SIGSTOP)
    try:
        asked = client_ask(fresh_cluster, "task.start", "slow")
        for _ in range(2):
            until(lambda: fresh_cluster.status()["shim"].get("in_flight"), "the worker has it")
            containers.restart_worker()
        until(lambda: fresh_cluster.status()["shim"].get("in_flight"), "the third one has it")
        for _ in range(3):
            containers.call("task.get", "other", timeout=10)
        containers.finish("other")
        assert not asked.done()
    finally:
        os.kill(shim, signal.SIGCONT)
    assert answer(asked)[0] == OK
    containers.finish("slow")


def client_ask(cluster, method, name):
    """A request under way; answer() waits for it."""
    pool = concurrent.futures.ThreadPoolExecutor(1)
    future = pool.submit(cluster.client().call, method, {"id": name}, "default", timeout=30)
    pool.shutdown(wait=False)
    return future


def answer(future):
    try:
        return 0, future.result(40)
    except Refused as refused:
        return refused.status, str(refused)


def test_a_worker_that_cannot_be_started(fresh_cluster):
    """It is shown as failed, tried again slowly, and its requests are refused in time while others are served."""
    cluster = fresh_cluster
    cluster.bin = cluster.dir / "bin"
    cluster.bin.mkdir()
    for name in ["shimd", *(f"shimd-{name}" for name in PROCESSES), "shimd-log"]:
        (cluster.bin / name).symlink_to(BIN / name)
    settings = "restart\n    first-delay = 20\n    last-delay = 100\n    attempts = 5\n    failed-delay = 3\n"
    containers = Containers(cluster.start("--libexec-dir", str(cluster.bin), config=f"{settings}{CONFIG}"))
    containers.run("c")
    bad = cluster.bin / "shimd-shim"
    bad.unlink()
    bad.write_text("#!/bin/sh\nexit 9\n")
    bad.chmod(0o755)
    cluster.kill("shim")
    early = client_ask(cluster, "task.pids", "c")  # comes while attempts are still made
    row = until(lambda: (row := cluster.status()["shim"])["state"] == "FAILED" and row, "it counts as failed")
    assert "exited with 9" in row["obituary"]
    # For a moment of every attempt it is STARTING.
    shown = until(lambda: "FAILED" in (out := cluster.shimctl("cluster", "status").stdout) and out, "it is shown as failed")
    assert "exited with 9" in shown
    assert answer(early)[0] == UNAVAILABLE
    begun = time.monotonic()
    status, sentence = containers.refusal("task.list", None)
    assert status == UNAVAILABLE and "cannot be started" in sentence and time.monotonic() - begun < 10
    assert containers.call("container.get", "c")["id"] == "c", "others are served"
    restarts, begun = cluster.status()["shim"]["restarts"], time.monotonic()
    time.sleep(1.5)
    attempts = cluster.status()["shim"]["restarts"] - restarts
    assert attempts <= 1 + (time.monotonic() - begun) / 3, "it is tried again slowly"
    bad.unlink()
    bad.symlink_to(BIN / "shimd-shim")
    until(lambda: cluster.status()["shim"]["state"] == "READY", "it is well again")
    until(lambda: containers.outcome("task.list", None)[0] == OK, "the broker has heard of it")
    containers.finish("c")
