"""Containers of the misbehaving shim (tests/fake-shim) in a cluster, and what that shim was asked.

A container of it is a process of this machine that reads a fifo and ends with the code that it finds there.
"""

import json
import os
import pathlib
import signal
import threading
import time

from cluster import BUILD, Refused, until

SHIMS = pathlib.Path(os.environ.get("SHIMD_FAKE_SHIM_DIR") or BUILD / "tests" / "fake-shim")
NAMES = {1: "fake", 2: "fakejson", 3: "fakeproto"}
PATIENCE = 40  # seconds: much is done at once on a slow machine
LIFE = ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]
# Short, but more than a busy machine needs. Containers that outlive their shims have tests of their own.
CONFIG = """
shim
    start-timeout = 3000
    connect-timeout = 3000
    create-timeout = 3000
    call-timeout = 3000
    state-timeout = 500
    load-timeout = 1000
    cleanup-timeout = 2000
    shutdown-timeout = 1000
    on-shim-loss = kill
"""
OK, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, ALREADY_EXISTS = 0, 2, 3, 4, 5, 6
RESOURCE_EXHAUSTED, FAILED_PRECONDITION, INTERNAL, UNAVAILABLE = 8, 9, 13, 14


def shim_path(generation):
    return str(SHIMS / f"containerd-shim-{NAMES[generation]}-v2")


class Containers:
    """Every container has a gate (its fifo) and a record (the file of what its shim was asked)."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.local = threading.local()

    # Requests; each thread has a client of its own

    def call(self, method, name=None, timeout=PATIENCE, id=None, first=False, **fields):
        if not hasattr(self.local, "client"):
            self.local.client = self.cluster.client()
        body = {"id": name, **fields} if name else fields
        return self.local.client.call(method, body, "default", timeout=timeout, id=id, first=first)

    def refusal(self, method, name, timeout=PATIENCE, **fields):
        """(status, sentence) of a request that must fail."""
        try:
            answer = self.call(method, name, timeout, **fields)
        except Refused as error:
            return error.status, str(error)
        raise AssertionError(f"{method} {name} was not refused: {answer}")

    def outcome(self, method, name, timeout=PATIENCE, **fields):
        """(status, sentence or answer)."""
        try:
            return OK, self.call(method, name, timeout, **fields)
        except Refused as error:
            return error.status, str(error)

    # Making

    def path(self, kind, name):
        return self.cluster.dir / f"{kind}-{name}"

    def process(self, gate):
        """An OCI process object; the gate's path among the arguments makes its leftovers found."""
        script = f"read code < {gate}; exit $code"
        return {"args": ["/bin/sh", "-c", script], "env": ["PATH=/usr/bin:/bin"], "cwd": "/", "user": {"uid": 0, "gid": 0}}

    def record(self, name, generation=1, group=None, runtime=None, more=None, **wishes):
        """A container record. Wishes are settings of the shim: fail_Create="1*error" is fail.Create."""
        if not self.path("gate", name).exists():
            os.mkfifo(self.path("gate", name))
        wishes = {"record": self.path("record", name), **wishes}
        annotations = {f"io.shimd.fake.{key.replace('fail_', 'fail.').replace('_', '-')}": str(value)
                       for key, value in wishes.items()}
        if group:
            annotations["io.containerd.runc.v2.group"] = group
        spec = {"ociVersion": "1.0.2", "process": self.process(self.path("gate", name)),
                "root": {"path": str(self.cluster.dir)}, "annotations": annotations}
        self.call("container.create", name, runtime=runtime or shim_path(generation), spec=json.dumps(spec).encode(), **(more or {}))
        return name

    def create(self, name, **wishes):
        """A created task; its pid."""
        return self.call("task.create", self.record(name, **wishes))["pid"]

    def run(self, name, **wishes):
        """A running task; its pid."""
        self.create(name, **wishes)
        return self.call("task.start", name)["pid"]

    def exec_spec(self, name, exec_id):
        gate = self.path("gate", f"{name}-{exec_id}")
        os.mkfifo(gate)
        return json.dumps(self.process(gate)).encode()

    def add_exec(self, name, exec_id, **fields):
        self.call("task.exec", name, exec_id=exec_id, spec=self.exec_spec(name, exec_id), **fields)

    def run_exec(self, name, exec_id):
        self.add_exec(name, exec_id)
        return self.call("task.start", name, exec_id=exec_id)["pid"]

    # Ending

    def end(self, name, code=0):
        """Lets the process of a container, or of NAME-EXEC, end by itself."""
        with open(self.path("gate", name), "w", encoding="utf-8") as gate:
            gate.write(f"{code}\n")

    def wait(self, name, **fields):
        return self.call("task.wait", name, **fields)["exit_status"]

    def remove(self, name, force=True):
        """Deletes task and container; what task.delete answered."""
        answer = self.call("task.delete", name, force=force)
        self.call("container.delete", name)
        return answer

    def finish(self, name, code=3):
        """The rest of a running container's life, which must go well."""
        self.end(name, code)
        assert self.wait(name) == code
        assert self.remove(name, force=False)["exit_status"] == code
        assert self.nothing_of(name), self.remains(name)

    # Looking

    def task(self, name):
        rows = self.call("task.list")["tasks"]
        return next((row for row in rows if row["id"] == name), None)

    def state(self, name):
        row = self.task(name)
        return row["status"] if row else None

    def shim_pid(self, name):
        return self.task(name)["shim_pid"]

    def lose_shim(self, name, to_a_successor=False):
        """It is killed; if so, only the worker's successor finds that."""
        shim = self.shim_pid(name)
        with self.cluster.worker_away(to_a_successor):
            os.kill(shim, signal.SIGKILL)

    def asked(self, name):
        """What the shim of a container was asked, in order: "Create", "delete cwd=... bundle=..."."""
        if not self.path("record", name).exists():
            return []
        lines = self.path("record", name).read_text().splitlines()
        words = [line.split(" ", 2) for line in lines]
        return [" ".join([verb, *rest]) for verb, who, *rest in words if who == name]

    def asked_for(self, name, verb):
        return [line for line in self.asked(name) if line.split()[0] == verb]

    def events(self, name):
        page = self.call("event.list", all=True)
        return [e for e in page["events"] if e["event"].get("container_id") == name]

    def topics(self, name):
        return [e["topic"] for e in self.events(name)]

    def remains(self, name):
        """What is left of a task: its directories, its processes, and shims that were started for it."""
        gate, run, root = self.path("gate", name), self.cluster.run, self.cluster.root
        places = [p for p in (run / "task/default" / name, root / "task/default" / name) if p.exists()]
        mine = {pid: words for pid, words in self.cluster.processes().items()
                if ("-id" in words and name in words) or any(f"{gate};" in w or f"{gate}-" in w for w in words)}
        return places, mine

    def nothing_of(self, name, seconds=5):
        """Whether nothing is left, or soon will be: a deletion is answered before its shim has ended."""
        end = time.monotonic() + seconds
        while any(self.remains(name)):
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    def await_nothing_of(self, name, seconds=10):
        until(lambda: self.nothing_of(name), f"nothing is left of {name}: {self.remains(name)}", seconds)

    def shims(self):
        """Pids of the shims of all our containers."""
        return [pid for pid, words in self.cluster.processes().items() if "-id" in words and words[-1] not in ("start", "delete")]

    def sweep(self):
        """After a failure: so that tests which are known to fail leave nothing either."""
        for pid in self.shims():
            os.kill(pid, signal.SIGKILL)
        self.restart_worker()
        until(lambda: not self.call("task.list")["tasks"], "the killed shims are buried")
        for path in self.cluster.dead_sockets():
            path.unlink(missing_ok=True)

    def restart_worker(self):
        """kill -9 of shimd-shim; returns when its successor is ready."""
        self.cluster.await_successor("shim", self.cluster.kill("shim"))


class Background:
    """A request made by another thread."""

    def __init__(self, containers, method, name, timeout=15, **fields):
        self.result = None
        self.thread = threading.Thread(target=self.run, args=(containers, method, name, timeout, fields))
        self.thread.start()

    def run(self, containers, method, name, timeout, fields):
        self.result = containers.outcome(method, name, timeout, **fields)

    def outcome(self):
        self.thread.join()
        return self.result
