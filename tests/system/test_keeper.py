"""The process that keeps the connections to shims, when it is slow, full or dying."""

import contextlib
import datetime
import os
import resource
import signal

from cluster import Refused, until

DEATHS = 8
LAST_PAUSE = 0.02 * 2 ** (DEATHS - 2)  # seconds; each is twice the one before
CHANNEL_MAX = 400  # more than what the worker's channel to it holds


def descriptors(pid):
    return [int(name) for name in os.listdir(f"/proc/{pid}/fd")]


def sockets(pid):
    found = set()
    for fd in descriptors(pid):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return {name for name in found if name.startswith("socket:")}


def kept(cluster):
    """The worker's sockets that its keeper has too."""
    return sockets(cluster.pid("shim")) & sockets(cluster.keeper())


def deaths(cluster):
    """When each keeper was seen to have died."""
    lines = [line for line in cluster.log().splitlines() if "keeper: its process has died" in line]
    return [datetime.datetime.fromisoformat(line.split()[0].rstrip("Z")) for line in lines]


def test_a_connection_for_which_there_was_no_room_is_handed_over_later(containers):
    cluster, keeper = containers.cluster, containers.cluster.keeper()
    containers.run("c", fail_State=f"{CHANNEL_MAX}*close")
    until(lambda: kept(cluster), "its connection is kept")
    os.kill(keeper, signal.SIGSTOP)
    try:
        while len(containers.asked_for("c", "State")) <= CHANNEL_MAX:  # each makes the worker connect again
            with contextlib.suppress(Refused):
                containers.call("task.get", "c")
    finally:
        os.kill(keeper, signal.SIGCONT)
    until(lambda: kept(cluster), "the last of its connections is kept")
    assert cluster.keeper() == keeper
    containers.finish("c")


def test_what_a_keeper_has_no_descriptor_for_costs_that_connection_only(containers):
    cluster, keeper = containers.cluster, containers.cluster.keeper()
    limit = resource.prlimit(keeper, resource.RLIMIT_NOFILE)
    resource.prlimit(keeper, resource.RLIMIT_NOFILE, (max(descriptors(keeper)) + 1, limit[1]))
    containers.run("a")
    resource.prlimit(keeper, resource.RLIMIT_NOFILE, limit)
    containers.run("b")
    until(lambda: kept(cluster), "the channel goes on")
    for name in ("a", "b"):
        containers.finish(name)


def test_a_keeper_that_dies_at_once_is_started_again_less_and_less_often(containers):
    cluster = containers.cluster
    containers.run("c")

    def kill():
        keeper = cluster.keeper()
        if keeper:
            os.kill(keeper, signal.SIGKILL)
        return len(deaths(cluster)) >= DEATHS

    until(kill, "it dies again and again")
    times = deaths(cluster)
    assert (times[-1] - times[-2]).total_seconds() >= LAST_PAUSE
    # The next one is due in seconds. Whoever takes the supervisor's place sees to it as well.
    cluster.client().call("cluster.restart", {"process": "supervisor"}, timeout=30)
    cluster.await_ready()
    until(lambda: cluster.keeper() and kept(cluster), "another keeper has what that one had")
    containers.finish("c")
