"""The client of examples/shimd_client.py, which knows the protocol from its manual only."""

import itertools
import os
import pathlib
import signal
import subprocess
import sys
import threading
import uuid

import pytest
from cluster import SOURCE, Refused, is_alive, until
from test_subscribers import publish_many

EXAMPLE = SOURCE / "examples/shimd_client.py"
NOT_FOUND, DEADLINE_EXCEEDED = 5, 4
MANY = 300


def test_is_short():
    assert len(EXAMPLE.read_text().splitlines()) <= 160


def test_a_task_from_beginning_to_end(cluster):
    command = [EXAMPLE, cluster.run, "t1", cluster.rootfs(), "sh", "-c", "echo hello; exit 7"]
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (7, "hello\n"), done.stderr
    topics = ["/containers/create", "/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]
    seen = [line.split()[1] for line in done.stderr.splitlines()]
    assert [topic for topic in seen if topic in topics] == topics[: len(seen)]
    assert not cluster.client().call("task.list", {"all": True})["tasks"]


def test_refusals_are_exceptions(cluster):
    with pytest.raises(Refused) as refused:
        cluster.client().call("container.get", {"id": "nobody"}, "default")
    assert refused.value.status == NOT_FOUND


def make(client, name, **more):
    return client.call("container.create", {"id": name, "runtime": "io.containerd.runc.v2", "spec": b"{}"}, "ns", **more)


def test_an_id_runs_once(cluster):
    client, request = cluster.client(), uuid.uuid4().bytes
    first = make(client, "c", id=request)
    assert make(client, "c", id=request) == first
    assert cluster.client().call("request.get", {"id": request})["method"] == "container.create"


def test_broker_dies_under_a_request(cluster):
    """The metadata worker is held, so that the request is with it when the broker dies."""
    client, request = cluster.client(), uuid.uuid4().bytes
    metadata, broker = cluster.pid("metadata"), cluster.pid("broker")
    os.kill(metadata, signal.SIGSTOP)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(make(client, "c", id=request)))
    asking.start()
    watcher = cluster.client()

    def given():
        rows = watcher.call("broker.status")["services"]
        return next(row for row in rows if row["name"] == "metadata")["in_flight"]

    until(given, "the request is with its worker")
    os.kill(broker, signal.SIGKILL)
    until(lambda: not is_alive(broker), "death of the broker")
    os.kill(metadata, signal.SIGCONT)
    asking.join(30)
    assert answers and answers[0]["id"] == "c"
    assert [row["id"] for row in watcher.call("container.list", ns="ns")["containers"]] == ["c"]


def test_events_without_gaps(cluster):
    """A subscriber that does not read, and a broker that dies, cost no event."""
    writer, reader = cluster.client(), cluster.client()
    stream = reader.events("ns", since=1)
    make(writer, "first")
    numbers = [next(stream)["ns_seq"]]
    for i in range(MANY):
        writer.call("event.publish", {"topic": f"/test/{i}", "type": "test", "event": {"i": i}}, "ns")
        if i == MANY // 2:
            cluster.kill("broker")
    for event in itertools.islice(stream, MANY):
        numbers.append(event["ns_seq"])
    assert numbers == list(range(numbers[0], numbers[0] + MANY + 1))


def test_a_reader_that_stops_reading_misses_nothing(cluster):
    """More goes by than is kept for it anywhere; the last ones it hears of by .sync only."""
    stream = cluster.client().events("default", since=1)
    publish_many(cluster.client(), 1)
    assert next(stream)["seq"] == 1
    publish_many(cluster.client(), 15000)
    assert [event["seq"] for event in itertools.islice(stream, 15000)] == list(range(2, 15002))


def test_events_of_the_past(cluster):
    client = cluster.client()
    for i in range(5):
        client.call("event.publish", {"topic": "/test/past", "type": "test", "event": {"i": i}}, "ns")
    found = list(itertools.islice(cluster.client().events("ns", since=1), 5))
    assert [event["event"]["i"] for event in found] == list(range(5))


def test_deadline_without_a_broker(tmp_path):
    from shimd_client import Client

    client = Client(str(pathlib.Path(tmp_path)))
    with pytest.raises(Refused) as refused:
        client.call("broker.ping", timeout=0.1)
    assert refused.value.status == DEADLINE_EXCEEDED
    client.close()
