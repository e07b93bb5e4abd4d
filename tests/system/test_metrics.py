"""What a task uses, in fields: against ctr's with a real containerd, and from metrics of both generations of cgroups
that were written down field by field, whatever this machine has."""

import json
import os
import shutil

import pytest
from raw_ttrpc import encode, varint
from shimd_client import oci_spec
from tools import Ctr, Shimctl, config, end

MEMORY, PIDS = 64 << 20, 77


def table(text):
    """Names and values in the order in which they are printed, without the title."""
    lines = text.splitlines()
    assert lines[0].split() == ["ID", "TIMESTAMP"] and lines[1].split()[0] == "c" and lines[1].rstrip().endswith("UTC")
    assert lines[2] == "" and lines[3].split() == ["METRIC", "VALUE"]
    return [tuple(part.strip() for part in line.split(None, 1)) for line in lines[4:]]


def leaves(value, path=""):
    """Every number and text of a tree, by its path."""
    if isinstance(value, dict):
        pairs = [(f"{path}.{key}" if path else key, inner) for key, inner in value.items()]
    elif isinstance(value, list):
        pairs = [(f"{path}[{at}]", inner) for at, inner in enumerate(value)]
    else:
        return {path: value}
    return {name: leaf for at, inner in pairs for name, leaf in leaves(inner, at).items()}


# beside ctr -----------------------------------------------------------------------------------------------------


def measured(tool):
    """The table and the fields of one container with limits."""
    args = ["/bin/sleep", "1000"]
    linux = oci_spec("c", tool.rootfs(), args)["linux"]
    limits = {"memory": {"limit": MEMORY}, "pids": {"limit": PIDS}, "cpu": {"quota": 50000, "period": 100000}}
    linux["resources"] = {**linux.get("resources", {}), **limits}
    tool.ok("run", "-d", "--null-io", "--config", config(tool, args, linux=linux), "c")
    try:
        return table(tool.ok("tasks", "metrics", "c")), json.loads(tool.ok("tasks", "metrics", "--format", "json", "c"))
    finally:
        end(tool, "c")


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("containerd-shim-runc-v2"), reason="containers need root and a shim")
def test_metrics_are_those_of_ctr(shared_cluster, containerd):
    their_rows, their_fields = measured(Ctr(containerd, shared_cluster))
    our_rows, our_fields = measured(Shimctl(shared_cluster))
    assert [name for name, _ in our_rows] == [name for name, _ in their_rows]
    ours, theirs = dict(our_rows), dict(their_rows)
    fixed = [name for name in theirs if "limit" in name or name == "pids.current"]
    assert {name: ours[name] for name in fixed} == {name: theirs[name] for name in fixed}
    assert str(MEMORY) in ours.values() and ours["pids.limit"] == str(PIDS) and ours["pids.current"] == "1"
    assert all(int(rows.get("cpuacct.usage") or rows["cpu.usage_usec"]) > 0 for rows in (ours, theirs))
    if "cpuacct.usage_percpu" in theirs:
        assert len(ours["cpuacct.usage_percpu"].split()) == len(theirs["cpuacct.usage_percpu"].split())

    # ctr leaves out what is 0; a field that is not 0 has the same name and the same kind of value with both.
    ours, theirs = leaves(our_fields["stats"]), leaves(their_fields)
    assert set(theirs) <= set(ours), set(theirs) - set(ours)
    assert {name: type(ours[name]) for name in theirs} == {name: type(value) for name, value in theirs.items()}
    fixed = [name for name in theirs if "limit" in name or name.startswith("pids.")]
    assert len(fixed) >= 3 and {name: ours[name] for name in fixed} == {name: theirs[name] for name in fixed}


# as it was written down -----------------------------------------------------------------------------------------

NO_LIMIT = (1 << 64) - 1  # more than a number of JSON holds: it is printed as text
V1 = "io.containerd.cgroups.v1.Metrics"
V1_METRICS = {
    1: [{1: 1, 2: 2, 3: 3, 4: "2MB"}],
    2: {1: 5, 2: 50},
    3: {1: {1: 3000000, 2: 1000000, 3: 2000000, 4: varint(1200000) + varint(1800000)}, 2: {1: 11, 2: 12, 3: 13}},
    4: {1: 100, 18: 4096, 30: 1 << 20, 33: {1: MEMORY, 2: 3 << 20, 3: 4 << 20, 4: 9}, 34: {1: NO_LIMIT}},
    5: {1: [{1: "Read", 2: "/dev/sda", 3: 8, 4: 1, 5: 512}]},
    9: {1: 0, 2: 1, 3: 2},
}
V1_TABLE = [
    ("memory.usage_in_bytes", str(3 << 20)), ("memory.limit_in_bytes", str(MEMORY)), ("memory.stat.cache", "4096"),
    ("cpuacct.usage", "3000000"), ("cpuacct.usage_percpu", "[1200000 1800000]"), ("pids.current", "5"), ("pids.limit", "50"),
]
V1_FIELDS = {
    "hugetlb[0].pagesize": "2MB", "hugetlb[0].failcnt": 3, "pids.limit": 50, "cpu.usage.kernel": 1000000,
    "cpu.usage.user": 2000000, "cpu.usage.per_cpu[1]": 1800000, "cpu.throttling.throttled_periods": 12,
    "memory.cache": 100, "memory.total_cache": 4096, "memory.total_inactive_file": 1 << 20, "memory.usage.max": 4 << 20, "memory.usage.failcnt": 9,
    "memory.swap.limit": str(NO_LIMIT), "blkio.io_service_bytes_recursive[0].op": "Read",
    "blkio.io_service_bytes_recursive[0].value": 512, "memory_oom_control.oom_kill": 2,
}

V2 = "io.containerd.cgroups.v2.Metrics"
V2_METRICS = {
    1: {1: 6, 2: 60},
    2: {1: 3000, 2: 1000, 3: 2000, 4: 14, 5: 15, 6: 16},
    4: {1: 17, 2: 18, 13: 1 << 20, 32: 3 << 20, 33: MEMORY, 34: 19, 35: NO_LIMIT},
    6: {1: [{1: 8, 2: 1, 3: 4096, 4: 8192, 5: 1, 6: 2}]},
    7: [{1: 21, 2: 22, 3: "2MB"}],
    8: {1: 23, 4: 24, 5: 25},
}
V2_TABLE = [
    ("pids.current", "6"), ("pids.limit", "60"), ("cpu.usage_usec", "3000"), ("cpu.user_usec", "1000"),
    ("cpu.system_usec", "2000"), ("cpu.nr_periods", "14"), ("cpu.nr_throttled", "15"), ("cpu.throttled_usec", "16"),
    ("memory.usage", str(3 << 20)), ("memory.usage_limit", str(MEMORY)), ("memory.swap_usage", "19"),
    ("memory.swap_limit", str(NO_LIMIT)),
]
V2_FIELDS = {
    "pids.current": 6, "cpu.usage_usec": 3000, "cpu.throttled_usec": 16, "memory.anon": 17, "memory.file": 18,
    "memory.inactive_file": 1 << 20, "memory.swap_limit": str(NO_LIMIT), "io.usage[0].rbytes": 4096,
    "io.usage[0].wios": 2, "hugetlb[0].pagesize": "2MB", "memory_events.low": 23, "memory_events.oom": 24,
    "memory_events.oom_kill": 25,
}


@pytest.fixture(name="recorded")
def fixture_recorded(containers):
    """A container whose shim answers Stats with what it is given."""
    path = containers.cluster.dir / "stats"
    containers.run("c", stats=path)

    def answer(kind, metrics):
        path.write_bytes(encode({1: {1: kind, 2: encode(metrics)}}))

    yield answer
    containers.finish("c")


@pytest.mark.parametrize("kind, metrics, rows, fields, usage", [
    (V1, V1_METRICS, V1_TABLE, V1_FIELDS, {"memory": 2 << 20, "memory_limit": MEMORY, "pids": 5}),
    (V2, V2_METRICS, V2_TABLE, V2_FIELDS, {"memory": 2 << 20, "memory_limit": MEMORY, "pids": 6}),
], ids=["v1", "v2"])
def test_each_generation_is_decoded_to_fields(containers, recorded, kind, metrics, rows, fields, usage):
    def told(*words):
        done = containers.cluster.shimctl(*words)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    for name in (kind, f"types.googleapis.com/{kind}"):
        recorded(name, metrics)
        assert table(told("tasks", "metrics", "c")) == rows
        found = leaves(json.loads(told("--json", "tasks", "metrics", "c"))["stats"])
        assert {path: found.get(path) for path in fields} == fields
    shown = json.loads(told("--json", "stats", "--no-stream", "c"))
    assert {name: shown[name] for name in usage} == usage


def test_a_part_that_is_not_there_has_no_row(containers, recorded):
    recorded(V2, {1: V2_METRICS[1]})
    assert table(containers.cluster.shimctl("tasks", "metrics", "c").stdout) == V2_TABLE[:2]
    recorded(V1, {2: V1_METRICS[2]})
    assert table(containers.cluster.shimctl("tasks", "metrics", "c").stdout) == V1_TABLE[5:]


def test_metrics_that_nobody_knows_and_bytes_that_are_none(containers, recorded):
    recorded("some.other.Metrics", {1: 1})
    row = json.loads(containers.cluster.shimctl("tasks", "metrics", "c").stdout)
    assert row["id"] == "c" and not row.get("stats")
    recorded(V2, {1: b"\xff\xff"})
    done = containers.cluster.shimctl("tasks", "metrics", "c")
    assert (done.returncode, done.stdout) == (1, ""), done
    assert done.stderr.startswith("shimctl: metrics of c: Stats: ") and done.stderr.count("\n") == 1, done
