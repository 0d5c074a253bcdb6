"""The two sides of a comparison: the policy that a catalogue has for an environment, and one that is proposed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from tierdrill.documents.catalogue import Catalogue, DrillSetting
from tierdrill.history.kinds.run_kinds import RunStarted
from tierdrill.text import Explained
from tierdrill.tier_policy.capacity_plan import size_of
from tierdrill.tier_policy.load_replay import Side, load_of_drill, most_asking_drill
from tierdrill.tier_policy.recorded_load import RecordedLoad, from_run

if TYPE_CHECKING:
    from tierdrill.documents.models.environment import Environment
    from tierdrill.documents.models.tiers import Tiers
    from tierdrill.documents.models.workloads import Workloads
    from tierdrill.history.events import Event

T = TypeVar("T", "Tiers", "Workloads")


class NotComparable(Explained):
    """There are not two policies to hold against each other, or no load to hold against them."""


def side_in(catalogue: Catalogue, environment: Environment) -> Side:
    """The policy that holds in an environment of the catalogue, with its drills there."""
    name = environment.metadata.name
    return Side(
        catalogue.tiers[environment.tiers],
        catalogue.workloads[environment.workloads],
        size_of(environment),
        tuple(one for one in catalogue.drills.values() if one.environment == name),
    )


def with_proposed(side: Side, proposed: Catalogue, where: str) -> Side:
    """The side with the tiers that are proposed, and with the workloads where some are; NotComparable."""
    tiers = _one(proposed.tiers, side.tiers, where)
    if tiers is None:
        raise NotComparable(f"{where}: no Tiers document, expected one")
    workloads = _one(proposed.workloads, side.workloads, where) or side.workloads
    return whole(replace(side, tiers=tiers, workloads=workloads), where)


def whole(side: Side, where: str) -> Side:
    """The side, if its routes lead to tiers of its own; NotComparable."""
    names = [tier.name for tier in side.tiers.tiers]
    for number, route in enumerate(side.workloads.routes, start=1):
        if route.tier not in names:
            told = f"route {number} of workloads {side.workloads.metadata.name} leads to tier {route.tier}"
            raise NotComparable(f"{where}: {told}, expected {', '.join(names)}; change the workloads with the tiers")
    return side


def _one(found: Mapping[str, T], usual: T, where: str) -> T | None:
    """The document that takes the place of the usual one: of its name, or the only one."""
    if usual.metadata.name in found:
        return found[usual.metadata.name]
    if len(found) > 1:
        raise NotComparable(f"{where}: {', '.join(found)}, expected one of them to be named {usual.metadata.name}")
    return next(iter(found.values()), None)


def load_of_run(events: Sequence[Event]) -> RecordedLoad:
    """What a run sent; NotComparable where it sent nothing, or its events are gone."""
    said = events[0].payload if events else None
    if not isinstance(said, RunStarted):
        raise NotComparable("the run has no events (they may be gone by `tierdrill prune`)")
    load = from_run(events, DrillSetting.from_json(dict(said.setting)).drill, said.run)
    if not len(load):
        raise NotComparable(f"run {said.run} has no samples of load")
    return load


def usual_load(side: Side) -> RecordedLoad:
    """The load of the drill that asks most for the tier of rank 1; NotComparable where there is no drill."""
    drill = most_asking_drill(side)
    if drill is None:
        raise NotComparable("no drill in this environment says how much load there is; name a run, or recorded load")
    return load_of_drill(drill)
