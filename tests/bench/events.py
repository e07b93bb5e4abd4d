"""Events: appends, fan-out, and how long one takes to a subscriber."""

import pathlib
import socket
import statistics
import subprocess
import tempfile
import time

import zmq
from figures import percentile, print_ratio, running
from managers import until
from raw_ttrpc import REQUEST, encode, frame, receive_frame

# Batches and how many tasks tell their four events each, and how many of LMDB's commits those are.
BATCHES = {10: 200, 100: 1000, 1000: 5000}
TRIMMED = 100_000  # events
SUBSCRIBERS, PUBLISHED = 100, 20_000
FORWARDS = 300  # a round


def journal_bench(build, *arguments):
    """On the disk where the build is: /tmp may be memory."""
    with tempfile.TemporaryDirectory(prefix="events-", dir=build) as scratch:
        command = [build / "tests/journal_bench", arguments[0], f"{scratch}/store", *arguments[1:]]
        output = subprocess.run([str(word) for word in command], check=True, capture_output=True, timeout=300)
    return [float(word) for word in output.stdout.split()]


def bench_appends(build, rounds):
    print("events/s into the journal, by events a commit           lmdb    journal   journal, with requests   lmdb, with states")
    for batch, runs in BATCHES.items():
        rates = {kind: [] for kind in ("lmdb", "journal", "requests", "lmdb-states")}
        for round_number in range(rounds):
            for kind in sorted(rates, reverse=round_number % 2):
                rates[kind] += journal_bench(build, kind, batch, runs)
        medians = [statistics.median(rates[kind]) for kind in rates]
        print(f"  {batch:6}                                       {medians[0]:14.0f} {medians[1]:10.0f} {medians[2]:14.0f} {medians[3]:22.0f}")
        print_ratio(f"rate, lmdb / journal, {batch} a commit", list(zip(rates["lmdb"], rates["journal"])), "2")
        print_ratio(f"rate, lmdb with states / journal, {batch} a commit", list(zip(rates["lmdb-states"], rates["journal"])))
    times = [journal_bench(build, "trim", 100, TRIMMED) for _ in range(rounds)]
    columns = [statistics.median(column) / 1e3 for column in zip(*times)]
    print(f"  100 appended, ms: p50 {columns[0]:.2f}, p99 {columns[1]:.2f}; while {TRIMMED} are removed: "
          f"p50 {columns[2]:.2f}, p99 {columns[3]:.2f}")


def fan_out(build, kind):
    with tempfile.TemporaryDirectory(prefix="shimd-") as run:
        front, back = (pathlib.Path(run) / name for name in ("publish.sock", "events.sock"))
        if kind == "broker":
            command = [build / "bin/shimd-broker", "--run-dir", run, "--root-dir", run, "--log-level", "error"]
        else:
            command = [build / "tests/fanout_bench", "proxy", f"ipc://{front}", f"ipc://{back}"]
        with running(*command):
            until(lambda: front.exists() and back.exists(), f"{kind} listens")
            command = [build / "tests/fanout_bench", "send", f"ipc://{front}", f"ipc://{back}", SUBSCRIBERS, PUBLISHED]
            output = subprocess.run([str(w) for w in command], check=True, capture_output=True, timeout=300)
    return float(output.stdout)


def bench_fan_out(build, rounds):
    rows = []
    for round_number in range(rounds):
        kinds = ("broker", "proxy") if round_number % 2 else ("proxy", "broker")
        found = {kind: fan_out(build, kind) for kind in kinds}
        rows.append((found["proxy"], found["broker"]))
    proxy, broker = (statistics.median(column) for column in zip(*rows))
    print(f"events/s to {SUBSCRIBERS} subscribers each: proxy {proxy:.0f}, broker {broker:.0f}")
    print_ratio("rate, proxy / broker", rows, "1.5")


def forward_frame(stream, number):
    """A shim's Forward of a task's start."""
    now = time.time_ns()
    event = {1: "containerd.events.TaskStart", 2: encode({1: f"c{number}", 2: number + 1})}
    envelope = {1: {1: now // 10**9, 2: now % 10**9}, 2: "default", 3: "/tasks/start", 4: event}
    request = {1: "containerd.services.events.ttrpc.v1.Events", 2: "Forward", 3: {1: envelope}}
    return frame(stream, REQUEST, encode(request))


def bench_latency(build, rounds):
    """From the shim's Forward to a subscriber, through the metadata worker and the broker."""
    with tempfile.TemporaryDirectory(prefix="events-", dir=build) as root, tempfile.TemporaryDirectory(prefix="shimd-") as run:
        places = ["--run-dir", run, "--root-dir", root, "--log-level", "error"]
        with running(build / "bin/shimd-broker", *places), running(build / "bin/shimd-metadata", *places):
            shim, sub = socket.socket(socket.AF_UNIX), zmq.Context.instance().socket(zmq.SUB)
            until(lambda: (pathlib.Path(run) / "shim-events.sock").exists(), "the metadata worker listens")
            shim.connect(f"{run}/shim-events.sock")
            sub.connect(f"ipc://{run}/events.sock")
            sub.subscribe("default/")
            sub.subscribe(".sync")
            sub.recv_multipart()  # a .sync: all is connected
            sub.unsubscribe(".sync")
            while sub.poll(100):
                sub.recv_multipart()
            times = []
            for number in range(rounds * FORWARDS):
                begun = time.monotonic()
                shim.sendall(forward_frame(2 * number + 1, number))
                sub.recv_multipart()
                times.append((time.monotonic() - begun) * 1e3)
                receive_frame(shim)
            sub.close(0)
            shim.close()
    print(f"  Forward to subscriber, ms: p50 {statistics.median(times):.2f}, aim 2; p99 {percentile(times, 99):.2f}")


def bench_events(build, rounds):
    bench_appends(build, rounds)
    bench_fan_out(build, rounds)
    bench_latency(build, rounds)
