"""The broker when workers hang, come back, claim too much, or say their last words late."""

import os
import signal
import time
import uuid

import msgpack
import pytest
import zmq

from broker_cell import WAIT_SECONDS, Worker, until

OK, INVALID_ARGUMENT, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL = 0, 3, 4, 12, 13
HANG_SECONDS = 10  # ROUTER_HANG_MS
SUBSCRIBER_HWM = 10000  # events the broker keeps for a slow subscriber
BATCH, BATCHES = 1000, 40


def test_order_survives_a_death(cell):
    worker = Worker(cell, pid=1001, window=30)
    assert worker.silent()  # it is known before the first request: so all 40 are given to it
    sent = [cell.client.send("task.create", {"n": n}) for n in range(30)]
    kills = [cell.client.send("task.kill", {"n": n}) for n in range(10)]
    later = [cell.client.send("task.create", {"n": n}) for n in range(30, 35)]
    for _ in range(40):
        worker.request()
    cell.exited(1001)
    successor = Worker(cell, pid=1002, window=50)
    assert [successor.request()[0]["id"] for _ in range(45)] == kills + sent + later


def test_last_words_are_heard(cell):
    """The answer of a worker may be read after the news of its death; nobody does the work again."""
    worker = Worker(cell, pid=1001)
    ident = cell.client.send("task.create")
    header, _ = worker.request()
    cell.exited(1001)
    worker.reply(header, {"pid": 3})
    assert cell.client.answer(ident) == (OK, "", {"pid": 3})
    successor = Worker(cell, pid=1002)
    assert successor.silent()
    assert cell.service()["in_flight"] == cell.service()["queued"] == 0


def test_reading_can_kill_too(cell):
    ident = cell.client.send("task.get")
    for pid in (1001, 1002, 1003):
        worker = Worker(cell, pid=pid)
        header, _ = worker.request()
        assert header.get("redelivered", False) == (pid > 1001)
        cell.exited(pid)
    assert cell.client.answer(ident)[:2] == (INTERNAL, "task.get: set aside, 3 workers died with it, the last one: killed")


def test_worker_on_a_new_connection(cell):
    """It gets what may have been lost on the old one; nobody has died."""
    worker = Worker(cell, pid=1001)
    sent = [cell.client.send("task.create", {"n": n}, first=True) for n in range(3)]
    for _ in sent:
        assert worker.request()[0]["first"] is True
    worker.socket.close()
    for _ in range(3):
        again = Worker(cell, pid=1001)
        headers = [again.request()[0] for _ in sent]
        assert [header["id"] for header in headers] == sent
        assert not any(header.get("redelivered") or header.get("first") for header in headers)
    for header in headers:
        again.reply(header)
    assert all(cell.client.answer(ident)[0] == OK for ident in sent)


def test_the_first_message_may_come_last(cell):
    """A client that gave its connection up sent it again on another, which was read sooner."""
    worker = Worker(cell)
    ident = uuid.uuid4().bytes
    for again in (False, True, True):
        cell.client.send("task.kill", ident=ident, first=again)
        header, _ = worker.request()
        assert header["id"] == ident and "first" not in header
        worker.reply(header)
        assert cell.client.answer(ident)[0] == OK


def test_one_that_waits_and_is_sent_again_is_no_first(cell):
    ident = cell.client.send("task.kill", first=True)
    assert cell.client.silent()
    other = cell.peer()
    other.send("task.kill", ident=ident)
    assert other.silent()
    worker = Worker(cell)
    header, _ = worker.request()
    assert header["id"] == ident and "first" not in header
    worker.reply(header)
    assert cell.client.answer(ident)[0] == OK


def test_a_wait_that_nobody_waits_for_is_forgotten(cell):
    """A process may run for years; who gives up waiting for it must not be kept for as long."""
    worker = Worker(cell)
    patient, ident = cell.client.send("task.wait", {"id": "a"}), cell.client.send("task.wait", {"id": "b"}, seconds=0.2)
    for _ in range(2):
        worker.request()
    assert cell.client.answer(ident)[0] == DEADLINE_EXCEEDED
    header, body = worker.request()
    assert (header["method"], body) == ("worker.forget", {"id": ident})
    assert cell.service()["in_flight"] == 2
    worker.reply({"id": ident}, status=DEADLINE_EXCEEDED, message="nobody waits for it any more")
    until(lambda: cell.service()["in_flight"] == 1, "its place is free")
    worker.reply({"id": patient}, {"exit_status": 1})
    assert cell.client.answer(patient)[0] == OK and cell.client.silent() and worker.silent()


def test_request_get_tells_what_is_not_finished(cell):
    ident = cell.client.send("task.kill", {"id": "t", "exec_id": "e"}, ns="default")

    def told():
        status, _, row = cell.client.ask("request.get", {"id": ident})
        return status == OK and (row["state"], row["method"], row["ns"], row["target"], row["exec_id"], row["time"])

    rest = ("task.kill", "default", "t", "e", 0)
    until(lambda: told() == ("waiting", *rest), "it is there")
    worker, metadata = Worker(cell), Worker(cell, service="metadata", pid=2000)
    header, _ = worker.request()
    assert told() == ("running", *rest)
    worker.reply(header)
    assert cell.client.answer(ident)[0] == OK
    asked = cell.client.send("request.get", {"id": ident})  # whoever has the journal knows from here on
    assert metadata.request()[0]["id"] == asked
    metadata.send("request.get", {"id": asked})  # a worker's question always goes there
    assert metadata.request()[0]["method"] == "request.get"


def test_each_asker_has_its_own_deadline(cell):
    worker = Worker(cell)
    patient, hasty, ident = cell.peer(), cell.peer(), uuid.uuid4().bytes
    patient.send("task.create", ident=ident, seconds=WAIT_SECONDS)
    header, _ = worker.request()
    assert hasty.ask("task.create", ident=ident, seconds=0.2)[0] == DEADLINE_EXCEEDED
    assert patient.silent()
    worker.reply(header, {"pid": 1})
    assert patient.answer(ident) == (OK, "", {"pid": 1}) and hasty.silent()


def test_deadline_at_the_end_of_time(cell):
    worker = Worker(cell)
    ident = cell.client.send("task.get", deadline=2**63 - 1)
    header, _ = worker.request()
    assert 0 < header["deadline"] - time.time() * 1000 < 2 * 365 * 24 * 3600 * 1000
    worker.reply(header)
    assert cell.client.answer(ident)[0] == OK


def test_id_of_a_bad_header_comes_back(cell):
    for bad in ({"method": "x" * 65}, {"v": 2}, {"ns": 7}, {"ns": "\0"}, {"deadline": "soon"}, {"method": None}):
        ident = uuid.uuid4().bytes
        cell.client.raw(msgpack.packb({"v": 1, "method": "task.get", **bad, "id": ident}), b"\x80")
        assert cell.client.answer(ident)[0] == INVALID_ARGUMENT


def test_claims_of_a_worker(cell):
    shim = Worker(cell)
    thief = Worker(cell, service="thief", pid=2000, ready=False)
    thief.ready([("task.get", "SAFE", "READ", 5), ("broker.ping", "SAFE", "READ", 5), ("thief.a", "PERHAPS", "READ", 5),
                 ("thief.b", "SAFE", "SOMETIMES", 5), ("thief.c", "SAFE", "READ", 5)])
    impostor = Worker(cell, service="broker", pid=2001, ready=False)
    impostor.ready([("broker.own", "SAFE", "READ", 5)])
    assert thief.silent() and impostor.silent()
    assert cell.client.ask("broker.own")[0] == UNIMPLEMENTED
    assert cell.client.ask("thief.a")[0] == cell.client.ask("thief.b")[0] == UNIMPLEMENTED
    ident = cell.client.send("task.get")
    shim.reply(shim.request()[0])
    assert cell.client.answer(ident)[0] == OK
    ident = cell.client.send("thief.c")
    thief.reply(thief.request()[0])
    assert cell.client.answer(ident)[0] == OK


def test_hang(cell):
    """A worker that is not heard is to be replaced; but not because the broker did not listen."""
    supervisor = Worker(cell, service="cluster", pid=3000)
    mute = Worker(cell, service="bundle", pid=1001)
    assert mute.silent() and supervisor.silent()
    os.kill(cell.broker.pid, signal.SIGSTOP)
    time.sleep(HANG_SECONDS + 0.5)
    os.kill(cell.broker.pid, signal.SIGCONT)
    assert supervisor.silent(), supervisor.requests
    begun = time.monotonic()
    header, body = supervisor.request()
    assert (header["method"], body) == ("cluster.restart", {"process": "bundle", "hung": True})
    assert time.monotonic() - begun > HANG_SECONDS - 2
    assert header["peer"]["pid"] == cell.broker.pid
    assert supervisor.silent()
    successor = Worker(cell, service="bundle", pid=1002)
    assert successor.silent()
    cell.exited(1001, service="bundle")
    until(lambda: cell.service("bundle")["pid"] == 1002, "the successor")
    supervisor.reply(header)


def test_slow_subscriber_holds_up_nobody(cell):
    def subscriber(high_water):
        made = cell.context.socket(zmq.SUB)
        made.rcvhwm, made.linger, made.rcvtimeo = high_water, 0, WAIT_SECONDS * 1000
        made.connect(f"ipc://{cell.run}/events.sock")
        made.subscribe(b"ns/")
        return made

    slow, fast = subscriber(1), subscriber(0)
    slow.subscribe(b"slow")
    fast.subscribe(b"fast")
    publisher = cell.context.socket(zmq.XPUB)
    publisher.linger = 0
    publisher.connect(f"ipc://{cell.run}/publish.sock")
    wanted = {b"\x01ns/", b"\x01slow", b"\x01fast"}
    while wanted:
        wanted.discard(publisher.recv())
    pad = b"x" * 200
    for batch in range(BATCHES):
        for n in range(BATCH):
            publisher.send_multipart([b"ns/", b"%d " % (batch * BATCH + n) + pad])
        for n in range(BATCH):
            assert int(fast.recv_multipart()[1].split()[0]) == batch * BATCH + n
        assert cell.client.ask("broker.ping")[0] == OK
    slow.rcvtimeo = 500
    got = []
    with pytest.raises(zmq.Again):
        while True:
            got.append(int(slow.recv_multipart()[1].split()[0]))
    assert got == sorted(got) and SUBSCRIBER_HWM <= len(got) < BATCH * BATCHES
