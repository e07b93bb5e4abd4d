"""The metadata worker behind the real broker: what it answered is true after any kill, and shims' events are
in the journal before they are acknowledged."""

import collections
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import uuid

import msgpack
import pytest
import zmq

from broker_cell import BIN, LAUNCH, WAIT_SECONDS, Cell, until

OK, INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, RESOURCE_EXHAUSTED, FAILED_PRECONDITION = 0, 3, 5, 6, 8, 9
UNIMPLEMENTED = 12
CRASH_ROUNDS = 15
SPEC = b'{"ociVersion":"1.0.2"}'
CONTAINER = {"runtime": "io.containerd.runc.v2", "spec": SPEC}


# ttrpc and protobuf, as much as a shim's event publisher needs --------------------------------------------------

def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def envelope(ns, topic, type_url, message, nanoseconds):
    timestamp = field(1, nanoseconds // 10**9) + field(2, nanoseconds % 10**9)
    return field(1, timestamp) + field(2, ns) + field(3, topic) + field(4, field(1, type_url) + field(2, message))


def task_event(ns, topic, ident, pid=0, exec_id=None, code=0, when=None):
    """An encoded ForwardRequest."""
    names = {"create": ("TaskCreate", 6), "start": ("TaskStart", 2), "exit": ("TaskExit", 3), "delete": ("TaskDelete", 2),
             "paused": ("TaskPaused", 0)}
    name, pid_field = names[topic]
    message = field(1, ident)
    if topic == "exit":
        message += field(2, exec_id or ident)
    if pid_field:
        message += field(pid_field, pid)
    if topic == "exit":
        message += field(4, code)
    return field(1, envelope(ns, f"/tasks/{topic}", f"containerd.events.{name}", message, when or time.time_ns()))


class Shim:
    """A connection to shim-events.sock that sends Forward calls and matches their replies."""

    def __init__(self, cell):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(cell.run / "shim-events.sock"))
        self.stream = -1
        self.data = b""
        self.replies = {}

    def send(self, payload, method="Forward", service="containerd.services.events.ttrpc.v1.Events"):
        self.stream += 2
        body = field(1, service) + field(2, method) + field(3, payload)
        self.socket.sendall(struct.pack(">IIBB", len(body), self.stream, 1, 0) + body)
        return self.stream

    def receive(self, seconds):
        """Takes in replies; False when none came. EOFError when the worker is gone."""
        self.socket.settimeout(max(seconds, 0.001))
        try:
            data = self.socket.recv(1 << 16)
        except (TimeoutError, BlockingIOError):
            return False
        except ConnectionResetError as gone:
            raise EOFError from gone
        if not data:
            raise EOFError
        self.data += data
        while len(self.data) >= 10:
            size, stream, kind, _ = struct.unpack(">IIBB", self.data[:10])
            if len(self.data) < 10 + size:
                break
            assert kind == 2
            self.replies[stream] = self.data[10:10 + size]
            self.data = self.data[10 + size:]
        return True

    def reply(self, stream, seconds=WAIT_SECONDS):
        end = time.monotonic() + seconds
        while stream not in self.replies:
            assert self.receive(end - time.monotonic()) or time.monotonic() < end, "no reply"
        return self.replies.pop(stream)

    def forward(self, payload):
        assert self.reply(self.send(payload)) == b""


# The cell -------------------------------------------------------------------------------------------------------

class MetadataCell(Cell):
    def __init__(self, root_size=None):
        super().__init__()
        self.root = self.run / "root"
        self.root.mkdir()
        self.mounted = root_size and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={root_size}", "tmpfs", str(self.root)], check=False).returncode == 0
        self.shim_listener = socket.socket(socket.AF_UNIX)
        self.shim_listener.bind(str(self.run / "shim-events.sock"))
        self.shim_listener.listen(128)
        self.worker = None
        self.inside = self.peer("worker.sock")
        self.start_worker()

    def start_worker(self):
        fd = self.shim_listener.fileno()
        command = [str(BIN / "shimd-metadata"), "--run-dir", str(self.run), "--root-dir", str(self.root)]
        ready, told = os.pipe()
        env = {**os.environ, "LISTEN_FDNAMES": "shim-events.sock", "SHIMD_READY_FD": str(told)}
        self.worker = subprocess.Popen([sys.executable, "-c", LAUNCH, str(fd), *command], pass_fds=[fd, told], env=env,
                                       stderr=self.log)
        os.close(told)
        said = os.read(ready, 1)
        os.close(ready)
        assert said == b"\n", (self.run / "log").read_text()

    def kill_worker(self):
        """As the supervisor does it: the broker is told, then a successor is started."""
        self.worker.kill()
        self.worker.wait()
        self.exited(self.worker.pid, "metadata")
        self.start_worker()

    def ok(self, method, body=None, **more):
        peer = self.inside if method.startswith(("incarnation", "request.record")) else self.client
        status, message, answer = peer.ask(method, body, **more)
        assert status == OK, f"{method}: {status} {message}"
        return answer

    def journal(self):
        events, since = [], 0
        while True:
            page = self.ok("event.list", {"all": True, "since": since})
            events += page["events"]
            since = page["next"]
            if since > page["last"]:
                return events

    def story(self, ident):
        return [(e["topic"], e["origin"], e["incarnation"][:1]) for e in self.journal()
                if e["event"].get("container_id") == ident]

    def begin(self, ident, ns="default"):
        incarnation = str(uuid.uuid4())
        self.ok("container.create", {"id": ident, **CONTAINER}, ns=ns)
        self.ok("incarnation.begin", {"id": ident, "incarnation": incarnation}, ns=ns)
        return incarnation

    def stop(self):
        self.worker.terminate()
        code = self.worker.wait(WAIT_SECONDS)
        self.shim_listener.close()
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.root)], check=True)
        text = (self.run / "log").read_text()
        super().stop()
        assert code == 0, text


@pytest.fixture
def cell():
    made = MetadataCell()
    yield made
    made.stop()


# Requests -------------------------------------------------------------------------------------------------------

def test_records_and_their_events(cell):
    labels = {"a": "b"}
    record = cell.ok("container.create", {"id": "c1", "image": "busybox", "labels": labels, **CONTAINER}, ns="ns1")
    assert record["labels"] == labels and "spec" not in record
    assert cell.ok("container.get", {"id": "c1"}, ns="ns1")["spec"] == SPEC
    assert [row["name"] for row in cell.ok("namespace.list")["namespaces"]] == ["ns1"]
    assert cell.client.ask("namespace.delete", {"name": "ns1"})[:2] == (
        FAILED_PRECONDITION, 'namespace "ns1" must be empty, but it still has containers')
    cell.ok("container.delete", {"id": "c1"}, ns="ns1")
    assert cell.client.ask("container.get", {"id": "c1"}, ns="ns1")[:2] == (
        NOT_FOUND, 'container "c1" in namespace "ns1": not found')
    cell.ok("namespace.delete", {"name": "ns1"})
    assert [e["topic"] for e in cell.journal()] == [
        "/namespaces/create", "/containers/create", "/containers/delete", "/namespaces/delete"]


def test_bad_requests_are_refused_and_the_next_is_served(cell):
    def refused(method, body, **more):
        status, message, _ = cell.client.ask(method, body, **more)
        assert status == INVALID_ARGUMENT, message
        return message

    assert "namespace is missing" in refused("container.create", {"id": "c1", **CONTAINER})
    assert "identifier" in refused("container.create", {"id": "c1", **CONTAINER}, ns="../x")
    for ident in ["../x", "", "x" * 77, "a\0b", "a\n", "-a"]:
        assert "id" in refused("container.create", {"id": ident, **CONTAINER}, ns="default")
    assert "spec is not JSON" in refused("container.create", {"id": "c1", "runtime": "a.b", "spec": b"{"}, ns="default")
    assert "invalid runtime name runc" in refused("container.create", {"id": "c1", "runtime": "runc", "spec": SPEC}, ns="default")
    assert "labels" in refused("container.create", {"id": "c1", "labels": {"k": "v" * 4096}, **CONTAINER}, ns="default")
    assert "must start with '/'" in refused("event.publish", {"topic": "a", "type": "t", "event": {}}, ns="default")
    assert "not a map" in refused("event.publish", {"topic": "/a", "type": "t", "event": 1}, ns="default")
    assert "is not a UUID" in cell.inside.ask("incarnation.begin", {"id": "c", "incarnation": "x"}, ns="default")[1]
    cell.ok("container.create", {"id": "c1", **CONTAINER}, ns="default")


def test_an_id_runs_once(cell):
    ident = uuid.uuid4().bytes
    body = {"id": "c1", **CONTAINER}
    first = cell.client.ask("container.create", body, ident=ident, ns="default")
    assert first[0] == OK
    assert cell.client.ask("container.create", body, ident=ident, ns="default") == first
    cell.kill_worker()
    assert cell.client.ask("container.create", body, ident=ident, ns="default") == first
    assert cell.client.ask("container.create", body, ns="default")[0] == ALREADY_EXISTS
    outcome = cell.ok("request.get", {"id": ident})
    assert (outcome["method"], outcome["state"], outcome["status"]) == ("container.create", "done", OK)
    assert outcome["peer"]["uid"] == os.getuid() and outcome["peer"]["pid"] == os.getpid()
    assert msgpack.unpackb(outcome["answer"]) == first[2]
    refused = uuid.uuid4().bytes
    assert cell.client.ask("container.create", {"id": "c2", "runtime": "x", "spec": SPEC}, ident=refused, ns="default")[0] == 3
    assert cell.ok("request.get", {"id": refused})["status"] == INVALID_ARGUMENT
    assert cell.client.ask("request.get", {"id": uuid.uuid4().bytes})[0] == NOT_FOUND


# Events ---------------------------------------------------------------------------------------------------------

def test_published_as_journalled_and_sync(cell):
    subscriber = cell.context.socket(zmq.SUB)
    subscriber.connect(f"ipc://{cell.run}/events.sock")
    for prefix in (b"ns1/", b".sync"):
        subscriber.subscribe(prefix)

    def receive(seconds=WAIT_SECONDS):
        assert subscriber.poll(seconds * 1000), "nothing published"
        key, event = subscriber.recv_multipart()
        return key.decode(), msgpack.unpackb(event)

    while receive()[0] != ".sync":  # the subscription has come through
        pass
    cell.ok("event.publish", {"topic": "/x", "type": "t", "event": {"k": [1, {}]}}, ns="ns1")
    cell.ok("event.publish", {"topic": "/x", "type": "t", "event": {}}, ns="ns2")
    got = [receive()]
    while got[-1][0] != ".sync" or got[-1][1]["seq"] < 2:
        got.append(receive())
    events = [row for row in got if row[0] != ".sync"]
    assert events == [("ns1/x", cell.journal()[0])]
    assert events[0][1]["event"] == {"k": [1, {}]} and events[0][1]["origin"] == "client"
    before = time.monotonic()
    assert [receive() for _ in range(5)] == [(".sync", {"seq": 2})] * 5
    assert 0.5 < time.monotonic() - before


def test_forward_is_journalled_decoded_and_acknowledged(cell):
    incarnation = cell.begin("c1")
    shim = Shim(cell)
    when = time.time_ns()
    shim.forward(task_event("default", "create", "c1", 77))
    shim.forward(task_event("default", "start", "c1", 77))
    shim.forward(task_event("default", "exit", "c1", 77, code=7, when=when))
    shim.forward(task_event("default", "exit", "c1", 77, code=7, when=when))
    shim.forward(field(1, envelope("default", "/my/topic", "my.Unknown", b"\x08\x01", when)))
    events = [e for e in cell.journal() if e["origin"] == "shim"]
    assert [e["topic"] for e in events] == ["/tasks/create", "/tasks/start", "/tasks/exit", "/my/topic"]
    assert events[2] == {"seq": 5, "ns_seq": 5, "prev": 4, "time": when, "ns": "default", "topic": "/tasks/exit",
                         "type": "containerd.events.TaskExit", "origin": "shim", "incarnation": incarnation,
                         "event": {"container_id": "c1", "id": "c1", "pid": 77, "exit_status": 7}}
    assert events[3]["raw"] == b"\x08\x01" and events[3]["type"] == "my.Unknown" and "event" not in events[3]


def test_bad_forwards_are_acknowledged_and_dropped(cell):
    shim = Shim(cell)
    now = time.time_ns()
    for bad in [b"", b"\xff", field(1, b""), field(1, envelope("../x", "/a", "t", b"", now)),
                field(1, envelope("default", "a", "t", b"", now)), field(1, envelope("default", "/a", "t", b"x" * (2 << 20), now))]:
        shim.forward(bad)
    assert cell.journal() == []
    assert field(1, UNIMPLEMENTED) in shim.reply(shim.send(b"", method="Other"))
    assert field(1, UNIMPLEMENTED) in shim.reply(shim.send(b"", service="other.Service"))
    shim.forward(task_event("default", "exit", "stranger", 5))
    assert [e["incarnation"] for e in cell.journal()] == [""]


def test_end_waits_for_the_shim(cell):
    taken = []
    for name in ("c1", "c2", "c3"):
        incarnation = cell.begin(name)
        shim = Shim(cell)
        for topic in ("create", "start"):
            shim.forward(task_event("default", topic, name, 77))
        end = {"id": name, "incarnation": incarnation, "pid": 77, "exit_status": 7, "exited_at": 5}
        ident = cell.inside.send("incarnation.end", end, ns="default")
        assert cell.client.ask("container.delete", {"id": name}, ns="default")[0] == FAILED_PRECONDITION
        shim.forward(task_event("default", "exit", name, 77, code=7))
        assert ident not in cell.inside.answers
        before = time.monotonic()
        shim.forward(task_event("default", "delete", name, 77))
        assert cell.inside.answer(ident)[0] == OK
        taken.append(time.monotonic() - before)
        assert [row[1] for row in cell.story(name)] == ["shim"] * 4
        assert cell.ok("exit.get", {"id": name}, ns="default")["exit_status"] == 7
        cell.ok("container.delete", {"id": name}, ns="default")
        assert cell.ok("exit.get", {"id": name}, ns="default")["exit_status"] == 7
    assert min(taken) < 0.5, "it waits for events that it has"


def test_end_writes_what_does_not_come(cell):
    incarnation = cell.begin("c1")
    shim = Shim(cell)
    for topic in ("create", "start"):
        shim.forward(task_event("default", topic, "c1", 77))
    end = {"id": "c1", "incarnation": incarnation, "pid": 77, "exit_status": 7, "exited_at": 5}
    before = time.monotonic()
    cell.ok("incarnation.end", end, ns="default")
    assert 1.3 < time.monotonic() - before
    assert [row[:2] for row in cell.story("c1")] == [
        ("/tasks/create", "shim"), ("/tasks/start", "shim"), ("/tasks/exit", "shimd"), ("/tasks/delete", "shimd")]
    shim.forward(task_event("default", "delete", "c1", 77))
    assert len(cell.story("c1")) == 4

    taken = []
    for name in ("c2", "c3", "c4"):
        lost = {"id": name, "incarnation": cell.begin(name)}
        before = time.monotonic()
        cell.ok("incarnation.end", {**lost, "pid": 5, "shim_lost": True, "unknown": True}, ns="default")
        cell.ok("incarnation.end", lost, ns="default")
        taken.append(time.monotonic() - before)
        assert [row[:2] for row in cell.story(name)] == [
            ("/tasks/create", "shimd"), ("/tasks/exit", "shimd"), ("/tasks/delete", "shimd")]
    assert min(taken) < 0.7, "it waits for a shim that is lost"


# Trouble --------------------------------------------------------------------------------------------------------

def test_killed_at_any_moment(cell):
    """Nothing that was answered or acknowledged is lost, nothing is there twice, and no number is missing."""
    def collect(asked):
        for name, ident in asked:
            status, message, _ = cell.client.answer(ident)
            assert status == OK, message  # exactly once: a second run would say ALREADY_EXISTS
            created.add(name)

    rand = random.Random(int(os.environ.get("SHIMD_SEED", "1")))
    created, acknowledged = set(), set()
    asked = [[], []]  # by round
    shim, count, sent = None, 0, {}
    for _ in range(CRASH_ROUNDS):
        asked.append([])
        for _ in range(rand.randrange(5, 40)):
            count += 1
            asked[-1].append((f"c{count}", cell.client.send("container.create", {"id": f"c{count}", **CONTAINER}, ns="default")))
            shim = shim or Shim(cell)
            payload = task_event("default", "exit", f"e{count}", count)
            try:
                sent[shim.send(payload)] = f"e{count}"
                while rand.random() < 0.5:
                    shim.receive(0.001)
                acknowledged |= {sent.pop(stream) for stream in list(sent) if stream in shim.replies}
            except (EOFError, OSError):
                shim, sent = None, {}
        time.sleep(rand.random() * 0.01)
        collect(asked.pop(0))  # a request that takes three workers with it is set aside
        cell.kill_worker()
        shim, sent = None, {}
    for rest in asked:
        collect(rest)
    events = cell.journal()
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    made = collections.Counter(e["event"]["id"] for e in events if e["topic"] == "/containers/create")
    assert set(made) == created and set(made.values()) == {1}
    told = {e["event"]["container_id"] for e in events if e["topic"] == "/tasks/exit"}
    assert acknowledged and acknowledged <= told


def test_broker_is_killed(cell):
    """Workers and publishers find its successor by themselves."""
    subscriber = cell.context.socket(zmq.SUB)
    subscriber.connect(f"ipc://{cell.run}/events.sock")
    subscriber.subscribe(b"")
    subscriber.rcvtimeo = WAIT_SECONDS * 1000
    for number in range(1, 4):
        while subscriber.recv_multipart()[0] != b".sync":
            pass
        cell.ok("event.publish", {"topic": "/x", "type": "t", "event": {}}, ns="default")
        key, event = subscriber.recv_multipart()
        while key == b".sync":
            key, event = subscriber.recv_multipart()
        assert (key, msgpack.unpackb(event)["seq"]) == (b"default/x", number)
        cell.kill()
        cell.start()


def test_term_answers_first(cell):
    idents = [cell.client.send("container.create", {"id": f"c{i}", **CONTAINER}, ns="default") for i in range(50)]
    cell.worker.terminate()
    assert cell.worker.wait(WAIT_SECONDS) == 0
    cell.exited(cell.worker.pid, "metadata")
    cell.start_worker()
    assert [cell.client.answer(ident)[0] for ident in idents] == [OK] * 50


def test_full_disk():
    cell = MetadataCell(root_size="2m")
    if not cell.mounted:
        cell.stop()
        pytest.skip("CANNOT MOUNT A SMALL TMPFS: run as root")
    try:
        cell.ok("container.create", {"id": "before", **CONTAINER}, ns="default")
        shim = Shim(cell)
        filler = cell.root / "filler"
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass
        answers = [cell.client.ask("container.create", {"id": f"c{i}", **CONTAINER}, ns="default") for i in range(60)]
        full = [message for status, message, _ in answers if status != OK]
        assert full and all("No space left on device" in message for message in full)
        assert {status for status, _, _ in answers} <= {OK, RESOURCE_EXHAUSTED}
        streams = [shim.send(task_event("default", "exit", f"e{i}", i)) for i in range(100)]
        while shim.receive(0.3):
            pass
        assert len(shim.replies) < 100
        assert all(reply == b"" for reply in shim.replies.values())
        cell.ok("container.get", {"id": "before"}, ns="default")
        filler.unlink()
        for stream in streams:
            assert shim.reply(stream) == b""
        cell.ok("container.create", {"id": "after", **CONTAINER}, ns="default")
        names = [row["id"] for row in cell.ok("container.list", {}, ns="default")["containers"]]
        assert sorted(names) == sorted(["before", "after"] + [f"c{i}" for i, answer in enumerate(answers) if answer[0] == OK])
        exits = [e["event"]["container_id"] for e in cell.journal() if e["topic"] == "/tasks/exit"]
        assert exits == [f"e{i}" for i in range(100)]
    finally:
        cell.stop()


def test_makes_its_own_socket_and_directories():
    run = tempfile.mkdtemp(prefix="shimd-")
    try:
        ready, told = os.pipe()
        command = [str(BIN / "shimd-metadata"), "--run-dir", run, "--root-dir", f"{run}/root"]
        worker = subprocess.Popen(command, pass_fds=[told], env={**os.environ, "SHIMD_READY_FD": str(told)})
        os.close(told)
        assert os.read(ready, 1) == b"\n"
        os.close(ready)
        assert os.stat(f"{run}/shim-events.sock").st_mode & 0o777 == 0o600
        assert os.stat(f"{run}/root/metadata").st_mode & 0o777 == 0o700
        worker.terminate()
        assert worker.wait(WAIT_SECONDS) == 0
    finally:
        shutil.rmtree(run)


def test_memory_stays_small(cell):
    if any(name in (BIN / "shimd-metadata").read_bytes() for name in (b"__asan_init", b"__tsan_init")):
        return  # a sanitizer's allocator gives nothing back

    def resident():
        with open(f"/proc/{cell.worker.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))

    cell.ok("container.create", {"id": "c", **CONTAINER}, ns="default")
    before = resident()
    body = {"topic": "/x", "type": "t", "event": {}}
    for ident in [cell.client.send("event.publish", body, ns="default") for _ in range(5000)]:
        assert cell.client.answer(ident)[0] == OK
    until(lambda: resident() - before < 3000, "memory is given back")
