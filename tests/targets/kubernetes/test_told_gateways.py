"""What tierdrill's own gateways are told on a cluster: a picker that is lost, and a hold that outlives nobody."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes_api import FakeApi
from tests.targets.kubernetes.conftest import PODS, RUN, pod, ref
from tierdrill.cli.drill_documents import environment_setting
from tierdrill.cli.folders import shipped_catalogue
from tierdrill.conductor.override_notices import grant_override, revoke_override
from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.lab.gateway.held_settings import HeldSettings
from tierdrill.lab.gateway.picker import FAILS_CLOSED, LOST, PICKING
from tierdrill.targets.base import FaultOrder, TargetError
from tierdrill.targets.kubernetes import fault_port
from tierdrill.targets.kubernetes.api_errors import ApiError
from tierdrill.targets.kubernetes.connect import Cluster
from tierdrill.targets.kubernetes.fault_port import KubernetesPort
from tierdrill.targets.kubernetes.gateway_admin import admin_of
from tierdrill.targets.kubernetes.kubernetes_fault import Parameters
from tierdrill.targets.kubernetes.target import KubernetesTarget

KIND, GATEWAY = "router-fail-closed", f"{PODS}/gateway-1"


class Gateway:
    """One gateway behind the API server's proxy; `away` is what nobody reaches."""

    def __init__(self) -> None:
        self.now, self.settings = 100.0, {"picker": {"up": True}, "overrides": {}}
        self.held = HeldSettings(self.settings.__getitem__, self._tell, lambda: self.now)
        self.away = False

    def _tell(self, what: str, changes: Mapping[str, Any]) -> None:
        self.settings[what].update(changes)

    def through(self, namespace: str, target: str, method: str, path: str, body: Any = None, **more: Any) -> str:
        assert (namespace, target) == ("serving", "gateway-1:8080") and more["headers"] == {"X-Admin-Token": "t"}
        up = self.settings["picker"]["up"]
        if self.away:
            raise ApiError("no answer")
        if path == "v1/completions":
            assert body["model"] == "assistant"
            if not up:
                raise ApiError("HTTP 500", 500, body=json.dumps({"error": {"type": LOST}}))
            return "{}"
        if path == "healthz":
            return json.dumps({"router": PICKING if up else FAILS_CLOSED})
        if path == "admin/hold":
            self.held.hold(body["seconds"])
        elif method == "PUT":
            self.held.change(path.rpartition("/")[2], body)
        return "{}"


@pytest.fixture
def gateway(api: FakeApi, place: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Gateway:
    """It runs, and the place knows how it is told."""
    api.put(GATEWAY, pod("gateway-1", "worker-2", "none"))
    place["names"]["gateway-a"] = ref(api, GATEWAY, "Pod")
    monkeypatch.setenv("GATEWAY_TOKEN", "t")
    admin = {"port": 8080, "token": {"env": "GATEWAY_TOKEN"}}
    place["settings"]["gateways"] = {"namespaces": ["serving"], "selector": "tier=none", "admin": admin}
    one = Gateway()
    monkeypatch.setattr(Cluster, "through", lambda self, *of, **more: one.through(*of, **more))
    return one


def bound(port: KubernetesPort) -> tuple[Any, Parameters]:
    how = port.mechanisms()[KIND]
    assert how.emulated
    told = {"gateway": "gateway-a"}
    order = port.bind(FaultOrder(f"{RUN}/{KIND}/gateway-a", KIND, "gateway-a", "gateway", how, told, 5.0))
    return fault_port.faults_of(port.place.settings)[KIND], {**order.parameters, "fault": order.fault, "run": RUN}


def test_a_gateway_without_its_picker_refuses_until_it_is_given_back(gateway: Gateway, port: KubernetesPort) -> None:
    fault, p = bound(port)
    assert fault.gone(port.place, p).seen and not fault.landed(port.place, p).seen
    fault.inject(port.place, p)
    assert fault.landed(port.place, p).seen and not fault.gone(port.place, p).seen
    with pytest.raises(TargetError, match="gateway-a is fails-closed as it is"):
        bound(port)
    assert fault.revert(port.place, p) == fault.revert(port.place, p) == "reverted"
    assert fault.gone(port.place, p).seen and not fault.landed(port.place, p).seen


def test_a_gateway_that_was_replaced_took_its_lost_picker_along(
    gateway: Gateway, port: KubernetesPort, api: FakeApi
) -> None:
    fault, p = bound(port)
    fault.inject(port.place, p)
    api.remove(GATEWAY)
    gateway.away = True
    assert fault.gone(port.place, p).seen and "is gone" in fault.revert(port.place, p)
    with pytest.raises(TargetError):
        bound(port)


def test_what_a_gateway_was_told_ends_with_its_hold(gateway: Gateway, port: KubernetesPort) -> None:
    admin = admin_of(port.place)
    assert admin.hold(10.0) == []
    fault, p = bound(port)
    fault.inject(port.place, p)
    gateway.now += 9
    assert gateway.held.lapsed() == {} and admin.hold(10.0) == []
    gateway.now += 11
    assert gateway.held.lapsed() == {"picker": {"up": True}} and fault.gone(port.place, p).seen
    gateway.away = True
    assert admin.hold(10.0) == ["gateway-a: no answer"]


def test_an_override_reaches_a_clusters_gateways_and_one_that_is_away_is_named(
    gateway: Gateway, place: dict[str, Any], kubeconfig: Path, tmp_path: Path
) -> None:
    shipped, tiers, workloads = environment_setting(shipped_catalogue(), "lab")
    settings = KubernetesSettings.model_validate({**place["settings"], "kubeconfig": str(kubeconfig)})
    there = shipped.model_copy(update={"kubernetes": settings})
    elsewhere = there.model_copy(update={"tiers": "others"})
    why = {"role": "incident-commander", "who": "ann", "why": "a lost hall", "clusters": [(elsewhere, workloads)] * 2}
    about = (tmp_path, tiers, "critical", "queue-limit")
    assert grant_override(*about, seconds=60.0, **why).clusters == ()
    why["clusters"] = [(there, workloads)]
    granted = grant_override(*about, seconds=60.0, **why)
    assert (granted.clusters, granted.untold) == (("lab",), ())
    assert gateway.settings["overrides"] == {"critical/queue-limit": granted.override.until}
    assert revoke_override(*about, **why).clusters == ("lab",)
    assert gateway.settings["overrides"] == {"critical/queue-limit": None}
    gateway.away = True
    assert grant_override(*about, seconds=60.0, **why).untold == ("lab: no answer",)


def test_only_where_gateways_are_told_and_no_pickers_are_named(gateway: Gateway, port: KubernetesPort) -> None:
    settings = port.place.settings
    assert settings.gateways is not None and KIND not in KubernetesTarget().absent()["fault"]
    untold = settings.model_copy(update={"gateways": settings.gateways.model_copy(update={"admin": None})})
    assert fault_port.faults_of(settings)[KIND] is not fault_port.faults_of(untold)[KIND]
    assert fault_port.faults_of(untold) is fault_port.faults_of(None)
