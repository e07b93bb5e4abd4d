"""Calls to a shim that go wrong: whoever asked is told the truth in time, nothing is left over, and the next request is well.

Each test plays all faults of one method side by side in one cluster, on a container each.
"""

import concurrent.futures
import json
import os
import signal
import threading
import time

import msgpack
import pytest
from cluster import Refused, is_alive, until
from fake_containers import CONFIG, DEADLINE_EXCEEDED, FAILED_PRECONDITION, INTERNAL, LIFE, NOT_FOUND, OK, RESOURCE_EXHAUSTED, UNAVAILABLE, UNKNOWN, Background, Containers

HANG_SECONDS = 0.7  # the request's deadline where the shim never answers: before it is sent again
OVERDUE_SECONDS = 2.5  # from a request to this, and on a slow machine a shim may have been given up (after 3)
LIST_SECONDS = 0.5  # before a list that failed is asked for again
SOON_SECONDS = 6  # what every other answer comes within; a shim that does not shut down is killed after 3
# What a client hears of a call that fails in this way.
ANSWERS = {
    "error(told to fail)": (UNKNOWN, "told to fail"),
    "error(5:no such thing)": (None, "no such thing"),
    "hang": (DEADLINE_EXCEEDED, "still running at the deadline"),
    "close": (UNAVAILABLE, "shim closed the connection"),
    "lost": (UNAVAILABLE, "shim closed the connection"),
    "panic": (UNAVAILABLE, "shim closed the connection"),
    "died": (UNAVAILABLE, "shim closed the connection"),
    "garbage": (INTERNAL, "cannot be decoded"),
    "oversize": (INTERNAL, "limit 4194304"),
    "late(300)": (OK, ""),
}
KILLS_THE_SHIM = ("panic", "died")
LOSES_CONNECTION = ("close", "lost", "garbage", "oversize")
IS_DONE = ("lost", "died", "garbage", "oversize", "late(300)")  # although only the last one says so


def side_by_side(containers, play, faults=tuple(ANSWERS)):
    """Plays every fault on a container of its own, and another container's life meanwhile."""
    failures = []

    def run(number, fault):
        try:
            play(containers, f"c{number}", fault)
        except BaseException as error:  # a thread's failure is the test's
            failures.append(f"{fault}: {type(error).__name__}: {error}")

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(faults)]
    for thread in threads:
        thread.start()
    containers.run("well")
    containers.finish("well")
    for thread in threads:
        thread.join()
    assert not failures, "\n".join(failures)
    containers.run("next")
    containers.finish("next")


def ask(containers, method, name, fault, mended=(), **fields):
    """The request that hits the fault; what it answered is checked here. Those that are mended are answered as if
    there had been none."""
    status, sentence = (OK, "") if fault in mended else next(answer for key, answer in ANSWERS.items() if key in fault)
    timeout = HANG_SECONDS if fault == "hang" else SOON_SECONDS
    begun = time.monotonic()
    outcome = containers.outcome(method, name, timeout, **fields)
    assert time.monotonic() - begun < timeout + 1
    assert outcome[0] == status or status is None and outcome[0] != OK, outcome
    assert sentence in str(outcome[1]), outcome
    return outcome[1]


def kill_shim_of(containers, name):
    for pid, words in containers.remains(name)[1].items():
        if "-id" in words:
            os.kill(pid, signal.SIGKILL)


def finish_dead(containers, name):
    """The shim has died: its task is buried, and its end is told."""
    until(lambda: containers.task(name) is None, f"{name} is buried")
    containers.await_nothing_of(name)
    assert containers.wait(name) == 137
    topics = containers.topics(name)
    assert topics.count("/tasks/exit") == topics.count("/tasks/delete") == 1
    containers.call("container.delete", name)


def play_again(containers, name):
    """The same name, without faults."""
    containers.await_nothing_of(name)
    until(lambda: containers.outcome("container.delete", name)[0] == OK, f"{name} is undone")
    containers.run(name)
    containers.finish(name)


# Making -------------------------------------------------------------------------------------------


def play_create(containers, name, fault, method):
    containers.record(name, **{f"fail_{method}": f"1*{fault}"})
    begun = time.monotonic()
    ask(containers, "task.create", name, fault)
    if fault.startswith("late"):
        containers.call("task.start", name)
        containers.finish(name)
        return
    if fault == "hang":
        is_overdue = time.monotonic() - begun > OVERDUE_SECONDS
        assert containers.shims() or is_overdue, "a slow shim is not killed for a client's deadline"
        kill_shim_of(containers, name)
    else:
        assert containers.nothing_of(name), containers.remains(name)
    play_again(containers, name)


def test_connecting(containers):
    side_by_side(containers, lambda *args: play_create(*args, "Connect"))


def test_creating(containers):
    side_by_side(containers, lambda *args: play_create(*args, "Create"))


def test_a_task_that_is_being_created_is_not_said_to_be_none(containers):
    containers.record("c", fail_Create="1*delay(500)")
    create = threading.Thread(target=containers.call, args=("task.create", "c"))
    create.start()
    until(lambda: containers.asked_for("c", "Create"), "the shim is asked")
    outcome = containers.outcome("task.get", "c")
    create.join()
    assert "not found" not in str(outcome), outcome


def test_a_request_sent_again_after_its_deadline_is_told_that_it_runs(containers):
    containers.record("c", fail_Create="1*late(1000)")
    request = os.urandom(16)
    with pytest.raises(Refused, match="still running at the deadline"):
        containers.call("task.create", "c", timeout=0.2, id=request)
    socket = containers.local.client.socket
    header = {"v": 1, "id": request, "method": "task.create", "ns": "default", "deadline": 1}
    socket.send_multipart([msgpack.packb(header), msgpack.packb({"id": "c"})])
    head = msgpack.unpackb(socket.recv_multipart()[0])
    until(lambda: containers.state("c") == "CREATED", "it did run")
    assert head["status"] == DEADLINE_EXCEEDED and "before it began" not in head["message"]


def test_a_create_is_undone_although_its_caller_has_gone(containers):
    containers.record("c", fail_Connect="1*delay(600)", fail_Create="1*error(told to fail)")
    assert containers.refusal("task.create", "c", timeout=0.3)[0] == DEADLINE_EXCEEDED
    until(lambda: containers.asked_for("c", "Create"), "it is created for nobody")
    play_again(containers, "c")


def test_a_create_that_is_undone_is_undone_in_the_journal_too(containers):
    containers.record("c", fail_Create="1*lost")
    containers.refusal("task.create", "c")
    assert until(lambda: containers.topics("c"), "the shim's events")[-1] == "/tasks/delete"


@pytest.mark.parametrize("wish", ["garbage-alive", "exit1-alive"])
def test_a_failed_start_that_left_a_shim_where_nobody_looks(containers, wish):
    place = containers.cluster.dir / "own"
    containers.record("c", generation=2, start=wish, socket_dir=place)
    containers.refusal("task.create", "c")
    assert containers.nothing_of("c"), containers.remains("c")
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("wish, sentence, generations", [
    ("garbage", "no address", (1, 2, 3)), ("empty", "no address", (1, 2, 3)), ("exit1", "told to fail", (1, 2, 3)),
    ("stderr-noise", "", (1, 2, 3)), ("garbage-alive", "no address", (1, 2, 3)), ("exit1-alive", "told to fail", (1, 2, 3)),
    pytest.param("die-after", "connect to the shim", (1, 2, 3)),
])
def test_starting_a_shim(containers, wish, sentence, generations):
    try:
        for generation in generations:
            name = f"c{generation}"
            containers.record(name, generation=generation, start=wish)
            status, answer = containers.outcome("task.create", name, SOON_SECONDS)
            assert sentence in str(answer)
            if status == OK:
                containers.remove(name)
            assert containers.nothing_of(name), containers.remains(name)
        until(lambda: not containers.cluster.dead_sockets(), "no dead socket")
    except BaseException:
        containers.sweep()
        raise


# Running ------------------------------------------------------------------------------------------


def insist(containers, method, name, **fields):
    """The same again after a fault; while the first is still with the shim, the second is refused."""
    until(lambda: containers.outcome(method, name, **fields)[0] == OK, f"{method} {name} goes well")


def play_start(containers, name, fault):
    containers.create(name, fail_Start=f"1*{fault}")
    ask(containers, "task.start", name, fault, mended=LOSES_CONNECTION)
    if fault in KILLS_THE_SHIM:
        until(lambda: containers.task(name) is None, f"{name} is buried")
        containers.await_nothing_of(name)
        assert containers.topics(name).count("/tasks/exit") == containers.topics(name).count("/tasks/delete") == 1
        return
    if fault in IS_DONE + LOSES_CONNECTION:
        assert containers.call("task.get", name)["status"] == "RUNNING"
    else:
        assert containers.call("task.get", name)["status"] == "CREATED"
        insist(containers, "task.start", name)
    containers.finish(name)
    assert containers.topics(name) == LIFE


def play_exec(containers, name, fault):
    containers.run(name, fail_Exec=f"1*{fault}")
    gate = containers.path("gate", f"{name}-e")
    os.mkfifo(gate)
    spec = {"exec_id": "e", "spec": json.dumps(containers.process(gate)).encode()}
    ask(containers, "task.exec", name, fault, **spec)
    if fault in KILLS_THE_SHIM:
        finish_dead(containers, name)
        return
    if not fault.startswith("late"):
        insist(containers, "task.exec", name, **spec)
    containers.call("task.start", name, exec_id="e")
    containers.end(f"{name}-e", 4)
    assert containers.wait(name, exec_id="e") == 4
    containers.finish(name)


@pytest.mark.parametrize("play", [play_start, play_exec])
def test_starting_and_adding_an_exec(containers, play):
    side_by_side(containers, play, [fault for fault in ANSWERS if fault not in LOSES_CONNECTION + KILLS_THE_SHIM])


@pytest.mark.parametrize("play", [play_start, play_exec])
def test_starting_and_adding_an_exec_and_losing_the_connection(containers, play):
    try:
        side_by_side(containers, play, LOSES_CONNECTION + KILLS_THE_SHIM)
    except BaseException:
        containers.sweep()
        raise


def send_unheard(containers, request, method, body):
    """A request of a client that does not send it again by itself."""
    header = {"v": 1, "id": request, "method": method, "ns": "default"}
    containers.call("broker.ping")  # makes this thread's client
    containers.local.client.socket.send_multipart([msgpack.packb(header), msgpack.packb(body)])


def test_a_start_is_answered_to_the_request_that_it_was_sent_for(containers):
    """A worker dies with a start that its shim never did, and so does the broker, which would send it again. Somebody
    else starts the process; then the first request comes again."""
    containers.create("c", fail_Start="1*hang")
    request = os.urandom(16)
    send_unheard(containers, request, "task.start", {"id": "c"})
    until(lambda: containers.asked_for("c", "Start"), "the shim is asked")
    cluster = containers.cluster
    cluster.await_successor("broker", cluster.kill("broker"))
    containers.restart_worker()
    assert containers.call("task.start", "c")["pid"]
    with pytest.raises(Refused) as refused:
        containers.call("task.start", "c", id=request)
    assert refused.value.status == FAILED_PRECONDITION, refused.value
    assert len(containers.asked_for("c", "Start")) == 2
    containers.finish("c")


def test_a_pause_that_is_under_way_is_waited_for(containers):
    """The worker dies while a shim pauses: whoever asked for that is answered when it is over, and so is who wants the
    container to go on."""
    containers.run("c", fail_Pause="1*delay(2500)")
    answers = {}
    pause = threading.Thread(target=lambda: answers.update(pause=containers.outcome("task.pause", "c", 20)))
    pause.start()
    until(lambda: containers.asked_for("c", "Pause"), "the shim is asked")
    containers.restart_worker()
    until(lambda: containers.call("task.get", "c")["status"] == "PAUSING", "its successor sees it")
    assert containers.outcome("task.resume", "c", 20)[0] == OK
    pause.join()
    assert answers["pause"][0] == OK, answers
    assert len(containers.asked_for("c", "Pause")) == 1
    assert containers.call("task.get", "c")["status"] == "RUNNING"
    containers.finish("c")


def test_the_end_of_a_task_whose_shim_died_in_start_is_recorded(containers):
    """Whether the process ran before it was killed is in the journal when the shim told of it before it died: nobody
    else has seen it. Its end is there in any case, once, and so is what the request was answered."""
    containers.create("c", fail_Start="1*died")
    request = os.urandom(16)
    status, sentence = containers.outcome("task.start", "c", id=request)
    assert status in (UNKNOWN, DEADLINE_EXCEEDED, UNAVAILABLE), sentence
    until(lambda: containers.task("c") is None, "it is buried")
    assert containers.topics("c") in (LIFE, [topic for topic in LIFE if topic != "/tasks/start"])
    assert containers.wait("c") == 137
    assert containers.outcome("task.start", "c", id=request)[0] != OK
    assert containers.topics("c").count("/tasks/exit") == 1
    containers.call("container.delete", "c")
    containers.await_nothing_of("c")


# Ending -------------------------------------------------------------------------------------------


def play_kill(containers, name, fault):
    containers.run(name, fail_Kill=f"1*{fault}")
    ask(containers, "task.kill", name, fault, signal=9)
    if fault in KILLS_THE_SHIM:
        finish_dead(containers, name)
        return
    if fault not in IS_DONE:
        assert containers.state(name) == "RUNNING"
        containers.call("task.kill", name, signal=9)
    assert containers.wait(name) == 137
    assert containers.remove(name, force=False)["exit_status"] == 137
    assert containers.nothing_of(name), containers.remains(name)
    assert containers.topics(name) == LIFE


def test_killing(containers):
    side_by_side(containers, play_kill)


def test_a_kill_that_comes_again_finds_its_own_work(containers):
    """The worker died when the shim had done it and not said so yet."""
    containers.run("c", fail_Kill="1*late(60000)")
    killed = Background(containers, "task.kill", "c", signal=9)
    until(lambda: containers.asked_for("c", "Kill"), "the shim is asked")
    containers.restart_worker()
    assert killed.outcome()[0] == OK
    assert containers.wait("c") == 137
    containers.remove("c", force=False)


def play_delete(containers, name, fault):
    containers.run(name, fail_Delete=f"1*{fault}")
    containers.end(name, 6)
    assert containers.wait(name) == 6
    answer = ask(containers, "task.delete", name, fault, mended=[f for f in ANSWERS if f != "hang"])
    if fault == "hang":
        kill_shim_of(containers, name)
        until(lambda: containers.task(name) is None, f"{name} is buried")
    if isinstance(answer, dict):
        assert answer["exit_status"] == 6
    containers.await_nothing_of(name)
    assert containers.wait(name) == 6
    assert containers.topics(name) == LIFE
    containers.call("container.delete", name)


def test_deleting(containers):
    # "Not found" in a Delete is a success: what is gone need not be deleted.
    side_by_side(containers, play_delete, [fault for fault in ANSWERS if "5:" not in fault])


def play_wait(containers, name, fault):
    containers.run(name, fail_Wait=f"1*{fault}")
    if fault in KILLS_THE_SHIM:
        containers.outcome("task.kill", name, signal=9)
        finish_dead(containers, name)
    elif fault == "hang":
        containers.end(name, 6)
        assert containers.refusal("task.wait", name, HANG_SECONDS)[0] == DEADLINE_EXCEEDED
        containers.outcome("task.kill", name, signal=9)
        assert containers.remove(name)["exit_status"] == 6
        assert containers.nothing_of(name), containers.remains(name)
    else:
        containers.finish(name, 6)
        assert containers.topics(name) == LIFE


def test_waiting(containers):
    # A shim that dies at once of its first Wait has no task to start: that is a Start that fails.
    side_by_side(containers, play_wait, [fault for fault in ANSWERS if fault != "panic"])


def test_a_wait_that_fails_is_asked_again(containers):
    containers.run("c", fail_Wait="2*error(busy)")
    containers.end("c", 6)
    assert containers.wait("c", timeout=5) == 6


def test_an_exit_is_known_although_wait_is_never_answered(containers):
    containers.run("c", fail_Wait="hang")
    containers.end("c", 6)
    until(lambda: "/tasks/exit" in containers.topics("c"), "the shim's event is in the journal")
    try:
        assert containers.wait("c", timeout=5) == 6
    finally:
        containers.sweep()


def play_shutdown(containers, name, fault):
    containers.run(name, fail_Shutdown=f"1*{fault}")
    containers.end(name, 6)
    assert containers.wait(name) == 6
    begun = time.monotonic()
    assert containers.call("task.delete", name)["exit_status"] == 6
    assert time.monotonic() - begun < SOON_SECONDS
    assert containers.nothing_of(name), containers.remains(name)
    assert containers.topics(name) == LIFE


def test_shutting_down(containers):
    side_by_side(containers, play_shutdown)
    until(lambda: not containers.cluster.dead_sockets(), "no dead socket")


# After a restart ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method, before", [("Connect", "1*off->"), ("State", "")])
def test_loading(containers, method, before):
    """T-3: an error is no proof that a shim is dead, however often it comes."""
    faults = [f"{3 if 'error' in fault else 1}*{fault}" for fault in ANSWERS if "5:" not in fault]
    pids = {}
    for number, fault in enumerate(faults):
        pids[f"c{number}"] = containers.run(f"c{number}", **{f"fail_{method}": before + fault}), fault[2:]
    containers.restart_worker()
    assert len(containers.call("task.list")["tasks"]) == len(faults)
    for name, (pid, fault) in pids.items():
        if fault in KILLS_THE_SHIM:
            continue
        until(lambda n=name: containers.state(n) == "RUNNING", f"{name} is managed after {fault}")
        assert containers.task(name)["pid"] == pid
        assert len(containers.asked_for(name, "Create")) == 1 and not containers.asked_for(name, "delete")
        containers.finish(name, 6)
        assert containers.topics(name) == LIFE
    for name, (pid, fault) in pids.items():
        if fault in KILLS_THE_SHIM:
            until(lambda n=name: containers.task(n) is None, f"{name} is buried")
            containers.await_nothing_of(name)


@pytest.mark.parametrize("method", ["bundle.list", "incarnation.list"])
def test_lists_that_fail_are_asked_for_again_after_a_pause(fresh_cluster, method):
    containers = Containers(fresh_cluster.start(config=f"failpoints = on\n{CONFIG}"))
    containers.run("c")
    service = {"bundle.list": "bundle", "incarnation.list": "metadata"}[method]
    point = fresh_cluster.run / "failpoints" / f"{service}.{method}-begin"
    point.write_text("error(not now)")
    begun = time.monotonic()
    fresh_cluster.kill("shim")
    hits = point.with_name(f"{point.name}.hits")
    until(lambda: hits.exists() and hits.stat().st_size >= 3, "it is asked for")
    assert hits.stat().st_size <= 2 + (time.monotonic() - begun) / LIST_SECONDS
    assert fresh_cluster.log().count("not now; trying again") == 1, "what repeats is told once"
    point.unlink()
    until(lambda: containers.state("c") == "RUNNING", "it is managed")
    containers.finish("c")


# The verbs ----------------------------------------------------------------------------------------


BAD_VERBS = ["exit1", "garbage", "empty", "hang"]


def bury_with_bad_verbs(containers, wishes):
    """Pids of containers that lost their shims, and whose `delete` verb does nothing."""
    pids = {wish: containers.run(wish, delete=wish) for wish in wishes}
    for wish in wishes:
        os.kill(containers.shim_pid(wish), signal.SIGKILL)
    containers.run("well")
    containers.finish("well")
    until(lambda: not containers.call("task.list")["tasks"], "the tasks are buried")
    return pids


def test_delete_verbs_that_fail(containers):
    for pid in bury_with_bad_verbs(containers, BAD_VERBS).values():
        if is_alive(pid):  # the next test's matter
            os.kill(pid, signal.SIGKILL)
    for wish in BAD_VERBS:
        containers.await_nothing_of(wish)
        assert containers.topics(wish) == LIFE
        containers.call("container.delete", wish)


def test_delete_verbs_that_fail_leave_no_process(containers):
    pids = bury_with_bad_verbs(containers, BAD_VERBS[:3]).values()
    alive = [pid for pid in pids if is_alive(pid)]
    for pid in alive:
        os.kill(pid, signal.SIGKILL)
    assert not alive


def test_a_create_whose_task_is_being_buried_is_answered(fresh_cluster):
    """Worker and broker die with the answer, and the shim after them; the request comes again."""
    containers = Containers(fresh_cluster.start(config=f"failpoints = on\n{CONFIG}"))
    containers.record("c", delete="hang")  # so that it takes a while
    point = fresh_cluster.run / "failpoints" / "shim.task.create-before-record"
    point.write_text("1*delay(60000)")
    request, worker = os.urandom(16), fresh_cluster.pid("shim")
    send_unheard(containers, request, "task.create", {"id": "c"})
    until(point.with_name(f"{point.name}.hits").exists, "it is made, and nobody was told")
    fresh_cluster.await_successor("broker", fresh_cluster.kill("broker"))
    os.kill(worker, signal.SIGKILL)
    fresh_cluster.await_successor("shim", worker)
    until(lambda: containers.state("c") == "CREATED", "the task is adopted")
    kill_shim_of(containers, "c")
    until(lambda: "being removed" in str(containers.outcome("task.pause", "c")[1]), "it is being buried")
    assert containers.call("task.create", "c", id=request)["pid"]
    containers.await_nothing_of("c")


def test_one_alone_of_those_who_delete_what_is_being_buried_has_deleted_it(containers):
    containers.run("c", delete="hang")
    kill_shim_of(containers, "c")
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(containers.outcome, "task.delete", "c", force=True) for _ in range(3)]
        outcomes = [one.result() for one in asked]
    assert sorted(status for status, _ in outcomes) == [OK, NOT_FOUND, NOT_FOUND], outcomes
    assert containers.call("task.wait", "c")["exit_status"] == 137
    containers.await_nothing_of("c")


# What is said and what is meant --------------------------------------------------------------------


def test_a_full_disk_behind_a_shim_is_called_so(containers):
    full = "mkdir /run/x: no space left on device"
    refused = containers.outcome("task.create", containers.record("create", fail_Create=f"1*error(2:{full})"))
    assert refused[0] == RESOURCE_EXHAUSTED and full in refused[1]
    containers.create("start", fail_Start=f"1*error(2:{full})")
    containers.run("kill", fail_Kill="1*error(2:write: No space left on device, os error 28)")
    for method, more in (("start", {}), ("kill", {"signal": 15})):
        status, sentence = containers.refusal(f"task.{method}", method, **more)
        assert status == RESOURCE_EXHAUSTED and "space left on device" in sentence
    containers.call("container.delete", "create")
    for name in ("start", "kill"):
        containers.remove(name)
    for name in ("create", "start", "kill"):
        containers.await_nothing_of(name)


# Groups whose shim goes -----------------------------------------------------------------------------


def test_a_create_whose_groups_shim_goes_gets_another(containers):
    """Its shim was there when it was looked for, and ends when it is connected to."""
    containers.run("a", group="g", fail_Connect="1*off->1*panic")
    assert containers.create("b", group="g")
    assert containers.call("task.start", "b")
    containers.finish("b")
    assert containers.topics("b") == LIFE
    until(lambda: containers.task("a") is None, "a is buried")


def test_a_create_that_ends_its_groups_shim_is_tried_twice(containers):
    containers.run("a", group="g")
    containers.record("b", group="g", fail_Create="panic")
    assert containers.refusal("task.create", "b")[0] == UNAVAILABLE
    assert len(containers.asked_for("b", "start")) == 2
    containers.await_nothing_of("b")
    assert containers.topics("b") == []
    until(lambda: containers.task("a") is None, "a is buried")


BY_WHOM = pytest.mark.parametrize("is_loaded", [False, True], ids=["by who saw it die", "by a successor"])


@BY_WHOM
def test_burial_of_what_was_never_started(containers, is_loaded):
    """It has no exit."""
    containers.create("c")
    containers.lose_shim("c", is_loaded)
    until(lambda: containers.task("c") is None, "it is buried")
    assert containers.topics("c") == ["/tasks/create", "/tasks/delete"]
    assert containers.refusal("task.wait", "c")[0] == NOT_FOUND
    containers.call("container.delete", "c")
    containers.await_nothing_of("c")


@BY_WHOM
def test_delete_of_what_is_being_buried(containers, is_loaded):
    """It says how the task ended, as it would a moment before."""
    containers.run("c", delete="hang")  # so that it takes until the verb's deadline
    containers.lose_shim("c", is_loaded)
    until(lambda: containers.asked_for("c", "delete"), "it is being buried")
    answer = containers.call("task.delete", "c")
    assert answer["exit_status"] == 137 and not answer.get("unknown"), answer
    assert containers.topics("c") == LIFE
    containers.call("container.delete", "c")
    containers.await_nothing_of("c")
