"""What the journal answers: a container's story, also after its deletion, and how processes ended."""

import json
import os
import shutil
import signal
import threading
import time

import pytest
from cluster import Refused, detached, until

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("containerd-shim-runc-v2"), reason="containers need root and runc's shim")

SLEEP = "exec sleep 1000"


def explained(cluster, name):
    done = cluster.shimctl("--json", "explain", name)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def told(story):
    """Methods and topics in their order, with the exec they are about."""
    rows = []
    for line in story["story"]:
        content = line[line["kind"]]
        exec_id = content.get("exec_id")
        if line["kind"] == "event":
            exec_id = content["event"].get("exec_id") or content["event"].get("id")
        rows.append((content.get("method") or content["topic"], exec_id if exec_id == "e" else None))
    return rows


def shim_of(client, name):
    return client.call("task.get", {"id": name}, "default")["shim_pid"]


def test_whole_story_outlives_the_container(cluster):
    detached(cluster, "a", SLEEP)
    assert cluster.shimctl("tasks", "exec", "--exec-id", "e", "a", "/bin/sh", "-c", "exit 3").returncode == 3
    cluster.await_successor("shim", cluster.kill("shim"))
    killer = cluster.shimctl("tasks", "kill", "-s", "KILL", "a")
    assert killer.returncode == 0, killer.stderr
    cluster.shimctl("tasks", "wait", "a")
    assert cluster.shimctl("tasks", "delete", "a").returncode == 0
    cluster.await_successor("metadata", cluster.kill("metadata"))
    assert cluster.shimctl("containers", "delete", "a").returncode == 0

    story = explained(cluster, "a")
    # An end may be asked about before its event has come.
    rows = told(story)
    assert [row for row in rows if row[0][0] != "/"] == [
        ("container.create", None), ("task.create", None), ("task.start", None), ("task.exec", "e"), ("task.start", "e"),
        ("task.delete", "e"), ("task.kill", None), ("task.delete", None), ("container.delete", None),
    ]
    assert [row for row in rows if row[0][0] == "/"] == [
        ("/containers/create", None), ("/tasks/create", None), ("/tasks/start", None), ("/tasks/exec-added", "e"),
        ("/tasks/exec-started", "e"), ("/tasks/exit", "e"), ("/tasks/exit", None), ("/tasks/delete", None),
        ("/containers/delete", None),
    ]
    assert rows[0] == ("container.create", None) and rows[-1] == ("/containers/delete", None)
    assert story["complete"] and story["state"] == "EXITED with 137"
    kill = next(line["request"] for line in story["story"] if line.get("request", {}).get("method") == "task.kill")
    assert kill["asked"]["signal"] == "9" and kill["status"] == 0
    assert kill["peer"]["uid"] == 0 and kill["peer"]["comm"] == "shimctl" and kill["peer"]["pid"] > 0
    assert kill["asked_at"] <= kill["time"]
    by = f"killed by SIGKILL asked by uid 0 gid 0 pid {kill['peer']['pid']} (shimctl) in request {kill['id']}"
    assert story["because"][0].startswith(by)
    assert "its record was deleted, asked by uid 0" in story["because"][-1]
    assert {(row.get("exec_id"), row["exit_status"]) for row in story["exits"]} == {(None, 137), ("e", 3)}

    text = cluster.shimctl("explain", "a").stdout
    assert text.startswith("a in namespace default: EXITED with 137\n  killed by SIGKILL asked by uid 0 ")
    rows = text.splitlines()
    head = next(i for i, row in enumerate(rows) if row.startswith("TIME"))
    assert len(rows) - head - 1 == len(story["story"])
    assert {row.index(" s  ") for row in rows[head + 1:]} == {rows[head + 1].index(" s  ")}, "columns are aligned"


def test_why(cluster):
    client = cluster.client()
    detached(cluster, "term", "trap 'exit 5' TERM; touch /ready; while true; do sleep 0.05; done")
    until((cluster.rootfs("term") / "ready").exists, "it listens to TERM")  # process 1 ignores it otherwise
    cluster.shimctl("tasks", "kill", "term")
    cluster.shimctl("tasks", "wait", "term")
    story = explained(cluster, "term")
    assert story["state"] == "EXITED with 5" and story["because"][0].startswith("ended after SIGTERM asked by uid 0")

    detached(cluster, "itself", "exit 4")
    cluster.shimctl("tasks", "wait", "itself")
    assert explained(cluster, "itself")["because"][0] == "ended by itself with exit code 4"

    detached(cluster, "other", SLEEP)
    os.kill(client.call("task.get", {"id": "other"}, "default")["pid"], signal.SIGKILL)
    cluster.shimctl("tasks", "wait", "other")
    assert "no request asked for the signal" in explained(cluster, "other")["because"][0]

    detached(cluster, "forced", SLEEP)
    assert cluster.shimctl("tasks", "delete", "--force", "forced").returncode == 0
    because = explained(cluster, "forced")["because"]
    assert because[0].startswith("killed by SIGKILL asked by uid 0") and because[0].endswith("(task.delete)")

    detached(cluster, "orphan", SLEEP)
    os.kill(shim_of(client, "orphan"), signal.SIGKILL)
    until(lambda: client.call("task.get", {"id": "orphan"}, "default").get("orphaned"), "orphaned")
    story = explained(cluster, "orphan")
    assert story["state"].startswith("RUNNING, pid ") and story["because"][0].startswith("orphaned: its shim was killed")
    cluster.shimctl("tasks", "delete", "--force", "orphan")
    assert any("orphaned before it ended" in why for why in explained(cluster, "orphan")["because"])

    gone = cluster.shimctl("explain", "nobody")
    assert gone.returncode == 3 and "nobody: not found, and the journal has nothing about it" in gone.stderr


def test_nobody_saw_the_exit(fresh_cluster):
    """Its shim is killed while no supervisor is there that could inherit the container."""
    cluster = fresh_cluster.start()
    detached(cluster, "lost", SLEEP, "--on-shim-loss", "kill")
    client = cluster.client()
    task = client.call("task.get", {"id": "lost"}, "default")
    cluster.stop()
    os.kill(task["shim_pid"], signal.SIGKILL)
    os.kill(task["pid"], signal.SIGKILL)
    cluster.start()
    story = until(lambda: (s := explained(cluster, "lost"))["exits"] and s, "an exit")
    assert story["state"] == "EXITED, exit code unknown"
    assert story["because"][0].startswith("exit unknown: its shim was lost")


def test_restart_policy(cluster):
    detached(cluster, "again", "exit 1", "--restart", "on-failure:50")
    why = until(
        lambda: next((why for why in explained(cluster, "again")["because"] if why.startswith("restart due in")), None),
        "a restart that is due")
    assert "by policy on-failure:50" in why
    assert cluster.shimctl("update", "--restart", "no", "again").returncode == 0
    until(lambda: not any(why.startswith("restart due in") for why in explained(cluster, "again")["because"]), "an end of that")
    detached(cluster, "held", SLEEP, "--restart", "unless-stopped")
    cluster.shimctl("tasks", "kill", "-s", "KILL", "held")
    cluster.shimctl("tasks", "wait", "held")
    assert any("stopped by a client: unless-stopped holds it" in why for why in explained(cluster, "held")["because"])


def test_requests_in_progress(containers):
    cluster, client = containers.cluster, containers.cluster.client()
    containers.create("stuck", **{"fail_Start": "hang"})
    asker = cluster.client()

    def ask():
        try:
            asker.call("task.start", {"id": "stuck"}, "default", timeout=60)
        except Refused:
            pass

    thread = threading.Thread(target=ask)
    thread.start()
    pending = until(lambda: client.call("broker.requests", {"id": "stuck"}, "default")["requests"], "a request")
    assert [(row["method"], row["state"]) for row in pending] == [("task.start", "running")]
    assert client.call("broker.requests", {"id": "another"}, "default")["requests"] == []
    lines = explained(cluster, "stuck")["story"]
    assert lines[-1]["kind"] == "pending" and lines[-1]["pending"]["method"] == "task.start"
    assert "running" in cluster.shimctl("explain", "stuck").stdout.splitlines()[-1]
    client.call("task.delete", {"id": "stuck", "force": True}, "default", timeout=60)
    thread.join()


def test_exits(cluster):
    for code in (1, 2, 3):
        detached(cluster, f"c{code}", f"exit {code}")
        cluster.shimctl("tasks", "wait", f"c{code}")
        cluster.shimctl("tasks", "delete", f"c{code}")
    rows = [line.split() for line in cluster.shimctl("tasks", "exits").stdout.splitlines()]
    assert rows[0][:3] == ["TASK", "EXEC", "STATUS"]
    assert [(row[0], row[2], row[4]) for row in rows[1:]] == [("c3", "3", "wait"), ("c2", "2", "wait"), ("c1", "1", "wait")]
    found = cluster.shimctl("--json", "tasks", "exits", "--limit", "1", "exit_status<3").stdout
    assert [json.loads(line)["id"] for line in found.splitlines()] == ["c2"]
    assert cluster.shimctl("-n", "elsewhere", "tasks", "exits").stdout.splitlines()[1:] == []
    assert cluster.shimctl("tasks", "exits", "--limit", "x").returncode == 6


def rows_at(cluster, when):
    done = cluster.shimctl("--json", "tasks", "list", "--at", when)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["id"]: (row["status"], row["pid"]) for row in rows}


def test_tasks_as_they_were(cluster):
    client, moments = cluster.client(), []

    def last():
        return client.call("event.list", {"all": True, "limit": 1, "since": 2**62}, "default")["last"]

    def step(topic, *command, method=None, **fields):
        """Does something, and notes the tasks once its event is in the journal."""
        before = last()
        if method:
            client.call(method, {"id": "a", **fields}, "default", timeout=60)
        else:
            assert cluster.shimctl(*command).returncode == 0
        of_init = ",event.id==a" if topic == "/tasks/exit" else ""  # the exec ends with it
        filters = [f'topic=="{topic}",seq>{before}{of_init}']
        until(lambda: client.call("event.list", {"filters": filters}, "default")["events"], topic)
        tasks = client.call("task.list", {}, "default")["tasks"]
        moments.append((last(), time.time_ns(), {row["id"]: (row["status"], row["pid"]) for row in tasks}))
        time.sleep(0.002)  # the events of the next step carry later times

    step("/tasks/start", "run", "-d", "--rootfs", cluster.rootfs(), "b", "/bin/sh", "-c", SLEEP)
    step("/containers/create", "containers", "create", "--rootfs", cluster.rootfs(), "a", "/bin/sh", "-c", SLEEP)
    for _ in range(2):
        step("/tasks/create", method="task.create")
        step("/tasks/start", method="task.start")
        step("/tasks/exec-started", "tasks", "exec", "-d", "--exec-id", "e", "a", "/bin/sh", "-c", SLEEP)
        step("/tasks/paused", method="task.pause")
        step("/tasks/resumed", method="task.resume")
        step("/tasks/exit", method="task.kill", signal=9, all=True)
        step("/tasks/delete", method="task.delete")
    assert {status for _, _, rows in moments for status, _ in rows.values()} == {"CREATED", "RUNNING", "PAUSED", "STOPPED"}
    for seq, at, rows in moments:
        assert rows_at(cluster, seq) == rows
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at // 10**9)) + f".{at % 10**9:09}Z"
        assert rows_at(cluster, stamp) == rows
    assert cluster.shimctl("tasks", "list", "--at", moments[0][0]).stdout.split()[:6] == [
        "TASK", "PID", "STATUS", "b", str(moments[0][2]["b"][1]), "RUNNING"]
    late = cluster.shimctl("tasks", "list", "--at", last() + 1)
    assert late.returncode == 6 and f"the journal's newest event is {last()}" in late.stderr
    assert "yet to come" in cluster.shimctl("tasks", "list", "--at", "2100-01-01").stderr
    assert cluster.shimctl("tasks", "list", "--at", "1", "status==RUNNING").returncode == 2
    assert "--at yesterday: neither a time" in cluster.shimctl("tasks", "list", "--at", "yesterday").stderr


def test_the_journal_no_longer_reaches_back(fresh_cluster):
    cluster = fresh_cluster.start(config="journal\n    max-events = 5\n")
    client = cluster.client()
    detached(cluster, "a", SLEEP)
    begun = time.time_ns()
    for number in range(20):
        client.call("event.publish", {"topic": "/x/y", "type": "t", "event": {"n": number}}, "default")
    until(lambda: client.call("event.list", {"all": True, "limit": 1}, "default")["first"] > 5, "some are gone")
    early = cluster.shimctl("tasks", "list", "--at", "2")
    assert early.returncode == 6 and "--at 2: the journal no longer reaches back so far" in early.stderr
    early = cluster.shimctl("tasks", "list", "--at", f"{(time.time_ns() - begun) // 10**9 + 60}s")
    assert early.returncode == 6 and "no longer reaches back so far" in early.stderr
    last = client.call("event.list", {"all": True, "limit": 1}, "default")["last"]
    pid = client.call("task.get", {"id": "a"}, "default")["pid"]
    assert rows_at(cluster, last - 1) == {"a": ("RUNNING", pid)}
    assert rows_at(cluster, "0s") == {"a": ("RUNNING", pid)}
    assert client.call("event.about", {"id": "a"}, "default") == {"events": [], "gap": True}
    story = explained(cluster, "a")
    assert not story["complete"] and [line["kind"] for line in story["story"]] == ["request"] * 3
    assert story["state"].startswith("RUNNING, pid ")
