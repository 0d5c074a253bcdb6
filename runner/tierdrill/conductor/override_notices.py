"""Granting and revoking overrides: recorded, and told to the gateways of labs that are up and of clusters, and to runs
that go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.workloads import Workloads
from tierdrill.history.events import event
from tierdrill.history.history_store import HistoryError
from tierdrill.history.kinds.run_kinds import RuleLifted, RuleRestored
from tierdrill.history.ledger import LedgerError
from tierdrill.history.payload import Payload
from tierdrill.history.sealed import append_to_run
from tierdrill.recovery.status import live_runs
from tierdrill.targets.base import TargetError
from tierdrill.targets.target_registry import labs_of, lift_in_cluster
from tierdrill.tier_policy.override_grants import RuleOverride, grant, in_force, lifted_in, revoke

SOURCE = "override"
Clusters = Iterable[tuple[Environment, Workloads]]
"""Environments of clusters, whose gateways are told as well."""


@dataclass(frozen=True)
class OverrideChange:
    """An override that was granted, or ended; the labs and the clusters' environments whose gateways do as it says; who
    could not be told, and why.
    """

    override: RuleOverride
    labs: tuple[str, ...]
    clusters: tuple[str, ...]
    untold: tuple[str, ...]


def grant_override(
    home: Path, tiers: Tiers, tier: str, rule: str, *,
    seconds: float, role: str, who: str, why: str, environment: str = "", clusters: Clusters = (),
) -> OverrideChange:  # fmt: skip
    """Lift a rule from now on; OverrideRefused or AuditError, and nothing was lifted."""
    granted = grant(
        home, tiers, tier, rule, seconds=seconds, role=role, who=who, why=why, environment=environment
    )  # fmt: skip
    return _told(home, granted, said_of(granted), clusters)


def revoke_override(
    home: Path, tiers: Tiers, tier: str, rule: str, *,
    role: str, who: str, why: str, environment: str = "", clusters: Clusters = (),
) -> OverrideChange:  # fmt: skip
    """Let the rule hold again; errors as `grant_override`."""
    ended = revoke(home, tiers, tier, rule, role=role, who=who, why=why, environment=environment)
    said = RuleRestored(tiers=ended.tiers, tier=tier, rule=rule, who=who, why=why, environment=environment)
    return _told(home, ended, said, clusters)


def said_of(override: RuleOverride) -> RuleLifted:
    """What a run's history says of an override."""
    return RuleLifted(
        tiers=override.tiers, tier=override.tier, rule=override.rule, role=override.role, who=override.who,
        why=override.why, granted_at=override.granted_at, until=override.until,
        environment=override.environment,
    )  # fmt: skip


def note_in_force(home: Path, environment: Environment, note: Callable[[Payload, str], object]) -> None:
    """Note in a run that begins which rules of its environment's tiers are lifted."""
    for override in in_force(home):
        if override.concerns(environment.tiers, environment.metadata.name):
            note(said_of(override), SOURCE)


def _told(home: Path, override: RuleOverride, said: Payload, clusters: Clusters) -> OverrideChange:
    # As is in force, and not as was asked: of two people at once the later in the log decides.
    told, untold = labs_of(home).lift(override)
    there = []
    for environment, workloads in clusters:
        name = environment.metadata.name
        if not override.concerns(environment.tiers, name):
            continue
        until = lifted_in(home, environment.tiers, name).get(override.name)
        try:
            there += [name] if lift_in_cluster(environment, workloads, {override.name: until}) else []
        except TargetError as error:
            untold.append(f"{name}: {error}")
    return OverrideChange(override, tuple(told), tuple(there), (*untold, *_runs_untold(home, said)))


def _runs_untold(home: Path, said: Payload) -> Iterable[str]:
    runs: Iterable[str] = ()
    with suppress(LedgerError):
        runs = live_runs(home)
    untold = []
    for run in runs:
        try:
            append_to_run(home, run, event(said, SOURCE))
        except HistoryError as error:
            untold.append(f"run {run}: {error}")
    return untold
