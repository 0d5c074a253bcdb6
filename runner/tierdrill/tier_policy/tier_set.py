"""A tier set: a Tiers document with the workloads, environments and drills that hold to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

from tierdrill.documents.models.drill import Drill
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.tiers import Tier, Tiers
from tierdrill.documents.models.workloads import Model, Workloads
from tierdrill.documents.problems import Problem
from tierdrill.documents.reading.reading_state import Place, Reading


@dataclass(frozen=True)
class TierSet:
    """What was read about one Tiers document. Findings are reported at a `Place`, into `problems`."""

    reading: Reading
    tiers: Tiers
    today: date
    problems: list[Problem] = field(default_factory=list)

    def place(self, kind: str, name: str) -> Place:
        """Where findings about that document are reported."""
        return Place(self.reading.sources[kind, name], self.problems)

    @property
    def by_tier(self) -> list[tuple[Tier, Place]]:
        """Every tier with its place, as written."""
        place = self.place("Tiers", self.tiers.metadata.name).at("tiers")
        return [(tier, place.at(number)) for number, tier in enumerate(self.tiers.tiers)]

    @property
    def workloads(self) -> list[tuple[Workloads, Place]]:
        """The Workloads documents for these tiers."""
        found = self.reading.catalogue.workloads.items()
        name = self.tiers.metadata.name
        return [(one, self.place("Workloads", key)) for key, one in found if one.tiers == name]

    @property
    def environments(self) -> list[tuple[Environment, Place]]:
        """The Environment documents with these tiers."""
        found = self.reading.catalogue.environments.items()
        name = self.tiers.metadata.name
        return [(one, self.place("Environment", key)) for key, one in found if one.tiers == name]

    def settings(self) -> Iterator[tuple[Environment, Workloads, Place]]:
        """Every environment whose workloads were read too."""
        for environment, place in self.environments:
            workloads = self.reading.catalogue.workloads.get(environment.workloads)
            if workloads is not None:
                yield environment, workloads, place

    def drills_in(self, environment: str) -> list[Drill]:
        """The drills of an environment."""
        return [one for one in self.reading.catalogue.drills.values() if one.environment == environment]

    def model(self, name: str) -> Model | None:
        """The model of that name, in whichever workloads."""
        return next((found for one, _ in self.workloads if (found := one.model(name)) is not None), None)


def tier_sets(reading: Reading, today: date) -> list[TierSet]:
    """One for each Tiers document that was read."""
    return [TierSet(reading, tiers, today) for tiers in reading.catalogue.tiers.values()]
