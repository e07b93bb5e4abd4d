"""The ten things of a shim that bite (the shim contract's first section), and that shimd is never bitten."""

import json
import os
import signal

import pytest
from cluster import is_alive, until
from fake_containers import (ALREADY_EXISTS, DEADLINE_EXCEEDED, FAILED_PRECONDITION, INVALID_ARGUMENT, LIFE, NOT_FOUND,
                             UNKNOWN, Background)

WRONG_OPTIONS = "containerd.runc.v1.CheckpointOptions"  # known to a shim, and not what Create wants


# 1. Requests that lack something crash a shim


@pytest.mark.parametrize("method, fields, sentence", [
    ("task.exec", {"exec_id": "e"}, "spec"),
    ("task.exec", {"exec_id": "e", "spec": b""}, "spec"),
    ("task.exec", {"exec_id": "e", "spec": b"null"}, "spec"),
    ("task.exec", {"exec_id": "e", "spec": b'{"args":[]}'}, "args"),
    ("task.update", {}, "resources"),
    ("task.update", {"resources": b""}, "resources"),
    ("task.update", {"resources": b"7"}, "resources"),
])
def test_trap_1_what_a_shim_crashes_on_is_refused_before_it_sees_it(containers, method, fields, sentence):
    containers.run("c")
    status, text = containers.refusal(method, "c", **fields)
    assert status == INVALID_ARGUMENT and sentence in text
    assert not containers.asked_for("c", "Exec") and not containers.asked_for("c", "Update")
    containers.finish("c")


def test_trap_1_options_of_a_wrong_type_are_refused_before_the_shim_sees_them(containers):
    containers.record("c", more={"options_type": WRONG_OPTIONS, "options": b""})
    status, text = containers.refusal("task.create", "c")
    assert not containers.asked_for("c", "Create")
    assert status == INVALID_ARGUMENT and WRONG_OPTIONS in text


# 2. A fifo without reader holds the shim's lock for 30 s


def test_trap_2_a_fifo_without_reader_is_refused_before_the_shim_sees_it(containers):
    unread = str(containers.path("unread", "c"))
    os.mkfifo(unread)
    containers.record("c")
    status, text = containers.refusal("task.create", "c", stdout=unread, stderr=unread)
    assert status == FAILED_PRECONDITION and f"nobody reads the fifo {unread}" in text
    assert not containers.asked("c") and containers.nothing_of("c")
    containers.call("task.create", "c")
    containers.call("task.start", "c")
    spec = json.dumps(containers.process(containers.path("gate", "c"))).encode()
    status, text = containers.refusal("task.exec", "c", exec_id="e", spec=spec, stdout=unread, stderr=unread)
    assert status == FAILED_PRECONDITION and "nobody reads" in text
    assert not containers.asked_for("c", "Exec")
    containers.finish("c")


# 3. A Create that fails late leaves a process that only the `delete` verb ends


def test_trap_3_a_create_that_fails_late_leaves_no_process(containers):
    """The reader goes after the manager has looked and before the shim opens the fifo."""
    output = str(containers.path("output", "c"))
    os.mkfifo(output)
    reader = os.open(output, os.O_RDONLY | os.O_NONBLOCK)
    containers.record("c", fail_Create="1*delay(300)", stdio_timeout=100)
    create = Background(containers, "task.create", "c", stdout=output, stderr=output)
    until(lambda: containers.asked_for("c", "Create"), "the shim is asked")
    os.close(reader)
    status, text = create.outcome()
    assert status == DEADLINE_EXCEEDED and f"open {output}" in text
    assert containers.asked_for("c", "delete")
    assert containers.nothing_of("c"), containers.remains("c")
    containers.call("container.delete", "c")
    containers.run("c")
    containers.finish("c")


# 4. A second Create unmounts the live container's root


def test_trap_4_create_is_sent_once_for_a_live_id(containers):
    containers.record("c", fail_Create="1*late(1200)")
    first = Background(containers, "task.create", "c")  # sent again after a second without an answer
    until(lambda: containers.asked_for("c", "Create"), "the shim is asked")
    assert containers.refusal("task.create", "c")[0] == ALREADY_EXISTS
    assert first.outcome()[0] == 0
    assert containers.refusal("task.create", "c")[0] == ALREADY_EXISTS
    containers.call("task.start", "c")
    containers.restart_worker()
    assert containers.refusal("task.create", "c")[0] == ALREADY_EXISTS
    assert len(containers.asked_for("c", "Create")) == 1
    containers.finish("c")


def test_trap_4_create_is_not_sent_again_after_a_timeout(containers):
    containers.record("c", fail_Create="1*late(1500)")
    assert containers.refusal("task.create", "c", timeout=0.3)[0] == DEADLINE_EXCEEDED
    assert containers.refusal("task.create", "c")[0] == ALREADY_EXISTS
    until(lambda: containers.state("c") == "CREATED", "the first one has its task")
    containers.call("task.start", "c")
    assert len(containers.asked_for("c", "Create")) == 1
    containers.finish("c")


def test_trap_4_create_is_not_sent_again_by_a_redelivery(containers):
    containers.record("c", fail_Create="1*late(1200)")
    create = Background(containers, "task.create", "c")
    until(lambda: containers.asked_for("c", "Create"), "the shim is asked")
    containers.restart_worker()
    status, answer = create.outcome()
    assert (status, answer) == (0, {"pid": containers.task("c")["pid"]})
    assert len(containers.asked_for("c", "Create")) == 1
    containers.call("task.start", "c")
    containers.finish("c")


# 5. Events are lost, repeated and out of order


@pytest.mark.parametrize("mode", ["none", "reorder", "duplicate"])
def test_trap_5_answers_are_the_truth_and_events_are_hints(containers, mode):
    containers.run("c", events=mode)
    containers.run_exec("c", "e")
    containers.end("c-e", 5)
    assert containers.wait("c", exec_id="e") == 5
    containers.end("c", 9)
    assert containers.wait("c") == 9
    assert containers.remove("c", force=False)["exit_status"] == 9
    assert containers.wait("c") == 9, "the exit record outlives the task"
    topics = [e["topic"] for e in containers.events("c") if e["event"].get("id") != "e"]
    assert topics.count("/tasks/exit") == topics.count("/tasks/delete") == 1


# 6. Delete straight after Kill is refused, or says that the task ended well in the year 1


def test_trap_6_delete_waits_for_the_exit(containers):
    for number in range(10):
        name = f"c{number}"
        containers.create(name)
        if number % 2:
            containers.call("task.start", name)
        answer = containers.remove(name)
        assert answer["exit_status"] == 137 and answer["exited_at"] > 0, (name, answer)
        assert containers.wait(name) == 137
        asked = [line for line in containers.asked(name) if line in ("Kill", "Wait", "Delete")]
        assert asked[-1] == "Delete" and "Kill" in asked and "Wait" in asked
        deleted = containers.events(name)[-1]
        assert deleted["topic"] == "/tasks/delete" and deleted["event"]["exit_status"] == 137


def test_trap_6_delete_waits_for_an_exit_that_is_told_late(containers):
    containers.run("c", fail_Wait="late(400)")
    containers.call("task.kill", "c", signal=9)
    answer = containers.remove("c")
    assert answer["exit_status"] == 137 and answer["exited_at"] > 0


# 7. The `delete` verb goes by its working directory


@pytest.mark.parametrize("generation", [1, 2, 3])
def test_trap_7_the_delete_verb_runs_in_the_bundle(containers, generation):
    pid = containers.run("c", generation=generation)
    os.kill(containers.shim_pid("c"), signal.SIGKILL)
    until(lambda: containers.task("c") is None, "the task is buried")
    bundle = f"{containers.cluster.run}/task/default/c"
    assert containers.asked_for("c", "delete") == [f"delete cwd={bundle} bundle={bundle}"]
    assert not is_alive(pid), "the verb has found the container"
    assert containers.wait("c") == 137


# 8. and 9. `start` reads its input to the end, and a daemon without a reader of its log hangs or dies


@pytest.mark.parametrize("generation", [1, 2, 3])
def test_trap_8_and_9_start_has_an_input_that_ends_and_a_log_that_is_read(containers, generation):
    for name in "c", "d":
        containers.run(name, generation=generation, group="g")
        starts = containers.asked_for(name, "start")
        assert starts and all("stdin=" in line and line.endswith("log=read") for line in starts), starts
    containers.end("c")
    containers.end("d")
    containers.remove("c")
    containers.remove("d")


def test_trap_9_the_log_is_read_on_by_the_next_worker(containers):
    containers.run("c")
    containers.restart_worker()
    until(lambda: containers.state("c") == "RUNNING", "the task is adopted")
    os.kill(containers.shim_pid("c"), signal.SIGUSR1)  # a real shim dumps its stacks; more of that than a pipe holds
    until(lambda: "END goroutine stack dump" in containers.cluster.log(), "the shim's line is in our log")
    containers.finish("c")


# 10. The year 1 means that there was no exit


def test_trap_10_the_year_1_is_no_exit(containers):
    containers.run("c")
    assert containers.task("c")["exited_at"] == 0
    spec = {**containers.process(containers.path("gate", "c")), "args": ["/no/such/program"]}
    containers.call("task.exec", "c", exec_id="e", spec=json.dumps(spec).encode())
    status, text = containers.refusal("task.start", "c", exec_id="e")
    assert status == UNKNOWN and "/no/such/program" in text
    # The shim's Wait for it would say: ended with 0, in the year 1.
    assert containers.refusal("task.wait", "c", timeout=0.5, exec_id="e")[0] == DEADLINE_EXCEEDED
    assert containers.call("task.get", "c", exec_id="e")["status"] != "STOPPED"
    containers.restart_worker()
    until(lambda: containers.state("c") == "RUNNING", "the task is adopted")
    assert containers.task("c")["exited_at"] == 0
    containers.finish("c")
    assert [e["event"]["id"] for e in containers.events("c") if e["topic"] == "/tasks/exit"] == ["c"]
    assert containers.outcome("task.wait", "c", 0.5, exec_id="e")[0] in (NOT_FOUND, DEADLINE_EXCEEDED)
    assert [t for t in containers.topics("c") if t in LIFE] == LIFE
