"""Workloads against their tiers: models, routes, reserved slots and fallbacks."""

from __future__ import annotations

from tierdrill.documents.check.capacity import check_times
from tierdrill.documents.check.check_context import Context
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.workloads import Route, Workloads, same_class
from tierdrill.documents.problems import either, nearest, shown
from tierdrill.documents.reading.reading_state import Place

SIZES = ("prompt_tokens", "max_tokens")


def check_workloads(context: Context) -> None:
    """Every Workloads document, and what its tiers say about models."""
    for name, document in context.catalogue.workloads.items():
        place = context.reading.place("Workloads", name)
        place.at("models").unique([model.name for model in document.models], "model", "name")
        _check_routes(place.at("routes"), document)
        if not context.known(place.at("tiers"), "Tiers", document.tiers):
            continue
        tiers = context.catalogue.tiers.get(document.tiers)
        if tiers is None:
            continue
        names = [tier.name for tier in tiers.tiers]
        for number, model in enumerate(document.models):
            place.at("models", number, "tier").known(model.tier, "tier", names)
        for number, route in enumerate(document.routes):
            place.at("routes", number, "tier").known(route.tier, "tier", names)
        _check_slots(context.reading.place("Tiers", document.tiers).at("tiers"), tiers, document)
        _check_fallbacks(context, tiers, document)
        check_times(place, tiers, document)


def _check_routes(place: Place, document: Workloads) -> None:
    models = [model.name for model in document.models]
    for number, route in enumerate(document.routes):
        if route.model is not None:
            place.at(number, "model").known(route.model, "model", models)
        for what in SIZES:
            least, most = getattr(route, f"{what}_at_least"), getattr(route, f"{what}_at_most")
            if least is not None and most is not None and least > most:
                place.at(number, f"{what}_at_least").report(
                    f"at least {least} and at most {most} tokens", "no request is both; at least is at most at most"
                )
        for earlier, other in enumerate(document.routes[:number]):
            if _covers(other, route):
                line, column = place.at(earlier).source.value_at((*place.path, earlier))
                place.at(number).report(
                    f"route {number + 1} is never reached", f"the first match decides, and {line}:{column} takes it all"
                )
                break


def _covers(first: Route, second: Route) -> bool:
    """Whether every request that the second route matches is matched by the first."""
    if first.model not in (None, second.model):
        return False
    if first.customer_class is not None and not same_class(first.customer_class, second.customer_class):
        return False
    return all(_covers_size(first, second, what) for what in SIZES)


def _covers_size(first: Route, second: Route, what: str) -> bool:
    (low, high), (its_low, its_high) = (
        (getattr(route, f"{what}_at_least") or 0, getattr(route, f"{what}_at_most")) for route in (first, second)
    )
    return low <= its_low and (high is None or (its_high is not None and its_high <= high))


def _check_slots(place: Place, tiers: Tiers, document: Workloads) -> None:
    total = sum(model.replicas * model.slots for model in document.models)
    reserved = 0
    for number, tier in sorted(enumerate(tiers.tiers), key=lambda item: item[1].rank):
        routed = {route.model for route in document.routes if route.tier == tier.name}
        mine = [model for model in document.models if model.tier == tier.name or model.name in routed or None in routed]
        capacity = sum(model.replicas * model.slots for model in mine)
        spot = place.at(number, "reserved_slots")
        if tier.reserved_slots > capacity:
            spot.report(
                f"{tier.reserved_slots} reserved slots for {tier.name}",
                f"the models it is routed to have {capacity} (Workloads {document.metadata.name})",
            )
        elif reserved + tier.reserved_slots > total:
            spot.report(
                f"{reserved + tier.reserved_slots} reserved slots down to {tier.name}",
                f"all models have {total} together",
            )
        reserved += tier.reserved_slots


def _check_fallbacks(context: Context, tiers: Tiers, document: Workloads) -> None:
    models = [model.name for model in document.models]
    place = context.reading.place("Tiers", document.tiers).at("tiers")
    for number, tier in enumerate(tiers.tiers):
        fallback = tier.fallback_model
        if fallback is not None and fallback not in models:
            place.at(number, "fallback_model").report(
                f"no model named {shown(fallback)}", f"expected {either(models)}", nearest(fallback, models)
            )
