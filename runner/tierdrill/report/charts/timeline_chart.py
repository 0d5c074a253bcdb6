"""The report's timeline as geometry: groups of lanes on one time axis. Pure; the template only draws what stands here.

Horizontal places are percent of the plot's width, so that the drawing follows the page; vertical ones are pixels.
"""

import math
from collections.abc import Mapping, Sequence

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.tiers import Tier, quantile_share
from tierdrill.documents.models.units import show_duration
from tierdrill.judge.verdict import WORST_FIRST, Check, Status, Verdict
from tierdrill.report.charts.axis import (
    LogScale,
    Scale,
    latency_label,
    log_bounds,
    log_ticks,
    share_floor,
    time_label,
    time_ticks,
)
from tierdrill.report.charts.deployment_lanes import deployment_group, fault_group
from tierdrill.report.charts.marks import Group, Guide, Lane, Path, Rect, Ruler, Tick, Timeline
from tierdrill.report.charts.response_lanes import alert_group, page_group, playbook_group
from tierdrill.report.charts.sample_series import Second, TierSeries, quantile
from tierdrill.report.format import (
    aspect_of,
    aspect_words,
    held_words,
    show_latency,
    show_limit,
    show_offset,
    show_seen,
    show_share,
)
from tierdrill.report.run_model import RunState

SHARE_HEIGHT = 50
LATENCY_HEIGHT = 50
BINS_MAX = 240
PATH_WIDTH = 1000


def bounds(state: RunState) -> tuple[float, float]:
    """The axis: from the first phase with load to the end of the run."""
    begins = [phase.started for phase in state.phases if phase.name != "preflight"]
    low = min(begins, default=state.started if state.started is not None else state.now)
    high = state.ended if state.ended is not None else state.now
    return low, max(high, low + 1.0)


def loaded_until(state: RunState) -> float:
    """Until when requests had to come: the end of the last phase before clean-up."""
    ends = [phase.ended or state.now for phase in state.phases if phase.name not in ("preflight", "clean-up")]
    return max(ends, default=bounds(state)[1])


def bin_width(state: RunState) -> float:
    """One second, or as many whole ones as keep a long run drawable."""
    low, high = bounds(state)
    return float(max(1, math.ceil((high - low) / BINS_MAX)))


def build(
    setting: DrillSetting, state: RunState, verdict: Verdict, series: Mapping[str, TierSeries], width: float = 1.0
) -> Timeline:
    """All lanes: phases and faults, tiers, deployment, alerts, playbooks, pages."""
    low, high = bounds(state)
    ruler = Ruler(Scale(low, high), state.zero)
    groups = [
        fault_group(ruler, state, verdict),
        *(
            _tier_group(ruler, tier, series.get(tier.name), verdict, width, loaded_until(state))
            for tier in setting.tiers.by_rank()
        ),
        deployment_group(ruler, state),
        alert_group(ruler, setting, state, verdict),
        playbook_group(ruler, setting, state, verdict),
        page_group(ruler, state),
    ]
    return Timeline(
        ticks=tuple(
            Tick(ruler.place(state.zero + at), time_label(at)) for at in time_ticks(low - state.zero, high - state.zero)
        ),
        phases=tuple(
            Rect(
                ruler.place(phase.started),
                ruler.width(phase.started, phase.ended or high),
                f"phase {phase.name}",
                phase.name,
            )
            for phase in state.phases
            if phase.name != "preflight"
        ),
        faults=tuple(
            Rect(ruler.place(fault.effective_at), ruler.width(fault.effective_at, fault.gone_at or high), "faultband")
            for fault in state.faults.values()
            if fault.effective_at is not None
        ),
        groups=tuple(group for group in groups if group.lanes),
        zero_is_effect=state.effect is not None,
    )


def _tier_group(
    ruler: Ruler, tier: Tier, series: TierSeries | None, verdict: Verdict, width: float, until: float
) -> Group:
    checks = [check for check in verdict.checks if check.id.startswith(f"slo/{tier.name}/")]
    seconds = series.seconds if series else ()
    lanes = (
        _share_lane(ruler, tier, seconds, checks, width, until),
        _latency_lane(ruler, tier, seconds, checks, width, until),
    )
    worst = worst_status([check.status for check in checks])
    words = held_words(checks) if checks else "not judged in this drill"
    return Group(tier.name, lanes, detail=f"rank {tier.rank}", result=words, status=worst)


def worst_status(statuses: Sequence[Status]) -> Status | None:
    """Failed before inconclusive before passed; None for none."""
    return next((status for status in WORST_FIRST if status in statuses), None)


def _check(checks: Sequence[Check], *aspects: str) -> Check | None:
    for aspect in aspects:
        for check in checks:
            if check.id.endswith(f"/{aspect}"):
                return check
    return None


def _result(check: Check | None) -> tuple[str, str, Status | None]:
    if check is None:
        return "not judged", "", None
    words = "" if aspect_of(check)[0] in ("availability", "latency") else f"{aspect_words(check)} "
    return f"{words}{show_seen(check)}", f"promised {show_limit(check)}", check.status


def _share_lane(
    ruler: Ruler, tier: Tier, seconds: Sequence[Second], checks: Sequence[Check], width: float, until: float
) -> Lane:
    objectives = tier.objectives
    objective = objectives.availability
    if objective is None and objectives.error_ceiling is not None:
        objective = 1 - objectives.error_ceiling
    lowest = min((second.ok / second.sent for second in seconds), default=None)
    floor = share_floor(objective, lowest)
    scale, height = Scale(floor, 1.0), SHARE_HEIGHT

    def y(share: float) -> float:
        return round(height - scale.place(share) * height, 2)

    failed, refused, line, hovers = [], [], _Steps(), []
    for second in seconds:
        begin, span = ruler.place(second.at), ruler.width(second.at, second.at + width)
        share = second.success(objectives.rejections_count)
        line.add(begin, span, None if share is None else y(share))
        after_refusals = y(1 - second.rejected / second.sent)
        if second.rejected:
            refused.append(_column(begin, span, 0, after_refusals))
        if second.failed:
            failed.append(_column(begin, span, after_refusals, y(1 - (second.rejected + second.failed) / second.sent)))
        hovers.append(Rect(begin, span, "hover", title=_share_title(ruler, second, share)))
    value, detail, status = _result(_check(checks, "availability", "error_ceiling"))
    guides = (Guide(y(objective), "objective", show_share(objective)),) if objective is not None else ()
    return Lane(
        name="success share",
        detail="of requests not refused" if not objectives.rejections_count else "of all requests",
        height=height,
        plot=True,
        rects=(*ruler.gaps([(second.at, second.at + width) for second in seconds], until), *hovers),
        paths=(Path("".join(refused), "refused"), Path("".join(failed), "failed"), Path(line.path, "line")),
        guides=guides,
        scale=((0.0, "100%"), (float(height), show_share(floor))),
        result=value,
        result_detail=detail,
        status=status,
    )


def _latency_lane(
    ruler: Ruler, tier: Tier, seconds: Sequence[Second], checks: Sequence[Check], width: float, until: float
) -> Lane:
    promised = sorted(tier.objectives.latency.items(), key=lambda item: quantile_share(item[0]))
    label, objective = (
        ("p99", tier.objectives.latency["p99"])
        if "p99" in tier.objectives.latency
        else (promised[-1] if promised else ("p99", None))
    )
    share = quantile_share(label)
    values = [(second, quantile(second.latencies, share)) for second in seconds]
    known = [value for _, value in values if value]
    # Room above the objective, so that its line is never the frame.
    wanted = [*known, *([objective * 1.2] if objective else [])]
    low, high = log_bounds(min(wanted, default=0.01), max(wanted, default=1.0))
    scale, height = LogScale(low, high), LATENCY_HEIGHT

    def y(value: float) -> float:
        return round(height - scale.place(value) * height, 2)

    over, line, hovers = [], _Steps(), []
    for second, value in values:
        begin, span = ruler.place(second.at), ruler.width(second.at, second.at + width)
        line.add(begin, span, None if value is None else y(value))
        if value is not None and objective is not None and value > objective:
            over.append(_column(begin, span, y(value), y(objective)))
        title = (
            f"{show_offset(second.at - ruler.zero)}: {label} {show_latency(value)}, median {show_latency(second.p50)}"
        )
        hovers.append(Rect(begin, span, "hover", title=title))
    value_text, detail, status = _result(_check(checks, f"latency-{label}"))
    decades = tuple((y(tick), latency_label(tick)) for tick in log_ticks(low, high))
    return Lane(
        name=f"{label} latency",
        detail="log scale",
        height=height,
        plot=True,
        rects=(*ruler.gaps([(second.at, second.at + width) for second in seconds], until), *hovers),
        paths=(Path("".join(over), "failed"), Path(line.path, "line")),
        guides=((Guide(y(objective), "objective", show_duration(objective)),) if objective is not None else ()),
        scale=decades,
        result=value_text,
        result_detail=detail,
        status=status,
    )


def _share_title(ruler: Ruler, second: Second, share: float | None) -> str:
    parts = [f"{second.ok} ok", f"{second.failed} failed", f"{second.rejected} refused"]
    return f"{show_offset(second.at - ruler.zero)}: {show_share(share)} good; {second.sent} sent, {', '.join(parts)}"


def _column(begin: float, span: float, top: float, bottom: float) -> str:
    """One column of a path, at least a pixel and a half high so that a single failure can be seen."""
    scale = PATH_WIDTH / 100
    tall = max(bottom - top, 1.5)
    return f"M{begin * scale:.1f},{top:g}h{span * scale:.1f}v{tall:.4g}h-{span * scale:.1f}z"


class _Steps:
    """A step line with gaps where there was nothing to measure."""

    def __init__(self) -> None:
        self.path = ""
        self._end: float | None = None

    def add(self, begin: float, span: float, y: float | None) -> None:
        scale = PATH_WIDTH / 100
        if y is None:
            self._end = None
            return
        joined = self._end is not None and begin - self._end < 0.01
        self.path += f"{'' if joined else f'M{begin * scale:.1f},{y:g}'}V{y:g}H{(begin + span) * scale:.1f}"
        self._end = begin + span
