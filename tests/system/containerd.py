"""A containerd of the tests' own, with which ours is compared: nothing is shared with one that the machine may run.

Its shims have their sockets and runc its state in /run/containerd, whatever the configuration says; tests/system/run
makes that a private directory.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

START_SECONDS = 60
WAIT_SECONDS = 60


def need(condition, reason):
    """Skips loudly what this machine cannot do; fails where everything must be tested."""
    if condition:
        return
    if os.environ.get("SHIMD_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip("NOT TESTED: " + reason)


def need_containerd():
    need(os.geteuid() == 0, "containerd needs root")
    for program in ("containerd", "ctr"):
        need(shutil.which(program), f"{program} is not installed")
    version = subprocess.run(["containerd", "--version"], capture_output=True, text=True, check=True)
    need(" 1.6." in version.stdout, f"containerd 1.6 is compared with, not {version.stdout.strip()}")


class Containerd:
    """`start` returns when it answers."""

    def __init__(self):
        # A container's cgroup is /NAMESPACE/ID, of which the machine has only one.
        self.namespace = f"shimd-{os.getpid()}"
        self.env = {**os.environ, "CONTAINERD_NAMESPACE": self.namespace}
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="containerd-"))
        self.address = str(self.home / "c.sock")
        self.config = self.home / "config.toml"
        self.config.write_text(
            "version = 2\n"
            f'root = "{self.home}/root"\n'
            f'state = "{self.home}/state"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]\n'
            f'[grpc]\naddress = "{self.address}"\n',
            encoding="utf-8",
        )
        self.log_path = self.home / "log"
        self.process = None

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(["containerd", "--config", str(self.config)], stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while self.ctr("--connect-timeout", "1s", "version").returncode:
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"containerd does not come up:\n{self.log()[-2000:]}")
        return self

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def command(self, *args):
        return ["ctr", "--address", self.address, *map(str, args)]

    def ctr(self, *args, **options):
        options = {"capture_output": True, "text": True, "timeout": WAIT_SECONDS, "env": self.env, **options}
        return subprocess.run(self.command(*args), check=False, **options)

    def end(self, number=signal.SIGTERM):
        """Containers go on."""
        self.process.send_signal(number)
        try:
            self.process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def destroy(self):
        """Also what a failed test has left."""
        try:
            for ns in self.ctr("namespaces", "list", "-q").stdout.split():
                for task in self.ctr("-n", ns, "tasks", "list", "-q").stdout.split():
                    self.ctr("-n", ns, "tasks", "delete", "-f", task)
        finally:
            self.end()
            shutil.rmtree(self.home)
