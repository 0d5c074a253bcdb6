"""The cluster that the tests of this folder share: the rig, or the one of TIERDRILL_TEST_KUBECONFIG."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.api_witness import ApiWitness
from tests.cluster.pod_image import KUBECONFIG
from tests.cluster.rig.build import built
from tests.cluster.rig.instance import cache
from tests.cluster.rig.needs import missing

RIG = Path(__file__).with_name("cluster")
NAME = "TIERDRILL_CLUSTER"
OWN_NAMES = ("tests", "tests2", "tests3")
"""Of clusters that tests start: each session takes one that no other has."""


@dataclass(frozen=True)
class ClusterInUse:
    """`rig` is the name of the rig's cluster, None for another one."""

    kubeconfig: Path
    api: ApiWitness
    rig: str | None

    def run(self, *arguments: str) -> str:
        """A command of the rig, and what it has printed."""
        assert self.rig is not None
        return rig(self.rig, *arguments)


def rig(name: str, *arguments: str) -> str:
    """A command of `tests/cluster/cluster` for the cluster of that name, and what it has printed."""
    done = subprocess.run([RIG, "--name", name, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"cluster {' '.join(arguments)}: {done.stderr or done.stdout}"
    return done.stdout.strip()


def why_no_rig() -> str | None:
    """Why a cluster cannot be started here, None where it can be."""
    if lacking := missing():
        return "no cluster here: " + "; ".join(lacking)
    if not built():
        return "no cluster here: Kubernetes is not built yet, which tests/cluster/cluster build does, once"
    return None


@pytest.fixture(scope="session")
def cluster() -> Iterator[ClusterInUse]:
    """Nodes that are Ready. With TIERDRILL_CLUSTER the rig's cluster of that name, which is left up where it was."""
    if other := os.environ.get(KUBECONFIG):
        yield ClusterInUse(Path(other), ApiWitness(Path(other)), None)
        return
    if why := why_no_rig():
        pytest.skip(why)
    with name_of_ours() as name:
        status = subprocess.run([RIG, "--name", name, "status"], capture_output=True)
        was_up = NAME in os.environ and status.returncode == 0
        if not was_up:
            rig(name, "down")
        kubeconfig = Path(rig(name, "up", "--bare"))
        try:
            yield ClusterInUse(kubeconfig, ApiWitness(kubeconfig), name)
        finally:
            if not was_up:
                rig(name, "down")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with the tiered deployment come last, and share it: it takes the GPUs that others want."""
    items.sort(key=lambda item: tiered_cluster.__name__ in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def tiered_cluster(cluster: ClusterInUse) -> Iterator[ClusterInUse]:
    """The rig's cluster with the tiered deployment on it, which is left there where it was."""
    if cluster.rig is None:
        pytest.skip("needs the rig, whose tiered deployment is reached from here")
    was_there = not cluster.api.absent("/api/v1/namespaces/serving")
    cluster.run("platform")
    yield cluster
    if not was_there:
        cluster.run("kubectl", "delete", "namespace", "serving", "monitoring", "--wait=false")


@contextmanager
def name_of_ours() -> Iterator[str]:
    """The name in TIERDRILL_CLUSTER, else one of ours for as long as this session lives."""
    if named := os.environ.get(NAME):
        yield named
        return
    cache().mkdir(parents=True, exist_ok=True)
    for name in OWN_NAMES:
        with (cache() / f"{name}.session").open("w") as taken:
            try:
                fcntl.flock(taken, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield name
            return
    pytest.fail(f"other sessions of the tests have the clusters {', '.join(OWN_NAMES)}")


@pytest.fixture
def nodes_to_break(cluster: ClusterInUse) -> ClusterInUse:
    """The cluster, where its nodes can lose power, their network and their GPUs: the rig's only."""
    if cluster.rig is None:
        pytest.skip(f"needs the rig, whose nodes can be broken; {KUBECONFIG} names another cluster")
    return cluster
