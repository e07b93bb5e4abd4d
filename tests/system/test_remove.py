"""Containers that are removed when they have ended (run --rm): by the client, and by the cluster when that cannot."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest
from cluster import PROCESSES, until
from fake_containers import FAILED_PRECONDITION, INVALID_ARGUMENT, LIFE, NOT_FOUND, UNKNOWN, shim_path

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="containers need root")
real = pytest.mark.skipif(not shutil.which("runc"), reason="no runc")

# A client that makes something, says so, and stays until its input ends.
MAKER = """
import json, sys
from cluster import Client
client = Client(sys.argv[1])
for method, body in json.loads(sys.argv[2]):
    if "spec" in body:
        body["spec"] = body["spec"].encode()
    client.call(method, body, "default", timeout=15)
print("made", flush=True)
sys.stdin.read()
"""


class Maker:
    """The process of such a client."""

    def __init__(self, containers, *steps):
        command = [sys.executable, "-c", MAKER, str(containers.cluster.run), json.dumps(steps)]
        environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parent)}
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "made\n"

    def kill(self):
        self.process.kill()
        self.process.communicate()


def steps(containers, name, fifos, **wishes):
    """Requests that make a held container and run it."""
    os.mkfifo(containers.path("gate", name))
    annotations = {"io.shimd.fake.record": str(containers.path("record", name)), **wishes}
    spec = {"ociVersion": "1.0.2", "process": containers.process(containers.path("gate", name)),
            "root": {"path": str(containers.cluster.dir)}, "annotations": annotations}
    record = {"id": name, "runtime": shim_path(1), "spec": json.dumps(spec), "remove": True, "held": True, "fifos": str(fifos)}
    return [("container.create", record), ("task.create", {"id": name}), ("task.start", {"id": name})]


def names(containers):
    return {row["id"] for row in containers.call("container.list")["containers"]}


def fifo_dir(containers, name):
    path = containers.cluster.dir / "0123456789abcdef"
    path.mkdir(exist_ok=True)
    os.mkfifo(path / f"{name}-stdout")
    return path


def gone(containers, name, fifos=None):
    until(lambda: name not in names(containers), f"{name} is removed")
    assert containers.nothing_of(name), containers.remains(name)
    assert not fifos or not fifos.exists()


# Held containers: `made` steps were done when who made it died


@pytest.mark.parametrize("made", [1, 2, 3])
def test_what_a_killed_client_has_made_goes(containers, made):
    fifos = fifo_dir(containers, "c")
    maker = Maker(containers, *steps(containers, "c", fifos)[:made])
    assert names(containers) == {"c"}
    maker.kill()
    if made == 3:
        until(lambda: "Delete" in " ".join(containers.asked("c")) or "it is removed when it has" in containers.cluster.log(), "noticed")
        assert containers.state("c") == "RUNNING"
        containers.end("c", 5)
    gone(containers, "c", fifos)
    if made == 3:
        assert containers.call("task.wait", "c")["exit_status"] == 5
        assert containers.topics("c")[-4:] == LIFE


def test_it_is_left_to_its_maker_as_long_as_that_lives(containers):
    fifos = fifo_dir(containers, "c")
    maker = Maker(containers, *steps(containers, "c", fifos))
    containers.end("c", 5)
    assert containers.wait("c") == 5
    containers.cluster.await_successor("metadata", containers.cluster.kill("metadata"))
    assert containers.call("task.delete", "c")["exit_status"] == 5
    assert names(containers) == {"c"} and fifos.exists()
    maker.kill()
    gone(containers, "c", fifos)


@pytest.mark.parametrize("victim", ["metadata", "shim"])
def test_the_end_of_its_maker_is_not_missed(containers, victim):
    """Nobody watches, or nobody can be asked, when it ends."""
    fifos = fifo_dir(containers, "c")
    maker = Maker(containers, *steps(containers, "c", fifos))
    pid = containers.cluster.kill(victim, signal.SIGSTOP)
    maker.kill()
    os.kill(pid, signal.SIGKILL)
    containers.cluster.await_successor(victim, pid)
    until(lambda: containers.state("c") == "RUNNING", "it is not disturbed")
    containers.end("c", 5)
    gone(containers, "c", fifos)


def test_a_removal_that_fails_is_tried_again(containers):
    fifos = fifo_dir(containers, "c")
    maker = Maker(containers, *steps(containers, "c", fifos, **{"io.shimd.fake.fail.Delete": "2*error"}))
    maker.kill()
    containers.end("c")
    gone(containers, "c", fifos)


def test_another_container_of_its_name_is_not_touched(containers):
    maker = Maker(containers, *[steps(containers, name, fifo_dir(containers, name))[0] for name in ("c", "d")])
    containers.call("container.delete", "c")
    containers.run("c")
    containers.end("c")
    assert containers.wait("c") == 0
    maker.kill()
    gone(containers, "d")
    assert names(containers) == {"c"}
    containers.remove("c", force=False)


# Others


def test_one_that_nobody_holds_goes_when_it_has_ended(containers):
    containers.record("c", more={"remove": True})
    containers.cluster.await_successor("metadata", containers.cluster.kill("metadata"))
    assert names(containers) == {"c"}, "it never ran"
    containers.call("task.create", "c")
    containers.call("task.start", "c")
    containers.end("c", 4)
    gone(containers, "c")
    assert containers.call("task.wait", "c")["exit_status"] == 4


def test_a_create_that_is_undone_is_no_run(containers):
    containers.record("c", more={"remove": True}, fail_Create="1*error")
    assert containers.refusal("task.create", "c")[0] == UNKNOWN
    assert containers.nothing_of("c")
    spec = containers.call("container.get", "c")["spec"].replace(b"fail.Create", b"was.Create")
    containers.call("container.update", "c", spec=spec)
    containers.call("task.create", "c")
    containers.call("task.start", "c")
    containers.end("c", 4)
    gone(containers, "c")


def test_what_does_not_go_together_is_refused(containers):
    def refusal(**fields):
        status, sentence = containers.refusal("container.create", "c", runtime=shim_path(1), spec=b"{}", **fields)
        assert status == INVALID_ARGUMENT
        return sentence

    assert "held goes with remove" in refusal(held=True)
    assert "fifos goes with remove" in refusal(fifos="/tmp/0123456789abcdef")
    assert "16 hexadecimal digits" in refusal(remove=True, fifos="0123456789abcdef")
    assert "16 hexadecimal digits" in refusal(remove=True, fifos="/0123456789abcdeF")
    assert "restart always" in refusal(remove=True, restart="always")
    containers.record("c", more={"remove": True})
    status, sentence = containers.refusal("container.update", "c", restart="on-failure")
    assert status == FAILED_PRECONDITION and "cannot be restarted" in sentence
    containers.call("container.update", "c", restart="no")
    done = containers.cluster.shimctl("restart", "c")
    assert done.returncode != 0 and "c is removed when it has ended (--rm)" in done.stderr
    containers.call("container.delete", "c")
    assert containers.refusal("container.get", "c")[0] == NOT_FOUND


# The command line, with the real shim


def nothing_left(cluster, *containers):
    client = cluster.client()
    until(lambda: not client.call("container.list", {}, "default")["containers"], "no container is left")
    until(lambda: not cluster.leftovers()["processes"].keys() - {*pids(cluster)}, "no process is left")
    fifos = cluster.run / "fifo"
    assert not fifos.exists() or not list(fifos.iterdir())
    until(lambda: not [path for path in (cluster.root / "log").rglob("*") if path.name in containers], "no log is left")


def pids(cluster):
    return [row["pid"] for row in cluster.status().values()] + [cluster.keeper()]


def running(cluster, name):
    client = cluster.client()
    until(lambda: [t for t in client.call("task.list", {}, "default")["tasks"] if t["id"] == name and t["status"] == "RUNNING"],
          f"{name} runs", 30)


def attached(cluster, name, script="sleep 1000"):
    """A client that follows a container which runs."""
    words = ("run", "--rm", "--rootfs", cluster.rootfs(name), name, "/bin/sh", "-c", script)
    process = subprocess.Popen(cluster.command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    running(cluster, name)
    return process


def kill_client(process):
    process.kill()
    process.communicate()


@real
def test_run_rm_of_a_killed_client(cluster):
    kill_client(attached(cluster, "c"))
    assert cluster.shimctl("tasks", "exec", "--exec-id", "e", "c", "/bin/echo", "it lives").stdout == "it lives\n"
    assert cluster.shimctl("tasks", "kill", "-s", "KILL", "c").returncode == 0
    nothing_left(cluster, "c")
    assert cluster.shimctl("tasks", "wait", "c").stdout == "137\n"


@real
def test_run_rm_when_everybody_was_killed(cluster):
    client = attached(cluster, "c", "while [ ! -e /go ]; do sleep 0.05; done; exit 4")
    victims = [row["pid"] for name, row in cluster.status().items() if name in PROCESSES] + [cluster.keeper()]
    cluster.supervisor.kill()
    cluster.supervisor.wait()
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    kill_client(client)
    (cluster.rootfs("c") / "go").touch()
    cluster.start()
    nothing_left(cluster, "c")


@real
def test_run_rm_detached(cluster):
    words = ("run", "-d", "--rm", "--rootfs", cluster.rootfs(), "c", "/bin/sh", "-c", "while [ ! -e /go ]; do sleep 0.05; done; exit 4")
    done = cluster.shimctl(*words)
    assert done.returncode == 0, done.stderr
    running(cluster, "c")
    with subprocess.Popen(cluster.command("tasks", "wait", "c"), stdout=subprocess.PIPE, text=True) as waiter:
        until(lambda: cluster.status()["shim"].get("in_flight", 0), "it waits")
        (cluster.rootfs() / "go").touch()
        assert waiter.communicate(timeout=30)[0] == "4\n"
    nothing_left(cluster, "c")
    story = cluster.shimctl("explain", "c").stdout
    assert "(shimd-metadata)" in story and "FAILED_PRECONDITION" not in story, "it is not tried as long as it runs"


@real
def test_run_rm_removes_by_itself_what_it_follows(cluster):
    """All its output comes out first, also when the cluster knows of the end long before the client."""
    client = attached(cluster, "c", "yes 0123456789 | head -n 5000; while [ ! -e /go ]; do sleep 0.05; done; echo end; exit 4")
    client.send_signal(signal.SIGSTOP)
    (cluster.rootfs("c") / "go").touch()
    until(lambda: cluster.client().call("task.get", {"id": "c"}, "default")["status"] == "STOPPED", "it has ended")
    client.send_signal(signal.SIGCONT)
    output = client.communicate(timeout=30)[0].decode().splitlines()
    assert (client.returncode, len(output), output[-1]) == (4, 5001, "end")
    nothing_left(cluster, "c")
