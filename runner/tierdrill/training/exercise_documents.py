"""The documents that an exercise was made from, read back from its history, so that it can be scored anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError

from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.playbook import Playbook
from tierdrill.documents.models.scenario import Scenario
from tierdrill.documents.models.tiers import Tiers
from tierdrill.history.events import Event, each
from tierdrill.history.kinds.exercise_kinds import ExerciseStarted


class NotAnExercise(ValueError):
    """The events are not the history of an exercise of this version; the message says what is missing."""


@dataclass(frozen=True)
class Documents:
    """What the score and the debrief need of them. `trainee` is None where no name was given."""

    scenario: Scenario
    environment: Environment
    tiers: Tiers
    playbooks: dict[str, Playbook]
    trainee: str | None


def begin_of(events: Iterable[Event]) -> tuple[Event, ExerciseStarted]:
    """The begin of an exercise."""
    for found in each(events, ExerciseStarted):
        return found
    raise NotAnExercise("the history has no exercise.started")


def documents_in(events: Iterable[Event]) -> Documents:
    """The documents of an exercise's history."""
    _, started = begin_of(events)
    settings = started.settings
    document = started.scenario or settings.get("scenario")
    try:
        playbooks = [Playbook.model_validate(one) for one in settings.get("playbooks", [])]
        return Documents(
            scenario=Scenario.model_validate(document),
            environment=Environment.model_validate(settings.get("environment")),
            tiers=Tiers.model_validate(settings.get("tiers")),
            playbooks={one.metadata.name: one for one in playbooks},
            trainee=started.trainee or None,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise NotAnExercise(f"its documents cannot be read: {where}: {first['msg']}") from error
