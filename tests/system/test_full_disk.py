"""The run directory or the root directory is full: what cannot be written is refused with a sentence that says what
and where, nothing is left of it, nothing is forgotten, and it all works again when there is room."""

import json
import os
import shutil
import signal
import subprocess
import uuid

import pytest
from cluster import Cluster, Refused, until
from fake_containers import CONFIG, LIFE, PATIENCE, UNAVAILABLE, Background, Containers

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="containers and mounts need root"),
    pytest.mark.skipif(not shutil.which("containerd-shim-runc-v2"), reason="no containerd-shim-runc-v2"),
    pytest.mark.skipif(not shutil.which("runc"), reason="no runc"),
]

RESOURCE_EXHAUSTED = 8
UNHEALTHY = 14
SIZE = "6m"
PAGE = 4096
PAGES_MAX = 40  # more than a container writes
BEGUN_SIZE = 17  # bytes of what a bundle notes of a request
REFUSALS = 5  # in a row: then it is full
MANY = 12  # containers that end while there is no room
BIG = 4 * 1024 * 1024 - 4096  # bytes of a spec, close to its limit
MAP_INITIAL = 64 * 1024 * 1024  # bytes; where the metadata worker's map starts


class SmallCluster(Cluster):
    """Its run and its root directory are small file systems of their own."""

    def __init__(self):
        super().__init__()
        for path in (self.run, self.root):
            path.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=755", "none", path], check=True)

    def fill(self, path):
        with open(path / "filler", "wb", buffering=0) as file:
            for size in (65536, PAGE, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    pass

    def leave(self, path, pages):
        """Fills the file system, but for so many pages."""
        self.fill(path)
        filler = path / "filler"
        os.truncate(filler, filler.stat().st_size - pages * PAGE)

    def free(self, path):
        (path / "filler").unlink()

    def destroy(self):
        try:
            for path in (self.run, self.root):
                (path / "filler").unlink(missing_ok=True)
            self.remove_tasks()
            self.stop()
        finally:
            for path in (self.run, self.root):
                subprocess.run(["umount", "-l", path], check=True)
            super().destroy()


@pytest.fixture(name="small")
def fixture_small():
    """One that has not been started yet."""
    made = SmallCluster()
    try:
        yield made
    finally:
        made.destroy()


@pytest.fixture(name="cluster")
def fixture_cluster(small):
    return small.start()


def pids(cluster):
    return {name: row["pid"] for name, row in cluster.status().items()}


def gated(cluster, name):
    """A container that ends, with exit code 5, when it is let go."""
    script = f"while [ ! -e /go-{name} ]; do sleep 0.05; done; exit 5"
    done = cluster.shimctl("run", "-d", "--rootfs", cluster.rootfs(), name, "/bin/sh", "-c", script)
    assert done.returncode == 0, done.stderr


def let_go(cluster, name):
    (cluster.rootfs() / f"go-{name}").touch()
    until(lambda: states(cluster)[name] == "STOPPED", f"{name} has ended")


def events(cluster, topic):
    page = cluster.client().call("event.list", {"all": True})
    return [e["event"]["container_id"] for e in page["events"] if e["topic"] == topic]


def states(cluster):
    rows = map(json.loads, cluster.shimctl("--json", "tasks", "list").stdout.splitlines())
    return {row["id"]: row["status"] for row in rows}


def left_of(cluster, name):
    places = [p for base in (cluster.run, cluster.root) for p in base.glob(f"*/*/*{name}*")]
    return places + [row for row in cluster.shimctl("containers", "list", "-q").stdout.split() if row == name] + [
        command for command in cluster.processes().values() if "-id" in command and name in command]


def refused(cluster, *sentences):
    """A container cannot be run, and the error says why."""
    done = cluster.shimctl("run", "--rm", "--rootfs", cluster.rootfs("other"), "new", "/bin/true")
    assert done.returncode == RESOURCE_EXHAUSTED, done.stderr
    assert done.stderr.count("\n") == 1 and all(s in done.stderr for s in (*sentences, "No space left on device")), done.stderr
    until(lambda: not left_of(cluster, "new"), "nothing is left")


def doctor(cluster):
    """Exit status, and findings by their kind."""
    done = cluster.shimctl("--json", "doctor")
    return done.returncode, {row["kind"]: row for row in map(json.loads, done.stdout.splitlines())}


def works_again(cluster):
    done = cluster.shimctl("run", "--rm", "--rootfs", cluster.rootfs("other"), "new", "/bin/sh", "-c", "echo well")
    assert (done.returncode, done.stdout) == (0, "well\n"), done.stderr
    until(lambda: not left_of(cluster, "new"), "nothing is left")


def test_full_run_directory(cluster):
    before = pids(cluster)
    gated(cluster, "c")
    cluster.fill(cluster.run)
    for _ in range(3):
        refused(cluster, f"{cluster.run}/task/default/new: write config.json")
    let_go(cluster, "c")
    assert cluster.shimctl("tasks", "wait", "c").stdout == "5\n"
    assert cluster.shimctl("tasks", "delete", "c").returncode == 0, "what is there can be deleted"
    until(lambda: not left_of(cluster, "default/c"), "nothing is left")
    cluster.free(cluster.run)
    works_again(cluster)
    assert events(cluster, "/tasks/exit") == ["c", "new"]
    assert pids(cluster) == before


@pytest.mark.parametrize("which", ["run", "root"])
def test_room_for_a_part(cluster, which):
    """Whatever it is that could not be written any more, what was made before it is undone."""
    place = getattr(cluster, which)
    before = pids(cluster)
    refusals = 0
    for pages in range(PAGES_MAX):
        cluster.leave(place, pages)
        done = cluster.shimctl("run", "--rm", "--rootfs", cluster.rootfs(), "new", "/bin/true")
        has_no_room_to_go = "delete container new: " in done.stderr or "delete task new: " in done.stderr
        if done.returncode and not has_no_room_to_go:
            until(lambda: not left_of(cluster, "new"), f"nothing is left after {done.stderr}")
        cluster.free(place)
        if done.returncode == 0:
            break
        refusals += 1
        if has_no_room_to_go:
            until(lambda: not left_of(cluster, "new"), "the cluster removes it now that there is room", 60)
    assert refusals >= 3 and pages < PAGES_MAX - 1
    works_again(cluster)
    assert pids(cluster) == before


def use_up(cluster):
    """The store has pages of its own to spare: this takes them, down to what a small event needs."""
    client = cluster.client()
    said = []
    for size in (2000, 1):
        refusals = 0
        for _ in range(1000):
            try:
                client.call("event.publish", {"topic": "/x", "type": "t", "event": {"x": "x" * size}}, "default", timeout=10)
                refusals = 0
            except Refused as error:
                said.append(str(error))
                refusals += 1
            if refusals == REFUSALS:
                break
    assert refusals == REFUSALS, "never full"
    return said


def test_full_root_directory(cluster):
    names = [f"c{i}" for i in range(MANY)]
    for name in names:
        gated(cluster, name)
    before = pids(cluster)
    waiters = [subprocess.Popen(cluster.command("tasks", "wait", name), stdout=subprocess.PIPE, text=True) for name in names]
    cluster.fill(cluster.root)
    sentence = f"metadata store {cluster.root}/metadata is full: No space left on device"
    assert all(sentence in text for text in use_up(cluster))
    for _ in range(3):
        refused(cluster, f"{cluster.root}/metadata")
    for name in names:
        let_go(cluster, name)
        use_up(cluster)  # small records find room that larger ones do not
    assert len(events(cluster, "/tasks/exit")) < MANY, "there was room all the time"
    cluster.free(cluster.root)
    assert [waiter.communicate(timeout=30)[0] for waiter in waiters] == ["5\n"] * MANY
    until(lambda: sorted(events(cluster, "/tasks/exit")) == sorted(names), "all exits are recorded, each once")
    works_again(cluster)
    for name in names:
        assert cluster.shimctl("tasks", "delete", name).returncode == 0
    assert pids(cluster) == before


@pytest.mark.parametrize("victims", [[], ["shim", "metadata"]], ids=["", "and our processes die"])
def test_a_shim_dies_while_the_root_directory_is_full(small, victims):
    """What it left is removed only when the journal has the end."""
    cluster = small.start(config="shim\n    on-shim-loss = kill\n")
    gated(cluster, "c")
    row = cluster.client().call("task.get", {"id": "c"}, "default")
    cluster.fill(cluster.root)
    use_up(cluster)
    os.kill(row["shim_pid"], signal.SIGKILL)
    until(lambda: states(cluster)["c"] == "STOPPED", "it is ended")
    for name in victims:
        cluster.await_successor(name, cluster.kill(name))
    assert events(cluster, "/tasks/exit") == []
    cluster.free(cluster.root)
    until(lambda: events(cluster, "/tasks/delete") == ["c"], "its end is recorded")
    assert events(cluster, "/tasks/exit") == ["c"]
    assert cluster.shimctl("tasks", "wait", "c").stdout == "137\n"
    until(lambda: not left_of(cluster, "default/c"), "nothing is left")
    works_again(cluster)


def test_a_burial_that_waits_for_room(small):
    """It says so once, and who waits for it hears why."""
    containers = Containers(small.start("--log-level", "debug", config=CONFIG))
    containers.run("c")
    shim = containers.shim_pid("c")
    with small.worker_away():
        os.kill(shim, signal.SIGKILL)
        small.fill(small.root)
        use_up(small)
    full = f"metadata store {small.root}/metadata is full: No space left on device"

    def told(level):
        return [line for line in small.log().splitlines() if f" {level}: " in line and full in line and "default/c" in line]

    until(lambda: len(told("debug")) >= 4, "it is tried again")
    assert len(told("warn")) == len(told("error")) == 1, "what repeats is told once"
    status, sentence = containers.refusal("task.delete", "c", timeout=2)
    assert status == UNAVAILABLE and f"its end cannot be recorded yet: {full}" in sentence, sentence
    code, found = doctor(small)
    assert (code, set(found)) == (UNHEALTHY, {"full-disk", "stuck-task"}), found
    assert found["full-disk"]["object"] == str(small.root)
    assert found["stuck-task"]["object"] == "default/c" and full in found["stuck-task"]["finding"], found
    small.free(small.root)
    until(lambda: containers.task("c") is None, "it is buried")
    assert containers.topics("c") == LIFE
    containers.call("container.delete", "c")
    assert doctor(small) == (0, {})


def test_an_undone_create_that_waits_for_room(small):
    """Both directories fill up while it is under way; there is room again, and its name is free."""
    containers = Containers(small.start(config=f"failpoints = on\n{CONFIG}"))
    containers.record("c")
    (small.run / "failpoints/shim.create-make-bundle-before").write_text("1*off")
    bundle = small.kill("bundle", signal.SIGSTOP)
    create = Background(containers, "task.create", "c", timeout=PATIENCE)
    until((small.run / "failpoints/shim.create-make-bundle-before.hits").exists, "it has begun")
    for path in (small.run, small.root):
        small.fill(path)
    use_up(small)
    os.kill(bundle, signal.SIGCONT)
    status, sentence = create.outcome()
    assert status == RESOURCE_EXHAUSTED, sentence
    full = f"metadata store {small.root}/metadata is full: No space left on device"
    until(lambda: f"default/c: that it was not created cannot be recorded: {full}" in small.log(), "it is told")
    for path in (small.run, small.root):
        small.free(path)
    assert containers.call("task.create", "c")["pid"]
    assert containers.remove("c") and containers.nothing_of("c")


def test_an_outcome_that_waits_for_room(small):
    """A task is made, and shim, worker and disk fail before that is recorded: its request is not carried out again."""
    containers = Containers(small.start(config=f"failpoints = on\n{CONFIG}"))
    containers.record("c")
    point = small.run / "failpoints/shim.task.create-before-record"
    point.write_text("1*delay(60000)")
    request, worker = os.urandom(16), small.pid("shim")
    with pytest.raises(Refused, match="still running at the deadline"):
        containers.call("task.create", "c", timeout=3, id=request)
    small.await_successor("broker", small.kill("broker"))
    small.fill(small.root)
    use_up(small)
    (shim,) = containers.shims()
    os.kill(shim, signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    small.await_successor("shim", worker)
    until(lambda: "bury default/c: " in small.log() and "trying again" in small.log(), "there is no room for its end")
    small.free(small.root)
    until(lambda: containers.task("c") is None, "it is buried")
    assert containers.call("task.create", "c", id=request)["pid"]
    assert len(containers.asked_for("c", "Create")) == 1
    containers.call("container.delete", "c")


def test_a_first_start_in_a_full_root_directory(small):
    """It says so, goes on trying, and whatever there was room for is no damage."""
    full = f"metadata store {small.root}/metadata is full: No space left on device"
    refusals = 0
    for pages in range(PAGES_MAX):
        for path in small.root.iterdir():
            shutil.rmtree(path)
        small.leave(small.root, pages)
        small.log_path.unlink(missing_ok=True)
        small.start(wait=False)
        until(lambda: full in small.log() or "cluster ready" in small.log(), "it says so, or comes up")
        is_full = full in small.log()
        small.free(small.root)
        small.await_ready()
        small.stop()
        assert "SIGBUS" not in small.log() and "damaged" not in small.log()
        refusals += is_full
        if not is_full:
            break
    assert refusals >= 3 and pages < PAGES_MAX - 1


def test_an_entry_that_had_room_for_a_part(small):
    """It does not hide those that are written when there is room again."""
    containers = Containers(small.start(config=CONFIG))
    containers.run("c")
    begun = small.run / "task/default/c/begun"

    def size():
        return begun.stat().st_size

    while size() < PAGE - 4 * BEGUN_SIZE:
        containers.call("task.kill", "c", signal=signal.SIGCONT)
    small.fill(small.run)
    while size() < PAGE:  # which is no multiple of an entry: the last one is cut short
        containers.outcome("task.kill", "c", signal=signal.SIGCONT)
    small.free(small.run)
    containers.call("task.kill", "c", signal=signal.SIGCONT)
    assert size() > PAGE and size() % BEGUN_SIZE == 0
    containers.finish("c")


def test_what_cannot_be_noted_is_not_started(small):
    """So that a successor knows of everything that runs; it is started when there is room again."""
    containers = Containers(small.start(config=CONFIG.replace("= kill", "= keep")))
    containers.create("c")
    small.fill(small.run)
    status, sentence = containers.refusal("task.start", "c")
    assert status == RESOURCE_EXHAUSTED and "start task c: write init.json: No space left on device" in sentence, sentence
    assert not containers.asked_for("c", "Start")
    small.free(small.run)
    pid = containers.call("task.start", "c")["pid"]
    containers.add_exec("c", "e")
    small.fill(small.run)
    assert containers.refusal("task.start", "c", exec_id="e")[0] == RESOURCE_EXHAUSTED
    assert len(containers.asked_for("c", "Start")) == 1
    small.free(small.run)
    assert containers.call("task.start", "c", exec_id="e")["pid"]
    containers.lose_shim("c", to_a_successor=True)
    until(lambda: containers.task("c").get("orphaned"), "it is an orphan")
    assert containers.task("c")["pid"] == pid
    containers.remove("c")


def test_the_map_grows(fresh_cluster):
    """More than the map holds at first; all of it is there, also for a successor."""
    cluster = fresh_cluster.start()
    client = cluster.client()
    specs = {}
    while sum(map(len, specs.values())) < 2.2 * MAP_INITIAL:
        name = f"big{len(specs)}"
        specs[name] = json.dumps({"ociVersion": "1.0.2", "annotations": {"x": uuid.uuid4().hex, "y": "y" * BIG}}).encode()
        client.call("container.create", {"id": name, "runtime": "io.containerd.runc.v2", "spec": specs[name]}, "default", timeout=30)
        if len(specs) == 20:
            cluster.await_successor("metadata", cluster.kill("metadata"))
    assert (cluster.root / "metadata/data.mdb").stat().st_size > 2 * MAP_INITIAL
    for _ in range(2):
        cluster.await_successor("metadata", cluster.kill("metadata"))
        for name, spec in specs.items():
            assert client.call("container.get", {"id": name}, "default", timeout=30)["spec"] == spec
        assert len(client.call("container.list", {}, "default")["containers"]) == len(specs)
