"""The supervisor, with doubles in place of the processes it starts.

Each test has a run directory, a root directory and a supervisor of its own. The doubles
(tests/doubles/worker_double.py) say what they were given and misbehave when told to; tests about
cluster.status and cluster.restart take the real broker.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time

import msgpack
import pytest
import zmq

SOURCE = pathlib.Path(__file__).parents[2]
BIN = pathlib.Path(os.environ.get("SHIMD_BUILD_DIR") or SOURCE / "build") / "bin"
DOUBLE = SOURCE / "tests/doubles/worker_double.py"
NAMES = ["broker", "bundle", "shim", "metadata"]
SOCKETS = ["client.sock", "events.sock", "publish.sock", "shim-events.sock", "worker.sock"]
WAIT_SECONDS = 15
UNAVAILABLE, INVALID_ARGUMENT, FAILED_PRECONDITION = 14, 3, 9


def until(condition, what, seconds=WAIT_SECONDS):
    """The first true value of the condition."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    raise AssertionError(f"not within {seconds} s: {what}")


def state_of(pid):
    """The state letter of a process, "" when there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def is_alive(pid):
    return state_of(pid) not in ("", "Z")


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


class Cluster:
    """A run and a root directory, the four executables, and at most one supervisor."""

    def __init__(self, broker="double"):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="shimd-"))
        self.run, self.root = self.dir / "run", self.dir / "root"
        self.libexec = self.dir / "libexec"
        self.config = self.dir / "shimd.conf"
        self.program = BIN / "shimd"
        self.log_path = self.dir / "log"
        self.libexec.mkdir()
        for name in NAMES:
            real = name == "broker" and broker == "real"
            target = BIN / "shimd-broker" if real else DOUBLE
            (self.libexec / f"shimd-{name}").symlink_to(target)
        self.process = None

    def command(self, *more):
        config = ["--config", str(self.config)] if self.config.exists() else []
        dirs = ["--run-dir", str(self.run), "--root-dir", str(self.root)]
        own = ["--libexec-dir", str(self.libexec), "--log-level", "debug"]
        return [str(self.program), *dirs, *own, *config, *more]

    def restart_settings(self, **settings):
        lines = [f"    {key.replace('_', '-')} = {value}\n" for key, value in settings.items()]
        self.config.write_text("restart\n" + "".join(lines))

    def start(self, *more, ready=True, **options):
        log = open(self.log_path, "ab")
        with log:
            self.process = subprocess.Popen(self.command(*more), stderr=log, **options)
        if ready:
            self.await_log("cluster ready: ")
        return self

    def fails(self, *more, seconds=WAIT_SECONDS, **options):
        """Exit code and last line of a supervisor that is expected to end by itself."""
        done = subprocess.run(
            self.command(*more), capture_output=True, text=True, timeout=seconds, **options
        )
        assert done.returncode != 0
        return done.returncode, done.stderr.strip().rpartition("\n")[2]

    def mode(self, name, mode):
        self.run.mkdir(mode=0o711, exist_ok=True)
        (self.run / f"shimd-{name}.mode").write_text(mode)

    def log(self):
        return self.log_path.read_text() if self.log_path.exists() else ""

    def await_log(self, text, count=1, seconds=WAIT_SECONDS):
        until(lambda: self.log().count(text) >= count or self.ended(), text, seconds)
        assert self.log().count(text) >= count, self.log()

    def ended(self):
        return self.process and self.process.poll() is not None

    def seen(self, name):
        """What each process of that name wrote, oldest first."""
        try:
            text = (self.run / f"shimd-{name}.seen").read_text()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.splitlines(keepends=True) if line[-1] == "\n"]

    def pid(self, name):
        return self.seen(name)[-1]["pid"]

    def await_process(self, name, count, seconds=WAIT_SECONDS):
        until(lambda: len(self.seen(name)) >= count, f"{count} times {name}", seconds)
        return self.seen(name)[count - 1]

    def inheritable(self):
        """The supervisor's descriptors that what it executes would be given."""
        infos = {int(path.name): path.read_text() for path in pathlib.Path(f"/proc/{self.process.pid}/fdinfo").iterdir()}
        flags = {fd: int(re.search(r"flags:\s*(\d+)", text)[1], 8) for fd, text in infos.items()}
        return {fd for fd, value in flags.items() if not value & os.O_CLOEXEC}

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(WAIT_SECONDS)

    def destroy(self):
        if self.process and not self.ended():
            self.process.kill()
            self.process.wait()
        for name in NAMES:
            for pid in [seen["pid"] for seen in self.seen(name)]:
                self.kill_leftover(pid)
        shutil.rmtree(self.dir)

    def kill_leftover(self, pid):
        """A supervisor that is broken leaves processes; a test does not, whatever it found."""
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                is_ours = str(self.run).encode() in file.read().split(b"\0")
            if is_ours:
                os.kill(pid, signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            pass


@contextlib.contextmanager
def made(**options):
    cluster = Cluster(**options)
    try:
        yield cluster
    finally:
        cluster.destroy()


@pytest.fixture(name="cluster")
def cluster_fixture():
    with made() as cluster:
        yield cluster


@pytest.fixture(name="real")
def real_fixture():
    with made(broker="real") as cluster:
        yield cluster


class Client:
    def __init__(self, cluster, name="client.sock"):
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(f"ipc://{cluster.run}/{name}")

    def send(self, method, body=None):
        """The frames, to be sent again by whoever wants to."""
        header = {"v": 1, "id": os.urandom(16), "method": method}
        frames = [msgpack.packb(header), msgpack.packb(body or {})]
        self.socket.send_multipart(frames)
        return frames

    def ask(self, method, body=None, seconds=WAIT_SECONDS):
        """(status, message, answer). It is sent again, as every client does: the broker may have died with it."""
        frames = self.send(method, body)
        ident, end = msgpack.unpackb(frames[0])["id"], time.monotonic() + seconds
        while time.monotonic() < end:
            while self.socket.poll(min(2, seconds) * 1000):
                header, answer = (msgpack.unpackb(frame) for frame in self.socket.recv_multipart())
                if header["id"] == ident:
                    return header.get("status", 0), header.get("message", ""), answer
            self.socket.send_multipart(frames)
        raise AssertionError(f"{method}: no answer")

    def answer(self, method, seconds=WAIT_SECONDS):
        assert self.socket.poll(seconds * 1000), f"{method}: no answer"
        header, answer = (msgpack.unpackb(frame) for frame in self.socket.recv_multipart())
        return header.get("status", 0), header.get("message", ""), answer

    def processes(self):
        status, message, answer = self.ask("cluster.status")
        assert (status, message) == (0, "")
        return {row["name"]: row for row in answer["processes"]}


# ---------------------------------------------------------------------------- what is made


def test_directories_and_sockets_have_their_modes(cluster):
    cluster.start(umask=0o077)
    assert mode_of(cluster.run) == 0o711
    assert mode_of(cluster.run / "task") == 0o711
    assert mode_of(cluster.root) == 0o711
    assert mode_of(cluster.root / "task") == 0o711
    assert mode_of(cluster.root / "metadata") == 0o700
    found = sorted(path.name for path in cluster.run.iterdir() if path.is_socket())
    assert found == SOCKETS
    assert {mode_of(cluster.run / name) for name in SOCKETS} == {0o600}
    assert (cluster.run / "shimd.lock").read_text() == f"{cluster.process.pid}\n"


def test_sockets_are_private_whatever_the_umask(cluster):
    cluster.start(umask=0)
    assert {mode_of(cluster.run / name) for name in SOCKETS} == {0o600}
    assert mode_of(cluster.run) == 0o711


@pytest.mark.parametrize("by", ["option", "file"])
def test_socket_group(cluster, by):
    if by == "file":
        cluster.config.write_text("socket-group = 4\n")
    cluster.start(*(["--socket-group", "4"] if by == "option" else []))
    shared = {"client.sock", "events.sock"}
    for name in SOCKETS:
        info = os.stat(cluster.run / name)
        wanted = (0o660, 4) if name in shared else (0o600, os.getegid())
        assert (stat.S_IMODE(info.st_mode), info.st_gid) == wanted


def test_processes_get_what_is_theirs_and_nothing_else(cluster):
    keep, other = os.pipe()
    os.set_inheritable(keep, True)
    environment = {
        **os.environ,
        "NOTIFY_SOCKET": "/nonexistent",
        "LISTEN_FDS": "7",
        "LISTEN_PID": "1",
        "WATCHDOG_USEC": "1",
        "SHIMD_TEST": "1",
    }
    cluster.start(env=environment, pass_fds=[keep])
    os.close(keep)
    os.close(other)
    sockets = {
        "broker": ["client.sock", "worker.sock", "publish.sock", "events.sock"],
        "metadata": ["shim-events.sock"],
        "bundle": [],
        "shim": [],
    }
    for name, wanted in sockets.items():
        seen = cluster.seen(name)[0]
        assert list(seen["sockets"]) == wanted
        assert all(path == f"{cluster.run}/{name}" for name, path in seen["sockets"].items())
        # Its sockets, where it says it is ready, the lock of its folder, and whom it gives what must outlive it.
        kinds = ["socket"] * len(wanted) + ["pipe", "other", "socket"]
        assert seen["fds"] == {str(3 + i): kind for i, kind in enumerate(kinds)}
        assert ("LISTEN_FDS" in seen["env"]) == bool(wanted)
        assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC"} & set(seen["env"])
        assert "SHIMD_TEST" in seen["env"]
        assert seen["own_group"] and seen["blocked"] == 0
        options = dict(zip(seen["argv"][::2], seen["argv"][1::2]))
        assert options["--run-dir"] == str(cluster.run)
        assert options["--root-dir"] == str(cluster.root)
        assert options["--log-level"] == "debug"


# ---------------------------------------------------------------------------- deaths


@pytest.mark.parametrize("name", NAMES)
def test_killed_process_is_replaced_at_once(cluster, name):
    cluster.start()
    first = cluster.pid(name)
    began = time.time()
    os.kill(first, signal.SIGKILL)
    second = cluster.await_process(name, 2)
    assert second["time"] - began < 1
    cluster.await_log(f"{name}: process {first} killed by SIGKILL after")
    cluster.await_log(f"{name}: ready, process {second['pid']}")
    assert [len(cluster.seen(other)) for other in NAMES if other != name] == [1, 1, 1]


def test_early_deaths_wait_longer_and_longer(cluster):
    cluster.restart_settings(first_delay=40, last_delay=160, attempts=5, failed_delay=1)
    cluster.mode("bundle", "early")
    cluster.start(ready=False)
    cluster.await_log("bundle: failed: ")
    cluster.await_log("exited with 3 after", count=5)
    assert "before it was ready" in cluster.log()
    times = [seen["time"] for seen in cluster.seen("bundle")]
    gaps = [later - sooner for sooner, later in zip(times, times[1:])]
    for gap, least in zip(gaps, [0.04, 0.08, 0.16, 0.16]):
        assert gap >= least
    assert len(cluster.seen("shim")) == 1
    cluster.mode("bundle", "")
    cluster.await_log("cluster ready: ")
    assert len(cluster.seen("bundle")) == 6


def test_process_that_never_gets_ready_is_killed(cluster):
    cluster.restart_settings(start_timeout=1, first_delay=10)
    cluster.mode("shim", "mute")
    cluster.start(ready=False)
    cluster.await_log("is STARTING for too long and is killed")
    cluster.mode("shim", "")
    cluster.await_log("cluster ready: ")
    assert "killed by SIGKILL" in cluster.log()


def test_deaths_after_ready_do_not_become_a_storm(cluster):
    cluster.restart_settings(intensity=3, period=60)
    cluster.mode("metadata", "brief")
    cluster.start(ready=False)
    cluster.await_log("metadata: READY -> BACKOFF")
    assert len(cluster.seen("metadata")) == 4
    cluster.await_process("metadata", 6)
    times = [seen["time"] for seen in cluster.seen("metadata")]
    assert times[4] - times[3] >= 0.5 and times[5] - times[4] >= 0.5
    assert "metadata: failed" not in cluster.log()


def test_what_cannot_be_executed_is_said(cluster):
    cluster.restart_settings(first_delay=10)
    path = cluster.libexec / "shimd-shim"
    path.unlink()
    path.write_text("neither a program nor a script\n")
    path.chmod(0o755)
    cluster.start(ready=False)
    cluster.await_log("could not be executed: Exec format error")
    path.unlink()
    path.symlink_to(DOUBLE)
    cluster.await_log("cluster ready: ")


def test_connecting_never_fails_while_a_process_is_replaced(cluster):
    cluster.start()
    path = str(cluster.run / "shim-events.sock")
    connected = 0
    for round_ in range(10):
        os.kill(cluster.pid("metadata"), signal.SIGKILL)
        while len(cluster.seen("metadata")) < round_ + 2:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(1)  # a double accepts nobody: the backlog must not fill up
                client.connect(path)
                connected += 1
            time.sleep(0.001)
    assert connected > 10


def test_orphans_are_reaped(cluster):
    cluster.mode("shim", "orphan")
    cluster.start()
    cluster.await_log("inherited process ")
    assert " exited with 5" in cluster.log()
    pid = cluster.process.pid
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
        assert len(file.read().split()) == 4 + 1, "and the keeper"


def test_rubbish_from_the_broker_is_survived(cluster):
    cluster.mode("broker", "rubbish")
    cluster.start()
    rounds = cluster.run / "rubbish"
    until(lambda: rounds.exists() and len(rounds.read_text()) >= 3, "three rounds of rubbish")
    first = cluster.pid("shim")
    os.kill(first, signal.SIGKILL)
    cluster.await_process("shim", 2)
    assert not cluster.ended()
    assert cluster.stop() == 0


# ---------------------------------------------------------------------------- one at a time


def test_second_supervisor_is_refused(cluster):
    cluster.start()
    code, text = cluster.fails()
    first = cluster.process.pid
    assert (code, text) == (1, f"shimd: another shimd (pid {first}) runs in {cluster.run}")
    assert not cluster.ended()
    assert sorted(p.name for p in cluster.run.iterdir() if p.is_socket()) == SOCKETS
    assert all(len(cluster.seen(name)) == 1 for name in NAMES)


def test_killed_supervisor_leaves_nobody_and_is_followed_at_once(cluster):
    cluster.start()
    old = [cluster.pid(name) for name in NAMES]
    cluster.process.kill()
    cluster.process.wait()
    began = time.monotonic()
    cluster.start(ready=False)
    cluster.await_log("cluster ready: ", count=2)
    assert time.monotonic() - began < 8
    assert not [pid for pid in old if is_alive(pid)]
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(cluster.run / "client.sock"))


def test_successor_waits_for_the_last_of_its_predecessor(cluster):
    cluster.run.mkdir(mode=0o711)
    with open(cluster.run / "shimd.lock", "w", encoding="utf-8") as remains:
        fcntl.flock(remains, fcntl.LOCK_EX)
        cluster.start(ready=False)
        time.sleep(0.3)
        assert not cluster.ended() and not cluster.seen("shim")
        fcntl.flock(remains, fcntl.LOCK_UN)
        cluster.await_log("cluster ready: ")


def test_successor_does_not_wait_for_ever(cluster):
    cluster.run.mkdir(mode=0o711)
    with open(cluster.run / "shimd.lock", "w", encoding="utf-8") as remains:
        remains.write("4711\n")
        remains.flush()
        fcntl.flock(remains, fcntl.LOCK_EX)
        code, text = cluster.fails()
    assert code == 1
    assert text == f"shimd: processes of an earlier shimd (pid 4711) still run in {cluster.run}"


def test_two_clusters_side_by_side(cluster):
    with made() as other:
        cluster.start()
        other.start()
        assert other.stop() == 0
        assert not cluster.ended()


# ---------------------------------------------------------------------------- the way out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_leaves_nothing(cluster, number):
    cluster.start()
    pids = [cluster.pid(name) for name in NAMES]
    assert cluster.stop(number) == 0
    assert not [pid for pid in pids if state_of(pid)]
    assert not [path for path in cluster.run.iterdir() if path.is_socket()]
    assert (cluster.run / "shimd.lock").read_text() == ""
    log = cluster.log()
    stopping = ["shim", "bundle", "metadata", "broker"]
    order = [log.index(f"{name}: STOPPING -> DOWN") for name in stopping]
    assert order == sorted(order)
    cluster.start(ready=False)
    cluster.await_log("cluster ready: ", count=2)


def test_deaf_process_is_killed_on_the_way_out(cluster):
    cluster.restart_settings(stop_timeout=1)
    cluster.mode("bundle", "deaf")
    cluster.start()
    pid = cluster.pid("bundle")
    assert cluster.stop() == 0
    assert f"process {pid} is STOPPING for too long and is killed" in cluster.log()
    assert not state_of(pid)


def test_busy_process_is_waited_for_by_its_successor(real):
    real.restart_settings(stop_timeout=1)
    real.mode("shim", "busy")
    real.start()
    pid, client = real.pid("shim"), Client(real)
    client.send("cluster.restart", {"process": "shim"})
    real.await_log("shim: READY -> STOPPING")
    assert not client.socket.poll(2500), "killed, or said to be restarted"
    real.mode("shim", "")
    (real.run / "shimd-shim.hang.new").write_text("end")
    (real.run / "shimd-shim.hang.new").rename(real.run / "shimd-shim.hang")
    assert client.answer("cluster.restart")[0] == 0
    assert f"process {pid} exited with 0" in real.log()


@pytest.mark.parametrize("how", ["it hangs", "the supervisor was replaced, and it hangs", "the cluster stops"])
def test_busy_process_is_killed_when(real, how):
    real.restart_settings(stop_timeout=1)
    real.mode("shim", "busy")
    real.start()
    pid, client = real.pid("shim"), Client(real)
    client.send("cluster.restart", {"process": "shim"})
    real.await_log("shim: READY -> STOPPING")
    if "replaced" in how:
        assert Client(real).ask("cluster.restart", {"process": "supervisor"})[0] == 0
        assert not client.socket.poll(1500), "killed, or said to be restarted"
    if "hangs" in how:
        real.mode("shim", "")
        (real.run / "shimd-shim.hang").touch()
        real.await_log("shim: ready", count=2)
    else:
        assert real.stop() == 0
    assert f"process {pid} is STOPPING for too long and is killed" in real.log()


def test_stop_while_a_process_fails_to_start(cluster):
    cluster.restart_settings(first_delay=5000, last_delay=5000)
    cluster.mode("metadata", "early")
    cluster.mode("shim", "mute")
    cluster.start(ready=False)
    cluster.await_log("metadata: STARTING -> BACKOFF")
    cluster.await_process("shim", 1)
    assert cluster.stop() == 0


def test_hangup_changes_nothing(cluster):
    cluster.start()
    cluster.process.send_signal(signal.SIGHUP)
    cluster.await_log("SIGHUP: nothing is reloaded")
    assert not cluster.ended() and len(cluster.seen("shim")) == 1


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_service_manager_is_told(cluster, kind):
    name = str(cluster.dir / "notify") if kind == "path" else f"@{cluster.dir}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0"))
        manager.settimeout(WAIT_SECONDS)
        cluster.mode("shim", "mute")
        cluster.restart_settings(start_timeout=1, first_delay=10)
        cluster.start(ready=False, env={**os.environ, "NOTIFY_SOCKET": name})
        cluster.await_log("bundle: ready")
        cluster.mode("shim", "")
        assert manager.recv(100) == b"READY=1"
        assert "shim: ready" in cluster.log()
        os.kill(cluster.pid("shim"), signal.SIGKILL)
        cluster.await_log("shim: ready", count=2)
        cluster.process.send_signal(signal.SIGTERM)
        assert manager.recv(100) == b"STOPPING=1"
        assert cluster.process.wait(WAIT_SECONDS) == 0


# ---------------------------------------------------------------------------- wrong from the start


def test_run_directory_too_long(cluster):
    cluster.run = cluster.dir / ("x" * 86)
    code, text = cluster.fails()
    assert code == 2 and "bytes long as an absolute name, the limit is 85" in text
    assert str(cluster.run) in text and not cluster.run.exists()
    done = subprocess.run(
        [BIN / "shimd"],
        env={"SHIMD_RUN_DIR": str(cluster.run)},
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert done.returncode == 2 and "SHIMD_RUN_DIR: run directory" in done.stderr


@pytest.mark.parametrize(
    "config, named",
    [
        ("colour = red\n", "unknown key colour"),
        ("restart\n    period = never\n", "restart/period = never"),
        ("socket-group = no-such-group\n", "socket group no-such-group: no such group"),
    ],
)
def test_bad_configuration_is_named(cluster, config, named):
    cluster.config.write_text(config)
    code, text = cluster.fails()
    assert code == 2 and named in text
    assert not cluster.run.exists()


def test_configuration_asked_for_must_exist(cluster):
    code, text = cluster.fails("--config", str(cluster.dir / "none.conf"))
    assert code == 1 and "none.conf: No such file" in text


@pytest.mark.parametrize("arguments", [["--colour"], ["extra"], ["--log-level", "loud"]])
def test_bad_arguments(cluster, arguments):
    code, _ = cluster.fails(*arguments)
    assert code == 2
    assert not cluster.run.exists()


def test_missing_executable(cluster):
    (cluster.libexec / "shimd-bundle").unlink()
    code, text = cluster.fails()
    assert code == 1 and f"{cluster.libexec}/shimd-bundle: No such file" in text


def test_installation_finds_its_processes_wherever_it_is_moved(cluster):
    """PREFIX/sbin/shimd and PREFIX/libexec/shimd/*, without being told."""
    (cluster.dir / "sbin").mkdir()
    shutil.copy(BIN / "shimd", cluster.dir / "sbin")
    (cluster.dir / "moved").mkdir()
    cluster.libexec.rename(cluster.dir / "moved/shimd")
    (cluster.dir / "moved").rename(cluster.dir / "libexec")
    command = cluster.command()
    at = command.index("--libexec-dir")
    command[0:1] = [str(cluster.dir / "sbin/shimd")]
    del command[at : at + 2]
    cluster.command = lambda *more: command
    cluster.start()
    assert cluster.stop() == 0


def test_file_in_the_way_is_left_alone(cluster):
    cluster.run.mkdir(mode=0o711)
    (cluster.run / "client.sock").write_text("precious")
    code, text = cluster.fails()
    assert code == 1 and "client.sock is in the way and is not a socket" in text
    assert (cluster.run / "client.sock").read_text() == "precious"
    assert not [path for path in cluster.run.iterdir() if path.is_socket()]


@pytest.mark.parametrize("which", ["run", "root"])
def test_directory_open_to_others_is_refused(cluster, which):
    path = getattr(cluster, which)
    path.mkdir()
    path.chmod(0o777)
    code, text = cluster.fails()
    assert code == 1 and f"{path} can be written to by others (mode 0777)" in text


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version(option):
    done = subprocess.run([BIN / "shimd", option], capture_output=True, text=True, check=True)
    assert done.stdout and not done.stderr


# ---------------------------------------------------------------------------- asked by clients


def test_cluster_status(real):
    real.start()
    client = Client(real)
    rows = client.processes()
    assert list(rows)[:2] == ["supervisor", "broker"] and set(rows) == {"supervisor", *NAMES}
    assert rows["supervisor"]["pid"] == real.process.pid
    for name in ["bundle", "shim", "metadata"]:
        assert rows[name]["pid"] == real.pid(name)
        assert rows[name]["state"] == "READY" and rows[name]["restarts"] == 0
        assert rows[name]["uptime_ms"] >= 0 and "obituary" not in rows[name]
    _, _, answer = client.ask("cluster.status")
    assert (answer["run_dir"], answer["root_dir"]) == (str(real.run), str(real.root))

    first = real.pid("shim")
    os.kill(first, signal.SIGKILL)
    real.await_log("shim: ready", count=2)
    row = client.processes()["shim"]
    assert row["restarts"] == 1 and row["pid"] == real.pid("shim") != first
    assert row["obituary"].startswith(f"process {first} killed by SIGKILL after")


def test_restart_is_answered_when_the_successor_is_ready(real):
    real.start()
    client = Client(real)
    first = real.pid("metadata")
    assert client.ask("cluster.restart", {"process": "metadata"})[0] == 0
    assert not state_of(first)
    row = client.processes()["metadata"]
    assert row["state"] == "READY" and row["pid"] == real.pid("metadata") != first


def test_restart_that_fails_says_why(real):
    real.restart_settings(first_delay=10, last_delay=10, attempts=2)
    real.start()
    real.mode("shim", "early")
    status, message, _ = Client(real).ask("cluster.restart", {"process": "shim"})
    assert status == UNAVAILABLE and "exited with 3" in message


def test_restart_of_what_is_not_there(real):
    real.start()
    status, message, _ = Client(real).ask("cluster.restart", {"process": "shimd"})
    assert status == INVALID_ARGUMENT and "process shimd: not broker" in message


def test_restart_of_the_broker_is_answered_by_it(real):
    real.start()
    client = Client(real)
    before = client.processes()["broker"]
    assert client.ask("cluster.restart", {"process": "broker"})[0] == 0
    real.await_log("broker: ready", count=2)
    after = Client(real).processes()["broker"]
    assert after["pid"] != before["pid"] and after["restarts"] == 1


def test_supervisor_takes_its_own_place(real):
    real.mode("bundle", "orphan")
    real.start()
    real.await_log("inherited process ")
    os.kill(real.pid("metadata"), signal.SIGKILL)
    real.await_log("metadata: ready", count=2)
    client = Client(real)
    before = client.processes()
    for count in (1, 2):
        assert client.ask("cluster.restart", {"process": "supervisor"})[0] == 0
        after = client.processes()
        own = after.pop("supervisor")
        assert (own["pid"], own["restarts"]) == (real.process.pid, count)
        for name, row in after.items():
            assert (row["pid"], row["state"], row["restarts"]) == (before[name]["pid"], "READY", before[name]["restarts"])
            assert row["uptime_ms"] >= before[name]["uptime_ms"] and row.get("obituary") == before[name].get("obituary")
    assert "another shimd (pid" in real.fails()[1], "the lock is held on"
    # It hears of deaths, and still is the one to whom orphans come.
    real.mode("shim", "orphan")
    os.kill(real.pid("shim"), signal.SIGKILL)
    real.await_log("shim: ready", count=2)
    real.await_log("inherited process ", count=2)
    descriptors = len(os.listdir(f"/proc/{real.process.pid}/fd"))
    assert client.ask("cluster.restart", {"process": "supervisor"})[0] == 0
    until(lambda: len(os.listdir(f"/proc/{real.process.pid}/fd")) <= descriptors, "no descriptor is left open")
    assert real.stop() == 0
    assert not [seen["pid"] for name in NAMES[1:] for seen in real.seen(name) if is_alive(seen["pid"])]


def test_restart_of_all(real):
    real.start()
    client = Client(real)
    before = client.processes()
    client.send("cluster.restart", {"process": "all"})
    real.await_log("broker: ready", count=2)
    after = Client(real).processes()
    assert {name: row["restarts"] for name, row in after.items()} == dict.fromkeys(after, 1)
    assert {name for name in after if after[name]["pid"] == before[name]["pid"]} == {"supervisor"}
    order = [real.log().index(f"{name}: restart asked for") for name in ["shim", "bundle", "metadata", "broker"]]
    assert order == sorted(order)


def test_what_cannot_start_replaces_nobody(real):
    """A supervisor that refused its configuration would take the whole cluster with it."""
    real.restart_settings(first_delay=10)
    real.start()
    before = Client(real).processes()
    real.config.write_text("colour = red\n")
    for process in ("supervisor", "all"):
        status, message, _ = Client(real).ask("cluster.restart", {"process": process})
        assert status == FAILED_PRECONDITION and "unknown key colour" in message
    real.config.write_text("")
    assert Client(real).ask("cluster.restart", {"process": "supervisor"})[0] == 0
    after = Client(real).processes()
    assert {name: row["pid"] for name, row in after.items()} == {name: row["pid"] for name, row in before.items()}


@contextlib.contextmanager
def about_to_be_replaced(real):
    """The successor's --check has ended, and the supervisor is held up for a moment before it knows."""
    hits = real.run / "failpoints/supervisor.reap-before.hits"
    hits.unlink(missing_ok=True)
    (real.run / "failpoints/supervisor.reap-before").write_text("1*delay(500)")
    client = Client(real)
    client.send("cluster.restart", {"process": "supervisor"})
    until(hits.exists, "the check has ended")
    yield client


def test_an_executable_that_is_gone_replaces_nobody(real):
    real.config.write_text("failpoints = on\n")
    real.program = pathlib.Path(shutil.copy(BIN / "shimd", real.dir))
    real.start()
    before = Client(real).processes()
    with about_to_be_replaced(real) as client:
        real.program.unlink()
    status, message, _ = client.answer("cluster.restart")
    assert status == UNAVAILABLE and "No such file" in message
    after = client.processes()
    assert {name: row["pid"] for name, row in after.items()} == {name: row["pid"] for name, row in before.items()}
    assert real.inheritable() <= {0, 1, 2}
    shutil.copy(BIN / "shimd", real.dir)
    assert client.ask("cluster.restart", {"process": "supervisor"})[0] == 0
    assert real.stop() == 0


def test_a_stop_while_it_takes_its_own_place(real):
    real.config.write_text("failpoints = on\n")
    real.start()
    with about_to_be_replaced(real):
        assert real.stop() == 0
    assert real.log().rstrip().endswith("stopped")


def test_a_restart_of_the_broker_while_it_takes_its_own_place(real):
    real.start()
    client = Client(real)
    assert client.ask("cluster.restart", {"process": "broker"})[0] == 0
    assert client.ask("cluster.restart", {"process": "supervisor"})[0] == 0
    real.await_log("broker: ready", count=2)


def test_check_says_whether_it_could_start(cluster):
    assert subprocess.run(cluster.command("--check"), check=True, capture_output=True).stderr == b""
    cluster.config.write_text("colour = red\n")
    assert "unknown key colour" in cluster.fails("--check")[1]
    assert not cluster.run.exists()


def test_broker_that_is_killed_is_told_apart_from_its_successor(real):
    real.start()
    for count in range(2, 6):
        rows = Client(real).processes()
        os.kill(rows["broker"]["pid"], signal.SIGKILL)
        real.await_log("broker: ready", count=count)
    assert Client(real).processes()["broker"]["restarts"] == 4


def test_broker_hears_of_a_death_at_once(real):
    """The worker's own connection stays open: only the supervisor can know."""
    real.start()
    pid = real.pid("shim")
    method = {"name": "task.get", "redelivery": "SAFE", "class": "READ", "seconds": 30}
    worker = Client(real, "worker.sock")
    worker.send("worker.ready", {"service": "shim", "pid": pid, "window": 4, "methods": [method]})
    client = Client(real)

    def served_by():
        services = client.ask("broker.status")[2]["services"]
        return {row["name"]: row["pid"] for row in services}.get("shim")

    until(lambda: served_by() == pid, "the broker knows the worker")
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    until(lambda: served_by() == 0, "the broker knows of its death")
    assert time.monotonic() - began < 2
