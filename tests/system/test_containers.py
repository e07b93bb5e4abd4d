"""Real containers: the whole cluster, Debian's containerd-shim-runc-v2 and runc."""

import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import threading
import time
import uuid

import pytest
from cluster import BIN, PROCESSES, SHIM_SOCKETS, Client, detached, fastest, is_alive, until

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="containers need root"),
    pytest.mark.skipif(not shutil.which("containerd-shim-runc-v2"), reason="no containerd-shim-runc-v2"),
    pytest.mark.skipif(not shutil.which("runc"), reason="no runc"),
]


def remove(cluster, *names):
    for name in names:
        for words in (("tasks", "delete", "-f", name), ("containers", "delete", name)):
            done = cluster.shimctl(*words)
            assert done.returncode == 0, done.stderr


def tasks(cluster):
    rows = cluster.shimctl("--json", "tasks", "list").stdout.splitlines()
    return {row["id"]: row for row in map(json.loads, rows)}


def topics(cluster, name):
    page = cluster.client().call("event.list", {"all": True})
    return [e["topic"] for e in page["events"] if name in (e["event"].get("container_id"), e["event"].get("id"))]


def nothing_of(cluster, name):
    """What a container may have left: a bundle, a work directory, runc's state, processes."""
    places = [cluster.run / "task/default" / name, cluster.root / "task/default" / name, cluster.run / "runc/default" / name]
    return not [p for p in places if p.exists()] and not [
        command for command in cluster.processes().values() if "-id" in command and name in command
    ]


def test_run_prints_and_passes_the_exit_code_on(cluster):
    done = cluster.shimctl("run", "--rm", "--rootfs", cluster.rootfs(), "c", "/bin/sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    until(lambda: nothing_of(cluster, "c"), "nothing is left")
    assert topics(cluster, "c") == [
        "/containers/create", "/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete", "/containers/delete",
    ]


def test_input_reaches_the_container(cluster):
    done = cluster.shimctl("run", "--rm", "--rootfs", cluster.rootfs(), "c", "/bin/cat", stdin=None, input="a\nb\n")
    assert (done.returncode, done.stdout) == (0, "a\nb\n")


def test_large_output_is_complete(cluster):
    done = cluster.shimctl("run", "--rm", "--rootfs", cluster.rootfs(), "c", "/bin/sh", "-c", "yes 0123456789 | head -n 200000")
    assert done.stdout == "0123456789\n" * 200000


def test_a_detached_task_lives_and_is_waited_for(cluster):
    detached(cluster, "c", "sleep 1000")
    assert tasks(cluster)["c"]["status"] == "RUNNING"
    assert cluster.shimctl("tasks", "delete", "c").returncode != 0, "a running task is not deleted"
    assert cluster.shimctl("tasks", "kill", "-s", "KILL", "c").returncode == 0
    assert cluster.shimctl("tasks", "wait", "c").stdout == "137\n"
    remove(cluster, "c")
    until(lambda: nothing_of(cluster, "c"), "nothing is left")
    assert cluster.shimctl("tasks", "wait", "c").stdout == "137\n", "the exit record outlives the task"


def test_states_are_kept_and_refused(cluster):
    detached(cluster, "c", "sleep 1000")
    client = cluster.client()

    def refused(method, **fields):
        with pytest.raises(Exception) as error:
            client.call(method, {"id": "c", **fields}, "default", timeout=20)
        return str(error.value)

    assert "RUNNING" in refused("task.start")
    assert "exists" in refused("task.create")
    assert "PAUSED" in refused("task.resume")
    client.call("task.pause", {"id": "c"}, "default", timeout=20)
    assert tasks(cluster)["c"]["status"] == "PAUSED"
    assert "PAUSED" in refused("task.exec", exec_id="e", spec=b'{"args":["/bin/true"]}')
    client.call("task.resume", {"id": "c"}, "default", timeout=20)
    assert "JSON" in refused("task.exec", exec_id="e", spec=b"no json")
    assert "args" in refused("task.exec", exec_id="e", spec=b"{}")
    assert "JSON" in refused("task.update", resources=b"[]")
    client.call("task.update", {"id": "c", "resources": b'{"pids":{"limit":50}}'}, "default", timeout=20)
    assert client.call("task.stats", {"id": "c"}, "default", timeout=20)["stats"]["pids"]["limit"] == 50
    remove(cluster, "c")


def test_an_exec_runs_and_passes_its_code_on(cluster):
    detached(cluster, "c", "sleep 1000")
    done = cluster.shimctl("tasks", "exec", "--exec-id", "e", "c", "/bin/sh", "-c", "echo in; exit 3")
    assert (done.returncode, done.stdout) == (3, "in\n")
    assert [t for t in topics(cluster, "c") if "exec" in t] == ["/tasks/exec-added", "/tasks/exec-started"]
    remove(cluster, "c")


def test_an_exec_is_known_to_the_worker_that_comes_after(cluster):
    detached(cluster, "c", "sleep 1000", "--mount", gate_mount(cluster))
    client = cluster.client()
    spec = json.dumps({"args": ["/bin/sh", "-c", "read x < /gate; exit 6"], "cwd": "/", "env": ["PATH=/bin"]})
    for name in ("waiting", "running"):
        client.call("task.exec", {"id": "c", "exec_id": name, "spec": spec.encode()}, "default", timeout=20)
    client.call("task.start", {"id": "c", "exec_id": "running"}, "default", timeout=20)
    waiter = subprocess.Popen(
        cluster.command("tasks", "wait", "--exec-id", "running", "c"), stdout=subprocess.PIPE, text=True
    )
    until(lambda: cluster.status()["shim"].get("in_flight", 0) > 0, "the wait is with the worker")
    cluster.await_successor("shim", cluster.kill("shim"))
    with pytest.raises(Exception, match="already exists"):
        client.call("task.exec", {"id": "c", "exec_id": "running", "spec": spec.encode()}, "default", timeout=20)
    states = {
        name: client.call("task.get", {"id": "c", "exec_id": name}, "default", timeout=20)["status"]
        for name in ("waiting", "running")
    }
    assert states == {"waiting": "CREATED", "running": "RUNNING"}
    open_gate(cluster)
    assert waiter.communicate(timeout=20)[0] == "6\n"
    for name in ("waiting", "running"):
        client.call("task.delete", {"id": "c", "exec_id": name}, "default", timeout=20)
    assert not list((cluster.run / "task/default/c").glob("exec-*"))
    remove(cluster, "c")


STUCK_RUNC = """#!/usr/bin/python3
import json, os, pathlib, sys, time
arguments = sys.argv[1:]
if "create" not in arguments:
    os.execvp("runc", ["runc", *arguments])
bundle = pathlib.Path(arguments[arguments.index("--bundle") + 1])
path = json.loads((bundle / "config.json").read_text())["linux"]["cgroupsPath"]
for root in [pathlib.Path("/sys/fs/cgroup"), *pathlib.Path("/sys/fs/cgroup").iterdir()]:
    if (root / "cgroup.procs").exists():
        os.makedirs(f"{root}{path}", exist_ok=True)
pathlib.Path("PLACE/stuck").write_text(str(os.getpid()))
time.sleep(1000)
"""


@pytest.mark.parametrize("with_worker", [False, True])
def test_what_a_runtime_that_outlives_its_shim_makes_is_removed(cluster, with_worker):
    """The shim dies while runc makes the container; runc goes on, and has made a cgroup that it does not know of yet."""
    path, stuck = cluster.dir / "stuck-runc", cluster.dir / "stuck"
    path.write_text(STUCK_RUNC.replace("PLACE", str(cluster.dir)))
    path.chmod(0o755)
    done = cluster.shimctl("containers", "create", "--runc-binary", path, "--rootfs", cluster.rootfs("c"), "c", "sleep", "9")
    assert done.returncode == 0, done.stderr
    with subprocess.Popen([BIN / "shimctl", "--run-dir", cluster.run, "tasks", "start", "-d", "c"], stderr=subprocess.PIPE) as start:
        until(lambda: stuck.exists() and stuck.read_text(), "the runtime is at it")
        runtime = int(stuck.read_text())
        assert [group for group in cluster.cgroups() if (group / "default" / "c").is_dir()]
        shim = int(pathlib.Path(f"/proc/{runtime}/stat").read_text().rsplit(")", 1)[1].split()[1])
        with cluster.worker_away(with_worker):
            os.kill(shim, signal.SIGKILL)
        until(lambda: not is_alive(runtime), "the runtime is ended")
        if with_worker:  # whose successor was asked to create it again
            until(lambda: int(stuck.read_text() or runtime) != runtime, "the runtime is at it again")
            os.kill(int(stuck.read_text()), signal.SIGKILL)
        assert start.wait(40) != 0, start.stderr.read()
    assert not [group for group in cluster.cgroups() if (group / "default" / "c").is_dir()]
    assert cluster.shimctl("containers", "delete", "c").returncode == 0


def slow_runc(cluster, verb):
    """An OCI runtime that takes its time for one verb, and tells that it is at it."""
    path = cluster.dir / "slow-runc"
    path.write_text(
        f'#!/bin/sh\ncase " $* " in *" {verb} "*) echo > {cluster.dir}/at-it; sleep 0.5;; esac\nexec runc "$@"\n'
    )
    path.chmod(0o755)
    return str(path)


def descriptors(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except FileNotFoundError:
        return 0


def replace_keeper(cluster):
    """Another one that has all that it had."""
    first = cluster.keeper()
    had = descriptors(first)
    os.kill(first, signal.SIGKILL)
    until(lambda: (pid := cluster.keeper()) != first and descriptors(pid) >= had, "another keeper has the same")


@pytest.mark.parametrize("victim", ["shim", "keeper and shim", "supervisor"])
@pytest.mark.parametrize("verb", ["create", "start", "exec"])
def test_what_a_shim_is_at_when_the_worker_dies_is_finished(cluster, verb, victim):
    """Also when all of the cluster dies with its supervisor, and another one takes over."""
    (cluster.rootfs("c") / "marks").mkdir()
    (cluster.dir / "marks").mkdir()
    mount = f"type=bind,src={cluster.dir}/marks,dst=/marks,options=rbind:rw"
    done = cluster.shimctl(
        "containers", "create", "--runc-binary", slow_runc(cluster, verb), "--mount", mount,
        "--rootfs", cluster.rootfs("c"), "c", "/bin/sh", "-c", "echo >> /marks/init; sleep 1000",
    )
    assert done.returncode == 0, done.stderr
    spec = json.dumps({"args": ["/bin/sh", "-c", "echo >> /marks/exec; sleep 1000"], "cwd": "/", "env": ["PATH=/bin"]})
    steps = [("create", {}), ("start", {}), ("exec", {"exec_id": "e", "spec": spec.encode()}), ("start", {"exec_id": "e"})]
    answers, failures = [], []

    def live():
        client = Client(str(cluster.run))
        try:
            for name, fields in steps:
                answers.append(client.call(f"task.{name}", {"id": "c", **fields}, "default", timeout=30))
        except Exception as error:
            failures.append(error)
        client.close()

    thread = threading.Thread(target=live)
    thread.start()
    until((cluster.dir / "at-it").exists, "the runtime is at it")
    if "keeper" in victim:
        replace_keeper(cluster)
    if "shim" in victim:
        cluster.await_successor("shim", cluster.kill("shim"))
    else:
        cluster.supervisor.kill()
        cluster.supervisor.wait()
        cluster.start()
    thread.join(40)
    assert not failures and len(answers) == len(steps), failures
    for name in ("init", "exec"):
        mark = cluster.dir / "marks" / name
        until(lambda: mark.exists() and mark.read_text(), f"{name} has begun")
        assert mark.read_text() == "\n", f"{name} ran once"
    row = tasks(cluster)["c"]
    assert (row["status"], row["pid"]) == ("RUNNING", answers[1]["pid"]) and not row.get("orphaned")
    remove(cluster, "c")


def test_the_keeper_is_replaced_and_ends_when_there_is_nothing_left_to_keep(cluster):
    first = cluster.keeper()
    os.kill(first, signal.SIGKILL)
    cluster.await_successor("shim", cluster.kill("shim"))
    second = until(lambda: (pid := cluster.keeper()) != first and pid, "another keeper")
    detached(cluster, "c", "sleep 1000")
    cluster.supervisor.kill()
    cluster.supervisor.wait()
    cluster.start()
    third = cluster.keeper()
    assert is_alive(second) and third not in (None, second), "one outlives its supervisor, for a container's shim"
    remove(cluster, "c")
    until(lambda: not is_alive(second), "it has nothing to keep any more")
    cluster.stop()
    assert not is_alive(third)


def test_a_stopped_shim_delays_nobody_and_is_left_alone(cluster):
    detached(cluster, "slow", "sleep 1000")
    detached(cluster, "quick", "sleep 1000")
    shim = tasks(cluster)["slow"]["shim_pid"]
    os.kill(shim, signal.SIGSTOP)
    try:
        status = pathlib.Path(f"/proc/{shim}/status")
        until(lambda: "T (stopped)" in status.read_text(), "it has stopped")
        client = cluster.client()
        picture = client.call("task.get", {"id": "slow"}, "default", timeout=20)
        assert (picture["status"], picture["unresponsive"]) == ("RUNNING", True) and picture["stale_ms"] >= 2000
        assert tasks(cluster)["slow"]["unresponsive"]
        assert fastest(client.call, "task.get", {"id": "quick"}, "default", timeout=20) < 1
        cluster.await_successor("shim", cluster.kill("shim"))
        assert set(tasks(cluster)) == {"slow", "quick"}
        assert client.call("task.get", {"id": "quick"}, "default", timeout=20)["status"] == "RUNNING"
    finally:
        os.kill(shim, signal.SIGCONT)
    until(lambda: not tasks(cluster)["slow"].get("unresponsive"), "it answers again")
    assert tasks(cluster)["slow"]["pid"] == picture["pid"]
    remove(cluster, "slow", "quick")


def test_a_shim_that_answers_nothing_is_found_and_killed(fresh_cluster):
    """Its `start` says all is well, and behind the socket nobody reads."""
    cluster = fresh_cluster.start(config="shim\n    connect-timeout = 300\n    shutdown-timeout = 300\n")
    listener = (
        "import os, socket, sys, time\n"
        f"s = socket.socket(socket.AF_UNIX); s.bind('{cluster.dir}/mute.sock'); s.listen()\n"
        f"print('unix://{cluster.dir}/mute.sock', end='', flush=True)\n"
        "os.fork() and os._exit(0); os.setsid()\n"
        "os.dup2(os.open('/dev/null', os.O_RDWR), 1); os.dup2(1, 2); time.sleep(1000)\n"
    )
    (cluster.dir / "mute.py").write_text(listener)
    shim = shim_script(cluster, f'case "$*" in *delete) exit 0;; esac\nexec /usr/bin/python3 {cluster.dir}/mute.py')
    done = cluster.shimctl("run", "--runtime", shim, "--rootfs", cluster.rootfs(), "c", "/bin/true")
    assert done.returncode != 0 and "connect to the shim" in done.stderr, done.stderr
    until(lambda: not [c for c in cluster.processes().values() if "mute.py" in " ".join(c)], "it is gone")
    until(lambda: nothing_of(cluster, "c") and not (cluster.dir / "mute.sock").exists(), "nothing is left")


def test_the_limit_of_open_files_is_not_handed_on(fresh_cluster):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    try:
        cluster = fresh_cluster.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    shim = shim_script(cluster, f'ulimit -Sn > {cluster.dir}/limit; exit 1')
    cluster.shimctl("run", "--runtime", shim, "--rootfs", cluster.rootfs(), "c", "/bin/true")
    assert (cluster.dir / "limit").read_text() == "512\n"
    worker = pathlib.Path(f"/proc/{cluster.pid('shim')}/limits").read_text()
    assert [line for line in worker.splitlines() if "open files" in line][0].split()[3] == str(before[1])


@pytest.mark.parametrize("config, sentence", [
    ("shim\n    start-timeout = soon\n", "shim/start-timeout = soon: not a whole number from 10 to 3600000"),
    ("metadata\n    colour = red\n", "unknown key metadata/colour"),
    ("shim\n    on-shim-loss = kill\njournal\n    max-age = 3\n", "journal/max-age = 3: not a number of seconds"),
    ("broker\n    speed = high\n", "unknown key broker/speed"),
])
def test_a_configuration_that_is_wrong_is_named(fresh_cluster, config, sentence):
    """Whosever the section is, and before anything is made or given up."""
    cluster = fresh_cluster.start(config=config, wait=False)
    assert cluster.supervisor.wait(20) == 2 and sentence in cluster.log(), cluster.log()
    assert not cluster.run.exists()
    cluster.start(config="shim\n    on-shim-loss = kill\nmetadata\n    subscriber-idle = 3\njournal\n    max-age = 3d\nbroker\n")
    workers = {name: cluster.pid(name) for name in PROCESSES}
    (cluster.dir / "shimd.conf").write_text(config)
    done = cluster.shimctl("cluster", "restart", "all")
    assert done.returncode != 0 and sentence in done.stderr, done.stderr
    assert workers == {name: cluster.pid(name) for name in PROCESSES}
    assert cluster.stop() == 0


@pytest.mark.parametrize("victim", PROCESSES)
def test_a_waiter_survives_the_death_of(cluster, victim):
    detached(cluster, "c", "read x < /gate; exit 9", "--mount", gate_mount(cluster))
    waiter = subprocess.Popen(cluster.command("tasks", "wait", "c"), stdout=subprocess.PIPE, text=True)
    until(lambda: cluster.status()["shim"].get("in_flight", 0) > 0, "the wait is with the worker")
    cluster.await_successor(victim, cluster.kill(victim))
    assert tasks(cluster)["c"]["status"] == "RUNNING"
    open_gate(cluster)
    assert waiter.communicate(timeout=20)[0] == "9\n"
    assert until(lambda: topics(cluster, "c").count("/tasks/exit"), "the exit event") == 1
    remove(cluster, "c")
    until(lambda: nothing_of(cluster, "c"), "nothing is left")


def gate_mount(cluster):
    """A fifo in the container on which it waits to be told to go on."""
    os.mkfifo(cluster.dir / "gate")
    (cluster.rootfs("c") / "gate").touch()
    return f"type=bind,src={cluster.dir}/gate,dst=/gate,options=rbind:rw"


def open_gate(cluster):
    with open(cluster.dir / "gate", "w", encoding="utf-8") as gate:
        gate.write("go\n")


def test_an_exit_while_the_worker_is_away_is_recorded_once(cluster):
    detached(cluster, "c", "read x < /gate; exit 5", "--mount", gate_mount(cluster))
    pid = cluster.pid("shim")
    os.kill(pid, signal.SIGSTOP)
    open_gate(cluster)
    until(lambda: "/tasks/exit" in topics(cluster, "c"), "the shim's exit event")
    os.kill(pid, signal.SIGKILL)
    cluster.await_successor("shim", pid)
    assert cluster.shimctl("tasks", "wait", "c").stdout == "5\n"
    assert topics(cluster, "c").count("/tasks/exit") == 1
    remove(cluster, "c")


def test_a_killed_shim_leaves_nothing_where_it_is_not_kept(fresh_cluster):
    cluster = fresh_cluster.start(config="shim\n    on-shim-loss = kill\n")
    detached(cluster, "c", "sleep 1000")
    waiter = subprocess.Popen(cluster.command("tasks", "wait", "c"), stdout=subprocess.PIPE, text=True)
    row = tasks(cluster)["c"]
    os.kill(row["shim_pid"], signal.SIGKILL)
    until(lambda: "c" not in tasks(cluster), "the task is gone")
    assert waiter.communicate(timeout=20)[0] == "137\n", "killed by us, and seen by the supervisor"
    until(lambda: nothing_of(cluster, "c"), "nothing is left")
    assert topics(cluster, "c")[-2:] == ["/tasks/exit", "/tasks/delete"]
    until(lambda: not cluster.dead_sockets(), "no dead socket")
    assert cluster.shimctl("containers", "delete", "c").returncode == 0


def failing_deletes(cluster, program, name, failures):
    """A program like the other, but for its first deletes, and where it tells of each."""
    script, told = cluster.dir / name, cluster.dir / "deletes"
    told.touch()
    fails = f"echo >> {told}; [ $(wc -l < {told}) -gt {failures} ] || exit 1"
    script.write_text(f'#!/bin/sh\ncase " $* " in *" delete "*) {fails};; esac\nexec {program} "$@"\n')
    script.chmod(0o755)
    return str(script), lambda: len(told.read_text().splitlines())


def lose_shim(cluster, name):
    os.kill(tasks(cluster)[name]["shim_pid"], signal.SIGKILL)
    until(lambda: name not in tasks(cluster), "the task is gone", 60)


@pytest.mark.parametrize("option, program, name", [
    ("--runtime", "containerd-shim-runc-v2", "containerd-shim-runc-odd-v1"), ("--runc-binary", "runc", "odd-runc")])
def test_a_delete_that_fails_after_a_shim_s_death_is_tried_again(fresh_cluster, option, program, name):
    """A shim of runc says that all is well also when runc has failed."""
    cluster = fresh_cluster.start(config="shim\n    on-shim-loss = kill\n")
    script, deletes = failing_deletes(cluster, program, name, 2)
    detached(cluster, "c", "sleep 1000", option, script)
    lose_shim(cluster, "c")
    assert deletes() == 3 and nothing_of(cluster, "c")
    assert cluster.log().count("runc has it still") == 1, "what repeats is told once"
    assert cluster.shimctl("containers", "delete", "c").returncode == 0
    detached(cluster, "c", "sleep 1000")
    remove(cluster, "c")


def test_a_delete_that_always_fails_keeps_no_name(fresh_cluster):
    cluster = fresh_cluster.start(config="shim\n    on-shim-loss = kill\n")
    script, deletes = failing_deletes(cluster, "runc", "odd-runc", 1000)
    detached(cluster, "c", "sleep 1000", "--runc-binary", script)
    lose_shim(cluster, "c")
    assert f"default/c: runc has it still after {deletes()} tries to delete it" in cluster.log()
    assert topics(cluster, "c")[-2:] == ["/tasks/exit", "/tasks/delete"]
    assert cluster.shimctl("containers", "delete", "c").returncode == 0
    assert "stray-runc-state" in cluster.shimctl("doctor").stdout
    cluster.shimctl("doctor", "--repair")
    assert nothing_of(cluster, "c")


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--runtime", "io.containerd.none.v9"], "not installed"),
        (["--runtime", "nodots"], "invalid runtime name"),
        (["--runtime", "/no/such/shim"], "no such executable"),
    ],
)
def test_a_runtime_that_cannot_be_had(cluster, words, sentence):
    done = cluster.shimctl("run", *words, "--rootfs", cluster.rootfs(), "c", "/bin/true")
    assert done.returncode != 0 and sentence in done.stderr, done.stderr
    until(lambda: nothing_of(cluster, "c") and not tasks(cluster), "nothing is left")
    assert cluster.shimctl("run", "--rm", "--rootfs", cluster.rootfs("again"), "c", "/bin/true").returncode == 0


def test_a_command_that_is_not_there_leaves_nothing(cluster):
    done = cluster.shimctl("run", "--rm", "--rootfs", cluster.rootfs(), "c", "/bin/nothing")
    assert done.returncode != 0 and "nothing" in done.stderr, done.stderr
    until(lambda: nothing_of(cluster, "c") and not tasks(cluster), "nothing is left")
    assert "/tasks/exit" not in topics(cluster, "c")


def shim_script(cluster, body):
    path = cluster.dir / "containerd-shim-odd-v1"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    "body, sentence",
    [
        ("head -c 100 /dev/urandom", "no address"),
        ("echo complaint >&2; exit 3", "complaint"),
        ("true", "no address"),
        ('echo unix:///no/such/socket; echo noise >&2', "connect to the shim"),
        ('printf \'{"version":9,"address":"unix:///x","protocol":"ttrpc"}\'', "version 9"),
        ('printf \'{"version":2,"address":"unix:///x","protocol":"grpc"}\'', "grpc"),
        ("yes | head -c 200000", "bytes"),
    ],
)
def test_an_odd_shim_is_an_error_and_leaves_nothing(cluster, body, sentence):
    shim = shim_script(cluster, f'case "$*" in *delete) exit 0;; esac\n{body}')
    done = cluster.shimctl("run", "--runtime", shim, "--rootfs", cluster.rootfs(), "c", "/bin/true")
    assert done.returncode != 0 and sentence in done.stderr, done.stderr
    until(lambda: nothing_of(cluster, "c") and not tasks(cluster), "nothing is left")


def test_a_shim_that_hangs_in_start_is_killed(cluster):
    shim = shim_script(cluster, 'case "$*" in *delete) exit 0;; esac\nexec sleep 1000')
    begun = time.monotonic()
    done = cluster.shimctl("run", "--runtime", shim, "--rootfs", cluster.rootfs(), "c", "/bin/true")
    assert done.returncode != 0 and "deadline" in done.stderr, done.stderr
    assert time.monotonic() - begun < 20
    until(lambda: nothing_of(cluster, "c") and not tasks(cluster), "nothing is left")


def test_streams_are_checked_before_the_shim_is_asked(cluster):
    os.mkfifo(cluster.dir / "unread")
    cluster.shimctl("containers", "create", "--rootfs", cluster.rootfs(), "c", "/bin/true")
    client = cluster.client()
    for streams, sentence in [
        ({"stdout": str(cluster.dir / "unread"), "stderr": str(cluster.dir / "unread")}, "nobody reads"),
        ({"stdout": "/no/such", "stderr": "/no/such"}, "No such file"),
        ({"stdout": str(cluster.dir / "unread")}, "both of stdout and stderr"),
        ({"stdout": "binary:///no/logger", "stderr": "binary:///no/logger"}, "logger"),
    ]:
        with pytest.raises(Exception, match=sentence):
            client.call("task.create", {"id": "c", **streams}, "default", timeout=20)
    until(lambda: nothing_of(cluster, "c"), "nothing is left")


def test_a_group_shares_one_shim(cluster):
    group = ("--annotation", "io.containerd.runc.v2.group=g")
    detached(cluster, "a", "sleep 1000", *group)
    detached(cluster, "b", "sleep 1000", *group)
    rows = tasks(cluster)
    assert rows["a"]["shim_pid"] == rows["b"]["shim_pid"]
    remove(cluster, "a")
    assert tasks(cluster)["b"]["status"] == "RUNNING"
    remove(cluster, "b")
    until(lambda: not os.path.exists(f"/proc/{rows['a']['shim_pid']}/exe"), "the shim is gone")
    until(lambda: not cluster.dead_sockets(), "no dead socket")


def test_damaged_bundles_do_not_stop_the_start(cluster):
    detached(cluster, "c", "sleep 1000")
    pid = cluster.pid("shim")
    os.kill(pid, signal.SIGSTOP)
    for name, files in {"empty": {}, "garbage": {"config.json": b"\xff", "incarnation": b"\0"}}.items():
        path = cluster.run / "task/default" / name
        path.mkdir()
        for file, content in files.items():
            (path / file).write_bytes(content)
    os.kill(pid, signal.SIGKILL)
    cluster.await_successor("shim", pid)
    until(lambda: list(tasks(cluster)) == ["c"], "only the real task is listed")
    assert not (cluster.run / "task/default/empty").exists()
    assert list((cluster.run / "quarantine/default").glob("garbage.*"))
    remove(cluster, "c")


def test_a_bundle_without_a_record_is_unmounted_and_removed(cluster):
    detached(cluster, "c", "sleep 1000")
    pid = cluster.pid("shim")
    os.kill(pid, signal.SIGSTOP)
    mine, strange = (cluster.run / "task/default" / name for name in ("c", "strange"))
    (strange / "rootfs").mkdir(parents=True)
    for name in "config.json", "intent.json", "shim-binary-path":
        shutil.copy(mine / name, strange / name)
    intent = json.loads((strange / "intent.json").read_text())
    (strange / "intent.json").write_text(json.dumps({**intent, "address": "unix:///run/containerd/s/none", "group": "strange"}))
    (strange / "incarnation").write_text(f"{uuid.uuid4()}\n")
    subprocess.run(["mount", "--bind", cluster.rootfs("c"), strange / "rootfs"], check=True)
    os.kill(pid, signal.SIGKILL)
    cluster.await_successor("shim", pid)
    until(lambda: nothing_of(cluster, "strange"), "it is removed")
    until(lambda: not cluster.mounts(), "so is what was mounted, under a hidden name by then")
    assert (cluster.rootfs("c") / "bin/busybox").exists(), "what was mounted is whole"
    assert list(tasks(cluster)) == ["c"]
    remove(cluster, "c")


def said_by_shim(cluster, begin=0):
    """What the shim of container c says, which comes in pieces, a line of the log each."""
    return "".join(re.findall(r" info: default/c: (.*)\n", cluster.log()[begin:]))


def test_stacks_of_a_shim_come_into_our_log(cluster):
    detached(cluster, "c", "sleep 1000")
    cluster.await_successor("shim", cluster.kill("shim"))
    os.kill(until(lambda: tasks(cluster)["c"].get("shim_pid"), "it is adopted"), signal.SIGUSR1)
    until(lambda: "END goroutine stack dump" in said_by_shim(cluster), "what the shim says")
    remove(cluster, "c")


def open_waits(cluster):
    """How many Waits a real shim of ours has in its hands, as it says itself."""
    before = len(cluster.log())
    os.kill(until(lambda: tasks(cluster)["c"].get("shim_pid"), "it is adopted"), signal.SIGUSR1)
    said = until(lambda: text if "END goroutine stack dump" in (text := said_by_shim(cluster, before)) else None, "what the shim says")
    return len(re.findall(r"\(\*service\)\.Wait\(", said))


def test_waits_do_not_accumulate_in_a_shim(cluster):
    detached(cluster, "c", "sleep 1000")
    assert cluster.shimctl("exec", "-d", "--exec-id", "e", "c", "/bin/sleep", "1000").returncode == 0
    before = open_waits(cluster)
    assert before == 2, "its first process and the exec"
    for _ in range(5):
        cluster.await_successor("shim", cluster.kill("shim"))
        until(lambda: tasks(cluster)["c"].get("shim_pid"), "it is adopted")
    assert open_waits(cluster) <= before
    client = cluster.client()
    client.call("task.kill", {"id": "c", "exec_id": "e", "signal": signal.SIGKILL}, "default")
    assert client.call("task.wait", {"id": "c", "exec_id": "e"}, "default")["exit_status"] == 128 + signal.SIGKILL
    remove(cluster, "c")


def test_sockets_do_not_accumulate(cluster):
    before = set(SHIM_SOCKETS.iterdir()) if SHIM_SOCKETS.is_dir() else set()
    for _ in range(10):
        assert cluster.shimctl("run", "--rm", "--rootfs", cluster.rootfs(), "c", "/bin/true").returncode == 0
    until(lambda: not (set(SHIM_SOCKETS.iterdir()) - before), "no socket more than before")
