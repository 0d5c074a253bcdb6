"""What a run looks like at this moment, in rows of words: what the terminal's and the browser's views are made of."""

from collections.abc import Sequence
from dataclasses import dataclass

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.tiers import Tier, quantile_share
from tierdrill.documents.models.units import show_duration, show_ratio
from tierdrill.history.projection import FaultSpan
from tierdrill.report.format import UNICODE, Glyphs, fault_words, show_latency, show_offset, show_seconds, show_share
from tierdrill.report.recent_seconds import recent_sli
from tierdrill.report.run_model import RunState

ROWS_MAX = 4
STOLEN_TOLD = 0.05
"""So much of its processors that a machine's hypervisor gives to others is told."""


@dataclass(frozen=True)
class Row:
    """`level` is info, good, warn or bad, as in the story's lines."""

    words: str
    level: str = "info"


@dataclass(frozen=True)
class Figure:
    """A figure against its promise; `good` is None without a promise or without a figure."""

    words: str
    good: bool | None
    known: bool
    promise: str


@dataclass(frozen=True)
class TierRow:
    """A tier over the last seconds. `rejected` is None where nothing was sent."""

    name: str
    success: Figure
    p99: Figure
    rejected: float | None
    sent: int


@dataclass(frozen=True)
class Progress:
    """How far a phase is: seconds of it that are spent, its length, and what is left of it and of the run."""

    spent: float
    length: float
    rest: float

    @property
    def left(self) -> float:
        return self.length - self.spent


def phase_lengths(setting: DrillSetting, variant: str) -> dict[str, float]:
    """How long each timed phase lasts in this variant."""
    phases, blip = setting.drill.phases, setting.drill.blip
    lengths = {
        "warm-up": phases.warm_up,
        "baseline": phases.baseline,
        "fault": phases.fault,
        "recovery": phases.recovery,
    }
    if variant == "blip" and blip is not None:
        short = {"warm-up": blip.warm_up, "baseline": blip.baseline, "fault": blip.fault, "recovery": blip.recovery}
        lengths |= {name: length for name, length in short.items() if length is not None}
    return lengths


def planned_lengths(state: RunState) -> dict[str, float]:
    """The lengths that the run itself recorded; empty where it did not."""
    planned = state.origin.planned if state.origin is not None else {}
    return {str(name): float(length) for name, length in planned.items() if isinstance(length, int | float)}


def progress(setting: DrillSetting, variant: str, state: RunState, now: float) -> Progress | None:
    """None in a phase that has no length, and between phases."""
    lengths = planned_lengths(state) or phase_lengths(setting, variant)
    length = lengths.get(state.phase.name) if state.phase is not None else None
    if state.phase is None or not length:
        return None
    spent = min(max(0.0, now - state.phase.started), length)
    names = list(lengths)
    later = sum(lengths[name] for name in names[names.index(state.phase.name) + 1 :])
    return Progress(spent, length, length - spent + later)


def tier_rows(tiers: Sequence[Tier], state: RunState, now: float, glyphs: Glyphs = UNICODE) -> list[TierRow]:
    """Every tier's figures over the last seconds, against what it promises."""
    rows = []
    for tier in tiers:
        objectives = tier.objectives
        sli = recent_sli(state, tier.name, now, objectives.rejections_count)
        target = objectives.availability
        if target is None and objectives.error_ceiling is not None:
            target = 1 - objectives.error_ceiling
        quantiles = sorted(objectives.latency.items(), key=lambda item: quantile_share(item[0]))
        limit = quantiles[-1][1] if quantiles else None
        kept = None if sli.success is None or target is None else sli.success >= target
        in_time = None if sli.p99 is None or limit is None else sli.p99 <= limit
        at_least = f"{glyphs.at_least} {show_ratio(target)}" if target is not None else glyphs.to
        at_most = f"{glyphs.at_most} {show_duration(limit)}" if limit is not None else glyphs.to
        rows.append(
            TierRow(
                tier.name,
                Figure(show_share(sli.success, "no data"), kept, sli.success is not None, at_least),
                Figure(show_latency(sli.p99, "no data"), in_time, sli.p99 is not None, at_most),
                sli.rejected,
                sli.sent,
            )
        )
    return rows


def fault_rows(state: RunState, now: float) -> list[Row]:
    return [Row(_fault(fault, state, now), _level(fault)) for fault in list(state.faults.values())[-ROWS_MAX:]]


def _fault(fault: FaultSpan, state: RunState, now: float) -> str:
    words = f"{fault_words(fault.kind) or fault.id} on {fault.target}: {fault.status}"
    if fault.active and fault.effective_at is not None:
        words += f" for {show_seconds(max(0.0, now - fault.effective_at))}"
    elif fault.gone_at is not None:
        words += f" {show_offset(fault.gone_at - state.zero)}"
    return words


def _level(fault: FaultSpan) -> str:
    if fault.trouble and fault.gone_at is None:
        return "bad"
    return "warn" if fault.active else "good" if fault.gone_at is not None else "info"


def alert_rows(state: RunState) -> list[Row]:
    order = {"firing": 0, "pending": 1, "resolved": 2}
    shown = [view for view in state.alerts.values() if view.state != "inactive"]
    views = sorted(shown, key=lambda view: order.get(view.state, 3))
    rows = []
    for index, view in enumerate(views[:ROWS_MAX]):
        at = view.firing_at if view.state == "firing" else view.resolved_at if view.state == "resolved" else None
        when = f" {show_offset(at - state.zero)}" if at is not None else ""
        more = f" and {len(views) - ROWS_MAX} more" if index == ROWS_MAX - 1 and len(views) > ROWS_MAX else ""
        subject = " ".join(value for _, value in view.labels)
        level = {"firing": "warn", "resolved": "good"}.get(view.state, "info")
        rows.append(Row(f"{view.alert} {subject} {view.state}{when}{more}", level))
    return rows


def playbook_rows(state: RunState) -> list[Row]:
    rows = []
    for view in state.playbooks[-ROWS_MAX:]:
        last = view.done[-1].name if view.done else "starting"
        if view.finished_at is None:
            words, level = f"running, {last}", "warn"
        elif view.ok:
            words, level = f"done {show_offset(view.finished_at - state.zero)}", "good"
        else:
            words, level = f"failed {show_offset(view.finished_at - state.zero)}: {view.reason}", "bad"
        part = " (clean-up)" if view.phase == "resolve" else ""
        rows.append(Row(f"{view.playbook} on {view.target}{part}: {words}", level))
    return rows


def load_row(state: RunState, glyphs: Glyphs = UNICODE) -> Row:
    health = state.health
    parts = [f"{state.sent:,} requests"]
    if health is None:
        return Row(parts[0])
    if health.lag_p99_s is not None:
        parts.append(f"lag p99 {show_latency(health.lag_p99_s)}")
    if health.dropped is not None:
        parts.append(f"{health.dropped:g} dropped")
    if health.machine_idle is not None:
        parts.append(f"machine idle {show_share(health.machine_idle)}")
    if health.machine_stolen is not None and health.machine_stolen >= STOLEN_TOLD:
        parts.append(f"{show_share(health.machine_stolen)} of it taken by its hypervisor")
    return Row(f" {glyphs.dot} ".join(parts), "bad" if health.stalled or health.dropped else "info")
