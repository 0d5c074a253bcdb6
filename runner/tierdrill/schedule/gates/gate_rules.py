"""The gates: whether a drill may start now. Pure decisions over facts that others have gathered, in a fixed order.

Kill switch; blackout and window; lock on the environment; error budget of every tier the drill touches; nothing firing
or silenced; dependencies healthy; staged rollout. The first that is shut holds the drill; those after it are not asked.
Each result carries its reason, also of the gates that are open: a held drill is an event, and so is a drill that went.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tierdrill.documents.models.tiers import Maintenance
from tierdrill.documents.models.units import show_ratio
from tierdrill.history.switch_file import Halt
from tierdrill.text import listed, visible

Verdict = Literal["open", "held", "not asked"]

GATES = ("kill-switch", "window", "lock", "budget", "alerts", "dependencies", "rollout")


@dataclass(frozen=True)
class GateResult:
    """What one gate said, and why. `about` is what a program wants to know of it: the rollout's stage."""

    gate: str
    verdict: Verdict
    reason: str
    about: str = ""

    def __post_init__(self) -> None:
        """Alerts, silences and halts are written by others: a reason is one line, and nothing in it acts."""
        object.__setattr__(self, "reason", visible(self.reason))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class BudgetFact:
    """What is left of one tier's error budget. `left` is None where nobody knows; `source` says who was asked.

    `left` is a share of the whole budget: 1 is untouched, 0 or less is spent.
    """

    tier: str
    left: float | None
    source: str
    seen: str = ""


@dataclass(frozen=True)
class AlertFacts:
    """Alerts that fire and silences in force, as the environment's Alertmanager has them.

    `source` is empty where there is none to ask (a lab of the run's own); `unknown` says why there was no answer.
    """

    firing: tuple[str, ...] = ()
    silenced: tuple[str, ...] = ()
    source: str = ""
    unknown: str = ""


@dataclass(frozen=True)
class DependencyFact:
    """One dependency: healthy, not, or (None) not asked because something that it needs is not."""

    name: str
    healthy: bool | None
    seen: str
    needs: tuple[str, ...] = ()


def kill_switch(halt: Halt | None) -> GateResult:
    """Shut while somebody has thrown the kill switch."""
    if halt is None:
        return GateResult("kill-switch", "open", "off")
    return GateResult("kill-switch", "held", f"on, by {halt.author}: {halt.reason}")


def window(rule: str | None) -> GateResult:
    """Shut where a blackout or a window of the calendar, or a maintenance, holds the slot; `rule` says which."""
    return GateResult("window", "held", rule) if rule else GateResult("window", "open", "no blackout, in every window")


def maintained(declared: Sequence[Maintenance], now: float) -> str | None:
    """The maintenance that goes on, as a rule that holds drills."""
    return next((str(one) for one in declared if one.goes_on(now)), None)


def lock(environment: str, holder: str | None) -> GateResult:
    """Shut while another drill is in the environment; `holder` says which, and whose."""
    if holder is None:
        return GateResult("lock", "open", f"environment {environment} is free")
    return GateResult("lock", "held", f"environment {environment} is in use: {holder}")


def budget(facts: Sequence[BudgetFact], without_data: Literal["held", "open"]) -> GateResult:
    """Shut where a tier that the drill touches has spent its error budget, or (as the document says) nobody knows."""
    spent = [fact for fact in facts if fact.left is not None and fact.left <= 0]
    unknown = [fact for fact in facts if fact.left is None]
    if spent:
        return GateResult("budget", "held", f"spent: {_told(spent)}")
    if unknown:
        who = _told(unknown)
        rule = f"the environment says `gates.without_data: {without_data}`"
        return GateResult("budget", without_data, f"not known: {who}; {rule}")
    if not facts:
        return GateResult("budget", "open", "the drill touches no tier that promises availability")
    return GateResult("budget", "open", _told(facts))


def _told(facts: Sequence[BudgetFact]) -> str:
    """Tiers of which the same is known are told together."""
    alike: dict[tuple[float | None, str, str], list[str]] = {}
    for fact in facts:
        alike.setdefault((fact.left, fact.seen, fact.source), []).append(fact.tier)
    told = []
    for (left, seen, source), tiers in alike.items():
        verb = "has" if len(tiers) == 1 else "have"
        share = "" if left is None else f" {verb} {show_ratio(round(max(left, 0.0), 4))} left"
        told.append(f"{listed(tiers)}{share} ({f'{seen}, ' if seen else ''}{source})")
    return "; ".join(told)


def alerts(facts: AlertFacts, without_data: Literal["held", "open"]) -> GateResult:
    """Shut while an alert fires or a silence is in force: a drill would be judged by, or hidden among, something else.
    """
    if facts.unknown:
        rule = f"the environment says `gates.without_data: {without_data}`"
        return GateResult("alerts", without_data, f"not known: {facts.unknown}; {rule}")
    if not facts.source:
        return GateResult("alerts", "open", "nothing to check: the drill starts its own lab")
    if facts.firing:
        return GateResult("alerts", "held", f"firing: {listed(facts.firing)} ({facts.source})")
    if facts.silenced:
        return GateResult("alerts", "held", f"silenced: {listed(facts.silenced)} ({facts.source})")
    return GateResult("alerts", "open", f"no alerts firing or silenced ({facts.source})")


def dependencies(facts: Sequence[DependencyFact]) -> GateResult:
    """Shut where something that the environment depends on is not healthy. The reason names the root causes."""
    roots = [fact for fact in facts if fact.healthy is False]
    behind = [fact.name for fact in facts if fact.healthy is None]
    if roots:
        cause = listed(f"{fact.name} ({fact.seen})" for fact in roots)
        tail = f"; behind {'it' if len(roots) == 1 else 'them'}: {listed(behind)}" if behind else ""
        return GateResult("dependencies", "held", f"not healthy: {cause}{tail}")
    if not facts:
        return GateResult("dependencies", "open", "the environment has none")
    return GateResult("dependencies", "open", f"healthy: {listed(fact.name for fact in facts)}")


def rollout(stage: str, hold: str | None) -> GateResult:
    """Shut where the staged rollout lets the drill not start; otherwise the stage that it runs at."""
    if hold:
        return GateResult("rollout", "held", hold, stage)
    return GateResult("rollout", "open", f"at stage {stage}" if stage else "no rollout", stage)


def held_by(results: Sequence[GateResult]) -> GateResult | None:
    return next((result for result in results if result.verdict == "held"), None)


def complete(results: Sequence[GateResult]) -> tuple[GateResult, ...]:
    """All gates in order: those after the one that holds were not asked."""
    given = {result.gate: result for result in results}
    stopper = held_by(results)
    why = f"held by {stopper.gate}" if stopper else "not reached"
    return tuple(given.get(gate) or GateResult(gate, "not asked", why) for gate in GATES)
