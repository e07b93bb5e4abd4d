"""containerd's own client tests of tasks, as cases for the command line: each is played with shimctl and with ctr.

A case has the name of containerd's test (TestContainerStart is test_container_start), and says in words of its own what
has to hold. More of them are in test_conformance_daemon.py; those that a command line cannot express are in
test_conformance_api.py, which also has the table of all names and of what does not apply.
"""

import json
import os
import shutil
import signal
import subprocess

import pytest
from cluster import is_alive, until
from shimd_client import oci_spec
from tools import SECONDS, config, end, namespaces

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="containers need root"),
    pytest.mark.skipif(not shutil.which("containerd-shim-runc-v2"), reason="no containerd-shim-runc-v2"),
    pytest.mark.skipif(not shutil.which("runc"), reason="no runc"),
]


# records --------------------------------------------------------------------------------------------------------


def test_container_list(tool):
    assert tool.ok("containers", "list", "-q") == ""
    assert tool.ok("containers", "list").split() == ["CONTAINER", "IMAGE", "RUNTIME"]
    tool.ok("containers", "create", "--rootfs", tool.rootfs(), "c", "/bin/true")
    assert tool.ok("containers", "list", "-q") == "c\n"
    assert tool.ok("containers", "list").splitlines()[1].split() == ["c", "-", "io.containerd.runc.v2"]
    tool.ok("containers", "delete", "c")


def test_new_container(tool):
    create = ("containers", "create", "--rootfs", tool.rootfs(), "c", "/bin/true")
    tool.ok(*create)
    tool.refusal("already exists", *create)
    assert json.loads(tool.ok("containers", "info", "--spec", "c"))["process"]["args"] == ["/bin/true"]
    assert tool.tasks() == {}
    tool.ok("containers", "delete", "c")
    for words in (("info", "c"), ("delete", "c")):
        tool.refusal("not found", "containers", *words)


def test_container_info(tool):
    tool.ok("containers", "create", "--label", "a=b", "--rootfs", tool.rootfs(), "c", "/bin/true")
    info = json.loads(tool.ok("containers", "info", "c"))
    assert list(info) == ["ID", "Labels", "Image", "Runtime", "SnapshotKey", "Snapshotter", "CreatedAt", "UpdatedAt",
                          "Extensions", "Spec"]
    assert (info["ID"], info["Labels"], info["Image"], info["Extensions"]) == ("c", {"a": "b"}, "", None)
    assert info["Runtime"] == {"Name": "io.containerd.runc.v2", "Options": {"type_url": "containerd.runc.v1.Options"}}
    assert info["CreatedAt"] == info["UpdatedAt"] and info["CreatedAt"].endswith("Z")
    tool.ok("containers", "delete", "c")


def test_container_labels(tool):
    tool.ok("containers", "create", "--label", "a=b", "--rootfs", tool.rootfs(), "c", "/bin/true")
    assert set(tool.ok("containers", "label", "c", "k=v").strip().split(",")) == {"a=b", "k=v"}
    assert tool.ok("containers", "label", "c", "a=") == "k=v\n"
    assert json.loads(tool.ok("containers", "info", "c"))["Labels"] == {"k": "v"}
    tool.ok("containers", "delete", "c")


def test_task_spec(tool):
    """The bundle of a task has the spec of the record."""
    tool.detached("c", "/bin/sleep", "1000")
    recorded = json.loads(tool.ok("containers", "info", "--spec", "c"))
    assert json.loads((tool.bundles / "c/config.json").read_text()) == recorded
    end(tool, "c")


# starting and ending --------------------------------------------------------------------------------------------


def test_container_start(tool):
    path = tool.cluster.dir / "pid"
    tool.detached("c", "/bin/sh", "-c", "exit 7", options=("--pid-file", path))
    tool.await_stopped("c")
    assert tool.pid("c") == int(path.read_text()) > 0
    tool.refusal("already exists", "tasks", "start", "-d", "c")
    assert tool.delete("c") == 7
    assert tool.run("tasks", "start", "c").returncode == 7, "a container has one task after the other"
    assert tool.tasks() == {}
    tool.ok("containers", "delete", "c")


def test_container_start_with_abs_runtime_path(tool):
    run = ("run", "--rm", "--runtime")
    assert tool.run(*run, shutil.which("containerd-shim-runc-v2"), "--rootfs", tool.rootfs(), "c", "/bin/sh", "-c", "exit 3").returncode == 3
    assert tool.run(*run, "/no/such/shim", "--rootfs", tool.rootfs(), "c", "/bin/true").returncode != 0
    assert tool.tasks() == {}


def test_container_output(tool):
    done = tool.run("run", "--rm", "--rootfs", tool.rootfs(), "c", "/bin/sh", "-c", "echo kingfisher; echo err >&2")
    assert (done.returncode, done.stdout, done.stderr) == (0, "kingfisher\n", "err\n")


def test_container_no_stdin(tool):
    done = tool.run("run", "--rm", "--null-io", "--rootfs", tool.rootfs(), "c", "/bin/sh", "-c", "cat || exit 9; exit 3")
    assert (done.returncode, done.stdout) == (3, ""), done


def test_container_close_io(tool):
    with tool.popen("run", "--rm", "--rootfs", tool.rootfs(), "c", "/bin/cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write("word\n")
        process.stdin.flush()
        assert process.stdout.readline() == "word\n"
        process.stdin.close()
        assert process.stdout.read() == "" and process.wait(SECONDS) == 0


def test_container_no_binary_exists(tool):
    sentence = tool.refusal("error", "run", "--rm", "--rootfs", tool.rootfs(), "c", "/bin/nothing")
    assert 'exec: "/bin/nothing": stat /bin/nothing: no such file or directory' in sentence
    assert tool.tasks() == {}


def test_short_running_task_pid(tool):
    path = tool.cluster.dir / "pid"
    for _ in range(2):
        tool.detached("c", "/bin/true", options=("--pid-file", path))
        tool.await_stopped("c")
        assert tool.pid("c") == int(path.read_text()) > 0
        end(tool, "c")


def test_delete_running_container(tool):
    tool.detached("c", "/bin/sleep", "1000")
    tool.refusal("failed precondition", "containers", "delete", "c")
    tool.refusal("failed precondition", "tasks", "delete", "c")
    assert tool.status("c") == "RUNNING"
    end(tool, "c")


def test_task_force_delete(tool):
    tool.detached("c", "/bin/sleep", "1000")
    pid = tool.pid("c")
    tool.ok("tasks", "delete", "-f", "c")
    assert tool.tasks() == {} and not is_alive(pid)
    tool.refusal("not found", "tasks", "delete", "c")
    tool.ok("containers", "delete", "c")


def test_container_kill(tool):
    tool.detached("c", "/bin/sleep", "1000")
    tool.refusal("not found", "tasks", "kill", "nobody")
    tool.refusal("invalid argument", "tasks", "kill", "-s", "NOPE", "c")
    tool.ok("tasks", "kill", "-s", "KILL", "c")
    tool.await_stopped("c")
    tool.refusal("not found", "tasks", "kill", "-s", "KILL", "c")
    assert tool.delete("c") == 137
    tool.ok("containers", "delete", "c")


def test_container_kill_all(tool):
    tool.detached("c", "/bin/sh", "-c", "sleep 1000 & exec sleep 1000")
    until(lambda: len(tool.pids("c")) == 2, "both run")
    pids = tool.pids("c")
    tool.ok("tasks", "kill", "-s", "KILL", "--all", "c")
    tool.await_stopped("c")
    until(lambda: not any(map(is_alive, pids)), "all are gone")
    assert tool.delete("c") == 137
    tool.ok("containers", "delete", "c")


def children_die_with_init(tool, *kinds):
    path = config(tool, ["/bin/sh", "-c", "sleep 1000 & sleep 1000 & exec sleep 1000"], linux=namespaces(*kinds))
    tool.ok("run", "-d", "--config", path, "c")
    until(lambda: len(tool.pids("c")) == 3, "all run")
    pids = tool.pids("c")
    os.kill(tool.pid("c"), signal.SIGKILL)
    tool.await_stopped("c")
    until(lambda: not any(map(is_alive, pids)), "all are gone")
    assert tool.delete("c") == 137
    tool.ok("containers", "delete", "c")


def test_container_kill_init_kills_child_when_not_host_pid(tool):
    children_die_with_init(tool, "pid", "mount", "ipc", "uts")


def test_container_kill_init_pid_host(tool):
    children_die_with_init(tool, "mount", "ipc", "uts")


def test_kill_container_deleted_by_runc(tool):
    tool.detached("c", "/bin/sleep", "1000")
    subprocess.run(["runc", "--root", tool.runc_root, "delete", "-f", "c"], check=True)
    tool.await_stopped("c")
    tool.refusal("not found", "tasks", "kill", "-s", "KILL", "c")
    assert tool.delete("c") == 137
    tool.ok("containers", "delete", "c")


def test_issue9103(tool):
    """The container's process dies between its making and its start: the start has failed, whatever the process is by then."""
    wrapper = tool.cluster.dir / "killing-runc"
    wrapper.write_text(
        '#!/bin/sh\ncase " $* " in *" start "*) for last in "$@"; do :; done; pid=$(cat init.pid); kill -9 $pid; '
        'while grep -qs "State:.[^ZX]" /proc/$pid/status; do sleep 0.02; done;; esac\nexec runc "$@"\n')
    wrapper.chmod(0o755)
    sentence = tool.refusal("error", "run", "--runc-binary", wrapper, "--rm", "--rootfs", tool.rootfs(), "c", "/bin/true")
    assert "cannot start a container that has stopped" in sentence
    if tool.name == "ctr":
        tool.remove_all()  # it leaves what it has made
    assert tool.tasks() == {} and tool.ok("containers", "list", "-q") == ""


# execs ----------------------------------------------------------------------------------------------------------


def test_container_exec(tool):
    tool.detached("c", "/bin/sleep", "1000")
    done = tool.run("tasks", "exec", "--exec-id", "e", "c", "/bin/sh", "-c", "echo in; echo err >&2; exit 6")
    assert (done.returncode, done.stdout, done.stderr) == (6, "in\n", "err\n")
    assert list(tool.pids("c")) == [tool.pid("c")], "it is gone, and its id is free"
    assert tool.run("tasks", "exec", "--exec-id", "e", "c", "/bin/true").returncode == 0
    tool.ok("tasks", "kill", "-s", "KILL", "c")
    tool.await_stopped("c")
    tool.refusal("failed precondition", "tasks", "exec", "--exec-id", "late", "c", "/bin/true")
    end(tool, "c")
    tool.refusal("not found", "tasks", "exec", "--exec-id", "e", "c", "/bin/true")


def test_container_large_exec_args(tool):
    tool.detached("c", "/bin/sleep", "1000")
    done = tool.run("tasks", "exec", "--exec-id", "e", "c", "/bin/sh", "-c", "echo $0 | wc -c", "a" * 100000)
    assert (done.returncode, done.stdout) == (0, "100001\n")
    end(tool, "c")


def test_container_pids(tool):
    tool.detached("c", "/bin/sleep", "1000")
    assert tool.pids("c") == {tool.pid("c"): "-"}
    tool.ok("tasks", "exec", "-d", "--exec-id", "other", "c", "/bin/sleep", "1000")
    rows = tool.pids("c")
    assert len(rows) == 2 and "other" in rows.pop(max(set(rows) - {tool.pid("c")})) and rows == {tool.pid("c"): "-"}
    end(tool, "c")


def test_container_exec_no_binary_exists(tool):
    tool.detached("c", "/bin/sleep", "1000")
    sentence = tool.refusal("error", "tasks", "exec", "--exec-id", "e", "c", "/bin/nothing")
    assert 'exec: "/bin/nothing": stat /bin/nothing: no such file or directory' in sentence
    assert tool.pids("c") == {tool.pid("c"): "-"}
    end(tool, "c")


def test_process_force_delete(tool):
    tool.detached("c", "/bin/sleep", "1000")
    tool.ok("tasks", "exec", "-d", "--exec-id", "e", "c", "/bin/sleep", "1000")
    tool.refusal("failed precondition", "tasks", "delete", "--exec-id", "e", "c")
    assert len(tool.pids("c")) == 2
    assert tool.run("tasks", "delete", "-f", "--exec-id", "e", "c").returncode == 137
    until(lambda: tool.pids("c") == {tool.pid("c"): "-"}, "the exec is gone")
    end(tool, "c")


def test_container_load_unexisting_process(tool):
    tool.detached("c", "/bin/sleep", "1000")
    for words in (("kill",), ("delete",), ("delete", "-f")):
        tool.refusal("not found", "tasks", *words, "--exec-id", "nobody", "c")
    end(tool, "c")


# the world inside -----------------------------------------------------------------------------------------------


def test_container_hostname(tool):
    path = config(tool, ["/bin/cat", "/proc/sys/kernel/hostname"], hostname="box")
    assert tool.ok("run", "--rm", "--config", path, "c") == "box\n"


def test_container_hook(tool):
    hook = tool.cluster.dir / "hook"
    hook.write_text(f"#!/bin/sh\ncat > {tool.cluster.dir}/hooked\n")
    hook.chmod(0o755)
    tool.ok("run", "--rm", "--config", config(tool, ["/bin/true"], hooks={"prestart": [{"path": str(hook)}]}), "c")
    assert json.loads((tool.cluster.dir / "hooked").read_text())["id"] == "c"
    (tool.cluster.dir / "hooked").unlink()
    path = config(tool, ["/bin/true"], hooks={"prestart": [{"path": "/no/such/hook"}]})
    assert "/no/such/hook" in tool.refusal("error", "run", "--rm", "--config", path, "c")
    assert tool.tasks() == {}


def test_container_runtime_optionsv2(tool):
    sentence = tool.refusal("error", "run", "--rm", "--runc-binary", "no-runc", "--rootfs", tool.rootfs(), "c", "/bin/true")
    assert 'exec: "no-runc": executable file not found' in sentence
    assert tool.tasks() == {}


def test_shim_sock_length(tool):
    ns, name = "n" * 76, "i" * 76
    assert tool.run("-n", ns, "run", "--rm", "--rootfs", tool.rootfs(), name, "/bin/sh", "-c", "exit 4").returncode == 4
    tool.ok("-n", ns, "namespaces", "remove", ns)
    tool.refusal("invalid argument", "run", "--rm", "--rootfs", tool.rootfs(), "i" * 77, "/bin/true")


def ids_of(tool, user):
    """What a process of this user has as uid and gid."""
    words = tool.ok("tasks", "exec", "--exec-id", "e", "--user", user, "c", "/bin/sh", "-c", "id -u; id -g").split()
    if tool.name == "shimctl":  # ctr's run has had the flag since 2.0 only
        ran = tool.ok("run", "--rm", "--user", user, "--rootfs", tool.rootfs(), "d", "/bin/sh", "-c", "id -u; id -g")
        assert ran.split() == words
    return tuple(map(int, words))


@pytest.mark.parametrize("user, ids", [("user", (1000, 1000)), ("1000", (1000, 1000)), ("1000:0", (1000, 0)), ("5:6", (5, 6))])
def test_container_user(tool, user, ids):
    tool.detached("c", "/bin/sleep", "1000")
    assert ids_of(tool, user) == ids
    end(tool, "c")


def test_container_username(tool):
    tool.detached("c", "/bin/sleep", "1000")
    assert ids_of(tool, "root") == (0, 0)
    tool.refusal("error" if tool.name == "ctr" else "invalid argument", "tasks", "exec", "--exec-id", "f", "--user", "nobody", "c", "/bin/id")
    end(tool, "c")


@pytest.mark.parametrize("user, ids", [("0", (0, 0)), ("4711", (4711, 0))])
def test_container_user_id(tool, user, ids):
    """A number that the container's accounts have, and one that they have not: its group is 0 then."""
    tool.detached("c", "/bin/sleep", "1000")
    assert ids_of(tool, user) == ids
    end(tool, "c")


def test_user_namespaces(tool):
    mapped = {"uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1000}],
              "gidMappings": [{"containerID": 0, "hostID": 2000, "size": 1000}]}
    path = config(tool, ["/bin/sh", "-c", "id -u; cat /proc/self/uid_map /proc/self/gid_map"],
                  linux={**namespaces("user", "pid", "mount", "ipc", "uts"), **mapped})
    assert tool.ok("run", "--rm", "--config", path, "c").split() == "0 0 1000 1000 0 2000 1000".split()


def binds_a_low_port(tool, **process):
    """Whether somebody who is not root may."""
    args = ["/bin/sh", "-c", "busybox nc -l -p 80 -e true & while kill -0 $! 2>/dev/null; do "
            "grep -q :0050 /proc/net/tcp /proc/net/tcp6 && exit 0; done; exit 3"]
    spec = oci_spec("c", tool.rootfs(), args)
    spec["process"].update(user={"uid": 1000, "gid": 1000}, **process)
    path = config(tool, args, process=spec["process"])
    return {0: True, 3: False}[tool.run("run", "--rm", "--config", path, "c").returncode]


def test_bind_low_port_non_root(tool):
    assert not binds_a_low_port(tool)


def test_bind_low_port_non_opt(tool):
    sets = ("bounding", "effective", "permitted", "inheritable", "ambient")
    assert binds_a_low_port(tool, capabilities={name: ["CAP_NET_BIND_SERVICE"] for name in sets})


# metrics --------------------------------------------------------------------------------------------------------


def test_container_metrics(tool):
    tool.detached("c", "/bin/sleep", "1000", options=("--memory-limit", "67108864"))
    lines = tool.ok("tasks", "metrics", "c").splitlines()
    assert lines[0].split() == ["ID", "TIMESTAMP"] and lines[1].split()[0] == "c" and "UTC" in lines[1]
    rows = dict(line.split(None, 1) for line in lines[4:])
    assert "67108864" in rows.get("memory.limit_in_bytes", "") + rows.get("memory.usage_limit", "")
    assert int(rows["pids.current"]) == 1
    end(tool, "c")


def test_deleted_container_metrics(tool):
    tool.detached("c", "/bin/sleep", "1000")
    tool.ok("tasks", "kill", "-s", "KILL", "c")
    tool.await_stopped("c")
    assert "pids.current" in tool.ok("tasks", "metrics", "c"), "until it is deleted"
    tool.ok("tasks", "delete", "c")
    tool.refusal("not found", "tasks", "metrics", "c")
    tool.ok("containers", "delete", "c")
    tool.refusal("not found", "tasks", "metrics", "c")
