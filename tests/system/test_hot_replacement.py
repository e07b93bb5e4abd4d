"""Processes are restarted, and their executables replaced, under clients that never stop asking: no request
fails, no event is missing, every exit code is true."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest
from cluster import BIN, PROCESSES, detached, fastest, until
from fake_containers import CONFIG, LIFE, OK, UNAVAILABLE, Background, Containers

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="containers need root")

LIVES = 3  # clients that make containers, one after the other
needs_runc = pytest.mark.skipif(not shutil.which("runc"), reason="no runc")


class Load:
    """Clients that go on until they are told to stop. What goes wrong in one is raised at the end."""

    def __init__(self, containers):
        self.containers = containers
        self.stopped = threading.Event()
        self.failures, self.threads = [], []
        self.done = {}  # rounds of each client

    def start(self, name, work):
        def repeat():
            try:
                while not self.stopped.is_set():
                    work(self.done.get(name, 0))
                    self.done[name] = self.done.get(name, 0) + 1
            except BaseException as failure:  # pylint: disable=broad-except
                self.failures.append(f"{name}: {failure!r}")

        self.threads.append(threading.Thread(target=repeat))
        self.threads[-1].start()

    def live(self, who):
        """One life of one container."""

        def work(count):
            name = f"life-{who}-{count}"
            self.containers.run(name)
            self.containers.end(name, count % 200)
            assert self.containers.wait(name) == count % 200
            assert self.containers.remove(name, force=False)["exit_status"] == count % 200

        self.start(f"life {who}", work)

    def read(self):
        def work(_):
            assert "waited" in [task["id"] for task in self.containers.call("task.list")["tasks"]]
            assert self.containers.call("container.get", "waited")["id"] == "waited"
            assert self.containers.call("bundle.list")["bundles"]
            assert self.containers.call("cluster.status")["processes"]

        self.start("reader", work)

    def rounds(self):
        return dict(self.done)

    def await_progress(self):
        """Each of them has done something since."""
        before = self.rounds()
        more = lambda: self.failures or all(self.done.get(n, 0) > before.get(n, 0) + 1 for n in self.names())
        until(more, "every client gets on", 30)
        assert not self.failures, self.failures

    def names(self):
        return ["reader", *(f"life {who}" for who in range(LIVES))]

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join(60)
        assert not self.failures, self.failures
        assert not any(thread.is_alive() for thread in self.threads)


@contextlib.contextmanager
def loaded(cluster):
    """Lives, reads, a wait, a follower of events and one of a log; all must end well."""
    containers = Containers(cluster)
    load = Load(containers)
    containers.run("waited")
    codes = []
    waiter = threading.Thread(target=lambda: codes.append(containers.wait("waited", timeout=120)))
    follower = subprocess.Popen(cluster.command("events", "--since", "0", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = []
    reading = threading.Thread(target=lambda: lines.extend(follower.stdout))
    script = "i=0; while [ ! -e /go ]; do echo $i; i=$((i+1)); sleep 0.02; done; echo end $i; exit 5"
    detached(cluster, "logged", script)
    logs = subprocess.Popen(cluster.command("logs", "-f", "logged"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    waited = subprocess.Popen(cluster.command("tasks", "wait", "logged"), stdout=subprocess.PIPE, text=True)
    for thread in (waiter, reading):
        thread.start()
    for who in range(LIVES):
        load.live(who)
    load.read()
    try:
        load.await_progress()
        yield load
        load.await_progress()
    finally:
        with contextlib.suppress(AssertionError):
            load.stop()
        containers.end("waited", 7)
        (cluster.rootfs("logged") / "go").touch()
        waiter.join(30)
        output, complaints = logs.communicate(timeout=30)
        assert waited.communicate(timeout=30)[0] == "5\n"
        last = containers.call("event.list", all=True, timeout=60)["events"][-1]["seq"] if not load.failures else 0
        with contextlib.suppress(AssertionError):
            until(lambda: lines and json.loads(lines[-1])["seq"] >= last, "the follower has all events")
        follower.terminate()
        reading.join(30)
        complaints += follower.communicate()[1]
    load.stop()
    assert codes == [7] and complaints == ""
    *numbers, end = output.splitlines()
    assert numbers == [str(n) for n in range(len(numbers))] and end == f"end {len(numbers)}"
    check_events(load, [json.loads(line) for line in lines])


def check_events(load, events):
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    lives = {}
    for event in events:
        lives.setdefault(event["event"].get("container_id"), []).append(event)
    for who in range(LIVES):
        for count in range(load.done[f"life {who}"]):
            tasks = [e for e in lives[f"life-{who}-{count}"] if e["topic"] in LIFE]
            assert [e["topic"] for e in tasks] == LIFE
            assert tasks[2]["event"].get("exit_status", 0) == count % 200


def restart(cluster, process):
    done = cluster.shimctl("cluster", "restart", process)
    assert done.returncode == 0, (process, done.stderr)


@needs_runc
def test_no_request_fails_while_processes_are_restarted(fresh_cluster):
    cluster = fresh_cluster.start(config=CONFIG)
    with loaded(cluster) as load:
        for process in [*PROCESSES, "supervisor", "all", "all"]:
            restart(cluster, process)
            load.await_progress()
        rows = cluster.status()
        assert rows["supervisor"]["pid"] == cluster.supervisor.pid
        assert {name: row["restarts"] for name, row in rows.items()} == dict.fromkeys(rows, 3)


@needs_runc
def test_no_request_fails_while_executables_are_replaced(fresh_cluster):
    """As a package manager does it, by renaming, and as install(1) does it."""
    cluster = fresh_cluster
    cluster.bin = cluster.dir / "bin"
    cluster.bin.mkdir()
    names = ["shimd", *(f"shimd-{name}" for name in PROCESSES), "shimd-log"]
    for name in names:
        shutil.copy(BIN / name, cluster.bin)
    cluster.start(config=CONFIG)

    def files():
        return {pid: os.readlink(f"/proc/{pid}/exe") for pid in [row["pid"] for row in cluster.status().values()]}

    with loaded(cluster) as load:
        for way in ("rename", "install"):
            for name in names:
                if way == "rename":
                    shutil.copy(BIN / name, cluster.bin / f"{name}.new")
                    (cluster.bin / f"{name}.new").rename(cluster.bin / name)
                else:
                    subprocess.run(["install", "-m", "755", BIN / name, cluster.bin / name], check=True)
            assert all(path.endswith(" (deleted)") for path in files().values())
            restart(cluster, "all")
            assert sorted(files().values()) == sorted(str(cluster.bin / name) for name in names[:-1])
            load.await_progress()


# ---------------------------------------------------------------------------- what no successor could carry on

SLOW_MS = 3500  # of a call to a shim; a process that says nothing while it stops is killed far earlier
PATIENT = CONFIG.replace("call-timeout = 3000", "call-timeout = 30000") + "restart\n    stop-timeout = 2\n"
QUICK = 1.0  # seconds


@pytest.fixture(name="slow")
def fixture_slow(fresh_cluster):
    """Containers c, whose shim takes its time, and quick ones d and e."""
    containers = Containers(fresh_cluster.start(config=PATIENT))
    (fresh_cluster.dir / "images").mkdir()
    containers.run("c", fail_Checkpoint=f"1*delay({SLOW_MS})")
    containers.run("d")
    containers.run("e", fail_Checkpoint=f"1*delay({2 * SLOW_MS})")
    yield containers
    for name in "cde":
        containers.finish(name)


def checkpoint(containers, name):
    asked = Background(containers, "task.checkpoint", name, timeout=60, path=str(containers.cluster.dir / "images"))
    until(lambda: containers.asked_for(name, "Checkpoint"), "the shim is at it")
    return asked


@pytest.mark.parametrize("process", ["shim", "broker", "all"])
def test_a_checkpoint_that_is_under_way(slow, process):
    """Nobody waits for it but the restart."""
    cluster, worker = slow.cluster, slow.cluster.pid("shim")
    begun = time.monotonic()
    asked = checkpoint(slow, "c")
    done = subprocess.Popen(cluster.command("cluster", "restart", process), stderr=subprocess.PIPE, text=True)
    if process != "broker":
        until(lambda: cluster.status()["shim"]["state"] == "STOPPING", "it was told to end")
        assert fastest(slow.call, "task.list") < QUICK
        assert fastest(slow.call, "task.kill", "d", signal=int(signal.SIGCONT)) < QUICK
        assert slow.asked_for("c", "Checkpoint") and asked.thread.is_alive() and done.poll() is None
    assert asked.outcome()[0] == OK
    assert time.monotonic() - begun > SLOW_MS / 1000
    assert done.communicate(timeout=30)[1] == "" and done.returncode == 0
    assert (cluster.pid("shim") == worker) == (process == "broker")
    assert len(slow.asked_for("c", "Checkpoint")) == 1
    assert slow.topics("c").count("/tasks/checkpointed") == 1


def test_a_kill_on_its_way_through_a_stopped_shim(slow):
    cluster, shim = slow.cluster, slow.shim_pid("c")
    os.kill(shim, signal.SIGSTOP)
    try:
        asked = Background(slow, "task.kill", "c", timeout=60, signal=int(signal.SIGCONT))
        until(lambda: cluster.status()["shim"].get("in_flight"), "it is with the worker")
        worker = cluster.pid("shim")
        done = subprocess.Popen(cluster.command("cluster", "restart", "shim"))
        until(lambda: cluster.status()["shim"]["state"] == "STOPPING", "it was told to end")
        assert fastest(slow.call, "task.kill", "d", signal=int(signal.SIGCONT)) < QUICK
        time.sleep(SLOW_MS / 1000)
        assert asked.thread.is_alive() and cluster.pid("shim") == worker
    finally:
        os.kill(shim, signal.SIGCONT)
    assert asked.outcome()[0] == OK
    assert done.wait(30) == 0
    assert len(slow.asked_for("c", "Kill")) == 1


def test_a_worker_that_hangs_meanwhile_is_killed(slow):
    """With the truth for whoever asked."""
    cluster = slow.cluster
    asked = checkpoint(slow, "e")
    done = subprocess.Popen(cluster.command("cluster", "restart", "shim"))
    until(lambda: cluster.status()["shim"]["state"] == "STOPPING", "it was told to end")
    worker = cluster.kill("shim", signal.SIGSTOP)
    assert done.wait(30) == 0
    assert cluster.pid("shim") != worker
    status, sentence = asked.outcome()
    assert status == UNAVAILABLE and "the worker died, outcome unknown" in sentence
    assert len(slow.asked_for("e", "Checkpoint")) == 1
