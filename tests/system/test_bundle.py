"""The bundle worker behind the real broker, asked as the shim worker asks it, and killed at any moment."""

import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import time
import uuid

import msgpack
import pytest
import zmq

SOURCE = pathlib.Path(__file__).parents[2]
BIN = pathlib.Path(os.environ.get("SHIMD_BUILD_DIR") or SOURCE / "build") / "bin"
WAIT_SECONDS = 30
OK, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, ALREADY_EXISTS = 0, 3, 4, 5, 6
SPEC = b'{"ociVersion":"1.0.2"}'
CRASH_ROUNDS, CRASH_BUNDLES = 12, 30


def until(condition, what):
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError(f"not within {WAIT_SECONDS} s: {what}")


def can_mount():
    return subprocess.run(["unshare", "-m", "true"], check=False).returncode == 0


needs_mounts = pytest.mark.skipif(not can_mount(), reason="NO MOUNT NAMESPACE OF OUR OWN: run as root")


class Cell:
    """A broker, a bundle worker in a mount namespace of its own, and a socket that asks."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="shimd-"))
        self.run, self.root = self.dir / "run", self.dir / "root"
        self.run.mkdir()
        self.root.mkdir()
        self.log = open(self.dir / "log", "wb")
        self.answers = {}
        self.broker = self.start("shimd-broker")
        self.worker = None
        until((self.run / "worker.sock").exists, "the broker listens")
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(f"ipc://{self.run}/worker.sock")

    def start(self, name, *prefix):
        dirs = ["--run-dir", str(self.run), "--root-dir", str(self.root)]
        return subprocess.Popen([*prefix, str(BIN / name), *dirs], stderr=self.log)

    def start_worker(self, in_namespace_of=None):
        own = ["unshare", "-m", "--propagation", "private"] if can_mount() else []
        if in_namespace_of:
            own = ["nsenter", "-t", str(in_namespace_of), "-m"]
        self.worker = self.start("shimd-bundle", *own)

    def kill_worker(self):
        """As the supervisor does it: the broker is told."""
        self.worker.kill()
        self.worker.wait()
        self.send("worker.exited", {"service": "bundle", "pid": self.worker.pid, "obituary": "killed"})

    def mount(self, *arguments):
        enter = ["nsenter", "-t", str(self.worker.pid), "-m"]
        subprocess.run([*enter, *arguments], check=True)

    def send(self, method, body, ns="default", seconds=WAIT_SECONDS):
        ident = uuid.uuid4().bytes
        deadline = int((time.time() + seconds) * 1000)
        header = {"v": 1, "id": ident, "method": method, "deadline": deadline}
        if ns:
            header["ns"] = ns
        self.socket.send_multipart([msgpack.packb(header), msgpack.packb(body)])
        return ident

    def answer(self, ident):
        """Status, sentence and body."""
        end = time.monotonic() + WAIT_SECONDS + 5
        while ident not in self.answers:
            left = end - time.monotonic()
            assert left > 0 and self.socket.poll(left * 1000), "no answer"
            header, body = self.socket.recv_multipart()
            header = msgpack.unpackb(header)
            if "method" in header:  # the broker asks who we are
                continue
            self.answers[header["id"]] = (header["status"], header["message"],
                                          msgpack.unpackb(body))
        return self.answers.pop(ident)

    def ask(self, method, body=None, **more):
        return self.answer(self.send(method, body or {}, **more))

    def create(self, name, incarnation=None, **more):
        body = {"id": name, "incarnation": incarnation or str(uuid.uuid4()), "spec": SPEC}
        return self.ask("bundle.create", body, **more)

    def listed(self):
        status, message, body = self.ask("bundle.list", ns=None)
        assert status == OK, message
        return body.get("bundles", [])

    def debts(self):
        return self.ask("bundle.list", {}, ns=None)[2].get("debts", [])

    def left(self):
        """All that is below the two task directories, namespaces' own directories not counted."""
        found = [*(self.run / "task").glob("*/*"), *(self.root / "task").glob("*/*")]
        return sorted(str(path.relative_to(self.dir)) for path in found)

    def stop(self):
        for process in (self.worker, self.broker):
            if process:
                process.terminate()
                assert process.wait(WAIT_SECONDS) == 0
        self.socket.close()
        self.context.term()
        self.log.close()
        shutil.rmtree(self.dir)


@pytest.fixture
def cell():
    self = Cell()
    self.start_worker()
    yield self
    self.stop()


def test_life_of_a_bundle(cell):
    first = str(uuid.uuid4())
    status, message, bundle = cell.create("a", first)
    assert status == OK, message
    path = cell.run / "task/default/a"
    assert bundle.get("empty", False) is False
    bundle.pop("empty", None)
    assert bundle == {"ns": "default", "id": "a", "path": str(path), "incarnation": first,
                      "work": str(cell.root / "task/default/a")}
    assert (path / "config.json").read_bytes() == SPEC
    assert cell.create("a", first) == (OK, "", bundle)
    assert cell.create("a")[:2] == (ALREADY_EXISTS, "bundle a: already exists")
    assert cell.ask("bundle.get", {"id": "a"})[2] == bundle
    assert cell.listed() == [bundle]
    other = {"id": "a", "incarnation": str(uuid.uuid4())}
    assert cell.ask("bundle.delete", other)[0] == NOT_FOUND
    assert cell.ask("bundle.delete", {"id": "a", "incarnation": first})[:2] == (OK, "")
    assert cell.ask("bundle.get", {"id": "a"})[0] == NOT_FOUND
    assert cell.ask("bundle.delete", {"id": "a"})[0] == NOT_FOUND
    assert not cell.left()


def test_bad_requests(cell):
    for name in ("../x", "", "a/b", ".a", "a" * 77, "a\n", "a\0b"):
        assert cell.create(name)[0] == INVALID_ARGUMENT
        assert cell.ask("bundle.delete", {"id": name})[0] == INVALID_ARGUMENT
        assert cell.ask("bundle.quarantine", {"id": name + "/..", "why": "x"})[0] == INVALID_ARGUMENT
    assert cell.create("a", "no uuid")[0] == INVALID_ARGUMENT
    assert cell.create("a", ns=None)[0] == INVALID_ARGUMENT
    assert cell.create("a", ns="../../x")[0] == INVALID_ARGUMENT
    body = {"id": "a", "incarnation": str(uuid.uuid4()), "spec": b"no JSON"}
    status, message, _ = cell.ask("bundle.create", body)
    assert (status, message[:9]) == (INVALID_ARGUMENT, "bundle a:")
    assert not cell.left()


def test_damaged_and_set_aside(cell):
    cell.create("a")
    (cell.run / "task/default/a/config.json").unlink()
    (cell.run / "task/default/empty").mkdir()
    assert [(b["id"], b.get("empty", False), "incarnation" in b) for b in cell.listed()] == [
        ("a", False, False), ("empty", True, False)]
    assert cell.ask("bundle.quarantine", {"id": "a", "why": "no configuration"})[0] == OK
    assert cell.ask("bundle.quarantine", {"id": "a", "why": "no configuration"})[0] == NOT_FOUND
    aside = [b for b in cell.listed() if "quarantined" in b]
    assert [b["quarantined"] for b in aside] == ["no configuration"]
    assert (pathlib.Path(aside[0]["path"]) / "incarnation").exists()
    assert cell.create("a")[0] == OK


@needs_mounts
def test_busy_mount_holds_up_nobody_else(cell):
    precious = cell.dir / "precious"
    precious.mkdir()
    (precious / "file").write_text("precious")
    for name in ("busy", "mounted", "plain"):
        cell.create(name)
    for name in ("busy", "mounted"):
        cell.mount("mount", "--bind", str(precious), str(cell.run / f"task/default/{name}/rootfs"))
    rootfs = cell.run / "task/default/busy/rootfs"
    enter = ["nsenter", "-t", str(cell.worker.pid), "-m"]
    hold = "cd $0 && echo held && exec sleep 1000"
    holder = subprocess.Popen([*enter, "sh", "-c", hold, str(rootfs)], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"

    busy = cell.send("bundle.delete", {"id": "busy"})
    assert cell.ask("bundle.delete", {"id": "plain"})[0] == OK
    assert cell.ask("bundle.delete", {"id": "mounted"})[0] == OK
    assert cell.create("busy")[0] == OK
    assert busy not in cell.answers
    assert cell.answer(busy)[:2] == (OK, "")
    assert ["busy"] == [b["id"] for b in cell.listed()]
    (debt,) = cell.debts()
    hidden = pathlib.Path(debt["path"])
    assert debt["id"] == "busy" and hidden.name.startswith(".busy.del-")
    assert debt["debt"].startswith(f"unmount {hidden}/rootfs: Device or resource busy (deleted at ")
    # Found again by the next worker, which does not know why yet.
    cell.kill_worker()
    cell.start_worker(in_namespace_of=holder.pid)
    until(lambda: [d["path"] for d in cell.debts()] == [debt["path"]], "the debt is found again")
    assert cell.ask("bundle.delete", {"id": "busy"})[0] == OK
    holder.kill()
    holder.wait()
    holder.stdout.close()
    until(lambda: not cell.debts(), "the debt is gone")
    assert (precious / "file").read_text() == "precious"
    assert not cell.left()


def test_left_overs_go_by_themselves(cell):
    cell.create("a")
    cell.kill_worker()
    for name in (f".x.new-{uuid.uuid4()}", f".x.del-{uuid.uuid4()}"):
        (cell.run / "task/default" / name / "rootfs").mkdir(parents=True)
    (cell.root / "task/gone/x/deep").mkdir(parents=True)
    cell.start_worker()
    whole = ["root/task/default/a", "run/task/default/a"]
    until(lambda: cell.left() == whole, "left-overs are removed")
    (cell.root / "task/default/stale/deep").mkdir(parents=True)
    assert cell.ask("bundle.sweep", ns=None)[0] == OK
    until(lambda: cell.left() == whole, "left-overs are removed")
    # A stale work directory is replaced at once and removed later.
    (cell.root / "task/default/b/deep").mkdir(parents=True)
    assert cell.create("b")[0] == OK
    assert not list((cell.root / "task/default/b").iterdir())
    until(lambda: len(cell.left()) == 2 * len(cell.listed()), "the stale work directory is removed")


def test_killed_at_any_moment(cell):
    """Every request is answered, as if nobody had been killed, and nothing is left."""
    dice = random.Random(7)
    for _ in range(CRASH_ROUNDS):
        runs = {f"c{i}": str(uuid.uuid4()) for i in range(CRASH_BUNDLES)}
        asked = [cell.send("bundle.create", {"id": n, "incarnation": u, "spec": SPEC})
                 for n, u in runs.items()]
        time.sleep(dice.random() * 0.01)
        cell.kill_worker()
        cell.start_worker()
        assert [cell.answer(a)[:2] for a in asked] == [(OK, "")] * CRASH_BUNDLES
        assert {b["id"]: b["incarnation"] for b in cell.listed()} == runs
        for name in list(runs)[::3]:  # these are for children to remove
            (cell.root / "task/default" / name / "deep/er").mkdir(parents=True)
        asked = [cell.send("bundle.delete", {"id": n, "incarnation": u}) for n, u in runs.items()]
        time.sleep(dice.random() * 0.01)
        cell.kill_worker()
        cell.start_worker()
        assert [cell.answer(a)[:2] for a in asked] == [(OK, "")] * CRASH_BUNDLES
        assert cell.ask("bundle.sweep", ns=None)[0] == OK
        until(lambda: not cell.left(), "nothing is left")
