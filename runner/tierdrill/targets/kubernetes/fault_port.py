"""A Kubernetes cluster as a place of faults: each one written down on the cluster before it is injected, and seen there
and gone by somebody who did not inject it.

How it does each kind of fault, and who is the witness, says its file in faults/, in agent_faults/ where a pod on the
node does it, or in gpu_faults/ where the exporter of emulated GPUs does. gateway_faults/ are done by tierdrill's own
gateways, where the environment names no pods that an agent would stop for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.faults.kind import modules_by_kind
from tierdrill.targets.base import REMEDY, SABOTAGE, FaultOrder, Inventory, Mechanism, Proof, TargetError
from tierdrill.targets.kubernetes import agent_faults, faults, gateway_faults, gpu_faults, sabotage_fault
from tierdrill.targets.kubernetes.cluster_place import Place
from tierdrill.targets.kubernetes.cluster_settings import ClusterSettings
from tierdrill.targets.kubernetes.gateway_admin import GatewayAdmin
from tierdrill.targets.kubernetes.kubernetes_fault import (
    UNDO,
    KubernetesFault,
    Parameters,
    gone_by_steps,
    revert_by_steps,
)
from tierdrill.targets.kubernetes.lease import DrillLease
from tierdrill.targets.kubernetes.ledger_map import RunMap
from tierdrill.targets.kubernetes.power import BY_POWER

KUBERNETES_FAULTS: Mapping[str, KubernetesFault] = {
    kind: module.FAULT for folder in (faults, agent_faults, gpu_faults) for kind, module in modules_by_kind(folder)
}
GATEWAY_FAULTS: Mapping[str, KubernetesFault] = {kind: module.FAULT for kind, module in modules_by_kind(gateway_faults)}
AHEAD_S = 3.0
"""So long before its planned moment a fault is bound: the API is asked, and a line to an agent opened."""


def faults_of(settings: KubernetesSettings | None) -> Mapping[str, KubernetesFault]:
    """How a cluster with these settings does each kind of fault."""
    told = None if settings is None else settings.gateways
    by_gateways = told is not None and told.picker is None and told.admin is not None
    return {**KUBERNETES_FAULTS, **GATEWAY_FAULTS} if by_gateways else KUBERNETES_FAULTS


def mechanisms_with(settings: KubernetesSettings | None) -> Mapping[str, Mechanism]:
    """The mechanism for each kind, on a cluster with these settings."""
    boots_s = None if settings is None or settings.power is None else settings.power.boots_within
    found = {}
    for kind, fault in faults_of(settings).items():
        how = fault.mechanism
        gone_s = how.gone_within_s if boots_s is None or kind not in BY_POWER else boots_s
        found[kind] = replace(how, gone_within_s=gone_s, ahead_s=AHEAD_S)
    return found


def run_of(fault: str) -> str:
    """The run that a fault belongs to, by its id, RUN/KIND/TARGET."""
    return fault.partition("/")[0]


class KubernetesPort:
    """FaultPort over one cluster."""

    def __init__(self, place: Mapping[str, Any]) -> None:
        self.place = Place(place)

    def mechanisms(self) -> Mapping[str, Mechanism]:
        return mechanisms_with(self.place.settings)

    def inventory(self) -> Inventory:
        return self.place.inventory()

    def _fault_of(self, order: FaultOrder) -> KubernetesFault:
        known = {**faults_of(self.place.settings), SABOTAGE: sabotage_fault.FAULT}
        if order.kind not in known:
            raise TargetError(f"Kubernetes has no mechanism for {order.kind}")
        return known[order.kind]

    def _map(self, order: FaultOrder) -> RunMap:
        return RunMap(self.place.cluster, self.place.settings.namespace, run_of(order.fault))

    def bind(self, order: FaultOrder) -> FaultOrder:
        extra = self._fault_of(order).bind(self.place, _about(order))
        return replace(order, parameters={**order.parameters, **extra})

    def inject(self, order: FaultOrder) -> None:
        fault, p, ledger = self._fault_of(order), _about(order), self._map(order)
        if why := DrillLease(self.place.cluster, self.place.settings.namespace).look().halt:
            raise TargetError(f"the cluster's kill switch is on: {why}")
        ledger.write(order)
        fault.inject(self.place, p)
        if ledger.read() is None:
            # The run's Lease has lapsed in between: whoever looked after its faults has looked already.
            fault.revert(self.place, p)
            raise TargetError("the run's Lease lapsed while it was injected; it was undone at once")

    def _settings(self) -> ClusterSettings:
        place, told = self.place, self.place.settings.gateways
        admin = told.admin if told is not None else None
        gateways = GatewayAdmin(place.cluster, place.names_now, admin) if admin is not None else None
        return ClusterSettings(dict(place.told), place.cluster, place.names_now, gateways)

    def revert(self, order: FaultOrder) -> str | None:
        if order.kind == REMEDY and UNDO in order.parameters:
            return revert_by_steps(self.place, order.parameters)
        if order.kind == REMEDY:
            self._settings().put_back(order.parameters)
            return None
        return self._fault_of(order).revert(self.place, _about(order))

    def landed(self, order: FaultOrder, since: float) -> Proof:
        return self._fault_of(order).landed(self.place, {**_about(order), "since": since})

    def gone(self, order: FaultOrder) -> Proof:
        if order.kind == REMEDY:
            known = UNDO in order.parameters
            p = order.parameters
            proof = gone_by_steps(self.place, p) if known else self._settings().is_back(p)
        else:
            proof = self._fault_of(order).gone(self.place, _about(order))
        if proof.seen:
            self._map(order).drop(order.fault)
        return proof


def _about(order: FaultOrder) -> Parameters:
    """What the functions of a KubernetesFault get to know of an order."""
    return {**order.parameters, "fault": order.fault, "run": run_of(order.fault), "lease_s": order.lease_s}
