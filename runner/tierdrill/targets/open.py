"""What drills can run against: a target opened from an environment, or from a place (plain data) in the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tierdrill.targets.base import Endpoints, FaultPort, Mechanism, Target, TargetError

if TYPE_CHECKING:
    from tierdrill.documents.models.environment import Environment
    from tierdrill.documents.reading.reading_state import Absent
    from tierdrill.targets.lab.labs import LabStanding

NOT_YET = {"kubernetes": "not supported yet, expected lab and external"}
"""Targets that an environment may name, and that no drill can run against."""


def targets() -> dict[str, Target]:
    """Every supported target, by its name in environments."""
    from tierdrill.targets.external.target import ExternalTarget
    from tierdrill.targets.lab.target import LabTarget

    return {"lab": LabTarget(), "external": ExternalTarget()}


def target_of(environment: Environment) -> Target:
    """The target that an environment names; TargetError for one that is not supported."""
    if environment.target not in (known := targets()):
        name = environment.metadata.name
        raise TargetError(f"environment {name}: target: {environment.target} is {NOT_YET[environment.target]}")
    if environment.target == "external":
        from tierdrill.targets.external.target import ExternalTarget

        return ExternalTarget(environment)
    return known[environment.target]


def mechanisms_of(environment: Environment) -> Mapping[str, Mechanism]:
    """How faults are done in an environment, by kind; TargetError as `target_of`."""
    return target_of(environment).mechanisms()


def absent_in(environment: Environment) -> Absent:
    """What documents may ask for elsewhere, and not in this environment, with the reason."""
    if environment.target in NOT_YET:
        return {"target": NOT_YET}
    return target_of(environment).absent()


def open_place(place: dict[str, Any]) -> FaultPort:
    """What can be faulted, proven and healed at a place; TargetError for one that this version does not know."""
    kind = place.get("target")
    if kind == "lab":
        from tierdrill.targets.lab.fault_port import LabPort

        return LabPort(Path(place["home"]), place["lab"], place.get("id", ""))
    if kind == "experiment":
        from tierdrill.targets.experiment import ExperimentPlace

        return ExperimentPlace(place)
    if kind == "external":
        from tierdrill.targets.external.target import ExternalPlace

        return ExternalPlace()
    raise TargetError(f"got target {kind!r}, expected lab, external and experiment")


def running_place(home: Path, named: str | None) -> dict[str, Any]:
    """The place of the lab that is up: where plain `chaos run` injects. TargetError where there is none, or several."""
    from tierdrill.targets.lab.labs import the_running_lab

    return the_running_lab(home, named)


def kept_endpoints(home: Path, name: str) -> Endpoints:
    """Where a lab that somebody keeps is asked; TargetError where it is not up."""
    from tierdrill.targets.lab.labs import endpoints_of, kept_lab

    return endpoints_of(kept_lab(home, name))


def end_platform(home: Path, name: str) -> list[str]:
    """End what a run brought up for itself, in whatever state it is (gone is fine); what would not end."""
    from tierdrill.targets.lab.labs import end_lab

    return end_lab(home, name)


def platforms(home: Path) -> list[LabStanding]:
    """Every deployment that was brought up here and is not ended, kept or a run's own, and how it is."""
    from tierdrill.targets.lab.labs import labs

    return labs(home)


def own_leases(home: Path) -> dict[str, str]:
    """What the deployments say of the leases that they keep by themselves: held, undoing, undone or stuck, by fault."""
    from tierdrill.targets.lab.labs import leases

    return leases(home)


def await_mended(home: Path, name: str) -> bool:
    """Wait for a deployment to start again what it has lost; False where it does not in time."""
    from tierdrill.targets.lab.labs import await_mended as mended

    return mended(home, name)
