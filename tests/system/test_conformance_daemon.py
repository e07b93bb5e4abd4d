"""containerd's own client tests of terminals, events, restarts of the manager, and what a shim keeps.

See test_conformance.py.
"""

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import termios
import threading

import pytest
from cluster import until
from tools import SECONDS, end

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="containers need root"),
    pytest.mark.skipif(not shutil.which("containerd-shim-runc-v2"), reason="no containerd-shim-runc-v2"),
    pytest.mark.skipif(not shutil.which("runc"), reason="no runc"),
]


# terminals and fifos --------------------------------------------------------------------------------------------


class Screen:
    """A command on a terminal."""

    def __init__(self, tool, *words):
        self.master, slave = pty.openpty()
        modes = termios.tcgetattr(slave)
        modes[1] &= ~termios.ONLCR  # ctr leaves output processing on
        termios.tcsetattr(slave, termios.TCSANOW, modes)
        self.process = tool.popen(*words, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self.text = b""

    def type(self, text):
        os.write(self.master, text)

    def await_text(self, wanted):
        while wanted not in self.text:
            assert select.select([self.master], [], [], SECONDS)[0], (wanted, self.text[-2000:])
            self.text += os.read(self.master, 1 << 16)

    def end(self):
        """Exit code; all that was written is in `text` then."""
        try:
            while select.select([self.master], [], [], SECONDS)[0]:
                self.text += os.read(self.master, 1 << 16)
        except OSError:  # nobody has it open any more
            pass
        os.close(self.master)
        return self.process.wait(SECONDS)


def test_container_pty(tool):
    screen = Screen(tool, "run", "--rm", "-t", "--rootfs", tool.rootfs(), "c", "/bin/sh", "-c", "tty; read x; echo got $x; exit 6")
    screen.await_text(b"/dev/pts/0\r\n")
    screen.type(b"word\r")
    screen.await_text(b"got word\r\n")
    assert screen.end() == 6


def test_container_exec_large_output_with_tty(tool):
    tool.detached("c", "/bin/sleep", "1000")
    for i in range(3):
        screen = Screen(tool, "tasks", "exec", "-t", "--exec-id", f"e{i}", "c", "/bin/sh", "-c", "yes 0123456789 | head -n 50000; echo end")
        assert screen.end() == 0
        # a slow machine has a line that tells of the progress, and takes it away
        text = re.sub(rb"(\r\x1b\[Kshimctl: [^\r]*)+\r\x1b\[K", b"", screen.text)
        assert text == b"0123456789\r\n" * 50000 + b"end\r\n", len(text)
    end(tool, "c")


def test_container_attach(tool):
    fifos = tool.cluster.dir / "fifos"
    tool.detached("c", "/bin/sh", "-c", "read x; echo got $x; read y; exit 4", options=("--fifo-dir", fifos))
    for word in ("first", "second"):
        with tool.popen("tasks", "attach", "c", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            process.stdin.write(f"{word}\n")
            process.stdin.flush()
            if word == "first":
                assert process.stdout.readline() == "got first\n"
                process.kill()
    assert process.returncode == 4
    if tool.tasks():  # ctr 1.6 leaves it to whoever made the task
        tool.ok("tasks", "delete", "c")
    tool.ok("containers", "delete", "c")


# pausing --------------------------------------------------------------------------------------------------------


def test_container_pause(tool):
    """No test of containerd's by this name; its restart monitor has one, and ctr the commands."""
    tool.detached("c", "/bin/sleep", "1000")
    tool.refusal("failed precondition", "tasks", "resume", "c")
    tool.ok("tasks", "pause", "c")
    assert tool.status("c") == "PAUSED"
    for words in (("pause", "c"), ("exec", "--exec-id", "e", "c", "/bin/true"), ("delete", "c")):
        tool.refusal("failed precondition", "tasks", *words)
    tool.ok("tasks", "resume", "c")
    assert tool.status("c") == "RUNNING"
    end(tool, "c")


# events ---------------------------------------------------------------------------------------------------------


class Events:
    """What `events` prints from now on."""

    def __init__(self, tool):
        self.tool, self.lines = tool, []
        self.process = tool.popen("events", stdout=subprocess.PIPE)
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout))
        self.reader.start()
        tool.run("namespaces", "create", tool.namespace)
        until(self.heard_of_a_label, "events are heard", SECONDS)

    def heard_of_a_label(self):
        self.tool.ok("namespaces", "label", self.tool.namespace, f"probe={len(self.lines)}")
        return self.lines

    def of(self, name):
        """Topics with their event's fields."""
        rows = [line.split(" ", 6)[5:7] for line in list(self.lines)]
        rows = [(topic, json.loads(fields)) for topic, fields in rows]
        return [(topic, fields) for topic, fields in rows if name in (fields.get("container_id"), fields.get("id"))]

    def topics(self, name):
        return [topic for topic, _ in self.of(name)]

    def close(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()


@pytest.fixture
def events(tool):
    made = Events(tool)
    yield made
    made.close()


def test_regression_issue4769(tool, events):
    """A task that ends by itself has one exit, and its events come in their order."""
    for name in ("a", "b"):
        assert tool.run("run", "--rm", "--rootfs", tool.rootfs(), name, "/bin/sh", "-c", "exit 3").returncode == 3
    until(lambda: "/containers/delete" in events.topics("b"), "all is over", SECONDS)
    for name in ("a", "b"):
        assert [topic for topic in events.topics(name) if topic != "/containers/update"] == [
            "/containers/create", "/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete", "/containers/delete"]
        exits = [fields for topic, fields in events.of(name) if topic == "/tasks/exit"]
        assert (exits[0]["id"], exits[0]["exit_status"]) == (name, 3)


def test_regression_issue6429(tool, events):
    """What could not be made has no exit."""
    tool.refusal("error", "run", "--rm", "--rootfs", tool.rootfs(), "a", "/bin/nothing")
    assert tool.run("run", "--rm", "--rootfs", tool.rootfs(), "b", "/bin/true").returncode == 0
    until(lambda: "/containers/delete" in events.topics("b"), "a later one is over", SECONDS)
    assert "/tasks/exit" not in events.topics("a")


# restarts of the manager ----------------------------------------------------------------------------------------


def test_daemon_restart(tool):
    """What ended while nobody was there is known afterwards, and what is asked then is done."""
    tool.detached("runs", "/bin/sleep", "1000")
    tool.detached("ended", "/bin/sh", "-c", "exit 5")
    tool.await_stopped("ended")
    pid = tool.pid("runs")
    tool.restart_daemon()
    assert tool.tasks()["runs"] == (pid, "RUNNING") and tool.status("ended") == "STOPPED"
    assert tool.delete("ended") == 5
    tool.ok("tasks", "kill", "-s", "KILL", "runs")
    tool.await_stopped("runs")
    assert tool.delete("runs") == 137
    tool.ok("containers", "delete", "runs", "ended")


def test_daemon_restart_with_running_shim(tool):
    tool.detached("c", "/bin/sleep", "1000")
    pid, shim = tool.pid("c"), tool.shim_pid("c")
    tool.restart_daemon()
    assert tool.tasks() == {"c": (pid, "RUNNING")} and tool.shim_pid("c") == shim
    assert tool.run("tasks", "exec", "--exec-id", "e", "c", "/bin/sh", "-c", "exit 6").returncode == 6
    os.kill(pid, signal.SIGKILL)
    tool.await_stopped("c")
    assert tool.delete("c") == 137
    tool.ok("containers", "delete", "c")


def test_daemon_reconnects_to_shim_io_pipes_on_restart(tool):
    """What a shim has to say reaches the log also afterwards."""
    tool.detached("c", "/bin/sleep", "1000")
    for _ in range(2):
        before = tool.log().count("goroutine stack dump")
        os.kill(tool.shim_pid("c"), signal.SIGUSR1)
        until(lambda: tool.log().count("goroutine stack dump") > before, "the shim's stacks are in the log", SECONDS)
        tool.restart_daemon()
    end(tool, "c")


# shims ----------------------------------------------------------------------------------------------------------


def open_files(pid, kind):
    links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    return sum(link.startswith(kind) for link in links)


def leaves_none_open(tool, kind):
    tool.detached("c", "/bin/sleep", "1000")
    shim = tool.shim_pid("c")
    exec_one = ("tasks", "exec", "--exec-id", "e", "c", "/bin/true")
    tool.ok(*exec_one)
    before = open_files(shim, kind)
    for _ in range(4):
        tool.ok(*exec_one)
    until(lambda: open_files(shim, kind) <= before, f"no {kind} more than before", SECONDS)
    end(tool, "c")


def test_shim_does_not_leak_pipes(tool):
    leaves_none_open(tool, "pipe:")


def test_shim_does_not_leak_sockets(tool):
    leaves_none_open(tool, "socket:")


def score_of(pid):
    with open(f"/proc/{pid}/oom_score_adj", encoding="ascii") as score:
        return int(score.read())


def test_shim_oom_score(tool):
    """The kernel rather takes a shim than what manages it."""
    tool.detached("c", "/bin/sleep", "1000")
    assert score_of(tool.shim_pid("c")) == min(score_of(tool.shims_parent()) + 1, 1000)
    end(tool, "c")
