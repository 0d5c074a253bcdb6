"""Tiers among themselves: ranks, shedding order and preemption, and promises that can be kept and proven."""

from collections.abc import Sequence
from itertools import pairwise

from tierdrill.did_you_mean import nearest
from tierdrill.documents.check.capacity import check_times
from tierdrill.documents.check.check_context import Context
from tierdrill.documents.models.tiers import QUANTILE_OBJECTIVES, Objectives, Tier, Tiers, quantile_share
from tierdrill.documents.models.units import show_duration
from tierdrill.documents.models.workloads import Route, Workloads
from tierdrill.documents.problems import shown
from tierdrill.documents.reading.reading_state import Place
from tierdrill.documents.request_rules import same_word
from tierdrill.text import either, listed


def check_tiers(context: Context) -> None:
    for name, document in context.catalogue.tiers.items():
        place = context.reading.place("Tiers", name).at("tiers")
        place.unique([tier.name for tier in document.tiers], "tier", "name")
        _check_order(place, document.tiers)
        for number, tier in enumerate(document.tiers):
            _check_tier(place.at(number), tier, document)


def _check_order(place: Place, tiers: Sequence[Tier]) -> None:
    for name in ("rank", "shed_order"):
        first: dict[int, str] = {}
        for number, tier in enumerate(tiers):
            value = getattr(tier, name)
            if value in first:
                place.at(number, name).report(
                    f"{name} {value} of {first[value]} again", f"each tier has its own {name}"
                )
            first.setdefault(value, tier.name)
    ranked = sorted(enumerate(tiers), key=lambda item: item[1].rank)
    for (_, upper), (number, lower) in pairwise(ranked):
        if upper.rank < lower.rank and upper.shed_order < lower.shed_order:
            place.at(number, "shed_order").report(
                f"{upper.name} (rank {upper.rank}) would be shed before {lower.name} (rank {lower.rank})",
                "shed_order 1 is shed first, and a less important tier before a more important one",
            )


def _check_tier(place: Place, tier: Tier, document: Tiers) -> None:
    for name in ("owner", "rationale"):
        if not getattr(tier, name).strip():
            place.at(name).report(f"nothing for {name}", f"a tier has its {name}")
    by_name = {other.name: other for other in document.tiers}
    for number, name in enumerate(tier.may_preempt):
        spot = place.at("may_preempt", number)
        if spot.known(name, "tier", by_name) and by_name[name].rank <= tier.rank:
            lower = [other.name for other in document.tiers if other.rank > tier.rank]
            spot.report(
                f"{tier.name} (rank {tier.rank}) may preempt {name} (rank {by_name[name].rank})",
                f"only a less important tier may be preempted: {listed(lower)}",
            )
    if tier.attempt_timeout > tier.deadline:
        place.at("attempt_timeout").report(
            f"attempt_timeout {show_duration(tier.attempt_timeout)} beyond the deadline",
            f"at most the deadline, {show_duration(tier.deadline)}",
        )
    elif tier.retry_budget.attempts * tier.attempt_timeout > tier.deadline:
        place.at("attempt_timeout").report(
            f"{tier.retry_budget.attempts} attempts of {show_duration(tier.attempt_timeout)} beyond the deadline",
            f"together at most the deadline, {show_duration(tier.deadline)}: the last could never be made",
        )
    if tier.queue.wait > tier.deadline:
        place.at("queue", "wait").report(
            f"a queue wait of {show_duration(tier.queue.wait)} beyond the deadline",
            f"at most the deadline, {show_duration(tier.deadline)}",
        )
    for name in ("deadline", "attempt_timeout"):
        if getattr(tier, name) <= 0:
            place.at(name).report(f"{name} of no time", "a time above 0")
    if tier.fallback_model is not None and tier.objectives.fallback_at_most is None:
        place.at("fallback_model").report(
            f"{tier.name} falls back on {tier.fallback_model} without a limit",
            "objectives.fallback_at_most says which share of the answers may come from it, such as 5%",
        )
    if tier.fallback_lowest_tier is not None:
        place.at("fallback_lowest_tier").known(tier.fallback_lowest_tier, "tier", by_name)
    for number, level in enumerate(tier.escalation):
        if not level.contact.strip():
            place.at("escalation", number, "contact").report("nothing for contact", "whom to page")
    _check_objectives(place.at("objectives"), tier.objectives)


def _check_objectives(place: Place, objectives: Objectives) -> None:
    if objectives.availability == 1.0:
        place.at("availability").report("availability 100%", "no number of requests proves it; below 100%", "99.99%")
    if objectives.error_ceiling == 0.0:
        place.at("error_ceiling").report("error_ceiling 0%", "no number of requests proves it; above 0%", "0.01%")
    for name in QUANTILE_OBJECTIVES:
        limits = sorted(getattr(objectives, name).items(), key=lambda item: quantile_share(item[0]))
        for quantile, limit in limits:
            if limit <= 0:
                place.at(name, quantile).report(f"{quantile} of no time", "a time above 0")
        for (lower, low), (upper, high) in pairwise(limits):
            if high < low:
                place.at(name, upper).report(
                    f"{upper} of {show_duration(high)} below {lower} of {show_duration(low)}",
                    "a higher quantile is never lower",
                )
    for name in ("time_to_detect", "time_to_mitigate", "time_to_recover", "mttr"):
        if getattr(objectives, name) == 0:
            place.at(name).report(f"{name} of no time", "a time above 0")
    if objectives.mttr is not None and objectives.time_to_mitigate is not None:
        place.at("mttr").report("mttr beside time_to_mitigate", "mttr is its older name: one of them", key=True)
    if objectives.worst_window is not None and objectives.worst_window.lasts <= 0:
        place.at("worst_window", "lasts").report("a window of no time", "a time above 0")


SIZES = {"prompt_tokens": " tokens", "max_tokens": " tokens", "transaction": ""}


def check_workloads(context: Context) -> None:
    """Every Workloads document, and what its tiers say about models."""
    for name, document in context.catalogue.workloads.items():
        place = context.reading.place("Workloads", name)
        place.at("models").unique([model.name for model in document.models], "model", "name")
        check_routes(place.at("routes"), document)
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


def check_routes(place: Place, document: Workloads) -> None:
    """Routes to models that are not there, of no size, or that are never reached; `place` is the routes'."""
    models = [model.name for model in document.models]
    for number, route in enumerate(document.routes):
        if route.model is not None:
            place.at(number, "model").known(route.model, "model", models)
        for what, unit in SIZES.items():
            least, most = getattr(route, f"{what}_at_least"), getattr(route, f"{what}_at_most")
            if least is not None and most is not None and least > most:
                place.at(number, f"{what}_at_least").report(
                    f"at least {least} and at most {most}{unit}", "no request is both; at least is at most at most"
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
    for name in ("customer_class", "region", "hours"):
        asked = getattr(first, name)
        if asked is not None and not same_word(asked, getattr(second, name)):
            return False
    return all(_covers_size(first, second, what) for what in SIZES)


def _covers_size(first: Route, second: Route, what: str) -> bool:
    (low, high), (its_low, its_high) = (
        (getattr(route, f"{what}_at_least") or 0, getattr(route, f"{what}_at_most")) for route in (first, second)
    )
    return low <= its_low and (high is None or (its_high is not None and its_high <= high))


def check_tier_tests(context: Context) -> None:
    """The workloads that each TierTests document is about, and the tiers that its cases expect."""
    for name, document in context.catalogue.tier_tests.items():
        place = context.reading.place("TierTests", name)
        place.at("cases").unique([case.name for case in document.cases], "case", "name")
        if not context.known(place.at("workloads"), "Workloads", document.workloads):
            continue
        workloads = context.catalogue.workloads.get(document.workloads)
        tiers = context.catalogue.tiers.get(workloads.tiers) if workloads is not None else None
        for number, case in enumerate(document.cases):
            if tiers is not None and case.tier is not None:
                place.at("cases", number, "tier").known(case.tier, "tier", [tier.name for tier in tiers.tiers])


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
