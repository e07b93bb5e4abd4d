"""Bad input through the whole cluster: every method and every field of the wire, taken from the table of messages
itself, and what the table cannot say. Each is refused with a sentence that names the field and the limit, leaves
nothing, and does not keep the next request from being served."""

import json
import os
import shutil
import socket
import uuid

import msgpack
import pytest
import zmq
from cluster import Refused, until
from shimd_client import oci_spec

OK, INVALID_ARGUMENT, DEADLINE_EXCEEDED, PERMISSION_DENIED, UNIMPLEMENTED = 0, 3, 4, 7, 12
HEADER_MAX, BODY_MAX = 4096, 5 << 20  # bytes
ANSWER_MS = 30000
CONTAINER = {"id": "c", "runtime": "io.containerd.runc.v2", "spec": b"{}"}
BAD_IDENTS = ["", "../x", "a/b", ".", "..", ".a", "-a", "a-", "a..b", "a b", "a\0b", "a\n", "é", "x" * 77]
GOOD = {"ident": "c", "text": "x", "bytes": b"{}", "value": {}, "flag": True, "i64": 1, "u32": 1, "u64": 1,
        "texts": ["x"], "labels": {"a": "b"}, "uuid": b"u" * 16}
TOO_LARGE = {
    "text": (" bytes long", lambda size: "x" * size), "bytes": (" bytes long", lambda size: b"x" * size),
    "texts": (" elements long", lambda size: ["x"] * size), "records": (" elements long", lambda size: [{}] * size),
    "labels": (" entries long", lambda size: {str(i): "v" for i in range(size)}), "u32": ("", lambda size: size),
}


class Peer:
    """A client that says what it likes."""

    def __init__(self, run):
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.connect(f"ipc://{run}/client.sock")

    def send(self, *frames):
        self.socket.send_multipart(list(frames))

    def receive(self):
        """Id, status, sentence."""
        assert self.socket.poll(ANSWER_MS), "no answer"
        header = msgpack.unpackb(self.socket.recv_multipart()[-2])
        return header["id"], header["status"], header["message"]

    def ask(self, method, body, ns="default", **header):
        """Status and sentence. A body of bytes is sent as it is."""
        head = {"v": 1, "id": uuid.uuid4().bytes, "method": method, **({"ns": ns} if ns is not None else {}), **header}
        self.send(msgpack.packb(head), body if isinstance(body, bytes) else msgpack.packb(body))
        answer = self.receive()
        assert answer[0] == head["id"]
        return answer[1:]

    def close(self):
        self.context.destroy(linger=0)


@pytest.fixture(name="peer")
def fixture_peer(cluster):
    """Whatever was asked: the same processes run afterwards, and nothing was made."""
    before = {name: row["pid"] for name, row in cluster.status().items()}
    peer = Peer(cluster.run)
    yield peer
    peer.close()
    assert {name: row["pid"] for name, row in cluster.status().items()} == before
    client = cluster.client()
    assert client.call("container.list", {"all": True}) == {"containers": []}
    assert client.call("task.list", {"all": True}) == {"tasks": []}
    assert client.call("bundle.list") == {"bundles": []}
    assert client.call("namespace.list") == {"namespaces": []}
    assert client.call("event.list", {"all": True})["events"] == []
    assert not list(cluster.run.glob("task/*/*")) + list(cluster.root.glob("task/*/*"))


def messages(cluster):
    """The fields of all methods that clients may ask, and of all records."""
    rows = [json.loads(line) for line in cluster.shimctl("--json", "messages").stdout.splitlines()]
    methods = {row["method"]: row["fields"] for row in rows if row.get("class") in ("READ", "WRITE", "URGENT")}
    return methods, {row["record"]: row["fields"] for row in rows if "record" in row}


def good(fields, records):
    """The least that the fields ask for."""
    made = {**GOOD, "record": {}, "records": []}
    return {f["name"]: good(records[f["record"]], records) if f["kind"] == "record" else made[f["kind"]]
            for f in fields if f["required"]}


def bad_values(field, records):
    """What a field must not be, and what the sentence says of it: the field's name, and more."""
    kind, limit, name = field["kind"], field["limit"], field["name"]
    if kind != "value":
        yield 1.5, [name]
        yield {"a": []} if kind == "labels" else [[]] if kind != "records" else [1], [name]
    if kind not in ("value", "bytes"):
        yield b"\xff", [name]
    if kind == "ident":
        for value in BAD_IDENTS:
            yield value, [name, "is 77 bytes long, limit 76" if len(value) > 76 else "is not"]
    if kind == "text":
        yield "a\0b", [name, "NUL"]
    if kind in ("u32", "u64"):
        yield -1, [name]
    if kind in TOO_LARGE and 0 < limit < BODY_MAX - 100:
        unit, make = TOO_LARGE[kind]
        yield make(limit + 1), [name, f"is {limit + 1}{unit}, limit {limit}"]
    if kind in ("record", "records"):
        inner = records[field["record"]]
        for each in inner:
            for value, sentences in bad_values(each, records):
                broken = {**good(inner, records), each["name"]: value}
                place = f"{name}." if kind == "record" else f"{name}[0]."
                yield broken if kind == "record" else [broken], [place + each["name"], *sentences]


def test_every_field_of_every_method(cluster, peer):
    methods, records = messages(cluster)
    tried = 0
    for method, fields in methods.items():
        base = good(fields, records)
        for field in fields:
            name = field["name"]
            cases = list(bad_values(field, records)) + ([(None, [name, "is missing"])] if field["required"] else [])
            for value, sentences in cases:
                body = {**base, name: value} if value is not None else {k: v for k, v in base.items() if k != name}
                status, message = peer.ask(method, body)
                what = f"{method} {name}={str(value)[:40]!r}: {status} {message}"
                assert status == INVALID_ARGUMENT and message.startswith(f"{method}: "), what
                assert all(sentence in message for sentence in sentences), (what, sentences)
                assert peer.ask("broker.ping", {}, ns=None)[0] == OK, what
                tried += 1
    assert tried > 500


def packed(**fields):
    head = {"v": 1, "id": GOOD["uuid"], "method": "container.list", "ns": "default", **fields}
    return msgpack.packb({name: value for name, value in head.items() if value is not None})


def deep(levels):
    return b"\x91" * levels + b"\x90"


NIL = b"\x80"
UNTOLD = bytes(16)  # the id of an answer to a request whose own cannot be read
FRAMES = [
    # header
    ([packed(method=None), NIL], INVALID_ARGUMENT, "header: method is missing"),
    ([packed(method="task.fly"), NIL], UNIMPLEMENTED, "unknown method task.fly"),
    ([packed(method="bundle.create"), NIL], PERMISSION_DENIED, "bundle.create is for workers only"),
    ([packed(method="x" * 65), NIL], INVALID_ARGUMENT, "header: method is 65 bytes long, limit 64"),
    ([packed(v=2), NIL], INVALID_ARGUMENT, "header: v is 2, limit 1"),
    ([packed(v=None), NIL], INVALID_ARGUMENT, "header: v is missing"),
    ([packed(id=None), NIL], INVALID_ARGUMENT, "header: id is missing"),
    ([packed(id=b"short"), NIL], INVALID_ARGUMENT, "header: id is not 16 bytes of binary"),
    ([packed(id=UNTOLD), NIL], INVALID_ARGUMENT, "header: id is all zero"),
    ([packed(ns=None), NIL], INVALID_ARGUMENT, "container.list: namespace is missing"),
    ([packed(ns=5), NIL], INVALID_ARGUMENT, "header: ns is not a string"),
    ([packed(ns="x" * 77), NIL], INVALID_ARGUMENT, "header: ns is 77 bytes long, limit 76"),
    ([packed(deadline=1), NIL], DEADLINE_EXCEEDED, "container.list: the deadline has passed before it began"),
    ([packed(deadline="x"), NIL], INVALID_ARGUMENT, "header: deadline is not a whole number of 64 bits"),
    ([packed(pad="x" * HEADER_MAX), NIL], INVALID_ARGUMENT, "header is 4161 bytes long, limit 4096"),
    ([packed()[:-3], NIL], INVALID_ARGUMENT, "header: msgpack is cut short or malformed"),
    ([deep(HEADER_MAX - 1), NIL], INVALID_ARGUMENT, "header: msgpack is nested deeper than 24"),
    ([b"\xdf\xff\xff\xff\xff", NIL], INVALID_ARGUMENT, "header: msgpack announces more elements than it has bytes"),
    # body
    ([packed(), b"\x90"], INVALID_ARGUMENT, "container.list: not a map"),
    ([packed(), b"\x81\xa3all"], INVALID_ARGUMENT, "container.list: msgpack is cut short or malformed"),
    ([packed(), NIL + NIL], INVALID_ARGUMENT, "container.list: bytes follow the msgpack value"),
    ([packed(), b"\x81\xa3all" + deep(1000000)], INVALID_ARGUMENT, "container.list: msgpack is nested deeper than 24"),
    ([packed(), b"\x81\xa4what" + deep(100)], INVALID_ARGUMENT, "container.list: msgpack is nested deeper than 24"),
    ([packed(), b"\xdf\xff\xff\xff\xff"], INVALID_ARGUMENT, "container.list: msgpack announces more elements than it has bytes"),
    ([packed(), b"x" * (BODY_MAX + 1)], INVALID_ARGUMENT, "container.list: body is 5242881 bytes long, limit 5242880"),
    # message
    ([packed()], INVALID_ARGUMENT, "message has 1 frames, header and body expected"),
    ([packed(), NIL, NIL], INVALID_ARGUMENT, "message has 3 frames, header and body expected"),
]


def test_frames(peer):
    for frames, status, sentence in FRAMES:
        peer.send(*frames)
        ident, *answer = peer.receive()
        assert answer == [status, sentence] and ident in (GOOD["uuid"], UNTOLD), (frames[0][:80], answer)
        assert peer.ask("container.list", {})[0] == OK, sentence
    for ns in BAD_IDENTS[1:]:
        status, message = peer.ask("container.list", {}, ns=ns)
        assert status == INVALID_ARGUMENT and ("namespace" in message or "ns" in message), message


RECORDS = [
    ({"spec": b""}, "container.create: spec is not JSON: line 1"),
    ({"spec": b"{"}, "container.create: spec is not JSON: line 1"),
    ({"spec": b"{}{}"}, "container.create: spec is not JSON: line 1"),
    ({"spec": b"{\"a\":\"\xff\"}"}, "container.create: spec is not JSON: line 1"),
    ({"spec": b"[]"}, "container.create: spec is not a JSON object"),
    ({"spec": b"[" * 1000000}, "container.create: spec is not JSON: line 1: maximum parsing depth"),
    ({"spec": b"{\"a\":" * 100000}, "container.create: spec is not JSON: line 1: maximum parsing depth"),
    ({"runtime": "runc"}, "invalid runtime name runc, "),
    ({"runtime": "../x"}, "invalid runtime name ../x, "),
    ({"labels": {"k": "v" * 4096}}, "container.create: labels is 4097 bytes of key and value, limit 4096"),
    ({"labels": {"": "v"}}, "container.create: labels has an empty key"),
    ({"labels": {"k": 1}}, "container.create: labels has a key or value that is not a string"),
]


def test_records(peer):
    for changes, sentence in RECORDS:
        status, message = peer.ask("container.create", {**CONTAINER, **changes})
        assert status == INVALID_ARGUMENT and message.startswith(sentence), (str(changes)[:60], message)
        assert peer.ask("container.list", {})[0] == OK, sentence


PROCESS = {"args": ["/bin/true"], "cwd": "/", "user": {"uid": 0, "gid": 0}}
NAMESPACES = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")]
# What differs from a good spec, what task.create is asked for besides, and what its sentence says.
TASKS = [
    ({"root": {"path": "/no/such"}}, {}, "/no/such"),
    ({"root": 5}, {}, "Spec.root"),
    ({"linux": 5}, {}, "Spec.linux"),
    ({"process": None}, {}, "process"),
    ({"process": {**PROCESS, "cwd": "relative"}}, {}, "Cwd"),
    ({"process": {**PROCESS, "args": ["/no/such"]}}, {}, "/no/such"),
    ({"linux": {"namespaces": NAMESPACES, "gidMappings": [{"containerID": 0, "hostID": -5, "size": 1}]}}, {}, "linux.gidMappings: hostID -5"),
    ({}, {"rootfs": [{"type": "bind", "source": "/no/such", "options": ["rbind"]}]}, "/no/such"),
    ({}, {"rootfs": [{"type": "bogus", "source": "/"}]}, "bogus"),
    ({}, {"runtime": "io.containerd.nope.v9"}, "containerd-shim-nope-v9"),
    ({}, {"runtime": "/no/such"}, "/no/such"),
    ({}, {"stdout": "bogus://x", "stderr": "bogus://x"}, "bogus"),
    ({}, {"stdout": "relative", "stderr": "relative"}, "relative"),
]


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("containerd-shim-runc-v2"), reason="containers need root and a shim")
def test_tasks(cluster):
    client, sockets = cluster.client(), cluster.dead_sockets()
    good_spec = {**oci_spec("c", cluster.rootfs(), []), "process": PROCESS}
    for changes, more, sentence in TASKS:
        spec = {name: value for name, value in {**good_spec, **changes}.items() if value is not None}
        client.call("container.create", {**CONTAINER, "spec": json.dumps(spec).encode()}, "default")
        with pytest.raises(Refused) as refused:
            client.call("task.create", {"id": "c", **more}, "default", timeout=30)
        assert sentence in str(refused.value), (sentence, str(refused.value))
        assert client.call("bundle.list") == {"bundles": []} and client.call("task.list", {"all": True}) == {"tasks": []}, sentence
        assert not list(cluster.run.glob("*/default/*")) + list(cluster.root.glob("*/default/*")), sentence
        assert not cluster.mounts() and cluster.dead_sockets() == sockets, sentence
        client.call("container.delete", {"id": "c"}, "default")
    done = cluster.shimctl("run", "--rm", "--rootfs", cluster.rootfs(), "c", "/bin/sh", "-c", "echo well")
    assert (done.returncode, done.stdout) == (0, "well\n"), done.stderr


# Beginnings of a connection; the peer vanishes after each.
GREETING = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0NULL" + bytes(16) + bytes(32)
READY = b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x06DEALER"
CUT_SHORT = [
    b"", b"\xff", b"GET / HTTP/1.0\r\n\r\n", bytes(range(256)) * 4, GREETING[:20], GREETING, GREETING + READY[:10], GREETING + READY,
    GREETING + READY + b"\x01\x05ab",  # more frames to come; this one in part
    GREETING + READY + b"\x03" + b"\xff" * 8,  # a frame of 16 exabytes
]


def test_connections_that_end_early(cluster, peer):
    def descriptors():
        return len(os.listdir(f"/proc/{broker}/fd"))

    broker = cluster.pid("broker")
    assert peer.ask("broker.ping", {}, ns=None)[0] == OK, "it is connected"
    before = descriptors()
    for start in CUT_SHORT:
        for name in ("client.sock", "events.sock"):
            with socket.socket(socket.AF_UNIX) as rude:
                rude.connect(str(cluster.run / name))
                rude.sendall(start)
            assert peer.ask("broker.ping", {}, ns=None)[0] == OK, start
    until(lambda: descriptors() <= before, "the broker has closed them")


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("containerd-shim-runc-v2"), reason="containers need root and a shim")
def test_a_client_that_vanishes_mid_request(cluster):
    """What it asked for is done, once, and nobody waits for it."""
    spec = oci_spec("c", cluster.rootfs(), ["/bin/sleep", "1000"])
    client = cluster.client()
    client.call("container.create", {**CONTAINER, "spec": json.dumps(spec).encode()}, "default")
    for method, body in (("task.create", {"id": "c"}), ("task.wait", {"id": "c"})):
        rude, ident = Peer(cluster.run), uuid.uuid4().bytes
        rude.send(packed(method=method, id=ident), msgpack.packb(body))
        until(lambda: cluster.status()["shim"].get("in_flight") or client.call("task.list", {}, "default")["tasks"], "it has come")
        rude.close()
    until(lambda: [t["status"] for t in client.call("task.list", {}, "default")["tasks"]] == ["CREATED"], "the task is there")
    client.call("task.start", {"id": "c"}, "default")
    client.call("task.delete", {"id": "c", "force": True}, "default")
    client.call("container.delete", {"id": "c"}, "default")
    topics = [e["topic"] for e in client.call("event.list", {}, "default")["events"]]
    assert topics.count("/tasks/create") == topics.count("/tasks/exit") == 1
    until(lambda: not cluster.status()["shim"].get("in_flight"), "nothing is in hand any more")


def test_a_client_that_never_reads(cluster, peer):
    """Its answers wait for it, up to a limit, and keep nobody else waiting."""
    rude = Peer(cluster.run)
    for _ in range(20000):
        rude.send(packed(id=uuid.uuid4().bytes, method="cluster.status"), NIL)
    for _ in range(50):
        assert peer.ask("container.list", {})[0] == OK
    rude.close()


def test_command_line(cluster):
    for words, sentence in [
        (("run", "--rootfs", "/", "../x", "/bin/true"), "../x"), (("run", "--rootfs", "/", "c" * 77, "/bin/true"), "1-76 letters"),
        (("-n", "../x", "containers", "list"), "../x"), (("run", "--rootfs", "/no/such", "c", "/bin/true"), "/no/such"), (("tasks", "kill", "-s", "BOGUS", "c"), "BOGUS"),
    ]:
        done = cluster.shimctl(*words)
        assert done.returncode != 0 and sentence in done.stderr and done.stderr.count("\n") == 1, (words, done)
    assert cluster.shimctl("containers", "list", "-q").stdout == ""
