"""Root filesystems of real containers: a layer of its own for each over a directory that they share."""

import json
import os
import shutil
import signal

import pytest
from cluster import PROCESSES, Refused, until

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="containers need root"),
    pytest.mark.skipif(not shutil.which("containerd-shim-runc-v2"), reason="no containerd-shim-runc-v2"),
    pytest.mark.skipif(not shutil.which("runc"), reason="no runc"),
]

LAYERS = [{"type": "overlay", "source": "overlay", "options": ["lowerdir=/bin", "upperdir=${work}/upper", "workdir=${work}/work"]}]


def contents(path):
    """Everything below a directory, with what would change when it was written to."""
    found = {}
    for place, dirs, files in os.walk(path):
        for name in [".", *dirs, *files]:
            info = os.lstat(os.path.join(place, name))
            found[os.path.join(place, name)] = (info.st_mode, info.st_size, info.st_mtime_ns)
    return found


def run(cluster, name, script, *options, rootfs=None, detach=True):
    words = ["-d", "--null-io"] if detach else ["--rm"]
    return cluster.shimctl("run", *words, *options, "--rootfs", "--overlay", rootfs or cluster.rootfs(), name, "/bin/sh", "-c", script)


def detached(cluster, name, script="sleep 1000", *options):
    done = run(cluster, name, script, *options)
    assert done.returncode == 0, done.stderr


def execute(cluster, name, script):
    return cluster.shimctl("tasks", "exec", name, "/bin/sh", "-c", script)


def remains(cluster, name):
    places = [cluster.run / "task/default" / name, cluster.root / "task/default" / name, cluster.run / "runc/default" / name]
    hidden = [*cluster.run.glob(f"task/default/.{name}.*"), *cluster.root.glob(f"task/default/.{name}.*")]
    return [p for p in places if p.exists()] + hidden + [m for m in cluster.mounts() if f"/{name}/" in m]


def delete(cluster, name):
    done = cluster.shimctl("tasks", "delete", "-f", name)
    assert done.returncode == 0, done.stderr
    until(lambda: not remains(cluster, name), f"nothing is left of {name}")


def test_two_containers_over_one_directory_do_not_see_each_other(cluster):
    rootfs = cluster.rootfs()
    before = contents(rootfs)
    detached(cluster, "a", "echo a > /mine; busybox rm /etc/group; echo a >> /etc/passwd; sleep 1000")
    detached(cluster, "b", "echo b > /mine; sleep 1000")
    until(lambda: execute(cluster, "a", "cat /etc/passwd").stdout.endswith("a\n"), "a has written")
    until(lambda: execute(cluster, "b", "cat /mine").stdout == "b\n", "b has written")
    assert execute(cluster, "a", "cat /mine").stdout == "a\n"
    assert execute(cluster, "a", "cat /etc/group").returncode != 0
    assert execute(cluster, "b", "cat /etc/group").stdout.startswith("root")
    assert not execute(cluster, "b", "cat /etc/passwd").stdout.endswith("a\n")
    for name in "a", "b":
        delete(cluster, name)
    assert contents(rootfs) == before


def test_each_task_begins_with_the_directory_as_it_is(cluster):
    detached(cluster, "c", "test -e /mine && exit 3; echo > /mine; exit 0")
    for _ in range(3):
        assert cluster.shimctl("tasks", "wait", "c").stdout == "0\n"
        delete(cluster, "c")
        assert cluster.shimctl("tasks", "start", "-d", "--null-io", "c").returncode == 0
    assert cluster.shimctl("tasks", "wait", "c").stdout == "0\n"
    shown = json.loads(cluster.shimctl("--json", "containers", "info", "c").stdout)
    assert shown["spec"]["root"] == {"path": "rootfs"}
    assert shown["rootfs"][0]["options"][0] == f"lowerdir={cluster.rootfs()}"


def test_run_to_the_end(cluster):
    done = run(cluster, "c", "echo x > /y; cat /y; exit 5", detach=False)
    assert (done.returncode, done.stdout, done.stderr) == (5, "x\n", "")
    until(lambda: not remains(cluster, "c"), "nothing is left")


def test_read_only(cluster):
    done = run(cluster, "c", "echo x > /y", "--read-only", detach=False)
    assert done.returncode == 1 and "Read-only file system" in done.stderr
    done = run(cluster, "c", "echo x > /tmp/y; cat /tmp/y", "--read-only", "--mount", "type=tmpfs,src=tmpfs,dst=/tmp,options=rw", detach=False)
    assert (done.returncode, done.stdout) == (0, "x\n")


def test_its_root_can_be_passed_through_by_others(cluster):
    done = run(cluster, "c", "cat /etc/passwd | wc -l; touch /x", "--user", "user", detach=False)
    assert done.stdout == "2\n" and "Permission denied" in done.stderr


def test_paths_that_overlayfs_would_split(fresh_cluster):
    fresh_cluster.root = fresh_cluster.dir / "ro,o:t\\s"
    fresh_cluster.start()
    odd = fresh_cluster.rootfs("a,b:c\\d e")
    done = run(fresh_cluster, "c", "echo x > /y; cat /y", rootfs=odd, detach=False)
    assert (done.returncode, done.stdout) == (0, "x\n"), done.stderr
    assert not (odd / "y").exists()


@pytest.mark.parametrize("loss", ["kill", "keep"])
def test_the_shim_is_killed(cluster, loss):
    detached(cluster, "c", "sleep 1000", "--on-shim-loss", loss)
    task = cluster.client().call("task.get", {"id": "c"}, "default")
    os.kill(task["shim_pid"], signal.SIGKILL)
    if loss == "kill":
        until(lambda: not remains(cluster, "c"), "nothing is left of c")
        return
    until(lambda: cluster.client().call("task.get", {"id": "c"}, "default").get("orphaned"), "it is an orphan")
    assert any("/c/rootfs" in m for m in cluster.mounts())
    delete(cluster, "c")


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_of_the_cluster_is_killed(cluster, process):
    detached(cluster, "c", "echo 1 > /mine; sleep 1000")
    cluster.await_successor(process, cluster.kill(process))
    until(lambda: execute(cluster, "c", "cat /mine").stdout == "1\n", "it goes on")
    detached(cluster, "d")
    assert execute(cluster, "d", "cat /mine").returncode != 0
    killed = cluster.kill(process)
    for name in "c", "d":
        delete(cluster, name)
    cluster.await_successor(process, killed)


def refusal(cluster, method, **fields):
    with pytest.raises(Refused) as refused:
        cluster.client().call(method, {"id": "c", **fields}, "default", timeout=30)
    return str(refused.value)


def record(cluster, mounts, root="rootfs"):
    spec = {"ociVersion": "1.0.2", "process": {"args": ["/bin/true"], "cwd": "/"}, "root": {"path": root}}
    cluster.client().call(
        "container.create", {"id": "c", "runtime": "io.containerd.runc.v2", "spec": json.dumps(spec).encode(), "rootfs": mounts}, "default")


def test_a_filesystem_that_the_kernel_has_not(cluster):
    record(cluster, [{**LAYERS[0], "type": "overlayer"}])
    assert "this kernel has no filesystem overlayer" in refusal(cluster, "task.create")
    until(lambda: not remains(cluster, "c"), "nothing is left of it")


def test_a_lower_directory_that_is_gone(cluster):
    record(cluster, [{**LAYERS[0], "options": ["lowerdir=/no/such", *LAYERS[0]["options"][1:]]}])
    assert "no such file or directory" in refusal(cluster, "task.create")
    until(lambda: not remains(cluster, "c"), "nothing is left of it")


def test_a_spec_with_another_root(cluster):
    record(cluster, LAYERS, "/srv")
    assert "its spec's root.path is /srv" in refusal(cluster, "task.create")
    assert not remains(cluster, "c")


@pytest.mark.parametrize("name", ["../up", "a/b", ""])
def test_layers_are_made_in_the_work_directory_only(cluster, name):
    record(cluster, [{**LAYERS[0], "options": ["lowerdir=/bin", f"upperdir=${{work}}/{name}", "workdir=${work}/work"]}])
    assert "only a name may follow ${work}/" in refusal(cluster, "task.create")
    assert not remains(cluster, "c")


def test_overlay_goes_with_rootfs(cluster):
    done = cluster.shimctl("run", "--overlay", "--config", "/dev/null", "c")
    assert done.returncode != 0 and "--overlay and --config cannot be used together" in done.stderr
