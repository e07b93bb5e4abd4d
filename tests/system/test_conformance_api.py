"""containerd's own client tests of tasks that no command line can express, as requests of the protocol; and the table
of all of containerd's names, with what became of each.

A case has the name of containerd's test: TestContainerWait is test_container_wait. Those in test_conformance.py and
test_conformance_daemon.py are played with ctr, too.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import threading

import pytest
from cluster import NOT_FOUND, Client, Refused, is_alive, until
from fake_containers import Containers
from shimd_client import oci_spec
from tools import Shimctl

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="containers need root"),
    pytest.mark.skipif(not shutil.which("containerd-shim-runc-v2"), reason="no containerd-shim-runc-v2"),
    pytest.mark.skipif(not shutil.which("runc"), reason="no runc"),
]

FAILED_PRECONDITION, SECONDS = 9, 60
HERE = pathlib.Path(__file__).parent

# The files of containerd's integration/client that are about tasks, in 2026.
CONTAINERD = """
TestContainerList TestNewContainer TestContainerStart TestContainerStartWithAbsRuntimePath TestContainerOutput
TestContainerWait TestContainerExec TestContainerLargeExecArgs TestContainerPids TestContainerCloseIO
TestDeleteRunningContainer TestContainerKill TestKillContainerDeletedByRunc TestContainerNoBinaryExists
TestContainerExecNoBinaryExists TestWaitStoppedTask TestWaitStoppedProcess TestTaskForceDelete TestProcessForceDelete
TestContainerHostname TestContainerExitedAtSet TestDeleteContainerExecCreated TestContainerMetrics
TestDeletedContainerMetrics TestContainerExtensions TestContainerUpdate TestContainerInfo TestContainerLabels
TestContainerHook TestShimSockLength TestContainerExecLargeOutputWithTTY TestShortRunningTaskPid
TestRegressionIssue4769 TestRegressionIssue6429 TestDaemonRestart TestContainerKillInitKillsChildWhenNotHostPid
TestTaskResize TestContainerImage TestContainerNoImage TestContainerNoSTDIN TestTaskSpec TestContainerUsername
TestContainerPTY TestTaskUpdate TestShimInCgroup TestShimDoesNotLeakPipes TestShimDoesNotLeakSockets
TestDaemonReconnectsToShimIOPipesOnRestart TestContainerAttach TestContainerUser TestContainerAttachProcess
TestContainerLoadUnexistingProcess TestContainerUserID TestContainerKillAll TestDaemonRestartWithRunningShim
TestContainerRuntimeOptionsv2 TestContainerKillInitPidHost TestUserNamespaces TestUIDNoGID TestBindLowPortNonRoot
TestBindLowPortNonOpt TestShimOOMScore TestIssue9103 TestIssue10589 TestIssue13030 TestCheckpointRestorePTY
TestCheckpointRestore TestCheckpointRestoreNewContainer TestCheckpointLeaveRunning TestCheckpointRestoreWithImagePath
TestCheckpointOnPauseStatus TestRestartMonitor TestIDMappedOverlay TestContainerDrainExecIOAfterExit
""".split()

# Where a case is that has no file of ours to itself.
ELSEWHERE = {
    "TestRestartMonitor": ("test_restart.py", "test_what_is_run_again"),
    "TestCheckpointOnPauseStatus": ("test_client.py", "test_what_criu_says_is_shown"),
}

DOES_NOT_APPLY = {
    "TestContainerImage": "no images here: a container has a name of one, for people to read",
    "TestContainerNoImage": "likewise",
    "TestContainerExtensions": "a record has labels, and no extensions: they are for other daemons' plugins",
    "TestIDMappedOverlay": "no snapshots here",
    "TestIssue13030": "about the layers of an image",
    "TestCheckpointRestorePTY": "needs a CRIU that works: runc and CRIU pass the terminal on, which is not ours",
}


def snake(name):
    """TestContainerExecLargeOutputWithTTY: test_container_exec_large_output_with_tty."""
    return re.sub("(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def test_every_case_of_containerds_has_its_place():
    files = {path.name: path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py")}
    ours = "".join(text for name, text in files.items() if name.startswith("test_conformance"))
    for name in CONTAINERD:
        places = [f"def {snake(name)}(" in ours, name in ELSEWHERE, name in DOES_NOT_APPLY]
        assert sum(places) == 1, (name, snake(name), places)
    for name, (file, test) in ELSEWHERE.items():
        assert f"def {test}(" in files[file], name
    assert not (set(ELSEWHERE) | set(DOES_NOT_APPLY)) - set(CONTAINERD)


# requests -------------------------------------------------------------------------------------------------------


class Api:
    """Requests about one container, c."""

    def __init__(self, cluster):
        self.cluster, self.client = cluster, cluster.client()

    def __call__(self, method, exec_id=None, **fields):
        body = {"id": "c", **({"exec_id": exec_id} if exec_id else {}), **fields}
        return self.client.call(method, body, "default", timeout=SECONDS)

    def refused(self, status, method, *args, **fields):
        with pytest.raises(Refused) as error:
            self(method, *args, **fields)
        assert error.value.status == status, error.value

    def create(self, *args, record=None, **task):
        """Record and task; not started."""
        spec = json.dumps(oci_spec("c", self.cluster.rootfs(), list(args))).encode()
        self("container.create", runtime="io.containerd.runc.v2", spec=spec, **(record or {}))
        return self("task.create", **task)["pid"]

    def start(self, *args, **more):
        pid = self.create(*args, **more)
        assert self("task.start")["pid"] == pid
        return pid

    def exec(self, exec_id, *args, **fields):
        spec = json.dumps({"args": args, "cwd": "/", "env": ["PATH=/bin"]}).encode()
        self("task.exec", exec_id, spec=spec, **fields)

    def state(self, exec_id=None):
        return self("task.get", exec_id)["status"]

    def remove(self):
        self("task.delete", force=True)
        self("container.delete")

    def events(self):
        page = self.client.call("event.list", {"since": self.since, "limit": 10000}, "default")["events"]
        return [(event["topic"], event["event"]) for event in page]


@pytest.fixture
def api(shared_cluster):
    made = Api(shared_cluster)
    made.since = made.client.call("event.list", {"since": 2**63 - 1, "all": True})["last"] + 1
    yield made
    assert not Shimctl(shared_cluster).remove_all()


class Waiter(threading.Thread):
    """A wait that has been asked before anything happens."""

    def __init__(self, api, exec_id=None):
        super().__init__()
        self.cluster, self.body = api.cluster, {"id": "c", **({"exec_id": exec_id} if exec_id else {})}
        self.answer = None
        before = self.in_flight()
        self.start()
        until(lambda: self.in_flight() > before, "the wait is with the worker", SECONDS)

    def in_flight(self):
        return self.cluster.status()["shim"].get("in_flight", 0)

    def run(self):
        client = Client(str(self.cluster.run))
        self.answer = client.call("task.wait", self.body, "default", timeout=None)
        client.close()

    def code(self):
        self.join(SECONDS)
        return self.answer["exit_status"]


# waiting --------------------------------------------------------------------------------------------------------


def test_container_wait(api):
    """Asked before the start, while it runs, and behind its end: always the same answer."""
    api.create("/bin/sh", "-c", "sleep 0.2; exit 7")
    waiter = Waiter(api)
    api("task.start")
    first = api("task.wait")
    assert waiter.code() == 7 and waiter.answer == first == api("task.wait")
    deleted = api("task.delete")
    assert deleted == first == api("task.wait"), "also when the task is no more"
    api("container.delete")
    assert api("task.wait") == first
    with pytest.raises(Refused) as error:
        api.client.call("task.wait", {"id": "never-there"}, "default")
    assert error.value.status == NOT_FOUND


def test_wait_stopped_task(api):
    api.start("/bin/sh", "-c", "exit 7")
    until(lambda: api.state() == "STOPPED", "it has ended")
    assert [api("task.wait")["exit_status"] for _ in range(2)] == [7, 7]
    api.remove()


def test_wait_stopped_process(api):
    api.start("/bin/sleep", "1000")
    api.exec("e", "/bin/sh", "-c", "exit 6")
    waiter = Waiter(api, "e")
    api("task.start", "e")
    assert waiter.code() == 6 and api.state("e") == "STOPPED"
    assert [api("task.wait", "e")["exit_status"] for _ in range(2)] == [6, 6]
    assert api("task.delete", "e")["exit_status"] == 6
    assert api("task.wait", "e")["exit_status"] == 6, "also when the exec is no more"
    api.refused(NOT_FOUND, "task.get", "e")
    api.remove()


def test_container_exited_at_set(api):
    pid = api.start("/bin/sh", "-c", "exit 0")
    ended = api("task.wait")
    begun = next(event for topic, event in api.events() if topic == "/tasks/create")
    assert begun["pid"] == pid and ended["exited_at"] > 0
    assert api("task.get")["exited_at"] == ended["exited_at"] == api("task.delete")["exited_at"]
    api("container.delete")


def test_start_of_what_has_ended(api):
    """The other half of TestIssue9103, which is played with ctr."""
    os.kill(api.create("/bin/true"), signal.SIGKILL)
    until(lambda: api.state() == "STOPPED", "it has ended", SECONDS)
    api.refused(FAILED_PRECONDITION, "task.start")
    assert api("task.delete")["exit_status"] == 137
    api("container.delete")


# execs ----------------------------------------------------------------------------------------------------------


def test_delete_container_exec_created(api):
    """An exec that was never started is deleted, and its id is free."""
    api.start("/bin/sleep", "1000")
    for _ in range(2):
        api.exec("e", "/bin/sh", "-c", "exit 6")
        assert api.state("e") == "CREATED"
        assert api("task.delete", "e")["exit_status"] == 0
        api.refused(NOT_FOUND, "task.get", "e")
    api.remove()


def fifos(directory):
    """Fields of a request, with a fifo each."""
    paths = {name: str(directory / name) for name in ("stdin", "stdout", "stderr")}
    for path in paths.values():
        os.mkfifo(path)
    return paths


class Streams:
    """A client's ends of the fifos. Another one can take them up after `close`."""

    def __init__(self, paths):
        self.files = {name: os.open(path, os.O_RDWR if name == "stdin" else os.O_RDONLY | os.O_NONBLOCK) for name, path in paths.items()}

    def write(self, text):
        os.write(self.files["stdin"], text)

    def read(self, size):
        text = b""

        def more():
            nonlocal text
            try:
                text += os.read(self.files["stdout"], size - len(text))
            except BlockingIOError:
                pass
            return len(text) == size

        until(more, "it has written", SECONDS)
        return text

    def close(self):
        for file in self.files.values():
            os.close(file)


def test_container_attach_process(api, tmp_path):
    """An exec whose client leaves goes on, and is taken up by another one."""
    api.start("/bin/sleep", "1000")
    paths = fifos(tmp_path)
    streams = Streams(paths)
    api.exec("e", "/bin/sh", "-c", "read x; echo $x; read x; echo $x; read x || exit 6", **paths)
    api("task.start", "e")
    for word in (b"one\n", b"two\n"):
        streams.write(word)
        assert streams.read(len(word)) == word
        again = Streams(paths)
        streams.close()
        streams = again
    api("task.close-io", "e", stdin=True)
    os.close(streams.files.pop("stdin"))
    assert api("task.wait", "e")["exit_status"] == 6, "it reads the end of its input"
    streams.close()
    api("task.delete", "e")
    api.remove()


def test_container_drain_exec_io_after_exit(api, tmp_path):
    """Output that an exec's child writes after the exec has ended arrives."""
    api.start("/bin/sleep", "1000")
    paths = fifos(tmp_path)
    streams = Streams(paths)
    api.exec("e", "/bin/sh", "-c", "(while kill -0 $PPID 2>/dev/null && test ! -e /go; do sleep 0.05; done; echo late) & exit 3", **paths)
    api("task.start", "e")
    assert api("task.wait", "e")["exit_status"] == 3
    (api.cluster.rootfs() / "go").touch()
    assert streams.read(5) == b"late\n"
    (api.cluster.rootfs() / "go").unlink()
    streams.close()
    api("task.delete", "e")
    api.remove()


def test_issue10589(api):
    """A container that ends while its exec is being started: its own exit is the last, and each has one."""
    wrapper = api.cluster.dir / "slow-runc"
    reached, go = api.cluster.dir / "reached", api.cluster.dir / "go"
    wrapper.write_text(
        f'#!/bin/sh\ncase " $* " in *" exec "*) echo > {reached}; while [ ! -e {go} ]; do sleep 0.05; done;; esac\nexec runc "$@"\n')
    wrapper.chmod(0o755)
    pid = api.start("/bin/sleep", "1000", record={"runc": {"binary_name": str(wrapper)}})
    api.exec("e", "/bin/sleep", "1000")
    failures = []

    def start():
        client = Client(str(api.cluster.run))
        try:
            client.call("task.start", {"id": "c", "exec_id": "e"}, "default", timeout=SECONDS)
        except Refused as refused:
            failures.append(refused)
        client.close()

    thread = threading.Thread(target=start)
    thread.start()
    until(reached.exists, "the runtime is at it", SECONDS)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_alive(pid), "it has ended")
    go.touch()
    thread.join(SECONDS)
    assert len(failures) == 1, "the exec cannot have begun"
    assert api("task.wait")["exit_status"] == 137
    exits = [event for topic, event in api.events() if topic == "/tasks/exit"]
    assert [event["id"] for event in exits if event["id"] == "c"] == ["c"] and exits[-1]["id"] == "c", exits
    api.remove()


# the record, limits, terminals, shims ---------------------------------------------------------------------------


def test_container_update(api):
    """A spec that was changed is what the next task is made from."""
    api.create("/bin/true")
    spec = json.loads(api("container.get")["spec"])
    spec["hostname"] = "changed"
    spec["process"]["args"] = ["/bin/sh", "-c", "grep -q changed /proc/sys/kernel/hostname && exit 3"]
    api("task.delete", force=True)
    updated = api("container.update", spec=json.dumps(spec).encode())
    assert json.loads(api("container.get")["spec"]) == spec and updated["updated_at"] > updated["created_at"]
    api("task.create")
    api("task.start")
    assert api("task.wait")["exit_status"] == 3
    api.remove()


def test_task_update(api):
    api.start("/bin/sleep", "1000")
    limit = 32 << 20
    api("task.update", resources=json.dumps({"memory": {"limit": limit}}).encode())
    stats = api("task.stats")["stats"]["memory"]
    assert limit in (stats.get("usage_limit"), stats.get("usage", {}).get("limit") if isinstance(stats.get("usage"), dict) else None)
    api.remove()


def test_task_resize(api):
    """Allowed without a terminal, too, where there is nothing to resize."""
    api.start("/bin/sleep", "1000")
    api("task.resize", width=80, height=25)
    api.refused(NOT_FOUND, "task.resize", "nobody", width=80, height=25)
    api("task.kill", signal=9)
    api("task.wait")
    api.remove()


def test_uid_no_gid(api):
    """A user without a group has 0."""
    done = api.cluster.shimctl("run", "--rm", "--user", "4711", "--rootfs", api.cluster.rootfs(), "c", "/bin/sh", "-c", "id -u; id -g")
    assert done.stdout.split() == ["4711", "0"]


def cgroup_directories(name):
    """Of this name: one in the unified hierarchy, or one in each of the others."""
    top = pathlib.Path("/sys/fs/cgroup")
    if (top / "cgroup.controllers").exists():
        return [top / name]
    return [path / name for path in top.iterdir() if (path / "cgroup.procs").exists() and not path.is_symlink()]


def test_shim_in_cgroup(api):
    directories = cgroup_directories(f"shimd-conformance-{os.getpid()}")
    for directory in directories:
        directory.mkdir()
        for name in ("cpuset.cpus", "cpuset.mems"):  # without these nobody may join
            if (directory.parent / name).exists():
                (directory / name).write_text((directory.parent / name).read_text())
    try:
        api.start("/bin/sleep", "1000", record={"runc": {"shim_cgroup": f"/{directories[0].name}"}})
        shim = api("task.get")["shim_pid"]
        inside = [d for d in directories if str(shim) in (d / "cgroup.procs").read_text().split()]
        assert inside, pathlib.Path(f"/proc/{shim}/cgroup").read_text()
        api.remove()
        until(lambda: not is_alive(shim), "the shim has ended", SECONDS)
    finally:
        for directory in directories:
            directory.rmdir()


# checkpoints: with the misbehaving shim, because CRIU works on few machines -------------------------------------


@pytest.fixture
def fakes(shared_cluster):
    yield Containers(shared_cluster)
    assert not Shimctl(shared_cluster).remove_all()


def test_checkpoint_leave_running(fakes, tmp_path):
    fakes.run("c")
    fakes.call("task.checkpoint", "c", path=str(tmp_path))
    assert fakes.state("c") == "RUNNING"
    fakes.finish("c")


def test_checkpoint_restore(fakes, tmp_path):
    pid = fakes.run("c")
    fakes.call("task.checkpoint", "c", path=str(tmp_path), exit=True)
    assert fakes.wait("c") == 137 and not is_alive(pid)
    fakes.call("task.delete", "c")
    fakes.call("task.create", "c", checkpoint=str(tmp_path))
    assert is_alive(fakes.call("task.start", "c")["pid"]) and fakes.state("c") == "RUNNING"
    fakes.finish("c")


def test_checkpoint_restore_new_container(fakes, tmp_path):
    fakes.run("c")
    fakes.call("task.checkpoint", "c", path=str(tmp_path))
    fakes.record("d")
    fakes.call("task.create", "d", checkpoint=str(tmp_path))
    assert is_alive(fakes.call("task.start", "d")["pid"])
    fakes.finish("c")
    fakes.finish("d")


def test_checkpoint_restore_with_image_path(fakes, tmp_path):
    fakes.run("c")
    refused, sentence = fakes.refusal("task.checkpoint", "c", path=str(tmp_path / "none"))
    assert refused and str(tmp_path / "none") in sentence and fakes.state("c") == "RUNNING"
    fakes.call("task.checkpoint", "c", path=str(tmp_path), work_path=str(tmp_path), exit=True)
    fakes.wait("c")
    fakes.call("task.delete", "c")
    assert fakes.refusal("task.create", "c", checkpoint=str(tmp_path / "none"))[0]
    assert fakes.state("c") is None
    fakes.call("container.delete", "c")


# a shim that dies, and a cluster that does ----------------------------------------------------------------------


def test_shim_dies(api):
    """No test of containerd's by this name: there, the container ends with 137; here it lives on, and its code is true."""
    pid = api.start("/bin/sh", "-c", "while test ! -e /go; do sleep 0.05; done; exit 4")
    shim = api("task.get")["shim_pid"]
    os.kill(shim, signal.SIGKILL)
    until(lambda: api("task.get").get("orphaned"), "it is known to be alone", SECONDS)
    assert is_alive(pid)
    (api.cluster.rootfs() / "go").touch()
    assert api("task.wait")["exit_status"] == 4
    (api.cluster.rootfs() / "go").unlink()
    api.remove()


def test_what_was_asked_before_a_restart_is_answered_after_it(api):
    """Likewise: containerd's clients hear of a lost connection."""
    pid = api.start("/bin/sleep", "1000")
    waiter = Waiter(api)
    for name in ("shim", "broker"):
        api.cluster.await_successor(name, api.cluster.kill(name))
    assert api("task.get")["pid"] == pid
    api("task.kill", signal=15)
    api("task.kill", signal=9)
    assert waiter.code() == 137
    api.remove()
