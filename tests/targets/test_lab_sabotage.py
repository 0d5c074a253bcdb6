"""What a sabotage took away or broke is given back, whatever else is down."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tierdrill.lab.client import LabClient, LabError
from tierdrill.targets.base import FaultOrder, Mechanism, TargetError
from tierdrill.targets.lab import sabotage_fault
from tierdrill.targets.lab.fault_port import LabPort


class Lab:
    """The lab's control API, as far as a sabotage needs it."""

    lab = None

    def __init__(self, power: str = "on", down: str = "") -> None:
        self.power, self.down = power, down
        self.said: list[tuple[str, object]] = []

    def status(self) -> dict[str, Any]:
        return {"power": {"node-1": self.power}}

    def to_gateways(self, _: str, flags: dict[str, bool], gateway: str) -> None:
        if gateway == self.down:
            raise LabError("it is down")
        self.said.append((gateway, flags))

    def set_exporter(self, node: str, up: bool) -> None:
        self.said.append((node, up))

    def gateways(self, _: str) -> dict[str, dict[str, bool]]:
        now = {gateway: {"retries": True, "hedging": False} for gateway in ("gateway-a", "gateway-b")}
        for gateway, flags in self.said:
            if isinstance(flags, dict):
                now[gateway].update(flags)
        return now

    def state(self) -> dict[str, Any]:
        return {"nodes": [{"name": "node-1"}], "replicas": []}

    def put_lease(self, fault: str, seconds: float, calls: object) -> None:
        """The lab's own lease is of no matter here."""

    def release_lease(self, fault: str) -> None:
        """The lab's own lease is of no matter here."""


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabPort:
    deleted = httpx.MockTransport(lambda request: httpx.Response(200, json=[]))

    @contextlib.contextmanager
    def alertmanager(client: LabClient) -> Iterator[httpx.Client]:
        with httpx.Client(base_url="http://127.0.0.1:1", transport=deleted) as client:
            yield client

    monkeypatch.setattr(sabotage_fault, "alertmanager_of", alertmanager)
    return LabPort(tmp_path, "none")


def undone(port: LabPort, lab: Lab, monkeypatch: pytest.MonkeyPatch, **parameters: Any) -> list[tuple[str, object]]:
    monkeypatch.setattr(port, "_client", lab)
    order = FaultOrder(
        "r/sabotage/s", "sabotage", "s", "service", Mechanism("m"), {"flags": {}, "comment": "", **parameters}, 5.0
    )
    port.revert(order)
    return lab.said


def test_a_frozen_exporter_is_started_again(port: LabPort, monkeypatch: pytest.MonkeyPatch) -> None:
    assert undone(port, Lab(), monkeypatch, exporter="node-1") == [("node-1", True)]


def test_a_node_that_is_off_has_none_to_start(port: LabPort, monkeypatch: pytest.MonkeyPatch) -> None:
    assert undone(port, Lab(power="off"), monkeypatch, exporter="node-1") == []


def test_an_older_entry_tells_of_no_exporter(port: LabPort, monkeypatch: pytest.MonkeyPatch) -> None:
    assert undone(port, Lab(), monkeypatch, flags={"gateway-a": {"retries": True}}) == [
        ("gateway-a", {"retries": True})
    ]


def test_a_gateway_that_is_down_keeps_nothing_else_from_being_given_back(
    port: LabPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, flags = Lab(down="gateway-a"), {"gateway-a": {"retries": True}, "gateway-b": {"retries": True}}
    with pytest.raises(TargetError, match="it is down"):
        undone(port, lab, monkeypatch, flags=flags, exporter="node-1")
    assert lab.said == [("gateway-b", {"retries": True}), ("node-1", True)]


def cut(**changes: Any) -> FaultOrder:
    """A sabotage as the conductor orders it."""
    parameters = {"flags_off": [], "silenced": None, "silenced_s": 60.0, "comment": "", "exporter": None, **changes}
    return FaultOrder("r/sabotage/s", "sabotage", "s", "service", Mechanism("m"), parameters, 5.0)


def test_flags_are_seen_off_and_given_back_as_they_were(port: LabPort, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port, "_client", Lab())
    order = port.bind(cut(flags_off=["retries", "hedging"]))
    assert port.gone(order).seen
    assert not port.landed(order, 0.0).seen, "one of them is still on"
    port.inject(order)
    assert port.landed(order, 0.0).seen and not port.gone(order).seen
    port.revert(order)
    assert port.gone(order).seen and not port.landed(order, 0.0).seen


def test_a_silence_is_seen_at_alertmanager_itself(port: LabPort, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            told.append({**json.loads(request.content), "id": "1", "status": {"state": "active"}})
        if request.method == "DELETE":
            told[0]["status"] = {"state": "expired"}
        return httpx.Response(200, json=told)

    def alertmanager(client: LabClient) -> httpx.Client:
        return httpx.Client(base_url="http://127.0.0.1:1", transport=httpx.MockTransport(answer))

    monkeypatch.setattr(sabotage_fault, "alertmanager_of", alertmanager)
    monkeypatch.setattr(port, "_client", Lab())
    order = port.bind(cut(silenced="NodeNotReady", comment="ours"))
    told.append({"id": "0", "comment": "another's", "status": {"state": "active"}})
    assert not port.landed(order, 0.0).seen
    told.clear()
    port.inject(order)
    assert port.landed(order, 0.0).seen and told[0]["matchers"][0]["value"] == "NodeNotReady"
    port.revert(order)
    assert port.gone(order).seen and not port.landed(order, 0.0).seen


@pytest.mark.parametrize(("metrics", "repeats"), [(["beats 1", "beats 1"], True), (["beats 1", "beats 2"], False)])
def test_an_exporter_is_frozen_if_it_tells_nothing_new(
    port: LabPort, monkeypatch: pytest.MonkeyPatch, metrics: list[str], repeats: bool
) -> None:
    monkeypatch.setattr(sabotage_fault, "HEARTBEATS_S", 0.0)
    monkeypatch.setattr(port, "_client", Lab())
    order = port.bind(cut(exporter="node-1"))
    for look, seen in ((port.gone, not repeats), (lambda order: port.landed(order, 0.0), repeats)):
        scrapes = iter(metrics)
        monkeypatch.setattr(sabotage_fault, "scrape", lambda client, node, now=scrapes: (True, next(now)))
        assert look(order).seen is seen
