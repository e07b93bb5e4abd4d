"""Clean-up debt: a bundle whose mount is busy is deleted all the same, its id is free, and the rest goes later."""

import json
import os
import shutil
import signal
import subprocess

import pytest
from cluster import until

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="containers and mounts need root"),
    pytest.mark.skipif(not shutil.which("containerd-shim-runc-v2"), reason="no containerd-shim-runc-v2"),
    pytest.mark.skipif(not shutil.which("runc"), reason="no runc"),
]


class Holder:
    """A process that keeps a mount busy."""

    def __init__(self, path):
        self.process = subprocess.Popen(["sh", "-c", "cd $0 && echo held && exec sleep 1000", path], stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"held\n"

    def let_go(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(name="holders")
def fixture_holders():
    """Busy mounts; none outlives the test."""
    holders = []

    def hold(path):
        holders.append(Holder(path))
        return holders[-1]

    yield hold
    for holder in holders:
        holder.let_go()


def run(cluster, name="c"):
    done = cluster.shimctl("run", "-d", "--rootfs", cluster.rootfs(), name, "/bin/sleep", "1000")
    assert done.returncode == 0, done.stderr
    return cluster.run / "task/default" / name


def run_busy(cluster, holders, name="c"):
    """A container with something mounted in its bundle that stays busy."""
    place = run(cluster, name) / "rootfs"
    subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
    (place / "file").touch()
    return holders(place)


def delete(cluster, name="c"):
    for words in (("tasks", "delete", "-f", name), ("containers", "delete", name)):
        done = cluster.shimctl(*words)
        assert done.returncode == 0, done.stderr


def debts(cluster):
    return json.loads(cluster.shimctl("--json", "cluster", "status").stdout)["debts"]


def states(cluster):
    rows = map(json.loads, cluster.shimctl("--json", "tasks", "list").stdout.splitlines())
    return {row["id"]: row["status"] for row in rows}


def hidden(cluster):
    return list(cluster.run.glob("task/*/.*")) + list(cluster.root.glob("task/*/.*"))


def test_a_busy_mount_does_not_keep_the_id(cluster, holders):
    holder = run_busy(cluster, holders)
    delete(cluster)
    assert states(cluster) == {}
    bundle = run(cluster)  # the same id at once
    (debt,) = debts(cluster)
    assert (debt["ns"], debt["id"]) == ("default", "c")
    assert debt["debt"].startswith(f"unmount {debt['path']}/rootfs: Device or resource busy (deleted at ")
    until(lambda: "next try in" in debts(cluster)[0]["debt"], "it says when it is tried again")
    assert cluster.shimctl("cluster", "status").stdout.splitlines()[-1].startswith("not removed yet: bundle default/c: unmount ")
    assert os.path.exists(f"{debt['path']}/rootfs/file")
    # It is found again by the next worker, and by the one after that.
    for _ in range(2):
        cluster.await_successor("bundle", cluster.kill("bundle"))
        until(lambda: [d["path"] for d in debts(cluster)] == [debt["path"]], "the debt is listed again")
    holder.let_go()
    until(lambda: not debts(cluster), "the debt is gone")
    assert not hidden(cluster) and not cluster.mounts()
    assert states(cluster) == {"c": "RUNNING"} and (bundle / "config.json").exists()
    delete(cluster)
    assert not debts(cluster)


def test_debt_survives_the_whole_cluster(cluster, holders):
    holder = run_busy(cluster, holders)
    delete(cluster)
    run(cluster)
    (debt,) = debts(cluster)
    for row in cluster.status().values():
        os.kill(row["pid"], signal.SIGKILL)
    cluster.supervisor.wait()
    cluster.start()
    until(lambda: [d["path"] for d in debts(cluster)] == [debt["path"]], "the debt is listed again")
    until(lambda: "next try in" in debts(cluster)[0]["debt"], "it is tried again")
    until(lambda: states(cluster) == {"c": "RUNNING"}, "the container of the same id is adopted")
    holder.let_go()
    until(lambda: not debts(cluster), "the debt is gone")
    assert not hidden(cluster) and not cluster.mounts()


def test_a_dead_shim_and_a_busy_root_filesystem(cluster, holders):
    """What the shim mounted is left by it, and cannot be unmounted."""
    rootfs = cluster.rootfs()
    assert cluster.shimctl("containers", "create", "--rootfs", rootfs, "c", "/bin/sleep", "1000").returncode == 0
    mount = {"type": "bind", "source": str(rootfs), "options": ["rbind", "rw"]}
    client = cluster.client()
    client.call("task.create", {"id": "c", "rootfs": [mount]}, "default", timeout=30)
    client.call("task.start", {"id": "c"}, "default", timeout=30)
    holder = holders(cluster.run / "task/default/c/rootfs")
    (task,) = client.call("task.list", {}, "default")["tasks"]
    os.kill(task["shim_pid"], signal.SIGKILL)
    until(lambda: client.call("task.list", {}, "default")["tasks"][0].get("orphaned"), "the container is an orphan")
    delete(cluster)
    assert states(cluster) == {} and len(debts(cluster)) == 1
    run(cluster)
    holder.let_go()
    until(lambda: not debts(cluster), "the debt is gone")
    assert (rootfs / "bin/busybox").exists() and not hidden(cluster) and not cluster.mounts()
