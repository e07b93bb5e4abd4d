"""From kill -9 of a process to the next answer through it, with few and with many tasks loaded.

A client that is connected already asks at the moment of the kill; for containerd, and for our supervisor, the
bench is the service manager that starts it again at once. Tasks are those of the misbehaving shim on its best
behaviour (tests/fake-shim), so that hundreds of them fit on a small machine; containerd gets the same shim.
"""

import concurrent.futures
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import cluster as clusters
from cluster import PROCESSES, WAIT_SECONDS, Cluster, until

KILLS, CONTAINERD_KILLS = 200, 20
COUNTS = (0, 50, 500)
# What goes through the process and nothing that waits for more than it.
QUESTIONS = {"broker": "broker.ping", "bundle": "bundle.get", "shim": "task.get", "metadata": "container.get", "supervisor": "task.get"}
SETTINGS = "restart\n    intensity = 1000\n"  # every kill is followed by a start at once
FIRST = "bench-0"


def percentiles(values):
    values = sorted(values)
    return values[len(values) // 2], values[min(len(values) - 1, len(values) * 99 // 100)]


def fake_spec(home, name):
    """An OCI configuration of a process that reads a fifo, which is how that shim's containers end."""
    gate = home / f"gate-{name}"
    os.mkfifo(gate)
    process = {"args": ["/bin/sh", "-c", f"read code < {gate}; exit $code"], "env": ["PATH=/usr/bin:/bin"],
               "cwd": "/", "user": {"uid": 0, "gid": 0}}
    return {"ociVersion": "1.0.2", "process": process, "root": {"path": str(home)}}


class Loaded:
    """A cluster with so many running tasks, and a client that is connected."""

    def __init__(self, build, count):
        clusters.BIN = build / "bin"
        self.cluster = Cluster()
        self.cluster.bin = build / "bin"
        self.shim = str(build / "tests/fake-shim/containerd-shim-fake-v2")
        self.cluster.start(config=SETTINGS)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(self.fill, range(max(1, count))))
        if count == 0:  # the questions need a record; its task may be gone
            self.cluster.client().call("task.kill", {"id": FIRST, "signal": int(signal.SIGKILL)}, "default")
        program = [build / "tests/recovery_bench", f"ipc://{self.cluster.run}/client.sock"]
        self.asker = subprocess.Popen(list(map(str, program)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def fill(self, number):
        client, name = self.cluster.client(), f"bench-{number}"
        spec = json.dumps(fake_spec(self.cluster.dir, name)).encode()
        client.call("container.create", {"id": name, "runtime": self.shim, "spec": spec}, "default")
        client.call("task.create", {"id": name}, "default", timeout=60)
        client.call("task.start", {"id": name}, "default", timeout=60)
        client.close()
        self.cluster.clients.remove(client)

    def ask(self, pid, method):
        self.asker.stdin.write(f"{pid} {method} default {FIRST}\n")
        self.asker.stdin.flush()
        return int(self.asker.stdout.readline()) / 1e3

    def kill(self, process):
        """Milliseconds to the next answer."""
        method = QUESTIONS[process]
        pid = self.cluster.supervisor.pid if process == "supervisor" else self.client.call("cluster.status")
        if process != "supervisor":
            pid = next(row["pid"] for row in pid["processes"] if row["name"] == process)
            return self.ask(pid, method)
        begun = time.monotonic()
        self.cluster.supervisor.kill()
        self.cluster.supervisor.wait()
        self.cluster.start(config=SETTINGS, wait=False)
        self.ask(0, method)
        return (time.monotonic() - begun) * 1e3

    def measure(self, process, kills):
        self.client = self.cluster.client()
        self.ask(0, QUESTIONS[process])
        found = []
        for _ in range(kills):
            found.append(self.kill(process))
            until(self.all_ready, "all are ready", 60)
        return found

    def all_ready(self):
        rows = self.client.call("cluster.status", timeout=60)["processes"]
        return sum(row["state"] == "READY" for row in rows) == len(PROCESSES) + 1

    def stop(self):
        self.asker.stdin.close()
        self.asker.wait(WAIT_SECONDS)
        self.cluster.destroy()


def start_containerd(config, log, path):
    with open(log, "ab") as output:
        return subprocess.Popen(["containerd", "--config", str(config)], stdin=subprocess.DEVNULL, stdout=output,
                                stderr=output, env={**os.environ, "PATH": path})


def bench_containerd(build, count, kills, template):
    """(milliseconds to the first `ctr tasks ls` that succeeds, of one without a kill)."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="shimd-bench-"))
    state, config = home / "state", home / "config.toml"
    config.write_text(template.format(root=home / "root", state=state))
    path = f"{build / 'tests/fake-shim'}:{os.environ['PATH']}"
    ctr = ["ctr", "--address", str(state / "containerd.sock"), "--namespace", "bench"]

    def answers():
        done = subprocess.run([*ctr, "tasks", "ls", "-q"], capture_output=True, text=True, check=False)
        return done.returncode == 0 and len(done.stdout.split()) == count

    process = start_containerd(config, home / "log", path)
    try:
        until(answers if not count else lambda: (state / "containerd.sock").exists(), "containerd")
        for number in range(count):
            file = home / f"spec-{number}.json"
            file.write_text(json.dumps(fake_spec(home, f"bench-{number}")))
            subprocess.run([*ctr, "run", "-d", "--null-io", "--runtime", "io.containerd.fake.v2", "--config", str(file), f"bench-{number}"],
                           check=True, capture_output=True)
        times, idle = [], []
        for _ in range(kills):
            begun = time.monotonic()
            until(answers, "an answer")
            idle.append((time.monotonic() - begun) * 1e3)
            begun = time.monotonic()
            process.kill()
            process.wait()
            process = start_containerd(config, home / "log", path)
            until(answers, "an answer", 120)
            times.append((time.monotonic() - begun) * 1e3)
        return times, idle
    finally:
        ids = subprocess.run([*ctr, "tasks", "ls", "-q"], capture_output=True, text=True, check=False).stdout.split()
        if ids:
            subprocess.run([*ctr, "tasks", "rm", "-f", *ids], capture_output=True, check=False, timeout=300)
        process.terminate()
        process.wait(WAIT_SECONDS)
        subprocess.run(["umount", "-l", *map(str, state.glob("*/*/*/rootfs"))], capture_output=True, check=False)
        shutil.rmtree(home, ignore_errors=True)


def bench_recovery(build, containerd_template, counts=COUNTS, kills=KILLS):
    print(f"milliseconds from kill -9 to the next answer, of {kills} kills     p50        p99")
    for count in counts:
        loaded = Loaded(build, count)
        try:
            for process in QUESTIONS:
                found = loaded.measure(process, kills)
                print("  {:4} tasks, {:12} {:14} {:20.1f} {:10.1f}".format(count, process, QUESTIONS[process], *percentiles(found)), flush=True)
        finally:
            loaded.stop()
    if not shutil.which("containerd"):
        return
    kills = min(kills, CONTAINERD_KILLS)
    for count in counts:
        times, idle = bench_containerd(build, count, kills, containerd_template)
        print("  {:4} tasks, containerd   ctr tasks ls   {:20.1f} {:10.1f}   (of {}; without a kill {:.1f})".format(
            count, *percentiles(times), kills, percentiles(idle)[0]), flush=True)
