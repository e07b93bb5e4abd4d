"""Where a runtime's executable is found, what the bundle says of the shim, and which containers share one."""

import json
import os
import pathlib
import shutil
import signal
import stat

import pytest
from cluster import BIN, until
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


RECORDER = """#!/bin/sh
for verb; do :; done
printf '%s\\0' "$@" >"{0}/$verb.args"
env -0 >"{0}/$verb.env"
cat >"{0}/$verb.stdin"
read -r pid name state parent group rest </proc/self/stat
echo $$ $group "$PWD" >"{0}/$verb.place"
exec {1} "$@" <"{0}/$verb.stdin"
"""
OURS = ("LISTEN_", "SHIMD_", "NOTIFY_SOCKET")  # meant for our processes alone
SHELLS = ("PWD", "OLDPWD", "SHLVL", "_")  # may be the recorder's own


def recorder(containers):
    """The path of a shim that writes down how it is called, and the directory where."""
    seen = containers.cluster.dir / "seen"
    seen.mkdir()
    path = containers.cluster.dir / "containerd-shim-runc-v2"
    path.write_text(RECORDER.format(seen, shim_path(1)))
    path.chmod(0o755)
    return str(path), seen


def pairs(path):
    words = (word.split("=", 1) for word in path.read_text().split("\0")[:-1])
    return {name: value for name, value in words if name not in SHELLS}


def test_a_shim_is_called_as_containerd_calls_it(fresh_cluster, monkeypatch):
    for name in ("GOMAXPROCS", "NAMESPACE", "TTRPC_ADDRESS", "GRPC_ADDRESS", "MAX_SHIM_VERSION", "NOTIFY_SOCKET", "SHIMD_X"):
        monkeypatch.setenv(name, "/none")
    monkeypatch.setenv("PASSED_ON", "to the shim")
    containers = Containers(fresh_cluster.start(config=CONFIG))
    runtime, seen = recorder(containers)
    run = fresh_cluster.run
    where = ["-namespace", "default", "-address", f"{run}/client.sock", "-publish-binary", "/proc/self/exe", "-id", "c"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS) and name not in SHELLS}
    request = os.urandom(16)
    containers.call("task.create", containers.record("c", runtime=runtime), id=request)
    containers.call("task.start", "c")
    os.kill(containers.shim_pid("c"), signal.SIGKILL)
    containers.await_nothing_of("c")
    for verb, more in (("start", []), ("delete", ["-bundle", str(bundle(containers, "c"))])):
        assert (seen / f"{verb}.args").read_text().split("\0")[:-1] == [*where, *more, verb]
        assert pairs(seen / f"{verb}.env") == {
            **inherited, "GOMAXPROCS": "2", "MAX_SHIM_VERSION": "2", "NAMESPACE": "default", "SHIMD_REQUEST": request.hex(),
            "TTRPC_ADDRESS": f"{run}/shim-events.sock", "GRPC_ADDRESS": f"{run}/client.sock",
        }
        pid, group, place = (seen / f"{verb}.place").read_text().split()
        assert (group, place) == (pid, str(bundle(containers, "c"))), "a group of its own, in the bundle"
    options = (seen / "start.stdin").read_bytes()
    assert b"containerd.runc.v1.Options" in options and f"{run}/runc".encode() in options
    assert (seen / "delete.stdin").read_bytes() == b""


@pytest.mark.parametrize("generation, version", [(1, 2), (2, 3), (3, 3)])
def test_a_bundle_says_how_its_shim_is_reached(containers, generation, version):
    containers.run("c", generation=generation)
    assert (bundle(containers, "c") / "shim-binary-path").read_text() == shim_path(generation)
    path = bundle(containers, "c") / "bootstrap.json"
    bootstrap = json.loads(path.read_text())
    assert (bootstrap["version"], bootstrap["protocol"]) == (version, "ttrpc")
    assert pathlib.Path(bootstrap["address"].removeprefix("unix://")).is_socket()
    assert bootstrap["shim_pid"] == containers.shim_pid("c")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    # Without it, it is found by the `address` file or where it must listen, and written down anew.
    path.unlink()
    containers.restart_worker()
    until(lambda: containers.state("c") == "RUNNING", "the task is adopted")
    assert json.loads(path.read_text()) == bootstrap
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
