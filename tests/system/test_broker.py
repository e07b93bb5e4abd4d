"""The real broker between clients and workers that misbehave, die, or never come."""

import os
import subprocess
import sys
import time
import uuid

import msgpack
import pytest
import zmq

from broker_cell import BIN, Cell, Peer, WAIT_SECONDS, Worker, until

OK, INVALID_ARGUMENT, DEADLINE_EXCEEDED, ALREADY_EXISTS, PERMISSION_DENIED = 0, 3, 4, 6, 7
RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 8, 12, 13, 14
NOBODY = b"\0" * 16  # the id in the answer to a message whose id could not be read
UNREAD_MAX = 32 << 20  # bytes of answers that wait for one client
QUEUE_MAX, BODY_MAX, FRAME_MAX = 8192, 5 << 20, 16 << 20
ASKERS_MAX = 8  # of one request
MANY = 5000  # more than libzmq keeps for a peer by default


@pytest.fixture(name="cell")
def cell_fixture():
    cell = Cell()
    yield cell
    cell.stop()


# ------------------------------------------------------------------------------------------ routing


def test_request_and_answer(cell):
    worker = Worker(cell)
    ident = cell.client.send("task.create", {"id": "t", "x": [1]}, ns="default")
    header, body = worker.request()
    assert (header["v"], header["id"], header["method"]) == (1, ident, "task.create")
    assert header["ns"] == "default" and body == {"id": "t", "x": [1]}
    assert "redelivered" not in header and "first" not in header
    assert 50 < header["deadline"] / 1000 - time.time() <= 60  # the method's own
    worker.reply(header, {"pid": 7})
    assert cell.client.answer(ident) == (OK, "", {"pid": 7})
    ident = cell.client.send("task.get", {"id": "t"})
    header, _ = worker.request()
    worker.reply(header, status=5, message="task t: not found")
    assert cell.client.answer(ident) == (5, "task t: not found", {})
    worker.reply(header, status=5, message="once more")
    worker.reply({"id": uuid.uuid4().bytes})
    assert worker.silent() and cell.client.silent()


def test_peer_comes_from_the_kernel(cell):
    worker = Worker(cell)
    real = {"pid": os.getpid(), "uid": os.getuid(), "gid": os.getgid()}
    cell.client.send("task.get", {"id": "t"}, peer={"pid": 1, "uid": 12345, "gid": 1}, redelivered=True)
    header, _ = worker.request()
    assert header["peer"] == real and "redelivered" not in header
    script = ("import sys, zmq\ns = zmq.Context().socket(zmq.DEALER)\ns.connect(sys.argv[1])\n"
              "s.send_multipart([bytes.fromhex(sys.argv[2]), b'\\x80'])\ns.recv_multipart()\n")
    head = msgpack.packb({"v": 1, "id": uuid.uuid4().bytes, "method": "task.get"})
    command = [sys.executable, "-c", script, f"ipc://{cell.run}/client.sock", head.hex()]
    with subprocess.Popen(command) as other:
        header, _ = worker.request()
        assert header["peer"] == {**real, "pid": other.pid}
        worker.reply(header)
        assert other.wait(WAIT_SECONDS) == 0


def test_req_socket(cell):
    worker = Worker(cell)
    asker = cell.context.socket(zmq.REQ)
    asker.connect(f"ipc://{cell.run}/client.sock")
    asker.rcvtimeo = WAIT_SECONDS * 1000

    def ask(*frames):
        asker.send_multipart(list(frames))
        header, body = asker.recv_multipart()
        return msgpack.unpackb(header), msgpack.unpackb(body)

    ident = uuid.uuid4().bytes
    head = {"v": 1, "id": ident, "method": "broker.ping"}
    header, body = ask(msgpack.packb(head), msgpack.packb({"payload": b"x"}))
    assert header == {"v": 1, "id": ident, "status": OK, "message": ""} and body == {"payload": b"x"}
    asker.send_multipart([msgpack.packb({**head, "method": "task.get"}), b"\x80"])
    worker.reply(worker.request()[0], {"pid": 3})
    assert msgpack.unpackb(asker.recv_multipart()[1]) == {"pid": 3}
    # A REQ socket takes no answer without its empty frame, that to nonsense included.
    for frames in ([b"x"], [b"x", b"\x80"], [b"x"] * 3, [b"x"] * 9, [b""], [b"", b""]):
        assert ask(*frames)[0]["status"] == INVALID_ARGUMENT


def test_methods_nobody_knows(cell):
    assert cell.client.ask("task.frobnicate")[:2] == (UNIMPLEMENTED, "unknown method task.frobnicate")
    for name in ("worker.ready", "worker.exited", "worker.who"):
        assert cell.client.ask(name, {"service": "shim", "pid": 1, "window": 1})[0] == UNIMPLEMENTED
    cell.client.raw(msgpack.packb({"v": 1, "id": b"i" * 16}), b"\x80")
    assert cell.client.answer(b"i" * 16)[:2] == (INVALID_ARGUMENT, "header: method is missing")
    status, message, _ = cell.client.ask("x" * 65)
    assert (status, message) == (INVALID_ARGUMENT, "header: method is 65 bytes long, limit 64")


def test_a_worker_brings_its_methods(cell):
    worker = Worker(cell, service="extra", ready=False)
    assert cell.client.ask("extra.do")[0] == UNIMPLEMENTED
    worker.ready([("extra.do", "NEVER", "WRITE", 5), ("extra.own", "SAFE", "INTERNAL", 5)])
    assert worker.ask("broker.ping")[0] == OK
    ident = cell.client.send("extra.do")
    header, _ = worker.request()
    assert header["deadline"] / 1000 - time.time() <= 5
    worker.reply(header)
    assert cell.client.answer(ident)[0] == OK
    assert cell.client.ask("extra.own")[0] == PERMISSION_DENIED


def test_internal_is_for_workers(cell):
    bundle = Worker(cell, service="bundle", pid=2000)
    for method in ("bundle.create", "bundle.delete", "request.record"):
        assert cell.client.ask(method)[0] == PERMISSION_DENIED
    shim = Worker(cell)
    ident = shim.send("bundle.create", {"id": "t"})
    header, _ = bundle.request()
    bundle.reply(header, {"id": "t"})
    assert shim.answer(ident) == (OK, "", {"id": "t"})


# ---------------------------------------------------------------------------------------- malformed


def test_nonsense_is_answered_and_harms_nobody(cell):
    good = msgpack.packb({"v": 1, "id": b"g" * 16, "method": "broker.ping"})
    nonsense = [
        [b""], [b"x"], [b"", b""], [b"", b"", b""], [good], [good, b"\x80", b""], [good] * 4, [good] * 50,
        [b"\xc1", b"\x80"], [b"\x80", b"\x80"], [b"\x90", b"\x80"], [b"\xdf\xff\xff\xff\xff", b"\x80"],
        [b"\xdd\xff\xff\xff\xff", b"\x80"], [b"\x91" * 4000, b"\x80"], [good[:-1], b"\x80"],
        [msgpack.packb({"v": 1, "id": "text", "method": "broker.ping"}), b"\x80"],
        [msgpack.packb({"v": 1, "id": b"short", "method": "broker.ping"}), b"\x80"],
        [msgpack.packb({"v": 1, "id": NOBODY, "method": "broker.ping"}), b"\x80"],
        [msgpack.packb({"v": 1, "id": b"g" * 16, "method": 7}), b"\x80"],
        [msgpack.packb({"v": 2, "id": b"g" * 16, "method": "broker.ping"}), b"\x80"],
        [good, b"\xc1"], [good, b"\x01"], [good, msgpack.packb({"payload": "text"})],
    ]
    for name in ("client.sock", "worker.sock"):
        for frames in nonsense:
            peer = cell.peer(name)
            peer.raw(*frames)
            assert peer.socket.poll(WAIT_SECONDS * 1000), frames
            answer = msgpack.unpackb(peer.socket.recv_multipart()[-2])
            assert answer["status"] == INVALID_ARGUMENT and answer["message"], frames
            assert cell.client.ask("broker.ping", {"payload": b"p"}) == (OK, "", {"payload": b"p"})
            peer.socket.close()
    assert cell.client.ask("broker.status")[2]["malformed"] > 0


def test_bad_notices_are_dropped(cell):
    worker = Worker(cell)
    for method in ("worker.ready", "worker.heartbeat", "worker.goodbye", "worker.exited"):
        for body in ({}, [], {"service": "s" * 33, "pid": 1, "window": 1}, {"service": 1, "pid": -1}):
            worker.send(method, body)
    assert worker.silent()
    ident = cell.client.send("task.get")
    worker.reply(worker.request()[0])
    assert cell.client.answer(ident)[0] == OK


def test_sizes(cell):
    worker = Worker(cell)
    ident = cell.client.send("task.get", pad="x" * 4096)
    status, message, _ = cell.client.answer(NOBODY)
    assert status == INVALID_ARGUMENT and "limit 4096" in message
    assert ident not in cell.client.answers
    ident = cell.client.send("task.get", {"pad": b"x" * (BODY_MAX - 10)})
    header, body = worker.request()
    assert len(body["pad"]) == BODY_MAX - 10
    worker.reply(header)
    assert cell.client.answer(ident)[0] == OK
    status, message, _ = cell.client.ask("task.get", {"pad": b"x" * BODY_MAX})
    assert status == INVALID_ARGUMENT and f"limit {BODY_MAX}" in message
    rude = cell.peer()
    rude.send("task.get", {"pad": b"x" * FRAME_MAX})
    assert cell.client.ask("broker.ping")[0] == OK
    assert cell.service()["queued"] == cell.service()["in_flight"] == 0


# ---------------------------------------------------------------------------------------- deadlines


def test_deadlines(cell):
    assert cell.client.ask("task.get", seconds=-1)[0] == DEADLINE_EXCEEDED
    assert cell.client.ask("task.get", deadline=-5)[0] == DEADLINE_EXCEEDED
    begun = time.monotonic()
    status, message, _ = cell.client.ask("task.get", seconds=0.2)
    assert (status, message) == (DEADLINE_EXCEEDED, "task.get: shim did not take it before the deadline")
    assert 0.15 < time.monotonic() - begun < 5
    assert cell.service()["queued"] == 0
    worker = Worker(cell, window=1)
    ident = cell.client.send("task.create", seconds=0.2)
    header, _ = worker.request()
    status, message, _ = cell.client.answer(ident)
    assert status == DEADLINE_EXCEEDED and "still running" in message
    # Its slot is taken until the worker is done with it, and nobody hears a second answer.
    waiting = cell.client.send("task.create", seconds=WAIT_SECONDS)
    assert worker.silent()
    worker.reply(header)
    worker.reply(worker.request()[0])
    assert cell.client.answer(waiting)[0] == OK
    assert cell.client.silent()


def test_asking_again_after_the_deadline(cell):
    worker = Worker(cell)
    ident = cell.client.send("task.create", seconds=0.1)
    header, _ = worker.request()
    assert cell.client.answer(ident)[0] == DEADLINE_EXCEEDED
    cell.client.send("task.create", ident=ident, seconds=0.1)
    assert cell.client.answer(ident)[0] == DEADLINE_EXCEEDED  # its own deadline counts
    cell.client.send("task.create", ident=ident, seconds=WAIT_SECONDS)
    assert cell.client.ask("broker.ping")[0] == OK
    worker.reply(header, {"pid": 1})
    assert cell.client.answer(ident) == (OK, "", {"pid": 1})
    assert worker.silent()


# ------------------------------------------------------------------------------------------- limits


def test_window_and_urgent_first(cell):
    worker = Worker(cell, window=2)
    creates = [cell.client.send("task.create", {"n": n}) for n in range(4)]
    first, second = worker.request()[0], worker.request()[0]
    assert [first["id"], second["id"]] == creates[:2]
    assert worker.silent()
    kill = cell.client.send("task.kill")
    assert worker.request()[0]["id"] == kill  # on top of the window
    wait = cell.client.send("task.wait")
    header, _ = worker.request()
    assert header["id"] == wait and "deadline" not in header
    assert cell.service()["in_flight"] == 4 and cell.service()["queued"] == 2
    worker.reply(first)
    worker.reply({"id": kill})
    assert worker.request()[0]["id"] == creates[2]
    worker.reply(second)
    assert worker.request()[0]["id"] == creates[3]
    worker.reply({"id": creates[2]})
    worker.reply({"id": creates[3]})
    worker.reply(header, {"exit_status": 3})
    assert cell.client.answer(wait) == (OK, "", {"exit_status": 3})


def test_urgent_overtakes_in_the_queue(cell):
    create = cell.client.send("task.create")
    delete = cell.client.send("task.delete")
    assert cell.client.ask("broker.ping")[0] == OK
    worker = Worker(cell, window=1)
    assert worker.request()[0]["id"] == delete
    worker.reply({"id": delete})
    assert worker.request()[0]["id"] == create


def test_questions_go_ahead_of_queued_work(cell):
    """Those of clients, and up to a window of their own; a worker's question keeps its place behind its own work."""
    creates = [cell.client.send("task.create") for _ in range(3)]
    assert cell.client.ask("broker.ping")[0] == OK
    other = Worker(cell, service="metadata", pid=2000)
    inner = other.send("task.get")
    assert other.ask("broker.ping")[0] == OK
    gets = [cell.client.send("task.get") for _ in range(3)]
    assert cell.client.ask("broker.ping")[0] == OK
    worker = Worker(cell, window=2)
    assert [worker.request()[0]["id"] for _ in range(4)] == [gets[0], gets[1], creates[0], creates[1]]
    assert worker.silent()
    worker.reply({"id": gets[0]})
    assert worker.request()[0]["id"] == gets[2]
    worker.reply({"id": creates[0]})
    worker.reply({"id": creates[1]})
    assert [worker.request()[0]["id"] for _ in range(2)] == [creates[2], inner]


def test_queue_is_bounded(cell):
    idents = [cell.client.send("task.get", seconds=120) for _ in range(QUEUE_MAX)]
    assert cell.client.ask("task.get")[:2] == (RESOURCE_EXHAUSTED, "shim: 8192 requests wait already")
    assert cell.service()["queued"] == QUEUE_MAX
    kill = cell.client.send("task.kill", seconds=120)  # has a queue of its own
    assert cell.client.ask("broker.ping")[0] == OK  # it has come before the worker does
    worker = Worker(cell, window=QUEUE_MAX)
    assert worker.request()[0]["id"] == kill
    worker.reply({"id": kill})
    for ident in idents:
        header, _ = worker.request()
        assert header["id"] == ident
        worker.reply(header)
    assert all(cell.client.answer(ident)[0] == OK for ident in idents)


def test_nothing_is_dropped_on_the_way_to_a_slow_reader(cell):
    """Neither the worker nor the client reads while thousands of messages come its way."""
    worker = Worker(cell, window=MANY, ready=False)
    worker.socket.close()
    worker.socket = cell.context.socket(zmq.DEALER)
    worker.socket.linger, worker.socket.rcvhwm = 0, 1
    worker.socket.connect(f"ipc://{cell.run}/worker.sock")
    worker.ready()
    pad = b"x" * 1000
    idents = [cell.client.send("task.get", {"pad": pad}, seconds=120) for _ in range(MANY)]
    until(lambda: cell.service()["in_flight"] == MANY, "all are given to the worker")
    for ident in idents:
        header, _ = worker.request()
        assert header["id"] == ident
    for ident in idents:
        worker.reply({"id": ident})
    assert all(cell.client.answer(ident)[0] == OK for ident in idents)


def deaf_client(cell):
    """One whose libzmq takes nothing for it before it reads."""
    deaf = Peer(cell, "client.sock")
    deaf.socket.close()
    deaf.socket = cell.context.socket(zmq.DEALER)
    deaf.socket.linger, deaf.socket.rcvhwm = 0, 1
    deaf.socket.connect(f"ipc://{cell.run}/client.sock")
    return deaf


def test_who_does_not_read_is_not_answered_without_end(cell):
    """So many bytes wait for it in the broker; others are answered meanwhile, and it is too once it has read."""
    deaf = deaf_client(cell)
    worker = Worker(cell, window=1000)
    answer = {"pad": b"x" * ((1 << 20) - 20)}  # a whole number of them fills it
    waiting = UNREAD_MAX // (1 << 20)
    idents = [deaf.send("task.get", seconds=120) for _ in range(2 * waiting)]
    for _ in idents:
        worker.reply(worker.request()[0], answer)
    cell.client.send("task.list", ident=b"l" * 16)
    worker.reply(worker.request()[0], answer)
    assert cell.client.answer(b"l" * 16)[0] == OK
    writes = [deaf.send("task.create", seconds=120) for _ in range(2)]
    assert cell.client.ask("broker.ping")[0] == OK and worker.silent(), "what it asks now is refused"
    results = [deaf.answer(ident)[:2] for ident in idents]
    refused = [text for status, text in results if status == RESOURCE_EXHAUSTED]
    assert waiting // 2 < len(refused) <= waiting + 1, len(refused)
    assert len(refused) + sum(status == OK for status, _ in results) == len(idents)
    assert all("bytes of answers wait for this client to read them" in text for text in refused)
    assert [deaf.answer(ident)[0] for ident in writes] == [RESOURCE_EXHAUSTED] * 2
    idents = [deaf.send("task.get") for _ in range(4)]
    for _ in idents:
        worker.reply(worker.request()[0], answer)
    assert [deaf.answer(ident)[0] for ident in idents] == [OK] * 4


def test_what_waits_for_a_client_goes_with_it(cell):
    worker = Worker(cell, window=1000)
    answer = {"pad": b"x" * (1 << 20)}
    deaf_ones = [deaf_client(cell) for _ in range(10)]
    for deaf in deaf_ones:  # all together it is too much
        for _ in range(30):
            deaf.send("task.get", seconds=120)
        for _ in range(30):
            worker.reply(worker.request()[0], answer)

    def is_answered():
        ident = cell.client.send("task.get")
        worker.reply(worker.request()[0], answer)
        status, text, _ = cell.client.answer(ident)
        assert status == OK or "bytes of answers wait for clients to read them" in text
        return status == OK

    assert not is_answered()
    for deaf in deaf_ones:
        deaf.socket.close()
    until(is_answered, "there is room again")


# ---------------------------------------------------------------------------------- death and return


def test_redelivery(cell):
    worker = Worker(cell, pid=1001)
    asked = {m: cell.client.send(m, first=True) for m in ("task.get", "task.create", "task.checkpoint", "task.wait")}
    for _ in asked:
        header, _ = worker.request()
        assert header["first"] is True and "redelivered" not in header
    cell.exited(1001)
    status, message, _ = cell.client.answer(asked["task.checkpoint"])
    assert (status, message) == (UNAVAILABLE, "task.checkpoint: the worker died, outcome unknown")
    assert cell.service()["pid"] == 0 and cell.service()["queued"] == 3
    successor = Worker(cell, pid=1002)
    seen = {}
    for _ in range(3):
        header, _ = successor.request()
        seen[header["method"]] = header.get("redelivered", False) and "first" not in header
        assert header["id"] == asked[header["method"]]
        successor.reply(header)
    assert seen["task.create"] is True and sorted(seen) == ["task.create", "task.get", "task.wait"]
    for method in seen:
        assert cell.client.answer(asked[method])[0] == OK
    # News of the death of one that has a successor changes nothing.
    cell.exited(1001)
    assert cell.service()["pid"] == 1002


def test_successor_is_faster_than_the_news(cell):
    for goodbye in (False, True):
        worker = Worker(cell, pid=1001)
        ident = cell.client.send("task.create")
        worker.request()
        if goodbye:
            worker.send("worker.goodbye", {"service": "shim", "pid": 1001})
            assert worker.silent()
        successor = Worker(cell, pid=1002)
        header, _ = successor.request()
        assert header["id"] == ident and header["redelivered"] is True
        cell.exited(1001)
        successor.reply(header)
        assert cell.client.answer(ident)[0] == OK
        cell.exited(1002)


def test_goodbye(cell):
    worker = Worker(cell, pid=1001)
    ident = cell.client.send("task.get")
    header, _ = worker.request()
    worker.send("worker.goodbye", {"service": "shim", "pid": 1001})
    assert worker.silent()
    assert worker.released == 0
    later = cell.client.send("task.get", first=True)
    assert cell.client.ask("broker.ping")[0] == OK
    assert worker.silent()
    worker.reply(header)
    assert cell.client.answer(ident)[0] == OK
    cell.exited(1001)
    successor = Worker(cell, pid=1002)
    header, _ = successor.request()
    assert header["id"] == later and header["first"] is True and "redelivered" not in header


def test_all_that_was_given_comes_before_the_release(cell):
    worker = Worker(cell, pid=1001, window=1000)
    assert worker.silent()
    sent = [cell.client.send("task.checkpoint", {"n": n}) for n in range(200)]
    worker.request()
    worker.send("worker.goodbye", {"service": "shim", "pid": 1001})
    until(lambda: worker.pump(1) and worker.released is not None, "the release")
    given = 1 + worker.released
    cell.exited(1001)
    successor = Worker(cell, pid=1002, window=1000)
    rest = [successor.request()[0] for _ in range(len(sent) - given)]
    # None of them may run twice: those that the first one never saw go to the other one, and only those.
    assert [header["id"] for header in rest] == sent[given:]
    assert all(cell.client.answer(ident)[0] == UNAVAILABLE for ident in sent[:given])


def test_planned_ends_are_no_deaths(cell):
    ident = cell.client.send("task.create")
    for pid in range(1001, 1007):
        worker = Worker(cell, pid=pid)
        header, _ = worker.request()
        worker.send("worker.goodbye", {"service": "shim", "pid": pid})
        assert worker.silent()
        cell.exited(pid)
    worker = Worker(cell, pid=1007)
    header, _ = worker.request()
    assert header["redelivered"] is True
    worker.reply(header)
    assert cell.client.answer(ident)[0] == OK


def test_three_deaths(cell):
    ident = cell.client.send("task.create")
    wait = cell.client.send("task.wait")
    for pid in (1001, 1002, 1003):
        worker = Worker(cell, pid=pid)
        assert {worker.request()[0]["id"], worker.request()[0]["id"]} == {ident, wait}
        cell.exited(pid)
    status, message, _ = cell.client.answer(ident)
    assert (status, message) == (INTERNAL, "task.create: set aside, 3 workers died with it, the last one: killed")
    worker = Worker(cell, pid=1004)
    header, _ = worker.request()
    assert header["id"] == wait  # waiting kills nobody
    worker.reply(header)
    assert cell.client.answer(wait)[0] == OK


def test_a_worker_that_does_not_come_up(cell):
    """Who waits for it is told so within its deadline, and not that it was slow."""
    assert Worker(cell, pid=1000).silent()
    cell.exited(1000)
    slow = cell.client.send("task.get", seconds=0.5)
    assert cell.client.answer(slow)[0] == DEADLINE_EXCEEDED, "it may be about to be ready"
    cell.exited(1001)
    begun = time.time()
    idents = [cell.client.send("task.get", seconds=seconds) for seconds in (0.5, 4)]
    for ident, latest in zip(idents, (0.5, 4)):
        assert cell.client.answer(ident)[:2] == (UNAVAILABLE, "task.get: shim does not come up: killed")
        assert latest * 0.8 < time.time() - begun < latest, "before its own deadline, and not long"
    kept = cell.client.send("task.get", seconds=4)
    worker = Worker(cell, pid=1002)
    worker.reply(worker.request()[0])
    assert cell.client.answer(kept)[0] == OK


def test_worker_that_is_given_up(cell):
    queued = cell.client.send("task.get")
    assert cell.client.ask("broker.ping")[0] == OK
    cell.exited(1001, failed=True)
    assert cell.client.answer(queued)[0] == UNAVAILABLE
    assert cell.client.ask("task.get")[0] == UNAVAILABLE
    worker = Worker(cell)
    assert worker.ask("broker.ping")[0] == OK
    ident = cell.client.send("task.get")
    worker.reply(worker.request()[0])
    assert cell.client.answer(ident)[0] == OK


def test_broker_asks_a_stranger_who_it_is(cell):
    worker = Worker(cell, ready=False)
    worker.send("worker.heartbeat", {"service": "shim", "pid": 1000})
    until(lambda: worker.requests or worker.pump(0.1) and worker.requests, "the question")
    assert worker.requests.pop()[0]["method"] == "worker.who"
    worker.ready()
    worker.send("worker.heartbeat", {"service": "shim", "pid": 1000})
    assert worker.silent()


def test_broker_is_killed(cell):
    worker = Worker(cell)
    done = cell.client.send("task.create")
    worker.reply(worker.request()[0])
    assert cell.client.answer(done)[0] == OK
    asked = cell.client.send("task.create", {"id": "t"})
    header, _ = worker.request()
    cell.kill()
    early = cell.peer()  # connects while there is no broker
    asked_early = early.send("task.get")
    cell.start()
    # The worker finds out and says ready; the client asks again under the same id.
    worker.ready()
    cell.client.send("task.create", {"id": "t"}, ident=asked)
    again = {worker.request()[0]["id"] for _ in range(2)}
    assert again == {asked, asked_early} and header["id"] == asked
    for ident in again:
        worker.reply({"id": ident}, {"pid": 5})
    assert cell.client.answer(asked) == (OK, "", {"pid": 5})
    assert early.answer(asked_early)[0] == OK


def test_same_id_is_one_request(cell):
    worker = Worker(cell)
    other = cell.peer()
    ident = cell.client.send("task.create", {"id": "t"})
    header, _ = worker.request()
    cell.client.send("task.create", {"id": "t"}, ident=ident)
    other.send("task.create", {"id": "t"}, ident=ident)
    assert other.ask("broker.ping")[0] == cell.client.ask("broker.ping")[0] == OK
    assert worker.silent()
    third = cell.peer()
    assert third.ask("task.start", {"id": "t"}, ident=ident)[0] == ALREADY_EXISTS
    worker.reply(header, {"pid": 9})
    assert cell.client.answer(ident) == other.answer(ident) == (OK, "", {"pid": 9})
    assert cell.client.silent() and other.silent()


def test_oldest_asker_makes_room(cell):
    worker = Worker(cell)
    askers = [cell.peer() for _ in range(ASKERS_MAX + 1)]
    ident = askers[0].send("task.create", {"id": "t"})
    header, _ = worker.request()
    for asker in askers[1:]:
        asker.send("task.create", {"id": "t"}, ident=ident)
        assert asker.ask("broker.ping")[0] == OK  # so that they are known in this order
    worker.reply(header, {"pid": 9})
    for asker in askers[1:]:
        assert asker.answer(ident) == (OK, "", {"pid": 9})
    assert askers[0].silent()


def test_client_vanishes(cell):
    worker = Worker(cell)
    gone = cell.peer()
    ident = gone.send("task.create")
    header, _ = worker.request()
    gone.socket.close()
    worker.reply(header)
    assert worker.silent()
    until(lambda: cell.service()["in_flight"] == 0, "the request is done with")
    ident = cell.client.send("task.get")
    worker.reply(worker.request()[0])
    assert cell.client.answer(ident)[0] == OK


# ------------------------------------------------------------------------------------------- events


def test_events(cell):
    def socket(kind, name):
        made = cell.context.socket(kind)
        made.linger = 0
        made.rcvtimeo = WAIT_SECONDS * 1000
        made.connect(f"ipc://{cell.run}/{name}")
        return made

    publisher = socket(zmq.XPUB, "publish.sock")
    every, mine, none = (socket(zmq.SUB, "events.sock") for _ in range(3))
    every.subscribe(b"")
    mine.subscribe(b"mine/tasks/")
    none.subscribe(b"min/")
    wanted = {b"\x01", b"\x01mine/tasks/", b"\x01min/"}
    while wanted:
        wanted.discard(publisher.recv())
    sent = [(ns + b"/tasks/exit", str(n).encode()) for n in range(500) for ns in (b"mine", b"other")]
    for key, event in sent:
        publisher.send_multipart([key, event])
    assert [tuple(every.recv_multipart()) for _ in sent] == sent
    assert [tuple(mine.recv_multipart()) for _ in range(500)] == sent[::2]
    assert not mine.poll(0) and not none.poll(0)
    assert cell.client.ask("broker.status")[2]["events"] == len(sent)
    mine.unsubscribe(b"mine/tasks/")
    assert publisher.recv() == b"\x00mine/tasks/"


def test_sockets_are_for_root_only():
    """Without a supervisor the broker makes its sockets itself."""
    cell = Cell()
    cell.kill()
    for listener in cell.listeners:
        os.unlink(listener.getsockname())
    command = [str(BIN / "shimd-broker"), "--run-dir", str(cell.run), "--root-dir", str(cell.run)]
    cell.broker = subprocess.Popen(command, stderr=cell.log)
    until(lambda: len(list(cell.run.glob("*.sock"))) == 4, "the broker listens")
    assert {path.stat().st_mode & 0o777 for path in cell.run.glob("*.sock")} == {0o600}
    assert cell.peer().ask("broker.ping")[0] == OK
    cell.stop()
