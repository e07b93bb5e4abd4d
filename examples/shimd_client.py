#!/usr/bin/python3
"""A client of shimd in Python: requests, events without gaps, and a task from beginning to end.

    shimd_client.py RUN_DIR ID ROOTFS COMMAND [ARGUMENT]...

runs the command in a container and ends with its exit code; the events it causes go to standard error.
Written from shimd-protocol(7); needs nothing but pyzmq and msgpack.
"""

import json
import os
import sys
import tempfile
import threading
import time
import uuid

import msgpack
import zmq

SEND_AGAIN_SECONDS = 1  # without an answer; safe, because a request id runs once
LEASE_SECONDS = 60  # how long a wait for ever outlives this process
DEADLINE_EXCEEDED = 4


class Refused(Exception):  # a status other than OK
    def __init__(self, method, status, message):
        super().__init__(f"{method}: {message} (status {status})")
        self.status = status


class Client:  # for one thread
    def __init__(self, run_dir):
        self.run_dir = run_dir
        self.context = zmq.Context()
        self.context.linger = 0  # of all its sockets
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.connect(f"ipc://{run_dir}/client.sock")

    def close(self):
        self.context.destroy(linger=0)

    def call(self, method, body=None, ns=None, timeout=30, id=None, first=False):
        """The answer's body, or Refused. `timeout` in seconds, None for ever. `first`: `id` was not sent before."""
        header = {"v": 1, "id": id or uuid.uuid4().bytes, "method": method}
        if ns:
            header["ns"] = ns
        end = time.monotonic() + timeout if timeout else float("inf")
        deadline = time.time() + timeout if timeout else None
        first = first or not id
        while time.monotonic() < end + SEND_AGAIN_SECONDS:  # the broker answers at the deadline
            header["deadline"] = int((deadline or time.time() + LEASE_SECONDS) * 1000)
            self.socket.send_multipart([msgpack.packb({**header, "first": first}), msgpack.packb(body or {})])
            first = False
            again = time.monotonic() + SEND_AGAIN_SECONDS
            while self.socket.poll(max(0, (again - time.monotonic()) * 1000)):
                head, answer = map(msgpack.unpackb, self.socket.recv_multipart())
                if head["id"] != header["id"]:
                    continue  # a second answer to a request that was sent twice
                if not timeout and head["status"] == DEADLINE_EXCEEDED:
                    break  # this process was stopped for longer than that
                if head["status"]:
                    raise Refused(method, head["status"], head["message"])
                return answer
        raise Refused(method, DEADLINE_EXCEEDED, "no answer")

    def events(self, ns, since=None, subscribed=None):
        """Yields the events of a namespace from number `since` on, each once and in order, for ever. Without
        `since` from the present on, which begins when `subscribed`, a threading.Event, is set."""
        with self.context.socket(zmq.SUB) as socket:
            for prefix in (f"{ns}/", ".sync"):
                socket.subscribe(prefix)
            socket.connect(f"ipc://{self.run_dir}/events.sock")
            if since is None:
                since = self.call("event.list", {"since": 2**63 - 1, "all": True})["last"] + 1
            if subscribed:
                subscribed.set()
            last = None  # what the journal is known to have; None to look at once
            while True:
                while last is None or last >= since:
                    page = self.call("event.list", {"since": since}, ns)
                    if page.get("gap"):
                        gone = max(page.get("gone", 0), page["first"] - 1)
                        print(f"events from {since} to {gone} are gone", file=sys.stderr)
                    yield from page["events"]
                    since, last = page["next"], page["last"]
                last = None  # also after a silence in which two .sync should have come
                if socket.poll(3000):
                    key, event = socket.recv_multipart()
                    event = msgpack.unpackb(event)
                    last = event["seq"]
                    if key != b".sync" and last == since:
                        yield event
                        since += 1


def oci_spec(container_id, rootfs, args):
    """The least that runc wants for a process of its own."""
    tmpfs = {"type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]}
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": args,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
        },
        "root": {"path": os.path.abspath(rootfs)},
        "hostname": container_id,
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", **tmpfs},
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")],
            "cgroupsPath": f"/shimd-example-{container_id}",
        },
    }


def follow(run_dir, ns, subscribed):
    for event in Client(run_dir).events(ns, subscribed=subscribed):  # a thread wants its own client
        print(event["seq"], event["topic"], event.get("event"), file=sys.stderr, flush=True)


def run(run_dir, container_id, rootfs, args, ns="default"):
    """The exit code of the command."""
    client = Client(run_dir)
    spec = json.dumps(oci_spec(container_id, rootfs, args)).encode()
    me, runtime = {"id": container_id}, "io.containerd.runc.v2"
    client.call("container.create", {**me, "runtime": runtime, "spec": spec}, ns)
    try:
        with tempfile.NamedTemporaryFile() as output:
            where = f"file://{output.name}"
            client.call("task.create", {**me, "stdout": where, "stderr": where}, ns, timeout=60)
            try:
                client.call("task.start", me, ns)
                ended = client.call("task.wait", me, ns, timeout=None)
            finally:
                client.call("task.delete", {**me, "force": True}, ns, timeout=60)
            sys.stdout.write(output.read().decode(errors="replace"))
    finally:
        client.call("container.delete", me, ns)
    return ended["exit_status"]


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    ready = threading.Event()
    threading.Thread(target=follow, args=(sys.argv[1], "default", ready), daemon=True).start()
    ready.wait()
    sys.exit(run(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
