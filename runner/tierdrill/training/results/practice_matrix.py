"""Progress per person over time, and who on a team has practised what. Pure: from the results that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tierdrill.documents.models.scenario import LEVELS
from tierdrill.training.results.progress import Result

NO_NAME = "(no name)"
FAMILIES = ("acknowledge", "hypothesis", "mitigation", "priority", "playbook", "objectives", "harm", "updates")


@dataclass(frozen=True)
class Progress:
    """A person over time. `strengths` is the mean share of points by family of lines, of their last few exercises."""

    trainee: str
    steps: tuple[Result, ...]
    strengths: dict[str, float]

    @property
    def shares(self) -> list[float]:
        """The scores as shares, oldest first."""
        return [step.share for step in self.steps if step.share is not None]

    @property
    def weakest(self) -> str | None:
        """The family with the least share; None where nothing was lost."""
        low = min(self.strengths.items(), key=lambda item: item[1], default=None)
        return low[0] if low is not None and low[1] < 1.0 else None


@dataclass(frozen=True)
class Cell:
    """What a person has done of one scenario: how often, best share, and when last."""

    times: int
    best: float | None
    last_at: float


@dataclass(frozen=True)
class Coverage:
    """Persons by scenarios. `cells` has what was practised only; `levels` what a person has done of each level."""

    people: tuple[str, ...]
    scenarios: tuple[tuple[str, str], ...]
    cells: dict[tuple[str, str], Cell]
    levels: dict[str, dict[str, int]]

    @property
    def gaps(self) -> tuple[str, ...]:
        """Scenarios that nobody has practised."""
        done = {scenario for _, scenario in self.cells}
        return tuple(name for name, _ in self.scenarios if name not in done)


LAST = 5
"""How many exercises say how somebody does now."""


def progress_of(results: Sequence[Result], name: str | None = None) -> list[Progress]:
    """Everybody's progress by name, or one person's. Scripted responders are no people."""
    by_person: dict[str, list[Result]] = {}
    for result in sorted(results, key=lambda one: one.at):
        if result.scripted is None and result.trainee is not None and name in (None, result.trainee):
            by_person.setdefault(result.trainee, []).append(result)
    return [
        Progress(
            person,
            tuple(mine),
            _strengths(mine[-LAST:]),
        )
        for person, mine in sorted(by_person.items())
    ]


def _strengths(results: Sequence[Result]) -> dict[str, float]:
    points: dict[str, float] = {}
    most: dict[str, float] = {}
    for result in results:
        for line in result.card.get("lines", ()):
            family = str(line["id"]).partition("/")[0]
            if family in FAMILIES and line["judged"] and line["of"] > 0:
                points[family] = points.get(family, 0.0) + float(line["points"])
                most[family] = most.get(family, 0.0) + float(line["of"])
    return {family: round(points[family] / most[family], 4) for family in FAMILIES if family in most}


def coverage_of(results: Sequence[Result], scenarios: Sequence[tuple[str, str]]) -> Coverage:
    """The matrix over the catalogue's scenarios (name, level) and those that results name besides.

    An exercise without a score (nothing was broken yet, or it broke itself) is no practice.
    """
    people = [one for one in results if one.scripted is None and one.score is not None]
    known = dict(scenarios)
    known.update({one.scenario: one.level for one in people if one.scenario not in known})
    order = sorted(known.items(), key=lambda item: (LEVELS.index(item[1]) if item[1] in LEVELS else 9, item[0]))
    cells: dict[tuple[str, str], Cell] = {}
    levels: dict[str, dict[str, int]] = {}
    for one in people:
        person = one.trainee or NO_NAME
        old = cells.get((person, one.scenario))
        best = max([share for share in (old.best if old else None, one.share) if share is not None], default=None)
        cells[person, one.scenario] = Cell(
            times=(old.times if old else 0) + 1, best=best, last_at=max(one.at, old.last_at if old else 0.0)
        )
        mine = levels.setdefault(person, dict.fromkeys(LEVELS, 0))
        mine[one.level] = mine.get(one.level, 0) + 1
    names = sorted(levels, key=lambda name: (name == NO_NAME, name))
    return Coverage(tuple(names), tuple(order), cells, levels)
