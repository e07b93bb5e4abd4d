"""Clients that run random lives of containers, each with its own connection, and write down what they were told."""

import contextlib
import json
import random
import threading
import time

from cluster import Refused
from history import NOT_FOUND, OK, Step, Story

UNSTARTED_PATIENCE = 5  # seconds a wait may take for what, as far as its client knows, was not started
PATIENCE = 60  # seconds a request may take, deaths of every process included
NAMES = {"delete-force": ("task.delete", {"force": True})}


def script(marks, code):
    """A shell command that leaves one line each time it runs, and ends by itself or when it is told to."""
    return [
        "/bin/sh", "-c",
        f"trap 'exit 143' TERM; echo >> /marks/{marks}; n=0; "
        f"while ! [ -e /marks/end ] && [ $n -lt 3000 ]; do n=$((n+1)); sleep 0.01; done; exit {code}",
    ]


class Client(threading.Thread):
    """Until it is told to stop: a container's life after the other."""

    def __init__(self, world, number):
        super().__init__(name=f"client-{number}", daemon=True)
        self.world, self.number = world, number
        self.random = random.Random(f"{world.seed}/{number}")
        self.client = world.cluster.client()
        self.stories = []

    def run(self):
        while not self.world.over.is_set():
            story = Story(f"x{self.number}-{len(self.stories)}", self.random.randrange(1, 100))
            self.stories.append(story)
            try:
                self.live(story)
            except Exception as error:  # noqa: BLE001  (the checker judges it)
                story.note(f"client failed: {error!r}")
            self.world.count("lives")

    def ask(self, story, what, client=None, patience=PATIENCE, **fields):
        """The answer, or None. Only what concerns the task itself goes into its history."""
        method, more = NAMES.get(what, (f"task.{what}", {}))
        step = Step(what, time.monotonic())
        try:
            step.answer = (client or self.client).call(
                method, {"id": story.name, **more, **fields}, "default", timeout=patience
            )
        except Refused as refused:
            step.status, step.text = refused.status, str(refused)
        step.ended = time.monotonic()
        if "exec_id" not in fields:
            story.add(step)
        elif step.status != OK:
            story.note(f"{method} {fields['exec_id']}: {step.text}")
        return step.answer if step.status == OK else None

    def live(self, story):
        spec, marks = self.world.spec(story.name)
        spec["process"]["args"] = script("init", story.code)
        leaves = self.random.random() < 0.2
        record = {"id": story.name, "runtime": "io.containerd.runc.v2", "spec": json.dumps(spec).encode(), "remove": leaves}
        self.client.call("container.create", record, "default", timeout=PATIENCE)
        rival = threading.Thread(target=self.interfere, args=(story,), daemon=True)
        if not leaves and self.random.random() < 0.3:
            rival.start()
        if self.ask(story, "create") is not None and self.random.random() < 0.95:
            self.ask(story, "start")
        for number in range(self.random.choice((0, 0, 1, 2))):
            self.run_exec(story, f"e{number}", spec["process"])
        if not leaves and self.random.random() < 0.15:
            self.ask(story, "pause")
            self.ask(story, "resume")
        self.end(story, marks, leaves)
        if rival.ident:
            rival.join()
        if leaves:
            self.leave(story)
        else:
            self.remove(story)

    def run_exec(self, story, name, process):
        code = self.random.randrange(1, 100)
        process = {**process, "args": ["/bin/sh", "-c", f"echo >> /marks/exec-{name}; exit {code}"]}
        if self.ask(story, "exec", exec_id=name, spec=json.dumps(process).encode()) is None:
            return
        if self.ask(story, "start", exec_id=name) is None:
            return
        story.execs[name] = code
        exited = self.ask(story, "wait", exec_id=name)
        if exited and not exited.get("unknown") and exited["exit_status"] not in (code, 137, 143):
            story.note(f"violation: exec {name} ended with {exited['exit_status']}, not {code}")
        self.ask(story, "delete", exec_id=name)

    def end(self, story, marks, leaves):
        """By itself, by a signal, or not at all."""
        way = self.random.choice(("by itself", "by itself", "TERM", "KILL", "by itself" if leaves else "force"))
        if way == "by itself":
            (marks / "end").touch()
        elif way == "TERM":
            self.ask(story, "kill", signal=15)
        elif way == "KILL":
            self.ask(story, "kill", signal=9)
        if way != "force":
            started = any(s.what == "start" and s.status == OK for s in story.steps)
            exited = self.ask(story, "wait", patience=PATIENCE if started else UNSTARTED_PATIENCE)
            self.check_code(story, way, exited)
            if not leaves:
                self.ask(story, "delete")

    def check_code(self, story, way, exited):
        """Signals end it with these codes, before its start with 2; without any it ends as it was told to. What
        kills a shim kills the OCI runtime that starts the container for it: that start is refused then."""
        if not exited or exited.get("unknown"):
            return
        starts = [s for s in story.steps if s.what == "start"]
        if story.lost_shim and starts and all(s.status != OK for s in starts):
            return
        if exited["exit_status"] == 1 and self.start_was_cut_off(story, starts):
            return
        signalled = way != "by itself" or story.has_rival
        if exited["exit_status"] not in ({story.code, 143, 137, 2} if signalled else {story.code}):
            story.note(f"violation: ended with {exited['exit_status']}, not {story.code}")

    def start_was_cut_off(self, story, starts):
        """The keeper died in the middle of it and all others moments later, before another keeper had the connection:
        the shim gives up then, and the OCI runtime's own process ends with 1."""
        never_ran = not (self.world.marks(story.name) / "init").exists()
        return never_ran and any(s.began - 1 < death < s.ended for s in starts for death in self.world.keeper_deaths)

    def interfere(self, story):
        """Another client with the same ideas at the same time."""
        client = self.world.cluster.client()
        story.has_rival = True
        chance = random.Random(f"{self.world.seed}/{story.name}/rival")
        for _ in range(chance.randrange(1, 4)):
            time.sleep(chance.random() * 0.3)
            what = chance.choice(("start", "start", "kill", "delete", "create", "pause", "resume"))
            self.ask(story, what, client, **({"signal": 15} if what == "kill" else {}))
        client.close()

    def leave(self, story):
        """The cluster removes what has run; what has not is removed here, and may be gone as well."""
        (self.world.marks(story.name) / "end").touch()  # a signal that came too early was ignored
        end = time.monotonic() + PATIENCE
        has_run = any(s.what == "start" and s.status == OK for s in story.steps)
        while self.is_there(story):
            if not has_run:
                for method, more in (("task.delete", {"force": True}), ("container.delete", {})):
                    with contextlib.suppress(Refused):
                        self.client.call(method, {"id": story.name, **more}, "default", timeout=PATIENCE)
            if time.monotonic() > end:
                story.note("violation: the cluster does not remove the container")
                self.remove(story)
            time.sleep(0.1)

    def is_there(self, story):
        try:
            self.client.call("container.get", {"id": story.name}, "default", timeout=PATIENCE)
        except Refused as refused:
            return refused.status != NOT_FOUND
        return True

    def remove(self, story):
        self.ask(story, "delete-force")
        for _ in range(100):
            try:
                self.client.call("container.delete", {"id": story.name}, "default", timeout=PATIENCE)
                return
            except Refused as refused:
                if refused.status == NOT_FOUND:
                    return
                self.ask(story, "delete-force")
                time.sleep(0.1)
        story.note("violation: the container cannot be removed")
