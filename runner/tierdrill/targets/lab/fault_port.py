"""The embedded lab as a target: faults through its supervisor, proofs by the kernel, the control plane and the traffic
itself.

How it does each kind of fault, and who is the witness, says its file in faults/. No witness injects.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import httpx

from tierdrill.faults.kind import modules_by_kind
from tierdrill.lab.client import LabClient, LabError
from tierdrill.lab.lab_config import Means
from tierdrill.lab.lab_files import LabState, find_lab, lab_processes, supervisor_lives
from tierdrill.targets.base import REMEDY, SABOTAGE, UNREADABLE, FaultOrder, Inventory, Mechanism, Proof, TargetError
from tierdrill.targets.lab import faults, sabotage_fault
from tierdrill.targets.lab.inventory import inventory_of
from tierdrill.targets.lab.lab_fault import KERNEL, LabFault, Parameters
from tierdrill.targets.lab.leases import hold, release
from tierdrill.targets.lab.settings import is_back, put_back

LAB_FAULTS: dict[str, LabFault] = {kind: module.FAULT for kind, module in modules_by_kind(faults)}
INJECTABLE = {**LAB_FAULTS, SABOTAGE: sabotage_fault.FAULT}
MECHANISMS: Mapping[str, Mechanism] = {kind: fault.mechanism for kind, fault in LAB_FAULTS.items()}


def mechanisms_with(means: Means | None) -> Mapping[str, Mechanism]:
    """How a lab does each kind of fault: in portable mode, or with those means in namespace mode."""
    return {kind: fault.mechanism_in(means) for kind, fault in LAB_FAULTS.items()}


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
        return mechanisms_with(self._client.lab.means if self._client is not None else None)

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
            raise TargetError("the fault is sealed and its key is missing; stop its lab")
        client = self._reach()
        try:
            revert = put_back if order.kind == REMEDY else _fault_of(order).revert
            revert(client, self._about(order))
            release(client, order.fault)
        except (LabError, httpx.HTTPError) as error:
            if not self._gone_with_the_lab():
                raise TargetError(str(error)) from error

    def landed(self, order: FaultOrder, since: float) -> Proof:
        return self._by_witness(_fault_of(order).landed, self._about(order))

    def gone(self, order: FaultOrder) -> Proof:
        if self._gone_with_the_lab():
            return Proof(True, time.time(), KERNEL, "the lab it was in has ended, with all its processes")
        gone = is_back if order.kind == REMEDY else _fault_of(order).gone
        return self._by_witness(gone, self._about(order))

    def _by_witness(self, look: Callable[[LabClient, Parameters], Proof], p: Parameters) -> Proof:
        try:
            return look(self._reach(), p)
        except LabError as error:
            return Proof(False, time.time(), "the lab", str(error))


def _fault_of(order: FaultOrder) -> LabFault:
    if order.kind not in INJECTABLE:
        raise TargetError(f"no lab has a mechanism for {order.kind}")
    return INJECTABLE[order.kind]
