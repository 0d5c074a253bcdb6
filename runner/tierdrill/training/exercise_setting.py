"""An exercise's documents together, and the plan that the rest of tierdrill needs of them. Pure."""

import platform
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from tierdrill import __version__
from tierdrill.conductor.plan import Phase, Plan
from tierdrill.documents.catalogue import Catalogue, DrillSetting
from tierdrill.documents.models.drill import Drill, Expect, Phases
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.playbook import Playbook
from tierdrill.documents.models.recordings import with_recordings
from tierdrill.documents.models.scenario import Scenario, Wrong
from tierdrill.documents.models.tiers import Tier, Tiers
from tierdrill.documents.models.workloads import Workloads
from tierdrill.history.events import Event, each
from tierdrill.history.kinds.exercise_kinds import ExerciseStarted
from tierdrill.history.sealed import EXERCISE
from tierdrill.text import Explained

Automation = Literal["on", "off", "wrong"]
LOAD_MARGIN_S = 30.0
PAUSES_S = 900.0
"""How long the load goes on beyond the exercise's own time, for the facilitator's pauses."""


@dataclass(frozen=True)
class ExerciseSetting:
    """A scenario with every document it refers to, as it is played.

    Its automation may be another than the document's.
    """

    scenario: Scenario
    environment: Environment
    tiers: Tiers
    workloads: Workloads
    playbooks: tuple[Playbook, ...]
    automation: Automation
    wrong: Wrong | None

    def to_json(self) -> dict[str, Any]:
        """The documents around the scenario as plain data, for the history."""
        return {
            "environment": self.environment.model_dump(mode="json"),
            "tiers": self.tiers.model_dump(mode="json"),
            "workloads": self.workloads.model_dump(mode="json"),
            "playbooks": [playbook.model_dump(mode="json") for playbook in self.playbooks],
            "versions": {"tierdrill": __version__, "python": platform.python_version()},
        }


class CannotBeWrong(Explained, ValueError):
    """Automation is to be wrong and nothing says how."""


def exercise_setting(catalogue: Catalogue, name: str, automation: Automation | None = None) -> ExerciseSetting:
    """The scenario with all it refers to; KeyError for a name that is missing, CannotBeWrong if `automation` asks for
    what the scenario does not describe."""
    scenario = catalogue.scenarios[name]
    environment = catalogue.environments[scenario.environment]
    chosen: Automation = automation or scenario.automation
    if chosen == "wrong" and scenario.wrong is None:
        raise CannotBeWrong(f"scenario {name} does not say what its automation does wrong, expected on or off")
    load = with_recordings(scenario.load, catalogue.folders_of("Scenario", name))
    return ExerciseSetting(
        scenario=scenario.model_copy(update={"load": load}),
        environment=environment,
        tiers=catalogue.tiers[environment.tiers],
        workloads=catalogue.workloads[environment.workloads],
        playbooks=tuple(catalogue.playbooks[each] for each in sorted(catalogue.playbooks)),
        automation=chosen,
        wrong=scenario.wrong if chosen == "wrong" else None,
    )


def draw_scenario(scenarios: Iterable[Scenario], level: str | None, seed: int | None) -> str:
    """The name of one, each with its `weight`; the same for the same seed. LookupError where there is none to draw."""
    fitting = sorted(
        (one for one in scenarios if level in (None, one.level) and one.weight > 0), key=lambda one: one.metadata.name
    )
    if not fitting:
        raise LookupError(f"no scenario of level {level} with a weight" if level else "no scenario with a weight")
    # What is drawn must be hard to guess for nobody but people.
    dice = random.Random(seed)  # noqa: S311
    return dice.choices([one.metadata.name for one in fitting], [one.weight for one in fitting])[0]


def at_pace(tiers: Tiers, scale: float) -> Tiers:
    """The tiers with their ladders in an exercise's time: every `acknowledge_within` divided by `scale`."""

    def quick(tier: Tier) -> Tier:
        waits = [level.acknowledge_within / scale for level in tier.escalation]
        levels = zip(tier.escalation, waits, strict=True)
        quicker = tuple(level.model_copy(update={"acknowledge_within": wait}) for level, wait in levels)
        return tier.model_copy(update={"escalation": quicker})

    return tiers.model_copy(update={"tiers": tuple(quick(tier) for tier in tiers.tiers)})


def plan_of(setting: ExerciseSetting, exercise: str, seed: int) -> Plan:
    """The exercise as a drill's plan: its load and its lab; nothing that it injects. The load outlasts the exercise."""
    length = setting.scenario.duration + LOAD_MARGIN_S + PAUSES_S
    # Pages of the playbook engine climb at the exercise's pace, too.
    tiers = at_pace(setting.tiers, setting.scenario.time_scale)
    drill = Drill(
        apiVersion="tierdrill/v1",
        kind="Drill",
        metadata=setting.scenario.metadata,
        description=setting.scenario.brief,
        experiment="",
        environment=setting.environment.metadata.name,
        load=setting.scenario.load.model_copy(update={"seed": seed}),
        phases=Phases(warm_up=0.0, baseline=0.0, fault=length, recovery=0.0),
        expect=Expect(),
    )
    return Plan(
        run=exercise,
        variant=EXERCISE,
        setting=DrillSetting(drill, {}, setting.environment, tiers, setting.workloads, setting.playbooks),
        phases=(Phase("exercise", length),),
        faults=(),
        deadlines=(),
        sabotage=None,
        variables={},
    )


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
    for found in each(events, ExerciseStarted):
        return found
    raise NotAnExercise("the history has no exercise.started")


def documents_in(events: Iterable[Event]) -> Documents:
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
