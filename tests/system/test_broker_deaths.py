"""Workers of the broker that die, leave, are replaced or never come, and the death of the broker itself."""

import os
import time

from broker_cell import Worker, until

OK, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE = 0, 4, 13, 14


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


def test_what_is_given_back_goes_to_the_successor(cell):
    """In the order in which it came, as not begun; what nobody waits for any more is forgotten."""
    worker = Worker(cell, pid=1001)
    sent = [cell.client.send("task.checkpoint", {"n": n}, **more) for n, more in enumerate([{}, {}, {"seconds": 0.3}, {}])]
    given = [worker.request()[0]["id"] for _ in sent]
    assert given == sent and cell.client.answer(sent[2])[0] == DEADLINE_EXCEEDED
    worker.send("worker.goodbye", {"service": "shim", "pid": 1001})
    for ident in [os.urandom(16), *reversed(sent[1:])]:
        worker.send("worker.returned", {"id": ident})
    later = cell.client.send("task.checkpoint")
    assert worker.silent()
    cell.exited(1001)
    assert cell.client.answer(sent[0])[0] == UNAVAILABLE
    successor = Worker(cell, pid=1002)
    for ident in (sent[1], sent[3], later):
        header, _ = successor.request()
        assert header["id"] == ident and "redelivered" not in header
        worker.send("worker.returned", {"id": ident})  # it is not that one's to give back
        assert worker.silent()
        successor.reply(header)
        assert cell.client.answer(ident)[0] == OK
    assert successor.silent() and cell.service()["in_flight"] == 0


def test_what_the_broker_asked_itself_is_given_back_too(cell):
    """Nobody waits for the answer, but the journal is to have it."""
    cell.client.send("task.create")
    for pid in (1001, 1002, 1003):
        Worker(cell, pid=pid).request()
        cell.exited(pid)
    metadata = Worker(cell, service="metadata", pid=2001)
    header, _ = metadata.request()
    metadata.send("worker.goodbye", {"service": "metadata", "pid": 2001})
    metadata.send("worker.returned", {"id": header["id"]})
    assert metadata.ask("broker.ping")[0] == OK
    cell.exited(2001, service="metadata")
    successor = Worker(cell, service="metadata", pid=2002)
    again, _ = successor.request()
    assert (again["id"], again["method"]) == (header["id"], "request.record")


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


def test_what_a_worker_may_have_done_before_none_comes_up(cell):
    """It is not said that nothing was done."""
    worker = Worker(cell, pid=1000)
    late, lost = [cell.client.send("task.create", seconds=seconds) for seconds in (1, 60)]
    assert {worker.request()[0]["id"], worker.request()[0]["id"]} == {late, lost}
    cell.exited(1000)
    cell.exited(1001)
    unknown = "task.create: the worker died, outcome unknown; shim"
    assert cell.client.answer(late)[:2] == (UNAVAILABLE, f"{unknown} does not come up: killed")
    cell.exited(1002, failed=True)
    assert cell.client.answer(lost)[:2] == (UNAVAILABLE, f"{unknown}: the worker cannot be started: killed")


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
