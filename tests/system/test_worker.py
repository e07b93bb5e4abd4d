"""The worker skeleton (common/worker.h): the real broker, tests/doubles/echo_worker.c as the worker, and a
metadata worker in Python that keeps the journal of outcomes."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import uuid

import msgpack
import pytest
import zmq

from broker_cell import SOURCE, Cell, Worker, until

BUILD = pathlib.Path(os.environ.get("SHIMD_BUILD_DIR") or SOURCE / "build")
OK, INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, UNIMPLEMENTED, UNAVAILABLE = 0, 3, 5, 6, 12, 14
TASK = {"id": "t"}


class World(Cell):
    """A broker, an echo worker, and a journal that answers only when a test serves it."""

    def __init__(self):
        super().__init__()
        self.journal = Worker(self, service="metadata", pid=9000, window=100)
        self.outcomes = {}
        self.worker = None
        self.start_worker()

    def start_worker(self):
        options = ["--run-dir", str(self.run), "--root-dir", str(self.run), "--log-level", "debug"]
        self.worker = subprocess.Popen([str(BUILD / "tests/echo_worker"), *options], stderr=self.log)
        until(lambda: self.service()["pid"] == self.worker.pid, "the worker is ready")

    def serve(self, count=1, status=None):
        """Answers that many requests to the journal; their methods."""
        methods = []
        for _ in range(count):
            header, body = self.journal.request()
            methods.append(header["method"])
            if status:
                self.journal.reply(header, status=status, message="journal: out of order")
            elif header["method"] == "request.record":
                self.outcomes.setdefault(body["id"], body)
                self.journal.reply(header)
            elif body["id"] in self.outcomes:
                self.journal.reply(header, {**self.outcomes[body["id"]], "state": "done", "time": 1})
            else:
                self.journal.reply(header, status=NOT_FOUND, message="request: not found")
        return methods

    def mutate(self, method, body=TASK, ident=None):
        """A request that is looked up, run and recorded."""
        ident = self.client.send(method, body, ident=ident)
        assert self.serve(2) == ["request.get", "request.record"]
        return self.client.answer(ident)

    def ran(self):
        path = self.run / "ran"
        return path.read_text().splitlines() if path.exists() else []

    def stop(self):
        if self.worker.poll() is None:
            self.worker.kill()
        self.worker.wait()
        super().stop()


@pytest.fixture(name="world")
def world_fixture():
    world = World()
    yield world
    world.stop()


def test_read_needs_no_journal(world):
    status, message, body = world.client.ask("task.get", TASK, ns="default")
    assert (status, message, body["id"], body["pid"]) == (OK, "", "t", 4711)
    assert world.journal.silent()


def test_bad_requests(world):
    cases = {
        ("task.get", "default"): {},
        ("task.create", "default"): {"id": "../x"},
        ("task.kill", "default"): {"id": "t", "signal": 65},
    }
    for (method, ns), body in cases.items():
        status, message, answer = world.client.ask(method, body, ns=ns)
        assert status == INVALID_ARGUMENT and message.startswith(f"{method}: ") and answer == {}
    assert world.client.ask("task.get", TASK)[:2] == (INVALID_ARGUMENT, "task.get: namespace is missing")
    for ns in ("../x", "x" * 76 + ".", "a\n", "-"):
        assert world.client.ask("task.get", TASK, ns=ns)[0] == INVALID_ARGUMENT
    head = {"v": 1, "id": uuid.uuid4().bytes, "method": "task.get", "ns": "default"}
    for body in (b"\xc1", b"\x91" * 100, b"\xdd\xff\xff\xff\xff", b"\x90", b"\x81\xa2id\xa1t\x00"):
        world.client.raw(msgpack.packb(head), body)
        assert world.client.answer(head["id"])[0] == INVALID_ARGUMENT
    # Declared for the service, but not answered by this worker.
    assert world.client.ask("task.stats", TASK, ns="default")[0] == UNIMPLEMENTED
    assert world.journal.silent()


def test_outcome_is_recorded_before_it_is_answered(world):
    ident = world.client.send("task.create", TASK, ns="default")
    assert world.serve() == ["request.get"]
    header, record = world.journal.request()
    assert header["method"] == "request.record" and world.client.silent()
    assert record["id"] == ident and record["method"] == "task.create" and record["ns"] == "default"
    assert record["status"] == OK and msgpack.unpackb(record["answer"]) == {"pid": 4711}
    assert record["peer"] == {"pid": os.getpid(), "uid": os.getuid(), "gid": os.getgid(), "comm": "python3"}
    assert world.client.silent()
    world.journal.reply(header)
    assert world.client.answer(ident) == (OK, "", {"pid": 4711})


def test_an_id_runs_once(world):
    ident = uuid.uuid4().bytes
    assert world.mutate("task.create", ident=ident) == (OK, "", {"pid": 4711})
    world.client.send("task.create", TASK, ident=ident)
    assert world.serve() == ["request.get"]
    assert world.client.answer(ident) == (OK, "", {"pid": 4711})
    assert world.ran() == ["task.create t 0"]
    # A failure is an outcome as well.
    ident = uuid.uuid4().bytes
    for _ in range(2):
        world.client.send("task.delete", TASK, ident=ident)
        world.serve(1 if ident in world.outcomes else 2)
        assert world.client.answer(ident) == (NOT_FOUND, "task t: not found", {})
    # The id of another request is nobody's to take.
    world.client.send("task.create", TASK, ident=ident)
    assert world.serve() == ["request.get"]
    assert world.client.answer(ident)[:2] == (ALREADY_EXISTS, "task.create: the request id was used for task.delete")


def test_the_same_id_while_it_runs(world):
    """A broker that has died asks for the same request again."""
    ident = world.client.send("task.start", TASK)
    assert world.serve() == ["request.get"]
    until(world.ran, "the handler runs")
    world.kill()
    world.start()
    world.journal.ready()
    world.client.send("task.start", TASK, ident=ident)
    until(lambda: world.service()["in_flight"] == 1, "the worker has it again")
    resume = world.client.send("task.resume", TASK)
    assert sorted(world.serve(3)) == ["request.get", "request.record", "request.record"]
    assert world.client.answer(ident) == (OK, "", {"pid": 4711})
    assert world.client.answer(resume)[0] == OK
    assert world.ran() == ["task.start t 0"]


def test_journal_that_fails(world):
    ident = world.client.send("task.create", TASK)
    world.serve(status=UNAVAILABLE)
    status, message, body = world.client.answer(ident)
    assert (status, body) == (UNAVAILABLE, {}) and "look up whether the request ran before" in message
    assert world.ran() == []
    ident = world.client.send("task.create", TASK)
    assert world.serve() == ["request.get"]
    world.serve(status=UNAVAILABLE)
    status, message, _ = world.client.answer(ident)
    assert status == UNAVAILABLE and "done, but its outcome is not recorded" in message
    ident = world.client.send("task.delete", TASK)
    assert world.serve() == ["request.get"]
    world.serve(status=UNAVAILABLE)
    said = "task t: not found; this outcome is not recorded: journal: out of order"
    assert world.client.answer(ident) == (NOT_FOUND, said, {}), "what failed is not said to be done"


def test_term_waits_for_what_changes_something(world):
    """What has begun is answered first; a wait is left to the successor."""
    start = world.client.send("task.start", TASK)
    assert world.serve() == ["request.get"]
    wait = world.client.send("task.wait", TASK)
    until(lambda: world.service()["in_flight"] == 2, "both are with the worker")
    until(world.ran, "the handler runs")
    late = world.client.send("task.resume", TASK)
    assert world.serve() == ["request.get"]
    header, _ = world.journal.request()  # the record of task.start is held back
    world.worker.send_signal(signal.SIGTERM)
    until(lambda: "stopping" in (world.run / "log").read_text(), "the signal has arrived")
    assert world.worker.poll() is None
    world.journal.reply(header)
    assert world.serve() == ["request.record"]
    assert world.client.answer(start) == (OK, "", {"pid": 4711})
    assert world.client.answer(late)[0] == OK
    pid = world.worker.pid
    assert world.worker.wait(10) == 0
    world.exited(pid)
    world.start_worker()
    kill = world.client.send("task.kill", {"id": "t", "signal": 9})
    world.serve(2)
    assert world.client.answer(kill)[0] == OK
    assert world.client.answer(wait) == (OK, "", {"pid": 4711, "exit_status": 137, "exited_at": 1})


def begin_checkpoint(world, name):
    ident = world.client.send("task.checkpoint", {"id": name, "path": "/"})
    assert world.serve() == ["request.get"]
    until(lambda: f"task.checkpoint {name} 0" in world.ran(), "it has begun")
    return ident


def finish_checkpoint(world, name, ident):
    resume = world.client.send("task.resume", {"id": name})
    world.serve(3)
    assert world.client.answer(ident)[0] == OK and world.client.answer(resume)[0] == OK


def test_term_waits_for_what_no_successor_could_carry_on(world):
    """Meanwhile all is served, and what comes then cannot put the end off for ever."""
    first = begin_checkpoint(world, "a")
    world.worker.send_signal(signal.SIGTERM)
    until(lambda: "told to end" in (world.run / "log").read_text(), "the signal has arrived")
    second = begin_checkpoint(world, "b")
    assert world.client.ask("task.get", TASK, ns="default")[0] == OK
    finish_checkpoint(world, "a", first)
    until(lambda: "keeps back" in (world.run / "log").read_text(), "no more begins")
    assert world.client.ask("task.get", TASK, ns="default")[0] == OK
    third = world.client.send("task.checkpoint", {"id": "c", "path": "/"})
    until(lambda: world.service()["in_flight"] == 2, "the worker has it")
    assert world.client.ask("task.get", TASK, ns="default")[0] == OK
    assert world.worker.poll() is None
    finish_checkpoint(world, "b", second)
    pid = world.worker.pid
    assert world.worker.wait(10) == 0
    world.exited(pid)
    assert world.client.silent()
    world.start_worker()
    assert world.serve() == ["request.get"]
    until(lambda: world.ran()[2:] == ["task.checkpoint c 0"], "the successor has it, as one that was never begun")
    finish_checkpoint(world, "c", third)


def test_int_is_for_a_hurry(world):
    """Also for one that serves on since it was told to end: it waits for seconds only."""
    unfinished = begin_checkpoint(world, "a")
    world.worker.send_signal(signal.SIGTERM)
    until(lambda: "told to end" in (world.run / "log").read_text(), "the signal has arrived")
    assert world.client.ask("task.get", TASK, ns="default")[0] == OK
    world.worker.send_signal(signal.SIGINT)
    until(lambda: "stopping" in (world.run / "log").read_text(), "it has said goodbye")
    late = world.client.send("task.checkpoint", {"id": "b", "path": "/"})
    assert world.worker.wait(10) == 0
    world.exited(world.worker.pid)
    assert world.client.answer(unfinished)[:2] == (UNAVAILABLE, "task.checkpoint: the worker died, outcome unknown")
    world.start_worker()
    assert world.serve() == ["request.get"]
    until(lambda: world.ran() == ["task.checkpoint a 0", "task.checkpoint b 0"], "the successor has it")
    finish_checkpoint(world, "b", late)


def test_redelivery_says_so(world):
    ident = world.client.send("task.start", TASK)
    assert world.serve() == ["request.get"]
    until(world.ran, "the handler runs")
    world.worker.kill()
    world.worker.wait()
    world.exited(world.worker.pid)
    world.start_worker()
    assert world.serve() == ["request.get"]
    until(lambda: world.ran() == ["task.start t 0", "task.start t 1"], "run again, with the mark")
    resume = world.client.send("task.resume", TASK)
    world.serve(3)
    assert world.client.answer(ident)[0] == OK and world.client.answer(resume)[0] == OK


def test_worker_outlives_the_broker(world):
    wait = world.client.send("task.wait", TASK)
    until(lambda: world.service()["in_flight"] == 1, "the wait is with the worker")
    for _ in range(3):
        world.kill()
        world.start()
        until(lambda: world.service()["pid"] == world.worker.pid, "the worker says ready again")
    world.client.send("task.wait", TASK, ident=wait)
    world.journal.ready()
    until(lambda: world.service()["in_flight"] == 1, "the wait is with the worker again")
    kill = world.client.send("task.kill", {"id": "t", "signal": 9})
    world.serve(2)
    assert world.client.answer(kill)[0] == OK
    assert world.client.answer(wait)[2]["exit_status"] == 137


@contextlib.contextmanager
def alone():
    """A worker, and the socket that it takes for the broker's."""
    run = pathlib.Path(tempfile.mkdtemp(prefix="shimd-"))
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.bind(f"ipc://{run}/worker.sock")
    worker = subprocess.Popen([str(BUILD / "tests/echo_worker"), "--run-dir", str(run), "--root-dir", str(run)],
                              stderr=subprocess.DEVNULL)
    try:
        yield worker, router
    finally:
        worker.kill()
        worker.wait()
        context.destroy(linger=0)
        shutil.rmtree(run)


def test_an_answer_that_none_could_repeat_is_read_before_the_end():
    """The news of the worker's death might be faster than it."""
    with alone() as (worker, router):
        who = router.recv_multipart()[0]

        def send(method, body, **header):
            head = {"v": 1, "id": os.urandom(16), "method": method, "ns": "default", "first": True, **header}
            router.send_multipart([who, msgpack.packb(head), msgpack.packb(body)])
            return head["id"]

        def receive(*wanted):
            """The first message that is one of those, or the answer to one; notes of outcomes are taken."""
            while True:
                assert router.poll(5000), f"none of {wanted}"
                header = msgpack.unpackb(router.recv_multipart()[1])
                if header.get("method") == "request.record":
                    router.send_multipart([who, msgpack.packb({"v": 1, "id": header["id"], "status": 0}), b"\x80"])
                if header.get("method", header["id"]) in wanted:
                    return

        checkpoint = send("task.checkpoint", {"id": "t", "path": "/"})
        receive(send("task.get", TASK))
        worker.send_signal(signal.SIGINT)
        receive("worker.goodbye")
        send("task.resume", TASK)
        send("worker.released", {})
        receive(checkpoint)
        receive("worker.goodbye")
        assert worker.poll() is None
        send("worker.released", {})
        assert worker.wait(10) == 0


def test_nonsense_from_the_broker():
    """Whatever listens on worker.sock, the worker goes on."""
    with alone() as (worker, router):
        who = router.recv_multipart()[0]
        good = {"v": 1, "id": b"g" * 16, "method": "task.get", "ns": "default"}
        head = msgpack.packb(good)
        for frames in ([b""], [head], [head] * 9, [b"\xc1", b"\x80"], [b"\x91" * 9999, b"\x80"], [b"\x80", b"\x80"],
                       [msgpack.packb({**good, "method": ""}), b"\x80"], [head, b"\xc1"],
                       [msgpack.packb({"v": 1, "id": b"a" * 16, "status": 0}), b"\xc1"]):
            router.send_multipart([who, *frames])
        router.send_multipart([who, msgpack.packb({**good, "id": b"h" * 16}), msgpack.packb(TASK)])
        while True:
            assert router.poll(20000)
            frames = router.recv_multipart()
            header = msgpack.unpackb(frames[1])
            if header["id"] == b"h" * 16:
                break
        assert header["status"] == OK
        worker.terminate()
        assert worker.wait(10) == 0
