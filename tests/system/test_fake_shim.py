"""The fake shim (tests/fake-shim) keeps the contract of real shims, and breaks it where told to."""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import pytest
import raw_ttrpc as ttrpc
from raw_ttrpc import (ALREADY_EXISTS, INTERNAL, INVALID_ARGUMENT, NOT_FOUND, OK, RESOURCE_EXHAUSTED,
                       UNIMPLEMENTED, UNKNOWN, YEAR_1, Client, Error, Events, decode, encode, number,
                       seconds, sub, text)

SOURCE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("SHIMD_BUILD_DIR") or SOURCE / "build")
SHIMS = pathlib.Path(os.environ.get("SHIMD_FAKE_SHIM_DIR") or BUILD / "tests" / "fake-shim")
NAMES = {1: "fake", 2: "fakejson", 3: "fakeproto"}
GROUP = "io.containerd.runc.v2.group"
GENERATIONS = pytest.mark.parametrize("generation", [1, 2, 3])


def until(condition, what):
    end = time.monotonic() + ttrpc.PATIENCE_SECONDS
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.005)
    raise AssertionError(f"not in time: {what}")


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Shim:
    """One bundle and the shim that was started for it."""

    def __init__(self, host, task_id, generation, args, annotations, group=None):
        self.host, self.id, self.generation = host, task_id, generation
        self.binary = SHIMS / f"containerd-shim-{NAMES[generation]}-v2"
        self.bundle = host.directory / task_id
        (self.bundle / "work").mkdir(parents=True)
        annotations = {f"io.shimd.fake.{key}": str(value) for key, value in annotations.items()}
        if group:
            annotations[GROUP] = group
        self.process = {"args": args, "env": ["PATH=/usr/bin:/bin"], "cwd": "/"}
        config = {"ociVersion": "1.0.2", "process": self.process, "annotations": annotations}
        (self.bundle / "config.json").write_text(json.dumps(config))
        os.mkfifo(self.bundle / "log")
        self.log = os.open(self.bundle / "log", os.O_RDWR | os.O_NONBLOCK)
        self.pids = []

    def stdin(self):
        if self.generation < 3:
            return b""
        return encode({1: self.id, 2: "default", 5: self.host.events_path})

    def run(self, *verb, stdin=b"", timeout=ttrpc.PATIENCE_SECONDS, **more):
        command = [self.binary, "-namespace", "default", "-address", str(self.host.directory),
                   "-publish-binary", "/bin/false", "-id", self.id, *verb]
        env = {"PATH": "/usr/bin:/bin", "TTRPC_ADDRESS": self.host.events_path,
               "SHIMD_FAKE_SOCKET_DIR": str(self.host.sockets), **more.pop("env", {})}
        return subprocess.run(command, cwd=more.pop("cwd", self.bundle), input=stdin, env=env,
                              capture_output=True, timeout=timeout, check=False)

    def start(self):
        result = self.run("start", stdin=self.stdin())
        assert result.returncode == 0, result
        self.version, self.address = self.parse(result.stdout)
        return self

    def parse(self, out):
        if self.generation == 1:
            return 2, out.decode()
        if self.generation == 2:
            answer = json.loads(out)
            assert answer["protocol"] == "ttrpc"
            return answer["version"], answer["address"]
        answer = decode(out)
        assert text(answer, 3) == "ttrpc"
        return number(answer, 1), text(answer, 2)

    def client(self):
        return Client(self.address, self.version)

    def create(self, client, **more):
        fields = {1: self.id, 2: str(self.bundle), **more.get("fields", {})}
        pid = number(client.call("Create", fields), 1)
        self.pids.append(pid)
        return pid

    def exec_fields(self, exec_id, args):
        spec = json.dumps({**self.process, "args": args})
        return {1: self.id, 2: exec_id, 7: {2: spec}}

    def shim_pid(self):
        with self.client() as client:
            return number(client.call("Connect", {1: self.id}), 1)

    def socket_path(self, group=None):
        name = f"{self.host.directory}/default/{group or self.id}"
        return self.host.sockets / hashlib.sha256(name.encode()).hexdigest()


class Host:
    """Directories, the events' socket, and whatever is left to kill."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="shimd-fake-"))
        self.sockets = self.directory / "s"
        self.events_path = str(self.directory / "events.sock")
        self.shims = []

    def shim(self, plays=1, args=("/bin/sleep", "1000"), task_id="t-1", group=None, **wishes):
        wishes = {key.replace("__", ".").replace("_", "-"): value for key, value in wishes.items()}
        self.shims.append(Shim(self, task_id, plays, list(args), wishes, group))
        return self.shims[-1]

    def close(self):
        for shim in self.shims:
            for pid in shim.pids:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    if pid > 1:
                        os.kill(pid, signal.SIGKILL)
            os.close(shim.log)
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                # Only a daemon of ours has our directory as its -address.
                words = (path / "cmdline").read_bytes().split(b"\0")
                if b"-address" in words and bytes(self.directory) in words:
                    os.kill(int(path.name), signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)


@pytest.fixture
def host():
    self = Host()
    yield self
    self.close()


@pytest.fixture
def events(host):
    with Events(host.events_path) as self:
        yield self


# start, -info, -v ---------------------------------------------------------------------------------


@GENERATIONS
def test_start(host, generation):
    shim = host.shim(generation).start()
    assert shim.version == (2 if generation == 1 else 3)
    assert shim.address == f"unix://{shim.socket_path()}"
    assert (shim.bundle / "address").exists() == (generation == 1)
    assert oct(shim.socket_path().stat().st_mode & 0o777) == "0o600"
    pid = shim.shim_pid()
    assert shim.start().shim_pid() == pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: not connects(shim), "death of the daemon")
    assert shim.socket_path().exists()
    assert shim.start().shim_pid() != pid


@GENERATIONS
def test_info_and_version(host, generation):
    shim = host.shim(generation)
    assert shim.binary.name in shim.run("-v").stdout.decode()
    result = shim.run("-info")
    if generation == 1:
        assert result.returncode == 2
        assert b"flag provided but not defined: -info" in result.stderr
    else:
        info = decode(result.stdout)
        assert text(info, 1) == f"io.containerd.{NAMES[generation]}.v2"
        assert text(sub(info, 2), 1)


def test_stdin_of_each_generation(host):
    options = encode({1: "containerd.runc.v1.Options", 2: b""})
    params = encode({1: "t-1", 2: "default"})
    other = encode({1: "t-2", 2: "default"})
    for generation, stdin, error in [
        (1, options, None), (1, params, "type with url t-1: not found"),
        (2, options, None), (2, params, None), (2, b"\xff\xff", None),
        (3, params, None), (3, b"", "deprecated API"), (3, options, "deprecated API"),
        (3, other, "do not match"),
    ]:
        shim = host.shim(generation, task_id="t-1")
        result = shim.run("start", stdin=stdin)
        assert (result.returncode == 0) == (error is None), (generation, stdin, result)
        assert (error or "").encode() in result.stderr
        shim.bundle.rename(host.directory / f"done-{len(host.shims)}")


def test_generation_by_annotation_and_versions(host):
    shim = host.shim(1, generation=2, task_version=2)
    answer = json.loads(shim.run("start").stdout)
    assert answer["version"] == 2
    with Client(answer["address"], 2) as client:
        assert client.code("Connect") == OK
    shim = host.shim(2, task_id="t-2", serve_version=2).start()
    assert shim.version == 3
    with shim.client() as client:
        assert client.code("Connect") == UNIMPLEMENTED
    with Client(shim.address, 2) as client:
        assert client.code("Connect") == OK


def test_start_that_misbehaves(host):
    def wish(text):
        return host.shim(1, task_id=f"t-{len(host.shims)}", start=text)

    assert wish("garbage").run("start").stdout.startswith(b"\xff")
    assert wish("empty").run("start").stdout == b""
    result = wish("exit1").run("start")
    assert (result.returncode, result.stdout) == (1, b"")
    assert b"told to fail" in result.stderr
    shim = wish("stderr-noise").start()
    assert shim.shim_pid() > 0
    shim = wish("die-after").start()
    with pytest.raises(ConnectionRefusedError):
        shim.client()
    shim = wish("exit1-alive")
    assert shim.run("start").returncode == 1
    with Client(str(shim.socket_path()), 2) as client:
        assert client.code("Connect") == OK
    with pytest.raises(subprocess.TimeoutExpired):
        wish("hang").run("start", timeout=0.3)
    shim = wish("delay(200)")
    before = time.monotonic()
    shim.start()
    assert time.monotonic() - before >= 0.2
    result = host.shim(1, task_id="env").run("start", env={"SHIMD_FAKE_START": "exit1"})
    assert result.returncode == 1


def test_log(host):
    shim = host.shim(1)
    (shim.bundle / "log").unlink()
    shim.start()
    until(lambda: not connects(shim), "death of a daemon without a log")
    shim = host.shim(1, task_id="t-2")
    os.close(shim.log)
    shim.log = os.open("/dev/null", os.O_RDONLY)
    shim.start()
    with shim.client() as client:
        stream = client.send("Connect", {})
        with pytest.raises(TimeoutError):
            client.take(stream, 0.2)
        reader = os.open(shim.bundle / "log", os.O_RDONLY | os.O_NONBLOCK)
        client.take(stream)
        os.close(reader)


def connects(shim):
    try:
        shim.client().sock.close()
        return True
    except (ConnectionRefusedError, FileNotFoundError):
        return False


def test_record(host):
    record = host.directory / "record"
    shim = host.shim(3, record=record).start()
    with shim.client() as client:
        client.call("Connect", {1: "t-1"})
        client.code("State", {1: "t-1"})
    os.kill(shim.shim_pid(), signal.SIGKILL)
    (shim.bundle / "log").unlink()
    shim.run("-bundle", str(shim.bundle), "delete")
    shim.run("start", stdin=shim.stdin())
    started = f"start t-1 stdin={len(shim.stdin())}"
    assert record.read_text().splitlines() == [
        f"{started} log=read", "Connect t-1", "State t-1", "Connect t-1",
        f"delete t-1 cwd={shim.bundle} bundle={shim.bundle}", f"{started} log=missing"]


# Life of a task -----------------------------------------------------------------------------------


@GENERATIONS
def test_life(host, events, generation):
    shim = host.shim(generation, ["/bin/sh", "-c", "echo out; echo err >&2; exit 7"]).start()
    out, err = host.directory / "out", host.directory / "err"
    readers = []
    for path in out, err:
        os.mkfifo(path)
        readers.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    with shim.client() as client:
        pid = shim.create(client, fields={6: str(out), 7: str(err)})
        assert (shim.bundle / "init.pid").read_text() == str(pid)
        assert {"runtime", "options.json", "log.json"} <= {p.name for p in shim.bundle.iterdir()}
        state = client.call("State", {1: "t-1"})
        assert number(state, 4) == 1 and number(state, 3) == pid and text(state, 6) == str(out)
        assert seconds(state, 10) == YEAR_1
        wait = client.send("Wait", {1: "t-1"})
        assert number(client.call("Start", {1: "t-1"}), 1) == pid
        assert number(client.take(wait), 1) == 7
        state = client.call("State", {1: "t-1"})
        assert number(state, 4) == 3 and number(state, 9) == 7
        assert abs(seconds(state, 10) - time.time()) < 60
        assert not client.call("Pids", {1: "t-1"})
        assert number(client.call("Wait", {1: "t-1"}), 1) == 7
        assert client.code("Kill", {1: "t-1", 3: 9}) == NOT_FOUND
        answer = client.call("Delete", {1: "t-1"})
        assert number(answer, 1) == pid and number(answer, 2) == 7
        assert client.code("Delete", {1: "t-1"}) == NOT_FOUND
        assert client.code("State", {1: "t-1"}) == NOT_FOUND
        got = events.wait_for(4)
        assert client.code("Shutdown", {1: "t-1"}) == OK
    until(lambda: not shim.socket_path().exists(), "end of the socket")
    assert [os.read(reader, 100) for reader in readers] == [b"out\n", b"err\n"]
    for reader in readers:
        assert os.read(reader, 100) == b""
        os.close(reader)
    assert [topic for topic, _, _ in got] == [f"/tasks/{t}" for t in ("create", "start", "exit", "delete")]
    assert [kind for _, kind, _ in got] == [f"containerd.events.Task{t}"
                                            for t in ("Create", "Start", "Exit", "Delete")]
    created, _, exited, deleted = (event for _, _, event in got)
    assert number(created, 6) == number(exited, 3) == number(deleted, 2) == pid
    assert text(exited, 2) == "t-1" and number(exited, 4) == 7
    assert text(deleted, 5) == "" and number(deleted, 3) == 7


def test_refusals(host):
    shim = host.shim(2).start()
    with shim.client() as client:
        assert client.code("Start", {1: "t-1"}) == NOT_FOUND
        assert number(client.call("Connect", {1: "nobody"}), 2) == 0
        assert client.code("Nonsense") == UNIMPLEMENTED
        assert client.code("State", service="containerd.task.v1.Task") == UNIMPLEMENTED
        assert client.code("State", payload=b"\x0a\xff") == INTERNAL
        client.next = 100
        assert client.code("State") == INVALID_ARGUMENT
        client.next = 1
        assert client.code("State") == INVALID_ARGUMENT
        client.next = 201
        assert client.code("State", payload=bytes(4 * 1024 * 1024)) == RESOURCE_EXHAUSTED
        assert client.code("Create", {1: "t-1", 2: str(shim.bundle), 10: {1: "no.such.Type"}}) == UNKNOWN
        shim.create(client)
        for method in "Create", "Pause", "Resume":
            assert client.code(method, {1: "t-1", 2: str(shim.bundle)}) == UNKNOWN
        assert client.code("Start", {1: "t-1"}) == OK
        assert client.code("Start", {1: "t-1"}) == UNKNOWN
        assert client.code("Delete", {1: "t-1"}) == UNKNOWN
        assert client.code("Kill", {1: "t-1", 3: 999}) == UNKNOWN
        assert client.code("Kill", {1: "t-1", 3: 0}) == OK
        assert client.code("Exec", shim.exec_fields("e", ["/bin/true"])) == OK
        assert client.code("Exec", shim.exec_fields("e", ["/bin/true"])) == ALREADY_EXISTS
        assert client.code("Start", {1: "t-1", 2: "nobody"}) == NOT_FOUND
        assert client.code("Update", {1: "t-1", 2: {2: "{no json"}}) == UNKNOWN
        assert client.code("Update", {1: "t-1", 2: {2: "{}"}}) == OK
        assert client.code("Shutdown", {1: "t-1"}) == OK  # and ignored
        assert number(client.call("State", {1: "t-1"}), 4) == 2


def test_missing_executable(host, events):
    shim = host.shim(1, ["no-such-program"]).start()
    with shim.client() as client:
        with pytest.raises(Error, match="executable file not found in") as error:
            shim.create(client)
        assert error.value.code == UNKNOWN
        assert client.code("State", {1: "t-1"}) == NOT_FOUND
        client.code("Shutdown", {1: "t-1"})
    assert not events.topics()


def test_exec(host, events):
    shim = host.shim(2).start()
    with shim.client() as client:
        shim.create(client)
        client.call("Start", {1: "t-1"})
        client.call("Exec", shim.exec_fields("e-1", ["sh", "-c", "exit 5"]))
        assert text(client.call("State", {1: "t-1", 2: "e-1"}), 1) == "e-1"
        pid = number(client.call("Start", {1: "t-1", 2: "e-1"}), 1)
        assert (shim.bundle / "e-1.pid").read_text() == str(pid)
        assert number(client.call("Wait", {1: "t-1", 2: "e-1"}), 1) == 5
        assert number(client.call("Delete", {1: "t-1", 2: "e-1"}), 2) == 5

        client.call("Exec", shim.exec_fields("bad", ["no-such-program"]))
        assert client.code("Start", {1: "t-1", 2: "bad"}) == UNKNOWN
        answer = client.call("Wait", {1: "t-1", 2: "bad"})
        assert number(answer, 1) == 0 and seconds(answer, 2) == YEAR_1
        assert client.code("Delete", {1: "t-1", 2: "bad"}) == OK

        client.call("Exec", shim.exec_fields("e-2", ["sleep", "1000"]))
        client.call("Start", {1: "t-1", 2: "e-2"})
        processes = [decode(p) for p in client.call("Pids", {1: "t-1"})[1]]
        assert len(processes) == 2
        assert text(decode(sub(processes[1], 2)[2][0]), 1) == "e-2"
        client.call("Kill", {1: "t-1", 3: 9})
        assert number(client.call("Wait", {1: "t-1"}), 1) == 137
        assert number(client.call("Wait", {1: "t-1", 2: "e-2"}), 1) == 137
    topics = [(topic, text(event, 2)) for topic, _, event in events.wait_for(10) if "ex" in topic]
    assert topics[0:3] == [("/tasks/exec-added", "e-1"), ("/tasks/exec-started", "e-1"), ("/tasks/exit", "e-1")]
    assert topics[3] == ("/tasks/exec-added", "bad")
    assert topics[-2:] == [("/tasks/exit", "e-2"), ("/tasks/exit", "t-1")]


def test_pause_resume_stats(host, events):
    shim = host.shim(1).start()
    with shim.client() as client:
        pid = shim.create(client)
        client.call("Start", {1: "t-1"})
        assert client.code("Pause", {1: "t-1"}) == OK
        assert number(client.call("State", {1: "t-1"}), 4) == 4
        until(lambda: pathlib.Path(f"/proc/{pid}/stat").read_text().split()[2] == "T", "the stop")
        assert client.code("Pause", {1: "t-1"}) == UNKNOWN
        assert client.code("Exec", shim.exec_fields("e", ["true"])) == UNKNOWN
        assert client.code("Resume", {1: "t-1"}) == OK
        assert client.code("Resume", {1: "t-1"}) == UNKNOWN
        stats = sub(client.call("Stats", {1: "t-1"}), 1)
        assert text(stats, 1) == "io.containerd.cgroups.v1.Metrics"
        assert number(sub(sub(stats, 2), 2), 1) == 1

        def memory():  # none for a moment, in the middle of an execve
            metrics = sub(sub(client.call("Stats", {1: "t-1"}), 1), 2)
            return number(sub(sub(metrics, 4), 33), 2)

        until(memory, "some memory")
        client.call("Pause", {1: "t-1"})
        client.call("Kill", {1: "t-1", 3: 9})
        assert number(client.call("Wait", {1: "t-1"}), 1) == 137
        until(lambda: events.topics()[2:4] == ["/tasks/paused", "/tasks/resumed"], "both are told")


def test_stdin_and_close_io(host):
    shim = host.shim(1, ["/bin/cat"]).start()
    paths = {3 + i: host.directory / f"io-{i}" for i in (2, 3, 4)}
    for path in paths.values():
        os.mkfifo(path)
    readers = [os.open(paths[field], os.O_RDONLY | os.O_NONBLOCK) for field in (6, 7)]
    with shim.client() as client:
        shim.create(client, fields={field: str(path) for field, path in paths.items()})
        client.call("Start", {1: "t-1"})
        writer = os.open(paths[5], os.O_WRONLY)
        os.write(writer, b"hello")
        os.close(writer)
        os.set_blocking(readers[0], True)
        assert os.read(readers[0], 100) == b"hello"
        wait = client.send("Wait", {1: "t-1"})
        with pytest.raises(TimeoutError):
            client.take(wait, 0.1)  # the writer's end alone is not the input's end
        client.call("CloseIO", {1: "t-1", 3: 1})
        assert number(client.take(wait), 1) == 0
        assert os.read(readers[0], 100) == b""
    for reader in readers:
        os.close(reader)


def test_streams_that_fail(host):
    shim = host.shim(1, stdio_timeout=100).start()
    out = host.directory / "out"
    os.mkfifo(out)
    with shim.client() as client:
        assert client.code("Create", {1: "t-1", 2: str(shim.bundle), 6: str(out)}) == UNKNOWN
        leaked = int((shim.bundle / "init.pid").read_text())
        shim.pids.append(leaked)
        assert is_alive(leaked)
        before = time.monotonic()
        fields = {1: "t-1", 2: str(shim.bundle), 6: str(out), 7: str(out)}
        assert client.code("Create", fields) == ttrpc.DEADLINE_EXCEEDED
        shim.pids.append(int((shim.bundle / "init.pid").read_text()))
        assert time.monotonic() - before >= 0.1
        assert client.code("State", {1: "t-1"}) == NOT_FOUND
    file = host.directory / "logs" / "file"
    shim = host.shim(1, ["/bin/sh", "-c", "echo a; echo b >&2"], task_id="t-2").start()
    with shim.client() as client:
        shim.create(client, fields={6: f"file://{file}"})
        client.call("Start", {1: "t-2"})
        client.call("Wait", {1: "t-2"})
    assert file.read_text() == "a\nb\n"


def test_terminal(host):
    shim = host.shim(1, ["/bin/sh", "-c", "read x; stty size; echo got $x; tty >/dev/null"]).start()
    paths = {field: host.directory / f"io-{field}" for field in (5, 6)}
    for path in paths.values():
        os.mkfifo(path)
    reader = os.open(paths[6], os.O_RDONLY | os.O_NONBLOCK)
    with shim.client() as client:
        shim.create(client, fields={4: 1, **{field: str(path) for field, path in paths.items()}})
        client.call("Start", {1: "t-1"})
        client.call("ResizePty", {1: "t-1", 3: 132, 4: 43})
        with open(paths[5], "wb", buffering=0) as writer:
            writer.write(b"word\n")
            assert number(client.call("Wait", {1: "t-1"}), 1) == 0
    os.set_blocking(reader, True)
    out = b""
    while more := os.read(reader, 100):
        out += more
    os.close(reader)
    assert b"43 132\r\n" in out and b"got word\r\n" in out


def test_checkpoint_and_restore(host):
    shim = host.shim(1).start()
    image = host.directory / "image"
    with shim.client() as client:
        shim.create(client)
        client.call("Start", {1: "t-1"})
        assert client.code("Checkpoint", {1: "t-1", 2: str(image)}) == UNKNOWN
        image.mkdir()
        assert client.code("Checkpoint", {1: "t-1", 2: str(image)}) == OK
        options = {1: "containerd.runc.v1.CheckpointOptions", 2: {1: 1}}
        assert client.code("Checkpoint", {1: "t-1", 2: str(image), 3: options}) == OK
        assert number(client.call("Wait", {1: "t-1"}), 1) == 137
        client.call("Delete", {1: "t-1"})
        assert shim.create(client, fields={8: str(image)}) == 0
        pid = number(client.call("Start", {1: "t-1"}), 1)
        shim.pids.append(pid)
        assert is_alive(pid)


def test_delete_of_a_created_task(host, events):
    shim = host.shim(1).start()
    with shim.client() as client:
        pid = shim.create(client)
        answer = client.call("Delete", {1: "t-1"})
        assert number(answer, 2) == 0 and seconds(answer, 3) == YEAR_1
        until(lambda: not is_alive(pid), "death of the made process")
        got = events.wait_for(3)
        assert sorted(topic for topic, _, _ in got) == ["/tasks/create", "/tasks/delete", "/tasks/exit"]
        assert [number(e, 4) for topic, _, e in got if topic == "/tasks/exit"] == [137]


def test_what_crashes_a_real_shim(host):
    for method, fields in [
        ("Exec", {2: "e"}), ("Update", {}),
        ("Create", {2: "x", 10: {1: "containerd.runc.v1.CheckpointOptions"}}),
    ]:
        task_id = f"crash-{method.lower()}"
        shim = host.shim(1, task_id=task_id).start()
        with shim.client() as client:
            if method != "Create":
                pid = shim.create(client)
            with pytest.raises((EOFError, ConnectionResetError)):
                client.call(method, {1: task_id, **fields})
        until(lambda: not connects(shim), "end of the daemon")
        assert method == "Create" or is_alive(pid)


# Groups, the end, and after it --------------------------------------------------------------------


@GENERATIONS
def test_group(host, generation):
    first = host.shim(generation, task_id="a", group="pod").start()
    second = host.shim(generation, task_id="b", group="pod").start()
    assert first.address == second.address == f"unix://{first.socket_path('pod')}"
    assert first.shim_pid() == second.shim_pid()
    with first.client() as client:
        for shim in first, second:
            shim.create(client)
            client.call("Start", {1: shim.id})
        for shim in first, second:
            assert client.code("Shutdown", {1: shim.id}) == OK
            client.call("Kill", {1: shim.id, 3: 9})
            client.call("Wait", {1: shim.id})
            client.call("Delete", {1: shim.id})
        pid = number(client.call("Connect"), 1)
        client.call("Shutdown", {1: "b"})
    until(lambda: not is_alive(pid), "end of the daemon")
    assert first.socket_path("pod").exists() == (generation > 1)


@GENERATIONS
def test_delete_verb(host, events, generation):
    shim = host.shim(generation).start()
    with shim.client() as client:
        pid = shim.create(client)
        client.call("Start", {1: "t-1"})
        client.call("Exec", shim.exec_fields("e", ["sleep", "1000"]))
        exec_pid = number(client.call("Start", {1: "t-1", 2: "e"}), 1)
        shim.pids.append(exec_pid)
    before = len(events.wait_for(4))
    os.kill(shim.shim_pid(), signal.SIGKILL)
    until(lambda: not connects(shim), "death of the daemon")
    assert is_alive(pid) and is_alive(exec_pid)
    result = shim.run("-bundle", str(shim.bundle), "delete", cwd=host.directory)
    if generation == 1:
        assert result.returncode == 1
    else:
        assert number(decode(result.stdout), 1) == 0xFFFFFFFF
    assert is_alive(pid)
    for _ in range(2):
        result = shim.run("-bundle", str(shim.bundle), "delete")
        assert result.returncode == 0, result
        answer = decode(result.stdout)
        assert number(answer, 1) == pid and number(answer, 2) == 137
        assert abs(seconds(answer, 3) - time.time()) < 60
    assert not is_alive(pid) and not is_alive(exec_pid)
    assert len(events.topics()) == before
    assert shim.socket_path().exists()


def test_sigterm_leaves_the_container(host):
    shim = host.shim(1).start()
    with shim.client() as client:
        pid = shim.create(client)
    os.kill(shim.shim_pid(), signal.SIGTERM)
    until(lambda: not shim.socket_path().exists(), "end of the socket")
    assert is_alive(pid)


# Faults -------------------------------------------------------------------------------------------


def test_fault_terms(host):
    shim = host.shim(1, fail__State="1*off->2*error(first)->1*error(5:not there)").start()
    with shim.client() as client:
        shim.create(client)
        seen = []
        for _ in range(5):
            try:
                client.call("State", {1: "t-1"})
                seen.append(OK)
            except Error as error:
                seen.append((error.code, error.message))
        assert seen == [OK, (UNKNOWN, "first"), (UNKNOWN, "first"), (NOT_FOUND, "not there"), OK]


def test_fault_that_cannot_be_understood(host):
    shim = host.shim(1, fail__State="1*nonsense")
    shim.run("start")
    until(lambda: b"cannot understand" in (read_log(shim) or b""), "a line in the log")


def read_log(shim):
    try:
        return os.read(shim.log, 4096)
    except BlockingIOError:
        return None


def test_containerds_own_annotation(host):
    shim = host.shim(1)
    config = json.loads((shim.bundle / "config.json").read_text())
    config["annotations"]["io.containerd.runtime.v2.shim.failpoint.Create"] = "1*error(please retry)"
    (shim.bundle / "config.json").write_text(json.dumps(config))
    shim.start()
    with shim.client() as client:
        with pytest.raises(Error, match="please retry"):
            shim.create(client)
        shim.create(client)


def test_faults_that_answer_late_or_never(host):
    shim = host.shim(1, fail__Pause="1*delay(150)", fail__Resume="1*late(150)", fail__Stats="1*hang",
                     fail__Kill="1*mute").start()
    with shim.client() as client, shim.client() as other:
        shim.create(client)
        client.call("Start", {1: "t-1"})
        before = time.monotonic()
        client.call("Pause", {1: "t-1"})
        assert time.monotonic() - before >= 0.15
        resume = client.send("Resume", {1: "t-1"})
        until(lambda: number(other.call("State", {1: "t-1"}), 4) == 2, "the resumption")
        client.take(resume)
        hanging = client.send("Stats", {1: "t-1"})
        assert client.code("Stats", {1: "t-1"}) == OK
        mute = client.send("Kill", {1: "t-1", 3: 9})
        assert number(client.call("Wait", {1: "t-1"}), 1) == 137
        for stream in hanging, mute:
            with pytest.raises(TimeoutError):
                client.take(stream, 0.05)


def test_faults_that_end_the_connection(host):
    shim = host.shim(1, fail__Pause="1*close", fail__Resume="1*lost").start()
    with shim.client() as client:
        shim.create(client)
        client.call("Start", {1: "t-1"})
        with pytest.raises((EOFError, ConnectionResetError)):
            client.call("Pause", {1: "t-1"})
    with shim.client() as client:
        assert number(client.call("State", {1: "t-1"}), 4) == 2  # not done
        client.call("Pause", {1: "t-1"})
        with pytest.raises((EOFError, ConnectionResetError)):
            client.call("Resume", {1: "t-1"})
    with shim.client() as client:
        assert number(client.call("State", {1: "t-1"}), 4) == 2  # done


@pytest.mark.parametrize("kind, is_done", [("panic", False), ("panic(boom)", False), ("died", True)])
def test_faults_that_kill_the_daemon(host, kind, is_done):
    shim = host.shim(1, fail__Create=f"1*{kind}").start()
    with shim.client() as client:
        with pytest.raises((EOFError, ConnectionResetError)):
            shim.create(client)
    until(lambda: not connects(shim), "death of the daemon")
    assert (shim.bundle / "init.pid").exists() == is_done
    if is_done:
        shim.pids.append(int((shim.bundle / "init.pid").read_text()))


def test_garbage_and_oversize(host):
    shim = host.shim(1, fail__Connect="1*garbage->1*oversize").start()
    with shim.client() as client:
        client.send("Connect", {})
        _, _, body = ttrpc.receive_frame(client.sock)
        with pytest.raises((AssertionError, IndexError)):
            decode(body)
        client.send("Connect", {})
        assert ttrpc.receive(client.sock, 4) > (4 * 1024 * 1024).to_bytes(4, "big")


def test_second_of_a_group_has_faults_of_its_own(host):
    first = host.shim(1, task_id="a", group="pod", fail__Kill="error(of a)").start()
    second = host.shim(1, task_id="b", group="pod", fail__State="error(of b)").start()
    with first.client() as client:
        for shim in first, second:
            shim.create(client)
        assert client.code("State", {1: "a"}) == OK
        with pytest.raises(Error, match="of b"):
            client.call("State", {1: "b"})
        with pytest.raises(Error, match="of a"):
            client.call("Kill", {1: "a", 3: 9})
        assert client.code("Kill", {1: "b", 3: 9}) == OK


# Events -------------------------------------------------------------------------------------------


def run_once(shim):
    shim.start()
    with shim.client() as client:
        shim.create(client)
        client.call("Start", {1: "t-1"})
        client.call("Wait", {1: "t-1"})
        client.call("Delete", {1: "t-1"})


@pytest.mark.parametrize("mode, expected", [
    ("reorder", ["start", "create", "delete", "exit"]),
    ("duplicate", ["create", "create", "start", "start", "exit", "exit", "delete", "delete"]),
    ("drop", ["create", "exit"]),
    ("drop(/tasks/exit)", ["create", "start", "delete"]),
    ("delay(100)", ["create", "start", "exit", "delete"]),
])
def test_events_that_misbehave(host, events, mode, expected):
    run_once(host.shim(1, ["/bin/true"], events=mode))
    events.wait_for(len(expected))
    assert events.topics() == [f"/tasks/{topic}" for topic in expected]


def test_no_events(host, events):
    run_once(host.shim(1, ["/bin/true"], events="none"))
    time.sleep(0.1)
    assert not events.topics()


def test_refused_event_is_overtaken(host):
    def answer(topic, attempt):
        return 14 if topic == "/tasks/start" and attempt == 1 else OK

    with Events(host.events_path, answer) as events:
        run_once(host.shim(1, ["/bin/true"]))
        events.wait_for(4)
        assert events.topics()[0] == "/tasks/create"
        assert events.topics()[-1] == "/tasks/start"


def test_event_is_sent_again_when_the_connection_is_lost(host):
    with Events(host.events_path, lambda topic, attempt: "close" if attempt == 1 else OK) as events:
        run_once(host.shim(1, ["/bin/true"]))
        events.wait_for(4)
        assert events.topics() == [f"/tasks/{t}" for t in ("create", "start", "exit", "delete")]
        assert set(events.attempts.values()) == {2}


def test_listener_that_comes_late(host):
    run_once(host.shim(1, ["/bin/true"]))
    with Events(host.events_path) as events:
        events.wait_for(4)
        assert events.topics() == [f"/tasks/{t}" for t in ("create", "start", "exit", "delete")]
