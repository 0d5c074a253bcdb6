"""Opening a game day: everything it needs is looked at before the first line of its journal is written."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from tierdrill import __version__
from tierdrill.conductor.plan import make_plan
from tierdrill.documents.catalogue import Catalogue, setting_of
from tierdrill.documents.models.gameday import GameDay
from tierdrill.documents.overrides import changed
from tierdrill.gameday.journal import Journal, new_identity
from tierdrill.history.events import event
from tierdrill.history.kinds.gameday_kinds import GameDayOpened
from tierdrill.targets.open import mechanisms_of

SETTING_UP_S = 12.0
"""About what a run takes besides its phases: a lab that comes up, preflight, clean-up. Only for the time left."""


@dataclass(frozen=True)
class Opening:
    """How a game day is held."""

    author: str
    lab: str | None = None
    unattended: bool = False
    pauses: bool = True


def planned_seconds(document: GameDay, catalogue: Catalogue) -> list[float]:
    """About how long each step's run takes. PlanError if one cannot be planned."""
    lengths = []
    for step in document.steps:
        setting = changed(setting_of(catalogue, step.drill), step.variables, ())
        plan = make_plan(setting, f"{step.drill}-planned", step.variant, mechanisms_of(setting.environment))
        lengths.append(sum(phase.seconds for phase in plan.phases) + SETTING_UP_S)
    return lengths


def open_gameday(home: Path, document: GameDay, catalogue: Catalogue, opening: Opening) -> Journal:
    """A new game day with its journal. PlanError or HistoryError where it cannot be."""
    planned = planned_seconds(document, catalogue)
    at = time.time()
    identity = new_identity(document.metadata.name, at)
    opened = event(
        GameDayOpened(
            gameday=identity,
            document=document.model_dump(mode="json"),
            catalogue=str(catalogue.root),
            lab=opening.lab,
            unattended=opening.unattended,
            pauses=opening.pauses,
            planned=planned,
            version=__version__,
        ),
        opening.author,
        at=at,
    )
    return Journal.create(home, identity, opened)
