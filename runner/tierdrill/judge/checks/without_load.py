"""Runs that send no load of their own: what the platform itself counted, and that nothing else was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.units import show_ratio
from tierdrill.documents.sample_size import BAD_AT_LEAST
from tierdrill.history.events import Event, each
from tierdrill.history.kinds.run_kinds import MonitoringAvailability
from tierdrill.judge.checks.objective_check import side, slo_check
from tierdrill.judge.statistics import wilson
from tierdrill.judge.verdict import Check, Status

MEASURED_BY_LOAD = frozenset({"slo", "invariant", "class"})
OF_ALERTS = "time_to_detect"


def without_load(checks: Sequence[Check], setting: DrillSetting, events: Sequence[Event]) -> list[Check]:
    """The checks, those that rest on load not measured, and availability as the platform's monitoring counted it."""
    counted = {said.tier: (event, said) for event, said in each(events, MonitoringAvailability)}
    found = []
    for check in checks:
        _, _, rest = check.id.partition("/")
        tier, _, name = rest.partition("/")
        if check.group == "slo" and name == "availability" and tier in counted:
            found.append(_availability(tier, setting, *counted[tier]))
        elif check.group in MEASURED_BY_LOAD and name != OF_ALERTS:
            seen = f"{Status.NOT_MEASURED}: no load was sent"
            found.append(replace(check, status=Status.NOT_MEASURED, seen=seen, value=None, low=None, high=None))
        else:
            found.append(check)
    return found


def _availability(tier: str, setting: DrillSetting, event: Event, said: MonitoringAvailability) -> Check:
    objective = setting.tiers.by_name(tier).objectives.availability or 0.0
    total = max(0, round(said.total))
    bad = min(total, max(0, round(said.total - said.good)))
    interval = wilson(total - bad, total)
    if interval is None:
        status, seen = Status.INCONCLUSIVE, "its monitoring counted no requests"
    else:
        status = side(interval.low >= objective, interval.high < objective and bad >= BAD_AT_LEAST)
        seen = (
            f"{interval.value:.4%} (95%: {interval.low:.3%} to {interval.high:.3%}; {bad} bad of {total}, as its "
            f"monitoring counted over {said.window})"
        )
    return slo_check(
        tier,
        "availability",
        status,
        "availability in fault+recovery",
        f"at least {show_ratio(objective)}",
        seen,
        (event.sequence,),
        measured=interval,
        limit=objective,
    )
