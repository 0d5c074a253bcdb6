"""A cluster's cut safety nets: protections of tierdrill's own gateways off, an alert silenced where that is allowed, a
node that somebody else's automation is told to leave alone, an exporter of emulated GPUs that repeats itself.

The witnesses are those who lack it: the gateways' flags, Alertmanager's silences, the nodes' labels, the exporter.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.kubernetes import drilled, emulated_gpu_fault
from tierdrill.targets.kubernetes.gateway_admin import admin_of
from tierdrill.targets.kubernetes.kubernetes_fault import (
    UNDO,
    KubernetesFault,
    Parameters,
    find,
    gone_by_steps,
    revert_by_steps,
    seen,
)
from tierdrill.targets.kubernetes.monitoring_client import client_of
from tierdrill.targets.kubernetes.node_marks import label_step, set_labels
from tierdrill.targets.kubernetes.warden_program import stands
from tierdrill.targets.silences import lift, silence, silences

if TYPE_CHECKING:
    import httpx

    from tierdrill.targets.kubernetes.cluster_place import Place

WITNESS = "the gateways' flags, Alertmanager's silences and the nodes' labels"


def _bind(place: Place, p: Parameters) -> Parameters:
    exporter = {}
    if p.get("exporter"):
        exporter = {"node": p["exporter"], "host": drilled.node(place, p["exporter"]).name}
        emulated_gpu_fault.said_by(place, exporter)
        emulated_gpu_fault.prepare(place, {**p, **exporter}, "--freeze")
    now = admin_of(place).told("flags") if p["flags_off"] else {}
    flags = {gateway: {flag: bool(has[flag]) for flag in p["flags_off"]} for gateway, has in now.items()}
    out = p.get("opted_out") or {"nodes": [], "labels": {}}
    return {**exporter, "flags": flags, UNDO: [label_step(place, alias, out["labels"]) for alias in out["nodes"]]}


def _cut(place: Place, p: Parameters) -> None:
    if p.get("exporter"):
        emulated_gpu_fault.hold(place, p)
    for step in p[UNDO]:
        set_labels(place, step, p["opted_out"]["labels"])
    if p["silenced"]:
        with _alertmanager(place) as alertmanager:
            real = place.told["alerts"].get(p["silenced"], p["silenced"])
            silence(alertmanager, real, p["comment"], p["silenced_s"])
    for gateway, flags in p["flags"].items():
        admin_of(place).tell("flags", dict.fromkeys(flags, False), gateway)


def _give_back(place: Place, p: Parameters) -> str:
    """A gateway that was replaced has its flags as they are at its start. One that is down does not keep the others."""
    problems: list[TargetError] = []
    if p.get("exporter"):
        emulated_gpu_fault.end_hold(place, p)
    try:
        revert_by_steps(place, p)
    except TargetError as error:
        problems.append(error)
    for gateway, flags in p["flags"].items():
        try:
            admin_of(place).tell("flags", flags, gateway)
        except TargetError as error:
            problems.append(error)
    if p["comment"]:
        with _alertmanager(place) as alertmanager:
            lift(alertmanager, p["comment"])
    if problems:
        raise problems[0]
    return "given back"


def _is_cut(place: Place, p: Parameters) -> Proof:
    now, standing = _look(place, p)
    on = [f"{flag} at {gateway}" for gateway, flags in p["flags"].items() for flag in flags if now[gateway][flag]]
    on += ["the alert is not silenced"] if p["comment"] and not standing else []
    if p.get("exporter") and not emulated_gpu_fault.said_by(place, p)["frozen"]:
        on.append(f"the exporter of {p['node']} tells of what is now")
    for step in p[UNDO]:
        node = find(place.cluster, step["path"])
        on += [] if node is not None and stands(node, step) else [f"{step['what']} has not the labels"]
    return seen(not on, WITNESS, f"not cut: {', '.join(on)}" if on else "all cut")


def _is_back(place: Place, p: Parameters) -> Proof:
    now, standing = _look(place, p)
    off = [gateway for gateway, flags in p["flags"].items() if any(now[gateway][f] != v for f, v in flags.items())]
    left = [*off, *standing]
    if p.get("exporter") and emulated_gpu_fault.said_by(place, p)["frozen"]:
        left.append(f"the exporter of {p['node']}")
    if not (labels := gone_by_steps(place, p)).seen:
        left.append(labels.detail)
    return seen(not left, WITNESS, f"still cut: {', '.join(left)}" if left else "all given back")


def _look(place: Place, p: Parameters) -> tuple[dict[str, Any], list[str]]:
    """The gateways' flags, and the silences of this sabotage that have not expired."""
    flags = admin_of(place).told("flags") if p["flags"] else {}
    if not p["comment"]:
        return flags, []
    with _alertmanager(place) as alertmanager:
        return flags, silences(alertmanager, p["comment"])


def _alertmanager(place: Place) -> AbstractContextManager[httpx.Client]:
    return client_of("Alertmanager", place.told["alertmanager"])


FAULT = KubernetesFault(
    Mechanism(
        "flags of the gateways through the API server's proxy, a silence in Alertmanager, labels of nodes, an exporter",
        poll_s=0.5,
    ),
    _bind,
    _cut,
    _is_cut,
    _is_back,
    "runner",
    emulated_gpu_fault.NEEDS,
    _give_back,
)
