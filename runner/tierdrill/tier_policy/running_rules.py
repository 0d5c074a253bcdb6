"""Rules of tiers together with workloads and environments. A rule's docstring is its reason."""

from __future__ import annotations

from tierdrill.documents.check.environments import check_region
from tierdrill.documents.check.tiers import check_routes
from tierdrill.tier_policy.capacity_plan import peak_demand, size_of
from tierdrill.tier_policy.tier_set import TierSet


def every_workload_has_an_owner(tiers: TierSet) -> None:
    """A model that nobody owns is moved, shed and repaired by nobody."""
    for document, place in tiers.workloads:
        if not document.metadata.owner.strip():
            place.at("metadata").report(f"workloads {document.metadata.name} have no owner", "metadata.owner says who")


def fallback_stays_near(tiers: TierSet) -> None:
    """A fallback model of a much lower tier is shed and preempted just when it is needed: one tier below at most,
    unless fallback_lowest_tier allows more.
    """
    rank_of = {tier.name: tier.rank for tier, _ in tiers.by_tier}
    for tier, place in tiers.by_tier:
        model = tiers.model(tier.fallback_model) if tier.fallback_model is not None else None
        if model is None or model.tier not in rank_of:
            continue
        lowest = rank_of.get(tier.fallback_lowest_tier or "", tier.rank + 1)
        if rank_of[model.tier] > lowest:
            place.at("fallback_model").report(
                f"{tier.name} falls back on {model.name} of {model.tier} (rank {rank_of[model.tier]})",
                f"a model of rank {lowest} or above, or fallback_lowest_tier: {model.tier}",
            )


def single_replica_has_a_fallback(tiers: TierSet) -> None:
    """While the only replica of a model is lost, rank 1 is served by a fallback model or not at all."""
    top = tiers.tiers.by_rank()[0]
    for document, place in tiers.workloads:
        for number, model in enumerate(document.models):
            if model.tier == top.name and model.replicas < 2 and top.fallback_model in (None, model.name):
                place.at("models", number).report(
                    f"{model.name} of {top.name} has one replica", f"two, or a fallback_model for {top.name}"
                )


def every_request_has_a_tier(tiers: TierSet) -> None:
    """A request that no route matches is served as the least important tier, without anybody having decided so."""
    for document, place in tiers.workloads:
        for number, model in enumerate(document.models):
            if not any(route.takes_all(model.name) for route in document.routes):
                place.at("models", number).report(
                    f"requests to {model.name} that no route matches", "a last route for it without other conditions"
                )


def no_route_is_shadowed(tiers: TierSet) -> None:
    """The first route that matches decides: one that an earlier takes all from is never used, whatever it says."""
    for document, place in tiers.workloads:
        check_routes(place.at("routes"), document)


def reserved_slots_survive_a_node(tiers: TierSet) -> None:
    """What is reserved must be there when a node is lost, which is when it is needed."""
    for environment, workloads, place in tiers.settings():
        size = size_of(environment)
        for model in workloads.models:
            if not size.nodes or model.replicas < 2:
                continue
            reserving = [tier for tier, _ in tiers.by_tier if workloads.serves(tier.name, model.name)]
            reserved = sum(tier.reserved_slots for tier in reserving) * size.gateways
            left = size.slots(model, nodes_lost=1)
            if reserved > left:
                place.report(
                    f"{reserved} slots of {model.name} are reserved in {size.gateways} gateways",
                    f"{left} are left of it with {size.nodes - 1} of {size.nodes} nodes",
                )


def rank_one_peak_survives_a_node(tiers: TierSet) -> None:
    """The most important tier's load at peak must fit into what is left with one node lost (N+1)."""
    top = tiers.tiers.by_rank()[0]
    for environment, workloads, place in tiers.settings():
        size = size_of(environment)
        demand = peak_demand(tiers.drills_in(environment.metadata.name), workloads)
        for model in workloads.models:
            busy, left = demand.get((top.name, model.name), 0.0), size.slots(model, nodes_lost=1)
            if size.nodes and model.replicas > 1 and busy > left:
                place.report(
                    f"{top.name} keeps {busy:.1f} slots of {model.name} busy at peak",
                    f"{left} are left of it with {size.nodes - 1} of {size.nodes} nodes",
                )


def region_keeps_residency(tiers: TierSet) -> None:
    """Data that must stay in a region may not be served elsewhere, whatever is promised besides."""
    for environment, place in tiers.environments:
        check_region(place.at("region"), environment, tiers.tiers)
