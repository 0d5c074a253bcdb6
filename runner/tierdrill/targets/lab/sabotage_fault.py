"""The lab's cut safety nets: gateways' protections off, an alert silenced, an exporter that repeats its metrics.

The witnesses are those who lack it: the gateways' flags, Alertmanager's silences, two scrapes of the exporter.
"""

import time
from typing import Any

import httpx

from tierdrill.lab.client import LabClient, LabError
from tierdrill.targets.base import Mechanism, Proof
from tierdrill.targets.lab.faults.telemetry_loss import CLOCK, scrape
from tierdrill.targets.lab.lab_fault import LabFault, Parameters, State, known, seen, without_power
from tierdrill.targets.silences import lift, silence, silences

WITNESS = "the gateways' flags, Alertmanager's silences and the exporter's metrics"
HEARTBEATS_S = 1.2
"""In so long a node sends a heartbeat, which its metrics count."""


def _bind(client: LabClient, state: State, p: Parameters) -> Parameters:
    if p.get("exporter"):
        known({one["name"]: one for one in state["nodes"]}, p["exporter"], "node")
    now = client.gateways("flags") if p["flags_off"] else {}
    return {"flags": {gateway: {flag: bool(has[flag]) for flag in p["flags_off"]} for gateway, has in now.items()}}


def _cut(client: LabClient, p: Parameters) -> None:
    if p["silenced"]:
        try:
            with alertmanager_of(client) as alertmanager:
                silence(alertmanager, p["silenced"], p["comment"], p["silenced_s"])
        except httpx.HTTPError as error:
            raise LabError(f"Alertmanager did not silence {p['silenced']}: {error}") from error
    for gateway, flags in p["flags"].items():
        client.to_gateways("flags", dict.fromkeys(flags, False), gateway=gateway)
    if p.get("exporter"):
        client.set_exporter(p["exporter"], True, frozen=True)


def _give_back(client: LabClient, p: Parameters) -> None:
    try:
        _give_settings_back(client, p)
    finally:
        if p["comment"]:
            with alertmanager_of(client) as alertmanager:
                lift(alertmanager, p["comment"])


def _give_settings_back(client: LabClient, p: Parameters) -> None:
    """One gateway that is down does not keep the others. A silence ends by itself."""
    problems = []
    for gateway, flags in p["flags"].items():
        try:
            client.to_gateways("flags", flags, gateway=gateway)
        except LabError as error:
            problems.append(error)
    if (node := p.get("exporter")) and not without_power(client, node):
        # A node that is off has no exporter; the one of its next boot tells the truth.
        client.set_exporter(node, True)
    if problems:
        raise problems[0]


def _is_cut(client: LabClient, p: Parameters) -> Proof:
    now, standing = _look(client, p)
    on = [f"{flag} at {gateway}" for gateway, flags in p["flags"].items() for flag in flags if now[gateway][flag]]
    on += ["the alert is not silenced"] if p["comment"] and not standing else []
    if not on and (node := p.get("exporter")) and not _repeats(client, node):
        on.append(f"the exporter of {node} tells what is new")
    return seen(not on, WITNESS, f"not cut: {', '.join(on)}" if on else "all cut")


def _is_back(client: LabClient, p: Parameters) -> Proof:
    now, standing = _look(client, p)
    off = [gateway for gateway, flags in p["flags"].items() if any(now[gateway][f] != v for f, v in flags.items())]
    left = [*off, *standing]
    if not left and (node := p.get("exporter")) and not without_power(client, node) and _repeats(client, node):
        left.append(f"the exporter of {node}")
    return seen(not left, WITNESS, f"still cut: {', '.join(left)}" if left else "all given back")


def _look(client: LabClient, p: Parameters) -> tuple[dict[str, Any], list[str]]:
    """The gateways' flags, and the silences of this sabotage that have not expired."""
    flags = client.gateways("flags") if p["flags"] else {}
    if not p["comment"]:
        return flags, []
    try:
        with alertmanager_of(client) as alertmanager:
            return flags, silences(alertmanager, p["comment"])
    except httpx.HTTPError as error:
        raise LabError(f"Alertmanager: {error}") from error


def _repeats(client: LabClient, node: str) -> bool:
    """Whatever but its own time, which goes on: else the repetition would be told by an alert, and be mended."""
    first = _said(client, node)
    time.sleep(HEARTBEATS_S)
    return first is not None and first == _said(client, node)


def _said(client: LabClient, node: str) -> list[str] | None:
    answered, body = scrape(client, node)
    return [line for line in body.splitlines() if not line.startswith(CLOCK)] if answered else None


def alertmanager_of(client: LabClient) -> httpx.Client:
    """A client for the lab's own Alertmanager."""
    lab = client.lab
    return httpx.Client(base_url=f"http://{lab.alertmanager}", auth=lab.login.pair, trust_env=False, timeout=2.0)


FAULT = LabFault(
    Mechanism("flags of the gateways, a silence in Alertmanager, an exporter that repeats its metrics"),
    _bind,
    _cut,
    _give_back,
    _is_cut,
    _is_back,
    revert_by_lab=_give_settings_back,
)
