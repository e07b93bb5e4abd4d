"""Named readers of events: what was not acknowledged comes again, and nothing is missing, whoever dies or sleeps."""

import contextlib
import json
import os
import random
import signal
import subprocess
import threading
import time

import msgpack
import pytest
from cluster import Refused, sanitized, until

NOT_FOUND, INVALID_ARGUMENT, ALREADY_EXISTS, ABORTED = 5, 3, 6, 10
PAGE = 100  # events that shimctl acknowledges together


def publish(client, number, topic="/my/event", ns="default", **fields):
    return client.call("event.publish", {"topic": topic, "type": "t", "event": {"n": number, **fields}}, ns)["seq"]


def publish_many(client, count, window=500, **fields):
    """Events 1 to `count`, without waiting for each."""
    body = {"topic": "/my/event", "type": "t", "event": fields}
    answered = 0
    for number in range(1, count + 1):
        body["event"]["n"] = number
        head = {"v": 1, "id": os.urandom(16), "method": "event.publish", "ns": "default"}
        client.socket.send_multipart([msgpack.packb(head), msgpack.packb(body)])
        while number - answered >= window or (number == count and answered < count):
            assert msgpack.unpackb(client.socket.recv_multipart()[0])["status"] == 0
            answered += 1


@contextlib.contextmanager
def started(command, **more):
    """A process that is killed at the end, also of a test that fails."""
    with subprocess.Popen(command, **more) as process:
        try:
            yield process
        finally:
            process.kill()


class Reader:
    """The methods of one subscriber."""

    def __init__(self, cluster, name, **begin):
        self.client, self.name = cluster.client(), name
        self.found = self("event.subscribe", **begin)

    def __call__(self, method, timeout=30, **body):
        return self.client.call(method, {"name": self.name, "all": True, **body}, timeout=timeout)

    def fetch(self, **body):
        return self("event.fetch", **body)

    def numbers(self, **body):
        return [event["event"]["n"] for event in self.fetch(**body)["events"]]

    def ack(self, seq):
        return self("event.ack", seq=seq)["seq"]


def refused(status, call, *words, **body):
    with pytest.raises(Refused) as raised:
        call(*words, **body)
    assert raised.value.status == status, raised.value
    return str(raised.value)


# The protocol ---------------------------------------------------------------------------------------------------


def test_what_is_not_acknowledged_comes_again(cluster):
    client = cluster.client()
    publish(client, 0)
    reader = Reader(cluster, "r")
    for number in range(1, 6):
        publish(client, number)
    assert reader.numbers(limit=3) == [1, 2, 3]
    assert reader.numbers(limit=2, after=4) == [4, 5]
    assert reader.ack(3) == 3 and reader.ack(2) == 3
    assert "was given up to 6" in refused(INVALID_ARGUMENT, reader.ack, 7)
    assert "was given up to 6" in refused(INVALID_ARGUMENT, reader.fetch, after=7)
    for process in ("metadata", "broker"):
        cluster.await_successor(process, cluster.kill(process))
        again = Reader(cluster, "r", oldest=True)
        assert again.found["acked"] == 3 and again.numbers() == [3, 4, 5]
    cluster.await_successor("metadata", cluster.kill("metadata"))
    assert again.ack(5) == 5, "what an earlier life of the worker has given may be acknowledged"
    refused(INVALID_ARGUMENT, again.ack, 7)
    assert again.numbers() == [5]


def test_only_what_matches_is_given(cluster):
    client = cluster.client()
    reader = Reader(cluster, "r", filters=["event.n>2", "topic==\"/other\""])
    refused(ALREADY_EXISTS, reader, "event.subscribe", filters=["event.n>3"])
    for number in range(1, 5):
        publish(client, number, "/my/event" if number != 1 else "/other")
    assert reader.numbers() == [1, 3, 4]
    reader.ack(4)
    for _ in range(3):
        publish(client, 1)
    page = reader.fetch()
    assert (page["events"], page["next"]) == ([], 8)
    assert reader.ack(7) == 7, "the place goes on where nothing matches"
    mine = client.call("event.subscribe", {"name": "r", "oldest": True}, "ns")
    assert (mine["ns"], mine["acked"]) == ("ns", 0)
    publish(client, 9, ns="ns")
    assert [event["event"]["n"] for event in client.call("event.fetch", {"name": "r"}, "ns")["events"]] == [9]
    rows = client.call("event.subscribers", {"all": True})["subscribers"]
    assert [(row.get("ns"), row["acked"], row["last"]) for row in rows] == [(None, 7, 8), ("ns", 0, 8)]


def in_background(call, **body):
    results = []

    def run():
        try:
            results.append(call(**body))
        except Refused as failure:
            results.append(failure.status)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


def test_waiting(cluster):
    """A request waits for an event, and gives way to the next one for the same subscriber."""
    client = cluster.client()
    reader = Reader(cluster, "r", filters=["event.n!=1"])
    begun = time.monotonic()
    assert reader.fetch(wait_ms=300)["events"] == [] and 0.3 <= time.monotonic() - begun < 5
    assert reader.fetch(wait_ms=20000, timeout=1)["events"] == [], "it is answered before its deadline"
    thread, first = in_background(Reader(cluster, "r").fetch, wait_ms=30000, timeout=60)
    until(lambda: cluster.status()["metadata"].get("in_flight") == 1, "it waits")
    second_thread, second = in_background(Reader(cluster, "r").fetch, wait_ms=30000, timeout=60)
    thread.join(20)
    assert first == [ABORTED]
    publish(client, 1)  # does not match
    cluster.await_successor("metadata", cluster.kill("metadata"))
    client.call("cluster.restart", {"process": "metadata"}, timeout=60)
    publish(client, 2)
    second_thread.join(20)  # before its time is over
    assert [event["event"]["n"] for event in second[0]["events"]] == [2]
    thread, third = in_background(reader.fetch, wait_ms=30000, after=2, timeout=60)
    until(lambda: cluster.status()["metadata"].get("in_flight") == 1, "it waits")
    client.call("event.unsubscribe", {"name": "r", "all": True})
    thread.join(20)
    assert third == [NOT_FOUND]
    refused(NOT_FOUND, reader.fetch)
    assert cluster.status()["metadata"].get("in_flight", 0) == 0


# shimctl --------------------------------------------------------------------------------------------------------


def numbers(text):
    return [json.loads(line)["event"]["n"] for line in text.splitlines()]


def run(cluster, *words, code=0):
    done = cluster.shimctl(*words)
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def test_a_reader_killed_at_random_moments(cluster, tmp_path):
    """Nothing is missing, in order, and a death repeats no more than a page; processes die meanwhile too."""
    count, out, dice = 400 if sanitized() else 1200, tmp_path / "out", random.Random(4)
    run(cluster, "subscribers", "create", "r", "event.n>0")
    writer = threading.Thread(target=lambda c=cluster.client(): [publish(c, n) for n in range(count + 1)])
    writer.start()
    command = cluster.command("--json", "events", "--subscriber", "r")
    kills = 0
    while writer.is_alive() or kills < 5:
        with open(out, "ab") as file, started(command, stdout=file) as reader:
            before = out.stat().st_size
            until(lambda: out.stat().st_size > before or not writer.is_alive(), "it prints")  # noqa: B023
            time.sleep(dice.random() * 0.1)
            if kills in (2, 4):
                cluster.kill("metadata" if kills == 2 else "broker")
            reader.kill()
        kills += 1
    writer.join()
    with open(out, "ab") as file:
        subprocess.run(cluster.command("--json", "events", "--subscriber", "r", "--until", "now"), stdout=file, check=True)
    seen, highest, repeats = numbers(out.read_text()), 0, 0
    for number in seen:
        assert number <= highest + 1, f"{highest + 1} is missing"
        repeats += number <= highest
        highest = max(highest, number)
    assert highest == count and repeats <= kills * PAGE
    assert run(cluster, "--json", "events", "--subscriber", "r", "--until", "now") == ""


def anonymous_memory(cluster):
    """KiB that each process has for itself; the metadata worker's map of its file is not among them."""
    return {
        name: sum(int(line.split()[1]) for line in open(f"/proc/{row['pid']}/status", encoding="utf-8")
                  if line.startswith("RssAnon"))
        for name, row in cluster.status().items() if name in ("broker", "metadata")
    }


def stopped_reader(cluster, out, words, count, **fields):
    """A reader that is stopped while so many events go by, and goes on then; what the processes grew by meanwhile."""
    client = cluster.client()
    with open(out, "wb") as file, started(cluster.command(*words), stdout=file) as reader:
        publish(client, 0)
        until(lambda: out.read_bytes().count(b"\n") == 1, "it reads")
        publish_many(client, 1000, **fields)  # what the processes themselves need for so much at a time
        until(lambda: out.read_bytes().count(b"\n") == 1001, "it reads")
        reader.send_signal(signal.SIGSTOP)
        before = anonymous_memory(cluster)
        publish_many(client, count, **fields)
        after = anonymous_memory(cluster)
        reader.send_signal(signal.SIGCONT)
        until(lambda: out.read_bytes().count(b"\n") >= 1001 + count, "it has all", 60)
        assert numbers(out.read_text()) == [0, *range(1, 1001), *range(1, count + 1)]
        assert reader.poll() is None
        reader.kill()
    return {name: after[name] - before[name] for name in before}


def test_a_stopped_reader_costs_no_memory(cluster, tmp_path):
    """16 MB go by."""
    run(cluster, "subscribers", "create", "r")
    words = ("--json", "events", "--subscriber", "r")
    grown = stopped_reader(cluster, tmp_path / "out", words, 600 if sanitized() else 4000, pad="x" * 4000)
    # A sanitizer's allocator gives nothing back.
    assert sanitized() or max(grown.values()) < 10 * 1024, f"KiB: {grown}"


def test_a_stopped_reader_of_the_live_stream_misses_nothing(cluster, tmp_path):
    """The broker keeps 10000 events for it; what comes on top is fetched from the journal."""
    stopped_reader(cluster, tmp_path / "out", ("--json", "events", "--since", "0"), 2000 if sanitized() else 11500)


def test_a_reader_that_comes_too_late_is_told(fresh_cluster):
    cluster = fresh_cluster.start(config="journal\n    max-events = 100\n")
    client = cluster.client()
    for name in ("a", "b"):
        run(cluster, "subscribers", "create", name)
    publish_many(client, 500)

    def oldest():
        return client.call("event.list", {"all": True, "limit": 1})["first"]

    until(lambda: 390 < oldest() <= 401, "the journal is trimmed")
    first = oldest()
    assert " 500 (gap) " in " ".join(run(cluster, "subscribers", "ls").split())
    done = cluster.shimctl("--json", "events", "--subscriber", "a", "--until", "now")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows[0] == {"gap": {"first": 1, "last": first - 1}}
    assert [row["event"]["n"] for row in rows[1:]] == list(range(first, 501))
    assert done.stderr == f"shimctl: events 1 to {first - 1} are no longer in the journal\n"
    late = cluster.shimctl("events", "--since", "5", "--until", "now")
    assert late.stderr.startswith("shimctl: events 5 to ") and late.stderr.count("\n") == 1
    assert "gap" in run(cluster, "--json", "events", "--subscriber", "b", "--until", "now").splitlines()[0]
    for name in ("a", "b"):  # told once
        assert run(cluster, "--json", "events", "--subscriber", name, "--until", "now") == ""


def test_commands(cluster):
    client = cluster.client()
    for number in range(1, 6):
        publish(client, number)
    run(cluster, "subscribers", "create", "--since", "2", "a", "event.n!=3")
    run(cluster, "-n", "default", "subscribers", "create", "a")
    assert run(cluster, "subscribers", "ls").splitlines()[0].split() == ["NAMESPACE", "NAME", "ACKED", "BEHIND", "USED", "FILTERS"]
    rows = [line.split() for line in run(cluster, "subscribers", "ls").splitlines()[1:]]
    assert [row[:4] for row in rows] == [["-", "a", "1", "4"], ["default", "a", "5", "0"]] and rows[0][5] == "event.n!=3"
    assert run(cluster, "-n", "default", "subscribers", "ls", "-q") == "a\n"
    assert run(cluster, "-n", "default", "--json", "subscribers", "ls", "-q") == '{"name":"a"}\n'
    assert "with other filters" in run(cluster, "events", "--subscriber", "a", "event.n!=4", code=4)

    peek = ("--json", "events", "--subscriber", "a", "--no-ack", "--until", "now")
    assert numbers(run(cluster, *peek)) == [2, 4, 5] == numbers(run(cluster, *peek))
    assert "was given up to 5" in run(cluster, "subscribers", "ack", "a", "6", code=6)
    assert json.loads(run(cluster, "--json", "subscribers", "ack", "a", "4")) == {"seq": 4}
    assert numbers(run(cluster, "--json", "events", "--subscriber", "a", "--until", "now")) == [5]
    assert json.loads(run(cluster, "--json", "subscribers", "ls").splitlines()[0])["acked"] == 5

    first = cluster.command("events", "--subscriber", "a")
    with started(first, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as reader:
        publish(client, 6)
        assert reader.stdout.readline().endswith('{"n":6}\n')
        until(lambda: cluster.status()["metadata"].get("in_flight") == 1, "it waits")
        with started(first) as other:
            _, complaint = reader.communicate(timeout=20)
            assert reader.returncode == 13 and "read by another client" in complaint
            run(cluster, "subscribers", "rm", "a")
            assert other.wait(20) == 3
    assert "not found" in run(cluster, "subscribers", "rm", "a", code=3)
    where = ("__complete", "--", "shimctl", "--run-dir", cluster.run)
    assert run(cluster, *where, "-n", "default", "subscribers", "delete", "") == "a\n"
    assert run(cluster, *where, "events", "--subscriber", "") == ""
    assert run(cluster, "-n", "default", "--json", "subscribers", "rm", "a") == '{"name":"a"}\n'


def test_since_and_until(cluster):
    client = cluster.client()
    for number in range(1, 4):
        publish(client, number)
    middle = time.time()
    for number in range(4, 6):
        publish(client, number)

    def found(*words):
        return numbers(run(cluster, "--json", "events", *words))

    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(middle)) + f"{middle % 1:.6f}"[1:] + "Z"
    for time_of in (f"@{middle:.6f}", stamp):
        assert found("--since", time_of, "--until", "now") == [4, 5]
        assert found("--until", time_of) == [1, 2, 3]
        assert found("--since", "2", "--until", time_of) == [2, 3]
        run(cluster, "subscribers", "create", "--since", time_of, "t")
        assert numbers(run(cluster, "--json", "events", "--subscriber", "t", "--until", "now")) == [4, 5]
        run(cluster, "subscribers", "delete", "t")
    assert found("--since", "10m", "--until", "0s") == [1, 2, 3, 4, 5]
    assert found("--since", "1h", "--until", "30m") == []
    begun = time.time()
    with started(cluster.command("--json", "events", "--since", "5", "--follow", "--until", f"@{begun + 1.5}"),
                          stdout=subprocess.PIPE, text=True) as reader:
        assert json.loads(reader.stdout.readline())["event"]["n"] == 5
        publish(client, 6)
        assert numbers(reader.communicate(timeout=20)[0]) == [6] and reader.returncode == 0
    assert time.time() - begun > 1.5


@pytest.mark.parametrize("words, code, sentence", [
    (["--since", "soon"], 6, "--since soon: neither a time like"),
    (["--until", "99999999999999999999"], 6, "--until 99999999999999999999: not the number of an event"),
    (["--follow", "--until", "now"], 2, "--follow goes on where --until now ends"),
    (["--raw", "--subscriber", "a"], 2, "--raw goes with neither"),
    (["--no-ack"], 2, "--no-ack goes with --subscriber"),
    (["--subscriber", "a", "--until", "7"], 2, "only --until now is an end"),
    (["--subscriber", "a/b"], 6, "name"),
    (["--subscriber", "a", "--since", "7"], 6, "since is 7, the journal ends with 0"),
])
def test_what_is_wrong_is_told(cluster, words, code, sentence):
    assert sentence in run(cluster, "events", *words, code=code)
