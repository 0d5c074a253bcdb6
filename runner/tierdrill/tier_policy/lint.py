"""`tiers lint`: the rules that a tier set must keep, and what breaks them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from tierdrill.documents.problems import Problem, worded
from tierdrill.tier_policy import promise_rules, running_rules
from tierdrill.tier_policy.tier_set import TierSet


@dataclass(frozen=True)
class Rule:
    """One rule: its id, its name, why it is kept, and the function that reports what breaks it."""

    id: str
    name: str
    reason: str
    check: Callable[[TierSet], None]


def _rule(number: int, check: Callable[[TierSet], None]) -> Rule:
    """A rule of the name and reason that its function has: the name's underscores as hyphens, and the docstring."""
    return Rule(f"TP{number:03}", check.__name__.replace("_", "-"), " ".join((check.__doc__ or "").split()), check)


RULES: Sequence[Rule] = (
    _rule(1, promise_rules.ranks_without_gaps),
    _rule(2, promise_rules.shed_order_is_the_reverse_of_rank),
    _rule(3, promise_rules.preempts_lower_tiers_only),
    _rule(4, promise_rules.higher_rank_promises_no_less),
    _rule(5, promise_rules.ceiling_fits_availability),
    _rule(6, promise_rules.rank_one_counts_rejections),
    _rule(7, promise_rules.waiting_and_attempts_fit_the_deadline),
    _rule(8, promise_rules.promised_times_can_be_kept),
    _rule(9, promise_rules.escalation_ends_at_a_person),
    _rule(10, promise_rules.every_tier_has_an_owner),
    _rule(11, promise_rules.somebody_may_override),
    _rule(12, promise_rules.reviews_are_not_overdue),
    _rule(13, promise_rules.nothing_is_left_to_be_decided),
    _rule(20, running_rules.every_workload_has_an_owner),
    _rule(21, running_rules.fallback_stays_near),
    _rule(22, running_rules.single_replica_has_a_fallback),
    _rule(23, running_rules.every_request_has_a_tier),
    _rule(24, running_rules.no_route_is_shadowed),
    _rule(30, running_rules.reserved_slots_survive_a_node),
    _rule(31, running_rules.rank_one_peak_survives_a_node),
    _rule(32, running_rules.region_keeps_residency),
)
"""Ids are never used again for another rule: 1 to 19 promises, 20 to 29 workloads and routes, from 30 environments."""


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that breaks a rule."""

    problem: Problem
    rule: str
    name: str

    def __str__(self) -> str:
        """`file:line:column: TP001 name: what is wrong; what is right`."""
        told = self.problem
        said = replace(told, found=f"{self.rule} {self.name}: {told.found}")
        return str(said)

    def plain(self) -> dict[str, object]:
        """As plain data."""
        told = self.problem
        return {
            "rule": self.rule,
            "name": self.name,
            "path": told.path,
            "line": told.line,
            "column": told.column,
            "message": worded(told.found, told.allowed, told.hint),
        }


def lint(sets: Iterable[TierSet], rules: Sequence[Rule] = RULES) -> list[Finding]:
    """Everything in the tier sets that breaks one of the rules, by file and line."""
    found: set[Finding] = set()
    for one in sets:
        for rule in rules:
            problems: list[Problem] = []
            rule.check(replace(one, problems=problems))
            found |= {Finding(problem, rule.id, rule.name) for problem in problems}
    return sorted(found)
