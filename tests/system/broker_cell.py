"""The real broker on listening sockets that outlive it, with clients and workers written from the manual alone."""

import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid

import msgpack
import zmq

SOURCE = pathlib.Path(__file__).parents[2]
BIN = pathlib.Path(os.environ.get("SHIMD_BIN_DIR") or SOURCE / "build" / "bin")
WAIT_SECONDS = 20
SOCKETS = ["client.sock", "worker.sock", "publish.sock", "events.sock"]

# Descriptors named in argv[1] become 3, 4, ... of the program in argv[2:], as sd_listen_fds(3) says.
LAUNCH = """
import fcntl, os, sys
high = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100) for fd in sys.argv[1].split(",")]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i)
    os.close(fd)
os.environ["LISTEN_PID"] = str(os.getpid())
os.environ["LISTEN_FDS"] = str(len(high))
os.execv(sys.argv[2], sys.argv[2:])
"""


def until(condition, what, seconds=WAIT_SECONDS):
    """The first true value of the condition."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    raise AssertionError(f"not within {seconds} s: {what}")


class Peer:
    """A DEALER that asks, and keeps what arrives until somebody wants it."""

    def __init__(self, cell, name):
        self.socket = cell.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.sndhwm = self.socket.rcvhwm = 0
        self.socket.connect(f"ipc://{cell.run}/{name}")
        self.answers, self.requests = {}, []
        self.released = None  # how many requests had come when the broker said that there will be no more

    def raw(self, *frames):
        self.socket.send_multipart(list(frames))

    def send(self, method, body=None, ident=None, seconds=None, **header):
        ident = ident or uuid.uuid4().bytes
        header = {"v": 1, "id": ident, "method": method, **header}
        if seconds is not None:
            header["deadline"] = int((time.time() + seconds) * 1000)
        self.raw(msgpack.packb(header), msgpack.packb({} if body is None else body))
        return ident

    def pump(self, seconds):
        """Takes in one message; False when none came."""
        if not self.socket.poll(seconds * 1000):
            return False
        frames = self.socket.recv_multipart()
        assert len(frames) == 2, frames
        header, body = msgpack.unpackb(frames[0]), msgpack.unpackb(frames[1])
        if header.get("method") == "worker.released":
            self.released = len(self.requests)
        elif "method" in header:
            self.requests.append((header, body))
        else:
            assert header["id"] not in self.answers, "answered twice"
            self.answers[header["id"]] = (header["status"], header["message"], body)
        return True

    def answer(self, ident, seconds=WAIT_SECONDS):
        """(status, sentence, body)"""
        end = time.monotonic() + seconds
        while ident not in self.answers:
            assert self.pump(max(0, end - time.monotonic())), "no answer"
        return self.answers.pop(ident)

    def ask(self, method, body=None, **more):
        return self.answer(self.send(method, body, **more))

    def silent(self):
        """What was sent before a ping would have come before its answer."""
        assert self.ask("broker.ping")[0] == 0
        return not self.answers and not self.requests


class Worker(Peer):
    def __init__(self, cell, service="shim", pid=1000, window=8, ready=True):
        super().__init__(cell, "worker.sock")
        self.service, self.pid, self.window = service, pid, window
        if ready:
            self.ready()

    def ready(self, methods=()):
        keys = ("name", "redelivery", "class", "seconds")
        entries = [dict(zip(keys, method)) for method in methods]
        self.send("worker.ready", {"service": self.service, "pid": self.pid, "window": self.window,
                                   "methods": entries})

    def request(self, seconds=WAIT_SECONDS):
        """(header, body) of the next request, the broker's question who this is left out."""
        end = time.monotonic() + seconds
        while True:
            while self.requests:
                header, body = self.requests.pop(0)
                if header["method"] != "worker.who":
                    return header, body
            assert self.pump(max(0, end - time.monotonic())), "no request"

    def reply(self, header, body=None, status=0, message=""):
        head = {"v": 1, "id": header["id"], "status": status, "message": message}
        self.raw(msgpack.packb(head), msgpack.packb({} if body is None else body))


class Cell:
    def __init__(self):
        self.run = pathlib.Path(tempfile.mkdtemp(prefix="shimd-"))
        self.log = open(self.run / "log", "wb")
        self.context = zmq.Context()
        self.listeners = []
        for name in SOCKETS:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(self.run / name))
            listener.listen(128)
            self.listeners.append(listener)
        self.broker = None
        self.start()
        self.client = self.peer()

    def start(self):
        fds = [listener.fileno() for listener in self.listeners]
        command = [str(BIN / "shimd-broker"), "--run-dir", str(self.run), "--root-dir", str(self.run)]
        launch = [sys.executable, "-c", LAUNCH, ",".join(map(str, fds)), *command]
        ready, told = os.pipe()
        env = {**os.environ, "LISTEN_FDNAMES": ":".join(SOCKETS), "SHIMD_READY_FD": str(told)}
        self.broker = subprocess.Popen(launch, pass_fds=[*fds, told], env=env, stderr=self.log)
        os.close(told)
        said = os.read(ready, 1)
        os.close(ready)
        assert said == b"\n", (self.run / "log").read_text()

    def kill(self):
        self.broker.kill()
        self.broker.wait()

    def peer(self, name="client.sock"):
        return Peer(self, name)

    def exited(self, pid, service="shim", **more):
        """As the supervisor says it; the ping on the same socket shows that the broker has read it."""
        supervisor = self.peer("worker.sock")
        supervisor.send("worker.exited", {"service": service, "pid": pid, "obituary": "killed", **more})
        assert supervisor.ask("broker.ping")[0] == 0
        supervisor.socket.close()

    def service(self, name="shim"):
        status, message, body = self.client.ask("broker.status")
        assert status == 0, message
        return next(row for row in body["services"] if row["name"] == name)

    def stop(self):
        """The broker is alive at the end of every test, and ends when it is asked to."""
        assert self.broker.poll() is None, (self.run / "log").read_text()
        self.broker.terminate()
        code = self.broker.wait(WAIT_SECONDS)
        self.context.destroy(linger=0)
        for listener in self.listeners:
            listener.close()
        self.log.close()
        text = (self.run / "log").read_text()
        shutil.rmtree(self.run)
        assert code == 0, text
