"""What goes wrong at the command line, with real containers: the class of the refusal is ctr's, it is one sentence, and
afterwards everything is as it was. With SHIMD_TEST_LONG=1 the refusals that follow from a state are also played with
ctr, which panics, or says nothing of a class, at most of the others."""

import fcntl
import os
import pty
import shutil
import signal
import subprocess

import pytest
from cluster import until
from tools import SECONDS, Shimctl, end

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="containers need root"),
    pytest.mark.skipif(not shutil.which("containerd-shim-runc-v2"), reason="no containerd-shim-runc-v2"),
    pytest.mark.skipif(not shutil.which("runc"), reason="no runc"),
]

EXEC = ("tasks", "exec", "--exec-id")


def traces(cluster):
    """All that containers and clients leave while they are there."""
    places = [cluster.run / "task/default", cluster.run / "fifo", cluster.root / "task/default"]
    return ([sorted(path.glob("*")) for path in places], sorted(cluster.mounts()), cluster.dead_sockets(),
            sorted(cluster.processes()))


@pytest.fixture(autouse=True)
def as_it_was(shared_cluster):
    """Every test here takes away what it has made by itself, and the refusals have made nothing."""
    before = traces(shared_cluster)
    yield
    until(lambda: traces(shared_cluster) == before, f"it is as it was: {before}, not {traces(shared_cluster)}")


@pytest.fixture(name="ours")
def fixture_ours(shared_cluster):
    made = Shimctl(shared_cluster)
    yield made
    assert not made.remove_all()


@pytest.fixture(name="sleeper")
def fixture_sleeper(tool):
    yield tool.detached("c", "/bin/sleep", "1000")
    end(tool, "c")


@pytest.fixture(name="our_sleeper")
def fixture_our_sleeper(ours):
    yield ours.detached("c", "/bin/sleep", "1000")
    end(ours, "c")


# states ---------------------------------------------------------------------------------------------------------


def test_exec_in_a_stopped_container(tool):
    tool.detached("c", "/bin/true")
    tool.await_stopped("c")
    tool.refusal("failed precondition", *EXEC, "e", "c", "/bin/true")
    assert tool.pids("c") == {}
    end(tool, "c")


def test_start_twice(tool, sleeper):
    pid = tool.pid(sleeper)
    tool.refusal("already exists", "tasks", "start", sleeper)
    tool.refusal("already exists", "tasks", "start", "-d", sleeper)
    assert tool.pid(sleeper) == pid


def test_delete_while_it_runs(tool, sleeper):
    tool.refusal("failed precondition", "tasks", "delete", sleeper)
    tool.refusal("failed precondition", "containers", "delete", sleeper)
    assert tool.status(sleeper) == "RUNNING" and tool.ok("containers", "list", "-q") == "c\n"


def test_pause_when_paused(tool, sleeper):
    tool.ok("tasks", "pause", sleeper)
    tool.refusal("failed precondition", "tasks", "pause", sleeper)
    assert tool.status(sleeper) == "PAUSED"
    tool.ok("tasks", "resume", sleeper)
    tool.refusal("failed precondition", "tasks", "resume", sleeper)
    assert tool.status(sleeper) == "RUNNING"


def test_an_exec_id_that_exists(tool, sleeper):
    tool.ok(*EXEC, "e", "-d", sleeper, "/bin/sleep", "1000")
    pids = tool.pids(sleeper)
    tool.refusal("already exists", *EXEC, "e", "-d", sleeper, "/bin/sleep", "1000")
    tool.refusal("already exists", *EXEC, "e", sleeper, "/bin/true")
    assert tool.pids(sleeper) == pids and len(pids) == 2


# words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["BOGUS", "SIG", "-1", "65", "9x", ""])
def test_an_unknown_signal(ours, our_sleeper, name):
    ours.refusal("invalid argument", "tasks", "kill", "-s", name, our_sleeper)
    assert ours.status(our_sleeper) == "RUNNING"


def test_a_terminal_that_is_none(ours, our_sleeper):
    for words in (("run", "-t", "--rootfs", ours.rootfs(), "d", "/bin/true"), (*EXEC, "e", "-t", our_sleeper, "/bin/true")):
        ours.refusal("failed precondition", *words)
    assert ours.ok("containers", "list", "-q") == "c\n" and len(ours.pids(our_sleeper)) == 1


@pytest.mark.parametrize("below", ["/proc/nowhere", "/dev/null"])
def test_a_fifo_directory_that_cannot_be_made(ours, our_sleeper, below):
    for words in (("run", "--rm"), ("run", "-d")):
        ours.refusal("error", *words, "--fifo-dir", below, "--rootfs", ours.rootfs(), "d", "/bin/true")
        assert ours.ok("containers", "list", "-q") == "c\n" and set(ours.tasks()) == {"c"}
    for words in ((), ("-d",)):
        ours.refusal("error", *EXEC, "e", *words, "--fifo-dir", below, our_sleeper, "/bin/true")
        assert len(ours.pids(our_sleeper)) == 1


# streams --------------------------------------------------------------------------------------------------------


def closed(ours, redirections, *words):
    """A command that a shell has started without some of its descriptors."""
    return subprocess.run(["/bin/sh", "-c", f'exec "$@" {redirections}', "sh", *ours.command(*words)], env=ours.env,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False)


@pytest.mark.parametrize("redirections, out, err", [
    ("<&-", "out\n", "err\n"), (">&-", "", "err\n"), ("2>&-", "out\n", ""), ("<&- >&- 2>&-", "", "")])
def test_streams_that_were_closed_from_the_start(ours, redirections, out, err):
    script = "cat; echo out; echo err >&2; exit 3"
    done = closed(ours, redirections, "run", "--rm", "--rootfs", ours.rootfs(), "c", "/bin/sh", "-c", script)
    assert (done.returncode, done.stdout, done.stderr) == (3, out, err)


def test_an_exec_without_standard_input(ours, our_sleeper):
    done = closed(ours, "<&-", *EXEC, "e", our_sleeper, "/bin/sh", "-c", "cat; echo out; exit 3")
    assert (done.returncode, done.stdout) == (3, "out\n")


def full_pipe():
    """Both ends, and how much is in it."""
    reader, writer = os.pipe()
    flags = fcntl.fcntl(writer, fcntl.F_GETFL)
    fcntl.fcntl(writer, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    size = 0
    try:
        while True:
            size += os.write(writer, b"x" * 4096)
    except BlockingIOError:
        fcntl.fcntl(writer, fcntl.F_SETFL, flags)
        return reader, writer, size


def test_output_to_a_full_pipe_waits_for_its_reader(ours):
    reader, writer, size = full_pipe()
    process = ours.popen("run", "--rm", "--rootfs", ours.rootfs(), "c", "/bin/sh", "-c", "echo over; exit 5",
                         stdin=subprocess.DEVNULL, stdout=writer)
    os.close(writer)
    until(lambda: ours.tasks().get("c", (0, ""))[1] == "STOPPED", "the container has ended", SECONDS)
    assert process.poll() is None
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b"x" * size + b"over\n"
    assert process.wait(SECONDS) == 5


def test_a_reader_of_a_full_pipe_that_leaves(ours):
    reader, writer, _ = full_pipe()
    process = ours.popen("run", "--rm", "--rootfs", ours.rootfs(), "c", "/bin/yes", stdin=subprocess.DEVNULL, stdout=writer)
    os.close(writer)
    until(lambda: ours.tasks().get("c", (0, ""))[1] == "RUNNING", "it runs", SECONDS)
    os.close(reader)
    assert process.wait(SECONDS) == 128 + signal.SIGKILL


@pytest.mark.parametrize("words", [("-t",), ()], ids=["its own", "output only"])
def test_output_to_a_terminal_that_is_closed(ours, words):
    """Nobody can see any more what it writes, nor end it from there: it ends, and with --rm is gone."""
    master, slave = pty.openpty()
    process = ours.popen("run", "--rm", *words, "--rootfs", ours.rootfs(), "c", "/bin/sh", "-c",
                         "while true; do echo x; sleep 0.05; done", stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    seen = b""
    while b"x" not in seen:
        seen += os.read(master, 100)
    os.close(master)
    assert process.wait(SECONDS) != 0
    until(lambda: not ours.tasks(), "its task is gone", SECONDS)
    assert ours.ok("containers", "list", "-q") == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("words", [("-t",), ()], ids=["terminal", "none"])
def test_a_container_to_be_removed_is_gone_after_a_signal(ours, number, words):
    master, slave = pty.openpty()
    script = "trap 'exit 9' INT TERM HUP; echo up; while true; do sleep 0.05; done"
    process = ours.popen("run", "--rm", *words, "--rootfs", ours.rootfs(), "c", "/bin/sh", "-c", script,
                         stdin=slave, stdout=slave, stderr=slave)
    seen = b""
    while b"up" not in seen:
        seen += os.read(master, 100)
    process.send_signal(number)
    assert process.wait(SECONDS) == 9
    assert ours.ok("containers", "list", "-q") == "" and not ours.tasks()
    os.close(master)
    os.close(slave)


def test_a_terminal_that_is_closed_takes_only_what_was_to_be_removed(ours):
    """Without --rm the container stays as it is; nothing needs to be written for the loss to be seen."""
    master, slave = pty.openpty()
    process = ours.popen("run", "-t", "--rootfs", ours.rootfs(), "c", "/bin/sh", "-c", "echo up; exec sleep 1000",
                         stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    seen = b""
    while b"up" not in seen:
        seen += os.read(master, 100)
    os.close(master)
    assert process.wait(SECONDS) == 128 + signal.SIGHUP
    assert ours.status("c") == "RUNNING"
    end(ours, "c")
