"""shimctl and ctr behind one face, so that a case is written once and played with both.

What a command prints, and whether it succeeds, must be the same with both. A refusal has a class: shimctl tells it with
its exit status; ctr always ends with 1 and has it, sometimes, at the end of its sentence.
"""

import json
import os
import pathlib
import re
import signal
import subprocess

from cluster import until
from shimd_client import oci_spec

SECONDS = 90
EXIT_STATUS = {  # shimctl's, of each class
    "error": 1, "not found": 3, "already exists": 4, "failed precondition": 5, "invalid argument": 6,
}
CLASS = re.compile(": (not found|already exists|failed precondition|invalid argument|unavailable|not implemented)$")
EXITED_WITH = re.compile("exit with non-zero exit code ([0-9]+)")


class Tool:
    """Commands, and the few things that they have no words for."""

    def run(self, *words, **options):
        options = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL, "timeout": SECONDS, "env": self.env, **options}
        return subprocess.run(self.command(*words), check=False, **options)

    def popen(self, *words, **options):
        return subprocess.Popen(self.command(*words), **{"text": True, "env": self.env, **options})

    def ok(self, *words, **options):
        done = self.run(*words, **options)
        assert done.returncode == 0, (words, done)
        return done.stdout

    def refusal(self, kind, *words, **options):
        """The sentence of a command that must be refused so; "error" is every class that has no name here."""
        done = self.run(*words, **options)
        sentence = done.stderr.strip().splitlines()[-1]
        assert done.stdout == "" and sentence.startswith(f"{self.name}: "), (words, done)
        self.check_refusal(kind, done, sentence)
        return sentence

    def detached(self, name, *command, options=()):
        """A container that runs without us."""
        self.ok("run", "-d", *options, "--rootfs", self.rootfs(), name, *command)
        return name

    def tasks(self):
        """Pid and status by id, as both print them."""
        lines = self.ok("tasks", "list").splitlines()
        assert lines[0].split() == ["TASK", "PID", "STATUS"]
        return {name: (int(pid), status) for name, pid, status in map(str.split, lines[1:])}

    def pid(self, name):
        return self.tasks()[name][0]

    def status(self, name):
        return self.tasks()[name][1]

    def await_stopped(self, name):
        until(lambda: self.status(name) == "STOPPED", f"{name} has stopped", SECONDS)

    def pids(self, name):
        """What `tasks ps` prints of each process, by pid."""
        lines = self.ok("tasks", "ps", name).splitlines()
        assert lines[0].split() == ["PID", "INFO"]
        return {int(pid): info for pid, info in (line.split(None, 1) for line in lines[1:])}

    def shim_pid(self, name):
        stat = pathlib.Path(f"/proc/{self.pid(name)}/stat").read_text()
        return int(stat.rpartition(")")[2].split()[1])

    def rootfs(self):
        return self.cluster.rootfs()

    def remove_all(self):
        """What a failed test has left; whether there was anything."""
        tasks, containers = (self.ok(what, "list", "-q").split() for what in ("tasks", "containers"))
        for task in tasks:
            self.run("tasks", "delete", "-f", task)
        for container in containers:
            self.run("containers", "delete", container)
        return tasks + containers


class Shimctl(Tool):
    name = "shimctl"

    def __init__(self, cluster):
        self.cluster = cluster
        self.command, self.env = cluster.command, None
        self.log = cluster.log
        self.namespace = "default"
        self.bundles = cluster.run / "task/default"
        self.runc_root = cluster.run / "runc/default"

    def check_refusal(self, kind, done, _sentence):
        assert done.returncode == EXIT_STATUS[kind] and done.stderr.count("\n") == 1, done

    def delete(self, name):
        """Deletes a task that has stopped; its exit code."""
        code = int(self.ok("tasks", "wait", name))
        self.ok("tasks", "delete", name)
        return code

    def restart_daemon(self):
        """All processes of the cluster, by force."""
        for row in self.cluster.status().values():
            os.kill(row["pid"], signal.SIGKILL)
        self.cluster.stop()
        self.cluster.start()

    def shims_parent(self):
        """Of whose oom_score_adj a shim's follows."""
        return self.cluster.pid("shim")


class Ctr(Tool):
    name = "ctr"

    def __init__(self, containerd, cluster):
        self.containerd, self.cluster = containerd, cluster
        self.command, self.env = containerd.command, containerd.env
        self.log = containerd.log
        self.namespace = containerd.namespace
        self.bundles = containerd.home / "state/io.containerd.runtime.v2.task" / self.namespace
        self.runc_root = pathlib.Path("/run/containerd/runc") / self.namespace

    def check_refusal(self, kind, done, sentence):
        told = CLASS.search(sentence)
        assert done.returncode == 1 and (not told or told[1] == kind), done

    def delete(self, name):
        """As above: ctr tells the code in a warning."""
        done = self.run("tasks", "delete", name)
        assert done.returncode == 0, done
        told = EXITED_WITH.search(done.stderr)
        return int(told[1]) if told else 0

    def restart_daemon(self):
        self.containerd.end(signal.SIGKILL)
        self.containerd.start()

    def shims_parent(self):
        return self.containerd.process.pid


def end(tool, *names):
    """Takes away what runs."""
    for name in names:
        tool.ok("tasks", "delete", "-f", name)
        tool.ok("containers", "delete", name)


def config(tool, args, **changes):
    """A spec of our own, in a file; both take one with --config."""
    path = tool.cluster.dir / "config.json"
    path.write_text(json.dumps({**oci_spec("c", tool.rootfs(), args), **changes}))
    return path


def namespaces(*kinds):
    """The part of a spec that has these and no other."""
    return {"namespaces": [{"type": kind} for kind in kinds]}
