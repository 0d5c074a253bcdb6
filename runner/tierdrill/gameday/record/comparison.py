"""What became better or worse from one game day to another: pure, from their two records.

An objective's figure has changed where its 95% intervals in the two runs do not overlap (stricter than a 95% interval
of the difference, because many objectives are compared at once) and the change is at least a twentieth of what the
objective allows. The interval of the difference is the square-and-add one of Zou and Donner (2008, "Construction of
confidence intervals about effect measures", MOVER), which for shares is Newcombe's (1998). It is as good as the
runs' intervals: of the requests of one run each. Times such as MTTD are single measurements, and are only told.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from tierdrill.gameday.gameday_model import HELD, Finding
from tierdrill.gameday.record.gameday_record import TIMES, DrillRow, Record, is_overdue
from tierdrill.judge.trend.regression import MARGIN_TOLERANCE
from tierdrill.report.format import CEILINGS, SHARE_ASPECTS, TIME_ASPECTS


class Outlook(StrEnum):
    """What a comparison came to. `no clear change` means that none was shown, not that there is none."""

    BETTER = "better"
    WORSE = "worse"
    UNCLEAR = "no clear change"
    UNKNOWN = "cannot tell"


@dataclass(frozen=True)
class Figure:
    """A measured objective in one run: its value, with its 95% interval where it has one, and whether it was kept."""

    value: float | None
    low: float | None
    high: float | None
    samples: int | None
    status: str

    @property
    def bounded(self) -> bool:
        """Whether the samples bound it on both sides."""
        return self.value is not None and self.low is not None and self.high is not None


@dataclass(frozen=True)
class Difference:
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ObjectiveChange:
    """One objective of one tier in one drill, before and after."""

    step: str
    tier: str
    aspect: str
    limit: float | None
    before: Figure
    after: Figure
    difference: Difference | None
    outlook: Outlook
    because: str


@dataclass(frozen=True)
class TimeChange:
    """A time of a drill before and after: one measurement each, so without an interval."""

    step: str
    name: str
    before: float | None
    after: float | None


@dataclass(frozen=True)
class StatusChange:
    """What a drill came to, before and after; empty where it was not part of one of them."""

    step: str
    before: str
    after: str


@dataclass(frozen=True)
class HypothesisChange:
    """A hypothesis before and after; empty where it was not part of one of them."""

    step: str
    words: str
    before: str
    after: str


@dataclass(frozen=True)
class FindingState:
    """A finding of the earlier game day and how it stands, or a new one of the later."""

    finding: Finding
    state: str


@dataclass(frozen=True)
class Comparison:
    before: Record
    after: Record
    drills: tuple[StatusChange, ...]
    objectives: tuple[ObjectiveChange, ...]
    times: tuple[TimeChange, ...]
    hypotheses: tuple[HypothesisChange, ...]
    findings: tuple[FindingState, ...]

    def objectives_that(self, outlook: Outlook) -> list[ObjectiveChange]:
        return [one for one in self.objectives if one.outlook is outlook]


def compare(before: Record, after: Record, today: date) -> Comparison:
    """Everything that both have, and what only one of them has."""
    earlier = {row.step: row for row in before.drills}
    later = {row.step: row for row in after.drills}
    steps = list(dict.fromkeys([*earlier, *later]))
    shared = [(earlier[step], later[step]) for step in steps if step in earlier and step in later]
    # The same title may stand for another drill or variant in another year's document.
    alike = [(one, two) for one, two in shared if (one.drill, one.variant) == (two.drill, two.variant)]
    return Comparison(
        before=before,
        after=after,
        drills=tuple(StatusChange(step, _status(earlier.get(step)), _status(later.get(step))) for step in steps),
        objectives=tuple(change for one, two in alike for change in _objectives(one, two)),
        times=tuple(
            TimeChange(one.step, name, one.times.get(name), two.times.get(name))
            for one, two in alike
            for name in TIMES
            if one.times.get(name) is not None or two.times.get(name) is not None
        ),
        hypotheses=_hypotheses(before, after),
        findings=_findings(before, after, today),
    )


def _status(row: DrillRow | None) -> str:
    return row.status if row is not None else ""


def _objectives(one: DrillRow, two: DrillRow) -> list[ObjectiveChange]:
    earlier, later = _figures(one), _figures(two)
    found = []
    for name in [name for name in later if name in earlier]:
        (first, old_limit), (second, limit) = earlier[name], later[name]
        _, tier, aspect = name.split("/", 2)
        # A limit that was moved changes what is allowed, not how far a figure is from the other.
        found.append(_objective(one.step, tier, aspect, limit if limit is not None else old_limit, first, second))
    return found


def _figures(row: DrillRow) -> dict[str, tuple[Figure, float | None]]:
    return {
        str(check["id"]): (_figure(check), check.get("limit"))
        for check in row.checks
        if str(check["id"]).startswith("slo/") and str(check["id"]).count("/") == 2
    }


def _figure(check: Mapping[str, Any]) -> Figure:
    return Figure(check.get("value"), check.get("low"), check.get("high"), check.get("samples"), str(check["status"]))


def aspect_name(aspect: str) -> str:
    """The objective an aspect is of: "latency-p99" -> "latency"."""
    return aspect.partition("-p")[0].replace("-", "_")


def _objective(
    step: str, tier: str, aspect: str, limit: float | None, before: Figure, after: Figure
) -> ObjectiveChange:
    difference = difference_of(before, after)
    outlook, because = _outlook(aspect, limit, before, after)
    return ObjectiveChange(step, tier, aspect, limit, before, after, difference, outlook, because)


def _outlook(aspect: str, limit: float | None, before: Figure, after: Figure) -> tuple[Outlook, str]:
    name = aspect_name(aspect)
    if not before.bounded or not after.bounded:
        return _without_interval(before, after)
    assert before.value is not None and before.low is not None and before.high is not None
    assert after.value is not None and after.low is not None and after.high is not None
    if after.low <= before.high and before.low <= after.high:
        return Outlook.UNCLEAR, "the 95% intervals overlap"
    change = after.value - before.value
    least = tolerance(name, limit)
    if abs(change) < least:
        return Outlook.UNCLEAR, "the change is shown, and smaller than a twentieth of what the objective allows"
    grew_is_good = name not in CEILINGS
    better = (change > 0) is grew_is_good
    return (Outlook.BETTER if better else Outlook.WORSE), "the 95% intervals do not overlap"


def _without_interval(before: Figure, after: Figure) -> tuple[Outlook, str]:
    """Of what is one measurement (a recovery), or counted out (integrity), only whether it was kept can be said."""
    kept = {"passed": True, "failed": False}
    if before.status not in kept or after.status not in kept:
        lacking = [word for word, one in (("before", before), ("after", after)) if not one.bounded]
        return Outlook.UNKNOWN, f"no interval {' and '.join(lacking)}: too few samples, or one measurement"
    if before.status == after.status:
        return Outlook.UNCLEAR, f"no interval; {'kept' if kept[after.status] else 'not kept'} both times"
    return (Outlook.BETTER, "kept now") if kept[after.status] else (Outlook.WORSE, "kept no more")


def tolerance(name: str, limit: float | None) -> float:
    """The smallest change of a figure that matters: a twentieth of what its objective allows; 0 without a limit."""
    if limit is None:
        return 0.0
    if name in SHARE_ASPECTS and name not in CEILINGS:
        return MARGIN_TOLERANCE * (1.0 - limit)
    return MARGIN_TOLERANCE * limit if name in (*SHARE_ASPECTS, *TIME_ASPECTS) else 0.0


def difference_of(before: Figure, after: Figure) -> Difference | None:
    """After minus before with its 95% interval; None where one of them has none.

    From independent intervals (l1, u1) and (l2, u2) around x1 and x2, for x2 - x1 (Zou and Donner 2008, eq. 6).
    """
    if not before.bounded or not after.bounded:
        return None
    assert before.value is not None and before.low is not None and before.high is not None
    assert after.value is not None and after.low is not None and after.high is not None
    value = after.value - before.value
    down = math.hypot(after.value - after.low, before.high - before.value)
    up = math.hypot(after.high - after.value, before.value - before.low)
    return Difference(value, value - down, value + up)


def _hypotheses(before: Record, after: Record) -> tuple[HypothesisChange, ...]:
    earlier = {(row.step, row.words): row.held for row in before.hypotheses}
    later = {(row.step, row.words): row.held for row in after.hypotheses}
    return tuple(
        HypothesisChange(step, words, earlier.get((step, words), ""), later.get((step, words), ""))
        for step, words in dict.fromkeys([*earlier, *later])
    )


def now_holds(change: HypothesisChange) -> bool:
    """Held the second time and, as part of the first, not then."""
    return change.after == HELD and change.before not in ("", HELD)


def holds_no_more(change: HypothesisChange) -> bool:
    """Held the first time and, as part of the second, not then."""
    return change.before == HELD and change.after not in ("", HELD)


def _findings(before: Record, after: Record, today: date) -> tuple[FindingState, ...]:
    found = []
    for one in before.findings:
        state = "closed" if one.closed_at is not None else "overdue" if is_overdue(one, today) else "open"
        found.append(FindingState(one, state))
    return (*found, *(FindingState(one, "new") for one in after.findings))
