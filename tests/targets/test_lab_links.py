"""What befalls a link is proven by requests through the real proxy, to whoever serves behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.lab.test_fabric import TOKEN, Control
from tests.targets.endpoint import Endpoint
from tierdrill.faults.known_kinds import KINDS, checked_parameters
from tierdrill.injection.undo import await_proof
from tierdrill.lab.client import LabClient
from tierdrill.process import spawn as spawn
from tierdrill.process.ready_line import program_argv
from tierdrill.targets.base import TargetError
from tierdrill.targets.lab.fault_port import LAB_FAULTS

LINKS = [kind for kind, fault in KINDS.items() if fault.target_kind == "link"]
ENDS = {"source": "gateway-a", "destination": "node-1"}
OUT = {"loss_percent": 100, "one_way": 1}
QUICK = {"link-flap": {"period_ms": 500}}
BACK = {**OUT, "source": "node-1", "destination": "gateway-a"}


class Lab:
    """The fabric as the supervisor speaks to it."""

    def __init__(self, fabric: Control) -> None:
        self.fabric = fabric

    def edges(self) -> list[dict[str, Any]]:
        return list(self.fabric.call("GET", "/edges")[1]["edges"])

    def links(self) -> list[dict[str, Any]]:
        return list(self.fabric.call("GET", "/links")[1]["links"])

    def set_link(self, source: str, destination: str, mode: str, **settings: Any) -> None:
        self.fabric.link(mode, source, destination, **settings)


@pytest.fixture
def client(tmp_path: Path, endpoint: Endpoint) -> Iterator[LabClient]:
    config = tmp_path / "fabric.json"
    config.write_text(json.dumps({"token": TOKEN}), encoding="utf-8")
    child = spawn.spawn(program_argv("fabric", config), log_path=tmp_path / "log")
    try:
        control = Control(child.address)
        control.edge("gateway-a>assistant-0", endpoint.address)
        control.edge("controller>node-1", endpoint.address, "controller")
        yield cast(LabClient, Lab(control))
    finally:
        child.stop(2.0)


@pytest.mark.parametrize(
    ("kind", "given"),
    [*((kind, QUICK.get(kind, {})) for kind in LINKS), ("link-loss", OUT), ("link-loss", BACK)],
)
def test_it_lands_and_is_gone_by_what_passes(kind: str, given: dict[str, Any], client: LabClient) -> None:
    fault = LAB_FAULTS[kind]
    p = {**checked_parameters(kind, {**ENDS, **given}), "fault": "run/it", "lease_s": 60.0}
    p |= fault.bind(client, {}, p)
    assert await_proof(lambda: fault.gone(client, p), 5.0).seen and not fault.landed(client, p).seen
    fault.inject(client, p)
    landed = await_proof(lambda: fault.landed(client, p), 5.0)
    assert landed.seen and "requests" in landed.witness and not fault.gone(client, p).seen, landed
    fault.revert(client, p)
    fault.revert(client, p)
    assert await_proof(lambda: fault.gone(client, p), 5.0).seen and not fault.landed(client, p).seen


@pytest.mark.parametrize("kind", LINKS)
def test_where_nobody_serves_the_proxys_rules_must_do(kind: str, client: LabClient, endpoint: Endpoint) -> None:
    fault = LAB_FAULTS[kind]
    p = {**checked_parameters(kind, ENDS), "fault": "run/it", "lease_s": 60.0}
    p |= fault.bind(client, {}, p)
    endpoint.close()
    try:
        assert fault.gone(client, p).seen and not fault.landed(client, p).seen
        client.set_link(*ENDS.values(), "reset")
        landed = fault.landed(client, p)
        assert landed.seen and "rules" in landed.witness and not fault.gone(client, p).seen
    finally:
        endpoint.close = lambda: None  # type: ignore[method-assign]


def test_a_link_that_there_is_not_is_refused(client: LabClient) -> None:
    with pytest.raises(TargetError, match="expected hosts of: controller, gateway-a, node-1"):
        LAB_FAULTS["link-reset"].bind(client, {}, {"source": "gateway-a", "destination": "node-9"})


class Names(Lab):
    """The fabric, with two gateways' ways to two replicas, and its resolver."""

    def status(self) -> dict[str, Any]:
        return {"processes": [{"program": "fabric", "address": self.fabric.address}]}


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("dns-failure", {"gateway": "gateway-a"}),
        ("dns-failure", {"gateway": "gateway-a", "silent": 1}),
        ("dns-wrong-answer", {"replica": "assistant-0", "leads_to": "draft-0"}),
    ],
)
def test_a_resolver_fails_or_misleads_by_what_it_answers(
    kind: str, given: dict[str, Any], client: LabClient, endpoint: Endpoint
) -> None:
    lab = Names(cast(Lab, client).fabric)
    lab.fabric.edge("gateway-a>draft-0", endpoint.address)
    names, fault = cast(LabClient, lab), LAB_FAULTS[kind]
    p = {**checked_parameters(kind, given), "fault": "run/it", "lease_s": 60.0}
    p |= fault.bind(names, {}, p)
    assert await_proof(lambda: fault.gone(names, p), 5.0).seen and not fault.landed(names, p).seen
    fault.inject(names, p)
    assert await_proof(lambda: fault.landed(names, p), 5.0).seen and not fault.gone(names, p).seen
    fault.revert(names, p)
    fault.revert(names, p)
    assert await_proof(lambda: fault.gone(names, p), 5.0).seen and not fault.landed(names, p).seen


def test_a_replica_that_there_is_not_is_nowhere_to_lead() -> None:
    lab = cast(LabClient, type("Nothing", (), {"edges": lambda self: []})())
    with pytest.raises(TargetError, match="no way from a gateway to assistant-9"):
        LAB_FAULTS["dns-wrong-answer"].bind(lab, {}, {"replica": "assistant-9", "leads_to": "draft-0"})
