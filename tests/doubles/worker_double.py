#!/usr/bin/python3
"""Stands in for one of the processes under the supervisor, which is named by how it is called.

Writes what it was given to RUN/<name>.seen (one JSON object a line, one line a process), says ready, and
waits for SIGTERM or SIGINT. RUN/<name>.mode makes it misbehave: early (exits with 3 before it is ready), mute (never
says ready), brief (dies of SIGABRT right after ready), deaf (takes no notice of signals), busy (told to end, it says that it
needs time until RUN/<name>.hang is there; from then on it hangs, or ends when that says so), orphan (leaves a
process behind that ends with 5), rubbish (as the broker: answers every worker's message with nonsense).
"""

import json
import os
import signal
import socket
import stat
import sys
import time


def option(name):
    return sys.argv[sys.argv.index(name) + 1]


def descriptors():
    """Number and kind of every open descriptor above standard error, close-on-exec ones too."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        try:
            mode = os.fstat(fd).st_mode
        except OSError:
            continue
        if fd > 2:
            kind = "socket" if stat.S_ISSOCK(mode) else "pipe" if stat.S_ISFIFO(mode) else "other"
            found[fd] = kind
    return found


def sockets():
    names = os.environ.get("LISTEN_FDNAMES", "")
    if int(os.environ.get("LISTEN_PID", "0")) != os.getpid() or not names:
        return {}
    bound = {}
    for i, name in enumerate(names.split(":")):
        listener = socket.socket(fileno=os.dup(3 + i))
        bound[name] = listener.getsockname()
        listener.close()
    return bound


def leave_an_orphan():
    middle = os.fork()
    if middle == 0:
        if os.fork() == 0:
            while os.getppid() == middle:
                time.sleep(0.01)
            os._exit(5)
        os._exit(0)
    os.waitpid(middle, 0)


def talk_rubbish(run_dir):
    import zmq

    index = os.environ["LISTEN_FDNAMES"].split(":").index("worker.sock")
    router = zmq.Context().socket(zmq.ROUTER)
    router.setsockopt(89, 3 + index)  # ZMQ_USE_FD
    router.bind(f"ipc://{run_dir}/worker.sock")
    os.write(int(os.environ["SHIMD_READY_FD"]), b"\n")
    while True:
        who = router.recv_multipart()[0]
        answers = [
            [b""],
            [b"", b"", b""],
            [b"\x00"] * 200,
            [b"\xc1", b"\xc1"],
            [b"\x81\xa1v\x01", b"\x80"],
            [b"\x91" * 5000, b"\x80"],
            [b"\xdf\xff\xff\xff\xff", b"\x80"],
            [b"\x83\xa1v\x01\xa2id\xc4\x10" + b"i" * 16 + b"\xa6method\xa3no.", b"\x80"],
            [b"\x83\xa1v\x01\xa2id\xc4\x10" + b"j" * 16 + b"\xa6method\xafcluster.restart", b"\xc1"],
            [b"\x83\xa1v\x01\xa2id\xc4\x10" + b"k" * 16 + b"\xa6method\xafcluster.restart", b"\x80"],
        ]
        for answer in answers:
            router.send_multipart([who, *answer])
        with open(f"{run_dir}/rubbish", "a", encoding="utf-8") as file:
            file.write("x")


def end(mode, path):
    while mode == "busy" and not os.path.exists(f"{path}.hang"):
        os.write(int(os.environ["SHIMD_READY_FD"]), b"+")
        time.sleep(0.1)
    if mode == "busy":
        with open(f"{path}.hang", encoding="utf-8") as file:
            while file.read() != "end":
                signal.pause()
    sys.exit(0)


def main():
    fds = descriptors()
    name = os.path.basename(sys.argv[0])
    run_dir = option("--run-dir")
    try:
        with open(f"{run_dir}/{name}.mode", encoding="utf-8") as file:
            mode = file.read().strip()
    except FileNotFoundError:
        mode = ""
    seen = {
        "pid": os.getpid(),
        "argv": sys.argv[1:],
        "fds": fds,
        "sockets": sockets(),
        "env": sorted(os.environ),
        "own_group": os.getpgid(0) == os.getpid(),
        "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "time": time.time(),
    }
    with open(f"{run_dir}/{name}.seen", "a", encoding="utf-8") as file:
        file.write(json.dumps(seen) + "\n")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN if mode == "deaf" else lambda *_: end(mode, f"{run_dir}/{name}"))
    if mode == "early":
        sys.exit(3)
    if mode == "orphan":
        leave_an_orphan()
    if mode == "rubbish":
        talk_rubbish(run_dir)
    if mode != "mute":
        os.write(int(os.environ["SHIMD_READY_FD"]), b"\n")
    if mode == "brief":
        os.abort()
    while True:
        signal.pause()


main()
