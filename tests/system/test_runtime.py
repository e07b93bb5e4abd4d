"""Where a runtime's executable is found, what the bundle says of the shim, and which containers share one."""

import json
import pathlib
import shutil

import pytest
from cluster import BIN
from fake_containers import CONFIG, OK, Containers, shim_path

CRI_SANDBOX = "io.kubernetes.cri.sandbox-id"
RUNC_GROUP = "io.containerd.runc.v2.group"


def bundle(containers, name):
    return containers.cluster.run / "task/default" / name


def annotate(containers, name, **annotations):
    """A container's record gets more annotations."""
    containers.record(name)
    spec = json.loads(containers.call("container.get", name)["spec"])
    spec["annotations"].update({key: value for key, value in annotations.items() if value})
    containers.call("container.update", name, spec=json.dumps(spec).encode())


@pytest.mark.parametrize("generation, version", [(1, 2), (2, 3), (3, 3)])
def test_a_bundle_says_how_its_shim_is_reached(containers, generation, version):
    containers.run("c", generation=generation)
    assert (bundle(containers, "c") / "shim-binary-path").read_text() == shim_path(generation)
    bootstrap = json.loads((bundle(containers, "c") / "bootstrap.json").read_text())
    assert (bootstrap["version"], bootstrap["protocol"]) == (version, "ttrpc")
    assert pathlib.Path(bootstrap["address"].removeprefix("unix://")).is_socket()
    assert bootstrap["shim_pid"] == containers.shim_pid("c")
    containers.finish("c")


@pytest.mark.parametrize("first, second, shared", [
    ({CRI_SANDBOX: "pod"}, {CRI_SANDBOX: "pod"}, True),
    ({CRI_SANDBOX: "pod"}, {CRI_SANDBOX: "pod2"}, False),
    ({RUNC_GROUP: "pod"}, {CRI_SANDBOX: "pod"}, True),
    ({RUNC_GROUP: "g", CRI_SANDBOX: "pod"}, {RUNC_GROUP: "g2", CRI_SANDBOX: "pod"}, False),  # runc's own goes first
])
def test_annotations_that_group(containers, first, second, shared):
    for name, annotations in (("a", first), ("b", second)):
        annotate(containers, name, **annotations)
        containers.call("task.create", name)
        containers.call("task.start", name)
    assert (containers.shim_pid("a") == containers.shim_pid("b")) == shared
    containers.restart_worker()
    for code, name in enumerate(("a", "b")):
        containers.end(name, code)
        assert containers.wait(name) == containers.remove(name, force=False)["exit_status"] == code
    for name in "a", "b":  # the shared one has the name of the first and goes with the last
        assert containers.nothing_of(name), containers.remains(name)


def test_a_runtime_beside_our_own_executables_is_found(fresh_cluster):
    fresh_cluster.bin = fresh_cluster.dir / "bin"
    shutil.copytree(BIN, fresh_cluster.bin)
    beside = fresh_cluster.bin / "containerd-shim-beside-v2"
    containers = Containers(fresh_cluster.start(config=CONFIG))
    containers.record("c", runtime="io.shimd.beside.v2")
    status, sentence = containers.outcome("task.create", "c")
    assert status != OK and "containerd-shim-beside-v2 is not installed" in sentence
    beside.write_text(f'#!/bin/sh\nexec {shim_path(1)} "$@"\n')
    beside.chmod(0o755)
    containers.call("task.create", "c")
    containers.call("task.start", "c")
    assert (bundle(containers, "c") / "shim-binary-path").read_text() == str(beside)
    containers.finish("c")
