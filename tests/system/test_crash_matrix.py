"""Every failpoint that the multi-step operations pass, met by a panic, an error and a delay.

A first life of each kind without faults tells which failpoints it meets. Those that no kind before it has met are each
armed for one hit, and a container lives the same life; afterwards: every answer was the truth and is the one that the
journal has, nothing ran twice, the journal has each event once and in order, nothing is left, and doctor finds nothing
wrong. Delays make no case of each point: all points of one process are late in one life. Errors where they change
nothing are met with SHIMD_TEST_LONG only.
"""

import concurrent.futures
import contextlib
import itertools
import os
import queue
import shutil
import signal
import threading
import time

import lives
import pytest
from cluster import Cluster, Refused, until
from lives import PATIENCE

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="containers need root"),
    pytest.mark.skipif(not shutil.which("containerd-shim-runc-v2"), reason="no containerd-shim-runc-v2"),
    pytest.mark.skipif(not shutil.which("runc"), reason="no runc"),
]

KINDS = {"panic": "1*panic", "error": "1*error(injected)", "delay": "1*delay(20)"}
IS_LONG = os.environ.get("SHIMD_TEST_LONG") == "1"
LANES = 4  # side by side: a life spends much of its time waiting
CONFIG = """
failpoints = on
shim
    shutdown-timeout = 500
"""


class ServiceManager:
    """Starts the supervisor again when it has died, as the unit's Restart=always does."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.keep)

    def keep(self):
        while not self.stopped.wait(0.01):
            if self.cluster.ended():
                self.cluster.start("--config", str(self.cluster.dir / "shimd.conf"), wait=False)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()


class Lane:
    """A cluster of its own, whose failpoints nobody else meets."""

    def __init__(self):
        self.cluster = Cluster().start(config=CONFIG)
        self.failpoints = self.cluster.run / "failpoints"
        self.numbers = itertools.count()
        # Layers of its own give the bundle worker something to remove that takes a child.
        self.cluster.shimctl("containers", "create", "--rootfs", "--overlay", self.cluster.rootfs(), "spec", "/bin/true")
        row = self.cluster.client().call("container.get", {"id": "spec"}, "default")
        self.record = {key: row[key] for key in ("runtime", "rootfs", "spec")}

    def life(self, kind):
        return kind(self.cluster, self.record, f"{kind.__name__.lower()}{next(self.numbers)}x")

    def hits(self, point):
        return self.failpoints / f"{point}.hits"

    def points_of(self, kind):
        """What a life without faults meets."""
        for old in self.failpoints.glob("*.hits"):  # of the start
            old.unlink()
        life = self.life(kind)
        assert life.live() and not life.failures, life.failures
        life.check_end(None)
        life.remove()
        until(life.is_gone, "nothing is left")
        points = sorted(path.stem for path in self.failpoints.glob("*.hits"))
        life.check_journal(True)
        self.await_health()
        return points

    def case(self, kind, points, fault):
        for point in points:
            self.hits(point).unlink(missing_ok=True)
            (self.failpoints / point).write_text(kind.before(point) + KINDS[fault])
        life = self.life(kind)
        lived = life.live()
        if lived:
            life.check_end(points[0])
        life.remove()
        until(life.is_gone, "nothing is left")
        if fault != "delay":  # the others of a process may be met by chance
            until(self.hits(points[0]).exists, "it is met")
        for point in points:
            (self.failpoints / point).unlink()
        self.cluster.await_ready()
        life.check_answers(fault, points[0])
        life.check_journal(lived)
        life.check_told()
        self.await_health()

    def await_health(self):
        """A removal that was cut short is debt until it is tried again."""
        end = time.monotonic() + PATIENCE
        while (done := self.cluster.shimctl("--json", "doctor")).returncode and time.monotonic() < end:
            time.sleep(0.05)
        assert (done.returncode, done.stdout) == (0, ""), f"doctor: {done.stdout}{done.stderr}"


@pytest.fixture(name="lanes", scope="module")
def fixture_lanes():
    with contextlib.ExitStack() as ends:
        lanes = []
        for _ in range(LANES):
            lanes.append(Lane())
            ends.callback(lanes[-1].cluster.destroy)
            ends.enter_context(ServiceManager(lanes[-1].cluster))
        yield lanes


# What the supervisor has to do -------------------------------------------------------------------------------


def known_status(cluster):
    """None after a failure that the fault explains."""
    with contextlib.suppress(Refused):
        return cluster.status()


def kill_all_but_supervisor(cluster):
    for name, row in until(lambda: known_status(cluster), "a status").items():
        if name != "supervisor":
            with contextlib.suppress(ProcessLookupError):  # it died with the supervisor
                os.kill(row["pid"], signal.SIGKILL)
    cluster.await_ready()


class Stirred(lives.Plain):
    """Each of the supervisor's processes dies, and it takes its own place."""

    def between(self):
        kill_all_but_supervisor(self.cluster)
        with contextlib.suppress(Refused):
            self.cluster.client().call("cluster.restart", {"process": "supervisor"}, timeout=PATIENCE)
        self.cluster.await_ready()


class Bereft(lives.Plain):
    """The supervisor dies, and the other processes with it; a new one takes over at once."""

    def between(self):
        self.cluster.supervisor.kill()
        until(lambda: self.cluster.supervisor.returncode is None, "another supervisor")
        self.cluster.await_ready()


# -------------------------------------------------------------------------------------------------------------

LIVES = [
    lives.Plain, lives.Steered, lives.Stillborn, lives.Orphan, lives.Buried, lives.Logged, lives.Passing, lives.Again,
    Stirred, Bereft,
]


def is_deaf(point):
    """Nothing is left there that an error could change."""
    return point.startswith(("broker.answer-", "metadata.commit-", "supervisor.")) or point.endswith(("-before-answer", "-before-record"))


def process_of(point):
    return point.split(".")[0]


def cases_of(life, points, met):
    """(points, kind of fault): each point of its own, and all of a process at once for a delay."""
    new = [point for point in points if point not in met or point.startswith(life.own)]
    yield from (([point], "panic") for point in new)
    yield from (([point], "error") for point in new if IS_LONG or not is_deaf(point))
    for _, group in itertools.groupby(points, process_of):
        yield list(group), "delay"


@pytest.fixture(name="points", scope="module")
def fixture_points(lanes):
    """What each kind of life meets."""
    return {kind: lanes[0].points_of(kind) for kind in LIVES}


def walk(lane, kind, cases, wrong):
    """Takes cases until there are none; what went wrong is added."""
    with contextlib.suppress(queue.Empty):
        while True:
            points, fault = cases.get_nowait()
            try:
                lane.case(kind, points, fault)
            except AssertionError as error:
                wrong.append(f"{points[0]} {fault}: {str(error)[:300]}")


@pytest.mark.parametrize("kind", LIVES, ids=lambda kind: kind.__name__.lower())
def test_a_life(lanes, points, kind):
    met = {point for earlier in LIVES[:LIVES.index(kind)] for point in points[earlier]}
    cases, wrong = queue.SimpleQueue(), []
    for case in cases_of(kind, points[kind], met):
        cases.put(case)
    count = cases.qsize()
    with concurrent.futures.ThreadPoolExecutor(LANES) as pool:
        for done in [pool.submit(walk, lane, kind, cases, wrong) for lane in lanes]:
            done.result()
    assert not wrong, "\n".join([f"{len(wrong)} of {count}:", *wrong])


def test_every_process_has_some(points):
    assert {process_of(point) for met in points.values() for point in met} == {
        "broker", "bundle", "keeper", "log", "metadata", "shim", "supervisor"}
