"""What a request did is told to whoever sends it again, also when the task is gone and its answer was never recorded."""

import concurrent.futures
import os
import signal
import threading
import time

import pytest
from cluster import until
from fake_containers import CONFIG, LIFE, NOT_FOUND, UNAVAILABLE, Containers

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts and shims need root")


@pytest.fixture
def containers(fresh_cluster):
    return Containers(fresh_cluster.start(config=f"failpoints = on\n{CONFIG}"))


def test_a_create_whose_task_was_deleted(containers):
    containers.record("c")
    request = containers.cluster.ask_in_vain("task.create", {"id": "c"})
    pid = until(lambda: containers.task("c")["pid"], "it is loaded")
    containers.call("task.delete", "c", force=True)
    assert containers.call("task.create", "c", id=request)["pid"] == pid
    assert containers.task("c") is None, "it is not made again"


def test_requests_of_an_earlier_run_are_not_carried_out_on_the_next(containers):
    killing, deleting = os.urandom(16), os.urandom(16)
    first = containers.run("c")
    containers.call("task.kill", "c", signal=9, id=killing)
    assert containers.wait("c") == 137
    containers.call("task.delete", "c", id=deleting)
    containers.cluster.await_successor("broker", containers.cluster.kill("broker"))
    assert containers.call("task.create", "c")["pid"] != first
    containers.call("task.start", "c")
    for _ in range(2):
        containers.call("task.kill", "c", signal=9, id=killing)
        assert containers.call("task.delete", "c", id=deleting)["pid"] == first
        assert containers.state("c") == "RUNNING"
        containers.cluster.await_successor("shim", containers.cluster.kill("shim"))
        until(lambda: containers.state("c") == "RUNNING", "it is loaded")
    containers.finish("c")


@pytest.mark.parametrize("end", ["deleted", "buried", "buried by the next"])
def test_a_start_whose_task_was(containers, end):
    pid = containers.create("c")
    request = containers.cluster.ask_in_vain("task.start", {"id": "c"})
    if end == "deleted":
        containers.end("c")
        assert containers.wait("c") == 0
        containers.call("task.delete", "c")
    else:
        until(lambda: containers.task("c").get("shim_pid"), "it is loaded")
        containers.lose_shim("c", end != "buried")
        containers.wait("c")
    containers.await_nothing_of("c")
    assert containers.call("task.start", "c", id=request)["pid"] == pid
    assert containers.topics("c") == LIFE


def test_a_checkpoint_is_not_begun_again(containers):
    """Nobody knows what became of it."""
    containers.run("c")
    request = containers.cluster.ask_in_vain("task.checkpoint", {"id": "c", "path": str(containers.cluster.dir)})
    until(lambda: containers.state("c") == "RUNNING", "it is loaded")
    status, sentence = containers.refusal("task.checkpoint", "c", path=str(containers.cluster.dir), id=request)
    assert status == UNAVAILABLE and "was begun before, outcome unknown" in sentence
    assert len(containers.asked_for("c", "Checkpoint")) == 1
    containers.finish("c")


def test_those_of_an_exec_that_was_deleted(containers):
    containers.run("c")
    spec = containers.exec_spec("c", "e")
    added = containers.cluster.ask_in_vain("task.exec", {"id": "c", "exec_id": "e", "spec": spec})
    started = containers.cluster.ask_in_vain("task.start", {"id": "c", "exec_id": "e"})
    pid = containers.call("task.get", "c", exec_id="e")["pid"]
    containers.end("c-e")
    assert containers.wait("c", exec_id="e") == 0
    containers.call("task.delete", "c", exec_id="e")
    assert containers.call("task.exec", "c", exec_id="e", spec=spec, id=added) == {}
    assert containers.call("task.start", "c", exec_id="e", id=started)["pid"] == pid
    assert containers.refusal("task.get", "c", exec_id="e")[0] == NOT_FOUND, "it is not made again"
    containers.finish("c")


def lost_start(containers, **more):
    """An exec that has run and ended, whose shim did not answer its Start: the request, and whoever waits for it."""
    containers.run("c", fail_Start="1*off->1*mute", more=more)
    containers.add_exec("c", "e")
    request, waits = os.urandom(16), concurrent.futures.Future()

    def ask():
        waits.set_result(containers.outcome("task.start", "c", timeout=60, exec_id="e", id=request))

    threading.Thread(target=ask).start()
    containers.end("c-e", 4)
    until(lambda: [e for e in containers.events("c") if e["topic"] == "/tasks/exit"], "it has ended")
    return request, waits


@pytest.mark.parametrize("next_worker", [False, True], ids=["", "next worker"])
def test_a_start_of_an_exec_that_ended_and_lost_its_shim(containers, next_worker):
    request, waits = lost_start(containers, on_shim_loss="keep")
    containers.lose_shim("c", next_worker)
    status, answer = waits.result(60)
    pid = next(e["event"]["pid"] for e in containers.events("c") if e["topic"] == "/tasks/exec-started")
    assert (status, answer) == (0, {"pid": pid})
    assert containers.call("task.start", "c", exec_id="e", id=request) == {"pid": pid}
    assert containers.wait("c", exec_id="e") == 4
    assert containers.call("task.delete", "c", exec_id="e")["exit_status"] == 4
    assert containers.task("c")["orphaned"]
    containers.finish("c")


def test_a_start_of_an_exec_that_ended_and_was_buried_with_its_shim(containers):
    request, waits = lost_start(containers)
    containers.lose_shim("c", to_a_successor=True)
    status, answer = waits.result(60)
    assert status == 0 and answer["pid"], answer
    containers.await_nothing_of("c")
    assert containers.call("task.start", "c", exec_id="e", id=request) == answer


@pytest.mark.parametrize("next_worker", [False, True], ids=["", "next worker"])
def test_a_start_of_an_exec_id_that_was_used_before(containers, next_worker):
    """The exit record is of the earlier use, and nobody knows of this one."""
    containers.run("c", fail_Start="2*off->1*hang", more={"on_shim_loss": "keep"})
    containers.run_exec("c", "e")
    containers.end("c-e", 4)
    assert containers.wait("c", exec_id="e") == 4
    containers.call("task.delete", "c", exec_id="e")
    containers.path("gate", "c-e").unlink()
    containers.add_exec("c", "e")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waits = pool.submit(containers.refusal, "task.start", "c", timeout=60, exec_id="e")
        until(lambda: len(containers.asked_for("c", "Start")) == 3, "it is with the shim")
        shim, worker = containers.shim_pid("c"), containers.cluster.pid("shim")
        if next_worker:
            os.kill(worker, signal.SIGSTOP)
        os.kill(shim, signal.SIGKILL)
        if next_worker:
            os.kill(worker, signal.SIGKILL)
        assert waits.result()[0] == UNAVAILABLE
    containers.finish("c")


def test_none_that_is_older_than_outcomes_are_kept(containers):
    containers.create("c")
    request = containers.cluster.ask_in_vain("task.start", {"id": "c"})
    before = time.time() - 25 * 3600
    os.utime(containers.cluster.run / "task/default/c/intent.json", (before, before))
    containers.call("task.delete", "c", force=True)
    assert request not in [row["id"] for row in containers.cluster.client().call("request.list", {"id": "c"}, "default")["requests"]]


def test_one_that_came_while_its_task_was_loaded(containers):
    containers.run("c", fail_Connect="1*off->1*delay(500)")
    containers.restart_worker()
    request = os.urandom(16)
    for _ in range(2):
        assert containers.call("task.kill", "c", id=request, signal=signal.SIGWINCH) == {}
    assert len(containers.asked_for("c", "Kill")) == 1
    containers.finish("c")
