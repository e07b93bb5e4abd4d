"""shimctl against a double of the cluster (tests/doubles/cluster_double.py), which can be told to refuse, to be
slow and to lose events. What a real cluster does with the same commands is tested elsewhere."""

import json
import os
import pathlib
import pty
import select
import shutil
import signal
import subprocess
import tempfile
import termios
import time

import msgpack
import pytest
import zmq
from shimd_client import Client

SOURCE = pathlib.Path(__file__).parents[2]
BIN = pathlib.Path(os.environ.get("SHIMD_BIN_DIR") or SOURCE / "build/bin")
DOUBLE = SOURCE / "tests/doubles/cluster_double.py"
SHIMCTL = str(BIN / "shimctl")
WAIT_SECONDS = 15


def until(condition, what):
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    raise AssertionError(f"not within {WAIT_SECONDS} s: {what}")


class Cluster:
    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="shimctl-"))
        self.run = self.dir / "run"
        self.rootfs = self.dir / "rootfs"
        self.rootfs.mkdir()
        self.env = {**os.environ, "SHIMD_RUN_DIR": str(self.run)}
        self.env.pop("SHIMD_NAMESPACE", None)
        self.log_path = self.dir / "log"
        with open(self.log_path, "w", encoding="utf-8") as log:
            self.double = subprocess.Popen(["/usr/bin/python3", str(DOUBLE), str(self.run)], stderr=log)
        until((self.run / "events.sock").exists, "the double is there")

    def close(self):
        self.double.kill()
        self.double.wait()
        shutil.rmtree(self.dir)

    def log(self):
        """What conftest.py shows after a failure."""
        seen = self.run / "seen"
        return self.log_path.read_text() + (seen.read_text() if seen.exists() else "")

    def start(self, *words, **more):
        return subprocess.Popen([SHIMCTL, *words], env=self.env, text=True, **more)

    def ctl(self, *words, stdin="", **more):
        return subprocess.run([SHIMCTL, *words], env=self.env, text=True, input=stdin, capture_output=True,
                              timeout=WAIT_SECONDS * 2, check=False, **more)

    def sh(self, script, *options, name="a"):
        return ["run", *options, "--rootfs", str(self.rootfs), name, "/bin/sh", "-c", script]

    def plan(self, text):
        (self.run / "plan").write_text(text, encoding="utf-8")

    def seen(self):
        """The requests so far; the file is made with the first."""
        seen = self.run / "seen"
        lines = seen.read_text(encoding="utf-8").splitlines() if seen.exists() else []
        return [json.loads(line) for line in lines]

    def methods(self):
        return [request["method"] for request in self.seen()]

    def nothing_left(self, containers=""):
        assert self.ctl("c", "ls", "-q").stdout == containers
        assert self.ctl("t", "ls", "-q").stdout == ""
        fifos = self.run / "fifo"
        assert not fifos.exists() or os.listdir(fifos) == []


@pytest.fixture(name="cluster")
def fixture_cluster():
    cluster = Cluster()
    yield cluster
    cluster.close()


# run ------------------------------------------------------------------------------------------------------------


def test_run_passes_output_and_exit_code_on(cluster):
    done = cluster.ctl(*cluster.sh("echo out; echo err >&2; exit 7"))
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)
    # The exit is asked for before the start; the container stays, its task does not.
    assert [m for m in cluster.methods() if m != "task.close-io"] == [
        "container.create", "task.create", "task.wait", "task.start", "task.delete"]
    cluster.nothing_left(containers="a\n")


def test_rm_deletes_the_container(cluster):
    assert cluster.ctl(*cluster.sh("exit 0", "--rm")).returncode == 0
    assert cluster.methods()[-1] == "container.delete"
    cluster.nothing_left()


def test_all_output_arrives(cluster):
    done = cluster.ctl(*cluster.sh("i=0; while [ $i -lt 40000 ]; do i=$((i+1)); echo $i; echo $i >&2; done"))
    expected = "".join(f"{i}\n" for i in range(1, 40001))
    assert done.stdout == expected and done.stderr == expected


def test_output_behind_a_long_silence_arrives(cluster):
    done = cluster.ctl(*cluster.sh("echo a; sleep 3; echo b"))
    assert done.stdout == "a\nb\n"


def test_input_is_passed_on_to_its_end(cluster):
    text = "0123456789abcde\n" * 100000
    done = cluster.ctl(*cluster.sh("wc -c; exit 3"), stdin=text)
    assert (done.stdout.strip(), done.returncode) == (str(len(text)), 3)
    assert {"method": "task.close-io", "ns": "default", "id": "a", "stdin": True} in cluster.seen()


def test_a_reader_that_leaves_ends_the_container(cluster):
    process = cluster.start(*cluster.sh("trap 'exit 5' TERM; while true; do echo x; done"),
                            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert process.stdout.readline() == "x\n"
    process.stdout.close()
    assert process.wait(WAIT_SECONDS) == 5
    assert [r["signal"] for r in cluster.seen() if r["method"] == "task.kill"] == [15]


def test_output_that_cannot_be_written_is_said(cluster):
    with open("/dev/full", "w", encoding="utf-8") as full:
        for script, code in (("echo x", 8), ("echo x; exit 3", 3)):
            process = cluster.start(*cluster.sh(script, "--rm"), stdout=full, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
            sentence = process.communicate(timeout=WAIT_SECONDS)[1]
            assert process.returncode == code and "output was lost" in sentence and "No space left" in sentence


def test_options_reach_the_request(cluster):
    done = cluster.ctl("--json", *cluster.sh(
        "true", "-d", "-n", "other", "--label", "a=b", "--label", "c", "--runc-root", "/r", "--runc-systemd-cgroup",
        "--runtime", "/opt/shim", "--env", "X=1", "--null-io"))
    assert done.returncode == 0
    assert json.loads(done.stdout)["id"] == "a"
    create, task = cluster.seen()[0:2]
    assert create["ns"] == "other"
    assert create["labels"] == {"a": "b", "c": "true"}
    assert create["runtime"] == "/opt/shim"
    assert create["runc"] == {"root": "/r", "systemd_cgroup": True}
    spec = json.loads(create["spec"])
    assert spec["process"]["args"] == ["/bin/sh", "-c", "true"]
    assert "X=1" in spec["process"]["env"]
    assert spec["root"]["path"] == str(cluster.rootfs)
    assert task == {"method": "task.create", "ns": "other", "id": "a"}


def test_config_is_taken_as_it_is(cluster):
    spec = {"ociVersion": "1.0.2", "root": {"path": "/r"}, "process": {"cwd": "/", "args": ["/bin/true"]}}
    path = cluster.dir / "spec.json"
    path.write_text(json.dumps(spec))
    assert cluster.ctl("run", "--config", str(path), "a").returncode == 0
    assert json.loads(cluster.seen()[0]["spec"]) == spec
    assert "runc" not in cluster.seen()[0]
    done = cluster.ctl("run", "--config", str(path), "--env", "A=1", "b")
    assert (done.returncode, done.stderr.count("--env and --config")) == (2, 1)


def test_log_uri_is_passed_on(cluster):
    assert cluster.ctl(*cluster.sh("true", "-d", "--log-uri", "binary:///bin/x?a=b")).returncode == 0
    assert cluster.seen()[1]["stdout"] == cluster.seen()[1]["stderr"] == "binary:///bin/x?a=b"
    assert cluster.ctl(*cluster.sh("true", "--log-uri", "http://x", name="b")).returncode == 6


def test_pid_file_is_there_before_the_start(cluster):
    cluster.plan("task.start slow 0.5")
    path = cluster.dir / "pid"
    process = cluster.start(*cluster.sh("true", "--pid-file", str(path)), stdin=subprocess.DEVNULL)
    until(lambda: "task.start" in cluster.methods(), "start was asked for")
    assert path.read_text() == "4711"
    assert process.wait(WAIT_SECONDS) == 0


@pytest.mark.parametrize("words, code, sentence", [
    (["run", "--rm", "-d", "--restart", "always", "--rootfs", "D", "a", "x"], 2, "--rm and --restart cannot be used together"),
    (["run", "-t", "--null-io", "--rootfs", "D", "a", "x"], 2, "--tty and --null-io cannot be used together"),
    (["run", "-t", "--rootfs", "D", "a", "x"], 5, "a: it wants a terminal, but standard input is none"),
    (["run", "alpine", "a", "x"], 2, "images are not managed here: give --rootfs and a directory"),
    (["run", "--rootfs", "D"], 2, "a container id must be given"),
    (["run", "--rootfs", "D", "a"], 2, "a command must be given"),
    (["run", "--rootfs", "D", "a/b", "x"], 6, 'container id "a/b" is not an identifier'),
    (["run", "--rootfs", "D", "a\nb", "x"], 6, 'container id "a?b" is not an identifier'),
    (["run", "--rootfs", "/nonexistent", "a", "x"], 6, "/nonexistent"),
    (["run", "--log-opt", "max-size=1m", "--rootfs", "D", "a", "x"], 2, "--log-opt is about the log of a detached"),
    (["run", "-d", "--log-opt", "max-size=1", "--rootfs", "D", "a", "x"], 6, "not a number from 65536 to"),
    (["run", "-d", "--log-opt", "max-size=9223372036854775807k", "--rootfs", "D", "a", "x"], 6, "not a number from"),
    (["run", "-d", "--log-opt", "max-file=0", "--rootfs", "D", "a", "x"], 6, "not a number from 1 to 1000"),
    (["run", "-d", "--log-opt", "compress=1", "--rootfs", "D", "a", "x"], 6, "neither max-size=BYTES nor max-file=COUNT"),
    (["run", "--memory-limit", "lots", "--rootfs", "D", "a", "x"], 6, "--memory-limit lots: not a number from 0 to"),
    (["logs", "--since", "soon", "a"], 6, "--since soon: neither a time"),
    (["logs", "--tail", "few", "a"], 6, "--tail few"),
    (["-n", "../x", "t", "ls"], 6, "namespace ../x: not an identifier"),
    (["--timeout", "soon", "t", "ls"], 6, "--timeout soon: not a time"),
    (["events", "--since", "soon"], 6, "--since soon: neither a time like"),
    (["t", "kill", "-s", "FOO", "a"], 6, "--signal FOO: no such signal"),
    (["t", "kill"], 2, "tasks kill needs ID"),
    (["t", "ps", "a", "b"], 2, "b is one word too many"),
])
def test_bad_words_are_refused_before_anything_is_asked(cluster, words, code, sentence):
    done = cluster.ctl(*[str(cluster.rootfs) if word == "D" else word for word in words])
    assert done.returncode == code
    assert sentence in done.stderr and done.stderr.count("\n") == 1
    assert done.stdout == "" and cluster.methods() == []


@pytest.mark.parametrize("method", ["container.create", "task.create", "task.start"])
@pytest.mark.parametrize("code, status", [(9, 5), (13, 1), (14, 10)])
def test_a_failed_step_undoes_all_before_it(cluster, method, code, status):
    cluster.plan(f"{method} {code} it rains")
    path = cluster.dir / "pid"
    done = cluster.ctl(*cluster.sh("true", "--pid-file", str(path)))
    assert done.returncode == status
    assert done.stderr == f"shimctl: {method.split('.')[1]} {method.split('.')[0]} a: it rains\n" or \
        done.stderr == "shimctl: start a: it rains\n"
    assert not path.exists()
    assert cluster.ctl("c", "ls", "-q").stdout == cluster.ctl("t", "ls", "-q").stdout == ""
    fifos = cluster.run / "fifo"
    assert not fifos.exists() or os.listdir(fifos) == []


def test_what_cannot_be_undone_is_named(cluster):
    cluster.plan("task.create 13 it rains\ntask.delete 8 no room\ncontainer.delete 8 no room")
    assert cluster.ctl(*cluster.sh("true")).stderr.splitlines() == [
        "shimctl: undo: delete task a: no room",
        "shimctl: undo: delete container a: no room",
        "shimctl: create task a: it rains",
    ]


def test_an_existing_container_is_not_undone(cluster):
    assert cluster.ctl("c", "create", "--rootfs", str(cluster.rootfs), "a", "/bin/true").returncode == 0
    done = cluster.ctl(*cluster.sh("true"))
    assert (done.returncode, done.stderr) == (4, "shimctl: create container a: already exists\n")
    assert cluster.ctl("c", "ls", "-q").stdout == "a\n"


def test_a_pid_file_that_cannot_be_written_undoes_all(cluster):
    done = cluster.ctl(*cluster.sh("true", "--pid-file", "/nonexistent/pid"))
    assert done.returncode == 1 and "/nonexistent/pid" in done.stderr
    cluster.nothing_left()


def test_no_answer_is_a_deadline(cluster):
    cluster.plan("task.create silent\ntask.delete silent\ncontainer.delete silent")
    done = cluster.ctl(*cluster.sh("true", "--timeout", "100ms"))
    assert done.returncode == 9
    assert done.stderr.splitlines()[-1] == "shimctl: create task a: task.create: no answer before the deadline"


def test_an_interrupt_before_the_start_undoes(cluster):
    cluster.plan("task.create slow 0.5")
    process = cluster.start(*cluster.sh("true"), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    until(lambda: "task.create" in cluster.methods(), "the task was asked for")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=WAIT_SECONDS)[1] == "shimctl: a: interrupted\n"
    assert process.returncode == 12
    assert "task.start" not in cluster.methods()
    cluster.nothing_left()


def test_signals_are_passed_on(cluster):
    process = cluster.start(*cluster.sh("trap 'exit 9' INT; trap 'echo usr' USR1; echo up; while :; do sleep 0.05; done"),
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGURG)
    process.send_signal(signal.SIGUSR1)
    assert process.stdout.readline() == "usr\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(WAIT_SECONDS) == 9
    assert [r["signal"] for r in cluster.seen() if r["method"] == "task.kill"] == [signal.SIGUSR1, signal.SIGINT]


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_signal_during_the_start_is_for_what_runs(cluster, number):
    cluster.plan("task.start slow 0.5")
    process = cluster.start(*cluster.sh("exec sleep 60"), stdin=subprocess.DEVNULL)
    until(lambda: "task.start" in cluster.methods(), "the start was asked for")
    process.send_signal(number)
    assert process.wait(WAIT_SECONDS) == 128 + number
    assert [r["signal"] for r in cluster.seen() if r["method"] == "task.kill"] == [number]


def test_three_signals_that_nobody_takes_end_the_client(cluster):
    cluster.plan("task.kill silent")
    process = cluster.start(*cluster.sh("echo up; sleep 60"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout.readline() == "up\n"
    for count in (1, 2):
        process.send_signal(signal.SIGINT)
        until(lambda: cluster.methods().count("task.kill") == count, "the signal was passed on")
    process.send_signal(signal.SIGINT)
    assert process.wait(WAIT_SECONDS) == 128 + signal.SIGINT
    assert "task.delete" not in cluster.methods()
    assert cluster.ctl("t", "rm", "-f", "a").returncode == 0
    cluster.nothing_left(containers="a\n")


def test_a_wait_that_fails_leaves_the_container_alone(cluster):
    cluster.plan("task.wait 14 the shim worker is gone")
    done = cluster.ctl(*cluster.sh("sleep 30"))
    assert (done.returncode, done.stderr) == (10, "shimctl: wait: the shim worker is gone\n")
    assert "task.delete" not in cluster.methods()
    assert len(os.listdir(cluster.run / "fifo")) == 1
    assert cluster.ctl("t", "rm", "-f", "a").returncode == 0
    cluster.nothing_left(containers="a\n")


# terminal -------------------------------------------------------------------------------------------------------


class Terminal:
    def __init__(self, cluster, *words):
        self.master, self.slave = pty.openpty()
        termios.tcsetwinsize(self.slave, (33, 99))
        self.before = termios.tcgetattr(self.slave)
        self.text = b""
        self.process = cluster.start(*words, stdin=self.slave, stdout=self.slave, stderr=self.slave)

    def read_until(self, wanted):
        while wanted not in self.text:
            assert select.select([self.master], [], [], WAIT_SECONDS)[0], (wanted, self.text)
            self.text += os.read(self.master, 4096)

    def end(self):
        code = self.process.wait(WAIT_SECONDS)
        assert termios.tcgetattr(self.slave) == self.before
        os.close(self.master)
        os.close(self.slave)
        return code


def test_a_terminal_works_and_is_put_back(cluster):
    terminal = Terminal(cluster, *cluster.sh("stty size; read x; echo got $x; read y; stty size; exit 6", "-t", "--rm"))
    terminal.read_until(b"33 99")
    os.write(terminal.master, b"hello\r")
    terminal.read_until(b"got hello\r\n")
    termios.tcsetwinsize(terminal.master, (40, 120))
    terminal.process.send_signal(signal.SIGWINCH)
    until(lambda: [r for r in cluster.seen() if r["method"] == "task.resize" and r["height"] == 40], "the new size")
    os.write(terminal.master, b"\r")
    terminal.read_until(b"40 120")
    assert terminal.end() == 6
    assert "stderr" not in cluster.seen()[1] and cluster.seen()[1]["terminal"] is True
    cluster.nothing_left()


def test_a_program_finds_its_terminal_sized(cluster):
    """However long that takes, and whichever request a shim would serve sooner."""
    cluster.plan("task.resize slow 0.5")
    terminal = Terminal(cluster, *cluster.sh("stty size", "-t", "--rm"))
    terminal.read_until(b"33 99")
    assert terminal.end() == 0


def test_the_terminal_of_an_exec_begins_with_its_size(cluster):
    cluster.ctl(*cluster.sh("sleep 60", "-d", "--null-io"))
    terminal = Terminal(cluster, "t", "exec", "-t", "a", "/bin/sh", "-c", "echo up; exit 3")
    terminal.read_until(b"up")
    assert terminal.end() == 3
    process = json.loads([r for r in cluster.seen() if r["method"] == "task.exec"][0]["spec"])
    assert process["terminal"] is True and process["consoleSize"] == {"height": 33, "width": 99}
    cluster.ctl("t", "rm", "-f", "a")


def test_a_signal_leaves_the_terminal_as_it_was(cluster):
    terminal = Terminal(cluster, *cluster.sh("echo up; sleep 60", "-t"))
    terminal.read_until(b"up")
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.end() == 128 + signal.SIGTERM
    assert cluster.ctl("t", "ls").stdout.split()[-1] == "RUNNING"
    cluster.ctl("t", "rm", "-f", "a")


# detached, attach, exec -----------------------------------------------------------------------------------------


def test_detach_and_attach(cluster):
    fifos = cluster.run / "fifo"
    assert cluster.ctl(*cluster.sh("echo early; read x; echo $x; exit 4", "-d", "--fifo-dir", str(fifos))).stdout == ""
    assert len(os.listdir(fifos)) == 1
    done = cluster.ctl("t", "attach", "a", stdin="word\n")
    assert (done.stdout, done.returncode) == ("early\nword\n", 4)
    cluster.nothing_left(containers="a\n")


LOG_URI = "binary:///no/libexec/shimd-log?dir=/no/root/log/"


def test_a_detached_process_has_a_log_writer(cluster):
    """Its URI names the directory by container, record and exec; nothing is attached to it."""
    assert cluster.ctl(*cluster.sh("sleep 60", "-d", "--log-opt", "max-size=1m", "--log-opt", "max-file=7")).returncode == 0
    made = cluster.ctl("--json", "c", "info", "a").stdout
    created = json.loads(made)["created_at"]
    stream = [r for r in cluster.seen() if r["method"] == "task.create"][0]
    assert stream["stdout"] == stream["stderr"] == f"{LOG_URI}default/a/{created}&max-size=1048576&max-file=7&terminal=0"
    done = cluster.ctl("t", "attach", "a")
    assert (done.returncode, done.stderr) == (
        5, "shimctl: attach to a: its output goes to its log: see shimctl logs -f a\n")
    assert cluster.ctl("t", "exec", "-d", "--exec-id", "e", "a", "/bin/true").returncode == 0
    stream = [r for r in cluster.seen() if r["method"] == "task.exec"][0]["stdout"]
    assert stream == f"{LOG_URI}default/a/{created}/exec/e&max-size=10485760&max-file=2&terminal=0"
    cluster.ctl("t", "rm", "-f", "a")


def test_a_detached_terminal_has_a_log_writer(cluster):
    cluster.plan("task.start 9 enough was seen")
    assert cluster.ctl(*cluster.sh("sleep 60", "-d", "-t")).returncode == 5
    ask = [r for r in cluster.seen() if r["method"] == "task.create"][0]
    assert ask["terminal"] and ask["stdout"].startswith(LOG_URI) and ask["stdout"].endswith("&terminal=1")
    assert "stderr" not in ask and "stdin" not in ask


def test_start_follows_a_recorded_container(cluster):
    assert cluster.ctl("c", "create", "--rootfs", str(cluster.rootfs), "a", "/bin/sh", "-c", "echo x; exit 3").returncode == 0
    for _ in range(2):
        done = cluster.ctl("t", "start", "a")
        assert (done.stdout, done.returncode) == ("x\n", 3)
    done = cluster.ctl("t", "start", "nothere")
    assert (done.returncode, done.stderr) == (3, "shimctl: start task nothere: not found\n")


def test_exec(cluster):
    cluster.ctl(*cluster.sh("sleep 60", "-d", "--null-io"))
    done = cluster.ctl("t", "exec", "--exec-id", "e", "-n", "default", "a", "/bin/sh", "-c", "cat; exit 2", stdin="in")
    assert (done.stdout, done.returncode) == ("in", 2)
    done = cluster.ctl("t", "exec", "a", "/missing", "--json", "-d")
    assert done.returncode == 1 and "no such file" in done.stderr
    assert [r["id"] for r in cluster.seen() if r["method"] == "task.delete"] == ["a", "a"]
    assert cluster.ctl("t", "exec", "-d", "--exec-id", "f", "a", "/bin/sleep", "60").returncode == 0
    assert [line.split()[1] for line in cluster.ctl("t", "ps", "a").stdout.splitlines()] == ["INFO", "-", "f"]
    assert cluster.ctl("t", "kill", "--exec-id", "f", "a").returncode == 0
    assert cluster.ctl("t", "wait", "--exec-id", "f", "a").stdout == "143\n"
    assert cluster.ctl("t", "rm", "--exec-id", "f", "a").returncode == 143
    assert os.listdir(cluster.run / "fifo") == []
    cluster.ctl("t", "rm", "-f", "a")


# lists and small commands ---------------------------------------------------------------------------------------


def test_tasks(cluster):
    for name in "ab":
        cluster.ctl(*cluster.sh("sleep 60", "-d", name=name))
    rows = [line.split() for line in cluster.ctl("t", "ls").stdout.splitlines()]
    assert rows[0] == ["TASK", "PID", "STATUS"] and [(r[0], r[2]) for r in rows[1:]] == [("a", "RUNNING"), ("b", "RUNNING")]
    assert [json.loads(l)["id"] for l in cluster.ctl("t", "ls", "--json").stdout.splitlines()] == ["a", "b"]
    assert cluster.ctl("t", "ls", "-q").stdout == "a\nb\n"
    assert cluster.ctl("t", "ls", "-q", "--json").stdout == '{"id":"a"}\n{"id":"b"}\n'
    assert cluster.ctl("t", "rm", "a").returncode == 5
    assert "its task is RUNNING" in cluster.ctl("c", "rm", "a").stderr
    assert cluster.ctl("t", "kill", "-s", "KILL", "a").returncode == 0
    assert cluster.ctl("t", "kill", "-s", "term", "b").returncode == 0
    assert cluster.ctl("t", "wait", "b", "a").stdout == "143\n137\n"
    done = cluster.ctl("t", "rm", "nothere", "a")
    assert (done.returncode, done.stderr) == (3, "shimctl: task nothere not found\n")
    assert cluster.ctl("c", "rm", "b", "a").returncode == 0
    cluster.nothing_left()


def test_containers(cluster):
    for name in "edcba":
        cluster.ctl("c", "create", "--label", "l=1", "--rootfs", str(cluster.rootfs), name, "/bin/true")
    assert cluster.ctl("c", "ls", "-q").stdout.split() == list("abcde")  # over three pages
    assert [json.loads(l) for l in cluster.ctl("c", "ls", "-q", "--json").stdout.splitlines()] == [{"id": i} for i in "abcde"]
    line = cluster.ctl("containers", "list").stdout.splitlines()[1]
    assert line == "a            -        io.containerd.runc.v2    "
    assert cluster.ctl("c", "label", "a", "l=", "m=2", "k").stdout == "k=true,m=2\n"
    info = json.loads(cluster.ctl("c", "info", "a").stdout)
    assert list(info) == ["ID", "Labels", "Image", "Runtime", "SnapshotKey", "Snapshotter", "CreatedAt", "UpdatedAt",
                          "Extensions", "Spec"]
    assert info["Spec"]["process"]["args"] == ["/bin/true"]
    assert json.loads(cluster.ctl("c", "info", "--json", "a").stdout)["spec"] == info["Spec"]
    assert cluster.ctl("c", "info", "x").returncode == 3
    done = cluster.ctl("c", "del", "x", "a")
    assert done.returncode == 3 and done.stderr.count("\n") == 1
    assert cluster.ctl("c", "ls", "-q").stdout.split() == list("bcde")


def test_namespaces(cluster):
    assert cluster.ctl("ns", "c", "foo", "a=b", "z").returncode == 0
    done = cluster.ctl("namespaces", "create", "foo")
    assert (done.returncode, done.stderr) == (4, "shimctl: namespace foo: already exists\n")
    assert cluster.ctl("ns", "label", "foo", "a=").returncode == 0
    assert cluster.ctl("ns", "ls").stdout == "NAME LABELS \nfoo  z=true \n"
    assert cluster.ctl("ns", "ls", "-q", "--json").stdout == '{"name":"foo"}\n'
    assert cluster.ctl("ns", "rm", "foo", "bar").stdout == "foo\nbar\n"
    assert cluster.ctl("--json", "ns", "rm", "foo").stdout == '{"name":"foo"}\n'


def test_cluster(cluster):
    rows = cluster.ctl("cluster", "status").stdout.splitlines()
    assert rows[0].split() == ["PROCESS", "STATE", "PID", "UPTIME", "RESTARTS", "QUEUED", "IN", "FLIGHT", "LAST", "END"]
    assert rows[2].split()[:5] == ["broker", "READY", "101", "1m1s", "1"]
    assert rows[3:] == ["not removed yet: bundle default/old: busy?[1m"]
    status = json.loads(cluster.ctl("--json", "cluster", "status").stdout)
    assert status["processes"][1]["name"] == "broker" and status["debts"][0]["id"] == "old"
    cluster.plan("bundle.list 14 no worker")  # the rest is told all the same
    assert cluster.ctl("cluster", "status").stdout.splitlines() == rows[:3]
    assert "debts" not in json.loads(cluster.ctl("--json", "cluster", "status").stdout)
    assert cluster.ctl("cluster", "restart", "broker").returncode == 0
    assert cluster.ctl("cluster", "restart", "bogus").returncode == 6
    assert "Version:  0.1.0" in cluster.ctl("version").stdout


@pytest.mark.parametrize("code, status", enumerate([12, 1, 6, 9, 3, 4, 7, 8, 5, 13, 6, 11, 1, 10, 1, 7], 1))
def test_each_class_of_failure_has_its_exit_status(cluster, code, status):
    cluster.plan(f"task.list {code} it rains")
    done = cluster.ctl("tasks", "list")
    assert (done.returncode, done.stderr, done.stdout) == (status, "shimctl: it rains\n", "")


def test_sentences_of_others_cannot_steer_the_terminal(cluster):
    cluster.plan("task.list 5 a\x1b[2Jb")
    assert cluster.ctl("t", "ls").stderr == "shimctl: a?[2Jb\n"


def test_no_cluster_is_said_at_once():
    with tempfile.TemporaryDirectory() as empty:
        began = time.monotonic()
        done = subprocess.run([SHIMCTL, "--run-dir", empty, "run", "--rootfs", "/", "a", "/bin/true"], text=True,
                              capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (10, f"shimctl: no shimd cluster at {empty}: start one with shimd\n")
        assert time.monotonic() - began < 5
        assert os.listdir(empty) == []


def test_help_and_version_need_no_cluster():
    for words in (["--help"], ["tasks", "--help"], ["run", "-h"], ["help", "t", "kill"], ["--version"], ["messages"]):
        done = subprocess.run([SHIMCTL, "--run-dir", "/nonexistent", *words], text=True, capture_output=True, check=False)
        assert done.returncode == 0 and done.stdout and not done.stderr
    methods = [json.loads(line) for line in subprocess.run([SHIMCTL, "messages", "--json"], text=True, check=True,
                                                           capture_output=True).stdout.splitlines()]
    assert {"method", "service", "fields"} <= set(next(m for m in methods if m.get("method") == "task.create"))


@pytest.mark.parametrize("words, sentence", [
    (["taks"], "unknown command taks: did you mean tasks?"),
    (["tasks", "lst"], "unknown command tasks lst: did you mean tasks list?"),
    (["pause", "a"], "unknown command pause: did you mean tasks pause?"),
    (["wiat", "a"], "did you mean wait?"),
    (["images", "ls"], "images are not managed here: unpack one into a directory and give --rootfs DIR"),
    (["pull", "alpine"], "images are not managed here: unpack one into a directory and give --rootfs DIR"),
    (["help", "fitlers"], "unknown topic fitlers: did you mean filters?"),
    (["xyzzy"], "unknown command xyzzy (see"),
    (["x" * 5000], "unknown command"),
])
def test_a_mistyped_command_is_guessed(words, sentence):
    done = subprocess.run([SHIMCTL, *words], text=True, capture_output=True, check=False)
    assert done.returncode == 2 and sentence in done.stderr and done.stdout == ""


def test_topics_of_help():
    def text(*words):
        return subprocess.run([SHIMCTL, *words], text=True, capture_output=True, check=True).stdout

    whole = text("help")
    for topic in ("filters", "exit-status", "namespaces", "events", "logs"):
        assert f"  {topic} " in whole.split("topics:")[1] and len(text("help", topic).splitlines()) > 5
        assert json.loads(text("--json", "help", topic))["topic"] == topic
    assert "--since" in text("help", "events") and "journal" in text("help", "events")


def test_options_of_a_command_are_one_list():
    done = subprocess.run([SHIMCTL, "help", "run"], text=True, capture_output=True, check=True)
    titles = [line for line in done.stdout.splitlines() if "options" in line and line.endswith(":")]
    assert titles == ["options:", "options of every command:"]
    assert done.stdout.index("--detach") < done.stdout.index("--memory-limit") < done.stdout.index(titles[1])


def test_every_command_has_an_example_that_is_one():
    """Each line of an example begins with words that are a command."""
    text = subprocess.run([SHIMCTL, "--json", "help"], text=True, capture_output=True, check=True).stdout
    rows = [row for row in json.loads(text)["commands"] if not row["commands"]]
    names = {row["command"] for row in rows}
    for row in rows:
        examples = [line.split()[1:] for line in (row.get("help") or "").splitlines() if line.startswith("  shimctl ")]
        assert examples, row["command"]
        assert all({words[0], " ".join(words[:2])} & names or words[0].startswith("-") for words in examples), (row["command"], examples)


def test_help_and_version_as_json():
    def value(*words):
        return json.loads(subprocess.run([SHIMCTL, *words], text=True, capture_output=True, check=True).stdout)

    assert set(value("--json", "--version")) == {"client"}
    whole = value("--json", "help")
    names = [row["command"] for row in whole["commands"]]
    assert {"run", "tasks", "tasks kill", "stop"} <= set(names) and "__complete" not in names
    assert value("help", "t", "kill", "--json") == value("tasks", "kill", "--json", "--help")
    assert {"name": "signal", "letter": "s"}.items() <= value("--json", "help", "kill")["options"][0].items()


def test_bare_words_print_help():
    for words in ([], ["tasks"], ["c"], ["shim"]):
        done = subprocess.run([SHIMCTL, *words], text=True, capture_output=True, check=False)
        assert done.returncode == 0 and done.stdout.startswith("usage: shimctl") and not done.stderr


def test_a_long_operation_is_seen_on_a_terminal(cluster):
    cluster.plan("task.list slow 2")
    terminal = Terminal(cluster, "tasks", "list")
    terminal.read_until(b"\r\x1b[Kshimctl: task.list: 1 s")
    terminal.read_until(b"\r\x1b[KTASK")
    assert terminal.end() == 0
    assert cluster.ctl("tasks", "list").stderr == "", "no line where standard error is no terminal"
    cluster.plan("task.create slow 2")
    terminal = Terminal(cluster, *cluster.sh("echo up"))
    terminal.read_until(b"\r\x1b[Kshimctl: run: 1 s")
    terminal.read_until(b"up\r\n")
    assert terminal.end() == 0


def test_completion_of_new_commands(cluster):
    def complete(*words):
        return cluster.ctl("__complete", "--", "shimctl", *words).stdout.split()

    cluster.ctl("run", "-d", "--null-io", "--rootfs", str(cluster.rootfs), "box", "/bin/sleep", "1000")
    for words in (["stop"], ["restart"], ["stats"], ["inspect"], ["exec"], ["wait"], ["t", "metrics"], ["update"],
                  ["t", "checkpoint"], ["shim", "state", "--id"]):
        assert complete(*words, "b") == ["box"], words
    assert complete("shim", "--id", "b") == ["box"] and complete("shim", "--id", "box", "sh") == ["shutdown"]
    assert complete("sto") == ["stop"] and complete("t", "che") == ["checkpoint"]
    assert complete("stop", "--si") == ["--signal"] and complete("stop", "-s", "US") == ["USR1", "USR2"]
    assert complete("update", "--resources", "") == [":file"]
    assert "filters" in complete("help", "f")
    assert cluster.ctl("kill", "-s", "KILL", "box").returncode == 0


def test_completion(cluster):
    def complete(*words):
        return cluster.ctl("__complete", "--", "shimctl", *words).stdout.split()

    cluster.ctl("c", "create", "-n", "other", "--rootfs", str(cluster.rootfs), "box", "/bin/true")
    assert complete("ta") == ["tasks"]
    assert complete("t", "ki") == ["kill"]
    assert complete("-n", "other", "c", "info", "") == ["box"]
    assert complete("c", "info", "") == []
    assert complete("c", "info", "-n", "o") == ["other"]
    assert complete("t", "kill", "-s", "TER") == ["TERM"]
    assert complete("run", "--config", "") == [":file"]
    assert complete("run", "--det") == ["--detach"]
    assert complete("run", "--rootfs", "") == [":directory"]
    assert complete("run", "--rootfs", "/", "id", "") == []
    script = SOURCE / "packaging/shimctl.bash"
    shell = f". {script}; COMP_WORDS=({SHIMCTL} ta); COMP_CWORD=1; _shimctl; echo ${{COMPREPLY[@]}}"
    assert subprocess.run(["bash", "-c", shell], env=cluster.env, capture_output=True, text=True,
                          check=True).stdout == "tasks\n"


# events ---------------------------------------------------------------------------------------------------------


class Publisher:
    """Remote control of the double's journal: event.publish."""

    def __init__(self, cluster):
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.connect(f"ipc://{cluster.run}/client.sock")

    def __call__(self, topic, ns="default", **fields):
        head = {"v": 1, "id": os.urandom(16), "method": "event.publish", "ns": ns}
        self.socket.send_multipart([msgpack.packb(head), msgpack.packb({"topic": topic, "type": "t", "event": fields})])
        return msgpack.unpackb(self.socket.recv_multipart()[1])["seq"]

    def close(self):
        self.socket.close(0)


@pytest.fixture(name="publish")
def fixture_publish(cluster):
    publisher = Publisher(cluster)
    yield publisher
    publisher.close()


def numbers(process, count):
    return [json.loads(process.stdout.readline())["event"]["n"] for _ in range(count)]


def sync_until_heard(process, publish):
    """A subscription takes a moment; what is published before it counts is lost, and a .sync tells of it."""
    until(lambda: publish("/double/sync") and select.select([process.stdout], [], [], 0.05)[0], "an event is printed")


def test_events_of_the_journal(cluster, publish):
    for n in range(1, 11):
        publish("/t/x", ns="odd" if n % 2 else "even", n=n)
    lines = cluster.ctl("events", "--since", "0", "--until", "now").stdout.splitlines()
    assert [json.loads(line.split(" ", 6)[6])["n"] for line in lines] == list(range(1, 11))
    assert lines[0].split()[2:6] == ["+0000", "UTC", "odd", "/t/x"]
    def some(*words):
        return [json.loads(line)["seq"] for line in cluster.ctl("events", "--json", *words).stdout.splitlines()]
    assert some("--since", "4", "--until", "8") == [4, 5, 6, 7, 8]
    assert some("--until", "2") == [1, 2]
    assert some("-n", "even", "--until", "now") == [2, 4, 6, 8, 10]
    assert some("--since", "99", "--until", "now") == []


def test_events_live_without_gap_or_repetition(cluster, publish):
    publish("/t/x", n=1)
    process = cluster.start("events", "--json", "--since", "1", stdout=subprocess.PIPE)
    try:
        assert numbers(process, 1) == [1]
        publish("/t/x", n=2)
        sync_until_heard(process, publish)
        assert numbers(process, 1) == [2]
        publish("/double/hide", count=7)
        for n in range(3, 10):
            publish("/t/x", n=n)
        publish("/t/x", n=10)  # the subscriber sees this one and asks for what is missing
        assert numbers(process, 8) == list(range(3, 11))
        publish("/double/hide", count=2)
        publish("/t/x", n=11)
        publish("/t/x", n=12)
        publish("/double/sync")
        assert numbers(process, 2) == [11, 12]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_subscription_that_falls_silent_is_made_up_for_from_the_journal(cluster, publish):
    publish("/double/hide", count=100)
    with cluster.start("events", "--json", "--since", "0", stdout=subprocess.PIPE) as process:
        try:
            publish("/t/x", n=1)
            assert numbers(process, 1) == [1]
            cluster.plan("event.list 14 nobody there\n")
            asked = cluster.methods().count("event.list")
            publish("/t/x", n=2)
            until(lambda: cluster.methods().count("event.list") > asked, "the journal was asked in vain")
            cluster.plan("")
            publish("/t/x", n=3)
            assert numbers(process, 2) == [2, 3]
            assert process.poll() is None
        finally:
            process.kill()


def test_the_client_in_python_makes_up_for_silence_too(cluster, publish):
    publish("/double/hide", count=100)
    client = Client(cluster.run)
    events = client.events("default", since=1)
    for n in (1, 2):
        publish("/t/x", n=n)
        assert next(events)["event"]["n"] == n
    events.close()
    client.close()


def test_a_subscriber_with_an_end_hears_that_nobody_answers(cluster):
    words = ("events", "--subscriber", "a", "--until", "now")
    cluster.plan("event.subscribe 14 nobody there\n")
    done = cluster.ctl(*words)
    assert done.returncode == 10 and "nobody there" in done.stderr
    cluster.plan("event.subscribe silent\n")
    assert cluster.ctl(*words, "--timeout", "200ms").returncode == 9


@pytest.mark.parametrize("since", [2, 3])
def test_a_place_that_is_yet_to_come_is_waited_for(cluster, publish, since):
    publish("/t/x", n=1)
    with cluster.start("events", "--json", "--since", str(since), "--until", "4", stdout=subprocess.PIPE) as process:
        try:
            until(lambda: cluster.methods().count("event.list") > 1, "the journal was read")
            for n in (2, 3, 4):
                publish("/t/x", n=n)
            sync_until_heard(process, publish)
            assert numbers(process, 5 - since) == list(range(since, 5))
            assert process.wait(WAIT_SECONDS) == 0
        finally:
            process.kill()


def test_events_tell_what_is_gone(cluster, publish):
    for n in range(1, 6):
        publish("/t/x", n=n)
    publish("/double/trim", count=3)
    done = cluster.ctl("events", "--json", "--since", "2", "--until", "now")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows[0] == {"gap": {"first": 2, "last": 3}} and [row["seq"] for row in rows[1:]] == [4, 5]
    assert done.stderr == "shimctl: events 2 to 3 are no longer in the journal\n"
    assert cluster.ctl("events", "--since", "0", "--until", "now").stderr == ""


def test_events_begin_with_the_present(cluster, publish):
    publish("/t/x", n=1)
    process = cluster.start("events", "--json", stdout=subprocess.PIPE)
    try:
        until(lambda: "event.list" in cluster.methods(), "the journal was asked")
        publish("/t/x", n=2)
        sync_until_heard(process, publish)
        assert numbers(process, 1) == [2]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
