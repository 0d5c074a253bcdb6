"""The embedded lab as a target: faults through its supervisor, proofs by the kernel, the control plane and the traffic
itself.

Witnesses: of a dead or stopped process the kernel's process table; of a node that is back the controller, which hears
its heartbeats; of a link a request sent through it; of the faults in LAB_FAULTS those that their modules name. None of
them injects.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from tierdrill.lab.client import LabClient, LabError
from tierdrill.lab.state import LabState, find_lab, lab_processes, supervisor_lives
from tierdrill.process.groups import signal_process
from tierdrill.process.identity import STOPPED, ProcessId, here, started_about
from tierdrill.targets.base import REMEDY, UNREADABLE, FaultOrder, Inventory, Proof, TargetError
from tierdrill.targets.lab_errors import ERROR_FAULTS
from tierdrill.targets.lab_exporters import EXPORTER_FAULTS
from tierdrill.targets.lab_fault import LabFault, Parameters, known, without_power
from tierdrill.targets.lab_gpus import GPU_FAULTS
from tierdrill.targets.lab_inventory import inventory_of
from tierdrill.targets.lab_kernel_log import KERNEL_LOG_FAULTS
from tierdrill.targets.lab_leases import GRACE_S, hold, release
from tierdrill.targets.lab_links import link_proof
from tierdrill.targets.lab_load import LOAD_FAULTS, control_of
from tierdrill.targets.lab_routers import ROUTER_FAULTS
from tierdrill.targets.lab_settings import is_back, put_back
from tierdrill.targets.lab_weights import WEIGHT_FAULTS

LAB_FAULTS: dict[str, LabFault] = {
    **GPU_FAULTS,
    **KERNEL_LOG_FAULTS,
    **ROUTER_FAULTS,
    **EXPORTER_FAULTS,
    **WEIGHT_FAULTS,
    **ERROR_FAULTS,
    **LOAD_FAULTS,
}
MECHANISMS = {
    "replica-crash": "SIGKILL to the replica's process",
    "replica-hang": "SIGSTOP to the replica's process",
    "node-power-loss": "links silenced in the proxy, then SIGKILL to the node's process group",
    "link-latency": "delay in the userspace TCP proxy",
    "link-partition": "black hole in the userspace TCP proxy",
    **{kind: fault.mechanism for kind, fault in LAB_FAULTS.items()},
}
KERNEL = "the kernel's process table"


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

    def mechanisms(self) -> dict[str, str]:
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
        client, parameters = self._reach(), dict(order.parameters)
        try:
            state = client.state()
            status = client.status()
            links = client.edges() if order.target_kind == "link" else []
        except LabError as error:
            raise TargetError(str(error)) from error
        replicas = {replica["name"]: replica for replica in state["replicas"]}
        nodes = {node["name"]: node for node in state["nodes"]}
        extra: dict[str, Any] = {}
        if order.kind in LAB_FAULTS:
            parameters |= control_of(self._home, order.fault) if order.kind in LOAD_FAULTS else {}
            extra = self._asked(LAB_FAULTS[order.kind].bind, client, state, parameters)
        elif order.target_kind == "replica":
            replica = known(replicas, parameters["replica"], "replica")
            if not replica.get("pid"):
                raise TargetError(f"replica {parameters['replica']} is not running")
            extra = {"pid": replica["pid"], "ticks": replica["ticks"]}
        elif order.target_kind == "node":
            node = known(nodes, parameters["node"], "node")
            pids = [
                [process["pid"], process["ticks"]]
                for process in status["processes"]
                if process["name"] == parameters["node"]
            ]
            pids += [
                [replica["pid"], replica["ticks"]]
                for replica in state["replicas"]
                if replica.get("node") == parameters["node"] and replica.get("pid")
            ]
            extra = {"pids": pids, "boot_id": node.get("boot_id")}
        else:
            ends = {parameters["source"], parameters["destination"]}
            through = [
                edge["listen"]
                for edge in links
                if {edge["source"], edge["destination"]} == ends and str(edge["id"]).startswith("gateway")
            ]
            if not through:
                hosts = sorted({edge["source"] for edge in links} | {edge["destination"] for edge in links})
                raise TargetError(f"found no link {order.target}; hosts with links are {', '.join(hosts)}")
            extra = {"through": through}
        return replace(order, parameters={**parameters, **extra})

    def inject(self, order: FaultOrder) -> None:
        client, p = self._reach(), order.parameters
        leased = {"lease_s": order.lease_s + GRACE_S, "lease": order.fault}
        try:
            hold(client, order, lambda recorder: self._take_back(recorder, order, by_the_lab=True))
            if order.kind == "replica-crash":
                client.signal_replica(p["replica"], "KILL")
            elif order.kind == "replica-hang":
                client.signal_replica(p["replica"], "STOP")
            elif order.kind == "node-power-loss":
                client.power(p["node"], "off")
            elif order.kind in LAB_FAULTS:
                LAB_FAULTS[order.kind].inject(client, p)
            elif order.kind == "link-latency":
                client.set_link(p["source"], p["destination"], "delay", delay_ms=p["delay_ms"], **leased)
            else:
                client.set_link(p["source"], p["destination"], "blackhole", **leased)
        except LabError as error:
            raise TargetError(str(error)) from error

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

    def _take_back(self, client: LabClient, order: FaultOrder, *, by_the_lab: bool = False) -> None:
        p = order.parameters
        if order.kind == "replica-crash":
            client.start_replica(p["replica"])
        elif order.kind == "replica-hang" and by_the_lab:
            client.signal_replica(p["replica"], "CONT")
        elif order.kind == "replica-hang":
            _resume(_meant(p))
        elif order.kind == "node-power-loss":
            client.power(p["node"], "on")
        elif order.kind in LAB_FAULTS:
            LAB_FAULTS[order.kind].revert(client, p)
        elif order.kind == "sabotage":
            self._give_back(client, p)
        elif order.kind == REMEDY:
            put_back(client, p)
        else:
            client.set_link(p["source"], p["destination"], "pass")

    def landed(self, order: FaultOrder, since: float) -> Proof:
        p = order.parameters
        if order.kind == "replica-crash":
            dead = not _meant(p).lives()
            return Proof(dead, time.time(), KERNEL, f"process {p['pid']} {'is gone' if dead else 'still runs'}")
        if order.kind == "replica-hang":
            stopped = _meant(p).state() == STOPPED
            return Proof(stopped, time.time(), KERNEL, f"process {p['pid']} {'is stopped' if stopped else 'runs'}")
        if order.kind == "node-power-loss":
            living = [pid for pid, ticks in p["pids"] if here(pid, ticks).lives()]
            return Proof(
                not living, time.time(), KERNEL, f"{len(p['pids']) - len(living)} of {len(p['pids'])} processes gone"
            )
        if order.kind in LAB_FAULTS:
            return self._by_witness(LAB_FAULTS[order.kind].landed, p)
        return link_proof(self._reach, p, slow=True)

    def gone(self, order: FaultOrder) -> Proof:
        p = order.parameters
        if self._gone_with_the_lab():
            return Proof(True, time.time(), KERNEL, "the lab it was in has ended, with all its processes")
        if order.kind == "replica-hang":
            stopped = _meant(p).state() == STOPPED
            return Proof(
                not stopped, time.time(), KERNEL, f"process {p['pid']} {'is stopped' if stopped else 'is not stopped'}"
            )
        if order.kind in LAB_FAULTS:
            return self._by_witness(LAB_FAULTS[order.kind].gone, p)
        if order.kind == "sabotage":
            return self._sabotage_proof(p)
        if order.kind == REMEDY:
            return self._by_witness(is_back, p)
        if order.target_kind == "link":
            return link_proof(self._reach, p, slow=False)
        return self._control_plane_proof(order)

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

    def _control_plane_proof(self, order: FaultOrder) -> Proof:
        p, witness = order.parameters, "the control plane"
        try:
            state = self._reach().state()
        except LabError as error:
            return Proof(False, time.time(), witness, str(error))
        inventory = inventory_of(state, ())
        if order.kind == "node-power-loss":
            node = next((one for one in inventory.nodes if one.name == p["node"]), None)
            ready = node is not None and node.ready
            booted = ready and node is not None and node.boot_id != p["boot_id"]
            # The same processes still alive: power was never lost, there is nothing to come back from.
            never = ready and bool(p["pids"]) and all(here(pid, ticks).lives() for pid, ticks in p["pids"])
            seen = "has booted and is ready" if booted else "never lost power" if never else "is not ready"
            return Proof(booted or never, time.time(), witness, f"{p['node']} {seen}")
        replica: dict[str, Any] = next((one for one in state["replicas"] if one["name"] == p["replica"]), {})
        # For a moment after the kill the control plane still tells of the dead process: one that lives is what counts.
        lives = bool(replica.get("pid")) and here(int(replica["pid"]), int(replica["ticks"])).lives()
        back = lives and replica.get("state") in ("ready", "starting")
        seen = f"{p['replica']} is {replica.get('state', 'unknown')}" + ("" if lives else ", its process is gone")
        return Proof(back, time.time(), witness, seen)

    def _asked(self, ask: Callable[..., Parameters], *arguments: Any) -> Parameters:
        try:
            return ask(*arguments)
        except LabError as error:
            raise TargetError(str(error)) from error

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


def _meant(p: Parameters) -> ProcessId:
    """The process that an order is about; orders of earlier versions have the wall-clock time of its start."""
    return here(p["pid"], p["ticks"]) if "ticks" in p else started_about(p["pid"], p["created"])


def _resume(process: ProcessId) -> None:
    try:
        signal_process(process, signal.SIGCONT)
    except PermissionError as error:
        raise TargetError(f"cannot resume process {process.pid}: {error}") from error
