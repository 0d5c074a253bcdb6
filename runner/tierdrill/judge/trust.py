"""May this run be believed: was it whole, was the fault proven, was the load generator healthy, did monitoring watch
all along.

A doubt here makes a run inconclusive, never passed and never failed: it says nothing about the service.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tierdrill.history.events import Event
from tierdrill.judge.timeline import FaultSpan, Timeline
from tierdrill.judge.verdict import Check, Status
from tierdrill.spec.catalogue import DrillSetting
from tierdrill.spec.units import show_duration, show_ratio

MONITORING_GAP_MAX_S = 3.0
LOOP_LAG_MAX_S = 0.25
RATE_TOLERANCE = 0.1
PHASES = ("preflight", "warm-up", "baseline", "fault", "recovery", "clean-up")


def judge_run(events: Sequence[Event], timeline: Timeline) -> list[Check]:
    """Whole, watched, and nothing of the platform died."""
    checks = []
    bad = [event for event in events if event.kind == "preflight.check" and not event.data.get("ok")]
    seen = "; ".join(f"{event.data['name']}: {event.data.get('seen', '')}" for event in bad) or "all well"
    started = "preflight" in timeline.phases
    checks.append(_check("preflight", not bad and started, "healthy, nothing firing, nothing left over", seen, bad))
    missing = [phase for phase in PHASES if phase not in timeline.phases]
    ended = [event for event in events if event.kind == "run.ended"]
    broken = [event for event in events if event.kind == "run.stopping"]
    whole = not missing and bool(ended) and not broken
    why = f"stopped: {broken[0].data.get('reason', '')}" if broken else f"missing: {', '.join(missing) or 'the end'}"
    checks.append(
        _check(
            "completed",
            whole,
            "every phase, to the end",
            "all phases" if whole else why,
            [*broken, *ended],
        )
    )
    gaps = [event for event in events if event.kind == "monitoring.gap" and _matters(event, timeline)]
    checks.append(
        _check(
            "monitoring",
            not gaps,
            f"Prometheus and Alertmanager watched without a gap over {show_duration(MONITORING_GAP_MAX_S)}",
            "; ".join(f"{event.data['what']} silent for {event.data['seconds']:.1f}s" for event in gaps) or "no gap",
            gaps,
        )
    )
    died = [event for event in events if event.kind == "process.exited" and not event.data.get("expected")]
    checks.append(
        _check(
            "processes",
            not died,
            "nothing of the platform or the runner dies but what the drill breaks",
            "; ".join(f"{event.data['name']} ended ({event.data.get('exit_code')})" for event in died) or "none died",
            died,
        )
    )
    return checks


def _matters(gap: Event, timeline: Timeline) -> bool:
    """Whether a gap blinded the run: long enough, and not over before the baseline began; it wakes up in warm-up."""
    if gap.data.get("seconds", 0) <= MONITORING_GAP_MAX_S:
        return False
    baseline = timeline.phases.get("baseline")
    return baseline is None or gap.at > baseline[0]


def _check(
    name: str,
    good: bool,
    expected: str,
    seen: str,
    events: Sequence[Event],
    group: str = "run",
    **numbers: float | int | None,
) -> Check:
    return Check(
        id=f"{group}/{name}",
        group=group,
        status=Status.PASSED if good else Status.INCONCLUSIVE,
        title=name.replace("-", " "),
        expected=expected,
        seen=seen,
        events=tuple(event.sequence for event in events),
        **numbers,  # type: ignore[arg-type]
    )


def judge_faults(timeline: Timeline) -> list[Check]:
    """Each fault was seen to land, and seen to be gone, by a witness that did not inject."""
    if not timeline.faults:
        return [
            Check(
                "fault/any/landed",
                "fault",
                Status.INCONCLUSIVE,
                "a fault",
                "at least one fault is injected",
                "none was",
            )
        ]
    return [check for fault in timeline.faults for check in _fault_checks(fault, timeline)]


def _fault_checks(fault: FaultSpan, timeline: Timeline) -> list[Check]:
    problems = "; ".join(fault.problems)
    landed = fault.effective_at is not None
    late = (fault.effective_at or 0.0) - (fault.planned_at or fault.effective_at or 0.0)
    name = f"{fault.kind} on {fault.target}"
    gone = fault.gone_at is not None
    zero = timeline.started_at
    return [
        Check(
            f"fault/{fault.kind}/landed",
            "fault",
            Status.PASSED if landed else Status.INCONCLUSIVE,
            f"{name} takes effect",
            "a witness that did not inject it sees it in effect",
            f"in effect at +{(fault.effective_at or 0) - zero:.2f}s, {late * 1000:.0f}ms after plan ({fault.mechanism})"
            if landed
            else problems or "no witness saw it",
            fault.events,
            value=late if landed and fault.planned_at else None,
        ),
        Check(
            f"fault/{fault.kind}/gone",
            "fault",
            Status.PASSED if gone else Status.UNCLEAN if landed else Status.INCONCLUSIVE,
            f"{name} is gone",
            "a witness sees it gone",
            f"gone at +{(fault.gone_at or 0) - zero:.2f}s" if gone else problems or "no witness saw it gone",
            fault.events,
        ),
    ]


def judge_load(setting: DrillSetting, events: Sequence[Event], timeline: Timeline) -> list[Check]:
    """The generator kept its schedule and the machine had room; otherwise its numbers are about itself."""
    wanted = setting.drill.load
    span = timeline.span(("baseline", "fault", "recovery"))
    batches = [event for event in events if event.kind == "load.samples"]
    if span is None or not batches:
        return [_check("samples", False, "samples through all phases", "no samples", batches, group="load")]
    lags: list[float] = []
    dropped = total = 0
    for event in batches:
        columns = event.data["columns"]
        for due, lag, outcome in zip(columns["due"], columns["lag"], columns["outcome"], strict=True):
            if span[0] <= due < span[1]:
                total += 1
                dropped += outcome == "dropped"
                if lag is not None:
                    lags.append(lag)
    lags.sort()
    lag = lags[min(len(lags) - 1, math.ceil(len(lags) * 0.99) - 1)] if lags else math.inf
    share = dropped / total if total else 1.0
    checks = [
        _check(
            "lag",
            lag <= wanted.lag_p99_max,
            f"p99 of send lag at most {show_duration(wanted.lag_p99_max)}",
            f"{lag * 1000:.1f}ms over {len(lags)} sends" if lags else "no sends",
            [],
            group="load",
            value=lag if lags else None,
            limit=wanted.lag_p99_max,
            samples=len(lags),
        ),
        _check(
            "dropped",
            share <= wanted.dropped_max,
            f"at most {show_ratio(wanted.dropped_max)} of arrivals dropped by the generator",
            f"{dropped} of {total}",
            [],
            group="load",
            value=share,
            limit=wanted.dropped_max,
            samples=total,
        ),
        _rate(setting, total, span),
    ]
    checks.extend(_machine(setting, events, span))
    return checks


def _rate(setting: DrillSetting, total: int, span: tuple[float, float]) -> Check:
    streams = setting.drill.load.streams
    expected = sum(stream.rate for stream in streams) * (span[1] - span[0])
    shaped = any(stream.shape.kind != "steady" for stream in streams)
    # Poisson arrivals scatter by the root of their number; four of those is chance beyond doubt.
    slack = max(RATE_TOLERANCE * expected, 4 * math.sqrt(max(expected, 1.0)))
    good = total > 0 if shaped else abs(total - expected) <= slack
    return _check(
        "rate",
        good,
        "arrivals as many as planned" if not shaped else "arrivals as shaped",
        f"{total} of about {expected:.0f}",
        [],
        group="load",
        value=float(total),
        limit=expected,
        samples=total,
    )


def _machine(setting: DrillSetting, events: Sequence[Event], span: tuple[float, float]) -> list[Check]:
    reports = [event for event in events if event.kind == "load.health" and span[0] <= event.at < span[1] + 2]
    floor = setting.environment.idle_floor
    idles = [event.data["machine_idle"] for event in reports if event.data.get("machine_idle") is not None]
    loops = sorted(event.data["loop_lag_s"] for event in reports if event.data.get("loop_lag_s") is not None)
    idle = sum(idles) / len(idles) if idles else None
    loop = loops[min(len(loops) - 1, math.ceil(len(loops) * 0.9) - 1)] if loops else None
    return [
        _check(
            "machine",
            idle is not None and idle >= floor,
            f"the machine is idle for {show_ratio(floor)} or more of the time",
            f"idle {idle:.0%} on average" if idle is not None else "the generator did not report",
            reports,
            group="load",
            value=idle,
            limit=floor,
            samples=len(idles),
        ),
        _check(
            "loop",
            loop is not None and loop <= LOOP_LAG_MAX_S,
            f"the generator's event loop is late by at most {show_duration(LOOP_LAG_MAX_S)} (p90 of its reports)",
            f"{loop * 1000:.1f}ms" if loop is not None else "the generator did not report",
            [],
            group="load",
            value=loop,
            limit=LOOP_LAG_MAX_S,
            samples=len(loops),
        ),
    ]
