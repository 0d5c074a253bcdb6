"""What a playbook asks of the deployment and does to it, where it says so outright: are the names there, do values fit?

What an alert fills in (`${labels.node}`) is known only when it fires.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from tierdrill.documents.check.check_context import Context
from tierdrill.documents.models.playbook import Action, Condition
from tierdrill.documents.models.protections import ALL_FLAGS
from tierdrill.documents.problems import listed, nearest, shown
from tierdrill.documents.reading.reading_state import Place

YES_OR_NO, A_SHARE, A_NUMBER = "true or false", "a share from 0 to 1", "a number, 0 or more"


@dataclass(frozen=True)
class Fact:
    """What a fact is about ("" where it has no subject, or any), and its values: a kind of value, or the words."""

    subject: str
    values: str | tuple[str, ...]


FACTS: dict[str, Fact] = {
    "node.ready": Fact("node", YES_OR_NO),
    "node.cordoned": Fact("node", YES_OR_NO),
    "replica.ready": Fact("replica", YES_OR_NO),
    "replica.state": Fact(
        "replica", ("ready", "starting", "unresponsive", "exited", "stopped", "unknown", "unplaced")
    ),
    "replica.answers": Fact("replica", ("right", "wrong", "unknown")),
    "gpu.state": Fact("gpu", ("healthy", "lost", "fallen_off_bus", "ecc_uncorrectable", "unknown")),
    "gpu.weight": Fact("gpu", A_NUMBER),
    "tier.ready_share": Fact("tier", A_SHARE),
    "tier.shed": Fact("tier", A_SHARE),
    "link.weight": Fact("link", A_NUMBER),
    "alert.firing": Fact("alert", YES_OR_NO),
    "nodes.ready_share": Fact("", A_SHARE),
    "tier.unplaced": Fact("tier", A_NUMBER),
    "gateway.router": Fact("gateway", ("picking", "fails-closed", "fails-open", "down")),
    "gateway.serves": Fact("gateway", YES_OR_NO),
    "exporter.lost": Fact("", YES_OR_NO),
}
WITHOUT_SUBJECT = ("nodes.ready_share",)
# Arguments of the remedies, by what they name or are.
NAMES = {"node": "node", "replica": "replica", "gateway": "gateway", "tier": "tier", "tiers": "tier", "models": "model"}
VALUES = {"fraction": A_SHARE, "weight": A_NUMBER, "value": YES_OR_NO}


def names_of(context: Context, kind: str) -> Collection[str] | None:
    """All names of a kind in the catalogue's labs; None where not all are known, as those of a cluster are not."""
    catalogue = context.catalogue
    if kind == "alert":
        return context.alerts
    if kind == "model":
        return {model.name for document in catalogue.workloads.values() for model in document.models} or None
    if kind == "tier":
        return {tier.name for document in catalogue.tiers.values() for tier in document.tiers} or None
    inventories = [context.inventory_of(environment) for environment in catalogue.environments.values()]
    found: set[str] = set()
    for inventory in inventories:
        if inventory is None:
            return None
        found |= set(inventory.of_kind(kind))
    return found or None


def check_condition_values(context: Context, place: Place, condition: Condition) -> None:
    """The subject of a known fact, if it is written out, and whether what it is compared with is one of its values."""
    fact = FACTS[condition.fact]
    subject = condition.subject.partition("{")[0].strip() if fact.subject == "alert" else condition.subject
    if subject and "${" not in subject and fact.subject:
        names = names_of(context, fact.subject)
        if names is not None:
            place.at("subject").known(subject, fact.subject, names)
    if condition.equals is not None:
        _check_value(place.at("equals"), f"fact {condition.fact}", condition.equals, fact.values)
    for name in ("at_least", "at_most"):
        bound = getattr(condition, name)
        if bound is None:
            continue
        if fact.values in (A_SHARE, A_NUMBER):
            _check_value(place.at(name), f"fact {condition.fact}", bound, fact.values)
        else:
            place.at(name).report(f"{name} for fact {condition.fact}", "it is no number: equals compares it", key=True)


def check_argument_values(context: Context, place: Place, action: Action) -> None:
    """Arguments that are written out: names that are there, flags, and numbers in their range."""
    for name, written in action.arguments.items():
        spot = place.at("arguments", name)
        if name == "flag" and not (isinstance(written, str) and "${" in written):
            spot.known(str(written), "flag", ALL_FLAGS)
        elif name in VALUES:
            _check_value(spot, name, written, VALUES[name])
        elif name in NAMES:
            _check_names(context, spot, NAMES[name], written)


def _check_names(context: Context, place: Place, kind: str, written: Any) -> None:
    names = names_of(context, kind)
    listing = isinstance(written, list)
    for number, one in enumerate(written if listing else [written]):
        spot = place.at(number) if listing else place
        if not isinstance(one, str):
            spot.report(f"found {shown(one)}", f"the name of a {kind}")
        elif names is not None and "${" not in one:
            spot.known(one, kind, names)


def _check_value(place: Place, what: str, written: Any, values: str | tuple[str, ...]) -> None:
    if isinstance(written, str) and "${" in written:
        return
    if isinstance(values, tuple):
        if written not in values:
            place.report(f"found {shown(written)} for {what}", f"allowed: {listed(values)}", nearest(written, values))
        return
    number = isinstance(written, int | float) and not isinstance(written, bool)
    fits = {
        YES_OR_NO: isinstance(written, bool),
        A_SHARE: number and 0 <= written <= 1,
        A_NUMBER: number and written >= 0,
    }
    if not fits[values]:
        place.report(f"found {shown(written)} for {what}", f"allowed is {values}")
