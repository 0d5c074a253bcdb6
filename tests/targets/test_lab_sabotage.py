"""What a sabotage took away or broke is given back, whatever else is down."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tierdrill.lab.client import LabError
from tierdrill.targets.base import FaultOrder, Mechanism, TargetError
from tierdrill.targets.lab.fault_port import LabPort


class Lab:
    """The lab's control API, as far as a sabotage needs it."""

    def __init__(self, power: str = "on", down: str = "") -> None:
        self.power, self.down = power, down
        self.said: list[tuple[str, object]] = []

    def status(self) -> dict[str, Any]:
        return {"power": {"node-1": self.power}}

    def set_flags(self, flags: dict[str, bool], gateway: str) -> None:
        if gateway == self.down:
            raise LabError("it is down")
        self.said.append((gateway, flags))

    def set_exporter(self, node: str, up: bool) -> None:
        self.said.append((node, up))

    def release_lease(self, fault: str) -> None:
        """The lab's own lease is of no matter here."""


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabPort:
    deleted = httpx.MockTransport(lambda request: httpx.Response(200, json=[]))

    @contextlib.contextmanager
    def alertmanager(port: LabPort) -> Iterator[httpx.Client]:
        with httpx.Client(base_url="http://127.0.0.1:1", transport=deleted) as client:
            yield client

    monkeypatch.setattr(LabPort, "_alertmanager", alertmanager)
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
