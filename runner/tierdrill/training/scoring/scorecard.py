"""The score of an exercise: lines, each with its points, what was seen and why, and the events it rests on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ScoreLine:
    """One line. `points` of at most `of`; a hint's points are negative, of none.

    `judged` is false where the history cannot tell: such a line is left out of the total. `events` are sequence numbers
    of the history. `seconds` is the time that decided, where one did.
    """

    id: str
    title: str
    points: float
    of: float
    seen: str
    why: str
    events: tuple[int, ...] = ()
    judged: bool = True
    seconds: float | None = None


@dataclass(frozen=True)
class ScoreCard:
    """All lines of one exercise and their sum.

    `score` is between 0 and `out_of`, which is 100 less what could not be judged. It is None where the exercise proves
    nothing, and `no_score` says why.
    """

    exercise: str
    scenario: str
    level: str
    score: float | None
    out_of: float
    lines: tuple[ScoreLine, ...]
    no_score: str = ""

    def line(self, line_id: str) -> ScoreLine | None:
        """The line of that id, if the card has it."""
        return next((line for line in self.lines if line.id == line_id), None)

    @property
    def share(self) -> float | None:
        """The score as a share of what could be had; None where there is none."""
        return self.score / self.out_of if self.score is not None and self.out_of > 0 else None

    def to_json(self) -> dict[str, Any]:
        """As plain data, with `share`."""
        share = self.share
        return {**asdict(self), "share": None if share is None else round(share, 4)}


def total(lines: tuple[ScoreLine, ...]) -> tuple[float, float]:
    """The sum of the judged lines, never below 0, and the most that it could be."""
    judged = [line for line in lines if line.judged]
    most = sum(line.of for line in judged)
    return round(min(most, max(0.0, sum(line.points for line in judged))), 1), round(most, 1)


def show_points(points: float) -> str:
    """Points as people read them: to a tenth, 16 for 16.0."""
    return f"{round(points, 1):g}"
