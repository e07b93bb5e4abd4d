"""shimctl doctor: no false alarm on a cluster at work; seeded damage of many kinds is found, named and mended."""

import ctypes
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import uuid

import pytest
from cluster import SHIM_SOCKETS, Cluster, Refused, is_alive, process_ids, command_of, until

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="containers need root"),
    pytest.mark.skipif(not shutil.which("containerd-shim-runc-v2"), reason="no containerd-shim-runc-v2"),
    pytest.mark.skipif(not shutil.which("runc"), reason="no runc"),
]

UNHEALTHY = 14
SHIM = "containerd-shim-runc-v2"
RUNC = "io.containerd.runc.v2"
LIBC = ctypes.CDLL(None, use_errno=True)


# Helpers


def doctor(cluster, *options, run_options=()):
    """Exit status and findings."""
    done = cluster.shimctl("--json", *run_options, "doctor", *options)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def healthy(cluster):
    code, found, stderr = doctor(cluster)
    assert (code, found) == (0, []), (code, found, stderr)


def run(cluster, name, *options, command=("/bin/sleep", "1000")):
    done = cluster.shimctl("run", "-d", "--null-io", *options, "--rootfs", cluster.rootfs(), name, *command)
    assert done.returncode == 0, done.stderr


def tasks(cluster):
    rows = cluster.client().call("task.list", {"all": True}, timeout=20)["tasks"]
    return {row["id"]: row for row in rows}


def bundle(cluster, name):
    return cluster.run / "task/default" / name


def work(cluster, name):
    return cluster.root / "task/default" / name


def mount(path):
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", path], check=True)


def cgroup_base(cluster):
    return "shimd-" + hashlib.sha1(str(cluster.run).encode()).hexdigest()[:12]


def hierarchies():
    with open("/proc/self/mounts", encoding="utf-8") as table:
        return [line.split()[1] for line in table if line.split()[2] in ("cgroup", "cgroup2")]


def make_cgroup(cluster, name):
    """The directory in each hierarchy."""
    made = [f"{top}/{cgroup_base(cluster)}/default/{name}" for top in hierarchies()]
    for path in made:
        os.makedirs(path)
    return made


def socket_path(cluster, name, ns="default"):
    text = f"{cluster.run}/client.sock/{ns}/{name}"
    return SHIM_SOCKETS / hashlib.sha256(text.encode()).hexdigest()


def dead_socket(path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    listener.close()


def lose_bundle(cluster, name):
    """Its task as it was, and a cluster that knows nothing of what is left of it: bundle and journal are as after
    somebody has removed the bundle while all was down."""
    row = tasks(cluster)[name]
    cluster.stop()
    shutil.rmtree(bundle(cluster, name))
    cluster.start()
    until(lambda: name not in tasks(cluster), "its run has ended")
    return row


def kinds(found):
    return sorted({row["kind"] for row in found})


def events_of(cluster, name):
    page = cluster.client().call("event.list", {"all": True, "limit": 10000})
    return [e["topic"] for e in page["events"] if name in (e["event"].get("container_id"), e["event"].get("id"))]


@pytest.fixture
def witness(cluster):
    """Tasks that no repair may touch, and a cluster beside with one more."""
    other = Cluster()
    other.start()
    for where in (cluster, other):
        run(where, "witness")
    before = (tasks(cluster)["witness"], tasks(other)["witness"])
    try:
        yield other
        after = (tasks(cluster)["witness"], tasks(other)["witness"])
        assert [(row["pid"], row["shim_pid"], row["status"]) for row in after] == [
            (row["pid"], row["shim_pid"], row["status"]) for row in before
        ]
        healthy(other)
    finally:
        other.destroy()


# No false alarms


class Clients:
    """Threads that make, run and delete containers until they are told to stop."""

    def __init__(self, cluster, count):
        self.cluster, self.failures, self.lives, self.stopping = cluster, [], 0, False
        self.threads = [threading.Thread(target=self.work, args=(i,), daemon=True) for i in range(count)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        until(lambda: self.lives >= len(self.threads), "each has made one", 60)
        return self

    def __exit__(self, *_):
        self.stopping = True
        for thread in self.threads:
            thread.join(90)
            assert not thread.is_alive()
        assert not self.failures, self.failures[:3]

    def work(self, number):
        turn = 0
        while not self.stopping:
            turn += 1
            ways = [("-d", "--null-io"), ("-d",), ("--rm",)]
            name, way = f"busy{number}-{turn % 2}", ways[turn % len(ways)]
            command = ("/bin/true",) if way == ("--rm",) else ("/bin/sleep", "1000")
            steps = [("run", *way, "--rootfs", self.cluster.rootfs(), name, *command)]
            if way != ("--rm",):
                steps += [("tasks", "delete", "-f", name), ("containers", "delete", name)]
            for words in steps:
                done = self.cluster.shimctl(*words)
                if done.returncode:
                    self.failures.append((words, done.stderr))
                    return
            self.lives += 1


def test_a_healthy_cluster_has_no_findings(cluster):
    """Detached and attached tasks, a group, orphans, execs, one that is stopped and one never started."""
    healthy(cluster)
    for name in ("a", "b"):
        run(cluster, name)
    for name in ("first", "second"):
        run(cluster, name, "--annotation", "io.containerd.runc.v2.group=pod")
    assert tasks(cluster)["first"]["shim_pid"] == tasks(cluster)["second"]["shim_pid"]
    done = cluster.shimctl("run", "-d", "--rootfs", cluster.rootfs(), "fifos", "/bin/sleep", "1000")
    assert done.returncode == 0, done.stderr
    attached = subprocess.Popen(
        cluster.command("run", "--rootfs", cluster.rootfs(), "attached", "/bin/sleep", "1000"), stdin=subprocess.PIPE
    )
    run(cluster, "orphan")
    run(cluster, "ended", command=("/bin/true",))
    run(cluster, "execs")
    assert cluster.shimctl("tasks", "exec", "-d", "--exec-id", "e1", "execs", "/bin/sleep", "1000").returncode == 0
    assert cluster.shimctl("tasks", "exec", "-d", "--exec-id", "e2", "execs", "/bin/true").returncode == 0
    spec = cluster.client().call("container.get", {"id": "a"}, "default")["spec"]
    spec = spec.replace(b"/default/a", b"/default/elsewhere-created")  # its cgroup is not called after it
    cluster.client().call("container.create", {"id": "created", "runtime": RUNC, "spec": spec}, "default")
    cluster.client().call("task.create", {"id": "created"}, "default", timeout=30)
    os.kill(tasks(cluster)["orphan"]["shim_pid"], signal.SIGKILL)
    until(lambda: tasks(cluster)["orphan"].get("orphaned"), "the orphan")
    until(lambda: tasks(cluster)["ended"]["status"] == "STOPPED", "one has ended")
    until(lambda: "attached" in tasks(cluster), "the attached one")
    assert len(tasks(cluster)) == 10
    healthy(cluster)
    with Clients(cluster, 4) as clients:
        for _ in range(4):
            healthy(cluster)
            lives = clients.lives
            until(lambda: clients.lives > lives or clients.failures, "they go on", 60)
    healthy(cluster)
    text = cluster.shimctl("doctor")
    assert (text.returncode, text.stdout, text.stderr) == (0, "", "")
    assert cluster.shimctl("tasks", "kill", "-s", "KILL", "attached").returncode == 0
    assert attached.wait(20) == 137


# Damage


def found_and_mended(cluster, expected, left=()):
    """The doctor finds exactly these (kind, object), mends all but `left`, and then finds only those."""
    wanted = {(kind, str(thing)) for kind, thing in expected}
    code, found, stderr = doctor(cluster)
    assert {(row["kind"], row["object"]) for row in found} == wanted, (found, stderr)
    assert code == UNHEALTHY
    assert not [row for row in found if row["state"] != "open" or row.get("result")], found
    code, told, stderr = doctor(cluster, "--repair")
    rows = {(row["kind"], row["object"]): row for row in told}
    assert set(rows) >= wanted, (told, stderr)
    for key, row in rows.items():
        assert row["state"] == ("left" if key[0] in left else "mended"), row
        assert row["result"], row
    assert code == (UNHEALTHY if left else 0), (told, stderr)
    again = doctor(cluster)
    assert (again[0], {row["kind"] for row in again[1]}) == (UNHEALTHY if left else 0, set(left)), again
    return found, rows


def hidden(base, name, kind):
    path = base / "task/default" / f".{name}.{kind}-{uuid.uuid4()}"
    (path / "rootfs").mkdir(parents=True)
    (path / "file").write_text("x")
    return path


def test_directories(cluster, witness):
    """Bundles, work directories, what was set aside, fifos, mounts; nothing behind a symlink is touched."""
    precious = cluster.dir / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    expected = []

    def expect(kind, path):
        expected.append((kind, path))
        return path

    expect("stale-bundle", bundle(cluster, "garbage")).mkdir()
    (bundle(cluster, "garbage") / "file").write_text("x")
    expect("stale-bundle", bundle(cluster, "empty")).mkdir()
    mount(expect("stale-bundle", bundle(cluster, "mounted")) / "rootfs")
    mount(expect("stale-bundle", bundle(cluster, "covered")))
    copied = expect("stale-bundle", bundle(cluster, "copied"))
    copied.mkdir()
    shutil.copy(bundle(cluster, "witness") / "config.json", copied)
    (copied / "incarnation").write_text(f"{uuid.uuid4()}\n")
    (copied / "work").symlink_to(precious)
    expect("half-removed", hidden(cluster.run, "a", "new"))
    mount(expect("half-removed", hidden(cluster.run, "b", "del")) / "rootfs")
    expect("half-removed", hidden(cluster.root, "c", "del"))
    expect("stray-work-directory", work(cluster, "d")).mkdir()
    (work(cluster, "d") / "file").write_text("x")
    mount(expect("stray-work-directory", work(cluster, "e")))
    expect("stray-file", bundle(cluster, "f")).write_text("x")
    expect("stray-file", bundle(cluster, "link")).symlink_to(precious)
    expect("stray-file", cluster.run / "task/file").write_text("x")
    mount(expect("stray-mount", expect("stray-file", bundle(cluster, "not..one")) / "in"))
    aside = cluster.run / "quarantine/default"
    mount(expect("quarantined", aside / "g.17") / "rootfs")
    (aside / "g.17.why").write_text("it was bad")
    expect("quarantined", aside / "h.18.why").write_text("its directory is gone")
    expect("quarantined", cluster.root / "quarantine/default/i.19").mkdir(parents=True)
    fifos = expect("stray-fifo", cluster.run / "fifo" / "0123456789abcdef")
    fifos.mkdir(parents=True)
    os.mkfifo(fifos / "gone-stdin")
    mount(expect("stray-mount", cluster.run / "fifo" / "0123456789abcdef" / "m"))
    shutil.rmtree(expect("missing-work-directory", work(cluster, "witness")))
    found, rows = found_and_mended(cluster, expected)
    (reason,) = [row["finding"] for row in found if row["object"] == str(aside / "g.17")]
    assert reason == "set aside: it was bad"
    assert (precious / "file").read_text() == "x"
    assert work(cluster, "witness").is_dir()
    assert "quarantined" in [kind for kind, thing in rows if "garbage" in thing], "set aside first"
    gone = [path for kind, path in expected if kind != "missing-work-directory"]
    assert not [path for path in gone if os.path.lexists(path)]
    assert not (aside / "g.17.why").exists()


def test_kernel(cluster, witness):
    """Cgroups, processes in them, runc's containers, and sockets; another manager's stay."""
    run(cluster, "past")
    for words in (("tasks", "delete", "-f", "past"), ("containers", "delete", "past")):
        assert cluster.shimctl(*words).returncode == 0
    assert cluster.shimctl("tasks", "delete", "past").returncode != 0  # what is refused causes nothing
    cluster.client().call("container.create", {"id": "recorded", "runtime": RUNC, "spec": b"{}"}, "default")
    theirs = [SHIM_SOCKETS / hashlib.sha256(uuid.uuid4().bytes).hexdigest(), socket_path(witness, "past")]
    ours = [socket_path(cluster, "past"), socket_path(cluster, "recorded")]
    for path in theirs + ours:
        dead_socket(path)
    for name in ("empty", "past"):
        make_cgroup(cluster, name)
    sleepers = [subprocess.Popen(["sleep", "1000"]) for _ in range(2)]
    for sleeper, name in zip(sleepers, ("-inhabited", "frozen")):
        for path in make_cgroup(cluster, name):
            if "/cpuset/" not in path:
                (cluster.dir / "no").write_text("") or open(f"{path}/cgroup.procs", "w").write(str(sleeper.pid))
            if os.path.exists(f"{path}/freezer.state") and name == "frozen":
                open(f"{path}/freezer.state", "w").write("FROZEN")
    state = cluster.run / "runc/default"
    (state / "hollow").mkdir()
    (state / "garbled").mkdir()
    (state / "garbled/state.json").write_text("{")
    spec = json.loads(cluster.client().call("container.get", {"id": "witness"}, "default")["spec"])
    spec["linux"]["cgroupsPath"] = f"/{cgroup_base(cluster)}/default/other"
    (cluster.dir / "runc").mkdir()
    (cluster.dir / "runc/config.json").write_text(json.dumps(spec))
    runc = ["runc", "--root", state, "run", "-d", "-b", cluster.dir / "runc", "leaked"]
    subprocess.run(runc, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pid = json.loads((state / "leaked/state.json").read_text())["init_process_pid"]
    base = f"/{cgroup_base(cluster)}/default"
    found, _ = found_and_mended(
        cluster,
        [("dead-socket", path) for path in ours]
        + [("stray-cgroup", f"{base}/{name}") for name in ("empty", "past")]
        + [("stray-process", f"{base}/{name}") for name in ("-inhabited", "frozen", "other")]
        + [("stray-runc-state", state / name) for name in ("hollow", "garbled", "leaked")],
    )
    causes = {row["object"]: row.get("method") for row in found if row["kind"] == "stray-cgroup"}
    assert causes == {f"{base}/empty": None, f"{base}/past": "container.delete"}, "the journal knows who was there last"
    assert [sleeper.wait(10) for sleeper in sleepers] == [-signal.SIGKILL] * 2
    assert not is_alive(pid)
    assert not [path for path in ours if path.exists()]
    assert all(path.exists() for path in theirs)
    for path in theirs:
        path.unlink()


def start_shim(cluster, name):
    """A shim of this cluster that no bundle knows; its process."""
    place = cluster.dir / "by-hand" / name
    place.mkdir(parents=True)
    shutil.copy(bundle(cluster, "witness") / "config.json", place)
    (place / "log").write_text("")
    subprocess.run(
        [SHIM, "-namespace", "default", "-address", cluster.run / "client.sock", "-publish-binary", "x", "-id", name, "start"],
        cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True,
        env={**os.environ, "TTRPC_ADDRESS": str(cluster.run / "shim-events.sock")},
    )
    return until(lambda: next((p for p in process_ids() if name in command_of(p) and str(cluster.run) in " ".join(command_of(p)) and "start" not in command_of(p)), None), "it runs")


def test_shims(cluster, witness):
    """Shims that nobody knows, with their containers, and with the request that started them."""
    run(cluster, "lost")
    request = json.loads((bundle(cluster, "lost") / "intent.json").read_text())["request"]
    row = lose_bundle(cluster, "lost")
    assert is_alive(row["pid"]) and is_alive(row["shim_pid"])
    pid = start_shim(cluster, "stranger")
    base = f"/{cgroup_base(cluster)}/default"
    found, _ = found_and_mended(
        cluster,
        [
            ("leaked-shim", f"pid {row['shim_pid']}"), ("leaked-shim", f"pid {pid}"),
            ("stray-runc-state", cluster.run / "runc/default/lost"), ("stray-process", f"{base}/lost"),
        ],
    )
    assert not [p for p in (row["pid"], row["shim_pid"], pid) if is_alive(p)]
    by_kind = {(r["kind"], r.get("id")): r for r in found}
    for kind in ("leaked-shim", "stray-runc-state", "stray-process"):
        blamed = by_kind[kind, "lost"]
        assert uuid.UUID(blamed["request"]).hex == request
        assert (blamed["method"], blamed["status"], blamed["peer"]["uid"]) == ("task.create", 0, os.geteuid())
    assert "request" not in by_kind["leaked-shim", "stranger"]
    assert not cluster.dead_sockets()


def test_records(cluster, witness):
    """What a bundle says of its task is written anew, and a shim worker that starts believes it."""
    damage = {
        "incarnation": lambda b: (b / "incarnation").write_text(f"{uuid.uuid4()}\n"),
        "intent": lambda b: (b / "intent.json").unlink(),
        "garbled": lambda b: (b / "intent.json").write_text("{}"),
        "bootstrap": lambda b: [(b / name).unlink() for name in ("bootstrap.json", "address") if (b / name).exists()],
        "shim-pid": lambda b: (b / "bootstrap.json").write_text((b / "bootstrap.json").read_text().replace('"shim_pid":', '"shim_pid":1')),
        "init": lambda b: (b / "init.json").unlink(),
        "config": lambda b: (b / "config.json").unlink(),
        "work": lambda b: (b / "work").unlink(),
        "bundle": shutil.rmtree,
    }
    for name in damage:
        run(cluster, name)
    run(cluster, "group", "--annotation", "io.containerd.runc.v2.group=pod")
    before = tasks(cluster)
    for name, hurt in damage.items():
        hurt(bundle(cluster, name))
    (bundle(cluster, "group") / "intent.json").unlink()
    found_and_mended(
        cluster,
        [("record-mismatch", f"default/{name}") for name in [*damage, "group"] if name != "bundle"]
        + [("task-without-bundle", "default/bundle")],
    )
    cluster.await_successor("shim", cluster.kill("shim"))
    until(lambda: not [r for r in tasks(cluster).values() if r.get("phase")], "all are loaded")
    assert {n: (r["pid"], r["shim_pid"], r["status"]) for n, r in tasks(cluster).items()} == {
        n: (r["pid"], r["shim_pid"], r["status"]) for n, r in before.items()
    }
    for name in ("intent", "bundle", "group"):
        os.kill(before[name]["shim_pid"], signal.SIGKILL)
        until(lambda name=name: tasks(cluster)[name].get("orphaned"), "it is kept without its shim")
    for name in [*damage, "group"]:
        done = cluster.shimctl("tasks", "delete", "-f", name)
        assert done.returncode == 0, (name, done.stderr)
    healthy(cluster)


def begin_run(cluster, name):
    """A run that nobody makes: what a shim worker that died at once would leave, if nobody looked again."""
    door = cluster.dir / "door"
    door.mkdir(exist_ok=True)
    if not (door / "client.sock").exists():
        (door / "client.sock").symlink_to(cluster.run / "worker.sock")
    from cluster import Client

    client = Client(str(door))
    client.call("incarnation.begin", {"id": name, "incarnation": str(uuid.uuid4())}, "default", timeout=10)
    client.close()


def test_journal_and_records(cluster, witness):
    spec = cluster.client().call("container.get", {"id": "witness"}, "default")["spec"]
    cluster.client().call("container.create", {"id": "begun", "runtime": RUNC, "spec": spec}, "default")
    begin_run(cluster, "begun")
    with pytest.raises(Refused):
        cluster.client().call("container.delete", {"id": "begun"}, "default")
    found_and_mended(cluster, [("run-without-task", "default/begun")])
    cluster.client().call("container.delete", {"id": "begun"}, "default")


def test_a_lost_journal(cluster):
    """Records are made again; that the journal does not know the run stays true until the task is deleted."""
    run(cluster, "a")
    pid = tasks(cluster)["a"]["pid"]
    cluster.stop()
    for path in (cluster.root / "metadata").iterdir():
        path.unlink()
    cluster.start()
    found_and_mended(
        cluster, [("task-without-record", "default/a"), ("task-without-run", "default/a")], left=["task-without-run"]
    )
    assert is_alive(pid)
    done = cluster.shimctl("tasks", "delete", "-f", "a")
    assert done.returncode == 0, done.stderr
    healthy(cluster)
    assert cluster.shimctl("tasks", "start", "-d", "--null-io", "a").returncode == 0, "the record is whole"


def test_a_damaged_store(cluster, witness):
    """A record that nobody reads, and what was kept of damaged stores; not what a restore has replaced."""
    client, store = cluster.client(), cluster.root / "metadata"
    for _ in range(2):  # the second is refused: only its outcome has this sentence
        try:
            client.call("container.create", {"id": "victim", "runtime": RUNC, "spec": b"{}"}, "default")
        except Refused as refused:
            sentence = str(refused).encode()
    with open(store / "data.mdb", "r+b") as file:
        data, at = file.read(), -1
        while (at := data.find(b'"victim": already exists', at + 1)) >= 0:
            file.seek(at + 3)
            file.write(b"X")
    assert b'"victim": already exists' in sentence
    found, _ = found_and_mended(cluster, [("damaged-store", store / "data.mdb")])
    assert found[0]["finding"] == "1 records are damaged"
    events = client.call("event.list", {"all": True, "limit": 10000})["events"]
    assert [e["event"]["table"] for e in events if e["topic"] == "/shimd/record-lost"] == ["requests"]
    client.call("container.delete", {"id": "victim"}, "default")
    kept = store / "damaged-replaced-1700000000000.mdb"
    for path in (kept, store / "damaged-1700000000001.mdb"):
        path.write_bytes(b"x")
    found_and_mended(cluster, [("salvaged-store", store / "damaged-1700000000001.mdb")])
    assert kept.exists()
    fresh = store / "damaged-9700000000001.mdb"  # set aside while the repair goes on
    fresh.write_bytes(b"x")
    code, found, _ = doctor(cluster, "--repair")
    assert code and "look at it before" in found[0]["result"] and fresh.exists()
    fresh.unlink()
    healthy(cluster)


def test_shims_that_do_not_answer(cluster, witness):
    for name in ("stopped", "ended"):
        run(cluster, name)
    rows = tasks(cluster)
    for name in ("stopped", "ended"):
        os.kill(rows[name]["shim_pid"], signal.SIGSTOP)
    os.kill(rows["ended"]["pid"], signal.SIGKILL)
    found_and_mended(
        cluster,
        [("stopped-shim", "default/stopped"), ("stopped-shim", "default/ended"), ("task-without-process", "default/ended")],
    )
    until(lambda: tasks(cluster)["ended"]["status"] == "STOPPED", "its end is known")
    assert cluster.shimctl("tasks", "wait", "ended").stdout == "137\n"


def test_what_nobody_can_mend_is_said(cluster, witness):
    """And the shim worker is not started again while that would lose a task."""
    for name in ("socket", "runc"):
        run(cluster, name)
    worker = cluster.pid("shim")
    socket_path(cluster, "socket").unlink()
    (cluster.run / "runc/default/runc/state.json").rename(cluster.dir / "state.json")
    (cluster.run / "shimd.lock").rename(cluster.dir / "lock")
    bundle(cluster, "stale").mkdir()
    left = ["missing-socket", "missing-runc-state", "lost-lock", "stale-bundle"]
    _, rows = found_and_mended(
        cluster,
        [
            ("missing-socket", "default/socket"), ("missing-runc-state", "default/runc"),
            ("lost-lock", cluster.run / "shimd.lock"), ("stale-bundle", bundle(cluster, "stale")),
        ],
        left=left,
    )
    assert "would lose task default/socket" in rows["stale-bundle", str(bundle(cluster, "stale"))]["result"]
    assert cluster.pid("shim") == worker
    assert cluster.shimctl("tasks", "delete", "-f", "socket").returncode == 0
    (cluster.dir / "state.json").rename(cluster.run / "runc/default/runc/state.json")
    (cluster.dir / "lock").rename(cluster.run / "shimd.lock")
    found_and_mended(cluster, [("stale-bundle", bundle(cluster, "stale"))])


def test_debt(cluster, witness):
    """What the bundle worker owes is named with its reason, and is gone once that is."""
    run(cluster, "a")
    mount(bundle(cluster, "a") / "busy")
    held = os.open(bundle(cluster, "a") / "busy", os.O_RDONLY)
    assert cluster.shimctl("tasks", "delete", "-f", "a").returncode == 0
    (owed,) = until(lambda: list((cluster.run / "task/default").glob(".a.del-*")), "it is hidden")
    try:
        found, _ = found_and_mended(cluster, [("debt", owed)], left=["debt"])
    finally:
        os.close(held)
    assert "Device or resource busy" in found[0]["finding"]
    code, rows, _ = doctor(cluster, "--repair")
    assert code == 0 and {row["state"] for row in rows} <= {"mended"}, rows
    assert not owed.exists()


# Parts that are down


def test_parts_that_are_down(cluster):
    """It says what it could not compare, and neither finds nor mends what it cannot know."""
    run(cluster, "a")
    os.kill(cluster.pid("metadata"), signal.SIGSTOP)
    try:
        code, found, stderr = doctor(cluster, run_options=("--timeout", "1s"))
    finally:
        os.kill(cluster.pid("metadata"), signal.SIGCONT)
    assert (code, found) == (10, []), stderr
    assert "not compared: the journal's runs" in stderr and "not compared: container records" in stderr
    make_cgroup(cluster, "stray")
    os.kill(cluster.pid("shim"), signal.SIGSTOP)
    try:
        code, found, stderr = doctor(cluster, "--repair", run_options=("--timeout", "1s"))
    finally:
        os.kill(cluster.pid("shim"), signal.SIGCONT)
    assert (code, found) == (10, []), stderr
    assert "not compared: tasks" in stderr
    cluster.await_ready()
    found_and_mended(cluster, [("stray-cgroup", f"/{cgroup_base(cluster)}/default/stray")])


def test_a_cluster_that_is_down(cluster):
    """Its tasks wait for the next shimd and are no findings; what belongs to nobody is mended, under the lock."""
    for name in ("a", "ended", "lost"):
        run(cluster, name)
    rows = tasks(cluster)
    cluster.stop()
    code, found, stderr = doctor(cluster, "--root-dir", cluster.root)
    assert (code, found) == (0, []) and "only the machine was looked at" in stderr, (found, stderr)
    for pid in (rows["ended"]["shim_pid"], rows["ended"]["pid"]):
        os.kill(pid, signal.SIGKILL)
        until(lambda pid=pid: not is_alive(pid), "it is gone")
    shutil.rmtree(bundle(cluster, "lost"))
    mount(work(cluster, "stray"))
    code, found, stderr = doctor(cluster, "--repair", "--root-dir", cluster.root)
    state = {(row["kind"], row.get("id")): row["state"] for row in found}
    assert code == 0 and set(state.values()) == {"mended"}, (found, stderr)
    assert {"leaked-shim", "stray-runc-state", "stray-work-directory", "stray-process"} <= {k for k, _ in state}
    assert not is_alive(rows["lost"]["pid"]) and not is_alive(rows["lost"]["shim_pid"])
    assert is_alive(rows["a"]["pid"])
    cluster.start()
    until(lambda: set(tasks(cluster)) == {"a", "ended"}, "the run of the lost one is ended")
    until(lambda: tasks(cluster)["ended"]["status"] == "STOPPED", "the other has ended")
    healthy(cluster)


def test_a_cluster_that_has_lost_its_sockets(cluster):
    (cluster.run / "client.sock").rename(cluster.dir / "sock")
    done = cluster.shimctl("doctor", "--repair")
    (cluster.dir / "sock").rename(cluster.run / "client.sock")
    assert done.returncode == 10 and f"shimd (pid {cluster.supervisor.pid}) runs in" in done.stderr, done


def test_processes_that_do_not_come_up(fresh_cluster):
    """One that dies again and again is found, with its obituary, and started when that can help."""
    fresh_cluster.start(config="log-level = info\n")
    (fresh_cluster.dir / "shimd.conf").write_text("shim\n    nonsense = 1\n")  # nothing that would start with it
    fresh_cluster.kill("shim")

    def found():
        code, rows, stderr = doctor(fresh_cluster, run_options=("--timeout", "1s"))
        assert code in (10, UNHEALTHY), stderr
        return [row for row in rows if (row["kind"], row["object"]) == ("process-down", "shim")]

    (row,) = until(found, "it is found")
    assert "exit" in row["finding"]
    code, rows, _ = doctor(fresh_cluster, "--repair", run_options=("--timeout", "1s"))
    assert code == UNHEALTHY and [row["state"] for row in rows] == ["left"]
    (fresh_cluster.dir / "shimd.conf").write_text("")

    def mended():
        code, rows, stderr = doctor(fresh_cluster, "--repair", run_options=("--timeout", "5s"))
        assert code in (0, 10, UNHEALTHY), stderr
        return code == 0 and {row["state"] for row in rows} <= {"mended"}  # it may have come up by itself

    until(mended, "it is started again", 60)
    healthy(fresh_cluster)


def test_it_needs_root(cluster):
    words = ["setpriv", "--reuid", "65534", "--clear-groups", *cluster.command("doctor")]
    cluster.dir.chmod(0o755)
    done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    assert done.returncode == 7, done
