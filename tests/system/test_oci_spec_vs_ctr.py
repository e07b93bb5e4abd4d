"""Our OCI specs against those of containerd's own client.

A private containerd 1.6 and `ctr run` make a container record for each row of the tables below; the
spec in the record must be the one we make from the same flags, but for the differences that the row
lists, each with its reason. The runtime named to ctr does not exist: the record is made before that
is noticed, and no task ever runs.
"""

import dataclasses
import json
import os
import pathlib
import pty
import shutil
import stat
import subprocess
import tempfile

import pytest
from containerd import need

MISSING = "(missing)"
COMMAND = ["sh", "-c", "echo hi"]

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
web:x:33:33:web:/var/www:/bin/sh
broken:x:many:1:broken:/:/bin/sh
"""
GROUP = """\
root:x:0:
web:x:33:web
adm:x:4:root,web
video:x:44:bob,web
"""


def our_spec(flags, rootfs, container_id, command=COMMAND, namespace="default"):
    """The one place that knows how our spec is got. Returns (spec, None) or (None, complaint)."""
    build = os.environ.get("SHIMD_BUILD_DIR") or pathlib.Path(__file__).parents[2] / "build"
    program = pathlib.Path(build) / "bin" / "oci_spec_print"
    need(program.exists(), f"{program} is not built")
    place = [container_id] if "--config" in flags else [str(rootfs), container_id, *command]
    done = subprocess.run(
        [program, "--namespace", namespace, *flags, *place],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if done.returncode:
        return None, done.stderr.strip()
    return json.loads(done.stdout), None


class Records:
    """What `ctr run` records."""

    def __init__(self, containerd):
        self.containerd = containerd
        self.count = 0

    def new_id(self):
        self.count += 1
        return f"c{self.count}"

    def run_spec(self, flags, rootfs, container_id, command=COMMAND, namespace="default"):
        """The spec of the record. Returns (spec, None) or (None, complaint)."""
        place = [container_id] if "--config" in flags else ["--rootfs", rootfs, container_id, *command]
        # `ctr run --tty` wants a terminal to speak to.
        master, slave = pty.openpty()
        ctr = self.containerd.ctr
        try:
            made = ctr(
                "--namespace", namespace, "run", "--detach", "--runtime", "io.containerd.none.v1",
                "--fifo-dir", self.containerd.home / "fifo", *flags, *place, stdin=slave,
            )
        finally:
            os.close(slave)
            os.close(master)
        shown = ctr("--namespace", namespace, "containers", "info", "--spec", container_id)
        if shown.returncode:
            return None, made.stderr.strip()
        return json.loads(shown.stdout), None


@pytest.fixture(scope="module")
def records(containerd):
    return Records(containerd)


@pytest.fixture(scope="module")
def place():
    """A root filesystem, and the files that the flags name. `{place}` in the tables stands for it.

    Not in pytest's own directory: that one is kept, and device nodes should not lie about.
    """
    home = pathlib.Path(tempfile.mkdtemp(prefix="oci-place-")).resolve()
    try:
        fill_place(home)
        yield home
    finally:
        shutil.rmtree(home)


def fill_place(home):
    etc = home / "rootfs" / "etc"
    etc.mkdir(parents=True)
    (etc / "passwd").write_text(PASSWD)
    (etc / "group").write_text(GROUP)
    (home / "link").symlink_to("rootfs")
    (home / "env").write_text("A=1\n\nB=two words \r\nC='q'\n D=4\nUNKNOWN\n")
    (home / "env-comment").write_text("#A=1\nB=2\n")
    (home / "config.json").write_text(
        json.dumps(
            {
                "ociVersion": "1.0.2",
                "process": {"user": {"uid": 1, "gid": 2}, "args": ["sh"], "cwd": "/"},
                "root": {"path": "rootfs"},
                "linux": {"namespaces": [{"type": "pid"}]},
            }
        )
    )
    if os.geteuid() == 0:
        devices = home / "devices"
        (devices / "b-dir" / "deep").mkdir(parents=True)
        (devices / "shm").mkdir()
        for name, kind, number in (
            ("zero", stat.S_IFCHR, (1, 5)),
            ("a-null", stat.S_IFCHR, (1, 3)),
            ("console", stat.S_IFCHR, (5, 1)),
            ("shm/null", stat.S_IFCHR, (1, 3)),
            ("b-dir/loop", stat.S_IFBLK, (7, 3)),
            ("b-dir/deep/big", stat.S_IFCHR, (511, 70000)),
        ):
            os.mknod(devices / name, kind | 0o640, os.makedev(*number))
        os.chown(devices / "zero", 7, 8)
        os.mkfifo(devices / "fifo")
        (devices / "file").write_text("no device")
        (devices / "zlink").symlink_to("zero")
        (home / "devices-link").symlink_to("devices")


# Shown as a whole when anything in it differs.
ONE_VALUE = {"process.user"}


def differences(theirs, ours, path=""):
    """Every place where two JSON trees differ: path -> (theirs, ours). Lists count as one value."""
    if isinstance(theirs, dict) and isinstance(ours, dict) and path not in ONE_VALUE:
        found = {}
        for key in sorted(theirs.keys() | ours.keys()):
            below = f"{path}.{key}" if path else key
            found.update(
                differences(theirs.get(key, MISSING), ours.get(key, MISSING), below)
            )
        return found
    # In Python True == 1, in JSON not.
    same = json.dumps(theirs, sort_keys=True) == json.dumps(ours, sort_keys=True)
    return {} if same else {path: (theirs, ours)}


@dataclasses.dataclass
class Row:
    """Flags for both; flags that this ctr does not have yet; what may differ, and why."""

    name: str
    flags: tuple = ()
    new_flags: tuple = ()
    allowed: dict = dataclasses.field(default_factory=dict)
    why: str = ""

    def __str__(self):
        return self.name


ROOT = {"uid": 0, "gid": 0}
ALL_DEFAULT_CAPS = (
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP "
    "NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE"
).split()

SAME = [
    Row("default"),
    Row("env", ("--env", "A=1", "--env", "B", "--env", "C=", "--env", "D=a=b", "--env", "E=x,y z")),
    Row("env-file then env", ("--env-file", "{place}/env", "--env", "B=3", "--env", "C")),
    Row("cwd", ("--cwd", "/var/tmp")),
    Row("read-only", ("--read-only",)),
    Row("tty", ("--tty",)),
    Row("tty and env", ("--tty", "--env", "A=1")),
    Row("net-host", ("--net-host",)),
    Row("net-host and a joined namespace", ("--net-host", "--with-ns", "network:/proc/1/ns/net")),
    Row(
        "mounts",
        (
            "--mount", "type=bind,src=/tmp,dst=/host,options=rbind:ro",
            "--mount", "source=/a,destination=/b,options=bind",
            "--mount", "type=tmpfs,dst=/x",
            "--mount", 'type=bind,"src=/a,""b""",dst=/y,options=rbind',
            "--mount", "type=tmpfs,dst=/k=v,options=size=1m:mode=700",
        ),
    ),
    Row("mount before net-host's", ("--net-host", "--mount", "type=tmpfs,src=tmpfs,dst=/x")),
    Row("capabilities", ("--cap-add", "CAP_SYS_ADMIN", "--cap-drop", "CAP_CHOWN")),
    Row("capability added that is there", ("--cap-add", "CAP_CHOWN", "--cap-add", "CAP_SYSLOG")),
    Row("capability dropped wins", ("--cap-drop", "CAP_BPF", "--cap-add", "CAP_BPF")),
    Row("no capabilities", tuple(f"--cap-drop=CAP_{name}" for name in ALL_DEFAULT_CAPS)),
    Row("privileged", ("--privileged",)),
    Row(
        "privileged, less a capability, with a device",
        ("--privileged", "--cap-drop", "CAP_SYS_ADMIN", "--device", "/dev/null", "--read-only"),
    ),
    Row("allow-new-privs", ("--allow-new-privs",)),
    Row("annotations", ("--annotation", "a=b", "--annotation", "a=c=d", "--annotation", "e=")),
    Row("labels become annotations", ("--annotation", "l=1", "--label", "l=2", "--label", "m")),
    Row("joined namespaces", ("--with-ns", "pid:/p", "--with-ns", "cgroup:/c", "--with-ns", "user:/u")),
    Row("device", ("--device", "/dev/null")),
    Row("directory of devices", ("--device", "{place}/devices")),
    Row("link to a directory of devices", ("--device", "{place}/devices-link")),
    Row("cgroup", ("--cgroup", "/some/where")),
    Row("cgroup, relative", ("--cgroup", "some:where:else")),
    Row("no cgroup", ("--cgroup", "")),
    Row("propagation", ("--rootfs-propagation", "rshared")),
    Row("memory", ("--memory-limit", "67108864")),
    Row("memory, the most", ("--memory-limit", "9223372036854775807")),
    Row("cpus", ("--cpus", "0.29")),
    Row("cpus, many", ("--cpus", "63.999")),
    Row("shares", ("--cpu-shares", "2")),
    Row("no shares", ("--cpu-shares", "0")),
    Row("quota", ("--cpu-quota", "50000", "--cpu-period", "20000")),
    Row("quota alone", ("--cpu-quota", "1000")),
    Row("period alone", ("--cpu-period", "1000000")),
    Row("quota of zero", ("--cpu-quota", "0")),
    Row(
        "everything at once",
        (
            "--env", "A=1", "--cwd", "/w", "--tty", "--net-host", "--read-only", "--mount",
            "type=tmpfs,src=t,dst=/t", "--annotation", "k=v", "--label", "x=y", "--memory-limit",
            "0x100000", "--cpus", "1.5", "--cpu-shares", "512", "--cap-add", "CAP_NET_ADMIN",
            "--with-ns", "ipc:/proc/1/ns/ipc", "--device", "/dev/zero", "--rootfs-propagation",
            "private", "--allow-new-privs", "--cgroup", "/x",
        ),
    ),
]

DIFFERENT = [
    Row(
        "a variable given twice",
        ("--env", "A=1", "--env", "B=2", "--env", "A=3"),
        allowed={"process.env": (["A=1", "B=2", "A=3"], ["A=3", "B=2"])},
        why="which of two equal names a program sees is chance; runc too keeps the last only",
    ),
    Row(
        "a variable given and taken back",
        ("--env", "A=1", "--env", "B=2", "--env", "A"),
        allowed={"process.env": (["A=1", "B=2"], ["B=2"])},
        why="NAME alone removes a variable; ctr forgets it for those of the same flag",
    ),
    Row(
        "comments in an env-file",
        ("--env-file", "{place}/env-comment"),
        allowed={"process.env": (["#A=1", "B=2"], ["B=2"])},
        why="nobody means a variable by the name of '#A'",
    ),
    Row(
        "the user's own TERM",
        ("--tty", "--env", "TERM=vt100"),
        allowed={"process.env": (["TERM=vt100", "TERM=xterm"], ["TERM=vt100"])},
        why="with ctr the runtime keeps the last one, which is not what the user asked for",
    ),
    Row(
        "a writable sysfs only where it is the default",
        ("--privileged", "--mount", "type=sysfs,src=sysfs,dst=/s,options=ro"),
        # The index is that of the mount after the seven defaults.
        allowed={"mounts[7].options": (["rw"], ["ro"])},
        why="the user said ro; ctr turns every sysfs into a writable one",
    ),
    Row(
        "hostname",
        new_flags=("--hostname", "box"),
        allowed={"hostname": (MISSING, "box")},
        why="ctr has the flag since 1.7",
    ),
    Row(
        "user by number",
        new_flags=("--user", "33"),
        allowed={"process.user": (ROOT, {"uid": 33, "gid": 33, "additionalGids": [33, 4, 44]})},
        why="ctr has the flag since 2.0",
    ),
    Row(
        "user by a number without account",
        new_flags=("--user", "4711"),
        allowed={"process.user": (ROOT, {"uid": 4711, "gid": 0, "additionalGids": [0]})},
        why="ctr has the flag since 2.0",
    ),
    Row(
        "user by name",
        new_flags=("--user", "web"),
        allowed={"process.user": (ROOT, {"uid": 33, "gid": 33, "additionalGids": [33, 4, 44]})},
        why="ctr has the flag since 2.0",
    ),
    Row(
        "user and group by name",
        new_flags=("--user", "web:video"),
        allowed={"process.user": (ROOT, {"uid": 33, "gid": 44, "additionalGids": [44]})},
        why="ctr has the flag since 2.0",
    ),
    Row(
        "user and group by number",
        new_flags=("--user", "5:6"),
        allowed={"process.user": (ROOT, {"uid": 5, "gid": 6, "additionalGids": [6]})},
        why="ctr has the flag since 2.0",
    ),
    Row(
        "open files",
        new_flags=("--rlimit-nofile", "512:4096"),
        allowed={
            "process.rlimits": (
                [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
                [{"type": "RLIMIT_NOFILE", "hard": 4096, "soft": 512}],
            )
        },
        why="ctr has the flag since 2.1",
    ),
    Row(
        "cpusets",
        new_flags=("--cpuset-cpus", "0-1,3", "--cpuset-mems", "0"),
        allowed={
            "linux.resources.cpu.cpus": (MISSING, "0-1,3"),
            "linux.resources.cpu.mems": (MISSING, "0"),
        },
        why="ctr has the flags since 1.7",
    ),
]


def fill(flags, place):
    return [flag.replace("{place}", str(place)) for flag in flags]


def by_index(spec):
    """Mounts by number, so that a difference in one of them can be named."""
    mounts = spec.pop("mounts", [])
    spec.update({f"mounts[{i}]": mount for i, mount in enumerate(mounts)})
    return spec


@pytest.mark.parametrize("row", SAME + DIFFERENT, ids=str)
def test_spec_is_ctrs(records, place, row):
    container_id = records.new_id()
    rootfs = place / "rootfs"
    theirs, refused = records.run_spec(fill(row.flags, place), rootfs, container_id)
    assert refused is None, refused
    ours, refused = our_spec(fill(row.flags + row.new_flags, place), rootfs, container_id)
    assert refused is None, refused
    assert bool(row.allowed) == bool(row.why)
    assert differences(by_index(theirs), by_index(ours)) == row.allowed, row.why


def test_users_own_hostname_variable(records, place):
    """As with TERM: ctr puts the host's name over the one that the user gave."""
    container_id = records.new_id()
    flags = ["--net-host", "--env", "HOSTNAME=mine"]
    theirs, _ = records.run_spec(flags, place / "rootfs", container_id)
    ours, _ = our_spec(flags, place / "rootfs", container_id)
    assert differences(theirs, ours) == {
        "process.env": ([f"HOSTNAME={os.uname().nodename}"], ["HOSTNAME=mine"])
    }


def test_containers_create_has_no_shares(records, place):
    """`ctr containers create` has no --cpu-shares and so no default for it."""
    container_id = records.new_id()
    made = records.containerd.ctr("-n", "default", "containers", "create", "--rootfs", place / "rootfs", container_id, "sh")
    assert made.returncode == 0, made.stderr
    theirs = json.loads(records.containerd.ctr("-n", "default", "containers", "info", "--spec", container_id).stdout)
    ours, refused = our_spec(["--cpu-shares", "0"], place / "rootfs", container_id, ["sh"])
    assert refused is None, refused
    assert differences(theirs, ours) == {}


def test_other_namespace_and_relative_root(records, place, monkeypatch):
    monkeypatch.chdir(place)
    container_id = records.new_id()
    where = ("rootfs/../rootfs/", container_id, ["/bin/x", "-c", "", "ü"], "my.space")
    theirs, refused = records.run_spec([], *where)
    assert refused is None, refused
    ours, refused = our_spec([], *where)
    assert refused is None, refused
    assert differences(theirs, ours) == {}


def test_root_behind_a_link(records, place):
    """runc refuses a root that is reached through a link, so ours is the place itself."""
    container_id = records.new_id()
    theirs, _ = records.run_spec([], place / "link", container_id)
    ours, _ = our_spec([], place / "link", container_id)
    assert differences(theirs, ours) == {
        "root.path": (str(place / "link"), str(place / "rootfs"))
    }


@pytest.mark.parametrize("labels", [(), ("--label", "a=b", "--label", "c")], ids=["bare", "labels"])
def test_config_file(records, place, labels):
    flags = ["--config", str(place / "config.json"), *labels]
    container_id = records.new_id()
    theirs, refused = records.run_spec(flags, None, container_id)
    assert refused is None, refused
    ours, refused = our_spec(flags, None, container_id)
    assert refused is None, refused
    assert differences(theirs, ours) == {}


# Both refuse these.
REFUSED_BY_BOTH = [
    ("--cap-add", "SYS_ADMIN"),
    ("--cap-drop", "cap_chown"),
    ("--annotation", "no-value"),
    ("--mount", "foo"),
    ("--mount", "foo=bar"),
    ("--mount", ""),
    ("--mount", 'type=bind,src="/a",dst=/x'),
    ("--mount", 'type=tmpfs,"dst=/x'),
    ("--mount", "type=tmpfs,dst=/x,"),
    ("--with-ns", "pid"),
    ("--with-ns", "net:/x"),
    ("--with-ns", "time:/x"),
    ("--device", "/dev/no-such-device"),
    ("--device", "/etc/passwd"),
    ("--device", "{place}/devices/zlink"),
    ("--cpus", "1", "--cpu-quota", "5000"),
    ("--memory-limit", "lots"),
    ("--env-file", "/no/such/file"),
    ("--label", "=x"),
]

# ctr makes a container of each of these. runc refuses some at start, in words that name no flag;
# the others quietly do something else than was asked for.
REFUSED_BY_US = [
    ("--env", "=x"),
    ("--cwd", "relative"),
    ("--memory-limit", "18446744073709551615"),
    ("--cpus", "-1"),
    ("--cpus", "nan"),
    ("--cpus", "1e300"),
    ("--cpus", "0.000001"),
    ("--cpu-shares", "1"),
    ("--cpu-shares", "99999999999"),
    ("--cpu-quota", "-2"),
    ("--cpu-quota", "5"),
    ("--cpu-period", "5"),
    ("--cap-add", "CAP_BOGUS"),
    ("--cap-drop", "CAP_SYS_ADMIM"),
    ("--cap-add", "CAP_SYS_ADMIN,CAP_NET_ADMIN"),
    ("--annotation", "=x"),
    ("--with-ns", "network:"),
    ("--with-ns", "pid:relative"),
    ("--cgroup", "../../outside"),
    ("--rootfs-propagation", "bogus"),
    ("--mount", "type=bind,src=relative,dst=/x,options=rbind"),
    ("--mount", "type=bind,src=/a,dst=/x"),
    ("--mount", "type=tmpfs,dst=relative"),
    ("--mount", "type=tmpfs,src=t"),
    ("--mount", "dst=/x"),
    ("--mount", "type=tmpfs,dst=/x,options=ro:"),
    ("--mount", "type=tmpfs,type=bind,dst=/x"),
    ("--mount", "type=tmpfs\ndst=/x"),
    ("--device", "{place}/devices/fifo"),
    ("--device", "{place}/rootfs"),
]


@pytest.mark.parametrize("flags", REFUSED_BY_BOTH, ids=" ".join)
def test_refused_by_both(records, place, flags):
    flags = fill(flags, place)
    container_id = records.new_id()
    theirs, refused = records.run_spec(flags, place / "rootfs", container_id)
    assert theirs is None and refused
    ours, refused = our_spec(flags, place / "rootfs", container_id)
    assert ours is None and refused.count("\n") == 0 and flags[0] in refused


@pytest.mark.parametrize("flags", REFUSED_BY_US, ids=lambda flags: " ".join(flags).replace("\n", "?"))
def test_refused_by_us(records, place, flags):
    flags = fill(flags, place)
    container_id = records.new_id()
    theirs, refused = records.run_spec(flags, place / "rootfs", container_id)
    assert refused is None and theirs
    ours, refused = our_spec(flags, place / "rootfs", container_id)
    assert ours is None and refused.startswith("INVALID_ARGUMENT: " + flags[0]), refused


def test_no_root_and_no_command(records, place):
    """ctr records both, and the runtime fails."""
    for rootfs, command in ((place / "nowhere", COMMAND), (place / "rootfs", [])):
        container_id = records.new_id()
        theirs, refused = records.run_spec([], rootfs, container_id, command)
        assert refused is None and theirs
        ours, refused = our_spec([], rootfs, container_id, command)
        assert ours is None and refused.startswith("INVALID_ARGUMENT: ")


@pytest.mark.parametrize("user", ["nobody", "web:none", "web:", ":web", "a:b:c", "broken", "-1", "2147483648"])
def test_users_that_are_not_there(place, user):
    """`ctr tasks exec --user` of this version reads "broken" and "web:" as root, -1 as 4294967295."""
    ours, refused = our_spec(["--user", user], place / "rootfs", "x")
    assert ours is None and refused.startswith("INVALID_ARGUMENT: --user"), refused
