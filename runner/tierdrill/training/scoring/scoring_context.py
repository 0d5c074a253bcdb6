"""What every line of the score is measured with: the course, the scenario, the points there are, and how they fall."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from tierdrill.documents.models.playbook import Playbook
from tierdrill.documents.models.scenario import Incident, Scenario
from tierdrill.documents.models.tiers import Tiers
from tierdrill.training.scoring.exercise_timeline import Course, IncidentSeen, PageSeen
from tierdrill.training.scoring.load_trust import load_doubt
from tierdrill.training.scoring.scorecard import ScoreLine
from tierdrill.training.scoring.trainee_actions import Judged, incident_of

GONE_AFTER = 3.0
"""Points fall evenly from full at the time allowed to none at this many times it."""


def falling(seconds: float, allowed: float) -> float:
    """The share of the points left after that time: 1 within what is allowed, 0 from three times that on."""
    if seconds <= allowed:
        return 1.0
    return max(0.0, (GONE_AFTER - seconds / allowed) / (GONE_AFTER - 1.0))


@dataclass(frozen=True)
class Bench:
    """One exercise on the bench."""

    course: Course
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
    def each(self) -> float:
        """The share of one incident."""
        return 1.0 / len(self.scenario.incidents)

    def seen(self, incident: Incident) -> IncidentSeen:
        """An incident as it happened; it has begun and its fault was seen to land."""
        return self.course.incidents[incident.name]

    def effect(self, incident: Incident) -> float:
        """When it took effect, Unix seconds."""
        seen = self.seen(incident)
        return seen.begun_at if seen.effect is None else seen.effect

    @cached_property
    def first_effect(self) -> float:
        """The first effect of all."""
        return min(self.effect(one) for one in self.scenario.incidents if one.name in self.course.incidents)

    @cached_property
    def doubt(self) -> str:
        """Why the requests cannot be believed; "" where they can."""
        course, load = self.course, self.scenario.load
        return load_doubt(course.events, load, self.idle_floor, self.first_effect, course.ended)

    @cached_property
    def pages(self) -> dict[str, list[PageSeen]]:
        """Pages by the incident they are about."""
        found: dict[str, list[PageSeen]] = {}
        for page in self.course.pages:
            name = incident_of(page, self.course, self.scenario)
            if name is not None:
                found.setdefault(name, []).append(page)
        return found


def unjudged(line_id: str, title: str, of: float, why: str) -> ScoreLine:
    """A line that the history cannot tell about."""
    return ScoreLine(line_id, title, 0.0, of, "cannot be judged", why, judged=False)
