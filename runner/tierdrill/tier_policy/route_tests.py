"""`tiers test`: what the routing and admission rules make of requests, and which rules no case reaches. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from tierdrill.documents.models.tier_tests import TierTests
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.workloads import Route, Workloads
from tierdrill.documents.request_rules import (
    MINUTES,
    RequestFacts,
    first_match,
    may_not_be_served,
    minutes_of,
    too_long,
)


@dataclass(frozen=True)
class Decision:
    """What becomes of a request: its tier and the number of the rule that gave it (None: no rule matched, and the last
    tier serves it), or why it is refused.
    """

    tier: str | None = None
    route: int | None = None
    refused: str | None = None

    def __str__(self) -> str:
        if self.refused is not None:
            return f"refused: {self.refused}"
        return f"{self.tier} by {'no route' if self.route is None else f'route {self.route + 1}'}"


def decide(tiers: Tiers, workloads: Workloads, request: RequestFacts) -> Decision:
    """By the same rules as the gateways and replicas: the tier of a request, or why no load is low enough for it."""
    model = workloads.model(request.model)
    if model is None:
        return Decision(refused="no-such-model")
    route = first_match(workloads.routes, request)
    tier = tiers.by_rank()[-1] if route is None else tiers.by_name(workloads.routes[route].tier)
    if may_not_be_served(tier.data_residency, request.region):
        return Decision(route=route, refused="residency")
    if too_long(request.prompt_tokens, 0, model.prompt_tokens_at_most, model.max_tokens_at_most):
        return Decision(route=route, refused="prompt-too-long")
    if too_long(0, request.max_tokens, model.prompt_tokens_at_most, model.max_tokens_at_most):
        return Decision(route=route, refused="answer-too-long")
    return Decision(tier.name, route)


@dataclass(frozen=True)
class CaseResult:
    """A case of the table and what became of it."""

    name: str
    expected: str
    got: Decision
    ok: bool


@dataclass(frozen=True)
class TableOutcome:
    """A whole table's: each case, the routes that no case reaches (numbers from 0), and what holds of no table."""

    results: tuple[CaseResult, ...]
    unreached: tuple[int, ...]
    coverage: float
    shadowed: tuple[int, ...]
    without_tier: tuple[str, ...]
    enough: bool

    @property
    def ok(self) -> bool:
        """Whether every case got what it expects, enough rules were reached, and both properties hold."""
        return all(one.ok for one in self.results) and self.enough and not self.shadowed and not self.without_tier


def run_table(tests: TierTests, tiers: Tiers, workloads: Workloads) -> TableOutcome:
    """Every case of a table against the rules; then the properties, on requests made from the rules' own limits."""
    results, reached = [], set()
    for case in tests.cases:
        got = decide(tiers, workloads, case.request)
        ok = got.refused == case.refused if case.refused is not None else got.tier == case.tier
        expected = f"refused: {case.refused}" if case.refused is not None else str(case.tier)
        results.append(CaseResult(case.name, expected, got, ok))
        if got.route is not None:
            reached.add(got.route)
    count = len(workloads.routes)
    tried = {(request.model, first_match(workloads.routes, request)) for request in probes(workloads)}
    used = {route for _, route in tried}
    coverage = len(reached) / count
    return TableOutcome(
        results=tuple(results),
        unreached=tuple(number for number in range(count) if number not in reached),
        coverage=coverage,
        shadowed=tuple(number for number in range(count) if number not in used),
        without_tier=tuple(sorted({model for model, route in tried if route is None})),
        enough=coverage >= tests.coverage - 1e-9,
    )


def probes(workloads: Workloads) -> Iterator[RequestFacts]:
    """Requests for which the rules can differ: of each rule every mix of values at its own limits and just beyond
    those of the rules before it. A rule that none of them reaches, none reaches.
    """
    for model in workloads.models:
        rules = [rule for rule in workloads.routes if rule.model in (None, model.name)]
        regions = {None, "elsewhere", *(rule.region for rule in rules)}
        classes = {None, "nobody", *(rule.customer_class for rule in rules)}
        minutes = sorted({0, *_edges(rules)}) if any(rule.hours for rule in rules) else [None]
        prompts = _sizes(rules, "prompt_tokens", model.prompt_tokens_at_most)
        answers = _sizes(rules, "max_tokens", model.max_tokens_at_most)
        values: set[float | None] = {None}
        for rule in rules:
            for bound, step in ((rule.transaction_at_least, -0.01), (rule.transaction_at_most, 0.01)):
                values |= {bound, bound + step} if bound is not None else set()
        for mix in product(classes, prompts, answers, regions, values, minutes):
            yield RequestFacts(model.name, *mix)


def _edges(rules: list[Route]) -> set[int]:
    edges = {edge for rule in rules if rule.hours is not None for edge in minutes_of(rule.hours)}
    return edges | {(edge - 1) % MINUTES for edge in edges}


def _sizes(rules: list[Route], what: str, most: int) -> list[int]:
    """Token counts at which a rule begins or ceases to match, within what the model takes."""
    sizes = {1, most}
    for rule in rules:
        for bound, step in ((getattr(rule, f"{what}_at_least"), -1), (getattr(rule, f"{what}_at_most"), 1)):
            sizes |= {bound, bound + step} if bound is not None else set()
    return sorted(size for size in sizes if 1 <= size <= most)
