"""What waits in the broker: in which order it goes, and how much of it there may be."""

import zmq

from broker_cell import Peer, Worker, until

OK, INVALID_ARGUMENT, RESOURCE_EXHAUSTED = 0, 3, 8
QUEUE_MAX = 8192
UNREAD_MAX = 32 << 20  # bytes of answers that wait for one client
MANY = 5000  # more than libzmq keeps for a peer by default


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


def test_waits_leave_room_for_what_is_answered(cell):
    """They may last for ever: what they ask is small."""
    worker = Worker(cell)
    waits = [cell.client.send("task.wait", {"pad": b"x" * (5_000_000)}) for _ in range(14)]
    ident = cell.client.send("task.get")
    header, _ = worker.request()
    assert header["id"] == ident
    worker.reply(header)
    assert cell.client.answer(ident)[0] == OK
    for wait in waits:
        status, message, _ = cell.client.answer(wait)
        assert status == INVALID_ARGUMENT and message.endswith("limit 1024 where nothing limits the time"), message


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


def test_who_reads_is_served_though_others_do_not(cell):
    """What all may have waiting is used up: a client that reads its answers still gets its share."""
    worker = Worker(cell, window=1000)
    deaf_ones = [deaf_client(cell) for _ in range(10)]
    for deaf in deaf_ones:
        for _ in range(31):
            deaf.send("task.create", seconds=120)
        for _ in range(31):
            worker.reply(worker.request()[0], {"pad": b"x" * (1 << 20)})
    assert worker.ask("broker.ping")[0] == OK, "all is sent"
    assert cell.client.ask("broker.ping")[0] == OK
    for method, size in (("task.kill", 0), ("task.get", 10), ("task.get", 100000)):
        ident = cell.client.send(method)
        worker.reply(worker.request()[0], {"pad": b"x" * size})
        assert cell.client.answer(ident)[0] == OK, method
    ident = cell.client.send("task.get")
    worker.reply(worker.request()[0], {"pad": b"x" * (1 << 20)})
    assert cell.client.answer(ident)[0] == RESOURCE_EXHAUSTED


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
