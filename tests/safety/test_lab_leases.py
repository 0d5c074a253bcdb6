"""With everybody dead who could undo it, each fault still ends: the lab's own lease runs out and the lab undoes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.test_state_store import ETCD_HERE, needs_etcd
from tests.lab.test_supervisor import ALERTMANAGER, PROMETHEUS, ROUTES
from tests.lab.test_supervisor_ends import lab
from tierdrill.faults.known_kinds import KINDS, checked_parameters
from tierdrill.injection.undo import await_proof
from tierdrill.lab.client import LabClient
from tierdrill.lab.lab_config import AlertmanagerConfig, PrometheusConfig
from tierdrill.lab.lab_files import LabState
from tierdrill.targets.base import FaultOrder, Mechanism
from tierdrill.targets.lab.fault_port import MECHANISMS, LabPort

pytestmark = pytest.mark.lab
LEASE_S = 1.0
WHERE: dict[str, dict[str, Any]] = {
    "replica": {"replica": "assistant-0"},
    "node": {"node": "node-1"},
    "gpu": {"node": "node-1", "gpu": 0},
    "link": {"source": "gateway-a", "destination": "node-1"},
    "gateway": {"gateway": "gateway-a"},
    "tier": {"tier": "critical"},
    "store": {"store": "state-store-1"},
    "prometheus": {},
    "alertmanager": {},
}
"""By kind of target. What befalls a stream of the load, or the engine, ends with the runner."""

HERE: dict[str, dict[str, Any]] = {
    "xid-noise": {"count": 100_000},
    "dns-wrong-answer": {"leads_to": "assistant-1"},
    "bit-flip": {"weight": 100},
    "priority-swap": {"of_tier": "best-effort"},
    "model-drift": {"model": "assistant"},
    "state-quorum-lost": {"store": "state-store"},
    "model-store-corrupt": {"store": "store-a", "model": "assistant"},
    "model-store-unreachable": {"store": "store-a"},
}
"""Noise that does not end by itself, a weight that this small lab's models have, its other tier, its model, its whole
store.
"""


def marks(kind: str) -> Any:
    return needs_etcd if kind.startswith("state-") else ()


FAULTS = [
    pytest.param(kind, {**WHERE[fault.target_kind], **HERE.get(kind, {})}, id=kind, marks=marks(kind))
    for kind, fault in KINDS.items()
    if kind in MECHANISMS and fault.target_kind not in ("stream", "engine")
]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, LabState, LabClient]]:
    home = tmp_path_factory.mktemp("leases")
    watchers = {"prometheus": PrometheusConfig(PROMETHEUS), "alertmanager": AlertmanagerConfig(ALERTMANAGER, ROUTES)}
    with lab(home, etcd=str(ETCD_HERE) if ETCD_HERE else None, **watchers) as (state, _, client):
        yield home, state, client


@pytest.mark.parametrize(("kind", "parameters"), FAULTS)
def test_a_fault_that_nobody_looks_after_ends(
    kind: str, parameters: dict[str, Any], small: tuple[Path, LabState, LabClient]
) -> None:
    home, state, client = small
    port = LabPort(home, state.name, state.id)
    view = client.state()
    while not all(one["ready"] for one in (*view["replicas"], *view["nodes"])):
        view = client.state(since=view["version"], wait_s=5.0)
    checked = checked_parameters(kind, parameters)
    target = KINDS[kind].target(checked)
    made = FaultOrder(
        f"run/{kind}/{target}", kind, target, KINDS[kind].target_kind, port.mechanisms()[kind], checked, LEASE_S
    )
    order, addresses = port.bind(made), client.status()["addresses"]
    port.inject(order)
    assert await_proof(lambda: port.landed(order, 0.0), 10.0).seen
    news = client.events()
    while ("lease-undone", order.fault) not in [(one["kind"], one.get("name")) for one in news]:
        news = client.events(news[-1]["sequence"], wait_s=5.0) or news
    gone = await_proof(lambda: port.gone(order), 15.0)
    assert gone.seen, gone
    assert client.status()["addresses"] == addresses
    assert client.links() == [] and client.status()["power"] == {"node-1": "on"}
    # Whoever comes later finds it undone, and gives the lease back.
    port.revert(order)
    assert order.fault not in [one["name"] for one in client.leases()]


def test_a_fault_that_is_renewed_stays_and_the_network_keeps_a_lease_of_its_own(
    small: tuple[Path, LabState, LabClient],
) -> None:
    home, state, client = small
    port = LabPort(home, state.name, state.id)
    parameters = checked_parameters("link-partition", {"source": "gateway-a", "destination": "node-1"})
    made = FaultOrder("run/kept", "link-partition", "gateway-a>node-1", "link", Mechanism("m"), parameters, LEASE_S)
    order = port.bind(made)
    port.inject(order)
    try:
        (rule,) = client.links()
        assert rule["lease"] == "run/kept" and 0 < rule["lease_remaining_s"] <= 2 * LEASE_S
        last = client.events()[-1]["sequence"]
        for _ in range(6):
            assert client.renew_leases(["run/kept", "unknown"])["renewed"] == ["run/kept"]
            assert not [one for one in client.events(last, wait_s=0.5) if one["kind"] == "lease-ran-out"]
        assert len(client.links()) == 1
    finally:
        port.revert(order)
    assert client.links() == [] and client.leases() == []
