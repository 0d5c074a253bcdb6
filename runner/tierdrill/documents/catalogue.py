"""A catalogue: every document of a folder tree, by kind and name, with the place each came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from tierdrill.documents.models.calendar import Calendar
from tierdrill.documents.models.drill import Drill, DrillTemplate, Invariants
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.gameday import GameDay
from tierdrill.documents.models.playbook import Look, Playbook
from tierdrill.documents.models.recordings import with_recordings
from tierdrill.documents.models.scenario import Scenario
from tierdrill.documents.models.tier_tests import TierTests
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.units import Metadata
from tierdrill.documents.models.workloads import Workloads
from tierdrill.documents.pace import drill_in, paced_playbook
from tierdrill.documents.problems import Problem

KEPT_OUT = "(kept out)"
SCHEMAS = PurePath("drills/schema")
"""Where a catalogue has JSON Schemas for editors; documents are never there."""

Document = (
    Tiers | Workloads | Environment | Playbook | Drill | DrillTemplate | Calendar | GameDay | Scenario | TierTests
)
KINDS: dict[str, type[Document]] = {
    "Tiers": Tiers,
    "Workloads": Workloads,
    "Environment": Environment,
    "Playbook": Playbook,
    "Drill": Drill,
    "DrillTemplate": DrillTemplate,
    "Calendar": Calendar,
    "GameDay": GameDay,
    "Scenario": Scenario,
    "TierTests": TierTests,
}


@dataclass(frozen=True)
class Experiment:
    """A Chaos Toolkit experiment as read: its short name (`node/power-loss`), file and parsed content."""

    name: str
    path: Path
    content: dict[str, Any]


@dataclass(frozen=True)
class Template:
    """What drills share, as read: a part of a drill's document, checked as far as it goes."""

    metadata: Metadata
    content: dict[str, Any]


@dataclass(frozen=True)
class Catalogue:
    """All documents that were read without a problem, and what is worth a look about them.

    `excused` is what is wrong with experiments that no drill uses.
    """

    root: Path
    tiers: dict[str, Tiers] = field(default_factory=dict)
    workloads: dict[str, Workloads] = field(default_factory=dict)
    environments: dict[str, Environment] = field(default_factory=dict)
    playbooks: dict[str, Playbook] = field(default_factory=dict)
    drills: dict[str, Drill] = field(default_factory=dict)
    templates: dict[str, Template] = field(default_factory=dict)
    calendars: dict[str, Calendar] = field(default_factory=dict)
    gamedays: dict[str, GameDay] = field(default_factory=dict)
    scenarios: dict[str, Scenario] = field(default_factory=dict)
    tier_tests: dict[str, TierTests] = field(default_factory=dict)
    experiments: dict[str, Experiment] = field(default_factory=dict)
    paths: dict[tuple[str, str], Path] = field(default_factory=dict)
    warnings: list[Problem] = field(default_factory=list)
    excused: list[Problem] = field(default_factory=list)

    def folders_of(self, kind: str, name: str) -> list[Path]:
        """Where a file that a document names is looked for: beside the document, then in the root."""
        path = self.paths.get((kind, name))
        return [*([path.parent] if path else []), self.root]


@dataclass(frozen=True)
class DrillSetting:
    """One drill with every document it refers to: all that a plan, a run and a verdict need."""

    drill: Drill
    experiment: dict[str, Any]
    environment: Environment
    tiers: Tiers
    workloads: Workloads
    playbooks: tuple[Playbook, ...]

    @property
    def looked_for(self) -> tuple[Look, ...]:
        """What is looked for of the playbooks, run by other tools, that the drill names."""
        wanted = self.drill.expect.playbooks
        named = {one.playbook for one in wanted.must_fire} | set(wanted.must_not_fire)
        return tuple(look for one in self.playbooks if one.metadata.name in named for look in one.observed)

    @property
    def custom_resources(self) -> tuple[str, ...]:
        """Their kinds (KIND.GROUP) that are custom resources."""
        return tuple(dict.fromkeys(str(look.kind) for look in self.looked_for if look.do == "custom-resource"))

    def to_json(self) -> dict[str, Any]:
        """The documents as plain data, for the history; the experiment's secrets are left out."""
        return {
            "drill": self.drill.model_dump(mode="json"),
            "experiment": without_secrets(self.experiment),
            "environment": self.environment.model_dump(mode="json"),
            "tiers": self.tiers.model_dump(mode="json"),
            "workloads": self.workloads.model_dump(mode="json"),
            "playbooks": [playbook.model_dump(mode="json") for playbook in self.playbooks],
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> DrillSetting:
        """Back from `to_json`; raises pydantic.ValidationError on a record of another version."""
        return DrillSetting(
            drill=Drill.model_validate(data["drill"]),
            experiment=data["experiment"],
            environment=Environment.model_validate(data["environment"]),
            tiers=Tiers.model_validate(data["tiers"]),
            workloads=Workloads.model_validate(data["workloads"]),
            playbooks=tuple(Playbook.model_validate(playbook) for playbook in data["playbooks"]),
        )


def without_secrets(experiment: dict[str, Any]) -> dict[str, Any]:
    """The experiment with each secret that is written in it taken out; where one comes from may be known."""
    groups = experiment.get("secrets")
    return {**experiment, "secrets": _taken_out(groups)} if groups else experiment


def _taken_out(value: Any) -> Any:
    if not isinstance(value, dict):
        return KEPT_OUT
    if value.get("type") in ("env", "vault"):
        return {name: item for name, item in value.items() if name in ("type", "key", "path")}
    return {name: _taken_out(item) for name, item in value.items()}


def expects_something(drill: Drill, experiment: dict[str, Any]) -> bool:
    """Whether a drill names anything that could fail: the invariants that every drill has are not its own.

    A hypothesis of its experiment is something to fail.
    """
    expect = drill.expect
    alerts, playbooks = expect.alerts, expect.playbooks
    named = (expect.tiers, alerts.must_fire, alerts.must_not_fire, playbooks.must_fire, playbooks.must_not_fire)
    invariants = expect.invariants.check if expect.invariants != Invariants() else ()
    hypothesis = (experiment.get("steady-state-hypothesis") or {}).get("probes")
    return any(named) or bool(invariants or hypothesis or expect.class_of_failure)


def usual_environment(environments: Mapping[str, Environment]) -> str | None:
    """The name of the one that is meant where none is named: `lab`, or the only one."""
    return "lab" if "lab" in environments else next(iter(environments)) if len(environments) == 1 else None


def setting_of(catalogue: Catalogue, drill_name: str) -> DrillSetting:
    """The drill with all it refers to; KeyError if a name is missing (validation says that better, with its place)."""
    drill = catalogue.drills[drill_name]
    environment = catalogue.environments[drill.environment]
    load = with_recordings(drill.load, catalogue.folders_of("Drill", drill_name))
    return DrillSetting(
        drill=drill_in(environment, drill.model_copy(update={"load": load})),
        experiment=catalogue.experiments[drill.experiment].content,
        environment=environment,
        tiers=catalogue.tiers[environment.tiers],
        workloads=catalogue.workloads[environment.workloads],
        playbooks=tuple(
            paced_playbook(playbook, environment.pace)
            for _, playbook in sorted(catalogue.playbooks.items())
            if environment.target != "external" or playbook.external is not None
        ),
    )
