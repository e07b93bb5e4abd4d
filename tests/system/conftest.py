"""What all whole-system tests share.

SHIMD_REQUIRE_ALL=1 makes a skipped test a failed one: where everything a test needs is meant to be there
(CI), a test that quietly did not run would say nothing.
"""

import os

import pytest
from broker_cell import Cell
from cluster import Cluster
from containerd import Containerd, need_containerd
from fake_containers import CONFIG, Containers
from tools import Ctr, Shimctl


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("SHIMD_REQUIRE_ALL") == "1":
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: skipped, but SHIMD_REQUIRE_ALL is set: {report.longrepr}"
    fixtures = getattr(item, "funcargs", {})
    running = fixtures.get("cluster") or fixtures.get("shared_cluster")
    if report.failed and hasattr(running, "log"):
        report.sections.append(("log of the cluster", running.log()))


@pytest.fixture(name="cell")
def fixture_cell():
    """A broker alone."""
    cell = Cell()
    yield cell
    cell.stop()


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


@pytest.fixture(scope="module")
def shared_cluster():
    """One for all tests of a file, which take away what they made."""
    made = Cluster()
    try:
        made.dir.chmod(0o711)  # its root file systems are also for those who are not root
        yield made.start()
    finally:
        made.destroy()


# That ctr does what the cases say does not change from one day to the next, and takes longer than all the rest.
TOOLS = ["shimctl", "ctr"] if os.environ.get("SHIMD_TEST_LONG") == "1" else ["shimctl"]


@pytest.fixture(params=TOOLS)
def tool(request, shared_cluster):
    """The same case with both."""
    if request.param == "ctr":
        made = Ctr(request.getfixturevalue("containerd"), shared_cluster)
    else:
        made = Shimctl(shared_cluster)
    yield made
    assert not made.remove_all()
