"""What the faults of the gateways' policy share: it is rolled out to all of them, and their metrics are the witness."""

from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tierdrill.lab.client import LabClient
from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.lab.lab_fault import LabFault, Parameters, State, fetch, known, seen

TIMEOUT_S = 1.0
WITNESS = "the gateways' metrics"
Changes = Callable[[Parameters], Mapping[str, Any]]


def policy_fault(mechanism: str, gauge: str, changes: Changes) -> LabFault:
    """Tiers' policy is changed in every gateway; `gauge` is what each then shows of the tier, and did not before."""

    def bind(client: LabClient, state: State, p: Parameters) -> Parameters:
        shown = _shown(client, gauge)
        if not shown:
            raise TargetError("no gateway shows which policy is in force")
        for tier in changes(p):
            known(shown[0], tier, "tier")
        return {"before": shown[0][p["tier"]]}

    def inject(client: LabClient, p: Parameters) -> object:
        return client.to_gateways("policy", changes(p))

    def revert(client: LabClient, p: Parameters) -> object:
        return client.to_gateways("policy", dict.fromkeys(changes(p)))

    def proof(client: LabClient, p: Parameters, *, changed: bool) -> Proof:
        values = [one.get(p["tier"]) for one in _shown(client, gauge)]
        told = ", ".join(f"{value:g}" for value in values if value is not None) or "none answers"
        yes = bool(values) and all((value != p["before"]) == changed for value in values)
        return seen(yes, WITNESS, f"{gauge} of {p['tier']}: {told} (before {p['before']:g})")

    return LabFault(
        Mechanism(mechanism),
        bind,
        inject,
        revert,
        lambda client, p: proof(client, p, changed=True),
        lambda client, p: proof(client, p, changed=False),
    )


def _shown(client: LabClient, gauge: str) -> list[dict[str, float]]:
    """What each gateway that answers shows, by tier."""
    found = []
    for address in client.status()["addresses"]["gateways"].values():
        try:
            status, body = fetch(address, "/metrics", TIMEOUT_S)
            families = [*text_string_to_metric_families(body.decode())] if status == 200 else []
        except (OSError, ValueError):
            continue
        samples = [sample for family in families if family.name == gauge for sample in family.samples]
        found.append({sample.labels["tier"]: sample.value for sample in samples})
    return found
