"""Which checks of a verdict need more from a platform than the status and the time of an answer."""

from __future__ import annotations

from collections.abc import Iterable

from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.tiers import Objectives, Tier

OBJECTIVE_NEEDS = {
    "queue_wait": ("queue_wait",),
    "integrity": ("answers",),
    "fallback": ("model",),
    "retries": ("attempts",),
}
INVARIANT_NEEDS = {
    "tier-order": ("rejections",),
    "refusal-order": ("rejections", "model"),
    "rejections-cheap": ("rejections",),
    "rejections-labelled": ("rejection_reasons",),
}
SAYS = {
    "queue_wait": "load.response_headers.queue_wait_ms",
    "model": "load.response_headers.model",
    "answers": "load.answers: golden",
    "attempts": "load.response_headers.attempts",
    "rejections": "load.rejected",
    "rejection_reasons": "load.rejected with a header",
}


def not_measured(environment: Environment, group: str, name: str) -> str:
    """Why a check ("slo" or "invariant", and its name without the tier) has nothing to go by here; "" where it has."""
    if group == "slo":
        return missing(environment, OBJECTIVE_NEEDS.get(name.partition("-p")[0], ()))
    return missing(environment, INVARIANT_NEEDS.get(name, ()) if group == "invariant" else ())


def measurable(environment: Environment, tier: Tier) -> Tier:
    """The tier with those of its objectives that are measured here."""
    names = [name for name in OBJECTIVE_NEEDS if not_measured(environment, "slo", name)]
    blind: dict[str, object] = dict.fromkeys(Objectives.model_fields.keys() & names)
    if "queue_wait" in blind:
        blind["queue_wait"] = {}
    return tier.model_copy(update={"objectives": tier.objectives.model_copy(update=blind)}) if blind else tier


def missing(environment: Environment, needs: Iterable[str]) -> str:
    """What the environment's document would have to say; "" where it says it."""
    lacking = [SAYS[need] for need in needs if need not in environment.signals]
    return f"environment {environment.metadata.name} has no {' and no '.join(lacking)}" if lacking else ""
