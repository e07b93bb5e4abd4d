"""Every failpoint that the multi-step operations pass, met by a panic, an error and a delay.

A first life of a container without faults tells which failpoints there are. Then each is armed for one hit, a
container lives the same life, and afterwards: every answer was the truth and is the one that the journal has,
nothing ran twice, the journal has each event once and in order, nothing is left, and doctor finds nothing wrong.
"""

import concurrent.futures
import contextlib
import json
import os
import shutil
import signal
import threading
import time
import uuid

import pytest
from cluster import Cluster, Refused, until

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="containers need root"),
    pytest.mark.skipif(not shutil.which("containerd-shim-runc-v2"), reason="no containerd-shim-runc-v2"),
    pytest.mark.skipif(not shutil.which("runc"), reason="no runc"),
]

KINDS = {"panic": "1*panic", "error": "1*error(injected)", "delay": "1*delay(100)"}
WANTED = KINDS if os.environ.get("SHIMD_TEST_LONG") == "1" else ["panic"]
PATIENCE = 40
LANES = 2  # side by side: a life spends much of its time waiting
# What a client may be told when a step was made to fail: nobody knows, or it names the step.
UNCERTAIN = {2, 4, 13, 14}
NOT_FOUND = 5
MUTATING = {"container.create", "container.delete", "task.create", "task.start", "task.exec", "task.delete"}


class Life:
    """One container from its record to its end, as a client that does not give up sees it."""

    def __init__(self, cluster, name):
        self.cluster, self.name, self.client = cluster, name, cluster.client()
        self.failures, self.told = [], {}

    def ask(self, method, **fields):
        """The answer, or None after a failure that the fault explains."""
        request = uuid.uuid4().bytes
        try:
            answer = self.client.call(method, {"id": self.name, **fields}, "default", timeout=PATIENCE, id=request, first=True)
            self.told[request] = (method, 0)
            return answer
        except Refused as refused:
            self.failures.append((method, refused.status, str(refused)))
            self.told[request] = (method, refused.status)
            return None

    def live(self, record, between=lambda: True):
        """True when it got to its end as wanted. `between` is done while the container runs."""
        marks = self.cluster.dir / "marks" / self.name
        marks.mkdir(parents=True)
        spec = json.loads(record["spec"])
        spec["process"]["args"] = ["/bin/sh", "-c", "echo > /marks/$$.init; while ! [ -e /marks/end ]; do sleep 0.01; done; exit 7"]
        spec["mounts"].append({"destination": "/marks", "type": "bind", "source": str(marks), "options": ["rbind", "rw"]})
        spec["linux"]["cgroupsPath"] = spec["linux"]["cgroupsPath"] + "-" + self.name
        process = {**spec["process"], "args": ["/bin/sh", "-c", "echo > /marks/$$.exec"]}
        done = (
            self.ask("container.create", **{**record, "spec": json.dumps(spec).encode()}) is not None
            and self.ask("task.create") is not None
            and self.ask("task.start") is not None
            and between()
            and self.ask("task.exec", exec_id="e", spec=json.dumps(process).encode()) is not None
            and self.ask("task.start", exec_id="e") is not None
            and self.ask("task.wait", exec_id="e") is not None
            and self.ask("task.delete", exec_id="e") is not None
        )
        (marks / "end").touch()
        if done:
            code = self.ask("task.wait")
            assert code is None or code["exit_status"] == 7, code
            code = self.ask("task.delete")
            assert code is None or code["exit_status"] == 7, code
        ran = list(marks.iterdir())
        assert len([m for m in ran if m.suffix == ".init"]) <= 1, f"init ran twice: {ran}"
        assert len([m for m in ran if m.suffix == ".exec"]) <= 1, f"the exec ran twice: {ran}"
        return done

    def remove(self):
        """What an operator would do after a failure; it must work."""
        for method, fields in (("task.delete", {"force": True}), ("container.delete", {})):
            end = time.monotonic() + PATIENCE
            while True:
                try:
                    self.client.call(method, {"id": self.name, **fields}, "default", timeout=PATIENCE)
                except Refused as refused:
                    if refused.status != NOT_FOUND and time.monotonic() < end:
                        time.sleep(0.05)
                        continue
                    assert refused.status == NOT_FOUND, f"{method}: {refused}"
                break


    def check_told(self):
        """What was answered is what the journal says was answered; a refusal may be the broker's, which has none."""
        for request, (method, status) in self.told.items():
            if method not in MUTATING:
                continue
            try:
                kept = self.client.call("request.get", {"id": request})
                assert (kept["method"], kept["status"]) == (method, status), f"{method} was answered {status}: {kept}"
            except Refused as refused:
                assert refused.status == NOT_FOUND and status, f"{method} was answered {status}: {refused}"


def check_journal(cluster, name, lived):
    events = [e for e in cluster.client().call("event.list", {"all": True, "limit": 10000})["events"]]
    mine = [e for e in events if e["event"].get("container_id") == name]
    rows = [(e["topic"], e["event"].get("exec_id") or (e["event"].get("id") if e["topic"] == "/tasks/exit" else "")) for e in mine]
    runs = {}
    for event, row in zip(mine, rows):
        runs.setdefault(event.get("incarnation"), []).append(row)
    for run in runs.values():
        assert len(run) == len(set(run)), f"an event twice: {run}"
    if lived:
        assert [r[0] for r in rows if r[1] in ("", name)] == ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"], rows
        exits = [e for e in mine if e["topic"] == "/tasks/exit" and e["event"]["id"] == name]
        assert [e["event"]["exit_status"] for e in exits] == [7]


def nothing_of(cluster, name):
    places = [cluster.run / "task/default" / name, cluster.root / "task/default" / name, cluster.run / "runc/default" / name]
    hidden = [p for base in (cluster.run, cluster.root) for p in (base / "task/default").glob(f".*{name}*")] if (cluster.run / "task/default").exists() else []
    processes = [c for c in cluster.processes().values() if name in c or any(f"/{name}" in word for word in c)]
    return not [p for p in places if p.exists()] and not hidden and not processes and not cluster.dead_sockets()


class Lane:
    """A cluster of its own, whose failpoints nobody else meets."""

    def __init__(self):
        self.cluster = Cluster().start(config="failpoints = on\nshim\n    shutdown-timeout = 500\n")
        # Layers of its own give the bundle worker something to remove that takes a child.
        self.cluster.shimctl("containers", "create", "--rootfs", "--overlay", self.cluster.rootfs(), "spec", "/bin/true")
        row = self.cluster.client().call("container.get", {"id": "spec"}, "default")
        self.record = {key: row[key] for key in ("runtime", "rootfs", "spec")}


@pytest.fixture(name="lanes", scope="module")
def fixture_lanes():
    lanes = [Lane() for _ in range(LANES)]
    with contextlib.ExitStack() as ends:
        for lane in lanes:
            ends.callback(lane.cluster.destroy)
        yield lanes


def arm(cluster, point, terms):
    (cluster.run / "failpoints" / f"{point}.hits").unlink(missing_ok=True)
    (cluster.run / "failpoints" / point).write_text(terms)


def points_of(cluster):
    return {path.stem for path in (cluster.run / "failpoints").glob("*.hits")}


def await_health(cluster):
    """A removal that was cut short is debt until it is tried again."""
    end = time.monotonic() + PATIENCE
    while (done := cluster.shimctl("--json", "doctor")).returncode and time.monotonic() < end:
        time.sleep(0.05)
    assert (done.returncode, done.stdout) == (0, ""), f"doctor: {done.stdout}{done.stderr}"


def one_case(cluster, record, point, kind, name, between=lambda: True):
    arm(cluster, point, KINDS[kind])
    life = Life(cluster, name)
    lived = life.live(record, between)
    life.remove()
    until(lambda: nothing_of(cluster, name), "nothing is left")
    until((cluster.run / "failpoints" / f"{point}.hits").exists, "it is met")
    (cluster.run / "failpoints" / point).unlink()
    cluster.await_ready()
    if kind == "delay":
        assert not life.failures, life.failures
    if kind == "panic":
        assert not life.failures, "a death is nobody's business but ours"
    for method, status, text in life.failures:
        assert status in UNCERTAIN, f"{method}: {text}"
    check_journal(cluster, name, lived)
    life.check_told()
    await_health(cluster)


def points_of_a_life(cluster, record, name="first", between=lambda: True):
    """What a life without faults meets."""
    for old in (cluster.run / "failpoints").glob("*.hits"):  # of the start
        old.unlink()
    first = Life(cluster, name)
    assert first.live(record, between) and not first.failures, first.failures
    first.remove()
    until(lambda: nothing_of(cluster, name), "nothing is left")
    points = sorted(points_of(cluster))
    check_journal(cluster, name, True)
    return points


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


def known_status(cluster):
    """None after a failure that the fault explains."""
    with contextlib.suppress(Refused):
        return cluster.status()


def stir(cluster):
    """What the supervisor has to do: each of its processes dies, and it takes its own place."""
    for name, row in until(lambda: known_status(cluster), "a status").items():
        if name != "supervisor":
            with contextlib.suppress(ProcessLookupError):  # it died with the supervisor
                os.kill(row["pid"], signal.SIGKILL)
    cluster.await_ready()
    with contextlib.suppress(Refused):
        cluster.client().call("cluster.restart", {"process": "supervisor"}, timeout=PATIENCE)
    cluster.await_ready()
    return True


def run_lane(lane, cases):
    """What went wrong."""
    wrong = []
    for number, point, kind in cases:
        try:
            one_case(lane.cluster, lane.record, point, kind, f"c{number}")
        except AssertionError as error:
            wrong.append(f"{point} {kind}: {str(error)[:300]}")
    return wrong


def test_the_matrix(lanes):
    points = [p for p in points_of_a_life(lanes[0].cluster, lanes[0].record) if not p.startswith("supervisor.")]
    assert len(points) > 40 and {p.split(".")[0] for p in points} >= {"broker", "bundle", "keeper", "metadata", "shim"}, points
    cases = [(number, point, kind) for number, (point, kind) in enumerate((p, k) for p in points for k in WANTED)]
    with concurrent.futures.ThreadPoolExecutor(LANES) as pool:
        shares = [cases[number::LANES] for number in range(LANES)]
        wrong = [row for rows in pool.map(run_lane, lanes, shares) for row in rows]
    assert not wrong, "\n".join([f"{len(wrong)} of {len(cases)}:", *wrong])


def test_the_supervisor(lanes):
    """Its death takes the other processes with it, and no container: a new one takes over at once."""
    cluster, record = lanes[0].cluster, lanes[0].record
    wrong = []
    with ServiceManager(cluster):
        met = points_of_a_life(cluster, record, "zeroth", lambda: stir(cluster))
        points = [p for p in met if p.startswith("supervisor.")]
        assert len(points) > 12, points
        for number, (point, kind) in enumerate((p, k) for p in points for k in WANTED):
            try:
                one_case(cluster, record, point, kind, f"s{number}", lambda: stir(cluster))
            except AssertionError as error:
                wrong.append(f"{point} {kind}: {str(error)[:300]}")
    assert not wrong, "\n".join([f"{len(wrong)} of {len(points) * len(WANTED)}:", *wrong])
