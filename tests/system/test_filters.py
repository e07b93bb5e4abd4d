"""Filters on every list and on events of a real cluster, through shimctl and on the wire."""

import json
import os
import shutil
import subprocess
import time

import pytest
from cluster import Refused, until

INVALID_ARGUMENT, RESOURCE_EXHAUSTED = 3, 8
SPEC = b'{"ociVersion":"1.0.2"}'
LISTS = [("container.list", "containers"), ("namespace.list", "namespaces"), ("task.list", "tasks")]


def make(client, name, ns="default", **fields):
    fields = {"id": name, "runtime": "io.containerd.runc.v2", "spec": SPEC, **fields}
    client.call("container.create", fields, ns)


def ids(cluster, *words):
    done = cluster.shimctl(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_containers(cluster):
    client = cluster.client()
    make(client, "web", labels={"tier": "web", "a.b/c": "x", "prio": "10"}, image="alpine:3")
    make(client, "db", labels={"tier": "db", "prio": "9"})
    make(client, "far", ns="other")

    def found(*filters):
        return ids(cluster, "containers", "list", "-q", *filters)

    assert found() == ["db", "web"]
    assert found("id==web") == ["web"]
    assert found("labels.tier==db") == ["db"]
    assert found("labels.tier==db", "image~=^alpine") == ["db", "web"]
    assert found("labels.tier==db,image~=^alpine") == []
    assert found('labels."a.b/c"==x') == ["web"]
    assert found("runtime.name~=runc,labels.prio>9") == ["web"]
    assert found("created_at>-1h") == ["db", "web"]
    assert found("created_at<2020-01-01") == []
    assert ids(cluster, "-n", "other", "c", "ls", "-q", "namespace==other") == ["far"]
    rows = cluster.shimctl("--json", "containers", "list", "image").stdout.splitlines()
    assert [json.loads(row)["id"] for row in rows] == ["web"]
    table = cluster.shimctl("containers", "list", "id==none")
    assert table.stdout.split() == ["CONTAINER", "IMAGE", "RUNTIME"]


def test_every_match_is_on_some_page(cluster):
    client = cluster.client()
    for number in range(30):
        make(client, f"c{number:02}", labels={"third": str(number % 3 == 0).lower()})
    seen, after = [], None
    while True:
        page = client.call("container.list", {"limit": 4, "after": after, "filters": ["labels.third==true"]}, "default")
        seen += [row["id"] for row in page["containers"]]
        after = page.get("next")
        if not after:
            break
    assert seen == [f"c{number:02}" for number in range(0, 30, 3)]


def test_namespaces(cluster):
    for words in (["a", "tier=web"], ["b", "tier=db"], ["c"]):
        assert cluster.shimctl("namespaces", "create", *words).returncode == 0
    assert ids(cluster, "namespaces", "list", "-q") == ["a", "b", "c"]
    assert ids(cluster, "ns", "ls", "-q", "labels.tier!=web") == ["b", "c"]
    assert ids(cluster, "ns", "ls", "-q", "name==a", "labels.tier~=^d") == ["a", "b"]


@pytest.mark.skipif(os.geteuid() != 0, reason="containers need root")
@pytest.mark.skipif(not shutil.which("containerd-shim-runc-v2") or not shutil.which("runc"), reason="no runc shim")
def test_tasks(cluster):
    for name, script in {"good": "exit 0", "bad": "exit 3", "alive": "sleep 1000"}.items():
        done = cluster.shimctl("run", "-d", "--rootfs", cluster.rootfs(name), name, "/bin/sh", "-c", script)
        assert done.returncode == 0, done.stderr
    for name in ("good", "bad"):
        assert cluster.shimctl("tasks", "wait", name).returncode == 0

    def found(*filters):
        return ids(cluster, "tasks", "list", "-q", *filters)

    assert found() == ["alive", "bad", "good"]
    assert found("status==STOPPED") == ["bad", "good"]
    assert found("status==STOPPED,exit_status!=0") == ["bad"]
    assert found("exit_status>=3") == ["bad"]
    assert found("exited_at") == ["bad", "good"]
    assert found("exited_at>-10m,id!=good", "status==RUNNING") == ["alive", "bad"]
    alive = json.loads(cluster.shimctl("--json", "tasks", "list", "id==alive").stdout)
    assert found(f"pid=={alive['pid']}") == ["alive"]

    wanted = 'topic=="/tasks/exit",event.exit_status!=0'
    done = cluster.shimctl("--json", "events", "--since", "0", "--until", "now", wanted)
    assert [json.loads(line)["event"]["container_id"] for line in done.stdout.splitlines()] == ["bad"]


def publish(cluster, topic, ns="default", **fields):
    return cluster.client().call("event.publish", {"topic": topic, "type": "t", "event": fields}, ns)["seq"]


def test_events_of_the_journal(cluster):
    for number in range(5):
        publish(cluster, "/my/number", number=number, io={"stdout": f"/out/{number}"})
    publish(cluster, "/my/other", ns="other", number=4)

    def found(*words):
        done = cluster.shimctl("--json", "events", "--since", "0", "--until", "now", *words)
        assert done.returncode == 0, done.stderr
        return [json.loads(line)["event"]["number"] for line in done.stdout.splitlines()]

    assert found("event.number>2") == [3, 4, 4]
    assert found("event.number>2,namespace==other") == [4]
    assert found("-n", "default", "event.number>2") == [3, 4]
    assert found("event.number==0", "event.io.stdout==\"/out/3\"") == [0, 3]
    assert found("topic~=other$", "seq==1") == [0, 4]
    assert found("time<-1h") == []
    page = cluster.client().call("event.list", {"all": True, "filters": ["event.number==2"]})
    assert [event["event"]["number"] for event in page["events"]] == [2]
    assert page["next"] == page["last"] + 1


def test_events_live(cluster):
    """What does not match is not printed, whether it comes from the subscription or from the journal."""
    follower = subprocess.Popen(cluster.command("--json", "events", "--since", "0", "--until", "9", "event.wanted==true"),
                                stdout=subprocess.PIPE, text=True)
    publish(cluster, "/my/event", wanted=True, number=1)
    assert json.loads(follower.stdout.readline())["event"]["number"] == 1
    for number in range(2, 9):
        publish(cluster, "/my/event", wanted=number % 3 == 0, number=number)
    publish(cluster, "/my/event", wanted=False, number=9)
    rest, _ = follower.communicate(timeout=20)
    assert [json.loads(line)["event"]["number"] for line in rest.splitlines()] == [3, 6]
    assert follower.returncode == 0


@pytest.mark.parametrize("words", [["containers", "list"], ["namespaces", "list"], ["tasks", "list"], ["events"]])
def test_what_is_wrong_is_told_at_once(cluster, words):
    for wrong, sentence in [
        ("id==a,", "filters: parse error: [id==a,]: expected field or quoted"),
        ("id~=a(", "filters: parse error: regular expression [a(]: missing closing parenthesis"),
        ("created_at>soon", "filters: parse error: [created_at> >|s|< oon]: expected a number or a time"),
        ("a" * 5000, "filters: one is 5000 bytes long, limit 4096"),
    ]:
        done = cluster.shimctl(*words, "id==good", wrong)
        assert (done.returncode, done.stdout, done.stderr) == (6, "", f"shimctl: {sentence}\n")
    done = cluster.shimctl(*words, *["id"] * 65)
    assert done.returncode == 6 and "filters" in done.stderr and "limit 64" in done.stderr


@pytest.mark.parametrize("method, key", [*LISTS, ("event.list", "events")])
def test_limits_and_errors_on_the_wire(cluster, method, key):
    client = cluster.client()
    for filters, sentence in [
        (["id"] * 65, "filters is 65 elements long, limit 64"),
        (["id", "id=="], "filters: parse error: [id==]: expected value or quoted"),
        (["id~=*"], "filters: parse error: regular expression [ >|*|< ]: quantifier does not follow a repeatable item"),
        ([b"id"], "not a string"),
    ]:
        with pytest.raises(Refused) as refused:
            client.call(method, {"all": True, "filters": filters})
        assert refused.value.status == INVALID_ARGUMENT and sentence in str(refused.value)
    assert client.call(method, {"all": True, "filters": ["id==none"] * 64})[key] == []
    assert client.call(method, {"all": True, "filters": []})[key] is not None


def test_an_evil_expression_does_not_hold_up_the_worker(cluster):
    client = cluster.client()
    for number in range(20):
        make(client, f"c{number}", labels={"x": "a" * 4000 + "!"})
    publish(cluster, "/my/event", x="a" * 4000 + "!")
    pid, begun = cluster.pid("metadata"), time.monotonic()
    for method, field in [("container.list", "labels.x"), ("event.list", "event.x")]:
        with pytest.raises(Refused) as refused:
            client.call(method, {"filters": [f"{field}~=(a|aa|aaa)+$"]}, "default", timeout=20)
        assert refused.value.status == RESOURCE_EXHAUSTED and "too much time or memory" in str(refused.value)
    assert time.monotonic() - begun < 10
    assert len(client.call("container.list", {}, "default")["containers"]) == 20
    assert cluster.pid("metadata") == pid


def test_filters_follow_a_restart(cluster):
    """A follower with a filter misses nothing of what it wants when the broker dies."""
    follower = subprocess.Popen(cluster.command("--json", "events", "--since", "0", "--until", "6", "event.number>2"),
                                stdout=subprocess.PIPE, text=True)
    for number in range(1, 4):
        publish(cluster, "/my/event", number=number)
    assert json.loads(follower.stdout.readline())["event"]["number"] == 3
    cluster.await_successor("broker", cluster.kill("broker"))
    for number in (4, 1, 5):
        until(lambda number=number: publish(cluster, "/my/event", number=number), "published")
    rest, _ = follower.communicate(timeout=30)
    assert [json.loads(line)["event"]["number"] for line in rest.splitlines()] == [4, 5]
