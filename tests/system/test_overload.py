"""More clients and more work than the machine can do at once: nothing fails for a lock or for want of room, memory
is bounded, and what must not wait (kill, delete, questions) hardly does."""

import concurrent.futures
import contextlib
import os
import pathlib
import statistics
import threading
import time
import uuid

import msgpack
import pytest
import zmq
from cluster import Client, Refused, sanitized, until
from fake_containers import CONFIG, Containers, shim_path

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="containers need root")

CLIENTS = 800
CREATES = 5000
URGENT = 20  # kills and deletes that are measured
LATER_MS = 1000  # that they may take longer than without load, at the median, on a machine with other work as well
MEMORY_MB = 1024 if sanitized() else 256  # of all processes together; a sanitizer keeps what was freed
PATIENCE = 3600  # seconds of the creates' deadline: they are what waits


def resident_mb(cluster):
    pages = sum(int(pathlib.Path(f"/proc/{row['pid']}/statm").read_text().split()[1]) for row in cluster.status().values())
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Crowd:
    """Connections of their own, served by one thread: each asks, and counts what it is told."""

    def __init__(self, cluster, count):
        self.context = zmq.Context()
        self.context.set(zmq.MAX_SOCKETS, count + 10)
        self.poller = zmq.Poller()
        self.sockets = []
        for _ in range(count):
            socket = self.context.socket(zmq.DEALER)
            socket.linger = 0
            socket.connect(f"ipc://{cluster.run}/client.sock")
            self.poller.register(socket, zmq.POLLIN)
            self.sockets.append(socket)
        self.answers = []

    def ask(self, number, method, body):
        deadline = int((time.time() + PATIENCE) * 1000)
        header = {"v": 1, "id": uuid.uuid4().bytes, "method": method, "ns": "default", "deadline": deadline}
        self.sockets[number % len(self.sockets)].send_multipart([msgpack.packb(header), msgpack.packb(body)])

    def receive(self, seconds):
        for socket, _ in self.poller.poll(seconds * 1000):
            while socket.poll(0):
                header, body = map(msgpack.unpackb, socket.recv_multipart())
                self.answers.append((header["status"], header["message"], body))

    def await_answers(self, count, seconds=60):
        until(lambda: self.receive(0.1) or len(self.answers) >= count, f"{count} answers", seconds)
        return self.answers

    def close(self):
        self.context.destroy(linger=0)


def measured(containers, names):
    """Median milliseconds of a question about one task and about all, of a kill, and of the delete that follows."""
    steps = [("task.get", {}), ("task.list", {}), ("task.kill", {"signal": 9, "all": True}),
             ("task.delete", {"force": True})]
    times = {method: [] for method, _ in steps}
    for name in names:
        for method, more in steps:
            begun = time.monotonic()
            containers.call(method, name, **more)
            times[method].append((time.monotonic() - begun) * 1e3)
    return {method: statistics.median(taken) for method, taken in times.items()}


def test_eight_hundred_clients_at_once(cluster):
    crowd = Crowd(cluster, CLIENTS)
    try:
        for number in range(CLIENTS):
            record = {"id": f"c{number}", "runtime": "io.containerd.runc.v2", "spec": b"{}"}
            crowd.ask(number, "container.create", record)
            crowd.ask(number, "container.list", {})
            crowd.ask(number, "task.list", {})
        answers = crowd.await_answers(3 * CLIENTS)
        assert {(status, message) for status, message, _ in answers} == {(0, "")}
        assert len(cluster.client().call("container.list", {"limit": 10000}, "default")["containers"]) == CLIENTS
        assert resident_mb(cluster) < MEMORY_MB
    finally:
        crowd.close()


def test_questions_kill_and_delete_go_ahead_of_five_thousand_creates(fresh_cluster):
    containers = Containers(fresh_cluster.start(config=CONFIG))
    idle, busy = [f"idle{n}" for n in range(URGENT)], [f"busy{n}" for n in range(URGENT)]
    for name in idle + busy:
        containers.run(name)
    spec = containers.call("container.get", "idle0")["spec"]
    before = measured(containers, idle)
    crowd = Crowd(fresh_cluster, CLIENTS)
    stopped = threading.Event()
    reader = threading.Thread(target=lambda: [crowd.receive(0.1) for _ in iter(stopped.is_set, True)])
    try:
        for number in range(CREATES):
            crowd.ask(number, "container.create", {"id": f"c{number}", "runtime": shim_path(1), "spec": spec})
        assert {status for status, *_ in crowd.await_answers(CREATES)} == {0}
        crowd.answers = []
        for number in range(CREATES):
            crowd.ask(number, "task.create", {"id": f"c{number}"})
        until(lambda: queued(containers) > CREATES / 2, "the creates wait")
        reader.start()
        after = measured(containers, busy)
        assert queued(containers) > 100, "it was measured while they waited"
        print("idle and busy, ms:", {method: (round(before[method], 1), round(after[method], 1)) for method in before})
        assert all(after[method] - before[method] < LATER_MS for method in before), (before, after)
        assert resident_mb(fresh_cluster) < MEMORY_MB
        stopped.set()
        reader.join()
        assert {status for status, *_ in crowd.answers} <= {0}, [a for a in crowd.answers if a[0]][:3]
        assert crowd.answers, "creates go on meanwhile"
        assert all(row["restarts"] == 0 for row in fresh_cluster.status().values())
    finally:
        stopped.set()
        if reader.is_alive():
            reader.join()
        crowd.close()
        forget(fresh_cluster)


def queued(containers):
    return containers.cluster.status()["shim"].get("queued", 0) + containers.cluster.status()["shim"].get("in_flight", 0)


def forget(cluster):
    """Nobody waits for the queued ones any more, and five thousand shims are not wanted: the queue dies with the broker
    and the worker."""
    for name in ("broker", "shim"):
        cluster.await_successor(name, cluster.kill(name))
    tasks = cluster.client().call("task.list", {"all": True}, timeout=60)["tasks"]

    def remove(task):
        client = Client(str(cluster.run))
        with contextlib.suppress(Refused):
            client.call("task.delete", {"id": task["id"], "force": True}, task["ns"], timeout=60)
        client.close()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(remove, tasks))
