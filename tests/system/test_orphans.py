"""Containers outlive their shims: real shims and runc."""

import json
import os
import shutil
import signal
import subprocess

import pytest
from cluster import Refused, is_alive, until

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="containers need root"),
    pytest.mark.skipif(not shutil.which("containerd-shim-runc-v2"), reason="no containerd-shim-runc-v2"),
    pytest.mark.skipif(not shutil.which("runc"), reason="no runc"),
]


def tasks(cluster):
    rows = cluster.shimctl("--json", "tasks", "list").stdout.splitlines()
    return {row["id"]: row for row in map(json.loads, rows)}


def topics(cluster, name):
    page = cluster.client().call("event.list", {"all": True})
    return [e["topic"] for e in page["events"] if name in (e["event"].get("container_id"), e["event"].get("id"))]


def gated(cluster, name, after, *options):
    """A detached container that waits for open_gate, and then does the rest of its script."""
    os.mkfifo(cluster.dir / f"gate-{name}")
    (cluster.rootfs(name) / "gate").touch()
    mount = f"type=bind,src={cluster.dir}/gate-{name},dst=/gate,options=rbind:rw"
    done = cluster.shimctl(
        "run", "-d", "--null-io", "--mount", mount, *options, "--rootfs", cluster.rootfs(name), name,
        "/bin/sh", "-c", f"read x < /gate; {after}",
    )
    assert done.returncode == 0, done.stderr


def open_gate(cluster, name):
    with open(cluster.dir / f"gate-{name}", "w", encoding="utf-8") as gate:
        gate.write("go\n")


def lose_shim(cluster, name):
    """Kills the shim; the row of the task that is an orphan then."""
    os.kill(tasks(cluster)[name]["shim_pid"], signal.SIGKILL)
    until(lambda: tasks(cluster)[name].get("orphaned"), "the task is an orphan")
    return tasks(cluster)[name]


def waiter(cluster, name):
    process = subprocess.Popen(cluster.command("tasks", "wait", name), stdout=subprocess.PIPE, text=True)
    until(lambda: cluster.status()["shim"].get("in_flight", 0) > 0, "the wait is with the worker")
    return process


def remove(cluster, name, *options):
    for words in (("tasks", "delete", *options, name), ("containers", "delete", name)):
        done = cluster.shimctl(*words)
        assert done.returncode == 0, done.stderr
    places = [cluster.run / "task/default" / name, cluster.root / "task/default" / name, cluster.run / "runc/default" / name]
    until(lambda: not [p for p in places if p.exists()] and not cluster.dead_sockets(), "nothing is left")


def test_the_container_lives_on_and_its_code_is_true(cluster):
    gated(cluster, "c", "exit 9")
    waits = waiter(cluster, "c")
    before = tasks(cluster)["c"]
    after = lose_shim(cluster, "c")
    assert (after["status"], after["pid"]) == ("RUNNING", before["pid"])
    assert is_alive(before["pid"])
    open_gate(cluster, "c")
    assert waits.communicate(timeout=20)[0] == "9\n"
    assert tasks(cluster)["c"]["status"] == "STOPPED"
    remove(cluster, "c")
    assert cluster.shimctl("tasks", "wait", "c").stdout == "9\n"
    assert topics(cluster, "c").count("/tasks/exit") == topics(cluster, "c").count("/tasks/delete") == 1


def test_it_is_signalled_listed_and_deleted_by_force(cluster):
    gated(cluster, "c", "exit 0")
    pid = lose_shim(cluster, "c")["pid"]
    rows = [json.loads(line) for line in cluster.shimctl("--json", "tasks", "ps", "c").stdout.splitlines()]
    assert pid in [row["pid"] for row in rows]
    refused = cluster.shimctl("tasks", "pause", "c")
    assert refused.returncode != 0 and "its shim was lost" in refused.stderr
    assert cluster.shimctl("tasks", "delete", "c").returncode != 0, "it runs"
    assert cluster.shimctl("tasks", "kill", "-s", "KILL", "c").returncode == 0
    assert cluster.shimctl("tasks", "wait", "c").stdout == "137\n"
    remove(cluster, "c")
    gated(cluster, "d", "exit 0")
    lose_shim(cluster, "d")
    remove(cluster, "d", "-f")
    assert cluster.shimctl("tasks", "wait", "d").stdout == "137\n"


def test_a_paused_one_can_be_killed(cluster):
    gated(cluster, "c", "exit 0")
    assert cluster.shimctl("tasks", "pause", "c").returncode == 0
    lose_shim(cluster, "c")
    assert cluster.shimctl("tasks", "kill", "-s", "KILL", "c").returncode == 0
    assert cluster.shimctl("tasks", "wait", "c").stdout == "137\n"
    remove(cluster, "c")


@pytest.mark.parametrize("victim", ["shim", "metadata", "bundle", "broker"])
def test_orphans_survive_the_death_of_our_processes_too(cluster, victim):
    gated(cluster, "c", "exit 9")
    lose_shim(cluster, "c")
    waits = waiter(cluster, "c")
    cluster.await_successor(victim, cluster.kill(victim))
    until(lambda: tasks(cluster)["c"].get("orphaned"), "still an orphan")
    open_gate(cluster, "c")
    assert waits.communicate(timeout=20)[0] == "9\n"
    remove(cluster, "c")


def test_an_end_while_the_worker_is_away_is_known_from_the_supervisor(cluster):
    gated(cluster, "c", "exit 9")
    row = tasks(cluster)["c"]
    with cluster.worker_away():
        os.kill(row["shim_pid"], signal.SIGKILL)
        open_gate(cluster, "c")
        until(lambda: not is_alive(row["pid"]), "the container has ended")
    assert cluster.shimctl("tasks", "wait", "c").stdout == "9\n"
    remove(cluster, "c")


def test_execs_live_on_too(cluster):
    gated(cluster, "c", "exit 0")
    client = cluster.client()
    spec = json.dumps({"args": ["/bin/sh", "-c", "trap 'exit 4' TERM; while :; do sleep 0.05; done"], "cwd": "/", "env": ["PATH=/bin"]})
    client.call("task.exec", {"id": "c", "exec_id": "e", "spec": spec.encode()}, "default", timeout=20)
    client.call("task.start", {"id": "c", "exec_id": "e"}, "default", timeout=20)
    lose_shim(cluster, "c")
    assert cluster.shimctl("tasks", "kill", "--exec-id", "e", "c").returncode == 0
    assert cluster.shimctl("tasks", "wait", "--exec-id", "e", "c").stdout == "4\n"
    assert tasks(cluster)["c"]["status"] == "RUNNING"
    remove(cluster, "c", "-f")


def test_a_cluster_that_comes_after_tells_the_code_or_why_not(cluster):
    """The new supervisor is nobody's parent; some kernels tell the code all the same."""
    gated(cluster, "c", "exit 9")
    pid = tasks(cluster)["c"]["pid"]
    os.kill(tasks(cluster)["c"]["shim_pid"], signal.SIGKILL)
    until(lambda: tasks(cluster)["c"].get("orphaned"), "the task is an orphan")
    cluster.stop(signal.SIGKILL)
    cluster.start()
    assert tasks(cluster)["c"]["orphaned"] and is_alive(pid)
    open_gate(cluster, "c")
    done = cluster.shimctl("tasks", "wait", "c")
    assert done.stdout == "9\n" or "not known" in done.stderr
    remove(cluster, "c")


def test_runs_without_a_bundle_are_ended(cluster):
    """As after the machine was restarted: RUN is empty, the journal is not."""
    gated(cluster, "c", "exit 9")
    row = tasks(cluster)["c"]
    cluster.stop(signal.SIGKILL)
    for pid in (row["shim_pid"], row["pid"]):
        os.kill(pid, signal.SIGKILL)
        until(lambda pid=pid: not is_alive(pid), "it is gone")
    shutil.rmtree(cluster.run / "task")
    subprocess.run(["runc", "--root", cluster.run / "runc/default", "delete", "-f", "c"], check=True)
    cluster.start()
    until(lambda: topics(cluster, "c")[-2:] == ["/tasks/exit", "/tasks/delete"], "its end is in the journal")
    assert "not known" in cluster.shimctl("tasks", "wait", "c").stderr
    assert cluster.shimctl("tasks", "start", "-d", "--null-io", "c").returncode == 0, "and it can be run again"
    remove(cluster, "c", "-f")


def test_a_container_can_be_killed_with_its_shim(cluster):
    def run(loss):
        return cluster.shimctl(
            "run", "-d", "--null-io", "--on-shim-loss", loss, "--rootfs", cluster.rootfs(), "c", "/bin/sleep", "1000"
        )

    refused = run("no")
    assert refused.returncode != 0 and "neither keep nor kill" in refused.stderr
    assert run("kill").returncode == 0
    row = tasks(cluster)["c"]
    os.kill(row["shim_pid"], signal.SIGKILL)
    until(lambda: not tasks(cluster), "the task is gone")
    assert not is_alive(row["pid"])
    assert cluster.shimctl("containers", "delete", "c").returncode == 0


def test_a_create_whose_answer_and_shim_were_lost_is_answered(fresh_cluster):
    cluster = fresh_cluster.start(config="failpoints = on\n")
    cluster.shimctl("containers", "create", "--rootfs", cluster.rootfs(), "c", "/bin/sleep", "1000")
    request, client = cluster.ask_in_vain("task.create", {"id": "c"}), cluster.client()
    client.call("task.kill", {"id": "c", "signal": 9}, "default")
    client.call("task.wait", {"id": "c"}, "default", timeout=20)
    lose_shim(cluster, "c")
    assert client.call("task.create", {"id": "c"}, "default", timeout=20, id=request)["pid"]


def test_a_start_whose_answer_and_shim_were_lost_is_answered(fresh_cluster):
    cluster = fresh_cluster.start(config="failpoints = on\n")
    cluster.shimctl("containers", "create", "--rootfs", cluster.rootfs(), "c", "/bin/sleep", "1000")
    client = cluster.client()
    pid = client.call("task.create", {"id": "c"}, "default", timeout=20)["pid"]
    request = cluster.ask_in_vain("task.start", {"id": "c"})
    lose_shim(cluster, "c")
    client = cluster.client()
    assert client.call("task.start", {"id": "c"}, "default", timeout=20, id=request)["pid"] == pid
    with pytest.raises(Refused, match="its shim was lost"):
        client.call("task.start", {"id": "c"}, "default", timeout=20)


@pytest.mark.parametrize("is_loaded", [False, True], ids=["", "and the worker was lost too"])
def test_one_whose_start_was_lost_with_its_shim_is_not_said_to_run(fresh_cluster, is_loaded):
    cluster = fresh_cluster.start()
    cluster.shimctl("containers", "create", "--rootfs", cluster.rootfs(), "c", "/bin/sleep", "1000")
    cluster.client().call("task.create", {"id": "c"}, "default", timeout=20)
    shim = tasks(cluster)["c"]["shim_pid"]
    os.kill(shim, signal.SIGSTOP)
    with pytest.raises(Refused, match="still running at the deadline"):
        cluster.client().call("task.start", {"id": "c"}, "default", timeout=0.5)
    record = cluster.run / "task/default/c/init.json"
    until(lambda: json.loads(record.read_text())["started"], "the Start is sent")
    with cluster.worker_away(is_loaded):
        os.kill(shim, signal.SIGKILL)
    until(lambda: tasks(cluster)["c"].get("orphaned"), "the task is an orphan")
    assert tasks(cluster)["c"]["status"] == "CREATED"
    subprocess.run(["runc", "--root", cluster.run / "runc/default", "start", "c"], check=True)
    until(lambda: tasks(cluster)["c"]["status"] == "RUNNING", "what has come to run is seen to")
    remove(cluster, "c", "-f")
    assert cluster.shimctl("tasks", "wait", "c").stdout == "137\n"


def lose_worker_and_shim(cluster, shim):
    """Both at once; whoever asks the supervisor how something ended has to wait. Returns what makes it wait."""
    worker, point = cluster.status()["shim"]["pid"], cluster.run / "failpoints" / "supervisor.cluster.reaped-begin"
    point.write_text("delay(3000)")
    os.kill(worker, signal.SIGSTOP)  # so that only its successor finds that the shim is gone
    os.kill(shim, signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    return point


def test_one_that_has_ended_can_be_deleted_before_it_is_known_how(fresh_cluster):
    """A client that has waited for the end does not hear that it runs, although the next worker has yet to ask."""
    cluster = fresh_cluster.start(config="failpoints = on\n")
    gated(cluster, "c", "exit 9")
    row = tasks(cluster)["c"]
    open_gate(cluster, "c")
    assert cluster.shimctl("tasks", "wait", "c").stdout == "9\n"
    point = lose_worker_and_shim(cluster, row["shim_pid"])
    done = cluster.shimctl("tasks", "delete", "c")
    assert done.returncode == 0, done.stderr
    assert point.with_suffix(".reaped-begin.hits").exists(), "the supervisor was asked"
    point.unlink()
    assert cluster.shimctl("containers", "delete", "c").returncode == 0
    assert topics(cluster, "c").count("/tasks/exit") == topics(cluster, "c").count("/tasks/delete") == 1


def test_an_exec_that_has_ended_can_be_deleted_before_it_is_known_how(fresh_cluster):
    cluster = fresh_cluster.start(config="failpoints = on\n")
    gated(cluster, "c", "exit 9")
    client, row = cluster.client(), tasks(cluster)["c"]
    spec = json.dumps({"args": ["/bin/sh", "-c", "sleep 0.5; exit 3"], "cwd": "/", "env": ["PATH=/bin"]}).encode()
    e = {"id": "c", "exec_id": "e"}
    client.call("task.exec", {**e, "spec": spec}, "default")
    client.call("task.start", e, "default")
    assert client.call("task.wait", e, "default")["exit_status"] == 3
    point = lose_worker_and_shim(cluster, row["shim_pid"])
    client.call("task.delete", e, "default")
    point.unlink()
    remove(cluster, "c", "-f")
