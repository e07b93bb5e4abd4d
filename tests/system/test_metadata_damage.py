"""A cluster whose store was damaged while nothing of it ran: it serves, adopts what runs, loses no exit, tells what is
lost and goes on counting. And copies of the store, made while it is written to, put in its place."""

import json
import os
import random
import re
import signal
import struct
import threading

import pytest
from cluster import PROCESSES, until
from fake_containers import CONFIG, Containers

PAGE = 4096
META_MAIN_ROOT, META_TXN = 128, 144  # where LMDB's meta page has them
PRECONDITION, INVALID = 5, 6  # exit codes of shimctl
NAMES = ["a", "b", "c"]
EVENT = {"topic": "/test/filler", "type": "t", "event": {"text": "x" * 300}}
MARK = "/shimd/event-lost"


def kill_all(cluster):
    """Everything but the shims and what runs in them, at once."""
    rows = cluster.status()
    for name in ["supervisor", *PROCESSES]:
        os.kill(rows[name]["pid"], signal.SIGKILL)
    cluster.supervisor.wait()
    workers = [rows[name]["pid"] for name in PROCESSES]
    until(lambda: not any(os.path.exists(f"/proc/{pid}/exe") for pid in workers), "the workers are gone")


def store_path(cluster):
    return cluster.root / "metadata" / "data.mdb"


def check(cluster):
    """(exit code, report) of shimctl metadata check."""
    done = cluster.shimctl("--json", "metadata", "check", "--root-dir", cluster.root)
    assert bool(done.stderr) == bool(done.returncode), done.stderr
    return done.returncode, json.loads(done.stdout)


def told_status(cluster):
    """What shimctl metadata status says."""
    done = cluster.shimctl("--json", "metadata", "status")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def journal(containers):
    """Every event, page by page; the numbers have no gap."""
    events, since = [], 1
    while True:
        page = containers.call("event.list", all=True, since=since)
        events += page["events"]
        since = page["next"]
        if since > page["last"]:
            break
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    return events


# Damage: each takes the file's bytes and changes some -------------------------------------------------------------

def newest_meta(data):
    return max((0, PAGE), key=lambda at: struct.unpack_from("<Q", data, at + META_TXN)[0])


def root_page(data):
    """The page that has the list of tables."""
    return struct.unpack_from("<Q", data, newest_meta(data) + META_MAIN_ROOT)[0] * PAGE


def damage_root(data, rng):
    data[root_page(data) + rng.randrange(PAGE)] ^= 1 << rng.randrange(8)


def lose_root(data, _):
    at = root_page(data)
    data[at:at + PAGE] = bytes(PAGE)


def damage_meta(data, rng):
    data[newest_meta(data) + rng.randrange(16, 24)] ^= 1 << rng.randrange(8)


def flip_in(data, text, rng):
    """A bit of each copy of the text: pages that are not used any more have some."""
    found = -1
    while (found := data.find(text, found + 1)) >= 0:
        data[found] ^= 1 << rng.randrange(8)


def damage_events(data, rng):
    for number in rng.sample(range(20, 60), 3):
        flip_in(data, f"filler-{number:04d}".encode(), rng)


def damage_specs(data, rng):
    """What bundles were made of, of every container."""
    flip_in(data, b'"ociVersion"', rng)


def damage_processes(data, rng):
    """What was seen of the processes of every container."""
    for found in re.finditer(rb"default\0[abc]\0[0-9a-f-]{36}\0[\x01-\xff]\0\0\0", bytes(data)):
        data[found.end() + rng.randrange(40)] ^= 1 << rng.randrange(8)


@pytest.mark.parametrize("damage,seed", [(damage_root, 1), (lose_root, 0), (damage_meta, 2), (damage_events, 3),
                                         (damage_specs, 4), (damage_processes, 5)])
def test_cluster_goes_on(fresh_cluster, damage, seed):
    cluster, rng = fresh_cluster, random.Random(seed)
    containers = Containers(cluster.start(config=CONFIG))
    pids = {name: containers.run(name) for name in NAMES}
    for number in range(80):
        containers.call("event.publish", **{**EVENT, "event": {"text": f"filler-{number:04d}"}})
    before = journal(containers)
    assert check(cluster)[0] == 0
    kill_all(cluster)
    assert check(cluster)[0] == 0, "a kill alone damages nothing"
    code, report = 0, {}
    while not code:  # a bit of what nobody uses any more does no harm
        data = bytearray(store_path(cluster).read_bytes())
        damage(data, rng)
        assert data != store_path(cluster).read_bytes(), "there is something to be damaged"
        store_path(cluster).write_bytes(data)
        code, report = check(cluster)
    assert report["flaws"] or any(row["damaged"] for row in report["tables"].values()), report
    containers.end("a", 7)  # nobody is there to be told

    cluster.start(config=CONFIG)
    until(lambda: containers.state("a") == "STOPPED", "the exit that came meanwhile is seen")
    until(lambda: [containers.state(name) for name in "bc"] == ["RUNNING"] * 2, "the others are adopted")
    assert {name: containers.task(name)["pid"] for name in NAMES} == pids
    containers.end("b", 5)
    assert [containers.wait(name) for name in "ab"] == [7, 5]
    for name in "ab":
        until(lambda: "/tasks/exit" in containers.topics(name), f"the journal has the end of {name}")
    until(lambda: check(cluster)[0] == 0, "what was damaged is mended")

    after = journal(containers)
    assert len(after) > len(before)
    damage_told = told_status(cluster)["damage"]
    assert damage_told["waiting"] == 0
    assert damage_told["mended"] or (damage_told["why"] and (store_path(cluster).parent / damage_told["file"]).exists())
    for old, new in zip(before, after):
        assert (new["topic"] == MARK and damage is not lose_root) or new == old
    told = [e["topic"] for e in after if e["ns"] == "shimd"]
    assert set(told) & {MARK, "/shimd/record-lost", "/shimd/store-salvaged"}, told
    for name, status in (("a", 7), ("b", 5)):
        exits = [e for e in after if e["topic"] == "/tasks/exit" and e["event"]["container_id"] == name]
        assert [e["event"]["exit_status"] for e in exits] == [status]
        until(lambda: containers.call("exit.list", name)["exits"], f"the exit of {name} is recorded")
        assert [row["exit_status"] for row in containers.call("exit.list", name)["exits"]] == [status]
    containers.finish("c", 9)
    for name in "ab":
        containers.remove(name)


# Copies ---------------------------------------------------------------------------------------------------------

def publisher(cluster, ended, counts, place):
    client = cluster.client()
    while not ended.is_set():
        counts[place] = client.call("event.publish", EVENT, "default")["seq"]


def test_backup_of_a_store_that_is_written_to(fresh_cluster):
    """What it has is the journal as it was at one moment while the copy was made, whatever was written meanwhile."""
    cluster = fresh_cluster.start(config=CONFIG)
    containers = Containers(cluster)
    for _ in range(300):
        containers.call("event.publish", **EVENT)
    ended, last, copies = threading.Event(), [0] * 4, []
    threads = [threading.Thread(target=publisher, args=(cluster, ended, last, place)) for place in range(len(last))]
    for thread in threads:
        thread.start()
    try:
        until(lambda: all(last), "everybody publishes")
        for number in range(6):
            least = max(last)
            path = cluster.dir / f"copy-{number}"
            done = cluster.shimctl("--json", "metadata", "backup", path)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["damaged"] == 0
            until(lambda: max(last) > least, "the publishers went on")
            copies.append((path, least, max(last) + len(last)))
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    everything = journal(containers)
    assert len(list(cluster.dir.glob("copy-*"))) == len(copies), "nothing half done is left"

    told = told_status(cluster)
    assert (told["backup_file"], told["readers"]) == (str(copies[-1][0]), [])
    assert told["file_bytes"] == store_path(cluster).stat().st_size > told["used_bytes"] > 0
    assert (told["first_seq"], told["last_seq"]) == (1, len(everything))
    assert {row["name"]: row["records"] for row in told["tables"]}["journal"] == len(everything)
    lines = cluster.shimctl("metadata", "status").stdout.splitlines()
    assert ["events", "1", "to", str(len(everything))] in [line.split() for line in lines], lines
    assert any(line.startswith("last backup") and line.endswith(str(copies[-1][0])) for line in lines), lines
    assert any(line.split()[:2] == ["journal", str(len(everything))] for line in lines), lines

    path, least, most = random.Random(6).choice(copies)
    inode = store_path(cluster).stat().st_ino
    refused = cluster.shimctl("metadata", "restore", path)
    assert (refused.returncode, "stop it first" in refused.stderr) == (PRECONDITION, True), refused.stderr
    for target in (store_path(cluster), cluster.root / "metadata" / "new", cluster.dir):
        refused = cluster.shimctl("metadata", "backup", target)
        assert refused.returncode == INVALID, refused.stderr
    assert store_path(cluster).stat().st_ino == inode
    assert journal(containers) == everything
    assert cluster.stop() == 0

    done = cluster.shimctl("metadata", "restore", "--root-dir", cluster.root, path)
    assert done.returncode == 0, done.stderr
    assert check(cluster)[0] == 0
    cluster.start(config=CONFIG)
    containers = Containers(cluster)
    restored = journal(containers)
    assert least <= len(restored) <= most
    assert restored == everything[:len(restored)]
    assert containers.call("event.publish", **EVENT)["seq"] == len(restored) + 1
    aside = list((cluster.root / "metadata").glob("damaged-replaced-*"))
    assert len(aside) == 1, aside
