"""Tasks of all three generations of shims, side by side, across restarts of the worker and swaps of the executable."""

import concurrent.futures
import contextlib
import json
import os
import signal
import subprocess
import threading

import pytest
from cluster import Refused, fastest, is_alive, until
from fake_containers import (CONFIG, INVALID_ARGUMENT, LIFE, NOT_FOUND, OK, PATIENCE, UNAVAILABLE, Background, Containers,
                             shim_path)

GENERATIONS = pytest.mark.parametrize("generation", [1, 2, 3])


@GENERATIONS
def test_shimctl_runs_a_container(cluster, generation):
    done = cluster.shimctl("run", "--rm", "--runtime", shim_path(generation), "--rootfs", cluster.rootfs(), "c",
                           "/bin/sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")


@GENERATIONS
def test_a_task_from_create_to_delete(containers, generation):
    pid = containers.create("c", generation=generation)
    assert containers.task("c")["pid"] == pid and containers.state("c") == "CREATED"
    assert containers.call("task.start", "c")["pid"] == pid
    exec_pid = containers.run_exec("c", "e")
    containers.end("c-e", 4)
    assert containers.wait("c", exec_id="e") == 4
    assert containers.call("task.delete", "c", exec_id="e")["exit_status"] == 4
    containers.call("task.kill", "c", signal=15)
    assert containers.wait("c") == 143
    assert containers.remove("c", force=False)["exit_status"] == 143
    assert containers.nothing_of("c"), containers.remains("c")
    events = containers.events("c")
    assert [e["topic"] for e in events] == [
        "/tasks/create", "/tasks/start", "/tasks/exec-added", "/tasks/exec-started", "/tasks/exit", "/tasks/exit", "/tasks/delete",
    ]
    exits = [(e["event"]["id"], e["event"]["pid"], e["event"]["exit_status"]) for e in events if e["topic"] == "/tasks/exit"]
    assert exits == [("e", exec_pid, 4), ("c", pid, 143)]
    assert events[-1]["event"]["exit_status"] == 143


def test_every_call_reaches_the_shim(containers):
    containers.run("c")
    containers.run_exec("c", "e")
    images = containers.cluster.dir / "images"
    images.mkdir()
    for who in {}, {"exec_id": "e"}:
        containers.call("task.resize", "c", width=80, height=24, **who)
        containers.call("task.close-io", "c", stdin=True, **who)
    assert {p["pid"] for p in containers.call("task.pids", "c")["processes"]} >= {containers.task("c")["pid"]}
    containers.call("task.update", "c", resources=b'{"pids":{"limit":50}}')
    assert containers.call("task.stats", "c")["stats"]
    containers.call("task.pause", "c")
    containers.call("task.resume", "c")
    containers.call("task.checkpoint", "c", path=str(images))
    containers.call("task.kill", "c", signal=10, exec_id="e")
    assert containers.wait("c", exec_id="e") == 138
    # None of them is asked twice, and a checkpoint's event is the manager's to write.
    calls = ["ResizePty", "CloseIO", "Pids", "Update", "Stats", "Pause", "Resume", "Checkpoint", "Kill"]
    assert {call: len(containers.asked_for("c", call)) for call in calls} == {**dict.fromkeys(calls, 1), "ResizePty": 2, "CloseIO": 2}
    (checkpointed,) = [e for e in containers.events("c") if e["topic"] == "/tasks/checkpointed"]
    assert (checkpointed["event"]["checkpoint"], checkpointed["origin"]) == (str(images), "shimd")
    assert [t for t in containers.topics("c") if t in ("/tasks/paused", "/tasks/resumed")] == ["/tasks/paused", "/tasks/resumed"]
    containers.finish("c")
    containers.record("restored")
    assert containers.call("task.create", "restored", checkpoint=str(images))["pid"] == 0, "there is no process before the start"
    pid = containers.call("task.start", "restored")["pid"]
    until(lambda: is_alive(pid), "it has its command line")
    containers.finish("restored")


def test_who_is_listed_and_who_is_not_found(containers):
    containers.run("c")
    client = containers.cluster.client()
    assert client.call("task.list", {}, "elsewhere")["tasks"] == []
    assert [t["ns"] for t in client.call("task.list", {"all": True}, "elsewhere")["tasks"]] == ["default"]
    for method, fields in (("task.get", {}), ("task.start", {}), ("task.kill", {"signal": 9}), ("task.delete", {}), ("task.wait", {})):
        assert containers.refusal(method, "c", exec_id="none", **fields)[0] == NOT_FOUND
        with pytest.raises(Refused) as refused:
            client.call(method, {"id": "c", **fields}, "elsewhere", timeout=15)
        assert refused.value.status == NOT_FOUND
        with pytest.raises(Refused) as refused:
            client.call(method, {"id": "c", **fields}, timeout=15)
        assert refused.value.status == INVALID_ARGUMENT and "namespace" in str(refused.value)
    containers.finish("c")


@GENERATIONS
def test_a_task_is_adopted_by_the_next_worker(containers, generation):
    pid, shim = containers.run("c", generation=generation), containers.shim_pid("c")
    answers = []
    waiter = threading.Thread(target=lambda: answers.append(containers.wait("c", timeout=30)))
    waiter.start()
    containers.restart_worker()
    until(lambda: containers.state("c") == "RUNNING", "the task is adopted")
    assert (containers.task("c")["pid"], containers.shim_pid("c")) == (pid, shim)
    containers.run_exec("c", "e")
    containers.end("c-e", 5)
    assert containers.wait("c", exec_id="e") == 5
    containers.finish("c", 6)
    waiter.join()
    assert answers == [6]
    assert [t for t in containers.topics("c") if "exec" not in t] == [*LIFE[:2], "/tasks/exit", *LIFE[2:]]
    assert len(containers.asked_for("c", "Create")) == 1


def test_three_generations_side_by_side(containers):
    for generation in 1, 2, 3:
        containers.run(f"c{generation}", generation=generation)
    containers.restart_worker()
    for generation in 1, 2, 3:
        containers.run(f"d{generation}", generation=generation)
    shims = {containers.shim_pid(name) for name in ("c1", "c2", "c3", "d1", "d2", "d3")}
    assert len(shims) == 6
    for code, name in enumerate(("d2", "c3", "c1", "d1", "d3", "c2")):
        containers.finish(name, code)
        assert containers.topics(name) == LIFE


def swap(path, generation):
    """Another executable at the same path, as a package upgrade puts it there."""
    new = path.with_suffix(".new")
    new.write_text(f'#!/bin/sh\nexec {shim_path(generation)} "$@"\n')
    new.chmod(0o755)
    new.rename(path)
    return str(path)


def test_the_executable_is_swapped_between_two_creates(containers):
    path = containers.cluster.dir / "containerd-shim-swapped-v2"
    for generation in (1, 3, 2, 3, 1):
        name = f"c{len(list(containers.cluster.dir.glob('gate-*')))}"
        containers.run(name, runtime=swap(path, generation))
        announced = json.loads((containers.cluster.run / f"task/default/{name}/bootstrap.json").read_text())
        assert announced["version"] == (2 if generation == 1 else 3)
    for name in ("c2", "c0", "c4", "c1", "c3"):
        containers.finish(name)


def test_version_3_announced_and_2_served(containers):
    for name in "c", "d", "e":
        containers.run(name, generation=2, serve_version=2, group=None if name == "e" else "g")
    assert containers.shim_pid("c") == containers.shim_pid("d")
    containers.restart_worker()
    until(lambda: all(containers.state(name) == "RUNNING" for name in "cde"), "the tasks are adopted")
    for name in "c", "d", "e":
        containers.end(name, 3)
        assert containers.wait(name) == 3
        assert containers.remove(name, force=False)["exit_status"] == 3
    assert containers.nothing_of("c"), "the group's shim goes with its last container"


def test_version_3_written_down_and_2_served(containers):
    """As after a worker that died between the shim's answer and the downgrade."""
    containers.run("c", generation=2, serve_version=2)
    path = containers.cluster.run / "task/default/c/bootstrap.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 3}))
    containers.restart_worker()
    until(lambda: containers.state("c") == "RUNNING", "the task is adopted")
    containers.finish("c")


@GENERATIONS
@pytest.mark.parametrize("step", ["start", "Connect", "Create"])
def test_a_worker_killed_in_the_middle_of_a_create(containers, generation, step):
    slow = {"start": "delay(400)"} if step == "start" else {f"fail_{step}": "1*delay(400)"}
    containers.record("c", generation=generation, **slow)
    outcomes = []
    client = threading.Thread(target=lambda: outcomes.append(containers.outcome("task.create", "c", 20)))
    client.start()
    until(lambda: containers.asked_for("c", step) and containers.shims(), f"{step} is under way")
    containers.restart_worker()
    client.join()
    task = containers.task("c")
    if task is None:  # it was undone, completely, and can be made
        containers.await_nothing_of("c")
        containers.call("container.delete", "c")
        containers.record("c", generation=generation)
        containers.call("task.create", "c")
    else:
        assert outcomes[0][1] == {"pid": task["pid"]}
    containers.call("task.start", "c")
    assert len(containers.shims()) == 1
    containers.finish("c")


@GENERATIONS
def test_a_created_task_survives_a_restart(containers, generation):
    pid = containers.create("c", generation=generation)
    containers.restart_worker()
    until(lambda: containers.state("c") == "CREATED", "the task is adopted")
    assert containers.call("task.start", "c")["pid"] == pid
    containers.finish("c")
    assert containers.topics("c") == LIFE


@GENERATIONS
def test_a_shim_killed_by_force_leaves_nothing(containers, generation):
    containers.run("c", generation=generation)
    containers.run("d", generation=generation)
    containers.run_exec("c", "e")
    os.kill(containers.shim_pid("c"), signal.SIGKILL)
    until(lambda: containers.task("c") is None, "the task is gone")
    assert containers.nothing_of("c"), containers.remains("c")
    until(lambda: not containers.cluster.dead_sockets(), "no dead socket")
    assert containers.topics("c")[-2:] == ["/tasks/exit", "/tasks/delete"]
    containers.finish("d")


def kill_shims_of_an_absent_worker(containers):
    """Six running containers, of which the first three lose their shims while nobody looks; their names."""
    names = [f"c{number}" for number in range(6)]
    victims = []
    for number, name in enumerate(names):
        containers.run(name, generation=1 + number % 3)
        victims.append(containers.shim_pid(name))
    with containers.cluster.worker_away():
        for pid in victims[:3]:
            os.kill(pid, signal.SIGKILL)
    until(lambda: {row["id"] for row in containers.call("task.list")["tasks"]} == set(names[3:]), "the dead are buried")
    return names


def test_shims_that_die_while_the_worker_is_away(containers):
    names = kill_shims_of_an_absent_worker(containers)
    for name in names[:3]:
        containers.await_nothing_of(name)
        assert containers.asked_for(name, "delete")
        containers.call("container.delete", name)
    for name in names[3:]:
        containers.finish(name)
    until(lambda: not containers.cluster.dead_sockets(), "no dead socket")


def test_the_end_of_shims_that_die_while_the_worker_is_away_is_recorded(containers):
    try:
        for name in kill_shims_of_an_absent_worker(containers)[:3]:
            assert containers.topics(name) == LIFE
            assert containers.wait(name) == 137
    finally:
        containers.sweep()


# Slow is not dead ---------------------------------------------------------------------------------


def test_a_stopped_shim_delays_nobody_and_is_not_touched(containers):
    containers.run("mute")
    containers.run("other")
    shim = containers.shim_pid("mute")
    os.kill(shim, signal.SIGSTOP)
    status, sentence = containers.outcome("task.pids", "mute", 0.5)
    assert status == 4, sentence
    assert fastest(containers.call, "task.pids", "other") < 0.5
    assert fastest(containers.call, "task.list") < 0.5
    containers.run("third")
    containers.finish("third")
    assert containers.task("mute")["pid"] and containers.shim_pid("mute") == shim
    os.kill(shim, signal.SIGCONT)
    containers.finish("mute")
    containers.finish("other")
    assert not containers.path("record", "mute").read_text().count("delete mute cwd")


def test_a_stopped_shim_is_shown_as_unresponsive(containers):
    containers.run("mute")
    shim = containers.shim_pid("mute")
    os.kill(shim, signal.SIGSTOP)
    try:
        answer = containers.call("task.get", "mute")
        assert (answer["status"], answer.get("unresponsive")) == ("RUNNING", True)
        assert containers.task("mute")["unresponsive"] and containers.task("mute")["stale_ms"] > 0
        assert "unresponsive" in containers.cluster.shimctl("tasks", "list").stdout
    finally:
        os.kill(shim, signal.SIGCONT)
    until(lambda: not containers.call("task.get", "mute").get("unresponsive"), "it answers again")
    containers.finish("mute")


def test_shims_that_are_stopped_before_a_restart(containers):
    stopped, well = ["s0", "s1", "s2"], ["w0", "w1", "w2", "w3"]
    for name in stopped + well:
        containers.run(name, generation=1 + int(name[1]) % 3)
    shims, pids = [[containers.task(name)[key] for name in stopped] for key in ("shim_pid", "pid")]
    for pid in shims:
        os.kill(pid, signal.SIGSTOP)
    try:
        containers.restart_worker()
        assert fastest(containers.call, "task.list") < 0.2
        assert {row["id"] for row in containers.call("task.list")["tasks"]} == {*stopped, *well}
        for name in well:
            assert fastest(containers.call, "task.pids", name) < 1
        containers.finish("w0")
        until(lambda: all(containers.task(name).get("unresponsive") for name in stopped), "they are shown")
        assert [containers.task(name)["pid"] for name in stopped] == pids
        assert containers.refusal("task.kill", "s0", signal=9)[1].count("does not answer")
    finally:
        for pid in shims:
            os.kill(pid, signal.SIGCONT)
    for name in stopped:
        until(lambda n=name: not containers.task(n).get("unresponsive"), f"{name} is adopted")
        containers.finish(name)
    for name in well[1:]:
        containers.finish(name)


def test_a_start_waits_for_no_shim(fresh_cluster):
    """More of them are mute than are looked at side by side, and for longer than anybody here waits."""
    containers = Containers(fresh_cluster.start(config=CONFIG.replace("load-timeout = 1000", "load-timeout = 600000")))
    mute, well = [f"a{number}" for number in range(20)], ["z0", "z1", "z2"]
    for name in mute + well:
        containers.run(name)
    shims = [containers.shim_pid(name) for name in mute]
    for pid in shims:
        os.kill(pid, signal.SIGSTOP)
    try:
        containers.restart_worker()
        assert {row["id"] for row in containers.call("task.list")["tasks"]} == {*mute, *well}
        assert containers.call("task.get", "z2")["status"] == "RUNNING", "asked for by name, it is the next"
        until(lambda: not any(containers.task(name).get("phase") for name in well), "the others are adopted as well")
        assert all(containers.task(name)["phase"] == "loading" for name in mute), "and these were never waited for"
        containers.finish("z0")
        containers.run("new")
        containers.finish("new")
    finally:
        for pid in shims:
            os.kill(pid, signal.SIGCONT)
    until(lambda: not any(row.get("phase") for row in containers.call("task.list")["tasks"]), "all are adopted")


@pytest.mark.parametrize("damage", ["lost", "garbled"])
def test_intents_that_are_gone_bury_nobody(containers, damage):
    """What else the bundle says is enough to find the shim, or the process that it left."""
    for name in ("well", "alone"):
        containers.run(name, more={"on_shim_loss": "keep"})
    shim = containers.shim_pid("alone")
    with containers.cluster.worker_away():
        for name in ("well", "alone"):
            intent = containers.cluster.run / "task/default" / name / "intent.json"
            intent.unlink() if damage == "lost" else intent.write_text("{")
        os.kill(shim, signal.SIGKILL)
    until(lambda: containers.task("alone").get("orphaned"), "it is kept without its shim")
    for name in ("well", "alone"):
        assert containers.call("task.get", name)["status"] == "RUNNING"
    containers.restart_worker()  # it was written again
    for name in ("well", "alone"):
        containers.finish(name)
        assert containers.topics(name) == LIFE


def test_a_container_is_deleted_when_its_shim_answers_again(containers):
    containers.run("c")
    containers.end("c")
    containers.wait("c")
    shim = containers.shim_pid("c")
    os.kill(shim, signal.SIGSTOP)
    try:
        containers.restart_worker()
        until(lambda: containers.task("c").get("unresponsive"), "it is known to be mute")
        command = subprocess.Popen(containers.cluster.command("containers", "delete", "c"), stderr=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            command.wait(1)
    finally:
        os.kill(shim, signal.SIGCONT)
    assert command.communicate(timeout=20)[1] == "" and command.returncode == 0
    assert containers.refusal("container.get", "c")[0] == NOT_FOUND
    containers.await_nothing_of("c")


def test_a_delete_waits_for_a_shim_that_is_mute_after_a_restart(containers):
    """As long as it may, and it is not done after it was refused; nobody else waits."""
    for name in ("c", "other"):
        containers.run(name)
    containers.end("c", 3)
    containers.wait("c")
    shim = containers.shim_pid("c")
    os.kill(shim, signal.SIGSTOP)
    try:
        containers.restart_worker()
        until(lambda: containers.task("c").get("unresponsive"), "it is known to be mute")
        assert containers.refusal("task.delete", "c", timeout=1) == (UNAVAILABLE, "task.delete: task c: its shim does not answer (status 14)")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            waits = pool.submit(containers.call, "task.delete", "c", timeout=60)
            until(lambda: containers.cluster.status()["shim"].get("in_flight"), "it is with the worker")
            containers.finish("other")
            assert not waits.done()
            os.kill(shim, signal.SIGCONT)
            assert waits.result()["exit_status"] == 3
    finally:
        with contextlib.suppress(ProcessLookupError):  # it ends with its task
            os.kill(shim, signal.SIGCONT)
    containers.await_nothing_of("c")
    assert containers.topics("c") == LIFE


def test_a_refused_delete_is_not_done_later(containers):
    containers.run("c")
    containers.end("c")
    containers.wait("c")
    shim = containers.shim_pid("c")
    os.kill(shim, signal.SIGSTOP)
    try:
        containers.restart_worker()
        until(lambda: containers.task("c").get("unresponsive"), "it is known to be mute")
        assert containers.refusal("task.delete", "c", timeout=1)[0] == UNAVAILABLE
    finally:
        os.kill(shim, signal.SIGCONT)
    until(lambda: not containers.call("task.get", "c").get("unresponsive"), "it answers again")
    assert containers.state("c") == "STOPPED"
    containers.remove("c", force=False)


def test_a_create_waits_for_what_had_its_id_no_longer_than_it_may(fresh_cluster):
    containers = Containers(fresh_cluster.start(config=CONFIG.replace("shutdown-timeout = 1000", "shutdown-timeout = 60000")))
    containers.run("c", fail_Shutdown="1*hang")
    shim = containers.shim_pid("c")
    containers.call("task.kill", "c", signal=9)
    containers.wait("c")
    containers.call("task.delete", "c")
    sentence = "task.create: task c: what its id stood for before is still being removed (status 14)"
    assert containers.refusal("task.create", "c", timeout=1) == (UNAVAILABLE, sentence)
    os.kill(shim, signal.SIGKILL)
    assert containers.call("task.create", "c")["pid"], "the refused one was not done"
    shim = containers.shim_pid("c")
    containers.remove("c")
    with contextlib.suppress(ProcessLookupError):
        os.kill(shim, signal.SIGKILL)


@pytest.mark.parametrize("step", ["make-bundle-after", "create-task-before"])
def test_a_create_that_failed_is_told_to_the_journal_until_it_has_it(fresh_cluster, step):
    """Meanwhile it is no task; who creates it again waits, and hears what for."""
    containers = Containers(fresh_cluster.start(config=f"failpoints = on\n{CONFIG}"))
    points = fresh_cluster.run / "failpoints"
    containers.record("c")
    (points / "metadata.incarnation.end-begin").write_text("error(no end)")
    (points / f"shim.create-{step}").write_text("1*error(broken)")
    assert "broken" in containers.refusal("task.create", "c")[1]
    assert containers.nothing_of("c") and containers.task("c") is None
    assert containers.refusal("task.delete", "c")[0] == NOT_FOUND
    sentence = "task.create: task c: that an earlier create of it failed cannot be recorded yet: failpoint metadata.incarnation.end-begin: no end (status 14)"
    assert containers.refusal("task.create", "c", timeout=1) == (UNAVAILABLE, sentence)
    create = Background(containers, "task.create", "c", timeout=PATIENCE)
    until(lambda: fresh_cluster.status()["shim"].get("in_flight", 0) > 0, "it waits")
    (points / "metadata.incarnation.end-begin").unlink()
    assert create.outcome()[0] == OK
    assert containers.remove("c") and containers.nothing_of("c")


# Events -------------------------------------------------------------------------------------------


MODES = ["reorder", "duplicate", "drop", "drop(/tasks/exit)", "drop(/tasks/delete)", "delay(300)", "none"]


@pytest.mark.parametrize("mode", MODES)
def test_events_that_misbehave(containers, mode):
    containers.run("c", events=mode)
    containers.finish("c")
    topics = containers.topics("c")
    assert topics.count("/tasks/exit") == topics.count("/tasks/delete") == 1
    assert len(topics) == len(set(topics))
    exits = [e["event"]["exit_status"] for e in containers.events("c") if e["topic"] in LIFE[-2:]]
    assert exits == [3, 3]
    # What comes late or twice after the end finds the next task of that name, and is not taken for its own.
    containers.run("c", events=mode)
    containers.finish("c", 4)
    assert containers.topics("c").count("/tasks/exit") == 2


@pytest.mark.parametrize("mode", MODES)
def test_the_journal_has_the_whole_life_in_order(containers, mode):
    containers.run("c", events=mode)
    containers.finish("c")
    assert containers.topics("c") == LIFE
