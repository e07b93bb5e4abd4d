"""Restart policies of real containers: when one is run again, when not, and that no death loses or doubles a restart."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest
from cluster import PROCESSES, until

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="containers need root"),
    pytest.mark.skipif(not shutil.which("containerd-shim-runc-v2"), reason="no containerd-shim-runc-v2"),
    pytest.mark.skipif(not shutil.which("runc"), reason="no runc"),
]


def run(cluster, policy, script, name="c", *options):
    done = cluster.shimctl(
        "run", "-d", "--null-io", "--restart", policy, *options, "--rootfs", cluster.rootfs(), name, "/bin/sh", "-c", script)
    assert done.returncode == 0, done.stderr


def record(cluster, name="c"):
    return cluster.client().call("container.get", {"id": name}, "default", timeout=20)["restart"]


def task(cluster, name="c"):
    rows = {row["id"]: row for row in cluster.client().call("task.list", {}, "default", timeout=20)["tasks"]}
    return rows.get(name)


def starts(cluster, name="c"):
    """Pids and times of the starts in the journal."""
    page = cluster.client().call("event.list", {"all": True, "limit": 10000}, timeout=20)
    return [(e["event"]["pid"], e["time"]) for e in page["events"] if e["topic"] == "/tasks/start" and e["event"]["container_id"] == name]


def exits(cluster, name="c"):
    page = cluster.client().call("event.list", {"all": True, "limit": 10000}, timeout=20)
    return [(e["event"]["pid"], e["time"]) for e in page["events"] if e["topic"] == "/tasks/exit" and e["event"]["container_id"] == name]


def running(cluster, count=None, name="c"):
    """The task, once it runs and has been restarted that often."""
    def ready():
        row = task(cluster, name)
        good = row and row["status"] == "RUNNING" and (count is None or record(cluster, name).get("count", 0) == count)
        return row if good else None

    return until(ready, f"{name} runs after {count} restarts", 30)


def crash(cluster, name="c"):
    """The container's process dies, and nobody asked for that; its pid."""
    pid = task(cluster, name)["pid"]
    os.kill(pid, signal.SIGKILL)
    return pid


def signals_caught(pid):
    """The mask, bit 0 for signal 1."""
    status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["SigCgt"], 16)


def is_told(cluster, name):
    row = task(cluster, name)
    return not row or row["status"] != "RUNNING" or row["pid"] in [pid for pid, _ in starts(cluster, name)]


def settled(cluster, *names):
    """Nothing is due, and nothing will be."""
    names = names or ("c",)
    until(lambda: not any("pending" in record(cluster, name) for name in names), "no restart is due")
    until(lambda: all(is_told(cluster, name) for name in names), "the shim has told of what runs")
    before = [len(starts(cluster, name)) for name in names]
    time.sleep(0.5)  # that nothing happens cannot be awaited
    assert [len(starts(cluster, name)) for name in names] == before


def restarted_to(cluster, moment, old, name="c"):
    """Returns at a moment of the restart of a task, or soon after it."""
    def made():
        row = task(cluster, name)
        return row and row["incarnation"] != old["incarnation"] and row

    reached = {
        "the end": lambda: True,
        "the end is known": lambda: old["pid"] in [pid for pid, _ in exits(cluster, name)],
        "another is made": made,
        "another runs": lambda: made() and made()["status"] != "CREATED",
    }
    until(reached[moment], f"{moment} of {name}")


MOMENTS = ["the end", "the end is known", "another is made", "another runs"]


def test_no_policy_no_restart(cluster):
    run(cluster, "no", "exit 3")
    assert cluster.shimctl("tasks", "wait", "c").stdout == "3\n"
    settled(cluster)
    assert len(starts(cluster)) == 1


@pytest.mark.parametrize("policy, code, again", [
    ("always", 0, True), ("unless-stopped", 0, True), ("on-failure", 1, True), ("on-failure", 0, False)])
def test_what_is_run_again(cluster, policy, code, again):
    """The second run stays; a file on the shared root tells it from the first."""
    run(cluster, policy, f"test -e /second && sleep 1000; echo > /second; exit {code}")
    if again:
        running(cluster, 1)
        assert len(starts(cluster)) == 2
    else:
        assert cluster.shimctl("tasks", "wait", "c").stdout == f"{code}\n"
        settled(cluster)
        assert len(starts(cluster)) == 1 and task(cluster)["status"] == "STOPPED"


def test_on_failure_ends_after_n(cluster):
    run(cluster, "on-failure:3", "exit 7")
    until(lambda: record(cluster).get("count") == 3, "three restarts")
    until(lambda: task(cluster) and task(cluster)["status"] == "STOPPED", "the last has ended")
    settled(cluster)
    assert len(starts(cluster)) == 4 and record(cluster)["count"] == 3
    assert cluster.shimctl("tasks", "wait", "c").stdout == "7\n"


def gaps_ms(cluster):
    """From each exit to the start after it."""
    began, ended = [t for _, t in starts(cluster)], [t for _, t in exits(cluster)]
    return [(b - e) / 1e6 for b, e in zip(began[1:], ended)]


def test_the_waits_end_growing_and_begin_anew(fresh_cluster):
    """As configured: a run of three seconds begins anew, which the sixth is."""
    limits = "container-first-delay = 100\n    container-last-delay = 400\n    container-reset = 3000"
    cluster = fresh_cluster.start(config=f"metadata\n    {limits}\n")
    run(cluster, "always", "echo >> /runs; test $(wc -l < /runs) != 6 || sleep 3.5; exit 0")
    until(lambda: len(starts(cluster)) >= 9, "eight restarts", 60)
    gaps = gaps_ms(cluster)
    for gap, least in zip(gaps, (0, 100, 200, 400, 400, 0, 100, 200)):
        assert gap >= least, gaps
    due = record(cluster)
    assert cluster.shimctl("stop", "c").returncode == 0
    settled(cluster)
    assert 3 <= due["failures"] < 8, (due, gaps)


def test_a_cap_below_the_first_wait_is_refused(fresh_cluster):
    fresh_cluster.start(config="metadata\n    container-first-delay = 200\n    container-last-delay = 100\n", wait=False)
    assert fresh_cluster.supervisor.wait(20) == 2
    assert "container-last-delay = 100: less than metadata/container-first-delay = 200" in fresh_cluster.log()


def test_it_is_fast_and_backs_off(cluster):
    run(cluster, "always", "exit 0")
    until(lambda: len(starts(cluster)) >= 6, "five restarts", 30)
    gaps = gaps_ms(cluster)
    print("ms from exit to start:", [round(g) for g in gaps])
    for gap, delay in zip(gaps[:5], (0, 100, 200, 400, 800)):
        assert gap >= delay, gaps
    assert cluster.shimctl("tasks", "delete", "-f", "c").returncode == 0
    settled(cluster)


def test_a_stop_wins(cluster):
    for policy in "always", "unless-stopped":
        run(cluster, policy, "sleep 1000", policy)
        assert cluster.shimctl("tasks", "kill", "-s", "KILL", policy).returncode == 0
        assert cluster.shimctl("tasks", "wait", policy).stdout == "137\n"
        settled(cluster, policy)
        assert task(cluster, policy)["status"] == "STOPPED" and record(cluster, policy)["stopped"]


def test_a_stop_with_another_signal_wins(cluster):
    """Such a signal by itself is none."""
    script = "trap 'exit 4' INT; while true; do sleep 0.05; done"
    for policy in "always", "unless-stopped":
        run(cluster, policy, script, policy)
        assert cluster.shimctl("tasks", "kill", "-s", "INT", policy).returncode == 0
        running(cluster, 1, policy)
        until(lambda: signals_caught(task(cluster, policy)["pid"]) & 1 << signal.SIGINT - 1, "the trap is set")
        assert cluster.shimctl("stop", "-s", "INT", policy).returncode == 0
        assert cluster.shimctl("tasks", "wait", policy).stdout == "4\n"
        settled(cluster, policy)
        assert task(cluster, policy)["status"] == "STOPPED" and record(cluster, policy)["stopped"]
    assert cluster.shimctl("restart", "-s", "INT", "always").returncode == 0
    assert running(cluster, 0, "always") and "stopped" not in record(cluster, "always")


@pytest.mark.parametrize("words", [("stop", "-t", "1"), ("stop", "-t", "1", "-s", "INT"), ("tasks", "kill", "-s", "KILL"), ("tasks", "delete", "-f")])
def test_a_stop_wins_against_a_restart_under_way(cluster, words):
    """At every moment of a container that ends."""
    names = [f"c{i}" for i in range(len(MOMENTS))]
    for name, moment in zip(names, MOMENTS):
        run(cluster, "always", "sleep 1000", name)
        old = task(cluster, name)
        crash(cluster, name)
        restarted_to(cluster, moment, old, name)
        done = cluster.shimctl(*words, name)
        assert done.returncode == 0 or "not found" in done.stderr, done.stderr
    settled(cluster, *names)
    for name in names:
        assert record(cluster, name)["stopped"], record(cluster, name)
        until(lambda row=name: not task(cluster, row) or task(cluster, row)["status"] == "STOPPED", "it has ended")


def test_a_stopped_one_that_is_started_is_restarted_again(cluster):
    run(cluster, "unless-stopped", "sleep 1000")
    assert cluster.shimctl("tasks", "delete", "-f", "c").returncode == 0
    assert cluster.shimctl("tasks", "start", "-d", "--null-io", "c").returncode == 0
    crash(cluster)
    running(cluster, 1)


def test_update(cluster):
    run(cluster, "no", "sleep 1000")
    refused = cluster.shimctl("update", "--restart", "sometimes", "c")
    assert refused.returncode != 0 and "restart is sometimes, not no, always" in refused.stderr
    assert cluster.shimctl("update", "--restart", "always", "c").stdout == "c\n"
    assert json.loads(cluster.shimctl("containers", "info", "c").stdout)["Restart"]["policy"] == "always"
    crash(cluster)
    running(cluster, 1)
    assert cluster.shimctl("update", "--restart", "no", "c").returncode == 0
    crash(cluster)
    until(lambda: task(cluster)["status"] == "STOPPED", "it stays")
    settled(cluster)


@pytest.mark.parametrize("policy", ["on-failure:0", "on-failure:", "on-failure:x", "on-failure:-1", "on-failure:99999999999", "ever", ""])
def test_a_policy_that_there_is_not(cluster, policy):
    done = cluster.shimctl("containers", "create", "--restart", policy, "--rootfs", cluster.rootfs(), "c", "/bin/true")
    assert done.returncode != 0 and "not no, always, on-failure" in done.stderr


def test_the_log_goes_on(cluster):
    log = cluster.dir / "out"
    done = cluster.shimctl("run", "-d", "--log-uri", f"file://{log}", "--restart", "on-failure:2", "--rootfs", cluster.rootfs(), "c", "/bin/sh", "-c", "echo run; exit 1")
    assert done.returncode == 0, done.stderr
    until(lambda: log.exists() and log.read_text() == "run\n" * 3, "all three runs have written")


def test_a_restart_that_fails_is_tried_again(cluster):
    run(cluster, "always", "sleep 1000")
    rootfs = cluster.rootfs()
    rootfs.rename(rootfs.with_name("away"))
    crash(cluster)
    until(lambda: record(cluster).get("attempt", 0) >= 2, "it was tried")
    assert record(cluster)["why"]
    rootfs.with_name("away").rename(rootfs)
    running(cluster, 1)
    assert len(starts(cluster)) == 2


@pytest.mark.parametrize("process", PROCESSES)
def test_a_death_at_the_moment_of_restart(cluster, process):
    run(cluster, "always", "sleep 1000")
    for i, moment in enumerate(MOMENTS):
        old = running(cluster, i)
        crash(cluster)
        restarted_to(cluster, moment, old)
        cluster.await_successor(process, cluster.kill(process))
        row = running(cluster, i + 1)
        assert row["pid"] != old["pid"]
        settled(cluster)
        assert len(starts(cluster)) == i + 2 and len({pid for pid, _ in starts(cluster)}) == i + 2


def kill_all(cluster):
    for row in cluster.status().values():
        os.kill(row["pid"], signal.SIGKILL)
    cluster.supervisor.wait()


def test_the_whole_cluster_dies_at_the_moment_of_restart(cluster):
    run(cluster, "always", "sleep 1000")
    for i, moment in enumerate(MOMENTS):
        old = running(cluster, i)
        crash(cluster)
        restarted_to(cluster, moment, old)
        kill_all(cluster)
        cluster.start()
        running(cluster, i + 1)
        until(lambda i=i: len(starts(cluster)) == i + 2, "the journal has its start")


def test_what_comes_back_with_the_cluster(cluster):
    for policy in "always", "unless-stopped", "on-failure":
        run(cluster, policy, "sleep 1000", policy)
        assert cluster.shimctl("tasks", "kill", "-s", "KILL", policy).returncode == 0
        assert cluster.shimctl("tasks", "wait", policy).stdout == "137\n"
    cluster.await_successor("shim", cluster.kill("shim"))
    for policy in "always", "unless-stopped", "on-failure":
        settled(cluster, policy)
    cluster.stop()
    cluster.start()
    running(cluster, name="always")
    for policy in "unless-stopped", "on-failure":
        settled(cluster, policy)
        assert len(starts(cluster, policy)) == 1


def test_after_a_reboot(cluster):
    for policy in "always", "unless-stopped", "no":
        run(cluster, policy, "sleep 1000", policy)
    rows = [task(cluster, name) for name in ("always", "unless-stopped", "no")]
    reboot(cluster, rows)
    for name in "always", "unless-stopped":
        assert running(cluster, 1, name)["pid"] not in [row["pid"] for row in rows]
    assert not task(cluster, "no")


def reboot(cluster, rows):
    """The bundles and all processes are gone, the journal is not."""
    kill_all(cluster)
    for row in rows:
        os.kill(row["shim_pid"], signal.SIGKILL)
        os.kill(row["pid"], signal.SIGKILL)
        subprocess.run(["runc", "--root", cluster.run / "runc/default", "delete", "-f", row["id"]], check=True)
    shutil.rmtree(cluster.run)
    for path in cluster.dead_sockets():
        path.unlink()
    cluster.start()


def test_a_stop_that_was_under_way_at_a_reboot_counts(cluster):
    """The signal was accepted, and the process had not ended yet."""
    for policy in "unless-stopped", "always":
        run(cluster, policy, "trap : TERM; while true; do sleep 1; done", policy)
        assert cluster.shimctl("tasks", "kill", "-s", "TERM", policy).returncode == 0
        assert record(cluster, policy)["stopped"]
    reboot(cluster, [task(cluster, name) for name in ("unless-stopped", "always")])
    running(cluster, name="always")
    until(lambda: not task(cluster, "unless-stopped"), "its end is known")
    settled(cluster, "unless-stopped")
    assert len(starts(cluster, "unless-stopped")) == 1


def test_a_stop_that_is_refused_is_none(cluster):
    runc = cluster.dir / "runc-that-cannot-kill"
    runc.write_text('#!/bin/sh\ncase " $* " in *" kill "*) echo no such right >&2; exit 1;; esac\nexec runc "$@"\n')
    runc.chmod(0o755)
    run(cluster, "always", "sleep 1000", "c", "--runc-binary", runc)
    refused = cluster.shimctl("tasks", "kill", "-s", "TERM", "c")
    assert refused.returncode != 0 and "no such right" in refused.stderr
    assert "stopped" not in record(cluster)
    crash(cluster)
    running(cluster, 1)
    runc.write_text('#!/bin/sh\nexec runc "$@"\n')


def test_the_shim_is_killed_with_its_container(cluster):
    run(cluster, "always", "sleep 1000", "c", "--on-shim-loss", "kill")
    first = task(cluster)
    os.kill(first["shim_pid"], signal.SIGKILL)
    row = running(cluster, 1)
    assert row["pid"] != first["pid"] and row["shim_pid"] != first["shim_pid"]


def test_run_in_the_foreground_has_no_restart(cluster):
    done = cluster.shimctl("run", "--restart", "always", "--rootfs", cluster.rootfs(), "c", "/bin/true")
    assert done.returncode != 0 and "--restart goes with --detach only" in done.stderr
