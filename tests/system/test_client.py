"""What shimctl does with real containers beyond running them: measures, limits, checkpoints, shims, comforts."""

import json
import os
import pty
import shutil
import signal
import stat
import subprocess
import termios

import pytest
from cluster import until
from test_containers import detached, nothing_of, remove, tasks, topics

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="containers need root"),
    pytest.mark.skipif(not shutil.which("containerd-shim-runc-v2"), reason="no containerd-shim-runc-v2"),
    pytest.mark.skipif(not shutil.which("runc"), reason="no runc"),
]

FAILED_PRECONDITION, NOT_FOUND, INVALID, EXHAUSTED, USAGE = 5, 3, 6, 8, 2


def ok(cluster, *words, **options):
    done = cluster.shimctl(*words, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def stats_of(cluster, name):
    return cluster.client().call("task.stats", {"id": name}, "default", timeout=20)["stats"]


def status_of(cluster, name):
    return tasks(cluster)[name]["status"]


# metrics, stats -------------------------------------------------------------------------------------------------


def test_metrics_are_ctrs_table(cluster):
    detached(cluster, "c", "sleep 1000", "--memory-limit", str(64 << 20))
    for alias in ("metrics", "metric"):
        lines = ok(cluster, "tasks", alias, "c").splitlines()
        assert lines[0].split() == ["ID", "TIMESTAMP"]
        assert lines[1].startswith("c    ") and "UTC" in lines[1]
        assert lines[2] == "" and lines[3].split() == ["METRIC", "VALUE"]
        rows = dict(line.split(None, 1) for line in lines[4:])
        limit = rows.get("memory.limit_in_bytes") or rows.get("memory.usage_limit")
        assert int(limit) == 64 << 20
        assert int(rows["pids.current"]) == 1
        assert int(rows.get("cpuacct.usage") or rows.get("cpu.usage_usec")) > 0
    remove(cluster, "c")


def test_metrics_as_json_have_fields(cluster):
    detached(cluster, "c", "sleep 1000")
    for words in (("--json", "tasks", "metrics", "c"), ("tasks", "metrics", "--format", "json", "c")):
        row = json.loads(ok(cluster, *words))
        assert row["id"] == "c" and row["time"] > 0 and row["stats"]["pids"]["current"] == 1
    bad = cluster.shimctl("tasks", "metrics", "--format", "xml", "c")
    assert bad.returncode == USAGE and "table or json" in bad.stderr
    gone = cluster.shimctl("tasks", "metrics", "nobody")
    assert gone.returncode == NOT_FOUND and "nobody" in gone.stderr
    remove(cluster, "c")


def test_stats_are_printed_once(cluster):
    detached(cluster, "busy", "while true; do true; done", "--memory-limit", "64m")
    detached(cluster, "idle", "sleep 1000")
    rows = {row["id"]: row for row in map(json.loads, ok(cluster, "--json", "stats", "--no-stream").splitlines())}
    assert set(rows) == {"busy", "idle"}
    assert rows["busy"]["cpu_percent"] > 5 > rows["idle"]["cpu_percent"]
    assert rows["busy"]["memory_limit"] == 64 << 20 and 0 < rows["busy"]["memory"] < 64 << 20
    assert rows["idle"]["memory_limit"] > 64 << 20 and rows["idle"]["pids"] == 1
    lines = ok(cluster, "stats", "--no-stream", "busy").splitlines()
    assert lines[0].split("   ")[0] == "CONTAINER ID" and len(lines) == 2
    assert "/ 64MiB" in lines[1] and "%" in lines[1] and "\033" not in lines[1]
    gone = cluster.shimctl("stats", "--no-stream", "nobody")
    assert gone.returncode == NOT_FOUND and "nobody" in gone.stderr
    ok(cluster, "stop", "-t", "0", "idle")
    assert ok(cluster, "stats", "--no-stream", "idle").splitlines()[1].split()[-1] in ("0", "--")
    remove(cluster, "busy", "idle")


def test_stats_are_live_on_a_terminal(cluster):
    detached(cluster, "c", "sleep 1000")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(cluster.command("stats", "c"), stdout=theirs, stdin=subprocess.DEVNULL)
    os.close(theirs)
    seen = b""

    def frames(count):
        nonlocal seen
        while seen.count(b"\033[H\033[J") < count:
            seen += os.read(ours, 4096)
        return seen

    frames(3)
    assert b"CONTAINER ID" in seen and b"%" in seen
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == -signal.SIGINT
    os.close(ours)
    remove(cluster, "c")


def test_stats_end_with_their_reader(cluster):
    detached(cluster, "c", "sleep 1000")
    process = subprocess.Popen(cluster.command("stats", "c"), stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(20) == 0
    remove(cluster, "c")


# update ---------------------------------------------------------------------------------------------------------


def test_update_changes_limits(cluster, tmp_path):
    detached(cluster, "c", "sleep 1000")
    ok(cluster, "tasks", "update", "--memory", "64m", "--cpus", "0.5", "--cpu-shares", "512", "--pids-limit", "50", "c")
    stats = stats_of(cluster, "c")
    limit = stats["memory"]["usage"]["limit"] if "usage" in stats["cpu"] else stats["memory"]["usage_limit"]
    assert (limit, stats["pids"]["limit"]) == (64 << 20, 50)
    file = tmp_path / "limits.json"
    file.write_text('{"pids": {"limit": 60}, "cpu": {"shares": 256}}')
    ok(cluster, "update", "--resources", file, "c")
    assert stats_of(cluster, "c")["pids"]["limit"] == 60
    ok(cluster, "update", "-r", "-", "c", stdin=None, input='{"pids": {"limit": 70}}')
    assert stats_of(cluster, "c")["pids"]["limit"] == 70
    remove(cluster, "c")


@pytest.mark.parametrize("text, sentence", [
    ('{"memory": {"limit": "64m"}}', "memory.limit must be a whole number"),
    ('{"memory": 1}', "memory must be an object"),
    ('{"cpu": {"shares": -1}}', "cpu.shares must be a whole number, 0 or more"),
    ('{"cpu": {"cpus": 0}}', "cpu.cpus must be text"),
    ('{"pids": {"limt": 1}}', "pids.limt is no field of OCI's resources"),
    ('{"memory": {"disableOOMKiller": 1}}', "memory.disableOOMKiller must be true or false"),
    ("[]", "resources must be an object"),
    ("{", "line 1"),
])
def test_resources_of_a_wrong_type_are_named(cluster, tmp_path, text, sentence):
    file = tmp_path / "limits.json"
    file.write_text(text)
    done = cluster.shimctl("update", "--resources", file, "c")
    assert done.returncode == INVALID and sentence in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("words, code, sentence", [
    ([], USAGE, "a limit or --resources must be given"),
    (["--memory", "1", "--resources", "/x"], USAGE, "no other limit"),
    (["--memory", "lots"], INVALID, "--memory lots"),
    (["--memory", "99999999999g"], INVALID, "not a number from 1 to 9223372036854775807"),
    (["--memory", "0"], INVALID, "--memory 0: not a number from 1 to"),
    (["--cpus", "-1"], INVALID, "--cpus"),
    (["--resources", "/nonexistent"], INVALID, "/nonexistent"),
])
def test_update_refuses_bad_words(cluster, words, code, sentence):
    done = cluster.shimctl("tasks", "update", *words, "c")
    assert done.returncode == code and sentence in done.stderr


# checkpoint -----------------------------------------------------------------------------------------------------


def criu_works():
    return bool(shutil.which("criu")) and subprocess.run(["criu", "check"], capture_output=True, check=False).returncode == 0


def where(it_is_so):
    """Two tests of one thing, on machines with CRIU and on those without: one of them is defined."""
    return lambda test: test if it_is_so else None


@where(not criu_works())
def test_without_criu_it_is_named(cluster, tmp_path):
    detached(cluster, "c", "sleep 1000")
    images = tmp_path / "images"
    done = cluster.shimctl("tasks", "checkpoint", "--exit", "--image-path", images, "c")
    assert done.returncode == FAILED_PRECONDITION and "CRIU" in done.stderr
    assert status_of(cluster, "c") == "RUNNING" and not images.exists()
    assert "/tasks/checkpointed" not in topics(cluster, "c")
    ok(cluster, "containers", "create", "--rootfs", cluster.rootfs("d"), "d", "/bin/true")
    done = cluster.shimctl("tasks", "start", "--checkpoint", tmp_path, "d")
    assert done.returncode == FAILED_PRECONDITION and "CRIU" in done.stderr
    assert "d" not in tasks(cluster)
    ok(cluster, "containers", "delete", "d")
    remove(cluster, "c")


def fake_criu(path, script):
    (path / "criu").write_text(f"#!/bin/sh\n{script}\n")
    (path / "criu").chmod(0o755)
    return {**os.environ, "PATH": f"{path}:{os.environ['PATH']}"}


def test_what_criu_says_is_shown(cluster, tmp_path):
    detached(cluster, "c", "sleep 1000")
    env = fake_criu(tmp_path, 'echo warning; echo "Error: the kernel lacks it"; exit 1')
    done = cluster.shimctl("tasks", "checkpoint", "--image-path", tmp_path / "images", "c", env=env)
    assert done.returncode == FAILED_PRECONDITION
    assert "CRIU does not work here" in done.stderr and "the kernel lacks it" in done.stderr
    assert cluster.shimctl("tasks", "checkpoint", "c").returncode == USAGE
    ok(cluster, "tasks", "pause", "c")
    done = cluster.shimctl("tasks", "checkpoint", "--image-path", tmp_path / "images", "c")
    assert done.returncode == FAILED_PRECONDITION and "PAUSED" in done.stderr
    assert not (tmp_path / "images").exists()
    remove(cluster, "c")


@where(criu_works())
def test_a_checkpoint_is_restored(cluster, tmp_path):
    detached(cluster, "c", "sleep 1000", "--null-io")
    ok(cluster, "tasks", "checkpoint", "--exit", "--image-path", tmp_path / "images", "c")
    until(lambda: status_of(cluster, "c") == "STOPPED", "it has ended")
    ok(cluster, "tasks", "delete", "c")
    ok(cluster, "tasks", "start", "-d", "--null-io", "--checkpoint", tmp_path / "images", "c")
    assert status_of(cluster, "c") == "RUNNING"
    remove(cluster, "c")


# one shim -------------------------------------------------------------------------------------------------------


def test_a_shim_answers_with_and_without_the_cluster(cluster):
    detached(cluster, "c", "sleep 1000")
    state = json.loads(ok(cluster, "shim", "state", "--id", "c"))
    assert (state["id"], state["status"], state["pid"]) == ("c", "RUNNING", tasks(cluster)["c"]["pid"])
    assert json.loads(ok(cluster, "shim", "--id", "c", "state")) == state  # as ctr takes it
    assert json.loads(ok(cluster, "shim", "--id", "nobody", "state", "--id", "c")) == state
    cluster.stop()
    assert json.loads(ok(cluster, "--json", "shim", "state", "--id", "c")) == state
    os.kill(state["pid"], signal.SIGKILL)
    until(lambda: json.loads(ok(cluster, "shim", "state", "--id", "c"))["status"] == "STOPPED", "its end is known")
    assert ok(cluster, "shim", "delete", "--id", "c") == "container deleted and returned exit status 137\n"
    assert ok(cluster, "shim", "shutdown", "--id", "c") == ""
    until(lambda: not [c for c in cluster.processes().values() if "-id" in c and "c" in c], "the shim has ended")
    gone = cluster.shimctl("shim", "state", "--id", "c")
    assert gone.returncode == 10 and gone.stderr.count("\n") == 1
    cluster.start()
    until(lambda: tasks(cluster).get("c", {}).get("status") not in ("UNKNOWN", "RUNNING"), "the cluster knows")
    if "c" in tasks(cluster):
        ok(cluster, "tasks", "delete", "-f", "c")
    ok(cluster, "containers", "delete", "c")
    until(lambda: nothing_of(cluster, "c"), "nothing is left")


def test_a_shim_that_is_not_there_is_said(cluster):
    for words, code, sentence in (
        (["--id", "nobody"], NOT_FOUND, "no shim is recorded"), ([], USAGE, "--id"), (["--id", "../x"], INVALID, "identifier"),
    ):
        done = cluster.shimctl("shim", "state", *words)
        assert done.returncode == code and sentence in done.stderr


# comforts -------------------------------------------------------------------------------------------------------


def test_stop_asks_and_then_forces(cluster):
    detached(cluster, "kind", 'trap "exit 3" TERM; while true; do sleep 0.05; done')
    detached(cluster, "stubborn", 'trap "" TERM; while true; do sleep 0.05; done')
    detached(cluster, "other", 'trap "exit 4" INT; while true; do sleep 0.05; done')
    ok(cluster, "stop", "kind")
    ok(cluster, "stop", "-t", "500ms", "stubborn")
    ok(cluster, "stop", "-s", "INT", "other")
    assert ok(cluster, "wait", "kind", "stubborn", "other").split() == ["3", "137", "4"]
    ok(cluster, "stop", "kind")
    done = cluster.shimctl("stop", "nobody", "other")
    assert done.returncode == NOT_FOUND and "nobody" in done.stderr
    bad = cluster.shimctl("stop", "-s", "FOO", "kind")
    assert bad.returncode == INVALID and "FOO" in bad.stderr
    remove(cluster, "kind", "stubborn", "other")


def test_a_paused_container_is_stopped(cluster):
    detached(cluster, "c", 'trap "exit 3" TERM; while true; do sleep 0.05; done')
    ok(cluster, "tasks", "pause", "c")
    ok(cluster, "stop", "c")
    assert ok(cluster, "wait", "c") == "3\n"
    remove(cluster, "c")


def test_restart_makes_a_new_task_that_writes_to_the_same_place(cluster):
    log = cluster.dir / "out"
    detached(cluster, "c", "echo up; exec sleep 1000", "--log-uri", f"file://{log}")
    before = tasks(cluster)["c"]
    until(lambda: log.exists() and log.read_text() == "up\n", "it has written")
    ok(cluster, "restart", "-t", "0", "c")
    after = tasks(cluster)["c"]
    assert after["status"] == "RUNNING" and after["pid"] != before["pid"]
    assert after["incarnation"] != before["incarnation"] and after["stdout"] == before["stdout"]
    until(lambda: log.read_text() == "up\nup\n", "it writes there again")
    remove(cluster, "c")


def test_restart_goes_on_with_the_log(cluster):
    detached(cluster, "c", "echo up; exec sleep 1000")
    until(lambda: ok(cluster, "logs", "c") == "up\n", "it has written")
    ok(cluster, "restart", "-t", "0", "c")
    until(lambda: ok(cluster, "logs", "c") == "up\nup\n", "it writes there again")
    remove(cluster, "c")


def test_inspect_is_one_object(cluster):
    detached(cluster, "c", "sleep 1000", "--label", "tier=web")
    whole = json.loads(ok(cluster, "inspect", "c"))
    assert whole["container"]["labels"] == {"tier": "web"} and whole["task"]["status"] == "RUNNING"
    assert whole["spec"]["process"]["args"][0] == "/bin/sh"
    ok(cluster, "containers", "create", "--rootfs", cluster.rootfs("d"), "d", "/bin/true")
    rows = [json.loads(line) for line in ok(cluster, "--json", "inspect", "c", "d").splitlines()]
    assert [row["container"]["id"] for row in rows] == ["c", "d"] and rows[1]["task"] is None
    assert cluster.shimctl("inspect", "nobody").returncode == NOT_FOUND
    ok(cluster, "containers", "delete", "d")
    remove(cluster, "c")


def test_short_names_of_task_commands(cluster):
    detached(cluster, "c", "sleep 1000")
    done = cluster.shimctl("exec", "c", "/bin/sh", "-c", "exit 5")
    assert done.returncode == 5
    assert ok(cluster, "ps", "c") == ok(cluster, "tasks", "ps", "c")
    ok(cluster, "kill", "-s", "KILL", "c")
    assert ok(cluster, "wait", "c") == "137\n"
    remove(cluster, "c")


# what a client leaves, and how it ends ---------------------------------------------------------------------------


def fifo_dirs(cluster):
    return sorted((cluster.run / "fifo").iterdir()) if (cluster.run / "fifo").exists() else []


def test_fifos_of_a_detached_exec_go_with_it_or_with_its_task(cluster):
    detached(cluster, "c", "sleep 1000")
    detached(cluster, "d", "sleep 1000")
    before = fifo_dirs(cluster)
    for name in ("first", "second"):
        ok(cluster, "exec", "-d", "--fifo-dir", cluster.run / "fifo", "--exec-id", name, "c", "/bin/sleep", "1000")
    ok(cluster, "exec", "-d", "--fifo-dir", cluster.run / "fifo", "--exec-id", "third", "d", "/bin/sleep", "1000")
    assert len(fifo_dirs(cluster)) == len(before) + 3
    ok(cluster, "kill", "-s", "KILL", "--exec-id", "first", "c")
    assert ok(cluster, "wait", "--exec-id", "first", "c") == "137\n"
    assert cluster.shimctl("tasks", "delete", "--exec-id", "first", "c").returncode == 137
    assert len(fifo_dirs(cluster)) == len(before) + 2
    remove(cluster, "c")
    until(lambda: nothing_of(cluster, "c"), "nothing is left")
    left = [path for path in fifo_dirs(cluster) if (path / "owner").is_symlink()]
    assert [stat.S_ISFIFO(os.stat(left[0] / f"third-{name}").st_mode) for name in ("stdin", "stdout")] == [True, True]
    assert len(left) == 1, "those of another task stay"
    remove(cluster, "d")
    assert fifo_dirs(cluster) == []


@pytest.mark.parametrize("command", [["/bin/yes"], ["/bin/sh", "-c", 'trap "exit 9" TERM; while true; do echo x; done']])
def test_a_container_ends_when_nobody_reads(cluster, command):
    run = " ".join(cluster.command("run", "--rm", "--rootfs", cluster.rootfs(), "c", *[f"'{w}'" for w in command]))
    done = subprocess.run(f"{run} | head -n 1; echo ${{PIPESTATUS[0]}}", shell=True, executable="/bin/bash", text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True)
    first, code = done.stdout.split()
    assert (first, code) == (("y", "137") if len(command) == 1 else ("x", "9"))
    until(lambda: nothing_of(cluster, "c"), "nothing is left")


def test_a_terminal_has_its_size_and_is_put_back(cluster):
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (33, 99))
    before = termios.tcgetattr(theirs)
    script = 'trap "stty size" WINCH; stty size; echo up; while ! [ -e /end ]; do sleep 0.05; done; exit 6'
    process = subprocess.Popen(cluster.command("run", "--rm", "-t", "--rootfs", cluster.rootfs(), "c", "/bin/sh", "-c", script),
                               stdin=theirs, stdout=theirs, stderr=theirs)
    seen = b""

    def read_until(wanted):
        nonlocal seen
        while wanted not in seen:
            seen += os.read(ours, 4096)

    read_until(b"up\r\n")
    assert b"33 99" in seen and not termios.tcgetattr(theirs)[3] & termios.ICANON, "raw"
    termios.tcsetwinsize(ours, (40, 120))
    process.send_signal(signal.SIGWINCH)
    read_until(b"40 120")
    (cluster.rootfs() / "end").touch()
    assert process.wait(60) == 6 and termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)
    until(lambda: nothing_of(cluster, "c") and fifo_dirs(cluster) == [], "nothing is left")


def test_signals_are_for_the_container(cluster):
    script = 'trap "echo usr" USR1; trap "exit 9" INT; echo up; while true; do sleep 0.05; done'
    with subprocess.Popen(cluster.command("run", "--rm", "--rootfs", cluster.rootfs(), "c", "/bin/sh", "-c", script),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == "usr\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 9
    until(lambda: nothing_of(cluster, "c") and fifo_dirs(cluster) == [], "nothing is left")


def test_who_watches_a_container_may_leave(cluster):
    detached(cluster, "c", "while true; do echo x; sleep 0.01; done", "--fifo-dir", cluster.run / "fifo")
    process = subprocess.Popen(cluster.command("tasks", "attach", "c"), stdout=subprocess.PIPE, text=True,
                               stdin=subprocess.DEVNULL)
    assert process.stdout.readline() == "x\n"
    process.stdout.close()
    assert process.wait(20) == 128 + signal.SIGPIPE
    assert status_of(cluster, "c") == "RUNNING"
    remove(cluster, "c")


def test_output_to_a_full_disk_is_missed(cluster):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(cluster.command("run", "--rm", "--rootfs", cluster.rootfs(), "c", "/bin/echo", "x"),
                              stdout=full, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
    assert done.returncode == EXHAUSTED and "c: output was lost" in done.stderr
    until(lambda: nothing_of(cluster, "c"), "nothing is left")


def test_options_of_a_container_are_printed_as_ctr_does(cluster):
    ok(cluster, "c", "create", "--rootfs", cluster.rootfs(), "plain", "/bin/true")
    ok(cluster, "c", "create", "--runc-binary", "/usr/sbin/runc", "--rootfs", cluster.rootfs(), "own", "/bin/true")
    def runtime(name):
        return json.loads(ok(cluster, "c", "info", name))["Runtime"]
    assert runtime("plain")["Options"] == {"type_url": "containerd.runc.v1.Options"}
    assert runtime("own")["Options"] == {"type_url": "containerd.runc.v1.Options", "value": "Mg4vdXNyL3NiaW4vcnVuYw=="}
    ok(cluster, "c", "delete", "plain", "own")
