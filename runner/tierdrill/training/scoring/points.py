"""What every line of the score is measured with: what happened, the scenario, the points there are, how they fall."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from tierdrill.documents.models.playbook import Playbook
from tierdrill.documents.models.scenario import Incident, Scenario
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.units import show_duration, show_ratio
from tierdrill.history.events import each
from tierdrill.history.kinds.run_kinds import LoadHealth
from tierdrill.judge.checks.load_generator import sends
from tierdrill.training.scoring.exercise_timeline import ExerciseTimeline, IncidentSeen, PageSeen
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
class ScoringContext:
    """One exercise, as it is scored."""

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
        """The incidents that began."""
        return [one for one in self.scenario.incidents if one.name in self.timeline.incidents]

    @property
    def each(self) -> float:
        """The share of one incident."""
        return 1.0 / len(self.scenario.incidents)

    def seen(self, incident: Incident) -> IncidentSeen:
        """An incident as it happened; it has begun and its fault was seen to land."""
        return self.timeline.incidents[incident.name]

    def effect(self, incident: Incident) -> float:
        """When it took effect, Unix seconds."""
        seen = self.seen(incident)
        return seen.begun_at if seen.effect is None else seen.effect

    @cached_property
    def first_effect(self) -> float:
        """The first effect of all."""
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
        """Pages by the incident they are about."""
        found: dict[str, list[PageSeen]] = {}
        for page in self.timeline.pages:
            name = incident_of(page, self.timeline, self.scenario)
            if name is not None:
                found.setdefault(name, []).append(page)
        return found


def unjudged(line_id: str, title: str, of: float, why: str) -> ScoreLine:
    """A line that the history cannot tell about."""
    return ScoreLine(line_id, title, 0.0, of, "cannot be judged", why, judged=False)
