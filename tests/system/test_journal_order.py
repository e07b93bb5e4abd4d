"""Every event of a task once and in its order, whatever a shim does with them: the fake shim that reorders,
repeats and drops, and the real one while one in ten of its Forward calls is refused."""

import contextlib
import json
import os
import random
import shutil
import socket
import threading

import pytest
from cluster import BUILD, Refused, until
from raw_ttrpc import RESPONSE, Events, encode, frame, receive_frame

FAKE_SHIM = os.environ.get("SHIMD_FAKE_SHIM_DIR", f"{BUILD}/tests/fake-shim") + "/containerd-shim-fake-v2"
REAL_SHIM = shutil.which("containerd-shim-runc-v2")
TASKS = int(os.environ.get("SHIMD_TASKS", "80"))
OUTAGE_TASKS = int(os.environ.get("SHIMD_OUTAGE_TASKS", "12"))
OUTAGE_SECONDS = float(os.environ.get("SHIMD_OUTAGE_SECONDS", "2"))  # at most; up to 600 is promised
KILLED_TASKS = 8
THREADS = 4
REFUSED_PERCENT = 10
UNAVAILABLE = 14
KILL = 9

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="containers need root")


# What happens ---------------------------------------------------------------------------------------------------

def specification(cluster, name, script, annotations=None):
    """A spec as shimctl makes it."""
    options = [word for pair in (annotations or {}).items() for word in ("--annotation", "=".join(pair))]
    done = cluster.shimctl("containers", "create", *options, "--rootfs", cluster.rootfs(), name, "/bin/sh", "-c", script)
    assert done.returncode == 0, done.stderr
    client = cluster.client()
    spec = json.loads(client.call("container.get", {"id": name}, "default")["spec"])
    client.call("container.delete", {"id": name}, "default")
    return spec


def make_task(client, name, runtime, spec, script):
    spec = json.loads(json.dumps(spec))
    spec["process"]["args"][-1] = script
    spec["linux"]["cgroupsPath"] = os.path.dirname(spec["linux"]["cgroupsPath"]) + "/" + name
    client.call("container.create", {"id": name, "runtime": runtime, "spec": json.dumps(spec).encode()}, "default")
    client.call("task.create", {"id": name}, "default", timeout=60)
    client.call("task.start", {"id": name}, "default", timeout=60)


def run_short(client, name, runtime, spec, code):
    """The codes that its processes must have, by exec id."""
    make_task(client, name, runtime, spec, f"exit {code}")
    assert client.call("task.wait", {"id": name}, "default", timeout=60)["exit_status"] == code
    client.call("task.delete", {"id": name}, "default", timeout=60)
    return {name: [code]}


def run_with_execs(client, name, runtime, spec, code):
    make_task(client, name, runtime, spec, "exec sleep 1000")
    process = {**spec["process"], "args": ["/bin/sh", "-c", f"exit {code}"]}
    for _ in range(2):
        body = {"id": name, "exec_id": "e", "spec": json.dumps(process).encode()}
        client.call("task.exec", body, "default", timeout=60)
        client.call("task.start", {"id": name, "exec_id": "e"}, "default", timeout=60)
        exited = client.call("task.wait", {"id": name, "exec_id": "e"}, "default", timeout=60)
        assert exited["exit_status"] == code
        client.call("task.delete", {"id": name, "exec_id": "e"}, "default", timeout=60)
    client.call("task.pause", {"id": name}, "default", timeout=60)
    client.call("task.resume", {"id": name}, "default", timeout=60)
    client.call("task.kill", {"id": name, "signal": KILL}, "default", timeout=60)
    client.call("task.wait", {"id": name}, "default", timeout=60)
    client.call("task.delete", {"id": name}, "default", timeout=60)
    return {name: [128 + KILL], "e": [code, code]}


# What must be in the journal ------------------------------------------------------------------------------------

def journal(cluster, **more):
    client, events, since = cluster.client(), [], 0
    while True:
        page = client.call("event.list", {"all": True, "since": since, **more})
        events += page["events"]
        since = page["next"]
        if since > page["last"]:
            return events


def story(events, name):
    return [e for e in events if e["topic"].startswith("/tasks/") and e["event"].get("container_id") == name]


def check_story(events, name, codes):
    told = story(events, name)
    shown = [(e["topic"], e["event"].get("id") or e["event"].get("exec_id"), e["origin"], e.get("evidence")) for e in told]
    topics = [e["topic"].rpartition("/")[2] for e in told]
    execs = ["exec-added", "exec-started", "exit"] * len(codes.get("e", []))
    turns = ["paused", "resumed"] if execs else []
    assert topics[:2] + topics[-2:] == ["create", "start", "exit", "delete"], shown
    # Where both were lost, a pause may be told before an exec that came before it.
    assert [topic for topic in topics[2:-2] if topic in turns] == turns, shown
    assert [topic for topic in topics[2:-2] if topic not in turns] == execs, shown
    for process, wanted in codes.items():
        exits = [e["event"] for e in told if e["topic"] == "/tasks/exit" and e["event"]["id"] == process]
        assert [e.get("exit_status", 0) for e in exits] == wanted, exits
        assert not any(e.get("unknown") for e in exits)
    assert all(bool(e.get("evidence")) == (e["origin"] == "shimd") for e in told)
    assert len({e["incarnation"] for e in told}) == 1 and told[0]["incarnation"]


def check_numbers(events):
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    for ns in {e["ns"] for e in events}:
        numbers = [e["ns_seq"] for e in events if e["ns"] == ns]
        assert numbers == list(range(1, len(numbers) + 1))


# The fake shim --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("events", ["reorder", "duplicate", "drop", "none", "drop(/tasks/start)", "drop(/tasks/exit)",
                                    "drop(/tasks/exec-started)", "delay(700)"])
def test_a_misbehaving_shim(cluster, events):
    spec = specification(cluster, "template", "exit 0", {"io.shimd.fake.events": events})
    client = cluster.client()
    codes = {"a": run_short(client, "a", FAKE_SHIM, spec, 3), "b": run_with_execs(client, "b", FAKE_SHIM, spec, 5)}
    told = journal(cluster)
    for name, wanted in codes.items():
        check_story(told, name, wanted)
    check_numbers(told)
    ours = [e["topic"] for e in told if e["origin"] == "shimd" and e["topic"].startswith("/tasks/")]
    assert bool(ours) == (events.startswith(("drop", "none"))), ours
    if events == "duplicate":
        until(lambda: sum(e["topic"] == "/tasks/delete" for e in journal(cluster, raw=True)) >= len(codes), "the last has come")
        aside = journal(cluster, raw=True)
        assert len(aside) >= len(story(told, "a")) and {e["reason"] for e in aside} <= {
            "it is in the journal", "the task has ended", "it came too late"}
        lines = cluster.shimctl("events", "--raw").stdout.splitlines()
        assert len(lines) == len(aside)
        assert all(line.endswith(f"}} # {e['reason']}") for line, e in zip(lines, aside))


def test_metadata_worker_killed_while_events_are_held(cluster):
    """Its successor looks at them again."""
    spec = specification(cluster, "template", "exit 0", {"io.shimd.fake.events": "drop(/tasks/create)"})
    client = cluster.client()
    make_task(client, "a", FAKE_SHIM, spec, "exec sleep 1000")
    cluster.await_successor("metadata", cluster.kill("metadata"))
    told = until(lambda: len(story(journal(cluster), "a")) == 2 and story(journal(cluster), "a"), "the start is released")
    assert [(e["topic"], e["origin"]) for e in told] == [("/tasks/create", "shimd"), ("/tasks/start", "shim")]
    assert told[0]["evidence"].startswith("request ") and told[0]["event"]["pid"] == told[1]["event"]["pid"]


# The real shim --------------------------------------------------------------------------------------------------

class Proxy(Events):
    """Between shims and the cluster: passes Forward calls on, and refuses some."""

    def __init__(self, path, target):
        self.target, self.random, self.refused = target, random.Random(1), 0
        super().__init__(path)

    def serve(self, sock):
        with sock, socket.socket(socket.AF_UNIX) as target:
            try:
                target.connect(self.target)
                while True:
                    stream, kind, body = receive_frame(sock)
                    with self.changed:
                        refuses = self.random.randrange(100) < REFUSED_PERCENT
                        self.refused += refuses
                    if refuses:
                        sock.sendall(frame(stream, RESPONSE, encode({1: {1: UNAVAILABLE, 2: "told to"}})))
                        continue
                    target.sendall(frame(stream, kind, body))
                    sock.sendall(frame(*receive_frame(target)))
            except (EOFError, OSError):
                pass


def proxied_runtime(cluster, proxy):
    """A shim whose events take the way through the proxy."""
    path = cluster.dir / "containerd-shim-proxied-v2"
    path.write_text(f'#!/bin/sh\nTTRPC_ADDRESS={proxy} exec {REAL_SHIM} "$@"\n')
    path.chmod(0o755)
    return str(path)


@pytest.mark.skipif(not REAL_SHIM or not shutil.which("runc"), reason="no containerd-shim-runc-v2 or runc")
def test_one_in_ten_forwards_is_refused(cluster):
    spec = specification(cluster, "template", "exit 0")
    codes, failures = {}, []

    def work(number, runtime):
        client = cluster.client()
        try:
            for i in range(number, TASKS, THREADS):
                run = run_with_execs if i % 10 == 0 else run_short
                codes[f"t{i}"] = run(client, f"t{i}", runtime, spec, i % 256)
        except (Refused, AssertionError) as failure:
            failures.append(failure)

    with Proxy(str(cluster.dir / "proxy.sock"), str(cluster.run / "shim-events.sock")) as proxy:
        runtime = proxied_runtime(cluster, proxy.path)
        threads = [threading.Thread(target=work, args=(i, runtime)) for i in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures, failures
    told = journal(cluster)
    for name, wanted in codes.items():
        check_story(told, name, wanted)
    check_numbers(told)
    assert len(codes) == TASKS and proxy.refused > TASKS // 4


# Outages --------------------------------------------------------------------------------------------------------

class Gate(Proxy):
    """A proxy that can be shut: who is connected is cut off, and who comes is not let in."""

    def __init__(self, path, target):
        self.is_shut, self.open_sockets = False, set()
        super().__init__(path, target)

    def serve(self, sock):
        with self.changed:
            if not self.is_shut:
                self.open_sockets.add(sock)
        if self.is_shut:
            sock.close()
        else:
            super().serve(sock)
        with self.changed:
            self.open_sockets.discard(sock)

    def shut(self):
        with self.changed:
            self.is_shut = True
            for sock in self.open_sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)


def in_threads(cluster, count, run):
    """Runs `run(client, number)` for each number; the answers by number."""
    answers, failures, numbers = {}, [], iter(range(count))

    def work():
        client = cluster.client()
        for number in numbers:
            try:
                answers[number] = run(client, number)
            except (Refused, AssertionError) as failure:
                failures.append(failure)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    return answers


@pytest.mark.skipif(not REAL_SHIM or not shutil.which("runc"), reason="no containerd-shim-runc-v2 or runc")
def test_the_endpoint_is_away_at_random_moments(cluster):
    """Shims give an event up after 50 seconds: what they tell nobody is known from elsewhere."""
    spec, rand, is_over = specification(cluster, "template", "exit 0"), random.Random(2), threading.Event()
    with Gate(str(cluster.dir / "gate.sock"), str(cluster.run / "shim-events.sock")) as gate:
        runtime = proxied_runtime(cluster, gate.path)

        def come_and_go():
            while not is_over.wait(rand.random()):
                gate.shut()
                is_over.wait(1 + rand.random() * (OUTAGE_SECONDS - 1))
                gate.is_shut = False

        outages = threading.Thread(target=come_and_go)
        outages.start()
        try:
            codes = in_threads(cluster, OUTAGE_TASKS, lambda client, i: run_short(client, f"o{i}", runtime, spec, i + 1))
        finally:
            is_over.set()
            outages.join()
    told = journal(cluster)
    for number, wanted in codes.items():
        check_story(told, f"o{number}", wanted)
    check_numbers(told)


@pytest.mark.skipif(not REAL_SHIM or not shutil.which("runc"), reason="no containerd-shim-runc-v2 or runc")
def test_all_are_killed_at_once(fresh_cluster):
    """Containers end while nobody is there to be told, and each end is in the journal once, with its code."""
    cluster, rand = fresh_cluster.start(), random.Random(3)
    spec = specification(cluster, "template", "exit 0")
    names = [f"k{i}" for i in range(KILLED_TASKS)]
    for number, name in enumerate(names):
        make_task(cluster.client(), name, "io.containerd.runc.v2", spec, f"sleep {rand.uniform(0.2, 3):.2f}; exit {number + 1}")
    for _ in range(3):
        pids = [row["pid"] for row in cluster.status().values()]
        for pid in pids:
            os.kill(pid, KILL)
        cluster.stop()
        cluster.start()
    for number, name in enumerate(names):
        client = cluster.client()
        assert client.call("task.wait", {"id": name}, "default", timeout=60)["exit_status"] == number + 1
        client.call("task.delete", {"id": name}, "default", timeout=60)
    told = journal(cluster)
    for number, name in enumerate(names):
        check_story(told, name, {name: [number + 1]})
    check_numbers(told)


# Retention ------------------------------------------------------------------------------------------------------

def test_what_is_gone_is_told(fresh_cluster):
    cluster = fresh_cluster
    cluster.start(config="journal\n    max-events = 100\n    namespaces\n        audit\n            max-events = 1000\n")
    client = cluster.client()
    for number in range(300):
        for ns in ("default", "audit"):
            client.call("event.publish", {"topic": "/my/topic", "type": "my.Type", "event": {"n": number}}, ns)

    def kept(ns):
        return [e["event"]["n"] for e in client.call("event.list", {"limit": 10000}, ns)["events"] if e["topic"] == "/my/topic"]

    until(lambda: len(kept("default")) <= 100, "the journal is trimmed")
    assert kept("default")[-1] == 299 and kept("audit") == list(range(300))
    page = client.call("event.list", {"since": 1, "limit": 1}, "default")
    assert page["gap"] and page["gone"] < page["last"]
    assert not client.call("event.list", {"since": page["gone"] + 1}, "default").get("gap")
    assert not client.call("event.list", {"since": 1}, "audit").get("gap")
    done = cluster.shimctl("-n", "default", "events", "--since", "1", "--until", "now")
    assert done.returncode == 0 and "no longer" in done.stderr, done.stderr
    cluster.await_successor("metadata", cluster.kill("metadata"))
    seq = client.call("event.publish", {"topic": "/my/topic", "type": "my.Type", "event": {"n": 300}}, "default")["seq"]
    assert seq == page["last"] + 1
