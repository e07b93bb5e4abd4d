"""What all whole-system tests share.

SHIMD_REQUIRE_ALL=1 makes a skipped test a failed one: where everything a test needs is meant to be there
(CI), a test that quietly did not run would say nothing.
"""

import os

import pytest
from cluster import Cluster
from containerd import Containerd, need_containerd
from fake_containers import CONFIG, Containers


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("SHIMD_REQUIRE_ALL") == "1":
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: skipped, but SHIMD_REQUIRE_ALL is set: {report.longrepr}"
    running = getattr(item, "funcargs", {}).get("cluster")
    if report.failed and hasattr(running, "log"):
        report.sections.append(("log of the cluster", running.log()))


@pytest.fixture
def fresh_cluster():
    """Directories for a cluster that has not been started yet."""
    made = Cluster()
    yield made
    made.destroy()


@pytest.fixture
def cluster(fresh_cluster):
    """A cluster that is ready; afterwards nothing of it may be left."""
    return fresh_cluster.start()


@pytest.fixture
def containers(fresh_cluster):
    """Containers of the misbehaving shim in a cluster that does not wait for it long."""
    return Containers(fresh_cluster.start(config=CONFIG))


@pytest.fixture(scope="module")
def containerd():
    """The one that ours is compared with."""
    need_containerd()
    daemon = Containerd()
    try:
        yield daemon.start()
    finally:
        daemon.destroy()
