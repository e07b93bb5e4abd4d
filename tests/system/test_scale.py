"""Many of everything: what there is more of must not make what is asked slower, nor the processes bigger."""

import json
import os
import shutil
import signal
import time
import uuid

import msgpack
import pytest
from cluster import PROCESSES, sanitized, until
from fake_containers import CONFIG, NOT_FOUND, Containers

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="containers need root")

BUNDLES = 200 if sanitized() else 1000
RECORDS = 2000 if sanitized() else 20000
UNDER_WAY = 200  # requests
LATER_SECONDS = 5  # far more than it takes, far less than asking each of them would


def rss_kb(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def copy_bundle(source, name):
    """Another run's, whose shim is as dead."""
    copy = source.with_name(name)
    shutil.copytree(source, copy, symlinks=True, ignore=lambda _, names: [n for n in names if n in ("log", "rootfs")])
    (copy / "rootfs").mkdir()
    (copy / "incarnation").write_text(str(uuid.uuid4()))
    for path in copy.glob("*.json"):
        path.write_text(path.read_text().replace(source.name, name))
    return copy


def test_a_thousand_bundles_of_dead_shims(fresh_cluster):
    """Their cluster ended with its machine's power, but for /run; the next one answers at once, and clears up behind it."""
    containers = Containers(fresh_cluster.start(config=CONFIG))
    containers.create("c0")
    shim = containers.shim_pid("c0")
    fresh_cluster.stop()
    os.kill(shim, signal.SIGKILL)
    bundle = fresh_cluster.run / "task/default/c0"
    for i in range(1, BUNDLES):
        copy_bundle(bundle, f"c{i}")
    begun = time.monotonic()
    fresh_cluster.start(config=CONFIG)
    containers = Containers(fresh_cluster)
    assert containers.refusal("task.get", "none")[0] == NOT_FOUND
    assert containers.call("task.list") is not None
    assert time.monotonic() - begun < LATER_SECONDS
    containers.run("new")
    until(lambda: {path.name for path in bundle.parent.iterdir() if not path.name.startswith(".")} == {"new"},
          "all that is left is what is new", 120)
    containers.finish("new")


def create_many(cluster, count):
    """Container records, as fast as they are taken."""
    client = cluster.client()
    sent = answered = 0
    while answered < count:
        while sent < count and sent - answered < UNDER_WAY:
            header = {"v": 1, "id": os.urandom(16), "method": "container.create", "ns": "default"}
            body = {"id": f"c{sent:06}", "runtime": "io.containerd.runc.v2", "spec": json.dumps({"n": sent}).encode()}
            client.socket.send_multipart([msgpack.packb(header), msgpack.packb(body)])
            sent += 1
        reply = msgpack.unpackb(client.socket.recv_multipart()[0])
        assert reply["status"] == 0, reply
        answered += 1


def test_a_list_of_twenty_thousand_takes_no_memory(fresh_cluster):
    fresh_cluster.start()
    create_many(fresh_cluster, RECORDS)
    before = {name: rss_kb(fresh_cluster.pid(name)) for name in PROCESSES}
    done = fresh_cluster.shimctl("containers", "list", "-q")
    assert done.stdout.split() == [f"c{i:06}" for i in range(RECORDS)]
    grown = {name: rss_kb(fresh_cluster.pid(name)) - before[name] for name in PROCESSES}
    # The store is mapped: its pages that were read are counted with the metadata worker's, and are not its own.
    mapped = os.stat(fresh_cluster.root / "metadata/data.mdb").st_blocks // 2
    assert sanitized() or all(kb < 10 * 1024 + (mapped if name == "metadata" else 0) for name, kb in grown.items()), grown


def test_a_mute_shim_does_not_take_the_others_figures_away(containers):
    """What cannot be told in time is said, and all else is told."""
    for name in ("a", "b", "c"):
        containers.run(name)
    shim = containers.shim_pid("b")
    os.kill(shim, signal.SIGSTOP)
    try:
        done = containers.cluster.shimctl("--timeout", "3s", "stats", "--no-stream", "--json")
        told = {json.loads(line)["id"] for line in done.stdout.splitlines()}
        assert {"a", "c"} <= told, done
        assert "b" in done.stdout + done.stderr
    finally:
        os.kill(shim, signal.SIGCONT)
    for name in ("a", "b", "c"):
        containers.finish(name)
