"""Random lives of real containers while processes of the cluster and shims are killed and stopped; then everything
that happened is judged.

    python3 tests/chaos --seconds 60 --seed 1 --clients 8

ends with 0 when there was no violation; otherwise it prints the seed, each violation, and its shortest history.
Makes a cluster of its own in a directory of its own and leaves neither.
"""

import argparse
import collections
import json
import pathlib
import sys
import threading
import time

sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parents[1] / "system")]

import checker  # noqa: E402
from cluster import Cluster, until  # noqa: E402
from faults import Trouble  # noqa: E402
from lives import PATIENCE, Client  # noqa: E402

KINDS = ["kill", "kill", "kill", "kill_two", "stop", "kill_shim", "stop_shim", "slow_disk", "kill_all"]


class World:
    """What all threads share."""

    def __init__(self, options):
        self.seed = options.seed
        self.over = threading.Event()
        self.counts = collections.Counter()
        self.lock = threading.Lock()
        self.clients, self.start_options = [], []
        self.keeper_deaths = []  # monotonic seconds
        self.config = "failpoints = on\nrestart\n    intensity = 1000\n"
        self.cluster = Cluster()
        self.cluster.start(config=self.config)
        self.cluster.shimctl("containers", "create", "--rootfs", self.cluster.rootfs(), "spec", "/bin/true")
        record = self.cluster.client().call("container.get", {"id": "spec"}, "default")
        self.base = json.loads(record["spec"])

    def count(self, what):
        with self.lock:
            self.counts[what] += 1

    def marks(self, name):
        return self.cluster.dir / "marks" / name

    def spec(self, name):
        marks = self.marks(name)
        marks.mkdir(parents=True)
        spec = json.loads(json.dumps(self.base))
        spec["linux"]["cgroupsPath"] = str(pathlib.Path(spec["linux"]["cgroupsPath"]).with_name(name))
        spec["mounts"].append({"destination": "/marks", "type": "bind", "source": str(marks), "options": ["rbind", "rw"]})
        return spec, marks


def run(world, options):
    before = {"descriptors": checker.descriptors(world.cluster.supervisor.pid)}
    world.clients = [Client(world, i) for i in range(options.clients)]
    trouble = Trouble(world, options.kinds, options.pause)
    for thread in [*world.clients, trouble]:
        thread.start()
    time.sleep(options.seconds)
    world.over.set()
    trouble.join(PATIENCE)
    for client in world.clients:
        client.join(3 * PATIENCE)
    stuck = [f"{c.name} is stuck:\n{c.stories[-1]}" for c in world.clients if c.is_alive()]
    if trouble.failure:
        stuck.append(trouble.failure)
    return before, stuck


def what_is_left(world, before):
    try:
        until(lambda: not list(checker.check_machine(world.cluster, before)), "nothing is left", 20)
    except AssertionError:
        return list(checker.check_machine(world.cluster, before))
    return []


def judge(world, before, stuck):
    world.cluster.await_ready(60)
    stories = {s.name: s for c in world.clients for s in c.stories}
    violations = list(stuck) or what_is_left(world, before)
    violations += checker.ask_doctor(world.cluster)
    events = checker.read_journal(world.cluster.client())
    violations += checker.check_journal(events, stories)
    by_name = collections.defaultdict(list)
    for event in events:
        by_name[event["event"].get("container_id")].append(event)
    for story in stories.values():
        found = list(checker.check_story(story, world.marks(story.name), by_name[story.name]))
        if found:
            violations += [*found, str(story)]
    return violations, len(events)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None, help="a random one when it is not given")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=sorted(set(KINDS)), help="of trouble")
    parser.add_argument("--pause", nargs=2, type=float, default=(0.1, 1.0), metavar="SECONDS", help="between troubles")
    parser.add_argument("--keep-log", type=pathlib.Path, help="where the cluster's log goes when there are violations")
    options = parser.parse_args()
    options.seed = options.seed if options.seed is not None else int(time.time())
    world = World(options)
    try:
        before, stuck = run(world, options)
        try:
            violations, events = judge(world, before, stuck)
        except AssertionError as error:
            violations, events = [str(error), *checker.check_machine(world.cluster, before)], 0
    finally:
        if options.keep_log:
            options.keep_log.write_text(world.cluster.log())
        world.over.set()
        try:
            world.cluster.destroy()
        except AssertionError as error:
            print(error)
    print(json.dumps({"seed": options.seed, "seconds": options.seconds, "events": events, "violations": len(violations), **world.counts}))
    for violation in violations:
        print(violation)
    return 1 if violations else 0


sys.exit(main())
