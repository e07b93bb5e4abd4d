"""What goes wrong meanwhile: processes of ours, and shims, are killed, stopped for a while, all at once; the disk is slow."""

import contextlib
import os
import random
import signal
import threading
import time

from cluster import PROCESSES, process_children

STOPPED_SECONDS = 1.0


class Trouble(threading.Thread):
    def __init__(self, world, kinds, pause):
        super().__init__(name="trouble", daemon=True)
        self.world, self.kinds, self.pause = world, kinds, pause
        self.random = random.Random(f"{world.seed}/trouble")
        self.client = world.cluster.client()
        self.done = []
        self.failure = None

    def run(self):
        try:
            while not self.world.over.wait(self.random.uniform(*self.pause)):
                kind = self.random.choice(self.kinds)
                with contextlib.suppress(ProcessLookupError):
                    getattr(self, kind)()
        except Exception as error:  # a run without trouble proves nothing
            self.failure = f"the trouble ended: {type(error).__name__}: {error}"

    def tell(self, text):
        self.done.append((time.monotonic(), text))
        self.world.count(text.split()[0] + " " + text.split()[1])

    def pid_of(self, name):
        """From the kernel: the cluster may be in no state to be asked."""
        for pid in process_children(self.world.cluster.supervisor.pid):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/comm", encoding="utf-8") as comm:
                if comm.read().strip() == f"shimd-{name}":
                    return pid
        raise ProcessLookupError

    def kill(self):
        name = self.random.choice([*PROCESSES, "keeper"])
        os.kill(self.pid_of(name), signal.SIGKILL)
        if name == "keeper":
            self.world.keeper_deaths.append(time.monotonic())
        self.tell(f"kill {name}")

    def kill_two(self):
        for name in self.random.sample(PROCESSES, 2):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid_of(name), signal.SIGKILL)
        self.tell("kill two")

    def stop(self):
        name = self.random.choice(PROCESSES)
        pid = self.pid_of(name)
        os.kill(pid, signal.SIGSTOP)
        self.tell(f"stop {name}")
        time.sleep(self.random.uniform(0, STOPPED_SECONDS))
        os.kill(pid, signal.SIGCONT)

    def slow_disk(self):
        point = self.world.cluster.run / "failpoints" / "metadata.commit-before"
        point.write_text(f"{self.random.randint(1, 3)}*delay({self.random.randint(50, 500)})")
        self.tell("slow disk")

    def kill_all(self):
        """The supervisor, and with it everything; a new cluster takes over."""
        self.world.cluster.supervisor.kill()
        self.world.cluster.supervisor.wait()
        self.world.cluster.start(*self.world.start_options, config=self.world.config, wait=False)
        self.tell("kill supervisor")

    def choose_shim(self):
        """A task whose shim is there, and its story."""
        stories = {s.name: s for c in self.world.clients for s in c.stories[-2:]}
        tasks = [t for t in self.client.call("task.list", {}, "default", timeout=30)["tasks"] if t.get("shim_pid")]
        tasks = [t for t in tasks if t["id"] in stories and not t.get("orphaned")]
        if not tasks:
            raise ProcessLookupError
        task = self.random.choice(tasks)
        return task, stories[task["id"]]

    def signal_shim(self, task, number):
        if f"-id\0{task['id']}\0".encode() not in self.command(task["shim_pid"]):
            raise ProcessLookupError
        os.kill(task["shim_pid"], number)

    def kill_shim(self):
        task, story = self.choose_shim()
        story.lost_shim = True
        story.note(f"its shim {task['shim_pid']} is killed")
        self.signal_shim(task, signal.SIGKILL)
        self.tell("kill shim")

    def stop_shim(self):
        task, story = self.choose_shim()
        self.signal_shim(task, signal.SIGSTOP)
        story.note(f"its shim {task['shim_pid']} is stopped")
        self.tell("stop a-shim")
        time.sleep(self.random.uniform(0, STOPPED_SECONDS))
        self.signal_shim(task, signal.SIGCONT)

    @staticmethod
    def command(pid):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                return file.read()
        except OSError:
            return b""
