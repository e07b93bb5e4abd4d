#!/usr/bin/python3
"""Stands in for a whole cluster before shimctl: one process that answers on RUN/client.sock and publishes on
RUN/events.sock. Containers are entries of a table; a task is a plain local process whose descriptors are the
fifos that task.create names, opened the way a shim opens them.

    cluster_double.py RUN

RUN/plan is read at each request: lines "METHOD CODE SENTENCE" refuse that method, "METHOD silent" leaves it
without an answer, "METHOD slow SECONDS" answers late. Every request is written to RUN/seen, a JSON line each.
"""

import json
import os
import pathlib
import pty
import signal
import struct
import subprocess
import sys
import fcntl
import termios
import threading
import time

import msgpack
import zmq

OK, INVALID, NOT_FOUND, EXISTS, PRECONDITION, UNIMPLEMENTED = 0, 3, 5, 6, 9, 12


class Refused(Exception):
    def __init__(self, code, text):
        super().__init__(text)
        self.code, self.text = code, text


class Process:
    """A command of a spec, with the fifos of the request as its descriptors."""

    def __init__(self, spec, ask):
        self.spec, self.ask = spec, ask
        self.child = self.code = self.master = None
        self.exited_at = 0
        self.size = (0, 0)
        # A shim keeps both ends of every fifo until the process has ended.
        self.fds = {name: os.open(ask[name], os.O_RDWR | os.O_NONBLOCK)
                    for name in ("stdin", "stdout", "stderr") if ask.get(name, "").startswith("/")}
        self.writer_closed = threading.Event()

    def start(self):
        args = self.spec["args"]
        if args[0] == "/missing":
            raise Refused(2, 'exec: "/missing": no such file or directory')
        env = dict(e.split("=", 1) for e in self.spec.get("env", []))
        env.setdefault("PATH", os.environ["PATH"])
        if self.ask.get("terminal"):
            self.master, slave = pty.openpty()
            self.resize(*self.size)
            stdio = [slave] * 3
        else:
            stdio = [self.open_stdin(), self.output("stdout"), self.output("stderr")]
        self.child = subprocess.Popen(args, env=env, stdin=stdio[0], stdout=stdio[1], stderr=stdio[2],
                                      start_new_session=True)
        for fd in set(stdio):
            os.close(fd)
        if self.master is not None:
            threading.Thread(target=self.copy, args=(self.master, self.fds["stdout"]), daemon=True).start()
            threading.Thread(target=self.copy, args=(self.fds["stdin"], self.master), daemon=True).start()
        return self.child.pid

    def output(self, name):
        if name not in self.fds:
            return os.open("/dev/null", os.O_WRONLY)
        return os.open(self.ask[name], os.O_WRONLY)

    def open_stdin(self):
        """The process reads a pipe that ends once task.close-io came and the fifo is empty."""
        if "stdin" not in self.fds:
            return os.open("/dev/null", os.O_RDONLY)
        reader, writer = os.pipe()
        threading.Thread(target=self.feed, args=(self.fds["stdin"], writer), daemon=True).start()
        return reader

    def feed(self, fifo, writer):
        while True:
            try:
                data = os.read(fifo, 65536)
                os.write(writer, data)
            except BlockingIOError:
                if self.writer_closed.is_set():
                    break
                time.sleep(0.005)
            except OSError:
                break
        os.close(writer)

    @staticmethod
    def copy(source, target):
        while True:
            try:
                data = os.read(source, 65536)
            except BlockingIOError:
                time.sleep(0.005)
                continue
            except OSError:
                break
            if not data:
                break
            os.write(target, data)
        os.close(target)

    def status(self):
        return "CREATED" if not self.child else "RUNNING" if self.code is None else "STOPPED"

    def poll(self):
        if self.child and self.code is None and self.child.poll() is not None:
            code = self.child.returncode
            self.code = code if code >= 0 else 128 - code
            self.exited_at = time.time_ns()
            self.end_output()
        return self.code is not None

    def end_output(self):
        """From here on readers see the end, once they have read everything."""
        for name in ("stdout", "stderr"):
            if name in self.fds and self.master is None:
                os.close(self.fds.pop(name))

    def kill(self, number):
        if not self.child or self.poll():
            raise Refused(NOT_FOUND, "process already finished")
        os.kill(self.child.pid, number)

    def resize(self, width, height):
        self.size = (width, height)
        if self.master is not None:
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


class Cluster:
    def __init__(self, run):
        self.run = pathlib.Path(run)
        self.run.mkdir(exist_ok=True)
        context = zmq.Context()
        self.router = context.socket(zmq.ROUTER)
        self.router.bind(f"ipc://{run}/client.sock")
        self.pub = context.socket(zmq.XPUB)
        self.pub.bind(f"ipc://{run}/events.sock")
        self.seen = open(self.run / "seen", "a", encoding="utf-8")
        self.containers, self.namespaces = {}, {}
        self.processes, self.waits, self.later = {}, [], []
        self.journal, self.hidden, self.trimmed = [], 0, 0

    # requests -----------------------------------------------------------------------------------

    def plan(self, method):
        try:
            lines = (self.run / "plan").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return None
        for line in lines:
            words = line.split(" ", 2)
            if words[0] == method:
                return words[1:]
        return None

    def serve(self):
        while True:
            self.turn()

    def turn(self):
        if self.router.poll(10):
            peer, header, body = self.router.recv_multipart()
            header, body = msgpack.unpackb(header), msgpack.unpackb(body)
            print(json.dumps({"method": header["method"], "ns": header.get("ns"), **body},
                             default=lambda b: b.decode()), file=self.seen, flush=True)
            self.handle(peer, header, body)
        now = time.monotonic()
        for late in [late for late in self.later if late[0] <= now]:
            self.later.remove(late)
            self.answer(*late[1:])
        for wait in list(self.waits):
            key, peer, header = wait
            process = self.processes.get(key)
            if process and process.poll():
                self.waits.remove(wait)
                self.reply(peer, header, OK, "", self.exited(process))

    def handle(self, peer, header, body):
        words = self.plan(header["method"])
        if words == ["silent"]:
            return
        if words and words[0] == "slow":
            self.later.append((time.monotonic() + float(words[1]), peer, header, body))
        elif words:
            self.reply(peer, header, int(words[0]), words[1], {})
        else:
            self.answer(peer, header, body)

    def answer(self, peer, header, body):
        method = header["method"].replace(".", "_").replace("-", "_")
        try:
            handler = getattr(self, "on_" + method, None)
            if not handler:
                raise Refused(UNIMPLEMENTED, f"{header['method']}: unknown method")
            if method == "task_wait":
                handler(peer, header, body)
            else:
                self.reply(peer, header, OK, "", handler(header.get("ns"), body) or {})
        except Refused as refused:
            self.reply(peer, header, refused.code, refused.text, {})
        except OSError as error:
            self.reply(peer, header, 13, str(error), {})

    def reply(self, peer, header, status, message, body):
        head = {"v": 1, "id": header["id"], "status": status, "message": message}
        self.router.send_multipart([peer, msgpack.packb(head), msgpack.packb(body)])

    # events -------------------------------------------------------------------------------------

    def publish(self, ns, topic, fields):
        event = {"seq": len(self.journal) + 1, "ns_seq": len(self.journal) + 1, "time": time.time_ns(), "ns": ns,
                 "topic": topic, "type": "containerd.events.Any", "event": fields, "origin": "shim"}
        self.journal.append(event)
        if self.hidden:
            self.hidden -= 1
        else:
            self.pub.send_multipart([f"{ns}{topic}".encode(), msgpack.packb(event)])

    def on_event_list(self, ns, ask):
        asked, last = ask.get("since", 0), len(self.journal)
        since = max(asked, self.trimmed + 1)
        until = min(ask.get("until") or last, last)
        end = min(until, since + min(ask.get("limit", 1000), 3) - 1)
        events = [e for e in self.journal[since - 1:end] if ask.get("all") or e["ns"] == ns]
        return {"events": events, "first": self.trimmed + 1 if last else 0, "last": last,
                "next": max(since, end + 1), "gap": 0 < asked <= self.trimmed}

    def on_event_publish(self, ns, ask):
        """The test's own remote control: /double/hide keeps the next events from subscribers, /double/sync
        sends a .sync, /double/trim takes the first ones out of the journal."""
        if ask["topic"] == "/double/hide":
            self.hidden = ask["event"]["count"]
        elif ask["topic"] == "/double/trim":
            self.trimmed = ask["event"]["count"]
        elif ask["topic"] == "/double/sync":
            self.pub.send_multipart([b".sync", msgpack.packb({"seq": len(self.journal)})])
        else:
            self.publish(ns, ask["topic"], ask["event"])
        return {"seq": len(self.journal)}

    # namespaces and containers ------------------------------------------------------------------

    def on_namespace_create(self, _, ask):
        if ask["name"] in self.namespaces:
            raise Refused(EXISTS, f"namespace {ask['name']}: already exists")
        self.namespaces[ask["name"]] = ask.get("labels", {})
        return {"name": ask["name"], "labels": ask.get("labels", {})}

    def on_namespace_list(self, _, __):
        return {"namespaces": [{"name": n, "labels": l} for n, l in sorted(self.namespaces.items())]}

    def on_namespace_update(self, _, ask):
        if ask["name"] not in self.namespaces:
            raise Refused(NOT_FOUND, "not found")
        return {"name": ask["name"], "labels": self.relabel(self.namespaces[ask["name"]], ask)}

    def on_namespace_delete(self, _, ask):
        if any(ns == ask["name"] for ns, _ in self.containers):
            raise Refused(PRECONDITION, f"namespace {ask['name']} has containers")
        if ask["name"] not in self.namespaces:
            raise Refused(NOT_FOUND, "not found")
        del self.namespaces[ask["name"]]

    @staticmethod
    def relabel(labels, ask):
        for key, value in ask.get("labels", {}).items():
            if value:
                labels[key] = value
            else:
                labels.pop(key, None)
        return labels

    def find(self, ns, ask):
        try:
            return self.containers[ns, ask["id"]]
        except KeyError:
            raise Refused(NOT_FOUND, "not found") from None

    def on_container_create(self, ns, ask):
        if (ns, ask["id"]) in self.containers:
            raise Refused(EXISTS, "already exists")
        self.namespaces.setdefault(ns, {})
        now = time.time_ns()
        self.containers[ns, ask["id"]] = {**ask, "ns": ns, "created_at": now, "updated_at": now}
        self.publish(ns, "/containers/create", {"id": ask["id"], "image": "", "runtime": {"name": ask["runtime"]}})
        return self.containers[ns, ask["id"]]

    def on_container_get(self, ns, ask):
        return self.find(ns, ask)

    def on_container_update(self, ns, ask):
        container = self.find(ns, ask)
        container["labels"] = self.relabel(container.get("labels", {}), ask)
        return container

    def on_container_list(self, ns, ask):
        found = [{**c, "spec": None} for (n, i), c in sorted(self.containers.items())
                 if (n == ns or ask.get("all")) and i > ask.get("after", "")]
        page = {"containers": found[:2]}  # short pages, so that following them is tested
        if len(found) > 2:
            page["next"] = found[1]["id"]
        return page

    def on_container_delete(self, ns, ask):
        self.find(ns, ask)
        if (ns, ask["id"], None) in self.processes:
            raise Refused(PRECONDITION, "it has a task")
        del self.containers[ns, ask["id"]]
        self.publish(ns, "/containers/delete", {"id": ask["id"]})

    # tasks --------------------------------------------------------------------------------------

    @staticmethod
    def key(ns, ask):
        return ns, ask["id"], ask.get("exec_id")

    def process(self, ns, ask):
        try:
            return self.processes[self.key(ns, ask)]
        except KeyError:
            raise Refused(NOT_FOUND, f"task {ask['id']} not found") from None

    @staticmethod
    def exited(process):
        return {"pid": process.child.pid if process.child else 0, "exit_status": process.code or 0,
                "exited_at": process.exited_at}

    def on_task_create(self, ns, ask):
        container = self.find(ns, ask)
        if (ns, ask["id"], None) in self.processes:
            raise Refused(EXISTS, f"task {ask['id']} already exists")
        spec = json.loads(container["spec"])
        self.processes[ns, ask["id"], None] = Process(spec["process"], ask)
        return {"pid": 4711}

    def on_task_exec(self, ns, ask):
        self.processes[self.key(ns, ask)] = Process(json.loads(ask["spec"]), ask)

    def on_task_start(self, ns, ask):
        pid = self.process(ns, ask).start()
        self.publish(ns, "/tasks/start", {"container_id": ask["id"], "pid": pid})
        return {"pid": pid}

    def on_task_get(self, ns, ask):
        process = self.process(ns, ask)
        process.poll()
        return {"ns": ns, **{k: v for k, v in process.ask.items() if k != "spec"}, "status": process.status(),
                **self.exited(process)}

    def on_task_list(self, ns, _):
        return {"tasks": [self.on_task_get(n, {"id": i}) for n, i, e in sorted(self.processes, key=str)
                          if n == ns and e is None]}

    def on_task_wait(self, peer, header, ask):
        self.process(header["ns"], ask)
        self.waits.append((self.key(header["ns"], ask), peer, header))

    def on_task_kill(self, ns, ask):
        self.process(ns, ask).kill(ask["signal"])

    def on_task_pids(self, ns, ask):
        self.process(ns, ask)
        return {"processes": [{"pid": p.child.pid, **({"exec_id": e} if e else {})}
                              for (n, i, e), p in self.processes.items() if (n, i) == (ns, ask["id"]) and p.child]}

    def on_task_resize(self, ns, ask):
        self.process(ns, ask).resize(ask["width"], ask["height"])

    def on_task_close_io(self, ns, ask):
        self.process(ns, ask).writer_closed.set()

    def on_task_delete(self, ns, ask):
        process = self.process(ns, ask)
        if not process.poll() and process.child:
            if not ask.get("force"):
                raise Refused(PRECONDITION, "task must be stopped before deletion: running")
            process.kill(signal.SIGKILL)
            process.child.wait()
            process.poll()
        for fd in process.fds.values():
            os.close(fd) if process.master is None else None
        del self.processes[self.key(ns, ask)]
        if not ask.get("exec_id"):
            self.publish(ns, "/tasks/delete", {"container_id": ask["id"], "exit_status": process.code or 0,
                                               "exited_at": process.exited_at})
        return self.exited(process)

    def on_cluster_status(self, _, __):
        return {"version": "0.1.0", "root_dir": "/no/root", "libexec_dir": "/no/libexec", "processes": [
            {"name": name, "state": "READY", "pid": 100 + i, "uptime_ms": 61000, "restarts": i,
             **({"obituary": "killed by signal 9"} if i else {})} for i, name in enumerate(["supervisor", "broker"])]}

    def on_bundle_list(self, _, ask):
        assert ask["debts_only"]
        return {"bundles": [], "debts": [{"ns": "default", "id": "old", "path": "/run/x", "debt": "busy\x1b[1m"}]}

    def on_cluster_restart(self, _, ask):
        if ask["process"] not in ("broker", "bundle", "shim", "metadata"):
            raise Refused(INVALID, "no such process")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    Cluster(sys.argv[1]).serve()
