"""What remedies leave changed on a cluster: read before it is changed, put back, and seen to be back.

Where pods run is no such setting: they serve from wherever the scheduler has put them. Witnesses: the API server for
cordons, the gateways themselves for what they were told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tierdrill.remedies.remedy import GATEWAY_KINDS, UNTOLD, Setting
from tierdrill.targets.base import FaultOrder, Mechanism, Proof, TargetError
from tierdrill.targets.kubernetes.gateway_admin import GatewayAdmin
from tierdrill.targets.kubernetes.kubernetes_fault import UNDO
from tierdrill.targets.kubernetes.ledger_map import RunMap
from tierdrill.targets.kubernetes.nodes import read_node, uncordon, uncordoning

if TYPE_CHECKING:
    from tierdrill.targets.kubernetes.connect import Cluster
    from tierdrill.targets.kubernetes.names import NameTable


class ClusterSettings:
    """Settings over one cluster."""

    mechanism = Mechanism("the Kubernetes API, and the gateways' administration through it", poll_s=0.5)
    lasting = frozenset({*GATEWAY_KINDS, "cordon"})

    def __init__(
        self, place: dict[str, Any], cluster: Cluster, names: Callable[[], NameTable], admin: GatewayAdmin | None
    ) -> None:
        self.place, self._cluster, self._names, self._gateways = place, cluster, names, admin

    @property
    def _admin(self) -> GatewayAdmin:
        if self._gateways is None:
            raise TargetError("no kubernetes.gateways.admin says how gateways are told anything")
        return self._gateways

    def gateways(self) -> Sequence[str]:
        return self._admin.gateways()

    def read(self, setting: Setting) -> Any:
        if setting.kind == "cordon":
            return read_node(self._cluster, self._names().ref(setting.name)).cordoned
        told = self._admin.told(setting.kind, setting.gateway)
        return told[str(setting.gateway)].get(setting.name, UNTOLD[setting.kind])

    def put_back(self, parameters: Mapping[str, Any]) -> None:
        """Make it what it was; TargetError where somebody refuses."""
        setting, before = Setting(**parameters["setting"]), parameters["before"]
        if setting.kind == "cordon" and not before:
            uncordon(self._cluster, self._names().ref(setting.name))
        elif setting.kind in GATEWAY_KINDS and setting.gateway in self.gateways():
            self._admin.tell(setting.kind, {setting.name: before}, setting.gateway)

    def is_back(self, parameters: Mapping[str, Any]) -> Proof:
        setting, before = Setting(**parameters["setting"]), parameters["before"]
        if setting.kind in GATEWAY_KINDS and setting.gateway not in self.gateways():
            return Proof(True, time.time(), "the API server", f"{setting.gateway} has gone, with what it was told")
        now = self.read(setting)
        witness = f"{setting.gateway} itself" if setting.gateway else "the API server"
        return Proof(now == before, time.time(), witness, f"{setting}: {_shown(now)}, before {_shown(before)}")

    def hold(self, order: FaultOrder) -> None:
        """A cordon is in the run's ConfigMap, for the warden; what gateways are told only the reaper can put back."""
        setting = Setting(**order.parameters["setting"])
        if setting.kind == "cordon" and not order.parameters["before"]:
            undo = {UNDO: [uncordoning(self._names().ref(setting.name))]}
            self._map(order.fault).write(replace(order, parameters={**order.parameters, **undo}))

    def release(self, fault: str) -> None:
        self._map(fault).drop(fault)

    def _map(self, fault: str) -> RunMap:
        return RunMap(self._cluster, self.place["namespace"], fault.partition("/")[0])


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value).lower()
