"""What drills can run against: a target opened from an environment, or from a place (plain data) in the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tierdrill.targets.base import FaultPort, Mechanism, Target, TargetError

if TYPE_CHECKING:
    from tierdrill.documents.models.environment import Environment
    from tierdrill.documents.models.workloads import Workloads
    from tierdrill.documents.reading.reading_state import Absent
    from tierdrill.targets.lab.labs import Labs


def targets(environment: Environment | None = None) -> dict[str, Target]:
    """Every supported target, by its name in environments; of one environment, or of none in particular."""
    from tierdrill.targets.external.target import ExternalTarget
    from tierdrill.targets.kubernetes.target import KubernetesTarget
    from tierdrill.targets.lab.target import LabTarget

    return {
        "lab": LabTarget(environment),
        "external": ExternalTarget(environment),
        "kubernetes": KubernetesTarget(environment),
    }


def lab_in_namespaces() -> tuple[dict[str, str], str]:
    """What does those kinds of fault that a lab in namespace mode does otherwise than in portable mode, in words; or
    why this machine cannot have one.
    """
    from tierdrill.targets.lab.target import LabTarget

    portable = LabTarget().mechanisms()
    try:
        there = LabTarget(namespaces=True).mechanisms()
    except TargetError as error:
        return {}, str(error)
    return {kind: how.text for kind, how in sorted(there.items()) if how != portable[kind]}, ""


def target_of(environment: Environment) -> Target:
    """The target that an environment names."""
    return targets(environment)[environment.target]


def mechanisms_of(environment: Environment) -> Mapping[str, Mechanism]:
    """How faults are done in an environment, by kind."""
    return target_of(environment).mechanisms()


def absent_in(environment: Environment) -> Absent:
    """What documents may ask for elsewhere, and not in this environment, with the reason."""
    return target_of(environment).absent()


def open_place(place: dict[str, Any]) -> FaultPort:
    """What can be faulted, proven and healed at a place; TargetError for one that this version does not know."""
    kind = place.get("target")
    if kind == "lab":
        from tierdrill.targets.lab.fault_port import LabPort

        return LabPort(Path(place["home"]), place["lab"], place.get("id", ""))
    if kind == "kubernetes":
        from tierdrill.targets.kubernetes.fault_port import KubernetesPort

        return KubernetesPort(place)
    if kind == "experiment":
        from tierdrill.targets.experiment import ExperimentPlace

        return ExperimentPlace(place)
    if kind == "external":
        from tierdrill.targets.external.target import ExternalPlace

        return ExternalPlace()
    raise TargetError(f"got target {kind!r}, expected lab, kubernetes, external and experiment")


def lift_in_cluster(environment: Environment, workloads: Workloads, until: Mapping[str, float | None]) -> bool:
    """Let a cluster's gateways lift rules (TIER/RULE) until then (Unix seconds; None: not any more). False where
    nothing says how they are told; TargetError where one of them is not.
    """
    if environment.kubernetes is None:
        return False
    from tierdrill.targets.kubernetes.gateway_admin import admin_now

    admin = admin_now(environment.kubernetes, workloads)
    if admin is not None:
        admin.tell("overrides", until)
    return admin is not None


def labs_of(home: Path) -> Labs:
    """The labs that were brought up in that home, a run's own and kept ones."""
    from tierdrill.targets.lab.labs import Labs

    return Labs(home)
