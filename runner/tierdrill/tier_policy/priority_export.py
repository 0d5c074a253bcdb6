"""Tiers' ranks as priorities of other systems, each in its own direction. Pure.

In our documents rank 1 is the most important. In Kubernetes and in llm-d a higher number is; in llm-d one below 0 may
be shed. Envoy has two levels of routing, HIGH and DEFAULT. The Gateway API has none: its routes can only tell what
stands behind them the objective of a request.
"""

from __future__ import annotations

from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.workloads import Route, Workloads
from tierdrill.tier_policy.slo_export import Document, Exported

PLATFORM_PRIORITY = 1_000_000
PRIORITY_STEP = 1_000
"""Between the priorities of two ranks, so that something of somebody else fits between."""
OBJECTIVE_HEADER = "x-gateway-inference-objective"


def kubernetes_priority(rank: int) -> int:
    """A PriorityClass's value: higher is more important. Rank 0 is what all tiers need."""
    return PLATFORM_PRIORITY - PRIORITY_STEP * rank


def objective_priority(tiers: Tiers, rank: int) -> int:
    """An InferenceObjective's priority: higher is more important, and only what is below 0 is shed.

    So the tiers whose rejections are no failures are below 0, and all others at 0 or above.
    """
    ranked = tiers.by_rank()
    kept = [tier.rank for tier in ranked if tier.objectives.rejections_count]
    shed = [tier.rank for tier in ranked if not tier.objectives.rejections_count]
    return len(kept) - 1 - kept.index(rank) if rank in kept else -1 - shed.index(rank)


def priority_classes(tiers: Tiers, workloads: Workloads) -> Exported:
    """A PriorityClass of Kubernetes for each tier."""
    out = Exported()
    for tier in tiers.by_rank():
        out.documents.append(
            {
                "apiVersion": "scheduling.k8s.io/v1",
                "kind": "PriorityClass",
                "metadata": {"name": f"{tiers.metadata.name}-{tier.name}"},
                "value": kubernetes_priority(tier.rank),
                "globalDefault": False,
                "preemptionPolicy": "PreemptLowerPriority" if tier.may_preempt else "Never",
                "description": f"Tier {tier.name}, rank {tier.rank}, of {tier.owner}",
            }
        )
        lower = {other.name for other in tiers.tiers if other.rank > tier.rank}
        if tier.may_preempt and lower - set(tier.may_preempt):
            spared = ", ".join(sorted(lower - set(tier.may_preempt)))
            out.lost.append(f"{tier.name}: may_preempt spares {spared}; Kubernetes preempts whatever is lower")
    out.lost.append("reserved_slots: a ResourceQuota with a scope of the class fences them, not a priority")
    return out


def inference_objectives(tiers: Tiers, workloads: Workloads) -> Exported:
    """An InferenceObjective of llm-d for each tier and model that serves it."""
    out = Exported()
    for tier in tiers.by_rank():
        for model in workloads.models:
            if not workloads.serves(tier.name, model.name):
                continue
            out.documents.append(
                {
                    "apiVersion": "inference.networking.x-k8s.io/v1alpha2",
                    "kind": "InferenceObjective",
                    "metadata": {"name": _objective(tier.name, model.name)},
                    "spec": {
                        "priority": objective_priority(tiers, tier.rank),
                        "poolRef": {"group": "inference.networking.k8s.io", "name": model.name},
                    },
                }
            )
    out.lost.append(f"routes: a request names its objective itself, in the header {OBJECTIVE_HEADER}; without it: 0")
    out.lost += [f"{tier.name}: queue, reserved_slots and may_preempt" for tier in tiers.by_rank()]
    return out


def _objective(tier: str, model: str) -> str:
    return f"{tier}-{model}"


def envoy(tiers: Tiers, workloads: Workloads) -> Exported:
    """Routes of Envoy with its two priorities, and a circuit breaker for each: rank 1 is HIGH, the others DEFAULT."""
    out, routes = Exported(), []
    for number, route in enumerate(workloads.routes, start=1):
        tier = tiers.by_name(route.tier)
        match: Document = {"prefix": "/", "headers": _headers(route)}
        cluster = route.model or "any"
        priority = "HIGH" if tier.rank == 1 else "DEFAULT"
        routes.append({"match": match, "route": {"cluster": cluster, "priority": priority}})
        out.lost += _lost_conditions(number, route)
    limits = {"HIGH": 0, "DEFAULT": 0}
    for tier in tiers.by_rank():
        limits["HIGH" if tier.rank == 1 else "DEFAULT"] += tier.queue.limit
    breakers = {"thresholds": [{"priority": name, "max_pending_requests": limit} for name, limit in limits.items()]}
    clusters = [{"name": model.name, "circuit_breakers": breakers} for model in workloads.models]
    host = {"name": tiers.metadata.name, "domains": ["*"], "routes": routes}
    out.documents.append({"virtual_hosts": [host], "clusters": clusters})
    if len(tiers.tiers) > 2:
        below = ", ".join(tier.name for tier in tiers.by_rank()[1:])
        out.lost.append(f"ranks: Envoy has two priorities; {below} are all DEFAULT")
    out.lost.append("reserved_slots, may_preempt, shed_order: a priority of Envoy is a circuit breaker of its own only")
    return out


def gateway_api(tiers: Tiers, workloads: Workloads) -> Exported:
    """An HTTPRoute for each model, which tells the pool behind it the objective of each request."""
    out = Exported()
    for model in workloads.models:
        rules = []
        for number, route in enumerate(workloads.routes, start=1):
            if route.model not in (None, model.name):
                continue
            told = [{"name": OBJECTIVE_HEADER, "value": _objective(route.tier, model.name)}]
            headers = [{"type": "Exact", **_plain(header)} for header in _headers(route, with_model=False)]
            headers.insert(0, {"type": "Exact", "name": "x-model", "value": model.name})
            rules.append(
                {
                    "matches": [{"headers": headers}],
                    "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": told}}],
                    "backendRefs": [
                        {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": model.name}
                    ],
                }
            )
            out.lost += _lost_conditions(number, route)
        head = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": model.name}}
        out.documents.append({**head, "spec": {"parentRefs": [{"name": tiers.metadata.name}], "rules": rules}})
    out.lost = list(dict.fromkeys(out.lost))
    out.lost.append("order: with the Gateway API the route with most conditions decides, not the first")
    return out


def _headers(route: Route, *, with_model: bool = True) -> list[Document]:
    asked = {"x-customer-class": route.customer_class, "x-customer-region": route.region}
    if with_model:
        asked = {"x-model": route.model, **asked}
    return [{"name": name, "string_match": {"exact": value}} for name, value in asked.items() if value is not None]


def _plain(header: Document) -> Document:
    return {"name": header["name"], "value": header["string_match"]["exact"]}


def _lost_conditions(number: int, route: Route) -> list[str]:
    kept = ("model", "customer_class", "region", "tier")
    told = route.model_dump(exclude_none=True)
    return [f"route {number}: {name}: {value}" for name, value in told.items() if name not in kept]
