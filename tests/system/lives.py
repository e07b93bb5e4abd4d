"""Lives of containers, as a client that does not give up sees them: each does some of the multi-step operations.

A life goes on until a request fails as a fault explains; what then must be true is `check`'s to say.
"""

import contextlib
import json
import os
import signal
import subprocess
import shutil
import time
import urllib.parse
import uuid

from cluster import BIN, Refused, until
from log_files import records

PATIENCE = 40
# What a client may be told when a step was made to fail: nobody knows, or it names the step.
UNCERTAIN = {2, 4, 13, 14}
NOT_FOUND, UNAVAILABLE = 5, 14
MUTATING = {
    "container.create", "container.delete", "task.create", "task.start", "task.exec", "task.delete", "task.kill",
    "task.pause", "task.resume", "task.update", "task.checkpoint",
}
KILLED = 128 + signal.SIGKILL
RUN = ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]
# Every run and every signal leaves a line of its own, so that nothing is done twice unseen.
SCRIPT = (
    "trap 'echo >> /marks/signal' USR1; trap '' PIPE; echo >> /marks/init; {}"
    "while ! [ -e /marks/end ]; do sleep 0.01; done; exit 7"
)


def criu_works():
    return bool(shutil.which("criu")) and subprocess.run(["criu", "check"], capture_output=True, check=False).returncode == 0


def is_known_to_nobody(failure, point):
    """A signal that a dead worker was about to send, or an end that only a dead supervisor has seen."""
    method, status, text = failure
    if method == "task.kill":
        return status == UNAVAILABLE and "is not known" in text
    return method in ("task.wait", "task.delete") and "its shim was lost" in text and point.startswith("supervisor.")


class Undone(Exception):
    """A request failed as a fault explains."""


class Life:
    """One container from its record to its end."""

    more = {}  # of the record
    words = ""  # of the container's script
    code = 7
    runs = 1
    topics = RUN  # of the container's own process
    own = ()  # how the points begin that it passes on other ways than a life before it

    def __init__(self, cluster, record, name):
        self.cluster, self.record, self.name, self.client = cluster, record, name, cluster.client()
        self.failures, self.told = [], {}
        self.marks = cluster.dir / "marks" / name
        self.marks.mkdir(parents=True)

    @staticmethod
    def before(_point):
        """Terms that let pass what a life before it has met there."""
        return ""

    # Asking

    def ask(self, method, **fields):
        request = uuid.uuid4().bytes
        try:
            answer = self.client.call(method, {"id": self.name, **fields}, "default", timeout=PATIENCE, id=request, first=True)
            self.told[request] = (method, 0)
            return answer
        except Refused as refused:
            self.failures.append((method, refused.status, str(refused)))
            self.told[request] = (method, refused.status)
            raise Undone from refused

    def refusal(self, method, **fields):
        """(status, sentence) of what cannot be done."""
        try:
            answer = self.ask(method, **fields)
        except Undone:
            _, status, text = self.failures.pop()
            return status, text
        raise AssertionError(f"{method} was not refused: {answer}")

    def look(self, method="task.get"):
        """What is seen now, without a word about a failure; None when it is not there, and {} when nobody can tell."""
        try:
            return self.client.call(method, {"id": self.name}, "default", timeout=PATIENCE)
        except Refused as refused:
            return None if refused.status == NOT_FOUND else {}

    # Parts of a life

    def spec(self):
        spec = json.loads(self.record["spec"])
        spec["process"]["args"] = ["/bin/sh", "-c", SCRIPT.format(self.words)]
        spec["mounts"].append({"destination": "/marks", "type": "bind", "source": str(self.marks), "options": ["rbind", "rw"]})
        spec["linux"]["cgroupsPath"] = spec["linux"]["cgroupsPath"] + "-" + self.name
        return spec

    def make(self):
        self.ask("container.create", **{**self.record, **self.more, "spec": json.dumps(self.spec()).encode()})

    def output(self):
        return {}

    def run(self):
        self.make()
        self.ask("task.create", **self.output())
        self.ask("task.start")

    def count(self, mark):
        path = self.marks / mark
        return len(path.read_text().splitlines()) if path.exists() else 0

    def signal(self):
        """Which the container must have got when it is answered."""
        until(lambda: self.count("init"), "its handler is there")
        self.ask("task.kill", signal=signal.SIGUSR1)
        until(lambda: self.count("signal"), "it has the signal")

    def finish(self):
        (self.marks / "end").touch()
        for method in ("task.wait", "task.delete"):
            self.check_code(method, self.ask(method))

    def check_code(self, method, answer):
        """The true one; or it is said that a step which was made to fail was the only one to know."""
        if answer.get("unknown"):
            self.failures.append((method, 2, answer["why"]))
            raise Undone
        assert answer["exit_status"] == self.code, answer

    def course(self):
        raise NotImplementedError

    def live(self):
        """True when it got to its end as wanted."""
        try:
            self.course()
            return True
        except Undone:
            return False
        finally:
            (self.marks / "end").touch()
            assert self.count("init") <= self.runs, "init ran twice"
            assert self.count("exec") <= 1, "the exec ran twice"
            assert self.count("signal") <= 1, "a signal came twice"

    def remove(self):
        """What an operator would do after a failure; it must work."""
        for method, fields in (("task.delete", {"force": True}), ("container.delete", {})):
            end = time.monotonic() + PATIENCE
            while True:
                try:
                    self.client.call(method, {"id": self.name, **fields}, "default", timeout=PATIENCE)
                except Refused as refused:
                    if refused.status != NOT_FOUND and time.monotonic() < end:
                        time.sleep(0.05)
                        continue
                    assert refused.status == NOT_FOUND, f"{method}: {refused}"
                break

    # What must be true afterwards

    def check_told(self):
        """What was answered is what the journal says was answered; a refusal may be the broker's, which has none.

        Of a checkpoint a client may be told that nobody knows, and find out there.
        """
        for request, (method, status) in self.told.items():
            if method not in MUTATING:
                continue
            try:
                kept = self.client.call("request.get", {"id": request})
                is_said_unknown = status in UNCERTAIN and method == "task.checkpoint"
                assert kept["method"] == method and (kept["status"] == status or is_said_unknown), f"{method} was answered {status}: {kept}"
            except Refused as refused:
                assert refused.status == NOT_FOUND and status, f"{method} was answered {status}: {refused}"

    def check_journal(self, lived):
        events = self.client.call("event.list", {"all": True, "limit": 10000})["events"]
        mine = [e for e in events if e["event"].get("container_id") == self.name]
        rows = [(e["topic"], e["event"].get("exec_id") or (e["event"].get("id") if e["topic"] == "/tasks/exit" else "")) for e in mine]
        runs = {}
        for event, row in zip(mine, rows):
            runs.setdefault(event.get("incarnation"), []).append(row)
        for run in runs.values():
            assert len(run) == len(set(run)), f"an event twice: {run}"
        if lived:
            assert [r[0] for r in rows if r[1] in ("", self.name) and r[0] != "/tasks/checkpointed"] == self.topics, rows
            exits = [e["event"] for e in mine if e["topic"] == "/tasks/exit" and e["event"]["id"] == self.name]
            assert {e["exit_status"] for e in exits} <= {self.code}, exits

    def check_answers(self, kind, point):
        if kind != "error":
            self.failures = [f for f in self.failures if not is_known_to_nobody(f, point)]
            assert not self.failures, f"a {kind} is nobody's business but ours: {self.failures}"
        for method, status, text in self.failures:
            assert status in UNCERTAIN, f"{method}: {text}"

    def check_end(self, point):
        """What else is true at its end, before it is removed; `point` is where the fault was."""

    def is_gone(self):
        places = [base / part / "default" / self.name for base, part in
                  ((self.cluster.run, "task"), (self.cluster.root, "task"), (self.cluster.run, "runc"), (self.cluster.root, "log"))]
        hidden = [p for base in (self.cluster.run, self.cluster.root) for p in (base / "task/default").glob(f".*{self.name}*")]
        processes = [c for c in self.cluster.processes().values() if self.name in c or any(f"/{self.name}" in word for word in c)]
        return not [p for p in places if p.exists()] and not hidden and not processes and not self.cluster.dead_sockets()


class Plain(Life):
    """Create, start, exec, wait, delete."""

    def between(self):
        """While the container runs."""

    def course(self):
        self.run()
        self.between()
        process = {**self.spec()["process"], "args": ["/bin/sh", "-c", "echo >> /marks/exec"]}
        self.ask("task.exec", exec_id="e", spec=json.dumps(process).encode())
        for method in ("task.start", "task.wait", "task.delete"):
            self.ask(method, exec_id="e")
        self.finish()


class Steered(Life):
    """Pause, resume, update, signal, checkpoint."""

    topics = [*RUN[:2], "/tasks/paused", "/tasks/resumed", *RUN[2:]]
    can_be_saved = criu_works()

    def course(self):
        self.run()
        self.ask("task.pause")
        assert self.ask("task.get")["status"] == "PAUSED"
        self.ask("task.resume")
        assert self.ask("task.get")["status"] == "RUNNING"
        self.ask("task.update", resources=json.dumps({"pids": {"limit": 50}}).encode())
        self.signal()
        self.save()
        self.finish()

    def save(self):
        """Where CRIU does not work, that it is refused is the truth. It is not done again after a death."""
        images = self.cluster.dir / "images" / self.name
        images.mkdir(parents=True)
        with contextlib.suppress(Undone):
            if not self.can_be_saved:
                status, text = self.refusal("task.checkpoint", path=str(images))
                assert status in UNCERTAIN, text
            else:
                self.ask("task.checkpoint", path=str(images))

    def check_answers(self, kind, point):
        self.failures = [f for f in self.failures if f[0] != "task.checkpoint" or f[1] not in UNCERTAIN]
        super().check_answers(kind, point)


class Orphan(Life):
    """Its shim is killed, and it lives on."""

    more = {"on_shim_loss": "keep"}

    def lose_shim(self):
        shim = self.ask("task.get")["shim_pid"]
        with contextlib.suppress(ProcessLookupError):
            os.kill(shim, signal.SIGKILL)

    def course(self):
        self.run()
        self.lose_shim()
        until(lambda: (self.look() or {}).get("orphaned"), "it is an orphan", PATIENCE)
        self.signal()
        self.finish()


class Buried(Orphan):
    """Its shim is killed, and it goes with it."""

    more = {"on_shim_loss": "kill"}
    own = ("shim.bury", "supervisor.cluster.reaped")
    code = KILLED

    def course(self):
        self.run()
        self.lose_shim()
        until(lambda: self.look() is None, "it is buried", PATIENCE)
        self.check_code("task.wait", self.ask("task.wait"))
        status, text = self.refusal("task.delete")
        if status != NOT_FOUND:
            self.failures.append(("task.delete", status, text))


class Stillborn(Life):
    """What it is to execute is not there: its create is undone."""

    topics = []

    def spec(self):
        spec = super().spec()
        spec["process"]["args"] = ["/no/such/command"]
        return spec

    def course(self):
        self.make()
        status, text = self.refusal("task.create")
        if "no such file" not in text:
            self.failures.append(("task.create", status, text))
        assert status in UNCERTAIN, text
        assert self.look() is None, "it is undone when that is answered"


class Logged(Life):
    """Its output goes into files, which are rotated."""

    lines = 15000  # more than fit into one file
    words = "cat /marks/text; "

    def output(self):
        made = self.ask("container.get")["created_at"]
        self.log = self.cluster.root / "log/default" / self.name / str(made)
        settings = {"dir": self.log, "max-size": 65536, "max-file": 100, "failpoints": self.cluster.run / "failpoints"}
        uri = f"binary://{BIN}/shimd-log?{urllib.parse.urlencode(settings)}"
        (self.marks / "text").write_text("".join(f"{n}\n" for n in range(self.lines)))
        return {"stdout": uri, "stderr": uri}

    def course(self):
        self.run()
        self.finish()

    def check_end(self, point):
        """Whole, or it says that something is missing; a writer that never came to be says nothing."""
        kept = records(self.log) if self.log.exists() else []
        # What follows a word about a loss may be the rest of a line that was lost with its beginning.
        rows = [row for before, row in zip([("", "", ""), *kept], kept) if before[0] != "shimd"]
        numbers = [int(text) for stream, _, text in rows if stream == "stdout"]
        assert numbers == sorted(set(numbers)), "a line twice, or out of order"
        if point != "log.start" and not any(stream == "shimd" for stream, _, _ in kept):
            assert numbers == list(range(self.lines)), f"{len(numbers)} lines, and not a word about the others"


class Passing(Life):
    """It is removed when it has ended, as run --rm has it."""

    more = {"remove": True}
    own = ("shim.delete", "shim.task.delete", "metadata.container.delete", "broker.take-container.delete", "broker.take-task.delete")

    def course(self):
        self.run()
        (self.marks / "end").touch()
        until(lambda: self.look("container.get") is None, "it is removed", PATIENCE)
        self.check_code("task.wait", self.ask("task.wait"))


class Again(Life):
    """It is run once more when it has failed."""

    more = {"restart": "on-failure:1"}
    runs = 2
    topics = [*RUN, *RUN]

    own = ("shim.create", "shim.delete", "shim.task.create", "shim.task.start", "shim.task.delete", "metadata.incarnation")

    @staticmethod
    def before(point):
        return "1*off->" if "create" in point or "start" in point or "begin-" in point else ""

    def is_over(self):
        """Or given up, which its record says."""
        restart = (self.look("container.get") or {}).get("restart", {})
        if "failpoint" in restart.get("why", "") and not restart.get("pending"):
            self.failures.append(("task.create", 2, restart["why"]))
            raise Undone
        return restart.get("count") == 1 and not restart.get("pending") and (self.look() or {}).get("status") == "STOPPED"

    def course(self):
        self.run()
        (self.marks / "end").touch()
        until(self.is_over, "it was run again", PATIENCE)
        self.finish()
        assert self.count("init") == 2
