"""Nobody waits for a stranger: while a disk, a bundle or an unmounting takes its time, only what needs it waits."""

import concurrent.futures
import os
import pathlib
import signal
import subprocess

import pytest
from cluster import PROCESSES, until
from fake_containers import CONFIG, DEADLINE_EXCEEDED, LIFE, NOT_FOUND, Containers
from hung_fs import DEVICE, HungFs

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts and shims need root")

STUCK_MS = 8000  # less than makes a process count as hanging
PATH_MS = 4000  # for a path that a client chose
HUNG_MS = 600000  # of a child of the bundle worker, which is given up at once
PATIENCE = 45


@pytest.fixture(name="containers")
def fixture_containers(fresh_cluster):
    return Containers(fresh_cluster.start(config=f"failpoints = on\n{CONFIG}    path-timeout = {PATH_MS}\n"))


@pytest.fixture(name="ask")
def fixture_ask(containers):
    """Asks in a thread: a future."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        yield lambda method, name, **fields: pool.submit(containers.call, method, name, timeout=PATIENCE, **fields)


@pytest.fixture(name="hung")
def fixture_hung(tmp_path):
    if not DEVICE.exists():
        pytest.skip(f"there is no {DEVICE}")
    made = HungFs(tmp_path / "hung")
    yield made
    made.end()


class Stuck:
    """A failpoint that stops whoever meets it next, for a time that nobody else may need."""

    def __init__(self, cluster, point, milliseconds=STUCK_MS):
        self.place = cluster.run / "failpoints" / point
        self.hits = pathlib.Path(f"{self.place}.hits")
        self.hits.unlink(missing_ok=True)
        self.place.write_text(f"1*delay({milliseconds})")

    def await_hit(self):
        until(self.hits.exists, f"{self.place.name} is met")


def strangers(containers, name):
    """What a client may want of another container, which needs nobody who is stuck."""
    assert containers.task(name)["status"] == "RUNNING"
    containers.call("task.stats", name)
    containers.call("task.get", name)
    request, before = os.urandom(16), len(containers.asked_for(name, "Kill"))
    for first in (True, False):  # the same answer again, and one signal
        assert containers.call("task.kill", name, id=request, first=first, signal=signal.SIGWINCH) == {}
    assert len(containers.asked_for(name, "Kill")) == before + 1
    return request


def restart(cluster, name):
    """It does not sleep any longer."""
    cluster.await_successor(name, cluster.kill(name))


@pytest.mark.parametrize("earlier", [0, 1])
def test_a_slow_disk_of_the_metadata_worker(containers, ask, earlier):
    """Whether or not the container has run before, with kills that the journal knows."""
    for _ in range(earlier):
        containers.run("b")
        containers.call("task.kill", "b", signal=signal.SIGKILL)
        containers.call("task.delete", "b", force=True)
        containers.call("container.delete", "b")
    containers.run("b")
    stuck = Stuck(containers.cluster, "metadata.commit-before")
    waits = ask("container.create", "new", runtime="io.containerd.runc.v2", spec=b"{}")
    stuck.await_hit()
    killed = strangers(containers, "b")
    assert not waits.done(), "nobody waited for the disk"
    restart(containers.cluster, "metadata")
    waits.result()
    told = containers.cluster.client().call("request.get", {"id": killed})
    assert (told["state"], told["status"], told["target"]) == ("done", 0, "b")
    containers.finish("b")


def await_running(containers, name, pid):
    """A list is answered as soon as the bundles are known; what a shim says of its container comes after."""
    def is_running():
        row = containers.task(name)
        return row["pid"] == pid and row["status"] == "RUNNING" and not row.get("phase")

    until(is_running, f"{name} is known to run")


def test_a_slow_disk_and_a_new_shim_worker(containers, ask):
    """It adopts what is there without a word of the journal, and buries nothing before that has come."""
    cluster = containers.cluster
    pids = {name: containers.run(name) for name in ("b", "c")}
    containers.run("dead")
    stuck = Stuck(cluster, "metadata.commit-before")
    waits = ask("container.create", "new", runtime="io.containerd.runc.v2", spec=b"{}")
    stuck.await_hit()
    containers.lose_shim("dead", to_a_successor=True)
    for name, pid in pids.items():
        await_running(containers, name, pid)
    strangers(containers, "b")
    containers.call("task.kill", "c", signal=signal.SIGKILL)
    assert containers.task("dead")["phase"] == "loading"
    assert not waits.done(), "nobody waited for the disk"
    restart(cluster, "metadata")
    waits.result()
    for name in ("c", "dead"):
        assert containers.wait(name) == 128 + signal.SIGKILL
        until(lambda: containers.outcome("task.delete", name)[0] in (0, NOT_FOUND), f"{name} has ended")
        until(lambda: containers.topics(name) == LIFE, f"the story of {name} is told once")
    containers.finish("b")


@pytest.mark.parametrize("dying", [["shim", "metadata"], PROCESSES], ids="-".join)
def test_a_kill_is_known_before_it_is_on_the_disk(containers, ask, dying):
    """It was answered; then everybody who could have recorded it dies."""
    containers.run("b")
    stuck = Stuck(containers.cluster, "metadata.commit-before")
    waits = ask("container.create", "new", runtime="io.containerd.runc.v2", spec=b"{}")
    stuck.await_hit()
    killed = strangers(containers, "b")
    assert not waits.done(), "nothing was recorded"
    before = {name: containers.cluster.pid(name) for name in PROCESSES}
    for name in dying:
        os.kill(before[name], signal.SIGKILL)
    for name in dying:
        containers.cluster.await_successor(name, before[name])
    waits.result()
    assert containers.call("task.kill", "b", id=killed, signal=signal.SIGWINCH) == {}
    assert len(containers.asked_for("b", "Kill")) == 1
    containers.finish("b")
    told = containers.cluster.client().call("request.get", {"id": killed})
    assert (told["method"], told["status"]) == ("task.kill", 0)
    assert containers.call("task.kill", "b", id=killed, signal=signal.SIGWINCH) == {}, "also of one that is gone"
    assert containers.refusal("task.kill", "b", signal=signal.SIGWINCH)[0] == NOT_FOUND


def test_a_slow_bundle(containers, ask):
    for name in ("b", "c"):
        containers.run(name)
    containers.record("a")
    stuck = Stuck(containers.cluster, "bundle.create-work-made")
    waits = ask("task.create", "a")
    stuck.await_hit()
    strangers(containers, "b")
    containers.end("c")
    assert containers.wait("c") == 0
    containers.call("task.delete", "c")
    assert not waits.done(), "nobody waited for the bundle"
    restart(containers.cluster, "bundle")
    assert waits.result()["pid"]
    containers.call("task.delete", "a", force=True)
    containers.finish("b")


def test_a_hung_unmounting(containers):
    cluster = containers.cluster
    containers.run("b")
    containers.run("a")
    bundle = cluster.run / "task/default/a"
    subprocess.run(["mount", "-t", "tmpfs", "none", bundle / "rootfs"], check=True)
    stuck = Stuck(cluster, "bundle.delete-unmount", HUNG_MS)
    containers.call("task.delete", "a", force=True)
    stuck.await_hit()
    strangers(containers, "b")
    containers.run("c")  # bundles are made and removed meanwhile
    containers.finish("c", 0)
    containers.call("task.create", "a", timeout=PATIENCE)  # also of that id
    assert cluster.mounts(), "nobody waited for the unmounting"
    containers.call("task.delete", "a", force=True)
    restart(cluster, "bundle")
    until(lambda: not cluster.mounts(), "it is unmounted by the successor")
    containers.finish("b")


def check_refusal(waits, field, path):
    error = waits.exception()
    assert (error.status, f"{field}: {path}: no answer in {PATH_MS} ms" in str(error)) == (DEADLINE_EXCEEDED, True), error


def test_a_hung_file_system(containers, ask, hung):
    """Nobody who names a path on it can be killed any more; nobody else waits, and the cluster stops."""
    cluster = containers.cluster
    containers.run("b")
    path = {field: str(hung.place / field) for field in ("stdin", "stdout", "stderr", "checkpoint", "runtime")}
    fields = {field: {field: path[field]} for field in ("stdin", "checkpoint", "runtime")}
    fields["stdout"] = {"stdout": f"binary://{path['stdout']}?a=b", "stderr": "file:///dev/null"}
    asked = {field: ask("task.create", containers.record(field), **body) for field, body in fields.items()}
    asked["stderr"] = ask("task.exec", "b", exec_id="e", spec=containers.exec_spec("b", "e"), stdout="/dev/null",
                          stderr=path["stderr"])
    hung.await_taken(len(asked))
    strangers(containers, "b")
    containers.run_exec("b", "f")
    containers.run("c")
    containers.finish("c")
    assert not any(waits.done() for waits in asked.values()), "nobody waited for the file system"
    for field, waits in asked.items():
        check_refusal(waits, field, path[field])
    for field in fields:
        containers.call("container.delete", field)
        assert containers.refusal("task.get", field)[0] == NOT_FOUND
    assert [p["exec_id"] for p in containers.call("task.pids", "b")["processes"] if p.get("exec_id")] == ["f"]
    strangers(containers, "b")
    restart(cluster, "shim")
    await_running(containers, "b", containers.call("task.get", "b")["pid"])
    containers.end("b-f")
    containers.finish("b")
    assert cluster.stop() == 0
    hung.end()


def test_fifos_on_a_hung_file_system(containers, hung):
    """Removed with their container, which is gone when they are, or after a while."""
    containers.run("b")
    containers.run("a", more={"remove": True, "fifos": str(hung.place / "0123456789abcdef")})
    containers.end("a")
    hung.await_taken(1)
    strangers(containers, "b")
    containers.run("c")
    containers.finish("c")
    assert containers.call("container.get", "a")["removal"], "it is being removed"
    hung.end()
    until(lambda: containers.outcome("container.get", "a")[0] == NOT_FOUND, "it is removed")
    containers.finish("b")
