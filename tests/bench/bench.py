#!/usr/bin/python3
"""Prints figures: medians of several rounds, and ratios of what was measured in the same round.

    bench.py --build DIR [--rounds N] [broker|cycle|events|list|memory|recovery]...
"""

import argparse
import contextlib
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from events import bench_events
from figures import percentile, print_ratio, running
from managers import CONTAINERD_CONFIG, NAMESPACE, both_managers, memory_of, processor_seconds, until
from recovery import bench_recovery

SHIMD, CONTAINERD = "shimd", "containerd"
ONE, MANY = 1, 1000  # requests under way
REQUESTS = {ONE: 5000, MANY: 100_000}


def broker_path(build, kind, run):
    """Starts what stands between client and worker; the endpoints of both."""
    stack = contextlib.ExitStack()
    front, back = run / "client.sock", run / "worker.sock"
    if kind == "broker":
        command = [build / "bin/shimd-broker", "--run-dir", run, "--root-dir", run, "--log-level", "error"]
    else:
        command = [build / "tests/broker_bench", "proxy", f"ipc://{front}", f"ipc://{back}"]
    stack.enter_context(running(*command))
    until(lambda: front.exists() and back.exists(), f"{kind} listens")
    stack.enter_context(running(build / "tests/broker_bench", "echo", kind, f"ipc://{back}"))
    return stack, f"ipc://{front}"


def bench_broker(build, rounds):
    results = {(kind, n): [] for kind in ("proxy", "broker") for n in (ONE, MANY)}
    for round_number in range(rounds):
        kinds = ("proxy", "broker") if round_number % 2 else ("broker", "proxy")
        for kind in kinds:
            with tempfile.TemporaryDirectory(prefix="shimd-") as run:
                stack, endpoint = broker_path(build, kind, pathlib.Path(run))
                with stack:
                    for n in (ONE, MANY):
                        command = [build / "tests/broker_bench", "ask", endpoint, n, REQUESTS[n]]
                        output = subprocess.run([str(w) for w in command], check=True, capture_output=True, timeout=300)
                        results[kind, n].append(tuple(map(float, output.stdout.split())))
    print("round trip, one under way (median us)     requests/s, 1000 under way")
    for kind in ("proxy", "broker"):
        micros = statistics.median(row[0] for row in results[kind, ONE])
        rate = statistics.median(row[1] for row in results[kind, MANY])
        print(f"  {kind:8}{micros:10.0f}                      {rate:10.0f}")
    figures = {n: list(zip(results["broker", n], results["proxy", n])) for n in (ONE, MANY)}
    print_ratio("time, broker / proxy", [(b[0], p[0]) for b, p in figures[ONE]], "1.3")
    print_ratio("rate, broker / proxy", [(b[1], p[1]) for b, p in figures[MANY]], "none")


STEPS = ("container create", "task create", "task start", "exit known", "task delete", "container delete")
CYCLES = 20  # a round
TASKS = 50
LISTS = 100  # a round
COMMANDS = 10  # a round


def processor_of(managers):
    return {name: sum(map(processor_seconds, pids.values())) for name, pids in managers.pids().items()}


def bench_cycle(build, rounds):
    rows, clients, medians = {SHIMD: [], CONTAINERD: []}, [], []
    with both_managers(build) as managers:
        spec = managers.spec("/bin/true")
        managers.ask("cycle", 3, spec)  # what only the first ones pay for
        before = processor_of(managers)
        for _ in range(rounds):
            found, client = managers.ask("cycle", CYCLES, spec)
            clients.append(client)
            for name, cycles in found.items():
                rows[name] += cycles
            medians.append([statistics.median(map(sum, found[name])) for name in (SHIMD, CONTAINERD)])
        after = processor_of(managers)
    print(f"milliseconds, of {rounds * CYCLES} cycles each   {SHIMD:>10} {CONTAINERD:>10}      ratio")
    for i, step in enumerate(STEPS):
        print_pair(step, *(statistics.median(row[i] for row in rows[name]) / 1e3 for name in rows))
    totals = {name: [sum(row) for row in rows[name]] for name in rows}
    print_pair("whole cycle, median", *(statistics.median(totals[name]) / 1e3 for name in rows))
    print_pair("whole cycle, p90", *(percentile(totals[name], 90) / 1e3 for name in rows))
    cycles = rounds * CYCLES
    print_pair("processor, manager's own", *((after[name] - before[name]) / cycles * 1e3 for name in rows))
    print_pair("processor, this client", *(statistics.median(c[name] for c in clients) / 1e3 for name in rows))
    print_ratio("whole cycle, shimd / containerd", medians, "0.85")


def print_pair(what, ours, theirs):
    print(f"  {what:34} {ours:10.2f} {theirs:10.2f} {ours / theirs:10.2f}")


def memory_now(managers):
    return {name: {p: memory_of(pid) for p, pid in pids.items()} for name, pids in managers.pids().items()}


def bench_memory(build, rounds):
    """One round says it all: memory is not noisy."""
    with both_managers(build) as managers:
        spec = managers.spec("/bin/sleep", "1000000")
        idle = memory_now(managers)
        managers.ask("fill", TASKS, spec)
        full = memory_now(managers)
        managers.ask("empty", TASKS, spec)
    print(f"kB                       idle: RSS        PSS    {TASKS} tasks: RSS        PSS")
    for name in (SHIMD, CONTAINERD):
        for process in idle[name]:
            numbers = [*idle[name][process], *full[name][process]]
            print(f"  {process:22} {numbers[0]:9} {numbers[1]:10} {numbers[2]:16} {numbers[3]:10}")
        if len(idle[name]) > 1:
            sums = [sum(state[name][p][i] for p in state[name]) for state in (idle, full) for i in (0, 1)]
            print(f"  {name + ', sum':22} {sums[0]:9} {sums[1]:10} {sums[2]:16} {sums[3]:10}")
    for what, state in (("idle", idle), (f"{TASKS} tasks", full)):
        for i, kind in enumerate(("RSS", "PSS")):
            ours, theirs = (sum(row[i] for row in state[name].values()) for name in (SHIMD, CONTAINERD))
            aim = ", aim below 0.5" if kind == "PSS" else ""
            print(f"  {kind}, {what}, shimd / containerd: {ours / theirs:.2f}{aim}")


def run_command(command):
    begun = time.monotonic()
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert len(output.splitlines()) == TASKS + 1, output  # a header
    return (time.monotonic() - begun) * 1e6


def bench_list(build, rounds):
    requests, commands = [], []
    with both_managers(build) as managers:
        spec = managers.spec("/bin/sleep", "1000000")
        managers.ask("fill", TASKS, spec)
        shimctl = managers.cluster.command("--namespace", NAMESPACE, "tasks", "list")
        ctr = managers.containerd.ctr("tasks", "list")
        for _ in range(rounds):
            found, _ = managers.ask("list", LISTS, spec)
            requests.append([statistics.median(map(sum, found[name])) for name in (SHIMD, CONTAINERD)])
            pairs = [(run_command(shimctl), run_command(ctr)) for _ in range(COMMANDS)]
            commands.append([statistics.median(column) for column in zip(*pairs)])
        managers.ask("empty", TASKS, spec)
    print(f"milliseconds, {TASKS} tasks                 {SHIMD:>10} {CONTAINERD:>10}      ratio")
    for what, figures in (("request", requests), ("shimctl / ctr tasks list", commands)):
        print_pair(what, *(statistics.median(column) / 1e3 for column in zip(*figures)))
    print_ratio("request, shimd / containerd", requests, "0.1")
    print_ratio("command, shimctl / ctr", commands, "none")


def bench_deaths(build, _):
    """Two hundred kills of each process are rounds enough."""
    bench_recovery(build, CONTAINERD_CONFIG)


PARTS = {"broker": bench_broker, "events": bench_events, "cycle": bench_cycle, "memory": bench_memory, "list": bench_list, "recovery": bench_deaths}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown part {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # and clean up on the way
    for part in options.parts or PARTS:
        print(f"== {part}", flush=True)
        PARTS[part](options.build.resolve(), options.rounds)


main()
