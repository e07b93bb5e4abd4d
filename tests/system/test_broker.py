"""The real broker between clients and workers that misbehave, die, or never come."""

import os
import subprocess
import sys
import time
import uuid

import msgpack
import zmq

from broker_cell import BIN, Cell, WAIT_SECONDS, Worker, until

OK, INVALID_ARGUMENT, DEADLINE_EXCEEDED, ALREADY_EXISTS, PERMISSION_DENIED = 0, 3, 4, 6, 7
UNIMPLEMENTED = 12
NOBODY = b"\0" * 16  # the id in the answer to a message whose id could not be read
BODY_MAX, FRAME_MAX = 5 << 20, 16 << 20
ASKERS_MAX = 8  # of one request


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
