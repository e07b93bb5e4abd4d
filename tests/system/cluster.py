"""A whole cluster in directories of its own, for tests, and the proof that it leaves nothing behind."""

import contextlib
import functools
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import msgpack

SOURCE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("SHIMD_BUILD_DIR") or SOURCE / "build")
BIN = pathlib.Path(os.environ.get("SHIMD_BIN_DIR") or BUILD / "bin")
SHIM_SOCKETS = pathlib.Path("/run/containerd/s")  # where shims put theirs; fixed in their code
PROCESSES = ["broker", "bundle", "shim", "metadata"]
NOT_FOUND = 5  # status
WAIT_SECONDS = 20

sys.path.insert(0, str(SOURCE / "examples"))
from shimd_client import Client, Refused  # noqa: E402  (the example is the tests' client too)

BUSYBOX = pathlib.Path("/bin/busybox")
COMMANDS = "sh cat echo env false true id kill ls mount ps pwd sleep stty test touch tty umount yes head sync wc".split()


def process_children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as children:
        return [int(child) for child in children.read().split()]


@functools.cache
def sanitized():
    """Whether the build is one in which everything takes longer and needs more memory."""
    return any(name in (BIN / "shimctl").read_bytes() for name in (b"__asan_init", b"__tsan_init"))


def until(condition, what, seconds=WAIT_SECONDS):
    """The first true value of the condition."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds} s: {what}")


def fastest(call, *args, tries=5, **fields):
    """Seconds that the quickest of some calls took: a busy machine may hold up any one of them."""
    taken = []
    for _ in range(tries):
        begun = time.monotonic()
        call(*args, **fields)
        taken.append(time.monotonic() - begun)
    return min(taken)


def process_ids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def command_of(pid):
    """The arguments of a process; none when it is gone or a zombie."""
    try:
        return (pathlib.Path("/proc") / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def root_of(pid):
    try:
        return os.readlink(f"/proc/{pid}/root")
    except OSError:
        return ""


def is_alive(pid):
    return bool(command_of(pid))


def listening_paths():
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as table:
        return {line.split()[7] for line in table if len(line.split()) > 7}


def shim_sockets():
    return set(SHIM_SOCKETS.iterdir()) if SHIM_SOCKETS.is_dir() else set()


class Cluster:
    """The supervisor and all that it starts. `start` returns when every process is ready."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="shimd-"))
        self.run, self.root = self.dir / "run", self.dir / "root"
        self.log_path = self.dir / "log"
        self.bin = BIN  # of shimd and what it starts
        self.sockets_before = shim_sockets()
        self.supervisor = None
        self.clients = []

    # Life

    def start(self, *more, config=None, wait=True, log=None):
        """`log` is a descriptor that takes the place of the file that is logged to."""
        command = [self.bin / "shimd", "--run-dir", self.run, "--root-dir", self.root, "--libexec-dir", self.bin]
        if config:
            (self.dir / "shimd.conf").write_text(config)
            command += ["--config", self.dir / "shimd.conf"]
        with open(self.log_path, "ab") as file:
            stderr = file if log is None else log
            self.supervisor = subprocess.Popen([*map(str, command), *more], stderr=stderr, stdin=subprocess.DEVNULL)
        if wait:
            until(lambda: (self.run / "client.sock").exists() or self.ended(), "client.sock")
            assert not self.ended(), self.log()
            self.await_ready()
        return self

    def ended(self):
        return self.supervisor.poll() is not None

    def await_ready(self, seconds=WAIT_SECONDS):
        """Every process is READY, and each answers."""
        client = self.client()

        def all_ready():
            try:
                rows = client.call("cluster.status", timeout=2)["processes"]
            except Refused:
                return False
            return {row["name"] for row in rows if row["state"] == "READY"} >= {"supervisor", *PROCESSES}

        until(all_ready, "cluster ready", seconds)

    def stop(self, number=signal.SIGTERM):
        """The supervisor's exit code. Containers go on."""
        for client in self.clients:
            client.close()
        self.clients = []
        if not self.ended():
            self.supervisor.send_signal(number)
        return self.supervisor.wait(WAIT_SECONDS)

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    # Talking to it

    def client(self):
        self.clients.append(Client(str(self.run)))
        return self.clients[-1]

    def command(self, *args):
        return [str(BIN / "shimctl"), "--run-dir", str(self.run), *map(str, args)]

    def shimctl(self, *args, timeout=90, **options):
        options = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL, **options}
        return subprocess.run(self.command(*args), timeout=timeout, **options)

    def status(self):
        """Rows of cluster.status by name."""
        return {row["name"]: row for row in self.client().call("cluster.status", timeout=10)["processes"]}

    def pid(self, name):
        return self.status()[name]["pid"]

    def keeper(self):
        """The pid of the process that keeps the connections to shims; None when there is none."""
        for pid in process_children(self.supervisor.pid):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/comm", encoding="utf-8") as comm:
                if comm.read().strip() == "shimd-keeper":
                    return pid
        return None

    def kill(self, name, number=signal.SIGKILL):
        """Sends a signal to one of the processes; its pid."""
        pid = self.pid(name)
        os.kill(pid, number)
        return pid

    def await_successor(self, name, pid, seconds=WAIT_SECONDS):
        def successor():
            row = self.status()[name]
            return row["pid"] if row["state"] == "READY" and row["pid"] != pid else None

        return until(successor, f"another {name} than {pid}", seconds)

    @contextlib.contextmanager
    def worker_away(self, is_away=True):
        """What happens meanwhile the shim worker's successor has to find out."""
        worker = self.kill("shim", signal.SIGSTOP) if is_away else None
        yield
        if worker:
            os.kill(worker, signal.SIGKILL)
            self.await_successor("shim", worker)

    def ask_in_vain(self, method, body):
        """Worker and broker die when it is done and nobody was told; nobody sends it again. Its id."""
        point = f"shim.{method}-before-record"
        hits = self.run / "failpoints" / f"{point}.hits"
        hits.unlink(missing_ok=True)
        (self.run / "failpoints" / point).write_text("1*delay(60000)")
        request, worker, client = os.urandom(16), self.pid("shim"), self.client()
        header = {"v": 1, "id": request, "first": True, "method": method, "ns": "default"}
        client.socket.send_multipart([msgpack.packb(header), msgpack.packb(body)])
        until(hits.exists, "it is done, and nobody was told")
        self.await_successor("broker", self.kill("broker"))
        os.kill(worker, signal.SIGKILL)
        self.await_successor("shim", worker)
        return request

    # What containers need

    def rootfs(self, name="rootfs"):
        """A directory with busybox and its commands; the same one when it was made before."""
        path = self.dir / name
        if path.exists():
            return path
        for part in ("bin", "proc", "sys", "dev", "tmp", "etc", "root"):
            (path / part).mkdir(parents=True, exist_ok=True)
        shutil.copy(BUSYBOX, path / "bin/busybox")
        for command in COMMANDS:
            (path / "bin" / command).symlink_to("busybox")
        (path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n")
        (path / "etc/group").write_text("root:x:0:\nuser:x:1000:\n")
        return path

    # What is left

    def processes(self):
        """Processes that name our directory in their arguments or live on a root file system in it."""
        mine = str(self.dir)
        return {
            pid: command_of(pid)
            for pid in process_ids()
            if pid != os.getpid()
            and (any(mine in argument for argument in command_of(pid)) or root_of(pid).startswith(mine))
        }

    def mounts(self):
        with open("/proc/self/mountinfo", encoding="utf-8") as table:
            return [line.split()[4] for line in table if line.split()[4].startswith(str(self.dir))]

    def dead_sockets(self):
        """Shim sockets that came during the test and that nobody listens on; live ones may be others'."""
        new = shim_sockets() - self.sockets_before
        return {path for path in new if str(path) not in listening_paths()}

    def remove_tasks(self):
        """Deletes every task and container by force, as far as the cluster still answers."""
        client = self.client()
        for task in client.call("task.list", {"all": True})["tasks"] if not self.ended() else []:
            try:
                client.call("task.delete", {"id": task["id"], "force": True}, task["ns"], timeout=30)
            except Refused as refused:
                if refused.status != NOT_FOUND:  # one whose shim has died goes by itself
                    raise

    def cgroups(self):
        """Directories of our containers' cgroups; the path has a hash of the run directory in it."""
        name = "shimd-" + hashlib.sha1(str(self.run).encode()).hexdigest()[:12]
        return list(pathlib.Path("/sys/fs/cgroup").glob(f"*/{name}")) + list(pathlib.Path("/sys/fs/cgroup").glob(name))

    def leftovers(self):
        found = {
            "processes": self.processes(), "mounts": self.mounts(), "sockets": self.dead_sockets(),
            "cgroups": self.cgroups(),
        }
        return {what: rows for what, rows in found.items() if rows}

    def destroy(self):
        """Stops everything, takes away by force what is left, and fails if there was anything."""
        try:
            if self.supervisor and not self.ended():
                self.remove_tasks()
        finally:
            if self.supervisor:
                self.stop()
            end = time.monotonic() + 5  # a deletion is answered before its shim has ended
            while (left := self.leftovers()) and time.monotonic() < end:
                time.sleep(0.02)
            log = self.log()
            for pid in left.get("processes", {}):
                os.kill(pid, signal.SIGKILL)
            for mount in reversed(left.get("mounts", [])):
                subprocess.run(["umount", "-l", mount], check=False)
            shutil.rmtree(self.dir, ignore_errors=True)
        assert not left, f"left behind: {left}"
        assert "Sanitizer" not in log and "runtime error:" not in log, log


def detached(cluster, name, script, *options):
    """A container that a client has started and left; its name."""
    done = cluster.shimctl("run", "-d", *options, "--rootfs", cluster.rootfs(name), name, "/bin/sh", "-c", script)
    assert done.returncode == 0, done.stderr
    return name
