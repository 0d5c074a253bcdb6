"""The points of a score: how many there are (as the scenario's document says), how they fall with time, what wrong
guesses and harm cost; and what every line is made of and measured with.
"""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from tierdrill.documents.models.playbook import Playbook
from tierdrill.documents.models.scenario import Incident, Scenario
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.units import show_duration, show_ratio
from tierdrill.history.events import each
from tierdrill.history.kinds.run_kinds import LoadHealth
from tierdrill.judge.checks.load_generator import sends
from tierdrill.training.scoring.exercise_timeline import ExerciseTimeline, IncidentSeen, PageSeen
from tierdrill.training.scoring.trainee_actions import Judged, incident_of


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
        return next((line for line in self.lines if line.id == line_id), None)

    @property
    def share(self) -> float | None:
        """The score as a share of what could be had; None where there is none."""
        return self.score / self.out_of if self.score is not None and self.out_of > 0 else None

    def to_json(self) -> dict[str, Any]:
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


WRONG_GUESS = 0.25
"""The share of a hypothesis' points that each wrong guess before the right one costs: a list must not be tried out."""
HARM, NEEDLESS = 0.5, 0.2
"""The share of the line's points that one harmful, and one needless, action costs."""
GONE_AFTER = 3.0
"""Points fall evenly from full at the time allowed to none at this many times it."""


def falling(seconds: float, allowed: float) -> float:
    """The share of the points left after that time: 1 within what is allowed, 0 from three times that on."""
    if seconds <= allowed:
        return 1.0
    return max(0.0, (GONE_AFTER - seconds / allowed) / (GONE_AFTER - 1.0))


@dataclass(frozen=True)
class ScoringContext:
    timeline: ExerciseTimeline
    scenario: Scenario
    tiers: Tiers
    deeds: tuple[Judged, ...]
    playbooks: dict[str, Playbook]
    idle_floor: float = 0.0

    @cached_property
    def scale(self) -> float:
        """Points of the document to points of 100: of the lines that this scenario has at all."""
        points = self.scenario.points.model_dump()
        if not self.ranks_differ:
            points.pop("priority")
        if not any(one.playbook for one in self.scenario.incidents):
            points.pop("playbook")
        there = sum(points.values())
        return 100.0 / there if there else 0.0

    @cached_property
    def ranks_differ(self) -> bool:
        """Whether the scenario has incidents of more than one tier, so that one has to be taken first."""
        return len({one.tier for one in self.scenario.incidents}) > 1

    def points(self, name: str, share: float = 1.0) -> float:
        """The most points of a line that has this share of a kind."""
        return round(float(getattr(self.scenario.points, name)) * self.scale * share, 2)

    @property
    def met(self) -> list[Incident]:
        return [one for one in self.scenario.incidents if one.name in self.timeline.incidents]

    @property
    def each(self) -> float:
        return 1.0 / len(self.scenario.incidents)

    def seen(self, incident: Incident) -> IncidentSeen:
        """An incident as it happened; it has begun and its fault was seen to land."""
        return self.timeline.incidents[incident.name]

    def effect(self, incident: Incident) -> float:
        seen = self.seen(incident)
        return seen.begun_at if seen.effect is None else seen.effect

    @cached_property
    def first_effect(self) -> float:
        return min(self.effect(one) for one in self.met)

    @cached_property
    def doubt(self) -> str:
        """Why the requests cannot be believed, from the first effect to the end, by the rules of a drill's load; ""
        where they can: a starved machine looks like a broken platform.
        """
        load, span = self.scenario.load, (self.first_effect, self.timeline.ended)
        reports = [said for event, said in each(self.timeline.events, LoadHealth) if span[0] <= event.at <= span[1]]
        if not reports:
            return "the load generator reported nothing about itself"
        idles = [one.machine_idle for one in reports if one.machine_idle is not None]
        if self.idle_floor > 0 and not idles:
            return "the machine's load was not reported"
        if idles and (idle := sum(idles) / len(idles)) < self.idle_floor:
            return f"the machine was idle {idle:.1%} of the time, and {show_ratio(self.idle_floor)} is the least"
        lags, lag, dropped, total = sends(self.timeline.samples, span)
        if lags and lag > load.lag_p99_max:
            most = show_duration(load.lag_p99_max)
            return f"requests were sent {lag * 1000:.0f} ms late (p99), and {most} is the most"
        too_many = dropped > load.dropped_max * total
        return f"the generator could not send {dropped} of {total} requests" if too_many else ""

    @cached_property
    def pages(self) -> dict[str, list[PageSeen]]:
        found: dict[str, list[PageSeen]] = {}
        for page in self.timeline.pages:
            name = incident_of(page, self.timeline, self.scenario)
            if name is not None:
                found.setdefault(name, []).append(page)
        return found


def unjudged(line_id: str, title: str, of: float, why: str) -> ScoreLine:
    """A line that the history cannot tell about."""
    return ScoreLine(line_id, title, 0.0, of, "cannot be judged", why, judged=False)
