"""What the tiers' owners had decided for the time of a run: rules that were lifted, and maintenance that excuses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.tiers import Maintenance
from tierdrill.history.events import Event, each
from tierdrill.history.kinds.run_kinds import RuleLifted, RuleRestored
from tierdrill.judge.verdict import Check, Status
from tierdrill.text import utc

EXCUSABLE = frozenset({Status.FAILED, Status.INCONCLUSIVE})


def lifted_rules(events: Sequence[Event], setting: DrillSetting) -> list[RuleLifted]:
    """The overrides under which the run was made, or a part of it."""
    mine = setting.environment
    return [
        said
        for _, said in each(events, RuleLifted)
        if said.tiers == mine.tiers and said.environment in ("", mine.metadata.name)
    ]


def maintenance_of(setting: DrillSetting, span: tuple[float, float]) -> list[Maintenance]:
    """The maintenance of tiers that the drill touches, at some time from the one moment to the other (Unix seconds)."""
    covering = [one for one in setting.tiers.maintenance if any(map(one.covers, setting.drill.touched))]
    return [one for one in covering if one.span[0] < span[1] and span[0] < one.span[1]]


def excused(checks: Iterable[Check], declared: Sequence[Maintenance]) -> list[Check]:
    """The checks, with those of objectives that a maintenance excuses deciding nothing, and saying so."""

    def excuse(check: Check) -> Check:
        if check.group != "slo" or check.status not in EXCUSABLE:
            return check
        tier = check.id.split("/")[1]
        for one in declared:
            if one.covers(tier):
                seen = f"excused by maintenance ({one.reason}): {check.seen}"
                return replace(check, status=Status.NOT_MEASURED, seen=seen)
        return check

    return [excuse(check) for check in checks]


def policy_notes(
    events: Sequence[Event], lifted: Sequence[RuleLifted], declared: Sequence[Maintenance]
) -> tuple[str, ...]:
    """What a reader of the verdict must know of it."""
    restored = {
        (said.environment, said.tier, said.rule): (event.at, said.who) for event, said in each(events, RuleRestored)
    }
    notes = []
    for said in lifted:
        until, by = restored.get((said.environment, said.tier, said.rule), (said.until, ""))
        end = f"until {by} revoked it at {utc(until)}" if by and until < said.until else f"until {utc(said.until)}"
        who = f"by {said.who} as {said.role}: {said.why}"
        notes.append(f"Override: {said.rule} of {said.tier} was lifted from {utc(said.granted_at)} {end}, {who}.")
    for one in declared:
        tiers = ", ".join(one.tiers) or "every tier"
        notes.append(
            f"Maintenance of {tiers} from {one.start} to {one.end}, declared by {one.declared_by}: {one.reason}."
        )
    return tuple(notes)


def exceptions(lifted: Sequence[RuleLifted], declared: Sequence[Maintenance]) -> tuple[str, ...]:
    """What the verdict was made under, each in a few words."""
    names = dict.fromkeys(f"{one.tier}/{one.rule}" for one in lifted)
    return (*(f"override of {name}" for name in names), *["declared maintenance"] * bool(declared))


def marked(summary: str, under: Sequence[str]) -> str:
    """The summary with what it was made under: it is all that lists of runs and alerts show of a verdict."""
    return f"{summary} [under {', '.join(under)}]" if under else summary
