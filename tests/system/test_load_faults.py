"""What a starting shim worker does with what its predecessor left, met by a panic, an error and a delay at each of its
failpoints: containers do not notice, and nothing happens twice or not at all."""

import json
import os
import pathlib
import signal

import pytest
from cluster import Cluster, until
from fake_containers import CONFIG, LIFE, NOT_FOUND, Containers

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="shims need root")

KINDS = {"panic": "1*panic", "error": "1*error(injected)", "delay": "1*delay(500)"}
SIGNALLED = 128  # is added to the signal that ends a process
OURS = signal.SIGUSR1  # which nobody else sends, so that an earlier death is seen


@pytest.fixture(name="containers", scope="module")
def fixture_containers():
    cluster = Cluster()
    try:
        yield Containers(cluster.start(config=f"failpoints = on\n{CONFIG}"))
    finally:
        cluster.destroy()


@pytest.fixture(name="kind", params=KINDS)
def fixture_kind(request):
    return request.param


class Fault:
    """Armed for one hit; afterwards it must have been met, and after a panic once more by the next worker."""

    def __init__(self, containers, point, kind):
        self.kind, self.place = kind, containers.cluster.run / "failpoints" / f"shim.{point}"
        self.hits = pathlib.Path(f"{self.place}.hits")

    def __enter__(self):
        self.hits.unlink(missing_ok=True)
        self.place.write_text(KINDS[self.kind])

    def __exit__(self, *failure):
        if not any(failure):
            wanted = 2 if self.kind == "panic" else 1
            until(lambda: self.hits.exists() and self.hits.stat().st_size >= wanted, f"{self.place.name} is met")
        self.place.unlink()


def check_end(containers, name, code):
    """Its story is whole and told once, nothing of it is left, and nothing is wrong."""
    assert containers.topics(name) == LIFE
    codes = [e["event"]["exit_status"] for e in containers.events(name) if e["topic"] == "/tasks/exit"]
    assert codes == [code]
    containers.call("container.delete", name)
    containers.await_nothing_of(name)
    until(lambda: not containers.cluster.dead_sockets(), "no socket is left")

    def findings():
        done = containers.cluster.shimctl("--json", "doctor")
        return [json.loads(line) for line in done.stdout.splitlines()] or done.stderr

    until(lambda: not findings(), "doctor finds nothing wrong")


def check_life_goes_on(containers, name, pid):
    def is_running():
        row = containers.task(name)
        return row and row["status"] == "RUNNING" and not row.get("phase") and row

    assert until(is_running, "it is known to run")["pid"] == pid
    containers.call("task.kill", name, signal=OURS)
    assert containers.wait(name) == SIGNALLED + OURS
    assert containers.call("task.delete", name)["exit_status"] == SIGNALLED + OURS
    check_end(containers, name, SIGNALLED + OURS)


@pytest.mark.parametrize("point", ["begin", "connect", "adopt", "adopted"])
def test_a_running_container(containers, point, kind):
    name = f"{point}-{kind}"
    pid = containers.run(name, more={"on_shim_loss": "keep"})
    with Fault(containers, f"load-{point}", kind):
        containers.cluster.kill("shim")
    check_life_goes_on(containers, name, pid)


def test_an_orphan(containers, kind):
    name = f"kept-{kind}"
    pid = containers.run(name, more={"on_shim_loss": "keep"})
    with Fault(containers, "load-kept", kind):
        containers.lose_shim(name, to_a_successor=True)
    assert containers.task(name)["orphaned"]
    check_life_goes_on(containers, name, pid)


def test_a_container_without_a_shim(containers, kind):
    name = f"bury-{kind}"
    containers.run(name)
    with Fault(containers, "load-bury", kind):
        containers.lose_shim(name, to_a_successor=True)
    until(lambda: containers.task(name) is None, "it is buried")
    assert containers.refusal("task.delete", name)[0] == NOT_FOUND
    check_end(containers, name, SIGNALLED + signal.SIGKILL)


def test_a_lost_intent_that_the_journal_cannot_tell_yet(containers):
    """It is made again as it was, and not as far as it can be guessed."""
    pid = containers.run("mend", more={"on_shim_loss": "kill"})
    intent = containers.cluster.run / "task/default/mend/intent.json"
    point = containers.cluster.run / "failpoints/metadata.incarnation.get-begin"
    before = json.loads(intent.read_text())
    point.write_text("error(injected)")
    try:
        with containers.cluster.worker_away():
            intent.unlink()
        held = until(lambda: containers.task("mend").get("held"), "it is known what it waits for")
    finally:
        point.unlink()
    assert held.startswith("its intent is lost, and the journal does not answer: ") and held.endswith("injected"), held
    assert containers.task("mend")["phase"] == "loading" and not intent.exists()
    until(lambda: not containers.task("mend").get("phase"), "it is adopted")
    assert "held" not in containers.task("mend")
    assert {**json.loads(intent.read_text()), "request": before["request"]} == before
    check_life_goes_on(containers, "mend", pid)


def test_a_shim_that_listens_where_nobody_looks(containers):
    """It chose its socket's name, and the worker died before it had written that down."""
    place = containers.cluster.dir / "own"
    name = containers.record("own", generation=2, socket_dir=place)
    with Fault(containers, "create-start-shim-after", "panic"):
        containers.call("task.create", name)
    assert len(containers.asked_for(name, "Create")) == 1
    check_life_goes_on(containers, name, containers.call("task.start", name)["pid"])
    assert list(place.iterdir()) == []


def test_a_shim_without_a_container(containers, kind):
    """The worker died before it asked for one: the shim goes, and the request that comes again gets another."""
    name = containers.record(f"undo-{kind}")
    with Fault(containers, "create-create-task-before", "panic"), Fault(containers, "load-undo", kind):
        containers.call("task.create", name)
    assert len(containers.asked_for(name, "Create")) == 1
    check_life_goes_on(containers, name, containers.call("task.start", name)["pid"])
