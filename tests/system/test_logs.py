"""Logs of detached processes with real containers: shimd-log as the shim's logger, and `shimctl logs`."""

import json
import os
import random
import re
import shutil
import signal
import stat
import subprocess
import time

import pytest
from cluster import BIN, PROCESSES, command_of, detached, fastest, is_alive, process_ids, until
from log_files import records

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="containers need root"),
    pytest.mark.skipif(not shutil.which("containerd-shim-runc-v2"), reason="no containerd-shim-runc-v2"),
    pytest.mark.skipif(not shutil.which("runc"), reason="no runc"),
]


def ended(cluster, *words):
    """Waits for the process and deletes its task, after which its log is complete. The exit code."""
    code = cluster.shimctl("tasks", "wait", *words).stdout.strip()
    assert code, "the exit code is known"
    done = cluster.shimctl("tasks", "delete", *words)
    assert done.returncode == 0, done.stderr
    return int(code)


def logs(cluster, *words, **options):
    done = cluster.shimctl("logs", *words, **options)
    assert done.returncode == 0, done.stderr
    return done


def log_dir(cluster, name):
    """The directory of the container's present log; there is one only."""
    (made,) = (cluster.root / "log/default" / name).iterdir()
    return made


def writers(cluster, *words):
    """The pids of shimd-log processes with these words in their arguments."""
    return [
        pid for pid in process_ids()
        if (command := command_of(pid)) and command[0] == str(BIN / "shimd-log")
        and all(any(str(word) in argument for argument in command) for word in (cluster.dir, *words))
    ]


def gate(cluster, name):
    """Options that give the container a fifo on which it waits to be told to go on, and what tells it."""
    path = cluster.dir / f"gate-{name}"
    os.mkfifo(path)
    (cluster.rootfs(name) / "gate").touch()

    def open_gate():
        with open(path, "w", encoding="utf-8") as file:
            file.write("go\n")

    return ("--mount", f"type=bind,src={path},dst=/gate,options=rbind:rw"), open_gate


def kill_all(cluster):
    """kill -9 of the supervisor and of all it started."""
    rows = cluster.status()
    for name in ["supervisor", *PROCESSES]:
        try:
            os.kill(rows[name]["pid"], signal.SIGKILL)
        except ProcessLookupError:
            pass  # it went with the supervisor
    cluster.supervisor.wait()
    until(lambda: not any(is_alive(rows[name]["pid"]) for name in PROCESSES), "all are gone")


# What is printed -------------------------------------------------------------------------------------------------


def test_both_streams_come_where_they_belong(cluster):
    detached(cluster, "c", "echo out; echo err >&2; echo last")
    assert ended(cluster, "c") == 0
    done = logs(cluster, "c")
    assert (done.stdout, done.stderr) == ("out\nlast\n", "err\n")
    done = logs(cluster, "-t", "c")
    assert re.fullmatch(r"(\d{4}-\d\d-\d\dT[\d:]+\.\d{9}Z (out|last)\n){2}", done.stdout)
    rows = [json.loads(line) for line in logs(cluster, "--json", "c").stdout.splitlines()]
    assert sorted((row["stream"], row["log"], row["partial"]) for row in rows) == [
        ("stderr", "err", False), ("stdout", "last", False), ("stdout", "out", False)]
    directory = log_dir(cluster, "c")
    assert [stat.S_IMODE(p.stat().st_mode) for p in (directory, *directory.iterdir())] == [0o700, 0o600]


def test_tail_since_and_until(cluster):
    options, go = gate(cluster, "c")
    detached(cluster, "c", "seq=0; while [ $seq -lt 100 ]; do echo a$seq; seq=$((seq+1)); done; read x < /gate; echo late",
             *options)
    until(lambda: "a99\n" in logs(cluster, "c").stdout, "the first part")
    middle = time.time()
    go()
    assert ended(cluster, "c") == 0
    assert logs(cluster, "--tail", "3", "c").stdout == "a98\na99\nlate\n"
    assert logs(cluster, "--tail", "0", "c").stdout == ""
    assert logs(cluster, "--tail", "all", "c").stdout.count("\n") == 101
    assert logs(cluster, "--since", f"{middle:.6f}", "c").stdout == "late\n"
    assert logs(cluster, "--until", f"{middle:.6f}", "--tail", "2", "c").stdout == "a99\n"
    assert logs(cluster, "--since", "1h", "c").stdout.count("\n") == 101


def test_output_is_byte_for_byte(cluster):
    """Junk, NULs, lines longer than a record, and an end without a newline."""
    detached(cluster, "c", "head -c 300000 /dev/urandom > /tmp/all; head -c 100000 /dev/zero >> /tmp/all; "
                           "printf 'x\\n\\n\\ny' >> /tmp/all; cat /tmp/all")
    assert ended(cluster, "c") == 0
    expected = (cluster.rootfs("c") / "tmp/all").read_bytes()
    assert logs(cluster, "c", text=False).stdout == expected
    assert max(len(text) for _, _, text in records(log_dir(cluster, "c"))) == 16384


def test_a_prompt_without_a_newline_is_seen(cluster):
    options, go = gate(cluster, "c")
    detached(cluster, "c", "printf 'ready? '; read x < /gate; echo $x", *options)
    until(lambda: logs(cluster, "c").stdout == "ready? ", "the prompt")
    go()
    assert ended(cluster, "c") == 0
    assert logs(cluster, "c").stdout == "ready? go\n"
    assert logs(cluster, "--tail", "1", "c").stdout == "ready? go\n"


def test_all_is_there_once_the_process_has_ended(cluster):
    """Also where the task was not deleted yet, so that the shim still has the pipe open; and then at once."""
    detached(cluster, "c", "yes 0123456789 | head -n 100000; printf end", "--log-opt", "max-size=100m")
    assert cluster.shimctl("tasks", "wait", "c").stdout == "0\n"
    assert logs(cluster, "c").stdout == "0123456789\n" * 100000 + "end"
    time.sleep(1)  # the silence after which nothing more is expected
    assert logs(cluster, "-f", "--tail", "1", "c").stdout == "end"
    assert fastest(logs, cluster, "-f", "--tail", "1", "c") < 0.9


def test_a_terminal_has_a_log(cluster):
    detached(cluster, "c", "tty; echo err >&2; exit 3", "-t")
    done = logs(cluster, "-f", "c", text=False)
    assert done.stdout == b"/dev/pts/0\r\nerr\r\n"
    assert ended(cluster, "c") == 3


def test_every_process_has_its_own_log(cluster):
    for name in "ab":
        detached(cluster, name, f"echo I am {name}; sleep 1000")
    for exec_id in ("current", "e2"):
        done = cluster.shimctl("tasks", "exec", "-d", "--exec-id", exec_id, "a", "/bin/sh", "-c", f"echo exec {exec_id}; exit 4")
        assert done.returncode == 0, done.stderr
        assert logs(cluster, "-f", "--exec-id", exec_id, "a").stdout == f"exec {exec_id}\n"
        assert cluster.shimctl("tasks", "delete", "--exec-id", exec_id, "a").returncode == 4
    assert [logs(cluster, name).stdout for name in "ab"] == ["I am a\n", "I am b\n"]


def test_a_second_run_goes_on_with_the_log(cluster):
    detached(cluster, "c", "echo run")
    assert ended(cluster, "c") == 0
    assert cluster.shimctl("tasks", "start", "-d", "c").returncode == 0
    assert ended(cluster, "c") == 0
    assert logs(cluster, "c").stdout == "run\nrun\n"


def test_what_has_no_log_says_so(cluster):
    assert cluster.shimctl("run", "--rootfs", cluster.rootfs(), "c", "/bin/echo", "seen").stdout == "seen\n"
    done = cluster.shimctl("logs", "-f", "c")
    assert done.returncode == 3 and "c has no log" in done.stderr
    done = cluster.shimctl("logs", "other")
    assert done.returncode == 3 and '"other"' in done.stderr


def test_only_root_reads_logs(fresh_cluster):
    """A member of the socket's group may ask for everything, but files are root's."""
    cluster = fresh_cluster.start("--socket-group", "nogroup")
    detached(cluster, "c", "echo secret")
    assert ended(cluster, "c") == 0
    cluster.dir.chmod(0o711)
    shutil.copy(BIN / "shimctl", cluster.dir)  # nobody may not be let into the build directory
    _, *words = cluster.command("logs", "c")
    words = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", str(cluster.dir / "shimctl"), *words]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 7 and "only root may" in done.stderr, done.stderr


# Following -------------------------------------------------------------------------------------------------------


def test_a_follower_loses_nothing_when_files_are_rotated(cluster):
    options, go = gate(cluster, "c")
    detached(cluster, "c", "read x < /gate; i=0; while [ $i -lt 50000 ]; do echo $i 0123456789012345678901234567890123456789; "
                           "i=$((i+1)); done", "--log-opt", "max-size=64k", "--log-opt", "max-file=1000", *options)
    follower = subprocess.Popen(cluster.command("logs", "-f", "c"), stdout=subprocess.PIPE, text=True)
    go()
    output = follower.communicate(timeout=90)[0]
    assert follower.returncode == 0
    assert [int(line.split()[0]) for line in output.splitlines()] == list(range(50000))
    assert len(list(log_dir(cluster, "c").iterdir())) > 50


def test_old_files_go(cluster):
    detached(cluster, "c", "yes 0123456789 | head -n 100000", "--log-opt", "max-size=100k", "--log-opt", "max-file=3")
    assert ended(cluster, "c") == 0
    files = sorted(log_dir(cluster, "c").iterdir())
    assert len(files) == 3
    assert all(path.stat().st_size <= 100 << 10 for path in files)
    assert logs(cluster, "c").stdout.count("\n") < 100000


@pytest.mark.parametrize("victim", PROCESSES)
def test_a_follower_survives_the_death_of(cluster, victim):
    options, go = gate(cluster, "c")
    detached(cluster, "c", "echo before; read x < /gate; echo after; exit 5", *options)
    follower = subprocess.Popen(cluster.command("logs", "-f", "c"), stdout=subprocess.PIPE, text=True)
    assert follower.stdout.readline() == "before\n"
    cluster.await_successor(victim, cluster.kill(victim))
    go()
    assert follower.communicate(timeout=60)[0] == "after\n"
    assert follower.returncode == 0


def test_a_follower_survives_the_death_of_all(cluster):
    options, go = gate(cluster, "c")
    detached(cluster, "c", "echo before; read x < /gate; echo after; exit 5", *options)
    follower = subprocess.Popen(cluster.command("logs", "-f", "c"), stdout=subprocess.PIPE, text=True)
    assert follower.stdout.readline() == "before\n"
    kill_all(cluster)
    go()
    assert follower.stdout.readline() == "after\n", "nobody of ours is needed to read on"
    cluster.start()
    assert follower.wait(60) == 0
    assert ended(cluster, "c") == 5


# Nobody holds the container up -----------------------------------------------------------------------------------


def test_100_mb_are_written_while_all_processes_are_down(cluster):
    options, go = gate(cluster, "c")
    detached(cluster, "c", "read x < /gate; yes 0123456789012345678901234567890123456789012345678 | head -n 2000000; "
                           "touch /tmp/done", "--log-opt", "max-size=200m", *options)
    kill_all(cluster)
    go()
    until((cluster.rootfs("c") / "tmp/done").exists, "all is written", 120)
    cluster.start()
    assert ended(cluster, "c") == 0
    assert sum(path.stat().st_size for path in log_dir(cluster, "c").iterdir()) > 100_000_000
    done = subprocess.run(f"{' '.join(cluster.command('logs', 'c'))} | uniq -c", shell=True, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2000000", "0123456789012345678901234567890123456789012345678"]


@pytest.fixture
def small_disk(cluster):
    """A file system of 2 MiB for the logs, and a file that fills most of it."""
    path = cluster.root / "log"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(path)], check=True)
    yield path
    cluster.remove_tasks()
    until(lambda: subprocess.run(["umount", str(path)], capture_output=True, check=False).returncode == 0, "unmounted")


def make_room(path):
    """More than all output takes: some of it may still be in the pipe, and be written yet."""
    subprocess.run(["mount", "-o", "remount,rw,size=64m", str(path)], check=True)


def lost_lines(rows, why=b"No space left on device"):
    counts = [re.fullmatch(rb"(\d+) lines \(\d+ bytes\) were lost: " + why, text)
              for stream, _, text in rows if stream == "shimd"]
    assert all(counts)
    return sum(int(count[1]) for count in counts)


def test_a_full_disk_drops_and_counts_and_resumes(cluster, small_disk):
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * (3 << 19))
    options, go = gate(cluster, "c")
    detached(cluster, "c", "i=0; while [ $i -lt 200000 ]; do echo $i; i=$((i+1)); done; touch /tmp/done; read x < /gate; "
                           "echo after; sleep 1000", *options)
    until((cluster.rootfs("c") / "tmp/done").exists, "the container was not held up", 60)
    directory = log_dir(cluster, "c")
    assert sum(path.stat().st_size for path in directory.iterdir()) <= 1 << 19
    make_room(small_disk)
    until(lambda: any(row[0] == "shimd" for row in records(directory)), "the loss is said without new output")
    go()
    until(lambda: (("stdout", "F", b"after")) in records(directory), "it resumes")
    rows = records(directory)
    kept = [int(text) for stream, _, text in rows if stream == "stdout" and text != b"after"]
    assert kept == sorted(set(kept)) and kept[0] == 0
    assert len(kept) < 200000 and len(kept) + lost_lines(rows) == 200000
    assert "were lost: No space left on device" in logs(cluster, "c").stderr


def test_a_read_only_disk_is_waited_for(cluster, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    options, go = gate(cluster, "c")
    detached(cluster, "c", "yes 0123456789 | head -n 150000; touch /tmp/done; read x < /gate; echo after; sleep 1000", *options)
    until((cluster.rootfs("c") / "tmp/done").exists, "the container was not held up")
    make_room(small_disk)
    until((small_disk / "default/c").exists, "the log is made without new output")
    go()
    until(lambda: "after\n" in logs(cluster, "c").stdout, "it resumes")
    rows = records(log_dir(cluster, "c"))
    assert rows[0][0] == "shimd", "what is missing comes first"
    assert sum(stream == "stdout" for stream, _, _ in rows) - 1 + lost_lines(rows, b"Read-only file system") == 150000


# Deaths of the writer, of the shim -------------------------------------------------------------------------------


def test_writer_and_guard_keep_each_other(cluster):
    """Whichever of the two is killed: the container writes on, and whole lines come."""
    detached(cluster, "c", "i=0; while true; do echo $i; i=$((i+1)); sleep 0.001; done")
    until(lambda: len(writers(cluster)) == 2, "a writer and its guard")
    choice = random.Random(1)
    for _ in range(10):
        before = writers(cluster)
        victim = choice.choice(before)
        os.kill(victim, signal.SIGKILL)
        until(lambda: not is_alive(victim), "it is dead")  # only then: two in one look are the living ones
        until(lambda: len(writers(cluster)) == 2, "two again")
    directory = log_dir(cluster, "c")
    count = len(records_of_living(directory))
    until(lambda: len(records_of_living(directory)) > count, "it goes on")
    assert cluster.shimctl("tasks", "kill", "-s", "KILL", "c").returncode == 0
    assert ended(cluster, "c") == 137
    rows = records(directory)
    numbers = [int(text) for stream, _, text in rows if stream == "stdout" and text.isdigit()]
    assert numbers == sorted(set(numbers)), "nothing twice"
    assert any(b"the log writer was killed" in text for stream, _, text in rows if stream == "shimd")
    until(lambda: not writers(cluster), "both end with the task")


def records_of_living(directory):
    return [line for path in directory.iterdir() for line in path.read_bytes().split(b"\n")]


def test_the_writer_reads_to_the_end_before_it_obeys_a_signal(cluster):
    """A shim sends SIGTERM once it has closed its ends; others send what they like."""
    options, go = gate(cluster, "c")
    detached(cluster, "c", "read x < /gate; yes 0123456789 | head -n 500000", *options, "--log-opt", "max-size=100m")
    both = until(lambda: len(writers(cluster)) == 2 and writers(cluster), "both")
    for pid in both:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(pid, number)
    go()
    until(lambda: len(logs(cluster, "--tail", "1", "c").stdout) > 0, "output")
    assert set(writers(cluster)) <= set(both), "they did not need successors"
    assert ended(cluster, "c") == 0
    done = logs(cluster, "c")
    assert done.stdout.count("\n") == 500000 and not done.stderr
    until(lambda: not writers(cluster), "it has ended")


def test_a_container_that_outlives_its_shim_writes_on(cluster):
    options, go = gate(cluster, "c")
    detached(cluster, "c", "echo here; read x < /gate; echo late", *options)
    until(lambda: logs(cluster, "c").stdout == "here\n", "the line")
    (row,) = map(json.loads, cluster.shimctl("--json", "tasks", "list").stdout.splitlines())
    os.kill(row["shim_pid"], signal.SIGKILL)
    until(lambda: not is_alive(row["shim_pid"]), "the shim is gone")
    follower = subprocess.Popen(cluster.command("logs", "-f", "c"), stdout=subprocess.PIPE, text=True)
    assert follower.stdout.readline() == "here\n"
    go()
    assert follower.communicate(timeout=60)[0] == "late\n"
    until(lambda: not writers(cluster), "the writer ends with the container")


# The end of a log ------------------------------------------------------------------------------------------------


def test_logs_go_with_the_container_record(cluster):
    detached(cluster, "c", "echo old")
    assert ended(cluster, "c") == 0
    assert cluster.shimctl("containers", "delete", "c").returncode == 0
    until(lambda: not (cluster.root / "log/default").exists(), "the log is gone")
    detached(cluster, "c", "echo new; sleep 1000")
    until(lambda: logs(cluster, "c").stdout == "new\n", "only its own")


@pytest.mark.parametrize("victim", ["metadata", "bundle"])
def test_a_sweep_that_was_cut_short_is_made_up_for(cluster, victim):
    """What a death in between leaves is a log without a record; a live one stays."""
    detached(cluster, "c", "echo here; sleep 1000")
    until(lambda: logs(cluster, "c").stdout == "here\n", "the line")
    strays = [cluster.root / "log" / path for path in ("default/c/123", "default/gone/123/exec/e", "other/gone/456")]
    for path in strays:
        path.mkdir(parents=True)
        (path / "0000000001").write_text("x\n")
    if victim == "bundle":  # it has the request in hand when it dies
        pid = cluster.pid("bundle")
        os.kill(pid, signal.SIGSTOP)
        cluster.await_successor("metadata", cluster.kill("metadata"))
        until(lambda: cluster.status()["bundle"].get("in_flight", 0) > 0, "the sweep is with the worker")
        os.kill(pid, signal.SIGKILL)
        cluster.await_successor("bundle", pid)
    else:
        cluster.await_successor("metadata", cluster.kill("metadata"))
    until(lambda: not any(path.exists() for path in strays), "the strays are gone")
    # os.walk passes by what goes while it looks
    until(lambda: {name for _, names, _ in os.walk(cluster.root / "log") for name in names} >= {"c", "default"}, "the log stays")
    until(lambda: not {"gone", "other"} & {name for _, names, _ in os.walk(cluster.root / "log") for name in names}, "and above")
    assert logs(cluster, "c").stdout == "here\n"
