"""A shimd cluster and a private containerd side by side, laid out as both are by default: state in /run, the
rest on disk; the same shim, runc, root filesystem and OCI configuration. Nothing of them is left at the end."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/system"))
import cluster  # noqa: E402
from cluster import PROCESSES, WAIT_SECONDS, Cluster, command_of, process_ids, root_of, until  # noqa: E402

NAMESPACE = "bench"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

# As Debian's package runs it, less what has nothing to do with tasks: CRI would add to its memory, and the last
# makes directories in /opt.
CONTAINERD_CONFIG = """\
version = 2
root = "{root}"
state = "{state}"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "{state}/containerd.sock"
"""


class Containerd:
    def __init__(self, root, state, log):
        self.address = state / "containerd.sock"
        self.runc_root = state / "runc"
        root.mkdir()
        state.mkdir()
        config = root / "config.toml"
        config.write_text(CONTAINERD_CONFIG.format(root=root, state=state))
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                ["containerd", "--config", str(config)], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        until(lambda: subprocess.run(self.ctr("version"), capture_output=True, check=False).returncode == 0, "containerd")

    def ctr(self, *args):
        return ["ctr", "--address", str(self.address), "--namespace", NAMESPACE, *args]

    def pids(self):
        return {"containerd": self.process.pid}

    def remove_tasks(self):
        for kind, remove in (("tasks", ["rm", "-f"]), ("containers", ["rm"])):
            ids = subprocess.run(self.ctr(kind, "ls", "-q"), capture_output=True, text=True, check=False).stdout.split()
            if ids:
                subprocess.run(self.ctr(kind, *remove, *ids), capture_output=True, check=False, timeout=120)

    def stop(self):
        self.remove_tasks()
        self.process.terminate()
        self.process.wait(WAIT_SECONDS)


class Managers:
    def __init__(self, build, home, state):
        self.home, self.state, self.build = home, state, build
        self.containerd = Containerd(home / "containerd", state / "containerd", home / "containerd.log")
        cluster.BIN = build / "bin"
        self.cluster = Cluster()
        self.cluster.run = state / "shimd"
        self.cluster.start()

    def pids(self):
        """Of each manager its own processes, by name."""
        status = self.cluster.status()
        ours = {name: status[name]["pid"] for name in ("supervisor", *PROCESSES)}
        ours["keeper"] = self.cluster.keeper()
        return {"shimd": ours, "containerd": self.containerd.pids()}

    def spec(self, *args):
        """The path of an OCI configuration for both: containerd's default one, with this command."""
        spec = json.loads(subprocess.run(["ctr", "oci", "spec"], capture_output=True, check=True).stdout)
        spec["process"]["args"] = list(args)
        spec["root"] = {"path": str(self.cluster.rootfs()), "readonly": False}
        del spec["linux"]["cgroupsPath"]  # runc then makes one below our own, and no directory above it
        path = self.home / "config.json"
        path.write_text(json.dumps(spec))
        return path

    def ask(self, command, count, spec):
        """Runs manager_bench: its rows for each manager, and microseconds of processor it used itself."""
        endpoint = f"ipc://{self.cluster.run}/client.sock"
        program = [self.build / "tests/manager_bench", endpoint, self.containerd.address, self.containerd.runc_root]
        done = subprocess.run(
            [*map(str, program), str(spec), command, str(count)], stdout=subprocess.PIPE, text=True, timeout=600, check=True
        )
        rows, client = {"shimd": [], "containerd": []}, {}
        for line in done.stdout.splitlines():
            name, *numbers = line.split()
            if name == "client":
                client[numbers[0]] = int(numbers[1])
            else:
                rows[name].append([int(number) for number in numbers])
        return rows, client

    def stop(self):
        try:
            self.cluster.destroy()
        finally:
            self.containerd.stop()

    def remove_leftovers(self):
        """What a failed run leaves: processes that name our directories or live on a root in them, and cgroups."""
        places = (str(self.home), str(self.state), str(self.cluster.dir))
        for pid in process_ids():
            if pid != os.getpid() and (
                any(argument.startswith(places) for argument in command_of(pid)) or root_of(pid).startswith(places)
            ):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for cgroup in pathlib.Path("/sys/fs/cgroup").glob(f"**/*-bench-{os.getpgrp()}-*"):
            with contextlib.suppress(AssertionError):
                until(lambda directory=cgroup: remove_cgroup(directory), f"{cgroup} is empty")


def remove_cgroup(directory):
    try:
        directory.rmdir()
    except FileNotFoundError:
        pass
    except OSError:
        return False  # its processes are not gone yet
    return True


@contextlib.contextmanager
def both_managers(build):
    home = pathlib.Path(tempfile.mkdtemp(prefix="shimd-bench-"))
    state = pathlib.Path(tempfile.mkdtemp(prefix="shimd-bench-", dir="/run"))
    managers = None
    try:
        managers = Managers(build, home, state)
        yield managers
    except subprocess.CalledProcessError:
        for log in (home / "containerd.log", managers and managers.cluster.log_path):
            if log and log.exists():
                sys.stderr.write(log.read_text()[-2000:])
        raise
    finally:
        try:
            if managers:
                managers.stop()
        finally:
            if managers:
                managers.remove_leftovers()
            shutil.rmtree(home, ignore_errors=True)
            shutil.rmtree(state, ignore_errors=True)


def memory_of(pid):
    """(RSS, PSS) in kB."""
    fields = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return tuple(int(fields[name].split()[0]) for name in ("Rss", "Pss"))


def processor_seconds(pid):
    """What the process itself used, without its children."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
