"""Who decides about a tier: rights, reviews, approvals and maintenance, and whether others keep to them."""

from collections.abc import Sequence

from tierdrill.documents.check.check_context import Context
from tierdrill.documents.models.playbook import Playbook
from tierdrill.documents.models.tiers import Tier, Tiers
from tierdrill.documents.reading.reading_state import Place
from tierdrill.text import listed


def check_decisions(context: Context) -> None:
    for name, document in context.catalogue.tiers.items():
        place = context.reading.place("Tiers", name)
        for number, tier in enumerate(document.tiers):
            _check_tier(place.at("tiers", number), tier)
        _check_approvals(place.at("approvals"), document)
        _check_maintenance(place.at("maintenance"), document)
    _check_scaling(context)
    for name, playbook in context.catalogue.playbooks.items():
        _check_failover(context, context.reading.place("Playbook", name), playbook)


def _check_tier(place: Place, tier: Tier) -> None:
    if tier.override_by and tier.rights.override:
        place.at("override_by").report(
            "override_by beside rights.override", "it is its older name: one of them", key=True
        )
    for right, roles in tier.rights:
        for number, role in enumerate(roles):
            if not role.strip():
                place.at("rights", right, number).report("nothing for a role", "who has the right")
    if tier.review_every is not None and tier.reviewed is None:
        place.at("review_every").report(
            "review_every without reviewed", "reviewed is the day of the last review", key=True
        )
    if tier.review_every is not None and tier.review_every <= 0:
        place.at("review_every").report("review_every of no time", "a time above 0")


def _check_approvals(place: Place, document: Tiers) -> None:
    for number, approval in enumerate(document.approvals):
        spot = place.at(number)
        if not approval.reason.strip():
            spot.at("reason").report("nothing for reason", "why the change was approved")
        for at, name in enumerate(approval.fields):
            spot.at("fields", at).known(name.partition(".")[0], "field of a tier", Tier.model_fields)
        if spot.at("tier").known(approval.tier, "tier", [tier.name for tier in document.tiers]):
            tier = document.by_name(approval.tier)
            _has_right(spot.at("by"), approval.by, tier, "approve_change", tier.rights.approve_change)


def _check_maintenance(place: Place, document: Tiers) -> None:
    names = [tier.name for tier in document.tiers]
    for number, one in enumerate(document.maintenance):
        spot = place.at(number)
        if not one.reason.strip():
            spot.at("reason").report("nothing for reason", "what is done in the maintenance")
        if one.span[0] >= one.span[1]:
            spot.at("end").report(f"an end of {one.end} for a start of {one.start}", "the end is after the start")
        for at, name in enumerate(one.tiers):
            spot.at("tiers", at).known(name, "tier", names)
        for tier in document.tiers:
            if one.covers(tier.name):
                _has_right(
                    spot.at("declared_by"),
                    one.declared_by,
                    tier,
                    "declare_maintenance",
                    tier.rights.declare_maintenance,
                )


def _check_scaling(context: Context) -> None:
    """Workloads say how many replicas serve a tier, so their owner needs the right to."""
    for name, document in context.catalogue.workloads.items():
        tiers = context.catalogue.tiers.get(document.tiers)
        served = {model.tier for model in document.models}
        for tier in tiers.tiers if tiers else ():
            if tier.name in served:
                spot = context.reading.place("Workloads", name).at("metadata")
                _has_right(spot, document.metadata.owner, tier, "scale", tier.rights.scale)


def _check_failover(context: Context, place: Place, playbook: Playbook) -> None:
    """A playbook that moves a tier's replicas by name acts for its owner."""
    for number, step in enumerate(playbook.steps):
        named = step.arguments.get("tiers")
        for at, name in enumerate(named if isinstance(named, list | tuple) else ()):
            for document in context.catalogue.tiers.values():
                tier = next((one for one in document.tiers if one.name == name), None)
                if tier is not None:
                    spot = place.at("steps", number, "arguments", "tiers", at)
                    _has_right(spot, playbook.metadata.owner, tier, "fail_over", tier.rights.fail_over)


def _has_right(place: Place, role: str, tier: Tier, right: str, roles: Sequence[str]) -> None:
    if roles and role not in roles:
        place.report(f"{role or 'nobody'} has no right to {right} {tier.name}", f"its rights.{right}: {listed(roles)}")
