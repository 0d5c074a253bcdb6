"""The embedded lab as a target: faults through its supervisor, proofs by the kernel, the control plane and the traffic
itself.

How it does each kind of fault, and who is the witness, says its file in faults/. No witness injects.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from tierdrill.faults.registry import modules_by_kind
from tierdrill.lab.client import LabClient, LabError
from tierdrill.lab.lab_files import LabState, find_lab, lab_processes, supervisor_lives
from tierdrill.targets.base import REMEDY, UNREADABLE, FaultOrder, Inventory, Mechanism, Proof, TargetError
from tierdrill.targets.lab import faults
from tierdrill.targets.lab.inventory import inventory_of
from tierdrill.targets.lab.lab_fault import KERNEL, LabFault, Parameters, without_power
from tierdrill.targets.lab.leases import hold, release
from tierdrill.targets.lab.settings import is_back, put_back

LAB_FAULTS: dict[str, LabFault] = {kind: module.FAULT for kind, module in modules_by_kind(faults)}
MECHANISMS: Mapping[str, Mechanism] = {kind: fault.mechanism for kind, fault in LAB_FAULTS.items()}


class LabPort:
    """FaultPort over one lab. A lab that is gone takes its faults with it: they count as gone."""

    def __init__(self, home: Path, lab: str, lab_id: str = "") -> None:
        self._home, self._lab, self._id = home, lab, lab_id
        state = self._reachable()
        self._client = LabClient(state) if state is not None else None

    def _reachable(self) -> LabState | None:
        """The very lab that was meant, if its supervisor lives."""
        state = find_lab(self._home, self._lab)
        if state is None or (self._id and state.id != self._id) or not supervisor_lives(state):
            return None
        self._id = state.id
        return state

    def mechanisms(self) -> Mapping[str, Mechanism]:
        return MECHANISMS

    def inventory(self) -> Inventory:
        client = self._reach()
        try:
            gateways = tuple(p["name"] for p in client.status()["processes"] if p["program"] == "gateway")
            return inventory_of(client.state(), gateways)
        except LabError as error:
            raise TargetError(str(error)) from error

    def _reach(self) -> LabClient:
        if self._client is None:
            raise TargetError(f"lab {self._lab} is not up in {self._home}")
        return self._client

    def _gone_with_the_lab(self) -> bool:
        """Whether somebody looked and found no process of that lab; a state file that cannot be read proves nothing."""
        return bool(self._id) and self._reachable() is None and not lab_processes(self._id)

    def bind(self, order: FaultOrder) -> FaultOrder:
        client = self._reach()
        try:
            extra = _fault_of(order).bind(client, client.state(), self._about(order))
        except LabError as error:
            raise TargetError(str(error)) from error
        return replace(order, parameters={**order.parameters, **extra})

    def inject(self, order: FaultOrder) -> None:
        client, fault, p = self._reach(), _fault_of(order), self._about(order)
        by_lab = fault.revert_by_lab or fault.revert
        try:
            hold(client, order, lambda recorder: by_lab(recorder, p))
            fault.inject(client, p)
        except LabError as error:
            raise TargetError(str(error)) from error

    def _about(self, order: FaultOrder) -> Parameters:
        """What the functions of a LabFault get to know of an order."""
        return {**order.parameters, "fault": order.fault, "lease_s": order.lease_s, "home": str(self._home)}

    def revert(self, order: FaultOrder) -> None:
        if self._gone_with_the_lab():
            return
        if order.kind == UNREADABLE:
            raise TargetError("what was injected cannot be read: the key of its seal is gone; end its lab")
        client = self._reach()
        try:
            self._take_back(client, order)
            release(client, order.fault)
        except (LabError, httpx.HTTPError) as error:
            if not self._gone_with_the_lab():
                raise TargetError(str(error)) from error

    def _take_back(self, client: LabClient, order: FaultOrder) -> None:
        if order.kind == "sabotage":
            self._give_back(client, order.parameters)
        elif order.kind == REMEDY:
            put_back(client, order.parameters)
        else:
            _fault_of(order).revert(client, self._about(order))

    def landed(self, order: FaultOrder, since: float) -> Proof:
        return self._by_witness(_fault_of(order).landed, self._about(order))

    def gone(self, order: FaultOrder) -> Proof:
        if self._gone_with_the_lab():
            return Proof(True, time.time(), KERNEL, "the lab it was in has ended, with all its processes")
        if order.kind == "sabotage":
            return self._sabotage_proof(order.parameters)
        if order.kind == REMEDY:
            return self._by_witness(is_back, order.parameters)
        return self._by_witness(_fault_of(order).gone, self._about(order))

    def _give_back(self, client: LabClient, p: dict[str, Any]) -> None:
        try:
            give_back_settings(client, p)
        finally:
            with self._alertmanager() as alertmanager:
                for silence in self._silences(alertmanager, p["comment"]):
                    alertmanager.delete(f"/api/v2/silence/{silence}").raise_for_status()

    def _sabotage_proof(self, p: dict[str, Any]) -> Proof:
        witness = "the gateways' flags and Alertmanager's silences"
        try:
            now = self._reach().flags()
            with self._alertmanager() as alertmanager:
                silences = self._silences(alertmanager, p["comment"])
        except (LabError, httpx.HTTPError) as error:
            return Proof(False, time.time(), witness, str(error))
        off = [gateway for gateway, flags in p["flags"].items() if any(now[gateway][f] != v for f, v in flags.items())]
        back = not off and not silences
        return Proof(back, time.time(), witness, "all given back" if back else f"still cut: {off or silences}")

    def _alertmanager(self) -> httpx.Client:
        state = self._reach().lab
        address = f"http://{state.alertmanager}"
        return httpx.Client(base_url=address, auth=state.login.pair, trust_env=False, timeout=2.0)

    def _silences(self, alertmanager: httpx.Client, comment: str) -> list[str]:
        if not comment:
            return []
        answer = alertmanager.get("/api/v2/silences")
        answer.raise_for_status()
        return [one["id"] for one in answer.json() if one["comment"] == comment and one["status"]["state"] != "expired"]

    def _by_witness(self, look: Callable[[LabClient, Parameters], Proof], p: Parameters) -> Proof:
        try:
            return look(self._reach(), p)
        except LabError as error:
            return Proof(False, time.time(), "the lab", str(error))


def give_back_settings(client: LabClient, p: Parameters) -> None:
    """What a sabotage took from the lab: flags and an exporter. One gateway that is down does not keep the others."""
    problems = []
    for gateway, flags in p["flags"].items():
        try:
            client.set_flags(flags, gateway=gateway)
        except LabError as error:
            problems.append(error)
    if (node := p.get("exporter")) and not without_power(client, node):
        # A node that is off has no exporter; the one of its next boot tells the truth.
        client.set_exporter(node, True)
    if problems:
        raise problems[0]


def _fault_of(order: FaultOrder) -> LabFault:
    if order.kind not in LAB_FAULTS:
        raise TargetError(f"no lab has a mechanism for {order.kind}")
    return LAB_FAULTS[order.kind]
